//! The planner and the serving schemes: at the command line, with real child processes, cancelled, drawn.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use knnscope::compute::Error;
use knnscope::compute::index::plan::{self, PlanParams};
use knnscope::compute::index::serving::{self, Scheme, ServingParams};
use knnscope::compute::index::session::Lab;
use knnscope::compute::index::truth::Question;
use knnscope::compute::metric::Metric;
use knnscope::job::Monitor;
use knnscope::video::Look;
use knnscope::video::finding::Finding;
use knnscope::video::panel::Canvas;
use knnscope::video::studies;

use crate::support::{Random, knnscope, stderr, text, write_vectors};

const DOCS: usize = 2000;
const QUERIES: usize = 40;
const DIM: usize = 16;

/// Docs and queries in twelve clusters, so that shards by cluster mean something, and a session without runs.
struct Data {
    folder: tempfile::TempDir,
}

impl Data {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut random = Random::new(5);
        let centres = random.values(12 * DIM);
        let mut rows = |count: usize| -> Vec<f32> {
            (0..count)
                .flat_map(|_| {
                    let centre = (random.bits() >> 33) as usize % 12;
                    let near = random.values(DIM);
                    (0..DIM).map(|place| centres[centre * DIM + place] + 0.9 * near[place]).collect::<Vec<f32>>()
                })
                .collect()
        };
        let (docs, queries) = (rows(DOCS), rows(QUERIES));
        write_vectors(&folder.path().join("docs.vec"), &docs);
        write_vectors(&folder.path().join("queries.vec"), &queries);
        fs::create_dir(folder.path().join("scratch")).expect("made");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn shown(&self, name: &str) -> String {
        text(&self.path(name)).to_owned()
    }

    fn question(&self) -> Question {
        Question {
            docs: self.path("docs.vec"),
            queries: self.path("queries.vec"),
            dim: DIM,
            num_docs: None,
            num_queries: None,
            top_k: 10,
            metric: Metric::Euclidean,
            memory_budget: 200_000_000,
        }
    }

    fn lab(&self) -> Lab {
        Lab::begin(&self.question(), &self.path("lab"), &Monitor::new()).expect("begun")
    }

    /// `index STUDY` with flags, its parts built in a folder of this; that folder must be empty in the end.
    fn study(&self, study: &str, flags: &[&str]) -> Output {
        let scratch = self.shown("scratch");
        let common = ["--scratch", &scratch, "--threads", "2"];
        let output = knnscope(&[&["index", study][..], flags, &common].concat());
        self.check_scratch();
        output
    }

    fn serve(&self, flags: &[&str]) -> Output {
        drop(self.lab());
        let lab = self.shown("lab");
        self.study("serve", &[&[lab.as_str()][..], flags].concat())
    }

    fn plan(&self, flags: &[&str]) -> Output {
        let (docs, queries) = (self.shown("docs.vec"), self.shown("queries.vec"));
        let question = ["--docs", &docs, "--queries", &queries, "--dim", "16", "--top-k", "10"];
        self.study("plan", &[&question, flags].concat())
    }

    fn check_scratch(&self) {
        let left: Vec<_> = fs::read_dir(self.path("scratch")).expect("there").collect();
        assert!(left.is_empty(), "{left:?}");
    }

    fn rows(&self, name: &str) -> Vec<HashMap<String, String>> {
        let mut reader = csv::Reader::from_path(self.path(name)).expect("there");
        reader.deserialize().map(|row| row.expect("CSV")).collect()
    }
}

fn number(row: &HashMap<String, String>, column: &str) -> f64 {
    row[column].parse().unwrap_or_else(|_| panic!("{column}: {row:?}"))
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn own_program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_knnscope"))
}

/// Pictures are drawn at any size and look, rows are linked, notes are sentences.
fn check_finding(finding: &Finding, pictures: usize) {
    assert_eq!(finding.table.rows.len(), finding.links.len());
    assert!(finding.notes.iter().all(|note| note.ends_with('.')), "{:?}", finding.notes);
    assert_eq!(finding.pictures.len(), pictures);
    for picture in &finding.pictures {
        for (width, height, unit) in [(1800, 900, 1.0), (480, 300, 0.4), (60, 40, 0.2)] {
            for look in [Look::Light, Look::Dark] {
                let scene = picture.drawing.scene(Canvas { width, height, unit, look }, None);
                assert!(!scene.items.is_empty(), "{}", picture.name);
            }
        }
    }
}

#[test]
fn exact_parts_lose_nothing_whatever_the_scheme_and_parts_that_are_not_asked_do() {
    let data = Data::new();
    let (csv, json, chart) = (data.shown("out.csv"), data.shown("out.json"), data.shown("out.png"));
    let flags = ["--index", "exact", "--shards", "5", "--fresh", "0,1,30", "--replicas", "3"];
    let output = data.serve(&[&flags[..], &["--csv", &csv, "--json", &json, "--chart", &chart]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    for name in ["out.png", "out-shards-by-hash.png", "out-shards-by-cluster.png", "out-load.png"] {
        assert!(data.path(name).is_file(), "{name}");
    }
    let rows = data.rows("out.csv");
    let of = |scheme: &str| rows.iter().filter(|row| row["scheme"] == scheme).collect::<Vec<_>>();
    // A share of none is the one index.
    assert_eq!(of("dual").iter().map(|row| row["step"].as_str()).collect::<Vec<_>>(), ["20", "600"]);
    assert_eq!(of("hash").iter().map(|row| row["step"].as_str()).collect::<Vec<_>>(), ["1", "2", "4", "5"]);
    assert_eq!(of("cluster").len(), 5);
    assert_eq!(of("replicas").iter().map(|row| row["step"].as_str()).collect::<Vec<_>>(), ["1", "2", "3"]);
    // One replica, and three with either router, at ten utilisations.
    assert_eq!(of("waiting").len(), 30);
    for row in rows.iter().filter(|row| row["scheme"] != "waiting") {
        if row["scheme"] != "cluster" || row["step"] == row["of"] {
            let lost = ["queries_losing", "mean_gap"].map(|column| number(row, column));
            assert_eq!((number(row, "recall"), lost), (1.0, [0.0, 0.0]), "{row:?}");
        }
        assert!(number(row, "latency_p50_ms") > 0.0 && number(row, "work_ms") > 0.0, "{row:?}");
    }
    let recalls: Vec<f64> = of("cluster").iter().map(|row| number(row, "recall")).collect();
    assert!(recalls.is_sorted() && recalls[0] > 0.3 && recalls[0] < 1.0, "{recalls:?}");
    let loads: Vec<f64> = of("cluster").iter().map(|row| number(row, "load_max_over_mean")).collect();
    assert!(loads[0] > 1.0 && loads[4] == 1.0, "{loads:?}");
    // Without the fresh index the share of fresh docs is lost, but for chance.
    let without = number(of("dual")[1], "recall_without_fresh");
    assert!((without - 0.7).abs() < 0.1, "{without}");
    let p99 = |row: &&HashMap<String, String>| number(row, "latency_p99_ms");
    let one: Vec<f64> = of("waiting").iter().filter(|row| row["step"] == "1").map(p99).collect();
    assert!(one[9] > 2.0 * one[0], "queries wait when it is busy: {one:?}");
    let said: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(data.path("out.json")).expect("written")).expect("JSON");
    assert_eq!(said["rows"].as_array().expect("rows").len(), rows.len());
    assert!(told(&output).contains("5 shards by cluster: the nearest alone has recall@10"), "{}", told(&output));
}

#[test]
fn approximate_parts_are_judged_as_they_are_and_the_same_each_time() {
    let data = Data::new();
    let lab = data.lab();
    let params = ServingParams {
        index: "hyperplane:tables=3:hashes=6:probes=1".to_owned(),
        schemes: vec![Scheme::Dual, Scheme::Hash, Scheme::Cluster],
        fresh: vec![0.25],
        shards: 3,
        cells: Some(9),
        scratch: Some(data.path("scratch")),
        ..ServingParams::default()
    };
    let run = || serving::run(&lab, &params, own_program(), &Monitor::new()).expect("served");
    let (one, other) = (run(), run());
    for (left, right) in one.rows.iter().zip(&other.rows) {
        assert_eq!(
            (left.step, left.recall, left.gap, &left.losing),
            (right.step, right.recall, right.gap, &right.losing)
        );
        assert_eq!((left.docs_balance, left.load_balance), (right.docs_balance, right.load_balance));
        // What merges more than one exact list is better than what the approximate index finds alone.
        assert!(left.recall.mean < 1.0, "{left:?}");
        let losing = left.losing.len() as f64;
        assert!(losing >= (1.0 - left.recall.mean) * QUERIES as f64, "{left:?}");
    }
    let dual = one.of(Scheme::Dual).next().expect("a row");
    assert!(dual.recall.mean > dual.recall_without.expect("judged").mean + 0.1, "{dual:?}");
    // Nine cells packed into three shards: more even than the cells.
    let cluster = one.of(Scheme::Cluster).next().expect("a row");
    assert!(cluster.docs_balance.expect("told").max_over_mean < 1.2, "{cluster:?}");
    check_finding(&studies::serving::finding(one), 3);
    data.check_scratch();
}

#[test]
fn what_cannot_be_served_is_told_and_leaves_nothing() {
    let data = Data::new();
    for (flags, code, words) in [
        (&["--index", "exact", "--shards", "0"][..], 2, "shards: expected a whole number from 1 to 1,024"),
        (&["--index", "hyperplane:probes=1,2"], 2, "one value of every search parameter"),
        (&["--index", "a.faiss"], 2, "built already"),
        (&["--index", "exact", "--scheme", "sharding"], 2, "dual, hash, cluster or replicas"),
        (&["--index", "exact", "--fresh", "100"], 2, "fresh: expected shares from 0"),
        (&["--index", "exact", "--utilisation", "100"], 2, "utilisation"),
        (&["--index", "exact", "--cells", "3"], 2, "cells: expected a whole number from 8 to 2,000"),
        (&["--index", "precomputed", "--index-memory", "1K"], 1, "do not fit"),
    ] {
        let output = data.serve(flags);
        assert_eq!(output.status.code(), Some(code), "{flags:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(words), "{flags:?}: {}", stderr(&output));
    }
}

#[test]
fn cancelling_ends_the_child_and_removes_the_parts() {
    let data = Data::new();
    let lab = data.lab();
    let program = data.path("program");
    // It waits until it is killed.
    fs::write(&program, "#!/bin/sh\nexec sleep 600\n").expect("written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("made executable");
    let scratch = Some(data.path("scratch"));
    let params = ServingParams { index: "exact".to_owned(), scratch: scratch.clone(), ..ServingParams::default() };
    let cancelled_soon = || {
        let monitor = Monitor::new();
        let other = monitor.clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            other.cancel();
        });
        monitor
    };
    let outcome = serving::run(&lab, &params, &program, &cancelled_soon());
    assert!(matches!(outcome, Err(Error::Cancelled)));
    data.check_scratch();
    let params = PlanParams { indexes: vec!["exact".to_owned()], scratch: scratch.clone(), ..PlanParams::default() };
    assert!(matches!(plan::run(&data.question(), &params, &program, &cancelled_soon()), Err(Error::Cancelled)));
    data.check_scratch();
    // The budget ends it, too: that is no cancelling.
    let params = PlanParams { budget_secs: 0.4, ..params };
    let error = plan::run(&data.question(), &params, &program, &Monitor::new()).expect_err("nothing is measured");
    assert!(error.to_string().contains("nothing could be measured within 0.4 s"), "{error}");
    data.check_scratch();
}

#[test]
fn a_plan_tells_what_pays_what_fits_and_what_was_measured() {
    let data = Data::new();
    let (csv, json, chart) = (data.shown("plan.csv"), data.shown("plan.json"), data.shown("plan.svg"));
    let indexes = ["exact", "precomputed", "annoy:trees=8:search_k=200,2000", "hyperplane:tables=1:hashes=10"];
    let mut flags = vec!["--csv", &csv, "--json", &json, "--chart", &chart, "--metric", "euclidean"];
    indexes.iter().for_each(|index| flags.extend(["--index", index]));
    let output = data.plan(&[&flags[..], &["--for-queries", "30", "--recall", "0.9"]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(data.path("plan.svg").is_file() && data.path("plan-decision-tree.svg").is_file());
    let drawn = fs::read_to_string(data.path("plan-decision-tree.svg")).expect("written");
    assert!(drawn.contains("&lt; 100K items") || drawn.contains("path"), "the tree is drawn");
    let rows = data.rows("plan.csv");
    assert_eq!(rows.len(), 4);
    let of = |method: &str| rows.iter().find(|row| row["method"].starts_with(method)).expect("measured");
    for row in &rows {
        assert_eq!(row["measured_docs"], "2000");
        assert_eq!(row["extrapolated"], "no");
    }
    assert_eq!((of("exact")["recall"].as_str(), of("exact")["reaches"].as_str()), ("1.000000", "yes"));
    // 2,000 docs × 30 queries × 4 bytes.
    assert_eq!(of("precomputed")["memory_bytes"], "240000");
    // A single table of a thousand buckets cannot find nine tenths.
    assert_eq!(of("hyperplane")["reaches"], "no");
    assert_eq!(of("hyperplane")["cheapest_from_queries"], "");
    let exact = of("exact");
    assert!(number(exact, "memory_bytes") >= (DOCS * DIM * 4) as f64);
    let total = number(exact, "before_s") + 30.0 * number(exact, "query_ms") / 1e3;
    assert!((number(exact, "total_s") - total).abs() < 0.002 + total * 0.01, "{exact:?}");
    // The cheapest stretches join, from the first query to no end.
    let mut stretches: Vec<_> = rows.iter().filter(|row| !row["cheapest_from_queries"].is_empty()).collect();
    stretches.sort_by(|left, right| {
        number(left, "cheapest_from_queries").total_cmp(&number(right, "cheapest_from_queries"))
    });
    assert_eq!(stretches[0]["cheapest_from_queries"], "1");
    assert_eq!(stretches[stretches.len() - 1]["cheapest_to_queries"], "");
    assert!(told(&output).contains("hyperplane") && told(&output).contains("does not reach the recall"));

    // More docs than there are, and hardly any memory.
    let more =
        ["--for-docs", "1000000", "--for-memory", "50M", "--csv", &csv, "--index", "exact", "--metric", "cosine"];
    let output = data.plan(&more);
    assert!(output.status.success(), "{}", stderr(&output));
    let rows = data.rows("plan.csv");
    assert_eq!((rows[0]["extrapolated"].as_str(), rows[0]["fits"].as_str()), ("yes", "no"));
    let words = told(&output);
    assert!(words.contains("No method reaches recall@10 ≥ 0.95 within 50.0 MB of memory"), "{words}");
    assert!(words.contains("exact does not fit:") && words.contains("50.0 MB are given"), "{words}");
    assert!(words.contains("1,000,000 docs are beyond that, so their figures are extrapolated"), "{words}");

    // From a session.
    drop(data.lab());
    let lab = data.shown("lab");
    let output = data.study("plan", &[&lab, "--index", "exact", "--csv", &csv, "--at-once", "--quiet"]);
    assert!(output.status.success() && told(&output).is_empty(), "{}", stderr(&output));
    assert_eq!(data.rows("plan.csv").len(), 1);
    for (flags, words) in [
        (&["--recall", "2"][..], "recall: expected a number above 0"),
        (&["--budget-secs", "0"], "budget-secs"),
        (&["--index", "hnws"], "a family"),
        (&["--index", "exact", "--budget-secs", "0.000001"], "nothing could be measured"),
    ] {
        let output = data.plan(flags);
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(words), "{flags:?}: {}", stderr(&output));
    }
}

#[test]
fn a_plan_of_every_family_is_drawn() {
    let data = Data::new();
    let params = PlanParams {
        budget_secs: 120.0,
        sample_queries: 20,
        scratch: Some(data.path("scratch")),
        ..PlanParams::default()
    };
    let planned = plan::run(&data.question(), &params, own_program(), &Monitor::new()).expect("planned");
    data.check_scratch();
    let families: Vec<&str> = planned.methods.iter().map(|method| method.family.as_str()).collect();
    let is_known = |family: &str| {
        families.contains(&family) || planned.measurements.left_out.iter().any(|told| told.starts_with(family))
    };
    assert!(["exact", "precomputed", "annoy", "hyperplane"].into_iter().all(is_known), "{families:?}");
    if cfg!(feature = "faiss") {
        assert!(["flat", "hnsw", "ivf-flat", "ivf-pq", "fast-scan"].into_iter().all(is_known), "{families:?}");
        assert!(!planned.tree[1].leaves[0].because.is_empty());
    }
    // The least of those that can be taken, at any number of queries.
    for queries in [1.0, 100.0, 1e6] {
        let costs = planned.methods.iter().filter(|method| method.is_eligible()).map(|method| method.cost);
        let least = costs.map(|cost| cost.total(queries)).fold(f64::INFINITY, f64::min);
        let part = planned.envelope.iter().find(|part| part.to.is_none_or(|to| queries <= to)).expect("to the end");
        assert!(planned.methods[part.place].cost.total(queries) <= least * (1.0 + 1e-9));
    }
    check_finding(&studies::plan::finding(planned), 2);
}
