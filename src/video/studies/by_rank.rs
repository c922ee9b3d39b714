//! What was lost by rank: shares found and gaps with their bands, and how many queries have which recall.

use std::sync::Arc;

use super::super::finding::{Drawing, Finding, Link, Picture};
use super::super::lab::heading;
use super::super::palette::Color;
use super::super::panel::{Canvas, Panel};
use super::super::scene::{Item, Scene, Sheet};
use crate::compute::figures::{count, counted, percent};
use crate::compute::index::by_rank::{Rank, Ranks};
use crate::compute::index::judge::Mean;
use crate::compute::table::{Column, Table};

/// Bars of the queries' recall, at most.
const BARS: usize = 41;

/// As a finding.
pub fn finding(ranks: Ranks) -> Finding {
    let (title, notes, table) = (format!("Ranks of {}", ranks.title), notes(&ranks), table(&ranks));
    let links = ranks.ranks.iter().map(link).collect();
    let by_query = ByQuery::of(&ranks);
    let picture = |name: &str, drawing| Picture { name: name.to_owned(), drawing };
    let pictures =
        vec![picture("By rank", Arc::new(ByRank(ranks)) as Arc<dyn Drawing>), picture("Recall", Arc::new(by_query))];
    Finding { title, notes, pictures, table, links, more: None }
}

/// "rank 3", "ranks 11 to 20"
fn name(rank: &Rank) -> String {
    match rank.first == rank.last {
        true => format!("rank {}", count(rank.first)),
        false => format!("ranks {} to {}", count(rank.first), count(rank.last)),
    }
}

fn link(rank: &Rank) -> Link {
    Link { name: format!("lost at {}", name(rank)), queries: rank.queries.clone(), docs: rank.docs.clone() }
}

fn notes(ranks: &Ranks) -> Vec<String> {
    let share = |mean: &Mean| format!("{:.2} %", mean.mean * 100.0);
    let recall = ranks.recall;
    let mut notes = vec![format!(
        "recall@{} is {:.4} ({:.4} to {:.4} in 95 % of resampled queries).",
        count(ranks.k),
        recall.mean,
        recall.low,
        recall.high
    )];
    let worst = ranks.ranks.iter().min_by(|left, right| left.found.mean.total_cmp(&right.found.mean));
    let (Some(first), Some(last), Some(worst)) = (ranks.ranks.first(), ranks.ranks.last(), worst) else { return notes };
    if worst.found.mean >= 1.0 {
        notes.push("No neighbour of these ranks was lost.".to_owned());
        return notes;
    }
    if ranks.ranks.len() > 1 {
        notes.push(format!(
            "Of the neighbours of {}, {} were found; of {}, {}.",
            name(first),
            share(&first.found),
            name(last),
            share(&last.found)
        ));
        let is_clear = first.found.low > last.found.high || last.found.low > first.found.high;
        if !is_clear {
            notes.push(
                "Their bands overlap: near and far neighbours are lost alike, as far as these queries tell.".to_owned(),
            );
        }
    }
    let queries = ranks.recall_of.len();
    let losing = worst.queries.len();
    notes.push(format!(
        "Most is lost at {}: {} of {} ({}) lost one there.",
        name(worst),
        count(losing),
        counted(queries, "query", "queries"),
        percent(losing, queries)
    ));
    if let Some((first_gap, last_gap)) = first.gap.zip(last.gap)
        && ranks.ranks.len() > 1
    {
        notes.push(format!(
            "Found scores are off by {:.2e} at {} and by {:.2e} at {}, in the mean{}.",
            first_gap.mean,
            name(first),
            last_gap.mean,
            name(last),
            if ranks.relative { ", relative to the exact ones" } else { "" }
        ));
    }
    notes
}

fn table(ranks: &Ranks) -> Table {
    let names = ["first", "last", "found", "found_low", "found_high", "gap", "gap_low", "gap_high", "queries", "docs"];
    let columns = names.map(|name| Column { name: name.to_owned(), is_number: true }).to_vec();
    let row = |rank: &Rank| {
        let found = [rank.found.mean, rank.found.low, rank.found.high].map(|value| Some(format!("{value:.6}")));
        let gap = match rank.gap {
            Some(gap) => [gap.mean, gap.low, gap.high].map(|value| Some(format!("{value:.6e}"))),
            None => [None, None, None],
        };
        let whole = |value: usize| Some(value.to_string());
        let mut row = vec![whole(rank.first), whole(rank.last)];
        row.extend(found.into_iter().chain(gap));
        row.extend([whole(rank.queries.len()), whole(rank.docs.len())]);
        row
    };
    Table { columns, rows: ranks.ranks.iter().map(row).collect(), is_cut: false }
}

/// Shares found and gaps over the ranks, with bands.
#[derive(Debug)]
struct ByRank(Ranks);

impl Drawing for ByRank {
    fn scene(&self, canvas: Canvas, _chosen: Option<(f64, f64)>) -> Scene {
        let ranks = &self.0;
        let mut sheet = canvas.sheet();
        let (unit, inks) = (canvas.unit, canvas.look.inks());
        let (width, height) = (canvas.width as f32, canvas.height as f32);
        let left = (132.0 * unit).round();
        heading(&mut sheet, left, &format!("Found by rank: {}", ranks.title), "bands: 95 % of resampled queries");
        let deepest = ranks.ranks.last().map_or(1, |rank| rank.last) as f64;
        let lowest = ranks.ranks.iter().map(|rank| rank.found.low * 100.0).fold(100.0, f64::min);
        let highest = ranks.ranks.iter().filter_map(|rank| rank.gap).map(|gap| gap.high).fold(0.0, f64::max);
        let across = (width - left - 40.0 * unit) / 2.0;
        let panel = |left: f32, y: (f64, f64)| Panel {
            left: left.round(),
            right: (left + across - 66.0 * unit).round(),
            top: (116.0 * unit).round(),
            bottom: (height - 84.0 * unit).round(),
            x: (0.5, deepest + 0.5),
            y,
        };
        let found = panel(left, ((lowest - (100.0 - lowest).max(1.0) * 0.1).max(0.0), 100.0));
        let gap = panel(left + across + 66.0 * unit, (0.0, if highest > 0.0 { highest * 1.08 } else { 1.0 }));
        let rows = ((found.bottom - found.top) / (60.0 * unit)).clamp(2.0, 6.0) as usize;
        let wanted = (((found.right - found.left) / (130.0 * unit)) as usize).clamp(2, 10);
        for (panel, name) in
            [(&found, "% found"), (&gap, if ranks.relative { "mean relative gap" } else { "mean gap" })]
        {
            sheet.panel_axes(panel, ("rank of the exact neighbour", name), (wanted, rows), true);
        }
        let shares = ranks.ranks.iter().map(|rank| {
            let Mean { mean, low, high } = rank.found;
            (rank, Some(Mean { mean: mean * 100.0, low: low * 100.0, high: high * 100.0 }))
        });
        curve(&mut sheet, &found, shares, [inks.exact, inks.rule]);
        curve(&mut sheet, &gap, ranks.ranks.iter().map(|rank| (rank, rank.gap)), [inks.attention, inks.rule]);
        canvas.scene(sheet)
    }
}

/// Means with their bands, as steps where several ranks are told together; interrupted where there is none.
fn curve<'a>(
    sheet: &mut Sheet,
    panel: &Panel,
    means: impl Iterator<Item = (&'a Rank, Option<Mean>)>,
    [line, band]: [Color; 2],
) {
    let mut parts: Vec<Vec<(f32, Mean)>> = vec![Vec::new()];
    for (rank, mean) in means {
        let ends = [panel.x(rank.first as f64 - 0.5), panel.x(rank.last as f64 + 0.5)];
        match (mean, parts.last_mut()) {
            (Some(mean), Some(part)) => part.extend(ends.map(|x| (x, mean))),
            _ => parts.push(Vec::new()),
        }
    }
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        let points = part.iter().map(|(x, mean)| (*x, panel.y(mean.low), panel.y(mean.high))).collect();
        sheet.items.push(Item::Band { points, color: band });
        let points = part.iter().map(|(x, mean)| (*x, panel.y(mean.mean))).collect();
        sheet.items.push(Item::Line { points, width: (2.0 * sheet.unit).max(1.5), color: line });
    }
}

/// How many queries have which recall.
#[derive(Debug)]
struct ByQuery {
    title: String,
    k: usize,
    values: Vec<f64>,
    /// Neighbours that the first bar stands for, and how many values of theirs each bar takes.
    first: usize,
    step: usize,
    counts: Vec<usize>,
}

impl ByQuery {
    fn of(ranks: &Ranks) -> Self {
        let k = ranks.k;
        let right = |recall: f64| (recall * k as f64).round() as usize;
        let lowest = ranks.recall_of.iter().map(|&recall| right(recall)).min().unwrap_or(0);
        // At least three bars, so that there is something to choose from.
        let lowest = lowest.min(k.saturating_sub(2));
        let step = (k + 1 - lowest).div_ceil(BARS).max(1);
        let bars = (k + 1 - lowest).div_ceil(step);
        // The last bar ends with k, unless the first one would begin below 0.
        let first = (k + 1).saturating_sub(bars * step);
        let mut counts = vec![0; bars];
        ranks.recall_of.iter().for_each(|&recall| counts[(right(recall) - first) / step] += 1);
        Self { title: ranks.title.clone(), k, values: ranks.recall_of.clone(), first, step, counts }
    }

    /// The recall at the left end of a bar, halfway between two that are possible.
    fn edge(&self, bar: usize) -> f64 {
        ((self.first + bar * self.step) as f64 - 0.5) / self.k as f64
    }

    fn panel(&self, canvas: Canvas) -> Panel {
        let unit = canvas.unit;
        let highest = self.counts.iter().copied().max().unwrap_or(0);
        Panel {
            left: (132.0 * unit).round(),
            right: (canvas.width as f32 - 40.0 * unit).round(),
            top: (116.0 * unit).round(),
            bottom: (canvas.height as f32 - 84.0 * unit).round(),
            x: (self.edge(0), self.edge(self.counts.len())),
            y: (0.0, highest as f64 * 1.06),
        }
    }
}

impl Drawing for ByQuery {
    fn scene(&self, canvas: Canvas, chosen: Option<(f64, f64)>) -> Scene {
        let mut sheet = canvas.sheet();
        let (unit, inks) = (canvas.unit, canvas.look.inks());
        let panel = self.panel(canvas);
        let told = format!("{}, by their recall@{}", counted(self.values.len(), "query", "queries"), count(self.k));
        heading(&mut sheet, panel.left, &format!("Recall of each query: {}", self.title), &told);
        let wanted = (((panel.right - panel.left) / (130.0 * unit)) as usize).clamp(2, 10);
        if let Some((low, high)) = chosen {
            let (from, to) = (panel.x(low.max(panel.x.0)), panel.x(high.min(panel.x.1)));
            sheet.rect(from, panel.top, (to - from).max(1.0), panel.bottom - panel.top, inks.rule);
        }
        sheet.panel_axes(&panel, (&format!("recall@{}", count(self.k)), "queries"), (wanted, 5), false);
        for (bar, &queries) in self.counts.iter().enumerate().filter(|(_, queries)| **queries > 0) {
            let (from, to) = (panel.x(self.edge(bar)).round(), panel.x(self.edge(bar + 1)).round());
            let top = panel.y(queries as f64).min(panel.bottom - 1.0);
            let middle = (self.edge(bar) + self.edge(bar + 1)) / 2.0;
            let is_chosen = chosen.is_some_and(|(low, high)| (low..=high).contains(&middle));
            let gap = if to - from >= 5.0 { 1.0 } else { 0.0 };
            let color = if is_chosen { inks.attention } else { inks.exact };
            sheet.rect(from, top, (to - from - gap).max(1.0), panel.bottom - top, color);
        }
        canvas.scene(sheet)
    }

    fn brush(&self, canvas: Canvas) -> Option<(Panel, &[f64])> {
        Some((self.panel(canvas), &self.values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(mean: f64) -> Mean {
        Mean { mean, low: mean, high: mean }
    }

    fn some(recall_of: Vec<f64>, k: usize) -> Ranks {
        let rank = |first: usize, found: f64, gap: Option<f64>, queries: Vec<u32>| Rank {
            first,
            last: first + 1,
            found: flat(found),
            gap: gap.map(flat),
            docs: queries.clone(),
            queries,
        };
        let ranks =
            vec![rank(1, 1.0, Some(0.0), vec![]), rank(3, 0.5, Some(0.25), vec![7]), rank(5, 0.0, None, vec![7, 9])];
        let recall = flat(recall_of.iter().sum::<f64>() / recall_of.len() as f64);
        Ranks { title: "a".to_owned(), k, relative: false, ranks, recall, recall_of }
    }

    #[test]
    fn every_query_is_in_one_bar_and_bars_end_with_all() {
        for (k, right) in
            [(3, vec![0, 3, 3]), (100, vec![12, 55, 100]), (100, vec![100, 100]), (1, vec![0, 1]), (1000, vec![0, 999])]
        {
            let picture = ByQuery::of(&some(right.iter().map(|&right| right as f64 / k as f64).collect(), k));
            assert_eq!(picture.counts.iter().sum::<usize>(), right.len(), "k = {k}");
            assert!(picture.counts.len() <= BARS && picture.edge(picture.counts.len()) > 1.0, "k = {k}");
            for (bar, &queries) in picture.counts.iter().enumerate() {
                let range = picture.edge(bar)..picture.edge(bar + 1);
                assert_eq!(picture.values.iter().filter(|value| range.contains(value)).count(), queries, "k = {k}");
            }
        }
    }

    #[test]
    fn rows_lead_to_what_was_lost() {
        let finding = finding(some(vec![0.5, 1.0], 4));
        assert_eq!(finding.table.rows.len(), finding.links.len());
        assert_eq!(finding.links[2].name, "lost at ranks 5 to 6");
        assert_eq!(finding.links[2].queries, [7, 9]);
        assert_eq!(finding.table.rows[2][5], None, "no gap where nothing was found");
        assert!(
            finding
                .notes
                .iter()
                .any(|note| note == "Of the neighbours of ranks 1 to 2, 100.00 % were found; of ranks 5 to 6, 0.00 %."),
            "{:?}",
            finding.notes
        );
        let (panel, values) = finding.pictures[1].drawing.brush(Canvas::FILE).expect("can be brushed");
        assert_eq!(values, [0.5, 1.0]);
        assert!(panel.x.0 < 0.5 && panel.x.1 > 1.0);
    }
}
