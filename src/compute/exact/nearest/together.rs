//! The docs of many queries scored together, in the order of the docs.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use super::{Nearest, Scorer};
use crate::compute::error::Result;
use crate::job::Monitor;

/// A doc to be scored for a query of a tile, and where the score goes.
#[derive(Debug, Clone, Copy, Default)]
struct Wanted {
    doc: u32,
    query: u32,
    slot: u32,
}

/// Docs of a tile's queries to be scored, by pieces of docs that lie together.
struct Grouped {
    pairs: Vec<Wanted>,
    /// Where each piece begins, and the end of the last one.
    starts: Vec<u32>,
    /// How many there are of each query. Their slots follow each other, query by query.
    counts: Vec<u32>,
}

/// Pieces that the docs are shared out in, so that every core has work to the end.
const PIECES: usize = 64;
/// Pairs between two looks at whether to stop.
const PAIRS_TOGETHER: usize = 4096;

/// With so many pairs a doc all are scored at once: most docs would be read twice for few pairs each. With fewer, hardly a doc is read
/// twice; with more, what need not be scored counts. Of 100,000 docs in DDR5, two cores of Zen 5: with 4.2 pairs a doc of 1,024 dimensions
/// 25 ms instead of 29, though 419 instead of 307 docs a query; with 5.2 of 384 dimensions 20.4 ms instead of 19.
const ONE_ROUND: Range<usize> = 1..5;

/// With more docs a pair than this a piece is sorted by comparing: counting all docs would take longer, and memory.
const DOCS_A_PAIR: usize = 4;

/// Pairs that are scored together, unless a single tile has more.
const PAIRS_AT_ONCE: usize = 1 << 20;

/// Bytes of a pair that is scored: in its group, in its piece, and its score.
pub const PAIR_BYTES: usize = size_of::<Wanted>() + size_of::<(u32, Wanted)>() + size_of::<f64>();

/// Bytes that scoring takes at most, for `queries` in tiles of `tile` with `capacity` docs each.
pub fn scoring_bytes(queries: usize, tile: usize, capacity: usize) -> u64 {
    let pairs = (queries * capacity).min((tile * capacity).max(PAIRS_AT_ONCE));
    (pairs * PAIR_BYTES) as u64
}

/// Scores all docs of some tiles of queries that may matter in float64, in the order of the docs, so that each is read from
/// memory once for all tiles. Afterwards each [`Nearest`] holds its k nearest, scored. Returns how many were, of each tile.
///
/// `docs`: all of them lie there. `scorer` gives the scorer of a tile's query.
///
/// # Errors
/// Cancelled.
pub fn decide_all<'s, S: Scorer + 's>(
    tiles: &mut [&mut [Nearest]],
    docs: &Range<usize>,
    scorer: impl Fn(usize, usize) -> &'s S + Sync,
    monitor: &Monitor,
) -> Result<Vec<u64>> {
    let mut scored = Vec::with_capacity(tiles.len());
    let mut rest = tiles;
    while !rest.is_empty() {
        let mut pairs = 0;
        let fits = rest.iter().take_while(|tile| {
            pairs += tile.iter().map(|nearest| nearest.entries.len()).sum::<usize>();
            pairs <= PAIRS_AT_ONCE
        });
        let (batch, others) = rest.split_at_mut(fits.count().max(1));
        let first = scored.len();
        scored.extend(decide_together(batch, docs, |tile, query| scorer(first + tile, query), monitor)?);
        rest = others;
    }
    Ok(scored)
}

fn decide_together<'s, S: Scorer + 's>(
    tiles: &mut [&mut [Nearest]],
    docs: &Range<usize>,
    scorer: impl Fn(usize, usize) -> &'s S + Sync,
    monitor: &Monitor,
) -> Result<Vec<u64>> {
    let mut scored = vec![0; tiles.len()];
    // The likely ones first: with their exact scores as a floor fewer of the others are left.
    let pairs: usize = tiles.iter().flat_map(|tile| tile.iter()).map(|nearest| nearest.entries.len()).sum();
    let is_once = ONE_ROUND.contains(&(pairs / docs.len().max(1)));
    let rounds: &[bool] = if is_once { &[false] } else { &[true, false] };
    for &likely in rounds {
        let grouped: Vec<Grouped> = tiles.par_iter_mut().map(|tile| Grouped::of(tile, likely, docs)).collect();
        // Bits of the scores of each tile. Every slot is written once, by whichever thread has its piece.
        let scores: Vec<Vec<AtomicU64>> =
            grouped.par_iter().map(|tile| tile.pairs.iter().map(|_| AtomicU64::new(0)).collect()).collect();
        (0..PIECES)
            .into_par_iter()
            .try_for_each(|piece| score_piece(&grouped, docs, piece, &scorer, &scores, monitor))?;
        tiles.par_iter_mut().zip(&grouped).zip(scores).enumerate().for_each(|(number, ((tile, grouped), scores))| {
            let mut scores = scores.into_iter().map(|bits| f64::from_bits(bits.into_inner()));
            for (index, (nearest, &count)) in tile.iter_mut().zip(&grouped.counts).enumerate() {
                nearest.were_scored(count as usize, &mut scores, scorer(number, index));
            }
        });
        scored.iter_mut().zip(&grouped).for_each(|(scored, tile)| *scored += tile.pairs.len() as u64);
    }
    monitor.check()?;
    Ok(scored)
}

/// The docs of a piece, those that lie in `docs`.
fn piece_of(docs: &Range<usize>, piece: usize) -> Range<usize> {
    let together = docs_of_piece(docs);
    let start = |piece: usize| (docs.start + piece * together).min(docs.end);
    start(piece)..start(piece + 1)
}

/// How many docs a piece has.
fn docs_of_piece(docs: &Range<usize>) -> usize {
    docs.len().div_ceil(PIECES).max(1)
}

/// A counting sort: `items` by their bucket of `buckets`, those of a bucket in their order. Returns them, and where each bucket begins,
/// and the end of the last one.
fn by_bucket<T: Copy + Default>(
    items: impl Iterator<Item = T> + Clone,
    buckets: usize,
    bucket_of: impl Fn(&T) -> usize,
) -> (Vec<T>, Vec<u32>) {
    // Two places on: once everybody is in their place, each start has become the one of the bucket after it.
    let mut starts = vec![0u32; buckets + 2];
    items.clone().for_each(|item| starts[bucket_of(&item) + 2] += 1);
    for index in 1..starts.len() {
        starts[index] += starts[index - 1];
    }
    let mut sorted = vec![T::default(); starts[buckets + 1] as usize];
    items.for_each(|item| {
        let start = &mut starts[bucket_of(&item) + 1];
        sorted[*start as usize] = item;
        *start += 1;
    });
    starts.pop();
    (sorted, starts)
}

impl Grouped {
    fn of(nearest: &mut [Nearest], likely: bool, docs: &Range<usize>) -> Self {
        let mut ranks = Vec::new();
        let first = |nearest: &mut Nearest| {
            if likely {
                return nearest.put_likely_first(&mut ranks) as u32;
            }
            nearest.drop_hopeless();
            nearest.entries.len() as u32
        };
        let counts: Vec<u32> = nearest.iter_mut().map(first).collect();
        let wanted = (0..)
            .zip(nearest.iter().zip(&counts))
            .flat_map(|(query, (nearest, &count))| nearest.first(count as usize).map(move |doc| (doc, query)));
        let wanted = (0..).zip(wanted).map(|(slot, (doc, query))| Wanted { doc, query, slot });
        let together = docs_of_piece(docs);
        let (pairs, starts) = by_bucket(wanted, PIECES, |pair| (pair.doc as usize - docs.start) / together);
        Self { pairs, starts, counts }
    }

    fn piece(&self, piece: usize) -> &[Wanted] {
        &self.pairs[self.starts[piece] as usize..self.starts[piece + 1] as usize]
    }
}

/// Scores the pairs of one piece, doc by doc.
fn score_piece<'s, S: Scorer + 's>(
    grouped: &[Grouped],
    docs: &Range<usize>,
    piece: usize,
    scorer: &impl Fn(usize, usize) -> &'s S,
    scores: &[Vec<AtomicU64>],
    monitor: &Monitor,
) -> Result<()> {
    let pairs = (0..).zip(grouped).flat_map(|(tile, of)| of.piece(piece).iter().map(move |pair| (tile, *pair)));
    let docs = piece_of(docs, piece);
    let count: usize = grouped.iter().map(|tile| tile.piece(piece).len()).sum();
    let pairs: Vec<(u32, Wanted)> = if docs.len() / DOCS_A_PAIR <= count {
        by_bucket(pairs, docs.len(), |(_, pair)| pair.doc as usize - docs.start).0
    } else {
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort_unstable_by_key(|(_, pair)| pair.doc);
        pairs
    };
    for pairs in pairs.chunks(PAIRS_TOGETHER) {
        monitor.check()?;
        let pair = |index: usize| {
            let (tile, pair) = pairs[index];
            (scorer(tile as usize, pair.query as usize), pair.doc)
        };
        S::score_all(pairs.len(), pair, |index, score| {
            let (tile, pair) = pairs[index];
            scores[tile as usize][pair.slot as usize].store(score.to_bits(), Ordering::Relaxed);
        });
    }
    Ok(())
}
