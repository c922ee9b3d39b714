//! What makes queries hard, as a finding: each measure beside recall, and a group of queries that was chosen by one.

use std::sync::Arc;

use super::super::finding::{Drawing, Finding, Link, Picture};
use super::super::fonts::{self, Face};
use super::super::lab::{heading, lost_in_words, scores_scene};
use super::super::panel::{Canvas, Panel};
use super::super::scene::{Align, Item, Scene, Shades, Sheet, fixed, ticks};
use super::{banded, capital};
use crate::compute::error::Result;
use crate::compute::figures::{count, counted, percent};
use crate::compute::index::difficulty::{Difficulty, Group, Measure, TENTHS, Tenth};
use crate::compute::index::judge::Mean;
use crate::compute::index::ranks::Correlation;
use crate::compute::index::scores::Scores;
use crate::compute::index::session::{Lab, Run};
use crate::compute::index::words::Words;
use crate::compute::table::{Column, Table};
use crate::job::Monitor;

/// Columns of the shades; rows at most.
const COLUMNS: usize = 120;
const MOST_ROWS: usize = 50;
/// Values beyond this share at either end are drawn at the edge, so that a few do not press the rest together.
const BEYOND: f64 = 0.002;

/// The measures of a session's queries beside what a contestant found: a tenth of the queries a row.
pub fn finding(difficulty: &Difficulty) -> Finding {
    let mut rows = Vec::new();
    let mut links = Vec::new();
    for measure in Measure::ALL {
        for tenth in difficulty.tenths(measure) {
            rows.push(vec![
                Some(measure.name().to_owned()),
                Some((tenth.place + 1).to_string()),
                Some(tenth.from.to_string()),
                Some(tenth.to.to_string()),
                Some(tenth.queries.len().to_string()),
                Some(format!("{:.6}", tenth.recall.mean)),
                Some(format!("{:.6}", tenth.recall.low)),
                Some(format!("{:.6}", tenth.recall.high)),
                Some(tenth.lost.to_string()),
            ]);
            let name = format!(
                "{} {} to {}: {}",
                measure.words(),
                brief(tenth.from),
                brief(tenth.to),
                counted(tenth.queries.len(), "query", "queries")
            );
            links.push(Link { name, queries: tenth.queries.clone(), docs: Vec::new() });
        }
    }
    let recall = format!("recall@{}", difficulty.k);
    let numbers =
        ["tenth", "from", "to", "queries", &recall, &format!("{recall}_low"), &format!("{recall}_high"), "lost"];
    let pictures = Measure::ALL.map(|measure| Picture {
        name: if measure == Measure::Lid { "LID".to_owned() } else { capital(measure.name()) },
        drawing: Arc::new(MeasurePicture::of(difficulty, measure)),
    });
    Finding {
        title: format!("Difficulty of queries for {}: {}", difficulty.run, difficulty.title),
        notes: notes(difficulty),
        pictures: pictures.into(),
        table: Table { columns: columns(&["measure"], &numbers), rows, is_cut: false },
        links,
        more: None,
    }
}

/// Every query with its measures, those that lost most first.
pub fn queries(difficulty: &Difficulty) -> Table {
    let mut order: Vec<u32> = (0..difficulty.recalls.len() as u32).collect();
    order.sort_by_key(|&query| (std::cmp::Reverse(difficulty.lost_of(query)), query));
    let recall = format!("recall@{}", difficulty.k);
    let names = ["query", "lid", "contrast", "hubness", "centroid", &recall, "lost"];
    let rows = order.into_iter().map(|query| row_of(difficulty, query)).collect();
    Table { columns: columns(&[], &names), rows, is_cut: false }
}

/// A group of queries that was chosen by a range of a measure: its queries with texts, its scores beside all.
///
/// # Errors
/// Cancelled.
pub fn group(difficulty: &Difficulty, group: &Group, lab: &Lab, run: &Run, monitor: &Monitor) -> Result<Finding> {
    let mut words = Words::beside(lab.arena.queries.path(), monitor)?;
    let recall = format!("recall@{}", difficulty.k);
    let names = ["query", "lid", "contrast", "hubness", "centroid", &recall, "lost"];
    let mut columns = columns(&[], &names);
    columns.push(Column { name: "text".to_owned(), is_number: false });
    let mut rows = Vec::with_capacity(group.queries.len());
    let mut links = Vec::with_capacity(group.queries.len());
    for &query in &group.queries {
        monitor.check()?;
        let text = words.of(query);
        let docs = run.judged.lost_of(&lab.truth, query as usize);
        links.push(Link {
            name: format!(
                "query {}: {}",
                count(query as usize),
                counted(docs.len(), "neighbour lost", "neighbours lost")
            ),
            queries: vec![query],
            docs: docs.into_iter().map(|(_, doc)| doc).collect(),
        });
        let mut row = row_of(difficulty, query);
        row.push(Some(text));
        rows.push(row);
    }
    let all = difficulty.recalls.len();
    let notes = vec![
        format!(
            "{} of {} have a {} from {} to {}.",
            counted(group.queries.len(), "query", "queries"),
            count(all),
            group.measure.words(),
            brief(group.from),
            brief(group.to)
        ),
        format!(
            "Their recall@{} is {}; that of all queries is {}.",
            difficulty.k,
            banded(group.recall),
            banded(difficulty.recall)
        ),
        format!("Scores: {}.", lost_in_words(&group.scores, None)),
    ];
    let drawing = Arc::new(GroupPicture { scores: group.scores.clone() });
    Ok(Finding {
        title: format!(
            "Queries with a {} from {} to {} for {}",
            group.measure.words(),
            brief(group.from),
            brief(group.to),
            difficulty.run
        ),
        notes,
        pictures: vec![Picture { name: "Scores".to_owned(), drawing }],
        table: Table { columns, rows, is_cut: false },
        links,
        more: None,
    })
}

fn columns(texts: &[&str], numbers: &[&str]) -> Vec<Column> {
    let column = |is_number: bool| move |name: &&str| Column { name: (*name).to_owned(), is_number };
    texts.iter().map(column(false)).chain(numbers.iter().map(column(true))).collect()
}

fn row_of(difficulty: &Difficulty, query: u32) -> Vec<Option<String>> {
    let value = |measure: Measure| {
        let value = difficulty.values(measure)[query as usize];
        (!value.is_nan()).then(|| value.to_string())
    };
    let recall = format!("{:.6}", difficulty.recalls[query as usize]);
    let measures = Measure::ALL.map(value);
    [Some(query.to_string())]
        .into_iter()
        .chain(measures)
        .chain([Some(recall), Some(difficulty.lost_of(query).to_string())])
        .collect()
}

/// A value with some four digits.
fn brief(value: f64) -> String {
    let size = value.abs();
    fixed(
        value,
        if size >= 1000.0 {
            0
        } else if size >= 100.0 {
            1
        } else if size >= 10.0 {
            2
        } else {
            3
        },
    )
}

fn correlated(correlation: Correlation) -> String {
    let [rho, low, high] = [correlation.rho, correlation.low, correlation.high].map(|value| fixed(value, 2));
    format!("ρ = {rho} (95 %: {low} to {high})")
}

fn notes(difficulty: &Difficulty) -> Vec<String> {
    let mut notes = vec![format!("Recall@{} over all queries is {}.", difficulty.k, banded(difficulty.recall))];
    let is_constant = difficulty.recalls.iter().all(|recall| *recall == difficulty.recalls[0]);
    if is_constant {
        notes.push("Every query has the same recall, so there is nothing for a measure to explain.".to_owned());
    }
    let mut told: Vec<(f64, String)> = Vec::new();
    for measure in Measure::ALL {
        let tenths = difficulty.tenths(measure);
        if let (Some(correlation), [lowest, .., highest]) = (difficulty.correlation(measure), tenths) {
            let meaning = match (correlation.may_be_none(), correlation.rho) {
                (true, _) => "nothing beyond chance",
                (_, -0.1..0.1) => "which explains next to nothing",
                (_, ..0.0) => "the higher, the more is lost",
                _ => "the lower, the more is lost",
            };
            let text = format!(
                "Recall and {}: {}, {meaning}; recall is {:.4} in the lowest group of queries and {:.4} in the highest.",
                measure.words(),
                correlated(correlation),
                lowest.recall.mean,
                highest.recall.mean
            );
            told.push((correlation.rho.abs(), text));
        }
    }
    // What tells most comes first.
    told.sort_by(|one, other| other.0.total_cmp(&one.0));
    notes.extend(told.into_iter().map(|(_, text)| text));
    notes.push(format!(
        "Local intrinsic dimension and contrast are of {} to the {} nearest docs; contrast takes the root of the mean squared \
         distance to all docs, which follows exactly from their mean (He, Kumar and Chang take the mean distance, which is a \
         little less).",
        difficulty.space.words(),
        count(difficulty.top_k)
    ));
    if difficulty.top_k < 10 {
        notes.push(format!(
            "A dimension from {} neighbours is a rough guess; a session with --top-k 100 tells more.",
            count(difficulty.top_k)
        ));
    }
    let hubs = &difficulty.hubs;
    let (doc, times) = hubs.largest();
    let skewness = hubs.skewness.map_or_else(String::new, |skewness| {
        format!(
            "Hubness of the docs: the skewness of how often each is a neighbour is {} (0: no hubs); ",
            fixed(skewness, 2)
        )
    });
    notes.push(format!(
        "{skewness}doc {} is a neighbour of {}, and {} of the docs are no query's neighbour.",
        count(doc as usize),
        counted(times as usize, "query", "queries"),
        percent(hubs.never(), hubs.times.len())
    ));
    notes.push(format!(
        "The distance to the nearest centroid is the {}, trained here as an IVF index trains them, not those of the contestant.",
        difficulty.centroids
    ));
    if difficulty.copies > 0 {
        notes.push(format!(
            "{} at distance 0; they do not count in its dimension.",
            counted(difficulty.copies, "query has an exact neighbour", "queries have exact neighbours")
        ));
    }
    for measure in Measure::ALL {
        let missing = difficulty.values(measure).iter().filter(|value| value.is_nan()).count();
        if missing > 0 {
            notes.push(format!("{} without a {}.", counted(missing, "query is", "queries are"), measure.words()));
        }
    }
    notes
}

/// A measure beside recall: how many queries have which, the mean of each tenth with its band.
#[derive(Debug)]
struct MeasurePicture {
    title: String,
    measure: Measure,
    /// Of recall.
    k: usize,
    recall: Mean,
    correlation: Option<Correlation>,
    /// The ends of the axes.
    x: (f64, f64),
    y: (f64, f64),
    /// One a query, drawn at the edges if beyond; NaN for none.
    values: Vec<f64>,
    /// Values ascending, each with the sum of the recalls up to it.
    sums: Vec<(f64, f64)>,
    shades: Arc<Shades>,
    /// Queries in each column.
    counts: Vec<usize>,
    /// Middle, ends and recall of the groups.
    tenths: Vec<(f64, f64, f64, Mean)>,
    /// Queries that are drawn at an edge.
    beyond: usize,
}

impl MeasurePicture {
    fn of(difficulty: &Difficulty, measure: Measure) -> Self {
        let known = difficulty.values(measure);
        let mut pairs: Vec<(f64, f64)> =
            known.iter().copied().zip(difficulty.recalls.iter().copied()).filter(|pair| !pair.0.is_nan()).collect();
        pairs.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.total_cmp(&other.1)));
        let at = |share: f64| pairs.get(((pairs.len().saturating_sub(1)) as f64 * share).round() as usize);
        let end = |share: f64| at(share).map_or(0.0, |pair| pair.0);
        let (low, high) = (end(BEYOND), end(1.0 - BEYOND));
        let x = if high > low { (low, high) } else { (low - 0.5, low + 0.5) };
        let values: Vec<f64> = known.iter().map(|value| value.clamp(x.0, x.1)).collect();
        let beyond = pairs.iter().filter(|(value, _)| *value < x.0 || *value > x.1).count();
        // Recalls are k + 1 values, from all that were found down: a row each, or a few where there are many.
        let lost = |recall: f64| ((1.0 - recall) * difficulty.k as f64).round() as usize;
        let most_lost = pairs.iter().map(|pair| lost(pair.1)).max().unwrap_or(0).max(1);
        let values_in_row = (most_lost + 1).div_ceil(MOST_ROWS);
        let rows = (most_lost + 1).div_ceil(values_in_row);
        let step = 1.0 / difficulty.k as f64;
        let y = (1.0 + step / 2.0 - (rows * values_in_row) as f64 * step, 1.0 + step / 2.0);
        let mut cells = vec![0usize; rows * COLUMNS];
        let mut counts = vec![0; COLUMNS];
        let mut sums = Vec::with_capacity(pairs.len());
        let mut sum = 0.0;
        for &(value, recall) in &pairs {
            sum += recall;
            sums.push((value, sum));
            let column = ((value.clamp(x.0, x.1) - x.0) / (x.1 - x.0) * COLUMNS as f64) as usize;
            let row = lost(recall) / values_in_row;
            counts[column.min(COLUMNS - 1)] += 1;
            cells[row * COLUMNS + column.min(COLUMNS - 1)] += 1;
        }
        let most = cells.iter().copied().max().unwrap_or(0).max(1) as f64;
        // One query is seen, and many are told from very many.
        let shade = |&queries: &usize| match queries {
            0 => 0,
            queries => (36.0 + 219.0 * (queries as f64).ln_1p() / most.ln_1p()).min(255.0) as u8,
        };
        let shades = Shades { width: COLUMNS, height: rows, values: cells.iter().map(shade).collect() };
        let tenth = |tenth: &Tenth| {
            let place = |value: f64| value.clamp(x.0, x.1);
            let rank = |value: f64| pairs.partition_point(|pair| pair.0 < value);
            let median = pairs.get((rank(tenth.from) + tenth.queries.len() / 2).min(pairs.len().saturating_sub(1)));
            let middle = median.map_or(tenth.from, |pair| pair.0);
            (place(middle), place(tenth.from), place(tenth.to), tenth.recall)
        };
        Self {
            title: format!("{} · {}", capital(measure.words()), difficulty.run),
            measure,
            k: difficulty.k,
            recall: difficulty.recall,
            correlation: difficulty.correlation(measure),
            x,
            y,
            values,
            sums,
            shades: Arc::new(shades),
            counts,
            tenths: difficulty.tenths(measure).iter().map(tenth).collect(),
            beyond,
        }
    }

    /// Where recall stands, and above it where queries are counted.
    fn panels(&self, canvas: Canvas) -> (Panel, Panel) {
        let (unit, height) = (canvas.unit, canvas.height as f32);
        let (left, right) = ((132.0 * unit).round(), (canvas.width as f32 - 40.0 * unit).round());
        let top = (116.0 * unit).round();
        let split = (top + 0.16 * (height - top)).round();
        let most = self.counts.iter().copied().max().unwrap_or(0).max(1) as f64;
        let counted = Panel { left, right, top, bottom: split, x: self.x, y: (0.0, most) };
        let recalled = Panel {
            left,
            right,
            top: (split + 28.0 * unit).round(),
            bottom: (height - 84.0 * unit).round(),
            x: self.x,
            y: self.y,
        };
        (counted, recalled)
    }

    /// How many queries have values within a range, and their recall.
    fn within(&self, (from, to): (f64, f64)) -> (usize, f64) {
        // What is drawn at the edge is chosen with it.
        let from = if from <= self.x.0 { f64::NEG_INFINITY } else { from };
        let to = if to >= self.x.1 { f64::INFINITY } else { to };
        let first = self.sums.partition_point(|(value, _)| *value < from);
        let end = self.sums.partition_point(|(value, _)| *value <= to).max(first);
        let sum = |place: usize| if place == 0 { 0.0 } else { self.sums[place - 1].1 };
        (end - first, (sum(end) - sum(first)) / (end - first).max(1) as f64)
    }

    fn below_title(&self, chosen: Option<(f64, f64)>) -> String {
        match (chosen, self.correlation) {
            (Some(range), _) => {
                let (queries, recall) = self.within(range);
                let told =
                    format!("{} to {}: {}", brief(range.0), brief(range.1), counted(queries, "query", "queries"));
                match queries {
                    0 => told,
                    _ => format!("{told}, recall@{} {recall:.4} (all queries {:.4})", self.k, self.recall.mean),
                }
            }
            (None, Some(correlation)) => {
                let beyond = match self.beyond {
                    0 => String::new(),
                    beyond => format!(" · {} beyond the edges stand at them", counted(beyond, "query", "queries")),
                };
                format!("rank correlation with recall: {}{beyond}", correlated(correlation))
            }
            (None, None) => "no rank correlation: the measure or recall is the same for all queries".to_owned(),
        }
    }
}

impl Drawing for MeasurePicture {
    fn scene(&self, canvas: Canvas, chosen: Option<(f64, f64)>) -> Scene {
        let mut sheet = canvas.sheet();
        let (unit, inks) = (canvas.unit, canvas.look.inks());
        let (counted, recalled) = self.panels(canvas);
        let below = self.below_title(chosen);
        heading(&mut sheet, recalled.left, &self.title, &below);
        self.explain(&mut sheet, &recalled, &below);
        let step = (self.x.1 - self.x.0) / COLUMNS as f64;
        for (column, &queries) in self.counts.iter().enumerate().filter(|(_, queries)| **queries > 0) {
            let from = self.x.0 + column as f64 * step;
            let (left, right) = (counted.x(from).round(), counted.x(from + step).round());
            let top = counted.y(queries as f64).min(counted.bottom - 1.0);
            let middle = from + step / 2.0;
            let is_chosen = chosen.is_some_and(|(low, high)| (low..=high).contains(&middle));
            let color = if is_chosen { inks.attention } else { inks.rule_strong };
            let gap = if right - left >= 6.0 { 1.0 } else { 0.0 };
            sheet.rect(left, top, (right - left - gap).max(1.0), counted.bottom - top, color);
        }
        let most = count(self.counts.iter().copied().max().unwrap_or(0));
        let (x, y) = (counted.left - 10.0 * unit, counted.top + 7.0 * unit);
        sheet.text(x, y, 20.0, Face::Regular, Align::Right, inks.ink_soft, most);
        let y = counted.bottom;
        sheet.text(x, y, 20.0, Face::Regular, Align::Right, inks.ink_soft, "queries".to_owned());
        sheet.items.push(Item::Shades {
            x: recalled.left,
            y: recalled.top,
            width: recalled.right - recalled.left,
            height: recalled.bottom - recalled.top,
            shades: self.shades.clone(),
            from: inks.paper,
            to: inks.exact,
        });
        self.axes(&mut sheet, &recalled);
        self.groups(&mut sheet, &recalled);
        if let Some((from, to)) = chosen {
            let (low, high) = (from.clamp(self.x.0, self.x.1), to.clamp(self.x.0, self.x.1));
            let thickness = (2.0 * unit).max(1.0).round();
            for value in [low, high] {
                let x = recalled.x(value).round();
                sheet.rect(x, counted.top, thickness, recalled.bottom - counted.top, inks.attention);
            }
            let (left, right) = (recalled.x(low).round(), recalled.x(high).round());
            sheet.rect(left, counted.bottom, right - left + thickness, thickness * 2.0, inks.attention);
        }
        canvas.scene(sheet)
    }

    fn brush(&self, canvas: Canvas) -> Option<(Panel, &[f64])> {
        Some((self.panels(canvas).1, &self.values))
    }
}

impl MeasurePicture {
    fn axes(&self, sheet: &mut Sheet, panel: &Panel) {
        let unit = sheet.unit;
        let marks = |(low, high): (f64, f64), wanted: usize| -> Vec<(f64, String)> {
            let (values, digits) = ticks(low, high, wanted);
            values.into_iter().map(|value| (value, fixed(value, digits))).collect()
        };
        let wanted = (((panel.right - panel.left) / (150.0 * unit)) as usize).clamp(2, 12);
        sheet.y_marks(panel, &marks((self.y.0.max(0.0), 1.0), 5));
        sheet.x_marks(panel, &marks(self.x, wanted));
        sheet.panel_names(panel, (self.measure.axis_label(), &format!("recall@{}", count(self.k))));
    }

    /// The mean recall of each tenth: its ends across, its band upright.
    fn groups(&self, sheet: &mut Sheet, panel: &Panel) {
        let (unit, inks) = (sheet.unit, sheet.inks);
        let thickness = (3.0 * unit).max(1.0);
        let points: Vec<(f32, f32)> =
            self.tenths.iter().map(|(middle, _, _, recall)| (panel.x(*middle), panel.y(recall.mean))).collect();
        if points.len() > 1 {
            sheet.items.push(Item::Line { points: points.clone(), width: thickness, color: inks.attention });
        }
        for ((_, from, to, recall), (x, y)) in self.tenths.iter().zip(points) {
            let (left, right) = (panel.x(*from), panel.x(*to));
            sheet.rect(left, y - thickness / 2.0, (right - left).max(1.0), thickness, inks.attention);
            let (low, high) = (panel.y(recall.low), panel.y(recall.high));
            sheet.rect(x - thickness / 2.0, high, thickness, low - high, inks.attention);
            let radius = 7.0 * unit;
            let (width, height) = (2.0 * radius, 2.0 * radius);
            let (fill, border) = (inks.attention, inks.paper);
            sheet.items.push(Item::Card { x: x - radius, y: y - radius, width, height, radius, fill, border });
        }
    }

    /// What is drawn, at the right of the line `below` the title, where there is room for it.
    fn explain(&self, sheet: &mut Sheet, panel: &Panel, below: &str) {
        let (unit, inks) = (sheet.unit, sheet.inks);
        let told = format!(
            "dots: mean of each {} with band · darker: more queries",
            if self.tenths.len() == TENTHS { "tenth" } else { "group" }
        );
        let [taken, wanted] = [below, &told].map(|text| fonts::width(Face::Regular, 20.0 * unit, text));
        if taken + wanted + 40.0 * unit <= panel.right - panel.left {
            let (x, y) = (panel.right, 80.0 * unit);
            sheet.text(x, y, 20.0, Face::Regular, Align::Right, inks.ink_soft, told);
        }
    }
}

/// The scores of chosen queries beside those of all.
#[derive(Debug)]
struct GroupPicture {
    scores: Scores,
}

impl Drawing for GroupPicture {
    fn scene(&self, canvas: Canvas, _chosen: Option<(f64, f64)>) -> Scene {
        scores_scene(&self.scores, None, canvas)
    }
}
