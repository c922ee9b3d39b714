//! What chance alone would give: columns that are independent, and matrices of the same row and column sums.

use rayon::prelude::*;

use super::groups::{Group, Mode, find_groups, mean_pairwise_distance};
use super::mask::{Mask, Packed};
use super::pairs::{Blocks, for_all_pairs, pair_count};
use crate::compute::error::Result;
use crate::compute::random::Random;
use crate::job::Monitor;

/// Distances of two columns whose `D` rows are set independently of each other, given how many are.
///
/// With a and b set rows the number of rows in which both are is hypergeometric, and they differ in a + b − 2 · both.
#[derive(Debug, Clone)]
pub struct Independent {
    rows: u32,
    /// ln n! for n from 0 to D.
    log_factorials: Vec<f64>,
}

impl Independent {
    pub fn new(rows: usize) -> Self {
        let mut log_factorials = Vec::with_capacity(rows + 1);
        // Kahan's sum: the error stays below that of one addition.
        let (mut sum, mut lost) = (0.0f64, 0.0);
        log_factorials.push(0.0);
        for value in 1..=rows {
            let term = (value as f64).ln() - lost;
            let next = sum + term;
            lost = (next - sum) - term;
            sum = next;
            log_factorials.push(sum);
        }
        Self { rows: rows as u32, log_factorials }
    }

    fn log_choose(&self, n: u32, k: u32) -> f64 {
        self.log_factorials[n as usize] - self.log_factorials[k as usize] - self.log_factorials[(n - k) as usize]
    }

    /// Smallest and largest number of rows in which both can be set.
    fn reach(&self, a: u32, b: u32) -> (u32, u32) {
        ((a + b).saturating_sub(self.rows), a.min(b))
    }

    /// Probability that both are set in exactly `both` rows, which must be possible.
    fn probability(&self, a: u32, b: u32, both: u32) -> f64 {
        let log = self.log_choose(a, both) + self.log_choose(self.rows - a, b - both) - self.log_choose(self.rows, b);
        log.exp()
    }

    /// P(both + 1) / P(both).
    fn step_up(&self, a: u32, b: u32, both: u32) -> f64 {
        let left = f64::from(a - both) * f64::from(b - both);
        left / (f64::from(both + 1) * (f64::from(self.rows) - f64::from(a) - f64::from(b) + f64::from(both) + 1.0))
    }

    /// Probability that columns with `a` and `b` set rows differ in at most `distance` rows.
    pub fn at_most(&self, a: u32, b: u32, distance: u32) -> f64 {
        let (low, high) = self.reach(a, b);
        // They differ in at most that many where both are set in at least this many.
        let least = (a + b).saturating_sub(distance).div_ceil(2);
        if least <= low {
            return 1.0;
        }
        if least > high {
            return 0.0;
        }
        let mean = f64::from(a) * f64::from(b) / f64::from(self.rows);
        if f64::from(least) > mean {
            let mut term = self.probability(a, b, least);
            let mut sum = term;
            for both in least..high {
                term *= self.step_up(a, b, both);
                sum += term;
                if term < sum * 1e-17 {
                    break;
                }
            }
            sum.min(1.0)
        } else {
            let mut term = self.probability(a, b, least - 1);
            let mut sum = term;
            for both in (low..least - 1).rev() {
                term /= self.step_up(a, b, both);
                sum += term;
                if term < sum * 1e-17 {
                    break;
                }
            }
            (1.0 - sum).max(0.0)
        }
    }

    /// Adds `weight` · P(columns with `a` and `b` set rows differ in d rows) to `shares[d]`, for all d.
    fn add_distribution(&self, a: u32, b: u32, weight: f64, shares: &mut [f64]) {
        let (low, high) = self.reach(a, b);
        let mode = ((f64::from(a) + 1.0) * (f64::from(b) + 1.0) / (f64::from(self.rows) + 2.0)) as u32;
        let mode = mode.clamp(low, high);
        let peak = self.probability(a, b, mode);
        let mut add = |both: u32, probability: f64| shares[(a + b - 2 * both) as usize] += weight * probability;
        add(mode, peak);
        let mut term = peak;
        for both in mode..high {
            term *= self.step_up(a, b, both);
            add(both + 1, term);
            if term < peak * 1e-18 {
                break;
            }
        }
        term = peak;
        for both in (low..mode).rev() {
            term /= self.step_up(a, b, both);
            add(both, term);
            if term < peak * 1e-18 {
                break;
            }
        }
    }
}

/// Sums that are told apart when distributions are added up; more are rounded to this many quantiles.
const MOST_CLASSES: usize = 300;

/// Share of pairs expected to differ in d rows, for d from 0 to D, if columns were independent with the sums they have.
///
/// `ones`: set rows of every column, two of them at least.
pub fn expected_shares(ones: &[u32], rows: usize) -> Vec<f64> {
    let independent = Independent::new(rows);
    let classes = classes_of(ones);
    let pairs = pair_count(ones.len()) as f64;
    let mut shares = vec![0.0; rows + 1];
    for (index, &(a, count)) in classes.iter().enumerate() {
        let among = count as f64 * (count as f64 - 1.0) / 2.0;
        if among > 0.0 {
            independent.add_distribution(a, a, among / pairs, &mut shares);
        }
        for &(b, others) in &classes[index + 1..] {
            independent.add_distribution(a, b, count as f64 * others as f64 / pairs, &mut shares);
        }
    }
    shares
}

/// The sums that occur, each with how often; neighbours are taken together where there are many.
fn classes_of(ones: &[u32]) -> Vec<(u32, usize)> {
    let mut sorted = ones.to_vec();
    sorted.sort_unstable();
    let classes: Vec<(u32, usize)> = sorted.chunk_by(|a, b| a == b).map(|same| (same[0], same.len())).collect();
    if classes.len() <= MOST_CLASSES {
        return classes;
    }
    let quantile = |index: usize| index * sorted.len() / MOST_CLASSES;
    let parts = (0..MOST_CLASSES).map(|index| &sorted[quantile(index)..quantile(index + 1)]);
    parts.filter(|part| !part.is_empty()).map(|part| (part[part.len() / 2], part.len())).collect()
}

/// Sums running up: the share of at most d.
pub fn running(shares: &[f64]) -> Vec<f64> {
    let mut sum = 0.0;
    shares
        .iter()
        .map(|share| {
            sum += share;
            sum.min(1.0)
        })
        .collect()
}

/// Bins of the correlation of two columns, from −1 to 1.
const CORRELATION_BINS: usize = 4000;

/// Bins of −log10 p, a 512th of a decade each; what is beyond lies in the last.
const BINS_PER_DECADE: f64 = 512.0;
const DECADES: usize = 320;

/// What the pairs of a matrix are like beside chance.
struct PairEvidence {
    /// By bin of −log10 p.
    by_p: Vec<u64>,
    /// By bin of the correlation (of columns that have both set and unset rows).
    by_correlation: Vec<u64>,
}

/// Bins of p-values of pairs by their sums and distance, made once for all pairs of like sums.
struct PTable {
    /// Which class of equal sums a column belongs to.
    class_of: Vec<u32>,
    classes: usize,
    /// Of every pair of classes: where its bins begin, and the lowest distance that has one.
    starts: Vec<(usize, u32)>,
    /// From the lowest distance on, in steps of two.
    bins: Vec<u32>,
}

impl PTable {
    /// Bins that are kept; for matrices with more different sums p-values are found pair by pair.
    const MOST_BINS: usize = 1 << 24;
    /// Pairs that are closer by more standard deviations are rare, and found one by one.
    const MOST_DEVIATIONS: f64 = 10.0;

    /// `least`: standard deviations below which no p-value is wanted. `None` if that would be more than `most` bins.
    fn new(columns: &Columns<'_>, least: f64, most: u64) -> Option<Self> {
        let mut sums = columns.ones.to_vec();
        sums.sort_unstable();
        sums.dedup();
        let rows = columns.rows;
        // The distances of interest of a pair of sums: lowest, and how many.
        let reach = |a: u32, b: u32| {
            let (a, b) = (f64::from(a), f64::from(b));
            let mean = a + b - 2.0 * a * b / rows;
            let spread = 2.0 * (a * (rows - a) * b * (rows - b) / (rows - 1.0).max(1.0)).sqrt() / rows;
            let low = (mean - Self::MOST_DEVIATIONS * spread).max((a - b).abs()) as u32;
            // As even or odd as all distances of these sums.
            let low = low + ((low ^ (a as u32 + b as u32)) & 1);
            let high = mean - least * spread;
            (low, if high >= f64::from(low) { (high as u32 - low) / 2 + 2 } else { 1 })
        };
        let (mut starts, mut total) = (Vec::with_capacity(sums.len() * sums.len()), 0usize);
        for &a in &sums {
            for &b in &sums {
                let (low, count) = reach(a, b);
                starts.push((total, low));
                // One triangle is enough; the other is never asked.
                total += if a <= b { count as usize } else { 0 };
                // A table pays where most of it is asked for.
                if total > Self::MOST_BINS || total as u64 > most {
                    return None;
                }
            }
        }
        let mut bins = vec![0; total];
        let mut parts = Vec::new();
        let mut rest = &mut bins[..];
        for (index, &(start, low)) in starts.iter().enumerate() {
            let end = starts.get(index + 1).map_or(total, |next| next.0);
            let part;
            (part, rest) = rest.split_at_mut(end - start);
            if !part.is_empty() {
                parts.push((sums[index / sums.len()], sums[index % sums.len()], low, part));
            }
        }
        parts.into_par_iter().for_each(|(a, b, low, part)| {
            for (bin, step) in part.iter_mut().zip(0..) {
                *bin = p_bin(columns.independent.at_most(a, b, low + 2 * step)) as u32;
            }
        });
        let class_of = columns.ones.iter().map(|ones| sums.partition_point(|sum| sum < ones) as u32).collect();
        Some(Self { class_of, classes: sums.len(), starts, bins })
    }

    /// The bin of a pair, if it has one here.
    fn bin(&self, left: usize, right: usize, distance: u32) -> Option<usize> {
        let (a, b) = (self.class_of[left] as usize, self.class_of[right] as usize);
        let place = a.min(b) * self.classes + a.max(b);
        let (start, low) = self.starts[place];
        let end = self.starts.get(place + 1).map_or(self.bins.len(), |next| next.0);
        let at = start + (distance.checked_sub(low)? / 2) as usize;
        (at < end).then(|| self.bins[at] as usize)
    }
}

/// Columns as the evidence needs them.
struct Columns<'a> {
    ones: &'a [u32],
    rows: f64,
    /// 1 / √(a (D − a)); 0 where a column is all 0 or all 1.
    weights: Vec<f64>,
    independent: Independent,
}

impl<'a> Columns<'a> {
    fn new(ones: &'a [u32], rows: usize) -> Self {
        let weight = |&ones: &u32| {
            let spread = f64::from(ones) * (rows as f64 - f64::from(ones));
            if spread > 0.0 { 1.0 / spread.sqrt() } else { 0.0 }
        };
        Self {
            ones,
            rows: rows as f64,
            weights: ones.iter().map(weight).collect(),
            independent: Independent::new(rows),
        }
    }

    /// Pearson's correlation of two columns that differ in `distance` rows.
    fn correlation(&self, left: usize, right: usize, distance: u32) -> f64 {
        let (a, b) = (f64::from(self.ones[left]), f64::from(self.ones[right]));
        let closer = self.rows * (a + b - f64::from(distance)) / 2.0 - a * b;
        closer * self.weights[left] * self.weights[right]
    }
}

fn correlation_bin(correlation: f64) -> usize {
    ((correlation + 1.0) * (CORRELATION_BINS as f64 / 2.0)).clamp(0.0, CORRELATION_BINS as f64 - 1.0) as usize
}

fn p_bin(p: f64) -> usize {
    ((-p.log10() * BINS_PER_DECADE).floor().max(0.0) as usize).min(DECADES * BINS_PER_DECADE as usize - 1)
}

/// Collects correlations, and p-values where `with_p`, of all pairs.
fn evidence(mask: &Mask, blocks: &Blocks, with_p: bool, monitor: &Monitor) -> Result<PairEvidence> {
    /// Correlations of fewer standard deviations have p-values that no threshold up to 0.2 reaches.
    const LEAST_DEVIATIONS: f64 = 0.5;
    let columns = Columns::new(blocks.ones(), mask.rows());
    let least = LEAST_DEVIATIONS / (columns.rows - 1.0).max(1.0).sqrt();
    let p_bins = if with_p { DECADES * BINS_PER_DECADE as usize } else { 0 };
    let table = if with_p { PTable::new(&columns, LEAST_DEVIATIONS, pair_count(mask.columns()) / 4) } else { None };
    let make = || PairEvidence { by_p: vec![0; p_bins], by_correlation: vec![0; CORRELATION_BINS] };
    let visit = |state: &mut PairEvidence, column: usize, first: usize, distances: &[u32]| {
        for (&distance, other) in distances.iter().zip(first..) {
            if columns.weights[column] * columns.weights[other] == 0.0 {
                continue;
            }
            let correlation = columns.correlation(column, other, distance);
            state.by_correlation[correlation_bin(correlation)] += 1;
            if !with_p || correlation < least {
                continue;
            }
            let known = table.as_ref().and_then(|table| table.bin(column, other, distance));
            let bin = known.unwrap_or_else(|| {
                p_bin(columns.independent.at_most(columns.ones[column], columns.ones[other], distance))
            });
            state.by_p[bin] += 1;
        }
    };
    let states = for_all_pairs(blocks, &mask.by_column, make, visit, monitor)?;
    let mut all = make();
    for state in states {
        all.by_p.iter_mut().zip(&state.by_p).for_each(|(all, part)| *all += part);
        all.by_correlation.iter_mut().zip(&state.by_correlation).for_each(|(all, part)| *all += part);
    }
    Ok(all)
}

/// Pairs that are closer than chance at a false-discovery rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Closer {
    /// Share of all pairs.
    pub share: f64,
    pub pairs: u64,
    /// Pairs count whose p-value is at most this; or, by permutation, whose correlation is at least this. `None`
    /// where no pair does.
    pub threshold: Option<f64>,
}

/// Benjamini and Hochberg's step-up rule over binned p-values, each taken for the highest of its bin: never more
/// pairs than the rule itself would take.
fn benjamini_hochberg(by_p: &[u64], pairs: u64, fdr: f64) -> Closer {
    let mut closer = Closer { share: 0.0, pairs: 0, threshold: None };
    let mut count = 0;
    for (bin, &found) in by_p.iter().enumerate().rev() {
        count += found;
        let highest = 10f64.powf(-(bin as f64) / BINS_PER_DECADE);
        if count > 0 && highest <= fdr * count as f64 / pairs as f64 {
            closer = Closer { share: count as f64 / pairs as f64, pairs: count, threshold: Some(highest) };
        }
    }
    closer
}

/// What independent columns of the same sums would give.
#[derive(Debug, Clone, PartialEq)]
pub struct AnalyticNull {
    /// Expected share of pairs that differ in at most d rows, for d from 0 to D.
    pub cumulative: Vec<f64>,
    /// Mean distance expected, as a share of the rows.
    pub mean: f64,
    pub closer: Closer,
}

impl AnalyticNull {
    /// Compares all pairs of columns with chance at a false-discovery rate. Needs two columns.
    ///
    /// # Errors
    /// Cancelled.
    pub fn find(mask: &Mask, blocks: &Blocks, fdr: f64, monitor: &Monitor) -> Result<Self> {
        let pairs = pair_count(mask.columns());
        monitor.begin("comparing with chance", "pairs", pairs);
        let shares = expected_shares(blocks.ones(), mask.rows());
        let evidence = evidence(mask, blocks, true, monitor)?;
        let mean = shares.iter().zip(0u32..).map(|(share, distance)| share * f64::from(distance)).sum::<f64>();
        Ok(Self {
            cumulative: running(&shares),
            mean: mean / mask.rows() as f64,
            closer: benjamini_hochberg(&evidence.by_p, pairs, fdr),
        })
    }
}

/// What matrices of the same row and column sums give.
#[derive(Debug, Clone, PartialEq)]
pub struct PermutationNull {
    pub permutations: usize,
    /// Lowest and highest share of pairs that differ in at most d rows, over the permutations, for d from 0 to D.
    pub band: Vec<(f64, f64)>,
    pub closer: Closer,
    /// One a group.
    pub groups: Vec<GroupChance>,
}

/// A group beside the groups that chance gives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupChance {
    /// Mean over the permutations of the group's mean distance.
    pub expected: f64,
    /// Standard deviations from there; negative is closer. `None` where the permutations do not vary.
    pub z: Option<f64>,
    /// Share of groups of permuted matrices that are at least as close, each measured by its own spread; one is
    /// added above and below, so it is never 0. Of a group that does not vary, and with fewer than ten permutations:
    /// its rank among those of its own kind.
    pub p: f64,
}

/// What is permuted, and how often.
#[derive(Debug, Clone, Copy)]
pub struct Permutations {
    pub count: usize,
    pub seed: u64,
    pub fdr: f64,
}

/// Global trades that part two matrices: every column trades once in each.
const TRADES: usize = 12;
/// Permuted matrices that are kept before they are added up.
const KEPT: usize = 64;
/// With fewer permutations groups are only ranked among those of their own kind.
const FEWEST_POOLED: usize = 10;

/// What one permuted matrix gives.
struct Permuted {
    means: Vec<f64>,
    counts: Vec<u64>,
    by_correlation: Vec<u64>,
}

impl PermutationNull {
    /// Permutes the matrix by curveball trades between columns, which keep all row and column sums, and does with
    /// each permuted matrix what was done with the matrix itself. Needs two columns.
    ///
    /// The chain walks from the matrix to a hub and from there to every permuted matrix, as many trades each, so the
    /// matrix and the permuted ones are exchangeable if chance made it, however well the chain mixes (Besag and
    /// Clifford, "Generalized Monte Carlo significance tests", 1989; Strona et al., "A fast and unbiased procedure to
    /// randomize ecological binary matrices", 2014; Carstens et al. 2018 for global trades).
    ///
    /// # Errors
    /// Cancelled.
    pub fn find(
        mask: &Mask,
        blocks: &Blocks,
        how: Permutations,
        (mode, order, k): (Mode, &[u32], usize),
        groups: &[Group],
        monitor: &Monitor,
    ) -> Result<Self> {
        monitor.begin("permuting", "permutations", how.count as u64);
        let mut hub = mask.by_column.clone();
        trade_all(&mut hub, &mut Random::stream(how.seed, 0), monitor)?;
        let mut band = vec![(f64::INFINITY, f64::NEG_INFINITY); mask.rows() + 1];
        let mut by_correlation = vec![0u64; CORRELATION_BINS];
        let mut means: Vec<Vec<f64>> = Vec::with_capacity(how.count);
        for first in (1..=how.count).step_by(KEPT) {
            let part = first..=(first + KEPT - 1).min(how.count);
            let permuted: Vec<Permuted> = part
                .into_par_iter()
                .map(|index| permute(&hub, how.seed, index as u64, (mode, order, k), monitor))
                .collect::<Result<_>>()?;
            for permuted in permuted {
                let total: u64 = permuted.counts.iter().sum();
                let mut below = 0;
                for (band, count) in band.iter_mut().zip(&permuted.counts) {
                    below += count;
                    let share = below as f64 / total as f64;
                    *band = (band.0.min(share), band.1.max(share));
                }
                by_correlation.iter_mut().zip(&permuted.by_correlation).for_each(|(all, part)| *all += part);
                means.push(permuted.means);
            }
        }
        let observed = evidence(mask, blocks, false, &monitor.quiet())?;
        let pairs = pair_count(mask.columns());
        let own: Vec<f64> =
            groups.iter().map(|group| mean_pairwise_distance(&mask.by_column, &group.columns)).collect();
        Ok(Self {
            permutations: how.count,
            band,
            closer: closer_by_permutation(&observed.by_correlation, &by_correlation, pairs, how),
            groups: group_chances(&own, &means),
        })
    }
}

/// One permuted matrix, and what was done with the matrix itself done with it.
fn permute(
    hub: &Packed,
    seed: u64,
    index: u64,
    (mode, order, k): (Mode, &[u32], usize),
    monitor: &Monitor,
) -> Result<Permuted> {
    let mut by_column = hub.clone();
    trade_all(&mut by_column, &mut Random::stream(seed, index), monitor)?;
    let permuted = Mask::of_columns(by_column);
    // Told as one unit.
    let quiet = monitor.quiet();
    let blocks = Blocks::of_mask(&permuted);
    let groups = find_groups(&permuted.by_column, &blocks, mode, order, k, &quiet)?;
    let means = groups.iter().map(|group| mean_pairwise_distance(&permuted.by_column, &group.columns)).collect();
    let (counts, by_correlation) = distances_and_correlations(&permuted, &blocks, &quiet)?;
    monitor.advance(1)?;
    Ok(Permuted { means, counts, by_correlation })
}

fn distances_and_correlations(mask: &Mask, blocks: &Blocks, monitor: &Monitor) -> Result<(Vec<u64>, Vec<u64>)> {
    let columns = Columns::new(blocks.ones(), mask.rows());
    let make = || (vec![0u64; mask.rows() + 1], vec![0u64; CORRELATION_BINS]);
    let visit = |(counts, by_correlation): &mut (Vec<u64>, Vec<u64>), column: usize, first: usize, found: &[u32]| {
        for (&distance, other) in found.iter().zip(first..) {
            counts[distance as usize] += 1;
            if columns.weights[column] * columns.weights[other] > 0.0 {
                by_correlation[correlation_bin(columns.correlation(column, other, distance))] += 1;
            }
        }
    };
    let mut all = make();
    for (counts, by_correlation) in for_all_pairs(blocks, &mask.by_column, make, visit, monitor)? {
        all.0.iter_mut().zip(counts).for_each(|(all, part)| *all += part);
        all.1.iter_mut().zip(by_correlation).for_each(|(all, part)| *all += part);
    }
    Ok(all)
}

/// The most pairs, by correlation, of which permuted matrices give at most the share `fdr` (Tusher et al., 2001).
fn closer_by_permutation(observed: &[u64], permuted: &[u64], pairs: u64, how: Permutations) -> Closer {
    let chance_pairs = pairs * how.count as u64;
    let mut closer = Closer { share: 0.0, pairs: 0, threshold: None };
    let (mut found, mut by_chance) = (0u64, 0u64);
    for bin in (0..CORRELATION_BINS).rev() {
        found += observed[bin];
        by_chance += permuted[bin];
        let expected = (by_chance + 1) as f64 / (chance_pairs + 1) as f64;
        let share = found as f64 / pairs as f64;
        let threshold = bin as f64 / (CORRELATION_BINS as f64 / 2.0) - 1.0;
        // A pair that is no closer than its sums would give is not closer than chance.
        if threshold > 0.0 && found > 0 && expected <= how.fdr * share {
            closer = Closer { share, pairs: found, threshold: Some(threshold) };
        }
    }
    closer
}

/// `means`: of the groups; `permuted`: the same of each permuted matrix.
fn group_chances(means: &[f64], permuted: &[Vec<f64>]) -> Vec<GroupChance> {
    let count = permuted.len();
    let can_pool = count >= FEWEST_POOLED;
    let of_group = |group: usize| permuted.iter().filter_map(move |means| means.get(group).copied());
    // Each permuted group beside the others of its kind, so that it is measured as the group itself is. Groups that
    // never vary say nothing of those that do.
    let mut by_chance: Vec<f64> = Vec::new();
    let mut spreads = Vec::with_capacity(means.len());
    for group in 0..means.len() {
        let spread = spread_of(of_group(group));
        if can_pool && spread.1 > 0.0 {
            by_chance.extend(of_group(group).map(|value| left_out(value, spread, count as f64)));
        }
        spreads.push(spread);
    }
    by_chance.sort_unstable_by(f64::total_cmp);
    let chance = |(group, (&mean, &spread)): (usize, (&f64, &(f64, f64)))| {
        let varies = spread.1 > 0.0;
        let z = (varies && count > 1).then(|| (mean - spread.0) / spread.1);
        let p = match z.filter(|_| can_pool) {
            Some(z) => (by_chance.partition_point(|&other| other <= z) + 1) as f64 / (by_chance.len() + 1) as f64,
            // Equal but for rounding is as close.
            None => (of_group(group).filter(|&other| other <= mean + 1e-12).count() + 1) as f64 / (count + 1) as f64,
        };
        GroupChance { expected: spread.0, z, p }
    };
    means.iter().zip(&spreads).enumerate().map(chance).collect()
}

/// By how many standard deviations of the others one of `count` values of this mean and spread is off their mean.
fn left_out(value: f64, (mean, std): (f64, f64), count: f64) -> f64 {
    let off = value - mean;
    let squares = std * std * (count - 1.0) - off * off * count / (count - 1.0);
    let std = (squares.max(0.0) / (count - 2.0)).sqrt();
    if std > 1e-12 { off * count / (count - 1.0) / std } else { off.signum() * f64::INFINITY }
}

/// Mean and standard deviation (divided by one less than their number); 0 where there is nothing to vary.
fn spread_of(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let count = values.clone().count() as f64;
    if count == 0.0 {
        return (0.0, 0.0);
    }
    let mean = values.clone().sum::<f64>() / count;
    let squares: f64 = values.map(|value| (value - mean).powi(2)).sum();
    // What rounding leaves of equal values is no spread.
    let std = if count > 1.0 { (squares / (count - 1.0)).sqrt() } else { 0.0 };
    (mean, if std > 1e-12 { std } else { 0.0 })
}

/// Every column trades with another one, [`TRADES`] times.
fn trade_all(by_column: &mut Packed, random: &mut Random, monitor: &Monitor) -> Result<()> {
    for _ in 0..TRADES {
        let order = random.order(by_column.count());
        for pair in order.as_chunks::<2>().0 {
            let (left, right) = by_column.two_lines(pair[0] as usize, pair[1] as usize);
            trade(left, right, random);
        }
        monitor.check()?;
    }
    Ok(())
}

/// A curveball trade: rows that only one of two columns has are dealt out anew, as many to each as before.
fn trade(left: &mut [u64], right: &mut [u64], random: &mut Random) {
    let (mut of_left, mut differing) = (0u32, 0u32);
    for (a, b) in left.iter().zip(&*right) {
        of_left += (a & !b).count_ones();
        differing += (a ^ b).count_ones();
    }
    if of_left == 0 || of_left == differing {
        return;
    }
    for (a, b) in left.iter_mut().zip(right) {
        let mut open = *a ^ *b;
        let mut given = 0;
        while open != 0 {
            let bit = open & open.wrapping_neg();
            open ^= bit;
            // Off from uniform by less than differing / 2³².
            let drawn = ((random.bits() >> 32) * u64::from(differing)) >> 32;
            let takes = (drawn as u32) < of_left;
            given |= if takes { bit } else { 0 };
            of_left -= u32::from(takes);
            differing -= 1;
        }
        let either = *a ^ *b;
        *a = (*a & !either) | given;
        *b = (*b & !either) | (either & !given);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::groups::draw_columns;
    use super::super::testing::random_mask;
    use super::*;

    fn null_of(mask: &Mask, samples: usize, k: usize, count: usize, seed: u64) -> PermutationNull {
        let (blocks, monitor) = (Blocks::of_mask(mask), Monitor::new());
        let (mode, order) = (Mode::Sampled { samples }, draw_columns(mask.columns(), samples, seed));
        let groups = find_groups(&mask.by_column, &blocks, mode, &order, k, &monitor).expect("not cancelled");
        let how = Permutations { count, seed, fdr: 0.05 };
        PermutationNull::find(mask, &blocks, how, (mode, &order, k), &groups, &monitor).expect("not cancelled")
    }

    #[test]
    fn shares_of_independent_columns_add_up_and_have_the_mean_of_their_sums() {
        for (rows, ones) in [(50, vec![10, 25, 25, 49, 0, 50]), (7, vec![3, 3]), (400, (0..401).collect())] {
            let shares = expected_shares(&ones, rows);
            assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{rows}");
            let mean = shares.iter().zip(0u32..).map(|(share, distance)| share * f64::from(distance)).sum::<f64>();
            let mut expected = 0.0;
            for (index, &a) in ones.iter().enumerate() {
                for &b in &ones[index + 1..] {
                    let (a, b) = (f64::from(a), f64::from(b));
                    expected += a + b - 2.0 * a * b / rows as f64;
                }
            }
            expected /= pair_count(ones.len()) as f64;
            // Sums are rounded to quantiles where there are many.
            assert!((mean - expected).abs() < expected * 0.01, "{rows}: {mean} {expected}");
        }
    }

    #[test]
    fn the_table_has_the_p_values_of_every_pair() {
        let ones = [3, 17, 17, 40, 58, 60, 1, 0, 30];
        let columns = Columns::new(&ones, 60);
        let table = PTable::new(&columns, 0.5, u64::MAX).expect("few sums");
        let mut known = 0;
        for left in 0..ones.len() {
            for right in 0..ones.len() {
                let (a, b) = (ones[left], ones[right]);
                for distance in (a.abs_diff(b)..=a + b).step_by(2) {
                    if let Some(bin) = table.bin(left, right, distance) {
                        known += 1;
                        assert_eq!(
                            bin,
                            p_bin(columns.independent.at_most(a.min(b), a.max(b), distance)),
                            "{a} {b} {distance}"
                        );
                    }
                }
            }
        }
        assert!(known > 200, "{known}");
    }

    #[test]
    fn trades_keep_all_sums_and_reach_every_matrix_as_often() {
        // Of three rows and columns with one set weight each there are six.
        let mut packed = Packed::zeros(3, 3);
        (0..3).for_each(|line| packed.line_mut(line)[0] = 1 << line);
        let mut counts: HashMap<Vec<u64>, u32> = HashMap::new();
        for seed in 0..6000 {
            let mut traded = packed.clone();
            trade_all(&mut traded, &mut Random::new(seed), &Monitor::new()).expect("not cancelled");
            *counts.entry((0..3).map(|line| traded.line(line)[0]).collect()).or_default() += 1;
        }
        assert_eq!(counts.len(), 6);
        let chi_square: f64 = counts.values().map(|&count| (f64::from(count) - 1000.0).powi(2) / 1000.0).sum();
        assert!(chi_square < 20.5, "five degrees of freedom, one in a thousand: {chi_square} {counts:?}");

        let mask = random_mask(150, 90, 0.3, 5);
        let mut traded = mask.by_column.clone();
        trade_all(&mut traded, &mut Random::new(1), &Monitor::new()).expect("not cancelled");
        let traded = Mask::of_columns(traded);
        assert_ne!(traded, mask);
        assert!((0..90).all(|column| traded.by_column.ones(column) == mask.by_column.ones(column)));
        assert!((0..150).all(|row| traded.by_row.ones(row) == mask.by_row.ones(row)));
    }

    /// Masks of given, very unequal sums: drawn, then traded many times.
    fn chance_mask(seed: u64) -> Mask {
        let mut random = Random::new(seed);
        let (rows, columns) = (60, 48);
        let mut by_row = Packed::zeros(rows, columns);
        for row in 0..rows {
            for column in 0..columns {
                let likely = (row as u64 + 20) * (column as u64 + 20) * 100 / (80 * 68) + 5;
                by_row.line_mut(row)[0] |= u64::from(random.bits() % 100 < likely) << column;
            }
        }
        let mut by_column = by_row.transposed();
        for _ in 0..4 {
            trade_all(&mut by_column, &mut random, &Monitor::new()).expect("not cancelled");
        }
        Mask::of_columns(by_column)
    }

    #[test]
    fn p_values_of_groups_are_uniform_when_chance_made_the_matrix() {
        const MASKS: u64 = 250;
        const SAMPLES: usize = 4;
        let mut all: Vec<f64> = Vec::new();
        let mut of_first: Vec<f64> = Vec::new();
        let mut z: Vec<f64> = Vec::new();
        for seed in 0..MASKS {
            let null = null_of(&chance_mask(seed * 7 + 1), SAMPLES, 5, 19, seed);
            of_first.push(null.groups[0].p);
            all.extend(null.groups.iter().map(|group| group.p));
            z.extend(null.groups.iter().filter_map(|group| group.z));
        }
        // Kolmogorov and Smirnov, one in a thousand; groups of one matrix depend on each other, its first do not.
        of_first.sort_unstable_by(f64::total_cmp);
        let off = |values: &[f64]| {
            let count = values.len() as f64;
            values.iter().enumerate().map(|(index, p)| ((index as f64 + 0.5) / count - p).abs()).fold(0.0, f64::max)
        };
        assert!(off(&of_first) < 1.95 / (MASKS as f64).sqrt() + 0.02, "{}", off(&of_first));
        let below = |limit: f64| all.iter().filter(|&&p| p <= limit).count() as f64 / all.len() as f64;
        for limit in [0.05, 0.1, 0.25, 0.5, 0.75, 0.9] {
            assert!((below(limit) - limit).abs() < 0.05, "{limit}: {}", below(limit));
        }
        let mean = z.iter().sum::<f64>() / z.len() as f64;
        assert!(mean.abs() < 0.15, "{mean}");
    }

    #[test]
    fn groups_that_never_vary_do_not_make_others_notable() {
        let (mut notable, mut all) = (0, 0);
        for seed in 0..12 {
            let mut by_column = random_mask(90, 20, 0.5, seed).by_column;
            let mut with_dead = Packed::zeros(120, 90);
            for column in 0..20 {
                with_dead.line_mut(column * 6).copy_from_slice(by_column.line_mut(column));
            }
            let null = null_of(&Mask::of_columns(with_dead), 120, 3, 19, seed);
            let order = draw_columns(120, 120, seed);
            for (group, feature) in null.groups.iter().zip(order) {
                if feature % 6 == 0 {
                    all += 1;
                    notable += u32::from(group.p <= 0.05);
                }
            }
        }
        assert!(all == 240 && notable <= 30, "{notable} of {all}");
    }

    #[test]
    fn few_permutations_rank_groups_among_their_own() {
        for count in [1, 2, 5] {
            let null = null_of(&random_mask(80, 60, 0.5, 4), 30, 5, count, 1);
            let least = 1.0 / (count as f64 + 1.0);
            assert!(null.groups.iter().all(|group| group.p >= least - 1e-12 && group.p <= 1.0));
        }
    }

    #[test]
    fn a_value_left_out_is_measured_by_the_others() {
        let values: [f64; 5] = [1.0, 4.0, 2.5, -3.0, 0.25];
        let spread = spread_of(values.iter().copied());
        for (index, &value) in values.iter().enumerate() {
            let others = values.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, &value)| value);
            let (mean, std) = spread_of(others);
            assert!((left_out(value, spread, 5.0) - (value - mean) / std).abs() < 1e-9);
        }
    }

    #[test]
    fn pairs_that_chance_made_are_hardly_ever_called_close() {
        let mut called = 0;
        for seed in 0..20 {
            let mask = random_mask(300, 60, 0.5, seed);
            let blocks = Blocks::of_mask(&mask);
            let analytic = AnalyticNull::find(&mask, &blocks, 0.05, &Monitor::new()).expect("not cancelled");
            called += u64::from(analytic.closer.pairs > 0);
            let permuted = null_of(&mask, 2, 3, 19, seed).closer;
            assert!(permuted.share < 0.01, "{permuted:?}");
        }
        assert!(called <= 4, "one in twenty, at most: {called} of 20");
    }

    #[test]
    fn planted_pairs_are_found_by_both_and_dense_rows_by_one_alone() {
        // Twenty columns that share four patterns, but for some rows.
        let mut planted = random_mask(400, 80, 0.5, 3).by_column;
        for column in 0..20 {
            let from = planted.line(60 + column % 4).to_vec();
            planted.line_mut(column).copy_from_slice(&from);
            planted.line_mut(column)[column % 6] ^= 0xff << column;
        }
        let planted = Mask::of_columns(planted);
        let blocks = Blocks::of_mask(&planted);
        let analytic = AnalyticNull::find(&planted, &blocks, 0.05, &Monitor::new()).expect("not cancelled");
        // Each pattern has five columns and the one that it is from: fifteen pairs.
        assert!((60..80).contains(&analytic.closer.pairs), "{:?}", analytic.closer);
        let permuted = null_of(&planted, 4, 4, 39, 1);
        assert!((60..90).contains(&permuted.closer.pairs), "{:?}", permuted.closer);

        // Rows of very unequal density make all columns alike; beside matrices of the same sums none is.
        let mut by_row = random_mask(400, 80, 0.5, 4).by_row;
        for row in 0..400 {
            let line = by_row.line_mut(row);
            let mut random = Random::new(row as u64);
            for word in line.iter_mut() {
                let (a, b) = (random.bits(), random.bits());
                *word = if row % 2 == 0 { *word | a | b } else { *word & a & b };
            }
            line[1] &= 0xffff;
        }
        let uneven = Mask::of_rows(by_row);
        let blocks = Blocks::of_mask(&uneven);
        let analytic = AnalyticNull::find(&uneven, &blocks, 0.05, &Monitor::new()).expect("not cancelled");
        assert!(analytic.closer.share > 0.9, "{:?}", analytic.closer);
        let permuted = null_of(&uneven, 4, 4, 39, 2);
        assert!(permuted.closer.share < 0.01, "{:?}", permuted.closer);
    }

    #[test]
    fn the_band_holds_a_matrix_that_chance_made() {
        let mask = chance_mask(99);
        let null = null_of(&mask, 4, 5, 99, 7);
        let blocks = Blocks::of_mask(&mask);
        let all = super::super::pairs::AllPairs::find(&mask, &blocks, 1, &Monitor::new()).expect("not cancelled");
        let total = all.pairs() as f64;
        let mut below = 0;
        let outside = all.counts.iter().zip(&null.band).filter(|(count, band)| {
            below += **count;
            !(band.0 - 1e-12..=band.1 + 1e-12).contains(&(below as f64 / total))
        });
        let outside = outside.count();
        assert!(outside <= 4, "{outside} of {} distances", all.counts.len());
    }

    #[test]
    fn the_same_on_any_number_of_threads() {
        let mask = random_mask(200, 70, 0.4, 8);
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            pool.install(|| {
                let blocks = Blocks::of_mask(&mask);
                let analytic = AnalyticNull::find(&mask, &blocks, 0.05, &Monitor::new()).expect("not cancelled");
                (null_of(&mask, 6, 4, 9, 3), analytic)
            })
        };
        assert_eq!(run(1), run(4));
    }
}
