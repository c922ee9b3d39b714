//! Compiles DuckDB from the sources that come with the package `libduckdb-sys`, several files at a time.

use std::path::{Path, PathBuf};

#[path = "../sources.rs"]
mod sources;

/// Source files of DuckDB that are compiled as one: few enough for 2 GB of memory, enough to read the headers seldom.
const FILES_AT_ONCE: usize = 9;

fn main() {
    // They would have the crate `duckdb` link another library than the one that is made here.
    for name in ["DUCKDB_LIB_DIR", "DUCKDB_STATIC", "DUCKDB_DOWNLOAD_LIB"] {
        println!("cargo:rerun-if-env-changed={name}");
        assert!(std::env::var_os(name).is_none(), "{name} is set, but DuckDB is built from source here: unset it");
    }
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=../sources.rs");
    println!("cargo:rerun-if-env-changed=CXX");
    println!("cargo:rerun-if-env-changed=CXXFLAGS");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo tells where to build"));
    let package = sources::package_folder("libduckdb-sys");
    let sources = out.join(package.file_name().expect("its name and version"));
    unpack(&package.join("duckdb.tar.gz"), &sources);
    let manifest = std::fs::File::open(sources.join("duckdb/manifest.json")).expect("the archive has a manifest");
    let manifest: serde_json::Value = serde_json::from_reader(manifest).expect("it is JSON");
    let parts = [&manifest["base"], &manifest["extensions"]["core_functions"]];
    let list = |name: &str| {
        let texts = parts.iter().flat_map(|part| part[name].as_array().expect("a list"));
        let mut texts: Vec<String> = texts.map(|text| text.as_str().expect("a path").to_owned()).collect();
        texts.sort();
        texts.dedup();
        texts
    };
    let mut build = cc::Build::new();
    build.cpp(true).std("c++11").warnings(false).flag_if_supported("-w");
    build.define("NDEBUG", None).define("DUCKDB_EXTENSION_CORE_FUNCTIONS_LINKED", "1");
    // It writes tables and answers questions about them: how fast it is built matters more than how fast it is.
    build.opt_level(0).include(sources.join("duckdb"));
    build.includes(list("include_dirs").iter().map(|folder| sources.join("duckdb").join(folder)));
    let (foreign, own): (Vec<String>, Vec<String>) =
        list("cpp_files").into_iter().partition(|file| file.contains("third_party"));
    let mut paths: Vec<PathBuf> = foreign.iter().map(|file| sources.join(file)).collect();
    for (index, files) in own.chunks(FILES_AT_ONCE).enumerate() {
        let together: String = files.iter().map(|file| format!("#include {:?}\n", sources.join(file))).collect();
        let path = sources.join(format!("together_{index:02}.cpp"));
        std::fs::write(&path, together).expect("OUT_DIR can be written");
        paths.push(path);
    }
    let objects = sources::compile_once(&build, &paths, "", &out);
    build.objects(objects).compile("duckdb");
}

/// Unpacks DuckDB's sources.
fn unpack(archive: &Path, out: &Path) {
    let file = std::fs::File::open(archive).unwrap_or_else(|error| panic!("{}: {error}", archive.display()));
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    archive.set_preserve_mtime(false);
    archive.unpack(out).expect("OUT_DIR can be written");
}
