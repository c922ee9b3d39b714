//! Where an export goes, and how large and fast it is.

use egui::{RichText, TextEdit};

use super::super::App;
use super::super::command::{Command, Pick};
use super::super::state::ExportKind;
use super::super::theme;
use crate::video::{FrameRate, FrameSize};

pub fn show(app: &mut App, ui: &mut egui::Ui) {
    let Some(dialog) = &mut app.session.export_dialog else { return };
    let (theme, commands) = (&app.theme, &mut app.commands);
    let mut close = false;
    let modal = egui::Modal::new(egui::Id::unique("export")).frame(theme.floating()).show(ui.ctx(), |ui| {
        ui.set_width(520.0);
        let title = if dialog.what == ExportKind::Video { "Export video as" } else { "Save frame as PNG" };
        ui.label(RichText::new(title).heading());
        ui.horizontal(|ui| {
            let edit = TextEdit::singleline(&mut dialog.path).desired_width(420.0);
            let response = ui.add(edit);
            response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, "File"));
            if ui.button("Choose…").clicked() {
                commands.push(Command::Pick(Pick::ExportPlace));
            }
        });
        let mut wrong = dialog.path.trim().is_empty().then(|| "file: expected a path, found nothing".to_owned());
        ui.horizontal(|ui| {
            ui.label("Size");
            let response = ui.add(TextEdit::singleline(&mut dialog.size).desired_width(110.0));
            response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, "Size"));
            wrong = wrong.take().or(dialog.size.parse::<FrameSize>().err().map(|error| error.to_string()));
            if dialog.what == ExportKind::Video {
                ui.label("Frames per second");
                let response = ui.add(TextEdit::singleline(&mut dialog.fps).desired_width(80.0));
                response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, "Frames per second"));
                wrong = wrong.take().or(dialog.fps.parse::<FrameRate>().err().map(|error| error.to_string()));
            }
        });
        if dialog.what == ExportKind::Video {
            ui.checkbox(&mut dialog.with_frames, "Also write every frame as frame_0000.png …");
        }
        if let Some(text) = &wrong {
            ui.add(egui::Label::new(RichText::new(text).color(theme.wrong)).wrap());
        }
        ui.horizontal(|ui| {
            let name = if dialog.what == ExportKind::Video { "Export" } else { "Save" };
            let button =
                egui::Button::new(RichText::new(name).family(theme::medium()).color(theme.paper)).fill(theme.exact);
            if ui.add_enabled(wrong.is_none(), button).clicked() {
                commands.push(Command::ExportAsAsked);
            }
            if ui.button("Close").clicked() {
                close = true;
            }
        });
    });
    if close || modal.should_close() {
        app.session.export_dialog = None;
    }
}
