//! The exact answer, and exact scores of any pair.

use std::path::PathBuf;

use rayon::prelude::*;

use super::Docs;
use crate::compute::error::{Error, Result};
use crate::compute::exact::Kernel;
use crate::compute::exact::engine::Engine;
use crate::compute::exact::plan::{ScoreParams, ScorePlan};
use crate::compute::figures::count;
use crate::compute::kernels::{self, Level};
use crate::compute::metric::Metric;
use crate::compute::vectors::VectorFile;
use crate::job::Monitor;

/// What all contestants are asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    pub docs: PathBuf,
    pub queries: PathBuf,
    pub dim: usize,
    /// The first docs of the file; `None` for all.
    pub num_docs: Option<usize>,
    /// The first queries of the file; `None` for all.
    pub num_queries: Option<usize>,
    /// Neighbours a query.
    pub top_k: usize,
    pub metric: Metric,
    /// Budget of the exact search, in bytes.
    pub memory_budget: u64,
}

/// A question whose files were opened and checked.
#[derive(Debug)]
pub struct Arena {
    pub docs: VectorFile,
    pub queries: VectorFile,
    pub num_docs: usize,
    pub num_queries: usize,
    pub top_k: usize,
    pub metric: Metric,
    level: Level,
    plan: ScorePlan,
}

impl Arena {
    /// Opens the files of a question.
    ///
    /// # Errors
    /// What [`ScorePlan::new`] finds; more queries than there are.
    pub fn open(question: &Question) -> Result<Self> {
        let queries = VectorFile::open(&question.queries, question.dim)?;
        let num_queries = question.num_queries.unwrap_or(queries.rows());
        if !(1..=queries.rows()).contains(&num_queries) {
            return Err(Error::Parameter {
                name: "num-queries",
                expected: format!("1 to {}, the queries of {}", count(queries.rows()), question.queries.display()),
                found: count(num_queries),
            });
        }
        let plan = ScorePlan::new(ScoreParams {
            docs: question.docs.clone(),
            queries: question.queries.clone(),
            dim: question.dim,
            num_docs: question.num_docs,
            top_k: question.top_k,
            n_values: vec![num_queries],
            m_repeats: 1,
            metric: question.metric,
            keep_ids: true,
            memory_budget: question.memory_budget,
            kernel: Kernel::Auto,
        })?;
        let docs = VectorFile::open(&question.docs, question.dim)?;
        let (num_docs, top_k, metric) = (plan.num_docs, question.top_k, question.metric);
        Ok(Self { docs, queries, num_docs, num_queries, top_k, metric, level: Level::detected(), plan })
    }

    /// Looks at every value once: NaN corrupts graphs silently, and zero vectors have no direction.
    ///
    /// # Errors
    /// Values that are not finite; zero vectors under cosine; cancelled.
    pub fn check_vectors(&self, monitor: &Monitor) -> Result<()> {
        self.plan.check_vectors(monitor)
    }

    pub fn dim(&self) -> usize {
        self.docs.dim()
    }

    /// The docs to index.
    pub fn indexed(&self) -> Docs<'_> {
        Docs { file: &self.docs, count: self.num_docs, metric: self.metric }
    }

    /// All queries, row-major.
    pub fn asked(&self) -> &[f32] {
        self.queries.rows_in(0..self.num_queries)
    }

    /// This program's exact search over the docs.
    ///
    /// # Errors
    /// Memory that does not suffice; cancelled.
    pub fn engine(&self, monitor: &Monitor) -> Result<Engine<'_>> {
        self.plan.engine(monitor)
    }

    /// The exact k nearest docs of every query, as this program's engine finds them.
    ///
    /// # Errors
    /// Memory that does not suffice; scores beyond float32; cancelled.
    pub fn exact_ids(&self, monitor: &Monitor) -> Result<Vec<u32>> {
        let engine = self.engine(monitor)?;
        let pairs = self.num_queries as u64 * self.num_docs as u64;
        monitor.begin("searching exactly", "query × doc pairs", pairs);
        Ok(engine.top_k(self.asked(), |query| query, monitor)?.docs)
    }

    /// The score of a query and a doc in float64.
    pub fn score(&self, query: usize, doc: u32) -> f64 {
        let (query, doc) = (self.queries.row(query), self.docs.row(doc as usize));
        let norm = |values: &[f32]| kernels::dot_f64(self.level, values, values).sqrt();
        match self.metric {
            Metric::Dot => kernels::dot_f64(self.level, query, doc),
            Metric::Cosine => kernels::dot_f64(self.level, query, doc) / (norm(query) * norm(doc)),
            Metric::Euclidean => kernels::squared_distance_f64(self.level, query, doc).sqrt(),
        }
    }
}

/// The exact answer to a question.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    pub top_k: usize,
    /// query_count × k, nearest first.
    pub ids: Vec<u32>,
    /// Their scores in float64.
    pub scores: Vec<f64>,
}

impl Truth {
    /// Scores `ids`, as [`Arena::exact_ids`] gave them.
    pub fn of(arena: &Arena, ids: Vec<u32>) -> Self {
        let top_k = arena.top_k;
        let scores = ids.par_iter().enumerate().map(|(place, &id)| arena.score(place / top_k, id)).collect();
        Self { top_k, ids, scores }
    }

    pub fn ids_of(&self, query: usize) -> &[u32] {
        &self.ids[query * self.top_k..(query + 1) * self.top_k]
    }

    pub fn scores_of(&self, query: usize) -> &[f64] {
        &self.scores[query * self.top_k..(query + 1) * self.top_k]
    }
}
