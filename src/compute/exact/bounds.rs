//! How far a float32 score can be from the float64 score that decides.
//!
//! For a sum of `n` products in any order, fused or not, |fl(x·y) − x·y| ≤ γₙ Σ|xᵢyᵢ| with
//! γₙ = nu / (1 − nu) and u = 2⁻²⁴ (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed.,
//! §3.1), and Σ|xᵢyᵢ| ≤ ‖x‖‖y‖ (Cauchy–Schwarz). Products below the normal range lose at most half
//! of 2⁻¹⁴⁹ each.
//!
//! A *key* orders docs for one query, larger is nearer: q·d for dot, q·d/‖d‖ for cosine,
//! q·d − ‖d‖²/2 for euclidean (since ‖q − d‖² = ‖q‖² − 2 (q·d − ‖d‖²/2)).

use crate::compute::metric::Metric;

pub(super) const UNIT_F32: f64 = 1.0 / (1u64 << 24) as f64;
pub(super) const UNIT_F64: f64 = f64::EPSILON / 2.0;
/// Twice the smallest positive float32.
const UNDERFLOW_F32: f64 = 2.8e-45;
/// Sums stay clear of overflow below this; above it nothing is known of a float32 score.
const OVERFLOW_F32: f64 = 1e38;

/// Bounds the error of float32 keys, for one metric and dim.
#[derive(Debug, Clone, Copy)]
pub struct ErrorBound {
    metric: Metric,
    dim: f64,
    /// γ of the float32 sum, and of the float64 sum and the few operations after it.
    gamma_f32: f64,
    gamma_f64: f64,
}

impl ErrorBound {
    /// `dim` at most 65,536, where γ is still below 0.004.
    pub fn new(metric: Metric, dim: usize) -> Self {
        let dim = dim as f64;
        let gamma = |terms: f64, unit: f64| terms * unit / (1.0 - terms * unit);
        Self { metric, dim, gamma_f32: gamma(dim, UNIT_F32), gamma_f64: gamma(dim + 8.0, UNIT_F64) }
    }

    /// The largest possible |float32 key − key that the float64 score stands for|.
    ///
    /// `query_norm`, `doc_norm`: Euclidean norms, computed in float64. Grows with `doc_norm` for dot
    /// and euclidean; for cosine a *smaller* norm can be worse (underflow), so a tile must pass its
    /// smallest. Infinite where float32 could overflow.
    pub fn of(&self, query_norm: f64, doc_norm: f64) -> f64 {
        let product = query_norm * doc_norm;
        let underflow = self.dim * UNDERFLOW_F32;
        let (bound, largest) = match self.metric {
            Metric::Dot => ((self.gamma_f32 + self.gamma_f64) * product + underflow, product),
            Metric::Cosine => {
                let factor = 1.0 / doc_norm;
                let relative = self.gamma_f32 + 4.0 * UNIT_F32 + self.gamma_f64;
                (relative * query_norm + underflow * (factor + 1.0), product.max(factor).max(query_norm).max(doc_norm))
            }
            Metric::Euclidean => {
                let half_square = doc_norm * doc_norm / 2.0;
                let both = query_norm + doc_norm;
                let float32 = self.gamma_f32 * product + 3.0 * UNIT_F32 * (product + half_square);
                (float32 + self.gamma_f64 * both * both + underflow, product + half_square)
            }
        };
        // The products above are themselves rounded, and so are the norms: a relative 1e-6 covers it.
        if largest < OVERFLOW_F32 { bound * 1.000_001 } else { f64::INFINITY }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::kernels::{Level, dot_f64};
    use proptest::prelude::*;

    fn norm(values: &[f32]) -> f64 {
        dot_f64(Level::Scalar, values, values).sqrt()
    }

    proptest! {
        /// Float32 sums in three orders stay within the bound, at scales from 1e-20 to 1e15.
        #[test]
        fn float32_sums_stay_within_the_bound(
            dim in 1usize..600, seed in any::<u64>(), scale in -20i32..15,
        ) {
            let mut state = seed | 1;
            let mut next = || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                ((state >> 40) as f32 / (1u32 << 23) as f32 - 1.0) * 10f32.powi(scale)
            };
            let query: Vec<f32> = (0..dim).map(|_| next()).collect();
            let doc: Vec<f32> = (0..dim).map(|_| next()).collect();
            let forward: f32 = query.iter().zip(&doc).map(|(a, b)| a * b).sum();
            let backward: f32 = query.iter().zip(&doc).rev().map(|(a, b)| a * b).sum();
            let fused = query.iter().zip(&doc).fold(0.0f32, |sum, (a, b)| a.mul_add(*b, sum));
            let exact = dot_f64(Level::Scalar, &query, &doc);
            let (q, d) = (norm(&query), norm(&doc));
            for dot in [forward, backward, fused] {
                let bound = ErrorBound::new(Metric::Dot, dim).of(q, d);
                prop_assert!((f64::from(dot) - exact).abs() <= bound);
                if d > 1e-30 {
                    let cosine_key = dot * (1.0 / d) as f32;
                    let bound = ErrorBound::new(Metric::Cosine, dim).of(q, d);
                    prop_assert!((f64::from(cosine_key) - exact / d).abs() <= bound);
                }
                let euclidean_key = dot - (d * d / 2.0) as f32;
                let bound = ErrorBound::new(Metric::Euclidean, dim).of(q, d);
                prop_assert!((f64::from(euclidean_key) - (exact - d * d / 2.0)).abs() <= bound);
            }
        }
    }

    #[test]
    fn where_float32_overflows_nothing_is_claimed() {
        for metric in Metric::ALL {
            assert_eq!(ErrorBound::new(metric, 4).of(1e20, 1e20), f64::INFINITY);
        }
        assert_eq!(ErrorBound::new(Metric::Cosine, 4).of(1.0, 1e-39), f64::INFINITY);
    }

    /// A bound that is made tighter than rounding allows is caught: float32 really errs that much.
    #[test]
    fn the_bound_is_not_idle() {
        let dim = 4096;
        let query = vec![0.1f32; dim];
        let doc = vec![0.1f32; dim];
        let forward: f32 = query.iter().zip(&doc).map(|(a, b)| a * b).sum();
        let error = (f64::from(forward) - dot_f64(Level::Scalar, &query, &doc)).abs();
        let bound = ErrorBound::new(Metric::Dot, dim).of(norm(&query), norm(&doc));
        assert!(error <= bound && error > bound / 1000.0, "{error} of {bound}");
    }
}
