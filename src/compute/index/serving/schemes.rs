//! The schemes whose parts are built and asked.

use std::time::Instant;

use rayon::prelude::*;

use super::super::candidate::{Candidate, Setting};
use super::super::cells::{Cells, CellsParams};
use super::super::neighbours::Found;
use super::super::subset::{Lists, Part, merge, merge_one};
use super::super::truth::Arena;
use super::{Balance, Row, Scheme, ServingParams, Stage, copies};
use crate::compute::error::{Error, Result};
use crate::compute::figures::{count, counted};
use crate::compute::kernels::{self, Level};
use crate::compute::metric::Metric;
use crate::compute::random::Random;
use crate::job::Monitor;

/// Queries whose merging is timed.
const TIMED_MERGES: usize = 200;

impl Stage<'_> {
    /// A main index of the older docs beside an exact one of the fresh ones, which are drawn at random, those of a smaller
    /// share among those of a larger one.
    pub(super) fn dual(&self) -> Result<Vec<Row>> {
        let arena = &self.lab.arena;
        let order = Random::stream(self.params.seed, 0x0066_7265_7368).order(arena.num_docs);
        let mut counts: Vec<usize> = self
            .params
            .fresh
            .iter()
            .map(|share| ((share * arena.num_docs as f64).round() as usize).min(arena.num_docs - 1))
            .collect();
        counts.sort_unstable();
        counts.dedup();
        let exact = (Candidate::parse("exact", arena.dim())?, Setting::default());
        let mut rows = Vec::new();
        for fresh in counts.into_iter().filter(|fresh| *fresh > 0) {
            let sorted = |docs: &[u32]| {
                let mut docs = docs.to_vec();
                docs.sort_unstable();
                docs
            };
            let (young, old) = (sorted(&order[..fresh]), sorted(&order[fresh..]));
            let main = self.search(Some(&old))?;
            let small = self.runner.search(Some(&young), (&exact.0, &exact.1), self.monitor)?;
            let parts = [&main, &small];
            let (merged, merge_secs) = self.merged(&parts, &|_| vec![0, 1]);
            let mut row = self.row(Some(Scheme::Dual), (fresh, arena.num_docs), &parts, &merged, merge_secs);
            // Judged at the same k, if the main index has as many docs.
            let alone = self.judged(&main.lists.found());
            row.recall_without = (alone.k == arena.top_k).then(|| alone.recall(alone.k));
            rows.push(row);
        }
        Ok(rows)
    }

    /// Shards by a hash of the doc: 1, 2, 4, … up to all; every query asks all of them.
    pub(super) fn by_hash(&self, whole: &Row) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for shards in copies(self.params.shards) {
            if shards == 1 {
                let one = Balance::of(&[1.0]);
                let (docs_balance, load_balance) = (Some(one), Some(one));
                rows.push(Row { scheme: Some(Scheme::Hash), docs_balance, load_balance, ..whole.clone() });
                continue;
            }
            let shard_of = |doc: u32| Random::stream(self.params.seed, u64::from(doc)).below(shards as u32);
            let of_docs: Vec<u32> = (0..self.lab.arena.num_docs as u32).map(shard_of).collect();
            let held = self.shards(&of_docs, shards)?;
            let parts: Vec<&Part> = held.iter().flatten().collect();
            let (merged, merge_secs) = self.merged(&parts, &|_| (0..parts.len()).collect());
            let mut row = self.row(Some(Scheme::Hash), (shards, shards), &parts, &merged, merge_secs);
            row.docs_balance = Some(docs_balance(&of_docs, shards));
            row.load_balance = Some(Balance::of(&vec![1.0; shards]));
            // A query keeps a thread of every machine busy: all together answer as many as one.
            let slowest = parts.iter().map(|part| part.searched.all_threads_secs).fold(0.0, f64::max);
            row.qps = (slowest > 0.0).then(|| self.runner.queries as f64 / slowest);
            rows.push(row);
        }
        Ok(rows)
    }

    /// Shards of k-means cells; a query asks those whose cells are nearest to it: 1, 2, … up to all.
    pub(super) fn by_cluster(&self) -> Result<Vec<Row>> {
        let (arena, shards) = (&self.lab.arena, self.params.shards);
        let clusters = Clusters::of(arena, self.params, self.monitor)?;
        let of_docs: Vec<u32> =
            clusters.cell_of_doc.iter().map(|cell| clusters.shard_of_cell[*cell as usize]).collect();
        let held = self.shards(&of_docs, shards)?;
        let parts: Vec<&Part> = held.iter().flatten().collect();
        // Shards without docs are never asked, so places among the parts are what counts.
        let place_of: Vec<Option<usize>> = held
            .iter()
            .scan(0, |next, part| {
                Some(part.is_some().then(|| {
                    *next += 1;
                    *next - 1
                }))
            })
            .collect();
        let orders: Vec<Vec<usize>> = (0..self.runner.queries)
            .into_par_iter()
            .map(|query| clusters.shards_by_nearness(arena, query).filter_map(|shard| place_of[shard]).collect())
            .collect();
        let docs_balance = docs_balance(&of_docs, shards);
        self.monitor.begin("asking shards", "fan-outs", parts.len() as u64);
        let mut rows = Vec::new();
        for fan_out in 1..=parts.len() {
            let asked = |query: usize| orders[query][..fan_out.min(orders[query].len())].to_vec();
            let (merged, merge_secs) = self.merged(&parts, &asked);
            let key = (fan_out, shards);
            let mut row = self.row_of(Some(Scheme::Cluster), key, (&parts, &asked), &merged, merge_secs);
            let mut loads = vec![0.0; shards];
            orders.iter().for_each(|order| order.iter().take(fan_out).for_each(|&place| loads[place] += 1.0));
            row.docs_balance = Some(docs_balance);
            row.load_balance = Some(Balance::of(&loads));
            row.qps = None;
            rows.push(row);
            self.monitor.advance(1)?;
        }
        Ok(rows)
    }

    /// An index for each shard; `None` where it has no docs.
    fn shards(&self, of_docs: &[u32], shards: usize) -> Result<Vec<Option<Part>>> {
        let mut parts = Vec::with_capacity(shards);
        for shard in 0..shards as u32 {
            let rows: Vec<u32> = (0..).zip(of_docs).filter(|(_, of)| **of == shard).map(|(doc, _)| doc).collect();
            if rows.is_empty() {
                parts.push(None);
                continue;
            }
            let part = self.search(Some(&rows)).map_err(|error| match error {
                Error::Cancelled => Error::Cancelled,
                error => Error::Index {
                    what: format!(
                        "shard {} of {}, {}: {error}",
                        count(shard as usize + 1),
                        count(shards),
                        counted(rows.len(), "doc", "docs")
                    ),
                },
            })?;
            parts.push(Some(part));
        }
        Ok(parts)
    }

    /// What queries find in the parts that they ask, and the seconds that merging takes a query on one thread.
    fn merged(&self, parts: &[&Part], asked: &(dyn Fn(usize) -> Vec<usize> + Sync)) -> (Found, f64) {
        let (arena, k, queries) = (&self.lab.arena, self.lab.arena.top_k, self.runner.queries);
        let lists = |query: usize| asked(query).into_iter().map(|part| &parts[part].lists).collect::<Vec<&Lists>>();
        let found = merge(arena, k, queries, |query| lists(query).into_iter());
        let timed = queries.min(TIMED_MERGES);
        let chosen: Vec<Vec<&Lists>> = (0..timed).map(lists).collect();
        let started = Instant::now();
        for (query, lists) in chosen.iter().enumerate() {
            std::hint::black_box(merge_one(arena, k, query, lists.iter().copied()));
        }
        (found, started.elapsed().as_secs_f64() / timed.max(1) as f64)
    }
}

fn docs_balance(of_docs: &[u32], shards: usize) -> Balance {
    let mut docs = vec![0.0; shards];
    of_docs.iter().for_each(|&shard| docs[shard as usize] += 1.0);
    Balance::of(&docs)
}

/// Cells of docs in shards.
#[derive(Debug, Clone, PartialEq)]
struct Clusters {
    /// Row-major, cell_count × dim.
    centroids: Vec<f32>,
    cell_of_doc: Vec<u32>,
    shard_of_cell: Vec<u32>,
}

impl Clusters {
    /// K-means over the docs. As many cells as shards: a cell is a shard, and shards are as uneven as cells. More cells
    /// are packed, the largest first, each into the shard with the fewest docs: even shards of cells that lie anywhere.
    fn of(arena: &Arena, params: &ServingParams, monitor: &Monitor) -> Result<Self> {
        let wanted = params.cells.unwrap_or(params.shards);
        let params_of_cells = CellsParams { cells: Some(wanted), seed: params.seed, ..CellsParams::default() };
        let cells = Cells::of(arena, &params_of_cells, monitor)?;
        let mut sizes = vec![0usize; wanted];
        cells.cell_of_doc.iter().for_each(|&cell| sizes[cell as usize] += 1);
        let shard_of_cell = match wanted == params.shards {
            true => (0..wanted as u32).collect(),
            false => packed(&sizes, params.shards),
        };
        Ok(Self { centroids: cells.centroids, cell_of_doc: cells.cell_of_doc, shard_of_cell })
    }

    /// Shards in the order in which a query meets their cells, nearest first; shards without a cell are not among them.
    fn shards_by_nearness(&self, arena: &Arena, query: usize) -> impl Iterator<Item = usize> {
        let (level, dim, metric) = (Level::detected(), arena.dim(), arena.metric);
        let values = arena.queries.row(query);
        let score = |centroid: &[f32]| match metric {
            // The length of the query is the same for all.
            Metric::Dot | Metric::Cosine => kernels::dot_f64(level, values, centroid),
            Metric::Euclidean => kernels::squared_distance_f64(level, values, centroid),
        };
        let cells = (0..).zip(self.centroids.chunks_exact(dim));
        let mut places: Vec<u128> = cells.map(|(cell, centroid)| metric.place(score(centroid), cell)).collect();
        places.sort_unstable();
        let mut seen = Vec::new();
        for place in places {
            let shard = self.shard_of_cell[Metric::doc_at(place) as usize] as usize;
            if !seen.contains(&shard) {
                seen.push(shard);
            }
        }
        seen.into_iter()
    }
}

/// Puts cells of `sizes` docs into shards: the largest first, each into the shard with the fewest docs so far, ties to the
/// lower one.
fn packed(sizes: &[usize], shards: usize) -> Vec<u32> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by(|&left, &right| sizes[right].cmp(&sizes[left]).then(left.cmp(&right)));
    let mut filled = vec![0usize; shards];
    let mut shard_of = vec![0u32; sizes.len()];
    for cell in order {
        let least = (0..shards).min_by_key(|&shard| (filled[shard], shard)).unwrap_or(0);
        filled[least] += sizes[cell];
        shard_of[cell] = least as u32;
    }
    shard_of
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_packed_evenly() {
        assert_eq!(packed(&[5, 9, 1, 4], 2), [1, 0, 0, 1]);
        assert_eq!(packed(&[3], 4), [0]);
    }
}
