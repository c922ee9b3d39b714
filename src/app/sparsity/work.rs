//! What the sparsity view asks of workers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use egui::{Color32, ColorImage};

use super::super::grid::Grid;
use super::super::save_dialog::Saved;
use super::super::work::{Slot, on_own_threads};
use super::state::{CompareKey, DrawKey, LineOrder, OrderKey, Ordered, Save, SaveForm};
use crate::compute::atomic_file::write_atomically;
use crate::compute::demo;
use crate::compute::error::Result;
use crate::compute::sparsity::analysis::{AnalysedGroup, Analysis, Params, analyse};
use crate::compute::sparsity::groups::order_by_similarity;
use crate::compute::sparsity::mask::{Mask, Packed};
use crate::compute::sparsity::patterns::densities;
use crate::compute::sparsity::sources::{Identity, Source, Sources, Wanted};
use crate::compute::sparsity::store::{Database, Overlap};
use crate::compute::table::{Column, Table};
use crate::job::{Monitor, Progress};
use crate::video::Scene;
use crate::video::palette::Color;
use crate::video::spy::{Window, shades};

/// Rows of an answer that are shown.
pub const MOST_ANSWERS: usize = 10_000;

/// What a running analysis tells.
pub enum Event {
    Started(usize),
    Done(usize, Arc<Analysis>),
    Failed(usize, String),
}

/// All work of the view.
pub struct Jobs {
    pub finding: Slot<Result<Sources>>,
    pub analysing: Slot<Result<usize>>,
    pub events: Option<Receiver<Event>>,
    pub ordering: Slot<Result<Ordered>>,
    pub drawing: Slot<(DrawKey, ColorImage)>,
    pub comparing: Slot<Result<(CompareKey, Overlap, [ColorImage; 3])>>,
    pub asking: Slot<Result<(PathBuf, String, Grid)>>,
    pub saving: Slot<(SaveForm, Result<Saved>)>,
}

impl Jobs {
    pub const fn new() -> Self {
        Self {
            finding: Slot::empty(),
            analysing: Slot::empty(),
            events: None,
            ordering: Slot::empty(),
            drawing: Slot::empty(),
            comparing: Slot::empty(),
            asking: Slot::empty(),
            saving: Slot::empty(),
        }
    }

    /// Whether matrices are looked for or analysed.
    pub fn is_working(&self) -> bool {
        self.finding.is_busy() || self.analysing.is_busy()
    }

    pub fn is_busy(&self) -> bool {
        self.is_working()
            || self.ordering.is_busy()
            || self.drawing.is_busy()
            || self.comparing.is_busy()
            || self.asking.is_busy()
            || self.saving.is_busy()
    }

    /// Of what takes long.
    pub fn progress(&self) -> Option<Progress> {
        let slow = |progress: &Progress| progress.elapsed_secs > 0.3;
        self.analysing
            .progress()
            .or_else(|| self.finding.progress().filter(slow))
            .or_else(|| self.ordering.progress().filter(slow))
            .or_else(|| self.asking.progress().filter(slow))
    }

    pub fn cancel(&mut self) {
        self.finding.cancel();
        self.analysing.cancel();
        self.ordering.cancel();
        self.asking.cancel();
        self.saving.cancel();
    }
}

/// Looks for matrices; those of the demo are written first.
pub fn find(paths: &[PathBuf], wanted: &Wanted, demo_home: Option<&Path>, monitor: &Monitor) -> Result<Sources> {
    match demo_home {
        Some(home) => {
            demo::unpack_matrices(home)?;
            Sources::find(&[home.to_owned()], wanted, monitor)
        }
        None => Sources::find(paths, wanted, monitor),
    }
}

/// Analyses matrices one after another, tells of each, and stores them in the database if there is one. Says how many
/// were stored.
pub fn analyse_all(
    sources: &[Source],
    params: &Params,
    database: Option<&Path>,
    tell: &dyn Fn(Event),
    monitor: &Monitor,
) -> Result<usize> {
    let mut database = database.map(Database::append_to).transpose()?;
    let mut counterparts: Vec<(Identity, Arc<Mask>)> = Vec::new();
    let mut stored = 0;
    for (index, source) in sources.iter().enumerate() {
        tell(Event::Started(index));
        let analysis = match on_own_threads(|| analyse(source, params, monitor)) {
            Ok(analysis) => Arc::new(analysis),
            Err(error @ crate::compute::Error::Cancelled) => return Err(error),
            Err(error) => {
                tell(Event::Failed(index, error.to_string()));
                continue;
            }
        };
        // Told first: it is there even where it cannot be stored.
        tell(Event::Done(index, analysis.clone()));
        let (identity, mask) = (&analysis.identity, &analysis.mask);
        if let Some(database) = &mut database {
            database.store(&analysis)?;
            stored += 1;
            counterparts.retain(|(other, _)| other.layer == identity.layer && other.projection == identity.projection);
            for (other, other_mask) in &counterparts {
                let is_of_one_shape = (other_mask.rows(), other_mask.columns()) == (mask.rows(), mask.columns());
                if identity.is_counterpart(other) && is_of_one_shape {
                    database.store_overlap(&Overlap::of((other, other_mask), (identity, mask))?)?;
                }
            }
            counterparts.push((identity.clone(), mask.clone()));
        }
    }
    Ok(stored)
}

/// Brings the lines of a matrix, or of a group's columns, into an order.
pub fn order(mask: &Mask, group: Option<&[u32]>, key: OrderKey, monitor: &Monitor) -> Result<Ordered> {
    let own: Vec<u32> = (0..mask.columns() as u32).collect();
    let chosen = group.unwrap_or(&own);
    let by_column = mask.by_column.in_order(chosen);
    let by_row = by_column.transposed();
    let order_of = |lines: &Packed, order: LineOrder| -> Result<Vec<u32>> {
        let mut stored: Vec<u32> = (0..lines.count() as u32).collect();
        match order {
            LineOrder::Stored => Ok(stored),
            LineOrder::Density => {
                stored.sort_by_key(|&line| (std::cmp::Reverse(lines.ones(line as usize)), line));
                Ok(stored)
            }
            LineOrder::Similarity => {
                monitor.begin("ordering by similarity", "lines", lines.count() as u64);
                on_own_threads(|| order_by_similarity(lines, monitor))
            }
        }
    };
    let (rows, columns) = (order_of(&by_row, key.rows)?, order_of(&by_column, key.columns)?);
    let by_row = by_column.in_order(&columns).transposed().in_order(&rows);
    let by_column = by_row.transposed();
    Ok(Ordered {
        key,
        row_densities: densities(&by_row),
        column_densities: densities(&by_column),
        by_row,
        rows,
        columns: columns.into_iter().map(|place| chosen[place as usize]).collect(),
    })
}

/// Draws a part of a matrix.
pub fn draw(ordered: &Ordered, key: DrawKey) -> (DrawKey, ColorImage) {
    let inks = key.look.inks();
    let shades = shades(&ordered.by_row, key.window, key.width, key.height);
    (key, ColorImage::from_rgb([key.width, key.height], &shades.rgb(inks.paper, inks.ink)))
}

/// Draws two masks and where they differ: what both keep, and what only one does.
pub fn compare(left: &Analysis, right: &Analysis, key: CompareKey) -> Result<(CompareKey, Overlap, [ColorImage; 3])> {
    let overlap = Overlap::of((&left.identity, &left.mask), (&right.identity, &right.mask))?;
    let (a, b) = (&left.mask.by_row, &right.mask.by_row);
    let window = Window::whole(a.count(), a.length());
    let (width, height) = picture_size(a.length(), a.count(), key.size);
    let inks = key.look.inks();
    let alone = |lines: &Packed| {
        ColorImage::from_rgb([width, height], &shades(lines, window, width, height).rgb(inks.paper, inks.ink))
    };
    let combined = |pick: fn(u64, u64) -> u64| {
        let mut lines = Packed::zeros(a.count(), a.length());
        for line in 0..a.count() {
            let words = a.line(line).iter().zip(b.line(line)).map(|(&a, &b)| pick(a, b));
            lines.line_mut(line).iter_mut().zip(words).for_each(|(word, bits)| *word = bits);
        }
        shades(&lines, window, width, height).values
    };
    let (both, only_a, only_b) = (combined(|a, b| a & b), combined(|a, b| a & !b), combined(|a, b| b & !a));
    let mixed = (0..both.len()).map(|pixel| {
        let parts = [(inks.rule_strong, both[pixel]), (inks.exact, only_a[pixel]), (inks.attention, only_b[pixel])];
        mix(inks.paper, &parts)
    });
    let both = ColorImage::new([width, height], mixed.collect());
    Ok((key, overlap, [alone(a), alone(b), both]))
}

/// Width and height of a picture of that many columns and rows whose longer side is `size`; the shorter is at least a
/// quarter of it.
pub fn picture_size(columns: usize, rows: usize, size: usize) -> (usize, usize) {
    let longer = columns.max(rows) as f64;
    let side = |cells: usize| ((cells as f64 / longer).max(0.25) * size as f64).round().max(1.0) as usize;
    (side(columns), side(rows))
}

/// Paper with colours on it, each on a share of it (of 255).
fn mix(paper: Color, parts: &[(Color, u8)]) -> Color32 {
    let covered: f32 = parts.iter().map(|&(_, share)| f32::from(share)).sum();
    let all = covered.max(255.0);
    let channel = |of: fn(Color) -> u8| {
        let ink: f32 = parts.iter().map(|&(color, share)| f32::from(of(color)) * f32::from(share)).sum();
        ((ink + f32::from(of(paper)) * (all - covered)) / all).round() as u8
    };
    Color32::from_rgb(channel(|color| color.red), channel(|color| color.green), channel(|color| color.blue))
}

/// Asks a database.
pub fn ask(path: PathBuf, sql: String, monitor: &Monitor) -> Result<(PathBuf, String, Grid)> {
    monitor.begin("asking the database", "", 0);
    let grid = Grid::new(Database::read(&path)?.ask(&sql, Some(MOST_ANSWERS), monitor)?);
    Ok((path, sql, grid))
}

/// The columns of the table of groups: name, and what a group has there. The first names it.
type Figure = fn(&AnalysedGroup) -> Option<f64>;
pub const GROUP_COLUMNS: [(&str, Figure, usize); 13] = [
    ("column", |group| Some(f64::from(group.group.feature)), 0),
    ("mean_distance", |group| Some(group.metrics.mean_pairwise_distance), 4),
    ("mean_of_pairs", |group| group.metrics.mean_pair_distance, 4),
    ("std_of_pairs", |group| group.metrics.std_pair_distance, 4),
    ("by_chance", |group| group.chance.map(|chance| chance.expected), 4),
    ("z", |group| group.chance.and_then(|chance| chance.z), 2),
    ("p", |group| group.chance.map(|chance| chance.p), 4),
    ("zeros", |group| Some(group.metrics.zeros as f64), 0),
    ("ones", |group| Some(group.metrics.ones as f64), 0),
    ("duplicates", |group| Some(group.metrics.duplicates as f64), 0),
    ("total_dups", |group| Some(group.metrics.total_dups as f64), 0),
    ("unique_rows", |group| Some(group.metrics.unique_rows as f64), 0),
    ("density", |group| Some(group.metrics.density), 4),
];

/// The groups of a matrix as a table, sorted by a column, and which group each line is.
pub fn group_table(analysis: &Analysis, (column, downwards): (usize, bool)) -> (Table, Vec<usize>) {
    let mut groups = analysis.by_mean_distance();
    let (_, figure, _) = GROUP_COLUMNS[column.min(GROUP_COLUMNS.len() - 1)];
    let value = |group: &usize| figure(&analysis.groups[*group]).unwrap_or(f64::INFINITY);
    groups.sort_by(|a, b| if downwards { value(b).total_cmp(&value(a)) } else { value(a).total_cmp(&value(b)) });
    let mut columns: Vec<Column> =
        GROUP_COLUMNS.iter().map(|(name, ..)| Column { name: (*name).to_owned(), is_number: true }).collect();
    columns.push(Column { name: "columns".to_owned(), is_number: false });
    let line = |&group: &usize| {
        let group = &analysis.groups[group];
        let mut cells: Vec<Option<String>> = GROUP_COLUMNS
            .iter()
            .map(|(_, figure, digits)| figure(group).map(|value| format!("{value:.digits$}")))
            .collect();
        let named: Vec<String> = group.group.columns.iter().map(u32::to_string).collect();
        cells.push(Some(named.join(" ")));
        cells
    };
    let rows = groups.iter().map(line).collect();
    (Table { columns, rows, is_cut: false }, groups)
}

/// All matrices as a table.
pub fn matrix_table(analyses: &[Arc<Analysis>]) -> Table {
    const NAMES: [(&str, bool); 14] = [
        ("method", false),
        ("matrix_name", false),
        ("layer", true),
        ("projection", false),
        ("rows", true),
        ("columns", true),
        ("dtype", false),
        ("density", true),
        ("mean_pair_distance", true),
        ("independent_mean", true),
        ("closer_share", true),
        ("closer_share_permuted", true),
        ("groups", true),
        ("mean_pairwise_distance", true),
    ];
    let columns = NAMES.map(|(name, is_number)| Column { name: name.to_owned(), is_number });
    let line = |analysis: &Arc<Analysis>| {
        let identity = &analysis.identity;
        vec![
            identity.method.clone(),
            Some(identity.matrix_name.clone()),
            identity.layer.map(|layer| layer.to_string()),
            identity.projection.clone(),
            Some(analysis.mask.rows().to_string()),
            Some(analysis.mask.columns().to_string()),
            Some(analysis.element.to_owned()),
            Some(analysis.density.to_string()),
            analysis.pairs.mean().map(|mean| mean.to_string()),
            analysis.analytic.as_ref().map(|null| null.mean.to_string()),
            analysis.analytic.as_ref().map(|null| null.closer.share.to_string()),
            analysis.permutation.as_ref().map(|null| null.closer.share.to_string()),
            Some(analysis.groups.len().to_string()),
            analysis.mean_of(|metrics| metrics.mean_pairwise_distance).map(|mean| mean.to_string()),
        ]
    };
    Table { columns: columns.into(), rows: analyses.iter().map(line).collect(), is_cut: false }
}

/// What is written.
pub enum Content {
    Scene(Box<dyn FnOnce() -> Scene + Send>),
    Table(Box<dyn FnOnce() -> Result<Table> + Send>),
}

/// Writes a picture or a table; says in words what was written.
pub fn save(form: &SaveForm, content: Content) -> Result<Saved> {
    let path = PathBuf::from(form.path.trim());
    if path.exists() && !form.replaces() {
        return Ok(Saved::Exists);
    }
    match content {
        Content::Scene(scene) => scene().write(&path)?,
        Content::Table(table) => write_atomically(&path, &table()?.to_csv())?,
    }
    let what = match form.what {
        Save::Spy => "the spy plot",
        Save::Distances => "the distances",
        Save::Groups => "the charts of the groups",
        Save::Comparison => "the comparison",
        Save::GroupTable => "the groups",
        Save::MatrixTable => "the matrices",
        Save::Answer => "the answer",
    };
    Ok(Saved::Done(format!("Saved {what}: {}", path.display())))
}
