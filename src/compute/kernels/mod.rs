//! The arithmetic in the innermost loops, compiled once for each CPU level and chosen at run time.
//!
//! Most kernels are one generic body ([`scalar`]); the faster levels are the same body compiled with
//! wider vectors allowed. None of them contracts multiply and add, and the order of additions is
//! fixed by the length alone, so every level gives the same bits. The level is an argument;
//! [`Level::detected`] is looked up once, and `KNNSCOPE_CPU=scalar|avx2|avx512` can lower it.

pub mod fused;
pub mod int8;
pub mod overlap;
pub mod sad;
pub mod scalar;
#[cfg(target_arch = "x86_64")]
mod wide;

use std::sync::OnceLock;

use fused::{PackedQueries, Survivor, TileFilter};

/// What the CPU can do, as far as the kernels care. Ordered: a level includes those below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Scalar,
    Avx2,
    Avx512,
}

impl Level {
    pub const ALL: [Self; 3] = [Self::Scalar, Self::Avx2, Self::Avx512];

    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// The best level of this machine, or a lower one that `KNNSCOPE_CPU` names. Found once.
    pub fn detected() -> Self {
        static LEVEL: OnceLock<Level> = OnceLock::new();
        *LEVEL.get_or_init(|| {
            let lowered = Self::wanted().ok().flatten();
            lowered.map_or(Self::best(), |level| level.min(Self::best()))
        })
    }

    /// The level that `KNNSCOPE_CPU` names, if it is set.
    ///
    /// # Errors
    /// What it says, where that is no level.
    pub fn wanted() -> Result<Option<Self>, String> {
        let Some(wanted) = std::env::var_os("KNNSCOPE_CPU").filter(|wanted| !wanted.is_empty()) else {
            return Ok(None);
        };
        let named = Self::ALL.into_iter().find(|level| wanted == level.name());
        named.map(Some).ok_or_else(|| wanted.to_string_lossy().into_owned())
    }

    /// The levels that this machine can run.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|&level| level <= Self::best())
    }

    /// Found once: kernels ask at every call.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    fn best() -> Self {
        static BEST: OnceLock<Level> = OnceLock::new();
        *BEST.get_or_init(|| {
            let has_avx512 = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl");
            if has_avx512 && is_x86_feature_detected!("popcnt") {
                Self::Avx512
            } else if is_x86_feature_detected!("avx2") {
                Self::Avx2
            } else {
                Self::Scalar
            }
        })
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn best() -> Self {
        Self::Scalar
    }
}

/// Declares a kernel: its scalar twin compiled for every level, and the dispatch between them.
macro_rules! kernel {
    ($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $result:ty)?) => {
        $(#[$doc])*
        pub fn $name(level: Level, $($arg: $type),*) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn avx2($($arg: $type),*) $(-> $result)? {
                    scalar::$name($($arg),*)
                }
                #[target_feature(enable = "avx512f,avx512vl,avx2")]
                fn avx512($($arg: $type),*) $(-> $result)? {
                    scalar::$name($($arg),*)
                }
                match level.min(Level::best()) {
                    // SAFETY: `Level::best` found the features on this CPU.
                    Level::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    Level::Avx2 => return unsafe { avx2($($arg),*) },
                    Level::Scalar => {}
                }
            }
            let _ = level;
            scalar::$name($($arg),*)
        }
    };
}

/// Σ left·right in float64.
///
/// `left`, `right`: equal lengths. Products of two float32 are exact in float64; they are added in
/// sixteen lanes by index modulo 16, then the lanes pairwise, so the bits depend on the values alone.
/// Relative error at most `len · 2⁻⁵³ · Σ|left·right|`.
pub fn dot_f64(level: Level, left: &[f32], right: &[f32]) -> f64 {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn avx2(left: &[f32], right: &[f32]) -> f64 {
            scalar::dot_f64(left, right)
        }
        match level.min(Level::best()) {
            // SAFETY: `Level::best` found the features on this CPU.
            Level::Avx512 => return unsafe { wide::dot_f64(left, right) },
            // SAFETY: as above.
            Level::Avx2 => return unsafe { avx2(left, right) },
            Level::Scalar => {}
        }
    }
    let _ = level;
    scalar::dot_f64(left, right)
}

/// [`dot_f64`] of `count` pairs of vectors, all of one length. `found` hears of each in turn. Vectors are asked for some pairs ahead:
/// with AVX-512 line by line, see [`dot_f64_asking`], otherwise the right ones as a whole.
pub fn dots_f64<'v>(
    level: Level,
    count: usize,
    left: impl Fn(usize) -> &'v [f32],
    right: impl Fn(usize) -> &'v [f32],
    mut found: impl FnMut(usize, f64),
) {
    if count == 0 {
        return;
    }
    let ahead = (BYTES_AHEAD / size_of_val(left(0)).max(1)).clamp(2, MOST_AHEAD - 1);
    #[cfg(target_arch = "x86_64")]
    if level.min(Level::best()) == Level::Avx512 {
        // SAFETY: `Level::best` found the features on this CPU.
        return unsafe { wide::dots_f64(count, ahead, left, right, found) };
    }
    for index in 0..count {
        prefetch(right((index + ahead).min(count - 1)));
        found(index, dot_f64(level, left(index), right(index)));
    }
}

/// Of each side, so much is asked for ahead of what is added up: 384 dimensions on Zen 5, 45 ns a pair with 6 KB, 40 with 12; 1,024
/// dimensions, 70 ns with 8 to 16 KB, 80 with 32.
const BYTES_AHEAD: usize = 12 << 10;
/// Fewer pairs ahead than this, a power of two.
const MOST_AHEAD: usize = 16;

/// [`dot_f64`], and meanwhile asks for the vectors `next` to be brought near, line by line: all at once, more would be asked for
/// than memory answers at a time, and everything else would wait.
pub fn dot_f64_asking(level: Level, left: &[f32], right: &[f32], next: [&[f32]; 2]) -> f64 {
    #[cfg(target_arch = "x86_64")]
    if level.min(Level::best()) == Level::Avx512 {
        // SAFETY: `Level::best` found the features on this CPU.
        return unsafe { wide::dot_f64_asking(left, right, next) };
    }
    next.into_iter().for_each(prefetch);
    dot_f64(level, left, right)
}

kernel! {
    /// Σ (left − right)² in float64, lanes as in [`dot_f64`].
    squared_distance_f64(left: &[f32], right: &[f32]) -> f64
}

kernel! {
    /// Σ |left − right| in float64, lanes as in [`dot_f64`].
    absolute_distance_f64(left: &[f32], right: &[f32]) -> f64
}

kernel! {
    /// Σ (left · left_scale − right · right_scale)² in float64, lanes as in [`dot_f64`].
    scaled_squared_distance_f64(left: &[f32], left_scale: f64, right: &[f32], right_scale: f64) -> f64
}

kernel! {
    /// Codes 0..=255 of `values`: the nearest whole number to (value − origin) / step, where it lies within.
    /// Returns Σ |value − (origin + step · code)| in float64.
    ///
    /// `values`, `origins`, `codes`: equal lengths. `step` > 0.
    quantise_absolute(values: &[f32], origins: &[f64], step: f64, codes: &mut [u8]) -> f64
}

kernel! {
    /// Whether every value is finite.
    all_finite(values: &[f32]) -> bool
}

kernel! {
    /// Appends the index of every score whose key is not below its query's threshold (NaN is kept).
    ///
    /// `scores`: doc_count × query_count. `thresholds`: one a query. `scales`, `offsets`: one a doc;
    /// the key of doc d for query q is `scores[d × query_count + q] · scales[d] − offsets[d]`, rounded
    /// twice. `indices` refer to `scores`, ascending.
    survivors(
        scores: &[f32], thresholds: &[f32], scales: &[f32], offsets: &[f32], indices: &mut Vec<u32>,
    )
}

kernel! {
    /// The largest absolute value; 0 of none. Values are finite.
    largest_abs(values: &[f32]) -> f32
}

kernel! {
    /// Rounds `values · factor` to codes −127..=127, and returns Σ (value − code · step)² in float32.
    ///
    /// `values`, `codes`: equal lengths. The sum is within a relative (len/16 + 20) · 2⁻²³, for
    /// values that squaring does not push below the normal range, plus len · 2⁻¹⁴⁹; a residual is
    /// off by two roundings of its value.
    quantise(values: &[f32], factor: f32, step: f32, codes: &mut [i8]) -> f32
}

kernel! {
    /// Σ code and Σ code², at most 65,536 of them.
    code_sums(codes: &[i8]) -> [i32; 2]
}

kernel! {
    /// Takes `others` off `values`, of equal lengths; each difference is rounded once.
    subtract(values: &mut [f32], others: &[f32])
}

kernel! {
    /// Values that sums of int8 products stand for: (sum − bias) · (its step · step), rounded three times.
    ///
    /// `sums`, `steps`, `values`: equal lengths. `values`: overwritten.
    values_of_sums(sums: &[i32], bias: i32, steps: &[f32], step: f32, values: &mut [f32])
}

/// What the bound of int8 sums needs of a panel of docs, see [`int8_thresholds`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PanelBounds {
    /// Value of a code's unit; 0 where all values are.
    pub step: f64,
    /// Largest ‖x − step · code‖ of its docs.
    pub residual: f64,
    /// Largest ‖x‖.
    pub norm: f64,
    /// Largest norm of the dimensions past the prefix.
    pub suffix: f64,
    /// Smallest offset.
    pub offset: f64,
}

/// What it needs of queries, one value each.
#[derive(Debug, Clone, Copy)]
pub struct QueryBounds<'a> {
    /// Keys below this cannot matter.
    pub limits: &'a [f64],
    /// One over the value of a code's unit; infinite where all codes are zero.
    pub inverse_steps: &'a [f64],
    /// ‖step · code‖
    pub sizes: &'a [f64],
    /// ‖q − step · code‖
    pub residuals: &'a [f64],
    /// Norm of the dimensions past the prefix.
    pub suffixes: &'a [f64],
    /// What rounding adds to every key.
    pub slacks: &'a [f64],
    /// What the bias of the docs adds to every sum.
    pub biases: &'a [f64],
}

kernel! {
    /// The largest sums of int8 products that rule a doc of the panel out.
    ///
    /// key ≤ step_q · step_p · (sum − bias_q) − offset + error with error = size_q · residual_p +
    /// residual_q · norm_p + suffix_q · suffix_p + slack_q (Cauchy–Schwarz, four times), so a key of
    /// at least limit_q needs a sum of at least (limit_q + offset − error) / (step_q · step_p) +
    /// bias_q. `thresholds`: one a query, overwritten; where nothing is known, all sums are above.
    int8_thresholds(panel: PanelBounds, queries: QueryBounds<'_>, thresholds: &mut [i32])
}

/// Weights of red, green and blue times 2¹⁶ in the luma and the two chroma signals of ITU-R BT.709-6
/// (Kr = 0.2126, Kb = 0.0722), limited range: luma scaled by 219/255, chroma by 224/255.
pub const LUMA: [i32; 3] = [11_966, 40_254, 4_064];
pub const BLUE_DIFFERENCE: [i32; 3] = [-6_596, -22_189, 28_785];
pub const RED_DIFFERENCE: [i32; 3] = [28_785, -26_145, -2_640];

/// Appends the index of every distance that is at most `own_limit` or its own limit, ascending.
///
/// # Panics
/// Slices of different lengths.
pub fn within_limits(level: Level, distances: &[u32], limits: &[u32], own_limit: u32, hits: &mut Vec<u32>) {
    assert_eq!(distances.len(), limits.len(), "a limit a distance");
    #[cfg(target_arch = "x86_64")]
    if level.min(Level::best()) == Level::Avx512 {
        // SAFETY: `Level::best` found the features on this CPU.
        return unsafe { wide::within_limits(distances, limits, own_limit, hits) };
    }
    let _ = level;
    scalar::within_limits(distances, limits, own_limit, 0, hits);
}

kernel! {
    /// Luma of each pixel of a row, 16 to 235.
    ///
    /// `rgba`: four bytes a pixel. `values`: one a pixel, overwritten.
    luma(rgba: &[u8], values: &mut [u8])
}

kernel! {
    /// A chroma signal of each square of four pixels in two rows, 16 to 240: that of their mean.
    ///
    /// `upper`, `lower`: four bytes a pixel, an even number of pixels. `values`: one a square,
    /// overwritten.
    chroma(weights: [i32; 3], upper: &[u8], lower: &[u8], values: &mut [u8])
}

/// Asks for `values` to be brought near; a hint, without effect on results.
pub fn prefetch<T>(values: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..size_of_val(values)).step_by(64) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch touches nothing, and the address lies in a slice.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(values.as_ptr().byte_add(line).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}

/// As [`prefetch`], of the line where `value` begins, and no nearer than the second cache.
#[cfg(target_arch = "x86_64")]
fn prefetch_far<T>(value: &T) {
    use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
    // SAFETY: a prefetch touches nothing, and the address is that of a value.
    unsafe { _mm_prefetch::<_MM_HINT_T1>(std::ptr::from_ref(value).cast()) };
}

/// Finds the (query, doc) pairs of a tile whose float32 key is not below the query's threshold (NaN is
/// kept), without ever storing scores. `false` if `level` has no such kernel; then nothing was done.
///
/// `docs`: row-major, doc_count × dim. Dots are fused multiply-adds in the order of the dimensions.
pub fn fused_survivors(
    level: Level,
    queries: &PackedQueries,
    docs: &[f32],
    filter: TileFilter<'_>,
    survivors: &mut Vec<Survivor>,
) -> bool {
    let doc_count = docs.len() / queries.dim();
    assert!(filter.thresholds.len() == queries.count() && filter.scales.len() == doc_count);
    assert!(filter.offsets.len() == doc_count);
    #[cfg(target_arch = "x86_64")]
    if level.min(Level::best()) == Level::Avx512 {
        // SAFETY: `Level::best` found the features on this CPU.
        unsafe { fused::avx512::survivors(queries, docs, filter, survivors) };
        return true;
    }
    let _ = (level, docs, filter, survivors);
    false
}

/// Whether `level` has a kernel for [`products_of_rows`].
pub fn multiplies_rows(level: Level) -> bool {
    cfg!(target_arch = "x86_64") && level.min(Level::best()) == Level::Avx512
}

/// Dot products of up to eight `rows` with every vector that was packed: fused multiply-adds in the order of the dimensions. Only
/// where [`multiplies_rows`] says so.
///
/// `next`: rows that are asked for meanwhile. `products`: overwritten, a row of as many as were packed for each of `rows`.
pub fn products_of_rows(level: Level, packed: &PackedQueries, rows: &[&[f32]], next: &[&[f32]], products: &mut [f32]) {
    assert!(multiplies_rows(level), "a kernel");
    assert!((1..=fused::DOCS).contains(&rows.len()) && products.len() == rows.len() * packed.count());
    #[cfg(target_arch = "x86_64")]
    // SAFETY: `Level::best` found the features on this CPU.
    unsafe {
        fused::avx512::products(packed, rows, next, products);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (packed, rows, next, products);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Lengths around every lane width.
    fn values() -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
        (0usize..70).prop_flat_map(|len| {
            let value = prop_oneof![
                4 => -1.0f32..1.0,
                1 => proptest::num::f32::NORMAL.prop_map(|v| v.clamp(-1e18, 1e18)),
                1 => Just(0.0f32),
                1 => Just(-0.0f32),
            ];
            (prop::collection::vec(value.clone(), len), prop::collection::vec(value, len))
        })
    }

    proptest! {
        #[test]
        fn every_level_gives_the_bits_of_its_scalar_twin((left, right) in values()) {
            for level in Level::available() {
                prop_assert_eq!(
                    dot_f64(level, &left, &right).to_bits(), scalar::dot_f64(&left, &right).to_bits());
                for next in [[&left[..], &right[..left.len() / 2]], [&[], &[0.5; 300]]] {
                    prop_assert_eq!(
                        dot_f64_asking(level, &left, &right, next).to_bits(), scalar::dot_f64(&left, &right).to_bits());
                }
                let pairs = [[&left[..], &right[..]], [&right, &left], [&left, &left]];
                for count in 0..=pairs.len() {
                    let mut found = Vec::new();
                    dots_f64(level, count, |index| pairs[index][0], |index| pairs[index][1], |index, dot| found.push((index, dot.to_bits())));
                    let twins = pairs[..count].iter().map(|[left, right]| scalar::dot_f64(left, right).to_bits());
                    prop_assert_eq!(found, twins.enumerate().collect::<Vec<_>>());
                }
                prop_assert_eq!(
                    squared_distance_f64(level, &left, &right).to_bits(),
                    scalar::squared_distance_f64(&left, &right).to_bits());
            }
        }

        #[test]
        fn dots_of_many_pairs_are_those_of_each(dim in prop_oneof![0usize..40, 380usize..400, 1000usize..3000], count in 0usize..60, seed in any::<u32>()) {
            let value = |index: usize| ((index as u32).wrapping_mul(2_654_435_761).wrapping_add(seed) >> 8) as f32 / (1 << 23) as f32 - 1.0;
            let vectors: Vec<Vec<f32>> = (0..7).map(|vector| (0..dim).map(|place| value(vector * dim + place)).collect()).collect();
            // No two pairs that follow each other are the same.
            let [left, right] = [3, 5].map(|step| { let vectors = &vectors; move |index: usize| vectors[index * step % 7].as_slice() });
            let twins: Vec<(usize, u64)> = (0..count).map(|index| (index, scalar::dot_f64(left(index), right(index)).to_bits())).collect();
            for level in Level::available() {
                let mut found = Vec::new();
                dots_f64(level, count, left, right, |index, dot| found.push((index, dot.to_bits())));
                prop_assert_eq!(&found, &twins);
            }
        }

        #[test]
        fn survivors_are_those_of_a_naive_loop(
            docs in 0usize..40, queries in 1usize..70, seed in any::<u32>(), threshold in -1.0f32..1.0,
        ) {
            let value = |index: usize| ((index as u32).wrapping_mul(2_654_435_761).wrapping_add(seed) >> 8) as f32 / (1 << 23) as f32 - 1.0;
            let scores: Vec<f32> = (0..docs * queries).map(value).collect();
            let thresholds: Vec<f32> = (0..queries).map(|query| threshold + value(query) / 8.0).collect();
            let scales: Vec<f32> = (0..docs).map(|doc| 1.0 + value(doc) / 4.0).collect();
            let offsets: Vec<f32> = (0..docs).map(|doc| value(doc + 77) / 4.0).collect();
            let naive: Vec<u32> = (0..docs * queries)
                .filter(|&index| {
                    let (doc, query) = (index / queries, index % queries);
                    scores[index] * scales[doc] - offsets[doc] >= thresholds[query]
                })
                .map(|index| index as u32)
                .collect();
            for level in Level::available() {
                let mut fast = Vec::new();
                survivors(level, &scores, &thresholds, &scales, &offsets, &mut fast);
                prop_assert_eq!(&fast, &naive);
            }
        }

        #[test]
        fn fused_survivors_are_those_of_the_twin(
            docs in 1usize..40, queries in 1usize..110, dim in 1usize..40, seed in any::<u32>(), threshold in -1.0f32..1.0,
        ) {
            let value = |index: usize| ((index as u32).wrapping_mul(2_654_435_761).wrapping_add(seed) >> 8) as f32 / (1 << 23) as f32 - 1.0;
            let query_values: Vec<f32> = (0..queries * dim).map(value).collect();
            let doc_values: Vec<f32> = (0..docs * dim).map(|index| value(index + 991)).collect();
            let thresholds: Vec<f32> = (0..queries).map(|query| threshold + value(query) / 8.0).collect();
            let scales: Vec<f32> = (0..docs).map(|doc| if doc % 17 == 5 { f32::INFINITY } else { 1.0 + value(doc) / 4.0 }).collect();
            let offsets: Vec<f32> = (0..docs).map(|doc| value(doc + 77) / 4.0).collect();
            let filter = TileFilter { thresholds: &thresholds, scales: &scales, offsets: &offsets };
            let mut packed = PackedQueries::default();
            packed.pack(&query_values, dim);
            let mut naive = Vec::new();
            fused::scalar(&packed, &doc_values, filter, &mut naive);
            for level in Level::available() {
                let mut fast = Vec::new();
                if fused_survivors(level, &packed, &doc_values, filter, &mut fast) {
                    let bits = |found: &[Survivor]| found.iter().map(|s| (s.doc, s.query, s.key.to_bits())).collect::<Vec<_>>();
                    prop_assert_eq!(bits(&fast), bits(&naive));
                }
            }
        }

        #[test]
        fn products_of_rows_are_those_of_the_twin(
            rows in 1usize..=8, count in 1usize..150, dim in 1usize..70, next in 0usize..12, seed in any::<u32>(),
        ) {
            let value = |index: usize| ((index as u32).wrapping_mul(2_654_435_761).wrapping_add(seed) >> 8) as f32 / (1 << 23) as f32 - 1.0;
            let axes: Vec<f32> = (0..count * dim).map(value).collect();
            let values: Vec<f32> = (0..rows * dim).map(|index| value(index + 991)).collect();
            let mut packed = PackedQueries::default();
            if seed % 2 == 0 { packed.pack_evenly(&axes, dim) } else { packed.pack(&axes, dim) };
            let rows: Vec<&[f32]> = values.chunks_exact(dim).collect();
            let next: Vec<&[f32]> = (0..next).map(|index| &values[..dim - index % dim]).collect();
            let naive: Vec<u32> = fused::scalar_products(&packed, &rows).into_iter().map(f32::to_bits).collect();
            for level in Level::available().filter(|&level| multiplies_rows(level)) {
                let mut products = vec![7.0; rows.len() * count];
                products_of_rows(level, &packed, &rows, &next, &mut products);
                prop_assert_eq!(products.into_iter().map(f32::to_bits).collect::<Vec<_>>(), naive.clone());
            }
        }

        #[test]
        fn the_dot_product_is_as_exact_as_it_says((left, right) in values()) {
            let naive: f64 = left.iter().zip(&right).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
            let absolute: f64 = left.iter().zip(&right).map(|(&a, &b)| (f64::from(a) * f64::from(b)).abs()).sum();
            let error = (dot_f64(Level::detected(), &left, &right) - naive).abs();
            prop_assert!(error <= 2.0 * left.len() as f64 * f64::EPSILON * absolute, "{error}");
        }

        #[test]
        fn codes_and_sums_are_the_same_at_every_level(
            codes in prop::collection::vec(-127i8..=127, 0..150), bias in -1000i32..1000, step in 1e-6f32..1e6,
        ) {
            let naive = |term: fn(i32) -> i32| codes.iter().map(|&code| term(i32::from(code))).sum::<i32>();
            let sums: Vec<i32> = codes.iter().map(|&code| i32::from(code) * 90_001).collect();
            let steps: Vec<f32> = codes.iter().map(|&code| 1.0 + f32::from(code) / 200.0).collect();
            let of_sum = |(&sum, &unit): (&i32, &f32)| (sum - bias) as f32 * (unit * step);
            let naive_values: Vec<f32> = sums.iter().zip(&steps).map(of_sum).collect();
            for level in Level::available() {
                prop_assert_eq!(code_sums(level, &codes), [naive(|code| code), naive(|code| code * code)]);
                let mut values = vec![0.5; sums.len()];
                values_of_sums(level, &sums, bias, &steps, step, &mut values);
                let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                prop_assert_eq!(bits(&values), bits(&naive_values));
            }
        }

        #[test]
        fn colours_are_the_same_at_every_level(pixels in prop::collection::vec(any::<[u8; 4]>(), 2..80)) {
            let even = pixels.len() / 2 * 2;
            let (upper, lower): (Vec<u8>, Vec<u8>) =
                (pixels[..even].concat(), pixels[..even].iter().rev().copied().collect::<Vec<_>>().concat());
            let (mut twin_luma, mut twin_chroma) = (vec![0; even], vec![0; even / 2]);
            scalar::luma(&upper, &mut twin_luma);
            scalar::chroma(RED_DIFFERENCE, &upper, &lower, &mut twin_chroma);
            for level in Level::available() {
                let (mut fast_luma, mut fast_chroma) = (vec![0; even], vec![0; even / 2]);
                luma(level, &upper, &mut fast_luma);
                chroma(level, RED_DIFFERENCE, &upper, &lower, &mut fast_chroma);
                prop_assert_eq!(&fast_luma, &twin_luma);
                prop_assert_eq!(&fast_chroma, &twin_chroma);
            }
        }

        #[test]
        fn one_bad_value_is_found_wherever_it_is(
            len in 1usize..70, at in 0usize..70, bad in prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY)],
        ) {
            let mut values = vec![f32::MAX; len];
            for level in Level::available() {
                prop_assert!(all_finite(level, &values));
            }
            values[at % len] = bad;
            for level in Level::available() {
                prop_assert!(!all_finite(level, &values));
            }
        }
    }

    #[test]
    fn nan_survives_every_threshold() {
        for level in Level::available() {
            let mut kept = Vec::new();
            survivors(level, &[0.0, f32::NAN, 2.0], &[1.0; 3], &[1.0], &[0.0], &mut kept);
            assert_eq!(kept, [1, 2]);
        }
    }
}
