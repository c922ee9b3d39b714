//! The docs of one query that the int8 filter let through, decided exactly as late as possible.

use rayon::prelude::*;

use super::topk::Candidate;
use crate::compute::error::Result;
use crate::job::Monitor;

/// A doc that may be among the k nearest. Lists of these are walked through often, so they are small.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Its key lies between these.
    low: f32,
    high: f32,
    doc: u32,
}

impl Entry {
    fn middle(&self) -> f32 {
        self.low / 2.0 + self.high / 2.0
    }

    /// The likely nearest first.
    fn by_middle(left: &Self, right: &Self) -> std::cmp::Ordering {
        right.middle().total_cmp(&left.middle())
    }
}

/// A superset of the k nearest docs seen so far.
///
/// The floor is a key that at least k docs seen are known to reach. The guess is one that the k-th
/// nearest of all docs will probably reach; docs below it are left out, so whoever raises it must
/// check in the end that the k-th nearest really reaches it.
#[derive(Debug, Clone)]
pub struct Nearest {
    top_k: usize,
    floor: f32,
    guess: f32,
    /// Not scored yet.
    entries: Vec<Entry>,
    /// Docs with their float64 scores.
    scored: Vec<(f64, u32)>,
}

/// Scores docs of one query exactly.
pub trait Scorer {
    /// Asks for the vectors of the query and of `doc` to be brought near.
    fn prefetch(&self, doc: u32);
    /// The float64 score of `doc`.
    fn score(&self, doc: u32) -> f64;
    /// The key that a score stands for.
    fn key(&self, score: f64) -> f64;
    /// Where a scored doc stands, see [`crate::compute::metric::Metric::place`].
    fn place(&self, score: f64, doc: u32) -> u128;
}

impl Nearest {
    /// Entries held at most: room for all that bounds cannot part as a rule, since scoring docs one by
    /// one, to make room, reads them from memory one by one.
    pub fn capacity_for(top_k: usize) -> usize {
        top_k.saturating_mul(3).max(top_k.saturating_add(512))
    }

    /// Bytes of an entry, and of the scored doc that may be made of it.
    pub const ENTRY_BYTES: usize = size_of::<Entry>() + size_of::<(f64, u32)>();

    pub fn new(top_k: usize) -> Self {
        let (floor, guess) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
        Self { top_k, floor, guess, entries: Vec::new(), scored: Vec::new() }
    }

    /// Keys that cannot reach this need not be pushed.
    pub fn limit(&self) -> f32 {
        self.floor.max(self.guess)
    }

    /// Takes a doc whose key lies within `low..=high`. Returns how many docs were scored for room.
    pub fn push(&mut self, candidate: Candidate, scorer: &impl Scorer) -> usize {
        if candidate.high < self.limit() {
            return 0;
        }
        let Candidate { low, high, doc } = candidate;
        self.entries.push(Entry { low, high, doc });
        let capacity = Self::capacity_for(self.top_k);
        if self.entries.len() < capacity {
            return 0;
        }
        self.tighten();
        if self.entries.len() > capacity - capacity / 8 { self.decide(scorer) } else { 0 }
    }

    /// Raises the floor to the k-th best lower end of those that are not scored, and drops of them what cannot reach the
    /// limit.
    pub fn tighten(&mut self) {
        if self.entries.len() >= self.top_k {
            let (_, kth, _) = self.entries.select_nth_unstable_by(self.top_k - 1, |a, b| b.low.total_cmp(&a.low));
            self.floor = self.floor.max(kth.low);
        }
        self.drop_hopeless();
    }

    fn drop_hopeless(&mut self) {
        let limit = self.limit();
        self.entries.retain(|entry| entry.high >= limit);
    }

    /// Guesses that the k-th nearest of all docs is at least as near as what is now the nearest but
    /// `rank`; nothing when fewer are known.
    pub fn raise_guess(&mut self, rank: usize) {
        if rank < self.entries.len() {
            let (_, guess, _) = self.entries.select_nth_unstable_by(rank, Entry::by_middle);
            let guess = guess.middle();
            if guess.is_finite() {
                self.guess = self.guess.max(guess);
                // Short lists are looked through quickly the next time, and stay near.
                self.drop_hopeless();
            }
        }
    }

    /// Entries to score next stand first; how many there are. With `likely`, only those that are likely among the k
    /// nearest: once they are scored the floor is exact, and fewer of the others matter.
    fn prepare_scoring(&mut self, likely: bool) -> usize {
        if !likely || self.scored.len() >= self.top_k {
            self.drop_hopeless();
            return if likely { 0 } else { self.entries.len() };
        }
        let wanted = self.top_k - self.scored.len();
        if self.entries.len() > wanted {
            self.entries.select_nth_unstable_by(wanted - 1, Entry::by_middle);
        }
        self.entries.len().min(wanted)
    }

    /// The docs of the first `count` entries.
    fn first(&self, count: usize) -> impl Iterator<Item = u32> + '_ {
        self.entries[..count].iter().map(|entry| entry.doc)
    }

    /// Forgets the first `count` entries, whose scores were taken. What k scored docs reach is a floor.
    fn were_scored(&mut self, count: usize, scorer: &impl Scorer) {
        self.entries.drain(..count);
        self.keep_nearest(scorer);
    }

    /// Scores what is not scored yet and keeps the k nearest. Returns how many were scored.
    pub fn decide(&mut self, scorer: &impl Scorer) -> usize {
        let count = self.prepare_scoring(false);
        for place in 0..count {
            let doc = self.entries[place].doc;
            self.scored.push((scorer.score(doc), doc));
        }
        self.were_scored(count, scorer);
        count
    }

    /// Of the scored docs, the k nearest; what the last of them reaches is a floor.
    fn keep_nearest(&mut self, scorer: &impl Scorer) {
        if self.scored.len() < self.top_k {
            return;
        }
        let place = |&(score, doc): &(f64, u32)| scorer.place(score, doc);
        let (_, &mut (score, doc), _) = self.scored.select_nth_unstable_by_key(self.top_k - 1, place);
        self.scored.truncate(self.top_k);
        self.floor = self.floor.max(Candidate::of(scorer.key(score), 0.0, doc).low);
    }

    /// After [`Nearest::decide`]: whether the k nearest reach the guess, so that nothing was left out
    /// wrongly. Forgets the guess.
    pub fn settle_guess(&mut self) -> bool {
        let guess = std::mem::replace(&mut self.guess, f32::NEG_INFINITY);
        guess == f32::NEG_INFINITY || (self.scored.len() == self.top_k && self.floor >= guess)
    }

    /// Docs that may be among the k nearest.
    pub fn docs(&self) -> impl Iterator<Item = u32> + '_ {
        self.entries.iter().map(|entry| entry.doc).chain(self.scored.iter().map(|(_, doc)| *doc))
    }

    /// The k nearest, nearest first.
    pub fn into_sorted(mut self, scorer: &impl Scorer) -> Vec<(f64, u32)> {
        self.decide(scorer);
        self.scored.sort_unstable_by_key(|&(score, doc)| scorer.place(score, doc));
        self.scored
    }
}

impl<S: Scorer> Scorer for &S {
    fn prefetch(&self, doc: u32) {
        (**self).prefetch(doc);
    }

    fn score(&self, doc: u32) -> f64 {
        (**self).score(doc)
    }

    fn key(&self, score: f64) -> f64 {
        (**self).key(score)
    }

    fn place(&self, score: f64, doc: u32) -> u128 {
        (**self).place(score, doc)
    }
}

/// A doc to be scored for a query, and where the score goes.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    doc: u32,
    query: u32,
}

/// Docs of a tile's queries to be scored, by groups of docs that lie together.
struct Sorted {
    pairs: Vec<Wanted>,
    /// Where each group begins, and the end of the last one.
    starts: Vec<u32>,
    /// How many there are of each query.
    counts: Vec<u32>,
}

/// Groups that docs are sorted into.
const GROUPS: usize = 4096;
/// Pieces that the groups are shared out in, so that every core has work to the end.
const PIECES: usize = 64;
/// Pairs between two looks at whether to stop.
const PAIRS_TOGETHER: usize = 1024;
/// How many pairs ahead vectors are asked for: some 300 ns, as long as memory takes when it is busy.
const AHEAD: usize = 6;

/// Pairs that are scored together, unless a single tile has more.
const PAIRS_AT_ONCE: usize = 1 << 19;

/// Bytes that scoring takes at most, for `queries` in tiles of `tile` with `capacity` docs each.
pub fn scoring_bytes(queries: usize, tile: usize, capacity: usize) -> u64 {
    let pairs = (queries * capacity).min((tile * capacity).max(PAIRS_AT_ONCE));
    // Their places, twice while they are sorted, and what was computed.
    (pairs * (2 * size_of::<Wanted>() + size_of::<f64>())) as u64
}

/// Scores all docs of some tiles of queries that may matter in float64, in the order of the docs, so that each is read from
/// memory once for all tiles. Afterwards each [`Nearest`] holds its k nearest, scored. Returns how many were, of each tile.
///
/// `num_docs`: docs are below this. `scorer` makes the scorer of a tile's query.
///
/// # Errors
/// Cancelled.
pub fn decide_all<S: Scorer>(
    tiles: &mut [&mut [Nearest]],
    num_docs: usize,
    scorer: impl Fn(usize, usize) -> S + Sync,
    monitor: &Monitor,
) -> Result<Vec<u64>> {
    let mut scored = Vec::with_capacity(tiles.len());
    let mut rest = tiles;
    while !rest.is_empty() {
        let mut pairs = 0;
        let fits = rest.iter().take_while(|tile| {
            pairs += tile.iter().map(|nearest| nearest.entries.len()).sum::<usize>();
            pairs <= PAIRS_AT_ONCE
        });
        let (batch, others) = rest.split_at_mut(fits.count().max(1));
        let first = scored.len();
        scored.extend(decide_together(batch, num_docs, |tile, query| scorer(first + tile, query), monitor)?);
        rest = others;
    }
    Ok(scored)
}

fn decide_together<S: Scorer>(
    tiles: &mut [&mut [Nearest]],
    num_docs: usize,
    scorer: impl Fn(usize, usize) -> S + Sync,
    monitor: &Monitor,
) -> Result<Vec<u64>> {
    let mut scored = vec![0; tiles.len()];
    // The likely ones first: with their exact scores as a floor fewer of the others are left.
    for likely in [true, false] {
        let sorted: Vec<Sorted> = tiles.par_iter_mut().map(|tile| Sorted::of(tile, likely, num_docs)).collect();
        let pieces = (0..PIECES).into_par_iter().map(|piece| score_piece(&sorted, piece, &scorer, monitor));
        // By piece, then by tile, in the order of the pairs.
        let found: Vec<Vec<Vec<f64>>> = pieces.collect::<Result<_>>()?;
        tiles.par_iter_mut().zip(&sorted).enumerate().for_each(|(number, (tile, sorted))| {
            let scores = found.iter().flat_map(|piece| &piece[number]);
            for (pair, &score) in sorted.pairs.iter().zip(scores) {
                tile[pair.query as usize].scored.push((score, pair.doc));
            }
            for (index, (nearest, &count)) in tile.iter_mut().zip(&sorted.counts).enumerate() {
                nearest.were_scored(count as usize, &scorer(number, index));
            }
        });
        scored.iter_mut().zip(&sorted).for_each(|(scored, sorted)| *scored += sorted.pairs.len() as u64);
    }
    monitor.check()?;
    Ok(scored)
}

impl Sorted {
    fn of(nearest: &mut [Nearest], likely: bool, num_docs: usize) -> Self {
        let docs_together = num_docs.div_ceil(GROUPS).max(1);
        let counts: Vec<u32> = nearest.iter_mut().map(|nearest| nearest.prepare_scoring(likely) as u32).collect();
        let mut unsorted = Vec::with_capacity(counts.iter().map(|&count| count as usize).sum());
        for (query, (nearest, &count)) in (0..).zip(nearest.iter().zip(&counts)) {
            unsorted.extend(nearest.first(count as usize).map(|doc| Wanted { doc, query }));
        }
        // A counting sort: where each group begins, then everybody to their place.
        let group = |pair: &Wanted| pair.doc as usize / docs_together;
        let mut starts = vec![0u32; GROUPS + 2];
        unsorted.iter().for_each(|pair| starts[group(pair) + 2] += 1);
        for index in 1..starts.len() {
            starts[index] += starts[index - 1];
        }
        let mut pairs = vec![Wanted { doc: 0, query: 0 }; unsorted.len()];
        for pair in unsorted {
            let start = &mut starts[group(&pair) + 1];
            pairs[*start as usize] = pair;
            *start += 1;
        }
        starts.pop();
        Self { pairs, starts, counts }
    }

    fn group(&self, group: usize) -> &[Wanted] {
        &self.pairs[self.starts[group] as usize..self.starts[group + 1] as usize]
    }
}

/// Scores the pairs of one piece of the groups: of each tile, in their order.
fn score_piece<S: Scorer>(
    sorted: &[Sorted],
    piece: usize,
    scorer: &impl Fn(usize, usize) -> S,
    monitor: &Monitor,
) -> Result<Vec<Vec<f64>>> {
    let groups = piece * GROUPS / PIECES..(piece + 1) * GROUPS / PIECES;
    let mut scores: Vec<Vec<f64>> = sorted
        .iter()
        .map(|tile| Vec::with_capacity((tile.starts[groups.end] - tile.starts[groups.start]) as usize))
        .collect();
    // In the order of the docs: by group, and within it by tile.
    let pairs: Vec<(u32, Wanted)> = groups
        .flat_map(|group| {
            (0u32..).zip(sorted).flat_map(move |(tile, of)| of.group(group).iter().map(move |pair| (tile, *pair)))
        })
        .collect();
    for (index, &(tile, pair)) in pairs.iter().enumerate() {
        if index % PAIRS_TOGETHER == 0 {
            monitor.check()?;
        }
        if let Some(&(tile, next)) = pairs.get(index + AHEAD) {
            scorer(tile as usize, next.query as usize).prefetch(next.doc);
        }
        scores[tile as usize].push(scorer(tile as usize, pair.query as usize).score(pair.doc));
    }
    Ok(scores)
}
