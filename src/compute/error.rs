//! The one error type of the compute and video layers: fields, not sentences; the sentence is made
//! here, once, and names what was expected, what was found and what to do.

use std::io;
use std::path::{Path, PathBuf};

use super::figures::{bytes, count, grouped, list};
use crate::job::Cancelled;

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}: cannot be read: {}", path.display(), reason(source))]
    Read { source: io::Error, path: PathBuf },

    #[error("{}: cannot be written: {}", path.display(), reason(source))]
    Write { source: io::Error, path: PathBuf },

    #[error("{}: is a directory; expected a file", path.display())]
    DirectoryAsVectors { path: PathBuf },

    #[error("{}: is not a regular file; expected one", path.display())]
    NotARegularFile { path: PathBuf },

    #[error("{}: is text, not vectors; expected flat little-endian float32, row after row. Export the vectors as raw float32 (numpy: array.astype('<f4').tofile(name))", path.display())]
    TextAsVectors { path: PathBuf },

    #[error("{}: is empty; expected rows of {dim} float32 values", path.display())]
    EmptyVectors { dim: usize, path: PathBuf },

    #[error(
        "{}: has {} bytes, which is no whole number of rows of dim {dim} ({} bytes each). {}",
        path.display(), grouped(*file_bytes), count(dim * 4), torn_advice(fitting)
    )]
    TornVectors { file_bytes: u64, dim: usize, fitting: Vec<usize>, path: PathBuf },

    #[error(
        "{}: row {}, dimension {} is {value}; every value must be finite. Is the file really flat \
         little-endian float32 with dim {dim}?",
        path.display(), count(*row), count(*dimension)
    )]
    NonFinite { row: usize, dimension: usize, value: f32, dim: usize, path: PathBuf },

    #[error(
        "{}: row {} is a zero vector, which has no direction, so cosine is undefined. Remove it, or \
         choose another metric",
        path.display(), count(*row)
    )]
    ZeroVector { row: usize, path: PathBuf },

    #[error(
        "{}: {} without direction (all zeros), so cosine is undefined: {}. Leave them out, or choose another metric",
        path.display(), if *total == 1 { "1 row is".to_owned() } else { format!("{} rows are", count(*total)) },
        named_rows(rows, *total)
    )]
    ZeroVectors { rows: Vec<usize>, total: usize, path: PathBuf },

    #[error(
        "{}: has only {} bytes now, {} when it was opened. It was changed while in use; start again \
         once it is complete",
        path.display(), grouped(*found), grouped(*expected)
    )]
    FileChanged { expected: u64, found: u64, path: PathBuf },

    #[error("{}: {what}", path.display())]
    Npy { what: String, path: PathBuf },

    #[error(
        "{}: row {}, dimension {} is {value:e}; expected finite numbers within the range of float32. Correct the \
         value or leave the row out",
        path.display(), count(*row), count(*dimension)
    )]
    NotFloat32 { row: usize, dimension: usize, value: f64, path: PathBuf },

    #[error("{}: line {}: {what}. Expected a JSON object with an \"id\" on every line", path.display(), count(*line))]
    Dataset { line: usize, what: String, path: PathBuf },

    #[error(
        "{}: has {} samples, but {} has {} embeddings. Line i of the dataset belongs to row i of the embeddings; \
         make both the same number",
        dataset.display(), count(*samples), embeddings.display(), count(*rows)
    )]
    CountsDiffer { samples: usize, rows: usize, dataset: PathBuf, embeddings: PathBuf },

    #[error("{}: {what}", path.display())]
    Matrix { what: String, path: PathBuf },

    #[error("{}: {what}", path.display())]
    Database { what: String, path: PathBuf },

    #[error("{what}")]
    Index { what: String },

    /// As `Index`, where the user asked for what cannot be.
    #[error("{what}")]
    IndexUse { what: String },

    #[error("{}: {what}", path.display())]
    Neighbours { what: String, path: PathBuf },

    #[error("{}: line {line}: {what}", path.display())]
    Config { line: usize, what: String, path: PathBuf },

    #[error("{}: {what}", path.display())]
    Selection { what: String, path: PathBuf },

    #[error("{name}: expected {expected}, found {found}")]
    Parameter { name: &'static str, expected: String, found: String },

    #[error(
        "numDocs: {} asked for, but the file has {} rows at dim {dim}. Lower numDocs to at most {}: {}",
        count(*num_docs), count(*rows), count(*rows), path.display()
    )]
    TooFewDocs { num_docs: usize, rows: usize, dim: usize, path: PathBuf },

    #[error(
        "topK: {} asked for, but only {} docs are searched. Lower topK or raise numDocs",
        count(*top_k), count(*num_docs)
    )]
    TopKBeyondDocs { top_k: usize, num_docs: usize },

    #[error(
        "memory: this plan needs at least {}, the budget is {}. Raise the budget (--memory) or {instead}",
        bytes(*needed), bytes(*budget)
    )]
    MemoryBudget { needed: u64, budget: u64, instead: &'static str },

    #[error("memory: the system refused {} more ({source}). Lower --memory or close other programs", bytes(*wanted))]
    OutOfMemory { wanted: u64, source: io::Error },

    #[error(
        "query {} and doc {} have a score of {score:e}, beyond the range of float32 in which scores \
         are stored. Scale the vectors down, or use cosine",
        count(*query_row), count(*doc)
    )]
    ScoreOverflow { query_row: usize, doc: usize, score: f64 },

    #[error("{}: not enough space: {} will be written, {} are free. Free some space or choose \
             another folder", path.display(), bytes(*needed), bytes(*free))]
    NoSpace { needed: u64, free: u64, path: PathBuf },

    #[error("{}: cannot be the output folder: {}. Choose a folder that can be written", path.display(), reason(source))]
    OutputFolder { source: io::Error, path: PathBuf },

    #[error(
        "{}: holds another session ({difference}). Choose another folder, or overwrite it \
         (at the command line: --overwrite)",
        path.display()
    )]
    OtherSession { difference: String, path: PathBuf },

    #[error("{}: another knnscope is writing here. Wait for it or choose another folder", path.display())]
    SessionInUse { path: PathBuf },

    #[error("{}: no results here: there is no manifest.json. Expected a folder written by `knnscope score`", path.display())]
    NoManifest { path: PathBuf },

    #[error("{}: {what}. The manifest is damaged or was not written by a scoring tool; score again or restore it", path.display())]
    Manifest { what: String, path: PathBuf },

    #[error(
        "{}: {}: expected {} bytes ({} values of four bytes), found {}. The file is torn or belongs to another \
         manifest; score again or restore it",
        path.display(), "file of scores or ids of the wrong size", grouped(*expected_bytes), grouped(*expected_bytes / 4),
        grouped(*found_bytes)
    )]
    ScoreFileSize { expected_bytes: u64, found_bytes: u64, path: PathBuf },

    #[error(
        "{}: score {} is {value}; scores must be finite. The file is damaged or the vectors held NaN; \
         score again",
        path.display(), grouped(*index)
    )]
    BadScore { index: u64, value: f32, path: PathBuf },

    #[error("{}: has no finished runs yet, so there is nothing to show", path.display())]
    NoRuns { path: PathBuf },

    #[error(
        "{}: the session was scored from this file, but it is not there, nor at that place relative to {}. \
         Put it back, or score again",
        path.display(), folder.display()
    )]
    VectorsMissing { path: PathBuf, folder: PathBuf },

    #[error(
        "{}: was changed since the session was scored: {what}. Restore it (a copy must keep its time of \
         change: cp -p), or score again",
        path.display()
    )]
    VectorsChanged { what: String, path: PathBuf },

    #[error(
        "{}: {what}. The files were changed or damaged after they were written; score again into an empty folder",
        path.display()
    )]
    VerifyFailed { what: String, path: PathBuf },

    #[error("{}: row {}: {what}. Expected CSV (RFC 4180) with a header line", path.display(), count(*row))]
    Texts { row: usize, what: String, path: PathBuf },

    #[error("{}: {what}", path.display())]
    Video { what: String, path: PathBuf },

    #[error("cancelled")]
    Cancelled,
}

impl From<Cancelled> for Error {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
    }
}

impl Error {
    /// Wraps an error of reading `path`; for `map_err`.
    pub fn read(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Read { source, path: path.to_owned() }
    }

    /// Wraps an error of writing `path`; for `map_err`.
    pub fn write(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Write { source, path: path.to_owned() }
    }

    /// Whether the user asked for something that no file could grant (exit code 2).
    pub fn is_wrong_use(&self) -> bool {
        matches!(
            self,
            Self::Parameter { .. }
                | Self::Config { .. }
                | Self::TooFewDocs { .. }
                | Self::TopKBeyondDocs { .. }
                | Self::MemoryBudget { .. }
                | Self::IndexUse { .. }
        )
    }
}

/// "row 3", "rows 3, 17 and 4 more".
fn named_rows(rows: &[usize], total: usize) -> String {
    let listed: Vec<String> = rows.iter().map(|&row| count(row)).collect();
    let more = total - rows.len();
    let more = if more > 0 { format!(" and {} more", count(more)) } else { String::new() };
    format!("{} {}{more}", if total == 1 { "row" } else { "rows" }, listed.join(", "))
}

/// The operating system's reason, in the words of its commonest cases.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file or folder".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::StorageFull => "the disk is full; free some space and start again".to_owned(),
        io::ErrorKind::ReadOnlyFilesystem => "the file system is read-only".to_owned(),
        io::ErrorKind::NotADirectory => "a part of the path is a file, not a folder".to_owned(),
        io::ErrorKind::AlreadyExists => "a file of that name is in the way".to_owned(),
        _ => error.to_string(),
    }
}

fn torn_advice(fitting: &[usize]) -> String {
    if fitting.is_empty() {
        "No dim fits, so the file is torn (or not flat float32); copy it again".to_owned()
    } else {
        format!("Dims that would fit: {}; otherwise the file is torn, copy it again", list(fitting, 12))
    }
}
