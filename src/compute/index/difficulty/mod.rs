//! What makes queries hard: four measures of a query beside what a contestant found for it.

mod measures;

use std::str::FromStr;

use rayon::prelude::*;

pub use measures::{Crowd, Hubs, Space, intrinsic_dimension};

use super::cells::{Cells, CellsParams};
use super::judge::{Mean, mean};
use super::ranks::{Correlation, spearman};
use super::report;
use super::scores::Scores;
use super::session::{Lab, Run};
use crate::compute::error::{Error, Result};
use crate::compute::figures::count;
use crate::job::Monitor;

/// Queries whose distances are measured between two looks at whether to stop.
const QUERIES_AT_ONCE: usize = 64;
/// Groups of queries by a measure.
pub const TENTHS: usize = 10;

/// How hard a query is, by something that is known without any index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Measure {
    /// Local intrinsic dimension around the query: how fast docs get more with the distance.
    #[default]
    Lid,
    /// Relative contrast: how much farther all docs are than the k-th nearest.
    Contrast,
    /// How often its exact neighbours are neighbours of the session's queries, in the mean.
    Hubness,
    /// Distance to the nearest centroid of cells trained on the docs.
    Centroid,
}

impl Measure {
    pub const ALL: [Self; 4] = [Self::Lid, Self::Contrast, Self::Hubness, Self::Centroid];

    /// The name in flags and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lid => "lid",
            Self::Contrast => "contrast",
            Self::Hubness => "hubness",
            Self::Centroid => "centroid",
        }
    }

    /// What it is, for an axis.
    pub fn axis_label(self) -> &'static str {
        match self {
            Self::Lid => "local intrinsic dimension",
            Self::Contrast => "relative contrast: all docs / the k-th nearest",
            Self::Hubness => "hubness: how often its neighbours are neighbours of queries",
            Self::Centroid => "distance to the nearest training centroid",
        }
    }

    /// What it is called in a sentence.
    pub fn words(self) -> &'static str {
        match self {
            Self::Lid => "local intrinsic dimension",
            Self::Contrast => "relative contrast",
            Self::Hubness => "hubness of the exact neighbours",
            Self::Centroid => "distance to the nearest training centroid",
        }
    }

    fn place(self) -> usize {
        self as usize
    }
}

impl FromStr for Measure {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|measure| measure.name() == text).ok_or_else(|| Error::Parameter {
            name: "measure",
            expected: Self::ALL.map(Self::name).join(", "),
            found: text.to_owned(),
        })
    }
}

/// How difficulty is measured.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DifficultyParams {
    /// The cells whose centroids distances are taken to.
    pub cells: CellsParams,
}

impl DifficultyParams {
    /// # Errors
    /// What [`CellsParams::validate`] finds.
    pub fn validate(&self, num_docs: usize) -> Result<()> {
        self.cells.validate(num_docs).map(|_| ())
    }
}

/// Queries with values of a measure near each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Tenth {
    /// From 0; the lowest values.
    pub place: usize,
    /// The lowest and the highest value.
    pub from: f64,
    pub to: f64,
    /// Those that lost most first.
    pub queries: Vec<u32>,
    pub recall: Mean,
    /// Exact neighbours that they lost.
    pub lost: usize,
}

/// How hard the queries of a session are, and what a contestant found for them.
#[derive(Debug, Clone)]
pub struct Difficulty {
    /// The session in words.
    pub title: String,
    /// The contestant with its setting.
    pub run: String,
    /// Neighbours of a query that recall is about, and that measures are of.
    pub k: usize,
    pub top_k: usize,
    pub space: Space,
    /// Where distances to centroids are taken, in words.
    pub centroids: String,
    /// One a query each, in the order of [`Measure::ALL`]; NaN where there is none.
    values: [Vec<f64>; 4],
    /// Of every query.
    pub recalls: Vec<f64>,
    /// Over all queries.
    pub recall: Mean,
    correlations: [Option<Correlation>; 4],
    tenths: [Vec<Tenth>; 4],
    pub hubs: Hubs,
    /// Queries with an exact neighbour at distance 0.
    pub copies: usize,
}

/// Measures the session's queries beside what `run`, one of its runs, found.
///
/// # Errors
/// What [`Cells::of`] finds; files that shrank; cancelled.
pub fn run(lab: &Lab, run: &Run, params: &DifficultyParams, monitor: &Monitor) -> Result<Difficulty> {
    let (arena, truth) = (&lab.arena, &lab.truth);
    params.validate(arena.num_docs)?;
    let cells = Cells::of(arena, &params.cells, monitor)?;
    let space = Space::of(arena);
    let crowd = Crowd::of(arena, space, monitor)?;
    let hubs = Hubs::of(truth, arena.num_docs);
    monitor.begin("measuring queries", "queries", arena.num_queries as u64);
    let measured = |query: usize| {
        let (row, docs) = (arena.queries.row(query), truth.ids_of(query));
        let mut distances: Vec<f64> =
            docs.iter().map(|&doc| space.distance(row, arena.docs.row(doc as usize))).collect();
        distances.sort_by(f64::total_cmp);
        let farthest = distances.last().copied().unwrap_or(f64::NAN);
        let contrast = if farthest > 0.0 { crowd.distance(row) / farthest } else { f64::NAN };
        let values = [intrinsic_dimension(&distances), contrast, hubs.mean_of(docs), cells.query_distances[query]];
        (values, distances.first() == Some(&0.0))
    };
    let queries: Vec<usize> = (0..arena.num_queries).collect();
    let parts: Vec<Vec<([f64; 4], bool)>> = queries
        .par_chunks(QUERIES_AT_ONCE)
        .map(|queries| {
            monitor.advance(queries.len() as u64)?;
            Ok(queries.iter().map(|&query| measured(query)).collect())
        })
        .collect::<Result<_>>()?;
    let measured = parts.concat();
    let values = std::array::from_fn(|measure| measured.iter().map(|(values, _)| values[measure]).collect());
    let k = run.judged.k;
    let beside = Beside { recalls: queries.iter().map(|&query| run.judged.recall_of(query, k)).collect(), k, values };
    monitor.begin("comparing with recall", "measures", Measure::ALL.len() as u64);
    let mut correlations = [None; 4];
    let mut tenths: [Vec<Tenth>; 4] = Default::default();
    for measure in Measure::ALL {
        let place = measure.place();
        correlations[place] = spearman(&beside.values[place], &beside.recalls);
        tenths[place] = beside.tenths(measure);
        monitor.advance(1)?;
    }
    let Beside { recalls, values, .. } = beside;
    Ok(Difficulty {
        title: report::title(arena),
        run: run.info.title(),
        k,
        top_k: truth.top_k,
        space,
        centroids: format!("{} of {} cells", cells.distance_name(), count(cells.count())),
        values,
        recall: mean(&recalls),
        recalls,
        correlations,
        tenths,
        hubs,
        copies: measured.iter().filter(|(_, is_copy)| *is_copy).count(),
    })
}

/// Measures beside recall.
struct Beside {
    recalls: Vec<f64>,
    k: usize,
    values: [Vec<f64>; 4],
}

impl Beside {
    /// Queries in ten groups of like size by a measure, those without a value in none; equal values stay together, so
    /// there can be fewer groups.
    fn tenths(&self, measure: Measure) -> Vec<Tenth> {
        let values = &self.values[measure.place()];
        let mut order: Vec<u32> = (0..values.len() as u32).filter(|&query| !values[query as usize].is_nan()).collect();
        let value = |query: u32| values[query as usize];
        order.sort_by(|&one, &other| value(one).total_cmp(&value(other)).then(one.cmp(&other)));
        let mut groups: Vec<(usize, Vec<u32>)> = Vec::new();
        let mut first_of_equals = 0;
        for (rank, &query) in order.iter().enumerate() {
            if value(query) != value(order[first_of_equals]) {
                first_of_equals = rank;
            }
            let place = first_of_equals * TENTHS / order.len();
            match groups.last_mut() {
                Some((known, queries)) if *known == place => queries.push(query),
                _ => groups.push((place, vec![query])),
            }
        }
        groups.into_iter().map(|(place, queries)| self.tenth(place, queries, &value)).collect()
    }

    /// `queries`: ascending by value, one at least.
    fn tenth(&self, place: usize, mut queries: Vec<u32>, value: &dyn Fn(u32) -> f64) -> Tenth {
        let (from, to) = (value(queries[0]), value(queries[queries.len() - 1]));
        let recalls: Vec<f64> = queries.iter().map(|&query| self.recalls[query as usize]).collect();
        let lost = recalls.iter().map(|&recall| lost_of(recall, self.k)).sum();
        let recall = mean(&recalls);
        sort_by_loss(&mut queries, &self.recalls);
        Tenth { place, from, to, queries, recall, lost }
    }
}

/// Exact neighbours lost at a recall.
fn lost_of(recall: f64, k: usize) -> usize {
    k - (recall * k as f64).round() as usize
}

/// Those that lost most first, then by number.
fn sort_by_loss(queries: &mut [u32], recalls: &[f64]) {
    let recall = |query: u32| recalls[query as usize];
    queries.sort_by(|&one, &other| recall(one).total_cmp(&recall(other)).then(one.cmp(&other)));
}

impl Difficulty {
    /// One a query; NaN where there is none.
    pub fn values(&self, measure: Measure) -> &[f64] {
        &self.values[measure.place()]
    }

    /// Of a measure with recall; `None` where one of them is the same for all queries.
    pub fn correlation(&self, measure: Measure) -> Option<Correlation> {
        self.correlations[measure.place()]
    }

    /// Groups of queries by a measure, ascending.
    pub fn tenths(&self, measure: Measure) -> &[Tenth] {
        &self.tenths[measure.place()]
    }

    /// Exact neighbours that a query lost.
    pub fn lost_of(&self, query: u32) -> usize {
        lost_of(self.recalls[query as usize], self.k)
    }

    /// The queries with values from `from` to `to`, both ends among them; those that lost most first.
    pub fn within(&self, measure: Measure, from: f64, to: f64) -> Vec<u32> {
        let values = self.values(measure).iter().zip(0u32..);
        let mut queries: Vec<u32> =
            values.filter(|(value, _)| (from..=to).contains(*value)).map(|(_, query)| query).collect();
        sort_by_loss(&mut queries, &self.recalls);
        queries
    }

    /// The queries with values from `from` to `to`, with their scores beside those of all. `run`, of `lab`: the one
    /// that was looked at.
    ///
    /// # Errors
    /// No query has such a value; says which there are.
    pub fn group(&self, lab: &Lab, run: &Run, measure: Measure, from: f64, to: f64) -> Result<Group> {
        let queries = self.within(measure, from, to);
        let known = || self.values(measure).iter().copied().filter(|value| !value.is_nan());
        let (low, high) = (known().fold(f64::INFINITY, f64::min), known().fold(f64::NEG_INFINITY, f64::max));
        if queries.is_empty() {
            let expected = match low <= high {
                true => {
                    format!("a range of the {} that holds queries; theirs go from {low} to {high}", measure.words())
                }
                false => format!("another measure: no query has a {}", measure.words()),
            };
            return Err(Error::Parameter { name: "range", expected, found: format!("{from} to {to}") });
        }
        let recalls: Vec<f64> = queries.iter().map(|&query| self.recalls[query as usize]).collect();
        let lost = queries.iter().map(|&query| self.lost_of(query)).sum();
        let scores = Scores::of_queries(lab, run, &queries)?;
        // An open end is where the values end.
        let (from, to) = (from.max(low), to.min(high));
        Ok(Group { measure, from, to, recall: mean(&recalls), lost, queries, scores })
    }
}

/// Queries that were chosen by a range of a measure.
#[derive(Debug, Clone)]
pub struct Group {
    pub measure: Measure,
    pub from: f64,
    pub to: f64,
    /// Those that lost most first.
    pub queries: Vec<u32>,
    pub recall: Mean,
    /// Exact neighbours that they lost.
    pub lost: usize,
    /// Theirs, beside those of all queries.
    pub scores: Scores,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenths_keep_equals_together() {
        let values: Vec<f64> = (0..100).map(|query| if query < 35 { 1.0 } else { f64::from(query) }).collect();
        let recalls: Vec<f64> = (0..100).map(|query| f64::from(query % 5) / 4.0).collect();
        let beside = Beside { recalls, k: 4, values: [values, vec![f64::NAN; 100], vec![2.0; 100], Vec::new()] };
        let tenths = beside.tenths(Measure::Lid);
        let sizes: Vec<(usize, usize)> = tenths.iter().map(|tenth| (tenth.place, tenth.queries.len())).collect();
        assert_eq!(sizes, [(0, 35), (3, 5), (4, 10), (5, 10), (6, 10), (7, 10), (8, 10), (9, 10)]);
        assert_eq!((tenths[1].from, tenths[1].to, tenths[7].from, tenths[7].to), (35.0, 39.0, 90.0, 99.0));
        // Recalls 0, ¼, ½, ¾, 1 in turn: four, three, two, one and none of four are lost.
        assert_eq!((tenths[1].recall.mean, tenths[1].lost), (0.5, 10));
        assert_eq!(tenths[1].queries, [35, 36, 37, 38, 39]);
        assert_eq!(tenths[2].queries[..4], [40, 45, 41, 46]);
        assert!(beside.tenths(Measure::Contrast).is_empty());
        assert_eq!(beside.tenths(Measure::Hubness).len(), 1);
    }

    #[test]
    fn measures_are_known_by_name() {
        for measure in Measure::ALL {
            assert_eq!(measure.name().parse::<Measure>().ok(), Some(measure));
        }
        assert_eq!(Measure::ALL.map(Measure::place), [0, 1, 2, 3]);
        let error = "size".parse::<Measure>().expect_err("unknown").to_string();
        assert_eq!(error, "measure: expected lid, contrast, hubness, centroid, found size");
    }
}
