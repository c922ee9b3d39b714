//! Where the C++ sources are that come with a package of the registry, and what was compiled of them already; included by
//! the build scripts beside it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of a package that this one depends on, however indirectly.
pub fn package_folder(name: &str) -> PathBuf {
    // What is built is there already. What is not (packages of the tests) may have to be fetched for the answer.
    let told = ask(&["--offline"]).or_else(|_| ask(&[])).unwrap_or_else(|told| {
        panic!("cargo metadata failed; `cargo fetch --locked` gets what is missing. It said: {told}")
    });
    let told: serde_json::Value = serde_json::from_slice(&told).expect("cargo tells JSON");
    let packages = told["packages"].as_array().expect("a list of packages");
    let package = packages.iter().find(|package| package["name"] == name);
    let manifest = package.unwrap_or_else(|| panic!("{name} is no dependency"))["manifest_path"].as_str();
    Path::new(manifest.expect("a path")).parent().expect("a folder").to_owned()
}

fn ask(flags: &[&str]) -> Result<Vec<u8>, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let target = std::env::var("TARGET").expect("cargo tells the target");
    let told = Command::new(cargo)
        .args(["metadata", "--manifest-path", "../../Cargo.toml"])
        .args(["--format-version", "1", "--locked", "--filter-platform", &target])
        .args(flags)
        .output()
        .map_err(|error| error.to_string())?;
    if told.status.success() { Ok(told.stdout) } else { Err(String::from_utf8_lossy(&told.stderr).into_owned()) }
}

/// Compiles `files` into `folder`, which is theirs alone, or takes what was compiled of them with the same compiler and
/// flags before: it takes minutes, and cargo asks for it again whenever a build script or a file of ours is younger. The paths of the files must tell
/// the version that they are of; `included` is the text of what they include of ours.
pub fn compile_once(build: &cc::Build, files: &[PathBuf], included: &str, folder: &Path) -> Vec<PathBuf> {
    let compiler = build.get_compiler();
    let included = included.escape_debug();
    let command = format!("{} {:?} {files:?}{included}", compiler.path().display(), compiler.args());
    let stamp = folder.join("compiled");
    let known = std::fs::read_to_string(&stamp).unwrap_or_default();
    let mut lines = known.lines();
    let objects = |lines: std::str::Lines<'_>| -> Vec<PathBuf> { lines.map(PathBuf::from).collect() };
    if lines.next() == Some(&command) && lines.clone().all(|object| Path::new(object).is_file()) {
        return objects(lines);
    }
    // It tells of what is whole, so it goes before anything is overwritten.
    std::fs::remove_file(&stamp).ok();
    let made = build.clone().out_dir(folder).files(files).compile_intermediates();
    let list: Vec<String> = made.iter().map(|object| object.display().to_string()).collect();
    std::fs::write(&stamp, format!("{command}\n{}\n", list.join("\n"))).expect("OUT_DIR can be written");
    made
}
