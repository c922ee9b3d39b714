//! What was found so far, on disk beside the output, so that a killed search goes on where it was.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Neighbours;
use super::search::{Searcher, Wanted};
use crate::compute::error::{Error, Result};
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

/// The k nearest others of all samples.
///
/// `keep`: a search of the same file, k and distance that was killed or cancelled goes on with what was found;
/// when all is found, nothing of it is left.
///
/// # Errors
/// As of [`Searcher::search`]; a journal that cannot be written, or is in use by another process.
pub fn find_all(searcher: &Searcher<'_>, k: usize, keep: Option<&Keep>, monitor: &Monitor) -> Result<Neighbours> {
    let samples = searcher.embeddings().rows();
    let needed = samples as u64 * Neighbours::bytes_of(k);
    if needed > searcher.budget().saturating_mul(4) {
        return Err(Error::MemoryBudget { needed, budget: searcher.budget().saturating_mul(4) });
    }
    let started = Instant::now();
    let mut found = Neighbours { k, rows: Vec::new(), distances: Vec::new() };
    let worth_keeping = keep.map_or(Duration::MAX, |keep| keep.worth_keeping);
    let mut journal = match keep {
        Some(keep) => {
            let header = format!("{} {k} {:016x}\n", searcher.distance().name(), searcher.embeddings().fingerprint()?);
            let mut journal = Journal { path: keep.path.clone(), header, file: None, written: 0 };
            journal.resume(&mut found, samples)?;
            Some(journal)
        }
        None => None,
    };
    let first = found.samples();
    let outcome = searcher.search(k, &Wanted::Range(first..samples), monitor, |pass| {
        found.rows.extend(pass.rows);
        found.distances.extend(pass.distances);
        match &mut journal {
            Some(journal) if started.elapsed() > worth_keeping / 2 || journal.file.is_some() => journal.write(&found),
            _ => Ok(()),
        }
    });
    match (&outcome, journal) {
        (Ok(()), Some(journal)) => journal.remove(),
        (Err(_), Some(journal)) if first == 0 && started.elapsed() < worth_keeping => journal.remove(),
        _ => {}
    }
    outcome?;
    Ok(found)
}

struct Journal {
    path: PathBuf,
    header: String,
    file: Option<File>,
    /// Samples in the file.
    written: usize,
}

impl Journal {
    /// Takes over what an earlier search of the same left.
    fn resume(&mut self, found: &mut Neighbours, samples: usize) -> Result<()> {
        let mut bytes = Vec::new();
        match OpenOptions::new().read(true).write(true).open(&self.path) {
            Ok(mut file) => {
                lock(&file, &self.path)?;
                file.read_to_end(&mut bytes).map_err(Error::read(&self.path))?;
                let Some(records) = bytes.strip_prefix(self.header.as_bytes()) else { return Ok(()) };
                let size = found.k * 12;
                let whole = (records.len() / size).min(samples);
                for record in records.chunks_exact(size).take(whole) {
                    let (rows, distances) = record.split_at(found.k * 4);
                    found.rows.extend(rows.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)));
                    found.distances.extend(distances.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)));
                }
                // A torn record at the end goes.
                let end = (self.header.len() + whole * size) as u64;
                file.set_len(end).map_err(Error::write(&self.path))?;
                use std::io::Seek;
                file.seek(std::io::SeekFrom::Start(end)).map_err(Error::write(&self.path))?;
                (self.file, self.written) = (Some(file), whole);
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(Error::Read { source, path: self.path.clone() }),
        }
    }

    fn write(&mut self, found: &Neighbours) -> Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let mut options = OpenOptions::new();
                let mut file = options
                    .write(true)
                    .create(true)
                    .truncate(false)
                    .open(&self.path)
                    .map_err(Error::write(&self.path))?;
                lock(&file, &self.path)?;
                file.set_len(0)
                    .and_then(|()| file.write_all(self.header.as_bytes()))
                    .map_err(Error::write(&self.path))?;
                self.file.insert(file)
            }
        };
        let k = found.k;
        let mut bytes = Vec::with_capacity((found.samples() - self.written) * k * 12);
        for row in self.written..found.samples() {
            found.rows[row * k..(row + 1) * k].iter().for_each(|row| bytes.extend(row.to_le_bytes()));
            found.distances[row * k..(row + 1) * k].iter().for_each(|distance| bytes.extend(distance.to_le_bytes()));
        }
        file.write_all(&bytes).map_err(Error::write(&self.path))?;
        self.written = found.samples();
        Ok(())
    }

    fn remove(self) {
        if self.file.is_some() {
            // If it stays, the next search of the same takes it over and one of another replaces it.
            std::fs::remove_file(&self.path).ok();
        }
    }
}

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
        let whole = find_all(&searcher(1 << 30), 3, None, &Monitor::new()).expect("found");

        // Little memory, so that there are many passes; cancelled after the first few.
        let keep = Keep { path: folder.path().join(".journal"), worth_keeping: Duration::ZERO };
        let (small, monitor) = (searcher(1 << 20), Monitor::new());
        let mut journal = Journal { path: keep.path.clone(), header: String::new(), file: None, written: 0 };
        journal.header = format!("manhattan 3 {:016x}\n", embeddings.fingerprint().expect("readable"));
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
        let found = find_all(&small, 3, Some(&keep), &monitor).expect("found");
        assert_eq!(found, whole);
        assert_eq!(monitor.progress().total, 250 * rows as u64, "only what was missing was searched");
        assert!(!keep.path.exists(), "nothing is left");

        // Of another search it is replaced.
        std::fs::write(&keep.path, "euclidean 3 0000\nrubbish").expect("written");
        let found = find_all(&small, 3, Some(&keep), &Monitor::new()).expect("found");
        assert_eq!(found, whole);
        assert!(!keep.path.exists());
    }
}
