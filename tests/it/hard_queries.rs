//! Studies of the index lab at the command line: cells of docs, and what makes queries hard.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use knnscope::compute::index::cells::{self, CellsParams};
use knnscope::compute::index::choice::find_run;
use knnscope::compute::index::difficulty::{self, DifficultyParams, Measure};
use knnscope::compute::index::scores::Scores;
use knnscope::compute::index::session::Lab;
use knnscope::job::Monitor;
use knnscope::video::Look;
use knnscope::video::finding::Finding;
use knnscope::video::panel::Canvas;
use knnscope::video::studies;

use crate::support::{Random, knnscope, shared, stderr, text, write_vectors};

const DIM: usize = 12;

/// 1,500 docs and 120 queries in 30 clusters with texts; searched by hyperplanes, which lose some.
struct Searched {
    folder: tempfile::TempDir,
}

impl Searched {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut random = Random::new(3);
        let centres = random.values(30 * DIM);
        let mut around = |rows: usize, apart: f32| -> Vec<f32> {
            let row = |row: usize| -> Vec<f32> {
                let centre = &centres[row % 30 * DIM..(row % 30 + 1) * DIM];
                // Clusters of several densities, so that some queries are harder.
                let apart = apart * (1 + row % 30 % 5) as f32;
                centre.iter().map(|value| value + random.value() * apart).collect()
            };
            (0..rows).flat_map(row).collect()
        };
        let (docs, queries) = (around(1500, 0.12), around(120, 0.12));
        write_vectors(&folder.path().join("docs.vec"), &docs);
        write_vectors(&folder.path().join("queries.vec"), &queries);
        for (name, rows) in [("docs", 1500), ("queries", 120)] {
            let line = |row: usize| format!("{name} {row},\"about topic {}, really\"\n", row % 30);
            let csv: String = ["title,text\n".to_owned()].into_iter().chain((0..rows).map(line)).collect();
            fs::write(folder.path().join(name).with_extension("csv"), csv).expect("written");
        }
        let searched = Self { folder };
        let paths = ["docs.vec", "queries.vec", "lab"].map(|name| searched.path(name));
        let [docs, queries, lab] = paths.each_ref().map(|path| text(path));
        let output = knnscope(&[
            "index",
            "search",
            "--docs",
            docs,
            "--queries",
            queries,
            "--dim",
            "12",
            "--top-k",
            "10",
            "--metric",
            "euclidean",
            "-o",
            lab,
            "--quiet",
            "--threads",
            "2",
            "--index",
            "exact",
            "--index",
            "hyperplane:tables=3:hashes=7:probes=0,1",
        ]);
        assert!(output.status.success(), "{}", stderr(&output));
        searched
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn study(&self, study: &str, flags: &[&str]) -> Output {
        let lab = self.path("lab");
        knnscope(&[&["index", study, text(&lab)], flags].concat())
    }

    fn lab(&self) -> Lab {
        Lab::open(&self.path("lab"), &Monitor::new()).expect("opened")
    }
}

const HYPERPLANE: [&str; 4] = ["--index", "hyperplane:tables=3:hashes=7", "--setting", "probes=1"];

/// Rows of a CSV file by the names of their columns.
fn rows(path: &Path) -> Vec<HashMap<String, String>> {
    let mut reader = csv::Reader::from_path(path).expect("there");
    reader.deserialize().map(|row| row.expect("CSV")).collect()
}

fn sum(rows: &[HashMap<String, String>], column: &str) -> usize {
    rows.iter().map(|row| row[column].parse::<usize>().expect("a count")).sum()
}

fn lost(lab: &Lab, place: usize, query: usize) -> usize {
    lab.runs[place].judged.lost_of(&lab.truth, query).len()
}

/// Every row is about something, pictures are drawn at any size and look, and choosing changes them.
fn check_finding(finding: &Finding) {
    assert_eq!(finding.table.rows.len(), finding.links.len());
    assert!(finding.notes.iter().all(|note| note.ends_with('.')), "{:?}", finding.notes);
    for picture in &finding.pictures {
        for (width, height, unit) in [(1800, 900, 1.0), (480, 300, 0.4), (60, 40, 0.2)] {
            for look in [Look::Light, Look::Dark] {
                let canvas = Canvas { width, height, unit, look };
                let scene = picture.drawing.scene(canvas, None);
                assert!(!scene.items.is_empty(), "{}", picture.name);
                if let Some((panel, values)) = picture.drawing.brush(canvas) {
                    assert!(panel.x.0 < panel.x.1 && panel.y.0 < panel.y.1, "{}: {panel:?}", picture.name);
                    let inside = |value: &&f64| (panel.x.0..=panel.x.1).contains(*value);
                    assert!(values.iter().filter(inside).count() > 0, "{}", picture.name);
                    let middle = (panel.x.0 + panel.x.1) / 2.0;
                    assert_ne!(scene, picture.drawing.scene(canvas, Some((panel.x.0, middle))), "{}", picture.name);
                }
            }
        }
    }
}

#[test]
fn cells_tell_what_is_lost_where() {
    let searched = Searched::new();
    let lab = searched.lab();
    let place = find_run(&lab, "hyperplane:tables=3:hashes=7", "probes=1", 0).expect("there");
    let all_lost: usize = (0..120).map(|query| lost(&lab, place, query)).sum();
    assert!(all_lost > 20, "something is lost: {all_lost}");
    let (csv, json, chart) = (searched.path("a.csv"), searched.path("a.json"), searched.path("a.svg"));
    let files = ["--csv", text(&csv), "--json", text(&json), "--chart", text(&chart)];
    let output = searched.study("cells", &[&HYPERPLANE[..], &files, &["--cells", "24", "--threads", "1"]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let cells = rows(&csv);
    assert_eq!(cells.len(), 24);
    assert_eq!([sum(&cells, "docs"), sum(&cells, "queries")], [1500, 120]);
    assert_eq!([sum(&cells, "lost"), sum(&cells, "lost_docs")], [all_lost; 2]);
    let losses: Vec<usize> = cells.iter().map(|row| row["lost"].parse().expect("a count")).collect();
    assert!(losses.is_sorted_by(|one, other| one >= other), "{losses:?}");
    assert!(cells[0]["most_central_texts"].contains("about topic"), "{:?}", cells[0]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("24 cells by k-means") && told.contains("and 4 rows more"), "{told}");
    assert!(fs::read_to_string(&json).expect("written").contains("\"rows\": ["));
    assert!(chart.exists() && searched.path("a-spread.svg").exists());

    // On another number of threads the same bytes.
    let again = searched.path("b.csv");
    let flags = [&HYPERPLANE[..], &["--cells", "24", "--threads", "2", "--csv", text(&again), "--quiet"]].concat();
    assert!(searched.study("cells", &flags).status.success());
    assert_eq!(fs::read(&csv).expect("there"), fs::read(&again).expect("there"));

    // One cell: its queries first, those that lost most before; then its docs, the central one first.
    let worst = &cells[0];
    let flags = [&HYPERPLANE[..], &["--cells", "24", "--cell", &worst["cell"], "--csv", text(&again)]].concat();
    let output = searched.study("cells", &flags);
    assert!(output.status.success(), "{}", stderr(&output));
    let inside = rows(&again);
    let of = |what: &str| inside.iter().filter(|row| row["what"] == what).cloned().collect::<Vec<_>>();
    let (queries, docs) = (of("query"), of("doc"));
    assert_eq!([queries.len().to_string(), docs.len().to_string()], [worst["queries"].clone(), worst["docs"].clone()]);
    assert_eq!(sum(&queries, "lost").to_string(), worst["lost"]);
    let distances: Vec<f64> = docs.iter().map(|doc| doc["distance"].parse().expect("a number")).collect();
    assert!(distances.is_sorted());
    let topic = format!(
        "docs {0} · about topic {1}, really",
        docs[0]["row"],
        docs[0]["row"].parse::<usize>().expect("row") % 30
    );
    assert_eq!(docs[0]["text"], topic);

    // Without a contestant: cells alone.
    let output = searched.study("cells", &["--cells", "24", "--csv", text(&again), "--quiet"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let alone = rows(&again);
    assert!(alone.len() == 24 && !alone[0].contains_key("lost") && sum(&alone, "docs") == 1500);

    for (flags, wrong) in [
        (vec!["--cells", "2000"], "cells: expected a whole number from 1 to 1,500 for 1,500 docs, found 2,000"),
        (vec!["--cells", "0"], "found 0"),
        (vec!["--cells", "24", "--cell", "24"], "cell: expected a cell from 0 to 23, found 24"),
        (
            vec!["--index", "hnsw"],
            "a run of this session (exact, hyperplane:tables=3:hashes=7 probes=0, hyperplane:tables=3:hashes=7 probes=1)",
        ),
        (
            vec!["--index", "hyperplane:tables=3:hashes=7"],
            "one run; name its setting (--setting): hyperplane:tables=3:hashes=7 probes=0, ",
        ),
        (vec!["--index", "exact", "--build", "3"], "found exact build 3"),
        (vec!["--cells", "9", "--cell", "1", "--chart", text(&chart)], "expected a finding with pictures"),
    ] {
        let output = searched.study("cells", &flags);
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        assert!(stderr(&output).contains(wrong), "{flags:?}: {}", stderr(&output));
    }
}

#[test]
fn cells_as_a_finding_are_linked_to_their_queries_and_docs() {
    let searched = Searched::new();
    let lab = searched.lab();
    let run = &lab.runs[find_run(&lab, "hyperplane:tables=3:hashes=7", "probes=0", 0).expect("there")];
    let params = CellsParams { cells: Some(30), ..CellsParams::default() };
    let study = cells::run(&lab, Some(run), &params, &Monitor::new()).expect("studied");
    let finding = studies::cells::finding(&study);
    check_finding(&finding);
    check_finding(&studies::cells::finding(&cells::run(&lab, None, &params, &Monitor::new()).expect("studied")));
    let mut queries: Vec<u32> = finding.links.iter().flat_map(|link| link.queries.clone()).collect();
    queries.sort_unstable();
    assert!(queries.into_iter().eq(0..120), "every query is in one cell");
    for (row, link) in study.rows.iter().zip(&finding.links) {
        assert_eq!((row.docs, row.queries), (link.docs.len(), link.queries.len()));
        let Some(recall) = row.recall else { continue };
        let mean = link.queries.iter().map(|&query| run.judged.recall_of(query as usize, 10)).sum::<f64>()
            / link.queries.len() as f64;
        assert!((recall.mean - mean).abs() < 1e-12 && recall.low <= mean && mean <= recall.high);
    }
    // Choosing all of the x axis of the cells chooses all queries.
    let picture = finding.pictures.iter().find(|picture| picture.name == "Cells by recall").expect("drawn");
    let (panel, values) = picture.drawing.brush(Canvas::FILE).expect("can be brushed");
    let mut places: Vec<f64> = values.to_vec();
    places.sort_by(f64::total_cmp);
    assert!(places.iter().enumerate().all(|(place, value)| *value == place as f64 + 0.5));
    assert_eq!(panel.x, (0.0, 120.0));
    let monitor = Monitor::new();
    monitor.cancel();
    assert!(cells::run(&lab, Some(run), &params, &monitor).is_err());
}

#[test]
fn hard_queries_are_measured_grouped_and_told() {
    let searched = Searched::new();
    let lab = searched.lab();
    let run = &lab.runs[find_run(&lab, "hyperplane:tables=3:hashes=7", "probes=1", 0).expect("there")];
    let measured = difficulty::run(&lab, run, &DifficultyParams::default(), &Monitor::new()).expect("measured");
    check_finding(&studies::difficulty::finding(&measured));
    for measure in Measure::ALL {
        let values = measured.values(measure);
        assert_eq!(values.iter().filter(|value| value.is_nan()).count(), 0, "{}", measure.name());
        let tenths = measured.tenths(measure);
        let mut queries: Vec<u32> = tenths.iter().flat_map(|tenth| tenth.queries.clone()).collect();
        queries.sort_unstable();
        assert!(queries.into_iter().eq(0..120), "{}", measure.name());
        for tenth in tenths {
            assert_eq!(measured.within(measure, tenth.from, tenth.to), tenth.queries, "{}", measure.name());
        }
    }
    // Dimension and contrast by hand, for one query.
    let distances = lab.truth.scores_of(7);
    let sum: f64 = distances[..9].iter().map(|distance| (distances[9] / distance).ln()).sum();
    assert!((measured.values(Measure::Lid)[7] - 9.0 / sum).abs() < 1e-9);
    let square = (0..1500).map(|doc| lab.arena.score(7, doc).powi(2)).sum::<f64>() / 1500.0;
    assert!((measured.values(Measure::Contrast)[7] - square.sqrt() / distances[9]).abs() < 1e-9);
    let times = |doc: u32| lab.truth.ids.iter().filter(|id| **id == doc).count() as f64;
    let hubness = lab.truth.ids_of(7).iter().map(|&doc| times(doc)).sum::<f64>() / 10.0;
    assert!((measured.values(Measure::Hubness)[7] - hubness).abs() < 1e-12);

    // A group of hard queries: its scores are those of its queries, over the axis of all.
    let hardest = measured.tenths(Measure::Centroid).last().expect("ten").clone();
    let group = measured.group(&lab, run, Measure::Centroid, hardest.from, f64::INFINITY).expect("a group");
    assert_eq!((group.queries.len(), group.to), (hardest.queries.len(), hardest.to));
    let all = Scores::of(&lab, run).expect("binned");
    assert_eq!(group.scores.bins, all.bins);
    assert_eq!(group.scores.beside.as_ref(), Some(&all.all));
    assert_eq!(group.scores.all.exact.total(), 10 * group.queries.len() as u64);
    assert_eq!(group.scores.all.lost.total(), group.lost as u64);
    let everyone: Vec<u32> = (0..120).collect();
    let every = Scores::of_queries(&lab, run, &everyone).expect("binned");
    assert_eq!((&every.all, &every.gap_by_rank), (&all.all, &all.gap_by_rank));
    check_finding(&studies::difficulty::group(&measured, &group, &lab, run, &Monitor::new()).expect("told"));

    // The command line tells the same.
    let (csv, each, chart) = (searched.path("a.csv"), searched.path("each.csv"), searched.path("a.png"));
    let files = ["--csv", text(&csv), "--queries", text(&each), "--chart", text(&chart), "--threads", "1"];
    let output = searched.study("difficulty", &[&HYPERPLANE[..], &files].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("local intrinsic dimension: ρ = ") && told.contains("skewness"), "{told}");
    let tenths = rows(&csv);
    let expected: usize = Measure::ALL.map(|measure| measured.tenths(measure).len()).into_iter().sum();
    assert_eq!(tenths.len(), expected);
    let each = rows(&each);
    assert_eq!(each.len(), 120);
    let first: usize = each[0]["query"].parse().expect("a query");
    assert_eq!(each[0]["lid"].parse::<f64>().ok(), Some(measured.values(Measure::Lid)[first]));
    for name in ["a.png", "a-contrast.png", "a-hubness.png", "a-centroid.png"] {
        assert!(searched.path(name).exists(), "{name}");
    }
    let from = hardest.from.to_string();
    let flags = ["--measure", "centroid", "--from", &from, "--csv", text(&csv)];
    let output = searched.study("difficulty", &[&HYPERPLANE[..], &flags].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let chosen = rows(&csv);
    assert_eq!(chosen.iter().map(|row| row["query"].parse().expect("a query")).collect::<Vec<u32>>(), group.queries);
    assert!(chosen[0]["text"].starts_with(&format!("queries {} · about topic", chosen[0]["query"])));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("chosen queries: ") && told.contains("of all queries"), "{told}");
    for (flags, wrong) in [
        (vec!["--from", "5", "--to", "4"], "range: expected two numbers, --from at most --to, found 5 to 4"),
        (vec!["--from", "1e9"], "expected a range of the local intrinsic dimension that holds queries; theirs go from"),
        (vec!["--cells", "-1"], "invalid value '-1' for '--cells"),
        (vec!["--measure", "size"], "expected lid, contrast, hubness, centroid, found size"),
    ] {
        let output = searched.study("difficulty", &[&HYPERPLANE[..], &flags].concat());
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        assert!(stderr(&output).contains(wrong), "{flags:?}: {}", stderr(&output));
    }
}

/// An index that loses nothing has nothing to explain, and says so.
#[test]
fn nothing_lost_is_nothing_to_explain() {
    let searched = Searched::new();
    let output = searched.study("difficulty", &["--index", "exact", "--threads", "2"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("nothing for a measure to explain") && !told.contains("ρ"), "{told}");
    let output = searched.study("cells", &["--index", "exact", "--chart", text(&searched.path("a.png"))]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("Nothing was lost in any cell."));
}

/// Real embeddings: queries far from all docs are harder for a graph or a forest, and cells of topics hold most neighbours.
#[test]
fn real_queries_differ_in_difficulty() {
    let Some(folder) = shared("real_queries_differ_in_difficulty", "wordnet") else { return };
    let target = tempfile::tempdir().expect("temporary folder");
    let lab = target.path().join("lab");
    let vectors = ["docs", "queries"].map(|name| folder.join(format!("wordnet-minilm-384d.{name}.vec")));
    let output = knnscope(&[
        "index",
        "search",
        "--docs",
        text(&vectors[0]),
        "--queries",
        text(&vectors[1]),
        "--dim",
        "384",
        "--num-docs",
        "4000",
        "--num-queries",
        "400",
        "--top-k",
        "20",
        "-o",
        text(&lab),
        "--quiet",
        "--index",
        "annoy:trees=4:search_k=300",
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    let lab = Lab::open(&lab, &Monitor::new()).expect("opened");
    let measured =
        difficulty::run(&lab, &lab.runs[0], &DifficultyParams::default(), &Monitor::new()).expect("measured");
    let contrast = measured.correlation(Measure::Contrast).expect("both vary");
    assert!(contrast.rho > 0.0 && !contrast.may_be_none(), "more contrast, more found: {contrast:?}");
    let study = cells::run(&lab, Some(&lab.runs[0]), &CellsParams::default(), &Monitor::new()).expect("studied");
    assert_eq!(study.cells.count(), 102);
    // By chance it would be about 1 %.
    assert!(study.neighbours_inside > 0.1, "{}", study.neighbours_inside);
}
