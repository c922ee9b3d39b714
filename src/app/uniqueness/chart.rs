//! The scores: histogram and cumulative share, with a threshold handle at each end; drag to zoom.

use egui::{Align, Align2, Layout, RichText, Stroke};
use egui_plot::{AxisHints, BarChart, Line, PlotBounds, PlotTransform};

use super::super::App;
use super::super::command::Command;
use super::super::plots::{Reach, bars, fixed_plot, zoom_span};
use super::super::state::MAX_BINS_IN_WINDOW;
use super::UniquenessCommand;
use super::state::{Drag, Found, Save};
use super::work::picture;
use crate::compute::figures::grouped;
use crate::compute::uniqueness::Rules;
use crate::video::scene::{fixed, ticks};
use crate::video::uniqueness::threshold_label;

/// Width of the numbers beside the cumulative share.
const SHARE_AXIS: f32 = 56.0;
/// Pixels around a handle that take hold of it.
const GRIP: f32 = 10.0;

pub fn show(app: &mut App, ui: &mut egui::Ui) {
    let state = &app.uniqueness.state;
    let (Some(found), Some(binned)) = (state.found.clone(), state.binned.clone()) else {
        ui.label(RichText::new("Binning the scores…").color(app.theme.ink_soft));
        return;
    };
    let picture = picture(&found, &binned, state.rules, app.theme.look);
    let histogram = &binned.histogram;
    ui.spacing_mut().item_spacing.y = 2.0;
    ui.add(egui::Label::new(RichText::new(picture.title()).heading()).truncate());
    let (low, high) = (found.sorted[0], found.sorted[found.samples() - 1]);
    let median = found.sorted[found.samples() / 2];
    let facts = format!(
        "{} of {} scores in view · lowest {low:.4} · median {median:.4} · highest {high:.4}",
        grouped(histogram.in_view()),
        grouped(histogram.total())
    );
    ui.add(egui::Label::new(RichText::new(facts).color(app.theme.ink_soft)).truncate());
    ui.spacing_mut().item_spacing.y = 8.0;
    // Room for the labels of the handles.
    ui.add_space(22.0);
    let size = egui::vec2(ui.available_width(), (ui.available_height() - 40.0).max(100.0));
    ui.allocate_ui(size, |ui| {
        let theme = app.theme.clone();
        let axes = picture.axes();
        let bars = bars(histogram, &theme, ui.available_width());
        let cumulative: Vec<[f64; 2]> =
            picture.cumulative.iter().map(|&(value, percent)| [value, percent / 100.0 * axes.y_high]).collect();
        let wanted_x = ((ui.available_width() / 80.0) as usize).clamp(2, 12);
        let wanted_y = ((ui.available_height() / 60.0) as usize).clamp(2, 8);
        let x_digits = ticks(axes.x_low, axes.x_high, wanted_x).1;
        let y_digits = ticks(0.0, axes.y_high, wanted_y).1;
        let x_axis =
            AxisHints::new_x().label(picture.axis_label()).formatter(move |mark, _| fixed(mark.value, x_digits));
        let y_axis = AxisHints::new_y().label("% of samples").formatter(move |mark, _| fixed(mark.value, y_digits));
        let zooming = match app.uniqueness.state.drag {
            Some(Drag::Zoom(from, to)) => Some((from, to)),
            _ => None,
        };
        let line = theme.attention;
        let x = Reach { low: axes.x_low, high: axes.x_high, wanted: wanted_x };
        let y = Reach { low: 0.0, high: axes.y_high, wanted: wanted_y };
        let response = fixed_plot("uniqueness histogram", &theme, x, y)
            .custom_x_axes(vec![x_axis])
            .width(ui.available_width() - SHARE_AXIS)
            .custom_y_axes(vec![y_axis])
            .sense(egui::Sense::click_and_drag())
            .show(ui, move |plot| {
                plot.set_plot_bounds(PlotBounds::from_min_max([axes.x_low, 0.0], [axes.x_high, axes.y_high]));
                plot.bar_chart(BarChart::new("scores", bars).color(theme.exact).allow_hover(false));
                plot.line(Line::new("cumulative share", cumulative).color(line).width(2.0).allow_hover(false));
                if let Some((from, to)) = zooming {
                    plot.span(zoom_span(&theme, from, to));
                }
            });
        response.response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, "Scores"));
        let bounds = (axes.x_low, axes.x_high);
        let frame = *response.transform.frame();
        for percent in [0.0, 25.0, 50.0, 75.0, 100.0] {
            let y = frame.bottom() - frame.height() * percent / 100.0;
            let font = egui::FontId::new(13.0, egui::FontFamily::Proportional);
            let place = egui::pos2(frame.right() + 10.0, y);
            ui.painter().text(place, Align2::LEFT_CENTER, format!("{percent} %"), font, line);
        }
        drag(app, &response.response, &response.transform, bounds);
        handles(app, ui, &found, &response.transform, bounds);
        hover(app, &response.response, &response.transform, &picture, &found);
    });
    controls(app, ui);
}

/// Where the handles stand: at the thresholds, or at the ends of the view.
fn handle_values(app: &App, bounds: (f64, f64)) -> (f64, f64) {
    let (rules, drag) = (app.uniqueness.state.rules, app.uniqueness.state.drag);
    let below = match drag {
        Some(Drag::Below(value)) => value,
        _ => rules.drop_below.unwrap_or(bounds.0),
    };
    let above = match drag {
        Some(Drag::Above(value)) => value,
        _ => rules.drop_above.unwrap_or(bounds.1),
    };
    (below, above)
}

fn drag(app: &mut App, response: &egui::Response, transform: &PlotTransform, bounds: (f64, f64)) {
    let value_at = |position: egui::Pos2| transform.value_from_position(position).x.clamp(bounds.0, bounds.1);
    let x_of = |value: f64| transform.position_from_point(&egui_plot::PlotPoint::new(value, 0.0)).x;
    let (below, above) = handle_values(app, bounds);
    let is_near = |value: f64, pointer: egui::Pos2| (x_of(value) - pointer.x).abs() <= GRIP;
    if let Some(pointer) = response.hover_pos()
        && (is_near(below, pointer) || is_near(above, pointer))
    {
        response.ctx.set_cursor_icon(egui::CursorIcon::ResizeHorizontal);
    }
    if response.drag_started_by(egui::PointerButton::Primary)
        && let Some(origin) = response.ctx.input(|input| input.pointer.press_origin())
    {
        app.uniqueness.state.drag = Some(if is_near(below, origin) {
            Drag::Below(below)
        } else if is_near(above, origin) {
            Drag::Above(above)
        } else {
            Drag::Zoom(value_at(origin), value_at(origin))
        });
    }
    if let (Some(drag), Some(pointer)) = (&mut app.uniqueness.state.drag, response.interact_pointer_pos()) {
        let value = value_at(pointer);
        match drag {
            Drag::Zoom(_, to) => *to = value,
            Drag::Below(below) => *below = value.min(above),
            Drag::Above(above) => *above = value.max(below),
        }
    }
    if !response.drag_stopped() {
        return;
    }
    let rules = app.uniqueness.state.rules;
    let Some(found) = &app.uniqueness.state.found else { return };
    let (lowest, highest) = (found.sorted[0], found.sorted[found.samples() - 1]);
    let command = match app.uniqueness.state.drag.take() {
        Some(Drag::Zoom(from, to)) if (to - from).abs() > (bounds.1 - bounds.0) * 0.005 => {
            UniquenessCommand::ZoomTo(from.min(to), from.max(to))
        }
        // A handle at the end of all scores drops nothing.
        Some(Drag::Below(value)) => {
            let value = rounded(value, bounds).min(rules.drop_above.unwrap_or(f64::INFINITY));
            let drop_below = Some(value).filter(|&value| value > lowest);
            UniquenessCommand::SetRules(Rules { drop_below, ..rules })
        }
        Some(Drag::Above(value)) => {
            let value = rounded(value, bounds).max(rules.drop_below.unwrap_or(f64::NEG_INFINITY));
            let drop_above = Some(value).filter(|&value| value < highest);
            UniquenessCommand::SetRules(Rules { drop_above, ..rules })
        }
        _ => return,
    };
    app.commands.push(Command::Uniqueness(command));
}

/// As many digits as can be pointed at.
fn rounded(value: f64, bounds: (f64, f64)) -> f64 {
    let digits = (4.0 - (bounds.1 - bounds.0).max(1e-300).log10().ceil()).clamp(0.0, 15.0);
    let scale = 10f64.powf(digits);
    (value * scale).round() / scale
}

fn handles(app: &App, ui: &egui::Ui, found: &Found, transform: &PlotTransform, bounds: (f64, f64)) {
    let theme = &app.theme;
    let frame = transform.frame();
    let (below, above) = handle_values(app, bounds);
    let painter = ui.painter();
    for (value, is_below) in [(below, true), (above, false)] {
        if !(bounds.0..=bounds.1).contains(&value) {
            continue;
        }
        let x = transform.position_from_point(&egui_plot::PlotPoint::new(value, 0.0)).x;
        let is_set = if is_below { value > bounds.0 } else { value < bounds.1 };
        let ink = if is_set { theme.ink } else { theme.rule_strong };
        if is_set {
            let shade = if is_below {
                egui::Rect::from_min_max(frame.min, egui::pos2(x, frame.max.y))
            } else {
                egui::Rect::from_min_max(egui::pos2(x, frame.min.y), frame.max)
            };
            painter.rect_filled(shade, 0.0, theme.ink.gamma_multiply(0.08));
        }
        painter.line_segment([egui::pos2(x, frame.top()), egui::pos2(x, frame.bottom())], Stroke::new(1.5, ink));
        let grip = egui::Rect::from_center_size(egui::pos2(x, frame.center().y), egui::vec2(8.0, 32.0));
        painter.rect(grip, 4.0, theme.card, Stroke::new(1.5, ink), egui::StrokeKind::Inside);
        if is_set {
            let (samples, side) = if is_below { (found.below(value), "below") } else { (found.above(value), "above") };
            let label = threshold_label(samples, found.samples(), side, value);
            let font = egui::FontId::new(13.0, super::super::theme::medium());
            // At the ends of the picture, so that they never meet.
            let (x, align) =
                if is_below { (frame.left(), Align2::LEFT_BOTTOM) } else { (frame.right(), Align2::RIGHT_BOTTOM) };
            painter.text(egui::pos2(x, frame.top() - 4.0), align, label, font, theme.ink);
        }
    }
}

/// Tells the bin under the pointer.
fn hover(
    app: &App,
    response: &egui::Response,
    transform: &PlotTransform,
    picture: &crate::video::UniquenessPicture<'_>,
    found: &Found,
) {
    let Some(pointer) = response.hover_pos().filter(|_| app.uniqueness.state.drag.is_none()) else { return };
    let value = transform.value_from_position(pointer).x;
    let bins = picture.histogram.bins;
    if !(bins.low()..=bins.high()).contains(&value) {
        return;
    }
    let bin = (((value - bins.low()) / bins.width()) as usize).min(bins.count() - 1);
    let digits = (3.0 - bins.width().log10().floor()).clamp(0.0, 12.0) as usize;
    let share = (found.samples() - found.above(value)) as f64 * 100.0 / found.samples() as f64;
    let text = format!(
        "{} to {}\n{} samples, {:.3} %\n{share:.1} % at most {}",
        fixed(bins.edge(bin), digits),
        fixed(bins.edge(bin + 1), digits),
        grouped(picture.histogram.counts[bin]),
        picture.histogram.percent(bin),
        fixed(value, digits),
    );
    response.clone().on_hover_text_at_pointer(text);
}

fn controls(app: &mut App, ui: &mut egui::Ui) {
    let zoomed = !app.uniqueness.state.zoom.is_empty();
    let send = |app: &mut App, command| app.commands.push(Command::Uniqueness(command));
    ui.horizontal(|ui| {
        ui.label("Bins");
        let mut bins = app.uniqueness.state.bins;
        let slider = egui::DragValue::new(&mut bins).range(1..=MAX_BINS_IN_WINDOW).speed(0.5);
        let response = ui.add(slider).on_hover_text("Number of bins: drag or type");
        response.widget_info(|| egui::WidgetInfo::drag_value(true, bins as f64));
        if response.changed() {
            send(app, UniquenessCommand::SetBins(bins));
        }
        let hint = "Drag over the chart to zoom in";
        if ui.add_enabled(zoomed, egui::Button::new("Back")).on_disabled_hover_text(hint).clicked() {
            send(app, UniquenessCommand::ZoomBack);
        }
        if ui.add_enabled(zoomed, egui::Button::new("Reset")).on_disabled_hover_text(hint).clicked() {
            send(app, UniquenessCommand::ZoomReset);
        }
        ui.label(
            RichText::new("Drag the handles to drop samples, the chart to zoom").small().color(app.theme.ink_soft),
        );
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if ui.button("Save plot…").on_hover_text("Save this picture as PNG or SVG (Ctrl+S)").clicked() {
                send(app, UniquenessCommand::AskSave(Save::Plot));
            }
        });
    });
}
