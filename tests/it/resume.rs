//! Sessions that were interrupted, repeated, or run on other machines end with the same bytes.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::{Vectors, command, knnscope, results, skip, stderr, text, write_vectors};

fn finished_runs(folder: &Path) -> usize {
    let Ok(bytes) = std::fs::read(folder.join("manifest.json")) else { return 0 };
    let manifest: serde_json::Value = serde_json::from_slice(&bytes).expect("the manifest is valid at any moment");
    manifest["runs"].as_array().expect("a list").len()
}

/// Starts scoring and signals it once some runs are finished; `None` if it was too quick.
fn interrupt(vectors: &Vectors, folder: &Path, signal: &str) -> Option<std::process::ExitStatus> {
    let args = vectors.score_args(folder, &["-N", "20", "-M", "120", "--top-k", "10", "--quiet"]);
    let mut child = command(&args.iter().map(String::as_str).collect::<Vec<_>>()).spawn().expect("starts");
    let started = Instant::now();
    while finished_runs(folder) == 0 && started.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let pid = child.id().to_string();
    std::process::Command::new("kill").args([signal, &pid]).status().expect("kill is there");
    let status = child.wait().expect("ends");
    (finished_runs(folder) < 120).then_some(status)
}

#[test]
fn a_killed_session_continues_and_ends_with_the_same_bytes() {
    let vectors = Vectors::random(20_000, 1500, 48);
    let undisturbed = vectors.folder.path().join("undisturbed");
    let more = ["-N", "20", "-M", "120", "--top-k", "10", "--quiet"];
    let output = vectors.score(&undisturbed, &more);
    assert!(output.status.success(), "{}", stderr(&output));

    for (signal, code) in [("-KILL", None), ("-INT", Some(130))] {
        let folder = vectors.folder.path().join(format!("disturbed{signal}"));
        let mut tries = 0;
        let status = loop {
            std::fs::remove_dir_all(&folder).ok();
            if let Some(status) = interrupt(&vectors, &folder, signal) {
                break status;
            }
            tries += 1;
            assert!(tries < 20, "scoring was never slow enough to be interrupted");
        };
        assert_eq!(status.code(), code, "{signal}");
        let before = finished_runs(&folder);
        assert!((1..120).contains(&before));
        let output = vectors.score(&folder, &more[..more.len() - 1]);
        assert!(output.status.success(), "{}", stderr(&output));
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let left = format!("will write {}", knnscope::compute::figures::bytes((120 - before as u64) * 20 * 10 * 8));
        assert!(told.contains("continues: ") && told.contains(&left) && told.contains(" in all, this time "), "{told}");
        assert_eq!(finished_runs(&folder), 120);
        assert_eq!(results(&folder), results(&undisturbed), "after {signal} at {before} runs");
        let left: Vec<_> = std::fs::read_dir(&folder)
            .expect("there")
            .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
            .filter(|name| !name.ends_with(".bin") && name != "manifest.json")
            .collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

/// Queries past the end of the file are those from its start again, also several times in one run.
#[test]
fn queries_wrap_around_and_give_the_same_scores_again() {
    let vectors = Vectors::random(500, 7, 12);
    let folder = vectors.folder.path().join("wrapped");
    let output = vectors.score(&folder, &["-N", "3,20", "-M", "2", "--top-k", "4"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("46 queries are needed, the file has 7: from run 3 of 4"), "{told}");
    let all: Vec<u8> = ["N3_M0", "N3_M1", "N20_M0", "N20_M1"]
        .into_iter()
        .flat_map(|run| std::fs::read(folder.join(format!("scores_{run}.bin"))).expect("there"))
        .collect();
    let per_query = 4 * 4;
    assert_eq!(all.len(), 46 * per_query);
    for query in 7..46 {
        let (first, again) = (query % 7 * per_query, query * per_query);
        assert_eq!(all[first..first + per_query], all[again..again + per_query], "query {query}");
    }
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).expect("there")).expect("JSON");
    let starts: Vec<_> =
        manifest["runs"].as_array().expect("runs").iter().map(|run| run["queryStartIndex"].as_u64()).collect();
    assert_eq!(starts, [Some(0), Some(3), Some(6), Some(26)], "it counts on past the file");
}

#[test]
fn threads_cpu_and_memory_do_not_change_a_byte() {
    let vectors = Vectors::random(3000, 700, 33);
    let mut reference = None;
    for (name, flags, cpu) in [
        ("one", vec!["--threads", "1"], "avx512"),
        ("two", vec!["--threads", "2"], "avx512"),
        ("small", vec!["--threads", "2", "--memory", "1M"], "avx512"),
        ("tiles", vec!["--threads", "2", "--kernel", "f32"], "avx512"),
        ("codes", vec!["--threads", "2", "--kernel", "int8", "--memory", "8M"], "avx512"),
        ("five", vec!["--threads", "5"], "avx2"),
        ("scalar", vec!["--threads", "2", "--memory", "1M"], "scalar"),
    ] {
        let folder = vectors.folder.path().join(name);
        let mut more = vec!["-N", "1,300", "-M", "2", "--top-k", "25", "--metric", "cosine", "--quiet"];
        more.extend(flags);
        let args = vectors.score_args(&folder, &more);
        let output = command(&args.iter().map(String::as_str).collect::<Vec<_>>())
            .env("KNNSCOPE_CPU", cpu)
            .output()
            .expect("starts");
        assert!(output.status.success(), "{name}: {}", stderr(&output));
        let found = results(&folder);
        assert_eq!(found.len(), 8);
        assert_eq!(*reference.get_or_insert_with(|| found.clone()), found, "{name}");
    }
}

#[test]
fn another_session_is_refused_unless_told() {
    let vectors = Vectors::random(300, 50, 8);
    let folder = vectors.folder.path().join("results");
    let score = |more: &[&str]| vectors.score(&folder, more);
    assert!(score(&["-N", "5", "--top-k", "3"]).status.success());
    let before = results(&folder);

    let again = score(&["-N", "5", "--top-k", "3"]);
    assert!(again.status.success() && String::from_utf8_lossy(&again.stdout).contains("was there already"));

    for (more, difference) in [
        (vec!["-N", "5", "--top-k", "4"], "its topK is 3, not 4"),
        (vec!["-N", "6", "--top-k", "3"], "its list of N is [5], not [6]"),
        (vec!["-N", "5", "--top-k", "3", "--metric", "cosine"], "its metric is \"dot\""),
        (vec!["-N", "5", "--top-k", "3", "--no-ids"], "it holds doc ids"),
    ] {
        let output = score(&more);
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(
            told.contains("holds another session") && told.contains(difference) && told.contains("--overwrite"),
            "{told}"
        );
        assert_eq!(results(&folder), before, "nothing was touched");
    }
    let output = score(&["-N", "6", "--top-k", "3", "--no-ids", "--overwrite"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let names: Vec<String> = results(&folder).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["scores_N6_M0.bin"], "the old session's files are gone");
}

/// A small file system of its own, unmounted when dropped; `None`, told, where mounting is not allowed.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(test: &str, size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("temporary folder");
        let disk = Self(folder);
        if disk.run("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]) {
            return Some(disk);
        }
        skip(test, "a tmpfs cannot be mounted here (that takes root)");
        std::mem::forget(disk);
        None
    }

    fn run(&self, program: &str, args: &[&str]) -> bool {
        let mut command = std::process::Command::new(program);
        command.args(args).arg(self.0.path()).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        self.run("umount", &[]);
    }
}

#[test]
fn a_full_disk_is_told_and_scoring_continues_once_there_is_room() {
    let Some(disk) = SmallDisk::mount("a full disk", "256k") else { return };
    let vectors = Vectors::random(300, 130, 8);
    // Files so small that each takes a page of its own, which no sum of bytes foresees.
    let more = ["-N", "2", "-M", "60", "--top-k", "3", "--quiet"];
    let folder = disk.0.path().join("nested/results");
    let output = vectors.score(&folder, &more);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("the disk is full") && told.contains("nested/results"), "{told}");
    let finished = finished_runs(&folder);
    assert!((1..60).contains(&finished), "{finished} runs");
    for entry in std::fs::read_dir(&folder).expect("there") {
        let name = entry.expect("readable").file_name().to_string_lossy().into_owned();
        assert!(name == "manifest.json" || name.ends_with(".bin"), "{name} is left behind");
    }
    assert_eq!(results(&folder).len(), 2 * finished, "scores and ids of the runs that are named, nothing else");

    assert!(disk.run("mount", &["-o", "remount,size=8m"]), "more room");
    let output = vectors.score(&folder, &more);
    assert!(output.status.success(), "{}", stderr(&output));
    let undisturbed = vectors.folder.path().join("undisturbed");
    assert!(vectors.score(&undisturbed, &more).status.success());
    assert_eq!(results(&folder), results(&undisturbed));
}

#[test]
fn folders_made_for_nothing_go_again() {
    let vectors = Vectors::random(300, 50, 8);
    let mut values = vec![0.5f32; 300 * 8];
    values[77] = f32::NAN;
    write_vectors(&vectors.docs, &values);
    let output = vectors.score(&vectors.folder.path().join("a/b/c"), &["-N", "5", "--top-k", "3"]);
    assert!(stderr(&output).contains("row 9"), "{}", stderr(&output));
    assert!(!vectors.folder.path().join("a").exists());
    let session = vectors.folder.path().join("session");
    write_vectors(&vectors.docs, &[0.5f32; 300 * 8]);
    assert!(vectors.score(&session, &["-N", "5", "--top-k", "3"]).status.success());
    let demo = knnscope(&["demo", "--output-dir", text(&session)]);
    assert!(stderr(&demo).contains("holds another session"), "{}", stderr(&demo));
    assert!(!session.join("vectors").exists(), "nothing of the demo is left in another session");
}
