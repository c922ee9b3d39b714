//! Near-duplicates at the command line.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::{Random, knnscope, shared, stderr, text, write_vectors};

const DIM: usize = 16;

/// 1,200 docs of random directions; from doc 300 on every fourth repeats doc 0 to 224 with a little noise, so that each
/// has one near-duplicate, and docs 10 and 20 come again to the last bit. With texts.
fn planted() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let docs = folder.path().join("docs.vec");
    let mut random = Random::new(5);
    let mut rows: Vec<Vec<f32>> = (0..1200).map(|_| random.values(DIM)).collect();
    for original in 0..225 {
        let noise = random.values(DIM);
        rows[300 + 4 * original] =
            rows[original].iter().zip(noise).map(|(value, noise)| value + 0.02 * noise).collect();
    }
    rows[1101] = rows[10].clone();
    rows[1102] = rows[20].clone();
    write_vectors(&docs, &rows.concat());
    let texts: String = (0..1200).map(|row| format!("doc number {row}\n")).collect();
    fs::write(docs.with_extension("csv"), format!("text\n{texts}")).expect("written");
    (folder, docs)
}

#[test]
fn planted_duplicates_are_told_with_texts_and_what_indexes_overlook() {
    let (folder, docs) = planted();
    let path = |name: &str| folder.path().join(name);
    let [csv, json, chart, members] = ["out.csv", "out.json", "out.svg", "members.csv"].map(path);
    let output = knnscope(&[
        "index",
        "duplicates",
        "--docs",
        text(&docs),
        "--dim",
        "16",
        "--threshold",
        "0.99",
        "--neighbours",
        "3",
        "--index",
        "exact",
        "--index",
        "hyperplane:tables=1:hashes=12",
        "--csv",
        text(&csv),
        "--json",
        text(&json),
        "--chart",
        text(&chart),
        "--members",
        text(&members),
        "--threads",
        "2",
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    // 225 pairs, and two docs that come again: each equal to one and near to its repetition.
    assert!(told.contains("229 pairs of docs are that near: 452 docs in 225 groups"), "{told}");
    assert!(told.contains("2 docs equal an earlier one to the last bit"), "{told}");
    assert!(told.contains("exact with 3 neighbours a doc: overlooks 0 of 229 pairs"), "{told}");
    assert!(told.contains("and 205 rows more"), "{told}");
    let found: Value = serde_json::from_str(&fs::read_to_string(&json).expect("written")).expect("JSON");
    let rows = found["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 225);
    assert_eq!((&rows[0]["docs"], &rows[0]["size"]), (&"10 340 1101".into(), &3.into()));
    assert_eq!((&rows[0]["tightest"], &rows[0]["text"]), (&1.into(), &"doc number 10".into()));
    assert_eq!(rows[0]["other_text"], "doc number 1101");
    assert_eq!((&rows[2]["docs"], &rows[2]["pieces of exact"]), (&"0 300".into(), &1.into()));
    // One table of 12 planes parts some near-duplicates, and of each pair that it loses both docs seem unique.
    let pieces = |row: &Value| row["pieces of hyperplane:tables=1:hashes=12 probes=0"].as_u64().expect("pieces");
    let split = rows.iter().filter(|row| pieces(row) > 1).count();
    assert!((3..200).contains(&split), "{split} of 225");
    assert_eq!(fs::read_to_string(&csv).expect("written").lines().count(), 226);
    let members = fs::read_to_string(&members).expect("written");
    assert!(members.starts_with("group,doc,text\n1,10,doc number 10\n1,340,doc number 340\n1,1101,"), "{members}");
    for picture in [&chart, &path("out-overlooked.svg")] {
        assert!(fs::read_to_string(picture).expect("drawn").starts_with("<svg"), "{}", picture.display());
    }
}

#[test]
fn sessions_bring_their_docs_and_wrong_use_is_told() {
    let (folder, docs) = planted();
    let session = folder.path().join("lab");
    let queries =
        ["--docs", text(&docs), "--queries", text(&docs), "--dim", "16", "--num-docs", "900", "--num-queries", "5"];
    let end = ["--top-k", "5", "--metric", "cosine", "-o", text(&session), "--index", "exact", "--quiet"];
    let output = knnscope(&[&["index", "search"][..], &queries, &end].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let output = knnscope(&["index", "duplicates", "--docs", text(&session), "--threshold", "0.99"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("900 docs, dim 16, cosine ≥ 0.99") && told.contains("150 pairs"), "{told}");
    for (flags, why) in [
        (&["--metric", "euclidean"][..], "euclidean has none that is usual"),
        (&["--threshold", "2"], "a similarity above −1"),
        (&["--neighbours", "900"], "1 to 899, the other docs"),
        (&["--index", "hnws"], "a family"),
    ] {
        let output = knnscope(&[&["index", "duplicates", "--docs", text(&session)], flags].concat());
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(why), "{}", stderr(&output));
    }
}

#[test]
fn real_docs_have_near_duplicates() {
    let Some(data) = shared("real_docs_have_near_duplicates", "wordnet") else { return };
    let docs = fs::read_dir(&data).expect("a folder").map(|entry| entry.expect("read").path());
    let docs = docs.filter(|path| path.to_string_lossy().ends_with("docs.vec")).min().expect("docs");
    let folder = tempfile::tempdir().expect("temporary folder");
    let json = folder.path().join("out.json");
    let start =
        ["index", "duplicates", "--docs", text(&docs), "--dim", "384", "--num-docs", "3000", "--threshold", "0.85"];
    let output = knnscope(&[&start[..], &["--json", text(&json), "--quiet"]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let found: Value = serde_json::from_str(&fs::read_to_string(&json).expect("written")).expect("JSON");
    let rows = found["rows"].as_array().expect("rows");
    assert!(rows.len() > 2, "{found}");
    for row in rows {
        assert!(row["tightest"].as_f64().expect("a number") >= 0.85);
        assert!(!row["text"].as_str().expect("a text").is_empty());
    }
}
