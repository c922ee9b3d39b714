//! Which run of a session is meant by what a user types.

use super::candidate::Candidate;
use super::redis::address::without_login;
use super::session::{Lab, Run};
use crate::compute::error::{Error, Result};
use crate::compute::figures::{count, counted};

/// The place of the run that is meant: a candidate as it is typed ("hnsw:M=16:efSearch=64"; a family alone stands for its
/// defaults), as `index show` names it, or a part of that name which only one candidate has. `setting`: search parameters
/// that it must have, like "nprobe=8:k_factor_rf=4".
///
/// # Errors
/// None that fits, or several, with what the session has.
pub fn find_run(lab: &Lab, index: &str, setting: &str, build: usize) -> Result<usize> {
    let known = || {
        let mut names: Vec<String> = lab.runs.iter().map(named).collect();
        names.dedup();
        let shown = names.iter().take(12).cloned().collect::<Vec<_>>().join(", ");
        match names.len().saturating_sub(12) {
            0 => shown,
            more => format!("{shown} and {} more", count(more)),
        }
    };
    if lab.runs.is_empty() {
        let what = "holds no run yet. Search an index first (knnscope index search)".to_owned();
        return Err(Error::Neighbours { what, path: lab.folder().to_owned() });
    }
    let refused = |name: &'static str, expected: String, found: &str| Error::Parameter {
        name,
        expected,
        found: without_login(found),
    };
    let mut wanted = Vec::new();
    for part in setting.split(':').filter(|part| !part.is_empty()) {
        let parsed = part.split_once('=').and_then(|(name, value)| Some((name.to_owned(), value.parse::<u64>().ok()?)));
        wanted.push(parsed.ok_or_else(|| {
            refused("setting", "NAME=VALUE or NAME=VALUE:NAME=VALUE, like nprobe=8".to_owned(), part)
        })?);
    }
    let typed = Candidate::parse(index, lab.arena.dim()).ok();
    // What was typed of search parameters is meant; what a family adds by default is not.
    if let Some(typed) = &typed {
        let searched = |name: &str, value: u64| index.split(':').any(|part| part == format!("{name}={value}"));
        for (name, values) in &typed.grid {
            if let [value] = values[..]
                && searched(name, value)
            {
                wanted.push((name.clone(), value));
            }
        }
    }
    let is_exact = |run: &Run| {
        run.info.candidate == index
            || run.info.title() == index
            || typed.as_ref().is_some_and(|typed| typed.name == run.info.candidate)
    };
    let mut fitting: Vec<usize> = (0..lab.runs.len()).filter(|&place| is_exact(&lab.runs[place])).collect();
    if fitting.is_empty() {
        fitting = (0..lab.runs.len()).filter(|&place| lab.runs[place].info.title().contains(index)).collect();
    }
    fitting.retain(|&place| {
        let info = &lab.runs[place].info;
        info.build == build && wanted.iter().all(|pair| info.setting.0.contains(pair))
    });
    match fitting[..] {
        [place] => Ok(place),
        [] => {
            let asked = [index, setting].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ");
            let asked = if build == 0 { asked } else { format!("{asked} build {build}") };
            Err(refused("index", format!("a run of this session ({})", known()), &asked))
        }
        _ => {
            let names: Vec<String> = fitting.iter().take(12).map(|&place| named(&lab.runs[place])).collect();
            let expected = format!("one run; name its setting (--setting): {}", names.join(", "));
            Err(refused("index", expected, &format!("{index}, which {} have", counted(fitting.len(), "run", "runs"))))
        }
    }
}

fn named(run: &Run) -> String {
    match run.info.build {
        0 => run.info.title(),
        build => format!("{} build {build}", run.info.title()),
    }
}
