//! Requests as bodies in the dialect of an engine, and what reads its answers.
//!
//! What a dialect has no field for is refused by name, because an answer that silently lacks it would
//! be a lie. Hints that may only change speed are left out.

use crate::options::Dialect;
use cerium_protocol::wire::{chat, completions, responses};
use cerium_protocol::{
    CompletionRequest, CreateResponse, ErrorBody, Event, Extensions, TextFormat,
};
use serde_json::{Map, Value, json};

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Respond(Box<CreateResponse>),
    Complete(Box<CompletionRequest>),
}

/// A request as an engine takes it.
pub(crate) struct Wire {
    /// Below the engine's address.
    pub(crate) path: &'static str,
    pub(crate) body: Vec<u8>,
    pub(crate) reader: Reader,
}

/// What reads the answer.
pub(crate) enum Reader {
    Responses,
    Chat(Box<chat::Reader>),
    Completions(Box<completions::Reader>),
}

impl Ask {
    /// The name under which the model is asked for here.
    pub(crate) fn model(&self) -> &str {
        match self {
            Self::Respond(request) => &request.model,
            Self::Complete(request) => &request.model,
        }
    }

    /// The request to an engine that has this name for the model.
    ///
    /// # Errors
    /// For what the dialect has no field for.
    pub(crate) fn wire(&self, dialect: Dialect, model: &str) -> Result<Wire, ErrorBody> {
        match self {
            Self::Respond(request) => {
                let mut request = CreateResponse { model: model.to_owned(), ..*request.clone() };
                match dialect {
                    Dialect::Chat => {
                        refuse_prefix(&request.cerium)?;
                        refuse_format(&request.format)?;
                        let reader = chat::Reader::new(request.tools.clone());
                        let reader = Reader::Chat(Box::new(reader));
                        Ok(Wire { path: "chat/completions", body: chat::body(&request), reader })
                    }
                    Dialect::Responses => {
                        refuse_prefix(&request.cerium)?;
                        refuse_format(&request.format)?;
                        refuse_settings(&request.cerium)?;
                        request.cerium = Extensions::default();
                        Ok(respond(&request))
                    }
                    Dialect::Cerium => Ok(respond(&request)),
                }
            }
            Self::Complete(request) => {
                let request = CompletionRequest { model: model.to_owned(), ..*request.clone() };
                complete(request, dialect)
            }
        }
    }
}

fn respond(request: &CreateResponse) -> Wire {
    Wire { path: "responses", body: responses::body(request), reader: Reader::Responses }
}

fn complete(mut request: CompletionRequest, dialect: Dialect) -> Result<Wire, ErrorBody> {
    if request.logprobs.is_some() {
        let what = "`logprobs` of a completion are not served by a model elsewhere";
        return Err(ErrorBody::not_served("logprobs", what));
    }
    let reader = Reader::Completions(Box::default());
    if dialect == Dialect::Cerium {
        return Ok(Wire { path: "completions", body: completions::body(&request), reader });
    }
    let cerium = std::mem::take(&mut request.cerium);
    refuse_prefix(&cerium)?;
    if cerium.infill || !cerium.files.is_empty() {
        return Err(ErrorBody::not_served("cerium", "infill is not served by a model elsewhere"));
    }
    request.stop.extend(cerium.stop.iter().cloned());
    let mut body: Map<String, Value> =
        serde_json::from_slice(&completions::body(&request)).unwrap_or_default();
    // A body that names no limit asks for 16 tokens; no engine takes the highest number.
    if request.max_tokens.is_none() {
        body.remove("max_tokens");
    }
    body.extend(settings(&cerium).into_iter().map(|(name, value)| (name.to_owned(), value)));
    body.insert("stream_options".to_owned(), json!({"include_usage": true}));
    Ok(Wire { path: "completions", body: Value::Object(body).to_string().into_bytes(), reader })
}

/// What an extension sets, by the names that most engines have for it.
fn settings(cerium: &Extensions) -> Vec<(&'static str, Value)> {
    let usual = Extensions::default();
    let fields = [
        ("seed", json!(cerium.seed), json!(usual.seed)),
        ("top_k", json!(cerium.top_k), json!(usual.top_k)),
        ("min_p", json!(cerium.min_p), json!(usual.min_p)),
        ("repetition_penalty", json!(cerium.repetition_penalty), json!(usual.repetition_penalty)),
        ("presence_penalty", json!(cerium.presence_penalty), json!(usual.presence_penalty)),
        ("frequency_penalty", json!(cerium.frequency_penalty), json!(usual.frequency_penalty)),
        ("logit_bias", json!(cerium.logit_bias), json!(usual.logit_bias)),
    ];
    let set = fields.into_iter().filter(|(_, value, usual)| value != usual);
    set.map(|(name, value, _)| (name, value)).collect()
}

fn refuse_prefix(cerium: &Extensions) -> Result<(), ErrorBody> {
    if cerium.prefix.is_empty() {
        return Ok(());
    }
    let what = "the engine that serves this model cannot be told how its answer begins";
    Err(ErrorBody::not_served("cerium.prefix", what))
}

fn refuse_format(format: &TextFormat) -> Result<(), ErrorBody> {
    if !matches!(format, TextFormat::SearchReplace { .. }) {
        return Ok(());
    }
    let what = "the engine that serves this model does not know this format";
    Err(ErrorBody::not_served("text.format.type", what))
}

fn refuse_settings(cerium: &Extensions) -> Result<(), ErrorBody> {
    let stop = (!cerium.stop.is_empty()).then_some("stop");
    let set = stop.or_else(|| settings(cerium).first().map(|(name, _)| *name));
    set.map_or(Ok(()), |name| {
        let what = format!("the engine that serves this model has no `{name}`");
        Err(ErrorBody::not_served(name, what))
    })
}

impl Reader {
    /// The events that the data of one line stand for.
    pub(crate) fn read(&mut self, data: &[u8]) -> Result<Vec<Event>, ErrorBody> {
        match self {
            Self::Responses => Ok(responses::read_event(data)?.into_iter().collect()),
            Self::Chat(reader) => reader.read(data),
            Self::Completions(reader) => reader.read(data),
        }
    }

    /// What the end of the stream stands for.
    pub(crate) fn end(&mut self) -> Option<Event> {
        match self {
            Self::Chat(reader) => reader.end(),
            Self::Completions(reader) => reader.read(b"[DONE]").ok()?.pop(),
            Self::Responses => None,
        }
    }
}
