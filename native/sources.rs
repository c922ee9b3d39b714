//! Where the C++ sources are that come with a package of the registry; included by the build scripts beside it.

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
