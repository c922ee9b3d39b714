//! FAISS, by its factory strings and its files. Only ever used in the child process.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use faiss_library::{Error as Told, Library, Metric as Kind, training_steps};

use super::{Docs, Index, NONE, Traits, cannot_tell, normalise};
use crate::compute::error::{Error, Result};
use crate::compute::figures::{count, counted};
use crate::compute::kernels::Level;
use crate::compute::metric::Metric;
use crate::job::Monitor;

/// Docs that are added between two looks at the monitor.
const BATCH: usize = 4096;
/// Docs that are trained with, at most; FAISS draws from them what it needs.
const TRAINING_DOCS: usize = 400_000;
/// Queries whose cells are asked for at once: below FAISS's limit for BLAS, whose sums are a little different, so that these
/// are the cells of a query that comes alone.
const QUERIES_AT_ONCE: usize = 16;
/// Between two looks at a training.
const LOOK: Duration = Duration::from_millis(20);

/// An index of FAISS. Cosine is inner product of normalised vectors.
pub struct FaissIndex {
    index: faiss_library::Index,
    metric: Metric,
    dim: usize,
    /// The row of every entry, where docs came in another order.
    rows: Vec<u32>,
    /// It came whole from a file.
    is_file: bool,
    takes_all_at_once: bool,
    /// Room for what a search returns.
    distances: Vec<f32>,
    labels: Vec<i64>,
}

fn told(error: &Told) -> String {
    match error {
        Told::OutOfMemory => {
            "it ran out of the memory it may take. Raise --index-memory, or choose a smaller index".to_owned()
        }
        Told::Said(text) => for_users(text).to_owned(),
    }
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

fn failed(doing: &str) -> impl FnOnce(Told) -> Error + '_ {
    move |error| Error::Index { what: format!("FAISS could not {doing}: {}", told(&error)) }
}

/// FAISS for this machine, or for the lower level that the kernels are held to.
fn library() -> Result<Library> {
    let level = match Level::detected() {
        Level::Scalar => faiss_library::Level::Baseline,
        Level::Avx2 => faiss_library::Level::Avx2,
        Level::Avx512 => faiss_library::Level::Avx512,
    };
    Library::load(level).map_err(|error| Error::Index { what: error.to_string() })
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
            Metric::Dot => Kind::InnerProduct,
            Metric::Cosine if !is_lsh => Kind::InnerProduct,
            Metric::Cosine | Metric::Euclidean => Kind::L2,
        };
        let index = library()?.make(factory, dim, kind).map_err(|error| {
            let nearest =
                nearest_factory(factory).map_or(String::new(), |nearest| format!(". Did you mean {nearest}?"));
            Error::Parameter {
                name: "index",
                expected: format!("a factory string of FAISS for dim {} and {metric}{nearest}", count(dim)),
                found: format!("{factory:?} (FAISS: {})", told(&error)),
            }
        })?;
        let mut made = Self::of(index, metric, dim);
        made.takes_all_at_once = factory.contains("NSG");
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
        let index = library()?.read(path).map_err(|error| {
            wrong(format!(
                "FAISS could not read it: {}. It is damaged, or of another version; write it again",
                told(&error)
            ))
        })?;
        let description = index.description();
        if description.dim != dim as i64 {
            return Err(wrong(format!(
                "its vectors have {}, those of the docs {}. Choose the index of these docs",
                counted(usize::try_from(description.dim).unwrap_or(0), "dimension", "dimensions"),
                count(dim)
            )));
        }
        let own = match description.metric() {
            Ok(Kind::InnerProduct) if metric != Metric::Euclidean => None,
            Ok(Kind::L2) if metric != Metric::Dot => None,
            Ok(Kind::InnerProduct) => Some("inner product".to_owned()),
            Ok(Kind::L2) => Some("euclidean distance".to_owned()),
            Err(other) => Some(format!("a metric that is not compared here (FAISS's number {other})")),
        };
        if let Some(own) = own {
            return Err(wrong(format!(
                "it was built for {own}, not for {metric}. Choose that metric, or build it again"
            )));
        }
        Ok(Self { is_file: true, ..Self::of(index, metric, dim) })
    }

    fn of(index: faiss_library::Index, metric: Metric, dim: usize) -> Self {
        let (rows, distances, labels) = (Vec::new(), Vec::new(), Vec::new());
        Self { index, metric, dim, rows, is_file: false, takes_all_at_once: false, distances, labels }
    }

    /// The doc of a label; [`NONE`] for none.
    fn row(&self, label: i64) -> u32 {
        let entry = usize::try_from(label).ok();
        entry.map_or(NONE, |entry| match self.rows.is_empty() {
            true => u32::try_from(entry).unwrap_or(NONE),
            false => self.rows.get(entry).copied().unwrap_or(NONE),
        })
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

impl Index for FaissIndex {
    fn train(&mut self, docs: Docs<'_>, order: &[u32], monitor: &Monitor) -> Result<()> {
        if self.is_file || self.index.description().is_trained() {
            return Ok(());
        }
        monitor.begin("training", "steps", 0);
        // Spread over all of them: files may be sorted.
        let step = order.len().div_ceil(TRAINING_DOCS).max(1);
        let rows: Vec<u32> = order.iter().copied().step_by(step).collect();
        let values = self.gather(docs, &rows);
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut told = training_steps();
                while !is_done.load(Ordering::Relaxed) {
                    std::thread::sleep(LOOK);
                    let now = training_steps();
                    // Whoever cancels kills this process.
                    monitor.advance(now - told).ok();
                    told = now;
                }
            });
            let outcome = self.index.train(&values);
            is_done.store(true, Ordering::Relaxed);
            outcome.map_err(failed("train"))
        })
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
        self.index.set(name, value as f64).map_err(|error| Error::Parameter {
            name: "index",
            expected: "a search parameter of this index, like nprobe (IVF), efSearch (HNSW) or k_factor_rf (RFlat)"
                .to_owned(),
            found: format!("{name}={value} (FAISS: {})", told(&error)),
        })
    }

    fn use_threads(&mut self, threads: usize) -> Result<()> {
        self.index.library().use_threads(threads);
        Ok(())
    }

    fn search(&mut self, _first: usize, queries: &[f32], k: usize, ids: &mut [u32]) -> Result<()> {
        let (distances, labels) = (&mut self.distances, &mut self.labels);
        let outcome = if self.metric == Metric::Cosine {
            let mut queries = queries.to_vec();
            normalise(&mut queries, self.dim);
            self.index.search(&queries, k, distances, labels)
        } else {
            self.index.search(queries, k, distances, labels)
        };
        outcome.map_err(failed("search"))?;
        ids.iter_mut().zip(&self.labels).for_each(|(id, &label)| *id = self.row(label));
        Ok(())
    }

    fn traits(&self) -> Traits {
        Traits { cells: self.index.cells(), docs: self.len(), ..Traits::default() }
    }

    fn docs_cells(&self, docs: usize) -> Result<Vec<u32>> {
        if self.index.cells() == 0 {
            return Err(cannot_tell("cells"));
        }
        let by_label = self.index.docs_cells().map_err(failed("tell its cells"))?;
        let mut cells = vec![NONE; docs];
        for (label, cell) in by_label.into_iter().enumerate() {
            if let Some(place) = cells.get_mut(self.row(label as i64) as usize) {
                *place = u32::try_from(cell).unwrap_or(NONE);
            }
        }
        Ok(cells)
    }

    fn queries_cells(&self, queries: &[f32], probes: usize) -> Result<Vec<u32>> {
        if self.index.cells() == 0 {
            return Err(cannot_tell("cells"));
        }
        let mut found = Vec::with_capacity(queries.len() / self.dim * probes);
        for some in queries.chunks(QUERIES_AT_ONCE * self.dim) {
            let mut some = some.to_vec();
            if self.metric == Metric::Cosine {
                normalise(&mut some, self.dim);
            }
            let cells = self.index.cells_of(&some, probes).map_err(failed("tell its cells"))?;
            found.extend(cells.into_iter().map(|cell| u32::try_from(cell).unwrap_or(NONE)));
        }
        Ok(found)
    }

    fn len(&self) -> usize {
        usize::try_from(self.index.description().docs).unwrap_or(0)
    }

    fn save(&mut self, path: &Path) -> Result<bool> {
        self.index.write(path).map_err(failed("write the index"))?;
        Ok(true)
    }

    fn settle(&mut self) {
        self.index.library().join_pages();
    }

    fn distance_computations(&self) -> Option<u64> {
        // Exhaustive scans are not counted.
        Some(self.index.library().distance_computations()).filter(|&computed| computed > 0)
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

    /// All levels find the same nearest vectors, and an error's words arrive.
    #[test]
    fn every_level_answers() {
        let vectors: Vec<f32> = (0..4000).map(|place| ((place * 7919) % 1009) as f32).collect();
        let mut answers = Vec::new();
        for level in [faiss_library::Level::Baseline, faiss_library::Level::Avx2, faiss_library::Level::Avx512] {
            let library = Library::load(level).expect("loads");
            assert_eq!(library.level(), level.min(faiss_library::Level::best()));
            let mut index = library.make("IVF8,Flat", 8, Kind::L2).expect("a factory string");
            assert!(index.add(&vectors).is_err(), "it is not trained");
            let before = training_steps();
            index.train(&vectors).expect("trains");
            assert!(training_steps() > before);
            index.add(&vectors).expect("adds");
            index.set("nprobe", 8.0).expect("a parameter");
            let (mut distances, mut labels) = (Vec::new(), Vec::new());
            let computed = library.distance_computations();
            index.search(&vectors[..80], 3, &mut distances, &mut labels).expect("searches");
            assert_eq!(library.distance_computations() - computed, 10 * 500);
            assert_eq!(labels.iter().step_by(3).copied().collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
            assert_eq!((index.description().docs, index.description().dim), (500, 8));
            answers.push(labels);
            let error = library.make("IFV8,Flat", 8, Kind::L2).err().expect("a typo");
            assert!(error.to_string().contains("IFV8"), "{error}");
        }
        assert!(answers.iter().all(|labels| *labels == answers[0]));
    }

    /// As many vectors as codes: each is its own centroid, so that codes lose nothing and looked up distances are those of the
    /// vectors. Twelve parts are an eight and a rest, 259 codes are fours and a rest.
    #[test]
    fn codes_are_looked_up_right_at_every_level() {
        const DIM: usize = 24;
        let mut vectors: Vec<f32> = (0..256 * DIM).map(|place| ((place * 7919 + place / 7) % 1009) as f32).collect();
        vectors.extend_from_within(..3 * DIM);
        let row = |row: usize| &vectors[row * DIM..(row + 1) * DIM];
        for level in [faiss_library::Level::Baseline, faiss_library::Level::Avx2, faiss_library::Level::Avx512] {
            let library = Library::load(level).expect("loads");
            let mut index = library.make("IVF1,PQ12np", DIM, Kind::L2).expect("a factory string");
            index.train(&vectors[..256 * DIM]).expect("trains");
            index.add(&vectors).expect("adds");
            let (mut distances, mut labels) = (Vec::new(), Vec::new());
            index.search(&vectors[..10 * DIM], 259, &mut distances, &mut labels).expect("searches");
            for (place, (&label, &distance)) in labels.iter().zip(&distances).enumerate() {
                let query = row(place / 259).iter().zip(row(usize::try_from(label).expect("all are found")));
                let exact: f64 = query.map(|(a, b)| f64::from(a - b).powi(2)).sum();
                let allowed = 1e-5 * exact + 1.0;
                assert!((f64::from(distance) - exact).abs() <= allowed, "{level:?} {place}: {distance} {exact}");
            }
        }
    }

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
