//! The docs of one query that may still be among the k nearest.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

/// A doc whose key lies in `low..=high`.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    pub low: f32,
    pub high: f32,
    pub doc: u32,
}

impl Candidate {
    /// `key`: a float32 key; `error`: bound on its distance to the true one; both may be infinite or
    /// NaN, then nothing is known.
    pub fn new(key: f32, error: f64, doc: u32) -> Self {
        Self::of(f64::from(key), error, doc)
    }

    /// As [`Candidate::new`], of a float64 key.
    pub fn of(key: f64, error: f64, doc: u32) -> Self {
        let (low, high) = (key - error, key + error);
        if low.is_finite() && high.is_finite() {
            Self { low: (low as f32).next_down(), high: (high as f32).next_up(), doc }
        } else {
            Self { low: f32::NEG_INFINITY, high: f32::INFINITY, doc }
        }
    }
}

/// The highest floor that any scan for a query has found.
#[derive(Debug)]
pub struct SharedFloor {
    /// A float32 whose order is that of its bits as a whole number.
    ordered: AtomicU32,
}

impl Default for SharedFloor {
    fn default() -> Self {
        Self { ordered: AtomicU32::new(ordered(f32::NEG_INFINITY)) }
    }
}

impl SharedFloor {
    /// Raises the floor to `floor` if that is higher; returns the higher one.
    fn raise(&self, floor: f32) -> f32 {
        let mine = ordered(floor);
        let before = self.ordered.load(Relaxed);
        if before >= mine {
            return unordered(before);
        }
        unordered(self.ordered.fetch_max(mine, Relaxed).max(mine))
    }
}

/// Maps float32 without NaN to whole numbers of the same order.
fn ordered(value: f32) -> u32 {
    let bits = value.to_bits();
    if bits >> 31 == 0 { bits | 1 << 31 } else { !bits }
}

fn unordered(bits: u32) -> f32 {
    f32::from_bits(if bits >> 31 == 1 { bits & !(1 << 31) } else { !bits })
}

/// A superset of the k nearest docs seen so far, kept small.
///
/// `floor` is a value that at least k docs seen are known to reach, so a doc that cannot reach it is
/// out. A buffer that rounding keeps from shrinking (massive ties) is decided exactly on the spot.
#[derive(Debug)]
pub struct Candidates {
    top_k: usize,
    floor: f32,
    entries: Vec<Candidate>,
}

impl Candidates {
    /// Entries held for `top_k` at most: room to collect between two clean-ups.
    pub fn capacity_for(top_k: usize) -> usize {
        top_k.saturating_add((top_k / 2).max(64))
    }

    pub fn new(top_k: usize) -> Self {
        Self { top_k, floor: f32::NEG_INFINITY, entries: Vec::new() }
    }

    /// Keys below this, by more than their error, cannot matter any more.
    pub fn floor(&self) -> f32 {
        self.floor
    }

    /// Exchanges floors with whoever scans other docs for the same query: the highest holds for all.
    pub fn share_floor(&mut self, shared: &SharedFloor) {
        self.floor = shared.raise(self.floor);
    }

    /// Takes `candidate` if it can still be among the k nearest. `keep_nearest(docs, k)` decides
    /// exactly: it must leave the k nearest of `docs`.
    pub fn push(&mut self, candidate: Candidate, keep_nearest: impl FnOnce(&mut Vec<u32>, usize)) {
        if candidate.high < self.floor {
            return;
        }
        self.entries.push(candidate);
        let capacity = Self::capacity_for(self.top_k);
        if self.entries.len() < capacity {
            return;
        }
        self.tighten();
        if self.entries.len() > capacity - capacity / 8 {
            self.decide(keep_nearest);
        }
    }

    /// Raises the floor to the k-th best lower end, and drops what cannot reach it.
    fn tighten(&mut self) {
        if self.entries.len() < self.top_k {
            return;
        }
        let (_, kth, _) = self.entries.select_nth_unstable_by(self.top_k - 1, |a, b| b.low.total_cmp(&a.low));
        self.floor = self.floor.max(kth.low);
        let floor = self.floor;
        self.entries.retain(|entry| entry.high >= floor);
    }

    fn decide(&mut self, keep_nearest: impl FnOnce(&mut Vec<u32>, usize)) {
        let mut docs: Vec<u32> = self.entries.iter().map(|entry| entry.doc).collect();
        keep_nearest(&mut docs, self.top_k);
        docs.sort_unstable();
        self.entries.retain(|entry| docs.binary_search(&entry.doc).is_ok());
        let lowest = self.entries.iter().map(|entry| entry.low).fold(f32::INFINITY, f32::min);
        self.floor = self.floor.max(lowest);
    }

    /// What is left; the k nearest seen are among it.
    pub fn into_entries(mut self) -> Vec<Candidate> {
        self.tighten();
        self.entries
    }

    /// The docs that are left of several parts of the docs; the k nearest of all are among them.
    pub fn merge<'a>(top_k: usize, parts: impl Iterator<Item = &'a [Candidate]>) -> Vec<u32> {
        let mut all = Self::new(top_k);
        parts.for_each(|part| all.entries.extend_from_slice(part));
        all.into_entries().into_iter().map(|entry| entry.doc).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_floors_only_rise() {
        let shared = SharedFloor::default();
        for (raise, highest) in
            [(-3.5, -3.5), (-7.0, -3.5), (-0.0, -0.0), (2.5, 2.5), (f32::NEG_INFINITY, 2.5), (1.0, 2.5)]
        {
            assert_eq!(shared.raise(raise), highest);
        }
        for value in [f32::NEG_INFINITY, -1e30, -1e-40, -0.0, 0.0, 1e-40, 3.0, f32::INFINITY] {
            assert_eq!(unordered(ordered(value)).to_bits(), value.to_bits());
        }
    }

    #[test]
    fn ties_that_rounding_cannot_part_are_decided_exactly() {
        let mut candidates = Candidates::new(3);
        let mut decisions = 0;
        for doc in 0..10_000 {
            candidates.push(Candidate::new(1.0, 0.1, doc), |docs, k| {
                decisions += 1;
                docs.sort_unstable();
                docs.truncate(k);
            });
        }
        let docs: Vec<u32> = candidates.into_entries().iter().map(|entry| entry.doc).collect();
        assert!(decisions > 10 && docs.len() <= Candidates::capacity_for(3));
        assert!([0, 1, 2].iter().all(|doc| docs.contains(doc)), "the nearest stay: {docs:?}");
    }
}
