//! What methods cost on this machine and data, at growing numbers of docs, within a budget of time.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use super::super::candidate::{Candidate, FAMILIES};
use super::super::judge::Mean;
use super::super::redis::address::without_login;
use super::super::session::{Lab, Options, Run};
use super::super::subset::{Scratch, write_rows};
use super::super::truth::{Arena, Question};
use super::{Asking, PlanParams};
use crate::compute::error::{Error, Result};
use crate::compute::figures::{count, duration};
use crate::compute::metric::Metric;
use crate::compute::random::Random;
use crate::job::Monitor;

/// Measuring begins with at most as many docs.
const FIRST_DOCS: usize = 2000;
/// Fewer docs than this, or than ten times the neighbours, tell nothing.
const LEAST_DOCS: usize = 256;
/// Sizes from which a cost is fitted: the largest ones.
pub const FITTED_SIZES: usize = 3;
/// What twice the docs are expected to take at most, beside what they took.
const GROWTH: f64 = 2.5;
/// Even shares of the time that is left which one method may take.
const MOST_SHARES: f64 = 3.0;
/// Memory that an index may take while it is measured, at least, so that one that does not fit is told by its figure.
const LEAST_MEMORY: u64 = 4_000_000_000;

/// What a method cost at a number of docs.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    pub docs: usize,
    pub index: String,
    /// The cheapest that reaches the target, or else the one that comes nearest.
    pub setting: String,
    pub recall: Mean,
    pub reaches: bool,
    /// Training and building, on all threads.
    pub build_secs: f64,
    /// Seconds of a query: one after another on one thread, and all at once on all threads.
    pub one_by_one_secs: f64,
    pub at_once_secs: f64,
    /// Memory to answer: what the process grew by, what it maps of files, and the docs if it reads them.
    pub memory_bytes: f64,
    /// Of it, what is certain: the index as its file holds it, and the docs if it reads them.
    pub certain_bytes: f64,
}

impl Point {
    pub fn query_secs(&self, asking: Asking) -> f64 {
        match asking {
            Asking::OneByOne => self.one_by_one_secs,
            Asking::AtOnce => self.at_once_secs,
        }
    }
}

/// A method with what was measured of it, fewest docs first.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    pub family: String,
    pub points: Vec<Point>,
}

/// Everything measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurements {
    pub methods: Vec<Measured>,
    /// What was not measured, and why, in sentences.
    pub left_out: Vec<String>,
    /// Most docs that were measured, and queries.
    pub docs: usize,
    pub queries: usize,
    pub secs: f64,
}

/// What is measured of one family at `docs` docs.
struct Contender {
    family: String,
    /// As typed by the user; else made for every number of docs.
    typed: Option<String>,
    /// The search parameter's value that was taken last, and whether it reached the target.
    last: Option<(u64, bool)>,
    last_secs: f64,
    is_out: bool,
}

/// Measures; `arena`: of `question`.
///
/// # Errors
/// A candidate that cannot be; nothing measured within the budget; a scratch folder that cannot be written; cancelled.
pub fn measure(
    (question, arena): (&Question, &Arena),
    params: &PlanParams,
    program: &Path,
    monitor: &Monitor,
) -> Result<Measurements> {
    let started = Instant::now();
    let deadline = started + Duration::from_secs_f64(params.budget_secs);
    let within_budget = monitor.until(deadline);
    let mut contenders = contenders(params, arena.metric)?;
    let mut left_out = Vec::new();
    if params.indexes.is_empty() && !cfg!(feature = "faiss") {
        left_out.push("FAISS's families were not measured: this knnscope was built without FAISS.".to_owned());
    }
    if params.indexes.is_empty() && arena.metric == Metric::Dot {
        left_out.push("lsh was not measured: FAISS's LSH does not know the dot product.".to_owned());
    }
    let scratch = Scratch::new(params.scratch.as_deref())?;
    let queries = params.sample_queries.min(arena.num_queries);
    let asked = scratch.path("queries.vec");
    let mut rows = Random::stream(params.seed, 0x7175_6572).order(arena.num_queries);
    rows.truncate(queries);
    write_rows(&arena.queries, &rows, &asked, monitor)?;
    let order = Random::stream(params.seed, 0x646f_6373).order(arena.num_docs);
    let most = params.docs.unwrap_or(arena.num_docs).min(arena.num_docs);
    let mut points: HashMap<String, Vec<Point>> = HashMap::new();
    let options = Options {
        builds: 1,
        seed: params.seed,
        threads: rayon::current_num_threads(),
        memory_bytes: params.memory_bytes.max(LEAST_MEMORY),
        program: program.to_owned(),
    };
    let mut largest = 0;
    for docs in sizes(most, arena.top_k) {
        if contenders.iter().all(|contender| contender.is_out) {
            break;
        }
        let path = scratch.path(&format!("docs-{docs}.vec"));
        let folder = scratch.path(&format!("lab-{docs}"));
        let sample = Question {
            docs: path.clone(),
            queries: asked.clone(),
            num_docs: None,
            num_queries: None,
            ..question.clone()
        };
        let begun = write_rows(&arena.docs, &order[..docs], &path, &within_budget)
            .and_then(|()| Lab::begin(&sample, &folder, &within_budget));
        let mut lab = match begun {
            Err(Error::Cancelled) if !monitor.is_cancelled() => {
                left_out.push(format!(
                    "Nothing was measured with {} docs or more: the {} of the budget would not do.",
                    count(docs),
                    duration(params.budget_secs)
                ));
                break;
            }
            begun => begun?,
        };
        let mut waiting = contenders.iter().filter(|contender| !contender.is_out).count();
        for contender in contenders.iter_mut().filter(|contender| !contender.is_out) {
            monitor.check()?;
            let left = deadline.saturating_duration_since(Instant::now()).as_secs_f64();
            if contender.last_secs * GROWTH > left {
                contender.is_out = true;
                waiting -= 1;
                left_out.push(out_of_time(docs, params.budget_secs, &contender.family));
                continue;
            }
            let candidate = contender.candidate(docs, arena)?;
            let before = Instant::now();
            // A slow one must not take all the time of those behind it.
            let share = (left * MOST_SHARES / waiting as f64).min(left);
            waiting -= 1;
            let in_time = monitor.until(before + Duration::from_secs_f64(share));
            let outcome = lab.run(&candidate, &options, &in_time, &mut |_| {});
            contender.last_secs = before.elapsed().as_secs_f64();
            let is_whole = outcome.is_ok();
            match outcome {
                Err(Error::Cancelled) if monitor.is_cancelled() => return Err(Error::Cancelled),
                Err(Error::Cancelled) => {
                    contender.is_out = true;
                    left_out.push(out_of_time(docs, params.budget_secs, &contender.family));
                }
                Err(error) => {
                    contender.is_out = true;
                    left_out.push(format!("{} was not measured with {} docs: {error}.", contender.family, count(docs)));
                }
                Ok(()) => {}
            }
            let Some((point, value)) = chosen(&lab, &candidate, params) else { continue };
            // Cheap settings come first: what a grid that was cut short does not reach, the rest of it may.
            if !is_whole && !point.reaches {
                continue;
            }
            contender.last = value.map(|value| (value, point.reaches));
            largest = largest.max(docs);
            points.entry(contender.family.clone()).or_default().push(point);
        }
        drop(lab);
        // The next sizes take the room.
        std::fs::remove_dir_all(&folder).map_err(Error::write(&folder))?;
        std::fs::remove_file(&path).map_err(Error::write(&path))?;
    }
    let methods: Vec<Measured> = contenders
        .into_iter()
        .filter_map(|contender| {
            let points = points.remove(&contender.family)?;
            Some(Measured { family: contender.family, points })
        })
        .collect();
    if methods.is_empty() {
        let why = left_out.last().cloned().unwrap_or_default();
        return Err(Error::IndexUse {
            what: format!(
                "nothing could be measured within {}. {why} Raise --budget-secs",
                duration(params.budget_secs)
            ),
        });
    }
    Ok(Measurements { methods, left_out, docs: largest, queries, secs: started.elapsed().as_secs_f64() })
}

fn out_of_time(docs: usize, budget_secs: f64, family: &str) -> String {
    format!(
        "{family} was not measured with {} docs or more: the {} of the budget would not do.",
        count(docs),
        duration(budget_secs)
    )
}

/// Numbers of docs to measure with, each twice the one before: up to `most`, three at least where that leaves enough.
fn sizes(most: usize, top_k: usize) -> Vec<usize> {
    let least = LEAST_DOCS.max(10 * top_k);
    let mut sizes = vec![most];
    loop {
        let half = sizes[sizes.len() - 1] / 2;
        if half < least || sizes[sizes.len() - 1] <= FIRST_DOCS && sizes.len() >= FITTED_SIZES {
            break;
        }
        sizes.push(half);
    }
    sizes.reverse();
    sizes
}

fn contenders(params: &PlanParams, metric: Metric) -> Result<Vec<Contender>> {
    let contender = |family: &str, typed: Option<String>| Contender {
        family: family.to_owned(),
        typed,
        last: None,
        last_secs: 0.0,
        is_out: false,
    };
    if !params.indexes.is_empty() {
        // By what was typed: a family may come twice, with other parameters of the build.
        return Ok(params.indexes.iter().map(|text| contender(&without_login(text), Some(text.clone()))).collect());
    }
    // Those first that the budget should not end before.
    let all = ["exact", "flat", "hnsw", "ivf-flat", "annoy", "precomputed", "fast-scan", "ivf-pq", "hyperplane", "lsh"];
    debug_assert_eq!(all.len(), FAMILIES.len());
    let can_be = |family: &&str| {
        let is_own = ["exact", "precomputed", "annoy", "hyperplane"].contains(family);
        (is_own || cfg!(feature = "faiss")) && (*family != "lsh" || metric != Metric::Dot)
    };
    Ok(all.into_iter().filter(can_be).map(|family| contender(family, None)).collect())
}

/// 1, 2, 3, 4, 6, 8, 12, …: doublings with one value between, from `low` to `high`, both among them.
fn steps(low: u64, high: u64) -> Vec<u64> {
    let powers = (0..40).map(|power| 1u64 << power);
    let mut values: Vec<u64> = powers.flat_map(|power| [power, power + power / 2]).chain([low, high]).collect();
    values.retain(|value| (low..=high).contains(value));
    values.sort_unstable();
    values.dedup();
    values
}

impl Contender {
    fn candidate(&self, docs: usize, arena: &Arena) -> Result<Candidate> {
        let dim = arena.dim();
        if let Some(typed) = &self.typed {
            return Candidate::parse(typed, dim);
        }
        let mut candidate = Candidate::parse(&self.spec(docs, arena.top_k), dim)?;
        // Later sizes look around what the size before needed.
        if let Some((last, reached)) = self.last
            && let Some((_, values)) = candidate.grid.iter_mut().find(|(_, values)| values.len() > 1)
        {
            let kept: Vec<u64> = match reached {
                true => values.iter().copied().filter(|value| (last / 2..=last * 4).contains(value)).collect(),
                false => values[values.len().saturating_sub(3)..].to_vec(),
            };
            if !kept.is_empty() {
                *values = kept;
            }
        }
        Ok(candidate)
    }

    /// A family with the parameters that suit a number of docs, and a grid of the one that trades recall for speed.
    fn spec(&self, docs: usize, top_k: usize) -> String {
        let list = |values: Vec<u64>| values.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        let k = top_k as u64;
        let nlist = (docs as f64).sqrt().round().max(1.0) as u64;
        match self.family.as_str() {
            // Below k, efSearch is k.
            "hnsw" => format!("hnsw:M=16:efConstruction=80:efSearch={}", list(steps(k.max(12), (8 * k).max(512)))),
            "ivf-flat" => format!("ivf-flat:nlist={nlist}:nprobe={}", list(steps(1, nlist))),
            // 256 centroids are not learned from fewer docs.
            "ivf-pq" => {
                let bits = if docs < 1000 { 4 } else { 8 };
                format!("ivf-pq:nlist={nlist}:bits={bits}:nprobe={}", list(steps(1, nlist)))
            }
            "fast-scan" => {
                let factor = if top_k >= 50 { 4 } else { 16 };
                format!("fast-scan:nlist={nlist}:k_factor_rf={factor}:nprobe={}", list(steps(1, nlist)))
            }
            "annoy" => format!("annoy:trees=20:search_k={}", list(steps((2 * k).max(64), (docs as u64).max(128)))),
            // Some 64 docs a bucket.
            "hyperplane" => {
                let hashes = ((docs as f64 / 64.0).log2().ceil() as u64).clamp(1, 32);
                format!("hyperplane:tables=12:hashes={hashes}:probes={}", list(steps(0, hashes)))
            }
            "lsh" => "lsh:bits=1024".to_owned(),
            family => family.to_owned(),
        }
    }
}

/// The run of a candidate that is the cheapest of those that reach the target, or else the nearest to it, with the value
/// of its search parameter.
fn chosen(lab: &Lab, candidate: &Candidate, params: &PlanParams) -> Option<(Point, Option<u64>)> {
    let queries = lab.arena.num_queries as f64;
    let docs = lab.arena.num_docs;
    let point = |run: &Run| {
        let (built, searched) = (run.info.built?, run.info.searched?);
        let recall = run.judged.recall(run.judged.k);
        let mapped = if candidate.reads_docs() { docs as f64 * lab.arena.dim() as f64 * 4.0 } else { 0.0 };
        let is_grid = |name: &String| candidate.grid.iter().any(|(known, values)| known == name && values.len() > 1);
        let value = run.info.setting.0.iter().find(|(name, _)| is_grid(name)).map(|(_, value)| *value);
        let point = Point {
            docs,
            index: run.info.candidate.clone(),
            setting: run.info.setting.to_string(),
            recall,
            reaches: run.judged.k == lab.arena.top_k && recall.mean >= params.recall,
            build_secs: built.train_secs + built.build_secs,
            one_by_one_secs: searched.one_thread_secs / queries,
            at_once_secs: searched.all_threads_secs / queries,
            memory_bytes: built.memory_bytes as f64 + mapped,
            certain_bytes: built.disk_bytes.unwrap_or(0) as f64 + mapped,
        };
        Some((point, value))
    };
    // The same index may be typed twice, with other search parameters.
    let settings = candidate.settings();
    let is_asked = |run: &&Run| run.info.candidate == candidate.name && settings.contains(&run.info.setting);
    let runs = lab.runs.iter().filter(is_asked).filter_map(point);
    runs.min_by(|(left, _), (right, _)| {
        let secs = |point: &Point| point.query_secs(params.asking);
        match (left.reaches, right.reaches) {
            (true, true) => secs(left).total_cmp(&secs(right)),
            (false, false) => right.recall.mean.total_cmp(&left.recall.mean).then(secs(left).total_cmp(&secs(right))),
            (reaches, _) => {
                if reaches {
                    std::cmp::Ordering::Less
                } else {
                    std::cmp::Ordering::Greater
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_double_up_to_the_most() {
        assert_eq!(sizes(40_000, 100), [1250, 2500, 5000, 10_000, 20_000, 40_000]);
        assert_eq!(sizes(4000, 10), [1000, 2000, 4000]);
        assert_eq!(sizes(2000, 100), [1000, 2000]);
        assert_eq!(sizes(300, 10), [300]);
        let many = sizes(1_000_000, 10);
        assert!(many[0] <= FIRST_DOCS && many[many.len() - 1] == 1_000_000);
    }

    #[test]
    fn steps_hold_both_ends() {
        assert_eq!(steps(1, 20), [1, 2, 3, 4, 6, 8, 12, 16, 20]);
        assert_eq!(steps(0, 2), [0, 1, 2]);
        assert_eq!(steps(100, 100), [100]);
    }

    #[test]
    fn every_family_is_measured_or_known_not_to_be() {
        let params = PlanParams::default();
        for metric in [Metric::Dot, Metric::Cosine] {
            let found = contenders(&params, metric).expect("families");
            for contender in &found {
                for docs in [300, 5000, 1_000_000] {
                    let spec = contender.spec(docs, 100);
                    let candidate = Candidate::parse(&spec, 384).expect(&spec);
                    assert!(candidate.grid.iter().filter(|(_, values)| values.len() > 1).count() <= 1, "{spec}");
                }
            }
            let faiss = if cfg!(feature = "faiss") { 6 } else { 0 };
            let lsh = usize::from(cfg!(feature = "faiss") && metric == Metric::Dot);
            assert_eq!(found.len(), 4 + faiss - lsh);
        }
    }
}
