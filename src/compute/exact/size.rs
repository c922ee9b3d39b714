//! How large an engine's tiles, passes and buffers are, so that they fit a budget.

use super::int8::{self, Coding};
use super::nearest::{Nearest, scoring_bytes};
use super::topk::Candidates;
use super::tuning;
use crate::compute::error::{Error, Result};
use crate::compute::kernels::fused::PANEL;
use crate::compute::kernels::int8::GROUP;

/// Queries that are scored well together; passes should be multiples of it.
pub const TILE: usize = TILE_QUERIES;
/// Queries and docs in a tile: both and their scores stay in the second-level cache. 96 queries fill
/// the registers of faer's AVX-512 kernel.
const TILE_QUERIES: usize = 384;
pub(super) const TILE_DOCS: usize = 384;
/// The dim for which these are meant.
const TILE_DIM: usize = 512;
/// Pieces of work per thread, so that the last ones to finish leave few cores idle.
pub(super) const TASKS_PER_THREAD: usize = 2;
/// Queries whose candidates are decided together, and candidates at most.
pub(super) const DECIDED_QUERIES: usize = 96;
pub(super) const DECIDED_PAIRS: usize = 1 << 18;
/// Queries that are scored in one go at most.
const PASS_QUERIES: usize = 16 * TILE_QUERIES;
/// And where docs are not kept, so that few passes do.
const MOST_PASS_QUERIES: usize = 1 << 18;
/// Doc norms are kept for the whole session when they take at most this share of the budget.
const NORMS_SHARE: u64 = 8;

/// Queries in a tile: fewer where vectors are long, so that they stay near and a tile is done soon.
pub(super) fn tile_queries(dim: usize) -> usize {
    (TILE_QUERIES * TILE_DIM / dim / PANEL * PANEL).clamp(PANEL, TILE_QUERIES)
}

/// Docs in a tile, likewise.
pub(super) fn tile_docs(dim: usize) -> usize {
    (TILE_DOCS * TILE_DIM / dim).clamp(1, TILE_DOCS)
}

/// Queries in a tile of codes: enough tiles for every core, and few enough bytes to stay near.
pub(super) fn coded_tile_queries(dim: usize, queries: usize) -> usize {
    const NEAR_BYTES: usize = 384 << 10;
    let most = (NEAR_BYTES / dim).clamp(GROUP, 2048);
    let even = queries.div_ceil(2 * rayon::current_num_threads());
    // As equal as can be, in whole groups.
    let tiles = queries.div_ceil(even.clamp(GROUP, most)).max(1);
    queries.div_ceil(tiles).next_multiple_of(GROUP)
}

/// How the docs that can matter are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// Float32 products of tiles.
    Float32,
    /// Int8 codes, with bounds on what they lose.
    Int8(Shape),
}

/// What is known of a query that codes are asked for: its bounds, list, scorer and threshold.
const QUERY_BYTES: u64 = 240;

/// How docs are turned before they are coded, and how many dimensions the filter looks at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// What a sample says is fastest; float32 tiles where codes would part too few pairs.
    Auto,
    /// What a sample says is fastest but for axes, which take room to find.
    Compact,
    /// What a sample says is fastest of codes, all dimensions at once.
    Whole,
    /// As they are.
    Plain,
    /// Rotated.
    Rotated,
    /// Along their principal axes, the leading ones first.
    Prefix,
    /// Along half of their principal axes alone, by int8 products, whatever these leave out: for tests of the bounds.
    Coded,
}

/// What an engine is made for.
#[derive(Debug, Clone, Copy)]
pub struct Demand {
    pub dim: usize,
    pub num_docs: usize,
    pub top_k: usize,
    /// All that will be asked for.
    pub queries: usize,
    pub threads: usize,
}

/// How large the engine's buffers are, so that they fit a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineSize {
    pub filter: Filter,
    /// Queries in one pass over the docs.
    pub pass_queries: usize,
    /// Whether norms or codes of all docs are kept for the whole session.
    pub docs_kept: bool,
    /// Queries that will be asked in all, of so many docs.
    pub queries: usize,
    pub docs: usize,
    /// Docs that are coded at a time; all if they are kept.
    pub block_docs: usize,
    /// Bytes that the buffers take at most, and that they may take.
    pub bytes: u64,
    pub budget: u64,
}

impl EngineSize {
    /// Queries that make up for what is made of the docs: docs that are not kept are coded again in every pass.
    pub fn expected(&self) -> usize {
        if self.docs_kept { self.queries } else { self.queries.min(self.pass_queries) }
    }

    /// The largest buffers within `budget` bytes.
    ///
    /// # Errors
    /// If not even one query at a time fits.
    pub fn within(budget: u64, filter: Filter, demand: &Demand) -> Result<Self> {
        match filter {
            Filter::Float32 => Self::of_tiles(budget, demand),
            Filter::Int8(shape) => Self::of_codes(budget, shape, demand),
        }
    }

    fn of_tiles(budget: u64, demand: &Demand) -> Result<Self> {
        let &Demand { dim, num_docs, top_k, threads, .. } = demand;
        let norms_bytes = num_docs as u64 * 8;
        // Reading large docs only for their norms would be a long silence; there tiles compute their own.
        let docs_kept = norms_bytes <= budget / NORMS_SHARE && num_docs as u64 * dim as u64 * 4 <= 1 << 30;
        let kept = if docs_kept { norms_bytes } else { 0 };
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
            kept + queries + working + decided + results_bytes(pass, top_k)
        };
        let (pass_queries, bytes) = largest_pass(PASS_QUERIES.min(demand.queries.max(1)), budget, needs)?;
        let (filter, queries) = (Filter::Float32, demand.queries);
        Ok(Self { filter, pass_queries, docs_kept, queries, docs: num_docs, block_docs: num_docs, bytes, budget })
    }

    fn of_codes(budget: u64, shape: Shape, demand: &Demand) -> Result<Self> {
        let &Demand { dim, num_docs, top_k, threads, queries } = demand;
        let doc_bytes = Coding::doc_bytes(dim) as u64;
        // Sub-blocks are filled up to whole panels.
        let all_docs = num_docs as u64 * doc_bytes * 21 / 20 + (1 << 20);
        let keys = (4 * (Nearest::roomy_capacity_for(top_k) + top_k)) as u64;
        let working = threads as u64 * (int8::thread_bytes(dim) + keys) + tuning::chosen_bytes(shape, dim);
        // Over before anything else is there.
        let choosing = tuning::bytes(shape, dim, num_docs);
        let docs_kept = all_docs + working <= budget / 4 * 3;
        let docs = if docs_kept { all_docs } else { (budget / 2).saturating_sub(working).max(64 * doc_bytes) };
        let block_docs = if docs_kept { num_docs } else { ((docs / doc_bytes * 20 / 21) as usize).clamp(1, num_docs) };
        let capacity = Self::capacity(docs_kept, top_k);
        let needs = |pass: usize| {
            let lists = Nearest::bytes(top_k, capacity) as u64;
            let query = 2 * dim as u64 * 4 + dim as u64 + QUERY_BYTES + lists;
            let tile = coded_tile_queries(dim, pass).min(pass);
            let together = scoring_bytes(pass, tile, capacity);
            let scanning = docs + working + together + pass as u64 * query + results_bytes(pass as u64, top_k as u64);
            scanning.max(choosing)
        };
        if choosing > budget {
            let instead = match tuning::looks_for_axes(shape, dim) {
                true => "take a --kernel that looks for no axes: f32 or int8",
                false => "take --kernel f32, which takes less",
            };
            return Err(Error::MemoryBudget { needed: needs(1), budget, instead });
        }
        // Every pass over docs that are not kept reads them all again: few large ones are better.
        let most = if docs_kept { PASS_QUERIES } else { MOST_PASS_QUERIES }.min(queries.max(1));
        let (pass_queries, bytes) = largest_pass(most, budget, needs)?;
        let filter = Filter::Int8(shape);
        Ok(Self { filter, pass_queries, docs_kept, queries, docs: num_docs, block_docs, bytes, budget })
    }

    /// The float32 tiles that may be taken in place of codes, where a sample says that they are faster.
    pub(super) fn instead(&self, dim: usize, top_k: usize) -> Option<Self> {
        if !matches!(self.filter, Filter::Int8(Shape::Auto | Shape::Compact)) {
            return None;
        }
        let threads = rayon::current_num_threads();
        let demand = Demand { dim, num_docs: self.docs, top_k, queries: self.queries, threads };
        Self::of_tiles(self.budget, &demand).ok()
    }

    /// Bytes that the buffers take at most, whatever a sample says.
    pub fn most_bytes(&self, dim: usize, top_k: usize) -> u64 {
        self.instead(dim, top_k).map_or(self.bytes, |tiles| self.bytes.max(tiles.bytes))
    }

    /// Docs of a query that are held at most. Where docs are not kept, more queries in a pass are worth more than room for
    /// these.
    pub(super) fn capacity(docs_kept: bool, top_k: usize) -> usize {
        if docs_kept { Nearest::roomy_capacity_for(top_k) } else { Nearest::capacity_for(top_k) }
    }
}

/// One result being computed, one in the queue, one being written.
fn results_bytes(queries: u64, top_k: u64) -> u64 {
    3 * queries * top_k * 8
}

/// The largest pass, whole tiles as long as they fit, whose needs are within `budget`; and its needs.
fn largest_pass(most: usize, budget: u64, needs: impl Fn(usize) -> u64) -> Result<(usize, u64)> {
    let mut pass = most;
    while needs(pass) > budget {
        if pass == 1 {
            return Err(Error::MemoryBudget { needed: needs(1), budget, instead: "lower topK" });
        }
        pass /= 2;
    }
    Ok((pass, needs(pass)))
}
