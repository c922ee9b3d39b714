//! What the user asked of the uniqueness view, carried out; what its workers finished, put where it belongs.

use std::path::PathBuf;
use std::sync::Arc;

use super::super::App;
use super::super::save_dialog::take_saved;
use super::super::state::Page;
use super::command::UniquenessCommand;
use super::state::{Form, Found, Look, Save, SaveForm, Typed, without_grouping};
use super::work::{self, SaveRequest};
use crate::compute::figures::duration;
use crate::compute::uniqueness::{Params, Rules, SavedSelection};

/// Rules that can be undone.
const MOST_UNDO: usize = 200;

impl App {
    pub(in super::super) fn carry_out_uniqueness(&mut self, command: UniquenessCommand, ctx: &egui::Context) {
        let state = &mut self.uniqueness.state;
        match command {
            UniquenessCommand::OpenDemo => {
                let home = self.options.demo_home.clone();
                self.session.page = Page::Uniqueness;
                self.uniqueness.jobs.scoring.start(ctx, "uniqueness demo", move |monitor| {
                    Ok((work::score(work::demo_params(&home)?, true, monitor)?, None))
                });
            }
            UniquenessCommand::Start => {
                self.session.page = Page::Uniqueness;
                self.start_uniqueness(None, ctx);
            }
            UniquenessCommand::SetBins(bins) => {
                state.bins = bins.clamp(1, super::super::state::MAX_BINS_IN_WINDOW);
                self.settings.bins = state.bins;
                self.start_binning(ctx);
            }
            UniquenessCommand::ZoomTo(low, high) => {
                state.zoom.push((low, high));
                self.start_binning(ctx);
            }
            UniquenessCommand::ZoomBack => {
                if state.zoom.pop().is_some() {
                    self.start_binning(ctx);
                }
            }
            UniquenessCommand::ZoomReset => {
                if !state.zoom.is_empty() {
                    state.zoom.clear();
                    self.start_binning(ctx);
                }
            }
            UniquenessCommand::SetRules(rules) => {
                if rules != state.rules {
                    let before = std::mem::replace(&mut state.rules, rules);
                    state.undo.push(before);
                    let surplus = state.undo.len().saturating_sub(MOST_UNDO);
                    state.undo.drain(..surplus);
                    state.redo.clear();
                    self.rules_changed(ctx);
                }
            }
            UniquenessCommand::Undo => {
                if let Some(rules) = state.undo.pop() {
                    let undone = std::mem::replace(&mut state.rules, rules);
                    state.redo.push(undone);
                    self.rules_changed(ctx);
                }
            }
            UniquenessCommand::Redo => {
                if let Some(rules) = state.redo.pop() {
                    let before = std::mem::replace(&mut state.rules, rules);
                    state.undo.push(before);
                    self.rules_changed(ctx);
                }
            }
            UniquenessCommand::LookAt(row) => {
                if state.current != Some(row) {
                    state.trail.extend(state.current);
                    state.current = Some(row);
                }
            }
            UniquenessCommand::WalkBack => {
                if let Some(row) = state.trail.pop() {
                    state.current = Some(row);
                }
            }
            UniquenessCommand::List(listing) => {
                state.listing = listing;
                self.start_listing(ctx);
            }
            UniquenessCommand::AskSave(what) => {
                self.session.page = Page::Uniqueness;
                if state.found.is_none() {
                    self.notices.wrong("There is nothing to save yet: score some samples first.".to_owned());
                    return;
                }
                state.save = Some(SaveForm::new(what, &state.default_path(what)));
            }
            UniquenessCommand::SaveAsAsked => self.start_saving(ctx),
            UniquenessCommand::OpenSelection(path) => {
                self.uniqueness.jobs.opening.start(ctx, "open selection", move |_| SavedSelection::load(&path));
            }
        }
    }

    /// The params that the form says.
    ///
    /// # Errors
    /// What is missing or wrong, in words.
    pub(super) fn uniqueness_params(form: &Form) -> Result<Params, String> {
        let path = |text: &str| (!text.trim().is_empty()).then(|| PathBuf::from(text.trim()));
        let number = |text: &str, name: &str| -> Result<Option<usize>, String> {
            let text = text.trim();
            match without_grouping(text).and_then(|text| text.parse::<usize>().ok()) {
                _ if text.is_empty() => Ok(None),
                Some(number) if number > 0 => Ok(Some(number)),
                _ => Err(format!("{name}: expected a whole number of at least 1, found {text}")),
            }
        };
        let embeddings = path(&form.embeddings).ok_or("choose the embeddings first")?;
        // The field is not shown for files that tell their own.
        let tells_dim = embeddings.extension().is_some_and(|name| name.eq_ignore_ascii_case("npy"));
        Ok(Params {
            dim: if tells_dim { None } else { number(&form.dim, "dim")? },
            embeddings,
            dataset: path(&form.dataset),
            k: number(&form.k, "k")?.unwrap_or(Params::DEFAULT_K),
            distance: form.distance,
            memory_budget: crate::compute::exact::ScoreParams::DEFAULT_MEMORY,
        })
    }

    /// Scores what the form says; `saved` is applied to it then.
    fn start_uniqueness(&mut self, saved: Option<SavedSelection>, ctx: &egui::Context) {
        if self.uniqueness.jobs.scoring.is_busy() {
            if saved.is_some() {
                self.notices.wrong("Scoring is going on; open the selection when it is done, or cancel it.".to_owned());
            }
            return;
        }
        match Self::uniqueness_params(&self.uniqueness.state.form) {
            Ok(params) => {
                self.uniqueness
                    .jobs
                    .scoring
                    .start(ctx, "uniqueness", move |monitor| Ok((work::score(params, false, monitor)?, saved)));
            }
            Err(why) => self.notices.wrong(format!("To score, {why}.")),
        }
    }

    fn start_binning(&mut self, ctx: &egui::Context) {
        let state = &self.uniqueness.state;
        let Some(found) = state.found.clone() else { return };
        let (range, bins) = (state.zoom.last().copied(), state.bins);
        self.uniqueness.jobs.binning.start(ctx, "bin", move |_| work::bin(&found, range, bins));
    }

    fn rules_changed(&mut self, ctx: &egui::Context) {
        let state = &mut self.uniqueness.state;
        // What is typed stays as it is typed.
        if state.typed.rules() != Ok(state.rules) {
            state.typed = Typed::of(&state.rules);
        }
        self.start_selection(ctx);
    }

    fn start_selection(&mut self, ctx: &egui::Context) {
        let state = &self.uniqueness.state;
        let Some(found) = state.found.clone() else { return };
        let (near, rules) = (state.near.clone(), state.rules);
        self.uniqueness.jobs.selection.start(ctx, "select", move |monitor| work::select(&found, near, rules, monitor));
    }

    fn start_listing(&mut self, ctx: &egui::Context) {
        let state = &self.uniqueness.state;
        let Some(found) = state.found.clone() else { return };
        let (selected, listing) = (state.selected.clone(), state.listing.clone());
        self.uniqueness
            .jobs
            .listing
            .start(ctx, "list", move |monitor| work::list(&found, selected.as_deref(), &listing, monitor));
    }

    fn start_saving(&mut self, ctx: &egui::Context) {
        let state = &mut self.uniqueness.state;
        let (Some(found), Some(form)) = (state.found.clone(), state.save.take()) else { return };
        if form.what == Save::Lists
            && state.selected.as_ref().is_none_or(|selected| selected.selection.rules != state.rules)
        {
            self.notices.wrong("The selection is still being made; save it in a moment.".to_owned());
            state.save = Some(form);
            return;
        }
        let request = SaveRequest {
            what: form.what,
            path: PathBuf::from(form.path.trim()),
            replace: form.replaces(),
            rules: state.rules,
            selected: state.selected.clone(),
            binned: state.binned.clone(),
            look: self.settings.look(),
        };
        self.uniqueness.jobs.saving.start(ctx, "save", move |monitor| {
            let saved = work::save(&found, &request, monitor);
            (form, saved)
        });
    }

    /// Opens what a selection was made of, unless it is on screen already, and applies its rules.
    fn reopen(&mut self, saved: SavedSelection, ctx: &egui::Context) {
        let state = &mut self.uniqueness.state;
        let shown = state
            .found
            .as_ref()
            .is_some_and(|found| SavedSelection::new(&found.params, found.fingerprint, saved.rules) == saved);
        if shown {
            self.carry_out_uniqueness(UniquenessCommand::SetRules(saved.rules), ctx);
            return;
        }
        state.form = Form {
            embeddings: saved.embeddings.to_string_lossy().into_owned(),
            dim: saved.dim.map_or_else(String::new, |dim| dim.to_string()),
            dataset: saved.dataset.as_ref().map_or_else(String::new, |path| path.to_string_lossy().into_owned()),
            k: saved.k.to_string(),
            distance: saved.distance_metric,
        };
        self.start_uniqueness(Some(saved), ctx);
    }

    /// Looks at the form a moment after the last key, and reads the texts that are wanted.
    pub(in super::super) fn step_uniqueness(&mut self, ctx: &egui::Context, now: f64) {
        const PAUSE_SECS: f64 = 0.25;
        self.take_uniqueness_results(ctx);
        let uniqueness = &mut self.uniqueness;
        let form = &uniqueness.state.form;
        if uniqueness.looked_at.as_ref() != Some(form) {
            let since = match &uniqueness.waiting {
                Some((waiting, since)) if waiting == form => *since,
                _ => now,
            };
            uniqueness.waiting = Some((form.clone(), since));
            if now - since < PAUSE_SECS && uniqueness.looked_at.is_some() {
                ctx.request_repaint_after(std::time::Duration::from_secs_f64(PAUSE_SECS - (now - since)));
            } else {
                let form = form.clone();
                uniqueness.looked_at = Some(form.clone());
                uniqueness.jobs.look.start(ctx, "look", move |_| work::look(&form));
            }
        }
        let state = &mut uniqueness.state;
        if !state.wanted.is_empty()
            && !uniqueness.jobs.texts.is_busy()
            && let Some(found) = state.found.clone()
        {
            let wanted = std::mem::take(&mut state.wanted);
            uniqueness.jobs.texts.start(ctx, "texts", move |monitor| {
                let mut read = Vec::new();
                for row in wanted {
                    if monitor.is_cancelled() {
                        break;
                    }
                    read.push((row, found.tell(row as usize)));
                }
                read
            });
        }
    }

    fn take_uniqueness_results(&mut self, ctx: &egui::Context) {
        let App { uniqueness, notices, .. } = self;
        let (state, jobs) = (&mut uniqueness.state, &mut uniqueness.jobs);
        if let Some(Ok(look)) = jobs.look.take() {
            state.look = Some(look);
        }
        if let Some(result) = jobs.texts.take() {
            match result {
                Ok(read) => state.told.extend(read),
                Err(message) => notices.wrong(message),
            }
        }
        if let Some(binned) = notices.take(&mut jobs.binning) {
            state.binned = Some(Arc::new(binned));
        }
        if let Some((near, curve)) = notices.take(&mut jobs.curve) {
            if state.near.as_ref().is_none_or(|known| known.reach < near.reach) {
                state.near = Some(near);
            }
            state.curve = Some(curve);
        }
        let mut list = false;
        let was_selecting = jobs.selection.is_busy();
        let selected = notices.take(&mut jobs.selection);
        if was_selecting && !jobs.selection.is_busy() && selected.is_none() {
            // Back to what is selected: rules that could not be applied are not shown as if they were.
            state.rules = state.selected.as_ref().map_or_else(Rules::default, |selected| selected.selection.rules);
            state.typed = Typed::of(&state.rules);
        }
        if let Some((near, selected)) = selected {
            state.near = near.or(state.near.take());
            state.selected = Some(Arc::new(selected));
            list = true;
        }
        if let Some(order) = notices.take(&mut jobs.listing) {
            state.order = Arc::new(order);
        }
        take_saved(&mut jobs.saving, &mut state.save, notices);
        let opened = notices.take(&mut jobs.opening);
        let found = notices.take(&mut jobs.scoring);
        if list {
            self.start_listing(ctx);
        }
        if let Some(saved) = opened {
            self.reopen(saved, ctx);
        }
        if let Some((found, saved)) = found {
            self.show_found(Arc::new(found), saved, ctx);
        }
    }

    fn show_found(&mut self, found: Arc<Found>, saved: Option<SavedSelection>, ctx: &egui::Context) {
        self.notices.right(format!("Scored in {}.", duration(found.secs)));
        // What should be known comes last, so that it stays in sight.
        for warning in &found.warnings {
            self.notices.warning(format!("{warning}."));
        }
        if let Some(saved) = &saved
            && let Err(error) = work::check_saved(saved, &found)
        {
            self.notices.warning(error.to_string());
        }
        let state = &mut self.uniqueness.state;
        state.show(found.clone(), saved.map_or_else(Rules::default, |saved| saved.rules));
        if !state.rules.is_empty() {
            state.undo.push(Rules::default());
        }
        // The work of what was shown before is of no use any more.
        self.uniqueness.jobs.forget();
        self.start_binning(ctx);
        self.start_selection(ctx);
        self.start_listing(ctx);
        self.uniqueness.jobs.curve.start(ctx, "curve", move |monitor| work::curve(&found, monitor));
    }

    /// What the look at the form's files said, if it is of the form as it stands.
    pub(super) fn uniqueness_look(&self) -> Option<&Look> {
        let state = &self.uniqueness.state;
        state.look.as_ref().filter(|look| look.form == state.form)
    }
}
