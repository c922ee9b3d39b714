//! What a user can do in the uniqueness view.

use std::path::PathBuf;

use super::state::{Listing, Save};
use crate::compute::uniqueness::Rules;

#[derive(Debug, Clone, PartialEq)]
pub enum UniquenessCommand {
    OpenDemo,
    /// Scores what the form says.
    Start,
    SetBins(usize),
    ZoomTo(f64, f64),
    ZoomBack,
    ZoomReset,
    SetRules(Rules),
    Undo,
    Redo,
    /// Looks at a sample; the one before stays on the trail.
    LookAt(u32),
    WalkBack,
    List(Listing),
    AskSave(Save),
    SaveAsAsked,
    OpenSelection(PathBuf),
}
