//! `score --explain`: which kernel scored, why, and how near it came to what the CPU can do.

use std::time::Instant;

use rayon::prelude::*;

use crate::compute::exact::{Filter, Kernel, ScorePlan};
use crate::compute::figures::{bytes, count, counted, duration, rate};
use crate::compute::kernels::Level;
use crate::compute::kernels::int8::{Dot, peak_products, peak_round};

/// Dimensions below which sums are made as fast as they are compared.
const FEW_DIMENSIONS: usize = 256;
/// A share of the peak that needs no explanation.
const NEAR_PEAK: f64 = 0.75;

/// Tells what was chosen and what it did.
pub fn tell(plan: &ScorePlan) {
    let report = plan.report();
    let level = Level::detected();
    let dot = Dot::within(level);
    let Some(size) = report.size else {
        tell!("kernel: none was needed: all runs were there already");
        return;
    };
    let tiles = format!("float32 tiles ({})", level.name());
    let chosen = duration(report.tuning_secs);
    match (plan.choice.filter, size.filter) {
        (Filter::Float32, _) => tell!("kernel: {tiles}: {}", plan.choice.why),
        (_, Filter::Float32) => tell!("kernel: {tiles}: {}, chosen in {chosen}", report.coded_as),
        _ => {
            let along = if plan.params.kernel == Kernel::Prefix { " along principal axes" } else { "" };
            tell!("kernel: int8 filter{along} ({}): {}", dot.name(), plan.choice.why);
            tell!("data: {}, chosen in {chosen}", report.coded_as);
        }
    }
    let kept = match (size.filter, size.docs_kept) {
        (Filter::Float32, true) => "norms kept for the whole session".to_owned(),
        (Filter::Float32, false) => "norms taken tile by tile".to_owned(),
        (_, true) => "kept for the whole session".to_owned(),
        (_, false) => format!("in blocks of {}", count(size.block_docs)),
    };
    tell!(
        "docs: {} {kept}, made ready in {}; passes of {}, {} of memory",
        count(plan.num_docs),
        duration(report.coding_secs),
        counted(size.pass_queries, "query", "queries"),
        bytes(size.bytes),
    );
    let products = report.pairs as f64 * report.scanned_dim as f64;
    let per_sec = products / report.scoring_secs;
    tell!(
        "scored: {} query × doc pairs in {}: {}pairs/s, {}multiply-adds/s",
        count(report.pairs as usize),
        duration(report.scoring_secs),
        rate(report.pairs as f64 / report.scoring_secs),
        rate(per_sec)
    );
    if size.filter != Filter::Float32 {
        let per_query = |value: u64| match value as f64 / report.queries as f64 {
            few if few < 1000.0 => format!("{few:.1}"),
            many => count(many.round() as usize),
        };
        let again = match report.scan.redone {
            0 => "0 queries".to_owned(),
            redone => format!("{}, whose survivors count twice", counted(redone as usize, "query", "queries")),
        };
        tell!(
            "survivors per query: {} docs passed the filter, {} were scored in float64; scanned again: {again}",
            per_query(report.scan.hits),
            per_query(report.scan.scored),
        );
        let scanning = report.scanning_secs;
        // A few of them among many queries take no time that is worth a word.
        let made_room = report.scan.for_room >= report.queries;
        let for_room = match made_room {
            false => String::new(),
            true => format!(" and scoring {} docs per query to make room", per_query(report.scan.for_room)),
        };
        tell!(
            "of that {} scanning codes{for_room}, {} scoring survivors",
            duration(scanning),
            duration(report.scoring_secs - scanning)
        );
        if let Some(peak) = int8_peak(dot) {
            let share = products / scanning / peak;
            let rest = match (share < NEAR_PEAK, made_room, report.scanned_dim < FEW_DIMENSIONS) {
                (true, true, _) => "; the rest goes into making room above all",
                (true, false, true) => "; of so few dimensions, much of the time goes into comparing sums",
                _ => "",
            };
            tell!(
                "while scanning, share of the int8 peak ({}multiply-adds/s on {}): {:.0} %{rest}",
                rate(peak),
                counted(rayon::current_num_threads(), "thread", "threads"),
                100.0 * share
            );
        }
    }
}

/// Multiply-adds a second of all threads, doing nothing else; the best of some tries of 10 ms.
fn int8_peak(dot: Dot) -> Option<f64> {
    const ROUNDS: usize = 400_000;
    let products = peak_products(dot) * ROUNDS as u64 * rayon::current_num_threads() as u64;
    let once = || {
        let started = Instant::now();
        let sums: Vec<i32> = (0..rayon::current_num_threads())
            .into_par_iter()
            .with_max_len(1)
            .map(|_| peak_round(dot, ROUNDS))
            .collect();
        std::hint::black_box(sums);
        products as f64 / started.elapsed().as_secs_f64()
    };
    (products > 0).then(|| (0..7).map(|_| once()).fold(0.0, f64::max))
}
