//! Sets of near-duplicates, and keeping one of each.
//!
//! Greedy, in the order of the rows: a sample is kept unless one that was kept before lies within ε; then it
//! belongs to the nearest of those, its representative. So every member of a set is within ε of the one that is
//! kept, no two that are kept are within ε of each other, and nothing is lost through chains.

use super::Neighbours;
use super::search::{Searcher, Wanted};
use crate::compute::error::{Error, Result};
use crate::compute::figures::grouped;
use crate::job::Monitor;

/// All pairs of samples within a distance.
#[derive(Debug, Clone)]
pub struct Near {
    /// Pairs up to this distance are all here.
    pub reach: f64,
    /// Where the others of each sample begin.
    starts: Vec<usize>,
    others: Vec<u32>,
    /// Ascending within a sample.
    distances: Vec<f64>,
}

/// How many samples remain when sets within ε are thinned, over ε.
#[derive(Debug, Clone, PartialEq)]
pub struct ThinningCurve {
    /// (ε, samples that remain), ascending by ε.
    pub points: Vec<(f64, usize)>,
}

impl Near {
    /// Finds all pairs within `reach`: where the k nearest others of a sample are all that near, it is searched
    /// again for more.
    ///
    /// # Errors
    /// More pairs than the searcher's memory budget holds; as of [`Searcher::search`].
    pub fn find(searcher: &Searcher<'_>, neighbours: &Neighbours, reach: f64, monitor: &Monitor) -> Result<Self> {
        if reach.is_nan() || reach < 0.0 {
            return Err(Error::Parameter {
                name: "dedupe",
                expected: "a distance of at least 0".to_owned(),
                found: reach.to_string(),
            });
        }
        let samples = neighbours.samples();
        let most_entries = (searcher.budget() / 12).max(1 << 20) as usize;
        let too_many = || Error::Parameter {
            name: "dedupe",
            expected: format!(
                "a distance within which at most {} pairs lie (the memory budget)",
                grouped(most_entries as u64 / 2)
            ),
            found: format!("{reach}, within which there are more. Choose a smaller one, or raise --memory"),
        };
        let within = |list: &[f64]| list.partition_point(|&distance| distance <= reach);
        // Lists that end within reach may have gone on.
        let mut lists: Vec<Option<(Vec<u32>, Vec<f64>)>> = vec![None; samples];
        let k = neighbours.k;
        let mut counts: Vec<usize> = neighbours.distances.chunks_exact(k).map(within).collect();
        let mut open: Vec<u32> = (0..samples as u32).filter(|&row| counts[row as usize] == k).collect();
        let mut wider = k;
        while !open.is_empty() && wider < samples - 1 {
            wider = wider.saturating_mul(4).max(32).min(samples - 1);
            // What is known already, without what is searched again.
            let mut entries: usize = counts.iter().sum();
            if entries > most_entries || wider > most_entries {
                return Err(too_many());
            }
            let mut still_open = Vec::new();
            let mut place = 0;
            searcher.search(wider, &Wanted::Rows(&open), monitor, |pass| {
                for (rows, distances) in pass.rows.chunks_exact(wider).zip(pass.distances.chunks_exact(wider)) {
                    let row = open[place] as usize;
                    place += 1;
                    let count = within(distances);
                    entries += count - counts[row];
                    if entries > most_entries {
                        return Err(too_many());
                    }
                    counts[row] = count;
                    if count == wider && wider < samples - 1 {
                        still_open.push(row as u32);
                    } else {
                        lists[row] = Some((rows[..count].to_vec(), distances[..count].to_vec()));
                    }
                }
                Ok(())
            })?;
            open = still_open;
        }
        let total = counts.iter().sum();
        let mut near =
            Self { reach, starts: vec![0], others: Vec::with_capacity(total), distances: Vec::with_capacity(total) };
        for (row, (&count, list)) in counts.iter().zip(lists).enumerate() {
            match list {
                Some((others, distances)) => {
                    near.others.extend(others);
                    near.distances.extend(distances);
                }
                None => {
                    near.others.extend(&neighbours.rows[row * k..row * k + count]);
                    near.distances.extend(&neighbours.distances[row * k..row * k + count]);
                }
            }
            near.starts.push(near.others.len());
        }
        Ok(near)
    }

    /// As [`Near::find`] for the median distance to the nearest other, or less where too many pairs are that
    /// near: what a curve over ε is worth looking at.
    pub fn for_curve(searcher: &Searcher<'_>, neighbours: &Neighbours, monitor: &Monitor) -> Result<Self> {
        let mut nearest: Vec<f64> = (0..neighbours.samples()).map(|row| neighbours.nearest_distance(row)).collect();
        let middle = nearest.len() / 2;
        nearest.select_nth_unstable_by(middle, f64::total_cmp);
        let mut reach = nearest[middle];
        for _ in 0..8 {
            match Self::find(searcher, neighbours, reach, monitor) {
                Err(Error::Parameter { .. }) => reach /= 2.0,
                other => return other,
            }
        }
        Self::find(searcher, neighbours, 0.0, monitor)
    }

    /// Pairs of samples, each counted once.
    pub fn pairs(&self) -> usize {
        self.others.len() / 2
    }

    fn of(&self, row: usize) -> impl Iterator<Item = (u32, f64)> + '_ {
        let range = self.starts[row]..self.starts[row + 1];
        self.others[range.clone()].iter().copied().zip(self.distances[range].iter().copied())
    }

    /// For each sample its representative: itself if it is kept. Only samples with `takes_part` are looked at.
    ///
    /// `epsilon`: at most [`Near::reach`].
    pub fn representatives(&self, epsilon: f64, takes_part: impl Fn(usize) -> bool) -> Vec<u32> {
        assert!(epsilon <= self.reach, "pairs are known up to the reach");
        let samples = self.starts.len() - 1;
        let mut representatives: Vec<u32> = (0..samples as u32).collect();
        for row in (0..samples).filter(|&row| takes_part(row)) {
            // Nearest first, so the first one that is kept is the nearest.
            let before = self.of(row).take_while(|&(_, distance)| distance <= epsilon).map(|(other, _)| other);
            let kept = |&other: &u32| {
                (other as usize) < row && representatives[other as usize] == other && takes_part(other as usize)
            };
            if let Some(other) = before.into_iter().find(kept) {
                representatives[row] = other;
            }
        }
        representatives
    }

    /// The curve over `points` equal steps of ε up to the reach.
    pub fn curve(&self, points: usize, monitor: &Monitor) -> Result<ThinningCurve> {
        monitor.begin("thinning", "steps", points as u64 + 1);
        let mut curve = Vec::with_capacity(points + 1);
        for step in 0..=points {
            let epsilon = if step == points { self.reach } else { self.reach * step as f64 / points as f64 };
            let representatives = self.representatives(epsilon, |_| true);
            let kept = representatives.iter().zip(0u32..).filter(|&(&representative, row)| representative == row);
            curve.push((epsilon, kept.count()));
            monitor.advance(1)?;
        }
        curve.dedup_by_key(|point| point.0.to_bits());
        Ok(ThinningCurve { points: curve })
    }
}
