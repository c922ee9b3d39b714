//! Everything a user can do, in one place: buttons, shortcuts and the palette send the same commands.

use std::path::PathBuf;

use super::lab::{LabCommand, Part, STUDIES, Study, StudyCommand, Tab};
use super::sparsity::SparsityCommand;
use super::state::{ExportKind, Page};
use super::uniqueness::{Save, UniquenessCommand};

#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Opens vector files and results by what they are.
    OpenPaths(Vec<PathBuf>),
    OpenDemo,
    Pick(Pick),
    StartScoring,
    TogglePlay,
    /// Runs forwards or backwards.
    Step(isize),
    GoTo(usize),
    FirstRun,
    LastRun,
    ToggleLoop,
    SetSpeed(f64),
    SetBins(usize),
    ZoomTo(f64, f64),
    ZoomBack,
    ZoomReset,
    /// One click: the video goes into the session's folder.
    ExportVideo,
    /// Asks for the place first.
    AskExport(ExportKind),
    /// As the dialog says.
    ExportAsAsked,
    CopyFrame,
    /// Opens a file with the system's program for it.
    OpenFile(PathBuf),
    ShowInFolder(PathBuf),
    CopyText(String),
    ToggleTheme,
    ShowPalette,
    ShowNotices,
    Cancel(Work),
    ShowPage(Page),
    Uniqueness(UniquenessCommand),
    Sparsity(SparsityCommand),
    Lab(LabCommand),
}

impl Command {
    /// Whether Esc stands for it.
    pub fn is_escape(&self) -> bool {
        matches!(
            self,
            Self::ZoomReset
                | Self::Uniqueness(UniquenessCommand::ZoomReset)
                | Self::Sparsity(SparsityCommand::ZoomReset)
                | Self::Lab(LabCommand::EndGroup)
        )
    }
}

/// What a file dialog is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    Docs,
    Queries,
    OutputFolder,
    Results,
    ExportPlace,
    Embeddings,
    Dataset,
    Selection,
    UniquenessPlace,
    Matrices,
    MatrixFolder,
    Database,
    SparsityPlace,
    LabDocs,
    LabQueries,
    LabFolder,
    LabPlace,
}

/// Long work that can be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    Scoring,
    Reading,
    Exporting,
    Uniqueness,
    Sparsity,
    Lab,
}

/// The commands of the palette: name, shortcut, command.
pub fn palette() -> Vec<(&'static str, &'static str, Command)> {
    let mut commands = vec![
        ("Play or pause", "Space", Command::TogglePlay),
        ("Next run", "Right", Command::Step(1)),
        ("Previous run", "Left", Command::Step(-1)),
        ("First run", "Home", Command::FirstRun),
        ("Last run", "End", Command::LastRun),
        ("Loop the animation", "L", Command::ToggleLoop),
        ("Zoom back", "Backspace", Command::ZoomBack),
        ("Reset zoom", "Esc", Command::ZoomReset),
        ("Score", "Ctrl+Enter", Command::StartScoring),
        ("Choose docs…", "", Command::Pick(Pick::Docs)),
        ("Choose queries…", "", Command::Pick(Pick::Queries)),
        ("Open results…", "Ctrl+O", Command::Pick(Pick::Results)),
        ("Open the demo", "", Command::OpenDemo),
        ("Export video", "Ctrl+E", Command::ExportVideo),
        ("Export video as…", "Ctrl+Shift+E", Command::AskExport(ExportKind::Video)),
        ("Save frame as PNG…", "Ctrl+S", Command::AskExport(ExportKind::Frame)),
        ("Copy frame", "Ctrl+Shift+C", Command::CopyFrame),
        ("Distribution view", "Ctrl+1", Command::ShowPage(Page::Distribution)),
        ("Uniqueness view", "Ctrl+2", Command::ShowPage(Page::Uniqueness)),
        ("Sparsity view", "Ctrl+3", Command::ShowPage(Page::Sparsity)),
        ("Index lab", "Ctrl+4", Command::ShowPage(Page::Lab)),
        ("Fill in the demo data in the index lab", "", Command::Lab(LabCommand::FillDemo)),
        ("Run indexes", "", Command::Lab(LabCommand::Start)),
        ("Save the table of the index lab…", "", Command::Lab(LabCommand::AskSave(Part::Table))),
        ("Save recall against speed as a picture…", "", Command::Lab(LabCommand::AskSave(Part::Speed))),
        ("Save the lost scores as a picture or a video…", "", Command::Lab(LabCommand::AskSave(Part::Scores))),
        ("Save the queries of a contestant…", "", Command::Lab(LabCommand::AskSave(Part::Queries))),
        ("Choose embeddings…", "", Command::Pick(Pick::Embeddings)),
        ("Choose dataset…", "", Command::Pick(Pick::Dataset)),
        ("Score samples", "Ctrl+Enter in its view", Command::Uniqueness(UniquenessCommand::Start)),
        ("Uniqueness of the demo data", "", Command::Uniqueness(UniquenessCommand::OpenDemo)),
        ("Choose pruned matrices…", "", Command::Pick(Pick::Matrices)),
        ("Choose a folder of pruned matrices…", "", Command::Pick(Pick::MatrixFolder)),
        ("Analyse pruned matrices", "Ctrl+Enter in its view", Command::Sparsity(SparsityCommand::Start)),
        ("Pruned matrices of the demo", "", Command::Sparsity(SparsityCommand::OpenDemo)),
        ("Open selection…", "", Command::Pick(Pick::Selection)),
        ("Save kept and dropped samples…", "", Command::Uniqueness(UniquenessCommand::AskSave(Save::Lists))),
        ("Save uniqueness scores…", "", Command::Uniqueness(UniquenessCommand::AskSave(Save::Scores))),
        ("Save uniqueness plot…", "Ctrl+S in its view", Command::Uniqueness(UniquenessCommand::AskSave(Save::Plot))),
        ("Save selection…", "", Command::Uniqueness(UniquenessCommand::AskSave(Save::Selection))),
        ("Undo rules", "Ctrl+Z", Command::Uniqueness(UniquenessCommand::Undo)),
        ("Redo rules", "Ctrl+Shift+Z", Command::Uniqueness(UniquenessCommand::Redo)),
        ("Switch between light and dark", "", Command::ToggleTheme),
        ("Show notices", "", Command::ShowNotices),
        ("Recall and speed of the index lab", "", Command::Lab(LabCommand::ShowTab(Tab::Speed))),
        ("Scores of a contestant", "", Command::Lab(LabCommand::ShowTab(Tab::Scores))),
        ("Studies of the index lab", "", Command::Lab(LabCommand::ShowTab(Tab::Studies))),
        ("Make the study that is shown", "", Command::Lab(LabCommand::Study(StudyCommand::Start))),
        ("Save the picture of the study…", "", Command::Lab(LabCommand::AskSave(Part::StudyPicture))),
        ("Save the table of the study…", "", Command::Lab(LabCommand::AskSave(Part::StudyTable))),
        ("Save the details of the study…", "", Command::Lab(LabCommand::AskSave(Part::StudyMore))),
        ("Save the list of a row of the study…", "", Command::Lab(LabCommand::AskSave(Part::StudyList))),
        ("Save the notes of the study…", "", Command::Lab(LabCommand::AskSave(Part::StudyNotes))),
        ("Choose queries by a range of values…", "", Command::Lab(LabCommand::AskRange)),
        ("End the group of queries", "Esc in its view", Command::Lab(LabCommand::EndGroup)),
    ];
    let study = |(place, study): (usize, &'static Study)| {
        (study.command, "", Command::Lab(LabCommand::Study(StudyCommand::Choose(place))))
    };
    commands.extend(STUDIES.iter().enumerate().map(study));
    commands
}

/// The commands that the keys pressed in this frame stand for on `page`. Plain keys only count while no
/// text is being typed.
pub fn from_keys(ctx: &egui::Context, page: Page) -> Vec<Command> {
    use egui::{Key, Modifiers};
    let typing = ctx.egui_wants_keyboard_input();
    let shifted = Modifiers::COMMAND | Modifiers::SHIFT;
    let mut with_ctrl = vec![
        (Modifiers::COMMAND, Key::K, Command::ShowPalette),
        (Modifiers::COMMAND, Key::Num1, Command::ShowPage(Page::Distribution)),
        (Modifiers::COMMAND, Key::Num2, Command::ShowPage(Page::Uniqueness)),
        (Modifiers::COMMAND, Key::Num3, Command::ShowPage(Page::Sparsity)),
        (Modifiers::COMMAND, Key::Num4, Command::ShowPage(Page::Lab)),
    ];
    let plain = match page {
        Page::Distribution => {
            with_ctrl.extend([
                (Modifiers::COMMAND, Key::O, Command::Pick(Pick::Results)),
                (Modifiers::COMMAND, Key::Enter, Command::StartScoring),
                (shifted, Key::E, Command::AskExport(ExportKind::Video)),
                (Modifiers::COMMAND, Key::E, Command::ExportVideo),
                (Modifiers::COMMAND, Key::S, Command::AskExport(ExportKind::Frame)),
                (shifted, Key::C, Command::CopyFrame),
            ]);
            vec![
                (Key::Space, Command::TogglePlay),
                (Key::ArrowRight, Command::Step(1)),
                (Key::ArrowLeft, Command::Step(-1)),
                (Key::Home, Command::FirstRun),
                (Key::End, Command::LastRun),
                (Key::L, Command::ToggleLoop),
                (Key::Backspace, Command::ZoomBack),
                (Key::Escape, Command::ZoomReset),
            ]
        }
        Page::Uniqueness => {
            with_ctrl.extend([
                (Modifiers::COMMAND, Key::O, Command::Pick(Pick::Embeddings)),
                (Modifiers::COMMAND, Key::Enter, Command::Uniqueness(UniquenessCommand::Start)),
                (Modifiers::COMMAND, Key::S, Command::Uniqueness(UniquenessCommand::AskSave(Save::Plot))),
            ]);
            if !typing {
                with_ctrl.extend([
                    (shifted, Key::Z, Command::Uniqueness(UniquenessCommand::Redo)),
                    (Modifiers::COMMAND, Key::Z, Command::Uniqueness(UniquenessCommand::Undo)),
                ]);
            }
            vec![
                (Key::Backspace, Command::Uniqueness(UniquenessCommand::ZoomBack)),
                (Key::Escape, Command::Uniqueness(UniquenessCommand::ZoomReset)),
                (Key::ArrowLeft, Command::Uniqueness(UniquenessCommand::WalkBack)),
            ]
        }
        Page::Sparsity => {
            with_ctrl.extend([
                (Modifiers::COMMAND, Key::O, Command::Pick(Pick::Matrices)),
                (Modifiers::COMMAND, Key::Enter, Command::Sparsity(SparsityCommand::StartOrAsk)),
                (Modifiers::COMMAND, Key::S, Command::Sparsity(SparsityCommand::AskSavePicture)),
            ]);
            vec![
                (Key::Escape, Command::Sparsity(SparsityCommand::ZoomReset)),
                (Key::ArrowUp, Command::Sparsity(SparsityCommand::StepMatrix(-1))),
                (Key::ArrowDown, Command::Sparsity(SparsityCommand::StepMatrix(1))),
                (Key::ArrowLeft, Command::Sparsity(SparsityCommand::StepGroup(-1))),
                (Key::ArrowRight, Command::Sparsity(SparsityCommand::StepGroup(1))),
            ]
        }
        Page::Lab => {
            with_ctrl.extend([
                (Modifiers::COMMAND, Key::O, Command::Pick(Pick::Results)),
                (Modifiers::COMMAND, Key::Enter, Command::Lab(LabCommand::Start)),
                (Modifiers::COMMAND, Key::S, Command::Lab(LabCommand::AskSave(Part::Table))),
            ]);
            vec![(Key::Escape, Command::Lab(LabCommand::EndGroup))]
        }
    };
    ctx.input_mut(|input| {
        let mut commands = Vec::new();
        for (modifiers, key, command) in with_ctrl {
            if input.consume_key(modifiers, key) {
                commands.push(command);
            }
        }
        if !typing {
            for (key, command) in plain {
                if input.consume_key(Modifiers::NONE, key) {
                    commands.push(command);
                }
            }
        }
        commands
    })
}
