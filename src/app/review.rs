//! Looks at the fields as they are typed: what is wrong beside each, and what the plan would cost.
//! Runs on a worker; the window never touches a file itself.

use std::path::{Path, PathBuf};

use super::state::Form;
use crate::compute::error::{Error, Result};
use crate::compute::exact::plan::parse_n_values;
use crate::compute::exact::{Kernel, ScoreParams, ScorePlan};
use crate::compute::figures::{bytes, count, counted, duration, list};
use crate::compute::scores::{SessionOptions, finished_queries};
use crate::compute::vectors::{VectorFile, fitting_dims, suggest_dim};
use crate::job::Monitor;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    Docs,
    Queries,
    Dim,
    NumDocs,
    TopK,
    N,
    M,
    Output,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    pub field: Field,
    pub wrong: bool,
    pub text: String,
}

/// What can be said of a form.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Review {
    /// The form that was looked at.
    pub form: Form,
    pub notes: Vec<Note>,
    /// What fits the files, whatever the fields hold.
    pub suggested_dim: Option<usize>,
    pub suggested_output: Option<String>,
    /// The output folder holds another session, which could be overwritten.
    pub other_session: bool,
    /// Set when the form makes a plan that can run.
    pub ready: Option<Ready>,
    /// Why it cannot run, when no field is wrong but some are empty.
    pub missing: Option<&'static str>,
}

/// A plan that can run, and what it costs.
#[derive(Debug, Clone, PartialEq)]
pub struct Ready {
    pub params: ScoreParams,
    pub output: PathBuf,
    pub queries: usize,
    /// All runs are there already.
    pub finished: bool,
    pub costs: Vec<String>,
    pub warnings: Vec<String>,
}

impl Review {
    pub fn note(&self, field: Field) -> Option<&Note> {
        self.notes.iter().find(|note| note.field == field)
    }

    fn wrong(&mut self, field: Field, text: String) {
        if self.note(field).is_none_or(|note| !note.wrong) {
            self.notes.retain(|note| note.field != field);
            self.notes.push(Note { field, wrong: true, text });
        }
    }

    fn good(&mut self, field: Field, text: String) {
        if self.note(field).is_none() {
            self.notes.push(Note { field, wrong: false, text });
        }
    }
}

/// Looks at `form`. With `with_estimate`, times a small part of the work.
pub fn review(form: &Form, with_estimate: bool, monitor: &Monitor) -> Review {
    let mut review = Review { form: form.clone(), ..Review::default() };
    let dim = number(&mut review, Field::Dim, &form.dim, "dim");
    let num_docs = number(&mut review, Field::NumDocs, &form.num_docs, "numDocs");
    let top_k = number(&mut review, Field::TopK, &form.top_k, "topK");
    let m_repeats = number(&mut review, Field::M, &form.m_repeats, "M");
    let n_values = match parse_n_values(&form.n_values) {
        Ok(values) => Some(values),
        Err(error) => {
            review.wrong(Field::N, error.to_string());
            None
        }
    };
    let docs = look_at_vectors(&mut review, Field::Docs, &form.docs, dim);
    let queries = look_at_vectors(&mut review, Field::Queries, &form.queries, dim);
    let vectors = [&form.docs, &form.queries].map(|path| PathBuf::from(path.trim()));
    review.suggested_dim = vectors.iter().find(|path| path.is_file()).and_then(|path| suggest(path));
    if vectors[0].is_file() {
        review.suggested_output = Some(output_beside(&vectors[0]));
    }
    review.missing = if form.docs.trim().is_empty() {
        Some("choose the docs first")
    } else if form.queries.trim().is_empty() {
        Some("choose the queries first")
    } else if form.dim.trim().is_empty() {
        Some("give the dim of the vectors")
    } else if form.output.trim().is_empty() {
        Some("choose an output folder")
    } else {
        None
    };
    let (Some(docs), Some(queries), Some(dim), Some(top_k), Some(m_repeats), Some(n_values), None) =
        (docs, queries, dim, top_k, m_repeats, n_values, review.missing)
    else {
        return review;
    };
    if review.notes.iter().any(|note| note.wrong) {
        return review;
    }
    let params = ScoreParams {
        docs,
        queries,
        dim,
        num_docs,
        top_k,
        n_values,
        m_repeats,
        metric: form.metric,
        keep_ids: form.keep_ids,
        memory_budget: ScoreParams::DEFAULT_MEMORY,
        kernel: Kernel::Auto,
    };
    let output = PathBuf::from(form.output.trim());
    match make_ready(params, &output, form.overwrite, with_estimate, monitor) {
        Ok(ready) => review.ready = Some(ready),
        Err(error) => {
            review.other_session = matches!(error, Error::OtherSession { .. });
            let field = field_of(&error, form);
            review.wrong(field, error.to_string());
        }
    }
    review
}

fn make_ready(
    params: ScoreParams,
    output: &Path,
    overwrite: bool,
    with_estimate: bool,
    monitor: &Monitor,
) -> Result<Ready> {
    let plan = ScorePlan::new(params)?;
    let done = finished_queries(&plan, output, SessionOptions { overwrite })?;
    let mut costs = vec![
        format!(
            "{}, {} scores",
            counted(plan.runs.len(), "run", "runs"),
            count(plan.queries_needed() * plan.params.top_k)
        ),
        format!("writes {}, needs {} of memory", bytes(plan.bytes_to_write()), bytes(plan.peak_memory_bytes())),
    ];
    if done == plan.queries_needed() {
        costs.push("all runs are finished; scoring opens them".to_owned());
    } else {
        if done > 0 {
            costs.push(format!("continues: {} of {} queries are finished", count(done), count(plan.queries_needed())));
        }
        if with_estimate {
            let estimate = plan.estimate(done, monitor)?;
            let threads = counted(rayon::current_num_threads(), "core", "cores");
            costs.push(format!("about {} on {threads}", duration(estimate.duration_secs)));
        }
    }
    Ok(Ready {
        output: output.to_owned(),
        queries: plan.queries_needed(),
        finished: done == plan.queries_needed(),
        costs,
        warnings: plan.warnings(),
        params: plan.params,
    })
}

/// The field beside which an error of the plan is shown.
fn field_of(error: &Error, form: &Form) -> Field {
    match error {
        Error::Parameter { name: "dim", .. } => Field::Dim,
        Error::Parameter { name: "numDocs", .. } | Error::TooFewDocs { .. } => Field::NumDocs,
        Error::Parameter { name: "topK", .. } | Error::TopKBeyondDocs { .. } | Error::MemoryBudget { .. } => {
            Field::TopK
        }
        Error::Parameter { name: "M", .. } => Field::M,
        Error::Parameter { .. } => Field::N,
        Error::TornVectors { path, .. } | Error::NonFinite { path, .. } | Error::ZeroVector { path, .. } => {
            if path == Path::new(form.queries.trim()) { Field::Queries } else { Field::Docs }
        }
        _ => Field::Output,
    }
}

/// A number of at least 1; an empty field is none yet, and no mistake where it may stay empty.
fn number(review: &mut Review, field: Field, text: &str, name: &'static str) -> Option<usize> {
    let text = text.trim();
    if text.is_empty() {
        if matches!(field, Field::TopK | Field::M) {
            review.wrong(field, format!("{name}: expected a whole number of at least 1, found nothing"));
        }
        return None;
    }
    match text.replace([',', '_'], "").parse::<usize>() {
        Ok(value) if value > 0 => Some(value),
        _ => {
            review.wrong(field, format!("{name}: expected a whole number of at least 1, found {text}"));
            None
        }
    }
}

/// Says what the file at `path` is; `None` if it cannot be used.
fn look_at_vectors(review: &mut Review, field: Field, path: &str, dim: Option<usize>) -> Option<PathBuf> {
    let path = path.trim();
    if path.is_empty() {
        return None;
    }
    let path = PathBuf::from(path);
    let outcome = match dim {
        Some(dim) => VectorFile::open(&path, dim)
            .map(|file| format!("{} of dim {}", counted(file.rows(), "row", "rows"), count(dim))),
        None => VectorFile::file_size(&path).and_then(|size| {
            if size == 0 {
                return Err(Error::EmptyVectors { dim: 1, path: path.clone() });
            }
            Ok(format!("{}; dims that fit: {}", bytes(size), list(&fitting_dims(size), 6)))
        }),
    };
    match outcome {
        Ok(text) => {
            review.good(field, text);
            Some(path)
        }
        Err(error @ Error::Parameter { .. }) => {
            review.wrong(Field::Dim, error.to_string());
            None
        }
        Err(error) => {
            review.wrong(field, error.to_string());
            None
        }
    }
}

fn suggest(path: &Path) -> Option<usize> {
    // A file that cannot be read is told beside its own field.
    suggest_dim(path).ok().flatten()
}

/// `…/wiki.docs.vec` → `…/wiki.docs-scores`
fn output_beside(docs: &Path) -> String {
    let stem = docs.file_stem().unwrap_or_default().to_string_lossy();
    docs.with_file_name(format!("{stem}-scores")).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, rows: usize, dim: usize) -> String {
        let values: Vec<u8> = (0..rows * dim).flat_map(|index| ((index % 7) as f32 + 0.5).to_le_bytes()).collect();
        let path = folder.join(name);
        std::fs::write(&path, values).expect("written");
        path.to_string_lossy().into_owned()
    }

    #[test]
    fn every_field_is_judged_beside_itself() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let good = Form {
            docs: write(folder.path(), "docs-8d.vec", 40, 8),
            queries: write(folder.path(), "queries-8d.vec", 20, 8),
            dim: "8".into(),
            num_docs: String::new(),
            top_k: "5".into(),
            n_values: "2,3".into(),
            m_repeats: "2".into(),
            output: folder.path().join("out").to_string_lossy().into_owned(),
            ..Form::default()
        };
        let judged = review(&good, true, &Monitor::new());
        let ready = judged.ready.clone().expect("can run");
        assert_eq!(ready.queries, 10);
        assert_eq!(judged.note(Field::Docs).map(|note| note.text.as_str()), Some("40 rows of dim 8"));

        let missing = folder.path().join("none.vec").to_string_lossy().into_owned();
        let odd = write(folder.path(), "odd.vec", 3, 5);
        for (field, form, found) in [
            (Field::Docs, Form { docs: missing.clone(), ..good.clone() }, "no such file"),
            (Field::Docs, Form { docs: folder.path().to_string_lossy().into(), ..good.clone() }, "is a directory"),
            (Field::Queries, Form { queries: odd, ..good.clone() }, "no whole number of rows of dim 8"),
            (Field::Dim, Form { dim: "0".into(), ..good.clone() }, "found 0"),
            (Field::Dim, Form { dim: "many".into(), ..good.clone() }, "found many"),
            (Field::Dim, Form { dim: "70000".into(), ..good.clone() }, "from 1 to 65,536"),
            (Field::NumDocs, Form { num_docs: "41".into(), ..good.clone() }, "the file has 40 rows"),
            (Field::TopK, Form { top_k: "41".into(), ..good.clone() }, "only 40 docs"),
            (Field::TopK, Form { top_k: String::new(), ..good.clone() }, "found nothing"),
            (Field::N, Form { n_values: "2,x".into(), ..good.clone() }, "found x"),
            (Field::N, Form { n_values: String::new(), ..good.clone() }, "found nothing"),
            (Field::M, Form { m_repeats: "-1".into(), ..good.clone() }, "found -1"),
            (Field::Output, Form { output: good.docs.clone(), ..good.clone() }, "is a file, not a folder"),
        ] {
            let judged = review(&form, false, &Monitor::new());
            let note = judged.note(field).unwrap_or_else(|| panic!("a note on {field:?}: {:?}", judged.notes));
            assert!(note.wrong && note.text.contains(found), "{field:?}: {}", note.text);
            assert!(judged.ready.is_none());
        }
    }

    #[test]
    fn dim_and_output_are_suggested() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let form = Form { docs: write(folder.path(), "x-96d.docs.vec", 4, 96), ..Form::default() };
        let judged = review(&form, false, &Monitor::new());
        assert_eq!(judged.suggested_dim, Some(96));
        assert!(judged.suggested_output.is_some_and(|path| path.ends_with("x-96d.docs-scores")));
        assert_eq!(judged.missing, Some("choose the queries first"));
    }
}
