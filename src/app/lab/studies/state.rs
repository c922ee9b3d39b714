//! What the tab of the studies knows.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use super::super::super::grid::Grid;
use super::registry::{STUDIES, Study};
use crate::compute::table::Table;
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

/// The table of a finding in another order of its rows.
#[derive(Debug)]
pub struct Sorted {
    pub found: Arc<Found>,
    /// By this column, and whether downwards.
    pub by: (usize, bool),
    /// The row of the finding in each place.
    pub order: Vec<usize>,
    pub grid: Grid,
}

impl Sorted {
    /// Numbers by their value, the rest as text; what is unknown comes last, equals keep their order.
    pub fn of(found: Arc<Found>, by: (usize, bool)) -> Self {
        let table = &found.finding.table;
        let (column, downwards) = by;
        let is_number = table.columns.get(column).is_some_and(|column| column.is_number);
        let cell = |row: usize| table.rows[row].get(column).and_then(|cell| cell.as_deref());
        let number = |row: usize| cell(row).and_then(|text| text.parse::<f64>().ok()).filter(|value| !value.is_nan());
        let turned = |order: Ordering| if downwards { order.reverse() } else { order };
        let mut order: Vec<usize> = (0..table.rows.len()).collect();
        if is_number {
            let keys: Vec<Option<f64>> = order.iter().map(|&row| number(row)).collect();
            order.sort_by(|&left, &right| match (keys[left], keys[right]) {
                (Some(left), Some(right)) => turned(left.total_cmp(&right)),
                (left, right) => left.is_none().cmp(&right.is_none()),
            });
        } else {
            order.sort_by(|&left, &right| match (cell(left), cell(right)) {
                (Some(left), Some(right)) => turned(left.cmp(right)),
                (left, right) => left.is_none().cmp(&right.is_none()),
            });
        }
        let rows = order.iter().map(|&row| table.rows[row].clone()).collect();
        let grid = Grid::new(Table { columns: table.columns.clone(), rows, is_cut: table.is_cut });
        Self { found, by, order, grid }
    }
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
    /// The table in another order, if one was asked for.
    pub sorted: Option<Sorted>,
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
            sorted: None,
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

    /// The order of the table that is shown, unless it is that of the finding.
    pub fn order(&self) -> Option<&Sorted> {
        let found = self.finding()?;
        self.sorted.as_ref().filter(|sorted| Arc::ptr_eq(&sorted.found, found))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::table::Column;

    fn found() -> Arc<Found> {
        let column = |name: &str, is_number| Column { name: name.to_owned(), is_number };
        let row = |name: &str, value: Option<&str>| vec![Some(name.to_owned()), value.map(str::to_owned)];
        let table = Table {
            columns: vec![column("name", false), column("value", true)],
            rows: vec![row("b", Some("10")), row("c", None), row("a", Some("9.5")), row("d", Some("1e-3"))],
            is_cut: false,
        };
        let finding = Finding {
            title: String::new(),
            notes: Vec::new(),
            pictures: Vec::new(),
            table,
            links: Vec::new(),
            more: None,
        };
        Arc::new(Found { study: 0, contestant: None, finding, grid: Grid::default() })
    }

    #[test]
    fn rows_are_sorted_by_value_and_unknown_ones_come_last() {
        for (by, order) in [
            ((0, false), [2, 0, 1, 3]),
            ((0, true), [3, 1, 0, 2]),
            ((1, false), [3, 2, 0, 1]),
            ((1, true), [0, 2, 3, 1]),
            ((9, true), [0, 1, 2, 3]),
        ] {
            let sorted = Sorted::of(found(), by);
            assert_eq!(sorted.order, order, "{by:?}");
            assert_eq!(sorted.grid.table.rows[0], sorted.found.finding.table.rows[order[0]]);
        }
    }

    #[test]
    fn texts_are_kept_by_page_and_forgotten_when_there_are_many() {
        let queries: Vec<u32> = (0..1000).collect();
        let mut listed = Listed::of(Link { name: String::new(), queries, docs: vec![7] });
        assert_eq!(listed.page(Side::Queries, 15), (960..1000).collect::<Vec<u32>>());
        assert_eq!(listed.text(Side::Queries, 65), None);
        listed.keep(Side::Queries, 1, vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(listed.text(Side::Queries, 65), Some("b"));
        assert_eq!(listed.text(Side::Docs, 65), None);
        (0..PAGES).for_each(|page| listed.keep(Side::Docs, page, Vec::new()));
        assert!(listed.texts.len() <= PAGES);
        assert_eq!(Listed::of(Link { name: String::new(), queries: Vec::new(), docs: vec![7] }).side, Side::Docs);
    }
}
