//! FAISS, by its factory strings and its files. Only ever used in the child process.

use std::ffi::c_int;
use std::path::Path;

use faiss::index::autotune::ParameterSpace;
use faiss::index::io::{read_index, write_index};
use faiss::index::{Index as _, IndexImpl, index_factory};
use faiss::metric::MetricType;

use super::{Docs, Index, NONE};
use crate::compute::error::{Error, Result};
use crate::compute::figures::{count, counted};
use crate::compute::kernels::{self, Level};
use crate::compute::metric::Metric;
use crate::job::Monitor;

/// Docs that are added between two looks at the monitor.
const BATCH: usize = 4096;
/// Docs that are trained with, at most; FAISS draws from them what it needs.
const TRAINING_DOCS: usize = 400_000;

// SAFETY: GNU OpenMP's function of the OpenMP standard, which takes any number.
unsafe extern "C" {
    safe fn omp_set_num_threads(threads: c_int);
}

/// An index of FAISS. Cosine is inner product of normalised vectors.
pub struct FaissIndex {
    index: IndexImpl,
    metric: Metric,
    dim: usize,
    /// The row of every entry, where docs came in another order.
    rows: Vec<u32>,
    /// It came whole from a file.
    is_file: bool,
    takes_all_at_once: bool,
}

const OUT_OF_MEMORY: &str =
    "it ran out of the memory it may take (or failed without a word). Raise --index-memory, or choose a smaller index";

fn told(error: &faiss::error::Error) -> String {
    let text = error.to_string();
    let last = for_users(text.trim_start_matches("Native faiss error: "));
    // What C++ says when memory runs out, once it went through the C interface.
    if last == "std::exception" || last == "std::bad_alloc" { OUT_OF_MEMORY.to_owned() } else { last.to_owned() }
}

/// The part of "Error in function at file:line: Error: what" that is for users.
fn for_users(text: &str) -> &str {
    let is_line = |before: &str| {
        before
            .rsplit_once(':')
            .is_some_and(|(_, line)| !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let start = text.match_indices(": ").find(|(place, _)| is_line(&text[..*place])).map_or(0, |(place, _)| place + 2);
    text[start..].trim_start_matches("Error: ").trim()
}

fn failed(doing: &str) -> impl FnOnce(faiss::error::Error) -> Error + '_ {
    move |error| Error::Index { what: format!("FAISS could not {doing}: {}", told(&error)) }
}

impl FaissIndex {
    /// An empty index of factory string `factory`.
    ///
    /// # Errors
    /// A string that FAISS does not understand, with the nearest that it does.
    pub fn new(factory: &str, dim: usize, metric: Metric, ef_construction: Option<u64>) -> Result<Self> {
        // The LSH of FAISS knows only L2, which orders normalised vectors as cosine does.
        let is_lsh = factory.split(',').next_back().is_some_and(|last| last.starts_with("LSH"));
        if is_lsh && metric == Metric::Dot {
            let expected = "cosine or euclidean for the LSH of FAISS, which does not know the dot product".to_owned();
            return Err(Error::Parameter { name: "metric", expected, found: metric.to_string() });
        }
        let kind = match metric {
            Metric::Cosine if is_lsh => MetricType::L2,
            Metric::Dot | Metric::Cosine => MetricType::InnerProduct,
            Metric::Euclidean => MetricType::L2,
        };
        let index = index_factory(dim as u32, factory, kind).map_err(|error| {
            let nearest =
                nearest_factory(factory).map_or(String::new(), |nearest| format!(". Did you mean {nearest}?"));
            Error::Parameter {
                name: "index",
                expected: format!("a factory string of FAISS for dim {} and {metric}{nearest}", count(dim)),
                found: format!("{factory:?} (FAISS: {})", told(&error)),
            }
        })?;
        let mut made =
            Self { index, metric, dim, rows: Vec::new(), is_file: false, takes_all_at_once: factory.contains("NSG") };
        if let Some(value) = ef_construction {
            made.set("efConstruction", value)?;
        }
        Ok(made)
    }

    /// Reads an index file.
    ///
    /// # Errors
    /// A file that FAISS cannot read; one of another dim or metric.
    pub fn open(path: &Path, dim: usize, metric: Metric) -> Result<Self> {
        let wrong = |what: String| Error::Neighbours { what, path: path.to_owned() };
        let index = read_index(path.to_string_lossy()).map_err(|error| {
            wrong(format!(
                "FAISS could not read it: {}. It is damaged, or of another version; write it again",
                told(&error)
            ))
        })?;
        if index.d() as usize != dim {
            return Err(wrong(format!(
                "its vectors have {}, those of the docs {}. Choose the index of these docs",
                counted(index.d() as usize, "dimension", "dimensions"),
                count(dim)
            )));
        }
        let is_l2 = index.metric_type() == MetricType::L2;
        if is_l2 && metric == Metric::Dot || !is_l2 && metric == Metric::Euclidean {
            let own = if is_l2 { "euclidean distance" } else { "inner product" };
            return Err(wrong(format!(
                "it was built for {own}, not for {metric}. Choose that metric, or build it again"
            )));
        }
        Ok(Self { index, metric, dim, rows: Vec::new(), is_file: true, takes_all_at_once: false })
    }

    /// The docs of some rows as the index wants them.
    fn gather(&self, docs: Docs<'_>, rows: &[u32]) -> Vec<f32> {
        let mut values = Vec::with_capacity(rows.len() * self.dim);
        rows.iter().for_each(|&row| values.extend_from_slice(docs.file.row(row as usize)));
        if self.metric == Metric::Cosine {
            normalise(&mut values, self.dim);
        }
        values
    }
}

fn normalise(vectors: &mut [f32], dim: usize) {
    let level = Level::detected();
    for vector in vectors.chunks_exact_mut(dim) {
        let norm = kernels::dot_f64(level, vector, vector).sqrt();
        vector.iter_mut().for_each(|value| *value = (f64::from(*value) / norm) as f32);
    }
}

impl Index for FaissIndex {
    fn train(&mut self, docs: Docs<'_>, order: &[u32], monitor: &Monitor) -> Result<()> {
        if self.is_file || self.index.is_trained() {
            return Ok(());
        }
        monitor.begin("training", "docs", 0);
        // Spread over all of them: files may be sorted.
        let step = order.len().div_ceil(TRAINING_DOCS).max(1);
        let rows: Vec<u32> = order.iter().copied().step_by(step).collect();
        let values = self.gather(docs, &rows);
        self.index.train(&values).map_err(failed("train"))
    }

    fn build(&mut self, docs: Docs<'_>, order: &[u32], monitor: &Monitor) -> Result<()> {
        if self.is_file {
            return Ok(());
        }
        monitor.begin("adding docs", "docs", order.len() as u64);
        // NSG takes its docs all at once.
        for rows in order.chunks(if self.takes_all_at_once { order.len() } else { BATCH }) {
            let values = self.gather(docs, rows);
            self.index.add(&values).map_err(failed("add docs"))?;
            monitor.advance(rows.len() as u64)?;
        }
        self.rows = order.to_vec();
        Ok(())
    }

    fn set(&mut self, name: &str, value: u64) -> Result<()> {
        if !(1..=i32::MAX as u64).contains(&value) {
            let expected = format!("{name} of at least 1 and below 2³¹");
            return Err(Error::Parameter { name: "index", expected, found: value.to_string() });
        }
        let space = ParameterSpace::new().map_err(failed("be asked for its parameters"))?;
        space.set_index_parameter(&self.index, name, value as f64).map_err(|error| Error::Parameter {
            name: "index",
            expected: "a search parameter of this index, like nprobe (IVF), efSearch (HNSW) or k_factor_rf (RFlat)"
                .to_owned(),
            found: format!("{name}={value} (FAISS: {})", told(&error)),
        })
    }

    fn use_threads(&mut self, threads: usize) {
        omp_set_num_threads(threads as c_int);
    }

    fn search(&mut self, _first: usize, queries: &[f32], k: usize, ids: &mut [u32]) -> Result<()> {
        let found = if self.metric == Metric::Cosine {
            let mut queries = queries.to_vec();
            normalise(&mut queries, self.dim);
            self.index.search(&queries, k)
        } else {
            self.index.search(queries, k)
        };
        for (id, label) in ids.iter_mut().zip(&found.map_err(failed("search"))?.labels) {
            let entry = label.get().and_then(|label| usize::try_from(label).ok());
            *id = entry.map_or(NONE, |entry| match self.rows.is_empty() {
                true => u32::try_from(entry).unwrap_or(NONE),
                false => self.rows.get(entry).copied().unwrap_or(NONE),
            });
        }
        Ok(())
    }

    fn len(&self) -> usize {
        self.index.ntotal() as usize
    }

    fn save(&mut self, path: &Path) -> Result<bool> {
        write_index(&self.index, path.to_string_lossy()).map_err(failed("write the index"))?;
        Ok(true)
    }
}

/// The kinds of which factory strings are made; # stands for a number.
const KNOWN: [&str; 21] = [
    "Flat",
    "IVF#",
    "IVF#_HNSW#",
    "PQ#",
    "PQ#x#",
    "PQ#x#fs",
    "PQ#np",
    "PQ#x#np",
    "HNSW#",
    "LSH",
    "LSH#",
    "SQ#",
    "SQfp#",
    "PCA#",
    "PCAR#",
    "OPQ#",
    "OPQ#_#",
    "RFlat",
    "Refine(Flat)",
    "NSG#",
    "RR#",
];

/// The factory string that `factory` was probably meant to be.
pub fn nearest_factory(factory: &str) -> Option<String> {
    let parts: Vec<String> = factory.split(',').map(nearest_part).collect::<Option<_>>()?;
    let nearest = parts.join(",");
    (nearest != factory).then_some(nearest)
}

fn nearest_part(part: &str) -> Option<String> {
    let (mut shape, mut numbers) = (String::new(), Vec::<String>::new());
    for (index, c) in part.trim().char_indices() {
        if !c.is_ascii_digit() {
            shape.push(c);
        } else if index > 0 && shape.ends_with('#') {
            numbers.last_mut()?.push(c);
        } else {
            shape.push('#');
            numbers.push(c.to_string());
        }
    }
    let holes = |known: &str| known.matches('#').count();
    let fitting = KNOWN.iter().filter(|known| holes(known) == numbers.len());
    let (distance, known) = fitting
        .map(|known| (edits(&shape.to_ascii_lowercase(), &known.to_ascii_lowercase()), known))
        .min_by_key(|(distance, _)| *distance)?;
    if distance > 2 {
        return None;
    }
    let mut numbers = numbers.into_iter();
    Some(known.chars().map(|c| if c == '#' { numbers.next().unwrap_or_default() } else { c.to_string() }).collect())
}

/// Letters to change, add, leave out or exchange with the next one (optimal string alignment).
fn edits(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut table = vec![vec![0; right.len() + 1]; left.len() + 1];
    for i in 0..=left.len() {
        for j in 0..=right.len() {
            table[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let changed = table[i - 1][j - 1] + usize::from(left[i - 1] != right[j - 1]);
                let mut fewest = changed.min(table[i - 1][j] + 1).min(table[i][j - 1] + 1);
                if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                    fewest = fewest.min(table[i - 2][j - 2] + 1);
                }
                fewest
            };
        }
    }
    table[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_lose_the_places_of_sources() {
        let text =
            "Error in faiss::Index* faiss::read_index(IOReader*, int) at /a/b.cpp:12: Index type 0x1 not recognized";
        assert_eq!(for_users(text), "Index type 0x1 not recognized");
        assert_eq!(
            for_users("Error in void f() at /a/b.cpp:7: Error: 'x > 0' failed: too few"),
            "'x > 0' failed: too few"
        );
        assert_eq!(for_users("could not set parameter nprobe"), "could not set parameter nprobe");
    }

    #[test]
    fn typos_have_a_nearest_factory_string() {
        for (typed, meant) in [
            ("HNWS32,Flat", "HNSW32,Flat"),
            ("IFV256,Flat", "IVF256,Flat"),
            ("IVF256,Flt", "IVF256,Flat"),
            ("IVF64,pq16", "IVF64,PQ16"),
            ("IVF64,PQ16x4sf,RFlat", "IVF64,PQ16x4fs,RFlat"),
        ] {
            assert_eq!(nearest_factory(typed).as_deref(), Some(meant), "{typed}");
        }
        assert_eq!(nearest_factory("something,else"), None);
        assert_eq!(nearest_factory("IVF256,Flat"), None);
    }
}
