//! What comes back: the finished response and the events on the way to it.

use crate::{ErrorBody, Item, Why};
use serde::{Deserialize, Serialize};
use std::ops::AddAssign;

/// How a response stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Being written.
    InProgress,
    /// Ended by the model or a stop text.
    Completed,
    /// Cut by the token limit or the context.
    Incomplete,
    /// Stopped by the client.
    Cancelled,
    /// Ended by an error.
    Failed,
}

/// Token counts of one response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Of these, tokens whose keys and values were already there.
    pub cached_tokens: u64,
    /// Tokens generated.
    pub output_tokens: u64,
    /// Steps that these took: one each without drafts.
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

impl Usage {
    /// Adds another answer to the same prompt, which is read once.
    pub fn add_candidate(&mut self, other: Self) {
        *self += Self { prompt_tokens: 0, cached_tokens: 0, ..other };
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.prompt_tokens += other.prompt_tokens;
        self.cached_tokens += other.cached_tokens;
        self.output_tokens += other.output_tokens;
        self.output_steps += other.output_steps;
        self.drafted_tokens += other.drafted_tokens;
        self.accepted_tokens += other.accepted_tokens;
        self.drafts += other.drafts;
    }
}

/// Draft tokens by what they came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DraftUsage {
    /// The prediction, as it stood.
    pub copied: DraftCounts,
    /// The prediction, with changes made in it before.
    pub changed: DraftCounts,
    /// What stood there before.
    pub repeated: DraftCounts,
    /// What the answer's shape leaves no choice about.
    #[serde(default)]
    pub forced: DraftCounts,
}

/// Draft tokens of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DraftCounts {
    /// Proposed.
    pub drafted_tokens: u64,
    /// Accepted.
    pub accepted_tokens: u64,
}

impl AddAssign for DraftUsage {
    fn add_assign(&mut self, other: Self) {
        self.copied += other.copied;
        self.changed += other.changed;
        self.repeated += other.repeated;
        self.forced += other.forced;
    }
}

impl AddAssign for DraftCounts {
    fn add_assign(&mut self, other: Self) {
        self.drafted_tokens += other.drafted_tokens;
        self.accepted_tokens += other.accepted_tokens;
    }
}

/// Wall-clock durations of one response, in milliseconds, seen from the engine's door.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// Submission to where its computation began.
    #[serde(default)]
    pub queue_ms: f64,
    /// Submission to the end of the prompt's computation.
    pub prefill_ms: f64,
    /// Submission to the first token.
    pub ttft_ms: f64,
    /// First token to the last one.
    pub decode_ms: f64,
    /// Submission to the end.
    pub total_ms: f64,
}

/// How likely the model itself found a token, before temperature and whatever else decides.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprob {
    /// The token and its probability.
    #[serde(flatten)]
    pub chosen: Logprob,
    /// The likeliest tokens at its place, likeliest first.
    #[serde(default)]
    pub top_logprobs: Vec<Logprob>,
}

/// A token and its probability.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Logprob {
    /// Its text. Of a part of a character there is none: U+FFFD stands for it.
    pub token: String,
    /// Logarithm of the probability, in nats.
    pub logprob: f32,
    /// Its bytes. Not every server tells them.
    #[serde(default)]
    pub bytes: Option<Vec<u8>>,
}

/// More text of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TextDelta {
    /// The text. Empty where tokens have none of their own.
    pub text: String,
    /// Of the tokens that it came from, if that was asked for.
    pub logprobs: Vec<TokenLogprob>,
    /// What a draft that said it beforehand came from, if one did. It is not told on the wire.
    pub drafted: Option<DraftedFrom>,
}

/// What a draft came from, as [`DraftUsage`] counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DraftedFrom {
    /// The prediction, as it stood.
    Copied,
    /// The prediction, with changes made in it before.
    Changed,
    /// What stood there before.
    Repeated,
    /// What the answer's shape leaves no choice about.
    Forced,
}

impl From<String> for TextDelta {
    fn from(text: String) -> Self {
        Self { text, ..Self::default() }
    }
}

impl From<&str> for TextDelta {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// A response, finished or on its way, as the harness sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// `resp_...`
    pub id: String,
    /// Model that answered.
    pub model: String,
    /// How it stands.
    pub status: Status,
    /// Why it is incomplete: `max_output_tokens`, `context` or `steered`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incomplete_reason: Option<String>,
    /// The answer: messages, calls and reasoning, in the order in which they were begun.
    pub output: Vec<Item>,
    /// How likely the tokens of what it says were, one after the other; none unless that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logprobs: Vec<TokenLogprob>,
    /// Token counts.
    pub usage: Usage,
    /// Durations.
    pub timings: Timings,
    /// What of its prompt was known, once it is finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Box<Why>>,
}

impl Response {
    /// One of which there is nothing yet.
    pub fn begun(id: String, model: String) -> Self {
        Self {
            id,
            model,
            status: Status::InProgress,
            incomplete_reason: None,
            output: Vec::new(),
            logprobs: Vec::new(),
            usage: Usage::default(),
            timings: Timings::default(),
            why: None,
        }
    }

    /// What the answer says, without what it calls and thinks.
    pub fn text(&self) -> String {
        let said = self.output.iter().filter(|item| matches!(item, Item::Message { .. }));
        said.map(Item::text).collect()
    }
}

/// One response ends and another goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct Steered {
    /// The response that was redirected, with what is kept of its text.
    pub ended: Response,
    /// The one that follows. Its text begins with what it has already.
    pub successor: Response,
}

/// What happens while a response is written.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The request was accepted.
    Created(Response),
    /// It has to wait for others. How many go first changes; not every change is told.
    Queued {
        /// Requests that are begun before it.
        n_before: usize,
        /// How long that may take, in milliseconds, if that is known.
        wait_ms: Option<u64>,
    },
    /// An item of the answer begins, after the end of the one before. What it has of its text comes
    /// piece by piece.
    Added {
        /// Its place in [`Response::output`].
        index: usize,
        /// The item, without its text.
        item: Item,
    },
    /// More text of the message that was begun.
    TextDelta(TextDelta),
    /// More of what the call that was begun hands over: its arguments, or its input.
    CallDelta(String),
    /// More of the reasoning that was begun.
    ReasoningDelta(String),
    /// It was redirected: what follows is of another response.
    Steered(Box<Steered>),
    /// The end; carries the whole response.
    Done(Response),
    /// The end, by an error.
    Failed(ErrorBody),
}

/// What a client should know of the model behind a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Name by which requests ask for it.
    pub name: String,
    /// Longest sequence, prompt and answer together, in tokens.
    pub context_tokens: usize,
    /// Whether it can fill in the middle.
    pub infill: bool,
    /// Whether it heeds extension fields: its answers can be made to begin with a text, and to end before one.
    pub extensions: bool,
}
