//! What the plots of all views share: axes that stay where they are, with round values, and bars.

use egui::Stroke;
use egui_plot::{Bar, GridMark, Plot, Span};

use super::theme::Theme;
use crate::compute::histogram::Histogram;
use crate::video::scene::ticks;

/// From where to where an axis reaches, and about how many values it names.
#[derive(Debug, Clone, Copy)]
pub struct Reach {
    pub low: f64,
    pub high: f64,
    pub wanted: usize,
}

/// A plot that nothing moves but its owner.
pub fn fixed_plot<'a>(id: &str, theme: &Theme, x: Reach, y: Reach) -> Plot<'a> {
    Plot::new(id)
        .x_grid_spacer(move |_| marks(x))
        .y_grid_spacer(move |_| marks(y))
        .grid_spacing(1.0..=300.0)
        .grid_color(theme.rule)
        .show_grid([false, true])
        .grid_fade(0.0)
        .show_background(false)
        .allow_zoom(false)
        .allow_drag(false)
        .allow_scroll(false)
        .allow_boxed_zoom(false)
        .allow_axis_zoom_drag(false)
        .allow_double_click_reset(false)
        .show_crosshair(false)
        .set_margin_fraction(egui::Vec2::ZERO)
        .label_formatter(|_| None)
}

fn marks(reach: Reach) -> Vec<GridMark> {
    let (values, _) = ticks(reach.low, reach.high, reach.wanted);
    let step = values.get(1).map_or(reach.high - reach.low, |second| second - values[0]);
    values.into_iter().map(|value| GridMark { value, step_size: step }).collect()
}

/// The bars of a histogram in percent, in a plot of this width.
pub fn bars(histogram: &Histogram, theme: &Theme, width: f32) -> Vec<Bar> {
    let bins = histogram.bins;
    // Hairlines between bars where there is room for one.
    let roomy = width / bins.count() as f32 >= 5.0;
    let hairline = if roomy { Stroke::new(0.6, theme.paper) } else { Stroke::NONE };
    let filled = (0..bins.count()).filter(|&bin| histogram.counts[bin] > 0);
    let bar = |bin: usize| {
        let middle = (bins.edge(bin) + bins.edge(bin + 1)) / 2.0;
        Bar::new(middle, histogram.percent(bin)).width(bins.width()).fill(theme.exact).stroke(hairline)
    };
    filled.map(bar).collect()
}

/// The range that is being dragged over.
pub fn zoom_span(theme: &Theme, from: f64, to: f64) -> Span {
    Span::new("zoom", from.min(to)..=from.max(to)).fill(theme.ink.gamma_multiply(0.15)).border_color(theme.ink_soft)
}
