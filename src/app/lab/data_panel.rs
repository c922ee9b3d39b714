//! What is asked of which indexes, and the button that starts it.

use egui::RichText;

use super::super::App;
use super::super::command::{Command, Pick};
use super::super::fields::{field, heading, label, path_field};
use super::super::theme;
use super::LabCommand;
use super::actions::Plan;
use crate::compute::index::candidate::{FAMILIES, REDIS};
use crate::compute::metric::Metric;

pub fn show(app: &mut App, ui: &mut egui::Ui) {
    heading(ui, &app.theme, "QUESTION");
    let App { lab, theme, commands, .. } = app;
    let form = &mut lab.state.form;
    path_field(ui, commands, "Docs", ".vec: type, choose or drop", &mut form.docs, Pick::LabDocs);
    path_field(ui, commands, "Queries", ".vec of the same dim", &mut form.queries, Pick::LabQueries);
    field(ui, "Dim", "of the vectors", &mut form.dim, "Dimensions of the vectors");
    field(ui, "Docs used", "all", &mut form.num_docs, "Index only the first docs of the file");
    field(ui, "Queries used", "all", &mut form.num_queries, "Ask only the first queries of the file");
    field(ui, "Top-k", "100", &mut form.top_k, "Neighbours asked for each query");
    ui.horizontal(|ui| {
        label(ui, "Metric", "How a query and a doc are compared");
        let combo = egui::ComboBox::from_id_salt("lab metric")
            .width(ui.available_width())
            .selected_text(form.metric.name())
            .show_ui(ui, |ui| {
                for metric in Metric::ALL {
                    ui.selectable_value(&mut form.metric, metric, metric.name());
                }
            });
        combo.response.accessible_name("Metric of the lab");
    });
    ui.separator();
    ui.horizontal(|ui| {
        heading(ui, theme, "INDEXES, ONE A LINE");
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            ui.menu_button(RichText::new("Add…").small(), |ui| {
                for family in
                    FAMILIES.iter().filter(|family| cfg!(feature = "faiss") || !family.about.contains("FAISS"))
                {
                    if ui.button(family.name).on_hover_text(family.about).clicked() {
                        add(&mut form.indexes, family);
                        ui.close();
                    }
                }
                let about = "A vector set of a running Redis 8; the password from KNNSCOPE_REDIS_PASSWORD";
                if ui.button("redis").on_hover_text(about).clicked() {
                    add_line(&mut form.indexes, &REDIS.replace("HOST", "localhost"));
                    ui.close();
                }
            });
        });
    });
    let edit = egui::TextEdit::multiline(&mut form.indexes)
        .id(egui::Id::unique("lab indexes"))
        .font(egui::TextStyle::Monospace)
        .desired_rows(6)
        .desired_width(f32::INFINITY);
    let response = ui.add(edit);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, "Indexes"));
    let hint = "Search parameters may list values: nprobe=1,4,16. Also faiss:FACTORY, redis://HOST and index files.";
    ui.add(egui::Label::new(RichText::new(hint).small().color(theme.ink_soft)).wrap());
    if !cfg!(feature = "faiss") {
        let text = "This knnscope was built without FAISS: only exact, precomputed, hyperplane, annoy and files that are not of FAISS run.";
        ui.add(egui::Label::new(RichText::new(text).small().color(theme.attention)).wrap());
    }
    field(
        ui,
        "Builds",
        "1",
        &mut form.builds,
        "Builds of every index in another order of the docs: the noise of building",
    );
    path_field(ui, commands, "Session", "folder that keeps what is found", &mut form.folder, Pick::LabFolder);
}

/// The button that starts it, and why it cannot.
pub fn start(app: &mut App, ui: &mut egui::Ui) {
    let plan = Plan::of(&app.lab.state.form);
    let App { lab, theme, commands, .. } = app;
    ui.add_space(6.0);
    let why_not = if lab.jobs.running.is_busy() {
        Some("Indexes are being run.".to_owned())
    } else {
        plan.err().map(|why| format!("To run, {why}."))
    };
    let (ink, fill) = if why_not.is_none() { (theme.paper, theme.exact) } else { (theme.ink_soft, theme.rule) };
    let button = egui::Button::new(RichText::new("Run indexes").family(theme::medium()).color(ink))
        .min_size(egui::vec2(ui.available_width(), 36.0))
        .fill(fill);
    let response = ui.vertical_centered(|ui| ui.add_enabled(why_not.is_none(), button)).inner;
    if response.on_hover_text("Start in the background (Ctrl+Enter)").clicked() {
        commands.push(Command::Lab(LabCommand::Start));
    }
    if let Some(why) = why_not {
        ui.add(egui::Label::new(RichText::new(why).small().color(theme.ink_soft)).wrap());
    }
}

/// Appends a family with its parameters.
fn add(indexes: &mut String, family: &crate::compute::index::candidate::Family) {
    let mut line = family.name.to_owned();
    for (name, value) in family.build.iter().chain(family.search).filter(|(_, value)| *value > 0) {
        line += &format!(":{name}={value}");
    }
    add_line(indexes, &line);
}

fn add_line(indexes: &mut String, line: &str) {
    if !indexes.is_empty() && !indexes.ends_with('\n') {
        indexes.push('\n');
    }
    *indexes += line;
}
