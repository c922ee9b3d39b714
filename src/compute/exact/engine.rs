//! The scan: tiles of queries against tiles of docs, on all cores, never a full score matrix.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rayon::prelude::*;

use super::bounds::ErrorBound;
use super::centre::Centre;
use super::int8::{CodedDocs, Coding, ScanCounts, Tile};
use super::nearest::{Nearest, Scorer, decide_all, score_one_by_one};
use super::size::{
    DECIDED_PAIRS, DECIDED_QUERIES, EngineSize, Filter, TASKS_PER_THREAD, TILE_DOCS, coded_tile_queries, tile_docs,
    tile_queries,
};
use super::tiles::Tiles;
use super::topk::{Candidate, Candidates, SharedFloor};
use super::tuning::{self, Chosen};
use crate::compute::error::{Error, Result};
use crate::compute::kernels::fused::{PANEL, Survivor, TileFilter};
use crate::compute::kernels::{self, Level};
use crate::compute::metric::Metric;
use crate::compute::vectors::VectorFile;
use crate::job::Monitor;

/// The k nearest docs of some queries, query-major, nearest first.
#[derive(Debug, Clone, PartialEq)]
pub struct TopK {
    /// query_count × k scores.
    pub scores: Vec<f32>,
    /// query_count × k doc rows.
    pub docs: Vec<u32>,
}

impl TopK {
    fn zeros(count: usize) -> Self {
        Self { scores: vec![0.0; count], docs: vec![0; count] }
    }
}

/// Exact top-k over the first `num_docs` rows of a file.
pub struct Engine<'a> {
    docs: &'a VectorFile,
    num_docs: usize,
    metric: Metric,
    top_k: usize,
    bound: ErrorBound,
    level: Level,
    size: EngineSize,
    kept: Kept,
    /// Lists of queries that were answered, for their room.
    spare: Mutex<Vec<Nearest>>,
    stats: Mutex<EngineStats>,
}

/// What was made of all docs, for the whole session.
enum Kept {
    Nothing,
    Norms(Vec<f64>),
    Codes(Coding, CodedDocs),
    /// Codes are made block by block.
    Coding(Coding),
}

/// What an engine did so far, for those who want to know why it took so long.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EngineStats {
    /// The buffers; none before there is an engine. Their filter may be another one than was asked for.
    pub size: Option<EngineSize>,
    /// How docs were coded, in words; or why they were not, though that was asked for.
    pub coded_as: String,
    /// Dimensions of which every pair is looked at.
    pub scanned_dim: usize,
    pub queries: u64,
    pub pairs: u64,
    /// Of the int8 filter.
    pub scan: ScanCounts,
    /// Seconds that choosing how to code took, coding the docs, and everything else.
    pub tuning_secs: f64,
    pub coding_secs: f64,
    /// Of the scoring, how long the int8 kernel looked at codes.
    pub scanning_secs: f64,
    pub scoring_secs: f64,
}

impl<'a> Engine<'a> {
    /// `1 ≤ top_k ≤ num_docs ≤ docs.rows()`, `num_docs < 2³²`; every value of those rows finite, and
    /// no row zero under cosine (see [`VectorFile::check_rows`]). `queries`: some of those that will be
    /// asked, row-major, so that the fastest way can be chosen (see [`super::sample_queries`]); may be empty.
    ///
    /// # Errors
    /// Docs that shrank; cancelled.
    #[expect(clippy::too_many_arguments)]
    pub fn new(
        docs: &'a VectorFile,
        num_docs: usize,
        metric: Metric,
        top_k: usize,
        size: EngineSize,
        level: Level,
        queries: &[f32],
        monitor: &Monitor,
    ) -> Result<Self> {
        debug_assert!((1..=num_docs).contains(&top_k) && num_docs <= docs.rows());
        let scanned_dim = docs.dim();
        let stats = Mutex::new(EngineStats { size: Some(size), scanned_dim, ..EngineStats::default() });
        let kept = Kept::Nothing;
        let bound = ErrorBound::new(metric, docs.dim());
        let mut engine =
            Self { docs, num_docs, metric, top_k, bound, level, size, kept, spare: Mutex::default(), stats };
        let started = Instant::now();
        let Filter::Int8(shape) = size.filter else { return engine.with_tiles(started, monitor) };
        let expected = size.expected();
        let tiles = size.instead(docs.dim(), top_k);
        let all_docs = size.docs;
        let asked = tuning::Asked { docs, num_docs, all_docs, metric, top_k, level, queries, expected, tiles };
        let chosen = tuning::choose(&asked, shape, monitor)?;
        engine.stats().tuning_secs = started.elapsed().as_secs_f64();
        let coding = match chosen {
            Chosen::Codes(coding) => coding,
            Chosen::Tiles { size, why } => {
                engine.size = size;
                engine.stats().size = Some(size);
                engine.stats().coded_as = why;
                return engine.with_tiles(started, monitor);
            }
        };
        engine.stats().coded_as = coding.describe();
        engine.stats().scanned_dim = coding.prefix;
        engine.kept = if size.docs_kept {
            monitor.begin("coding docs", "docs", num_docs as u64);
            let codes = CodedDocs::new(docs, 0..num_docs, &coding, |docs| Ok(monitor.advance(docs)?))?;
            Kept::Codes(coding, codes)
        } else {
            Kept::Coding(coding)
        };
        let tuning_secs = engine.stats().tuning_secs;
        engine.stats().coding_secs += started.elapsed().as_secs_f64() - tuning_secs;
        Ok(engine)
    }

    fn with_tiles(mut self, started: Instant, monitor: &Monitor) -> Result<Self> {
        if self.size.docs_kept {
            self.kept = Kept::Norms(self.all_norms(monitor)?);
        }
        let tuning_secs = self.stats().tuning_secs;
        self.stats().coding_secs += started.elapsed().as_secs_f64() - tuning_secs;
        Ok(self)
    }

    /// The buffers: others, with another filter, where tiles were chosen instead of codes.
    pub fn size(&self) -> EngineSize {
        self.size
    }

    /// What was done so far.
    pub fn stats(&self) -> MutexGuard<'_, EngineStats> {
        // Plain sums: a thread that panicked while adding left them as good as any.
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all_norms(&self, monitor: &Monitor) -> Result<Vec<f64>> {
        let tiles = self.num_docs.div_ceil(TILE_DOCS);
        monitor.begin("measuring docs", "tiles", tiles as u64);
        let norms: Result<Vec<Vec<f64>>> = (0..tiles)
            .into_par_iter()
            .map(|tile| {
                monitor.advance(1)?;
                self.docs.check_size()?;
                Ok(self.compute_norms(tile * TILE_DOCS..((tile + 1) * TILE_DOCS).min(self.num_docs)).collect())
            })
            .collect();
        Ok(norms?.concat())
    }

    /// The k nearest docs of each query.
    ///
    /// `queries`: row-major, query_count × dim, finite; as many as [`Self::size`] says at most, if memory matters. `query_rows(i)` is the row of query `i` in its
    /// file, for errors. `monitor` advances by query × doc pairs.
    ///
    /// # Errors
    /// Cancelled; docs that shrank; a score beyond float32.
    pub fn top_k(&self, queries: &[f32], query_row: impl Fn(usize) -> usize + Sync, monitor: &Monitor) -> Result<TopK> {
        let (started, coded_before) = (Instant::now(), self.stats().coding_secs);
        let found = match &self.kept {
            Kept::Nothing | Kept::Norms(_) => self.top_k_by_tiles(queries, query_row, monitor),
            Kept::Codes(coding, codes) => self.top_k_by_codes(coding, Some(codes), queries, query_row, monitor),
            Kept::Coding(coding) => self.top_k_by_codes(coding, None, queries, query_row, monitor),
        };
        let queries = (queries.len() / self.docs.dim()) as u64;
        let mut stats = self.stats();
        stats.queries += queries;
        stats.pairs += queries * self.num_docs as u64;
        let coding_secs = stats.coding_secs - coded_before;
        stats.scoring_secs += started.elapsed().as_secs_f64() - coding_secs;
        drop(stats);
        found
    }

    fn top_k_by_codes(
        &self,
        coding: &Coding,
        kept: Option<&CodedDocs>,
        queries: &[f32],
        query_row: impl Fn(usize) -> usize + Sync,
        monitor: &Monitor,
    ) -> Result<TopK> {
        let dim = self.docs.dim();
        let query_count = queries.len() / dim;
        let tile_queries = coded_tile_queries(dim, query_count);
        let make = || Nearest::new(self.top_k, EngineSize::capacity(self.size.docs_kept, self.top_k));
        let mut tiles: Vec<Tile<'_>> = queries
            .par_chunks(tile_queries * dim)
            .map(|tile| {
                monitor.check()?;
                let count = tile.len() / dim;
                let mut nearest = self.spare_lists(count);
                nearest.iter_mut().for_each(Nearest::reset);
                nearest.resize_with(count, make);
                Ok(Tile::new(tile, coding, nearest))
            })
            .collect::<Result<_>>()?;
        let scorer = |query| self.scorer(query, coding.centre.as_deref());
        let scorers: Vec<ExactScorer<'_>> = queries.par_chunks(dim).map(scorer).collect();
        let mut largest_norm = 0.0f64;
        for first in (0..self.num_docs).step_by(self.size.block_docs) {
            let range = first..(first + self.size.block_docs).min(self.num_docs);
            let made;
            let codes = match kept {
                Some(codes) => codes,
                None => {
                    let started = Instant::now();
                    made = CodedDocs::new(self.docs, range.clone(), coding, |_| Ok(monitor.check()?))?;
                    self.stats().coding_secs += started.elapsed().as_secs_f64();
                    // The next block comes from the disk while this one is scanned.
                    self.docs.will_need(range.end..(range.end + self.size.block_docs).min(self.num_docs));
                    &made
                }
            };
            largest_norm = largest_norm.max(codes.largest_norm());
            let guess_for = (first == 0).then_some(self.top_k);
            let started = Instant::now();
            let scorer = |number: usize, query: usize| &scorers[number * tile_queries + query];
            tiles.par_iter_mut().enumerate().try_for_each(|(number, tile)| {
                tile.scan(codes, coding, largest_norm, |query| scorer(number, query), guess_for, monitor)
            })?;
            self.stats().scanning_secs += started.elapsed().as_secs_f64();
            self.docs.check_size()?;
            let mut nearest: Vec<&mut [Nearest]> = tiles.iter_mut().map(|tile| tile.nearest.as_mut_slice()).collect();
            let scored = decide_all(&mut nearest, &range, scorer, monitor)?;
            tiles.iter_mut().zip(scored).for_each(|(tile, scored)| tile.counts.scored += scored);
            tiles.par_iter_mut().enumerate().try_for_each(|(number, tile)| {
                tile.again(codes, coding, largest_norm, |query| scorer(number, query), monitor)
            })?;
        }
        {
            let mut stats = self.stats();
            tiles.iter().for_each(|tile| stats.scan.add(tile.counts));
        }
        let mut nearest: Vec<Nearest> = tiles.into_iter().flat_map(|tile| tile.nearest).collect();
        let mut result = TopK::zeros(query_count * self.top_k);
        let slots = result.scores.par_chunks_mut(self.top_k).zip(result.docs.par_chunks_mut(self.top_k));
        let overflow = slots
            .zip(nearest.par_iter_mut())
            .enumerate()
            .map_init(Vec::new, |keys, (query, ((scores, docs), nearest))| {
                let sorted = nearest.sorted(&scorers[query], keys);
                debug_assert_eq!(sorted.len(), self.top_k);
                self.store(sorted, scores, docs, |_| query_row(query))
            })
            .find_map_first(|outcome| outcome.err());
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).extend(nearest);
        overflow.map_or(Ok(result), Err)
    }

    /// Up to `count` lists of queries that were answered.
    fn spare_lists(&self, count: usize) -> Vec<Nearest> {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = spare.len().saturating_sub(count);
        spare.split_off(rest)
    }

    /// Rounds sorted results to what is stored. `query_row` gives the row of the query of a place.
    fn store(
        &self,
        nearest: impl Iterator<Item = (f64, u32)>,
        scores: &mut [f32],
        docs: &mut [u32],
        query_row: impl Fn(usize) -> usize,
    ) -> Result<()> {
        for (place, ((score_slot, doc_slot), (score, doc))) in scores.iter_mut().zip(docs).zip(nearest).enumerate() {
            (*score_slot, *doc_slot) = (score as f32, doc);
            if !score_slot.is_finite() {
                return Err(Error::ScoreOverflow { query_row: query_row(place), doc: doc as usize, score });
            }
        }
        Ok(())
    }

    /// `centre`: what is taken off docs and queries that are coded.
    fn scorer<'q>(&'q self, query: &'q [f32], centre: Option<&Centre>) -> ExactScorer<'q> {
        let square = kernels::dot_f64(self.level, query, query);
        let shift = centre.map_or(0.0, |centre| centre.shift(query));
        ExactScorer { engine: self, query, norm: square.sqrt(), square, shift }
    }

    fn top_k_by_tiles(
        &self,
        queries: &[f32],
        query_row: impl Fn(usize) -> usize + Sync,
        monitor: &Monitor,
    ) -> Result<TopK> {
        let dim = self.docs.dim();
        let query_count = queries.len() / dim;
        let tile_docs = tile_docs(dim);
        let tiles = query_count.div_ceil(tile_queries(dim));
        // Tiles of whole panels, as equal as can be.
        let panels = query_count.div_ceil(PANEL);
        let starts: Vec<usize> =
            (0..=tiles).map(|tile| (tile * panels / tiles.max(1) * PANEL).min(query_count)).collect();
        // The docs are shared out, so that every core has work to the end.
        let doc_tiles = self.num_docs.div_ceil(tile_docs);
        let shards = (TASKS_PER_THREAD * rayon::current_num_threads()).div_ceil(tiles.max(1)).min(doc_tiles);
        let shard_docs = doc_tiles.div_ceil(shards) * tile_docs;
        let floors: Vec<SharedFloor> = (0..query_count).map(|_| SharedFloor::default()).collect();

        let found: Vec<Vec<Vec<Candidate>>> = (0..tiles * shards)
            .into_par_iter()
            .map_init(Buffers::default, |buffers, task| {
                let (tile, shard) = (task / shards, task % shards);
                let tile = starts[tile]..starts[tile + 1];
                let first_doc = (shard * shard_docs).min(self.num_docs);
                let docs = first_doc..(first_doc + shard_docs).min(self.num_docs);
                self.scan(&queries[tile.start * dim..tile.end * dim], docs, &floors[tile], buffers, monitor)
            })
            .collect::<Result<_>>()?;

        let candidates = |index: usize| {
            let tile = starts.partition_point(|&start| start <= index) - 1;
            let in_tile = index - starts[tile];
            let parts = found[tile * shards..(tile + 1) * shards].iter().map(|shard| shard[in_tile].as_slice());
            Candidates::merge(self.top_k, parts)
        };
        let mut result = TopK::zeros(query_count * self.top_k);
        let group = (DECIDED_PAIRS / self.top_k).clamp(1, DECIDED_QUERIES);
        let overflow = result
            .scores
            .par_chunks_mut(group * self.top_k)
            .zip(result.docs.par_chunks_mut(group * self.top_k))
            .enumerate()
            .map(|(number, (scores, docs))| {
                monitor.check()?;
                let first = number * group;
                let group = first..(first + group).min(query_count);
                let nearest = self.decide(&queries[group.start * dim..group.end * dim], group.clone().map(candidates));
                let row = |place: usize| query_row(first + place / self.top_k);
                self.store(nearest.into_iter().flatten(), scores, docs, row)
            })
            .find_map_first(|outcome| outcome.err());
        overflow.map_or(Ok(result), Err)
    }

    /// The k nearest of each query's candidates, decided in float64, nearest first.
    ///
    /// Goes through the candidates of all queries in the order of the docs, so that the file is read
    /// forwards, and a doc that several queries want only once.
    fn decide(&self, queries: &[f32], candidates: impl Iterator<Item = Vec<u32>>) -> Vec<Vec<(f64, u32)>> {
        let dim = self.docs.dim();
        let mut pairs: Vec<(u32, u32)> =
            candidates.zip(0..).flat_map(|(docs, query)| docs.into_iter().map(move |doc| (doc, query))).collect();
        pairs.sort_unstable();
        let scorers: Vec<ExactScorer<'_>> = queries.chunks_exact(dim).map(|query| self.scorer(query, None)).collect();
        let mut scored: Vec<Vec<(f64, u32)>> = vec![Vec::new(); scorers.len()];
        let pair = |index: usize| {
            let (doc, query): (u32, u32) = pairs[index];
            (&scorers[query as usize], doc)
        };
        ExactScorer::score_all(pairs.len(), pair, |index, score| {
            let (doc, query) = pairs[index];
            scored[query as usize].push((score, doc));
        });
        scored.iter_mut().for_each(|scored| self.keep_nearest(scored, self.top_k));
        scored
    }

    /// Scans `docs` for a tile of queries; returns for each query the docs that may be among its k
    /// nearest.
    fn scan(
        &self,
        queries: &[f32],
        docs: Range<usize>,
        floors: &[SharedFloor],
        buffers: &mut Buffers,
        monitor: &Monitor,
    ) -> Result<Vec<Vec<Candidate>>> {
        let dim = self.docs.dim();
        let query_count = queries.len() / dim;
        let Buffers { tiles, scales, offsets, thresholds, survivors } = buffers;
        tiles.set_queries(queries, dim);
        let query_norms: Vec<f64> =
            queries.chunks_exact(dim).map(|query| kernels::dot_f64(self.level, query, query).sqrt()).collect();
        let mut candidates: Vec<Candidates> = (0..query_count).map(|_| Candidates::new(self.top_k)).collect();
        let tile_docs = tile_docs(dim);
        for first in docs.clone().step_by(tile_docs) {
            monitor.check()?;
            self.docs.check_size()?;
            let tile = first..(first + tile_docs).min(docs.end);
            let doc_count = tile.len();
            let norms = self.norms_of(tile.clone());
            self.scales_and_offsets(&norms, scales, offsets);
            let (smallest, largest) =
                norms.iter().fold((f64::INFINITY, 0.0f64), |(low, high), &norm| (low.min(norm), high.max(norm)));
            candidates.iter_mut().zip(floors).for_each(|(kept, floor)| kept.share_floor(floor));
            thresholds.clear();
            thresholds.extend(query_norms.iter().zip(&candidates).map(|(&query_norm, kept)| {
                // The bound is monotone in the doc norm except for cosine's underflow term.
                let error = self.bound.of(query_norm, largest).max(self.bound.of(query_norm, smallest));
                // An infinite error or no floor yet makes this −∞, which keeps everything.
                ((f64::from(kept.floor()) - error) as f32).next_down()
            }));
            survivors.clear();
            let filter = TileFilter { thresholds, scales, offsets };
            tiles.survivors(self.level, self.docs.rows_in(tile.clone()), filter, survivors);
            for survivor in survivors.iter() {
                let (doc, query) = (survivor.doc as usize, survivor.query as usize);
                let error = self.bound.of(query_norms[query], norms[doc]);
                let candidate = Candidate::new(survivor.key, error, (first + doc) as u32);
                candidates[query].push(candidate, |docs, k| {
                    let scorer = self.scorer(&queries[query * dim..(query + 1) * dim], None);
                    let mut scored: Vec<_> = docs.iter().map(|&doc| (scorer.score(doc), doc)).collect();
                    self.keep_nearest(&mut scored, k);
                    docs.clear();
                    docs.extend(scored.into_iter().map(|(_, doc)| doc));
                });
            }
            monitor.advance((query_count * doc_count) as u64)?;
        }
        Ok(candidates.into_iter().map(Candidates::into_entries).collect())
    }

    /// What turns a float32 dot product into a key: `key = dot · scale − offset` (see
    /// [`super::bounds`]).
    fn scales_and_offsets(&self, norms: &[f64], scales: &mut Vec<f32>, offsets: &mut Vec<f32>) {
        scales.clear();
        offsets.clear();
        match self.metric {
            Metric::Cosine => scales.extend(norms.iter().map(|norm| (1.0 / norm) as f32)),
            Metric::Dot | Metric::Euclidean => scales.resize(norms.len(), 1.0),
        }
        match self.metric {
            Metric::Euclidean => offsets.extend(norms.iter().map(|norm| (norm * norm / 2.0) as f32)),
            Metric::Dot | Metric::Cosine => offsets.resize(norms.len(), 0.0),
        }
    }

    /// Leaves the `k` nearest of `scored`, nearest first, ties to the lower doc.
    fn keep_nearest(&self, scored: &mut Vec<(f64, u32)>, k: usize) {
        let place = |&(score, doc): &(f64, u32)| self.metric.place(score, doc);
        if scored.len() > k {
            scored.select_nth_unstable_by_key(k - 1, place);
            scored.truncate(k);
        }
        scored.sort_unstable_by_key(place);
    }

    /// The score that decides and is stored: float64, added in the order of [`kernels::dot_f64`].
    fn exact_score(&self, query: &[f32], query_norm: f64, doc: u32) -> f64 {
        let row = self.docs.row(doc as usize);
        let score = match self.metric {
            Metric::Dot => kernels::dot_f64(self.level, query, row),
            Metric::Cosine => {
                let product = kernels::dot_f64(self.level, query, row);
                product / (query_norm * kernels::dot_f64(self.level, row, row).sqrt())
            }
            Metric::Euclidean => kernels::squared_distance_f64(self.level, query, row).sqrt(),
        };
        // A product that is too small for float64 may be −0, which equals +0.
        score + 0.0
    }

    fn norms_of(&self, tile: Range<usize>) -> Cow<'_, [f64]> {
        match &self.kept {
            Kept::Norms(norms) => Cow::Borrowed(&norms[tile]),
            _ => Cow::Owned(self.compute_norms(tile).collect()),
        }
    }

    fn compute_norms(&self, rows: Range<usize>) -> impl Iterator<Item = f64> + '_ {
        let dim = self.docs.dim();
        self.docs.rows_in(rows).chunks_exact(dim).map(|row| kernels::dot_f64(self.level, row, row).sqrt())
    }
}

/// Scores docs for one query.
struct ExactScorer<'a> {
    engine: &'a Engine<'a>,
    query: &'a [f32],
    norm: f64,
    square: f64,
    /// What keys are without, so that float32 tells them apart.
    shift: f64,
}

impl Scorer for ExactScorer<'_> {
    #[inline]
    fn vectors(&self, doc: u32) -> [&[f32]; 2] {
        [self.query, self.engine.docs.row(doc as usize)]
    }

    fn score(&self, doc: u32) -> f64 {
        self.engine.exact_score(self.query, self.norm, doc)
    }

    fn score_all<'s>(count: usize, pair: impl Fn(usize) -> (&'s Self, u32), mut found: impl FnMut(usize, f64))
    where
        Self: 's,
    {
        if count == 0 {
            return;
        }
        let engine = pair(0).0.engine;
        let query = |index: usize| pair(index).0.query;
        let doc = |index: usize| engine.docs.row(pair(index).1 as usize);
        // As [`Engine::exact_score`].
        match engine.metric {
            Metric::Dot => {
                kernels::dots_f64(engine.level, count, query, doc, |index, product| found(index, product + 0.0))
            }
            Metric::Cosine => {
                // The norm of the doc before.
                let mut known = None;
                kernels::dots_f64(engine.level, count, query, doc, |index, product| {
                    let (scorer, doc) = pair(index);
                    let norm = match known {
                        Some((of, norm)) if of == doc => norm,
                        _ => {
                            let row = engine.docs.row(doc as usize);
                            kernels::dot_f64(engine.level, row, row).sqrt()
                        }
                    };
                    known = Some((doc, norm));
                    found(index, product / (scorer.norm * norm) + 0.0);
                });
            }
            Metric::Euclidean => score_one_by_one(count, pair, found),
        }
    }

    fn key(&self, score: f64) -> f64 {
        // The inverse of what scores are made of; see the key in [`super::bounds`].
        let key = match self.engine.metric {
            Metric::Dot => score,
            Metric::Cosine => score * self.norm,
            Metric::Euclidean => (self.square - score * score) / 2.0,
        };
        key - self.shift
    }

    fn metric(&self) -> Metric {
        self.engine.metric
    }
}

/// What a thread reuses from tile to tile.
#[derive(Default)]
struct Buffers {
    tiles: Tiles,
    /// One each for every doc of the tile.
    scales: Vec<f32>,
    offsets: Vec<f32>,
    /// One for every query.
    thresholds: Vec<f32>,
    survivors: Vec<Survivor>,
}
