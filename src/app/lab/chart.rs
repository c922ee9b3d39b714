//! Recall against queries per second, with bands and the front.

use egui::{Align2, RichText, Sense, Stroke};
use egui_plot::{AxisHints, Line as PlotLine, PlotBounds, PlotPoint, Points};

use super::super::App;
use super::super::command::Command;
use super::super::plots::{Reach, fixed_plot, pieces};
use super::LabCommand;
use super::work::Opened;
use crate::compute::figures::{bytes, count};
use crate::compute::index::report::Line;
use crate::video::scene::{fixed, ticks};

/// Pixels around a point that belong to it.
const GRIP: f32 = 14.0;

/// A contestant that has a place in the chart: recall, log₁₀ of QPS.
struct Place {
    line: usize,
    recall: f64,
    low: f64,
    high: f64,
    speed: f64,
}

fn places(opened: &Opened) -> Vec<Place> {
    let place = |(line, told): (usize, &Line)| {
        let recall = told.best_recall()?;
        let speed = told.qps.filter(|qps| *qps > 0.0)?.log10();
        Some(Place { line, recall: recall.mean, low: recall.low, high: recall.high, speed })
    };
    opened.lines.iter().enumerate().filter_map(place).collect()
}

pub fn show(app: &mut App, ui: &mut egui::Ui) {
    let Some(opened) = app.lab.state.opened.clone() else { return };
    let theme = app.theme.clone();
    let k = opened.ks.last().copied().unwrap_or(1);
    ui.horizontal(|ui| {
        ui.add(egui::Label::new(RichText::new(&opened.title).heading()).truncate());
    });
    let told = format!(
        "Recall@{} against queries a second on one thread; bars: 95 % of resampled queries; line: nothing else is both \
         faster and at least as good",
        count(k)
    );
    ui.add(egui::Label::new(RichText::new(told).small().color(theme.ink_soft)).truncate());
    let places = places(&opened);
    if places.is_empty() {
        ui.label(RichText::new("Nothing with a measured speed yet.").color(theme.ink_soft));
        return;
    }
    let lowest = places.iter().map(|place| place.low).fold(1.0, f64::min);
    let x = Reach {
        low: (lowest - 0.04).max(0.0),
        high: 1.02,
        wanted: ((ui.available_width() / 90.0) as usize).clamp(2, 11),
    };
    let speeds = || places.iter().map(|place| place.speed);
    let y = Reach {
        // A decade at least, so that it has a name.
        low: (speeds().fold(f64::INFINITY, f64::min) - 0.25).min(speeds().fold(f64::NEG_INFINITY, f64::max).floor()),
        high: speeds().fold(f64::NEG_INFINITY, f64::max) + 0.25,
        wanted: 6,
    };
    let x_digits = ticks(x.low, x.high, x.wanted).1;
    let x_axis = AxisHints::new_x()
        .label(format!("recall@{}", count(k)))
        .formatter(move |mark, _| if mark.value > 1.0 + 1e-9 { String::new() } else { fixed(mark.value, x_digits) });
    let y_axis = AxisHints::new_y().label("queries a second, one thread").formatter(|mark, _| match mark.value {
        value if (value - value.round()).abs() < 1e-9 => count(10f64.powf(value.round()).round() as usize),
        _ => String::new(),
    });
    let mut front: Vec<[f64; 2]> = places
        .iter()
        .filter(|place| opened.lines[place.line].is_on_front)
        .map(|place| [place.recall, place.speed])
        .collect();
    front.sort_by(|left, right| left[0].total_cmp(&right[0]));
    let current = app.lab.state.current;
    let response = fixed_plot("index lab", &theme, x, y)
        .custom_x_axes(vec![x_axis])
        .custom_y_axes(vec![y_axis])
        .sense(Sense::click())
        .show(ui, |plot| {
            plot.set_plot_bounds(PlotBounds::from_min_max([x.low, y.low], [x.high, y.high]));
            pieces(&front, theme.exact.gamma_multiply(0.6), 1.5).for_each(|piece| plot.line(piece));
            for place in &places {
                let color = if opened.lines[place.line].is_on_front { theme.exact } else { theme.ink_soft };
                let is_current = current == Some(place.line);
                let color = if is_current { theme.attention } else { color };
                let band = vec![[place.low, place.speed], [place.high, place.speed]];
                plot.line(PlotLine::new("band", band).color(color.gamma_multiply(0.7)).width(2.0).allow_hover(false));
                let radius = if is_current { 7.0 } else { 5.0 };
                let point = Points::new("contestant", vec![[place.recall, place.speed]]).color(color).radius(radius);
                plot.points(point.allow_hover(false));
            }
        });
    response.response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, "Recall against speed"));
    let transform = response.transform;
    let at = |place: &Place| transform.position_from_point(&PlotPoint::new(place.recall, place.speed));
    let Some(pointer) = response.response.hover_pos() else { return };
    let nearest = places
        .iter()
        .map(|place| (at(place).distance(pointer), place))
        .filter(|(distance, _)| *distance <= GRIP)
        .min_by(|left, right| left.0.total_cmp(&right.0));
    if let Some((_, place)) = nearest {
        tell(ui, &theme, at(place), *transform.frame(), &opened.lines[place.line]);
        if response.response.clicked() {
            app.commands.push(Command::Lab(LabCommand::LookAt(place.line)));
        }
    }
}

/// What the pointer is at, in a box beside it.
fn tell(ui: &egui::Ui, theme: &super::super::theme::Theme, at: egui::Pos2, frame: egui::Rect, line: &Line) {
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
