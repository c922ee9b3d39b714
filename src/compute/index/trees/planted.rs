//! What a file of arroy 0.9 holds, listed once. arroy's own reader looks every doc up in the B-tree of LMDB, which takes longer
//! than to score it.
//!
//! Keys are the number of an index (u16, big-endian), a kind (u8), a number (u32, big-endian) and a zero byte. Values are,
//! - of kind 0, number 0: the metric's name, a zero byte, dim and the size of a bitmap of docs (u32, big-endian), that bitmap,
//!   and the numbers of the roots (u32);
//! - of kind 2, nodes of trees: byte 1 and a bitmap of docs; or byte 2, two children (kind and number) and a normal vector
//!   (float32);
//! - of kind 3, docs: byte 0, a head that depends on the metric, and the vector (float32).

use std::ops::Range;
use std::path::{Path, PathBuf};

use heed::RoTxn;
use heed::types::Bytes;
use roaring::RoaringBitmap;

use super::super::forest::{Forest, Node};
use super::INDEX;
use crate::compute::error::{Error, Result};
use crate::compute::figures::{count, counted};

const METADATA: u8 = 0;
const NODE: u8 = 2;
const DOC: u8 = 3;

/// A node, its parts by where they begin.
enum Kept {
    Docs(Range<usize>),
    Plane { normal: usize, children: [u32; 2] },
}

/// Where everything lies. Places of docs are behind those of nodes.
pub(super) struct Planted {
    path: PathBuf,
    dim: usize,
    roots: Vec<u32>,
    nodes: Vec<Kept>,
    normals: Vec<f32>,
    listed: Vec<u32>,
    /// Of every doc, in LMDB's memory; empty of those that are not there.
    vectors: Vec<&'static [u8]>,
}

/// What keys and values say, before nodes are linked.
#[derive(Default)]
struct Read {
    roots: Vec<u32>,
    /// Numbers and values of nodes, ascending.
    nodes: Vec<(u32, &'static [u8])>,
    vectors: Vec<&'static [u8]>,
}

impl Planted {
    /// Lists what `database` holds. `head`: bytes before the vector of a doc. Docs are below `most_docs`.
    ///
    /// # Errors
    /// A damaged file, which is called `path`; other docs.
    pub(super) fn list(
        transaction: &'static RoTxn<'static, heed::WithoutTls>,
        database: heed::Database<'static, Bytes, Bytes>,
        (head, dim): (usize, usize),
        most_docs: usize,
        path: &Path,
    ) -> Result<Self> {
        let unreadable = |error: heed::Error| damaged(path, &format!("cannot be read ({error})"));
        let mut read = Read::default();
        let entries = database.len(transaction).map_err(unreadable)?;
        for (number, entry) in (0..).zip(database.iter(transaction).map_err(unreadable)?) {
            let (key, value) = entry.map_err(unreadable)?;
            // Pages of zeros lead LMDB in circles.
            if number >= entries {
                return Err(damaged(path, "holds more than it tells"));
            }
            let &[high, low, kind, a, b, c, d, _] = key else { continue };
            if u16::from_be_bytes([high, low]) != INDEX {
                continue;
            }
            let number = u32::from_be_bytes([a, b, c, d]);
            match kind {
                METADATA if number == 0 => {
                    read.roots = roots_in(value).ok_or_else(|| damaged(path, "has no list of its trees"))?;
                }
                NODE => read.nodes.push((number, value)),
                DOC => {
                    let vector = value.get(1 + head..).filter(|vector| vector.len() == 4 * dim);
                    let vector = vector.ok_or_else(|| damaged(path, "holds a doc that is no vector of its dim"))?;
                    if number as usize >= most_docs {
                        let what = format!(
                            "holds doc {}, but only {} are searched. Choose the docs it was built from (--docs, --num-docs)",
                            count(number as usize),
                            counted(most_docs, "doc", "docs")
                        );
                        return Err(Error::Neighbours { what, path: path.to_owned() });
                    }
                    // Keys ascend, so gaps are docs that are not there.
                    read.vectors.resize(number as usize, &[]);
                    read.vectors.push(vector);
                }
                _ => {}
            }
        }
        Self::link(read, dim, path)
    }

    /// Nodes by their places instead of their numbers.
    fn link(read: Read, dim: usize, path: &Path) -> Result<Self> {
        let places = read.nodes.len();
        // Nodes and docs have places below 2³².
        if u32::try_from(places + read.vectors.len()).is_err() {
            return Err(damaged(path, "has too many nodes"));
        }
        let place_of = |kind: u8, number: u32| match kind {
            NODE => read.nodes.binary_search_by_key(&number, |node| node.0).ok().map(|place| place as u32),
            DOC => ((number as usize) < read.vectors.len()).then_some(places as u32 + number),
            _ => None,
        };
        let missing = || damaged(path, "names a node that is not there");
        let roots = read.roots.iter().map(|&root| place_of(NODE, root).ok_or_else(missing)).collect::<Result<_>>()?;
        let (mut nodes, mut normals, mut listed) = (Vec::with_capacity(places), Vec::new(), Vec::new());
        for (_, value) in &read.nodes {
            nodes.push(match value {
                [1, docs @ ..] => {
                    let docs = RoaringBitmap::deserialize_from(docs);
                    let broken = |what: &str| damaged(path, &format!("has a broken list of docs ({what})"));
                    let docs = docs.map_err(|error| broken(&error.to_string()))?;
                    if docs.max().is_some_and(|last| last as usize >= read.vectors.len()) {
                        return Err(broken("it lists a doc that is not there"));
                    }
                    let first = listed.len();
                    listed.extend(docs);
                    Kept::Docs(first..listed.len())
                }
                [2, kind, a, b, c, d, other_kind, e, f, g, h, normal @ ..] if normal.len() == 4 * dim => {
                    let first = place_of(*kind, u32::from_be_bytes([*a, *b, *c, *d]));
                    let second = place_of(*other_kind, u32::from_be_bytes([*e, *f, *g, *h]));
                    let children = first.zip(second).ok_or_else(missing)?;
                    let start = normals.len();
                    normals.extend(normal.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)));
                    Kept::Plane { normal: start, children: children.into() }
                }
                _ => return Err(damaged(path, "has a node of an unknown kind")),
            });
        }
        Ok(Self { path: path.to_owned(), dim, roots, nodes, normals, listed, vectors: read.vectors })
    }
}

/// Checks what tells of the trees.
///
/// # Errors
/// A damaged file, which is called `path`; one without trees.
pub(super) fn check_roots(
    transaction: &RoTxn<'_, heed::WithoutTls>,
    database: heed::Database<'static, Bytes, Bytes>,
    path: &Path,
) -> Result<()> {
    let [high, low] = INDEX.to_be_bytes();
    let told = database.get(transaction, &[high, low, METADATA, 0, 0, 0, 0, 0]);
    let told = told.map_err(|error| damaged(path, &format!("cannot be read ({error})")))?;
    match told.and_then(roots_in) {
        Some(roots) if !roots.is_empty() => Ok(()),
        _ => Err(damaged(path, "has no list of its trees")),
    }
}

/// The numbers of the roots.
fn roots_in(metadata: &[u8]) -> Option<Vec<u32>> {
    let name_end = metadata.iter().position(|&byte| byte == 0)?;
    let (_dim, rest) = metadata[name_end + 1..].split_first_chunk::<4>()?;
    let (size, rest) = rest.split_first_chunk::<4>()?;
    let roots = rest.get(u32::from_be_bytes(*size) as usize..)?;
    Some(roots.as_chunks::<4>().0.iter().map(|root| u32::from_le_bytes(*root)).collect())
}

fn damaged(path: &Path, what: &str) -> Error {
    let what =
        format!("{what}: it is damaged, or was built from other docs, or by another version of arroy. Build it again");
    Error::Neighbours { what, path: path.to_owned() }
}

impl Forest for Planted {
    fn docs(&self) -> usize {
        self.vectors.len()
    }

    fn nodes(&self) -> usize {
        self.nodes.len() + self.vectors.len()
    }

    fn roots(&self) -> &[u32] {
        &self.roots
    }

    fn node(&self, place: u32) -> Result<Node<'_>> {
        Ok(match self.nodes.get(place as usize) {
            None => Node::Doc(place - self.nodes.len() as u32),
            Some(Kept::Docs(range)) => Node::Docs(&self.listed[range.clone()]),
            Some(&Kept::Plane { normal, children }) => {
                Node::Plane { normal: &self.normals[normal..normal + self.dim], offset: 0.0, children }
            }
        })
    }

    fn stored(&self, doc: u32) -> &[u8] {
        self.vectors[doc as usize]
    }

    fn damaged(&self, what: &str) -> Error {
        damaged(&self.path, what)
    }
}
