//! The one place where errors and results become words on screen; they can be read again and copied.

use egui::{Align, Layout, RichText};

use super::command::Command;
use super::theme::Theme;
use super::work::Slot;
use crate::compute::error::{Error, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Wrong,
    /// It went on, but the user should know.
    Warning,
    Right,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    pub kind: Kind,
    pub text: String,
}

/// All notices of this start, newest last. The newest stays in sight: any but a right one as a card until it is
/// dismissed, a right one in the status line.
#[derive(Debug, Default)]
pub struct Notices {
    all: Vec<Notice>,
    in_sight: bool,
}

impl Notices {
    /// Older ones are forgotten.
    const MOST: usize = 200;

    pub fn error(&mut self, error: &Error) {
        if !matches!(error, Error::Cancelled) {
            self.wrong(error.to_string());
        }
    }

    /// What a worker made, once it is there; what went wrong is told.
    pub fn take<T: Send + 'static>(&mut self, slot: &mut Slot<Result<T>>) -> Option<T> {
        match slot.take()? {
            Ok(Ok(value)) => return Some(value),
            Ok(Err(error)) => self.error(&error),
            Err(message) => self.wrong(message),
        }
        None
    }

    pub fn wrong(&mut self, text: String) {
        self.push(Notice { kind: Kind::Wrong, text });
    }

    pub fn warning(&mut self, text: String) {
        self.push(Notice { kind: Kind::Warning, text });
    }

    pub fn right(&mut self, text: String) {
        self.push(Notice { kind: Kind::Right, text });
    }

    fn push(&mut self, notice: Notice) {
        self.in_sight = true;
        self.all.push(notice);
        let surplus = self.all.len().saturating_sub(Self::MOST);
        self.all.drain(..surplus);
    }

    pub fn count(&self) -> usize {
        self.all.len()
    }

    pub fn latest(&self) -> Option<&Notice> {
        self.all.last()
    }

    /// The newest notice, unless all went right, as a card over the picture.
    pub fn show_latest(&mut self, ui: &egui::Ui, theme: &Theme, commands: &mut Vec<Command>) {
        let Some(notice) = self.all.last().filter(|notice| self.in_sight && notice.kind != Kind::Right).cloned() else {
            return;
        };
        let mut dismissed = false;
        egui::Area::new(egui::Id::unique("latest notice"))
            .anchor(egui::Align2::CENTER_TOP, [0.0, 64.0])
            .order(egui::Order::Foreground)
            .show(ui.ctx(), |ui| {
                theme.floating().show(ui, |ui| {
                    ui.set_max_width(520.0);
                    let (title, color) = match notice.kind {
                        Kind::Wrong => ("This did not work", theme.wrong),
                        Kind::Warning | Kind::Right => ("Please note", theme.attention),
                    };
                    ui.label(RichText::new(title).color(color).family(super::theme::medium()));
                    ui.add(egui::Label::new(&notice.text).wrap().selectable(true));
                    ui.horizontal(|ui| {
                        if ui.button("Copy text").clicked() {
                            commands.push(Command::CopyText(notice.text.clone()));
                        }
                        if ui.button("Dismiss").clicked() {
                            dismissed = true;
                        }
                    });
                });
            });
        if dismissed {
            self.in_sight = false;
        }
    }

    /// All notices in a window.
    pub fn show_all(&self, ui: &egui::Ui, theme: &Theme, open: &mut bool, commands: &mut Vec<Command>) {
        egui::Window::new("Notices")
            .open(open)
            .default_width(520.0)
            .anchor(egui::Align2::RIGHT_TOP, [-16.0, 56.0])
            .frame(theme.floating())
            .show(ui.ctx(), |ui| {
                if self.all.is_empty() {
                    ui.label(RichText::new("Nothing to tell yet.").color(theme.ink_soft));
                    return;
                }
                egui::ScrollArea::vertical().max_height(400.0).show(ui, |ui| {
                    for notice in self.all.iter().rev() {
                        let color = match notice.kind {
                            Kind::Wrong => theme.wrong,
                            Kind::Warning => theme.attention,
                            Kind::Right => theme.right,
                        };
                        ui.horizontal_top(|ui| {
                            ui.label(RichText::new("•").color(color));
                            ui.with_layout(Layout::right_to_left(Align::TOP), |ui| {
                                if ui.small_button("Copy").clicked() {
                                    commands.push(Command::CopyText(notice.text.clone()));
                                }
                                ui.with_layout(Layout::left_to_right(Align::TOP), |ui| {
                                    ui.add(egui::Label::new(&notice.text).wrap().selectable(true));
                                });
                            });
                        });
                        ui.separator();
                    }
                });
            });
    }
}
