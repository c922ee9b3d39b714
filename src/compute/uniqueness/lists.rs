//! What was found, as lists: scores and neighbours as JSONL, kept and dropped samples as JSONL or CSV.

use std::fmt::Write;
use std::path::Path;

use super::Neighbours;
use super::selection::{Fate, Selection};
use crate::compute::atomic_file::AtomicFile;
use crate::compute::error::{Error, Result};
use crate::compute::vectors::Dataset;
use crate::job::Monitor;

/// Bytes that are written at once.
const TOGETHER: usize = 1 << 20;

/// The ids of samples as JSON: those of the dataset, or row numbers.
#[derive(Debug, Clone, Copy)]
pub struct Ids<'a>(pub Option<&'a Dataset>);

impl Ids<'_> {
    fn push(&self, row: usize, text: &mut String) {
        match self.0 {
            Some(dataset) => text.push_str(dataset.id(row)),
            None => write!(text, "{row}").expect("memory"),
        }
    }

    /// Fails if the dataset was cut off since it was opened: what was read of it since is then not to be written.
    fn check(&self) -> Result<()> {
        self.0.map_or(Ok(()), Dataset::check_size)
    }

    /// The id of `row` as a reader says it: a string without its quotes.
    pub fn plain(&self, row: usize) -> String {
        let mut json = String::new();
        self.push(row, &mut json);
        serde_json::from_str::<String>(&json).unwrap_or(json)
    }
}

/// Writes lines to `path`, whole or not at all; `line` appends line `index`.
fn write_lines(
    path: &Path,
    header: &str,
    rows: impl Iterator<Item = usize>,
    ids: Ids<'_>,
    line: impl Fn(usize, &mut String),
    monitor: &Monitor,
) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    let mut text = header.to_owned();
    for row in rows {
        line(row, &mut text);
        text.push('\n');
        monitor.advance(1)?;
        if text.len() >= TOGETHER {
            ids.check()?;
            file.append(text.as_bytes())?;
            text.clear();
        }
    }
    ids.check()?;
    file.append(text.as_bytes())?;
    file.commit()
}

/// `{"id": …, "score": …}` for every sample, in their order.
pub fn write_scores(path: &Path, ids: Ids<'_>, scores: &[f64], monitor: &Monitor) -> Result<()> {
    monitor.begin("writing scores", "samples", scores.len() as u64);
    let line = |row: usize, text: &mut String| push_score(ids, row, scores[row], text);
    let whole = |row: usize, text: &mut String| {
        line(row, text);
        text.push('}');
    };
    write_lines(path, "", 0..scores.len(), ids, whole, monitor)
}

/// The beginning of a line, without the closing brace.
fn push_score(ids: Ids<'_>, row: usize, score: f64, text: &mut String) {
    text.push_str("{\"id\": ");
    ids.push(row, text);
    write!(text, ", \"score\": {}", number(score)).expect("memory");
}

/// The shortest decimal that is this number.
fn number(value: f64) -> String {
    serde_json::Number::from_f64(value).map_or_else(|| "null".to_owned(), |number| number.to_string())
}

/// `{"id": …, "neighbors": [{"id": …, "distance": …}, …]}` for every sample, nearest first.
pub fn write_neighbours(path: &Path, ids: Ids<'_>, neighbours: &Neighbours, monitor: &Monitor) -> Result<()> {
    monitor.begin("writing neighbours", "samples", neighbours.samples() as u64);
    let line = |row: usize, text: &mut String| {
        text.push_str("{\"id\": ");
        ids.push(row, text);
        text.push_str(", \"neighbors\": [");
        for (place, (other, distance)) in neighbours.of(row).enumerate() {
            text.push_str(if place == 0 { "{\"id\": " } else { ", {\"id\": " });
            ids.push(other as usize, text);
            write!(text, ", \"distance\": {}}}", number(distance)).expect("memory");
        }
        text.push_str("]}");
    };
    write_lines(path, "", 0..neighbours.samples(), ids, line, monitor)
}

/// Kept or dropped samples in their order: id and score, and of dropped ones why (`below`, `above`, `duplicate`
/// with the id of the one that is kept, `surplus`). CSV if the name ends so, otherwise JSONL.
pub fn write_selected(
    path: &Path,
    ids: Ids<'_>,
    scores: &[f64],
    selection: &Selection,
    kept: bool,
    monitor: &Monitor,
) -> Result<()> {
    let is_csv = path.extension().is_some_and(|name| name.eq_ignore_ascii_case("csv"));
    let rows: Vec<usize> = (0..scores.len()).filter(|&row| (selection.fates[row] == Fate::Kept) == kept).collect();
    monitor.begin("writing lists", "samples", rows.len() as u64);
    let header = match (is_csv, kept) {
        (false, _) => "",
        (true, true) => "id,score\n",
        (true, false) => "id,score,reason,duplicate_of\n",
    };
    let line = |row: usize, text: &mut String| {
        let fate = selection.fates[row];
        if is_csv {
            write!(text, "{},{}", csv_field(&ids.plain(row)), number(scores[row])).expect("memory");
            if !kept {
                let of =
                    if let Fate::Duplicate(of) = fate { csv_field(&ids.plain(of as usize)) } else { String::new() };
                write!(text, ",{},{of}", fate.name()).expect("memory");
            }
            return;
        }
        push_score(ids, row, scores[row], text);
        if !kept {
            write!(text, ", \"reason\": \"{}\"", fate.name()).expect("memory");
        }
        if let Fate::Duplicate(of) = fate {
            text.push_str(", \"duplicate_of\": ");
            ids.push(of as usize, text);
        }
        text.push('}');
    };
    write_lines(path, header, rows.into_iter(), ids, line, monitor)
}

/// Quoted where CSV (RFC 4180) needs it.
fn csv_field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

/// Refuses to overwrite what is read.
///
/// # Errors
/// If `output` is one of `inputs`.
pub fn check_not_input(output: &Path, inputs: &[&Path]) -> Result<()> {
    let same = |input: &&&Path| match (std::fs::canonicalize(output), std::fs::canonicalize(input)) {
        (Ok(output), Ok(input)) => output == input,
        _ => false,
    };
    match inputs.iter().find(same) {
        Some(input) => Err(Error::Parameter {
            name: "output",
            expected: "another file than those that are read".to_owned(),
            found: input.display().to_string(),
        }),
        None => Ok(()),
    }
}
