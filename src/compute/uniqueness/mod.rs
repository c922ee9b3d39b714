//! Uniqueness: how isolated or redundant each sample is, by the mean distance to its k nearest others.
//!
//! [`search`] finds the neighbours exactly, [`journal`] lets that go on after a kill, [`thinning`] finds sets of
//! near-duplicates, [`selection`] decides which samples are kept, [`lists`] writes what was found.

pub mod config;
pub mod journal;
pub mod lists;
pub mod search;
pub mod selection;
pub mod thinning;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use config::Config;
pub use search::{Searcher, Wanted};
pub use selection::{Fate, Rules, SavedSelection, Selection};
pub use thinning::{Near, ThinningCurve};

use super::error::{Error, Result};
use super::figures::{count, counted};
use super::vectors::{Dataset, Embeddings};
use crate::job::Monitor;

/// How far two samples are apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Distance {
    /// ‖a − b‖₂
    #[default]
    Euclidean,
    /// 1 − cos(a, b), computed as ½ ‖a/‖a‖ − b/‖b‖‖², which is exactly 0 for equal rows.
    Cosine,
    /// ‖a − b‖₁
    Manhattan,
}

impl Distance {
    pub const ALL: [Self; 3] = [Self::Euclidean, Self::Cosine, Self::Manhattan];

    pub fn name(self) -> &'static str {
        match self {
            Self::Euclidean => "euclidean",
            Self::Cosine => "cosine",
            Self::Manhattan => "manhattan",
        }
    }
}

impl FromStr for Distance {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|distance| distance.name() == text).ok_or_else(|| Error::Parameter {
            name: "distance metric",
            expected: "euclidean, cosine or manhattan".to_owned(),
            found: text.to_owned(),
        })
    }
}

/// What the user asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    pub embeddings: PathBuf,
    /// Of a flat vector file.
    pub dim: Option<usize>,
    pub dataset: Option<PathBuf>,
    pub k: usize,
    pub distance: Distance,
    /// Budget for buffers, in bytes.
    pub memory_budget: u64,
}

impl Params {
    pub const DEFAULT_K: usize = 5;

    /// The k that `samples` allow, and what to say if it is not the one asked for.
    ///
    /// # Errors
    /// k = 0; fewer than two samples.
    pub fn k_for(k: usize, samples: usize) -> Result<(usize, Option<String>)> {
        if k == 0 {
            return Err(Error::Parameter {
                name: "k",
                expected: "a whole number of at least 1".to_owned(),
                found: "0".to_owned(),
            });
        }
        if samples < 2 {
            return Err(Error::Parameter {
                name: "embeddings",
                expected: "at least two samples (a score is a distance to others)".to_owned(),
                found: counted(samples, "sample", "samples"),
            });
        }
        if k < samples {
            return Ok((k, None));
        }
        let lowered = samples - 1;
        let warning =
            format!("k = {} is not less than the {} samples; lowered to {}", count(k), count(samples), count(lowered));
        Ok((lowered, Some(warning)))
    }
}

/// What the params name, opened and found to fit together.
#[derive(Debug)]
pub struct Samples {
    pub embeddings: Embeddings,
    pub dataset: Option<Dataset>,
    /// As many as the samples allow.
    pub k: usize,
    /// What a user should know.
    pub warnings: Vec<String>,
}

impl Samples {
    /// Opens embeddings and dataset. `scratch`: a folder for what must be converted.
    ///
    /// # Errors
    /// What [`Embeddings::open`], [`Dataset::open`] and [`Params::k_for`] find; counts that differ; cancelled.
    pub fn open(params: &Params, scratch: &Path, monitor: &Monitor) -> Result<Self> {
        monitor.begin("opening embeddings", "rows", 0);
        let embeddings = Embeddings::open(&params.embeddings, params.dim, scratch, monitor)?;
        let (k, lowered) = Params::k_for(params.k, embeddings.rows())?;
        let dataset = params.dataset.as_deref().map(|path| Dataset::open(path, monitor)).transpose()?;
        if let Some(dataset) = dataset.as_ref().filter(|dataset| dataset.len() != embeddings.rows()) {
            return Err(Error::CountsDiffer {
                samples: dataset.len(),
                rows: embeddings.rows(),
                dataset: dataset.path().to_owned(),
                embeddings: embeddings.path().to_owned(),
            });
        }
        let warnings = lowered.into_iter().chain(dataset.as_ref().and_then(Dataset::warning)).collect();
        Ok(Self { embeddings, dataset, k, warnings })
    }
}

/// The k nearest others of each sample, nearest first, ties by the lower row.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbours {
    pub k: usize,
    /// Row-major, samples × k.
    pub rows: Vec<u32>,
    /// Row-major, samples × k, ascending within a sample.
    pub distances: Vec<f64>,
}

impl Neighbours {
    /// Bytes of a sample.
    pub fn bytes_of(k: usize) -> u64 {
        12 * k as u64
    }

    pub fn samples(&self) -> usize {
        self.rows.len() / self.k
    }

    /// The neighbours of `row` with their distances.
    pub fn of(&self, row: usize) -> impl Iterator<Item = (u32, f64)> + '_ {
        let range = row * self.k..(row + 1) * self.k;
        self.rows[range.clone()].iter().copied().zip(self.distances[range].iter().copied())
    }

    /// The score of each sample: the mean distance to its k nearest others.
    pub fn scores(&self) -> Vec<f64> {
        self.distances.chunks_exact(self.k).map(|distances| distances.iter().sum::<f64>() / self.k as f64).collect()
    }

    /// The distance of `row` to its nearest other.
    pub fn nearest_distance(&self, row: usize) -> f64 {
        self.distances[row * self.k]
    }
}

/// How many of `sorted` scores are lower.
pub fn count_below(sorted: &[f64], score: f64) -> usize {
    sorted.partition_point(|&other| other < score)
}

/// How many of `sorted` scores are higher.
pub fn count_above(sorted: &[f64], score: f64) -> usize {
    sorted.len() - sorted.partition_point(|&other| other <= score)
}
