//! The window. Panels read the state and send commands; `App::step` carries them out and starts
//! jobs; nothing here reads a file or walks over scores while painting.

mod actions;
mod bars;
mod command;
mod distribution;
mod fields;
mod grid;
mod icons;
mod lab;
mod notices;
mod paint;
mod palette_window;
mod plots;
mod results;
mod review;
mod save_dialog;
mod sparsity;
mod state;
mod theme;
mod uniqueness;
mod work;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use command::Command;
pub use lab::{Lab, LabCommand, StudyCommand};
use notices::Notices;
pub use sparsity::{Sparsity, SparsityCommand};
pub use state::{Page, Settings};
use state::{SelectionKey, Session};
use theme::Theme;
pub use uniqueness::{Uniqueness, UniquenessCommand};
use work::{Jobs, Source, TextCache};

use crate::compute::demo;

/// Where the window finds and keeps its own things; tests point them elsewhere.
#[derive(Debug, Clone, Default)]
pub struct AppOptions {
    /// Opened at the start; empty for the demo.
    pub paths: Vec<PathBuf>,
    /// Where settings are kept; `None` to keep none.
    pub settings: Option<PathBuf>,
    /// Where the demo is unpacked and scored.
    pub demo_home: PathBuf,
    /// The program that becomes the child of the index lab; `None` for this one.
    pub program: Option<PathBuf>,
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
    let options = AppOptions { paths, settings: Settings::path(), demo_home: demo::home(), program: None };
    let icon = image::load_from_memory(include_bytes!("../../assets/icon.png")).map(|icon| icon.to_rgba8());
    let mut viewport = egui::ViewportBuilder::default()
        .with_app_id("knnscope")
        .with_title("knnscope")
        .with_inner_size([1440.0, 900.0])
        .with_min_inner_size([1180.0, 720.0]);
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
    uniqueness: Uniqueness,
    sparsity: Sparsity,
    lab: Lab,
    jobs: Jobs,
    notices: Notices,
    theme: Theme,
    texts: TextCache,
    commands: Vec<Command>,
    /// The form that waits to be reviewed, and since when it has been as it is.
    waiting_form: Option<(state::Form, f64)>,
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
            uniqueness: Uniqueness::new(settings.bins),
            sparsity: Sparsity::new(),
            lab: Lab::default(),
            saved_settings: settings.clone(),
            settings,
            options,
            jobs: Jobs::new(),
            notices: Notices::default(),
            theme,
            texts: TextCache::default(),
            commands: vec![first],
            waiting_form: None,
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
        self.step_uniqueness(ctx, now);
        self.step_sparsity(ctx);
        self.step_lab(ctx, now);
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
        if self.jobs.is_busy()
            || self.uniqueness.jobs.is_busy()
            || self.sparsity.jobs.is_busy()
            || self.lab.jobs.is_busy()
        {
            ctx.request_repaint_after(Duration::from_millis(100));
        }
    }

    /// Reviews the form a moment after the last key.
    fn review_form(&mut self, ctx: &egui::Context, now: f64) {
        const PAUSE_SECS: f64 = 0.25;
        if self.reviewed_form.as_ref() == Some(&self.session.form) {
            self.waiting_form = None;
            return;
        }
        let since = match &self.waiting_form {
            Some((form, since)) if *form == self.session.form => *since,
            _ => now,
        };
        self.waiting_form = Some((self.session.form.clone(), since));
        if now - since < PAUSE_SECS && self.reviewed_form.is_some() {
            ctx.request_repaint_after(Duration::from_secs_f64(PAUSE_SECS - (now - since)));
            return;
        }
        self.waiting_form = None;
        let form = self.session.form.clone();
        self.reviewed_form = Some(form.clone());
        // Timing something while scoring would be wrong for both.
        let with_estimate = !self.jobs.scoring.is_busy();
        self.jobs.review.start(ctx, "review", move |monitor| review::review(&form, with_estimate, monitor));
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
        if self.session.palette.is_none()
            && self.session.export_dialog.is_none()
            && !self.uniqueness.is_asking()
            && !self.sparsity.is_asking()
            && !self.lab.is_asking()
            && !egui::Popup::is_any_open(ui.ctx())
        {
            let keys = command::from_keys(ui.ctx(), self.session.page);
            // Esc closes what is open before it does anything to the picture.
            let closes = self.session.notices_open && keys.iter().any(Command::is_escape);
            self.session.notices_open &= !closes;
            self.commands.extend(keys.into_iter().filter(|key| !closes || !key.is_escape()));
        }
        egui::Panel::top("top").frame(self.theme.panel()).show_separator_line(true).show(ui, |ui| {
            bars::top_bar(self, ui);
        });
        egui::Panel::bottom("status").frame(self.theme.panel()).show(ui, |ui| bars::status_line(self, ui));
        match self.session.page {
            Page::Distribution => distribution::show(self, ui),
            Page::Uniqueness => uniqueness::show(self, ui),
            Page::Sparsity => sparsity::show(self, ui),
            Page::Lab => lab::show(self, ui),
        }
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
        // What it loaded into a server is removed.
        self.lab.jobs.running.end(Duration::from_secs(3));
        self.lab.jobs.studying.end(Duration::from_secs(3));
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
        self.jobs.is_busy()
            || self.jobs.review.is_busy()
            || self.jobs.frame.is_busy()
            || self.uniqueness.jobs.is_busy()
            || self.sparsity.jobs.is_busy()
            || self.lab.jobs.is_busy()
    }

    /// The newest notice.
    pub fn latest_notice(&self) -> Option<&str> {
        self.notices.latest().map(|notice| notice.text.as_str())
    }

    /// The video that was exported last.
    pub fn exported(&self) -> Option<&Path> {
        self.session.exported.as_deref()
    }

    /// The uniqueness view.
    pub fn uniqueness(&self) -> &Uniqueness {
        &self.uniqueness
    }

    /// The sparsity view.
    pub fn sparsity(&self) -> &Sparsity {
        &self.sparsity
    }

    /// The index lab.
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// Does `command` as a button would.
    pub fn send(&mut self, command: Command) {
        self.commands.push(command);
    }
}
