//! What the studies do on workers.

use std::path::Path;
use std::sync::{Arc, PoisonError};

use super::super::super::grid::Grid;
use super::super::super::work::{TextCache, text_of};
use super::registry::{Context, Work};
use super::state::{Found, Side};
use crate::compute::atomic_file::write_atomically;
use crate::compute::error::{Error, Result};
use crate::compute::index::session::{Lab, Options};
use crate::job::Monitor;
use crate::video::panel::Canvas;

/// What a study is made of.
pub struct Task {
    /// Its place.
    pub study: usize,
    /// The contestant's line and name, if the study is about one.
    pub contestant: Option<(usize, String)>,
    pub work: Work,
    pub options: Options,
}

/// Makes a study.
///
/// # Errors
/// What the study finds in its way; cancelled.
pub fn run(lab: &Lab, task: Task, monitor: &Monitor) -> Result<Found> {
    let (line, contestant) = task.contestant.unzip();
    let run = line.and_then(|line| lab.runs.get(line));
    let finding = (task.work)(&Context { lab, run, options: task.options }, monitor)?;
    let grid = Grid::new(finding.table.clone());
    Ok(Found { study: task.study, contestant, finding, grid })
}

/// Some texts of a list.
pub struct Page {
    pub side: Side,
    pub page: usize,
    pub texts: Vec<String>,
}

/// "title · text" of a row; empty where nothing is known.
///
/// # Errors
/// Texts that cannot be read; cancelled.
pub fn words(texts: &TextCache, vectors: &Path, rows: &[u32], monitor: &Monitor) -> Result<Vec<String>> {
    let mut texts = texts.lock().unwrap_or_else(PoisonError::into_inner);
    let each = rows.iter().map(|&row| -> Result<String> {
        let found = text_of(&mut texts, Some(vectors), u64::from(row), monitor)?.unwrap_or_default();
        Ok(match (found.title.is_empty(), found.text.is_empty()) {
            (false, false) => format!("{} · {}", found.title, found.text),
            (true, _) => found.text,
            (false, true) => found.title,
        })
    });
    each.collect()
}

/// The text of a doc.
#[derive(Debug)]
pub struct DocText {
    pub doc: u32,
    pub text: String,
}

/// What of a finding is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// By its place.
    Picture(usize),
    Table,
    Notes,
}

/// Writes a part of a finding; the ending of the path says as what.
///
/// # Errors
/// A picture that there is not; a file that cannot be written.
pub fn keep(found: &Arc<Found>, kept: Kept, chosen: Option<(f64, f64)>, path: &Path) -> Result<()> {
    let finding = &found.finding;
    match kept {
        Kept::Picture(place) => match finding.pictures.get(place) {
            Some(picture) => picture.drawing.scene(Canvas::FILE, chosen).write(path),
            None => Err(Error::Index { what: "this study has no such picture".to_owned() }),
        },
        Kept::Table => write_atomically(path, &finding.table.to_csv()),
        Kept::Notes => {
            let is_json = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
            let text = if is_json { finding.to_json() } else { finding.to_text() };
            write_atomically(path, text.as_bytes())
        }
    }
}
