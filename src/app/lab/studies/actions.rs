//! What the user asked of the studies, carried out; what their workers finished, put where it belongs.

use std::path::PathBuf;
use std::sync::Arc;

use super::super::super::App;
use super::super::super::state;
use super::super::super::work::Slot;
use super::super::state::Tab;
use super::registry::{STUDIES, Subject, Values};
use super::state::{Listed, Side, Sorted};
use super::work::{self, Page, Task};
use crate::compute::error::Error;

#[derive(Debug, Clone, PartialEq)]
pub enum StudyCommand {
    /// Shows a study, by its place.
    Choose(usize),
    /// Makes the study that is shown, with what its fields say.
    Start,
    /// Shows a picture of what was found, by its place.
    ShowPicture(usize),
    /// Sorts the table by a column; once more, the other way round.
    SortBy(usize),
    /// Looks at the queries and docs of a row of the table.
    LookAtRow(usize),
    /// Which of both are listed.
    ListSide(Side),
    CloseRow,
    /// Whether the contestants stand below, not what was found.
    ShowContestants(bool),
    /// Reads the texts of a page of the list.
    Read(Side, usize),
}

impl App {
    pub(in super::super) fn carry_out_study(&mut self, command: StudyCommand, ctx: &egui::Context) {
        let state = &mut self.lab.state;
        let studies = &mut state.studies;
        match command {
            StudyCommand::Choose(place) if place < STUDIES.len() => {
                self.session.page = state::Page::Lab;
                state.tab = Tab::Studies;
                if studies.chosen != place {
                    studies.chosen = place;
                    studies.picture = 0;
                    studies.shows_contestants = false;
                    self.close_row();
                }
            }
            StudyCommand::Choose(_) => {}
            StudyCommand::Start => self.start_study(ctx),
            StudyCommand::ShowPicture(place) => studies.picture = place,
            StudyCommand::SortBy(column) => {
                let Some(found) = studies.finding().cloned() else { return };
                let before = studies.order().map(|sorted| sorted.by);
                // The largest numbers first, names from A to Z.
                let is_number = found.finding.table.columns.get(column).is_some_and(|column| column.is_number);
                let downwards = before.filter(|by| by.0 == column).map_or(is_number, |by| !by.1);
                self.lab.jobs.sorting.start(ctx, "sort", move |_| Sorted::of(found, (column, downwards)));
            }
            StudyCommand::LookAtRow(row) => {
                let Some(found) = studies.finding().cloned() else { return };
                let Some(link) = found.finding.links.get(row) else { return };
                studies.row = Some(row);
                studies.listed = Some(Listed::of(link.clone()));
                state.close_detail();
                // Texts of another list can no longer arrive.
                self.lab.jobs.reading = Slot::empty();
            }
            StudyCommand::ListSide(side) => {
                if let Some(listed) = &mut studies.listed {
                    listed.side = side;
                }
            }
            StudyCommand::CloseRow => self.close_row(),
            StudyCommand::ShowContestants(shows) => studies.shows_contestants = shows,
            StudyCommand::Read(side, page) => {
                let lab = state.opened.as_ref().and_then(|opened| opened.lab.clone());
                let rows = studies.listed.as_ref().map(|listed| listed.page(side, page).to_vec());
                let (Some(lab), Some(rows)) = (lab, rows) else { return };
                let texts = self.texts.clone();
                self.lab.jobs.reading.start(ctx, "texts of a list", move |monitor| {
                    let vectors = match side {
                        Side::Queries => lab.arena.queries.path(),
                        Side::Docs => lab.arena.docs.path(),
                    };
                    let read = work::words(&texts, vectors, &rows, monitor);
                    // Texts are a help: what cannot be read is empty, and is not asked for again and again.
                    let (texts, error) = match read {
                        Ok(texts) => (texts, None),
                        Err(error) => (vec![String::new(); rows.len()], Some(error)),
                    };
                    (Page { side, page, texts }, error)
                });
            }
        }
    }

    fn close_row(&mut self) {
        self.lab.state.studies.close_row();
        self.lab.state.close_detail();
        self.lab.jobs.reading = Slot::empty();
    }

    fn start_study(&mut self, ctx: &egui::Context) {
        if let Some(why) = self.why_no_study() {
            self.notices.wrong(why.words);
            return;
        }
        let contestant = self.contestant();
        let options = match self.lab_options(1) {
            Ok(options) => options,
            Err(error) => {
                self.notices.error(&error);
                return;
            }
        };
        let state = &mut self.lab.state;
        let (study, place) = (state.studies.study(), state.studies.chosen);
        let Some(opened) = state.opened.clone() else { return };
        let Some(lab) = opened.lab.clone() else { return };
        let values = Values::new(study.fields, &state.studies.texts[place]);
        let work = match (study.prepare)(&values, &opened.question) {
            Ok(work) => work,
            Err(error) => {
                self.notices.error(&error);
                return;
            }
        };
        let contestant = state.current.zip(contestant).filter(|_| study.subject != Subject::Session);
        let task = Task { study: place, contestant, work, options };
        state.studies.running = Some(place);
        self.lab.jobs.studying.start(ctx, study.name, move |monitor| work::run(&lab, task, monitor));
    }

    /// Takes what the workers of the studies finished.
    pub(in super::super) fn step_studies(&mut self) {
        let Self { lab, notices, .. } = self;
        let super::super::Lab { state, jobs } = lab;
        let found = notices.take(&mut jobs.studying);
        if !jobs.studying.is_busy() {
            state.studies.running = None;
        }
        if let Some(found) = found {
            let place = found.study;
            if place == state.studies.chosen {
                // Pictures keep their places from one time to the next, unless there are fewer.
                let pictures = found.finding.pictures.len();
                state.studies.picture = state.studies.picture.min(pictures.saturating_sub(1));
                state.studies.shows_contestants = false;
                state.studies.close_row();
                jobs.reading = Slot::empty();
            }
            state.studies.found[place] = Some(Arc::new(found));
        }
        match jobs.sorting.take() {
            Some(Ok(sorted)) => state.studies.sorted = Some(sorted),
            Some(Err(message)) => notices.wrong(message),
            None => {}
        }
        match jobs.reading.take() {
            Some(Ok((Page { side, page, texts }, error))) => {
                if let Some(listed) = &mut state.studies.listed {
                    listed.keep(side, page, texts);
                }
                if let Some(error) = error.filter(|error| !matches!(error, Error::Cancelled)) {
                    notices.error(&error);
                }
            }
            Some(Err(message)) => notices.wrong(message),
            None => {}
        }
    }

    /// Where a part of a finding goes unless the user says otherwise: "ranks-by-rank.png".
    pub(in super::super) fn study_path(&self, kept: work::Kept) -> PathBuf {
        let state = &self.lab.state;
        let mut name = state.studies.study().name.to_owned();
        let found = state.studies.finding();
        if let Some(contestant) = found.and_then(|found| found.contestant.as_ref()) {
            name += &format!("-{contestant}");
        }
        let ending = match kept {
            work::Kept::Picture(place) => {
                if let Some(picture) = found.and_then(|found| found.finding.pictures.get(place)) {
                    name += &format!("-{}", picture.name);
                }
                "png"
            }
            work::Kept::Table => "csv",
            work::Kept::More => {
                name += "-details";
                "csv"
            }
            work::Kept::List(side) => {
                let listed = state.studies.listed.as_ref().map_or("", |listed| listed.link.name.as_str());
                name += &format!("-{listed}-{}", if side == Side::Queries { "queries" } else { "docs" });
                "csv"
            }
            work::Kept::Notes => {
                name += "-notes";
                "txt"
            }
        };
        let folder = state.opened.as_ref().map(|opened| opened.folder.clone()).unwrap_or_default();
        folder.join(plain(&name) + "." + ending)
    }
}

/// A name as files bear it: lower case, with hyphens.
fn plain(name: &str) -> String {
    let parts = name.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-").to_lowercase().chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn files_have_plain_names() {
        assert_eq!(plain("ranks-hnsw:M=16 efSearch=64-By rank"), "ranks-hnsw-m-16-efsearch-64-by-rank");
        assert!(plain(&"x/".repeat(300)).len() <= 100);
    }
}
