//! `knnscope index cells`: topic clusters of the docs, and what is lost in which.

use std::path::PathBuf;

use clap::Args;

use super::super::progress::ProgressLine;
use super::super::{Failure, use_threads};
use super::{StudyOutputArgs, report_first};
use crate::compute::index::cells::{self, CellsParams};
use crate::compute::index::choice::find_run;
use crate::compute::index::session::Lab;
use crate::job::Monitor;
use crate::video::studies::cells::{cell, finding};

#[derive(Debug, Args)]
pub struct CellsArgs {
    /// Folder of a session.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// The contestant whose losses are told: an index or the name of a neighbour file [default: none, cells alone].
    #[arg(long, value_name = "NAME")]
    pub index: Option<String>,
    /// Its search parameters, like efSearch=64 [default: the only ones there are].
    #[arg(long, value_name = "NAME=VALUE", requires = "index")]
    pub setting: Option<String>,
    /// Which of its builds, from 0.
    #[arg(long, value_name = "NUMBER", default_value = "0", requires = "index", allow_hyphen_values = true)]
    pub build: usize,
    /// How many cells [default: 1,000, but no more than one for 39 docs]
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    pub cells: Option<usize>,
    /// Iterations of k-means, at most.
    #[arg(long, value_name = "COUNT", default_value_t = CellsParams::ITERATIONS, allow_hyphen_values = true)]
    pub iterations: usize,
    /// Seed of the docs that cells begin with.
    #[arg(long, default_value_t = CellsParams::SEED)]
    pub seed: u64,
    /// Tell of this cell alone: its queries, and its docs from central to far, with texts.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub cell: Option<usize>,
    #[command(flatten)]
    pub output: StudyOutputArgs,
}

pub fn run(args: &CellsArgs, monitor: &Monitor) -> Result<(), Failure> {
    use_threads(args.output.common.threads)?;
    let found = {
        let _line = ProgressLine::start(monitor, args.output.common.quiet);
        let lab = Lab::open(&args.folder, monitor)?;
        let index = args.index.as_deref();
        let place = index
            .map(|index| find_run(&lab, index, args.setting.as_deref().unwrap_or_default(), args.build))
            .transpose()?;
        let params = CellsParams { cells: args.cells, iterations: args.iterations, seed: args.seed };
        let study = cells::run(&lab, place.map(|place| &lab.runs[place]), &params, monitor)?;
        match args.cell {
            Some(chosen) => cell(&study, chosen, &lab, monitor)?,
            None => finding(&study),
        }
    };
    report_first(&found, &args.output)
}
