//! The journal of one tree: what was changed, when, and how to take it back; and, between the edits,
//! which commands were run and which plans made.
//!
//! It lives in the state directory, never in the tree. Records are files, each written once and in
//! one step, so a crash at any moment leaves a journal that can be read. A change of files is
//! journalled *before* it happens (its old and new bytes first, then the intent), and settled
//! after; an intent without a settlement is looked into the next time the journal is opened, by
//! comparing the files with the bytes they should have. Texts are stored by their hash, so the
//! after of one edit and the before of the next are one file.
//!
//! Invariant: nothing here changes a file whose bytes are not exactly those the journal expects.

mod ledger;
mod record;
mod replay;
mod store;

pub use ledger::{Deed, tail};
pub use record::{EntryId, FileChange, Note, Write};
pub use replay::{Entry, EntryState};

use crate::edit::diff;
use crate::files::{FileError, PREFIX, Staged, hash, remove, remove_empty_dirs, write_atomic};
use crate::run::Ran;
use crate::workspace::{StateHome, Workspace, WorkspaceError};
use record::{Op, Record};
use std::path::{Path, PathBuf};
use store::{Lock, Store};

/// Edits, commands and plans kept; older ones are forgotten, with the texts only they need.
pub const DEEDS_MAX: usize = 500;

/// Bytes of stored texts kept at most; the newest edit stays whatever its size.
pub const BLOB_BYTES_MAX: u64 = 256 << 20;

/// Why the journal could not do something. No file of the tree was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The journal cannot be read or written.
    #[error("cannot {what} the edit journal at `{path}`")]
    Io {
        /// `read`, `write`, `lock`.
        what: &'static str,
        /// File or directory of the journal.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process holds the journal for longer than it should.
    #[error("another process is changing files of this tree (it holds `{path}`)")]
    Busy {
        /// The lock file.
        path: PathBuf,
    },
    /// Nothing to take back.
    #[error("there is no edit to undo in this tree")]
    NothingToUndo,
    /// Nothing to bring back.
    #[error("there is no undone edit to redo in this tree")]
    NothingToRedo,
    /// No such edit, or not in a state for this.
    #[error("edit {id} {problem}")]
    NotPossible {
        /// The edit.
        id: EntryId,
        /// Why not.
        problem: &'static str,
    },
    /// A file is not as the edit left it.
    #[error("`{path}` is not as edit {id} left it; nothing was changed")]
    Changed {
        /// The edit.
        id: EntryId,
        /// The file, relative to the root of the tree.
        path: String,
        /// Where the journal keeps the text that was to be restored.
        kept: PathBuf,
    },
    /// A stored text is damaged or gone.
    #[error("the journal's text `{path}` is missing or damaged")]
    Damaged {
        /// Its file.
        path: PathBuf,
    },
    /// A path of the journal leads out of the tree now.
    #[error(transparent)]
    Place(#[from] WorkspaceError),
    /// Writing a file of the tree failed.
    #[error(transparent)]
    File(#[from] FileError),
}

impl JournalError {
    /// What would help, in a sentence.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Changed { kept, path, .. } => Some(format!(
                "undo what came later in it first (`cerium undo EDIT` takes any edit of `cerium \
                 log`), or compare and copy by hand: diff {path} {}",
                kept.display()
            )),
            Self::Busy { .. } => Some("wait for it to finish and try again".to_owned()),
            Self::File(error) => error.hint(),
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Some("the disk is full; free some space and try again".to_owned())
            }
            _ => None,
        }
    }
}

/// The journal of one tree, open for reading. Changing anything takes the lock first.
#[derive(Debug)]
pub struct Journal {
    home: StateHome,
    root: PathBuf,
    store: Store,
}

impl Journal {
    /// Names the journal of a tree; nothing is created before the first edit.
    ///
    /// * `root`: canonical root of the tree
    pub fn of(home: &StateHome, root: &Path) -> Self {
        let store = Store::at(home.tree(root).join("journal"));
        Self { home: home.clone(), root: root.to_owned(), store }
    }

    /// The journal of another tree in the same state directory; of this one if it is this one's.
    #[must_use]
    pub fn beside(&self, root: &Path) -> Self {
        Self::of(&self.home, root)
    }

    /// Edits, oldest first. Records that cannot be read are left out.
    ///
    /// # Errors
    /// `Io` when there is a journal that cannot be read.
    pub fn log(&self) -> Result<Vec<Entry>, JournalError> {
        Ok(replay::replay(&self.store.records()?))
    }

    /// All that happened in the tree, edits and other things, oldest first.
    ///
    /// # Errors
    /// `Io` when there is a journal that cannot be read.
    pub fn deeds(&self) -> Result<Vec<Deed>, JournalError> {
        Ok(ledger::deeds(&self.store.records()?))
    }

    /// Notes that a command was run.
    ///
    /// # Errors
    /// As for [`lock`](Self::lock).
    pub fn note_run(&self, ran: &Ran) -> Result<EntryId, JournalError> {
        self.lock()?.note(Op::Ran { ran: ran.clone() })
    }

    /// Notes that a plan was written or revised.
    ///
    /// # Errors
    /// As for [`lock`](Self::lock).
    pub fn note_plan(&self, what: &str) -> Result<EntryId, JournalError> {
        self.lock()?.note(Op::Planned { what: what.to_owned() })
    }

    /// Takes the lock and settles what a crash left open.
    ///
    /// # Errors
    /// `Busy` after ten seconds, `Io`.
    pub fn lock(&self) -> Result<JournalWriter<'_>, JournalError> {
        let lock = self.store.lock()?;
        let writer = JournalWriter { journal: self, _lock: lock };
        writer.recover()?;
        Ok(writer)
    }

    /// Settles what a process left open that was killed in the middle of a change, so that files
    /// hold the whole change or nothing of it. To be called before files are read; costs one small
    /// read when there is nothing to do.
    ///
    /// # Errors
    /// As for [`lock`](Self::lock), and `File` when a file cannot be put back.
    pub fn recover(&self) -> Result<(), JournalError> {
        if self.store.is_settled()? { Ok(()) } else { self.lock().map(drop) }
    }

    /// Takes back an edit: the given one, or the last one applied.
    ///
    /// # Errors
    /// `NothingToUndo`, `NotPossible`, `Changed` when a file is not as the edit left it.
    pub fn undo(&self, id: Option<EntryId>) -> Result<Entry, JournalError> {
        let writer = self.lock()?;
        let log = self.log()?;
        let entry = match id {
            None => log.iter().rev().find(|e| e.state == EntryState::Applied),
            Some(id) => log.iter().find(|e| e.id == id),
        };
        let entry = match (entry, id) {
            (Some(entry), _) => entry.clone(),
            (None, None) => return Err(JournalError::NothingToUndo),
            (None, Some(id)) => {
                return Err(JournalError::NotPossible { id, problem: "is not in the journal" });
            }
        };
        if entry.state != EntryState::Applied {
            return Err(JournalError::NotPossible { id: entry.id, problem: "is not applied" });
        }
        let back: Vec<_> = entry.files.iter().map(FileChange::reversed).collect();
        writer.perform(entry.id, Op::Undo { of: entry.id }, &back)?;
        Ok(Entry { state: EntryState::Undone, ..entry })
    }

    /// Applies again the edit undone last, unless another edit was made since.
    ///
    /// # Errors
    /// `NothingToRedo`, `Changed`.
    pub fn redo(&self) -> Result<Entry, JournalError> {
        let writer = self.lock()?;
        let id = replay::redoable(&self.store.records()?).ok_or(JournalError::NothingToRedo)?;
        let log = self.log()?;
        let entry = log.iter().find(|e| e.id == id).ok_or(JournalError::NothingToRedo)?.clone();
        writer.perform(entry.id, Op::Redo { of: entry.id }, &entry.files)?;
        Ok(Entry { state: EntryState::Applied, ..entry })
    }

    /// What an edit changes, as a unified diff for each of its files.
    ///
    /// # Errors
    /// `Damaged` when a text is gone.
    pub fn diffs(&self, entry: &Entry) -> Result<Vec<String>, JournalError> {
        let text = |hash: &Option<String>| {
            let bytes = hash.as_ref().map(|hash| self.store.blob(hash)).transpose()?;
            let text = bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            Ok::<_, JournalError>(text)
        };
        let diff = |file: &FileChange| {
            let (before, after) = (text(&file.before)?, text(&file.after)?);
            Ok(diff::of_file(&file.path, before.as_deref(), after.as_deref()))
        };
        entry.files.iter().map(diff).collect()
    }

    /// Path of a stored text, for people who want to look at it.
    pub fn text_path(&self, hash: &str) -> PathBuf {
        self.store.blob_path(hash)
    }
}

/// The journal with its lock held.
#[derive(Debug)]
pub struct JournalWriter<'j> {
    journal: &'j Journal,
    _lock: Lock,
}

impl JournalWriter<'_> {
    /// Journals an edit and carries it out, for all of the files or none.
    ///
    /// * `note`: made with the number that the edit gets
    ///
    /// # Errors
    /// `Changed` when a file does not hold the bytes before, `Io`, `File`.
    pub fn edit(
        &self,
        note: impl FnOnce(EntryId) -> Note,
        files: &[Write<'_>],
    ) -> Result<EntryId, JournalError> {
        let changes = self.keep_texts(files)?;
        self.journal.store.prune(DEEDS_MAX, BLOB_BYTES_MAX)?;
        let id = self.journal.store.next_id()?;
        self.perform(id, Op::Edit { note: note(id) }, &changes)?;
        Ok(id)
    }

    /// Journals an edit that could not be carried out, so that it can be looked at.
    ///
    /// # Errors
    /// `Io`.
    pub fn keep(&self, note: Note, files: &[Write<'_>]) -> Result<EntryId, JournalError> {
        let changes = self.keep_texts(files)?;
        let id = self.journal.store.next_id()?;
        self.journal.store.append(id, Op::Kept { note }, changes)?;
        Ok(id)
    }

    fn note(&self, op: Op) -> Result<EntryId, JournalError> {
        let store = &self.journal.store;
        store.prune(DEEDS_MAX, BLOB_BYTES_MAX)?;
        let id = store.next_id()?;
        store.append(id, op, Vec::new())?;
        Ok(id)
    }

    fn keep_texts(&self, files: &[Write<'_>]) -> Result<Vec<FileChange>, JournalError> {
        let text = |bytes: Option<&[u8]>| {
            bytes.map(|bytes| self.journal.store.put_blob(bytes)).transpose()
        };
        let keep = |&Write { path, before, after, mode }: &Write<'_>| {
            let (before, after) = (text(before)?, text(after)?);
            Ok(FileChange { path: path.to_owned(), before, after, mode })
        };
        files.iter().map(keep).collect()
    }

    /// Checks every file, journals the intent, puts all new bytes on disk, swaps them in, settles.
    fn perform(&self, id: EntryId, op: Op, files: &[FileChange]) -> Result<(), JournalError> {
        let store = &self.journal.store;
        let mut writes = Vec::new();
        for change in files {
            self.check(id, change)?;
            let after = change.after.as_ref().map(|hash| store.blob(hash)).transpose()?;
            writes.push((change, self.place(&change.path)?, after));
        }
        let intent = match op {
            Op::Edit { .. } => id,
            _ => store.next_id()?,
        };
        store.append(intent, op, files.to_vec())?;
        let prefix = temporary(intent);
        let swap = || {
            let mut staged = Vec::new();
            for (change, path, after) in &writes {
                let Some(bytes) = after else { continue };
                let new = match change.before {
                    Some(_) => Staged::beside(path, &prefix, bytes)?,
                    None => Staged::new_at(path, &prefix, bytes, change.mode)?,
                };
                staged.push((*change, new));
            }
            for (change, new) in staged {
                // Once more: that took a while.
                self.check(id, change)?;
                new.commit()?;
            }
            // Last, so that at every moment the bytes of a renamed file are in the tree.
            for (change, path, _) in writes.iter().filter(|(_, _, after)| after.is_none()) {
                self.check(id, change)?;
                remove(path, &self.journal.root)?;
            }
            Ok(())
        };
        if let Err(error) = swap() {
            self.put_back(files)?;
            self.sweep(intent, files);
            store.settle(intent, false)?;
            return Err(error);
        }
        // The files are written: a settlement that cannot be written is made up for by `recover`.
        let _ = store.settle(intent, true);
        Ok(())
    }

    /// The file holds what the change starts from.
    fn check(&self, id: EntryId, change: &FileChange) -> Result<(), JournalError> {
        if self.holds(&change.path, change.before.as_ref()) {
            return Ok(());
        }
        let text = change.after.as_ref().or(change.before.as_ref());
        let kept = self.journal.store.blob_path(text.map_or("", String::as_str));
        Err(JournalError::Changed { id, path: change.path.clone(), kept })
    }

    /// Takes back what was written of a change. Files that hold something else were changed by
    /// somebody since, and stay as they are.
    fn put_back(&self, files: &[FileChange]) -> Result<(), JournalError> {
        let store = &self.journal.store;
        for change in files.iter().filter(|f| self.holds(&f.path, f.after.as_ref())) {
            let path = self.place(&change.path)?;
            match (&change.before, &change.after) {
                (None, _) => remove(&path, &self.journal.root)?,
                (Some(before), None) => {
                    Staged::new_at(&path, PREFIX, &store.blob(before)?, change.mode)?.commit()?;
                }
                (Some(before), Some(_)) => write_atomic(&path, &store.blob(before)?)?,
            }
        }
        Ok(())
    }

    /// Settles intents that were cut off: carried out if all files were written, else taken back.
    fn recover(&self) -> Result<(), JournalError> {
        let store = &self.journal.store;
        for Record { id, files, .. } in replay::unsettled(&store.records()?) {
            let applied = files.iter().all(|f| self.holds(&f.path, f.after.as_ref()));
            if !applied {
                self.put_back(&files)?;
            }
            self.sweep(id, &files);
            store.settle(id, applied)?;
        }
        Ok(())
    }

    /// Removes the temporary files that a change left beside its files, and directories that are empty
    /// without them.
    fn sweep(&self, intent: EntryId, files: &[FileChange]) {
        let prefix = temporary(intent);
        for change in files {
            let Ok(path) = self.place(&change.path) else { continue };
            let Some(entries) = path.parent().and_then(|dir| dir.read_dir().ok()) else { continue };
            let ours = entries.flatten().filter(|entry| {
                entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes())
            });
            ours.for_each(|entry| drop(std::fs::remove_file(entry.path())));
            if self.holds(&change.path, None) {
                remove_empty_dirs(&path, &self.journal.root);
            }
        }
    }

    /// Whether a file holds the bytes of a hash, or is not there if none is given.
    fn holds(&self, path: &str, wanted: Option<&String>) -> bool {
        let Ok(path) = self.place(path) else { return false };
        match (std::fs::read(path), wanted) {
            (Ok(bytes), Some(wanted)) => hash(&bytes) == *wanted,
            (Err(error), None) => error.kind() == std::io::ErrorKind::NotFound,
            _ => false,
        }
    }

    /// The file's real path, or where it would be; links that lead out of the tree are refused here
    /// too.
    fn place(&self, path: &str) -> Result<PathBuf, JournalError> {
        let tree = Workspace::at(&self.journal.root);
        let inside = match tree.resolve_in_tree(path) {
            Err(WorkspaceError::Missing { .. }) => tree.resolve_new(Path::new(path)),
            found => found,
        };
        Ok(self.journal.root.join(inside?))
    }
}

/// How the names of the temporary files of a change begin.
fn temporary(intent: EntryId) -> String {
    format!("{PREFIX}{intent}-")
}

#[cfg(test)]
mod tests;
