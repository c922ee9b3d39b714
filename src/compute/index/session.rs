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
use super::neighbours::Found;
use super::process;
use super::truth::{Arena, Question, Truth};
use super::worker::{Built, Event, Job, Searched, latencies_beside};
use crate::compute::atomic_file::{temporary_name, write_atomically};
use crate::compute::error::{Error, Result};
use crate::compute::exact::ScoreParams;
use crate::compute::figures::count;
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
}

impl RunInfo {
    /// The candidate with its setting.
    pub fn title(&self) -> String {
        let setting = self.setting.to_string();
        if setting.is_empty() { self.candidate.clone() } else { format!("{} {setting}", self.candidate) }
    }

    /// The same for the same contestant, so that a session knows what it has.
    fn file_name(&self) -> String {
        let text = format!("{}\n{}\n{}", self.candidate, self.setting, self.build);
        // FNV-1a.
        let hash = text
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
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
        monitor.begin("checking vectors", "rows", (arena.num_docs + arena.num_queries) as u64);
        arena.check_vectors(monitor)?;
        let manifest = Manifest::of(question, &arena)?;
        let path = folder.join(LAB_NAME);
        if path.exists() {
            if let Some(difference) = read_manifest(folder)?.difference(&manifest) {
                return Err(Error::OtherSession { difference, path: folder.to_owned() });
            }
        } else if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
            let difference = "files that are no lab session".to_owned();
            return Err(Error::OtherSession { difference, path: folder.to_owned() });
        }
        fs::create_dir_all(folder.join(RUNS_NAME))
            .map_err(|source| Error::OutputFolder { source, path: folder.to_owned() })?;
        let lock = lock(folder)?;
        let exact = folder.join(EXACT_NAME);
        let ids = match path.exists() && exact.exists() {
            true => read_exact(&exact, &arena)?,
            false => {
                let ids = arena.exact_ids(monitor)?;
                Found { k: arena.top_k, ids: ids.clone(), latencies: None }.write(&exact)?;
                let text = serde_json::to_string_pretty(&manifest).expect("plain values can be written");
                write_atomically(&path, text.as_bytes())?;
                ids
            }
        };
        let truth = Truth::of(&arena, ids);
        let mut lab = Self { folder: folder.to_owned(), arena, truth, runs: Vec::new(), _lock: Some(lock) };
        lab.load_runs(monitor)?;
        Ok(lab)
    }

    /// Opens a session to look at it.
    ///
    /// # Errors
    /// A folder without one; vector files that are missing or were changed; damaged files; cancelled.
    pub fn open(folder: &Path, monitor: &Monitor) -> Result<Self> {
        let manifest = read_manifest(folder)?;
        for path in [&manifest.docs, &manifest.queries] {
            if !path.exists() {
                return Err(Error::VectorsMissing { path: path.clone(), folder: folder.to_owned() });
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
            let path = if what.contains("queries") { manifest.queries } else { manifest.docs };
            return Err(Error::VectorsChanged { what, path });
        }
        let ids = read_exact(&folder.join(EXACT_NAME), &arena)?;
        let truth = Truth::of(&arena, ids);
        let mut lab = Self { folder: folder.to_owned(), arena, truth, runs: Vec::new(), _lock: None };
        lab.load_runs(monitor)?;
        Ok(lab)
    }

    /// Lets others write into the session's folder.
    pub fn release(&mut self) {
        self._lock = None;
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
        let mut found = Found::read(neighbours, self.arena.num_queries, self.arena.num_docs)?;
        let path = latencies_beside(neighbours);
        if path.exists() {
            let bytes = fs::read(&path).map_err(Error::read(&path))?;
            let secs: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|secs| f32::from_le_bytes(*secs)).collect();
            found.latencies = (secs.len() == self.arena.num_queries).then_some(secs);
        }
        let judged = Judged::of(&self.arena, &self.truth, &found);
        Ok(Run { info, found, judged })
    }

    fn path_of(&self, info: &RunInfo) -> PathBuf {
        self.folder.join(RUNS_NAME).join(info.file_name() + ".ibin")
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
        let info = RunInfo {
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
        if let Some(latencies) = &found.latencies {
            let bytes: Vec<u8> = latencies.iter().flat_map(|secs| secs.to_le_bytes()).collect();
            write_atomically(&latencies_beside(&kept), &bytes)?;
        }
        found.write(&kept)?;
        self.keep(info)
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
        for build in 0..builds {
            let info = |setting: &Setting| RunInfo {
                candidate: candidate.name.clone(),
                setting: setting.clone(),
                build,
                built: None,
                searched: None,
            };
            let missing: Vec<RunInfo> = candidate
                .settings()
                .iter()
                .map(info)
                .filter(|wanted| !self.path_of(wanted).with_extension("json").exists())
                .collect();
            if missing.is_empty() {
                continue;
            }
            let absolute = |path: &Path| fs::canonicalize(path).map_err(Error::read(path));
            let job = Job {
                docs: absolute(self.arena.docs.path())?,
                queries: absolute(self.arena.queries.path())?,
                dim: self.arena.dim(),
                num_docs: self.arena.num_docs,
                num_queries: self.arena.num_queries,
                metric: self.arena.metric.name().to_owned(),
                top_k: self.arena.top_k,
                candidate: candidate.name.clone(),
                searches: missing.iter().map(|info| (info.setting.clone(), self.path_of(info))).collect(),
                threads: options.threads,
                seed: if build == 0 { 0 } else { options.seed.wrapping_add(build as u64).max(1) },
                memory_bytes: options.memory_bytes,
                save: None,
                scratch: self.folder.join(RUNS_NAME).join("index.part"),
            };
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
                    Event::Progress { .. } | Event::Failed { .. } => {}
                }
                Ok(())
            });
            if outcome.is_err() {
                // A child that was killed leaves what it was writing.
                fs::remove_file(&job.scratch).ok();
            }
            outcome?;
        }
        Ok(())
    }
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
    let arena = Arena::open(question)?;
    monitor.begin("checking vectors", "rows", (arena.num_docs + arena.num_queries) as u64);
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
    fs::rename(&unfinished, path).map_err(Error::write(path))?;
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
