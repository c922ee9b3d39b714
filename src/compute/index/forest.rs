//! Annoy's search of a forest, whoever planted it: the most promising nodes of all trees first, until `search_k` docs are
//! found, then these by their exact score.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::hyperplane::key;
use super::{Docs, take_nearest};
use crate::compute::error::{Error, Result};
use crate::compute::figures::count as count_of;
use crate::compute::kernels::{self, Level};
use crate::compute::metric::Metric;

/// Docs whose vectors are asked for before the one that is scored: memory answers late, but many at a time.
const AHEAD: usize = 4;

/// A place in a tree.
pub(super) enum Node<'a> {
    Doc(u32),
    Docs(&'a [u32]),
    /// Docs with a `normal` · doc + `offset` > 0 are below the second child, those with less below the first.
    Plane {
        normal: &'a [f32],
        offset: f32,
        children: [u32; 2],
    },
}

/// Trees, and the docs in them.
pub(super) trait Forest: Sync {
    /// Docs are below this.
    fn docs(&self) -> usize;

    /// Places of nodes are below this.
    fn nodes(&self) -> usize;

    fn roots(&self) -> &[u32];

    /// The node at a place below [`Self::nodes`].
    ///
    /// # Errors
    /// None of the nodes that there may be.
    fn node(&self, place: u32) -> Result<Node<'_>>;

    /// The vector of a doc below [`Self::docs`], its float32 values little-endian; empty of a doc that is not there.
    fn stored(&self, doc: u32) -> &[u8];

    /// The error that says `what` is wrong with the file.
    fn damaged(&self, what: &str) -> Error;
}

/// Answers queries of `dim`, row-major: k `ids` each, nearest first, [`super::NONE`] where there are fewer. Looks at `search_k` docs,
/// those that several trees tell counted as often; at k · trees of them if it is 0, which is Annoy's own choice. Returns how
/// many distances it computed.
///
/// # Errors
/// A damaged forest.
pub(super) fn search(
    forest: &impl Forest,
    metric: Metric,
    search_k: usize,
    (queries, dim): (&[f32], usize),
    (ids, k): (&mut [u32], usize),
) -> Result<u64> {
    let wanted = if search_k == 0 { k.saturating_mul(forest.roots().len()) } else { search_k };
    let mut searcher = Searcher {
        level: Level::detected(),
        waiting: BinaryHeap::new(),
        found: Vec::new(),
        seen: vec![0; forest.docs().div_ceil(64)],
        values: vec![0.0; dim],
        places: Vec::new(),
    };
    let each = queries.chunks_exact(dim).zip(ids.chunks_exact_mut(k));
    each.map(|(query, ids)| {
        searcher.gather(forest, query, wanted)?;
        searcher.nearest(forest, metric, query, ids)
    })
    .sum()
}

/// The only search parameter.
///
/// # Errors
/// Another name.
pub(super) fn search_k(name: &str, value: u64) -> Result<usize> {
    if name != "search_k" {
        return Err(Error::Parameter { name: "index", expected: "search_k".to_owned(), found: name.to_owned() });
    }
    Ok(value as usize)
}

/// Docs that are compared with those of a forest.
const COMPARED: usize = 64;
/// Share of a squared length by which equal vectors may differ: one may be rounded.
const SAME: f64 = 1e-6;

/// Compares some vectors of the forest with those of the docs that it should be of: their directions under cosine, since a forest may
/// hold normalised ones.
///
/// # Errors
/// Most of them are others.
pub(super) fn check_docs(forest: &impl Forest, docs: Docs<'_>) -> Result<()> {
    let level = Level::detected();
    let mut values = vec![0.0; docs.file.dim()];
    let count = forest.docs().min(docs.count);
    let (mut compared, mut others) = (0, 0);
    for doc in (0..count).step_by(count.div_ceil(COMPARED).max(1)) {
        let row = docs.file.row(doc);
        let Some(vector) = vector(forest.stored(doc as u32), &mut values) else { continue };
        let [own, theirs, product] =
            [(row, row), (vector, vector), (row, vector)].map(|(left, right)| kernels::dot_f64(level, left, right));
        let is_same = match docs.metric {
            Metric::Cosine => product >= (own * theirs).sqrt() * (1.0 - SAME),
            Metric::Dot | Metric::Euclidean => own + theirs - 2.0 * product <= own.max(theirs) * SAME,
        };
        compared += 1;
        others += usize::from(!is_same);
    }
    if 2 * others > compared {
        return Err(forest.damaged(&format!(
            "holds other vectors than the docs ({} of {} that were compared)",
            count_of(others),
            count_of(compared)
        )));
    }
    Ok(())
}

/// What is used anew for every query.
struct Searcher {
    level: Level,
    waiting: BinaryHeap<Promise>,
    /// Docs in the order in which they were found, each once.
    found: Vec<u32>,
    /// A bit a doc, set if it was found; none between queries.
    seen: Vec<u64>,
    values: Vec<f32>,
    places: Vec<u128>,
}

impl Searcher {
    /// Finds the docs to score.
    fn gather(&mut self, forest: &impl Forest, query: &[f32], wanted: usize) -> Result<()> {
        for doc in self.found.drain(..) {
            self.seen[doc as usize / 64] = 0;
        }
        self.waiting.clear();
        self.waiting.extend(forest.roots().iter().map(|&node| Promise { margin: f32::INFINITY, node }));
        let (mut looked_at, mut visited) = (0, 0);
        while looked_at < wanted
            && let Some(Promise { margin, node }) = self.waiting.pop()
        {
            visited += 1;
            if visited > 2 * forest.nodes() {
                return Err(forest.damaged("has nodes that lead in circles"));
            }
            match forest.node(node)? {
                Node::Doc(doc) => looked_at += self.take(forest, &[doc])?,
                Node::Docs(docs) => looked_at += self.take(forest, docs)?,
                Node::Plane { normal, offset, children: [first, second] } => {
                    let side = kernels::dot_f64(self.level, normal, query) as f32 + offset;
                    if (first.max(second) as usize) >= forest.nodes() {
                        return Err(forest.damaged("names a node that is not there"));
                    }
                    for (node, side) in [(second, side), (first, -side)] {
                        // −0 is +0: on a plane without a direction, both sides are alike.
                        self.waiting.push(Promise { margin: margin.min(side) + 0.0, node });
                    }
                }
            }
        }
        Ok(())
    }

    /// Adds those of `docs` that were not found before. Returns how many there are.
    fn take(&mut self, forest: &impl Forest, docs: &[u32]) -> Result<usize> {
        for &doc in docs {
            let word = self.seen.get_mut(doc as usize / 64).filter(|_| (doc as usize) < forest.docs());
            let word = word.ok_or_else(|| forest.damaged("lists a doc that is not there"))?;
            let bit = 1 << (doc % 64);
            if *word & bit == 0 {
                *word |= bit;
                self.found.push(doc);
            }
        }
        Ok(docs.len())
    }

    /// The nearest of the found docs, and how many these are.
    fn nearest(&mut self, forest: &impl Forest, metric: Metric, query: &[f32], ids: &mut [u32]) -> Result<u64> {
        self.places.clear();
        for (index, &doc) in self.found.iter().enumerate() {
            if let Some(&next) = self.found.get(index + AHEAD) {
                kernels::prefetch(forest.stored(next));
            }
            let key = vector(forest.stored(doc), &mut self.values)
                .map(|vector| key(self.level, metric, query, vector))
                .filter(|key| key.is_finite())
                .ok_or_else(|| forest.damaged("holds a doc that is no vector of numbers"))?;
            self.places.push(metric.place(key, doc));
        }
        take_nearest(&mut self.places, ids);
        Ok(self.found.len() as u64)
    }
}

/// The values of a stored vector, where they lie or copied to `values`; `None` of another length.
fn vector<'a>(stored: &'a [u8], values: &'a mut [f32]) -> Option<&'a [f32]> {
    if stored.len() != size_of_val(values) {
        return None;
    }
    Some(match bytemuck::try_cast_slice(stored) {
        Ok(vector) => vector,
        Err(_) => {
            bytemuck::cast_slice_mut(values).copy_from_slice(stored);
            values
        }
    })
}

/// A node to look at, those with the largest margin first.
struct Promise {
    margin: f32,
    node: u32,
}

impl Ord for Promise {
    fn cmp(&self, other: &Self) -> Ordering {
        self.margin.total_cmp(&other.margin).then(self.node.cmp(&other.node))
    }
}

impl PartialOrd for Promise {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Promise {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Promise {}
