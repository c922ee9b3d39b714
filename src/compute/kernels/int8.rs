//! Int8 dot products of a panel of docs with tiles of queries, fused with the filter: sums live and
//! die in registers, and only pairs above their query's threshold touch memory.
//!
//! A doc's codes −127..=127 are stored as bytes `code + 128`, since the instructions multiply
//! unsigned by signed bytes: `vpdpbusd` adds four products a lane. A panel holds 48 docs, four
//! dimensions (a *word*) at a time: word by word, 48 × 4 bytes. Queries come in groups of eight:
//! word by word, 8 × 4 bytes. Eight queries and 48 docs fill 24 of the 32 AVX-512 registers.

#[cfg(target_arch = "x86_64")]
mod x86;

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

/// A doc's code as it is stored.
pub fn biased(code: i8) -> u8 {
    (code as u8).wrapping_add(BIAS as u8)
}

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
            let words = codes.as_chunks::<GROUP_WORD>().0.iter();
            let sums = scalar_sums(panel, words.map(|words| &words.as_chunks::<WORD>().0[query]));
            let query = (group * GROUP + query) as u32;
            let above = sums.iter().zip(0..).filter(|&(&sum, _)| sum > threshold);
            hits.extend(above.map(|(&sum, doc)| Hit { query, doc, sum }));
        }
    }
}

/// Sums of a panel with a vector, given word by word.
#[inline(always)]
fn scalar_sums<'a>(panel: &[u8], words: impl Iterator<Item = &'a [i8; WORD]>) -> [i32; PANEL] {
    let mut sums = [0i32; PANEL];
    for (docs, word) in panel.as_chunks::<PANEL_WORD>().0.iter().zip(words) {
        let word = word.map(i32::from);
        for (sum, doc) in sums.iter_mut().zip(docs.as_chunks::<WORD>().0) {
            *sum += (0..WORD).map(|byte| i32::from(doc[byte]) * word[byte]).sum::<i32>();
        }
    }
    sums
}

/// Σ (code of the panel + 128) · code of the row, of each of eight rows with each of the first `wanted` of a panel's 48; what the others
/// become says nothing.
///
/// `rows`: row-major, 8 × as many whole words as `panel` has, at most 16,384, so that sums stay below 2³¹. `sums`: overwritten.
/// Meanwhile the vectors `next` are asked for, four bytes a dimension.
pub fn tile_sums(
    dot: Dot,
    panel: &[u8],
    wanted: usize,
    rows: &[i8],
    next: &[&[f32]],
    sums: &mut [[i32; PANEL]; GROUP],
) {
    assert!(wanted <= PANEL);
    let words = panel.len() / PANEL_WORD;
    assert!(panel.len() == words * PANEL_WORD && rows.len() == words * GROUP_WORD && words <= 16_384);
    #[cfg(target_arch = "x86_64")]
    match dot {
        // SAFETY: the features are there.
        Dot::Avx512Vnni if dot.is_here() => {
            return unsafe { x86::tile_sums_avx512_vnni(panel, wanted, rows, next, sums) };
        }
        _ => next.iter().for_each(|vector| super::prefetch(vector)),
    }
    #[cfg(target_arch = "x86_64")]
    match dot {
        // SAFETY: as above.
        Dot::AvxVnni if dot.is_here() => return unsafe { x86::tile_sums_avx_vnni(panel, wanted, rows, sums) },
        // SAFETY: as above.
        Dot::Avx2 if dot.is_here() => return unsafe { x86::tile_sums_avx2(panel, rows, sums) },
        _ => {}
    }
    #[cfg(target_arch = "aarch64")]
    if dot == Dot::Neon && dot.is_here() {
        #[target_feature(enable = "neon,i8mm")]
        fn neon(panel: &[u8], rows: &[i8], sums: &mut [[i32; PANEL]; GROUP]) {
            scalar_tile_sums(panel, rows, sums);
        }
        // SAFETY: the feature is there.
        return unsafe { neon(panel, rows, sums) };
    }
    let _ = (dot, next, wanted);
    scalar_tile_sums(panel, rows, sums);
}

#[inline(always)]
fn scalar_tile_sums(panel: &[u8], rows: &[i8], sums: &mut [[i32; PANEL]; GROUP]) {
    let rows = rows.chunks_exact((rows.len() / GROUP).max(1));
    sums.iter_mut().zip(rows).for_each(|(sums, row)| *sums = scalar_sums(panel, row.as_chunks().0.iter()));
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
            words in 1usize..40, more in 0usize..3, groups in 1usize..20, wanted in 1usize..=PANEL, seed in any::<u32>(), threshold in -300_000i32..300_000,
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
            // The first group, row by row.
            let rows: Vec<i8> = (0..GROUP)
                .flat_map(|query| (0..words).map(move |word| word * GROUP_WORD + query * WORD))
                .flat_map(|at| codes[at..at + WORD].iter().copied())
                .collect();
            let naive_sums: [[i32; PANEL]; GROUP] =
                std::array::from_fn(|query| std::array::from_fn(|doc| sum(&panel, words, &codes, stride, doc, query)));
            for dot in Dot::available() {
                let mut hits = Vec::new();
                panel_hits(dot, &panel, &panel[words / 2..], queries, &mut hits);
                prop_assert_eq!(&hits, &naive, "{}", dot.name());
                let mut sums = [[7; PANEL]; GROUP];
                tile_sums(dot, &panel, wanted, &rows, &[&[0.5; 3], &[], &[0.5; 170]], &mut sums);
                for (sums, naive) in sums.iter().zip(&naive_sums) {
                    prop_assert_eq!(&sums[..wanted], &naive[..wanted], "{}", dot.name());
                }
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
            let mut sums = [[0; PANEL]; GROUP];
            tile_sums(dot, &panel, PANEL, &codes, &[], &mut sums);
            assert_eq!(sums, [[255 * 127 * 65_536; PANEL]; GROUP]);
            assert_eq!(row_dot(dot, &vec![255; 65_536], &vec![127; 65_536]), 127 * 127 * 65_536);
        }
    }
}
