//! Making, replacing and removing a file in one step: at every moment the path holds all of the old
//! bytes or all of the new ones.

use super::FileError;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use tempfile::NamedTempFile;

/// Whether a file may be written, seen without touching it. A file without any write permission
/// counts as read-only for everybody: somebody meant it.
pub fn can_write(path: &Path) -> bool {
    let marked = std::fs::metadata(path).is_ok_and(|m| m.permissions().readonly());
    !marked && OpenOptions::new().append(true).open(path).is_ok()
}

/// Replaces the bytes of an existing file: a temporary file beside it, synced, takes its place.
///
/// Mode and owner are carried over, the owner as far as the user may set it; a hard link comes
/// apart, and extended attributes are not copied. On any error the file is as it was and nothing
/// is left beside it.
///
/// # Errors
/// `FileError::Write`.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    Staged::beside(path, PREFIX, bytes)?.commit()
}

/// How the names of temporary files begin.
pub(crate) const PREFIX: &str = ".cerium-";

/// New bytes of a file, on disk beside it. Dropped, they are gone.
#[derive(Debug)]
pub(crate) struct Staged<'p> {
    path: &'p Path,
    new: NamedTempFile,
    /// Whether there is no file yet.
    makes: bool,
}

impl<'p> Staged<'p> {
    /// Writes and syncs them.
    ///
    /// * `prefix`: how the name of the temporary file begins
    pub(crate) fn beside(path: &'p Path, prefix: &str, bytes: &[u8]) -> Result<Self, FileError> {
        Self::filled(path, prefix, |file| file.write_all(bytes)).map_err(|e| failed(path, e))
    }

    /// Writes and syncs the bytes of a file that is to be made, and makes the directories above it.
    ///
    /// * `mode`: permissions; if absent, those of any new file
    pub(crate) fn new_at(
        path: &'p Path,
        prefix: &str,
        bytes: &[u8],
        mode: Option<u32>,
    ) -> Result<Self, FileError> {
        let stage = || {
            std::fs::create_dir_all(dir(path))?;
            let mut new = new_file(prefix, dir(path), mode)?;
            new.write_all(bytes)?;
            new.as_file().sync_all()?;
            Ok(Self { path, new, makes: true })
        };
        stage().map_err(|error| failed(path, error))
    }

    /// `fill` writes them, or fails in the middle of it.
    pub(super) fn filled(
        path: &'p Path,
        prefix: &str,
        fill: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> io::Result<Self> {
        let old = std::fs::metadata(path)?;
        // Removed when dropped, so every `?` below cleans up.
        let mut new = tempfile::Builder::new().prefix(prefix).tempfile_in(dir(path))?;
        fill(new.as_file_mut())?;
        keep_owner_and_mode(new.as_file(), &old)?;
        new.as_file().sync_all()?;
        Ok(Self { path, new, makes: false })
    }

    /// Puts them in the file's place, in one step. A file that is made takes the place of nothing.
    pub(crate) fn commit(self) -> Result<(), FileError> {
        let done = if self.makes {
            self.new.persist_noclobber(self.path)
        } else {
            self.new.persist(self.path)
        };
        done.map_err(|error| failed(self.path, error.error))?;
        sync_dir(dir(self.path));
        Ok(())
    }
}

/// Removes a file, and the directories above it that hold nothing else, up to the root of its tree.
pub(crate) fn remove(path: &Path, root: &Path) -> Result<(), FileError> {
    std::fs::remove_file(path).map_err(|error| failed(path, error))?;
    sync_dir(dir(path));
    remove_empty_dirs(path, root);
    Ok(())
}

/// Removes the directories above a path that is gone, as far as they are empty.
pub(crate) fn remove_empty_dirs(path: &Path, root: &Path) {
    let inside = |above: &&Path| above.starts_with(root) && *above != root;
    for above in path.ancestors().skip(1).take_while(inside) {
        match std::fs::remove_dir(above) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => break,
            _ => {}
        }
    }
}

/// The permissions of a file, as a file that takes its place gets them.
#[cfg(unix)]
pub(crate) fn mode(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    Some(std::fs::metadata(path).ok()?.permissions().mode() & 0o7777)
}

#[cfg(not(unix))]
pub(crate) fn mode(_: &Path) -> Option<u32> {
    None
}

#[cfg(unix)]
fn new_file(prefix: &str, dir: &Path, mode: Option<u32>) -> io::Result<NamedTempFile> {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    let mut builder = tempfile::Builder::new();
    // The process's umask takes from it what it takes from every new file.
    builder.prefix(prefix).permissions(Permissions::from_mode(0o666));
    let new = builder.tempfile_in(dir)?;
    if let Some(mode) = mode {
        new.as_file().set_permissions(Permissions::from_mode(mode))?;
    }
    Ok(new)
}

#[cfg(not(unix))]
fn new_file(prefix: &str, dir: &Path, _: Option<u32>) -> io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix(prefix).tempfile_in(dir)
}

fn dir(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn failed(path: &Path, source: io::Error) -> FileError {
    FileError::Write { path: path.to_owned(), source }
}

#[cfg(unix)]
fn keep_owner_and_mode(file: &File, old: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let new = file.metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        // Only root may give files away; a group one is in can be set by anybody.
        let _ = fchown(file, None, Some(old.gid()));
        let _ = fchown(file, Some(old.uid()), None);
    }
    // After the owner: changing that clears set-id bits.
    file.set_permissions(old.permissions())
}

#[cfg(not(unix))]
fn keep_owner_and_mode(file: &File, old: &Metadata) -> io::Result<()> {
    file.set_permissions(old.permissions())
}

/// Makes the rename itself durable. Best effort: the bytes are safe, only which of the two versions
/// a power cut leaves is at stake.
pub(crate) fn sync_dir(dir: &Path) {
    if let Ok(dir) = File::open(dir) {
        let _ = dir.sync_all();
    }
}
