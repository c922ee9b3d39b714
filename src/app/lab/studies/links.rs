//! At the right: what a finding means, and the queries and docs of its row that is looked at, with their texts.

use egui::text::{LayoutJob, TextFormat, TextWrapping};
use egui::{FontFamily, FontId, RichText, Sense};

use super::super::super::App;
use super::super::super::command::Command;
use super::super::super::fields::heading;
use super::super::super::theme::{self, Theme};
use super::super::LabCommand;
use super::super::state::Part;
use super::StudyCommand;
use super::state::{Listed, PAGE, Side};
use crate::compute::figures::{count, counted};

const ROW_HEIGHT: f32 = 24.0;

/// What was found in words, and the list of the row; returns whether one is shown, so that nothing else belongs there.
pub fn show(app: &mut App, ui: &mut egui::Ui) -> bool {
    let Some(found) = app.lab.state.studies.finding().cloned() else { return false };
    heading(ui, &app.theme, "FINDING");
    // Less of it where a row or a query is looked at.
    let is_deeper = app.lab.state.studies.listed.is_some() || app.lab.state.has_detail();
    let most = ui.available_height() * if is_deeper { 0.28 } else { 0.45 };
    egui::ScrollArea::vertical().id_salt("finding notes").max_height(most).auto_shrink([false, true]).show(ui, |ui| {
        let title = RichText::new(&found.finding.title).family(theme::medium());
        ui.add(egui::Label::new(title).wrap().selectable(true));
        ui.spacing_mut().item_spacing.y = 5.0;
        for note in &found.finding.notes {
            ui.add(egui::Label::new(RichText::new(note).color(app.theme.ink)).wrap().selectable(true));
        }
    });
    ui.separator();
    if app.lab.state.studies.listed.is_some() && !app.lab.state.has_detail() {
        lists(app, ui);
        return true;
    }
    false
}

fn lists(app: &mut App, ui: &mut egui::Ui) {
    let App { lab, theme: look, commands, .. } = app;
    let busy = lab.jobs.reading.is_busy();
    let Some(listed) = &lab.state.studies.listed else { return };
    let mut send = |command| commands.push(Command::Lab(command));
    ui.horizontal(|ui| {
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            if ui.button(RichText::new("Close").small()).on_hover_text("Leave this row").clicked() {
                send(LabCommand::Study(StudyCommand::CloseRow));
            }
            ui.with_layout(egui::Layout::left_to_right(egui::Align::Center), |ui| {
                let name = RichText::new(listed.link.name.to_uppercase()).small().family(theme::medium());
                ui.add(egui::Label::new(name.color(look.ink_soft)).truncate()).on_hover_text(&listed.link.name);
            });
        });
    });
    if listed.link.is_empty() {
        ui.label(RichText::new("This row stands for no single queries or docs.").color(look.ink_soft));
        return;
    }
    ui.horizontal(|ui| {
        for (side, one, many) in [(Side::Queries, "query", "queries"), (Side::Docs, "doc", "docs")] {
            let rows = listed.rows(side).len();
            let label = egui::Button::selectable(listed.side == side, counted(rows, one, many));
            if ui.add_enabled(rows > 0, label).clicked() {
                send(LabCommand::Study(StudyCommand::ListSide(side)));
            }
        }
        let save = egui::Button::new(RichText::new("Save list…").small());
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            if ui.add(save).on_hover_text("These rows with all their texts as CSV").clicked() {
                send(LabCommand::AskSave(Part::StudyList));
            }
        });
    });
    if let Some((side, page)) = rows(ui, look, listed, commands).filter(|_| !busy) {
        commands.push(Command::Lab(LabCommand::Study(StudyCommand::Read(side, page))));
    }
}

/// The rows in sight; returns a page of texts that is missing.
fn rows(ui: &mut egui::Ui, theme: &Theme, listed: &Listed, commands: &mut Vec<Command>) -> Option<(Side, usize)> {
    let side = listed.side;
    let rows = listed.rows(side);
    let mut missing = None;
    ui.spacing_mut().item_spacing.y = 0.0;
    let area = egui::ScrollArea::vertical().id_salt(("listed", &listed.link.name, side)).auto_shrink(false);
    area.show_rows(ui, ROW_HEIGHT, rows.len(), |ui, range| {
        let mut pages = range.start / PAGE..range.end.div_ceil(PAGE);
        missing = pages.find(|page| !listed.texts.contains_key(&(side, *page)));
        for place in range {
            if row(ui, theme, side, rows[place], listed.text(side, place)) {
                commands.push(Command::Lab(match side {
                    Side::Queries => LabCommand::LookAtQuery(rows[place] as usize),
                    Side::Docs => LabCommand::LookAtDoc(rows[place]),
                }));
            }
        }
    });
    missing.map(|page| (side, page))
}

fn row(ui: &mut egui::Ui, theme: &Theme, side: Side, row: u32, text: Option<&str>) -> bool {
    let (rect, response) = ui.allocate_exact_size(egui::vec2(ui.available_width(), ROW_HEIGHT), Sense::click());
    if response.hovered() || response.has_focus() {
        ui.painter().rect_filled(rect, 4.0, theme.rule.gamma_multiply(0.6));
    }
    let number = count(row as usize);
    let (name, text) = (if side == Side::Queries { "query" } else { "doc" }, text.unwrap_or("…"));
    let mut job = LayoutJob { wrap: TextWrapping::truncate_at_width(rect.width() - 12.0), ..LayoutJob::default() };
    let mono = TextFormat::simple(FontId::new(12.0, FontFamily::Monospace), theme.ink_soft);
    job.append(&format!("{number:>7}"), 0.0, mono);
    let line: String = text.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect();
    job.append(&line, 10.0, TextFormat::simple(FontId::new(13.0, FontFamily::Proportional), theme.ink));
    let galley = ui.painter().layout_job(job);
    let at = egui::pos2(rect.left() + 4.0, rect.center().y - galley.size().y / 2.0);
    ui.painter().galley(at, galley, theme.ink);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, format!("{name} {number}: {text}")));
    if text.chars().count() > 30 { response.on_hover_text(text).clicked() } else { response.clicked() }
}
