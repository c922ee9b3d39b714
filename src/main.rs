//! No subcommand: the window; otherwise the command line.

use std::process::ExitCode;

use knnscope::cli::{self, Invocation};

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Ok(Invocation::Window(paths)) => cli::exit_code(knnscope::app::run(paths)),
        Ok(Invocation::Command(command)) => cli::exit_code(cli::run(command)),
        Err(error) => cli::exit_code(Err(error)),
    }
}
