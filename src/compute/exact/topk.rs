//! The docs of one query that may still be among the k nearest.

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
        let (low, high) = (f64::from(key) - error, f64::from(key) + error);
        if low.is_finite() && high.is_finite() {
            Self { low: (low as f32).next_down(), high: (high as f32).next_up(), doc }
        } else {
            Self { low: f32::NEG_INFINITY, high: f32::INFINITY, doc }
        }
    }
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
        top_k.saturating_mul(2).saturating_add(256)
    }

    pub fn new(top_k: usize) -> Self {
        Self { top_k, floor: f32::NEG_INFINITY, entries: Vec::new() }
    }

    /// Keys below this, by more than their error, cannot matter any more.
    pub fn floor(&self) -> f32 {
        self.floor
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

    /// The docs that are left; the k nearest seen are among them.
    pub fn into_docs(mut self) -> Vec<u32> {
        self.tighten();
        self.entries.into_iter().map(|entry| entry.doc).collect()
    }
}
