//! Work of the index lab, on threads of its own.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, PoisonError};

use super::super::grid::Grid;
use super::super::save_dialog::{SaveForm, Saved};
use super::super::work::{Slot, TextCache, text_of};
use crate::compute::atomic_file::write_atomically;
use crate::compute::demo;
use crate::compute::error::{Error, Result};
use crate::compute::histogram::{Bins, Histogram};
use crate::compute::index::NONE;
use crate::compute::index::candidate::Candidate;
use crate::compute::index::report::{Line, lines, short_table, table, usual_ks};
use crate::compute::index::session::{Lab, Options};
use crate::compute::index::truth::Question;
use crate::compute::table::{Column, Table};
use crate::job::{Monitor, Progress};

/// A session as it is shown.
#[derive(Debug)]
pub struct Opened {
    pub folder: PathBuf,
    pub title: String,
    pub question: Question,
    pub ks: Vec<usize>,
    pub lines: Vec<Line>,
    /// The lines, for reading.
    pub table: Table,
    /// The session itself, once nothing is run any more.
    pub lab: Option<Arc<Lab>>,
}

impl Opened {
    pub fn of(lab: &Lab) -> Self {
        let ks = usual_ks(lab.arena.top_k);
        let lines = lines(lab, &ks);
        let table = short_table(&lines, &ks);
        let arena = &lab.arena;
        let title = format!(
            "{} docs × {} queries, dim {}, {}, top-{}",
            crate::compute::figures::count(arena.num_docs),
            crate::compute::figures::count(arena.num_queries),
            arena.dim(),
            arena.metric,
            arena.top_k
        );
        let question = Question {
            docs: arena.docs.path().to_owned(),
            queries: arena.queries.path().to_owned(),
            dim: arena.dim(),
            num_docs: Some(arena.num_docs),
            num_queries: Some(arena.num_queries),
            top_k: arena.top_k,
            metric: arena.metric,
            memory_budget: crate::compute::exact::ScoreParams::DEFAULT_MEMORY,
        };
        Self { folder: lab.folder().to_owned(), title, question, ks, lines, table, lab: None }
    }
}

/// Queries of a contestant, those that lost most first.
#[derive(Debug)]
pub struct QueryList {
    pub line: usize,
    pub grid: Grid,
    /// The query of each row.
    pub queries: Vec<usize>,
}

/// Bins of the scores.
const BINS: usize = 80;

/// The scores of a contestant beside the exact ones, in percent of all exact scores.
#[derive(Debug)]
pub struct Scores {
    pub line: usize,
    pub title: String,
    /// What a score is.
    pub axis: &'static str,
    pub low: f64,
    pub high: f64,
    /// A value a bin.
    pub exact: Vec<f64>,
    pub found: Vec<f64>,
    pub lost: Vec<f64>,
    /// Percent of queries that lost the neighbour of each rank.
    pub by_rank: Vec<f64>,
    pub exact_count: usize,
    pub lost_count: usize,
}

/// Bins the scores of the contestant in `line`.
///
/// # Errors
/// Scores that cannot be binned.
pub fn bin_scores(lab: &Lab, line: usize) -> Result<Scores> {
    let (run, truth) = (&lab.runs[line], &lab.truth);
    let judged = &run.judged;
    let (k, queries) = (judged.k, judged.queries());
    let exact = || (0..queries).flat_map(|query| truth.scores_of(query)[..k].iter().copied());
    let found = || judged.scores.iter().copied().filter(|score| !score.is_nan());
    let low = exact().chain(found()).fold(f64::INFINITY, f64::min);
    let high = exact().chain(found()).fold(f64::NEG_INFINITY, f64::max);
    // Scores that are all the same still have a bin.
    let high = if high > low { high } else { low + 1e-6 };
    let total = (queries * k) as f64;
    let bins = Bins::new(low, high, BINS)?;
    let bin = |values: &mut dyn Iterator<Item = f64>| -> Vec<f64> {
        Histogram::of_values(values, bins).counts.iter().map(|&count| count as f64 * 100.0 / total).collect()
    };
    let mut by_rank = vec![0.0; k];
    let mut lost_scores = Vec::new();
    for query in 0..queries {
        for (rank, _) in judged.lost_of(truth, query) {
            by_rank[rank] += 100.0 / queries as f64;
            lost_scores.push(truth.scores_of(query)[rank]);
        }
    }
    Ok(Scores {
        line,
        title: run.info.title(),
        axis: lab.arena.metric.axis_label(),
        low,
        high,
        exact: bin(&mut exact()),
        found: bin(&mut found()),
        lost: bin(&mut lost_scores.iter().copied()),
        by_rank,
        exact_count: queries * k,
        lost_count: lost_scores.len(),
    })
}

/// A neighbour in words.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbour {
    pub doc: u32,
    pub score: f64,
    pub text: String,
    /// Whether the other list has it, too.
    pub is_shared: bool,
}

/// A query with what should have been found, and what was.
#[derive(Debug)]
pub struct Told {
    pub line: usize,
    pub query: usize,
    pub text: String,
    pub exact: Vec<Neighbour>,
    pub found: Vec<Neighbour>,
}

/// All work of the view.
pub struct Jobs {
    pub running: Slot<Result<(Opened, Vec<String>)>>,
    /// The session as it grows.
    pub grown: Option<Receiver<Opened>>,
    pub listing: Slot<QueryList>,
    pub binning: Slot<Result<Scores>>,
    pub telling: Slot<Result<Told>>,
    pub filling: Slot<Result<Question>>,
    pub saving: Slot<(SaveForm<()>, Result<Saved>)>,
}

impl Jobs {
    pub const fn new() -> Self {
        Self {
            running: Slot::empty(),
            grown: None,
            listing: Slot::empty(),
            binning: Slot::empty(),
            telling: Slot::empty(),
            filling: Slot::empty(),
            saving: Slot::empty(),
        }
    }

    pub fn is_busy(&self) -> bool {
        self.running.is_busy()
            || self.listing.is_busy()
            || self.binning.is_busy()
            || self.telling.is_busy()
            || self.filling.is_busy()
            || self.saving.is_busy()
    }

    pub fn progress(&self) -> Option<Progress> {
        self.running.progress().or_else(|| self.filling.progress())
    }

    pub fn cancel(&mut self) {
        self.running.cancel();
        self.filling.cancel();
    }
}

/// Runs candidates into a session; what fails is told, and the others go on.
pub fn run(
    question: &Question,
    candidates: &[Candidate],
    options: &Options,
    folder: &Path,
    grown: &Sender<Opened>,
    monitor: &Monitor,
) -> Result<(Opened, Vec<String>)> {
    let mut lab = Lab::begin(question, folder, monitor)?;
    let mut failures = Vec::new();
    for candidate in candidates {
        monitor.set_detail(candidate.name.as_str());
        // Nobody listens any more if the window shows something else.
        match lab.run(candidate, options, monitor, &mut |lab| drop(grown.send(Opened::of(lab)))) {
            Ok(()) => {}
            Err(Error::Cancelled) => break,
            Err(error) => failures.push(error.to_string()),
        }
    }
    Ok((whole(lab), failures))
}

/// Opens a session to look at it.
pub fn open(folder: &Path, monitor: &Monitor) -> Result<(Opened, Vec<String>)> {
    Ok((whole(Lab::open(folder, monitor)?), Vec::new()))
}

fn whole(mut lab: Lab) -> Opened {
    let opened = Opened::of(&lab);
    lab.release();
    Opened { lab: Some(Arc::new(lab)), ..opened }
}

/// The demo vectors as a question.
pub fn fill_demo(home: &Path) -> Result<Question> {
    let params = demo::unpack(home)?;
    Ok(Question {
        docs: params.docs,
        queries: params.queries,
        dim: params.dim,
        num_docs: None,
        num_queries: None,
        top_k: params.top_k,
        metric: params.metric,
        memory_budget: params.memory_budget,
    })
}

/// The queries of the contestant in `line`.
pub fn list_queries(lab: &Lab, line: usize) -> QueryList {
    let judged = &lab.runs[line].judged;
    let k = judged.k;
    let lost = |query: usize| k - (judged.recall_of(query, k) * k as f64).round() as usize;
    let mut queries: Vec<usize> = (0..judged.queries()).collect();
    queries.sort_by_key(|&query| (std::cmp::Reverse(lost(query)), query));
    let column = |name: &str| Column { name: name.to_owned(), is_number: true };
    let columns = vec![column("query"), column("lost"), column(&format!("recall@{k}")), column("nearest lost rank")];
    let rows = queries
        .iter()
        .map(|&query| {
            let first = judged.lost_of(&lab.truth, query).first().map(|(rank, _)| (rank + 1).to_string());
            vec![
                Some(query.to_string()),
                Some(lost(query).to_string()),
                Some(format!("{:.2}", judged.recall_of(query, k))),
                Some(first.unwrap_or_else(|| "–".to_owned())),
            ]
        })
        .collect();
    QueryList { line, grid: Grid::new(Table { columns, rows, is_cut: false }), queries }
}

/// Neighbours that are put into words.
const TOLD: usize = 30;

/// A query and both its lists, with texts where there are any.
pub fn tell(lab: &Lab, line: usize, query: usize, texts: &TextCache, monitor: &Monitor) -> Result<Told> {
    let mut texts = texts.lock().unwrap_or_else(PoisonError::into_inner);
    let mut words = |vectors: &Path, row: usize| -> Result<String> {
        let found = text_of(&mut texts, Some(vectors), row as u64, monitor)?;
        Ok(found.map_or(String::new(), |text| match (text.title.is_empty(), text.text.is_empty()) {
            (false, false) => format!("{} · {}", text.title, text.text),
            (true, _) => text.text,
            (false, true) => text.title,
        }))
    };
    let judged = &lab.runs[line].judged;
    let found = &judged.ids[query * judged.k..(query + 1) * judged.k];
    let exact = &lab.truth.ids_of(query)[..judged.k];
    let mut list = |ids: &[u32], others: &[u32]| -> Result<Vec<Neighbour>> {
        ids.iter()
            .filter(|id| **id != NONE)
            .take(TOLD)
            .map(|&doc| {
                let text = words(lab.arena.docs.path(), doc as usize)?;
                Ok(Neighbour { doc, score: lab.arena.score(query, doc), text, is_shared: others.contains(&doc) })
            })
            .collect()
    };
    let (exact, found) = (list(exact, found)?, list(found, exact)?);
    let text = words(lab.arena.queries.path(), query)?;
    Ok(Told { line, query, text, exact, found })
}

/// Writes the table with every measure.
pub fn save(form: &SaveForm<()>, opened: &Opened) -> Result<Saved> {
    let path = PathBuf::from(form.path.trim());
    if path.exists() && !form.replaces() {
        return Ok(Saved::Exists);
    }
    write_atomically(&path, &table(&opened.lines, &opened.ks).to_csv())?;
    Ok(Saved::Done(format!("Table written: {}", path.display())))
}
