//! Paints the scenes of frames and pictures into the window, so that both show the same.

use egui::epaint::{Mesh, TextShape};
use egui::{Color32, FontFamily, FontId, Pos2, Rect, Stroke, Vec2, pos2};

use super::theme;
use crate::video::fonts::Face;
use crate::video::palette::{Color, Look};
use crate::video::panel::Canvas;
use crate::video::scene::{Align, Item, Scene};

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
            // Spy plots are textures of their own here.
            Item::Shades { .. } => {}
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
