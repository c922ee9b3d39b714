//! `knnscope index`: the index lab.

use std::io::{stdin, stdout};
use std::path::{Path, PathBuf};

use super::args::{
    IndexBuildArgs, IndexCommand, IndexJudgeArgs, IndexOutputArgs, IndexSearchArgs, IndexShowArgs, QuestionArgs,
};
use super::progress::ProgressLine;
use super::score::missing_dim;
use super::{Failure, studies, use_threads};
use crate::compute::Error;
use crate::compute::atomic_file::write_atomically;
use crate::compute::figures::{bytes, count, counted, duration};
use crate::compute::index::candidate::{Candidate, FAMILIES, REDIS};
use crate::compute::index::process::own_program;
use crate::compute::index::report::{Line, lines, short_table, table, title, usual_ks, within_noise};
use crate::compute::index::scores::Scores;
use crate::compute::index::session::{Lab, Options, build_file};
use crate::compute::index::truth::Question;
use crate::compute::index::worker;
use crate::job::Monitor;
use crate::video::FrameRate;
use crate::video::lab::{Tradeoff, scores_scene, write_video};
use crate::video::panel::Canvas;

pub fn run(command: &IndexCommand, monitor: &Monitor) -> Result<(), Failure> {
    match command {
        IndexCommand::Search(args) => search(args, monitor),
        IndexCommand::Judge(args) => judge(args, monitor),
        IndexCommand::Build(args) => build(args, monitor),
        IndexCommand::Show(args) => show(args, monitor),
        IndexCommand::Families => {
            tell_families();
            Ok(())
        }
        IndexCommand::Ranks(args) => studies::by_rank::run(args, monitor),
        IndexCommand::Difficulty(args) => studies::difficulty::run(args, monitor),
        IndexCommand::Cells(args) => studies::cells::run(args, monitor),
        IndexCommand::Plan(args) => studies::plan::run(args, monitor),
        IndexCommand::Serve(args) => studies::serve::run(args, monitor),
        IndexCommand::Why(args) => studies::why::run(args, monitor),
        IndexCommand::Duplicates(args) => studies::duplicates::run(args, monitor),
    }
}

/// What the child process does.
pub fn work() -> Result<(), Failure> {
    match worker::run(&mut stdin().lock(), &mut stdout()) {
        true => Ok(()),
        // The parent heard why.
        false => Err(Failure::Message(format!("{} failed", worker::ARGUMENT))),
    }
}

fn question_of(args: &QuestionArgs) -> Result<Question, Error> {
    Ok(Question {
        docs: args.docs.clone(),
        queries: args.queries.clone(),
        dim: args.dim.map_or_else(|| Err(missing_dim(&args.docs)), Ok)?,
        num_docs: args.num_docs,
        num_queries: args.num_queries,
        top_k: args.top_k,
        metric: args.metric,
        memory_budget: args.memory.0,
    })
}

fn search(args: &IndexSearchArgs, monitor: &Monitor) -> Result<(), Failure> {
    let common = &args.output.common;
    use_threads(common.threads)?;
    let question = question_of(&args.question)?;
    if !(1..=100).contains(&args.builds) {
        let expected = "a whole number from 1 to 100".to_owned();
        return Err(Error::Parameter { name: "builds", expected, found: count(args.builds) }.into());
    }
    let candidates =
        args.indexes.iter().map(|text| Candidate::parse(text, question.dim)).collect::<Result<Vec<_>, Error>>()?;
    let ks = ks_of(&args.output, question.top_k)?;
    let options = Options {
        builds: args.builds,
        seed: args.seed,
        threads: rayon::current_num_threads(),
        memory_bytes: args.process.index_memory.0,
        program: own_program()?,
    };
    let mut lab = {
        let _line = ProgressLine::start(monitor, common.quiet);
        Lab::begin(&question, &args.output_dir, monitor)?
    };
    let mut failures = Vec::new();
    for candidate in &candidates {
        let outcome = {
            let _line = ProgressLine::start(monitor, common.quiet);
            monitor.set_detail(candidate.name.as_str());
            lab.run(candidate, &options, monitor, &mut |_| {})
        };
        match outcome {
            Ok(()) => {}
            Err(Error::Cancelled) => return Err(Error::Cancelled.into()),
            Err(error) => {
                complain!("error: {error}");
                failures.push(error);
            }
        }
    }
    report(&lab, &ks, &args.output)?;
    match failures.len() {
        0 => Ok(()),
        failed => {
            let rest = match failed == candidates.len() {
                true => String::new(),
                false => format!("; the others are in {}", args.output_dir.display()),
            };
            let all = counted(candidates.len(), "index", "indexes");
            let message = format!("{} of {all} could not be judged (see above){rest}", count(failed));
            Err(if failures.iter().all(Error::is_wrong_use) {
                Error::IndexUse { what: message }.into()
            } else {
                Failure::Message(message)
            })
        }
    }
}

fn judge(args: &IndexJudgeArgs, monitor: &Monitor) -> Result<(), Failure> {
    use_threads(args.output.common.threads)?;
    let question = question_of(&args.question)?;
    let ks = ks_of(&args.output, question.top_k)?;
    let mut lab = {
        let _line = ProgressLine::start(monitor, args.output.common.quiet);
        Lab::begin(&question, &args.output_dir, monitor)?
    };
    let mut names = Vec::new();
    for given in &args.neighbours {
        let (name, path) = match given.split_once('=') {
            Some((name, path)) if !Path::new(given).exists() => (name.to_owned(), PathBuf::from(path)),
            _ => {
                let path = PathBuf::from(given);
                (path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), path)
            }
        };
        if names.contains(&name) {
            let expected = "a name of its own for every file (NAME=FILE)".to_owned();
            return Err(Error::Parameter { name: "neighbors", expected, found: format!("{name} twice") }.into());
        }
        lab.take_neighbours(&path, &name)?;
        names.push(name);
    }
    report(&lab, &ks, &args.output)
}

fn build(args: &IndexBuildArgs, monitor: &Monitor) -> Result<(), Failure> {
    use_threads(args.common.threads)?;
    let dim = args.dim.map_or_else(|| Err(missing_dim(&args.docs)), Ok)?;
    let candidate = Candidate::parse(&args.index, dim)?;
    let question = Question {
        docs: args.docs.clone(),
        // Nothing is asked.
        queries: args.docs.clone(),
        dim,
        num_docs: args.num_docs,
        num_queries: Some(1),
        top_k: 1,
        metric: args.metric,
        memory_budget: args.process.index_memory.0,
    };
    let options = Options {
        builds: 1,
        seed: 0,
        threads: rayon::current_num_threads(),
        memory_bytes: args.process.index_memory.0,
        program: own_program()?,
    };
    let built = {
        let _line = ProgressLine::start(monitor, args.common.quiet);
        build_file(&question, &candidate, &options, &args.output, monitor)?
    };
    if !args.common.quiet {
        tell!(
            "{}: {} in {} ({} of it training), {} in memory, {} in {}",
            candidate.name,
            counted(built.docs, "doc", "docs"),
            duration(built.train_secs + built.build_secs),
            duration(built.train_secs),
            bytes(built.memory_bytes),
            bytes(built.disk_bytes.unwrap_or(0)),
            args.output.display()
        );
    }
    Ok(())
}

fn show(args: &IndexShowArgs, monitor: &Monitor) -> Result<(), Failure> {
    use_threads(args.output.common.threads)?;
    let lab = {
        let _line = ProgressLine::start(monitor, args.output.common.quiet);
        Lab::open(&args.folder, monitor)?
    };
    let ks = ks_of(&args.output, lab.arena.top_k)?;
    report(&lab, &ks, &args.output)
}

fn ks_of(output: &IndexOutputArgs, top_k: usize) -> Result<Vec<usize>, Error> {
    if output.recall.is_empty() {
        return Ok(usual_ks(top_k));
    }
    let mut ks = output.recall.clone();
    ks.sort_unstable();
    ks.dedup();
    match ks.iter().find(|k| !(1..=top_k).contains(*k)) {
        Some(&wrong) => {
            let expected = format!("ranks from 1 to {}, the neighbours asked for (--top-k)", count(top_k));
            Err(Error::Parameter { name: "recall", expected, found: count(wrong) })
        }
        None => Ok(ks),
    }
}

fn report(lab: &Lab, ks: &[usize], output: &IndexOutputArgs) -> Result<(), Failure> {
    let lines = lines(lab, ks);
    if let Some(path) = &output.json {
        let text = serde_json::to_string_pretty(&lines).expect("plain values can be written");
        write_atomically(path, text.as_bytes())?;
    }
    if let Some(path) = &output.csv {
        write_atomically(path, &table(&lines, ks).to_csv())?;
    }
    if let Some(path) = &output.chart {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        if !matches!(ending.as_deref(), Some("png" | "svg")) {
            let (expected, found) = ("a name that ends with .png or .svg".to_owned(), path.display().to_string());
            return Err(Error::Parameter { name: "chart", expected, found }.into());
        }
        let k = ks.last().copied().unwrap_or(1);
        Tradeoff::of(title(&lab.arena), &lines, k).scene(None, Canvas::FILE).write(path)?;
    }
    if let Some(folder) = &output.scores {
        save_scores(lab, folder, &Monitor::new())?;
    }
    if !output.common.quiet {
        tell_lines(lab, &lines, ks);
    }
    Ok(())
}

/// Writes what every contestant lost: a picture, the bins, and a video of some queries a frame.
fn save_scores(lab: &Lab, folder: &Path, monitor: &Monitor) -> Result<(), Error> {
    std::fs::create_dir_all(folder).map_err(Error::write(folder))?;
    for run in &lab.runs {
        let scores = Scores::of(lab, run)?;
        let path = |ending: &str| folder.join(format!("{}.{ending}", run.info.file_name()));
        scores_scene(&scores, None, Canvas::FILE).write(&path("png"))?;
        write_atomically(&path("csv"), &scores.table().to_csv())?;
        write_video(&scores, &path("mp4"), Canvas::FILE, FrameRate::default(), monitor)?;
    }
    Ok(())
}

fn tell_lines(lab: &Lab, lines: &[Line], ks: &[usize]) {
    tell!("{}", title(&lab.arena));
    tell!("{}", short_table(lines, ks).to_text().trim_end());
    if lines.iter().any(|line| line.is_on_front) {
        tell!("● nothing else is both faster (one thread) and at least as good");
    }
    for (left, right) in within_noise(lines) {
        tell!("{} and {}: no difference beyond what building again changes", lines[left].title(), lines[right].title());
    }
    for line in lines.iter().filter(|line| line.docs_lacking > 0) {
        tell!(
            "{}: {} of {} are not in it, so they cannot be found. Choose the docs it was built from (--docs, --num-docs)",
            line.title(),
            count(line.docs_lacking),
            counted(lab.arena.num_docs, "doc", "docs")
        );
    }
    let told = lines.iter().filter(|line| line.duplicates > 0 || line.missing > 0);
    for line in told {
        tell!(
            "{}: {} without a doc, {} of them for a doc given twice",
            line.title(),
            counted(line.missing as usize, "place", "places"),
            count(line.duplicates as usize)
        );
    }
}

fn tell_families() {
    let shown = |parameters: &[(&str, u64)]| {
        let each = parameters.iter().map(|(name, default)| match default {
            0 if *name == "m" => format!("{name}=dim/8"),
            default => format!("{name}={default}"),
        });
        each.collect::<Vec<_>>().join(":")
    };
    for family in &FAMILIES {
        let parameters = [shown(family.build), shown(family.search)];
        let parameters: Vec<&str> = parameters.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
        let spec = [&[family.name], &parameters[..]].concat().join(":");
        tell!("{spec}\n    {}", family.about);
    }
    tell!(
        "faiss:FACTORY:nprobe=8:efConstruction=40:…\n    any factory string of FAISS, like faiss:OPQ48,IVF256,PQ48x4fs,RFlat"
    );
    tell!(
        "FILE.faiss, FILE.index, FILE.ann, FILE.arroy, FILE.hyperplane\n    index files of FAISS, Annoy, arroy and of `index build`, like old.ann:search_k=1000,10000"
    );
    tell!(
        "{REDIS}\n    a vector set of a running Redis 8: quant=fp32, q8 or bin; truth=1 compares with all docs there. rediss://\n    \
         for TLS; the password from KNNSCOPE_REDIS_PASSWORD; what is loaded is removed in the end"
    );
    tell!("Search parameters may list several values (nprobe=1,4,16); every combination is tried.");
}
