//! What the user asked for, carried out: here every command becomes a change of state or a job.

use std::path::{Path, PathBuf};

use super::command::{Command, Pick, Work};
use super::lab::LabCommand;
use super::sparsity::SparsityCommand;
use super::state::{self, ExportForm, ExportKind, Settings};
use super::theme::Theme;
use super::uniqueness::UniquenessCommand;
use super::work::{self, Source};
use super::{App, review};
use crate::compute::scores::{MANIFEST_NAME, SessionOptions};
use crate::video::{ExportOptions, FrameRate, FrameSize, VIDEO_NAME};

impl App {
    pub(super) fn carry_out(&mut self, command: Command, ctx: &egui::Context, now: f64) {
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
            Command::Cancel(Work::Uniqueness) => self.uniqueness.jobs.cancel(),
            Command::Cancel(Work::Sparsity) => self.sparsity.jobs.cancel(),
            Command::Cancel(Work::Lab) => self.lab.jobs.cancel(),
            Command::ShowPage(page) => session.page = page,
            Command::Uniqueness(command) => self.carry_out_uniqueness(command, ctx),
            Command::Sparsity(command) => self.carry_out_sparsity(command, ctx),
            Command::Lab(command) => self.carry_out_lab(command, ctx),
        }
    }

    /// Folders and manifests are results; vector files go to the fields they seem to be made for.
    fn open_paths(&mut self, paths: Vec<PathBuf>, ctx: &egui::Context) {
        let (matrices, paths): (Vec<PathBuf>, Vec<PathBuf>) =
            paths.into_iter().partition(|path| super::sparsity::is_for_it(path, self.session.page));
        if !matrices.is_empty() {
            self.session.page = state::Page::Sparsity;
            self.carry_out_sparsity(SparsityCommand::Open(matrices), ctx);
        }
        for path in paths {
            let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
            if path.is_dir() && crate::compute::index::session::Lab::is_in(&path) {
                self.carry_out_lab(LabCommand::Open(path), ctx);
                continue;
            }
            if name == MANIFEST_NAME || path.is_dir() {
                self.open_results(path, ctx);
                continue;
            }
            let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
            let for_uniqueness = match ending.as_str() {
                "npy" => Some(Pick::Embeddings),
                "jsonl" => Some(Pick::Dataset),
                "json" => Some(Pick::Selection),
                "vec" if self.session.page == state::Page::Uniqueness => Some(Pick::Embeddings),
                _ => None,
            };
            if let Some(pick) = for_uniqueness {
                self.session.page = state::Page::Uniqueness;
                self.accept_pick(pick, vec![path]);
                continue;
            }
            let form = &mut self.session.form;
            let text = path.to_string_lossy().into_owned();
            let lab = self.session.page == state::Page::Lab;
            let wants_queries =
                if lab { self.lab.wants_queries() } else { !form.docs.is_empty() && form.queries.is_empty() };
            let is_queries = name.contains("quer") || (!name.contains("doc") && wants_queries);
            let pick = match (is_queries, lab) {
                (true, false) => Pick::Queries,
                (false, false) => Pick::Docs,
                (true, true) => Pick::LabQueries,
                (false, true) => Pick::LabDocs,
            };
            if name.ends_with(".vec") {
                self.accept_pick(pick, vec![path]);
            } else {
                self.notices.wrong(format!(
                    "{text}: is neither a vector file (.vec, .npy), a dataset (.jsonl), a saved selection (.json), pruned matrices \
                     (.pt, .safetensors) nor results (a folder with {MANIFEST_NAME}). Drop one of those"
                ));
            }
        }
        if self.session.page == state::Page::Distribution
            && self.session.digest.is_none()
            && !self.jobs.digest.is_busy()
            && !self.jobs.scoring.is_busy()
        {
            self.open_demo(ctx);
        }
    }

    fn open_results(&mut self, path: PathBuf, ctx: &egui::Context) {
        self.session.is_demo = false;
        self.session.shows_scoring = false;
        self.fresh_runs = None;
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
        self.session.shows_scoring = true;
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
        let near: &str = match pick {
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
            Pick::Embeddings | Pick::Dataset | Pick::Selection | Pick::UniquenessPlace => self.uniqueness.near_path(),
            Pick::Matrices | Pick::MatrixFolder | Pick::Database | Pick::SparsityPlace => self.sparsity.near_path(pick),
            Pick::LabDocs | Pick::LabQueries | Pick::LabFolder | Pick::LabPlace => self.lab.near_path(pick),
        };
        let near = PathBuf::from(near);
        let start = near.parent().map(Path::to_owned);
        let name = near.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.jobs.dialog.start(ctx, "dialog", move |_| work::pick(pick, start, &name));
    }

    /// `paths`: one, or several matrices.
    pub(super) fn accept_pick(&mut self, pick: Pick, paths: Vec<PathBuf>) {
        let Some(path) = paths.first().cloned() else { return };
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
            Pick::Embeddings => self.uniqueness.set_embeddings(&path),
            Pick::Dataset => self.uniqueness.set_dataset(&path),
            Pick::Selection => self.commands.push(Command::Uniqueness(UniquenessCommand::OpenSelection(path))),
            Pick::UniquenessPlace => self.uniqueness.set_save_path(&path),
            Pick::Matrices | Pick::MatrixFolder => {
                self.commands.push(Command::Sparsity(SparsityCommand::Open(paths)));
            }
            Pick::Database => self.sparsity.set_database(&path),
            Pick::SparsityPlace => self.sparsity.set_save_path(&path),
            Pick::LabDocs | Pick::LabQueries | Pick::LabFolder | Pick::LabPlace => self.lab.accept(pick, &path),
        }
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
        self.session.shows_scoring = true;
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
        self.session.page = state::Page::Distribution;
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
        if self.jobs.export.is_busy() {
            self.notices.wrong("An export is going on; wait for it or cancel it first.".to_owned());
            return;
        }
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
}
