//! The directory of pages: `MODEL-WAY/KEY.page`, for its owner's eyes only, no larger than allowed.
//!
//! A file's time of change says when it was used last, and of pages used together the first ones are the
//! latest, so that what goes first is the end of what was unused for longest.

use super::entry;
use super::key::Key;
use cerium_model::Fingerprint;
use std::ffi::OsStr;
use std::fs::{self, DirEntry, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Of whole files, and of those being written.
const WHOLE: &str = "page";
const UNFINISHED: &str = "partial";

/// Which pages were ever computed, by whom.
pub(crate) const DIARY: &str = "seen";

/// What pages of one prefix are apart in time, in the order in which they go.
const APART: Duration = Duration::from_millis(1);

/// The part of the directory that belongs to a model and a way of computing it.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    /// All models' pages.
    root: PathBuf,
    dir: PathBuf,
    page_bytes: usize,
}

/// What is kept of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Of its directory. It begins with what the model is known by: the file's SHA-256, in hex, where that
    /// is known.
    pub name: String,
    /// Pages.
    pub n_pages: usize,
    /// Bytes of them.
    pub n_bytes: u64,
    /// When the page that is unused for longest was used.
    pub oldest: SystemTime,
}

/// A file of the directory.
struct Found {
    path: PathBuf,
    n_bytes: u64,
    used: SystemTime,
}

impl Shelf {
    pub(super) fn new(root: &Path, fingerprint: &Fingerprint, page_bytes: usize) -> Self {
        let way = format!("{}", Key::first(fingerprint));
        let dir = root.join(format!("{}-{}", fingerprint.model, &way[..16]));
        Self { root: root.to_owned(), dir, page_bytes }
    }

    fn path(&self, key: Key) -> PathBuf {
        self.dir.join(format!("{key}.{WHOLE}"))
    }

    /// Whether there is such a page, right or not.
    pub(super) fn has(&self, key: Key) -> bool {
        self.path(key).exists()
    }

    /// Reads a page, the `depth`th of its prefix, and notes its use. False if it is not there; what is
    /// there and wrong goes.
    pub(super) fn read(&self, key: Key, depth: usize, page: &mut Vec<u8>) -> bool {
        let path = self.path(key);
        let Ok(file) = File::open(&path) else { return false };
        match entry::read(&file, key, self.page_bytes, page) {
            Ok(true) => {
                // Who may not write here does not decide what goes either.
                let _ = file.set_modified(used_now(depth));
                true
            }
            Ok(false) => {
                // What cannot be removed is found out again next time.
                let _ = fs::remove_file(path);
                false
            }
            Err(_) => false,
        }
    }

    /// Writes a page, whole or not at all.
    pub(super) fn write(&self, key: Key, depth: usize, page: &[u8]) -> io::Result<()> {
        private_dir(&self.root)?;
        private_dir(&self.dir)?;
        let path = self.path(key);
        // Of this process alone: it has one writer.
        let unfinished = self.dir.join(format!("{}.{UNFINISHED}", std::process::id()));
        let write = || {
            let file = private_file(&unfinished)?;
            // Held while it is open: whoever finds it unheld knows that nobody will finish it.
            file.try_lock()?;
            entry::write(&file, key, page)?;
            file.set_modified(used_now(depth))?;
            fs::rename(&unfinished, &path)
        };
        write().inspect_err(|_| drop(fs::remove_file(&unfinished)))
    }

    /// Bytes of everything in the directory, of all models; once more than `bytes_max` it loses what was
    /// unused for longest, a tenth more than it must.
    pub(super) fn sweep(&self, bytes_max: u64) -> u64 {
        let mut found = files(&self.root);
        let mut n_bytes: u64 = found.iter().map(|file| file.n_bytes).sum();
        if n_bytes > bytes_max {
            found.sort_by_key(|file| file.used);
            for file in found {
                if n_bytes <= bytes_max / 10 * 9 {
                    break;
                }
                if fs::remove_file(file.path).is_ok() {
                    n_bytes -= file.n_bytes;
                }
            }
            for dir in dirs(&self.root) {
                // Only of empty ones.
                let _ = fs::remove_dir(dir.path());
            }
        }
        n_bytes
    }
}

/// What is kept in a directory, model by model.
pub fn kept(root: &Path) -> Vec<Kept> {
    let all = dirs(root).into_iter().filter_map(|dir| {
        let files = files_of(&dir.path());
        Some(Kept {
            name: dir.file_name().to_string_lossy().into_owned(),
            n_pages: files.len(),
            n_bytes: files.iter().map(|file| file.n_bytes).sum(),
            oldest: files.iter().map(|file| file.used).min()?,
        })
    });
    let mut all: Vec<Kept> = all.collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// Removes everything that is kept in a directory, or what is kept of the models whose names begin so;
/// returns the bytes that went.
///
/// # Errors
/// When something cannot be removed.
pub fn clear(root: &Path, model: &str) -> io::Result<u64> {
    let mut n_freed = 0;
    for dir in dirs(root) {
        if dir.file_name().as_encoded_bytes().starts_with(model.as_bytes()) {
            n_freed += files_of(&dir.path()).iter().map(|file| file.n_bytes).sum::<u64>();
            fs::remove_dir_all(dir.path())?;
        }
    }
    // What was computed once is no more to be known of than what is kept.
    if model.is_empty() {
        match fs::remove_file(root.join(DIARY)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(n_freed)
}

fn dirs(root: &Path) -> Vec<DirEntry> {
    let Ok(entries) = fs::read_dir(root) else { return Vec::new() };
    let is_dir = |entry: &DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    entries.flatten().filter(is_dir).collect()
}

fn files(root: &Path) -> Vec<Found> {
    dirs(root).iter().flat_map(|dir| files_of(&dir.path())).collect()
}

/// The pages of a directory. What somebody began to write and will not finish goes.
fn files_of(dir: &Path) -> Vec<Found> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let found = entries.flatten().filter_map(|entry| {
        let (path, meta) = (entry.path(), entry.metadata().ok()?);
        if path.extension() == Some(OsStr::new(UNFINISHED)) {
            let nobodys = File::open(&path).is_ok_and(|file| file.try_lock().is_ok());
            if nobodys {
                let _ = fs::remove_file(&path);
            }
            return None;
        }
        Some(Found { path, n_bytes: meta.len(), used: meta.modified().ok()? })
    });
    found.collect()
}

fn used_now(depth: usize) -> SystemTime {
    SystemTime::now() - APART * u32::try_from(depth).unwrap_or(u32::MAX)
}

/// Makes a directory that only its owner may look into.
fn private_dir(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // What is above it is no secret.
            fs::create_dir_all(path.parent().unwrap_or(path))?;
            builder.create(path)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// A new file that only its owner may look into, or an old one emptied.
pub(crate) fn private_file(path: &Path) -> io::Result<File> {
    private(File::options().create(true).truncate(true).write(true)).open(path)
}

/// The same to append to; its directory is made with it.
pub(crate) fn private_log(path: &Path) -> io::Result<File> {
    private_dir(path.parent().unwrap_or(path))?;
    private(File::options().create(true).append(true)).open(path)
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}
