//! What a mask is like line by line: density, and N:M patterns.

use super::mask::{Mask, Packed};

/// At most `n` of every `m` consecutive weights are not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pattern {
    pub n: u32,
    pub m: usize,
}

impl Pattern {
    /// Those that hardware knows.
    pub const ALL: [Self; 2] = [Self { n: 2, m: 4 }, Self { n: 4, m: 8 }];

    /// "2:4"
    pub fn name(self) -> String {
        format!("{}:{}", self.n, self.m)
    }
}

/// Which lines of a mask satisfy a pattern; blocks begin at 0, and one that the line's end cuts short may hold as many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternCheck {
    /// One a line.
    pub satisfied: Vec<bool>,
    pub blocks: u64,
    pub satisfied_blocks: u64,
}

impl PatternCheck {
    pub fn of(lines: &Packed, pattern: Pattern) -> Self {
        // Blocks never straddle words.
        assert!(64usize.is_multiple_of(pattern.m), "blocks fit words");
        let block_bits = u64::MAX >> (64 - pattern.m);
        let blocks_a_line = lines.length().div_ceil(pattern.m);
        let mut check = Self { satisfied: Vec::with_capacity(lines.count()), blocks: 0, satisfied_blocks: 0 };
        for index in 0..lines.count() {
            let mut broken = 0;
            for &word in lines.line(index) {
                for first in (0..64).step_by(pattern.m) {
                    broken += usize::from((word >> first & block_bits).count_ones() > pattern.n);
                }
            }
            check.satisfied.push(broken == 0);
            check.blocks += blocks_a_line as u64;
            check.satisfied_blocks += (blocks_a_line - broken) as u64;
        }
        check
    }

    /// Lines that satisfy it.
    pub fn lines(&self) -> usize {
        self.satisfied.iter().filter(|satisfied| **satisfied).count()
    }

    /// The lines that satisfy it, as ranges: "0-3, 7, 9-12"; empty if none does.
    pub fn ranges(&self) -> String {
        let mut ranges = Vec::new();
        let mut first = 0;
        for same in self.satisfied.chunk_by(|a, b| a == b) {
            let last = first + same.len() - 1;
            if same[0] {
                ranges.push(if first == last { first.to_string() } else { format!("{first}-{last}") });
            }
            first = last + 1;
        }
        ranges.join(", ")
    }
}

/// A pattern along the rows (blocks of consecutive columns), and along the columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternReport {
    pub pattern: Pattern,
    pub rows: PatternCheck,
    pub columns: PatternCheck,
}

impl PatternReport {
    pub fn all(mask: &Mask) -> Vec<Self> {
        let report = |pattern| Self {
            pattern,
            rows: PatternCheck::of(&mask.by_row, pattern),
            columns: PatternCheck::of(&mask.by_column, pattern),
        };
        Pattern::ALL.into_iter().map(report).collect()
    }
}

/// Share of set bits of every line.
pub fn densities(lines: &Packed) -> Vec<f64> {
    (0..lines.count()).map(|line| lines.ones(line) as f64 / lines.length() as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_satisfies_a_pattern_if_all_of_its_blocks_do() {
        let mut lines = Packed::zeros(4, 70);
        lines.line_mut(0)[0] = 0b0011_0101;
        lines.line_mut(1)[0] = 0b0111;
        lines.line_mut(2)[1] = 0b11_0000;
        lines.line_mut(3)[1] = 0b00_1111;
        let check = PatternCheck::of(&lines, Pattern { n: 2, m: 4 });
        assert_eq!(check.satisfied, [true, false, true, false]);
        assert_eq!((check.blocks, check.satisfied_blocks, check.lines()), (72, 70, 2));
        assert_eq!(check.ranges(), "0, 2");
        let check = PatternCheck::of(&lines, Pattern { n: 4, m: 8 });
        assert_eq!((check.lines(), check.ranges().as_str(), check.blocks), (4, "0-3", 36));
    }
}
