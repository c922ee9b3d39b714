//! Where a file goes.

use super::super::App;
use super::super::command::{Command, Pick};
use super::super::save_dialog::{Answer, Wording, ask};
use super::UniquenessCommand;
use super::state::Save;
use super::work::dropped_beside;

pub fn show(app: &mut App, ui: &mut egui::Ui) {
    let Some(save) = &mut app.uniqueness.state.save else { return };
    let wording = match save.what {
        Save::Scores => {
            Wording { title: "Save scores", hint: "JSONL: an id and a score on every line".to_owned(), endings: &[] }
        }
        Save::Lists => {
            let dropped = dropped_beside(std::path::Path::new(save.path.trim()));
            Wording {
                title: "Save kept and dropped samples",
                hint: format!("Dropped samples go to {}", dropped.display()),
                endings: &["jsonl", "csv"],
            }
        }
        Save::Plot => Wording {
            title: "Save plot",
            hint: "PNG, or SVG if the name ends in .svg".to_owned(),
            endings: &["png", "svg"],
        },
        Save::Selection => Wording {
            title: "Save selection",
            hint: "The rules and what they were made for, to be opened again".to_owned(),
            endings: &[],
        },
    };
    match ask(ui, &app.theme, save, &wording) {
        Some(Answer::Choose) => app.commands.push(Command::Pick(Pick::UniquenessPlace)),
        Some(Answer::Save) => app.commands.push(Command::Uniqueness(UniquenessCommand::SaveAsAsked)),
        Some(Answer::Close) => app.uniqueness.state.save = None,
        None => {}
    }
}
