//! Index files of Annoy (`.ann`), read without Annoy.
//!
//! A file is nodes of one size, the items first, then the trees, and at the end copies of the roots. It tells neither
//! dim nor metric; a node of f dimensions has, little-endian:
//! - angular: i32 descendants, two i32 children (items: norm), f float32;
//! - euclidean: i32 descendants, a float32 offset, two i32 children, f float32;
//! - dot: i32 descendants, two i32 children, a float32 factor, f float32.
//!
//! A node of few descendants lists them from its children on. It is searched as `forest.rs` does.

use std::path::{Path, PathBuf};

use super::forest::{self, Forest, Node};
use super::{Docs, Index, Threads, Traits};
use crate::compute::error::{Error, Result};
use crate::compute::figures::{count, grouped};
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
        let node = 4 * (header(metric) + dim);
        let nodes = file.bytes().len() / node;
        let wrong = |what: String| Error::Neighbours { what, path: path.to_owned() };
        let told = "Annoy's files tell neither dim nor metric: give those it was built with";
        if file.bytes().is_empty() {
            return Err(wrong("is empty. Save it again".to_owned()));
        }
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
        opened.items = usize::try_from(items).unwrap_or(0);
        // They stand behind the items, of which one alone has as many descendants.
        let behind = (opened.items.min(nodes) as u32..nodes as u32).rev();
        opened.roots = behind.take_while(|&root| opened.descendants(root as usize) == items).collect();
        // The last root stands right before the copies of all: it is there twice.
        if let [first, .., last] = opened.roots[..]
            && opened.children(first as usize)[0] == opened.children(last as usize)[0]
        {
            opened.roots.pop();
        }
        if opened.items == 0 || opened.items + opened.roots.len() > nodes {
            return Err(wrong(format!("holds no trees of nodes of dim {} ({metric}). {told}", count(dim))));
        }
        Ok(opened)
    }

    /// Refuses an index of other docs.
    ///
    /// # Errors
    /// Most vectors in it are not those of `docs`.
    pub fn check_docs(&self, docs: Docs<'_>) -> Result<()> {
        forest::check_docs(self, docs)
    }

    /// Trees in it.
    pub fn trees(&self) -> usize {
        self.roots.len()
    }

    /// The node at a place that is there: its head and its vector.
    fn words(&self, place: usize) -> &[u32] {
        let size = 4 * (header(self.metric) + self.dim);
        // Maps begin at a page, nodes at multiples of 4.
        bytemuck::cast_slice(&self.file.bytes()[place * size..(place + 1) * size])
    }

    fn descendants(&self, place: usize) -> i32 {
        self.words(place)[0].cast_signed()
    }

    /// What begins where the children of a node do.
    fn children(&self, place: usize) -> &[u32] {
        &self.words(place)[children_at(self.metric)..]
    }
}

impl Forest for AnnoyFile {
    fn docs(&self) -> usize {
        self.items
    }

    fn nodes(&self) -> usize {
        self.nodes
    }

    fn roots(&self) -> &[u32] {
        &self.roots
    }

    fn node(&self, place: u32) -> Result<Node<'_>> {
        let (words, children) = (self.words(place as usize), self.children(place as usize));
        let descendants = usize::try_from(self.descendants(place as usize)).unwrap_or(0);
        if descendants == 0 {
            return Err(self.damaged("has a node without docs"));
        }
        if descendants == 1 && (place as usize) < self.items {
            return Ok(Node::Doc(place));
        }
        // As many as there is room for are listed by the node itself.
        if let Some(listed) = children.get(..descendants) {
            return Ok(Node::Docs(listed));
        }
        let offset = match self.metric {
            Metric::Euclidean => f32::from_bits(words[1]),
            // The dimension that makes all docs as long as the longest.
            Metric::Dot => f32::from_bits(words[3]).powi(2),
            Metric::Cosine => 0.0,
        };
        let normal = bytemuck::cast_slice(&words[header(self.metric)..]);
        Ok(Node::Plane { normal, offset, children: [children[0], children[1]] })
    }

    fn stored(&self, doc: u32) -> &[u8] {
        bytemuck::cast_slice(&self.words(doc as usize)[header(self.metric)..])
    }

    fn damaged(&self, what: &str) -> Error {
        let what = format!(
            "{what}: it is damaged, or was built from other docs, or with another dim or metric. Build it again"
        );
        Error::Neighbours { what, path: self.path.clone() }
    }
}

/// Words of a node before its vector.
const fn header(metric: Metric) -> usize {
    match metric {
        Metric::Cosine => 3,
        Metric::Dot | Metric::Euclidean => 4,
    }
}

/// The word of a node at which its children begin.
const fn children_at(metric: Metric) -> usize {
    match metric {
        Metric::Cosine | Metric::Dot => 1,
        Metric::Euclidean => 2,
    }
}

impl Index for AnnoyFile {
    /// It is built.
    fn build(&mut self, _docs: Docs<'_>, _order: &[u32], _monitor: &Monitor) -> Result<()> {
        Ok(())
    }

    fn set(&mut self, name: &str, value: u64) -> Result<()> {
        self.search_k = forest::search_k(name, value)?;
        Ok(())
    }

    fn use_threads(&mut self, threads: usize) -> Result<()> {
        self.threads = Threads::new(threads)?;
        Ok(())
    }

    fn search(&mut self, _first: usize, queries: &[f32], k: usize, ids: &mut [u32]) -> Result<()> {
        let (file, dim) = (&*self, self.dim);
        let some = |queries: &[f32], ids: &mut [u32]| {
            forest::search(file, file.metric, file.search_k, (queries, dim), (ids, k))
        };
        self.computations += self.threads.answer((queries, dim), (ids, k), some)?;
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
