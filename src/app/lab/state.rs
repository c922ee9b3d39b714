//! What the index lab knows.

use std::path::PathBuf;
use std::sync::Arc;

use super::super::grid::Grid;
use super::super::save_dialog::SaveForm;
use super::work::{Opened, QueryList, Scores, Told};
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
}

/// Everything of the view that is not saved.
#[derive(Default)]
pub struct State {
    pub form: Form,
    /// What is shown; grows while contestants are run.
    pub opened: Option<Arc<Opened>>,
    pub grid: Grid,
    /// The line that is looked at.
    pub current: Option<usize>,
    pub queries: Option<Arc<QueryList>>,
    pub scores: Option<Arc<Scores>>,
    pub tab: Tab,
    /// What is read fills the form.
    pub is_opening: bool,
    pub query: Option<usize>,
    pub told: Option<Arc<Told>>,
    pub save: Option<SaveForm<()>>,
}

impl State {
    /// Where the table goes unless the user says otherwise.
    pub fn default_path(&self) -> PathBuf {
        let folder = self.opened.as_ref().map(|opened| opened.folder.clone()).unwrap_or_default();
        folder.join("index-lab.csv")
    }
}
