//! The window. Panels read the state and send commands; [`App::logic`] carries them out and starts
//! jobs; nothing here reads a file or walks over scores while painting.

mod command;
mod distribution;
mod icons;
mod notices;
mod palette_window;
mod review;
mod state;
mod theme;
mod work;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use command::Command;
use command::{Pick, Work};
use notices::Notices;
pub use state::Settings;
use state::{ExportForm, ExportKind, SelectionKey, Session};
use theme::Theme;
use work::{FrameResult, Jobs, Source, TextCache};

use crate::compute::demo;
use crate::compute::scores::{MANIFEST_NAME, SessionOptions};
use crate::video::{ExportOptions, FrameRate, FrameSize, VIDEO_NAME};

/// Where the window finds and keeps its own things; tests point them elsewhere.
#[derive(Debug, Clone, Default)]
pub struct AppOptions {
    /// Opened at the start; empty for the demo.
    pub paths: Vec<PathBuf>,
    /// Where settings are kept; `None` to keep none.
    pub settings: Option<PathBuf>,
    /// Where the demo is unpacked and scored.
    pub demo_home: PathBuf,
}

/// Opens the window on `paths` and stays until it is closed.
///
/// # Errors
/// Where there is no display, in words.
pub fn run(paths: Vec<PathBuf>) -> Result<(), String> {
    let has_display = ["WAYLAND_DISPLAY", "WAYLAND_SOCKET", "DISPLAY"]
        .into_iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    let advice = "Without a display, use the commands: knnscope demo, knnscope score, knnscope video (see --help)";
    if !has_display {
        return Err(format!("no display: neither WAYLAND_DISPLAY nor DISPLAY is set. {advice}"));
    }
    let options = AppOptions { paths, settings: Settings::path(), demo_home: demo::home() };
    let icon = image::load_from_memory(include_bytes!("../../assets/icon.png")).map(|icon| icon.to_rgba8());
    let mut viewport = egui::ViewportBuilder::default()
        .with_app_id("knnscope")
        .with_title("knnscope")
        .with_inner_size([1440.0, 900.0])
        .with_min_inner_size([960.0, 600.0]);
    if let Ok(icon) = icon {
        let (width, height) = icon.dimensions();
        viewport = viewport.with_icon(egui::IconData { rgba: icon.into_raw(), width, height });
    }
    let native = eframe::NativeOptions { viewport, ..Default::default() };
    eframe::run_native("knnscope", native, Box::new(move |context| Ok(Box::new(App::new(&context.egui_ctx, options)))))
        .map_err(|error| format!("the window could not be opened: {error}. {advice}"))
}

/// The window's state and work.
pub struct App {
    settings: Settings,
    saved_settings: Settings,
    options: AppOptions,
    session: Session,
    jobs: Jobs,
    notices: Notices,
    theme: Theme,
    texts: TextCache,
    commands: Vec<Command>,
    /// When the form was last changed, while it waits to be reviewed.
    form_changed_at: Option<f64>,
    reviewed_form: Option<state::Form>,
    /// A newer snapshot of the session being scored.
    fresh_runs: Option<Arc<crate::compute::scores::ScoreStore>>,
}

impl App {
    pub fn new(ctx: &egui::Context, options: AppOptions) -> Self {
        let settings = Settings::load(options.settings.as_deref());
        let theme = Theme::of(settings.look());
        theme::install_fonts(ctx);
        theme.apply(ctx);
        let first =
            if options.paths.is_empty() { Command::OpenDemo } else { Command::OpenPaths(options.paths.clone()) };
        Self {
            session: Session::new(&settings),
            saved_settings: settings.clone(),
            settings,
            options,
            jobs: Jobs::new(),
            notices: Notices::default(),
            theme,
            texts: TextCache::default(),
            commands: vec![first],
            form_changed_at: None,
            reviewed_form: None,
            fresh_runs: None,
        }
    }

    /// Takes what workers finished, carries out what the user asked for, starts what follows.
    fn step(&mut self, ctx: &egui::Context) {
        let now = ctx.input(|input| input.time);
        let dropped: Vec<PathBuf> =
            ctx.input(|input| input.raw.dropped_files.iter().map(|file| file.path().to_owned()).collect());
        if !dropped.is_empty() {
            self.commands.push(Command::OpenPaths(dropped));
        }
        self.take_results(ctx);
        for command in std::mem::take(&mut self.commands) {
            self.carry_out(command, ctx, now);
        }
        self.review_form(ctx, now);
        self.digest_fresh_runs(ctx);
        self.select_scores_in_view(ctx);
        self.save_settings(ctx);
        let wait = self.session.player.advance(
            now,
            self.session.run_count(),
            self.settings.frames_per_second,
            self.settings.looping,
        );
        if let Some(secs) = wait {
            ctx.request_repaint_after(Duration::from_secs_f64(secs));
        }
        if self.jobs.is_busy() {
            ctx.request_repaint_after(Duration::from_millis(100));
        }
    }

    fn take_results(&mut self, ctx: &egui::Context) {
        if let Some(result) = self.jobs.review.take() {
            match result {
                Ok(review) => self.accept_review(review),
                Err(message) => self.notices.wrong(message),
            }
        }
        if let Some(runs) = &self.jobs.finished_runs {
            self.fresh_runs = runs.try_iter().last().or(self.fresh_runs.take());
        }
        if let Some(result) = self.jobs.scoring.take() {
            match result {
                Ok(Ok(store)) => {
                    Settings::remember(&mut self.settings.recent_results, store.folder());
                    self.fresh_runs = Some(Arc::new(store));
                    if !self.session.is_demo {
                        self.notices.right(self.scored_text());
                    }
                    // What is finished changes what the form would do.
                    self.reviewed_form = None;
                }
                Ok(Err(error)) => self.notices.error(&error),
                Err(message) => self.notices.wrong(message),
            }
            self.jobs.finished_runs = None;
        }
        if let Some(result) = self.jobs.digest.take() {
            match result {
                Ok(Ok(digest)) => {
                    let new =
                        self.session.digest.as_ref().is_none_or(|old| old.store.folder() != digest.store.folder());
                    if new {
                        self.session.exported = None;
                        Settings::remember(&mut self.settings.recent_results, digest.store.folder());
                    }
                    // A session that is being scored is followed; the demo waits at its start.
                    let follow = (self.jobs.scoring.is_busy() || self.session.following)
                        && !self.session.is_demo
                        && !self.session.player.playing
                        && self.session.player.index + 1 >= self.session.run_count();
                    self.session.following = self.jobs.scoring.is_busy() && follow;
                    let last = digest.run_count() - 1;
                    self.session.digest = Some(digest);
                    let index = &mut self.session.player.index;
                    *index = if follow { last } else { (*index).min(last) };
                }
                Ok(Err(error)) => self.notices.error(&error),
                Err(message) => self.notices.wrong(message),
            }
        }
        if let Some(result) = self.jobs.selection.take() {
            match result {
                Ok((key, Ok(selection))) => self.session.selection = Some((key, selection)),
                Ok((_, Err(error))) => self.notices.error(&error),
                Err(message) => self.notices.wrong(message),
            }
        }
        if let Some(result) = self.jobs.export.take() {
            match result {
                Ok(Ok(outcome)) => {
                    self.session.exported = outcome.video;
                }
                Ok(Err(error)) => self.notices.error(&error),
                Err(message) => self.notices.wrong(message),
            }
        }
        if let Some(result) = self.jobs.frame.take() {
            match result {
                Ok(Ok(FrameResult::ForClipboard(frame))) => {
                    let size = [frame.width as usize, frame.height as usize];
                    ctx.copy_image(egui::ColorImage::from_rgba_unmultiplied(size, &frame.rgba));
                    self.notices.right("The frame is on the clipboard.".to_owned());
                }
                Ok(Ok(FrameResult::Written(path))) => {
                    self.notices.right(format!("Saved the frame: {}", path.display()));
                }
                Ok(Err(error)) => self.notices.error(&error),
                Err(message) => self.notices.wrong(message),
            }
        }
        if let Some(Ok(Some((pick, path)))) = self.jobs.dialog.take() {
            self.accept_pick(pick, path);
        }
        if let Some(Ok(Err(message)) | Err(message)) = self.jobs.opener.take() {
            self.notices.wrong(message);
        }
        if let Some(Ok(Err(error))) = self.jobs.settings.take() {
            self.notices.error(&error);
        }
    }

    fn scored_text(&self) -> String {
        let folder = self.fresh_runs.as_ref().map(|store| store.folder().display().to_string());
        format!("All runs are scored: {}", folder.unwrap_or_default())
    }

    fn carry_out(&mut self, command: Command, ctx: &egui::Context, now: f64) {
        let run_count = self.session.run_count();
        let session = &mut self.session;
        match command {
            Command::OpenPaths(paths) => self.open_paths(paths, ctx),
            Command::OpenDemo => self.open_demo(ctx),
            Command::Pick(pick) => self.ask_path(pick, ctx),
            Command::StartScoring => self.start_scoring(ctx),
            Command::TogglePlay => session.player.toggle(now, run_count),
            Command::Step(by) => {
                let index = session.player.index.saturating_add_signed(by);
                session.player.go_to(index, run_count);
            }
            Command::GoTo(index) => session.player.go_to(index, run_count),
            Command::FirstRun => session.player.go_to(0, run_count),
            Command::LastRun => session.player.go_to(usize::MAX, run_count),
            Command::ToggleLoop => self.settings.looping = !self.settings.looping,
            Command::SetSpeed(speed) => {
                self.settings.frames_per_second = speed.clamp(state::MIN_SPEED, state::MAX_SPEED);
            }
            Command::SetBins(bins) => {
                session.view.bins = bins.clamp(1, state::MAX_BINS_IN_WINDOW);
                self.settings.bins = session.view.bins;
                self.digest_view(ctx);
            }
            Command::ZoomTo(low, high) => {
                session.view.zoom.push((low, high));
                self.digest_view(ctx);
            }
            Command::ZoomBack => {
                if session.view.zoom.pop().is_some() {
                    self.digest_view(ctx);
                }
            }
            Command::ZoomReset => {
                if !session.view.zoom.is_empty() {
                    session.view.zoom.clear();
                    self.digest_view(ctx);
                }
            }
            Command::ExportVideo => {
                if let Some(digest) = &session.digest {
                    let path = digest.store.folder().join(VIDEO_NAME);
                    let rate = FrameRate::new(self.settings.frames_per_second).unwrap_or_default();
                    self.start_export(ctx, path, rate, FrameSize::default(), false);
                }
            }
            Command::AskExport(what) => self.ask_export(what),
            Command::ExportAsAsked => self.export_as_asked(ctx),
            Command::CopyFrame => self.start_frame(ctx, None, FrameSize::default()),
            Command::OpenFile(path) => {
                self.jobs.opener.start(ctx, "open", move |_| work::open_with_system(&path));
            }
            Command::ShowInFolder(path) => {
                let folder = path.parent().map_or_else(|| PathBuf::from("."), Path::to_owned);
                self.jobs.opener.start(ctx, "open", move |_| work::open_with_system(&folder));
            }
            Command::CopyText(text) => ctx.copy_text(text),
            Command::ToggleTheme => {
                self.settings.dark = !self.settings.dark;
                self.theme = Theme::of(self.settings.look());
                self.theme.apply(ctx);
            }
            Command::ShowPalette => session.palette = Some(String::new()),
            Command::ShowNotices => session.notices_open = true,
            Command::Cancel(Work::Scoring) => self.jobs.scoring.cancel(),
            Command::Cancel(Work::Reading) => {
                self.jobs.digest.cancel();
                self.jobs.selection.cancel();
            }
            Command::Cancel(Work::Exporting) => self.jobs.export.cancel(),
        }
    }

    /// Folders and manifests are results; vector files go to the fields they seem to be made for.
    fn open_paths(&mut self, paths: Vec<PathBuf>, ctx: &egui::Context) {
        for path in paths {
            let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
            if name == MANIFEST_NAME || path.is_dir() {
                self.open_results(path, ctx);
                continue;
            }
            let form = &mut self.session.form;
            let text = path.to_string_lossy().into_owned();
            let is_queries =
                name.contains("quer") || (!name.contains("doc") && !form.docs.is_empty() && form.queries.is_empty());
            let pick = if is_queries { Pick::Queries } else { Pick::Docs };
            if name.ends_with(".vec") {
                self.accept_pick(pick, path);
            } else {
                self.notices.wrong(format!(
                    "{text}: is neither a vector file (.vec) nor results (a folder with {MANIFEST_NAME}). Drop one of those"
                ));
            }
        }
        if self.session.digest.is_none() && !self.jobs.digest.is_busy() && !self.jobs.scoring.is_busy() {
            self.open_demo(ctx);
        }
    }

    fn open_results(&mut self, path: PathBuf, ctx: &egui::Context) {
        self.session.is_demo = false;
        self.session.view.zoom.clear();
        self.session.player = state::Player::new(false);
        let view = self.session.view.clone();
        self.jobs.digest.start(ctx, "open", move |monitor| work::digest(Source::Path(path), None, &view, monitor));
    }

    fn open_demo(&mut self, ctx: &egui::Context) {
        if self.jobs.scoring.is_busy() {
            self.notices.wrong("Scoring is going on; open the demo when it is done, or cancel it.".to_owned());
            return;
        }
        self.session.is_demo = true;
        self.session.view.zoom.clear();
        self.session.player = state::Player::new(false);
        let home = self.options.demo_home.clone();
        let (sender, receiver) = std::sync::mpsc::channel();
        self.jobs.finished_runs = Some(receiver);
        self.jobs
            .scoring
            .start(ctx, "demo", move |monitor| work::prepare_demo(&home, &|store| drop(sender.send(store)), monitor));
    }

    fn ask_path(&mut self, pick: Pick, ctx: &egui::Context) {
        let form = &self.session.form;
        let near = match pick {
            Pick::Docs => &form.docs,
            Pick::Queries => {
                if form.queries.is_empty() {
                    &form.docs
                } else {
                    &form.queries
                }
            }
            Pick::OutputFolder => &form.output,
            Pick::Results => &form.output,
            Pick::ExportPlace => self.session.export_dialog.as_ref().map_or(&form.output, |dialog| &dialog.path),
        };
        let near = PathBuf::from(near);
        let start = near.parent().map(Path::to_owned);
        let name = near.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.jobs.dialog.start(ctx, "dialog", move |_| work::pick(pick, start, &name));
    }

    fn accept_pick(&mut self, pick: Pick, path: PathBuf) {
        let text = path.to_string_lossy().into_owned();
        let form = &mut self.session.form;
        match pick {
            Pick::Docs => {
                Settings::remember(&mut self.settings.recent_docs, &path);
                form.docs = text;
            }
            Pick::Queries => {
                Settings::remember(&mut self.settings.recent_queries, &path);
                form.queries = text;
            }
            Pick::OutputFolder => form.output = text,
            Pick::Results => self.commands.push(Command::OpenPaths(vec![path])),
            Pick::ExportPlace => {
                if let Some(dialog) = &mut self.session.export_dialog {
                    dialog.path = text;
                }
            }
        }
    }

    /// Reviews the form a moment after the last key.
    fn review_form(&mut self, ctx: &egui::Context, now: f64) {
        const PAUSE_SECS: f64 = 0.25;
        if self.reviewed_form.as_ref() == Some(&self.session.form) {
            self.form_changed_at = None;
            return;
        }
        let changed_at = *self.form_changed_at.get_or_insert(now);
        let settled = self.session.review.as_ref().is_none_or(|review| review.form != self.session.form);
        if now - changed_at < PAUSE_SECS && settled && self.reviewed_form.is_some() {
            ctx.request_repaint_after(Duration::from_secs_f64(PAUSE_SECS));
            return;
        }
        self.form_changed_at = None;
        let form = self.session.form.clone();
        self.reviewed_form = Some(form.clone());
        // Timing something while scoring would be wrong for both.
        let with_estimate = !self.jobs.scoring.is_busy();
        self.jobs.review.start(ctx, "review", move |monitor| review::review(&form, with_estimate, monitor));
    }

    fn accept_review(&mut self, review: review::Review) {
        let (form, filled) = (&mut self.session.form, &mut self.session.filled);
        if *form == review.form {
            // A field that is empty, or holds what was filled in before, follows the files.
            let dim = review.suggested_dim.map(|dim| dim.to_string());
            for (field, suggestion, before) in [
                (&mut form.dim, dim, &mut filled.dim),
                (&mut form.output, review.suggested_output.clone(), &mut filled.output),
            ] {
                if let Some(suggestion) = suggestion
                    && (field.is_empty() || *field == *before)
                {
                    field.clone_from(&suggestion);
                    *before = suggestion;
                }
            }
        }
        self.session.review = Some(review);
    }

    fn start_scoring(&mut self, ctx: &egui::Context) {
        if self.jobs.scoring.is_busy() {
            return;
        }
        let Some(ready) = self.ready().cloned() else {
            self.notices.wrong("There is nothing to score yet: fill in docs, queries and dim at the left.".to_owned());
            return;
        };
        let options = SessionOptions { overwrite: self.session.form.overwrite };
        self.session.form.overwrite = false;
        self.session.is_demo = false;
        self.session.view.zoom.clear();
        self.session.player = state::Player::new(false);
        let (sender, receiver) = std::sync::mpsc::channel();
        self.jobs.finished_runs = Some(receiver);
        let wake = ctx.clone();
        self.jobs.scoring.start(ctx, "score", move |monitor| {
            let on_run = |store| {
                // The window may be gone; then nobody waits for runs.
                sender.send(store).ok();
                wake.request_repaint();
            };
            work::score(ready.params, &ready.output, options, &on_run, monitor)
        });
    }

    /// The plan of the form as it stands, if it can run.
    fn ready(&self) -> Option<&review::Ready> {
        let review = self.session.review.as_ref().filter(|review| review.form == self.session.form)?;
        review.ready.as_ref()
    }

    /// Bins the session anew after a change of the view.
    fn digest_view(&mut self, ctx: &egui::Context) {
        let Some(before) = self.session.digest.clone() else { return };
        let store = self.fresh_runs.take().unwrap_or_else(|| before.store.clone());
        self.start_digest(ctx, store);
    }

    /// Takes in runs that were finished meanwhile.
    fn digest_fresh_runs(&mut self, ctx: &egui::Context) {
        if !self.jobs.digest.is_busy()
            && let Some(store) = self.fresh_runs.take()
        {
            self.start_digest(ctx, store);
        }
    }

    fn start_digest(&mut self, ctx: &egui::Context, store: Arc<crate::compute::scores::ScoreStore>) {
        let (before, view) = (self.session.digest.clone(), self.session.view.clone());
        self.jobs
            .digest
            .start(ctx, "digest", move |monitor| work::digest(Source::Store(store), before, &view, monitor));
    }

    /// Looks up single scores of the run that is shown, once it holds still.
    fn select_scores_in_view(&mut self, ctx: &egui::Context) {
        let Some(digest) = &self.session.digest else { return };
        if self.session.player.playing || self.jobs.selection.is_busy() || self.jobs.digest.is_busy() {
            return;
        }
        let run = self.session.player.index;
        let range = (digest.set.bins.low(), digest.set.bins.high());
        let key = SelectionKey { folder: digest.store.folder().to_owned(), run, range };
        if self.session.selection.as_ref().is_some_and(|(known, _)| *known == key) {
            return;
        }
        let (store, texts) = (digest.store.clone(), self.texts.clone());
        self.jobs.selection.start(ctx, "select", move |monitor| {
            let selection = work::select(&store, &key, &texts, monitor);
            (key, selection)
        });
    }

    fn ask_export(&mut self, what: ExportKind) {
        let Some(digest) = &self.session.digest else {
            self.notices.wrong("There is nothing to export yet: open results or score something first.".to_owned());
            return;
        };
        let run = &digest.store.runs()[self.session.player.index];
        let name = match what {
            ExportKind::Video => VIDEO_NAME.to_owned(),
            ExportKind::Frame => format!("exact_nn_histogram_N{}_M{}.png", run.n, run.m),
        };
        self.session.export_dialog = Some(ExportForm {
            what,
            path: digest.store.folder().join(name).to_string_lossy().into_owned(),
            size: "1800x900".to_owned(),
            fps: self.settings.frames_per_second.to_string(),
            with_frames: false,
        });
    }

    fn export_as_asked(&mut self, ctx: &egui::Context) {
        let Some(dialog) = self.session.export_dialog.clone() else { return };
        let Ok(size) = dialog.size.parse::<FrameSize>() else { return };
        match dialog.what {
            ExportKind::Frame => self.start_frame(ctx, Some(PathBuf::from(&dialog.path)), size),
            ExportKind::Video => {
                let Ok(rate) = dialog.fps.parse::<FrameRate>() else { return };
                self.start_export(ctx, PathBuf::from(&dialog.path), rate, size, dialog.with_frames);
            }
        }
        self.session.export_dialog = None;
    }

    fn start_export(
        &mut self,
        ctx: &egui::Context,
        path: PathBuf,
        rate: FrameRate,
        size: FrameSize,
        with_frames: bool,
    ) {
        let Some(digest) = self.session.digest.clone() else { return };
        let frames = with_frames.then(|| path.parent().map_or_else(PathBuf::new, Path::to_owned));
        let options = ExportOptions {
            frames,
            video: Some(path),
            rate,
            size,
            look: self.settings.look(),
            bin_count: digest.set.bins.count(),
            range: self.session.view.zoom.last().copied(),
        };
        self.session.exported = None;
        self.jobs.export.start(ctx, "export", move |monitor| work::export_video(&digest, &options, monitor));
    }

    fn start_frame(&mut self, ctx: &egui::Context, path: Option<PathBuf>, size: FrameSize) {
        let Some(digest) = self.session.digest.clone() else { return };
        let (index, look) = (self.session.player.index, self.settings.look());
        self.jobs.frame.start(ctx, "frame", move |_| work::draw_frame(&digest, index, size, look, path));
    }

    fn save_settings(&mut self, ctx: &egui::Context) {
        if self.settings == self.saved_settings || self.jobs.settings.is_busy() {
            return;
        }
        self.saved_settings = self.settings.clone();
        if let Some(path) = self.options.settings.clone() {
            let settings = self.settings.clone();
            self.jobs.settings.start(ctx, "settings", move |_| settings.save(&path));
        }
    }
}

impl eframe::App for App {
    fn logic(&mut self, ctx: &egui::Context, _frame: &mut eframe::Frame) {
        self.step(ctx);
    }

    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        let before = self.commands.len();
        if self.session.palette.is_none() && self.session.export_dialog.is_none() {
            self.commands.extend(command::from_keys(ui.ctx()));
        }
        distribution::show(self, ui);
        self.notices.show_latest(ui, &self.theme, &mut self.commands);
        let mut open = self.session.notices_open;
        self.notices.show_all(ui, &self.theme, &mut open, &mut self.commands);
        self.session.notices_open = open;
        palette_window::show(&mut self.session.palette, ui, &self.theme, &mut self.commands);
        if self.commands.len() > before {
            ui.ctx().request_repaint();
        }
    }

    fn on_exit(&mut self, _gl: Option<&eframe::glow::Context>) {
        if let Some(path) = &self.options.settings
            && self.settings != Settings::load(Some(path))
        {
            // The window is closing: there is nowhere left to tell an error.
            self.settings.save(path).ok();
        }
    }
}

/// For tests: what is on screen, in short.
impl App {
    /// Index of the run shown and the number of runs.
    pub fn position(&self) -> (usize, usize) {
        (self.session.player.index, self.session.run_count())
    }

    pub fn is_playing(&self) -> bool {
        self.session.player.playing
    }

    /// The range of scores shown and the number of bins, once a session is there.
    pub fn view(&self) -> Option<(f64, f64, usize)> {
        let bins = self.session.digest.as_ref()?.set.bins;
        Some((bins.low(), bins.high(), bins.count()))
    }

    /// Whether any work is going on.
    pub fn is_busy(&self) -> bool {
        self.jobs.is_busy() || self.jobs.review.is_busy() || self.jobs.frame.is_busy()
    }

    /// The newest notice.
    pub fn latest_notice(&self) -> Option<&str> {
        self.notices.latest().map(|notice| notice.text.as_str())
    }

    /// The video that was exported last.
    pub fn exported(&self) -> Option<&Path> {
        self.session.exported.as_deref()
    }

    /// Does `command` as a button would.
    pub fn send(&mut self, command: Command) {
        self.commands.push(command);
    }
}
