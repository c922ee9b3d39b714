//! `knnscope index difficulty`: what makes queries hard, and a group of hard ones.

use std::path::PathBuf;

use clap::Args;

use super::super::progress::ProgressLine;
use super::super::{Failure, use_threads};
use super::{RunArgs, StudyOutputArgs, report, report_first};
use crate::compute::Error;
use crate::compute::atomic_file::write_atomically;
use crate::compute::index::cells::CellsParams;
use crate::compute::index::difficulty::{self, DifficultyParams, Measure};
use crate::job::Monitor;
use crate::video::studies::difficulty::{finding, group, queries};

#[derive(Debug, Args)]
pub struct DifficultyArgs {
    #[command(flatten)]
    pub run: RunArgs,
    /// Cells whose centroids distances are taken to [default: 1,000, but no more than one for 39 docs]
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    pub cells: Option<usize>,
    /// Seed of the docs that cells begin with.
    #[arg(long, default_value_t = CellsParams::SEED)]
    pub seed: u64,
    /// What a group of queries is chosen by, with --from and --to: lid, contrast, hubness or centroid.
    #[arg(long, value_name = "NAME", default_value = "lid")]
    pub measure: Measure,
    /// Tell of the queries alone whose measure is at least this, with texts [default: the lowest]
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    pub from: Option<f64>,
    /// Tell of the queries alone whose measure is at most this [default: the highest]
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    pub to: Option<f64>,
    /// Write all measures of every query as CSV.
    #[arg(long, value_name = "FILE")]
    pub queries: Option<PathBuf>,
    #[command(flatten)]
    pub output: StudyOutputArgs,
}

pub fn run(args: &DifficultyArgs, monitor: &Monitor) -> Result<(), Failure> {
    use_threads(args.output.common.threads)?;
    let (from, to) = (args.from.unwrap_or(f64::NEG_INFINITY), args.to.unwrap_or(f64::INFINITY));
    if from > to || from.is_nan() || to.is_nan() {
        let expected = "two numbers, --from at most --to".to_owned();
        return Err(Error::Parameter { name: "range", expected, found: format!("{from} to {to}") }.into());
    }
    let (found, every) = {
        let _line = ProgressLine::start(monitor, args.output.common.quiet);
        let lab = args.run.open(monitor)?;
        let run = &lab.runs[args.run.place(&lab)?];
        let cells = CellsParams { cells: args.cells, seed: args.seed, ..CellsParams::default() };
        let measured = difficulty::run(&lab, run, &DifficultyParams { cells }, monitor)?;
        let found = match (args.from, args.to) {
            (None, None) => finding(&measured),
            _ => group(&measured, &measured.group(&lab, run, args.measure, from, to)?, &lab, run, monitor)?,
        };
        (found, args.queries.as_ref().map(|_| queries(&measured)))
    };
    if let (Some(path), Some(every)) = (&args.queries, every) {
        write_atomically(path, &every.to_csv())?;
    }
    match (args.from, args.to) {
        // Few rows.
        (None, None) => report(&found, &args.output),
        _ => report_first(&found, &args.output),
    }
}
