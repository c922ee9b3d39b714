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

/// The scores of a contestant beside the exact ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// The contestant with its setting.
    pub title: String,
    /// What a score is.
    pub axis: &'static str,
    pub bins: Bins,
    /// Of all queries.
    pub all: Frame,
    /// Of some queries each, in order; one if there is only one query.
    pub frames: Vec<Frame>,
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
        let (truth, judged) = (&lab.truth, &run.judged);
        let (k, queries) = (judged.k, judged.queries());
        let exact = (0..queries).flat_map(|query| truth.scores_of(query)[..k].iter().copied());
        let found = judged.scores.iter().copied().filter(|score| !score.is_nan());
        let (low, high) = exact
            .chain(found)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), score| (low.min(score), high.max(score)));
        // Scores that are all the same still have a bin.
        let bins = Bins::new(low, if high > low { high } else { low + 1e-6 }, BINS)?;
        let step = queries.div_ceil(FRAMES).max(1);
        let mut lost_by_rank = vec![0.0; k];
        let mut all = Frame::empty(0, queries, bins);
        let mut frames = Vec::with_capacity(FRAMES);
        for first in (0..queries).step_by(step) {
            let queries_here = step.min(queries - first);
            let mut lost = Vec::new();
            for query in first..first + queries_here {
                for (rank, _) in judged.lost_of(truth, query) {
                    lost_by_rank[rank] += 100.0 / queries as f64;
                    lost.push(truth.scores_of(query)[rank]);
                }
            }
            let range = first * k..(first + queries_here) * k;
            let exact = (first..first + queries_here).flat_map(|query| truth.scores_of(query)[..k].iter().copied());
            let found = judged.scores[range].iter().copied().filter(|score| !score.is_nan());
            let frame = Frame {
                first,
                queries: queries_here,
                exact: Histogram::of_values(exact, bins),
                found: Histogram::of_values(found, bins),
                lost: Histogram::of_values(lost.into_iter(), bins),
            };
            all.add(&frame);
            frames.push(frame);
        }
        Ok(Self {
            title: run.info.title(),
            axis: lab.arena.metric.axis_label(),
            bins,
            all,
            frames,
            lost_by_rank,
            gap_by_rank: judged.gaps(truth).by_rank,
        })
    }

    /// The frame at a place, or all queries.
    pub fn frame(&self, place: Option<usize>) -> &Frame {
        place.and_then(|place| self.frames.get(place)).unwrap_or(&self.all)
    }

    /// The highest bin of any frame, in percent: one axis for all of them.
    pub fn highest(&self) -> f64 {
        self.frames.iter().map(Frame::highest).fold(0.0, f64::max)
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
