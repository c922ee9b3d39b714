//! The picture of uniqueness scores: their histogram, their cumulative share, and the thresholds.

use std::path::Path;

use super::fonts::Face;
use super::palette::Look;
use super::scene::{Align, Item, Plot, Scene, Sheet};
use crate::compute::error::Result;
use crate::compute::figures::{count, counted, percent};
use crate::compute::histogram::{Axes, Bins, Histogram};
use crate::compute::uniqueness::{Distance, Rules, count_above, count_below};

/// What the picture shows.
#[derive(Debug, Clone)]
pub struct UniquenessPicture<'a> {
    pub histogram: &'a Histogram,
    /// See [`cumulative`].
    pub cumulative: &'a [(f64, f64)],
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

    /// Writes the picture to `path`: SVG if the name ends so, otherwise PNG.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        uniqueness_scene(self, 1800, 900).write(path)
    }
}

/// Edges of the bins, and the share of `sorted` scores at most as high, in percent.
pub fn cumulative(sorted: &[f64], bins: Bins) -> Vec<(f64, f64)> {
    let share = |edge: f64| sorted.partition_point(|&score| score <= edge) as f64 * 100.0 / sorted.len().max(1) as f64;
    (0..=bins.count()).map(|index| bins.edge(index)).map(|edge| (edge, share(edge))).collect()
}

/// "1,204 samples, 3.1 %, below 0.12".
pub fn threshold_label(samples: usize, total: usize, side: &str, value: f64) -> String {
    format!("{}, {}, {side} {value:.4}", counted(samples, "sample", "samples"), percent(samples, total))
}

/// Draws all scores in 100 bins, and writes the picture to `path`: SVG if the name ends so, otherwise PNG.
///
/// # Errors
/// Scores that cannot be binned (none, or beyond float64's range); a file that cannot be written.
pub fn write(path: &Path, scores: &[f64], distance: Distance, k: usize, rules: Rules) -> Result<()> {
    let mut sorted = scores.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let low = sorted.first().copied().unwrap_or(f64::NAN);
    let bins = Bins::new(low, sorted.last().copied().unwrap_or(low), 100)?;
    let histogram = Histogram::of_values(scores.iter().copied(), bins);
    let picture = UniquenessPicture {
        histogram: &histogram,
        cumulative: &cumulative(&sorted, bins),
        k,
        distance,
        rules,
        below: rules.drop_below.map_or(0, |value| count_below(&sorted, value)),
        above: rules.drop_above.map_or(0, |value| count_above(&sorted, value)),
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
    let points = picture.cumulative.iter().map(|&(value, percent)| (plot.x(value), height_of(percent))).collect();
    sheet.items.push(Item::Line { points, width: 3.0 * unit, color: inks.attention });
    for percent in [0.0, 25.0, 50.0, 75.0, 100.0] {
        let (x, y) = (plot.right + 14.0 * unit, height_of(percent) + 8.0 * unit);
        sheet.text(x, y, 22.0, Face::Regular, Align::Left, inks.attention, format!("{percent:.0} %"));
    }
    sheet.items.push(Item::Text {
        x: width as f32 - 28.0 * unit,
        y: (plot.top + plot.bottom) / 2.0,
        size: 24.0 * unit,
        face: Face::Regular,
        align: Align::Center,
        upwards: true,
        color: inks.attention,
        text: "% at most this score".to_owned(),
    });
    let bins = picture.histogram.bins;
    for (value, samples, side) in
        [(picture.rules.drop_below, picture.below, "below"), (picture.rules.drop_above, picture.above, "above")]
    {
        let Some(value) = value.filter(|value| (bins.low()..=bins.high()).contains(value)) else { continue };
        let x = plot.x(value).round();
        sheet.rect(x - unit, plot.top, 2.0 * unit, plot.bottom - plot.top, inks.ink);
        let label = threshold_label(samples, picture.histogram.total() as usize, side, value);
        // At the ends of the picture, so that they never meet.
        let (x, align) = if side == "below" { (plot.left, Align::Left) } else { (plot.right, Align::Right) };
        sheet.text(x, plot.top - 14.0 * unit, 22.0, Face::Medium, align, inks.ink, label);
    }
    Scene { width, height, background: inks.paper, items: sheet.items, backdrop: 0 }
}
