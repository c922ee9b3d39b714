//! What the uniqueness view knows.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::compute::histogram::Histogram;
use crate::compute::uniqueness::lists::Ids;
use crate::compute::uniqueness::{Distance, Near, Neighbours, Params, Rules, Selection, ThinningCurve};
use crate::compute::uniqueness::{count_above, count_below};
use crate::compute::vectors::{Dataset, Embeddings, Text, Texts};

/// The fields at the left, as typed.
#[derive(Debug, Clone, PartialEq)]
pub struct Form {
    pub embeddings: String,
    pub dim: String,
    pub dataset: String,
    pub k: String,
    pub distance: Distance,
}

impl Default for Form {
    fn default() -> Self {
        Self {
            embeddings: String::new(),
            dim: String::new(),
            dataset: String::new(),
            k: Params::DEFAULT_K.to_string(),
            distance: Distance::default(),
        }
    }
}

/// What there is to say of the files of a form, in words; `Err` for what is wrong.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Look {
    pub form: Form,
    pub embeddings: Option<Result<String, String>>,
    pub dataset: Option<Result<String, String>>,
}

/// Samples that were scored.
pub struct Found {
    pub params: Params,
    pub embeddings: Embeddings,
    pub dataset: Option<Dataset>,
    /// Texts beside a vector file, where there is no dataset.
    pub texts: Mutex<Option<Texts>>,
    /// A folder for files without a name.
    pub scratch: PathBuf,
    pub neighbours: Neighbours,
    pub scores: Vec<f64>,
    /// The scores, ascending.
    pub sorted: Vec<f64>,
    pub fingerprint: u64,
    pub secs: f64,
    pub is_demo: bool,
    /// What a user should know.
    pub warnings: Vec<String>,
}

impl Found {
    pub fn samples(&self) -> usize {
        self.scores.len()
    }

    pub fn ids(&self) -> Ids<'_> {
        Ids(self.dataset.as_ref())
    }

    /// Samples with a lower score.
    pub fn below(&self, score: f64) -> usize {
        count_below(&self.sorted, score)
    }

    /// Samples with a higher score.
    pub fn above(&self, score: f64) -> usize {
        count_above(&self.sorted, score)
    }

    /// What is shown of a sample.
    pub fn tell(&self, row: usize) -> Told {
        Told { id: self.ids().plain(row), text: self.text(row) }
    }

    /// All that is known of a sample in words.
    pub fn text(&self, row: usize) -> Text {
        if let Some(dataset) = &self.dataset {
            return dataset.text(row);
        }
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        texts.as_mut().and_then(|texts| texts.get(row).ok().flatten()).unwrap_or_default()
    }
}

/// What is shown of a sample; read by a worker.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    /// As a reader says it.
    pub id: String,
    pub text: Text,
}

/// The scores over the view.
#[derive(Debug, Clone)]
pub struct Binned {
    pub histogram: Histogram,
    /// Edges, and the share of samples at most as high, in percent.
    pub cumulative: Vec<(f64, f64)>,
}

/// What the rules make of the samples.
#[derive(Debug, Clone)]
pub struct Selected {
    pub selection: Selection,
    pub kept: usize,
    /// Dropped samples by reason.
    pub dropped: [(&'static str, usize); 4],
    /// Sets of near-duplicates: the sample that is kept first, then the others; the largest set first.
    pub sets: Vec<Vec<u32>>,
    /// Members of the sets before each, and of all.
    pub set_starts: Vec<usize>,
    pub members: usize,
    /// The distance within which they are sets.
    pub epsilon: f64,
}

/// In which order samples are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    MostUnique,
    MostRedundant,
    ByRow,
}

/// Which samples are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    All,
    Kept,
    Dropped,
}

/// What is listed.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing {
    pub sort: Sort,
    pub shown: Shown,
    pub search: String,
    /// Sets instead of samples.
    pub sets: bool,
}

/// What is being dragged over the chart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Drag {
    Zoom(f64, f64),
    Below(f64),
    Above(f64),
}

/// A file that is about to be saved.
pub type SaveForm = super::super::save_dialog::SaveForm<Save>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Save {
    Scores,
    /// Two files: kept and dropped.
    Lists,
    Plot,
    Selection,
}

/// Everything of the view that is not saved.
pub struct State {
    pub form: Form,
    pub look: Option<Look>,
    pub found: Option<Arc<Found>>,
    pub binned: Option<Arc<Binned>>,
    pub bins: usize,
    pub zoom: Vec<(f64, f64)>,
    pub drag: Option<Drag>,
    pub near: Option<Arc<Near>>,
    pub curve: Option<ThinningCurve>,
    pub rules: Rules,
    /// Rules before, the latest last; and those that were undone.
    pub undo: Vec<Rules>,
    pub redo: Vec<Rules>,
    pub selected: Option<Arc<Selected>>,
    pub listing: Listing,
    pub order: Arc<Vec<u32>>,
    /// The sample that is looked at, and those looked at before.
    pub current: Option<u32>,
    pub trail: Vec<u32>,
    pub told: HashMap<u32, Told>,
    /// Rows of which something is to be told.
    pub wanted: Vec<u32>,
    pub save: Option<SaveForm>,
    /// Fields of the rules, as typed.
    pub typed: Typed,
}

/// Rules as typed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Typed {
    pub below: String,
    pub above: String,
    pub dedupe: String,
    pub keep: String,
}

impl Typed {
    pub fn of(rules: &Rules) -> Self {
        let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
        Self {
            below: number(rules.drop_below),
            above: number(rules.drop_above),
            dedupe: number(rules.dedupe),
            keep: rules.keep.map_or_else(String::new, |keep| keep.to_string()),
        }
    }

    /// The rules that the fields say, or which field is wrong.
    pub fn rules(&self) -> Result<Rules, &'static str> {
        fn value<T: std::str::FromStr>(text: &str, name: &'static str) -> Result<Option<T>, &'static str> {
            match text.trim() {
                "" => Ok(None),
                text => without_grouping(text).and_then(|text| text.parse().ok()).map(Some).ok_or(name),
            }
        }
        Ok(Rules {
            drop_below: value(&self.below, "Drop below")?,
            drop_above: value(&self.above, "Drop above")?,
            dedupe: value(&self.dedupe, "Thin within")?,
            keep: value(&self.keep, "Keep")?,
        })
    }
}

impl State {
    pub fn new(bins: usize) -> Self {
        Self {
            form: Form::default(),
            look: None,
            found: None,
            binned: None,
            bins,
            zoom: Vec::new(),
            drag: None,
            near: None,
            curve: None,
            rules: Rules::default(),
            undo: Vec::new(),
            redo: Vec::new(),
            selected: None,
            listing: Listing { sort: Sort::MostRedundant, shown: Shown::All, search: String::new(), sets: false },
            order: Arc::default(),
            current: None,
            trail: Vec::new(),
            told: HashMap::new(),
            wanted: Vec::new(),
            save: None,
            typed: Typed::default(),
        }
    }

    /// Shows `found` under `rules`, and forgets all that belongs to samples that are no longer shown.
    pub fn show(&mut self, found: Arc<Found>, rules: Rules) {
        let fresh = Self::new(self.bins);
        let form = std::mem::take(&mut self.form);
        let (look, listing) = (self.look.take(), self.listing.clone());
        *self = Self { form, look, listing, typed: Typed::of(&rules), rules, found: Some(found), ..fresh };
        self.listing.search.clear();
    }

    /// Where a file goes by default.
    pub fn default_path(&self, what: Save) -> PathBuf {
        let Some(found) = &self.found else { return PathBuf::new() };
        let base = found.dataset.as_ref().map_or(found.embeddings.path(), Dataset::path);
        let name = match what {
            Save::Scores => "scores.jsonl",
            Save::Lists => "kept.jsonl",
            Save::Plot => "uniqueness.png",
            Save::Selection => "selection.json",
        };
        base.with_extension(name)
    }
}

/// A number without the commas that group its thousands; `None` where a comma means something else.
pub fn without_grouping(text: &str) -> Option<String> {
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut groups = whole.trim_start_matches('-').split(',');
    let first = groups.next().unwrap_or_default();
    let mut groups = groups.peekable();
    let first_fits = groups.peek().is_none() || (1..=3).contains(&first.len());
    let fits = first_fits && groups.all(|group| group.len() == 3) && !rest.contains(',');
    fits.then(|| text.replace(',', ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_group_thousands_and_nothing_else() {
        for (text, number) in [
            ("1,204", Some("1204")),
            ("12,345,678.5", Some("12345678.5")),
            ("0.25", Some("0.25")),
            ("-1e-3", Some("-1e-3")),
            ("0,9", None),
            ("7,5", None),
            ("1234,567", None),
            ("1,23,456", None),
            (",5", None),
            ("1.2,3", None),
        ] {
            assert_eq!(without_grouping(text).as_deref(), number, "{text}");
        }
    }
}
