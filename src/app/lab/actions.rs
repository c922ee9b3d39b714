//! What the user asked of the index lab, carried out; what its workers finished, put where it belongs.

use std::path::PathBuf;
use std::sync::Arc;

use super::super::App;
use super::super::grid::Grid;
use super::super::save_dialog::{SaveForm, take_saved};
use super::super::state::{Page, Player};
use super::super::work::Slot;
use super::command::LabCommand;
use super::group::{Axis, Group, RangeForm};
use super::state::{Form, Part, Shows, State};
use super::studies::FoundPart;
use super::work::{self, Keepsake, Opened};
use crate::compute::error::Error;
use crate::compute::exact::ScoreParams;
use crate::compute::index::candidate::Candidate;
use crate::compute::index::process::own_program;
use crate::compute::index::session::Options;
use crate::compute::index::truth::Question;
use crate::video::FrameRate;

/// Memory that an index may take.
const INDEX_MEMORY: u64 = 4_000_000_000;

/// What a form says, ready to be run.
pub(super) struct Plan {
    question: Question,
    candidates: Vec<Candidate>,
    builds: usize,
    folder: PathBuf,
}

impl Plan {
    /// # Errors
    /// What is missing or wrong, in words.
    pub(super) fn of(form: &Form) -> Result<Self, String> {
        let path = |text: &str, what: &str| match text.trim() {
            "" => Err(format!("choose {what} first")),
            text => Ok(PathBuf::from(text)),
        };
        let number = |text: &str, name: &str| match text.trim() {
            "" => Ok(None),
            text => match text.replace(',', "").parse::<usize>() {
                Ok(number) if number > 0 => Ok(Some(number)),
                _ => Err(format!("{name}: expected a whole number of at least 1, found {text}")),
            },
        };
        let docs = path(&form.docs, "docs")?;
        let queries = path(&form.queries, "queries")?;
        let dim = number(&form.dim, "dim")?.ok_or("give the dim of the vectors")?;
        let question = Question {
            docs,
            queries,
            dim,
            num_docs: number(&form.num_docs, "docs")?,
            num_queries: number(&form.num_queries, "queries")?,
            top_k: number(&form.top_k, "top-k")?.ok_or("give the number of neighbours (top-k)")?,
            metric: form.metric,
            memory_budget: ScoreParams::DEFAULT_MEMORY,
        };
        let typed = form.indexes.lines().map(str::trim).filter(|line| !line.is_empty());
        let candidates: Vec<Candidate> = typed
            .map(|line| Candidate::parse(line, dim).map_err(|error| error.to_string()))
            .collect::<Result<_, _>>()?;
        if candidates.is_empty() {
            return Err("name at least one index".to_owned());
        }
        let builds = number(&form.builds, "builds")?.unwrap_or(1).min(100);
        Ok(Self { question, candidates, builds, folder: path(&form.folder, "a folder for the session")? })
    }
}

impl App {
    pub(in super::super) fn carry_out_lab(&mut self, command: LabCommand, ctx: &egui::Context) {
        let state = &mut self.lab.state;
        match command {
            LabCommand::FillDemo => {
                self.session.page = Page::Lab;
                let home = self.options.demo_home.clone();
                self.lab.jobs.filling.start(ctx, "lab demo", move |_| work::fill_demo(&home));
            }
            LabCommand::Start => self.start_lab(ctx),
            LabCommand::Open(folder) => {
                self.session.page = Page::Lab;
                if self.lab.jobs.running.is_busy() {
                    self.notices.wrong("Indexes are being run; open the session when they are done.".to_owned());
                    return;
                }
                state.form.folder = folder.to_string_lossy().into_owned();
                state.is_opening = true;
                self.lab.jobs.running.start(ctx, "open lab", move |monitor| work::open(&folder, monitor));
            }
            LabCommand::ShowTab(tab) => {
                self.session.page = Page::Lab;
                state.tab = tab;
                state.drag = None;
            }
            LabCommand::LookAt(line) => {
                state.current = Some(line);
                state.close_detail();
                state.queries = None;
                state.scores = None;
                self.look_again(ctx);
            }
            LabCommand::LookAtQuery(query) => {
                state.close_detail();
                let line = state.current;
                let lab = state.opened.as_ref().and_then(|opened| opened.lab.clone());
                if let Some(lab) = lab.filter(|lab| query < lab.arena.num_queries) {
                    state.query = Some(query);
                    let texts = self.texts.clone();
                    self.lab
                        .jobs
                        .telling
                        .start(ctx, "neighbours", move |monitor| work::tell(&lab, line, query, &texts, monitor));
                }
            }
            LabCommand::LookAtDoc(doc) => {
                state.close_detail();
                let lab = state.opened.as_ref().and_then(|opened| opened.lab.clone());
                if let Some(lab) = lab.filter(|lab| (doc as usize) < lab.arena.num_docs) {
                    state.doc = Some(doc);
                    let texts = self.texts.clone();
                    self.lab.jobs.doc.start(ctx, "doc", move |monitor| work::read_doc(&lab, doc, &texts, monitor));
                }
            }
            LabCommand::BackToList => state.close_detail(),
            LabCommand::Brush(low, high) => {
                if let Some((axis, _, _)) = self.axis_in_sight() {
                    self.gather(axis, (low, high), ctx);
                }
            }
            LabCommand::AskRange => match self.axis_in_sight() {
                Some((axis, name, reach)) => {
                    let known = self.lab.state.group.as_ref().filter(|group| group.is_on(&axis));
                    let range = known.map_or(reach, |group| group.range);
                    self.lab.state.range = Some(RangeForm::new(axis, name, range));
                }
                None => {
                    let text = "There is nothing to choose queries by: look at the scores of a contestant, or at a \
                                picture of a study that has a value for each query.";
                    self.notices.wrong(text.to_owned());
                }
            },
            LabCommand::ChooseAsked => {
                let asked = state.range.as_ref().and_then(|form| Some((form.axis.clone(), form.range().ok()?)));
                if let Some((axis, range)) = asked {
                    state.range = None;
                    self.gather(axis, range, ctx);
                }
            }
            LabCommand::EndGroup => {
                if state.group.take().is_some() {
                    if state.shows == Shows::Group {
                        state.shows = Shows::All;
                    }
                    self.look_again(ctx);
                }
                // A group that is being gathered must not come after all.
                self.lab.jobs.grouping = Slot::empty();
            }
            LabCommand::Study(command) => self.carry_out_study(command, ctx),
            LabCommand::ShowAllQueries => {
                state.shows = Shows::All;
                state.player.playing = false;
            }
            LabCommand::ShowGroup => {
                state.shows = Shows::Group;
                state.player.playing = false;
            }
            LabCommand::ShowFrame(place) => {
                state.shows = Shows::Frame;
                let frames = state.frames();
                state.player.go_to(place, frames);
            }
            LabCommand::TogglePlay => {
                // From the beginning, if no frame was shown.
                if std::mem::replace(&mut state.shows, Shows::Frame) != Shows::Frame {
                    state.player.index = 0;
                }
                let frames = state.frames();
                state.player.toggle(ctx.input(|input| input.time), frames);
            }
            LabCommand::AskSave(part) => {
                let has_it = match part {
                    Part::Table | Part::Speed => state.opened.is_some(),
                    Part::Scores => state.scores.is_some(),
                    Part::Queries => state.queries.is_some(),
                    Part::StudyPicture => {
                        let found = state.studies.finding();
                        found.is_some_and(|found| state.studies.picture < found.finding.pictures.len())
                    }
                    Part::StudyTable | Part::StudyNotes => state.studies.finding().is_some(),
                    Part::StudyMore => state.studies.finding().is_some_and(|found| found.finding.more.is_some()),
                    Part::StudyList => state.studies.listed.is_some(),
                };
                let path = match state.kept(part) {
                    Some(kept) => self.study_path(kept),
                    None => state.default_path(part),
                };
                match has_it {
                    true => self.lab.state.save = Some(SaveForm::new(part, &path)),
                    false => {
                        let text = match self.lab.state.kept(part) {
                            Some(_) => "There is nothing to save yet: make the study first.",
                            None => "There is nothing to save yet: run some indexes, and click one of them.",
                        };
                        self.notices.wrong(text.to_owned());
                    }
                }
            }
            LabCommand::SaveAsAsked if self.lab.jobs.saving.is_busy() => {
                self.notices.wrong("Something is being saved; save this when it is done.".to_owned());
            }
            LabCommand::SaveAsAsked => {
                if let (Some(form), Some(opened)) = (state.save.take(), state.opened.clone()) {
                    let scores = state.scores.clone();
                    let found = state.studies.finding().cloned().zip(state.kept(form.what));
                    let found = found.map(|(found, kept)| FoundPart {
                        chosen: state.group.as_ref().and_then(|group| group.range_on(&found, state.studies.picture)),
                        list: state.list(),
                        found,
                        kept,
                    });
                    let kept = Keepsake {
                        opened,
                        line: state.current,
                        shows_group: state.shows == Shows::Group,
                        place: scores.as_ref().and_then(|shown| state.in_sight(shown).1),
                        found,
                        scores,
                        queries: state.queries.clone(),
                        rate: FrameRate::new(self.settings.frames_per_second).unwrap_or_default(),
                    };
                    self.lab.jobs.saving.start(ctx, "save lab", move |monitor| {
                        let saved = work::save(&form, &kept, monitor);
                        (form, saved)
                    });
                }
            }
        }
    }

    /// How indexes are built.
    ///
    /// # Errors
    /// This program cannot be found again.
    pub(super) fn lab_options(&self, builds: usize) -> Result<Options, Error> {
        let program = self.options.program.clone().map_or_else(own_program, Ok)?;
        let threads = rayon::current_num_threads();
        Ok(Options { builds, seed: 42, threads, memory_bytes: INDEX_MEMORY, program })
    }

    /// Lists and bins anew what the contestant lost, of all queries or of the group.
    fn look_again(&mut self, ctx: &egui::Context) {
        let super::Lab { state, jobs } = &mut self.lab;
        let lab = state.opened.as_ref().and_then(|opened| opened.lab.clone());
        let Some((lab, line)) = lab.zip(state.current).filter(|(lab, line)| *line < lab.runs.len()) else { return };
        let (same, group) = (lab.clone(), state.group.clone());
        jobs.binning.start(ctx, "scores", move |_| work::bin_scores(&same, line, group.as_deref()));
        let group = state.group.clone();
        jobs.listing.start(ctx, "queries", move |_| work::list_queries(&lab, line, group.as_deref()));
    }

    fn gather(&mut self, axis: Axis, range: (f64, f64), ctx: &egui::Context) {
        let lab = self.lab.state.opened.as_ref().and_then(|opened| opened.lab.clone());
        if let Some(lab) = lab {
            self.lab.jobs.grouping.start(ctx, "group", move |_| Group::gather(&lab, axis, range));
        }
    }

    fn start_lab(&mut self, ctx: &egui::Context) {
        self.session.page = Page::Lab;
        if self.lab.jobs.running.is_busy() {
            return;
        }
        let plan = match Plan::of(&self.lab.state.form) {
            Ok(plan) => plan,
            Err(why) => {
                self.notices.wrong(format!("To run indexes, {why}."));
                return;
            }
        };
        let options = match self.lab_options(plan.builds) {
            Ok(options) => options,
            Err(error) => {
                self.notices.error(&error);
                return;
            }
        };
        self.lab.state.is_opening = false;
        let (sender, receiver) = std::sync::mpsc::channel();
        self.lab.jobs.grown = Some(receiver);
        self.lab.jobs.running.start(ctx, "index lab", move |monitor| {
            work::run(&plan.question, &plan.candidates, &options, &plan.folder, &sender, monitor)
        });
    }

    /// Takes what workers finished, and moves the animation on.
    pub(in super::super) fn step_lab(&mut self, ctx: &egui::Context, now: f64) {
        let State { player, scores, .. } = &mut self.lab.state;
        let frames = scores.as_ref().map_or(0, |shown| shown.scores.frames.len());
        let wait = player.advance(now, frames, self.settings.frames_per_second, self.settings.looping);
        if let Some(secs) = wait {
            ctx.request_repaint_after(std::time::Duration::from_secs_f64(secs));
        }
        let grown = self.lab.jobs.grown.as_ref().and_then(|grown| grown.try_iter().last());
        if let Some(opened) = grown {
            self.show_lab(opened, ctx);
        }
        let Self { lab, notices, .. } = self;
        let super::Lab { state, jobs } = lab;
        if let Some(told) = notices.take(&mut jobs.telling)
            && Some(told.query) == state.query
            && told.line == state.current
        {
            state.told = Some(Arc::new(told));
        }
        if let Some(read) = notices.take(&mut jobs.doc)
            && Some(read.doc) == state.doc
        {
            state.read = Some(read);
        }
        match jobs.listing.take() {
            Some(Ok(list)) if Some(list.line) == state.current => state.queries = Some(Arc::new(list)),
            Some(Err(message)) => notices.wrong(message),
            _ => {}
        }
        if let Some(scores) = notices.take(&mut jobs.binning)
            && Some(scores.line) == state.current
        {
            state.scores = Some(Arc::new(scores));
        }
        let gathered = jobs.grouping.take();
        if let Some(question) = notices.take(&mut jobs.filling) {
            state.form.ask(&question);
            state.form.folder = self.options.demo_home.join("index-lab").to_string_lossy().into_owned();
        }
        take_saved(&mut jobs.saving, &mut state.save, notices);
        if let Some((opened, failures)) = notices.take(&mut jobs.running) {
            jobs.grown = None;
            failures.into_iter().for_each(|failure| notices.wrong(failure));
            if std::mem::take(&mut state.is_opening) {
                state.form.ask(&opened.question);
                state.form.take_indexes(&opened.lines);
            }
            self.show_lab(opened, ctx);
        }
        self.step_studies();
        match gathered {
            Some(Ok(group)) if group.queries.is_empty() => {
                self.notices.warning("No query has a value in that range.".to_owned());
            }
            Some(Ok(group)) => {
                self.lab.state.group = Some(Arc::new(group));
                self.lab.state.shows = Shows::Group;
                self.lab.state.player.playing = false;
                self.look_again(ctx);
            }
            Some(Err(message)) => self.notices.wrong(message),
            None => {}
        }
    }

    fn show_lab(&mut self, opened: Opened, ctx: &egui::Context) {
        let state = &mut self.lab.state;
        let is_same = |before: &Arc<Opened>| before.folder == opened.folder && before.question == opened.question;
        if !state.opened.as_ref().is_some_and(is_same) {
            state.player = Player::new(false);
            state.shows = Shows::All;
            state.group = None;
            state.studies.forget();
            // Nothing of the last session can arrive any more.
            (self.lab.jobs.studying, self.lab.jobs.reading) = (Slot::empty(), Slot::empty());
            self.lab.jobs.grouping = Slot::empty();
        }
        // Lines are sorted: the one that is looked at may have moved.
        let named = |opened: &Opened, line: usize| {
            opened.lines.get(line).map(|line| (line.index.clone(), line.setting.clone(), line.build))
        };
        let looked_at = state.opened.as_ref().zip(state.current).and_then(|(before, line)| named(before, line));
        state.current = looked_at
            .and_then(|wanted| (0..opened.lines.len()).find(|&line| named(&opened, line).as_ref() == Some(&wanted)));
        state.grid = Grid::new(opened.table.clone());
        state.queries = None;
        state.scores = None;
        state.close_detail();
        let is_whole = opened.lab.is_some();
        state.opened = Some(Arc::new(opened));
        if let Some(line) = state.current.filter(|_| is_whole) {
            self.carry_out_lab(LabCommand::LookAt(line), ctx);
        }
    }
}
