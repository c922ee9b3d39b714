//! Exact and found scores over each other, the lost ones by themselves, and what was lost by rank: of all queries, or as
//! an animation over them.

use egui::{RichText, Sense};

use super::super::App;
use super::super::command::Command;
use super::super::icons::{Icon, icon_button};
use super::super::paint;
use super::{LabCommand, state::State};
use crate::compute::figures::count;
use crate::compute::index::scores::Scores;
use crate::video::lab::{lost_in_words, scores_scene};

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
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    let place = app.lab.state.place(&shown.scores);
    let scene = scores_scene(&shown.scores, place, canvas);
    paint::scene(&ui.painter().with_clip_rect(rect), &scene, rect.min);
    let told = format!("Exact, found and lost scores: {}", lost_in_words(&shown.scores, place));
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, &told));
    ui.horizontal(|ui| controls(app, ui, &shown.scores));
}

fn controls(app: &mut App, ui: &mut egui::Ui, scores: &Scores) {
    let State { player, shows_all, .. } = &app.lab.state;
    let (frames, shows_all, playing, index) = (scores.frames.len(), *shows_all, player.playing, player.index);
    if ui.selectable_label(shows_all, "All queries").clicked() {
        app.commands.push(Command::Lab(LabCommand::ShowAllQueries));
    }
    ui.add_space(8.0);
    ui.spacing_mut().item_spacing.x = 4.0;
    let (icon, name) = if playing { (Icon::Pause, "Pause") } else { (Icon::Play, "Play") };
    let index = index.min(frames.saturating_sub(1));
    // From all queries on to the first frame.
    let step = |by: isize| LabCommand::ShowFrame(if shows_all { 0 } else { index.saturating_add_signed(by) });
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
    let label = match shows_all {
        true => format!("all of {} frames", count(frames)),
        false => format!("frame {} of {}", count(index + 1), count(frames)),
    };
    let mut wanted = index + 1;
    ui.spacing_mut().slider_width = (ui.available_width() - 140.0).max(60.0);
    let slider = egui::Slider::new(&mut wanted, 1..=frames).show_value(false);
    if ui.add_enabled(frames > 1, slider).on_hover_text("Queries that are shown").changed() {
        app.commands.push(Command::Lab(LabCommand::ShowFrame(wanted - 1)));
    }
    ui.label(RichText::new(label).color(app.theme.ink_soft));
}
