//! Writes the runs of a session, each whole or not at all, the manifest after each.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::manifest::{MANIFEST_NAME, Manifest, RunRecord};
use super::store::ScoreStore;
use crate::compute::atomic_file::{AtomicFile, MadeFolders, write_atomically};
use crate::compute::error::{Error, Result};
use crate::compute::exact::RunSpec;
use crate::compute::figures::count;

/// The open end of a session: takes scores query by query and cuts them into runs.
pub struct SessionWriter {
    folder: PathBuf,
    made_folders: MadeFolders,
    /// Held for the whole session, so that two programs never write into one folder.
    _lock: File,
    manifest: Manifest,
    runs: Vec<RunSpec>,
    top_k: usize,
    keep_ids: bool,
    current: Option<OpenRun>,
}

struct OpenRun {
    scores: AtomicFile,
    ids: Option<AtomicFile>,
    queries_written: usize,
    elapsed_secs: f64,
}

impl SessionWriter {
    /// Makes and locks `folder`, which is empty of sessions or holds the runs of `manifest`.
    pub fn create(folder: &Path, manifest: Manifest, runs: Vec<RunSpec>, top_k: usize, keep_ids: bool) -> Result<Self> {
        let made_folders = MadeFolders::make(folder)?;
        let lock = File::open(folder).map_err(|source| Error::OutputFolder { source, path: folder.to_owned() })?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::SessionInUse { path: folder.to_owned() }),
            // A file system without locks: go on as if alone.
            Err(TryLockError::Error(_)) => {}
        }
        Ok(Self {
            folder: folder.to_owned(),
            made_folders,
            _lock: lock,
            manifest,
            runs,
            top_k,
            keep_ids,
            current: None,
        })
    }

    /// Removes the session that is there: its manifest first, so that no half of it can be taken for
    /// a whole, then the score and id files that it names.
    pub fn remove_old_session(&self) -> Result<()> {
        let remove = |path: &Path| match fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::write(path)(error)),
            _ => Ok(()),
        };
        let manifest_path = self.folder.join(MANIFEST_NAME);
        let named = fs::read(&manifest_path).ok().and_then(|bytes| Manifest::parse(&bytes, &manifest_path).ok());
        remove(&manifest_path)?;
        for run in named.iter().flat_map(|manifest| &manifest.runs) {
            for file in [Some(&run.file), run.ids_file.as_ref()].into_iter().flatten() {
                // Only files of a session's own making, whatever a manifest names.
                if (file.starts_with("scores_N") || file.starts_with("ids_N")) && file.ends_with(".bin") {
                    remove(&self.folder.join(file))?;
                }
            }
        }
        Ok(())
    }

    /// Takes over the runs that are finished already: a prefix of the session's.
    pub fn resume(&mut self, finished: Vec<RunRecord>) {
        self.manifest.runs = finished;
    }

    pub fn finished_count(&self) -> usize {
        self.manifest.runs.len()
    }

    pub fn top_k(&self) -> usize {
        self.top_k
    }

    /// One past the last session query of the run that holds session query `query`.
    pub fn run_end(&self, query: usize) -> usize {
        self.runs[self.run_of(query)].query_end()
    }

    fn run_of(&self, query: usize) -> usize {
        self.runs.partition_point(|run| run.query_end() <= query)
    }

    /// The finished runs so far.
    pub fn store(&self) -> ScoreStore {
        ScoreStore::of_written(self.folder.clone(), self.manifest.clone())
    }

    /// The run that is written next or just now; `None` once all are finished.
    pub fn current_run(&self) -> Option<RunSpec> {
        self.runs.get(self.manifest.runs.len()).copied()
    }

    /// Appends whole queries, as many as `scores` holds; `ids` likewise. `elapsed_secs` is what they
    /// took to compute. Returns after the first run that is finished with this, or when all is
    /// written: the number of queries taken, and whether a run was finished.
    pub fn append(&mut self, scores: &[f32], ids: &[u32], elapsed_secs: f64) -> Result<(usize, bool)> {
        let spec = self.current_run().expect("the caller sends no more queries than the runs hold");
        let mut run = match self.current.take() {
            Some(run) => run,
            None => self.open_run(&spec)?,
        };
        let offered = scores.len() / self.top_k;
        let taken = offered.min(spec.n - run.queries_written);
        run.scores.append(bytemuck::cast_slice(&scores[..taken * self.top_k]))?;
        if let Some(file) = &mut run.ids {
            file.append(bytemuck::cast_slice(&ids[..taken * self.top_k]))?;
        }
        run.queries_written += taken;
        run.elapsed_secs += elapsed_secs * taken as f64 / offered.max(1) as f64;
        let finished = run.queries_written == spec.n;
        if finished {
            self.finish_run(&spec, run)?;
        } else {
            self.current = Some(run);
        }
        Ok((taken, finished))
    }

    fn open_run(&self, spec: &RunSpec) -> Result<OpenRun> {
        let ids = self.keep_ids.then(|| AtomicFile::create(&self.folder.join(spec.ids_file()))).transpose()?;
        let scores = AtomicFile::create(&self.folder.join(spec.score_file()))?;
        Ok(OpenRun { scores, ids, queries_written: 0, elapsed_secs: 0.0 })
    }

    fn finish_run(&mut self, spec: &RunSpec, run: OpenRun) -> Result<()> {
        let ids_file = run.ids.is_some().then(|| spec.ids_file());
        if let Some(ids) = run.ids {
            ids.commit_without_folder()?;
        }
        if let Err(error) = run.scores.commit_without_folder() {
            fs::remove_file(self.folder.join(spec.ids_file())).ok();
            return Err(error);
        }
        self.manifest.runs.push(RunRecord {
            n: spec.n as u64,
            m: spec.m as u64,
            query_start_index: spec.query_start as u64,
            num_scores: (spec.n * self.top_k) as u64,
            // Milliseconds are what the clock is good for.
            elapsed_sec: (run.elapsed_secs * 1000.0).round() / 1000.0,
            file: spec.score_file(),
            ids_file,
        });
        let path = self.folder.join(MANIFEST_NAME);
        let manifest = self.manifest.to_json();
        let written = write_atomically(&path, &manifest);
        // It can be in place although making its name durable failed: then the run stays, as it says.
        let in_place = || fs::read(&path).is_ok_and(|found| found == manifest);
        if written.is_err() && !in_place() {
            // The run is not part of the session: its files must not stay.
            self.manifest.runs.pop();
            fs::remove_file(self.folder.join(spec.score_file())).ok();
            fs::remove_file(self.folder.join(spec.ids_file())).ok();
        }
        written
    }

    /// Reads back what was stored for `queries` queries from session query `first` on, all of one run
    /// that is finished or being written.
    pub fn read_back(&self, first: usize, queries: usize) -> Result<(Vec<f32>, Vec<u32>)> {
        let index = self.run_of(first);
        let spec = &self.runs[index];
        let offset = ((first - spec.query_start) * self.top_k * 4) as u64;
        let words = queries * self.top_k;
        let open = (index == self.manifest.runs.len()).then_some(self.current.as_ref()).flatten();
        let mut scores = vec![0.0f32; words];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut scores);
        read_at(&self.folder.join(spec.score_file()), open.map(|run| &run.scores), offset, bytes)?;
        let mut ids = Vec::new();
        if self.keep_ids {
            ids.resize(words, 0u32);
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut ids);
            let open_ids = open.and_then(|run| run.ids.as_ref());
            read_at(&self.folder.join(spec.ids_file()), open_ids, offset, bytes)?;
        }
        Ok((scores, ids))
    }

    /// How far the session is, for the status line.
    pub fn describe_position(&self) -> String {
        let finished = self.manifest.runs.len();
        match self.current_run() {
            Some(run) => {
                let done = run.query_start + self.current.as_ref().map_or(0, |run| run.queries_written);
                let needed = self.runs.last().map_or(0, RunSpec::query_end);
                format!(
                    "run {} of {} (N = {}, repeat {}), query {} of {}",
                    count(finished + 1),
                    count(self.runs.len()),
                    count(run.n),
                    count(run.m + 1),
                    count(done),
                    count(needed)
                )
            }
            None => format!("all {} runs are finished", count(self.runs.len())),
        }
    }
}

impl Drop for SessionWriter {
    fn drop(&mut self) {
        // A run that was not finished leaves nothing; nor does a folder made for nothing.
        self.current = None;
        if self.manifest.runs.is_empty() {
            self.made_folders.remove_empty();
        }
    }
}

fn read_at(path: &Path, open: Option<&AtomicFile>, offset: u64, bytes: &mut [u8]) -> Result<()> {
    match open {
        Some(file) => file.read_at(offset, bytes),
        None => File::open(path).and_then(|file| file.read_exact_at(bytes, offset)).map_err(Error::read(path)),
    }
}
