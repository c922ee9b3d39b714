//! What a user can do in the sparsity view.

use std::path::PathBuf;

use super::state::{Save, Tab};

#[derive(Debug, Clone, PartialEq)]
pub enum SparsityCommand {
    OpenDemo,
    /// Looks for matrices in files and folders; a DuckDB file is what is asked.
    Open(Vec<PathBuf>),
    /// Analyses the matrices that were found, as the form says.
    Start,
    /// Starts the analysis, or asks the database where that is on screen.
    StartOrAsk,
    ShowTab(Tab),
    Select(usize),
    /// Matrices forwards or backwards.
    StepMatrix(isize),
    /// A group of the matrix, in its own order; none to look at the whole matrix.
    SelectGroup(Option<usize>),
    /// Groups forwards or backwards, in the order of the table.
    StepGroup(isize),
    /// Sorts the table of groups by a column; downwards if it was sorted upwards by it.
    SortGroups(usize),
    ZoomReset,
    Ask,
    AskSave(Save),
    /// The picture that is on screen.
    AskSavePicture,
    SaveAsAsked,
}
