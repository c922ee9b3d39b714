//! `manifest.json`: what a session is and which of its runs are finished.
//!
//! The keys up to `mRepeats` and those of a run up to `file` are shared with the tool that wrote
//! the format first; the others are ours, and readers of the format ignore them.

use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::compute::error::{Error, Result};
use crate::compute::metric::Metric;

pub const MANIFEST_NAME: &str = "manifest.json";

/// The session's parameters and its finished runs, in order.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub docs: String,
    pub queries: String,
    pub dim: u64,
    pub num_docs: u64,
    pub top_k: u64,
    pub n_values: Vec<u64>,
    pub m_repeats: u64,
    #[serde(serialize_with = "metric_name")]
    pub metric: Metric,
    /// Rows of the query file, so that reused queries can be told; absent in other tools' files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_rows: Option<u64>,
    /// What the vector files held, as hexadecimal; absent in other tools' files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docs_fingerprint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queries_fingerprint: Option<String>,
    pub runs: Vec<RunRecord>,
}

/// One finished run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRecord {
    pub n: u64,
    pub m: u64,
    /// May exceed the rows of the query file: it counts on.
    pub query_start_index: u64,
    /// n × topK.
    pub num_scores: u64,
    pub elapsed_sec: f64,
    /// n × topK little-endian float32, query-major.
    pub file: String,
    /// n × topK little-endian u32 doc rows beside the scores, if they were kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ids_file: Option<String>,
}

fn metric_name<S: serde::Serializer>(metric: &Metric, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(metric.name())
}

impl Manifest {
    /// The file's bytes: JSON, indented by 2, one line end at the end.
    pub fn to_json(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("strings and numbers only");
        bytes.push(b'\n');
        bytes
    }

    /// Reads what [`Manifest::to_json`] or another tool wrote; `path` is for errors.
    ///
    /// # Errors
    /// Empty, no JSON, keys that are missing or of another type, negative or overflowing numbers,
    /// file names that are not plain names in the folder, `numScores` ≠ n × topK.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        parse(bytes).map_err(|what| Error::Manifest { what, path: path.to_owned() })
    }

    /// The first parameter in which `other` is another session, in words.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let differs = |name: &str, there: &dyn std::fmt::Debug, here: &dyn std::fmt::Debug| {
            let (there, here) = (format!("{there:?}"), format!("{here:?}"));
            (there != here).then(|| format!("its {name} is {there}, not {here}"))
        };
        differs("docs file", &other.docs, &self.docs)
            .or_else(|| differs("queries file", &other.queries, &self.queries))
            .or_else(|| differs("dim", &other.dim, &self.dim))
            .or_else(|| differs("numDocs", &other.num_docs, &self.num_docs))
            .or_else(|| differs("topK", &other.top_k, &self.top_k))
            .or_else(|| differs("list of N", &other.n_values, &self.n_values))
            .or_else(|| differs("M", &other.m_repeats, &self.m_repeats))
            .or_else(|| differs("metric", &other.metric.name(), &self.metric.name()))
            .or_else(|| {
                let foreign = other.docs_fingerprint.is_none() || other.queries_fingerprint.is_none();
                foreign.then(|| "it was written by another tool".to_owned())
            })
            .or_else(|| {
                let same = self.docs_fingerprint == other.docs_fingerprint;
                (!same).then(|| "the docs file has other content or another time of change now".to_owned())
            })
            .or_else(|| {
                let same = self.queries_fingerprint == other.queries_fingerprint && self.query_rows == other.query_rows;
                (!same).then(|| "the queries file has other content or another time of change now".to_owned())
            })
    }
}

fn parse(bytes: &[u8]) -> std::result::Result<Manifest, String> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err("is empty; expected JSON".to_owned());
    }
    let value: Value = serde_json::from_slice(bytes).map_err(|error| format!("is no valid JSON: {error}"))?;
    let root = Keys { place: String::new(), map: value.as_object().ok_or("expected a JSON object at the top")? };
    let top_k = root.positive("topK")?;
    let n_values = root
        .array("nValues")?
        .iter()
        .enumerate()
        .map(|(index, value)| {
            number(value, 1)
                .map_err(|found| expected(&format!("nValues[{index}]"), "a whole number of at least 1", &found))
        })
        .collect::<std::result::Result<_, _>>()?;
    let metric = match root.optional_text("metric")? {
        None => Metric::Dot,
        Some(name) => name.parse().map_err(|error: Error| error.to_string())?,
    };
    let mut runs: Vec<RunRecord> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for (index, value) in root.array("runs")?.iter().enumerate() {
        let place = format!("runs[{index}]");
        let map = value.as_object().ok_or_else(|| expected(&place, "an object", &kind_of(value)))?;
        let run = parse_run(&Keys { place, map }, top_k)?;
        if !seen.insert((run.n, run.m)) {
            return Err(format!("runs[{index}] is N = {} repeat {} a second time", run.n, run.m));
        }
        runs.push(run);
    }
    Ok(Manifest {
        docs: root.text("docs")?,
        queries: root.text("queries")?,
        dim: root.positive("dim")?,
        num_docs: root.positive("numDocs")?,
        top_k,
        n_values,
        m_repeats: root.positive("mRepeats")?,
        metric,
        query_rows: root.optional_number("queryRows")?,
        docs_fingerprint: root.optional_text("docsFingerprint")?,
        queries_fingerprint: root.optional_text("queriesFingerprint")?,
        runs,
    })
}

fn parse_run(keys: &Keys<'_>, top_k: u64) -> std::result::Result<RunRecord, String> {
    let (n, num_scores) = (keys.positive("n")?, keys.positive("numScores")?);
    if n.checked_mul(top_k) != Some(num_scores) {
        return Err(format!("{}.numScores is {num_scores}, but n × topK is {n} × {top_k}", keys.place));
    }
    if num_scores.checked_mul(4).is_none() {
        return Err(format!("{}.numScores is {num_scores}, more than any file can hold", keys.place));
    }
    let elapsed_sec = keys.value("elapsedSec")?;
    let elapsed_sec = elapsed_sec
        .as_f64()
        .filter(|secs| secs.is_finite() && *secs >= 0.0)
        .ok_or_else(|| expected(&keys.name("elapsedSec"), "a number of seconds", &kind_of(elapsed_sec)))?;
    let query_start_index = keys.whole("queryStartIndex")?;
    if query_start_index.checked_add(n).is_none() {
        return Err(format!("{} is too large", keys.name("queryStartIndex")));
    }
    let ids_file = keys.optional_text("idsFile")?;
    let m = keys.whole("m")?;
    if m > u64::from(u32::MAX) {
        return Err(format!("{} is too large", keys.name("m")));
    }
    let run = RunRecord { n, m, query_start_index, num_scores, elapsed_sec, file: keys.text("file")?, ids_file };
    plain_name(&keys.name("file"), &run.file)?;
    if let Some(name) = &run.ids_file {
        plain_name(&keys.name("idsFile"), name)?;
    }
    Ok(run)
}

/// A file of a session lies in its folder: no path, no climbing, nothing hidden in the name.
fn plain_name(place: &str, name: &str) -> std::result::Result<(), String> {
    let plain =
        !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\\', '\0']) && !name.contains(':');
    if plain { Ok(()) } else { Err(expected(place, "the plain name of a file in this folder", &format!("{name:?}"))) }
}

/// The keys of one object, with its place for errors.
struct Keys<'a> {
    place: String,
    map: &'a Map<String, Value>,
}

impl Keys<'_> {
    fn name(&self, key: &str) -> String {
        if self.place.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place) }
    }

    fn value(&self, key: &str) -> std::result::Result<&Value, String> {
        self.map.get(key).ok_or_else(|| format!("{} is missing", self.name(key)))
    }

    fn text(&self, key: &str) -> std::result::Result<String, String> {
        let value = self.value(key)?;
        value.as_str().map(str::to_owned).ok_or_else(|| expected(&self.name(key), "text", &kind_of(value)))
    }

    fn optional_text(&self, key: &str) -> std::result::Result<Option<String>, String> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => self.text(key).map(Some),
        }
    }

    fn at_least(&self, key: &str, least: u64) -> std::result::Result<u64, String> {
        number(self.value(key)?, least)
            .map_err(|found| expected(&self.name(key), &format!("a whole number of at least {least}"), &found))
    }

    fn positive(&self, key: &str) -> std::result::Result<u64, String> {
        self.at_least(key, 1)
    }

    fn whole(&self, key: &str) -> std::result::Result<u64, String> {
        self.at_least(key, 0)
    }

    fn optional_number(&self, key: &str) -> std::result::Result<Option<u64>, String> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => self.positive(key).map(Some),
        }
    }

    fn array(&self, key: &str) -> std::result::Result<&Vec<Value>, String> {
        let value = self.value(key)?;
        value.as_array().ok_or_else(|| expected(&self.name(key), "a list", &kind_of(value)))
    }
}

fn number(value: &Value, least: u64) -> std::result::Result<u64, String> {
    value.as_u64().filter(|&number| number >= least).ok_or_else(|| kind_of(value))
}

fn expected(place: &str, what: &str, found: &str) -> String {
    format!("{place}: expected {what}, found {found}")
}

fn kind_of(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => format!("the text {text:?}"),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = r#"{
  "docs": "d.vec", "queries": "q.vec", "dim": 2, "numDocs": 5, "topK": 3, "nValues": [2], "mRepeats": 1,
  "runs": [{"n": 2, "m": 0, "queryStartIndex": 0, "numScores": 6, "elapsedSec": 0.5, "file": "scores_N2_M0.bin"}]
}"#;

    fn message(json: &str) -> String {
        Manifest::parse(json.as_bytes(), Path::new("manifest.json")).expect_err(json).to_string()
    }

    #[test]
    fn a_manifest_of_another_tool_is_read() {
        let manifest = Manifest::parse(GOOD.as_bytes(), Path::new("m")).expect("valid");
        assert_eq!((manifest.metric, manifest.top_k, manifest.runs.len()), (Metric::Dot, 3, 1));
        let again = Manifest::parse(&manifest.to_json(), Path::new("m")).expect("our own");
        assert_eq!(manifest, again);
    }

    #[test]
    fn damage_is_named_with_its_place() {
        for (from, to, found) in [
            (GOOD, "", "is empty"),
            (GOOD, "  \n", "is empty"),
            (GOOD, "{\"docs\":", "is no valid JSON"),
            (GOOD, "[1]", "expected a JSON object"),
            ("\"dim\": 2", "\"dim\": -2", "dim: expected a whole number of at least 1, found -2"),
            ("\"dim\": 2", "\"dim\": \"two\"", "dim: expected a whole number of at least 1, found the text \"two\""),
            ("\"dim\": 2, ", "", "dim is missing"),
            ("\"topK\": 3", "\"topK\": 99999999999999999999", "topK: expected a whole number"),
            ("\"n\": 2", "\"n\": 2.5", "runs[0].n: expected a whole number of at least 1, found 2.5"),
            ("\"numScores\": 6", "\"numScores\": 7", "runs[0].numScores is 7, but n × topK is 2 × 3"),
            ("\"runs\": [{", "\"runs\": {}, \"other\": [{", "runs: expected a list, found an object"),
            ("scores_N2_M0.bin", "/etc/passwd", "runs[0].file: expected the plain name"),
            ("scores_N2_M0.bin", "../x.bin", "runs[0].file: expected the plain name"),
            ("scores_N2_M0.bin", "a/b.bin", "runs[0].file: expected the plain name"),
            ("scores_N2_M0.bin", "..", "runs[0].file: expected the plain name"),
            ("\"elapsedSec\": 0.5", "\"elapsedSec\": -1", "runs[0].elapsedSec: expected a number of seconds"),
            ("\"queryStartIndex\": 0", "\"queryStartIndex\": 18446744073709551615", "queryStartIndex is too large"),
        ] {
            let json = GOOD.replace(from, to);
            let text = message(&json);
            assert!(text.contains(found), "{to}: {text}");
        }
    }

    #[test]
    fn other_sessions_are_told_apart() {
        let mut ours = Manifest::parse(GOOD.as_bytes(), Path::new("m")).expect("valid");
        assert_eq!(ours.difference(&ours).as_deref(), Some("it was written by another tool"));
        ours.docs_fingerprint = Some("1".into());
        ours.queries_fingerprint = Some("2".into());
        assert_eq!(ours.difference(&ours), None);
        let other = Manifest { top_k: 9, ..ours.clone() };
        assert_eq!(ours.difference(&other).as_deref(), Some("its topK is 9, not 3"));
    }

    proptest! {
        /// Whatever is done to the bytes, parsing answers or refuses; it never panics.
        #[test]
        fn mangled_manifests_never_panic(at in 0usize..400, byte in any::<u8>(), cut in 0usize..400) {
            let mut bytes = GOOD.as_bytes().to_vec();
            let len = bytes.len();
            bytes[at % len] = byte;
            bytes.truncate(len - cut % len);
            let _ = Manifest::parse(&bytes, Path::new("manifest.json"));
        }
    }
}
