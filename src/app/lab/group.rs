//! A group of queries, chosen by a range of values: of scores that were lost, or of the x axis of a study's picture.
//! What shows queries keeps to the group until it ends.

use std::sync::Arc;

use egui::{CursorIcon, RichText};

use super::super::App;
use super::super::command::Command;
use super::super::fields::edit;
use super::super::theme;
use super::LabCommand;
use super::state::Tab;
use super::studies::Found;
use crate::compute::figures::{count, counted};
use crate::compute::index::session::Lab;
use crate::video::panel::Panel;
use crate::video::scene::fixed;

/// Pixels that a drag is long at least; a shorter one is a click.
const SHORTEST_DRAG: f32 = 4.0;

/// What values the range is of.
#[derive(Debug, Clone)]
pub enum Axis {
    /// Scores that the contestant in a line lost.
    Lost { line: usize, name: String },
    /// The x axis of a picture.
    Picture { found: Arc<Found>, picture: usize },
}

/// Queries that are looked at together.
#[derive(Debug)]
pub struct Group {
    pub axis: Axis,
    pub range: (f64, f64),
    /// "87 queries, recall 0.20 to 0.35"
    pub words: String,
    /// Ascending.
    pub queries: Vec<u32>,
}

impl Group {
    /// The queries with a value in the range, both ends included. Walks over all queries: belongs on a worker.
    pub fn gather(lab: &Lab, axis: Axis, range: (f64, f64)) -> Self {
        let (low, high) = (range.0.min(range.1), range.0.max(range.1));
        let holds = |value: f64| (low..=high).contains(&value);
        let queries: Vec<u32> = match &axis {
            Axis::Lost { line, .. } => {
                let judged = &lab.runs[*line].judged;
                let loses = |query: &usize| {
                    let scores = lab.truth.scores_of(*query);
                    judged.lost_of(&lab.truth, *query).iter().any(|&(rank, _)| holds(scores[rank]))
                };
                (0..judged.queries()).filter(loses).map(|query| query as u32).collect()
            }
            Axis::Picture { found, picture } => {
                let brush = found.finding.pictures[*picture].drawing.brush(crate::video::panel::Canvas::FILE);
                let values = brush.map_or(&[][..], |(_, values)| values);
                let known = lab.arena.num_queries.min(values.len());
                (0..known).filter(|&query| holds(values[query])).map(|query| query as u32).collect()
            }
        };
        let (from, to) = ends(low, high);
        let many = counted(queries.len(), "query", "queries");
        let words = match &axis {
            Axis::Lost { name, .. } => format!("{many} that lost scores from {from} to {to} by {name}"),
            Axis::Picture { found, picture } => {
                format!("{many}, {} {from} to {to}", found.finding.pictures[*picture].name)
            }
        };
        Self { axis, range: (low, high), words, queries }
    }

    /// Whether its range is of `axis`.
    pub fn is_on(&self, axis: &Axis) -> bool {
        match (&self.axis, axis) {
            (Axis::Lost { name, .. }, Axis::Lost { name: other, .. }) => name == other,
            (Axis::Picture { found, picture }, Axis::Picture { found: other, picture: on }) => {
                Arc::ptr_eq(found, other) && picture == on
            }
            _ => false,
        }
    }

    /// The range on a picture of `found`, if the group was chosen there.
    pub fn range_on(&self, found: &Arc<Found>, picture: usize) -> Option<(f64, f64)> {
        match &self.axis {
            Axis::Picture { found: of, picture: on } if Arc::ptr_eq(of, found) && *on == picture => Some(self.range),
            _ => None,
        }
    }
}

/// Decimals that tell both ends apart.
fn decimals(low: f64, high: f64) -> usize {
    let spread = (high - low).abs().max(low.abs() * 1e-5).max(1e-9);
    (1.0 - spread.log10().floor()).clamp(0.0, 9.0) as usize
}

/// Both ends, with as many decimals as tell them apart.
fn ends(low: f64, high: f64) -> (String, String) {
    let digits = decimals(low, high);
    let text = |value: f64| match value.abs() >= 10_000.0 {
        true => (if value < 0.0 { "−" } else { "" }).to_owned() + &count(value.abs().round() as usize),
        false => fixed(value, digits),
    };
    (text(low), text(high))
}

/// A drag over a panel of a picture whose corner is at `origin`: `drag` is what it reaches over; gives the range when it
/// is let go.
pub fn brushed(
    ui: &egui::Ui,
    response: &egui::Response,
    panel: &Panel,
    drag: &mut Option<(f64, f64)>,
) -> Option<(f64, f64)> {
    let origin = response.rect.min;
    let is_inside = |at: egui::Pos2| {
        let (x, y) = (at.x - origin.x, at.y - origin.y);
        (panel.left..=panel.right).contains(&x) && (panel.top..=panel.bottom).contains(&y)
    };
    let value = |at: egui::Pos2| panel.value_at((at.x - origin.x).clamp(panel.left, panel.right));
    if response.hover_pos().is_some_and(is_inside) {
        ui.ctx().set_cursor_icon(CursorIcon::ResizeHorizontal);
    }
    if response.drag_started() {
        *drag =
            ui.input(|input| input.pointer.press_origin()).filter(|at| is_inside(*at)).map(|at| (value(at), value(at)));
    }
    if let (Some((from, _)), Some(at)) = (*drag, response.interact_pointer_pos()) {
        *drag = Some((from, value(at)));
    }
    if response.drag_stopped() {
        let (from, to) = drag.take()?;
        let is_long = (panel.x(from) - panel.x(to)).abs() >= SHORTEST_DRAG;
        return is_long.then(|| (from.min(to), from.max(to)));
    }
    None
}

/// The group in words, and what ends it.
pub fn chip(app: &mut App, ui: &mut egui::Ui) {
    let Some(group) = app.lab.state.group.clone() else { return };
    let (theme, commands) = (&app.theme, &mut app.commands);
    let frame = egui::Frame::new().fill(theme.exact.gamma_multiply(0.16)).corner_radius(12.0);
    frame.inner_margin(egui::Margin::symmetric(10, 0)).show(ui, |ui| {
        ui.horizontal(|ui| {
            let room = ui.available_width() - 44.0;
            let text = format!("group: {}", group.words);
            let label = egui::Label::new(RichText::new(&text).color(theme.ink)).truncate();
            ui.scope(|ui| {
                ui.set_max_width(room);
                ui.add(label).on_hover_text(format!("{text}\nScores and lists keep to these queries"));
            });
            let end = ui.add(egui::Button::new("×").frame(false));
            end.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, "End the group"));
            if end.on_hover_text("All queries again (Esc)").clicked() {
                commands.push(Command::Lab(LabCommand::EndGroup));
            }
        });
    });
}

/// The dialog that asks for a range, for those who do not drag.
#[derive(Debug, Clone)]
pub struct RangeForm {
    pub axis: Axis,
    /// What values it is of.
    pub name: String,
    pub low: String,
    pub high: String,
}

impl RangeForm {
    /// With `range` to begin with, rounded outwards.
    pub fn new(axis: Axis, name: String, range: (f64, f64)) -> Self {
        let step = 10f64.powi(-(decimals(range.0, range.1) as i32));
        let (low, high) = ends((range.0 / step).floor() * step, (range.1 / step).ceil() * step);
        Self { axis, name, low, high }
    }

    /// # Errors
    /// What is no number, in words.
    pub fn range(&self) -> Result<(f64, f64), String> {
        let number = |text: &str, name: &str| {
            let plain = text.trim().replace(',', "").replace('−', "-");
            let value = plain.parse::<f64>().ok().filter(|value| value.is_finite());
            value.ok_or_else(|| {
                format!("{name}: expected a number, found {}", if plain.is_empty() { "nothing" } else { text })
            })
        };
        let (low, high) = (number(&self.low, "from")?, number(&self.high, "to")?);
        if low > high {
            return Err(format!("from is more than to: {} > {}", self.low, self.high));
        }
        Ok((low, high))
    }
}

pub fn range_dialog(app: &mut App, ui: &egui::Ui) {
    let App { lab, theme, commands, .. } = app;
    let Some(form) = &mut lab.state.range else { return };
    let mut closes = false;
    let modal = egui::Modal::new(egui::Id::unique("lab range")).frame(theme.floating()).show(ui.ctx(), |ui| {
        ui.set_width(420.0);
        ui.label(RichText::new("Choose queries").heading());
        let text = format!("Those with a value in this range: {}. Both ends belong to it.", form.name);
        ui.add(egui::Label::new(RichText::new(text).small().color(theme.ink_soft)).wrap());
        ui.horizontal(|ui| {
            ui.label("From");
            edit(ui, "From", "", &mut form.low, 120.0);
            ui.label("to");
            edit(ui, "To", "", &mut form.high, 120.0);
        });
        let range = form.range();
        if let Err(why) = &range {
            ui.add(egui::Label::new(RichText::new(why).small().color(theme.attention)).wrap());
        }
        ui.horizontal(|ui| {
            let text = RichText::new("Choose").family(theme::medium()).color(theme.paper);
            let press = ui.add_enabled(range.is_ok(), egui::Button::new(text).fill(theme.exact)).clicked();
            let enter = ui.input(|input| input.key_pressed(egui::Key::Enter));
            if range.is_ok() && (press || enter) {
                commands.push(Command::Lab(LabCommand::ChooseAsked));
            }
            closes = ui.button("Close").clicked();
        });
    });
    if closes || modal.should_close() {
        lab.state.range = None;
    }
}

impl App {
    /// What a range would be of: the axis, its name, and what it reaches from and to.
    pub(super) fn axis_in_sight(&self) -> Option<(Axis, String, (f64, f64))> {
        let state = &self.lab.state;
        match state.tab {
            Tab::Scores => {
                let shown = state.scores.as_ref()?;
                let scores = &shown.scores;
                let axis = Axis::Lost { line: shown.line, name: scores.title.clone() };
                let reach = (scores.bins.edge(0), scores.bins.edge(scores.bins.count()));
                Some((axis, format!("{} of a lost neighbour", scores.axis), reach))
            }
            Tab::Studies => {
                let found = state.studies.finding()?.clone();
                let picture = state.studies.picture;
                let shown = found.finding.pictures.get(picture)?;
                let (panel, _) = shown.drawing.brush(crate::video::panel::Canvas::FILE)?;
                let name = shown.name.clone();
                Some((Axis::Picture { found: found.clone(), picture }, name, panel.x))
            }
            Tab::Speed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_have_the_digits_that_tell_them_apart() {
        for (low, high, told) in [
            (0.2, 0.55, ("0.20", "0.55")),
            (12.1, 19.4, ("12.1", "19.4")),
            (0.41234, 0.41298, ("0.41234", "0.41298")),
            (1500.0, 1900.0, ("1500", "1900")),
            (-20_000.0, 40_000.0, ("−20,000", "40,000")),
            (1.0, 1.0, ("1.000000", "1.000000")),
        ] {
            let found = ends(low, high);
            assert_eq!((found.0.as_str(), found.1.as_str()), told, "{low} to {high}");
        }
    }
}
