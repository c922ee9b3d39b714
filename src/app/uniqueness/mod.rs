//! The uniqueness view: embeddings at the left, the scores and their samples in the middle, what a sample is
//! and which are kept at the right.

mod actions;
mod chart;
mod command;
mod data_panel;
mod inspector;
mod save_dialog;
mod state;
mod table;
mod thinning;
mod work;

use egui::{Align, Layout, Panel, RichText};

pub use command::UniquenessCommand;
pub use state::Save;
use state::{Form, State};
pub use table::strong;
pub use work::Jobs;

use super::App;
use super::command::Command;
use crate::compute::figures::{counted, percent};

/// The view's state and work.
pub struct Uniqueness {
    pub(super) state: State,
    pub jobs: Jobs,
    /// The form that was looked at last, and the one that waits, since when.
    looked_at: Option<Form>,
    waiting: Option<(Form, f64)>,
}

impl Uniqueness {
    pub fn new(bins: usize) -> Self {
        Self { state: State::new(bins), jobs: Jobs::new(), looked_at: None, waiting: None }
    }

    pub fn set_embeddings(&mut self, path: &std::path::Path) {
        self.state.form.embeddings = path.to_string_lossy().into_owned();
    }

    pub fn set_dataset(&mut self, path: &std::path::Path) {
        self.state.form.dataset = path.to_string_lossy().into_owned();
    }

    /// Puts `path` into the dialog that asks where a file goes.
    pub fn set_save_path(&mut self, path: &std::path::Path) {
        if let Some(save) = &mut self.state.save {
            save.path = path.to_string_lossy().into_owned();
        }
    }

    /// Where a file dialog begins.
    pub fn near_path(&self) -> &str {
        match &self.state.save {
            Some(save) => &save.path,
            None => &self.state.form.embeddings,
        }
    }

    pub fn is_asking(&self) -> bool {
        self.state.save.is_some()
    }

    /// In short, what the title says of what is shown.
    pub fn title(&self) -> (String, String) {
        match &self.state.found {
            Some(found) if found.is_demo => (
                "Demo: 5,000 dictionary definitions from WordNet, as 384-d sentence embeddings".to_owned(),
                "Choose your own embeddings at the left".to_owned(),
            ),
            Some(found) => (found.embeddings.path().display().to_string(), "The embeddings that are shown".to_owned()),
            None => (String::new(), String::new()),
        }
    }

    /// For tests: samples, kept samples and sets of near-duplicates, once they are known.
    pub fn counts(&self) -> Option<(usize, usize, usize)> {
        let (found, selected) = (self.state.found.as_ref()?, self.state.selected.as_ref()?);
        Some((found.samples(), selected.kept, selected.sets.len()))
    }

    /// For tests: the sample that is looked at.
    pub fn current(&self) -> Option<u32> {
        self.state.current
    }
}

pub fn show(app: &mut App, ui: &mut egui::Ui) {
    Panel::left("uniqueness data").frame(app.theme.panel()).exact_size(308.0).resizable(false).show(ui, |ui| {
        egui::ScrollArea::vertical().show(ui, |ui| data_panel::show(app, ui));
    });
    Panel::right("uniqueness inspector")
        .frame(app.theme.panel())
        .default_size(340.0)
        .size_range(280.0..=520.0)
        .show(ui, |ui| inspector::show(app, ui));
    let page = egui::Frame::new().fill(app.theme.paper).inner_margin(egui::Margin::same(12));
    egui::CentralPanel::default().frame(page).show(ui, |ui| {
        if app.uniqueness.state.found.is_none() {
            empty(app, ui);
            return;
        }
        let height = (ui.available_height() * 0.52).max(260.0);
        ui.allocate_ui(egui::vec2(ui.available_width(), height), |ui| chart::show(app, ui));
        ui.separator();
        table::show(app, ui);
    });
    save_dialog::show(app, ui);
}

/// Nothing is open yet: says what comes next.
fn empty(app: &mut App, ui: &mut egui::Ui) {
    ui.with_layout(Layout::top_down(Align::Center), |ui| {
        ui.add_space(ui.available_height() * 0.36);
        if app.uniqueness.jobs.scoring.is_busy() {
            ui.label(RichText::new("Finding the nearest others of every sample…").heading().color(app.theme.ink_soft));
            return;
        }
        ui.label(RichText::new("How unique is each sample?").heading());
        let text = "Choose embeddings at the left, or drop a .npy and its .jsonl dataset here, and press Score.";
        ui.label(RichText::new(text).color(app.theme.ink_soft));
        ui.add_space(8.0);
        if ui.button("Try it with the demo data").clicked() {
            app.commands.push(Command::Uniqueness(UniquenessCommand::OpenDemo));
        }
    });
}

/// "1,204 samples (3.1 %)".
fn share(part: usize, all: usize) -> String {
    format!("{} ({})", counted(part, "sample", "samples"), percent(part, all))
}
