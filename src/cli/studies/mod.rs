//! Studies of the index lab, at the command line: `knnscope index STUDY …`.

pub mod by_rank;
pub mod cells;
pub mod difficulty;
pub mod duplicates;
pub mod plan;
pub mod serve;
pub mod why;

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use super::args::CommonArgs;
use crate::compute::atomic_file::write_atomically;
use crate::compute::figures::counted;
use crate::compute::index::choice::find_run;
use crate::compute::index::session::Lab;
use crate::compute::index::words::shortened;
use crate::compute::table::Table;
use crate::compute::{self, Error};
use crate::job::Monitor;
use crate::video::finding::Finding;

/// The run that a study is about.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Folder of a session.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// The contestant: an index as it was typed or as `index show` names it, a part of that which no other has, or the name
    /// of a neighbour file.
    #[arg(long, value_name = "NAME")]
    pub index: String,
    /// Its search parameters, like nprobe=8 or nprobe=8:k_factor_rf=4 [default: the only ones there are].
    #[arg(long, value_name = "NAME=VALUE")]
    pub setting: Option<String>,
    /// Which of its builds, from 0.
    #[arg(long, value_name = "NUMBER", default_value = "0", allow_hyphen_values = true)]
    pub build: usize,
}

impl RunArgs {
    pub fn open(&self, monitor: &Monitor) -> compute::Result<Lab> {
        Lab::open(&self.folder, monitor)
    }

    /// Its place in the session.
    pub fn place(&self, lab: &Lab) -> compute::Result<usize> {
        find_run(lab, &self.index, self.setting.as_deref().unwrap_or_default(), self.build)
    }
}

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
    // Told first: a file that cannot be written does not take what was found with it.
    if !output.common.quiet {
        tell!("{}", finding.to_text().trim_end());
    }
    write(finding, output)
}

/// As [`report`], but of a long table the first rows only are told, and of long texts the beginning; files get all.
pub fn report_first(finding: &Finding, output: &StudyOutputArgs) -> Result<(), Failure> {
    const ROWS: usize = 20;
    const LENGTH: usize = 100;
    if output.common.quiet {
        return write(finding, output);
    }
    let cell = |cell: &Option<String>| Some(cell.as_deref().map_or(String::new(), |text| shortened(text, LENGTH)));
    let rows: Vec<Vec<Option<String>>> =
        finding.table.rows.iter().take(ROWS).map(|row| row.iter().map(cell).collect()).collect();
    let more = finding.table.rows.len() - rows.len();
    let table = Table { columns: finding.table.columns.clone(), rows, is_cut: more > 0 };
    let notes: String = finding.notes.iter().map(|note| format!("{note}\n")).collect();
    tell!("{}\n{notes}\n{}", finding.title, table.to_text().trim_end());
    if more > 0 {
        tell!("and {} (--csv FILE writes all)", counted(more, "row more", "rows more"));
    }
    write(finding, output)
}

fn write(finding: &Finding, output: &StudyOutputArgs) -> Result<(), Failure> {
    if let Some(path) = &output.chart {
        if finding.pictures.is_empty() {
            let expected = "a finding with pictures".to_owned();
            return Err(Error::Parameter { name: "chart", expected, found: "one without".to_owned() }.into());
        }
        finding.write_pictures(path)?;
    }
    if let Some(path) = &output.csv {
        write_atomically(path, &finding.table.to_csv())?;
    }
    if let Some(path) = &output.json {
        write_atomically(path, finding.to_json().as_bytes())?;
    }
    Ok(())
}
