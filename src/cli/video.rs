//! `knnscope video`

use super::args::VideoArgs;
use super::progress::ProgressLine;
use super::{Failure, use_threads};
use crate::compute::error::Error;
use crate::compute::figures::{bytes, counted};
use crate::compute::histogram::Bins;
use crate::compute::scores::ScoreStore;
use crate::job::Monitor;
use crate::video::{ExportOptions, Look, VIDEO_NAME, export};

pub fn run(args: &VideoArgs, monitor: &Monitor) -> Result<(), Failure> {
    use_threads(args.common.threads)?;
    // Refuses a bad number of bins before anything is read.
    Bins::new(0.0, 1.0, args.bins)?;
    let store = ScoreStore::open(&args.input_dir)?;
    let folder = args.output_dir.as_deref().unwrap_or(store.folder()).to_owned();
    let options = ExportOptions {
        video: (!args.no_video).then(|| folder.join(VIDEO_NAME)),
        frames: Some(folder),
        rate: args.fps,
        size: args.size,
        look: if args.dark { Look::Dark } else { Look::Light },
        bin_count: args.bins,
        range: None,
    };
    Ok(make(&store, &options, args.common.quiet, monitor)?)
}

/// Exports and says what was written.
pub fn make(store: &ScoreStore, options: &ExportOptions, quiet: bool, monitor: &Monitor) -> Result<(), Error> {
    let outcome = {
        let _line = ProgressLine::start(monitor, quiet);
        export(store, options, monitor)?
    };
    if quiet {
        return Ok(());
    }
    if let Some(folder) = &outcome.frames {
        tell!("{}: {}", counted(outcome.frame_count, "frame", "frames"), folder.join("frame_0000.png …").display());
    }
    if let Some(path) = &outcome.video {
        let size = std::fs::metadata(path).map_or(0, |data| data.len());
        let secs = outcome.frame_count as f64 / options.rate.per_second();
        let rate = (options.rate.per_second() * 100.0).round() / 100.0;
        tell!("video: {} ({}, {secs:.1} s at {rate} fps)", path.display(), bytes(size));
    }
    Ok(())
}
