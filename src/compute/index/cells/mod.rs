//! Cells of docs: those of an IVF index, trained by k-means of our own over the docs of a session (`train`), and what a
//! contestant loses cell by cell (`study`).

mod study;
mod train;

use rayon::prelude::*;

pub use study::{CellRow, CellStudy, run};

use super::truth::Arena;
use crate::compute::error::{Error, Result};
use crate::compute::figures::count;
use crate::compute::kernels::{self, Level};
use crate::compute::metric::Metric;
use crate::compute::vectors::VectorFile;
use crate::job::Monitor;
use train::{Rows, assign, grouped, is_spherical, train};

/// What cells are wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct CellsParams {
    /// How many; `None` for the usual number, see [`CellsParams::validate`].
    pub cells: Option<usize>,
    /// Iterations of k-means, at most.
    pub iterations: usize,
    /// Of the docs that are trained on, and that cells begin with.
    pub seed: u64,
}

impl Default for CellsParams {
    fn default() -> Self {
        Self { cells: None, iterations: Self::ITERATIONS, seed: Self::SEED }
    }
}

impl CellsParams {
    pub const ITERATIONS: usize = 20;
    pub const SEED: u64 = 42;
    const MOST_CELLS: usize = 1 << 20;
    const MOST_ITERATIONS: usize = 1000;
    /// Topic clusters unless there are too few docs for them.
    const USUAL_CELLS: usize = 1000;
    /// Docs that a cell should have, at least: FAISS's `min_points_per_centroid`.
    const FEWEST_DOCS: usize = 39;

    /// How many cells there will be: 1,000, but at most one for 39 docs, unless told.
    ///
    /// # Errors
    /// No cells, more cells than docs; no iterations, or more than 1,000.
    pub fn validate(&self, num_docs: usize) -> Result<usize> {
        if !(1..=Self::MOST_ITERATIONS).contains(&self.iterations) {
            let expected = format!("a whole number from 1 to {}", count(Self::MOST_ITERATIONS));
            return Err(Error::Parameter { name: "iterations", expected, found: count(self.iterations) });
        }
        let most = num_docs.min(Self::MOST_CELLS);
        let usual = Self::USUAL_CELLS.min(num_docs / Self::FEWEST_DOCS).max(1);
        match self.cells.unwrap_or(usual) {
            cells if (1..=most).contains(&cells) => Ok(cells),
            cells => {
                let expected = format!("a whole number from 1 to {} for {} docs", count(most), count(num_docs));
                Err(Error::Parameter { name: "cells", expected, found: count(cells) })
            }
        }
    }
}

/// The docs and queries of a session in cells.
#[derive(Debug, Clone, PartialEq)]
pub struct Cells {
    pub metric: Metric,
    pub dim: usize,
    /// Row-major, cell_count × dim; of length 1 under dot and cosine.
    pub centroids: Vec<f32>,
    /// The cell of every doc, and of every query: that of the nearest centroid.
    pub cell_of_doc: Vec<u32>,
    pub cell_of_query: Vec<u32>,
    /// Their distances to its centroid; see [`Cells::distance_name`].
    pub doc_distances: Vec<f64>,
    pub query_distances: Vec<f64>,
    /// Docs by cell, from central to far; queries by cell.
    docs: (Vec<usize>, Vec<u32>),
    queries: (Vec<usize>, Vec<u32>),
    /// Of the training.
    pub trained_on: usize,
    pub iterations: usize,
    pub has_settled: bool,
}

impl Cells {
    /// Trains cells on the docs, and puts docs and queries into them.
    ///
    /// # Errors
    /// What [`CellsParams::validate`] finds; files that shrank; scores beyond float32; cancelled.
    pub fn of(arena: &Arena, params: &CellsParams, monitor: &Monitor) -> Result<Self> {
        let cells = params.validate(arena.num_docs)?;
        let (metric, dim) = (arena.metric, arena.dim());
        let trained = train(arena.indexed(), cells, params.iterations, params.seed, monitor)?;
        let rows = (arena.num_docs + arena.num_queries) as u64;
        monitor.begin("filling cells", "row × cell pairs", rows.saturating_mul(cells as u64));
        let filled = |file: &VectorFile, rows: usize| -> Result<(Vec<u32>, Vec<f64>)> {
            let cell_of = assign(file, Rows::First(rows), &trained.centroids, metric, monitor)?;
            let measured = |(row, &cell): (usize, &u32)| {
                let cell = cell as usize * dim;
                distance(metric, file.row(row), &trained.centroids[cell..cell + dim])
            };
            let distances = cell_of.par_iter().enumerate().map(measured).collect();
            monitor.check()?;
            Ok((cell_of, distances))
        };
        let (cell_of_doc, doc_distances) = filled(&arena.docs, arena.num_docs)?;
        let (cell_of_query, query_distances) = filled(&arena.queries, arena.num_queries)?;
        let mut docs = grouped(&cell_of_doc, cells);
        for ends in docs.0.windows(2) {
            let distance = |doc: &u32| doc_distances[*doc as usize];
            docs.1[ends[0]..ends[1]]
                .sort_by(|one, other| distance(one).total_cmp(&distance(other)).then(one.cmp(other)));
        }
        let queries = grouped(&cell_of_query, cells);
        Ok(Self {
            metric,
            dim,
            centroids: trained.centroids,
            cell_of_doc,
            cell_of_query,
            doc_distances,
            query_distances,
            docs,
            queries,
            trained_on: trained.docs,
            iterations: trained.iterations,
            has_settled: trained.has_settled,
        })
    }

    pub fn count(&self) -> usize {
        self.docs.0.len() - 1
    }

    /// The docs of a cell, from central to far.
    pub fn docs(&self, cell: usize) -> &[u32] {
        &self.docs.1[self.docs.0[cell]..self.docs.0[cell + 1]]
    }

    /// The queries whose nearest centroid is that of a cell, ascending.
    pub fn queries(&self, cell: usize) -> &[u32] {
        &self.queries.1[self.queries.0[cell]..self.queries.0[cell + 1]]
    }

    /// Mean and largest distance of a cell's docs to its centroid; `None` without docs.
    pub fn spread(&self, cell: usize) -> Option<(f64, f64)> {
        let docs = self.docs(cell);
        let farthest = self.doc_distances[*docs.last()? as usize];
        let sum: f64 = docs.iter().map(|&doc| self.doc_distances[doc as usize]).sum();
        Some((sum / docs.len() as f64, farthest))
    }

    /// What distances to centroids are.
    pub fn distance_name(&self) -> &'static str {
        match is_spherical(self.metric) {
            true => "euclidean distance of directions to the centroid's",
            false => "euclidean distance to the centroid",
        }
    }
}

/// How far a row is from a centroid: euclidean; between directions (vectors scaled to length 1) under dot and cosine, 0 to
/// 2, where a row without direction is √2 from all.
fn distance(metric: Metric, row: &[f32], centroid: &[f32]) -> f64 {
    let level = Level::detected();
    if !is_spherical(metric) {
        return kernels::squared_distance_f64(level, row, centroid).sqrt();
    }
    let norm = |values: &[f32]| kernels::dot_f64(level, values, values).sqrt();
    let (row_norm, centroid_norm) = (norm(row), norm(centroid));
    if row_norm == 0.0 || centroid_norm == 0.0 {
        return std::f64::consts::SQRT_2;
    }
    kernels::scaled_squared_distance_f64(level, row, 1.0 / row_norm, centroid, 1.0 / centroid_norm).sqrt()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::compute::index::truth::Question;
    use crate::compute::random::Random;

    /// An arena over given vectors, in a folder.
    pub fn arena_of(
        docs: &[f32],
        queries: &[f32],
        dim: usize,
        top_k: usize,
        metric: Metric,
    ) -> (tempfile::TempDir, Arena) {
        let folder = tempfile::tempdir().expect("temporary folder");
        let write = |name: &str, values: &[f32]| {
            let path = folder.path().join(name);
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            std::fs::write(&path, bytes).expect("written");
            path
        };
        let question = Question {
            docs: write("docs.vec", docs),
            queries: write("queries.vec", queries),
            dim,
            num_docs: None,
            num_queries: None,
            top_k,
            metric,
            memory_budget: 100_000_000,
        };
        let arena = Arena::open(&question).expect("opened");
        (folder, arena)
    }

    /// −1 to 1.
    pub fn uniform(random: &mut Random) -> f32 {
        random.below(2_000_001) as f32 / 1e6 - 1.0
    }

    /// Docs around planted centres, doc i around centre i % 8, and a query at every centre.
    fn planted(dim: usize, docs: usize) -> (Vec<f32>, Vec<f32>) {
        let mut random = Random::new(4);
        let centres: Vec<f32> = (0..8 * dim).map(|_| uniform(&mut random)).collect();
        let doc = |doc: usize| -> Vec<f32> {
            let centre = &centres[doc % 8 * dim..(doc % 8 + 1) * dim];
            centre.iter().map(|value| value + uniform(&mut random) * 0.02).collect()
        };
        ((0..docs).flat_map(doc).collect(), centres)
    }

    const CELLS: usize = 64;

    #[test]
    fn planted_clusters_come_out_on_any_number_of_threads() {
        let dim = 24;
        let (docs, queries) = planted(dim, 800);
        for metric in Metric::ALL {
            let (_folder, arena) = arena_of(&docs, &queries, dim, 1, metric);
            // Many more cells than clusters, so that every cluster has one of its own however the first centroids fall.
            let params = CellsParams { cells: Some(CELLS), ..CellsParams::default() };
            let on = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
                pool.install(|| Cells::of(&arena, &params, &Monitor::new()).expect("trained"))
            };
            let cells = on(1);
            assert_eq!(cells, on(2), "{metric}");
            assert_eq!(cells.count(), CELLS);
            for cell in 0..CELLS {
                let docs = cells.docs(cell);
                let clusters: Vec<u32> = docs.iter().map(|doc| doc % 8).collect();
                assert!(clusters.iter().all(|cluster| *cluster == clusters[0]), "{metric}: {clusters:?}");
                assert!(docs.is_sorted_by_key(|&doc| cells.doc_distances[doc as usize]));
                if let Some((mean, farthest)) = cells.spread(cell) {
                    assert!(mean <= farthest && farthest < 0.2, "{metric}: {farthest}");
                }
            }
            // A query at a centre is in a cell of its cluster.
            for (query, &cell) in cells.cell_of_query.iter().enumerate() {
                assert_eq!(cells.docs(cell as usize)[0] as usize % 8, query, "{metric}");
                assert!(cells.queries(cell as usize).contains(&(query as u32)));
            }
            let held: usize = (0..CELLS).map(|cell| cells.docs(cell).len()).sum();
            assert_eq!(held, 800);
        }
    }

    /// Every doc is in the cell whose centroid a plain loop finds nearest, and a centroid is the mean of its docs.
    #[test]
    fn cells_are_those_of_plain_loops() {
        let (dim, count) = (5, 300);
        let mut random = Random::new(8);
        let docs: Vec<f32> = (0..count * dim).map(|_| uniform(&mut random)).collect();
        let (_folder, arena) = arena_of(&docs, &docs[..10 * dim], dim, 1, Metric::Euclidean);
        let params = CellsParams { cells: Some(6), iterations: 200, seed: 1 };
        let cells = Cells::of(&arena, &params, &Monitor::new()).expect("trained");
        assert!(cells.has_settled && cells.iterations < 200 && cells.trained_on == count);
        let row = |doc: usize| &docs[doc * dim..(doc + 1) * dim];
        let distance = |doc: usize, cell: usize| {
            let centroid = &cells.centroids[cell * dim..(cell + 1) * dim];
            row(doc).iter().zip(centroid).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>().sqrt()
        };
        for doc in 0..count {
            let nearest = (0..6).min_by(|&a, &b| distance(doc, a).total_cmp(&distance(doc, b))).expect("six");
            assert_eq!(cells.cell_of_doc[doc] as usize, nearest);
            assert!((cells.doc_distances[doc] - distance(doc, nearest)).abs() < 1e-12);
        }
        for cell in 0..6 {
            let members = cells.docs(cell);
            for place in 0..dim {
                let mean: f64 = members.iter().map(|&doc| f64::from(row(doc as usize)[place])).sum::<f64>();
                let mean = mean / members.len() as f64;
                assert!((mean - f64::from(cells.centroids[cell * dim + place])).abs() < 1e-6);
            }
        }
        assert_eq!(cells.cell_of_query, cells.cell_of_doc[..10]);
    }

    #[test]
    fn samples_copies_and_wrong_numbers() {
        // More docs than are trained on; three distinct docs only, so most of the cells stay empty.
        let docs: Vec<f32> = (0..3000).map(|doc| (doc % 3) as f32).collect();
        let (_folder, arena) = arena_of(&docs, &[0.0, 2.0], 1, 1, Metric::Euclidean);
        let of = |cells: usize| {
            Cells::of(&arena, &CellsParams { cells: Some(cells), ..CellsParams::default() }, &Monitor::new())
        };
        let cells = of(5).expect("trained");
        assert_eq!(cells.trained_on, 5 * 256);
        assert_ne!(cells.cell_of_query[0], cells.cell_of_query[1]);
        assert_eq!((0..5).map(|cell| cells.docs(cell).len()).sum::<usize>(), 3000);
        let usual = CellsParams::default();
        assert_eq!(
            [1, 39, 78, 38_999, 39_000, 50_000].map(|docs| usual.validate(docs).expect("fits")),
            [1, 1, 2, 999, 1000, 1000]
        );
        let error = of(3001).expect_err("more cells than docs").to_string();
        assert!(error.contains("cells: expected a whole number from 1 to 3,000 for 3,000 docs"), "{error}");
        assert!(of(0).is_err());
        let monitor = Monitor::new();
        monitor.cancel();
        assert!(matches!(Cells::of(&arena, &usual, &monitor), Err(Error::Cancelled)));
    }
}
