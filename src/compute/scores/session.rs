//! Scores a whole session into a folder: computes each distinct query once, in order, and continues
//! what an earlier, interrupted session left.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

use super::manifest::{MANIFEST_NAME, Manifest};
use super::store::{ScoreStore, read_manifest};
use super::writer::SessionWriter;
use crate::compute::atomic_file::{AtomicFile, free_space};
use crate::compute::error::{Error, Result};
use crate::compute::exact::size::TILE;
use crate::compute::exact::{Filter, ScorePlan, TopK};
use crate::job::Monitor;

#[derive(Debug, Clone, Copy, Default)]
pub struct SessionOptions {
    /// Replace a session with other parameters instead of refusing.
    pub overwrite: bool,
}

/// The first pass is small, so that the first runs can be looked at soon; then they double.
const FIRST_PASS_QUERIES: usize = 2 * TILE;
/// Queries whose stored results are copied at once.
const COPY_SCORES: usize = 1 << 20;

/// What a pass hands to the writer.
enum Portion {
    /// Freshly computed queries, and what they took.
    Computed(TopK, f64),
    /// Session queries that were computed before: their results are copied.
    Reused(std::ops::Range<usize>),
}

/// Computes and writes all runs of `plan` that `folder` does not hold yet.
///
/// `on_run` is called, from another thread, with a snapshot after each run. A query that comes again
/// is not computed again: its stored result is copied. Stops within a tile when cancelled; runs
/// finished by then stay, with a manifest that names them.
///
/// # Errors
/// What [`ScorePlan::check_vectors`] finds; a folder that holds another session, is in use, full or
/// cannot be written; cancelled.
pub fn score_session(
    plan: &ScorePlan,
    folder: &Path,
    options: SessionOptions,
    monitor: &Monitor,
    on_run: &(dyn Fn(Arc<ScoreStore>) + Sync),
) -> Result<ScoreStore> {
    let wanted = manifest_of(plan)?;
    finished_runs(plan, &wanted, folder, options)?;
    check_writable(folder)?;
    check_space(plan, folder, options)?;
    plan.check_vectors(monitor)?;

    let (top_k, keep_ids) = (plan.params.top_k, plan.params.keep_ids);
    let mut writer = SessionWriter::create(folder, wanted.clone(), plan.runs.clone(), top_k, keep_ids)?;
    // Now that the folder is locked, what it holds stays as it is.
    let finished = finished_runs(plan, &wanted, folder, options)?;
    if finished.is_none() {
        writer.remove_old_session()?;
    }
    writer.resume(finished.unwrap_or_default());
    let first = plan.runs.get(writer.finished_count()).map_or(plan.queries_needed(), |run| run.query_start);

    let compute_until = plan.queries_to_compute();
    let to_compute = compute_until.saturating_sub(first);
    let to_copy = plan.queries_needed() - first.max(compute_until);
    let position = writer.describe_position();
    let begin = || {
        monitor.begin("scoring", "query × doc pairs", to_compute as u64 * plan.num_docs as u64 + to_copy as u64);
        monitor.set_detail(position.clone());
    };

    std::thread::scope(|scope| {
        let (sender, portions) = sync_channel::<Portion>(1);
        let rows = plan.queries.rows();
        let writing = scope.spawn(move || write_all(writer, &portions, rows, monitor, on_run));
        let computed = compute(plan, first, monitor, begin, |portion| sender.send(portion).is_ok());
        drop(sender);
        let written = writing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // The writer's reason comes first: it is why the computing ended.
        match (written, computed) {
            (Err(error), _) | (_, Err(error)) => Err(error),
            (Ok(store), Ok(())) => Ok(store),
        }
    })
}

/// How many queries of `plan` the session in `folder` holds already.
///
/// # Errors
/// If the folder holds another session and `options` do not allow to overwrite it.
pub fn finished_queries(plan: &ScorePlan, folder: &Path, options: SessionOptions) -> Result<usize> {
    let wanted = manifest_of(plan)?;
    let finished = finished_runs(plan, &wanted, folder, options)?.map_or(0, |runs| runs.len());
    Ok(plan.runs.get(finished).map_or(plan.queries_needed(), |run| run.query_start))
}

/// The manifest of the session before its first run.
fn manifest_of(plan: &ScorePlan) -> Result<Manifest> {
    let named =
        |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).to_string_lossy().into_owned();
    Ok(Manifest {
        docs: named(plan.docs.path()),
        queries: named(plan.queries.path()),
        dim: plan.params.dim as u64,
        num_docs: plan.num_docs as u64,
        top_k: plan.params.top_k as u64,
        n_values: plan.params.n_values.iter().map(|&n| n as u64).collect(),
        m_repeats: plan.params.m_repeats as u64,
        metric: plan.params.metric,
        query_rows: Some(plan.queries.rows() as u64),
        docs_fingerprint: Some(format!("{:016x}", plan.docs.fingerprint()?)),
        queries_fingerprint: Some(format!("{:016x}", plan.queries.fingerprint()?)),
        runs: Vec::new(),
    })
}

/// The intact runs of this very session that `folder` holds; `None` if it holds another session that
/// may be overwritten.
fn finished_runs(
    plan: &ScorePlan,
    wanted: &Manifest,
    folder: &Path,
    options: SessionOptions,
) -> Result<Option<Vec<super::RunRecord>>> {
    let path = folder.join(MANIFEST_NAME);
    if folder.exists() && !folder.is_dir() {
        let source = std::io::Error::from(std::io::ErrorKind::NotADirectory);
        return Err(Error::OutputFolder { source, path: folder.to_owned() });
    }
    let bytes = match read_manifest(&path) {
        Ok(bytes) => bytes,
        Err(Error::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Some(Vec::new()));
        }
        Err(error) => return Err(error),
    };
    let refused = |difference| {
        if options.overwrite { Ok(None) } else { Err(Error::OtherSession { difference, path: folder.to_owned() }) }
    };
    let found = match Manifest::parse(&bytes, &path) {
        Ok(found) => found,
        Err(Error::Manifest { what, .. }) => return refused(format!("its manifest.json {what}")),
        Err(error) => return Err(error),
    };
    if let Some(difference) = wanted.difference(&found) {
        return refused(difference);
    }
    let matching = found.runs.iter().zip(&plan.runs).take_while(|(record, spec)| {
        (record.n, record.m, record.query_start_index) == (spec.n as u64, spec.m as u64, spec.query_start as u64)
            && record.file == spec.score_file()
    });
    if matching.count() < found.runs.len() {
        return refused("its runs are not those of these parameters".to_owned());
    }
    if found.runs.iter().any(|run| run.ids_file.is_some() != plan.params.keep_ids) {
        let difference = if plan.params.keep_ids { "it was written without doc ids" } else { "it holds doc ids" };
        return refused(difference.to_owned());
    }
    // A run whose files did not survive is missing, and so is what follows it.
    let size = |name: &String| {
        fs::symlink_metadata(folder.join(name)).ok().filter(fs::Metadata::is_file).map(|data| data.len())
    };
    let intact = |run: &super::RunRecord| {
        [Some(&run.file), run.ids_file.as_ref()]
            .into_iter()
            .flatten()
            .all(|name| size(name) == Some(run.num_scores * 4))
    };
    let count = found.runs.iter().take_while(|run| intact(run)).count();
    Ok(Some(found.runs.into_iter().take(count).collect()))
}

/// Refuses a folder that is there but cannot be written, before anything is computed.
fn check_writable(folder: &Path) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    let refused = |error: Error| match error {
        Error::Write { source, .. } => Error::OutputFolder { source, path: folder.to_owned() },
        other => other,
    };
    // Dropped at once, it leaves nothing.
    AtomicFile::create(&folder.join("writable")).map(drop).map_err(refused)
}

/// Refuses a session that cannot fit on the disk, before anything is computed.
fn check_space(plan: &ScorePlan, folder: &Path, options: SessionOptions) -> Result<()> {
    let Some(free) = free_space(folder) else { return Ok(()) };
    let needed = plan.bytes_left(finished_queries(plan, folder, options)?);
    if needed > free {
        return Err(Error::NoSpace { needed, free, path: folder.to_owned() });
    }
    Ok(())
}

/// Computes the queries of the session from `first` on, pass by pass; `send` takes what is done and
/// says whether anybody still wants more.
fn compute(
    plan: &ScorePlan,
    first: usize,
    monitor: &Monitor,
    begin: impl Fn(),
    send: impl Fn(Portion) -> bool,
) -> Result<()> {
    let until = plan.queries_to_compute();
    if first < until {
        let mut started = Instant::now();
        let engine = plan.engine(monitor)?;
        begin();
        // Where docs are not kept every pass reads them again: then large ones from the start.
        let size = engine.size();
        let first_pass = match size.filter {
            _ if !size.docs_kept => usize::MAX,
            Filter::Float32 => FIRST_PASS_QUERIES,
            Filter::Int8(_) => 4 * FIRST_PASS_QUERIES,
        };
        let mut pass = first_pass.min(size.pass_queries);
        let mut next = first;
        while next < until {
            let range = next..(next + pass).min(until);
            plan.queries.check_size()?;
            let found = engine.top_k(plan.queries.rows_in(range.clone()), |index| range.start + index, monitor)?;
            if !send(Portion::Computed(found, started.elapsed().as_secs_f64())) {
                return Ok(());
            }
            // The first pass counts what was made ready for it.
            started = Instant::now();
            next = range.end;
            pass = (pass * 2).min(size.pass_queries);
        }
        plan.keep_report(engine.stats().clone());
    }
    if first >= until {
        begin();
    }
    let reused = first.max(until)..plan.queries_needed();
    if !reused.is_empty() {
        send(Portion::Reused(reused));
    }
    Ok(())
}

fn write_all(
    mut writer: SessionWriter,
    portions: &Receiver<Portion>,
    query_rows: usize,
    monitor: &Monitor,
    on_run: &(dyn Fn(Arc<ScoreStore>) + Sync),
) -> Result<ScoreStore> {
    for portion in portions {
        match portion {
            Portion::Computed(found, secs) => append(&mut writer, &found, secs, monitor, on_run)?,
            Portion::Reused(range) => {
                let step = (COPY_SCORES / writer.top_k()).max(1);
                let mut next = range.start;
                while next < range.end {
                    let started = Instant::now();
                    let source = next % query_rows;
                    let queries =
                        step.min(range.end - next).min(query_rows - source).min(writer.run_end(source) - source);
                    let (scores, docs) = writer.read_back(source, queries)?;
                    let found = TopK { scores, docs };
                    append(&mut writer, &found, started.elapsed().as_secs_f64(), monitor, on_run)?;
                    monitor.advance(queries as u64)?;
                    next += queries;
                }
            }
        }
    }
    monitor.check()?;
    Ok(writer.store())
}

fn append(
    writer: &mut SessionWriter,
    found: &TopK,
    secs: f64,
    monitor: &Monitor,
    on_run: &(dyn Fn(Arc<ScoreStore>) + Sync),
) -> Result<()> {
    let top_k = writer.top_k();
    let queries = found.scores.len() / top_k;
    let mut done = 0;
    while done < queries {
        monitor.check()?;
        let ids = found.docs.get(done * top_k..).unwrap_or_default();
        let share = secs * (queries - done) as f64 / queries as f64;
        let (taken, finished) = writer.append(&found.scores[done * top_k..], ids, share)?;
        done += taken;
        if finished {
            on_run(Arc::new(writer.store()));
        }
        monitor.set_detail(writer.describe_position());
    }
    Ok(())
}
