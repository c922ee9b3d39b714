//! The settings of a scorer as YAML: `name`, `embedding_path`, `k`, `distance_metric`, `max_workers`.

use std::path::{Path, PathBuf};

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};

use super::Distance;
use crate::compute::error::{Error, Result};

/// What a file says; what it leaves out is `None`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    pub name: Option<String>,
    pub embedding_path: Option<PathBuf>,
    pub k: Option<usize>,
    pub distance: Option<Distance>,
    pub max_workers: Option<usize>,
}

const KEYS: [&str; 5] = ["name", "embedding_path", "k", "distance_metric", "max_workers"];

impl Config {
    /// Reads `path`. A relative `embedding_path` is taken from the folder of the program's call, as the flag is.
    ///
    /// # Errors
    /// A file that cannot be read or is no YAML mapping; a key that is unknown or comes twice, or a value of the
    /// wrong kind, with its line.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::read(path))?;
        Self::parse(&text, path)
    }

    /// As [`Config::load`]; `path` is named in errors.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let bad = |line: usize, what: String| Error::Config { line, what, path: path.to_owned() };
        let documents = MarkedYaml::load_from_str(text)
            .map_err(|error| bad(error.marker().line(), format!("is no YAML: {}", error.info())))?;
        let Some(document) = documents.first() else {
            return Err(bad(1, format!("is empty; expected keys of {}", KEYS.join(", "))));
        };
        let YamlData::Mapping(mapping) = &document.data else {
            return Err(bad(document.span.start.line(), "is no mapping; expected lines like `k: 5`".to_owned()));
        };
        let mut config = Self::default();
        for (key, value) in mapping {
            let line = key.span.start.line();
            let YamlData::Value(Scalar::String(name)) = &key.data else {
                return Err(bad(line, format!("a key is no word; expected {}", KEYS.join(", "))));
            };
            let wrong =
                |expected: &str| bad(line, format!("{name}: expected {expected}, found {}", shown(&value.data)));
            let scalar = if let YamlData::Value(scalar) = &value.data { Some(scalar) } else { None };
            let word = match scalar {
                Some(Scalar::String(word)) if !word.is_empty() => Some(word.as_ref()),
                _ => None,
            };
            let number = match scalar {
                Some(Scalar::Integer(number)) => usize::try_from(*number).ok().filter(|&number| number > 0),
                _ => None,
            };
            match name.as_ref() {
                "name" => config.name = Some(word.ok_or_else(|| wrong("a name"))?.to_owned()),
                "embedding_path" => {
                    config.embedding_path = Some(word.ok_or_else(|| wrong("the path of a file"))?.into());
                }
                "k" => config.k = Some(number.ok_or_else(|| wrong("a whole number of at least 1"))?),
                "max_workers" => {
                    config.max_workers = Some(number.ok_or_else(|| wrong("a whole number of at least 1"))?)
                }
                "distance_metric" => {
                    let distance = word.and_then(|word| word.parse().ok());
                    config.distance = Some(distance.ok_or_else(|| wrong("euclidean, cosine or manhattan"))?);
                }
                unknown => {
                    return Err(bad(line, format!("unknown key {unknown}; expected one of {}", KEYS.join(", "))));
                }
            }
        }
        Ok(config)
    }
}

fn shown<'a>(data: &YamlData<'a, MarkedYaml<'a>>) -> String {
    match data {
        YamlData::Value(Scalar::Null) => "nothing".to_owned(),
        YamlData::Value(Scalar::Boolean(value)) => value.to_string(),
        YamlData::Value(Scalar::Integer(value)) => value.to_string(),
        YamlData::Value(Scalar::FloatingPoint(value)) => value.to_string(),
        YamlData::Value(Scalar::String(value)) => value.to_string(),
        YamlData::Sequence(_) => "a list".to_owned(),
        YamlData::Mapping(_) => "a mapping".to_owned(),
        _ => "something else".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_as_the_reference_writes_it() {
        let text = "name: KNNScorer\nembedding_path: /data/e.npy\nk: 7\ndistance_metric: cosine\nmax_workers: 8\n";
        let config = Config::parse(text, Path::new("s.yaml")).expect("valid");
        assert_eq!(config.embedding_path, Some(PathBuf::from("/data/e.npy")));
        assert_eq!((config.k, config.distance, config.max_workers), (Some(7), Some(Distance::Cosine), Some(8)));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, line, part) in [
            ("k: 5\nkay: 6\n", 2, "unknown key kay"),
            ("k: 0\n", 1, "found 0"),
            ("k: 2.5\n", 1, "found 2.5"),
            ("k: five\n", 1, "found five"),
            ("name: x\n\ndistance_metric: chebyshev\n", 3, "found chebyshev"),
            ("max_workers: [1]\n", 1, "found a list"),
            ("embedding_path:\n", 1, "found nothing"),
            ("- k\n", 1, "no mapping"),
            ("", 1, "empty"),
            ("k: [1\n", 2, "no YAML"),
        ] {
            let error = Config::parse(text, Path::new("s.yaml")).expect_err(text).to_string();
            assert!(error.starts_with(&format!("s.yaml: line {line}: ")) && error.contains(part), "{text:?}: {error}");
        }
    }
}
