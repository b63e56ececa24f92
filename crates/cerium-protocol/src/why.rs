//! Why a prompt was computed: what of it was known, and what became of the rest.

use serde::{Deserialize, Serialize};

/// What of a prompt had been computed before, and why the rest had not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// Why it was computed from there on.
    pub cause: Cause,
    /// Known tokens that came from disk.
    #[serde(default)]
    pub restored_tokens: u64,
    /// Tokens, behind the known ones, that had been computed once.
    #[serde(default)]
    pub gone_tokens: u64,
    /// The prompt, part by part.
    pub parts: Vec<PartRead>,
    /// Where the first token stands that was not known. Absent when only the last one was left, which is always
    /// computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// Why a part of a prompt had to be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// All of it was known, but for its last token.
    Known,
    /// Nobody had gone on from there.
    New,
    /// What was known goes on otherwise.
    Differs,
    /// It was computed, and went because its memory was needed.
    Evicted,
    /// It was computed by an engine that has ended, and was not on disk.
    Lost,
    /// It was computed by another model, or in another way: with other positions, or in another format.
    Elsewhere,
}

/// How much of a part of a prompt was known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRead {
    /// What it is: `system text`, `scope`, `instruction`, ...
    pub name: String,
    /// Its tokens.
    pub tokens: u64,
    /// Of these, tokens that were known.
    pub known_tokens: u64,
}

/// A place in a prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Which of the parts, counted from 0.
    pub part: usize,
    /// Byte in it.
    pub byte: usize,
    /// The text before it, a little of it.
    pub before: String,
    /// The text there.
    pub here: String,
    /// What stood there in the known prompt that has most in common with this one, if one goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<String>,
}
