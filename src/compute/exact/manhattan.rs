//! Exact top-k by Manhattan distance: codes of eight bits bound the distance of every pair, and the docs
//! that they cannot rule out are measured in float64.
//!
//! All rows share one step and one origin a dimension, x ≈ origin + step · code, so by the triangle
//! inequality | ‖q − d‖₁ − step · Σ|code_q − code_d| | ≤ residual_q + residual_d, where a residual is
//! ‖x − (origin + step · code)‖₁. Values beyond the codes are cut off, which residuals count like any loss.

use std::ops::Range;

use rayon::prelude::*;

use super::nearest::{Nearest, PAIR_BYTES, Scorer, decide_all};
use super::scatter;
use super::topk::Candidate;
use crate::compute::error::{Error, Result};
use crate::compute::kernels::sad::{GROUP, GROUP_WORD, PANEL, PANEL_WORD, WORD, panel_hits};
use crate::compute::kernels::{self, Level};
use crate::compute::metric::Metric;
use crate::compute::vectors::VectorFile;
use crate::job::Monitor;

/// Queries in a tile: few enough codes to stay near.
const TILE_BYTES: usize = 384 << 10;
/// Queries that are searched in one go at most.
const PASS_QUERIES: usize = 6144;
/// Rows by which the codes are laid out, and their bytes (as float64) at most.
const SAMPLE_ROWS: usize = 2048;
const SAMPLE_BYTES: usize = 16 << 20;

/// How values become codes.
#[derive(Debug, Clone)]
struct Coding {
    step: f64,
    /// One a dimension: the value of code 0.
    origins: Vec<f64>,
    /// Added to every residual for what float64 rounds.
    slack: f64,
    level: Level,
}

impl Coding {
    /// Lays the codes out by a sample of `rows` of `file`: of several steps the one that loses least.
    fn of(file: &VectorFile, num_docs: usize, level: Level) -> Self {
        let dim = file.dim();
        let sample: Vec<usize> =
            (0..num_docs).step_by(num_docs.div_ceil(SAMPLE_ROWS.min(SAMPLE_BYTES / (8 * dim)).max(1)).max(1)).collect();
        let mut centres = vec![0.0f64; dim];
        for &row in &sample {
            centres.iter_mut().zip(file.row(row)).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        centres.iter_mut().for_each(|sum| *sum /= sample.len() as f64);
        let mut spreads: Vec<f64> = sample
            .iter()
            .flat_map(|&row| {
                file.row(row).iter().zip(&centres).map(|(&value, centre)| (f64::from(value) - centre).abs())
            })
            .collect();
        spreads.sort_unstable_by(f64::total_cmp);
        let largest = spreads.last().copied().unwrap_or(0.0);
        let loss = |coding: &Self| -> f64 {
            let mut codes = vec![0u8; dim];
            let rows = sample.iter().step_by(sample.len().div_ceil(256));
            rows.map(|&row| kernels::quantise_absolute(level, file.row(row), &coding.origins, coding.step, &mut codes))
                .sum()
        };
        let codings = [1.0, 0.9999, 0.999, 0.99].map(|share| {
            let reach = spreads[((spreads.len() - 1) as f64 * share) as usize];
            // Where nothing varies any step will do.
            let step = if reach > 0.0 { 2.0 * reach / 255.0 } else { largest.max(f64::MIN_POSITIVE.sqrt()) / 255.0 };
            let origins: Vec<f64> = centres.iter().map(|centre| centre - 127.5 * step).collect();
            Self { step, origins, slack: 0.0, level }
        });
        let losses = codings.each_ref().map(loss);
        let best = (0..codings.len()).min_by(|&a, &b| losses[a].total_cmp(&losses[b])).unwrap_or(0);
        codings[best].clone()
    }

    /// Codes of a row in whole words (zeros past dim), and a bound from above on its residual.
    fn code(&self, row: &[f32], codes: &mut [u8]) -> f64 {
        let dim = row.len();
        codes[dim..].fill(0);
        let residual = kernels::quantise_absolute(self.level, row, &self.origins, self.step, &mut codes[..dim]);
        let largest = f64::from(kernels::largest_abs(self.level, row));
        residual * (1.0 + 1e-9) + dim as f64 * 1e-14 * (largest + self.slack)
    }
}

/// Part of the docs, coded.
struct CodedDocs {
    first: usize,
    count: usize,
    words: usize,
    /// Panel by panel, word by word.
    panels: Vec<u8>,
    /// One a doc.
    residuals: Vec<f64>,
    /// The largest of each panel.
    panel_residuals: Vec<f64>,
    /// Panels as they are scanned: sorted files would raise the floor doc by doc.
    order: Vec<u32>,
}

impl CodedDocs {
    fn new(
        file: &VectorFile,
        docs: Range<usize>,
        coding: &Coding,
        done: impl Fn(u64) -> Result<()> + Sync,
    ) -> Result<Self> {
        let words = file.dim().div_ceil(WORD);
        let panel_bytes = words * PANEL_WORD;
        let count = docs.len().div_ceil(PANEL);
        let mut panels = vec![0u8; count * panel_bytes];
        let mut residuals = vec![0.0f64; docs.len()];
        panels.par_chunks_exact_mut(panel_bytes).zip(residuals.par_chunks_mut(PANEL)).enumerate().try_for_each_init(
            || vec![0u8; words * WORD],
            |codes, (panel, (bytes, residuals))| {
                if panel % 64 == 0 {
                    file.check_size()?;
                }
                let first = docs.start + panel * PANEL;
                for (lane, residual) in residuals.iter_mut().enumerate() {
                    *residual = coding.code(file.row(first + lane), codes);
                    for (place, word) in
                        bytes.as_chunks_mut::<PANEL_WORD>().0.iter_mut().zip(codes.as_chunks::<WORD>().0)
                    {
                        place[lane * WORD..(lane + 1) * WORD].copy_from_slice(word);
                    }
                }
                done(residuals.len() as u64)
            },
        )?;
        let panel_residuals = residuals.chunks(PANEL).map(|panel| panel.iter().copied().fold(0.0, f64::max)).collect();
        let mut order: Vec<u32> = (0..count as u32).collect();
        scatter(&mut order);
        Ok(Self { first: docs.start, count: docs.len(), words, panels, residuals, panel_residuals, order })
    }

    fn panel(&self, panel: usize) -> &[u8] {
        let bytes = self.words * PANEL_WORD;
        &self.panels[panel * bytes..(panel + 1) * bytes]
    }
}

/// Exact top-k by Manhattan distance over the first rows of a file.
pub struct ManhattanEngine<'a> {
    docs: &'a VectorFile,
    num_docs: usize,
    top_k: usize,
    level: Level,
    coding: Coding,
    /// Docs that are coded at a time.
    block_docs: usize,
    kept: Option<CodedDocs>,
    pass_queries: usize,
}

impl<'a> ManhattanEngine<'a> {
    /// `1 ≤ top_k ≤ num_docs ≤ docs.rows()`, `num_docs < 2³²`; every value of those rows finite.
    /// `budget`: bytes for codes and what is found; at least one query and one panel are always taken.
    ///
    /// # Errors
    /// Docs that shrank; cancelled; a budget that is too small.
    pub fn new(
        docs: &'a VectorFile,
        num_docs: usize,
        top_k: usize,
        budget: u64,
        level: Level,
        monitor: &Monitor,
    ) -> Result<Self> {
        debug_assert!((1..=num_docs).contains(&top_k) && num_docs <= docs.rows());
        let dim = docs.dim();
        docs.check_size()?;
        let mut coding = Coding::of(docs, num_docs, level);
        coding.slack = coding.origins.iter().map(|origin| origin.abs()).fold(255.0 * coding.step, f64::max);
        let doc_bytes = (dim.next_multiple_of(WORD) + 8) as u64;
        let capacity = Nearest::capacity_for(top_k);
        let query_bytes =
            (Nearest::bytes(top_k, capacity) + capacity * PAIR_BYTES + dim.next_multiple_of(WORD) + 64) as u64;
        let all = num_docs as u64 * doc_bytes;
        let is_kept = all <= budget / 4 * 3;
        let block_docs = if is_kept { num_docs } else { (budget / 2 / doc_bytes).max(PANEL as u64) as usize };
        let left = budget.saturating_sub(block_docs as u64 * doc_bytes);
        if left < query_bytes * GROUP as u64 {
            return Err(Error::MemoryBudget {
                needed: block_docs as u64 * doc_bytes + query_bytes * GROUP as u64,
                budget,
                instead: "lower k",
            });
        }
        let pass_queries = ((left / query_bytes) as usize).clamp(GROUP, PASS_QUERIES);
        let kept = if is_kept {
            monitor.begin("coding samples", "samples", num_docs as u64);
            Some(CodedDocs::new(docs, 0..num_docs, &coding, |docs| Ok(monitor.advance(docs)?))?)
        } else {
            None
        };
        Ok(Self { docs, num_docs, top_k, level, coding, block_docs, kept, pass_queries })
    }

    /// Queries that should be asked for at once.
    pub fn pass_queries(&self) -> usize {
        self.pass_queries
    }

    /// The k nearest docs of each query, nearest first, ties to the lower doc: query-major rows.
    ///
    /// `queries`: row-major, query_count × dim, finite. `monitor` advances by query × doc pairs.
    ///
    /// # Errors
    /// Cancelled; docs that shrank.
    pub fn top_k(&self, queries: &[f32], monitor: &Monitor) -> Result<Vec<u32>> {
        let dim = self.docs.dim();
        let query_count = queries.len() / dim;
        let most = (TILE_BYTES / dim).clamp(GROUP, 2048);
        let even = query_count.div_ceil(2 * rayon::current_num_threads());
        let tile_queries = even.clamp(GROUP, most).next_multiple_of(GROUP);
        let mut tiles: Vec<Tile<'_>> =
            queries.par_chunks(tile_queries * dim).map(|queries| Tile::new(self, queries)).collect();
        let scorers: Vec<L1<'_>> = queries.chunks_exact(dim).map(|query| L1 { engine: self, query }).collect();
        for first in (0..self.num_docs).step_by(self.block_docs) {
            let block = first..(first + self.block_docs).min(self.num_docs);
            let made;
            let docs = match &self.kept {
                Some(docs) => docs,
                None => {
                    made = CodedDocs::new(self.docs, block.clone(), &self.coding, |_| Ok(monitor.check()?))?;
                    self.docs.will_need(block.end..(block.end + self.block_docs).min(self.num_docs));
                    &made
                }
            };
            tiles.par_iter_mut().try_for_each(|tile| {
                self.docs.check_size()?;
                tile.scan(docs, monitor)
            })?;
            let mut nearest: Vec<Vec<Nearest>> =
                tiles.iter_mut().map(|tile| std::mem::take(&mut tile.nearest)).collect();
            let mut all: Vec<&mut [Nearest]> = nearest.iter_mut().map(Vec::as_mut_slice).collect();
            decide_all(&mut all, &block, |tile, query| &scorers[tile * tile_queries + query], monitor)?;
            tiles.iter_mut().zip(nearest).for_each(|(tile, nearest)| tile.nearest = nearest);
        }
        Ok(tiles.into_par_iter().flat_map_iter(Tile::into_docs).collect())
    }
}

/// A tile of queries on its way through the docs.
struct Tile<'a> {
    engine: &'a ManhattanEngine<'a>,
    queries: &'a [f32],
    /// Group by group, word by word.
    codes: Vec<u8>,
    residuals: Vec<f64>,
    nearest: Vec<Nearest>,
}

/// Measures docs for one query.
struct L1<'a> {
    engine: &'a ManhattanEngine<'a>,
    query: &'a [f32],
}

impl Scorer for L1<'_> {
    fn vectors(&self, doc: u32) -> [&[f32]; 2] {
        [self.query, self.engine.docs.row(doc as usize)]
    }

    fn score(&self, doc: u32) -> f64 {
        kernels::absolute_distance_f64(self.engine.level, self.query, self.engine.docs.row(doc as usize))
    }

    fn key(&self, score: f64) -> f64 {
        -score
    }

    fn metric(&self) -> Metric {
        // Distances, too: smaller is nearer.
        Metric::Euclidean
    }
}

impl<'a> Tile<'a> {
    fn new(engine: &'a ManhattanEngine<'a>, queries: &'a [f32]) -> Self {
        let dim = engine.docs.dim();
        let words = dim.div_ceil(WORD);
        let count = queries.len() / dim;
        let mut codes = vec![0u8; count.next_multiple_of(GROUP) * words * WORD];
        let mut row_codes = vec![0u8; words * WORD];
        let mut residuals = Vec::with_capacity(count);
        for (index, query) in queries.chunks_exact(dim).enumerate() {
            residuals.push(engine.coding.code(query, &mut row_codes));
            let (group, lane) = (index / GROUP, index % GROUP);
            for (word, bytes) in row_codes.as_chunks::<WORD>().0.iter().enumerate() {
                let at = (group * words + word) * GROUP_WORD + lane * WORD;
                codes[at..at + WORD].copy_from_slice(bytes);
            }
        }
        let nearest = Nearest::new(engine.top_k, Nearest::capacity_for(engine.top_k));
        Self { engine, queries, codes, residuals, nearest: vec![nearest; count] }
    }

    fn query(&self, index: usize) -> L1<'a> {
        let dim = self.engine.docs.dim();
        L1 { engine: self.engine, query: &self.queries[index * dim..(index + 1) * dim] }
    }

    fn scan(&mut self, docs: &CodedDocs, monitor: &Monitor) -> Result<()> {
        /// Panels between two looks at whether to stop.
        const PANELS_TOGETHER: usize = 16;
        let step = self.engine.coding.step;
        let count = self.nearest.len();
        let mut thresholds = vec![-1i32; count.next_multiple_of(GROUP)];
        let mut hits = Vec::new();
        let (mut next_tightening, mut docs_told, mut docs_seen) = (1, 0, 0);
        for (seen, &panel) in docs.order.iter().enumerate() {
            let panel = panel as usize;
            // Buffers of candidates are long; their floor is wanted early.
            if seen == next_tightening {
                next_tightening = next_tightening * 3 / 2 + 1;
                self.nearest.iter_mut().for_each(Nearest::tighten);
            }
            for ((threshold, nearest), residual) in thresholds.iter_mut().zip(&self.nearest).zip(&self.residuals) {
                // A pair whose distance is at most this may matter; −limit is a distance.
                let reach = -f64::from(nearest.limit()) + residual + docs.panel_residuals[panel];
                // Rounded up; infinite as long as nothing is known.
                *threshold = (reach / step * (1.0 + 1e-12) + 1.0).clamp(-1.0, f64::from(i32::MAX)) as i32;
            }
            hits.clear();
            panel_hits(self.engine.level, docs.panel(panel), &self.codes, &thresholds, &mut hits);
            let in_panel = PANEL.min(docs.count - panel * PANEL);
            for hit in &hits {
                let (query, lane) = (hit.query as usize, hit.doc as usize);
                if query >= count || lane >= in_panel {
                    continue;
                }
                let place = panel * PANEL + lane;
                let distance = step * f64::from(hit.sum);
                let error = (self.residuals[query] + docs.residuals[place]) * (1.0 + 1e-12) + distance * 1e-12;
                let candidate = Candidate::of(-distance, error, (docs.first + place) as u32);
                let scorer = self.query(query);
                self.nearest[query].push(candidate, &scorer);
            }
            docs_seen += in_panel;
            if (seen + 1) % PANELS_TOGETHER == 0 || seen + 1 == docs.order.len() {
                monitor.advance((count * (docs_seen - docs_told)) as u64)?;
                docs_told = docs_seen;
            }
        }
        Ok(())
    }

    fn into_docs(mut self) -> Vec<u32> {
        let nearest = std::mem::take(&mut self.nearest);
        let mut keys = Vec::new();
        let sorted = nearest.into_iter().enumerate().flat_map(|(query, mut nearest)| {
            nearest.sorted(&self.query(query), &mut keys).map(|(_, doc)| doc).collect::<Vec<_>>()
        });
        sorted.collect()
    }
}
