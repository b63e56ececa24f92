//! What the programs of one person say to their engine beside requests: `/cerium/...`, on its
//! private socket alone.

use crate::{DraftUsage, ModelInfo, Timings, Usage, Why};
use serde::{Deserialize, Serialize};

/// `GET`: a [`Hello`].
pub const HELLO: &str = "/cerium/hello";
/// `POST` a [`Text`]: its [`Count`].
pub const TOKENS: &str = "/cerium/tokens";
/// `POST` a [`Cancel`]: the answer ends soon, with what it has.
pub const CANCEL: &str = "/cerium/cancel";
/// `POST` a list of the bodies of responses that are not to be generated: whether they are [`Warming`]. They take
/// the place of those that were to be read ahead before.
pub const WARM: &str = "/cerium/warm";
/// `GET`: the last answers and what of their prompts was known, as [`Explained`], oldest first.
pub const WHY: &str = "/cerium/why";
/// `POST` the body of a response: the [`Count`] of tokens of its prompt that would be computed.
pub const MISSING: &str = "/cerium/missing";
/// `POST` a [`Stop`]: whether the engine [`Stopping`].
pub const STOP: &str = "/cerium/stop";

/// What an engine is and holds, as whoever started it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Which program it is, to the build.
    pub build: String,
    /// Its process.
    pub pid: u32,
    /// Since when it runs, in seconds since 1970.
    pub started: u64,
    /// Address of its public door. An engine with one leaves when the person ends it, and not
    /// because another one would like its place.
    pub serves: Option<String>,
    /// What it loaded.
    pub holds: Holds,
    /// What a person should know about how it was loaded.
    pub notes: Vec<String>,
}

/// What was asked to be loaded: of two engines that hold the same, one is enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holds {
    /// Path of the model's file.
    pub path: String,
    /// Length and time of change of that file: another file may take its place.
    pub file: String,
    /// Longest sequence in tokens, if one was asked for.
    pub context: Option<usize>,
    /// How keys and values are stored.
    pub kv: String,
    /// Bytes of memory it may take, if that was set.
    pub memory: Option<u64>,
    /// Bytes of disk that computed prompts may take; 0 where none are kept.
    pub kept: u64,
    /// Threads, if their number was asked for.
    pub threads: Option<u16>,
}

/// An engine, seen from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// What it is.
    #[serde(flatten)]
    pub about: About,
    /// The model that answers.
    pub model: ModelInfo,
    /// What it does and did.
    pub activity: Activity,
}

/// What an engine does and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// Requests being answered.
    pub running: usize,
    /// Milliseconds since the last one.
    pub idle_ms: u64,
    /// Answers that came to their end.
    pub answers: u64,
    /// Tokens of their prompts.
    pub prompt_tokens: u64,
    /// Of these, tokens that were not computed again.
    pub cached_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Steps that these took.
    #[serde(default)]
    pub output_steps: u64,
    /// Draft tokens proposed.
    pub drafted_tokens: u64,
    /// Draft tokens accepted.
    pub accepted_tokens: u64,
    /// Both by what the drafts came from.
    #[serde(default)]
    pub drafts: DraftUsage,
}

/// An answer, and what of its prompt was known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explained {
    /// `resp_...`
    pub id: String,
    /// When it ended, in seconds since 1970.
    pub ended: u64,
    /// Token counts.
    pub usage: Usage,
    /// Durations.
    pub timings: Timings,
    /// Why its prompt was computed as far as it was.
    pub why: Why,
}

/// A text whose tokens are to be counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// The text.
    pub text: String,
}

/// How many tokens the model sees in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// So many.
    pub tokens: usize,
}

/// Which answer is to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// Id of its response.
    pub id: String,
}

/// Asks an engine to leave: it takes no more requests and ends once those it has are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// Only if it is answering none.
    pub if_idle: bool,
}

/// Whether an engine leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopping {
    /// It does.
    pub stopping: bool,
}

/// Whether something is read ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warming {
    /// It is.
    pub warming: bool,
}
