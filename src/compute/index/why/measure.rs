//! Asks the index of a run more and more, until every lost neighbour has its reason.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::rounding::is_rounding;
use super::{Knob, Loss, Measured, Reason, StageLost, lost_of};
use crate::compute::error::{Error, Result};
use crate::compute::figures::count;
use crate::compute::index::candidate::{Candidate, Engine, Setting};
use crate::compute::index::inquiry::Inquiry;
use crate::compute::index::session::{Lab, Options, Run};
use crate::compute::index::{NONE, Traits, redis};
use crate::job::Monitor;

/// Numbers that are asked for at once.
const NUMBERS_AT_ONCE: usize = 4 << 20;
/// Pairs whose hashes are asked for at once.
const PAIRS_AT_ONCE: usize = 50_000;
/// FAISS's own efSearch, where a run does not name one.
const USUAL_EF: u64 = 16;

/// How an index loses neighbours.
enum Kind {
    /// It compares whole vectors with all docs.
    Whole,
    /// It compares codes of all docs.
    Codes,
    /// FAISS's LSH: codes of all docs, which are hashes.
    Hash,
    Cells,
    Graph,
    Tables,
    Trees,
    /// A vector set of Redis: a graph over codes, which it can leave out.
    Served,
    /// It cannot be asked for more; why.
    Closed(String),
}

/// A neighbour whose reason is looked for.
struct Open {
    rank: u32,
    doc: u32,
    reason: Option<Reason>,
    needs: Option<(Knob, u64)>,
    hashes_apart: Option<u32>,
}

struct Measuring<'a> {
    lab: &'a Lab,
    run: &'a Run,
    inquiry: Inquiry<'a>,
    k: usize,
    own: Setting,
    open: Vec<Vec<Open>>,
    stages: Vec<StageLost>,
    also_unprobed: u64,
    untold: Option<String>,
    /// An index file that gives docs ids of its own, so that its labels do not tell which doc is meant.
    maps_ids: bool,
}

/// Measures why `run` lost what it lost.
///
/// # Errors
/// As [`super::run`].
pub(super) fn measure(lab: &Lab, run: &Run, key: String, options: &Options, monitor: &Monitor) -> Result<Measured> {
    let lost: Vec<Vec<(usize, u32)>> =
        (0..run.judged.queries()).map(|query| run.judged.lost_of(&lab.truth, query)).collect();
    let docs = lost.iter().map(|lost| lost.iter().map(|(_, doc)| *doc).collect()).collect();
    let mut open: Vec<Vec<Open>> = lost
        .iter()
        .map(|lost| {
            let of = |&(rank, doc): &(usize, u32)| Open {
                rank: rank as u32,
                doc,
                reason: None,
                needs: None,
                hashes_apart: None,
            };
            lost.iter().map(of).collect()
        })
        .collect();
    charge_duplicates(run, &mut open);
    let as_run = |reason| {
        let setting = run.info.setting.to_string();
        let name = if setting.is_empty() { "as it was run".to_owned() } else { format!("as it was run, {setting}") };
        StageLost { name, reason, lost: docs }
    };
    let is_lost = lost.iter().any(|lost| !lost.is_empty());
    if run.info.built.is_none() || !is_lost {
        let untold = is_lost.then(|| {
            format!("{} is a file of neighbours: it holds ids, and nothing of how they were found.", run.info.candidate)
        });
        let stages = vec![as_run(Reason::Untold)];
        let losses = closed(open);
        return Ok(Measured { key, losses, stages, differing: None, also_unprobed: 0, cells: 0, untold });
    }
    let inquiry = Inquiry::begin(lab, run, options, monitor)?;
    let traits = inquiry.traits();
    let (k, own) = (run.judged.k, run.info.setting.clone());
    let (stages, also_unprobed, untold) = (Vec::new(), 0, None);
    let mut measuring = Measuring { lab, run, inquiry, k, own, open, stages, also_unprobed, untold, maps_ids: false };
    let again = measuring.again()?;
    let differing = again.iter().zip(&run.found.ids).filter(|(again, found)| again != found).count() as u64;
    let reason = measuring.relax(traits, &again)?;
    let lost_again = lost_of(lab, k, &again);
    let mut last = as_run(reason);
    if lost_again != last.lost {
        let name = "built and searched again".to_owned();
        measuring.stages.push(StageLost { name, reason, lost: lost_again });
        last.reason = Reason::BuiltAgain;
    }
    measuring.stages.push(last);
    let Measuring { open, stages, also_unprobed, untold, .. } = measuring;
    let losses = closed(open);
    let untold = untold.filter(|_| losses.iter().flatten().any(|loss| loss.reason == Reason::Untold));
    let cells = traits.cells;
    Ok(Measured { key, losses, stages, differing: Some(differing), also_unprobed, cells, untold })
}

/// A doc that was given twice took the place of one neighbour: of the farthest that are lost.
fn charge_duplicates(run: &Run, open: &mut [Vec<Open>]) {
    for (query, open) in open.iter_mut().enumerate() {
        let mut seen: Vec<u32> = run.found.of(query)[..run.judged.k].iter().copied().filter(|id| *id != NONE).collect();
        let given = seen.len();
        seen.sort_unstable();
        seen.dedup();
        open.iter_mut().rev().take(given - seen.len()).for_each(|open| open.reason = Some(Reason::Duplicate));
    }
}

fn closed(open: Vec<Vec<Open>>) -> Vec<Vec<Loss>> {
    let close = |open: Open| {
        let Open { rank, doc, reason, needs, hashes_apart } = open;
        Loss { rank, doc, reason: reason.unwrap_or(Reason::Untold), needs, hashes_apart }
    };
    open.into_iter().map(|open| open.into_iter().map(close).collect()).collect()
}

impl Measuring<'_> {
    /// The setting of the run with some parameters changed.
    fn setting(&self, changes: &[(Knob, u64)]) -> Setting {
        let mut setting = self.own.clone();
        for (knob, value) in changes {
            setting.0.retain(|(name, _)| name != knob.name());
            setting.0.push((knob.name().to_owned(), *value));
        }
        setting
    }

    fn all(&self) -> Vec<u32> {
        (0..self.open.len() as u32).collect()
    }

    /// Queries with a neighbour that has no reason yet.
    fn unsolved(&self) -> Vec<u32> {
        let is_open = |query: &u32| self.open[*query as usize].iter().any(|open| open.reason.is_none());
        self.all().into_iter().filter(is_open).collect()
    }

    /// Neighbours without a reason, with their queries.
    fn each_open(&mut self) -> impl Iterator<Item = (usize, &mut Open)> {
        let each = self.open.iter_mut().enumerate();
        each.flat_map(|(query, open)| open.iter_mut().map(move |open| (query, open)))
            .filter(|(_, open)| open.reason.is_none())
    }

    fn stage(&mut self, name: String, reason: Reason, ids: &[u32]) -> Vec<Vec<u32>> {
        let lost = lost_of(self.lab, self.k, ids);
        self.stages.push(StageLost { name, reason, lost: lost.clone() });
        lost
    }

    /// What the index finds now that it was built again, asked as the run asked it. What it finds that the run lost is
    /// explained by that.
    fn again(&mut self) -> Result<Vec<u32>> {
        let (all, own) = (self.all(), self.own.clone());
        let found = self.inquiry.search(&own, &all, self.k, true)?;
        let again = found.ok_or_else(|| Error::Index {
            what: format!("{} refuses the setting of its run ({own}). Search it again", self.run.info.candidate),
        })?;
        let lost = lost_of(self.lab, self.k, &again);
        let differs = again != self.run.found.ids;
        for (query, open) in self.each_open().filter(|_| differs) {
            if !lost[query].contains(&open.doc) {
                open.reason = Some(Reason::BuiltAgain);
            }
        }
        Ok(again)
    }

    /// Relaxes the search until all reasons are known. Returns why the run loses what it loses at its last stage.
    fn relax(&mut self, traits: Traits, again: &[u32]) -> Result<Reason> {
        let candidate = Candidate::parse(&self.run.info.candidate, self.lab.arena.dim())?;
        self.maps_ids = match &candidate.engine {
            Engine::FaissFile { path } => ["IxMp", "IxM2"].contains(&kind_of_file(path).as_str()),
            _ => false,
        };
        self.miss_docs(traits);
        Ok(match self.kind(&candidate.engine, traits)? {
            Kind::Whole => {
                self.by_rounding(again);
                Reason::Rounding
            }
            Kind::Codes => self.codes(again)?,
            Kind::Hash => {
                self.each_open().for_each(|(_, open)| open.reason = Some(Reason::HashMismatch));
                Reason::HashMismatch
            }
            Kind::Cells => self.cells(traits)?,
            Kind::Graph => self.graph(traits, again)?,
            Kind::Served => self.served(again)?,
            Kind::Tables => self.tables(traits)?,
            Kind::Trees => self.trees(traits, again)?,
            Kind::Closed(why) => {
                self.untold = Some(why);
                Reason::Untold
            }
        })
    }

    /// Docs behind those that an index file holds.
    fn miss_docs(&mut self, traits: Traits) {
        if traits.docs == 0 || self.maps_ids {
            return;
        }
        for (_, open) in self.each_open().filter(|(_, open)| open.doc as usize >= traits.docs) {
            open.reason = Some(Reason::NotIndexed);
        }
    }

    fn kind(&mut self, engine: &Engine, traits: Traits) -> Result<Kind> {
        Ok(match engine {
            Engine::Exact | Engine::Precomputed => Kind::Whole,
            Engine::Hyperplane { .. } | Engine::HyperplaneFile { .. } => Kind::Tables,
            Engine::Annoy { .. } | Engine::AnnoyForest { .. } | Engine::AnnoyFile { .. } => Kind::Trees,
            Engine::Faiss { .. } | Engine::FaissFile { .. } if traits.cells > 0 => Kind::Cells,
            Engine::Faiss { .. } | Engine::FaissFile { .. } if self.knows(Knob::Graph, USUAL_EF)? => Kind::Graph,
            Engine::Faiss { factory, .. } => {
                let parts: Vec<&str> = factory.split(',').collect();
                let begins = |names: &[&str]| parts.iter().any(|part| names.iter().any(|name| part.starts_with(name)));
                if begins(&["LSH"]) {
                    Kind::Hash
                } else if begins(&["NSG", "NNDescent", "HNSW"]) {
                    Kind::Closed("FAISS has no search parameter that makes this graph look at more docs.".to_owned())
                } else {
                    Kind::Codes
                }
            }
            Engine::Redis { .. } => Kind::Served,
            Engine::FaissFile { path } => match kind_of_file(path).as_str() {
                "IxHe" | "IxHE" => Kind::Hash,
                // Flat; product, scalar and additive quantisers, with fast scan and without; refined ones of any of these.
                "IxFI" | "IxF2" | "IxFl" | "IxPq" | "IxPQ" | "IxPo" | "IxSQ" | "IxRq" | "IxRQ" | "IxLS" | "IxPR"
                | "IxPL" | "IPfs" | "ILfs" | "IRfs" | "IPLf" | "IPRf" => Kind::Codes,
                other => Kind::Closed(format!(
                    "An index file of this kind ({other}) has no search parameter that makes it look at more docs, and does \
                     not tell how it chooses them."
                )),
            },
        })
    }

    /// Whether the index takes a search parameter. It has `value` then.
    fn knows(&mut self, knob: Knob, value: u64) -> Result<bool> {
        let value = knob.of(&self.own).unwrap_or(value);
        let setting = Setting(vec![(knob.name().to_owned(), value)]);
        Ok(self.inquiry.search(&setting, &[], self.k, false)?.is_some())
    }

    /// Of an index that compares whole vectors: those that float32 cannot tell apart are lost by rounding; others should not
    /// be lost at all.
    fn by_rounding(&mut self, ids: &[u32]) {
        let (k, arena) = (self.k, &self.lab.arena);
        let mut others = 0;
        let each = self.open.iter_mut().enumerate();
        for (query, open) in each.flat_map(|(query, open)| open.iter_mut().map(move |open| (query, open))) {
            if open.reason.is_none() {
                match is_rounding(arena, query, open.doc, &ids[query * k..(query + 1) * k]) {
                    true => open.reason = Some(Reason::Rounding),
                    false => others += 1,
                }
            }
        }
        if others > 0 {
            self.untold = Some(format!(
                "{} were lost although the index looks at whole vectors of all docs, by more than float32 rounding explains.",
                count(others)
            ));
        }
    }

    /// Lost among all docs, so by their codes. Codes that lose nothing but what float32 cannot tell apart are whole
    /// vectors. `lost`: what `ids` lose; reasons are given to these of the open ones.
    fn by_codes(&mut self, ids: &[u32], is_lost: &dyn Fn(usize, u32) -> bool) -> Reason {
        let (k, arena) = (self.k, &self.lab.arena);
        let mut pairs: Vec<(usize, &mut Open)> = Vec::new();
        for (query, open) in self.open.iter_mut().enumerate() {
            pairs.extend(open.iter_mut().map(|open| (query, open)));
        }
        pairs.retain(|(query, open)| open.reason.is_none() && is_lost(*query, open.doc));
        let is_whole =
            pairs.iter().all(|(query, open)| is_rounding(arena, *query, open.doc, &ids[query * k..(query + 1) * k]));
        let reason = if is_whole { Reason::Rounding } else { Reason::Quantisation };
        pairs.into_iter().for_each(|(_, open)| open.reason = Some(reason));
        reason
    }

    fn codes(&mut self, again: &[u32]) -> Result<Reason> {
        let open = self.unsolved();
        self.before_reranking(&[], "codes alone", again)?;
        let reason = self.by_codes(again, &|_, _| true);
        self.rerank_more(&[], &open, &|_, _| true)?;
        Ok(reason)
    }

    /// A stage of what codes find without re-ranking, of an index that re-ranks. `after`: what is found with it.
    fn before_reranking(&mut self, changes: &[(Knob, u64)], name: &str, after: &[u32]) -> Result<()> {
        if Knob::Reranked.of(&self.own) == Some(1) {
            return Ok(());
        }
        let changes = [changes, &[(Knob::Reranked, 1)]].concat();
        let (setting, all) = (self.setting(&changes), self.all());
        if let Some(ids) = self.inquiry.search(&setting, &all, self.k, false)?
            && ids != after
        {
            self.stage(format!("{name}, before re-ranking"), Reason::Quantisation, &ids);
        }
        Ok(())
    }

    /// How many more have to be re-ranked for what the codes lose, of an index that re-ranks. `is_lost`: with the run's own
    /// number of them.
    fn rerank_more(
        &mut self,
        changes: &[(Knob, u64)],
        queries: &[u32],
        is_lost: &dyn Fn(usize, u32) -> bool,
    ) -> Result<()> {
        let own = Knob::Reranked.of(&self.own).unwrap_or(1);
        let most = self.lab.arena.num_docs.div_ceil(self.k) as u64;
        let is_sought = |query: usize, open: &Open| {
            open.reason == Some(Reason::Quantisation) && open.needs.is_none() && is_lost(query, open.doc)
        };
        self.climb(Knob::Reranked, doubling(own, most), changes, queries, &is_sought, None)?;
        Ok(())
    }

    /// Raises a parameter step by step, and notes at which value each neighbour that `is_sought` is found; only queries that
    /// still seek one are asked. `reason` is given to those that were found. Returns the last answers of the queries that
    /// were asked, k ids each; it asks nothing if the index does not know the parameter.
    fn climb(
        &mut self,
        knob: Knob,
        values: Vec<u64>,
        changes: &[(Knob, u64)],
        queries: &[u32],
        is_sought: &dyn Fn(usize, &Open) -> bool,
        reason: Option<Reason>,
    ) -> Result<HashMap<u32, Vec<u32>>> {
        let mut answers = HashMap::new();
        let mut seeking = queries.to_vec();
        for value in values {
            seeking.retain(|&query| self.open[query as usize].iter().any(|open| is_sought(query as usize, open)));
            if seeking.is_empty() {
                break;
            }
            let setting = self.setting(&[changes, &[(knob, value)]].concat());
            let Some(ids) = self.inquiry.search(&setting, &seeking, self.k, false)? else { break };
            let mut whole = vec![NONE; self.open.len() * self.k];
            for (&query, ids) in seeking.iter().zip(ids.chunks_exact(self.k)) {
                whole[query as usize * self.k..(query as usize + 1) * self.k].copy_from_slice(ids);
                answers.insert(query, ids.to_vec());
            }
            let lost = lost_of(self.lab, self.k, &whole);
            for &query in &seeking {
                let query = query as usize;
                for open in self.open[query].iter_mut() {
                    if lost[query].contains(&open.doc) || !is_sought(query, open) {
                        continue;
                    }
                    open.needs = Some((knob, value));
                    open.reason = reason.or(open.reason);
                }
            }
        }
        Ok(answers)
    }

    fn cells(&mut self, traits: Traits) -> Result<Reason> {
        let unsolved = self.unsolved();
        let every = [(Knob::Cells, traits.cells as u64)];
        let name = format!("all {} cells", count(traits.cells));
        let (setting, all) = (self.setting(&every), self.all());
        let refused = || Error::Index { what: "the index has cells, but does not know nprobe".to_owned() };
        let full = self.inquiry.search(&setting, &all, self.k, false)?.ok_or_else(refused)?;
        // Of ids that the file maps, cells cannot be told: they are known by its own labels.
        let docs_cells = if self.maps_ids { None } else { Some(self.inquiry.docs_cells()?.ok_or_else(refused)?) };
        self.before_reranking(&every, &name, &full)?;
        let is_reranked = !self.stages.is_empty();
        let lost =
            self.stage(if is_reranked { format!("{name}, re-ranked") } else { name }, Reason::Quantisation, &full);
        let probed = Knob::Cells.of(&self.own);
        let mut by_codes: HashSet<(usize, u32)> = HashSet::new();
        let mut also_unprobed = 0;
        for some in unsolved.chunks((NUMBERS_AT_ONCE / traits.cells).max(1)) {
            let orders = match &docs_cells {
                Some(_) => self.inquiry.queries_cells(some, traits.cells)?.ok_or_else(refused)?,
                None => vec![NONE; some.len() * traits.cells],
            };
            // Asked for fewer, a coarse quantiser that is a graph looks at fewer: it may miss one that is near.
            let probes = probed.map_or(0, |probed| probed.min(traits.cells as u64) as usize);
            let near = match &docs_cells {
                Some(_) if probes > 0 => self.inquiry.queries_cells(some, probes)?.ok_or_else(refused)?,
                _ => Vec::new(),
            };
            for (asked, (&query, order)) in some.iter().zip(orders.chunks_exact(traits.cells)).enumerate() {
                let query = query as usize;
                let near = near.get(asked * probes..(asked + 1) * probes).unwrap_or_default();
                for open in self.open[query].iter_mut().filter(|open| open.reason.is_none()) {
                    let is_lost = lost[query].contains(&open.doc);
                    let Some(docs_cells) = &docs_cells else {
                        match is_lost {
                            true => drop(by_codes.insert((query, open.doc))),
                            false => open.reason = Some(Reason::CellNotProbed),
                        }
                        continue;
                    };
                    let cell = docs_cells[open.doc as usize];
                    let place = order.iter().position(|&known| known == cell);
                    let is_unprobed = !near.contains(&cell);
                    if cell == NONE {
                        open.reason = Some(Reason::NotIndexed);
                    } else if place.is_none() || (is_unprobed && !is_lost) {
                        open.reason = Some(Reason::CellNotProbed);
                        let needed = place.map(|place| place as u64 + 1).filter(|needed| *needed > probes as u64);
                        open.needs = needed.map(|needed| (Knob::Cells, needed));
                    } else {
                        // Its cell was probed, or does not help. Codes that are equal, or tables of distances that
                        // are rounded for the cells that are probed, may lose one that all cells find.
                        by_codes.insert((query, open.doc));
                        also_unprobed += u64::from(is_unprobed && probed.is_some());
                    }
                }
            }
        }
        let reason = self.by_codes(&full, &|query, doc| by_codes.contains(&(query, doc)));
        if let Some(stage) = self.stages.last_mut().filter(|_| !by_codes.is_empty()) {
            stage.reason = reason;
        }
        if reason == Reason::Quantisation {
            self.also_unprobed = also_unprobed;
        }
        self.rerank_more(&every, &unsolved, &|query, doc| lost[query].contains(&doc))?;
        Ok(Reason::CellNotProbed)
    }

    fn graph(&mut self, traits: Traits, again: &[u32]) -> Result<Reason> {
        let unsolved = self.unsolved();
        let own = Knob::Graph.of(&self.own).unwrap_or(USUAL_EF);
        let docs = traits.docs as u64;
        let is_sought = |_: usize, open: &Open| open.reason.is_none();
        // FAISS looks at as many as are asked for at least.
        let values = doubling(own, docs).into_iter().filter(|&value| value > self.k as u64).collect();
        let found = self.climb(Knob::Graph, values, &[], &unsolved, &is_sought, Some(Reason::NotReached))?;
        // What is still lost: does the graph lead there at all? Asked for as many as there are, it returns all that it comes to.
        let unsolved = self.unsolved();
        let reranked = Knob::Reranked.of(&self.own).map(|_| (Knob::Reranked, 1));
        let changes: Vec<(Knob, u64)> = [(Knob::Graph, docs.max(1))].into_iter().chain(reranked).collect();
        let mut reached: HashSet<(usize, u32)> = HashSet::new();
        for some in unsolved.chunks((NUMBERS_AT_ONCE / traits.docs.max(1)).max(1)) {
            let Some(ids) = self.inquiry.search(&self.setting(&changes), some, traits.docs, false)? else { break };
            for (&query, ids) in some.iter().zip(ids.chunks_exact(traits.docs)) {
                for open in self.open[query as usize].iter_mut().filter(|open| open.reason.is_none()) {
                    match ids.contains(&open.doc) {
                        true => drop(reached.insert((query as usize, open.doc))),
                        false => open.reason = Some(Reason::Unreachable),
                    }
                }
            }
        }
        let whole = merged(again, &found, self.k);
        self.by_codes(&whole, &|query, doc| reached.contains(&(query, doc)));
        self.stage("efSearch as large as it helps".to_owned(), Reason::Unreachable, &whole);
        Ok(Reason::NotReached)
    }

    /// Compared with all docs, it loses by its codes alone; what its graph loses beside that, larger searches find or not.
    fn served(&mut self, again: &[u32]) -> Result<Reason> {
        let all = self.all();
        let truth = Setting(vec![("truth".to_owned(), 1)]);
        let Some(whole) = self.inquiry.search(&truth, &all, self.k, false)? else {
            self.untold = Some("The server does not compare with all docs.".to_owned());
            return Ok(Reason::Untold);
        };
        let lost = self.stage("all docs, compared one by one".to_owned(), Reason::Quantisation, &whole);
        let reason = self.by_codes(&whole, &|query, doc| lost[query].contains(&doc));
        if let Some(stage) = self.stages.last_mut() {
            stage.reason = reason;
        }
        let unsolved = self.unsolved();
        if unsolved.is_empty() {
            return Ok(reason);
        }
        let own = Knob::Graph.of(&self.own).unwrap_or(self.k as u64);
        let is_sought = |_: usize, open: &Open| open.reason.is_none();
        let most = (self.lab.arena.num_docs as u64).min(*redis::Shape::EF.end());
        let values = doubling(own, most).into_iter().filter(|&value| value > self.k as u64).collect();
        let found = self.climb(Knob::Graph, values, &[], &unsolved, &is_sought, Some(Reason::NotReached))?;
        if self.unsolved().is_empty() {
            return Ok(Reason::NotReached);
        }
        self.each_open().for_each(|(_, open)| open.reason = Some(Reason::Unreachable));
        self.stage("efSearch as large as it helps".to_owned(), Reason::Unreachable, &merged(again, &found, self.k));
        Ok(Reason::NotReached)
    }

    fn tables(&mut self, traits: Traits) -> Result<Reason> {
        let probes = Knob::Hashes.of(&self.own).unwrap_or(0);
        let (setting, all) = (self.setting(&[(Knob::Hashes, traits.hashes as u64)]), self.all());
        if probes < traits.hashes as u64
            && let Some(ids) = self.inquiry.search(&setting, &all, self.k, false)?
        {
            self.stage(format!("probes={}", traits.hashes), Reason::HashMismatch, &ids);
        }
        let pairs: Vec<(u32, u32)> = self.each_open().map(|(query, open)| (query as u32, open.doc)).collect();
        let mut told = Vec::with_capacity(pairs.len());
        for pairs in pairs.chunks(PAIRS_AT_ONCE) {
            told.extend(self.inquiry.apart(pairs)?.unwrap_or_default());
        }
        if told.len() != pairs.len() {
            self.untold = Some("The index does not tell its hashes.".to_owned());
            return Ok(Reason::Untold);
        }
        for ((_, open), apart) in self.each_open().zip(told) {
            open.hashes_apart = Some(apart.hashes);
            // One in a bucket that was looked into is not lost by its hashes; there is no other reason to lose it.
            if apart.probes.is_none_or(|needed| u64::from(needed) > probes) {
                open.reason = Some(Reason::HashMismatch);
                open.needs = apart.probes.map(|needed| (Knob::Hashes, u64::from(needed)));
            }
        }
        Ok(Reason::HashMismatch)
    }

    fn trees(&mut self, traits: Traits, again: &[u32]) -> Result<Reason> {
        let unsolved = self.unsolved();
        let trees = traits.trees.max(1) as u64;
        let own = Knob::Trees.of(&self.own).filter(|&own| own > 0).unwrap_or(self.k as u64 * trees);
        // Every tree has every doc.
        let most = trees * traits.docs.max(1) as u64;
        let is_sought = |_: usize, open: &Open| open.reason.is_none();
        let values = doubling(own, most);
        let found = self.climb(Knob::Trees, values, &[], &unsolved, &is_sought, Some(Reason::LeafNotVisited))?;
        let whole = merged(again, &found, self.k);
        self.by_rounding(&whole);
        self.stage("search_k as large as it helps".to_owned(), Reason::Rounding, &whole);
        Ok(Reason::LeafNotVisited)
    }
}

/// The answers of `found` where there are some, of `before` where not.
fn merged(before: &[u32], found: &HashMap<u32, Vec<u32>>, k: usize) -> Vec<u32> {
    let mut whole = before.to_vec();
    for (&query, ids) in found {
        whole[query as usize * k..(query as usize + 1) * k].copy_from_slice(ids);
    }
    whole
}

/// Twice `own`, twice that, and so on; `most` at last.
fn doubling(own: u64, most: u64) -> Vec<u64> {
    let mut values = Vec::new();
    let mut value = own.max(1);
    while value < most {
        value = value.saturating_mul(2).min(most);
        values.push(value);
    }
    values
}

/// The four letters with which a file of FAISS begins; empty if it cannot be read.
fn kind_of_file(path: &Path) -> String {
    let mut letters = [0; 4];
    match File::open(path).and_then(|mut file| file.read_exact(&mut letters)) {
        Ok(()) => String::from_utf8_lossy(&letters).into_owned(),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_doubled_up_to_everything() {
        assert_eq!(doubling(3, 20), [6, 12, 20]);
        assert_eq!(doubling(0, 3), [2, 3]);
        assert!(doubling(8, 8).is_empty() && doubling(9, 8).is_empty());
    }
}
