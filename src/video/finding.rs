//! What a study of the index lab found: words, pictures, a table. The window shows it, and the command line writes it.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::panel::{Canvas, Panel};
use super::scene::Scene;
use crate::compute::error::{Error, Result};
use crate::compute::table::Table;

/// What a study found.
#[derive(Debug, Clone)]
pub struct Finding {
    /// What was studied, on which data.
    pub title: String,
    /// What it means, a sentence each.
    pub notes: Vec<String>,
    pub pictures: Vec<Picture>,
    /// Every figure with all its digits.
    pub table: Table,
    /// What each row of the table is about; as many as there are rows.
    pub links: Vec<Link>,
    /// A longer table beside it, of what the rows are made of.
    pub more: Option<More>,
}

/// A longer table of a study.
#[derive(Debug, Clone)]
pub struct More {
    /// What its rows are, short: "every query".
    pub name: &'static str,
    pub table: Table,
}

/// A picture of a study.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Short, for a tab and for the name of a file.
    pub name: String,
    pub drawing: Arc<dyn Drawing>,
}

/// What draws a picture at any size.
pub trait Drawing: Debug + Send + Sync {
    /// Draws it; `chosen`: the range of values of the x axis that stands out, if one was chosen.
    fn scene(&self, canvas: Canvas, chosen: Option<(f64, f64)>) -> Scene;

    /// Where ranges of the x axis can be chosen, and the value of every query on it (NaN for none); `None` where choosing
    /// means nothing.
    fn brush(&self, _canvas: Canvas) -> Option<(Panel, &[f64])> {
        None
    }
}

/// Queries and docs that something is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// What they have in common, for a heading.
    pub name: String,
    /// Rows of the queries' file, those first that should be looked at first.
    pub queries: Vec<u32>,
    /// Rows of the docs' file, likewise.
    pub docs: Vec<u32>,
}

impl Link {
    pub fn is_empty(&self) -> bool {
        self.queries.is_empty() && self.docs.is_empty()
    }
}

impl Finding {
    /// Title, notes and table, for reading.
    pub fn to_text(&self) -> String {
        let notes: String = self.notes.iter().map(|note| format!("{note}\n")).collect();
        format!("{}\n{notes}\n{}", self.title, self.table.to_text())
    }

    /// Title and notes, and the rows of the table as objects.
    pub fn to_json(&self) -> String {
        let text = |value: serde_json::Value| value.to_string();
        let rows = self.table.to_json().trim_end().replace('\n', "\n  ");
        format!(
            "{{\n  \"title\": {},\n  \"notes\": {},\n  \"rows\": {rows}\n}}\n",
            text(self.title.as_str().into()),
            text(self.notes.clone().into())
        )
    }

    /// Writes the pictures, `.png` or `.svg`: the first to `path`, the others beside it with their names. Returns where.
    ///
    /// # Errors
    /// Another ending; a file that cannot be written.
    pub fn write_pictures(&self, path: &Path) -> Result<Vec<PathBuf>> {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        if !matches!(ending.as_deref(), Some("png" | "svg")) {
            let (expected, found) = ("a name that ends with .png or .svg".to_owned(), path.display().to_string());
            return Err(Error::Parameter { name: "chart", expected, found });
        }
        let mut written = Vec::new();
        for (place, picture) in self.pictures.iter().enumerate() {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let name = match place {
                0 => path.to_owned(),
                _ => path.with_file_name(format!(
                    "{stem}-{}.{}",
                    picture.name.to_lowercase().replace(' ', "-"),
                    ending.as_deref().unwrap_or_default()
                )),
            };
            picture.drawing.scene(Canvas::FILE, None).write(&name)?;
            written.push(name);
        }
        Ok(written)
    }
}
