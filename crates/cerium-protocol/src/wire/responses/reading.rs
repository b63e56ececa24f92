//! The way back: events of a stream to what happened.
//!
//! Reads what this server tells, exactly, and what any other server of the protocol tells, as far
//! as this crate has words for it.

use super::events::Position;
use crate::wire::json;
use crate::wire::measured::Measured;
use crate::{
    CreateResponse, ErrorBody, ErrorKind, Event, Item, Response, Role, Status, TextDelta, Timings,
    TokenLogprob, Usage,
};
use serde::{Deserialize, Serialize};

/// What stands between the parts of a summary.
const BETWEEN_PARTS: &str = "\n\n";

/// The body that asks for a response as a stream, of which nothing is to be kept.
#[expect(clippy::missing_panics_doc, reason = "no request fails to be written")]
pub fn body(request: &CreateResponse) -> Vec<u8> {
    #[derive(Serialize)]
    struct Unkept {
        store: bool,
        #[serde(flatten)]
        request: CreateResponse,
    }
    let request = CreateResponse { stream: true, ..request.clone() };
    serde_json::to_vec(&Unkept { store: false, request }).expect("requests have only string keys")
}

/// Several of them.
#[expect(clippy::missing_panics_doc, reason = "no request fails to be written")]
pub fn bodies(requests: &[CreateResponse]) -> Vec<u8> {
    serde_json::to_vec(requests).expect("requests have only string keys")
}

/// Reads the data of one event; `None` for an event that says nothing of its own.
///
/// # Errors
/// What is no event of this dialect.
pub fn read_event(data: &[u8]) -> Result<Option<Event>, ErrorBody> {
    // Some servers end their stream as those of the other dialects do.
    if data == b"[DONE]" {
        return Ok(None);
    }
    Ok(match json::read_answer(data)? {
        Told::Created { response } => Some(Event::Created(response.lower())),
        Told::Queued { cerium } => {
            Some(Event::Queued { n_before: cerium.before, wait_ms: cerium.wait_ms })
        }
        Told::Added { output_index, item } => {
            item.lower().map(|item| Event::Added { index: output_index, item })
        }
        Told::TextDelta { delta, logprobs } => {
            Some(Event::TextDelta(TextDelta { logprobs, ..delta.into() }))
        }
        Told::ArgumentsDelta { delta } | Told::InputDelta { delta } => {
            Some(Event::CallDelta(delta))
        }
        Told::ReasoningDelta { delta } | Told::SummaryDelta { delta } => {
            Some(Event::ReasoningDelta(delta))
        }
        Told::SummaryPart { summary_index } => {
            (summary_index > 0).then(|| Event::ReasoningDelta(BETWEEN_PARTS.to_owned()))
        }
        Told::Completed { response } | Told::Incomplete { response } => {
            Some(Event::Done(response.lower()))
        }
        Told::Failed { response } => Some(Event::Failed(match response.error {
            Some(error) => failed(error.code, error.message, None),
            None => failed(None, "the answer failed".to_owned(), None),
        })),
        Told::Error { code, message, param } => Some(Event::Failed(failed(code, message, param))),
        Told::Other => None,
    })
}

fn failed(code: Option<String>, message: String, param: Option<String>) -> ErrorBody {
    ErrorBody { param, code, ..ErrorBody::new(ErrorKind::ServerError, message) }
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Told {
    #[serde(rename = "response.created")]
    Created { response: Object },
    #[serde(rename = "response.queued")]
    Queued {
        #[serde(default)]
        cerium: Position,
    },
    #[serde(rename = "response.output_text.delta")]
    TextDelta {
        delta: String,
        #[serde(default)]
        logprobs: Vec<TokenLogprob>,
    },
    #[serde(rename = "response.output_item.added")]
    Added { output_index: usize, item: OutputItem },
    #[serde(rename = "response.function_call_arguments.delta")]
    ArgumentsDelta { delta: String },
    #[serde(rename = "response.custom_tool_call_input.delta")]
    InputDelta { delta: String },
    #[serde(rename = "response.reasoning_text.delta")]
    ReasoningDelta { delta: String },
    // What is told of thoughts that an engine keeps to itself is all that can be known of them.
    #[serde(rename = "response.reasoning_summary_text.delta")]
    SummaryDelta { delta: String },
    #[serde(rename = "response.reasoning_summary_part.added")]
    SummaryPart { summary_index: usize },
    #[serde(rename = "response.completed")]
    Completed { response: Object },
    #[serde(rename = "response.incomplete")]
    Incomplete { response: Object },
    #[serde(rename = "response.failed")]
    Failed { response: Object },
    #[serde(rename = "error")]
    Error {
        #[serde(default)]
        code: Option<String>,
        message: String,
        #[serde(default)]
        param: Option<String>,
    },
    #[serde(other)]
    Other,
}

/// The response object, as much of it as is read.
#[derive(Deserialize)]
struct Object {
    id: String,
    #[serde(default)]
    model: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    output: Vec<OutputItem>,
    #[serde(default)]
    incomplete_details: Option<Details>,
    #[serde(default)]
    error: Option<Failure>,
    #[serde(default)]
    usage: Option<Counts>,
    #[serde(default)]
    cerium: Option<Measured>,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(default)]
    code: Option<String>,
    message: String,
}

/// An item; fields of other kinds than its own are absent.
#[derive(Default, Deserialize)]
#[serde(default)]
struct OutputItem {
    r#type: String,
    content: Option<Vec<Part>>,
    summary: Option<Vec<Part>>,
    call_id: String,
    name: String,
    namespace: Option<String>,
    arguments: String,
    input: String,
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    text: String,
    #[serde(default)]
    logprobs: Vec<TokenLogprob>,
}

impl OutputItem {
    /// The item, if it is of a kind that there is a word for.
    fn lower(self) -> Option<Item> {
        let Self { call_id, name, namespace, arguments, input, .. } = self;
        let texts = |parts: Option<Vec<Part>>| parts.into_iter().flatten().map(|part| part.text);
        let text = || texts(self.content).collect::<String>();
        match self.r#type.as_str() {
            "message" => Some(Item::Message { role: Role::Assistant, content: text() }),
            "reasoning" => {
                let whole = text();
                let summary = || texts(self.summary).collect::<Vec<_>>().join(BETWEEN_PARTS);
                Some(Item::Reasoning { text: if whole.is_empty() { summary() } else { whole } })
            }
            "function_call" => Some(Item::FunctionCall { call_id, name, namespace, arguments }),
            "custom_tool_call" => Some(Item::CustomToolCall { call_id, name, namespace, input }),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
struct Counts {
    input_tokens: u64,
    output_tokens: u64,
    #[serde(default)]
    input_tokens_details: Option<InputCounts>,
}

#[derive(Deserialize)]
struct InputCounts {
    #[serde(default)]
    cached_tokens: u64,
}

impl Object {
    fn lower(self) -> Response {
        let (mut output, mut logprobs) = (Vec::new(), Vec::new());
        for mut item in self.output {
            let parts = item.content.iter_mut().flatten();
            parts.for_each(|part| logprobs.append(&mut part.logprobs));
            output.extend(item.lower());
        }
        if let Some(measured) = self.cerium {
            return measured.response(self.id, self.model, output, logprobs);
        }
        let counts = self.usage.map_or_else(Usage::default, |counts| Usage {
            prompt_tokens: counts.input_tokens,
            cached_tokens: counts.input_tokens_details.map_or(0, |details| details.cached_tokens),
            output_tokens: counts.output_tokens,
            ..Usage::default()
        });
        Response {
            id: self.id,
            model: self.model,
            status: match self.status.as_str() {
                "completed" => Status::Completed,
                "incomplete" => Status::Incomplete,
                "cancelled" => Status::Cancelled,
                "failed" => Status::Failed,
                _ => Status::InProgress,
            },
            incomplete_reason: self.incomplete_details.and_then(|details| details.reason),
            output,
            logprobs,
            usage: counts,
            timings: Timings::default(),
            why: None,
        }
    }
}
