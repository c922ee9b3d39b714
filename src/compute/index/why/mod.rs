//! Why neighbours were missed: every exact neighbour that a run lost gets exactly one reason.
//!
//! The index of the run is built again and asked more and more: with all its cells, with everything re-ranked, with wider
//! searches of its graph, its tables or its trees. What loses a neighbour first on the way from the exact answer to the
//! run is its reason, so quantisation comes before cells: a neighbour that its code loses among all cells is lost by
//! its code, even if its cell was not probed either ([`Why::also_unprobed`] counts these).

mod measure;
mod rounding;

use std::fs;

use serde::{Deserialize, Serialize};

use super::NONE;
use super::candidate::Setting;
use super::judge::{self, CONFIDENCE, Judged, Mean};
use super::neighbours::Found;
use super::session::{Lab, Options, Run};
use super::words::Words;
use crate::compute::atomic_file::write_atomically;
use crate::compute::error::{Error, Result};
use crate::compute::figures::count;
use crate::compute::vectors::{FNV_START, fnv1a};
use crate::job::Monitor;

/// Of the form in which results are kept.
const VERSION: u32 = 2;
/// Folder of the session in which they are kept.
const STUDIES_NAME: &str = "studies";

/// Why a neighbour was missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// Its code is nearer to others' than it is: among all codes it is not found.
    Quantisation,
    /// Float32 cannot tell it from those that were found instead.
    Rounding,
    /// No link of the graph leads to it from where the search begins.
    Unreachable,
    /// It lies in a cell that was not probed.
    CellNotProbed,
    /// The search of the graph stopped before it came there.
    NotReached,
    /// Its hashes are not those of the query.
    HashMismatch,
    /// It lies in leaves of the trees that were not visited.
    LeafNotVisited,
    /// The index does not hold it.
    NotIndexed,
    /// Its place was given to a doc that was there already.
    Duplicate,
    /// The index, built once more, finds it.
    BuiltAgain,
    /// The index cannot tell.
    Untold,
}

impl Reason {
    pub const ALL: [Self; 11] = [
        Self::Quantisation,
        Self::Rounding,
        Self::Unreachable,
        Self::CellNotProbed,
        Self::NotReached,
        Self::HashMismatch,
        Self::LeafNotVisited,
        Self::NotIndexed,
        Self::Duplicate,
        Self::BuiltAgain,
        Self::Untold,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Quantisation => "quantisation",
            Self::Rounding => "float32 rounding",
            Self::Unreachable => "unreachable",
            Self::CellNotProbed => "cell not probed",
            Self::NotReached => "graph not reached",
            Self::HashMismatch => "hash mismatch",
            Self::LeafNotVisited => "leaf not visited",
            Self::NotIndexed => "not in the index",
            Self::Duplicate => "duplicate",
            Self::BuiltAgain => "found when built again",
            Self::Untold => "cannot be told",
        }
    }
}

/// A search parameter that finds more when it is raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Knob {
    Cells,
    Reranked,
    Graph,
    Hashes,
    Trees,
}

impl Knob {
    /// As settings call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cells => "nprobe",
            Self::Reranked => "k_factor_rf",
            Self::Graph => "efSearch",
            Self::Hashes => "probes",
            Self::Trees => "search_k",
        }
    }

    /// Its value in a setting.
    fn of(self, setting: &Setting) -> Option<u64> {
        setting.0.iter().find(|(name, _)| name == self.name()).map(|(_, value)| *value)
    }
}

/// A lost neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// Among the exact neighbours, from 0.
    pub rank: u32,
    pub doc: u32,
    pub reason: Reason,
    /// The smallest value of the parameter with which it was found: exact for cells and hashes, of those tried (each twice
    /// the one before) for the others. `None` where no value finds it, or none was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs: Option<(Knob, u64)>,
    /// Hashes in which it differs from the query, in the table in which these are fewest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hashes_apart: Option<u32>,
}

/// What was measured, in whole numbers, so that what is kept gives the same figures again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Measured {
    /// Of the run, the exact answer and this form.
    key: String,
    /// A list a query.
    losses: Vec<Vec<Loss>>,
    /// On the way from the exact answer to the run, which is the last.
    stages: Vec<StageLost>,
    /// Ids of the run that building and searching again did not give at their place; `None` if it was not built again.
    differing: Option<u64>,
    also_unprobed: u64,
    cells: usize,
    untold: Option<String>,
}

/// A stage with what it loses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct StageLost {
    name: String,
    /// Why neighbours are lost at it.
    reason: Reason,
    /// Docs, a list a query.
    lost: Vec<Vec<u32>>,
}

/// A stage on the way from the exact answer to the run.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    pub name: String,
    pub recall: Mean,
    /// What was lost at this stage, as shares of all exact neighbours, by reason.
    pub lost: Vec<(Reason, Mean)>,
    /// Share of all exact neighbours that the stage before had lost and this one finds.
    pub regained: Mean,
}

/// How many neighbours were lost for a reason.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Total {
    pub reason: Reason,
    pub count: usize,
    /// Share of all exact neighbours, with its band.
    pub share: Mean,
}

/// What a run lost, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Why {
    /// The run, with its setting and, unless it is the first, its build.
    pub title: String,
    pub k: usize,
    /// A list a query, by rank.
    pub losses: Vec<Vec<Loss>>,
    /// Reasons that occur, the most frequent first.
    pub totals: Vec<Total>,
    /// From the exact answer, where nothing is lost, to the run.
    pub stages: Vec<Stage>,
    /// Found docs of every query that are right because their score ties with the k-th exact one.
    pub ties: Vec<u32>,
    /// Places that the run gave to docs that were there already.
    pub duplicates: u64,
    /// Neighbours lost by quantisation whose cell was not probed either.
    pub also_unprobed: u64,
    /// Cells of the index, 0 without any.
    pub cells: usize,
    /// Ids of the run that building and searching again did not give at their place; `None` if it was not built again.
    pub differing: Option<u64>,
    /// Why some reasons cannot be told.
    pub untold: Option<String>,
    /// The query that was asked about.
    pub of_query: Option<OneQuery>,
}

/// What one query lost.
#[derive(Debug, Clone, PartialEq)]
pub struct OneQuery {
    pub query: usize,
    /// Its text, where texts lie beside the vectors.
    pub text: Option<String>,
    /// A line a lost neighbour, in the order of [`Why::losses`]: its exact score and its text.
    pub docs: Vec<(f64, Option<String>)>,
}

impl Why {
    pub fn queries(&self) -> usize {
        self.losses.len()
    }

    /// Lost neighbours in all.
    pub fn lost(&self) -> usize {
        self.losses.iter().map(Vec::len).sum()
    }

    /// Recall@k of the run.
    pub fn recall(&self) -> Mean {
        self.stages.last().map_or(Mean { mean: 1.0, low: 1.0, high: 1.0 }, |stage| stage.recall)
    }

    /// Neighbours of a query that were lost for a reason.
    pub fn count_of(&self, query: usize, reason: Reason) -> usize {
        self.losses[query].iter().filter(|loss| loss.reason == reason).count()
    }

    /// For every rank how many queries lost its neighbour for `reason`.
    pub fn by_rank(&self, reason: Reason) -> Vec<u32> {
        let mut counts = vec![0; self.k];
        for loss in self.losses.iter().flatten().filter(|loss| loss.reason == reason) {
            counts[loss.rank as usize] += 1;
        }
        counts
    }

    /// Queries that lost something, those that lost most first.
    pub fn worst_first(&self) -> Vec<usize> {
        let mut queries: Vec<usize> = (0..self.queries()).filter(|&query| !self.losses[query].is_empty()).collect();
        queries.sort_by_key(|&query| (usize::MAX - self.losses[query].len(), query));
        queries
    }

    /// Values of a parameter that find the lost neighbours of a reason, ascending: one for each neighbour that has one.
    pub fn needed(&self, reason: Reason, knob: Knob) -> Vec<u64> {
        let losses = self.losses.iter().flatten().filter(|loss| loss.reason == reason);
        let mut values: Vec<u64> =
            losses.filter_map(|loss| loss.needs.filter(|needs| needs.0 == knob)).map(|needs| needs.1).collect();
        values.sort_unstable();
        values
    }

    fn of(lab: &Lab, run: &Run, measured: Measured) -> Self {
        let k = run.judged.k;
        // The mean share of the k neighbours of a query, from their number, query by query.
        let share = |counts: Vec<usize>| {
            judge::mean(&counts.into_iter().map(|count| count as f64 / k as f64).collect::<Vec<_>>())
        };
        let Measured { losses, stages, differing, also_unprobed, cells, untold, .. } = measured;
        let of_reason = |losses: &Vec<Loss>, reason| losses.iter().filter(|loss| loss.reason == reason).count();
        let mut totals: Vec<Total> = Reason::ALL
            .into_iter()
            .map(|reason| Total {
                reason,
                count: losses.iter().map(|losses| of_reason(losses, reason)).sum(),
                share: share(losses.iter().map(|losses| of_reason(losses, reason)).collect()),
            })
            .filter(|total| total.count > 0)
            .collect();
        totals.sort_by_key(|total| usize::MAX - total.count);
        let nothing: Vec<Vec<u32>> = vec![Vec::new(); losses.len()];
        let stages = (0..stages.len())
            .map(|place| {
                let before = if place == 0 { &nothing } else { &stages[place - 1].lost };
                let stage = &stages[place];
                // Whatever stays lost until the run has the reason that it has there.
                let stays =
                    |query: usize, doc: &u32| stages[place..].iter().all(|stage| stage.lost[query].contains(doc));
                let reasons: Vec<Vec<Reason>> = (0..losses.len())
                    .map(|query| {
                        let new = stage.lost[query].iter().filter(|doc| !before[query].contains(doc));
                        new.map(|doc| {
                            let told = losses[query].iter().find(|loss| loss.doc == *doc && stays(query, doc));
                            told.map_or(stage.reason, |loss| loss.reason)
                        })
                        .collect()
                    })
                    .collect();
                let lost = Reason::ALL.into_iter().filter(|reason| reasons.iter().flatten().any(|own| own == reason));
                let lost = lost.map(|reason| {
                    let count = |own: &Vec<Reason>| own.iter().filter(|own| **own == reason).count();
                    (reason, share(reasons.iter().map(count).collect()))
                });
                let regained = (0..losses.len())
                    .map(|query| before[query].iter().filter(|doc| !stage.lost[query].contains(doc)).count());
                let found: Vec<f64> = stage.lost.iter().map(|lost| (k - lost.len()) as f64 / k as f64).collect();
                Stage {
                    name: stage.name.clone(),
                    recall: judge::mean(&found),
                    lost: lost.collect(),
                    regained: share(regained.collect()),
                }
            })
            .collect();
        Self {
            title: match run.info.build {
                0 => run.info.title(),
                build => format!("{} build {build}", run.info.title()),
            },
            k,
            ties: (0..losses.len()).map(|query| ties_of(lab, run, query)).collect(),
            duplicates: run.judged.duplicates,
            losses,
            totals,
            stages,
            also_unprobed,
            cells,
            differing,
            untold,
            of_query: None,
        }
    }
}

/// Found docs of a query that are right without being among its exact neighbours by id.
fn ties_of(lab: &Lab, run: &Run, query: usize) -> u32 {
    let k = run.judged.k;
    let (exact, found) = (&lab.truth.ids_of(query)[..k], &run.judged.ids[query * k..(query + 1) * k]);
    let same = found.iter().filter(|id| **id != NONE && exact.contains(id)).count();
    let right = (run.judged.recall_of(query, k) * k as f64).round() as usize;
    right.saturating_sub(same) as u32
}

/// What is asked of the study.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WhyParams {
    /// Tell of this query alone, a row of the queries' file; of all without.
    pub query: Option<usize>,
}

impl WhyParams {
    fn check(&self, lab: &Lab) -> Result<()> {
        let queries = lab.arena.num_queries;
        match self.query {
            Some(query) if query >= queries => Err(Error::Parameter {
                name: "query",
                expected: format!("0 to {}, a query of the session", count(queries - 1)),
                found: count(query),
            }),
            _ => Ok(()),
        }
    }
}

/// Tells why `run`, one of the session, lost what it lost. What was measured is kept in the session's folder, so that asking
/// again takes no time, until the run is another one.
///
/// # Errors
/// A query that is not there; an index file that was changed since; what the child could not do; cancelled.
pub fn run(lab: &Lab, run: &Run, params: &WhyParams, options: &Options, monitor: &Monitor) -> Result<Why> {
    params.check(lab)?;
    let key = key_of(lab, run);
    let path = lab.folder().join(STUDIES_NAME).join(format!("why-{}.json", run.info.file_name()));
    let measured = match read_kept(&path, &key, lab, run) {
        Some(measured) => measured,
        None => {
            let measured = measure::measure(lab, run, key, options, monitor)?;
            keep(&path, &measured);
            measured
        }
    };
    let mut why = Why::of(lab, run, measured);
    if let Some(query) = params.query {
        why.of_query = Some(one_query(lab, &why, query, monitor)?);
    }
    Ok(why)
}

fn one_query(lab: &Lab, why: &Why, query: usize, monitor: &Monitor) -> Result<OneQuery> {
    let said = |words: &mut Words, row: u32| Some(words.of(row)).filter(|text| !text.is_empty());
    let text = said(&mut Words::beside(lab.arena.queries.path(), monitor)?, query as u32);
    let mut words = Words::beside(lab.arena.docs.path(), monitor)?;
    let of = |loss: &Loss| (lab.arena.score(query, loss.doc), said(&mut words, loss.doc));
    let docs = why.losses[query].iter().map(of).collect();
    Ok(OneQuery { query, text, docs })
}

/// What results are valid for.
fn key_of(lab: &Lab, run: &Run) -> String {
    let info = serde_json::to_string(&run.info).unwrap_or_default();
    let numbers = |hash: u64, ids: &[u32]| ids.iter().fold(hash, |hash, id| fnv1a(hash, &id.to_le_bytes()));
    let hash = fnv1a(FNV_START, format!("{VERSION}\n{CONFIDENCE}\n{}\n{info}", run.judged.k).as_bytes());
    format!("{:016x}", numbers(numbers(hash, &run.found.ids), &lab.truth.ids))
}

/// What was kept, if it is of this run and whole.
fn read_kept(path: &std::path::Path, key: &str, lab: &Lab, run: &Run) -> Option<Measured> {
    let measured: Measured = serde_json::from_str(&fs::read_to_string(path).ok()?).ok()?;
    let queries = run.judged.queries();
    let is_whole = measured.key == key
        && measured.losses.len() == queries
        && !measured.stages.is_empty()
        && measured.stages.iter().all(|stage| stage.lost.len() == queries);
    let is_same = |query: usize| {
        let kept = measured.losses[query].iter().map(|loss| (loss.rank as usize, loss.doc));
        kept.eq(run.judged.lost_of(&lab.truth, query))
    };
    (is_whole && (0..queries).all(is_same)).then_some(measured)
}

/// Keeps what was measured. A session that cannot be written is looked at all the same, only slower the next time.
fn keep(path: &std::path::Path, measured: &Measured) {
    if let (Some(folder), Ok(text)) = (path.parent(), serde_json::to_string(measured)) {
        fs::create_dir_all(folder).ok();
        write_atomically(path, text.as_bytes()).ok();
    }
}

/// Docs that `ids`, k for each query, lose of the exact neighbours: a list a query.
fn lost_of(lab: &Lab, k: usize, ids: &[u32]) -> Vec<Vec<u32>> {
    let found = Found { k, ids: ids.to_vec(), latencies: None };
    let judged = Judged::of(&lab.arena, &lab.truth, &found);
    let docs = |query| judged.lost_of(&lab.truth, query).into_iter().map(|(_, doc)| doc).collect();
    (0..judged.queries()).map(docs).collect()
}
