//! Exact and found scores over each other, the lost ones by themselves, and lost neighbours by rank.

use egui::{RichText, Sense, Stroke};
use egui_plot::{AxisHints, Bar, BarChart, PlotBounds};

use super::super::App;
use super::super::plots::{Reach, fixed_plot, pieces};
use super::super::theme::Theme;
use super::work::Scores;
use crate::compute::figures::{count, percent};
use crate::video::scene::{fixed, ticks};

pub fn show(app: &mut App, ui: &mut egui::Ui) {
    let theme = app.theme.clone();
    let state = &app.lab.state;
    let Some(scores) = state.scores.clone() else {
        let text = match (state.current, state.opened.as_ref().is_some_and(|opened| opened.lab.is_some())) {
            (None, _) => "Click a contestant in the table below: its scores stand here.",
            (Some(_), true) => "Binning the scores…",
            (Some(_), false) => "Scores can be looked at when all indexes are run.",
        };
        ui.label(RichText::new(text).color(theme.ink_soft));
        return;
    };
    ui.add(egui::Label::new(RichText::new(&scores.title).heading()).truncate());
    ui.horizontal(|ui| {
        for (color, name) in [(theme.exact, "exact"), (theme.ink, "found"), (theme.attention, "lost")] {
            let (rect, _) = ui.allocate_exact_size(egui::vec2(12.0, 12.0), Sense::hover());
            ui.painter().rect_filled(rect, 2.0, color);
            ui.label(RichText::new(name).small().color(theme.ink_soft));
        }
        let lost = format!(
            "{} of {} exact neighbours lost ({})",
            count(scores.lost_count),
            count(scores.exact_count),
            percent(scores.lost_count, scores.exact_count)
        );
        ui.label(RichText::new(lost).small().color(theme.ink_soft));
    });
    let height = ui.available_height() - 8.0;
    ui.allocate_ui(egui::vec2(ui.available_width(), height * 0.62), |ui| distribution(ui, &theme, &scores));
    ui.allocate_ui(egui::vec2(ui.available_width(), height * 0.36), |ui| by_rank(ui, &theme, &scores));
}

fn distribution(ui: &mut egui::Ui, theme: &Theme, scores: &Scores) {
    let highest = scores.exact.iter().chain(&scores.found).copied().fold(0.0, f64::max);
    let x = Reach { low: scores.low, high: scores.high, wanted: ((ui.available_width() / 90.0) as usize).clamp(2, 10) };
    let y = Reach { low: 0.0, high: highest * 1.08, wanted: 4 };
    let (x_digits, y_digits) = (ticks(x.low, x.high, x.wanted).1, ticks(y.low, y.high, y.wanted).1);
    let x_axis = AxisHints::new_x().label(scores.axis).formatter(move |mark, _| fixed(mark.value, x_digits));
    let y_axis = AxisHints::new_y().label("% of exact").formatter(move |mark, _| fixed(mark.value, y_digits));
    let width = (scores.high - scores.low) / scores.exact.len() as f64;
    let middle = |bin: usize| scores.low + width * (bin as f64 + 0.5);
    let bars = |values: &[f64], color: egui::Color32| -> Vec<Bar> {
        let filled = values.iter().enumerate().filter(|(_, value)| **value > 0.0);
        filled.map(|(bin, &value)| Bar::new(middle(bin), value).width(width).fill(color).stroke(Stroke::NONE)).collect()
    };
    let found: Vec<[f64; 2]> = scores.found.iter().enumerate().map(|(bin, &value)| [middle(bin), value]).collect();
    let response = fixed_plot("lab scores", theme, x, y).custom_x_axes(vec![x_axis]).custom_y_axes(vec![y_axis]).show(
        ui,
        |plot| {
            plot.set_plot_bounds(PlotBounds::from_min_max([x.low, y.low], [x.high, y.high]));
            plot.bar_chart(
                BarChart::new("exact", bars(&scores.exact, theme.exact.gamma_multiply(0.75))).allow_hover(false),
            );
            plot.bar_chart(BarChart::new("lost", bars(&scores.lost, theme.attention)).allow_hover(false));
            pieces(&found, theme.ink, 1.5).for_each(|piece| plot.line(piece));
        },
    );
    response
        .response
        .widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, "Exact, found and lost scores"));
}

fn by_rank(ui: &mut egui::Ui, theme: &Theme, scores: &Scores) {
    let highest = scores.by_rank.iter().copied().fold(0.0, f64::max).max(1e-9);
    let ranks = scores.by_rank.len() as f64;
    let x = Reach { low: 0.5, high: ranks + 0.5, wanted: ((ui.available_width() / 90.0) as usize).clamp(2, 10) };
    let y = Reach { low: 0.0, high: highest * 1.1, wanted: 3 };
    let y_digits = ticks(y.low, y.high, y.wanted).1;
    let x_axis = AxisHints::new_x()
        .label("rank of the exact neighbour")
        .formatter(|mark, _| if mark.value.fract() == 0.0 { count(mark.value as usize) } else { String::new() });
    let y_axis = AxisHints::new_y().label("% lost").formatter(move |mark, _| fixed(mark.value, y_digits));
    let bars =
        scores.by_rank.iter().enumerate().filter(|(_, value)| **value > 0.0).map(|(rank, &value)| {
            Bar::new(rank as f64 + 1.0, value).width(0.9).fill(theme.attention).stroke(Stroke::NONE)
        });
    let bars: Vec<Bar> = bars.collect();
    let response =
        fixed_plot("lab ranks", theme, x, y).custom_x_axes(vec![x_axis]).custom_y_axes(vec![y_axis]).show(ui, |plot| {
            plot.set_plot_bounds(PlotBounds::from_min_max([x.low, y.low], [x.high, y.high]));
            plot.bar_chart(BarChart::new("lost by rank", bars).allow_hover(false));
        });
    response.response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, "Lost neighbours by rank"));
}
