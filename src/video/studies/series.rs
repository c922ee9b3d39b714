//! What charts of several studies share: axes in steps of one or of powers, lines with bands, and their names.

use super::super::fonts::{self, Face};
use super::super::palette::Color;
use super::super::panel::Panel;
use super::super::scene::{Align, Item, Sheet, fixed, ticks};
use crate::compute::figures::{grouped, rate};
use crate::compute::index::judge::Mean;

/// An axis: where values stand, and what is written there.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    pub name: String,
    is_log: bool,
    /// Its ends, as places.
    ends: (f64, f64),
    /// Places and what is written there.
    marks: Vec<(f64, String)>,
}

impl Axis {
    /// Values from `low` to `high`, evenly, with some `wanted` marks.
    pub fn even(name: &str, (low, high): (f64, f64), wanted: usize) -> Self {
        let (values, digits) = ticks(low, high, wanted);
        let label = |value: f64| match digits {
            0 if value >= 0.0 => grouped(value as u64),
            _ => fixed(value, digits),
        };
        let marks = values.into_iter().map(|value| (value, label(value))).collect();
        Self { name: name.to_owned(), is_log: false, ends: (low, high), marks }
    }

    /// Values from `low` to `high`, both above 0, by their logarithms: marked at powers of ten, and between them where
    /// there are few; `label` writes them.
    pub fn log(name: &str, (low, high): (f64, f64), label: impl Fn(f64) -> String) -> Self {
        let ends = (low.log10(), high.log10());
        let steps: &[f64] = if ends.1 - ends.0 > 3.2 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        // Many powers would not fit: every second, third, … then.
        let every = (((ends.1 - ends.0) / 12.0).ceil() as i32).max(1);
        let powers = (ends.0.floor() as i32..=ends.1.ceil() as i32).filter(|power| power % every == 0);
        let values = powers.flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)));
        let within = |place: f64| (ends.0 - 1e-9..=ends.1 + 1e-9).contains(&place);
        let marks = values.map(|value| (value.log10(), label(value))).filter(|(place, _)| within(*place)).collect();
        Self { name: name.to_owned(), is_log: true, ends, marks }
    }

    /// Ascending values above 0, by their logarithms, each of them marked.
    pub fn steps(name: &str, values: &[f64]) -> Self {
        let (low, high) = (values.first().copied().unwrap_or(1.0), values.last().copied().unwrap_or(2.0));
        let room = ((high / low).log10() * 0.06).max(0.02);
        let ends = (low.log10() - room, high.log10() + room);
        let marks = values.iter().map(|value| (value.log10(), grouped(*value as u64))).collect();
        Self { name: name.to_owned(), is_log: true, ends, marks }
    }

    /// Where a value stands.
    pub fn place(&self, value: f64) -> f64 {
        if self.is_log { value.log10() } else { value }
    }
}

/// "20 µs", "5 ms", "1 s", "10,000 s"
pub(super) fn secs(value: f64) -> String {
    let (scaled, unit) = match value {
        value if value < 0.999e-3 => (value * 1e6, "µs"),
        value if value < 0.999 => (value * 1e3, "ms"),
        value => (value, "s"),
    };
    match scaled {
        scaled if scaled >= 0.999 => format!("{} {unit}", grouped(scaled.round() as u64)),
        scaled => format!("{scaled:.2} {unit}"),
    }
}

/// "1,000", "10 M"
pub(super) fn whole(value: f64) -> String {
    match value {
        value if value < 999_999.0 => grouped(value.round() as u64),
        value => rate(value).replace(".00", ""),
    }
}

/// A line of a chart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Series {
    pub name: String,
    pub color: Color,
    /// Values of the x axis with means and their bands.
    pub points: Vec<(f64, Mean)>,
}

impl Series {
    /// Without bands.
    pub fn plain(name: &str, color: Color, points: impl Iterator<Item = (f64, f64)>) -> Self {
        let point = |(x, mean)| (x, Mean { mean, low: mean, high: mean });
        Self { name: name.to_owned(), color, points: points.map(point).collect() }
    }

    /// The least and the largest value; `None` of no point.
    pub fn extent<'a>(all: impl Iterator<Item = &'a Self>) -> Option<(f64, f64)> {
        let means = all.flat_map(|series| series.points.iter().map(|(_, mean)| *mean));
        means.fold(None, |extent: Option<(f64, f64)>, mean| {
            let (low, high) = extent.unwrap_or((mean.low, mean.high));
            Some((low.min(mean.low), high.max(mean.high)))
        })
    }
}

/// Where several plots stand beside each other: number `place` of `of`, from `left` to `right` pixels.
pub(super) fn beside(
    (left, right): (f32, f32),
    (top, bottom): (f32, f32),
    (place, of): (usize, usize),
    unit: f32,
    (x, y): (&Axis, &Axis),
) -> Panel {
    // Room for the name and the values of the y axis of every plot but the first.
    let gap = 132.0 * unit;
    let width = (right - left - gap * (of - 1) as f32) / of as f32;
    let left = (left + (width + gap) * place as f32).round();
    Panel { left, right: (left + width).round(), top: top.round(), bottom: bottom.round(), x: x.ends, y: y.ends }
}

/// Axes, bands, lines with dots, and above the plot the names of the lines.
pub(super) fn chart(sheet: &mut Sheet, panel: &Panel, (x, y): (&Axis, &Axis), series: &[Series]) {
    let unit = sheet.unit;
    sheet.y_marks(panel, &y.marks);
    sheet.x_marks(panel, &x.marks);
    sheet.panel_names(panel, (&x.name, &y.name));
    let at = |value: f64, mean: f64| (panel.x(x.place(value)), panel.y(y.place(mean)));
    for line in series {
        if line.points.iter().any(|(_, mean)| mean.high > mean.low) {
            let band = |(value, mean): &(f64, Mean)| {
                let (across, low) = at(*value, mean.low);
                (across, at(*value, mean.high).1, low)
            };
            let points = line.points.iter().map(band).collect();
            sheet.items.push(Item::Band { points, color: sheet.inks.rule });
        }
    }
    for line in series {
        let points: Vec<(f32, f32)> = line.points.iter().map(|(value, mean)| at(*value, mean.mean)).collect();
        if points.len() > 1 {
            let width = (2.5 * unit).max(1.5);
            sheet.items.push(Item::Line { points: points.clone(), width, color: line.color });
        }
        for (x, y) in points {
            dot(sheet, (x, y), 5.0 * unit, line.color);
        }
    }
    let named = || series.iter().filter(|line| !line.name.is_empty());
    let width = |line: &Series| 30.0 * unit + fonts::width(Face::Regular, 18.0 * unit, &line.name);
    let total = named().map(|line| width(line) + 26.0 * unit).sum::<f32>() - 26.0 * unit;
    // Above the marks of the y axis there is room, too.
    let mut across = panel.left.min(panel.right - total);
    for line in named() {
        let baseline = panel.top - 16.0 * unit;
        sheet.rect(across, baseline - 8.0 * unit, 22.0 * unit, (4.0 * unit).max(2.0), line.color);
        let x = across + 30.0 * unit;
        sheet.text(x, baseline, 18.0, Face::Regular, Align::Left, sheet.inks.ink_soft, line.name.clone());
        across += width(line) + 26.0 * unit;
    }
}

/// A dot that stands out from lines below it.
pub(super) fn dot(sheet: &mut Sheet, (x, y): (f32, f32), radius: f32, fill: Color) {
    let (width, height, border) = (2.0 * radius, 2.0 * radius, sheet.inks.paper);
    sheet.items.push(Item::Card { x: x - radius, y: y - radius, width, height, radius, fill, border });
}

/// `text` in lines of at most `width` pixels, broken between words.
pub(super) fn wrapped(face: Face, size: f32, text: &str, width: f32) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if fonts::width(face, size, &format!("{line} {word}")) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The first `most` lines, one at least; the last of them ends with "…" if there were more, or if it is too long.
pub(super) fn cut(face: Face, size: f32, mut lines: Vec<String>, most: usize, width: f32) -> Vec<String> {
    let is_long = |line: &String| fonts::width(face, size, line) > width;
    let is_cut = lines.len() > most.max(1) || lines.last().is_some_and(is_long);
    lines.truncate(most.max(1));
    if let Some(last) = lines.last_mut().filter(|_| is_cut) {
        while !last.is_empty() && fonts::width(face, size, &format!("{last}…")) > width {
            last.pop();
        }
        last.truncate(last.trim_end().len());
        last.push('…');
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_do_not_fit_are_cut() {
        let lines = || vec!["one two".to_owned(), "three four".to_owned(), "five".to_owned()];
        let width = fonts::width(Face::Regular, 16.0, "three four");
        assert_eq!(cut(Face::Regular, 16.0, lines(), 3, width), lines());
        let two = cut(Face::Regular, 16.0, lines(), 2, width);
        assert!(two.len() == 2 && two[1].starts_with("three") && two[1].ends_with('…') && two[1].len() > 8, "{two:?}");
        assert!(fonts::width(Face::Regular, 16.0, &two[1]) <= width);
        assert_eq!(cut(Face::Regular, 16.0, lines(), 0, width).len(), 1);
    }

    #[test]
    fn values_are_written_short() {
        assert_eq!([2e-5, 0.005, 1.0, 10_000.0].map(secs), ["20 µs", "5 ms", "1 s", "10,000 s"]);
        assert_eq!([1.0, 1000.0, 1e6, 1e7].map(whole), ["1", "1,000", "1 M", "10 M"]);
    }

    #[test]
    fn powers_are_marked_within_the_ends() {
        let axis = Axis::log("s", (0.02, 50_000.0), secs);
        let marks: Vec<&str> = axis.marks.iter().map(|(_, label)| label.as_str()).collect();
        assert_eq!(marks, ["100 ms", "1 s", "10 s", "100 s", "1,000 s", "10,000 s"]);
        assert_eq!(axis.place(100.0), 2.0);
        assert!(Axis::log("s", (1e-9, 1e30), secs).marks.len() < 14);
    }

    #[test]
    fn lines_are_broken_between_words() {
        let lines = wrapped(Face::Regular, 20.0, "one two three four five", 90.0);
        assert!(lines.len() > 1 && lines.join(" ") == "one two three four five", "{lines:?}");
    }
}
