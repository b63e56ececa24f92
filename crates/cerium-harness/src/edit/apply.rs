//! From proposals to files: checked against what the files hold now, merged where that is something
//! else, journalled, and written all or none.

use super::error::EditError;
use super::fate::Fate;
use super::merge::{Clash, merge};
use super::proposal::Proposal;
use super::receipt::{Placed, Receipt, receipt};
use crate::files::{FileError, SourceFile, mode};
use crate::journal::{EntryId, Journal, JournalError, JournalWriter, Note, Write};
use crate::syntax::{Language, count_errors};
use crate::workspace::Workspace;
use std::path::Path;

/// Applies one proposal: see [`apply_all`].
///
/// # Errors
/// As for `apply_all`.
pub fn apply(proposal: &Proposal, journal: &Journal) -> Result<Receipt, EditError> {
    let receipt = apply_all(std::slice::from_ref(proposal), journal)?.pop();
    receipt.ok_or_else(|| our_mistake("no receipt was made"))
}

/// Applies the proposals of one edit as one step: all of their files are written or none, also if
/// the process is killed on the way, and one undo takes all of them back.
///
/// The journal is that of the working directory's tree; files of another tree go to that one's.
/// A file that changed meanwhile is merged with; where that is not certain nothing is written, and
/// the proposals are kept in the journal.
///
/// * `proposals`: of different files of one tree
///
/// # Errors
/// `Conflict`, `SeveralTrees`, `Journal`, `File`.
pub fn apply_all(proposals: &[Proposal], journal: &Journal) -> Result<Vec<Receipt>, EditError> {
    let Some(first) = proposals.first() else { return Ok(Vec::new()) };
    if let Some(other) = proposals.iter().find(|other| other.file.root != first.file.root) {
        let paths = [first, other].map(|proposal| proposal.file.real.clone());
        return Err(EditError::SeveralTrees { paths });
    }
    let journal = journal.beside(&first.file.root);
    let writer = journal.lock()?;
    let mut receipts = Vec::new();
    let mut writes = Vec::new();
    let (mut changed, mut clashes) = (Vec::new(), Vec::new());
    for proposal in proposals {
        let now = match current(proposal) {
            Ok(now) => now,
            // Gone, or no text any more: a conflict, unless it cannot be said better.
            Err(error) => {
                keep(&writer, proposals, &error.to_string())?;
                return Err(error.into());
            }
        };
        match place(proposal, &now) {
            Ok(placed) => {
                let made = receipt(proposal, &placed);
                receipts.push(
                    made.ok_or_else(|| our_mistake("bytes outside the scope would have changed"))?,
                );
                let (old, new) = (now.encode(&now.text), now.encode(&placed.after));
                writes.push((proposal, old, new));
            }
            Err(more) => {
                changed.push(proposal.file.path.clone());
                clashes.extend(more);
            }
        }
    }
    if !changed.is_empty() {
        return Err(conflict(&writer, proposals, changed, clashes));
    }
    let note = |id| {
        for receipt in &mut receipts {
            receipt.undo = Some(id);
        }
        note(proposals, String::new(), &receipts)
    };
    let files: Vec<Write<'_>> =
        writes.iter().flat_map(|(proposal, old, new)| changes(proposal, old, new)).collect();
    match writer.edit(note, &files) {
        Ok(_) => Ok(receipts),
        // Changed once more, between the look above and the write.
        Err(JournalError::Changed { path, .. }) => {
            Err(conflict(&writer, proposals, vec![path], Vec::new()))
        }
        Err(JournalError::File(error)) => Err(error.into()),
        Err(error) => Err(error.into()),
    }
}

/// The file as it is now.
fn current(proposal: &Proposal) -> Result<SourceFile, FileError> {
    if proposal.fate != Fate::Make {
        return proposal.file.reread();
    }
    Workspace::at(&proposal.file.root).resolve_new(Path::new(&proposal.file.path))?;
    Ok(proposal.file.clone())
}

/// What a proposal does to files.
///
/// * `old`, `new`: the bytes of its file, before and after
fn changes<'c>(proposal: &'c Proposal, old: &'c [u8], new: &'c [u8]) -> Vec<Write<'c>> {
    let SourceFile { path, real, .. } = &proposal.file;
    let write = |path, before, after, mode| Write { path, before, after, mode };
    match &proposal.fate {
        Fate::Change => vec![write(path, Some(old), Some(new), None)],
        Fate::Make => vec![write(path, None, Some(new), None)],
        Fate::Delete => vec![write(path, Some(old), None, mode(real))],
        Fate::Rename(to) => {
            vec![write(to, None, Some(new), mode(real)), write(path, Some(old), None, mode(real))]
        }
    }
}

/// The receipt of a proposal as it stands, for showing without applying.
pub fn draft_receipt(proposal: &Proposal) -> Option<Receipt> {
    receipt(proposal, &Placed::as_made(proposal))
}

/// The proposal in the file as it is now, or what stands against it.
fn place(proposal: &Proposal, now: &SourceFile) -> Result<Placed, Vec<Clash>> {
    if now.text == proposal.file.text {
        return Ok(Placed::as_made(proposal));
    }
    if proposal.fate == Fate::Delete {
        // Somebody still works on it.
        return Err(Vec::new());
    }
    let merged = merge(proposal, &now.text)?;
    let language = Language::of(Path::new(&proposal.file.path));
    let errors = |text: &str| count_errors(language, text);
    let (errors_before, errors_after) = (errors(&now.text), errors(&merged.after));
    // Both parse, and together they do not: somebody has to look.
    let added = proposal.errors_after.saturating_sub(proposal.errors_before);
    if errors_after > errors_before + added {
        return Err(Vec::new());
    }
    Ok(Placed {
        file: now.clone(),
        changes: merged.changes,
        after: merged.after,
        scope: merged.scope,
        errors_before,
        errors_after,
        merged: true,
    })
}

fn conflict(
    writer: &JournalWriter<'_>,
    proposals: &[Proposal],
    paths: Vec<String>,
    clashes: Vec<Clash>,
) -> EditError {
    let kept = keep(writer, proposals, "the file changed while the edit was made");
    EditError::Conflict { paths, clashes, kept: kept.ok() }
}

fn keep(
    writer: &JournalWriter<'_>,
    proposals: &[Proposal],
    reason: &str,
) -> Result<EntryId, JournalError> {
    let receipts: Vec<Receipt> = proposals.iter().filter_map(draft_receipt).collect();
    let bytes = |proposal: &Proposal| {
        let file = &proposal.file;
        (file.encode(&file.text), file.encode(&proposal.after))
    };
    let texts: Vec<(Vec<u8>, Vec<u8>)> = proposals.iter().map(bytes).collect();
    let files: Vec<Write<'_>> = proposals
        .iter()
        .zip(&texts)
        .flat_map(|(proposal, (old, new))| changes(proposal, old, new))
        .collect();
    writer.keep(note(proposals, reason.to_owned(), &receipts), &files)
}

/// What the journal says of an edit.
fn note(proposals: &[Proposal], reason: String, receipts: &[Receipt]) -> Note {
    let model = proposals.iter().map(|p| &p.model).find(|model| !model.is_empty());
    Note {
        instruction: proposals.first().map(|p| p.instruction.clone()).unwrap_or_default(),
        model: model.cloned().unwrap_or_default(),
        reason,
        receipts: receipts.iter().filter_map(|r| serde_json::to_value(r).ok()).collect(),
    }
}

/// Our own mistake, noticed before anything was written.
fn our_mistake(reason: &str) -> EditError {
    EditError::NoUsableEdit { reason: reason.to_owned(), reply: String::new() }
}
