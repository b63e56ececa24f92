//! An edit that was made but not yet applied, and what is told on the way to it.

use super::candidates::Chosen;
use super::diff::{self, LineEvent};
use super::fate::Fate;
use super::scope::Scope;
use super::splice::Change;
use crate::files::SourceFile;
use cerium_protocol::{Response, Timings, Usage};
use serde::{Deserialize, Serialize};

/// What happens while an edit is made.
#[derive(Debug)]
pub enum Progress<'p> {
    /// These lines will be written again.
    Scope(&'p Scope),
    /// A line of the diff is settled. Lines outside the scope are not told.
    Line(LineEvent),
    /// The model is writing. Told with every piece of text, so that a `Break` stops it at once.
    Writing,
    /// The answer cannot be used; the lines told since the last `Scope` are void, and the model is
    /// asked again.
    Retry {
        /// What was wrong.
        reason: &'p str,
    },
}

impl Progress<'_> {
    /// Keeps the diff as far as it is told: what [`EditRequest::redirected`](super::EditRequest::redirected) goes on from.
    pub fn keep(&self, written: &mut Vec<LineEvent>) {
        match self {
            Self::Scope(_) => written.clear(),
            Self::Line(event) => written.push(event.clone()),
            Self::Writing | Self::Retry { .. } => {}
        }
    }
}

/// How an edit came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// The instruction was fully understood and carried out by code, without a model.
    Direct,
    /// A model rewrote the scope.
    Model,
}

/// Sums over all requests of one edit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Token counts.
    pub usage: Usage,
    /// Durations; `ttft_ms` is that of the first request.
    pub timings: Timings,
    /// Requests made.
    pub n_requests: u32,
    /// Answers that could not be used and were asked for again.
    pub retries: u32,
}

impl Stats {
    /// Adds what was asked beside it.
    pub(crate) fn join(&mut self, other: &Self) {
        self.n_requests += other.n_requests;
        self.retries += other.retries;
        self.usage += other.usage;
        self.timings.prefill_ms += other.timings.prefill_ms;
        self.timings.decode_ms += other.timings.decode_ms;
        self.timings.total_ms += other.timings.total_ms;
    }

    pub(crate) fn add(&mut self, response: &Response) {
        let Response { usage, timings, .. } = response;
        if self.n_requests == 0 {
            self.timings.ttft_ms = timings.ttft_ms;
        }
        self.n_requests += 1;
        self.usage += *usage;
        self.timings.prefill_ms += timings.prefill_ms;
        self.timings.decode_ms += timings.decode_ms;
        self.timings.total_ms += timings.total_ms;
    }
}

/// An edit, ready to be shown and applied.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// The file as it was read.
    pub file: SourceFile,
    /// What becomes of it.
    pub fate: Fate,
    /// What was asked for.
    pub instruction: String,
    /// What changes, in bytes of the file's text; all of it inside the scope.
    pub changes: Vec<Change>,
    /// The text after the edit.
    pub after: String,
    /// The lines that could change.
    pub scope: Scope,
    /// How it came about.
    pub route: Route,
    /// Model that wrote it; empty on the direct route.
    pub model: String,
    /// Places the grammar cannot read, before.
    pub errors_before: usize,
    /// And after; never more, unless some hunks were left out.
    pub errors_after: usize,
    /// Runs of changed lines that were left out of it.
    pub left_out: usize,
    /// Which of several answers it is, if several were asked for.
    pub chosen: Option<Chosen>,
    /// What it cost.
    pub stats: Stats,
}

impl Proposal {
    /// The edit as a unified diff.
    pub fn diff(&self) -> String {
        let (path, before, after) = (&self.file.path, self.file.text.as_str(), self.after.as_str());
        match &self.fate {
            Fate::Change => diff::unified(path, before, after),
            Fate::Make => diff::of_file(path, None, Some(after)),
            Fate::Delete => diff::of_file(path, Some(before), None),
            // In git's words.
            Fate::Rename(to) => format!("rename from {path}\nrename to {to}\n"),
        }
    }

    /// The file, and what becomes of it if that is more than a change, for people.
    pub fn title(&self) -> String {
        let path = &self.file.path;
        match &self.fate {
            Fate::Change => path.clone(),
            Fate::Make => format!("{path} (new)"),
            Fate::Delete => format!("{path} (deleted)"),
            Fate::Rename(to) => format!("{path} -> {to}"),
        }
    }

    /// Lines added and removed.
    pub fn counts(&self) -> (usize, usize) {
        diff::counts(&self.file.text, &self.after)
    }
}
