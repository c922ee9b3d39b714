//! The index lab: child processes that fail, sessions that continue, files of others, the command line.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use knnscope::compute::Error;
use knnscope::compute::index::annoy::AnnoyFile;
use knnscope::compute::index::candidate::Candidate;
use knnscope::compute::index::session::{Lab, Options};
use knnscope::compute::index::truth::Question;
use knnscope::compute::index::{Index, NONE};
use knnscope::compute::metric::Metric;
use knnscope::job::Monitor;
use serde_json::Value;

use crate::support::{Random, checkout, command, knnscope, shared, stderr, text, write_vectors};

/// 2,000 docs and 60 queries of 16 dimensions.
struct Data {
    folder: tempfile::TempDir,
}

impl Data {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut random = Random::new(11);
        for (name, rows) in [("docs.vec", 2000), ("queries.vec", 60)] {
            write_vectors(&folder.path().join(name), &random.values(rows * 16));
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn question(&self) -> Question {
        Question {
            docs: self.path("docs.vec"),
            queries: self.path("queries.vec"),
            dim: 16,
            num_docs: None,
            num_queries: None,
            top_k: 10,
            metric: Metric::Cosine,
            memory_budget: 200_000_000,
        }
    }

    fn options(&self, program: &Path) -> Options {
        Options { builds: 1, seed: 42, threads: 2, memory_bytes: 100_000_000, program: program.to_owned() }
    }

    /// A program that does what `script` says instead of being knnscope.
    fn program(&self, script: &str) -> PathBuf {
        let path = self.path("program");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("made executable");
        path
    }

    /// Runs `knnscope index search` over the data with more flags.
    fn search(&self, session: &str, flags: &[&str]) -> std::process::Output {
        let paths = [self.path("docs.vec"), self.path("queries.vec"), self.path(session)].map(|path| shown(&path));
        let [docs, queries, session] = &paths;
        let start = ["index", "search", "--docs", docs, "--queries", queries, "--dim", "16", "--top-k", "10"];
        let all = [&start[..], &["-o", session, "--threads", "2", "--quiet"], flags].concat();
        command(&all).output().expect("started")
    }

    fn lines(&self, path: &str) -> Vec<Value> {
        serde_json::from_str(&fs::read_to_string(self.path(path)).expect("written")).expect("JSON")
    }
}

fn shown(path: &Path) -> String {
    text(path).to_owned()
}

fn own_program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_knnscope"))
}

fn candidate(text: &str) -> Candidate {
    Candidate::parse(text, 16).expect(text)
}

fn recall(line: &Value) -> f64 {
    let recalls = line["recall"].as_array().expect("a list");
    recalls.last().expect("one at least")["mean"].as_f64().expect("a number")
}

#[test]
fn exact_contestants_lose_nothing_and_others_lose_less_when_they_look_at_more() {
    for metric in ["dot", "cosine", "euclidean"] {
        let data = Data::new();
        let json = shown(&data.path("lines.json"));
        let mut flags = vec!["--metric", metric, "--json", &json, "--index", "exact", "--index", "precomputed"];
        flags.extend(["--index", "annoy:trees=8:search_k=50,400,100000"]);
        flags.extend(["--index", "hyperplane:tables=12:hashes=6:probes=0,3,6"]);
        if cfg!(feature = "faiss") {
            flags.extend(["--index", "flat", "--index", "ivf-flat:nlist=20:nprobe=1,5,20"]);
        }
        let output = data.search("lab", &flags);
        assert!(output.status.success(), "{}", stderr(&output));
        let lines = data.lines("lines.json");
        let of =
            |name: &'static str| lines.iter().filter(move |line| line["index"] == name).map(recall).collect::<Vec<_>>();
        assert_eq!(of("exact"), [1.0]);
        assert_eq!(of("precomputed"), [1.0]);
        let annoy = of("annoy:trees=8");
        assert!(annoy[0] < annoy[1] && annoy[2] == 1.0, "{metric}: {annoy:?}");
        let hyperplane = of("hyperplane:tables=12:hashes=6");
        assert!(hyperplane.is_sorted() && hyperplane[0] < hyperplane[2], "{hyperplane:?}");
        if cfg!(feature = "faiss") {
            assert_eq!(of("flat"), [1.0], "{metric}");
            let lists = of("ivf-flat:nlist=20");
            assert!(lists[0] < lists[1] && lists[2] == 1.0, "{metric}: {lists:?}");
        }
    }
}

#[test]
fn a_session_continues_and_is_told_again() {
    let data = Data::new();
    let mut lab = Lab::begin(&data.question(), &data.path("lab"), &Monitor::new()).expect("begun");
    let hyperplane = candidate("hyperplane:probes=0,2");
    lab.run(&hyperplane, &data.options(own_program()), &Monitor::new(), &mut |_| {}).expect("searched");
    assert_eq!(lab.runs.len(), 2);
    drop(lab);
    // Nothing is left to do, so no child is needed.
    let mut lab = Lab::begin(&data.question(), &data.path("lab"), &Monitor::new()).expect("continued");
    lab.run(&hyperplane, &data.options(Path::new("/nowhere")), &Monitor::new(), &mut |_| {}).expect("nothing to do");
    let other = Lab::begin(&data.question(), &data.path("lab"), &Monitor::new());
    assert!(matches!(other, Err(Error::SessionInUse { .. })));
    // One setting was lost in a kill: only its figures are missing.
    let runs = data.path("lab/runs");
    let lost = fs::read_dir(&runs).expect("read").map(|entry| entry.expect("read").path());
    let lost = lost.filter(|path| path.extension().is_some_and(|name| name == "json")).min().expect("a run");
    fs::remove_file(lost).expect("removed");
    drop(lab);
    let mut lab = Lab::begin(&data.question(), &data.path("lab"), &Monitor::new()).expect("continued");
    assert_eq!(lab.runs.len(), 1);
    lab.run(&hyperplane, &data.options(own_program()), &Monitor::new(), &mut |_| {}).expect("searched");
    assert_eq!(lab.runs.len(), 2);
    drop(lab);
    assert_eq!(Lab::open(&data.path("lab"), &Monitor::new()).expect("opened").runs.len(), 2);
    let output =
        knnscope(&["index", "show", &shown(&data.path("lab")), "--quiet", "--csv", &shown(&data.path("a.csv"))]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(fs::read_to_string(data.path("a.csv")).expect("written").lines().count(), 3);
    // Stopped before the exact answer was there.
    fs::remove_file(data.path("lab/exact.ibin")).expect("removed");
    fs::write(data.path("lab/runs/.torn.ibin.part"), "torn").expect("written");
    let lab = Lab::begin(&data.question(), &data.path("lab"), &Monitor::new()).expect("searched exactly again");
    assert_eq!(lab.runs.len(), 2);
    assert!(!data.path("lab/runs/.torn.ibin.part").exists());
    drop(lab);
    let other = Question { top_k: 5, ..data.question() };
    let error = Lab::begin(&other, &data.path("lab"), &Monitor::new()).expect_err("another question").to_string();
    assert!(error.contains("top-k 10 there, 5 asked for"), "{error}");
}

/// Every kind with a file form finds the same from its file, and refuses files of others and damaged ones.
#[test]
fn index_files_are_built_searched_and_refused_where_they_do_not_fit() {
    let data = Data::new();
    let mut kinds = vec![("hyperplane:tables=3:hashes=5", "hyperplane"), ("annoy:trees=4", "arroy")];
    if cfg!(feature = "faiss") {
        kinds.push(("ivf-flat:nlist=10", "faiss"));
    }
    for (index, ending) in kinds {
        let build = |metric: &str, docs: &str, name: &str| {
            let path = shown(&data.path(name));
            let docs = ["--num-docs", docs, "--metric", metric, "--output", &path, "--index", index];
            let vectors = shown(&data.path("docs.vec"));
            let first = ["index", "build", "--docs", &vectors, "--dim", "16"];
            let output = command(&[&first[..], &docs[..], &["--quiet"]].concat()).output().expect("started");
            (output.status.code(), stderr(&output), path)
        };
        let (code, told, path) = build("cosine", "2000", &format!("own.{ending}"));
        assert_eq!(code, Some(0), "{told}");
        let (code, told, wrong) = build("cosine", "2000", "own.txt");
        assert!(code == Some(2) && told.contains(&format!("by the ending .{ending}")), "{told}");
        assert!(!Path::new(&wrong).exists());

        let json = shown(&data.path("both.json"));
        // A file does not tell how many lists the preset looks at.
        let file = if ending == "faiss" { format!("{path}:nprobe=8") } else { path.clone() };
        let flags = ["--metric", "cosine", "--json", &json, "--index", index, "--index", &file];
        let output = data.search(&format!("lab {ending}"), &flags);
        assert!(output.status.success(), "{}", stderr(&output));
        let lines = data.lines("both.json");
        assert_eq!(lines.len(), 2);
        assert_eq!(recall(&lines[0]), recall(&lines[1]), "{index}");

        // Of fewer docs, of another metric, damaged: said, or searched for what it is, but never a crash.
        let (code, told, other) = build("euclidean", "1500", &format!("other.{ending}"));
        assert_eq!(code, Some(0), "{told}");
        let output = data.search(&format!("other {ending}"), &["--metric", "cosine", "--index", &other]);
        if ending != "faiss" {
            let told = stderr(&output).to_lowercase();
            assert!(!output.status.success() && told.contains("build it again"), "{told}");
        }
        let bytes = fs::read(&path).expect("there");
        let damaged = shown(&data.path(&format!("damaged.{ending}")));
        for place in (0..40).chain([bytes.len() / 2]) {
            let mut bytes = bytes.clone();
            bytes[place] ^= 0xff;
            fs::write(&damaged, bytes).expect("written");
            let output =
                data.search(&format!("damaged {ending} {place}"), &["--metric", "cosine", "--index", &damaged]);
            assert!(output.status.code().is_some(), "it was not ended by a signal");
            if !output.status.success() {
                assert!(stderr(&output).contains(&damaged), "{}", stderr(&output));
            }
        }
        fs::write(&damaged, &bytes[..bytes.len() / 3]).expect("written");
        let output = data.search(&format!("short {ending}"), &["--metric", "cosine", "--index", &damaged]);
        assert!(!output.status.success() && stderr(&output).contains(&damaged), "{}", stderr(&output));
    }
}

#[test]
fn a_child_that_dies_is_an_error_and_one_that_hangs_is_killed() {
    let data = Data::new();
    let mut lab = Lab::begin(&data.question(), &data.path("lab"), &Monitor::new()).expect("begun");
    for (script, told) in [
        ("kill -9 $$", "it was killed"),
        ("kill -11 $$", "signal 11"),
        ("echo terminate called after std::bad_alloc >&2; kill -6 $$", "needs more memory than it may take (100 MB)"),
        ("echo junk; exit 3", "ended without a word"),
    ] {
        let options = data.options(&data.program(script));
        let error = lab.run(&candidate("hyperplane"), &options, &Monitor::new(), &mut |_| {}).expect_err(script);
        assert!(error.to_string().contains(told), "{script}: {error}");
    }
    let options = data.options(&data.program("echo $$ > $(dirname $0)/pid; exec sleep 1000"));
    let monitor = Monitor::new();
    let started = Instant::now();
    let outcome = std::thread::scope(|scope| {
        let monitor = &monitor;
        let pid = data.path("pid");
        scope.spawn(move || {
            while fs::read_to_string(&pid).unwrap_or_default().is_empty() && started.elapsed() < Duration::from_secs(20)
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            monitor.cancel();
        });
        lab.run(&candidate("hyperplane"), &options, monitor, &mut |_| {})
    });
    assert!(matches!(outcome, Err(Error::Cancelled)), "{outcome:?}");
    let pid = fs::read_to_string(data.path("pid")).expect("it began");
    assert!(!Path::new("/proc").join(pid.trim()).exists(), "it is gone");
    assert!(lab.runs.is_empty());
}

#[test]
fn neighbour_files_of_others_are_judged() {
    let data = Data::new();
    let lab = Lab::begin(&data.question(), &data.path("exact"), &Monitor::new()).expect("begun");
    let rows = |change: &dyn Fn(usize, u32) -> i64| -> String {
        let row = |query: usize| {
            let ids = lab.truth.ids_of(query).iter().enumerate().map(|(rank, &id)| change(rank, id));
            serde_json::to_string(&ids.collect::<Vec<_>>()).expect("numbers")
        };
        (0..60).map(|query| row(query) + "\n").collect()
    };
    fs::write(data.path("right.jsonl"), rows(&|_, id| i64::from(id))).expect("written");
    fs::write(data.path("half.jsonl"), rows(&|rank, id| if rank < 5 { i64::from(id) } else { -1 })).expect("written");
    fs::write(data.path("far.jsonl"), rows(&|_, _| 5000)).expect("written");
    let paths = ["docs.vec", "queries.vec", "judged", "right.jsonl", "half.jsonl", "far.jsonl", "out.json"];
    let [docs, queries, session, right, half, far, json] = paths.map(|name| shown(&data.path(name)));
    let named = format!("upper half={half}");
    let start =
        ["index", "judge", "--docs", &docs, "--queries", &queries, "--dim", "16", "--top-k", "10", "-o", &session];
    let judge = |more: &[&str]| {
        command(&[&start[..], &["--metric", "cosine", "--json", &json], more].concat()).output().expect("started")
    };
    let output = judge(&["--neighbors", &right, "--neighbours", &named]);
    assert!(output.status.success(), "{}", stderr(&output));
    let lines = data.lines("out.json");
    assert_eq!((lines[0]["index"].as_str(), recall(&lines[0])), (Some("right"), 1.0));
    assert_eq!((lines[1]["index"].as_str(), recall(&lines[1])), (Some("upper half"), 0.5));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("upper half: 300 places without a doc"), "{told}");
    let output = judge(&["--neighbors", &right, "--neighbors", &right]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("found right twice"), "{}", stderr(&output));
    let output = judge(&["--neighbors", &far]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("query 0, rank 1: doc 5,000 is out of range; the docs are 0 to 1,999"));
}

#[test]
fn files_of_annoy_are_searched_as_annoy_does() {
    let folder = checkout("tests/data/index");
    let words = |name: &str| -> Vec<u32> {
        let bytes = fs::read(folder.join(name)).expect("a fixture");
        bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect()
    };
    let queries: Vec<f32> = words("queries.vec").into_iter().map(f32::from_bits).collect();
    for (kind, metric) in [("angular", Metric::Cosine), ("euclidean", Metric::Euclidean), ("dot", Metric::Dot)] {
        let mut index = AnnoyFile::open(&folder.join(format!("{kind}.ann")), 8, metric).expect(kind);
        assert_eq!((index.len(), index.trees()), (400, 4), "{kind}");
        index.set("search_k", 100).expect("known");
        let mut ids = vec![NONE; 200];
        index.search(0, &queries, 10, &mut ids).expect("searched");
        assert_eq!(ids, words(&format!("{kind}.ids")), "{kind}");
    }
    let wrong = AnnoyFile::open(&folder.join("angular.ann"), 9, Metric::Cosine).err().expect("another dim").to_string();
    assert!(wrong.contains("no whole number of nodes of 48 bytes (dim 9, cosine)"), "{wrong}");
}

#[test]
fn a_damaged_file_of_annoy_is_refused_or_searched_but_never_a_panic() {
    let folder = checkout("tests/data/index");
    let whole = fs::read(folder.join("angular.ann")).expect("a fixture");
    let queries: Vec<f32> = (0..16).map(|value| value as f32 - 7.5).collect();
    let target = tempfile::tempdir().expect("temporary folder");
    let path = target.path().join("damaged.ann");
    // The nodes of the trees stand behind the items, the roots at the end.
    let node = 12 + 4 * 8;
    let heads = (400 * node..whole.len()).filter(|byte| byte % node < 12);
    for byte in heads.step_by(7).chain(whole.len() - 4 * node..whole.len()) {
        let mut bytes = whole.clone();
        bytes[byte] ^= 0xff;
        fs::write(&path, &bytes).expect("written");
        if let Ok(mut index) = AnnoyFile::open(&path, 8, Metric::Cosine) {
            index.search(0, &queries, 10, &mut [NONE; 20]).ok();
        }
    }
}

#[cfg(feature = "faiss")]
mod faiss {
    use super::*;

    #[test]
    fn an_index_file_is_written_opened_and_refused_where_it_does_not_fit() {
        let data = Data::new();
        let [docs, file] = ["docs.vec", "hnsw.faiss"].map(|name| shown(&data.path(name)));
        let build = ["index", "build", "--docs", &docs, "--dim", "16", "--metric", "cosine", "--index", "hnsw"];
        let output = command(&[&build[..], &["--output", &file]].concat()).output().expect("started");
        assert!(output.status.success(), "{}", stderr(&output));
        let json = shown(&data.path("out.json"));
        let output = data.search(
            "lab",
            &[
                "--metric",
                "cosine",
                "--json",
                &json,
                "--index",
                "hnsw:efSearch=20",
                "--index",
                &format!("{file}:efSearch=20"),
            ],
        );
        assert!(output.status.success(), "{}", stderr(&output));
        let lines = data.lines("out.json");
        assert_eq!(lines.len(), 2);
        // Two threads link the docs in an order of their own.
        assert!((recall(&lines[0]) - recall(&lines[1])).abs() < 0.03, "graphs of the same docs: {lines:?}");
        let output = data.search("other", &["--metric", "euclidean", "--index", &file]);
        assert!(stderr(&output).contains("it was built for inner product, not for euclidean"), "{}", stderr(&output));
        let half = shown(&data.path("half"));
        let paths = [shown(&data.path("queries.vec")), half];
        let output = knnscope(&[
            "index",
            "search",
            "--docs",
            &docs,
            "--queries",
            &paths[0],
            "--dim",
            "16",
            "--num-docs",
            "1000",
            "--index",
            &file,
            "--metric",
            "cosine",
            "-o",
            &paths[1],
            "--top-k",
            "10",
        ]);
        assert!(stderr(&output).contains("holds 2,000 docs, but only 1,000 are searched"), "{}", stderr(&output));
    }

    #[test]
    fn what_faiss_cannot_build_is_told_with_what_was_meant() {
        let data = Data::new();
        for (spec, told) in [
            ("faiss:IVF16,Flt", "Did you mean IVF16,Flat?"),
            (
                "ivf-flat:nlist=5000",
                "Number of training points (2000) should be at least as large as number of clusters (5000)",
            ),
            ("ivf-pq:m=7:nlist=8", "could not"),
            ("hnsw:efSearch=0", "efSearch of at least 1"),
            ("faiss:Flat:nprobe=3", "nprobe=3 (FAISS:"),
        ] {
            let output = data.search("lab", &["--index", spec]);
            assert!(!output.status.success(), "{spec}");
            assert!(stderr(&output).contains(told), "{spec}: {}", stderr(&output));
        }
    }

    #[test]
    fn an_index_that_outgrows_its_memory_is_stopped() {
        let data = Data::new();
        // 2,000 docs with room for 2 · 100,000 links of 4 bytes each.
        let output = data.search("lab", &["--index", "hnsw:M=100000", "--index-memory", "100M"]);
        assert_eq!(output.status.code(), Some(1));
        let told = stderr(&output);
        assert!(told.contains("more memory than it may take") || told.contains("ran out of the memory"), "{told}");
    }

    #[test]
    fn a_damaged_index_file_ends_the_child_at_most() {
        let data = Data::new();
        let docs = shown(&data.path("docs.vec"));
        let mut lab = Lab::begin(&data.question(), &data.path("lab"), &Monitor::new()).expect("begun");
        for (kind, spec) in [("flat", "flat"), ("ivf", "ivf-flat:nlist=16"), ("hnsw", "hnsw"), ("pq", "faiss:PQ4x4")] {
            let file = data.path(&format!("{kind}.faiss"));
            let build =
                ["index", "build", "--docs", &docs, "--dim", "16", "--metric", "cosine", "--index", spec, "--output"];
            let output = command(&[&build[..], &[&shown(&file)]].concat()).output().expect("started");
            assert!(output.status.success(), "{kind}: {}", stderr(&output));
            let whole = fs::read(&file).expect("written");
            for byte in 0..40 {
                let damaged = data.path(&format!("{kind}-{byte}.faiss"));
                let mut bytes = whole.clone();
                bytes[byte] ^= 0xff;
                fs::write(&damaged, &bytes).expect("written");
                let opened = Candidate::parse(text(&damaged), 16).expect("a file");
                // Some bytes mean nothing; the others are an error, and this process goes on.
                if let Err(error) = lab.run(&opened, &data.options(own_program()), &Monitor::new(), &mut |_| {}) {
                    assert!(error.to_string().contains(&format!("{kind}-{byte}.faiss")), "{error}");
                }
                fs::remove_file(&damaged).expect("removed");
            }
        }
    }

    #[test]
    fn real_embeddings_are_found_by_every_family() {
        let Some(data) = shared("real_embeddings_are_found_by_every_family", "wordnet") else { return };
        let folder = tempfile::tempdir().expect("temporary folder");
        let [docs, queries] =
            ["docs", "queries"].map(|name| shown(&data.join(format!("wordnet-minilm-384d.{name}.vec"))));
        let [lab, json] = ["lab", "out.json"].map(|name| shown(&folder.path().join(name)));
        let mut flags =
            vec!["index", "search", "--docs", &docs, "--queries", &queries, "--dim", "384", "--num-docs", "4000"];
        flags.extend(["--num-queries", "200", "--top-k", "10", "-o", &lab, "--json", &json, "--quiet"]);
        for spec in [
            "flat",
            "ivf-flat:nlist=32:nprobe=8",
            "ivf-pq:nlist=16:m=48:bits=4:nprobe=8",
            "hnsw:efSearch=64",
            "fast-scan:nlist=16:nprobe=8",
        ] {
            flags.extend(["--index", spec]);
        }
        let output = knnscope(&flags);
        assert!(output.status.success(), "{}", stderr(&output));
        let lines: Vec<Value> = serde_json::from_str(&fs::read_to_string(&json).expect("written")).expect("JSON");
        for (name, at_least) in
            [("flat", 1.0), ("hnsw", 0.97), ("ivf-flat", 0.85), ("fast-scan", 0.85), ("ivf-pq", 0.4)]
        {
            let line = lines.iter().find(|line| line["index"].as_str().is_some_and(|index| index.starts_with(name)));
            let found = recall(line.expect(name));
            assert!(found >= at_least, "{name}: {found}");
        }
    }
}
