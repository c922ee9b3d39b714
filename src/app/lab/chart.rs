//! Recall against queries per second, with bands and the front; click a point to look at its contestant.

use egui::{Align2, RichText, Sense, Stroke};

use super::super::App;
use super::super::command::Command;
use super::super::paint;
use super::super::theme::Theme;
use super::LabCommand;
use crate::compute::figures::bytes;
use crate::compute::index::report::Line;

/// Pixels around a point that belong to it.
const GRIP: f32 = 14.0;

pub fn show(app: &mut App, ui: &mut egui::Ui) {
    let Some(opened) = app.lab.state.opened.clone() else { return };
    let theme = app.theme.clone();
    let picture = &opened.tradeoff;
    if picture.places.is_empty() {
        ui.label(RichText::new("Nothing with a measured speed yet.").color(theme.ink_soft));
        return;
    }
    let size = ui.available_size();
    let canvas = paint::canvas(app.theme.look, size);
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    paint::scene(&ui.painter().with_clip_rect(rect), &picture.scene(app.lab.state.current, canvas), rect.min);
    response.widget_info(|| {
        egui::WidgetInfo::labeled(egui::Role::Image, true, format!("Recall against speed: {}", picture.title))
    });
    let Some(pointer) = response.hover_pos() else { return };
    let at = pointer - rect.min;
    if let Some(place) = picture.at(canvas, (at.x, at.y), GRIP) {
        let panel = picture.panel(canvas);
        let point = rect.min + egui::vec2(panel.x(place.recall.1), panel.y(place.speed));
        tell(ui, &theme, point, rect, &opened.lines[place.line]);
        if response.clicked() {
            app.commands.push(Command::Lab(LabCommand::LookAt(place.line)));
        }
    }
}

/// What the pointer is at, in a box beside it.
fn tell(ui: &egui::Ui, theme: &Theme, at: egui::Pos2, frame: egui::Rect, line: &Line) {
    let memory = line.memory_bytes.map_or(String::new(), |memory| format!(" · {} in memory", bytes(memory)));
    let recall = line.best_recall().map_or(0.0, |recall| recall.mean);
    let text = format!(
        "{}\n{}recall {recall:.4} · {:.0} queries/s{memory}",
        line.index,
        if line.setting.is_empty() { String::new() } else { format!("{} · ", line.setting) },
        line.qps.unwrap_or(0.0)
    );
    let font = egui::FontId::new(13.0, egui::FontFamily::Proportional);
    let galley = ui.painter().layout_no_wrap(text, font, theme.ink);
    let size = galley.size() + egui::vec2(16.0, 12.0);
    let left = at.x > frame.center().x;
    let anchor = if left { Align2::RIGHT_CENTER } else { Align2::LEFT_CENTER };
    let beside = at + egui::vec2(if left { -14.0 } else { 14.0 }, 0.0);
    let mut rect = anchor.anchor_size(beside, size);
    rect = rect
        .translate(egui::vec2(0.0, (frame.top() - rect.top()).max(0.0) - (rect.bottom() - frame.bottom()).max(0.0)));
    ui.painter().rect(rect, 6.0, theme.paper, Stroke::new(1.0, theme.rule_strong), egui::StrokeKind::Inside);
    ui.painter().galley(rect.min + egui::vec2(8.0, 6.0), galley, theme.ink);
}
