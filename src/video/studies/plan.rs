//! The planner: which method pays when, and a decision tree held against it.

use std::sync::Arc;

use super::super::finding::{Drawing, Finding, Link, Picture};
use super::super::fonts::Face;
use super::super::lab::heading;
use super::super::palette::{Color, Inks};
use super::super::panel::{Canvas, Panel};
use super::super::scene::{Align, Item, Scene, Sheet};
use super::series::{Axis, beside, chart, cut, dot, secs, whole, wrapped};
use crate::compute::figures::{count, counted};
use crate::compute::index::plan::tree::{Branch, Leaf, Verdict};
use crate::compute::index::plan::{Asking, Method, Plan};
use crate::compute::table::{Column, Table};

/// Points of a line.
const STEPS: usize = 96;
/// Queries beyond which nobody plans.
const MOST_QUERIES: f64 = 1e10;

/// As a finding.
pub fn finding(plan: Plan) -> Finding {
    let (title, notes, table) = (format!("Plan for {}", plan.title()), plan.notes(), table(&plan));
    let links = vec![Link::default(); table.rows.len()];
    let plan = Arc::new(plan);
    let picture = |name: &str, drawing| Picture { name: name.to_owned(), drawing };
    let pictures = vec![
        picture("Cost", Arc::new(Costs(plan.clone())) as Arc<dyn Drawing>),
        picture("Decision tree", Arc::new(Tree(plan))),
    ];
    Finding { title, notes, pictures, table, links, more: None }
}

fn table(plan: &Plan) -> Table {
    let names = [
        ("method", false),
        ("setting", false),
        ("recall", true),
        ("recall_low", true),
        ("recall_high", true),
        ("reaches", false),
        ("fits", false),
        ("before_s", true),
        ("query_ms", true),
        ("query_ms_one_by_one", true),
        ("query_ms_at_once", true),
        ("memory_bytes", true),
        ("total_s", true),
        ("pays_from_queries", true),
        ("cheapest_from_queries", true),
        ("cheapest_to_queries", true),
        ("build_exponent", true),
        ("query_exponent", true),
        ("memory_bytes_per_doc", true),
        ("measured_docs", true),
        ("extrapolated", false),
    ];
    let columns = names.map(|(name, is_number)| Column { name: name.to_owned(), is_number }).to_vec();
    let yes = |yes: bool| Some(if yes { "yes" } else { "no" }.to_owned());
    let docs = plan.docs as f64;
    let row = |method: &Method| {
        let last = method.last();
        let query = match plan.params.asking {
            Asking::OneByOne => method.one_by_one,
            Asking::AtOnce => method.at_once,
        };
        // An exponent that was assumed is not told as one that was measured.
        let exponent = |scaling: crate::compute::index::plan::costs::Scaling| {
            (!scaling.is_assumed).then(|| format!("{:.3}", scaling.exponent))
        };
        vec![
            Some(last.index.clone()),
            Some(last.setting.clone()),
            Some(format!("{:.6}", last.recall.mean)),
            Some(format!("{:.6}", last.recall.low)),
            Some(format!("{:.6}", last.recall.high)),
            yes(last.reaches),
            yes(method.fits),
            Some(format!("{:.4}", method.cost.before)),
            Some(format!("{:.5}", method.cost.per_query * 1e3)),
            Some(format!("{:.5}", method.one_by_one.at(docs) * 1e3)),
            Some(format!("{:.5}", method.at_once.at(docs) * 1e3)),
            Some(format!("{:.0}", method.memory_bytes)),
            Some(format!("{:.3}", method.cost.total(plan.queries as f64))),
            method.pays_from.map(|from| format!("{from:.0}")),
            method.cheapest.map(|stretch| format!("{:.0}", stretch.from.ceil())),
            method.cheapest.and_then(|stretch| stretch.to).map(|to| format!("{:.0}", to.floor())),
            exponent(method.build),
            exponent(query),
            Some(format!("{:.1}", method.memory.per_doc)),
            Some(last.docs.to_string()),
            yes(plan.is_extrapolated(method)),
        ]
    };
    Table { columns, rows: plan.methods.iter().map(row).collect(), is_cut: false }
}

/// Total seconds against queries.
#[derive(Debug)]
struct Costs(Arc<Plan>);

impl Costs {
    /// Numbers of queries at the ends of the axis: past what is planned for, and past the last break-even.
    fn ends(&self) -> (f64, f64) {
        let plan = &self.0;
        let last = plan.envelope.iter().filter_map(|stretch| stretch.to).fold(plan.queries as f64, f64::max);
        (1.0, 10f64.powf((last * 3.0).log10().ceil()).clamp(1000.0, MOST_QUERIES))
    }

    fn color(&self, inks: &Inks, method: &Method) -> Color {
        match method {
            method if !method.is_eligible() => inks.rule_strong,
            method if method.is_brute_force() => inks.exact,
            method if method.cheapest.is_some() => inks.right,
            _ => inks.ink_soft,
        }
    }
}

impl Drawing for Costs {
    fn scene(&self, canvas: Canvas, _chosen: Option<(f64, f64)>) -> Scene {
        let plan = &*self.0;
        let mut sheet = canvas.sheet();
        let (unit, inks) = (canvas.unit, canvas.look.inks());
        let (width, height) = (canvas.width as f32, canvas.height as f32);
        let left = (148.0 * unit).round();
        heading(
            &mut sheet,
            left,
            &plan.title(),
            "time in all, against queries · broad: the cheapest · circles: where it changes · grey: does not fit or reach the recall",
        );
        let ends = self.ends();
        let least = plan.methods.iter().map(|method| method.cost.total(ends.0)).fold(f64::INFINITY, f64::min);
        let most = plan.methods.iter().map(|method| method.cost.total(ends.1)).fold(0.0, f64::max);
        let (least, most) = if least < most { (least.max(1e-7), most) } else { (1e-3, 1.0) };
        let x = Axis::log("queries", ends, whole);
        let y = Axis::log("time in all", (least / 1.5, most * 1.5), secs);
        let right = width - 360.0 * unit;
        let panel = beside((left, right), (116.0 * unit, height - 84.0 * unit), (0, 1), unit, (&x, &y));
        chart(&mut sheet, &panel, (&x, &y), &[]);
        let at = |queries: f64, total: f64| (panel.x(x.place(queries)), panel.y(y.place(total.max(1e-9))));
        let line = |method: &Method, (from, to): (f64, f64)| -> Vec<(f32, f32)> {
            let step = |step: usize| from * (to / from).powf(step as f64 / STEPS as f64);
            (0..=STEPS).map(step).map(|queries| at(queries, method.cost.total(queries))).collect()
        };
        let planned = panel.x(x.place(plan.queries as f64));
        if (panel.left..=panel.right).contains(&planned) {
            sheet.rect(planned, panel.top, (1.5 * unit).max(1.0), panel.bottom - panel.top, inks.attention);
            let text = counted(plan.queries, "query planned for", "queries planned for");
            let is_left = planned > (panel.left + panel.right) / 2.0;
            let (from, align) = if is_left { (-10.0, Align::Right) } else { (10.0, Align::Left) };
            let baseline = panel.bottom - 14.0 * unit;
            sheet.text(planned + from * unit, baseline, 18.0, Face::Regular, align, inks.attention, text);
        }
        for stretch in &plan.envelope {
            let to = stretch.to.unwrap_or(ends.1).min(ends.1);
            if stretch.from < to {
                let points = line(&plan.methods[stretch.place], (stretch.from, to));
                sheet.items.push(Item::Line { points, width: 14.0 * unit, color: inks.band });
            }
        }
        // Those behind first.
        for method in plan.methods.iter().rev() {
            let width = if method.cheapest.is_some() { 2.5 } else { 1.5 } * unit;
            let color = self.color(inks, method);
            sheet.items.push(Item::Line { points: line(method, ends), width: width.max(1.0), color });
        }
        self.break_evens(&mut sheet, &panel, &at);
        self.names(&mut sheet, (&panel, width), &|method| at(ends.1, method.cost.total(ends.1)).1);
        canvas.scene(sheet)
    }
}

impl Costs {
    fn break_evens(&self, sheet: &mut Sheet, panel: &Panel, at: &dyn Fn(f64, f64) -> (f32, f32)) {
        let plan = &*self.0;
        let (unit, inks) = (sheet.unit, sheet.inks);
        let mut last = f32::NEG_INFINITY;
        for stretch in &plan.envelope {
            let Some(to) = stretch.to else { continue };
            let (x, y) = at(to, plan.methods[stretch.place].cost.total(to));
            if !(panel.left..=panel.right).contains(&x) {
                continue;
            }
            dot(sheet, (x, y), 9.0 * unit, inks.attention);
            let text = whole(to.ceil());
            // Beside each other if they are near.
            let lower = if x - last < 110.0 * unit { 60.0 } else { 34.0 };
            let align = if x > panel.right - 60.0 * unit { Align::Right } else { Align::Center };
            sheet.text(x, y + lower * unit, 18.0, Face::Medium, align, inks.attention, text);
            last = x;
        }
    }

    /// Names at the right ends of the lines, moved apart where they would touch.
    fn names(&self, sheet: &mut Sheet, (panel, width): (&Panel, f32), end: &dyn Fn(&Method) -> f32) {
        let (unit, inks) = (sheet.unit, sheet.inks);
        let height = 26.0 * unit;
        let mut places: Vec<(f32, &Method)> = self.0.methods.iter().map(|method| (end(method), method)).collect();
        places.sort_by(|left, right| left.0.total_cmp(&right.0));
        let ends: Vec<f32> = places.iter().map(|place| place.0).collect();
        for place in 1..places.len() {
            places[place].0 = places[place].0.max(places[place - 1].0 + height);
        }
        // Back up from the bottom.
        let mut lowest = panel.bottom;
        for place in places.iter_mut().rev() {
            place.0 = place.0.min(lowest);
            lowest = place.0 - height;
        }
        for ((y, method), end) in places.into_iter().zip(ends) {
            let color = self.color(inks, method);
            let from = panel.right + 26.0 * unit;
            let points = vec![(panel.right, end), (panel.right + 8.0 * unit, end), (from - 4.0 * unit, y)];
            sheet.items.push(Item::Line { points, width: unit.max(1.0), color: inks.rule_strong });
            let face = if method.cheapest.is_some() { Face::Medium } else { Face::Regular };
            let ink = if color == inks.rule_strong { inks.ink_soft } else { color };
            let why = match (method.last().reaches, method.fits) {
                (false, _) => format!("recall {:.3} · {}", method.last().recall.mean, method.name()),
                (true, false) => format!("does not fit · {}", method.name()),
                (true, true) => method.name(),
            };
            let why = cut(face, 18.0 * unit, vec![why], 1, width - from - 12.0 * unit);
            sheet.text(from, y + 6.0 * unit, 18.0, face, Align::Left, ink, why.concat());
        }
    }
}

/// The decision tree with its verdicts.
#[derive(Debug)]
struct Tree(Arc<Plan>);

impl Drawing for Tree {
    fn scene(&self, canvas: Canvas, _chosen: Option<(f64, f64)>) -> Scene {
        let plan = &*self.0;
        let mut sheet = canvas.sheet();
        let (unit, inks) = (canvas.unit, canvas.look.inks());
        let (width, height) = (canvas.width as f32, canvas.height as f32);
        let left = 48.0 * unit;
        let asking = match plan.params.asking {
            Asking::OneByOne => "one by one",
            Asking::AtOnce => "all at once",
        };
        heading(
            &mut sheet,
            left,
            "The field's decision tree, held against this machine and data",
            &format!(
                "{}, queries {asking} · framed: the branch of the {} planned for",
                plan.title(),
                counted(plan.docs, "doc", "docs")
            ),
        );
        let leaves: usize = plan.tree.iter().map(|branch| branch.leaves.len()).sum();
        let (top, bottom) = (112.0 * unit, height - 24.0 * unit);
        // A third of a row between branches.
        let row = (bottom - top) / (leaves as f32 + (plan.tree.len().max(1) - 1) as f32 / 3.0).max(1.0);
        let columns = [left, left + 180.0 * unit, left + 456.0 * unit, left + 836.0 * unit, width - 32.0 * unit];
        let root = [
            columns[0],
            (top + bottom) / 2.0 - 32.0 * unit,
            columns[0] + 150.0 * unit,
            (top + bottom) / 2.0 + 32.0 * unit,
        ];
        let mut y = top;
        let mut boxes = Vec::new();
        for branch in &plan.tree {
            let tall = row * branch.leaves.len() as f32;
            boxes.push((branch, y, tall));
            y += tall + row / 3.0;
        }
        for (branch, y, tall) in &boxes {
            let middle = y + tall / 2.0;
            link(&mut sheet, (root[2], (root[1] + root[3]) / 2.0), (columns[1], middle));
            self.branch(&mut sheet, branch, (*y, row), &columns);
        }
        card(&mut sheet, root, inks.card, inks.rule_strong);
        let middle = (root[0] + root[2]) / 2.0;
        for (place, text) in ["How many", "items?"].into_iter().enumerate() {
            let baseline = root[1] + (27.0 + 23.0 * place as f32) * unit;
            sheet.text(middle, baseline, 19.0, Face::Medium, Align::Center, inks.ink, text.to_owned());
        }
        canvas.scene(sheet)
    }
}

impl Tree {
    fn branch(&self, sheet: &mut Sheet, branch: &Branch, (top, row): (f32, f32), columns: &[f32; 5]) {
        let (unit, inks) = (sheet.unit, sheet.inks);
        let tall = row * branch.leaves.len() as f32;
        let middle = top + tall / 2.0;
        let edge = if branch.applies { inks.exact } else { inks.rule };
        let ink = if branch.applies { inks.ink } else { inks.ink_soft };
        let times = branch.docs as f64 / self.0.measurements.docs.max(1) as f64;
        let held = match branch.is_extrapolated {
            false => format!("at {} docs", count(branch.docs)),
            true if times < 9.95 => format!("at {} docs: extrapolated {times:.1}×", whole(branch.docs as f64)),
            true => format!("at {} docs: extrapolated {}×", whole(branch.docs as f64), whole(times)),
        };
        let is_open = branch.leaves.iter().all(|leaf| leaf.verdict == Verdict::Open);
        let box_of = [columns[1], middle - 32.0 * unit, columns[1] + 242.0 * unit, middle + 32.0 * unit];
        for (place, leaf) in branch.leaves.iter().enumerate() {
            let center = top + row * (place as f32 + 0.5);
            link(sheet, (box_of[2], middle), (columns[2], center));
            self.leaf(sheet, (leaf, branch.is_extrapolated), (center, row), columns, (ink, edge));
        }
        framed(sheet, box_of, edge, branch.applies);
        let center = (box_of[0] + box_of[2]) / 2.0;
        let lower = if is_open { 6.0 } else { -5.0 };
        sheet.text(center, middle + lower * unit, 19.0, Face::Medium, Align::Center, ink, branch.range.to_owned());
        if !is_open {
            sheet.text(center, middle + 18.0 * unit, 14.0, Face::Regular, Align::Center, inks.ink_soft, held);
        }
    }

    fn leaf(
        &self,
        sheet: &mut Sheet,
        (leaf, is_extrapolated): (&Leaf, bool),
        (center, row): (f32, f32),
        columns: &[f32; 5],
        (ink, edge): (Color, Color),
    ) {
        let (unit, inks) = (sheet.unit, sheet.inks);
        let half = (row / 2.0 - 6.0 * unit).min(34.0 * unit);
        let box_of = [columns[2], center - half, columns[3] - 26.0 * unit, center + half];
        framed(sheet, box_of, edge, edge == inks.exact);
        let inner = box_of[0] + 14.0 * unit;
        // As many lines as there is room for; a larger picture tells all.
        let room = |height: f32, size: f32| (height / ((size + 5.0) * unit)).floor().max(1.0) as usize;
        let mut lines: Vec<(String, Color, Face)> = Vec::new();
        let across = box_of[2] - box_of[0] - 28.0 * unit;
        let (asks, room_for_says) = match room(2.0 * half, 17.0) {
            1 => (format!("{} ", leaf.asks), 1),
            most => (String::new(), most - usize::from(!leaf.asks.is_empty())),
        };
        if asks.is_empty() && !leaf.asks.is_empty() {
            lines.push((leaf.asks.to_owned(), inks.ink_soft, Face::Regular));
        }
        let says = wrapped(Face::Medium, 17.0 * unit, format!("{asks}{}", leaf.says).trim_start(), across);
        let says = cut(Face::Medium, 17.0 * unit, says, room_for_says, across);
        lines.extend(says.into_iter().map(|line| (line, ink, Face::Medium)));
        text_lines(sheet, (inner, center), 17.0, lines);
        let (color, word) = match (leaf.verdict, is_extrapolated) {
            (Verdict::Right, false) => (inks.right, "right here"),
            (Verdict::Right, true) => (inks.right, "likely right"),
            (Verdict::Wrong, false) => (inks.wrong, "wrong here"),
            (Verdict::Wrong, true) => (inks.wrong, "likely wrong"),
            (Verdict::Open, _) => (inks.ink_soft, "open"),
        };
        let x = columns[3];
        mark(sheet, (x + 11.0 * unit, center), leaf.verdict, color);
        let told = x + 40.0 * unit;
        sheet.text(told, center + 6.0 * unit, 17.0, Face::Medium, Align::Left, color, word.to_owned());
        let from = told + 120.0 * unit;
        let across = columns[4] - from;
        let lines = wrapped(Face::Regular, 16.0 * unit, &leaf.because, across);
        let lines = cut(Face::Regular, 16.0 * unit, lines, room(row, 16.0), across);
        let ink = if leaf.verdict == Verdict::Open { inks.ink_soft } else { inks.ink };
        text_lines(sheet, (from, center), 16.0, lines.into_iter().map(|line| (line, ink, Face::Regular)).collect());
    }
}

/// Lines of text around a height.
fn text_lines(sheet: &mut Sheet, (x, center): (f32, f32), size: f32, lines: Vec<(String, Color, Face)>) {
    let unit = sheet.unit;
    let step = (size + 5.0) * unit;
    let first = center - step * (lines.len() as f32 - 1.0) / 2.0 + size * 0.35 * unit;
    for (place, (line, color, face)) in lines.into_iter().enumerate() {
        sheet.text(x, first + step * place as f32, size, face, Align::Left, color, line);
    }
}

fn card(sheet: &mut Sheet, [left, top, right, bottom]: [f32; 4], fill: Color, border: Color) {
    let radius = 8.0 * sheet.unit;
    sheet.items.push(Item::Card { x: left, y: top, width: right - left, height: bottom - top, radius, fill, border });
}

/// A card; with a broad frame if it stands out.
fn framed(sheet: &mut Sheet, [left, top, right, bottom]: [f32; 4], edge: Color, stands_out: bool) {
    let by = 2.0 * sheet.unit;
    if stands_out {
        card(sheet, [left - by, top - by, right + by, bottom + by], edge, edge);
    }
    card(sheet, [left, top, right, bottom], sheet.inks.card, edge);
}

/// From a box to one at its right.
fn link(sheet: &mut Sheet, from: (f32, f32), to: (f32, f32)) {
    let middle = (from.0 + to.0) / 2.0;
    let points = vec![from, (middle, from.1), (middle, to.1), to];
    let width = (1.5 * sheet.unit).max(1.0);
    sheet.items.push(Item::Line { points, width, color: sheet.inks.rule_strong });
}

/// A tick, a cross, or a dash, around a point.
fn mark(sheet: &mut Sheet, (x, y): (f32, f32), verdict: Verdict, color: Color) {
    let by = 9.0 * sheet.unit;
    let strokes: &[&[(f32, f32)]] = match verdict {
        Verdict::Right => &[&[(-1.0, 0.1), (-0.3, 0.8), (1.0, -0.8)]],
        Verdict::Wrong => &[&[(-0.8, -0.8), (0.8, 0.8)], &[(-0.8, 0.8), (0.8, -0.8)]],
        Verdict::Open => &[&[(-0.8, 0.0), (0.8, 0.0)]],
    };
    for stroke in strokes {
        let points = stroke.iter().map(|(dx, dy)| (x + dx * by, y + dy * by)).collect();
        sheet.items.push(Item::Line { points, width: (3.5 * sheet.unit).max(1.5), color });
    }
}
