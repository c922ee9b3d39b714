//! The int8 filter: docs and queries as codes of eight bits, and which pairs they cannot rule out.
//!
//! For x ≈ step · code and any pair (Cauchy–Schwarz)
//! |q·d − step_q step_d (code_q·code_d)| ≤ ‖step_q code_q‖ ‖d − step_d code_d‖ + ‖q − step_q code_q‖ ‖d‖.
//! Where only some axes are coded, the length of what is left out of both vectors bounds the rest ([`Turn::left_out`]).
//! A doc whose sum of products plus this bound stays below what the k-th nearest reaches cannot be
//! among the k nearest; the others are scored in float64 as everywhere.
//!
//! Docs are packed in panels of 48 that share a step. Neighbours in a panel have values of like size
//! (they are sorted within a sub-block, which the caches hold), but every sub-block is a sample of
//! the whole block and panels are scanned in random order: that keeps sorted files from raising the
//! floor doc by doc, and makes what was seen so far a fair sample from which the k-th nearest can be
//! guessed. A guess is checked in the end, and where it was too high the query is scanned again.

use std::ops::Range;

use memmap2::MmapMut;
use rayon::prelude::*;

use super::nearest::{Nearest, Scorer};
use super::scatter;
use super::topk::Candidate;
use super::turn::Turn;
use crate::compute::error::{Error, Result};
use crate::compute::kernels::int8::{BIAS, CODE_MAX, Dot, GROUP, GROUP_WORD, Hit, PANEL, PANEL_WORD, QueryCodes, WORD};
use crate::compute::kernels::int8::{panel_hits, row_dot};
use crate::compute::kernels::{self, Level, PanelBounds, QueryBounds};
use crate::compute::metric::Metric;
use crate::compute::vectors::VectorFile;
use crate::job::Monitor;

const UNIT_F32: f64 = 1.0 / (1u64 << 24) as f64;
const UNIT_F64: f64 = f64::EPSILON / 2.0;
/// Values beyond this are not coded, so that squares and their sums stay within float32.
const LARGEST_CODED: f32 = 1e15;
/// Vectors of a sub-block take about this many bytes, so that the second reading finds them near.
const SUB_BLOCK_BYTES: usize = 512 << 10;
/// Docs that lie together in the file and stay together: a page of them.
const GRANULE_BYTES: usize = 4096;
/// Bytes of a line of the caches, and docs that have a word in it.
const LINE: usize = 64;
const LINE_DOCS: usize = LINE / WORD;
/// No doc.
const NOBODY: u32 = u32::MAX;

/// How vectors are coded: the same for docs and queries.
#[derive(Debug, Clone)]
pub struct Coding {
    pub metric: Metric,
    pub level: Level,
    pub dot: Dot,
    pub dim: usize,
    /// What is done to vectors before.
    pub turn: Turn,
    /// Leading dimensions that the filter looks at first, whole words; `dim` rounded up for all.
    pub prefix: usize,
    /// 1. Tests make bounds tighter than is right, to see that this is noticed.
    pub trust: f64,
}

impl Coding {
    /// Dimensions of turned vectors.
    fn turned_dim(&self) -> usize {
        self.turn.kept_dim(self.dim)
    }

    /// Dimensions of the codes: those of turned vectors rounded up to whole words.
    pub fn coded_dim(&self) -> usize {
        self.turned_dim().next_multiple_of(WORD)
    }

    /// A bound on the length of what lies past the prefix, or is left out, of a vector of length ≤ `norm`.
    fn suffix(&self, turned: &[f32], norm: f64) -> f64 {
        if self.rest() == 0 {
            return self.turn.left_out(turned, norm, self.level) * self.trust;
        }
        let suffix = turned.get(self.prefix..).unwrap_or_default();
        let (_, slack) = self.residual_slack(norm);
        kernels::dot_f64(self.level, suffix, suffix).sqrt() * self.norm_factor() + slack
    }

    /// In words.
    pub fn describe(&self) -> String {
        let prefix = match self.rest() {
            0 if self.coded_dim() < self.dim => format!(", {} of {} dimensions", self.turned_dim(), self.dim),
            0 => String::new(),
            _ => format!(", the first {} of {} dimensions first", self.prefix, self.dim),
        };
        format!("codes of {}{prefix}", self.turn.name())
    }

    fn rest(&self) -> usize {
        self.coded_dim() - self.prefix
    }

    /// Bytes that a coded doc takes.
    pub fn doc_bytes(dim: usize) -> usize {
        dim.next_multiple_of(WORD) + size_of::<Slot>() + size_of::<PanelBounds>() / PANEL + 2
    }

    /// A bound on the length of a doc of this norm as it is coded.
    fn coded_norm(&self, norm: f64) -> f64 {
        match self.metric {
            Metric::Cosine => self.norm_factor(),
            Metric::Dot | Metric::Euclidean => norm * self.norm_factor(),
        }
    }

    /// Takes norms to bounds of them, also of turned vectors.
    fn norm_factor(&self) -> f64 {
        1.0 + 1e-12 + self.turn.product_error()
    }

    /// What float32 rounding adds to a residual, and what it multiplies it with.
    fn residual_slack(&self, norm: f64) -> (f64, f64) {
        let dim = self.dim as f64;
        let factor = 1.0 + (dim / 16.0 + 20.0) * 2.0 * UNIT_F32;
        // Codes times steps, division by the norm, and turning round values; squares may underflow.
        (factor, (8.0 * UNIT_F32 + self.turn.error()) * norm + 1e-22 * dim.sqrt())
    }

    /// A bound on ‖x − step · code‖ from the kernel's sum of squares.
    fn residual(&self, sum_of_squares: f32, norm: f64) -> f64 {
        let (factor, slack) = self.residual_slack(norm);
        let residual = (f64::from(sum_of_squares).sqrt() * factor + slack) * self.trust;
        if residual.is_nan() { f64::INFINITY } else { residual }
    }
}

/// A doc in its place.
#[derive(Debug, Clone, Copy)]
struct Slot {
    doc: u32,
    /// Bounds from above.
    residual: f32,
    norm: f32,
    /// Of what is left out; 0 where codes past the prefix are looked at.
    suffix: f32,
    offset: f64,
}

/// Part of the docs, coded.
pub struct CodedDocs {
    words: usize,
    /// Panel by panel, `words` of 48 × 4 bytes.
    panels: MmapMut,
    bounds: Vec<PanelBounds>,
    /// 48 a panel.
    slots: Vec<Slot>,
    /// Codes past the prefix, slot by slot.
    rest: Vec<u8>,
    /// Panels as they are scanned.
    order: Vec<u32>,
    docs: usize,
}

/// How the docs of a block are dealt out to sub-blocks.
struct Deal {
    docs: Range<usize>,
    granule: usize,
    sub_blocks: usize,
    panels: usize,
}

impl Deal {
    fn of(docs: Range<usize>, dim: usize) -> Self {
        let granule = (GRANULE_BYTES / (dim * 4)).clamp(1, PANEL);
        let sub_docs = (SUB_BLOCK_BYTES / (dim * 4) / PANEL).clamp(4, 64) * PANEL;
        let sub_blocks = docs.len().div_ceil(sub_docs).max(1);
        let granules = docs.len().div_ceil(granule).div_ceil(sub_blocks);
        Self { docs, granule, sub_blocks, panels: (granules * granule).div_ceil(PANEL) }
    }

    /// The rows of sub-block `index`.
    fn rows(&self, index: usize) -> impl Iterator<Item = usize> + '_ {
        let starts = (self.docs.start + index * self.granule..self.docs.end).step_by(self.sub_blocks * self.granule);
        starts.flat_map(|start| start..(start + self.granule).min(self.docs.end))
    }
}

impl CodedDocs {
    /// Codes rows `docs` of `file`, on all cores. `done` hears of docs as they are read.
    ///
    /// # Errors
    /// A file that shrank; what `done` returns.
    pub fn new(
        file: &VectorFile,
        docs: Range<usize>,
        coding: &Coding,
        done: impl Fn(u64) -> Result<()> + Sync,
    ) -> Result<Self> {
        let deal = Deal::of(docs, coding.dim);
        let (words, rest) = (coding.prefix / WORD, coding.rest());
        let panels = deal.sub_blocks * deal.panels;
        let nobody = Slot { doc: NOBODY, residual: 0.0, norm: 0.0, suffix: 0.0, offset: 0.0 };
        let nothing = PanelBounds { step: 0.0, residual: 0.0, norm: 0.0, suffix: 0.0, offset: 0.0 };
        let mut coded = Self {
            words,
            panels: large_pages(panels * words * PANEL_WORD)?,
            bounds: vec![nothing; panels],
            slots: vec![nobody; panels * PANEL],
            rest: vec![0; panels * PANEL * rest],
            order: (0..panels as u32).collect(),
            docs: deal.docs.len(),
        };
        // Where there is no rest, an empty slice for every sub-block.
        let mut rests: Vec<&mut [u8]> = if rest == 0 {
            (0..deal.sub_blocks).map(|_| Default::default()).collect()
        } else {
            coded.rest.chunks_exact_mut(deal.panels * PANEL * rest).collect()
        };
        coded
            .panels
            .par_chunks_exact_mut(deal.panels * words * PANEL_WORD)
            .zip(coded.bounds.par_chunks_exact_mut(deal.panels))
            .zip(coded.slots.par_chunks_exact_mut(deal.panels * PANEL))
            .zip(rests.par_iter_mut())
            .enumerate()
            .try_for_each_init(SubBlock::default, |sub_block, (index, (((panels, bounds), slots), rests))| {
                file.check_size()?;
                sub_block.read(file, deal.rows(index), coding);
                sub_block.code(coding, panels, bounds, slots, rests);
                done(sub_block.rows.len() as u64)
            })?;
        // A fixed permutation of the panels that hold docs.
        coded.order.retain(|&panel| coded.slots[panel as usize * PANEL].doc != NOBODY);
        scatter(&mut coded.order);
        Ok(coded)
    }

    /// The largest norm that a bound needs: of any doc, or 1 where they are divided by it.
    pub fn largest_norm(&self) -> f64 {
        self.bounds.iter().map(|bounds| bounds.norm).fold(0.0, f64::max)
    }

    fn panel(&self, panel: usize) -> &[u8] {
        let bytes = self.words * PANEL_WORD;
        &self.panels[panel * bytes..(panel + 1) * bytes]
    }
}

/// Memory of its own pages, large ones where the system has them: fewer to ask for and to look up. No
/// vector of a panel lies in two cache lines.
fn large_pages(bytes: usize) -> Result<MmapMut> {
    let map = MmapMut::map_anon(bytes).map_err(|source| Error::OutOfMemory { wanted: bytes as u64, source })?;
    #[cfg(target_os = "linux")]
    map.advise(memmap2::Advice::HugePage).ok();
    Ok(map)
}

/// What a thread needs to code a sub-block.
#[derive(Default)]
struct SubBlock {
    rows: Vec<usize>,
    /// The vectors as they will be coded, row-major.
    values: Vec<f32>,
    turned: Vec<f32>,
    norms: Vec<f64>,
    largest: Vec<f32>,
    suffixes: Vec<f64>,
    order: Vec<u32>,
    codes: Vec<i8>,
}

impl SubBlock {
    /// Reads the rows, divides them by their norms under cosine, and turns them.
    fn read(&mut self, file: &VectorFile, rows: impl Iterator<Item = usize>, coding: &Coding) {
        self.rows.clear();
        self.rows.extend(rows);
        self.values.clear();
        self.norms.clear();
        for (index, &row) in self.rows.iter().enumerate() {
            let next = self.rows.get(index + 1).map_or(&[][..], |&next| file.row(next));
            let row = file.row(row);
            let norm = kernels::dot_f64_asking(coding.level, row, row, [next, &[]]).sqrt();
            self.norms.push(norm);
            append_as_coded(coding.metric, row, norm, &mut self.values);
        }
        if coding.turn.apply(&self.values, &mut self.turned) {
            std::mem::swap(&mut self.values, &mut self.turned);
        }
        let vectors = self.values.chunks_exact(coding.turned_dim());
        self.largest.clear();
        self.largest.extend(vectors.clone().map(|vector| kernels::largest_abs(coding.level, vector)));
        self.suffixes.clear();
        let suffix = |(vector, &norm): (&[f32], &f64)| coding.suffix(vector, coding.coded_norm(norm));
        self.suffixes.extend(vectors.zip(&self.norms).map(suffix));
    }

    fn code(
        &mut self,
        coding: &Coding,
        panels: &mut [u8],
        bounds: &mut [PanelBounds],
        slots: &mut [Slot],
        rests: &mut [u8],
    ) {
        self.order.clear();
        self.order.extend(0..self.rows.len() as u32);
        let size = |&doc: &u32| -> f64 {
            let doc = doc as usize;
            match coding.metric {
                _ if coding.rest() > 0 => self.suffixes[doc],
                Metric::Euclidean => self.norms[doc],
                Metric::Dot | Metric::Cosine => f64::from(self.largest[doc]),
            }
        };
        self.order.sort_unstable_by(|a, b| size(b).total_cmp(&size(a)).then(a.cmp(b)));
        let order = std::mem::take(&mut self.order);
        let panels = panels.chunks_exact_mut(coding.prefix * PANEL);
        let places = bounds.iter_mut().zip(slots.chunks_exact_mut(PANEL));
        for (number, ((panel, (bounds, slots)), docs)) in panels.zip(places).zip(order.chunks(PANEL)).enumerate() {
            let rest = coding.rest() * PANEL;
            let rests = rests.get_mut(number * rest..(number + 1) * rest).unwrap_or_default();
            *bounds = self.code_panel(coding, docs, panel, slots, rests);
        }
        self.order = order;
    }

    fn code_panel(
        &mut self,
        coding: &Coding,
        docs: &[u32],
        panel: &mut [u8],
        slots: &mut [Slot],
        rests: &mut [u8],
    ) -> PanelBounds {
        let dim = coding.turned_dim();
        let largest = docs.iter().map(|&doc| self.largest[doc as usize]).fold(0.0, f32::max);
        let (step, factor) = step_of(largest);
        let mut bounds =
            PanelBounds { step: f64::from(step), residual: 0.0, norm: 0.0, suffix: 0.0, offset: f64::INFINITY };
        // Every byte is written where all lanes and dimensions are taken.
        if docs.len() < PANEL {
            panel.fill(BIAS as u8);
        }
        let coded_dim = coding.coded_dim();
        let mut codes = std::mem::take(&mut self.codes);
        codes.resize(LINE_DOCS * coded_dim, 0);
        for (line, (docs, slots)) in docs.chunks(LINE_DOCS).zip(slots.chunks_mut(LINE_DOCS)).enumerate() {
            for (lane, ((&doc, slot), codes)) in
                docs.iter().zip(slots).zip(codes.chunks_exact_mut(coded_dim)).enumerate()
            {
                let doc = doc as usize;
                let values = &self.values[doc * dim..(doc + 1) * dim];
                let squares = kernels::quantise(coding.level, values, factor, step, &mut codes[..dim]);
                let squares = if largest <= LARGEST_CODED { squares } else { f32::INFINITY };
                *slot = self.slot_of(coding, doc, squares);
                bounds.residual = bounds.residual.max(f64::from(slot.residual));
                bounds.norm = bounds.norm.max(f64::from(slot.norm));
                bounds.suffix = bounds.suffix.max(self.suffixes[doc]).max(f64::from(slot.suffix));
                bounds.offset = bounds.offset.min(slot.offset);
                if coding.rest() > 0 {
                    let place = line * LINE_DOCS + lane;
                    let rest = &mut rests[place * coding.rest()..(place + 1) * coding.rest()];
                    rest.iter_mut().zip(&codes[coding.prefix..]).for_each(|(byte, &code)| *byte = biased(code));
                }
            }
            pack_line(&codes[..docs.len() * coded_dim], coded_dim, &mut panel[line * LINE..]);
        }
        self.codes = codes;
        bounds
    }

    /// `squares`: of what codes lose, as their kernel tells; infinite of a doc that is not coded.
    fn slot_of(&self, coding: &Coding, doc: usize, squares: f32) -> Slot {
        let norm = coding.coded_norm(self.norms[doc]);
        Slot {
            doc: self.rows[doc] as u32,
            residual: (coding.residual(squares, norm) as f32).next_up(),
            norm: (norm as f32).next_up(),
            suffix: if coding.rest() > 0 { 0.0 } else { (self.suffixes[doc] as f32).next_up() },
            offset: match coding.metric {
                Metric::Dot | Metric::Cosine => 0.0,
                Metric::Euclidean => self.norms[doc] * self.norms[doc] / 2.0,
            },
        }
    }
}

fn biased(code: i8) -> u8 {
    (code as u8).wrapping_add(BIAS as u8)
}

/// Puts the codes of up to 16 docs, row-major, count × `coded_dim`, in their lanes: word by word as far as `panel` goes, which
/// begins at the line of the first word. Doc by doc, every line would be fetched sixteen times.
fn pack_line(codes: &[i8], coded_dim: usize, panel: &mut [u8]) {
    for (word, words) in panel.chunks_mut(PANEL_WORD).enumerate() {
        for (lane, codes) in words.as_chunks_mut::<WORD>().0.iter_mut().zip(codes.chunks_exact(coded_dim)) {
            *lane = codes.as_chunks::<WORD>().0[word].map(biased);
        }
    }
}

/// Appends a doc of this norm as it is coded: divided by the norm under cosine.
pub fn append_as_coded(metric: Metric, row: &[f32], norm: f64, values: &mut Vec<f32>) {
    match metric {
        // In float64: the inverse of a large norm would be below float32's normal range.
        Metric::Cosine => values.extend(row.iter().map(|&value| (f64::from(value) / norm) as f32)),
        Metric::Dot | Metric::Euclidean => values.extend_from_slice(row),
    }
}

/// The step with which values up to `largest` fill the codes, and its inverse.
pub fn step_of(largest: f32) -> (f32, f32) {
    let step = largest / CODE_MAX;
    if largest > 0.0 { (step, 1.0 / step) } else { (0.0, 0.0) }
}

/// A tile of queries, coded.
struct CodedQueries {
    stride: usize,
    /// Group by group.
    codes: Vec<i8>,
    /// Codes past the prefix, query by query.
    rest: Vec<i8>,
    limits: Vec<f64>,
    steps: Vec<f64>,
    inverse_steps: Vec<f64>,
    sizes: Vec<f64>,
    residuals: Vec<f64>,
    suffixes: Vec<f64>,
    slacks: Vec<f64>,
    norms: Vec<f64>,
    biases: Vec<f64>,
}

impl CodedQueries {
    /// `queries`: row-major, count × dim.
    fn new(queries: &[f32], coding: &Coding) -> Self {
        let (dim, coded_dim) = (coding.dim, coding.coded_dim());
        let count = queries.len() / dim;
        let padded = count.next_multiple_of(GROUP);
        let stride = coded_dim / WORD;
        let mut coded = Self {
            stride,
            codes: vec![0; padded * coded_dim],
            rest: vec![0; count * coding.rest()],
            limits: vec![f64::INFINITY; padded],
            steps: vec![1.0; padded],
            inverse_steps: vec![1.0; padded],
            sizes: vec![0.0; padded],
            residuals: vec![0.0; padded],
            suffixes: vec![0.0; padded],
            slacks: vec![0.0; padded],
            norms: vec![0.0; padded],
            biases: vec![0.0; padded],
        };
        let mut turned = Vec::new();
        let is_turned = coding.turn.apply(queries, &mut turned);
        let values = if is_turned { turned.as_slice() } else { queries };
        let mut codes = vec![0i8; coded_dim];
        let turned_dim = coding.turned_dim();
        for (index, (query, values)) in queries.chunks_exact(dim).zip(values.chunks_exact(turned_dim)).enumerate() {
            let norm = kernels::dot_f64(coding.level, query, query).sqrt() * coding.norm_factor();
            let largest = kernels::largest_abs(coding.level, values);
            let (step, factor) = step_of(largest);
            let squares = kernels::quantise(coding.level, values, factor, step, &mut codes[..turned_dim]);
            let sum_of = |term: fn(i64) -> i64| codes.iter().map(|&code| term(i64::from(code))).sum::<i64>();
            let prefix_sum: i64 = codes[..coding.prefix].iter().map(|&code| i64::from(code)).sum();
            coded.steps[index] = f64::from(step);
            coded.inverse_steps[index] = 1.0 / f64::from(step);
            coded.sizes[index] = f64::from(step) * (sum_of(|code| code * code) as f64).sqrt() * coding.norm_factor();
            coded.residuals[index] =
                if largest <= LARGEST_CODED { coding.residual(squares, norm) } else { f64::INFINITY };
            coded.suffixes[index] = coding.suffix(values, norm);
            coded.norms[index] = norm;
            coded.biases[index] = f64::from(BIAS) * prefix_sum as f64;
            coded.limits[index] = f64::NEG_INFINITY;
            let (group, lane) = (index / GROUP, index % GROUP);
            for (word, bytes) in codes.as_chunks::<WORD>().0.iter().enumerate() {
                let at = (group * stride + word) * GROUP_WORD + lane * WORD;
                coded.codes[at..at + WORD].copy_from_slice(bytes);
            }
            let rest = coding.rest();
            coded.rest[index * rest..(index + 1) * rest].copy_from_slice(&codes[coding.prefix..]);
        }
        coded
    }

    /// Takes over the largest norm of the docs that are met.
    fn expect_norm(&mut self, coding: &Coding, largest_norm: f64) {
        for (slack, &norm) in self.slacks.iter_mut().zip(&self.norms) {
            *slack = slack_of(coding, norm, largest_norm);
        }
    }
}

/// What float64 rounding can add to the distance of two keys: of the sum, and of what is made of it
/// ([`super::bounds`]); and what turning takes from or adds to products.
fn slack_of(coding: &Coding, query_norm: f64, largest_norm: f64) -> f64 {
    let gamma = (coding.dim as f64 + 16.0) * UNIT_F64;
    let product = query_norm * largest_norm;
    let turned = coding.turn.product_error() * product;
    let rounded = match coding.metric {
        Metric::Dot | Metric::Cosine => 4.0 * gamma * product,
        Metric::Euclidean => 8.0 * gamma * (query_norm + largest_norm) * (query_norm + largest_norm),
    };
    turned + rounded + 1e-300
}

/// What a scan did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScanCounts {
    /// Pairs that passed the whole panel's threshold.
    pub hits: u64,
    /// Pairs scored in float64.
    pub scored: u64,
    /// Queries scanned again because a guess was too high.
    pub redone: u64,
}

impl ScanCounts {
    pub fn add(&mut self, other: Self) {
        self.hits += other.hits;
        self.scored += other.scored;
        self.redone += other.redone;
    }
}

/// Bytes that a thread works with at most.
pub fn thread_bytes(dim: usize) -> u64 {
    // A sub-block with its copies, and the hits of a panel with a tile.
    let sub_block = SUB_BLOCK_BYTES.max(4 * PANEL * dim * 4) as u64;
    5 * sub_block / 2 + (LINE_DOCS * dim + PANEL * 2048 * size_of::<Hit>()) as u64
}

/// A tile of queries on its way through the docs.
pub struct Tile<'a> {
    /// Row-major.
    queries: &'a [f32],
    coded: CodedQueries,
    pub nearest: Vec<Nearest>,
    pub counts: ScanCounts,
}

impl<'a> Tile<'a> {
    pub fn new(queries: &'a [f32], coding: &Coding, top_k: usize) -> Self {
        let nearest = vec![Nearest::new(top_k); queries.len() / coding.dim];
        Self { queries, coded: CodedQueries::new(queries, coding), nearest, counts: ScanCounts::default() }
    }

    /// Scans `docs`: afterwards each [`Nearest`] holds all docs that may be among the k nearest of those
    /// scanned so far, unless a guess was too high; see [`Tile::again`].
    ///
    /// `largest_norm`: of any doc scanned so far or now. `scorer` makes the scorer of a query of the
    /// tile. `guess_for`: the k whose nearest may be guessed; only for the first docs that the tile
    /// sees. `monitor` advances by query × doc pairs.
    ///
    /// # Errors
    /// Cancelled.
    pub fn scan<S: Scorer>(
        &mut self,
        docs: &CodedDocs,
        coding: &Coding,
        largest_norm: f64,
        scorer: impl Fn(usize) -> S,
        guess_for: Option<usize>,
        monitor: &Monitor,
    ) -> Result<()> {
        let everybody: Vec<usize> = (0..self.nearest.len()).collect();
        let Self { coded, nearest, counts, .. } = self;
        coded.expect_norm(coding, largest_norm);
        let pass = Pass { docs, coding, guess_for, members: &everybody, known: &[] };
        pass.scan(coded, nearest, &scorer, counts, |pairs| Ok(monitor.advance(pairs)?))
    }

    /// Scans `docs` again for the queries of which a guess was too high; every entry must be scored.
    ///
    /// # Errors
    /// Cancelled.
    pub fn again<S: Scorer>(
        &mut self,
        docs: &CodedDocs,
        coding: &Coding,
        largest_norm: f64,
        scorer: impl Fn(usize) -> S,
        monitor: &Monitor,
    ) -> Result<()> {
        let Self { nearest, counts, queries, .. } = self;
        let settled = nearest.iter_mut().map(Nearest::settle_guess).enumerate();
        let failed: Vec<usize> = settled.filter_map(|(index, settled)| (!settled).then_some(index)).collect();
        if failed.is_empty() {
            return Ok(());
        }
        counts.redone += failed.len() as u64;
        let dim = coding.dim;
        let again: Vec<f32> =
            failed.iter().flat_map(|&index| &queries[index * dim..(index + 1) * dim]).copied().collect();
        let mut again = CodedQueries::new(&again, coding);
        again.expect_norm(coding, largest_norm);
        // What was found stays, as a floor and so that nobody is counted twice.
        let known: Vec<Vec<u32>> = failed
            .iter()
            .map(|&index| {
                let mut docs: Vec<u32> = nearest[index].docs().collect();
                docs.sort_unstable();
                docs
            })
            .collect();
        let pass = Pass { docs, coding, guess_for: None, members: &failed, known: &known };
        pass.scan(&mut again, nearest, &scorer, counts, |_| Ok(monitor.check()?))?;
        for &index in &failed {
            monitor.check()?;
            counts.scored += nearest[index].decide(&scorer(index)) as u64;
        }
        Ok(())
    }
}

/// One way through a block of docs.
struct Pass<'a> {
    docs: &'a CodedDocs,
    coding: &'a Coding,
    /// The k whose nearest is guessed.
    guess_for: Option<usize>,
    /// Which [`Nearest`] each coded query has.
    members: &'a [usize],
    /// Docs that each coded query knows already, ascending; empty for none.
    known: &'a [Vec<u32>],
}

impl Pass<'_> {
    /// Panels between two looks at whether to stop.
    const PANELS_TOGETHER: usize = 8;

    fn scan<S: Scorer>(
        &self,
        queries: &mut CodedQueries,
        nearest: &mut [Nearest],
        scorer: &impl Fn(usize) -> S,
        counts: &mut ScanCounts,
        advance: impl Fn(u64) -> Result<()>,
    ) -> Result<()> {
        let mut thresholds = vec![0i32; queries.limits.len()];
        let mut hits: Vec<Hit> = Vec::new();
        for (query, &member) in self.members.iter().enumerate() {
            queries.limits[query] = f64::from(nearest[member].limit());
        }
        let (mut next_guess, mut docs_seen, mut docs_told) = (1, 0, 0);
        for (seen, &panel) in self.docs.order.iter().enumerate() {
            let panel = panel as usize;
            let slots = &self.docs.slots[panel * PANEL..(panel + 1) * PANEL];
            if self.guess_for.is_some() && seen == next_guess {
                next_guess = next_guess * 8 / 5 + 1;
                self.guess(docs_seen, queries, nearest, scorer);
            }
            docs_seen += slots.iter().filter(|slot| slot.doc != NOBODY).count();
            let bounds = QueryBounds {
                limits: &queries.limits,
                inverse_steps: &queries.inverse_steps,
                sizes: &queries.sizes,
                residuals: &queries.residuals,
                suffixes: &queries.suffixes,
                slacks: &queries.slacks,
                biases: &queries.biases,
            };
            kernels::int8_thresholds(self.coding.level, self.docs.bounds[panel], bounds, &mut thresholds);
            hits.clear();
            let codes = QueryCodes { codes: &queries.codes, stride: queries.stride, thresholds: &thresholds };
            let next = self.docs.order.get(seen + 1).map_or(&[][..], |&next| self.docs.panel(next as usize));
            panel_hits(self.coding.dot, self.docs.panel(panel), next, codes, &mut hits);
            counts.hits += hits.len() as u64;
            let mut scored = counts.scored;
            for hit in &hits {
                self.take(panel, *hit, queries, nearest, scorer, counts);
                // Where many docs must be scored for room, that is what takes long.
                if counts.scored - scored > 2048 {
                    scored = counts.scored;
                    advance(0)?;
                }
            }
            if (seen + 1) % Self::PANELS_TOGETHER == 0 || seen + 1 == self.docs.order.len() {
                advance((self.members.len() * (docs_seen - docs_told)) as u64)?;
                docs_told = docs_seen;
            }
        }
        Ok(())
    }

    /// Looks closer at a pair that its panel could not rule out.
    fn take<S: Scorer>(
        &self,
        panel: usize,
        hit: Hit,
        queries: &mut CodedQueries,
        nearest: &mut [Nearest],
        scorer: &impl Fn(usize) -> S,
        counts: &mut ScanCounts,
    ) {
        let (query, place) = (hit.query as usize, panel * PANEL + hit.doc as usize);
        let slot = self.docs.slots[place];
        let Some(&member) = self.members.get(query) else { return };
        if slot.doc == NOBODY || self.known.get(query).is_some_and(|known| known.binary_search(&slot.doc).is_ok()) {
            return;
        }
        let rest = self.coding.rest();
        let mut sum = f64::from(hit.sum) - queries.biases[query];
        if rest > 0 {
            let doc = &self.docs.rest[place * rest..(place + 1) * rest];
            sum += f64::from(row_dot(self.coding.dot, doc, &queries.rest[query * rest..(query + 1) * rest]));
        }
        let key = queries.steps[query] * self.docs.bounds[panel].step * sum - slot.offset;
        let error = queries.sizes[query] * f64::from(slot.residual)
            + queries.residuals[query] * f64::from(slot.norm)
            + queries.suffixes[query] * f64::from(slot.suffix)
            + queries.slacks[query];
        // The operations here are rounded too.
        let error = error * (1.0 + 1e-9) + key.abs() * 1e-12;
        if key + error < queries.limits[query] {
            return;
        }
        let nearest = &mut nearest[member];
        let candidate = Candidate::of(key, error, slot.doc);
        counts.scored += nearest.push(candidate, &scorer(member)) as u64;
        queries.limits[query] = f64::from(nearest.limit());
    }

    /// Guesses what the k-th nearest of all docs reaches from the docs seen so far, a fair sample.
    fn guess<S: Scorer>(
        &self,
        docs_seen: usize,
        queries: &mut CodedQueries,
        nearest: &mut [Nearest],
        scorer: &impl Fn(usize) -> S,
    ) {
        let Some(top_k) = self.guess_for else { return };
        let expected = top_k as f64 * docs_seen as f64 / self.docs.docs as f64;
        // So many standard deviations of a Poisson count above what is expected; with three, one query of a thousand was
        // scanned again.
        let rank = (expected + 3.5 * expected.sqrt() + 2.0).ceil() as usize;
        if rank >= top_k {
            return;
        }
        for (query, &member) in self.members.iter().enumerate() {
            nearest[member].raise_guess(rank, &scorer(member));
            queries.limits[query] = f64::from(nearest[member].limit());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::nearest::decide_all;
    use super::*;
    use crate::compute::kernels::scalar::dot_f64;
    use crate::compute::random::Random;

    struct DotScorer<'a> {
        file: &'a VectorFile,
        query: &'a [f32],
    }

    impl Scorer for DotScorer<'_> {
        fn vectors(&self, doc: u32) -> [&[f32]; 2] {
            [self.query, self.file.row(doc as usize)]
        }

        fn score(&self, doc: u32, _: [&[f32]; 2]) -> f64 {
            dot_f64(self.query, self.file.row(doc as usize))
        }

        fn key(&self, score: f64) -> f64 {
            score
        }

        fn metric(&self) -> Metric {
            Metric::Dot
        }
    }

    /// The nearest doc of `query` by codes of turned vectors whose bounds are multiplied by `trust`.
    fn nearest(file: &VectorFile, query: &[f32], turn: Turn, trust: f64) -> u32 {
        let dim = file.dim();
        let level = Level::detected();
        let dot = Dot::within(level);
        let prefix = turn.kept_dim(dim);
        let coding = Coding { metric: Metric::Dot, level, dot, dim, turn, prefix, trust };
        let docs = CodedDocs::new(file, 0..file.rows(), &coding, |_| Ok(())).expect("coded");
        // Asked often enough that the likely docs are scored first, so that bounds decide about the others.
        let queries = query.repeat(8);
        let mut tile = Tile::new(&queries, &coding, 1);
        let scorer = |_: usize| DotScorer { file, query };
        tile.scan(&docs, &coding, docs.largest_norm(), scorer, None, &Monitor::new()).expect("scanned");
        decide_all(&mut [tile.nearest.as_mut_slice()], &(0..file.rows()), |_, query| scorer(query), &Monitor::new())
            .expect("decided");
        tile.nearest.remove(0).into_sorted(&scorer(0)).next().expect("k = 1").1
    }

    fn file_of(docs: &[f32], dim: usize) -> (tempfile::TempDir, VectorFile) {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("docs.vec");
        let bytes: Vec<u8> = docs.iter().flat_map(|value| value.to_le_bytes()).collect();
        std::fs::write(&path, bytes).expect("written");
        let file = VectorFile::open(&path, dim).expect("opens");
        (folder, file)
    }

    /// Docs whose codes err as far as the bound allows: values of the nearest one are rounded down, those
    /// of nearly all others up, and the query has the direction of the errors.
    #[test]
    fn a_bound_that_is_too_tight_is_noticed() {
        let dim = 64;
        let step = 1.0 / 127.0f32;
        let doc = |code: f32| -> Vec<f32> { std::iter::once(1.0).chain((1..dim).map(|_| code * step)).collect() };
        let mut docs: Vec<f32> = (0..95).flat_map(|_| doc(50.52)).collect();
        docs.extend(doc(50.48));
        // The one at row 40 is nearest by a little: also rounded down, but one value is larger.
        docs[40 * dim..41 * dim].copy_from_slice(&doc(50.48));
        docs[40 * dim + 1] += 2.9 * step;
        let (_folder, file) = file_of(&docs, dim);
        let query = vec![1.0f32; dim];
        let score = |row: usize| dot_f64(&query, file.row(row));
        let best = (0..file.rows()).max_by(|&a, &b| score(a).total_cmp(&score(b)).then(b.cmp(&a))).expect("docs");
        assert_eq!(best, 40, "the data are as described");
        assert_eq!(nearest(&file, &query, Turn::None, 1.0), 40);
        assert_ne!(
            nearest(&file, &query, Turn::None, 0.3),
            40,
            "a bound of a third loses the nearest doc, and this test sees it"
        );
    }

    /// All docs but one lie along eight axes, and the query has most of its length along the ninth, as that one.
    #[test]
    fn what_axes_leave_out_is_not_forgotten() {
        let dim = 64;
        let mut random = Random::new(11);
        let mut value = || (random.bits() >> 40) as f32 / (1u32 << 23) as f32 - 1.0;
        let mut docs: Vec<f32> = (0..96 * dim).map(|place| if place % dim < 8 { value() / 3.0 } else { 0.0 }).collect();
        docs[40 * dim..41 * dim].fill(0.0);
        docs[40 * dim + 60] = 0.8;
        let (_folder, file) = file_of(&docs, dim);
        let (all, left_out) = Turn::leading(&docs, dim, 16, 0.5).expect("axes");
        assert!(left_out < 0.01);
        let turn = all.first(8).expect("leading axes");
        let mut query: Vec<f32> = (0..dim).map(|place| if place < 8 { value() / 3.0 } else { 0.0 }).collect();
        query[60] = 1.0;
        assert_eq!(nearest(&file, &query, turn.clone(), 1.0), 40);
        assert_ne!(nearest(&file, &query, turn, 0.3), 40, "a tighter bound loses it, and this test sees it");
    }

    #[test]
    fn codes_are_packed_lane_by_lane() {
        // More dimensions than the panel holds.
        let (coded_dim, words) = (20, 3);
        for (docs, line) in [(1, 0), (15, 1), (16, 2)] {
            let code = |doc: usize, at: usize| (doc * 31 + at * 7) as i8;
            let codes: Vec<i8> = (0..docs * coded_dim).map(|at| code(at / coded_dim, at % coded_dim)).collect();
            let mut panel = vec![1u8; words * PANEL_WORD];
            pack_line(&codes, coded_dim, &mut panel[line * LINE..]);
            for (at, &byte) in panel.iter().enumerate() {
                let (word, lane) = (at / PANEL_WORD, at % PANEL_WORD / WORD);
                let doc = lane.wrapping_sub(line * LINE_DOCS);
                let expected = if doc < docs { code(doc, word * WORD + at % WORD) as u8 ^ BIAS as u8 } else { 1 };
                assert_eq!(byte, expected, "{docs} docs, line {line}, byte {at}");
            }
        }
    }

    #[test]
    fn every_doc_has_one_place() {
        for (docs, dim) in [(1, 1), (47, 3), (48, 7), (49, 384), (5000, 16), (3000, 1024), (700, 5000)] {
            for sub in [0..docs, docs / 3..docs] {
                let deal = Deal::of(sub.clone(), dim);
                let mut rows: Vec<usize> = (0..deal.sub_blocks).flat_map(|index| deal.rows(index)).collect();
                assert!((0..deal.sub_blocks).all(|index| deal.rows(index).count() <= deal.panels * PANEL));
                rows.sort_unstable();
                assert!(rows.into_iter().eq(sub), "{docs} × {dim}");
            }
        }
    }
}
