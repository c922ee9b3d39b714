//! `knnscope index plan`: which method pays when.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use super::{StudyOutputArgs, report};
use crate::cli::args::MemorySize;
use crate::cli::progress::ProgressLine;
use crate::cli::score::missing_dim;
use crate::cli::{Failure, use_threads};
use crate::compute::Error;
use crate::compute::index::plan::{Asking, PlanParams, run as plan};
use crate::compute::index::process::own_program;
use crate::compute::index::session::Lab;
use crate::compute::index::truth::Question;
use crate::compute::metric::Metric;
use crate::job::Monitor;
use crate::video::studies::plan::finding;

#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Folder of a session, whose docs and queries are planned for.
    #[arg(value_name = "DIR", conflicts_with_all = ["docs", "queries"])]
    pub folder: Option<PathBuf>,
    /// Doc vectors: flat little-endian float32, row after row (.vec).
    #[arg(long, value_name = "FILE", required_unless_present = "folder")]
    pub docs: Option<PathBuf>,
    /// Query vectors, of the same dim.
    #[arg(long, value_name = "FILE", required_unless_present = "folder")]
    pub queries: Option<PathBuf>,
    /// Dimensions of the vectors.
    #[arg(long, allow_hyphen_values = true, conflicts_with = "folder")]
    pub dim: Option<usize>,
    /// Measure with the first docs of the file only [default: all].
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true, conflicts_with = "folder")]
    pub num_docs: Option<usize>,
    /// Measure with the first queries of the file only [default: all].
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true, conflicts_with = "folder")]
    pub num_queries: Option<usize>,
    /// Neighbours asked for each query [default: 100, or those of the session].
    #[arg(long, value_name = "K", allow_hyphen_values = true)]
    pub top_k: Option<usize>,
    /// dot, cosine or euclidean [default: dot, or that of the session]
    #[arg(long, value_parser = Metric::from_str, conflicts_with = "folder")]
    pub metric: Option<Metric>,
    /// Docs to plan for; more than there are is extrapolated [default: those of the file].
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    pub for_docs: Option<usize>,
    /// Queries that will be asked in all [default: those of the file].
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    pub for_queries: Option<usize>,
    /// Different queries among them, for which scores can be computed beforehand [default: all of them].
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    pub distinct: Option<usize>,
    /// Memory to answer with, like 500M or 8G.
    #[arg(long, value_name = "BYTES", default_value = "4G", value_parser = MemorySize::from_str)]
    pub for_memory: MemorySize,
    /// Recall to reach at the neighbours asked for.
    #[arg(long, value_name = "SHARE", default_value_t = 0.95, allow_hyphen_values = true)]
    pub recall: f64,
    /// Queries come all at once, and are answered on all threads, instead of one after another on one.
    #[arg(long)]
    pub at_once: bool,
    /// Seconds that measuring may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, allow_hyphen_values = true)]
    pub budget_secs: f64,
    /// Queries to measure with, at most.
    #[arg(long, value_name = "COUNT", default_value_t = 200, allow_hyphen_values = true)]
    pub sample_queries: usize,
    /// Seed of the samples of docs and queries.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// Choose among these only, like hnsw:M=32:efSearch=64,128; may come several times [default: every family]
    #[arg(long = "index", value_name = "SPEC")]
    pub indexes: Vec<String>,
    /// Folder in which indexes are built for a while [default: the system's for such files]
    #[arg(long, value_name = "DIR")]
    pub scratch: Option<PathBuf>,
    #[command(flatten)]
    pub output: StudyOutputArgs,
}

impl PlanArgs {
    fn question(&self, monitor: &Monitor) -> Result<Question, Error> {
        if let Some(folder) = &self.folder {
            let question = Lab::open(folder, monitor)?.question();
            return Ok(Question { top_k: self.top_k.unwrap_or(question.top_k), ..question });
        }
        let docs = self.docs.clone().unwrap_or_default();
        Ok(Question {
            dim: self.dim.map_or_else(|| Err(missing_dim(&docs)), Ok)?,
            docs,
            queries: self.queries.clone().unwrap_or_default(),
            num_docs: self.num_docs,
            num_queries: self.num_queries,
            top_k: self.top_k.unwrap_or(100),
            metric: self.metric.unwrap_or(Metric::Dot),
            memory_budget: crate::compute::exact::ScoreParams::DEFAULT_MEMORY,
        })
    }

    fn params(&self) -> PlanParams {
        PlanParams {
            docs: self.for_docs,
            queries: self.for_queries,
            distinct: self.distinct,
            memory_bytes: self.for_memory.0,
            recall: self.recall,
            asking: if self.at_once { Asking::AtOnce } else { Asking::OneByOne },
            budget_secs: self.budget_secs,
            sample_queries: self.sample_queries,
            seed: self.seed,
            indexes: self.indexes.clone(),
            scratch: self.scratch.clone(),
        }
    }
}

pub fn run(args: &PlanArgs, monitor: &Monitor) -> Result<(), Failure> {
    use_threads(args.output.common.threads)?;
    let planned = {
        let _line = ProgressLine::start(monitor, args.output.common.quiet);
        let question = args.question(monitor)?;
        plan(&question, &args.params(), &own_program()?, monitor)?
    };
    report(&finding(planned), &args.output)
}
