//! How docs are coded for the int8 filter, or that they had better not be: chosen from a sample of them and of the queries.

mod passing;

use std::sync::Arc;

use rayon::prelude::*;

use passing::{Pairs, Way};

use super::centre::Centre;
use super::int8::{Coding, LARGEST_CODED, UNDERFLOW, append_as_coded, step_of};
use super::size::{EngineSize, Shape};
use super::turn::{Leading, Turn};
use super::{SAMPLE_QUERIES, scatter};
use crate::compute::error::Result;
use crate::compute::figures::{counted, percent};
use crate::compute::kernels::int8::{Dot, PANEL, WORD};
use crate::compute::kernels::{self, Level};
use crate::compute::metric::Metric;
use crate::compute::vectors::VectorFile;
use crate::job::Monitor;

/// Docs of the sample, and its bytes at most.
const SAMPLE_DOCS: usize = 2048;
const SAMPLE_BYTES: usize = 16 << 20;
/// Docs that a thread samples before it looks for others.
const SAMPLED_TOGETHER: usize = 64;
/// Eigenvectors of larger matrices take longer than they save, and nothing can interrupt them.
const MOST_AXES: usize = 1024;
/// Rotating pays when it makes residuals at least this much smaller.
const ROTATION_GAIN: f64 = 0.85;
/// A pair that the prefix lets through costs as much as this many multiply-adds of the kernel (some
/// 60 ns where the kernel does 200 of them a nanosecond; measured on a 2.5 GHz Cascade Lake).
const HIT_PRODUCTS: f64 = 12_000.0;
/// Float32 multiply-adds cost as much as this many of int8.
const FLOAT_PRODUCTS: f64 = 4.0;
/// And those of float32 tiles, which find the nearest on the way, and what a pair takes beside them and beyond what it takes with
/// codes. Of 200 million pairs float32 and int8 took 32 and 20 ms at 8 dimensions, 51 and 27 at 32, 102 and 47 at 96,
/// 330 and 120 at 384; measured on two cores of Zen 5.
const TILE_PRODUCTS: f64 = 4.3;
const TILE_BEGINNING: f64 = 60.0;
/// What reading and measuring a value of a doc takes, in products of the kernel, and what coding it takes beyond that (24 ms for
/// 10⁸ values together, there).
const READING_PRODUCTS: f64 = 125.0;
const CODING_PRODUCTS: f64 = 125.0;
/// And those of turning codes. Reading, coding and turning 10⁵ docs took 17 ms along 64 of 384 dimensions and 42 along 176 of
/// 1,024, there.
const CODED_PRODUCTS: f64 = 0.4;
/// Principal axes are looked for when turning everything costs at most this part of the scan: finding them takes
/// some 0.2 s.
const TURNING_SHARE: f64 = 32.0;
/// A prefix is taken when it seems to save at least this share. What passes while limits are still low, and
/// bounds of whole panels, are not in the sample: on 40,000 sentence embeddings as queries and docs, top-6,
/// where a third seemed saved, 3.7 s were needed instead of 2.8.
const PREFIX_GAIN: f64 = 0.4;

/// Scans of fewer products are over before axes are found.
const LARGE_SCAN: f64 = 5e9;
/// Dims for which leading axes alone are thought of, and how many of them at most.
const LEAST_LED: usize = 64;
const MOST_LED: usize = 4096;
const MOST_LEADING: usize = 256;
/// Share of the products of whole codes that they may take, turning included as far as it takes more than coding these.
const LEADING_SHARE: f64 = 0.5;
/// Docs that are coded to see what it loses: these means vary little.
const CODED_DOCS: usize = 64;
/// Axes come in such numbers: sums over them are whole vectors of registers.
const AXES_TOGETHER: usize = 16;
/// Docs that axes are made of, for each of them.
const AXIS_DOCS: usize = 3;
/// Docs by which is judged how many pairs bounds let through.
const PASSING_DOCS: usize = 1024;
/// Share of the squares that leading axes may leave out; with more of it the bounds say nothing.
const MOST_LEFT_OUT: f64 = 0.04;
/// Products that beginning and ending a pair takes beside those of its dimensions.
const BEGINNING: f64 = 20.0;
/// What a pair costs that goes to float64, in such products.
const SCORED_PRODUCTS: f64 = 100_000.0;
/// And where float32 tiles let it through: candidates of a tile are decided query by query.
const TILE_SCORED_PRODUCTS: f64 = 300_000.0;
/// Bytes of what sampled pairs are judged by.
const KEYS_BYTES: u64 = (3 * SAMPLE_QUERIES * PASSING_DOCS * 8) as u64;
/// What coding loses of a vector whose values are spread, as a share of its length.
const SPREAD_LOSS: f64 = 0.0085;
/// How far coded axes are from orthonormal.
const CODED_DEFECT: f64 = 0.01;
/// Leading axes are taken when they seem to save at least this share.
const LEADING_GAIN: f64 = 0.25;

/// What will be asked of the codes.
pub struct Asked<'a> {
    pub docs: &'a VectorFile,
    /// Docs of the file that may be sampled, and how many will be scored in all.
    pub num_docs: usize,
    pub all_docs: usize,
    pub metric: Metric,
    pub top_k: usize,
    pub level: Level,
    /// Some of the queries, from all over them, row-major; may be none.
    pub queries: &'a [f32],
    /// How many will come in all.
    pub expected: usize,
    /// The float32 tiles that may be chosen.
    pub tiles: Option<EngineSize>,
}

impl Asked<'_> {
    fn dot(&self) -> Dot {
        Dot::within(self.level)
    }

    /// Query × doc pairs.
    fn pairs(&self) -> f64 {
        self.all_docs as f64 * self.expected as f64
    }

    /// No key of a query and a doc, of these squared lengths at most, is larger; but for offsets below 0.
    fn largest_key(&self, query: f64, doc: f64) -> f64 {
        match self.metric {
            Metric::Euclidean => query / 2.0,
            Metric::Dot | Metric::Cosine => (query * doc).sqrt(),
        }
    }

    /// What coding whole docs takes, in products of the kernel a pair.
    fn coding(&self) -> f64 {
        (READING_PRODUCTS + CODING_PRODUCTS) * self.docs.dim() as f64 / self.expected.max(1) as f64
    }
}

/// Whether principal axes are thought of.
pub fn looks_for_axes(shape: Shape, dim: usize) -> bool {
    match shape {
        Shape::Auto | Shape::Prefix => dim <= MOST_LED,
        Shape::Coded => true,
        Shape::Plain | Shape::Rotated | Shape::Whole | Shape::Compact => false,
    }
}

/// Bytes that choosing takes at most, all of which are free afterwards.
pub fn bytes(shape: Shape, dim: usize, num_docs: usize) -> u64 {
    let docs = sample_docs(dim).min(num_docs);
    // With their lengths and offsets, and means.
    let sample = (docs * (dim * 4 + 32) + dim * 24) as u64;
    let axes = if dim <= MOST_AXES { (dim * dim) as u64 } else { 0 };
    // Sampled queries, twice, and their keys.
    let queries = KEYS_BYTES + (2 * SAMPLE_QUERIES * dim * 4) as u64;
    match shape {
        Shape::Plain | Shape::Rotated => 0,
        // The sample, also in float64 and turned; its moments, their eigenvectors and the check of them; some matrices of as many
        // axes as are tried.
        _ if looks_for_axes(shape, dim) => 6 * sample + (axes * 60).max(8 * led_bytes(dim)) + queries,
        // The sample, and what of it is rotated.
        _ => 2 * sample + queries,
    }
}

/// Bytes that what was chosen takes at most.
pub fn chosen_bytes(shape: Shape, dim: usize) -> u64 {
    let axes = match looks_for_axes(shape, dim) {
        true => led_bytes(dim).max(4 * (dim.min(MOST_AXES) as u64).pow(2)),
        false => 0,
    };
    // And what is taken off docs and queries.
    axes + 8 * dim as u64
}

/// Bytes of as many leading axes as may be taken: what queries and docs are turned by, and a square matrix.
fn led_bytes(dim: usize) -> u64 {
    let axes = MOST_LEADING.next_multiple_of(PANEL);
    (axes * dim * 8 + axes * axes * 4) as u64
}

/// What is best for what is asked.
pub enum Chosen {
    Codes(Coding),
    /// Float32 tiles, and why.
    Tiles {
        size: EngineSize,
        why: String,
    },
}

/// Chooses for `shape`.
///
/// # Errors
/// Docs that shrank; cancelled.
pub fn choose(asked: &Asked<'_>, shape: Shape, monitor: &Monitor) -> Result<Chosen> {
    let dim = asked.docs.dim();
    let whole = Coding {
        metric: asked.metric,
        level: asked.level,
        dot: asked.dot(),
        dim,
        centre: None,
        turn: Turn::None,
        prefix: dim.next_multiple_of(WORD),
        trust: 1.0,
    };
    match shape {
        Shape::Plain => return Ok(Chosen::Codes(whole)),
        Shape::Rotated => return Ok(Chosen::Codes(Coding { turn: Turn::Hadamard { dim }, ..whole })),
        Shape::Auto | Shape::Compact | Shape::Whole | Shape::Prefix | Shape::Coded => {}
    }
    monitor.begin("sampling docs", "docs", sample_docs(dim).min(asked.num_docs) as u64);
    asked.docs.check_size()?;
    let sample = Sample::of(asked, monitor)?;
    let whole = Coding { centre: sample.centre.clone(), ..whole };
    let rotated = || Coding { turn: Turn::Hadamard { dim }, ..whole.clone() };
    if shape == Shape::Coded {
        let axes = Leading::of(&sample.values, dim, (dim / 2).clamp(1, MOST_LEADING), f64::INFINITY, asked.level);
        monitor.check()?;
        let turn = axes.and_then(|(axes, _)| axes.first_coded(axes.count(), asked.level, whole.dot));
        return Ok(Chosen::Codes(turn.map_or(whole.clone(), |turn| whole.along(turn))));
    }
    let plain_loss = loss_of(&sample.values, dim, asked.level);
    let is_judged = shape != Shape::Whole && !asked.queries.is_empty();
    let pairs = is_judged.then(|| Pairs::of(asked, &sample));
    monitor.check()?;
    let whole_price = |passing: f64| price(dim, passing) + asked.coding();
    let tiles = pairs.as_ref().zip(asked.tiles).map(|(pairs, size)| {
        // The nearest go to float64 in any case, which costs codes less.
        let nearest = asked.top_k as f64 / asked.all_docs as f64;
        let scored = pairs.by_tiles() * TILE_SCORED_PRODUCTS + nearest * (TILE_SCORED_PRODUCTS - SCORED_PRODUCTS);
        // Every pass reads the docs.
        let reading = READING_PRODUCTS * dim as f64 / size.pass_queries as f64;
        (size, TILE_BEGINNING + TILE_PRODUCTS * dim as f64 + reading + scored)
    });
    let tiles_price = tiles.map_or(f64::INFINITY, |(_, price)| price);
    if let Some(pairs) = &pairs {
        let most_paid = whole_price(pairs.by_codes(plain_loss)).min(tiles_price) * (1.0 - LEADING_GAIN);
        if let Some(turn) = leading_of(asked, shape, &sample.values, (pairs, plain_loss, most_paid), monitor)? {
            return Ok(Chosen::Codes(whole.along(turn)));
        }
    }
    let mut turned = Vec::new();
    rotated().turn.apply(&sample.values[..sample.values.len().min(CODED_DOCS * dim)], &mut turned);
    let rotated_loss = loss_of(&turned, dim, asked.level);
    let (whole, loss) = match rotated_loss.of_length < ROTATION_GAIN * plain_loss.of_length {
        true => (rotated(), rotated_loss),
        false => (whole, plain_loss),
    };
    if let (Some(pairs), Some((size, tiles_price))) = (&pairs, tiles) {
        let passing = pairs.by_codes(loss);
        if tiles_price < whole_price(passing) {
            let why = match price(dim, passing) < tiles_price {
                true => {
                    let at_a_time = if asked.expected < size.queries { " at a time" } else { "" };
                    format!(
                        "coding the docs does not pay for {}{at_a_time}",
                        counted(asked.expected, "query", "queries")
                    )
                }
                false => format!("codes would leave {} of the pairs to float64", share(passing)),
            };
            return Ok(Chosen::Tiles { size, why });
        }
    }
    if let Some((turn, prefix)) = prefix_of(asked, shape, &sample, monitor)? {
        return Ok(Chosen::Codes(Coding { turn, prefix, ..whole }));
    }
    Ok(Chosen::Codes(whole))
}

/// What a pair costs of which `dims` dimensions are looked at, in products of the kernel, where a share of `passing` goes on to float64.
fn price(dims: usize, passing: f64) -> f64 {
    dims as f64 + BEGINNING + passing * SCORED_PRODUCTS
}

/// A share in percent.
fn share(value: f64) -> String {
    const ALL: usize = 1_000_000;
    percent((value * ALL as f64).round() as usize, ALL)
}

fn sample_docs(dim: usize) -> usize {
    SAMPLE_DOCS.min(SAMPLE_BYTES / (4 * dim)).max(1)
}

/// Docs from all over the file, in an order that looks random.
struct Sample {
    /// Row-major, as they will be coded.
    values: Vec<f32>,
    /// Squares of their lengths before the centre was taken off.
    squares: Vec<f64>,
    /// What was taken off them all.
    centre: Option<Arc<Centre>>,
}

impl Sample {
    fn of(asked: &Asked<'_>, monitor: &Monitor) -> Result<Self> {
        let dim = asked.docs.dim();
        let count = sample_docs(dim).min(asked.num_docs);
        let mut order: Vec<u32> = (0..count as u32).collect();
        scatter(&mut order);
        let row_of = |index: u32| (u128::from(index) * asked.num_docs as u128 / count as u128) as usize;
        let (mut values, mut squares) = (vec![0.0; count * dim], vec![0.0; count]);
        let parts = values.par_chunks_mut(dim * SAMPLED_TOGETHER).zip(squares.par_chunks_mut(SAMPLED_TOGETHER));
        parts.zip(order.par_chunks(SAMPLED_TOGETHER)).try_for_each(|((sampled, squares), order)| -> Result<()> {
            monitor.advance(order.len() as u64)?;
            let mut values = Vec::with_capacity(dim);
            for ((&index, sampled), coded_square) in order.iter().zip(sampled.chunks_exact_mut(dim)).zip(squares) {
                let row = asked.docs.row(row_of(index));
                let square = kernels::dot_f64(asked.level, row, row);
                values.clear();
                append_as_coded(asked.metric, row, square.sqrt(), &mut values);
                sampled.copy_from_slice(&values);
                *coded_square = if asked.metric == Metric::Cosine { 1.0 } else { square };
            }
            Ok(())
        })?;
        let centre = Centre::of(&values, &squares, asked.queries, dim, asked.metric, asked.level).map(Arc::new);
        if let Some(centre) = &centre {
            values.par_chunks_exact_mut(dim).for_each(|values| centre.take_off(values));
        }
        Ok(Self { values, squares, centre })
    }

    /// What is taken off the products of its docs; nearly.
    fn offsets(&self, asked: &Asked<'_>) -> Vec<f64> {
        let docs = self.values.par_chunks_exact(asked.docs.dim()).zip(&self.squares);
        let offset = |(rest, square): (&[f32], &f64)| match (&self.centre, asked.metric) {
            (Some(centre), _) => centre.offset_of_rest(rest),
            (None, Metric::Euclidean) => square / 2.0,
            (None, Metric::Dot | Metric::Cosine) => 0.0,
        };
        docs.map(offset).collect()
    }

    /// Queries as they will be coded.
    fn queries(&self, queries: &[f32]) -> Vec<f32> {
        let mut values = queries.to_vec();
        if let Some(centre) = &self.centre {
            centre.take_off_queries(&mut values);
        }
        values
    }
}

/// What coding loses of vectors, each with a step of its own.
#[derive(Debug, Clone, Copy)]
struct Loss {
    /// ‖x − step · code‖ of ‖x‖, of all together that are coded.
    of_length: f64,
    /// The share of vectors that are not, so that bounds say nothing of them.
    not_coded: f64,
}

impl Loss {
    /// The share of pairs that are let through, where bounds let `share` through of the docs that are coded.
    fn or_not_coded(&self, share: f64) -> f64 {
        self.not_coded + (1.0 - self.not_coded) * share
    }
}

/// What coding loses of the first of `rows`, row-major.
fn loss_of(rows: &[f32], dim: usize, level: Level) -> Loss {
    let mut codes = vec![0i8; dim];
    let (mut lost, mut lengths, mut not_coded) = (0.0, 0.0, 0);
    let rows = rows.chunks_exact(dim).take(CODED_DOCS);
    for row in rows.clone() {
        let largest = kernels::largest_abs(level, row);
        if largest > LARGEST_CODED {
            not_coded += 1;
            continue;
        }
        let (step, factor) = step_of(largest);
        // Squares that underflow count as in the bounds.
        lost +=
            f64::from(kernels::quantise(level, row, factor, step, &mut codes)).sqrt() + UNDERFLOW * (dim as f64).sqrt();
        lengths += kernels::dot_f64(level, row, row).sqrt();
    }
    Loss {
        of_length: if lengths > 0.0 { lost / lengths } else { 0.0 },
        not_coded: f64::from(not_coded) / rows.len().max(1) as f64,
    }
}

/// Principal axes and how many of them to look at first, if that is asked for or pays.
fn prefix_of(asked: &Asked<'_>, shape: Shape, sample: &Sample, monitor: &Monitor) -> Result<Option<(Turn, usize)>> {
    let dim = asked.docs.dim();
    let (docs, queries) = (asked.all_docs as f64, asked.expected as f64);
    // Turning every doc and query must cost less than what the best prefix could save.
    let scan = asked.pairs() * dim as f64;
    let turning = (docs + queries) * (dim * dim) as f64 * FLOAT_PRODUCTS;
    let is_small = turning > scan / TURNING_SHARE;
    let wanted = shape == Shape::Prefix || (shape == Shape::Auto && !is_small && !asked.queries.is_empty());
    if !wanted || !(2 * WORD..=MOST_AXES).contains(&dim) {
        return Ok(None);
    }
    let Some(turn) = Turn::principal(&sample.values, dim) else { return Ok(None) };
    monitor.check()?;
    let sampled = asked.queries.len().min(SAMPLE_QUERIES * dim);
    let (cost, prefix) = best_prefix(asked, &turn, sample, &asked.queries[..sampled], monitor)?;
    let pays = cost + turning / scan < 1.0 - PREFIX_GAIN;
    Ok((shape == Shape::Prefix || pays).then(|| (turn.spread_at(prefix), prefix)))
}

/// The leading principal axes that are worth more alone than all dimensions, if there are such.
///
/// `judge`: sampled pairs, what codes lose, and what a pair may cost.
fn leading_of(
    asked: &Asked<'_>,
    shape: Shape,
    sample: &[f32],
    judge: (&Pairs<'_>, Loss, f64),
    monitor: &Monitor,
) -> Result<Option<Turn>> {
    let dim = asked.docs.dim();
    let wanted = looks_for_axes(shape, dim)
        && (shape == Shape::Prefix || asked.pairs() * dim as f64 > LARGE_SCAN)
        && dim >= LEAST_LED
        && !asked.queries.is_empty();
    if !wanted {
        return Ok(None);
    }
    // What turning all vectors along so many axes, and coding the docs, costs, in products of the kernel a pair.
    let (docs, queries) = (asked.all_docs as f64, asked.expected as f64);
    let turning = |way: Way, kept: usize| {
        let of_doc = match way {
            Way::Float32 => {
                (FLOAT_PRODUCTS * kept as f64 + READING_PRODUCTS) * dim as f64 + CODING_PRODUCTS * kept as f64
            }
            Way::Coded => (READING_PRODUCTS + CODING_PRODUCTS + CODED_PRODUCTS * kept as f64) * dim as f64,
        };
        (docs * of_doc + queries * FLOAT_PRODUCTS * (kept * dim) as f64) / asked.pairs()
    };
    let ways: &[Way] = if asked.dot().is_fast() { &[Way::Float32, Way::Coded] } else { &[Way::Float32] };
    // Beyond this many, turning all vectors and scanning the codes cannot save what is wanted of scanning whole codes.
    let is_affordable = |kept: usize| {
        let least = ways.iter().map(|&way| turning(way, kept)).fold(f64::INFINITY, f64::min);
        kept as f64 + least - asked.coding() <= dim as f64 * LEADING_SHARE
    };
    let step = (dim / 64).next_multiple_of(AXES_TOGETHER).max(AXES_TOGETHER);
    let mut kept: Vec<usize> = (step..=MOST_LEADING.min(dim / 2)).step_by(step).collect();
    kept.retain(|&kept| shape == Shape::Prefix || is_affordable(kept));
    let Some(&most) = kept.last() else { return Ok(None) };
    let fitted = &sample[..sample.len().min(AXIS_DOCS * most * dim)];
    let Some((all, _)) = Leading::of(fitted, dim, most, MOST_LEFT_OUT, asked.level) else { return Ok(None) };
    monitor.check()?;
    // There are no more axes than docs in the sample.
    kept.retain(|&kept| kept <= all.count());
    // Judged by docs that axes were not made of, as far as there are such.
    let (pairs, loss, most_paid) = judge;
    let passing = pairs.along(&all, &kept, loss);
    monitor.check()?;
    let mut costs: Vec<(f64, Way, usize)> = Vec::new();
    for &way in ways {
        let shares = kept.iter().zip(&passing[way as usize]);
        costs.extend(shares.map(|(&kept, &share)| (price(kept, share) + turning(way, kept), way, kept)));
    }
    costs.sort_by(|left, right| left.0.total_cmp(&right.0));
    let paying = costs.into_iter().filter(|(price, ..)| shape == Shape::Prefix || *price < most_paid);
    // The next best where axes are refused.
    let mut turns = paying.map(|(_, way, kept)| match way {
        Way::Float32 => all.first(kept, asked.level),
        Way::Coded => all.first_coded(kept, asked.level, asked.dot()),
    });
    Ok(turns.find_map(|turn| turn))
}

/// The cheapest prefix, and what it costs as a share of scanning all dimensions.
fn best_prefix(
    asked: &Asked<'_>,
    turn: &Turn,
    sample: &Sample,
    queries: &[f32],
    monitor: &Monitor,
) -> Result<(f64, usize)> {
    let dim = asked.docs.dim();
    let (mut docs, mut turned_queries) = (Vec::new(), Vec::new());
    turn.apply(&sample.values, &mut docs);
    turn.apply(&sample.queries(queries), &mut turned_queries);
    let count = docs.len() / dim;
    let step = (dim / 24).next_multiple_of(WORD).max(WORD);
    let prefixes: Vec<usize> = (1..).map(|part| part * step).take_while(|prefix| *prefix < dim).collect();
    // What is left of every vector after each prefix.
    let norm = |vector: &[f32]| kernels::dot_f64(asked.level, vector, vector).sqrt();
    let rests = |vector: &[f32]| prefixes.iter().map(|&prefix| norm(&vector[prefix..])).collect::<Vec<f64>>();
    let doc_rests: Vec<Vec<f64>> = docs.chunks_exact(dim).map(rests).collect();
    let offsets = sample.offsets(asked);
    // The bound of a pair after each prefix, compared with what the k-th nearest of all docs may have.
    let mut spread = Vec::new();
    turn.clone().spread_at(dim * 2 / 3).apply(&sample.values, &mut spread);
    let loss = loss_of(&spread, dim, asked.level);
    let residuals: Vec<f64> = docs.chunks_exact(dim).map(|doc| 2.0 * loss.of_length * norm(doc)).collect();
    let longest = docs.chunks_exact(dim).map(norm).fold(0.0, f64::max).powi(2);
    let largest_gain = passing::largest_gain(&offsets);
    let mut alive = vec![0u64; prefixes.len()];
    let mut pairs = 0u64;
    let mut partial = vec![0.0f64; count * prefixes.len()];
    for query in turned_queries.chunks_exact(dim) {
        monitor.check()?;
        let query_rests = rests(query);
        let mut keys = Vec::with_capacity(count);
        for (doc, (partial, offset)) in
            docs.chunks_exact(dim).zip(partial.chunks_exact_mut(prefixes.len().max(1)).zip(&offsets))
        {
            let mut sum = -offset;
            let mut start = 0;
            for (&prefix, partial) in prefixes.iter().zip(partial) {
                sum += kernels::dot_f64(asked.level, &query[start..prefix], &doc[start..prefix]);
                (*partial, start) = (sum, prefix);
            }
            keys.push(sum + kernels::dot_f64(asked.level, &query[start..], &doc[start..]));
        }
        let length = norm(query);
        let most = largest_gain + asked.largest_key(length.powi(2), longest);
        let (limit, _) = passing::limit_of(asked.top_k, asked.all_docs, &mut keys, most);
        pairs += count as u64;
        let docs = partial.chunks_exact(prefixes.len().max(1)).zip(&doc_rests).zip(&residuals);
        for ((partial, doc_rests), residual) in docs {
            let limit = limit - residual * length;
            let bounds = partial.iter().zip(query_rests.iter().zip(doc_rests));
            for ((sum, (query_rest, doc_rest)), alive) in bounds.zip(&mut alive) {
                *alive += u64::from(sum + query_rest * doc_rest >= limit);
            }
        }
    }
    let cost = |(&prefix, &alive): (&usize, &u64)| {
        let share = loss.or_not_coded(alive as f64 / pairs.max(1) as f64);
        ((prefix as f64 + share * HIT_PRODUCTS) / dim as f64, prefix)
    };
    let best = prefixes.iter().zip(&alive).map(cost).min_by(|a, b| a.0.total_cmp(&b.0));
    Ok(match best {
        Some(best) if pairs > 0 => best,
        // Nothing to go by: two thirds of the axes.
        _ => (1.0, (dim * 2 / 3).next_multiple_of(WORD).min(dim / WORD * WORD)),
    })
}
