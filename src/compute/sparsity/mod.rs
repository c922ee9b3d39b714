//! How alike the features (columns) of pruned weight matrices are, by normalised Hamming distance.

pub mod analysis;
pub mod chance;
pub mod formats;
pub mod groups;
pub mod mask;
pub mod pairs;
pub mod patterns;
pub mod sources;
pub mod store;

#[cfg(test)]
mod testing {
    use super::mask::{Mask, Packed};
    use crate::compute::random::Random;

    /// Bits that are set with probability `density`.
    pub fn random_mask(rows: usize, columns: usize, density: f64, seed: u64) -> Mask {
        let mut random = Random::new(seed);
        let mut by_row = Packed::zeros(rows, columns);
        for row in 0..rows {
            for column in 0..columns {
                let is_set = (random.bits() >> 11) as f64 / (1u64 << 53) as f64 <= density && density > 0.0;
                by_row.line_mut(row)[column / 64] |= u64::from(is_set) << (column % 64);
            }
        }
        Mask::of_rows(by_row)
    }
}
