//! Questions in SQL to the database, and their answers.

use egui::{Align, Layout, RichText, TextEdit};

use super::super::App;
use super::super::command::{Command, Pick};
use super::super::fields::edit;
use super::super::theme;
use super::SparsityCommand;
use super::state::Save;
use super::work::MOST_ANSWERS;
use crate::compute::figures::{count, counted};

/// Questions to begin with: name and SQL.
const EXAMPLES: [(&str, &str); 5] = [
    (
        "Methods",
        "SELECT method, projection, COUNT(*) AS groups, AVG(mean_pairwise_distance) AS mean_distance\nFROM nearest_neighbor_metrics GROUP BY ALL ORDER BY mean_distance",
    ),
    (
        "Closer than chance",
        "SELECT method, layer, projection, density, mean_pair_distance, null_mean_pair_distance,\n  closer_share, closer_share_permuted\nFROM knnscope_matrices ORDER BY closer_share_permuted DESC",
    ),
    (
        "Most alike groups",
        "SELECT m.method, m.matrix_name, m.feature_idx, m.mean_pairwise_distance, g.z_score, g.p_value, g.columns\nFROM nearest_neighbor_metrics m JOIN knnscope_groups g ON g.metric_id = m.id\nORDER BY g.p_value, m.mean_pairwise_distance LIMIT 100",
    ),
    (
        "N:M",
        "SELECT x.method, x.matrix_name, p.pattern, p.direction, p.satisfied_lines, p.lines\nFROM knnscope_patterns p JOIN knnscope_matrices x ON x.id = p.matrix_id ORDER BY ALL",
    ),
    ("Tables", "SELECT table_name, column_name, data_type FROM information_schema.columns ORDER BY ALL"),
];

pub fn show(app: &mut App, ui: &mut egui::Ui) {
    let (theme, state) = (app.theme.clone(), &mut app.sparsity.state);
    let commands = &mut app.commands;
    ui.horizontal(|ui| {
        ui.label("Database");
        edit(ui, "DuckDB file", "a DuckDB file", &mut state.form.database, ui.available_width() - 92.0);
        if ui.button("Choose…").clicked() {
            commands.push(Command::Pick(Pick::Database));
        }
    });
    ui.horizontal(|ui| {
        ui.label(RichText::new("Try").color(theme.ink_soft));
        for (name, sql) in EXAMPLES {
            if ui.button(RichText::new(name).small()).on_hover_text(sql).clicked() {
                sql.clone_into(&mut state.sql);
                commands.push(Command::Sparsity(SparsityCommand::Ask));
            }
        }
    });
    let question = TextEdit::multiline(&mut state.sql)
        .id(egui::Id::unique("sql"))
        .code_editor()
        .desired_rows(4)
        .desired_width(f32::INFINITY);
    let response =
        egui::ScrollArea::vertical().id_salt("question").max_height(120.0).show(ui, |ui| ui.add(question)).inner;
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, "Question"));
    let is_asking = app.sparsity.jobs.asking.is_busy();
    ui.horizontal(|ui| {
        let text = RichText::new("Ask").family(theme::medium()).color(theme.paper);
        let button = egui::Button::new(text).fill(theme.exact).min_size(egui::vec2(88.0, 28.0));
        if ui.add_enabled(!is_asking, button).on_hover_text("The database is only read (Ctrl+Enter)").clicked() {
            commands.push(Command::Sparsity(SparsityCommand::Ask));
        }
        let told = match &state.answer {
            _ if is_asking => "Asking…".to_owned(),
            Some(answer) if answer.grid.table.is_cut => {
                format!("the first {} rows; save the table for all", count(MOST_ANSWERS))
            }
            Some(answer) => counted(answer.grid.table.rows.len(), "row", "rows"),
            None => String::new(),
        };
        ui.label(RichText::new(told).color(theme.ink_soft));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let can_save = state.answer.is_some();
            if ui.add_enabled(can_save, egui::Button::new("Save table…")).on_hover_text("The answer as CSV").clicked()
            {
                commands.push(Command::Sparsity(SparsityCommand::AskSave(Save::Answer)));
            }
        });
    });
    ui.separator();
    if let Some(error) = &state.answer_error {
        let text = RichText::new(error).color(theme.wrong).monospace();
        ui.add(egui::Label::new(text).wrap().selectable(true));
    }
    if let Some(answer) = state.answer.clone() {
        answer.grid.show(ui, &theme, "answer", None, None, "");
    }
}
