//! Where the engines of a person and their commands meet: a directory that nobody else can enter,
//! with a lock in it for whoever starts one, and a socket per engine.

use super::line::{Line, runtime};
use crate::failure::advice;
use cerium_protocol::wire::engine::Hello;
use rustix::process::geteuid;
use std::env;
use std::fs::{self, DirBuilder, File, Metadata, Permissions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Why there is no place to meet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceError {
    #[error("cannot make `{}`", dir.display())]
    Make { dir: PathBuf, source: io::Error },
    #[error("`{}` is not safe to meet an engine in: {why}", dir.display())]
    Unsafe { dir: PathBuf, why: &'static str },
}

/// The directory.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    dir: PathBuf,
}

/// The socket of an engine to be.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) listener: UnixListener,
    pub(crate) path: PathBuf,
}

impl Place {
    /// `$XDG_RUNTIME_DIR/cerium`, or `/tmp/cerium-UID` where there is no such directory or it is not
    /// ours. It is made if need be, and looked at before it is trusted: anybody may have made the
    /// second one.
    ///
    /// # Errors
    /// [`PlaceError`].
    pub(crate) fn open() -> Result<Self, PlaceError> {
        let user = geteuid().as_raw();
        let runtime_dir = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| {
            dir.is_absolute() && dir.metadata().is_ok_and(|meta| only_for(user, &meta).is_ok())
        });
        let dir = match runtime_dir {
            Some(dir) => dir.join("cerium"),
            None => PathBuf::from(format!("/tmp/cerium-{user}")),
        };
        match DirBuilder::new().mode(0o700).create(&dir) {
            Err(source) if source.kind() != ErrorKind::AlreadyExists => {
                return Err(PlaceError::Make { dir, source });
            }
            _ => {}
        }
        // Not through a link: its target may change later.
        let looked = fs::symlink_metadata(&dir);
        let meta = match looked {
            Ok(meta) => meta,
            Err(source) => return Err(PlaceError::Make { dir, source }),
        };
        match only_for(user, &meta) {
            Ok(()) => Ok(Self { dir }),
            Err(why) => Err(PlaceError::Unsafe { dir, why }),
        }
    }

    /// Waits until nobody else is starting an engine. The lock is given back when the file, and
    /// every copy of it that another process got, is closed.
    pub(super) fn lock(&self) -> io::Result<File> {
        let path = self.dir.join("lock");
        let file =
            File::options().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        file.lock()?;
        Ok(file)
    }

    /// A socket that nobody knows of yet.
    pub(super) fn bind(&self) -> anyhow::Result<Seat> {
        let path = self.dir.join(format!("{:016x}.sock", RandomState::new().hash_one(())));
        let bound = UnixListener::bind(&path).and_then(|listener| {
            fs::set_permissions(&path, Permissions::from_mode(0o600))?;
            Ok(listener)
        });
        match bound {
            Ok(listener) => Ok(Seat { listener, path }),
            Err(error) => Err(advice(
                format!("listening on `{}`: {error}", path.display()),
                "--no-daemon runs without an engine",
            )),
        }
    }

    /// The engines that answer, and their sockets; one with a public door first.
    pub(super) fn engines(&self) -> Vec<(PathBuf, Hello)> {
        let Ok(runtime) = runtime() else { return Vec::new() };
        let mut engines = Vec::new();
        for socket in self.sockets() {
            if let Ok(hello) = runtime.block_on(Line::hello(&socket)) {
                engines.push((socket, hello));
            }
        }
        engines.sort_by_key(|(_, hello)| hello.about.serves.is_none());
        engines
    }

    /// Sockets that nobody listens on, and those on which somebody does and no engine answers.
    pub(super) fn dead(&self, answering: &[PathBuf]) -> (usize, usize) {
        let (mut n_stale, mut n_silent) = (0, 0);
        for socket in self.sockets().iter().filter(|socket| !answering.contains(socket)) {
            if is_refused(socket) { n_stale += 1 } else { n_silent += 1 }
        }
        (n_stale, n_silent)
    }

    /// Removes sockets that nobody listens on. Only under the lock: between being bound and being
    /// listened on, a socket of an engine that is starting looks the same.
    pub(super) fn clear(&self) {
        for socket in self.sockets() {
            if is_refused(&socket) {
                // Whoever starts next tries again.
                let _ = fs::remove_file(socket);
            }
        }
    }

    fn sockets(&self) -> Vec<PathBuf> {
        let Ok(files) = fs::read_dir(&self.dir) else { return Vec::new() };
        let paths = files.flatten().map(|file| file.path());
        paths.filter(|path| path.extension().is_some_and(|it| it == "sock")).collect()
    }
}

/// Whether nobody listens on a socket.
fn is_refused(socket: &Path) -> bool {
    UnixStream::connect(socket).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// Whether a directory is a user's own, and closed to all others.
fn only_for(user: u32, meta: &Metadata) -> Result<(), &'static str> {
    if !meta.is_dir() {
        return Err("it is not a directory");
    }
    if meta.uid() != user {
        return Err("it belongs to somebody else");
    }
    if meta.mode() & 0o077 != 0 {
        return Err("others may enter it");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_directory_of_ones_own_will_do() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cerium");
        let user = geteuid().as_raw();
        let look = |path: &Path, user| only_for(user, &fs::symlink_metadata(path).unwrap());
        DirBuilder::new().mode(0o700).create(&path).unwrap();
        assert_eq!(look(&path, user), Ok(()));
        assert_eq!(look(&path, user + 1), Err("it belongs to somebody else"));
        for mode in [0o701, 0o770, 0o755, 0o777] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(look(&path, user), Err("others may enter it"), "{mode:o}");
        }
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(look(&link, user), Err("it is not a directory"));
    }
}
