//! What goes in: embeddings, their dataset, k and distance, and the button that starts it.

use egui::{RichText, TextEdit};

use super::super::App;
use super::super::command::{Command, Pick};
use super::super::theme;
use super::{UniquenessCommand, heading};
use crate::compute::uniqueness::Distance;

pub fn show(app: &mut App, ui: &mut egui::Ui) {
    heading(app, ui, "DATA");
    let look = app.uniqueness_look().cloned().unwrap_or_default();
    let is_npy = app.uniqueness.state.form.embeddings.trim().to_lowercase().ends_with(".npy");
    let params = App::uniqueness_params(&app.uniqueness.state.form);
    let App { uniqueness, theme, commands, .. } = app;
    let form = &mut uniqueness.state.form;
    let note = |ui: &mut egui::Ui, note: &Option<Result<String, String>>| {
        let (text, color) = match note {
            Some(Ok(text)) => (text, theme.ink_soft),
            Some(Err(text)) => (text, theme.wrong),
            None => return,
        };
        ui.add(egui::Label::new(RichText::new(text).small().color(color)).wrap().selectable(true));
    };
    path_field(
        ui,
        commands,
        "Embeddings",
        ".npy or .vec: type, choose or drop",
        &mut form.embeddings,
        Pick::Embeddings,
    );
    note(ui, &look.embeddings);
    if !is_npy {
        field(ui, "Dim", "of a .vec file", &mut form.dim, "Dimensions of a flat vector file; .npy tells its own");
    }
    path_field(ui, commands, "Dataset", ".jsonl with ids, optional", &mut form.dataset, Pick::Dataset);
    note(ui, &look.dataset);
    field(ui, "k", "5", &mut form.k, "Nearest others whose mean distance is the score");
    ui.horizontal(|ui| {
        label(ui, "Distance", "How far two samples are apart");
        let combo = egui::ComboBox::from_id_salt("distance")
            .width(ui.available_width())
            .selected_text(form.distance.name())
            .show_ui(ui, |ui| {
                for distance in Distance::ALL {
                    ui.selectable_value(&mut form.distance, distance, distance.name());
                }
            });
        combo.response.accessible_name("Distance");
    });
    ui.separator();
    let is_wrong = matches!(look.embeddings, Some(Err(_))) || matches!(look.dataset, Some(Err(_)));
    let why_not = if uniqueness.jobs.scoring.is_busy() {
        Some("Scoring is going on.".to_owned())
    } else if is_wrong {
        Some("To score, see the fields above.".to_owned())
    } else {
        params.err().map(|why| format!("To score, {why}."))
    };
    let (ink, fill) = if why_not.is_none() { (theme.paper, theme.exact) } else { (theme.ink_soft, theme.rule) };
    let button = egui::Button::new(RichText::new("Score samples").family(theme::medium()).color(ink))
        .min_size(egui::vec2(ui.available_width(), 36.0))
        .fill(fill);
    let response = ui.vertical_centered(|ui| ui.add_enabled(why_not.is_none(), button)).inner;
    if response.on_hover_text("Start in the background (Ctrl+Enter)").clicked() {
        commands.push(Command::Uniqueness(UniquenessCommand::Start));
    }
    if let Some(why) = why_not {
        ui.add(egui::Label::new(RichText::new(why).small().color(theme.ink_soft)).wrap());
    }
    ui.add_space(8.0);
    ui.separator();
    super::thinning::rules(app, ui);
}

fn path_field(ui: &mut egui::Ui, commands: &mut Vec<Command>, name: &str, hint: &str, text: &mut String, pick: Pick) {
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

fn field(ui: &mut egui::Ui, name: &str, hint: &str, text: &mut String, explain: &str) {
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
    let edit = TextEdit::singleline(text)
        .id(egui::Id::unique(("field of uniqueness", name)))
        .hint_text(hint)
        .desired_width(width);
    let response = ui.add(edit);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, name));
    response
}
