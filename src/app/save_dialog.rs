//! Where a file goes: the dialog of all views.

use egui::RichText;

use super::fields::edit;
use super::notices::Notices;
use super::theme::{self, Theme};
use super::work::Slot;
use crate::compute::error::Result;

/// A file that is about to be saved.
#[derive(Debug, Clone, PartialEq)]
pub struct SaveForm<T> {
    pub what: T,
    pub path: String,
    /// A path where a file was found: it is replaced if it is asked for again.
    pub found_at: Option<String>,
}

impl<T> SaveForm<T> {
    pub fn new(what: T, path: &std::path::Path) -> Self {
        Self { what, path: path.to_string_lossy().into_owned(), found_at: None }
    }

    /// Whether the user was told that there is a file of this name, and asked for it again.
    pub fn replaces(&self) -> bool {
        self.found_at.as_ref() == Some(&self.path)
    }
}

/// How a save went.
#[derive(Debug)]
pub enum Saved {
    /// In words.
    Done(String),
    /// There is a file of this name; the user must say that it is to be replaced.
    Exists,
}

/// Tells how a save went, once it is done; the dialog is `open` again where it has to be.
pub fn take_saved<T: Send + 'static>(
    saving: &mut Slot<(SaveForm<T>, Result<Saved>)>,
    open: &mut Option<SaveForm<T>>,
    notices: &mut Notices,
) {
    match saving.take() {
        Some(Ok((_, Ok(Saved::Done(told))))) => notices.right(told),
        Some(Ok((form, Ok(Saved::Exists)))) => {
            *open = Some(SaveForm { found_at: Some(form.path.clone()), ..form });
        }
        Some(Ok((form, Err(error)))) => {
            // The dialog comes back as it was, so that the path can be corrected.
            notices.error(&error);
            *open = Some(form);
        }
        Some(Err(message)) => notices.wrong(message),
        None => {}
    }
}

/// What the dialog says of a file.
pub struct Wording {
    pub title: &'static str,
    pub hint: String,
    /// Endings to choose from, if there is a choice.
    pub endings: &'static [&'static str],
}

/// What the user wants of the dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Choose,
    Save,
    Close,
}

/// Asks where a file goes.
pub fn ask<T>(ui: &egui::Ui, theme: &Theme, form: &mut SaveForm<T>, wording: &Wording) -> Option<Answer> {
    let mut answer = None;
    let modal = egui::Modal::new(egui::Id::unique("save")).frame(theme.floating()).show(ui.ctx(), |ui| {
        ui.set_width(560.0);
        ui.label(RichText::new(wording.title).heading());
        ui.horizontal(|ui| {
            edit(ui, "File", "", &mut form.path, 450.0);
            if ui.button("Choose…").clicked() {
                answer = Some(Answer::Choose);
            }
        });
        if !wording.endings.is_empty() {
            ui.horizontal(|ui| {
                ui.label("As");
                let path = std::path::PathBuf::from(form.path.trim());
                let now = path.extension().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
                for &ending in wording.endings {
                    if ui.selectable_label(now == ending, ending.to_uppercase()).clicked() {
                        form.path = path.with_extension(ending).to_string_lossy().into_owned();
                    }
                }
            });
        }
        ui.add(egui::Label::new(RichText::new(&wording.hint).small().color(theme.ink_soft)).wrap());
        let is_there = form.replaces();
        if is_there {
            let text = "There is a file of this name. Choose another one, or replace it.";
            ui.add(egui::Label::new(RichText::new(text).color(theme.attention)).wrap());
        }
        ui.horizontal(|ui| {
            let name = if is_there { "Replace" } else { "Save" };
            let text = RichText::new(name).family(theme::medium()).color(theme.paper);
            if ui.add_enabled(!form.path.trim().is_empty(), egui::Button::new(text).fill(theme.exact)).clicked() {
                answer = Some(Answer::Save);
            }
            if ui.button("Close").clicked() {
                answer = Some(Answer::Close);
            }
        });
    });
    if modal.should_close() { Some(Answer::Close) } else { answer }
}
