//! Source files as editing needs them: read with everything that must survive, written atomically.
//!
//! Reading refuses what cannot be edited as text (directories, devices, binaries, other encodings,
//! huge files, files that may not be written) before any model is asked. What is kept: a byte order
//! mark, every line ending that is not part of an edit, the presence or absence of a final newline,
//! mode and owner.

mod style;
mod write;

pub(crate) use write::{PREFIX, Staged, mode, remove, remove_empty_dirs, sync_dir};

pub use style::Style;
pub use write::{can_write, write_atomic};

use crate::workspace::{Unread, Workspace, WorkspaceError, read_bytes};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Larger files are refused: no model's window holds them, and a diff of them helps nobody.
pub const FILE_BYTES_MAX: u64 = 8 << 20;

const BOM: &str = "\u{feff}";

/// Why a file cannot be edited, or could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The path does not lead to a place in the tree.
    #[error(transparent)]
    Place(#[from] WorkspaceError),
    /// Reading failed.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A directory, a device, a pipe.
    #[error("`{path}` is {what}, not a regular file")]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it is instead.
        what: &'static str,
    },
    /// More than [`FILE_BYTES_MAX`].
    #[error("`{path}` has {bytes} bytes, more than the {FILE_BYTES_MAX} that can be edited")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// It holds NUL bytes.
    #[error("`{path}` looks binary: there is a NUL byte at offset {offset}")]
    Binary {
        /// The file.
        path: PathBuf,
        /// Where the first one is.
        offset: usize,
    },
    /// It starts with the byte order mark of another encoding.
    #[error("`{path}` is {encoding} by its byte order mark; only UTF-8 can be edited")]
    OtherEncoding {
        /// The file.
        path: PathBuf,
        /// `UTF-16` or `UTF-32`.
        encoding: &'static str,
    },
    /// It is not UTF-8.
    #[error("`{path}` is not UTF-8: byte 0x{byte:02x} on line {line} (offset {offset})")]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Where the text breaks.
        offset: usize,
        /// Its line.
        line: usize,
        /// The byte there.
        byte: u8,
    },
    /// It may not be written.
    #[error("`{path}` is read-only")]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// Writing failed; the file is as it was.
    #[error("cannot write `{path}`; it is unchanged")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl FileError {
    /// What would help, in a sentence.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotUtf8 { path, .. } => Some(format!(
                "if it is Latin-1, convert it first: iconv -f latin1 -t utf-8 {0} > {0}.utf8",
                path.display()
            )),
            Self::OtherEncoding { path, encoding } => Some(format!(
                "convert it first: iconv -f {encoding} -t utf-8 {0} > {0}.utf8",
                path.display()
            )),
            Self::ReadOnly { path } => {
                Some(format!("make it writable first: chmod u+w {}", path.display()))
            }
            Self::Write { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Some("the disk is full; free some space and try again".to_owned())
            }
            _ => None,
        }
    }
}

/// How lines end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eol {
    /// `\n`
    Lf,
    /// `\r\n`
    CrLf,
}

impl Eol {
    /// The ending most lines of a text have; LF when there is none.
    pub fn dominant(text: &str) -> Self {
        let n_all = text.bytes().filter(|&b| b == b'\n').count();
        let n_crlf = text.matches("\r\n").count();
        if n_crlf * 2 > n_all { Self::CrLf } else { Self::Lf }
    }

    /// The characters themselves.
    pub fn text(self) -> &'static str {
        match self {
            Self::Lf => "\n",
            Self::CrLf => "\r\n",
        }
    }
}

/// A file that can be edited, as it was when it was read.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Root of the tree it belongs to, canonical.
    pub root: PathBuf,
    /// Where it is in that tree, with `/`.
    pub path: String,
    /// Its canonical path.
    pub real: PathBuf,
    /// Its text, without byte order mark, line endings as they are.
    pub text: String,
    /// Whether it starts with a byte order mark.
    pub bom: bool,
    /// How new lines look.
    pub style: Style,
}

impl SourceFile {
    /// Opens a file for editing.
    ///
    /// A path inside the workspace's tree must lead, its links resolved, to a file of that tree. A
    /// path elsewhere belongs to the tree around it, and must lead to a file of that one.
    ///
    /// # Errors
    /// Every variant of [`FileError`] but `Write`.
    pub fn open(workspace: &Workspace, given: &Path) -> Result<Self, FileError> {
        let (root, path) = place(workspace, given)?;
        let real = root.join(&path);
        let bytes = read(&real, given)?;
        if !can_write(&real) {
            return Err(FileError::ReadOnly { path: given.to_owned() });
        }
        let (text, bom) = decode(given, bytes)?;
        Ok(Self::from_text(root, path, text, bom))
    }

    /// A file of the tree that is to be made: its text is empty, and nothing is written.
    ///
    /// # Errors
    /// `Place`.
    pub fn to_be_made(workspace: &Workspace, given: &Path) -> Result<Self, FileError> {
        let path = workspace.resolve_new(given)?;
        Ok(Self::from_text(workspace.root().to_owned(), path, String::new(), false))
    }

    /// A buffer that is not on disk in this form: an editor's, or a test's.
    pub fn from_text(root: PathBuf, path: String, text: String, bom: bool) -> Self {
        let style = Style::of(&root, &path, &text);
        Self { real: root.join(&path), root, path, text, bom, style }
    }

    /// The bytes of the file if its text were `text`.
    pub fn encode(&self, text: &str) -> Vec<u8> {
        let bom = if self.bom { BOM } else { "" };
        [bom.as_bytes(), text.as_bytes()].concat()
    }

    /// SHA-256 of the file's bytes, in hexadecimal.
    pub fn hash(&self) -> String {
        hash(&self.encode(&self.text))
    }

    /// The file as it is on disk now.
    ///
    /// # Errors
    /// As for [`SourceFile::open`].
    pub fn reread(&self) -> Result<Self, FileError> {
        let (text, bom) = decode(&self.real, read(&self.real, &self.real)?)?;
        Ok(Self { text, bom, ..self.clone() })
    }
}

/// SHA-256 in hexadecimal.
pub fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // Writing to a string cannot fail.
        text
    })
}

/// The tree a path belongs to, and the path in it.
fn place(workspace: &Workspace, given: &Path) -> Result<(PathBuf, String), FileError> {
    let resolved = match workspace.resolve(given) {
        Err(outside @ WorkspaceError::Outside { .. }) => {
            // Named as something inside and leading outside: a link, refused. Named as something
            // elsewhere: the tree there has the say.
            let parent = given.parent().filter(|_| given.is_absolute());
            let elsewhere = parent.filter(|p| !p.starts_with(workspace.root()));
            let there = elsewhere.and_then(|parent| Workspace::discover(parent).ok());
            let Some(there) = there.filter(|t| !workspace.root().starts_with(t.root())) else {
                return Err(outside.into());
            };
            return Ok((there.root().to_owned(), there.resolve(given)?));
        }
        other => other?,
    };
    Ok((workspace.root().to_owned(), resolved))
}

/// The bytes of a regular file of bounded size. Errors name it as `shown`.
fn read(path: &Path, shown: &Path) -> Result<Vec<u8>, FileError> {
    read_bytes(path, FILE_BYTES_MAX).map_err(|unread| {
        let path = shown.to_owned();
        match unread {
            Unread::Io(source) => FileError::Read { path, source },
            Unread::NotAFile(what) => FileError::NotAFile { path, what },
            Unread::TooLarge(bytes) => FileError::TooLarge { path, bytes },
        }
    })
}

/// Text and whether a byte order mark stood before it.
fn decode(shown: &Path, bytes: Vec<u8>) -> Result<(String, bool), FileError> {
    let path = || shown.to_owned();
    let encoding = match bytes.as_slice() {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Some("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16"),
        _ => None,
    };
    if let Some(encoding) = encoding {
        return Err(FileError::OtherEncoding { path: path(), encoding });
    }
    if let Some(offset) = bytes.iter().position(|&b| b == 0) {
        return Err(FileError::Binary { path: path(), offset });
    }
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        let line = bytes[..offset].split(|&b| b == b'\n').count();
        FileError::NotUtf8 { path: path(), offset, line, byte: bytes[offset] }
    })?;
    let bom = text.starts_with(BOM);
    if bom {
        text.drain(..BOM.len());
    }
    Ok((text, bom))
}

#[cfg(test)]
mod tests;
