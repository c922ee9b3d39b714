//! The embedded demo data: definitions and example sentences of WordNet, embedded by
//! all-MiniLM-L6-v2, 384 dimensions, unit norm.

use std::fs;
use std::path::{Path, PathBuf};

use super::atomic_file::{MadeFolders, write_atomically};
use super::error::Result;
use super::exact::{Kernel, ScoreParams};
use super::metric::Metric;

const FILES: [(&str, &[u8]); 5] = [
    (DOCS, include_bytes!("../../assets/demo/wordnet-minilm-384d.docs.vec")),
    ("wordnet-minilm-384d.docs.csv", include_bytes!("../../assets/demo/wordnet-minilm-384d.docs.csv")),
    (QUERIES, include_bytes!("../../assets/demo/wordnet-minilm-384d.queries.vec")),
    ("wordnet-minilm-384d.queries.csv", include_bytes!("../../assets/demo/wordnet-minilm-384d.queries.csv")),
    ("WORDNET-LICENSE.txt", include_bytes!("../../assets/demo/WORDNET-LICENSE.txt")),
];
const DOCS: &str = "wordnet-minilm-384d.docs.vec";
const QUERIES: &str = "wordnet-minilm-384d.queries.vec";

/// What the demo shows, in a sentence.
pub const ABOUT: &str = "Demo: 5,000 dictionary definitions (docs) and 5,000 example sentences (queries) from \
                         WordNet, as 384-d sentence embeddings";

/// Writes the demo files into `folder` (those that are not there yet, whole) and returns the
/// parameters of the demo session: 30 runs, no query comes twice.
pub fn unpack(folder: &Path) -> Result<ScoreParams> {
    MadeFolders::make(folder)?;
    for (name, bytes) in FILES {
        write_if_missing(&folder.join(name), bytes)?;
    }
    Ok(ScoreParams {
        docs: folder.join(DOCS),
        queries: folder.join(QUERIES),
        dim: 384,
        num_docs: None,
        top_k: 100,
        n_values: vec![5, 10, 50, 100, 200, 500],
        m_repeats: 5,
        metric: Metric::Dot,
        keep_ids: true,
        memory_budget: ScoreParams::DEFAULT_MEMORY,
        kernel: Kernel::Auto,
    })
}

const MATRICES: [(&str, &[u8]); 4] = [
    ("wanda/layer1-self_attn.q_proj.npy", include_bytes!("../../assets/demo/pruned/wanda/layer1-self_attn.q_proj.npy")),
    ("wanda/layer1-self_attn.o_proj.npy", include_bytes!("../../assets/demo/pruned/wanda/layer1-self_attn.o_proj.npy")),
    (
        "sparsegpt/layer1-self_attn.q_proj.npy",
        include_bytes!("../../assets/demo/pruned/sparsegpt/layer1-self_attn.q_proj.npy"),
    ),
    (
        "sparsegpt/layer1-self_attn.o_proj.npy",
        include_bytes!("../../assets/demo/pruned/sparsegpt/layer1-self_attn.o_proj.npy"),
    ),
];

/// What the pruned matrices of the demo are, in a sentence.
pub const ABOUT_MATRICES: &str =
    "Demo: two projections of layer 1 of a sentence encoder, pruned to 50 % by Wanda and SparseGPT";

/// Writes pruned matrices into `folder` (those that are not there yet, whole): a folder a method.
///
/// # Errors
/// A folder that cannot be written.
pub fn unpack_matrices(folder: &Path) -> Result<()> {
    for (name, bytes) in MATRICES {
        let path = folder.join(name);
        MadeFolders::make(path.parent().unwrap_or(folder))?;
        write_if_missing(&path, bytes)?;
    }
    Ok(())
}

fn write_if_missing(path: &Path, bytes: &[u8]) -> Result<()> {
    let there = fs::metadata(path).is_ok_and(|data| data.is_file() && data.len() == bytes.len() as u64);
    if there { Ok(()) } else { write_atomically(path, bytes) }
}

/// Where the window keeps the demo: the user's data folder, or where there is none the system's
/// folder for temporary files.
pub fn home() -> PathBuf {
    let base = directories::ProjectDirs::from("", "", "knnscope").map(|dirs| dirs.data_local_dir().to_owned());
    base.unwrap_or_else(|| std::env::temp_dir().join("knnscope")).join("demo")
}
