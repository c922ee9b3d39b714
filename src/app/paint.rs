//! Paints the scenes of frames and pictures into the window, so that both show the same.

use egui::epaint::{Mesh, TextShape};
use egui::{Color32, FontFamily, FontId, Pos2, Rect, Stroke, Vec2, pos2};

use super::theme;
use crate::video::fonts::Face;
use crate::video::palette::{Color, Look};
use crate::video::panel::Canvas;
use crate::video::scene::{Align, Item, Scene, Shades};

/// Share of a font's size that lies above the baseline, in the bundled fonts.
const ASCENT: f32 = 0.93;

/// Pixels of a design unit in the window.
const UNIT: f32 = 0.6;

/// For a picture of this size.
pub fn canvas(look: Look, size: Vec2) -> Canvas {
    // Smaller where there is less room, down to what can be read.
    let unit = (UNIT * (size.x / 780.0).min(1.0)).max(0.46);
    Canvas { width: size.x.max(240.0) as u32, height: size.y.max(160.0) as u32, unit, look }
}

/// Paints `scene` with its upper left corner at `origin`, a pixel of it a point of the window.
pub fn scene(painter: &egui::Painter, scene: &Scene, origin: Pos2) {
    let at = |x: f32, y: f32| pos2(origin.x + x, origin.y + y);
    let size = Vec2::new(scene.width as f32, scene.height as f32);
    painter.rect_filled(Rect::from_min_size(origin, size), 0.0, ink(scene.background));
    for item in &scene.items {
        match item {
            Item::Rect { x, y, width, height, color } => {
                painter.rect_filled(Rect::from_min_size(at(*x, *y), Vec2::new(*width, *height)), 0.0, ink(*color));
            }
            Item::Card { x, y, width, height, radius, fill, border } => {
                let rect = Rect::from_min_size(at(*x, *y), Vec2::new(*width, *height));
                let stroke = Stroke::new(1.0, ink(*border));
                painter.rect(rect, *radius, ink(*fill), stroke, egui::StrokeKind::Inside);
            }
            Item::Line { points, width, color } => {
                let points: Vec<Pos2> = points.iter().map(|&(x, y)| at(x, y)).collect();
                painter.line(points, Stroke::new(*width, ink(*color)));
            }
            Item::Band { points, color } => {
                let mut mesh = Mesh::default();
                for (index, &(x, low, high)) in points.iter().enumerate() {
                    mesh.colored_vertex(at(x, low), ink(*color));
                    mesh.colored_vertex(at(x, high), ink(*color));
                    if index > 0 {
                        let first = index as u32 * 2 - 2;
                        mesh.add_triangle(first, first + 1, first + 2);
                        mesh.add_triangle(first + 1, first + 2, first + 3);
                    }
                }
                painter.add(mesh);
            }
            Item::Shades { x, y, width, height, shades, from, to } => {
                let area = Rect::from_min_size(at(*x, *y), Vec2::new(*width, *height));
                painter.add(shaded(area, shades, *from, *to));
            }
            Item::Text { x, y, size, face, align, upwards, color, text } => {
                let font = FontId::new(*size, family(*face));
                let galley = painter.layout_no_wrap(text.clone(), font, ink(*color));
                let shift = match align {
                    Align::Left => 0.0,
                    Align::Center => galley.size().x / 2.0,
                    Align::Right => galley.size().x,
                };
                let above = size * ASCENT;
                if *upwards {
                    let place = at(x - above, y + shift);
                    painter.add(TextShape::new(place, galley, ink(*color)).with_angle(-std::f32::consts::FRAC_PI_2));
                } else {
                    painter.galley(at(x - shift, y - above), galley, ink(*color));
                }
            }
        }
    }
}

/// Shades as rectangles, those of a row that are the same and side by side as one. For some thousands of them: spy plots
/// are textures of their own.
fn shaded(area: Rect, shades: &Shades, from: Color, to: Color) -> Mesh {
    let mut mesh = Mesh::default();
    let rgb = shades.rgb(from, to);
    let step = Vec2::new(area.width() / shades.width.max(1) as f32, area.height() / shades.height.max(1) as f32);
    for row in 0..shades.height {
        let values = &shades.values[row * shades.width..(row + 1) * shades.width];
        let mut first = 0;
        for run in values.chunk_by(|left, right| left == right) {
            let place = (row * shades.width + first) * 3;
            let corner = |column: usize, row: usize| area.min + step * Vec2::new(column as f32, row as f32);
            let rect = Rect::from_min_max(corner(first, row), corner(first + run.len(), row + 1));
            mesh.add_colored_rect(rect, Color32::from_rgb(rgb[place], rgb[place + 1], rgb[place + 2]));
            first += run.len();
        }
    }
    mesh
}

fn ink(color: Color) -> Color32 {
    Color32::from_rgb(color.red, color.green, color.blue)
}

fn family(face: Face) -> FontFamily {
    match face {
        Face::Regular => FontFamily::Proportional,
        Face::Medium => theme::medium(),
        Face::Bold => theme::bold(),
        Face::Mono => FontFamily::Monospace,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shades_of_a_row_that_are_the_same_are_one_rectangle() {
        let shades = Shades { width: 3, height: 2, values: vec![0, 0, 255, 255, 255, 255] };
        let (black, white) = (Color::new(0, 0, 0), Color::new(255, 255, 255));
        let mesh = shaded(Rect::from_min_max(pos2(10.0, 20.0), pos2(40.0, 40.0)), &shades, black, white);
        let corners: Vec<(f32, f32)> = mesh.vertices.iter().map(|vertex| (vertex.pos.x, vertex.pos.y)).collect();
        assert_eq!(corners.len(), 3 * 4, "two in the first row, one in the second");
        assert!(corners.contains(&(30.0, 20.0)) && corners.contains(&(40.0, 40.0)), "{corners:?}");
        assert_eq!((mesh.vertices[0].color, mesh.vertices[4].color), (Color32::BLACK, Color32::WHITE));
    }
}
