//! The exact k nearest others of samples.
//!
//! The search runs over float32 rows with the engines of [`crate::compute::exact`]; distances are then measured
//! in float64 on the values as they are stored. Where these are finer than float32 (float64 files), every row
//! moved by at most its radius when it was rounded, so all others are at least
//! d(last one found) − radius − largest radius away; a row for which that proves nothing is searched one by one.
//! Under cosine products are rounded, which near 1 is much of 1 − cos: there the same proof is asked of all rows.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;

use rayon::prelude::*;

use super::{Distance, Neighbours};
use crate::compute::error::{Error, Result};
use crate::compute::exact::{Choice, Demand, Engine, Kernel, ManhattanEngine, sample_queries};
use crate::compute::kernels::int8::Dot;
use crate::compute::kernels::{self, Level};
use crate::compute::metric::Metric;
use crate::compute::vectors::Embeddings;
use crate::job::Monitor;

/// Others found beyond the k nearest where the order in which they are found is not that of the distances to
/// the last digit: rows that float32 only approximates, and cosine, which is found by products that are rounded.
const SPARE: usize = 8;
/// Rows that are searched for at once at most, so that what is found can be written down often.
const MOST_PASS: usize = 1 << 15;

/// Whose neighbours are wanted.
#[derive(Debug, Clone)]
pub enum Wanted<'a> {
    Range(Range<usize>),
    Rows(&'a [u32]),
}

impl Wanted<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Range(range) => range.len(),
            Self::Rows(rows) => rows.len(),
        }
    }

    fn row(&self, place: usize) -> usize {
        match self {
            Self::Range(range) => range.start + place,
            Self::Rows(rows) => rows[place] as usize,
        }
    }
}

/// Finds neighbours among the rows of a file.
pub struct Searcher<'a> {
    embeddings: &'a Embeddings,
    distance: Distance,
    budget: u64,
    level: Level,
    /// 1 / ‖row‖ for cosine; empty otherwise.
    scales: Vec<f64>,
    /// How far each row moved when it was rounded to float32; empty if none did.
    radii: Vec<f64>,
    largest_radius: f64,
}

enum AnyEngine<'a> {
    Products(Box<Engine<'a>>, usize),
    Manhattan(ManhattanEngine<'a>),
}

impl<'a> Searcher<'a> {
    /// Looks at every value once.
    ///
    /// # Errors
    /// A value that is not finite; under cosine a row of zeros; more than 2³² − 1 rows; cancelled.
    pub fn new(embeddings: &'a Embeddings, distance: Distance, budget: u64, monitor: &Monitor) -> Result<Self> {
        let rows = embeddings.rows();
        if u32::try_from(rows).is_err() {
            return Err(Error::Parameter {
                name: "embeddings",
                expected: "at most 4,294,967,295 rows".to_owned(),
                found: rows.to_string(),
            });
        }
        monitor.begin("checking embeddings", "rows", rows as u64);
        embeddings.check(distance == Distance::Cosine, monitor)?;
        let level = Level::detected();
        let mut searcher =
            Self { embeddings, distance, budget, level, scales: Vec::new(), radii: Vec::new(), largest_radius: 0.0 };
        let buffer = || vec![0.0f64; embeddings.dim()];
        if distance == Distance::Cosine {
            searcher.scales =
                (0..rows).into_par_iter().map_init(buffer, |buffer, row| 1.0 / searcher.norm(row, buffer)).collect();
        }
        if !embeddings.is_float32() {
            searcher.radii =
                (0..rows).into_par_iter().map_init(buffer, |buffer, row| searcher.radius(row, buffer)).collect();
            searcher.largest_radius = searcher.radii.iter().copied().fold(0.0, f64::max);
        }
        monitor.check()?;
        Ok(searcher)
    }

    pub fn embeddings(&self) -> &Embeddings {
        self.embeddings
    }

    pub fn distance(&self) -> Distance {
        self.distance
    }

    pub fn budget(&self) -> u64 {
        self.budget
    }

    fn norm(&self, row: usize, buffer: &mut [f64]) -> f64 {
        if self.embeddings.is_float32() {
            let row = self.embeddings.vectors.row(row);
            return kernels::dot_f64(self.level, row, row).sqrt();
        }
        self.embeddings.read_row(row, buffer);
        sum(buffer.iter().map(|value| value * value)).sqrt()
    }

    /// How far the row moved when it was rounded, as a distance of [`Self::as_metric`]; rounded up.
    fn radius(&self, row: usize, buffer: &mut [f64]) -> f64 {
        self.embeddings.read_row(row, buffer);
        let moved = || buffer.iter().zip(self.embeddings.vectors.row(row)).map(|(a, &b)| (a - f64::from(b)).abs());
        let radius = match self.distance {
            Distance::Manhattan => sum(moved()),
            Distance::Euclidean => sum(moved().map(|moved| moved * moved)).sqrt(),
            // ‖x/‖x‖ − y/‖y‖‖ ≤ 2 ‖x − y‖ / ‖x‖; twice, since float32 rows are divided by norms of float64 ones.
            Distance::Cosine => 4.0 * sum(moved().map(|moved| moved * moved)).sqrt() * self.scales[row],
        };
        radius * (1.0 + 1e-9)
    }

    /// A distance as one that obeys the triangle inequality: cosine as the chord.
    fn as_metric(&self, distance: f64) -> f64 {
        match self.distance {
            Distance::Cosine => (2.0 * distance).sqrt(),
            Distance::Euclidean | Distance::Manhattan => distance,
        }
    }

    /// The distance of two rows as float32.
    fn distance32(&self, left: usize, right: usize) -> f64 {
        let (a, b) = (self.embeddings.vectors.row(left), self.embeddings.vectors.row(right));
        match self.distance {
            Distance::Euclidean => kernels::squared_distance_f64(self.level, a, b).sqrt(),
            Distance::Manhattan => kernels::absolute_distance_f64(self.level, a, b),
            Distance::Cosine => {
                kernels::scaled_squared_distance_f64(self.level, a, self.scales[left], b, self.scales[right]) / 2.0
            }
        }
    }

    /// The distance of `values`, row `left` as it is stored, to row `right`.
    fn distance64(&self, left: usize, values: &[f64], right: usize, buffer: &mut [f64]) -> f64 {
        self.embeddings.read_row(right, buffer);
        let pairs = values.iter().zip(buffer.iter());
        match self.distance {
            Distance::Euclidean => sum(pairs.map(|(a, b)| (a - b) * (a - b))).sqrt(),
            Distance::Manhattan => sum(pairs.map(|(a, b)| (a - b).abs())),
            Distance::Cosine => {
                let (left, right) = (self.scales[left], self.scales[right]);
                let squares = pairs.map(|(a, b)| (a * left - b * right) * (a * left - b * right));
                sum(squares) / 2.0
            }
        }
    }

    /// The `k` nearest others of the wanted rows, pass by pass in their order; `take` gets each pass.
    ///
    /// `1 ≤ k < rows`. `monitor` tells progress by pairs, as `stage`.
    ///
    /// # Errors
    /// Cancelled; a file that shrank; a memory budget that is too small; what `take` returns.
    pub fn search(
        &self,
        k: usize,
        wanted: &Wanted<'_>,
        stage: &str,
        monitor: &Monitor,
        mut take: impl FnMut(Neighbours) -> Result<()>,
    ) -> Result<()> {
        let rows = self.embeddings.rows();
        assert!((1..rows).contains(&k), "k others among the rows");
        if wanted.len() == 0 {
            return Ok(());
        }
        let spare = if self.finds_in_order() { 0 } else { SPARE };
        let found = (k + 1 + spare).min(rows);
        let engine = self.engine(found, wanted, monitor)?;
        let pass = match &engine {
            AnyEngine::Products(_, pass) => *pass,
            AnyEngine::Manhattan(engine) => engine.pass_queries(),
        };
        let pairs = |queries: usize| queries as u64 * rows as u64;
        monitor.begin(stage, "pairs", pairs(wanted.len()));
        for first in (0..wanted.len()).step_by(pass) {
            let places = first..(first + pass).min(wanted.len());
            self.embeddings.check_size()?;
            let queries = self.queries(wanted, places.clone());
            let docs = match &engine {
                AnyEngine::Products(engine, _) => {
                    engine.top_k(&queries, |place| wanted.row(first + place), monitor)?.docs
                }
                AnyEngine::Manhattan(engine) => engine.top_k(&queries, monitor)?,
            };
            take(self.measured(k, wanted, places, &docs, found, monitor)?)?;
        }
        Ok(())
    }

    fn engine(&self, found: usize, wanted: &Wanted<'_>, monitor: &Monitor) -> Result<AnyEngine<'_>> {
        let vectors = &self.embeddings.vectors;
        let metric = match self.distance {
            Distance::Manhattan => {
                let engine = ManhattanEngine::new(vectors, vectors.rows(), found, self.budget, self.level, monitor)?;
                return Ok(AnyEngine::Manhattan(engine));
            }
            Distance::Euclidean => Metric::Euclidean,
            Distance::Cosine => Metric::Cosine,
        };
        let threads = rayon::current_num_threads();
        let demand =
            Demand { dim: vectors.dim(), num_docs: vectors.rows(), top_k: found, queries: wanted.len(), threads };
        let (_, size) = Choice::make(Kernel::Auto, &demand, Dot::within(self.level)).fit(self.budget, &demand)?;
        vectors.check_size()?;
        let sampled = sample_queries(wanted.len()).flat_map(|place| vectors.row(wanted.row(place)));
        let sample: Vec<f32> = sampled.copied().collect();
        let engine = Engine::new(vectors, vectors.rows(), metric, found, size, self.level, &sample, monitor)?;
        let pass = engine.size().pass_queries.min(MOST_PASS);
        Ok(AnyEngine::Products(Box::new(engine), pass))
    }

    fn queries(&self, wanted: &Wanted<'_>, places: Range<usize>) -> Cow<'_, [f32]> {
        let vectors = &self.embeddings.vectors;
        match wanted {
            Wanted::Range(range) => {
                Cow::Borrowed(vectors.rows_in(range.start + places.start..range.start + places.end))
            }
            Wanted::Rows(rows) => {
                Cow::Owned(rows[places].iter().flat_map(|&row| vectors.row(row as usize)).copied().collect())
            }
        }
    }

    /// The `k` nearest others among the `found` rows of each place, measured on the values as they are stored.
    fn measured(
        &self,
        k: usize,
        wanted: &Wanted<'_>,
        places: Range<usize>,
        docs: &[u32],
        found: usize,
        monitor: &Monitor,
    ) -> Result<Neighbours> {
        let first = places.start;
        let dim = self.embeddings.dim();
        let mut result = Neighbours { k, rows: vec![0; places.len() * k], distances: vec![0.0; places.len() * k] };
        let slots = result.rows.par_chunks_mut(k).zip(result.distances.par_chunks_mut(k));
        slots.zip(docs.par_chunks(found)).enumerate().try_for_each_init(
            || (vec![0.0f64; dim], vec![0.0f64; dim], Vec::new()),
            |(values, buffer, nearest), (place, ((rows, distances), docs))| {
                let row = wanted.row(first + place);
                nearest.clear();
                let others = docs.iter().copied().filter(|&doc| doc as usize != row);
                if self.embeddings.is_float32() {
                    nearest.extend(others.map(|doc| (self.distance32(row, doc as usize), doc)));
                } else {
                    monitor.check()?;
                    self.embeddings.read_row(row, values);
                    nearest.extend(others.map(|doc| (self.distance64(row, values, doc as usize, buffer), doc)));
                }
                nearest.sort_unstable_by(nearer);
                if !self.finds_in_order() && !self.is_proven(k, row, docs, nearest) {
                    self.embeddings.check_size()?;
                    self.embeddings.read_row(row, values);
                    self.search_all(k, row, values, buffer, nearest, monitor)?;
                }
                for ((row, distance), &(measured, doc)) in rows.iter_mut().zip(distances).zip(nearest.iter()) {
                    (*row, *distance) = (doc, measured);
                }
                Ok::<(), Error>(())
            },
        )?;
        Ok(result)
    }

    /// Whether rows are found in the order of their distances.
    fn finds_in_order(&self) -> bool {
        self.embeddings.is_float32() && self.distance != Distance::Cosine
    }

    /// Whether no row that was not found can be nearer than the k-th of `nearest`.
    fn is_proven(&self, k: usize, row: usize, docs: &[u32], nearest: &[(f64, u32)]) -> bool {
        if docs.len() == self.embeddings.rows() {
            return true;
        }
        let (Some(&(kth, _)), Some(&last)) = (nearest.get(k - 1), docs.last()) else { return false };
        // Nothing is nearer than at 0.
        if kth == 0.0 {
            return true;
        }
        let last = self.distance32(row, last as usize);
        let last = match self.distance {
            // Of two products that decide the order, each is rounded by at most (dim + 8) · 2⁻⁵³, amply.
            Distance::Cosine => (last - 8.0 * (self.embeddings.dim() as f64 + 16.0) * f64::EPSILON).max(0.0),
            Distance::Euclidean | Distance::Manhattan => last,
        };
        let radius = self.radii.get(row).copied().unwrap_or(0.0) + self.largest_radius;
        self.as_metric(kth) * (1.0 + 1e-9) < self.as_metric(last) * (1.0 - 1e-9) - radius
    }

    /// Measures all others of a row.
    fn search_all(
        &self,
        k: usize,
        row: usize,
        values: &[f64],
        buffer: &mut [f64],
        nearest: &mut Vec<(f64, u32)>,
        monitor: &Monitor,
    ) -> Result<()> {
        const TOGETHER: usize = 1024;
        nearest.clear();
        for first in (0..self.embeddings.rows()).step_by(TOGETHER) {
            monitor.check()?;
            self.embeddings.check_size()?;
            let others = (first..(first + TOGETHER).min(self.embeddings.rows())).filter(|&other| other != row);
            nearest.extend(others.map(|other| (self.distance64(row, values, other, buffer), other as u32)));
            if nearest.len() > k {
                nearest.select_nth_unstable_by(k - 1, nearer);
                nearest.truncate(k);
            }
        }
        nearest.sort_unstable_by(nearer);
        Ok(())
    }
}

fn nearer(left: &(f64, u32), right: &(f64, u32)) -> Ordering {
    left.0.total_cmp(&right.0).then(left.1.cmp(&right.1))
}

/// Adds in eight lanes by index, so that the sum depends on the values alone and is quick.
fn sum(values: impl Iterator<Item = f64>) -> f64 {
    let mut lanes = [0.0f64; 8];
    for (index, value) in values.enumerate() {
        lanes[index % 8] += value;
    }
    lanes.iter().sum()
}
