//! All integration tests in one binary, one file a subject.

mod bad_input;
mod command_line;
mod duplicates;
mod exactness;
mod golden;
mod hard_queries;
mod index_lab;
mod lab_studies;
mod lab_window;
mod layering;
mod plan_and_serve;
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
mod why;
mod window;
