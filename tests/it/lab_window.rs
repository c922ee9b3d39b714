//! The index lab by what it says: a session is run, looked at, saved and opened again.

use std::fs;

use egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable;
use knnscope::app::{Command, LabCommand, Page};

use crate::support::{Vectors, text};
use crate::window::Window;

fn typed(window: &mut Window, vectors: &Vectors) -> String {
    window.harness.state_mut().send(Command::ShowPage(Page::Lab));
    window.harness.step();
    let session = text(&window.home.path().join("lab")).to_owned();
    window.type_into("Docs", text(&vectors.docs));
    window.type_into("Queries", text(&vectors.queries));
    for (field, value) in [("Dim", "12"), ("Queries used", "40"), ("Top-k", "8"), ("Session", &session)] {
        window.type_into(field, value);
    }
    session
}

/// Saves by the button `name` into `file`, which then begins with some bytes.
fn save(window: &mut Window, name: &str, file: &str, begins: &[u8]) {
    let path = window.home.path().join(file);
    window.click(name);
    window.type_into("File", text(&path));
    window.click("Save");
    let written = fs::read(&path).unwrap_or_default();
    assert!(written.len() > 100 && written.starts_with(begins), "{file}: {:?}", window.app().latest_notice());
}

#[test]
fn indexes_are_run_looked_at_saved_and_opened_again() {
    let vectors = Vectors::random(900, 60, 12);
    let mut window = Window::open(Vec::new());
    window.harness.state_mut().send(Command::ShowPage(Page::Lab));
    window.harness.step();
    window.settle();
    assert!(window.sees("What does approximate search lose?") && window.sees("To run, choose docs first."));
    let session = typed(&mut window, &vectors);
    window.type_into("Indexes", "hyperplane:tables=4:hashes=6:probes=0,6");
    window.harness.key_combination_modifiers(Modifiers::COMMAND, &[Key::Enter]);
    window.harness.step();
    window.settle();
    assert_eq!(window.app().lab().counts(), (2, None), "{:?}", window.app().latest_notice());
    assert!(window.sees("900 docs × 40 queries, dim 12, dot, top-8"));
    assert!(window.sees("Recall against speed"));

    // What is there is not run again, and more can be added.
    window.type_into("Indexes", "precomputed");
    window.click("Run indexes");
    assert_eq!(window.app().lab().counts().0, 3, "{:?}", window.app().latest_notice());

    window.harness.state_mut().send(Command::Lab(LabCommand::LookAt(0)));
    window.harness.step();
    window.settle();
    assert!(window.sees("QUERIES THAT LOST MOST") && window.sees("mean score gap"));
    window.click("Scores");
    assert!(window.sees("Exact, found and lost scores: all 40 queries: "));
    assert!(window.sees("of 320 exact neighbours lost"));
    window.click("Next frame");
    assert!(window.sees("scores: query 0: ") && window.sees("frame 1 of 40"));
    window.click("Next frame");
    assert!(window.sees("scores: query 1: ") && window.sees("frame 2 of 40"));
    for (name, begins) in
        [("s.png", &b"\x89PNG"[..]), ("s.svg", b"<svg"), ("s.csv", b"of,from,to,exact"), ("s.mp4", b"")]
    {
        save(&mut window, "Save scores…", name, begins);
    }
    assert!(!window.sees("all of 40 frames"));
    window.click("All queries");
    assert!(window.sees("all of 40 frames"));
    // It starts with the first frame, and goes on by itself.
    window.click("Play");
    assert!(window.sees("Pause"));
    window.harness.run_steps(90);
    assert!(!window.sees("frame 1 of 40") && !window.sees("all of 40 frames"));
    window.click("Pause");
    save(&mut window, "Save queries…", "q.csv", b"query,lost,recall@8,nearest lost rank\n");
    window.click("Recall and speed");
    for (name, begins) in [("c.png", &b"\x89PNG"[..]), ("c.svg", b"<svg")] {
        save(&mut window, "Save chart…", name, begins);
    }
    window.click("Save chart…");
    window.type_into("File", text(&window.home.path().join("c.gif")));
    window.click("Save");
    let told = window.app().latest_notice().unwrap_or_default().to_owned();
    assert!(told.contains("a name that ends with .png, .svg") && told.contains("c.gif"), "{told}");
    window.click("Close");
    window.harness.state_mut().send(Command::Lab(LabCommand::LookAtQuery(3)));
    window.harness.step();
    window.settle();
    let (exact, found) = window.app().lab().counts().1.expect("told");
    assert!(exact == 8 && found <= 8, "{exact}, {found}");
    assert!(window.sees("QUERY 3"));
    window.click("Back to the list");
    assert!(window.app().lab().counts().1.is_none());

    window.click("Save table…");
    let path = window.home.path().join("table.csv");
    window.type_into("File", text(&path));
    window.click("Save");
    assert_eq!(fs::read_to_string(&path).expect("written").lines().count(), 4);

    let mut window = Window::open(vec![session.into()]);
    assert_eq!(window.app().lab().counts().0, 3, "{:?}", window.app().latest_notice());
    // What was run stands in the form.
    let typed = window.harness.get_by_role_and_label(egui::Role::TextInput, "Indexes").value();
    assert_eq!(typed.as_deref(), Some("hyperplane:tables=4:hashes=6:probes=0,6\nprecomputed"));
    window.harness.state_mut().send(Command::Lab(LabCommand::LookAt(1)));
    window.harness.step();
    window.settle();
    assert!(window.sees("recall@8"));
}

#[test]
fn what_cannot_be_run_is_told() {
    let vectors = Vectors::random(300, 60, 12);
    let mut window = Window::open(Vec::new());
    typed(&mut window, &vectors);
    window.type_into("Indexes", "hnws");
    assert!(window.sees("To run, index: expected a family (exact, precomputed"));
    window.type_into("Indexes", "hyperplane:probes=40");
    window.click("Run indexes");
    let told = window.app().latest_notice().unwrap_or_default().to_owned();
    assert!(told.contains("expected 0 to 14 (one a hash), found 40"), "{told}");
    window.type_into("Queries used", "61");
    window.click("Run indexes");
    let told = window.app().latest_notice().unwrap_or_default().to_owned();
    assert!(told.contains("num-queries: expected 1 to 60") && told.contains("found 61"), "{told}");
}
