//! From records to the state of every edit: a fold over the log, pure.

use super::record::{EntryId, FileChange, Note, Op, Record};
use serde::Serialize;
use std::collections::HashMap;

/// How an edit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryState {
    /// Carried out.
    Applied,
    /// Carried out and taken back.
    Undone,
    /// Never carried out: refused, failed or cut off.
    NotApplied,
}

/// One edit of the journal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// Its number.
    pub id: EntryId,
    /// When it was made, in seconds since 1970, UTC.
    pub at: u64,
    /// How it stands.
    pub state: EntryState,
    /// What it changes.
    pub files: Vec<FileChange>,
    /// What is known about it.
    pub note: Note,
}

/// Whether each announced change happened; absent while nobody knows.
fn settlements(records: &[Record]) -> HashMap<EntryId, bool> {
    let settled = records.iter().filter_map(|record| match record.op {
        Op::Settled { of, applied } => Some((of, applied)),
        _ => None,
    });
    settled.collect()
}

/// The edits, oldest first. A change that is not settled counts as having happened: the file was
/// probably written, and taking it back checks the bytes anyway.
pub(super) fn replay(records: &[Record]) -> Vec<Entry> {
    let settled = settlements(records);
    let happened = |id| settled.get(&id).copied().unwrap_or(true);
    let mut entries: Vec<Entry> = Vec::new();
    for record in records {
        let (note, state) = match &record.op {
            Op::Edit { note } if happened(record.id) => (note, EntryState::Applied),
            Op::Edit { note } | Op::Kept { note } => (note, EntryState::NotApplied),
            Op::Undo { of } | Op::Redo { of } => {
                let undo = matches!(record.op, Op::Undo { .. });
                let entry = entries.iter_mut().rev().find(|entry| entry.id == *of);
                if let Some(entry) = entry.filter(|_| happened(record.id)) {
                    entry.state = if undo { EntryState::Undone } else { EntryState::Applied };
                }
                continue;
            }
            Op::Settled { .. } | Op::Ran { .. } | Op::Planned { .. } => continue,
        };
        entries.push(Entry {
            id: record.id,
            at: record.at,
            state,
            files: record.files.clone(),
            note: note.clone(),
        });
    }
    entries
}

/// The edit that a redo would bring back: the one undone last, if no edit came after it.
pub(super) fn redoable(records: &[Record]) -> Option<EntryId> {
    let settled = settlements(records);
    let mut undone: Vec<EntryId> = Vec::new();
    for record in records {
        if !settled.get(&record.id).copied().unwrap_or(true) {
            continue;
        }
        match record.op {
            Op::Edit { .. } => undone.clear(),
            Op::Undo { of } => undone.push(of),
            Op::Redo { of } => undone.retain(|&id| id != of),
            Op::Settled { .. } | Op::Kept { .. } | Op::Ran { .. } | Op::Planned { .. } => {}
        }
    }
    undone.pop()
}

/// Announced changes of which nobody knows whether they happened.
pub(super) fn unsettled(records: &[Record]) -> Vec<Record> {
    let settled = settlements(records);
    let open = |record: &&Record| record.op.announces() && !settled.contains_key(&record.id);
    records.iter().filter(open).cloned().collect()
}
