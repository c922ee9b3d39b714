//! How the window looks: the inks of the frames, bundled fonts, a 4-pixel grid.

use std::sync::Arc;

use egui::{Color32, CornerRadius, FontData, FontDefinitions, FontFamily, FontId, Frame, Margin, Stroke, TextStyle};

use crate::video::Look;
use crate::video::fonts;
use crate::video::palette::Color;

/// The colours of the current look, ready for egui.
#[derive(Debug, Clone, PartialEq)]
pub struct Theme {
    pub look: Look,
    pub exact: Color32,
    pub attention: Color32,
    pub wrong: Color32,
    pub right: Color32,
    pub paper: Color32,
    pub chrome: Color32,
    pub card: Color32,
    pub ink: Color32,
    pub ink_soft: Color32,
    pub rule: Color32,
    pub rule_strong: Color32,
}

impl Theme {
    pub fn of(look: Look) -> Self {
        let inks = look.inks();
        let ink = |color: Color| Color32::from_rgb(color.red, color.green, color.blue);
        Self {
            look,
            exact: ink(inks.exact),
            attention: ink(inks.attention),
            wrong: ink(inks.wrong),
            right: ink(inks.right),
            paper: ink(inks.paper),
            chrome: ink(inks.chrome),
            card: ink(inks.card),
            ink: ink(inks.ink),
            ink_soft: ink(inks.ink_soft),
            rule: ink(inks.rule),
            rule_strong: ink(inks.rule_strong),
        }
    }

    /// Around side panels and bars.
    pub fn panel(&self) -> Frame {
        Frame::new().fill(self.chrome).inner_margin(Margin::symmetric(16, 12))
    }

    /// Around what floats above the picture.
    pub fn floating(&self) -> Frame {
        Frame::new()
            .fill(self.card)
            .stroke(Stroke::new(1.0, self.rule_strong))
            .corner_radius(CornerRadius::same(8))
            .inner_margin(Margin::same(12))
    }

    /// Makes `ctx` look like this.
    pub fn apply(&self, ctx: &egui::Context) {
        let dark = self.look == Look::Dark;
        ctx.set_theme(if dark { egui::Theme::Dark } else { egui::Theme::Light });
        let mut visuals = if dark { egui::Visuals::dark() } else { egui::Visuals::light() };
        visuals.override_text_color = Some(self.ink);
        visuals.weak_text_color = Some(self.ink_soft);
        visuals.panel_fill = self.chrome;
        visuals.window_fill = self.card;
        visuals.extreme_bg_color = self.paper;
        visuals.text_edit_bg_color = Some(self.paper);
        visuals.faint_bg_color = self.card;
        visuals.hyperlink_color = self.exact;
        visuals.error_fg_color = self.wrong;
        visuals.warn_fg_color = self.attention;
        visuals.selection.bg_fill = self.exact.gamma_multiply(0.35);
        visuals.selection.stroke = Stroke::new(1.0, self.ink);
        visuals.slider_trailing_fill = true;
        let round = CornerRadius::same(6);
        for widget in [
            &mut visuals.widgets.noninteractive,
            &mut visuals.widgets.inactive,
            &mut visuals.widgets.hovered,
            &mut visuals.widgets.active,
            &mut visuals.widgets.open,
        ] {
            widget.corner_radius = round;
            widget.expansion = 0.0;
            widget.fg_stroke.color = self.ink;
            widget.bg_stroke = Stroke::new(1.0, self.rule);
        }
        visuals.widgets.noninteractive.bg_fill = self.chrome;
        visuals.widgets.inactive.bg_fill = self.rule;
        visuals.widgets.inactive.weak_bg_fill = self.paper;
        visuals.widgets.inactive.bg_stroke = Stroke::new(1.0, self.rule_strong.gamma_multiply(0.6));
        visuals.widgets.hovered.weak_bg_fill = self.rule;
        visuals.widgets.hovered.bg_stroke = Stroke::new(1.0, self.rule_strong);
        visuals.widgets.active.weak_bg_fill = self.rule;
        visuals.widgets.active.bg_stroke = Stroke::new(1.0, self.exact);
        ctx.all_styles_mut(|style| {
            style.visuals = visuals.clone();
            style.spacing.item_spacing = egui::vec2(8.0, 8.0);
            style.spacing.button_padding = egui::vec2(10.0, 4.0);
            style.spacing.interact_size.y = 28.0;
            style.spacing.text_edit_width = 200.0;
            style.interaction.selectable_labels = false;
            style.text_styles = [
                (TextStyle::Small, FontId::new(12.0, FontFamily::Proportional)),
                (TextStyle::Body, FontId::new(14.0, FontFamily::Proportional)),
                (TextStyle::Button, FontId::new(14.0, FontFamily::Proportional)),
                (TextStyle::Heading, FontId::new(18.0, medium())),
                (TextStyle::Monospace, FontId::new(13.0, FontFamily::Monospace)),
            ]
            .into();
        });
    }
}

/// The sans face, one step heavier.
pub fn medium() -> FontFamily {
    FontFamily::Name("medium".into())
}

/// The sans face, heavy: for the one number that must be seen.
pub fn bold() -> FontFamily {
    FontFamily::Name("bold".into())
}

/// Installs the fonts that the frames use, with egui's own behind them for symbols.
pub fn install_fonts(ctx: &egui::Context) {
    let mut definitions = FontDefinitions::default();
    for (name, bytes, family) in [
        ("Roboto", fonts::ROBOTO_REGULAR, FontFamily::Proportional),
        ("Roboto Medium", fonts::ROBOTO_MEDIUM, medium()),
        ("Roboto Bold", fonts::ROBOTO_BOLD, bold()),
        ("JetBrains Mono", fonts::MONO_REGULAR, FontFamily::Monospace),
    ] {
        definitions.font_data.insert(name.to_owned(), Arc::new(FontData::from_static(bytes)));
        let fallbacks = definitions.families.get(&FontFamily::Proportional).cloned().unwrap_or_default();
        let list = definitions.families.entry(family).or_insert(fallbacks);
        list.retain(|known| !known.starts_with("Roboto"));
        list.insert(0, name.to_owned());
    }
    ctx.set_fonts(definitions);
}
