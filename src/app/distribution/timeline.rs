//! Transport and timeline: where each N begins, and which run is shown.

use egui::{FontId, RichText, Sense};

use super::super::App;
use super::super::command::Command;
use super::super::icons::{Icon, icon_button};
use super::super::state::{MAX_SPEED, MIN_SPEED};
use crate::compute::figures::{count, grouped};
use crate::video::scene::segments;

pub fn show(app: &mut App, ui: &mut egui::Ui) {
    let run_count = app.session.run_count();
    let index = app.session.player.index;
    ui.add_enabled_ui(run_count > 0, |ui| {
        ui.horizontal(|ui| {
            transport(app, ui);
            ui.add_space(8.0);
            let label = if run_count == 0 {
                "no runs".to_owned()
            } else {
                format!("run {} of {}", count(index + 1), count(run_count))
            };
            let label_width = 110.0;
            let width = (ui.available_width() - label_width - 8.0).max(80.0);
            strip(app, ui, width);
            ui.label(RichText::new(label).color(app.theme.ink_soft));
        });
    });
}

fn transport(app: &mut App, ui: &mut egui::Ui) {
    let playing = app.session.player.playing;
    let buttons = [
        (Icon::First, "First run", "First run (Home)", Command::FirstRun),
        (Icon::Previous, "Previous run", "Previous run (Left)", Command::Step(-1)),
        if playing {
            (Icon::Pause, "Pause", "Pause (Space)", Command::TogglePlay)
        } else {
            (Icon::Play, "Play", "Play (Space)", Command::TogglePlay)
        },
        (Icon::Next, "Next run", "Next run (Right)", Command::Step(1)),
        (Icon::Last, "Last run", "Last run (End)", Command::LastRun),
    ];
    ui.spacing_mut().item_spacing.x = 4.0;
    for (icon, name, hint, command) in buttons {
        if icon_button(ui, icon, name, hint).clicked() {
            app.commands.push(command);
        }
    }
    let mut looping = app.settings.looping;
    let response = ui.toggle_value(&mut looping, "Loop").on_hover_text("Start over at the end (L)");
    if response.clicked() {
        app.commands.push(Command::ToggleLoop);
    }
    let mut speed = app.settings.frames_per_second;
    let drag = egui::DragValue::new(&mut speed).range(MIN_SPEED..=MAX_SPEED).speed(0.1).max_decimals(1).suffix(" fps");
    if ui.add(drag).on_hover_text("Speed: runs a second, on screen and in the exported video").changed() {
        app.commands.push(Command::SetSpeed(speed));
    }
    ui.spacing_mut().item_spacing.x = 8.0;
}

/// One segment an N; click or drag to scrub.
fn strip(app: &mut App, ui: &mut egui::Ui, width: f32) {
    let (rect, response) = ui.allocate_exact_size(egui::vec2(width, 32.0), Sense::click_and_drag());
    let Some(digest) = app.session.digest.clone() else { return };
    let run_count = digest.run_count();
    let index = app.session.player.index.min(run_count - 1);
    response.widget_info(|| egui::WidgetInfo::slider(true, (index + 1) as f64, "Timeline"));
    let run_at = |x: f32| (((x - rect.left()) / rect.width() * run_count as f32).max(0.0) as usize).min(run_count - 1);
    if let Some(pointer) = response.interact_pointer_pos()
        && response.is_pointer_button_down_on()
    {
        let wanted = run_at(pointer.x);
        if wanted != index || app.session.player.playing {
            app.commands.push(Command::GoTo(wanted));
        }
    }
    let theme = &app.theme;
    let painter = ui.painter_at(rect.expand(4.0));
    let x_of = |run: usize| rect.left() + rect.width() * run as f32 / run_count as f32;
    let runs = &digest.store.runs()[..run_count];
    let bar = egui::Rect::from_min_max(
        egui::pos2(rect.left(), rect.bottom() - 12.0),
        egui::pos2(rect.right(), rect.bottom() - 4.0),
    );
    for (start, end) in segments(runs.iter().map(|run| run.n)) {
        let segment =
            egui::Rect::from_x_y_ranges(x_of(start)..=(x_of(end) - 2.0).max(x_of(start) + 1.0), bar.y_range());
        painter.rect_filled(segment, 2.0, theme.rule_strong.gamma_multiply(0.45));
        let reached = x_of(index + 1).clamp(segment.left(), segment.right());
        if index >= start {
            painter.rect_filled(egui::Rect::from_x_y_ranges(segment.left()..=reached, bar.y_range()), 2.0, theme.exact);
        }
        let text = format!("N = {}", grouped(runs[start].n));
        let galley = painter.layout_no_wrap(text, FontId::proportional(12.0), theme.ink_soft);
        if galley.size().x < segment.width() {
            painter.galley(egui::pos2(segment.left() + 2.0, rect.top()), galley, theme.ink_soft);
        }
    }
    // Where reused queries begin, evidence ends: a line over the bar from there on.
    let is_reused = |run: usize| digest.store.reused_queries(run).is_some_and(|reused| reused > 0);
    if let Some(first) = (0..run_count).find(|&run| is_reused(run)) {
        let over = egui::Rect::from_x_y_ranges(x_of(first)..=rect.right() - 2.0, bar.top() - 4.0..=bar.top() - 2.0);
        painter.rect_filled(over, 1.0, theme.attention);
    }
    let head = egui::pos2((x_of(index) + x_of(index + 1)) / 2.0, bar.center().y);
    painter.circle(head, 7.0, theme.paper, egui::Stroke::new(2.0, theme.exact));
    if response.hovered()
        && let Some(pointer) = response.hover_pos()
    {
        let run = run_at(pointer.x);
        let reused = if is_reused(run) { "\nreused queries: no new evidence" } else { "" };
        let text = format!("N = {}, repeat {}{reused}", grouped(runs[run].n), grouped(runs[run].m + 1));
        response.on_hover_text_at_pointer(text);
    }
}
