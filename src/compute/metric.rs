//! What "near" means: dot product, cosine similarity or Euclidean distance.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use super::error::Error;

/// How a query and a doc are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Metric {
    /// Σ qᵢdᵢ; larger is nearer.
    #[default]
    Dot,
    /// Σ qᵢdᵢ / (‖q‖‖d‖), −1 to 1; larger is nearer. Undefined for zero vectors.
    Cosine,
    /// √Σ (qᵢ − dᵢ)²; smaller is nearer.
    Euclidean,
}

impl Metric {
    pub const ALL: [Self; 3] = [Self::Dot, Self::Cosine, Self::Euclidean];

    /// The name in flags and in the manifest.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dot => "dot",
            Self::Cosine => "cosine",
            Self::Euclidean => "euclidean",
        }
    }

    /// The label of the score axis.
    pub fn axis_label(self) -> &'static str {
        match self {
            Self::Dot => "dot product similarity",
            Self::Cosine => "cosine similarity",
            Self::Euclidean => "euclidean distance",
        }
    }

    /// Whether a larger score means a nearer doc.
    pub fn larger_is_nearer(self) -> bool {
        !matches!(self, Self::Euclidean)
    }

    /// Orders two finite scores nearest first.
    pub fn nearest_first(self, left: f64, right: f64) -> Ordering {
        let order = left.partial_cmp(&right).unwrap_or(Ordering::Equal);
        if self.larger_is_nearer() { order.reverse() } else { order }
    }

    /// Where a scored doc stands among others: smaller is nearer, ties go to the lower doc, as by [`Self::nearest_first`].
    /// Numbers are compared faster than scores, in whose order nothing is foreseen. `score`: not NaN.
    pub fn place(self, score: f64, doc: u32) -> u128 {
        // −0 is +0.
        let bits = (score + 0.0).to_bits();
        // Ascending like the scores: those below zero are stored with their size.
        let ascending = bits ^ ((bits.cast_signed() >> 63).cast_unsigned() | 1 << 63);
        let rank = if self.larger_is_nearer() { !ascending } else { ascending };
        u128::from(rank) << 32 | u128::from(doc)
    }

    /// The score of a place that [`Self::place`] gave; +0 for −0.
    pub fn score_at(self, place: u128) -> f64 {
        let rank = (place >> 32) as u64;
        let ascending = if self.larger_is_nearer() { !rank } else { rank };
        f64::from_bits(ascending ^ (!(ascending.cast_signed() >> 63).cast_unsigned() | 1 << 63))
    }

    /// The doc of a place that [`Self::place`] gave.
    pub fn doc_at(place: u128) -> u32 {
        place as u32
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Metric {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "dot" | "dot_product" | "mip" => Ok(Self::Dot),
            "cosine" | "angular" => Ok(Self::Cosine),
            "euclidean" => Ok(Self::Euclidean),
            _ => Err(Error::Parameter {
                name: "metric",
                expected: "dot (also dot_product, mip), cosine (also angular) or euclidean".to_owned(),
                found: text.to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn places_are_in_the_order_of_scores(
            left in prop_oneof![any::<f64>(), -1.0..1.0, Just(0.0), Just(-0.0)].prop_filter("a number", |score| !score.is_nan()),
            right in prop_oneof![any::<f64>(), -1.0..1.0, Just(0.0), Just(-0.0)].prop_filter("a number", |score| !score.is_nan()),
            docs in (0u32..3, prop_oneof![0u32..3, Just(u32::MAX)]),
        ) {
            for metric in Metric::ALL {
                for (left, right) in [(left, right), (left, left), (0.0, -0.0)] {
                    let expected = metric.nearest_first(left, right).then(docs.0.cmp(&docs.1));
                    prop_assert_eq!(metric.place(left, docs.0).cmp(&metric.place(right, docs.1)), expected);
                    prop_assert_eq!(Metric::doc_at(metric.place(left, docs.1)), docs.1);
                    let score = metric.score_at(metric.place(left, docs.1));
                    prop_assert_eq!(score.to_bits(), (left + 0.0).to_bits());
                }
            }
        }
    }

    #[test]
    fn names_and_their_aliases() {
        for (text, metric) in [
            ("dot", Metric::Dot),
            ("dot_product", Metric::Dot),
            ("mip", Metric::Dot),
            ("cosine", Metric::Cosine),
            ("angular", Metric::Cosine),
            ("euclidean", Metric::Euclidean),
        ] {
            assert_eq!(text.parse::<Metric>().ok(), Some(metric));
        }
        assert!("l3".parse::<Metric>().is_err());
        for metric in Metric::ALL {
            assert_eq!(metric.name().parse::<Metric>().ok(), Some(metric));
        }
    }
}
