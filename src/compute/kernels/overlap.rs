//! In how many rows two columns of bits are both set, for one column with 512 others at once.
//!
//! The rows of 512 columns are vectors of bits. Those rows in which the one column is set are added up in
//! bit-sliced counters: three bits of like weight become a sum and a carry (Harley and Seal; see Muła, Kurz and
//! Lemire, "Faster population counts using AVX2 instructions", 2018), two instructions of AVX-512 for 512 columns.
//! XOR and population count look at every row of every pair; this looks only at the rows that count, half of
//! them at worst, since the rows in which the column is not set tell as much.
//!
//! [`differing`] is XOR and population count, for pairs that are not neighbours of each other.

use super::Level;

/// Columns of a block.
pub const BLOCK: usize = 512;
const WORDS: usize = BLOCK / 64;

/// A row of a block: a bit a column.
pub type BlockRow = [u64; WORDS];

/// Rows that are added up together; they and their row of zeros stay in the nearest cache.
pub const CHUNK_ROWS: usize = 384;

/// Row lists are padded to a multiple of this with the row of zeros.
pub const LIST_STEP: usize = 16;

/// Bits of a counter: sums below 2¹⁶.
const PLANES: usize = 16;

/// Counters of 512 columns, bit by bit: plane p holds the bits of weight 2^p.
#[derive(Debug, Clone)]
pub struct Planes([BlockRow; PLANES]);

/// Rows that fit the counters.
pub const MOST_ROWS: usize = (1 << PLANES) - 1;

impl Planes {
    pub const ZERO: Self = Self([[0; WORDS]; PLANES]);
}

/// Adds the rows of a chunk named by `list` to the counters.
///
/// `chunk`: at most [`CHUNK_ROWS`] rows, and one of zeros at the end. `list`: a multiple of [`LIST_STEP`] of indices
/// into it. The sums must stay below 2¹⁶.
///
/// # Panics
/// A list of another length; an index beyond the chunk.
pub fn add_rows(level: Level, chunk: &[BlockRow], list: &[u16], planes: &mut Planes) {
    assert!(list.len().is_multiple_of(LIST_STEP), "lists are padded");
    #[cfg(target_arch = "x86_64")]
    match level.min(Level::best()) {
        // SAFETY: `Level::best` found the features on this CPU.
        Level::Avx512 => return unsafe { x86::add_rows_avx512(chunk, list, planes) },
        // SAFETY: as above.
        Level::Avx2 => return unsafe { x86::add_rows_avx2(chunk, list, planes) },
        Level::Scalar => {}
    }
    let _ = level;
    add_rows_with::<Words>(chunk, list, planes);
}

/// Reads the counters: `counts`, one a column, overwritten.
pub fn counts(level: Level, planes: &Planes, counts: &mut [u16; BLOCK]) {
    #[cfg(target_arch = "x86_64")]
    match level.min(Level::best()) {
        // SAFETY: the features were found on this CPU.
        Level::Avx512 if is_x86_feature_detected!("avx512bw") => return unsafe { x86::counts_avx512(planes, counts) },
        // SAFETY: `Level::best` found the features on this CPU.
        Level::Avx512 | Level::Avx2 => return unsafe { x86::counts_avx2(planes, counts) },
        Level::Scalar => {}
    }
    let _ = level;
    counts_of(planes, counts);
}

/// Bits in which `left` and `right` differ.
///
/// # Panics
/// Slices of different lengths.
pub fn differing(level: Level, left: &[u64], right: &[u64]) -> u64 {
    assert_eq!(left.len(), right.len(), "columns of one matrix");
    #[cfg(target_arch = "x86_64")]
    match level.min(Level::best()) {
        // SAFETY: the features were found on this CPU.
        Level::Avx512 if is_x86_feature_detected!("avx512vpopcntdq") => {
            return unsafe { x86::differing_vpopcntdq(left, right) };
        }
        // SAFETY: `Level::best` found the features on this CPU.
        Level::Avx512 | Level::Avx2 => return unsafe { x86::differing_avx2(left, right) },
        Level::Scalar => {}
    }
    let _ = level;
    differing_bits(left, right)
}

/// 512 bits, and what adders do with them.
trait Lanes: Copy {
    fn load(row: &BlockRow) -> Self;
    fn store(self, row: &mut BlockRow);
    /// The bit of weight 1 of a + b + c.
    fn sum(a: Self, b: Self, c: Self) -> Self;
    /// The bit of weight 2 of a + b + c.
    fn carry(a: Self, b: Self, c: Self) -> Self;
}

/// Adds two bits to `sum`; what it overflows is returned.
#[inline(always)]
fn add<T: Lanes>(sum: &mut T, a: T, b: T) -> T {
    let before = *sum;
    *sum = T::sum(before, a, b);
    T::carry(before, a, b)
}

/// Row `row` of a chunk that has it.
#[inline(always)]
fn row_of<T: Lanes>(chunk: &[BlockRow], row: u16) -> T {
    // SAFETY: `add_rows_with`, the only caller, asserts that every index is below the chunk's length.
    T::load(unsafe { chunk.get_unchecked(usize::from(row)) })
}

/// Counters of a chunk: 384 needs nine bits.
const CHUNK_PLANES: usize = 9;

#[inline(always)]
fn add_rows_with<T: Lanes>(chunk: &[BlockRow], list: &[u16], planes: &mut Planes) {
    assert!(list.len() <= CHUNK_ROWS && list.iter().all(|&row| usize::from(row) < chunk.len()), "rows of the chunk");
    let zero = T::load(&[0; WORDS]);
    let (mut ones, mut twos, mut fours, mut eights) = (zero, zero, zero, zero);
    let mut sums = [zero; CHUNK_PLANES];
    // Carries that wait for a second one of their weight.
    let mut waiting = [zero; CHUNK_PLANES];
    let groups = list.as_chunks::<LIST_STEP>().0;
    for (step, rows) in groups.iter().enumerate() {
        // Written out: closures would not be compiled for the level.
        let twos_0 = add(&mut ones, row_of(chunk, rows[0]), row_of(chunk, rows[1]));
        let twos_1 = add(&mut ones, row_of(chunk, rows[2]), row_of(chunk, rows[3]));
        let twos_2 = add(&mut ones, row_of(chunk, rows[4]), row_of(chunk, rows[5]));
        let twos_3 = add(&mut ones, row_of(chunk, rows[6]), row_of(chunk, rows[7]));
        let twos_4 = add(&mut ones, row_of(chunk, rows[8]), row_of(chunk, rows[9]));
        let twos_5 = add(&mut ones, row_of(chunk, rows[10]), row_of(chunk, rows[11]));
        let twos_6 = add(&mut ones, row_of(chunk, rows[12]), row_of(chunk, rows[13]));
        let twos_7 = add(&mut ones, row_of(chunk, rows[14]), row_of(chunk, rows[15]));
        let fours_0 = add(&mut twos, twos_0, twos_1);
        let fours_1 = add(&mut twos, twos_2, twos_3);
        let fours_2 = add(&mut twos, twos_4, twos_5);
        let fours_3 = add(&mut twos, twos_6, twos_7);
        let eights_0 = add(&mut fours, fours_0, fours_1);
        let eights_1 = add(&mut fours, fours_2, fours_3);
        let mut carry = add(&mut eights, eights_0, eights_1);
        let mut weight = 4;
        let mut steps = step;
        while steps & 1 == 1 {
            carry = add(&mut sums[weight], waiting[weight], carry);
            weight += 1;
            steps >>= 1;
        }
        waiting[weight] = carry;
    }
    (sums[0], sums[1], sums[2], sums[3]) = (ones, twos, fours, eights);
    for weight in 4..CHUNK_PLANES {
        if groups.len() >> (weight - 4) & 1 == 1 {
            let mut carry = waiting[weight];
            for sum in &mut sums[weight..] {
                carry = add(sum, carry, zero);
            }
        }
    }
    let mut carry = zero;
    for (weight, plane) in planes.0.iter_mut().enumerate() {
        let mut total = T::load(plane);
        let added = if weight < CHUNK_PLANES { sums[weight] } else { zero };
        carry = add(&mut total, added, carry);
        total.store(plane);
    }
}

/// The lanes of every level: eight words.
#[derive(Clone, Copy)]
struct Words(BlockRow);

impl Lanes for Words {
    #[inline(always)]
    fn load(row: &BlockRow) -> Self {
        Self(*row)
    }

    #[inline(always)]
    fn store(self, row: &mut BlockRow) {
        *row = self.0;
    }

    #[inline(always)]
    fn sum(a: Self, b: Self, c: Self) -> Self {
        let mut sum = [0; WORDS];
        for lane in 0..WORDS {
            sum[lane] = a.0[lane] ^ b.0[lane] ^ c.0[lane];
        }
        Self(sum)
    }

    #[inline(always)]
    fn carry(a: Self, b: Self, c: Self) -> Self {
        let mut carry = [0; WORDS];
        for lane in 0..WORDS {
            carry[lane] = (a.0[lane] & b.0[lane]) | ((a.0[lane] | b.0[lane]) & c.0[lane]);
        }
        Self(carry)
    }
}

#[inline(always)]
fn counts_of(planes: &Planes, counts: &mut [u16; BLOCK]) {
    for (word, counts) in counts.as_chunks_mut::<64>().0.iter_mut().enumerate() {
        let bits: [u64; PLANES] = std::array::from_fn(|plane| planes.0[plane][word]);
        for (column, count) in counts.iter_mut().enumerate() {
            let mut total = 0;
            for (plane, bits) in bits.iter().enumerate() {
                total |= ((bits >> column & 1) as u16) << plane;
            }
            *count = total;
        }
    }
}

#[inline(always)]
fn differing_bits(left: &[u64], right: &[u64]) -> u64 {
    left.iter().zip(right).map(|(a, b)| u64::from((a ^ b).count_ones())).sum()
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m512i, _mm512_loadu_si512, _mm512_mask_add_epi16, _mm512_set1_epi16, _mm512_setzero_si512,
        _mm512_storeu_si512, _mm512_ternarylogic_epi64,
    };

    use super::{BLOCK, BlockRow, Lanes, PLANES, Planes, Words, add_rows_with, counts_of, differing_bits};

    /// A register of 512 bits. Only made by functions that were compiled for AVX-512.
    #[derive(Clone, Copy)]
    struct Register(__m512i);

    impl Lanes for Register {
        #[inline(always)]
        fn load(row: &BlockRow) -> Self {
            // SAFETY: a row has 512 bits; this is inlined into a function compiled for AVX-512.
            Self(unsafe { _mm512_loadu_si512(row.as_ptr().cast()) })
        }

        #[inline(always)]
        fn store(self, row: &mut BlockRow) {
            // SAFETY: as above.
            unsafe { _mm512_storeu_si512(row.as_mut_ptr().cast(), self.0) }
        }

        #[inline(always)]
        fn sum(a: Self, b: Self, c: Self) -> Self {
            // SAFETY: as above. The truth table of a ^ b ^ c.
            Self(unsafe { _mm512_ternarylogic_epi64::<0x96>(a.0, b.0, c.0) })
        }

        #[inline(always)]
        fn carry(a: Self, b: Self, c: Self) -> Self {
            // SAFETY: as above. The truth table of the majority.
            Self(unsafe { _mm512_ternarylogic_epi64::<0xe8>(a.0, b.0, c.0) })
        }
    }

    #[target_feature(enable = "avx512f,avx512vl,avx2")]
    pub fn add_rows_avx512(chunk: &[BlockRow], list: &[u16], planes: &mut Planes) {
        add_rows_with::<Register>(chunk, list, planes);
    }

    #[target_feature(enable = "avx2")]
    pub fn add_rows_avx2(chunk: &[BlockRow], list: &[u16], planes: &mut Planes) {
        add_rows_with::<Words>(chunk, list, planes);
    }

    /// A plane's bits are masks: each adds its weight to 32 counts at once.
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx2")]
    pub fn counts_avx512(planes: &Planes, counts: &mut [u16; BLOCK]) {
        let used = planes.0.iter().rposition(|plane| plane.iter().any(|&word| word != 0)).map_or(0, |last| last + 1);
        for (part, counts) in counts.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let mut total = _mm512_setzero_si512();
            for (plane, bits) in planes.0[..used.min(PLANES)].iter().enumerate() {
                let mask = (bits[part / 2] >> (part % 2 * 32)) as u32;
                total = _mm512_mask_add_epi16(total, mask, total, _mm512_set1_epi16(1i16 << plane));
            }
            // SAFETY: 32 counts have 512 bits.
            unsafe { _mm512_storeu_si512(counts.as_mut_ptr().cast(), total) };
        }
    }

    #[target_feature(enable = "avx2")]
    pub fn counts_avx2(planes: &Planes, counts: &mut [u16; BLOCK]) {
        counts_of(planes, counts);
    }

    #[target_feature(enable = "avx512f,avx512vl,avx512vpopcntdq,avx2")]
    pub fn differing_vpopcntdq(left: &[u64], right: &[u64]) -> u64 {
        differing_bits(left, right)
    }

    #[target_feature(enable = "avx2")]
    pub fn differing_avx2(left: &[u64], right: &[u64]) -> u64 {
        differing_bits(left, right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bits(index: usize, seed: u64) -> u64 {
        let mixed = (index as u64 ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ mixed >> 31
    }

    proptest! {
        #[test]
        fn counts_are_those_of_a_naive_loop_at_every_level(
            sizes in proptest::collection::vec((1usize..=CHUNK_ROWS, 0u64..=8), 1..6), seed in any::<u64>(),
        ) {
            let mut chunks = Vec::new();
            let mut lists = Vec::new();
            let mut naive = [0u32; BLOCK];
            for (which, &(rows, share)) in sizes.iter().enumerate() {
                let mut chunk: Vec<BlockRow> = (0..rows)
                    .map(|row| std::array::from_fn(|word| bits(which * 10_000 + row * 8 + word, seed)))
                    .collect();
                chunk.push([0; WORDS]);
                let mut list: Vec<u16> =
                    (0..rows).filter(|&row| bits(row + 77, seed) % 8 < share).map(|row| row as u16).collect();
                for &row in &list {
                    for (column, count) in naive.iter_mut().enumerate() {
                        *count += (chunk[usize::from(row)][column / 64] >> (column % 64) & 1) as u32;
                    }
                }
                list.resize(list.len().next_multiple_of(LIST_STEP), rows as u16);
                chunks.push(chunk);
                lists.push(list);
            }
            for level in Level::available() {
                let mut planes = Planes::ZERO;
                for (chunk, list) in chunks.iter().zip(&lists) {
                    add_rows(level, chunk, list, &mut planes);
                }
                let mut found = [0; BLOCK];
                counts(level, &planes, &mut found);
                for column in 0..BLOCK {
                    prop_assert_eq!(u32::from(found[column]), naive[column], "{} column {}", level.name(), column);
                }
            }
        }

        #[test]
        fn differing_bits_are_those_of_a_naive_loop(words in 0usize..40, seed in any::<u64>()) {
            let left: Vec<u64> = (0..words).map(|word| bits(word, seed)).collect();
            let right: Vec<u64> = (0..words).map(|word| bits(word + 99, seed)).collect();
            let naive = (0..words * 64)
                .filter(|bit| (left[bit / 64] ^ right[bit / 64]) >> (bit % 64) & 1 == 1)
                .count();
            for level in Level::available() {
                prop_assert_eq!(differing(level, &left, &right), naive as u64, "{}", level.name());
            }
        }
    }

    #[test]
    fn counters_hold_the_most_rows() {
        let chunk: Vec<BlockRow> =
            (0..=CHUNK_ROWS).map(|row| [if row < CHUNK_ROWS { u64::MAX } else { 0 }; WORDS]).collect();
        for level in Level::available() {
            let mut planes = Planes::ZERO;
            let mut left = MOST_ROWS;
            while left > 0 {
                let rows = left.min(CHUNK_ROWS);
                let mut list: Vec<u16> = (0..rows as u16).collect();
                list.resize(rows.next_multiple_of(LIST_STEP), CHUNK_ROWS as u16);
                add_rows(level, &chunk, &list, &mut planes);
                left -= rows;
            }
            let mut found = [0; BLOCK];
            counts(level, &planes, &mut found);
            assert!(found.iter().all(|&count| usize::from(count) == MOST_ROWS), "{}", level.name());
        }
    }
}
