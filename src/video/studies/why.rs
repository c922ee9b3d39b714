//! Why neighbours were missed, as a finding: a waterfall from the exact answer to the run, and reasons by rank.

use std::sync::Arc;

use super::super::finding::{Drawing, Finding, Link, Picture};
use super::super::fonts::{self, Face};
use super::super::lab::{heading, legend_beside};
use super::super::palette::{Color, Inks};
use super::super::panel::{Canvas, Panel};
use super::super::scene::{Align, Item, Scene, Sheet, fixed, ticks};
use crate::compute::figures::{count, counted, percent};
use crate::compute::index::judge::Mean;
use crate::compute::index::why::{Knob, Loss, OneQuery, Reason, Total, Why};
use crate::compute::table::{Column, Table};

/// Digits of shares and recalls in words.
const DIGITS: usize = 3;

/// What [`Why`] tells, in words, pictures and figures.
pub fn finding(why: &Why) -> Finding {
    let (table, links) = match &why.of_query {
        None => of_queries(why),
        Some(one) => of_docs(why, one),
    };
    let title = match &why.of_query {
        None => format!("Why {} missed neighbours", why.title),
        Some(one) => format!("Why {} missed neighbours of query {}", why.title, count(one.query)),
    };
    let waterfall = Picture { name: "waterfall".to_owned(), drawing: Arc::new(Waterfall::of(why)) };
    let by_rank = Picture { name: "reasons by rank".to_owned(), drawing: Arc::new(ByRank::of(why)) };
    Finding { title, notes: notes(why), pictures: vec![waterfall, by_rank], table, links, more: None }
}

/// A line a query that lost something, those that lost most first.
fn of_queries(why: &Why) -> (Table, Vec<Link>) {
    let mut columns: Vec<Column> =
        ["query", "lost", "tied"].map(|name| Column { name: name.to_owned(), is_number: true }).into();
    let reasons: Vec<Reason> = why.totals.iter().map(|total| total.reason).collect();
    columns.extend(reasons.iter().map(|reason| Column { name: reason.name().replace(' ', "_"), is_number: true }));
    let queries = why.worst_first();
    let row = |&query: &usize| {
        let first = [query, why.losses[query].len(), why.ties[query] as usize];
        let rest = reasons.iter().map(|reason| why.count_of(query, *reason));
        first.into_iter().chain(rest).map(|value| Some(value.to_string())).collect()
    };
    let link = |&query: &usize| Link {
        name: format!("lost of query {}", count(query)),
        queries: vec![query as u32],
        docs: why.losses[query].iter().map(|loss| loss.doc).collect(),
    };
    let links = queries.iter().map(link).collect();
    (Table { columns, rows: queries.iter().map(row).collect(), is_cut: false }, links)
}

/// A line a lost neighbour of one query, by rank.
fn of_docs(why: &Why, one: &OneQuery) -> (Table, Vec<Link>) {
    let columns = [
        ("rank", true),
        ("doc", true),
        ("score", true),
        ("reason", false),
        ("found_with", false),
        ("hashes_apart", true),
        ("text", false),
    ]
    .map(|(name, is_number)| Column { name: name.to_owned(), is_number });
    let losses = &why.losses[one.query];
    let row = |(loss, (score, text)): (&Loss, &(f64, Option<String>))| {
        vec![
            Some((loss.rank + 1).to_string()),
            Some(loss.doc.to_string()),
            Some(score.to_string()),
            Some(loss.reason.name().to_owned()),
            loss.needs.map(|(knob, value)| format!("{}={value}", knob.name())),
            loss.hashes_apart.map(|hashes| hashes.to_string()),
            text.clone(),
        ]
    };
    let link = |loss: &Loss| Link {
        name: format!("rank {}: {}", count(loss.rank as usize + 1), loss.reason.name()),
        queries: vec![one.query as u32],
        docs: vec![loss.doc],
    };
    let rows = losses.iter().zip(&one.docs).map(row).collect();
    (Table { columns: columns.into(), rows, is_cut: false }, losses.iter().map(link).collect())
}

fn with_band(mean: Mean) -> String {
    if mean.low == mean.high {
        return fixed(mean.mean, DIGITS);
    }
    let [mean, low, high] = [mean.mean, mean.low, mean.high].map(|value| fixed(value, DIGITS));
    format!("{mean} ({low} to {high})")
}

fn notes(why: &Why) -> Vec<String> {
    let (lost, all) = (why.lost(), why.queries() * why.k);
    let mut notes = Vec::new();
    if let Some(one) = &why.of_query {
        if let Some(text) = &one.text {
            notes.push(format!("Query {}: {text}", count(one.query)));
        }
        let (own, tied) = (why.losses[one.query].len(), why.ties[one.query] as usize);
        let tied = if tied > 0 { format!("; {} found through a tie", count(tied)) } else { String::new() };
        notes.push(format!("It lost {} of {} neighbours{tied}. Of all queries:", count(own), count(why.k)));
    }
    notes.push(format!(
        "{} of {} exact neighbours were lost ({}): recall@{} is {}.",
        count(lost),
        count(all),
        percent(lost, all),
        count(why.k),
        with_band(why.recall())
    ));
    notes.extend(why.totals.iter().map(|total| told(why, total)));
    if why.also_unprobed > 0 {
        notes.push(format!(
            "{} of those that are lost by quantisation lie in cells that were not probed, too: they are counted as \
             quantisation, which comes first.",
            count(why.also_unprobed as usize)
        ));
    }
    let before = why.stages.iter().find(|stage| stage.name.ends_with("before re-ranking"));
    if let (Some(before), Some(after)) = (before, why.stages.get(1)) {
        notes.push(format!(
            "Before re-ranking, codes alone find {} of the neighbours; re-ranking makes it {}.",
            with_band(before.recall),
            with_band(after.recall)
        ));
    }
    let again = why.stages.last().filter(|stage| why.stages.len() > 1 && stage.regained.mean > 0.0);
    if let Some(stage) = again.filter(|_| why.cells > 0) {
        let regained = (stage.regained.mean * all as f64).round() as usize;
        notes.push(format!(
            "{} that all cells lose {} found by the run: fewer codes compete for the places.",
            counted(regained, "neighbour", "neighbours"),
            if regained == 1 { "is" } else { "are" }
        ));
    }
    let ties: usize = why.ties.iter().map(|&ties| ties as usize).sum();
    if ties > 0 {
        notes.push(format!(
            "{} found through a tie: another doc with the same score as the last exact one, so nothing is lost.",
            counted(ties, "place is", "places are")
        ));
    }
    if why.duplicates > 0 && !why.totals.iter().any(|total| total.reason == Reason::Duplicate) {
        notes.push(format!(
            "{} given to docs that were there already.",
            counted(why.duplicates as usize, "place was", "places were")
        ));
    }
    match why.differing {
        Some(0) => notes.push("Built and searched again, the index gives the same ids at every place.".to_owned()),
        Some(differing) => notes.push(format!(
            "Built and searched again, the index gives another id at {} of {} places: graphs and forests that several \
             threads build differ a little, and equal scores come in any order.",
            count(differing as usize),
            count(all)
        )),
        None => {}
    }
    notes
}

/// What a reason means and what helps against it.
fn told(why: &Why, total: &Total) -> String {
    let Total { reason, count: lost, .. } = *total;
    let head = format!("{} of what is lost ({})", percent(lost, why.lost()), count(lost));
    let found = |knob: Knob, verb: &str| {
        let values = why.needed(reason, knob);
        let half = values.len().checked_sub(1).map(|last| values[last / 2]);
        half.zip(values.last()).map(|(half, last)| {
            let name = knob.name();
            let all = if values.len() == lost {
                "all of them".to_owned()
            } else {
                format!("{} of them", count(values.len()))
            };
            match values.len() {
                _ if half == *last => format!("{all} {verb} with {name}={last}"),
                _ => format!("half {verb} with {name}={half}, {all} with {name}={last}"),
            }
        })
    };
    let or = |told: Option<String>, without: &str| told.unwrap_or_else(|| without.to_owned());
    match reason {
        Reason::Quantisation => format!(
            "{head} is lost by quantisation: among all codes others come first. {}.",
            match found(Knob::Reranked, "are found") {
                Some(found) => format!("Re-rank more: {found}"),
                None => "Finer codes would help, or re-ranking by whole vectors (RFlat)".to_owned(),
            }
        ),
        Reason::CellNotProbed => {
            let all = why.stages.iter().rev().find(|stage| stage.name.starts_with("all "));
            let all = all.map_or(String::new(), |stage| {
                format!("; with {} recall@{} would be {}", stage.name, count(why.k), fixed(stage.recall.mean, DIGITS))
            });
            let found = or(found(Knob::Cells, "have their cell probed"), "by how much, its file does not tell");
            format!("{head} lies in cells that were not probed. Raise nprobe: {found}{all}.")
        }
        Reason::NotReached => format!(
            "{head} was not reached before the search of the graph stopped. Raise efSearch: {}.",
            or(found(Knob::Graph, "are found"), "it finds them")
        ),
        Reason::Unreachable => format!(
            "{head} cannot be reached: no links lead there from where the search begins, whatever efSearch is. Build the graph \
             with more links (M) or more care (efConstruction)."
        ),
        Reason::HashMismatch => match found(Knob::Hashes, "are found") {
            Some(found) => format!(
                "{head} has other hashes than the query. Raise probes: {found}. What differs in two hashes or more in every \
                 table takes more tables, or fewer hashes."
            ),
            None if why.losses.iter().flatten().any(|loss| loss.hashes_apart.is_some()) => format!(
                "{head} differs from the query in two hashes or more in every table. More tables, or fewer hashes, would help."
            ),
            None => format!(
                "{head} has a hash that differs from the query's in more bits than those found. More bits would help."
            ),
        },
        Reason::LeafNotVisited => format!(
            "{head} lies in leaves that were not visited. Raise search_k: {}.",
            or(found(Knob::Trees, "are found"), "it finds them")
        ),
        Reason::Rounding => format!(
            "{head} cannot be told from what was found instead in float32: the scores differ by less than rounding may change."
        ),
        Reason::NotIndexed => format!("{head} is not in the index at all. Build it from all docs."),
        Reason::Duplicate => format!(
            "{head} lost its place to a doc that was given before: each such place is charged to the farthest lost neighbour."
        ),
        Reason::BuiltAgain => {
            format!("{head} is found by the same index when it is built and searched again: chance lost it.")
        }
        Reason::Untold => format!("{head} cannot be explained. {}", why.untold.as_deref().unwrap_or_default()),
    }
}

/// A colour for each reason; those that occur together differ.
fn ink(inks: &Inks, reason: Reason) -> Color {
    match reason {
        Reason::Quantisation => inks.exact,
        Reason::CellNotProbed | Reason::NotReached | Reason::HashMismatch | Reason::LeafNotVisited => inks.attention,
        Reason::Unreachable => inks.wrong,
        Reason::Duplicate | Reason::NotIndexed => inks.ink,
        Reason::BuiltAgain => inks.band,
        Reason::Rounding => inks.rule_strong,
        Reason::Untold => inks.ink_soft,
    }
}

/// A column of the waterfall.
#[derive(Debug, Clone, PartialEq)]
enum Bar {
    /// A stage that was measured.
    Level { name: String, recall: Mean },
    /// What a stage loses for a reason, down from a height.
    Lost { reason: Reason, share: Mean, from: f64 },
    /// What a stage finds that the one before had lost, up from a height.
    Regained { share: Mean, from: f64 },
}

/// From the exact answer, stage by stage, down to the run.
#[derive(Debug, Clone, PartialEq)]
pub struct Waterfall {
    title: String,
    k: usize,
    bars: Vec<Bar>,
}

impl Waterfall {
    pub fn of(why: &Why) -> Self {
        let exact = Mean { mean: 1.0, low: 1.0, high: 1.0 };
        let mut bars = vec![Bar::Level { name: "exact".to_owned(), recall: exact }];
        let mut height = 1.0;
        for stage in &why.stages {
            for &(reason, share) in &stage.lost {
                bars.push(Bar::Lost { reason, share, from: height });
                height -= share.mean;
            }
            if stage.regained.mean > 0.0 {
                bars.push(Bar::Regained { share: stage.regained, from: height });
            }
            height = stage.recall.mean;
            bars.push(Bar::Level { name: stage.name.clone(), recall: stage.recall });
        }
        Self { title: format!("Why {} missed neighbours", why.title), k: why.k, bars }
    }

    fn panel(&self, canvas: Canvas) -> Panel {
        let unit = canvas.unit;
        let lowest = self.bars.iter().map(|bar| match bar {
            Bar::Level { recall, .. } => recall.low,
            Bar::Lost { share, from, .. } => from - share.high,
            Bar::Regained { from, .. } => *from,
        });
        let lowest = lowest.fold(1.0, f64::min).max(0.0);
        let room = ((1.0 - lowest) * 0.08).max(1e-4);
        Panel {
            left: (132.0 * unit).round(),
            right: (canvas.width as f32 - 40.0 * unit).round(),
            top: (116.0 * unit).round(),
            bottom: (canvas.height as f32 - 140.0 * unit).round(),
            x: (0.0, self.bars.len() as f64),
            y: ((lowest - room).max(0.0), 1.0 + room),
        }
    }
}

impl Drawing for Waterfall {
    fn scene(&self, canvas: Canvas, _chosen: Option<(f64, f64)>) -> Scene {
        let mut sheet = canvas.sheet();
        let (unit, inks) = (canvas.unit, canvas.look.inks());
        let panel = self.panel(canvas);
        let below = format!("recall@{} · thin lines: 95 % of resampled queries", count(self.k));
        heading(&mut sheet, panel.left, &self.title, &below);
        let (values, digits) = ticks(panel.y.0, 1.0, 5);
        let marks: Vec<(f64, String)> = values.into_iter().map(|value| (value, fixed(value, digits))).collect();
        sheet.y_marks(&panel, &marks);
        sheet.x_marks(&panel, &[]);
        sheet.panel_names(&panel, ("", &format!("recall@{}", count(self.k))));
        let digits = (digits + 1).max(DIGITS);
        let column = (panel.right - panel.left) / self.bars.len().max(1) as f32;
        let size = 18.0;
        for (place, bar) in self.bars.iter().enumerate() {
            let (left, middle) = (panel.x(place as f64), panel.x(place as f64 + 0.5));
            let (wide, thin) = (column * 0.64, (2.0 * unit).max(1.0));
            let (name, label, color, top) = match bar {
                Bar::Level { name, recall } => {
                    let y = panel.y(recall.mean);
                    let thickness = (5.0 * unit).max(2.0);
                    sheet.rect(middle - wide / 2.0, y - thickness / 2.0, wide, thickness, inks.ink);
                    self.whisker(&mut sheet, &panel, middle, (recall.low, recall.high));
                    (name.as_str(), fixed(recall.mean, digits), inks.ink, panel.y(recall.high).min(y))
                }
                Bar::Lost { reason, share, from } => {
                    let (top, bottom) = (panel.y(*from), panel.y(from - share.mean));
                    sheet.rect(middle - wide / 2.0, top, wide, (bottom - top).max(1.0), ink(inks, *reason));
                    self.whisker(&mut sheet, &panel, middle, (from - share.high, from - share.low));
                    (reason.name(), format!("−{}", fixed(share.mean, digits)), inks.ink, top)
                }
                Bar::Regained { share, from } => {
                    let (top, bottom) = (panel.y(from + share.mean), panel.y(*from));
                    sheet.rect(middle - wide / 2.0, top, wide, (bottom - top).max(1.0), inks.right);
                    self.whisker(&mut sheet, &panel, middle, (from + share.low, from + share.high));
                    let top = panel.y(from + share.high).min(top);
                    ("found again", format!("+{}", fixed(share.mean, digits)), inks.right, top)
                }
            };
            // The level of a column is where the next one begins.
            let end = match bar {
                Bar::Level { recall, .. } => recall.mean,
                Bar::Lost { share, from, .. } => from - share.mean,
                Bar::Regained { share, from } => from + share.mean,
            };
            if place + 1 < self.bars.len() {
                let y = panel.y(end);
                let points = vec![(middle + wide / 2.0, y), (left + column + (column - wide) / 2.0, y)];
                sheet.items.push(Item::Line { points, width: thin, color: inks.rule_strong });
            }
            sheet.text(middle, top - 10.0 * unit, 20.0, Face::Medium, Align::Center, color, label);
            for (line, text) in wrapped(name, column - 10.0 * unit, size * unit).into_iter().enumerate() {
                let y = panel.bottom + (30.0 + 24.0 * line as f32) * unit;
                sheet.text(middle, y, size, Face::Regular, Align::Center, inks.ink_soft, text);
            }
        }
        canvas.scene(sheet)
    }
}

impl Waterfall {
    fn whisker(&self, sheet: &mut Sheet, panel: &Panel, x: f32, (low, high): (f64, f64)) {
        if high > low {
            let points = vec![(x, panel.y(low)), (x, panel.y(high))];
            let (width, color) = ((2.0 * sheet.unit).max(1.0), sheet.inks.ink_soft);
            sheet.items.push(Item::Line { points, width, color });
        }
    }
}

/// Words in lines of some width in pixels; a word that is wider has a line of its own.
fn wrapped(text: &str, width: f32, size: f32) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if fonts::width(Face::Regular, size, &format!("{line} {word}")) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Percent of queries that lost the neighbour of each rank, by reason.
#[derive(Debug, Clone, PartialEq)]
pub struct ByRank {
    title: String,
    queries: usize,
    /// Percent for every rank.
    reasons: Vec<(Reason, Vec<f64>)>,
    k: usize,
}

impl ByRank {
    pub fn of(why: &Why) -> Self {
        let queries = why.queries();
        let percent = |&count: &u32| f64::from(count) * 100.0 / queries.max(1) as f64;
        let of = |total: &Total| (total.reason, why.by_rank(total.reason).iter().map(percent).collect());
        let title = format!("Lost by rank: {}", why.title);
        Self { title, queries, reasons: why.totals.iter().map(of).collect(), k: why.k }
    }
}

impl Drawing for ByRank {
    fn scene(&self, canvas: Canvas, _chosen: Option<(f64, f64)>) -> Scene {
        let mut sheet = canvas.sheet();
        let (unit, inks) = (canvas.unit, canvas.look.inks());
        let sum = |rank: usize| self.reasons.iter().map(|(_, percents)| percents[rank]).sum::<f64>();
        let highest = (0..self.k).map(sum).fold(0.0, f64::max);
        let panel = Panel {
            left: (132.0 * unit).round(),
            right: (canvas.width as f32 - 40.0 * unit).round(),
            top: (116.0 * unit).round(),
            bottom: (canvas.height as f32 - 84.0 * unit).round(),
            x: (0.5, self.k as f64 + 0.5),
            y: (0.0, if highest > 0.0 { highest * 1.08 } else { 1.0 }),
        };
        let below = format!("{} · each lost neighbour has one reason", counted(self.queries, "query", "queries"));
        heading(&mut sheet, panel.left, &self.title, &below);
        let wanted = (((panel.right - panel.left) / (130.0 * unit)) as usize).clamp(2, 10);
        sheet.panel_axes(&panel, ("rank of the exact neighbour", "% of queries"), (wanted, 5), true);
        let names: Vec<(Color, &str)> =
            self.reasons.iter().map(|(reason, _)| (ink(inks, *reason), reason.name())).collect();
        legend_beside(&mut sheet, &panel, &below, &names);
        for rank in 0..self.k {
            let (from, to) = (panel.x(rank as f64 + 0.55), panel.x(rank as f64 + 1.45));
            let mut height = 0.0;
            for (reason, percents) in &self.reasons {
                let (top, bottom) = (panel.y(height + percents[rank]), panel.y(height));
                if percents[rank] > 0.0 {
                    sheet.rect(from, top, (to - from).max(1.0), bottom - top, ink(inks, *reason));
                }
                height += percents[rank];
            }
        }
        canvas.scene(sheet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::index::why::Stage;

    fn flat(mean: f64) -> Mean {
        Mean { mean, low: mean, high: mean }
    }

    /// Two queries of four neighbours: one lost by its code, two in cells that were not probed.
    fn told() -> Why {
        let loss = |rank, doc, reason, needs| Loss { rank, doc, reason, needs, hashes_apart: None };
        let in_cell = |rank, doc, cell| loss(rank, doc, Reason::CellNotProbed, Some((Knob::Cells, cell)));
        let by_code = loss(1, 9, Reason::Quantisation, None);
        let total = |reason, count: usize| Total { reason, count, share: flat(count as f64 / 8.0) };
        let stage = |name: &str, recall, lost: Vec<(Reason, f64)>, regained| Stage {
            name: name.to_owned(),
            recall: flat(recall),
            lost: lost.into_iter().map(|(reason, share)| (reason, flat(share))).collect(),
            regained: flat(regained),
        };
        Why {
            title: "ivf-pq nprobe=8".to_owned(),
            k: 4,
            losses: vec![vec![by_code], vec![in_cell(0, 3, 12), in_cell(2, 4, 77)]],
            totals: vec![total(Reason::CellNotProbed, 2), total(Reason::Quantisation, 1)],
            stages: vec![
                stage("all 256 cells", 0.75, vec![(Reason::Quantisation, 0.25)], 0.0),
                stage("as it was run, nprobe=8", 0.625, vec![(Reason::CellNotProbed, 0.25)], 0.125),
            ],
            ties: vec![0, 1],
            duplicates: 0,
            also_unprobed: 1,
            cells: 256,
            differing: Some(0),
            untold: None,
            of_query: None,
        }
    }

    #[test]
    fn sentences_say_what_was_lost_why_and_what_helps() {
        let finding = finding(&told());
        for sentence in [
            "3 of 8 exact neighbours were lost (37.5 %): recall@4 is 0.625.",
            "66.7 % of what is lost (2) lies in cells that were not probed. Raise nprobe: half have their cell probed with \
             nprobe=12, all of them with nprobe=77; with all 256 cells recall@4 would be 0.750.",
            "33.3 % of what is lost (1) is lost by quantisation: among all codes others come first. Finer codes would help, or \
             re-ranking by whole vectors (RFlat).",
            "1 of those that are lost by quantisation lie in cells that were not probed, too: they are counted as \
             quantisation, which comes first.",
            "1 neighbour that all cells lose is found by the run: fewer codes compete for the places.",
            "1 place is found through a tie: another doc with the same score as the last exact one, so nothing is lost.",
            "Built and searched again, the index gives the same ids at every place.",
        ] {
            assert!(finding.notes.iter().any(|note| note == sentence), "{sentence}\n{:#?}", finding.notes);
        }
        let csv = String::from_utf8(finding.table.to_csv()).expect("text");
        assert_eq!(csv, "query,lost,tied,cell_not_probed,quantisation\n1,2,1,2,0\n0,1,0,0,1\n");
        assert_eq!(finding.links[0].docs, [3, 4]);
        assert_eq!(finding.links[1].queries, [0]);
        assert!(told().worst_first() == [1, 0] && told().by_rank(Reason::CellNotProbed) == [1, 0, 1, 0]);
    }

    #[test]
    fn one_query_is_told_line_by_line() {
        let docs = vec![(0.5, Some("cats".to_owned())), (0.25, None)];
        let one = OneQuery { query: 1, text: Some("pets".to_owned()), docs };
        let finding = finding(&Why { of_query: Some(one), ..told() });
        assert_eq!(
            finding.notes[..2],
            ["Query 1: pets", "It lost 2 of 4 neighbours; 1 found through a tie. Of all queries:"]
        );
        let csv = String::from_utf8(finding.table.to_csv()).expect("text");
        let lines: Vec<&str> = csv.lines().skip(1).collect();
        assert_eq!(lines, ["1,3,0.5,cell not probed,nprobe=12,,cats", "3,4,0.25,cell not probed,nprobe=77,,"]);
        assert_eq!((finding.links[1].queries[..] == [1], &finding.links[1].docs[..]), (true, &[4][..]));
    }

    /// Bars hang from where the one before ends, and the last level is the recall of the run.
    #[test]
    fn the_waterfall_comes_down_to_the_run() {
        let waterfall = Waterfall::of(&told());
        let canvas = Canvas::FILE;
        let panel = waterfall.panel(canvas);
        let scene = waterfall.scene(canvas, None);
        let inks = canvas.look.inks();
        let bar = |color: Color| {
            scene.items.iter().find_map(|item| match item {
                Item::Rect { y, height, color: own, .. } if *own == color => Some((*y, y + height)),
                _ => None,
            })
        };
        let close = |found: Option<(f32, f32)>, from: f64, to: f64| {
            let (top, bottom) = found.expect("drawn");
            assert!((top - panel.y(from)).abs() < 1.0 && (bottom - panel.y(to)).abs() < 1.0, "{top} {bottom}");
        };
        close(bar(inks.exact), 1.0, 0.75);
        close(bar(inks.attention), 0.75, 0.5);
        close(bar(inks.right), 0.625, 0.5);
        let texts: Vec<&str> = scene
            .items
            .iter()
            .filter_map(|item| match item {
                Item::Text { text, .. } => Some(text.as_str()),
                _ => None,
            })
            .collect();
        for text in ["1.000", "−0.250", "0.750", "+0.125", "0.625"] {
            assert!(texts.contains(&text), "{text}: {texts:?}");
        }
        // Nothing lost: a picture all the same, at any size.
        let nothing = Why { losses: vec![Vec::new(); 2], totals: Vec::new(), stages: Vec::new(), ..told() };
        for canvas in [Canvas::FILE, Canvas { width: 40, height: 30, unit: 0.02, ..Canvas::FILE }] {
            Waterfall::of(&nothing).scene(canvas, None);
            ByRank::of(&nothing).scene(canvas, None);
            ByRank::of(&told()).scene(canvas, None);
        }
    }

    #[test]
    fn names_are_wrapped_between_words() {
        let wide = fonts::width(Face::Regular, 18.0, "as it was");
        assert_eq!(wrapped("as it was run", wide, 18.0), ["as it was", "run"]);
        assert_eq!(wrapped("unreachable", 1.0, 18.0), ["unreachable"]);
    }
}
