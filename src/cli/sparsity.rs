//! `knnscope sparsity`: how alike the features of pruned matrices are; `knnscope sparsity query`.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rayon::prelude::*;

use super::args::{QueryArgs, SparsityArgs, SparsityCommand};
use super::progress::ProgressLine;
use super::{Failure, use_threads};
use crate::compute::Error;
use crate::compute::atomic_file::MadeFolders;
use crate::compute::figures::{count, counted, duration, grouped};
use crate::compute::sparsity::analysis::{Analysis, Params, analyse};
use crate::compute::sparsity::groups::Mode;
use crate::compute::sparsity::mask::Mask;
use crate::compute::sparsity::sources::{Identity, METHODS, Sources, Wanted};
use crate::compute::sparsity::store::{Database, Overlap};
use crate::job::Monitor;
use crate::video::panel::Canvas;
use crate::video::sparsity::{Distances, group_spy, groups_page, matrix_spy, share_text};

pub fn run(args: &SparsityArgs, monitor: &Monitor) -> Result<(), Failure> {
    if let Some(SparsityCommand::Query(args)) = &args.command {
        return query(args, monitor);
    }
    use_threads(args.common.threads)?;
    let params = params_of(args)?;
    let wanted = Wanted { method: method_of(&args.method)?, layer: args.layer, projection: args.projection.clone() };
    let started = Instant::now();
    let here = [PathBuf::from(".")];
    let paths = if args.paths.is_empty() { &here[..] } else { &args.paths };
    let sources = Sources::find(paths, &wanted, monitor)?;
    let mut failures = sources.failures.len();
    for failure in &sources.failures {
        complain!("error: {failure}");
    }
    if !args.common.quiet {
        tell_warnings(&sources.warnings);
    }
    if sources.matrices.is_empty() {
        return Err(nothing_found(paths, &wanted, failures));
    }
    let mut database = Database::append_to(&args.db_path)?;
    let folders = args.save_viz.then(|| MadeFolders::make(&args.viz_dir)).transpose()?;
    let outcome = analyse_all(args, &params, &sources, &mut database, monitor);
    if let Some(folders) = &folders {
        folders.remove_empty();
    }
    let Done { analysed, failed } = outcome?;
    failures += failed;
    if !args.common.quiet && analysed > 0 {
        tell!(
            "{} in {}: {}",
            counted(analysed, "matrix", "matrices"),
            duration(started.elapsed().as_secs_f64()),
            args.db_path.display()
        );
        if args.save_viz {
            tell!("pictures: {}", args.viz_dir.display());
        }
    }
    match failures {
        0 => Ok(()),
        failures => Err(format!(
            "{} could not be analysed (see above){}",
            counted(failures, "file or matrix", "files or matrices"),
            if analysed > 0 { "; the others are stored" } else { "" }
        )
        .into()),
    }
}

/// How many matrices were stored, and how many could not be analysed.
struct Done {
    analysed: usize,
    failed: usize,
}

fn analyse_all(
    args: &SparsityArgs,
    params: &Params,
    sources: &Sources,
    database: &mut Database,
    monitor: &Monitor,
) -> Result<Done, Failure> {
    let mut failed = 0;
    let mut names: HashMap<String, usize> = HashMap::new();
    // Matrices of the same layer and projection, which follow each other.
    let mut counterparts: Vec<(Identity, Arc<Mask>)> = Vec::new();
    let mut analysed = 0;
    for (index, source) in sources.matrices.iter().enumerate() {
        let outcome = {
            let _progress = ProgressLine::start(monitor, args.common.quiet);
            monitor.set_detail(format!("matrix {} of {}", count(index + 1), count(sources.matrices.len())));
            analyse(source, params, monitor).and_then(|analysis| {
                if args.save_viz {
                    draw_all(&args.viz_dir, &analysis, &mut names, monitor)?;
                }
                let before = database.groups_of(&analysis.identity)?;
                database.store(&analysis)?;
                Ok((analysis, before))
            })
        };
        let analysis = match outcome {
            Ok((analysis, before)) => {
                if before > 0 && !args.common.quiet {
                    complain!(
                        "warning: {} holds {} of {} from before; these are stored beside them, so questions about it count \
                         both",
                        args.db_path.display(),
                        counted(before, "group", "groups"),
                        analysis.identity
                    );
                }
                analysis
            }
            Err(Error::Cancelled) => {
                let stored = match analysed {
                    0 => "Nothing was stored".to_owned(),
                    stored => format!(
                        "{} stored in {}. The same command would store them once more",
                        counted(stored, "matrix is", "matrices are"),
                        args.db_path.display()
                    ),
                };
                return Err(Failure::Interrupted(format!("Interrupted. {stored}.")));
            }
            // Others can still be looked at; what stops all does so.
            Err(error @ (Error::Matrix { .. } | Error::FileChanged { .. } | Error::Read { .. })) => {
                complain!("error: {error}");
                failed += 1;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        analysed += 1;
        if !args.common.quiet {
            tell(&analysis);
        }
        counterparts.retain(|(other, _)| {
            other.layer == analysis.identity.layer && other.projection == analysis.identity.projection
        });
        for (identity, mask) in counterparts.iter().filter(|(other, _)| analysis.identity.is_counterpart(other)) {
            compare(database, (identity, mask), &analysis, args.common.quiet)?;
        }
        counterparts.push((analysis.identity.clone(), analysis.mask.clone()));
    }
    Ok(Done { analysed, failed })
}

/// Warnings, those of one kind cut short.
fn tell_warnings(warnings: &[String]) {
    const MOST: usize = 10;
    for warning in warnings.iter().take(MOST) {
        complain!("warning: {warning}");
    }
    if warnings.len() > MOST {
        complain!("warning: and {} more like these", count(warnings.len() - MOST));
    }
}

fn params_of(args: &SparsityArgs) -> Result<Params, Error> {
    let mode = if args.exhaustive { Mode::Exhaustive } else { Mode::Sampled { samples: args.n_samples } };
    let params =
        Params { mode, neighbours: args.n_neighbors, seed: args.seed, permutations: args.permutations, fdr: args.fdr };
    params.check()?;
    Ok(params)
}

fn method_of(text: &str) -> Result<Option<String>, Error> {
    let text = text.to_lowercase();
    match text.as_str() {
        "both" => Ok(None),
        _ if METHODS.contains(&text.as_str()) => Ok(Some(text)),
        _ => Err(Error::Parameter { name: "method", expected: format!("{} or both", METHODS.join(", ")), found: text }),
    }
}

fn nothing_found(paths: &[PathBuf], wanted: &Wanted, failures: usize) -> Failure {
    if failures > 0 {
        return Failure::Message(format!(
            "no matrix could be read; see the {} above",
            if failures == 1 { "error" } else { "errors" }
        ));
    }
    let mut asked: Vec<String> = Vec::new();
    asked.extend(wanted.method.iter().map(|method| format!("method {method}")));
    asked.extend(wanted.layer.iter().map(|layer| format!("layer {layer}")));
    asked.extend(wanted.projection.iter().map(|projection| format!("projection {projection}")));
    let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    Failure::Message(format!(
        "{}: no matrices of {}. Choose others, or leave the flags away",
        paths.join(", "),
        asked.join(", ")
    ))
}

fn tell(analysis: &Analysis) {
    let Analysis { identity, mask, pairs, params, .. } = analysis;
    tell!(
        "{identity}: {} × {} {}, density {:.4}",
        count(mask.rows()),
        count(mask.columns()),
        analysis.element,
        mask.density()
    );
    let mean = pairs.mean().map_or_else(String::new, |mean| format!(", mean distance {mean:.4}"));
    let chance = analysis
        .analytic
        .as_ref()
        .map_or_else(String::new, |null| format!(" ({:.4} if columns were independent)", null.mean));
    tell!("  {} pairs in {}{mean}{chance}", grouped(pairs.pairs()), seconds(analysis.pairs_secs));
    if let Some(analytic) = &analysis.analytic {
        let mut line = format!(
            "  closer than chance at a false-discovery rate of {}: {} of pairs beside independent columns",
            share_text(params.fdr),
            share_text(analytic.closer.share)
        );
        if let Some(permutation) = &analysis.permutation {
            line += &format!(
                ", {} beside {} of the same row and column sums",
                share_text(permutation.closer.share),
                counted(permutation.permutations, "matrix", "matrices")
            );
        }
        tell!("{line}");
    }
    let mean =
        |figure: fn(&crate::compute::sparsity::groups::GroupMetrics) -> f64| analysis.mean_of(figure).unwrap_or(0.0);
    let notable = analysis.groups.iter().filter(|group| group.chance.is_some_and(|chance| chance.p <= 0.05)).count();
    let notable = match &analysis.permutation {
        // The p of so few is a rank.
        Some(null) if null.permutations < 10 => {
            "; at least 10 permutations would tell which are closer than permuted ones".to_owned()
        }
        Some(_) => format!("; {} closer than permuted ones (p ≤ 0.05)", count(notable)),
        None => String::new(),
    };
    let of_pairs: Vec<f64> = analysis.groups.iter().filter_map(|group| group.metrics.mean_pair_distance).collect();
    let of_pairs = match of_pairs.len() {
        0 => String::new(),
        groups => format!(
            " ({:.4} without the zeros of columns with themselves)",
            of_pairs.iter().sum::<f64>() / groups as f64
        ),
    };
    tell!(
        "  {} of {}: mean distance {:.4}{of_pairs}, zeros {:.1}, ones {:.1}, duplicates {:.1}, total_dups {:.1}, \
         unique rows {:.1}{notable}",
        counted(analysis.groups.len(), "group", "groups"),
        count(params.neighbours),
        mean(|metrics| metrics.mean_pairwise_distance),
        mean(|metrics| metrics.zeros as f64),
        mean(|metrics| metrics.ones as f64),
        mean(|metrics| metrics.duplicates as f64),
        mean(|metrics| metrics.total_dups as f64),
        mean(|metrics| metrics.unique_rows as f64),
    );
    let patterns: Vec<String> = analysis
        .patterns
        .iter()
        .map(|report| {
            format!(
                "{} in {} of {} rows and {} of {} columns",
                report.pattern.name(),
                count(report.rows.lines()),
                count(mask.rows()),
                count(report.columns.lines()),
                count(mask.columns())
            )
        })
        .collect();
    tell!("  {}", patterns.join("; "));
}

/// With digits enough to compare speeds by.
fn seconds(secs: f64) -> String {
    if secs < 0.1 { format!("{:.2} ms", secs * 1000.0) } else { format!("{secs:.3} s") }
}

fn compare(
    database: &mut Database,
    other: (&Identity, &Mask),
    analysis: &Analysis,
    is_quiet: bool,
) -> Result<(), Failure> {
    let own = (&analysis.identity, &*analysis.mask);
    if (other.1.rows(), other.1.columns()) != (own.1.rows(), own.1.columns()) {
        complain!("warning: {} and {} have different shapes, so their overlap is not measured", other.0, own.0);
        return Ok(());
    }
    let overlap = Overlap::of(other, own)?;
    database.store_overlap(&overlap)?;
    if !is_quiet {
        tell!(
            "  overlap with {}: Jaccard {:.4} (columns from {:.4} to {:.4})",
            other.0,
            overlap.jaccard,
            overlap.lowest_column,
            overlap.highest_column
        );
    }
    Ok(())
}

/// Draws the page and the spy plot of a matrix, and of each group its spy plot and its distances.
///
/// `names`: those of this run so far, with how often each was wanted, so that none is used twice.
fn draw_all(
    folder: &Path,
    analysis: &Analysis,
    names: &mut HashMap<String, usize>,
    monitor: &Monitor,
) -> Result<(), Error> {
    let canvas = Canvas::FILE;
    let mut name = analysis.identity.file_name();
    let times = names.entry(name.clone()).or_insert(0);
    *times += 1;
    if *times > 1 {
        name = format!("{name}-{times}");
    }
    let folder = folder.join(&name);
    let made = MadeFolders::make(&folder)?;
    monitor.begin("drawing", "pictures", 3 + 2 * analysis.groups.len() as u64);
    let write = |name: String, scene: crate::video::Scene| {
        scene.write(&folder.join(name))?;
        monitor.advance(1)?;
        Ok::<(), Error>(())
    };
    let outcome = (|| {
        write(format!("{name}-groups.png"), groups_page(analysis, None, canvas))?;
        write(format!("{name}-spy.png"), matrix_spy(analysis, canvas))?;
        write(format!("{name}-cdf.png"), Distances::of_matrix(analysis, canvas.look).scene(canvas))?;
        analysis.groups.par_iter().try_for_each(|group| {
            let feature = group.group.feature;
            write(format!("{name}-feature{feature}-spy.png"), group_spy(analysis, group, canvas))?;
            let distances = Distances::of_group(analysis, group, canvas.look);
            write(format!("{name}-feature{feature}-cdf.png"), distances.scene(canvas))
        })?;
        Ok(())
    })();
    if outcome.is_err() {
        made.remove_empty();
    }
    outcome
}

fn query(args: &QueryArgs, monitor: &Monitor) -> Result<(), Failure> {
    let database = Database::read(&args.db_path)?;
    let table = match &args.sql {
        Some(sql) => database.ask(sql, None, monitor)?,
        None => database.metrics(args.method.as_deref(), args.projection.as_deref(), monitor)?,
    };
    let bytes = match args.format.as_str() {
        "csv" => table.to_csv(),
        "json" => table.to_json().into_bytes(),
        _ => table.to_text().into_bytes(),
    };
    // A reader that went away is no failure.
    std::io::stdout().write_all(&bytes).ok();
    Ok(())
}
