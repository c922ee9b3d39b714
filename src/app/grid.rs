//! Tables of any length: a header to sort by, rows to click, numbers to the right.

use egui::{Align2, FontFamily, FontId, Sense};

use super::theme::{self, Theme};
use crate::compute::table::Table;

const ROW_HEIGHT: f32 = 24.0;
const FONT_SIZE: f32 = 13.0;
/// Width of a character of the monospace font, and room between columns.
const CHARACTER: f32 = 7.9;
const GAP: f32 = 18.0;
/// Characters of the widest column.
const WIDEST: usize = 44;

/// A table with the widths of its columns.
#[derive(Debug, Clone, Default)]
pub struct Grid {
    pub table: Table,
    widths: Vec<f32>,
}

/// What was clicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clicked {
    Row(usize),
    Column(usize),
}

impl Grid {
    /// Looks at all cells: belongs on a worker where there are many.
    pub fn new(table: Table) -> Self {
        let width = |index: usize| {
            let is_number = table.columns[index].is_number;
            let length = |cell: &str| shown(cell, is_number).chars().count();
            let cells = table.rows.iter().map(|row| row[index].as_deref().map_or(4, length));
            let widest = cells.max().unwrap_or(0).max(table.columns[index].name.chars().count() + 2);
            widest.min(WIDEST) as f32 * CHARACTER + GAP
        };
        let widths = (0..table.columns.len()).map(width).collect();
        Self { table, widths }
    }

    /// `sort`: the column that rows are sorted by, and whether downwards. `name`: of a row, for readers of the screen.
    pub fn show(
        &self,
        ui: &mut egui::Ui,
        theme: &Theme,
        id: &str,
        selected: Option<usize>,
        sort: Option<(usize, bool)>,
        name: &str,
    ) -> Option<Clicked> {
        let mut clicked = None;
        let total: f32 = self.widths.iter().sum();
        egui::ScrollArea::horizontal().id_salt((id, "across")).auto_shrink(false).show(ui, |ui| {
            ui.set_min_width(total);
            ui.spacing_mut().item_spacing.y = 0.0;
            if let Some(column) = self.header(ui, theme, sort) {
                clicked = Some(Clicked::Column(column));
            }
            let rows = egui::ScrollArea::vertical().id_salt((id, "down")).auto_shrink(false);
            rows.show_rows(ui, ROW_HEIGHT, self.table.rows.len(), |ui, range| {
                for row in range {
                    if self.row(ui, theme, row, selected == Some(row), name) {
                        clicked = Some(Clicked::Row(row));
                    }
                }
            });
        });
        clicked
    }

    fn header(&self, ui: &mut egui::Ui, theme: &Theme, sort: Option<(usize, bool)>) -> Option<usize> {
        let mut clicked = None;
        let width = self.widths.iter().sum::<f32>().max(ui.available_width());
        let (rect, _) = ui.allocate_exact_size(egui::vec2(width, ROW_HEIGHT), Sense::hover());
        let mut left = rect.left();
        for (index, (column, &width)) in self.table.columns.iter().zip(&self.widths).enumerate() {
            let cell = egui::Rect::from_min_size(egui::pos2(left, rect.top()), egui::vec2(width, ROW_HEIGHT));
            let can_sort = sort.is_some();
            if can_sort {
                let response = ui.interact(cell, ui.scope_id().with(("column", index)), Sense::click());
                let told = format!("Sort by {}", column.name);
                response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, &told));
                if response.on_hover_text(told.as_str()).clicked() {
                    clicked = Some(index);
                }
            }
            let font = FontId::new(FONT_SIZE, theme::medium());
            place(ui, cell, &column.name, font, theme.ink, column.is_number);
            if let Some((_, downwards)) = sort.filter(|(sorted, _)| *sorted == index) {
                mark(ui, cell, downwards, theme.exact);
            }
            left += width;
        }
        let line = rect.bottom() - 0.5;
        let stroke = egui::Stroke::new(1.0, theme.rule_strong);
        ui.painter().line_segment([egui::pos2(rect.left(), line), egui::pos2(rect.right(), line)], stroke);
        clicked
    }

    fn row(&self, ui: &mut egui::Ui, theme: &Theme, row: usize, is_selected: bool, name: &str) -> bool {
        let width = self.widths.iter().sum::<f32>().max(ui.available_width());
        let sense = if name.is_empty() { Sense::hover() } else { Sense::click() };
        let (rect, response) = ui.allocate_exact_size(egui::vec2(width, ROW_HEIGHT), sense);
        if is_selected {
            ui.painter().rect_filled(rect, 4.0, theme.exact.gamma_multiply(0.18));
        } else if response.hovered() && !name.is_empty() {
            ui.painter().rect_filled(rect, 4.0, theme.rule.gamma_multiply(0.6));
        }
        let mut left = rect.left();
        for ((column, cell), &width) in self.table.columns.iter().zip(&self.table.rows[row]).zip(&self.widths) {
            let (text, ink) = match cell {
                Some(text) => (text.as_str(), theme.ink),
                None => ("NULL", theme.ink_soft),
            };
            let at = egui::Rect::from_min_size(egui::pos2(left, rect.top()), egui::vec2(width, ROW_HEIGHT));
            place(
                ui,
                at,
                &shown(text, column.is_number),
                FontId::new(FONT_SIZE, FontFamily::Monospace),
                ink,
                column.is_number,
            );
            left += width;
        }
        if !name.is_empty() {
            let first = self.table.rows[row].first().cloned().flatten().unwrap_or_default();
            response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, format!("{name} {first}")));
        }
        response.clicked()
    }
}

/// A small triangle in a header: its column sorts the rows.
fn mark(ui: &egui::Ui, cell: egui::Rect, downwards: bool, ink: egui::Color32) {
    let middle = egui::pos2(cell.right() - 4.0, cell.center().y);
    let (tip, base) = if downwards { (3.0, -3.0) } else { (-3.0, 3.0) };
    let corner = |x: f32, y: f32| egui::pos2(middle.x + x, middle.y + y);
    let points = vec![corner(-4.0, base), corner(4.0, base), corner(0.0, tip)];
    ui.painter().add(egui::Shape::convex_polygon(points, ink, egui::Stroke::NONE));
}

/// A number to six digits; files have all of them.
fn shown(cell: &str, is_number: bool) -> std::borrow::Cow<'_, str> {
    match cell.parse::<f64>() {
        Ok(value) if is_number && cell.len() > 9 && cell.contains('.') && value.abs() >= 1e-4 => {
            format!("{value:.6}").into()
        }
        Ok(value) if is_number && cell.len() > 12 && value != value.trunc() => format!("{value:.5e}").into(),
        _ => cell.into(),
    }
}

/// Text in a cell, cut where the cell ends.
fn place(ui: &egui::Ui, cell: egui::Rect, text: &str, font: FontId, ink: egui::Color32, to_the_right: bool) {
    let text: String = text.chars().take(WIDEST + 1).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let inner = cell.shrink2(egui::vec2(GAP / 2.0, 0.0));
    let painter = ui.painter().with_clip_rect(inner.intersect(ui.clip_rect()));
    let (x, align) =
        if to_the_right { (inner.right(), Align2::RIGHT_CENTER) } else { (inner.left(), Align2::LEFT_CENTER) };
    painter.text(egui::pos2(x, cell.center().y), align, text, font, ink);
}
