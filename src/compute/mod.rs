//! Everything that is computed: vectors in, exact scores, stored runs, histograms.
//!
//! Knows nothing of windows, terminals, pixels or video.

pub mod atomic_file;
pub mod demo;
pub mod error;
pub mod exact;
pub mod figures;
pub mod histogram;
pub mod index;
pub mod kernels;
pub mod metric;
pub mod random;
pub mod scores;
pub mod sparsity;
pub mod table;
pub mod uniqueness;
pub mod vectors;

pub use error::{Error, Result};
