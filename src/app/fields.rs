//! Form fields of all views: a name, then what is typed or chosen.

use egui::{RichText, TextEdit};

use super::command::{Command, Pick};
use super::theme::{self, Theme};

/// A small heading of a part of a panel.
pub fn heading(ui: &mut egui::Ui, theme: &Theme, text: &str) {
    ui.label(RichText::new(text).small().family(theme::medium()).color(theme.ink_soft));
}

/// A field for a path, with a button that asks for it.
pub fn path_field(
    ui: &mut egui::Ui,
    commands: &mut Vec<Command>,
    name: &str,
    hint: &str,
    text: &mut String,
    pick: Pick,
) {
    ui.horizontal(|ui| {
        ui.label(name);
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            let hint = format!("Choose {}", name.to_lowercase());
            if ui.button(RichText::new("Choose…").small()).on_hover_text(hint).clicked() {
                commands.push(Command::Pick(pick));
            }
        });
    });
    let response = edit(ui, name, hint, text, f32::INFINITY);
    if !text.is_empty() {
        response.on_hover_text(text.as_str());
    }
}

/// A short field beside its name.
pub fn field(ui: &mut egui::Ui, name: &str, hint: &str, text: &mut String, explain: &str) {
    ui.horizontal(|ui| {
        label(ui, name, explain);
        edit(ui, name, hint, text, f32::INFINITY);
    });
}

/// The name of a field; fields of all rows begin at one line.
pub fn label(ui: &mut egui::Ui, name: &str, explain: &str) {
    let width = egui::vec2(92.0, 28.0);
    let label = ui.allocate_ui_with_layout(width, egui::Layout::left_to_right(egui::Align::Center), |ui| {
        ui.set_min_width(width.x);
        ui.label(name)
    });
    label.inner.on_hover_text(explain);
}

/// A text field with a name of its own.
pub fn edit(ui: &mut egui::Ui, name: &str, hint: &str, text: &mut String, width: f32) -> egui::Response {
    let hint = RichText::new(hint).color(ui.visuals().weak_text_color());
    let edit = TextEdit::singleline(text).id(egui::Id::unique(("field", name))).hint_text(hint).desired_width(width);
    let response = ui.add(edit);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, name));
    response
}
