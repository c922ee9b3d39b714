//! What makes a query hard: local intrinsic dimension, relative contrast, hubness; and the distance they are measured in.

use rayon::prelude::*;

use crate::compute::error::Result;
use crate::compute::index::truth::{Arena, Truth};
use crate::compute::kernels::{self, Level};
use crate::compute::metric::Metric;
use crate::job::Monitor;

/// Docs of one length, but for this share of it: float32 holds lengths to some 10⁻⁷, and vectors that were made by
/// float16 models to some 10⁻³.
const SAME_LENGTH: f64 = 1e-3;
/// Docs whose sums are added up together, at least.
const CHUNK_DOCS: usize = 1024;
/// Sums that are kept apart, at most.
const CHUNKS: usize = 1024;

/// The distance between queries and docs whose order is that of the search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Space {
    /// ‖q − d‖
    Euclidean,
    /// ‖q/‖q‖ − d/‖d‖‖: under cosine, and under dot where all docs have the same length.
    Directions,
    /// Under dot where docs have several lengths, none of them above `radius`: docs get one more coordinate, √(radius² −
    /// ‖d‖²), and queries are scaled to length `radius`, with 0 there. The distance is √(2 radius² − 2 radius q·d/‖q‖), so its
    /// order is that of the dot products (Bachrach et al., "Speeding up the Xbox recommender system using a Euclidean
    /// transformation for inner-product spaces", 2014).
    Lifted { radius: f64 },
}

impl Space {
    /// The one for a session.
    pub fn of(arena: &Arena) -> Self {
        match arena.metric {
            Metric::Euclidean => Self::Euclidean,
            Metric::Cosine => Self::Directions,
            Metric::Dot => {
                let docs = arena.docs.rows_in(0..arena.num_docs);
                let ends = |one: (f64, f64), other: (f64, f64)| (one.0.min(other.0), one.1.max(other.1));
                let (shortest, longest) = docs
                    .par_chunks(arena.dim())
                    .map(|doc| (norm(doc), norm(doc)))
                    .reduce(|| (f64::INFINITY, 0.0), ends);
                match longest - shortest <= SAME_LENGTH * longest && shortest > 0.0 {
                    true => Self::Directions,
                    false => Self::Lifted { radius: longest },
                }
            }
        }
    }

    /// What is measured, in words.
    pub fn words(&self) -> &'static str {
        match self {
            Self::Euclidean => "euclidean distances",
            Self::Directions => "euclidean distances of directions (vectors scaled to length 1)",
            Self::Lifted { .. } => {
                "the euclidean distance whose order is that of the dot products (docs lifted onto a sphere, queries scaled to \
                 its radius: Bachrach et al. 2014), since docs differ in length"
            }
        }
    }

    /// How a query is scaled; not finite where it has no direction.
    fn query_scale(&self, query: &[f32]) -> f64 {
        match self {
            Self::Euclidean => 1.0,
            Self::Directions => norm(query).recip(),
            Self::Lifted { radius } => radius / norm(query),
        }
    }

    /// How a doc is scaled, and its one more coordinate.
    fn doc_place(&self, doc: &[f32]) -> (f64, f64) {
        match self {
            Self::Euclidean => (1.0, 0.0),
            Self::Directions => (norm(doc).recip(), 0.0),
            Self::Lifted { radius } => (1.0, (radius * radius - norm(doc).powi(2)).max(0.0).sqrt()),
        }
    }

    /// The distance of a query and a doc; NaN for a query without direction.
    pub fn distance(&self, query: &[f32], doc: &[f32]) -> f64 {
        let (scale, (doc_scale, more)) = (self.query_scale(query), self.doc_place(doc));
        if !scale.is_finite() {
            return f64::NAN;
        }
        let square = kernels::scaled_squared_distance_f64(Level::detected(), query, scale, doc, doc_scale);
        (square + more * more).sqrt()
    }
}

fn norm(values: &[f32]) -> f64 {
    kernels::dot_f64(Level::detected(), values, values).sqrt()
}

/// All docs as seen from afar: their mean, and their mean squared distance to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Crowd {
    space: Space,
    /// dim + 1 values.
    mean: Vec<f64>,
    variance: f64,
}

impl Crowd {
    /// Goes over all docs twice. Sums are added in an order that depends on the docs alone.
    ///
    /// # Errors
    /// Docs that shrank; cancelled.
    pub fn of(arena: &Arena, space: Space, monitor: &Monitor) -> Result<Self> {
        let (dim, count) = (arena.dim(), arena.num_docs);
        monitor.begin("measuring all docs", "docs", 2 * count as u64);
        arena.docs.check_size()?;
        let chunk = count.div_ceil(CHUNKS).max(CHUNK_DOCS);
        let docs = arena.docs.rows_in(0..count);
        let parts: Vec<Vec<f64>> = docs
            .par_chunks(chunk * dim)
            .map(|docs| {
                let mut sums = vec![0.0; dim + 1];
                for doc in docs.chunks_exact(dim) {
                    let (scale, more) = space.doc_place(doc);
                    sums.iter_mut().zip(doc).for_each(|(sum, &value)| *sum += f64::from(value) * scale);
                    sums[dim] += more;
                }
                monitor.advance((docs.len() / dim) as u64)?;
                Ok(sums)
            })
            .collect::<Result<_>>()?;
        let mut mean = vec![0.0; dim + 1];
        parts.iter().for_each(|part| mean.iter_mut().zip(part).for_each(|(sum, part)| *sum += part));
        mean.iter_mut().for_each(|sum| *sum /= count as f64);
        let squares: Vec<f64> = docs
            .par_chunks(chunk * dim)
            .map(|docs| {
                let mut sum = 0.0;
                for doc in docs.chunks_exact(dim) {
                    let (scale, more) = space.doc_place(doc);
                    sum += square_from(&mean, doc, scale, more);
                }
                monitor.advance((docs.len() / dim) as u64)?;
                Ok(sum)
            })
            .collect::<Result<_>>()?;
        Ok(Self { space, mean, variance: squares.iter().sum::<f64>() / count as f64 })
    }

    /// The root of the mean squared distance of a query to all docs: Σ‖q − d‖²/n = ‖q − mean‖² + variance. NaN for a query
    /// without direction.
    pub fn distance(&self, query: &[f32]) -> f64 {
        let scale = self.space.query_scale(query);
        if !scale.is_finite() {
            return f64::NAN;
        }
        (square_from(&self.mean, query, scale, 0.0) + self.variance).sqrt()
    }
}

/// ‖(values · scale, more) − mean‖²
fn square_from(mean: &[f64], values: &[f32], scale: f64, more: f64) -> f64 {
    let square = |(mean, value): (&f64, &f32)| (f64::from(*value) * scale - mean).powi(2);
    let last = mean.last().map_or(0.0, |mean| (more - mean).powi(2));
    mean.iter().zip(values).map(square).sum::<f64>() + last
}

/// The local intrinsic dimension around a query by maximum likelihood: (m − 1) / Σ ln(r_m / r_i) over its m nearest docs at
/// a distance above 0 (Levina and Bickel, "Maximum likelihood estimation of intrinsic dimension", 2004; Amsaleg et al.,
/// "Estimating local intrinsic dimensionality", 2015). Its mean over samples is (m − 1)/(m − 2) of the dimension. NaN where
/// fewer than two distances are above 0, or all are the same.
///
/// `distances`: ascending.
pub fn intrinsic_dimension(distances: &[f64]) -> f64 {
    let apart: Vec<f64> = distances.iter().copied().filter(|distance| *distance > 0.0).collect();
    let Some((&farthest, others)) = apart.split_last() else { return f64::NAN };
    let sum: f64 = others.iter().map(|distance| (farthest / distance).ln()).sum();
    if sum > 0.0 { others.len() as f64 / sum } else { f64::NAN }
}

/// How often docs are among the k nearest of the session's queries.
#[derive(Debug, Clone, PartialEq)]
pub struct Hubs {
    /// N_k, one a doc.
    pub times: Vec<u32>,
    /// E(N_k − µ)³ / σ³ over the docs (Radovanović, Nanopoulos, Ivanović, "Hubs in space", 2010); `None` where all docs
    /// come as often.
    pub skewness: Option<f64>,
}

impl Hubs {
    pub fn of(truth: &Truth, num_docs: usize) -> Self {
        let mut times = vec![0u32; num_docs];
        truth.ids.iter().for_each(|&doc| times[doc as usize] += 1);
        let mean = truth.ids.len() as f64 / num_docs as f64;
        let moment = |power: i32| times.iter().map(|&times| (f64::from(times) - mean).powi(power)).sum::<f64>();
        let variance = moment(2) / num_docs as f64;
        let skewness = (variance > 0.0).then(|| moment(3) / num_docs as f64 / variance.powf(1.5));
        Self { times, skewness }
    }

    /// Docs that are no query's neighbour.
    pub fn never(&self) -> usize {
        self.times.iter().filter(|times| **times == 0).count()
    }

    /// The doc that comes most often, and how often; the first of equals.
    pub fn largest(&self) -> (u32, u32) {
        let places = self.times.iter().copied().zip(0u32..);
        places.max_by_key(|&(times, doc)| (times, std::cmp::Reverse(doc))).map_or((0, 0), |(times, doc)| (doc, times))
    }

    /// The mean of N_k over docs; each counts the query itself.
    pub fn mean_of(&self, docs: &[u32]) -> f64 {
        docs.iter().map(|&doc| f64::from(self.times[doc as usize])).sum::<f64>() / docs.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::index::cells::tests::{arena_of, uniform};
    use crate::compute::random::Random;

    /// Distances from the middle of a ball of dimension d are u^(1/d).
    #[test]
    fn dimension_of_a_ball_is_found() {
        let mut random = Random::new(2);
        for dimension in [1.0, 2.0, 5.0, 12.0, 40.0] {
            let estimates: Vec<f64> = (0..400)
                .map(|_| {
                    let mut distances: Vec<f64> = (0..100)
                        .map(|_| (f64::from(random.below(1 << 30) + 1) / (1u64 << 30) as f64).powf(1.0 / dimension))
                        .collect();
                    distances.sort_by(f64::total_cmp);
                    intrinsic_dimension(&distances)
                })
                .collect();
            let mean = estimates.iter().sum::<f64>() / 400.0;
            // 99/98 of it; the standard error is about d/√98/√400.
            let expected = dimension * 99.0 / 98.0;
            assert!((mean / expected - 1.0).abs() < 0.02, "{mean} for {dimension}");
        }
    }

    /// The same from points in space: uniform in a ball of 3 dimensions that lies in 6.
    #[test]
    fn dimension_of_points_is_that_of_the_ball_they_fill() {
        let mut random = Random::new(6);
        let mut docs = Vec::new();
        while docs.len() < 4000 * 6 {
            let [x, y, z] = [uniform(&mut random), uniform(&mut random), uniform(&mut random)];
            if x * x + y * y + z * z <= 1.0 {
                docs.extend([x, y, z, x + y, 0.0, 0.0]);
            }
        }
        let space = Space::Euclidean;
        let query = [0.0f32; 6];
        let mut distances: Vec<f64> = docs.chunks_exact(6).map(|doc| space.distance(&query, doc)).collect();
        distances.sort_by(f64::total_cmp);
        let found = intrinsic_dimension(&distances[..600]);
        assert!((found - 3.0).abs() < 0.4, "{found}");
    }

    #[test]
    fn dimension_of_copies_and_of_few_is_not_made_up() {
        let by_hand = 2.0 / ((4.0f64 / 1.0).ln() + (4.0f64 / 2.0).ln());
        assert!((intrinsic_dimension(&[1.0, 2.0, 4.0]) - by_hand).abs() < 1e-12);
        // Copies of the query do not count.
        assert_eq!(intrinsic_dimension(&[0.0, 0.0, 1.0, 2.0, 4.0]), intrinsic_dimension(&[1.0, 2.0, 4.0]));
        for none in [&[][..], &[0.0, 0.0], &[0.0, 1.0], &[2.0, 2.0, 2.0], &[f64::NAN, f64::NAN]] {
            assert!(intrinsic_dimension(none).is_nan(), "{none:?}");
        }
    }

    #[test]
    fn the_distance_to_all_docs_and_the_order_of_distances_are_those_of_plain_loops() {
        let (dim, count) = (7, 3000);
        let mut random = Random::new(9);
        let mut values = |rows: usize, size: f32| -> Vec<f32> {
            (0..rows * dim).map(|_| (uniform(&mut random) + 0.3) * size).collect()
        };
        let (docs, queries) = (values(count, 3.0), values(5, 0.5));
        for metric in Metric::ALL {
            let (_folder, arena) = arena_of(&docs, &queries, dim, 3, metric);
            let space = Space::of(&arena);
            assert_eq!(matches!(space, Space::Lifted { .. }), metric == Metric::Dot);
            let crowd = Crowd::of(&arena, space, &Monitor::new()).expect("measured");
            for query in 0..5 {
                let row = arena.queries.row(query);
                let distances: Vec<f64> = (0..count).map(|doc| space.distance(row, arena.docs.row(doc))).collect();
                let square = distances.iter().map(|distance| distance * distance).sum::<f64>() / count as f64;
                assert!((crowd.distance(row) / square.sqrt() - 1.0).abs() < 1e-12, "{metric}");
                let mean = distances.iter().sum::<f64>() / count as f64;
                assert!(mean <= crowd.distance(row) && crowd.distance(row) < mean * 1.1, "{metric}: near the mean");
                // Nearer by distance is nearer by score.
                let mut order: Vec<usize> = (0..count).collect();
                order.sort_by(|&one, &other| distances[one].total_cmp(&distances[other]));
                let scores: Vec<f64> = order.iter().map(|&doc| arena.score(query, doc as u32)).collect();
                let is_sorted = scores.windows(2).all(|pair| match metric.larger_is_nearer() {
                    true => pair[0] >= pair[1] - 1e-9,
                    false => pair[0] <= pair[1] + 1e-9,
                });
                assert!(is_sorted, "{metric}");
            }
        }
        // Docs of one length under dot: directions.
        let unit: Vec<f32> = docs
            .chunks_exact(dim)
            .flat_map(|doc| doc.iter().map(|value| (f64::from(*value) / norm(doc)) as f32).collect::<Vec<_>>())
            .collect();
        let (_folder, arena) = arena_of(&unit, &queries, dim, 3, Metric::Dot);
        assert_eq!(Space::of(&arena), Space::Directions);
        assert!(Space::Directions.distance(&[0.0; 7], arena.docs.row(0)).is_nan());
        assert!(Space::Directions.distance(arena.docs.row(0), arena.docs.row(0)) < 1e-12);
    }

    #[test]
    fn hubs_are_counted() {
        let truth = Truth { top_k: 2, ids: vec![0, 1, 0, 2, 0, 1], scores: vec![0.0; 6] };
        let hubs = Hubs::of(&truth, 4);
        assert_eq!(hubs.times, [3, 2, 1, 0]);
        assert_eq!((hubs.never(), hubs.largest(), hubs.mean_of(&[0, 2])), (1, (0, 3), 2.0));
        assert!(hubs.skewness.is_some_and(|skewness| skewness.abs() < 1e-12), "3, 2, 1, 0 is symmetric");
        let hubs = Hubs::of(&Truth { top_k: 1, ids: vec![0, 0, 0, 0], scores: vec![0.0; 4] }, 4);
        // 4, 0, 0, 0 with µ = 1, σ² = 3: (27 − 3)/4 / 3^1.5.
        assert!(hubs.skewness.is_some_and(|skewness| (skewness - 6.0 / 3f64.powf(1.5)).abs() < 1e-12));
        assert_eq!(Hubs::of(&Truth { top_k: 1, ids: vec![1, 0], scores: vec![0.0; 2] }, 2).skewness, None);
    }
}
