//! The leading principal axes of a sample, of which some may be taken.

use std::sync::Arc;

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par, Side};
use rayon::prelude::*;

use super::{Axes, CodedAxes, Turn, spread};
use crate::compute::kernels::int8::Dot;
use crate::compute::kernels::{self, Level};
use crate::compute::random::Random;

/// Iterations towards the axes.
const ITERATIONS: usize = 2;
/// Axes that leave out so many times what they may are not made better.
const HOPELESS: f64 = 3.0;
/// Neither are those that leave out so many times less.
const GOOD: f64 = 4.0;
/// Squares that are spread over so many times more axes than are wanted cannot be held by these.
const SPREAD: f64 = 1.5;
/// Rows by which this is judged.
const SPREAD_ROWS: usize = 128;
/// What is added to all eigenvalues alike, as a share of their mean; eigenvectors stay.
const RIDGE: f32 = 1e-5;

/// Nearly orthonormal, the one with the largest share of the squares first.
#[derive(Debug)]
pub struct Leading {
    dim: usize,
    /// count × dim, axis by axis.
    matrix: Vec<f32>,
}

impl Leading {
    /// The leading `most` axes of `sample` at most, row-major, count × `dim`, and the share of the sample's squares that
    /// they leave out. By orthogonal iteration from a random start (Halko, Martinsson, Tropp, "Finding structure with
    /// randomness", 2011), so they are nearly the best ones, at a small part of the time; `None` where they cannot be found, or
    /// leave out more than `allowed`.
    pub fn of(sample: &[f32], dim: usize, most: usize, allowed: f64, level: Level) -> Option<(Self, f64)> {
        let rows = sample.len() / dim;
        let most = most.min(dim).min(rows);
        if allowed < 1.0 && spread_of(sample, dim, level) > SPREAD * most as f64 {
            return None;
        }
        let sample = MatRef::from_row_major_slice(sample, rows, dim);
        let total: f64 = (0..rows).map(|row| f64::from(sample.row(row).squared_norm_l2())).sum();
        let mut random = Random::new(0x6178_6573);
        // Uniform numbers are as good a start as normal ones.
        let mut span = Mat::from_fn(dim, most, |_, _| (random.bits() >> 40) as f32 / (1u32 << 23) as f32 - 1.0);
        let left_out = |seen: &Mat<f32>| 1.0 - f64::from(seen.squared_norm_l2()) / total.max(f64::MIN_POSITIVE);
        let mut seen = multiply(sample, span.as_ref());
        let mut share = f64::INFINITY;
        for iteration in 1..=ITERATIONS {
            span = multiply(sample.transpose(), seen.as_ref()).qr().compute_thin_Q();
            seen = multiply(sample, span.as_ref());
            share = left_out(&seen);
            // What comes of the start is nearly the best already.
            if share <= allowed / GOOD || share.is_nan() || share > allowed * HOPELESS && iteration < ITERATIONS {
                break;
            }
        }
        if share.is_nan() || share > allowed {
            return None;
        }
        let mut within = multiply(seen.transpose(), seen.as_ref());
        // Where the sample has fewer directions than there are axes, iterations towards eigenvectors would not end.
        let trace: f32 = (0..most).map(|axis| within[(axis, axis)]).sum();
        (0..most).for_each(|axis| within[(axis, axis)] += RIDGE * trace / most as f32);
        // Along the axes that the span itself has; eigenvalues come in ascending order.
        let eigen = within.self_adjoint_eigen(Side::Lower).ok()?;
        let axes = multiply(span.as_ref(), eigen.U());
        let matrix: Vec<f32> = (0..most)
            .rev()
            .flat_map(|axis| (0..dim).map(move |row| (axis, row)))
            .map(|(axis, row)| axes[(row, axis)])
            .collect();
        Some((Self { dim, matrix }, share.max(0.0)))
    }

    /// Axes.
    pub fn count(&self) -> usize {
        self.matrix.len() / self.dim
    }

    /// Coordinates of `rows`, row-major, along all axes.
    pub fn apply(&self, rows: &[f32]) -> Vec<f32> {
        let axes = MatRef::from_row_major_slice(&self.matrix, self.count(), self.dim);
        columns_of_product(axes, MatRef::from_column_major_slice(rows, self.dim, rows.len() / self.dim))
    }

    /// The first `count` axes. `None` where they are far from orthonormal.
    pub fn first(&self, count: usize, level: Level) -> Option<Turn> {
        Axes::new(self.spread(count), self.dim).map(|axes| Turn::Leading { axes: Arc::new(axes.packed(level)) })
    }

    /// The first `count` axes as codes. `None` where they are far from orthonormal.
    pub fn first_coded(&self, count: usize, level: Level, dot: Dot) -> Option<Turn> {
        CodedAxes::new(&self.spread(count), self.dim, level, dot).map(|axes| Turn::Coded { axes: Arc::new(axes) })
    }

    /// The first `count` axes, spread among themselves.
    fn spread(&self, count: usize) -> Vec<f32> {
        let mut axes = self.matrix[..count.min(self.count()) * self.dim].to_vec();
        spread(&mut axes, self.dim);
        axes
    }
}

/// Over how many axes the squares of `rows` are spread: (Σ λ)² / Σ λ² of their second moments, estimated from products of some of
/// them. Where p axes hold all but a share ε of the squares it is at most p / (1 − ε)² (Cauchy–Schwarz).
fn spread_of(rows: &[f32], dim: usize, level: Level) -> f64 {
    let rows: Vec<&[f32]> = rows.chunks_exact(dim).take(SPREAD_ROWS).collect();
    let square = |index: usize| kernels::dot_f64(level, rows[index], rows[index]);
    let products = |index: usize| -> f64 {
        rows[..index].iter().map(|other| kernels::dot_f64(level, rows[index], other).powi(2)).sum()
    };
    // Added in order, whoever comes first.
    let sums: Vec<[f64; 2]> = (0..rows.len()).into_par_iter().map(|index| [square(index), products(index)]).collect();
    let [squares, fourths, products] = sums.iter().fold([0.0; 3], |total, &[square, products]| {
        [total[0] + square, total[1] + square * square, total[2] + products]
    });
    // Both over pairs of different rows, so that a single long one says nothing.
    (squares * squares - fourths) / (2.0 * products)
}

/// left · right, on all cores; the same on any number of them.
fn multiply(left: MatRef<'_, f32>, right: MatRef<'_, f32>) -> Mat<f32> {
    MatRef::from_column_major_slice(&columns_of_product(left, right), left.nrows(), right.ncols()).to_owned()
}

/// The same, column by column.
pub(super) fn columns_of_product(left: MatRef<'_, f32>, right: MatRef<'_, f32>) -> Vec<f32> {
    const COLUMNS: usize = 64;
    let (rows, columns) = (left.nrows(), right.ncols());
    let mut product = vec![0.0f32; rows * columns];
    product.par_chunks_mut((rows * COLUMNS).max(1)).enumerate().for_each(|(index, part)| {
        let count = part.len() / rows;
        let out = MatMut::from_column_major_slice_mut(part, rows, count);
        matmul(out, Accum::Replace, left, right.subcols(index * COLUMNS, count), 1.0f32, Par::Seq);
    });
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Most dimensions are zero in all docs, so that there are more axes than directions.
    #[test]
    fn axes_are_found_where_the_sample_has_fewer_directions() {
        let (dim, rows) = (768, 600);
        let mut random = Random::new(5);
        let mut sample = vec![0.0f32; rows * dim];
        for row in sample.chunks_exact_mut(dim) {
            row.iter_mut()
                .step_by(37)
                .for_each(|value| *value = (random.bits() >> 40) as f32 / (1u32 << 23) as f32 - 1.0);
        }
        let (axes, left_out) = Leading::of(&sample, dim, 176, 0.04, Level::detected()).expect("axes");
        assert!(left_out < 1e-5, "{left_out}");
        let turned = axes.apply(&sample);
        let squares = |values: &[f32]| values.iter().map(|value| f64::from(value * value)).sum::<f64>();
        let first: f64 = turned.chunks_exact(axes.count()).map(|row| squares(&row[..21])).sum();
        assert!((first / squares(&sample) - 1.0).abs() < 1e-4, "the first axes hold everything");
        assert!(axes.first_coded(32, Level::detected(), Dot::within(Level::detected())).is_some());
        assert!(axes.first(32, Level::detected()).is_some());
    }
}
