//! Serving an index, simulated on real data: a large main index beside a small exact one of fresh docs, shards by hash and
//! by cluster, replicas.
//!
//! What can be run is run: every part is built over its docs in a child process ([`super::subset`]), asked the queries, and
//! what is merged is judged like any contestant. Only what needs more machines than one is computed from what was
//! measured: parts that answer at the same time, and queries that wait ([`queueing`]).

pub mod balance;
pub mod queueing;
mod schemes;

use std::path::{Path, PathBuf};

use serde::Serialize;

use self::balance::Balance;
use self::queueing::{Fleet, Response, Router};
use super::candidate::{Candidate, Setting};
use super::judge::{Judged, Mean, percentile};
use super::neighbours::Found;
use super::redis::address::without_login;
use super::session::Lab;
use super::subset::{Lists, Part, Runner, Scratch};
use crate::compute::error::{Error, Result};
use crate::compute::figures::count;
use crate::job::Monitor;

/// A way of serving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Scheme {
    /// A main index, and an exact one of the docs that came since it was built.
    Dual,
    /// Docs spread by a hash over shards; all are asked.
    Hash,
    /// Docs spread by cluster over shards; the nearest are asked.
    Cluster,
    /// Copies of the index.
    Replicas,
}

impl Scheme {
    pub const ALL: [Self; 4] = [Self::Dual, Self::Hash, Self::Cluster, Self::Replicas];

    pub fn name(self) -> &'static str {
        match self {
            Self::Dual => "dual",
            Self::Hash => "hash",
            Self::Cluster => "cluster",
            Self::Replicas => "replicas",
        }
    }
}

impl std::str::FromStr for Scheme {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.name() == text).ok_or_else(|| Error::Parameter {
            name: "scheme",
            expected: "dual, hash, cluster or replicas".to_owned(),
            found: format!("{text:?}"),
        })
    }
}

/// What is simulated.
#[derive(Debug, Clone, PartialEq)]
pub struct ServingParams {
    /// The index of every part, with one value of each search parameter.
    pub index: String,
    pub schemes: Vec<Scheme>,
    /// Shares of fresh docs, 0 to below 1.
    pub fresh: Vec<f64>,
    /// Shards at most, ≥ 1; by hash 2, 4, 8, … up to them are tried.
    pub shards: usize,
    /// Cells that are put into shards, at least as many as there are shards; one a shard without.
    pub cells: Option<usize>,
    /// Copies, ≥ 1.
    pub replicas: usize,
    /// Shares of the time that threads are busy, above 0 and below 1.
    pub utilisations: Vec<f64>,
    /// The first queries, at most.
    pub queries: usize,
    /// Memory that a part may take, in bytes.
    pub memory_bytes: u64,
    /// Draws the fresh docs, the hash, the cells, and when queries arrive.
    pub seed: u64,
    /// Folder in which parts are built for a while; the system's without.
    pub scratch: Option<PathBuf>,
}

impl Default for ServingParams {
    fn default() -> Self {
        Self {
            index: if cfg!(feature = "faiss") { "hnsw:M=16:efSearch=64" } else { "annoy:trees=20" }.to_owned(),
            schemes: Scheme::ALL.to_vec(),
            fresh: vec![0.01, 0.02, 0.05, 0.1, 0.2],
            shards: 8,
            cells: None,
            replicas: 4,
            utilisations: vec![0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95],
            queries: 1000,
            memory_bytes: 4_000_000_000,
            seed: 42,
            scratch: None,
        }
    }
}

/// Shards and replicas, at most.
const MOST_PARTS: usize = 1024;

impl ServingParams {
    /// The candidate and its setting, for docs of `dim`.
    ///
    /// # Errors
    /// An index that cannot be; a number out of its range.
    pub fn validate(&self, dim: usize, num_docs: usize) -> Result<(Candidate, Setting)> {
        let wrong = |name, expected: String, found: String| Err(Error::Parameter { name, expected, found });
        let candidate = Candidate::parse(&self.index, dim)?;
        let mut settings = candidate.settings();
        if settings.len() > 1 {
            let expected = "one value of every search parameter".to_owned();
            return wrong(
                "index",
                expected,
                format!("{} combinations in {}", count(settings.len()), without_login(&self.index)),
            );
        }
        if let Some(file) = candidate.file() {
            let expected = "a family: a file is built already, of all docs".to_owned();
            return wrong("index", expected, file.display().to_string());
        }
        if self.schemes.is_empty() {
            return wrong("scheme", "dual, hash, cluster or replicas".to_owned(), "none".to_owned());
        }
        if let Some(share) = self.fresh.iter().find(|share| !(0.0..1.0).contains(*share)) {
            return wrong("fresh", "shares from 0 to below 1 (100 %)".to_owned(), share.to_string());
        }
        if let Some(busy) = self.utilisations.iter().find(|busy| !(**busy > 0.0 && **busy < 1.0)) {
            return wrong("utilisation", "shares above 0 and below 1".to_owned(), busy.to_string());
        }
        let most = MOST_PARTS.min(num_docs);
        for (name, value) in [("shards", self.shards), ("replicas", self.replicas)] {
            if !(1..=most).contains(&value) {
                return wrong(name, format!("a whole number from 1 to {}", count(most)), count(value));
            }
        }
        if let Some(cells) = self.cells.filter(|cells| !(self.shards..=num_docs).contains(cells)) {
            let expected = format!("a whole number from {} to {}: shards to docs", count(self.shards), count(num_docs));
            return wrong("cells", expected, count(cells));
        }
        if self.queries == 0 {
            return wrong("queries", "1 at least".to_owned(), "0".to_owned());
        }
        let setting = settings.pop().unwrap_or_default();
        Ok((candidate, setting))
    }
}

/// A way of serving with a number: a line of the report.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// `None`: one index of all docs.
    pub scheme: Option<Scheme>,
    /// Docs that are fresh, shards, shards that a query asks, or replicas.
    pub step: usize,
    /// Docs in the fresh index, shards in all, shards in all, replicas: what `step` is a part of.
    pub of: usize,
    pub recall: Mean,
    /// How much farther found scores are than exact ones, in the mean, in score units.
    pub gap: f64,
    /// Without the fresh index.
    pub recall_without: Option<Mean>,
    /// Seconds of a query whose parts are asked at the same time, merging included: median and 99th percentile.
    pub latency_secs: [f64; 2],
    /// Seconds that all parts of a query take together, merging included, in the mean.
    pub work_secs: f64,
    /// Of it, merging.
    pub merge_secs: f64,
    /// Training and building, of all parts.
    pub build_secs: f64,
    /// Of all parts.
    pub memory_bytes: u64,
    /// Queries a second of all machines: all threads of each.
    pub qps: Option<f64>,
    /// Docs, and queries, over the shards.
    pub docs_balance: Option<Balance>,
    pub load_balance: Option<Balance>,
    /// Queries that lost something, those that lost most first.
    pub losing: Vec<u32>,
}

/// Waiting at a utilisation.
#[derive(Debug, Clone, PartialEq)]
pub struct Queue {
    pub replicas: usize,
    pub router: Router,
    pub responses: Vec<Response>,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Serving {
    pub params: ServingParams,
    /// The candidate with its setting.
    pub index: String,
    /// Whether it compares codes.
    pub has_codes: bool,
    pub docs: usize,
    pub queries: usize,
    pub top_k: usize,
    pub dim: usize,
    pub metric: String,
    pub threads: usize,
    /// One index of all docs.
    pub whole: Row,
    /// By scheme, then by step.
    pub rows: Vec<Row>,
    pub queues: Vec<Queue>,
    /// How much longer a query takes while all threads are busy than while one is.
    pub slowdown: f64,
}

impl Serving {
    pub fn of(&self, scheme: Scheme) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.scheme == Some(scheme))
    }
}

/// Runs the schemes on the docs and queries of a session.
///
/// # Errors
/// Parameters out of their ranges; an index that cannot be built over a part; cancelled.
pub fn run(lab: &Lab, params: &ServingParams, program: &Path, monitor: &Monitor) -> Result<Serving> {
    let (candidate, setting) = params.validate(lab.arena.dim(), lab.arena.num_docs)?;
    let scratch = Scratch::new(params.scratch.as_deref())?;
    let queries = params.queries.min(lab.arena.num_queries);
    let runner = Runner {
        arena: &lab.arena,
        queries,
        threads: rayon::current_num_threads(),
        memory_bytes: params.memory_bytes,
        program,
        scratch: &scratch,
    };
    let stage = Stage { lab, params, runner: &runner, candidate: &candidate, setting: &setting, monitor };
    let whole_part = stage.search(None)?;
    let whole = stage.row(None, (1, 1), &[&whole_part], &whole_part.lists.found(), 0.0);
    let mut rows = Vec::new();
    let has = |scheme| params.schemes.contains(&scheme);
    if has(Scheme::Dual) {
        rows.extend(stage.dual()?);
    }
    if has(Scheme::Hash) {
        rows.extend(stage.by_hash(&whole)?);
    }
    if has(Scheme::Cluster) {
        rows.extend(stage.by_cluster()?);
    }
    let slowdown = slowdown(&whole_part);
    let mut queues = Vec::new();
    if has(Scheme::Replicas) {
        rows.extend(copies(params.replicas).into_iter().map(|replicas| replicated(&whole, replicas)));
        queues = stage.queues(&whole_part, slowdown)?;
    }
    let arena = &lab.arena;
    let title = format!("{} {setting}", candidate.name);
    Ok(Serving {
        params: params.clone(),
        index: title.trim_end().to_owned(),
        has_codes: candidate.has_codes(),
        docs: arena.num_docs,
        queries,
        top_k: arena.top_k,
        dim: arena.dim(),
        metric: arena.metric.name().to_owned(),
        threads: runner.threads,
        whole,
        rows,
        queues,
        slowdown,
    })
}

/// 1, 2, 4, … and `most`.
fn copies(most: usize) -> Vec<usize> {
    let mut copies: Vec<usize> = (0..).map(|power| 1 << power).take_while(|copies| *copies < most).collect();
    copies.push(most);
    copies
}

/// Copies of one index, each on a machine like this one.
fn replicated(whole: &Row, replicas: usize) -> Row {
    Row {
        scheme: Some(Scheme::Replicas),
        step: replicas,
        of: replicas,
        memory_bytes: whole.memory_bytes * replicas as u64,
        build_secs: whole.build_secs * replicas as f64,
        qps: whole.qps.map(|qps| qps * replicas as f64),
        ..whole.clone()
    }
}

/// Threads share caches and memory: what a query takes while all are busy, over what it takes alone; 1 at least, since
/// what many queries asked at once save by it is not theirs when each comes alone.
fn slowdown(part: &Part) -> f64 {
    // No more threads have work than there are queries.
    let threads = part.searched.threads.clamp(1, part.latencies.len().max(1)) as f64;
    (part.searched.all_threads_secs * threads / part.searched.one_thread_secs.max(1e-12)).max(1.0)
}

/// What all schemes need.
struct Stage<'a> {
    lab: &'a Lab,
    params: &'a ServingParams,
    runner: &'a Runner<'a>,
    candidate: &'a Candidate,
    setting: &'a Setting,
    monitor: &'a Monitor,
}

impl Stage<'_> {
    fn search(&self, rows: Option<&[u32]>) -> Result<Part> {
        self.runner.search(rows, (self.candidate, self.setting), self.monitor)
    }

    fn judged(&self, found: &Found) -> Judged {
        Judged::of(&self.lab.arena, &self.lab.truth, found)
    }

    /// A row whose queries ask all of `parts`.
    fn row(
        &self,
        scheme: Option<Scheme>,
        (step, of): (usize, usize),
        parts: &[&Part],
        merged: &Found,
        merge_secs: f64,
    ) -> Row {
        self.row_of(scheme, (step, of), (parts, &|_| (0..parts.len()).collect()), merged, merge_secs)
    }

    /// A row whose queries ask the parts that `asked` names.
    fn row_of(
        &self,
        scheme: Option<Scheme>,
        (step, of): (usize, usize),
        (parts, asked): (&[&Part], &dyn Fn(usize) -> Vec<usize>),
        merged: &Found,
        merge_secs: f64,
    ) -> Row {
        let judged = self.judged(merged);
        let queries = merged.queries();
        let mut slowest = Vec::with_capacity(queries);
        let mut work = 0.0;
        for query in 0..queries {
            let secs = |part: usize| f64::from(parts[part].latencies.get(query).copied().unwrap_or(0.0));
            let asked = asked(query);
            let (all, most) =
                asked.iter().fold((0.0f64, 0.0f64), |(all, most), &part| (all + secs(part), most.max(secs(part))));
            work += all + merge_secs;
            slowest.push((most + merge_secs) as f32);
        }
        slowest.sort_by(f32::total_cmp);
        let at = |share| f64::from(percentile(&slowest, share));
        let mut losing: Vec<(usize, u32)> = (0..queries)
            .map(|query| (judged.lost_of(&self.lab.truth, query).len(), query as u32))
            .filter(|(lost, _)| *lost > 0)
            .collect();
        losing.sort_by(|left, right| right.0.cmp(&left.0).then(left.1.cmp(&right.1)));
        let one = (parts.len() == 1).then(|| parts[0].searched.all_threads_secs).filter(|secs| *secs > 0.0);
        Row {
            scheme,
            step,
            of,
            recall: judged.recall(judged.k),
            gap: judged.gaps(&self.lab.truth).mean,
            recall_without: None,
            latency_secs: [at(0.5), at(0.99)],
            work_secs: work / queries.max(1) as f64,
            merge_secs,
            build_secs: parts.iter().map(|part| part.built.train_secs + part.built.build_secs).sum(),
            memory_bytes: parts.iter().map(|part| part.built.memory_bytes + part.docs_bytes).sum(),
            qps: one.map(|secs| queries as f64 / secs),
            docs_balance: None,
            load_balance: None,
            losing: losing.into_iter().map(|(_, query)| query).collect(),
        }
    }

    /// Waiting with one replica, and with all of them by either router.
    fn queues(&self, whole: &Part, slowdown: f64) -> Result<Vec<Queue>> {
        let service: Vec<f32> = whole.latencies.iter().map(|secs| (f64::from(*secs) * slowdown) as f32).collect();
        let mut kinds = vec![(1, Router::Soonest)];
        if self.params.replicas > 1 {
            kinds.extend([(self.params.replicas, Router::Random), (self.params.replicas, Router::Soonest)]);
        }
        let total = (kinds.len() * self.params.utilisations.len()) as u64;
        self.monitor.begin("letting queries wait", "simulations", total);
        let mut queues = Vec::new();
        for (replicas, router) in kinds {
            let fleet = Fleet { replicas, threads: self.runner.threads, router, service_secs: &service };
            let mut responses = Vec::new();
            for &utilisation in &self.params.utilisations {
                responses.push(fleet.simulate(utilisation, self.params.seed, self.monitor)?);
                self.monitor.advance(1)?;
            }
            queues.push(Queue { replicas, router, responses });
        }
        Ok(queues)
    }
}

impl Lists {
    /// As an answer of its own.
    fn found(&self) -> Found {
        Found { k: self.k, ids: self.ids.clone(), latencies: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_double() {
        assert_eq!([1, 2, 4, 6].map(copies), [vec![1], vec![1, 2], vec![1, 2, 4], vec![1, 2, 4, 6]]);
    }

    #[test]
    fn schemes_are_known_by_their_names() {
        for scheme in Scheme::ALL {
            assert_eq!(scheme.name().parse::<Scheme>().expect("known"), scheme);
        }
        assert!("sharded".parse::<Scheme>().is_err());
    }
}
