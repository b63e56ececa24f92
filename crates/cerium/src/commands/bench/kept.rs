//! A directory in which the engines of a bench keep computed prompts, and nobody else.

use anyhow::{Result, ensure};
use cerium_engine::store;
use cerium_hub::Home;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io, process, thread};

/// How long it may take until everything is on disk.
const WRITTEN_WITHIN: Duration = Duration::from_mins(1);

/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// The directory. It comes with the first page.
pub(super) struct Dir(PathBuf);

impl Dir {
    pub(super) fn new() -> Result<Self> {
        Ok(Self(Home::from_env()?.root().join(format!("bench-kv-{}", process::id()))))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Pages in it.
    pub(super) fn n_pages(&self) -> usize {
        store::kept(&self.0).iter().map(|kept| kept.n_pages).sum()
    }

    /// Waits until it has so many pages.
    ///
    /// # Errors
    /// When they do not come.
    pub(super) fn wait_for(&self, n_pages: usize) -> Result<()> {
        let deadline = Instant::now() + WRITTEN_WITHIN;
        while self.n_pages() < n_pages {
            let what = "not everything was written: `size` of the cache may be too small";
            ensure!(Instant::now() < deadline, what);
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Removes it. An engine that has just gone may still be writing to it.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub(super) fn remove(&self) -> io::Result<()> {
        let deadline = Instant::now() + WRITTEN_WITHIN;
        loop {
            match fs::remove_dir_all(&self.0) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => thread::sleep(LOOK),
                Ok(()) => return Ok(()),
            }
        }
    }
}
