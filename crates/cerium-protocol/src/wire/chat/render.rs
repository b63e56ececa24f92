//! What happens to a chat request: one completion object, or chunks.

use super::{ChunkUsage, Extras, WireUsage, finish_reason};
use crate::wire::ErrorEnvelope;
use crate::{Event, Item, Response, TextDelta, TokenLogprob, Usage};
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
    content: Option<String>,
    refusal: Option<()>,
    annotations: [(); 0],
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall>,
}

impl Message {
    fn new(response: &Response) -> Self {
        let reasoning =
            response.output.iter().filter(|item| matches!(item, Item::Reasoning { .. }));
        let reasoning: String = reasoning.map(Item::text).collect();
        let tool_calls: Vec<_> = response.output.iter().filter_map(ToolCall::new).collect();
        let content = response.text();
        Self {
            role: "assistant",
            // What only calls says nothing.
            content: (tool_calls.is_empty() || !content.is_empty()).then_some(content),
            refusal: None,
            annotations: [],
            reasoning_content: (!reasoning.is_empty()).then_some(reasoning),
            tool_calls,
        }
    }
}

/// A call, or in a stream a piece of one: what begins it names it, what follows has its place alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct ToolCall {
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
    #[serde(flatten)]
    called: Called,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Called {
    Function {
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        arguments: String,
    },
    Custom {
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        input: String,
    },
}

impl ToolCall {
    /// The call that an item is, if it is one.
    fn new(item: &Item) -> Option<Self> {
        let (kind, call_id, called) = match item.clone() {
            Item::FunctionCall { call_id, name, arguments, .. } => {
                ("function", call_id, Called::Function { name: Some(name), arguments })
            }
            Item::CustomToolCall { call_id, name, input, .. } => {
                ("custom", call_id, Called::Custom { name: Some(name), input })
            }
            _ => return None,
        };
        Some(Self { index: None, id: Some(call_id), r#type: Some(kind), called })
    }
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
                message: Message::new(response),
                logprobs: extras.show(&response.logprobs),
                finish_reason: finish_reason(response),
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
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[ToolCall; 1]>,
}

/// Turns what happens to one response into the lines of its stream.
#[derive(Debug)]
pub struct Frames {
    id: String,
    created: u64,
    model: String,
    extras: Extras,
    /// Calls that were begun, and whether the last of them is of a tool that takes text.
    n_calls: usize,
    is_custom: bool,
}

impl Frames {
    /// Frames of a request accepted at `created`, in seconds since 1970.
    pub fn new(created: u64, extras: Extras) -> Self {
        let (id, model) = (String::new(), String::new());
        Self { id, created, model, extras, n_calls: 0, is_custom: false }
    }

    /// The lines that stand for `event`, in order.
    pub fn push(&mut self, event: Event) -> Vec<Frame> {
        match event {
            Event::Created(response) => {
                self.id = completion_id(&response);
                self.model = response.model;
                let content = Some(String::new());
                vec![self.piece(Delta { role: Some("assistant"), content, ..Delta::default() })]
            }
            Event::Added { item, .. } => {
                let Some(call) = ToolCall::new(&item) else { return Vec::new() };
                self.n_calls += 1;
                self.is_custom = matches!(call.called, Called::Custom { .. });
                vec![self.call(call)]
            }
            Event::TextDelta(TextDelta { text, logprobs }) => {
                let delta = Delta { content: Some(text), ..Delta::default() };
                vec![self.chunk(delta, self.extras.show(&logprobs), None)]
            }
            Event::CallDelta(text) => {
                let called = if self.is_custom {
                    Called::Custom { name: None, input: text }
                } else {
                    Called::Function { name: None, arguments: text }
                };
                vec![self.call(ToolCall { index: None, id: None, r#type: None, called })]
            }
            Event::ReasoningDelta(text) => {
                vec![self.piece(Delta { reasoning_content: Some(text), ..Delta::default() })]
            }
            // This dialect has no word for waiting, and no request of it redirects an answer.
            Event::Queued { .. } | Event::Steered(_) => Vec::new(),
            Event::Done(response) => {
                let reason = Some(finish_reason(&response));
                let mut frames = vec![self.chunk(Delta::default(), None, reason)];
                if self.extras.usage {
                    frames.push(self.frame(Vec::new(), Some(response.usage)));
                }
                frames
            }
            Event::Failed(error) => vec![Frame::Error(ErrorEnvelope { error })],
        }
    }

    /// A piece of the call that was begun last.
    fn call(&self, call: ToolCall) -> Frame {
        let call = ToolCall { index: Some(self.n_calls - 1), ..call };
        self.piece(Delta { tool_calls: Some([call]), ..Delta::default() })
    }

    fn piece(&self, delta: Delta) -> Frame {
        self.chunk(delta, None, None)
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
