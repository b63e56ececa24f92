//! Doors on Unix sockets: the file of one, and who may come in through it.

use rustix::process::geteuid;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The socket of a door, and its file, which goes with it.
#[derive(Debug)]
pub(crate) struct Socket {
    listener: tokio::net::UnixListener,
    path: PathBuf,
    /// Whether only programs of the same person are let in.
    is_private: bool,
}

impl Socket {
    pub(crate) fn new(listener: UnixListener, path: PathBuf, is_private: bool) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self { listener: tokio::net::UnixListener::from_std(listener)?, path, is_private })
    }

    /// The next one who is let in.
    pub(crate) async fn accept(&self) -> io::Result<tokio::net::UnixStream> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            if !self.is_private {
                return Ok(stream);
            }
            match stream.peer_cred() {
                Ok(peer) if peer.uid() == geteuid().as_raw() => return Ok(stream),
                peer => tracing::warn!(?peer, "somebody else is not let in"),
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Gone already when its directory was cleared away.
        let _ = fs::remove_file(&self.path);
    }
}

/// Listens at a path, in the place of a socket that nobody listens at any more.
///
/// * `is_guarded`: whether keys are asked for, so that everybody may knock; else only the same person may
pub(crate) fn bind(path: &Path, is_guarded: bool) -> io::Result<UnixListener> {
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_left_behind(path) => {
            fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        bound => bound?,
    };
    let mode = if is_guarded { 0o666 } else { 0o600 };
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    Ok(listener)
}

fn is_left_behind(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let refuses =
        || UnixStream::connect(path).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused);
    is_socket && refuses()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_takes_the_place_of_one_that_was_left_behind_and_of_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("door");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let first = bind(&path, false).unwrap();
        assert_eq!(mode(), 0o600);
        assert_eq!(bind(&path, false).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        bind(&path, true).unwrap();
        assert_eq!(mode(), 0o666);
        let file = dir.path().join("file");
        fs::write(&file, "kept").unwrap();
        assert_eq!(bind(&file, false).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(fs::read(&file).unwrap(), b"kept");
    }
}
