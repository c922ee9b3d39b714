//! `knnscope uniqueness`: the KNN scorer.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::args::UniquenessArgs;
use super::progress::ProgressLine;
use super::{Failure, use_threads};
use crate::compute::Error;
use crate::compute::atomic_file::MadeFolders;
use crate::compute::figures::{counted, duration, grouped};
use crate::compute::uniqueness::journal::{Keep, find_all};
use crate::compute::uniqueness::lists::{self, Ids};
use crate::compute::uniqueness::{
    Config, Fate, Near, Neighbours, Params, Rules, Samples, SavedSelection, Searcher, Selection,
};
use crate::compute::vectors::scratch_beside;
use crate::job::Monitor;
use crate::video::uniqueness as picture;

pub fn run(args: &UniquenessArgs, monitor: &Monitor) -> Result<(), Failure> {
    let config = args.config.as_deref().map(Config::load).transpose()?.unwrap_or_default();
    use_threads(args.max_workers.or(config.max_workers))?;
    let embeddings = args.embeddings.clone().or(config.embedding_path).ok_or_else(|| Error::Parameter {
        name: "embeddings",
        expected: "--embeddings, or embedding_path in the config".to_owned(),
        found: "neither".to_owned(),
    })?;
    let params = Params {
        embeddings,
        dim: args.dim,
        dataset: args.dataset.clone(),
        k: args.k.or(config.k).unwrap_or(Params::DEFAULT_K),
        distance: args.distance_metric.or(config.distance).unwrap_or_default(),
        memory_budget: args.memory.0,
    };
    let saved = args.selection.as_deref().map(SavedSelection::load).transpose()?.map(|saved| saved.rules);
    let saved = saved.unwrap_or_default();
    let rules = Rules {
        drop_below: args.drop_below.or(saved.drop_below),
        drop_above: args.drop_above.or(saved.drop_above),
        dedupe: args.dedupe.or(saved.dedupe),
        keep: args.keep.or(saved.keep),
    };
    rules.check()?;
    let outputs = Outputs::of(args, &rules)?;
    outputs.check(&params, args.config.as_deref())?;
    if let Some(name) = &config.name
        && !args.quiet
    {
        tell!("{name}");
    }
    let folders = outputs.folders().map(MadeFolders::make).collect::<Result<Vec<_>, Error>>()?;
    let outcome = {
        let _progress = ProgressLine::start(monitor, args.quiet);
        score(&params, rules, &outputs, monitor)
    };
    if outcome.is_err() {
        // The deepest were made last.
        folders.iter().rev().for_each(MadeFolders::remove_empty);
    }
    let report = outcome?;
    if !args.quiet {
        report.tell(&params, &outputs);
    }
    Ok(())
}

/// Where everything goes.
struct Outputs {
    scores: PathBuf,
    neighbours: Option<PathBuf>,
    /// Kept and dropped.
    lists: Option<(PathBuf, PathBuf)>,
    selection: Option<PathBuf>,
    plot: Option<PathBuf>,
}

impl Outputs {
    fn of(args: &UniquenessArgs, rules: &Rules) -> Result<Self, Error> {
        if rules.is_empty() && (args.kept.is_some() || args.dropped.is_some()) {
            return Err(Error::Parameter {
                name: "kept, dropped",
                expected: "at least one rule: --drop-below, --drop-above, --dedupe or --keep".to_owned(),
                found: "none".to_owned(),
            });
        }
        let named = |given: &Option<PathBuf>, kind: &str| {
            given.clone().unwrap_or_else(|| args.output.with_extension(format!("{kind}.jsonl")))
        };
        let lists = (!rules.is_empty()).then(|| (named(&args.kept, "kept"), named(&args.dropped, "dropped")));
        Ok(Self {
            scores: args.output.clone(),
            neighbours: args.neighbors.clone(),
            lists,
            selection: args.save_selection.clone(),
            plot: args.plot.clone(),
        })
    }

    fn all(&self) -> impl Iterator<Item = &Path> {
        let lists = self.lists.iter().flat_map(|(kept, dropped)| [kept, dropped]);
        let others = self.neighbours.iter().chain(&self.selection).chain(&self.plot);
        std::iter::once(&self.scores).chain(others).chain(lists).map(PathBuf::as_path)
    }

    fn folders(&self) -> impl Iterator<Item = &Path> {
        self.all().filter_map(Path::parent).filter(|folder| !folder.as_os_str().is_empty())
    }

    /// Refuses what would destroy an input or another output.
    fn check(&self, params: &Params, config: Option<&Path>) -> Result<(), Error> {
        let inputs: Vec<&Path> =
            [Some(params.embeddings.as_path()), params.dataset.as_deref(), config].into_iter().flatten().collect();
        for path in std::iter::once(&self.scores).chain(&self.neighbours) {
            if path.extension().is_some_and(|name| name.eq_ignore_ascii_case("csv")) {
                return Err(Error::Parameter {
                    name: "output",
                    expected: "a name like scores.jsonl: scores and neighbours are written as JSONL (CSV is for \
                               --kept and --dropped)"
                        .to_owned(),
                    found: path.display().to_string(),
                });
            }
        }
        let mut seen: Vec<PathBuf> = Vec::new();
        for path in self.all() {
            lists::check_not_input(path, &inputs)?;
            if path.is_dir() {
                let source = std::io::Error::from(std::io::ErrorKind::IsADirectory);
                return Err(Error::Write { source, path: path.to_owned() });
            }
            let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            if seen.contains(&whole) {
                return Err(Error::Parameter {
                    name: "output",
                    expected: "a file of its own for each list".to_owned(),
                    found: format!("{} twice", path.display()),
                });
            }
            seen.push(whole);
        }
        Ok(())
    }

    /// Where what was found so far is kept: beside the scores.
    fn journal(&self) -> PathBuf {
        let mut name = std::ffi::OsString::from(".");
        name.push(self.scores.file_name().unwrap_or_default());
        name.push(".neighbours");
        self.scores.with_file_name(name)
    }
}

struct Report {
    secs: f64,
    k: usize,
    scores: Vec<f64>,
    duplicates: usize,
    selection: Option<Selection>,
}

fn score(params: &Params, rules: Rules, outputs: &Outputs, monitor: &Monitor) -> Result<Report, Error> {
    let started = Instant::now();
    let scratch = scratch_beside(&outputs.scores);
    let Samples { embeddings, dataset, k, warnings } = Samples::open(params, &scratch, monitor)?;
    // Before what takes long, and also when nothing else is told.
    for warning in &warnings {
        complain!("warning: {warning}");
    }
    let searcher = Searcher::new(&embeddings, params.distance, params.memory_budget, monitor)?;
    let keep = Keep::at(outputs.journal());
    let (neighbours, journal) = find_all(&searcher, k, Some(&keep), monitor)?;
    let scores = neighbours.scores();
    let ids = Ids(dataset.as_ref());
    let selection =
        if rules.is_empty() { None } else { Some(select(&searcher, &neighbours, &scores, rules, &scratch, monitor)?) };
    if let Some(path) = &outputs.neighbours {
        lists::write_neighbours(path, ids, &neighbours, monitor)?;
    }
    if let (Some(selection), Some((kept, dropped))) = (&selection, &outputs.lists) {
        lists::write_selected(kept, ids, &scores, selection, true, monitor)?;
        lists::write_selected(dropped, ids, &scores, selection, false, monitor)?;
    }
    if let Some(path) = &outputs.selection {
        SavedSelection::new(params, embeddings.fingerprint()?, rules).save(path)?;
    }
    if let Some(path) = &outputs.plot {
        picture::write(path, &scores, params.distance, k, rules)?;
    }
    lists::write_scores(&outputs.scores, ids, &scores, monitor)?;
    journal.done();
    let duplicates = (0..neighbours.samples()).filter(|&row| neighbours.nearest_distance(row) == 0.0).count();
    Ok(Report { secs: started.elapsed().as_secs_f64(), k, scores, duplicates, selection })
}

fn select(
    searcher: &Searcher<'_>,
    neighbours: &Neighbours,
    scores: &[f64],
    rules: Rules,
    scratch: &Path,
    monitor: &Monitor,
) -> Result<Selection, Error> {
    let near = rules.dedupe.map(|epsilon| Near::find(searcher, neighbours, epsilon, scratch, monitor)).transpose()?;
    Selection::make(searcher, neighbours.k, scores, near.as_ref(), rules, scratch, monitor)
}

impl Report {
    fn tell(&self, params: &Params, outputs: &Outputs) {
        let samples = self.scores.len();
        let mut sorted = self.scores.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        tell!(
            "{} scored in {} ({}, k = {}): {}",
            counted(samples, "sample", "samples"),
            duration(self.secs),
            params.distance.name(),
            grouped(self.k as u64),
            outputs.scores.display()
        );
        tell!(
            "scores: lowest {:.4}, median {:.4}, highest {:.4}; low is redundant, high is unique",
            sorted[0],
            sorted[samples / 2],
            sorted[samples - 1]
        );
        if self.duplicates > 0 {
            tell!("{} an exact duplicate (distance 0)", counted(self.duplicates, "sample has", "samples have"));
        }
        if let Some(path) = &outputs.neighbours {
            tell!("neighbours: {}", path.display());
        }
        let (Some(selection), Some((kept, dropped))) = (&self.selection, &outputs.lists) else { return };
        let count = |name: &str| selection.count(|fate| fate.name() == name);
        tell!("kept {}: {}", counted(selection.kept(), "sample", "samples"), kept.display());
        let reasons: Vec<String> = [Fate::Below, Fate::Above, Fate::Duplicate(0), Fate::Surplus]
            .into_iter()
            .map(|fate| (fate.name(), count(fate.name())))
            .filter(|&(_, count)| count > 0)
            .map(|(name, count)| format!("{name} {}", grouped(count as u64)))
            .collect();
        let reasons = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
        tell!("dropped {}{reasons}: {}", counted(samples - selection.kept(), "sample", "samples"), dropped.display());
    }
}
