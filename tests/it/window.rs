//! The window by what it says, through egui_kittest: no graphics needed.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use egui::{Key, Modifiers, pos2};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use knnscope::app::{App, AppOptions, Command};

use crate::support::{Vectors, shared, stderr, text};

pub struct Window {
    pub harness: Harness<'static, App>,
    pub home: tempfile::TempDir,
}

impl Window {
    pub fn open(paths: Vec<PathBuf>) -> Self {
        let home = tempfile::tempdir().expect("temporary folder");
        let options = AppOptions {
            paths,
            settings: Some(home.path().join("settings.json")),
            demo_home: home.path().join("demo"),
            program: Some(env!("CARGO_BIN_EXE_knnscope").into()),
        };
        let harness = Harness::builder()
            .with_size([1440.0, 900.0])
            .build_eframe(move |context| App::new(&context.egui_ctx, options));
        let mut window = Self { harness, home };
        window.settle();
        window
    }

    /// Runs frames until no work is left.
    pub fn settle(&mut self) {
        let started = Instant::now();
        let mut quiet = 0;
        while quiet < 4 {
            self.harness.step();
            std::thread::sleep(Duration::from_millis(2));
            quiet = if self.harness.state().is_busy() { 0 } else { quiet + 1 };
            assert!(started.elapsed() < Duration::from_secs(120), "the window never settles");
        }
        // The form is reviewed a moment after the last key.
        for _ in 0..4 {
            self.harness.step();
        }
        std::thread::sleep(Duration::from_millis(20));
        self.harness.step();
    }

    pub fn click(&mut self, label: &str) {
        self.harness.get_by_label(label).click();
        self.harness.step();
        self.settle();
    }

    pub fn key(&mut self, key: Key) {
        self.harness.key_press(key);
        self.harness.step();
        self.settle();
    }

    pub fn sees(&self, part: &str) -> bool {
        self.harness.query_all_by_label_contains(part).next().is_some()
    }

    pub fn type_into(&mut self, label: &str, value: &str) {
        self.harness.get_by_role_and_label(egui::Role::TextInput, label).focus();
        self.harness.step();
        self.harness.key_combination_modifiers(Modifiers::COMMAND, &[Key::A]);
        self.harness.step();
        // Key by key, as people type: notes come and go meanwhile, and the field must keep the focus.
        for key in value.chars() {
            self.harness.event(egui::Event::Text(key.to_string()));
            self.harness.run_steps(10);
            if key.is_ascii_punctuation() {
                self.settle();
            }
        }
        // Let the pause after the last key pass on the window's clock.
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(10));
            self.harness.run_steps(10);
        }
        self.settle();
    }

    pub fn app(&self) -> &App {
        self.harness.state()
    }
}

#[test]
fn the_demo_is_ready_to_play_and_says_what_it_is() {
    let mut window = Window::open(Vec::new());
    assert_eq!(window.app().position(), (0, 30));
    assert!(!window.app().is_playing());
    assert!(window.sees("Demo: 5,000 dictionary definitions"));
    assert!(window.sees("N = 5") && window.sees("repeat 1") && window.sees("run 1 of 30"));

    window.click("Next run");
    assert_eq!(window.app().position().0, 1);
    window.key(Key::End);
    assert!(window.sees("run 30 of 30") && window.sees("50,000 of 50,000 scores in view"));
    window.key(Key::ArrowLeft);
    assert_eq!(window.app().position().0, 28);
    window.key(Key::Home);
    assert_eq!(window.app().position().0, 0);

    window.key(Key::Space);
    assert!(window.app().is_playing());
    window.harness.run_steps(200);
    assert_ne!(window.app().position().0, 0, "the animation moved on");
    window.click("Pause");
    assert!(!window.app().is_playing());
}

#[test]
fn scrubbing_follows_the_pointer() {
    let mut window = Window::open(Vec::new());
    let strip = window.harness.get_by_label("Timeline").rect();
    let at = |share: f32| pos2(strip.left() + strip.width() * share, strip.bottom() - 8.0);
    window.harness.drag_at(at(0.5));
    window.harness.step();
    window.harness.step();
    assert_eq!(window.app().position().0, 15);
    window.harness.hover_at(at(0.99));
    window.harness.step();
    window.harness.step();
    assert_eq!(window.app().position().0, 29);
    window.harness.drop_at(at(0.99));
    window.settle();
    assert_eq!(window.app().position().0, 29);
}

#[test]
fn dragging_over_the_chart_zooms_and_bins_anew() {
    let mut window = Window::open(Vec::new());
    window.key(Key::End);
    let (low, high, bins) = window.app().view().expect("a session");
    let drag = |window: &mut Window| {
        window.harness.drag_at(pos2(520.0, 400.0));
        window.harness.step();
        window.harness.hover_at(pos2(600.0, 420.0));
        window.harness.step();
        window.harness.hover_at(pos2(640.0, 420.0));
        window.harness.step();
        window.harness.drop_at(pos2(640.0, 420.0));
        window.harness.step();
        window.settle();
    };
    drag(&mut window);
    let first = window.app().view().expect("a session");
    assert!(first.0 > low && first.1 < high && first.2 == bins, "{first:?} within {low}..{high}");
    assert!(!window.sees("50,000 of 50,000 scores in view"));
    drag(&mut window);
    let second = window.app().view().expect("a session");
    assert!(second.0 > first.0 && second.1 < first.1);
    window.click("Back");
    assert_eq!(window.app().view(), Some(first));
    drag(&mut window);
    window.click("Reset");
    assert_eq!(window.app().view(), Some((low, high, bins)));

    window.harness.state_mut().send(Command::SetBins(37));
    window.harness.step();
    window.settle();
    assert_eq!(window.app().view(), Some((low, high, 37)));
}

#[test]
fn one_click_exports_the_video() {
    let mut window = Window::open(Vec::new());
    window.click("Export video");
    let path = window.home.path().join("demo/results/exact_nn_histogram.mp4");
    assert_eq!(window.app().exported(), Some(path.as_path()));
    assert!(path.is_file());
    assert!(window.sees("Video written") && window.sees("Open video") && window.sees("Show in folder"));

    window.click("Save PNG…");
    let target = window.home.path().join("one frame.png");
    window.type_into("File", text(&target));
    window.click("Save");
    assert!(target.is_file(), "{:?}", window.app().latest_notice());
}

#[test]
fn an_export_that_cannot_be_written_is_told_in_words() {
    let mut window = Window::open(Vec::new());
    window.click("Export as…");
    let in_the_way = window.home.path().join("settings.json/video.mp4");
    std::fs::write(window.home.path().join("settings.json"), "{}").expect("written");
    window.type_into("File", text(&in_the_way));
    window.type_into("Size", "101x99");
    assert!(window.sees("size: expected WIDTHxHEIGHT"));
    window.type_into("Size", "640x360");
    window.click("Export");
    let told = window.app().latest_notice().expect("a notice").to_owned();
    assert!(told.contains("settings.json"), "{told}");
    assert!(window.sees("This did not work") && window.sees("Copy text"));
    window.click("Dismiss");
    assert!(!window.sees("This did not work"));
    window.click("Notices 1");
    assert!(window.sees("settings.json"), "it can be read again");
}

#[test]
fn fields_are_judged_as_they_are_typed_and_scoring_shows_its_runs() {
    let vectors = Vectors::random(3000, 200, 16);
    let mut window = Window::open(Vec::new());
    assert!(window.sees("To score, choose the docs first."));
    window.type_into("Docs", text(&vectors.folder.path().join("none.vec")));
    assert!(window.sees("there is no such file or folder"));
    window.type_into("Docs", text(&vectors.docs));
    window.type_into("Queries", text(&vectors.queries));
    window.type_into("Dim", "17");
    assert!(window.sees("no whole number of rows of dim 17"));
    window.type_into("Dim", "16");
    assert!(window.sees("3,000 rows of dim 16") && window.sees("200 rows of dim 16"));
    window.type_into("Top-k", "3001");
    assert!(window.sees("only 3,000 docs are searched"));
    window.type_into("Top-k", "20");
    window.type_into("N", "10,oops");
    assert!(window.sees("found oops"));
    window.type_into("N", "10,100");
    window.type_into("M", "3");
    assert!(window.sees("writes 52.8 kB"), "the cost is shown");
    assert!(window.sees("330 queries are needed, the file has 200"), "reuse is told");
    window.click("Score 330 queries");
    assert_eq!(window.app().position().1, 6, "{:?}", window.app().latest_notice());
    assert!(window.sees("All runs are scored"));
    window.key(Key::End);
    assert!(window.sees("100 of 100 queries reused: no new evidence"));
    let results = vectors.folder.path().join("docs-scores");
    assert!(results.join("manifest.json").is_file(), "the folder beside the docs was suggested");
}

fn open_results(path: &Path) -> Window {
    Window::open(vec![path.to_owned()])
}

#[test]
fn results_of_both_tools_open_at_once() {
    let vectors = Vectors::random(300, 40, 8);
    let folder = vectors.folder.path().join("results");
    let output = vectors.score(&folder, &["-N", "4", "-M", "2", "--top-k", "9", "--metric", "euclidean", "--quiet"]);
    assert!(output.status.success(), "{}", stderr(&output));
    for path in [folder.clone(), folder.join("manifest.json")] {
        let window = open_results(&path);
        assert_eq!(window.app().position(), (0, 2), "{:?}", window.app().latest_notice());
        assert!(window.sees("Exact top-9 of 300 docs for N = 4 queries, repeat 1 of 2"));
    }
    if let Some(theirs) = shared("results of the other tool in the window", "luceneutil-run") {
        let window = open_results(&theirs);
        assert_eq!(window.app().position().1, 16, "{:?}", window.app().latest_notice());
        assert!(window.sees("Exact top-50 of 20,000 docs"));
    }
}

#[test]
fn damaged_results_are_told_and_the_demo_stays() {
    let folder = tempfile::tempdir().expect("temporary folder");
    std::fs::write(folder.path().join("manifest.json"), "{\"docs\": 3}").expect("written");
    let mut window = Window::open(Vec::new());
    window.harness.state_mut().send(Command::OpenPaths(vec![folder.path().to_owned()]));
    window.harness.step();
    window.settle();
    let told = window.app().latest_notice().expect("a notice");
    assert!(told.contains("manifest.json") && told.contains("topK is missing"), "{told}");
    assert!(window.sees("This did not work"));
    assert_eq!(window.app().position(), (0, 30), "the demo is still there");
    window.click("Next run");
    assert_eq!(window.app().position(), (1, 30));
}

#[test]
fn the_palette_runs_what_is_typed() {
    let mut window = Window::open(Vec::new());
    window.click("Commands");
    window.harness.event(egui::Event::Text("last".to_owned()));
    window.harness.step();
    window.harness.step();
    window.key(Key::Enter);
    assert_eq!(window.app().position().0, 29);
}
