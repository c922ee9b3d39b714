//! How well a contestant finds the first neighbour, the second, and so on, and how far off its scores are there.

use std::collections::HashMap;

use rayon::prelude::*;

use super::judge::{Judged, Mean, RESAMPLES, band};
use super::session::{Lab, Run};
use super::truth::Truth;
use crate::compute::error::{Error, Result};
use crate::compute::figures::count;
use crate::compute::random::Random;
use crate::job::Monitor;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RanksParams {
    /// The deepest rank that is looked at, from 1; `None` for all that were found.
    pub deepest: Option<usize>,
    /// Ranks that are told together, ≥ 1.
    pub together: usize,
    /// Whether gaps are relative to the size of the exact score; those of exact scores of 0 do not count then.
    pub relative: bool,
}

impl Default for RanksParams {
    fn default() -> Self {
        Self { deepest: None, together: 1, relative: false }
    }
}

impl RanksParams {
    /// The deepest rank, of `k` that there are.
    ///
    /// # Errors
    /// Ranks that there are not.
    pub fn check(&self, k: usize) -> Result<usize> {
        let deepest = self.deepest.unwrap_or(k);
        let wrong = |name, expected, found| Err(Error::Parameter { name, expected, found: count(found) });
        if !(1..=k).contains(&deepest) {
            return wrong("deepest", format!("1 to {}, the neighbours that were asked for", count(k)), deepest);
        }
        if !(1..=deepest).contains(&self.together) {
            return wrong("together", format!("1 to {}, the ranks that are looked at", count(deepest)), self.together);
        }
        Ok(deepest)
    }
}

/// What is lost at some ranks.
#[derive(Debug, Clone, PartialEq)]
pub struct Rank {
    /// The first and the last of the ranks, from 1.
    pub first: usize,
    pub last: usize,
    /// Share of the exact neighbours of these ranks that were found, 0 to 1.
    pub found: Mean,
    /// Mean distance of the found score from the exact one of the same rank, ≥ 0; `None` where nothing was found.
    pub gap: Option<Mean>,
    /// Queries that lost a neighbour of these ranks: those first that lost most of them, then by row.
    pub queries: Vec<u32>,
    /// The docs that were lost, those first that most queries lost, then by row.
    pub docs: Vec<u32>,
}

/// What a contestant lost by rank.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranks {
    /// The contestant with its setting.
    pub title: String,
    /// Neighbours of a query that are judged.
    pub k: usize,
    /// Whether gaps are relative to the size of the exact score, or else in score units.
    pub relative: bool,
    pub ranks: Vec<Rank>,
    /// Recall@k of all queries, and of each.
    pub recall: Mean,
    pub recall_of: Vec<f64>,
}

/// Looks at every rank of what `run` found. Bands are those of the queries, resampled together for all ranks.
///
/// # Errors
/// Parameters that do not fit; cancelled.
pub fn run(lab: &Lab, run: &Run, params: RanksParams, monitor: &Monitor) -> Result<Ranks> {
    let judged = &run.judged;
    let k = judged.k;
    let deepest = params.check(k)?;
    let cells = Cells::of(judged, &lab.truth, deepest, params);
    let (found, gaps) = cells.means(monitor)?;
    let mut ranks = Vec::with_capacity(cells.width);
    for (place, (found, gap)) in found.into_iter().zip(gaps).enumerate() {
        let first = place * params.together;
        let last = (first + params.together).min(deepest);
        let (queries, docs) = cells.lost_at(place);
        ranks.push(Rank { first: first + 1, last, found, gap, queries, docs });
    }
    Ok(Ranks {
        title: run.info.title(),
        k,
        relative: params.relative,
        ranks,
        recall: judged.recall(k),
        recall_of: (0..judged.queries()).map(|query| judged.recall_of(query, k)).collect(),
    })
}

/// Sums by query and by place, a place being some ranks.
struct Cells {
    queries: usize,
    width: usize,
    /// Ranks of every place.
    ranks: Vec<f64>,
    /// queries × width: neighbours that were found.
    hits: Vec<f64>,
    /// queries × width: gaps, and how many there are.
    gaps: Vec<f64>,
    seen: Vec<f64>,
    /// (place, query, doc) of every lost neighbour.
    lost: Vec<(usize, u32, u32)>,
}

impl Cells {
    fn of(judged: &Judged, truth: &Truth, deepest: usize, params: RanksParams) -> Self {
        let RanksParams { together, relative, .. } = params;
        let (queries, width) = (judged.queries(), deepest.div_ceil(together));
        let ranks: Vec<f64> = (0..width).map(|place| (deepest - place * together).min(together) as f64).collect();
        let mut hits: Vec<f64> = ranks.iter().copied().cycle().take(queries * width).collect();
        let (mut gaps, mut seen) = (vec![0.0; queries * width], vec![0.0; queries * width]);
        let mut lost = Vec::new();
        for query in 0..queries {
            for (rank, doc) in judged.lost_of(truth, query).into_iter().filter(|(rank, _)| *rank < deepest) {
                hits[query * width + rank / together] -= 1.0;
                lost.push((rank / together, query as u32, doc));
            }
            let found = &judged.scores[query * judged.k..][..deepest];
            for (rank, (&exact, &score)) in truth.scores_of(query).iter().zip(found).enumerate() {
                if !score.is_nan() && (!relative || exact != 0.0) {
                    let unit = if relative { exact.abs() } else { 1.0 };
                    gaps[query * width + rank / together] += judged.gap(exact, score) / unit;
                    seen[query * width + rank / together] += 1.0;
                }
            }
        }
        lost.sort_unstable();
        Self { queries, width, ranks, hits, gaps, seen, lost }
    }

    /// The share found and the mean gap of every place, with bands.
    fn means(&self, monitor: &Monitor) -> Result<(Vec<Mean>, Vec<Option<Mean>>)> {
        let all = self.weighed(&vec![1.0; self.queries]);
        monitor.begin("resampling queries", "resamples", RESAMPLES as u64);
        let resample = |resample: usize| -> Result<(Vec<f64>, Vec<f64>)> {
            let mut random = Random::stream(0x7261_6e6b, resample as u64);
            let mut weights = vec![0.0; self.queries];
            for _ in 0..self.queries {
                weights[random.below(self.queries as u32) as usize] += 1.0;
            }
            monitor.advance(1)?;
            Ok(self.weighed(&weights))
        };
        let resamples: Vec<(Vec<f64>, Vec<f64>)> =
            (0..RESAMPLES).into_par_iter().map(resample).collect::<Result<_>>()?;
        let found = (0..self.width).map(|place| {
            let mut means: Vec<f64> = resamples.iter().map(|(found, _)| found[place]).collect();
            band(all.0[place], &mut means)
        });
        let gaps = (0..self.width).map(|place| {
            // A resample may have none of the few queries that found anything at a rank.
            let mut means: Vec<f64> =
                resamples.iter().map(|(_, gaps)| gaps[place]).filter(|gap| !gap.is_nan()).collect();
            (!all.1[place].is_nan()).then(|| band(all.1[place], &mut means))
        });
        Ok((found.collect(), gaps.collect()))
    }

    /// The same of queries that count as often as `weights` says; NaN for the gap of nothing.
    fn weighed(&self, weights: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let mut sums = [vec![0.0; self.width], vec![0.0; self.width], vec![0.0; self.width]];
        for (query, &weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
            let range = query * self.width..(query + 1) * self.width;
            for (sums, values) in sums.iter_mut().zip([&self.hits, &self.gaps, &self.seen]) {
                sums.iter_mut().zip(&values[range.clone()]).for_each(|(sum, value)| *sum += weight * value);
            }
        }
        let [hits, gaps, seen] = sums;
        let found = hits.iter().zip(&self.ranks).map(|(hits, ranks)| hits / (ranks * self.queries as f64)).collect();
        (found, gaps.iter().zip(&seen).map(|(gap, seen)| gap / seen).collect())
    }

    /// Queries that lost something at a place, and the docs that they lost.
    fn lost_at(&self, place: usize) -> (Vec<u32>, Vec<u32>) {
        let begin = self.lost.partition_point(|(other, ..)| *other < place);
        let end = self.lost.partition_point(|(other, ..)| *other <= place);
        let lost = &self.lost[begin..end];
        (by_number(lost.iter().map(|(_, query, _)| *query)), by_number(lost.iter().map(|(.., doc)| *doc)))
    }
}

/// Each of `rows` once, those first that come most often, then by row.
fn by_number(rows: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut times: HashMap<u32, u32> = HashMap::new();
    rows.for_each(|row| *times.entry(row).or_default() += 1);
    let mut sorted: Vec<(u32, u32)> = times.into_iter().collect();
    sorted.sort_unstable_by_key(|&(row, times)| (std::cmp::Reverse(times), row));
    sorted.into_iter().map(|(row, _)| row).collect()
}

#[cfg(test)]
mod tests {
    use super::super::NONE;
    use super::super::neighbours::Found;
    use super::super::truth::{Arena, Question};
    use super::*;
    use crate::compute::metric::Metric;

    /// Docs at 0 to 5 on a line; queries at 0, so that doc r is the neighbour of rank r + 1.
    fn line(found: &[&[u32]]) -> (Judged, Truth) {
        let folder = tempfile::tempdir().expect("temporary folder");
        let write = |name: &str, values: &[f32]| {
            let path = folder.path().join(name);
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            std::fs::write(&path, bytes).expect("written");
            path
        };
        let question = Question {
            docs: write("docs.vec", &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
            queries: write("queries.vec", &vec![0.0; found.len()]),
            dim: 1,
            num_docs: None,
            num_queries: None,
            top_k: 3,
            metric: Metric::Euclidean,
            memory_budget: 100_000_000,
        };
        let arena = Arena::open(&question).expect("opened");
        let truth = Truth::of(&arena, arena.exact_ids(&Monitor::new()).expect("searched"));
        let found = Found { k: 3, ids: found.concat(), latencies: None };
        (Judged::of(&arena, &truth, &found), truth)
    }

    fn told(together: usize, relative: bool) -> RanksParams {
        RanksParams { deepest: None, together, relative }
    }

    #[test]
    fn shares_and_gaps_are_those_of_each_rank() {
        // Query 0 finds all, 1 loses the nearest, 2 all but the nearest, 3 finds one only.
        let (judged, truth) = line(&[&[0, 1, 2], &[1, 2, 3], &[0, 4, 5], &[2, NONE, NONE]]);
        let cells = Cells::of(&judged, &truth, 3, told(1, false));
        let (found, gaps) = cells.means(&Monitor::new()).expect("not cancelled");
        assert_eq!(found.iter().map(|mean| mean.mean).collect::<Vec<_>>(), [0.5, 0.5, 0.75]);
        // Rank 1: 0, 1, 0, 2; rank 2: 0, 1, 3; rank 3: 0, 1, 3.
        let means: Vec<f64> = gaps.iter().map(|gap| gap.expect("found").mean).collect();
        assert_eq!(means, [0.75, 4.0 / 3.0, 4.0 / 3.0]);
        assert!(found.iter().all(|mean| mean.low < mean.mean && mean.mean < mean.high));
        assert_eq!(cells.lost_at(0), (vec![1, 3], vec![0]));
        assert_eq!(cells.lost_at(2), (vec![2], vec![2]));
        // Relative to exact scores 0 (none), 1 and 2.
        let (_, gaps) = Cells::of(&judged, &truth, 3, told(1, true)).means(&Monitor::new()).expect("not cancelled");
        assert_eq!(gaps[0], None);
        assert_eq!(gaps[2].expect("found").mean, 2.0 / 3.0);
        // All ranks told together are recall.
        let cells = Cells::of(&judged, &truth, 3, told(3, false));
        let (found, _) = cells.means(&Monitor::new()).expect("not cancelled");
        assert!((found[0].mean - judged.recall(3).mean).abs() < 1e-12);
        assert_eq!(cells.lost_at(0), (vec![2, 3, 1], vec![0, 1, 2]), "those that lost most come first");
    }

    #[test]
    fn the_last_place_may_have_fewer_ranks_and_may_be_empty() {
        let (judged, truth) = line(&[&[0, 1, NONE], &[0, 1, NONE]]);
        let (found, gaps) =
            Cells::of(&judged, &truth, 3, told(2, false)).means(&Monitor::new()).expect("not cancelled");
        assert_eq!((found[0].mean, found[1].mean), (1.0, 0.0));
        assert_eq!((gaps[0].map(|gap| gap.mean), gaps[1]), (Some(0.0), None));
    }

    #[test]
    fn parameters_are_checked() {
        assert_eq!(RanksParams::default().check(7).ok(), Some(7));
        for (deepest, together, told) in [(0, 1, "deepest: expected 1 to 7"), (8, 1, "found 8"), (5, 6, "together")] {
            let params = RanksParams { deepest: Some(deepest), together, relative: false };
            let error = params.check(7).expect_err("does not fit").to_string();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn cancelling_stops_it() {
        let (judged, truth) = line(&[&[0, 1, 2], &[1, 2, 3]]);
        let monitor = Monitor::new();
        monitor.cancel();
        let outcome = Cells::of(&judged, &truth, 3, told(1, false)).means(&monitor);
        assert!(matches!(outcome, Err(Error::Cancelled)));
    }
}
