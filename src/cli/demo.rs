//! `knnscope demo`: the main job on the embedded data.

use std::path::Path;

use super::args::DemoArgs;
use super::{Failure, score, use_threads, video};
use crate::compute::atomic_file::MadeFolders;
use crate::compute::demo;
use crate::compute::exact::ScorePlan;
use crate::compute::scores::{ScoreStore, SessionOptions};
use crate::job::Monitor;
use crate::video::{ExportOptions, FrameRate, FrameSize, Look, VIDEO_NAME};

pub fn run(args: &DemoArgs, monitor: &Monitor) -> Result<(), Failure> {
    use_threads(args.common.threads)?;
    let quiet = args.common.quiet;
    if !quiet {
        tell!("{}", demo::ABOUT);
    }
    let folder = &args.output_dir;
    let vectors = folder.join("vectors");
    let was_there = vectors.exists();
    let made = MadeFolders::make(folder)?;
    let options = SessionOptions { overwrite: args.overwrite };
    let scored = demo::unpack(&vectors)
        .and_then(ScorePlan::new)
        .and_then(|plan| score::score(&plan, folder, options, quiet, monitor));
    let store = scored.inspect_err(|_| {
        // Runs that were finished need their vectors; without any, what was unpacked goes again.
        let home = std::path::absolute(&vectors).unwrap_or_else(|_| vectors.clone());
        let needed = ScoreStore::open(folder).is_ok_and(|store| Path::new(&store.manifest().docs).starts_with(home));
        if !was_there && !needed {
            std::fs::remove_dir_all(&vectors).ok();
            made.remove_empty();
        }
    })?;
    let options = ExportOptions {
        frames: Some(folder.clone()),
        video: Some(folder.join(VIDEO_NAME)),
        rate: FrameRate::default(),
        size: FrameSize::default(),
        look: Look::Light,
        bin_count: 100,
        range: None,
    };
    video::make(&store, &options, quiet, monitor)?;
    if !quiet {
        tell!("open it in the window: knnscope {}", folder.display());
    }
    Ok(())
}
