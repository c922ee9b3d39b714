//! Which kernel pays for what is asked.

use std::str::FromStr;

use super::size::{Demand, EngineSize, Filter, Shape};
use crate::compute::error::Error;
use crate::compute::figures::{bytes, count, counted};
use crate::compute::kernels::int8::Dot;

/// What the user wants; the result is the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kernel {
    /// Whatever is fastest here.
    #[default]
    Auto,
    /// Float32 tiles.
    F32,
    /// The int8 filter over all dimensions.
    Int8,
    /// The int8 filter over the leading principal axes first.
    Prefix,
}

impl FromStr for Kernel {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "auto" => Ok(Self::Auto),
            "f32" => Ok(Self::F32),
            "int8" => Ok(Self::Int8),
            "prefix" => Ok(Self::Prefix),
            _ => Err(Error::Parameter {
                name: "kernel",
                expected: "auto, f32, int8 or prefix".to_owned(),
                found: text.to_owned(),
            }),
        }
    }
}

/// What was chosen, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    pub filter: Filter,
    pub why: String,
}

impl Choice {
    /// Fewer queries than this do not make up for coding the docs.
    const FEW_QUERIES: usize = 64;
    /// Docs coded at a time below which every block begins anew more than it scans.
    const SMALL_BLOCK: usize = 4096;
    /// Docs per wanted neighbour below which too many docs survive any filter. Of 20,000 docs × 200 queries × 64 dimensions codes
    /// took 0.078 s for the top 6,665 where float32 took 0.115, 0.123 for 10,000 where that took 0.136, and 0.196 for 15,000 where
    /// it took 0.165 (Zen 5).
    const DOCS_PER_NEIGHBOUR: usize = 2;

    /// Chooses for `demand` on a CPU with `dot`.
    pub fn make(wish: Kernel, demand: &Demand, dot: Dot) -> Self {
        let Demand { num_docs, top_k, queries, .. } = *demand;
        let (filter, why) = match wish {
            Kernel::F32 => (Filter::Float32, "asked for".to_owned()),
            Kernel::Int8 => (Filter::Int8(Shape::Whole), "asked for".to_owned()),
            Kernel::Prefix => (Filter::Int8(Shape::Prefix), "asked for".to_owned()),
            Kernel::Auto if !dot.is_fast() => {
                (Filter::Float32, format!("this CPU has no fast int8 dot product ({})", dot.name()))
            }
            Kernel::Auto if queries < Self::FEW_QUERIES => {
                (Filter::Float32, format!("coding the docs does not pay for {}", counted(queries, "query", "queries")))
            }
            Kernel::Auto if num_docs / top_k < Self::DOCS_PER_NEIGHBOUR => {
                (Filter::Float32, format!("top-{} of {} docs is a large part of them", count(top_k), count(num_docs)))
            }
            Kernel::Auto => {
                (Filter::Int8(Shape::Auto), format!("int8 dot products ({}) are the fastest here", dot.name()))
            }
        };
        Self { filter, why }
    }

    /// The largest buffers within `budget`. Where nobody asked for codes and they do not fit well, such as take no room for
    /// axes, and float32 tiles where these do not either.
    ///
    /// # Errors
    /// If not even one query at a time fits.
    pub fn fit(self, budget: u64, demand: &Demand) -> Result<(Self, EngineSize), Error> {
        let fits = EngineSize::within(budget, self.filter, demand);
        if self.filter != Filter::Int8(Shape::Auto) || Self::fits_well(&fits) {
            return fits.map(|size| (self, size));
        }
        let compact = Filter::Int8(Shape::Compact);
        let fits = EngineSize::within(budget, compact, demand);
        let budget_text = bytes(budget);
        let (filter, why) = match Self::fits_well(&fits) {
            true => (compact, format!("{}; {budget_text} of memory is too little to look for axes", self.why)),
            false => (Filter::Float32, format!("codes do not fit well into {budget_text} of memory")),
        };
        EngineSize::within(budget, filter, demand).map(|size| (Self { filter, why }, size))
    }

    /// Whether there is room for codes of so many docs at a time that they pay.
    fn fits_well(fits: &Result<EngineSize, Error>) -> bool {
        match fits {
            Ok(size) => size.docs_kept || size.block_docs >= Self::SMALL_BLOCK,
            Err(error) => !matches!(error, Error::MemoryBudget { .. }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_chosen_fits_into_memory() {
        let demand = Demand { dim: 1024, num_docs: 100_000, top_k: 100, queries: 1000, threads: 2 };
        let fit = |budget: u64| {
            let choice = Choice { filter: Filter::Int8(Shape::Auto), why: "fastest".to_owned() };
            let (choice, size) = choice.fit(budget, &demand).expect("fits");
            assert!(size.bytes <= budget && size.filter == choice.filter, "{size:?}");
            (choice.filter, choice.why)
        };
        assert_eq!(fit(500_000_000), (Filter::Int8(Shape::Auto), "fastest".to_owned()));
        let why = "fastest; 60.0 MB of memory is too little to look for axes";
        assert_eq!(fit(60_000_000), (Filter::Int8(Shape::Compact), why.to_owned()));
        let why = "codes do not fit well into 15.0 MB of memory";
        assert_eq!(fit(15_000_000), (Filter::Float32, why.to_owned()));
    }

    #[test]
    fn axes_that_find_no_room_are_refused_in_words() {
        let demand = Demand { dim: 1024, num_docs: 100_000, top_k: 100, queries: 1000, threads: 2 };
        let choice = Choice { filter: Filter::Int8(Shape::Prefix), why: "asked for".to_owned() };
        let message = choice.fit(60_000_000, &demand).expect_err("too little").to_string();
        assert!(
            message.ends_with("Raise the budget (--memory) or take a --kernel that looks for no axes: f32 or int8"),
            "{message}"
        );
    }

    #[test]
    fn codes_that_find_no_room_are_refused_without_advising_them() {
        let demand = Demand { dim: 2048, num_docs: 100_000, top_k: 100, queries: 1000, threads: 2 };
        let refused = |shape: Shape, budget: u64| {
            let choice = Choice { filter: Filter::Int8(shape), why: "asked for".to_owned() };
            choice.fit(budget, &demand).map(|(_, size)| size.bytes <= budget).map_err(|error| error.to_string())
        };
        assert_eq!(refused(Shape::Whole, 45_000_000), Ok(true));
        let message = refused(Shape::Whole, 20_000_000).expect_err("too little");
        assert!(message.ends_with("or take --kernel f32, which takes less"), "{message}");
        // Beyond 4,096 dimensions nobody looks for axes.
        let long = Demand { dim: 5000, ..demand };
        let fits =
            |shape: Shape| EngineSize::within(60_000_000, Filter::Int8(shape), &long).map(|size| size.pass_queries);
        assert_eq!(fits(Shape::Prefix).expect("fits"), fits(Shape::Whole).expect("fits"));
    }
}
