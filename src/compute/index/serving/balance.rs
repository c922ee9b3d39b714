//! How evenly work is spread.

use serde::Serialize;

/// How evenly loads are spread over those who carry them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Balance {
    /// The largest load, in mean loads: 1 if all are the same.
    pub max_over_mean: f64,
    /// Gini's coefficient: 0 if all are the same, near 1 if one carries all.
    pub gini: f64,
}

impl Balance {
    /// Of loads ≥ 0; all the same if there are none.
    pub fn of(loads: &[f64]) -> Self {
        let (count, sum) = (loads.len() as f64, loads.iter().sum::<f64>());
        if sum <= 0.0 {
            return Self { max_over_mean: 1.0, gini: 0.0 };
        }
        let mut sorted = loads.to_vec();
        sorted.sort_by(f64::total_cmp);
        let weighted: f64 = sorted.iter().zip(1..).map(|(load, rank)| load * f64::from(rank)).sum();
        let gini = 2.0 * weighted / (count * sum) - (count + 1.0) / count;
        Self { max_over_mean: sorted[sorted.len() - 1] * count / sum, gini: gini.max(0.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_computed_by_hand() {
        for (loads, max_over_mean, gini) in [
            (&[5.0, 5.0, 5.0, 5.0][..], 1.0, 0.0),
            (&[0.0, 0.0, 0.0, 8.0], 4.0, 0.75),
            // Mean of |difference| over all pairs: (1 + 2 + 1) · 2 / 9, over twice the mean, 4.
            (&[3.0, 1.0, 2.0], 1.5, 2.0 / 9.0),
            (&[], 1.0, 0.0),
            (&[0.0, 0.0], 1.0, 0.0),
        ] {
            let found = Balance::of(loads);
            assert!(
                (found.max_over_mean - max_over_mean).abs() < 1e-12 && (found.gini - gini).abs() < 1e-12,
                "{found:?}"
            );
        }
    }
}
