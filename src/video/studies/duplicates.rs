//! Near-duplicates as a finding: how many there are at which threshold, and which an index overlooks.

use std::sync::Arc;

use super::super::finding::{Drawing, Finding, Link, Picture};
use super::super::lab::{heading, legend};
use super::super::palette::Color;
use super::super::panel::{Canvas, Panel};
use super::super::scene::{Item, Scene, Sheet, fixed, ticks};
use crate::compute::error::Result;
use crate::compute::figures::{count, counted, duration, grouped, percent};
use crate::compute::index::duplicates::Duplicates;
use crate::compute::index::duplicates::groups::{Group, Pair, Step};
use crate::compute::index::duplicates::overlooked::{Bin, Overlooked};
use crate::compute::index::words::{Words, shortened};
use crate::compute::metric::Metric;
use crate::compute::table::{Column, Table};
use crate::job::Monitor;

/// Characters of texts in the table.
const TEXT_LENGTH: usize = 120;
/// Docs that a group links to.
const MOST_LINKED: usize = 1000;
/// Contestants that a picture has room for.
const MOST_LINES: usize = 4;

/// As a finding: a group a row.
pub fn finding(found: Duplicates) -> Finding {
    let (title, notes, table) = (format!("Near-duplicates: {}", found.title), notes(&found), table(&found));
    let links = found.groups.iter().enumerate().map(link).collect();
    let picture = |name: &str, drawing| Picture { name: name.to_owned(), drawing };
    let found = Arc::new(found);
    let mut pictures = vec![picture("Thresholds", Arc::new(Thresholds(found.clone())) as Arc<dyn Drawing>)];
    if !found.overlooked.is_empty() && found.pairs > 0 {
        pictures.push(picture("Overlooked", Arc::new(Missed(found))));
    }
    Finding { title, notes, pictures, table, links, more: None }
}

/// Every doc of every group, with its text where there are texts.
///
/// # Errors
/// Cancelled.
pub fn members(found: &Duplicates, monitor: &Monitor) -> Result<Table> {
    let mut words = Words::beside(&found.docs_path, monitor)?;
    let columns = [("group", true), ("doc", true), ("text", false)];
    let columns = columns.map(|(name, is_number)| Column { name: name.to_owned(), is_number }).to_vec();
    let mut rows = Vec::with_capacity(found.grouped_docs());
    for (place, group) in found.groups.iter().enumerate() {
        monitor.check()?;
        let row = |doc: &u32| vec![Some((place + 1).to_string()), Some(doc.to_string()), Some(words.of(*doc))];
        rows.extend(group.docs.iter().map(row));
    }
    Ok(Table { columns, rows, is_cut: false })
}

fn link((place, group): (usize, &Group)) -> Link {
    let name = format!("group {}: {}", count(place + 1), counted(group.docs.len(), "doc", "docs"));
    // The nearest two first.
    let Pair { doc, other, .. } = group.tightest;
    let rest = group.docs.iter().copied().filter(|member| ![doc, other].contains(member));
    Link { name, queries: Vec::new(), docs: [doc, other].into_iter().chain(rest).take(MOST_LINKED).collect() }
}

fn score(value: f64) -> String {
    format!("{value:.4}")
}

fn notes(found: &Duplicates) -> Vec<String> {
    let pairs = |pairs: u64| counted(pairs as usize, "pair", "pairs");
    if found.groups.is_empty() {
        return vec![format!("No two of the {} are as near as that.", counted(found.docs, "doc", "docs"))];
    }
    let docs = found.grouped_docs();
    let mut notes = vec![format!(
        "{} of docs are that near: {} in {}. Keeping one of each would leave {} of {} ({} less).",
        pairs(found.pairs),
        counted(docs, "doc", "docs"),
        counted(found.groups.len(), "group", "groups"),
        count(found.docs - docs + found.groups.len()),
        count(found.docs),
        percent(docs - found.groups.len(), found.docs)
    )];
    if found.equal_docs > 0 {
        let are = if found.equal_docs == 1 { "doc equals" } else { "docs equal" };
        notes.push(format!("{} {are} an earlier one to the last bit.", count(found.equal_docs)));
    }
    let nearer = |score: f64| match found.metric {
        Metric::Euclidean => score <= found.threshold,
        Metric::Dot | Metric::Cosine => score >= found.threshold,
    };
    let is_chain = |group: &&Group| group.loosest.is_some_and(|pair| !nearer(pair.score));
    let chains = found.groups.iter().filter(is_chain).count();
    if let Some(worst) = found.groups.iter().filter(is_chain).max_by(|left, right| {
        let of = |group: &Group| group.loosest.map_or(0.0, |pair| pair.score);
        found.metric.nearest_first(of(left), of(right))
    }) && let Some(pair) = worst.loosest
    {
        notes.push(format!(
            "{} held together by chains: the farthest two of a group are docs {} and {}, at {}.",
            if chains == 1 { "1 group is".to_owned() } else { format!("{} groups are", count(chains)) },
            count(pair.doc as usize),
            count(pair.other as usize),
            score(pair.score)
        ));
    }
    for index in &found.overlooked {
        let missed = found.pairs - index.found;
        let whole = index.pieces.iter().filter(|&&pieces| pieces == 1).count();
        let sizes = || index.pieces.iter().zip(&found.groups);
        let unseen = sizes().filter(|(pieces, group)| **pieces == group.docs.len()).count();
        notes.push(format!(
            "{} with {} a doc: overlooks {} of {} ({}); the exact search with as many overlooks {} ({}). {} whole, {} fall \
             apart, {} unseen; {} to have no near-duplicate.",
            index.title(),
            counted(index.neighbours, "neighbour", "neighbours"),
            count(missed as usize),
            pairs(found.pairs),
            percent(missed as usize, found.pairs as usize),
            count((found.pairs - index.exact) as usize),
            percent((found.pairs - index.exact) as usize, found.pairs as usize),
            if whole == 1 { "1 group is".to_owned() } else { format!("{} groups are", count(whole)) },
            count(index.pieces.len() - whole - unseen),
            count(unseen),
            if index.alone == 1 { "1 doc seems".to_owned() } else { format!("{} docs seem", count(index.alone)) }
        ));
        notes.push(format!(
            "{}: {} to build, {} to ask for all docs on {}; the exact search took {}.",
            index.title(),
            duration(index.built.train_secs + index.built.build_secs),
            duration(index.searched.all_threads_secs),
            counted(index.searched.threads, "thread", "threads"),
            duration(found.exact_secs)
        ));
    }
    notes
}

fn table(found: &Duplicates) -> Table {
    let has_texts = found.groups.iter().any(|group| group.texts.is_some());
    let mut columns: Vec<(String, bool)> = ["group", "size", "pairs", "tightest", "tightest_doc", "tightest_other"]
        .map(|name| (name.to_owned(), true))
        .to_vec();
    columns.extend(["loosest", "loosest_doc", "loosest_other"].map(|name| (name.to_owned(), true)));
    columns.extend(found.overlooked.iter().map(|index| (format!("pieces of {}", index.title()), true)));
    if has_texts {
        columns.extend(["text", "other_text"].map(|name| (name.to_owned(), false)));
    }
    columns.push(("docs".to_owned(), false));
    let row = |(place, group): (usize, &Group)| {
        let pair = |pair: Option<Pair>| match pair {
            Some(pair) => [Some(pair.score.to_string()), Some(pair.doc.to_string()), Some(pair.other.to_string())],
            None => [None, None, None],
        };
        let mut row: Vec<Option<String>> =
            [(place + 1).to_string(), group.docs.len().to_string(), group.pairs.to_string()].map(Some).to_vec();
        row.extend(pair(Some(group.tightest)));
        row.extend(pair(group.loosest));
        row.extend(found.overlooked.iter().map(|index| Some(index.pieces[place].to_string())));
        if has_texts {
            let texts = group.texts.as_ref();
            row.extend([0, 1].map(|which| texts.map(|texts| shortened(&texts[which], TEXT_LENGTH))));
        }
        let docs: Vec<String> = group.docs.iter().map(u32::to_string).collect();
        row.push(Some(docs.join(" ")));
        row
    };
    Table {
        columns: columns.into_iter().map(|(name, is_number)| Column { name, is_number }).collect(),
        rows: found.groups.iter().enumerate().map(row).collect(),
        is_cut: false,
    }
}

/// Pairs and groups over the threshold.
#[derive(Debug)]
struct Thresholds(Arc<Duplicates>);

impl Drawing for Thresholds {
    fn scene(&self, canvas: Canvas, _chosen: Option<(f64, f64)>) -> Scene {
        let found = &self.0;
        let mut sheet = canvas.sheet();
        let (unit, inks) = (canvas.unit, canvas.look.inks());
        let (width, height) = (canvas.width as f32, canvas.height as f32);
        let left = (132.0 * unit).round();
        let below = "what stricter thresholds would give: pairs at the left, docs in groups and groups at the right";
        heading(&mut sheet, left, &format!("Near-duplicates: {}", found.title), below);
        let x = x_range(found);
        let across = (width - left - 40.0 * unit) / 2.0 - 76.0 * unit;
        let bottom = height - 84.0 * unit;
        let panel = |left: f32, highest: f64| Panel {
            left: left.round(),
            right: (left + across).round(),
            top: (132.0 * unit).round(),
            bottom: bottom.round(),
            x,
            y: (0.0, if highest > 0.0 { highest * 1.06 } else { 1.0 }),
        };
        let axis = found.metric.axis_label();
        let wanted = |panel: &Panel| ((((panel.right - panel.left) / (130.0 * unit)) as usize).clamp(2, 10), 5);
        // Pairs grow by orders of magnitude.
        let power = |pairs: u64| (pairs as f64).max(1.0).log10();
        let most = found.curve.iter().map(|step| step.pairs).max().unwrap_or(0);
        let pairs = panel(left, power(most).max(1.0));
        let (values, digits) = ticks(x.0, x.1, wanted(&pairs).0);
        let marks: Vec<(f64, String)> = values.into_iter().map(|value| (value, fixed(value, digits))).collect();
        let decades = 0..=power(most).max(1.0).floor() as u32;
        let decades: Vec<(f64, String)> =
            decades.map(|decade| (f64::from(decade), grouped(10u64.pow(decade)))).collect();
        sheet.y_marks(&pairs, &decades);
        sheet.x_marks(&pairs, &marks);
        sheet.panel_names(&pairs, (axis, "pairs (log scale)"));
        line(&mut sheet, &pairs, &found.curve, |step| power(step.pairs), inks.exact);
        let docs = found.curve.iter().map(|step| step.docs).max().unwrap_or(0);
        let docs = panel(left + across + 152.0 * unit, docs as f64);
        sheet.panel_axes(&docs, (axis, ""), wanted(&docs), false);
        line(&mut sheet, &docs, &found.curve, |step| step.docs as f64, inks.exact);
        line(&mut sheet, &docs, &found.curve, |step| step.groups as f64, inks.attention);
        legend(&mut sheet, docs.right, 116.0 * unit, &[(inks.exact, "docs in groups"), (inks.attention, "groups")]);
        canvas.scene(sheet)
    }
}

/// Between the threshold and the nearest pair.
fn x_range(found: &Duplicates) -> (f64, f64) {
    let best = found.curve.first().map_or(found.threshold, |step| step.threshold);
    let room = match (best - found.threshold).abs() * 0.02 {
        0.0 => 0.5,
        room => room,
    };
    (best.min(found.threshold) - room, best.max(found.threshold) + room)
}

fn line(sheet: &mut Sheet, panel: &Panel, steps: &[Step], value: impl Fn(&Step) -> f64, color: Color) {
    let points: Vec<(f32, f32)> = steps.iter().map(|step| (panel.x(step.threshold), panel.y(value(step)))).collect();
    match points[..] {
        [(x, y)] => {
            let side = 8.0 * sheet.unit;
            sheet.rect(x - side / 2.0, y - side / 2.0, side, side, color);
        }
        _ => sheet.items.push(Item::Line { points, width: (2.5 * sheet.unit).max(1.0), color }),
    }
}

/// Shares of the pairs that are found, by score.
#[derive(Debug)]
struct Missed(Arc<Duplicates>);

impl Drawing for Missed {
    fn scene(&self, canvas: Canvas, _chosen: Option<(f64, f64)>) -> Scene {
        let found = &self.0;
        let mut sheet = canvas.sheet();
        let (unit, inks) = (canvas.unit, canvas.look.inks());
        let (width, height) = (canvas.width as f32, canvas.height as f32);
        let left = (132.0 * unit).round();
        let shown: &[Overlooked] = &found.overlooked[..found.overlooked.len().min(MOST_LINES)];
        let Some(first) = shown.first() else { return canvas.scene(sheet) };
        let below = format!(
            "with {} a doc; the nearest pairs at the {}",
            counted(first.neighbours, "neighbour", "neighbours"),
            if found.metric.larger_is_nearer() { "right" } else { "left" }
        );
        heading(
            &mut sheet,
            left,
            &format!("What indexes find of {} near-duplicate pairs", grouped(found.pairs)),
            &below,
        );
        let panel = Panel {
            left,
            right: (width - 40.0 * unit).round(),
            top: (150.0 * unit).round(),
            bottom: (height - 84.0 * unit).round(),
            x: x_range(found),
            y: (0.0, 104.0),
        };
        let wanted = (((panel.right - panel.left) / (150.0 * unit)) as usize).clamp(2, 10);
        sheet.panel_axes(&panel, (found.metric.axis_label(), "% of pairs found"), (wanted, 5), false);
        let colors = [inks.exact, inks.attention, inks.right, inks.wrong];
        // The exact search first, so that what does as well lies over it.
        shares(&mut sheet, &panel, &first.bins, |bin| bin.exact, (inks.rule_strong, 6.0));
        for (index, color) in shown.iter().zip(colors) {
            shares(&mut sheet, &panel, &index.bins, |bin| bin.found, (color, 2.5));
        }
        let titles: Vec<String> = shown.iter().map(|index| shortened(&index.title(), 40)).collect();
        let mut names = vec![(inks.rule_strong, "exact search")];
        names.extend(colors.into_iter().zip(titles.iter().map(String::as_str)));
        legend(&mut sheet, panel.right, 124.0 * unit, &names);
        canvas.scene(sheet)
    }
}

/// Steps of what `part` is of the pairs; a gap where there are none.
fn shares(
    sheet: &mut Sheet,
    panel: &Panel,
    bins: &[Bin],
    part: impl Fn(&Bin) -> u64,
    (color, thickness): (Color, f32),
) {
    let width = (thickness * sheet.unit).max(1.0);
    for bins in bins.split(|bin| bin.pairs == 0).filter(|bins| !bins.is_empty()) {
        let step = |bin: &Bin| {
            let y = panel.y(part(bin) as f64 / bin.pairs as f64 * 100.0);
            [(panel.x(bin.from), y), (panel.x(bin.to), y)]
        };
        let mut points: Vec<(f32, f32)> = bins.iter().flat_map(step).collect();
        if let [(left, y), (right, _)] = points[..]
            && left == right
        {
            // All pairs have one score.
            points = vec![(left - 20.0 * sheet.unit, y), (left + 20.0 * sheet.unit, y)];
        }
        sheet.items.push(Item::Line { points, width, color });
    }
}
