//! What the studies of the index lab found, as findings.

pub mod why;
