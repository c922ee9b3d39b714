//! The samples: a list of any length, sortable and searchable; or the sets of near-duplicates.

use egui::{Align, Align2, Layout, RichText, Sense};

use super::super::App;
use super::super::command::Command;
use super::super::fields::edit;
use super::super::theme;
use super::UniquenessCommand;
use super::state::{Listing, Shown, Sort, Told};
use crate::compute::figures::{count, counted};
use crate::compute::uniqueness::Fate;
use crate::compute::vectors::Text;

const ROW_HEIGHT: f32 = 26.0;
const ID_WIDTH: f32 = 92.0;
const NEAREST_WIDTH: f32 = 136.0;
const NOTE_WIDTH: f32 = 72.0;

pub fn show(app: &mut App, ui: &mut egui::Ui) {
    bar(app, ui);
    if app.uniqueness.state.listing.sets {
        sets(app, ui);
    } else {
        samples(app, ui);
    }
}

fn bar(app: &mut App, ui: &mut egui::Ui) {
    let before = app.uniqueness.state.listing.clone();
    let mut listing = before.clone();
    let state = &app.uniqueness.state;
    let set_count = state.selected.as_ref().map_or(0, |selected| selected.sets.len());
    let epsilon = state.selected.as_ref().map_or(0.0, |selected| selected.epsilon);
    ui.horizontal(|ui| {
        ui.selectable_value(&mut listing.sets, false, "Samples");
        let hint = format!("Samples within {epsilon} of the one that is kept; set the distance under Thin within");
        ui.selectable_value(&mut listing.sets, true, format!("Sets {}", count(set_count))).on_hover_text(hint);
        ui.separator();
        if listing.sets {
            let text = if epsilon == 0.0 { "exact duplicates".to_owned() } else { format!("within {epsilon}") };
            ui.label(RichText::new(text).color(app.theme.ink_soft));
            return;
        }
        let sorts = [
            (Sort::MostRedundant, "Most redundant first"),
            (Sort::MostUnique, "Most unique first"),
            (Sort::ByRow, "By row"),
        ];
        choice(ui, "Sort", &mut listing.sort, &sorts, 168.0);
        let parts = [(Shown::All, "All"), (Shown::Kept, "Kept"), (Shown::Dropped, "Dropped")];
        choice(ui, "Shown", &mut listing.shown, &parts, 96.0);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.label(RichText::new(count(app.uniqueness.state.order.len())).color(app.theme.ink_soft))
                .on_hover_text("Samples in the list");
            edit(ui, "Search", "search id or text", &mut listing.search, 180.0);
        });
    });
    if listing != before {
        app.uniqueness.state.listing = listing.clone();
        app.commands.push(Command::Uniqueness(UniquenessCommand::List(listing)));
    }
}

/// One of a few things, by name.
fn choice<T: Copy + PartialEq>(ui: &mut egui::Ui, name: &str, value: &mut T, all: &[(T, &str)], width: f32) {
    let shown = all.iter().find(|(other, _)| other == value).map_or("", |(_, name)| name);
    let combo = egui::ComboBox::from_id_salt(name).width(width).selected_text(shown).show_ui(ui, |ui| {
        for &(other, name) in all {
            ui.selectable_value(value, other, name);
        }
    });
    combo.response.accessible_name(name);
}

/// What a line shows.
struct Entry<'a> {
    row: u32,
    indent: f32,
    note: &'a str,
    is_current: bool,
}

fn samples(app: &mut App, ui: &mut egui::Ui) {
    let order = app.uniqueness.state.order.clone();
    if order.is_empty() {
        let Listing { search, .. } = &app.uniqueness.state.listing;
        let text = match (app.uniqueness.jobs.listing.is_busy(), search.is_empty()) {
            (true, _) => "Looking…".to_owned(),
            (false, true) => "No samples here.".to_owned(),
            (false, false) => format!("No sample has “{search}” in its id or text."),
        };
        ui.label(RichText::new(text).color(app.theme.ink_soft));
        return;
    }
    ui.spacing_mut().item_spacing.y = 0.0;
    egui::ScrollArea::vertical().auto_shrink(false).show_rows(ui, ROW_HEIGHT, order.len(), |ui, range| {
        for &row in &order[range] {
            let fate = app.uniqueness.state.selected.as_ref().map(|selected| selected.selection.fates[row as usize]);
            let note = fate.filter(|&fate| fate != Fate::Kept).map_or("", Fate::name);
            let is_current = app.uniqueness.state.current == Some(row);
            line(app, ui, &Entry { row, indent: 0.0, note, is_current });
        }
    });
}

fn sets(app: &mut App, ui: &mut egui::Ui) {
    let Some(selected) = app.uniqueness.state.selected.clone() else { return };
    if selected.sets.is_empty() {
        let text = if selected.epsilon == 0.0 {
            "No sample has an exact duplicate. Set a distance under Thin within to find near ones.".to_owned()
        } else {
            format!("No two samples are within {}.", selected.epsilon)
        };
        ui.label(RichText::new(text).color(app.theme.ink_soft));
        return;
    }
    // A line for every member; where each set begins is found by bisection.
    ui.spacing_mut().item_spacing.y = 0.0;
    egui::ScrollArea::vertical().auto_shrink(false).show_rows(ui, ROW_HEIGHT, selected.members, |ui, range| {
        for index in range {
            let starts = &selected.set_starts;
            let set = starts.partition_point(|&start| start <= index) - 1;
            let place = index - starts[set];
            let members = &selected.sets[set];
            let note = if place == 0 { format!("set of {}", count(members.len())) } else { "duplicate".to_owned() };
            let row = members[place];
            let is_current = app.uniqueness.state.current == Some(row);
            let indent = if place == 0 { 0.0 } else { 24.0 };
            line(app, ui, &Entry { row, indent, note: &note, is_current });
        }
    });
}

fn line(app: &mut App, ui: &mut egui::Ui, entry: &Entry<'_>) {
    let theme = app.theme.clone();
    let row = entry.row as usize;
    let Some(found) = app.uniqueness.state.found.clone() else { return };
    let (rect, response) = ui.allocate_exact_size(egui::vec2(ui.available_width(), ROW_HEIGHT), Sense::click());
    let painter = ui.painter().with_clip_rect(rect.intersect(ui.clip_rect()));
    if entry.is_current {
        painter.rect_filled(rect, 4.0, theme.exact.gamma_multiply(0.18));
    } else if response.hovered() {
        painter.rect_filled(rect, 4.0, theme.rule.gamma_multiply(0.6));
    }
    let y = rect.center().y;
    let mono = egui::FontId::new(13.0, egui::FontFamily::Monospace);
    let body = egui::FontId::new(14.0, egui::FontFamily::Proportional);
    let left = rect.left() + 8.0 + entry.indent;
    let score = format!("{:.4}", found.scores[row]);
    painter.text(egui::pos2(left, y), Align2::LEFT_CENTER, &score, mono, theme.exact);
    let Told { id, text } = told(app, entry.row);
    let words = one_line(&text);
    let shown = if words.is_empty() { id.clone() } else { words };
    // What is dropped is quieter; of a set, all but its first.
    let is_quiet = if app.uniqueness.state.listing.sets { entry.indent > 0.0 } else { !entry.note.is_empty() };
    let ink = if is_quiet { theme.ink_soft } else { theme.ink };
    let small = egui::FontId::new(12.0, egui::FontFamily::Proportional);
    // From the right: the note, the nearest other, the id; the text has what is left.
    let note_left = rect.right() - NOTE_WIDTH;
    let nearest_left = note_left - NEAREST_WIDTH;
    let id_left = nearest_left - ID_WIDTH;
    let cell = |from: f32, to: f32, text: String, font: &egui::FontId, ink: egui::Color32| {
        let mut job = egui::text::LayoutJob::simple_singleline(text, font.clone(), ink);
        job.wrap = egui::text::TextWrapping::truncate_at_width((to - 8.0 - from).max(0.0));
        let galley = ui.fonts_mut(|fonts| fonts.layout_job(job));
        painter.galley(egui::pos2(from, y - galley.size().y / 2.0), galley, ink);
    };
    cell(left + 76.0, id_left, shown.chars().take(240).collect(), &body, ink);
    cell(id_left, nearest_left, id.chars().take(60).collect(), &small, theme.ink_soft);
    let nearest = found.neighbours.of(row).next();
    let pointer = response.hover_pos().or(response.interact_pointer_pos());
    let over_nearest = pointer.is_some_and(|pointer| (nearest_left..note_left).contains(&pointer.x));
    if let Some((other, distance)) = nearest {
        let other = told(app, other).id;
        let text = format!("{distance:.4} to {}", other.chars().take(40).collect::<String>());
        cell(nearest_left, note_left, text, &small, if over_nearest { theme.exact } else { theme.ink_soft });
    }
    let note_ink = if app.uniqueness.state.listing.sets { theme.ink_soft } else { theme.attention };
    painter.text(egui::pos2(rect.right() - 8.0, y), Align2::RIGHT_CENTER, entry.note, small, note_ink);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, format!("Sample {id}, score {score}")));
    let hint = if over_nearest { "Walk to its nearest other" } else { "Read it" };
    let response = response.on_hover_text(hint);
    if response.clicked() {
        app.commands.push(Command::Uniqueness(UniquenessCommand::LookAt(entry.row)));
        if let Some((other, _)) = nearest.filter(|_| over_nearest) {
            app.commands.push(Command::Uniqueness(UniquenessCommand::LookAt(other)));
        }
    }
}

/// What is shown of a sample, once it was read; asks for it otherwise, and is told its row so far.
pub fn told(app: &mut App, row: u32) -> Told {
    let state = &mut app.uniqueness.state;
    if let Some(told) = state.told.get(&row) {
        return told.clone();
    }
    if !state.wanted.contains(&row) {
        // What was scrolled past long ago is read again when it comes back.
        if state.told.len() > 20_000 {
            state.told.clear();
        }
        state.wanted.push(row);
    }
    Told { id: format!("row {}", count(row as usize)), text: Text::default() }
}

/// A text without line breaks.
pub fn one_line(text: &Text) -> String {
    let Text { title, text } = text;
    let words: Vec<&str> = text.split_whitespace().take(60).collect();
    match (title.is_empty(), words.is_empty()) {
        (true, _) => words.join(" "),
        (false, true) => title.clone(),
        (false, false) => format!("{title}: {}", words.join(" ")),
    }
}

/// A family of the sans face, for what is looked at.
pub fn strong(text: String) -> RichText {
    RichText::new(text).family(theme::medium())
}

/// "1 nearest other", "5 nearest others".
pub fn neighbours(k: usize) -> String {
    counted(k, "nearest other", "nearest others")
}
