//! What clients of llama.cpp's own server ask beside the published dialects: `POST /infill`, as its editor
//! plugins (llama.vim, llama.vscode) send it, `/tokenize` and `/detokenize`.
//!
//! Of the many options of `/infill`, those are read that say what is to be generated; those that tune that
//! server (its slots, its samplers' order, its time limits) are not, nor is the name of the model.
//! Sources: llama.cpp's `tools/server/README.md`, llama.vim's `autoload/llama.vim`.

mod infill;

pub use infill::{Frame, Frames, Infill, Parsed, read};

use super::json;
use crate::ErrorBody;
use serde::{Deserialize, Serialize};

/// Body of `POST /tokenize`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Tokenize {
    /// The text.
    pub content: String,
    /// Whether the token that begins a sequence comes first, where the model has it so.
    #[serde(default)]
    pub add_special: bool,
    /// Whether texts of special tokens become those tokens.
    #[serde(default = "yes")]
    pub parse_special: bool,
    /// Whether each id comes with its text.
    #[serde(default)]
    pub with_pieces: bool,
}

fn yes() -> bool {
    true
}

/// Reads the body of `POST /tokenize`.
pub fn read_tokenize(body: &[u8]) -> Result<Tokenize, ErrorBody> {
    json::read(body)
}

/// The answer to [`Tokenize`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tokens {
    /// In order.
    pub tokens: Vec<Token>,
}

/// A token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Token {
    /// Its id.
    Id(u32),
    /// Its id and what it stands for.
    Piece {
        /// The id.
        id: u32,
        /// The text.
        piece: Piece,
    },
}

/// What a token stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Piece {
    /// Whole characters.
    Text(String),
    /// Anything else.
    Bytes(Vec<u8>),
}

impl Token {
    /// An id with the bytes that it stands for.
    pub fn with_bytes(id: u32, bytes: &[u8]) -> Self {
        let piece = match std::str::from_utf8(bytes) {
            Ok(text) => Piece::Text(text.to_owned()),
            Err(_) => Piece::Bytes(bytes.to_owned()),
        };
        Self::Piece { id, piece }
    }
}

/// Reads the ids in the body of `POST /detokenize`.
pub fn read_detokenize(body: &[u8]) -> Result<Vec<u32>, ErrorBody> {
    #[derive(Deserialize)]
    struct Detokenize {
        tokens: Vec<u32>,
    }
    json::read(body).map(|Detokenize { tokens }| tokens)
}

/// The answer to `POST /detokenize`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Detokenized {
    /// The text. What is none is marked with U+FFFD.
    pub content: String,
}
