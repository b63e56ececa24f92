//! The harness's door to the model, for one call of the page: whoever leaves the page, or says something, ends the work.

use super::line::Line;
use cerium_harness::{Backend, OnText};
use cerium_protocol::{
    CompletionRequest, CreateResponse, ErrorBody, ErrorKind, Event, ModelInfo, Response,
};
use cerium_server::{Caller, Telling};
use std::sync::Arc;
use tokio::runtime::Handle;

/// The server's model, as whoever looks at the page may use it.
pub(super) struct PageBackend {
    pub(super) caller: Caller,
    pub(super) telling: Arc<Telling>,
    pub(super) line: Arc<Line>,
    pub(super) runtime: Handle,
}

impl Backend for PageBackend {
    fn respond(
        &self,
        request: &CreateResponse,
        on_text: &mut OnText<'_>,
    ) -> Result<Response, ErrorBody> {
        let mut answer = self.caller.respond(request)?;
        let mut cancelled = false;
        loop {
            // One event after the other: what `on_text` tells waits on the runtime, too.
            let event = self.runtime.block_on(async {
                tokio::select! {
                    event = answer.next() => Some(event),
                    () = self.telling.gone(), if !cancelled => None,
                    () = self.line.heard(), if !cancelled => None,
                }
            });
            match event {
                Some(Some(Event::TextDelta(delta))) if !cancelled => {
                    if on_text(&delta.text).is_break() {
                        cancelled = true;
                        answer.cancel();
                    }
                }
                Some(Some(Event::Done(response))) => return Ok(response),
                Some(Some(Event::Failed(error))) => return Err(error),
                Some(Some(_)) => {}
                Some(None) => {
                    let what = "the answer ended without an end";
                    return Err(ErrorBody::new(ErrorKind::ServerError, what));
                }
                None => {
                    cancelled = true;
                    answer.cancel();
                }
            }
        }
    }

    fn complete(&self, _: &CompletionRequest, _: &mut OnText<'_>) -> Result<Response, ErrorBody> {
        Err(ErrorBody::new(ErrorKind::InvalidRequestError, "the page completes nothing"))
    }

    fn model(&self) -> ModelInfo {
        self.caller.service().model().clone()
    }

    fn count_tokens(&self, text: &str) -> usize {
        self.caller.service().count_tokens(text)
    }
}
