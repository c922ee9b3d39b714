//! `knnscope index serve`: serving schemes, simulated.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use super::{StudyOutputArgs, report};
use crate::cli::args::MemorySize;
use crate::cli::progress::ProgressLine;
use crate::cli::{Failure, use_threads};
use crate::compute::index::process::own_program;
use crate::compute::index::serving::{Scheme, ServingParams, run as serve};
use crate::compute::index::session::Lab;
use crate::job::Monitor;
use crate::video::studies::serving::finding;

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Folder of a session, whose docs are served and whose queries are asked.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// The index of every part, with one value of each search parameter, like hnsw:M=16:efSearch=64
    #[arg(long, value_name = "SPEC")]
    pub index: Option<String>,
    /// dual (a main index beside an exact one of fresh docs), hash, cluster (shards), replicas, or all; may come several times.
    #[arg(long = "scheme", value_name = "SCHEME", default_value = "all")]
    pub schemes: Vec<String>,
    /// Fresh docs, in percent of all.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1,2,5,10,20", allow_hyphen_values = true)]
    pub fresh: Vec<f64>,
    /// Shards.
    #[arg(long, value_name = "COUNT", default_value_t = 8, allow_hyphen_values = true)]
    pub shards: usize,
    /// Cells of k-means that are packed into shards evenly [default: as many as shards, each a shard]
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    pub cells: Option<usize>,
    /// Copies of the index.
    #[arg(long, value_name = "COUNT", default_value_t = 4, allow_hyphen_values = true)]
    pub replicas: usize,
    /// How busy replicas are, in percent of the time.
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "10,20,30,40,50,60,70,80,90,95",
        allow_hyphen_values = true
    )]
    pub utilisation: Vec<f64>,
    /// Ask the first queries only, at most.
    #[arg(long, value_name = "COUNT", default_value_t = 1000, allow_hyphen_values = true)]
    pub num_queries: usize,
    /// Memory that a part may take, like 500M or 8G.
    #[arg(long, value_name = "BYTES", default_value = "4G", value_parser = MemorySize::from_str)]
    pub index_memory: MemorySize,
    /// Seed of what is drawn: fresh docs, the hash, cells, when queries arrive.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// Folder in which parts are built for a while [default: the system's for such files]
    #[arg(long, value_name = "DIR")]
    pub scratch: Option<PathBuf>,
    #[command(flatten)]
    pub output: StudyOutputArgs,
}

impl ServeArgs {
    fn params(&self) -> Result<ServingParams, Failure> {
        let usual = ServingParams::default();
        let schemes = match self.schemes.iter().any(|scheme| scheme == "all") {
            true => usual.schemes,
            false => self.schemes.iter().map(|scheme| scheme.parse::<Scheme>()).collect::<Result<Vec<_>, _>>()?,
        };
        let shares = |percents: &[f64]| percents.iter().map(|percent| percent / 100.0).collect();
        Ok(ServingParams {
            index: self.index.clone().unwrap_or(usual.index),
            schemes,
            fresh: shares(&self.fresh),
            shards: self.shards,
            cells: self.cells,
            replicas: self.replicas,
            utilisations: shares(&self.utilisation),
            queries: self.num_queries,
            memory_bytes: self.index_memory.0,
            seed: self.seed,
            scratch: self.scratch.clone(),
        })
    }
}

pub fn run(args: &ServeArgs, monitor: &Monitor) -> Result<(), Failure> {
    use_threads(args.output.common.threads)?;
    let params = args.params()?;
    let served = {
        let _line = ProgressLine::start(monitor, args.output.common.quiet);
        let lab = Lab::open(&args.folder, monitor)?;
        serve(&lab, &params, &own_program()?, monitor)?
    };
    report(&finding(served), &args.output)
}
