//! knnscope: see nearest-neighbour search.
//!
//! The modules, in reading order: [`job`] runs work in the background; [`compute`] opens vectors,
//! scores them exactly and stores and bins the scores; [`video`] draws a run as a frame and encodes
//! frames; [`cli`] and [`app`] put both before the user. Who may know whom is held by a test
//! (`tests/it/layering.rs`).

pub mod app;
pub mod cli;
pub mod compute;
pub mod job;
pub mod video;
