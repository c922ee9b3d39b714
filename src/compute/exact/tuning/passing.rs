//! How many pairs bounds let through, judged by sampled docs and queries.

use rayon::prelude::*;

use super::super::bounds::ErrorBound;
use super::super::turn::Leading;
use super::{Asked, CODED_DEFECT, PASSING_DOCS, SAMPLE_QUERIES, SPREAD_LOSS};
use crate::compute::kernels;
use crate::compute::metric::Metric;

/// The limit is extrapolated from what this part of the sample exceeds, where so many docs do.
const TAIL: usize = 64;
const LEAST_TAIL: usize = 4;

/// How docs are turned along leading axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Float32,
    /// By int8 codes of docs and axes.
    Coded,
}

/// Pairs of sampled docs and queries, and the key that the k-th nearest of all docs may have.
pub struct Pairs<'a> {
    asked: &'a Asked<'a>,
    /// Row-major, as they are coded.
    docs: &'a [f32],
    /// Squares of their lengths.
    squares: Vec<f64>,
    queries: Vec<SampledQuery>,
}

struct SampledQuery {
    values: Vec<f32>,
    square: f64,
    /// Of each doc.
    keys: Vec<f64>,
    limit: f64,
}

impl<'a> Pairs<'a> {
    /// `sample`: of docs, at least one, as they are coded; the last ones are taken.
    pub fn of(asked: &'a Asked<'a>, sample: &'a [f32]) -> Self {
        let (dim, level) = (asked.docs.dim(), asked.level);
        let docs = &sample[sample.len().saturating_sub(PASSING_DOCS * dim)..];
        let square = |vector: &[f32]| kernels::dot_f64(level, vector, vector);
        let squares: Vec<f64> = docs.par_chunks_exact(dim).map(square).collect();
        let mut pairs = Self { asked, docs, squares, queries: Vec::new() };
        let sampled = |query: &[f32]| {
            let key = |(doc, at)| kernels::dot_f64(level, query, doc) - pairs.offset(at);
            let keys: Vec<f64> = docs.chunks_exact(dim).zip(0..).map(key).collect();
            let limit = limit_of(asked, &mut keys.clone());
            SampledQuery { values: query.to_vec(), square: square(query), keys, limit }
        };
        pairs.queries = asked.queries.par_chunks_exact(dim).take(SAMPLE_QUERIES).map(sampled).collect();
        pairs
    }

    fn offset(&self, doc: usize) -> f64 {
        if self.asked.metric == Metric::Euclidean { self.squares[doc] / 2.0 } else { 0.0 }
    }

    /// The share of pairs that pass beside the nearest, which do in any case.
    fn share(&self, passed: usize) -> f64 {
        // Where that is less than one, none is expected.
        let in_any_case = self.queries.len() * rank_of(self.asked, self.squares.len()).map_or(0, |rank| rank + 1);
        passed.saturating_sub(in_any_case) as f64 / (self.queries.len() * self.squares.len()).max(1) as f64
    }

    /// The share that codes of all dimensions let through, where these lose `loss` of a vector's length.
    pub fn by_codes(&self, loss: f64) -> f64 {
        self.by_bounds(|query_norm, doc_norm| 2.0 * loss * query_norm * doc_norm)
    }

    /// The share that float32 tiles let through.
    pub fn by_tiles(&self) -> f64 {
        let bound = ErrorBound::new(self.asked.metric, self.asked.docs.dim());
        self.by_bounds(|query_norm, doc_norm| 2.0 * bound.of(query_norm, doc_norm))
    }

    /// `bound`: how far above its key a pair of these lengths may seem to be.
    fn by_bounds(&self, bound: impl Fn(f64, f64) -> f64 + Sync) -> f64 {
        let passed = self.queries.par_iter().map(|query| {
            let norm = query.square.sqrt();
            let passes = |(key, square): &(&f64, &f64)| *key + bound(norm, square.sqrt()) >= query.limit;
            query.keys.iter().zip(&self.squares).filter(passes).count()
        });
        self.share(passed.sum())
    }

    /// The share that the first `kept` of the axes of `all` let through, for each of these numbers: turned in float32,
    /// and as codes, where these lose `loss` of a vector's length.
    pub fn along(&self, all: &Leading, kept: &[usize], loss: f64) -> [Vec<f64>; 2] {
        let (level, most) = (self.asked.level, all.count());
        // What is left of a vector after each number of axes.
        let lefts = |turned: &[f32], square: f64| -> Vec<f64> {
            let left =
                |&kept: &usize| (square - kernels::dot_f64(level, &turned[..kept], &turned[..kept])).max(0.0).sqrt();
            kept.iter().map(left).collect()
        };
        let docs = all.apply(self.docs);
        let doc_lefts: Vec<Vec<f64>> =
            docs.chunks_exact(most).zip(&self.squares).map(|(turned, &square)| lefts(turned, square)).collect();
        let nobody = || [vec![0usize; kept.len()], vec![0usize; kept.len()]];
        let passed = self.queries.par_iter().map(|query| {
            let turned = all.apply(&query.values);
            let (query_lefts, norm) = (lefts(&turned, query.square), query.square.sqrt());
            let mut passed = nobody();
            for (doc, (coordinates, doc_lefts)) in docs.chunks_exact(most).zip(&doc_lefts).enumerate() {
                let (mut sum, mut start) = (-self.offset(doc), 0);
                let length = self.squares[doc].sqrt();
                let (limit, lost) = (query.limit - 2.0 * SPREAD_LOSS * norm * length, loss * length);
                for (place, &kept) in kept.iter().enumerate() {
                    sum += kernels::dot_f64(level, &turned[start..kept], &coordinates[start..kept]);
                    start = kept;
                    let (query_left, doc_left) = (query_lefts[place], doc_lefts[place]);
                    let coded_left = (doc_left * doc_left + CODED_DEFECT * self.squares[doc]).sqrt() + lost;
                    for (way, left, lost) in [(Way::Float32, doc_left, 0.0), (Way::Coded, coded_left, lost * norm)] {
                        passed[way as usize][place] += usize::from(sum + query_left * left + lost >= limit);
                    }
                }
            }
            passed
        });
        let passed = passed.reduce(nobody, |mut passed, others| {
            passed.iter_mut().flatten().zip(others.iter().flatten()).for_each(|(sum, other)| *sum += other);
            passed
        });
        passed.map(|passed| passed.into_iter().map(|passed| self.share(passed)).collect())
    }
}

/// How many docs before the k-th nearest of all docs are expected in a sample of `count`; `None` where not even one is.
fn rank_of(asked: &Asked<'_>, count: usize) -> Option<usize> {
    let expected = (asked.top_k as u128 * count as u128 / asked.all_docs as u128) as usize;
    (expected > 0).then(|| expected.min(count - 1))
}

/// The key that the k-th nearest of all docs may have, from those of a sample, at least one, in any order.
///
/// Where the sample is too small to hold it, as far beyond the best of the sample as in a normal distribution: keys are sums.
pub fn limit_of(asked: &Asked<'_>, keys: &mut [f64]) -> f64 {
    let count = keys.len();
    let mut nth = |rank: usize| *keys.select_nth_unstable_by(rank, |a, b| b.total_cmp(a)).1;
    if let Some(rank) = rank_of(asked, count) {
        return nth(rank);
    }
    let best = nth(0);
    if count < LEAST_TAIL * TAIL {
        return best;
    }
    let high = nth(count / TAIL);
    let mean = keys.iter().sum::<f64>() / count as f64;
    let stretch = deviations(asked.top_k as f64 / asked.all_docs as f64) / deviations(1.0 / TAIL as f64);
    // Not a number where keys are infinite, which says nothing.
    best.max(mean + (high - mean) * stretch)
}

/// Above how many standard deviations a share `tail` ≤ 0.05 of a normal distribution lies, within 0.01: where the tail is
/// e^(−z²/2) / (z √(2π)).
fn deviations(tail: f64) -> f64 {
    let log = -2.0 * (tail * (2.0 * std::f64::consts::PI).sqrt()).ln();
    (log - log.ln()).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_those_of_a_normal_distribution() {
        for (tail, expected) in [(0.05, 1.645), (1.0 / 64.0, 2.154), (1e-3, 3.090), (1e-5, 4.265), (1e-9, 5.998)] {
            assert!((deviations(tail) - expected).abs() < 0.01, "{tail}: {}", deviations(tail));
        }
    }
}
