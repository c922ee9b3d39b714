//! What a matrix and a group of it are like, in words.

use egui::RichText;

use super::super::App;
use super::super::command::Command;
use super::super::fields::heading;
use super::SparsityCommand;
use crate::compute::figures::{count, counted, duration, grouped};
use crate::compute::sparsity::analysis::{AnalysedGroup, Analysis};
use crate::compute::sparsity::groups::pair_distances;
use crate::video::scene::fixed;
use crate::video::sparsity::share_text;

pub fn show(app: &mut App, ui: &mut egui::Ui) {
    let Some(analysis) = app.sparsity.state.analysis().cloned() else {
        heading(ui, &app.theme, "WHAT THIS IS");
        let text = "A feature is a column of a weight matrix. Two features are alike when few rows differ in whether the \
                    weight was pruned. At 50 % density two unrelated columns differ in half of their rows, so distances \
                    only mean something beside what chance alone gives.";
        ui.add(egui::Label::new(text).wrap());
        return;
    };
    egui::ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        matrix(app, ui, &analysis);
        ui.add_space(4.0);
        ui.separator();
        match app.sparsity.state.group.and_then(|group| analysis.groups.get(group)) {
            Some(group) => self::group(app, ui, &analysis, group),
            None => {
                heading(ui, &app.theme, "A GROUP");
                let text = "Click a bar or a line in the Groups tab to look at a column with those nearest to it.";
                ui.add(egui::Label::new(RichText::new(text).color(app.theme.ink_soft)).wrap());
            }
        }
    });
}

/// A name and a value, with what it means on hover.
fn fact(app: &App, ui: &mut egui::Ui, name: &str, value: &str, explain: &str) {
    ui.horizontal(|ui| {
        ui.label(RichText::new(name).color(app.theme.ink_soft)).on_hover_text(explain);
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            ui.label(RichText::new(value).monospace()).on_hover_text(explain);
        });
    });
}

fn matrix(app: &mut App, ui: &mut egui::Ui, analysis: &Analysis) {
    heading(ui, &app.theme, "THIS MATRIX");
    ui.spacing_mut().item_spacing.y = 2.0;
    ui.spacing_mut().interact_size.y = 20.0;
    ui.add(egui::Label::new(super::super::uniqueness::strong(analysis.identity.to_string())).wrap().selectable(true));
    let mask = &analysis.mask;
    let shape = format!("{} × {}", count(mask.rows()), count(mask.columns()));
    fact(app, ui, "rows × columns", &shape, "Columns are the features that are compared");
    fact(app, ui, "stored as", analysis.element, "How the weights are stored in the file");
    fact(app, ui, "density", &fixed(mask.density(), 4), "Share of weights that are not zero");
    fact(app, ui, "pairs of columns", &grouped(analysis.pairs.pairs()), "Every pair was compared");
    if let Some(mean) = analysis.pairs.mean() {
        fact(app, ui, "mean distance", &fixed(mean, 4), "Share of rows in which two columns differ, over all pairs");
    }
    if let Some(null) = &analysis.analytic {
        let explain = "Mean distance of independent columns of the same densities";
        fact(app, ui, "… if independent", &fixed(null.mean, 4), explain);
        let explain = format!(
            "Pairs that are closer than independent columns of their densities would be, at a false-discovery rate of {} \
             (Benjamini and Hochberg, exact hypergeometric p-values)",
            share_text(analysis.params.fdr)
        );
        fact(app, ui, "closer than chance", &share_text(null.closer.share), &explain);
    }
    if let Some(null) = &analysis.permutation {
        let explain = format!(
            "Pairs that are closer than in {} of the same row and column sums, at a false-discovery rate of {}. What \
             remains here is not explained by dense rows or columns.",
            counted(null.permutations, "permuted matrix", "permuted matrices"),
            share_text(analysis.params.fdr)
        );
        fact(app, ui, "… than permuted", &share_text(null.closer.share), &explain);
        let notable =
            analysis.groups.iter().filter(|group| group.chance.is_some_and(|chance| chance.p <= 0.05)).count();
        let value = format!("{} of {}", count(notable), count(analysis.groups.len()));
        let explain = format!(
            "Groups with p ≤ 0.05 beside groups of permuted matrices; chance alone gives about {}",
            fixed(analysis.groups.len() as f64 * 0.05, 1)
        );
        fact(app, ui, "notable groups", &value, &explain);
    }
    for report in &analysis.patterns {
        let name = report.pattern.name();
        let (n, m) = (report.pattern.n, report.pattern.m);
        for (direction, check) in [("rows", &report.rows), ("columns", &report.columns)] {
            let value = format!("{} of {}", count(check.lines()), count(check.satisfied.len()));
            let which = match check.ranges() {
                ranges if ranges.is_empty() => "none".to_owned(),
                ranges if ranges.len() > 300 => format!("{}…", ranges.chars().take(300).collect::<String>()),
                ranges => ranges,
            };
            let explain = format!(
                "Lines in which at most {n} of every {m} consecutive weights are not zero: {which}. Of all blocks, {} do.",
                share_text(check.satisfied_blocks as f64 / check.blocks as f64)
            );
            fact(app, ui, &format!("{name} {direction}"), &value, &explain);
        }
    }
    fact(app, ui, "took", &duration(analysis.secs), "Reading, comparing, permuting, all together");
    let number = app.sparsity.state.items.iter().filter(|item| item.analysis().is_some()).count();
    ui.add_space(6.0);
    let name = if number == 1 { "Save this matrix as CSV…" } else { "Save all matrices as CSV…" };
    if ui.button(name).clicked() {
        app.commands.push(Command::Sparsity(SparsityCommand::AskSave(super::state::Save::MatrixTable)));
    }
}

fn group(app: &App, ui: &mut egui::Ui, analysis: &Analysis, group: &AnalysedGroup) {
    heading(ui, &app.theme, "THIS GROUP");
    let (columns, metrics) = (&group.group.columns, &group.metrics);
    let name = format!("column {} and those nearest to it", count(group.group.feature as usize));
    ui.add(egui::Label::new(super::super::uniqueness::strong(name)).wrap());
    let explain = "Over the whole matrix of distances, with its zero diagonal";
    fact(app, ui, "mean distance", &fixed(metrics.mean_pairwise_distance, 4), explain);
    if let (Some(mean), Some(std)) = (metrics.mean_pair_distance, metrics.std_pair_distance) {
        fact(app, ui, "mean over pairs", &fixed(mean, 4), "Over the pairs alone");
        fact(app, ui, "standard deviation", &fixed(std, 4), "Of the distances of the pairs");
    }
    if let Some(chance) = group.chance {
        let explain = "Mean distance of the groups that permuted matrices give in the same turn";
        fact(app, ui, "… by chance", &fixed(chance.expected, 4), explain);
        let z = chance.z.map_or_else(|| "none".to_owned(), |z| fixed(z, 2));
        fact(app, ui, "z", &z, "Standard deviations from what chance gives; negative is closer");
        let explain = "Share of groups of permuted matrices that are at least as close";
        fact(app, ui, "p", &fixed(chance.p, 4), explain);
    }
    fact(app, ui, "zeros", &count(metrics.zeros), "Rows in which all weights of the group are zero");
    fact(app, ui, "ones", &count(metrics.ones), "Rows in which no weight of the group is zero");
    fact(app, ui, "duplicates", &count(metrics.duplicates), "Row patterns that occur more than once");
    fact(app, ui, "total_dups", &count(metrics.total_dups), "Rows beyond the first of their pattern");
    fact(app, ui, "unique rows", &count(metrics.unique_rows), "Row patterns that occur");
    fact(app, ui, "density", &fixed(metrics.density, 4), "Share of weights of the group that are not zero");
    ui.add_space(6.0);
    heading(ui, &app.theme, "ITS COLUMNS");
    let by_column = &analysis.mask.by_column;
    for &column in columns.iter().take(64) {
        let distance = pair_distances(by_column, &[group.group.feature, column])[0];
        let value = format!("{:.4}", f64::from(distance) / analysis.mask.rows() as f64);
        let explain = "Distance to the column that the group was made for";
        fact(app, ui, &format!("column {}", count(column as usize)), &value, explain);
    }
}
