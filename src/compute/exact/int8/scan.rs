//! The scan: tiles of coded queries against panels of coded docs.

use super::super::bounds::UNIT_F64;
use super::super::nearest::{Nearest, Scorer};
use super::super::topk::Candidate;
use super::{CodedDocs, Coding, LARGEST_CODED, NOBODY, step_of};
use crate::compute::error::Result;
use crate::compute::kernels::int8::{BIAS, GROUP, GROUP_WORD, Hit, PANEL, QueryCodes, WORD, panel_hits, row_dot};
use crate::compute::kernels::{self, QueryBounds};
use crate::compute::metric::Metric;
use crate::job::Monitor;

/// Queries that are turned at a time.
const TOGETHER: usize = 64;

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
    /// Of what is coded, and a bound on everything that makes up the keys.
    norms: Vec<f64>,
    whole_norms: Vec<f64>,
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
            whole_norms: vec![0.0; padded],
            biases: vec![0.0; padded],
        };
        let mut codes = vec![0i8; coded_dim];
        let (mut centred, mut turned) = (Vec::new(), Vec::new());
        for (first, queries) in (0..).step_by(TOGETHER).zip(queries.chunks(TOGETHER * dim)) {
            let asked = match &coding.centre {
                Some(centre) => {
                    centred.clear();
                    centred.extend_from_slice(queries);
                    centre.take_off_queries(&mut centred);
                    centred.as_slice()
                }
                None => queries,
            };
            let is_turned = coding.turn.apply(asked, &mut turned);
            let values = if is_turned { turned.as_slice() } else { asked };
            let vectors = queries.chunks_exact(dim).zip(asked.chunks_exact(dim));
            for (index, ((query, asked), values)) in
                (first..).zip(vectors.zip(values.chunks_exact(coding.turned_dim())))
            {
                coded.set(index, query, asked, values, &mut codes, coding);
            }
        }
        coded
    }

    /// Codes query `index`. `asked`: without the centre. `values`: turned. `codes`: room for them, zeros past the last dimension.
    fn set(&mut self, index: usize, query: &[f32], asked: &[f32], values: &[f32], codes: &mut [i8], coding: &Coding) {
        let length_of = |vector: &[f32]| kernels::dot_f64(coding.level, vector, vector).sqrt();
        let length = length_of(asked);
        let norm = length * coding.norm_factor();
        let largest = kernels::largest_abs(coding.level, values);
        let (step, factor) = step_of(largest);
        let squares = kernels::quantise(coding.level, values, factor, step, &mut codes[..values.len()]);
        let sum_of = |term: fn(i64) -> i64| codes.iter().map(|&code| term(i64::from(code))).sum::<i64>();
        let prefix_sum: i64 = codes[..coding.prefix].iter().map(|&code| i64::from(code)).sum();
        self.steps[index] = f64::from(step);
        self.inverse_steps[index] = 1.0 / f64::from(step);
        self.sizes[index] = f64::from(step) * (sum_of(|code| code * code) as f64).sqrt() * (1.0 + 1e-12);
        self.residuals[index] = if largest <= LARGEST_CODED {
            // Taking the centre off rounds as little as this leaves room for.
            coding.residual(squares, norm, coding.turn.error())
        } else {
            f64::INFINITY
        };
        self.suffixes[index] = coding.suffix(values, length);
        self.norms[index] = norm;
        self.whole_norms[index] = match &coding.centre {
            Some(centre) => (length_of(query) + centre.of_queries()) * (1.0 + 1e-6),
            None => norm,
        };
        self.biases[index] = f64::from(BIAS) * prefix_sum as f64;
        self.limits[index] = f64::NEG_INFINITY;
        let (group, lane) = (index / GROUP, index % GROUP);
        for (word, bytes) in codes.as_chunks::<WORD>().0.iter().enumerate() {
            let at = (group * self.stride + word) * GROUP_WORD + lane * WORD;
            self.codes[at..at + WORD].copy_from_slice(bytes);
        }
        let rest = coding.rest();
        self.rest[index * rest..(index + 1) * rest].copy_from_slice(&codes[coding.prefix..]);
    }

    /// Takes over the largest norm of the docs that are met.
    fn expect_norm(&mut self, coding: &Coding, largest_norm: f64) {
        // Of whole docs, not of what is left of them.
        let whole_norm = largest_norm + coding.centre.as_ref().map_or(0.0, |centre| centre.of_docs() * (1.0 + 1e-6));
        for (slack, (&norm, &whole)) in self.slacks.iter_mut().zip(self.norms.iter().zip(&self.whole_norms)) {
            *slack = coding.turn.product_error() * norm * largest_norm + rounding_of(coding, whole, whole_norm);
        }
    }
}

/// What float64 rounding can add to the distance of two keys: of the sum, and of what is made of it
/// ([`super::super::bounds`]).
fn rounding_of(coding: &Coding, query_norm: f64, largest_norm: f64) -> f64 {
    let gamma = (coding.dim as f64 + 16.0) * UNIT_F64;
    let product = query_norm * largest_norm;
    let rounded = match coding.metric {
        Metric::Dot | Metric::Cosine => 4.0 * gamma * product,
        Metric::Euclidean => 8.0 * gamma * (query_norm + largest_norm) * (query_norm + largest_norm),
    };
    // And of the shift, and of the docs' offsets.
    let centred = if coding.centre.is_some() { 8.0 * gamma * product } else { 0.0 };
    rounded + centred + 1e-300
}

/// What a scan did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScanCounts {
    /// Pairs that passed the whole panel's threshold.
    pub hits: u64,
    /// Pairs scored in float64.
    pub scored: u64,
    /// Of these, while codes were scanned, to make room.
    pub for_room: u64,
    /// Queries scanned again because a guess was too high.
    pub redone: u64,
}

impl ScanCounts {
    pub fn add(&mut self, other: Self) {
        self.hits += other.hits;
        self.scored += other.scored;
        self.for_room += other.for_room;
        self.redone += other.redone;
    }
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
    /// `nearest`: an empty one for each query.
    pub fn new(queries: &'a [f32], coding: &Coding, nearest: Vec<Nearest>) -> Self {
        debug_assert_eq!(nearest.len(), queries.len() / coding.dim);
        Self { queries, coded: CodedQueries::new(queries, coding), nearest, counts: ScanCounts::default() }
    }

    /// Scans `docs`: afterwards each [`Nearest`] holds all docs that may be among the k nearest of those
    /// scanned so far, unless a guess was too high; see [`Tile::again`].
    ///
    /// `largest_norm`: of any doc scanned so far or now. `scorer` gives the scorer of a query of the
    /// tile. `guess_for`: the k whose nearest may be guessed; only for the first docs that the tile
    /// sees. `monitor` advances by query × doc pairs.
    ///
    /// # Errors
    /// Cancelled.
    pub fn scan<'s, S: Scorer + 's>(
        &mut self,
        docs: &CodedDocs,
        coding: &Coding,
        largest_norm: f64,
        scorer: impl Fn(usize) -> &'s S,
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
    pub fn again<'s, S: Scorer + 's>(
        &mut self,
        docs: &CodedDocs,
        coding: &Coding,
        largest_norm: f64,
        scorer: impl Fn(usize) -> &'s S,
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
            counts.scored += nearest[index].decide(scorer(index)) as u64;
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

    fn scan<'s, S: Scorer + 's>(
        &self,
        queries: &mut CodedQueries,
        nearest: &mut [Nearest],
        scorer: &impl Fn(usize) -> &'s S,
        counts: &mut ScanCounts,
        advance: impl Fn(u64) -> Result<()>,
    ) -> Result<()> {
        let mut thresholds = vec![0i32; queries.limits.len()];
        let mut hits: Vec<Hit> = Vec::new();
        for (query, &member) in self.members.iter().enumerate() {
            queries.limits[query] = f64::from(nearest[member].limit());
        }
        // The last at nine tenths of the way, each of the others at half of the way of the next.
        let halves = std::iter::successors(Some(self.docs.order.len() * 9 / 10), |&panels| Some(panels / 2));
        let mut guesses: Vec<usize> =
            if self.guess_for.is_some() { halves.take_while(|&panels| panels > 0).collect() } else { Vec::new() };
        let (mut docs_seen, mut docs_told) = (0, 0);
        for (seen, &panel) in self.docs.order.iter().enumerate() {
            let panel = panel as usize;
            let slots = &self.docs.slots[panel * PANEL..(panel + 1) * PANEL];
            if guesses.last() == Some(&seen) {
                guesses.pop();
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
    fn take<'s, S: Scorer + 's>(
        &self,
        panel: usize,
        hit: Hit,
        queries: &mut CodedQueries,
        nearest: &mut [Nearest],
        scorer: &impl Fn(usize) -> &'s S,
        counts: &mut ScanCounts,
    ) {
        let (query, place) = (hit.query as usize, panel * PANEL + hit.doc as usize);
        let slot = self.docs.slots[place];
        let Some(&member) = self.members.get(query) else { return };
        if slot.doc == NOBODY || self.known.get(query).is_some_and(|known| known.binary_search(&slot.doc).is_ok()) {
            return;
        }
        counts.hits += 1;
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
        let scored = nearest.push(candidate, scorer(member)) as u64;
        counts.scored += scored;
        counts.for_room += scored;
        queries.limits[query] = f64::from(nearest.limit());
    }

    /// Guesses what the k-th nearest of all docs reaches from the docs seen so far, a fair sample.
    fn guess<'s, S: Scorer + 's>(
        &self,
        docs_seen: usize,
        queries: &mut CodedQueries,
        nearest: &mut [Nearest],
        scorer: &impl Fn(usize) -> &'s S,
    ) {
        let Some(top_k) = self.guess_for else { return };
        let expected = top_k as f64 * docs_seen as f64 / self.docs.docs as f64;
        // So many standard deviations of a Poisson count above what is expected; with three, one query of a thousand was
        // scanned again.
        let rank = (expected + 3.5 * expected.sqrt() + 2.0).ceil() as usize;
        if rank >= top_k {
            return;
        }
        let mut keys = Vec::new();
        for (query, &member) in self.members.iter().enumerate() {
            nearest[member].raise_guess(rank, scorer(member), &mut keys);
            queries.limits[query] = f64::from(nearest[member].limit());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::exact::centre::Centre;
    use crate::compute::exact::nearest::decide_all;
    use std::sync::Arc;

    use crate::compute::exact::turn::{CodedAxes, Leading, Turn};
    use crate::compute::kernels::Level;
    use crate::compute::kernels::int8::Dot;
    use crate::compute::kernels::scalar::dot_f64;
    use crate::compute::random::Random;
    use crate::compute::vectors::VectorFile;

    struct DotScorer<'a> {
        file: &'a VectorFile,
        query: &'a [f32],
        shift: f64,
    }

    impl Scorer for DotScorer<'_> {
        fn vectors(&self, doc: u32) -> [&[f32]; 2] {
            [self.query, self.file.row(doc as usize)]
        }

        fn score(&self, doc: u32) -> f64 {
            dot_f64(self.query, self.file.row(doc as usize))
        }

        fn key(&self, score: f64) -> f64 {
            score - self.shift
        }

        fn metric(&self) -> Metric {
            Metric::Dot
        }
    }

    /// The nearest doc of `query` by codes of turned vectors whose bounds are multiplied by `trust`.
    fn nearest(file: &VectorFile, query: &[f32], turn: Turn, trust: f64) -> u32 {
        nearest_without(None, file, query, turn, trust)
    }

    /// The same with docs less a centre.
    fn nearest_without(centre: Option<Arc<Centre>>, file: &VectorFile, query: &[f32], turn: Turn, trust: f64) -> u32 {
        let level = Level::detected();
        let coding = Coding {
            metric: Metric::Dot,
            level,
            dot: Dot::within(level),
            dim: file.dim(),
            centre: centre.clone(),
            turn: Turn::None,
            prefix: 0,
            trust,
        };
        let coding = coding.along(turn);
        let docs = CodedDocs::new(file, 0..file.rows(), &coding, |_| Ok(())).expect("coded");
        // Asked often enough that the likely docs are scored first, so that bounds decide about the others.
        let queries = query.repeat(8);
        let nearest = vec![Nearest::new(1, Nearest::capacity_for(1)); 8];
        let mut tile = Tile::new(&queries, &coding, nearest);
        let shift = centre.as_ref().map_or(0.0, |centre| centre.shift(query));
        let dots = DotScorer { file, query, shift };
        let scorer = |_: usize| &dots;
        tile.scan(&docs, &coding, docs.largest_norm(), scorer, None, &Monitor::new()).expect("scanned");
        decide_all(&mut [tile.nearest.as_mut_slice()], &(0..file.rows()), |_, _| &dots, &Monitor::new())
            .expect("decided");
        tile.nearest.remove(0).sorted(&dots, &mut Vec::new()).next().expect("k = 1").1
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
        // The same error, of docs that are turned after they were coded.
        let (all, _) = Leading::of(&docs, dim, dim, f64::INFINITY, Level::detected()).expect("axes");
        let coded = all.first_coded(dim, Level::detected(), Dot::within(Level::detected())).expect("codes of axes");
        assert_eq!(nearest(&file, &query, coded.clone(), 1.0), 40);
        assert_ne!(
            nearest(&file, &query, coded.clone(), 0.3),
            40,
            "a bound of a third loses it, and this test sees it"
        );
        // The same docs around a centre far away.
        let far: Vec<f32> = docs.iter().map(|value| value + 8.0).collect();
        let (_folder, file) = file_of(&far, dim);
        let centre = Some(Arc::new(Centre::new(vec![8.0; dim], None, Metric::Dot, Level::detected())));
        for turn in [Turn::None, coded] {
            assert_eq!(nearest_without(centre.clone(), &file, &query, turn.clone(), 1.0), 40, "{}", turn.name());
            let message = format!("a bound of a third loses it, and this test sees it: {}", turn.name());
            assert_ne!(nearest_without(centre.clone(), &file, &query, turn, 0.3), 40, "{message}");
        }
    }

    /// Docs whose codes are the same, zero past the first dimension, along a single axis. What codes lose decides: all of it has the
    /// direction of the query at one doc, a third at the others. Once it lies across the axis, once along it.
    #[test]
    fn what_codes_lose_before_they_are_turned_is_not_forgotten() {
        let (dim, level) = (256, Level::detected());
        let tail = |row: usize, place: usize| if row != 40 && place.is_multiple_of(3) { -0.0035f32 } else { 0.0035 };
        let doc = |row: usize| std::iter::once(1.0).chain((1..dim).map(move |place| tail(row, place)));
        let docs: Vec<f32> = (0..96).flat_map(doc).collect();
        let (_folder, file) = file_of(&docs, dim);
        let first = |first: f32, others: f32| -> Vec<f32> {
            std::iter::once(first).chain(std::iter::repeat_n(others, dim - 1)).collect()
        };
        for (axis, query) in [(first(1.0, 0.0), first(0.0, 1.0)), (first(1.0 / 16.0, 1.0 / 16.0), first(1.0, 1.0))] {
            let axes = CodedAxes::new(&axis, dim, level, Dot::within(level)).expect("an axis");
            assert_eq!(nearest(&file, &query, Turn::Coded { axes: Arc::new(axes) }, 1.0), 40, "{}", axis[1]);
        }
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
        let (all, left_out) = Leading::of(&docs, dim, 16, 0.5, Level::detected()).expect("axes");
        assert!(left_out < 0.01);
        let coded = all.first_coded(8, Level::detected(), Dot::within(Level::detected()));
        let turns = [all.first(8, Level::detected()).expect("leading axes"), coded.expect("codes of leading axes")];
        let mut query: Vec<f32> = (0..dim).map(|place| if place < 8 { value() / 3.0 } else { 0.0 }).collect();
        query[60] = 1.0;
        // The same docs around a centre far away.
        let far: Vec<f32> = docs.iter().map(|value| value + 8.0).collect();
        let (_folder, far) = file_of(&far, dim);
        let centre = Arc::new(Centre::new(vec![8.0; dim], None, Metric::Dot, Level::detected()));
        for (turn, (centre, file)) in
            turns.iter().flat_map(|turn| [(turn, (None, &file)), (turn, (Some(centre.clone()), &far))])
        {
            let nearest = |trust: f64| nearest_without(centre.clone(), file, &query, turn.clone(), trust);
            assert_eq!(nearest(1.0), 40, "{}", turn.name());
            assert_ne!(nearest(0.3), 40, "a tighter bound loses it, and this test sees it: {}", turn.name());
        }
    }
}
