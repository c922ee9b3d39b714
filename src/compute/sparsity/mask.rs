//! A matrix as bits: which weights are not zero.

use crate::compute::error::{Error, Result};

/// Lines of bits, all of one length, each packed to whole words; bits beyond the length are 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    count: usize,
    length: usize,
    words: usize,
    bits: Vec<u64>,
}

impl Packed {
    /// `count` lines of `length` bits, all 0.
    pub fn zeros(count: usize, length: usize) -> Self {
        let words = length.div_ceil(64);
        Self { count, length, words, bits: vec![0; count * words] }
    }

    /// Number of lines.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Bits of a line.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The words of line `index`.
    pub fn line(&self, index: usize) -> &[u64] {
        &self.bits[index * self.words..(index + 1) * self.words]
    }

    pub fn line_mut(&mut self, index: usize) -> &mut [u64] {
        &mut self.bits[index * self.words..(index + 1) * self.words]
    }

    /// Lines `first` and `second`, two of them.
    pub fn two_lines(&mut self, first: usize, second: usize) -> (&mut [u64], &mut [u64]) {
        let (low, high) = (first.min(second), first.max(second));
        let (head, tail) = self.bits.split_at_mut(high * self.words);
        let (low, high) = (&mut head[low * self.words..(low + 1) * self.words], &mut tail[..self.words]);
        if first < second { (low, high) } else { (high, low) }
    }

    pub fn get(&self, line: usize, bit: usize) -> bool {
        self.line(line)[bit / 64] >> (bit % 64) & 1 == 1
    }

    /// Set bits of line `index`.
    pub fn ones(&self, index: usize) -> usize {
        self.line(index).iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Set bits of line `index` in `from..to`.
    pub fn ones_between(&self, index: usize, from: usize, to: usize) -> usize {
        if from >= to {
            return 0;
        }
        let line = self.line(index);
        let (first, last) = (from / 64, (to - 1) / 64);
        let head = u64::MAX << (from % 64);
        let tail = u64::MAX >> (63 - (to - 1) % 64);
        if first == last {
            return (line[first] & head & tail).count_ones() as usize;
        }
        let middle: u32 = line[first + 1..last].iter().map(|word| word.count_ones()).sum();
        ((line[first] & head).count_ones() + middle + (line[last] & tail).count_ones()) as usize
    }

    /// Bits become lines.
    pub fn transposed(&self) -> Self {
        let mut turned = Self::zeros(self.length, self.count);
        for tile in 0..self.count.div_ceil(64) {
            for word in 0..self.words {
                let mut square = [0u64; 64];
                for (row, bits) in square.iter_mut().enumerate().take(self.count - (tile * 64).min(self.count)) {
                    *bits = self.bits[(tile * 64 + row) * self.words + word];
                }
                transpose(&mut square);
                for (column, &bits) in square.iter().enumerate().take(self.length - (word * 64).min(self.length)) {
                    turned.bits[(word * 64 + column) * turned.words + tile] = bits;
                }
            }
        }
        turned
    }

    /// The lines in another order.
    pub fn in_order(&self, order: &[u32]) -> Self {
        let mut ordered = Self::zeros(order.len(), self.length);
        for (index, &line) in order.iter().enumerate() {
            ordered.line_mut(index).copy_from_slice(self.line(line as usize));
        }
        ordered
    }
}

/// Bit b of word w becomes bit w of word b (Warren, Hacker's Delight, 7-3).
fn transpose(square: &mut [u64; 64]) {
    let mut width = 32;
    let mut mask = u64::MAX >> 32;
    while width > 0 {
        let mut row = 0;
        while row < 64 {
            let swapped = (square[row] >> width ^ square[row + width]) & mask;
            square[row] ^= swapped << width;
            square[row + width] ^= swapped;
            row = (row + width + 1) & !width;
        }
        width /= 2;
        mask ^= mask << width;
    }
}

/// Which weights of a matrix are not zero: the same bits row by row and column by column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    /// A line a row.
    pub by_row: Packed,
    /// A line a column: a feature.
    pub by_column: Packed,
}

impl Mask {
    /// Weights that are supported: 2³⁶, eight gigabytes of bits.
    pub const MOST_WEIGHTS: u64 = 1 << 36;

    pub fn of_rows(by_row: Packed) -> Self {
        Self { by_column: by_row.transposed(), by_row }
    }

    pub fn of_columns(by_column: Packed) -> Self {
        Self { by_row: by_column.transposed(), by_column }
    }

    pub fn rows(&self) -> usize {
        self.by_row.count()
    }

    pub fn columns(&self) -> usize {
        self.by_column.count()
    }

    /// Weights that are not zero.
    pub fn ones(&self) -> u64 {
        self.by_row.bits.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// Share of weights that are not zero.
    pub fn density(&self) -> f64 {
        self.ones() as f64 / (self.rows() as f64 * self.columns() as f64)
    }

    /// |both| / |either| of two masks of one shape: 1 where both are empty.
    ///
    /// # Errors
    /// Masks of different shapes.
    pub fn jaccard(&self, other: &Self) -> Result<f64> {
        if (self.rows(), self.columns()) != (other.rows(), other.columns()) {
            return Err(Error::Parameter {
                name: "comparison",
                expected: format!("two matrices of one shape, {} × {}", self.rows(), self.columns()),
                found: format!("{} × {}", other.rows(), other.columns()),
            });
        }
        Ok(jaccard(&self.by_row.bits, &other.by_row.bits))
    }

    /// As [`Mask::jaccard`], column by column.
    pub fn jaccard_of_columns(&self, other: &Self) -> Vec<f64> {
        (0..self.columns()).map(|column| jaccard(self.by_column.line(column), other.by_column.line(column))).collect()
    }
}

fn jaccard(left: &[u64], right: &[u64]) -> f64 {
    let (mut both, mut either) = (0u64, 0u64);
    for (a, b) in left.iter().zip(right) {
        both += u64::from((a & b).count_ones());
        either += u64::from((a | b).count_ones());
    }
    if either == 0 { 1.0 } else { both as f64 / either as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bits_are_where_they_were_put(
            count in 1usize..150, length in 1usize..150, seed in any::<u64>(), ends in (0usize..150, 0usize..150),
        ) {
            let is_set = |line: usize, bit: usize| {
                ((line as u64 * 151 + bit as u64) ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 63 == 1
            };
            let mut packed = Packed::zeros(count, length);
            for line in 0..count {
                for bit in 0..length {
                    packed.line_mut(line)[bit / 64] |= u64::from(is_set(line, bit)) << (bit % 64);
                }
            }
            let turned = packed.transposed();
            prop_assert_eq!((turned.count(), turned.length()), (length, count));
            for line in 0..count {
                for bit in 0..length {
                    prop_assert_eq!(turned.get(bit, line), is_set(line, bit));
                }
                let (from, to) = (ends.0.min(length), ends.1.min(length));
                let naive = (from..to).filter(|&bit| is_set(line, bit)).count();
                prop_assert_eq!(packed.ones_between(line, from, to), naive);
            }
            prop_assert_eq!(turned.transposed(), packed);
        }
    }
}
