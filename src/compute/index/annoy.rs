//! Index files of Annoy (`.ann`), read without Annoy.
//!
//! A file is nodes of one size, the items first, then the trees, and at the end copies of the roots. It tells neither
//! dim nor metric; a node of f dimensions has, little-endian:
//! - angular: i32 descendants, two i32 children (items: norm), f float32;
//! - euclidean: i32 descendants, a float32 offset, two i32 children, f float32;
//! - dot: i32 descendants, two i32 children, a float32 factor, f float32.
//!
//! A node of few descendants lists them from its children on. The search is Annoy's: the most promising nodes of all
//! trees first, until `search_k` items are found, then these by distance.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::path::{Path, PathBuf};

use super::hyperplane::key;
use super::{Docs, Index, NONE, Threads, Traits};
use crate::compute::error::{Error, Result};
use crate::compute::figures::{count, grouped};
use crate::compute::kernels::Level;
use crate::compute::metric::Metric;
use crate::compute::vectors::MappedFile;
use crate::job::Monitor;

/// An opened `.ann` file.
pub struct AnnoyFile {
    file: MappedFile,
    path: PathBuf,
    dim: usize,
    metric: Metric,
    nodes: usize,
    items: usize,
    roots: Vec<u32>,
    /// 0 for Annoy's own choice, k · trees.
    search_k: usize,
    threads: Threads,
    computations: u64,
}

impl AnnoyFile {
    /// Opens a file for vectors of `dim` and `metric`, which must be those it was built with.
    ///
    /// # Errors
    /// A file that cannot be read; one that is no whole number of such nodes, or without trees.
    pub fn open(path: &Path, dim: usize, metric: Metric) -> Result<Self> {
        let file = MappedFile::open(path)?;
        let node = header(metric) + 4 * dim;
        let nodes = file.bytes().len() / node;
        let wrong = |what: String| Error::Neighbours { what, path: path.to_owned() };
        let told = "Annoy's files tell neither dim nor metric: give those it was built with";
        if nodes == 0 || !file.bytes().len().is_multiple_of(node) || i32::try_from(nodes).is_err() {
            return Err(wrong(format!(
                "has {} bytes, which is no whole number of nodes of {node} bytes (dim {}, {metric}). {told}",
                grouped(file.bytes().len() as u64),
                count(dim)
            )));
        }
        let mut opened = Self {
            file,
            path: path.to_owned(),
            dim,
            metric,
            nodes,
            items: 0,
            roots: Vec::new(),
            search_k: 0,
            threads: Threads::ONE,
            computations: 0,
        };
        let items = opened.descendants(nodes - 1);
        opened.roots = (0..nodes as u32).rev().take_while(|&root| opened.descendants(root as usize) == items).collect();
        // The last root stands right before the copies of all: it is there twice.
        if let [first, .., last] = opened.roots[..]
            && opened.child(first as usize, 0) == opened.child(last as usize, 0)
        {
            opened.roots.pop();
        }
        opened.items = usize::try_from(items).unwrap_or(0);
        if opened.items == 0 || opened.items + opened.roots.len() > nodes {
            return Err(wrong(format!("holds no trees of nodes of dim {} ({metric}). {told}", count(dim))));
        }
        Ok(opened)
    }

    /// Trees in it.
    pub fn trees(&self) -> usize {
        self.roots.len()
    }

    fn word(&self, node: usize, place: usize) -> [u8; 4] {
        let at = node * (header(self.metric) + 4 * self.dim) + place;
        std::array::from_fn(|byte| self.file.bytes()[at + byte])
    }

    fn descendants(&self, node: usize) -> i32 {
        i32::from_le_bytes(self.word(node, 0))
    }

    fn child(&self, node: usize, index: usize) -> i32 {
        i32::from_le_bytes(self.word(node, children_at(self.metric) + 4 * index))
    }

    fn vector(&self, node: usize, values: &mut Vec<f32>) {
        values.clear();
        let start = header(self.metric);
        values.extend((0..self.dim).map(|place| f32::from_le_bytes(self.word(node, start + 4 * place))));
    }

    /// A node that another names.
    fn named(&self, node: i32) -> Result<usize> {
        usize::try_from(node)
            .ok()
            .filter(|&node| node < self.nodes)
            .ok_or_else(|| self.damaged("names a node that is not there"))
    }

    fn damaged(&self, what: &str) -> Error {
        let what = format!("{what}: it is damaged, or was built with another dim or metric. Build it again");
        Error::Neighbours { what, path: self.path.clone() }
    }

    /// Most descendants that a node lists itself.
    fn listed(&self) -> i32 {
        ((header(self.metric) + 4 * self.dim - children_at(self.metric)) / 4) as i32
    }

    fn nearest(&self, level: Level, query: &[f32], k: usize, ids: &mut [u32]) -> Result<u64> {
        let wanted = if self.search_k == 0 { k.saturating_mul(self.roots.len()) } else { self.search_k };
        let mut waiting: BinaryHeap<Promise> =
            self.roots.iter().map(|&node| Promise { margin: f32::INFINITY, node }).collect();
        let (mut found, mut values) = (Vec::new(), Vec::new());
        let mut visited = 0;
        while found.len() < wanted
            && let Some(Promise { margin, node }) = waiting.pop()
        {
            visited += 1;
            if visited > 2 * self.nodes {
                return Err(self.damaged("has nodes that lead in circles"));
            }
            let place = node as usize;
            let descendants = self.descendants(place);
            if descendants == 1 && place < self.items {
                found.push(node);
            } else if descendants <= self.listed() {
                for index in 0..descendants.max(0) as usize {
                    let item = self.named(self.child(place, index))?;
                    if item >= self.items {
                        return Err(self.damaged("lists an item that is not there"));
                    }
                    found.push(item as u32);
                }
            } else {
                self.vector(place, &mut values);
                let mut side: f32 = values.iter().zip(query).map(|(a, b)| a * b).sum();
                match self.metric {
                    Metric::Euclidean => side += f32::from_le_bytes(self.word(place, 4)),
                    // The dimension that makes all docs as long as the longest.
                    Metric::Dot => side += f32::from_le_bytes(self.word(place, 12)).powi(2),
                    Metric::Cosine => {}
                }
                for (child, side) in [(1, side), (0, -side)] {
                    let node = self.named(self.child(place, child))? as u32;
                    waiting.push(Promise { margin: margin.min(side), node });
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        let mut scored: Vec<(f64, u32)> = Vec::with_capacity(found.len());
        for item in found {
            self.vector(item as usize, &mut values);
            let key = key(level, self.metric, query, &values);
            if !key.is_finite() {
                return Err(self.damaged("holds an item that is no vector of numbers"));
            }
            scored.push((key, item));
        }
        scored.sort_by(|left, right| self.metric.nearest_first(left.0, right.0).then(left.1.cmp(&right.1)));
        ids.fill(NONE);
        ids.iter_mut().zip(&scored).for_each(|(id, (_, item))| *id = *item);
        Ok(scored.len() as u64)
    }
}

/// Bytes of a node before its vector.
const fn header(metric: Metric) -> usize {
    match metric {
        Metric::Cosine => 12,
        Metric::Dot | Metric::Euclidean => 16,
    }
}

/// Where the children of a node begin.
const fn children_at(metric: Metric) -> usize {
    match metric {
        Metric::Cosine | Metric::Dot => 4,
        Metric::Euclidean => 8,
    }
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

impl Index for AnnoyFile {
    /// It is built.
    fn build(&mut self, _docs: Docs<'_>, _order: &[u32], _monitor: &Monitor) -> Result<()> {
        Ok(())
    }

    fn set(&mut self, name: &str, value: u64) -> Result<()> {
        if name != "search_k" {
            return Err(Error::Parameter { name: "index", expected: "search_k".to_owned(), found: name.to_owned() });
        }
        self.search_k = value as usize;
        Ok(())
    }

    fn use_threads(&mut self, threads: usize) -> Result<()> {
        self.threads = Threads::new(threads)?;
        Ok(())
    }

    fn search(&mut self, _first: usize, queries: &[f32], k: usize, ids: &mut [u32]) -> Result<()> {
        let level = Level::detected();
        self.computations += self.threads.answer((queries, self.dim), (ids, k), |queries, ids| {
            let each = queries.chunks_exact(self.dim).zip(ids.chunks_exact_mut(k));
            each.map(|(query, ids)| self.nearest(level, query, k, ids)).sum()
        })?;
        Ok(())
    }

    fn len(&self) -> usize {
        self.items
    }

    fn traits(&self) -> Traits {
        Traits { trees: self.trees(), docs: self.items, ..Traits::default() }
    }

    fn mapped_bytes(&self) -> u64 {
        self.file.bytes().len() as u64
    }

    fn distance_computations(&self) -> Option<u64> {
        Some(self.computations)
    }
}
