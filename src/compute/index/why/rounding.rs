//! How far float32 can be from the exact scores.

use crate::compute::index::NONE;
use crate::compute::index::truth::Arena;
use crate::compute::kernels::{self, Level};
use crate::compute::metric::Metric;

/// Unit roundoff of float32.
const ROUNDOFF: f64 = 1.0 / (1u64 << 24) as f64;

/// Whether `doc` may have lost its place among `found` to rounding alone: an index that computes in float32 in any order
/// cannot be sure that it is nearer than the farthest of those that were found instead. Bounds of sums of products as in
/// Higham, "Accuracy and Stability of Numerical Algorithms" (2002), 3.1: |error| ≤ γ · Σ|products| ≤ γ · |query| · |doc|.
pub fn is_rounding(arena: &Arena, query: usize, doc: u32, found: &[u32]) -> bool {
    // A place that was left free is no matter of order.
    if found.contains(&NONE) {
        return false;
    }
    let level = Level::detected();
    let norm = |values: &[f32]| kernels::dot_f64(level, values, values).sqrt();
    let (row, asked) = (arena.queries.row(query), norm(arena.queries.row(query)));
    // Values in which docs are compared: squared for the euclidean distance.
    let compared = |doc: u32| match arena.metric {
        Metric::Euclidean => kernels::squared_distance_f64(level, row, arena.docs.row(doc as usize)),
        _ => arena.score(query, doc),
    };
    // Additions one after another, and what normalising or squaring adds.
    let terms = (arena.dim() + 8) as f64 * ROUNDOFF;
    let gamma = terms / (1.0 - terms);
    let error = |doc: u32| match arena.metric {
        Metric::Cosine => gamma,
        Metric::Dot => gamma * asked * norm(arena.docs.row(doc as usize)),
        // Also as |q|² + |d|² − 2 q·d.
        Metric::Euclidean => gamma * (asked + norm(arena.docs.row(doc as usize))).powi(2),
    };
    let farthest = found.iter().copied().max_by(|left, right| {
        let (left, right) = (compared(*left), compared(*right));
        arena.metric.nearest_first(left, right)
    });
    farthest.is_some_and(|farthest| (compared(doc) - compared(farthest)).abs() <= error(doc) + error(farthest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::index::truth::Question;

    /// Docs at some distances from a query at 0, on a line.
    fn line(metric: Metric, query: f32, docs: &[f32]) -> (tempfile::TempDir, Arena) {
        let folder = tempfile::tempdir().expect("temporary folder");
        let write = |name: &str, values: &[f32]| {
            let path = folder.path().join(name);
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            std::fs::write(&path, bytes).expect("written");
            path
        };
        let question = Question {
            docs: write("docs.vec", docs),
            queries: write("queries.vec", &[query]),
            dim: 1,
            num_docs: None,
            num_queries: None,
            top_k: 1,
            metric,
            memory_budget: 100_000_000,
        };
        let arena = Arena::open(&question).expect("opened");
        (folder, arena)
    }

    #[test]
    fn only_what_float32_may_confuse_is_rounding() {
        for (metric, query) in [(Metric::Euclidean, 0.0), (Metric::Dot, 1.0)] {
            let next = f32::from_bits(1.0f32.to_bits() + 1);
            let (_folder, arena) = line(metric, query, &[1.0, next, 1.001]);
            assert!(is_rounding(&arena, 0, 0, &[1]), "{metric}: one unit in the last place");
            assert!(!is_rounding(&arena, 0, 0, &[2]), "{metric}: a thousandth");
            // The farthest of those found counts.
            assert_eq!(is_rounding(&arena, 0, 0, &[1, 2]), metric == Metric::Dot);
            assert!(!is_rounding(&arena, 0, 0, &[1, NONE]), "{metric}: a place was free");
        }
        // Far from the origin, float32 knows less of distances if they are computed from norms.
        let (_folder, arena) = line(Metric::Euclidean, 5000.0, &[5001.0, 5001.5]);
        assert!(is_rounding(&arena, 0, 0, &[1]));
    }
}
