//! K-means as an IVF index trains its coarse quantiser: Lloyd's iterations over a sample of the docs ("Least squares
//! quantization in PCM", 1982; FAISS's `Clustering`).
//!
//! Docs go to their nearest centroid exactly: the engine of exact search finds it among the centroids, ties to the lower
//! cell, and every centroid is a sum in float64 in the order of its docs. So threads and CPU do not show in the cells.

use std::ops::Range;

use rayon::prelude::*;

use crate::compute::error::Result;
use crate::compute::exact::{Demand, Engine, EngineSize, Filter, ScoreParams};
use crate::compute::index::Docs;
use crate::compute::kernels::{self, Level};
use crate::compute::metric::Metric;
use crate::compute::random::Random;
use crate::compute::vectors::VectorFile;
use crate::job::Monitor;

/// Docs of a cell that are trained on, at most: more do not move a centroid much (FAISS's `max_points_per_centroid`).
const DOCS_PER_CELL: usize = 256;
/// Rows that are assigned at once.
const BLOCK: usize = 16_384;
/// How far the two halves of a cell that is split are moved apart, relative (FAISS's `EPS`).
const APART: f32 = 1.0 / 1024.0;

/// Centroids, and how they came to be.
pub(super) struct Trained {
    /// Row-major, cell_count × dim.
    pub centroids: Vec<f32>,
    /// Docs that were trained on.
    pub docs: usize,
    pub iterations: usize,
    /// No doc changed its cell in the last iteration.
    pub has_settled: bool,
}

/// Rows of a file: the first ones, or chosen ones.
#[derive(Clone, Copy)]
pub(super) enum Rows<'a> {
    First(usize),
    Chosen(&'a [u32]),
}

impl Rows<'_> {
    fn len(&self) -> usize {
        match self {
            Self::First(count) => *count,
            Self::Chosen(rows) => rows.len(),
        }
    }

    fn row(&self, place: usize) -> usize {
        match self {
            Self::First(_) => place,
            Self::Chosen(rows) => rows[place] as usize,
        }
    }

    /// Their values, row-major; in `copied` if they do not lie together.
    fn values<'v>(&self, file: &'v VectorFile, places: Range<usize>, copied: &'v mut Vec<f32>) -> &'v [f32] {
        match self {
            Self::First(_) => file.rows_in(places),
            Self::Chosen(rows) => {
                copied.clear();
                rows[places].iter().for_each(|&row| copied.extend_from_slice(file.row(row as usize)));
                copied
            }
        }
    }
}

/// Whether centroids have length 1: FAISS trains so for inner products, and cosine is that of directions.
pub(super) fn is_spherical(metric: Metric) -> bool {
    metric.larger_is_nearer()
}

/// The centroids of `cells` cells, 1 ≤ cells ≤ docs, after at most `iterations` iterations from random docs.
///
/// # Errors
/// Docs that shrank; scores beyond float32; cancelled.
pub(super) fn train(docs: Docs<'_>, cells: usize, iterations: usize, seed: u64, monitor: &Monitor) -> Result<Trained> {
    let (file, metric, dim) = (docs.file, docs.metric, docs.file.dim());
    let mut order = Random::new(seed).order(docs.count);
    let mut centroids = Vec::with_capacity(cells * dim);
    file.check_size()?;
    order[..cells].iter().for_each(|&doc| centroids.extend_from_slice(file.row(doc as usize)));
    if is_spherical(metric) {
        centroids.chunks_exact_mut(dim).for_each(to_length_one);
    }
    let sampled = docs.count > cells.saturating_mul(DOCS_PER_CELL);
    let rows = if sampled {
        order.truncate(cells * DOCS_PER_CELL);
        // The file is read forwards.
        order.sort_unstable();
        Rows::Chosen(&order)
    } else {
        Rows::First(docs.count)
    };
    let mut trained = Trained { centroids, docs: rows.len(), iterations: 0, has_settled: false };
    let pairs = (rows.len() as u64).saturating_mul(cells as u64);
    monitor.begin("training cells", "doc × cell pairs", pairs.saturating_mul(iterations as u64));
    let mut cell_of: Vec<u32> = Vec::new();
    while trained.iterations < iterations {
        monitor.set_detail(format!("iteration {} of at most {iterations}", trained.iterations + 1));
        let nearest = assign(file, rows, &trained.centroids, metric, monitor)?;
        trained.iterations += 1;
        trained.has_settled = nearest == cell_of;
        if trained.has_settled {
            break;
        }
        cell_of = nearest;
        let mut sizes = move_to_means(file, metric, rows, &cell_of, &mut trained.centroids);
        split_into_empty(&mut sizes, &mut trained.centroids, dim, is_spherical(metric));
    }
    Ok(trained)
}

/// The cell of each of `rows`, whose centroid is nearest; ties to the lower cell. `monitor` advances by pairs of rows and
/// cells.
///
/// # Errors
/// A file that shrank; scores beyond float32; cancelled.
pub(super) fn assign(
    file: &VectorFile,
    rows: Rows<'_>,
    centroids: &[f32],
    metric: Metric,
    monitor: &Monitor,
) -> Result<Vec<u32>> {
    let dim = file.dim();
    let quantiser = VectorFile::of_values(centroids, dim, file.path())?;
    let cells = quantiser.rows();
    let threads = rayon::current_num_threads();
    let demand = Demand { dim, num_docs: cells, top_k: 1, queries: BLOCK.min(rows.len()), threads };
    let size = EngineSize::within(ScoreParams::DEFAULT_MEMORY, Filter::Float32, &demand)?;
    // What the engine says of its own beginning is no stage of this work.
    let engine = Engine::new(&quantiser, cells, metric, 1, size, Level::detected(), &[], &monitor.quiet())?;
    let mut copied = Vec::new();
    let mut nearest = Vec::with_capacity(rows.len());
    for first in (0..rows.len()).step_by(BLOCK) {
        file.check_size()?;
        let places = first..(first + BLOCK).min(rows.len());
        let values = rows.values(file, places, &mut copied);
        nearest.extend(engine.top_k(values, |place| rows.row(first + place), monitor)?.docs);
    }
    Ok(nearest)
}

/// Members sorted by group: where each group begins (one more than there are groups), and the members, ascending in each.
pub(super) fn grouped(group_of: &[u32], groups: usize) -> (Vec<usize>, Vec<u32>) {
    let mut starts = vec![0; groups + 1];
    group_of.iter().for_each(|&group| starts[group as usize + 1] += 1);
    (0..groups).for_each(|group| starts[group + 1] += starts[group]);
    let mut next = starts.clone();
    let mut members = vec![0; group_of.len()];
    for (member, &group) in group_of.iter().enumerate() {
        members[next[group as usize]] = member as u32;
        next[group as usize] += 1;
    }
    (starts, members)
}

/// Moves every centroid to the mean of its rows (their direction, if cells are spherical; under cosine each row counts as
/// its direction). Centroids without rows stay. Returns the rows of each.
fn move_to_means(
    file: &VectorFile,
    metric: Metric,
    rows: Rows<'_>,
    cell_of: &[u32],
    centroids: &mut [f32],
) -> Vec<usize> {
    let (dim, level) = (file.dim(), Level::detected());
    let (starts, members) = grouped(cell_of, centroids.len() / dim);
    centroids.par_chunks_mut(dim).enumerate().for_each(|(cell, centroid)| {
        let members = &members[starts[cell]..starts[cell + 1]];
        let mut sums = vec![0.0f64; dim];
        for &place in members {
            let row = file.row(rows.row(place as usize));
            let scale = match metric {
                Metric::Cosine => kernels::dot_f64(level, row, row).sqrt().recip(),
                Metric::Dot | Metric::Euclidean => 1.0,
            };
            sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value) * scale);
        }
        let length = match is_spherical(metric) {
            true => sums.iter().map(|sum| sum * sum).sum::<f64>().sqrt(),
            false => members.len() as f64,
        };
        // Rows that cancel each other out have no direction.
        if length > 0.0 {
            centroid.iter_mut().zip(&sums).for_each(|(value, sum)| *value = (sum / length) as f32);
        }
    });
    starts.windows(2).map(|ends| ends[1] - ends[0]).collect()
}

/// Gives each empty cell half of the largest: both centroids are the same but for a little, with signs that alternate.
fn split_into_empty(sizes: &mut [usize], centroids: &mut [f32], dim: usize, is_spherical: bool) {
    for empty in 0..sizes.len() {
        if sizes[empty] > 0 {
            continue;
        }
        // The first of the largest.
        let largest = (0..sizes.len()).rev().max_by_key(|&cell| sizes[cell]).unwrap_or(empty);
        if sizes[largest] < 2 {
            return;
        }
        let mut one = centroids[largest * dim..(largest + 1) * dim].to_vec();
        let mut other = one.clone();
        for (place, (one, other)) in one.iter_mut().zip(&mut other).enumerate() {
            let apart = if place % 2 == 0 { APART } else { -APART };
            (*one, *other) = (*one * (1.0 + apart), *other * (1.0 - apart));
        }
        if is_spherical {
            to_length_one(&mut one);
            to_length_one(&mut other);
        }
        centroids[largest * dim..(largest + 1) * dim].copy_from_slice(&one);
        centroids[empty * dim..(empty + 1) * dim].copy_from_slice(&other);
        sizes[empty] = sizes[largest] / 2;
        sizes[largest] -= sizes[empty];
    }
}

/// Scales a vector to length 1; one without direction stays.
fn to_length_one(vector: &mut [f32]) {
    let norm = kernels::dot_f64(Level::detected(), vector, vector).sqrt();
    if norm > 0.0 {
        vector.iter_mut().for_each(|value| *value = (f64::from(*value) / norm) as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stand_by_group() {
        let (starts, members) = grouped(&[2, 0, 2, 3, 0], 4);
        assert_eq!((starts, members), (vec![0, 2, 2, 4, 5], vec![1, 4, 0, 2, 3]));
    }

    #[test]
    fn empty_cells_take_half_of_the_largest() {
        let mut sizes = [5, 0, 9, 0];
        let mut centroids = [1.0, 1.0, 7.0, 7.0, 2.0, -2.0, 8.0, 8.0];
        split_into_empty(&mut sizes, &mut centroids, 2, false);
        // 9 → 5 and 4, then the first cell with 5 → 3 and 2.
        assert_eq!(sizes, [3, 4, 5, 2]);
        let up = 1.0 + APART;
        let down = 1.0 - APART;
        assert_eq!(centroids, [up, down, 2.0 * down, -2.0 * up, 2.0 * up, -2.0 * down, down, up]);
        // Nothing to halve.
        let mut sizes = [1, 0];
        split_into_empty(&mut sizes, &mut centroids[..4], 2, false);
        assert_eq!(sizes, [1, 0]);
    }
}
