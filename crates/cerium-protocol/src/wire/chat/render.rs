//! What happens to a chat request: one completion object, or chunks.

use super::{ChunkUsage, Extras, Tally, WireUsage, finish_reason, total};
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
    choices: Vec<Choice>,
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
    /// The completion that finished candidates stand for. `created` is in seconds since 1970.
    ///
    /// # Panics
    /// Without a candidate.
    pub fn new(candidates: &[Response], created: u64, extras: Extras) -> Self {
        let choice = |(index, response): (usize, &Response)| Choice {
            index,
            message: Message::new(response),
            logprobs: extras.show(&response.logprobs),
            finish_reason: finish_reason(response),
        };
        Self {
            id: completion_id(&candidates[0]),
            object: "chat.completion",
            created,
            model: candidates[0].model.clone(),
            choices: candidates.iter().enumerate().map(choice).collect(),
            usage: total(candidates).into(),
            service_tier: extras.tier.name(),
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

/// Turns what happens to the candidates of an answer into the lines of its stream.
#[derive(Debug)]
pub struct Frames {
    /// That of the candidate that was created first.
    id: String,
    created: u64,
    model: String,
    extras: Extras,
    tally: Tally,
    /// What each candidate has called.
    calls: Vec<Calls>,
}

/// Calls that were begun, and whether the last of them is of a tool that takes text.
#[derive(Clone, Copy, Debug, Default)]
struct Calls {
    n: usize,
    is_custom: bool,
}

impl Frames {
    /// Frames of a request accepted at `created`, in seconds since 1970.
    pub fn new(created: u64, extras: Extras) -> Self {
        let (tally, calls) = (Tally::new(extras), Vec::new());
        Self { id: String::new(), created, model: String::new(), extras, tally, calls }
    }

    /// The lines that stand for an event of candidate `index`, in order.
    pub fn push(&mut self, index: usize, event: Event) -> Vec<Frame> {
        match event {
            Event::Created(response) => {
                if self.id.is_empty() {
                    self.id = completion_id(&response);
                    self.model = response.model;
                }
                let content = Some(String::new());
                let first = Delta { role: Some("assistant"), content, ..Delta::default() };
                vec![self.piece(index, first)]
            }
            Event::Added { item, .. } => {
                let Some(call) = ToolCall::new(&item) else { return Vec::new() };
                let calls = self.calls_of(index);
                calls.n += 1;
                calls.is_custom = matches!(call.called, Called::Custom { .. });
                vec![self.call(index, call)]
            }
            Event::TextDelta(TextDelta { text, logprobs, .. }) => {
                let delta = Delta { content: Some(text), ..Delta::default() };
                vec![self.chunk(index, delta, self.extras.show(&logprobs), None)]
            }
            Event::CallDelta(text) => {
                let called = if self.calls_of(index).is_custom {
                    Called::Custom { name: None, input: text }
                } else {
                    Called::Function { name: None, arguments: text }
                };
                vec![self.call(index, ToolCall { index: None, id: None, r#type: None, called })]
            }
            Event::ReasoningDelta(text) => {
                let delta = Delta { reasoning_content: Some(text), ..Delta::default() };
                vec![self.piece(index, delta)]
            }
            // This dialect has no word for waiting, and no request of it redirects an answer.
            Event::Queued { .. } | Event::Steered(_) => Vec::new(),
            Event::Done(response) => {
                let reason = Some(finish_reason(&response));
                let mut frames = vec![self.chunk(index, Delta::default(), None, reason)];
                let total = self.tally.add(response.usage).filter(|_| self.extras.usage);
                frames.extend(total.map(|total| self.frame(Vec::new(), Some(total))));
                frames
            }
            Event::Failed(error) => vec![Frame::Error(ErrorEnvelope { error })],
        }
    }

    fn calls_of(&mut self, index: usize) -> &mut Calls {
        if self.calls.len() <= index {
            self.calls.resize(index + 1, Calls::default());
        }
        &mut self.calls[index]
    }

    /// A piece of the call that was begun last.
    fn call(&mut self, index: usize, call: ToolCall) -> Frame {
        let call = ToolCall { index: self.calls_of(index).n.checked_sub(1), ..call };
        self.piece(index, Delta { tool_calls: Some([call]), ..Delta::default() })
    }

    fn piece(&self, index: usize, delta: Delta) -> Frame {
        self.chunk(index, delta, None, None)
    }

    fn chunk(
        &self,
        index: usize,
        delta: Delta,
        logprobs: Option<Logprobs>,
        finish_reason: Option<&'static str>,
    ) -> Frame {
        self.frame(vec![ChunkChoice { index, delta, logprobs, finish_reason }], None)
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
