//! The bundled fonts, as outlines: text looks the same on every machine.

use std::sync::LazyLock;

use skrifa::instance::{LocationRef, Size};
use skrifa::outline::{DrawSettings, OutlinePen};
use skrifa::{FontRef, MetadataProvider};
use tiny_skia::{Path, PathBuilder};

pub const ROBOTO_REGULAR: &[u8] = include_bytes!("../../assets/fonts/Roboto-Regular.ttf");
pub const ROBOTO_MEDIUM: &[u8] = include_bytes!("../../assets/fonts/Roboto-Medium.ttf");
pub const ROBOTO_BOLD: &[u8] = include_bytes!("../../assets/fonts/Roboto-Bold.ttf");
pub const MONO_REGULAR: &[u8] = include_bytes!("../../assets/fonts/JetBrainsMono-Regular.ttf");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face {
    Regular,
    Medium,
    Bold,
    Mono,
}

fn font(face: Face) -> &'static FontRef<'static> {
    static FONTS: LazyLock<[FontRef<'static>; 4]> = LazyLock::new(|| {
        [ROBOTO_REGULAR, ROBOTO_MEDIUM, ROBOTO_BOLD, MONO_REGULAR]
            .map(|bytes| FontRef::new(bytes).expect("the bundled fonts are valid"))
    });
    &FONTS[face as usize]
}

/// Width of `text` in pixels at `size` pixels per em.
pub fn width(face: Face, size: f32, text: &str) -> f32 {
    let font = font(face);
    let (charmap, metrics) = (font.charmap(), font.glyph_metrics(Size::new(size), LocationRef::default()));
    text.chars().map(|c| metrics.advance_width(charmap.map(c).unwrap_or_default()).unwrap_or(0.0)).sum()
}

/// The outline of `text`, its baseline starting at the origin, y downwards; `None` if nothing in it
/// leaves a mark.
pub fn outline(face: Face, size: f32, text: &str) -> Option<Path> {
    let font = font(face);
    let size = Size::new(size);
    let (charmap, glyphs) = (font.charmap(), font.outline_glyphs());
    let metrics = font.glyph_metrics(size, LocationRef::default());
    let mut pen = Pen { path: PathBuilder::new(), x: 0.0 };
    for character in text.chars() {
        let glyph = charmap.map(character).unwrap_or_default();
        if let Some(outline) = glyphs.get(glyph) {
            // A glyph that cannot be drawn leaves a gap of its width.
            outline.draw(DrawSettings::unhinted(size, LocationRef::default()), &mut pen).ok();
        }
        pen.x += metrics.advance_width(glyph).unwrap_or(0.0);
    }
    pen.path.finish()
}

struct Pen {
    path: PathBuilder,
    x: f32,
}

impl OutlinePen for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        self.path.move_to(self.x + x, -y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.path.line_to(self.x + x, -y);
    }

    fn quad_to(&mut self, cx0: f32, cy0: f32, x: f32, y: f32) {
        self.path.quad_to(self.x + cx0, -cy0, self.x + x, -y);
    }

    fn curve_to(&mut self, cx0: f32, cy0: f32, cx1: f32, cy1: f32, x: f32, y: f32) {
        self.path.cubic_to(self.x + cx0, -cy0, self.x + cx1, -cy1, self.x + x, -y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_tabular_so_that_numbers_do_not_jump() {
        for face in [Face::Regular, Face::Medium, Face::Bold, Face::Mono] {
            let zero = width(face, 20.0, "0");
            for digit in "123456789".chars() {
                assert_eq!(width(face, 20.0, &digit.to_string()), zero, "{face:?} {digit}");
            }
        }
    }

    #[test]
    fn every_sign_that_frames_use_has_a_glyph() {
        for face in [Face::Regular, Face::Medium, Face::Bold, Face::Mono] {
            for sign in "AZaz09 .,:%=·×−–—()/σ".chars() {
                assert!(font(face).charmap().map(sign).is_some(), "{face:?} lacks {sign:?}");
            }
        }
    }
}
