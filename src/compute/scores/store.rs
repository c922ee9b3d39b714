//! A session that was opened: an immutable snapshot of its finished runs.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::manifest::{MANIFEST_NAME, Manifest, RunRecord};
use crate::compute::error::{Error, Result};
use crate::compute::kernels::{self, Level};
use crate::compute::metric::Metric;
use crate::job::Monitor;

/// What the statistics box says of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RunStats {
    pub count: u64,
    pub min: f32,
    pub max: f32,
    pub mean: f64,
    /// Population standard deviation.
    pub std: f64,
}

/// The finished runs of a folder. Every run's file was there with the size the manifest tells.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreStore {
    folder: PathBuf,
    manifest: Manifest,
}

impl ScoreStore {
    /// Scores that are read and worked on at once; 1 MiB.
    pub const CHUNK_SCORES: usize = 1 << 18;

    /// Opens a results folder, or the `manifest.json` in it; ours or another tool's.
    ///
    /// # Errors
    /// No manifest, a damaged one, a score file that is missing, leads out of the folder by a link,
    /// or has another size than the manifest tells.
    pub fn open(path: &Path) -> Result<Self> {
        let is_manifest = path.file_name().is_some_and(|name| name == MANIFEST_NAME) && !path.is_dir();
        let folder = match path.parent() {
            Some(parent) if is_manifest && parent.as_os_str().is_empty() => PathBuf::from("."),
            Some(parent) if is_manifest => parent.to_owned(),
            _ => path.to_owned(),
        };
        let manifest_path = folder.join(MANIFEST_NAME);
        if folder.is_dir() && !manifest_path.exists() {
            return Err(Error::NoManifest { path: folder });
        }
        let bytes = read_manifest(&manifest_path)?;
        let manifest = Manifest::parse(&bytes, &manifest_path)?;
        Self::new(folder, manifest)
    }

    /// A store of the runs that `manifest` names in `folder`; see [`ScoreStore::open`] for errors.
    pub fn new(folder: PathBuf, manifest: Manifest) -> Result<Self> {
        let inside = fs::canonicalize(&folder).map_err(Error::read(&folder))?;
        for run in &manifest.runs {
            check_file(&folder, &inside, &run.file, run.num_scores * 4)?;
            if let Some(ids_file) = &run.ids_file {
                check_file(&folder, &inside, ids_file, run.num_scores * 4)?;
            }
        }
        Ok(Self { folder, manifest })
    }

    /// A store of runs that this process has just written.
    pub(super) fn of_written(folder: PathBuf, manifest: Manifest) -> Self {
        Self { folder, manifest }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub fn metric(&self) -> Metric {
        self.manifest.metric
    }

    pub fn runs(&self) -> &[RunRecord] {
        &self.manifest.runs
    }

    /// How many of the queries of run `index` were seen before in this session; `None` if the query
    /// file's size is not known.
    pub fn reused_queries(&self, index: usize) -> Option<u64> {
        let run = &self.manifest.runs[index];
        let rows = self.manifest.query_rows?;
        let end = run.query_start_index + run.n;
        Some(end.saturating_sub(rows.max(run.query_start_index)))
    }

    /// The docs or queries file that the manifest names, wherever it lies now: as named, or relative
    /// to the results folder.
    pub fn locate(&self, named: &str) -> Option<PathBuf> {
        let path = PathBuf::from(named);
        [self.folder.join(&path), path].into_iter().find(|candidate| candidate.is_file())
    }

    /// Calls `each` with the scores of run `index`, in file order, a chunk at a time, in parallel, and
    /// returns what it returned, in file order. `each` gets the index of its first score.
    ///
    /// # Errors
    /// A file that cannot be read, changed its size, or holds a score that is not finite.
    pub fn map_chunks<T: Send>(
        &self,
        index: usize,
        monitor: &Monitor,
        each: impl Fn(u64, &[f32]) -> T + Sync,
    ) -> Result<Vec<T>> {
        let run = &self.manifest.runs[index];
        let path = self.folder.join(&run.file);
        let chunks = run.num_scores.div_ceil(Self::CHUNK_SCORES as u64);
        let level = Level::detected();
        (0..chunks)
            .into_par_iter()
            .map_init(Vec::new, |scores, chunk| {
                monitor.check()?;
                let first = chunk * Self::CHUNK_SCORES as u64;
                let count = (run.num_scores - first).min(Self::CHUNK_SCORES as u64) as usize;
                read_f32(&path, first, count, run.num_scores, scores)?;
                if !kernels::all_finite(level, scores) {
                    let bad = scores.iter().position(|score| !score.is_finite()).expect("one is not finite");
                    let (index, value) = (first + bad as u64, scores[bad]);
                    return Err(Error::BadScore { index, value, path: path.clone() });
                }
                Ok(each(first, scores))
            })
            .collect()
    }

    /// Minimum, maximum, mean and standard deviation of run `index`; the same bits on any number of
    /// threads, since chunks are fixed and are added in file order.
    pub fn stats(&self, index: usize, monitor: &Monitor) -> Result<RunStats> {
        let parts = self.map_chunks(index, monitor, |_, scores| {
            let (mut min, mut max, mut sum) = (f32::INFINITY, f32::NEG_INFINITY, 0.0f64);
            for &score in scores {
                min = min.min(score);
                max = max.max(score);
                sum += f64::from(score);
            }
            let mean = sum / scores.len() as f64;
            let squares: f64 = scores.iter().map(|&score| (f64::from(score) - mean).powi(2)).sum();
            (scores.len() as f64, min, max, mean, squares)
        })?;
        // Chan, Golub, LeVeque (1979): means and squared deviations of parts combine without loss.
        let combine = |a: (f64, f32, f32, f64, f64), b: (f64, f32, f32, f64, f64)| {
            let (count, delta) = (a.0 + b.0, b.3 - a.3);
            let mean = a.3 + delta * b.0 / count;
            (count, a.1.min(b.1), a.2.max(b.2), mean, a.4 + b.4 + delta * delta * a.0 * b.0 / count)
        };
        let (count, min, max, mean, squares) = parts.into_iter().reduce(combine).expect("a run has scores");
        Ok(RunStats { count: count as u64, min, max, mean, std: (squares / count).sqrt() })
    }

    /// `count` scores of run `index` from score `first` on, as they are stored, finite or not.
    pub fn scores(&self, index: usize, first: u64, count: usize) -> Result<Vec<f32>> {
        let run = &self.manifest.runs[index];
        let mut scores = Vec::new();
        read_f32(&self.folder.join(&run.file), first, count, run.num_scores, &mut scores)?;
        Ok(scores)
    }

    /// The doc rows beside `count` scores of run `index` from score `first` on; `None` if ids were
    /// not kept.
    pub fn ids(&self, index: usize, first: u64, count: usize) -> Result<Option<Vec<u32>>> {
        let run = &self.manifest.runs[index];
        let Some(ids_file) = &run.ids_file else { return Ok(None) };
        let path = self.folder.join(ids_file);
        let mut bytes = Vec::new();
        read_words(&path, first, count, run.num_scores, &mut bytes)?;
        let (words, _) = bytes.as_chunks::<4>();
        Ok(Some(words.iter().map(|word| u32::from_le_bytes(*word)).collect()))
    }
}

/// The bytes of a manifest: of a regular file, and no larger than any manifest gets.
pub(super) fn read_manifest(path: &Path) -> Result<Vec<u8>> {
    const MOST_BYTES: u64 = 64 << 20;
    let metadata = fs::metadata(path).map_err(Error::read(path))?;
    if !metadata.is_file() || metadata.len() > MOST_BYTES {
        let what = "is no regular file of at most 64 MiB".to_owned();
        return Err(Error::Manifest { what, path: path.to_owned() });
    }
    fs::read(path).map_err(Error::read(path))
}

/// Reads `count` float32 from word `first` on into `values`.
fn read_f32(path: &Path, first: u64, count: usize, words: u64, values: &mut Vec<f32>) -> Result<()> {
    let mut bytes = Vec::new();
    read_words(path, first, count, words, &mut bytes)?;
    let (chunks, _) = bytes.as_chunks::<4>();
    values.clear();
    values.extend(chunks.iter().map(|word| f32::from_le_bytes(*word)));
    Ok(())
}

fn read_words(path: &Path, first: u64, count: usize, words: u64, bytes: &mut Vec<u8>) -> Result<()> {
    bytes.resize(count * 4, 0);
    let mut file = File::open(path).map_err(Error::read(path))?;
    file.seek(SeekFrom::Start(first * 4)).map_err(Error::read(path))?;
    file.read_exact(bytes).map_err(|source| match source.kind() {
        std::io::ErrorKind::UnexpectedEof => Error::ScoreFileSize {
            expected_bytes: words * 4,
            found_bytes: fs::metadata(path).map_or(0, |metadata| metadata.len()),
            path: path.to_owned(),
        },
        _ => Error::Read { source, path: path.to_owned() },
    })
}

fn check_file(folder: &Path, inside: &Path, name: &str, expected_bytes: u64) -> Result<()> {
    let path = folder.join(name);
    let metadata = fs::metadata(&path).map_err(Error::read(&path))?;
    let real = fs::canonicalize(&path).map_err(Error::read(&path))?;
    if real.parent() != Some(inside) {
        let what = format!("is a link out of the folder, to {}", real.display());
        return Err(Error::Manifest { what, path });
    }
    if !metadata.is_file() {
        return Err(Error::Manifest { what: "is not a regular file".to_owned(), path });
    }
    if metadata.len() != expected_bytes {
        return Err(Error::ScoreFileSize { expected_bytes, found_bytes: metadata.len(), path });
    }
    Ok(())
}
