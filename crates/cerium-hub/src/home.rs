//! Where models live on this machine.

use crate::{Entry, HubError};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// The directory that holds models and caches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// `$CERIUM_HOME`, else `$XDG_DATA_HOME/cerium`, else `~/.local/share/cerium`.
    ///
    /// # Errors
    /// [`HubError::NoHome`] when the environment names none of them.
    pub fn from_env() -> Result<Self, HubError> {
        Self::from_vars(|name| env::var_os(name))
    }

    fn from_vars(var: impl Fn(&str) -> Option<OsString>) -> Result<Self, HubError> {
        let path = |name| var(name).map(PathBuf::from).filter(|path| !path.as_os_str().is_empty());
        if let Some(root) = path("CERIUM_HOME") {
            return Ok(Self { root });
        }
        // The base directory specification says to ignore a relative path.
        if let Some(data) = path("XDG_DATA_HOME").filter(|data| data.is_absolute()) {
            return Ok(Self { root: data.join("cerium") });
        }
        match path("HOME") {
            Some(home) => Ok(Self { root: home.join(".local/share/cerium") }),
            None => Err(HubError::NoHome),
        }
    }

    /// A home at a given place, which need not exist yet.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where model files are: `models/<name>/<file>`.
    pub fn models_dir(&self) -> PathBuf {
        self.root.join("models")
    }

    /// Where weights are kept as they are used, files that can be made again: each has a name that
    /// begins with its model's hash.
    pub fn packed_dir(&self) -> PathBuf {
        self.root.join("packed")
    }

    /// Where keys and values of prompts are kept, in directories whose names begin with their model's hash.
    pub fn kv_dir(&self) -> PathBuf {
        self.root.join("kv")
    }

    /// The packed weights of a model.
    pub(crate) fn packed_files(&self, entry: &Entry) -> Vec<PathBuf> {
        let Ok(files) = fs::read_dir(self.packed_dir()) else { return Vec::new() };
        let is_its = |file: &fs::DirEntry| {
            file.file_name().as_encoded_bytes().starts_with(entry.sha256.as_bytes())
        };
        files.flatten().filter(is_its).map(|file| file.path()).collect()
    }

    /// Final place of a model's file.
    pub(crate) fn model_path(&self, entry: &Entry) -> PathBuf {
        self.models_dir().join(entry.name).join(entry.file)
    }

    /// Where a model's unfinished download is kept.
    pub(crate) fn partial_dir(&self, name: &str) -> PathBuf {
        self.models_dir().join(".partial").join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(vars: &[(&str, &str)]) -> Option<PathBuf> {
        let find = |name: &str| {
            vars.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
        };
        Home::from_vars(find).ok().map(|home| home.root)
    }

    #[test]
    fn the_first_variable_that_is_set_decides() {
        let all = [("CERIUM_HOME", "/c"), ("XDG_DATA_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(home(&all), Some("/c".into()));
        assert_eq!(home(&all[1..]), Some("/x/cerium".into()));
        assert_eq!(home(&all[2..]), Some("/h/.local/share/cerium".into()));
        assert_eq!(home(&[]), None);
        assert_eq!(
            home(&[("CERIUM_HOME", ""), ("HOME", "/h")]).unwrap().parent(),
            Some(Path::new("/h/.local/share"))
        );
        let relative = [("XDG_DATA_HOME", "x"), ("HOME", "/h")];
        assert_eq!(home(&relative), Some("/h/.local/share/cerium".into()));
    }
}
