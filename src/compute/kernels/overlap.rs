//! In how many rows two columns of bits are both set, for one column with 512 others at once.
//!
//! The rows of 512 columns are vectors of bits. Those rows in which the one column is set are added up in
//! bit-sliced counters: three bits of like weight become a sum and a carry (Harley and Seal; see Muła, Kurz and
//! Lemire, "Faster population counts using AVX2 instructions", 2018), two instructions of AVX-512 for 512 columns.
//! XOR and population count look at every row of every pair; this looks only at the rows that count, half of
//! them at worst, since the rows in which the column is not set tell as much.
//!
//! The scalar body is plain logic on words, which compilers turn into the vectors of AVX2 and NEON.
//!
//! [`differing`] is XOR and population count, for pairs that are not neighbours of each other.

use super::Level;

/// Columns of a block.
pub const BLOCK: usize = 512;
const WORDS: usize = BLOCK / 64;

/// A row of a block: a bit a column. A line of the caches, so that none is read twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(align(64))]
pub struct BlockRow(pub [u64; WORDS]);

impl BlockRow {
    pub const ZERO: Self = Self([0; WORDS]);
}

/// Rows that are added up together; they and their row of zeros stay in the nearest cache.
pub const CHUNK_ROWS: usize = 384;

/// The rows of a chunk, and one of zeros.
pub type Chunk = [BlockRow; CHUNK_ROWS + 1];

/// Places of a chunk are padded to a multiple of this with the row of zeros.
const STEP: usize = 16;

/// Bits of a counter: sums below 2¹⁶.
const PLANES: usize = 16;

/// Counters of 512 columns, bit by bit: plane p holds the bits of weight 2^p.
#[derive(Debug, Clone)]
pub struct Planes([BlockRow; PLANES]);

/// Rows that fit the counters.
pub const MOST_ROWS: usize = (1 << PLANES) - 1;

impl Planes {
    pub const ZERO: Self = Self([BlockRow::ZERO; PLANES]);
}

/// Where the rows of a column that are added up begin in their chunks: those that are set, or those that are not if they are fewer.
pub struct RowLists {
    rows: Vec<u16>,
    /// Where the list of each chunk ends.
    ends: Vec<usize>,
    is_inverted: bool,
    ones: u32,
}

impl RowLists {
    /// `column`: bits of `rows` rows.
    pub fn of(column: &[u64], rows: usize) -> Self {
        let ones: usize = column.iter().map(|word| word.count_ones() as usize).sum();
        let is_inverted = ones > rows / 2;
        let mut lists = Self { rows: Vec::with_capacity(ones), ends: Vec::new(), is_inverted, ones: ones as u32 };
        for first in (0..rows).step_by(CHUNK_ROWS) {
            let end = (first + CHUNK_ROWS).min(rows);
            let words = first / 64..end.div_ceil(64);
            for word in words {
                let mut bits = if is_inverted { !column[word] } else { column[word] };
                if end < (word + 1) * 64 {
                    bits &= (1 << (end - word * 64)) - 1;
                }
                while bits != 0 {
                    lists.rows.push(place_of(word * 64 - first + bits.trailing_zeros() as usize));
                    bits &= bits - 1;
                }
            }
            let start = lists.ends.last().copied().unwrap_or(0);
            let padded = (lists.rows.len() - start).next_multiple_of(STEP);
            lists.rows.resize(start + padded, place_of(CHUNK_ROWS));
            lists.ends.push(lists.rows.len());
        }
        lists
    }

    /// Set rows of the column.
    pub fn ones(&self) -> u32 {
        self.ones
    }

    /// Whether it is the rows that are not set.
    pub fn is_inverted(&self) -> bool {
        self.is_inverted
    }

    fn chunk(&self, chunk: usize) -> &[u16] {
        let start = if chunk == 0 { 0 } else { self.ends[chunk - 1] };
        &self.rows[start..self.ends[chunk]]
    }
}

/// Where row `row` of a chunk begins, in bytes.
const fn place_of(row: usize) -> u16 {
    (row * size_of::<BlockRow>()) as u16
}

// Places fit, and chunks begin at whole words.
const _: () = assert!(CHUNK_ROWS * size_of::<BlockRow>() <= u16::MAX as usize && CHUNK_ROWS.is_multiple_of(64));

/// Adds the rows of chunk `index` of a column's rows, which are `chunk`, to the counters. The sums must stay below 2¹⁶.
///
/// # Panics
/// A chunk that the column does not have.
pub fn add_rows(level: Level, chunk: &Chunk, rows: &RowLists, index: usize, planes: &mut Planes) {
    let list = rows.chunk(index);
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
    /// The bit of weight 2 of a + b + c, where `sum` is their bit of weight 1: told by it, c need not be kept.
    fn carry(a: Self, b: Self, sum: Self) -> Self;
}

/// Adds two bits to `sum`; what it overflows is returned.
#[inline(always)]
fn add<T: Lanes>(sum: &mut T, a: T, b: T) -> T {
    *sum = T::sum(*sum, a, b);
    T::carry(a, b, *sum)
}

/// The row of a chunk that begins at byte `place`.
#[inline(always)]
fn row_of<T: Lanes>(chunk: &Chunk, place: u16) -> T {
    // SAFETY: places come from `RowLists`, which only makes those of rows 0 to CHUNK_ROWS, and a chunk has these.
    T::load(unsafe { &*chunk.as_ptr().byte_add(usize::from(place)) })
}

/// Adds sixteen rows to the counters of weight 1 to 8; what they overflow is returned.
#[inline(always)]
fn add_sixteen<T: Lanes>(chunk: &Chunk, rows: &[u16; STEP], [ones, twos, fours, eights]: [&mut T; 4]) -> T {
    // Written out: closures would not be compiled for the level.
    let twos_0 = add(ones, row_of(chunk, rows[0]), row_of(chunk, rows[1]));
    let twos_1 = add(ones, row_of(chunk, rows[2]), row_of(chunk, rows[3]));
    let fours_0 = add(twos, twos_0, twos_1);
    let twos_2 = add(ones, row_of(chunk, rows[4]), row_of(chunk, rows[5]));
    let twos_3 = add(ones, row_of(chunk, rows[6]), row_of(chunk, rows[7]));
    let fours_1 = add(twos, twos_2, twos_3);
    let eights_0 = add(fours, fours_0, fours_1);
    let twos_4 = add(ones, row_of(chunk, rows[8]), row_of(chunk, rows[9]));
    let twos_5 = add(ones, row_of(chunk, rows[10]), row_of(chunk, rows[11]));
    let fours_2 = add(twos, twos_4, twos_5);
    let twos_6 = add(ones, row_of(chunk, rows[12]), row_of(chunk, rows[13]));
    let twos_7 = add(ones, row_of(chunk, rows[14]), row_of(chunk, rows[15]));
    let fours_3 = add(twos, twos_6, twos_7);
    let eights_1 = add(fours, fours_2, fours_3);
    add(eights, eights_0, eights_1)
}

/// Counters of a chunk: 384 needs nine bits.
const CHUNK_PLANES: usize = 9;

#[inline(always)]
fn add_rows_with<T: Lanes>(chunk: &Chunk, list: &[u16], planes: &mut Planes) {
    let zero = T::load(&BlockRow::ZERO);
    let (mut ones, mut twos, mut fours, mut eights) = (zero, zero, zero, zero);
    let (mut sixteens, mut thirty_twos) = (zero, zero);
    // Counters of weight 64 and more: a chunk has at most six of the like.
    let mut high = [zero; CHUNK_PLANES - 6];
    let (quads, rest) = list.as_chunks::<STEP>().0.as_chunks::<4>();
    for rows in quads {
        let first = add_sixteen(chunk, &rows[0], [&mut ones, &mut twos, &mut fours, &mut eights]);
        let second = add_sixteen(chunk, &rows[1], [&mut ones, &mut twos, &mut fours, &mut eights]);
        let left = add(&mut sixteens, first, second);
        let third = add_sixteen(chunk, &rows[2], [&mut ones, &mut twos, &mut fours, &mut eights]);
        let fourth = add_sixteen(chunk, &rows[3], [&mut ones, &mut twos, &mut fours, &mut eights]);
        let right = add(&mut sixteens, third, fourth);
        let mut carry = add(&mut thirty_twos, left, right);
        for counter in &mut high {
            carry = add(counter, carry, zero);
        }
    }
    for rows in rest {
        let carry = add_sixteen(chunk, rows, [&mut ones, &mut twos, &mut fours, &mut eights]);
        let mut carry = add(&mut sixteens, carry, zero);
        carry = add(&mut thirty_twos, carry, zero);
        for counter in &mut high {
            carry = add(counter, carry, zero);
        }
    }
    let sums = [ones, twos, fours, eights, sixteens, thirty_twos, high[0], high[1], high[2]];
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
        let mut sum = a.0;
        for ((sum, b), c) in sum.0.iter_mut().zip(b.0.0).zip(c.0.0) {
            *sum ^= b ^ c;
        }
        Self(sum)
    }

    #[inline(always)]
    fn carry(a: Self, b: Self, sum: Self) -> Self {
        let mut carry = a.0;
        for ((carry, b), sum) in carry.0.iter_mut().zip(b.0.0).zip(sum.0.0) {
            *carry = (*carry & b) | ((*carry ^ b) & !sum);
        }
        Self(carry)
    }
}

#[inline(always)]
fn counts_of(planes: &Planes, counts: &mut [u16; BLOCK]) {
    for (word, counts) in counts.as_chunks_mut::<64>().0.iter_mut().enumerate() {
        let bits: [u64; PLANES] = std::array::from_fn(|plane| planes.0[plane].0[word]);
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
        __m512i, _mm512_load_si512, _mm512_mask_add_epi16, _mm512_set1_epi16, _mm512_setzero_si512, _mm512_store_si512,
        _mm512_storeu_si512, _mm512_ternarylogic_epi64,
    };

    use super::{BLOCK, BlockRow, Chunk, Lanes, PLANES, Planes, Words, add_rows_with, counts_of, differing_bits};

    /// A register of 512 bits. Only made by functions that were compiled for AVX-512.
    #[derive(Clone, Copy)]
    struct Register(__m512i);

    impl Lanes for Register {
        #[inline(always)]
        fn load(row: &BlockRow) -> Self {
            // SAFETY: a row has 512 bits and is aligned to them; this is inlined into a function compiled for AVX-512.
            Self(unsafe { _mm512_load_si512(row.0.as_ptr().cast()) })
        }

        #[inline(always)]
        fn store(self, row: &mut BlockRow) {
            // SAFETY: as above.
            unsafe { _mm512_store_si512(row.0.as_mut_ptr().cast(), self.0) }
        }

        #[inline(always)]
        fn sum(a: Self, b: Self, c: Self) -> Self {
            // SAFETY: as above. The truth table of a ^ b ^ c.
            Self(unsafe { _mm512_ternarylogic_epi64::<0x96>(a.0, b.0, c.0) })
        }

        #[inline(always)]
        fn carry(a: Self, b: Self, sum: Self) -> Self {
            // SAFETY: as above. The truth table of (a & b) | ((a ^ b) & !sum).
            Self(unsafe { _mm512_ternarylogic_epi64::<0xd4>(a.0, b.0, sum.0) })
        }
    }

    #[target_feature(enable = "avx512f,avx512vl,avx2")]
    pub fn add_rows_avx512(chunk: &Chunk, list: &[u16], planes: &mut Planes) {
        add_rows_with::<Register>(chunk, list, planes);
    }

    #[target_feature(enable = "avx2")]
    pub fn add_rows_avx2(chunk: &Chunk, list: &[u16], planes: &mut Planes) {
        add_rows_with::<Words>(chunk, list, planes);
    }

    /// A plane's bits are masks: each adds its weight to 32 counts at once.
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx2")]
    pub fn counts_avx512(planes: &Planes, counts: &mut [u16; BLOCK]) {
        let used = planes.0.iter().rposition(|plane| plane.0.iter().any(|&word| word != 0)).map_or(0, |last| last + 1);
        for (part, counts) in counts.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let mut total = _mm512_setzero_si512();
            for (plane, bits) in planes.0[..used.min(PLANES)].iter().enumerate() {
                let mask = (bits.0[part / 2] >> (part % 2 * 32)) as u32;
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
            rows in 1usize..CHUNK_ROWS * 4, percent in 0u64..=100, seed in any::<u64>(),
        ) {
            let mut chunks = vec![[BlockRow::ZERO; CHUNK_ROWS + 1]; rows.div_ceil(CHUNK_ROWS)];
            let mut column = vec![0u64; rows.div_ceil(64)];
            for row in 0..rows {
                chunks[row / CHUNK_ROWS][row % CHUNK_ROWS] =
                    BlockRow(std::array::from_fn(|word| bits(row * WORDS + word, seed)));
                column[row / 64] |= u64::from(bits(row + 77, seed) % 100 < percent) << (row % 64);
            }
            let lists = RowLists::of(&column, rows);
            let naive = |other: usize| {
                let is_counted = |row: &usize| (column[row / 64] >> (row % 64) & 1 == 1) != lists.is_inverted();
                let is_set = |row: &usize| chunks[row / CHUNK_ROWS][row % CHUNK_ROWS].0[other / 64] >> (other % 64) & 1 == 1;
                (0..rows).filter(is_counted).filter(is_set).count()
            };
            for level in Level::available() {
                let mut planes = Planes::ZERO;
                for (index, chunk) in chunks.iter().enumerate() {
                    add_rows(level, chunk, &lists, index, &mut planes);
                }
                let mut found = [0; BLOCK];
                counts(level, &planes, &mut found);
                for (other, &count) in found.iter().enumerate() {
                    prop_assert_eq!(usize::from(count), naive(other), "{} column {}", level.name(), other);
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
        // Half of the rows are set, so that these are the ones that are added up.
        let rows = MOST_ROWS * 2;
        let mut column = vec![0x5555_5555_5555_5555; rows.div_ceil(64)];
        if let Some(last) = column.last_mut() {
            *last &= u64::MAX >> (64 - rows % 64);
        }
        let lists = RowLists::of(&column, rows);
        assert!(!lists.is_inverted());
        let mut chunk = [BlockRow([u64::MAX; WORDS]); CHUNK_ROWS + 1];
        chunk[CHUNK_ROWS] = BlockRow::ZERO;
        for level in Level::available() {
            let mut planes = Planes::ZERO;
            for index in 0..rows.div_ceil(CHUNK_ROWS) {
                add_rows(level, &chunk, &lists, index, &mut planes);
            }
            let mut found = [0; BLOCK];
            counts(level, &planes, &mut found);
            assert!(found.iter().all(|&count| usize::from(count) == MOST_ROWS), "{}", level.name());
        }
    }
}
