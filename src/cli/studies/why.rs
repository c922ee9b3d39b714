//! `knnscope index why`: why neighbours were missed.

use clap::Args;

use super::super::args::IndexProcessArgs;
use super::super::progress::ProgressLine;
use super::super::{Failure, use_threads};
use super::{RunArgs, StudyOutputArgs, report_first};
use crate::compute::index::process::own_program;
use crate::compute::index::session::Options;
use crate::compute::index::why::{self, WhyParams};
use crate::job::Monitor;
use crate::video::studies::why::finding;

#[derive(Debug, Args)]
pub struct WhyArgs {
    #[command(flatten)]
    pub run: RunArgs,
    /// Tell of this query alone, by its row: every lost neighbour with rank, score, reason and text.
    #[arg(long, value_name = "ROW", allow_hyphen_values = true)]
    pub query: Option<usize>,
    /// Seed of the orders of builds, for sessions of older versions, which do not keep it.
    #[arg(long, default_value = "42")]
    pub seed: u64,
    #[command(flatten)]
    pub process: IndexProcessArgs,
    #[command(flatten)]
    pub output: StudyOutputArgs,
}

pub fn run(args: &WhyArgs, monitor: &Monitor) -> Result<(), Failure> {
    use_threads(args.output.common.threads)?;
    let options = Options {
        builds: 1,
        seed: args.seed,
        threads: rayon::current_num_threads(),
        memory_bytes: args.process.index_memory.0,
        program: own_program()?,
    };
    let why = {
        let _line = ProgressLine::start(monitor, args.output.common.quiet);
        let lab = args.run.open(monitor)?;
        let place = args.run.place(&lab)?;
        why::run(&lab, &lab.runs[place], &WhyParams { query: args.query }, &options, monitor)?
    };
    report_first(&finding(&why), &args.output)
}
