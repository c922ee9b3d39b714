//! In how many rows two columns of bits are both set, for columns with 512 others at once.
//!
//! The rows of 512 columns are vectors of bits. Those rows in which a column is set are added up in
//! bit-sliced counters: three bits of like weight become a sum and a carry (Harley and Seal; see Muła, Kurz and
//! Lemire, "Faster population counts using AVX2 instructions", 2018), two instructions of AVX-512 for 512 columns.
//! XOR and population count look at every row of every pair; this looks only at the rows that count, half of
//! them at worst, since the rows in which the column is not set tell as much. Columns come in pairs: rows that both
//! of them have are added up once for both.
//!
//! The scalar body is plain logic on words, which compilers turn into the vectors of AVX2 and NEON.
//!
//! [`differing`] is XOR and population count, for pairs that are not neighbours of each other.

#[cfg(target_arch = "x86_64")]
mod x86;

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

impl Planes {
    pub const ZERO: Self = Self([BlockRow::ZERO; PLANES]);
}

/// Chunks whose rows the counters hold.
pub const SEGMENT_CHUNKS: usize = ((1 << PLANES) - 1) / CHUNK_ROWS;

/// The counters of a pair of columns.
pub type PairPlanes = [Planes; 2];

/// The rows of a pair of columns that are added up, of each column those that are set, or those that are not if these
/// are fewer. They stand in three classes, of the first column only, of the second only, of both, so that no row is
/// added twice: three quarters of the work at half density. A row is where it begins in its chunk, in bytes.
pub struct RowLists {
    rows: Vec<u16>,
    /// Where the classes of each chunk end in `rows`.
    ends: Vec<[u32; CLASSES]>,
    columns: [ListedColumn; 2],
}

const CLASSES: usize = 3;

/// What is known of a column whose rows are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedColumn {
    /// Set rows.
    pub ones: u32,
    /// Whether the rows that are not set are listed.
    pub is_inverted: bool,
    /// Planes of counters that its listed rows can reach.
    planes: usize,
}

impl ListedColumn {
    fn of(column: &[u64], rows: usize) -> Self {
        let ones: usize = column.iter().map(|word| word.count_ones() as usize).sum();
        let is_inverted = ones > rows / 2;
        let listed = if is_inverted { rows - ones } else { ones };
        let planes = listed.checked_ilog2().map_or(0, |last| last as usize + 1).min(PLANES);
        Self { ones: ones as u32, is_inverted, planes }
    }
}

impl RowLists {
    /// `first`, `second`: bits of `rows` rows, those beyond are 0. Without a second column all lists but that of the
    /// first are empty.
    pub fn of(level: Level, first: &[u64], second: Option<&[u64]>, rows: usize) -> Self {
        let columns =
            [ListedColumn::of(first, rows), second.map_or(NO_COLUMN, |second| ListedColumn::of(second, rows))];
        let chunks = rows.div_ceil(CHUNK_ROWS);
        // Places are written sixteen at a time, and lists are padded.
        let mut lists = vec![0; rows + STEP * (CLASSES * chunks + 1)];
        let mut ends = Vec::with_capacity(chunks);
        let mut end = 0;
        for start in (0..rows).step_by(CHUNK_ROWS) {
            let mut classes = [[0; CHUNK_WORDS]; CLASSES];
            for word in 0..CHUNK_WORDS.min((rows - start).div_ceil(64)) {
                let left = rows - start - word * 64;
                let inside = if left < 64 { (1 << left) - 1 } else { u64::MAX };
                let bits = |column: usize, words: &[u64]| {
                    let bits = words[start / 64 + word];
                    if columns[column].is_inverted { !bits & inside } else { bits }
                };
                let (first, second) = (bits(0, first), second.map_or(0, |second| bits(1, second)));
                classes[0][word] = first & !second;
                classes[1][word] = second & !first;
                classes[2][word] = first & second;
            }
            let class_ends = classes.map(|class| {
                let start = end;
                end = list_places(level, &class, &mut lists, end);
                let padded = start + (end - start).next_multiple_of(STEP);
                lists[end..padded].fill(place_of(CHUNK_ROWS));
                end = padded;
                end as u32
            });
            ends.push(class_ends);
        }
        Self { rows: lists, ends, columns }
    }

    pub fn columns(&self) -> [ListedColumn; 2] {
        self.columns
    }

    /// The classes of chunk `index`.
    #[inline(always)]
    fn classes(&self, index: usize) -> [&[u16]; CLASSES] {
        let start = if index == 0 { 0 } else { self.ends[index - 1][CLASSES - 1] };
        let [first, second, both] = self.ends[index];
        let class = |start: u32, end: u32| &self.rows[start as usize..end as usize];
        [class(start, first), class(first, second), class(second, both)]
    }
}

/// Stands where a pair has no second column.
const NO_COLUMN: ListedColumn = ListedColumn { ones: 0, is_inverted: false, planes: 0 };

const CHUNK_WORDS: usize = CHUNK_ROWS / 64;

/// Where row `row` of a chunk begins, in bytes.
const fn place_of(row: usize) -> u16 {
    (row * size_of::<BlockRow>()) as u16
}

// Places fit, and chunks begin at whole words.
const _: () = assert!(CHUNK_ROWS * size_of::<BlockRow>() <= u16::MAX as usize && CHUNK_ROWS.is_multiple_of(64));

/// Writes the places of the rows that are set in `class` from `end` on; returns where they end. What follows within
/// sixteen places may be overwritten.
fn list_places(level: Level, class: &[u64; CHUNK_WORDS], places: &mut [u16], end: usize) -> usize {
    #[cfg(target_arch = "x86_64")]
    if level.min(Level::best()) == Level::Avx512 {
        // SAFETY: `Level::best` found the features on this CPU.
        return unsafe { x86::list_places_avx512(class, places, end) };
    }
    let _ = level;
    let mut end = end;
    for (word, &bits) in class.iter().enumerate() {
        let mut bits = bits;
        while bits != 0 {
            places[end] = place_of(word * 64 + bits.trailing_zeros() as usize);
            end += 1;
            bits &= bits - 1;
        }
    }
    end
}

/// Adds those rows of chunk `index`, which is `chunk`, that count for pairs of columns to their counters. These hold
/// `SEGMENT_CHUNKS` chunks: chunk 0, `SEGMENT_CHUNKS`, 2 · `SEGMENT_CHUNKS`, … overwrites them. Meanwhile `next` is
/// brought near, what is wanted next.
///
/// `planes`: one a pair.
///
/// # Panics
/// A chunk that the columns do not have; no pair, or not as many counters.
pub fn add_rows(
    level: Level,
    chunk: &Chunk,
    next: &[BlockRow],
    pairs: &[RowLists],
    index: usize,
    planes: &mut [PairPlanes],
) {
    assert_eq!(pairs.len(), planes.len(), "counters for every pair");
    #[cfg(target_arch = "x86_64")]
    match level.min(Level::best()) {
        // SAFETY: `Level::best` found the features on this CPU.
        Level::Avx512 => return unsafe { x86::add_rows_avx512(chunk, next, pairs, index, planes) },
        // SAFETY: as above.
        Level::Avx2 => return unsafe { x86::add_rows_avx2(chunk, next, pairs, index, planes) },
        Level::Scalar => {}
    }
    let _ = level;
    add_rows_with::<Words>(chunk, next, pairs, index, planes);
}

/// Reads the counters of a column: `counts`, one for each of the block, overwritten.
pub fn counts(level: Level, planes: &Planes, counts: &mut [u16; BLOCK]) {
    #[cfg(target_arch = "x86_64")]
    match level.min(Level::best()) {
        // SAFETY: `Level::best` found the features on this CPU.
        Level::Avx512 | Level::Avx2 => return unsafe { x86::counts_avx2(planes, counts) },
        Level::Scalar => {}
    }
    let _ = level;
    counts_of(planes, counts);
}

/// Rows in which `column` differs from those of a block.
///
/// `planes`: its counters. `carried`: what they counted before they were overwritten. `ones`: set rows of the columns
/// of the block. `distances`: overwritten.
pub fn distances(
    level: Level,
    column: ListedColumn,
    planes: &Planes,
    carried: &[u32; BLOCK],
    ones: &[u32; BLOCK],
    distances: &mut [u32; BLOCK],
) {
    #[cfg(target_arch = "x86_64")]
    match level.min(Level::best()) {
        // SAFETY: the features were found on this CPU.
        Level::Avx512 if is_x86_feature_detected!("avx512bw") => {
            return unsafe { x86::distances_avx512(column, planes, carried, ones, distances) };
        }
        // SAFETY: `Level::best` found the features on this CPU.
        Level::Avx512 | Level::Avx2 => {
            return unsafe { x86::distances_avx2(column, planes, carried, ones, distances) };
        }
        Level::Scalar => {}
    }
    let _ = level;
    distances_of(column, planes, carried, ones, distances);
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
/// Bits of counters that carries are added to one by one, of weight 64 and more.
const HIGH_PLANES: usize = CHUNK_PLANES - 6;

/// Rows that a chunk counter of seven bits holds.
const FEW_ROWS: usize = 127;

/// Adds rows of a chunk up: bits of weight 1 to 256.
#[inline(always)]
fn sum_of<T: Lanes>(chunk: &Chunk, list: &[u16]) -> [T; CHUNK_PLANES] {
    let zero = T::load(&BlockRow::ZERO);
    let (mut ones, mut twos, mut fours, mut eights) = (zero, zero, zero, zero);
    let (mut sixteens, mut thirty_twos) = (zero, zero);
    let mut high = [zero; HIGH_PLANES];
    let is_few = list.len() <= FEW_ROWS;
    let (pairs, rest) = list.as_chunks::<STEP>().0.as_chunks::<2>();
    for rows in pairs {
        let left = add_sixteen(chunk, &rows[0], [&mut ones, &mut twos, &mut fours, &mut eights]);
        let right = add_sixteen(chunk, &rows[1], [&mut ones, &mut twos, &mut fours, &mut eights]);
        let carry = add(&mut sixteens, left, right);
        let carry = add(&mut thirty_twos, carry, zero);
        add_high(&mut high, carry, is_few);
    }
    for rows in rest {
        let carry = add_sixteen(chunk, rows, [&mut ones, &mut twos, &mut fours, &mut eights]);
        let carry = add(&mut sixteens, carry, zero);
        let carry = add(&mut thirty_twos, carry, zero);
        add_high(&mut high, carry, is_few);
    }
    [ones, twos, fours, eights, sixteens, thirty_twos, high[0], high[1], high[2]]
}

/// Adds a carry of weight 64; with `is_few` nothing can overflow.
#[inline(always)]
fn add_high<T: Lanes>(high: &mut [T; HIGH_PLANES], carry: T, is_few: bool) {
    let zero = T::load(&BlockRow::ZERO);
    if is_few {
        high[0] = T::sum(high[0], carry, zero);
        return;
    }
    let mut carry = carry;
    for counter in high {
        carry = add(counter, carry, zero);
    }
}

/// What counters held before a chunk.
#[derive(Debug, Clone, Copy)]
enum Held {
    /// What is of no use any more and is overwritten.
    Leftovers,
    /// Sums that stay in the lowest planes when the chunk is added.
    Low { planes: usize },
}

/// Adds two sums to counters.
#[inline(always)]
fn add_sums<T: Lanes>(planes: &mut Planes, left: &[T; CHUNK_PLANES], right: &[T; CHUNK_PLANES], held: Held) {
    let zero = T::load(&BlockRow::ZERO);
    let (low, high) = planes.0.split_at_mut(CHUNK_PLANES);
    let Held::Low { planes: used } = held else {
        let mut carry = zero;
        for ((plane, &left), &right) in low.iter_mut().zip(left).zip(right) {
            let mut total = left;
            carry = add(&mut total, right, carry);
            total.store(plane);
        }
        for plane in high {
            carry.store(plane);
            carry = zero;
        }
        return;
    };
    let (mut first, mut second) = (zero, zero);
    for ((plane, &left), &right) in low.iter_mut().zip(left).zip(right) {
        let mut total = T::load(plane);
        let next = add(&mut total, left, right);
        second = add(&mut total, first, second);
        first = next;
        total.store(plane);
    }
    for plane in &mut high[..used - CHUNK_PLANES] {
        let mut total = T::load(plane);
        first = add(&mut total, first, second);
        second = zero;
        total.store(plane);
    }
}

#[inline(always)]
fn add_rows_with<T: Lanes>(
    chunk: &Chunk,
    next: &[BlockRow],
    pairs: &[RowLists],
    index: usize,
    planes: &mut [PairPlanes],
) {
    let held = match index % SEGMENT_CHUNKS {
        0 => Held::Leftovers,
        chunks => Held::Low { planes: ((chunks + 1) * CHUNK_ROWS).ilog2() as usize + 1 },
    };
    // Each pair asks for a part of what is wanted next, so that it comes while this chunk is added up.
    let mut asked = next.chunks(CHUNK_ROWS.div_ceil(pairs.len()));
    for (pair, [first_planes, second_planes]) in pairs.iter().zip(planes) {
        super::prefetch(asked.next().unwrap_or_default());
        let [first, second, both] = pair.classes(index);
        let both: [T; CHUNK_PLANES] = sum_of(chunk, both);
        add_sums(first_planes, &sum_of(chunk, first), &both, held);
        add_sums(second_planes, &sum_of(chunk, second), &both, held);
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
fn distances_of(
    column: ListedColumn,
    planes: &Planes,
    carried: &[u32; BLOCK],
    ones: &[u32; BLOCK],
    distances: &mut [u32; BLOCK],
) {
    let mut counts = [0; BLOCK];
    counts_of(planes, &mut counts);
    let all = counts.iter().zip(carried).zip(ones).zip(distances);
    if column.is_inverted {
        // Rows in which only the other is set were counted: own − (ones − count) + count.
        for (((&count, &carried), &ones), distance) in all {
            *distance = column.ones.wrapping_sub(ones).wrapping_add(2 * (u32::from(count) + carried));
        }
    } else {
        for (((&count, &carried), &ones), distance) in all {
            *distance = column.ones.wrapping_add(ones).wrapping_sub(2 * (u32::from(count) + carried));
        }
    }
}

#[inline(always)]
fn differing_bits(left: &[u64], right: &[u64]) -> u64 {
    left.iter().zip(right).map(|(a, b)| u64::from((a ^ b).count_ones())).sum()
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
            rows in 1usize..CHUNK_ROWS * 4, percent in 0u64..=100, percent_of_second in 0u64..=100, seed in any::<u64>(),
        ) {
            let mut chunks = vec![[BlockRow::ZERO; CHUNK_ROWS + 1]; rows.div_ceil(CHUNK_ROWS)];
            let mut pair = [vec![0u64; rows.div_ceil(64)], vec![0u64; rows.div_ceil(64)]];
            for row in 0..rows {
                chunks[row / CHUNK_ROWS][row % CHUNK_ROWS] =
                    BlockRow(std::array::from_fn(|word| bits(row * WORDS + word, seed)));
                for (column, percent) in pair.iter_mut().zip([percent, percent_of_second]) {
                    let shift = percent + 77;
                    column[row / 64] |= u64::from(bits(row + shift as usize, seed) % 100 < percent) << (row % 64);
                }
            }
            let naive = |column: &[u64], is_inverted: bool, other: usize| {
                let is_counted = |row: &usize| (column[row / 64] >> (row % 64) & 1 == 1) != is_inverted;
                let is_set = |row: &usize| chunks[row / CHUNK_ROWS][row % CHUNK_ROWS].0[other / 64] >> (other % 64) & 1 == 1;
                (0..rows).filter(is_counted).filter(is_set).count()
            };
            let ones: [u32; BLOCK] = std::array::from_fn(|other| {
                chunks.as_flattened().iter().filter(|row| row.0[other / 64] >> (other % 64) & 1 == 1).count() as u32
            });
            for level in Level::available() {
                for second in [Some(&pair[1][..]), None] {
                    let lists = [RowLists::of(level, &pair[0], second, rows)];
                    // What counters held does not matter.
                    let mut planes = [[const { Planes([BlockRow([u64::MAX; WORDS]); PLANES]) }; 2]];
                    for (index, chunk) in chunks.iter().enumerate() {
                        let next = chunks.get(index + 1).map_or(&[][..], |next| next);
                        add_rows(level, chunk, next, &lists, index, &mut planes);
                    }
                    let bits = [Some(&pair[0][..]), second];
                    for ((planes, column), bits) in planes[0].iter().zip(lists[0].columns()).zip(bits) {
                        let (mut found, mut apart) = ([0; BLOCK], [0; BLOCK]);
                        counts(level, planes, &mut found);
                        // As if one more row had been counted before.
                        distances(level, column, planes, &[1; BLOCK], &ones, &mut apart);
                        for (other, (&count, &apart)) in found.iter().zip(&apart).enumerate() {
                            let expected = bits.map_or(0, |bits| naive(bits, column.is_inverted, other));
                            prop_assert_eq!(usize::from(count), expected, "{} column {}", level.name(), other);
                            let in_both = bits.map_or(0, |bits| naive(bits, false, other)) as u32;
                            let differing = column.ones + ones[other] - 2 * in_both;
                            let carried = if column.is_inverted { differing + 2 } else { differing.wrapping_sub(2) };
                            prop_assert_eq!(apart, carried, "{} column {}", level.name(), other);
                        }
                    }
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
    fn the_last_segment_may_be_full() {
        // The first segment counts nothing, the second one every row: the highest plane is used.
        let half = SEGMENT_CHUNKS * CHUNK_ROWS;
        let column: Vec<u64> = [vec![0; half / 64], vec![u64::MAX; half / 64]].concat();
        let mut chunk = [BlockRow([u64::MAX; WORDS]); CHUNK_ROWS + 1];
        chunk[CHUNK_ROWS] = BlockRow::ZERO;
        for level in Level::available() {
            let lists = [RowLists::of(level, &column, None, 2 * half)];
            let mut planes = [[Planes::ZERO, Planes::ZERO]];
            for index in 0..2 * SEGMENT_CHUNKS {
                add_rows(level, &chunk, &[], &lists, index, &mut planes);
            }
            let (mut counted, mut apart) = ([0; BLOCK], [0; BLOCK]);
            counts(level, &planes[0][0], &mut counted);
            assert!(half > 1 << 15 && counted.iter().all(|&count| usize::from(count) == half), "{}", level.name());
            distances(level, lists[0].columns()[0], &planes[0][0], &[0; BLOCK], &[2 * half as u32; BLOCK], &mut apart);
            assert!(apart.iter().all(|&apart| apart as usize == half), "{}", level.name());
        }
    }

    #[test]
    fn counters_hold_a_whole_segment() {
        // Half of the rows are set, so that these are the ones that are added up; the other column is its complement.
        let rows = SEGMENT_CHUNKS * CHUNK_ROWS;
        let column = vec![0x5555_5555_5555_5555; rows / 64];
        let mut chunk = [BlockRow([u64::MAX; WORDS]); CHUNK_ROWS + 1];
        chunk[CHUNK_ROWS] = BlockRow::ZERO;
        for level in Level::available() {
            for second in [&column, &vec![0xaaaa_aaaa_aaaa_aaaa; rows / 64]] {
                let lists = [RowLists::of(level, &column, Some(second), rows)];
                assert!(
                    lists[0].columns().iter().all(|column| !column.is_inverted && column.ones as usize == rows / 2)
                );
                let mut planes = [[Planes::ZERO, Planes::ZERO]];
                for index in 0..SEGMENT_CHUNKS {
                    add_rows(level, &chunk, &chunk, &lists, index, &mut planes);
                }
                for planes in &planes[0] {
                    let mut found = [0; BLOCK];
                    counts(level, planes, &mut found);
                    assert!(found.iter().all(|&count| usize::from(count) == rows / 2), "{}", level.name());
                }
            }
        }
    }
}
