//! Progress on the terminal: a bar where it is one, lines otherwise. On standard error, so that
//! results can be piped.

use std::io::{IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::compute::figures;
use crate::job::{Monitor, Progress};

/// Shows the progress of a monitor until it is dropped.
pub struct ProgressLine {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ProgressLine {
    /// Starts showing; nothing is shown when `quiet`.
    pub fn start(monitor: &Monitor, quiet: bool) -> Self {
        if quiet {
            return Self { stop: None, thread: None };
        }
        let (stop, stopped) = channel::<()>();
        let monitor = monitor.clone();
        let thread = std::thread::spawn(move || {
            let mut display = Display::new(std::io::stderr().is_terminal());
            while stopped.recv_timeout(display.interval()) == Err(RecvTimeoutError::Timeout) {
                display.show(&monitor.progress());
            }
            display.clear();
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A display that panicked has nothing more to clean up.
            thread.join().ok();
        }
    }
}

struct Display {
    bar: bool,
    last_stage: String,
    last_line: Instant,
    shown: bool,
}

impl Display {
    fn new(bar: bool) -> Self {
        Self { bar, last_stage: String::new(), last_line: Instant::now(), shown: false }
    }

    fn interval(&self) -> Duration {
        Duration::from_millis(if self.bar { 100 } else { 500 })
    }

    fn show(&mut self, progress: &Progress) {
        if progress.stage.is_empty() {
            return;
        }
        let mut err = std::io::stderr().lock();
        if self.bar {
            // Erases to the end of the line, so that a shorter text leaves nothing of a longer one.
            write!(err, "\r{}\x1b[K", fit(&bar_text(progress), terminal_width())).and_then(|()| err.flush()).ok();
            self.shown = true;
        } else if progress.stage != self.last_stage || self.last_line.elapsed() >= Duration::from_secs(5) {
            writeln!(err, "{}", line_text(progress)).ok();
            self.last_stage.clone_from(&progress.stage);
            self.last_line = Instant::now();
        }
    }

    fn clear(&self) {
        if self.bar && self.shown {
            let mut err = std::io::stderr().lock();
            write!(err, "\r\x1b[K").and_then(|()| err.flush()).ok();
        }
    }
}

fn bar_text(progress: &Progress) -> String {
    const WIDTH: usize = 24;
    let filled = (progress.share() * WIDTH as f64).round() as usize;
    format!("{} {}{} {}", progress.stage, "█".repeat(filled), "░".repeat(WIDTH - filled), figures::progress(progress))
}

fn line_text(progress: &Progress) -> String {
    format!("{}: {}", progress.stage, figures::progress(progress))
}

fn terminal_width() -> usize {
    rustix::termios::tcgetwinsize(std::io::stderr()).map_or(80, |size| usize::from(size.ws_col).max(20))
}

fn fit(text: &str, width: usize) -> String {
    if text.chars().count() < width { text.to_owned() } else { text.chars().take(width - 2).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_all_that_matters() {
        let progress = Progress {
            stage: "scoring".into(),
            unit: "pairs",
            detail: "run 2 of 3".into(),
            done: 61_000,
            total: 100_000,
            elapsed_secs: 2.0,
        };
        assert_eq!(line_text(&progress), "scoring: 61 % · run 2 of 3 · 30.5 k pairs/s · 1.3 s left");
        assert!(bar_text(&progress).starts_with("scoring ███████████████░░░░░░░░░ 61 %"));
        assert_eq!(fit("abcdefghij", 6), "abcd…");
    }
}
