//! Groups of alike columns, sampled or exhaustive, and what each is like.

use rayon::prelude::*;

use super::mask::{Mask, Packed};
use super::pairs::{Blocks, Scratch, cumulative, distances_to_all};
use crate::compute::error::Result;
use crate::compute::kernels::Level;
use crate::compute::kernels::overlap::{BLOCK, differing};
use crate::compute::random::Random;
use crate::job::Monitor;

/// How groups are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Columns drawn without replacement, each with its nearest ones.
    Sampled { samples: usize },
    /// Every column in one group: a column drawn of those left with its nearest ones of those left, until none is.
    Exhaustive,
}

/// A column and those nearest to it, itself among them: ascending distance, ties by lower index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The column that the group was made for.
    pub feature: u32,
    pub columns: Vec<u32>,
}

/// What the D × k bits of a group's columns are like; distances are shares of D.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupMetrics {
    /// Over the whole k × k matrix of distances, its zero diagonal included: (k − 1) / k of `mean_pair_distance`.
    pub mean_pairwise_distance: f64,
    /// Over the pairs; `None` of a single column.
    pub mean_pair_distance: Option<f64>,
    /// Standard deviation over the pairs (divided by their number); `None` of a single column.
    pub std_pair_distance: Option<f64>,
    /// Rows that are all 0, and all 1.
    pub zeros: usize,
    pub ones: usize,
    /// Row patterns that occur more than once, and rows beyond the first of each.
    pub duplicates: usize,
    pub total_dups: usize,
    /// Row patterns that occur.
    pub unique_rows: usize,
    /// Share of weights that are not zero.
    pub density: f64,
}

/// The columns drawn: `samples` of them without replacement, all in random order if there are fewer.
pub fn draw_columns(columns: usize, samples: usize, seed: u64) -> Vec<u32> {
    let mut order = Random::new(seed).order(columns);
    order.truncate(samples);
    order
}

/// Makes the groups of a matrix, `k` columns each; in exhaustive mode the last may be smaller.
///
/// `order`: the columns drawn, or in exhaustive mode all columns in the order in which they are drawn.
///
/// # Errors
/// Cancelled.
pub fn find_groups(
    by_column: &Packed,
    blocks: &Blocks,
    mode: Mode,
    order: &[u32],
    k: usize,
    monitor: &Monitor,
) -> Result<Vec<Group>> {
    match mode {
        Mode::Sampled { .. } => sampled_groups(by_column, blocks, order, k, monitor),
        Mode::Exhaustive => exhaustive_groups(by_column, order, k, monitor),
    }
}

fn sampled_groups(
    by_column: &Packed,
    blocks: &Blocks,
    order: &[u32],
    k: usize,
    monitor: &Monitor,
) -> Result<Vec<Group>> {
    order
        .par_iter()
        .map_init(
            || (Scratch::new(), vec![0; blocks.columns()], Vec::new()),
            |(scratch, distances, keys), &feature| {
                monitor.check()?;
                distances_to_all(blocks, by_column, feature, scratch, distances);
                keys.clear();
                keys.extend(distances.iter().zip(0u64..).map(|(&distance, column)| u64::from(distance) << 32 | column));
                Ok(Group { feature, columns: nearest_with(feature, keys, k) })
            },
        )
        .collect()
}

/// The columns of the `k` lowest keys, in order; `feature`, whose distance is 0, is one of them even if `k` copies of
/// it have lower indices.
fn nearest_with(feature: u32, keys: &mut Vec<u64>, k: usize) -> Vec<u32> {
    if k < keys.len() {
        keys.select_nth_unstable(k - 1);
        keys.truncate(k);
    }
    keys.sort_unstable();
    let mut columns: Vec<u32> = keys.iter().map(|&key| key as u32).collect();
    if !columns.contains(&feature) {
        columns.pop();
        columns.push(feature);
    }
    columns
}

fn exhaustive_groups(by_column: &Packed, order: &[u32], k: usize, monitor: &Monitor) -> Result<Vec<Group>> {
    let mut groups = Vec::with_capacity(order.len().div_ceil(k));
    let mut left = Left::new(by_column);
    for &feature in order {
        if left.is_used[feature as usize] {
            continue;
        }
        monitor.check()?;
        let columns = left.take_nearest(feature, k);
        groups.push(Group { feature, columns });
    }
    Ok(groups)
}

/// The columns in an order in which like ones stand together: from the densest on, always the nearest that is left.
///
/// # Errors
/// Cancelled.
pub fn order_by_similarity(lines: &Packed, monitor: &Monitor) -> Result<Vec<u32>> {
    let densest = (0..lines.count()).max_by_key(|&line| (lines.ones(line), std::cmp::Reverse(line)));
    let mut left = Left::new(lines);
    let mut order = Vec::with_capacity(lines.count());
    let mut next = densest.map(|line| line as u32);
    while let Some(line) = next {
        monitor.advance(1)?;
        order.push(line);
        left.use_up(line);
        next = left.nearest(line);
    }
    Ok(order)
}

/// Columns that are not used yet.
struct Left<'a> {
    by_column: &'a Packed,
    blocks: Blocks,
    /// What the columns of the blocks are called.
    names: Vec<u32>,
    is_used: Vec<bool>,
    used_in_blocks: usize,
    scratch: Scratch,
    distances: Vec<u32>,
    keys: Vec<u64>,
}

impl<'a> Left<'a> {
    fn new(by_column: &'a Packed) -> Self {
        let names: Vec<u32> = (0..by_column.count() as u32).collect();
        Self {
            by_column,
            blocks: Blocks::of(&by_column.transposed(), by_column),
            names,
            is_used: vec![false; by_column.count()],
            used_in_blocks: 0,
            scratch: Scratch::new(),
            distances: Vec::new(),
            keys: Vec::new(),
        }
    }

    /// Uses up `feature` and the k − 1 nearest to it.
    fn take_nearest(&mut self, feature: u32, k: usize) -> Vec<u32> {
        self.find_keys(feature);
        let mut keys = std::mem::take(&mut self.keys);
        let columns = nearest_with(feature, &mut keys, k);
        self.keys = keys;
        for &column in &columns {
            self.use_up(column);
        }
        columns
    }

    fn use_up(&mut self, column: u32) {
        self.is_used[column as usize] = true;
        self.used_in_blocks += 1;
    }

    /// The nearest one that is left.
    fn nearest(&mut self, feature: u32) -> Option<u32> {
        self.find_keys(feature);
        self.keys.iter().min().map(|&key| key as u32)
    }

    /// Distances of `feature` to all that are left.
    fn find_keys(&mut self, feature: u32) {
        // Smaller blocks where that saves at least a third of the work.
        if self.used_in_blocks > BLOCK && self.used_in_blocks * 3 > self.names.len() {
            self.names.retain(|&name| !self.is_used[name as usize]);
            self.blocks = Blocks::of_some(self.by_column, &self.names);
            self.used_in_blocks = 0;
        }
        self.distances.resize(self.names.len(), 0);
        distances_to_all(&self.blocks, self.by_column, feature, &mut self.scratch, &mut self.distances);
        self.keys.clear();
        let all = self.distances.iter().zip(&self.names).filter(|(_, name)| !self.is_used[**name as usize]);
        self.keys.extend(all.map(|(&distance, &name)| u64::from(distance) << 32 | u64::from(name)));
    }
}

/// Rows in which the columns of a group differ, pair by pair: (0, 1), (0, 2), …, (1, 2), ….
pub fn pair_distances(by_column: &Packed, columns: &[u32]) -> Vec<u32> {
    let level = Level::detected();
    let mut distances = Vec::with_capacity(columns.len() * columns.len().saturating_sub(1) / 2);
    for (index, &left) in columns.iter().enumerate() {
        let left = by_column.line(left as usize);
        distances.extend(
            columns[index + 1..].iter().map(|&right| differing(level, left, by_column.line(right as usize)) as u32),
        );
    }
    distances
}

/// Mean over the whole matrix of distances of a group, as a share of the rows.
pub fn mean_pairwise_distance(by_column: &Packed, columns: &[u32]) -> f64 {
    let sum: u64 = pair_distances(by_column, columns).iter().map(|&distance| u64::from(distance)).sum();
    2.0 * sum as f64 / (columns.len() * columns.len()) as f64 / by_column.length() as f64
}

/// The distances within a group that occur, ascending, each with the share of pairs at most as far.
pub fn group_cumulative(by_column: &Packed, columns: &[u32]) -> Vec<(f64, f64)> {
    let mut counts = vec![0; by_column.length() + 1];
    for distance in pair_distances(by_column, columns) {
        counts[distance as usize] += 1;
    }
    cumulative(&counts)
}

impl GroupMetrics {
    /// Measures a group of columns.
    pub fn of(mask: &Mask, columns: &[u32]) -> Self {
        let (rows, k) = (mask.rows(), columns.len());
        let distances = pair_distances(&mask.by_column, columns);
        let pairs = distances.len() as f64;
        let share = |distance: u32| f64::from(distance) / rows as f64;
        let sum: u64 = distances.iter().map(|&distance| u64::from(distance)).sum();
        let mean = (pairs > 0.0).then(|| sum as f64 / pairs / rows as f64);
        let std = mean.map(|mean| {
            (distances.iter().map(|&distance| (share(distance) - mean).powi(2)).sum::<f64>() / pairs).sqrt()
        });
        let set: usize = columns.iter().map(|&column| mask.by_column.ones(column as usize)).sum();
        let Patterns { zeros, ones, duplicates, unique } = Patterns::of(mask, columns);
        Self {
            mean_pairwise_distance: 2.0 * sum as f64 / (k * k) as f64 / rows as f64,
            mean_pair_distance: mean,
            std_pair_distance: std,
            zeros,
            ones,
            duplicates,
            total_dups: rows - unique,
            unique_rows: unique,
            density: set as f64 / (rows * k) as f64,
        }
    }
}

/// Rows of a group by what they are like.
struct Patterns {
    zeros: usize,
    ones: usize,
    duplicates: usize,
    unique: usize,
}

impl Patterns {
    fn of(mask: &Mask, columns: &[u32]) -> Self {
        let rows = mask.by_column.in_order(columns).transposed();
        let mut lines: Vec<&[u64]> = (0..rows.count()).map(|row| rows.line(row)).collect();
        lines.sort_unstable();
        let mut patterns = Self { zeros: 0, ones: 0, duplicates: 0, unique: 0 };
        for same in lines.chunk_by(|a, b| a == b) {
            let set: usize = same[0].iter().map(|word| word.count_ones() as usize).sum();
            patterns.zeros += if set == 0 { same.len() } else { 0 };
            patterns.ones += if set == columns.len() { same.len() } else { 0 };
            patterns.duplicates += usize::from(same.len() > 1);
            patterns.unique += 1;
        }
        patterns
    }
}
