//! The response object and its parts, as the wire knows them.

use super::Echo;
use crate::wire::measured::Measured;
use crate::{ErrorBody, OutputText, Response, Status, TokenLogprob, Usage};
use serde::Serialize;
use std::collections::BTreeMap;

/// `"object": "response"`. Every field of the published shape is sent, used or not: clients touch
/// them without looking.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResponseObject {
    id: String,
    object: &'static str,
    created_at: u64,
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
    prompt_cache_key: Option<String>,
    reasoning: Reasoning,
    safety_identifier: Option<String>,
    service_tier: &'static str,
    store: bool,
    temperature: f32,
    text: TextConfig,
    tool_choice: &'static str,
    tools: [(); 0],
    top_logprobs: u32,
    top_p: f32,
    truncation: &'static str,
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
struct IncompleteDetails {
    reason: String,
}

/// An item of `output`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum OutputItem {
    /// Text for the person.
    Message {
        /// `msg_...`
        id: String,
        /// `in_progress`, `completed` or `incomplete`.
        status: &'static str,
        /// Always `assistant`.
        role: &'static str,
        /// Its parts; none while in progress.
        content: Vec<ContentPart>,
    },
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ContentPart {
    /// Text of the answer.
    OutputText {
        /// The whole text.
        text: String,
        /// Always empty: nothing here searches the web or files.
        annotations: [(); 0],
        /// Those that were asked for.
        logprobs: Vec<TokenLogprob>,
    },
}

impl ContentPart {
    /// A part that holds `output`.
    pub fn text(output: OutputText) -> Self {
        let OutputText { text, logprobs } = output;
        Self::OutputText { text, annotations: [], logprobs }
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct TextFormat {
    r#type: &'static str,
}

impl ResponseObject {
    /// A response that has just been accepted.
    pub fn in_progress(response: &Response, echo: &Echo) -> Self {
        Self::new(response, echo, "in_progress")
    }

    /// A finished response, with its one message if it was to have one.
    pub fn finished(response: &Response, echo: &Echo) -> Self {
        let status = status_word(response);
        let details = (status == "incomplete")
            .then(|| IncompleteDetails { reason: incomplete_reason(response).to_owned() });
        Self {
            output: if echo.warms { Vec::new() } else { vec![message(response)] },
            incomplete_details: details,
            usage: Some(response.usage.into()),
            cerium: Some(Measured::of(response)),
            ..Self::new(response, echo, status)
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
            status,
            background: false,
            error: None,
            incomplete_details: None,
            instructions: echo.instructions.clone(),
            max_output_tokens: echo.max_output_tokens,
            max_tool_calls: None,
            model: response.model.clone(),
            output: Vec::new(),
            parallel_tool_calls: true,
            previous_response_id: None,
            prompt_cache_key: echo.prompt_cache_key.clone(),
            reasoning: Reasoning::default(),
            safety_identifier: echo.safety_identifier.clone(),
            service_tier: "default",
            store: false,
            temperature: echo.temperature,
            text: TextConfig { format: TextFormat { r#type: "text" }, verbosity: "medium" },
            tool_choice: "auto",
            tools: [],
            top_logprobs: echo.top_logprobs,
            top_p: echo.top_p,
            truncation: "disabled",
            usage: None,
            user: echo.user.clone(),
            metadata: echo.metadata.clone(),
            cerium: None,
        }
    }
}

/// The one message of a finished response.
pub(super) fn message(response: &Response) -> OutputItem {
    OutputItem::Message {
        id: message_id(response),
        status: status_word(response),
        role: "assistant",
        content: vec![ContentPart::text(response.output.clone())],
    }
}

/// Id of a response's one message, made from the response's own.
pub(super) fn message_id(response: &Response) -> String {
    format!("msg_{}", response.id.strip_prefix("resp_").unwrap_or(&response.id))
}

/// `completed` or `incomplete`: a finished response is one of these here, failures aside.
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
