//! Why neighbours were missed: every reason on a case whose answer is known, the session, the command line.

use std::fs;
use std::path::{Path, PathBuf};

use knnscope::compute::Error;
use knnscope::compute::index::NONE;
use knnscope::compute::index::candidate::Candidate;
use knnscope::compute::index::choice::find_run;
use knnscope::compute::index::judge::Judged;
use knnscope::compute::index::report::lines;
use knnscope::compute::index::session::{Lab, Options};
use knnscope::compute::index::truth::Question;
use knnscope::compute::index::why::{self, Knob, Loss, Reason, Why, WhyParams};
use knnscope::compute::metric::Metric;
use knnscope::job::Monitor;

use crate::support::{Random, knnscope, stderr, text, write_vectors};

/// A session over some docs and queries.
struct Case {
    folder: tempfile::TempDir,
    dim: usize,
    k: usize,
    metric: Metric,
}

impl Case {
    fn new(docs: &[f32], queries: &[f32], dim: usize, k: usize, metric: Metric) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        write_vectors(&folder.path().join("docs.vec"), docs);
        write_vectors(&folder.path().join("queries.vec"), queries);
        Self { folder, dim, k, metric }
    }

    /// Docs and queries of random values in 16 dimensions.
    fn random(docs: usize, queries: usize) -> Self {
        let mut random = Random::new(3);
        Self::new(&random.values(docs * 16), &random.values(queries * 16), 16, 10, Metric::Euclidean)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// One thread, so that graphs and forests are the same whenever they are built.
    fn options(&self) -> Options {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_knnscope"));
        Options { builds: 1, seed: 42, threads: 1, memory_bytes: 200_000_000, program }
    }

    fn lab(&self) -> Lab {
        let question = Question {
            docs: self.path("docs.vec"),
            queries: self.path("queries.vec"),
            dim: self.dim,
            num_docs: None,
            num_queries: None,
            top_k: self.k,
            metric: self.metric,
            memory_budget: 200_000_000,
        };
        Lab::begin(&question, &self.path("lab"), &Monitor::new()).expect("begun")
    }

    /// The session after some candidates were run.
    fn searched(&self, specs: &[&str]) -> Lab {
        let mut lab = self.lab();
        for spec in specs {
            let candidate = Candidate::parse(spec, self.dim).expect(spec);
            lab.run(&candidate, &self.options(), &Monitor::new(), &mut |_| {}).expect(spec);
        }
        lab
    }

    fn why(&self, lab: &Lab, index: &str, setting: &str) -> Why {
        let place = find_run(lab, index, setting, 0).expect(index);
        let why = why::run(lab, &lab.runs[place], &WhyParams::default(), &self.options(), &Monitor::new());
        let why = why.expect(index);
        consistent(lab, place, &why);
        why
    }
}

/// What must be true of any answer: each lost neighbour has one reason, and stages add up to the run.
fn consistent(lab: &Lab, place: usize, why: &Why) {
    let judged = &lab.runs[place].judged;
    for query in 0..why.queries() {
        let told: Vec<(usize, u32)> = why.losses[query].iter().map(|loss| (loss.rank as usize, loss.doc)).collect();
        assert_eq!(told, judged.lost_of(&lab.truth, query));
    }
    assert_eq!(why.totals.iter().map(|total| total.count).sum::<usize>(), why.lost());
    assert!((why.recall().mean - judged.recall(judged.k).mean).abs() < 1e-12);
    let mut height = 1.0;
    for stage in &why.stages {
        height += stage.regained.mean - stage.lost.iter().map(|(_, share)| share.mean).sum::<f64>();
        assert!((height - stage.recall.mean).abs() < 1e-9, "{}: {height} and {}", stage.name, stage.recall.mean);
    }
    let left = fs::read_dir(lab.folder()).expect("listed").map(|entry| entry.expect("listed").file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().starts_with(".study-")), "nothing is left behind");
}

fn reasons(why: &Why) -> Vec<(Reason, usize)> {
    why.totals.iter().map(|total| (total.reason, total.count)).collect()
}

/// The docs that a run of the session lost, query by query.
fn lost_by(lab: &Lab, index: &str, setting: &str) -> Vec<Vec<u32>> {
    let judged = &lab.runs[find_run(lab, index, setting, 0).expect(setting)].judged;
    (0..judged.queries()).map(|query| judged.lost_of(&lab.truth, query).iter().map(|lost| lost.1).collect()).collect()
}

/// A doc opposite to the query, as seen from the origin, differs from it in every hash, whatever the hyperplanes are.
#[test]
fn opposite_docs_are_lost_by_their_hashes() {
    let case = Case::new(&[0.1, 0.0, -0.1, 0.0], &[0.05, 0.0], 2, 2, Metric::Euclidean);
    let specs = ["hyperplane:tables=2:hashes=3", "hyperplane:tables=2:hashes=1:probes=0,1"];
    let lab = case.searched(&specs);
    let why = case.why(&lab, "hyperplane:tables=2:hashes=3", "");
    let lost = Loss { rank: 1, doc: 1, reason: Reason::HashMismatch, needs: None, hashes_apart: Some(3) };
    assert_eq!(why.losses, [vec![lost]]);
    assert_eq!((why.differing, why.untold.as_deref()), (Some(0), None));
    // With a single hash its bucket is the only other one.
    let why = case.why(&lab, "hyperplane:tables=2:hashes=1", "probes=0");
    let lost = Loss { needs: Some((Knob::Hashes, 1)), hashes_apart: Some(1), ..lost };
    assert_eq!(why.losses, [vec![lost]]);
    assert_eq!(why.stages[0].recall.mean, 1.0, "with probes=1 it is found");
    assert_eq!(case.why(&lab, "hyperplane:tables=2:hashes=1", "probes=1").lost(), 0);
}

/// A run that lost a neighbour which its index finds: built again, it does.
#[test]
fn what_the_same_index_finds_is_lost_by_its_build() {
    let case = Case::random(300, 5);
    let mut lab = case.searched(&["exact"]);
    let run = &mut lab.runs[0];
    let last = run.found.ids[2 * 10 + 9];
    run.found.ids[2 * 10 + 9] = NONE;
    run.judged = Judged::of(&lab.arena, &lab.truth, &run.found);
    let why = case.why(&lab, "exact", "");
    assert_eq!(reasons(&why), [(Reason::BuiltAgain, 1)]);
    let lost = Loss { rank: 9, doc: last, reason: Reason::BuiltAgain, needs: None, hashes_apart: None };
    assert_eq!((why.losses[2].as_slice(), why.differing), ([lost].as_slice(), Some(1)));
    assert_eq!((why.stages[0].recall.mean, why.untold), (1.0, None));
}

/// The probes that are told to find a neighbour do find it, and one less does not.
#[test]
fn probes_that_are_told_are_the_fewest() {
    let case = Case::random(1000, 20);
    let spec = "hyperplane:tables=3:hashes=5";
    let lab = case.searched(&[&format!("{spec}:probes=0,1,2,3,4,5")]);
    let why = case.why(&lab, spec, "probes=0");
    let lost: Vec<_> = (0..=5).map(|probes| lost_by(&lab, spec, &format!("probes={probes}"))).collect();
    let mut seen = [0; 7];
    for (query, losses) in why.losses.iter().enumerate() {
        for loss in losses {
            assert_eq!(loss.reason, Reason::HashMismatch);
            let first = (1..=5).find(|&probes| !lost[probes][query].contains(&loss.doc));
            assert_eq!(loss.needs, first.map(|probes| (Knob::Hashes, probes as u64)), "{loss:?}");
            assert_eq!(loss.hashes_apart == Some(1), first.is_some());
            seen[first.unwrap_or(6)] += 1;
        }
    }
    assert!(seen[1..].iter().all(|&count| count > 0), "{seen:?}");
}

/// A single tree that may look at one item only sees the first leaf; it finds with more what it is told to need.
#[test]
fn leaves_that_were_not_visited_are_found_with_more() {
    let case = Case::random(1000, 10);
    let lab = case.searched(&["annoy:trees=1:search_k=1,2,4,8,16,32,64,128,256,512,1000"]);
    let why = case.why(&lab, "annoy:trees=1", "search_k=1");
    assert_eq!(reasons(&why), [(Reason::LeafNotVisited, why.lost())]);
    assert!(why.lost() > 50, "{}", why.lost());
    assert_eq!(why.differing, Some(0), "one thread plants the same tree again");
    for (query, losses) in why.losses.iter().enumerate() {
        for loss in losses {
            let Some((Knob::Trees, value)) = loss.needs else { panic!("{loss:?}") };
            let setting = |value: u64| format!("search_k={value}");
            assert!(!lost_by(&lab, "annoy:trees=1", &setting(value))[query].contains(&loss.doc));
            let half = if value == 1000 { 512 } else { value / 2 };
            assert!(lost_by(&lab, "annoy:trees=1", &setting(half))[query].contains(&loss.doc));
        }
    }
    assert_eq!(why.stages[0].recall.mean, 1.0, "every leaf holds everything");
}

/// Docs on a line: 0 at the query, 1 and 2 both at distance 1, 3 at 2.
#[test]
fn ties_are_no_losses_and_files_cannot_tell() {
    let case = Case::new(&[0.0, 1.0, -1.0, 2.0], &[0.0, 0.0, 0.0], 1, 2, Metric::Euclidean);
    let mut lab = case.lab();
    // Another of two equals; one doc twice; one that is too far.
    fs::write(case.path("ids.jsonl"), "[0, 2]\n[0, 0]\n[0, 3]\n").expect("written");
    lab.take_neighbours(&case.path("ids.jsonl"), "theirs").expect("taken");
    let why = case.why(&lab, "theirs", "");
    assert_eq!(why.ties, [1, 0, 0]);
    assert_eq!(why.duplicates, 1);
    let of = |query: usize| why.losses[query].iter().map(|loss| (loss.rank, loss.doc, loss.reason)).collect::<Vec<_>>();
    assert_eq!(of(0), []);
    assert_eq!(of(1), [(1, 1, Reason::Duplicate)]);
    assert_eq!(of(2), [(1, 1, Reason::Untold)]);
    assert!(why.untold.as_deref().is_some_and(|told| told.contains("theirs is a file of neighbours")));
    assert_eq!(why.differing, None);
}

#[test]
fn what_was_measured_is_kept_until_the_run_is_another() {
    let case = Case::random(500, 8);
    let lab = case.searched(&["hyperplane:tables=2:hashes=6"]);
    let first = case.why(&lab, "hyperplane:tables=2:hashes=6", "");
    let nowhere = Options { program: "/nowhere".into(), ..case.options() };
    let again = |lab: &Lab| why::run(lab, &lab.runs[0], &WhyParams::default(), &nowhere, &Monitor::new());
    assert_eq!(again(&lab).expect("kept"), first);
    let kept = case.path("lab/studies").join(format!("why-{}.json", lab.runs[0].info.file_name()));
    let whole = fs::read_to_string(&kept).expect("kept");
    fs::write(&kept, &whole[..whole.len() / 2]).expect("torn");
    assert!(again(&lab).is_err(), "a torn file is not believed");
    fs::write(&kept, &whole).expect("whole again");
    assert_eq!(again(&lab).expect("kept"), first);
    // The same contestant with other ids is another run.
    let mut other = lab;
    other.runs[0].found.ids.reverse();
    assert!(again(&other).is_err(), "what is kept is not of this run");
    // Cancelled, it leaves nothing.
    fs::remove_file(&kept).expect("removed");
    other.runs[0].found.ids.reverse();
    let monitor = Monitor::new();
    monitor.cancel();
    let outcome = why::run(&other, &other.runs[0], &WhyParams::default(), &case.options(), &monitor);
    assert!(matches!(outcome, Err(Error::Cancelled)), "{outcome:?}");
    assert!(!kept.exists());
    consistent(&other, 0, &first);
}

/// A second build takes the docs in another order, which the session keeps: it is asked as it was built.
#[test]
fn another_build_is_built_again_as_it_was() {
    let case = Case::random(500, 8);
    let mut lab = case.lab();
    let candidate = Candidate::parse("hyperplane:tables=2:hashes=6", 16).expect("a family");
    let options = Options { builds: 2, seed: 7, ..case.options() };
    lab.run(&candidate, &options, &Monitor::new(), &mut |_| {}).expect("searched");
    let place = find_run(&lab, "hyperplane:tables=2:hashes=6", "", 1).expect("the second build");
    // With another seed than that of the search.
    let why = why::run(&lab, &lab.runs[place], &WhyParams::default(), &case.options(), &Monitor::new()).expect("told");
    assert_eq!(why.differing, Some(0));
    assert!(why.title.ends_with("build 1"), "{}", why.title);
    let first = case.why(&lab, "hyperplane:tables=2:hashes=6", "");
    assert_ne!(first.losses, why.losses);
}

#[test]
fn the_command_line_tells_writes_and_refuses() {
    let case = Case::random(500, 8);
    for (name, rows) in [("docs.csv", 500), ("queries.csv", 8)] {
        let lines: String = (0..rows).map(|row| format!("the {} of row {row}\n", &name[..3])).collect();
        fs::write(case.path(name), format!("text\n{lines}")).expect("written");
    }
    let spec = "hyperplane:tables=2:hashes=6";
    let lab = case.searched(&[&format!("{spec}:probes=0,3")]);
    let why = case.why(&lab, spec, "probes=3");
    drop(lab);
    let path = |name: &str| text(&case.path(name)).to_owned();
    let [folder, chart, csv, json] = ["lab", "why.svg", "why.csv", "why.json"].map(path);
    let start = ["index", "why", &folder, "--index", spec];
    let output =
        knnscope(&[&start[..], &["--setting", "probes=3", "--chart", &chart, "--csv", &csv, "--json", &json]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains(&format!("{} of 80 exact neighbours were lost", why.lost())), "{told}");
    assert!(told.contains("100.0 % of what is lost") && told.contains("other hashes than the query"), "{told}");
    let rows = fs::read_to_string(&csv).expect("written");
    assert!(rows.starts_with("query,lost,tied,hash_mismatch\n"), "{rows}");
    assert_eq!(rows.lines().count(), 1 + why.worst_first().len());
    let json: serde_json::Value = serde_json::from_str(&fs::read_to_string(&json).expect("written")).expect("JSON");
    assert_eq!(json["rows"][0]["lost"], why.losses[why.worst_first()[0]].len());
    for (picture, word) in [(chart.as_str(), "hash mismatch"), (&path("why-reasons-by-rank.svg"), "rank of the exact")]
    {
        assert!(fs::read_to_string(picture).expect(picture).contains(word), "{picture}");
    }

    // One query, with texts.
    let query = why.worst_first()[0];
    let asked = query.to_string();
    let output = knnscope(&[&start[..], &["--setting", "probes=3", "--query", &asked, "--csv", &csv]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains(&format!("the que of row {query}")));
    let rows = fs::read_to_string(&csv).expect("written");
    let first = why.losses[query][0];
    let line = rows.lines().nth(1).expect("a lost neighbour");
    assert!(line.starts_with(&format!("{},{},", first.rank + 1, first.doc)), "{line}");
    assert!(line.contains("hash mismatch") && line.ends_with(&format!("the doc of row {}", first.doc)), "{line}");

    for (flags, code, told) in [
        (&["--index", spec][..], 2, "probes=0, hyperplane:tables=2:hashes=6 probes=3"),
        (&["--index", "hnsw"], 2, "a run of this session (hyperplane:tables=2:hashes=6 probes=0"),
        (&["--index", spec, "--setting", "probes"], 2, "NAME=VALUE"),
        (&["--index", spec, "--setting", "probes=4"], 2, "found hyperplane:tables=2:hashes=6 probes=4"),
        (&["--index", "probes=3", "--query", "8"], 2, "0 to 7"),
        (&["--index", "probes=3", "--build", "1"], 2, "build 1"),
        (&["--index", "probes=3", "--chart", "a.gif"], 2, ".png or .svg"),
    ] {
        let output = knnscope(&[&["index", "why", &folder], flags].concat());
        assert_eq!(output.status.code(), Some(code), "{flags:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(told), "{flags:?}: {}", stderr(&output));
    }
    // A search parameter that is typed with the index is meant.
    let typed = format!("{spec}:probes=3");
    let output = knnscope(&["index", "why", &folder, "--index", &typed, "--quiet"]);
    assert!(output.status.success() && output.stdout.is_empty(), "{}", stderr(&output));
    let empty = path("empty");
    fs::create_dir(&empty).expect("made");
    let output = knnscope(&["index", "why", &empty, "--index", "exact"]);
    assert!(output.status.code() == Some(1) && stderr(&output).contains("lab.json"), "{}", stderr(&output));
}

#[cfg(feature = "faiss")]
mod faiss {
    use super::*;

    /// Two clusters far from each other and a doc between, in the cell of the second; the query is nearer to the centre of
    /// the first, and nearest to that doc. (Side by side, both could be cut in halves by k-means.)
    fn clusters() -> Case {
        let mut docs: Vec<f32> = (0..100).flat_map(|row| [0.0, row as f32 * 0.01]).collect();
        docs.extend((0..100).flat_map(|row| [100.0, 50.0 + row as f32 * 0.01]));
        docs.extend([60.0, 30.0]);
        Case::new(&docs, &[45.0, 10.0], 2, 3, Metric::Euclidean)
    }

    #[test]
    fn a_neighbour_in_the_other_cell_is_lost_by_its_cell() {
        let case = clusters();
        let lab = case.searched(&["ivf-flat:nlist=2:nprobe=1,2"]);
        let why = case.why(&lab, "ivf-flat:nlist=2", "nprobe=1");
        let needs = Some((Knob::Cells, 2));
        let lost = Loss { rank: 0, doc: 200, reason: Reason::CellNotProbed, needs, hashes_apart: None };
        assert_eq!(why.losses, [vec![lost]]);
        assert_eq!((why.cells, why.also_unprobed, why.differing), (2, 0, Some(0)));
        let stages: Vec<(&str, f64)> =
            why.stages.iter().map(|stage| (stage.name.as_str(), stage.recall.mean)).collect();
        assert_eq!(stages, [("all 2 cells", 1.0), ("as it was run, nprobe=1", 2.0 / 3.0)]);
        assert_eq!(case.why(&lab, "ivf-flat:nlist=2", "nprobe=2").lost(), 0);
    }

    /// Codes of three bits know eight places: whatever is lost is lost by them, and nothing else helps.
    #[test]
    fn codes_of_three_bits_lose_by_quantisation() {
        let mut random = Random::new(5);
        let case = Case::new(&random.values(400), &random.values(20), 2, 5, Metric::Euclidean);
        let lab = case.searched(&["faiss:PQ1x3np", "faiss:PQ1x3np,RFlat:k_factor_rf=1,4"]);
        let why = case.why(&lab, "faiss:PQ1x3np", "");
        assert!(why.lost() > 20, "{}", why.lost());
        assert_eq!(reasons(&why), [(Reason::Quantisation, why.lost())]);
        assert!(why.losses.iter().flatten().all(|loss| loss.needs.is_none()));
        // Re-ranked by whole vectors, all are found at the latest when all 200 docs are: 5 · 40.
        let why = case.why(&lab, "faiss:PQ1x3np,RFlat", "k_factor_rf=4");
        assert_eq!(reasons(&why), [(Reason::Quantisation, why.lost())]);
        let needs: Vec<u64> = why.needed(Reason::Quantisation, Knob::Reranked);
        assert!(needs.len() == why.lost() && needs.iter().all(|needs| [8, 16, 32, 40].contains(needs)), "{needs:?}");
        let before = &why.stages[0];
        assert_eq!(before.name, "codes alone, before re-ranking");
        let alone = lost_by(&lab, "faiss:PQ1x3np,RFlat", "k_factor_rf=1").iter().map(Vec::len).sum::<usize>();
        assert!((before.recall.mean - (1.0 - alone as f64 / 50.0)).abs() < 1e-12);
        assert!(why.stages[1].regained.mean > 0.0, "re-ranking finds some of them");
    }

    /// Stages and reasons beside runs of the same index with every cell and other numbers of re-ranked docs.
    #[test]
    fn fast_scan_loses_before_re_ranking_after_it_and_by_cells() {
        let case = Case::random(2000, 40);
        let spec = "fast-scan:nlist=16:m=4";
        let lab = case.searched(&[&format!("{spec}:nprobe=4,16:k_factor_rf=1,2,4,8,16,32,64,128,200")]);
        let why = case.why(&lab, spec, "nprobe=4:k_factor_rf=4");
        let recall = |setting: &str| {
            let judged = &lab.runs[find_run(&lab, spec, setting, 0).expect(setting)].judged;
            judged.recall(10).mean
        };
        let names: Vec<&str> = why.stages.iter().map(|stage| stage.name.as_str()).collect();
        let run = "as it was run, k_factor_rf=4:nprobe=4";
        assert_eq!(names, ["all 16 cells, before re-ranking", "all 16 cells, re-ranked", run]);
        let settings = ["nprobe=16:k_factor_rf=1", "nprobe=16:k_factor_rf=4", "nprobe=4:k_factor_rf=4"];
        for (stage, setting) in why.stages.iter().zip(settings) {
            assert!((stage.recall.mean - recall(setting)).abs() < 1e-12, "{}", stage.name);
        }
        let exhaustive = lost_by(&lab, spec, "nprobe=16:k_factor_rf=4");
        let mut seen = [0, 0, 0];
        for (query, losses) in why.losses.iter().enumerate() {
            for loss in losses {
                match (loss.reason, loss.needs) {
                    (Reason::CellNotProbed, Some((Knob::Cells, needs))) => {
                        assert!(needs > 4 && !exhaustive[query].contains(&loss.doc), "{loss:?}");
                        seen[0] += 1;
                    }
                    (Reason::Quantisation, Some((Knob::Reranked, needs))) => {
                        let with = lost_by(&lab, spec, &format!("nprobe=16:k_factor_rf={needs}"));
                        assert!(!with[query].contains(&loss.doc), "{loss:?}");
                        seen[1] += 1;
                        seen[2] += usize::from(exhaustive[query].contains(&loss.doc));
                    }
                    // Found among all cells, although its cell was probed: tables of distances are rounded anew.
                    (Reason::Quantisation, None) => assert!(!exhaustive[query].contains(&loss.doc), "{loss:?}"),
                    _ => panic!("{loss:?}"),
                }
            }
        }
        assert!(seen.iter().all(|&count| count > 0), "{seen:?}");
        assert!(why.also_unprobed > 0 && why.also_unprobed <= seen[1] as u64);
    }

    /// M = 2 and hardly any care leave nodes that nothing links to: they are lost with every efSearch up to all docs; the
    /// others are found with the efSearch that is told, and not with half of it.
    /// Cells of whole vectors lose by cells alone, even where a graph of centroids misses one that is near enough.
    #[test]
    fn cells_that_a_graph_of_centroids_misses_were_not_probed() {
        let case = Case::random(4000, 60);
        let lab = case.searched(&["faiss:IVF512_HNSW2,Flat:nprobe=20"]);
        let why = case.why(&lab, "faiss:IVF512_HNSW2,Flat", "");
        let cells = |loss: &Loss| matches!(loss.needs, None | Some((Knob::Cells, 21..)));
        assert!(why.losses.iter().flatten().all(cells), "{:?}", why.losses);
        assert!(why.losses.iter().flatten().any(|loss| loss.needs.is_none()), "the graph misses one that is near");
        assert!(matches!(reasons(&why)[..], [(Reason::CellNotProbed, 1..)]), "{:?}", reasons(&why));
    }

    #[test]
    fn graphs_lose_what_they_do_not_reach_and_what_is_unreachable() {
        let mut random = Random::new(1);
        // Clusters in random places, docs in random order among them.
        let centres = random.values(20 * 8);
        let near = |random: &mut Random| -> Vec<f32> {
            let centre = (random.bits() % 20) as usize;
            (0..8).map(|place| 10.0 * centres[centre * 8 + place] + random.value()).collect()
        };
        let docs: Vec<f32> = (0..1500).flat_map(|_| near(&mut random)).collect();
        let queries: Vec<f32> = (0..40).flat_map(|_| near(&mut random)).collect();
        let case = Case::new(&docs, &queries, 8, 10, Metric::Euclidean);
        let spec = "hnsw:M=2:efConstruction=4";
        let lab = case.searched(&[&format!("{spec}:efSearch=8,16,32,64,128,256,512,1024,1500")]);
        let why = case.why(&lab, spec, "efSearch=8");
        assert_eq!(why.differing, Some(0), "one thread builds the same graph again");
        let lost = |ef: u64| lost_by(&lab, spec, &format!("efSearch={ef}"));
        let mut seen = [0, 0];
        for (query, losses) in why.losses.iter().enumerate() {
            for loss in losses {
                match (loss.reason, loss.needs) {
                    (Reason::NotReached, Some((Knob::Graph, needs))) => {
                        assert!(!lost(needs)[query].contains(&loss.doc), "{loss:?}");
                        let half = if needs == 1500 { 1024 } else { needs / 2 };
                        assert!(lost(half)[query].contains(&loss.doc), "{loss:?}");
                        seen[0] += 1;
                    }
                    (Reason::Unreachable, None) => {
                        assert!(lost(1500)[query].contains(&loss.doc), "{loss:?}");
                        seen[1] += 1;
                    }
                    _ => panic!("{loss:?}"),
                }
            }
        }
        assert!(seen.iter().all(|&count| count > 0), "{seen:?}");
    }

    #[test]
    fn codes_of_lsh_mismatch() {
        let case = Case::random(1000, 10);
        let lab = case.searched(&["lsh:bits=16"]);
        let why = case.why(&lab, "lsh", "");
        assert_eq!(reasons(&why), [(Reason::HashMismatch, why.lost())]);
        assert!(why.lost() > 30);
    }

    /// Sums in which 1 vanishes beside 2²⁴ in any order of addition: every doc of the first three has score 2, those that
    /// take their place 1.5.
    #[test]
    fn what_float32_cannot_tell_apart_is_lost_by_rounding() {
        let big = (1u32 << 24) as f32;
        let mut docs = vec![];
        for doc in [[big, 1.0, -big, 1.0], [big, -big, 1.0, 1.0], [1.0, big, 1.0, -big]] {
            docs.extend(doc);
        }
        for _ in 0..3 {
            docs.extend([1.5, 0.0, 0.0, 0.0]);
        }
        let case = Case::new(&docs, &[1.0, 1.0, 1.0, 1.0], 4, 3, Metric::Dot);
        let lab = case.searched(&["flat"]);
        let why = case.why(&lab, "flat", "");
        assert!(why.lost() > 0, "float32 tells them apart after all");
        assert_eq!(reasons(&why), [(Reason::Rounding, why.lost())]);
    }

    #[test]
    fn docs_that_a_file_does_not_hold_are_told() {
        let case = Case::random(600, 10);
        let (docs, file) = (text(&case.path("docs.vec")).to_owned(), text(&case.path("half.faiss")).to_owned());
        let output = knnscope(&[
            "index",
            "build",
            "--docs",
            &docs,
            "--dim",
            "16",
            "--num-docs",
            "300",
            "--metric",
            "euclidean",
            "--index",
            "flat",
            "--output",
            &file,
            "--quiet",
        ]);
        assert!(output.status.success(), "{}", stderr(&output));
        let lab = case.searched(&[&file]);
        assert_eq!(lines(&lab, &[10])[0].docs_lacking, 300);
        let why = case.why(&lab, &file, "");
        assert_eq!(reasons(&why), [(Reason::NotIndexed, why.lost())]);
        let behind = lab.truth.ids.iter().filter(|&&id| id >= 300).count();
        assert_eq!(why.lost(), behind);
        // Written again since: it is another index.
        fs::remove_dir_all(case.path("lab/studies")).expect("removed");
        fs::write(&file, "changed").expect("written");
        let outcome = why::run(&lab, &lab.runs[0], &WhyParams::default(), &case.options(), &Monitor::new());
        let error = outcome.expect_err("it was changed").to_string();
        assert!(error.contains("was changed since it was searched"), "{error}");
    }

    #[test]
    fn a_graph_without_a_parameter_cannot_tell() {
        let case = Case::random(600, 10);
        // With a few links for each doc, FAISS may look for a free one for ever.
        let lab = case.searched(&["faiss:NSG16,Flat"]);
        let why = case.why(&lab, "faiss:NSG16,Flat", "");
        assert!(why.lost() > 0);
        assert!(why.totals.iter().all(|total| [Reason::Untold, Reason::BuiltAgain].contains(&total.reason)));
        assert!(why.untold.as_deref().is_some_and(|told| told.contains("no search parameter")), "{:?}", why.untold);
    }
}

/// Kept apart from [`consistent`], which every test goes through.
#[test]
fn sessions_without_runs_say_so() {
    let case = Case::random(100, 2);
    let lab = case.lab();
    let error = find_run(&lab, "hnsw", "", 0).expect_err("nothing to ask about").to_string();
    assert!(error.contains("holds no run yet") && error.contains(text(Path::new(lab.folder()))), "{error}");
}
