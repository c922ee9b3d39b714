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
pub fn survivors(scores: &[f32], thresholds: &[f32], scales: &[f32], offsets: &[f32], indices: &mut Vec<u32>) {
    let query_count = thresholds.len();
    let (threshold_blocks, threshold_rest) = thresholds.as_chunks::<LANES>();
    for (doc, row) in scores.chunks_exact(query_count).enumerate() {
        let (scale, offset) = (scales[doc], offsets[doc]);
        // Not `>=`: NaN must survive.
        let lives = |score: f32, threshold: f32| {
            !matches!((score * scale - offset).partial_cmp(&threshold), Some(std::cmp::Ordering::Less))
        };
        let (blocks, rest) = row.as_chunks::<LANES>();
        for (block, (scores, thresholds)) in blocks.iter().zip(threshold_blocks).enumerate() {
            // Nearly always nobody in a block survives; then one wide compare is all.
            let mut below = true;
            for lane in 0..LANES {
                below &= scores[lane] * scale - offset < thresholds[lane];
            }
            if below {
                continue;
            }
            for lane in 0..LANES {
                if lives(scores[lane], thresholds[lane]) {
                    indices.push((doc * query_count + block * LANES + lane) as u32);
                }
            }
        }
        for (query, (&score, &threshold)) in (blocks.len() * LANES..).zip(rest.iter().zip(threshold_rest)) {
            if lives(score, threshold) {
                indices.push((doc * query_count + query) as u32);
            }
        }
    }
}
