//! Colours: Okabe and Ito's palette, which colour-blind people can tell apart, and the inks around
//! it. The window and the frames share them.

/// sRGB, opaque.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Color {
    pub red: u8,
    pub green: u8,
    pub blue: u8,
}

impl Color {
    pub const fn new(red: u8, green: u8, blue: u8) -> Self {
        Self { red, green, blue }
    }
}

/// Exact scores, in every view.
pub const EXACT: Color = Color::new(0x00, 0x72, 0xb2);
/// What deserves a second look: reused queries, losses.
pub const ATTENTION: Color = Color::new(0xd5, 0x5e, 0x00);

/// The page of a frame, and its inks from strong to faint.
pub const PAPER: Color = Color::new(0xff, 0xff, 0xff);
pub const INK: Color = Color::new(0x1d, 0x22, 0x28);
pub const INK_SOFT: Color = Color::new(0x5a, 0x64, 0x6e);
pub const RULE: Color = Color::new(0xe3, 0xe7, 0xeb);
pub const RULE_STRONG: Color = Color::new(0x9a, 0xa4, 0xae);
pub const CARD: Color = Color::new(0xf6, 0xf8, 0xfa);

#[cfg(test)]
mod tests {
    use super::*;

    fn luminance(color: Color) -> f64 {
        let linear = |channel: u8| {
            let value = f64::from(channel) / 255.0;
            if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(color.red) + 0.7152 * linear(color.green) + 0.0722 * linear(color.blue)
    }

    /// WCAG 2: at least 4.5 : 1 for text.
    #[test]
    fn text_can_be_read() {
        for ink in [INK, INK_SOFT] {
            for ground in [PAPER, CARD] {
                let (a, b) = (luminance(ink), luminance(ground));
                let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                assert!(contrast >= 4.5, "{ink:?} on {ground:?}: {contrast:.2}");
            }
        }
    }
}
