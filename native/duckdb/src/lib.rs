//! Nothing but `libduckdb.a`, which the build script puts where the crate `duckdb` looks for the library.
//!
//! Its own feature `bundled` compiles the same sources file by file; most of that time goes into reading the same
//! headers nearly two hundred times.
