//! What happens to a chat request: one completion object, or chunks.

use super::{ChunkUsage, Extras, WireUsage, finish_reason};
use crate::wire::ErrorEnvelope;
use crate::{Event, Response, TextDelta, TokenLogprob, Usage};
use serde::Serialize;

/// `"object": "chat.completion"`: the whole answer at once.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Completion {
    id: String,
    object: &'static str,
    created: u64,
    model: String,
    choices: [Choice; 1],
    usage: WireUsage,
    service_tier: &'static str,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Choice {
    index: usize,
    message: Message,
    logprobs: Option<Logprobs>,
    finish_reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Message {
    role: &'static str,
    content: String,
    refusal: Option<()>,
    annotations: [(); 0],
}

/// Of the tokens of an answer, or of a piece of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Logprobs {
    content: Vec<TokenLogprob>,
    refusal: Option<()>,
}

impl Extras {
    fn show(self, content: &[TokenLogprob]) -> Option<Logprobs> {
        self.logprobs.map(|_| Logprobs { content: content.to_vec(), refusal: None })
    }
}

impl Completion {
    /// The completion that a finished response stands for. `created` is in seconds since 1970.
    pub fn new(response: &Response, created: u64, extras: Extras) -> Self {
        Self {
            id: completion_id(response),
            object: "chat.completion",
            created,
            model: response.model.clone(),
            choices: [Choice {
                index: 0,
                message: Message {
                    role: "assistant",
                    content: response.output.text.clone(),
                    refusal: None,
                    annotations: [],
                },
                logprobs: extras.show(&response.output.logprobs),
                finish_reason: finish_reason(response.status),
            }],
            usage: response.usage.into(),
            service_tier: "default",
        }
    }
}

/// The `data` of one line of a stream. After the last one comes `[DONE]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Frame {
    /// A piece of the answer.
    Chunk(Chunk),
    /// The end, by an error.
    Error(ErrorEnvelope),
}

/// `"object": "chat.completion.chunk"`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chunk {
    id: String,
    object: &'static str,
    created: u64,
    model: String,
    choices: Vec<ChunkChoice>,
    #[serde(skip_serializing_if = "ChunkUsage::is_unasked")]
    usage: ChunkUsage,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct ChunkChoice {
    index: usize,
    delta: Delta,
    logprobs: Option<Logprobs>,
    finish_reason: Option<&'static str>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct Delta {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
}

/// Turns what happens to one response into the lines of its stream.
#[derive(Debug)]
pub struct Frames {
    id: String,
    created: u64,
    model: String,
    extras: Extras,
}

impl Frames {
    /// Frames of a request accepted at `created`, in seconds since 1970.
    pub fn new(created: u64, extras: Extras) -> Self {
        Self { id: String::new(), created, model: String::new(), extras }
    }

    /// The lines that stand for `event`, in order.
    pub fn push(&mut self, event: Event) -> Vec<Frame> {
        match event {
            Event::Created(response) => {
                self.id = completion_id(&response);
                self.model = response.model;
                let first = Delta { role: Some("assistant"), content: Some(String::new()) };
                vec![self.chunk(first, None, None)]
            }
            Event::TextDelta(TextDelta { text, logprobs }) => {
                let delta = Delta { role: None, content: Some(text) };
                vec![self.chunk(delta, self.extras.show(&logprobs), None)]
            }
            // No request of this dialect redirects an answer.
            Event::Steered(_) => Vec::new(),
            Event::Done(response) => {
                let reason = Some(finish_reason(response.status));
                let mut frames = vec![self.chunk(Delta::default(), None, reason)];
                if self.extras.usage {
                    frames.push(self.frame(Vec::new(), Some(response.usage)));
                }
                frames
            }
            Event::Failed(error) => vec![Frame::Error(ErrorEnvelope { error })],
        }
    }

    fn chunk(
        &self,
        delta: Delta,
        logprobs: Option<Logprobs>,
        finish_reason: Option<&'static str>,
    ) -> Frame {
        self.frame(vec![ChunkChoice { index: 0, delta, logprobs, finish_reason }], None)
    }

    fn frame(&self, choices: Vec<ChunkChoice>, counts: Option<Usage>) -> Frame {
        Frame::Chunk(Chunk {
            id: self.id.clone(),
            object: "chat.completion.chunk",
            created: self.created,
            model: self.model.clone(),
            choices,
            usage: ChunkUsage::new(self.extras.usage, counts),
        })
    }
}

fn completion_id(response: &Response) -> String {
    format!("chatcmpl-{}", response.id.strip_prefix("resp_").unwrap_or(&response.id))
}
