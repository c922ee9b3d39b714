//! Planted duplicates, chains, and a naive loop beside the real thing.

use std::path::{Path, PathBuf};

use super::groups::{self, Pair};
use super::overlooked::Judge;
use super::pairs::Pairs;
use super::*;
use crate::compute::random::Random;

/// Rows in a file.
fn write(folder: &Path, rows: &[Vec<f32>]) -> PathBuf {
    let path = folder.join("docs.vec");
    let bytes: Vec<u8> = rows.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
    std::fs::write(&path, bytes).expect("written");
    path
}

fn arena(docs: &Path, dim: usize, metric: Metric, neighbours: usize) -> Arena {
    let queries = docs.to_owned();
    let (docs, num_docs, num_queries) = (docs.to_owned(), None, None);
    let (top_k, memory_budget) = (neighbours + 1, 100_000_000);
    let question = Question { docs, queries, dim, num_docs, num_queries, top_k, metric, memory_budget };
    Arena::open(&question).expect("opened")
}

fn find(docs: &Path, dim: usize, within: Within, neighbours: usize) -> (Arena, Pairs, Vec<u32>) {
    let arena = arena(docs, dim, within.metric, neighbours);
    let (pairs, nearest) = Pairs::find(&arena, within, 100_000_000, &Monitor::new()).expect("found");
    (arena, pairs, nearest)
}

/// Clusters of docs with some copies, in no order.
fn clustered(seed: u64) -> Vec<Vec<f32>> {
    let mut random = Random::new(seed);
    let mut value = || random.below(2001) as f32 / 1000.0 - 1.0;
    let mut rows = Vec::new();
    for cluster in 0..12 {
        let center: Vec<f32> = (0..6).map(|_| value()).collect();
        for member in 0..15 {
            let near = |value: f32| value * 0.02 * (member + 1) as f32;
            let row: Vec<f32> = center.iter().map(|&middle| middle + near(value())).collect();
            rows.push(row.clone());
            if (member + cluster) % 7 == 0 {
                rows.extend([row.clone(), row]);
            }
        }
    }
    let mut order = Random::new(seed + 1).order(rows.len());
    order.truncate(rows.len());
    order.into_iter().map(|row| rows[row as usize].clone()).collect()
}

/// Components by relabelling until nothing changes, which needs no union-find.
fn naive_groups(docs: usize, pairs: &[(u32, u32)]) -> Vec<Vec<u32>> {
    let mut label: Vec<u32> = (0..docs as u32).collect();
    loop {
        let before = label.clone();
        for &(left, right) in pairs {
            let least = label[left as usize].min(label[right as usize]);
            (label[left as usize], label[right as usize]) = (least, least);
        }
        if label == before {
            break;
        }
    }
    let mut groups: Vec<Vec<u32>> = (0..docs as u32)
        .map(|root| (0..docs as u32).filter(|&doc| label[doc as usize] == root).collect::<Vec<u32>>())
        .filter(|group| group.len() > 1)
        .collect();
    groups.sort_by_key(|group| (std::cmp::Reverse(group.len()), group[0]));
    groups
}

#[test]
fn pairs_and_groups_are_those_of_a_naive_loop() {
    let folder = tempfile::tempdir().expect("temporary folder");
    for (metric, threshold) in [
        (Metric::Cosine, 0.99),
        (Metric::Cosine, 0.5),
        (Metric::Dot, 1.2),
        (Metric::Dot, 0.0),
        (Metric::Euclidean, 0.2),
        (Metric::Euclidean, 0.0),
    ] {
        let rows = clustered(3);
        let docs = write(folder.path(), &rows);
        let within = Within { metric, threshold };
        // Few neighbours at first, so that crowded docs must be searched again.
        let (arena, pairs, _) = find(&docs, 6, within, 2);
        let mut naive = Vec::new();
        for left in 0..rows.len() as u32 {
            for right in left + 1..rows.len() as u32 {
                let is_copy = rows[left as usize] == rows[right as usize];
                let score = if is_copy && metric == Metric::Cosine { 1.0 } else { arena.score(left as usize, right) };
                if within.holds(score) {
                    naive.push((left, right));
                    assert_eq!(pairs.score_of(&arena, within, left, right), Some(score));
                } else {
                    assert_eq!(pairs.score_of(&arena, within, left, right), None);
                }
            }
        }
        assert_eq!(pairs.count(), naive.len() as u64, "{metric} {threshold}");
        assert!(!naive.is_empty() || threshold == 0.0, "{metric} {threshold}: the case has pairs");
        let groups = groups::of(&arena, &pairs, &Monitor::new()).expect("connected");
        let found: Vec<Vec<u32>> = groups.iter().map(|group| group.docs.clone()).collect();
        assert_eq!(found, naive_groups(rows.len(), &naive), "{metric} {threshold}");
        for group in &groups {
            let inside = naive.iter().filter(|(left, _)| group.docs.contains(left)).count() as u64;
            assert_eq!(group.pairs, inside);
            let mut extremes: Option<(f64, f64)> = None;
            for (place, &left) in group.docs.iter().enumerate() {
                for &right in &group.docs[place + 1..] {
                    let is_copy = rows[left as usize] == rows[right as usize];
                    let score =
                        if is_copy && metric == Metric::Cosine { 1.0 } else { arena.score(left as usize, right) };
                    let (low, high) = extremes.unwrap_or((score, score));
                    extremes = Some((low.min(score), high.max(score)));
                }
            }
            let (low, high) = extremes.expect("two docs at least");
            let (tightest, loosest) = if metric.larger_is_nearer() { (high, low) } else { (low, high) };
            assert_eq!(group.loosest.map(|pair| pair.score), Some(loosest), "{metric} {:?}", group.docs);
            assert!(within.holds(group.tightest.score) && group.tightest.score == tightest, "{metric}");
        }
        let curve = groups::curve(&pairs, within);
        let last = curve.last().expect("one at least");
        let docs = groups.iter().map(|group| group.docs.len()).sum();
        assert_eq!((last.pairs, last.groups, last.docs), (pairs.count(), groups.len(), docs));
        assert!(curve.is_sorted_by_key(|step| step.pairs) && curve.is_sorted_by_key(|step| step.docs));
    }
}

#[test]
fn a_chain_is_one_group_with_far_ends_and_a_crowd_of_copies_hides_nothing() {
    let folder = tempfile::tempdir().expect("temporary folder");
    // On a circle, 10 degrees apart: neighbours have cos 0.985, those two steps away 0.94. Then 50 copies of the first one.
    let at = |degrees: f32| vec![degrees.to_radians().cos(), degrees.to_radians().sin()];
    let mut rows: Vec<Vec<f32>> = (0..5).map(|step| at(10.0 * step as f32)).collect();
    rows.push(at(200.0));
    rows.extend((0..50).map(|_| at(0.0)));
    let docs = write(folder.path(), &rows);
    let within = Within { metric: Metric::Cosine, threshold: 0.95 };
    let (arena, pairs, nearest) = find(&docs, 2, within, 3);
    let groups = groups::of(&arena, &pairs, &Monitor::new()).expect("connected");
    assert_eq!(groups.len(), 1);
    let group = &groups[0];
    let expected: Vec<u32> = (0..56).filter(|doc| *doc != 5).collect();
    assert_eq!(group.docs, expected);
    // 51 equal docs, each near to doc 1, and a chain of three more.
    assert_eq!(group.pairs, 51 * 50 / 2 + 51 + 3);
    assert_eq!(group.tightest, Pair { doc: 0, other: 6, score: 1.0 });
    let loosest = group.loosest.expect("measured");
    assert_eq!((loosest.doc, loosest.other), (0, 4));
    assert!((loosest.score - 40f64.to_radians().cos()).abs() < 1e-6);
    let curve = groups::curve(&pairs, within);
    assert_eq!((curve[0].pairs, curve[0].groups, curve[0].docs), (1275, 1, 51));

    // Only the nearest three of each doc: of the copies each sees the same first ones, and the chain hangs on by doc 1.
    let best = curve[0].threshold;
    let judge = Judge { arena: &arena, pairs: &pairs, groups: &groups, within, best, nearest: &nearest };
    let exact = judge.pairs_in(&nearest);
    let told = judge.judge(&exact, &exact);
    assert_eq!((told.found, told.exact), (exact.len() as u64, exact.len() as u64));
    assert!(told.found < group.pairs);
    assert_eq!((&told.pieces[..], told.alone), (&[1][..], 0));
    assert_eq!(told.bins.iter().map(|bin| bin.pairs).sum::<u64>(), group.pairs);
    // An index that sees the chain only, each from one side, and the pair 0, 6; and something twice.
    let ids = |doc: usize| match doc {
        0 => [0, 6, 1, 6],
        2 => [1, 3, crate::compute::index::NONE, 2],
        other => [other as u32, 5, other as u32, crate::compute::index::NONE],
    };
    let seen = judge.pairs_in(&(0..56).flat_map(ids).collect::<Vec<u32>>());
    assert_eq!(
        seen.iter().map(|&(left, right, _)| (left, right)).collect::<Vec<_>>(),
        [(0, 1), (0, 6), (1, 2), (2, 3)]
    );
    let told = judge.judge(&seen, &exact);
    assert_eq!((told.found, &told.pieces[..], told.alone), (4, &[51][..], 50));
    assert_eq!(told.bins.iter().map(|bin| bin.found).sum::<u64>(), 4);
    assert_eq!(told.bins.last().map(|bin| (bin.pairs, bin.found)), Some((1275, 1)));
}

#[test]
fn the_same_on_any_number_of_threads() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let docs = write(folder.path(), &clustered(9));
    let params =
        DuplicatesParams { docs, dim: Some(6), threshold: Some(0.98), neighbours: 3, ..DuplicatesParams::default() };
    let options = Options { builds: 1, seed: 0, threads: 1, memory_bytes: 1 << 30, program: PathBuf::new() };
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        let found = pool.install(|| run(&params, &options, &Monitor::new()).expect("found"));
        Duplicates { exact_secs: 0.0, ..found }
    };
    let one = on(1);
    assert!(one.groups.len() > 5 && one.equal_docs > 10);
    assert_eq!(one, on(2));
    assert_eq!(one, on(5));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let docs = write(folder.path(), &clustered(9));
    let options = Options { builds: 1, seed: 0, threads: 1, memory_bytes: 1 << 30, program: PathBuf::new() };
    let base = DuplicatesParams { docs, dim: Some(6), ..DuplicatesParams::default() };
    for (params, told) in [
        (DuplicatesParams { threshold: Some(1.5), ..base.clone() }, "threshold: expected a similarity above −1"),
        (
            DuplicatesParams { threshold: Some(f64::NAN), metric: Some(Metric::Dot), ..base.clone() },
            "a finite similarity",
        ),
        (DuplicatesParams { metric: Some(Metric::Euclidean), ..base.clone() }, "euclidean has none that is usual"),
        (DuplicatesParams { neighbours: 0, ..base.clone() }, "neighbours: expected 1 at least"),
        (DuplicatesParams { num_docs: Some(1), ..base.clone() }, "at least 2 docs"),
        (DuplicatesParams { dim: None, docs: folder.path().join("none.vec"), ..base.clone() }, "none.vec"),
        (DuplicatesParams { indexes: vec!["hnws".to_owned()], ..base.clone() }, "a family"),
    ] {
        let error = run(&params, &options, &Monitor::new()).expect_err(told).to_string();
        assert!(error.contains(told), "{told}: {error}");
    }
    let monitor = Monitor::new();
    monitor.cancel();
    assert!(matches!(run(&base, &options, &monitor), Err(Error::Cancelled)));
    // More pairs than fit: 1.2 million, seen from both docs, where 2²⁰ do.
    let crowd: Vec<Vec<f32>> = (0..1100).map(|doc| vec![1.0, doc as f32 * 1e-6]).collect();
    let docs = write(folder.path(), &crowd);
    let params = DuplicatesParams { docs, dim: Some(2), memory_budget: 16_000_000, ..DuplicatesParams::default() };
    let error = run(&params, &options, &Monitor::new()).expect_err("too many").to_string();
    assert!(error.contains("Choose a higher one, or raise --memory"), "{error}");
}
