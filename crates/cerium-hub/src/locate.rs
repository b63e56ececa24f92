//! Where a model is: names and paths to files that may be used.

use crate::record::{self, Record};
use crate::{Entry, Home, HubError, catalogue, find, lock};
use std::fs;
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Where a model is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Located {
    /// This file: the person's own, or one whose hash was checked.
    Ready(PathBuf),
    /// Known, but not here yet.
    Absent(&'static Entry),
}

/// A model of the catalogue that is on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Which one.
    pub entry: &'static Entry,
    /// Its file.
    pub path: PathBuf,
    /// Length of the file, in bytes.
    pub bytes: u64,
    /// Length of its packed weights, in bytes; 0 until they are packed.
    pub packed_bytes: u64,
    /// Whether its hash was checked and the file has not changed since.
    pub verified: bool,
}

/// Finds the file that a name or a path stands for. A name of the catalogue wins over a file of
/// that name here; `./name` is always the file.
///
/// # Errors
/// [`HubError::Unknown`] for neither a name nor a file, [`HubError::NotAFile`] for a directory,
/// [`HubError::Damaged`] when a model's file changed into something else since it was checked.
pub fn resolve(home: &Home, name_or_path: &str) -> Result<Located, HubError> {
    if let Some(entry) = find(name_or_path) {
        return Ok(match verified(home, entry)? {
            Some(path) => Located::Ready(path),
            None => Located::Absent(entry),
        });
    }
    let path = PathBuf::from(name_or_path);
    match fs::metadata(&path) {
        Ok(meta) if meta.is_file() => Ok(Located::Ready(path)),
        Ok(meta) => {
            let found = if meta.is_dir() { "a directory" } else { "a device, pipe or socket" };
            Err(HubError::NotAFile { path, found })
        }
        Err(error) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename => {
                Err(unknown(name_or_path))
            }
            _ => Err(HubError::io("read", &path)(error)),
        },
    }
}

/// The models of the catalogue that are on this machine.
pub fn installed(home: &Home) -> Vec<Installed> {
    let here = |entry: &'static Entry| {
        let path = home.model_path(entry);
        let meta = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
        let verified = Record::read(&path, &meta).is_some_and(|r| r.sha256 == entry.sha256);
        let packed = home.packed_files(entry);
        let packed_bytes = packed.iter().filter_map(|file| Some(file.metadata().ok()?.len())).sum();
        Some(Installed { entry, path, bytes: meta.len(), packed_bytes, verified })
    };
    catalogue().iter().filter_map(here).collect()
}

/// Removes a model of the catalogue, its packed weights and what a broken-off download left of it.
/// Returns the bytes that became free.
///
/// # Errors
/// [`HubError::NotInstalled`] when there is nothing, [`HubError::Unknown`] for a name that is not
/// in the catalogue (files given by path are never touched), [`HubError::Io`].
pub fn remove(home: &Home, name: &str) -> Result<u64, HubError> {
    let entry = find(name).ok_or_else(|| unknown(name))?;
    let dirs = [home.models_dir().join(entry.name), home.partial_dir(entry.name)];
    let packed = home.packed_files(entry);
    if packed.is_empty() && !dirs.iter().any(|dir| dir.exists()) {
        return Err(HubError::NotInstalled(name.to_owned()));
    }
    let _lock = lock::acquire(home, entry.name, &mut ())?;
    let mut freed = 0;
    for file in packed {
        freed += fs::metadata(&file).map_or(0, |meta| meta.len());
        match fs::remove_file(&file) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(HubError::io("remove", &file)(error)),
        }
    }
    for dir in dirs {
        freed += size_of_dir(&dir);
        match fs::remove_dir_all(&dir) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(HubError::io("remove", &dir)(error)),
        }
    }
    Ok(freed)
}

/// The file of an entry, if it is here; its hash is checked when no valid record says it was.
pub(crate) fn verified(home: &Home, entry: &Entry) -> Result<Option<PathBuf>, HubError> {
    let path = home.model_path(entry);
    let meta = match fs::metadata(&path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(HubError::io("read", &path)(error)),
    };
    let record = if let Some(record) = Record::read(&path, &meta) {
        record
    } else {
        let hash = record::hash_file(&path, |_| ControlFlow::Continue(()))
            .map_err(HubError::io("read", &path))?
            .map(record::hex)
            .unwrap_or_default();
        let record = Record::of(&meta, hash);
        if record.sha256 == entry.sha256 {
            // A directory shared read-only cannot take the note: then every start hashes.
            let _ = record.write(&path);
        }
        record
    };
    if record.sha256 == entry.sha256 {
        Ok(Some(path))
    } else {
        let (name, wanted) = (entry.name, entry.sha256);
        Err(HubError::Damaged { name, path, found: record.sha256, wanted })
    }
}

fn unknown(asked: &str) -> HubError {
    let names = || catalogue().iter().map(|entry| entry.name);
    // Far longer than any name is far away, and not worth a quadratic table.
    let short = asked.chars().take(100).collect::<String>().to_lowercase();
    let nearest = names()
        .map(|name| (strsim::levenshtein(&short, name), name))
        .filter(|(distance, name)| *distance <= name.len() / 3)
        .min()
        .map(|(_, name)| name);
    let known = names().collect::<Vec<_>>().join(", ");
    let asked = asked.chars().take(200).collect();
    HubError::Unknown { asked, known, nearest }
}

/// Bytes of the regular files below a directory; links are not followed.
pub fn size_of_dir(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => size_of_dir(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}
