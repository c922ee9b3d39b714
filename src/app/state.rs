//! What the window knows: settings that are saved, and the session that is not.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::review::Review;
use crate::compute::atomic_file::write_atomically;
use crate::compute::error::Error;
use crate::compute::histogram::HistogramSet;
use crate::compute::metric::Metric;
use crate::compute::scores::{RunStats, ScoreStore};
use crate::compute::vectors::Text;
use crate::video::Look;

/// Kept from one start to the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Settings {
    pub dark: bool,
    pub frames_per_second: f64,
    pub looping: bool,
    pub bins: usize,
    pub recent_docs: Vec<PathBuf>,
    pub recent_queries: Vec<PathBuf>,
    pub recent_results: Vec<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dark: false,
            frames_per_second: 4.0,
            looping: true,
            bins: 100,
            recent_docs: Vec::new(),
            recent_queries: Vec::new(),
            recent_results: Vec::new(),
        }
    }
}

impl Settings {
    const RECENT: usize = 8;

    /// Where settings are kept; `None` if the system has no place for them.
    pub fn path() -> Option<PathBuf> {
        directories::ProjectDirs::from("", "", "knnscope").map(|dirs| dirs.config_dir().join("settings.json"))
    }

    /// The saved settings; the defaults where there are none or they cannot be read.
    pub fn load(path: Option<&Path>) -> Self {
        let bytes = path.and_then(|path| std::fs::read(path).ok());
        let mut settings: Self = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        settings.bins = settings.bins.clamp(1, MAX_BINS_IN_WINDOW);
        if !(MIN_SPEED..=MAX_SPEED).contains(&settings.frames_per_second) {
            settings.frames_per_second = Self::default().frames_per_second;
        }
        settings
    }

    pub fn save(&self, path: &Path) -> Result<(), Error> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(Error::write(path))?;
        }
        let json = serde_json::to_vec_pretty(self).expect("plain values");
        write_atomically(path, &json)
    }

    pub fn look(&self) -> Look {
        if self.dark { Look::Dark } else { Look::Light }
    }

    /// Puts `path` first in `list`.
    pub fn remember(list: &mut Vec<PathBuf>, path: &Path) {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        list.retain(|known| *known != path);
        list.insert(0, path);
        list.truncate(Self::RECENT);
    }
}

pub const MAX_BINS_IN_WINDOW: usize = 2000;
pub const MIN_SPEED: f64 = 0.5;
pub const MAX_SPEED: f64 = 60.0;

/// The fields at the left, as typed.
#[derive(Debug, Clone, PartialEq)]
pub struct Form {
    pub docs: String,
    pub queries: String,
    pub dim: String,
    pub num_docs: String,
    pub top_k: String,
    pub n_values: String,
    pub m_repeats: String,
    pub metric: Metric,
    pub output: String,
    pub keep_ids: bool,
    pub overwrite: bool,
}

impl Default for Form {
    fn default() -> Self {
        Self {
            docs: String::new(),
            queries: String::new(),
            dim: String::new(),
            num_docs: String::new(),
            top_k: "100".to_owned(),
            n_values: "10,50,100,500".to_owned(),
            m_repeats: "5".to_owned(),
            metric: Metric::Dot,
            output: String::new(),
            keep_ids: true,
            overwrite: false,
        }
    }
}

/// What was filled into fields for the user, who may have changed it since.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Filled {
    pub dim: String,
    pub output: String,
}

/// A session that was read: its runs' statistics and their histograms over the view.
#[derive(Debug, Clone)]
pub struct Digest {
    pub store: Arc<ScoreStore>,
    pub stats: Arc<Vec<RunStats>>,
    pub set: Arc<HistogramSet>,
}

impl Digest {
    pub fn run_count(&self) -> usize {
        self.set.histograms.len()
    }
}

/// Which scores are looked at, and how finely.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    pub bins: usize,
    /// Ranges zoomed into, the current one last; empty for all scores.
    pub zoom: Vec<(f64, f64)>,
}

/// The animation: which run is shown, and how it goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct Player {
    pub index: usize,
    pub playing: bool,
    /// When the current run came on, in seconds of the window's clock.
    shown_since: f64,
}

impl Player {
    pub fn new(playing: bool) -> Self {
        Self { index: 0, playing, shown_since: 0.0 }
    }

    /// Moves on if it is time, and says in how many seconds it will be time again.
    ///
    /// `now`: seconds of the window's clock. Late frames are skipped, so that the speed holds.
    pub fn advance(&mut self, now: f64, run_count: usize, frames_per_second: f64, looping: bool) -> Option<f64> {
        if !self.playing || run_count == 0 {
            self.shown_since = now;
            return None;
        }
        let interval = 1.0 / frames_per_second;
        // After a pause of the window itself (hidden, or a debugger) nothing is rushed through.
        if now - self.shown_since > 1.0 + 10.0 * interval {
            self.shown_since = now - interval;
        }
        let steps = ((now - self.shown_since) / interval).floor().max(0.0) as usize;
        if steps > 0 {
            self.shown_since += steps as f64 * interval;
            let next = self.index + steps;
            if next < run_count {
                self.index = next;
            } else if looping {
                self.index = next % run_count;
            } else {
                self.index = run_count - 1;
                self.playing = false;
                return None;
            }
        }
        Some((self.shown_since + interval - now).max(0.0))
    }

    /// Starts or stops; at the end, starts over.
    pub fn toggle(&mut self, now: f64, run_count: usize) {
        self.playing = !self.playing;
        self.shown_since = now;
        if self.playing && self.index + 1 >= run_count {
            self.index = 0;
        }
    }

    /// Shows run `index` and holds there.
    pub fn go_to(&mut self, index: usize, run_count: usize) {
        self.index = index.min(run_count.saturating_sub(1));
        self.playing = false;
    }
}

/// Scores in view of one run, with what made them.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    pub total: u64,
    pub rows: Vec<SelectionRow>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct SelectionRow {
    pub score: f32,
    pub rank: u64,
    pub query_row: u64,
    pub doc_row: Option<u32>,
    pub query: Option<Text>,
    pub doc: Option<Text>,
}

/// What the selection list belongs to.
#[derive(Debug, Clone, PartialEq)]
pub struct SelectionKey {
    pub folder: PathBuf,
    pub run: usize,
    pub range: (f64, f64),
}

/// The views.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    Distribution,
    Uniqueness,
    Sparsity,
    Lab,
}

/// Everything that is on screen and not saved.
pub struct Session {
    pub page: Page,
    pub form: Form,
    pub filled: Filled,
    pub review: Option<Review>,
    pub digest: Option<Digest>,
    pub is_demo: bool,
    /// The newest run of the session being scored is shown as it comes.
    pub following: bool,
    /// The session being scored is the one on screen, unless the user opened another.
    pub shows_scoring: bool,
    pub view: View,
    pub player: Player,
    pub selection: Option<(SelectionKey, Selection)>,
    /// A file that was just exported, offered for opening.
    pub exported: Option<PathBuf>,
    /// The range being dragged over the chart.
    pub drag: Option<(f64, f64)>,
    pub export_dialog: Option<ExportForm>,
    pub palette: Option<String>,
    pub notices_open: bool,
}

/// The dialog that asks where an export goes.
#[derive(Debug, Clone, PartialEq)]
pub struct ExportForm {
    pub what: ExportKind,
    pub path: String,
    pub size: String,
    pub fps: String,
    pub with_frames: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportKind {
    Video,
    Frame,
}

impl Session {
    pub fn new(settings: &Settings) -> Self {
        Self {
            page: Page::Distribution,
            form: Form::default(),
            filled: Filled::default(),
            review: None,
            digest: None,
            is_demo: false,
            following: false,
            shows_scoring: false,
            view: View { bins: settings.bins, zoom: Vec::new() },
            player: Player::new(false),
            selection: None,
            exported: None,
            drag: None,
            export_dialog: None,
            palette: None,
            notices_open: false,
        }
    }

    pub fn run_count(&self) -> usize {
        self.digest.as_ref().map_or(0, Digest::run_count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_animation_keeps_its_speed_and_loops() {
        let mut player = Player::new(false);
        player.toggle(0.0, 3);
        assert_eq!(player.advance(0.1, 3, 2.0, true), Some(0.4));
        assert_eq!((player.advance(0.5, 3, 2.0, true), player.index), (Some(0.5), 1));
        player.advance(1.6, 3, 2.0, true);
        assert_eq!(player.index, 0, "two late steps at once, around the end");
        player.advance(100.0, 3, 2.0, true);
        assert_eq!(player.index, 1, "a long pause is one step");
    }

    #[test]
    fn without_looping_it_stops_at_the_end_and_starts_over() {
        let mut player = Player::new(false);
        player.toggle(0.0, 2);
        assert!(player.advance(5.0, 2, 10.0, false).is_some());
        assert_eq!(player.advance(5.5, 2, 10.0, false), None);
        assert_eq!((player.index, player.playing), (1, false));
        player.toggle(6.0, 2);
        assert_eq!((player.index, player.playing), (0, true));
    }

    #[test]
    fn settings_survive_damage() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("deep/settings.json");
        let settings = Settings { dark: true, bins: 42, ..Settings::default() };
        settings.save(&path).expect("saved");
        assert_eq!(Settings::load(Some(&path)), settings);
        std::fs::write(&path, r#"{"bins": 0, "framesPerSecond": -1, "unknown": 3}"#).expect("written");
        let loaded = Settings::load(Some(&path));
        assert_eq!((loaded.bins, loaded.frames_per_second), (1, 4.0));
        std::fs::write(&path, "not json").expect("written");
        assert_eq!(Settings::load(Some(&path)), Settings::default());
        assert_eq!(Settings::load(None), Settings::default());
    }

    #[test]
    fn recent_files_are_few_and_newest_first() {
        let mut list = Vec::new();
        for index in 0..12 {
            Settings::remember(&mut list, Path::new(&format!("/data/{index}.vec")));
        }
        Settings::remember(&mut list, Path::new("/data/7.vec"));
        assert_eq!(list.len(), 8);
        assert_eq!(list[..2], [PathBuf::from("/data/7.vec"), PathBuf::from("/data/11.vec")]);
    }
}
