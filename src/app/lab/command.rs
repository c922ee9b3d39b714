//! What a user can do in the index lab.

use std::path::PathBuf;

use super::state::{Part, Tab};
use super::studies::StudyCommand;

#[derive(Debug, Clone, PartialEq)]
pub enum LabCommand {
    /// Fills the form with the demo vectors and a few indexes.
    FillDemo,
    /// Builds and searches what the form says.
    Start,
    /// Shows a session.
    Open(PathBuf),
    ShowTab(Tab),
    /// Looks at a contestant, by its line.
    LookAt(usize),
    /// Looks at a query: what should have been found, and what the contestant found.
    LookAtQuery(usize),
    /// Reads the text of a doc.
    LookAtDoc(u32),
    /// From a query or a doc back to the list.
    BackToList,
    /// The scores of all queries.
    ShowAllQueries,
    /// The scores of the group.
    ShowGroup,
    /// The scores of some queries, by the place of their frame.
    ShowFrame(usize),
    /// Plays the frames one after another, or stops.
    TogglePlay,
    /// Makes a group of the queries with a value in this range of what is shown.
    Brush(f64, f64),
    /// Asks for the range.
    AskRange,
    /// As the dialog says.
    ChooseAsked,
    EndGroup,
    Study(StudyCommand),
    AskSave(Part),
    SaveAsAsked,
}
