//! Who may know whom, read off the sources.

use std::path::{Path, PathBuf};

use crate::support::checkout;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the sources are there") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Source files relative to `src`, with their code (comments removed).
fn code() -> Vec<(String, String)> {
    let root = checkout("src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    assert!(found.len() > 20, "the sources are found");
    found
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("readable");
            let code =
                text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
            (path.strip_prefix(&root).expect("under src").to_string_lossy().into_owned(), code)
        })
        .collect()
}

/// Fails with every file that matches `from` and mentions one of `words`.
fn forbid(from: impl Fn(&str) -> bool, words: &[&str], why: &str) {
    for (path, code) in code() {
        if from(&path) {
            for word in words {
                assert!(!code.contains(word), "{path} mentions {word}: {why}");
            }
        }
    }
}

#[test]
fn layers_know_only_what_is_below_them() {
    forbid(|_| true, &["crate::{", "knnscope::{"], "one line for each module that is imported");
    forbid(|path| path.starts_with("compute"), &["super::app", "super::cli", "super::video"], "compute is below");
    forbid(|path| path.starts_with("video"), &["super::app", "super::cli"], "video is below");
    let upper = ["crate::app", "crate::cli", "knnscope::app", "knnscope::cli"];
    forbid(|path| !path.starts_with("app") && path != "main.rs", &upper[..1], "only main imports app");
    forbid(|path| !path.starts_with("cli") && path != "main.rs", &upper[1..2], "only main imports cli");
    forbid(|path| path.starts_with("compute"), &["crate::video", "crate::app", "crate::cli"], "compute is below");
    forbid(|path| path.starts_with("video"), &upper, "video is below");
    forbid(|path| path == "job.rs", &["crate::"], "job imports nothing of ours");
    forbid(
        |path| path.starts_with("compute/kernels"),
        &["crate::compute::exact", "crate::compute::scores", "crate::compute::vectors", "crate::job", "rayon"],
        "kernels take slices; callers own buffers and threads",
    );
}

#[test]
fn foreign_names_stay_in_their_rooms() {
    forbid(|path| !path.starts_with("app"), &["egui", "eframe"], "only the window names egui");
    forbid(|path| path != "video/encoder.rs", &["ffmpeg_next", "libav::"], "only the encoder names libav");
    forbid(|path| !path.starts_with("app"), &["rfd::"], "only the window opens dialogs");
    forbid(|path| !path.starts_with("compute/exact"), &["faer::"], "only the exact engine multiplies matrices");
    forbid(|path| path != "compute/sparsity/store.rs", &["duckdb::"], "only the store names DuckDB");
    forbid(|path| path != "compute/index/faiss.rs", &["faiss_library"], "only its wrapper names FAISS");
    forbid(
        |path| !path.starts_with("compute/index/trees"),
        &["arroy::", "heed::", "roaring::"],
        "only its wrapper names arroy",
    );
    let redis = ["redis::cmd", "redis::Client", "redis::Connection", "redis::Value", "use redis::", "rustls::"];
    forbid(|path| !path.starts_with("compute/index/redis/"), &redis, "only its wrapper names the crate redis");
}

#[test]
fn unsafe_code_is_where_it_is_allowed_and_says_why() {
    let allowed = |path: &str| {
        path.starts_with("compute/kernels")
            || ["video/encoder.rs", "compute/vectors/vec_file.rs", "compute/index/trees.rs"].contains(&path)
    };
    let root = checkout("src");
    let mut blocks = 0;
    for (path, code) in code() {
        let text = std::fs::read_to_string(root.join(&path)).expect("readable");
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in code.lines().enumerate() {
            if line.contains("unsafe ") {
                assert!(allowed(&path), "{path}:{} has unsafe code", index + 1);
                let before = lines[index.saturating_sub(5)..index].join("\n");
                // An unsafe function says what its callers must promise; a block, why it holds.
                let says = if line.contains("unsafe fn") { "/// # Safety" } else { "// SAFETY:" };
                assert!(before.contains(says), "{path}:{} lacks {says}", index + 1);
                blocks += 1;
            }
        }
    }
    assert!(blocks > 0, "the map of the vector files is unsafe, so this test sees something");
}

#[test]
fn nothing_unwraps_outside_tests() {
    for (path, code) in code() {
        let product = code.split("#[cfg(test)]").next().unwrap_or_default();
        assert!(!product.contains(".unwrap()"), "{path} unwraps");
        assert!(!product.contains("todo!") && !product.contains("unimplemented!"), "{path} is unfinished");
    }
}
