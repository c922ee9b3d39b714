//! Which samples are kept: the rules, what they leave, and the curve over ε.

use egui::{RichText, Stroke};
use egui_plot::{AxisHints, Line, PlotBounds, VLine};

use super::super::App;
use super::super::command::{Command, Pick};
use super::super::fields::{edit, heading, label};
use super::super::plots::{Reach, fixed_plot};
use super::super::theme;
use super::state::{Save, Typed};
use super::{UniquenessCommand, share};
use crate::compute::figures::{count, counted};
use crate::compute::uniqueness::Rules;
use crate::video::scene::{fixed, ticks};

pub fn rules(app: &mut App, ui: &mut egui::Ui) {
    heading(ui, &app.theme, "KEEP OR DROP");
    let Some(found) = app.uniqueness.state.found.clone() else {
        let text = "Once samples are scored: thresholds at both ends, one of each set of near-duplicates, or a number.";
        ui.add(egui::Label::new(RichText::new(text).color(app.theme.ink_soft)).wrap());
        return;
    };
    let state = &mut app.uniqueness.state;
    let mut changed = false;
    for (name, hint, text, explain) in [
        ("Drop below", "score", &mut state.typed.below, "Samples with a lower score are dropped: redundant ones"),
        ("Drop above", "score", &mut state.typed.above, "Samples with a higher score are dropped: outliers"),
        (
            "Thin within",
            "distance",
            &mut state.typed.dedupe,
            "One sample of each set within this distance is kept, the first; 0 for exact duplicates",
        ),
        ("Keep", "number", &mut state.typed.keep, "The samples with the highest scores of what the other rules leave"),
    ] {
        ui.horizontal(|ui| {
            label(ui, name, explain);
            changed |= edit(ui, name, hint, text, f32::INFINITY).changed();
        });
    }
    let typed = state.typed.rules();
    let shown = state.rules;
    if changed
        && let Ok(rules) = typed
        && rules.check().is_ok()
    {
        app.commands.push(Command::Uniqueness(UniquenessCommand::SetRules(rules)));
    }
    let state = &app.uniqueness.state;
    let (can_undo, can_redo) = (!state.undo.is_empty(), !state.redo.is_empty());
    let send = |app: &mut App, command| app.commands.push(Command::Uniqueness(command));
    ui.horizontal(|ui| {
        if ui.add_enabled(can_undo, egui::Button::new("Undo")).on_hover_text("Ctrl+Z").clicked() {
            send(app, UniquenessCommand::Undo);
        }
        if ui.add_enabled(can_redo, egui::Button::new("Redo")).on_hover_text("Ctrl+Shift+Z").clicked() {
            send(app, UniquenessCommand::Redo);
        }
        if ui.add_enabled(!shown.is_empty(), egui::Button::new("Clear")).on_hover_text("Keep all samples").clicked() {
            send(app, UniquenessCommand::SetRules(Rules::default()));
        }
    });
    ui.horizontal(|ui| {
        if ui.button("Save lists…").on_hover_text("Kept and dropped samples as JSONL or CSV").clicked() {
            send(app, UniquenessCommand::AskSave(Save::Lists));
        }
        if ui.button("Save scores…").on_hover_text("Scores of all samples as JSONL").clicked() {
            send(app, UniquenessCommand::AskSave(Save::Scores));
        }
    });
    ui.horizontal(|ui| {
        if ui.button("Save selection…").on_hover_text("The rules, to be opened again").clicked() {
            send(app, UniquenessCommand::AskSave(Save::Selection));
        }
        if ui.button("Open selection…").on_hover_text("Rules that were saved, with their samples").clicked() {
            app.commands.push(Command::Pick(Pick::Selection));
        }
    });
    ui.add_space(4.0);
    let wrong = match typed {
        Err(field) => Some(format!("{field}: expected a number, like 0.25")),
        Ok(rules) => rules.check().err().map(|error| error.to_string()),
    };
    if let Some(wrong) = wrong {
        ui.add(egui::Label::new(RichText::new(wrong).small().color(app.theme.wrong)).wrap());
    }
    match app.uniqueness.state.selected.as_ref().filter(|selected| selected.selection.rules == shown) {
        Some(selected) => {
            let kept = format!("{} kept", share(selected.kept, found.samples()));
            ui.label(RichText::new(kept).family(theme::medium()));
            for (reason, dropped) in selected.dropped.into_iter().filter(|&(_, dropped)| dropped > 0) {
                let why = match reason {
                    "below" => "below the lower threshold",
                    "above" => "above the upper threshold",
                    "duplicate" => "near-duplicates of a kept one",
                    _ => "beyond the number to keep",
                };
                ui.label(RichText::new(format!("{} {why}", count(dropped))).small().color(app.theme.ink_soft));
            }
        }
        None => {
            ui.label(RichText::new("Selecting…").color(app.theme.ink_soft));
        }
    }
}

/// How many samples remain over ε; a click takes that ε.
pub fn curve(app: &mut App, ui: &mut egui::Ui) {
    heading(ui, &app.theme, "THINNING");
    let state = &app.uniqueness.state;
    let Some(found) = state.found.clone() else { return };
    let Some(curve) = state.curve.clone().filter(|curve| curve.points.len() > 1) else {
        let text = match (&state.curve, app.uniqueness.jobs.curve.is_busy()) {
            (None, true) => "Finding pairs that are near…",
            (Some(_), _) => "Half of all samples have an exact duplicate: thin within 0 first.",
            (None, false) => "Not known: the search for near pairs was cancelled or failed.",
        };
        ui.add(egui::Label::new(RichText::new(text).color(app.theme.ink_soft)).wrap());
        return;
    };
    let theme = app.theme.clone();
    let epsilon = state.rules.dedupe;
    let all = found.samples() as f64;
    let reach = curve.points[curve.points.len() - 1].0;
    let lowest = curve.points.iter().map(|point| point.1).min().unwrap_or(0) as f64;
    let points: Vec<[f64; 2]> = curve.points.iter().map(|&(epsilon, kept)| [epsilon, kept as f64]).collect();
    let x_digits = ticks(0.0, reach, 4).1;
    let margin = ((all - lowest) * 0.06).max(1.0);
    let (x, y) = (Reach { low: 0.0, high: reach, wanted: 4 }, Reach { low: lowest, high: all, wanted: 3 });
    let counts = AxisHints::new_y()
        .min_thickness(56.0)
        .formatter(|mark, _| if mark.value < 0.0 { String::new() } else { count(mark.value.round() as usize) });
    let response = fixed_plot("thinning", &theme, x, y)
        .height(132.0)
        .custom_y_axes(vec![counts])
        .custom_x_axes(vec![AxisHints::new_x().formatter(move |mark, _| fixed(mark.value, x_digits))])
        .sense(egui::Sense::click())
        .show(ui, move |plot| {
            plot.set_plot_bounds(PlotBounds::from_min_max([0.0, lowest - margin], [reach, all + margin]));
            plot.line(Line::new("remain", points).color(theme.exact).width(2.0));
            if let Some(epsilon) = epsilon {
                plot.vline(VLine::new("within", epsilon).stroke(Stroke::new(1.5, theme.ink)));
            }
        });
    response.response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, "Samples that remain over ε"));
    let at = response.response.hover_pos().map(|pointer| response.transform.value_from_position(pointer).x);
    let text = match at.filter(|at| (0.0..=reach).contains(at)) {
        Some(at) => {
            let index = curve.points.partition_point(|point| point.0 <= at).saturating_sub(1);
            let (epsilon, kept) = curve.points[index];
            if response.response.clicked() {
                let rules = Rules { dedupe: Some(rounded(epsilon, reach)), ..app.uniqueness.state.rules };
                app.uniqueness.state.typed = Typed::of(&rules);
                app.commands.push(Command::Uniqueness(UniquenessCommand::SetRules(rules)));
            }
            format!("within {epsilon:.4}: {} remain", counted(kept, "sample", "samples"))
        }
        None => "Samples that remain, over the distance within which one of a set is kept. Click to thin.".to_owned(),
    };
    ui.add(egui::Label::new(RichText::new(text).small().color(app.theme.ink_soft)).wrap());
}

/// A distance with few digits, not above `reach`.
fn rounded(epsilon: f64, reach: f64) -> f64 {
    if epsilon <= 0.0 {
        return 0.0;
    }
    let scale = 10f64.powf(4.0 - reach.log10().ceil());
    (epsilon * scale).floor() / scale
}
