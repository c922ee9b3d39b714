//! The bodies of all kernels: plain Rust, shaped so that the compiler can use whatever lanes a
//! level allows. These are the twins that every level is tested against.

const LANES: usize = 16;

/// Adds `term(i)` over all pairs in sixteen lanes by index, then the lanes pairwise.
#[inline(always)]
fn sum_in_lanes(left: &[f32], right: &[f32], term: impl Fn(f64, f64) -> f64) -> f64 {
    assert_eq!(left.len(), right.len(), "vectors of one dim");
    let mut lanes = [0.0f64; LANES];
    let (left_blocks, left_rest) = left.as_chunks::<LANES>();
    let (right_blocks, right_rest) = right.as_chunks::<LANES>();
    for (a, b) in left_blocks.iter().zip(right_blocks) {
        for lane in 0..LANES {
            lanes[lane] += term(f64::from(a[lane]), f64::from(b[lane]));
        }
    }
    for (lane, (&a, &b)) in left_rest.iter().zip(right_rest).enumerate() {
        lanes[lane] += term(f64::from(a), f64::from(b));
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

#[inline(always)]
pub fn dot_f64(left: &[f32], right: &[f32]) -> f64 {
    sum_in_lanes(left, right, |a, b| a * b)
}

#[inline(always)]
pub fn squared_distance_f64(left: &[f32], right: &[f32]) -> f64 {
    sum_in_lanes(left, right, |a, b| (a - b) * (a - b))
}

#[inline(always)]
pub fn all_finite(values: &[f32]) -> bool {
    const EXPONENT: u32 = 0x7f80_0000;
    values.chunks(64).all(|block| {
        // No early exit within a block, so that it is one run of wide compares.
        block.iter().fold(true, |finite, value| finite & (value.to_bits() & EXPONENT != EXPONENT))
    })
}

#[inline(always)]
pub fn survivors(scores: &[f32], threshold: f32, indices: &mut Vec<u32>) {
    const BLOCK: usize = 64;
    for (block_index, block) in scores.chunks(BLOCK).enumerate() {
        let all_below = block.iter().fold(true, |below, &score| below & (score < threshold));
        if all_below {
            continue;
        }
        let first = block_index * BLOCK;
        for (index, &score) in block.iter().enumerate() {
            // Not `>=`: NaN must survive.
            #[expect(clippy::neg_cmp_op_on_partial_ord)]
            if !(score < threshold) {
                indices.push((first + index) as u32);
            }
        }
    }
}

#[inline(always)]
pub fn multiply(scores: &mut [f32], factors: &[f32]) {
    for (score, factor) in scores.iter_mut().zip(factors) {
        *score *= factor;
    }
}

#[inline(always)]
pub fn subtract(scores: &mut [f32], offsets: &[f32]) {
    for (score, offset) in scores.iter_mut().zip(offsets) {
        *score -= offset;
    }
}
