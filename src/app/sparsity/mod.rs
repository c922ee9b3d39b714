//! The sparsity view: matrices at the left, their pictures in the middle, what they mean at the right.

mod actions;
mod charts;
mod command;
mod compare;
mod data_panel;
mod database;
mod inspector;
mod spy;
mod state;
mod work;

use std::path::{Path, PathBuf};

use egui::{Align, Layout, Panel, RichText};

pub use command::SparsityCommand;
pub use state::Tab;
use state::{Save, State};
pub use work::Jobs;

use super::App;
use super::command::{Command, Pick};
use super::save_dialog::{Answer, Wording, ask};
use super::state::Page;
use crate::compute::demo;
use crate::compute::scores::MANIFEST_NAME;
use crate::compute::sparsity::sources::has_known_ending;

/// The view's state and work.
pub struct Sparsity {
    pub(super) state: State,
    pub jobs: Jobs,
}

impl Default for Sparsity {
    fn default() -> Self {
        Self::new()
    }
}

impl Sparsity {
    pub fn new() -> Self {
        Self { state: State::new(), jobs: Jobs::new() }
    }

    pub fn is_asking(&self) -> bool {
        self.state.save.is_some()
    }

    pub fn set_database(&mut self, path: &Path) {
        self.state.form.database = path.to_string_lossy().into_owned();
    }

    /// Puts `path` into the dialog that asks where a file goes.
    pub fn set_save_path(&mut self, path: &Path) {
        if let Some(save) = &mut self.state.save {
            save.path = path.to_string_lossy().into_owned();
        }
    }

    /// Where a file dialog begins.
    pub fn near_path(&self, pick: Pick) -> &str {
        match (&self.state.save, pick) {
            (Some(save), Pick::SparsityPlace) => &save.path,
            (_, Pick::Database) => &self.state.form.database,
            _ => self.state.form.paths.lines().next().unwrap_or_default(),
        }
    }

    /// In short, what the title says of what is shown.
    pub fn title(&self) -> (String, String) {
        match self.state.form.paths.lines().next() {
            Some(_) if self.state.is_demo => {
                (demo::ABOUT_MATRICES.to_owned(), "Choose your own matrices at the left".to_owned())
            }
            Some(path) => (path.to_owned(), "Where the matrices are from".to_owned()),
            None => (String::new(), String::new()),
        }
    }

    /// For tests: matrices found, those analysed, and those that failed.
    pub fn counts(&self) -> (usize, usize, usize) {
        let items = &self.state.items;
        let done = items.iter().filter(|item| item.analysis().is_some()).count();
        let failed = items.iter().filter(|item| matches!(item.status, state::Status::Failed(_))).count();
        (items.len(), done, failed)
    }

    /// For tests: the matrix and the group that are looked at.
    pub fn current(&self) -> (Option<usize>, Option<usize>) {
        (self.state.current, self.state.group)
    }

    /// For tests: rows and columns in view of the spy plot: top, bottom, left, right.
    pub fn spy_window(&self) -> Option<(f64, f64, f64, f64)> {
        self.state.spy.window.map(|window| (window.top, window.bottom, window.left, window.right))
    }
}

/// Whether what is dropped on the window belongs to this view.
pub fn is_for_it(path: &Path, page: Page) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
    if path.is_dir() {
        return !path.join(MANIFEST_NAME).exists() && (page == Page::Sparsity || holds_matrices(path, 2));
    }
    match ending.as_str() {
        "npy" => page == Page::Sparsity,
        "db" | "duckdb" => true,
        _ => has_known_ending(path),
    }
}

/// Whether there is a matrix in a folder or those in it, as far as a short look tells.
fn holds_matrices(folder: &Path, depth: usize) -> bool {
    const MOST: usize = 100;
    let Ok(inside) = std::fs::read_dir(folder) else { return false };
    inside.take(MOST).flatten().map(|entry| entry.path()).any(|path| {
        let is_matrix = has_known_ending(&path) && path.is_file();
        is_matrix || (depth > 1 && path.is_dir() && holds_matrices(&path, depth - 1))
    })
}

/// Paths as they are typed: one a line.
fn paths_of(text: &str) -> Vec<PathBuf> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(PathBuf::from).collect()
}

pub fn show(app: &mut App, ui: &mut egui::Ui) {
    Panel::left("sparsity data").frame(app.theme.panel()).exact_size(308.0).resizable(false).show(ui, |ui| {
        data_panel::show(app, ui);
    });
    Panel::right("sparsity inspector")
        .frame(app.theme.panel())
        .default_size(330.0)
        .size_range(280.0..=520.0)
        .show(ui, |ui| inspector::show(app, ui));
    let page = egui::Frame::new().fill(app.theme.paper).inner_margin(egui::Margin::same(12));
    egui::CentralPanel::default().frame(page).show(ui, |ui| {
        tabs(app, ui);
        ui.add_space(4.0);
        if app.sparsity.state.tab == Tab::Database {
            database::show(app, ui);
        } else if app.sparsity.state.analysis().is_none() {
            empty(app, ui);
        } else {
            match app.sparsity.state.tab {
                Tab::Matrix => spy::show(app, ui),
                Tab::Distances => charts::distances(app, ui),
                Tab::Groups => charts::groups(app, ui),
                Tab::Compare => compare::show(app, ui),
                Tab::Database => {}
            }
        }
    });
    save_dialog(app, ui);
}

fn tabs(app: &mut App, ui: &mut egui::Ui) {
    ui.horizontal(|ui| {
        for (tab, name, hint) in [
            (Tab::Matrix, "Spy plot", "Which weights are not zero"),
            (Tab::Distances, "Distances", "How far features are apart, and what chance alone would give"),
            (Tab::Groups, "Groups", "Alike features: what their rows are like"),
            (Tab::Compare, "Compare", "The same matrix pruned in two ways"),
            (Tab::Database, "SQL", "Ask the database of results"),
        ] {
            if ui.selectable_label(app.sparsity.state.tab == tab, name).on_hover_text(hint).clicked() {
                app.commands.push(Command::Sparsity(SparsityCommand::ShowTab(tab)));
            }
        }
        let can_save = app.sparsity.state.analysis().is_some() && app.sparsity.state.tab != Tab::Database;
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let save = ui.add_enabled(can_save, egui::Button::new("Save picture…"));
            let save = save.on_disabled_hover_text("Analyse a matrix first");
            if save.on_hover_text("Save this picture as PNG or SVG (Ctrl+S)").clicked() {
                app.commands.push(Command::Sparsity(SparsityCommand::AskSavePicture));
            }
        });
    });
}

/// Nothing is analysed yet: says what comes next.
fn empty(app: &mut App, ui: &mut egui::Ui) {
    let state = &app.sparsity.state;
    let ink = app.theme.ink_soft;
    let status = state.current.and_then(|index| state.items.get(index)).map(|item| &item.status);
    ui.with_layout(Layout::top_down(Align::Center), |ui| {
        ui.add_space(ui.available_height() * 0.34);
        if let Some(state::Status::Failed(why)) = status {
            ui.label(RichText::new("This matrix could not be analysed").heading());
            ui.add(egui::Label::new(RichText::new(why).color(app.theme.wrong)).wrap().selectable(true));
            return;
        }
        if app.sparsity.jobs.is_working() {
            ui.label(RichText::new("Comparing features…").heading().color(ink));
            return;
        }
        ui.label(RichText::new("How alike are the features of pruned matrices?").heading());
        let text = if state.items.is_empty() {
            "Choose a folder or files (.pt, .safetensors, .npy) at the left, or drop them here, and press Analyse."
        } else {
            "Press Analyse at the left."
        };
        ui.label(RichText::new(text).color(ink));
        ui.add_space(8.0);
        if state.items.is_empty() && ui.button("Try it with demo matrices").clicked() {
            app.commands.push(Command::Sparsity(SparsityCommand::OpenDemo));
        }
    });
}

fn save_dialog(app: &mut App, ui: &mut egui::Ui) {
    let Some(save) = &mut app.sparsity.state.save else { return };
    let (title, is_table) = match save.what {
        Save::Spy => ("Save spy plot", false),
        Save::Distances => ("Save distances", false),
        Save::Groups => ("Save charts of the groups", false),
        Save::Comparison => ("Save comparison", false),
        Save::GroupTable => ("Save the table of groups", true),
        Save::MatrixTable => ("Save the table of matrices", true),
        Save::Answer => ("Save the answer", true),
    };
    let wording = if is_table {
        Wording { title, hint: "CSV with a header line".to_owned(), endings: &[] }
    } else {
        Wording { title, hint: "PNG, or SVG if the name ends in .svg".to_owned(), endings: &["png", "svg"] }
    };
    match ask(ui, &app.theme, save, &wording) {
        Some(Answer::Choose) => app.commands.push(Command::Pick(Pick::SparsityPlace)),
        Some(Answer::Save) => app.commands.push(Command::Sparsity(SparsityCommand::SaveAsAsked)),
        Some(Answer::Close) => app.sparsity.state.save = None,
        None => {}
    }
}
