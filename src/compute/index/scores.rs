//! The scores of what a contestant found, over the exact ones: all of them, and in frames of some queries each.

use super::session::{Lab, Run};
use crate::compute::error::Result;
use crate::compute::histogram::{Bins, Histogram};
use crate::compute::table::{Column, Table};

/// Bins of the scores.
const BINS: usize = 80;
/// Frames of an animation, at most.
const FRAMES: usize = 60;

/// Scores of some queries, over the same bins in all frames.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// The first of the queries, and how many they are.
    pub first: usize,
    pub queries: usize,
    /// Of the k nearest docs of every query.
    pub exact: Histogram,
    /// The exact scores of the docs that were found.
    pub found: Histogram,
    /// Of the nearest docs that were not found.
    pub lost: Histogram,
}

impl Frame {
    /// Counts of `part`, one of the three histograms, in percent of all exact scores.
    pub fn percent<'a>(&'a self, part: &'a Histogram) -> impl Iterator<Item = f64> + 'a {
        let total = self.exact.total().max(1) as f64;
        part.counts.iter().map(move |&count| count as f64 * 100.0 / total)
    }

    fn empty(first: usize, queries: usize, bins: Bins) -> Self {
        let none = || Histogram::empty(bins);
        Self { first, queries, exact: none(), found: none(), lost: none() }
    }

    fn add(&mut self, other: &Self) {
        for (sum, part) in
            [(&mut self.exact, &other.exact), (&mut self.found, &other.found), (&mut self.lost, &other.lost)]
        {
            sum.counts.iter_mut().zip(&part.counts).for_each(|(sum, count)| *sum += count);
        }
    }

    /// The highest bin, in percent.
    pub fn highest(&self) -> f64 {
        self.percent(&self.exact).chain(self.percent(&self.found)).fold(0.0, f64::max)
    }
}

/// Bins that hold all exact and found scores of a run.
fn bins_of(lab: &Lab, run: &Run) -> Result<Bins> {
    let k = run.judged.k;
    let exact = (0..run.judged.queries()).flat_map(|query| lab.truth.scores_of(query)[..k].iter().copied());
    let found = run.judged.scores.iter().copied().filter(|score| !score.is_nan());
    let ends = (f64::INFINITY, f64::NEG_INFINITY);
    let (low, high) = exact.chain(found).fold(ends, |(low, high), score| (low.min(score), high.max(score)));
    // Scores that are all the same still have a bin.
    Bins::new(low, if high > low { high } else { low + 1e-6 }, BINS)
}

/// The scores of some queries, the first of which is `first`.
fn frame_of(lab: &Lab, run: &Run, bins: Bins, first: usize, queries: impl Iterator<Item = usize>) -> Frame {
    let (truth, judged) = (&lab.truth, &run.judged);
    let (mut exact, mut found, mut lost, mut count) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for query in queries {
        count += 1;
        let scores = truth.scores_of(query);
        exact.extend_from_slice(&scores[..judged.k]);
        found.extend(judged.scores[query * judged.k..(query + 1) * judged.k].iter().filter(|score| !score.is_nan()));
        lost.extend(judged.lost_of(truth, query).into_iter().map(|(rank, _)| scores[rank]));
    }
    let histogram = |values: Vec<f64>| Histogram::of_values(values.into_iter(), bins);
    Frame { first, queries: count, exact: histogram(exact), found: histogram(found), lost: histogram(lost) }
}

/// The scores of a contestant beside the exact ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// The contestant with its setting.
    pub title: String,
    /// What a score is.
    pub axis: &'static str,
    pub bins: Bins,
    /// Of all queries, or of the chosen ones.
    pub all: Frame,
    /// Of some queries each, in order; one if there is only one query, and of chosen queries.
    pub frames: Vec<Frame>,
    /// Where queries were chosen: all queries, to be seen beside them.
    pub beside: Option<Frame>,
    /// Percent of queries that lost the neighbour of each rank.
    pub lost_by_rank: Vec<f64>,
    /// Mean gap between the exact and the found score of each rank, in score units; none where nothing was found.
    pub gap_by_rank: Vec<Option<f64>>,
}

impl Scores {
    /// Bins the scores of `run`.
    ///
    /// # Errors
    /// Scores that cannot be binned.
    pub fn of(lab: &Lab, run: &Run) -> Result<Self> {
        let (bins, queries) = (bins_of(lab, run)?, run.judged.queries());
        let step = queries.div_ceil(FRAMES).max(1);
        let firsts = (0..queries).step_by(step);
        let frames = firsts.map(|first| frame_of(lab, run, bins, first, first..(first + step).min(queries)));
        let frames: Vec<Frame> = frames.collect();
        let mut all = Frame::empty(0, queries, bins);
        frames.iter().for_each(|frame| all.add(frame));
        Ok(Self::with(lab, run, (all, frames, None), 0..queries))
    }

    /// Bins the scores of chosen queries of `run` over the axis of all queries. `chosen`: rows of the session's queries,
    /// each once, in any order.
    ///
    /// # Errors
    /// Scores that cannot be binned.
    pub fn of_queries(lab: &Lab, run: &Run, chosen: &[u32]) -> Result<Self> {
        let (bins, queries) = (bins_of(lab, run)?, run.judged.queries());
        let beside = frame_of(lab, run, bins, 0, 0..queries);
        let each = || chosen.iter().map(|&query| query as usize);
        let all = frame_of(lab, run, bins, each().next().unwrap_or(0), each());
        let frames = vec![all.clone()];
        Ok(Self::with(lab, run, (all, frames, Some(beside)), each()))
    }

    fn with(
        lab: &Lab,
        run: &Run,
        (all, frames, beside): (Frame, Vec<Frame>, Option<Frame>),
        queries: impl Iterator<Item = usize> + Clone,
    ) -> Self {
        let share = 100.0 / all.queries.max(1) as f64;
        let mut lost_by_rank = vec![0.0; run.judged.k];
        for query in queries.clone() {
            run.judged.lost_of(&lab.truth, query).into_iter().for_each(|(rank, _)| lost_by_rank[rank] += share);
        }
        Self {
            title: run.info.title(),
            axis: lab.arena.metric.axis_label(),
            bins: all.exact.bins,
            all,
            frames,
            beside,
            lost_by_rank,
            gap_by_rank: run.judged.gaps_of(&lab.truth, queries).by_rank,
        }
    }

    /// The frame at a place, or all queries.
    pub fn frame(&self, place: Option<usize>) -> &Frame {
        place.and_then(|place| self.frames.get(place)).unwrap_or(&self.all)
    }

    /// The highest bin of any frame, in percent: one axis for all of them.
    pub fn highest(&self) -> f64 {
        self.frames.iter().chain(&self.beside).map(Frame::highest).fold(0.0, f64::max)
    }

    /// Every bin with its counts, then every rank, as a table.
    pub fn table(&self) -> Table {
        let numbers = ["from", "to", "exact", "found", "lost", "lost_percent", "mean_gap"];
        let mut columns = vec![Column { name: "of".to_owned(), is_number: false }];
        columns.extend(numbers.iter().map(|name| Column { name: (*name).to_owned(), is_number: true }));
        let bin = |bin: usize| {
            let counts = [&self.all.exact, &self.all.found, &self.all.lost].map(|part| part.counts[bin].to_string());
            let edges = [self.bins.edge(bin), self.bins.edge(bin + 1)].map(|edge| edge.to_string());
            let cells = ["score".to_owned()].into_iter().chain(edges).chain(counts).map(Some);
            cells.chain([None, None]).collect()
        };
        let rank = |(rank, (lost, gap)): (usize, (&f64, &Option<f64>))| {
            let ranks = [(rank + 1).to_string(), (rank + 1).to_string()];
            let cells = ["rank".to_owned()].into_iter().chain(ranks).map(Some).chain([None, None, None]);
            cells.chain([Some(lost.to_string()), gap.map(|gap| gap.to_string())]).collect()
        };
        let ranks = self.lost_by_rank.iter().zip(&self.gap_by_rank).enumerate().map(rank);
        Table { columns, rows: (0..self.bins.count()).map(bin).chain(ranks).collect(), is_cut: false }
    }
}
