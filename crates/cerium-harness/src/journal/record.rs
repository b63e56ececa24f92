//! What one record of the journal says.

use crate::run::Ran;
use serde::{Deserialize, Serialize};

/// Number of an edit, counted up per tree.
pub type EntryId = u64;

/// What people want to know of an edit later.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Note {
    /// What was asked for.
    pub instruction: String,
    /// Model that wrote it; empty when no model was needed.
    pub model: String,
    /// Why it was not applied, for edits that are only kept.
    pub reason: String,
    /// The receipts, as given to the caller: one for each file.
    pub receipts: Vec<serde_json::Value>,
}

/// One file's change, by the hashes of its bytes. A file that is renamed is two changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// Path relative to the root of the tree, with `/`.
    pub path: String,
    /// SHA-256 of the bytes before; absent when there was no file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// SHA-256 of the bytes after; absent when there is no file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Permissions of a file that comes or goes, where they are not those of any new file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
}

/// What a transaction does to one file.
#[derive(Clone, Copy, Debug)]
pub struct Write<'w> {
    /// Path relative to the root of the tree.
    pub path: &'w str,
    /// The bytes it must hold; absent when there must be nothing.
    pub before: Option<&'w [u8]>,
    /// The bytes it is to hold; absent when it is to go.
    pub after: Option<&'w [u8]>,
    /// As in [`FileChange`].
    pub mode: Option<u32>,
}

impl FileChange {
    /// The hashes of its texts.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        [&self.before, &self.after].into_iter().flatten().map(String::as_str)
    }

    pub(super) fn reversed(&self) -> Self {
        let (before, after) = (self.after.clone(), self.before.clone());
        Self { before, after, ..self.clone() }
    }
}

/// What a record is about. `Edit`, `Undo` and `Redo` announce a change of files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(super) enum Op {
    /// An edit is about to be carried out.
    Edit { note: Note },
    /// An edit is about to be taken back.
    Undo { of: EntryId },
    /// An undone edit is about to be carried out again.
    Redo { of: EntryId },
    /// The change announced by record `of` happened, or did not.
    Settled { of: EntryId, applied: bool },
    /// An edit that could not be carried out.
    Kept { note: Note },
    /// A command was run.
    Ran { ran: Ran },
    /// A plan was written or revised.
    Planned { what: String },
}

impl Op {
    /// Whether it is something that happened, and not what became of it.
    pub(super) fn is_deed(&self) -> bool {
        matches!(
            self,
            Self::Edit { .. } | Self::Kept { .. } | Self::Ran { .. } | Self::Planned { .. }
        )
    }

    /// Whether it announces a change of files, to be settled.
    pub(super) fn announces(&self) -> bool {
        matches!(self, Self::Edit { .. } | Self::Undo { .. } | Self::Redo { .. })
    }
}

/// One file of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) id: EntryId,
    /// Seconds since 1970, UTC.
    pub(super) at: u64,
    #[serde(flatten)]
    pub(super) op: Op,
    #[serde(default)]
    pub(super) files: Vec<FileChange>,
}
