//! `knnscope verify`: what it says of good, damaged, tied and foreign sessions.

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::support::{Random, Vectors, knnscope, shared, stderr, text, write_vectors};

fn verify(folder: &Path, more: &[&str]) -> Output {
    let mut args = vec!["verify", text(folder)];
    args.extend(more);
    knnscope(&args)
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Scores 4 queries twice, top-3 of 60 docs, into a folder of its own.
fn session(vectors: &Vectors, name: &str, more: &[&str]) -> std::path::PathBuf {
    let folder = vectors.folder.path().join(name);
    let mut args = vec!["-N", "4", "-M", "2", "--top-k", "3", "--quiet"];
    args.extend(more);
    let output = vectors.score(&folder, &args);
    assert!(output.status.success(), "{}", stderr(&output));
    folder
}

fn change_words(path: &Path, change: impl FnOnce(&mut Vec<[u8; 4]>)) {
    let bytes = fs::read(path).expect("there");
    let mut words = bytes.as_chunks::<4>().0.to_vec();
    change(&mut words);
    fs::write(path, words.concat()).expect("written");
}

/// Fails unless `output` is right about everything and says `told`.
fn assert_right(output: &Output, told: &str) {
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(output), stderr(output));
    assert!(stdout(output).contains(told), "{told:?} is missing in {}", stdout(output));
}

/// Fails unless `output` found something wrong and says `told`.
fn assert_wrong(output: &Output, told: &str) {
    assert_eq!(output.status.code(), Some(1), "{}{}", stdout(output), stderr(output));
    assert!(stdout(output).contains(told), "{told:?} is missing in {}", stdout(output));
    let error = stderr(output);
    assert!(error.contains("wrong for 1 of 8 queries checked") && error.contains("score again"), "{error}");
}

#[test]
fn good_sessions_are_right_under_every_metric() {
    let vectors = Vectors::random(60, 20, 6);
    for metric in ["dot", "cosine", "euclidean"] {
        let folder = session(&vectors, metric, &["--metric", metric]);
        let output = verify(&folder, &[]);
        assert_right(&output, "8 of 8 queries checked against 60 docs in float64: the stored top-3 of each is right");
        let told = stdout(&output);
        assert!(told.contains("(scores bit for bit, docs id for id)"), "{told}");
        assert!(told.contains("closest miss: query ") && told.contains(" missed the top-3 by "), "{told}");
        assert!(!told.contains("ties at") && !told.contains("wrong:"), "{told}");
        assert_right(&verify(&folder, &["--sample", "3", "--threads", "1"]), "3 of 8 queries checked");
    }
    let folder = session(&vectors, "quiet", &[]);
    let output = verify(&folder, &["--quiet"]);
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{}", stderr(&output));
}

#[test]
fn many_docs_and_reused_queries_are_right() {
    // More docs than are scored at once.
    let vectors = Vectors::random(9000, 7, 5);
    let folder = vectors.folder.path().join("wrapped");
    assert!(vectors.score(&folder, &["-N", "3,20", "-M", "2", "--top-k", "40", "--quiet"]).status.success());
    assert_right(
        &verify(&folder, &[]),
        "46 of 46 queries checked against 9,000 docs in float64: the stored top-40 of each",
    );
}

#[test]
fn a_top_k_of_all_docs_has_no_miss() {
    let vectors = Vectors::random(60, 20, 6);
    let folder = vectors.folder.path().join("all");
    assert!(vectors.score(&folder, &["-N", "5", "--top-k", "60", "--quiet"]).status.success());
    let output = verify(&folder, &[]);
    assert_right(&output, "5 of 5 queries checked against 60 docs in float64: the stored top-60 of each is right");
    assert!(!stdout(&output).contains("closest miss") && !stdout(&output).contains("ties at"), "{}", stdout(&output));
}

#[test]
fn damage_is_found_with_its_query_and_rank() {
    let vectors = Vectors::random(60, 20, 6);
    let folder = session(&vectors, "scores", &[]);
    // The last bit of the second score of the third query.
    change_words(&folder.join("scores_N4_M1.bin"), |words| words[2 * 3 + 1][0] ^= 1);
    let output = verify(&folder, &[]);
    assert_wrong(&output, "wrong: query 6 (N = 4, repeat 2), rank 2: stored doc ");
    assert!(stdout(&output).contains("8 of 8 queries checked against 60 docs in float64: 1 wrong"));

    let folder = session(&vectors, "ids", &[]);
    change_words(&folder.join("ids_N4_M0.bin"), |words| words.swap(3 * 3, 3 * 3 + 1));
    assert_wrong(&verify(&folder, &[]), "wrong: query 3 (N = 4, repeat 1), rank 1: stored doc ");

    let folder = session(&vectors, "nan", &[]);
    change_words(&folder.join("scores_N4_M0.bin"), |words| words[2] = f32::NAN.to_le_bytes());
    let output = verify(&folder, &[]);
    assert_wrong(&output, "wrong: query 0 (N = 4, repeat 1), rank 3: stored doc ");
    assert!(stdout(&output).contains(" at NaN, expected doc "), "{}", stdout(&output));

    let sampled = verify(&folder, &["--sample", "2"]);
    assert_eq!(sampled.status.code(), Some(1), "{}", stdout(&sampled));
    let seen = "damaged: scores_N4_M0.bin: query 0 of the run: a score is no finite number";
    assert!(stdout(&sampled).contains(seen), "{}", stdout(&sampled));

    let quiet = verify(&folder, &["--quiet"]);
    assert_eq!(quiet.status.code(), Some(1));
    assert!(quiet.stdout.is_empty() && stderr(&quiet).contains("wrong for 1 of 8 queries"), "{}", stderr(&quiet));
}

#[test]
fn ties_at_the_kth_place_are_told() {
    let vectors = Vectors::random(60, 20, 6);
    // Each doc three times: behind the first three, the fourth is one of three equals.
    let docs = Random::new(3).values(20 * 6);
    write_vectors(&vectors.docs, &docs.repeat(3));
    let folder = vectors.folder.path().join("tied");
    assert!(vectors.score(&folder, &["-N", "7", "--top-k", "4", "--quiet"]).status.success());
    let output = verify(&folder, &[]);
    assert_right(&output, "the stored top-4 of each is right (scores bit for bit, docs id for id)");
    let told = stdout(&output);
    let listed = "query 0 (2 more docs tie), query 1 (2 more docs tie)";
    assert!(told.contains("ties at the k-th place: 7 queries") && told.contains(listed), "{told}");
    assert!(told.contains("query 4 (2 more docs tie), 2 more"), "{told}");
    assert!(!told.contains("closest miss"), "a tie is no miss: {told}");
}

#[test]
fn docs_too_close_for_float32_are_told() {
    let vectors = Vectors::random(60, 20, 6);
    // Under the query (1, 1, 0 …) the second doc is nearer by 2⁻⁴⁰, which float32 cannot hold beside 1.
    let mut docs = vec![0.0f32; 60 * 6];
    (docs[0], docs[6], docs[7]) = (1.0, 1.0, 2f32.powi(-40));
    let mut queries = vec![0.0f32; 20 * 6];
    (queries[0], queries[1]) = (1.0, 1.0);
    write_vectors(&vectors.docs, &docs);
    write_vectors(&vectors.queries, &queries);
    let folder = vectors.folder.path().join("close");
    assert!(vectors.score(&folder, &["-N", "1", "--top-k", "1", "--quiet"]).status.success());
    let output = verify(&folder, &[]);
    assert_right(
        &output,
        "closest miss: query 0: doc 0 missed the top-1 by 9.1e-13 (float32 could not tell them apart)",
    );
    assert!(stdout(&output).contains("too close for float32: 1 query has the same float32"), "{}", stdout(&output));
}

#[test]
fn changed_and_missing_vectors_are_refused() {
    let vectors = Vectors::random(60, 20, 6);
    let folder = session(&vectors, "results", &[]);
    write_vectors(&vectors.docs, &Random::new(8).values(60 * 6));
    for (output, told) in [
        (verify(&folder, &[]), "docs.vec: was changed since the session was scored"),
        (
            {
                fs::remove_file(&vectors.docs).expect("removed");
                verify(&folder, &[])
            },
            "docs.vec: the session was scored from this file, but it is not there",
        ),
    ] {
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert!(stderr(&output).contains(told), "{told:?} is missing in {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{}", stdout(&output));
    }
}

#[test]
fn wrong_use_is_told() {
    let vectors = Vectors::random(60, 20, 6);
    let folder = session(&vectors, "results", &[]);
    for (more, code, told) in [
        (["--sample", "0"], 2, "sample: expected a whole number of at least 1, found 0"),
        (["--sample", "-1"], 2, "invalid value '-1' for '--sample"),
        (["--threads", "0"], 2, "threads: expected a whole number from 1"),
    ] {
        let output = verify(&folder, &more);
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert!(stderr(&output).contains(told), "{told:?} is missing in {}", stderr(&output));
    }
    let output = verify(vectors.folder.path(), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("there is no manifest.json"), "{}", stderr(&output));
}

#[test]
fn without_ids_only_scores_are_checked() {
    let vectors = Vectors::random(60, 20, 6);
    let folder = session(&vectors, "results", &["--no-ids"]);
    assert_right(
        &verify(&folder, &[]),
        "the stored top-3 of each is right (scores bit for bit; doc ids were not stored)",
    );
    change_words(&folder.join("scores_N4_M0.bin"), |words| words[0] = 99f32.to_le_bytes());
    assert_wrong(&verify(&folder, &[]), "wrong: query 0 (N = 4, repeat 1), rank 1: stored 99.0, expected doc ");
}

/// As the older tool writes it: no keys of ours, scores in any order, added in float32.
#[test]
fn foreign_sessions_are_checked_within_rounding() {
    let vectors = Vectors::random(60, 20, 6);
    let folder = session(&vectors, "results", &["--no-ids"]);
    let path = folder.join("manifest.json");
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&path).expect("there")).expect("JSON");
    let keys = json.as_object_mut().expect("an object");
    for ours in ["metric", "queryRows", "docsFingerprint", "queriesFingerprint"] {
        assert!(keys.remove(ours).is_some(), "{ours}");
    }
    fs::write(&path, json.to_string()).expect("written");
    change_words(&folder.join("scores_N4_M0.bin"), |words| {
        words.swap(0, 2);
        words[4][0] ^= 1;
    });
    let output = verify(&folder, &[]);
    assert_right(&output, "the stored top-3 of each is right (scores within float32 rounding, off by at most ");
    assert!(stdout(&output).contains("; doc ids were not stored)"), "{}", stdout(&output));

    change_words(&folder.join("scores_N4_M1.bin"), |words| words[3] = 99f32.to_le_bytes());
    assert_wrong(&verify(&folder, &[]), "wrong: query 5 (N = 4, repeat 2), rank 1: stored 99.0, expected doc ");

    write_vectors(&vectors.docs, &Random::new(7).values(59 * 6));
    let output = verify(&folder, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("it has 59 rows, not the 60 that were searched"), "{}", stderr(&output));
}

#[test]
fn the_replaced_tools_session_is_right() {
    if shared("verifying the replaced tool's session", "wordnet").is_none() {
        return;
    }
    let Some(golden) = shared("verifying the replaced tool's session", "luceneutil-run") else { return };
    let output = verify(&golden, &["--sample", "20"]);
    assert_right(
        &output,
        "20 of 2,640 queries checked against 20,000 docs in float64: the stored top-50 of each is right",
    );
    assert!(stdout(&output).contains("; doc ids were not stored)"), "{}", stdout(&output));
}
