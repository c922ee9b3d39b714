//! What goes in: embeddings, their dataset, k and distance, and the button that starts it.

use egui::RichText;

use super::super::App;
use super::super::command::{Command, Pick};
use super::super::fields::{field, heading, label, path_field};
use super::super::theme;
use super::UniquenessCommand;
use crate::compute::uniqueness::Distance;

pub fn show(app: &mut App, ui: &mut egui::Ui) {
    heading(ui, &app.theme, "DATA");
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
