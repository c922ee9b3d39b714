//! Studies of the index lab as findings: what they mean in words, their pictures, their tables.

pub mod by_rank;
pub mod cells;
pub mod difficulty;
pub mod duplicates;
pub mod plan;
mod series;
pub mod serving;
pub mod why;

use crate::compute::index::judge::Mean;

/// "0.9312 (95 %: 0.9290 to 0.9335)"
fn banded(mean: Mean) -> String {
    format!("{:.4} (95 %: {:.4} to {:.4})", mean.mean, mean.low, mean.high)
}

/// With a capital at the beginning.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
