//! `knnscope demo`: the main job on the embedded data.

use super::args::DemoArgs;
use super::{Failure, score, use_threads, video};
use crate::compute::demo;
use crate::compute::scores::SessionOptions;
use crate::job::Monitor;
use crate::video::{ExportOptions, FrameRate, FrameSize, Look, VIDEO_NAME};

pub fn run(args: &DemoArgs, monitor: &Monitor) -> Result<(), Failure> {
    use_threads(args.common.threads)?;
    let quiet = args.common.quiet;
    if !quiet {
        tell!("{}", demo::ABOUT);
    }
    let folder = &args.output_dir;
    let params = demo::unpack(&folder.join("vectors"))?;
    let store = score::score(params, folder, SessionOptions::default(), quiet, monitor)?;
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
