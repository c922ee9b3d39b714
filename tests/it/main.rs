//! All integration tests in one binary, one file a subject.

mod bad_input;
mod command_line;
mod duplicates;
mod exactness;
mod golden;
mod index_lab;
mod lab_window;
mod layering;
mod real_window;
mod redis;
mod resume;
mod sparsity;
mod sparsity_window;
mod support;
mod uniqueness;
mod uniqueness_window;
mod verify;
mod video;
mod window;
