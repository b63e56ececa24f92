//! From a proposal to the file: checked against what the file holds now, journalled, written in one
//! step.

use super::diff;
use super::error::EditError;
use super::proposal::Proposal;
use super::receipt::{Receipt, receipt};
use super::scope::{Region, Scope};
use super::splice::{self, Change};
use crate::files::SourceFile;
use crate::journal::{Journal, JournalError, JournalWriter, Note};
use crate::lines::{LineIndex, LineSpan};
use crate::syntax::{Language, count_errors};
use similar::DiffOp;
use std::path::Path;

/// Applies a proposal.
///
/// The journal is that of the working directory's tree; a file of another tree goes to that one's.
///
/// A file that changed meanwhile, but not in the lines of the scope, takes the edit where those
/// lines are now. Otherwise nothing is written and the proposal is kept in the journal.
///
/// # Errors
/// `Conflict`, `Journal`, `File`.
pub fn apply(proposal: &Proposal, journal: &Journal) -> Result<Receipt, EditError> {
    let journal = journal.beside(&proposal.file.root);
    let writer = journal.lock()?;
    let now = match proposal.file.reread() {
        Ok(now) => now,
        // Gone, or no text any more: a conflict, unless it cannot be said better.
        Err(error) => {
            keep(&writer, proposal, &error.to_string())?;
            return Err(error.into());
        }
    };
    let same = now.text == proposal.file.text && now.bom == proposal.file.bom;
    let joined = if same {
        Some((proposal.scope.clone(), proposal.after.clone(), proposal.errors_after))
    } else {
        join(proposal, &now)
    };
    let Some((scope, after, errors_after)) = joined else {
        return Err(conflict(&writer, proposal));
    };
    let mut receipt = receipt(proposal, &now.text, &after, &scope, !same).ok_or_else(|| {
        let reason = "bytes outside the scope would have changed".to_owned();
        EditError::NoUsableEdit { reason, reply: String::new() }
    })?;
    receipt.parse_errors_after = errors_after;
    let note = |id| {
        receipt.undo = Some(id);
        Note {
            instruction: proposal.instruction.clone(),
            model: proposal.model.clone(),
            reason: String::new(),
            receipt: serde_json::to_value(&receipt).ok(),
        }
    };
    let (old, new) = (now.encode(&now.text), now.encode(&after));
    match writer.edit(note, &[(proposal.file.path.as_str(), &old, &new)]) {
        Ok(_) => {}
        // Changed once more, between the look above and the write.
        Err(JournalError::Changed { .. }) => return Err(conflict(&writer, proposal)),
        Err(JournalError::File(error)) => return Err(error.into()),
        Err(error) => return Err(error.into()),
    }
    Ok(receipt)
}

/// The receipt of a proposal as it stands, for showing without applying.
pub fn draft_receipt(proposal: &Proposal) -> Option<Receipt> {
    receipt(proposal, &proposal.file.text, &proposal.after, &proposal.scope, false)
}

fn conflict(writer: &JournalWriter<'_>, proposal: &Proposal) -> EditError {
    let kept = keep(writer, proposal, "the file changed while the edit was made");
    EditError::Conflict { path: proposal.file.path.clone(), kept: kept.ok() }
}

fn keep(
    writer: &JournalWriter<'_>,
    proposal: &Proposal,
    reason: &str,
) -> Result<crate::journal::EntryId, JournalError> {
    let note = Note {
        instruction: proposal.instruction.clone(),
        model: proposal.model.clone(),
        reason: reason.to_owned(),
        receipt: draft_receipt(proposal).and_then(|receipt| serde_json::to_value(receipt).ok()),
    };
    let file = &proposal.file;
    let (old, new) = (file.encode(&file.text), file.encode(&proposal.after));
    writer.keep(note, &[(file.path.as_str(), &old, &new)])
}

/// The edit made on a file that changed elsewhere: scope, text and parse errors after. `None` when
/// a line of the scope changed, when it cannot be told where the lines are now, or when the result
/// would parse worse.
fn join(proposal: &Proposal, now: &SourceFile) -> Option<(Scope, String, usize)> {
    if now.bom != proposal.file.bom {
        return None;
    }
    let (base, current) = (&proposal.file.text, &now.text);
    let (base_lines, now_lines) = (LineIndex::new(base), LineIndex::new(current));
    let moved = Moved::between(base, &base_lines, current, &now_lines);
    let mut regions = Vec::new();
    let mut changes = Vec::new();
    let mut rest = proposal.changes.iter().peekable();
    for region in &proposal.scope.regions {
        let lines = moved.place(region.lines)?;
        let (was, is) = (base_lines.bytes(region.lines), now_lines.bytes(lines));
        if base[was.clone()] != current[is.clone()] || !moved.is_the_one(region.lines, lines) {
            return None;
        }
        while let Some(change) = rest.next_if(|c| c.bytes.end <= was.end) {
            let start = change.bytes.start - was.start + is.start;
            changes
                .push(Change { bytes: start..start + change.bytes.len(), new: change.new.clone() });
        }
        regions.push(Region { lines, ..region.clone() });
    }
    let after = splice::apply(current, &changes);
    let language = Language::of(Path::new(&proposal.file.path));
    let errors = count_errors(language, &after);
    let scope = Scope { regions, source: proposal.scope.source };
    (errors <= count_errors(language, current)).then_some((scope, after, errors))
}

/// Where the lines of one text are in another.
struct Moved<'t> {
    old: Vec<&'t str>,
    new: Vec<&'t str>,
    ops: Vec<DiffOp>,
}

impl<'t> Moved<'t> {
    fn between(old: &'t str, a: &LineIndex, new: &'t str, b: &LineIndex) -> Self {
        let lines = |text: &'t str, index: &LineIndex| -> Vec<&'t str> {
            (1..=index.count()).map(|n| index.text(text, n)).collect()
        };
        let (old, new) = (lines(old, a), lines(new, b));
        let ops = diff::lines(&old, &new);
        Self { old, new, ops }
    }

    /// The span in the new text, if all of it lies in one run of lines that did not change.
    fn place(&self, span: LineSpan) -> Option<LineSpan> {
        self.ops.iter().find_map(|op| match *op {
            DiffOp::Equal { old_index, new_index, len }
                if old_index < span.start && span.end <= old_index + len =>
            {
                let start = span.start - old_index + new_index;
                Some(LineSpan::new(start, start + span.count() - 1))
            }
            _ => None,
        })
    }

    /// Whether the span is the same one of as many equal runs of lines in both texts: with a run
    /// more or less, the diff may have taken one for the other.
    fn is_the_one(&self, was: LineSpan, is: LineSpan) -> bool {
        let lines = &self.old[was.start - 1..was.end];
        let all = |text: &[&str]| -> Vec<usize> {
            let starts = text.windows(lines.len()).enumerate();
            starts.filter(|(_, run)| *run == lines).map(|(at, _)| at + 1).collect()
        };
        let (old, new) = (all(&self.old), all(&self.new));
        let nth = |starts: &[usize], at: usize| starts.iter().position(|&s| s == at);
        old.len() == new.len() && nth(&old, was.start) == nth(&new, is.start)
    }
}
