//! The chat dialect: `POST /v1/chat/completions`, its completion object and its chunks.

mod asking;
mod reading;
mod render;
mod request;

pub use asking::body;
pub use reading::Reader;
pub use render::{Completion, Frame, Frames};
pub use request::{Parsed, read};

use crate::wire::unserved::{WORD_CHARS, shorten};
use crate::{ErrorBody, Extensions, Item, Response, ServiceTier, Status, Usage};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Token counts by their names in the chat and completions dialects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct WireUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct PromptDetails {
    cached_tokens: u64,
    audio_tokens: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_field_names, reason = "they are the names on the wire")]
struct CompletionDetails {
    reasoning_tokens: u64,
    audio_tokens: u64,
    accepted_prediction_tokens: u64,
    rejected_prediction_tokens: u64,
}

impl From<Usage> for WireUsage {
    fn from(usage: Usage) -> Self {
        // What was drafted without a prediction is no affair of this protocol.
        let mut predicted = usage.drafts.copied;
        predicted += usage.drafts.changed;
        Self {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.output_tokens,
            total_tokens: usage.prompt_tokens + usage.output_tokens,
            prompt_tokens_details: PromptDetails {
                cached_tokens: usage.cached_tokens,
                audio_tokens: 0,
            },
            completion_tokens_details: CompletionDetails {
                reasoning_tokens: 0,
                audio_tokens: 0,
                accepted_prediction_tokens: predicted.accepted_tokens,
                rejected_prediction_tokens: predicted
                    .drafted_tokens
                    .saturating_sub(predicted.accepted_tokens),
            },
        }
    }
}

/// The `usage` of a chunk: left out unless the client asked for counts; then `null` in all chunks
/// but the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum ChunkUsage {
    Unasked,
    Later,
    Now(WireUsage),
}

impl ChunkUsage {
    /// What a chunk says to a client that asked, or did not, when counts are known or not.
    pub(super) fn new(asked: bool, counts: Option<Usage>) -> Self {
        match counts {
            _ if !asked => Self::Unasked,
            None => Self::Later,
            Some(usage) => Self::Now(usage.into()),
        }
    }

    pub(super) fn is_unasked(&self) -> bool {
        *self == Self::Unasked
    }
}

/// What an answer of either dialect must hold beside its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extras {
    /// Candidates.
    pub n: u32,
    /// Whether a stream ends with a chunk of token counts.
    pub usage: bool,
    /// Log-probabilities, of so many of the likeliest tokens beside the chosen ones.
    pub logprobs: Option<u32>,
    /// How it is served.
    pub tier: ServiceTier,
}

impl Default for Extras {
    fn default() -> Self {
        Self { n: 1, usage: false, logprobs: None, tier: ServiceTier::Default }
    }
}

/// Token counts of candidates that have ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tally {
    n_open: u32,
    sum: Option<Usage>,
}

impl Tally {
    pub(super) fn new(extras: Extras) -> Self {
        Self { n_open: extras.n, sum: None }
    }

    /// Counts one; the sum after the last.
    pub(super) fn add(&mut self, usage: Usage) -> Option<Usage> {
        self.n_open = self.n_open.saturating_sub(1);
        match &mut self.sum {
            Some(sum) => sum.add_candidate(usage),
            none => *none = Some(usage),
        }
        self.sum.filter(|_| self.n_open == 0)
    }
}

/// The counts of all candidates.
pub(super) fn total(responses: &[Response]) -> Usage {
    let mut counts = responses.iter().map(|response| response.usage);
    let mut total = counts.next().unwrap_or_default();
    counts.for_each(|usage| total.add_candidate(usage));
    total
}

/// What both dialects ask of a stream.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StreamOptions {
    pub(super) include_usage: Option<bool>,
}

/// Fields of both dialects that say what an answer should rather hold, or not; presence first.
pub(super) fn prefer(
    cerium: &mut Extensions,
    (presence, frequency): (Option<f32>, Option<f32>),
    logit_bias: Option<BTreeMap<String, f32>>,
) -> Result<(), ErrorBody> {
    cerium.presence_penalty = presence.unwrap_or(cerium.presence_penalty);
    cerium.frequency_penalty = frequency.unwrap_or(cerium.frequency_penalty);
    for (id, bias) in logit_bias.into_iter().flatten() {
        let Ok(id) = id.parse() else {
            let what = format!("`{}` is no id of a token", shorten(&id, WORD_CHARS));
            return Err(ErrorBody::invalid("logit_bias", what));
        };
        cerium.logit_bias.insert(id, bias);
    }
    Ok(())
}

/// `stop` when the model or a stop text ended the answer, `tool_calls` if it called something, else `length`.
pub(super) fn finish_reason(response: &Response) -> &'static str {
    match response.status {
        Status::Completed if response.output.iter().any(Item::is_call) => "tool_calls",
        Status::Completed => "stop",
        Status::InProgress | Status::Incomplete | Status::Cancelled | Status::Failed => "length",
    }
}
