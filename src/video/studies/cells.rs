//! Cells as a finding: what is lost in which, and a cell with its queries and docs.

use std::sync::Arc;

use super::super::finding::{Drawing, Finding, Link, Picture};
use super::super::fonts::{self, Face};
use super::super::lab::{heading, legend_beside};
use super::super::panel::{Canvas, Panel};
use super::super::scene::{Align, Item, Scene, Sheet, fixed, ticks};
use super::{banded, capital};
use crate::compute::error::{Error, Result};
use crate::compute::figures::{count, counted, percent};
use crate::compute::index::cells::{CellRow, CellStudy};
use crate::compute::index::judge::Mean;
use crate::compute::index::ranks::Correlation;
use crate::compute::index::session::Lab;
use crate::compute::index::words::{Words, shortened};
use crate::compute::table::{Column, Table};
use crate::job::Monitor;

/// Characters of a text in the table of cells.
const TEXT_LENGTH: usize = 60;
/// Characters of a name in a picture.
const NAME_LENGTH: usize = 28;
/// Cells that are named in a picture, at most.
const NAMED: usize = 10;
/// Queries that a cell needs for its band to say something.
const TELLING_QUERIES: usize = 10;

/// Cells with what is lost in them, a cell a row.
pub fn finding(study: &CellStudy) -> Finding {
    let recall = format!("recall@{}", study.k);
    let (low, high) = (format!("{recall}_low"), format!("{recall}_high"));
    let mut names = vec!["cell", "docs", "mean_distance", "max_distance", "queries", "neighbours_inside"];
    if study.run.is_some() {
        names.extend([recall.as_str(), &low, &high, "mean_gap", "lost", "lost_docs"]);
    }
    let column = |name: &str, is_number: bool| Column { name: name.to_owned(), is_number };
    let mut columns: Vec<Column> = names.into_iter().map(|name| column(name, true)).collect();
    columns.push(column("most_central_texts", false));
    let rows = study.rows.iter().map(|row| cells_of(row, study.run.is_some())).collect();
    let link = |row: &CellRow| Link {
        name: name_of(row),
        queries: study.queries(row.cell),
        docs: study.cells.docs(row.cell).to_vec(),
    };
    let spread = Picture { name: "Spread".to_owned(), drawing: Arc::new(SpreadPicture::of(study)) };
    let recall = RecallPicture::of(study)
        .map(|picture| Picture { name: "Cells by recall".to_owned(), drawing: Arc::new(picture) });
    let title = match &study.run {
        Some(run) => format!("{run} by cell: {}", study.title),
        None => format!("Cells: {}", study.title),
    };
    Finding {
        title,
        notes: notes(study),
        pictures: recall.into_iter().chain([spread]).collect(),
        table: Table { columns, rows, is_cut: false },
        links: study.rows.iter().map(link).collect(),
        more: None,
    }
}

fn cells_of(row: &CellRow, has_run: bool) -> Vec<Option<String>> {
    let number = |value: Option<f64>| value.map(|value| format!("{value:.6}"));
    let mut cells = vec![
        Some(row.cell.to_string()),
        Some(row.docs.to_string()),
        number(row.spread.map(|(mean, _)| mean)),
        number(row.spread.map(|(_, farthest)| farthest)),
        Some(row.queries.to_string()),
        number(row.neighbours_inside),
    ];
    if has_run {
        cells.extend([
            number(row.recall.map(|recall| recall.mean)),
            number(row.recall.map(|recall| recall.low)),
            number(row.recall.map(|recall| recall.high)),
            row.gap.map(|gap| format!("{gap:e}")),
            row.lost.map(|lost| lost.to_string()),
            row.lost_docs.map(|lost| lost.to_string()),
        ]);
    }
    let texts: Vec<String> =
        row.texts.iter().filter(|text| !text.is_empty()).map(|text| shortened(text, TEXT_LENGTH)).collect();
    cells.push((!texts.is_empty()).then(|| texts.join(" | ")));
    cells
}

/// "cell 17: 45 docs, 23 queries"
fn name_of(row: &CellRow) -> String {
    format!(
        "cell {}: {}, {}",
        count(row.cell),
        counted(row.docs, "doc", "docs"),
        counted(row.queries, "query", "queries")
    )
}

/// A cell: its queries, those that lost most first, then its docs from central to far, with texts.
///
/// # Errors
/// A cell that is not there; cancelled.
pub fn cell(study: &CellStudy, cell: usize, lab: &Lab, monitor: &Monitor) -> Result<Finding> {
    if cell >= study.cells.count() {
        let expected = format!("a cell from 0 to {}", count(study.cells.count() - 1));
        return Err(Error::Parameter { name: "cell", expected, found: count(cell) });
    }
    let mut query_words = Words::beside(lab.arena.queries.path(), monitor)?;
    let mut doc_words = Words::beside(lab.arena.docs.path(), monitor)?;
    let row = study.row(cell);
    let column = |name: &str, is_number: bool| Column { name: name.to_owned(), is_number };
    let columns = vec![
        column("what", false),
        column("row", true),
        column("distance", true),
        column(&format!("recall@{}", study.k), true),
        column("lost", true),
        column("text", false),
    ];
    let (mut rows, mut links) = (Vec::new(), Vec::new());
    let text = |text: String| (!text.is_empty()).then_some(text);
    for query in study.queries(cell) {
        monitor.check()?;
        rows.push(vec![
            Some("query".to_owned()),
            Some(query.to_string()),
            Some(format!("{:.6}", study.cells.query_distances[query as usize])),
            study.recalls.as_ref().map(|recalls| format!("{:.6}", recalls[query as usize])),
            study.lost_of(query).map(|lost| lost.to_string()),
            text(query_words.of(query)),
        ]);
        links.push(Link { name: format!("query {}", count(query as usize)), queries: vec![query], docs: Vec::new() });
    }
    for &doc in study.cells.docs(cell) {
        monitor.check()?;
        let distance = format!("{:.6}", study.cells.doc_distances[doc as usize]);
        let text = text(doc_words.of(doc));
        rows.push(vec![Some("doc".to_owned()), Some(doc.to_string()), Some(distance), None, None, text]);
        links.push(Link { name: format!("doc {}", count(doc as usize)), queries: Vec::new(), docs: vec![doc] });
    }
    let mut notes = vec![format!("{}.", capital(&name_of(row)))];
    if let Some((mean, farthest)) = row.spread {
        let name = study.cells.distance_name();
        notes.push(format!("Its docs are {mean:.4} away in the mean, {farthest:.4} at most ({name})."));
    }
    if let Some(inside) = row.neighbours_inside {
        notes.push(format!("{:.1} % of its queries' exact neighbours lie in it.", inside * 100.0));
    }
    if let (Some(recall), Some(all), Some(lost)) = (row.recall, study.recall, row.lost) {
        notes.push(format!(
            "Its queries lost {}: recall@{} {}, of all queries {:.4}.",
            counted(lost, "exact neighbour", "exact neighbours"),
            study.k,
            banded(recall),
            all.mean
        ));
    }
    if let Some(lost) = row.lost_docs.filter(|lost| *lost > 0) {
        notes.push(format!("Queries of all cells lost its docs {}.", counted(lost, "time", "times")));
    }
    Ok(Finding {
        title: format!("Cell {} of {}: {}", count(cell), count(study.cells.count()), study.title),
        notes,
        pictures: Vec::new(),
        table: Table { columns, rows, is_cut: false },
        links,
        more: None,
    })
}

fn notes(study: &CellStudy) -> Vec<String> {
    let cells = &study.cells;
    let spherical = if cells.metric.larger_is_nearer() { "spherical k-means" } else { "k-means" };
    let settled = if cells.has_settled { ", settled" } else { "" };
    let mut notes = vec![format!(
        "{} by {spherical} ({}{settled}, trained on {}), as FAISS trains the coarse quantiser of an IVF index; these are cells of \
         our own, not those of an index that was run.",
        counted(cells.count(), "cell", "cells"),
        counted(cells.iterations, "iteration", "iterations"),
        counted(cells.trained_on, "doc", "docs"),
    )];
    let sizes = || study.rows.iter().map(|row| row.docs);
    let empty = sizes().filter(|docs| *docs == 0).count();
    let mean = sizes().sum::<usize>() as f64 / cells.count() as f64;
    let holds = match empty {
        0 => String::new(),
        empty => format!("; {} empty", counted(empty, "is", "are")),
    };
    notes.push(format!(
        "Cells hold {} to {} docs, {mean:.1} in the mean{holds}; spread is the {}.",
        count(sizes().min().unwrap_or(0)),
        count(sizes().max().unwrap_or(0)),
        cells.distance_name()
    ));
    notes.push(format!(
        "{:.1} % of the exact neighbours lie in the cell of their query: an IVF index of these cells that looks into one \
         (nprobe=1) can find no more.",
        study.neighbours_inside * 100.0
    ));
    let (Some(run), Some(recall)) = (&study.run, study.recall) else { return notes };
    notes.push(format!("Recall@{} of {run} over all queries is {}.", study.k, banded(recall)));
    let lost = |rows: &[CellRow]| rows.iter().filter_map(|row| row.lost).sum::<usize>();
    let all_lost = lost(&study.rows);
    if all_lost == 0 {
        notes.push("Nothing was lost in any cell.".to_owned());
        return notes;
    }
    let worst = &study.rows[..study.rows.len().div_ceil(10)];
    let queries = |rows: &[CellRow]| rows.iter().map(|row| row.queries).sum::<usize>();
    notes.push(format!(
        "The {} that lost most have {} of the queries and {} of the lost neighbours.",
        counted(worst.len(), "cell", "cells"),
        percent(queries(worst), queries(&study.rows)),
        percent(lost(worst), all_lost)
    ));
    let telling: Vec<Mean> =
        study.rows.iter().filter(|row| row.queries >= TELLING_QUERIES).filter_map(|row| row.recall).collect();
    let below = telling.iter().filter(|cell| cell.high < recall.mean).count();
    if !telling.is_empty() {
        notes.push(format!(
            "Of {} with at least {TELLING_QUERIES} queries, {} wholly below the recall of all; some {:.0} would by chance.",
            counted(telling.len(), "cell", "cells"),
            counted(below, "has a band", "have bands"),
            telling.len() as f64 * 0.025
        ));
    }
    let relation = |name: &str, correlation: Option<Correlation>, less: &str, more: &str| {
        let correlation = correlation?;
        let [rho, low, high] = [correlation.rho, correlation.low, correlation.high].map(|value| fixed(value, 2));
        let meaning = match (correlation.may_be_none(), correlation.rho < 0.0) {
            (true, _) => "nothing beyond chance".to_owned(),
            (_, true) => format!("queries in {more} cells lose more"),
            (_, false) => format!("queries in {less} cells lose more"),
        };
        Some(format!("Recall and the {name} of the query's cell: ρ = {rho} (95 %: {low} to {high}), {meaning}."))
    };
    notes.extend(relation("spread", study.with_spread, "denser", "wider"));
    notes.extend(relation("docs", study.with_size, "smaller", "larger"));
    notes
}

/// Cells sorted by recall, as wide as they have queries: what hangs from 1 is what was lost. Below, the gaps.
#[derive(Debug)]
struct RecallPicture {
    title: String,
    k: usize,
    recall: Mean,
    bars: Vec<Bar>,
    /// The place of each query on the x axis.
    values: Vec<f64>,
}

/// A cell with queries.
#[derive(Debug)]
struct Bar {
    /// Its queries on the x axis.
    from: f64,
    to: f64,
    recall: Mean,
    gap: f64,
    /// Docs, and lost neighbours.
    docs: usize,
    lost: usize,
}

impl RecallPicture {
    /// `None` without a contestant.
    fn of(study: &CellStudy) -> Option<Self> {
        let (run, recall) = (study.run.as_ref()?, study.recall?);
        let mut rows: Vec<(&CellRow, Mean)> = study.rows.iter().filter_map(|row| Some((row, row.recall?))).collect();
        rows.sort_by(|one, other| one.1.mean.total_cmp(&other.1.mean).then(one.0.cell.cmp(&other.0.cell)));
        let mut values = vec![f64::NAN; study.cells.cell_of_query.len()];
        let mut bars = Vec::with_capacity(rows.len());
        let mut from = 0.0;
        for (row, recall) in rows {
            for (place, query) in study.queries(row.cell).into_iter().enumerate() {
                values[query as usize] = from + place as f64 + 0.5;
            }
            let to = from + row.queries as f64;
            let (gap, lost) = (row.gap.unwrap_or(0.0), row.lost.unwrap_or(0));
            bars.push(Bar { from, to, recall, gap, docs: row.docs, lost });
            from = to;
        }
        Some(Self { title: format!("{run} by cell"), k: study.k, recall, bars, values })
    }

    /// Where recall and gaps stand.
    fn panels(&self, canvas: Canvas) -> (Panel, Panel) {
        let (unit, height) = (canvas.unit, canvas.height as f32);
        let (left, right) = ((132.0 * unit).round(), (canvas.width as f32 - 40.0 * unit).round());
        let x = (0.0, self.bars.last().map_or(1.0, |bar| bar.to));
        let lowest = self.bars.first().map_or(0.0, |bar| bar.recall.mean);
        // A tenth is the least that is shown.
        let lowest = ((lowest * 10.0 - 1e-9).floor() / 10.0).clamp(0.0, 0.9);
        let highest = self.bars.iter().map(|bar| bar.gap).fold(0.0, f64::max);
        let split = (height * 0.66).round();
        let recalled =
            Panel { left, right, top: (116.0 * unit).round(), bottom: split - 24.0 * unit, x, y: (lowest, 1.0) };
        let highest = if highest > 0.0 { highest * 1.06 } else { 1.0 };
        let (top, bottom) = ((split + 12.0 * unit).round(), (height - 84.0 * unit).round());
        (recalled, Panel { left, right, top, bottom, x, y: (0.0, highest) })
    }

    /// The bars in stretches that are chosen or not.
    fn parts(&self, is_chosen: &dyn Fn(&Bar) -> bool) -> Vec<(bool, &[Bar])> {
        let stretches = self.bars.chunk_by(|one, other| is_chosen(one) == is_chosen(other));
        stretches.map(|bars| (bars.first().is_some_and(is_chosen), bars)).collect()
    }

    fn below_title(&self, chosen: Option<(f64, f64)>) -> String {
        let Some((from, to)) = chosen else {
            return format!(
                "cells by recall, as wide as they have queries: the area is what was lost · line: all queries, {:.4}",
                self.recall.mean
            );
        };
        let touched = || self.bars.iter().filter(|bar| bar.from < to && bar.to > from);
        format!(
            "chosen: {} with {}, that lost {}",
            counted(touched().count(), "cell", "cells"),
            counted(touched().map(|bar| bar.docs).sum(), "doc", "docs"),
            counted(touched().map(|bar| bar.lost).sum(), "exact neighbour", "exact neighbours")
        )
    }
}

impl Drawing for RecallPicture {
    fn scene(&self, canvas: Canvas, chosen: Option<(f64, f64)>) -> Scene {
        let mut sheet = canvas.sheet();
        let (unit, inks) = (canvas.unit, canvas.look.inks());
        let (recalled, gaps) = self.panels(canvas);
        let below = self.below_title(chosen);
        heading(&mut sheet, recalled.left, &self.title, &below);
        sheet.panel_axes(&recalled, ("", &format!("recall@{}", count(self.k))), (0, 5), false);
        let wanted = (((gaps.right - gaps.left) / (150.0 * unit)) as usize).clamp(2, 12);
        sheet.panel_axes(&gaps, ("queries, in cells sorted by recall", "mean gap"), (wanted, 3), true);
        let is_chosen = |bar: &Bar| chosen.is_some_and(|(from, to)| bar.from < to && bar.to > from);
        // Areas in one piece: bars beside each other would show their seams.
        for (is_chosen_part, bars) in self.parts(&is_chosen) {
            let (lost, gap) = match is_chosen_part {
                true => (inks.attention, inks.attention),
                false => (inks.band, inks.exact),
            };
            let steps = |height: &dyn Fn(&Bar) -> (f32, f32)| {
                let ends = |bar: &Bar| [bar.from, bar.to].map(|x| (recalled.x(x), height(bar).0, height(bar).1));
                bars.iter().flat_map(ends).collect::<Vec<_>>()
            };
            let points = steps(&|bar| (recalled.top, recalled.y(bar.recall.mean)));
            sheet.items.push(Item::Band { points, color: lost });
            let points = steps(&|bar| (gaps.y(bar.gap.max(0.0)), gaps.bottom));
            sheet.items.push(Item::Band { points, color: gap });
        }
        let ends = |bar: &Bar| [bar.from, bar.to].map(|x| (recalled.x(x), recalled.y(bar.recall.mean)));
        let points: Vec<(f32, f32)> = self.bars.iter().flat_map(ends).collect();
        if !points.is_empty() {
            let width = (2.0 * unit).max(1.0);
            sheet.items.push(Item::Line { points, width, color: inks.attention });
        }
        // Bands of the cells where there is room for them.
        let thickness = unit.max(1.0);
        if (recalled.right - recalled.left) >= 8.0 * thickness * self.bars.len() as f32 {
            for bar in &self.bars {
                let x = (recalled.x(bar.from) + recalled.x(bar.to)) / 2.0;
                let (high, low) = (recalled.y(bar.recall.high), recalled.y(bar.recall.low.max(recalled.y.0)));
                sheet.rect(x - thickness / 2.0, high, thickness, low - high, inks.ink);
            }
        }
        let y = recalled.y(self.recall.mean).round();
        sheet.rect(recalled.left, y, recalled.right - recalled.left, (2.0 * unit).max(1.0).round(), inks.exact);
        legend_beside(&mut sheet, &recalled, &below, &[(inks.band, "lost"), (inks.exact, "all queries")]);
        canvas.scene(sheet)
    }

    fn brush(&self, canvas: Canvas) -> Option<(Panel, &[f64])> {
        Some((self.panels(canvas).0, &self.values))
    }
}

/// Spread against size of every cell; the larger a bubble, the more its queries lost.
#[derive(Debug)]
struct SpreadPicture {
    title: String,
    has_run: bool,
    bubbles: Vec<Bubble>,
    x: (f64, f64),
    /// log₁₀ of docs.
    y: (f64, f64),
    x_name: &'static str,
    /// The spread of the cell of each query.
    values: Vec<f64>,
}

/// A cell with docs.
#[derive(Debug)]
struct Bubble {
    spread: f64,
    docs: usize,
    /// Exact neighbours that its queries lost; its queries, without a contestant.
    weight: usize,
    is_worse: bool,
    has_queries: bool,
    name: String,
}

impl SpreadPicture {
    fn of(study: &CellStudy) -> Self {
        let bubble = |row: &CellRow| {
            let (spread, _) = row.spread?;
            // The band of a few queries tells nothing.
            let judged = row.recall.filter(|_| row.queries >= TELLING_QUERIES).zip(study.recall);
            let is_worse = judged.is_some_and(|(cell, all)| cell.high < all.mean);
            let text = row.texts.first().map_or(String::new(), |text| {
                let title = text.split(" · ").next().unwrap_or_default();
                format!(" · {}", shortened(title, NAME_LENGTH))
            });
            let name = format!("{}{}", count(row.cell), if text == " · " { "" } else { &text });
            let (weight, has_queries) = (row.lost.unwrap_or(row.queries), row.queries > 0);
            Some(Bubble { spread, docs: row.docs, weight, is_worse, has_queries, name })
        };
        let bubbles: Vec<Bubble> = study.rows.iter().filter_map(bubble).collect();
        let ends = |values: &mut dyn Iterator<Item = f64>| {
            let ends = (f64::INFINITY, f64::NEG_INFINITY);
            values.fold(ends, |(low, high), value| (low.min(value), high.max(value)))
        };
        let padded = |(low, high): (f64, f64), least: f64| {
            let more = ((high - low) * 0.06).max(least);
            if low <= high { (low - more, high + more) } else { (0.0, 1.0) }
        };
        let x = padded(ends(&mut bubbles.iter().map(|bubble| bubble.spread)), 1e-6);
        let y = padded(ends(&mut bubbles.iter().map(|bubble| (bubble.docs as f64).log10())), 0.1);
        let spread_of = |cell: &u32| study.cells.spread(*cell as usize).map_or(f64::NAN, |(mean, _)| mean);
        let spreads: Vec<f64> = (0..study.cells.count() as u32).map(|cell| spread_of(&cell)).collect();
        Self {
            title: match &study.run {
                Some(run) => format!("What {run} loses in cells, by spread and size"),
                None => "Cells by spread and size".to_owned(),
            },
            has_run: study.run.is_some(),
            bubbles,
            x: (x.0.max(0.0), x.1),
            y,
            x_name: study.cells.distance_name(),
            values: study.cells.cell_of_query.iter().map(|&cell| spreads[cell as usize]).collect(),
        }
    }

    fn panel(&self, canvas: Canvas) -> Panel {
        let unit = canvas.unit;
        Panel {
            left: (132.0 * unit).round(),
            right: (canvas.width as f32 - 40.0 * unit).round(),
            top: (116.0 * unit).round(),
            bottom: (canvas.height as f32 - 84.0 * unit).round(),
            x: self.x,
            y: self.y,
        }
    }

    /// Names beside the bubbles that weigh most, chosen ones if some are, where there is room.
    fn names(&self, sheet: &mut Sheet, panel: &Panel, most: usize, is_left_out: &dyn Fn(&Bubble) -> bool) {
        let (unit, inks) = (sheet.unit, sheet.inks);
        let mut taken: Vec<[f32; 4]> = Vec::new();
        let named = self.bubbles.iter().filter(|bubble| bubble.weight > 0 && !is_left_out(bubble));
        for bubble in named.take(NAMED) {
            let (x, y) = (panel.x(bubble.spread), panel.y((bubble.docs as f64).log10()));
            let width = fonts::width(Face::Regular, 17.0 * unit, &bubble.name);
            let (gap, height) = (radius(bubble.weight, most) * unit + 4.0 * unit, 22.0 * unit);
            let corners = [(x + gap, y - height / 2.0), (x - gap - width, y - height / 2.0)];
            let is_free = |&(left, top): &(f32, f32)| {
                let (right, bottom) = (left + width, top + height);
                left > panel.left
                    && right < panel.right
                    && top > panel.top
                    && bottom < panel.bottom
                    && taken
                        .iter()
                        .all(|other| right < other[0] || left > other[2] || bottom < other[1] || top > other[3])
            };
            let Some((left, top)) = corners.into_iter().find(is_free) else { continue };
            taken.push([left - gap, top, left + width + gap, top + height]);
            // A ground, so that the name can be read over other bubbles.
            sheet.rect(left - 2.0 * unit, top, width + 4.0 * unit, height, inks.paper);
            let baseline = top + 17.0 * unit;
            sheet.text(left, baseline, 17.0, Face::Regular, Align::Left, inks.ink, bubble.name.clone());
        }
    }
}

/// Of a bubble, in design units: the area grows with the weight.
fn radius(weight: usize, most: usize) -> f32 {
    2.5 + 17.5 * (weight as f32 / most.max(1) as f32).sqrt()
}

impl Drawing for SpreadPicture {
    fn scene(&self, canvas: Canvas, chosen: Option<(f64, f64)>) -> Scene {
        let mut sheet = canvas.sheet();
        let (unit, inks) = (canvas.unit, canvas.look.inks());
        let panel = self.panel(canvas);
        let below = match (self.has_run, chosen) {
            (_, Some((from, to))) => {
                let within = self.bubbles.iter().filter(|bubble| (from..=to).contains(&bubble.spread));
                format!("chosen: {} with a spread from {from:.3} to {to:.3}", counted(within.count(), "cell", "cells"))
            }
            (true, None) => "area of a bubble: exact neighbours that the queries of the cell lost".to_owned(),
            (false, None) => "area of a bubble: queries of the cell".to_owned(),
        };
        heading(&mut sheet, panel.left, &self.title, &below);
        let decades = panel.y.0.floor() as i32..=panel.y.1.ceil() as i32;
        let marks: Vec<(f64, String)> = decades
            .flat_map(|decade| [1.0, 2.0, 5.0].map(|step| step * 10f64.powi(decade)))
            .filter(|docs| *docs >= 1.0 && (panel.y.0..=panel.y.1).contains(&docs.log10()))
            .map(|docs| (docs.log10(), count(docs.round() as usize)))
            .collect();
        sheet.y_marks(&panel, &marks);
        let wanted = (((panel.right - panel.left) / (150.0 * unit)) as usize).clamp(2, 12);
        let (values, digits) = ticks(panel.x.0, panel.x.1, wanted);
        let marks: Vec<(f64, String)> = values.into_iter().map(|value| (value, fixed(value, digits))).collect();
        sheet.x_marks(&panel, &marks);
        sheet.panel_names(&panel, (&format!("spread: mean {}", self.x_name), "docs in the cell"));
        let most = self.bubbles.iter().map(|bubble| bubble.weight).max().unwrap_or(0);
        // Large ones first, so that small ones are seen before them.
        let mut order: Vec<&Bubble> = self.bubbles.iter().collect();
        order.sort_by_key(|bubble| std::cmp::Reverse(bubble.weight));
        let is_left_out = |bubble: &Bubble| chosen.is_some_and(|(from, to)| !(from..=to).contains(&bubble.spread));
        for bubble in order {
            let (x, y) = (panel.x(bubble.spread), panel.y((bubble.docs as f64).log10()));
            let radius = radius(bubble.weight, most) * unit;
            let fill = match (is_left_out(bubble), bubble.is_worse, bubble.has_queries) {
                (true, ..) => inks.rule,
                (false, true, _) => inks.attention,
                (false, false, true) => inks.exact,
                (false, false, false) => inks.rule_strong,
            };
            let (width, height) = (2.0 * radius, 2.0 * radius);
            let border = inks.paper;
            sheet.items.push(Item::Card { x: x - radius, y: y - radius, width, height, radius, fill, border });
        }
        self.names(&mut sheet, &panel, most, &is_left_out);
        if self.has_run {
            let names = [
                (inks.attention, "band below the recall of all"),
                (inks.exact, "other cells"),
                (inks.rule_strong, "no queries"),
            ];
            legend_beside(&mut sheet, &panel, &below, &names);
        }
        canvas.scene(sheet)
    }

    fn brush(&self, canvas: Canvas) -> Option<(Panel, &[f64])> {
        Some((self.panel(canvas), &self.values))
    }
}
