//! The parent's side of a child process: starts it, listens, kills it when cancelled.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use super::candidate::{Candidate, Engine};
use super::redis::{LOADING, forget, left_behind};
use super::worker::{ARGUMENT, Event, Job, MARK, cause_of_death};
use crate::compute::error::{Error, Result};
use crate::job::Monitor;

/// How often it is asked whether the user cancelled.
const PATIENCE: Duration = Duration::from_millis(30);
/// What is kept of a child's error output.
const LAST_WORDS: usize = 4096;

/// This program's own file, which is also the child's.
///
/// # Errors
/// A system that does not tell.
pub fn own_program() -> Result<PathBuf> {
    std::env::current_exe().map_err(Error::read(Path::new("knnscope")))
}

/// A child that is killed when it is forgotten.
struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Runs a job in a child process; `on_event` hears what it tells, except progress, which goes to `monitor`. What the child
/// loaded into a server is removed in the end, however that came.
///
/// # Errors
/// What the child could not do; its death, with the likely cause; cancelled, then it was killed; a server that keeps what
/// was loaded.
pub fn run(program: &Path, job: &Job, monitor: &Monitor, on_event: &mut dyn FnMut(Event) -> Result<()>) -> Result<()> {
    let mut is_loaded = false;
    let outcome = run_child(program, job, monitor, on_event, &mut is_loaded);
    let Some(access) = &job.server else { return outcome };
    let Engine::Redis { server, .. } = Candidate::parse(&job.candidate, job.dim)?.engine else { return outcome };
    let Err(why) = forget(&server, access) else { return outcome };
    if !is_loaded {
        // There is nothing that could have been left.
        return outcome;
    }
    let left = left_behind(access, &why);
    Err(match outcome {
        Ok(()) => Error::Index { what: format!("{}: {left}", job.candidate) },
        Err(Error::IndexUse { what }) => Error::IndexUse { what: format!("{what}. Also {left}") },
        Err(error) => Error::Index { what: format!("{error}. Also {left}") },
    })
}

fn run_child(
    program: &Path,
    job: &Job,
    monitor: &Monitor,
    on_event: &mut dyn FnMut(Event) -> Result<()>,
    is_loaded: &mut bool,
) -> Result<()> {
    monitor.check()?;
    let threads = job.threads.to_string();
    let child = Command::new(program)
        .arg(ARGUMENT)
        .env("RAYON_NUM_THREADS", &threads)
        .env("OMP_NUM_THREADS", &threads)
        // FAISS calls it from its own threads; threads within threads bring training to a standstill.
        .env("OPENBLAS_NUM_THREADS", "1")
        .env("OMP_WAIT_POLICY", "passive")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Error::read(program))?;
    let mut child = Guarded(child);
    let (Some(mut stdin), Some(stdout), Some(mut stderr)) =
        (child.0.stdin.take(), child.0.stdout.take(), child.0.stderr.take())
    else {
        return Err(Error::Index { what: "the index process has no pipes".to_owned() });
    };
    let line = serde_json::to_string(job).map_err(|error| Error::Index { what: error.to_string() })?;
    // A child that died at once tells more by its end.
    writeln!(stdin, "{line}").ok();
    let words = std::thread::spawn(move || {
        let mut kept = Vec::new();
        let mut part = [0; 1024];
        while let Ok(count @ 1..) = stderr.read(&mut part) {
            kept.extend_from_slice(&part[..count]);
            let surplus = kept.len().saturating_sub(LAST_WORDS);
            kept.drain(..surplus);
        }
        String::from_utf8_lossy(&kept).into_owned()
    });
    let (sender, events) = channel();
    std::thread::spawn(move || {
        let mut lines = BufReader::new(stdout);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
            // Libraries print what they like, in any encoding, and may leave a line unfinished.
            let text = String::from_utf8_lossy(&line).into_owned();
            line.clear();
            let event = text.split_once(MARK).and_then(|(_, event)| serde_json::from_str(event).ok());
            if event.is_some_and(|event: Event| sender.send(event).is_err()) {
                return;
            }
        }
    });
    let mut stage = String::new();
    let mut told = 0;
    let mut failure = None;
    loop {
        monitor.check()?;
        match events.recv_timeout(PATIENCE) {
            Ok(Event::Progress { label, detail, unit, done, total }) => {
                *is_loaded |= label == LOADING;
                let this = format!("{label} {detail} {total}");
                if stage != this || done < told {
                    monitor.begin(&label, unit_of(&unit), total);
                    monitor.set_detail(format!("{} {detail}", job.candidate).trim_end());
                    (stage, told) = (this, 0);
                }
                monitor.advance(done - told)?;
                told = done;
            }
            Ok(Event::Failed { message, is_wrong_use }) => {
                // Errors of index files name them already.
                let is_named = message.starts_with(&job.candidate);
                let what = if is_named { message } else { format!("{}: {message}", job.candidate) };
                failure = Some(if is_wrong_use { Error::IndexUse { what } } else { Error::Index { what } });
            }
            Ok(event) => {
                let is_waiting = matches!(event, Event::Searched(..));
                on_event(event)?;
                if is_waiting {
                    // A child that died meanwhile is noticed by its end.
                    writeln!(stdin, "go on").ok();
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    // Its output is closed, but it may still hang: cancelling must work until it is gone.
    let status = loop {
        monitor.check()?;
        match child.0.try_wait().map_err(Error::read(program))? {
            Some(status) => break status,
            None => std::thread::sleep(PATIENCE),
        }
    };
    if let Some(error) = failure {
        return Err(error);
    }
    if status.success() {
        return Ok(());
    }
    let cause = cause_of_death(status.signal(), &words.join().unwrap_or_default(), job);
    Err(Error::Index { what: format!("{}: the index process died: {cause}", job.candidate) })
}

/// Units of monitors live as long as the program.
fn unit_of(unit: &str) -> &'static str {
    ["docs", "queries", "query × doc pairs", "tiles"].into_iter().find(|known| *known == unit).unwrap_or("steps")
}
