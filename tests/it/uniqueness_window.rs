//! The uniqueness view through its accessibility tree: open, score, look, decide, save, reopen.

use std::fs;
use std::path::{Path, PathBuf};

use egui::{Key, Modifiers, pos2};
use egui_kittest::kittest::Queryable;
use knnscope::app::{Command, Page, UniquenessCommand};

use crate::support::text;
use crate::uniqueness::{C, write_npy};
use crate::window::Window;

/// Sixty samples on a line: pairs 0.01 apart, and one far away; with texts.
fn samples(folder: &Path) -> (PathBuf, PathBuf) {
    let values: Vec<f64> =
        (0..60).map(|row| if row == 59 { 500.0 } else { f64::from(row / 2) + f64::from(row % 2) / 100.0 }).collect();
    let (npy, jsonl) = (folder.join("some.npy"), folder.join("some.jsonl"));
    write_npy(&npy, 60, 1, &values, C);
    let lines: Vec<String> =
        (0..60).map(|row| format!("{{\"id\": \"s{row}\", \"text\": \"sample number {row}.\"}}")).collect();
    fs::write(&jsonl, lines.join("\n")).expect("written");
    (npy, jsonl)
}

fn scored() -> (Window, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (npy, jsonl) = samples(folder.path());
    let mut window = Window::open(vec![npy, jsonl]);
    assert!(window.sees("60 × 1 float32"), "the file is looked at");
    window.type_into("k", "1");
    window.click("Score samples");
    assert_eq!(window.app().uniqueness().counts(), Some((60, 60, 0)), "{:?}", window.app().latest_notice());
    (window, folder)
}

#[test]
fn from_embeddings_to_saved_lists() {
    let (mut window, folder) = scored();
    assert!(window.sees("Uniqueness of 60 samples: mean euclidean distance to the 1 nearest others"));
    assert!(window.sees("60 samples (100.0 %) kept"));

    window.type_into("Drop above", "40");
    window.type_into("Thin within", "0.02");
    assert_eq!(window.app().uniqueness().counts(), Some((60, 30, 29)));
    assert!(window.sees("29 near-duplicates of a kept one") && window.sees("1 above the upper threshold"));
    window.type_into("Keep", "many");
    assert!(window.sees("Keep: expected a number"));
    window.type_into("Keep", "10");
    assert_eq!(window.app().uniqueness().counts().map(|counts| counts.1), Some(10));

    window.click("Sets 29");
    assert!(window.sees("within 0.02") && window.sees("Sample s2, score 0.0100"));
    window.click("Samples");

    window.click("Save lists…");
    let kept = folder.path().join("out.kept.csv");
    window.type_into("File", text(&kept));
    assert!(window.sees("out.dropped.csv"));
    window.click("Save");
    assert_eq!(fs::read_to_string(&kept).expect("written").lines().count(), 11);
    let dropped = fs::read_to_string(folder.path().join("out.dropped.csv")).expect("written");
    assert!(
        dropped.contains("s59,") && dropped.contains(",above,") && dropped.contains(",duplicate,s2\n"),
        "{dropped}"
    );

    for name in ["plot.svg", "plot.png"] {
        window.click("Save plot…");
        window.type_into("File", text(&folder.path().join(name)));
        window.click("Save");
    }
    let svg = fs::read_to_string(folder.path().join("plot.svg")).expect("written");
    assert!(svg.contains("1 sample, 1.7 %, above 40.0000") && svg.ends_with("</svg>\n"));
    assert!(fs::read(folder.path().join("plot.png")).expect("written").starts_with(b"\x89PNG"));
}

#[test]
fn a_selection_is_undone_saved_and_reopened() {
    let (mut window, folder) = scored();
    window.harness.state_mut().send(Command::Uniqueness(UniquenessCommand::SetRules(
        knnscope::compute::uniqueness::Rules { dedupe: Some(0.02), ..Default::default() },
    )));
    window.harness.step();
    window.settle();
    let thinned = Some((60, 31, 29));
    assert_eq!(window.app().uniqueness().counts(), thinned);
    window.click("Undo");
    assert_eq!(window.app().uniqueness().counts(), Some((60, 60, 0)));
    window.harness.key_press_modifiers(Modifiers::COMMAND | Modifiers::SHIFT, Key::Z);
    window.harness.step();
    window.settle();
    assert_eq!(window.app().uniqueness().counts(), thinned);

    window.click("Save selection…");
    let saved = folder.path().join("some.selection.json");
    window.click("Save");
    assert!(saved.is_file(), "{:?}", window.app().latest_notice());
    window.click("Clear");
    assert_eq!(window.app().uniqueness().counts(), Some((60, 60, 0)));
    window.harness.state_mut().send(Command::OpenPaths(vec![saved.clone()]));
    window.harness.step();
    window.settle();
    assert_eq!(window.app().uniqueness().counts(), thinned);

    // In a window that knows nothing of the samples, too.
    let other = Window::open(vec![saved.clone()]);
    assert_eq!(other.app().uniqueness().counts(), thinned, "{:?}", other.app().latest_notice());
    // Of a file that was changed since it tells so.
    let (npy, _) = samples(folder.path());
    fs::write(
        &saved,
        fs::read_to_string(&saved).expect("there").replace("\"fingerprint\": \"", "\"fingerprint\": \"0"),
    )
    .expect("written");
    let other = Window::open(vec![saved]);
    assert!(other.app().latest_notice().is_some(), "{}", npy.display());
    assert!(other.sees("was changed since the selection was saved"));
}

#[test]
fn samples_are_searched_and_walked() {
    let (mut window, _folder) = scored();
    window.type_into("Search", "number 17.");
    assert!(window.sees("Sample s17, score 0.0100") && !window.sees("Sample s16, score"));
    window.click("Sample s17, score 0.0100");
    assert_eq!(window.app().uniqueness().current(), Some(17));
    window.click("Neighbour s16");
    assert_eq!(window.app().uniqueness().current(), Some(16));
    assert!(window.sees("sample number 16."));
    window.click("Step back");
    assert_eq!(window.app().uniqueness().current(), Some(17));
}

#[test]
fn handles_drop_and_the_chart_zooms() {
    let (mut window, _folder) = scored();
    let chart = window.harness.get_by_label("Scores").rect();
    let drag = |window: &mut Window, from: f32, to: f32| {
        let at = |x: f32| pos2(x, chart.center().y);
        window.harness.hover_at(at(from));
        window.harness.step();
        window.harness.drag_at(at(from));
        window.harness.step();
        window.harness.hover_at(at((from + to) / 2.0));
        window.harness.step();
        window.harness.hover_at(at(to));
        window.harness.step();
        window.harness.drop_at(at(to));
        window.harness.step();
        window.settle();
    };
    drag(&mut window, chart.center().x, chart.center().x + 80.0);
    assert!(window.sees("0 of 60 scores in view"), "nothing lies in the middle");
    window.click("Reset");
    assert!(window.sees("60 of 60 scores in view"));
    // The upper handle: from the right end of the plot to its middle. The axis at the right takes some pixels.
    let right = (0..90).map(|step| chart.right() - step as f32).find(|&x| {
        window.harness.hover_at(pos2(x, chart.center().y));
        window.harness.step();
        window.harness.output().platform_output.cursor_icon == egui::CursorIcon::ResizeHorizontal
    });
    drag(&mut window, right.expect("a handle at the right end"), chart.center().x);
    assert_eq!(window.app().uniqueness().counts().map(|counts| counts.1), Some(59));
    assert!(window.sees("1 above the upper threshold"));
}

#[test]
fn what_does_not_fit_is_told() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (npy, jsonl) = samples(folder.path());
    fs::write(&jsonl, "{\"id\": 1}\n").expect("written");
    let mut window = Window::open(vec![npy, jsonl]);
    window.click("Score samples");
    assert!(window.sees("has 1 samples, but"));
    window.click("Dismiss");
    window.type_into("k", "0");
    assert!(window.sees("k: expected a whole number of at least 1"));
    window.type_into("Embeddings", text(&folder.path().join("none.npy")));
    assert!(window.sees("there is no such file"));
}

#[test]
fn the_demo_data_can_be_tried() {
    let mut window = Window::open(Vec::new());
    window.harness.state_mut().send(Command::ShowPage(Page::Uniqueness));
    window.harness.step();
    window.settle();
    window.click("Try it with the demo data");
    assert_eq!(window.app().uniqueness().counts().map(|counts| counts.0), Some(5000));
    assert!(window.sees("Demo: 5,000 dictionary definitions"));
}
