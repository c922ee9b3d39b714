//! Groups of near-duplicates: docs that pairs connect, directly or through others.

use rayon::prelude::*;

use super::Within;
use super::pairs::{ClassPair, Pairs, equal_score};
use crate::compute::error::Result;
use crate::compute::index::truth::Arena;
use crate::compute::metric::Metric;
use crate::job::Monitor;

/// Points of the curve, at most.
const STEPS: usize = 200;
/// Different docs of a group whose pairs are all measured, to find the loosest one.
const MOST_MEASURED: usize = 4096;

/// A pair of docs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// doc < other
    pub doc: u32,
    pub other: u32,
    /// Similarity, or distance under euclidean.
    pub score: f64,
}

/// Docs that are connected by pairs within the threshold.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Ascending, two at least.
    pub docs: Vec<u32>,
    /// Pairs within the threshold.
    pub pairs: u64,
    /// The nearest two.
    pub tightest: Pair,
    /// The farthest two, which only a chain of others may connect; `None` of more than `MOST_MEASURED` different docs.
    pub loosest: Option<Pair>,
    /// Texts of the nearest two, where there are texts.
    pub texts: Option<[String; 2]>,
}

/// What a stricter threshold would give.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    pub threshold: f64,
    pub pairs: u64,
    pub groups: usize,
    /// Docs in groups.
    pub docs: usize,
}

/// Sets that are joined.
pub struct Sets {
    parents: Vec<u32>,
}

impl Sets {
    pub fn new(count: usize) -> Self {
        Self { parents: (0..count as u32).collect() }
    }

    /// The member that stands for a set.
    pub fn root(&mut self, mut member: u32) -> u32 {
        while self.parents[member as usize] != member {
            // Every other one on the way points farther up afterwards.
            let above = self.parents[self.parents[member as usize] as usize];
            self.parents[member as usize] = above;
            member = above;
        }
        member
    }

    /// Joins two sets; the lower root stands for both.
    pub fn join(&mut self, left: u32, right: u32) {
        let (left, right) = (self.root(left), self.root(right));
        self.parents[left.max(right) as usize] = left.min(right);
    }
}

/// The groups, largest first, equal ones by their first docs.
///
/// # Errors
/// Cancelled.
pub fn of(arena: &Arena, pairs: &Pairs, monitor: &Monitor) -> Result<Vec<Group>> {
    const NONE: usize = usize::MAX;
    let mut sets = Sets::new(pairs.classes());
    pairs.class_pairs().for_each(|pair| sets.join(pair.left, pair.right));
    let is_nearer = |score: f64, known: &Option<ClassPair>| {
        known.is_none_or(|known| arena.metric.nearest_first(score, known.score).is_lt())
    };
    struct Found {
        classes: Vec<u32>,
        pairs: u64,
        tightest: Option<ClassPair>,
    }
    let mut place_of = vec![NONE; pairs.classes()];
    let mut found: Vec<Found> = Vec::new();
    for pair in pairs.class_pairs() {
        let root = sets.root(pair.left) as usize;
        if place_of[root] == NONE {
            place_of[root] = found.len();
            found.push(Found { classes: Vec::new(), pairs: 0, tightest: None });
        }
        let group = &mut found[place_of[root]];
        group.pairs += pair.pairs;
        if is_nearer(pair.score, &group.tightest) {
            group.tightest = Some(pair);
        }
    }
    for class in 0..pairs.classes() as u32 {
        let place = place_of[sets.root(class) as usize];
        if place != NONE {
            found[place].classes.push(class);
        }
    }
    monitor.begin("measuring groups", "groups", found.len() as u64);
    let measure = |group: Found| -> Result<Option<Group>> {
        let Some(tightest) = group.tightest else { return Ok(None) };
        let mut docs: Vec<u32> =
            group.classes.iter().flat_map(|&class| pairs.members_of(class as usize)).copied().collect();
        docs.sort_unstable();
        let leaders: Vec<u32> = group.classes.iter().map(|&class| pairs.members_of(class as usize)[0]).collect();
        let loosest = match leaders.len() {
            0..=MOST_MEASURED => {
                let equal = group.classes.iter().filter_map(|&class| equal(arena, pairs.members_of(class as usize)));
                equal
                    .map(Some)
                    .fold(loosest(arena, &leaders, monitor)?, |left, right| farther(arena.metric, left, right))
            }
            _ => None,
        };
        let tightest = as_docs(pairs, tightest);
        monitor.advance(1)?;
        Ok(Some(Group { docs, pairs: group.pairs, tightest, loosest, texts: None }))
    };
    let measured: Result<Vec<Option<Group>>> = found.into_par_iter().map(measure).collect();
    let mut groups: Vec<Group> = measured?.into_iter().flatten().collect();
    groups.sort_by_key(|group| (std::cmp::Reverse(group.docs.len()), group.docs[0]));
    Ok(groups)
}

fn as_docs(pairs: &Pairs, pair: ClassPair) -> Pair {
    let left = pairs.members_of(pair.left as usize);
    let (doc, other) = match pair.left == pair.right {
        true => (left[0], left[1]),
        false => (left[0], pairs.members_of(pair.right as usize)[0]),
    };
    Pair { doc: doc.min(other), other: doc.max(other), score: pair.score }
}

/// The first two of equal docs.
fn equal(arena: &Arena, docs: &[u32]) -> Option<Pair> {
    let (&doc, &other) = docs.first().zip(docs.get(1))?;
    Some(Pair { doc, other, score: equal_score(arena, doc, other) })
}

/// The farther of two pairs, the first of equals.
fn farther(metric: Metric, left: Option<Pair>, right: Option<Pair>) -> Option<Pair> {
    match (left, right) {
        (Some(left), Some(right)) => {
            let order = metric.nearest_first(right.score, left.score);
            Some(if order.then((left.doc, left.other).cmp(&(right.doc, right.other))).is_le() { left } else { right })
        }
        (left, right) => left.or(right),
    }
}

/// The farthest two of different docs, the first of equals; `None` of fewer than two.
fn loosest(arena: &Arena, docs: &[u32], monitor: &Monitor) -> Result<Option<Pair>> {
    docs.par_iter()
        .enumerate()
        .map(|(place, &doc)| {
            monitor.check()?;
            let others = docs[place + 1..].iter();
            let each = others.map(|&other| {
                let score = arena.score(doc as usize, other);
                Some(Pair { doc: doc.min(other), other: doc.max(other), score })
            });
            Ok(each.fold(None, |left, right| farther(arena.metric, left, right)))
        })
        .try_reduce(|| None, |left, right| Ok(farther(arena.metric, left, right)))
}

/// What stricter thresholds would give: from the nearest pair to the threshold itself, in equal steps.
pub fn curve(pairs: &Pairs, within: Within) -> Vec<Step> {
    let mut sorted: Vec<ClassPair> = pairs.class_pairs().collect();
    sorted.sort_by(|left, right| {
        let order = within.metric.nearest_first(left.score, right.score);
        order.then((left.left, left.right).cmp(&(right.left, right.right)))
    });
    let Some(best) = sorted.first().map(|pair| pair.score) else {
        return vec![Step { threshold: within.threshold, pairs: 0, groups: 0, docs: 0 }];
    };
    let steps = if best == within.threshold { 0 } else { STEPS };
    let mut sets = Sets::new(pairs.classes());
    // Docs of each set, and whether it is a group.
    let mut sizes: Vec<usize> = (0..pairs.classes()).map(|class| pairs.members_of(class).len()).collect();
    let mut is_group = vec![false; pairs.classes()];
    let mut now = Step { threshold: best, pairs: 0, groups: 0, docs: 0 };
    let mut next = 0;
    let mut curve = Vec::with_capacity(steps + 1);
    for step in 0..=steps {
        now.threshold = match step == steps {
            true => within.threshold,
            false => best + (within.threshold - best) * step as f64 / steps as f64,
        };
        let reached = Within { metric: within.metric, threshold: now.threshold };
        while let Some(pair) = sorted.get(next).filter(|pair| reached.holds(pair.score)) {
            next += 1;
            now.pairs += pair.pairs;
            let (left, right) = (sets.root(pair.left) as usize, sets.root(pair.right) as usize);
            for set in [left, right] {
                if !is_group[set] {
                    is_group[set] = true;
                    now.groups += 1;
                    now.docs += sizes[set];
                }
            }
            if left != right {
                sets.join(pair.left, pair.right);
                sizes[left.min(right)] = sizes[left] + sizes[right];
                now.groups -= 1;
            }
        }
        curve.push(now);
    }
    curve
}
