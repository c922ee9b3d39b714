//! Where a file goes.

use egui::RichText;

use super::super::App;
use super::super::command::{Command, Pick};
use super::super::theme;
use super::UniquenessCommand;
use super::data_panel::edit;
use super::state::Save;
use super::work::dropped_beside;

pub fn show(app: &mut App, ui: &mut egui::Ui) {
    let Some(save) = &mut app.uniqueness.state.save else { return };
    let (theme, commands) = (&app.theme, &mut app.commands);
    let mut close = false;
    let modal = egui::Modal::new(egui::Id::unique("save uniqueness")).frame(theme.floating()).show(ui.ctx(), |ui| {
        ui.set_width(560.0);
        let (title, hint) = match save.what {
            Save::Scores => ("Save scores", "JSONL: an id and a score on every line".to_owned()),
            Save::Lists => {
                let dropped = dropped_beside(std::path::Path::new(save.path.trim()));
                ("Save kept and dropped samples", format!("Dropped samples go to {}", dropped.display()))
            }
            Save::Plot => ("Save plot", "PNG, or SVG if the name ends in .svg".to_owned()),
            Save::Selection => {
                ("Save selection", "The rules and what they were made for, to be opened again".to_owned())
            }
        };
        ui.label(RichText::new(title).heading());
        ui.horizontal(|ui| {
            edit(ui, "File", "", &mut save.path, 450.0);
            if ui.button("Choose…").clicked() {
                commands.push(Command::Pick(Pick::UniquenessPlace));
            }
        });
        let endings: &[&str] = match save.what {
            Save::Lists => &["jsonl", "csv"],
            Save::Plot => &["png", "svg"],
            Save::Scores | Save::Selection => &[],
        };
        if !endings.is_empty() {
            ui.horizontal(|ui| {
                ui.label("As");
                let path = std::path::PathBuf::from(save.path.trim());
                let now = path.extension().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
                for &ending in endings {
                    if ui.selectable_label(now == ending, ending.to_uppercase()).clicked() {
                        save.path = path.with_extension(ending).to_string_lossy().into_owned();
                    }
                }
            });
        }
        ui.add(egui::Label::new(RichText::new(hint).small().color(theme.ink_soft)).wrap());
        let is_there = save.found_at.as_ref() == Some(&save.path);
        if is_there {
            let text = "There is a file of this name. Choose another one, or replace it.";
            ui.add(egui::Label::new(RichText::new(text).color(theme.attention)).wrap());
        }
        let can_save = !save.path.trim().is_empty();
        ui.horizontal(|ui| {
            let button = egui::Button::new(
                RichText::new(if is_there { "Replace" } else { "Save" }).family(theme::medium()).color(theme.paper),
            )
            .fill(theme.exact);
            if ui.add_enabled(can_save, button).clicked() {
                commands.push(Command::Uniqueness(UniquenessCommand::SaveAsAsked));
            }
            if ui.button("Close").clicked() {
                close = true;
            }
        });
    });
    if close || modal.should_close() {
        app.uniqueness.state.save = None;
    }
}
