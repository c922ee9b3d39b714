//! The measures of a session's contestants, side by side.

use serde::Serialize;

use super::judge::{Gaps, Mean, percentile};
use super::session::{Lab, Run};
use super::truth::Arena;
use crate::compute::figures::{count, counted};
use crate::compute::table::{Column, Table};

/// A contestant with its measures.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// Candidate or name of the neighbour file.
    pub index: String,
    /// Search parameters.
    pub setting: String,
    /// Which of several builds, from 0.
    pub build: usize,
    /// The largest k asked for.
    #[serde(skip)]
    pub compared_at: usize,
    /// Recall@k for each k asked for that was found.
    pub recall: Vec<Recall>,
    pub gaps: Gaps,
    /// Seconds of a query on one thread: median, 95th and 99th percentile.
    pub latency_secs: Option<[f32; 3]>,
    /// Queries a second on one thread, and on all.
    pub qps: Option<f64>,
    pub qps_all_threads: Option<f64>,
    /// How many these were.
    pub threads: Option<usize>,
    pub train_secs: Option<f64>,
    pub build_secs: Option<f64>,
    pub memory_bytes: Option<u64>,
    pub disk_bytes: Option<u64>,
    /// Distances to docs computed for a query, in the mean.
    pub distances_per_query: Option<f64>,
    /// Docs that the index does not hold, so that they cannot be found.
    pub docs_lacking: usize,
    /// Docs that were given twice, and places without a doc.
    pub duplicates: u64,
    pub missing: u64,
    /// No other contestant is both faster and at least as good.
    pub is_on_front: bool,
    /// Standard deviation of the recall at the largest k over builds; `None` of a single build.
    pub build_noise: Option<f64>,
}

/// Recall at a k.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Recall {
    pub k: usize,
    #[serde(flatten)]
    pub mean: Mean,
}

impl Line {
    /// The index with its setting.
    pub fn title(&self) -> String {
        format!("{} {}", self.index, self.setting).trim_end().to_owned()
    }

    fn of(run: &Run, lab: &Lab, ks: &[usize]) -> Self {
        let (info, judged) = (&run.info, &run.judged);
        let queries = lab.arena.num_queries as f64;
        let mut sorted = run.found.latencies.clone().unwrap_or_default();
        sorted.sort_by(f32::total_cmp);
        let qps = |secs: Option<f64>| secs.filter(|secs| *secs > 0.0).map(|secs| queries / secs);
        let fitting = ks.iter().filter(|k| (1..=judged.k).contains(*k));
        Self {
            index: info.candidate.clone(),
            setting: info.setting.to_string(),
            build: info.build,
            compared_at: ks.last().copied().unwrap_or(0),
            recall: fitting.map(|&k| Recall { k, mean: judged.recall(k) }).collect(),
            gaps: judged.gaps(&lab.truth),
            latency_secs: (!sorted.is_empty()).then(|| [0.5, 0.95, 0.99].map(|share| percentile(&sorted, share))),
            qps: qps(info.searched.map(|searched| searched.one_thread_secs)),
            threads: info.searched.map(|searched| searched.threads).filter(|&threads| threads > 0),
            qps_all_threads: qps(info.searched.map(|searched| searched.all_threads_secs)),
            train_secs: info.built.map(|built| built.train_secs),
            build_secs: info.built.map(|built| built.build_secs),
            memory_bytes: info.built.map(|built| built.memory_bytes),
            disk_bytes: info.built.and_then(|built| built.disk_bytes),
            distances_per_query: info
                .searched
                .and_then(|searched| searched.distance_computations)
                .map(|distances| distances as f64 / queries),
            duplicates: judged.duplicates,
            missing: judged.missing,
            docs_lacking: info.built.as_ref().map_or(0, |built| lab.arena.num_docs.saturating_sub(built.docs)),
            is_on_front: false,
            build_noise: None,
        }
    }

    /// Recall at the largest k asked for, by which contestants are compared; `None` if fewer were found.
    pub fn best_recall(&self) -> Option<Mean> {
        self.recall.iter().find(|recall| recall.k == self.compared_at).map(|recall| recall.mean)
    }
}

/// Recall is told for these k and for that of the session.
pub fn usual_ks(top_k: usize) -> Vec<usize> {
    let mut ks: Vec<usize> = [1, 10, 100].into_iter().filter(|k| *k < top_k).collect();
    ks.push(top_k);
    ks
}

/// All contestants of a session, with recall at `ks`, ascending.
pub fn lines(lab: &Lab, ks: &[usize]) -> Vec<Line> {
    let mut lines: Vec<Line> = lab.runs.iter().map(|run| Line::of(run, lab, ks)).collect();
    let points: Vec<Option<(f64, f64)>> =
        lines.iter().map(|line| Some((line.best_recall()?.mean, line.qps?))).collect();
    let noises: Vec<Option<f64>> = lines.iter().map(|line| deviation(&recalls_of_builds(&lines, line))).collect();
    for (index, line) in lines.iter_mut().enumerate() {
        line.build_noise = noises[index];
        let Some((recall, qps)) = points[index] else { continue };
        let beats = |&(other_recall, other_qps): &(f64, f64)| {
            other_recall >= recall && other_qps >= qps && (other_recall > recall || other_qps > qps)
        };
        line.is_on_front = !points.iter().flatten().any(beats);
    }
    lines
}

/// Recall of every build of the contestant in `line`.
fn recalls_of_builds(lines: &[Line], line: &Line) -> Vec<f64> {
    let same = lines.iter().filter(|other| other.index == line.index && other.setting == line.setting);
    same.filter_map(|line| Some(line.best_recall()?.mean)).collect()
}

/// Standard deviation of a sample; `None` of fewer than two.
fn deviation(values: &[f64]) -> Option<f64> {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    (values.len() > 1).then(|| (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0)).sqrt())
}

/// Pairs of contestants next to each other in recall whose difference is within two standard deviations of what
/// building again changes.
pub fn within_noise(lines: &[Line]) -> Vec<(usize, usize)> {
    let first: Vec<usize> = (0..lines.len()).filter(|&index| lines[index].build == 0).collect();
    let mean_of = |index: usize| {
        let recalls = recalls_of_builds(lines, &lines[index]);
        recalls.iter().sum::<f64>() / recalls.len().max(1) as f64
    };
    let mut ordered: Vec<(f64, usize)> = first.into_iter().map(|index| (mean_of(index), index)).collect();
    ordered.sort_by(|left, right| right.0.total_cmp(&left.0));
    let noise = |index: usize| lines[index].build_noise;
    ordered
        .windows(2)
        .filter_map(|pair| {
            let ((high, left), (low, right)) = (pair[0], pair[1]);
            let spread = noise(left)?.hypot(noise(right)?);
            (high - low <= 2.0 * spread).then_some((left, right))
        })
        .collect()
}

/// "40,000 docs × 1,000 queries, dim 384, dot, top-100"
pub fn title(arena: &Arena) -> String {
    format!(
        "{} × {}, dim {}, {}, top-{}",
        counted(arena.num_docs, "doc", "docs"),
        counted(arena.num_queries, "query", "queries"),
        arena.dim(),
        arena.metric,
        count(arena.top_k)
    )
}

/// The lines as a table with every measure.
pub fn table(lines: &[Line], ks: &[usize]) -> Table {
    let mut names = vec![("index".to_owned(), false), ("setting".to_owned(), false), ("build".to_owned(), true)];
    for k in ks {
        names.extend(["", "_low", "_high"].map(|part| (format!("recall@{k}{part}"), true)));
    }
    let rest = [
        "mean_gap",
        "relative_gap",
        "latency_p50_ms",
        "latency_p95_ms",
        "latency_p99_ms",
        "qps_one_thread",
        "qps_all_threads",
        "threads",
        "train_s",
        "build_s",
        "memory_bytes",
        "disk_bytes",
        "distances_per_query",
        "duplicates",
        "missing",
        "docs_lacking",
        "build_noise",
    ];
    names.extend(rest.map(|name| (name.to_owned(), true)));
    names.push(("on_front".to_owned(), false));
    let columns = names.into_iter().map(|(name, is_number)| Column { name, is_number }).collect();
    let rows = lines
        .iter()
        .map(|line| {
            let mut row = vec![Some(line.index.clone()), Some(line.setting.clone()), Some(line.build.to_string())];
            for k in ks {
                let recall = line.recall.iter().find(|recall| recall.k == *k).map(|recall| recall.mean);
                row.extend([
                    recall.map(|mean| format!("{:.6}", mean.mean)),
                    recall.map(|mean| format!("{:.6}", mean.low)),
                    recall.map(|mean| format!("{:.6}", mean.high)),
                ]);
            }
            let number = |value: Option<f64>| value.map(|value| format!("{value}"));
            row.extend([Some(format!("{:e}", line.gaps.mean)), Some(format!("{:e}", line.gaps.relative))]);
            row.extend(
                (0..3).map(|place| line.latency_secs.map(|secs| format!("{:.4}", f64::from(secs[place]) * 1e3))),
            );
            row.extend([
                line.qps.map(|qps| format!("{qps:.1}")),
                line.qps_all_threads.map(|qps| format!("{qps:.1}")),
                line.threads.map(|threads| threads.to_string()),
                line.train_secs.map(|secs| format!("{secs:.3}")),
                line.build_secs.map(|secs| format!("{secs:.3}")),
                line.memory_bytes.map(|bytes| bytes.to_string()),
                line.disk_bytes.map(|bytes| bytes.to_string()),
                number(line.distances_per_query),
                Some(line.duplicates.to_string()),
                Some(line.missing.to_string()),
                Some(line.docs_lacking.to_string()),
                line.build_noise.map(|noise| format!("{noise:.6}")),
                Some(if line.is_on_front { "yes" } else { "no" }.to_owned()),
            ]);
            row
        })
        .collect();
    Table { columns, rows, is_cut: false }
}

/// The measures that fit a terminal: recall at each of `ks` with half its band, speed, size.
pub fn short_table(lines: &[Line], ks: &[usize]) -> Table {
    let column = |name: &str, is_number: bool| Column { name: name.to_owned(), is_number };
    let has_builds = lines.iter().any(|line| line.build > 0);
    let mut columns = vec![column("", false), column("index", false), column("setting", false)];
    if has_builds {
        columns.push(column("build", true));
    }
    // What contestants are compared by comes first.
    let (most, others) = ks.split_last().map_or((0, &[][..]), |(most, others)| (*most, others));
    columns.extend([&format!("recall@{most}"), "±", "QPS"].map(|name| column(name, true)));
    columns.extend(others.iter().map(|k| column(&format!("recall@{k}"), true)));
    let rest = ["mean gap", "p50 ms", "p99 ms", "QPS all", "build s", "memory MB"];
    columns.extend(rest.map(|name| column(name, true)));
    let shown =
        |value: Option<f64>, places: usize| Some(value.map_or("–".to_owned(), |value| format!("{value:.places$}")));
    let rows = lines
        .iter()
        .map(|line| {
            let front = if line.is_on_front { "●" } else { "" };
            let mut row = vec![Some(front.to_owned()), Some(line.index.clone()), Some(line.setting.clone())];
            if has_builds {
                row.push(Some(line.build.to_string()));
            }
            let recall_at = |k: usize| line.recall.iter().find(|recall| recall.k == k).map(|recall| recall.mean);
            let band = recall_at(most).map(|mean| (mean.high - mean.low) / 2.0);
            row.extend([shown(recall_at(most).map(|mean| mean.mean), 4), shown(band, 4), shown(line.qps, 0)]);
            row.extend(others.iter().map(|&k| shown(recall_at(k).map(|mean| mean.mean), 4)));
            row.extend([
                Some(format!("{:.2e}", line.gaps.mean)),
                shown(line.latency_secs.map(|secs| f64::from(secs[0]) * 1e3), 3),
                shown(line.latency_secs.map(|secs| f64::from(secs[2]) * 1e3), 3),
                shown(line.qps_all_threads, 0),
                shown(line.train_secs.zip(line.build_secs).map(|(train, build)| train + build), 2),
                shown(line.memory_bytes.map(|bytes| bytes as f64 / 1e6), 1),
            ]);
            row
        })
        .collect();
    Table { columns, rows, is_cut: false }
}
