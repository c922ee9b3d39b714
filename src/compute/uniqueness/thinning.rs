//! Sets of near-duplicates, and keeping one of each.
//!
//! Greedy, in the order of the rows: a sample is kept unless one that was kept before lies within ε; then it
//! belongs to the nearest of those, its representative. So every member of a set is within ε of the one that is
//! kept, no two that are kept are within ε of each other, and nothing is lost through chains.

use std::path::Path;

use super::Neighbours;
use super::search::{Searcher, Wanted};
use crate::compute::error::{Error, Result};
use crate::compute::figures::grouped;
use crate::job::Monitor;

/// All pairs of samples within a distance. Samples at distance 0 are one *class*, however many they are, and
/// pairs are those of classes.
#[derive(Debug, Clone)]
pub struct Near {
    /// Pairs up to this distance are all here.
    pub reach: f64,
    /// Of each sample.
    classes: Vec<u32>,
    /// Where the others of each class begin.
    starts: Vec<usize>,
    others: Vec<u32>,
    /// Ascending within a class.
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
    /// again for more. `scratch`: a folder for a file without a name.
    ///
    /// # Errors
    /// More pairs than the searcher's memory budget holds; as of [`Searcher::search`].
    pub fn find(
        searcher: &Searcher<'_>,
        neighbours: &Neighbours,
        reach: f64,
        scratch: &Path,
        monitor: &Monitor,
    ) -> Result<Self> {
        if !reach.is_finite() || reach < 0.0 {
            return Err(Error::Parameter {
                name: "dedupe",
                expected: "a finite distance of at least 0".to_owned(),
                found: reach.to_string(),
            });
        }
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
        let (classes, leaders) = classes_of(neighbours);
        // What the lists of the leaders say of other classes; those that end within reach may have gone on.
        let mut lists: Vec<Vec<(u32, f64)>> = Vec::with_capacity(leaders.len());
        let mut open: Vec<u32> = Vec::new();
        for (class, &leader) in leaders.iter().enumerate() {
            let known = neighbours.of(leader as usize).take_while(|&(_, distance)| distance <= reach);
            let known: Vec<(u32, f64)> = known.map(|(row, distance)| (classes[row as usize], distance)).collect();
            if known.len() == neighbours.k && leaders.len() > 1 {
                open.push(class as u32);
            }
            lists.push(distinct(known, class as u32));
        }
        let mut entries: usize = lists.iter().map(Vec::len).sum();
        if !open.is_empty() {
            // Among the leaders alone, so that no crowd of equal samples hides what lies beyond it.
            let alone = leaders.len() < classes.len();
            let subset = alone.then(|| searcher.embeddings().subset(leaders.clone(), scratch, monitor)).transpose()?;
            let of_subset = match &subset {
                Some(subset) => Some(Searcher::new(subset, searcher.distance(), searcher.budget(), monitor)?),
                None => None,
            };
            let searcher = of_subset.as_ref().unwrap_or(searcher);
            let others = leaders.len() - 1;
            let mut wider = neighbours.k.saturating_mul(4).max(32).min(others);
            while !open.is_empty() {
                if wider > most_entries {
                    return Err(too_many());
                }
                let mut still_open = Vec::new();
                let mut place = 0;
                searcher.search(wider, &Wanted::Rows(&open), "finding near pairs", monitor, |pass| {
                    for (rows, distances) in pass.rows.chunks_exact(wider).zip(pass.distances.chunks_exact(wider)) {
                        let class = open[place];
                        place += 1;
                        let count = within(distances);
                        let list = &mut lists[class as usize];
                        entries = entries - list.len() + count;
                        if entries > most_entries {
                            return Err(too_many());
                        }
                        if count == wider && wider < others {
                            still_open.push(class);
                        }
                        *list = rows[..count].iter().copied().zip(distances[..count].iter().copied()).collect();
                    }
                    Ok(())
                })?;
                open = still_open;
                wider = wider.saturating_mul(4).min(others);
            }
        }
        let mut near = Self {
            reach,
            classes,
            starts: vec![0],
            others: Vec::with_capacity(entries),
            distances: Vec::with_capacity(entries),
        };
        for list in lists {
            near.others.extend(list.iter().map(|&(other, _)| other));
            near.distances.extend(list.iter().map(|&(_, distance)| distance));
            near.starts.push(near.others.len());
        }
        Ok(near)
    }

    /// As [`Near::find`] for the median distance to the nearest other, or less where too many pairs are that
    /// near: what a curve over ε is worth looking at.
    pub fn for_curve(
        searcher: &Searcher<'_>,
        neighbours: &Neighbours,
        scratch: &Path,
        monitor: &Monitor,
    ) -> Result<Self> {
        let mut nearest: Vec<f64> = (0..neighbours.samples()).map(|row| neighbours.nearest_distance(row)).collect();
        let middle = nearest.len() / 2;
        nearest.select_nth_unstable_by(middle, f64::total_cmp);
        let mut reach = nearest[middle];
        for _ in 0..8 {
            match Self::find(searcher, neighbours, reach, scratch, monitor) {
                Err(Error::Parameter { .. } | Error::MemoryBudget { .. }) => reach /= 2.0,
                other => return other,
            }
        }
        Self::find(searcher, neighbours, 0.0, scratch, monitor)
    }

    fn of(&self, class: u32) -> impl Iterator<Item = (u32, f64)> + '_ {
        let range = self.starts[class as usize]..self.starts[class as usize + 1];
        self.others[range.clone()].iter().copied().zip(self.distances[range].iter().copied())
    }

    /// For each sample its representative: itself if it is kept. Only samples with `takes_part` are looked at.
    ///
    /// `epsilon`: at most [`Near::reach`].
    pub fn representatives(&self, epsilon: f64, takes_part: impl Fn(usize) -> bool) -> Vec<u32> {
        const NOBODY: u32 = u32::MAX;
        assert!(epsilon <= self.reach, "pairs are known up to the reach");
        let mut representatives: Vec<u32> = (0..self.classes.len() as u32).collect();
        // The sample of each class that is kept.
        let mut kept = vec![NOBODY; self.starts.len() - 1];
        for (row, representative) in representatives.iter_mut().enumerate().filter(|&(row, _)| takes_part(row)) {
            let class = self.classes[row];
            // Nearest first, so the first one that is kept is the nearest.
            let within = self.of(class).take_while(|&(_, distance)| distance <= epsilon);
            let nearest = std::iter::once(class).chain(within.map(|(other, _)| other));
            match nearest.map(|class| kept[class as usize]).find(|&kept| kept != NOBODY) {
                Some(other) => *representative = other,
                None => kept[class as usize] = row as u32,
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

/// The class of each sample, and the first sample of each class.
fn classes_of(neighbours: &Neighbours) -> (Vec<u32>, Vec<u32>) {
    let mut classes: Vec<u32> = Vec::with_capacity(neighbours.samples());
    let mut leaders = Vec::new();
    for row in 0..neighbours.samples() {
        // Ties are listed by row, so the first of the class is the first at distance 0.
        let class = match neighbours.of(row).next() {
            Some((first, 0.0)) if (first as usize) < row => classes[first as usize],
            _ => {
                leaders.push(row as u32);
                leaders.len() as u32 - 1
            }
        };
        classes.push(class);
    }
    (classes, leaders)
}

/// Each class once, without `own`; the nearest entry of each stays.
fn distinct(list: Vec<(u32, f64)>, own: u32) -> Vec<(u32, f64)> {
    let mut kept: Vec<(u32, f64)> = Vec::with_capacity(list.len());
    for (class, distance) in list {
        if class != own && kept.iter().all(|&(known, _)| known != class) {
            kept.push((class, distance));
        }
    }
    kept
}
