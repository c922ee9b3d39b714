//! Everything a user can do, in one place: buttons, shortcuts and the palette send the same commands.

use std::path::PathBuf;

use super::state::ExportKind;

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
}

/// What a file dialog is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    Docs,
    Queries,
    OutputFolder,
    Results,
    ExportPlace,
}

/// Long work that can be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    Scoring,
    Reading,
    Exporting,
}

/// The commands of the palette: name, shortcut, command.
pub fn palette() -> Vec<(&'static str, &'static str, Command)> {
    vec![
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
        ("Switch between light and dark", "", Command::ToggleTheme),
        ("Show notices", "", Command::ShowNotices),
    ]
}

/// The commands that the keys pressed in this frame stand for. Plain keys only count while no text
/// is being typed.
pub fn from_keys(ctx: &egui::Context) -> Vec<Command> {
    use egui::{Key, Modifiers};
    let typing = ctx.egui_wants_keyboard_input();
    let with_ctrl = [
        (Modifiers::COMMAND, Key::K, Command::ShowPalette),
        (Modifiers::COMMAND, Key::O, Command::Pick(Pick::Results)),
        (Modifiers::COMMAND, Key::Enter, Command::StartScoring),
        (Modifiers::COMMAND | Modifiers::SHIFT, Key::E, Command::AskExport(ExportKind::Video)),
        (Modifiers::COMMAND, Key::E, Command::ExportVideo),
        (Modifiers::COMMAND, Key::S, Command::AskExport(ExportKind::Frame)),
        (Modifiers::COMMAND | Modifiers::SHIFT, Key::C, Command::CopyFrame),
    ];
    let plain = [
        (Key::Space, Command::TogglePlay),
        (Key::ArrowRight, Command::Step(1)),
        (Key::ArrowLeft, Command::Step(-1)),
        (Key::Home, Command::FirstRun),
        (Key::End, Command::LastRun),
        (Key::L, Command::ToggleLoop),
        (Key::Backspace, Command::ZoomBack),
        (Key::Escape, Command::ZoomReset),
    ];
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
