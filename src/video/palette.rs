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

/// Which of the two designs is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Look {
    #[default]
    Light,
    Dark,
}

impl Look {
    pub const fn inks(self) -> &'static Inks {
        match self {
            Self::Light => &LIGHT,
            Self::Dark => &DARK,
        }
    }
}

/// The colours of one look.
#[derive(Debug, PartialEq, Eq)]
pub struct Inks {
    /// Exact scores, in every view.
    pub exact: Color,
    /// What deserves a second look: reused queries, warnings.
    pub attention: Color,
    /// What went wrong.
    pub wrong: Color,
    /// What went right.
    pub right: Color,
    /// The ground of a picture.
    pub paper: Color,
    /// The ground of what surrounds pictures.
    pub chrome: Color,
    /// The ground of cards and fields.
    pub card: Color,
    /// Text, and text that explains.
    pub ink: Color,
    pub ink_soft: Color,
    /// What chance gives, around a curve.
    pub band: Color,
    /// Lines, and lines that matter.
    pub rule: Color,
    pub rule_strong: Color,
}

static LIGHT: Inks = Inks {
    exact: Color::new(0x00, 0x72, 0xb2),
    attention: Color::new(0xa3, 0x4a, 0x00),
    wrong: Color::new(0xb3, 0x26, 0x1e),
    right: Color::new(0x00, 0x6e, 0x52),
    paper: Color::new(0xff, 0xff, 0xff),
    chrome: Color::new(0xf4, 0xf6, 0xf8),
    card: Color::new(0xf8, 0xfa, 0xfb),
    ink: Color::new(0x1d, 0x22, 0x28),
    ink_soft: Color::new(0x57, 0x61, 0x6b),
    band: Color::new(0xf2, 0xc1, 0x8a),
    rule: Color::new(0xe1, 0xe5, 0xea),
    rule_strong: Color::new(0x9a, 0xa4, 0xae),
};

static DARK: Inks = Inks {
    exact: Color::new(0x56, 0xb4, 0xe9),
    attention: Color::new(0xf0, 0xa0, 0x40),
    wrong: Color::new(0xff, 0x8a, 0x80),
    right: Color::new(0x4c, 0xd0, 0xa8),
    paper: Color::new(0x14, 0x18, 0x1d),
    chrome: Color::new(0x1b, 0x20, 0x26),
    card: Color::new(0x20, 0x26, 0x2d),
    ink: Color::new(0xe8, 0xec, 0xf0),
    ink_soft: Color::new(0xa2, 0xac, 0xb6),
    band: Color::new(0x7a, 0x52, 0x1e),
    rule: Color::new(0x2c, 0x34, 0x3c),
    rule_strong: Color::new(0x6a, 0x76, 0x82),
};

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

    fn contrast(one: Color, other: Color) -> f64 {
        let (a, b) = (luminance(one), luminance(other));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    /// WCAG 2: at least 4.5 : 1 for text, 3 : 1 for what is drawn.
    #[test]
    fn everything_can_be_seen() {
        for look in [Look::Light, Look::Dark] {
            let inks = look.inks();
            for ground in [inks.paper, inks.chrome, inks.card] {
                for ink in [inks.ink, inks.ink_soft, inks.attention, inks.wrong, inks.right] {
                    assert!(contrast(ink, ground) >= 4.5, "{look:?} {ink:?}: {:.2}", contrast(ink, ground));
                }
            }
            assert!(contrast(inks.exact, inks.paper) >= 3.0, "{look:?}");
        }
    }
}
