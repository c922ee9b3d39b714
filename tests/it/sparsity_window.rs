//! The sparsity view through its accessibility tree: open, analyse, look, compare, ask, save.

use std::fs;
use std::path::{Path, PathBuf};

use egui::{Key, Modifiers, pos2};
use egui_kittest::kittest::{NodeT, Queryable};
use knnscope::app::{Command, Page, SparsityCommand};

use crate::sparsity::data;
use crate::support::{checkout, text};
use crate::window::Window;

fn demo_matrices() -> PathBuf {
    checkout("assets/demo/pruned")
}

/// A folder with the demo's matrices of both methods, so that results can be written beside them.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("temporary folder");
    for method in ["wanda", "sparsegpt"] {
        fs::create_dir(folder.path().join(method)).expect("made");
        for name in ["layer1-self_attn.q_proj.npy", "layer1-self_attn.o_proj.npy"] {
            let part = Path::new(method).join(name);
            fs::copy(demo_matrices().join(&part), folder.path().join(&part)).expect("copied");
        }
    }
    folder
}

fn opened() -> (Window, tempfile::TempDir) {
    let folder = folder();
    let mut window = Window::open(Vec::new());
    window.harness.state_mut().send(Command::ShowPage(Page::Sparsity));
    window.harness.step();
    window.type_into("Permutations", "9");
    window.type_into("Drawn", "12");
    window.harness.state_mut().send(Command::OpenPaths(vec![folder.path().to_owned()]));
    window.harness.step();
    window.settle();
    assert_eq!(window.app().sparsity().counts(), (4, 4, 0), "{:?}", window.app().latest_notice());
    (window, folder)
}

#[test]
fn a_folder_is_analysed_looked_at_and_saved() {
    let (mut window, folder) = opened();
    assert!(window.sees("Analysed 4 matrices. Stored in") && window.sees("sparsity.db"));
    assert!(window.sees("Weights that are not zero: sparsegpt layer1-self_attn.o_proj.npy, 384 × 384"));
    assert!(window.sees("73,536") && window.sees("closer than chance") && window.sees("4:8 columns"));
    window.click("Matrix wanda layer1-self_attn.q_proj.npy");
    assert_eq!(window.app().sparsity().current(), (Some(3), None));
    window.key(Key::ArrowUp);
    assert_eq!(window.app().sparsity().current().0, Some(2));

    window.click("Distances");
    assert!(window.sees("Distances between features: sparsegpt layer1-self_attn.q_proj.npy"));
    window.click("Groups");
    assert!(window.sees("12 groups"));
    window.click("Sort by p");
    let rows: Vec<String> = window
        .harness
        .query_all_by_label_contains("Group of column")
        .filter_map(|node| node.accesskit_node().label())
        .collect();
    assert!(rows.len() >= 4, "{rows:?}");
    window.click(&rows[1]);
    assert!(window.app().sparsity().current().1.is_some());
    assert!(window.sees("and those nearest to it"));
    let first = window.app().sparsity().current().1;
    window.key(Key::ArrowRight);
    assert_ne!(window.app().sparsity().current().1, first, "the next line of the table");

    // Files go beside the database unless something else is said.
    let save = |window: &mut Window, button: &str, name: &str| {
        window.click(button);
        if name.ends_with(".svg") {
            window.click("SVG");
        }
        window.click("Save");
        let path = folder.path().join(name);
        fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}; {:?}", window.app().latest_notice()))
    };
    let csv = save(&mut window, "Save table…", "sparsegpt-layer1-self_attn.q_proj-groups.csv");
    assert_eq!(String::from_utf8_lossy(&csv).lines().count(), 13);
    let feature = rows_feature(&window);
    for (tab, kind) in [
        ("Groups", "groups".to_owned()),
        ("Distances", format!("feature{feature}-cdf")),
        ("Spy plot", "spy".to_owned()),
        ("Compare", "methods".to_owned()),
    ] {
        window.click(tab);
        let name = format!("sparsegpt-layer1-self_attn.q_proj-{kind}");
        assert!(save(&mut window, "Save picture…", &format!("{name}.png")).starts_with(b"\x89PNG"), "{name}");
        let svg = String::from_utf8(save(&mut window, "Save picture…", &format!("{name}.svg"))).expect("text");
        assert!(svg.ends_with("</svg>\n") && svg.contains("layer"), "{name}");
        assert_eq!(svg.contains("data:image/png;base64,"), kind == "spy" || kind == "methods");
    }
    let csv = save(&mut window, "Save all matrices as CSV…", "matrices.csv");
    assert_eq!(String::from_utf8_lossy(&csv).lines().count(), 5);
    // A file that is there is only replaced when that is asked for.
    window.click("Save all matrices as CSV…");
    window.click("Save");
    assert!(window.sees("There is a file of this name"));
    window.click("Replace");
    assert!(window.sees("Saved the matrices"));
}

/// The column whose group is looked at, as the inspector tells it.
fn rows_feature(window: &Window) -> String {
    let told = window.harness.query_all_by_label_contains("and those nearest to it").next();
    let told = told.map(|node| node.accesskit_node()).and_then(|node| node.label().or_else(|| node.value()));
    let told = told.expect("a group");
    told.split(' ').nth(1).expect("its column").to_owned()
}

#[test]
fn the_spy_plot_zooms_to_cells_and_orders_lines() {
    let (mut window, _folder) = opened();
    let plot = window.harness.get_by_role_and_label(egui::Role::Image, "Weights").rect();
    let at = pos2(plot.left() + plot.width() * 0.25, plot.top() + plot.height() * 0.5);
    for _ in 0..120 {
        window.harness.hover_at(at);
        window.harness.event(egui::Event::MouseWheel {
            unit: egui::MouseWheelUnit::Point,
            delta: egui::vec2(0.0, 60.0),
            phase: egui::TouchPhase::Move,
            source: egui::MouseWheelSource::Wheel,
            modifiers: Modifiers::NONE,
        });
        window.harness.step();
    }
    window.settle();
    let (top, bottom, left, right) = window.app().sparsity().spy_window().expect("zoomed");
    assert!(
        (bottom - top - 4.0).abs() < 1e-6 && (right - left - 4.0).abs() < 1e-6,
        "single cells: {top} {bottom} {left} {right}"
    );
    assert!((90.0..102.0).contains(&left) && (186.0..198.0).contains(&top), "around the pointer: {left} {top}");
    window.key(Key::Escape);
    assert_eq!(window.app().sparsity().spy_window(), None);

    window.harness.get_by_label("Order of columns").click();
    window.harness.step();
    window.settle();
    window.click("by similarity");
    assert!(window.app().latest_notice().is_some_and(|notice| notice.starts_with("Analysed")));
    window.click("Groups");
    window.key(Key::ArrowRight);
    window.click("Spy plot");
    window.click("Group");
    assert!(window.sees("Group of column"));
    window.click("Matrix");
    assert!(window.sees("Weights that are not zero"));
}

#[test]
fn methods_are_compared_and_the_database_answers() {
    let (mut window, folder) = opened();
    window.click("Compare");
    assert!(window.sees("Jaccard 0.7") && window.sees("only sparsegpt") && window.sees("Spy plot of wanda"));
    assert!(window.sees("Distances between features by method: layer 1 self_attn.o_proj"));

    window.click("SQL");
    window.click("Methods");
    assert!(window.sees("4 rows"), "{:?}", window.app().latest_notice());
    window.click("Most alike groups");
    assert!(window.sees("48 rows"), "{:?}", window.app().latest_notice());
    window.click("Save table…");
    let path = folder.path().join("answer.csv");
    window.type_into("File", text(&path));
    window.click("Save");
    let csv = fs::read_to_string(&path).expect("written");
    assert!(csv.starts_with("method,matrix_name,feature_idx,") && csv.lines().count() == 49, "{csv}");
    window.type_into("Question", "SELECT nonsense FROM nowhere");
    window.click("Ask");
    assert!(window.sees("nowhere does not exist"), "{:?}", window.app().latest_notice());

    // In a window that knows nothing, too.
    let mut other = Window::open(vec![folder.path().join("sparsity.db")]);
    other.click("Tables");
    assert!(other.sees(" rows"), "{:?}", other.app().latest_notice());
}

#[test]
fn bad_matrices_are_told_and_others_are_not_lost() {
    let folder = folder();
    for name in ["bad_nan_at_3_4.pt", "bad_foreign.pt", "bad_truncated.pt"] {
        fs::copy(data(name), folder.path().join("wanda").join(name)).expect("copied");
    }
    let mut window = Window::open(Vec::new());
    window.harness.state_mut().send(Command::ShowPage(Page::Sparsity));
    window.harness.step();
    window.type_into("Permutations", "0");
    window.type_into("Group size", "2");
    window.harness.state_mut().send(Command::OpenPaths(vec![folder.path().to_owned()]));
    window.harness.step();
    window.settle();
    assert_eq!(window.app().sparsity().counts(), (5, 4, 1));
    window.harness.state_mut().send(Command::ShowNotices);
    window.harness.step();
    window.settle();
    assert!(window.sees("posix.system") && window.sees("damaged zip archive") && window.sees("row 3, column 4 is NaN"));
    window.key(Key::Escape);
    window.click("Matrix wanda bad_nan_at_3_4.pt");
    assert!(window.sees("This matrix could not be analysed"));

    window.type_into("Group size", "0");
    assert!(window.sees("n-neighbors: expected at least 1 column"));
    window.type_into("Group size", "many");
    assert!(window.sees("Group size: expected a whole number"));
}

#[test]
fn the_demo_matrices_can_be_tried() {
    let mut window = Window::open(Vec::new());
    window.harness.key_press_modifiers(Modifiers::COMMAND, Key::Num3);
    window.harness.step();
    window.settle();
    assert!(window.sees("How alike are the features of pruned matrices?"));
    window.type_into("Permutations", "3");
    window.click("Try it with demo matrices");
    assert_eq!(window.app().sparsity().counts(), (4, 4, 0), "{:?}", window.app().latest_notice());
    assert!(window.sees("Demo: two projections of layer 1"));
    // Again, into the same database.
    window.harness.state_mut().send(Command::Sparsity(SparsityCommand::Start));
    window.harness.step();
    window.settle();
    assert_eq!(window.app().sparsity().counts(), (4, 4, 0), "{:?}", window.app().latest_notice());
}
