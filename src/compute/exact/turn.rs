//! Turning vectors before they are coded, so that few bits say more. A turn keeps every product, up to
//! rounding that is bounded here.
//!
//! [`Turn::Hadamard`] spreads outlier dimensions over all others: signs and a fast Walsh–Hadamard
//! transform, twice, over blocks whose sizes are powers of two (dims are rarely one). It is orthogonal
//! by construction. [`Turn::Principal`] puts the directions in which docs differ most first; how far
//! its rounded matrix is from orthogonal is measured. [`Turn::Leading`] keeps the first of them alone and
//! bounds what they leave out; [`Turn::Coded`] does so with axes whose components are int8 codes.

mod coded;
mod leading;

use std::sync::Arc;

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par, Side};

pub use coded::{CodedAxes, Member};
pub use leading::Leading;

use super::bounds::UNIT_F32;
use crate::compute::kernels::fused::PackedQueries;
use crate::compute::kernels::{self, Level};

/// What is added to all eigenvalues alike, as a share of their mean; eigenvectors stay.
const RIDGE: f64 = 1e-12;

/// What is done to docs and queries alike.
#[derive(Debug, Clone, Default)]
pub enum Turn {
    #[default]
    None,
    Hadamard {
        dim: usize,
    },
    /// The leading `spread_at` axes are spread among themselves, and so are the others: a large first
    /// axis would otherwise cost the codes of all others their precision. 0 to leave them alone.
    Principal {
        axes: Arc<Axes>,
        spread_at: usize,
    },
    /// Coordinates along some axes only, spread among themselves.
    Leading {
        axes: Arc<Axes>,
    },
    /// The same by int8 products of codes of docs with codes of the axes.
    Coded {
        axes: Arc<CodedAxes>,
    },
}

/// Axes, by default the principal ones, the one with the largest variance first.
#[derive(Debug)]
pub struct Axes {
    dim: usize,
    /// Axes.
    count: usize,
    /// count × dim, axis by axis.
    matrix: Vec<f32>,
    /// ‖P Pᵀ − I‖ at most, for the axes P.
    defect: f64,
    /// The same matrix as kernels take it; empty where they do not.
    packed: PackedQueries,
}

impl Axes {
    /// `matrix`: count × `dim`. `None` where they are far from orthonormal.
    fn new(matrix: Vec<f32>, dim: usize) -> Option<Self> {
        let count = matrix.len() / dim;
        let rounded = Mat::from_fn(count, dim, |axis, row| f64::from(matrix[axis * dim + row]));
        let mut product = Mat::<f64>::zeros(count, count);
        matmul(product.as_mut(), Accum::Replace, rounded.as_ref(), rounded.transpose(), 1.0, Par::Seq);
        let squares = (0..count).flat_map(|row| (0..count).map(move |column| (row, column))).map(|(row, column)| {
            let identity = if row == column { 1.0 } else { 0.0 };
            (product[(row, column)] - identity).powi(2)
        });
        // The Frobenius norm bounds the spectral one; its own float64 rounding is far below 1e-9.
        let defect = squares.sum::<f64>().sqrt() * 1.001 + 1e-9;
        (defect < 0.01).then(|| Self { dim, count, matrix, defect, packed: PackedQueries::default() })
    }

    /// Ready for [`Self::turn_docs`], where there is a kernel for it.
    fn packed(mut self, level: Level) -> Self {
        if kernels::multiplies_rows(level) {
            self.packed.pack_evenly(&self.matrix, self.dim);
        }
        self
    }

    /// Axes.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Coordinates of up to eight docs, as [`kernels::products_of_rows`].
    pub fn turn_docs(&self, level: Level, docs: &[&[f32]], next: &[&[f32]], turned: &mut [f32]) {
        kernels::products_of_rows(level, &self.packed, docs, next, turned);
    }
}

/// The products of `rows`, row-major, with every row of `matrix`, row-major, both of `dim`.
fn project(matrix: &[f32], dim: usize, rows: &[f32], turned: &mut Vec<f32>) {
    let (axes, count) = (matrix.len() / dim, rows.len() / dim);
    turned.resize(count * axes, 0.0);
    // A column is a vector: turned = P · rows.
    let out = MatMut::from_column_major_slice_mut(turned.as_mut_slice(), axes, count);
    let matrix = MatRef::from_row_major_slice(matrix, axes, dim);
    let rows = MatRef::from_column_major_slice(rows, dim, count);
    matmul(out, Accum::Replace, matrix, rows, 1.0f32, Par::Seq);
}

impl Turn {
    /// The axes of `sample`, row-major, count × `dim`: eigenvectors of its second moments (products, not
    /// covariances, are what must be kept). `None` where they cannot be found.
    pub fn principal(sample: &[f32], dim: usize) -> Option<Self> {
        let rows = sample.len() / dim;
        let sample = Mat::from_fn(rows, dim, |row, column| f64::from(sample[row * dim + column]));
        let mut moments = Mat::<f64>::zeros(dim, dim);
        matmul(moments.as_mut(), Accum::Replace, sample.transpose(), sample.as_ref(), 1.0, Par::Seq);
        // As in `leading`: where docs have fewer directions than dimensions, iterations would not end.
        let trace: f64 = (0..dim).map(|axis| moments[(axis, axis)]).sum();
        (0..dim).for_each(|axis| moments[(axis, axis)] += RIDGE * trace / dim as f64);
        let eigen = moments.self_adjoint_eigen(Side::Lower).ok()?;
        // Eigenvalues come in ascending order.
        let axes = eigen.U();
        let matrix: Vec<f32> =
            (0..dim).rev().flat_map(|axis| (0..dim).map(move |row| axes[(row, axis)] as f32)).collect();
        Axes::new(matrix, dim).map(|axes| Self::Principal { axes: Arc::new(axes), spread_at: 0 })
    }

    /// Dimensions of turned vectors of `dim`.
    pub fn kept_dim(&self, dim: usize) -> usize {
        match self {
            Self::Leading { axes } => axes.count,
            Self::Coded { axes } => axes.count(),
            Self::None | Self::Hadamard { .. } | Self::Principal { .. } => dim,
        }
    }

    /// A bound on the length of what the axes leave out of a vector of length ‖x‖ ≤ `norm` (by a share of 10⁻⁷ more at most), from
    /// its turned values; 0 where nothing is left out. With S = I − PᵀP a product loses qᵀSd, and xᵀSx = ‖x‖² − ‖Px‖²; the
    /// negative part of S, which rounded axes have, is at most the defect. Of coded axes: for queries; docs see
    /// [`CodedAxes::left_out_of_codes`].
    pub fn left_out(&self, turned: &[f32], norm: f64, level: Level) -> f64 {
        let axes = match self {
            Self::None | Self::Hadamard { .. } | Self::Principal { .. } => return 0.0,
            Self::Coded { axes } => return axes.left_out(turned, norm, level),
            Self::Leading { axes } => axes,
        };
        let kept = (kernels::dot_f64(level, turned, turned).sqrt() * (1.0 - 1e-9) - self.error() * norm).max(0.0);
        let rest = norm * norm * (1.0 + 1e-6 + axes.defect) - kept * kept;
        rest.max(0.0).sqrt() * (1.0 + 1e-9)
    }

    /// The same, but with the first `prefix` dimensions spread among themselves and the others too.
    pub fn spread_at(self, prefix: usize) -> Self {
        match self {
            Self::Principal { axes, .. } => Self::Principal { axes, spread_at: prefix },
            other => other,
        }
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::None => "vectors as they are",
            Self::Hadamard { .. } => "vectors rotated (signs and Hadamard), so that outlier dimensions spread",
            Self::Principal { .. } => "vectors along their principal axes",
            Self::Leading { .. } => "vectors along leading principal axes alone, turned in float32",
            Self::Coded { .. } => "vectors along leading principal axes alone, turned by int8 products",
        }
    }

    /// Turns `rows`, row-major, count × dim, into `turned`; `false` if there is nothing to do. Along coded axes: queries; docs are
    /// turned by [`CodedAxes::turn_codes`].
    pub fn apply(&self, rows: &[f32], turned: &mut Vec<f32>) -> bool {
        match self {
            Self::None => return false,
            Self::Hadamard { dim } => {
                turned.clear();
                turned.extend_from_slice(rows);
                turned.chunks_exact_mut(*dim).for_each(|vector| spread(vector, 1));
            }
            Self::Leading { axes } => project(&axes.matrix, axes.dim, rows, turned),
            Self::Coded { axes } => axes.turn_queries(rows, turned),
            Self::Principal { axes, spread_at } => {
                let dim = axes.dim;
                project(&axes.matrix, dim, rows, turned);
                if *spread_at > 0 {
                    for vector in turned.chunks_exact_mut(dim) {
                        let (first, others) = vector.split_at_mut((*spread_at).min(dim));
                        spread(first, 1);
                        spread(others, 1);
                    }
                }
            }
        }
        true
    }

    /// ‖computed − exact‖ / ‖x‖ at most; along coded axes: of queries.
    pub fn error(&self) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Hadamard { dim } => spread_error(*dim),
            // γ of a sum of dim products in any order, times ‖P‖ of Frobenius, which is the root of how many axes there are.
            Self::Principal { axes, .. } | Self::Leading { axes } => {
                let (terms, frobenius) = (axes.dim as f64, (axes.count as f64).sqrt());
                1.01 * (terms * UNIT_F32 / (1.0 - terms * UNIT_F32) * frobenius + spread_error(axes.dim))
            }
            Self::Coded { axes } => axes.error(),
        }
    }

    /// |Tq·Td − q·d| / (‖q‖‖d‖) at most, for the exact turn; for leading axes beside what they leave out.
    pub fn product_error(&self) -> f64 {
        match self {
            Self::None | Self::Hadamard { .. } | Self::Coded { .. } => 0.0,
            Self::Principal { axes, .. } | Self::Leading { axes } => axes.defect,
        }
    }

    /// By what share of its length a vector gets longer at most, by the exact turn.
    pub fn stretch(&self) -> f64 {
        match self {
            Self::Coded { axes } => axes.stretch(),
            _ => self.product_error(),
        }
    }
}

/// What spreading `dim` values rounds, as a share of their norm: each stage and each scaling rounds every
/// value once, and keeps the norm.
fn spread_error(dim: usize) -> f64 {
    2.0 * (f64::from(dim.ilog2()) + 4.0) * UNIT_F32
}

/// Signs and transforms, with blocks laid from the start and then from the end, so that blocks mix.
///
/// `values`: each is `width` of them, which are spread alike: 1 for a vector, the dimensions for rows of a matrix.
fn spread(values: &mut [f32], width: usize) {
    for from_end in [false, true] {
        for (index, value) in values.chunks_exact_mut(width).enumerate() {
            if is_negative(index as u64 + 1 + (u64::from(from_end) << 32)) {
                value.iter_mut().for_each(|value| *value = -*value);
            }
        }
        let mut rest = &mut *values;
        while !rest.is_empty() {
            let size = width << (rest.len() / width).ilog2();
            let block;
            (block, rest) = if from_end {
                let (rest, block) = rest.split_at_mut(rest.len() - size);
                (block, rest)
            } else {
                rest.split_at_mut(size)
            };
            walsh_hadamard(block, width);
        }
    }
}

/// A sign that looks random: a bit of the finaliser of splitmix64 (Steele, Lea, Flood 2014).
fn is_negative(place: u64) -> bool {
    let mut hash = place.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (hash ^ (hash >> 31)) & 1 == 1
}

/// The orthonormal Walsh–Hadamard transform of a block of as many values as a power of two, each `width` of them.
fn walsh_hadamard(block: &mut [f32], width: usize) {
    let mut half = width;
    while half < block.len() {
        for pair in block.chunks_exact_mut(2 * half) {
            let (low, high) = pair.split_at_mut(half);
            for (a, b) in low.iter_mut().zip(high) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
    let scale = (1.0 / ((block.len() / width) as f64).sqrt()) as f32;
    block.iter_mut().for_each(|value| *value *= scale);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::kernels::scalar::dot_f64;
    use proptest::prelude::*;

    fn values(seed: u64, count: usize) -> Vec<f32> {
        let mut state = seed | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn products_stay_within_the_bounds(dim in 1usize..200, seed in any::<u64>(), scale in 0.0f32..1000.0) {
            let mut rows = values(seed, 30 * dim);
            rows.chunks_exact_mut(dim).for_each(|row| row[0] *= scale);
            let norm = |row: &[f32]| dot_f64(row, row).sqrt();
            let axes = Turn::principal(&rows, dim).expect("axes");
            let turns = [Turn::None, Turn::Hadamard { dim }, axes.clone(), axes.spread_at(dim * 2 / 3)];
            for turn in turns {
                let mut turned = Vec::new();
                if !turn.apply(&rows, &mut turned) {
                    turned.clone_from(&rows);
                }
                for (a, b) in [(0, 1), (2, 3), (4, 4)] {
                    let vector = |rows: &[f32], at: usize| rows[at * dim..(at + 1) * dim].to_vec();
                    let product = dot_f64(&vector(&rows, a), &vector(&rows, b));
                    let turned = dot_f64(&vector(&turned, a), &vector(&turned, b));
                    let norms = norm(&vector(&rows, a)) * norm(&vector(&rows, b));
                    let bound = (2.1 * turn.error() + turn.product_error()) * norms + 1e-12;
                    prop_assert!((product - turned).abs() <= bound, "{product} {turned} {bound} {}", turn.name());
                }
            }
        }
    }

    #[test]
    fn outliers_are_spread() {
        for dim in [7usize, 100, 383, 384, 1024] {
            let mut vector = vec![0.0f32; dim];
            vector[dim / 2] = 1.0;
            spread(&mut vector, 1);
            let largest = vector.iter().fold(0.0f32, |high, value| high.max(value.abs()));
            assert!(f64::from(largest) < 6.0 / (dim as f64).sqrt(), "{dim}: {largest}");
        }
    }

    #[test]
    fn rows_are_spread_as_their_columns() {
        let width = 5;
        for count in [1usize, 2, 7, 48, 176] {
            let mut rows = values(count as u64, count * width);
            let column =
                |rows: &[f32], place: usize| rows.iter().skip(place).step_by(width).copied().collect::<Vec<f32>>();
            let mut columns: Vec<Vec<f32>> = (0..width).map(|place| column(&rows, place)).collect();
            columns.iter_mut().for_each(|values| spread(values, 1));
            spread(&mut rows, width);
            assert!((0..width).all(|place| column(&rows, place) == columns[place]), "{count}");
        }
    }

    #[test]
    fn the_first_axes_hold_the_most() {
        let dim = 40;
        let mut rows = values(5, 300 * dim);
        rows.chunks_exact_mut(dim).for_each(|row| row[17..20].iter_mut().for_each(|value| *value *= 50.0));
        let turn = Turn::principal(&rows, dim).expect("axes");
        let mut turned = Vec::new();
        assert!(turn.apply(&rows, &mut turned));
        let energy = |range: std::ops::Range<usize>| -> f64 {
            turned.chunks_exact(dim).map(|row| dot_f64(&row[range.clone()], &row[range.clone()])).sum()
        };
        assert!(energy(0..3) > 100.0 * energy(3..dim));
    }
}
