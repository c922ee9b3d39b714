//! Which samples are kept: thresholds on the score, one of each set of near-duplicates, a number.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::thinning::Near;
use super::{Distance, Params};
use crate::compute::atomic_file::write_atomically;
use crate::compute::error::{Error, Result};

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
    /// The highest scores are kept, as many as this.
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
            if let Some(value) = value.filter(|value| value.is_nan()) {
                return refused(name, "a number", value.to_string());
            }
        }
        match (self.drop_below, self.drop_above, self.dedupe) {
            (Some(below), Some(above), _) if below > above => {
                refused("drop-below", "at most drop-above, or everything is dropped", format!("{below} and {above}"))
            }
            (_, _, Some(epsilon)) if epsilon.is_nan() || epsilon < 0.0 => {
                refused("dedupe", "a distance of at least 0", epsilon.to_string())
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
    /// # Errors
    /// What [`Rules::check`] finds.
    pub fn make(scores: &[f64], near: Option<&Near>, rules: Rules) -> Result<Self> {
        rules.check()?;
        let mut fates = vec![Fate::Kept; scores.len()];
        for (fate, &score) in fates.iter_mut().zip(scores) {
            if rules.drop_below.is_some_and(|below| score < below) {
                *fate = Fate::Below;
            } else if rules.drop_above.is_some_and(|above| score > above) {
                *fate = Fate::Above;
            }
        }
        if let (Some(epsilon), Some(near)) = (rules.dedupe, near) {
            let representatives = near.representatives(epsilon, |row| fates[row] == Fate::Kept);
            for (row, (fate, representative)) in fates.iter_mut().zip(representatives).enumerate() {
                if representative as usize != row {
                    *fate = Fate::Duplicate(representative);
                }
            }
        }
        if let Some(keep) = rules.keep {
            let mut kept: Vec<usize> = (0..scores.len()).filter(|&row| fates[row] == Fate::Kept).collect();
            kept.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
            kept.iter().skip(keep).for_each(|&row| fates[row] = Fate::Surplus);
        }
        Ok(Self { rules, fates })
    }

    pub fn count(&self, is_meant: impl Fn(Fate) -> bool) -> usize {
        self.fates.iter().filter(|&&fate| is_meant(fate)).count()
    }

    pub fn kept(&self) -> usize {
        self.count(|fate| fate == Fate::Kept)
    }
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
