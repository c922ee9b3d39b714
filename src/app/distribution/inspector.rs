//! What the picture means: this run, how to read it, and the queries and docs behind the scores.

use egui::{Align, Layout, RichText};

use super::super::App;
use super::super::fields::heading;
use super::super::state::{Digest, Selection, SelectionRow};
use super::super::theme::Theme;
use crate::compute::figures::{count, counted, duration, grouped, rate};
use crate::compute::vectors::Text;
use crate::video::scene::fixed;

pub fn show(app: &App, ui: &mut egui::Ui) {
    let theme = &app.theme;
    let Some(digest) = &app.session.digest else {
        heading(ui, theme, "WHAT THIS IS");
        let text = "knnscope finds the exact nearest docs of many queries and shows how their scores are distributed, \
                    and how that picture changes with the number of queries.";
        ui.add(egui::Label::new(text).wrap());
        return;
    };
    let index = app.session.player.index.min(digest.run_count() - 1);
    this_run(ui, theme, digest, index);
    ui.add_space(8.0);
    heading(ui, theme, "HOW TO READ IT");
    let manifest = digest.store.manifest();
    let meaning = format!(
        "Each bar is the share of this run's scores that fall into it: {} queries × their {} nearest docs. Axes are \
         the same for all {}, so shapes can be compared; what still moves between repeats of one N is chance.",
        grouped(digest.store.runs()[index].n),
        grouped(manifest.top_k),
        counted(digest.run_count(), "run", "runs"),
    );
    ui.add(egui::Label::new(RichText::new(meaning).color(theme.ink_soft)).wrap());
    ui.add_space(8.0);
    heading(ui, theme, "SCORES IN VIEW");
    let range = (digest.set.bins.low(), digest.set.bins.high());
    let selection = app
        .session
        .selection
        .as_ref()
        .filter(|(key, _)| key.run == index && key.range == range && key.folder == digest.store.folder());
    match selection {
        Some((_, selection)) => rows(ui, theme, selection),
        None if app.session.player.playing => {
            ui.label(RichText::new("Pause to see single queries and docs.").color(theme.ink_soft));
        }
        None => {
            ui.label(RichText::new("Looking them up…").color(theme.ink_soft));
        }
    }
}

fn this_run(ui: &mut egui::Ui, theme: &Theme, digest: &Digest, index: usize) {
    heading(ui, theme, "THIS RUN");
    let (manifest, run) = (digest.store.manifest(), &digest.store.runs()[index]);
    let first = run.query_start_index;
    let reused = digest.store.reused_queries(index).unwrap_or(0);
    let queries = match manifest.query_rows {
        Some(rows) if reused > 0 => format!("from row {}, wrapping", grouped(first % rows)),
        _ => format!("rows {} to {}", grouped(first), grouped(first + run.n - 1)),
    };
    // A rate only where the time was spent computing.
    let time = match run.elapsed_sec {
        0.0 => "under a millisecond".to_owned(),
        secs if reused == run.n => format!("{} (copied)", duration(secs)),
        secs if reused > 0 => duration(secs),
        secs => format!("{} ({} pairs/s)", duration(secs), rate(run.n as f64 * manifest.num_docs as f64 / secs)),
    };
    let usual_height = std::mem::replace(&mut ui.spacing_mut().interact_size.y, 16.0);
    for (name, value) in [
        ("queries", queries),
        ("docs", grouped(manifest.num_docs)),
        ("top-k", grouped(manifest.top_k)),
        ("dim", grouped(manifest.dim)),
        ("metric", manifest.metric.name().to_owned()),
        ("done in", time),
    ] {
        ui.horizontal(|ui| {
            ui.label(RichText::new(name).color(theme.ink_soft));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.add(egui::Label::new(value).truncate());
            });
        });
    }
    ui.spacing_mut().interact_size.y = usual_height;
    if reused > 0 {
        let text = format!(
            "{} of these queries were in earlier runs already, since the file has only {}. They are no new evidence.",
            grouped(reused),
            grouped(manifest.query_rows.unwrap_or_default())
        );
        ui.add(egui::Label::new(RichText::new(text).color(theme.attention)).wrap());
    }
}

fn rows(ui: &mut egui::Ui, theme: &Theme, selection: &Selection) {
    let shown = selection.rows.len();
    let text = if (shown as u64) < selection.total {
        format!("{} of {}, spread evenly, nearest first", count(shown), grouped(selection.total))
    } else {
        format!("{}, nearest first", counted(shown, "score", "scores"))
    };
    ui.label(RichText::new(text).small().color(theme.ink_soft));
    egui::ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        for row in &selection.rows {
            row_card(ui, theme, row);
        }
    });
}

fn row_card(ui: &mut egui::Ui, theme: &Theme, row: &SelectionRow) {
    let frame = egui::Frame::new().fill(theme.paper).corner_radius(6).inner_margin(egui::Margin::symmetric(10, 8));
    frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.spacing_mut().item_spacing.y = 2.0;
        ui.spacing_mut().interact_size.y = 16.0;
        ui.horizontal(|ui| {
            ui.label(RichText::new(fixed(f64::from(row.score), 4)).monospace().color(theme.exact));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.label(RichText::new(format!("rank {}", grouped(row.rank + 1))).small().color(theme.ink_soft));
            });
        });
        entry(ui, theme, "query", Some(row.query_row), row.query.as_ref());
        entry(ui, theme, "doc", row.doc_row.map(u64::from), row.doc.as_ref());
    });
}

fn entry(ui: &mut egui::Ui, theme: &Theme, kind: &str, row: Option<u64>, text: Option<&Text>) {
    let number = row.map_or_else(|| "row not stored".to_owned(), |row| format!("row {}", grouped(row)));
    let words = match text {
        Some(Text { title, text }) if title.is_empty() => text.clone(),
        Some(Text { title, text }) => format!("{title}: {text}"),
        None => String::new(),
    };
    let line = if words.is_empty() { format!("{kind} {number}") } else { words };
    let label =
        egui::Label::new(RichText::new(line).small().color(if kind == "query" { theme.ink } else { theme.ink_soft }));
    ui.add(label.wrap()).on_hover_text(format!("{kind}, {number}"));
}
