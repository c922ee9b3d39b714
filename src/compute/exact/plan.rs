//! What a session will do, decided and checked before anything is computed or written.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::choice::{Choice, Kernel};
use super::engine::{Engine, EngineStats};
use super::sample_queries;
use super::size::{Demand, EngineSize, Filter, TILE};
use crate::compute::error::{Error, Result};
use crate::compute::figures::{count, counted};
use crate::compute::kernels::Level;
use crate::compute::kernels::fused::PANEL;
use crate::compute::kernels::int8::Dot;
use crate::compute::metric::Metric;
use crate::compute::vectors::{VectorFile, telling_dim};
use crate::job::Monitor;

/// More runs than this make no animation, and a manifest rewritten after each would be the main work.
pub const MAX_RUNS: usize = 10_000;

/// What the user asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreParams {
    pub docs: PathBuf,
    pub queries: PathBuf,
    pub dim: usize,
    /// The first rows of `docs` that are searched; `None` for all.
    pub num_docs: Option<usize>,
    pub top_k: usize,
    /// Queries per run, in the order of the runs.
    pub n_values: Vec<usize>,
    /// Repeats of each N.
    pub m_repeats: usize,
    pub metric: Metric,
    /// Whether doc ids are stored beside the scores.
    pub keep_ids: bool,
    /// Budget for buffers, in bytes; maps of the vector files are the system's page cache.
    pub memory_budget: u64,
    /// How docs are filtered; the result is the same.
    pub kernel: Kernel,
}

impl ScoreParams {
    /// A quarter of a typical small machine; `--memory` changes it.
    pub const DEFAULT_MEMORY: u64 = 1_000_000_000;
}

/// One run: the next `n` queries after those of the run before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunSpec {
    pub n: usize,
    pub m: usize,
    /// Counts on over the whole session; the row is this modulo the rows of the query file.
    pub query_start: usize,
}

impl RunSpec {
    pub fn score_file(&self) -> String {
        format!("scores_N{}_M{}.bin", self.n, self.m)
    }

    pub fn ids_file(&self) -> String {
        format!("ids_N{}_M{}.bin", self.n, self.m)
    }

    /// One past the last query.
    pub fn query_end(&self) -> usize {
        self.query_start + self.n
    }
}

/// A session that can run: dims agree, 1 ≤ k ≤ numDocs ≤ rows, N and M make sense, buffers fit.
#[derive(Debug)]
pub struct ScorePlan {
    pub docs: VectorFile,
    pub queries: VectorFile,
    pub num_docs: usize,
    pub params: ScoreParams,
    pub runs: Vec<RunSpec>,
    pub choice: Choice,
    pub size: EngineSize,
    report: Mutex<EngineStats>,
}

/// How long a plan takes, from a short calibration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Query × doc pairs a second.
    pub pairs_per_sec: f64,
    pub duration_secs: f64,
}

impl ScorePlan {
    /// Checks everything that can be checked without reading the vectors.
    ///
    /// # Errors
    /// Every kind of bad parameter or file that [`Error`] names, first the parameters, then docs,
    /// then queries.
    pub fn new(params: ScoreParams) -> Result<Self> {
        let runs = runs_of(&params.n_values, params.m_repeats)?;
        let docs = VectorFile::open(&params.docs, params.dim)?;
        let num_docs = params.num_docs.unwrap_or(docs.rows());
        check_positive("numDocs", num_docs)?;
        if num_docs > docs.rows() {
            return Err(Error::TooFewDocs { num_docs, rows: docs.rows(), dim: params.dim, path: params.docs.clone() });
        }
        if u32::try_from(num_docs).is_err() {
            return Err(Error::Parameter {
                name: "numDocs",
                expected: "at most 4,294,967,295 (doc ids are 32 bits)".to_owned(),
                found: count(num_docs),
            });
        }
        check_positive("topK", params.top_k)?;
        if params.top_k > num_docs {
            return Err(Error::TopKBeyondDocs { top_k: params.top_k, num_docs });
        }
        let queries = VectorFile::open(&params.queries, params.dim)?;
        let scores = runs.last().map_or(0, RunSpec::query_end).checked_mul(params.top_k);
        if scores.and_then(|scores| scores.checked_mul(8)).is_none() {
            return Err(too_large("N × M × topK"));
        }
        let needed = runs.last().map_or(0, RunSpec::query_end);
        let threads = rayon::current_num_threads();
        let (dim, top_k) = (params.dim, params.top_k);
        let demand = Demand { dim, num_docs, top_k, queries: needed.min(queries.rows()), threads };
        let choice = Choice::make(params.kernel, &demand, Dot::within(Level::detected()));
        let (choice, size) = choice.fit(params.memory_budget, &demand)?;
        Ok(Self { docs, queries, num_docs, params, runs, choice, size, report: Mutex::default() })
    }

    /// Queries that all runs need together.
    pub fn queries_needed(&self) -> usize {
        self.runs.last().map_or(0, RunSpec::query_end)
    }

    /// Queries beyond the file: they are rows seen before, and no new evidence.
    pub fn reused_queries(&self) -> usize {
        self.queries_needed().saturating_sub(self.queries.rows())
    }

    /// The first run that holds a reused query.
    pub fn first_reused_run(&self) -> Option<usize> {
        self.runs.iter().position(|run| run.query_end() > self.queries.rows())
    }

    /// Bytes of scores and ids.
    pub fn bytes_to_write(&self) -> u64 {
        let per_score = if self.params.keep_ids { 8 } else { 4 };
        self.queries_needed() as u64 * self.params.top_k as u64 * per_score
    }

    /// The same without those of the first `done` queries.
    pub fn bytes_left(&self, done: usize) -> u64 {
        let per_query = self.bytes_to_write() / self.queries_needed().max(1) as u64;
        self.bytes_to_write().saturating_sub(done as u64 * per_query)
    }

    /// Bytes of buffers at the peak, whatever numDocs and N are; at most the budget.
    pub fn peak_memory_bytes(&self) -> u64 {
        self.size.most_bytes(self.params.dim, self.params.top_k)
    }

    /// Queries that must be computed; reused ones are copied from the run that had them first.
    pub fn queries_to_compute(&self) -> usize {
        self.queries_needed().min(self.queries.rows())
    }

    /// Looks at every value that will be used: all finite, and under cosine no zero rows.
    pub fn check_vectors(&self, monitor: &Monitor) -> Result<()> {
        let query_rows = self.queries_to_compute();
        monitor.begin("checking vectors", "rows", (self.num_docs + query_rows) as u64);
        let no_zero_rows = self.params.metric == Metric::Cosine;
        monitor.set_detail("docs");
        self.docs.check_rows(0..self.num_docs, no_zero_rows, monitor)?;
        monitor.set_detail("queries");
        self.queries.check_rows(0..query_rows, no_zero_rows, monitor)
    }

    /// Makes the engine ready: what it keeps of the docs is made here.
    ///
    /// # Errors
    /// Docs that shrank; cancelled.
    pub fn engine(&self, monitor: &Monitor) -> Result<Engine<'_>> {
        let ScoreParams { metric, top_k, .. } = self.params;
        Engine::new(
            &self.docs,
            self.num_docs,
            metric,
            top_k,
            self.size,
            Level::detected(),
            &self.sampled_queries()?,
            monitor,
        )
    }

    /// Some queries, by which the engine tunes itself.
    fn sampled_queries(&self) -> Result<Vec<f32>> {
        self.queries.check_size()?;
        Ok(sample_queries(self.queries_to_compute()).flat_map(|row| self.queries.row(row)).copied().collect())
    }

    /// Keeps what an engine did for [`ScorePlan::report`].
    pub fn keep_report(&self, stats: EngineStats) {
        *self.report.lock().unwrap_or_else(PoisonError::into_inner) = stats;
    }

    /// What the engine did when the session was scored last.
    pub fn report(&self) -> EngineStats {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Times a small part of the work (some 100 ms) and scales it up; `done_queries` are finished.
    ///
    /// Reads only rows whose values it checked first, so it can come before [`Self::check_vectors`].
    pub fn estimate(&self, done_queries: usize, monitor: &Monitor) -> Result<Estimate> {
        const SAMPLE_QUERIES: usize = 2 * TILE;
        const SAMPLE_BYTES: usize = 64 << 20;
        const DOCS_PER_NEIGHBOUR: usize = 32;
        const LEAST_QUERIES: usize = TILE / 2;
        const SLOW_SECS: f64 = 0.15;
        // Some 30 ms on two cores.
        let sample_products: usize = match self.choice.filter {
            Filter::Float32 => 1 << 31,
            Filter::Int8(_) => 1 << 33,
        };
        let queries = self.queries_to_compute().min(SAMPLE_QUERIES).min(self.size.pass_queries);
        let by_work = sample_products / (queries.max(PANEL) * self.params.dim);
        let by_bytes = SAMPLE_BYTES / (4 * self.params.dim);
        // Of few docs most are among the nearest for a while, and finding out which takes longer than all else.
        let many = by_work.max(self.params.top_k.saturating_mul(DOCS_PER_NEIGHBOUR));
        let docs = many.min(by_bytes).max(self.params.top_k).clamp(1, self.num_docs);
        let queries = queries.min((sample_products / (docs * self.params.dim)).max(LEAST_QUERIES));
        let no_zero_rows = self.params.metric == Metric::Cosine;
        self.docs.check_rows(0..docs, no_zero_rows, &Monitor::new())?;
        self.queries.check_rows(0..queries, no_zero_rows, &Monitor::new())?;
        for row in sample_queries(self.queries_to_compute()) {
            self.queries.check_rows(row..row + 1, no_zero_rows, &Monitor::new())?;
        }
        let ScoreParams { metric, top_k, .. } = self.params;
        // The same is chosen as for all docs.
        let size = EngineSize { docs_kept: true, block_docs: docs, queries: self.size.expected(), ..self.size };
        let sample = self.sampled_queries()?;
        let engine = Engine::new(&self.docs, docs, metric, top_k, size, Level::detected(), &sample, monitor)?;
        let queries = queries.min(engine.size().pass_queries);
        let tuning_secs = engine.stats().tuning_secs;
        let coding_secs = engine.stats().coding_secs / docs as f64 * self.num_docs as f64;
        // The first time warms caches and pages; the better of the others is what lasts.
        let mut secs = f64::INFINITY;
        for round in 0..3 {
            let started = Instant::now();
            engine.top_k(self.queries.rows_in(0..queries), |query| query, monitor)?;
            let took = started.elapsed().as_secs_f64();
            // What takes long does so for another reason, and is not repeated.
            if round > 0 || took > SLOW_SECS {
                secs = secs.min(took);
            }
            if took > SLOW_SECS {
                break;
            }
        }
        let pairs_per_sec = (queries * docs) as f64 / secs.max(1e-9);
        let left = self.queries_to_compute().saturating_sub(done_queries);
        // Docs that are not kept are coded again in every pass.
        let is_made_once = self.size.docs_kept || engine.size().filter == Filter::Float32;
        let codings = if is_made_once { 1 } else { left.div_ceil(self.size.pass_queries) };
        let scoring_secs = left as f64 * self.num_docs as f64 / pairs_per_sec;
        Ok(Estimate { pairs_per_sec, duration_secs: scoring_secs + codings as f64 * coding_secs + tuning_secs })
    }

    /// What a user should know before starting, in sentences.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for file in [&self.docs, &self.queries] {
            // A file that cannot be read any more is told by the work itself.
            if let Some(dim) = telling_dim(file.path()).ok().flatten().filter(|&dim| dim != file.dim()) {
                warnings.push(format!(
                    "{} looks like dim {}, not {}",
                    file.path().display(),
                    count(dim),
                    count(file.dim())
                ));
            }
        }
        if let Some(first) = self.first_reused_run() {
            let run = self.runs[first];
            warnings.push(format!(
                "{} needed, the file has {}: from run {} of {} (N = {}, repeat {}) on, {} are reused. Reused \
                 queries are no new evidence",
                counted(self.queries_needed(), "query is", "queries are"),
                count(self.queries.rows()),
                count(first + 1),
                count(self.runs.len()),
                count(run.n),
                count(run.m + 1),
                counted(self.reused_queries(), "query", "queries"),
            ));
        }
        warnings
    }
}

/// Parses a list like `10,50,100`; blanks around the numbers are fine.
///
/// # Errors
/// An empty list, an entry that is no whole number of at least 1, or one that comes twice.
pub fn parse_n_values(text: &str) -> Result<Vec<usize>> {
    let expected = || "whole numbers of at least 1, separated by commas, like 10,100,1000".to_owned();
    let mut values = Vec::new();
    for entry in text.split(',').map(str::trim) {
        let found = if entry.is_empty() { "an empty entry".to_owned() } else { entry.to_owned() };
        match entry.replace('_', "").parse::<usize>() {
            Ok(value) if value > 0 => values.push(value),
            _ if text.trim().is_empty() => {
                return Err(Error::Parameter { name: "N", expected: expected(), found: "nothing".to_owned() });
            }
            _ => return Err(Error::Parameter { name: "N", expected: expected(), found }),
        }
    }
    runs_of(&values, 1)?;
    Ok(values)
}

fn check_positive(name: &'static str, value: usize) -> Result<()> {
    if value == 0 {
        let expected = "a whole number of at least 1".to_owned();
        return Err(Error::Parameter { name, expected, found: "0".to_owned() });
    }
    Ok(())
}

fn too_large(name: &'static str) -> Error {
    Error::Parameter {
        name,
        expected: "a product that this machine can count".to_owned(),
        found: "numbers too large to multiply".to_owned(),
    }
}

fn runs_of(n_values: &[usize], m_repeats: usize) -> Result<Vec<RunSpec>> {
    if n_values.is_empty() {
        let expected = "at least one number of queries".to_owned();
        return Err(Error::Parameter { name: "N", expected, found: "an empty list".to_owned() });
    }
    for (index, &n) in n_values.iter().enumerate() {
        check_positive("N", n)?;
        if n_values[..index].contains(&n) {
            return Err(Error::Parameter {
                name: "N",
                expected: "every value once (each names its own files; use M for repeats)".to_owned(),
                found: format!("{n} twice"),
            });
        }
    }
    check_positive("M", m_repeats)?;
    let run_count = n_values.len().checked_mul(m_repeats).ok_or_else(|| too_large("N × M"))?;
    if run_count > MAX_RUNS {
        return Err(Error::Parameter {
            name: "N × M",
            expected: format!("at most {} runs, each is a frame", count(MAX_RUNS)),
            found: format!("{} runs", count(run_count)),
        });
    }
    let mut runs = Vec::with_capacity(run_count);
    let mut query_start = 0usize;
    for &n in n_values {
        for m in 0..m_repeats {
            runs.push(RunSpec { n, m, query_start });
            query_start = query_start.checked_add(n).ok_or_else(|| too_large("N × M"))?;
        }
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_follow_each_other_and_never_reset() {
        let runs = runs_of(&[10, 3], 2).expect("valid");
        let starts: Vec<_> = runs.iter().map(|run| (run.n, run.m, run.query_start)).collect();
        assert_eq!(starts, [(10, 0, 0), (10, 1, 10), (3, 0, 20), (3, 1, 23)]);
        assert_eq!(runs[3].score_file(), "scores_N3_M1.bin");
        assert_eq!(runs[3].ids_file(), "ids_N3_M1.bin");
    }

    #[test]
    fn n_lists_are_parsed_or_refused_in_words() {
        assert_eq!(parse_n_values("10, 50,1_000").expect("valid"), [10, 50, 1000]);
        for (text, found) in [
            ("", "found nothing"),
            ("10,,20", "found an empty entry"),
            ("0", "found 0"),
            ("-5", "found -5"),
            ("ten", "found ten"),
            ("1e3", "found 1e3"),
            ("99999999999999999999999", "found 99999999999999999999999"),
            ("10,10", "found 10 twice"),
        ] {
            let message = parse_n_values(text).expect_err(text).to_string();
            assert!(message.contains(found), "{text}: {message}");
        }
    }

    #[test]
    fn products_too_large_are_refused() {
        for (n_values, m_repeats, name) in [
            (vec![usize::MAX, 1], 1, "N × M"),
            (vec![1, 2, 3], usize::MAX, "N × M"),
            (vec![1], 10_001, "N × M"),
            (vec![1], 0, "M"),
            (vec![], 1, "N"),
        ] {
            let error = runs_of(&n_values, m_repeats).expect_err("too large");
            assert!(matches!(error, Error::Parameter { name: found, .. } if found == name), "{error}");
        }
    }
}
