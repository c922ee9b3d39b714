//! Draws a scene. Pure arithmetic on bundled outlines: the same pixels on every machine.

use std::sync::{Mutex, PoisonError};

use tiny_skia::{FillRule, Paint, Path, PathBuilder, Pixmap, PixmapMut, Rect, Stroke, Transform};

use super::fonts;
use super::palette::Color;
use super::scene::{Align, Item, Scene};
use super::svg::to_svg;
use crate::compute::atomic_file::write_atomically;
use crate::compute::error::Result;

/// Opaque pixels, row by row, four bytes each. Sides are even.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    pub width: u32,
    pub height: u32,
    pub rgba: Vec<u8>,
}

impl Frame {
    /// The colour at `x`, `y`.
    pub fn pixel(&self, x: u32, y: u32) -> Color {
        let at = (y as usize * self.width as usize + x as usize) * 4;
        Color::new(self.rgba[at], self.rgba[at + 1], self.rgba[at + 2])
    }

    /// The frame as a PNG file, without transparency.
    pub fn to_png(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write_png(&mut Vec::new(), &mut bytes);
        bytes
    }

    /// As [`Frame::to_png`], into `png`; `rgb` is room to work in.
    pub fn write_png(&self, rgb: &mut Vec<u8>, png: &mut Vec<u8>) {
        rgb.resize(self.rgba.len() / 4 * 3, 0);
        for (three, four) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(self.rgba.as_chunks::<4>().0) {
            three.copy_from_slice(&four[..3]);
        }
        png.clear();
        let encoder = image::codecs::png::PngEncoder::new_with_quality(
            png,
            image::codecs::png::CompressionType::Fast,
            image::codecs::png::FilterType::Up,
        );
        image::ImageEncoder::write_image(encoder, rgb, self.width, self.height, image::ExtendedColorType::Rgb8)
            .expect("a frame has as many bytes as its sides tell, and memory takes any of them");
    }
}

impl Scene {
    /// Writes the picture to `path`: SVG if the name ends so, otherwise PNG.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, path: &std::path::Path) -> Result<()> {
        let is_svg = path.extension().is_some_and(|name| name.eq_ignore_ascii_case("svg"));
        let bytes = if is_svg { to_svg(self).into_bytes() } else { draw(self).to_png() };
        write_atomically(path, &bytes)
    }
}

/// Draws `scene`.
pub fn draw(scene: &Scene) -> Frame {
    Canvas::of(scene).draw(scene)
}

/// Draws the scenes of one animation: what all share only once, into memory that is used again.
pub struct Canvas {
    backdrop: Pixmap,
    spare: Mutex<Vec<Vec<u8>>>,
}

impl Canvas {
    /// For scenes with the size, background and backdrop of `scene`.
    pub fn of(scene: &Scene) -> Self {
        let mut backdrop = Pixmap::new(scene.width, scene.height).expect("frame sides are checked: not zero, not huge");
        backdrop.fill(color(scene.background));
        for item in &scene.items[..scene.backdrop] {
            draw_item(&mut backdrop.as_mut(), item);
        }
        Self { backdrop, spare: Mutex::new(Vec::new()) }
    }

    /// Draws `scene`.
    pub fn draw(&self, scene: &Scene) -> Frame {
        let (width, height) = (scene.width, scene.height);
        assert_eq!((width, height), (self.backdrop.width(), self.backdrop.height()), "scenes of one size");
        let mut rgba = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        rgba.clear();
        rgba.extend_from_slice(self.backdrop.data());
        let mut pixels = PixmapMut::from_bytes(&mut rgba, width, height).expect("as many bytes as the backdrop");
        for item in &scene.items[scene.backdrop..] {
            draw_item(&mut pixels, item);
        }
        // Everything is painted over an opaque page, so premultiplied is plain.
        Frame { width, height, rgba }
    }

    /// Takes back a frame that is no longer needed.
    pub fn recycle(&self, frame: Frame) {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(frame.rgba);
    }
}

fn draw_item(pixmap: &mut PixmapMut<'_>, item: &Item) {
    match item {
        Item::Rect { x, y, width, height, color } => {
            if let Some(rect) = Rect::from_xywh(*x, *y, *width, *height) {
                pixmap.fill_rect(rect, &paint(*color), Transform::identity(), None);
            }
        }
        Item::Card { x, y, width, height, radius, fill, border } => {
            if let Some(path) = rounded(*x, *y, *width, *height, *radius) {
                pixmap.fill_path(&path, &paint(*fill), FillRule::Winding, Transform::identity(), None);
                let stroke = Stroke { width: 1.0, ..Stroke::default() };
                pixmap.stroke_path(&path, &paint(*border), &stroke, Transform::identity(), None);
            }
        }
        Item::Line { points, width, color } => {
            let mut path = PathBuilder::new();
            for (index, &(x, y)) in points.iter().enumerate() {
                if index == 0 { path.move_to(x, y) } else { path.line_to(x, y) }
            }
            if let Some(path) = path.finish() {
                let stroke = Stroke { width: *width, ..Stroke::default() };
                pixmap.stroke_path(&path, &paint(*color), &stroke, Transform::identity(), None);
            }
        }
        Item::Band { points, color } => {
            let mut path = PathBuilder::new();
            for (index, &(x, low, _)) in points.iter().enumerate() {
                if index == 0 { path.move_to(x, low) } else { path.line_to(x, low) }
            }
            points.iter().rev().for_each(|&(x, _, high)| path.line_to(x, high));
            if let Some(path) = path.finish() {
                pixmap.fill_path(&path, &paint(*color), FillRule::Winding, Transform::identity(), None);
            }
        }
        Item::Shades { x, y, width, height, shades, from, to } => {
            let rgb = shades.rgb(*from, *to);
            let rgba: Vec<u8> = rgb.as_chunks::<3>().0.iter().flat_map(|&[r, g, b]| [r, g, b, 255]).collect();
            let source = tiny_skia::PixmapRef::from_bytes(&rgba, shades.width as u32, shades.height as u32);
            if let Some(source) = source {
                let (across, down) = (width / shades.width as f32, height / shades.height as f32);
                let place = Transform::from_row(across, 0.0, 0.0, down, *x, *y);
                pixmap.draw_pixmap(0, 0, source, &tiny_skia::PixmapPaint::default(), place, None);
            }
        }
        Item::Text { x, y, size, face, align, upwards, color, text } => {
            let Some(path) = fonts::outline(*face, *size, text) else { return };
            let shift = match align {
                Align::Left => 0.0,
                Align::Center => fonts::width(*face, *size, text) / 2.0,
                Align::Right => fonts::width(*face, *size, text),
            };
            let place = if *upwards {
                Transform::from_row(0.0, -1.0, 1.0, 0.0, *x, *y).pre_translate(-shift, 0.0)
            } else {
                Transform::from_translate(x - shift, *y)
            };
            pixmap.fill_path(&path, &paint(*color), FillRule::Winding, place, None);
        }
    }
}

fn color(color: Color) -> tiny_skia::Color {
    tiny_skia::Color::from_rgba8(color.red, color.green, color.blue, 255)
}

fn paint(ink: Color) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color(color(ink));
    paint.anti_alias = true;
    paint
}

fn rounded(x: f32, y: f32, width: f32, height: f32, radius: f32) -> Option<Path> {
    let (right, bottom) = (x + width, y + height);
    let radius = radius.min(width / 2.0).min(height / 2.0);
    // A cubic that follows a quarter circle.
    let pull = radius * 0.447_715_24;
    let mut path = PathBuilder::new();
    path.move_to(x + radius, y);
    path.line_to(right - radius, y);
    path.cubic_to(right - pull, y, right, y + pull, right, y + radius);
    path.line_to(right, bottom - radius);
    path.cubic_to(right, bottom - pull, right - pull, bottom, right - radius, bottom);
    path.line_to(x + radius, bottom);
    path.cubic_to(x + pull, bottom, x, bottom - pull, x, bottom - radius);
    path.line_to(x, y + radius);
    path.cubic_to(x, y + pull, x + pull, y, x + radius, y);
    path.close();
    path.finish()
}
