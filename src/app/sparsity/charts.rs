//! The charts of a matrix: distances with what chance gives, and the five charts of the groups with their table.

use std::sync::Arc;

use egui::{Align, Layout, RichText, Sense};

use super::super::App;
use super::super::command::Command;
use super::super::grid::Clicked;
use super::super::paint;
use super::SparsityCommand;
use super::state::{Cached, ChartKey, Save};
use crate::compute::figures::{count, counted};
use crate::video::Scene;
use crate::video::panel::Canvas;
use crate::video::scene::fixed;
use crate::video::sparsity::{CHARTS, Distances, group_panels, groups_page};

/// What a chart of this size depends on.
pub fn key(app: &App, canvas: Canvas, other: u64) -> ChartKey {
    let state = &app.sparsity.state;
    ChartKey {
        analysis: state.number(),
        other,
        group: state.group,
        width: canvas.width,
        height: canvas.height,
        look: canvas.look,
    }
}

/// The picture of before, or a new one where something changed: what it shows, and its scene.
pub fn cached<P>(
    cache: &mut Option<Cached<ChartKey, P>>,
    key: ChartKey,
    draw: impl FnOnce() -> (P, Scene),
) -> (Arc<P>, Arc<Scene>) {
    match cache {
        Some(known) if known.key == key => (known.picture.clone(), known.scene.clone()),
        _ => {
            let (picture, scene) = draw();
            let (picture, scene) = (Arc::new(picture), Arc::new(scene));
            *cache = Some(Cached { key, scene: scene.clone(), picture: picture.clone() });
            (picture, scene)
        }
    }
}

pub fn distances(app: &mut App, ui: &mut egui::Ui) {
    let Some(analysis) = app.sparsity.state.analysis().cloned() else { return };
    let group = app.sparsity.state.group.filter(|&group| group < analysis.groups.len());
    ui.horizontal(|ui| {
        if ui.selectable_label(group.is_none(), "All pairs").clicked() {
            app.commands.push(Command::Sparsity(SparsityCommand::SelectGroup(None)));
        }
        if let Some(group) = group {
            let feature = analysis.groups[group].group.feature;
            let name = format!("Group of column {}", count(feature as usize));
            ui.selectable_label(true, name).on_hover_text("Other groups: the Groups tab, or the left and right arrows");
        } else {
            let text = "Choose a group in the Groups tab to see its pairs";
            ui.label(RichText::new(text).small().color(app.theme.ink_soft));
        }
    });
    let canvas = paint::canvas(app.theme.look, ui.available_size());
    let key = key(app, canvas, 0);
    let (picture, scene) = cached(&mut app.sparsity.state.distances, key, || {
        let picture = match group {
            Some(group) => Distances::of_group(&analysis, &analysis.groups[group], canvas.look),
            None => Distances::of_matrix(&analysis, canvas.look),
        };
        let scene = picture.scene(canvas);
        (picture, scene)
    });
    let (rect, response) = ui.allocate_exact_size(ui.available_size(), Sense::hover());
    paint::scene(&ui.painter().with_clip_rect(rect), &scene, rect.min);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, &picture.title));
    hover_distances(&picture, canvas, rect, &response);
}

/// Tells the shares at the distance under the pointer.
pub fn hover_distances(picture: &Distances, canvas: Canvas, rect: egui::Rect, response: &egui::Response) {
    let panel = picture.panel(canvas);
    let Some(pointer) = response.hover_pos() else { return };
    let (x, y) = (pointer.x - rect.min.x, pointer.y - rect.min.y);
    if !(panel.left..=panel.right).contains(&x) || !(panel.top..=panel.bottom).contains(&y) {
        return;
    }
    let distance = panel.value_at(x);
    let share = |points: &[(f64, f64)]| {
        let place = points.partition_point(|&(value, _)| value <= distance);
        if place == 0 { 0.0 } else { points[place - 1].1 }
    };
    let mut lines = vec![format!("at most {}", fixed(distance, 4))];
    for curve in &picture.curves {
        lines.push(format!("{:.2} % of {}", share(&curve.points) * 100.0, curve.label));
    }
    if !picture.expected.is_empty() {
        lines.push(format!("{:.2} % if columns were independent", share(&picture.expected) * 100.0));
    }
    if let Some(&(_, low, high)) = picture.band.iter().rev().find(|point| point.0 <= distance) {
        lines.push(format!("{:.2} to {:.2} % in permuted matrices", low * 100.0, high * 100.0));
    }
    response.clone().on_hover_text_at_pointer(lines.join("\n"));
}

pub fn groups(app: &mut App, ui: &mut egui::Ui) {
    let Some(analysis) = app.sparsity.state.analysis().cloned() else { return };
    let size = egui::vec2(ui.available_width(), (ui.available_height() * 0.66).max(320.0));
    let canvas = paint::canvas(app.theme.look, size);
    let order = analysis.by_mean_distance();
    let marked = app.sparsity.state.group.and_then(|group| order.iter().position(|&other| other == group));
    let key = key(app, canvas, 0);
    let (_, scene) = cached(&mut app.sparsity.state.groups, key, || ((), groups_page(&analysis, marked, canvas)));
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    paint::scene(&ui.painter().with_clip_rect(rect), &scene, rect.min);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, "Charts of the groups"));
    // The bar under the pointer.
    if let Some(pointer) = response.hover_pos().or(response.interact_pointer_pos()) {
        let (x, y) = (pointer.x - rect.min.x, pointer.y - rect.min.y);
        let panels = group_panels(&analysis, canvas);
        let found = panels
            .iter()
            .position(|panel| (panel.left..panel.right).contains(&x) && (panel.top..panel.bottom + 4.0).contains(&y));
        let group = found.and_then(|chart| Some((chart, *order.get(panels[chart].value_at(x) as usize)?)));
        if let Some((chart, group)) = group {
            let told = &analysis.groups[group];
            let value = CHARTS[chart].1(&told.metrics);
            let value = if chart == 0 { fixed(value, 4) } else { fixed(value, 0) };
            let text = format!("column {}: {value}\nclick to look at its group", told.group.feature);
            if response.clicked() {
                app.commands.push(Command::Sparsity(SparsityCommand::SelectGroup(Some(group))));
            }
            response.on_hover_text_at_pointer(text).on_hover_cursor(egui::CursorIcon::PointingHand);
        }
    }
    ui.separator();
    table(app, ui);
}

fn table(app: &mut App, ui: &mut egui::Ui) {
    let state = &app.sparsity.state;
    let Some(table) = &state.group_table else { return };
    let (grid, groups, sort) = (table.grid.clone(), table.groups.clone(), table.sort);
    ui.horizontal(|ui| {
        ui.label(RichText::new(counted(groups.len(), "group", "groups")).color(app.theme.ink_soft));
        if state.group.is_some() && ui.button("Whole matrix").on_hover_text("Leave the group").clicked() {
            app.commands.push(Command::Sparsity(SparsityCommand::SelectGroup(None)));
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if ui.button("Save table…").on_hover_text("All groups as CSV").clicked() {
                app.commands.push(Command::Sparsity(SparsityCommand::AskSave(Save::GroupTable)));
            }
        });
    });
    let selected = app.sparsity.state.group.and_then(|group| groups.iter().position(|&other| other == group));
    match grid.show(ui, &app.theme, "groups", selected, Some(sort), "Group of column") {
        Some(Clicked::Row(row)) => {
            app.commands.push(Command::Sparsity(SparsityCommand::SelectGroup(Some(groups[row]))));
        }
        // The list of columns is no figure to sort by.
        Some(Clicked::Column(column)) if column < super::work::GROUP_COLUMNS.len() => {
            app.commands.push(Command::Sparsity(SparsityCommand::SortGroups(column)));
        }
        _ => {}
    }
}
