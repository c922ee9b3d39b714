//! Pictures of pruned matrices: the charts of the groups with a summary, distances with what chance gives, spy plots.

use std::sync::Arc;

use super::fonts::{self, Face};
use super::palette::{Color, Look};
use super::panel::{Canvas, Panel};
use super::scene::{Align, Item, Scene, Sheet, fixed};
use super::spy::{Window, shades};
use crate::compute::figures::{count, counted};
use crate::compute::sparsity::analysis::{AnalysedGroup, Analysis};
use crate::compute::sparsity::groups::{GroupMetrics, Mode, group_cumulative};
use crate::compute::sparsity::mask::{Mask, Packed};

/// A figure of a group.
pub type Figure = fn(&GroupMetrics) -> f64;

/// The five figures of a group that are drawn: name, and value.
pub const CHARTS: [(&str, Figure); 5] = [
    ("mean distance", |metrics| metrics.mean_pairwise_distance),
    ("zeros", |metrics| metrics.zeros as f64),
    ("ones", |metrics| metrics.ones as f64),
    ("duplicates", |metrics| metrics.duplicates as f64),
    ("total_dups", |metrics| metrics.total_dups as f64),
];

/// "wanda layer1-mlp.up_proj.pt, 1,536 × 384"
pub fn matrix_title(analysis: &Analysis) -> String {
    format!("{}, {} × {}", analysis.identity, count(analysis.mask.rows()), count(analysis.mask.columns()))
}

/// Where the five charts of the groups stand in a picture of this size; the sixth place is the summary's.
pub fn group_panels(analysis: &Analysis, canvas: Canvas) -> [Panel; 5] {
    let unit = canvas.unit;
    let (width, height) = (canvas.width as f32, canvas.height as f32);
    let (head, foot) = (92.0 * unit, 8.0 * unit);
    let (cell_width, cell_height) = (width / 3.0, (height - head - foot) / 2.0);
    std::array::from_fn(|index| {
        let (column, row) = ((index % 3) as f32, (index / 3) as f32);
        let highest = analysis.groups.iter().map(|group| CHARTS[index].1(&group.metrics)).fold(0.0, f64::max);
        let highest = match (highest > 0.0, index) {
            (true, 0) => highest * 1.05,
            // Whole numbers have whole steps.
            (true, _) => (highest * 1.05).max(4.0),
            (false, _) => 1.0,
        };
        Panel {
            left: (cell_width * column + 100.0 * unit).round(),
            right: (cell_width * (column + 1.0) - 32.0 * unit).round(),
            top: (head + cell_height * row + 44.0 * unit).round(),
            bottom: (head + cell_height * (row + 1.0) - 72.0 * unit).round(),
            x: (0.0, analysis.groups.len().max(1) as f64),
            y: (0.0, highest),
        }
    })
}

/// The lines of the summary box: name and value.
pub fn summary(analysis: &Analysis) -> Vec<(&'static str, String)> {
    let mean = |figure: Figure, digits: usize| {
        analysis.mean_of(figure).map_or_else(|| "none".to_owned(), |mean| fixed(mean, digits))
    };
    let mode = match analysis.params.mode {
        Mode::Sampled { .. } => "sampled",
        Mode::Exhaustive => "exhaustive",
    };
    let mut lines = vec![
        ("groups", format!("{}, {mode}", count(analysis.groups.len()))),
        ("columns in each", count(analysis.params.neighbours)),
        ("mean distance", mean(|metrics| metrics.mean_pairwise_distance, 4)),
        ("zeros", mean(|metrics| metrics.zeros as f64, 1)),
        ("ones", mean(|metrics| metrics.ones as f64, 1)),
        ("duplicates", mean(|metrics| metrics.duplicates as f64, 1)),
        ("total_dups", mean(|metrics| metrics.total_dups as f64, 1)),
        ("unique rows", mean(|metrics| metrics.unique_rows as f64, 1)),
        ("All pairs of the matrix", String::new()),
        ("density", fixed(analysis.density, 4)),
    ];
    if let Some(analytic) = &analysis.analytic {
        lines.push(("closer than chance", share_text(analytic.closer.share)));
    }
    if let Some(permutation) = &analysis.permutation {
        lines.push(("same, permuted", share_text(permutation.closer.share)));
    }
    lines
}

/// A share in percent that is not rounded to 0 or to all.
pub fn share_text(share: f64) -> String {
    match share * 100.0 {
        0.0 => "0 %".to_owned(),
        percent if percent < 0.01 => "< 0.01 %".to_owned(),
        percent if (99.95..100.0).contains(&percent) => "> 99.9 %".to_owned(),
        percent if percent < 1.0 => format!("{percent:.2} %"),
        percent => format!("{percent:.1} %"),
    }
}

/// The page of a matrix: five bar charts over the groups sorted by mean distance, and a summary. `marked`: a place in
/// that order.
pub fn groups_page(analysis: &Analysis, marked: Option<usize>, canvas: Canvas) -> Scene {
    let mut sheet = canvas.sheet();
    let (unit, inks) = (canvas.unit, canvas.look.inks());
    let title = format!("Groups of alike features: {}", matrix_title(analysis));
    heading(&mut sheet, 32.0 * unit, title, canvas);
    let order = analysis.by_mean_distance();
    let panels = group_panels(analysis, canvas);
    for ((name, figure), panel) in CHARTS.into_iter().zip(&panels) {
        sheet.text(panel.left, panel.top - 14.0 * unit, 22.0, Face::Medium, Align::Left, inks.ink, name.to_owned());
        sheet.panel_axes(panel, ("groups by mean distance", ""), (4, 4), true);
        for (place, &group) in order.iter().enumerate() {
            let value = figure(&analysis.groups[group].metrics);
            if value <= 0.0 {
                continue;
            }
            let (left, right) = (panel.x(place as f64).round(), panel.x(place as f64 + 1.0).round());
            let right = right.max(left + 1.0);
            let gap = if right - left >= 4.0 { 1.0 } else { 0.0 };
            let top = panel.y(value).min(panel.bottom - 1.0);
            let color = if marked == Some(place) { inks.attention } else { inks.exact };
            sheet.rect(left, top, right - left - gap, panel.bottom - top, color);
        }
    }
    summary_box(&mut sheet, &panels, analysis, canvas);
    canvas.scene(sheet)
}

/// The title of a picture, from `x` on: smaller where names are long, so that all of it is seen.
fn heading(sheet: &mut Sheet, x: f32, title: String, canvas: Canvas) {
    let unit = canvas.unit;
    let room = canvas.width as f32 - x - 32.0 * unit;
    let size = 30.0f32.min(room / fonts::width(Face::Medium, unit, &title).max(1e-3));
    sheet.text(x, 52.0 * unit, size, Face::Medium, Align::Left, canvas.look.inks().ink, title);
}

fn summary_box(sheet: &mut Sheet, panels: &[Panel; 5], analysis: &Analysis, canvas: Canvas) {
    let (unit, inks) = (canvas.unit, canvas.look.inks());
    let (x, y) = (panels[2].left - 60.0 * unit, panels[3].top - 36.0 * unit);
    let (width, height) = (panels[2].right - x, panels[3].bottom + 64.0 * unit - y);
    sheet.items.push(Item::Card { x, y, width, height, radius: 12.0 * unit, fill: inks.card, border: inks.rule });
    let lines = summary(analysis);
    let padding = 24.0 * unit;
    let heading = "Mean over the groups".to_owned();
    let heading_size = 22.0f32.min((width - 2.0 * padding) / fonts::width(Face::Medium, 1.0, &heading) / unit);
    sheet.text(x + padding, y + 34.0 * unit, heading_size, Face::Medium, Align::Left, inks.ink, heading);
    let step = (height - 52.0 * unit) / lines.len() as f32;
    let widest =
        lines.iter().map(|(name, value)| fonts::width(Face::Regular, 1.0, name) + fonts::width(Face::Mono, 1.0, value));
    let room = (width - 2.0 * padding - 12.0 * unit) / widest.fold(1.0, f32::max);
    let size = (step / unit * 0.8).min(22.0).min(room / unit);
    for (index, (name, value)) in lines.into_iter().enumerate() {
        let baseline = y + 42.0 * unit + step * (index as f32 + 0.75);
        let (face, ink) = if value.is_empty() { (Face::Medium, inks.ink) } else { (Face::Regular, inks.ink_soft) };
        sheet.text(x + padding, baseline, size, face, Align::Left, ink, name.to_owned());
        sheet.text(x + width - padding, baseline, size, Face::Mono, Align::Right, inks.ink, value);
    }
}

/// A curve of cumulative shares: distances, ascending, each with the share of pairs at most as far.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    pub label: String,
    pub color: Color,
    pub points: Vec<(f64, f64)>,
}

/// Cumulative distances, with what chance gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Distances {
    pub title: String,
    pub curves: Vec<Curve>,
    /// The permuted matrices: distance, lowest and highest share.
    pub band: Vec<(f64, f64, f64)>,
    pub band_label: String,
    /// Independent columns.
    pub expected: Vec<(f64, f64)>,
}

impl Distances {
    /// Of all pairs of a matrix.
    pub fn of_matrix(analysis: &Analysis, look: Look) -> Self {
        let pairs = counted(usize::try_from(analysis.pairs.pairs()).unwrap_or(usize::MAX), "pair", "pairs");
        let curve = Curve {
            label: format!("all {pairs} of columns"),
            color: look.inks().exact,
            points: analysis.pairs.cumulative(),
        };
        Self {
            title: format!("Distances between features: {}", matrix_title(analysis)),
            curves: vec![curve],
            ..Self::null_of(analysis)
        }
    }

    /// Of the pairs of a group.
    pub fn of_group(analysis: &Analysis, group: &AnalysedGroup, look: Look) -> Self {
        let columns = &group.group.columns;
        let inks = look.inks();
        let curves = vec![
            Curve {
                label: "all pairs of the matrix".to_owned(),
                color: inks.rule_strong,
                points: analysis.pairs.cumulative(),
            },
            Curve {
                label: format!("{} of the group", counted(columns.len() * (columns.len() - 1) / 2, "pair", "pairs")),
                color: inks.exact,
                points: group_cumulative(&analysis.mask.by_column, columns),
            },
        ];
        Self {
            title: format!(
                "Distances in the group of column {}: {}",
                count(group.group.feature as usize),
                matrix_title(analysis)
            ),
            curves,
            // A group is chosen to be near: what chance gives for all pairs is no measure of it; its z and p are.
            band: Vec::new(),
            band_label: String::new(),
            expected: Vec::new(),
        }
    }

    /// Of all pairs of several matrices, without chance.
    pub fn of_several(analyses: &[&Analysis], title: String, look: Look) -> Self {
        let inks = look.inks();
        let colors = [inks.exact, inks.attention, inks.right, inks.wrong];
        let curves = analyses.iter().zip(colors.into_iter().cycle()).map(|(analysis, color)| Curve {
            label: analysis.identity.method.clone().unwrap_or_else(|| analysis.identity.matrix_name.clone()),
            color,
            points: analysis.pairs.cumulative(),
        });
        Self { title, curves: curves.collect(), band: Vec::new(), band_label: String::new(), expected: Vec::new() }
    }

    fn null_of(analysis: &Analysis) -> Self {
        let rows = analysis.mask.rows() as f64;
        let at = |differing: usize| differing as f64 / rows;
        let is_telling = |share: f64| share > 1e-6 && share < 1.0 - 1e-6;
        // One value beyond either end, so that curves begin at 0 and end at 1.
        let around = |is_telling: &dyn Fn(usize) -> bool, count: usize| {
            let first = (0..count).find(|&index| is_telling(index))?;
            let last = (0..count).rev().find(|&index| is_telling(index))?;
            Some(first.saturating_sub(1)..(last + 2).min(count))
        };
        let expected = analysis.analytic.as_ref().map_or_else(Vec::new, |null| {
            let shares = &null.cumulative;
            let range = around(&|index| is_telling(shares[index]), shares.len()).unwrap_or(0..0);
            range.map(|index| (at(index), shares[index])).collect()
        });
        let (mut band, mut band_label) = (Vec::new(), String::new());
        if let Some(null) = &analysis.permutation {
            let is_in = |index: usize| is_telling(null.band[index].0) || is_telling(null.band[index].1);
            let range = around(&is_in, null.band.len()).unwrap_or(0..0);
            band = range.map(|index| (at(index), null.band[index].0, null.band[index].1)).collect();
            band_label =
                format!("{} with the same row and column sums", counted(null.permutations, "matrix", "matrices"));
        }
        Self { title: String::new(), curves: Vec::new(), band, band_label, expected }
    }

    /// From the lowest to the highest distance shown.
    fn reach(&self) -> (f64, f64) {
        let of_curves = self.curves.iter().flat_map(|curve| curve.points.iter().map(|point| point.0));
        let of_null = self.band.iter().map(|point| point.0).chain(self.expected.iter().map(|point| point.0));
        let (low, high) = of_curves
            .chain(of_null)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if !low.is_finite() {
            return (0.0, 1.0);
        }
        let margin = ((high - low) * 0.02).max(0.005);
        ((low - margin).max(0.0), (high + margin).min(1.0))
    }

    /// Where the plot stands in a picture of this size.
    pub fn panel(&self, canvas: Canvas) -> Panel {
        let unit = canvas.unit;
        Panel {
            left: (132.0 * unit).round(),
            right: (canvas.width as f32 - 48.0 * unit).round(),
            top: (96.0 * unit).round(),
            bottom: (canvas.height as f32 - 96.0 * unit).round(),
            x: self.reach(),
            y: (0.0, 1.0),
        }
    }

    /// Draws the curves.
    pub fn scene(&self, canvas: Canvas) -> Scene {
        let mut sheet = canvas.sheet();
        let (unit, inks) = (canvas.unit, canvas.look.inks());
        let panel = self.panel(canvas);
        heading(&mut sheet, panel.left, self.title.clone(), canvas);
        let names = ("normalised Hamming distance (share of rows that differ)", "share of pairs at most as far");
        sheet.panel_axes(&panel, names, (10, 5), false);
        if self.band.len() > 1 {
            let lows: Vec<(f64, f64)> = self.band.iter().map(|&(x, low, _)| (x, low)).collect();
            let highs: Vec<(f64, f64)> = self.band.iter().map(|&(x, _, high)| (x, high)).collect();
            // Steps like those of the curve, so that this lies within where its numbers do. Wide enough to be seen around it.
            let least = (8.0 * unit).max(4.0);
            let points = steps(&panel, &lows).into_iter().zip(steps(&panel, &highs)).map(|((x, low), (_, high))| {
                let missing = (least - (low - high)).max(0.0) / 2.0;
                (x, (low + missing).min(panel.bottom), (high - missing).max(panel.top))
            });
            sheet.items.push(Item::Band { points: points.collect(), color: inks.band });
        }
        if !self.expected.is_empty() {
            let points = steps(&panel, &self.expected);
            sheet.items.push(Item::Line { points, width: (2.0 * unit).max(1.0), color: inks.ink_soft });
        }
        for curve in &self.curves {
            let points = steps(&panel, &curve.points);
            sheet.items.push(Item::Line { points, width: (3.0 * unit).max(1.5), color: curve.color });
        }
        self.legend(&mut sheet, &panel, canvas);
        canvas.scene(sheet)
    }

    /// What the lines are, in the corner that they leave free.
    fn legend(&self, sheet: &mut Sheet, panel: &Panel, canvas: Canvas) {
        let (unit, inks) = (canvas.unit, canvas.look.inks());
        let mut lines: Vec<(Color, String, bool)> =
            self.curves.iter().map(|curve| (curve.color, curve.label.clone(), false)).collect();
        if !self.expected.is_empty() {
            lines.push((inks.ink_soft, "independent columns of the same sums".to_owned(), false));
        }
        if !self.band.is_empty() {
            lines.push((inks.band, self.band_label.clone(), true));
        }
        let size = 20.0;
        let widest = lines.iter().map(|line| fonts::width(Face::Regular, size * unit, &line.1)).fold(0.0, f32::max);
        let (step, padding) = (30.0 * unit, 16.0 * unit);
        let (width, height) =
            (widest + 44.0 * unit + 2.0 * padding, lines.len() as f32 * step + 2.0 * padding - 8.0 * unit);
        let (x, y) = (panel.right - width - 12.0 * unit, panel.bottom - height - 16.0 * unit);
        sheet.items.push(Item::Card { x, y, width, height, radius: 8.0 * unit, fill: inks.card, border: inks.rule });
        for (index, (color, label, is_band)) in lines.into_iter().enumerate() {
            let middle = y + padding + step * (index as f32 + 0.4);
            let thickness = if is_band { 12.0 * unit } else { 4.0 * unit };
            sheet.rect(x + padding, middle - thickness / 2.0, 32.0 * unit, thickness, color);
            let baseline = middle + 7.0 * unit;
            sheet.text(x + padding + 44.0 * unit, baseline, size, Face::Regular, Align::Left, inks.ink, label);
        }
    }
}

/// A cumulative share as a line: from nothing at the left, up where a distance occurs.
fn steps(panel: &Panel, shares: &[(f64, f64)]) -> Vec<(f32, f32)> {
    let mut points = vec![(panel.left, panel.bottom)];
    let mut height = panel.bottom;
    for &(x, share) in shares {
        points.push((panel.x(x), height));
        height = panel.y(share);
        points.push((panel.x(x), height));
    }
    points.push((panel.right, height));
    points
}

/// What stands beside a spy plot.
#[derive(Debug, Clone)]
pub struct SpyWords {
    pub title: String,
    /// Below and at the left.
    pub columns: String,
    pub rows: String,
    /// Numbers of the columns, to stand under each; places if there are none.
    pub names: Vec<u32>,
}

/// A spy plot as a file shows it, the matrix or the columns of a group side by side, with the densities of its rows and
/// columns.
pub fn spy_scene(by_row: &Packed, window: Window, words: &SpyWords, canvas: Canvas) -> Scene {
    let mut sheet = canvas.sheet();
    let (unit, inks) = (canvas.unit, canvas.look.inks());
    let side = 110.0 * unit;
    let mut panel = Panel {
        left: (148.0 * unit).round(),
        right: (canvas.width as f32 - 64.0 * unit - side).round(),
        top: (96.0 * unit).round(),
        bottom: (canvas.height as f32 - 116.0 * unit - side).round(),
        x: (window.left, window.right),
        // Rows from the top down.
        y: (window.bottom, window.top),
    };
    let (rows, columns) = (window.bottom - window.top, window.right - window.left);
    // Square cells, unless one side would be much the shorter.
    let (width, height) = (panel.right - panel.left, panel.bottom - panel.top);
    let cell = (width / columns as f32).min(height / rows as f32);
    let (across, down) = (cell * columns as f32, cell * rows as f32);
    let shorter = across.max(down) * 0.6;
    // Room for the names of the columns.
    let named = words.names.len() as f32 * 96.0 * unit;
    panel.right = (panel.left + across.max(shorter).max(named).min(width)).round();
    panel.bottom = (panel.top + down.max(shorter).min(height)).round();
    let (across, down) = ((panel.right - panel.left) as usize, (panel.bottom - panel.top) as usize);
    heading(&mut sheet, panel.left, words.title.clone(), canvas);
    let wanted = (((across as f32 / unit) / 110.0) as usize).clamp(2, 12);
    if words.names.is_empty() {
        sheet.panel_axes(&panel, (&words.columns, &words.rows), (wanted, 8), true);
    } else {
        sheet.panel_axes(&panel, (&words.columns, &words.rows), (0, 8), true);
        for (place, name) in words.names.iter().enumerate() {
            let x = panel.x(place as f64 + 0.5);
            let (y, size) = (panel.bottom + 28.0 * unit, 20.0);
            sheet.text(x, y, size, Face::Regular, Align::Center, inks.ink_soft, count(*name as usize));
        }
    }
    let shades = Arc::new(shades(by_row, window, across.max(1), down.max(1)));
    for (along_rows, lines) in [(true, down), (false, across)] {
        let left = panel.right + 16.0 * unit;
        let low = panel.bottom + 76.0 * unit + side;
        for line in 0..lines {
            let share: u64 = if along_rows {
                shades.values[line * across..(line + 1) * across].iter().map(|&shade| u64::from(shade)).sum()
            } else {
                (0..down).map(|row| u64::from(shades.values[row * across + line])).sum()
            };
            let share = share as f32 / 255.0 / if along_rows { across as f32 } else { down as f32 };
            if along_rows {
                sheet.rect(left, panel.top + line as f32, share * side, 1.0, inks.exact);
            } else {
                sheet.rect(panel.left + line as f32, low - share * side, 1.0, share * side, inks.exact);
            }
        }
        let (x, y) = if along_rows { (left, panel.top - 12.0 * unit) } else { (panel.right + 16.0 * unit, low) };
        sheet.text(x, y, 18.0, Face::Regular, Align::Left, inks.ink_soft, "density".to_owned());
    }
    sheet.items.push(Item::Shades {
        x: panel.left,
        y: panel.top,
        width: across as f32,
        height: down as f32,
        shades,
        from: inks.paper,
        to: inks.ink,
    });
    let line = unit.max(1.0).round();
    for (x, y, width, height) in [
        (panel.left - line, panel.top - line, across as f32 + 2.0 * line, line),
        (panel.left - line, panel.bottom, across as f32 + 2.0 * line, line),
        (panel.left - line, panel.top, line, down as f32),
        (panel.right, panel.top, line, down as f32),
    ] {
        sheet.rect(x, y, width, height, inks.rule_strong);
    }
    canvas.scene(sheet)
}

/// Two matrices side by side, and the distances of both below.
pub fn comparison_scene(left: &Analysis, right: &Analysis, distances: &Distances, canvas: Canvas) -> Scene {
    let canvas = Canvas { height: canvas.height * 3 / 2, ..canvas };
    let (unit, inks) = (canvas.unit, canvas.look.inks());
    let half = (canvas.height / 2) as f32;
    let below = distances.scene(Canvas { height: canvas.height / 2, ..canvas });
    let mut sheet = canvas.sheet();
    for (place, analysis) in [left, right].into_iter().enumerate() {
        let mask = &analysis.mask;
        let x = canvas.width as f32 / 2.0 * place as f32 + 48.0 * unit;
        let name = format!("{}, density {}", matrix_title(analysis), fixed(analysis.density, 4));
        sheet.text(x, 52.0 * unit, 24.0, Face::Medium, Align::Left, inks.ink, name);
        let (wide, high) = (canvas.width as f32 / 2.0 - 96.0 * unit, half - 100.0 * unit);
        let cell = (wide / mask.columns() as f32).min(high / mask.rows() as f32);
        let (across, down) = (cell * mask.columns() as f32, cell * mask.rows() as f32);
        let shorter = across.max(down) * 0.6;
        let (across, down) = (across.max(shorter).min(wide).round(), down.max(shorter).min(high).round());
        let window = Window::whole(mask.rows(), mask.columns());
        let top = 76.0 * unit;
        sheet.rect(x - 1.0, top - 1.0, across + 2.0, down + 2.0, inks.rule_strong);
        sheet.items.push(Item::Shades {
            x,
            y: top,
            width: across,
            height: down,
            shades: Arc::new(shades(&mask.by_row, window, across as usize, down as usize)),
            from: inks.paper,
            to: inks.ink,
        });
    }
    if let Ok(jaccard) = left.mask.jaccard(&right.mask) {
        let text = format!("overlap (Jaccard) {}", fixed(jaccard, 4));
        let x = canvas.width as f32 - 48.0 * unit;
        sheet.text(x, half + 52.0 * unit, 24.0, Face::Medium, Align::Right, inks.ink, text);
    }
    sheet.items.extend(below.items.into_iter().map(|item| item.lowered(half)));
    canvas.scene(sheet)
}

/// The spy plot of a whole matrix.
pub fn matrix_spy(analysis: &Analysis, canvas: Canvas) -> Scene {
    let mask: &Mask = &analysis.mask;
    let window = Window::whole(mask.rows(), mask.columns());
    let title = format!("Weights that are not zero: {}", matrix_title(analysis));
    let words = SpyWords { title, columns: "column".to_owned(), rows: "row".to_owned(), names: Vec::new() };
    spy_scene(&mask.by_row, window, &words, canvas)
}

/// The spy plot of a group: its columns side by side, the nearest first.
pub fn group_spy(analysis: &Analysis, group: &AnalysedGroup, canvas: Canvas) -> Scene {
    let columns = &group.group.columns;
    let by_row = analysis.mask.by_column.in_order(columns).transposed();
    let window = Window::whole(analysis.mask.rows(), columns.len());
    let words = SpyWords {
        title: format!("Group of column {}: {}", count(group.group.feature as usize), matrix_title(analysis)),
        columns: "columns, the nearest first".to_owned(),
        rows: "row".to_owned(),
        names: if columns.len() <= 24 { columns.clone() } else { Vec::new() },
    };
    spy_scene(&by_row, window, &words, canvas)
}
