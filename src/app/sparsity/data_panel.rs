//! What goes in: matrices and how their groups are made; and the list of what was found.

use egui::{RichText, Sense, TextEdit};

use super::super::App;
use super::super::command::{Command, Pick};
use super::super::fields::heading;
use super::super::fields::{field, label, path_field};
use super::super::theme;
use super::SparsityCommand;
use super::state::{Item, Status};
use crate::compute::figures::count;
use crate::compute::sparsity::sources::METHODS;

const ROW_HEIGHT: f32 = 40.0;

pub fn show(app: &mut App, ui: &mut egui::Ui) {
    let height = ui.available_height();
    let is_working = app.sparsity.jobs.is_working();
    egui::ScrollArea::vertical().id_salt("form").max_height((height - 150.0).min(506.0)).show(ui, |ui| {
        heading(ui, &app.theme, "DATA");
        form(app, ui);
    });
    start_button(app, ui, is_working);
    ui.separator();
    list(app, ui);
}

fn form(app: &mut App, ui: &mut egui::Ui) {
    let App { sparsity, commands, .. } = app;
    let form = &mut sparsity.state.form;
    ui.spacing_mut().item_spacing.y = 6.0;
    ui.horizontal(|ui| {
        ui.label("Matrices");
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            if ui.button(RichText::new("Files…").small()).on_hover_text("Matrices or checkpoints").clicked() {
                commands.push(Command::Pick(Pick::Matrices));
            }
            if ui.button(RichText::new("Folder…").small()).on_hover_text("All matrices in a folder").clicked() {
                commands.push(Command::Pick(Pick::MatrixFolder));
            }
        });
    });
    let hint = RichText::new(".pt, .safetensors, .npy or folders,\none a line").color(ui.visuals().weak_text_color());
    let paths = TextEdit::multiline(&mut form.paths)
        .id(egui::Id::unique("matrices"))
        .hint_text(hint)
        .desired_rows(2)
        .desired_width(f32::INFINITY);
    let response = egui::ScrollArea::vertical().id_salt("paths").max_height(60.0).show(ui, |ui| ui.add(paths)).inner;
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, "Matrices"));
    ui.horizontal(|ui| {
        label(ui, "Method", "Which to take, by the names of their folders; what a single matrix is called");
        let shown = form.method.unwrap_or("both");
        let combo =
            egui::ComboBox::from_id_salt("method").width(ui.available_width()).selected_text(shown).show_ui(ui, |ui| {
                ui.selectable_value(&mut form.method, None, "both");
                for method in METHODS {
                    ui.selectable_value(&mut form.method, Some(method), method);
                }
            });
        combo.response.accessible_name("Method");
    });
    field(ui, "Layer", "all", &mut form.layer, "Only this layer; the layer of matrices whose names tell none");
    field(ui, "Projection", "all", &mut form.projection, "Only this projection, like mlp.down_proj");
    ui.horizontal(|ui| {
        label(ui, "Grouping", "Which columns have a group");
        ui.selectable_value(&mut form.exhaustive, false, "drawn")
            .on_hover_text("Columns drawn at random, each with its nearest ones");
        ui.selectable_value(&mut form.exhaustive, true, "all columns").on_hover_text("Every column in one group");
    });
    if !form.exhaustive {
        field(ui, "Drawn", "64", &mut form.samples, "Columns drawn of each matrix; a group is made for each");
    }
    field(
        ui,
        "Group size",
        "8",
        &mut form.neighbours,
        "Columns of a group: one with those nearest to it, itself among them",
    );
    field(
        ui,
        "Permutations",
        "39",
        &mut form.permutations,
        "Matrices of the same row and column sums to compare with; 0 for none",
    );
    field(
        ui,
        "FDR",
        "0.05",
        &mut form.fdr,
        "False-discovery rate at which pairs are called closer than chance, at most 0.2",
    );
    field(ui, "Seed", "42", &mut form.seed, "Of what is drawn");
    path_field(
        ui,
        commands,
        "Database",
        "where results are stored; empty for nowhere",
        &mut form.database,
        Pick::Database,
    );
}

fn start_button(app: &mut App, ui: &mut egui::Ui, is_working: bool) {
    let App { sparsity, theme, commands, .. } = app;
    let form = &sparsity.state.form;
    let why_not = if is_working {
        Some("An analysis is going on.".to_owned())
    } else if form.paths.trim().is_empty() {
        Some("To analyse, choose matrices first.".to_owned())
    } else {
        form.params().err().or_else(|| form.wanted().err()).map(|why| format!("To analyse, correct {why}."))
    };
    let (ink, fill) = if why_not.is_none() { (theme.paper, theme.exact) } else { (theme.ink_soft, theme.rule) };
    let button = egui::Button::new(RichText::new("Analyse").family(theme::medium()).color(ink))
        .min_size(egui::vec2(ui.available_width(), 36.0))
        .fill(fill);
    let response = ui.vertical_centered(|ui| ui.add_enabled(why_not.is_none(), button)).inner;
    if response.on_hover_text("Start in the background (Ctrl+Enter)").clicked() {
        commands.push(Command::Sparsity(SparsityCommand::Start));
    }
    if let Some(why) = why_not.filter(|_| !is_working) {
        ui.add(egui::Label::new(RichText::new(why).small().color(theme.ink_soft)).wrap());
    }
}

fn list(app: &mut App, ui: &mut egui::Ui) {
    let total = app.sparsity.state.items.len();
    let done = app.sparsity.state.items.iter().filter(|item| item.analysis().is_some()).count();
    let text = match (total, done) {
        (0, _) => "MATRICES".to_owned(),
        (total, done) if done == total => format!("MATRICES {}", count(total)),
        (total, done) => format!("MATRICES {} OF {}", count(done), count(total)),
    };
    heading(ui, &app.theme, &text);
    ui.spacing_mut().item_spacing.y = 0.0;
    egui::ScrollArea::vertical().id_salt("matrices").auto_shrink(false).show_rows(
        ui,
        ROW_HEIGHT,
        total,
        |ui, range| {
            for index in range {
                line(app, ui, index);
            }
        },
    );
}

fn line(app: &mut App, ui: &mut egui::Ui, index: usize) {
    let App { sparsity, theme, commands, .. } = app;
    let Item { source, status } = &sparsity.state.items[index];
    let (rect, response) = ui.allocate_exact_size(egui::vec2(ui.available_width(), ROW_HEIGHT), Sense::click());
    if sparsity.state.current == Some(index) {
        ui.painter().rect_filled(rect, 4.0, theme.exact.gamma_multiply(0.18));
    } else if response.hovered() {
        ui.painter().rect_filled(rect, 4.0, theme.rule.gamma_multiply(0.6));
    }
    let shape = format!("{} × {}", count(source.rows()), count(source.columns()));
    let (told, ink) = match status {
        Status::Found => (format!("{shape} · waiting"), theme.ink_soft),
        Status::Working => (format!("{shape} · working…"), theme.exact),
        Status::Done(analysis) => (format!("{shape} · density {:.3}", analysis.density), theme.ink_soft),
        Status::Failed(_) => (format!("{shape} · failed"), theme.wrong),
    };
    let identity = &source.identity;
    let name = match (&identity.projection, identity.layer) {
        (Some(projection), Some(layer)) => format!("{layer} {projection}"),
        _ => identity.matrix_name.clone(),
    };
    let method = identity.method.clone().unwrap_or_default();
    let cell = |y: f32, from: f32, to: f32, text: String, size: f32, ink: egui::Color32| {
        let font = egui::FontId::new(size, egui::FontFamily::Proportional);
        let mut job = egui::text::LayoutJob::simple_singleline(text, font, ink);
        job.wrap = egui::text::TextWrapping::truncate_at_width((to - from).max(0.0));
        let galley = ui.fonts_mut(|fonts| fonts.layout_job(job));
        ui.painter().galley(egui::pos2(from, y), galley, ink);
    };
    let (left, right) = (rect.left() + 8.0, rect.right() - 8.0);
    let split = right - 72.0;
    cell(rect.top() + 4.0, left, split - 8.0, name, 14.0, theme.ink);
    cell(rect.top() + 5.0, split, right, method.clone(), 12.0, theme.ink_soft);
    cell(rect.top() + 22.0, left, right, told, 12.0, ink);
    let spoken = format!("Matrix {} {}", method, identity.matrix_name);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, &spoken));
    let hint = match status {
        Status::Failed(why) => why.clone(),
        _ => source.place(),
    };
    if response.on_hover_text(hint).clicked() {
        commands.push(Command::Sparsity(SparsityCommand::Select(index)));
    }
}
