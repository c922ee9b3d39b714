//! What was found so far, on disk beside the output, so that a killed search goes on where it was.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::search::{Searcher, Wanted};
use super::{Distance, Neighbours};
use crate::compute::error::{Error, Result};
use crate::job::Monitor;

/// A search begins to be written down after this long, and what is worth less is not kept when it is cancelled.
const WORTH_KEEPING: Duration = Duration::from_secs(60);

/// The k nearest others of all samples.
///
/// `journal`: a file for what was found so far; a search of the same file, k and distance that was killed or
/// cancelled goes on with what it holds. It is written from [`WORTH_KEEPING`] / 2 on, and gone when all is found.
///
/// # Errors
/// As of [`Searcher::search`]; a journal that cannot be written, or is in use by another process.
pub fn find_all(
    searcher: &Searcher<'_>,
    distance: Distance,
    k: usize,
    journal: Option<&Path>,
    monitor: &Monitor,
) -> Result<Neighbours> {
    let samples = searcher.embeddings().rows();
    let needed = samples as u64 * Neighbours::bytes_of(k);
    if needed > searcher.budget().saturating_mul(4) {
        return Err(Error::MemoryBudget { needed, budget: searcher.budget().saturating_mul(4) });
    }
    let started = Instant::now();
    let mut found = Neighbours { k, rows: Vec::new(), distances: Vec::new() };
    let mut journal = match journal {
        Some(path) => {
            let header = format!("{} {k} {:016x}\n", distance.name(), searcher.embeddings().fingerprint()?);
            let mut journal = Journal { path: path.to_owned(), header, file: None, written: 0 };
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
            Some(journal) if started.elapsed() > WORTH_KEEPING / 2 || journal.file.is_some() => journal.write(&found),
            _ => Ok(()),
        }
    });
    match (&outcome, journal) {
        (Ok(()), Some(journal)) => journal.remove(),
        (Err(_), Some(journal)) if first == 0 && started.elapsed() < WORTH_KEEPING => journal.remove(),
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
                let mut file =
                    options.write(true).create(true).truncate(false).open(&self.path).map_err(Error::write(&self.path))?;
                lock(&file, &self.path)?;
                file.set_len(0).and_then(|()| file.write_all(self.header.as_bytes())).map_err(Error::write(&self.path))?;
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
