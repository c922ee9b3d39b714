//! Plots in pictures: where they stand, and their axes.

use super::fonts::Face;
use super::palette::Look;
use super::scene::{Align, Item, Scene, Sheet, fixed, ticks};
use crate::compute::figures::grouped;

/// How a picture is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Canvas {
    pub width: u32,
    pub height: u32,
    /// Pixels per design unit: 1 in files, less in the window.
    pub unit: f32,
    pub look: Look,
}

impl Canvas {
    /// As files are drawn.
    pub const FILE: Self = Self { width: 1800, height: 900, unit: 1.0, look: Look::Light };

    pub(super) fn sheet(&self) -> Sheet {
        Sheet { items: Vec::new(), unit: self.unit, inks: self.look.inks() }
    }

    pub(super) fn scene(&self, sheet: Sheet) -> Scene {
        Scene { width: self.width, height: self.height, background: sheet.inks.paper, items: sheet.items, backdrop: 0 }
    }
}

/// A plot in a picture, in pixels, with what its edges stand for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Panel {
    pub left: f32,
    pub right: f32,
    pub top: f32,
    pub bottom: f32,
    pub x: (f64, f64),
    pub y: (f64, f64),
}

impl Panel {
    pub fn x(&self, value: f64) -> f32 {
        self.left + ((value - self.x.0) / (self.x.1 - self.x.0)) as f32 * (self.right - self.left)
    }

    pub fn y(&self, value: f64) -> f32 {
        self.bottom - ((value - self.y.0) / (self.y.1 - self.y.0)) as f32 * (self.bottom - self.top)
    }

    /// What the pixel column at `x` stands for.
    pub fn value_at(&self, x: f32) -> f64 {
        self.x.0 + f64::from((x - self.left) / (self.right - self.left)) * (self.x.1 - self.x.0)
    }
}

impl Sheet {
    /// Lines and values of both axes. `names`: below and at the left.
    pub(super) fn panel_axes(&mut self, panel: &Panel, names: (&str, &str), wanted: (usize, usize), has_whole_x: bool) {
        let label = |value: f64, digits: usize| match digits {
            0 if value >= 0.0 => grouped(value as u64),
            _ => fixed(value, digits),
        };
        let (values, digits) = ticks(panel.y.0.min(panel.y.1), panel.y.0.max(panel.y.1), wanted.1);
        let marks: Vec<(f64, String)> = values.into_iter().map(|value| (value, label(value, digits))).collect();
        self.y_marks(panel, &marks);
        let (values, digits) = ticks(panel.x.0, panel.x.1, wanted.0);
        // None wanted: the owner names what stands there.
        let is_shown = |value: &f64| wanted.0 > 0 && (!has_whole_x || value.fract() == 0.0);
        let marks: Vec<(f64, String)> =
            values.into_iter().filter(is_shown).map(|value| (value, label(value, digits))).collect();
        self.x_marks(panel, &marks);
        self.panel_names(panel, names);
    }

    /// Lines across the panel with their values at the left.
    pub(super) fn y_marks(&mut self, panel: &Panel, marks: &[(f64, String)]) {
        let (unit, inks) = (self.unit, self.inks);
        for (value, label) in marks {
            let y = panel.y(*value).round();
            self.rect(panel.left, y, panel.right - panel.left, unit.max(1.0).round(), inks.rule);
            let (x, y) = (panel.left - 10.0 * unit, y + 7.0 * unit);
            self.text(x, y, 20.0, Face::Regular, Align::Right, inks.ink_soft, label.clone());
        }
    }

    /// Marks below the panel with their values, and its lower edge.
    pub(super) fn x_marks(&mut self, panel: &Panel, marks: &[(f64, String)]) {
        let (unit, inks) = (self.unit, self.inks);
        let line = unit.max(1.0).round();
        for (value, label) in marks {
            let x = panel.x(*value).round();
            self.rect(x, panel.bottom, line, 6.0 * unit, inks.rule_strong);
            let y = panel.bottom + 28.0 * unit;
            self.text(x, y, 20.0, Face::Regular, Align::Center, inks.ink_soft, label.clone());
        }
        self.rect(panel.left, panel.bottom, panel.right - panel.left, line, inks.rule_strong);
    }

    /// What the axes are: below and, unless empty, at the left.
    pub(super) fn panel_names(&mut self, panel: &Panel, names: (&str, &str)) {
        let (unit, inks) = (self.unit, self.inks);
        let middle = (panel.left + panel.right) / 2.0;
        self.text(middle, panel.bottom + 60.0 * unit, 22.0, Face::Regular, Align::Center, inks.ink, names.0.to_owned());
        if !names.1.is_empty() {
            self.items.push(Item::Text {
                x: panel.left - 92.0 * unit,
                y: (panel.top + panel.bottom) / 2.0,
                size: 22.0 * unit,
                face: Face::Regular,
                align: Align::Center,
                upwards: true,
                color: inks.ink,
                text: names.1.to_owned(),
            });
        }
    }
}
