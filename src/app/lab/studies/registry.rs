//! The studies of the lab: what each needs, asks for and does. A new one is one entry in [`STUDIES`].

use super::list;
use crate::compute::error::{Error, Result};
use crate::compute::index::session::{Lab, Options, Run};
use crate::compute::index::truth::Question;
use crate::job::Monitor;
use crate::video::finding::Finding;

/// All of them, in the order of their names on screen.
pub const STUDIES: &[Study] =
    &[list::WHY, list::RANKS, list::DIFFICULTY, list::CELLS, list::PLANNER, list::SERVING, list::DUPLICATES];

/// A study as the window offers it.
pub struct Study {
    /// On its tab, and in the names of files.
    pub name: &'static str,
    /// In the list of commands.
    pub command: &'static str,
    /// What it tells, in a sentence or two.
    pub about: &'static str,
    /// What its button says.
    pub action: &'static str,
    pub subject: Subject,
    pub fields: &'static [Field],
    /// Judges what was typed, and gives the work that it asks for. Called while typing: reads no file.
    pub prepare: fn(&Values<'_>, &Question) -> Result<Work>,
}

/// What a study is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The contestant that is chosen.
    Contestant,
    /// The session, and the contestant if one is chosen.
    Either,
    /// The docs and queries of the session.
    Session,
}

/// What runs on a worker.
pub type Work = Box<dyn FnOnce(&Context<'_>, &Monitor) -> Result<Finding> + Send>;

/// What a study works with.
pub struct Context<'a> {
    pub lab: &'a Lab,
    /// The contestant that is chosen, if the study is about one.
    pub run: Option<&'a Run>,
    /// For studies that build or search indexes.
    pub options: Options,
}

impl<'a> Context<'a> {
    /// The contestant.
    ///
    /// # Errors
    /// None is chosen.
    pub fn run(&self) -> Result<&'a Run> {
        self.run.ok_or_else(|| Error::IndexUse { what: "choose a contestant in the table first".to_owned() })
    }
}

/// A parameter of a study.
pub struct Field {
    /// As errors name it.
    pub name: &'static str,
    /// On screen.
    pub label: &'static str,
    pub default: &'static str,
    /// What it means.
    pub hint: &'static str,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Typed; the text stands for an empty field.
    Text(&'static str),
    /// Likewise, with room for more.
    Long(&'static str),
    /// One of these.
    Choice(&'static [&'static str]),
}

impl Kind {
    /// Width on screen, less of it where there is little room.
    pub fn width(self, is_narrow: bool) -> f32 {
        match self {
            Self::Text(_) => {
                if is_narrow {
                    52.0
                } else {
                    64.0
                }
            }
            Self::Choice(_) => 104.0,
            Self::Long(_) => {
                if is_narrow {
                    150.0
                } else {
                    190.0
                }
            }
        }
    }
}

/// What was typed into the fields of a study.
pub struct Values<'a> {
    fields: &'static [Field],
    texts: &'a [String],
}

impl<'a> Values<'a> {
    /// `texts`: one a field.
    pub fn new(fields: &'static [Field], texts: &'a [String]) -> Self {
        Self { fields, texts }
    }

    /// What stands in the field `name`.
    pub fn text(&self, name: &str) -> &'a str {
        let place = self.fields.iter().position(|field| field.name == name);
        place.and_then(|place| self.texts.get(place)).map_or("", |text| text.trim())
    }

    /// A whole number; `None` of an empty field.
    ///
    /// # Errors
    /// Anything else.
    pub fn whole(&self, name: &'static str) -> Result<Option<usize>> {
        self.parsed(name, "a whole number")
    }

    /// A number; `None` of an empty field.
    ///
    /// # Errors
    /// Anything else.
    pub fn real(&self, name: &'static str) -> Result<Option<f64>> {
        self.parsed(name, "a number")
    }

    /// Numbers in percent, separated by commas or spaces, as shares; `None` of an empty field.
    ///
    /// # Errors
    /// Anything else.
    pub fn percents(&self, name: &'static str) -> Result<Option<Vec<f64>>> {
        let parts = self.text(name).split([',', ' ']).filter(|part| !part.is_empty());
        let shares = parts.map(|part| {
            part.parse::<f64>().map(|percent| percent / 100.0).map_err(|_| Error::Parameter {
                name,
                expected: "numbers in percent, like 1,2,5".to_owned(),
                found: part.to_owned(),
            })
        });
        let shares = shares.collect::<Result<Vec<_>>>()?;
        Ok((!shares.is_empty()).then_some(shares))
    }

    fn parsed<T: std::str::FromStr>(&self, name: &'static str, expected: &str) -> Result<Option<T>> {
        match self.text(name) {
            "" => Ok(None),
            text => text.replace(',', "").parse().map(Some).map_err(|_| Error::Parameter {
                name,
                expected: expected.to_owned(),
                found: text.to_owned(),
            }),
        }
    }
}

impl Study {
    /// What stands in its fields at first.
    pub fn defaults(&self) -> Vec<String> {
        self.fields.iter().map(|field| field.default.to_owned()).collect()
    }

    /// The field that an error is about.
    pub fn field_of(&self, error: &Error) -> Option<&'static Field> {
        match error {
            Error::Parameter { name, .. } => self.fields.iter().find(|field| field.name == *name),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::metric::Metric;

    #[test]
    fn studies_have_names_of_their_own_and_defaults_that_fit() {
        let question = Question {
            docs: "docs.vec".into(),
            queries: "queries.vec".into(),
            dim: 384,
            num_docs: Some(40_000),
            num_queries: Some(1000),
            top_k: 100,
            metric: Metric::Dot,
            memory_budget: 1 << 30,
        };
        for (place, study) in STUDIES.iter().enumerate() {
            assert!(STUDIES[..place].iter().all(|other| other.name != study.name), "{} twice", study.name);
            let defaults = study.defaults();
            let values = Values::new(study.fields, &defaults);
            if let Err(error) = (study.prepare)(&values, &question) {
                panic!("{}: its defaults are wrong: {error}", study.name);
            }
            for (index, field) in study.fields.iter().enumerate() {
                let has = |name: &str| study.fields[..index].iter().any(|other| other.name == name);
                assert!(!has(field.name), "{}: {} twice", study.name, field.name);
                assert!(!field.hint.is_empty() && !field.label.is_empty(), "{}: {}", study.name, field.name);
                if let Kind::Choice(choices) = field.kind {
                    assert!(choices.contains(&field.default), "{}: {}", study.name, field.name);
                }
            }
        }
    }

    #[test]
    fn percents_are_read_as_shares() {
        const FIELDS: &[Field] =
            &[Field { name: "fresh", label: "Fresh", default: "", hint: "h", kind: Kind::Text("none") }];
        for (text, read) in [("", None), ("1, 20 50", Some(vec![0.01, 0.2, 0.5]))] {
            let texts = [text.to_owned()];
            assert_eq!(Values::new(FIELDS, &texts).percents("fresh").expect("numbers"), read, "{text}");
        }
        let texts = ["1;2".to_owned()];
        let error = Values::new(FIELDS, &texts).percents("fresh").expect_err("no numbers");
        assert!(error.to_string().contains("fresh: expected numbers in percent") && error.to_string().contains("1;2"));
    }

    #[test]
    fn numbers_are_read_as_people_type_them() {
        const FIELDS: &[Field] =
            &[Field { name: "deepest", label: "Ranks", default: "", hint: "h", kind: Kind::Text("all") }];
        for (text, read) in [("", Ok(None)), (" 1,000 ", Ok(Some(1000))), ("-3", Err("found -3")), ("x", Err("whole"))]
        {
            let texts = [text.to_owned()];
            match (Values::new(FIELDS, &texts).whole("deepest"), read) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (found, expected) => panic!("{text}: {found:?} instead of {expected:?}"),
            }
        }
    }
}
