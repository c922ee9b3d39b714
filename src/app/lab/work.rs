//! Work of the index lab, on threads of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use super::super::grid::Grid;
use super::super::save_dialog::{SaveForm, Saved};
use super::super::work::{Slot, TextCache};
use super::group::Group;
use super::state::Part;
use super::studies::{DocText, Found, FoundPart, Page, Sorted, keep, words};
use crate::compute::atomic_file::write_atomically;
use crate::compute::demo;
use crate::compute::error::{Error, Result};
use crate::compute::index::NONE;
use crate::compute::index::candidate::Candidate;
use crate::compute::index::report::{Line, lines, short_table, table, title, usual_ks};
use crate::compute::index::scores::Scores;
use crate::compute::index::session::{Lab, Options};
use crate::compute::index::truth::Question;
use crate::compute::table::{Column, Table};
use crate::job::{Monitor, Progress};
use crate::video::FrameRate;
use crate::video::lab::{Tradeoff, scores_scene, write_video};
use crate::video::panel::Canvas;

/// A session as it is shown.
#[derive(Debug)]
pub struct Opened {
    pub folder: PathBuf,
    pub question: Question,
    pub lines: Vec<Line>,
    /// The lines, for reading.
    pub table: Table,
    /// The lines, to be drawn.
    pub tradeoff: Tradeoff,
    /// The session itself, once nothing is run any more.
    pub lab: Option<Arc<Lab>>,
}

impl Opened {
    pub fn of(lab: &Lab) -> Self {
        let ks = usual_ks(lab.arena.top_k);
        let lines = lines(lab, &ks);
        let table = short_table(&lines, &ks);
        let question = lab.question();
        let tradeoff = Tradeoff::of(title(&lab.arena), &lines, ks.last().copied().unwrap_or(1));
        Self { folder: lab.folder().to_owned(), question, lines, table, tradeoff, lab: None }
    }
}

/// Queries of a contestant, those that lost most first.
#[derive(Debug)]
pub struct QueryList {
    pub line: usize,
    pub grid: Grid,
    /// The query of each row.
    pub queries: Vec<usize>,
    /// The rows to be saved: with every digit.
    pub whole: Table,
}

/// The scores of the contestant in a line.
#[derive(Debug)]
pub struct Shown {
    pub line: usize,
    /// Of all queries.
    pub scores: Scores,
    /// Of the group, over the same axes.
    pub group: Option<Scores>,
}

/// Bins the scores of the contestant in `line`.
///
/// # Errors
/// Scores that cannot be binned.
pub fn bin_scores(lab: &Lab, line: usize, group: Option<&Group>) -> Result<Shown> {
    let run = &lab.runs[line];
    let group = group.map(|group| Scores::of_queries(lab, run, &group.queries)).transpose()?;
    Ok(Shown { line, scores: Scores::of(lab, run)?, group })
}

/// A neighbour in words.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbour {
    pub doc: u32,
    pub score: f64,
    pub text: String,
    /// Whether the other list has it, too.
    pub is_shared: bool,
}

/// A query with what should have been found, and what was.
#[derive(Debug)]
pub struct Told {
    /// The contestant's; without one nothing was found.
    pub line: Option<usize>,
    pub query: usize,
    pub text: String,
    pub exact: Vec<Neighbour>,
    pub found: Vec<Neighbour>,
}

/// All work of the view.
pub struct Jobs {
    pub running: Slot<Result<(Opened, Vec<String>)>>,
    /// The session as it grows.
    pub grown: Option<Receiver<Opened>>,
    pub listing: Slot<QueryList>,
    pub binning: Slot<Result<Shown>>,
    pub telling: Slot<Result<Told>>,
    /// The text of a doc, and those of a list.
    pub doc: Slot<Result<DocText>>,
    pub reading: Slot<(Page, Option<Error>)>,
    pub grouping: Slot<Group>,
    pub studying: Slot<Result<Found>>,
    pub sorting: Slot<Sorted>,
    pub filling: Slot<Result<Question>>,
    pub saving: Slot<(SaveForm<Part>, Result<Saved>)>,
}

impl Jobs {
    pub const fn new() -> Self {
        Self {
            running: Slot::empty(),
            grown: None,
            listing: Slot::empty(),
            binning: Slot::empty(),
            telling: Slot::empty(),
            doc: Slot::empty(),
            reading: Slot::empty(),
            grouping: Slot::empty(),
            studying: Slot::empty(),
            sorting: Slot::empty(),
            filling: Slot::empty(),
            saving: Slot::empty(),
        }
    }

    pub fn is_busy(&self) -> bool {
        self.running.is_busy()
            || self.listing.is_busy()
            || self.binning.is_busy()
            || self.telling.is_busy()
            || self.doc.is_busy()
            || self.reading.is_busy()
            || self.grouping.is_busy()
            || self.studying.is_busy()
            || self.sorting.is_busy()
            || self.filling.is_busy()
            || self.saving.is_busy()
    }

    pub fn progress(&self) -> Option<Progress> {
        let slots =
            [self.running.progress(), self.studying.progress(), self.filling.progress(), self.saving.progress()];
        slots.into_iter().flatten().next()
    }

    pub fn cancel(&mut self) {
        self.running.cancel();
        self.studying.cancel();
        self.filling.cancel();
        self.saving.cancel();
    }
}

/// Runs candidates into a session; what fails is told, and the others go on.
pub fn run(
    question: &Question,
    candidates: &[Candidate],
    options: &Options,
    folder: &Path,
    grown: &Sender<Opened>,
    monitor: &Monitor,
) -> Result<(Opened, Vec<String>)> {
    let mut lab = Lab::begin(question, folder, monitor)?;
    let mut failures = Vec::new();
    for candidate in candidates {
        monitor.set_detail(candidate.name.as_str());
        // Nobody listens any more if the window shows something else.
        match lab.run(candidate, options, monitor, &mut |lab| drop(grown.send(Opened::of(lab)))) {
            Ok(()) => {}
            Err(Error::Cancelled) => break,
            Err(error) => failures.push(error.to_string()),
        }
    }
    Ok((whole(lab), failures))
}

/// Opens a session to look at it.
pub fn open(folder: &Path, monitor: &Monitor) -> Result<(Opened, Vec<String>)> {
    Ok((whole(Lab::open(folder, monitor)?), Vec::new()))
}

fn whole(mut lab: Lab) -> Opened {
    let opened = Opened::of(&lab);
    lab.release();
    Opened { lab: Some(Arc::new(lab)), ..opened }
}

/// The demo vectors as a question.
pub fn fill_demo(home: &Path) -> Result<Question> {
    let params = demo::unpack(home)?;
    Ok(Question {
        docs: params.docs,
        queries: params.queries,
        dim: params.dim,
        num_docs: None,
        num_queries: None,
        top_k: params.top_k,
        metric: params.metric,
        memory_budget: params.memory_budget,
    })
}

/// The queries of the contestant in `line`, or those of a group.
pub fn list_queries(lab: &Lab, line: usize, group: Option<&Group>) -> QueryList {
    let judged = &lab.runs[line].judged;
    let k = judged.k;
    let lost = |query: usize| k - (judged.recall_of(query, k) * k as f64).round() as usize;
    let mut queries: Vec<usize> = match group {
        Some(group) => group.queries.iter().map(|&query| query as usize).collect(),
        None => (0..judged.queries()).collect(),
    };
    queries.sort_by_key(|&query| (std::cmp::Reverse(lost(query)), query));
    let column = |name: &str| Column { name: name.to_owned(), is_number: true };
    let columns = vec![column("query"), column("lost"), column(&format!("recall@{k}")), column("nearest lost rank")];
    let rows = |digits: usize, nothing: Option<&str>| {
        let row = |&query: &usize| {
            let first = judged.lost_of(&lab.truth, query).first().map(|(rank, _)| (rank + 1).to_string());
            vec![
                Some(query.to_string()),
                Some(lost(query).to_string()),
                Some(format!("{:.digits$}", judged.recall_of(query, k))),
                first.or_else(|| nothing.map(str::to_owned)),
            ]
        };
        Table { columns: columns.clone(), rows: queries.iter().map(row).collect(), is_cut: false }
    };
    let (grid, whole) = (Grid::new(rows(2, Some("–"))), rows(6, None));
    QueryList { line, grid, queries, whole }
}

/// Neighbours that are put into words.
const TOLD: usize = 30;

/// A query and both its lists, with texts where there are any. `line`: the contestant's; without one only the exact
/// list is told.
pub fn tell(lab: &Lab, line: Option<usize>, query: usize, texts: &TextCache, monitor: &Monitor) -> Result<Told> {
    let judged = line.map(|line| &lab.runs[line].judged);
    let k = judged.map_or(lab.truth.top_k, |judged| judged.k);
    let found = judged.map_or(&[][..], |judged| &judged.ids[query * k..(query + 1) * k]);
    let exact = &lab.truth.ids_of(query)[..k];
    let list = |ids: &[u32], others: &[u32]| -> Result<Vec<Neighbour>> {
        let ids: Vec<u32> = ids.iter().copied().filter(|id| *id != NONE).take(TOLD).collect();
        let texts = words(texts, lab.arena.docs.path(), &ids, monitor)?;
        let each = ids.into_iter().zip(texts).map(|(doc, text)| {
            let is_shared = line.is_none() || others.contains(&doc);
            Neighbour { doc, score: lab.arena.score(query, doc), text, is_shared }
        });
        Ok(each.collect())
    };
    let (exact, found) = (list(exact, found)?, list(found, exact)?);
    let text = words(texts, lab.arena.queries.path(), &[query as u32], monitor)?.pop().unwrap_or_default();
    Ok(Told { line, query, text, exact, found })
}

/// The text of a doc.
pub fn read_doc(lab: &Lab, doc: u32, texts: &TextCache, monitor: &Monitor) -> Result<DocText> {
    let text = words(texts, lab.arena.docs.path(), &[doc], monitor)?.pop().unwrap_or_default();
    Ok(DocText { doc, text })
}

/// What there is to save.
pub struct Keepsake {
    pub opened: Arc<Opened>,
    /// The line that is looked at.
    pub line: Option<usize>,
    pub scores: Option<Arc<Shown>>,
    /// Whether those of the group are shown; the frame that is shown.
    pub shows_group: bool,
    pub place: Option<usize>,
    pub found: Option<FoundPart>,
    pub queries: Option<Arc<QueryList>>,
    pub rate: FrameRate,
}

/// Writes a part; the ending of the path says as what.
///
/// # Errors
/// Nothing to save of that part; a file that cannot be written.
pub fn save(form: &SaveForm<Part>, kept: &Keepsake, monitor: &Monitor) -> Result<Saved> {
    let path = PathBuf::from(form.path.trim());
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let (_, _, _, endings) = form.what.words();
    if !endings.contains(&ending.as_str()) {
        let expected = format!("a name that ends with .{}", endings.join(", ."));
        return Err(Error::Parameter { name: "file", expected, found: path.display().to_string() });
    }
    if path.exists() && !form.replaces() {
        return Ok(Saved::Exists);
    }
    let nothing = || Error::Index { what: "there is nothing to save: choose a contestant first".to_owned() };
    match form.what {
        Part::Table => {
            let ks = usual_ks(kept.opened.question.top_k);
            write_atomically(&path, &table(&kept.opened.lines, &ks).to_csv())?;
        }
        Part::Speed => kept.opened.tradeoff.scene(kept.line, Canvas::FILE).write(&path)?,
        Part::Queries => {
            let queries = kept.queries.as_ref().ok_or_else(nothing)?;
            write_atomically(&path, &queries.whole.to_csv())?;
        }
        Part::Scores => {
            let shown = kept.scores.as_ref().ok_or_else(nothing)?;
            let scores = shown.group.as_ref().filter(|_| kept.shows_group).unwrap_or(&shown.scores);
            match ending.as_str() {
                "csv" => write_atomically(&path, &scores.table().to_csv())?,
                // Its frames are those of all queries.
                "mp4" => write_video(&shown.scores, &path, Canvas::FILE, kept.rate, monitor)?,
                _ => scores_scene(scores, kept.place, Canvas::FILE).write(&path)?,
            }
        }
        Part::StudyPicture | Part::StudyTable | Part::StudyNotes | Part::StudyMore | Part::StudyList => {
            keep(kept.found.as_ref().ok_or_else(nothing)?, &path, monitor)?;
        }
    }
    Ok(Saved::Done(format!("Written: {}", path.display())))
}
