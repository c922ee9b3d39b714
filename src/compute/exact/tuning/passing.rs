//! How many pairs bounds let through, judged by sampled docs and queries.

use rayon::prelude::*;

use super::super::bounds::ErrorBound;
use super::super::turn::Leading;
use super::{Asked, CODED_DEFECT, Loss, PASSING_DOCS, SAMPLE_QUERIES, SPREAD_LOSS, Sample};
use crate::compute::kernels;

/// Samples of fewer docs are too small to extrapolate from, and how many of the best that is done by.
const LEAST_DOCS: usize = 256;
const TAIL: usize = 16;

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
    /// Squares of their lengths, and of what they were before the centre was taken off.
    squares: Vec<f64>,
    whole_squares: &'a [f64],
    /// What is taken off their products.
    offsets: Vec<f64>,
    queries: Vec<SampledQuery>,
}

struct SampledQuery {
    /// As they are coded.
    values: Vec<f32>,
    square: f64,
    /// With the centre.
    whole_square: f64,
    /// Of each doc.
    keys: Vec<f64>,
    limit: f64,
    /// How many docs of the sample reach the limit in any case.
    nearest: usize,
}

impl<'a> Pairs<'a> {
    /// `sample`: of docs, at least one; the last ones are taken.
    pub fn of(asked: &'a Asked<'a>, sample: &'a Sample) -> Self {
        let (dim, level) = (asked.docs.dim(), asked.level);
        let first = sample.squares.len().saturating_sub(PASSING_DOCS);
        let (docs, whole_squares) = (&sample.values[first * dim..], &sample.squares[first..]);
        let square = |vector: &[f32]| kernels::dot_f64(level, vector, vector);
        let squares = match sample.centre {
            Some(_) => docs.par_chunks_exact(dim).map(square).collect(),
            None => whole_squares.to_vec(),
        };
        let longest = squares.iter().fold(0.0f64, |high, &square| high.max(square));
        let offsets = sample.offsets(asked).split_off(first);
        let gain = largest_gain(&offsets);
        let mut pairs = Self { asked, docs, squares, whole_squares, offsets, queries: Vec::new() };
        let sampled = |query: &[f32]| {
            let values = sample.queries(query);
            let key = |(doc, at)| kernels::dot_f64(level, &values, doc) - pairs.offsets[at];
            let keys: Vec<f64> = docs.chunks_exact(dim).zip(0..).map(key).collect();
            let (whole_square, square) = (square(query), square(&values));
            let most = gain + asked.largest_key(square, longest);
            let (limit, nearest) = limit_of(asked.top_k, asked.all_docs, &mut keys.clone(), most);
            SampledQuery { values, square, whole_square, keys, limit, nearest }
        };
        pairs.queries = asked.queries.par_chunks_exact(dim).take(SAMPLE_QUERIES).map(sampled).collect();
        pairs
    }

    /// The share of pairs that pass beside the nearest, which do in any case.
    fn share(&self, passed: usize) -> f64 {
        let in_any_case: usize = self.queries.iter().map(|query| query.nearest).sum();
        passed.saturating_sub(in_any_case) as f64 / (self.queries.len() * self.squares.len()).max(1) as f64
    }

    /// The share that codes of all dimensions let through, where these lose `loss`.
    pub fn by_codes(&self, loss: Loss) -> f64 {
        let bound = |query_norm: f64, doc_norm: f64| 2.0 * loss.of_length * query_norm * doc_norm;
        loss.or_not_coded(self.by_bounds(&self.squares, |query| query.square, bound))
    }

    /// The share that float32 tiles let through.
    pub fn by_tiles(&self) -> f64 {
        let bound = ErrorBound::new(self.asked.metric, self.asked.docs.dim());
        let bound = |query_norm: f64, doc_norm: f64| 2.0 * bound.of(query_norm, doc_norm);
        self.by_bounds(self.whole_squares, |query| query.whole_square, bound)
    }

    /// `bound`: how far above its key a pair may seem to be, of a query and a doc of lengths whose squares are given.
    fn by_bounds(
        &self,
        squares: &[f64],
        query_square: impl Fn(&SampledQuery) -> f64 + Sync,
        bound: impl Fn(f64, f64) -> f64 + Sync,
    ) -> f64 {
        let passed = self.queries.par_iter().map(|query| {
            let norm = query_square(query).sqrt();
            let passes = |(key, square): &(&f64, &f64)| *key + bound(norm, square.sqrt()) >= query.limit;
            query.keys.iter().zip(squares).filter(passes).count()
        });
        self.share(passed.sum())
    }

    /// The share that the first `kept` of the axes of `all` let through, for each of these numbers: turned in float32,
    /// and as codes, where these lose `loss`.
    pub fn along(&self, all: &Leading, kept: &[usize], loss: Loss) -> [Vec<f64>; 2] {
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
                let (mut sum, mut start) = (-self.offsets[doc], 0);
                let length = self.squares[doc].sqrt();
                let (limit, lost) = (query.limit - 2.0 * SPREAD_LOSS * norm * length, loss.of_length * length);
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
        passed.map(|passed| passed.into_iter().map(|passed| loss.or_not_coded(self.share(passed))).collect())
    }
}

/// What offsets add to a product at most, where they are below 0.
pub fn largest_gain(offsets: &[f64]) -> f64 {
    offsets.iter().fold(0.0, |gain, &offset| f64::max(gain, -offset))
}

/// How many docs before the k-th nearest of all docs are expected in a sample of `count`; `None` where not even one is.
fn rank_of(top_k: usize, all_docs: usize, count: usize) -> Option<usize> {
    let expected = (top_k as u128 * count as u128 / all_docs as u128) as usize;
    (expected > 0).then(|| expected.min(count - 1))
}

/// The key that the k-th nearest of all docs may have, from those of a sample, at least one, in any order; and how many of the
/// sample reach it in any case. No key is above `most`.
///
/// Where the sample is too small to hold it, it is extrapolated as in a normal distribution: keys are sums. Of several such
/// distributions, by the whole sample and by its best alone, the lowest limit is taken: where docs lie in clusters the whole says
/// nothing of a query's own.
pub fn limit_of(top_k: usize, all_docs: usize, keys: &mut [f64], most: f64) -> (f64, usize) {
    let count = keys.len();
    if let Some(rank) = rank_of(top_k, all_docs, count) {
        return (*keys.select_nth_unstable_by(rank, |a, b| b.total_cmp(a)).1, rank + 1);
    }
    let mean = keys.iter().sum::<f64>() / count as f64;
    keys.select_nth_unstable_by(TAIL.min(count - 1), |a, b| b.total_cmp(a));
    let tail = &mut keys[..=TAIL.min(count - 1)];
    tail.sort_unstable_by(|a, b| b.total_cmp(a));
    let best = tail[0];
    if count < LEAST_DOCS {
        return (best, 1);
    }
    let wanted = deviations(top_k as f64 / all_docs as f64);
    let at = |rank: usize| deviations((rank + 1) as f64 / count as f64);
    let through = |high: usize, low: (f64, f64)| {
        let (key, deviation) = low;
        tail[high] + (tail[high] - key) * (wanted - at(high)) / (at(high) - deviation)
    };
    let limits = [through(TAIL, (mean, 0.0)), through(4, (tail[TAIL], at(TAIL)))];
    // What is not a number where keys are infinite is passed over.
    let limit = best.max(limits.into_iter().fold(most, f64::min));
    (limit, usize::from(limit <= best))
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
    use crate::compute::random::Random;

    /// Of normally distributed keys, and of those where a twentieth of the docs is near.
    #[test]
    fn limits_are_found_beyond_a_sample() {
        let mut random = Random::new(1);
        let mut normal = |count: usize| -> Vec<f64> {
            let mut uniform = || (random.bits() >> 11) as f64 / (1u64 << 53) as f64;
            (0..count).map(|_| (0..12).map(|_| uniform()).sum::<f64>() - 6.0).collect()
        };
        for _ in 0..20 {
            let keys = normal(1024);
            let best = keys.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            assert_eq!(limit_of(1024, 1 << 20, &mut keys.clone(), 100.0).1, 2, "one before it");
            let (limit, nearest) = limit_of(10, 1 << 20, &mut keys.clone(), 100.0);
            // 4.27 standard deviations.
            assert!((3.3..4.9).contains(&limit) && limit >= best, "{limit} {best}");
            assert_eq!(nearest, usize::from(limit == best));
            let (limit, _) = limit_of(10, 1 << 20, &mut keys.clone(), 3.3);
            assert_eq!(limit, best.max(3.3), "no key is larger");
            let mut few = keys[..64].to_vec();
            let best = few.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            assert_eq!(limit_of(10, 1 << 20, &mut few, 100.0), (best, 1), "too few to tell");
            // Keys of a cluster lie around 50.
            let mut clustered = keys;
            clustered.iter_mut().step_by(20).for_each(|key| *key += 50.0);
            let (limit, _) = limit_of(10, 1 << 20, &mut clustered, 100.0);
            assert!((50.0..58.0).contains(&limit), "{limit}");
        }
    }

    #[test]
    fn tails_are_those_of_a_normal_distribution() {
        for (tail, expected) in [(0.05, 1.645), (1.0 / 64.0, 2.154), (1e-3, 3.090), (1e-5, 4.265), (1e-9, 5.998)] {
            assert!((deviations(tail) - expected).abs() < 0.01, "{tail}: {}", deviations(tail));
        }
    }
}
