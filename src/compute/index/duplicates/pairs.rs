//! All pairs of docs within a threshold, exactly.
//!
//! Every doc is asked for its nearest others. Docs that are equal to the last bit are one *class*, however many they are, so
//! that a crowd of copies hides nothing; where a list ends within the threshold, its class is searched again among the
//! classes, with four times as many neighbours each time, until all lists reach beyond. (As
//! [`thinning`](crate::compute::uniqueness::thinning) does for distances; here metrics are those of the lab, dot among
//! them, which is no distance.)

use std::collections::HashMap;
use std::ops::Range;

use rayon::prelude::*;

use super::Within;
use crate::compute::error::{Error, Result};
use crate::compute::exact::{Choice, Demand, Engine, Kernel, sample_queries};
use crate::compute::figures::grouped;
use crate::compute::index::truth::Arena;
use crate::compute::kernels::Level;
use crate::compute::kernels::int8::Dot;
use crate::compute::metric::Metric;
use crate::compute::vectors::{Embeddings, FNV_START, fnv1a, scratch_beside};
use crate::job::Monitor;

/// How far scores under cosine may be off by rounding: the engine divides in another order.
const COSINE_SLACK: f64 = 1e-12;
/// Bytes that a pair takes, seen from one of its docs.
const ENTRY_BYTES: u64 = 16;
/// Docs that are searched again at once at most.
const MOST_PASS: usize = 1 << 14;

/// Pairs of docs within a threshold, as pairs of classes of equal docs.
#[derive(Debug, Clone)]
pub struct Pairs {
    /// Of each doc.
    class_of: Vec<u32>,
    /// Docs of each class, ascending; where they begin.
    members: Vec<u32>,
    member_starts: Vec<usize>,
    /// The score of equal docs with each other, of classes that have several and where it is within the threshold.
    own: Vec<Option<f64>>,
    /// Other classes within the threshold, nearest first; where they begin.
    others: Vec<(u32, f64)>,
    starts: Vec<usize>,
}

/// A pair of classes, or a class with itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassPair {
    pub score: f64,
    /// left ≤ right
    pub left: u32,
    pub right: u32,
    /// Pairs of docs that it stands for.
    pub pairs: u64,
}

impl Pairs {
    /// Finds them. `arena`: docs that are asked as queries, each for itself and its k nearest others. Returns also the ids
    /// of these, doc_count × top_k.
    ///
    /// # Errors
    /// More pairs than `budget` bytes hold; memory that does not suffice; cancelled.
    pub fn find(arena: &Arena, within: Within, budget: u64, monitor: &Monitor) -> Result<(Self, Vec<u32>)> {
        let top_k = arena.top_k;
        let mut pairs = Self::classes_of(arena, monitor)?;
        let nearest = arena.exact_ids(monitor)?;
        let most_entries = (budget / ENTRY_BYTES).max(1 << 20) as usize;
        let too_many = || Error::Parameter {
            name: "threshold",
            expected: format!(
                "one within which at most {} pairs lie (the memory budget)",
                grouped(most_entries as u64 / 2)
            ),
            found: format!(
                "{}, within which there are more. Choose a {} one, or raise --memory",
                within.threshold,
                if within.metric.larger_is_nearer() { "higher" } else { "lower" }
            ),
        };
        let slack = if within.metric == Metric::Cosine { COSINE_SLACK } else { 0.0 };
        // Whether docs behind one of this score may be within the threshold.
        let goes_on = |score: f64| match within.metric.larger_is_nearer() {
            true => score >= within.threshold - slack,
            false => score <= within.threshold,
        };
        let score = |left: u32, right: u32| arena.score(left as usize, right);
        let leaders: Vec<u32> = (0..pairs.classes()).map(|class| pairs.members_of(class)[0]).collect();
        let ids = |doc: u32| &nearest[doc as usize * top_k..(doc as usize + 1) * top_k];
        // What the lists of the leaders say, and whether it is all.
        let first: Vec<(Vec<(u32, f64)>, bool)> = leaders
            .par_iter()
            .enumerate()
            .map(|(class, &leader)| {
                let mut list = Vec::new();
                let mut last = None;
                for &doc in ids(leader) {
                    let found = score(leader, doc);
                    last = Some(found);
                    let other = pairs.class_of[doc as usize];
                    if within.holds(found) && other as usize != class && list.iter().all(|&(known, _)| known != other) {
                        list.push((other, found));
                    }
                }
                (list, top_k == arena.num_docs || !last.is_some_and(goes_on))
            })
            .collect();
        let mut entries: usize = first.iter().map(|(list, _)| list.len()).sum();
        let mut open: Vec<u32> = (0..).zip(&first).filter(|(_, (_, is_all))| !is_all).map(|(class, _)| class).collect();
        let mut lists: Vec<Vec<(u32, f64)>> = first.into_iter().map(|(list, _)| list).collect();
        if !open.is_empty() && leaders.len() > 1 {
            let scratch = scratch_beside(arena.docs.path());
            let all = Embeddings::open(arena.docs.path(), Some(arena.dim()), &scratch, monitor)?;
            let subset =
                (leaders.len() < all.rows()).then(|| all.subset(leaders.clone(), &scratch, monitor)).transpose()?;
            let searched = subset.as_ref().unwrap_or(&all);
            let mut wider = top_k.saturating_mul(4).max(32).min(leaders.len());
            while !open.is_empty() {
                if wider > most_entries {
                    return Err(too_many());
                }
                let mut still_open = Vec::new();
                search_again(searched, &open, wider, (within.metric, budget), monitor, |classes, found| {
                    let check = |(&class, found): (&u32, &[u32])| -> (Vec<(u32, f64)>, bool) {
                        let leader = leaders[class as usize];
                        let scored = found.iter().map(|&other| (other, score(leader, leaders[other as usize])));
                        let mut scored: Vec<(u32, f64)> = scored.collect();
                        let is_all = wider == leaders.len() || !scored.last().is_some_and(|&(_, score)| goes_on(score));
                        scored.retain(|&(other, score)| other != class && within.holds(score));
                        (scored, is_all)
                    };
                    let checked: Vec<_> = classes.par_iter().zip(found.par_chunks_exact(wider)).map(check).collect();
                    for (&class, (list, is_all)) in classes.iter().zip(checked) {
                        entries = entries - lists[class as usize].len() + list.len();
                        lists[class as usize] = list;
                        if !is_all {
                            still_open.push(class);
                        }
                    }
                    if entries > most_entries { Err(too_many()) } else { Ok(()) }
                })?;
                open = still_open;
                wider = wider.saturating_mul(4).min(leaders.len());
            }
        }
        for class in 0..pairs.classes() {
            let members = pairs.members_of(class);
            let own = (members.len() > 1).then(|| equal_score(arena, members[0], members[1]));
            pairs.own.push(own.filter(|&score| within.holds(score)));
        }
        for mut list in lists {
            list.sort_by_key(|&(other, score)| within.metric.place(score, other));
            pairs.others.extend(list);
            pairs.starts.push(pairs.others.len());
        }
        Ok((pairs, nearest))
    }

    /// Classes of docs that are equal to the last bit, in the order of their first docs.
    fn classes_of(arena: &Arena, monitor: &Monitor) -> Result<Self> {
        monitor.begin("looking for equal docs", "docs", arena.num_docs as u64);
        let bytes = |doc: u32| bytemuck::cast_slice::<f32, u8>(arena.docs.row(doc as usize));
        let mut hashes = Vec::with_capacity(arena.num_docs);
        for first in (0..arena.num_docs).step_by(4096) {
            let docs = first as u32..(first + 4096).min(arena.num_docs) as u32;
            hashes.par_extend(docs.clone().into_par_iter().map(|doc| fnv1a(FNV_START, bytes(doc))));
            monitor.advance(docs.len() as u64)?;
        }
        // Classes by hash: several only where hashes collide.
        let mut known: HashMap<u64, Vec<u32>> = HashMap::with_capacity(arena.num_docs);
        let mut class_of = Vec::with_capacity(arena.num_docs);
        let mut leaders: Vec<u32> = Vec::new();
        for (doc, hash) in (0u32..).zip(hashes) {
            let classes = known.entry(hash).or_default();
            let equal = classes.iter().copied().find(|&class| bytes(leaders[class as usize]) == bytes(doc));
            class_of.push(equal.unwrap_or_else(|| {
                leaders.push(doc);
                classes.push(leaders.len() as u32 - 1);
                leaders.len() as u32 - 1
            }));
        }
        let mut member_starts = vec![0; leaders.len() + 1];
        class_of.iter().for_each(|&class: &u32| member_starts[class as usize + 1] += 1);
        for class in 0..leaders.len() {
            member_starts[class + 1] += member_starts[class];
        }
        let mut next = member_starts.clone();
        let mut members = vec![0; class_of.len()];
        for (doc, &class) in (0u32..).zip(&class_of) {
            members[next[class as usize]] = doc;
            next[class as usize] += 1;
        }
        Ok(Self { class_of, members, member_starts, own: Vec::new(), others: Vec::new(), starts: vec![0] })
    }

    /// How many classes of equal docs there are.
    pub fn classes(&self) -> usize {
        self.member_starts.len() - 1
    }

    pub fn docs(&self) -> usize {
        self.class_of.len()
    }

    /// Docs of a class, ascending.
    pub fn members_of(&self, class: usize) -> &[u32] {
        let Range { start, end } = self.member_starts[class]..self.member_starts[class + 1];
        &self.members[start..end]
    }

    /// Every pair of classes once, and classes of several docs, in the order of the classes.
    pub fn class_pairs(&self) -> impl Iterator<Item = ClassPair> + '_ {
        (0..self.classes()).flat_map(move |class| {
            let size = self.members_of(class).len() as u64;
            let left = class as u32;
            let own = self.own[class].map(|score| ClassPair { score, left, right: left, pairs: size * (size - 1) / 2 });
            let others = self.others[self.starts[class]..self.starts[class + 1]].iter();
            let others = others.filter(move |&&(other, _)| other > left).map(move |&(right, score)| ClassPair {
                score,
                left,
                right,
                pairs: size * self.members_of(right as usize).len() as u64,
            });
            own.into_iter().chain(others)
        })
    }

    /// Pairs of docs.
    pub fn count(&self) -> u64 {
        self.class_pairs().map(|pair| pair.pairs).sum()
    }

    /// The score of two docs if they are within the threshold.
    pub fn score_of(&self, arena: &Arena, within: Within, left: u32, right: u32) -> Option<f64> {
        let (class, other) = (self.class_of[left as usize], self.class_of[right as usize]);
        if class == other {
            return self.own[class as usize].filter(|_| left != right);
        }
        Some(arena.score(left as usize, right)).filter(|&score| within.holds(score))
    }
}

/// The score of two docs that are equal to the last bit.
pub fn equal_score(arena: &Arena, doc: u32, other: u32) -> f64 {
    match arena.metric {
        // What rounding makes of it is a last bit less.
        Metric::Cosine => 1.0,
        Metric::Dot | Metric::Euclidean => arena.score(doc as usize, other),
    }
}

/// The `found` nearest rows of some rows among all of `embeddings`, themselves among them, some rows at a time.
fn search_again(
    embeddings: &Embeddings,
    rows: &[u32],
    found: usize,
    (metric, budget): (Metric, u64),
    monitor: &Monitor,
    mut take: impl FnMut(&[u32], &[u32]) -> Result<()>,
) -> Result<()> {
    let vectors = &embeddings.vectors;
    let level = Level::detected();
    let threads = rayon::current_num_threads();
    let demand = Demand { dim: vectors.dim(), num_docs: vectors.rows(), top_k: found, queries: rows.len(), threads };
    let (_, size) = Choice::make(Kernel::Auto, &demand, Dot::within(level)).fit(budget, &demand)?;
    let gather =
        |rows: &[u32]| -> Vec<f32> { rows.iter().flat_map(|&row| vectors.row(row as usize)).copied().collect() };
    let sample: Vec<u32> = sample_queries(rows.len()).map(|place| rows[place]).collect();
    vectors.check_size()?;
    let sample = gather(&sample);
    let engine = Engine::new(vectors, vectors.rows(), metric, found, size, level, &sample, monitor)?;
    monitor.begin("searching crowded docs again", "query × doc pairs", rows.len() as u64 * vectors.rows() as u64);
    // What is found of them is scored at once, so it counts, too.
    let most = (budget as usize / 32 / found).clamp(1, MOST_PASS);
    for rows in rows.chunks(engine.size().pass_queries.clamp(1, most)) {
        take(rows, &engine.top_k(&gather(rows), |place| rows[place] as usize, monitor)?.docs)?;
    }
    Ok(())
}
