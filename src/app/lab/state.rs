//! What the index lab knows.

use std::path::PathBuf;
use std::sync::Arc;

use super::super::grid::Grid;
use super::super::save_dialog::SaveForm;
use super::super::state::Player;
use super::group::{Group, RangeForm};
use super::studies::{DocText, Kept, Side, Studies};
use super::work::{Opened, QueryList, Shown, Told};
use crate::compute::index::report::Line;
use crate::compute::index::scores::Scores;
use crate::compute::index::truth::Question;
use crate::compute::metric::Metric;

/// The fields at the left, as typed.
#[derive(Debug, Clone, PartialEq)]
pub struct Form {
    pub docs: String,
    pub queries: String,
    pub dim: String,
    pub num_docs: String,
    pub num_queries: String,
    pub top_k: String,
    pub metric: Metric,
    /// A candidate a line.
    pub indexes: String,
    pub builds: String,
    pub folder: String,
}

impl Default for Form {
    fn default() -> Self {
        Self {
            docs: String::new(),
            queries: String::new(),
            dim: String::new(),
            num_docs: String::new(),
            num_queries: "1000".to_owned(),
            top_k: "100".to_owned(),
            metric: Metric::Dot,
            indexes: usual_indexes().to_owned(),
            builds: "1".to_owned(),
            folder: String::new(),
        }
    }
}

impl Form {
    /// Takes over a question; no number of docs or queries stands for all.
    pub fn ask(&mut self, question: &Question) {
        let number = |number: Option<usize>| number.map_or(String::new(), |number| number.to_string());
        self.docs = question.docs.to_string_lossy().into_owned();
        self.queries = question.queries.to_string_lossy().into_owned();
        self.dim = question.dim.to_string();
        self.num_docs = number(question.num_docs);
        self.num_queries = number(question.num_queries);
        self.top_k = question.top_k.to_string();
        self.metric = question.metric;
    }

    /// Takes over the indexes that a session has, each search parameter with all values it had; none of a session of neighbour files.
    pub fn take_indexes(&mut self, lines: &[Line]) {
        /// An index with the values of each search parameter.
        struct Typed<'a> {
            index: &'a str,
            parameters: Vec<(&'a str, Vec<&'a str>)>,
        }
        let mut indexes: Vec<Typed<'_>> = Vec::new();
        for line in lines.iter().filter(|line| line.build_secs.is_some()) {
            // Lines of an index follow each other.
            if indexes.last().is_none_or(|last| last.index != line.index) {
                indexes.push(Typed { index: &line.index, parameters: Vec::new() });
            }
            let Some(Typed { parameters, .. }) = indexes.last_mut() else { continue };
            for (name, value) in line.setting.split(':').filter_map(|part| part.split_once('=')) {
                match parameters.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, values)) if values.contains(&value) => {}
                    Some((_, values)) => values.push(value),
                    None => parameters.push((name, vec![value])),
                }
            }
        }
        if indexes.is_empty() {
            return;
        }
        let typed = indexes.into_iter().map(|Typed { index, parameters }| {
            let parameters = parameters.into_iter().map(|(name, values)| format!(":{name}={}", values.join(",")));
            index.to_owned() + &parameters.collect::<String>()
        });
        self.indexes = typed.collect::<Vec<_>>().join("\n");
    }
}

/// What is tried unless the user says otherwise.
fn usual_indexes() -> &'static str {
    if cfg!(feature = "faiss") {
        "exact\nhnsw:M=16:efSearch=16,64,256\nivf-flat:nlist=64:nprobe=1,4,16\nhyperplane:probes=0,8"
    } else {
        "exact\nprecomputed\nhyperplane:probes=0,4,8"
    }
}

/// What stands in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tab {
    #[default]
    Speed,
    Scores,
    Studies,
}

/// Whose scores are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shows {
    #[default]
    All,
    /// Of the group, if there is one.
    Group,
    /// Of the frame that the player is at.
    Frame,
}

/// What can be saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Every measure of every contestant.
    Table,
    /// Recall against speed.
    Speed,
    /// The scores of the contestant that is looked at.
    Scores,
    /// The queries of the contestant that is looked at.
    Queries,
    /// The picture of the study that is shown.
    StudyPicture,
    /// The table of the study, and its notes.
    StudyTable,
    StudyNotes,
    /// Its longer table, where it has one.
    StudyMore,
    /// The rows that are listed of a row of its table.
    StudyList,
}

impl Part {
    /// What the dialog calls it, what it says of it, and the file's name and endings.
    pub fn words(self) -> (&'static str, &'static str, &'static str, &'static [&'static str]) {
        match self {
            Self::Table => ("Save table", "Every measure of every contestant", "index-lab", &["csv"]),
            Self::Speed => ("Save chart", "Recall against queries a second", "recall-speed", &["png", "svg"]),
            Self::Scores => (
                "Save scores",
                "A picture of what is shown, a video of all frames, or the bins as a table",
                "lost-scores",
                &["png", "svg", "mp4", "csv"],
            ),
            Self::Queries => ("Save queries", "Every query with what it lost", "queries", &["csv"]),
            Self::StudyPicture => ("Save picture", "As it is shown, larger", "study", &["png", "svg"]),
            Self::StudyTable => ("Save table", "Every figure of the study with all its digits", "study", &["csv"]),
            Self::StudyNotes => {
                ("Save notes", "What the study means, and its table: as text or as JSON", "study", &["txt", "json"])
            }
            Self::StudyMore => ("Save details", "What the rows of the study are made of", "study", &["csv"]),
            Self::StudyList => ("Save list", "The rows that are listed, with their texts", "study", &["csv"]),
        }
    }
}

/// Everything of the view that is not saved.
pub struct State {
    pub form: Form,
    /// What is shown; grows while contestants are run.
    pub opened: Option<Arc<Opened>>,
    pub grid: Grid,
    /// The line that is looked at.
    pub current: Option<usize>,
    pub queries: Option<Arc<QueryList>>,
    pub scores: Option<Arc<Shown>>,
    /// Of the frames of the scores.
    pub player: Player,
    pub shows: Shows,
    /// Queries that lists and scores keep to.
    pub group: Option<Arc<Group>>,
    /// What is being dragged over, from and to.
    pub drag: Option<(f64, f64)>,
    /// The dialog that asks for a range.
    pub range: Option<RangeForm>,
    pub tab: Tab,
    pub studies: Studies,
    /// What is read fills the form.
    pub is_opening: bool,
    pub query: Option<usize>,
    pub told: Option<Arc<Told>>,
    /// The doc that is read, and its text once it is there.
    pub doc: Option<u32>,
    pub read: Option<DocText>,
    pub save: Option<SaveForm<Part>>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            form: Form::default(),
            opened: None,
            grid: Grid::default(),
            current: None,
            queries: None,
            scores: None,
            player: Player::new(false),
            shows: Shows::default(),
            group: None,
            drag: None,
            range: None,
            tab: Tab::default(),
            studies: Studies::default(),
            is_opening: false,
            query: None,
            told: None,
            doc: None,
            read: None,
            save: None,
        }
    }
}

impl State {
    /// Where a part goes unless the user says otherwise.
    pub fn default_path(&self, part: Part) -> PathBuf {
        let folder = self.opened.as_ref().map(|opened| opened.folder.clone()).unwrap_or_default();
        let (_, _, name, endings) = part.words();
        folder.join(name).with_extension(endings[0])
    }

    pub fn frames(&self) -> usize {
        self.scores.as_ref().map_or(0, |shown| shown.scores.frames.len())
    }

    /// The scores that are shown, and the place of their frame; none for all of them.
    pub fn in_sight<'a>(&self, shown: &'a Shown) -> (&'a Scores, Option<usize>) {
        match (self.shows, &shown.group) {
            (Shows::Group, Some(group)) => (group, None),
            (Shows::Frame, _) => {
                (&shown.scores, Some(self.player.index.min(shown.scores.frames.len().saturating_sub(1))))
            }
            _ => (&shown.scores, None),
        }
    }

    /// Whether a query or a doc is looked at.
    pub fn has_detail(&self) -> bool {
        self.query.is_some() || self.doc.is_some()
    }

    /// From a query or a doc back to the list.
    pub fn close_detail(&mut self) {
        (self.query, self.told, self.doc, self.read) = (None, None, None, None);
    }

    /// The rows that are listed, and the file that they are of.
    pub fn list(&self) -> Option<(Vec<u32>, PathBuf)> {
        let (listed, opened) = (self.studies.listed.as_ref()?, self.opened.as_ref()?);
        let vectors = match listed.side {
            Side::Queries => &opened.question.queries,
            Side::Docs => &opened.question.docs,
        };
        Some((listed.rows(listed.side).to_vec(), vectors.clone()))
    }

    /// The part of a finding that a part is.
    pub fn kept(&self, part: Part) -> Option<Kept> {
        match part {
            Part::StudyPicture => Some(Kept::Picture(self.studies.picture)),
            Part::StudyTable => Some(Kept::Table),
            Part::StudyNotes => Some(Kept::Notes),
            Part::StudyMore => Some(Kept::More),
            Part::StudyList => Some(Kept::List(self.studies.listed.as_ref()?.side)),
            Part::Table | Part::Speed | Part::Scores | Part::Queries => None,
        }
    }
}
