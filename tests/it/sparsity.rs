//! Pruned matrices at the command line: every file form, golden values, bad files, the database.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use duckdb::Connection;
use knnscope::compute::sparsity::chance::Independent;
use knnscope::compute::sparsity::groups::{GroupMetrics, Mode, find_groups, group_cumulative};
use knnscope::compute::sparsity::mask::{Mask, Packed};
use knnscope::compute::sparsity::pairs::{AllPairs, Blocks};
use knnscope::compute::sparsity::patterns::{Pattern, PatternCheck};
use knnscope::compute::sparsity::sources::{Sources, Wanted};
use knnscope::compute::sparsity::store::Database;
use knnscope::job::Monitor;
use serde_json::Value;

use crate::support::{checkout, command, knnscope, shared, stderr, text};

pub fn data(name: &str) -> PathBuf {
    checkout("tests/data/sparsity").join(name)
}

fn json(name: &str) -> Value {
    serde_json::from_slice(&fs::read(data(name)).expect("there")).expect("JSON")
}

fn mask_of(rows: &Value) -> Mask {
    let rows: Vec<&str> = rows.as_array().expect("rows").iter().map(|row| row.as_str().expect("text")).collect();
    let mut packed = Packed::zeros(rows.len(), rows[0].len());
    for (index, row) in rows.iter().enumerate() {
        for (column, _) in row.bytes().enumerate().filter(|(_, bit)| *bit == b'1') {
            packed.line_mut(index)[column / 64] |= 1 << (column % 64);
        }
    }
    Mask::of_rows(packed)
}

fn find(paths: &[PathBuf]) -> Sources {
    Sources::find(paths, &Wanted::default(), &Monitor::new()).expect("not cancelled")
}

fn stdout(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn every_form_of_file_gives_the_mask_that_torch_and_numpy_see() {
    let expected = json("expected.json");
    let files = expected["files"].as_object().expect("files");
    assert!(files.len() > 25, "{} files", files.len());
    for (name, tensors) in files {
        let sources = find(&[data(name)]);
        assert!(sources.failures.is_empty(), "{name}: {:?}", sources.failures);
        let tensors = tensors.as_object().expect("tensors");
        assert_eq!(sources.matrices.len(), tensors.len(), "{name}");
        for source in &sources.matrices {
            let key = &source.identity.matrix_name;
            let wanted = tensors.get(key).or_else(|| tensors.get("")).unwrap_or_else(|| panic!("{name}: {key}"));
            let mask = source.read().unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(mask, mask_of(&wanted["mask"]), "{name}: {key}");
        }
    }
    let checkpoint = find(&[data("state_dict.pt")]);
    let told: Vec<_> = checkpoint
        .matrices
        .iter()
        .map(|source| (source.identity.layer, source.identity.projection.clone().unwrap_or_default()))
        .collect();
    assert!(told.contains(&(Some(3), "self_attn.q_proj".to_owned())), "{told:?}");
}

#[test]
fn what_is_no_matrix_is_refused_by_name_and_nothing_is_run() {
    let planted = Path::new("/tmp/knnscope_pwned");
    for (name, found) in [
        ("bad_0d.pt", "single number"),
        ("bad_1d.pt", "1 dimension"),
        ("bad_3d.pt", "3 dimensions"),
        ("bad_complex64.pt", "complex"),
        ("bad_nan_at_3_4.pt", "row 3, column 4 is NaN"),
        ("bad_empty_0x5.pt", "is empty: its shape is 0 × 5"),
        ("bad_empty_5x0.pt", "is empty: its shape is 5 × 0"),
        ("bad_sparse_coo.pt", "sparse tensor"),
        ("bad_quantized.pt", "quantised tensor"),
        ("bad_no_matrix.pt", "none of them a matrix"),
        ("bad_foreign.pt", "posix.system"),
        ("bad_foreign_legacy.pt", "posix.system"),
        ("bad_module.pt", "torch.nn.modules"),
        ("bad_truncated.pt", "damaged zip archive"),
        ("bad_short_storage.pt", "its storage has"),
        ("bad_huge.pt", "weights that are supported"),
        ("bad_huge_stride_0.pt", "weights that are supported"),
    ] {
        let path = data(name);
        assert!(path.is_file(), "{name}");
        let sources = find(std::slice::from_ref(&path));
        let mut told: Vec<String> = sources.failures.iter().map(ToString::to_string).collect();
        told.extend(sources.matrices.iter().filter_map(|source| source.read().err()).map(|error| error.to_string()));
        assert_eq!(told.len(), 1, "{name}: {told:?}");
        assert!(told[0].contains(found) && told[0].contains(name), "{name}: {}", told[0]);
    }
    assert!(!planted.exists(), "nothing of a pickle is ever run");
}

#[test]
fn damaged_files_never_panic() {
    let folder = tempfile::tempdir().expect("temporary folder");
    for name in ["float32.pt", "legacy_float32.pt", "state_dict.pt", "weights.safetensors", "float32_fortran.npy"] {
        let whole = fs::read(data(name)).expect("there");
        let path = folder.path().join(name);
        for cut in (0..whole.len()).step_by(7) {
            fs::write(&path, &whole[..cut]).expect("written");
            let sources = find(std::slice::from_ref(&path));
            assert!(!sources.failures.is_empty() || name.ends_with(".pt"), "{name} cut at {cut} is no whole file");
            sources.matrices.iter().for_each(|source| drop(source.read()));
        }
        for place in 0..whole.len().min(1200) {
            let mut broken = whole.clone();
            broken[place] ^= 0xff;
            fs::write(&path, broken).expect("written");
            find(std::slice::from_ref(&path)).matrices.iter().for_each(|source| drop(source.read()));
        }
    }
}

fn check_metrics(mask: &Mask, columns: &[u32], wanted: &Value, name: &str) {
    let found = GroupMetrics::of(mask, columns);
    let near = |found: f64, key: &str| {
        let wanted = wanted[key].as_f64().unwrap_or_else(|| panic!("{name}: {key}"));
        assert!((found - wanted).abs() < 1e-12, "{name}: {key} {found} is not {wanted}");
    };
    near(found.mean_pairwise_distance, "mean_pairwise_distance");
    near(found.mean_pair_distance.expect("pairs"), "mean_pair_distance");
    near(found.std_pair_distance.expect("pairs"), "std_pair_distance");
    near(found.density, "density");
    for (found, key) in [
        (found.zeros, "zeros"),
        (found.ones, "ones"),
        (found.duplicates, "duplicates"),
        (found.total_dups, "total_dups"),
        (found.unique_rows, "unique_rows"),
    ] {
        assert_eq!(found as u64, wanted[key].as_u64().expect("a number"), "{name}: {key}");
    }
    let cdf: Vec<(f64, f64)> = wanted["cdf"]
        .as_array()
        .expect("cdf")
        .iter()
        .map(|point| (point[0].as_f64().expect("number"), point[1].as_f64().expect("number")))
        .collect();
    let found = group_cumulative(&mask.by_column, columns);
    assert_eq!(found.len(), cdf.len(), "{name}");
    for (found, wanted) in found.iter().zip(&cdf) {
        assert!(
            (found.0 - wanted.0).abs() < 1e-12 && (found.1 - wanted.1).abs() < 1e-12,
            "{name}: {found:?} {wanted:?}"
        );
    }
}

#[test]
fn groups_and_metrics_are_those_of_numpy() {
    let golden = json("golden.json");
    let mask = mask_of(&golden["matrix"]);
    let blocks = Blocks::of_mask(&mask);
    let numbers = |value: &Value| -> Vec<u32> {
        value.as_array().expect("numbers").iter().map(|number| number.as_u64().expect("a number") as u32).collect()
    };
    for sample in golden["sampled"].as_array().expect("samples") {
        let (column, k) =
            (sample["column"].as_u64().expect("column") as u32, sample["k"].as_u64().expect("k") as usize);
        let mode = Mode::Sampled { samples: 1 };
        let groups = find_groups(&mask.by_column, &blocks, mode, &[column], k, &Monitor::new()).expect("found");
        assert_eq!(groups[0].feature, column);
        assert_eq!(groups[0].columns, numbers(&sample["nearest"]), "column {column}, k {k}");
        check_metrics(&mask, &groups[0].columns, &sample["metrics"], &format!("column {column}, k {k}"));
    }
    let exhaustive = &golden["exhaustive"];
    let (order, k) = (numbers(&exhaustive["order"]), exhaustive["group_size"].as_u64().expect("size") as usize);
    let groups = find_groups(&mask.by_column, &blocks, Mode::Exhaustive, &order, k, &Monitor::new()).expect("found");
    let wanted = exhaustive["groups"].as_array().expect("groups");
    assert_eq!(groups.len(), wanted.len());
    for (group, wanted) in groups.iter().zip(wanted) {
        assert_eq!(group.columns, numbers(&wanted["columns"]));
        check_metrics(&mask, &group.columns, &wanted["metrics"], &format!("exhaustive group of {}", group.feature));
    }
    let all = AllPairs::find(&mask, &blocks, 7, &Monitor::new()).expect("found");
    let histogram: Vec<u64> =
        golden["pair_histogram"].as_array().expect("counts").iter().filter_map(Value::as_u64).collect();
    assert_eq!(all.counts, histogram);
    let other = mask_of(&golden["jaccard"]["matrix"]);
    let near = |found: f64, wanted: &Value| (found - wanted.as_f64().expect("number")).abs() < 1e-12;
    assert!(near(mask.jaccard(&other).expect("of one shape"), &golden["jaccard"]["all"]));
    let columns = golden["jaccard"]["per_column"].as_array().expect("columns");
    assert!(mask.jaccard_of_columns(&other).iter().zip(columns).all(|(&found, wanted)| near(found, wanted)));
    for wanted in golden["nm"].as_array().expect("patterns") {
        let number = |key: &str| wanted[key].as_u64().unwrap_or_else(|| panic!("{key}"));
        let pattern = Pattern { n: number("n") as u32, m: number("m") as usize };
        let (rows, columns) = (PatternCheck::of(&mask.by_row, pattern), PatternCheck::of(&mask.by_column, pattern));
        assert_eq!((rows.lines() as u64, columns.lines() as u64), (number("rows"), number("columns")));
        assert_eq!((rows.satisfied_blocks, rows.blocks), (number("row_blocks"), number("row_blocks_total")));
        assert_eq!(
            (columns.satisfied_blocks, columns.blocks),
            (number("column_blocks"), number("column_blocks_total"))
        );
    }
}

#[test]
fn independent_columns_are_as_far_apart_as_fractions_say() {
    let golden = json("golden.json");
    let cases = golden["hypergeometric"].as_array().expect("cases");
    assert!(cases.len() >= 40);
    for case in cases {
        let number = |index: usize| case[index].as_u64().expect("a number") as u32;
        let wanted = case[4].as_f64().expect("a probability");
        let found = Independent::new(number(0) as usize).at_most(number(1), number(2), number(3));
        assert!((found - wanted).abs() <= wanted * 1e-9 + 1e-300, "{case}: {found:e}");
    }
}

#[test]
fn a_folder_of_two_methods_is_stored_and_asked() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let root = checkout("assets/demo/pruned");
    let (db, viz) = (folder.path().join("some.db"), folder.path().join("deep/viz"));
    let args = [
        "sparsity",
        text(&root),
        "--db-path",
        text(&db),
        "--n-samples",
        "5",
        "--permutations",
        "9",
        "--save-viz",
        "--viz-dir",
        text(&viz),
    ];
    let output = knnscope(&args);
    assert!(output.status.success(), "{}", stderr(&output));
    let told = stdout(&output);
    assert!(told.contains("wanda layer1-self_attn.o_proj.npy: 384 × 384 bool, density 0.5000"), "{told}");
    assert!(told.contains("73,536 pairs in") && told.contains("5 groups of 8: mean distance"), "{told}");
    assert!(told.contains("without the zeros of columns with themselves"), "{told}");
    // Nine permutations give ranks of ten at best.
    assert!(told.contains("at least 10 permutations") && !told.contains("closer than permuted ones (p"), "{told}");
    assert!(!stderr(&output).contains("from before"), "{}", stderr(&output));
    assert!(told.contains("overlap with sparsegpt layer1-self_attn.q_proj.npy: Jaccard 0.8"), "{told}");
    let pictures: Vec<_> = fs::read_dir(viz.join("wanda-layer1-self_attn.q_proj")).expect("drawn").collect();
    assert_eq!(pictures.len(), 3 + 2 * 5);

    let ask = |more: &[&str]| {
        let output = command(&["sparsity", "query", "--db-path", text(&db)]).args(more).output().expect("runs");
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    let rows: Value =
        serde_json::from_str(&ask(&["--method", "wanda", "--projection", "self_attn.q_proj", "--format", "json"]))
            .expect("JSON");
    let rows = rows.as_array().expect("rows");
    assert_eq!(rows.len(), 5);
    assert!(rows.iter().all(|row| row["method"] == "wanda" && row["layer"] == 1 && row["n_neighbors"] == 8));
    assert!(
        rows.iter()
            .all(|row| row["unique_rows"].as_u64().zip(row["total_dups"].as_u64()).is_some_and(|(a, b)| a + b == 384))
    );
    let csv = ask(&[
        "--sql",
        "SELECT method, COUNT(*) AS n FROM nearest_neighbor_metrics GROUP BY ALL ORDER BY ALL;",
        "--format",
        "csv",
    ]);
    assert_eq!(csv, "method,n\nsparsegpt,10\nwanda,10\n");
    let table = ask(&[
        "--sql",
        "SELECT SUM(pairs) AS pairs, COUNT(*) AS n FROM knnscope_pair_histograms JOIN knnscope_matrices USING (pairs)",
    ]);
    assert!(table.starts_with("pairs"), "{table}");
    let sums = ask(&[
        "--sql",
        "SELECT matrix_id, SUM(pairs) AS pairs, MAX(cumulative) AS all FROM knnscope_pair_histograms GROUP BY 1 ORDER BY 1",
        "--format",
        "csv",
    ]);
    assert_eq!(sums, "matrix_id,pairs,all\n1,73536,1.0\n2,73536,1.0\n3,73536,1.0\n4,73536,1.0\n");
    assert_eq!(ask(&["--sql", "SELECT COUNT(*) AS n FROM knnscope_overlaps", "--format", "csv"]), "n\n2\n");
    assert_eq!(
        ask(&[
            "--sql",
            "SELECT COUNT(*) AS n FROM knnscope_groups WHERE p_value > 0 AND p_value <= 1",
            "--format",
            "csv"
        ]),
        "n\n20\n"
    );

    // Appended to, and the same again: all but ids and times.
    let output = knnscope(&args);
    assert!(output.status.success(), "{}", stderr(&output));
    let again = "some.db holds 5 groups of wanda layer1-self_attn.q_proj.npy from before";
    assert!(stderr(&output).contains(again), "{}", stderr(&output));
    let same = "SELECT COUNT(*) AS n FROM (SELECT DISTINCT * EXCLUDE (id, timestamp) FROM nearest_neighbor_metrics)";
    assert_eq!(ask(&["--sql", same, "--format", "csv"]), "n\n20\n");
    assert_eq!(ask(&["--sql", "SELECT MAX(id) AS n FROM nearest_neighbor_metrics", "--format", "csv"]), "n\n40\n");

    // It is only read, and nothing beyond it.
    for sql in [
        "DROP TABLE nearest_neighbor_metrics",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT 1; SELECT 2",
        "SELEC",
        "",
    ] {
        let output = knnscope(&["sparsity", "query", "--db-path", text(&db), "--sql", sql]);
        assert_eq!(output.status.code(), Some(1), "{sql}");
        assert!(stderr(&output).contains("some.db"), "{sql}: {}", stderr(&output));
    }
    // What was asked is told as it was typed, with the caret below it.
    let output =
        knnscope(&["sparsity", "query", "--db-path", text(&db), "--sql", "SELECT nothing FROM knnscope_nulls"]);
    assert!(
        stderr(&output).contains("LINE 1: SELECT nothing FROM knnscope_nulls\n               ^"),
        "{}",
        stderr(&output)
    );
    let output = knnscope(&["sparsity", "query", "--db-path", text(&folder.path().join("none.db"))]);
    assert!(stderr(&output).contains("none.db: there is no such database"), "{}", stderr(&output));
}

#[test]
fn exhaustive_groups_hold_every_column_once_on_any_thread_count() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let matrix = checkout("assets/demo/pruned/wanda/layer1-self_attn.o_proj.npy");
    let run = |threads: &str| {
        let db = folder.path().join(format!("{threads}.db"));
        let output = knnscope(&[
            "sparsity",
            text(&matrix),
            "--exhaustive",
            "--n-neighbors",
            "9",
            "--permutations",
            "3",
            "--db-path",
            text(&db),
            "--threads",
            threads,
        ]);
        assert!(output.status.success(), "{}", stderr(&output));
        let sql = "SELECT m.* EXCLUDE (timestamp), g.* FROM nearest_neighbor_metrics m JOIN knnscope_groups g ON g.metric_id = m.id ORDER BY m.id";
        stdout(&knnscope(&["sparsity", "query", "--db-path", text(&db), "--sql", sql, "--format", "json"]))
    };
    let (one, three) = (run("1"), run("3"));
    assert_eq!(one, three);
    let rows: Value = serde_json::from_str(&one).expect("JSON");
    let mut columns: Vec<u32> = rows
        .as_array()
        .expect("rows")
        .iter()
        .flat_map(|row| {
            row["columns"]
                .as_str()
                .expect("columns")
                .split(", ")
                .map(|column| column.parse().expect("a number"))
                .collect::<Vec<u32>>()
        })
        .collect();
    columns.sort_unstable();
    assert!(columns.into_iter().eq(0..384));
    assert_eq!(rows.as_array().expect("rows").len(), 384usize.div_ceil(9));
}

#[test]
fn what_cannot_be_done_is_told_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let at = |name: &str| folder.path().join(name);
    fs::copy(data("float32.pt"), at("odd-name.pt")).expect("copied");
    fs::copy(data("bad_nan_at_3_4.pt"), at("layer2-nan.pt")).expect("copied");
    fs::write(at("text.db"), "this is no database, only some text that is long enough to be looked at")
        .expect("written");
    fs::create_dir(at("empty")).expect("made");
    let db = at("out.db");
    let run = |args: &[&str]| {
        let output = command(&["sparsity"]).args(args).output().expect("runs");
        (output.status.code(), stderr(&output))
    };
    let odd = at("odd-name.pt");
    for (args, code, found) in [
        (
            vec![text(&odd), "--n-neighbors", "8"],
            1,
            "has 7 columns, but groups of 8 are asked for. Lower --n-neighbors to at most 7",
        ),
        (vec![text(&odd), "--n-neighbors", "0"], 2, "n-neighbors: expected at least 1"),
        (vec![text(&odd), "--method", "magnitude"], 2, "method: expected wanda, sparsegpt or both, found magnitude"),
        (vec![text(&odd), "--fdr", "2"], 2, "fdr: expected a rate"),
        (vec![text(&at("none.pt")).to_owned().leak()], 1, "there is no such file"),
        (vec![text(&at("empty")).to_owned().leak()], 1, "no matrices here"),
        (vec![text(&at("layer2-nan.pt")).to_owned().leak(), "--n-neighbors", "2"], 1, "row 3, column 4 is NaN"),
    ] {
        let mut args = args;
        args.extend(["--db-path", text(&db)]);
        let (status, told) = run(&args);
        assert!(told.contains(found), "{args:?}: {told}");
        assert_eq!(status, Some(code), "{args:?}: {told}");
        assert!(!db.exists(), "{args:?} leaves no database");
    }
    for (path, found) in [
        (at("text.db"), "is no DuckDB database"),
        (at("empty"), "is a folder"),
        (at("missing/x.db"), "its folder does not exist"),
    ] {
        let (status, told) = run(&[text(&odd), "--n-neighbors", "3", "--db-path", text(&path)]);
        assert!(status == Some(1) && told.contains(found) && told.contains(text(&path)), "{}: {told}", path.display());
    }
    assert!(fs::read_to_string(at("text.db")).expect("there").starts_with("this is no database"));

    // A name that tells nothing is kept, without layer; what is said at the command line fills it in.
    let (status, told) = run(&[text(&odd), "--n-neighbors", "3", "--db-path", text(&db)]);
    assert!(status == Some(0) && told.contains("tells no layer") && told.contains("tells a method"), "{told}");
    let (status, told) = run(&[
        text(&odd),
        "--n-neighbors",
        "3",
        "--db-path",
        text(&db),
        "--layer",
        "5",
        "--projection",
        "p",
        "--method",
        "wanda",
    ]);
    assert!(status == Some(0) && !told.contains("warning"), "{told}");
    let sql = "SELECT DISTINCT method, layer, projection FROM nearest_neighbor_metrics ORDER BY layer NULLS FIRST";
    let output = knnscope(&["sparsity", "query", "--db-path", text(&db), "--sql", sql, "--format", "csv"]);
    assert_eq!(stdout(&output), "method,layer,projection\n,,odd-name\nwanda,5,p\n");

    // In use by another program, or with a table of another kind.
    let lock = Connection::open(&db).expect("opens");
    let (status, told) = run(&[text(&odd), "--n-neighbors", "3", "--db-path", text(&db)]);
    assert!(status == Some(1) && told.contains("in use by another program (process"), "{told}");
    drop(lock);
    let other = at("other.db");
    Connection::open(&other)
        .expect("opens")
        .execute_batch("CREATE TABLE nearest_neighbor_metrics (id INTEGER, x INTEGER)")
        .expect("made");
    let (status, told) = run(&[text(&odd), "--n-neighbors", "3", "--db-path", text(&other)]);
    assert!(status == Some(1) && told.contains("without the column method"), "{told}");
}

#[test]
fn hostile_files_cost_no_more_than_their_size() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("hostile.pt");
    let magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.".to_vec();
    // A list that holds itself many times over.
    let mut own = magic.clone();
    own.extend(b"\x80\x02]q\x00(");
    own.extend(b"h\x00".repeat(200_000));
    own.extend(b"e.\x80\x02].");
    // A long name, used again and again.
    let mut named = magic.clone();
    named.extend(b"\x80\x02X");
    named.extend(100_000u32.to_le_bytes());
    named.extend(vec![b'x'; 100_000]);
    named.extend(b"q\x000}(");
    named.extend(b"h\x00]".repeat(50_000));
    named.extend(b"u.\x80\x02].");
    for (bytes, found) in [(own, "nested too deeply"), (named, "names of more than")] {
        fs::write(&path, bytes).expect("written");
        let sources = find(std::slice::from_ref(&path));
        assert_eq!(sources.failures.len(), 1);
        assert!(sources.failures[0].to_string().contains(found), "{}", sources.failures[0]);
    }
}

#[test]
fn a_checkpoint_gives_only_the_layer_that_is_wanted() {
    let wanted = Wanted { layer: Some(3), ..Wanted::default() };
    let sources =
        Sources::find(&[data("state_dict.pt"), data("state_dict.pt")], &wanted, &Monitor::new()).expect("found");
    let layers: Vec<_> = sources.matrices.iter().map(|source| source.identity.layer).collect();
    assert_eq!(layers, [Some(3), Some(3)], "each file once");
    let folder = tempfile::tempdir().expect("temporary folder");
    let one = folder.path().join("layer7-mlp.up_proj.pt");
    fs::copy(data("parameter.pt"), &one).expect("copied");
    let sources = find(&[one]);
    assert_eq!(sources.matrices[0].identity.layer, Some(7));
}

#[test]
fn a_database_is_opened_once_at_a_time_by_this_program_too() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("once.db");
    Connection::open(&path).expect("opens").execute_batch(REFERENCE).expect("made");
    let first = Database::read(&path).expect("opens");
    let error = Database::append_to(&path).map(drop).expect_err("in use");
    assert!(error.to_string().contains("used by this program already"), "{error}");
    drop(first);
    drop(Database::append_to(&path).expect("free again"));
    // Nothing was stored, so no table was made.
    let tables = Database::read(&path).expect("opens").ask("SHOW TABLES", None, &Monitor::new()).expect("asked");
    assert_eq!(tables.rows.len(), 1, "{tables:?}");
}

#[test]
fn one_column_is_a_matrix_too() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("layer0-one.npy");
    crate::uniqueness::write_npy(&path, 6, 1, &[0.0, 1.0, 0.0, 2.0, 0.0, 0.0], crate::uniqueness::C);
    let db = folder.path().join("one.db");
    let output = knnscope(&["sparsity", text(&path), "--n-neighbors", "1", "--db-path", text(&db)]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("0 pairs in"), "{}", stdout(&output));
    let sql = "SELECT mean_pairwise_distance AS m, zeros, ones, duplicates AS d, total_dups AS t, unique_rows AS u FROM nearest_neighbor_metrics";
    let output = knnscope(&["sparsity", "query", "--db-path", text(&db), "--sql", sql, "--format", "csv"]);
    assert_eq!(stdout(&output), "m,zeros,ones,d,t,u\n0.0,4,2,2,4,2\n");
}

/// As the reference makes it.
const REFERENCE: &str = "
CREATE SEQUENCE IF NOT EXISTS seq_nearest_neighbor_metrics_id;
CREATE TABLE IF NOT EXISTS nearest_neighbor_metrics (
    id INTEGER PRIMARY KEY DEFAULT nextval('seq_nearest_neighbor_metrics_id'),
    method VARCHAR, matrix_name VARCHAR, layer INTEGER, projection VARCHAR, feature_idx INTEGER, n_neighbors INTEGER,
    mean_pairwise_distance DOUBLE, zeros INTEGER, ones INTEGER, duplicates INTEGER, total_dups INTEGER,
    unique_rows INTEGER, density DOUBLE, timestamp TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
INSERT INTO nearest_neighbor_metrics (method, matrix_name, layer, projection, feature_idx, n_neighbors, density)
    VALUES ('wanda', 'layer1-x.pt', 1, 'x', 7, 8, 0.5), ('wanda', 'layer1-x.pt', 1, 'x', 9, 8, 0.5);
";

#[test]
fn a_file_of_the_reference_is_asked_and_appended_to() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let db = folder.path().join("reference.db");
    Connection::open(&db).expect("opens").execute_batch(REFERENCE).expect("made");
    let before = fs::read(&db).expect("there");
    let table = Database::read(&db).expect("opens").metrics(Some("wanda"), None, &Monitor::new()).expect("asked");
    assert_eq!(table.rows.len(), 2);
    assert_eq!(fs::read(&db).expect("there"), before, "asking changes nothing");
    let output = knnscope(&[
        "sparsity",
        text(&data("float32.pt")),
        "--n-neighbors",
        "3",
        "--n-samples",
        "4",
        "--permutations",
        "0",
        "--db-path",
        text(&db),
        "--quiet",
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    let table = Database::read(&db).expect("opens").metrics(None, None, &Monitor::new()).expect("asked");
    let ids: Vec<String> = table.rows.iter().filter_map(|row| row[0].clone()).collect();
    assert_eq!(ids, ["1", "2", "3", "4", "5", "6"]);
}

#[test]
fn the_shared_matrices_are_read_whole() {
    let Some(folder) = shared("the_shared_matrices_are_read_whole", "pruned") else { return };
    let sources = find(&[folder]);
    assert!(
        sources.failures.is_empty() && sources.warnings.is_empty(),
        "{:?} {:?}",
        sources.failures,
        sources.warnings
    );
    let mut of_method: BTreeMap<String, usize> = BTreeMap::new();
    for source in &sources.matrices {
        let mask = source.read().expect("weights");
        assert!((mask.density() - 0.5).abs() < 0.01, "{}", source.identity);
        *of_method.entry(source.identity.method.clone().expect("told by its folder")).or_default() += 1;
    }
    assert_eq!(of_method, BTreeMap::from([("sparsegpt".to_owned(), 6), ("wanda".to_owned(), 6)]));
}
