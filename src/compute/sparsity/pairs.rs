//! Hamming distances between columns: of one with all, of all with all.

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::mask::{Mask, Packed};
use crate::compute::error::Result;
use crate::compute::kernels::overlap::{
    self, BLOCK, BlockRow, CHUNK_ROWS, Chunk, PairPlanes, Planes, RowLists, SEGMENT_CHUNKS,
};
use crate::compute::kernels::{self, Level};
use crate::job::Monitor;

/// Columns that are looked at together, so that a chunk of rows is used while it is near.
const BATCH: usize = 64;

/// Columns in blocks of 512, chunk of rows after chunk of rows.
pub struct Blocks {
    columns: usize,
    chunks: usize,
    rows: Vec<Chunk>,
    /// Set rows of every column, 0 past the last one.
    ones: Vec<[u32; BLOCK]>,
}

impl Blocks {
    /// The columns of a matrix, given as its rows.
    pub fn of(by_row: &Packed, by_column: &Packed) -> Self {
        let columns = by_row.length();
        let (blocks, chunks) = (columns.div_ceil(BLOCK), by_row.count().div_ceil(CHUNK_ROWS));
        let mut rows = vec![[BlockRow::ZERO; CHUNK_ROWS + 1]; blocks * chunks];
        rows.par_chunks_mut(chunks).enumerate().for_each(|(block, rows)| {
            for row in 0..by_row.count() {
                let words = &by_row.line(row)[block * BLOCK / 64..];
                let count = words.len().min(BLOCK / 64);
                rows[row / CHUNK_ROWS][row % CHUNK_ROWS].0[..count].copy_from_slice(&words[..count]);
            }
        });
        let mut ones = vec![[0; BLOCK]; blocks];
        ones.as_flattened_mut()[..columns].par_iter_mut().enumerate().for_each(|(column, ones)| {
            *ones = by_column.ones(column) as u32;
        });
        Self { columns, chunks, rows, ones }
    }

    pub fn of_mask(mask: &Mask) -> Self {
        Self::of(&mask.by_row, &mask.by_column)
    }

    /// The columns named by `chosen`, in that order.
    pub fn of_some(by_column: &Packed, chosen: &[u32]) -> Self {
        let by_column = by_column.in_order(chosen);
        Self::of(&by_column.transposed(), &by_column)
    }

    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Set rows of every column.
    pub fn ones(&self) -> &[u32] {
        &self.ones.as_flattened()[..self.columns]
    }

    fn count(&self) -> usize {
        self.columns.div_ceil(BLOCK)
    }

    /// Columns of a block.
    fn range(&self, block: usize) -> std::ops::Range<usize> {
        block * BLOCK..((block + 1) * BLOCK).min(self.columns)
    }

    /// A chunk and the rows that are wanted after it, those of the next block after the last one.
    fn chunk(&self, block: usize, chunk: usize) -> (&Chunk, &[BlockRow]) {
        let index = block * self.chunks + chunk;
        (&self.rows[index], self.rows.get(index + 1).map_or(&[], |next| next))
    }
}

/// Room for the distances of a batch of columns with a block.
pub struct Scratch {
    level: Level,
    planes: Vec<PairPlanes>,
    carried: Vec<[[u32; BLOCK]; 2]>,
    distances: [u32; BLOCK],
}

impl Scratch {
    pub fn new() -> Self {
        Self { level: Level::detected(), planes: Vec::new(), carried: Vec::new(), distances: [0; BLOCK] }
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

/// Hands the distances of each column of `pairs` with a block to `take`: the index of the column, 2p and 2p + 1 in
/// pair p, the distances.
fn with_block(
    blocks: &Blocks,
    block: usize,
    pairs: &[RowLists],
    scratch: &mut Scratch,
    mut take: impl FnMut(usize, &[u32]),
) {
    let level = scratch.level;
    let segments = blocks.chunks.div_ceil(SEGMENT_CHUNKS);
    scratch.carried.clear();
    if segments > 1 {
        scratch.carried.resize(pairs.len(), [[0; BLOCK]; 2]);
    }
    scratch.planes.resize(pairs.len(), [Planes::ZERO, Planes::ZERO]);
    for segment in 0..segments {
        for chunk in segment * SEGMENT_CHUNKS..((segment + 1) * SEGMENT_CHUNKS).min(blocks.chunks) {
            let (rows, next) = blocks.chunk(block, chunk);
            overlap::add_rows(level, rows, next, pairs, chunk, &mut scratch.planes);
        }
        if segment + 1 < segments {
            let mut counts = [0; BLOCK];
            let all = scratch.planes.as_flattened().iter().zip(scratch.carried.as_flattened_mut());
            for (planes, carried) in all {
                overlap::counts(level, planes, &mut counts);
                carried.iter_mut().zip(counts).for_each(|(carried, count)| *carried += u32::from(count));
            }
        }
    }
    let (ones, used) = (&blocks.ones[block], blocks.range(block).len());
    let columns = pairs.iter().flat_map(RowLists::columns);
    for (index, (column, planes)) in columns.zip(scratch.planes.as_flattened()).enumerate() {
        let carried = scratch.carried.as_flattened().get(index).unwrap_or(&[0; BLOCK]);
        overlap::distances(level, column, planes, carried, ones, &mut scratch.distances);
        take(index, &scratch.distances[..used]);
    }
}

/// Rows in which column `column` of `by_column` differs from every column of `blocks`.
///
/// `distances`: one a column of `blocks`, overwritten.
pub fn distances_to_all(
    blocks: &Blocks,
    by_column: &Packed,
    column: u32,
    scratch: &mut Scratch,
    distances: &mut [u32],
) {
    let lists = [RowLists::of(scratch.level, by_column.line(column as usize), None, by_column.length())];
    for block in 0..blocks.count() {
        let range = blocks.range(block);
        with_block(blocks, block, &lists, scratch, |index, found| {
            if index == 0 {
                distances[range.clone()].copy_from_slice(found);
            }
        });
    }
}

/// Visits every pair of columns once, on all threads: `visit(state, i, j, d)` gets the rows in which column i differs
/// from columns j, j + 1, …; j > i. Each thread has a state of its own; which pairs a state sees is not fixed, so
/// what they are made into must not depend on it.
///
/// # Errors
/// Cancelled.
pub fn for_all_pairs<S: Send>(
    blocks: &Blocks,
    by_column: &Packed,
    make: impl Fn() -> S + Sync,
    visit: impl Fn(&mut S, usize, usize, &[u32]) + Sync,
    monitor: &Monitor,
) -> Result<Vec<S>> {
    let batches = blocks.columns.div_ceil(BATCH);
    let next = AtomicUsize::new(0);
    let worker = |_| {
        let mut state = make();
        let mut scratch = Scratch::new();
        loop {
            let batch = next.fetch_add(1, Ordering::Relaxed);
            if batch >= batches || monitor.is_cancelled() {
                return state;
            }
            let columns = batch * BATCH..((batch + 1) * BATCH).min(blocks.columns);
            let pair_of = |first: usize| {
                let second = (first + 1 < columns.end).then(|| by_column.line(first + 1));
                RowLists::of(scratch.level, by_column.line(first), second, by_column.length())
            };
            let pairs: Vec<RowLists> = columns.clone().step_by(2).map(pair_of).collect();
            for block in columns.start / BLOCK..blocks.count() {
                let range = blocks.range(block);
                with_block(blocks, block, &pairs, &mut scratch, |index, distances| {
                    let column = columns.start + index;
                    let from = range.start.max(column + 1);
                    if column < columns.end && from < range.end {
                        visit(&mut state, column, from, &distances[from - range.start..]);
                    }
                });
                if monitor.is_cancelled() {
                    return state;
                }
            }
            let pairs: usize = columns.map(|column| blocks.columns - column - 1).sum();
            // Whether it was cancelled is asked above.
            monitor.advance(pairs as u64).ok();
        }
    };
    let states = (0..rayon::current_num_threads()).into_par_iter().map(worker).collect();
    monitor.check()?;
    Ok(states)
}

/// Pairs of `columns` columns.
pub fn pair_count(columns: usize) -> u64 {
    columns as u64 * (columns as u64).saturating_sub(1) / 2
}

/// The nearest other columns of every column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nearest {
    k: usize,
    /// k a column, ascending: differing rows in the upper half, the other column in the lower.
    keys: Vec<u64>,
    /// Differing rows of the farthest that is known.
    limits: Vec<u32>,
}

impl Nearest {
    fn new(columns: usize, k: usize) -> Self {
        Self { k, keys: vec![u64::MAX; columns * k], limits: vec![u32::MAX; columns] }
    }

    fn offer(&mut self, column: usize, key: u64) {
        let keys = &mut self.keys[column * self.k..(column + 1) * self.k];
        if keys.last().is_none_or(|&last| key >= last) {
            return;
        }
        // A few keys, and where this one belongs cannot be foreseen: nothing depends on it.
        for place in (1..self.k).rev() {
            keys[place] = keys[place].min(keys[place - 1].max(key));
        }
        keys[0] = keys[0].min(key);
        self.limits[column] = (keys[self.k - 1] >> 32) as u32;
    }

    /// The nearest others of `column` with the rows in which they differ, ascending, ties by lower index.
    pub fn of(&self, column: usize) -> impl Iterator<Item = (u32, u32)> + '_ {
        let keys = &self.keys[column * self.k..(column + 1) * self.k];
        keys.iter().map(|&key| (key as u32, (key >> 32) as u32))
    }
}

/// Orders others by distance, then by index.
fn key_of(distance: u32, other: usize) -> u64 {
    u64::from(distance) << 32 | other as u64
}

/// Counts every distance in `counts`.
fn tally(distances: &[u32], counts: &mut [u64]) {
    let (eights, rest) = distances.as_chunks::<8>();
    for eight in eights {
        // Of known length, so that it is written out: a loop would cost as much as the counting.
        for &distance in eight {
            counts[distance as usize] += 1;
        }
    }
    for &distance in rest {
        counts[distance as usize] += 1;
    }
}

/// What all pairs of a matrix tell: how many differ in how many rows, and who is nearest to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllPairs {
    /// Pairs by differing rows, 0 to D.
    pub counts: Vec<u64>,
    pub nearest: Nearest,
}

impl AllPairs {
    /// Looks at all pairs of columns; of each, the `k` nearest others are kept (fewer where there are fewer).
    ///
    /// # Errors
    /// Cancelled.
    pub fn find(mask: &Mask, blocks: &Blocks, k: usize, monitor: &Monitor) -> Result<Self> {
        let (rows, columns) = (mask.rows(), mask.columns());
        let k = k.min(columns.saturating_sub(1));
        monitor.begin("comparing columns", "pairs", pair_count(columns));
        struct State {
            counts: Vec<u64>,
            nearest: Nearest,
            hits: Vec<u32>,
        }
        let level = Level::detected();
        let make = || State { counts: vec![0; rows + 1], nearest: Nearest::new(columns, k), hits: Vec::new() };
        let visit = |state: &mut State, column: usize, first: usize, distances: &[u32]| {
            tally(distances, &mut state.counts);
            if k == 0 {
                return;
            }
            state.hits.clear();
            let limits = &state.nearest.limits;
            let others = &limits[first..first + distances.len()];
            kernels::within_limits(level, distances, others, limits[column], &mut state.hits);
            for index in 0..state.hits.len() {
                let hit = state.hits[index] as usize;
                let (other, distance) = (first + hit, distances[hit]);
                // Limits are near, keys are not.
                if distance <= state.nearest.limits[column] {
                    state.nearest.offer(column, key_of(distance, other));
                }
                if distance <= state.nearest.limits[other] {
                    state.nearest.offer(other, key_of(distance, column));
                }
            }
        };
        let states = for_all_pairs(blocks, &mask.by_column, make, visit, monitor)?;
        let mut counts = vec![0; rows + 1];
        let mut nearest = Nearest::new(columns, k);
        for state in states {
            counts.iter_mut().zip(&state.counts).for_each(|(all, part)| *all += part);
            for column in 0..columns {
                for key in &state.nearest.keys[column * k..(column + 1) * k] {
                    nearest.offer(column, *key);
                }
            }
        }
        Ok(Self { counts, nearest })
    }

    /// Pairs of columns.
    pub fn pairs(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Mean distance over all pairs, as a share of the rows; `None` of a single column.
    pub fn mean(&self) -> Option<f64> {
        let sum: f64 = self.counts.iter().zip(0u64..).map(|(&count, distance)| count as f64 * distance as f64).sum();
        let rows = self.counts.len() - 1;
        (self.pairs() > 0).then(|| sum / self.pairs() as f64 / rows as f64)
    }

    /// The distances that occur, ascending, as shares of the rows, each with the share of pairs at most as far.
    pub fn cumulative(&self) -> Vec<(f64, f64)> {
        cumulative(&self.counts)
    }
}

/// From pairs by differing rows: the distances that occur, ascending, each with the share of pairs at most as far.
pub fn cumulative(counts: &[u64]) -> Vec<(f64, f64)> {
    let rows = (counts.len() - 1) as f64;
    let total: u64 = counts.iter().sum();
    let mut below = 0;
    let mut curve = Vec::new();
    for (distance, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        below += count;
        curve.push((distance as f64 / rows, below as f64 / total as f64));
    }
    curve
}

#[cfg(test)]
mod tests {
    use super::super::testing::random_mask;
    use super::*;
    use crate::compute::random::Random;
    use proptest::prelude::*;

    fn naive(mask: &Mask, left: usize, right: usize) -> u32 {
        (0..mask.rows()).filter(|&row| mask.by_column.get(left, row) != mask.by_column.get(right, row)).count() as u32
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn all_pairs_are_those_of_a_naive_loop(
            rows in 1usize..900, columns in 1usize..700, percent in 0u32..=100, k in 0usize..18, seed in any::<u64>(),
        ) {
            let mask = random_mask(rows, columns, f64::from(percent) / 100.0, seed);
            let blocks = Blocks::of_mask(&mask);
            let all = AllPairs::find(&mask, &blocks, k, &Monitor::new()).expect("not cancelled");
            let mut counts = vec![0; rows + 1];
            for left in 0..columns {
                for right in left + 1..columns {
                    counts[naive(&mask, left, right) as usize] += 1;
                }
            }
            prop_assert_eq!(&all.counts, &counts);
            let mut random = Random::new(seed);
            for _ in 0..8 {
                let column = random.below(columns as u32) as usize;
                let mut others: Vec<(u32, u32)> = (0..columns)
                    .filter(|&other| other != column)
                    .map(|other| (naive(&mask, column, other), other as u32))
                    .collect();
                others.sort_unstable();
                others.truncate(k);
                let found: Vec<(u32, u32)> = all.nearest.of(column).map(|(other, distance)| (distance, other)).collect();
                prop_assert_eq!(found, others);
                let mut distances = vec![0; columns];
                distances_to_all(&blocks, &mask.by_column, column as u32, &mut Scratch::new(), &mut distances);
                for (other, &distance) in distances.iter().enumerate() {
                    prop_assert_eq!(distance, naive(&mask, column, other));
                }
            }
        }
    }

    #[test]
    fn columns_longer_than_the_counters_are_added_up_in_parts() {
        let rows = SEGMENT_CHUNKS * CHUNK_ROWS * 2 + 5000;
        let mask = random_mask(rows, 5, 0.5, 3);
        let all = AllPairs::find(&mask, &Blocks::of_mask(&mask), 4, &Monitor::new()).expect("not cancelled");
        for left in 0..5 {
            for (right, distance) in all.nearest.of(left) {
                assert_eq!(distance, naive(&mask, left, right as usize));
            }
        }
    }

    #[test]
    fn the_result_does_not_depend_on_threads() {
        let mask = random_mask(700, 1300, 0.4, 9);
        let find = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            pool.install(|| AllPairs::find(&mask, &Blocks::of_mask(&mask), 8, &Monitor::new())).expect("not cancelled")
        };
        assert_eq!(find(1), find(5));
    }
}
