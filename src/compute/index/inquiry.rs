//! Asking an index about itself: the index of a run, built again in a child process, and what it answers.

use std::fs;
use std::path::{Path, PathBuf};

use super::candidate::{Candidate, Setting};
use super::process::Conversation;
use super::redis::Access;
use super::session::{Lab, Options, Run, seed_of};
use super::worker::{Ask, Job};
use super::{Apart, NONE, Traits};
use crate::compute::error::{Error, Result};
use crate::compute::vectors::MappedFile;
use crate::job::Monitor;

/// Begins the names of folders of studies, which go on with the process and a dash.
const SCRATCH: &str = ".study-";

/// A folder for the files of a study while it runs; it goes when this is dropped.
pub struct Scratch(tempfile::TempDir);

impl Scratch {
    /// Makes it in the folder of a session, or where the system keeps such things if the session cannot be written.
    ///
    /// # Errors
    /// No place at all.
    pub fn new(session: &Path) -> Result<Self> {
        remove_left_behind(session);
        let prefix = format!("{SCRATCH}{}-", std::process::id());
        let mut maker = tempfile::Builder::new();
        maker.prefix(&prefix);
        let made = maker.tempdir_in(session).or_else(|_| maker.tempdir());
        made.map(Self).map_err(|source| Error::OutputFolder { source, path: session.to_owned() })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// Removes folders of processes that were killed.
fn remove_left_behind(session: &Path) {
    for entry in fs::read_dir(session).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix(SCRATCH).and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if process.is_some_and(|process| !Path::new("/proc").join(process.to_string()).exists()) {
            // It is in nobody's way.
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}

/// The index of a run, built again, in a child that answers.
pub struct Inquiry<'a> {
    lab: &'a Lab,
    conversation: Conversation,
    scratch: Scratch,
    monitor: &'a Monitor,
}

impl<'a> Inquiry<'a> {
    /// Builds the index of `run` again as it was built for it: in the same order of the docs, with the same seed. Graphs and
    /// forests that several threads build differ a little all the same; of one thread they are the same.
    ///
    /// # Errors
    /// A run of a neighbour file; an index file that was changed since; what the child could not do; cancelled.
    pub fn begin(lab: &'a Lab, run: &Run, options: &Options, monitor: &'a Monitor) -> Result<Self> {
        let info = &run.info;
        if info.built.is_none() {
            let what = format!("{} is a file of neighbours: there is no index to ask", info.candidate);
            return Err(Error::IndexUse { what });
        }
        let candidate = Candidate::parse(&info.candidate, lab.arena.dim())?;
        if let Some(path) = candidate.file() {
            let fingerprint = format!("{:016x}", MappedFile::open(path)?.fingerprint()?);
            if info.file.as_ref().is_some_and(|known| *known != fingerprint) {
                let what = "was changed since it was searched. Search it again (knnscope index search)".to_owned();
                return Err(Error::Neighbours { what, path: path.to_owned() });
            }
        }
        let scratch = Scratch::new(lab.folder())?;
        let was_one = info.searched.is_some_and(|searched| searched.threads == 1);
        let options = Options { threads: if was_one { 1 } else { options.threads }, ..options.clone() };
        let seed = info.seed.unwrap_or_else(|| seed_of(info.build, &options));
        let job = lab.job(&info.candidate, seed, &options, scratch.path("index.part"))?;
        // Not with the key of the session, which a search in the same folder would remove.
        let job = Job { server: candidate.server().map(Access::once).transpose()?, ..job };
        let conversation = Conversation::begin(&options.program, job, monitor)?;
        Ok(Self { lab, conversation, scratch, monitor })
    }

    pub fn traits(&self) -> Traits {
        self.conversation.traits
    }

    /// Asks for a file of `wanted` numbers; `None` if the index cannot tell.
    fn numbers(&mut self, wanted: usize, ask: impl FnOnce(PathBuf) -> Ask) -> Result<Option<Vec<u32>>> {
        let path = self.scratch.path("answer");
        if self.conversation.ask(&ask(path.clone()), self.monitor)?.is_err() {
            return Ok(None);
        }
        let bytes = fs::read(&path).map_err(Error::read(&path))?;
        fs::remove_file(&path).map_err(Error::write(&path))?;
        let words = bytes.as_chunks::<4>().0;
        if words.len() != wanted {
            let what = format!("the index process told {} numbers instead of {wanted}", words.len());
            return Err(Error::Index { what });
        }
        Ok(Some(words.iter().map(|word| u32::from_le_bytes(*word)).collect()))
    }

    /// What it finds for `queries`, k ids each, [`NONE`] where there are fewer; `None` if it does not know a parameter.
    /// `one_by_one`: as [`Ask::Search`] has it.
    ///
    /// # Errors
    /// What the child could not do; cancelled.
    pub fn search(
        &mut self,
        setting: &Setting,
        queries: &[u32],
        k: usize,
        one_by_one: bool,
    ) -> Result<Option<Vec<u32>>> {
        let (setting, queries) = (setting.clone(), queries.to_vec());
        let docs = self.lab.arena.num_docs as u32;
        let found = self.numbers(queries.len() * k, |path| Ask::Search { setting, queries, k, one_by_one, path })?;
        match found {
            Some(ids) if ids.iter().any(|&id| id != NONE && id >= docs) => {
                Err(Error::Index { what: "the index found docs that are not searched".to_owned() })
            }
            found => Ok(found),
        }
    }

    /// The cell of every doc that is searched, [`NONE`] for those in none; `None` of an index without cells.
    ///
    /// # Errors
    /// As [`Inquiry::search`].
    pub fn docs_cells(&mut self) -> Result<Option<Vec<u32>>> {
        let docs = self.lab.arena.num_docs;
        self.numbers(docs, |path| Ask::DocsCells { path })
    }

    /// The `probes` cells nearest to each of `queries`, nearest first; `None` of an index without cells.
    ///
    /// # Errors
    /// As [`Inquiry::search`].
    pub fn queries_cells(&mut self, queries: &[u32], probes: usize) -> Result<Option<Vec<u32>>> {
        let queries = queries.to_vec();
        self.numbers(queries.len() * probes, |path| Ask::QueriesCells { queries, probes, path })
    }

    /// How far apart pairs of a query and a doc are by their hashes; `None` of an index without tables of hashes.
    ///
    /// # Errors
    /// As [`Inquiry::search`].
    pub fn apart(&mut self, pairs: &[(u32, u32)]) -> Result<Option<Vec<Apart>>> {
        let pairs = pairs.to_vec();
        let numbers = self.numbers(2 * pairs.len(), |path| Ask::Apart { pairs, path })?;
        let of = |&[hashes, probes]: &[u32; 2]| Apart { hashes, probes: (probes != NONE).then_some(probes) };
        Ok(numbers.map(|numbers| numbers.as_chunks::<2>().0.iter().map(of).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scratch_goes_with_its_owner_and_what_the_dead_left_goes_too() {
        let session = tempfile::tempdir().expect("temporary folder");
        // No process has this number: the system's largest is 2²².
        let left = session.path().join(format!("{SCRATCH}4999999-abc"));
        let living = session.path().join(format!("{SCRATCH}{}-abc", std::process::id()));
        for path in [&left, &living] {
            fs::create_dir(path).expect("made");
        }
        fs::write(left.join("answer"), "torn").expect("written");
        let scratch = Scratch::new(session.path()).expect("made");
        fs::write(scratch.path("answer"), "whole").expect("written");
        assert!(!left.exists() && living.exists());
        assert!(scratch.path("answer").starts_with(session.path()));
        drop(scratch);
        assert_eq!(fs::read_dir(session.path()).expect("listed").count(), 1);
    }
}
