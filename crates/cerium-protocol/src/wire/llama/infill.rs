//! `POST /infill`: what is asked, and the answer whole or in pieces.

use crate::wire::chat::prefer;
use crate::wire::texts::Texts;
use crate::wire::{ErrorEnvelope, json};
use crate::{CompletionRequest, ContextFile, ErrorBody, Event, Extensions, Response, Status};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A request, and what its answer must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// What is asked.
    pub request: CompletionRequest,
    /// Fields of the answer, if not all of them; `a/b` names field `b` of object `a`.
    pub fields: Option<Vec<String>>,
}

/// Reads a body.
pub fn read(body: &[u8]) -> Result<Parsed, ErrorBody> {
    let body: Body = json::read(body)?;
    let prefix = json::required(body.input_prefix, "input_prefix")?;
    let suffix = json::required(body.input_suffix, "input_suffix")?;
    let mut cerium = Extensions {
        infill: true,
        prefix: body.prompt.unwrap_or_default(),
        files: body.input_extra.unwrap_or_default(),
        top_k: body.top_k.unwrap_or(0),
        min_p: body.min_p.unwrap_or(0.0),
        repetition_penalty: body.repeat_penalty,
        // A negative one asks for any.
        seed: body.seed.and_then(|seed| u64::try_from(seed).ok()),
        ..Extensions::default()
    };
    prefer(&mut cerium, (body.presence_penalty, body.frequency_penalty), body.logit_bias)?;
    // Without a limit, or with a negative one, the context is the limit; 0 only reads the prompt.
    let n_predict = body.n_predict.and_then(|n| u64::try_from(n).ok());
    let max_tokens = n_predict.filter(|&n| n > 0).map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    Ok(Parsed {
        fields: body.response_fields,
        request: CompletionRequest {
            suffix: Some(suffix),
            max_tokens,
            temperature: body.temperature,
            top_p: body.top_p,
            stop: body.stop.unwrap_or_default().0,
            stream: body.stream.unwrap_or(false),
            generate: n_predict != Some(0),
            cerium,
            ..CompletionRequest::new(String::new(), prefix)
        },
    })
}

#[derive(Default, Deserialize)]
#[serde(default, expecting = "an object")]
struct Body {
    input_prefix: Option<String>,
    input_suffix: Option<String>,
    input_extra: Option<Vec<ContextFile>>,
    prompt: Option<String>,
    n_predict: Option<i64>,
    temperature: Option<f32>,
    top_k: Option<u32>,
    top_p: Option<f32>,
    min_p: Option<f32>,
    repeat_penalty: Option<f32>,
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    logit_bias: Option<BTreeMap<String, f32>>,
    seed: Option<i64>,
    stop: Option<Texts>,
    stream: Option<bool>,
    response_fields: Option<Vec<String>>,
}

/// The answer whole, or the last piece of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Infill(Value);

#[derive(Serialize)]
struct Whole<'a> {
    index: usize,
    content: &'a str,
    tokens: [u32; 0],
    id_slot: i64,
    stop: bool,
    model: &'a str,
    tokens_predicted: u64,
    tokens_evaluated: u64,
    truncated: bool,
    stop_type: &'static str,
    stopping_word: &'static str,
    tokens_cached: u64,
    timings: Timings,
}

/// Of the prompt without what was cached, and of what was written.
#[derive(Serialize)]
struct Timings {
    cache_n: u64,
    prompt_n: u64,
    prompt_ms: f64,
    prompt_per_token_ms: f64,
    prompt_per_second: f64,
    predicted_n: u64,
    predicted_ms: f64,
    predicted_per_token_ms: f64,
    predicted_per_second: f64,
}

impl Timings {
    fn of(response: &Response) -> Self {
        let per = |a: f64, b: f64| if b > 0.0 { a / b } else { 0.0 };
        let (usage, timings) = (response.usage, response.timings);
        let prompt_n = usage.prompt_tokens - usage.cached_tokens.min(usage.prompt_tokens);
        let (read, written) = (prompt_n as f64, usage.output_tokens as f64);
        Self {
            cache_n: usage.cached_tokens,
            prompt_n,
            prompt_ms: timings.prefill_ms,
            prompt_per_token_ms: per(timings.prefill_ms, read),
            prompt_per_second: per(read * 1e3, timings.prefill_ms),
            predicted_n: usage.output_tokens,
            predicted_ms: timings.decode_ms,
            predicted_per_token_ms: per(timings.decode_ms, written),
            predicted_per_second: per(written * 1e3, timings.decode_ms),
        }
    }
}

impl Infill {
    /// What a finished response stands for.
    pub fn new(response: &Response, fields: Option<&[String]>) -> Self {
        Self::with_content(response, &response.text(), fields)
    }

    fn with_content(response: &Response, content: &str, fields: Option<&[String]>) -> Self {
        let usage = response.usage;
        let whole = Whole {
            index: 0,
            content,
            tokens: [],
            id_slot: -1,
            stop: true,
            model: &response.model,
            tokens_predicted: usage.output_tokens,
            tokens_evaluated: usage.prompt_tokens,
            truncated: response.incomplete_reason.as_deref() == Some("context"),
            stop_type: if response.status == Status::Completed { "eos" } else { "limit" },
            stopping_word: "",
            tokens_cached: usage.cached_tokens,
            timings: Timings::of(response),
        };
        let whole = serde_json::to_value(whole).unwrap_or_default();
        Self(fields.map_or(whole.clone(), |fields| only(&whole, fields)))
    }
}

/// The named fields, those that are there; a field of an object comes under its whole name.
fn only(whole: &Value, fields: &[String]) -> Value {
    let find = |name: &String| {
        let found = name.split('/').try_fold(whole, |value, part| value.get(part))?;
        Some((name.clone(), found.clone()))
    };
    Value::Object(fields.iter().filter_map(find).collect::<Map<_, _>>())
}

/// A line of a stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Frame {
    /// A piece of the text.
    Piece {
        /// Always 0.
        index: usize,
        /// The text.
        content: String,
        /// Always empty.
        tokens: [u32; 0],
        /// False.
        stop: bool,
    },
    /// The end: everything but the text.
    End(Infill),
    /// The end, by an error.
    Error(ErrorEnvelope),
}

/// Turns what happens to one response into the lines of its stream.
#[derive(Debug)]
pub struct Frames {
    fields: Option<Vec<String>>,
}

impl Frames {
    /// Frames of an answer with these fields, or all of them.
    pub fn new(fields: Option<Vec<String>>) -> Self {
        Self { fields }
    }

    /// The line that stands for `event`, if any.
    pub fn push(&mut self, event: Event) -> Option<Frame> {
        match event {
            Event::Created(_)
            | Event::Queued { .. }
            | Event::Added { .. }
            | Event::CallDelta(_)
            | Event::ReasoningDelta(_)
            | Event::Steered(_) => None,
            Event::TextDelta(delta) => {
                Some(Frame::Piece { index: 0, content: delta.text, tokens: [], stop: false })
            }
            Event::Done(response) => {
                let fields = self.fields.as_deref();
                Some(Frame::End(Infill::with_content(&response, "", fields)))
            }
            Event::Failed(error) => Some(Frame::Error(ErrorEnvelope { error })),
        }
    }
}
