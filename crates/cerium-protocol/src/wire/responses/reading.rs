//! The way back: events of a stream to what happened.
//!
//! Reads what this server tells, exactly, and what any other server of the protocol tells, as far
//! as this crate has words for it.

use crate::wire::json;
use crate::wire::measured::Measured;
use crate::{
    CreateResponse, ErrorBody, ErrorKind, Event, OutputText, Response, Status, TextDelta, Timings,
    TokenLogprob, Usage,
};
use serde::Deserialize;

/// The body that asks for a response as a stream.
#[expect(clippy::missing_panics_doc, reason = "no request fails to be written")]
pub fn body(request: &CreateResponse) -> Vec<u8> {
    let request = CreateResponse { stream: true, ..request.clone() };
    serde_json::to_vec(&request).expect("requests have only string keys")
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
        Told::TextDelta { delta, logprobs } => {
            Some(Event::TextDelta(TextDelta { text: delta, logprobs }))
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
    #[serde(rename = "response.output_text.delta")]
    TextDelta {
        delta: String,
        #[serde(default)]
        logprobs: Vec<TokenLogprob>,
    },
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
    output: Vec<Item>,
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

/// Items of other kinds than messages have no such content.
#[derive(Deserialize)]
struct Item {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    content: Option<Vec<Part>>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    logprobs: Vec<TokenLogprob>,
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
        let messages = self.output.into_iter().filter(|item| item.kind == "message");
        let parts = messages.flat_map(|item| item.content.unwrap_or_default());
        let mut output = OutputText::default();
        for part in parts.filter(|part| part.kind == "output_text") {
            output.text.push_str(&part.text);
            output.logprobs.extend(part.logprobs);
        }
        if let Some(measured) = self.cerium {
            return measured.response(self.id, self.model, output);
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
            usage: counts,
            timings: Timings::default(),
        }
    }
}
