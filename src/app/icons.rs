//! Buttons with drawn symbols, so that none depends on a font.

use egui::{Color32, Pos2, Rect, Response, Role, Sense, Shape, Stroke, Ui, WidgetInfo, pos2, vec2};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Icon {
    Play,
    Pause,
    First,
    Last,
    Next,
    Previous,
}

/// A button that shows `icon`; `name` is what assistive tools read, `hint` what hovering tells.
pub fn icon_button(ui: &mut Ui, icon: Icon, name: &str, hint: &str) -> Response {
    let (rect, response) = ui.allocate_exact_size(vec2(32.0, 28.0), Sense::click());
    let visuals = ui.style().interact(&response);
    let color = if ui.is_enabled() { visuals.fg_stroke.color } else { ui.visuals().weak_text_color() };
    let painter = ui.painter();
    painter.rect(rect, visuals.corner_radius, visuals.weak_bg_fill, visuals.bg_stroke, egui::StrokeKind::Inside);
    for shape in shapes(icon, rect.center(), color) {
        painter.add(shape);
    }
    response.widget_info(|| WidgetInfo::labeled(Role::Button, ui.is_enabled(), name));
    response.on_hover_text(hint)
}

fn shapes(icon: Icon, center: Pos2, color: Color32) -> Vec<Shape> {
    let triangle = |x: f32, towards: f32| {
        let tip = pos2(center.x + x + 5.0 * towards, center.y);
        let back = center.x + x - 4.0 * towards;
        let points = vec![tip, pos2(back, center.y + 6.0), pos2(back, center.y - 6.0)];
        Shape::convex_polygon(points, color, Stroke::NONE)
    };
    let bar = |x: f32, width: f32| {
        let rect = Rect::from_center_size(pos2(center.x + x, center.y), vec2(width, 12.0));
        Shape::rect_filled(rect, 0.5, color)
    };
    match icon {
        Icon::Play => vec![triangle(0.0, 1.25)],
        Icon::Pause => vec![bar(-3.5, 3.5), bar(3.5, 3.5)],
        Icon::First => vec![bar(-6.0, 2.5), triangle(1.0, -1.0)],
        Icon::Last => vec![triangle(-1.0, 1.0), bar(6.0, 2.5)],
        Icon::Next => vec![bar(-5.5, 2.5), triangle(2.0, 1.0)],
        Icon::Previous => vec![triangle(-2.0, -1.0), bar(5.5, 2.5)],
    }
}
