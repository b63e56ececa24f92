//! A session's stream with one log line at its end, however it ends.

use crate::activity::Busy;
use cerium_protocol::{ErrorBody, Event, Response, Status, SteerResponse};
use cerium_session::Stream;

/// Events of one answer, and what is known of it so far.
#[derive(Debug)]
pub(crate) struct Watched {
    stream: Stream,
    busy: Busy,
    id: String,
    cancelled: bool,
    over: bool,
    /// Whether whoever reads it is the person whose engine this is.
    is_own: bool,
}

impl Watched {
    pub(crate) fn new(stream: Stream, busy: Busy) -> Self {
        Self { stream, busy, id: String::new(), cancelled: false, over: false, is_own: false }
    }

    /// It is read by the person whose engine this is.
    pub(crate) fn own(mut self, is_own: bool) -> Self {
        self.is_own = is_own;
        self
    }

    /// The next event. Dropping the future loses none.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        let mut event = loop {
            tokio::select! {
                event = self.stream.next_async() => break event,
                () = self.busy.cancelled(), if !self.cancelled => {
                    self.cancelled = true;
                    self.stream.cancel();
                }
            }
        };
        match &mut event {
            Some(Event::Created(response)) => {
                self.id.clone_from(&response.id);
                self.busy.name(&response.id);
            }
            Some(
                Event::Queued { .. }
                | Event::Added { .. }
                | Event::TextDelta(_)
                | Event::CallDelta(_)
                | Event::ReasoningDelta(_),
            ) => {}
            Some(Event::Steered(steered)) => {
                self.id.clone_from(&steered.successor.id);
                self.conceal(&mut steered.ended);
            }
            Some(Event::Done(response)) => {
                self.over = true;
                self.busy.answered(response);
                log(response);
                self.conceal(response);
            }
            Some(Event::Failed(error)) => {
                self.over = true;
                tracing::warn!(id = self.id, message = %error.message, "answer failed");
            }
            None => self.over = true,
        }
        event
    }

    /// Has the answer go on otherwise.
    pub(crate) fn steer(&mut self, asked: &SteerResponse) -> Result<(), ErrorBody> {
        self.stream.steer(asked)
    }

    /// What others asked is nobody else's business.
    fn conceal(&self, response: &mut cerium_protocol::Response) {
        let place = response.why.as_mut().and_then(|why| why.place.as_mut());
        if let Some(place) = place.filter(|_| !self.is_own) {
            place.known = None;
        }
    }

    /// Ends it early, unless it has ended.
    pub(crate) fn cancel(&mut self) {
        self.cancelled = true;
        self.stream.cancel();
    }

    /// The whole response.
    pub(crate) async fn finish(mut self) -> Result<Response, ErrorBody> {
        loop {
            match self.next().await {
                Some(Event::Done(response)) => return Ok(response),
                Some(Event::Failed(error)) => return Err(error),
                Some(_) => {}
                None => unreachable!("a stream ends with Done or Failed"),
            }
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.over {
            tracing::info!(id = self.id, "answer cancelled: the client went away");
        }
    }
}

fn log(response: &Response) {
    let Response { id, status, usage, timings, .. } = response;
    let status = match status {
        Status::Completed => "completed",
        Status::Incomplete => "incomplete",
        Status::Cancelled => "cancelled",
        Status::Failed => "failed",
        Status::InProgress => "in progress",
    };
    tracing::info!(
        id,
        status,
        prompt_tokens = usage.prompt_tokens,
        cached_tokens = usage.cached_tokens,
        output_tokens = usage.output_tokens,
        ttft_ms = timings.ttft_ms.round(),
        total_ms = timings.total_ms.round(),
        "answer"
    );
}
