//! Which method pays when: brute force, scores computed beforehand, or an index of some family, for a number of docs and
//! queries, a memory and a recall, from what they cost on this machine and data.
//!
//! `measure` runs every family on random samples of the docs, each size twice the one before, and takes the cheapest
//! setting that reaches the recall; [`costs`] tells how that grows with the docs, and which total is the least for how
//! many queries; [`tree`] holds a decision tree of the field against it.

pub mod costs;
pub mod measure;
pub mod tree;

use std::path::{Path, PathBuf};

use serde::Serialize;

use self::costs::{Cost, Memory, Scaling, Stretch, envelope};
use self::measure::{FITTED_SIZES, Measured, Measurements, Point, measure};
use self::tree::Branch;
use super::candidate::Candidate;
use super::redis::address::without_login;
use super::truth::{Arena, Question};
use crate::compute::error::{Error, Result};
use crate::compute::figures::{bytes, count, counted, duration};
use crate::job::Monitor;

/// How queries come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub enum Asking {
    /// One after another, each answered on one thread.
    #[default]
    OneByOne,
    /// All at once, answered on all threads.
    AtOnce,
}

/// What is planned for, and how long may be measured.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanParams {
    /// Docs to search; those of the file without. More than there are is extrapolated.
    pub docs: Option<usize>,
    /// Queries that will be asked in all; those of the file without.
    pub queries: Option<usize>,
    /// Different queries among them, for which scores can be computed beforehand; all of them without.
    pub distinct: Option<usize>,
    /// Memory to answer with, in bytes.
    pub memory_bytes: u64,
    /// Recall@k to reach, above 0, at most 1.
    pub recall: f64,
    pub asking: Asking,
    /// Seconds to measure, above 0.
    pub budget_secs: f64,
    /// Queries to measure with, at most, drawn at random.
    pub sample_queries: usize,
    /// Draws the samples of docs and queries.
    pub seed: u64,
    /// Indexes to choose from, as typed; every family with usual parameters if there are none.
    pub indexes: Vec<String>,
    /// Folder in which indexes are built for a while; the system's without.
    pub scratch: Option<PathBuf>,
}

impl Default for PlanParams {
    fn default() -> Self {
        Self {
            docs: None,
            queries: None,
            distinct: None,
            memory_bytes: 4_000_000_000,
            recall: 0.95,
            asking: Asking::OneByOne,
            budget_secs: 60.0,
            sample_queries: 200,
            seed: 42,
            indexes: Vec::new(),
            scratch: None,
        }
    }
}

impl PlanParams {
    /// For vectors of `dim`.
    ///
    /// # Errors
    /// A number out of its range; an index that cannot be.
    pub fn validate(&self, dim: usize) -> Result<()> {
        let wrong = |name, expected: &str, found| Err(Error::Parameter { name, expected: expected.to_owned(), found });
        if !(self.recall > 0.0 && self.recall <= 1.0) {
            return wrong("recall", "a number above 0, at most 1", self.recall.to_string());
        }
        if !(self.budget_secs > 0.0 && self.budget_secs <= 1e6) {
            return wrong("budget-secs", "seconds, above 0, at most 1,000,000", self.budget_secs.to_string());
        }
        let counts = [("for-docs", self.docs), ("for-queries", self.queries), ("distinct", self.distinct)];
        for (name, value) in counts.into_iter().chain([("sample-queries", Some(self.sample_queries))]) {
            if let Some(value) = value.filter(|value| !(1..=1_000_000_000_000).contains(value)) {
                return wrong(name, "a whole number from 1 to 1,000,000,000,000", count(value));
            }
        }
        if self.memory_bytes == 0 {
            return wrong("for-memory", "more than 0 bytes", "0".to_owned());
        }
        for (place, index) in self.indexes.iter().enumerate() {
            if self.indexes[..place].contains(index) {
                return wrong("index", "every index once", format!("{} twice", without_login(index)));
            }
            let candidate = Candidate::parse(index, dim)?;
            if let Some(file) = candidate.file() {
                return wrong("index", "a family: a file is built already, of all docs", file.display().to_string());
            }
        }
        Ok(())
    }
}

/// What a method costs as planned.
#[derive(Debug, Clone, PartialEq)]
pub struct Method {
    /// The family, or the index as typed.
    pub family: String,
    /// What was measured, fewest docs first.
    pub points: Vec<Point>,
    /// Seconds and bytes by docs.
    pub build: Scaling,
    pub one_by_one: Scaling,
    pub at_once: Scaling,
    pub memory: Memory,
    /// For the docs planned for.
    pub cost: Cost,
    pub memory_bytes: f64,
    pub fits: bool,
    /// Queries from which on it costs less in all than brute force; `None`: never, or it is brute force.
    pub pays_from: Option<f64>,
    /// Where it costs the least of those that fit and reach the recall.
    pub cheapest: Option<Stretch>,
}

impl Method {
    /// At the most docs that were measured.
    pub fn last(&self) -> &Point {
        &self.points[self.points.len() - 1]
    }

    /// Whether it looks at every doc for every query.
    pub fn is_brute_force(&self) -> bool {
        is_brute_force(&self.family)
    }

    pub fn is_precomputed(&self) -> bool {
        self.family == "precomputed"
    }

    /// Whether it can be taken: it reaches the recall, and fits.
    pub fn is_eligible(&self) -> bool {
        self.fits && self.last().reaches
    }

    /// "hnsw efSearch=96"
    pub fn name(&self) -> String {
        let setting = &self.last().setting;
        // One that was typed may come twice, with other parameters of the build.
        let family = if self.family.contains(':') { self.last().index.as_str() } else { self.family.as_str() };
        if setting.is_empty() { family.to_owned() } else { format!("{family} {setting}") }
    }

    fn query(&self, asking: Asking) -> Scaling {
        match asking {
            Asking::OneByOne => self.one_by_one,
            Asking::AtOnce => self.at_once,
        }
    }

    /// Seconds of a query with so many docs.
    pub fn query_secs(&self, asking: Asking, docs: f64) -> f64 {
        self.query(asking).at(docs)
    }
}

fn is_brute_force(family: &str) -> bool {
    ["exact", "flat", "faiss:Flat"].contains(&family)
}

/// The answer.
#[derive(Debug, Clone)]
pub struct Plan {
    pub params: PlanParams,
    /// As planned for.
    pub docs: usize,
    pub queries: usize,
    pub distinct: usize,
    pub dim: usize,
    pub top_k: usize,
    pub metric: String,
    pub threads: usize,
    pub measurements: Facts,
    /// Those cheapest for the queries planned for first; those that do not fit or reach the recall behind.
    pub methods: Vec<Method>,
    /// Stretches of `methods`, fewest queries first.
    pub envelope: Vec<Stretch>,
    pub tree: Vec<Branch>,
}

/// What measuring itself was like.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    pub docs: usize,
    pub queries: usize,
    pub secs: f64,
    pub left_out: Vec<String>,
}

/// Measures, and plans.
///
/// # Errors
/// Parameters out of their ranges; what [`Arena::open`] finds; nothing measured within the budget; cancelled.
pub fn run(question: &Question, params: &PlanParams, program: &Path, monitor: &Monitor) -> Result<Plan> {
    params.validate(question.dim)?;
    let arena = Arena::open(question)?;
    let measurements = measure((question, &arena), params, program, monitor)?;
    Ok(Plan::of(&arena, params, measurements))
}

/// What of the data a plan is made from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shape {
    pub docs: usize,
    pub queries: usize,
    pub dim: usize,
    pub top_k: usize,
    pub metric: String,
}

impl Plan {
    fn of(arena: &Arena, params: &PlanParams, measurements: Measurements) -> Self {
        let shape = Shape {
            docs: arena.num_docs,
            queries: arena.num_queries,
            dim: arena.dim(),
            top_k: arena.top_k,
            metric: arena.metric.name().to_owned(),
        };
        Self::from_measurements(shape, params, measurements)
    }

    fn from_measurements(shape: Shape, params: &PlanParams, measurements: Measurements) -> Self {
        let docs = params.docs.unwrap_or(shape.docs);
        let queries = params.queries.unwrap_or(shape.queries);
        let distinct = params.distinct.unwrap_or(queries).min(queries);
        let Measurements { methods, left_out, docs: most, queries: sampled, secs } = measurements;
        let facts = Facts { docs: most, queries: sampled, secs, left_out };
        let mut methods: Vec<Method> =
            methods.into_iter().filter_map(|measured| method(measured, params, (docs, distinct, sampled))).collect();
        let brute = methods.iter().filter(|method| method.is_brute_force()).map(|method| method.cost);
        let brute = brute.min_by(|left, right| left.total(queries as f64).total_cmp(&right.total(queries as f64)));
        for method in &mut methods {
            let other = brute.filter(|_| !method.is_brute_force());
            method.pays_from = other.and_then(|brute| method.cost.pays_from(&brute));
        }
        methods.sort_by(|left, right| {
            let key = |method: &Method| (!method.is_eligible(), !method.last().reaches);
            let total = |method: &Method| method.cost.total(queries as f64);
            key(left).cmp(&key(right)).then(total(left).total_cmp(&total(right)))
        });
        let eligible: Vec<Cost> =
            methods.iter().take_while(|method| method.is_eligible()).map(|method| method.cost).collect();
        let envelope = envelope(&eligible);
        for stretch in &envelope {
            methods[stretch.place].cheapest = Some(*stretch);
        }
        let (dim, top_k, metric) = (shape.dim, shape.top_k, shape.metric);
        let threads = rayon::current_num_threads();
        let mut plan = Self {
            params: params.clone(),
            docs,
            queries,
            distinct,
            dim,
            top_k,
            metric,
            threads,
            measurements: facts,
            methods,
            envelope,
            tree: Vec::new(),
        };
        plan.tree = tree::held_against(&plan);
        plan
    }

    /// The cheapest method for the queries planned for.
    pub fn best(&self) -> Option<&Method> {
        self.methods.first().filter(|method| method.is_eligible())
    }

    /// The brute force that is cheapest for the queries planned for, whether it fits or not.
    pub fn brute_force(&self) -> Option<&Method> {
        let queries = self.queries as f64;
        let all = self.methods.iter().filter(|method| method.is_brute_force());
        all.min_by(|left, right| left.cost.total(queries).total_cmp(&right.cost.total(queries)))
    }

    /// The docs planned for are more than were measured of this method.
    pub fn is_extrapolated(&self, method: &Method) -> bool {
        self.docs > method.last().docs
    }

    /// "40,000 docs × 20,000 queries, dim 384, dot, recall@10 ≥ 0.95"
    pub fn title(&self) -> String {
        format!(
            "{} × {}, dim {}, {}, recall@{} ≥ {}",
            counted(self.docs, "doc", "docs"),
            counted(self.queries, "query", "queries"),
            self.dim,
            self.metric,
            count(self.top_k),
            self.params.recall
        )
    }

    /// What it comes to, a sentence each.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let queries = self.queries as f64;
        let asked = counted(self.queries, "query", "queries");
        let total = |method: &Method| duration(method.cost.total(queries));
        match (self.best(), self.brute_force()) {
            (None, _) => notes.push(format!(
                "No method reaches recall@{} ≥ {} within {} of memory: ask for less recall or give more memory.",
                count(self.top_k),
                self.params.recall,
                bytes(self.params.memory_bytes)
            )),
            (Some(best), Some(brute)) if !best.is_brute_force() => {
                let against = match best.pays_from {
                    Some(from) => format!("it pays from {} on", counted(from as usize, "query", "queries")),
                    None => "brute force does not fit, or it would be cheaper".to_owned(),
                };
                notes.push(format!(
                    "For {asked} the cheapest is {}: {} in all, {} of it before the first query, against {} by brute \
                     force ({}); {against}.",
                    best.name(),
                    total(best),
                    duration(best.cost.before),
                    total(brute),
                    brute.name()
                ));
            }
            (Some(best), _) => {
                let runner_up = self.methods.iter().filter(|method| method.is_eligible() && !method.is_brute_force());
                let next = runner_up
                    .filter_map(|method| Some((method.pays_from?, method)))
                    .min_by(|left, right| left.0.total_cmp(&right.0));
                let next = match next {
                    Some((from, method)) => {
                        format!("{} would pay from {} on", method.name(), counted(from as usize, "query", "queries"))
                    }
                    None => "no index pays, however many queries".to_owned(),
                };
                notes.push(format!("For {asked} the cheapest is {}: {} in all; {next}.", best.name(), total(best)));
            }
        }
        if self.envelope.len() > 1 {
            let parts = self.envelope.iter().map(|stretch| {
                let name = self.methods[stretch.place].name();
                match stretch.to {
                    Some(to) => format!("{name} up to {}", counted(to.ceil() as usize, "query", "queries")),
                    None => format!("{name} beyond"),
                }
            });
            notes.push(format!("The cheapest by the number of queries: {}.", parts.collect::<Vec<_>>().join(", ")));
        }
        notes.push(self.precomputed_note());
        for method in self.methods.iter().filter(|method| !method.last().reaches) {
            let last = method.last();
            notes.push(format!(
                "{} does not reach the recall: at best {:.4} ({:.4} to {:.4}) with {}.",
                method.name(),
                last.recall.mean,
                last.recall.low,
                last.recall.high,
                counted(last.docs, "doc", "docs")
            ));
        }
        for method in self.methods.iter().filter(|method| !method.fits) {
            notes.push(format!(
                "{} does not fit: {} of memory, {} are given.",
                method.name(),
                bytes(method.memory_bytes as u64),
                bytes(self.params.memory_bytes)
            ));
        }
        let unsure = |method: &&Method| method.last().reaches && method.last().recall.low < self.params.recall;
        let unsure: Vec<String> = self.methods.iter().filter(unsure).map(Method::name).collect();
        if !unsure.is_empty() {
            notes.push(format!(
                "Reached in the mean, but the band of {} lies below the target, too: with other queries it may be missed.",
                unsure.join(", ")
            ));
        }
        notes.push(self.measured_note());
        notes.extend(self.measurements.left_out.iter().cloned());
        notes
    }

    fn precomputed_note(&self) -> String {
        let scores = self.docs as f64 * self.distinct as f64;
        let needed = bytes((scores * 4.0) as u64);
        let all = format!(
            "All scores beforehand are {} × {} = {} scores, {needed} as float32",
            counted(self.docs, "doc", "docs"),
            counted(self.distinct, "query", "queries"),
            count(self.docs.saturating_mul(self.distinct))
        );
        match self.methods.iter().find(|method| method.is_precomputed()) {
            Some(method) => format!(
                "{all}, computed in {}; a look-up then takes {:.3} ms, not the same for any number of docs, since the \
                 nearest are chosen from a row of {} scores.",
                duration(method.cost.before),
                method.cost.per_query * 1e3,
                count(self.docs)
            ),
            None => format!("{all}; their time was not measured."),
        }
    }

    fn measured_note(&self) -> String {
        let facts = &self.measurements;
        let asking = match self.params.asking {
            Asking::OneByOne => "one after another on one thread".to_owned(),
            Asking::AtOnce => format!("all at once on {}", counted(self.threads, "thread", "threads")),
        };
        let beyond = match self.docs > facts.docs {
            true => format!(
                "; {} docs are beyond that, so their figures are extrapolated, and the recall is that of the most docs \
                 measured",
                count(self.docs)
            ),
            false => String::new(),
        };
        format!(
            "Measured here in {} on random samples of up to {} with {}, one build each, queries {asking}, building on \
             {}{beyond}. Every time is of a single build, so break-evens move from run to run as times do.",
            duration(facts.secs),
            counted(facts.docs, "doc", "docs"),
            counted(facts.queries, "query", "queries"),
            counted(self.threads, "thread", "threads")
        )
    }
}

/// What a method costs for `docs` docs and `distinct` different queries; `sampled`: queries it was measured with. `None`
/// of no point.
fn method(measured: Measured, params: &PlanParams, (docs, distinct, sampled): (usize, usize, usize)) -> Option<Method> {
    let Measured { family, points } = measured;
    let fitted = &points[points.len().saturating_sub(FITTED_SIZES)..];
    let pairs = |value: &dyn Fn(&Point) -> f64| -> Vec<(f64, f64)> {
        fitted.iter().map(|point| (point.docs as f64, value(point))).collect()
    };
    let against = |value: &dyn Fn(&Point) -> f64| Scaling::of(&pairs(value));
    let is_precomputed = family == "precomputed";
    let asked = docs as f64;
    let build = against(&|point| point.build_secs)?;
    let (one_by_one, at_once) = (against(&|point| point.one_by_one_secs)?, against(&|point| point.at_once_secs)?);
    let memory = Memory::of(&pairs(&|point| point.memory_bytes), &pairs(&|point| point.certain_bytes))?;
    let (before, memory_bytes) = match is_precomputed {
        // A score a pair: what was measured for some queries is as much more for more.
        true => (build.at(asked) * distinct as f64 / sampled as f64, asked * distinct as f64 * 4.0),
        false => (build.at(asked), memory.at(asked)),
    };
    let per_query = match params.asking {
        Asking::OneByOne => one_by_one.at(asked),
        Asking::AtOnce => at_once.at(asked),
    };
    let cost = Cost { before, per_query };
    let fits = memory_bytes <= params.memory_bytes as f64;
    Some(Method {
        family,
        points,
        build,
        one_by_one,
        at_once,
        memory,
        cost,
        memory_bytes,
        fits,
        pays_from: None,
        cheapest: None,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::judge::Mean;
    use super::*;

    /// A method whose figures grow linearly with the docs, measured with 10,000 and 20,000.
    pub fn measured(family: &str, recall: f64, (build, query, memory): (f64, f64, f64)) -> Measured {
        let point = |docs: usize| {
            let times = docs as f64 / 20_000.0;
            Point {
                docs,
                index: family.to_owned(),
                setting: String::new(),
                recall: Mean { mean: recall, low: recall, high: recall },
                reaches: recall >= 0.95,
                build_secs: build * times,
                one_by_one_secs: query * times,
                at_once_secs: query * times / 4.0,
                memory_bytes: memory * times,
                certain_bytes: 0.0,
            }
        };
        Measured { family: family.to_owned(), points: vec![point(10_000), point(20_000)] }
    }

    pub fn plan(params: &PlanParams, methods: Vec<Measured>) -> Plan {
        let shape = Shape { docs: 20_000, queries: 5000, dim: 100, top_k: 10, metric: "dot".to_owned() };
        let left_out = Vec::new();
        Plan::from_measurements(
            shape,
            params,
            Measurements { methods, left_out, docs: 20_000, queries: 100, secs: 1.0 },
        )
    }

    pub fn usual() -> Vec<Measured> {
        vec![
            measured("exact", 1.0, (0.0, 0.010, 8e6)),
            measured("hnsw", 0.97, (9.0, 0.001, 12e6)),
            measured("ivf-flat", 0.96, (2.0, 0.004, 8.2e6)),
            measured("ivf-pq", 0.70, (5.0, 0.0005, 1e6)),
            measured("precomputed", 1.0, (0.2, 0.0001, 8e6)),
        ]
    }

    fn of<'a>(plan: &'a Plan, family: &str) -> &'a Method {
        plan.methods.iter().find(|method| method.family == family).expect(family)
    }

    #[test]
    fn break_evens_memory_and_recall_are_those_computed_by_hand() {
        let plan_of = |params: PlanParams| plan(&params, usual());
        let plan = plan_of(PlanParams { memory_bytes: 100_000_000, ..PlanParams::default() });
        // 9 s paid back by 9 ms a query; 2 s by 6 ms.
        assert_eq!(of(&plan, "hnsw").pays_from, Some(1000.0));
        assert_eq!(of(&plan, "ivf-flat").pays_from, Some(334.0));
        // 0.2 s of 100 queries are 10 s of 5,000; 5,000 × 20,000 scores take 400 MB.
        let precomputed = of(&plan, "precomputed");
        assert!((precomputed.cost.before - 10.0).abs() < 1e-9 && precomputed.memory_bytes == 4e8);
        assert!(!precomputed.fits && !of(&plan, "ivf-pq").last().reaches);
        // Brute force up to 333.3, lists up to (9 − 2) s / 3 ms, then the graph.
        let found: Vec<_> =
            plan.envelope.iter().map(|part| (plan.methods[part.place].family.as_str(), part.to)).collect();
        assert_eq!(found.iter().map(|part| part.0).collect::<Vec<_>>(), ["exact", "ivf-flat", "hnsw"]);
        assert!((found[0].1.expect("an end") - 1000.0 / 3.0).abs() < 1e-6);
        assert!((found[1].1.expect("an end") - 7000.0 / 3.0).abs() < 1e-6);
        assert_eq!(plan.best().map(|best| best.family.as_str()), Some("hnsw"));
        let told = plan.notes().join("\n");
        for words in [
            "hnsw: 14 s in all, 9.0 s of it before the first query, against 50 s",
            "it pays from 1,000 queries on",
            "precomputed does not fit: 400 MB of memory, 100 MB are given",
            "ivf-pq does not reach the recall: at best 0.7000",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
        // With few different queries it fits, and wins: 0.02 s beforehand.
        let few = PlanParams { memory_bytes: 100_000_000, distinct: Some(10), ..PlanParams::default() };
        assert_eq!(plan_of(few).best().map(|best| best.family.clone()), Some("precomputed".to_owned()));
    }

    #[test]
    fn more_docs_than_measured_are_extrapolated_and_told_so() {
        let params = PlanParams { docs: Some(200_000), memory_bytes: 100_000_000, ..PlanParams::default() };
        let plan = plan(&params, usual());
        let hnsw = of(&plan, "hnsw");
        assert!((hnsw.cost.before - 90.0).abs() < 1e-6 && (hnsw.cost.per_query - 0.01).abs() < 1e-9, "{hnsw:?}");
        assert!((hnsw.memory_bytes - 120e6).abs() < 1.0 && !hnsw.fits);
        assert_eq!(plan.best().map(|best| best.family.as_str()), Some("ivf-flat"));
        assert!(plan.notes().join("\n").contains("200,000 docs are beyond that, so their figures are extrapolated"));
        assert!(plan.notes().join("\n").contains("hnsw does not fit: 120 MB of memory, 100 MB are given"));
    }

    #[test]
    fn all_at_once_and_nothing_that_fits() {
        let params = PlanParams { asking: Asking::AtOnce, ..PlanParams::default() };
        assert_eq!(of(&plan(&params, usual()), "hnsw").pays_from, Some(4000.0));
        let nothing = plan(&PlanParams { memory_bytes: 1000, ..PlanParams::default() }, usual());
        assert!(nothing.best().is_none() && nothing.envelope.is_empty());
        assert!(nothing.notes()[0].starts_with("No method reaches recall@10 ≥ 0.95 within 1.00 kB of memory"));
    }

    #[test]
    fn parameters_out_of_range_are_refused() {
        let base = PlanParams::default();
        for (params, told) in [
            (PlanParams { recall: 1.5, ..base.clone() }, "recall: expected a number above 0"),
            (PlanParams { recall: f64::NAN, ..base.clone() }, "recall"),
            (PlanParams { budget_secs: 0.0, ..base.clone() }, "budget-secs"),
            (PlanParams { docs: Some(0), ..base.clone() }, "for-docs"),
            (PlanParams { memory_bytes: 0, ..base.clone() }, "for-memory"),
            (PlanParams { indexes: vec!["hnws".into()], ..base.clone() }, "a family"),
            (PlanParams { indexes: vec!["exact".into(), "exact".into()], ..base.clone() }, "every index once"),
            (PlanParams { indexes: vec!["a.faiss".into()], ..base.clone() }, "built already"),
        ] {
            let error = params.validate(8).expect_err(told).to_string();
            assert!(error.contains(told), "{error}");
        }
        base.validate(8).expect("the default is valid");
    }
}
