//! What was said and shown so far, entry by entry, without a thought of how it looks.

use crate::output::diff::{DiffView, Row};
use cerium_harness::edit::{Hunk, LineEvent, Proposal};
use cerium_harness::journal::EntryId;

/// Entries kept; older ones have long left the screen.
const ENTRIES_MAX: usize = 500;

/// Everything said and shown, oldest first.
#[derive(Debug, Default)]
pub(super) struct History {
    entries: Vec<Entry>,
    /// Counts up, so that every state of every entry has a number of its own.
    version: u64,
}

/// One thing said or shown.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) what: What,
    /// Changes when what it shows does.
    pub(super) version: u64,
}

#[derive(Debug)]
pub(super) enum What {
    /// By the person.
    Said(String),
    /// By the model.
    Answer {
        text: String,
        places: Vec<(String, String)>,
    },
    Diff(Diff),
    Note(String),
    Table(Vec<(String, String)>),
    Error {
        what: String,
        hint: Option<String>,
    },
}

/// The edit of one file.
#[derive(Debug)]
pub(super) struct Diff {
    pub(super) path: String,
    pub(super) places: String,
    pub(super) state: DiffState,
    /// What was written of it, until its hunks are known.
    pub(super) rows: Vec<Row>,
    pub(super) hunks: Hunks,
    view: DiffView,
}

/// The hunks of an edit.
pub(super) type Hunks = Vec<Choice>;

/// A hunk that can be taken, and what it can be split into: nothing, if it is one piece.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) hunk: Hunk,
    pub(super) parts: Vec<Hunk>,
}

impl Choice {
    /// What an edit offers.
    pub(super) fn all(proposal: &Proposal) -> Hunks {
        let choice = |hunk: Hunk| {
            let parts = if hunk.can_split() { proposal.split(&hunk) } else { Vec::new() };
            Self { hunk, parts }
        };
        proposal.hunks().into_iter().map(choice).collect()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DiffState {
    /// Being written.
    Written,
    /// Waiting for a word; which of its hunks would be applied.
    Offered(Vec<bool>),
    Applied(EntryId, Vec<bool>),
    Undone(EntryId, Vec<bool>),
    Rejected,
    /// It came to nothing, or another one takes its place.
    Void,
}

impl Diff {
    fn new(path: String, places: String) -> Self {
        let (rows, hunks, view) = (Vec::new(), Vec::new(), DiffView::default());
        Self { path, places, state: DiffState::Written, rows, hunks, view }
    }

    pub(super) fn is_applied(&self) -> bool {
        matches!(self.state, DiffState::Applied(..))
    }

    /// Lines added and removed by the hunks that count.
    pub(super) fn counts(&self) -> (usize, usize) {
        let taken = |n: usize| match &self.state {
            DiffState::Offered(taken)
            | DiffState::Applied(_, taken)
            | DiffState::Undone(_, taken) => taken.get(n) == Some(&true),
            _ => true,
        };
        let hunks = self.hunks.iter().enumerate().filter(|(n, _)| taken(*n));
        let lines = hunks.flat_map(|(_, choice)| &choice.hunk.lines);
        lines.fold((0, 0), |(added, removed), line| match line {
            LineEvent::Keep { .. } => (added, removed),
            LineEvent::Add { .. } => (added + 1, removed),
            LineEvent::Remove { .. } => (added, removed + 1),
        })
    }
}

impl History {
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    pub(super) fn push(&mut self, what: What) {
        self.version += 1;
        self.entries.push(Entry { what, version: self.version });
        if self.entries.len() > ENTRIES_MAX {
            self.entries.remove(0);
        }
    }

    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.push(What::Note(text.into()));
    }

    /// More of the answer that is being given.
    ///
    /// * `redirected`: the person has said something since; what still comes stands before that
    pub(super) fn text(&mut self, more: &str, redirected: bool) {
        match self.answer(redirected) {
            Some((text, places)) if places.is_empty() => text.push_str(more),
            _ if redirected => {}
            _ => self.push(What::Answer { text: more.to_owned(), places: Vec::new() }),
        }
    }

    /// The places that bear it out.
    pub(super) fn places(&mut self, found: Vec<(String, String)>, redirected: bool) {
        if let Some((_, places)) = self.answer(redirected) {
            *places = found;
        }
    }

    /// The answer at the end, or before what the person said last, about to change.
    fn answer(&mut self, redirected: bool) -> Option<(&mut String, &mut Vec<(String, String)>)> {
        let said = |entry: &&mut Entry| redirected && matches!(entry.what, What::Said(_));
        let entry = self.entries.iter_mut().rev().find(|entry| !said(entry))?;
        let What::Answer { text, places } = &mut entry.what else { return None };
        self.version += 1;
        entry.version = self.version;
        Some((text, places))
    }

    /// A diff begins; one that is being written of the same file is void.
    pub(super) fn diff(&mut self, path: String, places: String) {
        self.void(|diff| diff.path == path);
        self.push(What::Diff(Diff::new(path, places)));
    }

    /// Another line of the diff that is being written.
    pub(super) fn line(&mut self, event: &LineEvent) {
        if let Some(What::Diff(diff)) = self.last() {
            let rows = diff.view.rows(event);
            diff.rows.extend(rows);
        }
    }

    /// Whatever is being written comes to nothing.
    pub(super) fn void_written(&mut self) {
        self.void(|_| true);
    }

    fn void(&mut self, which: impl Fn(&Diff) -> bool) {
        self.each_diff(|diff| {
            if diff.state == DiffState::Written && which(diff) {
                diff.state = DiffState::Void;
                diff.rows.clear();
            }
        });
    }

    /// The hunks of the edit are known.
    pub(super) fn propose(&mut self, path: &str, hunks: Hunks) {
        let mut hunks = Some(hunks);
        self.each_diff(|diff| {
            if diff.state == DiffState::Written && diff.path == path {
                diff.hunks = hunks.take().unwrap_or_default();
                diff.state = DiffState::Offered(vec![true; diff.hunks.len()]);
                diff.rows.clear();
            }
        });
    }

    /// What is offered, in order: which hunks of each file would be applied.
    pub(super) fn offered(&self) -> Vec<Vec<bool>> {
        let offered = self.entries.iter().filter_map(|entry| match &entry.what {
            What::Diff(Diff { state: DiffState::Offered(taken), .. }) => Some(taken.clone()),
            _ => None,
        });
        offered.collect()
    }

    /// Takes a hunk of what is offered that was left out, or leaves it out; counted over all files.
    pub(super) fn toggle(&mut self, nth: usize) {
        let mut before = 0;
        self.each_diff(|diff| {
            if let DiffState::Offered(taken) = &mut diff.state {
                if let Some(hunk) = nth.checked_sub(before).and_then(|at| taken.get_mut(at)) {
                    *hunk = !*hunk;
                }
                before += taken.len();
            }
        });
    }

    /// The hunks that would be applied, of each file that is offered.
    pub(super) fn chosen(&self) -> Vec<Vec<Hunk>> {
        let offered = self.entries.iter().filter_map(|entry| match &entry.what {
            What::Diff(Diff { state: DiffState::Offered(taken), hunks, .. }) => {
                let taken = hunks.iter().zip(taken).filter(|(_, taken)| **taken);
                Some(taken.map(|(choice, _)| choice.hunk.clone()).collect())
            }
            _ => None,
        });
        offered.collect()
    }

    /// Whether a hunk of what is offered is made of several; counted over all files.
    pub(super) fn can_split(&self, nth: usize) -> bool {
        let offered = self.entries.iter().filter_map(|entry| match &entry.what {
            What::Diff(diff @ Diff { state: DiffState::Offered(_), .. }) => Some(&diff.hunks),
            _ => None,
        });
        offered.flatten().nth(nth).is_some_and(|choice| !choice.parts.is_empty())
    }

    /// Cuts it into its parts, all taken or left out as it was.
    pub(super) fn split(&mut self, nth: usize) {
        let mut before = 0;
        self.each_diff(|diff| {
            let DiffState::Offered(taken) = &mut diff.state else { return };
            let n_hunks = taken.len();
            let at = nth.checked_sub(before).filter(|at| *at < n_hunks);
            before += n_hunks;
            let Some(at) = at.filter(|at| !diff.hunks[*at].parts.is_empty()) else { return };
            let parts = std::mem::take(&mut diff.hunks[at].parts);
            let is_taken = taken[at];
            taken.splice(at..=at, parts.iter().map(|_| is_taken));
            let choices = parts.into_iter().map(|hunk| Choice { hunk, parts: Vec::new() });
            diff.hunks.splice(at..=at, choices);
        });
    }

    /// What was offered is applied, or not.
    pub(super) fn settle(&mut self, applied: Option<EntryId>) {
        self.each_diff(|diff| {
            if let DiffState::Offered(taken) = &diff.state {
                diff.state = match applied {
                    Some(id) if taken.contains(&true) => DiffState::Applied(id, taken.clone()),
                    _ => DiffState::Rejected,
                };
            }
        });
    }

    /// What is offered gives way to another edit.
    pub(super) fn withdraw(&mut self) {
        self.each_diff(|diff| {
            if matches!(diff.state, DiffState::Offered(_)) {
                diff.state = DiffState::Void;
                diff.hunks.clear();
            }
        });
    }

    pub(super) fn undone(&mut self, edit: EntryId) {
        self.each_diff(|diff| {
            if let DiffState::Applied(id, taken) = &diff.state
                && *id == edit
            {
                diff.state = DiffState::Undone(edit, taken.clone());
            }
        });
    }

    pub(super) fn redone(&mut self, edit: EntryId) {
        self.each_diff(|diff| {
            if let DiffState::Undone(id, taken) = &diff.state
                && *id == edit
            {
                diff.state = DiffState::Applied(edit, taken.clone());
            }
        });
    }

    /// The last entry, about to change.
    fn last(&mut self) -> Option<&mut What> {
        self.version += 1;
        let entry = self.entries.last_mut()?;
        entry.version = self.version;
        Some(&mut entry.what)
    }

    fn each_diff(&mut self, mut change: impl FnMut(&mut Diff)) {
        for entry in &mut self.entries {
            if let What::Diff(diff) = &mut entry.what {
                let before = diff.state.clone();
                change(diff);
                if diff.state != before {
                    self.version += 1;
                    entry.version = self.version;
                }
            }
        }
    }
}
