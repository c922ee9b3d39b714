//! The docs of one query that the int8 filter let through, decided exactly as late as possible.

use super::topk::Candidate;
use crate::compute::error::Result;
use crate::job::Monitor;

/// A doc that may be among the k nearest.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Its key lies between these.
    low: f32,
    high: f32,
    doc: u32,
    /// The float64 score; NaN while it is not known.
    score: f64,
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
    entries: Vec<Entry>,
}

/// Scores docs of one query exactly.
pub trait Scorer {
    /// Asks for the vectors of the query and of `doc` to be brought near.
    fn prefetch(&self, doc: u32);
    /// The float64 score of `doc`, and its key.
    fn score(&self, doc: u32) -> (f64, f64);
    /// Whether the first of two scored docs is nearer; ties go to the lower doc.
    fn nearer(&self, left: (f64, u32), right: (f64, u32)) -> std::cmp::Ordering;
}

impl Nearest {
    /// Entries held at most: room for all that bounds cannot part as a rule, since scoring docs one by
    /// one, to make room, reads them from memory one by one.
    pub fn capacity_for(top_k: usize) -> usize {
        top_k.saturating_mul(3).max(top_k.saturating_add(512))
    }

    /// Bytes of an entry.
    pub const ENTRY_BYTES: usize = size_of::<Entry>();

    pub fn new(top_k: usize) -> Self {
        Self { top_k, floor: f32::NEG_INFINITY, guess: f32::NEG_INFINITY, entries: Vec::new() }
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
        self.entries.push(Entry { low, high, doc, score: f64::NAN });
        let capacity = Self::capacity_for(self.top_k);
        if self.entries.len() < capacity {
            return 0;
        }
        self.tighten();
        if self.entries.len() > capacity - capacity / 8 { self.decide(scorer) } else { 0 }
    }

    /// Raises the floor to the k-th best lower end, and drops what cannot reach the limit.
    pub fn tighten(&mut self) {
        if self.entries.len() >= self.top_k {
            let (_, kth, _) = self.entries.select_nth_unstable_by(self.top_k - 1, |a, b| b.low.total_cmp(&a.low));
            self.floor = self.floor.max(kth.low);
        }
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
                let limit = self.limit();
                self.entries.retain(|entry| entry.high >= limit);
            }
        }
    }

    /// The docs that are not scored yet and may matter, with their places.
    ///
    /// With `likely`, only those that are likely among the k nearest: once they are scored the floor is
    /// exact, and fewer of the others matter.
    pub fn unscored(&mut self, likely: bool) -> impl Iterator<Item = (usize, u32)> + '_ {
        self.tighten();
        if likely && self.entries.len() > self.top_k {
            self.entries.select_nth_unstable_by(self.top_k - 1, Entry::by_middle);
        }
        let most = if likely { self.top_k } else { usize::MAX };
        let entries = self.entries.iter().take(most).enumerate();
        entries.filter(|(_, entry)| entry.score.is_nan()).map(|(place, entry)| (place, entry.doc))
    }

    /// Takes the score and the key of the doc at a place of [`Nearest::unscored`].
    pub fn set_score(&mut self, place: usize, (score, key): (f64, f64)) {
        let entry = &mut self.entries[place];
        let key = Candidate::of(key, 0.0, entry.doc);
        (entry.score, entry.low, entry.high) = (score, key.low, key.high);
    }

    /// Scores what is not scored yet and keeps the k nearest. Returns how many were scored.
    pub fn decide(&mut self, scorer: &impl Scorer) -> usize {
        let unscored: Vec<(usize, u32)> = self.unscored(false).collect();
        for &(place, doc) in &unscored {
            self.set_score(place, scorer.score(doc));
        }
        let scored = unscored.len();
        let order = |a: &Entry, b: &Entry| scorer.nearer((a.score, a.doc), (b.score, b.doc));
        if self.entries.len() > self.top_k {
            self.entries.select_nth_unstable_by(self.top_k - 1, order);
            self.entries.truncate(self.top_k);
        }
        if self.entries.len() == self.top_k {
            let lowest = self.entries.iter().map(|entry| entry.low).fold(f32::INFINITY, f32::min);
            self.floor = self.floor.max(lowest);
        }
        scored
    }

    /// After [`Nearest::decide`]: whether the k nearest reach the guess, so that nothing was left out
    /// wrongly. Forgets the guess.
    pub fn settle_guess(&mut self) -> bool {
        let guess = std::mem::replace(&mut self.guess, f32::NEG_INFINITY);
        guess == f32::NEG_INFINITY || (self.entries.len() == self.top_k && self.floor >= guess)
    }

    /// Docs that may be among the k nearest.
    pub fn docs(&self) -> impl Iterator<Item = u32> + '_ {
        self.entries.iter().map(|entry| entry.doc)
    }

    /// The k nearest, nearest first; every entry must be scored.
    pub fn into_sorted(mut self, scorer: &impl Scorer) -> Vec<(f64, u32)> {
        self.decide(scorer);
        self.entries.sort_unstable_by(|a, b| scorer.nearer((a.score, a.doc), (b.score, b.doc)));
        self.entries.into_iter().map(|entry| (entry.score, entry.doc)).collect()
    }
}

impl<S: Scorer> Scorer for &S {
    fn prefetch(&self, doc: u32) {
        (**self).prefetch(doc);
    }

    fn score(&self, doc: u32) -> (f64, f64) {
        (**self).score(doc)
    }

    fn nearer(&self, left: (f64, u32), right: (f64, u32)) -> std::cmp::Ordering {
        (**self).nearer(left, right)
    }
}

/// A doc to be scored for a query, and where the score goes.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    doc: u32,
    query: u32,
    place: u32,
}

/// Scores all docs that may matter in float64, roughly in the order of the docs, so that each is read
/// from memory once. Afterwards each [`Nearest`] holds its k nearest, scored. Returns how many were.
///
/// `num_docs`: docs are below this.
///
/// # Errors
/// Cancelled.
pub fn decide_all<S: Scorer>(
    nearest: &mut [Nearest],
    num_docs: usize,
    scorer: impl Fn(usize) -> S,
    monitor: &Monitor,
) -> Result<u64> {
    let mut scored = 0;
    // The likely ones first: with their exact scores as a floor fewer of the others are left.
    for likely in [true, false] {
        let wanted = wanted(nearest, likely, num_docs);
        for (index, pair) in wanted.iter().enumerate() {
            if index % 1024 == 0 {
                monitor.check()?;
            }
            if let Some(next) = wanted.get(index + 3) {
                scorer(next.query as usize).prefetch(next.doc);
            }
            let query = pair.query as usize;
            nearest[query].set_score(pair.place as usize, scorer(query).score(pair.doc));
        }
        scored += wanted.len() as u64;
    }
    for (index, nearest) in nearest.iter_mut().enumerate() {
        nearest.decide(&scorer(index));
    }
    monitor.check()?;
    Ok(scored)
}

/// What is to be scored, by groups of docs that lie together.
fn wanted(nearest: &mut [Nearest], likely: bool, num_docs: usize) -> Vec<Wanted> {
    const GROUPS: usize = 4096;
    let docs_together = num_docs.div_ceil(GROUPS).max(1);
    let mut unsorted = Vec::new();
    for (query, nearest) in nearest.iter_mut().enumerate() {
        let places = nearest.unscored(likely);
        unsorted.extend(places.map(|(place, doc)| Wanted { doc, query: query as u32, place: place as u32 }));
    }
    // A counting sort: where each group begins, then everybody to their place.
    let group = |pair: &Wanted| pair.doc as usize / docs_together;
    let mut starts = vec![0usize; GROUPS + 1];
    unsorted.iter().for_each(|pair| starts[group(pair) + 1] += 1);
    for index in 0..GROUPS {
        starts[index + 1] += starts[index];
    }
    let mut sorted = vec![Wanted { doc: 0, query: 0, place: 0 }; unsorted.len()];
    for pair in unsorted {
        let start = &mut starts[group(&pair)];
        sorted[*start] = pair;
        *start += 1;
    }
    sorted
}
