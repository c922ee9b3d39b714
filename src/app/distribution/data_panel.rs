//! What goes in: files, numbers, the plan they make, and the button that starts it.

use std::path::PathBuf;

use egui::{Align, Layout, RichText, TextEdit};

use super::super::App;
use super::super::command::{Command, Pick};
use super::super::review::{Field, Review};
use super::super::theme::{self, Theme};
use crate::compute::figures::counted;
use crate::compute::metric::Metric;

pub fn show(app: &mut App, ui: &mut egui::Ui) {
    let App { session, settings, theme, commands, jobs, .. } = app;
    let review = session.review.as_ref().filter(|review| review.form == session.form).cloned();
    let form = &mut session.form;
    ui.label(RichText::new("DATA").small().family(theme::medium()).color(theme.ink_soft));

    let notes = Notes { review: review.as_ref(), theme };
    path_field(
        ui,
        &notes,
        "Docs",
        "docs.vec: type, choose or drop",
        &mut form.docs,
        Field::Docs,
        Pick::Docs,
        &settings.recent_docs,
        commands,
    );
    path_field(
        ui,
        &notes,
        "Queries",
        "queries.vec: type, choose or drop",
        &mut form.queries,
        Field::Queries,
        Pick::Queries,
        &settings.recent_queries,
        commands,
    );
    number_row(ui, &notes, "Dim", "384", &mut form.dim, Field::Dim, "Dimensions of the vectors: the length of one row");
    number_row(
        ui,
        &notes,
        "Num docs",
        "all",
        &mut form.num_docs,
        Field::NumDocs,
        "Search only the first docs of the file",
    );
    number_row(ui, &notes, "Top-k", "100", &mut form.top_k, Field::TopK, "Nearest docs kept for each query");
    number_row(
        ui,
        &notes,
        "N",
        "10,100,1000",
        &mut form.n_values,
        Field::N,
        "Numbers of queries; each N is a series of runs",
    );
    number_row(
        ui,
        &notes,
        "M",
        "5",
        &mut form.m_repeats,
        Field::M,
        "Repeats of each N, every one with the next queries",
    );
    row(ui, "Metric", "What near means", |ui| {
        let combo = egui::ComboBox::from_id_salt("metric")
            .width(ui.available_width())
            .selected_text(form.metric.axis_label())
            .show_ui(ui, |ui| {
                for metric in Metric::ALL {
                    ui.selectable_value(&mut form.metric, metric, metric.axis_label());
                }
            });
        combo.response.accessible_name("Metric");
    });
    path_field(
        ui,
        &notes,
        "Output folder",
        "where the results go",
        &mut form.output,
        Field::Output,
        Pick::OutputFolder,
        &[],
        commands,
    );
    if review.as_ref().is_some_and(|review| review.other_session) || form.overwrite {
        ui.checkbox(&mut form.overwrite, "Overwrite the session in this folder")
            .on_hover_text("Its score files and manifest are removed when scoring starts");
    }
    ui.checkbox(&mut form.keep_ids, "Keep doc ids")
        .on_hover_text("Stores which doc made each score, as many bytes as the scores");

    ui.separator();
    let ready = review.as_ref().and_then(|review| review.ready.as_ref());
    if let Some(ready) = ready {
        for cost in &ready.costs {
            ui.add(egui::Label::new(RichText::new(cost).color(theme.ink_soft)).wrap());
        }
        for warning in &ready.warnings {
            ui.add(egui::Label::new(RichText::new(warning).color(theme.attention)).wrap());
        }
    }
    let (text, why_not) = match (ready, &review) {
        _ if jobs.scoring.is_busy() => ("Score".to_owned(), Some("Scoring is going on.".to_owned())),
        (Some(ready), _) if ready.finished => ("Open the finished results".to_owned(), None),
        (Some(ready), _) => (format!("Score {}", counted(ready.queries, "query", "queries")), None),
        (None, Some(review)) => {
            ("Score".to_owned(), Some(format!("To score, {}.", review.missing.unwrap_or("see the fields above"))))
        }
        (None, None) => ("Score".to_owned(), Some("Looking at the fields.".to_owned())),
    };
    let button = egui::Button::new(RichText::new(text).family(theme::medium()).color(if why_not.is_none() {
        theme.paper
    } else {
        theme.ink_soft
    }))
    .min_size(egui::vec2(ui.available_width(), 36.0))
    .fill(if why_not.is_none() { theme.exact } else { theme.rule });
    let response = ui.vertical_centered(|ui| ui.add_enabled(why_not.is_none(), button)).inner;
    if response.on_hover_text("Start in the background (Ctrl+Enter)").clicked() {
        commands.push(Command::StartScoring);
    }
    if let Some(why) = why_not {
        ui.label(RichText::new(why).small().color(theme.ink_soft));
    }
}

struct Notes<'a> {
    review: Option<&'a Review>,
    theme: &'a Theme,
}

impl Notes<'_> {
    /// What is to say of a field, in words, beside it.
    fn show(&self, ui: &mut egui::Ui, field: Field) {
        let Some(note) = self.review.and_then(|review| review.note(field)) else { return };
        let color = if note.wrong { self.theme.wrong } else { self.theme.ink_soft };
        ui.add(egui::Label::new(RichText::new(&note.text).small().color(color)).wrap().selectable(note.wrong));
    }
}

#[expect(clippy::too_many_arguments)]
fn path_field(
    ui: &mut egui::Ui,
    notes: &Notes<'_>,
    name: &str,
    hint: &str,
    text: &mut String,
    field: Field,
    pick: Pick,
    recent: &[PathBuf],
    commands: &mut Vec<Command>,
) {
    ui.horizontal(|ui| {
        ui.label(name);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if ui
                .button(RichText::new("Choose…").small())
                .on_hover_text(format!("Choose {}", name.to_lowercase()))
                .clicked()
            {
                commands.push(Command::Pick(pick));
            }
            if !recent.is_empty() {
                ui.menu_button(RichText::new("Recent").small(), |ui| {
                    for path in recent {
                        if ui.button(path.display().to_string()).clicked() {
                            *text = path.to_string_lossy().into_owned();
                            ui.close();
                        }
                    }
                });
            }
        });
    });
    let response = text_field(ui, notes, name, hint, text, egui::TextStyle::Body);
    if !text.is_empty() {
        response.on_hover_text(text.as_str());
    }
    notes.show(ui, field);
}

fn number_row(
    ui: &mut egui::Ui,
    notes: &Notes<'_>,
    name: &str,
    hint: &str,
    text: &mut String,
    field: Field,
    explain: &str,
) {
    row(ui, name, explain, |ui| {
        text_field(ui, notes, name, hint, text, egui::TextStyle::Monospace);
    });
    notes.show(ui, field);
}

fn text_field(
    ui: &mut egui::Ui,
    notes: &Notes<'_>,
    name: &str,
    hint: &str,
    text: &mut String,
    style: egui::TextStyle,
) -> egui::Response {
    let edit = TextEdit::singleline(text)
        // An id of its own, so that a field keeps the focus when a note appears above it.
        .id(egui::Id::unique(("field of the form", name)))
        .hint_text(RichText::new(hint).color(notes.theme.ink_soft))
        .font(style)
        .desired_width(f32::INFINITY);
    let response = ui.add(edit);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, name));
    response
}

/// A name at the left, its field at the right; fields of all rows begin at one line.
fn row(ui: &mut egui::Ui, name: &str, explain: &str, field: impl FnOnce(&mut egui::Ui)) {
    ui.horizontal(|ui| {
        let width = egui::vec2(76.0, 28.0);
        let label = ui.allocate_ui_with_layout(width, Layout::left_to_right(Align::Center), |ui| {
            ui.set_min_width(width.x);
            ui.label(name)
        });
        label.inner.on_hover_text(explain);
        field(ui);
    });
}
