//! The texts beside vectors: `NAME.csv` next to `NAME.vec`, one record a row, in the same order.

use std::fs::File;
use std::path::{Path, PathBuf};

use csv::{Position, Reader, ReaderBuilder, StringRecord};

use crate::compute::error::{Error, Result};
use crate::job::Monitor;

/// What is known of one row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    pub title: String,
    pub text: String,
}

/// An open text file with a sparse index of its records, so that any row is found by reading at
/// most 256 records.
pub struct Texts {
    path: PathBuf,
    reader: Reader<File>,
    title_column: Option<usize>,
    text_column: Option<usize>,
    /// Where record `index × STRIDE` begins.
    marks: Vec<Position>,
    rows: usize,
    /// The row that the reader stands before, where it is known.
    next: Option<usize>,
}

impl Texts {
    /// Records between two marks of the index.
    const STRIDE: usize = 256;

    /// The text file that belongs to the vectors at `vectors`, if there is one.
    pub fn path_beside(vectors: &Path) -> Option<PathBuf> {
        let path = vectors.with_extension("csv");
        path.is_file().then_some(path)
    }

    /// Opens and indexes `path`: one pass over the file.
    ///
    /// # Errors
    /// A file that cannot be read or is no CSV, with its row; cancelled.
    pub fn open(path: &Path, monitor: &Monitor) -> Result<Self> {
        let bad = |row: usize, error: csv::Error| match error.into_kind() {
            csv::ErrorKind::Io(source) => Error::Read { source, path: path.to_owned() },
            kind => Error::Texts { row, what: format!("{kind:?}"), path: path.to_owned() },
        };
        let file = File::open(path).map_err(Error::read(path))?;
        monitor.begin("reading texts", "bytes", file.metadata().map_or(0, |data| data.len()));
        let mut reader = ReaderBuilder::new().flexible(true).from_reader(file);
        let mut read = 0;
        let headers = reader.byte_headers().map_err(|error| bad(0, error))?.clone();
        let column = |name: &str| headers.iter().position(|field| field == name.as_bytes());
        let (title_column, text_column) = (column("title"), column("text"));
        let mut marks = Vec::new();
        let mut rows = 0;
        let mut record = csv::ByteRecord::new();
        loop {
            if rows % Self::STRIDE == 0 {
                monitor.advance(reader.position().byte() - read)?;
                read = reader.position().byte();
                marks.push(reader.position().clone());
            }
            if !reader.read_byte_record(&mut record).map_err(|error| bad(rows, error))? {
                break;
            }
            rows += 1;
        }
        Ok(Self { path: path.to_owned(), reader, title_column, text_column, marks, rows, next: None })
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The text of `row`; `None` past the end.
    pub fn get(&mut self, row: usize) -> Result<Option<Text>> {
        if row >= self.rows {
            return Ok(None);
        }
        let bad = |what: String| Error::Texts { row, what, path: self.path.clone() };
        // The next one is read on; any other from the mark before it.
        let skipped = if self.next.take() == Some(row) {
            0
        } else {
            let mark = self.marks[row / Self::STRIDE].clone();
            self.reader.seek(mark).map_err(|error| bad(error.to_string()))?;
            row % Self::STRIDE
        };
        let mut record = csv::ByteRecord::new();
        for _ in 0..=skipped {
            self.reader.read_byte_record(&mut record).map_err(|error| bad(error.to_string()))?;
        }
        self.next = Some(row + 1);
        let record = StringRecord::from_byte_record_lossy(record);
        let field = |column: Option<usize>| column.and_then(|column| record.get(column)).unwrap_or_default().to_owned();
        Ok(Some(Text { title: field(self.title_column), text: field(self.text_column) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_by_number_even_when_fields_span_lines() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("a.csv");
        let mut csv = "id,title,text\n".to_owned();
        for row in 0..1000 {
            csv.push_str(&format!("{row},\"title, {row}\",\"line one of {row}\nline \"\"two\"\"\"\n"));
        }
        std::fs::write(&path, csv).expect("written");
        assert_eq!(Texts::path_beside(&folder.path().join("a.vec")), Some(path.clone()));
        let mut texts = Texts::open(&path, &Monitor::new()).expect("opens");
        assert_eq!(texts.rows(), 1000);
        for row in [0, 999, 255, 256, 257, 512, 3] {
            let text = texts.get(row).expect("readable").expect("there");
            assert_eq!(text.title, format!("title, {row}"));
            assert_eq!(text.text, format!("line one of {row}\nline \"two\""));
        }
        assert_eq!(texts.get(1000).expect("readable"), None);
    }

    #[test]
    fn missing_columns_are_empty() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("a.csv");
        std::fs::write(&path, "id,text\n1,hello\n2\n").expect("written");
        let mut texts = Texts::open(&path, &Monitor::new()).expect("opens");
        assert_eq!(texts.get(0).expect("readable"), Some(Text { title: String::new(), text: "hello".into() }));
        assert_eq!(texts.get(1).expect("readable"), Some(Text::default()));
    }
}
