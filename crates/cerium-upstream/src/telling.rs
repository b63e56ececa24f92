//! What an engine says, put in order: the events that a model of this process would have told.
//!
//! Engines begin items without saying so, count nothing, name a response after themselves. Here every
//! answer begins with its creation, every text has its item, and the end holds what was told before it.

use crate::error::bad_gateway;
use cerium_protocol::{ErrorBody, Event, Item, Response, Role, Status, TextDelta, Timings, Usage};
use std::hash::{BuildHasher, RandomState};
use std::mem::discriminant;
use std::time::Instant;

/// Longest answer, in bytes of its items.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Most items of an answer.
const ITEMS_MAX: usize = 1024;

/// Bytes of a token, where an engine does not count them.
const TOKEN_BYTES: u64 = 4;

/// See the module.
#[derive(Debug)]
pub(crate) struct Telling {
    response: Response,
    asked: Instant,
    first: Option<Instant>,
    n_bytes: usize,
    /// Bytes of what was asked.
    n_asked: u64,
    created: bool,
}

impl Telling {
    /// Begins to tell an answer of `model` to a request of so many bytes.
    pub(crate) fn new(model: &str, n_asked: usize) -> Self {
        let fresh = || RandomState::new().hash_one(());
        let response =
            Response::begun(format!("resp_{:016x}{:016x}", fresh(), fresh()), model.to_owned());
        let (asked, n_asked) = (Instant::now(), n_asked as u64);
        Self { response, asked, first: None, n_bytes: 0, n_asked, created: false }
    }

    /// Whether anything was told.
    pub(crate) fn has_begun(&self) -> bool {
        self.created
    }

    /// The events that stand for one of an engine's, in order.
    ///
    /// # Errors
    /// For what no answer consists of, and for more than one may hold.
    pub(crate) fn take(&mut self, event: Event) -> Result<Vec<Event>, ErrorBody> {
        let mut out = self.create();
        match event {
            Event::Created(_) => {}
            queued @ Event::Queued { .. } => out.push(queued),
            Event::Added { item, .. } => self.add(item, &mut out)?,
            Event::TextDelta(delta) => {
                self.write(Item::message(Role::Assistant, ""), &delta.text, &mut out)?;
                self.response.logprobs.extend_from_slice(&delta.logprobs);
                out.push(Event::TextDelta(delta));
            }
            Event::ReasoningDelta(text) => {
                self.write(Item::Reasoning { text: String::new() }, &text, &mut out)?;
                out.push(Event::ReasoningDelta(text));
            }
            Event::CallDelta(text) => {
                if !self.response.output.last().is_some_and(Item::is_call) {
                    return Err(bad_gateway("arguments came without a call"));
                }
                self.append(&text)?;
                out.push(Event::CallDelta(text));
            }
            Event::Steered(_) => return Err(bad_gateway("the answer was redirected")),
            Event::Done(ended) => self.end(ended, &mut out)?,
            Event::Failed(error) => return Err(error),
        }
        Ok(out)
    }

    /// The end of an answer that nobody wants to hear to its end.
    pub(crate) fn cancelled(&mut self) -> Vec<Event> {
        let mut out = self.create();
        out.push(Event::Done(self.finish(Status::Cancelled, None, Usage::default())));
        out
    }

    /// An answer to a request that wants none.
    pub(crate) fn nothing(model: &str) -> [Event; 2] {
        let mut telling = Self::new(model, 0);
        let created = telling.response.clone();
        [
            Event::Created(created),
            Event::Done(telling.finish(Status::Completed, None, Usage::default())),
        ]
    }

    /// The first event, if it was not told yet.
    fn create(&mut self) -> Vec<Event> {
        let told = std::mem::replace(&mut self.created, true);
        (!told).then(|| Event::Created(self.response.clone())).into_iter().collect()
    }

    /// Writes on in the last item, if it is of this kind, or else in a new one.
    fn write(&mut self, item: Item, text: &str, out: &mut Vec<Event>) -> Result<(), ErrorBody> {
        let last = self.response.output.last();
        if last.is_none_or(|last| discriminant(last) != discriminant(&item)) {
            self.add(item, out)?;
        }
        self.append(text)
    }

    fn append(&mut self, text: &str) -> Result<(), ErrorBody> {
        self.first.get_or_insert_with(Instant::now);
        self.n_bytes += text.len();
        if self.n_bytes > ANSWER_BYTES_MAX {
            let what = format!("the answer is longer than {ANSWER_BYTES_MAX} bytes");
            return Err(bad_gateway(what));
        }
        if let Some(last) = self.response.output.last_mut() {
            last.text_mut().push_str(text);
        }
        Ok(())
    }

    /// Begins an item; text that it has already is told behind it.
    fn add(&mut self, mut item: Item, out: &mut Vec<Event>) -> Result<(), ErrorBody> {
        let index = self.response.output.len();
        if index >= ITEMS_MAX || !item.is_of_the_model() {
            return Err(bad_gateway("the answer has items that no answer has"));
        }
        if let Item::FunctionCall { call_id, .. } | Item::CustomToolCall { call_id, .. } = &mut item
            && call_id.is_empty()
        {
            let stem = self.response.id.trim_start_matches("resp_");
            *call_id = format!("call_{stem}_{index}");
        }
        let text = std::mem::take(item.text_mut());
        self.response.output.push(item.clone());
        out.push(Event::Added { index, item: item.clone() });
        if !text.is_empty() {
            self.append(&text)?;
            out.push(match item {
                Item::Message { .. } => Event::TextDelta(TextDelta::from(text)),
                Item::Reasoning { .. } => Event::ReasoningDelta(text),
                _ => Event::CallDelta(text),
            });
        }
        Ok(())
    }

    fn end(&mut self, ended: Response, out: &mut Vec<Event>) -> Result<(), ErrorBody> {
        // What was not told on the way is told now; what was, stands as it was told.
        for item in ended.output.into_iter().skip(self.response.output.len()) {
            self.add(item, out)?;
        }
        if self.response.output.is_empty() {
            self.add(Item::message(Role::Assistant, ""), out)?;
        }
        if self.response.logprobs.is_empty() {
            self.response.logprobs = ended.logprobs;
        }
        let status = match ended.status {
            Status::InProgress => Status::Completed,
            status => status,
        };
        out.push(Event::Done(self.finish(status, ended.incomplete_reason, ended.usage)));
        Ok(())
    }

    /// The finished response; an engine that does not count is counted for.
    fn finish(&mut self, status: Status, reason: Option<String>, usage: Usage) -> Response {
        let counted = usage.prompt_tokens > 0 || usage.output_tokens > 0;
        let usage = if counted { usage } else { guessed(self.n_asked, self.n_bytes as u64) };
        let now = Instant::now();
        let ms = |from: Instant, to: Instant| to.duration_since(from).as_secs_f64() * 1e3;
        let first = self.first.unwrap_or(now);
        let timings = Timings {
            prefill_ms: ms(self.asked, first),
            ttft_ms: ms(self.asked, first),
            decode_ms: ms(first, now),
            total_ms: ms(self.asked, now),
            ..Timings::default()
        };
        let incomplete_reason = reason;
        self.response =
            Response { status, incomplete_reason, usage, timings, ..self.response.clone() };
        self.response.clone()
    }
}

/// About how many tokens so many bytes of a request and of an answer are.
pub(crate) fn guessed(n_asked: u64, n_told: u64) -> Usage {
    let [prompt_tokens, output_tokens] = [n_asked, n_told].map(|n| n.div_ceil(TOKEN_BYTES));
    Usage { prompt_tokens, output_tokens, ..Usage::default() }
}
