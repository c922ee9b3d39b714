//! The parent's side of a child process: starts it, listens, kills it when cancelled.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Traits;
use super::candidate::{Candidate, Engine};
use super::redis::{forget, left_behind};
use super::worker::{ARGUMENT, Ask, Built, Event, Job, MARK, cause_of_death};
use crate::compute::error::{Error, Result};
use crate::job::Monitor;

/// How often it is asked whether the user cancelled.
const PATIENCE: Duration = Duration::from_millis(30);
/// How long the output of a child that is dead may take to end.
const FAREWELL: Duration = Duration::from_secs(2);
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

impl Guarded {
    fn end(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs a job in a child process; `on_event` hears what it tells, except progress, which goes to `monitor`. What the child
/// loaded into a server is removed in the end, however that came.
///
/// # Errors
/// What the child could not do; its death, with the likely cause; cancelled, then it was killed; a server that keeps what
/// was loaded.
pub fn run(program: &Path, job: &Job, monitor: &Monitor, on_event: &mut dyn FnMut(Event) -> Result<()>) -> Result<()> {
    let mut running = Running::start(program, job, monitor)?;
    let outcome = running.hear(monitor, on_event);
    let Some(left) = running.clean_up() else { return outcome };
    Err(match outcome {
        Ok(()) => Error::Index { what: format!("{}: {left}", job.candidate) },
        Err(Error::IndexUse { what }) => Error::IndexUse { what: format!("{what}. Also {left}") },
        Err(error) => Error::Index { what: format!("{error}. Also {left}") },
    })
}

/// A child with an index that answers what it is asked; it is killed when this is dropped.
pub struct Conversation {
    running: Running,
    pub built: Built,
    pub traits: Traits,
}

impl Conversation {
    /// Starts a child, and waits until its index is built.
    ///
    /// # Errors
    /// As [`run`].
    pub fn begin(program: &Path, job: Job, monitor: &Monitor) -> Result<Self> {
        let mut running = Running::start(program, &Job { converses: true, ..job }, monitor)?;
        let mut built = Built::default();
        loop {
            match running.next(monitor)? {
                Some(Event::Built(figures)) => built = figures,
                Some(Event::Ready(traits)) => return Ok(Self { running, built, traits }),
                Some(_) => {}
                None => return Err(running.ended_early(monitor)),
            }
        }
    }

    /// Asks, and waits for the answer, which is in the file that was named; why not, if the index cannot tell.
    ///
    /// # Errors
    /// As [`run`].
    pub fn ask(&mut self, ask: &Ask, monitor: &Monitor) -> Result<std::result::Result<(), String>> {
        let line = serde_json::to_string(ask).map_err(|error| Error::Index { what: error.to_string() })?;
        self.running.tell(&line);
        loop {
            match self.running.next(monitor)? {
                Some(Event::Answered) => return Ok(Ok(())),
                Some(Event::Refused(why)) => return Ok(Err(why)),
                Some(_) => {}
                None => return Err(self.running.ended_early(monitor)),
            }
        }
    }
}

/// A child and what is heard of it.
struct Running {
    program: PathBuf,
    job: Job,
    child: Guarded,
    stdin: ChildStdin,
    events: Receiver<Event>,
    /// What it said last on its error output.
    words: Option<JoinHandle<String>>,
    stage: String,
    told: u64,
    failure: Option<Error>,
    /// Whether it may have loaded something into a server.
    is_opened: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Who cares what may be left asks before.
        self.clean_up();
    }
}

impl Running {
    fn start(program: &Path, job: &Job, monitor: &Monitor) -> Result<Self> {
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
        let (Some(stdin), Some(stdout), Some(mut stderr)) =
            (child.0.stdin.take(), child.0.stdout.take(), child.0.stderr.take())
        else {
            return Err(Error::Index { what: "the index process has no pipes".to_owned() });
        };
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
        let (program, words) = (program.to_owned(), Some(words));
        let (stage, told, failure) = (String::new(), 0, None);
        let (job, is_opened) = (job.clone(), false);
        let mut started = Self { program, job, child, stdin, events, words, stage, told, failure, is_opened };
        let line = serde_json::to_string(&started.job).map_err(|error| Error::Index { what: error.to_string() })?;
        started.tell(&line);
        Ok(started)
    }

    /// Writes a line to it. A child that died meanwhile tells more by its end.
    fn tell(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").ok();
    }

    /// What it tells next; `None` once it has closed its output.
    fn next(&mut self, monitor: &Monitor) -> Result<Option<Event>> {
        loop {
            monitor.check()?;
            match self.events.recv_timeout(PATIENCE) {
                Ok(Event::Progress { label, detail, unit, done, total }) => {
                    let this = format!("{label} {detail} {total}");
                    if self.stage != this || done < self.told {
                        monitor.begin(&label, unit_of(&unit), total);
                        monitor.set_detail(format!("{} {detail}", self.job.candidate).trim_end());
                        (self.stage, self.told) = (this, 0);
                    }
                    monitor.advance(done - self.told)?;
                    self.told = done;
                }
                Ok(Event::Failed { message, is_wrong_use }) => {
                    let candidate = &self.job.candidate;
                    // Errors of index files name them already.
                    let is_named = message.starts_with(candidate);
                    let what = if is_named { message } else { format!("{candidate}: {message}") };
                    self.failure = Some(if is_wrong_use { Error::IndexUse { what } } else { Error::Index { what } });
                }
                Ok(Event::Opened) => self.is_opened = true,
                Ok(event) => return Ok(Some(event)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
    }

    /// Hears what it tells until its end.
    fn hear(&mut self, monitor: &Monitor, on_event: &mut dyn FnMut(Event) -> Result<()>) -> Result<()> {
        while let Some(event) = self.next(monitor)? {
            let is_waiting = matches!(event, Event::Searched(..));
            on_event(event)?;
            if is_waiting {
                self.tell("go on");
            }
        }
        self.end(monitor)
    }

    /// Ends it, and removes what it loaded into a server; what may be left there, in words.
    fn clean_up(&mut self) -> Option<String> {
        self.child.end();
        // What it said last may not have been heard yet, when it is cancelled.
        while let Ok(event) = self.events.recv_timeout(FAREWELL) {
            self.is_opened |= event == Event::Opened;
        }
        let access = self.job.server.as_ref().filter(|_| std::mem::take(&mut self.is_opened))?;
        let Ok(Candidate { engine: Engine::Redis { server, .. }, .. }) =
            Candidate::parse(&self.job.candidate, self.job.dim)
        else {
            return None;
        };
        forget(&server, access).err().map(|why| left_behind(access, &why))
    }

    /// Waits for its end, once its output is closed.
    fn end(&mut self, monitor: &Monitor) -> Result<()> {
        // It may still hang: cancelling must work until it is gone.
        let status = loop {
            monitor.check()?;
            match self.child.0.try_wait().map_err(Error::read(&self.program))? {
                Some(status) => break status,
                None => std::thread::sleep(PATIENCE),
            }
        };
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        if status.success() {
            return Ok(());
        }
        let words = self.words.take().and_then(|words| words.join().ok()).unwrap_or_default();
        let cause = cause_of_death(status.signal(), &words, &self.job);
        Err(Error::Index { what: format!("{}: the index process died: {cause}", self.job.candidate) })
    }

    /// Why it ended although more was to be asked.
    fn ended_early(&mut self, monitor: &Monitor) -> Error {
        self.end(monitor).err().unwrap_or_else(|| Error::Index {
            what: format!("{}: the index process ended before it was asked everything", self.job.candidate),
        })
    }
}

/// Units of monitors live as long as the program.
fn unit_of(unit: &str) -> &'static str {
    ["docs", "queries", "query × doc pairs", "pairs", "tiles"]
        .into_iter()
        .find(|known| *known == unit)
        .unwrap_or("steps")
}
