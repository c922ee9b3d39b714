//! The studies of the lab: which, with what, and what they found. Notes and lists stand at the right, the table below.

mod actions;
mod links;
mod list;
mod picture;
mod registry;
mod state;
mod work;

use egui::{Align, Layout, RichText};

pub use actions::StudyCommand;
pub use links::show as show_inspector;
pub use registry::{STUDIES, Study};
pub use state::{Found, Side, Sorted, Studies};
pub use work::{DocText, FoundPart, Kept, Page, keep, words};

use super::super::App;
use super::super::command::Command;
use super::super::fields::edit;
use super::super::theme;
use super::LabCommand;
use registry::{Kind, Subject, Values};

/// Height of what stands under the picture.
const CONTROLS: f32 = 34.0;

pub fn show(app: &mut App, ui: &mut egui::Ui) {
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing.x = 4.0;
        for (place, study) in STUDIES.iter().enumerate() {
            let is_chosen = app.lab.state.studies.chosen == place;
            if ui.selectable_label(is_chosen, study.name).on_hover_text(study.about).clicked() {
                app.commands.push(Command::Lab(LabCommand::Study(StudyCommand::Choose(place))));
            }
        }
    });
    form(app, ui);
    if app.lab.state.studies.finding().is_some() {
        picture::show(app, ui, CONTROLS);
    } else {
        empty(app, ui);
    }
}

/// Nothing was found yet: says what would be.
fn empty(app: &App, ui: &mut egui::Ui) {
    let studies = &app.lab.state.studies;
    ui.with_layout(Layout::top_down(Align::Center), |ui| {
        ui.add_space(ui.available_height() * 0.3);
        if studies.running == Some(studies.chosen) {
            ui.label(RichText::new("Looking…").heading().color(app.theme.ink_soft));
            return;
        }
        ui.set_max_width(ui.available_width().min(520.0));
        ui.add(egui::Label::new(RichText::new(studies.study().about).color(app.theme.ink_soft)).wrap());
    });
}

/// The fields of a study, its button, and what is in its way.
fn form(app: &mut App, ui: &mut egui::Ui) {
    let why_not = app.why_no_study();
    let contestant = app.contestant();
    let App { lab, theme, commands, .. } = app;
    let studies = &mut lab.state.studies;
    let study = studies.study();
    let shown_of = studies.finding().and_then(|found| found.contestant.clone());
    let is_made = studies.running == Some(studies.chosen);
    let texts = &mut studies.texts[studies.chosen];
    let wrong = why_not.as_ref().and_then(|why| why.field);
    let is_narrow = ui.available_width() < 560.0;
    ui.horizontal_wrapped(|ui| {
        for (field, text) in study.fields.iter().zip(texts.iter_mut()) {
            let ink = if wrong == Some(field.name) { theme.wrong } else { theme.ink };
            let label = RichText::new(field.label).color(ink);
            let name = format!("{} ({})", field.label, study.name);
            // The label and its field stay in one row.
            let room = field.kind.width(is_narrow);
            let body = egui::TextStyle::Body.resolve(ui.style());
            let name_width = ui.painter().layout_no_wrap(field.label.to_owned(), body, ink).size().x;
            let width = name_width + ui.spacing().item_spacing.x + room;
            ui.allocate_ui_with_layout(egui::vec2(width, 28.0), Layout::left_to_right(Align::Center), |ui| {
                ui.label(label).on_hover_text(field.hint);
                match field.kind {
                    Kind::Text(empty) | Kind::Long(empty) => {
                        edit(ui, &name, empty, text, room).on_hover_text(field.hint);
                    }
                    Kind::Choice(choices) => {
                        let combo = egui::ComboBox::from_id_salt(&name).width(room).selected_text(text.as_str());
                        let shown = combo.show_ui(ui, |ui| {
                            for choice in choices {
                                ui.selectable_value(text, (*choice).to_owned(), *choice);
                            }
                        });
                        shown.response.accessible_name(&name).on_hover_text(field.hint);
                    }
                }
            });
        }
        let (ink, fill) = if why_not.is_none() { (theme.paper, theme.exact) } else { (theme.ink_soft, theme.rule) };
        let action = if is_made { "Being made…" } else { study.action };
        let button = egui::Button::new(RichText::new(action).family(theme::medium()).color(ink)).fill(fill);
        let of = match (study.subject, &contestant) {
            (Subject::Contestant | Subject::Either, Some(name)) => format!("Of {name}, in the background"),
            _ => "In the background".to_owned(),
        };
        let response = ui.add_enabled(why_not.is_none(), button).on_hover_text(of);
        let response = match &why_not {
            Some(why) => response.on_disabled_hover_text(&why.words),
            None => response,
        };
        if response.clicked() {
            commands.push(Command::Lab(LabCommand::Study(StudyCommand::Start)));
        }
        let told = match (&why_not, &shown_of) {
            _ if is_made => None,
            (Some(why), _) => Some(why.words.clone()),
            (None, Some(of)) if contestant.as_ref().is_some_and(|now| now != of) => {
                Some(format!("Shown is {of}; now chosen is {}", contestant.unwrap_or_default()))
            }
            _ => None,
        };
        if let Some(told) = told {
            let ink = if wrong.is_some() { theme.wrong } else { theme.ink_soft };
            ui.add(egui::Label::new(RichText::new(told).small().color(ink)).wrap());
        }
    });
}

/// What is in the way of a study.
pub(in super::super) struct WhyNot {
    /// The field that it is about, by its name.
    field: Option<&'static str>,
    words: String,
}

impl App {
    /// The contestant that is chosen, in words.
    fn contestant(&self) -> Option<String> {
        let state = &self.lab.state;
        let line = state.opened.as_ref()?.lines.get(state.current?)?;
        let build = if line.build > 0 { format!(" build {}", line.build) } else { String::new() };
        Some(line.title() + &build)
    }

    /// Why the study that is shown cannot be made now.
    pub(super) fn why_no_study(&self) -> Option<WhyNot> {
        let state = &self.lab.state;
        let study = state.studies.study();
        let because = |words: &str| Some(WhyNot { field: None, words: words.to_owned() });
        let Some(opened) = &state.opened else { return because("Run some indexes or open a session first.") };
        let values = Values::new(study.fields, &state.studies.texts[state.studies.chosen]);
        if let Err(error) = (study.prepare)(&values, &opened.question) {
            let field = study.field_of(&error);
            // Named as on screen.
            let words = match field {
                Some(field) => error.to_string().replacen(field.name, field.label, 1),
                None => error.to_string(),
            };
            return Some(WhyNot { field: field.map(|field| field.name), words });
        }
        if opened.lab.is_none() || self.lab.jobs.running.is_busy() {
            return because("Studies begin when all indexes are run.");
        }
        if study.subject == Subject::Contestant && state.current.is_none() {
            return because("Choose a contestant in the table first.");
        }
        if state.studies.running == Some(state.studies.chosen) {
            return because("This study is being made.");
        }
        if state.studies.running.is_some() {
            return because("Another study is being made. Cancel it, or wait for its end.");
        }
        None
    }
}
