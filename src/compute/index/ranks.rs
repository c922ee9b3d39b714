//! Rank correlation, with a band.

use rayon::prelude::*;

use super::judge::CONFIDENCE;
use crate::compute::random::Random;

/// Resamples for a band.
const RESAMPLES: usize = 1000;

/// Spearman's ρ of pairs, with the band that holds it in 95 % of resamples of the pairs.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Correlation {
    /// −1 to 1.
    pub rho: f64,
    pub low: f64,
    pub high: f64,
    pub pairs: usize,
}

impl Correlation {
    /// Whether the band leaves no correlation possible.
    pub fn may_be_none(&self) -> bool {
        self.low <= 0.0 && self.high >= 0.0
    }
}

/// Spearman's rank correlation: Pearson's, of ranks, where equal values share the mean of their ranks (Spearman, "The
/// proof and measurement of association between two things", 1904). The band is that of percentiles of resampled pairs
/// (Efron 1979), ranked again in each resample. Pairs with NaN are left out; `None` where one side has one value only.
///
/// `left`, `right`: of equal lengths.
pub fn spearman(left: &[f64], right: &[f64]) -> Option<Correlation> {
    let known: Vec<usize> = (0..left.len()).filter(|&pair| !left[pair].is_nan() && !right[pair].is_nan()).collect();
    let groups = [left, right].map(|values| Groups::of(&known, values));
    let once = vec![1u32; known.len()];
    let rho = correlation(&groups, &once)?;
    let mut resampled: Vec<f64> = (0..RESAMPLES)
        .into_par_iter()
        .filter_map(|resample| {
            let mut random = Random::stream(0x7261_6e6b, resample as u64);
            let mut times = vec![0u32; known.len()];
            (0..known.len()).for_each(|_| times[random.below(known.len() as u32) as usize] += 1);
            correlation(&groups, &times)
        })
        .collect();
    resampled.sort_by(f64::total_cmp);
    let at = |share: f64| match resampled.len() {
        0 => rho,
        count => resampled[((count - 1) as f64 * share).round() as usize],
    };
    let (low, high) = (at((1.0 - CONFIDENCE) / 2.0).min(rho), at((1.0 + CONFIDENCE) / 2.0).max(rho));
    Some(Correlation { rho, low, high, pairs: known.len() })
}

/// Values as groups of equals, so that ranks follow from how often each was drawn.
struct Groups {
    /// The group of each value, ascending with it.
    of: Vec<u32>,
    count: usize,
}

impl Groups {
    fn of(known: &[usize], values: &[f64]) -> Self {
        let mut order: Vec<usize> = (0..known.len()).collect();
        let value = |place: usize| values[known[place]];
        order.sort_by(|&one, &other| value(one).total_cmp(&value(other)));
        let mut of = vec![0; known.len()];
        let mut count = 0;
        for (rank, &place) in order.iter().enumerate() {
            // 0 and −0 are equal.
            count += usize::from(rank == 0 || value(order[rank - 1]) != value(place));
            of[place] = count as u32 - 1;
        }
        Self { of, count }
    }

    /// The rank of every group, less the mean rank, when each value comes as often as `times` says.
    fn ranks(&self, times: &[u32]) -> Vec<f64> {
        let mut sizes = vec![0u64; self.count];
        self.of.iter().zip(times).for_each(|(&group, &times)| sizes[group as usize] += u64::from(times));
        let middle = sizes.iter().sum::<u64>() as f64 / 2.0;
        let mut before = 0u64;
        let rank = |size: u64| {
            let rank = before as f64 + size as f64 / 2.0;
            before += size;
            rank - middle
        };
        sizes.into_iter().map(rank).collect()
    }
}

/// Pearson's correlation of the ranks of both sides.
fn correlation([left, right]: &[Groups; 2], times: &[u32]) -> Option<f64> {
    let (left_ranks, right_ranks) = (left.ranks(times), right.ranks(times));
    let (mut both, mut left_square, mut right_square) = (0.0, 0.0, 0.0);
    for ((&one, &other), &times) in left.of.iter().zip(&right.of).zip(times) {
        let (one, other, times) = (left_ranks[one as usize], right_ranks[other as usize], f64::from(times));
        both += times * one * other;
        left_square += times * one * one;
        right_square += times * other * other;
    }
    (left_square > 0.0 && right_square > 0.0).then(|| (both / (left_square * right_square).sqrt()).clamp(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_textbooks() {
        // IQ and hours of television of ten people (Wikipedia's example): ρ = −29/165.
        let iq = [106.0, 100.0, 86.0, 101.0, 99.0, 103.0, 97.0, 113.0, 112.0, 110.0];
        let hours = [7.0, 27.0, 2.0, 50.0, 28.0, 29.0, 20.0, 12.0, 6.0, 17.0];
        let found = spearman(&iq, &hours).expect("both vary");
        assert!((found.rho + 29.0 / 165.0).abs() < 1e-12, "{found:?}");
        assert!(found.low <= found.rho && found.rho <= found.high && found.may_be_none());
        assert_eq!(found.pairs, 10);
        // Ranks 1, 2.5, 2.5, 4 beside 1, 3, 2, 4: 4.5 / √(4.5 · 5).
        let found = spearman(&[1.0, 2.0, 2.0, 9.0], &[0.1, 0.3, 0.2, 0.4]).expect("both vary");
        assert!((found.rho - 4.5 / 22.5f64.sqrt()).abs() < 1e-12, "{found:?}");
        // Any growing function has the same ranks; NaN is left out.
        let values: Vec<f64> = (0..50).map(f64::from).collect();
        let mut grown: Vec<f64> = values.iter().map(|value| value.exp()).collect();
        grown[7] = f64::NAN;
        let found = spearman(&values, &grown).expect("both vary");
        assert_eq!((found.rho, found.low, found.high, found.pairs), (1.0, 1.0, 1.0, 49));
        let falling: Vec<f64> = values.iter().map(|value| -value).collect();
        assert_eq!(spearman(&values, &falling).map(|found| found.rho), Some(-1.0));
        assert_eq!(spearman(&values, &[1.0; 50]), None);
        assert_eq!(spearman(&[], &[]), None);
        assert_eq!(spearman(&[0.0, -0.0], &[1.0, 2.0]), None, "zeros are equal");
    }

    /// Of pairs that have nothing to do with each other, nineteen of twenty bands hold 0.
    #[test]
    fn bands_hold_what_they_say() {
        let mut random = Random::new(3);
        let mut values = |count: usize| (0..count).map(|_| f64::from(random.below(12))).collect::<Vec<f64>>();
        let holding =
            (0..200).filter(|_| spearman(&values(60), &values(60)).is_some_and(|found| found.may_be_none())).count();
        assert!((178..=199).contains(&holding), "{holding} of 200");
    }
}
