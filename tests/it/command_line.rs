//! The commands as a user calls them.

use crate::support::{Vectors, command, knnscope, stderr, text};

#[test]
fn help_and_version_are_no_failures() {
    for args in [vec!["--help"], vec!["--version"], vec!["score", "--help"], vec!["video", "-h"]] {
        let output = knnscope(&args);
        assert!(output.status.success(), "{args:?}");
        assert!(!output.stdout.is_empty());
    }
}

#[test]
fn a_dry_run_tells_the_plan_and_writes_nothing() {
    let vectors = Vectors::random(400, 30, 10);
    let folder = vectors.folder.path().join("results");
    let output = vectors.score(&folder, &["-N", "10,20", "-M", "2", "--top-k", "5", "--dry-run"]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", stderr(&output));
    for part in [
        "400 docs × 60 queries, dim 10, dot, top-5: 4 runs of N = 10, 20, 2 repeats each",
        "will write 2.40 kB",
        "query × doc pairs/s on",
        "warning: 60 queries are needed, the file has 30: from run 3 of 4 (N = 20, repeat 1) on, 30 queries are reused",
    ] {
        assert!(told.contains(part), "{part:?} is missing in {told}");
    }
    assert!(!folder.exists());
    let args = ["-N", "10,20", "-M", "2", "--top-k", "5"];
    assert!(vectors.score(&folder, &args).status.success());
    let output = vectors.score(&folder, &[&args[..], &["--dry-run"]].concat());
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("All 4 runs were there already: ") && !told.contains("will write"), "{told}");
}

#[test]
fn what_was_chosen_is_explained() {
    let vectors = Vectors::random(3000, 100, 64);
    let explain = |kernel: &str| {
        let folder = vectors.folder.path().join(kernel);
        let args = ["-N", "100", "-M", "1", "--top-k", "5", "--explain", "--kernel", kernel];
        let output = vectors.score(&folder, &args);
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for (kernel, parts) in [
        ("f32", vec!["kernel: float32 tiles (", "): asked for\n", "docs: 3,000 norms kept for the whole session"]),
        ("int8", vec!["kernel: int8 filter (", "): asked for\n", "data: codes of vectors as they are, chosen in "]),
        ("prefix", vec!["kernel: int8 filter along principal axes (", "data: codes of vectors along ", " of 64"]),
    ] {
        let told = explain(kernel);
        for part in parts.into_iter().chain(["scored: 300,000 query × doc pairs in "]) {
            assert!(told.contains(part), "{kernel}: {part:?} is missing in {told}");
        }
        let parts = [" docs passed the filter, ", "scanned again: ", " scanning codes, "];
        assert!(parts.iter().all(|part| told.contains(part) == (kernel != "f32")), "{told}");
    }
    let again = explain("int8");
    assert!(
        again.contains("kernel: none was needed: all runs were there already") && !again.contains("asked for"),
        "{again}"
    );
}

#[test]
fn a_cpu_level_that_is_none_is_refused() {
    let output = command(&["demo", "--help"]).env("KNNSCOPE_CPU", "AVX2").output().expect("starts");
    assert!(output.status.success(), "help helps in any case");
    let output = command(&["verify", "nowhere"]).env("KNNSCOPE_CPU", "AVX2").output().expect("starts");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(stderr(&output).trim(), "error: KNNSCOPE_CPU: expected scalar, avx2 or avx512, found AVX2");
    let output = command(&["verify", "nowhere"]).env("KNNSCOPE_CPU", "").output().expect("starts");
    assert!(!stderr(&output).contains("KNNSCOPE_CPU"), "{}", stderr(&output));
}

#[test]
fn progress_comes_as_lines_where_there_is_no_terminal_and_not_at_all_when_quiet() {
    let vectors = Vectors::random(30_000, 2000, 64);
    let folder = vectors.folder.path().join("results");
    let args = vectors.score_args(&folder, &["-N", "2000", "--threads", "1"]);
    // The slowest kernels, so that there is something to tell.
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let output = command(&args).env("KNNSCOPE_CPU", "scalar").output().expect("starts");
    assert!(output.status.success());
    let told = stderr(&output);
    assert!(!told.contains('\r'), "no bar in a pipe: {told}");
    let line = told.lines().find(|line| line.starts_with("scoring: ")).unwrap_or_else(|| panic!("no line: {told}"));
    assert!(line.contains(" % · run 1 of 1 (N = 2,000, repeat 1)"), "{line}");
    let folder = vectors.folder.path().join("quiet");
    let output = vectors.score(&folder, &["-N", "20", "--quiet"]);
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{}", stderr(&output));
}

#[test]
fn the_demo_makes_scores_frames_and_video_without_a_display() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let output = knnscope(&["demo", "--output-dir", text(folder.path())]);
    assert!(output.status.success(), "{}", stderr(&output));
    let there = |name: &str| folder.path().join(name).is_file();
    assert!(
        there("manifest.json") && there("exact_nn_histogram.mp4") && there("frame_0000.png") && there("frame_0029.png")
    );
    assert!(!there("frame_0030.png"));
    assert!(folder.path().join("vectors/wordnet-minilm-384d.docs.csv").is_file());
    assert!(folder.path().join("vectors/WORDNET-LICENSE.txt").is_file());
    let again = knnscope(&["demo", "--output-dir", text(folder.path())]);
    assert!(String::from_utf8_lossy(&again.stdout).contains("were there already"));
}
