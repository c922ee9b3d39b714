//! The animated histogram: fixed axes, bars, the large N, the statistics; drag to zoom.

use egui::{Align, Layout, RichText, Stroke, UiBuilder};
use egui_plot::{AxisHints, BarChart, PlotBounds};

use super::super::App;
use super::super::command::Command;
use super::super::plots::{Reach, bars, fixed_plot, zoom_span};
use super::super::state::{Digest, ExportKind, MAX_BINS_IN_WINDOW};
use super::super::theme::{self, Theme};
use crate::compute::figures::{counted, grouped};
use crate::video::FrameContent;
use crate::video::scene::{decimals, fixed, ticks};

pub fn show(app: &mut App, ui: &mut egui::Ui) {
    let Some(digest) = app.session.digest.clone() else {
        empty(app, ui);
        return;
    };
    let index = app.session.player.index.min(digest.run_count() - 1);
    let content = FrameContent {
        store: &digest.store,
        index,
        stats: &digest.stats[index],
        histogram: &digest.set.histograms[index],
        axes: digest.set.axes,
        mass_is_right: digest.set.mass_is_right,
        look: app.theme.look,
    };
    title_row(ui, &app.theme, &content);
    let controls_height = 40.0;
    let size = egui::vec2(ui.available_width(), (ui.available_height() - controls_height).max(120.0));
    let plot_rect = ui.allocate_ui(size, |ui| plot(app, ui, &digest, &content)).inner;
    card(ui, &app.theme, &content, plot_rect);
    view_controls(app, ui);
}

/// What the picture shows, and how much of the run is in view.
fn title_row(ui: &mut egui::Ui, theme: &Theme, content: &FrameContent<'_>) {
    let histogram = content.histogram;
    let width = histogram.bins.width();
    let in_view = format!(
        "{} of {} scores in view · bin width {}",
        grouped(histogram.in_view()),
        grouped(histogram.total()),
        fixed(width, (3.0 - width.log10().floor()).clamp(0.0, 12.0) as usize)
    );
    ui.spacing_mut().item_spacing.y = 2.0;
    ui.add(egui::Label::new(RichText::new(content.title()).heading()).truncate());
    ui.add(egui::Label::new(RichText::new(in_view).color(theme.ink_soft)).truncate());
    ui.spacing_mut().item_spacing.y = 8.0;
    // The topmost number of the axis stands half above it.
    ui.add_space(8.0);
}

/// Nothing is open yet: says what comes next.
fn empty(app: &App, ui: &mut egui::Ui) {
    ui.with_layout(Layout::top_down(Align::Center), |ui| {
        ui.add_space(ui.available_height() * 0.4);
        if app.jobs.scoring.is_busy() || app.jobs.digest.is_busy() {
            let text = if app.session.is_demo { "Preparing the demo…" } else { "Working on the first run…" };
            ui.label(RichText::new(text).heading().color(app.theme.ink_soft));
        } else {
            ui.label(RichText::new("Nothing is open").heading());
            let text = "Choose docs and queries at the left and press Score, or drop a results folder here.";
            ui.label(RichText::new(text).color(app.theme.ink_soft));
        }
    });
}

/// Draws the bars; returns where they are.
fn plot(app: &mut App, ui: &mut egui::Ui, digest: &Digest, content: &FrameContent<'_>) -> egui::Rect {
    let theme = app.theme.clone();
    let bins = digest.set.bins;
    let axes = digest.set.axes;
    let histogram = content.histogram;
    let bars = bars(histogram, &theme, ui.available_width());
    let digits = decimals(digest.store.metric(), bins.high() - bins.low());
    let wanted_x = ((ui.available_width() / 80.0) as usize).clamp(2, 12);
    let wanted_y = ((ui.available_height() / 80.0) as usize).clamp(2, 8);
    let x_digits = ticks(axes.x_low, axes.x_high, wanted_x).1;
    let y_digits = ticks(0.0, axes.y_high, wanted_y).1;
    let x_axis = AxisHints::new_x()
        .label(format!("{} (fixed over all runs)", digest.store.metric().axis_label()))
        .formatter(move |mark, _| fixed(mark.value, x_digits));
    let y_axis = AxisHints::new_y().label("% of scores").formatter(move |mark, _| fixed(mark.value, y_digits));
    let dragging = app.session.drag;
    let x = Reach { low: axes.x_low, high: axes.x_high, wanted: wanted_x };
    let y = Reach { low: 0.0, high: axes.y_high, wanted: wanted_y };
    let response = fixed_plot("histogram", &theme, x, y)
        .custom_x_axes(vec![x_axis])
        .custom_y_axes(vec![y_axis])
        .sense(egui::Sense::click_and_drag())
        .show(ui, move |plot| {
            plot.set_plot_bounds(PlotBounds::from_min_max([axes.x_low, 0.0], [axes.x_high, axes.y_high]));
            plot.bar_chart(BarChart::new("exact scores", bars).color(theme.exact).allow_hover(false));
            if let Some((from, to)) = dragging {
                plot.span(zoom_span(&theme, from, to));
            }
        });
    hover_bin(app, &response.response, &response.transform, content, digits);
    drag_to_zoom(app, &response.response, &response.transform);
    *response.transform.frame()
}

/// Tells the bin under the pointer.
fn hover_bin(
    app: &App,
    response: &egui::Response,
    transform: &egui_plot::PlotTransform,
    content: &FrameContent<'_>,
    digits: usize,
) {
    let Some(pointer) = response.hover_pos().filter(|_| app.session.drag.is_none()) else { return };
    let value = transform.value_from_position(pointer).x;
    let bins = content.histogram.bins;
    if !(bins.low()..=bins.high()).contains(&value) {
        return;
    }
    let bin = (((value - bins.low()) / bins.width()) as usize).min(bins.count() - 1);
    let text = format!(
        "{} to {}\n{}, {:.3} %",
        fixed(bins.edge(bin), digits),
        fixed(bins.edge(bin + 1), digits),
        counted(content.histogram.counts[bin] as usize, "score", "scores"),
        content.histogram.percent(bin)
    );
    response.clone().on_hover_text_at_pointer(text);
}

fn drag_to_zoom(app: &mut App, response: &egui::Response, transform: &egui_plot::PlotTransform) {
    let at = |position: egui::Pos2| transform.value_from_position(position).x;
    if response.drag_started_by(egui::PointerButton::Primary)
        && let Some(origin) = response.ctx.input(|input| input.pointer.press_origin())
    {
        app.session.drag = Some((at(origin), at(origin)));
    }
    if let (Some((from, _)), Some(pointer)) = (app.session.drag, response.interact_pointer_pos()) {
        app.session.drag = Some((from, at(pointer)));
    }
    if response.drag_stopped()
        && let Some((from, to)) = app.session.drag.take()
    {
        let bounds = transform.bounds();
        let (low, high) = (from.min(to).max(bounds.min()[0]), from.max(to).min(bounds.max()[0]));
        let wide_enough = (high - low) / bounds.width() > 0.005;
        if wide_enough {
            app.commands.push(Command::ZoomTo(low, high));
        }
    }
}

/// "N = …" and the statistics, over the emptier half of the plot.
fn card(ui: &mut egui::Ui, theme: &Theme, content: &FrameContent<'_>, plot: egui::Rect) {
    let width = 232.0;
    let left = if content.mass_is_right { plot.left() + 16.0 } else { plot.right() - 16.0 - width };
    let rect = egui::Rect::from_min_size(egui::pos2(left, plot.top() + 8.0), egui::vec2(width, 220.0));
    let mut card = ui.new_child(UiBuilder::new().max_rect(rect).layout(Layout::top_down(Align::Min)));
    let frame = egui::Frame::new()
        .fill(theme.card.gamma_multiply(0.94))
        .stroke(Stroke::new(1.0, theme.rule))
        .corner_radius(8)
        .inner_margin(egui::Margin::symmetric(16, 10));
    frame.show(&mut card, |ui| {
        ui.set_width(width - 32.0);
        ui.spacing_mut().item_spacing.y = 4.0;
        ui.spacing_mut().interact_size.y = 16.0;
        ui.label(RichText::new(content.headline()).font(egui::FontId::new(32.0, theme::bold())));
        let run = &content.store.runs()[content.index];
        // The statistics are those of the run, also where only a part of it is in view.
        let whole = if content.histogram.in_view() < content.histogram.total() { ", all its scores:" } else { "" };
        ui.label(RichText::new(format!("repeat {}{whole}", grouped(run.m + 1))).color(theme.ink_soft));
        for (name, value) in content.statistics() {
            ui.horizontal(|ui| {
                ui.label(RichText::new(name).monospace().color(theme.ink_soft));
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| ui.label(RichText::new(value).monospace()));
            });
        }
        if let Some(caution) = content.caution() {
            ui.add(egui::Label::new(RichText::new(caution).small().color(theme.attention)).wrap());
        }
    });
}

fn view_controls(app: &mut App, ui: &mut egui::Ui) {
    let zoomed = !app.session.view.zoom.is_empty();
    ui.horizontal(|ui| {
        ui.label("Bins");
        let mut bins = app.session.view.bins;
        let slider = egui::DragValue::new(&mut bins).range(1..=MAX_BINS_IN_WINDOW).speed(0.5);
        let response = ui.add(slider).on_hover_text("Number of bins: drag or type");
        response.widget_info(|| egui::WidgetInfo::drag_value(true, bins as f64));
        if response.changed() {
            app.commands.push(Command::SetBins(bins));
        }
        let hint = "Drag over the chart to zoom in";
        if ui.add_enabled(zoomed, egui::Button::new("Back")).on_disabled_hover_text(hint).clicked() {
            app.commands.push(Command::ZoomBack);
        }
        if ui.add_enabled(zoomed, egui::Button::new("Reset")).on_disabled_hover_text(hint).clicked() {
            app.commands.push(Command::ZoomReset);
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let exporting = app.jobs.export.is_busy();
            let button =
                egui::Button::new(RichText::new("Export video").family(theme::medium()).color(app.theme.paper))
                    .fill(if exporting { app.theme.rule_strong } else { app.theme.exact });
            let hint = "Write exact_nn_histogram.mp4 of all runs into the results folder (Ctrl+E)";
            if ui
                .add_enabled(!exporting, button)
                .on_hover_text(hint)
                .on_disabled_hover_text("An export is going on")
                .clicked()
            {
                app.commands.push(Command::ExportVideo);
            }
            if ui.button("Export as…").on_hover_text("Choose place, size and speed of the video").clicked() {
                app.commands.push(Command::AskExport(ExportKind::Video));
            }
            if ui.button("Save PNG…").on_hover_text("Save this run as a picture (Ctrl+S)").clicked() {
                app.commands.push(Command::AskExport(ExportKind::Frame));
            }
            if ui.button("Copy").on_hover_text("Copy this run as a picture (Ctrl+Shift+C)").clicked() {
                app.commands.push(Command::CopyFrame);
            }
        });
    });
}
