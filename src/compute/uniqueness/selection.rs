//! Which samples are kept: thresholds on the score, one of each set of near-duplicates, a number.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::search::{Searcher, Wanted};
use super::thinning::Near;
use super::{Distance, Params};
use crate::compute::atomic_file::write_atomically;
use crate::compute::error::{Error, Result};
use crate::job::Monitor;

/// What drops samples, in this order; each looks only at what those before it left.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rules {
    /// Samples with a lower score are dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop_below: Option<f64>,
    /// Samples with a higher score are dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop_above: Option<f64>,
    /// Of each set of samples within this distance one is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dedupe: Option<f64>,
    /// The highest scores are kept, as many as this; after thinning, the scores among what it leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<usize>,
}

impl Rules {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// # Errors
    /// Bounds that are not numbers or leave nothing between them.
    pub fn check(&self) -> Result<()> {
        let refused =
            |name, expected: &str, found: String| Err(Error::Parameter { name, expected: expected.to_owned(), found });
        for (name, value) in [("drop-below", self.drop_below), ("drop-above", self.drop_above)] {
            if let Some(value) = value.filter(|value| !value.is_finite()) {
                return refused(name, "a finite number", value.to_string());
            }
        }
        match (self.drop_below, self.drop_above, self.dedupe) {
            (Some(below), Some(above), _) if below > above => {
                refused("drop-below", "at most drop-above, or everything is dropped", format!("{below} and {above}"))
            }
            (_, _, Some(epsilon)) if !epsilon.is_finite() || epsilon < 0.0 => {
                refused("dedupe", "a finite distance of at least 0", epsilon.to_string())
            }
            _ => Ok(()),
        }
    }
}

/// What became of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Kept,
    Below,
    Above,
    /// Of the row that is kept instead.
    Duplicate(u32),
    Surplus,
}

impl Fate {
    /// In one word, as lists tell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Below => "below",
            Self::Above => "above",
            Self::Duplicate(_) => "duplicate",
            Self::Surplus => "surplus",
        }
    }
}

/// What became of all samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    pub rules: Rules,
    pub fates: Vec<Fate>,
}

impl Selection {
    /// Applies `rules` to samples with these scores. `near` must reach as far as the rules' ε, if they have one.
    ///
    /// `k`: nearest others that count.
    ///
    /// Where near-duplicates were dropped and a number is to be kept, those that are left are scored again among
    /// themselves: a sample that was redundant only for its duplicates is not any more. `scratch`: a folder for
    /// a file without a name.
    ///
    /// # Errors
    /// What [`Rules::check`] finds; of scoring again, as of [`Searcher::search`].
    pub fn make(
        searcher: &Searcher<'_>,
        k: usize,
        scores: &[f64],
        near: Option<&Near>,
        rules: Rules,
        scratch: &Path,
        monitor: &Monitor,
    ) -> Result<Self> {
        rules.check()?;
        let mut fates = vec![Fate::Kept; scores.len()];
        for (fate, &score) in fates.iter_mut().zip(scores) {
            if rules.drop_below.is_some_and(|below| score < below) {
                *fate = Fate::Below;
            } else if rules.drop_above.is_some_and(|above| score > above) {
                *fate = Fate::Above;
            }
        }
        let mut thinned = false;
        if let Some(epsilon) = rules.dedupe {
            let near = near.expect("thinning needs the pairs that are near");
            let representatives = near.representatives(epsilon, |row| fates[row] == Fate::Kept);
            for (row, (fate, representative)) in fates.iter_mut().zip(representatives).enumerate() {
                if representative as usize != row {
                    *fate = Fate::Duplicate(representative);
                    thinned = true;
                }
            }
        }
        let mut selection = Self { rules, fates };
        if let Some(keep) = rules.keep {
            let left: Vec<u32> =
                (0u32..).zip(&selection.fates).filter(|(_, fate)| **fate == Fate::Kept).map(|(row, _)| row).collect();
            if left.len() > keep {
                let again = if thinned { scores_among(searcher, k, &left, scratch, monitor)? } else { None };
                let again = again.unwrap_or_else(|| left.iter().map(|&row| scores[row as usize]).collect());
                selection.keep_highest(keep, &left, &again);
            }
        }
        Ok(selection)
    }

    /// Drops all of `left` but the `keep` with the highest `scores` (ties: the first), and says of near-duplicates
    /// of those that go that they go with them.
    fn keep_highest(&mut self, keep: usize, left: &[u32], scores: &[f64]) {
        let mut order: Vec<usize> = (0..left.len()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
        order.iter().skip(keep).for_each(|&place| self.fates[left[place] as usize] = Fate::Surplus);
        for row in 0..self.fates.len() {
            if let Fate::Duplicate(of) = self.fates[row]
                && self.fates[of as usize] == Fate::Surplus
            {
                self.fates[row] = Fate::Surplus;
            }
        }
    }

    pub fn count(&self, is_meant: impl Fn(Fate) -> bool) -> usize {
        self.fates.iter().filter(|&&fate| is_meant(fate)).count()
    }

    pub fn kept(&self) -> usize {
        self.count(|fate| fate == Fate::Kept)
    }
}

/// The scores of `rows` among themselves; `None` if there are too few to have neighbours.
fn scores_among(
    searcher: &Searcher<'_>,
    k: usize,
    rows: &[u32],
    scratch: &Path,
    monitor: &Monitor,
) -> Result<Option<Vec<f64>>> {
    if rows.len() < 2 {
        return Ok(None);
    }
    let subset = searcher.embeddings().subset(rows.to_vec(), scratch, monitor)?;
    let among = Searcher::new(&subset, searcher.distance(), searcher.budget(), monitor)?;
    let k = k.min(rows.len() - 1);
    let mut scores = Vec::with_capacity(rows.len());
    among.search(k, &Wanted::Range(0..rows.len()), "scoring what is left", monitor, |pass| {
        scores.extend(pass.scores());
        Ok(())
    })?;
    Ok(Some(scores))
}

/// A selection as a file: what was looked at, and the rules; what they select follows from both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SavedSelection {
    /// The format: 1.
    pub knnscope_selection: u32,
    pub embeddings: PathBuf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dim: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<PathBuf>,
    /// Of the embeddings, so that a changed file is noticed.
    pub fingerprint: String,
    pub k: usize,
    pub distance_metric: Distance,
    pub rules: Rules,
}

impl SavedSelection {
    pub fn new(params: &Params, fingerprint: u64, rules: Rules) -> Self {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Self {
            knnscope_selection: 1,
            embeddings: absolute(&params.embeddings),
            dim: params.dim,
            dataset: params.dataset.as_deref().map(absolute),
            fingerprint: format!("{fingerprint:016x}"),
            k: params.k,
            distance_metric: params.distance,
            rules,
        }
    }

    /// Writes it whole or not at all.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut json = serde_json::to_vec_pretty(self).expect("plain values");
        json.push(b'\n');
        write_atomically(path, &json)
    }

    /// # Errors
    /// A file that cannot be read, is no selection, or whose rules contradict each other.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::read(path))?;
        let bad = |what: String| Error::Selection {
            what: format!("{what}. Expected a selection that was saved by knnscope"),
            path: path.to_owned(),
        };
        let saved: Self = serde_json::from_slice(&bytes).map_err(|error| bad(format!("is no selection: {error}")))?;
        if saved.knnscope_selection != 1 {
            return Err(bad(format!("has format {}, this knnscope knows 1", saved.knnscope_selection)));
        }
        saved.rules.check()?;
        Ok(saved)
    }
}
