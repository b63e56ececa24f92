//! The engine's log: what it did, never text of prompts or answers; bounded in size.

use cerium_harness::workspace::StateHome;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// A log longer than this is put aside, and the one that was aside is gone.
const LOG_BYTES_MAX: u64 = 1 << 20;

/// Where it is: `engine.log` under the state directory; `None` where there is none.
pub(super) fn path() -> Option<PathBuf> {
    Some(StateHome::from_env().ok()?.root().join("engine.log"))
}

/// A log that is open.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: Mutex<File>,
}

impl Log {
    /// Opens a log to add to it.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let file = Mutex::new(open(&path)?);
        Ok(Self { path, file })
    }

    /// The file as it is now, for a process that writes to it.
    pub(super) fn file(&self) -> io::Result<File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).try_clone()
    }
}

impl Write for &Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if file.metadata()?.len() > LOG_BYTES_MAX {
            *file = open(&self.path)?;
        }
        file.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    if path.metadata().is_ok_and(|meta| meta.len() > LOG_BYTES_MAX) {
        fs::rename(path, path.with_extension("log.old"))?;
    }
    File::options().create(true).append(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/engine.log");
        let log = Log::open(path.clone()).unwrap();
        let line = [b'x'; 1 << 10];
        for _ in 0..5 * (LOG_BYTES_MAX >> 10) {
            (&log).write_all(&line).unwrap();
        }
        let n_bytes: u64 = fs::read_dir(path.parent().unwrap())
            .unwrap()
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum();
        assert!(n_bytes <= 2 * (LOG_BYTES_MAX + (1 << 10)), "{n_bytes}");
        assert!(path.metadata().unwrap().len() > 0);
    }
}
