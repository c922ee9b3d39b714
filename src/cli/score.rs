//! `knnscope score`

use std::path::Path;
use std::time::Instant;

use super::args::ScoreArgs;
use super::progress::ProgressLine;
use super::{Failure, explain, use_threads};
use crate::compute::error::Error;
use crate::compute::exact::{ScoreParams, ScorePlan};
use crate::compute::figures::{bytes, count, counted, duration, list, rate};
use crate::compute::scores::{ScoreStore, SessionOptions, finished_queries, score_session};
use crate::compute::vectors::{VectorFile, fitting_dims, suggest_dim};
use crate::job::Monitor;

pub fn run(args: &ScoreArgs, monitor: &Monitor) -> Result<(), Failure> {
    use_threads(args.common.threads)?;
    let dim = args.dim.map_or_else(|| Err(missing_dim(&args.docs)), Ok)?;
    let params = ScoreParams {
        docs: args.docs.clone(),
        queries: args.queries.clone(),
        dim,
        num_docs: args.num_docs,
        top_k: args.top_k,
        n_values: args.n_values.0.clone(),
        m_repeats: args.m_repeats,
        metric: args.metric,
        keep_ids: !args.no_ids,
        memory_budget: args.memory.0,
        kernel: args.kernel,
    };
    let options = SessionOptions { overwrite: args.overwrite };
    if args.dry_run {
        let plan = ScorePlan::new(params)?;
        if tell_plan(&plan, &args.output_dir, options, monitor)? == plan.queries_needed() {
            tell!("{}", all_there(plan.runs.len(), &args.output_dir));
        }
        return Ok(());
    }
    let plan = ScorePlan::new(params)?;
    score(&plan, &args.output_dir, options, args.common.quiet, monitor)?;
    if args.explain {
        explain::tell(&plan);
    }
    Ok(())
}

/// Tells the plan, scores, tells the result.
pub fn score(
    plan: &ScorePlan,
    folder: &Path,
    options: SessionOptions,
    quiet: bool,
    monitor: &Monitor,
) -> Result<ScoreStore, Error> {
    let done_before = if quiet { None } else { Some(tell_plan(plan, folder, options, monitor)?) };
    let started = Instant::now();
    let store = {
        let _line = ProgressLine::start(monitor, quiet);
        score_session(plan, folder, options, monitor, &|_| {})?
    };
    if let Some(done_before) = done_before {
        let runs = store.runs().len();
        if done_before == plan.queries_needed() {
            tell!("{}", all_there(runs, folder));
        } else {
            let secs: f64 = store.runs().iter().map(|run| run.elapsed_sec).sum();
            let now = match done_before {
                0 => String::new(),
                _ => format!(" in all, this time {}", duration(started.elapsed().as_secs_f64())),
            };
            tell!("{} scored in {}{now}: {}", counted(runs, "run", "runs"), duration(secs), folder.display());
        }
    }
    Ok(store)
}

/// Of a finished session.
fn all_there(runs: usize, folder: &Path) -> String {
    let runs = match runs {
        1 => "The run was".to_owned(),
        _ => format!("All {} were", counted(runs, "run", "runs")),
    };
    format!("{runs} there already: {}", folder.display())
}

/// Returns how many queries are finished.
fn tell_plan(plan: &ScorePlan, folder: &Path, options: SessionOptions, monitor: &Monitor) -> Result<usize, Error> {
    let done = finished_queries(plan, folder, options)?;
    tell!(
        "{} docs × {} queries, dim {}, {}, top-{}: {} of N = {}, {} each",
        count(plan.num_docs),
        count(plan.queries_needed()),
        count(plan.params.dim),
        plan.params.metric,
        count(plan.params.top_k),
        counted(plan.runs.len(), "run", "runs"),
        list(&plan.params.n_values, 20),
        counted(plan.params.m_repeats, "repeat", "repeats"),
    );
    if done == plan.queries_needed() {
        return Ok(done);
    }
    let estimate = plan.estimate(done, monitor)?;
    tell!(
        "will write {}{}, needs {} of memory, about {} ({} query × doc pairs/s on {})",
        bytes(plan.bytes_left(done)),
        if done > 0 { " more" } else { "" },
        bytes(plan.peak_memory_bytes()),
        duration(estimate.duration_secs),
        rate(estimate.pairs_per_sec),
        counted(rayon::current_num_threads(), "thread", "threads"),
    );
    if done > 0 {
        tell!("continues: {} of {} are finished", count(done), counted(plan.queries_needed(), "query", "queries"));
    }
    for warning in plan.warnings() {
        tell!("warning: {warning}");
    }
    Ok(done)
}

/// `--dim` is missing: says which dims the docs would fit.
pub(super) fn missing_dim(docs: &Path) -> Error {
    let found = match (suggest_dim(docs), VectorFile::file_size(docs)) {
        (Ok(Some(dim)), Ok(size)) => {
            format!(
                "no --dim; {dim} looks right for {} (dims that fit: {})",
                docs.display(),
                list(&fitting_dims(size), 12)
            )
        }
        (Err(error), _) | (_, Err(error)) => return error,
        (Ok(None), Ok(_)) => format!("no --dim, and no dim fits {}", docs.display()),
    };
    Error::Parameter { name: "dim", expected: "the dimensions of the vectors".to_owned(), found }
}
