//! Exact top-k: every doc is compared with every query, and the answer is right to the last bit.
//!
//! Float32 tiles find the few docs that could be among the k nearest, keeping every one that
//! rounding could have pushed out ([`bounds`]); those are decided in float64, added in a fixed
//! order, ties to the lower doc id ([`topk`]). So the result depends on the vectors alone: not on
//! tiling, threads or CPU.

pub mod bounds;
mod centre;
pub mod choice;
pub mod engine;
mod int8;
mod manhattan;
mod nearest;
pub mod plan;
pub mod size;
mod tiles;
pub mod topk;
mod tuning;
mod turn;

pub use choice::{Choice, Kernel};
pub use engine::{Engine, EngineStats, TopK};
pub use manhattan::ManhattanEngine;
pub use plan::{Estimate, RunSpec, ScoreParams, ScorePlan};
pub use size::{Demand, EngineSize, Filter, Shape};

/// Queries by which an engine tunes itself.
const SAMPLE_QUERIES: usize = 16;

/// Which of `count` queries an engine should tune itself by: some from all over them, ascending.
pub fn sample_queries(count: usize) -> impl Iterator<Item = usize> {
    let sampled = count.min(SAMPLE_QUERIES);
    (0..sampled).map(move |index| (index as u128 * count as u128 / sampled as u128) as usize)
}

/// Puts panels into a fixed order that looks random: sorted files would otherwise raise limits doc by doc.
fn scatter(panels: &mut [u32]) {
    panels.sort_by_key(|&panel| (u64::from(panel) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_sampled_from_all_over_them() {
        assert_eq!(sample_queries(0).count(), 0);
        assert_eq!(sample_queries(3).collect::<Vec<_>>(), [0, 1, 2]);
        let sampled: Vec<usize> = sample_queries(1600).collect();
        assert_eq!(sampled, (0..16).map(|index| index * 100).collect::<Vec<_>>());
        assert!(sample_queries(usize::MAX).is_sorted_by(|left, right| left < right));
    }
}
