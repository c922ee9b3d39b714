//! Int8 sums in registers of 256 and 512 bits.

use std::arch::x86_64::{
    __m256i, __m512i, _MM_HINT_T0, _mm_prefetch, _mm256_castsi256_ps, _mm256_cmpgt_epi32, _mm256_dpbusd_avx_epi32,
    _mm256_loadu_si256, _mm256_movemask_ps, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_storeu_si256,
    _mm512_cmpgt_epi32_mask, _mm512_dpbusd_epi32, _mm512_loadu_si512, _mm512_max_epi32, _mm512_reduce_add_epi32,
    _mm512_set1_epi8, _mm512_set1_epi32, _mm512_setzero_si512, _mm512_storeu_si512,
};
use std::mem::MaybeUninit;

use super::super::prefetch_far;
use super::{BIAS, GROUP, GROUP_WORD, Hit, PANEL, PANEL_WORD, QueryCodes, WORD};

/// Vectors of a panel.
const WIDE: usize = PANEL / 16;
/// Groups whose hits are listed together: a bit a query in 64.
const TOGETHER: usize = 64 / GROUP;
/// How far ahead queries are asked for, in words.
const AHEAD: usize = 24;

/// Parts of the panel that comes next, one for every group, in whole lines.
fn share_of(next: &[u8], groups: usize) -> std::slice::Chunks<'_, u8> {
    next.chunks((next.len() / groups.max(1)).next_multiple_of(64).max(64))
}

fn prefetch(part: Option<&[u8]>) {
    part.into_iter().flat_map(|part| part.chunks(64)).for_each(|line| prefetch_far(&line[0]));
}

#[target_feature(enable = "avx512f,avx512vnni")]
pub fn avx512_vnni(panel: &[u8], next: &[u8], queries: QueryCodes<'_>, hits: &mut Vec<Hit>) {
    let groups = queries.codes.chunks_exact(queries.stride * GROUP_WORD);
    let mut next = share_of(next, groups.len());
    let mut stored = [const { MaybeUninit::<[[__m512i; WIDE]; GROUP]>::uninit() }; TOGETHER];
    // A bit for each query that has a hit.
    let mut found = 0u64;
    let last = groups.len().saturating_sub(1);
    for (group, (codes, thresholds)) in groups.zip(queries.thresholds.as_chunks::<GROUP>().0).enumerate() {
        prefetch(next.next());
        let sums = tile::<WIDE>(panel, codes, 1, GROUP, |word| {
            // A hint that may pass the end; nothing is read.
            _mm_prefetch::<_MM_HINT_T0>(codes.as_ptr().wrapping_add((word + AHEAD) * GROUP_WORD));
        });
        // Without a branch for each, and not looked at before the products of other groups are on their way: what has a hit is not
        // foreseeable, and nothing else would go on until it is known.
        let above: [u64; GROUP] = std::array::from_fn(|query| {
            let highest = _mm512_max_epi32(_mm512_max_epi32(sums[query][0], sums[query][1]), sums[query][2]);
            let above = _mm512_cmpgt_epi32_mask(highest, _mm512_set1_epi32(thresholds[query]));
            u64::from(above != 0) << query
        });
        let place = group % TOGETHER;
        found |= above.iter().fold(0, |all, one| all | one) << (place * GROUP);
        stored[place].write(sums);
        if place + 1 == TOGETHER || group == last {
            let first = (group - place) * GROUP;
            // SAFETY: the sums of all groups up to this one were written there, and the vectors of a query are as many lanes.
            let sums =
                unsafe { std::slice::from_raw_parts(stored.as_ptr().cast::<[i32; PANEL]>(), (place + 1) * GROUP) };
            list_hits(found, sums, &queries.thresholds[first..], first, hits);
            found = 0;
        }
    }
}

/// Appends the hits of the queries whose bits are set. `sums` and `thresholds`: from query `first` on.
#[target_feature(enable = "avx512f,avx512vnni")]
#[inline]
fn list_hits(mut found: u64, sums: &[[i32; PANEL]], thresholds: &[i32], first: usize, hits: &mut Vec<Hit>) {
    while found != 0 {
        let query = found.trailing_zeros() as usize;
        found &= found - 1;
        let sums = &sums[query];
        let threshold = _mm512_set1_epi32(thresholds[query]);
        let mut above = 0u64;
        for (vector, lanes) in sums.as_chunks::<16>().0.iter().enumerate() {
            // SAFETY: `lanes` is a vector.
            let values = unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) };
            above |= u64::from(_mm512_cmpgt_epi32_mask(values, threshold)) << (16 * vector);
        }
        let query = (first + query) as u32;
        while above != 0 {
            let doc = above.trailing_zeros();
            above &= above - 1;
            hits.push(Hit { query, doc, sum: sums[doc as usize % PANEL] });
        }
    }
}

/// Sums of the first vectors of a panel with eight others, in up to 24 registers. Word `w` of vector `v` is the one at
/// `v · apart + w · step` of `codes`; `between` hears of every word.
#[target_feature(enable = "avx512f,avx512vnni")]
#[inline]
fn tile<const VECTORS: usize>(
    panel: &[u8],
    codes: &[i8],
    apart: usize,
    step: usize,
    between: impl Fn(usize),
) -> [[__m512i; VECTORS]; GROUP] {
    const { assert!(VECTORS <= WIDE, "a panel") };
    let words = panel.len() / PANEL_WORD;
    assert!(words == 0 || (words - 1) * step + (GROUP - 1) * apart < codes.len() / WORD);
    let mut sums = [[_mm512_setzero_si512(); VECTORS]; GROUP];
    for word in 0..words {
        between(word);
        // SAFETY: `word` is a word of the panel and of every vector, as asserted.
        unsafe {
            let docs = panel.as_ptr().add(word * PANEL_WORD);
            let query = codes.as_ptr().cast::<i32>().add(word * step);
            let docs: [__m512i; VECTORS] =
                std::array::from_fn(|vector| _mm512_loadu_si512(docs.add(vector * 64).cast()));
            for (index, sums) in sums.iter_mut().enumerate() {
                let code = _mm512_set1_epi32(query.add(index * apart).read_unaligned());
                for (sum, &docs) in sums.iter_mut().zip(&docs) {
                    *sum = _mm512_dpbusd_epi32(*sum, docs, code);
                }
            }
        }
    }
    sums
}

#[target_feature(enable = "avx512f,avx512vnni")]
pub fn tile_sums_avx512_vnni(
    panel: &[u8],
    wanted: usize,
    rows: &[i8],
    next: &[&[f32]],
    sums: &mut [[i32; PANEL]; GROUP],
) {
    // Lines of the vectors to come, one of each every four words: they have as many values as there are bytes in a row.
    let between = |word: usize| {
        if word.is_multiple_of(4) {
            next.iter().filter_map(|vector| vector.as_chunks::<16>().0.get(word / 4)).for_each(prefetch_far);
        }
    };
    let apart = rows.len() / GROUP / WORD;
    // No vector of a panel that is not filled is added up in vain.
    match wanted.div_ceil(16) {
        1 => store(&tile::<1>(panel, rows, apart, 1, between), sums),
        2 => store(&tile::<2>(panel, rows, apart, 1, between), sums),
        _ => store(&tile::<WIDE>(panel, rows, apart, 1, between), sums),
    }
}

#[target_feature(enable = "avx512f,avx512vnni")]
#[inline]
fn store<const VECTORS: usize>(wide: &[[__m512i; VECTORS]; GROUP], sums: &mut [[i32; PANEL]; GROUP]) {
    for (wide, sums) in wide.iter().zip(sums) {
        for (&values, lanes) in wide.iter().zip(sums.as_chunks_mut::<16>().0) {
            // SAFETY: `lanes` has room for a vector.
            unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), values) };
        }
    }
}

/// Docs and queries whose sums fill the sixteen registers of 256 bits.
const NARROW: usize = 3;
const HALF: usize = GROUP / 2;

#[target_feature(enable = "avx2,avxvnni")]
pub fn avx_vnni(panel: &[u8], next: &[u8], queries: QueryCodes<'_>, hits: &mut Vec<Hit>) {
    let groups = queries.codes.chunks_exact(queries.stride * GROUP_WORD);
    let mut next = share_of(next, groups.len());
    for (group, (codes, thresholds)) in groups.zip(queries.thresholds.as_chunks::<GROUP>().0).enumerate() {
        prefetch(next.next());
        for half in 0..GROUP / HALF {
            let mut sums = [[0i32; PANEL]; HALF];
            let mut any = 0;
            for part in 0..PANEL / (NARROW * 8) {
                let narrow = narrow_tile(panel, &codes[half * HALF * WORD..], part, 1, GROUP);
                for (query, (narrow, sums)) in narrow.iter().zip(&mut sums).enumerate() {
                    let threshold = _mm256_set1_epi32(thresholds[half * HALF + query]);
                    let lanes = sums[part * NARROW * 8..].as_chunks_mut::<8>().0;
                    for (&values, lanes) in narrow.iter().zip(lanes) {
                        any |= _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(values, threshold)));
                        // SAFETY: `lanes` has room for a vector.
                        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), values) };
                    }
                }
            }
            if any == 0 {
                continue;
            }
            for (query, sums) in sums.iter().enumerate() {
                let threshold = thresholds[half * HALF + query];
                let query = (group * GROUP + half * HALF + query) as u32;
                let above = sums.iter().zip(0..).filter(|&(&sum, _)| sum > threshold);
                hits.extend(above.map(|(&sum, doc)| Hit { query, doc, sum }));
            }
        }
    }
}

/// Sums of half a panel with four vectors, whose words lie as [`tile`] says.
#[target_feature(enable = "avx2,avxvnni")]
#[inline]
fn narrow_tile(panel: &[u8], codes: &[i8], part: usize, apart: usize, step: usize) -> [[__m256i; NARROW]; HALF] {
    let words = panel.len() / PANEL_WORD;
    assert!(words == 0 || (words - 1) * step + (HALF - 1) * apart < codes.len() / WORD);
    assert!(part < PANEL / (NARROW * 8));
    let mut sums = [[_mm256_setzero_si256(); NARROW]; HALF];
    for word in 0..words {
        // SAFETY: `word` is a word of the panel and of every vector, and the part lies in the panel, as asserted.
        unsafe {
            let docs = panel.as_ptr().add(word * PANEL_WORD + part * NARROW * 32);
            let query = codes.as_ptr().cast::<i32>().add(word * step);
            let docs: [__m256i; NARROW] =
                std::array::from_fn(|vector| _mm256_loadu_si256(docs.add(vector * 32).cast()));
            for (index, sums) in sums.iter_mut().enumerate() {
                let code = _mm256_set1_epi32(query.add(index * apart).read_unaligned());
                for (sum, &docs) in sums.iter_mut().zip(&docs) {
                    *sum = _mm256_dpbusd_avx_epi32(*sum, docs, code);
                }
            }
        }
    }
    sums
}

#[target_feature(enable = "avx2,avxvnni")]
pub fn tile_sums_avx_vnni(panel: &[u8], wanted: usize, rows: &[i8], sums: &mut [[i32; PANEL]; GROUP]) {
    let row = rows.len() / GROUP / WORD;
    for (half, sums) in sums.as_chunks_mut::<HALF>().0.iter_mut().enumerate() {
        for part in 0..wanted.div_ceil(NARROW * 8) {
            let tile = narrow_tile(panel, &rows[half * HALF * row * WORD..], part, row, 1);
            for (narrow, sums) in tile.iter().zip(&mut *sums) {
                let lanes = sums[part * NARROW * 8..].as_chunks_mut::<8>().0;
                for (&values, lanes) in narrow.iter().zip(lanes) {
                    // SAFETY: `lanes` has room for a vector.
                    unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), values) };
                }
            }
        }
    }
}

#[target_feature(enable = "avx512f,avx512vnni")]
pub fn peak_avx512_vnni(rounds: usize) -> i32 {
    let mut sums = [_mm512_setzero_si512(); 24];
    // Values that the compiler cannot know, so that nothing is computed beforehand.
    let docs = _mm512_set1_epi8(std::hint::black_box(3));
    let code = _mm512_set1_epi8(std::hint::black_box(1));
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm512_dpbusd_epi32(*sum, docs, code);
        }
        // Otherwise the rounds could be folded into one.
        std::hint::black_box(());
    }
    sums.into_iter().map(|sum| _mm512_reduce_add_epi32(sum)).fold(0, i32::wrapping_add)
}

#[target_feature(enable = "avx2,avxvnni")]
pub fn peak_avx_vnni(rounds: usize) -> i32 {
    let mut sums = [_mm256_setzero_si256(); 12];
    let docs = _mm256_set1_epi32(std::hint::black_box(0x0303_0303));
    let code = _mm256_set1_epi32(std::hint::black_box(0x0101_0101));
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm256_dpbusd_avx_epi32(*sum, docs, code);
        }
        std::hint::black_box(());
    }
    let mut lanes = [0i32; 8];
    let mut total = 0i32;
    for sum in sums {
        // SAFETY: `lanes` has room for a vector.
        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), sum) };
        total = lanes.iter().fold(total, |total, &lane| total.wrapping_add(lane));
    }
    total
}

#[target_feature(enable = "avx2")]
pub fn avx2(panel: &[u8], queries: QueryCodes<'_>, hits: &mut Vec<Hit>) {
    super::scalar_hits(panel, queries, hits);
}

#[target_feature(enable = "avx2")]
pub fn tile_sums_avx2(panel: &[u8], rows: &[i8], sums: &mut [[i32; PANEL]; GROUP]) {
    super::scalar_tile_sums(panel, rows, sums);
}

#[target_feature(enable = "avx2")]
pub fn row_dot_avx2(left: &[u8], right: &[i8]) -> i32 {
    super::scalar_row_dot(left, right)
}

#[target_feature(enable = "avx512f,avx512vnni")]
pub fn row_dot_avx512_vnni(left: &[u8], right: &[i8]) -> i32 {
    let (left_blocks, left_rest) = left.as_chunks::<64>();
    let (right_blocks, right_rest) = right.as_chunks::<64>();
    let (mut sum, mut bias) = (_mm512_setzero_si512(), _mm512_setzero_si512());
    for (left, right) in left_blocks.iter().zip(right_blocks) {
        // SAFETY: both are vectors.
        unsafe {
            let right = _mm512_loadu_si512(right.as_ptr().cast());
            sum = _mm512_dpbusd_epi32(sum, _mm512_loadu_si512(left.as_ptr().cast()), right);
            // The bias as an unsigned byte is 128.
            bias = _mm512_dpbusd_epi32(bias, _mm512_set1_epi8(BIAS as i8), right);
        }
    }
    let whole = _mm512_reduce_add_epi32(sum).wrapping_sub(_mm512_reduce_add_epi32(bias));
    whole + super::scalar_row_dot(left_rest, right_rest)
}
