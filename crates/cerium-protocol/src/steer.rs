//! Redirecting an answer while it is written.

use crate::Input;
use serde::{Deserialize, Serialize};

/// Asks that a running response go on otherwise (`response.steer`). It ends as incomplete, `steered`, with
/// what is kept of it, and another one follows that inherits its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SteerResponse {
    /// The response that runs.
    pub previous_response_id: String,
    /// What the person says to what was written so far: user messages alone.
    pub input: Input,
    /// What the Responses API has no field for.
    #[serde(default, skip_serializing_if = "SteerExtensions::is_default")]
    pub cerium: SteerExtensions,
}

/// Extension fields, understood by cerium alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SteerExtensions {
    /// How much of the answer stays.
    pub keep: Keep,
    /// The answer itself goes on after what is kept and this text, which becomes part of it; nothing is said
    /// to it, so `input` is empty.
    pub go_on: Option<String>,
    /// First characters of the next answer, as in [`crate::Extensions::prefix`].
    pub prefix: String,
    /// What the next answer will probably look like. Absent: like the one that is redirected.
    pub prediction: Option<String>,
    /// Another temperature from here on.
    pub temperature: Option<f32>,
    /// Another seed from here on.
    pub seed: Option<u64>,
}

impl SteerExtensions {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How much of what was shown of an answer stays when it is redirected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// All of it.
    #[default]
    All,
    /// Whole lines.
    Lines,
    /// Whole lines up to the end of a statement, as far as brackets and line ends tell.
    Statements,
    /// Up to the last empty line, or the last fence or marker of an edit.
    Hunks,
    /// So many bytes of it.
    Bytes(usize),
}
