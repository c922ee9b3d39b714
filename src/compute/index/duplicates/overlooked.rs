//! Near-duplicates through an index: every doc is asked as a query, and what that does not find is overlooked.

use rayon::prelude::*;

use super::Within;
use super::groups::{Group, Sets};
use super::pairs::Pairs;
use crate::compute::error::{Error, Result};
use crate::compute::index::NONE;
use crate::compute::index::candidate::{Candidate, Setting};
use crate::compute::index::neighbours::Found;
use crate::compute::index::process;
use crate::compute::index::redis::Access;
use crate::compute::index::session::Options;
use crate::compute::index::truth::Arena;
use crate::compute::index::worker::{Built, Event, Job, Searched};
use crate::job::Monitor;

/// Ranges of scores in which pairs are counted.
pub const BINS: usize = 20;

/// Pairs with scores in a range.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bin {
    /// The end nearer to the threshold, and the other.
    pub from: f64,
    pub to: f64,
    pub pairs: u64,
    /// What the exact search finds of them with as many neighbours a doc.
    pub exact: u64,
    /// What the index finds.
    pub found: u64,
}

/// What an index overlooks.
#[derive(Debug, Clone, PartialEq)]
pub struct Overlooked {
    pub candidate: String,
    pub setting: Setting,
    /// Other docs that each doc was asked for.
    pub neighbours: usize,
    /// Pairs that it finds, from either doc.
    pub found: u64,
    /// Pairs that the exact search finds with as many neighbours.
    pub exact: u64,
    /// From the threshold to the nearest pair.
    pub bins: Vec<Bin>,
    /// Of each group: into how many pieces it falls; 1 if it is whole, as many as docs if nothing of it is seen.
    pub pieces: Vec<usize>,
    /// Docs with near-duplicates that seem to have none.
    pub alone: usize,
    pub built: Built,
    pub searched: Searched,
}

impl Overlooked {
    /// The candidate with its setting.
    pub fn title(&self) -> String {
        let setting = self.setting.to_string();
        if setting.is_empty() { self.candidate.clone() } else { format!("{} {setting}", self.candidate) }
    }
}

/// What indexes are measured by.
pub struct Judge<'a> {
    pub arena: &'a Arena,
    pub pairs: &'a Pairs,
    pub groups: &'a [Group],
    pub within: Within,
    /// The score of the nearest pair.
    pub best: f64,
    /// Ids that the exact search finds, doc_count × top_k.
    pub nearest: &'a [u32],
}

impl Judge<'_> {
    /// Builds an index of the docs in a child process and asks it for all of them, with every setting.
    ///
    /// # Errors
    /// What the child could not do or died of; cancelled.
    pub fn ask(&self, candidate: &Candidate, options: &Options, monitor: &Monitor) -> Result<Vec<Overlooked>> {
        let folder = tempfile::tempdir().map_err(Error::write(&std::env::temp_dir()))?;
        let arena = self.arena;
        let docs = std::fs::canonicalize(arena.docs.path()).map_err(Error::read(arena.docs.path()))?;
        let settings = candidate.settings();
        let path = |place: usize| folder.path().join(format!("{place}.ibin"));
        let job = Job {
            queries: docs.clone(),
            docs,
            dim: arena.dim(),
            num_docs: arena.num_docs,
            num_queries: arena.num_queries,
            metric: arena.metric.name().to_owned(),
            top_k: arena.top_k,
            candidate: candidate.name.clone(),
            searches: settings.iter().cloned().enumerate().map(|(place, setting)| (setting, path(place))).collect(),
            threads: options.threads,
            seed: 0,
            memory_bytes: options.memory_bytes,
            save: None,
            scratch: folder.path().join("index.part"),
            converses: false,
            server: candidate.server().map(Access::once).transpose()?,
        };
        let exact = self.pairs_in(self.nearest);
        let (mut built, mut all) = (Built::default(), Vec::with_capacity(settings.len()));
        process::run(&options.program, &job, monitor, &mut |event| {
            match event {
                Event::Built(figures) => built = figures,
                Event::Searched(place, searched) => {
                    if let Some(setting) = settings.get(place) {
                        let found = Found::read(&path(place), arena.num_queries, arena.num_docs)?;
                        let judged = self.judge(&self.pairs_in(&found.ids), &exact);
                        all.push(Overlooked {
                            candidate: candidate.name.clone(),
                            setting: setting.clone(),
                            built,
                            searched,
                            ..judged
                        });
                    }
                }
                // The others tell of failures and of what only conversations have.
                _ => {}
            }
            Ok(())
        })?;
        if all.len() != settings.len() {
            let what = format!("{}: the index process ended without all that was asked. Run it again", candidate.name);
            return Err(Error::Index { what });
        }
        Ok(all)
    }

    /// The pairs within the threshold that are among the ids found for each doc, once each, with their scores.
    pub fn pairs_in(&self, ids: &[u32]) -> Vec<(u32, u32, f64)> {
        let (arena, top_k) = (self.arena, self.arena.top_k);
        let of = |(doc, ids): (usize, &[u32])| {
            let doc = doc as u32;
            let others = ids.iter().copied().filter(|&other| other != NONE && other != doc);
            let scored = others.filter_map(|other| {
                let score = self.pairs.score_of(arena, self.within, doc, other)?;
                Some((doc.min(other), doc.max(other), score))
            });
            scored.collect::<Vec<_>>()
        };
        let mut found: Vec<(u32, u32, f64)> = ids.par_chunks(top_k).enumerate().flat_map_iter(of).collect();
        found.par_sort_unstable_by_key(|&(doc, other, _)| (doc, other));
        found.dedup_by_key(|&mut (doc, other, _)| (doc, other));
        found
    }

    fn bin_of(&self, score: f64) -> usize {
        let share = (score - self.within.threshold) / (self.best - self.within.threshold);
        // Not a number if all pairs have one score: the first range then.
        ((share * BINS as f64) as usize).min(BINS - 1)
    }

    /// Compares pairs that were found with all of them. `exact`: those of the exact search with as many neighbours.
    pub fn judge(&self, found: &[(u32, u32, f64)], exact: &[(u32, u32, f64)]) -> Overlooked {
        let edge = |bin: usize| {
            let share = bin as f64 / BINS as f64;
            self.within.threshold + (self.best - self.within.threshold) * share
        };
        let empty = |bin: usize| Bin { from: edge(bin), to: edge(bin + 1), ..Bin::default() };
        let mut bins: Vec<Bin> = (0..BINS).map(empty).collect();
        let place = |score: f64| self.bin_of(score);
        self.pairs.class_pairs().for_each(|pair| bins[place(pair.score)].pairs += pair.pairs);
        exact.iter().for_each(|&(_, _, score)| bins[place(score)].exact += 1);
        found.iter().for_each(|&(_, _, score)| bins[place(score)].found += 1);
        let mut sets = Sets::new(self.pairs.docs());
        let mut has_pair = vec![false; self.pairs.docs()];
        for &(doc, other, _) in found {
            sets.join(doc, other);
            (has_pair[doc as usize], has_pair[other as usize]) = (true, true);
        }
        let mut pieces = Vec::with_capacity(self.groups.len());
        let mut alone = 0;
        for group in self.groups {
            let mut roots: Vec<u32> = group.docs.iter().map(|&doc| sets.root(doc)).collect();
            roots.sort_unstable();
            roots.dedup();
            pieces.push(roots.len());
            alone += group.docs.iter().filter(|&&doc| !has_pair[doc as usize]).count();
        }
        Overlooked {
            candidate: String::new(),
            setting: Setting::default(),
            neighbours: self.arena.top_k - 1,
            found: found.len() as u64,
            exact: exact.len() as u64,
            bins,
            pieces,
            alone,
            built: Built::default(),
            searched: Searched::default(),
        }
    }
}
