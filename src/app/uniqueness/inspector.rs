//! What a sample is: its text, its score, its nearest others to walk to; and how many samples remain over ε.

use egui::{Align, Layout, RichText};

use super::super::App;
use super::super::command::Command;
use super::super::fields::heading;
use super::state::Told;
use super::table::{neighbours, one_line, strong, told};
use super::{UniquenessCommand, thinning};
use crate::compute::figures::percent;
use crate::compute::uniqueness::Fate;

pub fn show(app: &mut App, ui: &mut egui::Ui) {
    let Some(found) = app.uniqueness.state.found.clone() else {
        heading(ui, &app.theme, "WHAT THIS IS");
        let text = "The score of a sample is its mean distance to its k nearest others, found exactly. A low score means \
                    that the sample is redundant: others say almost the same. A high one means that it is unique, or \
                    an outlier.";
        ui.add(egui::Label::new(text).wrap());
        return;
    };
    thinning::curve(app, ui);
    ui.add_space(4.0);
    ui.separator();
    heading(ui, &app.theme, "THIS SAMPLE");
    let Some(row) = app.uniqueness.state.current.filter(|&row| (row as usize) < found.samples()) else {
        let text = "Click a sample in the list to read it and to walk from neighbour to neighbour.";
        ui.add(egui::Label::new(RichText::new(text).color(app.theme.ink_soft)).wrap());
        return;
    };
    let theme = app.theme.clone();
    let Told { id, text } = told(app, row);
    let index = row as usize;
    ui.horizontal(|ui| {
        ui.label(RichText::new(format!("{:.4}", found.scores[index])).monospace().color(theme.exact));
        ui.label(RichText::new(format!("id {id}")).color(theme.ink_soft));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let can_go = !app.uniqueness.state.trail.is_empty();
            let back = ui.add_enabled(can_go, egui::Button::new("Step back"));
            if back.on_hover_text("The sample that was looked at before").clicked() {
                app.commands.push(Command::Uniqueness(UniquenessCommand::WalkBack));
            }
        });
    });
    let rank = found.below(found.scores[index]);
    let fate = app.uniqueness.state.selected.as_ref().map(|selected| selected.selection.fates[index]);
    let fate = match fate {
        Some(Fate::Duplicate(of)) => format!(" · dropped as a duplicate of {}", told(app, of).id),
        Some(Fate::Kept) | None => String::new(),
        Some(fate) => format!(" · dropped: {}", fate.name()),
    };
    let place = format!("more unique than {} of all samples{fate}", percent(rank, found.samples()));
    ui.add(egui::Label::new(RichText::new(place).small().color(theme.ink_soft)).wrap());
    egui::ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        if !text.title.is_empty() {
            ui.add(egui::Label::new(strong(text.title.clone())).wrap().selectable(true));
        }
        if !text.text.is_empty() {
            let shown: String = text.text.chars().take(4000).collect();
            ui.add(egui::Label::new(shown).wrap().selectable(true));
        }
        ui.add_space(4.0);
        heading(ui, &app.theme, &neighbours(found.neighbours.k).to_uppercase());
        for (other, distance) in found.neighbours.of(index).take(100) {
            let Told { id, text } = told(app, other);
            let words = one_line(&text);
            let frame =
                egui::Frame::new().fill(theme.paper).corner_radius(6).inner_margin(egui::Margin::symmetric(10, 6));
            let response = frame
                .show(ui, |ui| {
                    ui.set_width(ui.available_width());
                    ui.spacing_mut().item_spacing.y = 2.0;
                    ui.spacing_mut().interact_size.y = 16.0;
                    ui.horizontal(|ui| {
                        ui.label(RichText::new(format!("{distance:.4}")).monospace().color(theme.exact));
                        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                            ui.add(egui::Label::new(RichText::new(&id).small().color(theme.ink_soft)).truncate());
                        });
                    });
                    if !words.is_empty() {
                        let short: String = words.chars().take(200).collect();
                        ui.add(egui::Label::new(RichText::new(short).small()).wrap());
                    }
                })
                .response
                .interact(egui::Sense::click())
                .on_hover_cursor(egui::CursorIcon::PointingHand);
            response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, format!("Neighbour {id}")));
            if response.clicked() {
                app.commands.push(Command::Uniqueness(UniquenessCommand::LookAt(other)));
            }
        }
    });
}
