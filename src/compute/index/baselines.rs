//! Exact contestants: brute force by this program's engine, and all scores computed beforehand.

use rayon::prelude::*;

use super::hyperplane::key;
use super::truth::Arena;
use super::{Docs, Index, take_nearest};
use crate::compute::error::{Error, Result};
use crate::compute::exact::engine::Engine;
use crate::compute::figures::{bytes, count};
use crate::compute::kernels::Level;
use crate::job::Monitor;

fn no_parameters(name: &str) -> Error {
    let expected = "no search parameters: it is exact".to_owned();
    Error::Parameter { name: "index", expected, found: name.to_owned() }
}

fn pool(threads: usize) -> Option<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().ok()
}

/// Brute force.
pub struct Exact<'a> {
    arena: &'a Arena,
    engine: Option<Engine<'a>>,
    threads: Option<rayon::ThreadPool>,
    computations: u64,
}

impl<'a> Exact<'a> {
    pub fn new(arena: &'a Arena) -> Self {
        Self { arena, engine: None, threads: None, computations: 0 }
    }
}

impl Index for Exact<'_> {
    fn build(&mut self, _docs: Docs<'_>, _order: &[u32], monitor: &Monitor) -> Result<()> {
        self.engine = Some(self.arena.engine(monitor)?);
        Ok(())
    }

    fn set(&mut self, name: &str, _value: u64) -> Result<()> {
        Err(no_parameters(name))
    }

    fn use_threads(&mut self, threads: usize) -> Result<()> {
        self.threads = pool(threads);
        Ok(())
    }

    fn search(&mut self, first: usize, queries: &[f32], k: usize, ids: &mut [u32]) -> Result<()> {
        let engine = self.engine.as_ref().ok_or_else(|| Error::Index { what: "nothing was built yet".to_owned() })?;
        let search = || engine.top_k(queries, |query| first + query, &Monitor::new());
        let found = match &self.threads {
            Some(threads) => threads.install(search)?,
            None => search()?,
        };
        debug_assert_eq!(found.docs.len(), queries.len() / self.arena.dim() * k);
        ids.copy_from_slice(&found.docs);
        self.computations += (queries.len() / self.arena.dim() * self.arena.num_docs) as u64;
        Ok(())
    }

    fn len(&self) -> usize {
        self.arena.num_docs
    }

    fn distance_computations(&self) -> Option<u64> {
        Some(self.computations)
    }
}

/// All query × doc scores, computed beforehand: a query is a look into its row.
pub struct Precomputed<'a> {
    arena: &'a Arena,
    memory_bytes: u64,
    /// query_count × doc_count values that order docs as their scores do; with all digits, so that this is exact.
    keys: Vec<f64>,
    threads: Option<rayon::ThreadPool>,
}

impl<'a> Precomputed<'a> {
    pub fn new(arena: &'a Arena, memory_bytes: u64) -> Self {
        Self { arena, memory_bytes, keys: Vec::new(), threads: None }
    }

    fn nearest(&self, query: usize, ids: &mut [u32]) {
        let docs = self.arena.num_docs;
        let keys = &self.keys[query * docs..(query + 1) * docs];
        take_nearest(&mut (0..).zip(keys).map(|(doc, &key)| self.arena.metric.place(key, doc)).collect(), ids);
    }
}

impl Index for Precomputed<'_> {
    fn build(&mut self, docs: Docs<'_>, _order: &[u32], monitor: &Monitor) -> Result<()> {
        let queries = self.arena.num_queries;
        let needed = queries as u64 * docs.count as u64 * 8;
        if needed > self.memory_bytes {
            let what = format!(
                "all scores beforehand do not fit: {} queries × {} docs × 8 bytes = {}, the index may take {}. Ask fewer \
                 queries, or choose an index",
                count(queries),
                count(docs.count),
                bytes(needed),
                bytes(self.memory_bytes)
            );
            return Err(Error::Index { what });
        }
        monitor.begin("scoring all pairs", "query × doc pairs", queries as u64 * docs.count as u64);
        self.keys = vec![0.0; queries * docs.count];
        let level = Level::detected();
        self.keys.par_chunks_mut(docs.count).enumerate().try_for_each(|(query, keys)| {
            let values = self.arena.queries.row(query);
            for (doc, value) in keys.iter_mut().enumerate() {
                *value = key(level, docs.metric, values, docs.file.row(doc));
            }
            Ok(monitor.advance(docs.count as u64)?)
        })
    }

    fn set(&mut self, name: &str, _value: u64) -> Result<()> {
        Err(no_parameters(name))
    }

    fn use_threads(&mut self, threads: usize) -> Result<()> {
        self.threads = pool(threads).filter(|_| threads > 1);
        Ok(())
    }

    fn search(&mut self, first: usize, queries: &[f32], k: usize, ids: &mut [u32]) -> Result<()> {
        debug_assert_eq!(queries.len() / self.arena.dim(), ids.len() / k);
        let this = &*self;
        match &this.threads {
            None => ids.chunks_mut(k).zip(first..).for_each(|(ids, query)| this.nearest(query, ids)),
            Some(threads) => threads.install(|| {
                ids.par_chunks_mut(k).enumerate().for_each(|(query, ids)| this.nearest(first + query, ids));
            }),
        }
        Ok(())
    }

    fn len(&self) -> usize {
        self.arena.num_docs
    }

    fn distance_computations(&self) -> Option<u64> {
        Some(0)
    }
}
