//! Uniqueness: exact against scikit-learn and a naive loop, formats, lists, bad input.

use std::fs;
use std::path::{Path, PathBuf};

use knnscope::compute::uniqueness::journal::find_all;
use knnscope::compute::uniqueness::{Distance, Near, Neighbours, Rules, Searcher, Selection};
use knnscope::compute::vectors::Embeddings;
use knnscope::job::Monitor;
use proptest::prelude::*;

use crate::support::{Random, knnscope, stderr, text, write_vectors};

/// How an array is written.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    pub descr: &'static str,
    pub fortran: bool,
}

pub const C: Layout = Layout { descr: "<f4", fortran: false };

pub fn write_npy(path: &Path, rows: usize, dim: usize, values: &[f64], layout: Layout) {
    let shape = format!("({rows}, {dim})");
    write_npy_of_shape(path, &shape, rows, dim, values, layout);
}

fn write_npy_of_shape(path: &Path, shape: &str, rows: usize, dim: usize, values: &[f64], layout: Layout) {
    let fortran = if layout.fortran { "True" } else { "False" };
    let mut header = format!("{{'descr': '{}', 'fortran_order': {fortran}, 'shape': {shape}, }}", layout.descr);
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    let order: Vec<usize> = if layout.fortran {
        (0..dim).flat_map(|column| (0..rows).map(move |row| row * dim + column)).collect()
    } else {
        (0..rows * dim).collect()
    };
    for index in order {
        let value = values[index];
        let mut value = match &layout.descr[1..] {
            "f2" => half(value).to_le_bytes().to_vec(),
            "f4" => (value as f32).to_le_bytes().to_vec(),
            _ => value.to_le_bytes().to_vec(),
        };
        if layout.descr.starts_with('>') {
            value.reverse();
        }
        bytes.extend(value);
    }
    fs::write(path, bytes).expect("written");
}

/// The bits of a float16 that holds `value` exactly.
fn half(value: f64) -> u16 {
    let bits = (value as f32).to_bits();
    if value == 0.0 {
        return 0;
    }
    let exponent = ((bits >> 23) & 0xff) as i32 - 127 + 15;
    assert!((1..31).contains(&exponent) && bits & 0x1fff == 0, "{value} is no float16");
    ((bits >> 16) & 0x8000) as u16 | (exponent as u16) << 10 | ((bits >> 13) & 0x3ff) as u16
}

fn scores_of(path: &Path) -> Vec<(String, f64)> {
    let lines = fs::read_to_string(path).expect("scores are there");
    lines
        .lines()
        .map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
            (value["id"].to_string(), value["score"].as_f64().expect("a number"))
        })
        .collect()
}

fn run(args: &[&str]) -> (Option<i32>, String, String) {
    let mut all = vec!["uniqueness"];
    all.extend(args);
    let output = knnscope(&all);
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned(), stderr(&output))
}

fn succeed(args: &[&str]) -> String {
    let (code, out, err) = run(args);
    assert_eq!(code, Some(0), "{args:?}: {err}");
    out
}

/// Scores by scikit-learn in float64, duplicates planted (`tests/data/make_uniqueness_golden.py`).
#[test]
fn golden_scores_of_scikit_learn() {
    let golden: serde_json::Value =
        serde_json::from_str(include_str!("../data/uniqueness_golden.json")).expect("valid JSON");
    let numbers = |value: &serde_json::Value| -> Vec<f64> {
        value.as_array().expect("a list").iter().map(|value| value.as_f64().expect("a number")).collect()
    };
    let (rows, dim) = (golden["rows"].as_u64().expect("rows") as usize, golden["dim"].as_u64().expect("dim") as usize);
    let folder = tempfile::tempdir().expect("temporary folder");
    let (path, output) = (folder.path().join("e.npy"), folder.path().join("scores.jsonl"));
    let values: Vec<f64> = numbers(&golden["values"]).into_iter().map(|value| f64::from(value as f32)).collect();
    write_npy(&path, rows, dim, &values, C);
    let cases = golden["cases"].as_array().expect("a list");
    assert!(cases.len() >= 3);
    for case in cases {
        let (metric, k) = (case["metric"].as_str().expect("a name"), case["k"].to_string());
        succeed(&["--embeddings", text(&path), "--k", &k, "--distance-metric", metric, "--output", text(&output)]);
        for (row, (expected, (id, score))) in numbers(&case["scores"]).into_iter().zip(scores_of(&output)).enumerate() {
            assert_eq!(id, row.to_string());
            // Cancellation leaves scikit-learn some 1e-8 (‖a‖² + ‖b‖² − 2ab under a root) or 1e-16 (1 − cos)
            // where there is 0.
            let nothing = if metric == "euclidean" { 2e-8 } else { 1e-14 };
            let close = (score - expected).abs() <= 1e-6 * expected.abs() + nothing;
            assert!(close, "{metric}, k = {k}, row {row}: {score}, scikit-learn {expected}");
        }
    }
}

#[test]
fn every_layout_gives_the_same_scores() {
    let (rows, dim) = (70, 9);
    let mut random = Random::new(3);
    // Whole numbers over 64 are exact in float16, too.
    let values: Vec<f64> = (0..rows * dim).map(|_| (random.bits() % 200) as f64 / 64.0 + 0.25).collect();
    let folder = tempfile::tempdir().expect("temporary folder");
    let at = |name: &str| folder.path().join(name);
    let output = at("scores.jsonl");
    let vec = at("e.vec");
    write_vectors(&vec, &values.iter().map(|&value| value as f32).collect::<Vec<_>>());
    for metric in ["euclidean", "cosine", "manhattan"] {
        succeed(&["--embeddings", text(&vec), "--dim", "9", "--distance-metric", metric, "--output", text(&output)]);
        let expected = fs::read(&output).expect("there");
        for descr in ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"] {
            for fortran in [false, true] {
                let path = at("e.npy");
                write_npy(&path, rows, dim, &values, Layout { descr, fortran });
                succeed(&["--embeddings", text(&path), "--distance-metric", metric, "--output", text(&output)]);
                assert_eq!(fs::read(&output).expect("there"), expected, "{metric} {descr} {fortran}");
            }
        }
    }
    assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 3, "nothing else is left");
}

fn naive(values: &[f64], dim: usize, k: usize, distance: Distance) -> Vec<Vec<(f64, u32)>> {
    let rows: Vec<&[f64]> = values.chunks_exact(dim).collect();
    let norm = |row: &[f64]| row.iter().map(|value| value * value).sum::<f64>().sqrt();
    let between = |a: &[f64], b: &[f64]| -> f64 {
        let pairs = a.iter().zip(b);
        match distance {
            Distance::Euclidean => pairs.map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt(),
            Distance::Manhattan => pairs.map(|(a, b)| (a - b).abs()).sum(),
            Distance::Cosine => {
                let (left, right) = (norm(a), norm(b));
                pairs.map(|(a, b)| (a / left - b / right).powi(2)).sum::<f64>() / 2.0
            }
        }
    };
    rows.iter()
        .enumerate()
        .map(|(index, row)| {
            let others = rows.iter().enumerate().filter(|&(other, _)| other != index);
            let mut found: Vec<(f64, u32)> =
                others.map(|(other, values)| (between(row, values), other as u32)).collect();
            found.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            found.truncate(k);
            found
        })
        .collect()
}

struct Opened {
    folder: tempfile::TempDir,
    embeddings: Embeddings,
}

fn opened(values: &[f64], dim: usize, descr: &'static str) -> Opened {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("e.npy");
    write_npy(&path, values.len() / dim, dim, values, Layout { descr, fortran: false });
    let embeddings = Embeddings::open(&path, None, folder.path(), &Monitor::new()).expect("opens");
    Opened { folder, embeddings }
}

fn found(embeddings: &Embeddings, k: usize, distance: Distance, budget: u64) -> Neighbours {
    let searcher = Searcher::new(embeddings, distance, budget, &Monitor::new()).expect("finite");
    find_all(&searcher, k, None, &Monitor::new()).expect("found").0
}

#[derive(Debug, Clone)]
struct Case {
    values: Vec<f64>,
    dim: usize,
    k: usize,
    distance: Distance,
    budget: u64,
    descr: &'static str,
}

prop_compose! {
    /// Random rows, some of them copies, some scaled; narrow or wide, also with outliers.
    fn cases()(
        rows in 2usize..160, dim in 1usize..40, seed in any::<u32>(), kind in 0u32..5,
    )(
        k in 1..rows.min(12), seed in Just(seed), rows in Just(rows), dim in Just(dim), kind in Just(kind),
        distance in prop::sample::select(Distance::ALL.to_vec()), small in any::<bool>(), fine in any::<bool>(),
    ) -> Case {
        let mut random = Random::new(u64::from(seed));
        let mut values: Vec<f64> = (0..rows * dim).map(|_| {
            let value = f64::from(random.value());
            match kind {
                0 => (value * 4.0).round() + 0.5,
                1 => value + 3.0,
                2 if random.bits().is_multiple_of(50) => value * 1e4,
                3 => value * 1e-3,
                _ => value,
            }
        }).collect();
        for row in 1..rows {
            if random.bits().is_multiple_of(4) {
                values.copy_within((row - 1) * dim..row * dim, row * dim);
            }
        }
        let descr = if fine { "<f8" } else { "<f4" };
        for value in &mut values {
            // Cosine needs a direction, float64 digits that float32 has not.
            *value += if fine { 1e-9 } else { 0.0 } + if distance == Distance::Cosine { 1e-3 } else { 0.0 };
            if !fine {
                *value = f64::from(*value as f32);
            }
        }
        Case { values, dim, k, distance, budget: if small { 2_000_000 } else { 1 << 30 }, descr }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn neighbours_are_those_of_a_naive_loop(case in cases()) {
        let opened = opened(&case.values, case.dim, case.descr);
        let found = found(&opened.embeddings, case.k, case.distance, case.budget);
        let expected = naive(&case.values, case.dim, case.k, case.distance);
        for (row, expected) in expected.iter().enumerate() {
            let own: Vec<(u32, f64)> = found.of(row).collect();
            prop_assert!(own.iter().all(|&(other, _)| other as usize != row), "row {row} is not its own neighbour");
            for (&(_, distance), &(expected, _)) in own.iter().zip(expected) {
                let close = (distance - expected).abs() <= 1e-9 * expected + 1e-15;
                prop_assert!(close, "row {row}: {own:?}, naive {expected:?}");
            }
            // Which of equals is taken may only differ where rounding decides.
            let exact = expected.windows(2).all(|pair| pair[1].0 - pair[0].0 > 1e-9 * pair[1].0);
            if exact && expected.len() > 1 {
                let rows: Vec<u32> = own[..case.k - 1].iter().map(|&(other, _)| other).collect();
                let naive: Vec<u32> = expected[..case.k - 1].iter().map(|&(_, other)| other).collect();
                prop_assert_eq!(rows, naive);
            }
        }
    }

    #[test]
    fn thinning_keeps_one_of_each_set(case in cases(), share in 0.0f64..1.0) {
        let opened = opened(&case.values, case.dim, case.descr);
        let monitor = Monitor::new();
        let searcher = Searcher::new(&opened.embeddings, case.distance, 1 << 30, &monitor).expect("finite");
        let (neighbours, _) = find_all(&searcher, case.k, None, &monitor).expect("found");
        let all = naive(&case.values, case.dim, case.values.len() / case.dim, case.distance);
        let epsilon = all[0][((all[0].len() - 1) as f64 * share) as usize].0 * (1.0 + 1e-7) + 1e-12;
        let near = Near::find(&searcher, &neighbours, epsilon, opened.folder.path(), &monitor).expect("few pairs");
        let representatives = near.representatives(epsilon, |_| true);
        for row in 0..all.len() {
            let kept_before: Vec<u32> = all[row].iter()
                .filter(|&&(distance, other)| distance <= epsilon && (other as usize) < row && representatives[other as usize] == other)
                .map(|&(_, other)| other).collect();
            match kept_before.is_empty() {
                true => prop_assert_eq!(representatives[row] as usize, row),
                false => prop_assert!(kept_before.contains(&representatives[row])),
            }
        }
        let curve = near.curve(10, &monitor).expect("not cancelled");
        let kept = representatives.iter().zip(0u32..).filter(|&(&representative, row)| representative == row).count();
        prop_assert_eq!(curve.points.last().expect("points").1, kept);
    }
}

#[test]
fn many_equal_rows_are_each_others_duplicates() {
    // More equal rows than neighbours are kept, and than any list has room for.
    let (rows, dim) = (1100, 8);
    let values: Vec<f64> = (0..rows).flat_map(|row| vec![if row < 1000 { 1.0 } else { f64::from(row) }; dim]).collect();
    let opened = opened(&values, dim, "<f4");
    for distance in [Distance::Euclidean, Distance::Manhattan] {
        let monitor = Monitor::new();
        let searcher = Searcher::new(&opened.embeddings, distance, 1 << 30, &monitor).expect("finite");
        let (neighbours, _) = find_all(&searcher, 5, None, &monitor).expect("found");
        assert_eq!(neighbours.of(2).map(|(other, _)| other).collect::<Vec<_>>(), [0, 1, 3, 4, 5]);
        let scores = neighbours.scores();
        assert!(scores[..1000].iter().all(|&score| score == 0.0) && scores[1000..].iter().all(|&score| score > 0.0));
        let near = Near::find(&searcher, &neighbours, 0.0, opened.folder.path(), &monitor).expect("found");
        let rules = Rules { dedupe: Some(0.0), ..Rules::default() };
        let selection =
            Selection::make(&searcher, 5, &scores, Some(&near), rules, opened.folder.path(), &monitor).expect("valid");
        assert_eq!(selection.kept(), 101, "one of 1,000 and 100 others");
    }
}

/// Rows an ulp apart: the products that find neighbours cannot tell them apart, their distances can.
#[test]
fn cosine_tells_apart_what_products_cannot() {
    let (rows, dim) = (60, 384);
    let mut random = Random::new(11);
    let base: Vec<f32> = random.values(dim);
    let mut values: Vec<f64> = random.values((rows - 20) * dim).into_iter().map(f64::from).collect();
    for row in 0..20 {
        let mut copy = base.clone();
        // Rows 3, 9 and 15 are equal; the others differ in one value by an ulp.
        if row % 6 != 3 {
            copy[row] = copy[row].next_up();
        }
        values.extend(copy.into_iter().map(f64::from));
    }
    let opened = opened(&values, dim, "<f4");
    let found = found(&opened.embeddings, 1, Distance::Cosine, 1 << 30);
    for row in [3, 9, 15].map(|row| rows - 20 + row) {
        assert_eq!(found.nearest_distance(row), 0.0, "row {row} has an equal one");
    }
    for (row, expected) in naive(&values, dim, 1, Distance::Cosine).into_iter().enumerate() {
        assert!((found.nearest_distance(row) - expected[0].0).abs() <= 1e-6 * expected[0].0, "row {row}");
    }
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_devices_are_not_replaced() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let at = |name: &str| folder.path().join(name);
    write_npy(&at("e.npy"), 4, 1, &[0.0, 1.0, 3.0, 7.0], C);
    fs::write(at("target.jsonl"), "old").expect("written");
    std::os::unix::fs::symlink(at("target.jsonl"), at("link.jsonl")).expect("linked");
    succeed(&["--embeddings", text(&at("e.npy")), "--output", text(&at("link.jsonl"))]);
    assert!(fs::symlink_metadata(at("link.jsonl")).expect("there").is_symlink());
    assert_eq!(scores_of(&at("target.jsonl")).len(), 4);
    let made = std::process::Command::new("mkfifo").arg(at("pipe")).status().expect("mkfifo runs");
    assert!(made.success());
    let (code, _, told) = run(&["--embeddings", text(&at("e.npy")), "--output", text(&at("pipe"))]);
    assert_eq!(code, Some(1));
    assert!(told.contains("pipe: is not a regular file"), "{told}");
    use std::os::unix::fs::FileTypeExt;
    assert!(fs::symlink_metadata(at("pipe")).expect("there").file_type().is_fifo());
}

#[test]
fn any_number_of_workers_and_any_memory_give_the_same_bytes() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let at = |name: &str| folder.path().join(name);
    write_vectors(&at("e.vec"), &Random::new(5).values(4000 * 32));
    for metric in ["euclidean", "cosine", "manhattan"] {
        let mut all: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        // Codes of all samples take 170 kB.
        for (workers, memory) in [("1", "1G"), ("2", "8M"), ("5", "2G")] {
            let (scores, neighbours) = (at("s.jsonl"), at("n.jsonl"));
            succeed(&[
                "--embeddings",
                text(&at("e.vec")),
                "--dim",
                "32",
                "--distance-metric",
                metric,
                "--max-workers",
                workers,
                "--memory",
                memory,
                "--output",
                text(&scores),
                "--neighbors",
                text(&neighbours),
                "--k",
                "9",
            ]);
            all.push((fs::read(scores).expect("there"), fs::read(neighbours).expect("there")));
        }
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{metric}");
    }
}

fn dataset(folder: &Path, lines: &[&str]) -> PathBuf {
    let path = folder.join("d.jsonl");
    fs::write(&path, lines.join("\n") + "\n").expect("written");
    path
}

#[test]
fn lists_name_samples_and_reasons() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let at = |name: &str| folder.path().join(name);
    // On a line at 0, 0, 1, 3, 3.1 and 50.
    write_vectors(&at("e.vec"), &[0.0, 0.0, 1.0, 3.0, 3.1, 50.0]);
    let samples = dataset(
        folder.path(),
        &[
            r#"{"id": "a,1"}"#,
            r#"{"id": "b", "text": "x"}"#,
            r#"{"id": 3}"#,
            r#"{"id": 4.5}"#,
            r#"{"id": "é\n"}"#,
            r#"{"id": true}"#,
        ],
    );
    let output = at("s.jsonl");
    let vec = at("e.vec");
    let usual =
        ["--embeddings", text(&vec), "--dim", "1", "--dataset", text(&samples), "--k", "1", "--output", text(&output)];
    let told = succeed(&[&usual[..], &["--dedupe", "0.2", "--drop-above", "40", "--keep", "2"]].concat());
    let ids: Vec<String> = scores_of(&output).into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, [r#""a,1""#, r#""b""#, "3", "4.5", r#""é\n""#, "true"]);
    assert!(
        told.contains("kept 2 samples") && told.contains("duplicate 2, surplus 1") && told.contains("above 1"),
        "{told}"
    );
    let kept = fs::read_to_string(at("s.kept.jsonl")).expect("there");
    // Among 0, 1 and 3, which thinning leaves, 3 is the most unique; its score in the list is that among all.
    assert_eq!(kept, "{\"id\": \"a,1\", \"score\": 0.0}\n{\"id\": 4.5, \"score\": 0.09999990463256836}\n");
    let dropped = fs::read_to_string(at("s.dropped.jsonl")).expect("there");
    assert!(
        dropped.contains(r#"{"id": "b", "score": 0.0, "reason": "duplicate", "duplicate_of": "a,1"}"#),
        "{dropped}"
    );
    assert!(dropped.contains(r#"{"id": true, "score": 46.90000009536743, "reason": "above"}"#), "{dropped}");

    let (kept, dropped) = (at("k.csv"), at("d.csv"));
    succeed(&[&usual[..], &["--dedupe", "0", "--kept", text(&kept), "--dropped", text(&dropped)]].concat());
    assert_eq!(fs::read_to_string(&dropped).expect("there"), "id,score,reason,duplicate_of\nb,0.0,duplicate,\"a,1\"\n");
    assert!(fs::read_to_string(&kept).expect("there").starts_with("id,score\n\"a,1\",0.0\n3,1.0\n"));
}

#[test]
fn a_config_is_read_and_flags_come_first() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let at = |name: &str| folder.path().join(name);
    write_npy(&at("e.npy"), 4, 1, &[0.0, 1.0, 3.0, 7.0], C);
    let config = format!("name: KNNScorer\nembedding_path: {}\nk: 1\ndistance_metric: manhattan\n", text(&at("e.npy")));
    fs::write(at("s.yaml"), config).expect("written");
    let (yaml, output) = (at("s.yaml"), at("s.jsonl"));
    let scores = || scores_of(&output).into_iter().map(|(_, score)| score).collect::<Vec<_>>();
    succeed(&["--config", text(&yaml), "--output", text(&output)]);
    assert_eq!(scores(), [1.0, 1.0, 2.0, 4.0]);
    succeed(&["--config", text(&yaml), "--output", text(&output), "--k", "2"]);
    assert_eq!(scores(), [2.0, 1.5, 2.5, 5.0]);
    // k ≥ samples is lowered, and told.
    let (code, _, told) = run(&["--config", text(&yaml), "--output", text(&output), "--k", "9", "--quiet"]);
    assert_eq!(code, Some(0));
    assert!(told.contains("warning: k = 9 is not less than the 4 samples; lowered to 3"), "{told}");
}

#[test]
fn bad_input_is_named_and_nothing_is_left() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let at = |name: &str| folder.path().join(name);
    let npy = |name: &str, shape: &str, descr: &'static str, values: &[f64]| {
        write_npy_of_shape(&at(name), shape, values.len(), 1, values, Layout { descr, fortran: false });
    };
    npy("one.npy", "(3,)", "<f4", &[1.0; 3]);
    npy("three.npy", "(1, 3, 1)", "<f4", &[1.0; 3]);
    npy("empty.npy", "(0, 4)", "<f4", &[]);
    npy("flat.npy", "(4, 0)", "<f4", &[]);
    npy("object.npy", "(3, 1)", "|O", &[1.0; 3]);
    npy("int.npy", "(3, 1)", "<i8", &[1.0; 3]);
    npy("cut.npy", "(30, 1)", "<f4", &[1.0; 3]);
    npy("single.npy", "(1, 1)", "<f4", &[1.0]);
    write_npy(&at("nan.npy"), 3, 2, &[1.0, 2.0, 3.0, f64::NAN, 5.0, 6.0], C);
    write_npy(&at("inf8.npy"), 3, 2, &[1.0, 2.0, 3.0, 4.0, 1e300, 6.0], Layout { descr: "<f8", fortran: true });
    write_npy(&at("zero.npy"), 3, 2, &[1.0, 2.0, 0.0, 0.0, 5.0, 6.0], C);
    write_npy(&at("good.npy"), 3, 1, &[1.0, 2.0, 4.0], C);
    fs::write(at("x.npz"), b"PK\x03\x04...").expect("written");
    fs::write(at("text.npy"), b"1,2,3\n").expect("written");
    fs::write(at("bad.yaml"), "k: 5\nmetric: cosine\n").expect("written");
    let lists = [
        ("short.jsonl", "{\"id\": 1}\n{\"id\": 2}\n"),
        ("noid.jsonl", "{\"id\": 1}\n{\"name\": 2}\n{\"id\": 3}\n"),
        ("array.jsonl", "{\"id\": 1}\n{\"id\": 2}\n[3]\n"),
        ("torn.jsonl", "{\"id\": 1}\n{\"id\": 2\n{\"id\": 3}\n"),
        ("blank.jsonl", "{\"id\": 1}\n\n{\"id\": 3}\n"),
        ("null.jsonl", "{\"id\": null}\n{\"id\": 2}\n{\"id\": 3}\n"),
        ("twice.jsonl", "{\"id\": \"x\"}\n{\"id\": 2}\n{\"id\": \"x\"}\n"),
    ];
    for (name, content) in lists {
        fs::write(at(name), content).expect("written");
    }
    let before = fs::read_dir(folder.path()).expect("readable").count();
    let output = at("new/deep/s.jsonl");
    for (embeddings, more, code, told) in [
        ("none.npy", "", 1, "none.npy: cannot be read: there is no such file"),
        (
            "one.npy",
            "",
            1,
            "one.npy: holds an array of 1 dimension with shape (3); expected 2 dimensions: samples × dim",
        ),
        ("three.npy", "", 1, "holds an array of 3 dimensions with shape (1, 3, 1)"),
        ("empty.npy", "", 1, "is empty: its shape is (0, 4)"),
        ("flat.npy", "", 1, "is empty: its shape is (4, 0)"),
        ("object.npy", "", 1, "has dtype '|O'; expected float16, float32 or float64; it holds Python objects"),
        ("int.npy", "", 1, "has dtype '<i8'; expected float16, float32 or float64; convert it: array.astype"),
        ("cut.npy", "", 1, "is cut off: its header promises 30 × 1 values"),
        ("single.npy", "", 2, "at least two samples"),
        ("nan.npy", "", 1, "nan.npy: row 1, dimension 1 is NaN"),
        ("inf8.npy", "", 1, "inf8.npy: row 2, dimension 0 is 1e300"),
        (
            "zero.npy",
            "--distance-metric cosine",
            1,
            "zero.npy: 1 row is without direction (all zeros), so cosine is undefined: row 1",
        ),
        ("x.npz", "", 1, "is a .npz archive"),
        ("text.npy", "", 1, "is no .npy file"),
        ("good.npy", "--dim 7", 1, "has rows of 1 values, but dim 7 was given"),
        ("good.npy", "--k 0", 2, "k: expected a whole number of at least 1"),
        ("good.npy", "--distance-metric chebyshev", 2, "euclidean, cosine or manhattan"),
        ("good.npy", "--dataset short.jsonl", 1, "short.jsonl: has 2 samples, but"),
        ("good.npy", "--dataset noid.jsonl", 1, "noid.jsonl: line 2: it has no \"id\""),
        ("good.npy", "--dataset array.jsonl", 1, "array.jsonl: line 3: it is no JSON object"),
        ("good.npy", "--dataset torn.jsonl", 1, "torn.jsonl: line 2: it is no JSON object (EOF"),
        ("good.npy", "--dataset blank.jsonl", 1, "blank.jsonl: line 2: the line is empty"),
        ("good.npy", "--dataset null.jsonl", 1, "null.jsonl: line 1: it has no \"id\""),
        ("good.npy", "--config bad.yaml", 2, "bad.yaml: line 2: unknown key metric"),
        ("good.npy", "--drop-below 3 --drop-above 2", 2, "drop-below: expected at most drop-above"),
        ("good.npy", "--dedupe -1", 2, "dedupe: expected a finite distance of at least 0"),
        ("good.npy", "--kept k.jsonl", 2, "at least one rule"),
        ("good.npy", "--memory 1", 2, "memory: "),
        ("good.npy", "--neighbors n.csv", 2, "are written as JSONL"),
    ] {
        let embeddings = at(embeddings);
        let mut args = vec!["--embeddings", text(&embeddings), "--output", text(&output)];
        let more: Vec<String> = more
            .split_whitespace()
            .map(|word| {
                if word.contains(".jsonl") || word.contains(".yaml") {
                    text(&at(word)).to_owned()
                } else {
                    word.to_owned()
                }
            })
            .collect();
        args.extend(more.iter().map(String::as_str));
        let (found, _, err) = run(&args);
        assert_eq!(found, Some(code), "{args:?}: {err}");
        assert!(err.contains(told), "{told:?} is missing in {err}");
        assert!(!err.contains("panicked"), "{err}");
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), before, "{args:?} left something");
    }
    let good = at("good.npy");
    let twice = at("twice.jsonl");
    let (code, _, err) = run(&["--embeddings", text(&good), "--dataset", text(&twice), "--output", text(&output)]);
    assert_eq!(code, Some(0));
    assert!(err.contains("1 id comes more than once, like \"x\" (lines 1 and 3)"), "{err}");
    let bytes = fs::read(&good).expect("there");
    let (code, _, err) = run(&["--embeddings", text(&good), "--output", text(&good)]);
    assert_eq!((code, fs::read(&good).expect("there")), (Some(2), bytes), "{err}");
}
