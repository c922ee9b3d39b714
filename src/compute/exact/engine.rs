//! The scan: tiles of queries against tiles of docs, on all cores, never a full score matrix.

use std::borrow::Cow;
use std::ops::Range;

use rayon::prelude::*;

use super::bounds::ErrorBound;
use super::tiles::Tiles;
use super::topk::{Candidate, Candidates, SharedFloor};
use crate::compute::error::{Error, Result};
use crate::compute::kernels::fused::{PANEL, Survivor, TileFilter};
use crate::compute::kernels::{self, Level};
use crate::compute::metric::Metric;
use crate::compute::vectors::VectorFile;
use crate::job::Monitor;

/// Queries that are scored well together; passes should be multiples of it.
pub const TILE: usize = TILE_QUERIES;
/// Queries and docs in a tile: both and their scores stay in the second-level cache. 96 queries fill
/// the registers of faer's AVX-512 kernel.
const TILE_QUERIES: usize = 384;
const TILE_DOCS: usize = 384;
/// The dim for which these are meant.
const TILE_DIM: usize = 512;
/// Pieces of work per thread, so that the last ones to finish leave few cores idle.
const TASKS_PER_THREAD: usize = 2;
/// Queries whose candidates are decided together, and candidates at most.
const DECIDED_QUERIES: usize = 96;
const DECIDED_PAIRS: usize = 1 << 18;
/// Queries that are scored in one go at most.
const PASS_QUERIES: usize = 16 * TILE_QUERIES;
/// Doc norms are kept for the whole session when they take at most this share of the budget.
const NORMS_SHARE: u64 = 8;

/// Queries in a tile: fewer where vectors are long, so that they stay near and a tile is done soon.
fn tile_queries(dim: usize) -> usize {
    (TILE_QUERIES * TILE_DIM / dim / PANEL * PANEL).clamp(PANEL, TILE_QUERIES)
}

/// Docs in a tile, likewise.
fn tile_docs(dim: usize) -> usize {
    (TILE_DOCS * TILE_DIM / dim).clamp(1, TILE_DOCS)
}

/// How large the engine's buffers are, so that they fit a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineSize {
    /// Queries in one pass over the docs.
    pub pass_queries: usize,
    /// Whether the norms of all docs are kept.
    pub norms_kept: bool,
    /// Bytes that the buffers take at most.
    pub bytes: u64,
}

impl EngineSize {
    /// The largest buffers within `budget` bytes.
    ///
    /// # Errors
    /// If not even one query at a time fits.
    pub fn within(budget: u64, dim: usize, num_docs: usize, top_k: usize, threads: usize) -> Result<Self> {
        let norms_bytes = num_docs as u64 * 8;
        // Reading large docs only for their norms would be a long silence; there tiles compute their own.
        let norms_kept = norms_bytes <= budget / NORMS_SHARE && num_docs as u64 * dim as u64 * 4 <= 1 << 30;
        let kept = if norms_kept { norms_bytes } else { 0 };
        let needs = |pass: usize| {
            let (pass, dim, top_k, threads) = (pass as u64, dim as u64, top_k as u64, threads as u64);
            let tile = pass.min(tile_queries(dim as usize) as u64);
            let tiles = pass.div_ceil(tile);
            let shards = (TASKS_PER_THREAD as u64 * threads).div_ceil(tiles);
            let candidates = Candidates::capacity_for(top_k as usize) as u64;
            // Packed panels are filled up; without the fused kernel there is a second, transposed copy.
            let packed = tile.next_multiple_of(PANEL as u64) * dim * 4;
            let queries = pass * (dim * 4 + 8) + 2 * threads * packed;
            // The scores of a tile or the pairs that survive it, and candidates while a clean-up decides.
            let working = threads * tile * (TILE_DOCS as u64 * 20 + candidates * 8);
            // Every shard of the docs has candidates of its own for each query.
            let decided = shards * pass * candidates * 12
                + threads * ((DECIDED_PAIRS as u64).min(pass * candidates) + candidates) * 40;
            // One result being computed, one in the queue, one being written.
            let results = 3 * pass * top_k * 8;
            kept + queries + working + decided + results
        };
        // Whole tiles as long as they fit.
        let mut pass_queries = PASS_QUERIES;
        while needs(pass_queries) > budget {
            if pass_queries == 1 {
                return Err(Error::MemoryBudget { needed: needs(1), budget });
            }
            pass_queries /= 2;
        }
        Ok(Self { pass_queries, norms_kept, bytes: needs(pass_queries) })
    }
}

/// The k nearest docs of some queries, query-major, nearest first.
#[derive(Debug, Clone, PartialEq)]
pub struct TopK {
    /// query_count × k scores.
    pub scores: Vec<f32>,
    /// query_count × k doc rows.
    pub docs: Vec<u32>,
}

/// Exact top-k over the first `num_docs` rows of a file.
pub struct Engine<'a> {
    docs: &'a VectorFile,
    num_docs: usize,
    metric: Metric,
    top_k: usize,
    bound: ErrorBound,
    level: Level,
    norms: Option<Vec<f64>>,
}

impl<'a> Engine<'a> {
    /// `1 ≤ top_k ≤ num_docs ≤ docs.rows()`, `num_docs ≤ 2³²`; every value of those rows finite, and
    /// no row zero under cosine (see [`VectorFile::check_rows`]).
    pub fn new(
        docs: &'a VectorFile,
        num_docs: usize,
        metric: Metric,
        top_k: usize,
        norms_kept: bool,
        level: Level,
    ) -> Self {
        debug_assert!((1..=num_docs).contains(&top_k) && num_docs <= docs.rows());
        let mut engine =
            Self { docs, num_docs, metric, top_k, bound: ErrorBound::new(metric, docs.dim()), level, norms: None };
        if norms_kept {
            let tiles = num_docs.div_ceil(TILE_DOCS);
            let norms = (0..tiles)
                .into_par_iter()
                .flat_map_iter(|tile| engine.compute_norms(tile * TILE_DOCS..((tile + 1) * TILE_DOCS).min(num_docs)));
            engine.norms = Some(norms.collect());
        }
        engine
    }

    /// The k nearest docs of each query.
    ///
    /// `queries`: row-major, query_count × dim, finite. `query_rows(i)` is the row of query `i` in its
    /// file, for errors. `monitor` advances by query × doc pairs.
    ///
    /// # Errors
    /// Cancelled; docs that shrank; a score beyond float32.
    pub fn top_k(&self, queries: &[f32], query_row: impl Fn(usize) -> usize + Sync, monitor: &Monitor) -> Result<TopK> {
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
        let mut result = TopK { scores: vec![0.0; query_count * self.top_k], docs: vec![0; query_count * self.top_k] };
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
                let slots = scores.iter_mut().zip(docs);
                for (place, ((score_slot, doc_slot), (score, doc))) in
                    slots.zip(nearest.into_iter().flatten()).enumerate()
                {
                    (*score_slot, *doc_slot) = (score as f32, doc);
                    if !score_slot.is_finite() {
                        let query_row = query_row(first + place / self.top_k);
                        return Err(Error::ScoreOverflow { query_row, doc: doc as usize, score });
                    }
                }
                Ok(())
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
        let query_norms: Vec<f64> = queries.chunks_exact(dim).map(|query| self.query_norm(query)).collect();
        let mut scored: Vec<Vec<(f64, u32)>> = vec![Vec::new(); query_norms.len()];
        for (doc, query) in pairs {
            let index = query as usize;
            let score = self.exact_score(&queries[index * dim..(index + 1) * dim], query_norms[index], doc);
            scored[index].push((score, doc));
        }
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
                    let query = &queries[query * dim..(query + 1) * dim];
                    let norm = self.query_norm(query);
                    let mut scored: Vec<_> =
                        docs.iter().map(|&doc| (self.exact_score(query, norm, doc), doc)).collect();
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
        let order = |a: &(f64, u32), b: &(f64, u32)| self.metric.nearest_first(a.0, b.0).then_with(|| a.1.cmp(&b.1));
        if scored.len() > k {
            scored.select_nth_unstable_by(k - 1, order);
            scored.truncate(k);
        }
        scored.sort_unstable_by(order);
    }

    /// What [`Engine::exact_score`] needs of a query.
    fn query_norm(&self, query: &[f32]) -> f64 {
        match self.metric {
            Metric::Cosine => kernels::dot_f64(self.level, query, query).sqrt(),
            Metric::Dot | Metric::Euclidean => 0.0,
        }
    }

    /// The score that decides and is stored: float64, added in the order of [`kernels::dot_f64`].
    fn exact_score(&self, query: &[f32], query_norm: f64, doc: u32) -> f64 {
        let row = self.docs.row(doc as usize);
        match self.metric {
            Metric::Dot => kernels::dot_f64(self.level, query, row),
            Metric::Cosine => {
                let doc_norm = kernels::dot_f64(self.level, row, row).sqrt();
                kernels::dot_f64(self.level, query, row) / (query_norm * doc_norm)
            }
            Metric::Euclidean => kernels::squared_distance_f64(self.level, query, row).sqrt(),
        }
    }

    fn norms_of(&self, tile: Range<usize>) -> Cow<'_, [f64]> {
        match &self.norms {
            Some(norms) => Cow::Borrowed(&norms[tile]),
            None => Cow::Owned(self.compute_norms(tile).collect()),
        }
    }

    fn compute_norms(&self, rows: Range<usize>) -> impl Iterator<Item = f64> + '_ {
        let dim = self.docs.dim();
        self.docs.rows_in(rows).chunks_exact(dim).map(|row| kernels::dot_f64(self.level, row, row).sqrt())
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
