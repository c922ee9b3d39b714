//! What the uniqueness view asks of workers.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::super::save_dialog::Saved;
use super::super::work::{Slot, on_own_threads};
use super::state::{Binned, Form, Found, Listing, Look, Save, SaveForm, Selected, Shown, Sort, Told};
use crate::compute::demo;
use crate::compute::error::{Error, Result};
use crate::compute::figures::{bytes, counted};
use crate::compute::histogram::{Bins, Histogram};
use crate::compute::uniqueness::journal::find_all;
use crate::compute::uniqueness::lists;
use crate::compute::uniqueness::{
    Fate, Near, Params, Rules, Samples, SavedSelection, Searcher, Selection, ThinningCurve,
};
use crate::compute::vectors::{Dataset, Text, Texts, VectorFile, describe_embeddings, scratch_beside};
use crate::job::{Monitor, Progress};
use crate::video::uniqueness::cumulative;
use crate::video::{Look as FrameLook, UniquenessPicture};

/// Pairs that were found, and how many samples remain over ε.
pub type Curve = Result<(Arc<Near>, ThinningCurve)>;

/// All work of the view.
pub struct Jobs {
    pub look: Slot<Look>,
    /// With the selection that is to be applied, if one was opened.
    pub scoring: Slot<Result<(Found, Option<SavedSelection>)>>,
    pub binning: Slot<Result<Binned>>,
    pub curve: Slot<Curve>,
    pub selection: Slot<Result<(Option<Arc<Near>>, Selected)>>,
    pub listing: Slot<Result<Vec<u32>>>,
    pub texts: Slot<Vec<(u32, Told)>>,
    pub saving: Slot<(SaveForm, Result<Saved>)>,
    pub opening: Slot<Result<SavedSelection>>,
}

impl Jobs {
    pub const fn new() -> Self {
        Self {
            look: Slot::empty(),
            scoring: Slot::empty(),
            binning: Slot::empty(),
            curve: Slot::empty(),
            selection: Slot::empty(),
            listing: Slot::empty(),
            texts: Slot::empty(),
            saving: Slot::empty(),
            opening: Slot::empty(),
        }
    }

    pub fn is_busy(&self) -> bool {
        self.scoring.is_busy()
            || self.binning.is_busy()
            || self.curve.is_busy()
            || self.selection.is_busy()
            || self.listing.is_busy()
            || self.texts.is_busy()
            || self.saving.is_busy()
            || self.opening.is_busy()
    }

    /// Drops what is going on for samples that are no longer shown.
    pub fn forget(&mut self) {
        self.binning = Slot::empty();
        self.curve = Slot::empty();
        self.selection = Slot::empty();
        self.listing = Slot::empty();
        self.texts = Slot::empty();
    }

    /// Of what takes long.
    pub fn progress(&self) -> Option<Progress> {
        let slow = |progress: &Progress| progress.elapsed_secs > 0.3;
        self.scoring
            .progress()
            .or_else(|| self.selection.progress().filter(slow))
            .or_else(|| self.curve.progress().filter(slow))
            .or_else(|| self.listing.progress().filter(slow))
            .or_else(|| self.saving.progress().filter(slow))
    }

    pub fn cancel(&mut self) {
        self.scoring.cancel();
        self.curve.cancel();
        self.selection.cancel();
        self.listing.cancel();
        self.saving.cancel();
    }
}

/// Looks at the files of a form without reading their values.
pub fn look(form: &Form) -> Look {
    let said = |path: &str, look: &dyn Fn(&Path) -> Result<String>| {
        let path = path.trim();
        (!path.is_empty()).then(|| look(Path::new(path)).map_err(|error| error.to_string()))
    };
    let dim = form.dim.trim().parse().ok();
    Look {
        embeddings: said(&form.embeddings, &|path| describe_embeddings(path, dim)),
        dataset: said(&form.dataset, &|path| {
            let size = VectorFile::file_size(path)?;
            Ok(bytes(size))
        }),
        form: form.clone(),
    }
}

/// Scores the samples.
pub fn score(params: Params, is_demo: bool, monitor: &Monitor) -> Result<Found> {
    let started = Instant::now();
    let scratch = scratch_beside(&params.embeddings);
    let Samples { embeddings, dataset, k, warnings } = Samples::open(&params, &scratch, monitor)?;
    let texts = match (&dataset, Texts::path_beside(&params.embeddings)) {
        (None, Some(path)) => match Texts::open(&path, monitor) {
            Err(Error::Cancelled) => return Err(Error::Cancelled),
            // Texts are a help; without them samples are told by number.
            other => other.ok(),
        },
        _ => None,
    };
    let (neighbours, _) = on_own_threads(|| {
        let searcher = Searcher::new(&embeddings, params.distance, params.memory_budget, monitor)?;
        find_all(&searcher, k, None, monitor)
    })?;
    let scores = neighbours.scores();
    let mut sorted = scores.clone();
    sorted.sort_unstable_by(f64::total_cmp);
    let fingerprint = embeddings.fingerprint()?;
    let secs = started.elapsed().as_secs_f64();
    let texts = Mutex::new(texts);
    Ok(Found {
        params,
        embeddings,
        dataset,
        texts,
        scratch,
        neighbours,
        scores,
        sorted,
        fingerprint,
        secs,
        is_demo,
        warnings,
    })
}

/// What the demo's docs are scored by.
pub fn demo_params(home: &Path) -> Result<Params> {
    let demo = demo::unpack(&home.join("vectors"))?;
    Ok(Params {
        embeddings: demo.docs,
        dim: Some(demo.dim),
        dataset: None,
        k: Params::DEFAULT_K,
        distance: crate::compute::uniqueness::Distance::default(),
        memory_budget: demo.memory_budget,
    })
}

/// Bins the scores over `range`, or all of them.
pub fn bin(found: &Found, range: Option<(f64, f64)>, bins: usize) -> Result<Binned> {
    let all = (found.sorted[0], found.sorted[found.samples() - 1]);
    let (low, high) = range.unwrap_or(all);
    let bins = Bins::new(low, high, bins)?;
    let histogram = Histogram::of_values(found.scores.iter().copied(), bins);
    let cumulative = cumulative(&found.sorted, bins);
    Ok(Binned { histogram, cumulative })
}

/// How many samples remain over ε.
pub fn curve(found: &Found, monitor: &Monitor) -> Curve {
    const STEPS: usize = 60;
    on_own_threads(|| {
        let searcher = searcher_of(found, monitor)?;
        let near = Near::for_curve(&searcher, &found.neighbours, &found.scratch, monitor)?;
        let curve = near.curve(STEPS, monitor)?;
        Ok((Arc::new(near), curve))
    })
}

fn searcher_of<'a>(found: &'a Found, monitor: &Monitor) -> Result<Searcher<'a>> {
    Searcher::new(&found.embeddings, found.params.distance, found.params.memory_budget, monitor)
}

/// Applies `rules`; pairs are looked for where `near` does not reach far enough, and come back then.
pub fn select(
    found: &Found,
    near: Option<Arc<Near>>,
    rules: Rules,
    monitor: &Monitor,
) -> Result<(Option<Arc<Near>>, Selected)> {
    rules.check()?;
    let epsilon = rules.dedupe.unwrap_or(0.0);
    let (near, selection) = on_own_threads(|| {
        let searcher = searcher_of(found, monitor)?;
        let near = match near.filter(|near| near.reach >= epsilon) {
            Some(near) => near,
            None => Arc::new(Near::find(&searcher, &found.neighbours, epsilon, &found.scratch, monitor)?),
        };
        let k = found.neighbours.k;
        let selection = Selection::make(&searcher, k, &found.scores, Some(&near), rules, &found.scratch, monitor)?;
        Ok::<_, Error>((near, selection))
    })?;
    // As the thinning sees them: among those that the thresholds leave.
    let takes_part = |row: usize| !matches!(selection.fates[row], Fate::Below | Fate::Above);
    let mut sets: Vec<Vec<u32>> = vec![Vec::new(); found.samples()];
    for (row, representative) in near.representatives(epsilon, takes_part).into_iter().enumerate() {
        sets[representative as usize].push(row as u32);
    }
    sets.retain(|set| set.len() > 1);
    sets.sort_by_key(|set| (std::cmp::Reverse(set.len()), set[0]));
    let mut set_starts = Vec::with_capacity(sets.len());
    let mut members = 0;
    for set in &sets {
        set_starts.push(members);
        members += set.len();
    }
    let count = |name: &str| selection.count(|fate| fate.name() == name);
    let dropped = ["below", "above", "duplicate", "surplus"].map(|name| (name, count(name)));
    let kept = selection.kept();
    Ok((Some(near), Selected { selection, kept, dropped, sets, set_starts, members, epsilon }))
}

/// The samples to be listed, in their order.
pub fn list(found: &Found, selected: Option<&Selected>, listing: &Listing, monitor: &Monitor) -> Result<Vec<u32>> {
    let search = listing.search.trim().to_lowercase();
    let is_shown = |row: usize| {
        let kept = selected.is_none_or(|selected| selected.selection.fates[row] == Fate::Kept);
        match listing.shown {
            Shown::All => true,
            Shown::Kept => kept,
            Shown::Dropped => !kept,
        }
    };
    let mut rows: Vec<u32> = Vec::new();
    if !search.is_empty() {
        monitor.begin("searching", "samples", found.samples() as u64);
    }
    for row in 0..found.samples() {
        if !is_shown(row) {
            continue;
        }
        if !search.is_empty() {
            monitor.advance(1)?;
            let Told { id, text: Text { title, text } } = found.tell(row);
            if ![id, title, text].iter().any(|part| part.to_lowercase().contains(&search)) {
                continue;
            }
        }
        rows.push(row as u32);
    }
    let score = |row: &u32| found.scores[*row as usize];
    match listing.sort {
        Sort::ByRow => {}
        Sort::MostRedundant => rows.sort_by(|a, b| score(a).total_cmp(&score(b))),
        Sort::MostUnique => rows.sort_by(|a, b| score(b).total_cmp(&score(a))),
    }
    monitor.check()?;
    Ok(rows)
}

/// What a save needs.
pub struct SaveRequest {
    pub what: Save,
    pub path: PathBuf,
    pub replace: bool,
    pub rules: Rules,
    pub selected: Option<Arc<Selected>>,
    pub binned: Option<Arc<Binned>>,
    pub look: FrameLook,
}

/// Writes a file; says in words what was written.
pub fn save(found: &Found, request: &SaveRequest, monitor: &Monitor) -> Result<Saved> {
    let path = &request.path;
    let is_there = path.exists() || (request.what == Save::Lists && dropped_beside(path).exists());
    if is_there && !request.replace {
        return Ok(Saved::Exists);
    }
    write(found, request, monitor).map(Saved::Done)
}

fn write(found: &Found, request: &SaveRequest, monitor: &Monitor) -> Result<String> {
    let path = &request.path;
    let inputs: Vec<&Path> =
        [Some(found.embeddings.path()), found.dataset.as_ref().map(Dataset::path)].into_iter().flatten().collect();
    lists::check_not_input(path, &inputs)?;
    match (request.what, &request.selected, &request.binned) {
        (Save::Scores, _, _) => {
            lists::write_scores(path, found.ids(), &found.scores, monitor)?;
            Ok(format!("Saved {}: {}", counted(found.samples(), "score", "scores"), path.display()))
        }
        (Save::Lists, Some(selected), _) => {
            let dropped = dropped_beside(path);
            lists::check_not_input(&dropped, &inputs)?;
            let selection = &selected.selection;
            lists::write_selected(path, found.ids(), &found.scores, selection, true, monitor)?;
            lists::write_selected(&dropped, found.ids(), &found.scores, selection, false, monitor)?;
            let kept = selection.kept();
            Ok(format!(
                "Saved {} kept: {}, and {} dropped: {}",
                counted(kept, "sample", "samples"),
                path.display(),
                counted(found.samples() - kept, "sample", "samples"),
                dropped.display()
            ))
        }
        (Save::Plot, _, Some(binned)) => {
            picture(found, binned, request.rules, request.look).write(path)?;
            Ok(format!("Saved the plot: {}", path.display()))
        }
        (Save::Selection, _, _) => {
            SavedSelection::new(&found.params, found.fingerprint, request.rules).save(path)?;
            Ok(format!("Saved the selection: {}", path.display()))
        }
        (Save::Lists | Save::Plot, _, _) => Ok("Nothing to save yet".to_owned()),
    }
}

/// What the picture of the scores shows.
pub fn picture<'a>(found: &Found, binned: &'a Binned, rules: Rules, look: FrameLook) -> UniquenessPicture<'a> {
    UniquenessPicture {
        histogram: &binned.histogram,
        cumulative: &binned.cumulative,
        k: found.neighbours.k,
        distance: found.params.distance,
        rules,
        below: rules.drop_below.map_or(0, |value| found.below(value)),
        above: rules.drop_above.map_or(0, |value| found.above(value)),
        look,
    }
}

/// The list of dropped samples beside that of kept ones.
pub fn dropped_beside(kept: &Path) -> PathBuf {
    let name = kept.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let dropped = if name.contains("kept") { name.replacen("kept", "dropped", 1) } else { format!("dropped.{name}") };
    kept.with_file_name(dropped)
}

/// Says if the embeddings are no longer those of a saved selection.
pub fn check_saved(saved: &SavedSelection, found: &Found) -> Result<()> {
    if saved.fingerprint == format!("{:016x}", found.fingerprint) {
        return Ok(());
    }
    Err(Error::Selection {
        what: "was changed since the selection was saved. Its rules are applied to what is there now".to_owned(),
        path: saved.embeddings.clone(),
    })
}
