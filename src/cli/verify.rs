//! `knnscope verify`

use super::args::VerifyArgs;
use super::progress::ProgressLine;
use super::{Failure, use_threads};
use crate::compute::error::Error;
use crate::compute::figures::{count, counted, grouped};
use crate::compute::scores::{ScoreStore, Verification, WrongQuery, verify};
use crate::job::Monitor;

/// Wrong queries that are listed.
const LISTED_WRONG: usize = 10;

pub fn run(args: &VerifyArgs, monitor: &Monitor) -> Result<(), Failure> {
    use_threads(args.common.threads)?;
    let store = ScoreStore::open(&args.input_dir)?;
    let found = {
        let _line = ProgressLine::start(monitor, args.common.quiet);
        verify(&store, args.sample, monitor)?
    };
    if !args.common.quiet {
        tell_verdict(&found);
        for damage in found.damaged.iter().take(LISTED_WRONG) {
            tell!("damaged: {damage}");
        }
        tell_wrong(&store, &found);
        tell_ties(&found);
        tell_misses(&found);
    }
    if found.wrong.is_empty() && found.damaged.is_empty() {
        return Ok(());
    }
    let what = match found.wrong.len() {
        0 => format!("what is stored is damaged in {}", counted(found.damaged.len(), "run", "runs")),
        wrong => {
            let checked = counted(found.checked as usize, "query", "queries");
            format!("what is stored is wrong for {} of {checked} checked", count(wrong))
        }
    };
    Err(Error::VerifyFailed { what, path: store.folder().to_owned() }.into())
}

fn tell_verdict(found: &Verification) {
    let ids = if found.ids_checked { ", docs id for id" } else { "; doc ids were not stored" };
    let scores = match found.largest_difference {
        None => "scores bit for bit".to_owned(),
        Some(largest) => format!("scores within float32 rounding, off by at most {largest:.1e}"),
    };
    let verdict = match found.wrong.len() {
        0 => format!("the stored top-{} of each is right ({scores}{ids})", grouped(found.top_k)),
        wrong => format!("{} wrong", count(wrong)),
    };
    tell!(
        "{} of {} checked against {} in float64: {verdict}",
        grouped(found.checked),
        counted(found.total_queries as usize, "query", "queries"),
        counted(found.num_docs as usize, "doc", "docs"),
    );
    if found.checked < found.total_queries && found.damaged.is_empty() {
        tell!(
            "of the other {} all is in order and nothing visibly damaged; --sample {} recomputes them too",
            counted((found.total_queries - found.checked) as usize, "query", "queries"),
            found.total_queries,
        );
    }
}

fn tell_wrong(store: &ScoreStore, found: &Verification) {
    for wrong in found.wrong.iter().take(LISTED_WRONG) {
        tell!("wrong: {}", describe(store, wrong));
    }
    let more = found.wrong.len().saturating_sub(LISTED_WRONG);
    if more > 0 {
        tell!("wrong: {} more", count(more));
    }
}

/// The first wrong place of a query, with scores as float32.
fn describe(store: &ScoreStore, wrong: &WrongQuery) -> String {
    let run = &store.runs()[wrong.run];
    let stored_doc = wrong.stored_doc.map_or(String::new(), |doc| format!("doc {} at ", grouped(doc)));
    format!(
        "query {} (N = {}, repeat {}), rank {}: stored {stored_doc}{:?}, expected doc {} at {:?}",
        grouped(wrong.query_row),
        grouped(run.n),
        grouped(run.m + 1),
        grouped(wrong.rank + 1),
        wrong.stored_score,
        grouped(wrong.expected_doc),
        wrong.expected_score as f32,
    )
}

fn tell_ties(found: &Verification) {
    if found.tied_queries == 0 {
        return;
    }
    let docs = |docs: u64| counted(docs as usize, "more doc ties", "more docs tie");
    let mut listed: Vec<String> =
        found.ties.iter().map(|tie| format!("query {} ({})", grouped(tie.query_row), docs(tie.docs))).collect();
    let more = found.tied_queries as usize - found.ties.len();
    if more > 0 {
        listed.push(format!("{} more", count(more)));
    }
    tell!(
        "ties at the k-th place: {} (which doc of equals is kept is decided by the lower id): {}",
        counted(found.tied_queries as usize, "query", "queries"),
        listed.join(", "),
    );
}

fn tell_misses(found: &Verification) {
    let Some(miss) = found.closest_miss else { return };
    let told_apart = if miss.same_float32 { " (float32 could not tell them apart)" } else { "" };
    tell!(
        "closest miss: query {}: doc {} missed the top-{} by {:.1e}{told_apart}",
        grouped(miss.query_row),
        grouped(miss.doc),
        grouped(found.top_k),
        miss.gap,
    );
    if found.too_close_queries > 0 {
        let queries = counted(found.too_close_queries as usize, "query has", "queries have");
        tell!("too close for float32: {queries} the same float32 at the k-th place and the next, but no tie");
    }
}
