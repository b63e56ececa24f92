//! The public door: an address, or a Unix socket.

use crate::unix;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// Where everybody who may comes in.
#[derive(Debug)]
pub enum Public {
    /// At an address.
    Tcp(TcpListener),
    /// At a Unix socket, which is removed when the door closes.
    Unix(UnixListener, PathBuf),
}

impl Public {
    /// Listens at an address.
    ///
    /// # Errors
    /// When the system does not let us.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        TcpListener::bind(address).map(Self::Tcp)
    }

    /// Listens at a path, in the place of a socket that nobody listens at any more. Where keys are asked for
    /// (`is_guarded`), every user of the machine may connect who reaches the path; else only the same one.
    ///
    /// # Errors
    /// When the system does not let us, or something else is there.
    pub fn bind_unix(path: &Path, is_guarded: bool) -> io::Result<Self> {
        Ok(Self::Unix(unix::bind(path, is_guarded)?, path.to_owned()))
    }

    /// The address, if it is one.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> io::Result<Option<SocketAddr>> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Some),
            Self::Unix(..) => Ok(None),
        }
    }

    /// How people write it: `127.0.0.1:8383`, or `unix:/run/cerium.sock`.
    pub fn name(&self) -> String {
        match self {
            Self::Tcp(listener) => {
                listener.local_addr().map_or_else(|error| error.to_string(), |it| it.to_string())
            }
            Self::Unix(_, path) => format!("unix:{}", path.display()),
        }
    }
}

impl From<TcpListener> for Public {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}
