//! Studies of the index lab: at the command line, and in the window by what it says.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use egui::{Key, Modifiers, pos2};
use egui_kittest::kittest::Queryable;
use knnscope::app::{Command, LabCommand, StudyCommand};
use knnscope::compute::index::choice::find_run;
use knnscope::compute::index::session::{Lab, Run};
use knnscope::job::Monitor;
use serde_json::Value;

use crate::support::{Vectors, command, knnscope, stderr, text};
use crate::window::Window;

const INDEX: &str = "hyperplane:tables=4:hashes=6";
const SETTING: &str = "probes=0";

/// A session with two contestants over data with texts.
struct Session {
    vectors: Vectors,
    folder: PathBuf,
}

impl Session {
    fn new() -> Self {
        let vectors = Vectors::random(900, 60, 12);
        for (path, name, rows) in [(&vectors.docs, "doc", 900), (&vectors.queries, "question", 60)] {
            let lines: String = (0..rows).map(|row| format!("{name} title {row},the text of {name} {row}\n")).collect();
            fs::write(path.with_extension("csv"), format!("title,text\n{lines}")).expect("written");
        }
        let folder = vectors.folder.path().join("lab");
        let spec = format!("{INDEX}:probes=0,6");
        let (docs, queries, session) = (text(&vectors.docs), text(&vectors.queries), text(&folder));
        let args = ["index", "search", "--docs", docs, "--queries", queries, "--dim", "12", "--top-k", "8"];
        let rest = ["-o", session, "--index", &spec, "--quiet", "--threads", "2"];
        let output = command(&[&args[..], &rest].concat()).output().expect("started");
        assert!(output.status.success(), "{}", stderr(&output));
        Self { vectors, folder }
    }

    fn lab(&self) -> Lab {
        Lab::open(&self.folder, &Monitor::new()).expect("opened")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.vectors.folder.path().join(name)
    }
}

fn run(lab: &Lab) -> &Run {
    &lab.runs[find_run(lab, INDEX, SETTING, 0).expect("there")]
}

/// Queries that lost the exact neighbour of a rank, from 0.
fn losers(lab: &Lab, rank: usize) -> BTreeSet<usize> {
    let loses = |query: &usize| run(lab).judged.lost_of(&lab.truth, *query).iter().any(|(lost, _)| *lost == rank);
    (0..60).filter(loses).collect()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("written")).expect("JSON")
}

#[test]
fn ranks_at_the_command_line_agree_with_recall() {
    let session = Session::new();
    let folder = text(&session.folder);
    let [table, notes, chart] = ["r.csv", "r.json", "r.svg"].map(|name| session.path(name));
    let contestant = ["--index", INDEX, "--setting", SETTING];
    let files = ["--csv", text(&table), "--json", text(&notes), "--chart", text(&chart)];
    let mut runs = Vec::new();
    for threads in ["1", "3"] {
        let output = knnscope(&[&["index", "ranks", folder, "--threads", threads], &contestant[..], &files].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        runs.push((output.stdout, fs::read(&table).expect("written")));
    }
    assert!(runs[0] == runs[1], "threads show in results");
    let told = String::from_utf8_lossy(&runs[0].0).into_owned();
    assert!(told.contains("Ranks of hyperplane:tables=4:hashes=6 probes=0") && told.contains("recall@8 is"), "{told}");

    let lab = session.lab();
    let written = json(&notes);
    let rows = written["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 8);
    let mut sum = 0.0;
    for (rank, row) in rows.iter().enumerate() {
        let (found, lost) = (row["found"].as_f64().expect("number"), losers(&lab, rank).len());
        assert!((found - (60 - lost) as f64 / 60.0).abs() < 1e-6, "rank {rank}: {row}");
        assert_eq!(row["queries"].as_u64(), Some(lost as u64));
        let band = [&row["found_low"], &row["found_high"]].map(|end| end.as_f64().expect("number"));
        assert!(band[0] <= found && found <= band[1], "{row}");
        sum += found;
    }
    let recall = run(&lab).judged.recall(8).mean;
    assert!((sum / 8.0 - recall).abs() < 1e-6, "{sum} of 8, recall {recall}");
    assert!((0.1..0.99).contains(&recall), "something is lost, and something found: {recall}");
    assert!(fs::read_to_string(&chart).expect("written").starts_with("<svg"));
    assert!(session.path("r-recall.svg").exists(), "the other picture stands beside");

    for (flags, told) in [
        (&["--index", INDEX][..], "expected one run; name its setting (--setting)"),
        (&["--index", "nothing"], "expected a run of this session"),
        (&["--index", INDEX, "--setting", SETTING, "--deepest", "9"], "deepest: expected 1 to 8"),
        (&["--index", INDEX, "--setting", SETTING, "--together", "0"], "together: expected 1 to 8"),
        (&["--index", INDEX, "--setting", SETTING, "--chart", "r.gif"], ".png or .svg"),
    ] {
        let output = knnscope(&[&["index", "ranks", folder], flags].concat());
        assert!(!output.status.success() && stderr(&output).contains(told), "{flags:?}: {}", stderr(&output));
    }
}

/// Opens the session with its first contestant chosen, at the studies.
fn open(session: &Session) -> Window {
    let mut window = Window::open(vec![session.folder.clone()]);
    assert_eq!(window.app().lab().counts().0, 2, "{:?}", window.app().latest_notice());
    window.click("Studies");
    window.click("ranks");
    window
}

fn send(window: &mut Window, command: LabCommand) {
    window.harness.state_mut().send(Command::Lab(command));
    window.harness.step();
    window.settle();
}

fn group(window: &Window) -> Option<usize> {
    window.app().lab().study_counts().0
}

/// Drags from one share of a picture's width to another.
fn drag(window: &mut Window, picture: &str, height: f32, from: f32, to: f32) {
    let rect = window.harness.get_by_label_contains(picture).rect();
    let at = |share: f32| pos2(rect.left() + rect.width() * share, rect.top() + rect.height() * height);
    window.harness.hover_at(at(from));
    window.harness.step();
    window.harness.drag_at(at(from));
    window.harness.step();
    for share in [0.3, 0.7, 1.0] {
        window.harness.hover_at(at(from + (to - from) * share));
        window.harness.step();
    }
    window.harness.drop_at(at(to));
    window.harness.step();
    window.settle();
}

/// Chooses queries by the dialog.
fn choose(window: &mut Window, from: &str, to: &str) {
    window.click("Choose queries…");
    window.type_into("From", from);
    window.type_into("To", to);
    window.click("Choose");
}

#[test]
fn a_study_is_made_and_its_rows_lead_to_queries_and_docs() {
    let session = Session::new();
    let lab = session.lab();
    let mut window = open(&session);
    assert!(window.sees("Is the nearest neighbour found more often"));
    assert!(window.sees("Choose a contestant in the table first."));
    send(&mut window, LabCommand::LookAt(0));
    assert!(!window.sees("Choose a contestant in the table first."));
    window.type_into("Ranks (ranks)", "9");
    assert!(window.sees("Ranks: expected 1 to 8"));
    send(&mut window, LabCommand::Study(StudyCommand::Start));
    assert_eq!(window.app().lab().study_counts().1, None, "nothing was made of wrong values");
    window.click("Dismiss");
    window.type_into("Ranks (ranks)", "7");
    window.click("Look at ranks");
    assert_eq!(window.app().lab().study_counts().1, Some(7), "{:?}", window.app().latest_notice());
    assert!(window.sees("FINDING") && window.sees("recall@8 is"));
    assert!(window.sees("By rank: Ranks of hyperplane:tables=4:hashes=6 probes=0"));

    // A column sorts the rows; they still lead to their own queries.
    window.click("Sort by first");
    let top = |window: &Window, row: &str| window.harness.get_by_label(row).rect().top();
    assert!(top(&window, "row 7") < top(&window, "row 1"), "downwards");
    window.click("Sort by first");
    assert!(top(&window, "row 1") < top(&window, "row 7"), "upwards");
    window.click("Sort by first");

    // The table of the study stands below, and leads to what a row is about.
    window.click("row 3");
    let lost = losers(&lab, 2);
    let name = |count: usize, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    assert!(window.sees("LOST AT RANK 3") && window.sees(&name(lost.len(), "query", "queries")));
    let first = *lost.iter().next().expect("something is lost");
    let label = format!("query {first}: question title {first} · the text of question {first}");
    assert!(window.sees(&label), "{label}");
    assert!(window.app().lab().study_counts().2 >= lost.len(), "all texts in sight were read");
    window.click(&label);
    assert!(window.sees(&format!("QUERY {first}")));
    assert_eq!(window.app().lab().counts().1.map(|(exact, _)| exact), Some(8));
    window.click("Back to the list");
    assert!(window.sees(&label));
    let docs: BTreeSet<u32> = lost
        .iter()
        .flat_map(|&query| run(&lab).judged.lost_of(&lab.truth, query))
        .filter_map(|(rank, doc)| (rank == 2).then_some(doc))
        .collect();
    // The list goes into a file, with all texts.
    let path = session.path("list.csv");
    window.click("Save list…");
    window.type_into("File", text(&path));
    window.click("Save");
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written.lines().count(), 1 + lost.len(), "{:?}", window.app().latest_notice());
    assert!(written.contains(&format!("\n{first},question title {first} · the text of question {first}")), "{written}");
    window.click(&name(docs.len(), "doc", "docs"));
    let doc = window.harness.query_all_by_label_contains(": doc title ").next().expect("docs are listed");
    doc.click();
    window.harness.step();
    window.settle();
    assert!(window.sees("DOC ") && window.sees(" · the text of doc "));
    window.click("Back to the list");
    window.click("Close");
    assert!(!window.sees("LOST AT RANK 3") && window.sees("QUERIES THAT LOST MOST"));

    // Back to the contestants: another one is chosen, and the finding says that it is of the first.
    window.click("Table of contestants");
    send(&mut window, LabCommand::LookAt(1));
    assert!(window.sees("Shown is hyperplane:tables=4:hashes=6 probes=0; now chosen is"));
    window.click("Look at ranks");
    assert!(window.sees("By rank: Ranks of hyperplane:tables=4:hashes=6 probes=6"));

    for (entry, file, begins) in [
        ("Picture…", "p.png", &b"\x89PNG"[..]),
        ("Picture…", "p.svg", b"<svg"),
        ("Table…", "t.csv", b"first,last,found,found_low"),
        ("Notes…", "n.txt", b"Ranks of hyperplane"),
        ("Notes…", "n.json", b"{\n  \"title\": \"Ranks of"),
    ] {
        window.click("Save study");
        window.click(entry);
        let path = session.path(file);
        window.type_into("File", text(&path));
        window.click("Save");
        let written = fs::read(&path).unwrap_or_default();
        assert!(written.len() > 50 && written.starts_with(begins), "{file}: {:?}", window.app().latest_notice());
    }
    assert_eq!(json(&session.path("n.json"))["rows"].as_array().map(Vec::len), Some(7));
    // Names say what is in the file.
    window.click("Save study");
    window.click("Table…");
    assert!(window.sees("Every figure of the study"));
    let proposed = session.folder.join("ranks-hyperplane-tables-4-hashes-6-probes-6.csv");
    window.click("Save");
    assert!(proposed.exists(), "{:?}", window.app().latest_notice());
}

#[test]
fn ranges_choose_queries_and_esc_ends_the_group() {
    let session = Session::new();
    let lab = session.lab();
    let mut window = open(&session);
    send(&mut window, LabCommand::LookAt(0));
    window.click("Look at ranks");
    send(&mut window, LabCommand::AskRange);
    assert!(window.app().latest_notice().unwrap_or_default().contains("nothing to choose queries by"));
    window.click("Dismiss");
    window.click("Recall");
    assert!(window.sees("Recall: Ranks of hyperplane"));

    // By the dialog: both ends belong to the range.
    choose(&mut window, "0", "0.5");
    let judged = &run(&lab).judged;
    let expected = (0..60).filter(|&query| judged.recall_of(query, 8) <= 0.5).count();
    assert!((1..60).contains(&expected), "the range parts the queries: {expected}");
    assert_eq!(group(&window), Some(expected));
    assert!(window.sees(&format!("group: {expected} queries, Recall 0.00 to 0.50")));
    assert!(window.sees("QUERIES OF THE GROUP"));
    let (lost, all) = (0..60)
        .filter(|&query| judged.recall_of(query, 8) <= 0.5)
        .fold((0, 0), |(lost, all), query| (lost + judged.lost_of(&lab.truth, query).len(), all + 8));
    window.click("Scores");
    let told = format!("{expected} chosen queries: {lost} of {all} exact neighbours lost");
    assert!(window.sees(&told), "{told}");
    window.click("All queries");
    assert!(window.sees("lost scores: all 60 queries"));
    window.click("Group");
    assert!(window.sees(&format!("{expected} chosen queries")));
    window.key(Key::Escape);
    assert_eq!(group(&window), None);
    assert!(window.sees("lost scores: all 60 queries") && window.sees("QUERIES THAT LOST MOST"));

    // By the scores that were lost.
    choose(&mut window, "-1000", "1000");
    let losing = (0..60).filter(|&query| !judged.lost_of(&lab.truth, query).is_empty()).count();
    assert_eq!(group(&window), Some(losing));
    window.click("End the group");
    assert_eq!(group(&window), None);
    drag(&mut window, "Exact, found and lost scores", 0.4, 0.3, 0.6);
    let dragged = group(&window).expect("a group was dragged");
    assert!((1..=losing).contains(&dragged), "{dragged} of {losing}");
    assert!(window.sees("queries that lost scores from "));
    // The group stays when another contestant is looked at.
    send(&mut window, LabCommand::LookAt(1));
    assert!(window.sees(&format!("{dragged} chosen queries")));
    send(&mut window, LabCommand::LookAt(0));

    // By dragging over the picture of the study; a click alone chooses nothing.
    send(&mut window, LabCommand::EndGroup);
    window.click("Studies");
    drag(&mut window, "Recall: Ranks of", 0.5, 0.4, 0.402);
    assert_eq!(group(&window), None);
    drag(&mut window, "Recall: Ranks of", 0.5, 0.4, 0.99);
    let right = group(&window).expect("a group was dragged");
    drag(&mut window, "Recall: Ranks of", 0.5, 0.95, 0.05);
    let all = group(&window).expect("a group was dragged");
    assert!(0 < right && right < all && all <= 60, "{right}, {all}");

    // What no query has is told, and the group stays.
    choose(&mut window, "0.51", "0.52");
    assert_eq!(group(&window), Some(all));
    assert!(window.app().latest_notice().unwrap_or_default().contains("No query has a value in that range"));
    window.click("Choose queries…");
    window.type_into("From", "x");
    assert!(window.sees("from: expected a number, found x"));
    window.click("Close");
}

#[test]
fn studies_are_found_by_the_palette() {
    let session = Session::new();
    let mut window = Window::open(vec![session.folder.clone()]);
    send(&mut window, LabCommand::LookAt(0));
    for (typed, told) in [("lost by rank", "Is the nearest neighbour found"), ("make the study", "FINDING")] {
        window.harness.key_press_modifiers(Modifiers::COMMAND, Key::K);
        window.harness.step();
        window.type_into("Command", typed);
        window.key(Key::Enter);
        assert!(window.sees(told), "{typed}");
    }
    // Nothing of a session is shown with the next.
    let other = Session::new();
    send(&mut window, LabCommand::Open(other.folder.clone()));
    assert_eq!(window.app().lab().study_counts(), (None, None, 0));
}
