//! Where the harness keeps what it must remember about a tree: never in the tree itself, but under
//! the user's state directory, in one folder per tree.

use sha2::{Digest, Sha256};
use std::fs::DirBuilder;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The directory under which every tree has its folder: `$XDG_STATE_HOME/cerium`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateHome(PathBuf);

/// Why there is no place to keep state.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Neither variable names a directory.
    #[error("no place to keep state: neither `XDG_STATE_HOME` nor `HOME` is an absolute path")]
    NoHome,
}

impl StateHome {
    /// Takes `$XDG_STATE_HOME/cerium`, else `$HOME/.local/state/cerium`. As the XDG specification
    /// asks, a relative path in the variable is ignored.
    ///
    /// # Errors
    /// `NoHome` when neither variable holds an absolute path.
    pub fn from_env() -> Result<Self, StateError> {
        let absolute = |name| {
            let path = std::env::var_os(name).map(PathBuf::from);
            path.filter(|path| path.is_absolute())
        };
        let home = absolute("XDG_STATE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
            .ok_or(StateError::NoHome)?;
        Ok(Self(home.join("cerium")))
    }

    /// Uses a directory as it is, for tests and for callers with their own rules.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self(dir.into())
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// The folder of the tree whose canonical root is given. It need not exist yet.
    pub fn tree(&self, root: &Path) -> PathBuf {
        self.0.join("trees").join(tree_key(root))
    }
}

/// Puts new bytes in a file's place in one step, readable for its owner alone; its folder is made with it.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    private_dir(dir)?;
    let mut new = tempfile::NamedTempFile::new_in(dir)?;
    new.write_all(bytes)?;
    new.as_file().sync_all()?;
    new.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Makes a folder that only its owner may look into.
pub(crate) fn private_dir(dir: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Name of a tree's folder: its last path component, for people who look, and 16 hexadecimal
/// digits of the SHA-256 of the whole canonical path, so that equal names never meet.
pub fn tree_key(root: &Path) -> String {
    let digest = Sha256::digest(root.as_os_str().as_encoded_bytes());
    let name = root.file_name().unwrap_or_default().to_string_lossy();
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let mut key: String = name.chars().filter(plain).take(40).collect();
    key.push('-');
    for byte in &digest[..8] {
        use std::fmt::Write;
        let _ = write!(key, "{byte:02x}"); // Writing to a string cannot fail.
    }
    key
}
