//! The command line: flags → plans → progress on the terminal → exit codes.

/// Prints a line of results; a reader that went away (a closed pipe) is no failure.
macro_rules! tell {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        writeln!(std::io::stdout(), $($text)*).ok();
    }};
}

/// Prints a line for the user beside the results; a closed terminal is no failure.
macro_rules! complain {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        writeln!(std::io::stderr(), $($text)*).ok();
    }};
}

mod args;
mod demo;
mod explain;
mod index;
mod progress;
mod score;
mod sparsity;
mod studies;
mod uniqueness;
mod verify;
mod video;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

pub use args::Command;
use args::{Arguments, accept_old_flags};

use crate::compute::Error;
use crate::compute::kernels::Level;
use crate::job::Monitor;

/// What the program was called for.
#[derive(Debug)]
pub enum Invocation {
    /// The window, opened on these files and folders.
    Window(Vec<PathBuf>),
    Command(Box<Command>),
}

/// How a call failed; decides the exit code.
#[derive(Debug)]
pub enum Failure {
    /// Help, version or wrong flags, worded by the parser.
    Usage(clap::Error),
    Error(Error),
    /// The window could not be opened, or another failure with a ready sentence.
    Message(String),
    /// The user stopped it; what became of the work, in words.
    Interrupted(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::Message(message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(error) => error.fmt(f),
            Self::Error(error) => error.fmt(f),
            Self::Message(message) | Self::Interrupted(message) => message.fmt(f),
        }
    }
}

/// Reads the flags.
///
/// # Errors
/// Wrong flags; help and version, too, which the parser prints like errors.
pub fn parse(args: impl Iterator<Item = OsString>) -> Result<Invocation, Failure> {
    let arguments = Arguments::try_parse_from(accept_old_flags(args)).map_err(Failure::Usage)?;
    if let Err(found) = Level::wanted() {
        let expected = "scalar, avx2 or avx512".to_owned();
        return Err(Failure::Error(Error::Parameter { name: "KNNSCOPE_CPU", expected, found }));
    }
    match arguments.command {
        Some(command) => Ok(Invocation::Command(Box::new(command))),
        None => {
            if let Some(missing) = arguments.paths.iter().find(|path| !path.exists()) {
                return Err(Failure::Error(Error::Parameter {
                    name: "argument",
                    expected:
                        "a command (score, video, verify, uniqueness, sparsity, index, demo) or an existing file or folder; see knnscope --help"
                            .to_owned(),
                    found: missing.display().to_string(),
                }));
            }
            Ok(Invocation::Window(arguments.paths))
        }
    }
}

/// Runs a command to its end.
pub fn run(command: Box<Command>) -> Result<(), Failure> {
    let monitor = Monitor::new();
    cancel_on_interrupt(&monitor);
    match *command {
        Command::Score(args) => score::run(&args, &monitor),
        Command::Video(args) => video::run(&args, &monitor),
        Command::Verify(args) => verify::run(&args, &monitor),
        Command::Uniqueness(args) => uniqueness::run(&args, &monitor),
        Command::Sparsity(args) => sparsity::run(&args, &monitor),
        Command::Index(args) => index::run(&args.command, &monitor),
        Command::Demo(args) => demo::run(&args, &monitor),
        Command::IndexWorker => index::work(),
    }
}

/// Tells the user how a call failed, and turns it into 0 done, 1 failed, 2 wrong use,
/// 130 interrupted.
pub fn exit_code<E: Into<Failure>>(outcome: Result<(), E>) -> ExitCode {
    let Err(failure) = outcome.map_err(Into::into) else { return ExitCode::SUCCESS };
    match failure {
        Failure::Usage(error) => {
            // Nothing can be done about a closed terminal.
            error.print().ok();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
        }
        Failure::Error(Error::Cancelled) => {
            complain!("Interrupted. What was finished is valid and is not done again by the same command.");
            ExitCode::from(130)
        }
        Failure::Error(error) => {
            complain!("error: {error}");
            ExitCode::from(if error.is_wrong_use() { 2 } else { 1 })
        }
        Failure::Interrupted(message) => {
            complain!("{message}");
            ExitCode::from(130)
        }
        Failure::Message(message) => {
            complain!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

/// The first Ctrl-C (or TERM, HUP) cancels; the second ends the program at once.
fn cancel_on_interrupt(monitor: &Monitor) {
    let monitor = monitor.clone();
    let handler = move || {
        if monitor.is_cancelled() {
            std::process::exit(130);
        }
        monitor.cancel();
    };
    // Only fails if a handler is there already, and there is none.
    ctrlc::set_handler(handler).ok();
}

/// Sets the size of the thread pool; before its first use.
fn use_threads(threads: Option<usize>) -> Result<(), Error> {
    let Some(threads) = threads else { return Ok(()) };
    let refused = |found: String| Error::Parameter {
        name: "threads",
        expected: "a whole number from 1 to 1,024".to_owned(),
        found,
    };
    if !(1..=1024).contains(&threads) {
        return Err(refused(threads.to_string()));
    }
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().map_err(|error| refused(error.to_string()))
}
