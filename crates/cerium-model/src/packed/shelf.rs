//! The directory of packed files: which one is a model's, and which ones go.

use super::kept::{self, Kept, Label, Matrix};
use crate::file::ModelFile;
use cerium_kernels::{Team, layout_sample};
use sha2::{Digest, Sha256};
use std::ffi::OsStr;
use std::fs::{self, File, Metadata, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Of whole files, and of those being written.
const WHOLE: &str = "packed";
const UNFINISHED: &str = "partial";

/// Characters of a model's name that stay the same while its file changes.
const PLACE: usize = 32;

/// Files that no start has used for so long go: their models may be gone as well.
const UNUSED_MAX: Duration = Duration::from_hours(30 * 24);

/// A directory, and what a model is known by in it.
#[derive(Debug)]
pub(crate) struct Shelf {
    dir: PathBuf,
    /// 64 digits of hexadecimal.
    model: String,
}

impl Shelf {
    /// A model of a known hash.
    pub(crate) fn of_hash(dir: &Path, sha256: &str) -> Self {
        let is_hash = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(is_hash, "a hash of 64 digits");
        Self { dir: dir.to_owned(), model: sha256.to_owned() }
    }

    /// A model that nobody has hashed, which would take a second: known by its place, and by all that
    /// changes when a file is written to or replaced. The time of change above all: no program can set it.
    pub(crate) fn of_file(dir: &Path, file: &ModelFile) -> Self {
        let path = fs::canonicalize(&file.path).unwrap_or_else(|_| file.path.clone());
        let place = digest(path.as_os_str().as_encoded_bytes());
        let header = file.gguf.tensors().iter().map(|tensor| tensor.range.start).min();
        let header = crc32c::crc32c(&file.map[..header.unwrap_or(file.map.len())]);
        let content = digest(format!("{:?}", (stamps(file.map.metadata()), header)).as_bytes());
        let model = format!("{}{}", &place[..PLACE], &content[PLACE..]);
        Self { dir: dir.to_owned(), model }
    }

    /// What the model is known by.
    pub(crate) fn model(&self) -> &str {
        &self.model
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    fn label(&self) -> Label {
        let layout = format!("{:08x}", crc32c::crc32c(&layout_sample()));
        Label { model: self.model.clone(), layout }
    }

    fn path(&self, label: &Label) -> PathBuf {
        self.dir.join(format!("{}-{}.{WHOLE}", label.model, label.layout))
    }

    /// What is kept of the model, checked.
    pub(super) fn open(&self, team: &Team) -> Option<Kept> {
        let label = self.label();
        let file = File::open(self.path(&label)).ok()?;
        let kept = Kept::open(&file, &label, team)?;
        // Who may not write here does not decide what goes either.
        let _ = file.set_modified(SystemTime::now());
        Some(kept)
    }

    /// Keeps packed matrices, in place of whatever was kept of this model. False if another process is
    /// writing to the directory: it may be writing just this.
    ///
    /// # Errors
    /// When the directory takes no such file. Nothing is left of it then.
    pub(super) fn keep(&self, matrices: &[Matrix]) -> io::Result<bool> {
        fs::create_dir_all(&self.dir)?;
        // One writer at a time, so that every unfinished file it finds is left over. The lock's own file
        // stays: without it two processes could lock two files of one name.
        let lock = self.dir.join(".lock");
        let lock = File::options().create(true).truncate(false).write(true).open(lock)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        self.sweep();
        let label = self.label();
        let path = self.path(&label);
        let unfinished = path.with_extension(UNFINISHED);
        let write = || {
            kept::write(&File::create(&unfinished)?, label, matrices)?;
            fs::rename(&unfinished, &path)
        };
        write().inspect_err(|_| drop(fs::remove_file(&unfinished)))?;
        Ok(true)
    }

    /// Removes what nobody will use: broken-off files, this model's files of other layouts and older
    /// contents, and everything unused for long.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        for entry in entries.flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let is = |extension: &str| path.extension() == Some(OsStr::new(extension));
            let same_place = name.as_encoded_bytes().starts_with(&self.model.as_bytes()[..PLACE]);
            let used = entry.metadata().and_then(|meta| meta.modified());
            let unused = used.ok().and_then(|used| used.elapsed().ok());
            if is(UNFINISHED)
                || is(WHOLE) && (same_place || unused.is_some_and(|time| time > UNUSED_MAX))
            {
                // What cannot be removed now is tried again next time.
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// Length, times and inode.
fn stamps(metadata: &Metadata) -> (u64, u128, (i64, i64), u64) {
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let modified = modified.map_or(0, |time| time.as_nanos());
    #[cfg(unix)]
    let (changed, inode) = {
        use std::os::unix::fs::MetadataExt;
        ((metadata.ctime(), metadata.ctime_nsec()), metadata.ino())
    };
    #[cfg(not(unix))]
    let (changed, inode) = ((0, 0), 0);
    (metadata.len(), modified, changed, inode)
}

/// SHA-256, in lower-case hex.
fn digest(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}
