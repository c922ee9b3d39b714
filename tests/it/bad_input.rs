//! Bad input: a clear error, the right exit code, and nothing left behind.

use std::fs;
use std::path::Path;

use crate::support::{Vectors, knnscope, stderr, text, write_vectors};

struct Case<'a> {
    name: &'a str,
    args: Vec<String>,
    code: i32,
    told: Vec<&'a str>,
}

fn check(case: &Case<'_>, output_dir: &Path) {
    let output = knnscope(&case.args.iter().map(String::as_str).collect::<Vec<_>>());
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(case.code), "{}: {told}", case.name);
    for part in &case.told {
        assert!(told.contains(part), "{}: {part:?} is missing in {told}", case.name);
    }
    assert!(!told.contains("panicked"), "{}: {told}", case.name);
    assert!(!output_dir.exists(), "{}: nothing is left behind", case.name);
}

#[test]
fn bad_vectors_and_parameters_are_named() {
    let vectors = Vectors::random(60, 20, 6);
    let folder = vectors.folder.path();
    let at = |name: &str| text(&folder.join(name)).to_owned();
    fs::write(at("empty.vec"), "").expect("written");
    fs::write(at("torn.vec"), vec![0u8; 6 * 4 * 10 + 5]).expect("written");
    write_vectors(&folder.join("five.vec"), &[1.0; 5 * 7]);
    let mut values = vec![0.5f32; 60 * 6];
    values[31 * 6 + 4] = f32::NAN;
    write_vectors(&folder.join("nan.vec"), &values);
    values[31 * 6 + 4] = f32::NEG_INFINITY;
    write_vectors(&folder.join("inf.vec"), &values);
    values[31 * 6..32 * 6].fill(0.0);
    write_vectors(&folder.join("zero.vec"), &values);
    let out = folder.join("out");
    let (docs, queries) = (text(&vectors.docs), text(&vectors.queries));
    let score = |docs: &str, queries: &str, more: &str| -> Vec<String> {
        let mut args = vec!["score", "--docs", docs, "--queries", queries, "--output-dir", text(&out)];
        args.extend(more.split(' '));
        args.into_iter().map(str::to_owned).collect()
    };
    let usual = "--dim 6 --top-k 3 -N 4 -M 2";
    let missing = at("missing.vec");
    for (name, args, code, told) in [
        ("missing", score(&missing, queries, usual), 1, vec!["missing.vec: cannot be read: there is no such file"]),
        ("empty", score(&at("empty.vec"), queries, usual), 1, vec!["empty.vec: is empty; expected rows of 6 float32"]),
        ("directory", score(text(folder), queries, usual), 1, vec!["is a directory; expected a file"]),
        (
            "torn",
            score(&at("torn.vec"), queries, usual),
            1,
            vec!["torn.vec: has 245 bytes", "whole number of rows of dim 6 (24 bytes each)", "No dim fits"],
        ),
        (
            "other dim",
            score(&at("five.vec"), queries, usual),
            1,
            vec!["five.vec: has 140 bytes", "Dims that would fit: 5, 7, 35"],
        ),
        (
            "queries of another dim",
            score(docs, &at("five.vec"), usual),
            1,
            vec!["five.vec: has 140 bytes", "rows of dim 6"],
        ),
        ("NaN", score(&at("nan.vec"), queries, usual), 1, vec!["nan.vec: row 31, dimension 4 is NaN"]),
        (
            "NaN in queries",
            score(docs, &at("nan.vec"), "--dim 6 --top-k 3 -N 40"),
            1,
            vec!["nan.vec: row 31, dimension 4"],
        ),
        ("infinity", score(&at("inf.vec"), queries, usual), 1, vec!["inf.vec: row 31, dimension 4 is -inf"]),
        (
            "zero vector",
            score(&at("zero.vec"), queries, "--dim 6 --top-k 3 -N 4 --metric angular"),
            1,
            vec!["zero.vec: row 31 is a zero vector", "choose another metric"],
        ),
        (
            "no dim",
            score(docs, queries, "--top-k 3 -N 4"),
            2,
            vec!["dim: expected the dimensions of the vectors", "looks right"],
        ),
        (
            "dim 0",
            score(docs, queries, "--dim 0 -N 4"),
            2,
            vec!["dim: expected a whole number from 1 to 65,536, found 0"],
        ),
        ("dim negative", score(docs, queries, "--dim -6 -N 4"), 2, vec!["invalid value '-6' for '--dim"]),
        (
            "numDocs beyond",
            score(docs, queries, "--dim 6 --num-docs 61 -N 4 --top-k 3"),
            2,
            vec!["numDocs: 61 asked for, but the file has 60 rows at dim 6"],
        ),
        (
            "numDocs 0",
            score(docs, queries, "--dim 6 --num-docs 0 -N 4 --top-k 3"),
            2,
            vec!["numDocs: expected a whole number of at least 1, found 0"],
        ),
        (
            "topK beyond",
            score(docs, queries, "--dim 6 --top-k 61 -N 4"),
            2,
            vec!["topK: 61 asked for, but only 60 docs are searched"],
        ),
        (
            "topK 0",
            score(docs, queries, "--dim 6 --top-k 0 -N 4"),
            2,
            vec!["topK: expected a whole number of at least 1, found 0"],
        ),
        ("N empty", score(docs, queries, "--dim 6 -N ,"), 2, vec!["N: expected whole numbers of at least 1"]),
        ("N zero", score(docs, queries, "--dim 6 -N 0"), 2, vec!["found 0"]),
        ("N negative", score(docs, queries, "--dim 6 -N -3"), 2, vec!["found -3"]),
        ("N no number", score(docs, queries, "--dim 6 -N four"), 2, vec!["found four"]),
        (
            "M zero",
            score(docs, queries, "--dim 6 -N 4 -M 0 --top-k 3"),
            2,
            vec!["M: expected a whole number of at least 1, found 0"],
        ),
        (
            "too large",
            score(docs, queries, "--dim 6 -N 9223372036854775807,9223372036854775806 -M 3 --top-k 3"),
            2,
            vec!["numbers too large to multiply"],
        ),
        (
            "too large by topK",
            score(docs, queries, "--dim 6 -N 9223372036854775807 --top-k 3"),
            2,
            vec!["numbers too large to multiply"],
        ),
        ("too many runs", score(docs, queries, "--dim 6 -N 1 -M 10001 --top-k 3"), 2, vec!["at most 10,000 runs"]),
        (
            "memory",
            score(docs, queries, "--dim 6 -N 4 --top-k 3 --memory 1k"),
            2,
            vec!["memory: this plan needs at least", "--memory"],
        ),
        (
            "threads",
            score(docs, queries, "--dim 6 -N 4 --top-k 3 --threads 0"),
            2,
            vec!["threads: expected a whole number from 1"],
        ),
        ("metric", score(docs, queries, "--dim 6 -N 4 --metric manhattan"), 2, vec!["metric: expected dot"]),
        ("unknown flag", score(docs, queries, "--dim 6 -N 4 --fast"), 2, vec!["unexpected argument '--fast'"]),
        (
            "disk full",
            score(docs, queries, "--dim 6 -N 9000000000000000 --top-k 60"),
            1,
            vec!["not enough space", "Free some space"],
        ),
    ] {
        check(&Case { name, args, code, told }, &out);
    }
    let command = knnscope(&["scoer"]);
    assert_eq!(command.status.code(), Some(2));
    assert!(
        stderr(&command).contains(
            "expected a command (score, video, verify, uniqueness, sparsity, index, demo) or an existing file"
        ),
        "{}",
        stderr(&command)
    );
    let window = knnscope(&[text(folder)]);
    assert_eq!(window.status.code(), Some(1));
    assert!(stderr(&window).contains("no display") && stderr(&window).contains("knnscope demo"), "{}", stderr(&window));
}

#[test]
fn an_output_folder_that_cannot_be_made_is_named() {
    let vectors = Vectors::random(60, 20, 6);
    let file = vectors.folder.path().join("a file");
    fs::write(&file, "precious").expect("written");
    for target in [file.clone(), file.join("below")] {
        let output = vectors.score(&target, &["-N", "4", "--top-k", "3"]);
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("a file"), "{told}");
    }
    assert_eq!(fs::read(&file).expect("still there"), b"precious");
}

/// A finished session, and what is said when its folder is damaged in one way.
#[test]
fn damaged_results_are_named() {
    let vectors = Vectors::random(60, 20, 6);
    let good = vectors.folder.path().join("good");
    assert!(vectors.score(&good, &["-N", "2,4", "--top-k", "3", "--quiet"]).status.success());
    let manifest = fs::read_to_string(good.join("manifest.json")).expect("written");
    let damaged = vectors.folder.path().join("damaged");
    let edit = |from: &'static str, to: &'static str| {
        let manifest = manifest.clone();
        assert!(manifest.contains(from), "{from}");
        Box::new(move |folder: &Path| {
            fs::write(folder.join("manifest.json"), manifest.replace(from, to)).expect("written");
        }) as Box<dyn Fn(&Path)>
    };
    let act = |action: fn(&Path)| Box::new(action) as Box<dyn Fn(&Path)>;
    let outside = vectors.folder.path().join("outside.bin");
    fs::write(&outside, vec![0u8; 24]).expect("written");
    type Damage = Box<dyn Fn(&Path)>;
    let cases: Vec<(&str, Damage, &str)> = vec![
        (
            "no manifest",
            act(|folder| fs::remove_file(folder.join("manifest.json")).expect("removed")),
            "there is no manifest.json",
        ),
        (
            "empty manifest",
            act(|folder| fs::write(folder.join("manifest.json"), "").expect("written")),
            "is empty; expected JSON",
        ),
        (
            "no JSON",
            act(|folder| fs::write(folder.join("manifest.json"), "scores").expect("written")),
            "is no valid JSON",
        ),
        (
            "other types",
            edit("\"dim\": 6", "\"dim\": \"six\""),
            "dim: expected a whole number of at least 1, found the text \"six\"",
        ),
        ("negative", edit("\"topK\": 3", "\"topK\": -3"), "topK: expected a whole number of at least 1, found -3"),
        (
            "overflowing",
            edit("\"numScores\": 6", "\"numScores\": 99999999999999999999999"),
            "runs[0].numScores: expected a whole number",
        ),
        (
            "absolute",
            edit("\"file\": \"scores_N2_M0.bin\"", "\"file\": \"/etc/hostname\""),
            "runs[0].file: expected the plain name",
        ),
        (
            "climbing",
            edit("\"file\": \"scores_N2_M0.bin\"", "\"file\": \"../outside.bin\""),
            "runs[0].file: expected the plain name",
        ),
        (
            "missing file",
            act(|folder| fs::remove_file(folder.join("scores_N2_M0.bin")).expect("removed")),
            "scores_N2_M0.bin: cannot be read",
        ),
        (
            "shorter file",
            act(|folder| fs::write(folder.join("scores_N4_M0.bin"), [0u8; 40]).expect("written")),
            "expected 48 bytes (12 values of four bytes), found 40",
        ),
        (
            "empty file",
            act(|folder| fs::write(folder.join("scores_N4_M0.bin"), "").expect("written")),
            "expected 48 bytes (12 values of four bytes), found 0",
        ),
        (
            "NaN",
            act(|folder| write_vectors(&folder.join("scores_N2_M0.bin"), &[1.0, 2.0, f32::NAN, 0.0, 0.0, 0.0])),
            "score 2 is NaN",
        ),
        #[cfg(unix)]
        (
            "link out",
            act(|folder| {
                let file = folder.join("scores_N2_M0.bin");
                fs::remove_file(&file).expect("removed");
                std::os::unix::fs::symlink(folder.join("../outside.bin"), file).expect("linked");
            }),
            "is a link out of the folder",
        ),
        (
            "no runs",
            Box::new(|folder: &Path| {
                let mut json: serde_json::Value =
                    serde_json::from_slice(&fs::read(folder.join("manifest.json")).expect("there")).expect("JSON");
                json["runs"] = serde_json::json!([]);
                fs::write(folder.join("manifest.json"), json.to_string()).expect("written");
            }),
            "has no finished runs yet",
        ),
    ];
    for (name, damage, found) in cases {
        fs::remove_dir_all(&damaged).ok();
        fs::create_dir(&damaged).expect("made");
        for entry in fs::read_dir(&good).expect("there") {
            let path = entry.expect("readable").path();
            fs::copy(&path, damaged.join(path.file_name().expect("a name"))).expect("copied");
        }
        damage(&damaged);
        let out = vectors.folder.path().join("frames");
        let output = knnscope(&["video", "--input-dir", text(&damaged), "--output-dir", text(&out), "--quiet"]);
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{name}: {told}");
        assert!(told.contains(found), "{name}: {told}");
        let left = fs::read_dir(&out).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{name}: nothing half-written");
        fs::remove_dir_all(&out).ok();
    }
}

#[test]
fn wrong_video_flags_are_wrong_use() {
    let folder = tempfile::tempdir().expect("temporary folder");
    for (flags, found) in [
        ("--bins 0", "bins: expected a whole number from 1 to 10,000, found 0"),
        ("--size 1801x900", "even sides"),
        ("--fps 0", "fps: expected frames per second"),
        ("--fps fast", "fps: expected frames per second"),
    ] {
        let mut args = vec!["video", "--input-dir", text(folder.path())];
        args.extend(flags.split(' '));
        let output = knnscope(&args);
        assert_eq!(output.status.code(), Some(2), "{flags}: {}", stderr(&output));
        assert!(stderr(&output).contains(found), "{flags}: {}", stderr(&output));
    }
}
