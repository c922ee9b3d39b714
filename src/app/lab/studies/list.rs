//! The entries of the studies: their words, their fields, and the call that the command line makes, too.

use super::registry::{Field, Kind, Study, Values, Work};
use crate::compute::error::Result;
use crate::compute::index::by_rank::{self, RanksParams};
use crate::compute::index::truth::Question;
use crate::video::studies;

pub const RANKS: Study = Study {
    name: "ranks",
    command: "Study what is lost by rank",
    about: "Is the nearest neighbour found more often than the hundredth? Shares found and score gaps of every rank, \
            and how many queries have which recall.",
    action: "Look at ranks",
    needs_contestant: true,
    fields: &[
        Field {
            name: "deepest",
            label: "Ranks",
            default: "",
            hint: "The deepest rank that is looked at; all that were found if empty",
            kind: Kind::Text("all"),
        },
        Field {
            name: "together",
            label: "Together",
            default: "1",
            hint: "Ranks that are told together: 10 stands for ranks 1 to 10, 11 to 20, and so on",
            kind: Kind::Text("1"),
        },
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
