//! `knnscope index why`: why neighbours were missed.

use std::path::PathBuf;

use clap::Args;

use super::super::args::IndexProcessArgs;
use super::super::progress::ProgressLine;
use super::super::{Failure, use_threads};
use super::{StudyOutputArgs, report};
use crate::compute::index::process::own_program;
use crate::compute::index::session::{Lab, Options};
use crate::compute::index::why::{self, WhyParams};
use crate::job::Monitor;
use crate::video::studies::why::finding;

#[derive(Debug, Args)]
pub struct WhyArgs {
    /// Folder of a session.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// The index, as it was typed or as `index show` names it, with its setting or without; a part of that will do if it is
    /// the only one.
    #[arg(long, value_name = "NAME")]
    pub index: String,
    /// Search parameters of the run, like nprobe=8 or nprobe=8:k_factor_rf=4, where the index was searched with several.
    #[arg(long, value_name = "NAME=VALUE", default_value = "", hide_default_value = true)]
    pub setting: String,
    /// Which of several builds, from 0.
    #[arg(long, value_name = "NUMBER", default_value = "0", allow_hyphen_values = true)]
    pub build: usize,
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
        let lab = Lab::open(&args.folder, monitor)?;
        let place = why::find(&lab, &args.index, &args.setting, args.build)?;
        why::run(&lab, &lab.runs[place], &WhyParams { query: args.query }, &options, monitor)?
    };
    report(&finding(&why), &args.output)
}
