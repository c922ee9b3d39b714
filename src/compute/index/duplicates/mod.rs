//! Near-duplicates: all pairs of docs as similar as a threshold, as groups, and what an index would overlook of them.
//!
//! [`pairs`] finds the pairs exactly, [`groups`] connects them, [`overlooked`] asks an index the same.

pub mod groups;
pub mod overlooked;
pub mod pairs;

use std::path::PathBuf;
use std::time::Instant;

use self::groups::{Group, Step};
use self::overlooked::Overlooked;
use self::pairs::Pairs;
use super::candidate::Candidate;
use super::session::{Lab, Options, question_in};
use super::truth::{Arena, Question};
use super::words::Words;
use crate::compute::error::{Error, Result};
use crate::compute::exact::ScoreParams;
use crate::compute::figures::{count, counted};
use crate::compute::metric::Metric;
use crate::compute::vectors::telling_dim;
use crate::job::Monitor;

/// Similarity from which docs are flagged, unless told otherwise.
pub const USUAL_THRESHOLD: f64 = 0.95;
/// Groups whose texts are read; the largest.
const TOLD_GROUPS: usize = 2000;

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct DuplicatesParams {
    /// A vector file, or the folder of a session: then its docs.
    pub docs: PathBuf,
    /// Of a vector file.
    pub dim: Option<usize>,
    /// The first docs of the file; `None` for all.
    pub num_docs: Option<usize>,
    /// `None` for that of the session, or cosine.
    pub metric: Option<Metric>,
    /// Least similarity, or most distance under euclidean; `None` for [`USUAL_THRESHOLD`].
    pub threshold: Option<f64>,
    /// Other docs that an index is asked for, doc by doc.
    pub neighbours: usize,
    /// Indexes to ask, as [`Candidate::parse`] reads them.
    pub indexes: Vec<String>,
    /// Budget of the exact search, in bytes.
    pub memory_budget: u64,
}

impl Default for DuplicatesParams {
    fn default() -> Self {
        Self {
            docs: PathBuf::new(),
            dim: None,
            num_docs: None,
            metric: None,
            threshold: None,
            neighbours: 10,
            indexes: Vec::new(),
            memory_budget: ScoreParams::DEFAULT_MEMORY,
        }
    }
}

impl DuplicatesParams {
    /// Looks at what can be judged without the files. `metric`, `dim`: of the docs.
    ///
    /// # Errors
    /// A threshold that means nothing under the metric; no neighbours; indexes that cannot be read.
    pub fn check(&self, metric: Metric, dim: usize) -> Result<()> {
        threshold_of(self, metric)?;
        if self.neighbours == 0 {
            let (expected, found) = ("1 at least".to_owned(), count(0));
            return Err(Error::Parameter { name: "neighbours", expected, found });
        }
        self.indexes.iter().try_for_each(|text| Candidate::parse(text, dim).map(drop))
    }
}

/// Which docs are near-duplicates.
#[derive(Debug, Clone, PartialEq)]
pub struct Duplicates {
    /// "40,000 docs, dim 384, cosine ≥ 0.95"
    pub title: String,
    pub docs_path: PathBuf,
    pub metric: Metric,
    pub threshold: f64,
    pub docs: usize,
    /// Pairs of docs within the threshold.
    pub pairs: u64,
    /// Docs that equal an earlier one to the last bit.
    pub equal_docs: usize,
    /// Largest first.
    pub groups: Vec<Group>,
    /// From the nearest pair to the threshold.
    pub curve: Vec<Step>,
    /// Of every index with every setting.
    pub overlooked: Vec<Overlooked>,
    /// Seconds that the exact search took.
    pub exact_secs: f64,
}

impl Duplicates {
    /// Docs that are in a group.
    pub fn grouped_docs(&self) -> usize {
        self.groups.iter().map(|group| group.docs.len()).sum()
    }
}

/// What is within a threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Within {
    pub metric: Metric,
    pub threshold: f64,
}

impl Within {
    pub fn holds(self, score: f64) -> bool {
        if self.metric.larger_is_nearer() { score >= self.threshold } else { score <= self.threshold }
    }

    /// "cosine ≥ 0.95"
    pub fn words(self) -> String {
        let sign = if self.metric.larger_is_nearer() { "≥" } else { "≤" };
        format!("{} {sign} {}", self.metric, self.threshold)
    }
}

/// Finds them.
///
/// # Errors
/// Parameters that make no sense; what [`Arena::open`] and [`Arena::check_vectors`] find; more pairs than the budget
/// holds; what an index could not do; cancelled.
pub fn run(params: &DuplicatesParams, options: &Options, monitor: &Monitor) -> Result<Duplicates> {
    let question = question_of(params)?;
    params.check(question.metric, question.dim)?;
    let within = Within { metric: question.metric, threshold: threshold_of(params, question.metric)? };
    let candidates: Vec<Candidate> =
        params.indexes.iter().map(|text| Candidate::parse(text, question.dim)).collect::<Result<_>>()?;
    let mut arena = Arena::open(&question)?;
    if arena.num_docs < 2 {
        let (expected, found) = ("at least 2 docs".to_owned(), counted(arena.num_docs, "doc", "docs"));
        return Err(Error::Parameter { name: "docs", expected, found });
    }
    if !(1..arena.num_docs).contains(&params.neighbours) {
        let expected = format!("1 to {}, the other docs", count(arena.num_docs - 1));
        return Err(Error::Parameter { name: "neighbours", expected, found: count(params.neighbours) });
    }
    // A doc finds itself, too, and is asked as a query.
    let asked = Question { top_k: params.neighbours + 1, num_queries: Some(arena.num_docs), ..question.clone() };
    arena = Arena::open(&asked)?;
    arena.check_vectors(monitor)?;
    let started = Instant::now();
    let (pairs, nearest) = Pairs::find(&arena, within, params.memory_budget, monitor)?;
    let exact_secs = started.elapsed().as_secs_f64();
    let mut groups = groups::of(&arena, &pairs, monitor)?;
    let curve = groups::curve(&pairs, within);
    let mut overlooked = Vec::new();
    let best = curve.first().map_or(within.threshold, |step| step.threshold);
    for candidate in &candidates {
        let judge =
            overlooked::Judge { arena: &arena, pairs: &pairs, groups: &groups, within, best, nearest: &nearest };
        overlooked.extend(judge.ask(candidate, options, monitor)?);
    }
    tell_texts(&mut groups, &question, monitor)?;
    let title = format!("{}, dim {}, {}", counted(arena.num_docs, "doc", "docs"), arena.dim(), within.words());
    Ok(Duplicates {
        title,
        docs_path: question.docs,
        metric: within.metric,
        threshold: within.threshold,
        docs: arena.num_docs,
        pairs: pairs.count(),
        equal_docs: arena.num_docs - pairs.classes(),
        groups,
        curve,
        overlooked,
        exact_secs,
    })
}

/// The docs, asked about themselves.
fn question_of(params: &DuplicatesParams) -> Result<Question> {
    let (docs, dim, num_docs, metric) = if Lab::is_in(&params.docs) {
        let question = question_in(&params.docs)?;
        let num_docs = params.num_docs.or(question.num_docs);
        (question.docs, question.dim, num_docs, params.metric.unwrap_or(question.metric))
    } else {
        let dim = match params.dim {
            Some(dim) => Some(dim),
            None => telling_dim(&params.docs)?,
        };
        let missing = || Error::Parameter {
            name: "dim",
            expected: "the dimensions of the vectors (--dim)".to_owned(),
            found: "nothing".to_owned(),
        };
        (params.docs.clone(), dim.ok_or_else(missing)?, params.num_docs, params.metric.unwrap_or(Metric::Cosine))
    };
    let queries = docs.clone();
    // One of each, to learn how many there are.
    Ok(Question {
        docs,
        queries,
        dim,
        num_docs,
        num_queries: Some(1),
        top_k: 1,
        metric,
        memory_budget: params.memory_budget,
    })
}

fn threshold_of(params: &DuplicatesParams, metric: Metric) -> Result<f64> {
    let expected = match metric {
        Metric::Cosine => "a similarity above −1, at most 1",
        Metric::Dot => "a finite similarity",
        Metric::Euclidean => "a distance of at least 0: euclidean has none that is usual",
    };
    let wrong = |found: String| Error::Parameter { name: "threshold", expected: expected.to_owned(), found };
    let threshold = match (params.threshold, metric) {
        (Some(threshold), _) => threshold,
        (None, Metric::Euclidean) => return Err(wrong("nothing".to_owned())),
        (None, _) => USUAL_THRESHOLD,
    };
    let fits = match metric {
        Metric::Cosine => threshold > -1.0 && threshold <= 1.0,
        Metric::Dot => threshold.is_finite(),
        Metric::Euclidean => threshold.is_finite() && threshold >= 0.0,
    };
    if fits { Ok(threshold) } else { Err(wrong(threshold.to_string())) }
}

/// Puts texts to the nearest pairs of the largest groups, where there are texts.
fn tell_texts(groups: &mut [Group], question: &Question, monitor: &Monitor) -> Result<()> {
    if groups.is_empty() {
        return Ok(());
    }
    let mut words = Words::beside(&question.docs, monitor)?;
    for group in groups.iter_mut().take(TOLD_GROUPS) {
        let texts = [group.tightest.doc, group.tightest.other].map(|doc| words.of(doc));
        group.texts = texts.iter().any(|text| !text.is_empty()).then_some(texts);
        monitor.check()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
