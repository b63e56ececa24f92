//! Events of a response in progress, numbered and in the order that every client takes.
//!
//! The stream helpers of the official SDKs fail when one of the framing events is missing or comes
//! late, so all of them are always sent: created, in progress, then for each item, one after the other, item
//! added, part added, the deltas, text and part done, item done, and one final event. Calls have no parts, and a
//! compaction has no deltas either.

use super::Echo;
use super::object::{ResponseObject, status_word};
use super::output::{ContentPart, OutputItem, compaction, item, item_id};
use crate::{ErrorBody, Event, Item, Response, Steered, TextDelta, TokenLogprob};
use serde::{Deserialize, Serialize};

/// One event: the `data` of an SSE frame, or a WebSocket text frame.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StreamEvent {
    #[serde(flatten)]
    kind: Kind,
    /// 0, 1, 2... within the response.
    sequence_number: u64,
}

impl StreamEvent {
    /// The event's `type`, which SSE repeats in its `event:` line.
    pub fn name(&self) -> &'static str {
        match self.kind {
            Kind::Created { .. } => "response.created",
            Kind::Queued { .. } => "response.queued",
            Kind::InProgress { .. } => "response.in_progress",
            Kind::ItemAdded { .. } => "response.output_item.added",
            Kind::PartAdded { .. } => "response.content_part.added",
            Kind::TextDelta { .. } => "response.output_text.delta",
            Kind::TextDone { .. } => "response.output_text.done",
            Kind::ReasoningDelta { .. } => "response.reasoning_text.delta",
            Kind::ReasoningDone { .. } => "response.reasoning_text.done",
            Kind::ArgumentsDelta { .. } => "response.function_call_arguments.delta",
            Kind::ArgumentsDone { .. } => "response.function_call_arguments.done",
            Kind::InputDelta { .. } => "response.custom_tool_call_input.delta",
            Kind::InputDone { .. } => "response.custom_tool_call_input.done",
            Kind::PartDone { .. } => "response.content_part.done",
            Kind::ItemDone { .. } => "response.output_item.done",
            Kind::Completed { .. } => "response.completed",
            Kind::Incomplete { .. } => "response.incomplete",
            Kind::Failed { .. } => "response.failed",
            Kind::Error { .. } => "error",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type")]
enum Kind {
    #[serde(rename = "response.created")]
    Created { response: Box<ResponseObject> },
    #[serde(rename = "response.in_progress")]
    InProgress { response: Box<ResponseObject> },
    #[serde(rename = "response.queued")]
    Queued { response: Box<ResponseObject>, cerium: Position },
    #[serde(rename = "response.output_item.added")]
    ItemAdded { output_index: usize, item: OutputItem },
    #[serde(rename = "response.content_part.added")]
    PartAdded { item_id: String, output_index: usize, content_index: usize, part: ContentPart },
    #[serde(rename = "response.output_text.delta")]
    TextDelta {
        item_id: String,
        output_index: usize,
        content_index: usize,
        delta: String,
        logprobs: Vec<TokenLogprob>,
    },
    #[serde(rename = "response.output_text.done")]
    TextDone {
        item_id: String,
        output_index: usize,
        content_index: usize,
        text: String,
        logprobs: Vec<TokenLogprob>,
    },
    #[serde(rename = "response.reasoning_text.delta")]
    ReasoningDelta { item_id: String, output_index: usize, content_index: usize, delta: String },
    #[serde(rename = "response.reasoning_text.done")]
    ReasoningDone { item_id: String, output_index: usize, content_index: usize, text: String },
    #[serde(rename = "response.function_call_arguments.delta")]
    ArgumentsDelta { item_id: String, output_index: usize, delta: String },
    #[serde(rename = "response.function_call_arguments.done")]
    ArgumentsDone { item_id: String, output_index: usize, name: String, arguments: String },
    #[serde(rename = "response.custom_tool_call_input.delta")]
    InputDelta { item_id: String, output_index: usize, delta: String },
    #[serde(rename = "response.custom_tool_call_input.done")]
    InputDone { item_id: String, output_index: usize, input: String },
    #[serde(rename = "response.content_part.done")]
    PartDone { item_id: String, output_index: usize, content_index: usize, part: ContentPart },
    #[serde(rename = "response.output_item.done")]
    ItemDone { output_index: usize, item: OutputItem },
    #[serde(rename = "response.completed")]
    Completed { response: Box<ResponseObject> },
    #[serde(rename = "response.incomplete")]
    Incomplete { response: Box<ResponseObject> },
    #[serde(rename = "response.failed")]
    Failed { response: Box<ResponseObject> },
    #[serde(rename = "error")]
    Error { code: Option<String>, message: String, param: Option<String> },
}

/// Where a response stands in the queue: what the published event has no place for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Requests that are begun before it.
    pub(super) before: usize,
    /// Milliseconds until then, about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) wait_ms: Option<u64>,
}

/// Turns what happens to one response into the events that tell a client.
#[derive(Debug)]
pub struct Events {
    echo: Echo,
    /// The response as it was created.
    created: Option<Response>,
    /// It has not been said that the response is being written.
    waits: bool,
    /// The item that is being written, with its text so far.
    open: Option<Item>,
    /// Log-probabilities of its tokens so far.
    logprobs: Vec<TokenLogprob>,
    /// Items that were announced.
    n_items: usize,
    sequence_number: u64,
}

impl Events {
    /// The events of a response to the request that `echo` repeats.
    pub fn new(echo: Echo) -> Self {
        let (created, waits, open, logprobs) = (None, false, None, Vec::new());
        Self { echo, created, waits, open, logprobs, n_items: 0, sequence_number: 0 }
    }

    /// Whether there is no answer to come.
    pub fn warms(&self) -> bool {
        self.echo.warms
    }

    /// The wire events that stand for `event`, in order.
    pub fn push(&mut self, event: Event) -> Vec<StreamEvent> {
        let mut kinds = self.begin(&event);
        kinds.extend(match event {
            Event::Created(response) => self.create(response),
            Event::Queued { n_before, wait_ms } => {
                self.queue(Position { before: n_before, wait_ms }).into_iter().collect()
            }
            Event::Added { item, .. } => [self.close(), self.open(item)].concat(),
            Event::TextDelta(TextDelta { text, logprobs, .. }) => {
                self.delta(text, logprobs).into_iter().collect()
            }
            Event::CallDelta(delta) | Event::ReasoningDelta(delta) => {
                self.delta(delta, Vec::new()).into_iter().collect()
            }
            Event::Steered(steered) => return self.steer(*steered),
            Event::Done(response) => self.finish(&response),
            Event::Failed(error) => vec![self.fail(&error)],
        });
        kinds.into_iter().map(|kind| self.number(kind)).collect()
    }

    /// What is told before the first event that says more than that a response waits: that it is in progress,
    /// unless that is known, and what its conversation has become.
    fn begin(&mut self, event: &Event) -> Vec<Kind> {
        let mut kinds = Vec::new();
        let Some(created) = &self.created else { return kinds };
        if matches!(event, Event::Queued { .. }) {
            return kinds;
        }
        if std::mem::take(&mut self.waits) {
            let response = Box::new(ResponseObject::in_progress(created, &self.echo));
            kinds.push(Kind::InProgress { response });
        }
        if self.n_items == 0
            && let Some(item) = compaction(&created.id, &self.echo)
        {
            let output_index = self.n_items;
            kinds.push(Kind::ItemAdded { output_index, item: item.clone() });
            kinds.push(Kind::ItemDone { output_index, item });
            self.n_items += 1;
        }
        kinds
    }

    fn create(&mut self, response: Response) -> Vec<Kind> {
        if self.echo.background {
            let object = Box::new(ResponseObject::queued(&response, &self.echo));
            let queued = Kind::Queued { response: object.clone(), cerium: Position::default() };
            (self.created, self.waits) = (Some(response), true);
            return vec![Kind::Created { response: object }, queued];
        }
        let object = Box::new(ResponseObject::in_progress(&response, &self.echo));
        self.created = Some(response);
        vec![Kind::Created { response: object.clone() }, Kind::InProgress { response: object }]
    }

    fn queue(&self, position: Position) -> Option<Kind> {
        let response = Box::new(ResponseObject::queued(self.created.as_ref()?, &self.echo));
        Some(Kind::Queued { response, cerium: position })
    }

    /// Announces an item, and its one part.
    fn open(&mut self, added: Item) -> Vec<Kind> {
        let Some(response) = &self.created else { return Vec::new() };
        let (output_index, content_index) = (self.n_items, 0);
        let item_id = item_id(&response.id, output_index, &added);
        let wire = item(&response.id, output_index, &added, "in_progress", &[]);
        let mut kinds = vec![Kind::ItemAdded { output_index, item: wire }];
        let part = match &added {
            Item::Message { .. } => Some(ContentPart::text("", Vec::new())),
            Item::Reasoning { .. } => Some(ContentPart::ReasoningText { text: String::new() }),
            _ => None,
        };
        if let Some(part) = part {
            kinds.push(Kind::PartAdded { item_id, output_index, content_index, part });
        }
        self.n_items += 1;
        self.open = Some(added);
        kinds
    }

    fn delta(&mut self, delta: String, logprobs: Vec<TokenLogprob>) -> Option<Kind> {
        let (response, open) = (self.created.as_ref()?, self.open.as_mut()?);
        open.text_mut().push_str(&delta);
        self.logprobs.extend_from_slice(&logprobs);
        let (output_index, content_index) = (self.n_items - 1, 0);
        let item_id = item_id(&response.id, output_index, open);
        Some(match open {
            Item::FunctionCall { .. } => Kind::ArgumentsDelta { item_id, output_index, delta },
            Item::CustomToolCall { .. } => Kind::InputDelta { item_id, output_index, delta },
            Item::Reasoning { .. } => {
                Kind::ReasoningDelta { item_id, output_index, content_index, delta }
            }
            _ => Kind::TextDelta { item_id, output_index, content_index, delta, logprobs },
        })
    }

    /// The end of the item that is being written.
    fn close(&mut self) -> Vec<Kind> {
        self.close_as("completed")
    }

    fn close_as(&mut self, status: &'static str) -> Vec<Kind> {
        let (Some(response), Some(done)) = (&self.created, self.open.take()) else {
            return Vec::new();
        };
        let (output_index, content_index) = (self.n_items - 1, 0);
        let id = item_id(&response.id, output_index, &done);
        let logprobs = std::mem::take(&mut self.logprobs);
        let wire = item(&response.id, output_index, &done, status, &logprobs);
        let item_id = id.clone();
        let mut kinds = match done {
            Item::FunctionCall { name, arguments, .. } => {
                vec![Kind::ArgumentsDone { item_id, output_index, name, arguments }]
            }
            Item::CustomToolCall { input, .. } => {
                vec![Kind::InputDone { item_id, output_index, input }]
            }
            Item::Reasoning { text } => {
                let part = ContentPart::ReasoningText { text: text.clone() };
                vec![
                    Kind::ReasoningDone { item_id, output_index, content_index, text },
                    Kind::PartDone { item_id: id, output_index, content_index, part },
                ]
            }
            other => {
                let text = other.text().to_owned();
                let part = ContentPart::text(text.clone(), logprobs.clone());
                vec![
                    Kind::TextDone { item_id, output_index, content_index, text, logprobs },
                    Kind::PartDone { item_id: id, output_index, content_index, part },
                ]
            }
        };
        kinds.push(Kind::ItemDone { output_index, item: wire });
        kinds
    }

    /// The end: what the finished response says of its items is what counts.
    fn finish(&mut self, response: &Response) -> Vec<Kind> {
        let (n, status) = (response.output.len(), status_word(response));
        let mut kinds = Vec::new();
        let n_before = usize::from(self.echo.compaction.is_some());
        let first = self.n_items.saturating_sub(n_before + usize::from(self.open.is_some()));
        for (i, item) in response.output.iter().enumerate().skip(first) {
            if n_before + i >= self.n_items {
                let mut begun = item.clone();
                begun.text_mut().clear();
                kinds.extend(self.open(begun));
            }
            self.open = Some(item.clone());
            self.logprobs.clone_from(&response.logprobs);
            kinds.extend(self.close_as(if i + 1 < n { "completed" } else { status }));
        }
        let object = Box::new(ResponseObject::finished(response, &self.echo));
        kinds.push(if status == "completed" {
            Kind::Completed { response: object }
        } else {
            Kind::Incomplete { response: object }
        });
        kinds
    }

    /// The end of one response and the beginning of the next, which is numbered anew.
    fn steer(&mut self, Steered { ended, successor }: Steered) -> Vec<StreamEvent> {
        let mut events = self.push(Event::Done(ended));
        // What the conversation has become stands before what was said.
        *self = Self::new(Echo { compaction: None, ..self.echo.clone() });
        let begun = successor.output.clone();
        events.extend(self.push(Event::Created(Response { output: Vec::new(), ..successor })));
        for (index, mut item) in begun.into_iter().enumerate() {
            let text = std::mem::take(item.text_mut());
            events.extend(self.push(Event::Added { index, item }));
            events.extend(self.push(Event::TextDelta(text.into())));
        }
        events
    }

    /// `response.failed` once there is a response to fail: some clients ignore the bare `error`.
    fn fail(&mut self, error: &ErrorBody) -> Kind {
        match &self.created {
            Some(response) => Kind::Failed {
                response: Box::new(ResponseObject::failed(response, &self.echo, error)),
            },
            None => Kind::Error {
                code: error.code.clone(),
                message: error.message.clone(),
                param: error.param.clone(),
            },
        }
    }

    fn number(&mut self, kind: Kind) -> StreamEvent {
        let event = StreamEvent { kind, sequence_number: self.sequence_number };
        self.sequence_number += 1;
        event
    }
}
