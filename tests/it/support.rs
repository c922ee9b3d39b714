//! What several tests need: data, the program, visible skips.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A path of the checkout. Asked when the test runs: a test that was compiled in one checkout may run in another that
/// shares its target directory.
pub fn checkout(path: &str) -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo runs the tests")).join(path)
}

/// A folder of the shared data; says on the real standard error that a test is skipped where it is
/// missing.
pub fn shared(test: &str, part: &str) -> Option<PathBuf> {
    let path = checkout("../shared/data").join(part);
    if path.exists() {
        return Some(path);
    }
    skip(test, &format!("{} is missing", path.display()));
    None
}

/// Written past the test harness, which would swallow it for a test that passes.
pub fn skip(test: &str, why: &str) {
    writeln!(std::io::stderr(), "SKIPPED {test}: {why}").expect("standard error is open");
}

/// Values in −1..1, the same for the same seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn value(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    }

    pub fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.value()).collect()
    }
}

pub fn write_vectors(path: &Path, values: &[f32]) {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    std::fs::write(path, bytes).expect("vectors are written");
}

/// Runs the program to its end.
pub fn knnscope(args: &[&str]) -> Output {
    command(args).output().expect("the program starts")
}

pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_knnscope"));
    command.args(args).env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    command
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are text")
}

/// Names and bytes of the result files in a folder, sorted.
pub fn results(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "bin"))
        .map(|path| {
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            (name, std::fs::read(&path).expect("readable"))
        })
        .collect();
    files.sort();
    files
}

/// A folder with docs (rows × dim) and queries of random values.
pub struct Vectors {
    pub folder: tempfile::TempDir,
    pub docs: PathBuf,
    pub queries: PathBuf,
    pub dim: usize,
}

impl Vectors {
    pub fn random(docs: usize, queries: usize, dim: usize) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut random = Random::new(7);
        let (docs_path, queries_path) = (folder.path().join("docs.vec"), folder.path().join("queries.vec"));
        write_vectors(&docs_path, &random.values(docs * dim));
        write_vectors(&queries_path, &random.values(queries * dim));
        Self { docs: docs_path, queries: queries_path, folder, dim }
    }

    /// The arguments of `score` for these files into `output`, with `more` behind.
    pub fn score_args(&self, output: &Path, more: &[&str]) -> Vec<String> {
        let mut args: Vec<String> = ["score", "--docs", text(&self.docs), "--queries", text(&self.queries), "--dim"]
            .into_iter()
            .map(str::to_owned)
            .collect();
        args.push(self.dim.to_string());
        args.extend(["--output-dir".to_owned(), text(output).to_owned()]);
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        args
    }

    pub fn score(&self, output: &Path, more: &[&str]) -> Output {
        let args = self.score_args(output, more);
        knnscope(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }
}
