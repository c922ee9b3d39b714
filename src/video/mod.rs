//! Runs as pictures: a scene says what a frame shows, the raster draws it, the encoder makes a video.
//!
//! Knows `compute` and `job`; nothing of windows or terminals.

pub mod encoder;
pub mod export;
pub mod finding;
pub mod fonts;
pub mod lab;
pub mod palette;
pub mod panel;
pub mod raster;
pub mod scene;
pub mod sparsity;
pub mod spy;
pub mod studies;
pub mod svg;
pub mod uniqueness;

pub use encoder::{Encoder, FrameRate};
pub use export::{ExportOptions, ExportOutcome, FrameSize, Runs, VIDEO_NAME, export};
pub use palette::Look;
pub use raster::{Frame, draw};
pub use scene::{FrameContent, Scene, histogram_scene};
pub use uniqueness::{UniquenessPicture, uniqueness_scene};
