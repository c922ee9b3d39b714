//! `knnscope index duplicates`: near-duplicates among docs, and what an index overlooks of them.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use super::super::args::{IndexProcessArgs, MemorySize};
use super::super::progress::ProgressLine;
use super::super::{Failure, use_threads};
use super::{StudyOutputArgs, report_first};
use crate::compute::atomic_file::write_atomically;
use crate::compute::index::duplicates::{self, DuplicatesParams};
use crate::compute::index::process::own_program;
use crate::compute::index::session::Options;
use crate::compute::metric::Metric;
use crate::job::Monitor;
use crate::video::studies::duplicates::{finding, members};

#[derive(Debug, Args)]
pub struct DuplicatesArgs {
    /// Doc vectors (.vec), or the folder of a session: then its docs.
    #[arg(long, value_name = "FILE|DIR")]
    pub docs: PathBuf,
    /// Dimensions of the vectors.
    #[arg(long, allow_hyphen_values = true)]
    pub dim: Option<usize>,
    /// Only the first docs of the file [default: all].
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    pub num_docs: Option<usize>,
    /// dot, cosine or euclidean [default: that of the session, or cosine].
    #[arg(long, value_parser = Metric::from_str)]
    pub metric: Option<Metric>,
    /// Least similarity of near-duplicates, or their largest distance under euclidean [default: 0.95 of a similarity].
    #[arg(long, value_name = "SCORE", allow_hyphen_values = true)]
    pub threshold: Option<f64>,
    /// An index that is asked the same, like hnsw:efSearch=16,64; may come several times. See knnscope index families.
    #[arg(long = "index", value_name = "SPEC")]
    pub indexes: Vec<String>,
    /// Other docs that an index is asked for, doc by doc.
    #[arg(long, visible_alias = "neighbors", value_name = "COUNT", default_value = "10", allow_hyphen_values = true)]
    pub neighbours: usize,
    /// Write every doc of every group as CSV, with its text.
    #[arg(long, value_name = "FILE")]
    pub members: Option<PathBuf>,
    /// Budget for the buffers of the exact search, like 500M or 4G.
    #[arg(long, value_name = "BYTES", default_value = "1G", value_parser = MemorySize::from_str)]
    pub memory: MemorySize,
    #[command(flatten)]
    pub process: IndexProcessArgs,
    #[command(flatten)]
    pub output: StudyOutputArgs,
}

pub fn run(args: &DuplicatesArgs, monitor: &Monitor) -> Result<(), Failure> {
    use_threads(args.output.common.threads)?;
    let params = DuplicatesParams {
        docs: args.docs.clone(),
        dim: args.dim,
        num_docs: args.num_docs,
        metric: args.metric,
        threshold: args.threshold,
        neighbours: args.neighbours,
        indexes: args.indexes.clone(),
        memory_budget: args.memory.0,
    };
    let options = Options {
        builds: 1,
        seed: 0,
        threads: rayon::current_num_threads(),
        memory_bytes: args.process.index_memory.0,
        program: own_program()?,
    };
    let found = {
        let _line = ProgressLine::start(monitor, args.output.common.quiet);
        let found = duplicates::run(&params, &options, monitor)?;
        if let Some(path) = &args.members {
            write_atomically(path, &members(&found, monitor)?.to_csv())?;
        }
        found
    };
    report_first(&finding(found), &args.output)
}
