//! The harness's door to a model, wherever it runs, and what was asked through it.

use crate::interrupt;
use crate::stats::Stats;
use cerium_harness::{Backend, OnText};
use cerium_protocol::{
    CompletionRequest, CreateResponse, ErrorBody, ErrorKind, Event, ModelInfo, Response,
};
use std::mem;
use std::sync::{Mutex, PoisonError};

/// An answer that comes event by event.
pub(crate) trait Events {
    /// The next one; waiting for it may be given up without losing any.
    async fn next(&mut self) -> Option<Event>;

    /// Asks for an early end.
    fn cancel(&mut self);
}

/// Reads an answer to its end. Once it is cancelled, by Ctrl-C or because `on_text` broke off, what
/// still comes is not shown.
pub(crate) async fn drive(
    mut answer: impl Events,
    on_text: &mut OnText<'_>,
) -> Result<Response, ErrorBody> {
    let mut cancelled = false;
    loop {
        let event = tokio::select! {
            biased;
            () = interrupt::wait(), if !cancelled => {
                cancelled = true;
                answer.cancel();
                continue;
            }
            event = answer.next() => event,
        };
        match event {
            Some(Event::TextDelta(delta)) if !cancelled => {
                if on_text(&delta.text).is_break() {
                    cancelled = true;
                    answer.cancel();
                }
            }
            Some(Event::Done(response)) => return Ok(response),
            Some(Event::Failed(error)) => return Err(error),
            Some(_) => {}
            None => {
                let what = "the answer ended without an end";
                return Err(ErrorBody::new(ErrorKind::ServerError, what));
            }
        }
    }
}

/// A model that keeps count of its answers.
pub(crate) struct Counted {
    door: Box<dyn Backend>,
    /// What was asked so far, answers that came to nothing included.
    asked: Mutex<Stats>,
}

impl Counted {
    pub(crate) fn new(door: impl Backend + 'static) -> Self {
        Self { door: Box::new(door), asked: Mutex::default() }
    }

    /// What all answers since the last call took.
    pub(crate) fn take_stats(&self) -> Stats {
        mem::take(&mut self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn count(&self, answer: Result<Response, ErrorBody>) -> Result<Response, ErrorBody> {
        let response = answer?;
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).add(&response);
        Ok(response)
    }
}

impl Backend for Counted {
    fn respond(
        &self,
        request: &CreateResponse,
        on_text: &mut OnText<'_>,
    ) -> Result<Response, ErrorBody> {
        self.count(self.door.respond(request, on_text))
    }

    fn complete(
        &self,
        request: &CompletionRequest,
        on_text: &mut OnText<'_>,
    ) -> Result<Response, ErrorBody> {
        self.count(self.door.complete(request, on_text))
    }

    fn warm(&self, requests: &[CreateResponse]) {
        self.door.warm(requests);
    }

    fn missing_tokens(&self, request: &CreateResponse) -> Option<usize> {
        self.door.missing_tokens(request)
    }

    fn model(&self) -> ModelInfo {
        self.door.model()
    }

    fn count_tokens(&self, text: &str) -> usize {
        self.door.count_tokens(text)
    }
}
