//! The picture of uniqueness scores: their histogram, their cumulative share, and the thresholds.

use std::path::Path;

use super::fonts::Face;
use super::palette::Look;
use super::raster::draw;
use super::scene::{Align, Item, Plot, Scene, Sheet};
use super::svg;
use crate::compute::atomic_file::write_atomically;
use crate::compute::error::Result;
use crate::compute::figures::{count, counted};
use crate::compute::histogram::{Axes, Bins, Histogram};
use crate::compute::uniqueness::{Distance, Rules};

/// What the picture shows.
#[derive(Debug, Clone)]
pub struct UniquenessPicture<'a> {
    pub histogram: &'a Histogram,
    pub k: usize,
    pub distance: Distance,
    pub rules: Rules,
    /// Samples below and above the thresholds.
    pub below: usize,
    pub above: usize,
    pub look: Look,
}

impl UniquenessPicture<'_> {
    pub fn title(&self) -> String {
        format!(
            "Uniqueness of {}: mean {} distance to the {} nearest others",
            counted(self.histogram.total() as usize, "sample", "samples"),
            self.distance.name(),
            count(self.k)
        )
    }

    /// What the x axis says.
    pub fn axis_label(&self) -> String {
        format!("mean {} distance (left: redundant, right: unique)", self.distance.name())
    }

    pub fn axes(&self) -> Axes {
        Axes::of(self.histogram.bins, [self.histogram])
    }

    /// The share of samples at most as high as each bin's edge, in percent: as many points as edges.
    pub fn cumulative(&self) -> Vec<(f64, f64)> {
        let histogram = self.histogram;
        let total = histogram.total().max(1) as f64;
        let mut sum = histogram.below;
        let mut points = vec![(histogram.bins.edge(0), sum as f64 * 100.0 / total)];
        for (bin, &in_bin) in histogram.counts.iter().enumerate() {
            sum += in_bin;
            points.push((histogram.bins.edge(bin + 1), sum as f64 * 100.0 / total));
        }
        points
    }

    /// Writes the picture to `path`: SVG if the name ends so, otherwise PNG.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let scene = uniqueness_scene(self, 1800, 900);
        let is_svg = path.extension().is_some_and(|name| name.eq_ignore_ascii_case("svg"));
        let bytes = if is_svg { svg::to_svg(&scene).into_bytes() } else { draw(&scene).to_png() };
        write_atomically(path, &bytes)
    }

    /// What a threshold leaves out: "1,204 samples, 3.1 %, below 0.12".
    pub fn threshold_label(&self, samples: usize, side: &str, value: f64) -> String {
        threshold_label(samples, self.histogram.total() as usize, side, value)
    }
}

/// "1,204 samples, 3.1 %, below 0.12".
pub fn threshold_label(samples: usize, total: usize, side: &str, value: f64) -> String {
    let share = samples as f64 * 100.0 / total.max(1) as f64;
    let value = format!("{value:.4}");
    format!("{}, {share:.1} %, {side} {value}", counted(samples, "sample", "samples"))
}

/// Draws all scores in 100 bins, and writes the picture to `path`: SVG if the name ends so, otherwise PNG.
///
/// # Errors
/// Scores that cannot be binned (none, or beyond float64's range); a file that cannot be written.
pub fn write(path: &Path, scores: &[f64], distance: Distance, k: usize, rules: Rules) -> Result<()> {
    let (low, high) =
        scores.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &score| (low.min(score), high.max(score)));
    let histogram = Histogram::of_values(scores.iter().copied(), Bins::new(low, high, 100)?);
    let count = |value: Option<f64>, is_out: &dyn Fn(f64, f64) -> bool| {
        value.map_or(0, |value| scores.iter().filter(|&&score| is_out(score, value)).count())
    };
    let picture = UniquenessPicture {
        histogram: &histogram,
        k,
        distance,
        rules,
        below: count(rules.drop_below, &|score, value| score < value),
        above: count(rules.drop_above, &|score, value| score > value),
        look: Look::Light,
    };
    picture.write(path)
}

/// Draws the picture in `width` × `height` pixels.
pub fn uniqueness_scene(picture: &UniquenessPicture<'_>, width: u32, height: u32) -> Scene {
    let unit = (width as f32 / 1800.0).min(height as f32 / 900.0);
    let inks = picture.look.inks();
    let mut sheet = Sheet { items: Vec::new(), unit, inks };
    let plot = Plot {
        left: (132.0 * unit).round(),
        right: (width as f32 - 132.0 * unit).round(),
        top: (128.0 * unit).round(),
        bottom: (height as f32 - 116.0 * unit).round(),
        axes: picture.axes(),
    };
    sheet.axes(&plot, &picture.axis_label(), "% of samples");
    sheet.rect(plot.left, plot.bottom, plot.right - plot.left, (1.5 * unit).max(1.0), inks.rule_strong);
    sheet.text(plot.left, 58.0 * unit, 30.0, Face::Medium, Align::Left, inks.ink, picture.title());
    sheet.bars(&plot, picture.histogram);
    let height_of = |percent: f64| plot.bottom - (plot.bottom - plot.top) * (percent / 100.0) as f32;
    let points = picture.cumulative().into_iter().map(|(value, percent)| (plot.x(value), height_of(percent))).collect();
    sheet.items.push(Item::Line { points, width: 3.0 * unit, color: inks.attention });
    for percent in [0.0, 25.0, 50.0, 75.0, 100.0] {
        let (x, y) = (plot.right + 14.0 * unit, height_of(percent) + 8.0 * unit);
        sheet.text(x, y, 22.0, Face::Regular, Align::Left, inks.attention, format!("{percent:.0} %"));
    }
    let bins = picture.histogram.bins;
    for (value, samples, side) in
        [(picture.rules.drop_below, picture.below, "below"), (picture.rules.drop_above, picture.above, "above")]
    {
        let Some(value) = value.filter(|value| (bins.low()..=bins.high()).contains(value)) else { continue };
        let x = plot.x(value).round();
        sheet.rect(x - unit, plot.top, 2.0 * unit, plot.bottom - plot.top, inks.ink);
        let label = picture.threshold_label(samples, side, value);
        // At the ends of the picture, so that they never meet.
        let (x, align) = if side == "below" { (plot.left, Align::Left) } else { (plot.right, Align::Right) };
        sheet.text(x, plot.top - 14.0 * unit, 22.0, Face::Medium, align, inks.ink, label);
    }
    Scene { width, height, background: inks.paper, items: sheet.items, backdrop: 0 }
}
