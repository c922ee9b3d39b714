//! Everything that is found out about a matrix, in one go.

use std::sync::Arc;
use std::time::Instant;

use rayon::prelude::*;

use super::chance::{AnalyticNull, GroupChance, PermutationNull, Permutations};
use super::groups::{Group, GroupMetrics, Mode, draw_columns, find_groups};
use super::mask::Mask;
use super::pairs::{AllPairs, Blocks};
use super::patterns::PatternReport;
use super::sources::{Identity, Source};
use crate::compute::error::{Error, Result};
use crate::compute::figures::{count, counted};
use crate::job::Monitor;

/// What is asked of every matrix.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Params {
    pub mode: Mode,
    /// Columns of a group, the column itself among them; at least 1.
    pub neighbours: usize,
    pub seed: u64,
    /// Permuted matrices; 0 for none.
    pub permutations: usize,
    /// False-discovery rate at which pairs are called closer than chance; above 0, at most 0.2.
    pub fdr: f64,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            mode: Mode::Sampled { samples: Self::SAMPLES },
            neighbours: Self::NEIGHBOURS,
            seed: Self::SEED,
            permutations: Self::PERMUTATIONS,
            fdr: Self::FDR,
        }
    }
}

impl Params {
    pub const SAMPLES: usize = 64;
    pub const NEIGHBOURS: usize = 8;
    pub const SEED: u64 = 42;
    /// With 39 the lowest and the highest curve bound 95 % of what chance gives.
    pub const PERMUTATIONS: usize = 39;
    pub const FDR: f64 = 0.05;
    const MOST_PERMUTATIONS: usize = 10_000;

    /// # Errors
    /// [`Error::Parameter`] for what is out of range.
    pub fn check(&self) -> Result<()> {
        let refuse =
            |name, expected: &str, found: String| Err(Error::Parameter { name, expected: expected.to_owned(), found });
        if self.mode == (Mode::Sampled { samples: 0 }) {
            return refuse("n-samples", "at least 1 column", "0".to_owned());
        }
        if self.neighbours == 0 {
            return refuse("n-neighbors", "at least 1 column, the column itself", "0".to_owned());
        }
        if self.permutations > Self::MOST_PERMUTATIONS {
            return refuse("permutations", "at most 10,000", count(self.permutations));
        }
        if !(self.fdr > 0.0 && self.fdr <= 0.2) {
            return refuse("fdr", "a rate above 0 and at most 0.2", self.fdr.to_string());
        }
        Ok(())
    }
}

/// A group with all that is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct AnalysedGroup {
    pub group: Group,
    pub metrics: GroupMetrics,
    /// Beside permuted matrices, if there are any.
    pub chance: Option<GroupChance>,
}

/// What is known of a matrix.
#[derive(Debug, Clone)]
pub struct Analysis {
    pub identity: Identity,
    /// Name of the file that it is from.
    pub file: String,
    pub element: &'static str,
    pub params: Params,
    pub mask: Arc<Mask>,
    /// Share of weights that are not zero.
    pub density: f64,
    pub pairs: AllPairs,
    pub groups: Vec<AnalysedGroup>,
    /// `None` of a single column.
    pub analytic: Option<AnalyticNull>,
    pub permutation: Option<PermutationNull>,
    pub patterns: Vec<PatternReport>,
    /// Spent on comparing all pairs, and on everything.
    pub pairs_secs: f64,
    pub secs: f64,
}

/// Reads a matrix and finds out everything about it.
///
/// # Errors
/// A matrix that cannot be read, or has fewer columns than a group should have; cancelled.
pub fn analyse(source: &Source, params: &Params, monitor: &Monitor) -> Result<Analysis> {
    let started = Instant::now();
    params.check()?;
    if params.neighbours > source.columns() {
        return Err(Error::Matrix {
            what: format!(
                "{} has {}, but groups of {} are asked for. Lower --n-neighbors to at most {}",
                source.identity,
                counted(source.columns(), "column", "columns"),
                count(params.neighbours),
                count(source.columns())
            ),
            path: source.path().to_owned(),
        });
    }
    monitor.begin("reading weights", "weights", 0);
    let mask = Arc::new(source.read()?);
    /// Nearest others that are kept of every column.
    const MOST_NEAREST: usize = 16;
    let of_pairs = Instant::now();
    let blocks = Blocks::of_mask(&mask);
    let pairs = AllPairs::find(&mask, &blocks, params.neighbours.saturating_sub(1).clamp(1, MOST_NEAREST), monitor)?;
    let pairs_secs = of_pairs.elapsed().as_secs_f64();
    let samples = match params.mode {
        Mode::Sampled { samples } => samples,
        Mode::Exhaustive => mask.columns(),
    };
    let order = draw_columns(mask.columns(), samples, params.seed);
    monitor.begin("grouping columns", "groups", 0);
    let groups = find_groups(&mask.by_column, &blocks, params.mode, &order, params.neighbours, monitor)?;
    let has_pairs = mask.columns() > 1;
    let analytic = has_pairs.then(|| AnalyticNull::find(&mask, &blocks, params.fdr, monitor)).transpose()?;
    let how = Permutations { count: params.permutations, seed: params.seed, fdr: params.fdr };
    let grouping = (params.mode, &order[..], params.neighbours);
    let permutation = (has_pairs && params.permutations > 0)
        .then(|| PermutationNull::find(&mask, &blocks, how, grouping, &groups, monitor))
        .transpose()?;
    monitor.begin("measuring groups", "groups", groups.len() as u64);
    let groups = groups
        .into_par_iter()
        .enumerate()
        .map(|(index, group)| {
            monitor.advance(1)?;
            let metrics = GroupMetrics::of(&mask, &group.columns);
            Ok(AnalysedGroup { metrics, chance: permutation.as_ref().map(|null| null.groups[index]), group })
        })
        .collect::<Result<Vec<_>>>()?;
    let patterns = PatternReport::all(&mask);
    let secs = started.elapsed().as_secs_f64();
    let density = mask.density();
    let file = source.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Analysis {
        density,
        file,
        identity: source.identity.clone(),
        element: source.element(),
        params: *params,
        mask,
        pairs,
        groups,
        analytic,
        permutation,
        patterns,
        pairs_secs,
        secs,
    })
}

impl Analysis {
    /// Indices of the groups by mean distance, the most alike first.
    pub fn by_mean_distance(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.groups.len()).collect();
        let mean = |index: usize| self.groups[index].metrics.mean_pairwise_distance;
        order.sort_by(|&a, &b| mean(a).total_cmp(&mean(b)).then(a.cmp(&b)));
        order
    }

    /// Mean over the groups of one of their figures; `None` without groups.
    pub fn mean_of(&self, figure: impl Fn(&GroupMetrics) -> f64) -> Option<f64> {
        let sum: f64 = self.groups.iter().map(|group| figure(&group.metrics)).sum();
        (!self.groups.is_empty()).then(|| sum / self.groups.len() as f64)
    }
}
