//! Events of a response in progress, numbered and in the order that every client takes.
//!
//! The stream helpers of the official SDKs fail when one of the framing events is missing or comes
//! late, so all of them are always sent: created, in progress, item added, part added, the deltas,
//! then text, part and item done, and one final event.

use super::object::{ContentPart, OutputItem, ResponseObject, message, message_id};
use super::{Echo, object};
use crate::{ErrorBody, Event, OutputText, Response, Steered, TextDelta, TokenLogprob};
use serde::Serialize;

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
            Kind::InProgress { .. } => "response.in_progress",
            Kind::ItemAdded { .. } => "response.output_item.added",
            Kind::PartAdded { .. } => "response.content_part.added",
            Kind::TextDelta { .. } => "response.output_text.delta",
            Kind::TextDone { .. } => "response.output_text.done",
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

/// Turns what happens to one response into the events that tell a client.
#[derive(Debug)]
pub struct Events {
    echo: Echo,
    /// The response as it was created.
    created: Option<Response>,
    /// Whether the message has been announced.
    opened: bool,
    sequence_number: u64,
}

impl Events {
    /// The events of a response to the request that `echo` repeats.
    pub fn new(echo: Echo) -> Self {
        Self { echo, created: None, opened: false, sequence_number: 0 }
    }

    /// Whether there is no answer to come.
    pub fn warms(&self) -> bool {
        self.echo.warms
    }

    /// The wire events that stand for `event`, in order.
    pub fn push(&mut self, event: Event) -> Vec<StreamEvent> {
        match event {
            Event::Created(response) => self.create(response),
            Event::TextDelta(delta) => self.delta(delta),
            Event::Steered(steered) => self.steer(*steered),
            Event::Done(response) => self.finish(&response),
            Event::Failed(error) => vec![self.fail(&error)],
        }
    }

    fn create(&mut self, response: Response) -> Vec<StreamEvent> {
        let object = Box::new(ResponseObject::in_progress(&response, &self.echo));
        self.created = Some(response);
        vec![
            self.number(Kind::Created { response: object.clone() }),
            self.number(Kind::InProgress { response: object }),
        ]
    }

    fn delta(&mut self, delta: TextDelta) -> Vec<StreamEvent> {
        let Some(response) = self.created.as_ref() else {
            return Vec::new();
        };
        let id = message_id(response);
        let mut events = self.open(&id);
        events.push(self.number(Kind::TextDelta {
            item_id: id,
            output_index: 0,
            content_index: 0,
            delta: delta.text,
            logprobs: delta.logprobs,
        }));
        events
    }

    /// Announces the message and its one part, unless that was done. An empty answer has them too.
    fn open(&mut self, id: &str) -> Vec<StreamEvent> {
        if self.opened {
            return Vec::new();
        }
        self.opened = true;
        let item = OutputItem::Message {
            id: id.to_owned(),
            status: "in_progress",
            role: "assistant",
            content: Vec::new(),
        };
        vec![
            self.number(Kind::ItemAdded { output_index: 0, item }),
            self.number(Kind::PartAdded {
                item_id: id.to_owned(),
                output_index: 0,
                content_index: 0,
                part: ContentPart::text(OutputText::default()),
            }),
        ]
    }

    fn finish(&mut self, response: &Response) -> Vec<StreamEvent> {
        if self.echo.warms {
            let response = Box::new(ResponseObject::finished(response, &self.echo));
            return vec![self.number(Kind::Completed { response })];
        }
        let id = message_id(response);
        let mut events = self.open(&id);
        let (output_index, content_index) = (0, 0);
        let OutputText { text, logprobs } = response.output.clone();
        let part = ContentPart::text(response.output.clone());
        let object = Box::new(ResponseObject::finished(response, &self.echo));
        let end = if object::status_word(response) == "completed" {
            Kind::Completed { response: object }
        } else {
            Kind::Incomplete { response: object }
        };
        events.extend(
            [
                Kind::TextDone { item_id: id.clone(), output_index, content_index, text, logprobs },
                Kind::PartDone { item_id: id, output_index, content_index, part },
                Kind::ItemDone { output_index, item: message(response) },
                end,
            ]
            .map(|kind| self.number(kind)),
        );
        events
    }

    /// The end of one response and the beginning of the next, which is numbered anew.
    fn steer(&mut self, Steered { ended, successor }: Steered) -> Vec<StreamEvent> {
        let mut events = self.finish(&ended);
        *self = Self::new(self.echo.clone());
        let begun = successor.output.text.clone();
        events.extend(self.create(successor));
        if !begun.is_empty() {
            events.extend(self.delta(begun.into()));
        }
        events
    }

    /// `response.failed` once there is a response to fail: some clients ignore the bare `error`.
    fn fail(&mut self, error: &ErrorBody) -> StreamEvent {
        let kind = match &self.created {
            Some(response) => Kind::Failed {
                response: Box::new(ResponseObject::failed(response, &self.echo, error)),
            },
            None => Kind::Error {
                code: error.code.clone(),
                message: error.message.clone(),
                param: error.param.clone(),
            },
        };
        self.number(kind)
    }

    fn number(&mut self, kind: Kind) -> StreamEvent {
        let event = StreamEvent { kind, sequence_number: self.sequence_number };
        self.sequence_number += 1;
        event
    }
}
