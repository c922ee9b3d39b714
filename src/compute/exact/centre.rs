//! The mean that docs share, and the one that queries share, taken off before they are coded: what codes lose is a share of what is
//! left, which is shorter.
//!
//! With the centre m of docs, y = d − m, and any c, the key of dot and cosine (where d has length 1) is
//! q·d = (q − c)·y + c·y + q·m, and that of euclidean, with c = m, q·d − ‖d‖²/2 = (q − m)·y − ‖y‖²/2 + q·m − ‖m‖²/2. What depends on
//! the query alone is its *shift*, which keys are kept without, so that float32 tells them apart; what on the doc alone the doc's offset, with the sign of [`super::bounds`].

use super::bounds::UNIT_F32;
use crate::compute::kernels::{self, Level};
use crate::compute::metric::Metric;

/// Docs by which a mean is judged, and how much shorter docs must be without it.
const MEAN_DOCS: usize = 512;
const GAIN: f64 = 0.85;
/// Fewer queries than these say nothing of their mean.
const LEAST_QUERIES: usize = 8;

/// Centres of docs and queries.
#[derive(Debug)]
pub struct Centre {
    metric: Metric,
    level: Level,
    /// m
    docs: Vec<f32>,
    /// ‖m‖²
    square: f64,
    /// c, which under euclidean is m; nothing for 0.
    queries: Option<Vec<f32>>,
    /// c·m, and ‖c‖
    product: f64,
    of_queries: f64,
}

impl Centre {
    /// The means of `docs`, row-major, as they are coded otherwise, whose lengths have these `squares`, and of `queries`: of the
    /// first of them. `None` where docs are not much shorter without it.
    pub fn of(
        docs: &[f32],
        squares: &[f64],
        queries: &[f32],
        dim: usize,
        metric: Metric,
        level: Level,
    ) -> Option<Self> {
        let length = |vector: &[f32]| kernels::dot_f64(level, vector, vector).sqrt();
        let mean = |vectors: &[f32]| -> Vec<f32> {
            let mut sums = vec![0.0f64; dim];
            let rows = vectors.chunks_exact(dim).take(MEAN_DOCS);
            let count = rows.len() as f64;
            rows.for_each(|row| sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value)));
            sums.iter().map(|sum| (sum / count) as f32).collect()
        };
        let pays = |vectors: &[f32], mean: &[f32], with: f64| {
            let mut rest = Vec::with_capacity(dim);
            let lengths = vectors.chunks_exact(dim).take(MEAN_DOCS).map(|row| {
                rest.clear();
                rest.extend_from_slice(row);
                kernels::subtract(level, &mut rest, mean);
                length(&rest)
            });
            lengths.sum::<f64>() < GAIN * with
        };
        let centre = mean(docs);
        if !pays(docs, &centre, squares.iter().take(MEAN_DOCS).map(|square| square.sqrt()).sum()) {
            return None;
        }
        let of_queries = (metric != Metric::Euclidean && queries.len() >= LEAST_QUERIES * dim)
            .then(|| mean(queries))
            .filter(|mean| pays(queries, mean, queries.chunks_exact(dim).take(MEAN_DOCS).map(length).sum()));
        Some(Self::new(centre, of_queries, metric, level))
    }

    /// `docs`, `queries`: finite, of one dim. Under euclidean it is `docs` for both.
    pub fn new(docs: Vec<f32>, queries: Option<Vec<f32>>, metric: Metric, level: Level) -> Self {
        let square = kernels::dot_f64(level, &docs, &docs);
        let queries = if metric == Metric::Euclidean { Some(docs.clone()) } else { queries };
        let product = |other: &[f32]| queries.as_ref().map_or(0.0, |queries| kernels::dot_f64(level, queries, other));
        let (of_queries, product) = (product(queries.as_deref().unwrap_or_default()).sqrt(), product(&docs));
        Self { metric, level, docs, square, queries, product, of_queries }
    }

    /// ‖m‖
    pub fn of_docs(&self) -> f64 {
        self.square.sqrt()
    }

    /// ‖c‖
    pub fn of_queries(&self) -> f64 {
        self.of_queries
    }

    /// Whether offsets of docs differ.
    pub fn has_offsets(&self) -> bool {
        self.queries.is_some()
    }

    /// Takes it off a doc as it would be coded otherwise.
    pub fn take_off(&self, doc: &mut [f32]) {
        kernels::subtract(self.level, doc, &self.docs);
    }

    /// ‖(d − m) − y‖ at most, of what [`Self::take_off`] made of a doc, y, of this length: every value is rounded once, and was by
    /// its division by the norm.
    pub fn rounding(&self, length: f64) -> f64 {
        match self.metric {
            Metric::Cosine => 4.0 * UNIT_F32 * (length + 1.0),
            Metric::Dot | Metric::Euclidean => 4.0 * UNIT_F32 * length,
        }
    }

    /// The offset of a doc of this norm, in float64: but for euclidean rounded by a share of ‖c‖ (‖d‖ + ‖m‖).
    pub fn offset(&self, doc: &[f32], norm: f64) -> f64 {
        let product = |queries: &Vec<f32>| kernels::dot_f64(self.level, queries, doc);
        match (self.metric, &self.queries) {
            (Metric::Euclidean, _) => kernels::squared_distance_f64(self.level, doc, &self.docs) / 2.0,
            (Metric::Cosine, Some(queries)) => self.product - product(queries) / norm,
            (Metric::Dot, Some(queries)) => self.product - product(queries),
            (Metric::Dot | Metric::Cosine, None) => 0.0,
        }
    }

    /// The same of what [`Self::take_off`] made of it; nearly.
    pub fn offset_of_rest(&self, rest: &[f32]) -> f64 {
        match (self.metric, &self.queries) {
            (Metric::Euclidean, _) => kernels::dot_f64(self.level, rest, rest) / 2.0,
            (Metric::Dot | Metric::Cosine, Some(queries)) => -kernels::dot_f64(self.level, queries, rest),
            (Metric::Dot | Metric::Cosine, None) => 0.0,
        }
    }

    /// Takes their centre off queries, row-major. Values are rounded once.
    pub fn take_off_queries(&self, queries: &mut [f32]) {
        if let Some(centre) = &self.queries {
            queries.chunks_exact_mut(centre.len()).for_each(|query| kernels::subtract(self.level, query, centre));
        }
    }

    /// The shift of a query, before anything was taken off it. Float64 rounds it by a share of (‖q‖ + ‖m‖) ‖m‖.
    pub fn shift(&self, query: &[f32]) -> f64 {
        let product = kernels::dot_f64(self.level, query, &self.docs);
        match self.metric {
            Metric::Dot | Metric::Cosine => product,
            Metric::Euclidean => product - self.square / 2.0,
        }
    }
}
