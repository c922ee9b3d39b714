//! The docs of one query that the int8 filter let through, decided exactly as late as possible.

mod together;

pub use together::{PAIR_BYTES, decide_all, scoring_bytes};

use super::topk::Candidate;
use crate::compute::kernels;
use crate::compute::metric::Metric;

/// Entries that a list has room for at first.
const FIRST_ROOM: usize = 256;
/// How many pairs ahead vectors are asked for: as long as memory takes when it is busy.
const AHEAD: usize = 4;

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

    /// The likely nearest have the lowest.
    fn rank(&self) -> i32 {
        rank_of(self.middle())
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
    /// Entries at most.
    capacity: usize,
    floor: f32,
    guess: f32,
    /// Not scored yet.
    entries: Vec<Entry>,
    /// Places of docs with float64 scores, see [`Metric::place`].
    scored: Vec<u128>,
}

/// Scores docs of one query exactly.
pub trait Scorer: Sized {
    /// What is read to score `doc`: the query, and the doc.
    fn vectors(&self, doc: u32) -> [&[f32]; 2];
    /// The float64 score of `doc`.
    fn score(&self, doc: u32) -> f64;
    /// The float64 scores of `count` docs. `pair`: for whom each is scored, and which it is; those of a doc follow each
    /// other. `found` hears of each in turn. Vectors are asked for some pairs ahead.
    fn score_all<'s>(count: usize, pair: impl Fn(usize) -> (&'s Self, u32), found: impl FnMut(usize, f64))
    where
        Self: 's,
    {
        score_one_by_one(count, pair, found);
    }
    /// The key that a score stands for.
    fn key(&self, score: f64) -> f64;
    /// Whose order scores have.
    fn metric(&self) -> Metric;
}

/// What [`Scorer::score_all`] does where nothing is better.
pub fn score_one_by_one<'s, S: Scorer + 's>(
    count: usize,
    pair: impl Fn(usize) -> (&'s S, u32),
    mut found: impl FnMut(usize, f64),
) {
    for index in 0..count {
        // Past the end, what was asked for last is near already.
        let (scorer, doc) = pair((index + AHEAD).min(count - 1));
        scorer.vectors(doc).into_iter().for_each(kernels::prefetch);
        let (scorer, doc) = pair(index);
        found(index, scorer.score(doc));
    }
}

impl Nearest {
    /// Entries held at most: room for all that bounds cannot part as a rule, since scoring docs one by
    /// one, to make room, reads them from memory one by one.
    pub fn capacity_for(top_k: usize) -> usize {
        top_k.saturating_mul(3).max(top_k.saturating_add(512))
    }

    /// The same where memory is not scarce: so many are left of 100,000 docs that have nothing in common.
    pub fn roomy_capacity_for(top_k: usize) -> usize {
        top_k.saturating_mul(3).max(top_k.saturating_add(1024))
    }

    /// Bytes of the lists at most: entries, and scored docs that all of them became, beside the nearest before.
    pub fn bytes(top_k: usize, capacity: usize) -> usize {
        capacity * size_of::<Entry>() + (top_k + capacity) * size_of::<u128>()
    }

    /// `capacity`: as [`Self::capacity_for`].
    pub fn new(top_k: usize, capacity: usize) -> Self {
        let (floor, guess) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
        Self { top_k, capacity, floor, guess, entries: Vec::new(), scored: Vec::new() }
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
        if self.entries.len() == self.entries.capacity() {
            // Twice as many, but no more than there may be.
            self.entries.reserve_exact(self.entries.len().max(FIRST_ROOM).min(self.capacity - self.entries.len()));
        }
        self.entries.push(Entry { low, high, doc });
        let capacity = self.capacity;
        if self.entries.len() < capacity {
            return 0;
        }
        self.tighten();
        let is_full = |entries: &[Entry]| entries.len() > capacity - capacity / 8;
        let mut scored = 0;
        if is_full(&self.entries) {
            // The likely ones tell an exact floor, which leaves few of the others.
            let likely = self.put_likely_first(&mut Vec::new());
            scored += self.score_first(likely, scorer);
            self.drop_hopeless();
        }
        if is_full(&self.entries) {
            scored += self.decide(scorer);
        }
        scored
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
        // Which of them stay is not foreseeable, so all are moved.
        let mut kept = 0;
        for index in 0..self.entries.len() {
            let entry = self.entries[index];
            self.entries[kept] = entry;
            kept += usize::from(entry.high >= limit);
        }
        self.entries.truncate(kept);
    }

    /// Guesses that the k-th nearest of all docs is at least as near as what is now the nearest but
    /// `rank`; nothing when fewer are known. `keys`: room for all of them.
    pub fn raise_guess(&mut self, rank: usize, scorer: &impl Scorer, keys: &mut Vec<i32>) {
        if rank >= self.entries.len() + self.scored.len() {
            return;
        }
        let scored = self.scored.iter().map(|&place| scorer.key(scorer.metric().score_at(place)) as f32);
        // Whole numbers in the order of the keys, which are parted without branches.
        keys.clear();
        keys.extend(scored.map(rank_of).chain(self.entries.iter().map(Entry::rank)));
        let (_, &mut guess, _) = keys.select_nth_unstable(rank);
        let guess = key_of(guess);
        if guess.is_finite() {
            self.guess = self.guess.max(guess);
            // Short lists are looked through quickly the next time, and stay near.
            self.drop_hopeless();
        }
    }

    /// Puts those first that are likely among the k nearest: once they are scored the floor is exact, and fewer of the others
    /// matter. Returns how many there are. `ranks`: room for those of all.
    fn put_likely_first(&mut self, ranks: &mut Vec<i32>) -> usize {
        if self.scored.len() >= self.top_k {
            self.drop_hopeless();
            return 0;
        }
        let wanted = self.top_k - self.scored.len();
        if self.entries.len() <= wanted {
            return self.entries.len();
        }
        ranks.clear();
        ranks.extend(self.entries.iter().map(Entry::rank));
        let (before, &mut last, _) = ranks.select_nth_unstable(wanted - 1);
        let mut ties = wanted - before.iter().filter(|&&rank| rank < last).count();
        // Which of them are likely is not foreseeable, so all are moved.
        let mut first = 0;
        for index in 0..self.entries.len() {
            let rank = self.entries[index].rank();
            let is_tie = rank == last && ties > 0;
            ties -= usize::from(is_tie);
            self.entries.swap(first, index);
            first += usize::from(rank < last || is_tie);
        }
        debug_assert_eq!(first, wanted);
        wanted
    }

    /// The docs of the first `count` entries.
    fn first(&self, count: usize) -> impl Iterator<Item = u32> + Clone + '_ {
        self.entries[..count].iter().map(|entry| entry.doc)
    }

    /// Takes the scores of the first `count` entries. What k scored docs reach is a floor.
    fn were_scored(&mut self, count: usize, scores: &mut impl Iterator<Item = f64>, scorer: &impl Scorer) {
        self.scored.reserve_exact(count);
        let metric = scorer.metric();
        let scored = self.entries.drain(..count).zip(scores);
        self.scored.extend(scored.map(|(entry, score)| metric.place(score, entry.doc)));
        self.keep_nearest(scorer);
    }

    /// Scores what is not scored yet and keeps the k nearest. Returns how many were scored.
    pub fn decide(&mut self, scorer: &impl Scorer) -> usize {
        self.drop_hopeless();
        self.score_first(self.entries.len(), scorer)
    }

    /// Scores the first `count` entries, and returns this count.
    fn score_first<S: Scorer>(&mut self, count: usize, scorer: &S) -> usize {
        let mut scores = Vec::with_capacity(count);
        S::score_all(count, |place| (scorer, self.entries[place].doc), |_, score| scores.push(score));
        self.were_scored(count, &mut scores.into_iter(), scorer);
        count
    }

    /// Of the scored docs, the k nearest; what the last of them reaches is a floor.
    fn keep_nearest(&mut self, scorer: &impl Scorer) {
        if self.scored.len() < self.top_k {
            return;
        }
        let (_, &mut last, _) = self.scored.select_nth_unstable(self.top_k - 1);
        self.scored.truncate(self.top_k);
        let key = scorer.key(scorer.metric().score_at(last));
        self.floor = self.floor.max(Candidate::of(key, 0.0, Metric::doc_at(last)).low);
    }

    /// After [`Nearest::decide`]: whether the k nearest reach the guess, so that nothing was left out
    /// wrongly. Forgets the guess.
    pub fn settle_guess(&mut self) -> bool {
        let guess = std::mem::replace(&mut self.guess, f32::NEG_INFINITY);
        guess == f32::NEG_INFINITY || (self.scored.len() == self.top_k && self.floor >= guess)
    }

    /// Docs that may be among the k nearest.
    pub fn docs(&self) -> impl Iterator<Item = u32> + '_ {
        self.entries.iter().map(|entry| entry.doc).chain(self.scored.iter().map(|&place| Metric::doc_at(place)))
    }

    /// Scores and docs of the k nearest, nearest first. `keys`: room for all of them.
    pub fn sorted<S: Scorer>(
        &mut self,
        scorer: &S,
        keys: &mut Vec<u64>,
    ) -> impl ExactSizeIterator<Item = (f64, u32)> + '_ {
        self.decide(scorer);
        sort_places(&mut self.scored, keys);
        let metric = scorer.metric();
        self.scored.iter().map(move |&place| (metric.score_at(place), Metric::doc_at(place)))
    }

    /// Forgets everything, for another query; the room of its lists stays.
    pub fn reset(&mut self) {
        (self.floor, self.guess) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
        self.entries.clear();
        self.scored.clear();
    }
}

/// Sorts `places`; `keys`: room for all of them. Most of a score and an index in a whole number are sorted faster than whole places.
fn sort_places(places: &mut [u128], keys: &mut Vec<u64>) {
    // The last bits of a key are an index; those that it has no room for differ from place to place as a rule.
    let bits = places.len().next_power_of_two().ilog2();
    keys.clear();
    keys.extend(places.iter().zip(0u64..).map(|(&place, index)| (place >> 32) as u64 >> bits << bits | index));
    keys.sort_unstable();
    let mut sorted: Vec<u128> = keys.iter().map(|key| places[(key & ((1 << bits) - 1)) as usize]).collect();
    let mut rest = sorted.as_mut_slice();
    for like in keys.chunk_by(|left, right| left >> bits == right >> bits) {
        let run;
        (run, rest) = rest.split_at_mut(like.len());
        run.sort_unstable();
    }
    places.copy_from_slice(&sorted);
}

/// Larger keys come first, as by [`f32::total_cmp`].
fn rank_of(key: f32) -> i32 {
    !in_order(key.to_bits().cast_signed())
}

fn key_of(rank: i32) -> f32 {
    f32::from_bits(in_order(!rank).cast_unsigned())
}

/// Bits of float32 as whole numbers in the same order, and back: those below zero are stored with their size.
fn in_order(bits: i32) -> i32 {
    bits ^ ((bits >> 31) & i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::random::Random;
    use crate::job::Monitor;
    use proptest::prelude::*;

    /// Scores that are drawn by query and doc, few different ones.
    struct Drawn {
        query: u32,
        levels: u32,
    }

    impl Scorer for Drawn {
        fn vectors(&self, _: u32) -> [&[f32]; 2] {
            [&[]; 2]
        }

        fn score(&self, doc: u32) -> f64 {
            let hash = (u64::from(self.query) << 32 | u64::from(doc)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            f64::from(hash as u32 % self.levels)
        }

        fn key(&self, score: f64) -> f64 {
            score
        }

        fn metric(&self) -> Metric {
            Metric::Dot
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        /// Whatever of a query's docs is pushed, by bounds of any width, the k nearest of these are found: with pairs enough
        /// for one round or two, lists that overflow, massive ties, queries without docs.
        #[test]
        fn the_nearest_are_found_by_bounds(
            counts in prop::collection::vec(0usize..9, 1..9),
            first in 0u32..1000,
            docs in 1u32..1500,
            levels in prop_oneof![Just(1u32), Just(7), Just(1 << 20)],
            width in prop_oneof![Just(0.0), 0.0..4.0, Just(1e6)],
            top_k in 1usize..40,
        ) {
            let mut tiles: Vec<Vec<Nearest>> = counts.iter().map(|&count| vec![Nearest::new(top_k, Nearest::capacity_for(top_k)); count]).collect();
            let scorers: Vec<Drawn> = (0..900).map(|query| Drawn { query, levels }).collect();
            let scorer = |tile: usize, query: usize| &scorers[tile * 100 + query];
            // Every third query has a share of the docs alone, the last ones none.
            let asked = |query: usize, doc: u32| match query % 3 {
                0 => true,
                1 => doc.is_multiple_of(5),
                _ => query < 5 && doc.is_multiple_of(97),
            };
            for (tile, nearest) in tiles.iter_mut().enumerate() {
                for (query, nearest) in nearest.iter_mut().enumerate() {
                    let scorer = scorer(tile, query);
                    for doc in (first..first + docs).filter(|&doc| asked(query, doc)) {
                        nearest.push(Candidate::of(scorer.score(doc), width, doc), scorer);
                    }
                }
            }
            let range = first as usize..(first + docs) as usize;
            let mut slices: Vec<&mut [Nearest]> = tiles.iter_mut().map(Vec::as_mut_slice).collect();
            decide_all(&mut slices, &range, scorer, &Monitor::new()).expect("decided");
            for (tile, nearest) in tiles.into_iter().enumerate() {
                for (query, mut nearest) in nearest.into_iter().enumerate() {
                    let scorer = scorer(tile, query);
                    let mut expected: Vec<u128> = (first..first + docs)
                        .filter(|&doc| asked(query, doc))
                        .map(|doc| Metric::Dot.place(scorer.score(doc), doc))
                        .collect();
                    expected.sort_unstable();
                    expected.truncate(top_k);
                    let found: Vec<u128> =
                        nearest.sorted(scorer, &mut Vec::new()).map(|(score, doc)| Metric::Dot.place(score, doc)).collect();
                    prop_assert_eq!(found, expected, "tile {}, query {}", tile, query);
                }
            }
        }
    }

    #[test]
    fn places_are_sorted_whatever_of_them_is_alike() {
        let mut random = Random::new(7);
        for count in [0usize, 1, 2, 3, 100, 129, 5000] {
            // Scores that differ in any of their bits, in the last ones, or not at all.
            for bits in [0, 5, 12, 40, 64] {
                let score = |random: &mut Random| random.bits().checked_shr(64 - bits).unwrap_or(0);
                let mut places: Vec<u128> =
                    (0..count).map(|doc| u128::from(score(&mut random)) << 32 | (count - doc) as u128).collect();
                let mut expected = places.clone();
                expected.sort_unstable();
                sort_places(&mut places, &mut vec![3; 9]);
                assert_eq!(places, expected, "{count} places, {bits} bits");
            }
        }
    }

    #[test]
    fn ranks_are_in_the_order_of_keys() {
        let keys = [f32::INFINITY, 1e30, 2.0, 1.0, 1e-40, 0.0, -0.0, -1e-40, -1.5, -3.0, f32::NEG_INFINITY];
        assert!(keys.map(rank_of).is_sorted_by(|left, right| left < right));
        assert_eq!(keys.map(|key| key_of(rank_of(key)).to_bits()), keys.map(f32::to_bits));
    }

    #[test]
    fn an_overflowing_list_is_parted_by_its_likely_docs_or_scored_as_a_whole() {
        let scorer = Drawn { query: 3, levels: 1 << 20 };
        let filled = |width: f64| {
            let mut nearest = Nearest::new(10, Nearest::capacity_for(10));
            let push = |doc| nearest.push(Candidate::of(scorer.score(doc), width, doc), &scorer);
            (0..2 * Nearest::capacity_for(10) as u32).map(push).collect::<Vec<_>>()
        };
        // Bounds of a hundredth of the range: the ten likely docs rule most others out.
        let scored: usize = filled(1e4).into_iter().sum();
        assert!(scored == 0 || scored.is_multiple_of(10) && scored < 100, "{scored}");
        // Bounds that say nothing: the likely ten alone first, then all others.
        let scored = filled(1e9);
        let capacity = Nearest::capacity_for(10);
        assert_eq!(scored.iter().copied().find(|&scored| scored > 0), Some(capacity));
    }
}
