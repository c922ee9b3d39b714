//! LSH by random hyperplanes (Charikar, "Similarity estimation techniques from rounding algorithms", 2002): L tables
//! of K hashes. A hash is the side of a random hyperplane through the origin on which a vector lies, so two vectors at
//! an angle θ agree in it with probability 1 − θ/π. A query looks at the docs in its bucket of every table, and with
//! `probes` > 0 at as many buckets next to it, across the hyperplanes that it is nearest to (Lv et al., "Multi-probe
//! LSH", 2007); what it finds there is scored exactly.

use std::io::Write;
use std::path::Path;

use rayon::prelude::*;

use super::{Apart, Docs, Index, Threads, Traits, take_nearest};
use crate::compute::error::{Error, Result};
use crate::compute::figures;
use crate::compute::kernels::{self, Level};
use crate::compute::metric::Metric;
use crate::compute::random::Random;
use crate::job::Monitor;

/// Docs that are hashed between two looks at the monitor.
const BATCH: usize = 1024;
/// Begins its files, which go on, little-endian, with dim, hashes, tables and docs as u32, the normal vectors as f32, and
/// for every table the buckets and the docs in them as u32. The docs' vectors are not in it.
const MAGIC: [u8; 8] = *b"knnsLSH1";
/// Docs whose buckets are computed again when a file is opened.
const PROBED_DOCS: usize = 64;

/// See the module.
pub struct Hyperplanes<'a> {
    docs: Docs<'a>,
    hashes: usize,
    /// tables · hashes normal vectors, row-major.
    normals: Vec<f32>,
    tables: Vec<Table>,
    probes: usize,
    threads: Threads,
    computations: u64,
    /// It came whole from a file.
    is_file: bool,
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
        let tables = Vec::with_capacity(tables);
        Self { docs, hashes, normals, tables, probes: 0, threads: Threads::ONE, computations: 0, is_file: false }
    }

    /// Reads a file that [`Index::save`] wrote, for the docs it was built from.
    ///
    /// # Errors
    /// No such file, or a damaged one; one of another dim; one of other docs, or of another number of them.
    pub fn open(path: &Path, docs: Docs<'a>) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::read(path))?;
        let wrong = |what: String| Error::Neighbours { what, path: path.to_owned() };
        let damaged =
            || wrong("is no LSH index of knnscope, or a damaged one. Build it again with `index build`".to_owned());
        let words = bytes.strip_prefix(&MAGIC).ok_or_else(damaged)?.as_chunks::<4>();
        let (words, []) = words else { return Err(damaged()) };
        let word = |place: usize| words.get(place).map(|word| u32::from_le_bytes(*word) as usize).ok_or_else(damaged);
        let (dim, hashes, tables, count) = (word(0)?, word(1)?, word(2)?, word(3)?);
        let size = dim.checked_mul(hashes).zip(count.checked_mul(2)).and_then(|(normals, entries)| {
            normals.checked_add(entries).and_then(|one| one.checked_mul(tables)).and_then(|all| all.checked_add(4))
        });
        if size != Some(words.len()) || !(1..=32).contains(&hashes) || tables == 0 || count == 0 {
            return Err(damaged());
        }
        for (what, found, wanted) in [("dimensions", dim, docs.file.dim()), ("docs", count, docs.count)] {
            if found != wanted {
                let (found, wanted) = (figures::count(found), figures::count(wanted));
                return Err(wrong(format!("was built for {found} {what}, not for {wanted}. Build it again")));
            }
        }
        let (normals, entries) = words[4..].split_at(tables * hashes * dim);
        let numbers = |words: &[[u8; 4]]| words.iter().map(|word| u32::from_le_bytes(*word)).collect::<Vec<u32>>();
        let tables: Vec<Table> = entries
            .chunks_exact(2 * count)
            .map(|table| Table { buckets: numbers(&table[..count]), docs: numbers(&table[count..]) })
            .collect();
        let is_whole =
            |table: &Table| table.buckets.is_sorted() && table.docs.iter().all(|&doc| (doc as usize) < count);
        if !tables.iter().all(is_whole) {
            return Err(damaged());
        }
        let normals = normals.iter().map(|word| f32::from_le_bytes(*word)).collect();
        let opened =
            Self { docs, hashes, normals, tables, probes: 0, threads: Threads::ONE, computations: 0, is_file: true };
        let (level, step) = (Level::detected(), count.div_ceil(PROBED_DOCS));
        for (table, entries) in opened.tables.iter().enumerate() {
            for (&bucket, &doc) in entries.buckets.iter().zip(&entries.docs).step_by(step) {
                if opened.bucket(level, docs.file.row(doc as usize), table) != bucket {
                    return Err(wrong("was built from other docs, or is damaged. Build it again".to_owned()));
                }
            }
        }
        Ok(opened)
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
    fn nearest(&self, level: Level, query: &[f32], ids: &mut [u32]) -> u64 {
        let Docs { file, metric, .. } = self.docs;
        let candidates = self.candidates(level, query);
        let place = |&doc: &u32| metric.place(key(level, metric, query, file.row(doc as usize)), doc);
        take_nearest(&mut candidates.iter().map(place).collect(), ids);
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
        if self.is_file {
            return Ok(());
        }
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

    fn use_threads(&mut self, threads: usize) -> Result<()> {
        self.threads = Threads::new(threads)?;
        Ok(())
    }

    fn search(&mut self, _first: usize, queries: &[f32], k: usize, ids: &mut [u32]) -> Result<()> {
        let (level, dim) = (Level::detected(), self.docs.file.dim());
        let computed = self.threads.answer((queries, dim), (ids, k), |queries, ids| {
            let each = queries.chunks_exact(dim).zip(ids.chunks_exact_mut(k));
            Ok(each.map(|(query, ids)| self.nearest(level, query, ids)).sum())
        })?;
        self.computations += computed;
        Ok(())
    }

    fn len(&self) -> usize {
        self.tables.first().map_or(0, |table| table.docs.len())
    }

    fn distance_computations(&self) -> Option<u64> {
        Some(self.computations)
    }

    fn traits(&self) -> Traits {
        Traits { hashes: self.hashes, docs: self.len(), ..Traits::default() }
    }

    fn apart(&self, query: &[f32], doc: u32) -> Result<Apart> {
        let level = Level::detected();
        let mut apart = Apart { hashes: u32::MAX, probes: None };
        for table in 0..self.table_count() {
            let margins: Vec<f64> = self.margins(level, query, table).collect();
            let differing =
                bucket_of(margins.iter().copied()) ^ self.bucket(level, self.docs.file.row(doc as usize), table);
            let probes = match differing.count_ones() {
                0 => Some(0),
                // Buckets across the nearest hyperplane come first; of equals, that of the first hash.
                1 => {
                    let hash = differing.trailing_zeros() as usize;
                    let before = |other: &usize| {
                        let order = margins[*other].abs().total_cmp(&margins[hash].abs());
                        order.then(other.cmp(&hash)).is_lt()
                    };
                    Some(1 + (0..margins.len()).filter(before).count() as u32)
                }
                _ => None,
            };
            apart.hashes = apart.hashes.min(differing.count_ones());
            apart.probes = [apart.probes, probes].into_iter().flatten().min();
        }
        Ok(apart)
    }

    fn save(&mut self, path: &Path) -> Result<bool> {
        let write = || {
            let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
            file.write_all(&MAGIC)?;
            for size in [self.docs.file.dim(), self.hashes, self.tables.len(), self.len()] {
                file.write_all(&(size as u32).to_le_bytes())?;
            }
            for value in &self.normals {
                file.write_all(&value.to_le_bytes())?;
            }
            for number in self.tables.iter().flat_map(|table| table.buckets.iter().chain(&table.docs)) {
                file.write_all(&number.to_le_bytes())?;
            }
            file.flush()
        };
        write().map_err(Error::write(path))?;
        Ok(true)
    }
}
