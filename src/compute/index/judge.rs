//! What was lost: found neighbours beside the exact ones.

use rayon::prelude::*;

use super::NONE;
use super::neighbours::Found;
use super::truth::{Arena, Truth};
use crate::compute::metric::Metric;
use crate::compute::random::Random;

/// Resamples of the queries for a confidence band.
pub(super) const RESAMPLES: usize = 1000;
/// Confidence of the bands.
pub const CONFIDENCE: f64 = 0.95;

/// How near found neighbours come to the exact ones, query by query.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    pub metric: Metric,
    /// Ids of a query that are judged: those found, at most as many as the exact answer has.
    pub k: usize,
    /// query_count × k: the exact scores of what was found, nearest first, each doc once; NaN where there is none.
    pub scores: Vec<f64>,
    /// query_count × k: the docs of `scores`, [`NONE`] where there is none.
    pub ids: Vec<u32>,
    /// query_count × k: how many of the first r + 1 found docs are right for k = r + 1.
    right: Vec<u32>,
    /// Found docs that were given twice for the same query.
    pub duplicates: u64,
    /// Places without a doc, duplicates among them.
    pub missing: u64,
}

/// A mean over queries, with a band in which it lies with 95 % confidence if the queries are a random sample.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Mean {
    pub mean: f64,
    pub low: f64,
    pub high: f64,
}

/// How the gap grows with the rank.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Gaps {
    /// Mean distance of the r-th found score from the r-th exact one, in score units, ≥ 0; `None` where no query has
    /// as many.
    pub by_rank: Vec<Option<f64>>,
    /// Mean over all ranks.
    pub mean: f64,
    /// Mean of gap / |exact score| over all ranks where the exact score is not 0.
    pub relative: f64,
}

impl Judged {
    /// Judges `found`. A doc is right for k if its score is at least as near as the exact k-th one, so a tie at the
    /// k-th place can be broken in any way; a doc counts once, however often it is given.
    pub fn of(arena: &Arena, truth: &Truth, found: &Found) -> Self {
        let k = found.k.min(truth.top_k);
        let metric = arena.metric;
        let nearer = |left: f64, right: f64| metric.nearest_first(left, right);
        let judge = |query: usize| {
            let mut kept: Vec<(f64, u32, usize)> = Vec::with_capacity(k);
            let mut duplicates = 0;
            for (rank, &id) in found.of(query)[..k].iter().enumerate().filter(|(_, id)| **id != NONE) {
                if kept.iter().any(|(_, known, _)| *known == id) {
                    duplicates += 1;
                } else {
                    kept.push((arena.score(query, id), id, rank));
                }
            }
            let exact = truth.scores_of(query);
            let right = (0..k)
                .map(|last| {
                    let is_right =
                        |(score, _, rank): &&(f64, u32, usize)| *rank <= last && nearer(*score, exact[last]).is_le();
                    kept.iter().filter(is_right).count() as u32
                })
                .collect::<Vec<_>>();
            kept.sort_by(|left, right| nearer(left.0, right.0).then(left.1.cmp(&right.1)));
            let missing = k - kept.len();
            let mut scores: Vec<f64> = kept.iter().map(|(score, ..)| *score).collect();
            let mut ids: Vec<u32> = kept.iter().map(|(_, id, _)| *id).collect();
            scores.resize(k, f64::NAN);
            ids.resize(k, NONE);
            (scores, ids, right, duplicates, missing as u64)
        };
        let all: Vec<_> = (0..found.queries()).into_par_iter().map(judge).collect();
        let mut judged =
            Self { metric, k, scores: Vec::new(), ids: Vec::new(), right: Vec::new(), duplicates: 0, missing: 0 };
        for (scores, ids, right, duplicates, missing) in all {
            judged.scores.extend(scores);
            judged.ids.extend(ids);
            judged.right.extend(right);
            judged.duplicates += duplicates;
            judged.missing += missing;
        }
        judged
    }

    pub fn queries(&self) -> usize {
        self.right.len() / self.k
    }

    /// The share of the k nearest that were found, of one query; 1 ≤ `k` ≤ [`Judged::k`].
    pub fn recall_of(&self, query: usize, k: usize) -> f64 {
        f64::from(self.right[query * self.k + k - 1]) / k as f64
    }

    /// Recall@k over all queries.
    pub fn recall(&self, k: usize) -> Mean {
        let values: Vec<f64> = (0..self.queries()).map(|query| self.recall_of(query, k)).collect();
        mean(&values)
    }

    /// How far found scores lie from the exact ones.
    pub fn gaps(&self, truth: &Truth) -> Gaps {
        self.gaps_of(truth, 0..self.queries())
    }

    /// How far found scores lie from the exact ones, of some queries.
    pub fn gaps_of(&self, truth: &Truth, queries: impl Iterator<Item = usize>) -> Gaps {
        let mut sums = vec![(0.0, 0u64); self.k];
        let (mut relative, mut relatives) = (0.0, 0u64);
        for query in queries {
            let found = &self.scores[query * self.k..(query + 1) * self.k];
            for ((&score, &exact), (sum, seen)) in found.iter().zip(truth.scores_of(query)).zip(&mut sums) {
                if score.is_nan() {
                    continue;
                }
                let gap = self.gap(exact, score);
                *sum += gap;
                *seen += 1;
                if exact != 0.0 {
                    relative += gap / exact.abs();
                    relatives += 1;
                }
            }
        }
        let by_rank = sums.iter().map(|&(sum, seen)| (seen > 0).then(|| sum / seen as f64)).collect();
        let (sum, seen) = sums.iter().fold((0.0, 0), |(all, count), (sum, seen)| (all + sum, count + seen));
        Gaps { by_rank, mean: sum / (seen.max(1)) as f64, relative: relative / relatives.max(1) as f64 }
    }

    /// How much farther `found` is than `exact`, in score units.
    pub fn gap(&self, exact: f64, found: f64) -> f64 {
        if self.metric.larger_is_nearer() { exact - found } else { found - exact }
    }

    /// The exact neighbours of a query that were not found, as (rank from 0, doc): as many as are missing from its k
    /// nearest, the farthest of equals first left out.
    pub fn lost_of(&self, truth: &Truth, query: usize) -> Vec<(usize, u32)> {
        let found = &self.ids[query * self.k..(query + 1) * self.k];
        let lost = self.k - self.right[(query + 1) * self.k - 1] as usize;
        let exact = truth.ids_of(query)[..self.k].iter().copied().enumerate();
        exact.filter(|(_, id)| !found.contains(id)).take(lost).collect()
    }
}

/// The mean of values, one a query, and its band by the bootstrap: percentiles of the means of resampled queries
/// (Efron, "Bootstrap methods: another look at the jackknife", 1979).
pub fn mean(values: &[f64]) -> Mean {
    let count = values.len().max(1);
    let mean = values.iter().sum::<f64>() / count as f64;
    if values.iter().all(|value| *value == mean) {
        return Mean { mean, low: mean, high: mean };
    }
    let mut means: Vec<f64> = (0..RESAMPLES)
        .into_par_iter()
        .map(|resample| {
            let mut random = Random::stream(0x6d65_616e, resample as u64);
            (0..count).map(|_| values[random.below(count as u32) as usize]).sum::<f64>() / count as f64
        })
        .collect();
    band(mean, &mut means)
}

/// A mean with the band that the means of resamples give: their percentiles.
pub(super) fn band(mean: f64, means: &mut [f64]) -> Mean {
    means.sort_by(f64::total_cmp);
    let last = means.len().saturating_sub(1) as f64;
    let at = |share: f64| means.get((last * share).round() as usize).copied().unwrap_or(mean);
    Mean { mean, low: at((1.0 - CONFIDENCE) / 2.0).min(mean), high: at((1.0 + CONFIDENCE) / 2.0).max(mean) }
}

/// The value below which a share of `sorted` lies (nearest rank); 0 of none.
pub fn percentile(sorted: &[f32], share: f64) -> f32 {
    let rank = (sorted.len() as f64 * share).ceil().max(1.0) as usize;
    sorted.get(rank.min(sorted.len()).wrapping_sub(1)).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::super::truth::Question;
    use super::*;
    use crate::job::Monitor;

    /// Docs on a line, two of them the same; one query at 0. Distances 0, 1, 1, 2, 3.
    fn line() -> (tempfile::TempDir, Arena, Truth) {
        let folder = tempfile::tempdir().expect("temporary folder");
        let write = |name: &str, values: &[f32]| {
            let path = folder.path().join(name);
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            std::fs::write(&path, bytes).expect("written");
            path
        };
        let docs = write("docs.vec", &[0.0, 1.0, -1.0, 2.0, 3.0]);
        let queries = write("queries.vec", &[0.0]);
        let question = Question {
            docs,
            queries,
            dim: 1,
            num_docs: None,
            num_queries: None,
            top_k: 3,
            metric: Metric::Euclidean,
            memory_budget: ScoreBudget::BYTES,
        };
        let arena = Arena::open(&question).expect("opened");
        let ids = arena.exact_ids(&Monitor::new()).expect("searched");
        let truth = Truth::of(&arena, ids);
        (folder, arena, truth)
    }

    struct ScoreBudget;
    impl ScoreBudget {
        const BYTES: u64 = 100_000_000;
    }

    fn judge(ids: &[u32]) -> (Judged, Truth) {
        let (_folder, arena, truth) = line();
        let found = Found { k: ids.len(), ids: ids.to_vec(), latencies: None };
        (Judged::of(&arena, &truth, &found), truth)
    }

    #[test]
    fn ties_at_the_last_place_are_right_and_copies_count_once() {
        for (ids, at_1, at_2, at_3) in [
            (&[0, 1, 2][..], 1.0, 1.0, 1.0),
            // The other of two equals at the second place.
            (&[0, 2, 1], 1.0, 1.0, 1.0),
            (&[0, 2, 3], 1.0, 1.0, 2.0 / 3.0),
            (&[0, 0, 0], 1.0, 0.5, 1.0 / 3.0),
            (&[3, 4, NONE], 0.0, 0.0, 0.0),
            (&[1, 2, 0], 0.0, 1.0, 1.0),
        ] {
            let (judged, _) = judge(ids);
            let found = [1, 2, 3].map(|k| judged.recall(k).mean);
            assert_eq!(found, [at_1, at_2, at_3], "{ids:?}");
        }
    }

    #[test]
    fn gaps_and_losses_are_those_of_the_line() {
        let (judged, truth) = judge(&[0, 3, 4]);
        let gaps = judged.gaps(&truth);
        assert_eq!(gaps.by_rank, [Some(0.0), Some(1.0), Some(2.0)]);
        assert_eq!((gaps.mean, gaps.relative), (1.0, 1.5));
        assert_eq!(judged.lost_of(&truth, 0), [(1, 1), (2, 2)]);
        let (judged, truth) = judge(&[0, 0, 2]);
        assert_eq!((judged.duplicates, judged.missing), (1, 1));
        assert_eq!(judged.lost_of(&truth, 0), [(1, 1)]);
        assert_eq!(judged.gaps(&truth).by_rank, [Some(0.0), Some(0.0), None]);
    }

    #[test]
    fn bands_hold_the_mean_of_all_in_nineteen_of_twenty_samples() {
        let mut random = Random::new(5);
        let inside = (0..400)
            .filter(|_| {
                let values: Vec<f64> = (0..60).map(|_| f64::from(random.below(11)) / 10.0).collect();
                let band = mean(&values);
                band.low <= 0.5 && 0.5 <= band.high
            })
            .count();
        assert!((360..=395).contains(&inside), "{inside} of 400");
    }

    #[test]
    fn percentiles_are_values_of_the_list() {
        let values: Vec<f32> = (1..=100).map(|value| value as f32).collect();
        assert_eq!([0.5, 0.95, 0.99, 1.0].map(|share| percentile(&values, share)), [50.0, 95.0, 99.0, 100.0]);
        assert_eq!(percentile(&[], 0.5), 0.0);
    }
}
