//! Studies of the index lab, at the command line: `knnscope index STUDY …`.

pub mod why;

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use super::args::CommonArgs;
use crate::compute::atomic_file::write_atomically;
use crate::video::finding::Finding;

/// Where what a study found goes.
#[derive(Debug, Args)]
pub struct StudyOutputArgs {
    /// Draw its pictures (.png or .svg): the first into FILE, the others beside it.
    #[arg(long, value_name = "FILE")]
    pub chart: Option<PathBuf>,
    /// Write every figure as CSV.
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Write notes and figures as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Tells what was found, and writes the files that were asked for.
pub fn report(finding: &Finding, output: &StudyOutputArgs) -> Result<(), Failure> {
    if let Some(path) = &output.chart {
        finding.write_pictures(path)?;
    }
    if let Some(path) = &output.csv {
        write_atomically(path, &finding.table.to_csv())?;
    }
    if let Some(path) = &output.json {
        write_atomically(path, finding.to_json().as_bytes())?;
    }
    if !output.common.quiet {
        tell!("{}", finding.to_text().trim_end());
    }
    Ok(())
}
