//! LSH by random hyperplanes (Charikar, "Similarity estimation techniques from rounding algorithms", 2002): L tables
//! of K hashes. A hash is the side of a random hyperplane through the origin on which a vector lies, so two vectors at
//! an angle θ agree in it with probability 1 − θ/π. A query looks at the docs in its bucket of every table, and with
//! `probes` > 0 at as many buckets next to it, across the hyperplanes that it is nearest to (Lv et al., "Multi-probe
//! LSH", 2007); what it finds there is scored exactly.

use rayon::prelude::*;

use super::{Docs, Index, NONE};
use crate::compute::error::{Error, Result};
use crate::compute::kernels::{self, Level};
use crate::compute::metric::Metric;
use crate::compute::random::Random;
use crate::job::Monitor;

/// Docs that are hashed between two looks at the monitor.
const BATCH: usize = 1024;

/// See the module.
pub struct Hyperplanes<'a> {
    docs: Docs<'a>,
    hashes: usize,
    /// tables · hashes normal vectors, row-major.
    normals: Vec<f32>,
    tables: Vec<Table>,
    probes: usize,
    threads: Option<rayon::ThreadPool>,
    computations: u64,
}

/// Docs ordered by their bucket, and within it by row.
struct Table {
    buckets: Vec<u32>,
    docs: Vec<u32>,
}

impl Table {
    fn of(&self, bucket: u32) -> &[u32] {
        let first = self.buckets.partition_point(|&known| known < bucket);
        let count = self.buckets[first..].partition_point(|&known| known == bucket);
        &self.docs[first..first + count]
    }
}

impl<'a> Hyperplanes<'a> {
    /// `tables` ≥ 1, 1 ≤ `hashes` ≤ 32. `seed` draws the hyperplanes.
    pub fn new(docs: Docs<'a>, tables: usize, hashes: usize, seed: u64) -> Self {
        let mut random = Random::stream(seed, 0x4c53);
        let normals = (0..tables * hashes * docs.file.dim()).map(|_| gaussian(&mut random)).collect();
        Self { docs, hashes, normals, tables: Vec::with_capacity(tables), probes: 0, threads: None, computations: 0 }
    }

    fn table_count(&self) -> usize {
        self.normals.len() / (self.hashes * self.docs.file.dim())
    }

    /// How far `vector` lies beyond every hyperplane of a table, the first hash first.
    fn margins(&self, level: Level, vector: &[f32], table: usize) -> impl Iterator<Item = f64> {
        let dim = vector.len();
        let normals = &self.normals[table * self.hashes * dim..(table + 1) * self.hashes * dim];
        normals.chunks_exact(dim).map(move |normal| kernels::dot_f64(level, vector, normal))
    }

    fn bucket(&self, level: Level, vector: &[f32], table: usize) -> u32 {
        bucket_of(self.margins(level, vector, table))
    }

    /// Docs in the buckets of a query, each once, ascending.
    fn candidates(&self, level: Level, query: &[f32]) -> Vec<u32> {
        let mut found = Vec::new();
        for (index, table) in self.tables.iter().enumerate() {
            let margins: Vec<f64> = self.margins(level, query, index).collect();
            let bucket = bucket_of(margins.iter().copied());
            found.extend_from_slice(table.of(bucket));
            let mut nearest: Vec<usize> = (0..margins.len()).collect();
            nearest.sort_by(|&left, &right| margins[left].abs().total_cmp(&margins[right].abs()));
            for &hash in nearest.iter().take(self.probes) {
                found.extend_from_slice(table.of(bucket ^ 1 << hash));
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The k nearest of a query's candidates and how many these were.
    fn nearest(&self, level: Level, query: &[f32], k: usize, ids: &mut [u32]) -> u64 {
        let Docs { file, metric, .. } = self.docs;
        let candidates = self.candidates(level, query);
        let mut scored: Vec<(f64, u32)> =
            candidates.iter().map(|&doc| (key(level, metric, query, file.row(doc as usize)), doc)).collect();
        let nearer =
            |left: &(f64, u32), right: &(f64, u32)| metric.nearest_first(left.0, right.0).then(left.1.cmp(&right.1));
        if scored.len() > k {
            scored.select_nth_unstable_by(k - 1, nearer);
            scored.truncate(k);
        }
        scored.sort_by(nearer);
        ids.fill(NONE);
        ids.iter_mut().zip(&scored).for_each(|(id, (_, doc))| *id = *doc);
        candidates.len() as u64
    }
}

/// What orders docs as their score does, without the norm of the query.
pub(super) fn key(level: Level, metric: Metric, query: &[f32], doc: &[f32]) -> f64 {
    match metric {
        Metric::Dot => kernels::dot_f64(level, query, doc),
        Metric::Cosine => kernels::dot_f64(level, query, doc) / kernels::dot_f64(level, doc, doc).sqrt(),
        Metric::Euclidean => kernels::squared_distance_f64(level, query, doc),
    }
}

fn bucket_of(margins: impl Iterator<Item = f64>) -> u32 {
    margins.enumerate().fold(0, |bucket, (hash, margin)| bucket | u32::from(margin >= 0.0) << hash)
}

/// A normal deviate (Box and Muller).
fn gaussian(random: &mut Random) -> f32 {
    let uniform = |bits: u64| ((bits >> 11) as f64 + 0.5) * (1.0 / (1u64 << 53) as f64);
    let (radius, turn) = (uniform(random.bits()), uniform(random.bits()));
    ((-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * turn).cos()) as f32
}

impl Index for Hyperplanes<'_> {
    /// The order of docs makes no difference here.
    fn build(&mut self, docs: Docs<'_>, _order: &[u32], monitor: &Monitor) -> Result<()> {
        let level = Level::detected();
        monitor.begin("hashing docs", "docs", (docs.count * self.table_count()) as u64);
        for table in 0..self.table_count() {
            let mut keyed = (0..docs.count.div_ceil(BATCH))
                .into_par_iter()
                .map(|batch| {
                    let rows = batch * BATCH..((batch + 1) * BATCH).min(docs.count);
                    monitor.advance(rows.len() as u64)?;
                    Ok(rows.map(|row| (self.bucket(level, docs.file.row(row), table), row as u32)).collect())
                })
                .collect::<Result<Vec<Vec<_>>>>()?
                .concat();
            keyed.sort_unstable();
            let (buckets, docs) = keyed.into_iter().unzip();
            self.tables.push(Table { buckets, docs });
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: u64) -> Result<()> {
        match name {
            "probes" if value <= self.hashes as u64 => self.probes = value as usize,
            "probes" => {
                let expected = format!("0 to {} (one a hash)", self.hashes);
                return Err(Error::Parameter { name: "probes", expected, found: value.to_string() });
            }
            _ => return Err(Error::Parameter { name: "index", expected: "probes".to_owned(), found: name.to_owned() }),
        }
        Ok(())
    }

    fn use_threads(&mut self, threads: usize) {
        self.threads = rayon::ThreadPoolBuilder::new().num_threads(threads).build().ok().filter(|_| threads > 1);
    }

    fn search(&mut self, _first: usize, queries: &[f32], k: usize, ids: &mut [u32]) -> Result<()> {
        let (level, dim) = (Level::detected(), self.docs.file.dim());
        let this = &*self;
        let computed: u64 = match &this.threads {
            None => queries
                .chunks_exact(dim)
                .zip(ids.chunks_exact_mut(k))
                .map(|(query, ids)| this.nearest(level, query, k, ids))
                .sum(),
            Some(threads) => threads.install(|| {
                queries
                    .par_chunks_exact(dim)
                    .zip(ids.par_chunks_exact_mut(k))
                    .map(|(query, ids)| this.nearest(level, query, k, ids))
                    .sum()
            }),
        };
        self.computations += computed;
        Ok(())
    }

    fn len(&self) -> usize {
        self.tables.first().map_or(0, |table| table.docs.len())
    }

    fn distance_computations(&self) -> Option<u64> {
        Some(self.computations)
    }
}
