//! Background work: spawn it, watch its progress, cancel it, and learn how it ended.
//!
//! A [`Monitor`] is the worker's end: it tells what is being done and how far it is, and hears
//! whether to stop. A [`Job`] is the owner's end: dropping it cancels the work. A panic in the work
//! is an [`Outcome`], not the end of the program.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Instant;

/// The owner asked the work to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cancelled;

/// The shared state of one piece of work. Cheap to clone; all clones are the same work.
#[derive(Clone)]
pub struct Monitor {
    shared: Arc<Shared>,
    /// When the work stops by itself.
    deadline: Option<Instant>,
}

struct Shared {
    cancelled: Arc<AtomicBool>,
    done: AtomicU64,
    stage: Mutex<Stage>,
}

struct Stage {
    label: String,
    unit: &'static str,
    detail: String,
    total: u64,
    started: Instant,
}

/// What a piece of work says about itself at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// What is being done, e.g. "scoring".
    pub stage: String,
    /// Where in it the work is, e.g. "N = 1,000 repeat 4"; may be empty.
    pub detail: String,
    /// What is counted, e.g. "frames".
    pub unit: &'static str,
    /// Units done and units in all in this stage; `total` 0 means not known yet.
    pub done: u64,
    pub total: u64,
    /// Since this stage began.
    pub elapsed_secs: f64,
}

impl Progress {
    /// Share done, 0 to 1; 0 while the total is unknown.
    pub fn share(&self) -> f64 {
        if self.total == 0 { 0.0 } else { (self.done as f64 / self.total as f64).min(1.0) }
    }

    /// Units per second since the stage began; `None` in its first tenth of a second.
    pub fn rate(&self) -> Option<f64> {
        (self.elapsed_secs >= 0.1 && self.done > 0).then(|| self.done as f64 / self.elapsed_secs)
    }

    /// Seconds left in this stage at the rate so far.
    pub fn remaining_secs(&self) -> Option<f64> {
        let rate = self.rate()?;
        (self.total > 0).then(|| self.total.saturating_sub(self.done) as f64 / rate)
    }
}

impl Default for Monitor {
    fn default() -> Self {
        Self::new()
    }
}

impl Monitor {
    pub fn new() -> Self {
        Self::hearing(Arc::new(AtomicBool::new(false)))
    }

    /// For a part of the work that is not counted by itself: it hears the same word to stop.
    pub fn quiet(&self) -> Self {
        Self::hearing(self.shared.cancelled.clone())
    }

    fn hearing(cancelled: Arc<AtomicBool>) -> Self {
        let stage = Stage { label: String::new(), unit: "", detail: String::new(), total: 0, started: Instant::now() };
        let shared = Arc::new(Shared { cancelled, done: AtomicU64::new(0), stage: Mutex::new(stage) });
        Self { shared, deadline: None }
    }

    /// The same work, for a part of it that is told to stop at `deadline`, too.
    pub fn until(&self, deadline: Instant) -> Self {
        Self { shared: self.shared.clone(), deadline: Some(deadline) }
    }

    /// Begins a stage of `total` units, which are `unit`s; the count and the clock start anew.
    pub fn begin(&self, label: &str, unit: &'static str, total: u64) {
        let mut stage = self.stage();
        self.shared.done.store(0, Ordering::Relaxed);
        *stage = Stage { label: label.to_owned(), unit, detail: String::new(), total, started: Instant::now() };
    }

    /// Says where in the stage the work is.
    pub fn set_detail(&self, detail: impl Into<String>) {
        self.stage().detail = detail.into();
    }

    /// Adds `units` to what is done, and tells the worker to stop if it was cancelled.
    pub fn advance(&self, units: u64) -> Result<(), Cancelled> {
        self.shared.done.fetch_add(units, Ordering::Relaxed);
        self.check()
    }

    /// `Err` once the work was cancelled.
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.is_cancelled() { Err(Cancelled) } else { Ok(()) }
    }

    pub fn cancel(&self) {
        self.shared.cancelled.store(true, Ordering::Relaxed);
    }

    pub fn is_cancelled(&self) -> bool {
        self.shared.cancelled.load(Ordering::Relaxed)
            || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    pub fn progress(&self) -> Progress {
        let stage = self.stage();
        Progress {
            stage: stage.label.clone(),
            unit: stage.unit,
            detail: stage.detail.clone(),
            done: self.shared.done.load(Ordering::Relaxed),
            total: stage.total,
            elapsed_secs: stage.started.elapsed().as_secs_f64(),
        }
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        // The stage is plain data: a worker that panicked while holding the lock left it valid.
        self.shared.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a job ended.
#[derive(Debug)]
pub enum Outcome<T> {
    Done(T),
    /// The work panicked; its message.
    Panicked(String),
}

/// Stack of a worker: DuckDB follows nested expressions of users by recursion.
const STACK_BYTES: usize = 16 << 20;

/// Work on a thread of its own. Dropping the job cancels the work.
pub struct Job<T> {
    monitor: Monitor,
    results: mpsc::Receiver<Outcome<T>>,
}

impl<T: Send + 'static> Job<T> {
    /// Starts `work` on a thread named `name`; `wake` is called once the outcome can be polled.
    ///
    /// A machine that has no thread to give reports that as [`Outcome::Panicked`].
    pub fn spawn(
        name: &str,
        wake: impl FnOnce() + Send + 'static,
        work: impl FnOnce(&Monitor) -> T + Send + 'static,
    ) -> Self {
        let monitor = Monitor::new();
        let (sender, results) = mpsc::channel();
        let worker = {
            let (monitor, sender) = (monitor.clone(), sender.clone());
            move || {
                let outcome = match std::panic::catch_unwind(AssertUnwindSafe(|| work(&monitor))) {
                    Ok(value) => Outcome::Done(value),
                    Err(payload) => Outcome::Panicked(panic_message(payload.as_ref())),
                };
                // The owner may be gone; then nobody needs the result.
                sender.send(outcome).ok();
                wake();
            }
        };
        let builder = thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES);
        if let Err(error) = builder.spawn(worker) {
            sender.send(Outcome::Panicked(format!("no thread could be started: {error}"))).ok();
        }
        Self { monitor, results }
    }

    pub fn monitor(&self) -> &Monitor {
        &self.monitor
    }

    /// The outcome, once; `None` while the work goes on.
    pub fn poll(&self) -> Option<Outcome<T>> {
        self.results.try_recv().ok()
    }

    /// Waits for the outcome.
    pub fn wait(self) -> Outcome<T> {
        self.results.recv().unwrap_or_else(|_| Outcome::Panicked("the work ended without a result".to_owned()))
    }
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        self.monitor.cancel();
    }
}

fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "an unexpected failure without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_job_reports_its_result_and_wakes_its_owner_afterwards() {
        let (woken, wake) = mpsc::channel();
        let job = Job::spawn("test", move || woken.send(()).expect("owner waits"), |_| 42);
        wake.recv_timeout(Duration::from_secs(10)).expect("woken");
        assert!(matches!(job.poll(), Some(Outcome::Done(42))), "result is there when woken");
        assert!(job.poll().is_none(), "the outcome comes once");
    }

    #[test]
    fn a_panic_is_an_outcome() {
        let job = Job::spawn("test", || {}, |_| -> () { panic!("broken {}", 7) });
        assert!(matches!(job.wait(), Outcome::Panicked(text) if text == "broken 7"));
    }

    #[test]
    fn dropping_the_job_tells_the_worker_to_stop() {
        let (stopped, stop) = mpsc::channel();
        let job = Job::spawn(
            "test",
            || {},
            move |monitor| {
                while monitor.advance(1).is_ok() {
                    thread::sleep(Duration::from_millis(1));
                }
                stopped.send(()).expect("test waits");
            },
        );
        assert!(!job.monitor().is_cancelled());
        drop(job);
        stop.recv_timeout(Duration::from_secs(10)).expect("worker stopped");
    }

    #[test]
    fn a_deadline_stops_its_part_alone() {
        let monitor = Monitor::new();
        let part = monitor.until(Instant::now());
        assert!(part.is_cancelled() && part.advance(1).is_err());
        assert!(!monitor.is_cancelled());
        assert!(!monitor.until(Instant::now() + Duration::from_secs(600)).is_cancelled());
        monitor.cancel();
        assert!(monitor.until(Instant::now() + Duration::from_secs(600)).is_cancelled());
    }

    #[test]
    fn progress_adds_up() {
        let monitor = Monitor::new();
        monitor.begin("scoring", "queries", 200);
        monitor.advance(50).expect("not cancelled");
        let progress = monitor.progress();
        assert_eq!((progress.stage.as_str(), progress.done, progress.total), ("scoring", 50, 200));
        assert_eq!(progress.share(), 0.25);
        let later = Progress { elapsed_secs: 2.0, ..progress };
        assert_eq!(later.rate(), Some(25.0));
        assert_eq!(later.remaining_secs(), Some(6.0));
    }
}
