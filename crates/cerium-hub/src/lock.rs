//! One process at a time per model, so that nothing is downloaded twice.

use crate::{Home, HubError, Progress, PullEvent};
use std::fs::{self, File, TryLockError};
use std::thread;
use std::time::Duration;

/// Held while a model's files are changed; given back when dropped, or by the system when the
/// process dies.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Waits for the model's lock, telling `progress` while another process holds it.
///
/// # Errors
/// [`HubError::Cancelled`] when `progress` breaks off, [`HubError::Io`] when no lock file can be
/// made.
pub(crate) fn acquire(
    home: &Home,
    name: &str,
    progress: &mut dyn Progress,
) -> Result<Lock, HubError> {
    let dir = home.models_dir().join(".partial");
    fs::create_dir_all(&dir).map_err(HubError::io("create", &dir))?;
    // The lock's file stays: removing it would let two processes lock two files of one name.
    let path = dir.join(format!("{name}.lock"));
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(HubError::io("open", &path))?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => {
                if progress.event(PullEvent::Waiting).is_break() {
                    return Err(HubError::Cancelled);
                }
                thread::sleep(Duration::from_millis(100));
            }
            Err(TryLockError::Error(source)) => return Err(HubError::io("lock", &path)(source)),
        }
    }
}
