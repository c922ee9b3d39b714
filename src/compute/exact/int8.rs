//! The int8 filter: docs and queries as codes of eight bits, and which pairs they cannot rule out.
//!
//! For x ≈ step · code and any pair (Cauchy–Schwarz)
//! |q·d − step_q step_d (code_q·code_d)| ≤ ‖step_q code_q‖ ‖d − step_d code_d‖ + ‖q − step_q code_q‖ ‖d‖.
//! Where only some axes are coded, the length of what is left out of both vectors bounds the rest ([`Turn::left_out`]).
//! Docs that share a large mean are coded without it ([`Centre`]); keys are those of
//! [`Scorer::key`](super::nearest::Scorer::key), without the shift.
//! A doc whose sum of products plus this bound stays below what the k-th nearest reaches cannot be
//! among the k nearest; the others are scored in float64 as everywhere.
//!
//! Docs are packed in panels of 48 that share a step. Neighbours in a panel have values of like size
//! (they are sorted within a sub-block, which the caches hold), but every sub-block is a sample of
//! the whole block and panels are scanned in random order: that keeps sorted files from raising the
//! floor doc by doc, and makes what was seen so far a fair sample from which the k-th nearest can be
//! guessed. A guess is checked in the end, and where it was too high the query is scanned again.

mod scan;

use std::ops::Range;
use std::sync::Arc;

pub use scan::{ScanCounts, Tile};

use memmap2::MmapMut;
use rayon::prelude::*;

use super::bounds::UNIT_F32;
use super::centre::Centre;
use super::scatter;
use super::turn::{Axes, CodedAxes, Member, Turn};
use crate::compute::error::{Error, Result};
use crate::compute::figures::count;
use crate::compute::kernels::int8::{BIAS, CODE_MAX, Dot, GROUP, Hit, PANEL, PANEL_WORD, WORD, biased};
use crate::compute::kernels::{self, Level, PanelBounds, fused};
use crate::compute::metric::Metric;
use crate::compute::vectors::VectorFile;

/// Values beyond this are not coded, so that squares and their sums stay within float32.
pub const LARGEST_CODED: f32 = 1e15;
/// What a residual's squares may lose by underflow is at most this for each root of a dimension.
pub const UNDERFLOW: f64 = 1e-22;
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
    /// What is taken off docs, divided by their norms under cosine, and queries before all else; nothing where it is small.
    pub centre: Option<Arc<Centre>>,
    /// What is done to vectors before.
    pub turn: Turn,
    /// Leading dimensions that the filter looks at first, whole words; `dim` rounded up for all.
    pub prefix: usize,
    /// 1. Tests make bounds tighter than is right, to see that this is noticed.
    pub trust: f64,
}

impl Coding {
    /// The same along the axes of `turn`, all of them at once.
    pub fn along(self, turn: Turn) -> Self {
        let prefix = turn.kept_dim(self.dim).next_multiple_of(WORD);
        Self { turn, prefix, ..self }
    }

    /// Dimensions of turned vectors.
    fn turned_dim(&self) -> usize {
        self.turn.kept_dim(self.dim)
    }

    /// Dimensions of the codes: those of turned vectors rounded up to whole words.
    pub fn coded_dim(&self) -> usize {
        self.turned_dim().next_multiple_of(WORD)
    }

    /// A bound on the length of what lies past the prefix, or is left out, of a vector of length ≤ `norm` before it is turned.
    fn suffix(&self, turned: &[f32], norm: f64) -> f64 {
        if self.rest() == 0 {
            return self.turn.left_out(turned, norm, self.level) * self.trust;
        }
        let suffix = turned.get(self.prefix..).unwrap_or_default();
        let (_, slack) = self.residual_slack(norm * self.norm_factor(), self.turn.error());
        kernels::dot_f64(self.level, suffix, suffix).sqrt() * self.norm_factor() + slack
    }

    /// In words.
    pub fn describe(&self) -> String {
        let prefix = match self.rest() {
            0 if self.coded_dim() < self.dim => format!(", {} of {}", count(self.turned_dim()), count(self.dim)),
            0 => String::new(),
            _ => format!(", the first {} of {} first", count(self.prefix), count(self.dim)),
        };
        let centre = if self.centre.is_some() { ", less their mean" } else { "" };
        format!("codes of {}{centre}{prefix}", self.turn.name())
    }

    fn rest(&self) -> usize {
        self.coded_dim() - self.prefix
    }

    /// Bytes that a coded doc takes.
    pub fn doc_bytes(dim: usize) -> usize {
        dim.next_multiple_of(WORD) + size_of::<Slot>() + size_of::<PanelBounds>() / PANEL + 2
    }

    /// The length of a doc before it is turned, but for rounding: of this norm, and with these values once the centre is off.
    fn length(&self, norm: f64, values: &[f32]) -> f64 {
        match self.metric {
            _ if self.centre.is_some() => kernels::dot_f64(self.level, values, values).sqrt(),
            Metric::Cosine => 1.0,
            Metric::Dot | Metric::Euclidean => norm,
        }
    }

    /// What is taken off a doc's products: see [`super::bounds`].
    fn offset(&self, row: &[f32], norm: f64) -> f64 {
        match (&self.centre, self.metric) {
            (Some(centre), _) => centre.offset(row, norm),
            (None, Metric::Euclidean) => norm * norm / 2.0,
            (None, Metric::Dot | Metric::Cosine) => 0.0,
        }
    }

    /// Whether docs' offsets differ.
    fn has_offsets(&self) -> bool {
        self.metric == Metric::Euclidean || self.centre.as_ref().is_some_and(|centre| centre.has_offsets())
    }

    /// Whether docs are coded as others than they are.
    fn changes_docs(&self) -> bool {
        self.metric == Metric::Cosine || self.centre.is_some()
    }

    /// Appends a doc of this norm as it is coded.
    fn append(&self, row: &[f32], norm: f64, values: &mut Vec<f32>) {
        let first = values.len();
        append_as_coded(self.metric, row, norm, values);
        if let Some(centre) = &self.centre {
            centre.take_off(&mut values[first..]);
        }
    }

    /// A doc of this norm as it is coded: appended to `changed` where that is not as it is.
    fn values_of<'v>(&self, row: &'v [f32], norm: f64, changed: &'v mut Vec<f32>) -> &'v [f32] {
        if !self.changes_docs() {
            return row;
        }
        let first = changed.len();
        self.append(row, norm, changed);
        &changed[first..]
    }

    /// What rounding changed of a doc of this length once the centre was off; see [`Centre::rounding`].
    fn centring(&self, length: f64) -> f64 {
        self.centre.as_ref().map_or(0.0, |centre| centre.rounding(length))
    }

    /// Takes norms to bounds of them, also of turned vectors.
    fn norm_factor(&self) -> f64 {
        1.0 + 1e-12 + self.turn.stretch()
    }

    /// What float32 rounding adds to a residual, and what it multiplies it with.
    fn residual_slack(&self, norm: f64, turning: f64) -> (f64, f64) {
        let dim = self.dim as f64;
        let factor = 1.0 + (dim / 16.0 + 20.0) * 2.0 * UNIT_F32;
        // Codes times steps, division by the norm, and turning round values; squares may underflow.
        (factor, (10.0 * UNIT_F32 + turning) * norm + UNDERFLOW * dim.sqrt())
    }

    /// ‖computed − exact‖ / ‖x‖ at most of turned docs. Codes are turned without an error but that of a few roundings.
    fn turning_docs(&self) -> f64 {
        if matches!(self.turn, Turn::Coded { .. }) { 0.0 } else { self.turn.error() }
    }

    /// A bound on ‖x − step · code‖ from the kernel's sum of squares, of a vector for which `turning` bounds ‖computed − exact‖ / ‖x‖.
    fn residual(&self, sum_of_squares: f32, norm: f64, turning: f64) -> f64 {
        let (factor, slack) = self.residual_slack(norm, turning);
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

    /// The largest norm that a bound needs: of any doc, or 1 where they are divided by it; of what is left without the centre.
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
    offsets: Vec<f64>,
    /// Of the vectors as they will be coded, before they are turned.
    lengths: Vec<f64>,
    largest: Vec<f32>,
    suffixes: Vec<f64>,
    /// What docs lost of their turned length by being coded before they were turned; none where they were not.
    lost: Vec<f64>,
    order: Vec<u32>,
    codes: Vec<i8>,
}

impl SubBlock {
    /// Reads the rows, divides them by their norms under cosine, takes the centre off, and turns them.
    fn read(&mut self, file: &VectorFile, rows: impl Iterator<Item = usize>, coding: &Coding) {
        self.rows.clear();
        self.rows.extend(rows);
        self.values.clear();
        self.offsets.clear();
        self.lengths.clear();
        self.suffixes.clear();
        self.lost.clear();
        match &coding.turn {
            Turn::Coded { axes } => self.read_coded(file, coding, axes),
            Turn::Leading { axes } if kernels::multiplies_rows(coding.level) => self.read_led(file, coding, axes),
            _ => self.read_whole(file, coding),
        }
        // Values are rounded in any direction, also one that the axes leave out.
        let rounded = self.lengths.iter().map(|&length| coding.centring(length));
        self.suffixes.iter_mut().zip(rounded).for_each(|(suffix, rounded)| *suffix += rounded);
        let vectors = self.values.chunks_exact(coding.turned_dim());
        self.largest.clear();
        self.largest.extend(vectors.map(|vector| kernels::largest_abs(coding.level, vector)));
    }

    fn read_whole(&mut self, file: &VectorFile, coding: &Coding) {
        for (index, &row) in self.rows.iter().enumerate() {
            let next = self.rows.get(index + 1).map_or(&[][..], |&next| file.row(next));
            let row = file.row(row);
            let norm = kernels::dot_f64_asking(coding.level, row, row, [next, &[]]).sqrt();
            self.offsets.push(coding.offset(row, norm));
            let first = self.values.len();
            coding.append(row, norm, &mut self.values);
            self.lengths.push(coding.length(norm, &self.values[first..]));
        }
        if coding.turn.apply(&self.values, &mut self.turned) {
            std::mem::swap(&mut self.values, &mut self.turned);
        }
        let vectors = self.values.chunks_exact(coding.turned_dim());
        let suffix = |(vector, &length): (&[f32], &f64)| coding.suffix(vector, length);
        self.suffixes.extend(vectors.zip(&self.lengths).map(suffix));
    }

    /// Turns the rows while the next ones are on their way.
    fn read_led(&mut self, file: &VectorFile, coding: &Coding, axes: &Axes) {
        const { assert!(GROUP <= fused::DOCS, "a group is turned at once") };
        let mut turned = std::mem::take(&mut self.turned);
        turned.resize(self.rows.len() * axes.count(), 0.0);
        let mut changed = std::mem::take(&mut self.values);
        let vector = |index: usize| file.row(self.rows[index]);
        for (first, turned) in (0..self.rows.len()).step_by(GROUP).zip(turned.chunks_mut(GROUP * axes.count())) {
            let group = first..(first + GROUP).min(self.rows.len());
            changed.clear();
            for index in group.clone() {
                let row = vector(index);
                let norm = kernels::dot_f64(coding.level, row, row).sqrt();
                self.offsets.push(coding.offset(row, norm));
                let values = coding.values_of(row, norm, &mut changed);
                self.lengths.push(coding.length(norm, values));
            }
            // Past the end, the last one again.
            let docs: [&[f32]; GROUP] = std::array::from_fn(|index| {
                let index = index.min(group.len() - 1);
                if coding.changes_docs() {
                    &changed[index * coding.dim..(index + 1) * coding.dim]
                } else {
                    vector(first + index)
                }
            });
            let last = self.rows.len() - 1;
            let next: [&[f32]; GROUP] = std::array::from_fn(|index| vector((group.end + index).min(last)));
            axes.turn_docs(coding.level, &docs[..group.len()], &next, turned);
        }
        let docs = turned.chunks_exact(axes.count()).zip(&self.lengths);
        self.suffixes.extend(docs.map(|(values, &length)| coding.suffix(values, length)));
        (self.values, self.turned) = (turned, changed);
    }

    /// Codes the rows, and turns the codes.
    fn read_coded(&mut self, file: &VectorFile, coding: &Coding, axes: &CodedAxes) {
        let (dim, whole_dim) = (coding.dim, coding.dim.next_multiple_of(WORD));
        let mut turned = std::mem::take(&mut self.turned);
        turned.resize(self.rows.len() * axes.count(), 0.0);
        // Zeros past the last dimension.
        self.codes.clear();
        self.codes.resize(GROUP * whole_dim, 0);
        let vector = |&row: &usize| file.row(row);
        let mut next: Vec<&[f32]> = Vec::with_capacity(GROUP);
        for (rows, turned) in self.rows.chunks(GROUP).zip(turned.chunks_mut(GROUP * axes.count())) {
            let first = self.offsets.len();
            let mut members = [Member::default(); GROUP];
            for ((row, member), codes) in
                rows.iter().map(vector).zip(&mut members).zip(self.codes.chunks_exact_mut(whole_dim))
            {
                let norm = kernels::dot_f64(coding.level, row, row).sqrt();
                self.offsets.push(coding.offset(row, norm));
                self.values.clear();
                let values = coding.values_of(row, norm, &mut self.values);
                let largest = kernels::largest_abs(coding.level, values);
                let (step, factor) = step_of(largest);
                let squares = kernels::quantise(coding.level, values, factor, step, &mut codes[..dim]);
                let squares = if largest <= LARGEST_CODED { squares } else { f32::INFINITY };
                *member = Member { step, sums: kernels::code_sums(coding.level, codes) };
                let length = coding.length(norm, values);
                self.lengths.push(length);
                self.lost.push(coding.residual(squares, length * (1.0 + 1e-12), 0.0) * coding.norm_factor());
            }
            next.clear();
            next.extend(self.rows[first + rows.len()..].iter().take(GROUP).map(vector));
            axes.turn_codes((coding.level, coding.dot), &self.codes, &members[..rows.len()], &next, turned);
            for ((row, member), &lost) in turned.chunks_exact(axes.count()).zip(members).zip(&self.lost[first..]) {
                self.suffixes.push(axes.left_out_of_codes(row, member, coding.level) * coding.trust + lost);
            }
        }
        self.turned = std::mem::replace(&mut self.values, turned);
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
            if coding.rest() > 0 {
                self.suffixes[doc]
            } else if coding.has_offsets() {
                self.offsets[doc]
            } else {
                f64::from(self.largest[doc])
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
        // Zeros past the last dimension.
        codes.clear();
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
        let norm = self.lengths[doc] * coding.norm_factor();
        // What rounding changed counts for what a query's codes are, for what these lose, and for what axes leave out of it (see
        // [`Self::read`]): its length is no more than these together.
        let rounded = coding.centring(self.lengths[doc]);
        let residual =
            coding.residual(squares, norm, coding.turning_docs()) + self.lost.get(doc).unwrap_or(&0.0) + rounded;
        Slot {
            doc: self.rows[doc] as u32,
            residual: (residual as f32).next_up(),
            norm: ((norm + rounded) as f32).next_up(),
            suffix: if coding.rest() > 0 { 0.0 } else { (self.suffixes[doc] as f32).next_up() },
            offset: self.offsets[doc],
        }
    }
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

/// Appends a doc of this norm as it is coded without a centre: divided by the norm under cosine.
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

/// Bytes that a thread works with at most.
pub fn thread_bytes(dim: usize) -> u64 {
    // A sub-block with its copies, and the hits of a panel with a tile.
    let sub_block = SUB_BLOCK_BYTES.max(4 * PANEL * dim * 4) as u64;
    5 * sub_block / 2 + ((LINE_DOCS + GROUP) * dim + PANEL * 2048 * size_of::<Hit>()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

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
