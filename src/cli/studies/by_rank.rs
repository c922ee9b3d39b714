//! `knnscope index ranks`: what was lost by rank.

use std::path::PathBuf;

use clap::Args;

use super::super::progress::ProgressLine;
use super::super::{Failure, use_threads};
use super::{StudyOutputArgs, report};
use crate::compute::index::by_rank::{self, RanksParams};
use crate::compute::index::session::Lab;
use crate::job::Monitor;
use crate::video::studies::by_rank::finding;

#[derive(Debug, Args)]
pub struct RanksArgs {
    /// Folder of a session.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// The contestant: an index or the name of a neighbour file.
    #[arg(long, value_name = "NAME")]
    pub index: String,
    /// Its search parameters, like efSearch=64 [default: the only ones there are].
    #[arg(long, value_name = "NAME=VALUE")]
    pub setting: Option<String>,
    /// Which of its builds, from 0.
    #[arg(long, value_name = "NUMBER", default_value = "0", allow_hyphen_values = true)]
    pub build: usize,
    /// The deepest rank that is looked at [default: all that were found].
    #[arg(long, value_name = "RANK", allow_hyphen_values = true)]
    pub deepest: Option<usize>,
    /// Ranks that are told together.
    #[arg(long, value_name = "COUNT", default_value = "1", allow_hyphen_values = true)]
    pub together: usize,
    /// Tell gaps relative to the size of the exact score.
    #[arg(long)]
    pub relative: bool,
    #[command(flatten)]
    pub output: StudyOutputArgs,
}

pub fn run(args: &RanksArgs, monitor: &Monitor) -> Result<(), Failure> {
    use_threads(args.output.common.threads)?;
    let found = {
        let _line = ProgressLine::start(monitor, args.output.common.quiet);
        let lab = Lab::open(&args.folder, monitor)?;
        let place = lab.find_run(&args.index, args.setting.as_deref(), args.build)?;
        let params = RanksParams { deepest: args.deepest, together: args.together, relative: args.relative };
        by_rank::run(&lab, &lab.runs[place], params, monitor)?
    };
    report(&finding(found), &args.output)
}
