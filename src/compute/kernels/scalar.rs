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
pub fn absolute_distance_f64(left: &[f32], right: &[f32]) -> f64 {
    sum_in_lanes(left, right, |a, b| (a - b).abs())
}

#[inline(always)]
pub fn scaled_squared_distance_f64(left: &[f32], left_scale: f64, right: &[f32], right_scale: f64) -> f64 {
    sum_in_lanes(left, right, |a, b| {
        let difference = a * left_scale - b * right_scale;
        difference * difference
    })
}

#[inline(always)]
pub fn quantise_absolute(values: &[f32], origins: &[f64], step: f64, codes: &mut [u8]) -> f64 {
    assert!(values.len() == origins.len() && values.len() == codes.len(), "vectors of one dim");
    let inverse = 1.0 / step;
    let mut lanes = [0.0f64; LANES];
    let mut code = |lane: usize, value: f32, origin: f64, code: &mut u8| {
        let value = f64::from(value);
        let units = ((value - origin) * inverse + 0.5).clamp(0.0, 255.0);
        // Within 0..=255 as clamped; truncated.
        *code = units as i32 as u8;
        lanes[lane] += (value - (origin + step * f64::from(*code))).abs();
    };
    let (value_blocks, value_rest) = values.as_chunks::<LANES>();
    let (origin_blocks, origin_rest) = origins.as_chunks::<LANES>();
    let (code_blocks, code_rest) = codes.as_chunks_mut::<LANES>();
    for ((values, origins), codes) in value_blocks.iter().zip(origin_blocks).zip(code_blocks) {
        for lane in 0..LANES {
            code(lane, values[lane], origins[lane], &mut codes[lane]);
        }
    }
    for (lane, ((&value, &origin), byte)) in value_rest.iter().zip(origin_rest).zip(code_rest).enumerate() {
        code(lane, value, origin, byte);
    }
    lanes.iter().sum()
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

#[inline(always)]
fn weigh(weights: [i32; 3], red: i32, green: i32, blue: i32) -> i32 {
    weights[0] * red + weights[1] * green + weights[2] * blue
}

#[inline(always)]
pub fn luma(rgba: &[u8], values: &mut [u8]) {
    for (value, pixel) in values.iter_mut().zip(rgba.as_chunks::<4>().0) {
        // A pixel is one word, so that the lanes are words.
        let word = i32::from_le_bytes(*pixel);
        let sum = weigh(super::LUMA, word & 255, (word >> 8) & 255, (word >> 16) & 255);
        *value = (16 + ((sum + (1 << 15)) >> 16)) as u8;
    }
}

#[inline(always)]
pub fn chroma(weights: [i32; 3], upper: &[u8], lower: &[u8], values: &mut [u8]) {
    let squares = upper.as_chunks::<8>().0.iter().zip(lower.as_chunks::<8>().0);
    for (value, (upper, lower)) in values.iter_mut().zip(squares) {
        let (upper, lower) = (u64::from_le_bytes(*upper), u64::from_le_bytes(*lower));
        // Every other byte of a word in a lane of 16 bits: sums of four bytes fit.
        const EVEN: u64 = 0x00ff_00ff_00ff_00ff;
        let red_blue = (upper & EVEN) + (lower & EVEN);
        let green = ((upper >> 8) & EVEN) + ((lower >> 8) & EVEN);
        let sum = |lanes: u64, shift: u32| (((lanes >> shift) & 0xffff) + ((lanes >> (shift + 32)) & 0xffff)) as i32;
        // The sum of four pixels is four times their mean.
        let signal = weigh(weights, sum(red_blue, 0), sum(green, 0), sum(red_blue, 16));
        *value = (128 + ((signal + (1 << 17)) >> 18)) as u8;
    }
}

#[inline(always)]
pub fn int8_thresholds(panel: super::PanelBounds, queries: super::QueryBounds<'_>, thresholds: &mut [i32]) {
    const LOWEST: f64 = i32::MIN as f64;
    const HIGHEST: f64 = i32::MAX as f64;
    let count = thresholds.len();
    let super::QueryBounds { limits, inverse_steps, sizes, residuals, suffixes, slacks, biases } = queries;
    let inverse_step = 1.0 / panel.step;
    for all in [limits, inverse_steps, sizes, residuals, suffixes, slacks, biases] {
        assert_eq!(all.len(), count, "one a query");
    }
    for query in 0..count {
        let error = sizes[query] * panel.residual
            + residuals[query] * panel.norm
            + suffixes[query] * panel.suffix
            + slacks[query];
        // Without a step all codes are zero, and the product infinite or not a number.
        let least = (limits[query] + panel.offset - error) * (inverse_steps[query] * inverse_step) + biases[query];
        // One more than the float64 operations above can err by; `max` turns NaN into the lowest.
        #[expect(clippy::manual_clamp, reason = "`clamp` would keep NaN")]
        let threshold = (least.floor() - 2.0).max(LOWEST).min(HIGHEST);
        // SAFETY: it is a whole number within the range of int32.
        thresholds[query] = unsafe { threshold.to_int_unchecked() };
    }
}

#[inline(always)]
pub fn subtract(values: &mut [f32], others: &[f32]) {
    assert_eq!(values.len(), others.len());
    values.iter_mut().zip(others).for_each(|(value, other)| *value -= other);
}

#[inline(always)]
pub fn largest_abs(values: &[f32]) -> f32 {
    // Bits of positive floats are in the order of their values.
    f32::from_bits(values.iter().fold(0u32, |high, value| high.max(value.to_bits() & 0x7fff_ffff)))
}

#[inline(always)]
pub fn quantise(values: &[f32], factor: f32, step: f32, codes: &mut [i8]) -> f32 {
    assert_eq!(values.len(), codes.len());
    // Adding and taking away 1.5 · 2²³ rounds to whole numbers, ties to even.
    const ROUND: f32 = 12_582_912.0;
    let mut lanes = [0.0f32; LANES];
    let code_of = |value: f32| (value * factor).clamp(-127.0, 127.0) + ROUND;
    let (blocks, rest) = values.as_chunks::<LANES>();
    let (code_blocks, code_rest) = codes.as_chunks_mut::<LANES>();
    for (values, codes) in blocks.iter().zip(code_blocks) {
        for lane in 0..LANES {
            let rounded = code_of(values[lane]);
            let residual = values[lane] - (rounded - ROUND) * step;
            lanes[lane] += residual * residual;
            // The whole number stands in the lowest bits.
            codes[lane] = rounded.to_bits() as i8;
        }
    }
    for (lane, (&value, code)) in rest.iter().zip(code_rest).enumerate() {
        let rounded = code_of(value);
        let residual = value - (rounded - ROUND) * step;
        lanes[lane] += residual * residual;
        *code = rounded.to_bits() as i8;
    }
    lanes.iter().sum()
}

#[inline(always)]
pub fn code_sums(codes: &[i8]) -> [i32; 2] {
    let (mut sum, mut squares) = (0, 0);
    for &code in codes {
        let code = i32::from(code);
        sum += code;
        squares += code * code;
    }
    [sum, squares]
}

#[inline(always)]
pub fn values_of_sums(sums: &[i32], bias: i32, steps: &[f32], step: f32, values: &mut [f32]) {
    assert!(sums.len() == values.len() && steps.len() == values.len(), "a step and a value a sum");
    for ((value, &sum), &unit) in values.iter_mut().zip(sums).zip(steps) {
        *value = (sum - bias) as f32 * (unit * step);
    }
}

/// As the kernel of this name; indices begin at `first`.
pub fn within_limits(distances: &[u32], limits: &[u32], own_limit: u32, first: u32, hits: &mut Vec<u32>) {
    let near = distances.iter().zip(limits).zip(first..).filter(|((d, limit), _)| **d <= own_limit.max(**limit));
    hits.extend(near.map(|(_, index)| index));
}
