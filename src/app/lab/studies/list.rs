//! The entries of the studies: their words, their fields, and the call that the command line makes, too.

use super::registry::{Field, Kind, Study, Subject, Values, Work};
use crate::compute::error::{Error, Result};
use crate::compute::figures::count;
use crate::compute::index::by_rank::{self, RanksParams};
use crate::compute::index::cells::{self, CellsParams};
use crate::compute::index::difficulty::{self, DifficultyParams};
use crate::compute::index::duplicates::{self, DuplicatesParams};
use crate::compute::index::plan::{self, Asking, PlanParams};
use crate::compute::index::serving::{self, Scheme, ServingParams};
use crate::compute::index::truth::Question;
use crate::compute::index::why::{self, WhyParams};
use crate::video::finding::{Finding, More};
use crate::video::studies;

/// A field for a word or a number.
const fn text(
    name: &'static str,
    label: &'static str,
    default: &'static str,
    empty: &'static str,
    hint: &'static str,
) -> Field {
    Field { name, label, default, hint, kind: Kind::Text(empty) }
}

/// An empty field for more than that.
const fn long(name: &'static str, label: &'static str, empty: &'static str, hint: &'static str) -> Field {
    Field { name, label, default: "", hint, kind: Kind::Long(empty) }
}

/// Cells of k-means.
const CELLS_FIELD: Field =
    text("cells", "Cells", "", "usual", "Cells of k-means; usually 1,000, but no more than one for 39 docs");
const SEED_FIELD: Field = text("seed", "Seed", "42", "42", "Seed of what is drawn at random");

fn seed(values: &Values<'_>) -> Result<u64> {
    Ok(values.whole("seed")?.map_or(CellsParams::SEED, |seed| seed as u64))
}

/// A field in GB, as bytes.
fn bytes(values: &Values<'_>, name: &'static str, usual: u64) -> Result<u64> {
    match values.real(name)? {
        None => Ok(usual),
        Some(size) if size > 0.0 && size <= 1e6 => Ok((size * 1e9).round() as u64),
        Some(size) => {
            let expected = "GB, above 0, at most 1,000,000".to_owned();
            Err(Error::Parameter { name, expected, found: size.to_string() })
        }
    }
}

pub const WHY: Study = Study {
    name: "why",
    command: "Study why neighbours were missed",
    about: "Why was each lost neighbour missed? The index is built and asked again, until each has one reason: \
            quantisation, a cell that was not probed, a graph that was not reached, hashes, leaves, duplicates.",
    action: "Find out why",
    subject: Subject::Contestant,
    fields: &[text("query", "Query", "", "all", "One query alone, by its row, with texts; all of them if empty")],
    prepare: |values, question| {
        let params = WhyParams { query: values.whole("query")? };
        if let (Some(query), Some(queries)) = (params.query, question.num_queries)
            && query >= queries
        {
            let expected = format!("0 to {}, a query of the session", count(queries.saturating_sub(1)));
            return Err(Error::Parameter { name: "query", expected, found: count(query) });
        }
        Ok(Box::new(move |context, monitor| {
            let reasons = why::run(context.lab, context.run()?, &params, &context.options, monitor)?;
            Ok(studies::why::finding(&reasons))
        }))
    },
};

pub const RANKS: Study = Study {
    name: "ranks",
    command: "Study what is lost by rank",
    about: "Is the nearest neighbour found more often than the hundredth? Shares found and score gaps of every rank, \
            and how many queries have which recall.",
    action: "Look at ranks",
    subject: Subject::Contestant,
    fields: &[
        text("deepest", "Ranks", "", "all", "The deepest rank that is looked at; all that were found if empty"),
        text(
            "together",
            "Together",
            "1",
            "1",
            "Ranks that are told together: 10 stands for ranks 1 to 10, 11 to 20, and so on",
        ),
        Field {
            name: "gaps",
            label: "Gaps",
            default: "absolute",
            hint: "In score units, or relative to the size of the exact score",
            kind: Kind::Choice(&["absolute", "relative"]),
        },
    ],
    prepare: ranks_of,
};

fn ranks_of(values: &Values<'_>, question: &Question) -> Result<Work> {
    let params = RanksParams {
        deepest: values.whole("deepest")?,
        together: values.whole("together")?.unwrap_or(1),
        relative: values.text("gaps") == "relative",
    };
    params.check(question.top_k)?;
    Ok(Box::new(move |context, monitor| {
        Ok(studies::by_rank::finding(by_rank::run(context.lab, context.run()?, params, monitor)?))
    }))
}

pub const DIFFICULTY: Study = Study {
    name: "difficulty",
    command: "Study what makes queries hard",
    about: "What do the queries that lose most have in common? Local intrinsic dimension, relative contrast, hubness and \
            the distance to training centroids, each beside recall. Drag over a picture to look at hard queries alone.",
    action: "Measure difficulty",
    subject: Subject::Contestant,
    fields: &[CELLS_FIELD, SEED_FIELD],
    prepare: |values, question| {
        let cells = CellsParams { cells: values.whole("cells")?, seed: seed(values)?, ..CellsParams::default() };
        let params = DifficultyParams { cells };
        params.validate(question.num_docs.unwrap_or(usize::MAX))?;
        Ok(Box::new(move |context, monitor| {
            let measured = difficulty::run(context.lab, context.run()?, &params, monitor)?;
            let more = More { name: "measures of every query", table: studies::difficulty::queries(&measured) };
            Ok(Finding { more: Some(more), ..studies::difficulty::finding(&measured) })
        }))
    },
};

pub const CELLS: Study = Study {
    name: "cells",
    command: "Study topic clusters of the docs",
    about: "In which topics is most lost? Cells of k-means, as an IVF index has them: how large and how wide each is, what \
            it is about, and what the contestant loses in it, if one is chosen.",
    action: "Train cells",
    subject: Subject::Either,
    fields: &[CELLS_FIELD, text("iterations", "Iterations", "20", "20", "Iterations of k-means, at most"), SEED_FIELD],
    prepare: |values, question| {
        let iterations = values.whole("iterations")?.unwrap_or(CellsParams::ITERATIONS);
        let params = CellsParams { cells: values.whole("cells")?, iterations, seed: seed(values)? };
        params.validate(question.num_docs.unwrap_or(usize::MAX))?;
        Ok(Box::new(move |context, monitor| {
            Ok(studies::cells::finding(&cells::run(context.lab, context.run, &params, monitor)?))
        }))
    },
};

pub const PLANNER: Study = Study {
    name: "planner",
    command: "Plan which method pays when",
    about: "How many queries must come until building an index pays? Measures every method on samples of these docs, fits \
            how its costs grow, and tells which is the cheapest for how many queries and docs.",
    action: "Measure and plan",
    subject: Subject::Session,
    fields: &[
        text("for-docs", "Docs", "", "all", "Docs to plan for; more than there are is extrapolated"),
        text("for-queries", "Queries", "", "all", "Queries that will be asked in all"),
        text("distinct", "Distinct", "", "all", "Different queries among them, whose answers can be kept"),
        text("for-memory", "Memory GB", "4", "4", "Memory to answer with"),
        text("recall", "Recall", "0.95", "0.95", "Recall to reach at the neighbours asked for"),
        Field {
            name: "asking",
            label: "Asked",
            default: "one by one",
            hint: "Queries come one after another and are answered on one thread, or all at once on all threads",
            kind: Kind::Choice(&["one by one", "all at once"]),
        },
        text("budget-secs", "Seconds", "60", "60", "Seconds that measuring may take"),
        long("index", "Indexes", "every family", "Choose among these only, separated by spaces; every family if empty"),
    ],
    prepare: |values, question| {
        let usual = PlanParams::default();
        let params = PlanParams {
            docs: values.whole("for-docs")?,
            queries: values.whole("for-queries")?,
            distinct: values.whole("distinct")?,
            memory_bytes: bytes(values, "for-memory", usual.memory_bytes)?,
            recall: values.real("recall")?.unwrap_or(usual.recall),
            asking: if values.text("asking") == "all at once" { Asking::AtOnce } else { Asking::OneByOne },
            budget_secs: values.real("budget-secs")?.unwrap_or(usual.budget_secs),
            indexes: values.text("index").split_whitespace().map(str::to_owned).collect(),
            ..usual
        };
        params.validate(question.dim)?;
        Ok(Box::new(move |context, monitor| {
            let planned = plan::run(&context.lab.question(), &params, &context.options.program, monitor)?;
            Ok(studies::plan::finding(planned))
        }))
    },
};

pub const DUPLICATES: Study = Study {
    name: "duplicates",
    command: "Study near-duplicates",
    about: "Which docs are nearly the same? All pairs of docs above a threshold, found exactly, as groups with their texts; \
            and which of them an index overlooks when it is asked with the docs themselves.",
    action: "Find near-duplicates",
    subject: Subject::Session,
    fields: &[
        text("threshold", "Threshold", "", "0.95", "Least similarity of a pair; under euclidean the largest distance"),
        long("index", "Indexes", "none", "Indexes to ask the same, separated by spaces; none if empty"),
        text("neighbours", "Neighbours", "10", "10", "Other docs that an index is asked for, doc by doc"),
    ],
    prepare: |values, question| {
        let usual = DuplicatesParams::default();
        let params = DuplicatesParams {
            threshold: values.real("threshold")?,
            neighbours: values.whole("neighbours")?.unwrap_or(usual.neighbours),
            indexes: values.text("index").split_whitespace().map(str::to_owned).collect(),
            ..usual
        };
        params.check(question.metric, question.dim)?;
        Ok(Box::new(move |context, monitor| {
            let params = DuplicatesParams { docs: context.lab.folder().to_owned(), ..params };
            let found = duplicates::run(&params, &context.options, monitor)?;
            let more = More { name: "docs of every group", table: studies::duplicates::members(&found, monitor)? };
            Ok(Finding { more: Some(more), ..studies::duplicates::finding(found) })
        }))
    },
};

pub const SERVING: Study = Study {
    name: "serving",
    command: "Simulate serving schemes",
    about: "What do shards, replicas, and an exact index of fresh docs beside the main one cost and gain? Each is built and \
            asked on these docs; queues are simulated from the measured times.",
    action: "Build and simulate",
    subject: Subject::Session,
    fields: &[
        long(
            "index",
            "Index",
            "a usual one",
            "The index of every part, with one value of each parameter; a usual one if empty",
        ),
        Field {
            name: "scheme",
            label: "Schemes",
            default: "all",
            hint: "A main index beside fresh docs (dual), shards by hash or by cluster, replicas, or all of them",
            kind: Kind::Choice(&["all", "dual", "hash", "cluster", "replicas"]),
        },
        text("fresh", "Fresh %", "1,5,20", "usual", "Fresh docs, in percent of all; several with commas"),
        text("shards", "Shards", "8", "8", "Shards"),
        text("cells", "Cells", "", "= shards", "Cells of k-means that are packed into shards evenly"),
        text("replicas", "Replicas", "4", "4", "Copies of the index"),
        text("queries", "Queries", "1000", "1000", "Asks the first queries only, at most"),
        SEED_FIELD,
    ],
    prepare: |values, question| {
        let usual = ServingParams::default();
        let params = ServingParams {
            index: Some(values.text("index")).filter(|index| !index.is_empty()).map_or(usual.index, str::to_owned),
            schemes: match values.text("scheme") {
                "all" => usual.schemes,
                scheme => vec![scheme.parse::<Scheme>()?],
            },
            fresh: values.percents("fresh")?.unwrap_or(usual.fresh),
            shards: values.whole("shards")?.unwrap_or(usual.shards),
            cells: values.whole("cells")?,
            replicas: values.whole("replicas")?.unwrap_or(usual.replicas),
            queries: values.whole("queries")?.unwrap_or(usual.queries),
            seed: seed(values)?,
            utilisations: usual.utilisations,
            memory_bytes: usual.memory_bytes,
            scratch: usual.scratch,
        };
        params.validate(question.dim, question.num_docs.unwrap_or(usize::MAX))?;
        Ok(Box::new(move |context, monitor| {
            Ok(studies::serving::finding(serving::run(context.lab, &params, &context.options.program, monitor)?))
        }))
    },
};
