//! What a frame shows, in shapes and labels: no pixels yet.

use std::sync::Arc;

use super::fonts::{self, Face};
use super::palette::{Color, Inks, Look};
use crate::compute::figures::{count, grouped};
use crate::compute::histogram::{Axes, Histogram};
use crate::compute::metric::Metric;
use crate::compute::scores::{RunStats, ScoreStore};

/// Where a text's anchor lies on its width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    Left,
    Center,
    Right,
}

/// One thing to draw; coordinates in pixels, y downwards.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// A line through points, in pixels.
    Line {
        points: Vec<(f32, f32)>,
        width: f32,
        color: Color,
    },
    /// What lies between two lines: x, and the two heights there.
    Band {
        points: Vec<(f32, f32, f32)>,
        color: Color,
    },
    /// Shades from one colour to another, stretched without smoothing.
    Shades {
        x: f32,
        y: f32,
        width: f32,
        height: f32,
        shades: Arc<Shades>,
        from: Color,
        to: Color,
    },
    Rect {
        x: f32,
        y: f32,
        width: f32,
        height: f32,
        color: Color,
    },
    /// A card: filled, with a thin border and round corners.
    Card {
        x: f32,
        y: f32,
        width: f32,
        height: f32,
        radius: f32,
        fill: Color,
        border: Color,
    },
    /// `y` is the baseline. `upwards`: rotated a quarter turn against the clock.
    Text {
        x: f32,
        y: f32,
        size: f32,
        face: Face,
        align: Align,
        upwards: bool,
        color: Color,
        text: String,
    },
}

impl Item {
    /// The same, further down by `by` pixels.
    pub fn lowered(mut self, by: f32) -> Self {
        match &mut self {
            Self::Line { points, .. } => points.iter_mut().for_each(|point| point.1 += by),
            Self::Band { points, .. } => {
                points.iter_mut().for_each(|point| (point.1, point.2) = (point.1 + by, point.2 + by))
            }
            Self::Shades { y, .. } | Self::Rect { y, .. } | Self::Card { y, .. } | Self::Text { y, .. } => *y += by,
        }
        self
    }
}

/// Shades row by row, from 0 to 255.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shades {
    pub width: usize,
    pub height: usize,
    pub values: Vec<u8>,
}

impl Shades {
    /// Red, green and blue of every shade.
    pub fn rgb(&self, from: Color, to: Color) -> Vec<u8> {
        let mixed = |from: u8, to: u8, shade: u8| {
            (f32::from(from) + (f32::from(to) - f32::from(from)) * f32::from(shade) / 255.0).round() as u8
        };
        let pixel = |&shade: &u8| {
            [mixed(from.red, to.red, shade), mixed(from.green, to.green, shade), mixed(from.blue, to.blue, shade)]
        };
        self.values.iter().flat_map(pixel).collect()
    }
}

/// A frame before it is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    pub width: u32,
    pub height: u32,
    pub background: Color,
    pub items: Vec<Item>,
    /// How many of the items, at the front, are the same in every frame over the same axes.
    pub backdrop: usize,
}

/// What a frame of a score session tells.
#[derive(Debug, Clone)]
pub struct FrameContent<'a> {
    pub store: &'a ScoreStore,
    /// The run shown.
    pub index: usize,
    pub stats: &'a RunStats,
    pub histogram: &'a Histogram,
    pub axes: Axes,
    /// Where the card with the statistics does not belong; the same for all runs of a session.
    pub mass_is_right: bool,
    pub look: Look,
}

impl FrameContent<'_> {
    /// "N = 10,000"
    pub fn headline(&self) -> String {
        format!("N = {}", grouped(self.store.runs()[self.index].n))
    }

    /// "top-100 of 40,000 docs for 500 queries, repeat 3 of 10"
    pub fn title(&self) -> String {
        let (manifest, run) = (self.store.manifest(), &self.store.runs()[self.index]);
        format!(
            "Exact top-{} of {} docs for N = {} queries, repeat {} of {}",
            grouped(manifest.top_k),
            grouped(manifest.num_docs),
            grouped(run.n),
            grouped(run.m + 1),
            grouped(manifest.m_repeats.max(run.m + 1)),
        )
    }

    /// The lines of the statistics box: name and value.
    pub fn statistics(&self) -> Vec<(&'static str, String)> {
        let stats = self.stats;
        let digits = decimals(self.store.metric(), f64::from(stats.max) - f64::from(stats.min));
        let value = |value: f64| fixed(value, digits);
        vec![
            ("scores", grouped(stats.count)),
            ("min", value(f64::from(stats.min))),
            ("max", value(f64::from(stats.max))),
            ("mean", value(stats.mean)),
            ("std", value(stats.std)),
        ]
    }

    /// What keeps this run from being all new evidence, if anything.
    pub fn caution(&self) -> Option<String> {
        let reused = self.store.reused_queries(self.index).filter(|&reused| reused > 0)?;
        let n = self.store.runs()[self.index].n;
        Some(format!("{} of {} queries reused: no new evidence", grouped(reused), grouped(n)))
    }
}

/// Decimals that show a score of this metric to about four digits of its spread.
pub fn decimals(metric: Metric, spread: f64) -> usize {
    match metric {
        Metric::Cosine => 4,
        _ if spread > 0.0 && spread.is_finite() => (4.0 - spread.log10().ceil()).clamp(0.0, 12.0) as usize,
        _ => 4,
    }
}

/// A number with fixed decimals and a true minus sign; large or tiny ones in powers of ten.
pub fn fixed(value: f64, digits: usize) -> String {
    let text = if value != 0.0 && (value.abs() >= 1e9 || digits >= 10) {
        format!("{value:.4e}")
    } else {
        format!("{value:.digits$}")
    };
    text.replace('-', "−")
}

/// Round values from `low` to `high`, some `wanted` of them, with the decimals they need.
pub fn ticks(low: f64, high: f64, wanted: usize) -> (Vec<f64>, usize) {
    let span = high - low;
    if span <= 0.0 || !span.is_finite() || wanted == 0 {
        return (vec![low], 4);
    }
    let raw = span / wanted as f64;
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= raw * 0.999);
    let step = step.unwrap_or(10.0 * power);
    let digits = (-(step.log10() + 1e-9).floor()).max(0.0) as usize;
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    let values = (first..=last.min(first + 100)).map(|index| index as f64 * step).collect();
    (values, digits)
}

/// The frame of a run: bars over fixed axes, title, statistics box, "N = …", and where in the
/// session it stands.
pub fn histogram_scene(content: &FrameContent<'_>, width: u32, height: u32) -> Scene {
    let unit = (width as f32 / 1800.0).min(height as f32 / 900.0);
    let inks = content.look.inks();
    let mut sheet = Sheet { items: Vec::new(), unit, inks };
    let (frame_width, frame_height) = (width as f32, height as f32);
    let plot = Plot {
        left: (132.0 * unit).round(),
        right: (frame_width - 56.0 * unit).round(),
        top: (104.0 * unit).round(),
        bottom: (frame_height - 136.0 * unit).round(),
        axes: content.axes,
    };
    let x_label = format!("{} (fixed over all runs)", content.store.metric().axis_label());
    sheet.axes(&plot, &x_label, "% of scores");
    sheet.rect(plot.left, plot.bottom, plot.right - plot.left, (1.5 * unit).max(1.0), inks.rule_strong);
    let backdrop = sheet.items.len();
    sheet.text(plot.left, 66.0 * unit, 30.0, Face::Medium, Align::Left, inks.ink, content.title());
    sheet.bars(&plot, content.histogram);
    sheet.statistics(&plot, content);
    sheet.timeline(&plot, content, frame_height);
    Scene { width, height, background: inks.paper, items: sheet.items, backdrop }
}

pub(super) struct Plot {
    pub left: f32,
    pub right: f32,
    pub top: f32,
    pub bottom: f32,
    pub axes: Axes,
}

impl Plot {
    pub fn x(&self, value: f64) -> f32 {
        let share = (value - self.axes.x_low) / (self.axes.x_high - self.axes.x_low);
        self.left + (share * f64::from(self.right - self.left)) as f32
    }

    pub fn y(&self, percent: f64) -> f32 {
        self.bottom - (percent / self.axes.y_high * f64::from(self.bottom - self.top)) as f32
    }
}

pub(super) struct Sheet {
    pub items: Vec<Item>,
    /// Pixels per design unit; the design is 1800 × 900.
    pub unit: f32,
    pub inks: &'static Inks,
}

impl Sheet {
    pub fn rect(&mut self, x: f32, y: f32, width: f32, height: f32, color: Color) {
        self.items.push(Item::Rect { x, y, width, height, color });
    }

    #[expect(clippy::too_many_arguments)]
    pub fn text(&mut self, x: f32, y: f32, size: f32, face: Face, align: Align, color: Color, text: String) {
        let size = size * self.unit;
        self.items.push(Item::Text { x, y, size, face, align, upwards: false, color, text });
    }

    pub(super) fn axes(&mut self, plot: &Plot, x_label: &str, y_label: &str) {
        let (unit, inks) = (self.unit, self.inks);
        let line = (1.0 * unit).max(1.0);
        let (values, digits) = ticks(0.0, plot.axes.y_high, 6);
        for value in values {
            let y = plot.y(value).round();
            self.rect(plot.left, y, plot.right - plot.left, line, inks.rule);
            let label = fixed(value, digits);
            self.text(plot.left - 14.0 * unit, y + 8.0 * unit, 22.0, Face::Regular, Align::Right, inks.ink_soft, label);
        }
        let (values, digits) = ticks(plot.axes.x_low, plot.axes.x_high, 10);
        for value in values {
            let x = plot.x(value).round();
            self.rect(x, plot.bottom, line, 8.0 * unit, inks.rule_strong);
            let label = fixed(value, digits);
            self.text(x, plot.bottom + 34.0 * unit, 22.0, Face::Regular, Align::Center, inks.ink_soft, label);
        }
        let middle = (plot.left + plot.right) / 2.0;
        let x_label = x_label.to_owned();
        self.text(middle, plot.bottom + 72.0 * unit, 24.0, Face::Regular, Align::Center, inks.ink, x_label);
        self.items.push(Item::Text {
            x: 44.0 * unit,
            y: (plot.top + plot.bottom) / 2.0,
            size: 24.0 * unit,
            face: Face::Regular,
            align: Align::Center,
            upwards: true,
            color: inks.ink,
            text: y_label.to_owned(),
        });
    }

    pub fn bars(&mut self, plot: &Plot, histogram: &Histogram) {
        let inks = self.inks;
        for (index, &bin_count) in histogram.counts.iter().enumerate() {
            if bin_count == 0 {
                continue;
            }
            let left = plot.x(histogram.bins.edge(index)).round();
            let right = plot.x(histogram.bins.edge(index + 1)).round().max(left + 1.0);
            // A hairline between bars where there is room for one.
            let gap = if right - left >= 4.0 { 1.0 } else { 0.0 };
            let top = plot.y(histogram.percent(index)).min(plot.bottom - 1.0);
            self.rect(left, top, right - left - gap, plot.bottom - top, inks.exact);
        }
    }

    /// "N = …" large, and the statistics under it, on a card that keeps clear of the taller half.
    fn statistics(&mut self, plot: &Plot, content: &FrameContent<'_>) {
        let (unit, inks) = (self.unit, self.inks);
        let lines = content.statistics();
        let headline = content.headline();
        let caution = content.caution();
        let (line_height, padding, mono, large) = (34.0 * unit, 24.0 * unit, 24.0, 52.0);
        let value_width =
            lines.iter().map(|(_, value)| fonts::width(Face::Mono, mono * unit, value)).fold(0.0, f32::max);
        let lines_width = fonts::width(Face::Mono, mono * unit, "scores  ") + value_width;
        let caution_width = caution.as_ref().map_or(0.0, |text| fonts::width(Face::Medium, 20.0 * unit, text));
        let inner = fonts::width(Face::Bold, large * unit, &headline).max(lines_width).max(caution_width);
        let (width, height) = (
            inner + 2.0 * padding,
            2.0 * padding
                + (large + 10.0) * unit
                + line_height * lines.len() as f32
                + if caution.is_some() { 36.0 * unit } else { 0.0 },
        );
        let x = if content.mass_is_right { plot.left + 32.0 * unit } else { plot.right - 32.0 * unit - width };
        let y = plot.top + 16.0 * unit;
        self.items.push(Item::Card { x, y, width, height, radius: 12.0 * unit, fill: inks.card, border: inks.rule });
        let mut baseline = y + padding + large * 0.78 * unit;
        self.text(x + padding, baseline, large, Face::Bold, Align::Left, inks.ink, headline);
        baseline += 14.0 * unit;
        for (name, value) in lines {
            baseline += line_height;
            self.text(x + padding, baseline, mono, Face::Mono, Align::Left, inks.ink_soft, name.to_owned());
            self.text(x + padding + inner, baseline, mono, Face::Mono, Align::Right, inks.ink, value);
        }
        if let Some(text) = caution {
            baseline += 36.0 * unit;
            self.text(x + padding, baseline, 20.0, Face::Medium, Align::Left, inks.attention, text);
        }
    }

    /// A strip of the whole session: one segment an N, filled up to this run.
    fn timeline(&mut self, plot: &Plot, content: &FrameContent<'_>, frame_height: f32) {
        let (unit, inks) = (self.unit, self.inks);
        let runs = content.store.runs();
        let (y, thickness) = (frame_height - 30.0 * unit, (8.0 * unit).max(2.0).round());
        let x_of = |run: usize| plot.left + (plot.right - plot.left) * run as f32 / runs.len() as f32;
        for (start, end) in segments(runs.iter().map(|run| run.n)) {
            let (left, right) = (x_of(start).round(), (x_of(end) - 2.0 * unit).max(x_of(start) + 1.0).round());
            self.rect(left, y, right - left, thickness, inks.rule);
            let reached = x_of(content.index + 1).min(right).max(left).round();
            if content.index >= start && reached > left {
                self.rect(left, y, reached - left, thickness, inks.exact);
            }
        }
        let label = format!("run {} of {}", count(content.index + 1), count(runs.len()));
        self.text(plot.right, frame_height - 40.0 * unit, 20.0, Face::Regular, Align::Right, inks.ink_soft, label);
    }
}

/// Stretches of equal N: start and one past the end, in runs.
pub fn segments(n_values: impl Iterator<Item = u64>) -> Vec<(usize, usize)> {
    let mut segments: Vec<(usize, usize)> = Vec::new();
    let mut last = None;
    for (index, n) in n_values.enumerate() {
        match segments.last_mut() {
            Some(segment) if last == Some(n) => segment.1 = index + 1,
            _ => segments.push((index, index + 1)),
        }
        last = Some(n);
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        for (low, high, wanted, first, last, digits) in [
            (0.0, 4.5, 6, 0.0, 4.0, 0),
            (0.1976, 0.93, 10, 0.2, 0.9, 1),
            (-3.0, 12.0, 5, 0.0, 10.0, 0),
            (0.0, 0.002, 4, 0.0, 0.002, 4),
        ] {
            let (values, found) = ticks(low, high, wanted);
            assert!((values[0] - first).abs() < 1e-9 && (values[values.len() - 1] - last).abs() < 1e-9, "{values:?}");
            assert_eq!(found, digits, "{low}..{high}: {values:?}");
        }
        assert_eq!(ticks(1.0, 1.0, 5).0, [1.0]);
    }

    #[test]
    fn numbers_keep_their_digits() {
        assert_eq!(fixed(-0.5, 2), "−0.50");
        assert_eq!(fixed(1.5e12, 2), "1.5000e12");
        assert_eq!(decimals(Metric::Dot, 0.7), 4);
        assert_eq!(decimals(Metric::Dot, 500.0), 1);
    }

    #[test]
    fn segments_follow_n() {
        assert_eq!(segments([10, 10, 50, 50, 50].into_iter()), [(0, 2), (2, 5)]);
        assert!(segments(std::iter::empty()).is_empty());
    }
}
