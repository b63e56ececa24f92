//! The response object and its parts, as the wire knows them.

use super::Echo;
use super::output::{OutputItem, items};
use crate::wire::measured::Measured;
use crate::{ErrorBody, Json, Response, Status, Usage};
use serde::Serialize;
use std::collections::BTreeMap;

/// `"object": "response"`. Every field of the published shape is sent, used or not: clients touch
/// them without looking.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResponseObject {
    id: String,
    object: &'static str,
    created_at: u64,
    completed_at: Option<u64>,
    status: &'static str,
    background: bool,
    error: Option<WireError>,
    incomplete_details: Option<IncompleteDetails>,
    instructions: Option<String>,
    max_output_tokens: Option<u32>,
    max_tool_calls: Option<u32>,
    model: String,
    output: Vec<OutputItem>,
    parallel_tool_calls: bool,
    previous_response_id: Option<String>,
    conversation: Option<ConversationId>,
    prompt_cache_key: Option<String>,
    prompt_cache_options: Option<Json>,
    prompt_cache_retention: Option<String>,
    reasoning: Repeated<Reasoning>,
    safety_identifier: Option<String>,
    service_tier: &'static str,
    store: bool,
    temperature: f32,
    text: Repeated<TextConfig>,
    tool_choice: Repeated<&'static str>,
    tools: Repeated<[(); 0]>,
    top_logprobs: u32,
    top_p: f32,
    truncation: String,
    usage: Option<WireUsage>,
    user: Option<String>,
    metadata: BTreeMap<String, String>,
    /// What the published shape has no place for; only on the final object.
    #[serde(skip_serializing_if = "Option::is_none")]
    cerium: Option<Measured>,
}

/// Why a response failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WireError {
    /// Machine-readable; `server_error` unless something better is known.
    pub code: String,
    /// For a person.
    pub message: String,
}

impl From<&ErrorBody> for WireError {
    fn from(error: &ErrorBody) -> Self {
        let code = error.code.clone().unwrap_or_else(|| "server_error".to_owned());
        Self { code, message: error.message.clone() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct ConversationId {
    id: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct IncompleteDetails {
    reason: String,
}

/// What the request said, as it said it, or else what is always so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Repeated<T> {
    Said(Json),
    Usual(T),
}

impl<T> Repeated<T> {
    fn new(said: Option<&Json>, usual: T) -> Self {
        // A client that says null means what is usual.
        match said.filter(|json| json.as_str() != "null") {
            Some(json) => Self::Said(json.clone()),
            None => Self::Usual(usual),
        }
    }
}

/// Token counts by their names in this dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct WireUsage {
    input_tokens: u64,
    input_tokens_details: InputDetails,
    output_tokens: u64,
    output_tokens_details: OutputDetails,
    total_tokens: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct InputDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct OutputDetails {
    reasoning_tokens: u64,
}

impl From<Usage> for WireUsage {
    fn from(usage: Usage) -> Self {
        Self {
            input_tokens: usage.prompt_tokens,
            input_tokens_details: InputDetails {
                cached_tokens: usage.cached_tokens,
                cache_write_tokens: 0,
            },
            output_tokens: usage.output_tokens,
            output_tokens_details: OutputDetails { reasoning_tokens: 0 },
            total_tokens: usage.prompt_tokens + usage.output_tokens,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Reasoning {
    effort: Option<&'static str>,
    summary: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct TextConfig {
    format: TextFormat,
    verbosity: &'static str,
}

impl Default for TextConfig {
    fn default() -> Self {
        Self { format: TextFormat { r#type: "text" }, verbosity: "medium" }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct TextFormat {
    r#type: &'static str,
}

impl ResponseObject {
    /// A response that is being written.
    pub fn in_progress(response: &Response, echo: &Echo) -> Self {
        Self::new(response, echo, "in_progress")
    }

    /// A response that waits for others.
    pub fn queued(response: &Response, echo: &Echo) -> Self {
        Self::new(response, echo, "queued")
    }

    /// A finished response, with its items.
    pub fn finished(response: &Response, echo: &Echo) -> Self {
        let status = status_word(response);
        let cancelled = response.status == Status::Cancelled;
        let details = (status == "incomplete" && !cancelled)
            .then(|| IncompleteDetails { reason: incomplete_reason(response).to_owned() });
        let took = (response.timings.total_ms / 1e3) as u64;
        Self {
            completed_at: (status == "completed").then_some(echo.created_at + took),
            output: items(response, echo),
            incomplete_details: details,
            usage: Some(response.usage.into()),
            cerium: Some(Measured::of(response)),
            ..Self::new(response, echo, if cancelled { "cancelled" } else { status })
        }
    }

    /// A response that an error ended.
    pub fn failed(response: &Response, echo: &Echo, error: &ErrorBody) -> Self {
        Self { error: Some(error.into()), ..Self::new(response, echo, "failed") }
    }

    fn new(response: &Response, echo: &Echo, status: &'static str) -> Self {
        Self {
            id: response.id.clone(),
            object: "response",
            created_at: echo.created_at,
            completed_at: None,
            status,
            background: echo.background,
            error: None,
            incomplete_details: None,
            instructions: echo.instructions.clone(),
            max_output_tokens: echo.max_output_tokens,
            max_tool_calls: echo.max_tool_calls,
            model: response.model.clone(),
            output: Vec::new(),
            parallel_tool_calls: echo.parallel_tool_calls.unwrap_or(true),
            previous_response_id: echo.previous_response_id.clone(),
            conversation: echo.conversation.clone().map(|id| ConversationId { id }),
            prompt_cache_key: echo.prompt_cache_key.clone(),
            prompt_cache_options: echo.prompt_cache_options.clone(),
            prompt_cache_retention: echo.prompt_cache_retention.clone(),
            reasoning: Repeated::new(echo.reasoning.as_ref(), Reasoning::default()),
            safety_identifier: echo.safety_identifier.clone(),
            service_tier: echo.service_tier.name(),
            store: echo.store.unwrap_or(false),
            temperature: echo.temperature,
            text: Repeated::new(echo.text.as_ref(), TextConfig::default()),
            tool_choice: Repeated::new(echo.tool_choice.as_ref(), "auto"),
            tools: Repeated::new(echo.tools.as_ref(), []),
            top_logprobs: echo.top_logprobs,
            top_p: echo.top_p,
            truncation: echo.truncation.clone().unwrap_or_else(|| "disabled".to_owned()),
            usage: None,
            user: echo.user.clone(),
            metadata: echo.metadata.clone(),
            cerium: None,
        }
    }
}

/// `completed` or `incomplete`: so end a response's items, and its events unless it fails.
pub(super) fn status_word(response: &Response) -> &'static str {
    match response.status {
        Status::Completed => "completed",
        Status::InProgress | Status::Incomplete | Status::Cancelled | Status::Failed => {
            "incomplete"
        }
    }
}

/// The published reasons know one sort of limit: a full context is `max_output_tokens` too.
fn incomplete_reason(response: &Response) -> &str {
    match response.incomplete_reason.as_deref() {
        Some("context") | None => "max_output_tokens",
        Some(reason) => reason,
    }
}
