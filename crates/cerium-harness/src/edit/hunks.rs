//! The hunks of a proposal: what a person can take or leave one by one.
//!
//! A proposal is cut into *parts*, runs of whole lines that change with at least one unchanged line
//! between them; parts near each other are shown as one hunk, which can be split into its parts.

use super::diff;
use super::diff::LineEvent;
use super::proposal::Proposal;
use super::splice::{self, Change};
use crate::lines::LineIndex;
use crate::syntax::{Language, count_errors};
use serde::Serialize;
use similar::DiffOp;
use std::fmt;
use std::ops::Range;
use std::path::Path;

/// Unchanged lines shown on either side of a change.
const CONTEXT_LINES: usize = 3;

/// A run of lines that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Lines of the text before, counted from 0; empty where lines only come.
    pub(crate) lines: Range<usize>,
    /// What replaces them: whole lines.
    pub(crate) change: Change,
    /// The line, counted from 0, where it begins in the text after.
    pub(crate) line_after: usize,
}

/// Changes near each other, with the lines around them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hunk {
    /// First line shown, in the text before the edit, counted from 1.
    pub line_before: usize,
    /// First line shown, in the text after the whole edit.
    pub line_after: usize,
    /// The lines, those around the changes included.
    pub lines: Vec<LineEvent>,
    #[serde(skip)]
    parts: Vec<Part>,
}

impl Hunk {
    /// Whether [`Proposal::split`] makes several of it.
    pub fn can_split(&self) -> bool {
        self.parts.len() > 1
    }

    /// How many runs of lines it changes.
    pub fn n_parts(&self) -> usize {
        self.parts.len()
    }
}

/// As in a unified diff.
impl fmt::Display for Hunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n_before = self.lines.iter().filter(|l| !matches!(l, LineEvent::Add { .. })).count();
        let n_after = self.lines.iter().filter(|l| !matches!(l, LineEvent::Remove { .. })).count();
        // An empty side is named by the line before it.
        let start = |line: usize, n: usize| line - usize::from(n == 0);
        let (before, after) = (start(self.line_before, n_before), start(self.line_after, n_after));
        writeln!(f, "@@ -{before},{n_before} +{after},{n_after} @@")?;
        for line in &self.lines {
            match line {
                LineEvent::Keep { text, .. } => writeln!(f, " {text}")?,
                LineEvent::Remove { text, .. } => writeln!(f, "-{text}")?,
                LineEvent::Add { text } => writeln!(f, "+{text}")?,
            }
        }
        Ok(())
    }
}

impl Proposal {
    /// Its hunks, in order: all of them together are the edit.
    pub fn hunks(&self) -> Vec<Hunk> {
        let mut groups: Vec<Vec<Part>> = Vec::new();
        for part in self.parts() {
            let near = |group: &Vec<Part>| {
                let end = group.last().map_or(0, |last| last.lines.end);
                part.lines.start <= end + 2 * CONTEXT_LINES
            };
            match groups.last_mut() {
                Some(group) if near(group) => group.push(part),
                _ => groups.push(vec![part]),
            }
        }
        if groups.is_empty() && self.fate.is_whole() {
            // Something to take or leave, though no line changes.
            let line = LineEvent::Keep { line: 1, text: self.title() };
            return vec![Hunk {
                line_before: 1,
                line_after: 1,
                lines: vec![line],
                parts: Vec::new(),
            }];
        }
        groups.into_iter().map(|parts| self.hunk(parts)).collect()
    }

    /// A hunk's parts, each a hunk of its own.
    pub fn split(&self, hunk: &Hunk) -> Vec<Hunk> {
        hunk.parts.iter().map(|part| self.hunk(vec![part.clone()])).collect()
    }

    /// The proposal with these of its hunks alone; `None` when that leaves nothing of it.
    ///
    /// What is left need not parse: a person chose it. The receipt counts its errors.
    ///
    /// * `hunks`: of this proposal, whole or split, in any order
    pub fn take(&self, hunks: &[Hunk]) -> Option<Self> {
        if self.fate.is_whole() {
            return (!hunks.is_empty()).then(|| self.clone());
        }
        let all = self.parts();
        let taken = |part: &&Part| hunks.iter().any(|hunk| hunk.parts.contains(part));
        let changes: Vec<Change> =
            all.iter().filter(taken).map(|part| part.change.clone()).collect();
        if changes.is_empty() {
            return None;
        }
        let left_out = all.len() - changes.len();
        if left_out == 0 {
            return Some(self.clone());
        }
        let after = splice::apply(&self.file.text, &changes);
        let errors_after = count_errors(Language::of(Path::new(&self.file.path)), &after);
        let left_out = self.left_out + left_out;
        Some(Self { changes, after, errors_after, left_out, ..self.clone() })
    }

    /// The runs of lines that it changes.
    pub(crate) fn parts(&self) -> Vec<Part> {
        parts(&self.file.text, &self.changes)
    }

    fn hunk(&self, parts: Vec<Part>) -> Hunk {
        let text = &self.file.text;
        let index = LineIndex::new(text);
        let n_lines = if text.is_empty() { 0 } else { index.count() };
        let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
            return Hunk { line_before: 1, line_after: 1, lines: Vec::new(), parts };
        };
        let start = first.lines.start.saturating_sub(CONTEXT_LINES);
        let end = (last.lines.end + CONTEXT_LINES).min(n_lines);
        // Lines of another part may stand in between, which a split one shows as they were.
        let line_after = first.line_after.saturating_sub(first.lines.start - start) + 1;
        let text_of = |line: usize| index.text(text, line).to_owned();
        let keep = |line: usize| LineEvent::Keep { line: line + 1, text: text_of(line + 1) };
        let mut lines = Vec::new();
        let mut at = start;
        for part in &parts {
            lines.extend((at..part.lines.start).map(keep));
            let gone = part.lines.clone().map(|line| line + 1);
            lines.extend(gone.map(|line| LineEvent::Remove { line, text: text_of(line) }));
            let new = part.change.new.lines();
            lines.extend(new.map(|line| LineEvent::Add { text: line.to_owned() }));
            at = part.lines.end;
        }
        lines.extend((at..end).map(keep));
        Hunk { line_before: start + 1, line_after, lines, parts }
    }
}

/// Cuts changes into runs of whole lines.
fn parts(text: &str, changes: &[Change]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut grown = 0_i64;
    let mut line = 0;
    let mut at = 0;
    for block in whole_lines(text, changes) {
        line += text[at..block.bytes.start].matches('\n').count();
        at = block.bytes.start;
        let old: Vec<&str> = text[block.bytes.clone()].split_inclusive('\n').collect();
        let new: Vec<&str> = block.new.split_inclusive('\n').collect();
        let bytes = |lines: &[&str]| lines.iter().map(|l| l.len()).sum::<usize>();
        for op in diff::lines(&old, &new) {
            if matches!(op, DiffOp::Equal { .. }) {
                continue;
            }
            let (gone, come) = (op.old_range(), op.new_range());
            let start = block.bytes.start + bytes(&old[..gone.start]);
            let end = start + bytes(&old[gone.clone()]);
            let lines = line + gone.start..line + gone.end;
            let line_after = (lines.start as i64 + grown) as usize;
            grown += come.len() as i64 - gone.len() as i64;
            let change = Change { bytes: start..end, new: new[come].concat() };
            parts.push(Part { lines, change, line_after });
        }
    }
    parts
}

/// Changes widened to whole lines; those that share a line become one.
fn whole_lines(text: &str, changes: &[Change]) -> Vec<Change> {
    let line_start = |at: usize| text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line_end = |at: usize| text[at..].find('\n').map_or(text.len(), |newline| at + newline + 1);
    let starts_line = |at: usize| line_start(at) == at;
    let end = |change: &Change| {
        let Change { bytes, new } = change;
        let whole = new.ends_with('\n') || (new.is_empty() && starts_line(bytes.start));
        if whole && starts_line(bytes.end) { bytes.end } else { line_end(bytes.end) }
    };
    let mut blocks: Vec<(Range<usize>, Range<usize>)> = Vec::new();
    for (n, change) in changes.iter().enumerate() {
        let lines = line_start(change.bytes.start)..end(change);
        match blocks.last_mut() {
            Some((last, members)) if lines.start < last.end => {
                last.end = last.end.max(lines.end);
                members.end = n + 1;
            }
            _ => blocks.push((lines, n..n + 1)),
        }
    }
    let block = |(bytes, members): (Range<usize>, Range<usize>)| {
        let inside: Vec<Change> = changes[members]
            .iter()
            .map(|change| {
                let Range { start, end } = change.bytes;
                let here = start - bytes.start..end - bytes.start;
                Change { bytes: here, new: change.new.clone() }
            })
            .collect();
        let new = splice::apply(&text[bytes.clone()], &inside);
        Change { bytes, new }
    };
    blocks.into_iter().map(block).collect()
}
