//! Steps to events: the way up, from token ids to text, counts and an end.

use crate::generator::Steps;
use crate::text::{Flow, TextOut};
use cerium_engine::{DraftKind, Finish, FinishReason, Stats, Step};
use cerium_model::tokenizer::Tokenizer;
use cerium_protocol::{
    DraftCounts, DraftUsage, ErrorBody, ErrorKind, Event, Response, Status, Timings, Usage,
};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Events of one answer: `Created`, any number of `TextDelta`, then `Done` or `Failed`.
///
/// Nothing is computed ahead of a reader that does not read, beyond a bounded number of tokens.
/// Dropping the stream cancels the work behind it.
pub struct Stream {
    steps: Box<dyn Steps>,
    tokenizer: Arc<Tokenizer>,
    text: TextOut,
    context_is_limit: bool,
    response: Response,
    /// Events made and not yet taken: at most the last text and the end.
    ready: VecDeque<Event>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Writing,
    /// A stop text came; the engine was told, and only its counts are still of interest.
    Stopped,
    /// The reader wants no more; likewise.
    Cancelled,
    Over,
}

/// What a stream is made of.
pub(crate) struct StreamParts {
    pub(crate) steps: Box<dyn Steps>,
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) text: TextOut,
    pub(crate) context_is_limit: bool,
    /// The response as it is created.
    pub(crate) response: Response,
}

impl Stream {
    pub(crate) fn new(parts: StreamParts) -> Self {
        let StreamParts { steps, tokenizer, text, context_is_limit, response } = parts;
        let ready = VecDeque::from([Event::Created(response.clone())]);
        let phase = Phase::Writing;
        Self { steps, tokenizer, text, context_is_limit, response, ready, phase }
    }

    /// Waits for the next event; `None` after the last one.
    #[expect(clippy::should_implement_trait, reason = "an iterator would hide that this blocks")]
    pub fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.phase == Phase::Over {
                return None;
            }
            let step = self.steps.next();
            self.advance(step);
        }
    }

    /// The same without blocking a thread. Dropping the future loses no event.
    pub async fn next_async(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.phase == Phase::Over {
                return None;
            }
            let step = self.steps.next_async().await;
            self.advance(step);
        }
    }

    /// Asks for an early end: `Done` with status `Cancelled` follows soon, unless the answer had
    /// ended by itself.
    pub fn cancel(&mut self) {
        if self.phase == Phase::Writing {
            self.phase = Phase::Cancelled;
            self.steps.cancel();
        }
    }

    fn advance(&mut self, step: Option<Step>) {
        match step {
            Some(Step::Prefilled { n_cached, .. }) => {
                self.response.usage.cached_tokens = n_cached as u64;
            }
            Some(Step::Token { id }) if self.phase == Phase::Writing => {
                let mut shown = String::new();
                let flow = self.text.push(self.tokenizer.token_bytes(id), &mut shown);
                self.show(shown);
                self.heed(flow);
            }
            Some(Step::Queued { .. } | Step::Token { .. }) => {}
            Some(Step::Done(finish)) => self.end(&finish),
            None => {
                self.phase = Phase::Over;
                self.ready.push_back(Event::Failed(broken()));
            }
        }
    }

    fn show(&mut self, text: String) {
        if !text.is_empty() {
            self.response.output.text.push_str(&text);
            self.ready.push_back(Event::TextDelta(text));
        }
    }

    fn heed(&mut self, flow: Flow) {
        if flow == Flow::Stopped {
            self.phase = Phase::Stopped;
            self.steps.cancel();
        }
    }

    fn end(&mut self, finish: &Finish) {
        if self.phase == Phase::Writing {
            let mut shown = String::new();
            let flow = self.text.finish(&mut shown);
            self.show(shown);
            self.heed(flow);
        }
        let (status, reason) = match (self.phase, finish.reason) {
            (Phase::Stopped, _) | (_, FinishReason::Stop) => (Status::Completed, None),
            (Phase::Cancelled, _) | (_, FinishReason::Cancelled) => (Status::Cancelled, None),
            (_, FinishReason::Length) if !self.context_is_limit => {
                (Status::Incomplete, Some("max_output_tokens"))
            }
            (_, FinishReason::Length | FinishReason::Context) => {
                (Status::Incomplete, Some("context"))
            }
        };
        self.phase = Phase::Over;
        let response = &mut self.response;
        response.status = status;
        response.incomplete_reason = reason.map(str::to_owned);
        response.usage = usage(&finish.stats);
        response.timings = timings(&finish.stats);
        self.ready.push_back(Event::Done(response.clone()));
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("id", &self.response.id)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

fn broken() -> ErrorBody {
    ErrorBody::new(ErrorKind::ServerError, "the engine stopped before the answer was complete")
        .with_code("server_error")
}

/// The counts of a generation, as responses tell them.
pub fn usage(stats: &Stats) -> Usage {
    let drafts = |kind: DraftKind| {
        let counts = stats.drafts[kind as usize];
        DraftCounts {
            drafted_tokens: counts.n_drafted as u64,
            accepted_tokens: counts.n_accepted as u64,
        }
    };
    Usage {
        prompt_tokens: stats.n_prompt as u64,
        cached_tokens: stats.n_cached as u64,
        output_tokens: stats.n_output as u64,
        output_steps: stats.n_steps as u64,
        drafted_tokens: stats.n_drafted() as u64,
        accepted_tokens: stats.n_accepted() as u64,
        drafts: DraftUsage {
            copied: drafts(DraftKind::Copy),
            changed: drafts(DraftKind::Transduced),
            repeated: drafts(DraftKind::Repeat),
        },
    }
}

fn timings(stats: &Stats) -> Timings {
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    Timings {
        prefill_ms: ms(stats.prefill),
        ttft_ms: ms(stats.ttft),
        decode_ms: ms(stats.decode),
        total_ms: ms(stats.total),
    }
}
