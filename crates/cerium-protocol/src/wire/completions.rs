//! The completions dialect: `POST /v1/completions`, raw text and fill-in-the-middle.

mod logprobs;
mod reading;

pub use reading::{Reader, body};

use crate::wire::chat::{ChunkUsage, Extras, StreamOptions, finish_reason};
use crate::wire::measured::Measured;
use crate::wire::texts::Texts;
use crate::wire::unserved::Asked;
use crate::wire::{ErrorEnvelope, json};
use crate::{CompletionRequest, ErrorBody, Event, Extensions, Response, TextDelta, Usage};
use logprobs::Logprobs;
use serde::{Deserialize, Serialize};

/// A request, and what its stream must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// What is asked.
    pub request: CompletionRequest,
    /// What the answer must hold.
    pub extras: Extras,
}

/// Answer's length in tokens when the request names none: the published default.
const MAX_TOKENS_DEFAULT: u32 = 16;

/// Reads a body. The model's name is not checked here: only the server knows what it serves.
pub fn read(body: &[u8]) -> Result<Parsed, ErrorBody> {
    let body: Body = json::read(body)?;
    body.refuse_unserved()?;
    let model = json::required(body.model, "model")?;
    let mut prompts = json::required(body.prompt, "prompt")?.0;
    let (1, Some(prompt)) = (prompts.len(), prompts.pop()) else {
        return Err(ErrorBody::not_served("prompt", "`prompt` must hold exactly one text"));
    };
    let max_tokens =
        json::token_limit(body.max_tokens, "max_tokens")?.unwrap_or(MAX_TOKENS_DEFAULT);
    let mut cerium = body.cerium.unwrap_or_default();
    cerium.seed = cerium.seed.or(body.seed.map(|seed| seed as u64));
    let usage = body.stream_options.and_then(|o| o.include_usage).unwrap_or(false);
    Ok(Parsed {
        extras: Extras { usage, logprobs: body.logprobs },
        request: CompletionRequest {
            model,
            prompt,
            // An empty suffix says that nothing follows, which is how plain completion reads too.
            suffix: body.suffix.filter(|suffix| !suffix.is_empty() || cerium.infill),
            max_tokens: Some(max_tokens),
            temperature: body.temperature,
            top_p: body.top_p,
            logprobs: body.logprobs,
            stop: body.stop.unwrap_or_default().0,
            stream: body.stream.unwrap_or(false),
            cerium,
        },
    })
}

#[derive(Default, Deserialize)]
#[serde(default, expecting = "an object")]
struct Body {
    model: Option<String>,
    prompt: Option<Texts>,
    suffix: Option<String>,
    max_tokens: Option<u64>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    stop: Option<Texts>,
    seed: Option<i64>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    logprobs: Option<u32>,
    cerium: Option<Extensions>,

    n: Option<u64>,
    best_of: Option<u64>,
    echo: Asked,
    presence_penalty: Asked,
    frequency_penalty: Asked,
    logit_bias: Asked,
}

impl Body {
    fn refuse_unserved(&self) -> Result<(), ErrorBody> {
        for (name, count) in [("n", self.n), ("best_of", self.best_of)] {
            if let Some(n) = count.filter(|&n| n != 1) {
                return Err(ErrorBody::not_served(
                    name,
                    format!("`{name}` is {n}; one answer is served"),
                ));
            }
        }
        self.echo.refuse("echo")?;
        self.presence_penalty.refuse("presence_penalty")?;
        self.frequency_penalty.refuse("frequency_penalty")?;
        self.logit_bias.refuse("logit_bias")
    }
}

/// `"object": "text_completion"`: the whole answer, or a piece of it in a stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Completion {
    id: String,
    object: &'static str,
    created: u64,
    model: String,
    choices: Vec<Choice>,
    #[serde(skip_serializing_if = "ChunkUsage::is_unasked")]
    usage: ChunkUsage,
    /// What the published shape has no place for; where the answer ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    cerium: Option<Measured>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Choice {
    text: String,
    index: usize,
    logprobs: Option<Logprobs>,
    finish_reason: Option<&'static str>,
}

impl Completion {
    /// The completion that a finished response stands for. `created` is in seconds since 1970.
    pub fn new(response: &Response, created: u64, extras: Extras) -> Self {
        let choice = Choice {
            text: response.text(),
            index: 0,
            logprobs: extras.logprobs.map(|n_top| Logprobs::new(&response.logprobs, n_top, &mut 0)),
            finish_reason: Some(finish_reason(response)),
        };
        Self {
            id: completion_id(response),
            object: "text_completion",
            created,
            model: response.model.clone(),
            choices: vec![choice],
            usage: ChunkUsage::Now(response.usage.into()),
            cerium: Some(Measured::of(response)),
        }
    }
}

/// The `data` of one line of a stream. After the last one comes `[DONE]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Frame {
    /// A piece of the answer.
    Chunk(Box<Completion>),
    /// The end, by an error.
    Error(ErrorEnvelope),
}

/// Turns what happens to one response into the lines of its stream.
#[derive(Debug)]
pub struct Frames {
    id: String,
    created: u64,
    model: String,
    extras: Extras,
    /// Characters of the text so far.
    n_chars: usize,
}

impl Frames {
    /// Frames of a request accepted at `created`, in seconds since 1970.
    pub fn new(created: u64, extras: Extras) -> Self {
        Self { id: String::new(), created, model: String::new(), extras, n_chars: 0 }
    }

    /// The lines that stand for `event`, in order.
    pub fn push(&mut self, event: Event) -> Vec<Frame> {
        match event {
            Event::Created(response) => {
                self.id = completion_id(&response);
                self.model = response.model;
                Vec::new()
            }
            Event::TextDelta(TextDelta { text, logprobs }) => {
                let n_top = self.extras.logprobs;
                let logprobs = n_top.map(|n| Logprobs::new(&logprobs, n, &mut self.n_chars));
                let choice = Choice { text, index: 0, logprobs, finish_reason: None };
                vec![Frame::Chunk(self.chunk(vec![choice], None).into())]
            }
            // One message is all there is, there is no word for waiting, and nothing redirects an answer.
            Event::Queued { .. }
            | Event::Added { .. }
            | Event::CallDelta(_)
            | Event::ReasoningDelta(_)
            | Event::Steered(_) => Vec::new(),
            Event::Done(response) => {
                let finish_reason = Some(finish_reason(&response));
                let last = Choice { text: String::new(), index: 0, logprobs: None, finish_reason };
                let cerium = Some(Measured::of(&response));
                let last = Completion { cerium, ..self.chunk(vec![last], None) };
                let mut frames = vec![Frame::Chunk(last.into())];
                if self.extras.usage {
                    frames.push(Frame::Chunk(self.chunk(Vec::new(), Some(response.usage)).into()));
                }
                frames
            }
            Event::Failed(error) => vec![Frame::Error(ErrorEnvelope { error })],
        }
    }

    fn chunk(&self, choices: Vec<Choice>, counts: Option<Usage>) -> Completion {
        Completion {
            id: self.id.clone(),
            object: "text_completion",
            created: self.created,
            model: self.model.clone(),
            choices,
            usage: ChunkUsage::new(self.extras.usage, counts),
            cerium: None,
        }
    }
}

fn completion_id(response: &Response) -> String {
    format!("cmpl-{}", response.id.strip_prefix("resp_").unwrap_or(&response.id))
}

/// Id of the response behind a completion.
fn finished_id(completion_id: &str) -> String {
    format!("resp_{}", completion_id.strip_prefix("cmpl-").unwrap_or(completion_id))
}
