//! The completions dialect: `POST /v1/completions`, raw text and fill-in-the-middle.

mod logprobs;
mod reading;

pub use reading::{Reader, body};

use crate::wire::chat::{ChunkUsage, Extras, StreamOptions, Tally, finish_reason, prefer, total};
use crate::wire::measured::Measured;
use crate::wire::texts::Texts;
use crate::wire::{ErrorEnvelope, json};
use crate::{CompletionRequest, ErrorBody, Event, Extensions, Response, TextDelta, Usage};
use logprobs::Logprobs;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A request, and what its stream must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// What is asked.
    pub request: CompletionRequest,
    /// What the answer must hold.
    pub extras: Extras,
    /// What it is to begin with.
    pub echo: Option<String>,
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
    prefer(&mut cerium, (body.presence_penalty, body.frequency_penalty), body.logit_bias)?;
    cerium.seed = cerium.seed.or(body.seed.map(|seed| seed as u64));
    let echo = body.echo.unwrap_or(false).then(|| prompt.clone());
    let usage = body.stream_options.and_then(|o| o.include_usage).unwrap_or(false);
    Ok(Parsed {
        echo,
        extras: Extras {
            n: body.n.unwrap_or(1),
            usage,
            logprobs: body.logprobs,
            ..Extras::default()
        },
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
            generate: true,
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

    n: Option<u32>,
    best_of: Option<u32>,
    echo: Option<bool>,
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    logit_bias: Option<BTreeMap<String, f32>>,
}

impl Body {
    fn refuse_unserved(&self) -> Result<(), ErrorBody> {
        let n = self.n.unwrap_or(1);
        if let Some(best_of) = self.best_of.filter(|&best_of| best_of != n) {
            let what = format!("`best_of` is {best_of}; all {n} answers are served, not the best");
            return Err(ErrorBody::not_served("best_of", what));
        }
        if self.echo == Some(true) && (self.logprobs.is_some() || self.suffix.is_some()) {
            let what = "`echo` is served without log-probabilities and without a suffix";
            return Err(ErrorBody::not_served("echo", what));
        }
        Ok(())
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
    /// The completion that finished candidates stand for. `created` is in seconds since 1970.
    ///
    /// # Panics
    /// Without a candidate.
    pub fn new(candidates: &[Response], created: u64, extras: Extras, echo: Option<&str>) -> Self {
        let choice = |(index, response): (usize, &Response)| {
            let logprobs = |n_top| Logprobs::new(&response.logprobs, n_top, &mut 0);
            Choice {
                text: [echo.unwrap_or_default(), &response.text()].concat(),
                index,
                logprobs: extras.logprobs.map(logprobs),
                finish_reason: Some(finish_reason(response)),
            }
        };
        let alone = match candidates {
            [response] => Some(Measured::of(response)),
            _ => None,
        };
        Self {
            id: completion_id(&candidates[0]),
            object: "text_completion",
            created,
            model: candidates[0].model.clone(),
            choices: candidates.iter().enumerate().map(choice).collect(),
            usage: ChunkUsage::Now(total(candidates).into()),
            cerium: alone,
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

/// Turns what happens to the candidates of an answer into the lines of its stream.
#[derive(Debug)]
pub struct Frames {
    /// That of the candidate that was created first.
    id: String,
    created: u64,
    model: String,
    extras: Extras,
    /// Characters of each candidate's text so far.
    n_chars: Vec<usize>,
    tally: Tally,
    /// What each candidate begins with.
    echo: Option<String>,
}

impl Frames {
    /// Frames of a request accepted at `created`, in seconds since 1970.
    pub fn new(created: u64, extras: Extras, echo: Option<String>) -> Self {
        let (n_chars, tally) = (Vec::new(), Tally::new(extras));
        Self { id: String::new(), created, model: String::new(), extras, n_chars, tally, echo }
    }

    /// The lines that stand for an event of candidate `index`, in order.
    pub fn push(&mut self, index: usize, event: Event) -> Vec<Frame> {
        match event {
            Event::Created(response) => {
                if self.id.is_empty() {
                    self.id = completion_id(&response);
                    self.model = response.model;
                }
                let echo = self.echo.clone().into_iter();
                echo.map(|text| Frame::Chunk(self.piece(index, text, None).into())).collect()
            }
            Event::TextDelta(TextDelta { text, logprobs, .. }) => {
                let n_top = self.extras.logprobs;
                if self.n_chars.len() <= index {
                    self.n_chars.resize(index + 1, 0);
                }
                let n_chars = &mut self.n_chars[index];
                let logprobs = n_top.map(|n| Logprobs::new(&logprobs, n, n_chars));
                vec![Frame::Chunk(self.piece(index, text, logprobs).into())]
            }
            // One message is all there is, there is no word for waiting, and nothing redirects an answer.
            Event::Queued { .. }
            | Event::Added { .. }
            | Event::CallDelta(_)
            | Event::ReasoningDelta(_)
            | Event::Steered(_) => Vec::new(),
            Event::Done(response) => {
                let finish_reason = Some(finish_reason(&response));
                let last = Choice { text: String::new(), index, logprobs: None, finish_reason };
                let cerium = (self.extras.n == 1).then(|| Measured::of(&response));
                let last = Completion { cerium, ..self.chunk(vec![last], None) };
                let mut frames = vec![Frame::Chunk(last.into())];
                let total = self.tally.add(response.usage).filter(|_| self.extras.usage);
                let total = total.map(|total| self.chunk(Vec::new(), Some(total)));
                frames.extend(total.map(|chunk| Frame::Chunk(chunk.into())));
                frames
            }
            Event::Failed(error) => vec![Frame::Error(ErrorEnvelope { error })],
        }
    }

    fn piece(&self, index: usize, text: String, logprobs: Option<Logprobs>) -> Completion {
        self.chunk(vec![Choice { text, index, logprobs, finish_reason: None }], None)
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
