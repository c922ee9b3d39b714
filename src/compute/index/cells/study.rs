//! What a contestant loses cell by cell.

use super::{Cells, CellsParams};
use crate::compute::error::Result;
use crate::compute::index::judge::{Mean, mean};
use crate::compute::index::ranks::{Correlation, spearman};
use crate::compute::index::report;
use crate::compute::index::session::{Lab, Run};
use crate::compute::index::words::Words;
use crate::job::Monitor;

/// Texts of a cell.
const TEXTS: usize = 3;

/// A cell with what is lost in it.
#[derive(Debug, Clone, PartialEq)]
pub struct CellRow {
    pub cell: usize,
    pub docs: usize,
    /// Mean and largest distance of its docs to the centroid; `None` without docs.
    pub spread: Option<(f64, f64)>,
    /// Queries whose nearest centroid is this one.
    pub queries: usize,
    /// The share of its queries' exact neighbours that lie in it; `None` without queries.
    pub neighbours_inside: Option<f64>,
    /// Recall of its queries; `None` without queries or contestant.
    pub recall: Option<Mean>,
    /// How much farther found scores of its queries are than the exact ones of their rank, in score units, in the mean.
    pub gap: Option<f64>,
    /// Exact neighbours that its queries lost.
    pub lost: Option<usize>,
    /// Of all lost exact neighbours, those that lie in it.
    pub lost_docs: Option<usize>,
    /// Its most central docs in words.
    pub texts: Vec<String>,
}

/// Cells of a session with what a contestant loses in them.
#[derive(Debug, Clone)]
pub struct CellStudy {
    /// The session in words.
    pub title: String,
    /// The contestant with its setting.
    pub run: Option<String>,
    /// Neighbours of a query that recall is about.
    pub k: usize,
    pub cells: Cells,
    /// A cell each; those whose queries lost most come first, without a contestant the largest.
    pub rows: Vec<CellRow>,
    /// The place of each cell in `rows`.
    pub row_of_cell: Vec<usize>,
    /// The share of all exact neighbours that lie in the cell of their query.
    pub neighbours_inside: f64,
    /// Over all queries.
    pub recall: Option<Mean>,
    /// Recall of every query.
    pub recalls: Option<Vec<f64>>,
    /// Of recall with the distance of the query's centroid to its docs in the mean, over queries.
    pub with_spread: Option<Correlation>,
    /// Of recall with the docs of the query's cell, over queries.
    pub with_size: Option<Correlation>,
}

/// Trains cells, and looks at what `run`, one of the session's runs, loses in them.
///
/// # Errors
/// What [`Cells::of`] finds; cancelled.
pub fn run(lab: &Lab, run: Option<&Run>, params: &CellsParams, monitor: &Monitor) -> Result<CellStudy> {
    let cells = Cells::of(&lab.arena, params, monitor)?;
    let mut words = Words::beside(lab.arena.docs.path(), monitor)?;
    let k = run.map_or(lab.truth.top_k, |run| run.judged.k);
    let queries = lab.arena.num_queries;
    monitor.begin("looking into cells", "cells", cells.count() as u64);
    let recalls: Option<Vec<f64>> = run.map(|run| (0..queries).map(|query| run.judged.recall_of(query, k)).collect());
    let mut lost_docs = vec![0usize; cells.count()];
    if let Some(run) = run {
        for query in 0..queries {
            for (_, doc) in run.judged.lost_of(&lab.truth, query) {
                lost_docs[cells.cell_of_doc[doc as usize] as usize] += 1;
            }
        }
    }
    let lost_of = |recall: f64| k - (recall * k as f64).round() as usize;
    let inside_of = |query: usize| {
        let cell = cells.cell_of_query[query];
        lab.truth.ids_of(query)[..k].iter().filter(|doc| cells.cell_of_doc[**doc as usize] == cell).count()
    };
    let mut rows = Vec::with_capacity(cells.count());
    for (cell, &lost_docs) in lost_docs.iter().enumerate() {
        monitor.advance(1)?;
        let own = cells.queries(cell);
        let each = || own.iter().map(|&query| query as usize);
        let some = !own.is_empty();
        let recalled = recalls.as_ref().map(|recalls| each().map(|query| recalls[query]).collect::<Vec<f64>>());
        let gaps = run.filter(|_| some).map(|run| run.judged.gaps_of(&lab.truth, each()));
        rows.push(CellRow {
            cell,
            docs: cells.docs(cell).len(),
            spread: cells.spread(cell),
            queries: own.len(),
            neighbours_inside: some.then(|| each().map(inside_of).sum::<usize>() as f64 / (own.len() * k) as f64),
            recall: recalled.as_deref().filter(|_| some).map(mean),
            gap: gaps.filter(|gaps| gaps.by_rank.iter().any(Option::is_some)).map(|gaps| gaps.mean),
            lost: recalled.map(|recalled| recalled.into_iter().map(lost_of).sum()),
            lost_docs: run.map(|_| lost_docs),
            texts: cells.docs(cell).iter().take(TEXTS).map(|&doc| words.of(doc)).collect(),
        });
    }
    let of_query = |value: &dyn Fn(&CellRow) -> f64| -> Vec<f64> {
        cells.cell_of_query.iter().map(|&cell| value(&rows[cell as usize])).collect()
    };
    let with = |value: &dyn Fn(&CellRow) -> f64| spearman(&of_query(value), recalls.as_ref()?);
    let with_spread = with(&|row| row.spread.map_or(f64::NAN, |(mean, _)| mean));
    let with_size = with(&|row| row.docs as f64);
    monitor.check()?;
    rows.sort_by_key(|row| std::cmp::Reverse((row.lost, row.docs)));
    let mut row_of_cell = vec![0; rows.len()];
    rows.iter().enumerate().for_each(|(place, row)| row_of_cell[row.cell] = place);
    let inside = (0..queries).map(inside_of).sum::<usize>() as f64 / (queries * k) as f64;
    Ok(CellStudy {
        title: report::title(&lab.arena),
        run: run.map(|run| run.info.title()),
        k,
        rows,
        row_of_cell,
        neighbours_inside: inside,
        recall: recalls.as_deref().map(mean),
        recalls,
        with_spread,
        with_size,
        cells,
    })
}

impl CellStudy {
    pub fn row(&self, cell: usize) -> &CellRow {
        &self.rows[self.row_of_cell[cell]]
    }

    /// The queries of a cell, those that lost most first; without a contestant the nearest to the centroid first.
    pub fn queries(&self, cell: usize) -> Vec<u32> {
        let mut queries = self.cells.queries(cell).to_vec();
        let recall = |query: u32| self.recalls.as_ref().map_or(0.0, |recalls| recalls[query as usize]);
        let distance = |query: u32| self.cells.query_distances[query as usize];
        queries.sort_by(|&one, &other| {
            recall(one).total_cmp(&recall(other)).then(distance(one).total_cmp(&distance(other)))
        });
        queries
    }

    /// Exact neighbours that a query lost.
    pub fn lost_of(&self, query: u32) -> Option<usize> {
        let recall = self.recalls.as_ref()?[query as usize];
        Some(self.k - (recall * self.k as f64).round() as usize)
    }
}
