//! Sums of absolute differences of codes of eight bits, a panel of docs with tiles of queries, fused with
//! the filter as in [`super::int8`].
//!
//! `psadbw` adds eight differences of bytes in a lane of 64 bits, so a *word* is eight dimensions: a panel
//! holds 24 docs word by word, 24 × 8 bytes, queries come in groups of eight, word by word, 8 × 8 bytes.

use super::Level;

/// Docs in a panel.
pub const PANEL: usize = 24;
/// Queries in a group.
pub const GROUP: usize = 8;
/// Dimensions in a word.
pub const WORD: usize = 8;
/// Bytes of a word of a panel, and of a group.
pub const PANEL_WORD: usize = PANEL * WORD;
pub const GROUP_WORD: usize = GROUP * WORD;

/// A pair within its threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// In the order of the groups.
    pub query: u32,
    /// In the panel.
    pub doc: u32,
    /// Σ |code of the doc − code of the query|.
    pub sum: u32,
}

/// Appends the pairs of a panel and a tile of queries whose sum is at most the query's threshold, by query,
/// then by doc.
///
/// `panel`: whole words. `codes`: group by group, as many words as the panel has. `thresholds`: one a query,
/// whole groups; none is met below 0.
pub fn panel_hits(level: Level, panel: &[u8], codes: &[u8], thresholds: &[i32], hits: &mut Vec<Hit>) {
    let words = panel.len() / PANEL_WORD;
    assert!(panel.len().is_multiple_of(PANEL_WORD) && words <= 1 << 13);
    assert!(thresholds.len().is_multiple_of(GROUP) && codes.len() == thresholds.len() * words * WORD);
    #[cfg(target_arch = "x86_64")]
    match level.min(Level::best()) {
        // SAFETY: the features are there.
        Level::Avx512 if is_x86_feature_detected!("avx512bw") => {
            return unsafe { x86::avx512(panel, codes, thresholds, hits) };
        }
        // SAFETY: as above; `Level::best` found AVX2.
        Level::Avx512 | Level::Avx2 => return unsafe { x86::avx2(panel, codes, thresholds, hits) },
        Level::Scalar => {}
    }
    let _ = level;
    scalar_hits(panel, codes, thresholds, hits);
}

/// The twin of every level.
fn scalar_hits(panel: &[u8], codes: &[u8], thresholds: &[i32], hits: &mut Vec<Hit>) {
    let words = panel.len() / PANEL_WORD;
    let groups = codes.chunks_exact(words * GROUP_WORD);
    for (group, (codes, thresholds)) in groups.zip(thresholds.as_chunks::<GROUP>().0).enumerate() {
        for (query, &threshold) in thresholds.iter().enumerate() {
            let mut sums = [0u32; PANEL];
            for (docs, codes) in panel.as_chunks::<PANEL_WORD>().0.iter().zip(codes.as_chunks::<GROUP_WORD>().0) {
                let word = &codes[query * WORD..(query + 1) * WORD];
                for (sum, doc) in sums.iter_mut().zip(docs.as_chunks::<WORD>().0) {
                    *sum += doc.iter().zip(word).map(|(&a, &b)| u32::from(a.abs_diff(b))).sum::<u32>();
                }
            }
            push_hits((group * GROUP + query) as u32, &sums, threshold, hits);
        }
    }
}

fn push_hits(query: u32, sums: &[u32; PANEL], threshold: i32, hits: &mut Vec<Hit>) {
    let within = sums.iter().zip(0..).filter(|&(&sum, _)| i64::from(sum) <= i64::from(threshold));
    hits.extend(within.map(|(&sum, doc)| Hit { query, doc, sum }));
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256i, __m512i, _mm256_add_epi64, _mm256_loadu_si256, _mm256_sad_epu8, _mm256_set1_epi64x,
        _mm256_setzero_si256, _mm256_storeu_si256, _mm512_add_epi64, _mm512_cmple_epi64_mask, _mm512_loadu_si512,
        _mm512_min_epu64, _mm512_sad_epu8, _mm512_set1_epi64, _mm512_setzero_si512, _mm512_storeu_si512,
    };

    use super::{GROUP, GROUP_WORD, Hit, PANEL, PANEL_WORD, WORD, push_hits};

    /// Vectors of a panel.
    const WIDE: usize = PANEL / 8;

    #[target_feature(enable = "avx512f,avx512bw")]
    pub fn avx512(panel: &[u8], codes: &[u8], thresholds: &[i32], hits: &mut Vec<Hit>) {
        let words = panel.len() / PANEL_WORD;
        let groups = codes.chunks_exact(words * GROUP_WORD);
        for (group, (codes, thresholds)) in groups.zip(thresholds.as_chunks::<GROUP>().0).enumerate() {
            let sums = tile(panel, codes);
            for (query, (sums, &threshold)) in sums.iter().zip(thresholds).enumerate() {
                let limit = _mm512_set1_epi64(i64::from(threshold));
                let lowest = _mm512_min_epu64(_mm512_min_epu64(sums[0], sums[1]), sums[2]);
                if _mm512_cmple_epi64_mask(lowest, limit) == 0 {
                    continue;
                }
                let mut wide = [0u64; PANEL];
                for (lanes, &values) in wide.as_chunks_mut::<8>().0.iter_mut().zip(sums) {
                    // SAFETY: `lanes` has room for a vector.
                    unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), values) };
                }
                push_hits((group * GROUP + query) as u32, &wide.map(|sum| sum as u32), threshold, hits);
            }
        }
    }

    /// Sums of a panel with a group of queries, in 24 registers.
    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    fn tile(panel: &[u8], codes: &[u8]) -> [[__m512i; WIDE]; GROUP] {
        let words = panel.len() / PANEL_WORD;
        assert!(words * GROUP_WORD <= codes.len());
        let mut sums = [[_mm512_setzero_si512(); WIDE]; GROUP];
        for word in 0..words {
            // SAFETY: `word` is a word of the panel and of the group, as asserted.
            unsafe {
                let docs = panel.as_ptr().add(word * PANEL_WORD);
                let query = codes.as_ptr().add(word * GROUP_WORD).cast::<i64>();
                let docs: [__m512i; WIDE] =
                    std::array::from_fn(|vector| _mm512_loadu_si512(docs.add(vector * 64).cast()));
                for (index, sums) in sums.iter_mut().enumerate() {
                    let code = _mm512_set1_epi64(query.add(index).read_unaligned());
                    for (sum, &docs) in sums.iter_mut().zip(&docs) {
                        *sum = _mm512_add_epi64(*sum, _mm512_sad_epu8(docs, code));
                    }
                }
            }
        }
        sums
    }

    /// Docs (in vectors) and queries whose sums fill the sixteen registers of 256 bits.
    const NARROW: usize = 3;
    const HALF: usize = GROUP / 2;

    #[target_feature(enable = "avx2")]
    pub fn avx2(panel: &[u8], codes: &[u8], thresholds: &[i32], hits: &mut Vec<Hit>) {
        let words = panel.len() / PANEL_WORD;
        let groups = codes.chunks_exact(words * GROUP_WORD);
        for (group, (codes, thresholds)) in groups.zip(thresholds.as_chunks::<GROUP>().0).enumerate() {
            for half in 0..GROUP / HALF {
                let mut sums = [[0u64; PANEL]; HALF];
                for part in 0..PANEL / (NARROW * 4) {
                    let narrow = narrow_tile(panel, codes, part, half);
                    for (narrow, sums) in narrow.iter().zip(&mut sums) {
                        let lanes = sums[part * NARROW * 4..].as_chunks_mut::<4>().0;
                        for (&values, lanes) in narrow.iter().zip(lanes) {
                            // SAFETY: `lanes` has room for a vector.
                            unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), values) };
                        }
                    }
                }
                for (query, sums) in sums.iter().enumerate() {
                    let query = half * HALF + query;
                    let sums = sums.map(|sum| sum as u32);
                    push_hits((group * GROUP + query) as u32, &sums, thresholds[query], hits);
                }
            }
        }
    }

    /// Sums of half a panel with half a group.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn narrow_tile(panel: &[u8], codes: &[u8], part: usize, half: usize) -> [[__m256i; NARROW]; HALF] {
        let words = panel.len() / PANEL_WORD;
        assert!(words * GROUP_WORD <= codes.len() && part < PANEL / (NARROW * 4) && half < GROUP / HALF);
        let mut sums = [[_mm256_setzero_si256(); NARROW]; HALF];
        for word in 0..words {
            // SAFETY: `word` is a word of the panel and of the group, and the parts lie in them.
            unsafe {
                let docs = panel.as_ptr().add(word * PANEL_WORD + part * NARROW * 32);
                let query = codes.as_ptr().add(word * GROUP_WORD + half * HALF * WORD).cast::<i64>();
                let docs: [__m256i; NARROW] =
                    std::array::from_fn(|vector| _mm256_loadu_si256(docs.add(vector * 32).cast()));
                for (index, sums) in sums.iter_mut().enumerate() {
                    let code = _mm256_set1_epi64x(query.add(index).read_unaligned());
                    for (sum, &docs) in sums.iter_mut().zip(&docs) {
                        *sum = _mm256_add_epi64(*sum, _mm256_sad_epu8(docs, code));
                    }
                }
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn hits_are_those_of_a_naive_loop_at_every_level(
            words in 1usize..30, groups in 1usize..5, seed in any::<u32>(), share in 0.0f64..1.2,
        ) {
            let bits = |index: usize| ((index as u32 ^ seed).wrapping_mul(2_654_435_761).rotate_left(9) >> 11) as u8;
            let panel: Vec<u8> = (0..words * PANEL_WORD).map(bits).collect();
            let codes: Vec<u8> = (0..groups * words * GROUP_WORD).map(|index| bits(index + 77)).collect();
            let usual = (share * 85.0 * (words * WORD) as f64) as i32;
            let thresholds: Vec<i32> = (0..groups * GROUP)
                .map(|query| match query % 9 { 7 => -1, 8 => i32::MAX, _ => usual + i32::from(bits(query)) })
                .collect();
            let mut naive = Vec::new();
            for (query, &threshold) in thresholds.iter().enumerate() {
                let (group, lane) = (query / GROUP, query % GROUP);
                for doc in 0..PANEL {
                    let sum: u32 = (0..words * WORD).map(|dimension| {
                        let (word, byte) = (dimension / WORD, dimension % WORD);
                        let doc = panel[word * PANEL_WORD + doc * WORD + byte];
                        u32::from(doc.abs_diff(codes[(group * words + word) * GROUP_WORD + lane * WORD + byte]))
                    }).sum();
                    if i64::from(sum) <= i64::from(threshold) {
                        naive.push(Hit { query: query as u32, doc: doc as u32, sum });
                    }
                }
            }
            for level in Level::available() {
                let mut hits = Vec::new();
                panel_hits(level, &panel, &codes, &thresholds, &mut hits);
                prop_assert_eq!(&hits, &naive, "{}", level.name());
            }
        }
    }
}
