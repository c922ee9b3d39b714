//! Binning by numpy's rule, and axes that are fixed over all runs.

use crate::compute::error::{Error, Result};
use crate::compute::scores::{RunStats, ScoreStore};
use crate::job::Monitor;

pub const MAX_BINS: usize = 10_000;

/// Equal bins over `low..=high`: half-open, the last one closed, edges `low + i · (high − low)/bins`
/// in float64 as `numpy.linspace` computes them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bins {
    low: f64,
    high: f64,
    count: usize,
}

impl Bins {
    /// `count` bins from `low` to `high`. A range of no width is widened by 0.5 to both sides, as
    /// `numpy.histogram` does.
    ///
    /// # Errors
    /// No bins or more than 10,000; ends that are not finite, or in the wrong order.
    pub fn new(low: f64, high: f64, count: usize) -> Result<Self> {
        if !(1..=MAX_BINS).contains(&count) {
            return Err(Error::Parameter {
                name: "bins",
                expected: "a whole number from 1 to 10,000".to_owned(),
                found: count.to_string(),
            });
        }
        if !(low.is_finite() && high.is_finite() && low <= high && (high - low).is_finite()) {
            return Err(Error::Parameter {
                name: "range",
                expected: "two finite numbers, the lower one first".to_owned(),
                found: format!("{low} to {high}"),
            });
        }
        let (low, high) = if low == high {
            (low - low.abs().max(5e5) * 1e-6, high + high.abs().max(5e5) * 1e-6)
        } else {
            (low, high)
        };
        Ok(Self { low, high, count })
    }

    pub fn low(&self) -> f64 {
        self.low
    }

    pub fn high(&self) -> f64 {
        self.high
    }

    pub fn count(&self) -> usize {
        self.count
    }

    pub fn width(&self) -> f64 {
        (self.high - self.low) / self.count as f64
    }

    /// The lower edge of bin `index`; `index = count` is the upper edge of the last.
    pub fn edge(&self, index: usize) -> f64 {
        if index == self.count { self.high } else { index as f64 * self.width() + self.low }
    }

    fn edges(&self) -> Vec<f64> {
        (0..=self.count).map(|index| self.edge(index)).collect()
    }
}

/// Counts per bin, and of what lies outside: together all scores of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    pub bins: Bins,
    pub counts: Vec<u64>,
    pub below: u64,
    pub above: u64,
}

impl Histogram {
    pub fn empty(bins: Bins) -> Self {
        Self { bins, counts: vec![0; bins.count], below: 0, above: 0 }
    }

    /// Of finite `scores`.
    pub fn of(scores: &[f32], bins: Bins) -> Self {
        Self::of_values(scores.iter().map(|&score| f64::from(score)), bins)
    }

    /// Of finite values in float64.
    pub fn of_values(scores: impl Iterator<Item = f64>, bins: Bins) -> Self {
        let mut histogram = Self::empty(bins);
        let edges = bins.edges();
        let scale = bins.count as f64 / (bins.high - bins.low);
        let last = bins.count - 1;
        for score in scores {
            if score < bins.low {
                histogram.below += 1;
            } else if score > bins.high {
                histogram.above += 1;
            } else {
                // The guess is at most one bin off; the edges decide.
                let mut bin = (((score - bins.low) * scale) as usize).min(last);
                if score < edges[bin] {
                    bin -= 1;
                } else if bin < last && score >= edges[bin + 1] {
                    bin += 1;
                }
                histogram.counts[bin] += 1;
            }
        }
        histogram
    }

    /// Of run `index` of `store`, on all cores.
    pub fn of_run(store: &ScoreStore, index: usize, bins: Bins, monitor: &Monitor) -> Result<Self> {
        let parts = store.map_chunks(index, monitor, |_, scores| Self::of(scores, bins))?;
        Ok(parts.into_iter().fold(Self::empty(bins), |mut sum, part| {
            sum.below += part.below;
            sum.above += part.above;
            for (total, count) in sum.counts.iter_mut().zip(part.counts) {
                *total += count;
            }
            sum
        }))
    }

    /// Scores within the bins.
    pub fn in_view(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All scores of the run.
    pub fn total(&self) -> u64 {
        self.in_view() + self.below + self.above
    }

    /// Bin `index` in percent of all scores of the run.
    pub fn percent(&self, index: usize) -> f64 {
        self.counts[index] as f64 * 100.0 / self.total().max(1) as f64
    }

    pub fn max_percent(&self) -> f64 {
        self.counts.iter().copied().max().unwrap_or(0) as f64 * 100.0 / self.total().max(1) as f64
    }
}

/// Axes that hold for all runs of a session, so that shapes can be compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Axes {
    pub x_low: f64,
    pub x_high: f64,
    /// The upper end of the percent axis.
    pub y_high: f64,
}

impl Axes {
    /// The range of all scores of all runs.
    ///
    /// # Panics
    /// Without any run.
    pub fn x_range(stats: &[RunStats]) -> (f64, f64) {
        let low = stats.iter().map(|run| run.min).reduce(f32::min).expect("at least one run");
        let high = stats.iter().map(|run| run.max).reduce(f32::max).expect("at least one run");
        (f64::from(low), f64::from(high))
    }

    /// Axes for the bins of `histograms`, all of which share theirs: the percent axis ends at the
    /// next multiple of 0.5 above the highest bin, (⌊max / 0.5⌋ + 1) × 0.5. Where a view that leaves
    /// scores out has less than 0.5 % in every bin, the steps are the largest of 1, 2, 5 × 10⁻ⁿ
    /// instead that the highest bin still reaches.
    pub fn of<'a>(bins: Bins, histograms: impl IntoIterator<Item = &'a Histogram>) -> Self {
        let mut max_percent = 0.0f64;
        let mut all_in_view = true;
        for histogram in histograms {
            max_percent = max_percent.max(histogram.max_percent());
            all_in_view &= histogram.in_view() == histogram.total();
        }
        let mut step = 0.5;
        if max_percent > 0.0 && !all_in_view {
            for divisor in [2.5, 2.0, 2.0].into_iter().cycle().take(60) {
                if max_percent >= step {
                    break;
                }
                step /= divisor;
            }
        }
        let y_high = ((max_percent / step).floor() + 1.0) * step;
        Self { x_low: bins.low, x_high: bins.high, y_high }
    }
}

/// The histograms of all runs of a store over one view, with the axes they share.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramSet {
    pub bins: Bins,
    pub axes: Axes,
    /// Whether most scores of all runs lie in the right half of the view.
    pub mass_is_right: bool,
    pub histograms: Vec<Histogram>,
}

impl HistogramSet {
    /// Bins every run of `store`; `histograms_so_far` are those of its first runs over the same bins,
    /// which are taken over. Advances `monitor` by scores.
    pub fn of_store(
        store: &ScoreStore,
        bins: Bins,
        histograms_so_far: &[Histogram],
        monitor: &Monitor,
    ) -> Result<Self> {
        let mut histograms = histograms_so_far.to_vec();
        let missing = &store.runs()[histograms.len()..];
        monitor.begin("binning scores", "scores", missing.iter().map(|run| run.num_scores).sum());
        for (index, run) in (histograms.len()..).zip(missing) {
            histograms.push(Histogram::of_run(store, index, bins, monitor)?);
            monitor.advance(run.num_scores)?;
        }
        let half = bins.count() / 2;
        let sum = |part: fn(&[u64], usize) -> &[u64]| -> f64 {
            let share =
                |one: &Histogram| part(&one.counts, half).iter().sum::<u64>() as f64 / one.total().max(1) as f64;
            histograms.iter().map(share).sum()
        };
        let mass_is_right = sum(|counts, half| &counts[half..]) > sum(|counts, half| &counts[..half]);
        Ok(Self { bins, axes: Axes::of(bins, &histograms), mass_is_right, histograms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// numpy.histogram with explicit edges: edges[i] ≤ x < edges[i+1], the last bin closed.
    fn naive(scores: &[f32], bins: Bins) -> Vec<u64> {
        (0..bins.count())
            .map(|bin| {
                let (low, high) = (bins.edge(bin), bins.edge(bin + 1));
                let last = bin + 1 == bins.count();
                scores
                    .iter()
                    .filter(|s| f64::from(**s) >= low && (f64::from(**s) < high || (last && f64::from(**s) <= high)))
                    .count() as u64
            })
            .collect()
    }

    proptest! {
        #[test]
        fn counts_equal_the_rule_also_on_edges(
            low in -10.0f32..10.0, width in 1e-6f32..20.0, count in 1usize..200, picks in prop::collection::vec((0usize..210, -2i32..3), 1..60),
        ) {
            let bins = Bins::new(f64::from(low), f64::from(low + width), count).expect("valid");
            // Values on the edges themselves and their float32 neighbours.
            let scores: Vec<f32> = picks.iter().map(|&(edge, nudge)| {
                let mut value = bins.edge(edge % (count + 1)) as f32;
                for _ in 0..nudge.abs() {
                    value = if nudge < 0 { value.next_down() } else { value.next_up() };
                }
                value
            }).collect();
            let histogram = Histogram::of(&scores, bins);
            prop_assert_eq!(&histogram.counts, &naive(&scores, bins));
            prop_assert_eq!(histogram.total(), scores.len() as u64);
        }
    }

    /// Counts by numpy itself, on and beside the edges (`tests/data/make_histogram_golden.py`).
    #[test]
    fn golden_counts_of_numpy() {
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/data/histogram_golden.json")).expect("valid JSON");
        let cases = golden["cases"].as_array().expect("a list");
        assert!(!cases.is_empty());
        for case in cases {
            let numbers = |key: &str| -> Vec<u64> {
                case[key].as_array().expect("a list").iter().map(|value| value.as_u64().expect("a number")).collect()
            };
            let number = |key: &str| case[key].as_f64().expect("a number");
            let scores: Vec<f32> = numbers("bits").into_iter().map(|bits| f32::from_bits(bits as u32)).collect();
            let bins = Bins::new(number("low"), number("high"), number("bins") as usize).expect("valid");
            assert_eq!(Histogram::of(&scores, bins).counts, numbers("counts"), "{bins:?}");
        }
    }

    #[test]
    fn all_equal_scores_get_a_range() {
        let bins = Bins::new(0.75, 0.75, 4).expect("valid");
        assert_eq!((bins.low(), bins.high()), (0.25, 1.25));
        assert_eq!(Histogram::of(&[0.75; 3], bins).counts, [0, 0, 3, 0]);
    }

    #[test]
    fn the_percent_axis_follows_the_rule() {
        let bins = Bins::new(0.0, 1.0, 2).expect("valid");
        for (counts, below, y_high) in [
            (vec![50, 50], 0, 50.5),
            (vec![33, 67], 0, 67.5),
            (vec![3, 1], 996, 0.4),
            (vec![1, 0], 999_999, 0.000_2),
            (vec![0, 0], 10, 0.5),
        ] {
            let histogram = Histogram { bins, counts, below, above: 0 };
            let axes = Axes::of(bins, [&histogram]);
            assert!((axes.y_high / y_high - 1.0).abs() < 1e-9, "{} for {histogram:?}", axes.y_high);
        }
    }

    #[test]
    fn bad_bins_are_refused() {
        assert!(Bins::new(0.0, 1.0, 0).is_err());
        assert!(Bins::new(0.0, 1.0, MAX_BINS + 1).is_err());
        assert!(Bins::new(1.0, 0.0, 5).is_err());
        assert!(Bins::new(f64::NAN, 1.0, 5).is_err());
        assert!(Bins::new(-f64::MAX, f64::MAX, 5).is_err());
    }
}
