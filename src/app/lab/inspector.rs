//! The contestant that is looked at: its figures, its queries, and what one of them lost.

use egui::RichText;

use super::super::App;
use super::super::command::Command;
use super::super::fields::heading;
use super::super::grid::Clicked;
use super::super::theme::{self, Theme};
use super::state::Tab;
use super::studies;
use super::work::{Neighbour, Told};
use super::{LabCommand, Part};
use crate::compute::figures::{bytes, count, duration};
use crate::compute::index::report::Line;

pub fn show(app: &mut App, ui: &mut egui::Ui) {
    let is_study = app.lab.state.tab == Tab::Studies && app.lab.state.studies.finding().is_some();
    if is_study && studies::show_inspector(app, ui) {
        return;
    }
    let state = &app.lab.state;
    let line = state.opened.as_ref().zip(state.current).and_then(|(opened, line)| opened.lines.get(line));
    if !is_study {
        heading(ui, &app.theme, "CONTESTANT");
        match line {
            Some(line) => figures(ui, &app.theme, line),
            None => {
                let text = "Click a point or a row: its figures stand here, and the queries that lost most.";
                ui.add(egui::Label::new(RichText::new(text).color(app.theme.ink_soft)).wrap());
            }
        }
        if line.is_some() {
            ui.separator();
        }
    }
    if state.has_detail() {
        detail(app, ui);
    } else if line.is_some() {
        queries(app, ui);
    } else if is_study {
        let text = "Click a row of the table below: its queries and docs stand here.";
        ui.add(egui::Label::new(RichText::new(text).color(app.theme.ink_soft)).wrap());
    }
}

/// A query with both its lists, or the text of a doc.
fn detail(app: &mut App, ui: &mut egui::Ui) {
    let state = &app.lab.state;
    let name = match (state.query, state.doc) {
        (Some(query), _) => format!("QUERY {}", count(query)),
        (None, doc) => format!("DOC {}", count(doc.unwrap_or_default() as usize)),
    };
    ui.horizontal(|ui| {
        heading(ui, &app.theme, &name);
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            if ui.button(RichText::new("Back to the list").small()).clicked() {
                app.commands.push(Command::Lab(LabCommand::BackToList));
            }
        });
    });
    if let Some(told) = state.told.clone() {
        neighbours(ui, &app.theme, &told);
    } else if let Some(read) = &state.read {
        egui::ScrollArea::vertical().id_salt("lab doc").auto_shrink(false).show(ui, |ui| {
            let text = if read.text.is_empty() { "No text is known of this doc." } else { &read.text };
            ui.add(egui::Label::new(text).wrap().selectable(true));
        });
    } else {
        ui.label(RichText::new("Reading…").color(app.theme.ink_soft));
    }
}

/// The queries of the contestant, or those of the group.
fn queries(app: &mut App, ui: &mut egui::Ui) {
    let state = &app.lab.state;
    ui.horizontal(|ui| {
        heading(ui, &app.theme, if state.group.is_some() { "QUERIES OF THE GROUP" } else { "QUERIES THAT LOST MOST" });
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            let button = egui::Button::new(RichText::new("Save queries…").small());
            if ui.add_enabled(state.queries.is_some(), button).on_hover_text("All of them as CSV").clicked() {
                app.commands.push(Command::Lab(LabCommand::AskSave(Part::Queries)));
            }
        });
    });
    let Some(list) = state.queries.clone() else {
        let text = if state.opened.as_ref().is_some_and(|opened| opened.lab.is_some()) {
            "Looking at the queries…"
        } else {
            "Queries can be looked at when all are run."
        };
        ui.label(RichText::new(text).color(app.theme.ink_soft));
        return;
    };
    if let Some(Clicked::Row(row)) = list.grid.show(ui, &app.theme, "lab queries", None, None, "query") {
        app.commands.push(Command::Lab(LabCommand::LookAtQuery(list.queries[row])));
    }
}

fn figures(ui: &mut egui::Ui, theme: &Theme, line: &Line) {
    ui.add(egui::Label::new(RichText::new(&line.index).family(theme::medium())).wrap());
    if !line.setting.is_empty() {
        ui.add(egui::Label::new(RichText::new(&line.setting).monospace()).wrap());
    }
    let mut rows: Vec<(String, String)> = line
        .recall
        .iter()
        .map(|recall| {
            let mean = recall.mean;
            (format!("recall@{}", count(recall.k)), format!("{:.4} ({:.4} to {:.4})", mean.mean, mean.low, mean.high))
        })
        .collect();
    rows.push(("mean score gap".to_owned(), format!("{:.3e}, relative {:.3e}", line.gaps.mean, line.gaps.relative)));
    if let Some([median, high, highest]) = line.latency_secs {
        let millis = |secs: f32| format!("{:.3}", secs * 1e3);
        rows.push(("latency ms".to_owned(), format!("{} · {} · {}", millis(median), millis(high), millis(highest))));
    }
    if let Some(qps) = line.qps {
        let all = line.qps_all_threads.map_or(String::new(), |all| match line.threads {
            Some(threads) => format!(", {} threads {all:.0}", count(threads)),
            None => format!(", all threads {all:.0}"),
        });
        rows.push(("queries/s".to_owned(), format!("{qps:.0}{all}")));
    }
    if let Some((train, build)) = line.train_secs.zip(line.build_secs) {
        rows.push(("train, build".to_owned(), format!("{}, {}", duration(train), duration(build))));
    }
    if let Some(memory) = line.memory_bytes {
        let disk = line.disk_bytes.map_or(String::new(), |disk| format!(", {} on disk", bytes(disk)));
        rows.push(("memory".to_owned(), format!("{}{disk}", bytes(memory))));
    }
    if let Some(distances) = line.distances_per_query {
        rows.push(("distances a query".to_owned(), format!("{distances:.0}")));
    }
    if line.docs_lacking > 0 {
        rows.push(("docs not in it".to_owned(), count(line.docs_lacking)));
    }
    if line.missing > 0 {
        rows.push(("places without doc".to_owned(), count(line.missing as usize)));
    }
    if let Some(noise) = line.build_noise {
        rows.push(("noise of building".to_owned(), format!("± {noise:.4}")));
    }
    egui::Grid::new("lab figures").num_columns(2).spacing([10.0, 3.0]).show(ui, |ui| {
        for (name, value) in rows {
            let hint = if name == "latency ms" { "Median, 95th and 99th percentile" } else { "" };
            let name = ui.label(RichText::new(name).small().color(theme.ink_soft));
            if !hint.is_empty() {
                name.on_hover_text(hint);
            }
            ui.label(RichText::new(value).small());
            ui.end_row();
        }
    });
}

fn neighbours(ui: &mut egui::Ui, theme: &Theme, told: &Told) {
    if !told.text.is_empty() {
        ui.add(egui::Label::new(RichText::new(&told.text).family(theme::medium())).wrap());
    }
    egui::ScrollArea::vertical().id_salt("lab neighbours").auto_shrink(false).show(ui, |ui| {
        if told.line.is_none() {
            side(ui, theme, "Exact (choose a contestant to see what it finds)", &told.exact, theme.ink);
            return;
        }
        ui.columns(2, |columns| {
            let [left, right] = columns else { return };
            side(left, theme, "Exact", &told.exact, theme.wrong);
            side(right, theme, "Found", &told.found, theme.attention);
        });
    });
}

/// One list; what the other lacks stands out.
fn side(ui: &mut egui::Ui, theme: &Theme, name: &str, list: &[Neighbour], alone: egui::Color32) {
    ui.label(RichText::new(name).small().family(theme::medium()).color(theme.ink_soft));
    for neighbour in list {
        let color = if neighbour.is_shared { theme.ink } else { alone };
        let head = format!("{:.4} · doc {}", neighbour.score, count(neighbour.doc as usize));
        ui.label(RichText::new(head).small().monospace().color(color));
        if !neighbour.text.is_empty() {
            ui.add(
                egui::Label::new(RichText::new(&neighbour.text).small().color(color))
                    .wrap_mode(egui::TextWrapMode::Truncate),
            )
            .on_hover_text(&neighbour.text);
        }
    }
}
