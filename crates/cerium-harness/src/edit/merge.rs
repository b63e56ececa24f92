//! Three-way merge: an edit made on an older text goes into the text that is there now.
//!
//! A part of the edit goes in where its lines, and one on either side, stand as the model saw them,
//! and only if it is certain which lines those are. What somebody made just so meanwhile is left
//! alone. Anything else is a clash, and one clash keeps the whole edit out.

use super::diff;
use super::hunks::Part;
use super::proposal::Proposal;
use super::scope::{Region, Scope};
use super::splice::{self, Change};
use crate::lines::{LineIndex, LineSpan};
use serde::Serialize;
use similar::DiffOp;
use std::fmt;
use std::ops::Range;

/// Lines on either side by which a place is told from others that read the same.
const TELLING_LINES: usize = 3;

/// A place of which the edit and somebody else made different things.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Clash {
    /// The file, relative to the root of its tree.
    pub path: String,
    /// Line of the file as it is now, counted from 1.
    pub line: usize,
    /// What stands there now. The same as `before` when several places read so.
    pub now: String,
    /// What stood there when the edit was made.
    pub before: String,
    /// What the edit would put there.
    pub edit: String,
}

/// As a merge tool marks it.
impl fmt::Display for Clash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |text: &str| if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        writeln!(f, "{}:{}", self.path, self.line)?;
        writeln!(f, "<<<<<<< now\n{}{}||||||| before", self.now, end(&self.now))?;
        writeln!(f, "{}{}=======", self.before, end(&self.before))?;
        writeln!(f, "{}{}>>>>>>> edit", self.edit, end(&self.edit))
    }
}

/// An edit in its place in another text.
#[derive(Debug)]
pub(super) struct Merged {
    /// In bytes of that text.
    pub(super) changes: Vec<Change>,
    pub(super) after: String,
    pub(super) scope: Scope,
}

/// Places a proposal in the text that its file holds now.
///
/// # Errors
/// Every part that has no place.
pub(super) fn merge(proposal: &Proposal, now: &str) -> Result<Merged, Vec<Clash>> {
    let moved = Moved::between(&proposal.file.text, now);
    let starts = offsets(&moved.new);
    let (mut changes, mut clashes, mut regions) = (Vec::new(), Vec::new(), Vec::new());
    let index = LineIndex::new(now);
    for part in proposal.parts() {
        let between = moved.between_neighbours(&part.lines);
        let here = moved.new[between.clone()].concat();
        match moved.place(&part.lines) {
            Some(lines) => {
                let bytes = starts[lines.start]..starts[lines.end];
                let lines = LineSpan::new(lines.start + 1, lines.end.max(lines.start + 1));
                let last = index.count();
                let lines = LineSpan::new(lines.start.min(last), lines.end.min(last));
                regions.push(Region {
                    lines,
                    declaration: declaration(proposal, &part),
                    n_fixed: 0,
                });
                changes.push(Change { bytes, new: part.change.new });
            }
            None if here == part.change.new => {}
            None => clashes.push(Clash {
                path: proposal.file.path.clone(),
                line: between.start + 1,
                now: here,
                before: moved.old[part.lines].concat(),
                edit: part.change.new,
            }),
        }
    }
    if !clashes.is_empty() {
        return Err(clashes);
    }
    let after = splice::apply(now, &changes);
    Ok(Merged { changes, after, scope: Scope { regions, source: proposal.scope.source } })
}

/// Path of the declaration that a part is in.
fn declaration(proposal: &Proposal, part: &Part) -> Option<String> {
    let line = LineSpan::line(part.lines.start + 1);
    let around = proposal.scope.regions.iter().rfind(|region| region.lines.start <= line.start);
    around.and_then(|region| region.declaration.clone())
}

/// Where each line starts in its text, and where the last one ends.
fn offsets(lines: &[&str]) -> Vec<usize> {
    let mut at = 0;
    let ends = lines.iter().map(|line| {
        at += line.len();
        at
    });
    std::iter::once(0).chain(ends).collect()
}

/// Where the lines of one text are in another. Lines are counted from 0 and own their endings.
struct Moved<'t> {
    old: Vec<&'t str>,
    new: Vec<&'t str>,
    ops: Vec<DiffOp>,
}

impl<'t> Moved<'t> {
    fn between(old: &'t str, new: &'t str) -> Self {
        let lines = |text: &'t str| -> Vec<&'t str> { text.split_inclusive('\n').collect() };
        let (old, new) = (lines(old), lines(new));
        let ops = diff::lines(&old, &new);
        Self { old, new, ops }
    }

    /// The same lines in the new text, if they and their neighbours did not change and cannot be
    /// taken for others.
    fn place(&self, lines: &Range<usize>) -> Option<Range<usize>> {
        let neighbours = lines.start.saturating_sub(1)..(lines.end + 1).min(self.old.len());
        self.ops.iter().find_map(|op| {
            let DiffOp::Equal { old_index, new_index, len } = *op else { return None };
            let (run, run_end) = (old_index, old_index + len);
            // Both ends of a text are neighbours too.
            let at_start = lines.start > 0 || new_index == 0;
            let at_end = lines.end < self.old.len() || new_index + len == self.new.len();
            if run > neighbours.start || neighbours.end > run_end || !at_start || !at_end {
                return None;
            }
            let here = |line: usize| line - old_index + new_index;
            let telling = lines.start.saturating_sub(TELLING_LINES).max(run)
                ..(lines.end + TELLING_LINES).min(run_end);
            let certain = self.is_the_one(&telling, here(telling.start));
            certain.then(|| here(lines.start)..here(lines.end))
        })
    }

    /// Whether a run of lines is the same one of as many equal runs in both texts: with a run more
    /// or less, the diff may have taken one for the other.
    fn is_the_one(&self, was: &Range<usize>, is: usize) -> bool {
        let lines = &self.old[was.clone()];
        let all = |text: &[&str]| -> Vec<usize> {
            let starts = text.windows(lines.len().max(1)).enumerate();
            starts.filter(|(_, run)| *run == lines).map(|(at, _)| at).collect()
        };
        let (old, new) = (all(&self.old), all(&self.new));
        let nth = |starts: &[usize], at: usize| starts.iter().position(|&start| start == at);
        old.len() == new.len() && nth(&old, was.start) == nth(&new, is)
    }

    /// What stands now between the nearest lines on either side that did not change.
    fn between_neighbours(&self, lines: &Range<usize>) -> Range<usize> {
        let (mut start, mut end) = (0, self.new.len());
        for op in &self.ops {
            let DiffOp::Equal { old_index, new_index, len } = *op else { continue };
            if old_index < lines.start {
                start = new_index + len.min(lines.start - old_index);
            }
            if old_index + len > lines.end {
                end = new_index + lines.end.saturating_sub(old_index);
                break;
            }
        }
        start..end.max(start)
    }
}
