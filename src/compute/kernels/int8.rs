//! Int8 dot products of a panel of docs with tiles of queries, fused with the filter: sums live and
//! die in registers, and only pairs above their query's threshold touch memory.
//!
//! A doc's codes −127..=127 are stored as bytes `code + 128`, since the instructions multiply
//! unsigned by signed bytes: `vpdpbusd` adds four products a lane. A panel holds 48 docs, four
//! dimensions (a *word*) at a time: word by word, 48 × 4 bytes. Queries come in groups of eight:
//! word by word, 8 × 4 bytes. Eight queries and 48 docs fill 24 of the 32 AVX-512 registers.

/// Docs in a panel.
pub const PANEL: usize = 48;
/// Queries in a group.
pub const GROUP: usize = 8;
/// Dimensions in a word.
pub const WORD: usize = 4;
/// What is added to a doc's code.
pub const BIAS: i32 = 128;
/// Bytes of a word of a panel, and of a group.
pub const PANEL_WORD: usize = PANEL * WORD;
pub const GROUP_WORD: usize = GROUP * WORD;
/// The largest code.
pub const CODE_MAX: f32 = 127.0;

/// A pair above its threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// In the order of the groups.
    pub query: u32,
    /// In the panel.
    pub doc: u32,
    /// Σ (code of the doc + 128) · code of the query.
    pub sum: i32,
}

/// How the CPU adds up int8 products, as far as the kernels care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dot {
    Scalar,
    /// The scalar twin in AVX2 registers: products are widened to 16 bits first.
    Avx2,
    /// The scalar twin compiled for the int8 instructions of ARMv8.6.
    Neon,
    /// `vpdpbusd` in 256 bits.
    AvxVnni,
    /// `vpdpbusd` in 512 bits.
    Avx512Vnni,
}

impl Dot {
    pub const ALL: [Self; 5] = [Self::Scalar, Self::Avx2, Self::Neon, Self::AvxVnni, Self::Avx512Vnni];

    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Neon => "neon i8mm",
            Self::AvxVnni => "avx-vnni",
            Self::Avx512Vnni => "avx512-vnni",
        }
    }

    /// The best that this machine has within `level`.
    pub fn within(level: super::Level) -> Self {
        let allowed = |dot: &Self| match dot {
            Self::Scalar => true,
            // Levels are those of x86; elsewhere there is nothing to lower.
            Self::Neon => true,
            Self::Avx2 | Self::AvxVnni => level >= super::Level::Avx2,
            Self::Avx512Vnni => level >= super::Level::Avx512,
        };
        Self::available().filter(allowed).last().unwrap_or(Self::Scalar)
    }

    /// What this machine can run.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|dot| dot.is_here())
    }

    /// Whether int8 is several times faster than float32 with it.
    pub fn is_fast(self) -> bool {
        self >= Self::Neon
    }

    #[cfg(target_arch = "x86_64")]
    fn is_here(self) -> bool {
        match self {
            Self::Scalar => true,
            Self::Avx2 => is_x86_feature_detected!("avx2"),
            Self::Neon => false,
            Self::AvxVnni => is_x86_feature_detected!("avxvnni") && is_x86_feature_detected!("avx2"),
            Self::Avx512Vnni => is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512f"),
        }
    }

    #[cfg(target_arch = "aarch64")]
    fn is_here(self) -> bool {
        match self {
            Self::Scalar => true,
            Self::Neon => std::arch::is_aarch64_feature_detected!("i8mm"),
            Self::Avx2 | Self::AvxVnni | Self::Avx512Vnni => false,
        }
    }

    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    fn is_here(self) -> bool {
        self == Self::Scalar
    }
}

/// A tile of queries as [`panel_hits`] takes them.
#[derive(Debug, Clone, Copy)]
pub struct QueryCodes<'a> {
    /// Group by group, `stride` words of 8 × 4 codes.
    pub codes: &'a [i8],
    /// Words of a group that lie in `codes`.
    pub stride: usize,
    /// One a query, whole groups: a pair is a hit if its sum is greater.
    pub thresholds: &'a [i32],
}

/// Appends the pairs of a panel and a tile of queries whose sum is above the query's threshold, by
/// query, then by doc.
///
/// `panel`: whole words of 48 × 4 bytes; of each query the first as many words are used, at most
/// 16,384 of them, so that sums stay below 2³¹.
///
/// `next` is brought near meanwhile: the panel that comes after this one.
pub fn panel_hits(dot: Dot, panel: &[u8], next: &[u8], queries: QueryCodes<'_>, hits: &mut Vec<Hit>) {
    let words = panel.len() / PANEL_WORD;
    assert!(panel.len().is_multiple_of(PANEL_WORD) && words <= queries.stride && words <= 16_384);
    assert!(queries.thresholds.len().is_multiple_of(GROUP));
    assert_eq!(queries.codes.len(), queries.thresholds.len() / GROUP * queries.stride * GROUP_WORD);
    #[cfg(target_arch = "x86_64")]
    match dot {
        // SAFETY: the features are there.
        Dot::Avx512Vnni if dot.is_here() => return unsafe { x86::avx512_vnni(panel, next, queries, hits) },
        // SAFETY: as above.
        Dot::AvxVnni if dot.is_here() => return unsafe { x86::avx_vnni(panel, next, queries, hits) },
        // SAFETY: as above.
        Dot::Avx2 if dot.is_here() => return unsafe { x86::avx2(panel, queries, hits) },
        _ => {}
    }
    #[cfg(target_arch = "aarch64")]
    if dot == Dot::Neon && dot.is_here() {
        #[target_feature(enable = "neon,i8mm")]
        fn neon(panel: &[u8], queries: QueryCodes<'_>, hits: &mut Vec<Hit>) {
            scalar_hits(panel, queries, hits);
        }
        // SAFETY: the feature is there.
        return unsafe { neon(panel, queries, hits) };
    }
    let _ = (dot, next);
    scalar_hits(panel, queries, hits);
}

/// The twin of every level.
#[inline(always)]
fn scalar_hits(panel: &[u8], queries: QueryCodes<'_>, hits: &mut Vec<Hit>) {
    let groups = queries.codes.chunks_exact(queries.stride * GROUP_WORD);
    for (group, (codes, thresholds)) in groups.zip(queries.thresholds.as_chunks::<GROUP>().0).enumerate() {
        for (query, &threshold) in thresholds.iter().enumerate() {
            let mut sums = [0i32; PANEL];
            for (docs, codes) in panel.as_chunks::<PANEL_WORD>().0.iter().zip(codes.as_chunks::<GROUP_WORD>().0) {
                let word: [i32; WORD] = std::array::from_fn(|byte| i32::from(codes[query * WORD + byte]));
                for (sum, doc) in sums.iter_mut().zip(docs.as_chunks::<WORD>().0) {
                    *sum += (0..WORD).map(|byte| i32::from(doc[byte]) * word[byte]).sum::<i32>();
                }
            }
            let query = (group * GROUP + query) as u32;
            let above = sums.iter().zip(0..).filter(|&(&sum, _)| sum > threshold);
            hits.extend(above.map(|(&sum, doc)| Hit { query, doc, sum }));
        }
    }
}

/// Multiply-adds of one round of [`peak_round`]; 0 where no level here is fast.
pub fn peak_products(dot: Dot) -> u64 {
    match dot {
        Dot::Avx512Vnni => 24 * 64,
        Dot::AvxVnni => 12 * 32,
        Dot::Scalar | Dot::Avx2 | Dot::Neon => 0,
    }
}

/// Does nothing but dot products in registers, `rounds` times: how fast the CPU could be at best.
pub fn peak_round(dot: Dot, rounds: usize) -> i32 {
    #[cfg(target_arch = "x86_64")]
    match dot {
        // SAFETY: the features are there.
        Dot::Avx512Vnni if dot.is_here() => return unsafe { x86::peak_avx512_vnni(rounds) },
        // SAFETY: as above.
        Dot::AvxVnni if dot.is_here() => return unsafe { x86::peak_avx_vnni(rounds) },
        _ => {}
    }
    let _ = (dot, rounds);
    0
}

/// Σ left · right of codes, left ones stored with the bias of docs.
///
/// `left`, `right`: equal lengths, at most 65,536.
pub fn row_dot(dot: Dot, left: &[u8], right: &[i8]) -> i32 {
    assert!(left.len() == right.len() && left.len() <= 65_536);
    #[cfg(target_arch = "x86_64")]
    match dot {
        // SAFETY: the features are there.
        Dot::Avx512Vnni if dot.is_here() => return unsafe { x86::row_dot_avx512_vnni(left, right) },
        // SAFETY: as above.
        Dot::Avx2 | Dot::AvxVnni if dot.is_here() => return unsafe { x86::row_dot_avx2(left, right) },
        _ => {}
    }
    let _ = dot;
    scalar_row_dot(left, right)
}

#[inline(always)]
fn scalar_row_dot(left: &[u8], right: &[i8]) -> i32 {
    left.iter().zip(right).map(|(&a, &b)| (i32::from(a) - BIAS) * i32::from(b)).sum()
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256i, __m512i, _MM_HINT_T0, _MM_HINT_T1, _mm_prefetch, _mm256_castsi256_ps, _mm256_cmpgt_epi32,
        _mm256_dpbusd_avx_epi32, _mm256_loadu_si256, _mm256_movemask_ps, _mm256_set1_epi32, _mm256_setzero_si256,
        _mm256_storeu_si256, _mm512_cmpgt_epi32_mask, _mm512_dpbusd_epi32, _mm512_loadu_si512, _mm512_max_epi32,
        _mm512_reduce_add_epi32, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_setzero_si512, _mm512_storeu_si512,
    };

    use super::{BIAS, GROUP, GROUP_WORD, Hit, PANEL, PANEL_WORD, QueryCodes, WORD};

    /// Vectors of a panel.
    const WIDE: usize = PANEL / 16;
    /// How far ahead queries are asked for, in words.
    const AHEAD: usize = 24;

    /// Parts of the panel that comes next, one for every group, in whole lines.
    fn share_of(next: &[u8], groups: usize) -> std::slice::Chunks<'_, u8> {
        next.chunks((next.len() / groups.max(1)).next_multiple_of(64).max(64))
    }

    fn prefetch(part: Option<&[u8]>) {
        for line in part.into_iter().flat_map(|part| part.chunks(64)) {
            // SAFETY: a prefetch touches nothing, and the address lies in a slice.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) };
        }
    }

    #[target_feature(enable = "avx512f,avx512vnni")]
    pub fn avx512_vnni(panel: &[u8], next: &[u8], queries: QueryCodes<'_>, hits: &mut Vec<Hit>) {
        let groups = queries.codes.chunks_exact(queries.stride * GROUP_WORD);
        let mut next = share_of(next, groups.len());
        let mut stored = [0i32; PANEL];
        for (group, (codes, thresholds)) in groups.zip(queries.thresholds.as_chunks::<GROUP>().0).enumerate() {
            prefetch(next.next());
            let sums = tile(panel, codes);
            for (query, (sums, &threshold)) in sums.iter().zip(thresholds).enumerate() {
                let threshold = _mm512_set1_epi32(threshold);
                let highest = _mm512_max_epi32(_mm512_max_epi32(sums[0], sums[1]), sums[2]);
                if _mm512_cmpgt_epi32_mask(highest, threshold) == 0 {
                    continue;
                }
                let mut above = 0u64;
                for (vector, (&values, lanes)) in sums.iter().zip(stored.as_chunks_mut::<16>().0).enumerate() {
                    above |= u64::from(_mm512_cmpgt_epi32_mask(values, threshold)) << (16 * vector);
                    // SAFETY: `lanes` has room for a vector.
                    unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), values) };
                }
                let query = (group * GROUP + query) as u32;
                while above != 0 {
                    let doc = above.trailing_zeros();
                    above &= above - 1;
                    hits.push(Hit { query, doc, sum: stored[doc as usize % PANEL] });
                }
            }
        }
    }

    /// Sums of a panel with a group of queries, in 24 registers.
    #[target_feature(enable = "avx512f,avx512vnni")]
    #[inline]
    fn tile(panel: &[u8], codes: &[i8]) -> [[__m512i; WIDE]; GROUP] {
        let words = panel.len() / PANEL_WORD;
        assert!(words * GROUP_WORD <= codes.len());
        let mut sums = [[_mm512_setzero_si512(); WIDE]; GROUP];
        for word in 0..words {
            // SAFETY: `word` is a word of the panel and of the group, as asserted.
            unsafe {
                let docs = panel.as_ptr().add(word * PANEL_WORD);
                let query = codes.as_ptr().add(word * GROUP_WORD).cast::<i32>();
                // A hint that may pass the end; nothing is read.
                _mm_prefetch::<_MM_HINT_T0>(query.wrapping_add(AHEAD * GROUP).cast());
                let docs: [__m512i; WIDE] =
                    std::array::from_fn(|vector| _mm512_loadu_si512(docs.add(vector * 64).cast()));
                for (index, sums) in sums.iter_mut().enumerate() {
                    let code = _mm512_set1_epi32(query.add(index).read_unaligned());
                    for (sum, &docs) in sums.iter_mut().zip(&docs) {
                        *sum = _mm512_dpbusd_epi32(*sum, docs, code);
                    }
                }
            }
        }
        sums
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
                    let narrow = narrow_tile(panel, codes, part, half);
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

    /// Sums of half a panel with half a group.
    #[target_feature(enable = "avx2,avxvnni")]
    #[inline]
    fn narrow_tile(panel: &[u8], codes: &[i8], part: usize, half: usize) -> [[__m256i; NARROW]; HALF] {
        let words = panel.len() / PANEL_WORD;
        assert!(words * GROUP_WORD <= codes.len() && part < PANEL / (NARROW * 8) && half < GROUP / HALF);
        let mut sums = [[_mm256_setzero_si256(); NARROW]; HALF];
        for word in 0..words {
            // SAFETY: `word` is a word of the panel and of the group, and the parts lie in them.
            unsafe {
                let docs = panel.as_ptr().add(word * PANEL_WORD + part * NARROW * 32);
                let query = codes.as_ptr().add(word * GROUP_WORD + half * HALF * WORD).cast::<i32>();
                let docs: [__m256i; NARROW] =
                    std::array::from_fn(|vector| _mm256_loadu_si256(docs.add(vector * 32).cast()));
                for (index, sums) in sums.iter_mut().enumerate() {
                    let code = _mm256_set1_epi32(query.add(index).read_unaligned());
                    for (sum, &docs) in sums.iter_mut().zip(&docs) {
                        *sum = _mm256_dpbusd_avx_epi32(*sum, docs, code);
                    }
                }
            }
        }
        sums
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(panel: &[u8], words: usize, codes: &[i8], stride: usize, doc: usize, query: usize) -> i32 {
        (0..words * WORD)
            .map(|dimension| {
                let (word, byte) = (dimension / WORD, dimension % WORD);
                let code = panel[word * PANEL_WORD + doc * WORD + byte];
                let (group, lane) = (query / GROUP, query % GROUP);
                i32::from(code) * i32::from(codes[(group * stride + word) * GROUP_WORD + lane * WORD + byte])
            })
            .sum()
    }

    proptest! {
        #[test]
        fn hits_are_those_of_a_naive_loop_at_every_level(
            words in 1usize..40, more in 0usize..3, groups in 1usize..5, seed in any::<u32>(), threshold in -300_000i32..300_000,
        ) {
            let bits = |index: usize| (index as u32 ^ seed).wrapping_mul(2_654_435_761).rotate_left(9) ;
            let stride = words + more;
            let panel: Vec<u8> = (0..words * PANEL_WORD).map(|index| (bits(index) >> 11) as u8).collect();
            let codes: Vec<i8> = (0..groups * stride * GROUP_WORD).map(|index| ((bits(index + 77) >> 13) as i8).max(-127)).collect();
            let thresholds: Vec<i32> = (0..groups * GROUP)
                .map(|query| match query % 9 { 7 => i32::MIN, 8 => i32::MAX, _ => threshold + (bits(query) >> 20) as i32 })
                .collect();
            let queries = QueryCodes { codes: &codes, stride, thresholds: &thresholds };
            let mut naive = Vec::new();
            for (query, &threshold) in thresholds.iter().enumerate() {
                for doc in 0..PANEL {
                    let sum = sum(&panel, words, &codes, stride, doc, query);
                    if sum > threshold {
                        naive.push(Hit { query: query as u32, doc: doc as u32, sum });
                    }
                }
            }
            for dot in Dot::available() {
                let mut hits = Vec::new();
                panel_hits(dot, &panel, &panel[words / 2..], queries, &mut hits);
                prop_assert_eq!(&hits, &naive, "{}", dot.name());
            }
        }

        #[test]
        fn row_dots_are_those_of_a_naive_loop(pairs in prop::collection::vec((1u8..=255, -127i8..=127), 0..300)) {
            let (left, right): (Vec<u8>, Vec<i8>) = pairs.iter().copied().unzip();
            let naive: i32 = pairs.iter().map(|&(a, b)| (i32::from(a) - 128) * i32::from(b)).sum();
            for dot in Dot::available() {
                prop_assert_eq!(row_dot(dot, &left, &right), naive);
            }
        }
    }

    /// The longest vectors at the ends of their ranges: sums must not wrap.
    #[test]
    fn the_longest_sums_fit() {
        let words = 16_384;
        let panel = vec![255u8; words * PANEL_WORD];
        let codes = vec![127i8; words * GROUP_WORD];
        for dot in Dot::available() {
            let mut hits = Vec::new();
            let thresholds = [255 * 127 * 65_536 - 1; GROUP];
            panel_hits(
                dot,
                &panel,
                &[],
                QueryCodes { codes: &codes, stride: words, thresholds: &thresholds },
                &mut hits,
            );
            assert_eq!(hits.len(), PANEL * GROUP);
            assert!(hits.iter().all(|hit| hit.sum == 255 * 127 * 65_536));
            assert_eq!(row_dot(dot, &vec![255; 65_536], &vec![127; 65_536]), 127 * 127 * 65_536);
        }
    }
}
