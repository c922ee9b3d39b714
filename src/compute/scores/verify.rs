//! Checks a finished session: recomputes queries by brute force in float64, beside the engine and
//! without it, and compares what is stored.

use std::cmp::Ordering;

use rayon::prelude::*;

use super::manifest::{MANIFEST_NAME, Manifest};
use super::store::ScoreStore;
use crate::compute::error::{Error, Result};
use crate::compute::figures::{count, grouped};
use crate::compute::kernels::{self, Level};
use crate::compute::metric::Metric;
use crate::compute::vectors::VectorFile;
use crate::job::Monitor;

/// How far scores of a tool that adds in float32 may be off, as a share of ‖query‖‖doc‖, up to a dim of
/// [`FLOAT32_DIM`]; beyond it the share grows with the dim.
const FLOAT32_ROUNDING: f64 = 1e-6;
const FLOAT32_DIM: usize = 384;
/// Queries that share a pass over the docs, and docs they keep together, at most: bounds the memory
/// whatever the sample.
const PASS_QUERIES: usize = 1024;
const PASS_DOCS: usize = 1 << 22;
/// Docs that are scored between two looks at the monitor, at most.
const BLOCK_DOCS: usize = 4096;
const BLOCK_BYTES: usize = 1 << 20;

/// What [`verify`] found.
#[derive(Debug, Clone, PartialEq)]
pub struct Verification {
    /// Queries that were recomputed, of `total_queries` in all finished runs.
    pub checked: u64,
    pub total_queries: u64,
    pub num_docs: u64,
    pub top_k: u64,
    /// `None` if scores were compared bit for bit. Of another tool's session, the largest difference
    /// between a stored and a recomputed score, in score units.
    pub largest_difference: Option<f64>,
    /// Whether doc ids were compared too.
    pub ids_checked: bool,
    /// What is visibly damaged in any stored query, recomputed or not: the first of each run.
    pub damaged: Vec<String>,
    /// Every checked query whose stored top-k is not right, in session order.
    pub wrong: Vec<WrongQuery>,
    /// Queries with a tie at the k-th place.
    pub tied_queries: u64,
    /// The first [`Verification::LISTED_TIES`] of them.
    pub ties: Vec<TiedQuery>,
    /// Queries without such a tie, whose k-th and next score are the same float32.
    pub too_close_queries: u64,
    /// The smallest gap that is no tie; the first of equals.
    pub closest_miss: Option<Miss>,
}

impl Verification {
    pub const LISTED_TIES: usize = 5;
}

/// The first rank at which a stored top-k is wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WrongQuery {
    /// Index of the run.
    pub run: usize,
    /// Row in the query file.
    pub query_row: u64,
    /// 0 for the nearest doc.
    pub rank: u64,
    /// `None` where ids were not compared.
    pub stored_doc: Option<u32>,
    pub stored_score: f32,
    pub expected_doc: u32,
    pub expected_score: f64,
}

/// A query whose k-th score is that of docs outside the top-k too, to the last bit of float64: only the
/// lower id decides among them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TiedQuery {
    /// Row in the query file.
    pub query_row: u64,
    /// Docs outside the top-k with the k-th score.
    pub docs: u64,
}

/// The best doc outside the top-k of a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Miss {
    /// Row in the query file.
    pub query_row: u64,
    pub doc: u32,
    /// Between the k-th score and that of the doc, > 0, in score units.
    pub gap: f64,
    /// Whether both scores are the same float32.
    pub same_float32: bool,
}

/// Recomputes `sample` queries of the finished runs, spread evenly, or all if there are no more.
///
/// Scores of this program's sessions must be the float32 of the float64 score bit for bit, ids must be
/// equal. Sessions of the older tool hold no ids and leave the order within a query open; their sorted
/// scores are compared within float32 rounding.
///
/// # Errors
/// `sample` 0; no finished runs; vector files that are missing, were changed since, or hold values that
/// cannot be scored; cancelled. What is stored wrongly is no error but in the result.
pub fn verify(store: &ScoreStore, sample: usize, monitor: &Monitor) -> Result<Verification> {
    if sample == 0 {
        let expected = "a whole number of at least 1".to_owned();
        return Err(Error::Parameter { name: "sample", expected, found: "0".to_owned() });
    }
    let session = Session::open(store)?;
    monitor.begin("checking vectors", "rows", session.num_docs as u64);
    session.docs.check_rows(0..session.num_docs, session.no_zero_rows(), monitor)?;

    let damaged = session.damaged(monitor)?;
    let checked = session.total.min(sample as u64);
    monitor.begin("verifying", "query × doc pairs", checked.saturating_mul(session.num_docs as u64));
    let mut result = Verification { damaged, ..session.nothing_found(checked) };
    let pass = (PASS_DOCS / (2 * session.keep())).clamp(1, PASS_QUERIES);
    for first in (0..checked).step_by(pass) {
        let picks: Vec<Pick> =
            (first..checked.min(first + pass as u64)).map(|index| session.pick(index, checked)).collect();
        for (pick, nearest) in picks.iter().zip(session.scan(&picks, monitor)?) {
            session.compare(pick, &nearest, &mut result)?;
            session.measure(pick, &nearest, &mut result);
        }
    }
    monitor.check()?;
    Ok(result)
}

/// A session with its vectors: 1 ≤ topK ≤ numDocs ≤ docs, and at least one run.
struct Session<'a> {
    store: &'a ScoreStore,
    docs: VectorFile,
    queries: VectorFile,
    num_docs: usize,
    top_k: usize,
    metric: Metric,
    level: Level,
    /// Whether this program wrote it.
    ours: bool,
    /// Queries before each run and in all, counted over the finished runs.
    starts: Vec<u64>,
    total: u64,
}

/// A query of a session.
struct Pick {
    run: usize,
    /// Its number in the run.
    query: u64,
    /// Row in the query file.
    row: usize,
}

impl<'a> Session<'a> {
    fn open(store: &'a ScoreStore) -> Result<Self> {
        let manifest = store.manifest();
        if manifest.runs.is_empty() {
            return Err(Error::NoRuns { path: store.folder().to_owned() });
        }
        check_counts(store, manifest)?;
        let docs = open_vectors(store, &manifest.docs, manifest.docs_fingerprint.as_deref())?;
        let queries = open_vectors(store, &manifest.queries, manifest.queries_fingerprint.as_deref())?;
        check_lengths(manifest, &docs, &queries)?;
        let mut total = 0u64;
        let starts = manifest.runs.iter().map(|run| {
            let start = total;
            total = total.saturating_add(run.n);
            start
        });
        Ok(Self {
            starts: starts.collect(),
            store,
            docs,
            queries,
            num_docs: manifest.num_docs as usize,
            top_k: manifest.top_k as usize,
            metric: manifest.metric,
            level: Level::detected(),
            ours: manifest.docs_fingerprint.is_some() && manifest.queries_fingerprint.is_some(),
            total,
        })
    }

    fn nothing_found(&self, checked: u64) -> Verification {
        Verification {
            checked,
            total_queries: self.total,
            num_docs: self.num_docs as u64,
            top_k: self.top_k as u64,
            largest_difference: (!self.ours).then_some(0.0),
            ids_checked: self.ours && self.store.runs().iter().all(|run| run.ids_file.is_some()),
            damaged: Vec::new(),
            wrong: Vec::new(),
            tied_queries: 0,
            ties: Vec::new(),
            too_close_queries: 0,
            closest_miss: None,
        }
    }

    /// Looks at all that is stored for what cannot be right: scores that are no numbers or out of order,
    /// docs that are not there or there twice.
    fn damaged(&self, monitor: &Monitor) -> Result<Vec<String>> {
        /// Scores read at once.
        const TOGETHER: usize = 1 << 20;
        let runs = self.store.runs();
        monitor.begin("looking at what is stored", "scores", runs.iter().map(|run| run.num_scores).sum());
        let mut damaged = Vec::new();
        for (index, run) in runs.iter().enumerate() {
            let mut first = 0;
            while first < run.num_scores {
                let queries = (TOGETHER / self.top_k).max(1);
                let count = (queries * self.top_k).min((run.num_scores - first) as usize);
                let scores = self.store.scores(index, first, count)?;
                let ids = if self.ours { self.store.ids(index, first, count)? } else { None };
                let what = (0..count / self.top_k).find_map(|query| {
                    let range = query * self.top_k..(query + 1) * self.top_k;
                    let ids = ids.as_ref().map(|ids| &ids[range.clone()]);
                    let what = self.damage(&scores[range], ids)?;
                    Some((first / self.top_k as u64 + query as u64, what))
                });
                if let Some((query, what)) = what {
                    damaged.push(format!("{}: query {} of the run: {what}", run.file, grouped(query)));
                    break;
                }
                first += count as u64;
                monitor.advance(count as u64)?;
            }
        }
        Ok(damaged)
    }

    fn damage(&self, scores: &[f32], ids: Option<&[u32]>) -> Option<&'static str> {
        if scores.iter().any(|score| !score.is_finite()) {
            return Some("a score is no finite number");
        }
        let out_of_order =
            |pair: &[f32]| self.metric.nearest_first(f64::from(pair[0]), f64::from(pair[1])) == Ordering::Greater;
        // The order within a query is not defined in sessions of the older tool.
        if self.ours && scores.windows(2).any(out_of_order) {
            return Some("scores are not nearest first");
        }
        let mut ids = ids?.to_vec();
        ids.sort_unstable();
        if ids.last().is_some_and(|&last| last as usize >= self.num_docs) {
            return Some("a doc id is beyond numDocs");
        }
        ids.windows(2).any(|pair| pair[0] == pair[1]).then_some("a doc comes twice")
    }

    /// Docs kept of each query: the top-k and the next.
    fn keep(&self) -> usize {
        self.top_k + 1
    }

    fn no_zero_rows(&self) -> bool {
        self.metric == Metric::Cosine
    }

    /// Query `index` of a sample of `checked`.
    fn pick(&self, index: u64, checked: u64) -> Pick {
        let number = (u128::from(index) * u128::from(self.total) / u128::from(checked)) as u64;
        let run = self.starts.partition_point(|&start| start <= number) - 1;
        let query = number - self.starts[run];
        let row = (self.store.runs()[run].query_start_index + query) % self.queries.rows() as u64;
        Pick { run, query, row: row as usize }
    }

    /// Scores every doc for every pick, in one pass over the docs.
    fn scan(&self, picks: &[Pick], monitor: &Monitor) -> Result<Vec<Nearest<'_>>> {
        let dim = self.docs.dim();
        let mut all = picks.iter().map(|pick| self.nearest_of(pick.row)).collect::<Result<Vec<_>>>()?;
        let block = (BLOCK_BYTES / (dim * 4)).clamp(1, BLOCK_DOCS);
        for first in (0..self.num_docs).step_by(block) {
            self.docs.check_size()?;
            self.queries.check_size()?;
            let rows = first..(first + block).min(self.num_docs);
            let values = self.docs.rows_in(rows.clone());
            let norms: Vec<f64> = values.par_chunks_exact(dim).map(|row| self.norm_if_needed(row)).collect();
            all.par_iter_mut().for_each(|nearest| {
                for ((row, &norm), doc) in values.chunks_exact(dim).zip(&norms).zip(first as u32..) {
                    nearest.offer(self.score(nearest.query, nearest.query_norm, row, norm), doc);
                }
            });
            monitor.advance((rows.len() * picks.len()) as u64)?;
        }
        all.par_iter_mut().for_each(Nearest::finish);
        Ok(all)
    }

    fn nearest_of(&self, row: usize) -> Result<Nearest<'_>> {
        self.queries.check_rows(row..row + 1, self.no_zero_rows(), &Monitor::new())?;
        let query = self.queries.row(row);
        Ok(Nearest::new(self.metric, self.keep(), query, self.norm_if_needed(query)))
    }

    fn score(&self, query: &[f32], query_norm: f64, doc: &[f32], doc_norm: f64) -> f64 {
        match self.metric {
            Metric::Dot => kernels::dot_f64(self.level, query, doc),
            Metric::Cosine => kernels::dot_f64(self.level, query, doc) / (query_norm * doc_norm),
            Metric::Euclidean => kernels::squared_distance_f64(self.level, query, doc).sqrt(),
        }
    }

    fn norm(&self, values: &[f32]) -> f64 {
        kernels::dot_f64(self.level, values, values).sqrt()
    }

    /// The norm under cosine; 0 where scores do not depend on it.
    fn norm_if_needed(&self, values: &[f32]) -> f64 {
        if self.metric == Metric::Cosine { self.norm(values) } else { 0.0 }
    }

    /// Compares what is stored of a query with its nearest docs.
    fn compare(&self, pick: &Pick, nearest: &Nearest<'_>, result: &mut Verification) -> Result<()> {
        let first = pick.query * self.top_k as u64;
        let mut scores = self.store.scores(pick.run, first, self.top_k)?;
        let ids = if self.ours { self.store.ids(pick.run, first, self.top_k)? } else { None };
        let expected = &nearest.kept[..self.top_k];
        let tolerance = if self.ours { None } else { Some(self.tolerance(nearest)?) };
        if let Some(largest) = &mut result.largest_difference {
            let larger_is_nearer = self.metric.larger_is_nearer();
            scores.sort_unstable_by(|a, b| if larger_is_nearer { b.total_cmp(a) } else { a.total_cmp(b) });
            for (&stored, &(score, _)) in scores.iter().zip(expected) {
                *largest = largest.max((f64::from(stored) - score).abs());
            }
        }
        let is_right = |rank: usize| {
            let (score, doc) = expected[rank];
            is_score(scores[rank], score, tolerance) && ids.as_ref().is_none_or(|ids| ids[rank] == doc)
        };
        if let Some(rank) = (0..self.top_k).find(|&rank| !is_right(rank)) {
            let (expected_score, expected_doc) = expected[rank];
            result.wrong.push(WrongQuery {
                run: pick.run,
                query_row: pick.row as u64,
                rank: rank as u64,
                stored_doc: ids.as_ref().map(|ids| ids[rank]),
                stored_score: scores[rank],
                expected_doc,
                expected_score,
            });
        }
        Ok(())
    }

    /// How far a score of another tool may be off.
    fn tolerance(&self, nearest: &Nearest<'_>) -> Result<f64> {
        self.docs.check_size()?;
        self.queries.check_size()?;
        let doc_norms = nearest.kept.iter().map(|&(_, doc)| self.norm(self.docs.row(doc as usize)));
        let (query_norm, doc_norm) = (self.norm(nearest.query), doc_norms.fold(0.0, f64::max));
        let scale = match self.metric {
            Metric::Dot => query_norm * doc_norm,
            Metric::Cosine => 1.0,
            Metric::Euclidean => query_norm + doc_norm,
        };
        Ok(FLOAT32_ROUNDING * scale * (self.docs.dim() as f64 / FLOAT32_DIM as f64).max(1.0))
    }

    /// Notes how far the best doc outside the top-k is from it; nothing if there is no such doc.
    fn measure(&self, pick: &Pick, nearest: &Nearest<'_>, result: &mut Verification) {
        let Some(&(score, doc)) = nearest.kept.get(self.top_k) else { return };
        let kth = nearest.kept[self.top_k - 1].0;
        let query_row = pick.row as u64;
        if kth == score {
            result.tied_queries += 1;
            if result.ties.len() < Verification::LISTED_TIES {
                result.ties.push(TiedQuery { query_row, docs: 1 + nearest.dropped_ties });
            }
            return;
        }
        let gap = (kth - score).abs();
        let same_float32 = kth as f32 == score as f32;
        result.too_close_queries += u64::from(same_float32);
        if result.closest_miss.is_none_or(|miss| gap < miss.gap) {
            result.closest_miss = Some(Miss { query_row, doc, gap, same_float32 });
        }
    }
}

/// The nearest docs of a query among those offered so far.
struct Nearest<'a> {
    metric: Metric,
    /// Docs kept in the end; memory is twice as many.
    keep: usize,
    query: &'a [f32],
    query_norm: f64,
    /// Scores and docs; nearest first once finished.
    kept: Vec<(f64, u32)>,
    /// The farthest score kept when docs were last dropped; farther docs, and later ones of the same
    /// score, cannot be among the nearest.
    floor: Option<f64>,
    /// Docs dropped whose score is the floor.
    dropped_ties: u64,
}

impl<'a> Nearest<'a> {
    fn new(metric: Metric, keep: usize, query: &'a [f32], query_norm: f64) -> Self {
        Self { metric, keep, query, query_norm, kept: Vec::new(), floor: None, dropped_ties: 0 }
    }

    /// Takes the score of `doc`; docs must come in ascending order.
    fn offer(&mut self, score: f64, doc: u32) {
        let order = self.floor.map_or(Ordering::Less, |floor| self.metric.nearest_first(score, floor));
        match order {
            Ordering::Less => self.kept.push((score, doc)),
            Ordering::Equal => self.dropped_ties += 1,
            Ordering::Greater => {}
        }
        if self.kept.len() >= 2 * self.keep {
            self.drop_farthest();
        }
    }

    fn drop_farthest(&mut self) {
        let metric = self.metric;
        self.kept.select_nth_unstable_by(self.keep - 1, |a, b| nearer(metric, a, b));
        let floor = self.kept[self.keep - 1].0;
        if self.floor != Some(floor) {
            // All that was dropped before is farther than the new floor.
            self.dropped_ties = 0;
        }
        self.dropped_ties += self.kept[self.keep..].iter().filter(|(score, _)| *score == floor).count() as u64;
        self.floor = Some(floor);
        self.kept.truncate(self.keep);
    }

    fn finish(&mut self) {
        if self.kept.len() > self.keep {
            self.drop_farthest();
        }
        let metric = self.metric;
        self.kept.sort_unstable_by(|a, b| nearer(metric, a, b));
    }
}

/// Nearest first, ties to the lower doc.
fn nearer(metric: Metric, left: &(f64, u32), right: &(f64, u32)) -> Ordering {
    metric.nearest_first(left.0, right.0).then_with(|| left.1.cmp(&right.1))
}

/// Whether `stored` is the float32 of `expected` or, with a tolerance, not farther from it.
fn is_score(stored: f32, expected: f64, tolerance: Option<f64>) -> bool {
    match tolerance {
        None => stored.to_bits() == (expected as f32).to_bits(),
        // Not a number is never within.
        Some(tolerance) => (f64::from(stored) - expected).abs() <= tolerance,
    }
}

/// Refuses a manifest of docs and top-k that no session can have.
fn check_counts(store: &ScoreStore, manifest: &Manifest) -> Result<()> {
    let (num_docs, top_k) = (manifest.num_docs, manifest.top_k);
    let what = if u32::try_from(num_docs).is_err() {
        format!("numDocs is {}, more than doc ids of 32 bits can name", grouped(num_docs))
    } else if top_k > num_docs {
        format!("topK is {}, more than numDocs, {}", grouped(top_k), grouped(num_docs))
    } else {
        return Ok(());
    };
    Err(Error::Manifest { what, path: store.folder().join(MANIFEST_NAME) })
}

/// Opens the file that a manifest names, and compares its fingerprint if the manifest tells one.
fn open_vectors(store: &ScoreStore, named: &str, fingerprint: Option<&str>) -> Result<VectorFile> {
    let missing = || Error::VectorsMissing { path: named.into(), folder: store.folder().to_owned() };
    let path = store.locate(named).ok_or_else(missing)?;
    let dim = usize::try_from(store.manifest().dim).unwrap_or(usize::MAX);
    let file = VectorFile::open(&path, dim)?;
    let found = format!("{:016x}", file.fingerprint()?);
    match fingerprint {
        Some(expected) if expected != found => {
            Err(Error::VectorsChanged { what: format!("its fingerprint is {found}, not {expected}"), path })
        }
        _ => Ok(file),
    }
}

/// Refuses files of other lengths than the session had.
fn check_lengths(manifest: &Manifest, docs: &VectorFile, queries: &VectorFile) -> Result<()> {
    let changed = |file: &VectorFile, expected: String| {
        let what = format!("it has {} rows, not {expected}", count(file.rows()));
        Err(Error::VectorsChanged { what, path: file.path().to_owned() })
    };
    if (docs.rows() as u64) < manifest.num_docs {
        return changed(docs, format!("the {} that were searched", grouped(manifest.num_docs)));
    }
    match manifest.query_rows {
        Some(rows) if rows != queries.rows() as u64 => changed(queries, grouped(rows)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Few levels make ties.
        #[test]
        fn the_nearest_and_their_ties_are_those_of_a_full_sort(
            levels in prop::collection::vec(0u8..6, 1..200), k_share in 0.0f64..1.0, metric in 0usize..3,
        ) {
            let metric = Metric::ALL[metric];
            let k = ((levels.len() as f64 * k_share) as usize).clamp(1, levels.len());
            let mut sorted: Vec<(f64, u32)> = levels.iter().map(|&level| f64::from(level)).zip(0..).collect();
            let mut nearest = Nearest::new(metric, k + 1, &[], 0.0);
            for &(score, doc) in &sorted {
                nearest.offer(score, doc);
            }
            nearest.finish();
            sorted.sort_by(|a, b| nearer(metric, a, b));
            prop_assert_eq!(&nearest.kept[..], &sorted[..sorted.len().min(k + 1)]);
            let kth = sorted[k - 1].0;
            let tied = sorted[k..].iter().filter(|(score, _)| *score == kth).count() as u64;
            if tied > 0 {
                prop_assert_eq!(1 + nearest.dropped_ties, tied);
            }
        }
    }

    #[test]
    fn scores_are_right_bit_for_bit_or_within_a_tolerance() {
        let expected = 0.1f64;
        let stored = expected as f32;
        assert!(is_score(stored, expected, None) && is_score(stored, expected, Some(1e-6)));
        assert!(!is_score(stored.next_up(), expected, None) && is_score(stored.next_up(), expected, Some(1e-6)));
        assert!(!is_score(stored + 1e-4, expected, Some(1e-6)));
        for tolerance in [None, Some(1e-6)] {
            assert!(!is_score(f32::NAN, expected, tolerance) && !is_score(f32::INFINITY, expected, tolerance));
        }
    }
}
