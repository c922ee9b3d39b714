//! The same matrix pruned in two ways, side by side.

use egui::{RichText, Sense};

use super::super::App;
use super::super::paint;
use super::super::theme;
use super::actions::pair;
use super::charts::{cached, hover_distances, key};
use super::state::CompareKey;
use super::work::picture_size;
use crate::compute::sparsity::analysis::Analysis;
use crate::video::palette::Look;
use crate::video::sparsity::Distances;

/// The distances of both.
pub fn distances(left: &Analysis, right: &Analysis, look: Look) -> Distances {
    let name = |analysis: &Analysis| analysis.identity.projection.clone().unwrap_or_default();
    let layer = left.identity.layer.map_or_else(String::new, |layer| format!("layer {layer} "));
    let title = format!("Distances between features by method: {layer}{}", name(left));
    Distances::of_several(&[left, right], title, look)
}

pub fn show(app: &mut App, ui: &mut egui::Ui) {
    let Some((left, right)) = pair(&app.sparsity.state) else {
        app.sparsity.state.compare_wanted = None;
        let text = "There is no counterpart of this matrix: open the same layer and projection, of the same shape, pruned \
                    by another method.";
        ui.add_space(8.0);
        ui.add(egui::Label::new(RichText::new(text).color(app.theme.ink_soft)).wrap());
        return;
    };
    let state = &app.sparsity.state;
    let number = |analysis: &std::sync::Arc<Analysis>| {
        let place = state
            .items
            .iter()
            .position(|item| item.analysis().is_some_and(|other| std::sync::Arc::ptr_eq(other, analysis)));
        place.map_or(0, |place| state.numbers[place])
    };
    let (width, height) = (ui.available_width(), ui.available_height());
    let size = ((width - 40.0) / 3.0).min(height * 0.46).max(120.0) as usize;
    let wanted = CompareKey { left: number(&left), right: number(&right), size, look: app.theme.look };
    let other = wanted.left.max(wanted.right) * 1_000_003 + wanted.left.min(wanted.right);
    app.sparsity.state.compare_wanted = Some(wanted);
    let theme = app.theme.clone();
    let method = |analysis: &Analysis| analysis.identity.method.clone().unwrap_or_else(|| "no method".to_owned());
    let (a, b) = (method(&left), method(&right));
    let (across, down) = picture_size(left.mask.columns(), left.mask.rows(), size);
    let picture_size = egui::vec2(across as f32, down as f32);
    ui.horizontal_top(|ui| {
        ui.spacing_mut().item_spacing.x = 16.0;
        let facts = [
            (a.clone(), format!("density {:.4}", left.density), theme.ink),
            (b.clone(), format!("density {:.4}", right.density), theme.ink),
        ];
        for (index, (name, fact, ink)) in facts.into_iter().enumerate() {
            ui.vertical(|ui| {
                ui.set_width(size as f32);
                ui.set_max_width(size as f32);
                ui.horizontal(|ui| ui.label(RichText::new(&name).family(theme::medium()).color(ink)));
                picture(app, ui, index, picture_size, &format!("Spy plot of {name}"));
                ui.label(RichText::new(fact).small().color(theme.ink_soft));
            });
        }
        ui.vertical(|ui| {
            ui.set_width(size as f32);
            ui.set_max_width(size as f32);
            ui.horizontal_wrapped(|ui| {
                ui.spacing_mut().item_spacing = egui::vec2(8.0, 0.0);
                for (name, ink) in
                    [("both", theme.rule_strong), (a.as_str(), theme.exact), (b.as_str(), theme.attention)]
                {
                    let text = if name == "both" { name.to_owned() } else { format!("only {name}") };
                    ui.horizontal(|ui| {
                        ui.spacing_mut().item_spacing.x = 4.0;
                        let (swatch, _) = ui.allocate_exact_size(egui::vec2(10.0, 10.0), Sense::hover());
                        ui.painter().rect_filled(swatch, 2.0, ink);
                        ui.label(RichText::new(text).small());
                    });
                }
            });
            picture(app, ui, 2, picture_size, "Where the methods differ");
            let told = app.sparsity.state.compared.as_ref().filter(|compared| compared.key == wanted);
            let text = told.map_or_else(String::new, |compared| {
                format!(
                    "Jaccard {:.4}, by column {:.2} to {:.2}",
                    compared.overlap.jaccard, compared.overlap.lowest_column, compared.overlap.highest_column
                )
            });
            let hint = "Jaccard: weights that both keep, as a share of those that either keeps";
            let text = RichText::new(text).small().color(theme.ink_soft);
            ui.add(egui::Label::new(text).wrap()).on_hover_text(hint);
        });
    });
    let room = egui::vec2(width, ui.available_height());
    let canvas = paint::canvas(app.theme.look, room);
    let key = key(app, canvas, other);
    let (picture, scene) = cached(&mut app.sparsity.state.comparison, key, || {
        let picture = distances(&left, &right, canvas.look);
        let scene = picture.scene(canvas);
        (picture, scene)
    });
    let (rect, response) = ui.allocate_exact_size(room, Sense::hover());
    paint::scene(&ui.painter().with_clip_rect(rect), &scene, rect.min);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, &picture.title));
    hover_distances(&picture, canvas, rect, &response);
}

fn picture(app: &App, ui: &mut egui::Ui, index: usize, size: egui::Vec2, name: &str) {
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    let whole = egui::Rect::from_min_max(egui::pos2(0.0, 0.0), egui::pos2(1.0, 1.0));
    if let Some(compared) = &app.sparsity.state.compared
        && app
            .sparsity
            .state
            .compare_wanted
            .is_some_and(|wanted| (wanted.left, wanted.right) == (compared.key.left, compared.key.right))
    {
        ui.painter().image(compared.textures[index].id(), rect, whole, egui::Color32::WHITE);
    }
    let stroke = egui::Stroke::new(1.0, app.theme.rule_strong);
    ui.painter().rect_stroke(rect, 0.0, stroke, egui::StrokeKind::Outside);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, name));
}
