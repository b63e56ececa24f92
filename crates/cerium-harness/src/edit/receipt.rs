//! What can be proven of an edit afterwards.

use super::candidates::Chosen;
use super::fate::Fate;
use super::proposal::{Proposal, Route};
use super::scope::Scope;
use super::splice::{Change, outside};
use crate::files::{SourceFile, hash};
use crate::journal::EntryId;
use crate::lines::LineIndex;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// A run of bytes that no region of the scope covers: the same before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Untouched {
    /// Where it starts in the text before, in bytes.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// SHA-256 of its bytes, taken from the text after.
    pub sha256: String,
}

/// The record of one edit of one file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// Number by which the edit can be undone; absent while it is not applied.
    pub undo: Option<EntryId>,
    /// The file, relative to the root of its tree.
    pub file: String,
    /// What becomes of it.
    #[serde(default, skip_serializing_if = "Fate::is_change")]
    pub fate: Fate,
    /// How the edit came about.
    pub route: Route,
    /// Model that wrote it; empty on the direct route.
    pub model: String,
    /// Which of several answers it is, if several were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<Chosen>,
    /// SHA-256 of the file's bytes before.
    pub sha256_before: String,
    /// SHA-256 of the file's bytes after.
    pub sha256_after: String,
    /// The lines that could change.
    pub scope: Scope,
    /// Everything else: first what stands before the scope, last what stands after it.
    pub untouched: Vec<Untouched>,
    /// Places the grammar cannot read, before.
    pub parse_errors_before: usize,
    /// And after.
    pub parse_errors_after: usize,
    /// Runs of changed lines that the person did not take.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: usize,
    /// Whether the edit was merged with changes that others made to the file meanwhile.
    pub merged: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// A proposal in a text: the one it was made on, or what the file holds by now.
pub(super) struct Placed {
    /// That text.
    pub(super) file: SourceFile,
    /// In its bytes.
    pub(super) changes: Vec<Change>,
    pub(super) after: String,
    pub(super) scope: Scope,
    pub(super) errors_before: usize,
    pub(super) errors_after: usize,
    /// Whether that text is not the one that the proposal was made on.
    pub(super) merged: bool,
}

impl Placed {
    /// As it was made.
    pub(super) fn as_made(proposal: &Proposal) -> Self {
        Self {
            file: proposal.file.clone(),
            changes: proposal.changes.clone(),
            after: proposal.after.clone(),
            scope: proposal.scope.clone(),
            errors_before: proposal.errors_before,
            errors_after: proposal.errors_after,
            merged: false,
        }
    }
}

/// The receipt of a proposal in its place; `None` if any byte outside the scope differs, which would
/// be our mistake and must stop the edit.
pub(super) fn receipt(proposal: &Proposal, placed: &Placed) -> Option<Receipt> {
    let Placed { file, changes, after, scope, .. } = placed;
    let before = &file.text;
    let index = LineIndex::new(before);
    let regions: Vec<Range<usize>> = scope.regions.iter().map(|r| index.bytes(r.lines)).collect();
    let mut untouched = Vec::new();
    let mut shift = 0_i64;
    let mut changes = changes.iter().peekable();
    let mut growth = regions.iter().map(|region| {
        let mut grown = 0_i64;
        while let Some(change) = changes.next_if(|c| c.bytes.end <= region.end) {
            grown += change.new.len() as i64 - change.bytes.len() as i64;
        }
        grown
    });
    for stretch in outside(before.len(), &regions) {
        let start = usize::try_from(stretch.start as i64 + shift).ok()?;
        let now = after.get(start..start + stretch.len())?;
        if now != before.get(stretch.clone())? {
            return None;
        }
        let Range { start, end } = stretch;
        untouched.push(Untouched { start, end, sha256: hash(now.as_bytes()) });
        shift += growth.next().unwrap_or(0);
    }
    (before.len() as i64 + shift == after.len() as i64).then(|| Receipt {
        undo: None,
        file: proposal.file.path.clone(),
        fate: proposal.fate.clone(),
        route: proposal.route,
        model: proposal.model.clone(),
        chosen: proposal.chosen,
        sha256_before: hash(&file.encode(before)),
        sha256_after: hash(&file.encode(after)),
        scope: scope.clone(),
        untouched,
        parse_errors_before: placed.errors_before,
        parse_errors_after: placed.errors_after,
        left_out: proposal.left_out,
        merged: placed.merged,
    })
}
