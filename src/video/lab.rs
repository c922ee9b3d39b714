//! Pictures of the index lab: recall against speed, and the scores that a contestant lost.

use super::encoder::{Encoder, FrameRate};
use super::fonts::{self, Face};
use super::palette::Color;
use super::panel::{Canvas, Panel};
use super::raster;
use super::scene::{Align, Item, Scene, Sheet, fixed, ticks};
use crate::compute::error::Result;
use crate::compute::figures::{count, counted, percent};
use crate::compute::histogram::Histogram;
use crate::compute::index::report::Line;
use crate::compute::index::scores::{Frame, Scores};
use crate::job::Monitor;

/// A contestant that has a place in the chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// The line of the report.
    pub line: usize,
    pub name: String,
    /// With the ends of its band.
    pub recall: (f64, f64, f64),
    /// Queries a second, as log₁₀.
    pub speed: f64,
    pub is_on_front: bool,
}

/// Recall against queries a second on one thread.
#[derive(Debug, Clone, PartialEq)]
pub struct Tradeoff {
    pub title: String,
    /// Of recall@k.
    pub k: usize,
    pub places: Vec<Place>,
}

impl Tradeoff {
    /// Of those contestants whose speed was measured.
    pub fn of(title: String, lines: &[Line], k: usize) -> Self {
        let place = |(line, told): (usize, &Line)| {
            let recall = told.best_recall()?;
            let speed = told.qps.filter(|qps| *qps > 0.0)?.log10();
            let recall = (recall.low, recall.mean, recall.high);
            Some(Place { line, name: told.title(), recall, speed, is_on_front: told.is_on_front })
        };
        let places = lines.iter().enumerate().filter_map(place).collect();
        Self { title, k, places }
    }

    /// Where the plot stands in a picture of this size.
    pub fn panel(&self, canvas: Canvas) -> Panel {
        let unit = canvas.unit;
        let lowest = self.places.iter().map(|place| place.recall.0).fold(1.0, f64::min);
        let speeds = || self.places.iter().map(|place| place.speed);
        let slowest = speeds().fold(f64::INFINITY, f64::min);
        let fastest = speeds().fold(f64::NEG_INFINITY, f64::max);
        let (slowest, fastest) = if slowest.is_finite() { (slowest, fastest) } else { (1.0, 2.0) };
        Panel {
            left: (132.0 * unit).round(),
            right: (canvas.width as f32 - 40.0 * unit).round(),
            top: (116.0 * unit).round(),
            bottom: (canvas.height as f32 - 84.0 * unit).round(),
            x: ((lowest - 0.05).max(0.0), 1.02),
            y: (slowest - 0.2, fastest + 0.2),
        }
    }

    /// The place at a point of a picture, if one is within `grip` pixels.
    pub fn at(&self, canvas: Canvas, (x, y): (f32, f32), grip: f32) -> Option<&Place> {
        let panel = self.panel(canvas);
        let distance = |place: &&Place| (panel.x(place.recall.1) - x).hypot(panel.y(place.speed) - y);
        let nearest = self.places.iter().min_by(|left, right| distance(left).total_cmp(&distance(right)));
        nearest.filter(|place| distance(place) <= grip)
    }

    /// Draws it; the place of line `marked` stands out.
    pub fn scene(&self, marked: Option<usize>, canvas: Canvas) -> Scene {
        let mut sheet = canvas.sheet();
        let (unit, inks) = (canvas.unit, canvas.look.inks());
        let panel = self.panel(canvas);
        heading(
            &mut sheet,
            panel.left,
            &self.title,
            "bars: 95 % of resampled queries · line: nothing else is both faster and at least as good",
        );
        let wanted = (((panel.right - panel.left) / (150.0 * unit)) as usize).clamp(2, 10);
        let (values, digits) = ticks(panel.x.0, 1.0, wanted);
        let marks: Vec<(f64, String)> = values.into_iter().map(|value| (value, fixed(value, digits))).collect();
        self.decades(&mut sheet, &panel);
        sheet.x_marks(&panel, &marks);
        sheet.panel_names(&panel, (&format!("recall@{}", count(self.k)), "queries a second, one thread"));
        let at = |place: &Place| (panel.x(place.recall.1), panel.y(place.speed));
        let points = self.front(&panel);
        if points.len() > 1 {
            sheet.items.push(Item::Line { points, width: (2.0 * unit).max(1.0), color: inks.rule_strong });
        }
        let color = |place: &Place| match (marked == Some(place.line), place.is_on_front) {
            (true, _) => inks.attention,
            (false, true) => inks.exact,
            (false, false) => inks.ink_soft,
        };
        for place in &self.places {
            let ((x, y), color) = (at(place), color(place));
            let (low, high) = (panel.x(place.recall.0), panel.x(place.recall.2));
            let thickness = (3.0 * unit).max(1.0);
            sheet.rect(low, y - thickness / 2.0, high - low, thickness, color);
            let radius = if marked == Some(place.line) { 10.0 } else { 7.0 } * unit;
            let (width, height) = (2.0 * radius, 2.0 * radius);
            let border = inks.paper;
            sheet.items.push(Item::Card { x: x - radius, y: y - radius, width, height, radius, fill: color, border });
        }
        self.names(&mut sheet, &panel, canvas, marked);
        canvas.scene(sheet)
    }

    /// Where the front's points are, from left to right.
    fn front(&self, panel: &Panel) -> Vec<(f32, f32)> {
        let mut front: Vec<&Place> = self.places.iter().filter(|place| place.is_on_front).collect();
        front.sort_by(|left, right| left.recall.1.total_cmp(&right.recall.1));
        front.iter().map(|place| (panel.x(place.recall.1), panel.y(place.speed))).collect()
    }

    /// Lines at 1, 2 and 5 of every decade.
    fn decades(&self, sheet: &mut Sheet, panel: &Panel) {
        let decades = panel.y.0.floor() as i32..=panel.y.1.ceil() as i32;
        let steps: &[f64] = if panel.y.1 - panel.y.0 > 3.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let marks: Vec<(f64, String)> = decades
            .flat_map(|decade| steps.iter().map(move |step| step * 10f64.powi(decade)))
            .filter(|value| (panel.y.0..=panel.y.1).contains(&value.log10()))
            .map(|value| (value.log10(), if value >= 1.0 { count(value.round() as usize) } else { value.to_string() }))
            .collect();
        sheet.y_marks(panel, &marks);
    }

    /// Names beside the points, as many as there is room for: those of the front first.
    fn names(&self, sheet: &mut Sheet, panel: &Panel, canvas: Canvas, marked: Option<usize>) {
        let (unit, inks) = (canvas.unit, canvas.look.inks());
        let size = 18.0;
        let grip = 12.0 * unit;
        let box_of = |(x, y): (f32, f32), room: f32| [x - room, y - room, x + room, y + room];
        let mut taken: Vec<[f32; 4]> = Vec::new();
        for place in &self.places {
            let y = panel.y(place.speed);
            taken.push(box_of((panel.x(place.recall.1), y), grip));
            taken.push([panel.x(place.recall.0), y - 2.0 * unit, panel.x(place.recall.2), y + 2.0 * unit]);
        }
        // The line, step by step.
        for ends in self.front(panel).windows(2) {
            let [(x, y), (right, below)] = [ends[0], ends[1]];
            let steps = ((right - x).hypot(below - y) / (8.0 * unit)).ceil().max(1.0);
            let step = |step: u32| {
                let share = step as f32 / steps;
                (x + (right - x) * share, y + (below - y) * share)
            };
            taken.extend((0..=steps as u32).map(|index| box_of(step(index), 2.0 * unit)));
        }
        let mut order: Vec<&Place> = self.places.iter().collect();
        order.sort_by_key(|place| (marked != Some(place.line), !place.is_on_front, place.line));
        for place in order {
            let width = fonts::width(Face::Regular, size * unit, &place.name);
            let (x, y) = (panel.x(place.recall.1), panel.y(place.speed));
            let (gap, height) = (16.0 * unit, 24.0 * unit);
            let (low, high) = (panel.x(place.recall.0), panel.x(place.recall.2));
            // Upper left corners: right and left of the band, above and below the point, and these to its right and left.
            let corners = [
                (high.max(x + gap / 2.0) + gap / 2.0, y - height / 2.0),
                (low.min(x - gap / 2.0) - gap / 2.0 - width, y - height / 2.0),
                (x - width / 2.0, y - gap - height),
                (x - width / 2.0, y + gap),
                (x + gap / 2.0, y - gap - height),
                (x + gap / 2.0, y + gap),
                (x - gap / 2.0 - width, y - gap - height),
                (x - gap / 2.0 - width, y + gap),
            ];
            let is_free = |&(left, top): &(f32, f32)| {
                let (right, bottom) = (left + width, top + height);
                let is_inside = left > panel.left && right < panel.right && top > panel.top && bottom < panel.bottom;
                is_inside
                    && taken
                        .iter()
                        .all(|other| right < other[0] || left > other[2] || bottom < other[1] || top > other[3])
            };
            let Some((left, top)) = corners.into_iter().find(is_free) else { continue };
            taken.push([left, top, left + width, top + height]);
            let color = if place.is_on_front { inks.ink } else { inks.ink_soft };
            sheet.text(left, top + 18.0 * unit, size, Face::Regular, Align::Left, color, place.name.clone());
        }
    }
}

pub(super) fn heading(sheet: &mut Sheet, left: f32, title: &str, below: &str) {
    let (unit, inks) = (sheet.unit, sheet.inks);
    sheet.text(left, 46.0 * unit, 28.0, Face::Medium, Align::Left, inks.ink, title.to_owned());
    sheet.text(left, 80.0 * unit, 20.0, Face::Regular, Align::Left, inks.ink_soft, below.to_owned());
}

/// "queries 0 to 16: 35 of 1,700 exact neighbours lost (2.1 %)". `place`: of a frame; all queries without.
pub fn lost_in_words(scores: &Scores, place: Option<usize>) -> String {
    let frame = scores.frame(place);
    let (lost, all) = (frame.lost.total() as usize, frame.exact.total() as usize);
    if let Some(beside) = &scores.beside {
        let (all_lost, everything) = (beside.lost.total() as usize, beside.exact.total() as usize);
        return format!(
            "{}: {} of {} exact neighbours lost ({}; of all queries {})",
            counted(frame.queries, "chosen query", "chosen queries"),
            count(lost),
            count(all),
            percent(lost, all),
            percent(all_lost, everything)
        );
    }
    let queries = match (place, frame.queries) {
        (None, _) => format!("all {} queries", count(scores.all.queries)),
        (Some(_), 1) => format!("query {}", count(frame.first)),
        (Some(_), queries) => format!("queries {} to {}", count(frame.first), count(frame.first + queries - 1)),
    };
    format!("{queries}: {} of {} exact neighbours lost ({})", count(lost), count(all), percent(lost, all))
}

/// Where the lower plots of [`scores_scene`] begin.
fn middle_of(canvas: Canvas) -> f32 {
    (canvas.height as f32 * 0.6).round()
}

/// Where the scores stand in [`scores_scene`].
pub fn scores_panel(scores: &Scores, place: Option<usize>, canvas: Canvas) -> Panel {
    let unit = canvas.unit;
    // Of all frames if one of them is shown, so that the axis holds; of all queries beside chosen ones.
    let holds = place.is_some() || scores.beside.is_some();
    let highest = if holds { scores.highest() } else { scores.all.highest() };
    Panel {
        left: (132.0 * unit).round(),
        right: (canvas.width as f32 - 40.0 * unit).round(),
        top: (116.0 * unit).round(),
        bottom: middle_of(canvas) - 40.0 * unit,
        x: (scores.bins.edge(0), scores.bins.edge(scores.bins.count())),
        y: (0.0, highest * 1.06),
    }
}

/// Exact and found scores over each other, lost ones before them, and below what was lost by rank. `place`: of a frame;
/// all queries without. The axes are the same in all frames.
pub fn scores_scene(scores: &Scores, place: Option<usize>, canvas: Canvas) -> Scene {
    let mut sheet = canvas.sheet();
    let (unit, inks) = (canvas.unit, canvas.look.inks());
    let frame = scores.frame(place);
    let (width, height) = (canvas.width as f32, canvas.height as f32);
    let left = (132.0 * unit).round();
    let told = lost_in_words(scores, place);
    heading(&mut sheet, left, &scores.title, &told);
    let middle = middle_of(canvas);
    let panel = scores_panel(scores, place, canvas);
    let wanted = |panel: &Panel| (((panel.right - panel.left) / (130.0 * unit)) as usize).clamp(2, 10);
    sheet.panel_axes(&panel, (scores.axis, "% of exact"), (wanted(&panel), 4), false);
    bars(&mut sheet, &panel, frame, scores, [inks.exact, inks.attention]);
    let mut names = vec![(inks.exact, "exact"), (inks.ink, "found"), (inks.attention, "lost")];
    if scores.beside.is_some() {
        names.push((inks.band, "exact, all queries"));
    }
    legend_beside(&mut sheet, &panel, &told, &names);
    let ranks = scores.lost_by_rank.len();
    let across = (width - left - 40.0 * unit) / 2.0;
    let gaps: Vec<f64> = scores.gap_by_rank.iter().map(|gap| gap.unwrap_or(0.0)).collect();
    let series = [
        (&scores.lost_by_rank, "% lost", inks.attention, left),
        (&gaps, "mean gap", inks.exact, left + across + 66.0 * unit),
    ];
    for (values, name, color, left) in series {
        let highest = values.iter().copied().fold(0.0, f64::max);
        let panel = Panel {
            left,
            right: (left + across - 66.0 * unit).round(),
            top: middle + 56.0 * unit,
            bottom: height - 100.0 * unit,
            x: (0.5, ranks as f64 + 0.5),
            y: (0.0, if highest > 0.0 { highest * 1.08 } else { 1.0 }),
        };
        sheet.panel_axes(&panel, ("rank of the exact neighbour", name), (wanted(&panel), 3), true);
        for (rank, &value) in values.iter().enumerate().filter(|(_, value)| **value > 0.0) {
            let (from, to) = (panel.x(rank as f64 + 0.55), panel.x(rank as f64 + 1.45));
            let top = panel.y(value);
            sheet.rect(from, top, (to - from).max(1.0), panel.bottom - top, color);
        }
    }
    if let Some(place) = place {
        let share = (place + 1) as f32 / scores.frames.len() as f32;
        let y = height - 10.0 * unit;
        sheet.rect(left, y, width - left - 40.0 * unit, 4.0 * unit, inks.rule);
        sheet.rect(left, y, (width - left - 40.0 * unit) * share, 4.0 * unit, inks.exact);
    }
    canvas.scene(sheet)
}

fn bars(sheet: &mut Sheet, panel: &Panel, frame: &Frame, scores: &Scores, [exact, lost]: [Color; 2]) {
    let edge = |bin: usize| panel.x(scores.bins.edge(bin));
    for (part, color) in [(&frame.exact, exact), (&frame.lost, lost)] {
        for (bin, value) in frame.percent(part).enumerate().filter(|(_, value)| *value > 0.0) {
            let top = panel.y(value);
            sheet.rect(edge(bin), top, edge(bin + 1) - edge(bin), panel.bottom - top, color);
        }
    }
    let width = (2.0 * sheet.unit).max(1.0);
    if let Some(beside) = &scores.beside {
        let points = outline(panel, beside, &beside.exact, scores);
        sheet.items.push(Item::Line { points, width, color: sheet.inks.band });
    }
    let points = outline(panel, frame, &frame.found, scores);
    sheet.items.push(Item::Line { points, width, color: sheet.inks.ink });
}

/// The steps of `part`, a histogram of `frame`.
fn outline(panel: &Panel, frame: &Frame, part: &Histogram, scores: &Scores) -> Vec<(f32, f32)> {
    let edge = |bin: usize| panel.x(scores.bins.edge(bin));
    let mut points = vec![(panel.left, panel.bottom)];
    for (bin, value) in frame.percent(part).enumerate() {
        let y = panel.y(value);
        points.extend([(edge(bin), y), (edge(bin + 1), y)]);
    }
    points.push((panel.right, panel.bottom));
    points
}

/// Names of colours at the right of the second line of a heading, `told`, or below it where both have no room in one line.
pub(super) fn legend_beside(sheet: &mut Sheet, panel: &Panel, told: &str, names: &[(Color, &str)]) {
    let unit = sheet.unit;
    let width = |text: &str| fonts::width(Face::Regular, 20.0 * unit, text);
    let needed = width(told) + names.iter().map(|(_, name)| width(name) + 48.0 * unit).sum::<f32>();
    let baseline = if needed > panel.right - panel.left { 108.0 } else { 80.0 };
    legend(sheet, panel.right, baseline * unit, names);
}

/// Names of colours, ending at `right`.
pub(super) fn legend(sheet: &mut Sheet, right: f32, baseline: f32, names: &[(Color, &str)]) {
    let (unit, inks) = (sheet.unit, sheet.inks);
    let size = 20.0;
    let mut x = right;
    for (color, name) in names.iter().rev() {
        x -= fonts::width(Face::Regular, size * unit, name);
        sheet.text(x, baseline, size, Face::Regular, Align::Left, inks.ink_soft, (*name).to_owned());
        x -= 24.0 * unit;
        sheet.rect(x, baseline - 15.0 * unit, 16.0 * unit, 16.0 * unit, *color);
        x -= 24.0 * unit;
    }
}

/// Writes the frames as a video.
///
/// # Errors
/// No H.264 encoder; a path that cannot be written; cancelled, then nothing is written.
pub fn write_video(
    scores: &Scores,
    path: &std::path::Path,
    canvas: Canvas,
    rate: FrameRate,
    monitor: &Monitor,
) -> Result<()> {
    monitor.begin("drawing frames", "frames", scores.frames.len() as u64);
    let mut encoder = Encoder::create(path, canvas.width, canvas.height, rate)?;
    for place in 0..scores.frames.len() {
        encoder.add(&raster::draw(&scores_scene(scores, Some(place), canvas)))?;
        monitor.advance(1)?;
    }
    encoder.finish()
}
