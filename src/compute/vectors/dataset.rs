//! The samples that embeddings belong to: JSON objects, one a line (JSONL), each with an `id`.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use rayon::prelude::*;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::texts::Text;
use super::vec_file::{MappedFile, VectorFile};
use super::{FNV_START, fnv1a};
use crate::compute::error::{Error, Result};
use crate::compute::figures::{count, counted};
use crate::job::Monitor;

/// A dataset that was opened: every line is a JSON object with an `id` that is a string, a number or a boolean.
#[derive(Debug)]
pub struct Dataset {
    mapped: MappedFile,
    /// Where each line begins, and where the last one ends.
    starts: Vec<u64>,
    /// Ids that come more than once: how many, and the first few with their first two lines.
    repeated: (usize, Vec<(String, usize, usize)>),
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

impl Dataset {
    /// Opens `path` and looks at every line.
    ///
    /// # Errors
    /// A file that cannot be read or is empty; a line that is no JSON object or has no id, with its number;
    /// cancelled.
    pub fn open(path: &Path, monitor: &Monitor) -> Result<Self> {
        const TOGETHER: usize = 4096;
        if VectorFile::file_size(path)? == 0 {
            return Err(Error::Dataset { line: 1, what: "the file is empty".to_owned(), path: path.to_owned() });
        }
        let mapped = MappedFile::open(path)?;
        let bytes = mapped.bytes();
        // Blank lines at the end are no samples.
        let end = bytes.iter().rposition(|byte| !byte.is_ascii_whitespace()).map_or(0, |last| last + 1);
        // A byte order mark, as some editors write it.
        let begin = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        monitor.begin("reading the dataset", "bytes", end as u64);
        let mut starts = vec![begin as u64];
        starts.extend((begin..end.max(begin)).filter(|&at| bytes[at] == b'\n').map(|at| at as u64 + 1));
        starts.push(end as u64 + 1);
        let mut dataset = Self { mapped, starts, repeated: (0, Vec::new()) };
        let rows: Vec<usize> = (0..dataset.len()).collect();
        let hashes: Vec<Vec<u64>> = rows
            .par_chunks(TOGETHER)
            .map(|rows| {
                dataset.mapped.check_size()?;
                let hashes = rows
                    .iter()
                    .map(|&row| Ok(fnv1a(FNV_START, dataset.checked_id(row)?.as_bytes())))
                    .collect::<Result<Vec<u64>>>();
                let (first, last) = (rows[0], rows[rows.len() - 1]);
                monitor.advance(dataset.starts[last + 1] - dataset.starts[first])?;
                hashes
            })
            .collect::<Vec<Result<Vec<u64>>>>()
            .into_iter()
            .collect::<Result<_>>()?;
        dataset.repeated = dataset.find_repeated(&hashes.concat());
        Ok(dataset)
    }

    pub fn path(&self) -> &Path {
        self.mapped.path()
    }

    /// Samples: one a line.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn line(&self, row: usize) -> &[u8] {
        // Reading past the end of a file that was cut off since would end the program.
        if self.check_size().is_err() {
            return &[];
        }
        let range: Range<usize> = self.starts[row] as usize..self.starts[row + 1] as usize - 1;
        self.mapped.bytes().get(range).unwrap_or_default()
    }

    /// Fails if the file is shorter now than when it was opened.
    pub fn check_size(&self) -> Result<()> {
        self.mapped.check_size()
    }

    /// The id of a sample, as JSON: a string keeps its quotes.
    pub fn id(&self, row: usize) -> &str {
        // Lines were checked when the file was opened; one that was changed since has no id any more. Lists
        // look at the size again before they are written.
        self.checked_id(row).unwrap_or("null")
    }

    fn checked_id(&self, row: usize) -> Result<&str> {
        let bad = |what: String| Error::Dataset { line: row + 1, what, path: self.path().to_owned() };
        let text = std::str::from_utf8(self.line(row)).map_err(|_| bad("it is not UTF-8".to_owned()))?;
        if text.trim().is_empty() {
            return Err(bad("the line is empty".to_owned()));
        }
        if !text.trim_start().starts_with('{') {
            return Err(bad("it is no JSON object".to_owned()));
        }
        let line: Line<'_> = serde_json::from_str(text).map_err(|error| {
            let error = error.to_string();
            // The line of the error is always 1 here.
            bad(format!("it is no JSON object ({})", error.replace(" at line 1 column", ", column")))
        })?;
        let id = line.id.map(RawValue::get).ok_or_else(|| bad("it has no \"id\"".to_owned()))?;
        match id.as_bytes().first() {
            Some(b'"' | b'-' | b'0'..=b'9' | b't' | b'f') => Ok(id),
            _ => Err(bad(format!("its id must be a string or a number, found {id}"))),
        }
    }

    /// What a sample says: its `text`, or else all its strings by name.
    pub fn text(&self, row: usize) -> Text {
        let Ok(object) = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(self.line(row)) else {
            return Text::default();
        };
        let string = |name: &str| object.get(name).and_then(|value| value.as_str());
        let title = string("title").unwrap_or_default().to_owned();
        if let Some(text) = string("text") {
            return Text { title, text: text.to_owned() };
        }
        let strings = object.iter().filter(|(name, _)| !matches!(name.as_str(), "id" | "title"));
        let strings = strings.filter_map(|(name, value)| Some(format!("{name}: {}", value.as_str()?)));
        Text { title, text: strings.collect::<Vec<_>>().join("\n") }
    }

    /// What to say of ids that come more than once.
    pub fn warning(&self) -> Option<String> {
        let (repeated, examples) = &self.repeated;
        (*repeated > 0).then(|| {
            let examples: Vec<String> = examples
                .iter()
                .map(|(id, first, second)| format!("{id} (lines {} and {})", count(first + 1), count(second + 1)))
                .collect();
            format!(
                "{}: {} more than once, like {}. Samples are told apart by their lines",
                self.path().display(),
                counted(*repeated, "id comes", "ids come"),
                examples.join(", ")
            )
        })
    }

    fn find_repeated(&self, hashes: &[u64]) -> (usize, Vec<(String, usize, usize)>) {
        const EXAMPLES: usize = 3;
        let mut order: Vec<u32> = (0..hashes.len() as u32).collect();
        order.par_sort_unstable_by_key(|&row| (hashes[row as usize], row));
        let mut repeated: HashMap<&str, (usize, usize)> = HashMap::new();
        for same in order.chunk_by(|&a, &b| hashes[a as usize] == hashes[b as usize]).filter(|same| same.len() > 1) {
            let mut seen: HashMap<&str, usize> = HashMap::new();
            for &row in same {
                let row = row as usize;
                match seen.get(self.id(row)) {
                    Some(&first) => {
                        repeated.entry(self.id(row)).or_insert((first, row));
                    }
                    None => {
                        seen.insert(self.id(row), row);
                    }
                }
            }
        }
        let mut examples: Vec<_> =
            repeated.iter().map(|(id, &(first, second))| ((*id).to_owned(), first, second)).collect();
        examples.sort_unstable_by_key(|(_, first, second)| (*second, *first));
        examples.truncate(EXAMPLES);
        (repeated.len(), examples)
    }
}
