//! Axes whose components are int8 codes, so that docs are turned by int8 products: four times as fast as by float32.
//!
//! Any matrix V will do, as long as queries know it. With G = VVᵀ, z = G⁻¹Vq and P = VᵀG⁻¹V, the projection onto what the rows
//! of V span, q·d = z·Vd + (q − Pq)·(d − Pd). A doc is coded first, d = step · code + r, and V(step · code) is a sum of
//! int8 products, without any error; what is missing, z·Vr, is at most ‖z‖ √‖G‖ ‖r‖.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};

use super::UNIT_F32;
use super::leading::columns_of_product;
use crate::compute::kernels::int8::{BIAS, CODE_MAX, Dot, GROUP, PANEL, PANEL_WORD, WORD, row_dot, tile_sums};
use crate::compute::kernels::{self, Level};

/// ‖VVᵀ − I‖ at most; rounding to codes makes it some 0.01 for 170 axes of 1,024 dimensions.
const MOST_DEFECT: f64 = 0.05;
/// How often the matrix is squared for a bound of its norm.
const SQUARINGS: u32 = 5;
/// Dimensions of which products are added up before they are added to others, so that sums are rounded less.
const BLOCK: usize = 128;

/// Nearly orthonormal axes V.
#[derive(Debug)]
pub struct CodedAxes {
    dim: usize,
    count: usize,
    /// Panel by panel, 48 axes each, as docs are packed.
    panels: Vec<u8>,
    /// Value of a code's unit, a product of which with any code is exact in float32; whole panels.
    steps: Vec<f32>,
    /// G⁻¹V, count × dim.
    inverse: Vec<f32>,
    /// G − I, count × count.
    excess: Vec<f32>,
    /// A bound on ‖G − I‖.
    defect: f64,
    /// A bound on ‖computed z − z‖ / ‖q‖.
    error: f64,
}

/// A doc as [`CodedAxes::turn_codes`] takes it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Member {
    /// Value of a code's unit.
    pub step: f32,
    /// Σ code and Σ code².
    pub sums: [i32; 2],
}

impl CodedAxes {
    /// `matrix`: count × `dim`, nearly orthonormal. `None` where it is not, once it is coded.
    pub fn new(matrix: &[f32], dim: usize, level: Level, dot: Dot) -> Option<Self> {
        let (count, words) = (matrix.len() / dim, dim.div_ceil(WORD));
        let whole = count.next_multiple_of(PANEL);
        let mut panels = vec![BIAS as u8; whole * words * WORD];
        let mut steps = vec![0.0f32; whole];
        let (mut codes, mut biased) = (vec![0i8; count * dim], vec![0u8; count * dim]);
        for (axis, (values, codes)) in matrix.chunks_exact(dim).zip(codes.chunks_exact_mut(dim)).enumerate() {
            let step = short_step(kernels::largest_abs(level, values) / CODE_MAX);
            let factor = if step > 0.0 { 1.0 / step } else { 0.0 };
            kernels::quantise(level, values, factor, step, codes);
            steps[axis] = step;
            let panel = &mut panels[axis / PANEL * words * PANEL_WORD..];
            for (place, (&code, biased)) in codes.iter().zip(&mut biased[axis * dim..]).enumerate() {
                *biased = kernels::int8::biased(code);
                panel[place / WORD * PANEL_WORD + axis % PANEL * WORD + place % WORD] = *biased;
            }
        }
        // Sums of products of codes are exact, so only float64 rounds these.
        let row = |axis: usize| axis * dim..(axis + 1) * dim;
        let excess = Mat::from_fn(count, count, |a, b| {
            let units = f64::from(steps[a]) * f64::from(steps[b]);
            let identity = if a == b { 1.0 } else { 0.0 };
            units * f64::from(row_dot(dot, &biased[row(a)], &codes[row(b)])) - identity
        });
        let defect = norm_bound(&excess);
        if defect.is_nan() || defect > MOST_DEFECT {
            return None;
        }
        // The Neumann series: (I − F)(I + F²) = G⁻¹(I − F⁴).
        let identity = Mat::<f64>::identity(count, count);
        let series = product(&(&identity - &excess), &(&identity + product(&excess, &excess)));
        let row_sum = |row: usize| (0..count).map(|column| series[(row, column)].abs()).sum::<f64>();
        let row_sum = (0..count).map(row_sum).fold(0.0, f64::max);
        let series = Mat::from_fn(count, count, |row, column| series[(row, column)] as f32);
        let values: Vec<f32> = codes
            .chunks_exact(dim)
            .zip(&steps)
            .flat_map(|(codes, step)| codes.iter().map(move |&code| f32::from(code) * step))
            .collect();
        // Transposed, so that its columns are the rows that are wanted.
        let transposed = MatRef::from_column_major_slice(&values, dim, count);
        let inverse = columns_of_product(transposed, series.transpose());
        let gamma = |terms: usize| terms as f64 * UNIT_F32 / (1.0 - terms as f64 * UNIT_F32);
        // Of any matrix of so many rows whose spectral norm is nearly 1.
        let frobenius = (count as f64).sqrt() * (1.0 + 2.0 * defect);
        let of_inverse = defect.powi(4) / (1.0 - defect) + UNIT_F32 * frobenius + gamma(count) * row_sum * frobenius;
        // A sum of products is rounded within its block, and once for each block.
        let terms = BLOCK.min(dim) + dim.div_ceil(BLOCK);
        let error = 1.01 * (gamma(terms) * frobenius + (1.0 + defect) * of_inverse);
        let places = (0..count).flat_map(|row| (0..count).map(move |column| (row, column)));
        let excess = places.map(|at| excess[at] as f32).collect();
        Some(Self { dim, count, panels, steps, inverse, excess, defect, error })
    }

    /// Axes.
    pub fn count(&self) -> usize {
        self.count
    }

    /// ‖computed z − z‖ / ‖q‖ at most.
    pub fn error(&self) -> f64 {
        self.error
    }

    /// By what share of its length a vector gets longer at most: docs by the root of 1 + defect, queries by that of
    /// 1 / (1 − defect), which is more.
    pub fn stretch(&self) -> f64 {
        1.0 / (1.0 - self.defect).sqrt() - 1.0 + 1e-12
    }

    /// z of `queries`, row-major, count × dim.
    pub fn turn_queries(&self, queries: &[f32], turned: &mut Vec<f32>) {
        let (dim, count) = (self.dim, queries.len() / self.dim);
        turned.clear();
        turned.resize(count * self.count, 0.0);
        let mut part = turned.clone();
        let inverse = MatRef::from_row_major_slice(&self.inverse, self.count, dim);
        let queries = MatRef::from_column_major_slice(queries, dim, count);
        for first in (0..dim).step_by(BLOCK) {
            let width = BLOCK.min(dim - first);
            let out = MatMut::from_column_major_slice_mut(part.as_mut_slice(), self.count, count);
            let (axes, values) = (inverse.subcols(first, width), queries.subrows(first, width));
            matmul(out, Accum::Replace, axes, values, 1.0f32, Par::Seq);
            turned.iter_mut().zip(&part).for_each(|(sum, part)| *sum += part);
        }
    }

    /// V(step · code) of up to eight docs.
    ///
    /// `codes`: theirs, row-major, zeros past `dim`. `next`: vectors that are asked for meanwhile. `turned`: overwritten, row-major, a
    /// row a member. Rounded three times.
    pub fn turn_codes(
        &self,
        (level, dot): (Level, Dot),
        codes: &[i8],
        members: &[Member],
        next: &[&[f32]],
        turned: &mut [f32],
    ) {
        let share = next.len().div_ceil(self.steps.len() / PANEL).max(1);
        let mut next = next.chunks(share);
        let mut sums = [[0i32; PANEL]; GROUP];
        let panels = self.panels.chunks_exact(self.dim.div_ceil(WORD) * PANEL_WORD).zip(self.steps.chunks_exact(PANEL));
        for (number, (panel, steps)) in panels.enumerate() {
            let first = number * PANEL;
            let width = PANEL.min(self.count - first);
            tile_sums(dot, panel, width, codes, next.next().unwrap_or_default(), &mut sums);
            let rows = turned.chunks_exact_mut(self.count);
            for ((sums, row), member) in sums.iter().zip(rows).zip(members) {
                let values = &mut row[first..first + width];
                kernels::values_of_sums(
                    level,
                    &sums[..width],
                    BIAS * member.sums[0],
                    &steps[..width],
                    member.step,
                    values,
                );
            }
        }
    }

    /// A bound on ‖q − Pq‖ for ‖q‖ ≤ `norm` (by a share of 10⁻⁷ more at most), from its computed z: ‖q‖² − zᵀGz.
    pub fn left_out(&self, turned: &[f32], norm: f64, level: Level) -> f64 {
        let rows = self.excess.chunks_exact(self.count).zip(turned);
        let excess: f64 = rows.map(|(row, &value)| f64::from(value) * kernels::dot_f64(level, row, turned)).sum();
        let square = kernels::dot_f64(level, turned, turned) + excess;
        // Values of G are rounded to float32.
        let kept = square.max(0.0).sqrt() * (1.0 - 1e-6) - (1.0 + self.defect) * self.error * norm;
        let rest = norm * norm * (1.0 + 1e-6) - kept.max(0.0).powi(2);
        rest.max(0.0).sqrt() * (1.0 + 1e-9)
    }

    /// A bound on ‖x − Px‖ of x = step · code, from what [`Self::turn_codes`] made of it: ‖x‖² − ‖Vx‖² / ‖G‖. Of the doc itself it is
    /// at most what coding lost more.
    pub fn left_out_of_codes(&self, turned: &[f32], member: Member, level: Level) -> f64 {
        let length = f64::from(member.step).powi(2) * f64::from(member.sums[1]);
        let kept = kernels::dot_f64(level, turned, turned) * (1.0 - 1e-6) / (1.0 + self.defect);
        (length * (1.0 + 1e-9) - kept).max(0.0).sqrt() * (1.0 + 1e-9)
    }
}

/// At least `step`, of 16 significant bits: its product with a code of seven is exact.
fn short_step(step: f32) -> f32 {
    f32::from_bits(step.to_bits().saturating_add(0xff) & !0xff)
}

fn product(left: &Mat<f64>, right: &Mat<f64>) -> Mat<f64> {
    let mut product = Mat::zeros(left.nrows(), right.ncols());
    matmul(product.as_mut(), Accum::Replace, left.as_ref(), right.as_ref(), 1.0, Par::Seq);
    product
}

/// A bound on the spectral norm of a symmetric matrix: that of Frobenius of a power of it, which is at most so many times as
/// large as the power's spectral norm as the root of how many rows there are.
fn norm_bound(matrix: &Mat<f64>) -> f64 {
    let mut power = matrix.clone();
    for _ in 0..SQUARINGS {
        power = product(&power, &power);
    }
    // Squaring rounds each value by a share of 10⁻¹³ of what stands in its row and column, and a root takes most of that away.
    power.norm_l2().powf(1.0 / f64::from(1u32 << SQUARINGS)) * 1.001 + 1e-9
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::exact::turn::{Leading, Turn};
    use crate::compute::kernels::scalar::dot_f64;
    use crate::compute::random::Random;
    use proptest::prelude::*;

    fn axes_of(rows: &[f32], dim: usize, count: usize) -> CodedAxes {
        let level = Level::detected();
        let (all, _) = Leading::of(rows, dim, count, f64::INFINITY, level).expect("axes");
        let Some(Turn::Coded { axes }) = all.first_coded(count, level, Dot::within(level)) else { panic!("codes") };
        std::sync::Arc::into_inner(axes).expect("nobody else has it")
    }

    /// V, axis by axis, in float64, out of the panels.
    fn matrix_of(axes: &CodedAxes) -> Vec<Vec<f64>> {
        let words = axes.dim.div_ceil(WORD);
        let component = |axis: usize, place: usize| {
            let panel = &axes.panels[axis / PANEL * words * PANEL_WORD..];
            let byte = panel[place / WORD * PANEL_WORD + axis % PANEL * WORD + place % WORD];
            f64::from(axes.steps[axis]) * f64::from(i32::from(byte) - BIAS)
        };
        (0..axes.count).map(|axis| (0..axes.dim).map(|place| component(axis, place)).collect()).collect()
    }

    fn norm(values: &[f64]) -> f64 {
        values.iter().map(|value| value * value).sum::<f64>().sqrt()
    }

    fn dot(left: &[f64], right: &[f64]) -> f64 {
        left.iter().zip(right).map(|(a, b)| a * b).sum()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// Docs are turned by exactly these axes, and of every product no more is missing than is said.
        #[test]
        fn products_stay_within_the_bounds(
            dim in 3usize..200, share in 0.1f64..1.0, noise in 0.0f32..0.5, scale in -3i32..3, seed in any::<u64>(),
        ) {
            let mut random = Random::new(seed);
            let mut values = |count: usize| -> Vec<f32> {
                (0..count).map(|_| (random.bits() >> 40) as f32 / (1u32 << 23) as f32 - 1.0).collect()
            };
            let count = ((dim as f64 * share) as usize).max(1);
            let (basis, members) = (values(count * dim), 13);
            let mut rows = values(250 * dim);
            let weights = values(250 * count);
            for (row, weights) in rows.chunks_exact_mut(dim).zip(weights.chunks_exact(count)) {
                row.iter_mut().for_each(|value| *value *= noise);
                for (weight, axis) in weights.iter().zip(basis.chunks_exact(dim)) {
                    row.iter_mut().zip(axis).for_each(|(value, component)| *value += weight * component);
                }
                row.iter_mut().for_each(|value| *value *= 10f32.powi(scale));
            }
            let axes = axes_of(&rows, dim, count);
            let (level, whole) = (Level::detected(), dim.next_multiple_of(WORD));
            let matrix = matrix_of(&axes);
            // Codes of some docs, eight at a time.
            for docs in rows[..members * dim].chunks(GROUP * dim) {
                let mut codes = vec![0i8; GROUP * whole];
                let mut members = Vec::new();
                for (doc, codes) in docs.chunks_exact(dim).zip(codes.chunks_exact_mut(whole)) {
                    let step = kernels::largest_abs(level, doc) / CODE_MAX;
                    kernels::quantise(level, doc, 1.0 / step, step, &mut codes[..dim]);
                    members.push(Member { step, sums: kernels::code_sums(level, codes) });
                }
                let mut turned = vec![0.0; members.len() * count];
                axes.turn_codes((level, Dot::within(level)), &codes, &members, &[], &mut turned);
                let docs = docs.chunks_exact(dim).zip(codes.chunks_exact(whole)).zip(members).zip(turned.chunks_exact(count));
                for (((doc, codes), member), turned) in docs {
                    let doc: Vec<f64> = doc.iter().copied().map(f64::from).collect();
                    let coded: Vec<f64> = codes[..dim].iter().map(|&code| f64::from(member.step) * f64::from(code)).collect();
                    let lost: Vec<f64> = doc.iter().zip(&coded).map(|(value, coded)| value - coded).collect();
                    let lost = norm(&lost);
                    let values: Vec<f64> = turned.iter().copied().map(f64::from).collect();
                    for (axis, value) in matrix.iter().zip(&values) {
                        // Multiples of the axis' step, so that float64 rounds no sum of them; the doc's step comes last.
                        let units = axis.iter().zip(&codes[..dim]).map(|(value, &code)| value * f64::from(code));
                        let exact = f64::from(member.step) * units.sum::<f64>();
                        prop_assert!((value - exact).abs() <= 4.0 * UNIT_F32 * exact.abs(), "{value} {exact}");
                    }
                    prop_assert!(norm(&values) <= norm(&coded) * (1.0 + axes.stretch()));
                    let left = axes.left_out_of_codes(turned, member, level) + lost;
                    for query in rows.chunks_exact(dim).skip(200) {
                        let mut z = Vec::new();
                        axes.turn_queries(query, &mut z);
                        let length = dot_f64(query, query).sqrt();
                        let query_left = axes.left_out(&z, length, level);
                        let query: Vec<f64> = query.iter().copied().map(f64::from).collect();
                        let z: Vec<f64> = z.iter().copied().map(f64::from).collect();
                        prop_assert!(norm(&z) <= length * (1.0 + axes.stretch() + axes.error()));
                        let missing = (dot(&query, &doc) - dot(&z, &values)).abs();
                        let size = length * norm(&doc);
                        let turning = (1.0 + axes.stretch()).powi(2) * (lost * length + axes.error() * size);
                        let bound = query_left * left + turning + 1e-6 * size;
                        prop_assert!(missing <= bound, "{missing} {bound}");
                    }
                }
            }
        }
    }

    /// The bound of a norm is one, and not far from it: of a matrix whose largest eigenvalue is known.
    #[test]
    fn norms_are_bounded_closely() {
        let count = 60;
        // Householder's reflection turns a diagonal, so eigenvalues stay.
        let vector: Vec<f64> = (0..count).map(|place| f64::from(place as u32 % 7) - 3.0).collect();
        let square = dot(&vector, &vector);
        let mirror =
            Mat::from_fn(count, count, |a, b| f64::from(u8::from(a == b)) - 2.0 * vector[a] * vector[b] / square);
        let diagonal = Mat::from_fn(count, count, |a, b| if a == b { 0.01 - 0.0003 * a as f64 } else { 0.0 });
        let matrix = product(&product(&mirror, &diagonal), &mirror);
        let bound = norm_bound(&matrix);
        assert!((0.01..0.0125).contains(&bound), "{bound}");
    }
}
