//! What all views have: the bar at the top with the views' names, and the status line with the work in
//! progress.

use egui::{Align, Layout, RichText};

use super::App;
use super::command::{Command, Work};
use super::notices::Kind;
use super::state::Page;
use super::theme::{self, Theme};
use crate::compute::demo;
use crate::compute::figures;
use crate::job::Progress;

pub fn top_bar(app: &mut App, ui: &mut egui::Ui) {
    ui.horizontal(|ui| {
        ui.label(RichText::new("knnscope").font(egui::FontId::new(18.0, theme::bold())));
        ui.add_space(8.0);
        for (page, name, hint) in [
            (Page::Distribution, "Distribution", "How the scores of nearest neighbours are distributed (Ctrl+1)"),
            (Page::Uniqueness, "Uniqueness", "How isolated or redundant each sample is (Ctrl+2)"),
            (Page::Sparsity, "Sparsity", "How alike the features of pruned matrices are (Ctrl+3)"),
            (Page::Lab, "Index lab", "What approximate indexes lose against the exact answer (Ctrl+4)"),
        ] {
            if ui.selectable_label(app.session.page == page, name).on_hover_text(hint).clicked() {
                app.commands.push(Command::ShowPage(page));
            }
        }
        ui.add_space(8.0);
        let is_distribution = app.session.page == Page::Distribution;
        let (title, hint) = match (&app.session.digest, app.session.is_demo) {
            _ if app.session.page == Page::Uniqueness => app.uniqueness.title(),
            _ if app.session.page == Page::Lab => app.lab.title(),
            _ if !is_distribution => app.sparsity.title(),
            (Some(_), true) => (demo::ABOUT.to_owned(), "Choose your own docs and queries at the left".to_owned()),
            (Some(digest), false) => {
                (digest.store.folder().display().to_string(), "The results folder that is shown".to_owned())
            }
            (None, _) => (String::new(), String::new()),
        };
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let (name, hint_theme) = if app.settings.dark {
                ("Light", "Switch to the light look")
            } else {
                ("Dark", "Switch to the dark look")
            };
            if ui.button(name).on_hover_text(hint_theme).clicked() {
                app.commands.push(Command::ToggleTheme);
            }
            let notices = format!("Notices {}", app.notices.count());
            if ui.button(notices).on_hover_text("Everything that was told since the start").clicked() {
                app.commands.push(Command::ShowNotices);
            }
            if ui.button("Commands").on_hover_text("All commands and their keys (Ctrl+K)").clicked() {
                app.commands.push(Command::ShowPalette);
            }
            if is_distribution
                && ui
                    .button("Open results…")
                    .on_hover_text("Open a results folder (Ctrl+O), or drop one on the window")
                    .clicked()
            {
                app.commands.push(Command::Pick(super::command::Pick::Results));
            }
            if is_distribution && !app.settings.recent_results.is_empty() {
                ui.menu_button("Recent results", |ui| {
                    for path in &app.settings.recent_results {
                        if ui.button(path.display().to_string()).clicked() {
                            app.commands.push(Command::OpenPaths(vec![path.clone()]));
                            ui.close();
                        }
                    }
                });
            }
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                ui.add(egui::Label::new(RichText::new(title).color(app.theme.ink_soft)).truncate()).on_hover_text(hint);
            });
        });
    });
}

pub fn status_line(app: &mut App, ui: &mut egui::Ui) {
    let App { jobs, session, theme, commands, notices, uniqueness, sparsity, lab, .. } = app;
    let work = [
        (Work::Scoring, jobs.scoring.progress()),
        (Work::Exporting, jobs.export.progress()),
        // Runs that are taken in while others are scored come and go too quickly to be told.
        (Work::Reading, jobs.digest.progress().filter(|_| !jobs.scoring.is_busy())),
        (Work::Reading, jobs.selection.progress().filter(|progress| progress.elapsed_secs > 0.3)),
        (Work::Uniqueness, uniqueness.jobs.progress()),
        (Work::Sparsity, sparsity.jobs.progress()),
        (Work::Lab, lab.jobs.progress()),
    ];
    let mut idle = true;
    for (work, progress) in work {
        if let Some(progress) = progress {
            idle = false;
            progress_row(ui, theme, work, &progress, commands);
        }
    }
    if !idle {
        return;
    }
    ui.horizontal(|ui| {
        ui.set_min_height(28.0);
        match session.exported.as_ref().filter(|_| session.page == Page::Distribution) {
            Some(path) => {
                ui.label(RichText::new("Video written:").color(theme.right));
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    if ui.button("Show in folder").clicked() {
                        commands.push(Command::ShowInFolder(path.clone()));
                    }
                    if ui.button("Open video").clicked() {
                        commands.push(Command::OpenFile(path.clone()));
                    }
                    ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                        let text = RichText::new(path.display().to_string()).monospace();
                        ui.add(egui::Label::new(text).truncate().selectable(true));
                    });
                });
            }
            None => {
                let good = notices.latest().filter(|notice| notice.kind == Kind::Right);
                let text = good.map_or("Ready", |notice| notice.text.as_str());
                ui.add(egui::Label::new(RichText::new(text).color(theme.ink_soft)).truncate());
            }
        }
    });
}

fn progress_row(ui: &mut egui::Ui, theme: &Theme, work: Work, progress: &Progress, commands: &mut Vec<Command>) {
    ui.horizontal(|ui| {
        ui.label(RichText::new(&progress.stage).family(theme::medium()));
        let bar =
            egui::ProgressBar::new(progress.share() as f32).desired_width(180.0).desired_height(8.0).fill(theme.exact);
        ui.add(bar);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if ui.button("Cancel").on_hover_text("What is finished stays valid").clicked() {
                commands.push(Command::Cancel(work));
            }
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                ui.add(egui::Label::new(RichText::new(figures::progress(progress)).color(theme.ink_soft)).truncate());
            });
        });
    });
}
