//! Rows in words: the texts beside the vectors, where there are any.

use std::path::Path;

use crate::compute::error::{Error, Result};
use crate::compute::vectors::Texts;
use crate::job::Monitor;

/// The texts of a vector file.
pub struct Words(Option<Texts>);

impl Words {
    /// Opens the texts beside `vectors`. Texts are a help: where they are missing or damaged, rows are told by number.
    ///
    /// # Errors
    /// Cancelled.
    pub fn beside(vectors: &Path, monitor: &Monitor) -> Result<Self> {
        match Texts::path_beside(vectors).map(|path| Texts::open(&path, monitor)) {
            Some(Err(Error::Cancelled)) => Err(Error::Cancelled),
            Some(Ok(texts)) => Ok(Self(Some(texts))),
            Some(Err(_)) | None => Ok(Self(None)),
        }
    }

    /// "title · text" of a row; empty where nothing is known.
    pub fn of(&mut self, row: u32) -> String {
        let found = self.0.as_mut().and_then(|texts| texts.get(row as usize).ok().flatten()).unwrap_or_default();
        match (found.title.is_empty(), found.text.is_empty()) {
            (false, false) => format!("{} · {}", found.title, found.text),
            (true, _) => found.text,
            (false, true) => found.title,
        }
    }
}

/// `text` in at most `most` characters, on one line.
pub fn shortened(text: &str, most: usize) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if plain.chars().count() <= most {
        return plain;
    }
    let start: String = plain.chars().take(most.saturating_sub(1)).collect();
    start.trim_end().to_owned() + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_told_with_what_is_known() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let vectors = folder.path().join("a.vec");
        let mut words = Words::beside(&vectors, &Monitor::new()).expect("nothing there");
        assert_eq!(words.of(0), "");
        std::fs::write(vectors.with_extension("csv"), "title,text\nb,c\n,d\ne,\n").expect("written");
        let mut words = Words::beside(&vectors, &Monitor::new()).expect("opened");
        assert_eq!([0, 1, 2, 3].map(|row| words.of(row)), ["b · c", "d", "e", ""]);
        assert_eq!(shortened("one\ntwo three", 8), "one two…");
        assert_eq!(shortened("zwölf", 5), "zwölf");
    }
}
