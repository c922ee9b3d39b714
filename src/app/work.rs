//! What the window asks of workers: one slot a kind, the latest wins. A job that is replaced is
//! cancelled, and its result can no longer arrive.

use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::command::Pick;
use super::review::Review;
use super::state::{Digest, Selection, SelectionKey, SelectionRow, View};
use crate::compute::atomic_file::write_atomically;
use crate::compute::demo;
use crate::compute::error::{Error, Result};
use crate::compute::exact::{ScoreParams, ScorePlan};
use crate::compute::histogram::{Axes, Bins, HistogramSet};
use crate::compute::scores::{RunStats, ScoreStore, SessionOptions, find_hits, score_session};
use crate::compute::vectors::{Text, Texts};
use crate::job::{Job, Monitor, Outcome, Progress};
use crate::video::{ExportOptions, ExportOutcome, Frame, FrameSize, Look, Runs, export};

/// A place for one job.
pub struct Slot<T> {
    job: Option<Job<T>>,
}

impl<T: Send + 'static> Slot<T> {
    pub const fn empty() -> Self {
        Self { job: None }
    }

    /// Starts `work` in place of what was going on.
    pub fn start(&mut self, ctx: &egui::Context, name: &str, work: impl FnOnce(&Monitor) -> T + Send + 'static) {
        let ctx = ctx.clone();
        self.job = Some(Job::spawn(name, move || ctx.request_repaint(), work));
    }

    pub fn is_busy(&self) -> bool {
        self.job.is_some()
    }

    pub fn cancel(&mut self) {
        if let Some(job) = &self.job {
            job.monitor().cancel();
        }
    }

    /// Cancels what is going on and waits until it has ended, but no longer than `patience`: it may have something to
    /// clean up elsewhere.
    pub fn end(&mut self, patience: Duration) {
        let Some(job) = self.job.take() else { return };
        job.monitor().cancel();
        let started = Instant::now();
        while job.poll().is_none() && started.elapsed() < patience {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn progress(&self) -> Option<Progress> {
        self.job.as_ref().map(|job| job.monitor().progress()).filter(|progress| !progress.stage.is_empty())
    }

    /// The result, once it is there. A panic comes as an error in words.
    pub fn take(&mut self) -> Option<std::result::Result<T, String>> {
        let outcome = self.job.as_ref()?.poll()?;
        self.job = None;
        Some(match outcome {
            Outcome::Done(value) => Ok(value),
            Outcome::Panicked(message) => {
                Err(format!("knnscope made a mistake and stopped this work: {message}. Please report it"))
            }
        })
    }
}

/// All work of the window.
pub struct Jobs {
    pub review: Slot<Review>,
    pub scoring: Slot<Result<ScoreStore>>,
    /// Runs as they are finished by `scoring`.
    pub finished_runs: Option<Receiver<Arc<ScoreStore>>>,
    pub digest: Slot<Result<Digest>>,
    pub selection: Slot<(SelectionKey, Result<Selection>)>,
    pub export: Slot<Result<ExportOutcome>>,
    pub frame: Slot<Result<FrameResult>>,
    pub dialog: Slot<std::result::Result<Option<Picked>, &'static str>>,
    pub opener: Slot<std::result::Result<(), String>>,
    pub settings: Slot<Result<()>>,
}

impl Jobs {
    pub const fn new() -> Self {
        Self {
            review: Slot::empty(),
            scoring: Slot::empty(),
            finished_runs: None,
            digest: Slot::empty(),
            selection: Slot::empty(),
            export: Slot::empty(),
            frame: Slot::empty(),
            dialog: Slot::empty(),
            opener: Slot::empty(),
            settings: Slot::empty(),
        }
    }

    /// Whether anything is going on that the status line shows.
    pub fn is_busy(&self) -> bool {
        self.scoring.is_busy() || self.digest.is_busy() || self.export.is_busy() || self.selection.is_busy()
    }
}

/// A frame that was drawn: kept for the clipboard, or written.
#[derive(Debug)]
pub enum FrameResult {
    ForClipboard(Frame),
    Written(PathBuf),
}

/// Runs `work` on threads of its own, as many as there are cores: the scan would otherwise hold the
/// shared ones for seconds, while the window wants its histograms binned at once.
pub fn on_own_threads<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(rayon::current_num_threads()).build();
    match pool {
        Ok(pool) => pool.install(work),
        // Out of threads: slower to look at, as right as ever.
        Err(_) => work(),
    }
}

/// Scores a session.
pub fn score(
    params: ScoreParams,
    output: &Path,
    options: SessionOptions,
    on_run: &(dyn Fn(Arc<ScoreStore>) + Sync),
    monitor: &Monitor,
) -> Result<ScoreStore> {
    monitor.begin("opening files", "files", 0);
    let plan = ScorePlan::new(params)?;
    on_own_threads(|| score_session(&plan, output, options, monitor, on_run))
}

/// Unpacks the demo under `home` and scores it; a session that is there already is only opened.
pub fn prepare_demo(home: &Path, on_run: &(dyn Fn(Arc<ScoreStore>) + Sync), monitor: &Monitor) -> Result<ScoreStore> {
    monitor.begin("preparing the demo", "files", 0);
    let params = demo::unpack(&home.join("vectors"))?;
    let plan = ScorePlan::new(params)?;
    // The folder is ours alone, so a demo of another version is replaced.
    let options = SessionOptions { overwrite: true };
    on_own_threads(|| score_session(&plan, &home.join("results"), options, monitor, on_run))
}

/// What a digest starts from.
pub enum Source {
    Path(PathBuf),
    Store(Arc<ScoreStore>),
}

/// Reads a session, or what is new in it since `before`, and bins it over `view`.
pub fn digest(source: Source, before: Option<Digest>, view: &View, monitor: &Monitor) -> Result<Digest> {
    monitor.begin("opening results", "files", 0);
    let store = match source {
        Source::Path(path) => Arc::new(ScoreStore::open(&path)?),
        Source::Store(store) => store,
    };
    if store.runs().is_empty() {
        return Err(Error::NoRuns { path: store.folder().to_owned() });
    }
    let before = before.filter(|before| continues(&before.store, &store));
    let mut stats: Vec<RunStats> = before.as_ref().map(|before| before.stats.to_vec()).unwrap_or_default();
    if stats.len() < store.runs().len() {
        let missing = &store.runs()[stats.len()..];
        monitor.begin("reading scores", "scores", missing.iter().map(|run| run.num_scores).sum());
        for (index, run) in (stats.len()..).zip(missing) {
            stats.push(store.stats(index, monitor)?);
            monitor.advance(run.num_scores)?;
        }
    }
    let (low, high) = view.zoom.last().copied().unwrap_or_else(|| Axes::x_range(&stats));
    let bins = Bins::new(low, high, view.bins)?;
    let known = before.as_ref().filter(|before| before.set.bins == bins);
    let known = known.map(|before| before.set.histograms.as_slice()).unwrap_or_default();
    let set = HistogramSet::of_store(&store, bins, known, monitor)?;
    Ok(Digest { store, stats: Arc::new(stats), set: Arc::new(set) })
}

/// Whether `later` is the same session as `earlier`, perhaps with more runs.
fn continues(earlier: &ScoreStore, later: &ScoreStore) -> bool {
    earlier.folder() == later.folder() && later.runs().starts_with(earlier.runs())
}

/// Text files that were opened, by path; `None` for those that cannot be read as texts.
pub type TextCache = Arc<Mutex<Vec<(PathBuf, Option<Texts>)>>>;

/// The scores of a run within a range, with the texts of their queries and docs where there are any.
pub fn select(store: &ScoreStore, key: &SelectionKey, texts: &TextCache, monitor: &Monitor) -> Result<Selection> {
    const ROWS: usize = 60;
    let (total, mut hits) = find_hits(store, key.run, key.range, ROWS, monitor)?;
    let metric = store.metric();
    hits.sort_by(|a, b| metric.nearest_first(f64::from(a.score), f64::from(b.score)));
    let mut cache = texts.lock().unwrap_or_else(PoisonError::into_inner);
    let manifest = store.manifest();
    let mut rows = Vec::with_capacity(hits.len());
    for hit in hits {
        let query = text_of(&mut cache, store.locate(&manifest.queries).as_deref(), hit.query_row, monitor)?;
        let doc = match hit.doc_row {
            Some(row) => text_of(&mut cache, store.locate(&manifest.docs).as_deref(), u64::from(row), monitor)?,
            None => None,
        };
        rows.push(SelectionRow {
            score: hit.score,
            rank: hit.rank,
            query_row: hit.query_row,
            doc_row: hit.doc_row,
            query,
            doc,
        });
    }
    Ok(Selection { total, rows })
}

/// The text of a row of a vector file; text files stay open in `cache`.
pub fn text_of(
    cache: &mut Vec<(PathBuf, Option<Texts>)>,
    vectors: Option<&Path>,
    row: u64,
    monitor: &Monitor,
) -> Result<Option<Text>> {
    let Some(path) = vectors.and_then(Texts::path_beside) else { return Ok(None) };
    let index = match cache.iter().position(|(known, _)| *known == path) {
        Some(index) => index,
        None => {
            let opened = match Texts::open(&path, monitor) {
                Err(Error::Cancelled) => return Err(Error::Cancelled),
                // Texts are a help; without them the rows are still told by number.
                other => other.ok(),
            };
            cache.push((path, opened));
            cache.len() - 1
        }
    };
    match &mut cache[index].1 {
        Some(texts) => texts.get(usize::try_from(row).unwrap_or(usize::MAX)),
        None => Ok(None),
    }
}

/// Exports with what the window shows.
pub fn export_video(digest: &Digest, options: &ExportOptions, monitor: &Monitor) -> Result<ExportOutcome> {
    export(&digest.store, options, monitor)
}

/// Draws run `index` as the video would show it; writes it to `path`, or keeps it for the clipboard.
pub fn draw_frame(
    digest: &Digest,
    index: usize,
    size: FrameSize,
    look: Look,
    path: Option<PathBuf>,
) -> Result<FrameResult> {
    let runs = Runs { store: &digest.store, set: &digest.set, stats: &digest.stats };
    let frame = runs.frame(index, size, look);
    match path {
        None => Ok(FrameResult::ForClipboard(frame)),
        Some(path) => {
            write_atomically(&path, &frame.to_png())?;
            Ok(FrameResult::Written(path))
        }
    }
}

/// What was asked for and what was chosen: one path, several of matrices.
pub type Picked = (Pick, Vec<PathBuf>);

/// Asks the system's file dialog. `None` when the user cancels.
///
/// # Errors
/// In words, where the system has no file dialog.
pub fn pick(pick: Pick, start: Option<PathBuf>, name: &str) -> std::result::Result<Option<Picked>, &'static str> {
    if !has_dialog() {
        return Err("This system has no file dialog (neither a desktop portal nor zenity). Type the path into its \
                    field, drop the file on the window, or install zenity");
    }
    Ok(ask(pick, start, name))
}

/// The dialogs that `rfd` can use on Linux: the desktop's portal on the session bus, or zenity.
fn has_dialog() -> bool {
    let on_path = |program: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    };
    !cfg!(target_os = "linux") || std::env::var_os("DBUS_SESSION_BUS_ADDRESS").is_some() || on_path("zenity")
}

fn ask(pick: Pick, start: Option<PathBuf>, name: &str) -> Option<Picked> {
    let mut dialog = rfd::FileDialog::new();
    if let Some(folder) = start.filter(|folder| folder.is_dir()) {
        dialog = dialog.set_directory(folder);
    }
    let path = match pick {
        Pick::Docs | Pick::LabDocs => {
            dialog.set_title("Choose doc vectors").add_filter("vectors", &["vec"]).pick_file()
        }
        Pick::Queries | Pick::LabQueries => {
            dialog.set_title("Choose query vectors").add_filter("vectors", &["vec"]).pick_file()
        }
        Pick::OutputFolder | Pick::LabFolder => dialog.set_title("Choose the folder for the results").pick_folder(),
        Pick::Results => dialog.set_title("Open a results folder").pick_folder(),
        Pick::Embeddings => dialog.set_title("Choose embeddings").add_filter("embeddings", &["npy", "vec"]).pick_file(),
        Pick::Dataset => {
            dialog.set_title("Choose the dataset").add_filter("JSON lines", &["jsonl", "json"]).pick_file()
        }
        Pick::Selection => dialog.set_title("Open a selection").add_filter("selections", &["json"]).pick_file(),
        Pick::Matrices => {
            let endings = crate::compute::sparsity::formats::ENDINGS;
            let dialog = dialog.set_title("Choose pruned matrices or checkpoints").add_filter("weights", &endings);
            return dialog.pick_files().map(|paths| (pick, paths));
        }
        Pick::MatrixFolder => dialog.set_title("Choose a folder of pruned matrices").pick_folder(),
        Pick::Database => dialog.set_title("Choose the DuckDB file").set_file_name(name).save_file(),
        Pick::ExportPlace | Pick::UniquenessPlace | Pick::SparsityPlace | Pick::LabPlace => {
            dialog.set_title("Export as").set_file_name(name).save_file()
        }
    }?;
    Some((pick, vec![path]))
}

/// Opens `path` with the system's program for it.
pub fn open_with_system(path: &Path) -> std::result::Result<(), String> {
    let advice = || format!("could not be opened by the system (xdg-open). Open it by hand: {}", path.display());
    let status = std::process::Command::new("xdg-open")
        .arg(path)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        _ => Err(advice()),
    }
}
