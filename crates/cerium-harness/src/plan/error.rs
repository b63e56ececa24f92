//! What can go wrong with plans.

use crate::journal::EntryId;
use cerium_protocol::ErrorBody;
use std::path::PathBuf;

/// Why there is no plan, or no new one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// No goal, or no request, was given.
    #[error("the {what} is empty")]
    Empty {
        /// `goal` or `request`.
        what: &'static str,
    },
    /// There is nothing to plan for.
    #[error(
        "no text files to plan for in `{root}` (hidden, ignored and binary files do not count)"
    )]
    NoFiles {
        /// Root of the tree.
        root: PathBuf,
    },
    /// The goal or request leaves no room.
    #[error("the {what} has {n_tokens} tokens; at most {n_tokens_max} fit")]
    TooLong {
        /// `goal` or `request`.
        what: &'static str,
        /// Its tokens.
        n_tokens: usize,
        /// Tokens it may have.
        n_tokens_max: usize,
    },
    /// The model wrote something in which there is no step.
    #[error("the model wrote no step that could be read")]
    NoSteps {
        /// What it wrote.
        reply: String,
    },
    /// The revised step is what it was.
    #[error("the model left step {number} as it was")]
    Unchanged {
        /// The step.
        number: usize,
    },
    /// No step has this number.
    #[error("there is no step {number}; the plan has {n_steps}")]
    NoSuchStep {
        /// The number asked for.
        number: usize,
        /// Steps of the plan.
        n_steps: usize,
    },
    /// A request names several steps.
    #[error("the request names steps {numbers:?}; one is revised at a time")]
    SeveralSteps {
        /// Their numbers.
        numbers: Vec<usize>,
    },
    /// Neither the words of a request nor the model told which step is meant.
    #[error("cannot tell which of the {n_steps} steps is meant; name its number")]
    UnclearStep {
        /// Steps of the plan.
        n_steps: usize,
    },
    /// The step was carried out before.
    #[error("step {number} was carried out by edit {edit}")]
    AlreadyDone {
        /// The step.
        number: usize,
        /// The edit in the journal.
        edit: EntryId,
    },
    /// The step was carried out in an editor.
    #[error("step {number} was carried out in an editor")]
    AlreadyEdited {
        /// The step.
        number: usize,
    },
    /// The step is no edit.
    #[error("step {number} runs a command; it is no edit")]
    IsCommand {
        /// The step.
        number: usize,
    },
    /// The step names no file.
    #[error("step {number} names no file to edit")]
    NothingToEdit {
        /// The step.
        number: usize,
    },
    /// The caller broke off.
    #[error("cancelled; the plan is as it was")]
    Cancelled,
    /// The model could not answer.
    #[error(transparent)]
    Backend(#[from] ErrorBody),
    /// The plan cannot be read or written.
    #[error("cannot {what} the plan at `{path}`")]
    Io {
        /// `read` or `write`.
        what: &'static str,
        /// Its file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not a plan.
    #[error("the plan at `{path}` is damaged; a new plan puts it aside")]
    Damaged {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A later version of the program wrote the file.
    #[error("the plan at `{path}` has format {found}, this program knows {known}")]
    Newer {
        /// Its file.
        path: PathBuf,
        /// Version found.
        found: u32,
        /// Newest version that can be read.
        known: u32,
    },
    /// Another process saved a plan since this one was loaded.
    #[error("another process changed the plan at `{path}` meanwhile; nothing was saved")]
    Changed {
        /// Its file.
        path: PathBuf,
    },
}
