//! What the tab of the studies knows.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::super::grid::Grid;
use super::registry::{STUDIES, Study};
use crate::video::finding::{Finding, Link};
use crate::video::panel::Canvas;
use crate::video::scene::Scene;

/// What a study found, as it is shown.
#[derive(Debug)]
pub struct Found {
    /// The place of the study.
    pub study: usize,
    /// The contestant that it is about, if it is about one.
    pub contestant: Option<String>,
    pub finding: Finding,
    /// Its table.
    pub grid: Grid,
}

/// Which rows a list is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    Queries,
    Docs,
}

/// Queries and docs that a row of a finding is about, with their texts as far as they were read.
#[derive(Debug)]
pub struct Listed {
    pub link: Link,
    pub side: Side,
    /// By page of [`PAGE`] rows.
    pub texts: HashMap<(Side, usize), Vec<String>>,
}

/// Texts that are read together.
pub const PAGE: usize = 64;
/// Pages that are kept.
const PAGES: usize = 200;

impl Listed {
    pub fn of(link: Link) -> Self {
        let side = if link.queries.is_empty() && !link.docs.is_empty() { Side::Docs } else { Side::Queries };
        Self { link, side, texts: HashMap::new() }
    }

    pub fn rows(&self, side: Side) -> &[u32] {
        match side {
            Side::Queries => &self.link.queries,
            Side::Docs => &self.link.docs,
        }
    }

    /// The rows of a page.
    pub fn page(&self, side: Side, page: usize) -> &[u32] {
        self.rows(side).chunks(PAGE).nth(page).unwrap_or_default()
    }

    pub fn keep(&mut self, side: Side, page: usize, texts: Vec<String>) {
        if self.texts.len() >= PAGES {
            self.texts.clear();
        }
        self.texts.insert((side, page), texts);
    }

    /// The text of a row by its place in the list; `None` while it was not read.
    pub fn text(&self, side: Side, place: usize) -> Option<&str> {
        self.texts.get(&(side, place / PAGE))?.get(place % PAGE).map(String::as_str)
    }
}

/// A picture that was drawn, with all that it depends on.
struct Painted {
    found: Arc<Found>,
    picture: usize,
    canvas: Canvas,
    chosen: Option<(f64, f64)>,
    scene: Arc<Scene>,
}

/// The tab.
pub struct Studies {
    /// The place of the study that is shown.
    pub chosen: usize,
    /// What stands in the fields of every study.
    pub texts: Vec<Vec<String>>,
    /// What every study found last.
    pub found: Vec<Option<Arc<Found>>>,
    /// The study that is being made.
    pub running: Option<usize>,
    /// The picture that is shown, by its place.
    pub picture: usize,
    /// Whether the contestants stand below, not what was found.
    pub shows_contestants: bool,
    /// The row of the finding that is looked at.
    pub row: Option<usize>,
    pub listed: Option<Listed>,
    /// Drawn last.
    painted: Option<Painted>,
}

impl Default for Studies {
    fn default() -> Self {
        Self {
            chosen: 0,
            texts: STUDIES.iter().map(Study::defaults).collect(),
            found: STUDIES.iter().map(|_| None).collect(),
            running: None,
            picture: 0,
            shows_contestants: false,
            row: None,
            listed: None,
            painted: None,
        }
    }
}

impl Studies {
    pub fn study(&self) -> &'static Study {
        &STUDIES[self.chosen]
    }

    /// What the study that is shown found last.
    pub fn finding(&self) -> Option<&Arc<Found>> {
        self.found[self.chosen].as_ref()
    }

    /// Another session: nothing of the last one holds, but what was typed.
    pub fn forget(&mut self) {
        let (chosen, texts) = (self.chosen, std::mem::take(&mut self.texts));
        *self = Self { chosen, texts, ..Self::default() };
    }

    /// Looks at the whole finding again.
    pub fn close_row(&mut self) {
        self.row = None;
        self.listed = None;
    }

    /// The picture that is shown, drawn; again only if it would look different.
    pub fn scene(&mut self, canvas: Canvas, chosen: Option<(f64, f64)>) -> Option<Arc<Scene>> {
        let found = self.found[self.chosen].clone()?;
        let picture = found.finding.pictures.get(self.picture)?;
        let same = |known: &&Painted| {
            Arc::ptr_eq(&known.found, &found)
                && (known.picture, known.canvas, known.chosen) == (self.picture, canvas, chosen)
        };
        if let Some(known) = self.painted.as_ref().filter(same) {
            return Some(known.scene.clone());
        }
        let scene = Arc::new(picture.drawing.scene(canvas, chosen));
        self.painted = Some(Painted { found, picture: self.picture, canvas, chosen, scene: scene.clone() });
        Some(scene)
    }
}
