//! Single scores of a run: which query and doc made them.

use super::store::ScoreStore;
use crate::compute::error::Result;
use crate::job::Monitor;

/// One score of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Row in the query file, if the file's size is known; else the session's query number.
    pub query_row: u64,
    /// 0 for the nearest doc.
    pub rank: u64,
    pub score: f32,
    /// Row in the docs file, if ids were kept.
    pub doc_row: Option<u32>,
}

/// Scores of run `index` within `low..=high`: how many there are, and at most `most` of them, evenly
/// spread over the queries, in file order.
pub fn find_hits(
    store: &ScoreStore,
    index: usize,
    (low, high): (f64, f64),
    most: usize,
    monitor: &Monitor,
) -> Result<(u64, Vec<Hit>)> {
    let num_scores = store.runs()[index].num_scores;
    monitor.begin("looking up scores", "scores", 2 * num_scores);
    let within = |score: f32| (low..=high).contains(&f64::from(score));
    let counts = store.map_chunks(index, monitor, |_, scores| scores.iter().filter(|s| within(**s)).count() as u64)?;
    monitor.advance(num_scores)?;
    let total: u64 = counts.iter().sum();
    let step = total.div_ceil(most.max(1) as u64).max(1);
    let starts: Vec<u64> = counts
        .iter()
        .scan(0, |sum, count| {
            let start = *sum;
            *sum += count;
            Some(start)
        })
        .collect();
    let picked = store.map_chunks(index, monitor, |first, scores| {
        let mut number = starts[(first / ScoreStore::CHUNK_SCORES as u64) as usize];
        let mut picked = Vec::new();
        for (offset, &score) in (first..).zip(scores) {
            if within(score) {
                if number.is_multiple_of(step) {
                    picked.push((offset, score));
                }
                number += 1;
            }
        }
        picked
    })?;
    let manifest = store.manifest();
    let start = store.runs()[index].query_start_index;
    let mut hits = Vec::new();
    for (offset, score) in picked.into_iter().flatten() {
        let query = start + offset / manifest.top_k;
        hits.push(Hit {
            query_row: manifest.query_rows.map_or(query, |rows| query % rows),
            rank: offset % manifest.top_k,
            score,
            doc_row: store.ids(index, offset, 1)?.map(|ids| ids[0]),
        });
    }
    Ok((total, hits))
}
