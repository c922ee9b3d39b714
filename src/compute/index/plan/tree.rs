//! A decision tree that is passed around in the field, held against what was measured.
//!
//! ```text
//! < 100K items      → brute force
//! 100K – 1M items   need best recall? → HNSW; memory limited? → IVF-Flat
//! 1M – 100M items   need best recall? → HNSW (if memory allows: ~8B per item); balanced? → IVF-Flat (nprobe tuning);
//!                   memory limited? → IVF-PQ (saves 4-10x memory)
//! > 100M items      distributed? → shard IVF; Google stack? → ScaNN; managed service? → …
//! ```

use super::costs::Cost;
use super::{Asking, Method, Plan};
use crate::compute::figures::{bytes, count, counted, duration};

/// What the measurements say to a piece of advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Right,
    Wrong,
    /// It was not, or cannot be, measured here.
    Open,
}

/// A piece of advice at the end of a branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// The tree's question; empty where it asks nothing more.
    pub asks: &'static str,
    /// The tree's advice.
    pub says: &'static str,
    pub verdict: Verdict,
    /// The figures behind it.
    pub because: String,
}

/// A branch of the tree: a range of docs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    /// As the tree writes it.
    pub range: &'static str,
    /// The docs for which it was held against the figures.
    pub docs: usize,
    /// The docs planned for belong to it.
    pub applies: bool,
    /// More docs than were measured.
    pub is_extrapolated: bool,
    pub leaves: Vec<Leaf>,
}

/// "~8B per item" (section 3 of the tree's source) for what a graph takes beside the vectors; up to twice as much passes.
const TOLD_LINK_BYTES: f64 = 8.0;

/// Ranges, with their ends and the docs in their geometric middle.
const RANGES: [(&str, f64, f64, usize); 4] = [
    ("< 100K items", 0.0, 1e5, 31_623),
    ("100K – 1M items", 1e5, 1e6, 316_228),
    ("1M – 100M items", 1e6, 1e8, 10_000_000),
    ("> 100M items", 1e8, f64::INFINITY, 1_000_000_000),
];

/// The tree with a verdict for each of its leaves: those of the branch to which the docs planned for belong for these
/// docs, the others for the middle of their range.
pub fn held_against(plan: &Plan) -> Vec<Branch> {
    let docs = plan.docs as f64;
    let mut branches = Vec::new();
    for (place, (range, from, to, middle)) in RANGES.into_iter().enumerate() {
        let applies = (from..to).contains(&docs);
        let docs = if applies { plan.docs } else { middle };
        let held = Held { plan, docs: docs as f64 };
        let leaves = match place {
            0 => vec![held.brute_force()],
            1 => vec![held.best_recall("HNSW", false), held.least_memory()],
            2 => vec![held.best_recall("HNSW (if memory allows: ~8B per item)", true), held.balanced(), held.codes()],
            _ => vec![
                open("Distributed?", "Shard IVF across machines", "several machines: see the serving schemes"),
                open("Google stack?", "ScaNN", "its library is not in here; fast-scan does what it does"),
                open("Managed service?", "Pinecone, Vertex AI Vector Search", "a service of others"),
            ],
        };
        let is_extrapolated = docs > plan.measurements.docs;
        branches.push(Branch { range, docs, applies, is_extrapolated, leaves });
    }
    branches
}

fn open(asks: &'static str, says: &'static str, because: &str) -> Leaf {
    Leaf { asks, says, verdict: Verdict::Open, because: format!("not measured: {because}") }
}

/// The plan's figures at a number of docs.
struct Held<'a> {
    plan: &'a Plan,
    docs: f64,
}

impl<'a> Held<'a> {
    fn method(&self, family: &str) -> Option<&'a Method> {
        // As typed, a family has parameters behind it.
        self.plan.methods.iter().find(|method| method.family.split(':').next() == Some(family))
    }

    fn asking(&self) -> Asking {
        self.plan.params.asking
    }

    fn query_secs(&self, method: &Method) -> f64 {
        method.query_secs(self.asking(), self.docs)
    }

    fn memory(&self, method: &Method) -> f64 {
        method.memory.at(self.docs)
    }

    /// Indexes that reach the recall: neither brute force nor scores computed beforehand.
    fn indexes(&self) -> impl Iterator<Item = &'a Method> {
        self.plan
            .methods
            .iter()
            .filter(|method| method.last().reaches && !method.is_brute_force() && !method.is_precomputed())
    }

    fn cost(&self, method: &Method) -> Cost {
        Cost { before: method.build.at(self.docs), per_query: self.query_secs(method) }
    }

    fn vectors_bytes(&self) -> f64 {
        self.docs * self.plan.dim as f64 * 4.0
    }

    fn brute_force(&self) -> Leaf {
        let queries = self.plan.queries as f64;
        let total = |method: &&Method| self.cost(method).total(queries);
        let least = |left: &&Method, right: &&Method| total(left).total_cmp(&total(right));
        let brute = self.plan.methods.iter().filter(|method| method.is_brute_force()).min_by(least);
        let index = self.indexes().min_by(least);
        let says = "Brute-force (exact KNN)";
        let (Some(brute), Some(index)) = (brute, index) else {
            return Leaf {
                asks: "",
                says,
                verdict: Verdict::Open,
                because: "not measured: needs brute force and an index that reaches the recall".to_owned(),
            };
        };
        let asked = counted(self.plan.queries, "query", "queries");
        let (own, other) = (duration(total(&brute)), duration(total(&index)));
        let pays = self.cost(index).pays_from(&self.cost(brute));
        let pays = pays.map_or_else(
            || format!("{} never pays", index.name()),
            |from| format!("{} pays from {} on", index.name(), counted(from as usize, "query", "queries")),
        );
        let verdict = if total(&brute) <= total(&index) { Verdict::Right } else { Verdict::Wrong };
        let because = format!("{asked}: {own}, {} {other}; {pays}", index.name());
        Leaf { asks: "", says, verdict, because }
    }

    /// The tree takes "best recall" for HNSW: the fastest of those that reach the recall asked for.
    fn best_recall(&self, says: &'static str, tells_memory: bool) -> Leaf {
        let asks = "Need best recall?";
        let recall = self.plan.params.recall;
        let Some(graph) = self.method("hnsw") else { return open(asks, says, "no HNSW") };
        let fastest = self.indexes().min_by(|left, right| self.query_secs(left).total_cmp(&self.query_secs(right)));
        let ms = |method: &Method| format!("{} {:.3} ms a query", method.name(), self.query_secs(method) * 1e3);
        let (mut verdict, mut because) = match fastest {
            _ if !graph.last().reaches => {
                (Verdict::Wrong, format!("HNSW reaches {:.4}, not {recall}", graph.last().recall.mean))
            }
            Some(fastest) if fastest.family == graph.family => {
                let others = self.indexes().filter(|method| method.family != graph.family);
                let next = others.min_by(|left, right| self.query_secs(left).total_cmp(&self.query_secs(right)));
                let next = next.map_or_else(|| "nothing else reaches it".to_owned(), ms);
                (Verdict::Right, format!("fastest at recall {recall}: {}; {next}", ms(graph)))
            }
            Some(fastest) => (Verdict::Wrong, format!("at recall {recall}: {}; {}", ms(fastest), ms(graph))),
            None => return open(asks, says, "no index reaches the recall"),
        };
        if tells_memory {
            let links = (self.memory(graph) - self.vectors_bytes()).max(0.0) / self.docs;
            let mut told = String::new();
            if links > 2.0 * TOLD_LINK_BYTES {
                verdict = Verdict::Wrong;
                told = format!(", not {TOLD_LINK_BYTES},");
            }
            because = format!(
                "{because}; {links:.0} B per item{told} beside {} B of vector, {} in all",
                count(self.plan.dim * 4),
                bytes(self.memory(graph) as u64)
            );
        }
        Leaf { asks, says, verdict, because }
    }

    /// What the tree says does not reach the recall.
    fn misses(&self, method: &Method, asks: &'static str, says: &'static str) -> Leaf {
        let because = format!("reaches {:.4}, not {}", method.last().recall.mean, self.plan.params.recall);
        Leaf { asks, says, verdict: Verdict::Wrong, because }
    }

    fn least_memory(&self) -> Leaf {
        let (asks, says) = ("Memory limited?", "IVF-Flat");
        let Some(lists) = self.method("ivf-flat") else { return open(asks, says, "no IVF-Flat") };
        let smallest = self.indexes().min_by(|left, right| self.memory(left).total_cmp(&self.memory(right)));
        let Some(smallest) = smallest else { return open(asks, says, "no index reaches the recall") };
        if !lists.last().reaches {
            return self.misses(lists, asks, says);
        }
        let told = |method: &Method| format!("{} {}", method.name(), bytes(self.memory(method) as u64));
        let vectors = format!("the vectors alone are {}", bytes(self.vectors_bytes() as u64));
        let (verdict, because) = match smallest.family == lists.family {
            true => (Verdict::Right, format!("least memory: {}; {vectors}", told(lists))),
            false => (Verdict::Wrong, format!("{}, {}; {vectors}", told(smallest), told(lists))),
        };
        Leaf { asks, says, verdict, because }
    }

    fn balanced(&self) -> Leaf {
        let (asks, says) = ("Balanced?", "IVF-Flat (nprobe tuning)");
        let Some(lists) = self.method("ivf-flat") else { return open(asks, says, "no IVF-Flat") };
        if !lists.last().reaches {
            return self.misses(lists, asks, says);
        }
        let told = |method: &Method| {
            format!(
                "{} {:.3} ms, {}, built in {}",
                method.name(),
                self.query_secs(method) * 1e3,
                bytes(self.memory(method) as u64),
                duration(method.build.at(self.docs))
            )
        };
        let beats = |other: &&Method| {
            other.family != lists.family
                && self.query_secs(other) <= self.query_secs(lists)
                && self.memory(other) <= self.memory(lists)
                && other.build.at(self.docs) <= lists.build.at(self.docs)
        };
        match self.indexes().find(beats) {
            Some(better) => Leaf {
                asks,
                says,
                verdict: Verdict::Wrong,
                because: format!("better in all: {}; {}", told(better), told(lists)),
            },
            None => Leaf {
                asks,
                says,
                verdict: Verdict::Right,
                because: format!("nothing is faster, smaller and built sooner: {}", told(lists)),
            },
        }
    }

    fn codes(&self) -> Leaf {
        let (asks, says) = ("Memory limited?", "IVF-PQ (saves 4-10x memory)");
        let Some(codes) = self.method("ivf-pq") else { return open(asks, says, "no IVF-PQ") };
        let memory = self.memory(codes);
        if memory <= 0.0 {
            return open(asks, says, "too few docs to tell its memory");
        }
        let saved = self.vectors_bytes() / memory;
        let saves = match saved >= 1.0 {
            true => format!("saves {saved:.1}× ({})", bytes(memory as u64)),
            false => format!("saves nothing ({} beside {})", bytes(memory as u64), bytes(self.vectors_bytes() as u64)),
        };
        let (last, recall) = (codes.last(), self.plan.params.recall);
        let (verdict, because) = match (last.reaches, saved >= 4.0) {
            (true, true) => (Verdict::Right, format!("{saves} at recall {:.4}", last.recall.mean)),
            (true, false) => (Verdict::Wrong, format!("{saves} only, at recall {:.4}", last.recall.mean)),
            (false, _) => {
                (Verdict::Wrong, format!("{saves}, but recall is {:.4} at best, not {recall}", last.recall.mean))
            }
        };
        Leaf { asks, says, verdict, because }
    }
}

#[cfg(test)]
mod tests {
    use super::super::PlanParams;
    use super::super::tests::{plan, usual};
    use super::*;

    #[test]
    fn every_leaf_has_the_verdict_of_its_figures() {
        let verdicts = |params: PlanParams| {
            let branches = plan(&params, usual()).tree;
            let leaves: Vec<(Verdict, String)> = branches
                .iter()
                .flat_map(|branch| branch.leaves.iter().map(|leaf| (leaf.verdict, leaf.because.clone())))
                .collect();
            (branches, leaves)
        };
        let (branches, leaves) = verdicts(PlanParams::default());
        assert_eq!(branches.iter().map(|branch| branch.applies).collect::<Vec<_>>(), [true, false, false, false]);
        assert_eq!(branches[0].docs, 20_000);
        assert!(!branches[0].is_extrapolated && branches[1].is_extrapolated);
        // 5,000 queries: brute force takes 50 s, the graph 14 s.
        assert_eq!(leaves[0].0, Verdict::Wrong);
        assert!(leaves[0].1.contains("5,000 queries: 50 s, hnsw 14 s; hnsw pays from 1,000 queries on"), "{leaves:?}");
        // The graph is the fastest of those that reach the recall.
        assert_eq!(leaves[1].0, Verdict::Right);
        assert_eq!(leaves[2].0, Verdict::Right);
        // 12 MB of 20,000 docs with 8 MB of vectors: 200 B a doc, not 8.
        assert_eq!(leaves[3].0, Verdict::Wrong);
        assert!(
            leaves[3].1.contains("200 B per item, not 8, beside 400 B of vector, 6.00 GB in all"),
            "{}",
            leaves[3].1
        );
        assert_eq!(leaves[4].0, Verdict::Right);
        assert_eq!(leaves[5].0, Verdict::Wrong);
        assert!(leaves[5].1.contains("saves 8.0× (500 MB), but recall is 0.7000 at best"), "{}", leaves[5].1);
        assert!(leaves[6..].iter().all(|leaf| leaf.0 == Verdict::Open));
        // Few queries: brute force is right.
        let (_, leaves) = verdicts(PlanParams { queries: Some(100), ..PlanParams::default() });
        assert_eq!(leaves[0].0, Verdict::Right);
        let (branches, _) = verdicts(PlanParams { docs: Some(2_000_000), ..PlanParams::default() });
        assert!(branches[2].applies && branches[2].docs == 2_000_000 && branches[2].is_extrapolated);
    }

    #[test]
    fn what_was_not_measured_stays_open() {
        let mut methods = usual();
        methods.retain(|method| method.family == "exact");
        let branches = plan(&PlanParams::default(), methods).tree;
        assert!(branches.iter().flat_map(|branch| &branch.leaves).all(|leaf| leaf.verdict == Verdict::Open));
    }
}
