//! A lab session: a folder with the exact answer, and with what every contestant found.
//!
//! - `lab.json`: the question, with fingerprints of the vector files;
//! - `exact.ibin`: the exact ids;
//! - `runs/NAME.json`, `.ibin`, `.latencies`: a contestant with a setting. The `.json` is written last, so what has one
//!   is whole, and a session that was killed continues with what is missing.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::candidate::{Candidate, Setting};
use super::judge::Judged;
use super::neighbours::{Found, latencies_beside};
use super::process;
use super::redis::Access;
use super::truth::{Arena, Question, Truth};
use super::worker::{Built, Event, Job, Searched};
use crate::compute::atomic_file::{temporary_name, write_atomically};
use crate::compute::error::{Error, Result};
use crate::compute::exact::ScoreParams;
use crate::compute::figures::count;
use crate::compute::vectors::{FNV_START, MappedFile, fnv1a};
use crate::job::Monitor;

const LAB_NAME: &str = "lab.json";
const EXACT_NAME: &str = "exact.ibin";
const RUNS_NAME: &str = "runs";
/// Of this form of session.
const VERSION: u32 = 1;

/// What `lab.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    lab_version: u32,
    docs: PathBuf,
    queries: PathBuf,
    dim: usize,
    num_docs: usize,
    num_queries: usize,
    top_k: usize,
    metric: String,
    docs_fingerprint: String,
    queries_fingerprint: String,
}

impl Manifest {
    fn of(question: &Question, arena: &Arena) -> Result<Self> {
        let absolute = |path: &Path| fs::canonicalize(path).map_err(Error::read(path));
        Ok(Self {
            lab_version: VERSION,
            docs: absolute(&question.docs)?,
            queries: absolute(&question.queries)?,
            dim: question.dim,
            num_docs: arena.num_docs,
            num_queries: arena.num_queries,
            top_k: arena.top_k,
            metric: arena.metric.name().to_owned(),
            docs_fingerprint: format!("{:016x}", arena.docs.fingerprint()?),
            queries_fingerprint: format!("{:016x}", arena.queries.fingerprint()?),
        })
    }

    /// What differs, in words.
    fn difference(&self, other: &Self) -> Option<String> {
        let numbers = [
            ("dim", self.dim, other.dim),
            ("docs", self.num_docs, other.num_docs),
            ("queries", self.num_queries, other.num_queries),
            ("top-k", self.top_k, other.top_k),
        ];
        if let Some((name, here, wanted)) = numbers.into_iter().find(|(_, here, wanted)| here != wanted) {
            return Some(format!("{name} {} there, {} asked for", count(here), count(wanted)));
        }
        if self.metric != other.metric {
            return Some(format!("metric {} there, {} asked for", self.metric, other.metric));
        }
        let files = [
            ("docs", &self.docs_fingerprint, &other.docs_fingerprint),
            ("queries", &self.queries_fingerprint, &other.queries_fingerprint),
        ];
        let (name, ..) = files.into_iter().find(|(_, here, wanted)| here != wanted)?;
        Some(format!("other {name}, or the same file changed since"))
    }
}

/// What `runs/NAME.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunInfo {
    /// The candidate, or the name of the neighbour file.
    pub candidate: String,
    pub setting: Setting,
    /// Which of several builds, from 0.
    pub build: usize,
    /// `None` of neighbour files.
    pub built: Option<Built>,
    pub searched: Option<Searched>,
    /// Fingerprint of the index file that was read, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// As [`Job::seed`], where it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

impl RunInfo {
    /// The candidate with its setting.
    pub fn title(&self) -> String {
        let setting = self.setting.to_string();
        if setting.is_empty() { self.candidate.clone() } else { format!("{} {setting}", self.candidate) }
    }

    /// The same for the same contestant, so that a session knows what it has.
    pub fn file_name(&self) -> String {
        let file = self.file.as_deref().unwrap_or_default();
        let text = format!("{}\n{}\n{}\n{file}", self.candidate, self.setting, self.build);
        let hash = fnv1a(FNV_START, text.as_bytes());
        let plain: String = self
            .candidate
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' })
            .take(40)
            .collect();
        format!("{plain}-{hash:016x}")
    }
}

/// A contestant that was judged.
#[derive(Debug, Clone)]
pub struct Run {
    pub info: RunInfo,
    pub found: Found,
    pub judged: Judged,
}

/// How candidates are run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Builds of every candidate, each with its own order of the docs.
    pub builds: usize,
    pub seed: u64,
    pub threads: usize,
    /// Memory that an index may take, in bytes.
    pub memory_bytes: u64,
    /// The program that becomes the child; see [`process::own_program`].
    pub program: PathBuf,
}

/// An open session.
#[derive(Debug)]
pub struct Lab {
    folder: PathBuf,
    pub arena: Arena,
    pub truth: Truth,
    pub runs: Vec<Run>,
    /// Held as long as this is open for writing.
    _lock: Option<File>,
}

impl Lab {
    /// Opens the session of `question` in `folder`, or begins it: searches exactly.
    ///
    /// # Errors
    /// What [`Arena::open`] and [`Arena::check_vectors`] find; a folder that holds another session, is in use or
    /// cannot be written; cancelled.
    pub fn begin(question: &Question, folder: &Path, monitor: &Monitor) -> Result<Self> {
        let arena = Arena::open(question)?;
        arena.check_vectors(monitor)?;
        let manifest = Manifest::of(question, &arena)?;
        let path = folder.join(LAB_NAME);
        let text = serde_json::to_string_pretty(&manifest).map_err(|error| Error::IndexUse {
            what: format!("the paths of docs and queries must be UTF-8 ({error})"),
        })?;
        let other = |difference: &str| Error::Neighbours {
            what: format!("holds {difference}. Choose another folder (-o)"),
            path: folder.to_owned(),
        };
        if path.exists() {
            if let Some(difference) = read_manifest(folder)?.difference(&manifest) {
                return Err(other(&format!("another session ({difference})")));
            }
        } else if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(other("files that are no lab session"));
        }
        fs::create_dir_all(folder.join(RUNS_NAME))
            .map_err(|source| Error::OutputFolder { source, path: folder.to_owned() })?;
        let lock = lock(folder)?;
        // First of all, so that what is stopped now goes on later; and anew, since the files may have been moved.
        write_atomically(&path, text.as_bytes())?;
        remove_unfinished(&folder.join(RUNS_NAME));
        let exact = folder.join(EXACT_NAME);
        let ids = match exact.exists() {
            true => read_exact(&exact, &arena)?,
            false => {
                let ids = arena.exact_ids(monitor)?;
                Found { k: arena.top_k, ids: ids.clone(), latencies: None }.write(&exact)?;
                ids
            }
        };
        Self::with(folder, arena, ids, Some(lock), monitor)
    }

    /// Opens a session to look at it.
    ///
    /// # Errors
    /// A folder without one; vector files that are missing or were changed; damaged files; cancelled.
    pub fn open(folder: &Path, monitor: &Monitor) -> Result<Self> {
        let manifest = read_manifest(folder)?;
        for path in [&manifest.docs, &manifest.queries] {
            if !path.exists() {
                let what = format!("its vectors are not there any more: {}. Put them back", path.display());
                return Err(Error::Neighbours { what, path: folder.to_owned() });
            }
        }
        let question = Question {
            docs: manifest.docs.clone(),
            queries: manifest.queries.clone(),
            dim: manifest.dim,
            num_docs: Some(manifest.num_docs),
            num_queries: Some(manifest.num_queries),
            top_k: manifest.top_k,
            metric: manifest.metric.parse()?,
            memory_budget: ScoreParams::DEFAULT_MEMORY,
        };
        let arena = Arena::open(&question)?;
        if let Some(what) = manifest.difference(&Manifest::of(&question, &arena)?) {
            let what =
                format!("its vectors were changed since ({what}). Restore them, or run it again into another folder");
            return Err(Error::Neighbours { what, path: folder.to_owned() });
        }
        let ids = read_exact(&folder.join(EXACT_NAME), &arena)?;
        Self::with(folder, arena, ids, None, monitor)
    }

    fn with(folder: &Path, arena: Arena, ids: Vec<u32>, lock: Option<File>, monitor: &Monitor) -> Result<Self> {
        let truth = Truth::of(&arena, ids);
        let mut lab = Self { folder: folder.to_owned(), arena, truth, runs: Vec::new(), _lock: lock };
        lab.load_runs(monitor)?;
        Ok(lab)
    }

    /// Lets others write into the session's folder.
    pub fn release(&mut self) {
        self._lock = None;
    }

    /// What it answers.
    pub fn question(&self) -> Question {
        let arena = &self.arena;
        Question {
            docs: arena.docs.path().to_owned(),
            queries: arena.queries.path().to_owned(),
            dim: arena.dim(),
            num_docs: Some(arena.num_docs),
            num_queries: Some(arena.num_queries),
            top_k: arena.top_k,
            metric: arena.metric,
            memory_budget: ScoreParams::DEFAULT_MEMORY,
        }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether `folder` holds a session of the lab.
    pub fn is_in(folder: &Path) -> bool {
        folder.join(LAB_NAME).is_file()
    }

    fn load_runs(&mut self, monitor: &Monitor) -> Result<()> {
        let runs = self.folder.join(RUNS_NAME);
        let mut paths: Vec<PathBuf> = fs::read_dir(&runs)
            .map_err(Error::read(&runs))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .collect();
        paths.sort();
        monitor.begin("judging", "contestants", paths.len() as u64);
        for path in paths {
            let text = fs::read_to_string(&path).map_err(Error::read(&path))?;
            let info: RunInfo = serde_json::from_str(&text).map_err(|error| Error::Neighbours {
                what: format!("is damaged ({error}). Delete it, and this contestant is run again"),
                path: path.clone(),
            })?;
            let run = self.load(info, &path.with_extension("ibin"))?;
            self.runs.push(run);
            monitor.advance(1)?;
        }
        self.sort();
        Ok(())
    }

    fn sort(&mut self) {
        let key = |run: &Run| (run.info.candidate.clone(), run.info.setting.0.clone(), run.info.build);
        self.runs.sort_by_cached_key(key);
    }

    fn load(&self, info: RunInfo, neighbours: &Path) -> Result<Run> {
        let found = Found::read_back(neighbours, self.arena.num_queries, self.arena.num_docs)?;
        let judged = Judged::of(&self.arena, &self.truth, &found);
        Ok(Run { info, found, judged })
    }

    fn path_of(&self, info: &RunInfo) -> PathBuf {
        self.folder.join(RUNS_NAME).join(info.file_name() + ".ibin")
    }

    /// Whether a run is whole.
    fn has(&self, info: &RunInfo) -> bool {
        self.path_of(info).with_extension("json").exists()
    }

    fn keep(&mut self, info: RunInfo) -> Result<()> {
        let path = self.path_of(&info);
        let run = self.load(info, &path)?;
        let text = serde_json::to_string_pretty(&run.info).expect("plain values can be written");
        write_atomically(&path.with_extension("json"), text.as_bytes())?;
        self.runs.retain(|known| known.info.file_name() != run.info.file_name());
        self.runs.push(run);
        self.sort();
        Ok(())
    }

    /// Takes part a neighbour file of another engine under `name`.
    ///
    /// # Errors
    /// What [`Found::read`] finds; a folder that cannot be written.
    pub fn take_neighbours(&mut self, path: &Path, name: &str) -> Result<()> {
        let found = Found::read(path, self.arena.num_queries, self.arena.num_docs)?;
        if self.runs.iter().any(|run| run.info.candidate == name && run.info.built.is_some()) {
            let what = format!("an index of this session is called {name}, too. Give it another name: NAME=FILE");
            return Err(Error::Neighbours { what, path: path.to_owned() });
        }
        let info = RunInfo {
            file: None,
            seed: None,
            candidate: name.to_owned(),
            setting: Setting::default(),
            build: 0,
            built: None,
            searched: found.latencies.as_ref().map(|latencies| Searched {
                one_thread_secs: latencies.iter().map(|secs| f64::from(*secs)).sum(),
                ..Searched::default()
            }),
        };
        let kept = self.path_of(&info);
        // What was there under this name is gone before anything of it is replaced.
        remove_run(&kept)?;
        found.write(&kept)?;
        self.keep(info)
    }

    /// What a child is to do to build a candidate and, so far, to search nothing.
    ///
    /// # Errors
    /// Vector files that are gone.
    pub fn job(&self, candidate: &str, seed: u64, options: &Options, scratch: PathBuf) -> Result<Job> {
        let absolute = |path: &Path| fs::canonicalize(path).map_err(Error::read(path));
        Ok(Job {
            docs: absolute(self.arena.docs.path())?,
            queries: absolute(self.arena.queries.path())?,
            dim: self.arena.dim(),
            num_docs: self.arena.num_docs,
            num_queries: self.arena.num_queries,
            metric: self.arena.metric.name().to_owned(),
            top_k: self.arena.top_k,
            candidate: candidate.to_owned(),
            searches: Vec::new(),
            threads: options.threads,
            seed,
            memory_bytes: options.memory_bytes,
            save: None,
            scratch,
            converses: false,
            server: None,
        })
    }

    /// Builds and searches a candidate with all its settings; what the session has is not run again. `on_run` hears of
    /// every setting that is done.
    ///
    /// # Errors
    /// What the child could not do or died of; cancelled. What was finished before is kept.
    pub fn run(
        &mut self,
        candidate: &Candidate,
        options: &Options,
        monitor: &Monitor,
        on_run: &mut dyn FnMut(&Self),
    ) -> Result<()> {
        if candidate.needs_faiss() && !cfg!(feature = "faiss") {
            let what = format!(
                "{}: this knnscope was built without FAISS. Build it with its default features",
                candidate.name
            );
            return Err(Error::IndexUse { what });
        }
        let builds = if candidate.depends_on_order() { options.builds } else { 1 };
        let file = match candidate.file() {
            Some(path) => Some(format!("{:016x}", MappedFile::open(path)?.fingerprint()?)),
            None => None,
        };
        // Figures of a file that was written again since.
        let stale = |run: &Run| run.info.candidate == candidate.name && run.info.file != file;
        for run in self.runs.iter().filter(|run| stale(run)) {
            remove_run(&self.path_of(&run.info))?;
        }
        self.runs.retain(|run| !stale(run));
        for build in 0..builds {
            let seed = seed_of(build, options);
            let info = |setting: &Setting| RunInfo {
                candidate: candidate.name.clone(),
                setting: setting.clone(),
                build,
                built: None,
                searched: None,
                file: file.clone(),
                seed: Some(seed),
            };
            let missing: Vec<RunInfo> =
                candidate.settings().iter().map(info).filter(|wanted| !self.has(wanted)).collect();
            if missing.is_empty() {
                continue;
            }
            let scratch = self.folder.join(RUNS_NAME).join("index.part");
            let searches = missing.iter().map(|info| (info.setting.clone(), self.path_of(info))).collect();
            // The name has no password; what was typed may.
            let server = candidate.server().map(|server| Access::of_session(server, &self.folder)).transpose()?;
            let job = Job { searches, server, ..self.job(&candidate.name, seed, options, scratch)? };
            let mut built = None;
            let outcome = process::run(&options.program, &job, monitor, &mut |event| {
                match event {
                    Event::Built(figures) => built = Some(figures),
                    Event::Searched(place, searched) => {
                        if let Some(info) = missing.get(place) {
                            self.keep(RunInfo { built, searched: Some(searched), ..info.clone() })?;
                            on_run(self);
                        }
                    }
                    // The others belong to conversations, or were heard already.
                    _ => {}
                }
                Ok(())
            });
            if outcome.is_err() {
                remove_unfinished(&self.folder.join(RUNS_NAME));
            }
            outcome?;
            if !missing.iter().all(|wanted| self.has(wanted)) {
                let what =
                    format!("{}: the index process ended without all that was asked. Run it again", candidate.name);
                return Err(Error::Index { what });
            }
        }
        Ok(())
    }
}

/// The seed of a build, from 0: the first takes the docs in the order of the file.
pub fn seed_of(build: usize, options: &Options) -> u64 {
    if build == 0 { 0 } else { options.seed.wrapping_add(build as u64).max(1) }
}

/// What the session in `folder` asks; its vectors are not looked at.
///
/// # Errors
/// A folder without a session; a damaged manifest.
pub fn question_in(folder: &Path) -> Result<Question> {
    let manifest = read_manifest(folder)?;
    Ok(Question {
        metric: manifest.metric.parse()?,
        docs: manifest.docs,
        queries: manifest.queries,
        dim: manifest.dim,
        num_docs: Some(manifest.num_docs),
        num_queries: Some(manifest.num_queries),
        top_k: manifest.top_k,
        memory_budget: ScoreParams::DEFAULT_MEMORY,
    })
}

/// Builds the index of a candidate in a child process and writes it to `path`.
///
/// # Errors
/// As [`Lab::begin`] and [`Lab::run`]; a candidate without a file form.
pub fn build_file(
    question: &Question,
    candidate: &Candidate,
    options: &Options,
    path: &Path,
    monitor: &Monitor,
) -> Result<Built> {
    if candidate.file().is_some() {
        let what = format!("{} is built already. Choose a family", candidate.name);
        return Err(Error::IndexUse { what });
    }
    let Some(ending) = candidate.file_ending() else {
        let what = format!("{} has no file form. Choose another family", candidate.name);
        return Err(Error::IndexUse { what });
    };
    if path.extension().is_none_or(|found| found != ending && (ending != "faiss" || found != "index")) {
        let (candidate, found) = (&candidate.name, path.display());
        let what = format!("indexes of {candidate} are known by the ending .{ending}. Name the file so, not {found}");
        return Err(Error::IndexUse { what });
    }
    if path.is_dir() {
        return Err(Error::write(path)(std::io::ErrorKind::IsADirectory.into()));
    }
    let arena = Arena::open(question)?;
    arena.check_vectors(monitor)?;
    let unfinished = temporary_name(path);
    let job = Job {
        docs: question.docs.clone(),
        queries: question.queries.clone(),
        dim: question.dim,
        num_docs: arena.num_docs,
        num_queries: arena.num_queries,
        metric: question.metric.name().to_owned(),
        top_k: question.top_k,
        candidate: candidate.name.clone(),
        searches: Vec::new(),
        threads: options.threads,
        seed: 0,
        memory_bytes: options.memory_bytes,
        save: Some(unfinished.clone()),
        scratch: unfinished.clone(),
        converses: false,
        server: None,
    };
    let mut built = None;
    let outcome = process::run(&options.program, &job, monitor, &mut |event| {
        if let Event::Built(figures) = event {
            built = Some(figures);
        }
        Ok(())
    });
    if let Err(error) = outcome {
        fs::remove_file(&unfinished).ok();
        return Err(error);
    }
    let synced = File::open(&unfinished).and_then(|file| file.sync_all());
    if let Err(error) = synced.and_then(|()| fs::rename(&unfinished, path)) {
        fs::remove_file(&unfinished).ok();
        return Err(Error::write(path)(error));
    }
    built.ok_or_else(|| Error::Index {
        what: format!("{}: the index process told nothing of what it built", candidate.name),
    })
}

fn read_manifest(folder: &Path) -> Result<Manifest> {
    let path = folder.join(LAB_NAME);
    let wrong = |what: String| Error::Neighbours { what, path: path.clone() };
    let text = fs::read_to_string(&path).map_err(Error::read(&path))?;
    let manifest: Manifest = serde_json::from_str(&text).map_err(|error| {
        wrong(format!("is no manifest of the index lab ({error}). Run it again into another folder"))
    })?;
    if manifest.lab_version != VERSION {
        let version = manifest.lab_version;
        return Err(wrong(format!(
            "is of form {version}, this knnscope reads form {VERSION}. Take the knnscope that wrote it"
        )));
    }
    Ok(manifest)
}

/// Forgets a run: first that it is whole, then its files.
fn remove_run(neighbours: &Path) -> Result<()> {
    for path in [neighbours.with_extension("json"), latencies_beside(neighbours), neighbours.to_owned()] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Error::write(&path)(error)),
            _ => {}
        }
    }
    Ok(())
}

/// Removes what a child that was killed was writing.
fn remove_unfinished(runs: &Path) {
    let entries = fs::read_dir(runs).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    for path in entries.filter(|path| path.extension().is_some_and(|extension| extension == "part")) {
        // It is in nobody's way: what is whole has another name.
        fs::remove_file(&path).ok();
    }
}

fn read_exact(path: &Path, arena: &Arena) -> Result<Vec<u32>> {
    let found = Found::read(path, arena.num_queries, arena.num_docs)?;
    if found.k != arena.top_k || found.ids.contains(&super::NONE) {
        let what =
            "does not hold the exact answer of this session: it is damaged. Delete it with lab.json, and run again";
        return Err(Error::Neighbours { what: what.to_owned(), path: path.to_owned() });
    }
    Ok(found.ids)
}

fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(".lock");
    let file = File::create(&path).map_err(|source| Error::OutputFolder { source, path: folder.to_owned() })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(_) => Err(Error::SessionInUse { path: folder.to_owned() }),
    }
}
