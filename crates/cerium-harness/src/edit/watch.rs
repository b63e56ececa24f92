//! Watching an answer while it is written: a diff for people, and the moment when the rest is known.
//!
//! Once a change was made and the answer is back on the old text for some lines, and nothing that
//! the instruction speaks of is left in the old lines to come, they would only be repeated. The
//! generation is ended and they are taken from the file.

use super::diff::{DiffStream, LineEvent};
use super::instruction::{Piece, Shape, is_edit_word, stems};
use super::prompt::Prompt;
use super::reply::is_marker;
use super::strategy::{Format, Strategy};
use super::view::has_word;
use crate::search::{stem, subwords};
use std::collections::HashSet;

/// Whether to go on listening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    GoOn,
    /// The rest of the answer is known.
    Enough,
}

/// Follows one answer.
#[derive(Debug)]
pub(crate) struct Watch {
    /// One diff per part; the last one is being written to. Empty for answers in blocks.
    diffs: Vec<DiffStream>,
    parts: Vec<(Vec<String>, usize)>,
    dedents: Vec<String>,
    markers: bool,
    partial: String,
    events: Vec<LineEvent>,
    fence: String,
    closed: bool,
    stop_after: usize,
    said: HashSet<String>,
    quoted: Vec<String>,
    enough: bool,
}

impl Watch {
    pub(crate) fn new(prompt: &Prompt, pieces: &[Piece], strategy: &Strategy) -> Self {
        let blocks = strategy.format == Format::SearchReplace;
        let parts = prompt.expected.parts.iter().zip(&prompt.regions);
        let parts: Vec<_> = parts.map(|(p, region)| (p.old.clone(), region.lines.start)).collect();
        let clear = is_clear(pieces);
        let mut watch = Self {
            diffs: Vec::new(),
            markers: parts.len() > 1,
            parts: if blocks { Vec::new() } else { parts },
            dedents: prompt.dedents.clone(),
            partial: String::new(),
            events: Vec::new(),
            fence: prompt.fence.clone(),
            closed: blocks,
            stop_after: if clear { strategy.stop_after_matching_lines } else { 0 },
            said: stems(pieces).into_iter().collect(),
            quoted: pieces.iter().filter(|p| p.is_code()).map(|p| p.text.clone()).collect(),
            enough: false,
        };
        if !blocks {
            watch.open(0);
            // The first line of the given beginning is the fence.
            let given = prompt.prefix.split_once('\n').map_or("", |(_, rest)| rest);
            let _ = watch.push(given);
        }
        watch
    }

    /// Takes the next piece of the answer.
    pub(crate) fn push(&mut self, text: &str) -> Verdict {
        if self.closed || self.enough {
            return if self.enough { Verdict::Enough } else { Verdict::GoOn };
        }
        self.partial.push_str(text);
        while let Some(end) = self.partial.find('\n') {
            let line: String = self.partial.drain(..=end).collect();
            self.line(&line);
            if self.closed {
                break;
            }
            if self.is_back() {
                self.enough = true;
                return Verdict::Enough;
            }
        }
        Verdict::GoOn
    }

    /// Lines that are settled and were not taken yet.
    pub(crate) fn take(&mut self) -> Vec<LineEvent> {
        std::mem::take(&mut self.events)
    }

    /// The answer ended; what is still open is settled.
    pub(crate) fn finish(&mut self) -> Vec<LineEvent> {
        if !self.enough && !self.closed && !self.partial.is_empty() {
            let line = std::mem::take(&mut self.partial);
            self.line(&line);
        }
        if self.enough {
            if let Some(diff) = self.diffs.last_mut() {
                diff.finish_keeping_rest();
            }
        } else if let Some(diff) = self.diffs.last_mut() {
            diff.finish();
        }
        self.collect();
        self.take()
    }

    /// Whether the generation was ended because the rest is known.
    pub(crate) fn is_enough(&self) -> bool {
        self.enough
    }

    /// The answer with the rest of the old lines; `text` is all that was generated.
    pub(crate) fn completed(&self, text: &str) -> String {
        // What followed the line that was enough is not needed.
        let unread = self.partial.len();
        let mut whole = text[..text.len().saturating_sub(unread)].to_owned();
        if let Some(diff) = self.diffs.last() {
            for line in diff.rest() {
                whole.push_str(line);
                whole.push('\n');
            }
        }
        whole
    }

    fn open(&mut self, part: usize) {
        if let Some((old, first_line)) = self.parts.get(part) {
            self.diffs.push(DiffStream::new(old.clone(), *first_line));
        }
    }

    fn line(&mut self, line: &str) {
        let trimmed = line.trim_start();
        if trimmed.starts_with(&self.fence) {
            self.closed = true;
            return;
        }
        if self.markers && is_marker(line) {
            let fresh = self.diffs.len() == 1 && self.diffs[0].is_untouched();
            if !fresh {
                if let Some(diff) = self.diffs.last_mut() {
                    diff.finish();
                }
                self.collect();
                self.open(self.diffs.len());
            }
            return;
        }
        if let Some(diff) = self.diffs.last_mut() {
            diff.push(line);
        }
        self.collect();
    }

    fn collect(&mut self) {
        let Some(n) = self.diffs.len().checked_sub(1) else { return };
        let dedent = self.dedents.get(n).cloned().unwrap_or_default();
        let put_back =
            |text: String| if text.is_empty() { text } else { format!("{dedent}{text}") };
        self.events.extend(self.diffs[n].take().map(|event| match event {
            LineEvent::Keep { line, text } => LineEvent::Keep { line, text: put_back(text) },
            LineEvent::Remove { line, text } => LineEvent::Remove { line, text: put_back(text) },
            LineEvent::Add { text } => LineEvent::Add { text: put_back(text) },
        }));
    }

    /// Whether the answer is back on the old text for good.
    fn is_back(&self) -> bool {
        let Some(diff) = self.diffs.last() else { return false };
        self.stop_after > 0
            && self.diffs.len() == self.parts.len()
            && diff.n_matched_after_change() >= self.stop_after
            && !diff.rest().is_empty()
            && !diff.rest().iter().any(|line| self.speaks_of(line))
    }

    /// Whether the instruction speaks of something in a line.
    fn speaks_of(&self, line: &str) -> bool {
        let said = |word: &str| {
            let lower = word.to_lowercase();
            self.said.contains(stem(&lower)) && !is_edit_word(&lower)
        };
        self.quoted.iter().any(|text| has_word(line, text)) || subwords(line).into_iter().any(said)
    }
}

/// Whether an instruction names one thing to do, so that it is seen when it is done.
fn is_clear(pieces: &[Piece]) -> bool {
    const STARTS: &[&str] = &[
        "bug",
        "correct",
        "support",
        "implement",
        "improv",
        "refactor",
        "optim",
        "modif",
        "handl",
        "issue",
        "simplif",
        "clean",
        "problem",
        "nest",
        "merg",
    ];
    const WORDS: &[&str] =
        &["fix", "every", "all", "each", "both", "everywhere", "swap", "wrap", "whole"];
    let joins = |p: &Piece| p.is(&["and", "then", "also", "too"]);
    let starts = |p: &Piece| STARTS.iter().any(|start| p.lower().starts_with(start));
    let vague = |p: &Piece| p.is(WORDS) || (p.shape == Shape::Word && starts(p));
    pieces.len() <= 40 && !pieces.iter().any(|p| joins(p) || vague(p))
}
