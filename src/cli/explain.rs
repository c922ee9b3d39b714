//! `score --explain`: which kernel scored, why, and how near it came to what the CPU can do.

use std::time::Instant;

use rayon::prelude::*;

use crate::compute::exact::{Filter, ScorePlan, Shape};
use crate::compute::figures::{bytes, count, counted, duration, rate};
use crate::compute::kernels::Level;
use crate::compute::kernels::int8::{Dot, peak_products, peak_round};

/// Tells what was chosen and what it did.
pub fn tell(plan: &ScorePlan) {
    let report = plan.report();
    let level = Level::detected();
    let dot = Dot::within(level);
    let kernel = match plan.choice.filter {
        Filter::Float32 => format!("float32 tiles ({})", level.name()),
        Filter::Int8(Shape::Prefix) => format!("int8 filter with a prefix ({})", dot.name()),
        Filter::Int8(_) => format!("int8 filter ({})", dot.name()),
    };
    tell!("kernel: {kernel}: {}", plan.choice.why);
    if report.queries == 0 {
        tell!("nothing was computed: all runs were there already");
        return;
    }
    if !report.coded_as.is_empty() {
        tell!("data: {}, chosen in {}", report.coded_as, duration(report.tuning_secs));
    }
    let kept = match plan.size.docs_kept {
        true => "kept for the whole session".to_owned(),
        false => format!("in blocks of {}", count(plan.size.block_docs)),
    };
    tell!(
        "docs: {} {kept}, made ready in {}; passes of {} queries, {} of memory",
        count(plan.num_docs),
        duration(report.coding_secs),
        count(plan.size.pass_queries),
        bytes(plan.size.bytes),
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
    if plan.choice.filter != Filter::Float32 {
        let per_query = |value: u64| value as f64 / report.queries as f64;
        tell!(
            "survivors per query: {:.1} docs passed the filter, {:.1} were scored in float64; scanned again: {}",
            per_query(report.scan.hits),
            per_query(report.scan.scored),
            counted(report.scan.redone as usize, "query", "queries"),
        );
        let scanning = report.scanning_secs;
        tell!(
            "of that {} scanning codes, {} scoring survivors",
            duration(scanning),
            duration(report.scoring_secs - scanning)
        );
        if let Some(peak) = int8_peak(dot) {
            let per_sec = products / scanning;
            tell!(
                "while scanning, share of the int8 peak ({}multiply-adds/s on {}): {:.0} %",
                rate(peak),
                counted(rayon::current_num_threads(), "thread", "threads"),
                100.0 * per_sec / peak
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
