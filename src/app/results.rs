//! What workers finished, put where it belongs.

use std::sync::Arc;

use super::state::Selection;
use super::work::FrameResult;
use super::{App, Settings, review};

impl App {
    pub(super) fn take_results(&mut self, ctx: &egui::Context) {
        if let Some(result) = self.jobs.review.take() {
            match result {
                Ok(review) => self.accept_review(review),
                Err(message) => self.notices.wrong(message),
            }
        }
        if let Some(runs) = &self.jobs.finished_runs {
            let newest = runs.try_iter().last();
            if self.session.shows_scoring {
                self.fresh_runs = newest.or(self.fresh_runs.take());
            }
        }
        if let Some(result) = self.jobs.scoring.take() {
            match result {
                Ok(Ok(store)) => {
                    if !self.session.is_demo {
                        Settings::remember(&mut self.settings.recent_results, store.folder());
                        self.notices.right(format!("All runs are scored: {}", store.folder().display()));
                    }
                    if self.session.shows_scoring {
                        self.fresh_runs = Some(Arc::new(store));
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
                    }
                    if new && !self.session.is_demo {
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
                Ok((key, Err(error))) => {
                    // Not tried again for this picture: it would fail again.
                    self.session.selection = Some((key, Selection { total: 0, rows: Vec::new() }));
                    self.notices.error(&error);
                }
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
        if let Some(result) = self.jobs.dialog.take() {
            match result {
                Ok(Ok(Some((pick, paths)))) => self.accept_pick(pick, paths),
                Ok(Ok(None)) => {}
                Ok(Err(why)) => self.notices.wrong(why.to_owned()),
                Err(message) => self.notices.wrong(message),
            }
        }
        if let Some(Ok(Err(message)) | Err(message)) = self.jobs.opener.take() {
            self.notices.wrong(message);
        }
        if let Some(Ok(Err(error))) = self.jobs.settings.take() {
            self.notices.error(&error);
        }
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
}
