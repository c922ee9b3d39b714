//! What the user asked of the sparsity view, carried out; what its workers finished, put where it belongs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use super::super::App;
use super::super::grid::Grid;
use super::super::notices::Notices;
use super::super::save_dialog::{SaveForm, take_saved};
use super::super::state::Page;
use super::command::SparsityCommand;
use super::paths_of;
use super::state::{Answer, Compared, Drawn, GroupTable, Item, LineOrder, Save, State, Status, Tab};
use super::work::{self, Content, Event};
use crate::compute::error::Error;
use crate::compute::figures::{count, counted};
use crate::compute::sparsity::sources::{METHODS, Sources};
use crate::video::panel::Canvas;
use crate::video::sparsity::{Distances, comparison_scene, groups_page, spy_scene};
use crate::video::spy::Window;

impl App {
    pub(in super::super) fn carry_out_sparsity(&mut self, command: SparsityCommand, ctx: &egui::Context) {
        let state = &mut self.sparsity.state;
        match command {
            SparsityCommand::OpenDemo => {
                let home = self.options.demo_home.join("pruned");
                self.session.page = Page::Sparsity;
                if self.sparsity.jobs.is_working() {
                    let text = "An analysis is going on; open the demo when it is done, or cancel it.";
                    self.notices.wrong(text.to_owned());
                    return;
                }
                state.form.paths = home.to_string_lossy().into_owned();
                state.form.database = home.join("sparsity.db").to_string_lossy().into_owned();
                state.is_demo = true;
                state.demo_paths = Some(state.form.paths.clone());
                self.find_matrices(ctx, true);
            }
            SparsityCommand::Open(paths) => self.open_matrices(paths, ctx),
            SparsityCommand::Start => {
                self.session.page = Page::Sparsity;
                state.is_demo &= state.demo_paths.as_ref() == Some(&state.form.paths);
                let is_demo = state.is_demo;
                self.find_matrices(ctx, is_demo);
            }
            SparsityCommand::StartOrAsk => {
                let command = if state.tab == Tab::Database { SparsityCommand::Ask } else { SparsityCommand::Start };
                self.carry_out_sparsity(command, ctx);
            }
            SparsityCommand::ShowTab(tab) => state.tab = tab,
            SparsityCommand::Select(index) => {
                if state.current != Some(index) && index < state.items.len() {
                    state.current = Some(index);
                    state.group = None;
                    state.group_table = None;
                    state.spy.window = None;
                    state.spy.only_group = false;
                }
            }
            SparsityCommand::StepMatrix(by) => {
                if let Some(last) = state.items.len().checked_sub(1) {
                    let index = state.current.map_or(0, |index| index.saturating_add_signed(by).min(last));
                    self.carry_out_sparsity(SparsityCommand::Select(index), ctx);
                }
            }
            SparsityCommand::SelectGroup(group) => {
                let groups = state.analysis().map_or(0, |analysis| analysis.groups.len());
                let group = group.filter(|&group| group < groups);
                state.group = group;
                if state.spy.only_group {
                    state.spy.window = None;
                    state.spy.only_group = group.is_some();
                }
            }
            SparsityCommand::StepGroup(by) => {
                if let Some(table) = &state.group_table
                    && let Some(last) = table.groups.len().checked_sub(1)
                {
                    let place = state.group.and_then(|group| table.groups.iter().position(|&other| other == group));
                    let place = place.map_or(0, |place| place.saturating_add_signed(by).min(last));
                    let group = table.groups[place];
                    self.carry_out_sparsity(SparsityCommand::SelectGroup(Some(group)), ctx);
                }
            }
            SparsityCommand::SortGroups(column) => {
                let (sorted, downwards) = state.sort;
                state.sort = (column, sorted == column && !downwards);
            }
            SparsityCommand::ZoomReset => state.spy.window = None,
            SparsityCommand::Ask => self.ask_database(ctx),
            SparsityCommand::AskSavePicture => {
                let what = match state.tab {
                    Tab::Matrix => Save::Spy,
                    Tab::Distances => Save::Distances,
                    Tab::Groups => Save::Groups,
                    Tab::Compare => Save::Comparison,
                    Tab::Database => Save::Answer,
                };
                self.carry_out_sparsity(SparsityCommand::AskSave(what), ctx);
            }
            SparsityCommand::AskSave(what) => {
                let is_there = match what {
                    Save::Answer => state.answer.is_some(),
                    Save::Comparison => state.counterpart().is_some(),
                    Save::MatrixTable => state.items.iter().any(|item| item.analysis().is_some()),
                    _ => state.analysis().is_some(),
                };
                if is_there {
                    state.save = Some(SaveForm::new(what, &state.default_path(what)));
                } else {
                    self.notices.wrong("There is nothing to save here yet.".to_owned());
                }
            }
            SparsityCommand::SaveAsAsked => self.start_sparsity_save(ctx),
        }
    }

    fn open_matrices(&mut self, paths: Vec<PathBuf>, ctx: &egui::Context) {
        let state = &mut self.sparsity.state;
        self.session.page = Page::Sparsity;
        let is_database = |path: &PathBuf| {
            path.extension()
                .is_some_and(|ending| ending.eq_ignore_ascii_case("db") || ending.eq_ignore_ascii_case("duckdb"))
        };
        let (databases, matrices): (Vec<PathBuf>, Vec<PathBuf>) = paths.into_iter().partition(is_database);
        if let Some(path) = databases.first() {
            state.form.database = path.to_string_lossy().into_owned();
            state.tab = Tab::Database;
        }
        let Some(first) = matrices.first() else { return };
        if self.sparsity.jobs.is_working() {
            self.notices
                .wrong("An analysis is going on; open other matrices when it is done, or cancel it.".to_owned());
            return;
        }
        let lines: Vec<String> = matrices.iter().map(|path| path.to_string_lossy().into_owned()).collect();
        if databases.is_empty() {
            let folder = if first.is_dir() { Some(first.as_path()) } else { first.parent() };
            let folder = folder.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            state.form.database = folder.join("sparsity.db").to_string_lossy().into_owned();
        }
        state.form.paths = lines.join("\n");
        state.is_demo = false;
        self.find_matrices(ctx, false);
    }

    /// Looks for the matrices of the form; the analysis follows.
    fn find_matrices(&mut self, ctx: &egui::Context, is_demo: bool) {
        if self.sparsity.jobs.is_working() {
            return;
        }
        if self.sparsity.jobs.asking.is_busy() || self.sparsity.jobs.saving.is_busy() {
            self.notices.wrong("The database is being asked; analyse when that is done.".to_owned());
            return;
        }
        let form = &self.sparsity.state.form;
        let paths = paths_of(&form.paths);
        if paths.is_empty() {
            self.notices.wrong("To analyse, choose matrices first.".to_owned());
            return;
        }
        match (form.params(), form.wanted()) {
            (Ok(_), Ok(wanted)) => {
                let home = is_demo.then(|| paths[0].clone());
                self.sparsity
                    .jobs
                    .finding
                    .start(ctx, "find matrices", move |monitor| work::find(&paths, &wanted, home.as_deref(), monitor));
            }
            (Err(why), _) | (_, Err(why)) => self.notices.wrong(format!("To analyse, correct {why}.")),
        }
    }

    /// Takes in what was found, and starts to analyse it.
    fn take_sources(&mut self, sources: Sources, ctx: &egui::Context) {
        let Sources { matrices, warnings, failures } = sources;
        if let [warning] = &warnings[..] {
            self.notices.warning(warning.clone());
        } else if let Some(first) = warnings.first() {
            self.notices.warning(format!("{first} (and {} more like this)", count(warnings.len() - 1)));
        }
        for failure in failures.iter().take(20) {
            self.notices.error(failure);
        }
        let state = &mut self.sparsity.state;
        if matrices.is_empty() {
            if failures.is_empty() {
                self.notices
                    .wrong("There is no such matrix in these files: clear method, layer and projection.".to_owned());
            }
            return;
        }
        let Ok(params) = state.form.params() else { return };
        state.items = matrices.iter().map(|source| Item { source: source.clone(), status: Status::Found }).collect();
        state.numbers = vec![0; state.items.len()];
        state.current = Some(0);
        state.group = None;
        state.spy.window = None;
        state.spy.only_group = false;
        let database = state.form.database();
        let (sender, receiver) = std::sync::mpsc::channel();
        self.sparsity.jobs.events = Some(receiver);
        let wake = ctx.clone();
        self.sparsity.jobs.analysing.start(ctx, "analyse", move |monitor| {
            let tell = |event| {
                // The window may be gone; then nobody waits.
                sender.send(event).ok();
                wake.request_repaint();
            };
            work::analyse_all(&matrices, &params, database.as_deref(), &tell, monitor)
        });
    }

    fn ask_database(&mut self, ctx: &egui::Context) {
        let Some(path) = self.sparsity.state.form.database() else {
            self.notices.wrong("Choose a database first: a DuckDB file.".to_owned());
            return;
        };
        if self.sparsity.jobs.analysing.is_busy() {
            self.notices.wrong("The database is being written; ask when the analysis is done.".to_owned());
            return;
        }
        let sql = self.sparsity.state.sql.clone();
        self.sparsity.state.answer = None;
        self.sparsity.state.answer_error = None;
        self.sparsity.jobs.asking.start(ctx, "ask", move |monitor| work::ask(path, sql, monitor));
    }

    fn start_sparsity_save(&mut self, ctx: &egui::Context) {
        let look = self.theme.look;
        let state = &mut self.sparsity.state;
        let Some(form) = state.save.take() else { return };
        let canvas = Canvas { look, ..Canvas::FILE };
        let Some(content) = content_of(state, form.what, canvas) else {
            self.notices.wrong("This is still being made; save it in a moment.".to_owned());
            return;
        };
        self.sparsity.jobs.saving.start(ctx, "save", move |_| {
            let saved = work::save(&form, content);
            (form, saved)
        });
    }

    /// Takes what workers finished, and starts what the view lacks.
    pub(in super::super) fn step_sparsity(&mut self, ctx: &egui::Context) {
        self.take_analyses();
        self.take_sparsity_results(ctx);
        if self.session.page == Page::Sparsity {
            self.make_group_table();
            self.order_and_draw(ctx);
            self.compare_methods(ctx);
        }
    }

    fn take_analyses(&mut self) {
        let App { sparsity, notices, .. } = self;
        if let Some(events) = &sparsity.jobs.events {
            take_events(events, &mut sparsity.state, notices);
        }
    }

    fn take_sparsity_results(&mut self, ctx: &egui::Context) {
        let App { sparsity, notices, .. } = self;
        let (state, jobs) = (&mut sparsity.state, &mut sparsity.jobs);
        let was_analysing = jobs.analysing.is_busy();
        if let Some(stored) = notices.take(&mut jobs.analysing) {
            let failed = state.items.iter().filter(|item| matches!(item.status, Status::Failed(_))).count();
            let place = match (stored, state.form.database()) {
                (0, _) | (_, None) => String::new(),
                (_, Some(path)) => format!(" Stored in {}.", path.display()),
            };
            if failed == 0 {
                let analysed = counted(state.items.len(), "matrix", "matrices");
                notices.right(format!("Analysed {analysed}.{place}"));
            }
        }
        if was_analysing && !jobs.analysing.is_busy() {
            // What was told between the last look and the end.
            if let Some(events) = jobs.events.take() {
                take_events(&events, state, notices);
            }
            let done = state.items.iter().filter(|item| item.analysis().is_some()).count();
            if state.items.iter().any(|item| matches!(item.status, Status::Found | Status::Working)) {
                let all = counted(state.items.len(), "matrix", "matrices");
                notices.warning(format!("Stopped: {} of {all} analysed; what was stored stays.", count(done)));
            }
            // Cancelled or failed: what was not reached waits again.
            for item in &mut state.items {
                if matches!(item.status, Status::Working) {
                    item.status = Status::Found;
                }
            }
        }
        let was_ordering = jobs.ordering.is_busy();
        match notices.take(&mut jobs.ordering) {
            Some(ordered) => state.spy.ordered = Some(Arc::new(ordered)),
            // Cancelled or failed: back to what needs no work, and what was asked for may be asked for again.
            None if was_ordering && !jobs.ordering.is_busy() => {
                (state.spy.rows, state.spy.columns) = (LineOrder::Stored, LineOrder::Stored);
                state.spy.ordering = None;
            }
            None => {}
        }
        match jobs.drawing.take() {
            Some(Ok((key, image))) => {
                let texture = ctx.load_texture("spy plot", image, egui::TextureOptions::NEAREST);
                state.spy.drawn = Some(Drawn { key, texture });
            }
            Some(Err(message)) => notices.wrong(message),
            None => {}
        }
        if let Some((key, overlap, images)) = notices.take(&mut jobs.comparing) {
            let textures = images.map(|image| ctx.load_texture("comparison", image, egui::TextureOptions::NEAREST));
            state.compared = Some(Compared { key, overlap, textures });
        }
        // What is wrong with a question stands beside it.
        match jobs.asking.take() {
            Some(Ok(Ok((path, sql, grid)))) => {
                state.answer = Some(Answer { path, sql, grid: Arc::new(grid) });
                state.answer_error = None;
            }
            Some(Ok(Err(Error::Cancelled))) => state.answer_error = Some("Cancelled.".to_owned()),
            Some(Ok(Err(error))) => state.answer_error = Some(error.to_string()),
            Some(Err(message)) => notices.wrong(message),
            None => {}
        }
        take_saved(&mut jobs.saving, &mut state.save, notices);
        if let Some(sources) = notices.take(&mut jobs.finding) {
            self.take_sources(sources, ctx);
        }
    }

    fn make_group_table(&mut self) {
        let state = &mut self.sparsity.state;
        let Some(analysis) = state.analysis().cloned() else {
            state.group_table = None;
            return;
        };
        let (number, sort) = (state.number(), state.sort);
        if state.group_table.as_ref().is_some_and(|table| (table.analysis, table.sort) == (number, sort)) {
            return;
        }
        let (table, groups) = work::group_table(&analysis, sort);
        state.group_table = Some(GroupTable { analysis: number, sort, grid: Arc::new(Grid::new(table)), groups });
    }

    /// Orders the lines and draws the part of the spy plot that is wanted, each once.
    fn order_and_draw(&mut self, ctx: &egui::Context) {
        let (state, jobs) = (&mut self.sparsity.state, &mut self.sparsity.jobs);
        let Some(analysis) = state.analysis().cloned() else { return };
        let Some(key) = state.order_key() else { return };
        if state.spy.ordered.as_ref().is_none_or(|ordered| ordered.key != key) {
            // Each order is asked for once; another one that is being made is no longer wanted.
            if state.spy.ordering != Some(key) {
                state.spy.ordering = Some(key);
                let group =
                    key.group.and_then(|group| analysis.groups.get(group)).map(|group| group.group.columns.clone());
                jobs.ordering
                    .start(ctx, "order", move |monitor| work::order(&analysis.mask, group.as_deref(), key, monitor));
            }
            return;
        }
        let Some(ordered) = state.spy.ordered.clone() else { return };
        if let Some(wanted) = state.spy.wanted.filter(|wanted| wanted.order == key)
            && state.spy.drawn.as_ref().is_none_or(|drawn| drawn.key != wanted)
            && state.spy.drawing != Some(wanted)
            && !jobs.drawing.is_busy()
        {
            state.spy.drawing = Some(wanted);
            jobs.drawing.start(ctx, "draw", move |_| work::draw(&ordered, wanted));
        }
    }

    fn compare_methods(&mut self, ctx: &egui::Context) {
        let (state, jobs) = (&mut self.sparsity.state, &mut self.sparsity.jobs);
        let Some(wanted) = state.compare_wanted.filter(|_| state.tab == Tab::Compare) else { return };
        let is_there = state.compared.as_ref().is_some_and(|compared| compared.key == wanted);
        if is_there || jobs.comparing.is_busy() || state.comparing == Some(wanted) {
            return;
        }
        state.comparing = Some(wanted);
        let Some((left, right)) = pair(state) else { return };
        jobs.comparing.start(ctx, "compare", move |_| work::compare(&left, &right, wanted));
    }
}

fn take_events(events: &Receiver<Event>, state: &mut State, notices: &mut Notices) {
    while let Ok(event) = events.try_recv() {
        match event {
            Event::Started(index) => state.items[index].status = Status::Working,
            Event::Done(index, analysis) => {
                state.items[index].status = Status::Done(analysis);
                state.numbers[index] = state.next_number;
                state.next_number += 1;
            }
            Event::Failed(index, why) => {
                state.items[index].status = Status::Failed(why.clone());
                notices.wrong(why);
            }
        }
    }
}

/// The analysis that is looked at and its counterpart, by method.
pub fn pair(
    state: &State,
) -> Option<(Arc<crate::compute::sparsity::analysis::Analysis>, Arc<crate::compute::sparsity::analysis::Analysis>)> {
    let own = state.analysis()?.clone();
    let other = state.items[state.counterpart()?].analysis()?.clone();
    let place = |method: &Option<String>| METHODS.iter().position(|known| method.as_deref() == Some(known));
    if place(&own.identity.method) <= place(&other.identity.method) { Some((own, other)) } else { Some((other, own)) }
}

/// What is to be written, taken from the state; drawn or asked on a worker.
fn content_of(state: &State, what: Save, canvas: Canvas) -> Option<Content> {
    if what == Save::Answer {
        // All of the answer that is shown, not only the rows that are.
        let Answer { path, sql, .. } = state.answer.clone()?;
        return Some(Content::Table(Box::new(move || {
            let monitor = crate::job::Monitor::new();
            crate::compute::sparsity::store::Database::read(&path)?.ask(&sql, None, &monitor)
        })));
    }
    if what == Save::MatrixTable {
        let analyses: Vec<_> = state.items.iter().filter_map(Item::analysis).cloned().collect();
        return Some(Content::Table(Box::new(move || Ok(work::matrix_table(&analyses)))));
    }
    let analysis = state.analysis()?.clone();
    let group = state.group;
    let sort = state.sort;
    Some(match what {
        Save::GroupTable => Content::Table(Box::new(move || Ok(work::group_table(&analysis, sort).0))),
        Save::Groups => {
            let marked = group.and_then(|group| analysis.by_mean_distance().iter().position(|&other| other == group));
            Content::Scene(Box::new(move || groups_page(&analysis, marked, canvas)))
        }
        Save::Distances => Content::Scene(Box::new(move || match group {
            Some(group) => Distances::of_group(&analysis, &analysis.groups[group], canvas.look).scene(canvas),
            None => Distances::of_matrix(&analysis, canvas.look).scene(canvas),
        })),
        Save::Comparison => {
            let (left, right) = pair(state)?;
            Content::Scene(Box::new(move || {
                let distances = super::compare::distances(&left, &right, canvas.look);
                comparison_scene(&left, &right, &distances, canvas)
            }))
        }
        Save::Spy => {
            // Only what is on screen: another order may still be being made.
            let ordered = state.spy.ordered.clone().filter(|ordered| Some(ordered.key) == state.order_key())?;
            let window =
                state.spy.window.unwrap_or_else(|| Window::whole(ordered.by_row.count(), ordered.by_row.length()));
            let words = super::spy::words(state, &ordered)?;
            Content::Scene(Box::new(move || spy_scene(&ordered.by_row, window, &words, canvas)))
        }
        Save::Answer | Save::MatrixTable => return None,
    })
}
