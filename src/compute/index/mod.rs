//! The index lab: what approximate search loses against the exact answer.
//!
//! Every contestant ends as a neighbour file: ids found for each query. Indexes are built and searched in a child
//! process ([`process`], [`worker`]), since foreign code can abort, hang or outgrow its memory; neighbour files of
//! others are read ([`neighbours`]). One judge ([`judge`]) measures them all beside the exact answer ([`truth`]).
//! [`session`] keeps what was found in a folder.

pub mod annoy;
pub mod baselines;
pub mod by_rank;
pub mod candidate;
pub mod cells;
pub mod choice;
pub mod difficulty;
pub mod duplicates;
#[cfg(feature = "faiss")]
pub mod faiss;
mod forest;
pub mod hyperplane;
pub mod inquiry;
pub mod judge;
pub mod neighbours;
pub mod plan;
pub mod process;
pub mod ranks;
pub mod redis;
pub mod report;
pub mod scores;
pub mod serving;
pub mod session;
pub mod subset;
pub mod trees;
pub mod truth;
pub mod why;
pub mod words;
pub mod worker;

use rayon::prelude::*;

use crate::compute::error::{Error, Result};
use crate::compute::figures::counted;
use crate::compute::kernels::{self, Level};
use crate::compute::metric::Metric;
use crate::compute::vectors::VectorFile;
use crate::job::Monitor;

/// Makes every vector of `dim`, row-major and not zero, of length 1.
fn normalise(vectors: &mut [f32], dim: usize) {
    let level = Level::detected();
    for vector in vectors.chunks_exact_mut(dim) {
        let norm = kernels::dot_f64(level, vector, vector).sqrt();
        vector.iter_mut().for_each(|value| *value = (f64::from(*value) / norm) as f32);
    }
}

/// Queries that a thread answers before it looks for others, at most.
const QUERIES_AT_ONCE: usize = 16;

/// The threads of an index of ours; none for one thread.
struct Threads(Option<rayon::ThreadPool>);

impl Threads {
    const ONE: Self = Self(None);

    fn new(threads: usize) -> Result<Self> {
        if threads <= 1 {
            return Ok(Self::ONE);
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|error| Error::Index {
            what: format!(
                "{} could not be started: {error}. Raise --index-memory",
                counted(threads, "thread", "threads")
            ),
        })?;
        Ok(Self(Some(pool)))
    }

    /// `None` of one thread.
    fn pool(&self) -> Option<&rayon::ThreadPool> {
        self.0.as_ref()
    }

    /// Answers queries of `dim`, row-major, into k ids each. `answer` takes some of them with their ids, and returns what
    /// is summed up.
    fn answer(
        &self,
        (queries, dim): (&[f32], usize),
        (ids, k): (&mut [u32], usize),
        answer: impl Fn(&[f32], &mut [u32]) -> Result<u64> + Sync,
    ) -> Result<u64> {
        match &self.0 {
            None => answer(queries, ids),
            Some(threads) => threads.install(|| {
                // Every thread has work as long as there are as many queries.
                let share = (queries.len() / dim).div_ceil(threads.current_num_threads());
                let at_once = share.clamp(1, QUERIES_AT_ONCE);
                queries
                    .par_chunks(dim * at_once)
                    .zip(ids.par_chunks_mut(k * at_once))
                    .map(|(queries, ids)| answer(queries, ids))
                    .sum()
            }),
        }
    }
}

/// Stands for "none" among found ids.
pub const NONE: u32 = u32::MAX;

/// The docs at the first of `places` (see [`Metric::place`]), nearest first: `ids`, ≥ 1, [`NONE`] where there are fewer.
fn take_nearest(places: &mut Vec<u128>, ids: &mut [u32]) {
    if places.len() > ids.len() {
        places.select_nth_unstable(ids.len() - 1);
        places.truncate(ids.len());
    }
    places.sort_unstable();
    ids.fill(NONE);
    ids.iter_mut().zip(places).for_each(|(id, place)| *id = Metric::doc_at(*place));
}

/// The docs of an index: the first rows of a file.
#[derive(Clone, Copy)]
pub struct Docs<'a> {
    pub file: &'a VectorFile,
    /// Rows that are indexed, ≥ 1, < 2³² − 1.
    pub count: usize,
    pub metric: Metric,
}

/// What an index has that can be asked about; 0 for what it has not, or does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Traits {
    /// Cells of inverted lists.
    pub cells: usize,
    /// Trees of a forest.
    pub trees: usize,
    /// Hashes of each table.
    pub hashes: usize,
    /// Docs in it.
    pub docs: usize,
}

/// How far apart a query and a doc are by their hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Apart {
    /// Hashes in which they differ, in the table in which these are fewest.
    pub hashes: u32,
    /// Probes at which a search looks into a bucket with the doc; `None` if it never does: they differ in two hashes or more
    /// in every table.
    pub probes: Option<u32>,
}

fn cannot_tell(what: &str) -> Error {
    Error::Parameter { name: "index", expected: format!("an index with {what}"), found: "one without".to_owned() }
}

/// A structure that finds near docs. Every kind is made by a `new` (or `plant`) of its own, which knows its parameters;
/// kinds with a file form are also made by an `open`, and need neither training nor building then.
pub trait Index {
    /// Learns from the docs, in `order`, what the structure needs before it takes them; nothing for most.
    ///
    /// # Errors
    /// Too few docs; settings that do not fit; cancelled.
    fn train(&mut self, _docs: Docs<'_>, _order: &[u32], _monitor: &Monitor) -> Result<()> {
        Ok(())
    }

    /// Takes the docs, in `order`.
    ///
    /// # Errors
    /// Cancelled; what the library says.
    fn build(&mut self, docs: Docs<'_>, order: &[u32], monitor: &Monitor) -> Result<()>;

    /// Is told that it is built, and that searches follow.
    fn settle(&mut self) {}

    /// Sets a search parameter.
    ///
    /// # Errors
    /// A name that the structure does not know; a value out of its range.
    fn set(&mut self, name: &str, value: u64) -> Result<()>;

    /// Threads that later searches use.
    ///
    /// # Errors
    /// Threads that cannot be started.
    fn use_threads(&mut self, threads: usize) -> Result<()>;

    /// Finds docs near to each of `queries` (row-major), which begin at row `first` of their file: `ids`,
    /// query_count × k, overwritten, nearest first, [`NONE`] where there are fewer.
    ///
    /// # Errors
    /// What the library says.
    fn search(&mut self, first: usize, queries: &[f32], k: usize, ids: &mut [u32]) -> Result<()>;

    /// Docs in it.
    fn len(&self) -> usize;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Distances to docs that searches computed so far, where the structure tells.
    fn distance_computations(&self) -> Option<u64> {
        None
    }

    /// What it has that can be asked about.
    fn traits(&self) -> Traits {
        Traits::default()
    }

    /// The cell of each of the first `docs` docs, [`NONE`] for those that are in none.
    ///
    /// # Errors
    /// An index without cells.
    fn docs_cells(&self, _docs: usize) -> Result<Vec<u32>> {
        Err(cannot_tell("cells"))
    }

    /// The `probes` cells that are nearest to each of `queries` (row-major), in the order in which a search probes them:
    /// query_count × probes, [`NONE`] where there are fewer.
    ///
    /// # Errors
    /// An index without cells.
    fn queries_cells(&self, _queries: &[f32], _probes: usize) -> Result<Vec<u32>> {
        Err(cannot_tell("cells"))
    }

    /// How far apart a query and a doc are by their hashes.
    ///
    /// # Errors
    /// An index without tables of hashes.
    fn apart(&self, _query: &[f32], _doc: u32) -> Result<Apart> {
        Err(cannot_tell("tables of hashes"))
    }

    /// Bytes of files that it maps into memory, beside what it allocates.
    fn mapped_bytes(&self) -> u64 {
        0
    }

    /// Memory that it takes in a server; `None` of what is in this process.
    fn server_bytes(&self) -> Option<u64> {
        None
    }

    /// Writes it to a file, which its kind's `open` reads again; `false` if this kind has no file form.
    ///
    /// # Errors
    /// A file that cannot be written.
    fn save(&mut self, _path: &std::path::Path) -> Result<bool> {
        Ok(false)
    }
}
