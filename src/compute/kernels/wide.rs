//! Kernels in AVX-512 registers. Float64 sums have the lanes and the order of their scalar twin, so the same bits.

use std::arch::x86_64::{
    __m256, __m512d, _mm256_loadu_ps, _mm512_add_epi32, _mm512_add_pd, _mm512_cmple_epu32_mask, _mm512_cvtps_pd,
    _mm512_fmadd_pd, _mm512_loadu_si512, _mm512_maskz_compress_epi32, _mm512_max_epu32, _mm512_set1_epi32,
    _mm512_setr_epi32, _mm512_setzero_pd, _mm512_storeu_pd, _mm512_storeu_si512,
};

use super::{MOST_AHEAD, scalar};

/// See [`super::dot_f64`]. A product of two float32 is exact in float64, so fusing changes nothing.
///
/// # Safety
/// The CPU must have AVX-512 F and VL.
#[target_feature(enable = "avx512f,avx512vl,avx2")]
pub fn dot_f64(left: &[f32], right: &[f32]) -> f64 {
    sum(left, right, |_| ())
}

/// See [`super::dot_f64_asking`].
///
/// # Safety
/// As [`dot_f64`].
#[target_feature(enable = "avx512f,avx512vl,avx2")]
pub fn dot_f64_asking(left: &[f32], right: &[f32], next: [&[f32]; 2]) -> f64 {
    // Blocks are lines of the caches. Vectors of another length are asked for as far as these go.
    let next = next.map(|vector| vector.as_chunks::<16>().0);
    sum(left, right, |block| {
        for line in next.iter().filter_map(|lines| lines.get(block)) {
            super::prefetch(line);
        }
    })
}

/// See [`super::dots_f64`]; `ahead`: so many pairs, fewer than [`MOST_AHEAD`].
///
/// # Safety
/// As [`dot_f64`].
#[target_feature(enable = "avx512f,avx512vl,avx2")]
pub fn dots_f64<'v>(
    count: usize,
    ahead: usize,
    left: impl Fn(usize) -> &'v [f32],
    right: impl Fn(usize) -> &'v [f32],
    mut found: impl FnMut(usize, f64),
) {
    if count == 0 {
        return;
    }
    // Who is asked for is looked up once: the pair of an index lies at its last bits.
    let (mut lefts, mut rights) = ([left(0); MOST_AHEAD], [right(0); MOST_AHEAD]);
    for step in 0..count + ahead {
        if step < count {
            (lefts[step % MOST_AHEAD], rights[step % MOST_AHEAD]) = (left(step), right(step));
        }
        let Some(index) = step.checked_sub(ahead) else { continue };
        let (left, right) = (lefts[index % MOST_AHEAD], rights[index % MOST_AHEAD]);
        // Past the end, whoever is found there.
        let (next_left, next_right) = (lefts[step % MOST_AHEAD], rights[step % MOST_AHEAD]);
        assert!(next_left.len() == left.len() && next_right.len() == left.len(), "vectors of one dim");
        let next = [next_left.as_chunks::<16>().0, next_right.as_chunks::<16>().0];
        let product = sum(left, right, |block| next.iter().for_each(|lines| super::prefetch(&lines[block])));
        found(index, product);
    }
}

/// Σ left·right; `between` hears of every block before it is read.
#[target_feature(enable = "avx512f,avx512vl,avx2")]
#[inline]
fn sum(left: &[f32], right: &[f32], between: impl Fn(usize)) -> f64 {
    assert_eq!(left.len(), right.len(), "vectors of one dim");
    let (left_blocks, left_rest) = left.as_chunks::<16>();
    let (right_blocks, right_rest) = right.as_chunks::<16>();
    let (mut low, mut high) = (_mm512_setzero_pd(), _mm512_setzero_pd());
    for (block, (a, b)) in left_blocks.iter().zip(right_blocks).enumerate() {
        between(block);
        low = _mm512_fmadd_pd(widen(&a[..8]), widen(&b[..8]), low);
        high = _mm512_fmadd_pd(widen(&a[8..]), widen(&b[8..]), high);
    }
    if !left_rest.is_empty() {
        // Zeros add nothing to the lanes past the end: a sum that began at +0 is never −0.
        let (mut a, mut b) = ([0.0f32; 16], [0.0f32; 16]);
        a[..left_rest.len()].copy_from_slice(left_rest);
        b[..right_rest.len()].copy_from_slice(right_rest);
        low = _mm512_fmadd_pd(widen(&a[..8]), widen(&b[..8]), low);
        high = _mm512_fmadd_pd(widen(&a[8..]), widen(&b[8..]), high);
    }
    let mut lanes = [0.0f64; 8];
    // SAFETY: `lanes` has room for a vector.
    unsafe { _mm512_storeu_pd(lanes.as_mut_ptr(), _mm512_add_pd(low, high)) };
    let pairs: [f64; 4] = std::array::from_fn(|lane| lanes[lane] + lanes[lane + 4]);
    (pairs[0] + pairs[2]) + (pairs[1] + pairs[3])
}

#[target_feature(enable = "avx512f,avx512vl,avx2")]
#[inline]
fn widen(eight: &[f32]) -> __m512d {
    assert_eq!(eight.len(), 8, "half a block");
    // SAFETY: there are eight values, as asserted.
    let values: __m256 = unsafe { _mm256_loadu_ps(eight.as_ptr()) };
    _mm512_cvtps_pd(values)
}

/// See [`super::within_limits`]. Sixteen indices are written at every step, those that count first: which they are
/// is not foreseeable, so that not asking is faster.
///
/// # Safety
/// The CPU must have AVX-512 F and VL.
#[target_feature(enable = "avx512f,avx512vl,avx2,popcnt")]
pub fn within_limits(distances: &[u32], limits: &[u32], own_limit: u32, hits: &mut Vec<u32>) {
    let ((steps, rest), (limit_steps, rest_limits)) = (distances.as_chunks::<16>(), limits.as_chunks::<16>());
    hits.reserve(distances.len());
    let own = _mm512_set1_epi32(own_limit.cast_signed());
    let mut indices = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for (distances, limits) in steps.iter().zip(limit_steps) {
        // SAFETY: sixteen values have 512 bits. There is room for an index a distance: those of this step, too.
        unsafe {
            let (distances, limits) =
                (_mm512_loadu_si512(distances.as_ptr().cast()), _mm512_loadu_si512(limits.as_ptr().cast()));
            let near = _mm512_cmple_epu32_mask(distances, _mm512_max_epu32(limits, own));
            let listed = _mm512_maskz_compress_epi32(near, indices);
            _mm512_storeu_si512(hits.as_mut_ptr().add(hits.len()).cast(), listed);
            hits.set_len(hits.len() + near.count_ones() as usize);
        }
        indices = _mm512_add_epi32(indices, _mm512_set1_epi32(16));
    }
    scalar::within_limits(rest, rest_limits, own_limit, (steps.len() * 16) as u32, hits);
}
