//! What was found so far, on disk beside the output, so that a killed search goes on where it was.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Neighbours;
use super::search::{Searcher, Wanted};
use crate::compute::error::{Error, Result};
use crate::compute::figures::counted;
use crate::job::Monitor;

/// Where what was found so far is kept, and from when on.
#[derive(Debug, Clone)]
pub struct Keep {
    pub path: PathBuf,
    /// A search is written down after half of this; what took less is not kept when it is cancelled.
    pub worth_keeping: Duration,
}

impl Keep {
    /// What takes more than a minute is kept.
    pub fn at(path: PathBuf) -> Self {
        Self { path, worth_keeping: Duration::from_secs(60) }
    }
}

/// The k nearest others of all samples, and what is to be called [`Journal::done`] once they are put to use.
///
/// `keep`: a search of the same file, k and distance that was killed or cancelled goes on with what was found.
///
/// # Errors
/// As of [`Searcher::search`]; a journal that cannot be written, or is in use by another process.
pub fn find_all(
    searcher: &Searcher<'_>,
    k: usize,
    keep: Option<&Keep>,
    monitor: &Monitor,
) -> Result<(Neighbours, Journal)> {
    let embeddings = searcher.embeddings();
    let samples = embeddings.rows();
    let needed = samples as u64 * Neighbours::bytes_of(k);
    if needed > searcher.budget() {
        return Err(Error::MemoryBudget { needed, budget: searcher.budget(), instead: "lower k" });
    }
    let started = Instant::now();
    let mut found = Neighbours { k, rows: Vec::new(), distances: Vec::new() };
    let mut journal = Journal::default();
    if let Some(keep) = keep {
        journal.path = Some(keep.path.clone());
        let (distance, dim, fingerprint) = (searcher.distance().name(), embeddings.dim(), embeddings.fingerprint()?);
        journal.header = format!("{distance} {k} {samples} {dim} {fingerprint:016x}\n");
        journal.resume(&mut found, samples)?;
    }
    let worth_keeping = keep.map_or(Duration::MAX, |keep| keep.worth_keeping);
    let first = found.samples();
    let stage = match first {
        0 => "finding neighbours".to_owned(),
        known => format!("going on after {}", counted(known, "sample", "samples")),
    };
    let outcome = searcher.search(k, &Wanted::Range(first..samples), &stage, monitor, |pass| {
        found.rows.extend(pass.rows);
        found.distances.extend(pass.distances);
        if started.elapsed() > worth_keeping / 2 || journal.file.is_some() { journal.write(&found) } else { Ok(()) }
    });
    match outcome {
        Ok(()) => Ok((found, journal)),
        Err(error) => {
            if first == 0 && started.elapsed() < worth_keeping && journal.file.is_some() {
                journal.done();
            }
            Err(error)
        }
    }
}

/// What was found so far, on disk. Dropped without [`Journal::done`] it stays.
#[derive(Debug, Default)]
pub struct Journal {
    path: Option<PathBuf>,
    header: String,
    file: Option<File>,
    /// Samples in the file.
    written: usize,
    /// The file is of another search that nobody goes on with.
    is_foreign: bool,
}

impl Journal {
    /// Takes over what an earlier search of the same left.
    fn resume(&mut self, found: &mut Neighbours, samples: usize) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let mut file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(Error::Read { source, path: path.clone() }),
        };
        lock(&file, path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(Error::read(path))?;
        let size = found.k * RECORD;
        let records =
            bytes.strip_prefix(self.header.as_bytes()).map(|records| records.chunks_exact(size).take(samples));
        let rows_of = |record: &[u8]| -> Vec<u32> {
            record[..found.k * 4].as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect()
        };
        let are_rows = |record: &[u8]| rows_of(record).into_iter().all(|row| (row as usize) < samples);
        let Some(records) = records.filter(|records| records.clone().all(are_rows)) else {
            self.is_foreign = true;
            return Ok(());
        };
        let whole = records.len();
        let mut rows = Vec::with_capacity(whole * found.k);
        for record in records {
            rows.extend(rows_of(record));
            let distances = record[found.k * 4..].as_chunks::<8>().0;
            found.distances.extend(distances.iter().map(|bytes| f64::from_le_bytes(*bytes)));
        }
        found.rows = rows;
        // A torn record at the end goes.
        let end = (self.header.len() + whole * size) as u64;
        file.set_len(end).and_then(|()| file.seek(SeekFrom::Start(end))).map_err(Error::write(path))?;
        (self.file, self.written) = (Some(file), whole);
        Ok(())
    }

    fn write(&mut self, found: &Neighbours) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let mut options = OpenOptions::new();
                let mut file =
                    options.write(true).create(true).truncate(false).open(path).map_err(Error::write(path))?;
                lock(&file, path)?;
                file.set_len(0).and_then(|()| file.write_all(self.header.as_bytes())).map_err(Error::write(path))?;
                self.is_foreign = false;
                self.file.insert(file)
            }
        };
        let k = found.k;
        let mut bytes = Vec::with_capacity((found.samples() - self.written) * k * RECORD);
        for row in self.written..found.samples() {
            found.rows[row * k..(row + 1) * k].iter().for_each(|row| bytes.extend(row.to_le_bytes()));
            found.distances[row * k..(row + 1) * k].iter().for_each(|distance| bytes.extend(distance.to_le_bytes()));
        }
        file.write_all(&bytes).map_err(Error::write(path))?;
        self.written = found.samples();
        Ok(())
    }

    /// Removes the file: what was found is where it belongs.
    pub fn done(self) {
        if let Some(path) = self.path.filter(|_| self.file.is_some() || self.is_foreign) {
            // If it stays, the next search of the same takes it over and one of another replaces it.
            std::fs::remove_file(&path).ok();
        }
    }
}

/// Bytes of a neighbour: its row and its distance.
const RECORD: usize = 12;

fn lock(file: &File, path: &Path) -> Result<()> {
    rustix::fs::flock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| Error::SessionInUse { path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::uniqueness::Distance;
    use crate::compute::vectors::Embeddings;

    #[test]
    fn a_cancelled_search_goes_on_where_it_was() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (path, dim, rows) = (folder.path().join("e.vec"), 5, 400);
        let values = (0..rows * dim).map(|index| ((index as u32).wrapping_mul(2_654_435_761) >> 20) as f32);
        std::fs::write(&path, values.flat_map(f32::to_le_bytes).collect::<Vec<u8>>()).expect("written");
        let embeddings = Embeddings::open(&path, Some(dim), folder.path(), &Monitor::new()).expect("opens");
        let searcher =
            |budget: u64| Searcher::new(&embeddings, Distance::Manhattan, budget, &Monitor::new()).expect("finite");
        let (whole, _) = find_all(&searcher(1 << 30), 3, None, &Monitor::new()).expect("found");

        // Little memory, so that there are many passes; cancelled after the first few.
        let keep = Keep { path: folder.path().join(".journal"), worth_keeping: Duration::ZERO };
        let (small, monitor) = (searcher(1 << 20), Monitor::new());
        let fingerprint = embeddings.fingerprint().expect("readable");
        let header = format!("manhattan 3 400 5 {fingerprint:016x}\n");
        let mut journal = Journal { path: Some(keep.path.clone()), header, ..Journal::default() };
        let part =
            Neighbours { k: 3, rows: whole.rows[..3 * 150].to_vec(), distances: whole.distances[..3 * 150].to_vec() };
        journal.write(&part).expect("written");
        drop(journal);
        // A torn record, as a kill leaves it.
        let mut bytes = std::fs::read(&keep.path).expect("there");
        bytes.extend([1, 2, 3]);
        std::fs::write(&keep.path, &bytes).expect("written");

        monitor.cancel();
        let cancelled = find_all(&small, 3, Some(&keep), &monitor);
        assert!(matches!(cancelled, Err(Error::Cancelled)));
        assert_eq!(std::fs::read(&keep.path).expect("it stays").len(), bytes.len() - 3);

        let monitor = Monitor::new();
        let (found, journal) = find_all(&small, 3, Some(&keep), &monitor).expect("found");
        assert_eq!(found, whole);
        assert!(keep.path.exists(), "it stays until the result is written");
        journal.done();
        assert_eq!(monitor.progress().total, 250 * rows as u64, "only what was missing was searched");
        assert!(!keep.path.exists(), "nothing is left");

        // Of another search it is replaced.
        std::fs::write(&keep.path, "euclidean 3 0000\nrubbish").expect("written");
        let (found, journal) = find_all(&small, 3, Some(&keep), &Monitor::new()).expect("found");
        assert_eq!(found, whole);
        journal.done();
        assert!(!keep.path.exists());
    }
}
