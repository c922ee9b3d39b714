//! The index lab: the question and the indexes at the left, recall against speed in the middle, at the right what a
//! contestant lost.

mod actions;
mod chart;
mod command;
mod data_panel;
mod group;
mod inspector;
mod scores;
mod state;
mod studies;
mod work;

use egui::{Align, Layout, Panel, RichText};

pub use command::LabCommand;
use state::State;
pub use state::{Part, Tab};
pub use studies::{STUDIES, Study, StudyCommand};
use work::Jobs;

use super::App;
use super::command::{Command, Pick};
use super::grid::Clicked;
use super::save_dialog::{Answer, Wording, ask};

/// The view's state and work.
pub struct Lab {
    state: State,
    pub(super) jobs: Jobs,
}

impl Default for Lab {
    fn default() -> Self {
        Self { state: State::default(), jobs: Jobs::new() }
    }
}

impl Lab {
    pub fn is_asking(&self) -> bool {
        self.state.save.is_some() || self.state.range.is_some()
    }

    /// In short, what the title says of what is shown.
    pub fn title(&self) -> (String, String) {
        let folder = self.state.opened.as_ref().map(|opened| opened.folder.display().to_string());
        (folder.unwrap_or_default(), "The session that is shown".to_owned())
    }

    /// Where a file dialog begins.
    pub fn near_path(&self, pick: Pick) -> &str {
        match (pick, &self.state.save) {
            (Pick::LabPlace, Some(save)) => &save.path,
            (Pick::LabFolder, _) => &self.state.form.folder,
            _ => &self.state.form.docs,
        }
    }

    /// Whether docs were chosen, and queries were not.
    pub fn wants_queries(&self) -> bool {
        !self.state.form.docs.is_empty() && self.state.form.queries.is_empty()
    }

    /// Takes a path that a dialog gave.
    pub fn accept(&mut self, pick: Pick, path: &std::path::Path) {
        let text = path.to_string_lossy().into_owned();
        match pick {
            Pick::LabDocs => self.state.form.docs = text,
            Pick::LabQueries => self.state.form.queries = text,
            Pick::LabFolder => self.state.form.folder = text,
            _ => {
                if let Some(save) = &mut self.state.save {
                    save.path = text;
                }
            }
        }
    }

    /// For tests: queries of the group, rows of the study's table, and texts of the list that were read.
    pub fn study_counts(&self) -> (Option<usize>, Option<usize>, usize) {
        let studies = &self.state.studies;
        let rows = studies.finding().map(|found| found.finding.table.rows.len());
        let texts = studies.listed.as_ref().map_or(0, |listed| listed.texts.values().map(Vec::len).sum());
        (self.state.group.as_ref().map(|group| group.queries.len()), rows, texts)
    }

    /// For tests: contestants that are shown, and the neighbours told of the query that is looked at: exact and found.
    pub fn counts(&self) -> (usize, Option<(usize, usize)>) {
        let told = self.state.told.as_ref().map(|told| (told.exact.len(), told.found.len()));
        (self.state.opened.as_ref().map_or(0, |opened| opened.lines.len()), told)
    }
}

pub fn show(app: &mut App, ui: &mut egui::Ui) {
    Panel::left("lab data").frame(app.theme.panel()).exact_size(308.0).resizable(false).show(ui, |ui| {
        // Always in sight, however low the window is.
        Panel::bottom("lab start").frame(egui::Frame::new()).show(ui, |ui| data_panel::start(app, ui));
        egui::ScrollArea::vertical().show(ui, |ui| data_panel::show(app, ui));
    });
    Panel::right("lab inspector")
        .frame(app.theme.panel())
        .default_size(360.0)
        .size_range(300.0..=620.0)
        .show(ui, |ui| inspector::show(app, ui));
    let page = egui::Frame::new().fill(app.theme.paper).inner_margin(egui::Margin::same(12));
    egui::CentralPanel::default().frame(page).show(ui, |ui| {
        if app.lab.state.opened.is_none() {
            empty(app, ui);
            return;
        }
        // The fields of a study stand above its picture.
        let share = if app.lab.state.tab == Tab::Studies { 0.63 } else { 0.56 };
        let height = (ui.available_height() * share - 36.0).max(260.0);
        tabs(app, ui);
        group::chip(app, ui);
        ui.allocate_ui(egui::vec2(ui.available_width(), height), |ui| {
            // The table below stays where it is, however little there is to show.
            ui.set_min_height(height);
            match app.lab.state.tab {
                Tab::Speed => chart::show(app, ui),
                Tab::Scores => scores::show(app, ui),
                Tab::Studies => studies::show(app, ui),
            }
        });
        ui.separator();
        table(app, ui);
    });
    group::range_dialog(app, ui);
    save_dialog(app, ui);
}

/// What stands in the middle, and what of it can be saved.
fn tabs(app: &mut App, ui: &mut egui::Ui) {
    ui.horizontal(|ui| {
        for (tab, name) in [(Tab::Speed, "Recall and speed"), (Tab::Scores, "Scores"), (Tab::Studies, "Studies")] {
            if ui.selectable_label(app.lab.state.tab == tab, name).clicked() {
                app.commands.push(Command::Lab(LabCommand::ShowTab(tab)));
            }
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let (part, name, hint) = match app.lab.state.tab {
                Tab::Speed => (Part::Speed, "Save chart…", "As PNG or SVG"),
                Tab::Scores => (Part::Scores, "Save scores…", "As PNG, SVG, CSV, or all frames as a video"),
                Tab::Studies => {
                    let Some(found) = app.lab.state.studies.finding().cloned() else { return };
                    ui.menu_button("Save study", |ui| {
                        let picture = (Part::StudyPicture, "Picture…", !found.finding.pictures.is_empty());
                        let more = found.finding.more.as_ref().map(|more| format!("Table of {}…", more.name));
                        let more = more.as_deref().map(|name| (Part::StudyMore, name, true));
                        let others = [(Part::StudyTable, "Table…", true), (Part::StudyNotes, "Notes…", true)];
                        for (part, name, has_it) in [picture].into_iter().chain(others).chain(more) {
                            if ui.add_enabled(has_it, egui::Button::new(name)).clicked() {
                                app.commands.push(Command::Lab(LabCommand::AskSave(part)));
                                ui.close();
                            }
                        }
                    });
                    return;
                }
            };
            if ui.button(name).on_hover_text(hint).clicked() {
                app.commands.push(Command::Lab(LabCommand::AskSave(part)));
            }
        });
    });
}

/// The contestants, or what a study found, row by row.
fn table(app: &mut App, ui: &mut egui::Ui) {
    let state = &app.lab.state;
    let found = state.studies.finding().filter(|_| state.tab == Tab::Studies).cloned();
    let shows_contestants = found.is_none() || state.studies.shows_contestants;
    let mut send = |command| app.commands.push(Command::Lab(command));
    ui.horizontal(|ui| {
        match &found {
            None => super::fields::heading(ui, &app.theme, "CONTESTANTS"),
            Some(_) => {
                let study = state.studies.study().name;
                for (name, shows, hint) in [
                    (study, false, "Every figure of the study: click a row to see its queries and docs"),
                    ("contestants", true, "To choose another contestant"),
                ] {
                    let name = format!("Table of {name}");
                    if ui.selectable_label(shows_contestants == shows, name).on_hover_text(hint).clicked() {
                        send(LabCommand::Study(StudyCommand::ShowContestants(shows)));
                    }
                }
            }
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let (part, hint) = match shows_contestants {
                true => (Part::Table, "Every measure as CSV (Ctrl+S)"),
                false => (Part::StudyTable, "Every figure as CSV"),
            };
            if ui.button("Save table…").on_hover_text(hint).clicked() {
                send(LabCommand::AskSave(part));
            }
        });
    });
    if let Some(found) = found.filter(|_| !shows_contestants) {
        let order = state.studies.order();
        let grid = order.map_or(&found.grid, |sorted| &sorted.grid);
        let place = |row: usize| match order {
            Some(sorted) => sorted.order.iter().position(|&other| other == row),
            None => Some(row),
        };
        let selected = state.studies.row.and_then(place);
        // Sorted by none of the columns, as it was found.
        let by = order.map_or((usize::MAX, true), |sorted| sorted.by);
        match grid.show(ui, &app.theme, &format!("table of {}", found.study), selected, Some(by), "row") {
            Some(Clicked::Row(row)) => {
                let row = order.map_or(row, |sorted| sorted.order[row]);
                send(LabCommand::Study(StudyCommand::LookAtRow(row)));
            }
            Some(Clicked::Column(column)) => send(LabCommand::Study(StudyCommand::SortBy(column))),
            None => {}
        }
        return;
    }
    let clicked = state.grid.show(ui, &app.theme, "lab table", state.current, None, "contestant");
    if let Some(Clicked::Row(row)) = clicked {
        send(LabCommand::LookAt(row));
    }
}

fn save_dialog(app: &mut App, ui: &egui::Ui) {
    let Some(save) = &mut app.lab.state.save else { return };
    let (title, hint, _, endings) = save.what.words();
    let wording = Wording { title, hint: hint.to_owned(), endings: if endings.len() > 1 { endings } else { &[] } };
    match ask(ui, &app.theme, save, &wording) {
        Some(Answer::Choose) => app.commands.push(Command::Pick(Pick::LabPlace)),
        Some(Answer::Save) => app.commands.push(Command::Lab(LabCommand::SaveAsAsked)),
        Some(Answer::Close) => app.lab.state.save = None,
        None => {}
    }
}

/// Nothing is open yet: says what comes next.
fn empty(app: &mut App, ui: &mut egui::Ui) {
    ui.with_layout(Layout::top_down(Align::Center), |ui| {
        ui.add_space(ui.available_height() * 0.36);
        if app.lab.jobs.running.is_busy() {
            ui.label(RichText::new("Running indexes…").heading().color(app.theme.ink_soft));
            return;
        }
        ui.label(RichText::new("What does approximate search lose?").heading());
        let text = "Choose docs and queries at the left, name some indexes, and press Run.";
        ui.label(RichText::new(text).color(app.theme.ink_soft));
        ui.add_space(8.0);
        if ui.button("Fill in the demo data").clicked() {
            app.commands.push(Command::Lab(LabCommand::FillDemo));
        }
    });
}
