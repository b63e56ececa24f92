//! The tree of files a command works in: where it begins, what belongs to it, and reading from it.
//!
//! A tree begins at the nearest ancestor that holds `.git`, or at the directory itself when there
//! is none. Everything handed out is a path relative to that root, written with `/`; everything
//! taken in is checked to lie inside it after symbolic links are resolved, so that no name, link
//! or model output can lead a read out of the tree.

mod read;
mod state;
mod walk;

pub use read::{ReadError, TextFile};
pub(crate) use read::{Unread, is_binary, read_bytes};
pub use state::{StateError, StateHome, tree_key};
pub(crate) use state::{private_dir, write_private};
pub use walk::{Listing, WalkLimits, sole_match};

use std::path::{Component, Path, PathBuf};

/// The tree around a working directory.
#[derive(Clone, Debug)]
pub struct Workspace {
    root: PathBuf,
    cwd: PathBuf,
}

/// Why a path does not name a place in the tree.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkspaceError {
    /// The directory or path cannot be looked at.
    #[error("cannot find `{path}`")]
    Missing {
        /// As it was given.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The working directory is a file.
    #[error("`{path}` is not a directory")]
    NotADirectory {
        /// As it was given.
        path: PathBuf,
    },
    /// The path, its links resolved, lies elsewhere.
    #[error("`{path}` is outside the tree `{root}`")]
    Outside {
        /// As it was given.
        path: PathBuf,
        /// Root of the tree.
        root: PathBuf,
    },
    /// There is something already where something new is wanted.
    #[error("`{path}` exists already")]
    Exists {
        /// As it was given.
        path: PathBuf,
    },
    /// The path cannot be written as text.
    #[error("`{path}` is not a UTF-8 path")]
    NotUtf8 {
        /// As it was given.
        path: PathBuf,
    },
}

impl Workspace {
    /// Finds the tree that `cwd` belongs to.
    ///
    /// # Errors
    /// `Missing` or `NotADirectory` when `cwd` is no directory that can be entered.
    pub fn discover(cwd: &Path) -> Result<Self, WorkspaceError> {
        let missing = |source| WorkspaceError::Missing { path: cwd.to_owned(), source };
        let cwd_canonical = cwd.canonicalize().map_err(missing)?;
        if !cwd_canonical.is_dir() {
            return Err(WorkspaceError::NotADirectory { path: cwd.to_owned() });
        }
        // A file named `.git` counts too: worktrees and submodules have one.
        let root = cwd_canonical.ancestors().find(|dir| dir.join(".git").exists());
        let root = root.unwrap_or(&cwd_canonical).to_owned();
        Ok(Self { root, cwd: cwd_canonical })
    }

    /// The tree with this root, whatever is around it.
    ///
    /// * `root`: canonical
    pub(crate) fn at(root: &Path) -> Self {
        Self { root: root.to_owned(), cwd: root.to_owned() }
    }

    /// Canonical path of the root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Name of this tree among the state directories: see [`tree_key`].
    pub fn key(&self) -> String {
        tree_key(&self.root)
    }

    /// Turns a path given by a person, absolute or relative to the working directory, into one
    /// relative to the root. `""` is the root itself. The file or directory must exist.
    ///
    /// # Errors
    /// `Missing`, `Outside` (links count as what they lead to) or `NotUtf8`.
    pub fn resolve(&self, given: &Path) -> Result<String, WorkspaceError> {
        self.relative(given, &self.cwd.join(given))
    }

    /// Like [`resolve`](Self::resolve), for a path relative to the root: those in plans, in
    /// excerpts and in the answers of a model.
    ///
    /// # Errors
    /// As for `resolve`.
    pub fn resolve_in_tree(&self, given: &str) -> Result<String, WorkspaceError> {
        self.relative(Path::new(given), &self.root.join(given))
    }

    /// Turns a path given by a person, at which there is nothing yet, into one relative to the root.
    /// Directories on the way may be missing as well.
    ///
    /// # Errors
    /// `Exists`, also for a link that leads nowhere; `Outside`, git's own directory included;
    /// `NotADirectory`, `NotUtf8`.
    pub fn resolve_new(&self, given: &Path) -> Result<String, WorkspaceError> {
        let path = || given.to_owned();
        let full = self.cwd.join(given);
        if full.symlink_metadata().is_ok() {
            return Err(WorkspaceError::Exists { path: path() });
        }
        let outside = || WorkspaceError::Outside { path: path(), root: self.root.clone() };
        // What is there and leads nowhere is a link, and nothing is made through it.
        let above = full.ancestors().skip(1).find(|dir| dir.symlink_metadata().is_ok());
        let dir = above.ok_or_else(outside)?;
        let real = dir.canonicalize().map_err(|_| outside())?;
        if !real.is_dir() {
            return Err(WorkspaceError::NotADirectory { path: dir.to_owned() });
        }
        let rest = full.strip_prefix(dir).map_err(|_| outside())?;
        let plain = rest.components().all(|part| matches!(part, Component::Normal(_)));
        let real = real.join(rest);
        let inside = real.strip_prefix(&self.root).ok().filter(|_| plain).ok_or_else(outside)?;
        if inside.components().any(|part| part.as_os_str() == ".git") {
            return Err(outside());
        }
        slashed(inside).ok_or_else(|| WorkspaceError::NotUtf8 { path: path() })
    }

    /// Whether a path from a plan or a model could be a new file of the tree: relative, without
    /// `..`, hidden parts or trailing slash, and its nearest existing ancestor inside the tree.
    pub fn could_create(&self, given: &str) -> bool {
        let path = Path::new(given);
        let plain = |part| match part {
            Component::Normal(name) => !name.to_string_lossy().starts_with('.'),
            _ => false,
        };
        if given.is_empty() || given.ends_with('/') || !path.components().all(plain) {
            return false;
        }
        let full = self.root.join(path);
        let ancestor = full.ancestors().skip(1).find_map(|dir| dir.canonicalize().ok());
        // A dangling link does not exist either, but writing through it would leave the tree.
        full.symlink_metadata().is_err()
            && ancestor.is_some_and(|dir| dir.is_dir() && dir.starts_with(&self.root))
    }

    fn relative(&self, given: &Path, full: &Path) -> Result<String, WorkspaceError> {
        let missing = |source| WorkspaceError::Missing { path: given.to_owned(), source };
        let canonical = full.canonicalize().map_err(missing)?;
        let inside = canonical.strip_prefix(&self.root).map_err(|_| WorkspaceError::Outside {
            path: given.to_owned(),
            root: self.root.clone(),
        })?;
        slashed(inside).ok_or_else(|| WorkspaceError::NotUtf8 { path: given.to_owned() })
    }
}

/// A relative path as text with `/` between its parts; nothing when it is not UTF-8.
fn slashed(path: &Path) -> Option<String> {
    let parts: Option<Vec<&str>> =
        path.components().map(|part| part.as_os_str().to_str()).collect();
    Some(parts?.join("/"))
}
