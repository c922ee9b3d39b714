//! The child process: builds one index, searches it with every setting, tells what happens line by line.
//!
//! Jobs come on standard input, events go to standard output, both as JSON. What is found goes to files, so that a
//! child that dies later loses nothing of it.

use std::io::{BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use serde::{Deserialize, Serialize};

use super::annoy::AnnoyFile;
use super::baselines::{Exact, Precomputed};
use super::candidate::{Candidate, Engine, Setting};
use super::hyperplane::Hyperplanes;
use super::neighbours::Found;
use super::redis::{Access, VectorSet};
use super::trees::{self, Plan};
use super::truth::{Arena, Question};
use super::{Index, NONE, Traits};
use crate::compute::atomic_file::write_atomically;
use crate::compute::error::{Error, Result};
use crate::compute::exact::ScoreParams;
use crate::compute::figures::{bytes, count, counted};
use crate::compute::random::Random;
use crate::job::Monitor;

/// The argument with which this program becomes a child.
pub const ARGUMENT: &str = "index-worker";
/// Begins every line of events; libraries may print lines of their own.
pub const MARK: &str = "@knnscope ";
/// Memory beside the index: the program, its threads, a batch of vectors.
const OWN_BYTES: u64 = 512 << 20;
/// Stacks and heaps of a thread, of this program's and of the libraries'.
const THREAD_BYTES: u64 = 24 << 20;
/// Queries that are asked at once where nothing is timed: below FAISS's limit for BLAS, whose sums are a little different, so
/// that answers are those of a query that comes alone.
const QUERIES_AT_ONCE: usize = 16;
/// Ids that a library returns for them meanwhile, at most, unless one query wants more.
const ANSWERS_AT_ONCE: usize = 4 << 20;
/// Queries that are asked before any is timed.
const WARM_UP: usize = 50;

/// What a child is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    pub docs: PathBuf,
    pub queries: PathBuf,
    pub dim: usize,
    pub num_docs: usize,
    pub num_queries: usize,
    pub metric: String,
    pub top_k: usize,
    /// As [`Candidate::name`].
    pub candidate: String,
    /// Search settings, with where to put what each finds.
    pub searches: Vec<(Setting, PathBuf)>,
    /// Threads for building, and for searching all queries at once.
    pub threads: usize,
    /// Order of the docs, and what is drawn at random; 0 for the order of the file.
    pub seed: u64,
    /// Memory that the index may take.
    pub memory_bytes: u64,
    /// Where to write the index, if it is to be kept.
    pub save: Option<PathBuf>,
    /// Where the index may be written to tell its size on disk.
    pub scratch: PathBuf,
    /// Whether it answers what it is asked ([`Ask`]), a line each, instead of searching as [`Job::searches`] says.
    #[serde(default)]
    pub converses: bool,
    /// The way into a server, of candidates that need one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Access>,
}

/// What a child can be asked about its index. Numbers go to a file, little-endian, 4 bytes each, row after row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Ask {
    /// What it finds for some queries: their ids, k each. Parameters that the setting does not name stay as they are.
    Search {
        setting: Setting,
        queries: Vec<u32>,
        k: usize,
        /// One query after another on one thread, as latencies are measured: some libraries sum up in another order when they
        /// are asked many at once.
        one_by_one: bool,
        path: PathBuf,
    },
    /// The cell of every doc.
    DocsCells { path: PathBuf },
    /// The cells nearest to some queries, `probes` each.
    QueriesCells { queries: Vec<u32>, probes: usize, path: PathBuf },
    /// How far apart pairs of a query and a doc are by their hashes: in how many they differ, and at how many probes they
    /// meet, [`NONE`] if never.
    Apart { pairs: Vec<(u32, u32)>, path: PathBuf },
}

/// What a child tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// A stage with its total, and what of it is done.
    Progress {
        label: String,
        detail: String,
        unit: String,
        done: u64,
        total: u64,
    },
    /// It has its files or its server, and begins: from here on it may load something into that server.
    Opened,
    Built(Built),
    /// The search of this index in [`Job::searches`] is done, and its files are written.
    Searched(usize, Searched),
    /// It is built, and waits for what it is asked.
    Ready(Traits),
    /// What was asked is answered, and its file is written.
    Answered,
    /// What was asked cannot be told by this index, and why; it waits for what else it is asked.
    Refused(String),
    /// Why it ends, and whether the user asked for something that cannot be.
    Failed {
        message: String,
        is_wrong_use: bool,
    },
}

/// What building took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Built {
    pub train_secs: f64,
    pub build_secs: f64,
    /// Memory that the process took for it, files that it maps included; of an index in a server, what that tells.
    pub memory_bytes: u64,
    /// Size of its file, if it has a file form.
    pub disk_bytes: Option<u64>,
    pub docs: usize,
}

/// What searching took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Searched {
    /// Seconds of all queries, one after another on one thread.
    pub one_thread_secs: f64,
    /// Seconds of all queries at once on all threads.
    pub all_threads_secs: f64,
    /// How many these were; 0 if nobody told.
    #[serde(default)]
    pub threads: usize,
    /// Distances computed on one thread, where the index tells.
    pub distance_computations: Option<u64>,
}

/// Does the job on `input`; for `main`. Returns whether it succeeded.
pub fn run(input: &mut dyn BufRead, output: &mut (dyn Write + Send)) -> bool {
    // If the parent dies, nobody would stop this.
    set_parent_process_death_signal(Some(Signal::KILL)).ok();
    let mut line = String::new();
    let job = match input.read_line(&mut line).map_err(|error| error.to_string()) {
        Ok(_) => serde_json::from_str::<Job>(&line).map_err(|error| error.to_string()),
        Err(error) => Err(error),
    };
    let job = match job {
        Ok(job) => job,
        Err(error) => {
            let message = format!("{ARGUMENT} is started by knnscope itself, with a job on its input ({error})");
            tell(output, &Event::Failed { message, is_wrong_use: true });
            return false;
        }
    };
    let answers = job.num_queries as u64 * job.top_k as u64 * 8;
    let beside = OWN_BYTES + THREAD_BYTES * job.threads as u64 + answers;
    let limit = Some(job.memory_bytes.saturating_add(beside));
    setrlimit(Resource::Data, Rlimit { current: limit, maximum: limit }).ok();
    let (monitor, is_done) = (Monitor::new(), AtomicBool::new(false));
    let output = std::sync::Mutex::new(output);
    let say = |event: &Event| {
        let mut output = output.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        tell(&mut **output, event);
    };
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut last = None;
            while !is_done.load(Ordering::Relaxed) {
                let progress = monitor.progress();
                let event = Event::Progress {
                    label: progress.stage.clone(),
                    detail: progress.detail.clone(),
                    unit: progress.unit.to_owned(),
                    done: progress.done,
                    total: progress.total,
                };
                if last.as_ref() != Some(&event) && !progress.stage.is_empty() {
                    say(&event);
                    last = Some(event);
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        // Bindings panic at answers of libraries that make no sense to them.
        let outcome = catch_unwind(AssertUnwindSafe(|| work(&job, input, &monitor, &say)));
        is_done.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|_| Err(Error::Index { what: format!("it broke off. {}", advice(&job)) }))
    });
    if let Err(error) = &outcome {
        say(&Event::Failed { message: error.to_string(), is_wrong_use: error.is_wrong_use() });
    }
    outcome.is_ok()
}

fn tell(output: &mut dyn Write, event: &Event) {
    if let Ok(line) = serde_json::to_string(event) {
        // A parent that is gone has killed this already.
        writeln!(output, "{MARK}{line}").and_then(|()| output.flush()).ok();
    }
}

fn work(job: &Job, input: &mut dyn BufRead, monitor: &Monitor, say: &dyn Fn(&Event)) -> Result<()> {
    let question = Question {
        docs: job.docs.clone(),
        queries: job.queries.clone(),
        dim: job.dim,
        num_docs: Some(job.num_docs),
        num_queries: Some(job.num_queries),
        top_k: job.top_k,
        metric: job.metric.parse()?,
        // Of the exact search, which only the exact contestant does.
        memory_budget: job.memory_bytes.max(ScoreParams::DEFAULT_MEMORY),
    };
    let candidate = Candidate::parse(&job.candidate, job.dim)?;
    let arena = Arena::open(&question)?;
    let order = match job.seed {
        0 => (0..arena.num_docs as u32).collect(),
        seed => Random::stream(seed, 0x006f_7264_6572).order(arena.num_docs),
    };
    monitor.begin("opening the index", "steps", 0);
    let before = own_memory();
    let mut index = open(&candidate.engine, &arena, job)?;
    say(&Event::Opened);
    let started = Instant::now();
    index.use_threads(job.threads)?;
    index.train(arena.indexed(), &order, monitor)?;
    let train_secs = started.elapsed().as_secs_f64();
    index.build(arena.indexed(), &order, monitor)?;
    index.settle();
    let build_secs = started.elapsed().as_secs_f64() - train_secs;
    let own = own_memory().saturating_sub(before) + index.mapped_bytes();
    let memory_bytes = index.server_bytes().unwrap_or(own);
    // Of fewer docs it may be judged, which is told.
    if index.len() > arena.num_docs {
        let what = format!(
            "holds {}, but only {} are searched. Choose the docs it was built from (--docs, --num-docs)",
            counted(index.len(), "doc", "docs"),
            count(arena.num_docs)
        );
        return Err(Error::Neighbours { what, path: job.candidate.clone().into() });
    }
    let disk_bytes = if job.converses { None } else { size_on_disk(&mut *index, job)? };
    say(&Event::Built(Built { train_secs, build_secs, memory_bytes, disk_bytes, docs: index.len() }));
    if job.converses {
        say(&Event::Ready(index.traits()));
        let is_by_row = matches!(candidate.engine, Engine::Exact | Engine::Precomputed);
        return converse(&mut *index, &arena, is_by_row, job.threads, input, monitor, say);
    }
    for (place, (setting, path)) in job.searches.iter().enumerate() {
        for (name, value) in &setting.0 {
            index.set(name, *value)?;
        }
        let (found, searched) = search(&mut *index, &arena, job, &setting.to_string(), monitor)?;
        found.write(path)?;
        say(&Event::Searched(place, searched));
        // The parent judges now; what follows is timed, and waits until it is done.
        if input.read_line(&mut String::new()).map_or(true, |bytes| bytes == 0) {
            return Ok(());
        }
    }
    Ok(())
}

/// Answers until nothing more is asked. `is_by_row`: queries are known by their rows, so they come one by one.
fn converse(
    index: &mut dyn Index,
    arena: &Arena,
    is_by_row: bool,
    threads: usize,
    input: &mut dyn BufRead,
    monitor: &Monitor,
    say: &dyn Fn(&Event),
) -> Result<()> {
    loop {
        let mut line = String::new();
        if input.read_line(&mut line).map_or(true, |bytes| bytes == 0) {
            return Ok(());
        }
        let asked = serde_json::from_str(&line)
            .map_err(|error| Error::Index { what: format!("it was asked what it does not know ({error})") });
        let answered = asked.and_then(|ask| {
            let threads = if matches!(ask, Ask::Search { one_by_one: true, .. }) { 1 } else { threads };
            index.use_threads(threads)?;
            answer(index, arena, is_by_row, &ask, monitor)
        });
        match answered {
            Ok(()) => say(&Event::Answered),
            Err(error) if error.is_wrong_use() => say(&Event::Refused(error.to_string())),
            Err(error) => return Err(error),
        }
    }
}

fn answer(index: &mut dyn Index, arena: &Arena, is_by_row: bool, ask: &Ask, monitor: &Monitor) -> Result<()> {
    let gather = |rows: &[u32]| {
        let mut values = Vec::with_capacity(rows.len() * arena.dim());
        rows.iter().for_each(|&row| values.extend_from_slice(arena.queries.row(row as usize)));
        values
    };
    match ask {
        Ask::Search { setting, queries, k, one_by_one, path } => {
            for (name, value) in &setting.0 {
                index.set(name, *value)?;
            }
            monitor.begin("searching again", "queries", queries.len() as u64);
            monitor.set_detail(setting.to_string());
            let factor = setting.0.iter().find(|(name, _)| name == "k_factor_rf").map_or(1, |(_, factor)| *factor);
            let width = k.saturating_mul(usize::try_from(factor).unwrap_or(usize::MAX)).max(1);
            let at_once =
                if *one_by_one || is_by_row { 1 } else { (ANSWERS_AT_ONCE / width).clamp(1, QUERIES_AT_ONCE) };
            let mut ids = vec![NONE; queries.len() * k];
            for (rows, ids) in queries.chunks(at_once).zip(ids.chunks_mut(at_once * k)) {
                index.search(rows[0] as usize, &gather(rows), *k, ids)?;
                monitor.advance(rows.len() as u64)?;
            }
            write_numbers(path, ids.iter().map(|id| id.to_le_bytes()))
        }
        Ask::DocsCells { path } => {
            write_numbers(path, index.docs_cells(arena.num_docs)?.iter().map(|cell| cell.to_le_bytes()))
        }
        Ask::QueriesCells { queries, probes, path } => {
            monitor.begin("finding the cells of queries", "queries", queries.len() as u64);
            let mut cells = Vec::with_capacity(queries.len() * probes);
            for rows in queries.chunks(QUERIES_AT_ONCE) {
                cells.extend(index.queries_cells(&gather(rows), *probes)?);
                monitor.advance(rows.len() as u64)?;
            }
            write_numbers(path, cells.iter().map(|cell| cell.to_le_bytes()))
        }
        Ask::Apart { pairs, path } => {
            monitor.begin("comparing hashes", "pairs", pairs.len() as u64);
            let mut numbers = Vec::with_capacity(2 * pairs.len());
            for (query, doc) in pairs {
                let apart = index.apart(arena.queries.row(*query as usize), *doc)?;
                numbers.extend([apart.hashes, apart.probes.unwrap_or(NONE)]);
                monitor.advance(1)?;
            }
            write_numbers(path, numbers.iter().map(|number| number.to_le_bytes()))
        }
    }
}

fn write_numbers(path: &std::path::Path, numbers: impl Iterator<Item = [u8; 4]>) -> Result<()> {
    write_atomically(path, &numbers.flatten().collect::<Vec<u8>>())
}

fn open<'a>(engine: &Engine, arena: &'a Arena, job: &'a Job) -> Result<Box<dyn Index + 'a>> {
    Ok(match engine {
        Engine::Exact => Box::new(Exact::new(arena)),
        Engine::Precomputed => Box::new(Precomputed::new(arena, job.memory_bytes)),
        Engine::Hyperplane { tables, hashes } => {
            Box::new(Hyperplanes::new(arena.indexed(), *tables, *hashes, job.seed))
        }
        Engine::HyperplaneFile { path } => Box::new(Hyperplanes::open(path, arena.indexed())?),
        Engine::Annoy { trees } => {
            let plan = Plan { trees: *trees, seed: job.seed, memory: job.memory_bytes, scratch: &job.scratch };
            trees::plant(arena.metric, job.dim, plan)?
        }
        Engine::AnnoyForest { path } => trees::open(path, arena.indexed())?,
        Engine::AnnoyFile { path } => {
            let file = AnnoyFile::open(path, job.dim, arena.metric)?;
            file.check_docs(arena.indexed())?;
            Box::new(file)
        }
        Engine::Redis { server, shape } => {
            let access =
                job.server.as_ref().ok_or_else(|| Error::Index { what: "it has no key in Redis".to_owned() })?;
            Box::new(VectorSet::open(server, access, *shape, job.dim)?)
        }
        #[cfg(feature = "faiss")]
        Engine::Faiss { factory, ef_construction } => {
            Box::new(super::faiss::FaissIndex::new(factory, job.dim, arena.metric, *ef_construction)?)
        }
        #[cfg(feature = "faiss")]
        Engine::FaissFile { path } => Box::new(super::faiss::FaissIndex::open(path, job.dim, arena.metric)?),
        #[cfg(not(feature = "faiss"))]
        Engine::Faiss { .. } | Engine::FaissFile { .. } => {
            let what = "this knnscope was built without FAISS. Build it with its default features".to_owned();
            return Err(Error::Index { what });
        }
    })
}

fn size_on_disk(index: &mut dyn Index, job: &Job) -> Result<Option<u64>> {
    let path = job.save.as_deref().unwrap_or(&job.scratch);
    if let Some(file) = Candidate::parse(&job.candidate, job.dim)?.file()
        && job.save.is_none()
    {
        return Ok(std::fs::metadata(file).ok().map(|data| data.len()));
    }
    let saved = index.save(path);
    if saved.is_err() && job.save.is_none() {
        // A full disk, perhaps: the index is as good without this figure.
        std::fs::remove_file(path).ok();
        return Ok(None);
    }
    if !saved? {
        if job.save.is_some() {
            let what = format!("{} has no file form. Choose another family", job.candidate);
            return Err(Error::Index { what });
        }
        return Ok(None);
    }
    let size = std::fs::metadata(path).map_err(Error::read(path))?.len();
    if job.save.is_none() {
        std::fs::remove_file(path).map_err(Error::write(path))?;
    }
    Ok(Some(size))
}

fn search(
    index: &mut dyn Index,
    arena: &Arena,
    job: &Job,
    setting: &str,
    monitor: &Monitor,
) -> Result<(Found, Searched)> {
    let (queries, k) = (arena.num_queries, job.top_k);
    let mut ids = vec![NONE; queries * k];
    let mut latencies = Vec::with_capacity(queries);
    index.use_threads(1)?;
    for (query, ids) in ids.chunks_mut(k).enumerate().take(WARM_UP) {
        index.search(query, arena.queries.row(query), k, ids)?;
    }
    monitor.begin("searching", "queries", queries as u64);
    monitor.set_detail(setting);
    let before = index.distance_computations();
    let mut one_thread_secs = 0.0;
    for (query, ids) in ids.chunks_mut(k).enumerate() {
        let asked = arena.queries.row(query);
        let started = Instant::now();
        index.search(query, asked, k, ids)?;
        let secs = started.elapsed().as_secs_f64();
        one_thread_secs += secs;
        latencies.push(secs as f32);
        monitor.advance(1)?;
    }
    let distance_computations = index.distance_computations().zip(before).map(|(after, before)| after - before);
    index.use_threads(job.threads)?;
    let mut again = vec![NONE; queries * k];
    let started = Instant::now();
    index.search(0, arena.asked(), k, &mut again)?;
    let all_threads_secs = started.elapsed().as_secs_f64();
    let found = Found { k, ids, latencies: Some(latencies) };
    Ok((found, Searched { one_thread_secs, all_threads_secs, threads: job.threads, distance_computations }))
}

/// Anonymous memory of this process, in bytes.
fn own_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// Why a child that ended without a word may have done so.
pub fn cause_of_death(signal: Option<i32>, stderr: &str, job: &Job) -> String {
    let memory = bytes(job.memory_bytes);
    let ran_out = ["bad_alloc", "memory allocation of", "out of memory", "Cannot allocate memory", "capacity overflow"];
    if ran_out.iter().any(|words| stderr.contains(words)) {
        return format!(
            "it needs more memory than it may take ({memory}). Raise --index-memory, or choose a smaller index"
        );
    }
    let how = match signal {
        Some(9) => "it was killed (by the system if memory ran out)".to_owned(),
        Some(11) => "it touched memory that is not its own (signal 11)".to_owned(),
        Some(7) => "a file is shorter than it tells, or was shortened while it was read (signal 7)".to_owned(),
        Some(6) => "it gave up (abort)".to_owned(),
        Some(signal) => format!("it was ended by signal {signal}"),
        None => "it ended without a word".to_owned(),
    };
    let last = stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
    let said = if last.is_empty() { String::new() } else { format!("; its last words: {last}") };
    format!("{how}{said}. {}", advice(job))
}

fn advice(job: &Job) -> &'static str {
    let is_file = Candidate::parse(&job.candidate, job.dim).is_ok_and(|candidate| candidate.file().is_some());
    match is_file {
        true => "The index file is probably damaged: build it again",
        false => "Its library probably cannot take these parameters: choose others",
    }
}
