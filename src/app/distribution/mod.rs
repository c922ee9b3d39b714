//! The distribution view: data at the left, the animated histogram in the middle, what it means at
//! the right, time and work in progress at the bottom.

mod chart;
mod data_panel;
mod export_dialog;
mod inspector;
mod timeline;

use egui::Panel;

use super::App;

pub fn show(app: &mut App, ui: &mut egui::Ui) {
    Panel::left("data").frame(app.theme.panel()).exact_size(308.0).resizable(false).show(ui, |ui| {
        egui::ScrollArea::vertical().show(ui, |ui| data_panel::show(app, ui));
    });
    Panel::right("inspector").frame(app.theme.panel()).default_size(300.0).size_range(240.0..=480.0).show(ui, |ui| {
        inspector::show(app, ui);
    });
    Panel::bottom("time").frame(app.theme.panel()).show(ui, |ui| timeline::show(app, ui));
    let page = egui::Frame::new().fill(app.theme.paper).inner_margin(egui::Margin::same(12));
    egui::CentralPanel::default().frame(page).show(ui, |ui| chart::show(app, ui));
    export_dialog::show(app, ui);
}
