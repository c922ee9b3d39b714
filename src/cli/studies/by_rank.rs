//! `knnscope index ranks`: what was lost by rank.

use clap::Args;

use super::super::progress::ProgressLine;
use super::super::{Failure, use_threads};
use super::{RunArgs, StudyOutputArgs, report};
use crate::compute::index::by_rank::{self, RanksParams};
use crate::job::Monitor;
use crate::video::studies::by_rank::finding;

#[derive(Debug, Args)]
pub struct RanksArgs {
    #[command(flatten)]
    pub run: RunArgs,
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
        let lab = args.run.open(monitor)?;
        let place = args.run.place(&lab)?;
        let params = RanksParams { deepest: args.deepest, together: args.together, relative: args.relative };
        by_rank::run(&lab, &lab.runs[place], params, monitor)?
    };
    report(&finding(found), &args.output)
}
