//! The flags, and the single-dash flags of the tool that came before.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};

use super::studies::by_rank::RanksArgs;
use super::studies::cells::CellsArgs;
use super::studies::difficulty::DifficultyArgs;
use super::studies::duplicates::DuplicatesArgs;
use super::studies::plan::PlanArgs;
use super::studies::serve::ServeArgs;
use super::studies::why::WhyArgs;
use crate::compute::error::Error;
use crate::compute::exact::Kernel;
use crate::compute::exact::plan::parse_n_values;
use crate::compute::metric::Metric;
use crate::compute::sparsity::analysis::Params;
use crate::compute::uniqueness::Distance;
use crate::video::{FrameRate, FrameSize};

/// See nearest-neighbour search: how the scores of exact nearest neighbours are distributed.
///
/// Without a command, the window opens on the given files and folders (vector files, or folders with
/// results), or on the demo.
#[derive(Debug, Parser)]
#[command(name = "knnscope", version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Arguments {
    /// Vector files or results folders to open in the window.
    #[arg(value_name = "FILE|DIR")]
    pub paths: Vec<PathBuf>,
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Compute the exact top-k scores of N queries, M times for each N, into a results folder.
    Score(ScoreArgs),
    /// Draw the results as histogram frames and a video.
    Video(VideoArgs),
    /// Check stored results: recompute some of their queries in float64, by brute force.
    Verify(VerifyArgs),
    /// Score how isolated or redundant each sample is: its mean distance to its k nearest others.
    Uniqueness(UniquenessArgs),
    /// Tell how alike the features of pruned weight matrices are, and what chance alone would give.
    Sparsity(SparsityArgs),
    /// Judge approximate indexes: what they lose against the exact answer, at what speed and memory.
    Index(IndexArgs),
    /// Score the embedded demo data and make its frames and video; needs no display.
    Demo(DemoArgs),
    /// What the index lab starts itself.
    #[command(name = "index-worker", hide = true)]
    IndexWorker,
}

/// What all commands have.
#[derive(Debug, Args)]
pub struct CommonArgs {
    /// Threads to compute with [default: all cores]
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    pub threads: Option<usize>,
    /// Say nothing but errors.
    #[arg(long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub struct ScoreArgs {
    /// Doc vectors: flat little-endian float32, row after row (.vec).
    #[arg(long, value_name = "FILE")]
    pub docs: PathBuf,
    /// Query vectors, of the same dim.
    #[arg(long, value_name = "FILE")]
    pub queries: PathBuf,
    /// Dimensions of the vectors.
    #[arg(long, allow_hyphen_values = true)]
    pub dim: Option<usize>,
    /// Search only the first docs of the file [default: all].
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    pub num_docs: Option<usize>,
    /// Scores kept for each query.
    #[arg(long, value_name = "K", default_value = "100", allow_hyphen_values = true)]
    pub top_k: usize,
    /// Numbers of queries, like 10,50,100; each is a series of runs.
    #[arg(short = 'N', value_name = "LIST", value_parser = NList::from_str, allow_hyphen_values = true)]
    pub n_values: NList,
    /// Repeats of each N, every one with the next queries of the file.
    #[arg(short = 'M', value_name = "COUNT", default_value = "1", allow_hyphen_values = true)]
    pub m_repeats: usize,
    /// dot (dot_product, mip), cosine (angular) or euclidean
    #[arg(long, default_value = "dot", value_parser = Metric::from_str)]
    pub metric: Metric,
    /// Folder for the results; made if it is not there, continued if it holds this very session.
    #[arg(long, value_name = "DIR")]
    pub output_dir: PathBuf,
    /// Do not store doc ids beside the scores.
    #[arg(long)]
    pub no_ids: bool,
    /// Replace a session with other parameters in the output folder.
    #[arg(long)]
    pub overwrite: bool,
    /// Only tell what would be done and how long it would take.
    #[arg(long)]
    pub dry_run: bool,
    /// Budget for buffers, like 500M or 4G.
    #[arg(long, value_name = "BYTES", default_value = "1G", value_parser = MemorySize::from_str)]
    pub memory: MemorySize,
    /// How docs are filtered: auto, f32, int8 or prefix. The results are the same bytes.
    #[arg(long, value_name = "KERNEL", default_value = "auto", value_parser = Kernel::from_str)]
    pub kernel: Kernel,
    /// Tell what the scoring did and why: the kernel, survivors, share of the peak.
    #[arg(long, conflicts_with = "dry_run")]
    pub explain: bool,
    /// Accepted for compatibility; the memory budget decides the batches.
    #[arg(long, hide = true, value_name = "COUNT")]
    pub batch_size: Option<String>,
    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Debug, Args)]
pub struct VideoArgs {
    /// Results folder with a manifest.json (of this or of the older tool).
    #[arg(long, value_name = "DIR")]
    pub input_dir: PathBuf,
    /// Folder for frames and video [default: the input folder]
    #[arg(long, value_name = "DIR")]
    pub output_dir: Option<PathBuf>,
    /// Frames per second, like 2, 29.97 or 30000/1001.
    #[arg(long, default_value = "2", value_parser = FrameRate::from_str, allow_hyphen_values = true)]
    pub fps: FrameRate,
    /// Bins of the histogram.
    #[arg(long, default_value = "100", allow_hyphen_values = true)]
    pub bins: usize,
    /// Write frames only.
    #[arg(long)]
    pub no_video: bool,
    /// Frame size in pixels, even sides.
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1800x900", value_parser = FrameSize::from_str, allow_hyphen_values = true)]
    pub size: FrameSize,
    /// Light on dark, as in the window's dark theme.
    #[arg(long)]
    pub dark: bool,
    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Results folder with a manifest.json (of this or of the older tool); its vector files must be there.
    #[arg(value_name = "DIR")]
    pub input_dir: PathBuf,
    /// Queries to check, spread evenly over all runs; all if there are no more.
    #[arg(long, value_name = "COUNT", default_value = "100", allow_hyphen_values = true)]
    pub sample: usize,
    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Debug, Args)]
pub struct UniquenessArgs {
    /// Embeddings, a row each sample: .npy (float16, float32, float64) or flat float32 (.vec).
    #[arg(long, value_name = "FILE", required_unless_present = "config")]
    pub embeddings: Option<PathBuf>,
    /// Dimensions, for a flat vector file.
    #[arg(long, allow_hyphen_values = true)]
    pub dim: Option<usize>,
    /// The samples: a JSON object with an id on every line (JSONL), in the order of the rows [default: ids are row numbers]
    #[arg(long, value_name = "FILE")]
    pub dataset: Option<PathBuf>,
    /// Nearest others that count [default: 5]
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    pub k: Option<usize>,
    /// euclidean, cosine (1 - cos) or manhattan [default: euclidean]
    #[arg(long, value_name = "METRIC", value_parser = Distance::from_str)]
    pub distance_metric: Option<Distance>,
    /// Threads to compute with [default: all cores]
    #[arg(long, visible_alias = "threads", value_name = "COUNT", allow_hyphen_values = true)]
    pub max_workers: Option<usize>,
    /// Settings as YAML (name, embedding_path, k, distance_metric, max_workers); flags come first.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the scores go, as JSONL: {"id": ..., "score": ...}
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// Where the neighbours of every sample go, with their distances, as JSONL.
    #[arg(long, visible_alias = "neighbours", value_name = "FILE")]
    pub neighbors: Option<PathBuf>,
    /// Drop samples with a lower score.
    #[arg(long, value_name = "SCORE", allow_hyphen_values = true)]
    pub drop_below: Option<f64>,
    /// Drop samples with a higher score.
    #[arg(long, value_name = "SCORE", allow_hyphen_values = true)]
    pub drop_above: Option<f64>,
    /// Keep one sample of each set within this distance of it; 0 for exact duplicates.
    #[arg(long, value_name = "DISTANCE", allow_hyphen_values = true)]
    pub dedupe: Option<f64>,
    /// Keep this many: those with the highest scores of what the other rules leave.
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    pub keep: Option<usize>,
    /// Take the rules of a selection that was saved; rules given as flags come first.
    #[arg(long, value_name = "FILE")]
    pub selection: Option<PathBuf>,
    /// Save the rules as a selection, to be opened again here or in the window.
    #[arg(long, value_name = "FILE")]
    pub save_selection: Option<PathBuf>,
    /// Draw the scores with their thresholds, .png or .svg.
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// List of the samples that are kept, .jsonl or .csv [default: OUTPUT.kept.jsonl, with any of the rules above]
    #[arg(long, value_name = "FILE")]
    pub kept: Option<PathBuf>,
    /// List of the samples that are dropped, with the reason [default: OUTPUT.dropped.jsonl]
    #[arg(long, value_name = "FILE")]
    pub dropped: Option<PathBuf>,
    /// Budget for buffers, like 500M or 4G.
    #[arg(long, value_name = "BYTES", default_value = "1G", value_parser = MemorySize::from_str)]
    pub memory: MemorySize,
    /// Say nothing but warnings and errors.
    #[arg(long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub struct IndexArgs {
    #[command(subcommand)]
    pub command: IndexCommand,
}

#[derive(Debug, Subcommand)]
pub enum IndexCommand {
    /// Build indexes, search them, and judge what they find; a session that was stopped continues.
    #[command(visible_alias = "sweep")]
    Search(IndexSearchArgs),
    /// Judge neighbour files that any engine wrote (.ivecs, .ibin, .npy, .jsonl).
    Judge(IndexJudgeArgs),
    /// Build an index and write it to a file.
    Build(IndexBuildArgs),
    /// Tell once more what a session found.
    Show(IndexShowArgs),
    /// List the families of indexes with their parameters.
    Families,
    /// Study what a contestant lost by rank: the nearest neighbour, the second, and so on.
    Ranks(RanksArgs),
    /// Study what makes queries hard: dimension, contrast, hubness and distance to centroids beside recall.
    Difficulty(DifficultyArgs),
    /// Study cells of docs, as an IVF index has them: what each holds, and what is lost in it.
    Cells(CellsArgs),
    /// Plan: which method pays when, from costs measured on this machine and data.
    Plan(PlanArgs),
    /// Simulate serving schemes: fresh docs in an index of their own, shards by hash and by cluster, replicas.
    Serve(ServeArgs),
    /// Tell why neighbours were missed: quantisation, cells not probed, graph not reached, hashes, leaves, duplicates.
    Why(WhyArgs),
    /// Study near-duplicates: all pairs of docs above a threshold as groups, and what an index overlooks of them.
    Duplicates(DuplicatesArgs),
}

/// What all contestants are asked.
#[derive(Debug, Args)]
pub struct QuestionArgs {
    /// Doc vectors: flat little-endian float32, row after row (.vec).
    #[arg(long, value_name = "FILE")]
    pub docs: PathBuf,
    /// Query vectors, of the same dim.
    #[arg(long, value_name = "FILE")]
    pub queries: PathBuf,
    /// Dimensions of the vectors.
    #[arg(long, allow_hyphen_values = true)]
    pub dim: Option<usize>,
    /// Index only the first docs of the file [default: all].
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    pub num_docs: Option<usize>,
    /// Ask only the first queries of the file [default: all].
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    pub num_queries: Option<usize>,
    /// Neighbours asked for each query.
    #[arg(long, value_name = "K", default_value = "100", allow_hyphen_values = true)]
    pub top_k: usize,
    /// dot, cosine or euclidean.
    #[arg(long, default_value = "dot", value_parser = Metric::from_str)]
    pub metric: Metric,
    /// Budget for the buffers of the exact search, like 500M or 4G.
    #[arg(long, value_name = "BYTES", default_value = "1G", value_parser = MemorySize::from_str)]
    pub memory: MemorySize,
}

/// How results are told.
#[derive(Debug, Args)]
pub struct IndexOutputArgs {
    /// Ranks at which recall is told [default: 1, 10, 100 and --top-k].
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub recall: Vec<usize>,
    /// Write every measure as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write every measure as CSV.
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Draw recall against speed (.png or .svg).
    #[arg(long, value_name = "FILE")]
    pub chart: Option<PathBuf>,
    /// Write what every contestant lost: exact, found and lost scores as a picture, a table of bins, and a video.
    #[arg(long, value_name = "DIR")]
    pub scores: Option<PathBuf>,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// How indexes are built.
#[derive(Debug, Args)]
pub struct IndexProcessArgs {
    /// Memory that an index may take, like 500M or 8G; one that wants more is stopped.
    #[arg(long, value_name = "BYTES", default_value = "4G", value_parser = MemorySize::from_str)]
    pub index_memory: MemorySize,
}

#[derive(Debug, Args)]
pub struct IndexSearchArgs {
    #[command(flatten)]
    pub question: QuestionArgs,
    /// What to build and how to search it, like hnsw:M=16:efSearch=16,64,256 or faiss:IVF256,Flat:nprobe=1,8, or an
    /// index file (.faiss, .index, .ann, .arroy, .hyperplane) with search parameters, or a running Redis
    /// (redis://HOST:6379:quant=q8); may come several times. See knnscope index families.
    #[arg(long = "index", value_name = "SPEC", required = true)]
    pub indexes: Vec<String>,
    /// Builds of every index, each with another order of the docs: tells what is noise of building.
    #[arg(long, value_name = "COUNT", default_value = "1", allow_hyphen_values = true)]
    pub builds: usize,
    /// Seed of those orders.
    #[arg(long, default_value = "42")]
    pub seed: u64,
    /// Folder of the session.
    #[arg(short = 'o', long, value_name = "DIR")]
    pub output_dir: PathBuf,
    #[command(flatten)]
    pub process: IndexProcessArgs,
    #[command(flatten)]
    pub output: IndexOutputArgs,
}

#[derive(Debug, Args)]
pub struct IndexJudgeArgs {
    #[command(flatten)]
    pub question: QuestionArgs,
    /// Neighbour file, or NAME=FILE; may come several times.
    #[arg(long = "neighbors", visible_alias = "neighbours", value_name = "[NAME=]FILE", required = true)]
    pub neighbours: Vec<String>,
    /// Folder of the session.
    #[arg(short = 'o', long, value_name = "DIR")]
    pub output_dir: PathBuf,
    #[command(flatten)]
    pub output: IndexOutputArgs,
}

#[derive(Debug, Args)]
pub struct IndexBuildArgs {
    /// Doc vectors: flat little-endian float32, row after row (.vec).
    #[arg(long, value_name = "FILE")]
    pub docs: PathBuf,
    /// Dimensions of the vectors.
    #[arg(long, allow_hyphen_values = true)]
    pub dim: Option<usize>,
    /// Index only the first docs of the file [default: all].
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    pub num_docs: Option<usize>,
    /// dot, cosine or euclidean.
    #[arg(long, default_value = "dot", value_parser = Metric::from_str)]
    pub metric: Metric,
    /// What to build, like hnsw:M=32, annoy:trees=50, hyperplane:tables=8 or faiss:IVF256,PQ48.
    #[arg(long = "index", value_name = "SPEC")]
    pub index: String,
    /// Where to write the index: FILE.faiss (or .index), FILE.arroy of annoy, FILE.hyperplane.
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    #[command(flatten)]
    pub process: IndexProcessArgs,
    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Debug, Args)]
pub struct IndexShowArgs {
    /// Folder of a session.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    #[command(flatten)]
    pub output: IndexOutputArgs,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct SparsityArgs {
    #[command(subcommand)]
    pub command: Option<SparsityCommand>,
    /// Matrices (.pt, .safetensors, .npy), whole checkpoints, and folders of them [default: this folder]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// wanda, sparsegpt or both: which matrices to take, by the names of their folders; what a single matrix is called
    #[arg(long, default_value = "both")]
    pub method: String,
    /// Columns drawn of each matrix; a group is made for each.
    #[arg(long, value_name = "COUNT", default_value_t = Params::SAMPLES, allow_hyphen_values = true)]
    pub n_samples: usize,
    /// Columns of a group: a column with those nearest to it, itself among them.
    #[arg(long, visible_alias = "n-neighbours", value_name = "COUNT", default_value_t = Params::NEIGHBOURS, allow_hyphen_values = true)]
    pub n_neighbors: usize,
    /// Put every column into one group, instead of drawing columns.
    #[arg(long, conflicts_with = "n_samples")]
    pub exhaustive: bool,
    /// Seed of what is drawn.
    #[arg(long, default_value_t = Params::SEED)]
    pub seed: u64,
    /// Matrices of the same row and column sums to compare with; 0 for none
    #[arg(long, value_name = "COUNT", default_value_t = Params::PERMUTATIONS, allow_hyphen_values = true)]
    pub permutations: usize,
    /// False-discovery rate at which pairs are called closer than chance, at most 0.2.
    #[arg(long, value_name = "RATE", default_value_t = Params::FDR, allow_hyphen_values = true)]
    pub fdr: f64,
    /// DuckDB file for the results; appended to if it is there.
    #[arg(long, value_name = "FILE", default_value = "./sparsity.db")]
    pub db_path: PathBuf,
    /// Draw the charts of every matrix, and the spy plot and distances of every group.
    #[arg(long)]
    pub save_viz: bool,
    /// Folder for the pictures.
    #[arg(long, value_name = "DIR", default_value = "./results/visualizations/nearest_neighbor_analysis")]
    pub viz_dir: PathBuf,
    /// Only matrices of this layer; the layer of a file with a single matrix.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub layer: Option<u32>,
    /// Only matrices of this projection, like mlp.down_proj; the projection of a file with a single matrix.
    #[arg(long, value_name = "NAME")]
    pub projection: Option<String>,
    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Debug, Subcommand)]
pub enum SparsityCommand {
    /// Ask the database that the analysis wrote.
    Query(QueryArgs),
}

#[derive(Debug, Args)]
pub struct QueryArgs {
    /// DuckDB file to ask; it is not changed.
    #[arg(long, value_name = "FILE", default_value = "./sparsity.db")]
    pub db_path: PathBuf,
    /// Only groups of matrices that were pruned like this.
    #[arg(long, conflicts_with = "sql")]
    pub method: Option<String>,
    /// Only groups of this projection.
    #[arg(long, value_name = "NAME", conflicts_with = "sql")]
    pub projection: Option<String>,
    /// A question of your own, like "SELECT method, AVG(density) FROM nearest_neighbor_metrics GROUP BY method"
    #[arg(long)]
    pub sql: Option<String>,
    /// table, csv or json
    #[arg(long, default_value = "table", value_parser = ["table", "csv", "json"])]
    pub format: String,
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Folder for the demo's vectors, results, frames and video.
    #[arg(long, value_name = "DIR", default_value = "knnscope-demo")]
    pub output_dir: PathBuf,
    /// Replace another session in the output folder.
    #[arg(long)]
    pub overwrite: bool,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// A list of N as one flag value.
#[derive(Debug, Clone)]
pub struct NList(pub Vec<usize>);

impl FromStr for NList {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse_n_values(text).map(Self)
    }
}

/// Bytes, written like `500M`, `1.5G`, `4GB` or `2GiB`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MemorySize(pub u64);

impl FromStr for MemorySize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let factor = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => Some(1.0),
            "k" | "kb" => Some(1e3),
            "m" | "mb" => Some(1e6),
            "g" | "gb" => Some(1e9),
            "t" | "tb" => Some(1e12),
            "kib" => Some(1024.0),
            "mib" => Some(1024.0 * 1024.0),
            "gib" => Some(1024.0 * 1024.0 * 1024.0),
            _ => None,
        };
        let bytes = factor.zip(number.parse::<f64>().ok()).map(|(factor, number)| number * factor);
        match bytes {
            Some(bytes) if (1.0..1e18).contains(&bytes) => Ok(Self(bytes as u64)),
            _ => Err(Error::Parameter {
                name: "memory",
                expected: "a size like 500M, 4G or 2GiB".to_owned(),
                found: text.to_owned(),
            }),
        }
    }
}

/// Turns the single-dash flags of the older tool (`-numDocs 5`, `-numDocs=5`) into ours, behind
/// `score` and `video`.
pub fn accept_old_flags(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    const SCORE: [(&str, &str); 7] = [
        ("-docs", "--docs"),
        ("-queries", "--queries"),
        ("-dim", "--dim"),
        ("-numDocs", "--num-docs"),
        ("-topK", "--top-k"),
        ("-outputDir", "--output-dir"),
        ("-batchSize", "--batch-size"),
    ];
    const VIDEO: [(&str, &str); 5] = [
        ("-inputDir", "--input-dir"),
        ("-outputDir", "--output-dir"),
        ("-fps", "--fps"),
        ("-bins", "--bins"),
        ("-noVideo", "--no-video"),
    ];
    let mut args: Vec<OsString> = args.collect();
    let table: &[(&str, &str)] = match args.get(1).and_then(|arg| arg.to_str()) {
        Some("score") => &SCORE,
        Some("video") => &VIDEO,
        _ => return args,
    };
    for arg in &mut args[2..] {
        let Some(text) = arg.to_str() else { continue };
        let (flag, value) = text.split_once('=').map_or((text, None), |(flag, value)| (flag, Some(value)));
        if let Some((_, ours)) = table.iter().find(|(old, _)| *old == flag) {
            *arg = value.map_or_else(|| (*ours).to_owned(), |value| format!("{ours}={value}")).into();
        }
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(accept_old_flags(line.split(' ').map(OsString::from)))
    }

    #[test]
    fn the_flags_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn old_and_new_flags_mean_the_same() {
        for line in [
            "knnscope score -docs d.vec -queries q.vec -dim 384 -numDocs 400 -topK 7 -N 10,50 -M 3 -outputDir out -batchSize 9",
            "knnscope score -docs=d.vec -queries=q.vec -dim=384 -numDocs=400 -topK=7 -N=10,50 -M=3 -outputDir=out",
            "knnscope score --docs d.vec --queries q.vec --dim 384 --num-docs 400 --top-k 7 -N 10,50 -M 3 --output-dir out",
        ] {
            let Ok(Arguments { command: Some(Command::Score(args)), .. }) = parse(line) else { panic!("{line}") };
            assert_eq!((args.dim, args.num_docs, args.top_k, args.m_repeats), (Some(384), Some(400), 7, 3), "{line}");
            assert_eq!(args.n_values.0, [10, 50]);
            assert_eq!(args.output_dir, PathBuf::from("out"));
        }
        for line in [
            "knnscope video -inputDir in -outputDir out -fps 10 -bins 50 -noVideo",
            "knnscope video --input-dir in --output-dir out --fps 10 --bins 50 --no-video",
        ] {
            let Ok(Arguments { command: Some(Command::Video(args)), .. }) = parse(line) else { panic!("{line}") };
            assert_eq!((args.bins, args.no_video, args.fps.per_second()), (50, true, 10.0), "{line}");
        }
    }

    #[test]
    fn wrong_values_are_refused_in_words() {
        let base = "knnscope score --docs d --queries q --output-dir o";
        for (flags, found) in [
            ("-N 0", "N: expected whole numbers of at least 1"),
            ("-N -5", "found -5"),
            ("-N 10 --memory lots", "memory: expected a size like"),
            ("-N 10 --metric l2", "metric: expected dot"),
        ] {
            let error = parse(&format!("{base} {flags}")).expect_err(flags);
            assert!(error.to_string().contains(found), "{flags}: {error}");
            assert_eq!(error.exit_code(), 2);
        }
    }

    #[test]
    fn paths_open_the_window() {
        let arguments = parse("knnscope a.vec results").expect("valid");
        assert!(arguments.command.is_none());
        assert_eq!(arguments.paths, [PathBuf::from("a.vec"), PathBuf::from("results")]);
    }

    #[test]
    fn memory_sizes() {
        for (text, bytes) in [("500M", 500_000_000), ("1.5G", 1_500_000_000), ("2GiB", 2 << 30), ("42", 42)] {
            assert_eq!(text.parse::<MemorySize>().expect(text), MemorySize(bytes));
        }
        for text in ["", "G", "-1G", "1X", "1e99G"] {
            assert!(text.parse::<MemorySize>().is_err(), "{text}");
        }
    }
}
