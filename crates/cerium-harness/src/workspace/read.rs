//! Reading one file of the tree as text, with a bound on its size.

use super::{Workspace, WorkspaceError};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Bytes looked at to tell text from data, as git does.
const BINARY_PROBE_BYTES: usize = 8 * 1024;

/// A file of the tree as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextFile {
    /// Relative to the root, with `/`.
    pub path: String,
    /// The whole text.
    pub text: String,
}

/// Why a file cannot be used as text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The path leads nowhere or out of the tree.
    #[error(transparent)]
    Place(#[from] WorkspaceError),
    /// The system refused.
    #[error("cannot read `{path}`")]
    Io {
        /// Relative to the root.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A directory, pipe or device.
    #[error("`{path}` is not a regular file")]
    NotAFile {
        /// Relative to the root.
        path: String,
    },
    /// Larger than the caller can use.
    #[error("`{path}` has {bytes} bytes, more than the {bytes_max} that can be read")]
    TooLarge {
        /// Relative to the root.
        path: String,
        /// Its size.
        bytes: u64,
        /// The bound.
        bytes_max: u64,
    },
    /// Holds a NUL near its beginning.
    #[error("`{path}` is a binary file")]
    Binary {
        /// Relative to the root.
        path: String,
    },
}

impl Workspace {
    /// Reads a file given relative to the root, whole, for showing it: bytes of older encodings that
    /// are not UTF-8 become U+FFFD. Lines keep their numbers.
    ///
    /// # Errors
    /// Every variant of [`ReadError`].
    pub fn read_text(&self, path: &str, bytes_max: u64) -> Result<TextFile, ReadError> {
        let path = self.resolve_in_tree(path)?;
        let bytes = read_bytes(&self.root.join(&path), bytes_max).map_err(|error| match error {
            Unread::Io(source) => ReadError::Io { path: path.clone(), source },
            Unread::NotAFile(_) => ReadError::NotAFile { path: path.clone() },
            Unread::TooLarge(bytes) => ReadError::TooLarge { path: path.clone(), bytes, bytes_max },
        })?;
        if is_binary(&bytes) {
            return Err(ReadError::Binary { path });
        }
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        Ok(TextFile { path, text })
    }
}

/// Whether bytes look like data rather than text.
pub(crate) fn is_binary(bytes: &[u8]) -> bool {
    bytes[..bytes.len().min(BINARY_PROBE_BYTES)].contains(&0)
}

/// Why [`read_bytes`] gave nothing.
pub(crate) enum Unread {
    Io(std::io::Error),
    /// What it is instead.
    NotAFile(&'static str),
    TooLarge(u64),
}

/// Reads a regular file whole if it has at most `bytes_max` bytes, even while it grows.
pub(crate) fn read_bytes(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Unread> {
    // Looked at before it is opened: opening a pipe would wait for its writer.
    let meta = std::fs::metadata(path).map_err(Unread::Io)?;
    if !meta.is_file() {
        return Err(Unread::NotAFile(if meta.is_dir() {
            "a directory"
        } else {
            "a device or a pipe"
        }));
    }
    let file = File::open(path).map_err(Unread::Io)?;
    let meta = file.metadata().map_err(Unread::Io)?;
    if meta.len() > bytes_max {
        return Err(Unread::TooLarge(meta.len()));
    }
    let mut bytes = Vec::with_capacity(meta.len() as usize + 1);
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(Unread::Io)?;
    if bytes.len() as u64 > bytes_max {
        return Err(Unread::TooLarge(bytes.len() as u64));
    }
    Ok(bytes)
}
