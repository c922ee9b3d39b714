//! Renders the runs of a session as frames and encodes them: bounded, in order, all or nothing.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::mpsc::sync_channel;

use rayon::prelude::*;

use super::encoder::{Encoder, FrameRate};
use super::palette::Look;
use super::raster::{Canvas, Frame, draw};
use super::scene::{FrameContent, Scene, histogram_scene};
use crate::compute::atomic_file::MadeFolders;
use crate::compute::error::{Error, Result};
use crate::compute::histogram::{Axes, Bins, HistogramSet};
use crate::compute::scores::{RunStats, ScoreStore};
use crate::job::Monitor;

/// The name under which a session's video is written.
pub const VIDEO_NAME: &str = "exact_nn_histogram.mp4";

/// Sides of a frame in pixels, both even.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameSize {
    width: u32,
    height: u32,
}

impl FrameSize {
    /// # Errors
    /// Odd sides (H.264 with yuv420p needs even ones), or outside 320 × 180 to 7680 × 4320.
    pub fn new(width: u32, height: u32) -> Result<Self> {
        let fits = (320..=7680).contains(&width) && (180..=4320).contains(&height);
        if fits && width.is_multiple_of(2) && height.is_multiple_of(2) {
            Ok(Self { width, height })
        } else {
            Err(Self::refused(&format!("{width}x{height}")))
        }
    }

    pub fn width(self) -> u32 {
        self.width
    }

    pub fn height(self) -> u32 {
        self.height
    }

    fn refused(found: &str) -> Error {
        Error::Parameter {
            name: "size",
            expected: "WIDTHxHEIGHT with even sides from 320x180 to 7680x4320, like 1800x900".to_owned(),
            found: found.to_owned(),
        }
    }
}

impl Default for FrameSize {
    fn default() -> Self {
        Self { width: 1800, height: 900 }
    }
}

impl FromStr for FrameSize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refused = || Self::refused(text);
        let (width, height) = text.split_once(['x', 'X', '×']).ok_or_else(refused)?;
        let side = |side: &str| side.trim().parse().map_err(|_| refused());
        Self::new(side(width)?, side(height)?).map_err(|_| refused())
    }
}

/// What to write and how it looks.
#[derive(Debug, Clone)]
pub struct ExportOptions {
    /// A folder for `frame_0000.png` …, or none.
    pub frames: Option<PathBuf>,
    /// The mp4, or none.
    pub video: Option<PathBuf>,
    pub rate: FrameRate,
    pub size: FrameSize,
    pub look: Look,
    pub bin_count: usize,
    /// The range of scores shown; `None` for all.
    pub range: Option<(f64, f64)>,
}

/// What was written.
#[derive(Debug, Clone, PartialEq)]
pub struct ExportOutcome {
    pub frame_count: usize,
    pub frames: Option<PathBuf>,
    pub video: Option<PathBuf>,
}

/// Exports all runs of `store`. Stops within a frame when cancelled; then, as after an error, neither
/// frames nor video appear, and what was there before stays as it was.
///
/// # Errors
/// No runs; score files that are damaged; a folder that cannot be written; no H.264 encoder.
pub fn export(store: &ScoreStore, options: &ExportOptions, monitor: &Monitor) -> Result<ExportOutcome> {
    if store.runs().is_empty() {
        return Err(Error::NoRuns { path: store.folder().to_owned() });
    }
    let folders = [options.frames.as_deref(), options.video.as_deref().and_then(Path::parent)];
    let mut made = Vec::new();
    let mut make = |folder: &Path| MadeFolders::make(folder).map(|folders| made.push(folders));
    let wanted = folders.into_iter().flatten().filter(|folder| !folder.as_os_str().is_empty()).try_for_each(&mut make);
    let exported = wanted.and_then(|()| export_into(store, options, monitor));
    if exported.is_err() {
        made.iter().rev().for_each(MadeFolders::remove_empty);
    }
    exported
}

fn export_into(store: &ScoreStore, options: &ExportOptions, monitor: &Monitor) -> Result<ExportOutcome> {
    let mut encoder = match &options.video {
        Some(path) => Some(Encoder::create(path, options.size.width(), options.size.height(), options.rate)?),
        None => None,
    };
    let staged = options.frames.as_deref().map(StagedFrames::create).transpose()?;

    monitor.begin("reading scores", "scores", store.runs().iter().map(|run| run.num_scores).sum());
    let mut stats = Vec::new();
    for (index, run) in store.runs().iter().enumerate() {
        stats.push(store.stats(index, monitor)?);
        monitor.advance(run.num_scores)?;
    }
    let (low, high) = options.range.unwrap_or_else(|| Axes::x_range(&stats));
    let set = HistogramSet::of_store(store, Bins::new(low, high, options.bin_count)?, &[], monitor)?;

    let frame_count = store.runs().len();
    monitor.begin(if encoder.is_some() { "encoding frames" } else { "drawing frames" }, "frames", frame_count as u64);
    let runs = Runs { store, set: &set, stats: &stats };
    let scene = |index: usize| runs.scene(index, options.size, options.look);
    let canvas = Canvas::of(&scene(0));
    let canvas = &canvas;
    let batch = rayon::current_num_threads().max(2);
    std::thread::scope(|scope| {
        // A batch is drawn while the one before it is encoded; never more are in memory.
        let (sender, batches) = sync_channel::<Vec<Frame>>(1);
        let encoding = scope.spawn(move || -> Result<Option<Encoder>> {
            for frame in batches.into_iter().flatten() {
                if let Some(encoder) = &mut encoder {
                    encoder.add(&frame)?;
                }
                canvas.recycle(frame);
                monitor.advance(1)?;
            }
            Ok(encoder)
        });
        let mut drawn = Ok(());
        for first in (0..frame_count).step_by(batch) {
            let frames: Result<Vec<Frame>> = (first..(first + batch).min(frame_count))
                .into_par_iter()
                .map_init(Default::default, |(rgb, png), index| {
                    monitor.check()?;
                    let frame = canvas.draw(&scene(index));
                    if let Some(staged) = &staged {
                        frame.write_png(rgb, png);
                        staged.write(index, png)?;
                    }
                    Ok(frame)
                })
                .collect();
            match frames {
                // When nobody takes them the encoder ended early; its error says why.
                Ok(frames) => {
                    if sender.send(frames).is_err() {
                        break;
                    }
                }
                Err(error) => {
                    drawn = Err(error);
                    break;
                }
            }
        }
        drop(sender);
        let encoded = encoding.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        drawn?;
        let encoded = encoded?;
        if let Some(staged) = &staged {
            staged.check_targets(frame_count)?;
        }
        if let Some(encoder) = encoded {
            encoder.finish()?;
        }
        Ok::<(), Error>(())
    })?;
    if let Some(staged) = staged {
        staged.publish(frame_count)?;
    }
    Ok(ExportOutcome { frame_count, frames: options.frames.clone(), video: options.video.clone() })
}

/// All runs of a session, ready to be drawn.
#[derive(Debug, Clone, Copy)]
pub struct Runs<'a> {
    pub store: &'a ScoreStore,
    pub set: &'a HistogramSet,
    /// One a run.
    pub stats: &'a [RunStats],
}

impl Runs<'_> {
    /// Run `index` as a frame.
    pub fn frame(&self, index: usize, size: FrameSize, look: Look) -> Frame {
        draw(&self.scene(index, size, look))
    }

    fn scene(&self, index: usize, size: FrameSize, look: Look) -> Scene {
        let content = FrameContent {
            store: self.store,
            index,
            stats: &self.stats[index],
            histogram: &self.set.histograms[index],
            axes: self.set.axes,
            mass_is_right: self.set.mass_is_right,
            look,
        };
        histogram_scene(&content, size.width(), size.height())
    }
}

/// Frames collected in a hidden folder until all are there.
struct StagedFrames {
    folder: PathBuf,
    staging: PathBuf,
}

impl StagedFrames {
    fn create(folder: &Path) -> Result<Self> {
        let staging = folder.join(".frames.part");
        // What a killed export left.
        fs::remove_dir_all(&staging).ok();
        fs::create_dir(&staging).map_err(|source| Error::OutputFolder { source, path: folder.to_owned() })?;
        Ok(Self { folder: folder.to_owned(), staging })
    }

    fn name(index: usize) -> String {
        format!("frame_{index:04}.png")
    }

    fn write(&self, index: usize, png: &[u8]) -> Result<()> {
        let path = self.staging.join(Self::name(index));
        let mut file = fs::File::create_new(&path).map_err(Error::write(&path))?;
        file.write_all(png).and_then(|()| file.sync_data()).map_err(Error::write(&path))
    }

    /// Fails if a frame could not take its name, before anything is in place.
    fn check_targets(&self, count: usize) -> Result<()> {
        let in_the_way = (0..count).map(|index| self.folder.join(Self::name(index))).find(|path| path.is_dir());
        let refused = |path: PathBuf| Error::write(&path)(std::io::ErrorKind::AlreadyExists.into());
        in_the_way.map_or(Ok(()), |path| Err(refused(path)))
    }

    /// Gives the frames their names.
    fn publish(self, count: usize) -> Result<()> {
        for index in 0..count {
            let path = self.folder.join(Self::name(index));
            fs::rename(self.staging.join(Self::name(index)), &path).map_err(Error::write(&path))?;
        }
        Ok(())
    }
}

impl Drop for StagedFrames {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.staging).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_even_and_sane() {
        assert_eq!("1800x900".parse::<FrameSize>().expect("valid"), FrameSize::default());
        assert_eq!("640 × 360".parse::<FrameSize>().expect("valid"), FrameSize { width: 640, height: 360 });
        for text in ["1801x900", "1800x901", "0x0", "1800", "axb", "-2x4", "100000x100000", ""] {
            let message = text.parse::<FrameSize>().expect_err(text).to_string();
            assert!(message.starts_with("size: expected WIDTHxHEIGHT"), "{message}");
        }
    }
}
