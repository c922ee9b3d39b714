//! The picture of a finding, at the size that there is; a drag over it chooses queries.

use egui::{Align, Layout, Sense};

use super::super::super::App;
use super::super::super::command::Command;
use super::super::super::paint;
use super::super::LabCommand;
use super::super::group::brushed;
use super::StudyCommand;

pub fn show(app: &mut App, ui: &mut egui::Ui, controls: f32) {
    let state = &mut app.lab.state;
    let Some(found) = state.studies.finding().cloned() else { return };
    let Some(picture) = found.finding.pictures.get(state.studies.picture) else {
        ui.label("This study has no picture: its table stands below.");
        return;
    };
    let size = ui.available_size() - egui::vec2(0.0, controls);
    let canvas = paint::canvas(app.theme.look, size);
    let brush = picture.drawing.brush(canvas);
    let sense = if brush.is_some() { Sense::drag() } else { Sense::hover() };
    let (rect, response) = ui.allocate_exact_size(size, sense);
    response.widget_info(|| {
        let told = format!("{}: {}", picture.name, found.finding.title);
        egui::WidgetInfo::labeled(egui::Role::Image, true, told)
    });
    let grouped = state.group.as_ref().and_then(|group| group.range_on(&found, state.studies.picture));
    if let Some((panel, _)) = &brush
        && let Some((low, high)) = brushed(ui, &response, panel, &mut state.drag)
    {
        app.commands.push(Command::Lab(LabCommand::Brush(low, high)));
    }
    let dragged = state.drag.filter(|_| brush.is_some()).map(|(from, to)| (from.min(to), from.max(to)));
    if let Some(scene) = state.studies.scene(canvas, dragged.or(grouped)) {
        paint::scene(&ui.painter().with_clip_rect(rect), &scene, rect.min);
    }
    ui.horizontal(|ui| {
        let several = found.finding.pictures.len() > 1;
        for (place, picture) in found.finding.pictures.iter().enumerate().filter(|_| several) {
            if ui.selectable_label(app.lab.state.studies.picture == place, &picture.name).clicked() {
                app.commands.push(Command::Lab(LabCommand::Study(StudyCommand::ShowPicture(place))));
            }
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let hint = "Those in a range of the x axis; or drag over the picture";
            if brush.is_some() && ui.button("Choose queries…").on_hover_text(hint).clicked() {
                app.commands.push(Command::Lab(LabCommand::AskRange));
            }
        });
    });
}
