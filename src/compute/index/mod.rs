//! The index lab: what approximate search loses against the exact answer.
//!
//! Every contestant ends as a neighbour file: ids found for each query. Indexes are built and searched in a child
//! process ([`process`], [`worker`]), since foreign code can abort, hang or outgrow its memory; neighbour files of
//! others are read ([`neighbours`]). One judge ([`judge`]) measures them all beside the exact answer ([`truth`]).
//! [`session`] keeps what was found in a folder.

pub mod annoy;
pub mod baselines;
pub mod candidate;
#[cfg(feature = "faiss")]
pub mod faiss;
pub mod hyperplane;
pub mod judge;
pub mod neighbours;
pub mod process;
pub mod report;
pub mod session;
pub mod truth;
pub mod worker;

use crate::compute::error::Result;
use crate::compute::metric::Metric;
use crate::compute::vectors::VectorFile;
use crate::job::Monitor;

/// Stands for "none" among found ids.
pub const NONE: u32 = u32::MAX;

/// The docs of an index: the first rows of a file.
#[derive(Clone, Copy)]
pub struct Docs<'a> {
    pub file: &'a VectorFile,
    /// Rows that are indexed, ≥ 1, < 2³² − 1.
    pub count: usize,
    pub metric: Metric,
}

/// A structure that finds near docs.
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

    /// Sets a search parameter.
    ///
    /// # Errors
    /// A name that the structure does not know; a value out of its range.
    fn set(&mut self, name: &str, value: u64) -> Result<()>;

    /// Threads that later searches use.
    fn use_threads(&mut self, threads: usize);

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

    /// Writes it to a file; `false` if this kind has no file form.
    ///
    /// # Errors
    /// A file that cannot be written.
    fn save(&mut self, _path: &std::path::Path) -> Result<bool> {
        Ok(false)
    }
}
