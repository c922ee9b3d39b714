//! What the studies do on workers.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use super::super::super::grid::Grid;
use super::super::super::work::{TextCache, text_of};
use super::registry::{Context, Work};
use super::state::{Found, Side};
use crate::compute::atomic_file::write_atomically;
use crate::compute::error::{Error, Result};
use crate::compute::index::session::{Lab, Options};
use crate::compute::index::words::Words;
use crate::compute::table::{Column, Table};
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
    /// The longer table.
    More,
    /// The rows that are listed, with their texts.
    List(Side),
}

/// A part of a finding that is to be written.
pub struct FoundPart {
    pub found: Arc<Found>,
    pub kept: Kept,
    /// The range of the picture that is chosen.
    pub chosen: Option<(f64, f64)>,
    /// The rows that are listed, and the file that they are of.
    pub list: Option<(Vec<u32>, PathBuf)>,
}

/// Writes a part of a finding; the ending of the path says as what.
///
/// # Errors
/// A part that there is not; a file that cannot be written; cancelled.
pub fn keep(part: &FoundPart, path: &Path, monitor: &Monitor) -> Result<()> {
    let FoundPart { found, kept, chosen, list } = part;
    let finding = &found.finding;
    match *kept {
        Kept::Picture(place) => match finding.pictures.get(place) {
            Some(picture) => picture.drawing.scene(Canvas::FILE, *chosen).write(path),
            None => Err(nothing("picture")),
        },
        Kept::Table => write_atomically(path, &finding.table.to_csv()),
        Kept::More => {
            let more = finding.more.as_ref().ok_or_else(|| nothing("longer table"))?;
            write_atomically(path, &more.table.to_csv())
        }
        Kept::List(side) => {
            let (rows, vectors) = list.as_ref().ok_or_else(|| nothing("list"))?;
            let mut words = Words::beside(vectors, monitor)?;
            let name = if side == Side::Queries { "query" } else { "doc" };
            let column = |name: &str, is_number| Column { name: name.to_owned(), is_number };
            let row = |row: &u32| vec![Some(row.to_string()), Some(words.of(*row))];
            let rows = rows.iter().map(row).collect();
            let table = Table { columns: vec![column(name, true), column("text", false)], rows, is_cut: false };
            write_atomically(path, &table.to_csv())
        }
        Kept::Notes => {
            let is_json = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
            let text = if is_json { finding.to_json() } else { finding.to_text() };
            write_atomically(path, text.as_bytes())
        }
    }
}

fn nothing(what: &str) -> Error {
    Error::Index { what: format!("this study has no such {what}") }
}
