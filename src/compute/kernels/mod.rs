//! The arithmetic in the innermost loops, compiled once for each CPU level and chosen at run time.
//!
//! Every kernel is one generic body ([`scalar`]); the faster levels are the same body compiled with
//! wider vectors allowed. None of them contracts multiply and add, and the order of additions is
//! fixed by the length alone, so every level gives the same bits. The level is an argument;
//! [`Level::detected`] is looked up once, and `KNNSCOPE_CPU=scalar|avx2|avx512` can lower it.

pub mod scalar;

use std::sync::OnceLock;

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
            let wanted = std::env::var("KNNSCOPE_CPU").ok();
            let lowered = Self::ALL.into_iter().find(|level| wanted.as_deref() == Some(level.name()));
            lowered.map_or(Self::best(), |level| level.min(Self::best()))
        })
    }

    /// The levels that this machine can run.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|&level| level <= Self::best())
    }

    #[cfg(target_arch = "x86_64")]
    fn best() -> Self {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
            Self::Avx512
        } else if is_x86_feature_detected!("avx2") {
            Self::Avx2
        } else {
            Self::Scalar
        }
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

kernel! {
    /// Σ left·right in float64.
    ///
    /// `left`, `right`: equal lengths. Products of two float32 are exact in float64; they are added
    /// in sixteen lanes by index modulo 16, then the lanes pairwise, so the bits depend on the
    /// values alone. Relative error at most `len · 2⁻⁵³ · Σ|left·right|`.
    dot_f64(left: &[f32], right: &[f32]) -> f64
}

kernel! {
    /// Σ (left − right)² in float64, lanes as in [`dot_f64`].
    squared_distance_f64(left: &[f32], right: &[f32]) -> f64
}

kernel! {
    /// Whether every value is finite.
    all_finite(values: &[f32]) -> bool
}

kernel! {
    /// Appends the index of every `scores[i]` that is not below `threshold` (NaN is kept).
    survivors(scores: &[f32], threshold: f32, indices: &mut Vec<u32>)
}

kernel! {
    /// `scores[i] = scores[i] · factors[i]`.
    multiply(scores: &mut [f32], factors: &[f32])
}

kernel! {
    /// `scores[i] = scores[i] − offsets[i]`.
    subtract(scores: &mut [f32], offsets: &[f32])
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
        fn every_level_gives_the_bits_of_its_scalar_twin((left, right) in values(), threshold in -1.0f32..1.0) {
            for level in Level::available() {
                prop_assert_eq!(
                    dot_f64(level, &left, &right).to_bits(), scalar::dot_f64(&left, &right).to_bits());
                prop_assert_eq!(
                    squared_distance_f64(level, &left, &right).to_bits(),
                    scalar::squared_distance_f64(&left, &right).to_bits());
                let mut fast = Vec::new();
                survivors(level, &left, threshold, &mut fast);
                let naive: Vec<u32> = (0u32..).zip(&left).filter(|(_, v)| **v >= threshold).map(|(i, _)| i).collect();
                prop_assert_eq!(fast, naive);
                for (kernel, operator) in [
                    (multiply as fn(Level, &mut [f32], &[f32]), (|a, b| a * b) as fn(f32, f32) -> f32),
                    (subtract, |a, b| a - b),
                ] {
                    let mut fast = left.clone();
                    kernel(level, &mut fast, &right);
                    let naive: Vec<u32> = left.iter().zip(&right).map(|(&a, &b)| operator(a, b).to_bits()).collect();
                    prop_assert_eq!(fast.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), naive);
                }
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
            survivors(level, &[0.0, f32::NAN, 2.0], 1.0, &mut kept);
            assert_eq!(kept, [1, 2]);
        }
    }
}
