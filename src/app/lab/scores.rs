//! Exact and found scores over each other, the lost ones by themselves, and what was lost by rank: of all queries, or as
//! an animation over them.

use egui::{RichText, Sense};

use super::super::App;
use super::super::command::Command;
use super::super::icons::{Icon, icon_button};
use super::super::paint;
use super::LabCommand;
use super::group::{Axis, brushed};
use super::state::{Shows, State};
use crate::compute::figures::count;
use crate::compute::index::scores::Scores;
use crate::video::lab::{lost_in_words, scores_panel, scores_scene};

/// Height of the controls below the picture.
const CONTROLS: f32 = 34.0;

pub fn show(app: &mut App, ui: &mut egui::Ui) {
    let state = &app.lab.state;
    let Some(shown) = state.scores.clone() else {
        let text = match (state.current, state.opened.as_ref().is_some_and(|opened| opened.lab.is_some())) {
            (None, _) => "Click a contestant in the table below: its scores stand here.",
            (Some(_), true) => "Binning the scores…",
            (Some(_), false) => "Scores can be looked at when all indexes are run.",
        };
        ui.label(RichText::new(text).color(app.theme.ink_soft));
        return;
    };
    let size = ui.available_size() - egui::vec2(0.0, CONTROLS);
    let canvas = paint::canvas(app.theme.look, size);
    let (rect, response) = ui.allocate_exact_size(size, Sense::drag());
    let state = &mut app.lab.state;
    let (scores, place) = state.in_sight(&shown);
    let told = format!("Exact, found and lost scores: {}", lost_in_words(scores, place));
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, &told));
    let panel = scores_panel(scores, place, canvas);
    if let Some((low, high)) = brushed(ui, &response, &panel, &mut state.drag) {
        app.commands.push(Command::Lab(LabCommand::Brush(low, high)));
    }
    let painter = ui.painter().with_clip_rect(rect);
    paint::scene(&painter, &scores_scene(scores, place, canvas), rect.min);
    let axis = Axis::Lost { line: shown.line, name: shown.scores.title.clone() };
    let grouped = state.group.as_ref().filter(|group| group.is_on(&axis)).map(|group| group.range);
    if let Some((from, to)) = state.drag.or(grouped) {
        let ends = [from, to].map(|value| rect.left() + panel.x(value.clamp(panel.x.0, panel.x.1)));
        let (left, right) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
        let (top, bottom) = (rect.top() + panel.top, rect.top() + panel.bottom);
        let span = egui::Rect::from_min_max(egui::pos2(left, top), egui::pos2(right.max(left + 1.0), bottom));
        painter.rect(
            span,
            0.0,
            app.theme.ink.gamma_multiply(0.1),
            egui::Stroke::new(1.0, app.theme.ink_soft),
            egui::StrokeKind::Inside,
        );
    }
    ui.horizontal(|ui| controls(app, ui, &shown.scores));
}

fn controls(app: &mut App, ui: &mut egui::Ui, scores: &Scores) {
    let State { player, shows, group, .. } = &app.lab.state;
    let (frames, playing, index) = (scores.frames.len(), player.playing, player.index);
    // Without a group, all are shown instead.
    let shows = if group.is_none() && *shows == Shows::Group { Shows::All } else { *shows };
    let is_moving = shows == Shows::Frame;
    if ui.selectable_label(shows == Shows::All, "All queries").clicked() {
        app.commands.push(Command::Lab(LabCommand::ShowAllQueries));
    }
    if group.is_some() && ui.selectable_label(shows == Shows::Group, "Group").clicked() {
        app.commands.push(Command::Lab(LabCommand::ShowGroup));
    }
    ui.add_space(8.0);
    ui.spacing_mut().item_spacing.x = 4.0;
    let (icon, name) = if playing { (Icon::Pause, "Pause") } else { (Icon::Play, "Play") };
    let index = index.min(frames.saturating_sub(1));
    // From all queries on to the first frame.
    let step = |by: isize| LabCommand::ShowFrame(if is_moving { index.saturating_add_signed(by) } else { 0 });
    let buttons = [
        (Icon::Previous, "Previous frame", step(-1)),
        (icon, name, LabCommand::TogglePlay),
        (Icon::Next, "Next frame", step(1)),
    ];
    for (icon, name, command) in buttons {
        if icon_button(ui, icon, name, name).clicked() {
            app.commands.push(Command::Lab(command));
        }
    }
    let label = match shows {
        Shows::All => format!("all of {} frames", count(frames)),
        Shows::Group => "the group".to_owned(),
        Shows::Frame => format!("frame {} of {}", count(index + 1), count(frames)),
    };
    let mut wanted = index + 1;
    // The last button comes first, then the label.
    let has_label = ui.available_width() >= 262.0;
    ui.spacing_mut().slider_width = (ui.available_width() - if has_label { 268.0 } else { 150.0 }).max(40.0);
    let slider = egui::Slider::new(&mut wanted, 1..=frames).show_value(false);
    if ui.add_enabled(frames > 1, slider).on_hover_text("Queries that are shown").changed() {
        app.commands.push(Command::Lab(LabCommand::ShowFrame(wanted - 1)));
    }
    if has_label {
        ui.label(RichText::new(label).color(app.theme.ink_soft));
    }
    ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
        let hint = "Those that lost scores in a range; or drag over the scores";
        if ui.button("Choose queries…").on_hover_text(hint).clicked() {
            app.commands.push(Command::Lab(LabCommand::AskRange));
        }
    });
}
