//! What a user can do in the index lab.

use std::path::PathBuf;

use super::state::Part;

#[derive(Debug, Clone, PartialEq)]
pub enum LabCommand {
    /// Fills the form with the demo vectors and a few indexes.
    FillDemo,
    /// Builds and searches what the form says.
    Start,
    /// Shows a session.
    Open(PathBuf),
    /// Looks at a contestant, by its line.
    LookAt(usize),
    /// Looks at a query of the contestant.
    LookAtQuery(usize),
    /// The scores of all queries.
    ShowAllQueries,
    /// The scores of some queries, by the place of their frame.
    ShowFrame(usize),
    /// Plays the frames one after another, or stops.
    TogglePlay,
    AskSave(Part),
    SaveAsAsked,
}
