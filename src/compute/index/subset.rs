//! Indexes over some of the docs: their rows are written to a file in a folder that goes away, an index is built and
//! searched over it in a child process, and what it finds is told as rows of all docs.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::candidate::{Candidate, Setting};
use super::neighbours::{Found, latencies_beside};
use super::redis::Access;
use super::truth::Arena;
use super::worker::{Built, Event, Job, Searched};
use super::{NONE, process, take_nearest};
use crate::compute::atomic_file::free_space;
use crate::compute::error::{Error, Result};
use crate::compute::vectors::VectorFile;
use crate::job::Monitor;

/// Rows that are written between two looks at the monitor.
const BATCH: usize = 4096;

/// A folder for what is needed for a while; it goes with this, whatever ended the work.
#[derive(Debug)]
pub struct Scratch {
    folder: tempfile::TempDir,
}

impl Scratch {
    /// In `within`, or in the system's folder for such things.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn new(within: Option<&Path>) -> Result<Self> {
        let within = within.map_or_else(std::env::temp_dir, Path::to_owned);
        let folder = tempfile::Builder::new().prefix("knnscope-").tempdir_in(&within);
        Ok(Self { folder: folder.map_err(|source| Error::OutputFolder { source, path: within })? })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Writes `rows` of `file` to `path`, as flat float32.
///
/// # Errors
/// A disk that is too full; a path that cannot be written; cancelled.
pub fn write_rows(file: &VectorFile, rows: &[u32], path: &Path, monitor: &Monitor) -> Result<()> {
    let needed = rows.len() as u64 * file.dim() as u64 * 4;
    if let Some(free) = free_space(path).filter(|free| *free < needed) {
        return Err(Error::NoSpace { needed, free, path: path.parent().unwrap_or(path).to_owned() });
    }
    file.check_size()?;
    monitor.begin("writing a part of the vectors", "rows", rows.len() as u64);
    let mut writer = BufWriter::with_capacity(1 << 20, File::create(path).map_err(Error::write(path))?);
    for batch in rows.chunks(BATCH) {
        for &row in batch {
            writer.write_all(bytemuck::cast_slice(file.row(row as usize))).map_err(Error::write(path))?;
        }
        monitor.advance(batch.len() as u64)?;
    }
    writer.flush().map_err(Error::write(path))
}

/// What builds and searches indexes over parts of the docs.
#[derive(Debug)]
pub struct Runner<'a> {
    pub arena: &'a Arena,
    /// The first queries, as many as are asked.
    pub queries: usize,
    pub threads: usize,
    /// Memory that an index may take, in bytes.
    pub memory_bytes: u64,
    /// The program that becomes the child; see [`process::own_program`].
    pub program: &'a Path,
    pub scratch: &'a Scratch,
}

/// What an index over some of the docs found and took.
#[derive(Debug, Clone)]
pub struct Part {
    /// query_count × k rows of all docs, with the exact score of each (NaN where there is none).
    pub lists: Lists,
    /// Seconds of each query on one thread.
    pub latencies: Vec<f32>,
    pub built: Built,
    pub searched: Searched,
    /// Bytes of the docs that it reads while it is searched, beside what the process grew by.
    pub docs_bytes: u64,
}

impl Runner<'_> {
    /// Builds `candidate` over `rows` of the docs (all without) and asks it the queries.
    ///
    /// # Errors
    /// A candidate that is a file; what the child could not do or died of; a scratch folder that cannot be written;
    /// cancelled.
    pub fn search(
        &self,
        rows: Option<&[u32]>,
        (candidate, setting): (&Candidate, &Setting),
        monitor: &Monitor,
    ) -> Result<Part> {
        let arena = self.arena;
        if let Some(file) = candidate.file() {
            let what = format!("{}: is built already, of all docs. Choose a family", file.display());
            return Err(Error::IndexUse { what });
        }
        if candidate.needs_faiss() && !cfg!(feature = "faiss") {
            let what = format!(
                "{}: this knnscope was built without FAISS. Build it with its default features",
                candidate.name
            );
            return Err(Error::IndexUse { what });
        }
        let absolute = |path: &Path| std::fs::canonicalize(path).map_err(Error::read(path));
        let (docs, num_docs) = match rows {
            None => (absolute(arena.docs.path())?, arena.num_docs),
            Some(rows) => {
                let path = self.scratch.path("part.vec");
                write_rows(&arena.docs, rows, &path, monitor)?;
                (path, rows.len())
            }
        };
        let found = self.scratch.path("part.ibin");
        let job = Job {
            docs,
            queries: absolute(arena.queries.path())?,
            dim: arena.dim(),
            num_docs,
            num_queries: self.queries,
            metric: arena.metric.name().to_owned(),
            top_k: arena.top_k.min(num_docs),
            candidate: candidate.name.clone(),
            searches: vec![(setting.clone(), found.clone())],
            threads: self.threads,
            seed: 0,
            memory_bytes: self.memory_bytes,
            save: None,
            scratch: self.scratch.path("index.part"),
            converses: false,
            server: candidate.server().map(Access::once).transpose()?,
        };
        let (mut built, mut searched) = (None, None);
        process::run(self.program, &job, monitor, &mut |event| {
            match event {
                Event::Built(figures) => built = Some(figures),
                Event::Searched(_, figures) => searched = Some(figures),
                // The others tell of failures and of what only conversations have.
                _ => {}
            }
            Ok(())
        })?;
        let (Some(built), Some(searched)) = (built, searched) else {
            let what = format!("{}: the index process ended without all that was asked. Run it again", candidate.name);
            return Err(Error::Index { what });
        };
        let mut told = Found::read_back(&found, self.queries, num_docs)?;
        for path in [&found, &latencies_beside(&found)] {
            std::fs::remove_file(path).map_err(Error::write(path))?;
        }
        if let Some(rows) = rows {
            told.ids.iter_mut().filter(|id| **id != NONE).for_each(|id| *id = rows[*id as usize]);
        }
        let latencies = told.latencies.take().unwrap_or_default();
        let docs_bytes = if candidate.reads_docs() { num_docs as u64 * arena.dim() as u64 * 4 } else { 0 };
        Ok(Part { lists: Lists::of(arena, &told), latencies, built, searched, docs_bytes })
    }
}

/// Found docs with their exact scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Lists {
    pub k: usize,
    /// query_count × k, [`NONE`] where there is none.
    pub ids: Vec<u32>,
    /// Of `ids`; NaN where there is none.
    pub scores: Vec<f64>,
}

impl Lists {
    /// Scores what was found.
    pub fn of(arena: &Arena, found: &Found) -> Self {
        let score = |(place, &id): (usize, &u32)| match id {
            NONE => f64::NAN,
            id => arena.score(place / found.k, id),
        };
        let scores = found.ids.par_iter().enumerate().map(score).collect();
        Self { k: found.k, ids: found.ids.clone(), scores }
    }

    fn of_query(&self, query: usize) -> impl Iterator<Item = (f64, u32)> {
        let places = query * self.k..(query + 1) * self.k;
        let found = self.scores[places.clone()].iter().copied().zip(self.ids[places].iter().copied());
        found.filter(|(_, id)| *id != NONE)
    }
}

/// The `k` nearest docs of a query over some lists by their exact scores, ties to the lower doc, each doc once; [`NONE`]
/// where there are fewer.
pub fn merge_one<'a>(arena: &Arena, k: usize, query: usize, lists: impl Iterator<Item = &'a Lists>) -> Vec<u32> {
    let found = lists.flat_map(|list| list.of_query(query));
    let mut places: Vec<u128> = found.map(|(score, doc)| arena.metric.place(score, doc)).collect();
    // The same doc has the same score, and so the same place.
    places.sort_unstable();
    places.dedup();
    let mut ids = vec![NONE; k];
    take_nearest(&mut places, &mut ids);
    ids
}

/// [`merge_one`] of every query; `asked` names the lists that a query asks.
pub fn merge<'a, I: Iterator<Item = &'a Lists>>(
    arena: &Arena,
    k: usize,
    queries: usize,
    asked: impl Fn(usize) -> I + Sync,
) -> Found {
    let ids = (0..queries).into_par_iter().flat_map_iter(|query| merge_one(arena, k, query, asked(query))).collect();
    Found { k, ids, latencies: None }
}

#[cfg(test)]
mod tests {
    use super::super::truth::Question;
    use super::*;
    use crate::compute::metric::Metric;
    use crate::compute::random::Random;

    /// `docs` and `queries` of 3 dimensions, on a coarse grid, so that there are many ties.
    fn arena(docs: usize, queries: usize, metric: Metric) -> (tempfile::TempDir, Arena) {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut random = Random::new(3);
        let mut write = |name: &str, rows: usize| {
            let path = folder.path().join(name);
            let bytes: Vec<u8> = (0..rows * 3).flat_map(|_| (random.below(5) as f32 - 1.5).to_le_bytes()).collect();
            std::fs::write(&path, bytes).expect("written");
            path
        };
        let question = Question {
            docs: write("docs.vec", docs),
            queries: write("queries.vec", queries),
            dim: 3,
            num_docs: None,
            num_queries: None,
            top_k: 7,
            metric,
            memory_budget: 100_000_000,
        };
        let arena = Arena::open(&question).expect("opened");
        (folder, arena)
    }

    #[test]
    fn merged_lists_are_those_of_a_naive_loop() {
        for metric in [Metric::Dot, Metric::Euclidean, Metric::Cosine] {
            let (_folder, arena) = arena(40, 9, metric);
            let mut random = Random::new(8);
            let mut list = |k: usize| {
                let draw = |_| if random.below(6) == 0 { NONE } else { random.below(40) };
                let ids = (0..9 * k).map(draw).collect();
                Lists::of(&arena, &Found { k, ids, latencies: None })
            };
            let lists = [list(5), list(1), list(7)];
            // Some queries ask the first lists only.
            let asked = |query: usize| 1 + query % 3;
            let merged = merge(&arena, 7, 9, |query| lists.iter().take(asked(query)));
            for query in 0..9 {
                let mut expected: Vec<u32> = Vec::new();
                // Again and again the best of what was not taken yet.
                while expected.len() < 7 {
                    let mut best: Option<u32> = None;
                    for list in &lists[..asked(query)] {
                        for &id in &list.ids[query * list.k..(query + 1) * list.k] {
                            if id == NONE || expected.contains(&id) {
                                continue;
                            }
                            let is_better = best.is_none_or(|best| {
                                let (new, old) = (arena.score(query, id), arena.score(query, best));
                                let nearer = if metric.larger_is_nearer() { new > old } else { new < old };
                                nearer || new == old && id < best
                            });
                            best = if is_better { Some(id) } else { best };
                        }
                    }
                    expected.push(best.unwrap_or(NONE));
                }
                assert_eq!(merged.of(query), expected, "{metric} query {query}");
            }
        }
    }

    #[test]
    fn a_scratch_folder_goes_with_its_owner_and_holds_the_rows() {
        let (folder, arena) = arena(10, 1, Metric::Dot);
        let scratch = Scratch::new(Some(folder.path())).expect("made");
        let path = scratch.path("part.vec");
        write_rows(&arena.docs, &[7, 2], &path, &Monitor::new()).expect("written");
        let written = VectorFile::open(&path, 3).expect("opened");
        assert_eq!((written.rows(), written.row(0), written.row(1)), (2, arena.docs.row(7), arena.docs.row(2)));
        drop(scratch);
        assert!(!path.exists());
        assert!(Scratch::new(Some(&folder.path().join("missing"))).is_err());
    }
}
