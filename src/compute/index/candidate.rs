//! Candidates as they are typed: `family:name=value:name=value,value`, or `redis://HOST:name=value`.

use std::fmt;
use std::path::{Path, PathBuf};

use super::redis::address::{Address, without_login};
use super::redis::{Quantisation, Shape};
use crate::compute::error::{Error, Result};
use crate::compute::figures::count;
use crate::compute::vectors::MAX_DIM;

/// What builds an index, or reads one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Engine {
    /// This program's exact search.
    Exact,
    /// All query × doc scores, computed beforehand.
    Precomputed,
    /// Random-hyperplane LSH with several tables.
    Hyperplane { tables: usize, hashes: usize },
    /// A file of such tables.
    HyperplaneFile { path: PathBuf },
    /// Annoy's forest, built by arroy.
    Annoy { trees: usize },
    /// A file of arroy.
    AnnoyForest { path: PathBuf },
    /// FAISS's index factory.
    Faiss { factory: String, ef_construction: Option<u64> },
    /// An index file of FAISS.
    FaissFile { path: PathBuf },
    /// An index file of Annoy.
    AnnoyFile { path: PathBuf },
    /// A vector set that is loaded into a running Redis.
    Redis { server: Address, shape: Shape },
}

/// An index to build and the search settings to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// As typed, without search parameters and without a server's login: what is built.
    pub name: String,
    pub engine: Engine,
    /// Search parameters with the values to try.
    pub grid: Vec<(String, Vec<u64>)>,
}

/// One value for every search parameter.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Setting(pub Vec<(String, u64)>);

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.0.iter().enumerate() {
            write!(f, "{}{name}={value}", if index == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

/// The families: name, parameters of the build with their defaults, search parameters with theirs, what it is.
pub const FAMILIES: [Family; 10] = [
    Family { name: "exact", build: &[], search: &[], about: "brute force, this program's exact search" },
    Family { name: "precomputed", build: &[], search: &[], about: "all query × doc scores, computed beforehand" },
    Family {
        name: "hyperplane",
        build: &[("tables", 8), ("hashes", 14)],
        search: &[("probes", 0)],
        about: "LSH by random hyperplanes, L tables of K hashes",
    },
    Family {
        name: "annoy",
        build: &[("trees", 20)],
        search: &[("search_k", 0)],
        about: "Annoy's forest of random planes, by arroy (all through the origin); search_k 0: k × trees",
    },
    Family { name: "flat", build: &[], search: &[], about: "FAISS, brute force" },
    Family {
        name: "ivf-flat",
        build: &[("nlist", 256)],
        search: &[("nprobe", 8)],
        about: "FAISS, inverted lists of whole vectors",
    },
    Family {
        name: "ivf-pq",
        build: &[("nlist", 256), ("m", 0), ("bits", 8)],
        search: &[("nprobe", 8)],
        about: "FAISS, inverted lists of product-quantised codes",
    },
    Family {
        name: "hnsw",
        build: &[("M", 16), ("efConstruction", 40)],
        search: &[("efSearch", 64)],
        about: "FAISS, navigable small-world graph",
    },
    Family {
        name: "lsh",
        build: &[("bits", 512)],
        search: &[],
        about: "FAISS's LSH: one code a doc, of its sides of random hyperplanes",
    },
    Family {
        name: "fast-scan",
        build: &[("nlist", 256), ("m", 0)],
        search: &[("nprobe", 16), ("k_factor_rf", 8)],
        about: "FAISS, 4-bit codes scanned in registers, then re-ranked, as ScaNN does",
    },
];

/// A family of indexes.
pub struct Family {
    pub name: &'static str,
    pub build: &'static [(&'static str, u64)],
    pub search: &'static [(&'static str, u64)],
    pub about: &'static str,
}

/// Trees of a forest, at most.
const MOST_TREES: u64 = 10_000;
/// Endings of index files, for texts.
pub const FILES: &str = ".faiss, .index, .ann, .arroy, .hyperplane";
/// Combinations of search settings of one candidate, at most.
const MOST_SETTINGS: usize = 200;

impl Candidate {
    /// Reads a candidate: a family with parameters, `faiss:FACTORY` with search parameters, or an index file
    /// ([`FILES`]) with search parameters, or the address of a Redis with parameters. `dim`: of the vectors, for defaults
    /// that follow it.
    ///
    /// # Errors
    /// An unknown family or parameter; a value that is no whole number; too many combinations.
    pub fn parse(text: &str, dim: usize) -> Result<Self> {
        if let Some((server, parts)) = Address::split(text)? {
            return redis(server, parts);
        }
        let mut parts = text.split(':');
        let family = parts.next().unwrap_or_default();
        if let Some(engine) = file_engine(Path::new(family)) {
            let grid = parts.map(parameter).collect::<Result<Vec<_>>>()?;
            return Self { name: family.to_owned(), engine, grid }.checked();
        }
        if family == "faiss" {
            let factory = parts
                .next()
                .filter(|factory| !factory.is_empty() && !factory.contains('='))
                .ok_or_else(|| wrong("faiss:FACTORY, like faiss:IVF256,Flat:nprobe=8".to_owned(), text))?;
            let mut grid = parts.map(parameter).collect::<Result<Vec<_>>>()?;
            let ef_construction = take_one(&mut grid, "efConstruction", text)?;
            let suffix = ef_construction.map_or(String::new(), |value| format!(":efConstruction={value}"));
            let name = format!("faiss:{factory}{suffix}");
            let engine = Engine::Faiss { factory: factory.to_owned(), ef_construction };
            return Self { name, engine, grid }.checked();
        }
        let Some(known) = FAMILIES.iter().find(|known| known.name == family) else {
            let names: Vec<&str> = FAMILIES.iter().map(|family| family.name).collect();
            let expected =
                format!("a family ({}), faiss:FACTORY, redis://HOST, or an index file ({FILES})", names.join(", "));
            return Err(wrong(expected, text));
        };
        let mut grid = Vec::new();
        let mut build: Vec<(&str, u64)> = known.build.to_vec();
        for part in parts {
            let (name, values) = parameter(part)?;
            if let Some((_, value)) = build.iter_mut().find(|(known, _)| *known == name) {
                let [one] = values[..] else {
                    return Err(wrong(format!("one value of {name}: it belongs to the build"), part));
                };
                *value = one;
            } else if known.search.iter().any(|(known, _)| *known == name) {
                grid.push((name, values));
            } else {
                let names: Vec<&str> = known.build.iter().chain(known.search).map(|(name, _)| *name).collect();
                let expected = match names.is_empty() {
                    true => format!("{family} without parameters"),
                    false => format!("a parameter of {family}: {}", names.join(", ")),
                };
                return Err(wrong(expected, &name));
            }
        }
        for (name, default) in known.search {
            if !grid.iter().any(|(given, _)| given == name) {
                grid.push(((*name).to_owned(), vec![*default]));
            }
        }
        if let Some((_, m)) = build.iter_mut().find(|(name, value)| *name == "m" && *value == 0) {
            *m = default_subquantizers(dim) as u64;
        }
        // A graph of nodes with one link has no levels; FAISS does not survive it.
        if let Some((name, _)) = build.iter().find(|(name, value)| *value < if *name == "M" { 2 } else { 1 }) {
            let least = if *name == "M" { 2 } else { 1 };
            return Err(wrong(format!("{name} of at least {least}"), text));
        }
        let value = |wanted: &str| build.iter().find(|(name, _)| *name == wanted).map_or(0, |(_, value)| *value);
        let faiss = |factory: String| Engine::Faiss { factory, ef_construction: None };
        let engine = match family {
            "exact" => Engine::Exact,
            "precomputed" => Engine::Precomputed,
            "hyperplane" => {
                let (tables, hashes) = (value("tables") as usize, value("hashes") as usize);
                if !(1..=1000).contains(&tables) || !(1..=32).contains(&hashes) {
                    return Err(wrong("1 to 1,000 tables of 1 to 32 hashes".to_owned(), text));
                }
                Engine::Hyperplane { tables, hashes }
            }
            "annoy" if value("trees") > MOST_TREES => {
                return Err(wrong(format!("at most {} trees", count(MOST_TREES as usize)), text));
            }
            "annoy" => Engine::Annoy { trees: value("trees") as usize },
            "flat" => faiss("Flat".to_owned()),
            "ivf-flat" => faiss(format!("IVF{},Flat", value("nlist"))),
            // "np": without ordering centroids for polysemous codes, which nobody asks for here and takes minutes.
            "ivf-pq" => faiss(format!("IVF{},PQ{}x{}np", value("nlist"), value("m"), value("bits"))),
            // "r": without rotation, bits would be signs of the first dimensions alone, and at most as many.
            "lsh" => faiss(format!("LSH{}r", value("bits"))),
            "fast-scan" => faiss(format!("IVF{},PQ{}x4fs,RFlat", value("nlist"), value("m"))),
            _ => Engine::Faiss {
                factory: format!("HNSW{},Flat", value("M")),
                ef_construction: Some(value("efConstruction")),
            },
        };
        let mut name = family.to_owned();
        for (parameter, value) in &build {
            name += &format!(":{parameter}={value}");
        }
        Self { name, engine, grid }.checked()
    }

    fn checked(mut self) -> Result<Self> {
        // The same settings are the same contestants, in whatever order they were typed.
        self.grid.sort();
        if let Some(twice) = self.grid.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(wrong("every parameter once".to_owned(), &format!("{} twice", twice[0].0)));
        }
        let combinations = self.grid.iter().fold(1usize, |all, (_, values)| all.saturating_mul(values.len()));
        if combinations > MOST_SETTINGS {
            let expected = format!("at most {MOST_SETTINGS} combinations of search parameters");
            return Err(wrong(expected, &format!("{} in {}", count(combinations), self.name)));
        }
        Ok(self)
    }

    /// Every combination of the search parameters, the last one changing fastest.
    pub fn settings(&self) -> Vec<Setting> {
        let mut settings = vec![Setting::default()];
        for (name, values) in &self.grid {
            settings = settings
                .iter()
                .flat_map(|setting| {
                    values.iter().map(|&value| {
                        let mut longer = setting.clone();
                        longer.0.push((name.clone(), value));
                        longer
                    })
                })
                .collect();
        }
        if matches!(self.engine, Engine::Redis { .. }) {
            return of_redis(settings);
        }
        settings
    }

    /// The index file that it reads.
    pub fn file(&self) -> Option<&Path> {
        match &self.engine {
            Engine::FaissFile { path }
            | Engine::AnnoyFile { path }
            | Engine::AnnoyForest { path }
            | Engine::HyperplaneFile { path } => Some(path),
            _ => None,
        }
    }

    /// Whether it needs a library that this build may lack.
    pub fn needs_faiss(&self) -> bool {
        matches!(self.engine, Engine::Faiss { .. } | Engine::FaissFile { .. })
    }

    /// Whether it reads the docs while it is searched, which are no part of it.
    pub fn reads_docs(&self) -> bool {
        matches!(self.engine, Engine::Exact | Engine::Hyperplane { .. })
    }

    /// Whether it compares codes, so that exact scores may rank what it finds in another order.
    pub fn has_codes(&self) -> bool {
        match &self.engine {
            Engine::Faiss { factory, .. } => {
                ["PQ", "SQ", "RQ", "LSH", "RaBitQ"].iter().any(|code| factory.contains(code))
            }
            Engine::Redis { shape, .. } => shape.quantisation != Quantisation::Fp32,
            _ => false,
        }
    }

    /// The server that it is loaded into.
    pub fn server(&self) -> Option<&Address> {
        match &self.engine {
            Engine::Redis { server, .. } => Some(server),
            _ => None,
        }
    }

    /// Whether another order of the docs can make another index.
    pub fn depends_on_order(&self) -> bool {
        matches!(
            self.engine,
            Engine::Hyperplane { .. } | Engine::Annoy { .. } | Engine::Faiss { .. } | Engine::Redis { .. }
        )
    }

    /// The ending of its files; `None` without a file form.
    pub fn file_ending(&self) -> Option<&'static str> {
        match self.engine {
            Engine::Exact | Engine::Precomputed | Engine::Redis { .. } => None,
            Engine::Hyperplane { .. } | Engine::HyperplaneFile { .. } => Some("hyperplane"),
            Engine::Annoy { .. } | Engine::AnnoyForest { .. } => Some("arroy"),
            Engine::AnnoyFile { .. } => Some("ann"),
            Engine::Faiss { .. } | Engine::FaissFile { .. } => Some("faiss"),
        }
    }
}

/// How a vector set is typed with its defaults, for texts.
pub const REDIS: &str = "redis://HOST:6379:quant=q8:M=16:efConstruction=200:efSearch=100:truth=0";

/// A vector set of `server`, with parameters like `quant=q8` and `M=16`.
fn redis(server: Address, parts: Vec<&str>) -> Result<Candidate> {
    let mut shape = Shape { quantisation: Quantisation::default(), links: 16, ef_construction: 200 };
    let mut grid = Vec::new();
    let mut seen = Vec::new();
    for part in parts {
        let name = part.split_once('=').map_or(part, |(name, _)| name);
        if seen.contains(&name) {
            return Err(wrong("every parameter once".to_owned(), &format!("{name} twice")));
        }
        seen.push(name);
        if let Some(value) = part.strip_prefix("quant=") {
            let expected = || "quant=fp32, quant=q8 or quant=bin".to_owned();
            shape.quantisation = value.parse().map_err(|()| wrong(expected(), part))?;
            continue;
        }
        let (name, values) = parameter(part)?;
        let (range, build) = match name.as_str() {
            "M" => (Shape::LINKS, Some(&mut shape.links)),
            "efConstruction" => (Shape::EF, Some(&mut shape.ef_construction)),
            "efSearch" => (Shape::EF, None),
            "truth" => (0..=1, None),
            _ => {
                let expected = "a parameter of Redis: quant, M, efConstruction, efSearch, truth".to_owned();
                return Err(wrong(expected, &name));
            }
        };
        if !values.iter().all(|value| range.contains(value)) {
            let (least, most) = (count(*range.start() as usize), count(*range.end() as usize));
            return Err(wrong(format!("{name} from {least} to {most}"), part));
        }
        match build {
            None => grid.push((name, values)),
            Some(place) => {
                let [one] = values[..] else {
                    return Err(wrong(format!("one value of {name}: it belongs to the build"), part));
                };
                *place = one;
            }
        }
    }
    for (name, default) in [("efSearch", 100), ("truth", 0)] {
        if !grid.iter().any(|(given, _)| given == name) {
            grid.push((name.to_owned(), vec![default]));
        }
    }
    let Shape { quantisation, links, ef_construction } = shape;
    let name = format!("{server}:quant={}:M={links}:efConstruction={ef_construction}", quantisation.name());
    Candidate { name, engine: Engine::Redis { server, shape }, grid }.checked()
}

/// The settings that differ: an exact scan has no efSearch, and no scan is not worth a word.
fn of_redis(settings: Vec<Setting>) -> Vec<Setting> {
    let mut kept: Vec<Setting> = Vec::with_capacity(settings.len());
    for Setting(mut values) in settings {
        let is_exact = values.iter().any(|(name, value)| name == "truth" && *value == 1);
        values.retain(|(name, _)| (name == "truth") == is_exact);
        let setting = Setting(values);
        if !kept.contains(&setting) {
            kept.push(setting);
        }
    }
    kept
}

fn file_engine(path: &Path) -> Option<Engine> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "faiss" | "index" => Some(Engine::FaissFile { path: path.to_owned() }),
        "ann" => Some(Engine::AnnoyFile { path: path.to_owned() }),
        "arroy" => Some(Engine::AnnoyForest { path: path.to_owned() }),
        "hyperplane" => Some(Engine::HyperplaneFile { path: path.to_owned() }),
        _ => None,
    }
}

/// Bytes of a product-quantised code: the largest divisor of the dim that leaves 8 dimensions or more a byte.
fn default_subquantizers(dim: usize) -> usize {
    // Dims beyond are refused when the files are opened.
    (1..=(dim.min(MAX_DIM) / 8).max(1)).rev().find(|m| dim.is_multiple_of(*m)).unwrap_or(1)
}

/// Reads `name=value,value`.
fn parameter(part: &str) -> Result<(String, Vec<u64>)> {
    let expected = || "name=value or name=value,value with whole numbers".to_owned();
    let (name, values) = part.split_once('=').ok_or_else(|| wrong(expected(), part))?;
    let values: Option<Vec<u64>> = values.split(',').map(|value| value.parse().ok()).collect();
    let mut values = values.filter(|_| !name.is_empty()).ok_or_else(|| wrong(expected(), part))?;
    let mut seen = Vec::new();
    values.retain(|value| {
        !seen.contains(value) && {
            seen.push(*value);
            true
        }
    });
    Ok((name.to_owned(), values))
}

fn take_one(grid: &mut Vec<(String, Vec<u64>)>, name: &str, text: &str) -> Result<Option<u64>> {
    let Some(place) = grid.iter().position(|(given, _)| given == name) else { return Ok(None) };
    let (_, values) = grid.remove(place);
    match values[..] {
        [one] => Ok(Some(one)),
        _ => Err(wrong(format!("one value of {name}: it belongs to the build"), text)),
    }
}

fn wrong(expected: String, found: &str) -> Error {
    Error::Parameter { name: "index", expected, found: format!("{:?}", without_login(found)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Candidate {
        Candidate::parse(text, 384).expect(text)
    }

    #[test]
    fn families_become_factory_strings() {
        let factory = |text: &str| match parse(text).engine {
            Engine::Faiss { factory, .. } => factory,
            other => panic!("{other:?}"),
        };
        assert_eq!(factory("flat"), "Flat");
        assert_eq!(factory("ivf-flat:nlist=100"), "IVF100,Flat");
        assert_eq!(factory("ivf-pq:m=48:nlist=64:bits=4"), "IVF64,PQ48x4np");
        assert_eq!(factory("ivf-pq"), "IVF256,PQ48x8np");
        assert_eq!(factory("hnsw:M=32"), "HNSW32,Flat");
        assert_eq!(factory("lsh"), "LSH512r");
        assert_eq!(factory("fast-scan:m=96"), "IVF256,PQ96x4fs,RFlat");
        assert_eq!(factory("faiss:OPQ16_64,IVF256,PQ16:nprobe=4"), "OPQ16_64,IVF256,PQ16");
        assert_eq!(parse("hnsw:efSearch=8").name, "hnsw:M=16:efConstruction=40");
        assert_eq!(parse("a/b.ann:search_k=7").engine, Engine::AnnoyFile { path: "a/b.ann".into() });
    }

    #[test]
    fn every_combination_of_search_parameters_is_a_setting() {
        let settings = parse("fast-scan:nprobe=1,2:k_factor_rf=4,8,4").settings();
        let shown: Vec<String> = settings.iter().map(Setting::to_string).collect();
        assert_eq!(
            shown,
            ["k_factor_rf=4:nprobe=1", "k_factor_rf=4:nprobe=2", "k_factor_rf=8:nprobe=1", "k_factor_rf=8:nprobe=2"]
        );
        assert_eq!(parse("exact").settings(), [Setting::default()]);
    }

    #[test]
    fn vector_sets_have_an_address_and_no_login() {
        let candidate = parse("redis://ada:secret@host:7000/1:M=8:quant=bin:truth=0,1:efSearch=50,200");
        assert_eq!(candidate.name, "redis://host:7000/1:quant=bin:M=8:efConstruction=200");
        let shown: Vec<String> = candidate.settings().iter().map(Setting::to_string).collect();
        assert_eq!(shown, ["efSearch=50", "truth=1", "efSearch=200"]);
        let again = parse(&candidate.name);
        assert_eq!((&again.name, again.settings().len()), (&candidate.name, 1));
        assert_eq!(again.settings()[0].to_string(), "efSearch=100");
        assert!(!format!("{candidate:?}").contains("secret"), "{candidate:?}");
        assert_eq!(parse(&REDIS.replace("HOST", "h")).name, parse("redis://h").name);
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, told) in [
            ("hnws", "a family (exact,"),
            ("hnsw:m=4", "a parameter of hnsw: M, efConstruction, efSearch"),
            ("hnsw:M=4,8", "one value of M"),
            ("ivf-flat:nprobe=x", "whole numbers"),
            ("exact:k=3", "exact without parameters"),
            ("faiss:", "faiss:FACTORY"),
            ("faiss:nprobe=3", "faiss:FACTORY"),
            ("hyperplane:hashes=64", "1 to 32 hashes"),
            ("hnsw:efSearch=1:efSearch=2", "every parameter once"),
            ("hnsw:M=1", "M of at least 2"),
            ("ivf-flat:nlist=0", "nlist of at least 1"),
            ("redis://", "redis://[USER:PASSWORD@]HOST"),
            ("redis://h:quant=int4", "quant=fp32, quant=q8 or quant=bin"),
            ("redis://h:M=3", "M from 4 to 4,096"),
            ("redis://h:M=8:M=9", "every parameter once"),
            ("redis://h:ef=9", "a parameter of Redis: quant, M,"),
            ("redis://h:truth=2", "truth from 0 to 1"),
        ] {
            let error = Candidate::parse(text, 8).expect_err(text).to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
