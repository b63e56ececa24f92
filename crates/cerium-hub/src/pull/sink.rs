//! The file being put together: bounded by the catalogue's length, hashed while it is written.

use super::{Job, Stop, free_bytes};
use crate::record::{self, hex};
use crate::{Attempt, Entry, HubError, PullEvent};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// A file that grows towards an entry's length and hash.
pub(super) struct Sink<'a> {
    entry: &'a Entry,
    path: PathBuf,
    file: File,
    hash: Sha256,
    done: u64,
}

impl<'a> Sink<'a> {
    /// Starts an empty file.
    pub(super) fn create(entry: &'a Entry, path: &Path) -> Result<Self, HubError> {
        let file = File::create(path).map_err(HubError::io("create", path))?;
        Ok(Self { entry, path: path.to_owned(), file, hash: Sha256::new(), done: 0 })
    }

    /// Goes on with what an earlier run left in the file, or starts an empty one.
    pub(super) fn resume(
        job: &mut Job<'_>,
        entry: &'a Entry,
        path: &Path,
    ) -> Result<Self, HubError> {
        let left = fs::metadata(path).map_or(0, |meta| meta.len());
        if left == 0 || left > entry.bytes {
            return Self::create(entry, path);
        }
        let each = |done| match job.tell(PullEvent::Checking { done, total: entry.bytes }) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        };
        let hash = record::hash_file(path, each).map_err(HubError::io("read", path))?;
        let hash = hash.ok_or(HubError::Cancelled)?;
        let file = File::options().append(true).open(path).map_err(HubError::io("open", path))?;
        Ok(Self { entry, path: path.to_owned(), file, hash, done: left })
    }

    /// Bytes so far.
    pub(super) fn done(&self) -> u64 {
        self.done
    }

    /// Appends bytes; more than the entry has room for is a mismatch, noticed before it is written.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        if bytes.len() as u64 > self.entry.bytes - self.done {
            return Err(self.mismatch(format!("more than {} bytes", self.entry.bytes)));
        }
        self.file.write_all(bytes).map_err(|error| self.write_error(error))?;
        self.hash.update(bytes);
        self.done += bytes.len() as u64;
        Ok(())
    }

    /// The finished file, if its length, magic and hash are right; else it is deleted.
    pub(super) fn finish(self) -> Result<PathBuf, Stop> {
        let wanted = self.entry;
        if self.done != wanted.bytes {
            return Err(self.mismatch(format!("{} bytes", self.done)));
        }
        let found = hex(self.hash.clone());
        if found != wanted.sha256 {
            return Err(self.mismatch(format!("SHA-256 {found}")));
        }
        Ok(self.path)
    }

    fn mismatch(&self, found: String) -> Stop {
        // Nobody can go on from wrong bytes.
        let _ = fs::remove_file(&self.path);
        let wanted = format!("{} bytes with SHA-256 {}", self.entry.bytes, self.entry.sha256);
        Attempt::Mismatch { found, wanted }.into()
    }

    fn write_error(&self, error: io::Error) -> Stop {
        let full = matches!(
            error.kind(),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
        );
        if full {
            let dir = self.path.parent().unwrap_or(&self.path);
            Stop::Fatal(HubError::NoSpace {
                name: self.entry.name,
                path: self.path.clone(),
                needed: self.entry.bytes - self.done,
                free: free_bytes(dir).unwrap_or(0),
            })
        } else {
            Stop::Fatal(HubError::io("write", &self.path)(error))
        }
    }
}
