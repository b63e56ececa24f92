//! Why a model file cannot be used.

use std::{io, path::PathBuf};

use crate::{gguf::GgufError, memory::Bound, template::TemplateError, tokenizer::TokenizerError};

/// A longer sequence was asked for than the model supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a context of {asked} tokens was asked for, the model reaches {supported}")]
pub struct ContextError {
    /// Tokens asked for.
    pub asked: usize,
    /// Tokens that the longest sequence may have.
    pub supported: usize,
}

/// Why a model file could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file cannot be opened or mapped.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not a GGUF file, is damaged, or lacks something.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// Its vocabulary cannot be used.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// Its chat template cannot be used.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// There is no decoder for this family.
    #[error("models of architecture `{found}` are not supported ({supported} are)")]
    Architecture {
        /// What the file says.
        found: String,
        /// What would work.
        supported: String,
    },
    /// A size is one that no model has.
    #[error("`{key}` is {found}, supported are 1 to {max}")]
    Size {
        /// Key of the metadata.
        key: String,
        /// Its value.
        found: u64,
        /// Largest supported value.
        max: u64,
    },
    /// The attention heads do not fit each other.
    #[error(
        "{n_heads} heads over {n_kv_heads} key heads of {head_dim} values, {n_rot} of them rotated: \
         heads must share key heads evenly, and sizes be multiples of 16 and 2"
    )]
    Heads {
        /// Query heads.
        n_heads: usize,
        /// Key and value heads.
        n_kv_heads: usize,
        /// Values per head.
        head_dim: usize,
        /// Rotated values per head.
        n_rot: usize,
    },
    /// Experts of a width that cannot be packed.
    #[error("experts are {d_ffn} wide, supported are multiples of 16")]
    Experts {
        /// Values of an expert's hidden layer.
        d_ffn: usize,
    },
    /// Positions are scaled in a way that is not supported.
    #[error("rotary scaling `{found}` is not supported")]
    RopeScaling {
        /// What the file says.
        found: String,
    },
    /// The model needs a tensor that the file does not have.
    #[error("the file has no tensor `{name}`")]
    Missing {
        /// Its name.
        name: String,
    },
    /// A tensor has another shape than the model needs.
    #[error("tensor `{name}` has shape {found:?}, the model needs {expected:?}")]
    Shape {
        /// Its name.
        name: String,
        /// Innermost dimension first.
        found: Vec<u64>,
        /// Innermost dimension first.
        expected: Vec<u64>,
    },
    /// There is less memory than it needs.
    #[error(
        "the model needs {} MB of memory, {n_tokens} tokens of context included; {} MB {bound}",
        needed.div_ceil(1_000_000), available / 1_000_000
    )]
    Room {
        /// Bytes that it needs.
        needed: u64,
        /// Tokens of context counted in.
        n_tokens: usize,
        /// Bytes that there are.
        available: u64,
        /// What says so.
        bound: Bound,
    },
    /// The system gives no more memory.
    #[error("no memory for {n_bytes} bytes of weights")]
    Memory {
        /// What was asked for.
        n_bytes: usize,
        /// What the system said.
        source: io::Error,
    },
    /// A tensor cannot be packed.
    #[error("tensor `{name}` cannot be used")]
    Pack {
        /// Its name.
        name: String,
        /// Why.
        source: cerium_kernels::PackError,
    },
}

impl LoadError {
    /// What would help, for the `hint:` line after the error.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Room { bound: Bound::Setting, .. } => {
                "raise `memory` in your config.toml, or take a smaller model".into()
            }
            Self::Room { bound: Bound::Group, .. } => {
                "give the container or service more memory, or take a smaller model".into()
            }
            Self::Room { bound: Bound::Machine, .. } | Self::Memory { .. } => {
                "close other programs, or take a smaller model".into()
            }
            _ => return None,
        })
    }
}
