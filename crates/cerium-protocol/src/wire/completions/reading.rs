//! The way back: lines of a stream to what happened.

use super::finished_id;
use crate::wire::json;
use crate::wire::measured::Measured;
use crate::{CompletionRequest, ErrorBody, Event, Item, Response, Role, Status};
use serde::Deserialize;

/// The body that asks for a completion as a stream. A body that names no limit asks for 16 tokens,
/// so no limit is written as the highest one.
#[expect(clippy::missing_panics_doc, reason = "no request fails to be written")]
pub fn body(request: &CompletionRequest) -> Vec<u8> {
    let max_tokens = request.max_tokens.or(Some(u32::MAX));
    let request = CompletionRequest { stream: true, max_tokens, ..request.clone() };
    serde_json::to_vec(&request).expect("requests have only string keys")
}

/// Puts an answer together from the lines of its stream.
#[derive(Debug, Default)]
pub struct Reader {
    text: String,
    /// What the answer came to, once its last piece is there.
    end: Option<Response>,
    begun: bool,
}

impl Reader {
    /// Reads the data of one line; the events that it stands for, in order.
    ///
    /// # Errors
    /// What is no line of this dialect.
    pub fn read(&mut self, data: &[u8]) -> Result<Vec<Event>, ErrorBody> {
        if data == b"[DONE]" {
            return Ok(self.end.take().map(Event::Done).into_iter().collect());
        }
        let chunk: Chunk = json::read_answer(data)?;
        if let Some(error) = chunk.error {
            return Ok(vec![Event::Failed(error)]);
        }
        let mut events = Vec::new();
        if !std::mem::replace(&mut self.begun, true) {
            events.push(Event::Created(chunk.response(Status::InProgress, Vec::new())));
            events.push(Event::Added { index: 0, item: Item::message(Role::Assistant, "") });
        }
        let counts = chunk.usage.clone().filter(|_| chunk.cerium.is_none());
        let count = |end: &mut Option<Response>| {
            if let (Some(end), Some(counts)) = (end, counts) {
                end.usage.prompt_tokens = counts.prompt_tokens;
                end.usage.output_tokens = counts.completion_tokens;
            }
        };
        let [choice] = &chunk.choices[..] else {
            // Mostly the counts come in a line of their own.
            count(&mut self.end);
            return Ok(events);
        };
        if !choice.text.is_empty() {
            self.text.push_str(&choice.text);
            events.push(Event::TextDelta(choice.text.as_str().into()));
        }
        if let Some(reason) = &choice.finish_reason {
            let cut = reason == "length";
            let status = if cut { Status::Incomplete } else { Status::Completed };
            let output = vec![Item::message(Role::Assistant, std::mem::take(&mut self.text))];
            self.end = Some(match chunk.cerium {
                Some(measured) => {
                    measured.response(finished_id(&chunk.id), chunk.model, output, Vec::new())
                }
                None => Response {
                    incomplete_reason: cut.then(|| "max_output_tokens".to_owned()),
                    ..chunk.response(status, output)
                },
            });
        }
        count(&mut self.end);
        Ok(events)
    }
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    id: String,
    #[serde(default)]
    model: String,
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Counts>,
    #[serde(default)]
    cerium: Option<Measured>,
    #[serde(default)]
    error: Option<ErrorBody>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    text: String,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Clone, Deserialize)]
struct Counts {
    prompt_tokens: u64,
    completion_tokens: u64,
}

impl Chunk {
    fn response(&self, status: Status, output: Vec<Item>) -> Response {
        let begun = Response::begun(finished_id(&self.id), self.model.clone());
        Response { status, output, ..begun }
    }
}
