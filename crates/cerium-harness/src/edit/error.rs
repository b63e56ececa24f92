//! Why an edit did not happen, and what that means for the exit code.

use super::merge::Clash;
use crate::files::FileError;
use crate::journal::JournalError;
use cerium_protocol::ErrorBody;
use std::path::PathBuf;

/// What sort of failure it is, as the command line tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The person said no, or stopped it (exit code 1).
    Declined,
    /// The request, the file or the setting cannot be worked with (exit code 2).
    BadInput,
    /// The model gave nothing usable, an unchanged answer included (exit code 3).
    NoUsableEdit,
}

impl Failure {
    /// The exit code of the command.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Declined => 1,
            Self::BadInput => 2,
            Self::NoUsableEdit => 3,
        }
    }
}

/// Why an edit did not happen. The file is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The file cannot be edited.
    #[error(transparent)]
    File(#[from] FileError),
    /// The instruction says nothing.
    #[error("the instruction is empty")]
    EmptyInstruction,
    /// No file was named, and none can be found.
    #[error("nothing in this tree matches the instruction")]
    NoFile,
    /// The lines asked for are not there.
    #[error("lines {start}:{end} are not in `{path}`, which has {count}")]
    NoSuchLines {
        /// First line asked for.
        start: usize,
        /// Last line asked for.
        end: usize,
        /// The file.
        path: String,
        /// How many lines it has.
        count: usize,
    },
    /// The symbol asked for is not declared.
    #[error("`{symbol}` is not declared in `{path}`")]
    NoSuchSymbol {
        /// As it was given.
        symbol: String,
        /// The file.
        path: String,
        /// Declared names that look like it.
        similar: Vec<String>,
    },
    /// The code to change does not fit into the model's context.
    #[error("the edit needs {needed} tokens of context, the model has {available}")]
    TooLong {
        /// Tokens of prompt and answer.
        needed: usize,
        /// The model's context.
        available: usize,
    },
    /// The model could not be asked.
    #[error("the model failed: {0}")]
    Backend(#[source] ErrorBody),
    /// The person stopped it.
    #[error("cancelled; nothing was written")]
    Cancelled,
    /// The model's answer changes nothing.
    #[error("the model left the code unchanged")]
    Unchanged,
    /// The model's answer cannot be used.
    #[error("the model gave no usable edit: {reason}")]
    NoUsableEdit {
        /// What is wrong with it.
        reason: String,
        /// The last answer, for people who want to see it.
        reply: String,
    },
    /// Files changed while the edit was made, where it matters.
    #[error("`{}` changed while the edit was made; nothing was written", .paths.join("`, `"))]
    Conflict {
        /// Those files.
        paths: Vec<String>,
        /// The places; none when only the whole does not fit together.
        clashes: Vec<Clash>,
        /// Number under which the journal keeps the edit.
        kept: Option<crate::journal::EntryId>,
    },
    /// Files of one edit belong to different trees.
    #[error("`{}` and `{}` are in different trees", .paths[0].display(), .paths[1].display())]
    SeveralTrees {
        /// Two of them.
        paths: [PathBuf; 2],
    },
    /// The edit could not be journalled.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl EditError {
    /// What sort of failure it is.
    pub fn failure(&self) -> Failure {
        match self {
            Self::Cancelled => Failure::Declined,
            Self::Unchanged | Self::NoUsableEdit { .. } => Failure::NoUsableEdit,
            _ => Failure::BadInput,
        }
    }

    /// What would help, in a sentence.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Journal(error) => error.hint(),
            Self::NoSuchSymbol { similar, .. } if !similar.is_empty() => {
                Some(format!("it declares {}", similar.join(", ")))
            }
            Self::TooLong { .. } => {
                Some("name a smaller part with --lines or --symbol, or split the edit".to_owned())
            }
            Self::Unchanged | Self::NoUsableEdit { .. } => Some(
                "say it in other words, name the place with --symbol or --lines, or try a larger \
                 --model"
                    .to_owned(),
            ),
            Self::Conflict { kept: Some(id), .. } => {
                Some(format!("the proposal is kept as edit {id} of `cerium log`; ask again"))
            }
            Self::NoFile => Some("name the file: cerium edit FILE -i TEXT".to_owned()),
            Self::SeveralTrees { .. } => {
                Some("edit the files of each tree in a command of its own".to_owned())
            }
            _ => None,
        }
    }
}
