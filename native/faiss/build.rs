//! Compiles FAISS and `shim.cpp` into one shared library for every level of CPU.
//!
//! The libraries are embedded into the program and loaded when an index process starts, the best that its CPU can run.
//! They are not linked: code that is compiled for a new CPU must not even be initialised on an old one.

use std::path::{Path, PathBuf};

#[path = "../sources.rs"]
mod sources;

/// Levels with what they ask the compiler for; `lib.rs` lists the same.
const LEVELS: [(&str, &[&str]); 3] = [
    ("baseline", &[]),
    ("avx2", &["-mavx2", "-mfma", "-mf16c", "-mpopcnt"]),
    (
        "avx512",
        &["-mavx2", "-mfma", "-mf16c", "-mpopcnt", "-mavx512f", "-mavx512cd", "-mavx512vl", "-mavx512dq", "-mavx512bw"],
    ),
];
/// Beginnings of files that no search spends time in: reading, writing, naming, kinds of indexes that bits are in.
const COLD: [&str; 16] = [
    "AutoTune",
    "Clustering",
    "IVFlib",
    "IndexBinary",
    "IndexIDMap",
    "IndexLattice",
    "IndexReplicas",
    "IndexShards",
    "InvertedListsIO",
    "MatrixStats",
    "MetaIndexes",
    "NeuralNet",
    "OnDisk",
    "clone_index",
    "index_",
    "lattice_",
];

/// The header by which codes of product quantizers are looked up, ours instead of FAISS's.
const LOOKED_UP_BY: &str = "include/faiss/impl/code_distance/code_distance.h";

fn main() {
    for file in ["build.rs", "shim.cpp", "exported.map", "../sources.rs", LOOKED_UP_BY] {
        println!("cargo:rerun-if-changed={file}");
    }
    println!("cargo:rerun-if-env-changed=CXX");
    println!("cargo:rerun-if-env-changed=CXXFLAGS");
    let is_x86 = std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64");
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo tells where to build"));
    let root = sources::package_folder("faiss-sys").join("faiss");
    let mut files = Vec::new();
    collect(&root.join("faiss"), &mut files);
    let name_of = |file: &PathBuf| file.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let (cold_files, files): (Vec<PathBuf>, Vec<PathBuf>) =
        files.into_iter().partition(|file| COLD.iter().any(|beginning| name_of(file).starts_with(beginning)));
    let header = std::fs::read_to_string(LOOKED_UP_BY).expect("a header of ours");
    let name = LOOKED_UP_BY.strip_prefix("include/").expect("a folder");
    // All files with that header, since a function must not be compiled in two ways.
    let is_looking_up = |file: &PathBuf| {
        std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display())).contains(name)
    };
    assert!(!cold_files.iter().any(is_looking_up), "codes are looked up in files that searches spend time in");
    let (looking_up, hot_files): (Vec<PathBuf>, Vec<PathBuf>) = files.into_iter().partition(is_looking_up);
    assert!(!looking_up.is_empty(), "FAISS has no {name} any more");
    for (level, flags) in LEVELS {
        let library = out.join(format!("libfaiss-{level}.so"));
        if level != "baseline" && !is_x86 {
            std::fs::write(&library, []).expect("OUT_DIR can be written");
            continue;
        }
        let compiler = |opt_level: u32, is_looking_up: bool| {
            let mut build = cc::Build::new();
            if is_looking_up {
                // Before FAISS's own.
                build.include("include");
            }
            build.cpp(true).std("c++17").pic(true).warnings(false).cargo_warnings(false).cargo_metadata(false);
            build.include(&root).out_dir(out.join(level)).opt_level(opt_level);
            build.define("FINTEGER", "int").define("NDEBUG", None).flag("-fopenmp");
            flags.iter().for_each(|flag| {
                build.flag(flag);
            });
            build
        };
        // Registers that 4-bit codes are scanned in are imitated on old x86: more than -O1 costs minutes of building there.
        let is_old = is_x86 && level == "baseline";
        let hot_level = if is_release && !is_old { 3 } else { 1 };
        let hot = compiler(hot_level, false);
        let mut objects = vec![];
        let groups = [
            ("hot", &hot, &hot_files, ""),
            ("looking-up", &compiler(hot_level, true), &looking_up, &*header),
            ("cold", &compiler(1, false), &cold_files, ""),
        ];
        for (group, build, files, included) in groups {
            objects.extend(sources::compile_once(build, files, included, &out.join(level).join(group)));
        }
        let build = hot.clone();
        objects.extend(hot.clone().file("shim.cpp").compile_intermediates());
        link(&build, &objects, &library);
    }
}

/// The C++ files of the library itself, without those for GPUs, for Python and for users to include.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    entries.sort();
    for entry in entries {
        let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if entry.is_dir() && !["gpu", "python", "cppcontrib"].contains(&name) {
            collect(&entry, files);
        } else if name.ends_with(".cpp") {
            files.push(entry);
        }
    }
}

fn link(build: &cc::Build, objects: &[PathBuf], library: &Path) {
    let status = build
        .get_compiler()
        .to_command()
        .args(["-shared", "-fopenmp", "-s", "-Wl,--gc-sections", "-Wl,-Bsymbolic", "-Wl,-z,defs"])
        .arg("-Wl,--version-script=exported.map")
        .args(objects)
        .arg("-o")
        .arg(library)
        .args(["-lopenblas", "-lm"])
        .status()
        .expect("the compiler can be started");
    assert!(
        status.success(),
        "FAISS could not be linked; it needs OpenBLAS (libopenblas-dev) and OpenMP. ./run installs both"
    );
}
