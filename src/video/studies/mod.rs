//! Studies of the index lab as findings: what they mean in words, their pictures, their tables.

pub mod duplicates;
