//! The command palette: type a part of a command's name, press Enter.

use egui::{Key, RichText};

use super::command::{Command, palette};
use super::theme::Theme;

/// Shows the palette while `filter` is set; closes it when a command was chosen or Esc was pressed.
pub fn show(filter: &mut Option<String>, ui: &egui::Ui, theme: &Theme, commands: &mut Vec<Command>) {
    let Some(text) = filter else { return };
    let mut chosen = None;
    let modal = egui::Modal::new(egui::Id::unique("palette")).frame(theme.floating()).show(ui.ctx(), |ui| {
        ui.set_width(420.0);
        let field = ui.add(egui::TextEdit::singleline(text).hint_text("Type a command").desired_width(f32::INFINITY));
        field.widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, "Command"));
        field.request_focus();
        let wanted = text.to_lowercase();
        let matching: Vec<_> =
            palette().into_iter().filter(|(name, _, _)| name.to_lowercase().contains(&wanted)).collect();
        if ui.input(|input| input.key_pressed(Key::Enter)) {
            chosen = matching.first().map(|(_, _, command)| command.clone());
        }
        egui::ScrollArea::vertical().max_height(360.0).show(ui, |ui| {
            for (name, shortcut, command) in matching {
                let row = egui::Button::new(name)
                    .shortcut_text(RichText::new(shortcut).color(theme.ink_soft))
                    .min_size(egui::vec2(ui.available_width(), 0.0))
                    .frame(false);
                if ui.add(row).clicked() {
                    chosen = Some(command);
                }
            }
        });
    });
    if let Some(command) = chosen {
        commands.push(command);
        *filter = None;
    } else if modal.should_close() {
        *filter = None;
    }
}
