//! An answer's candidates with a log line at the end of each, however it ends.

use crate::activity::Busy;
use crate::live::Reader;
use crate::tier::Answers;
use cerium_protocol::{ErrorBody, Event, Response, Status, SteerResponse};
use cerium_session::Past;
use std::time::Instant;

/// Events of one answer's candidates, and what is known of it so far.
#[derive(Debug)]
pub(crate) struct Watched {
    candidates: Box<dyn Answers>,
    busy: Busy,
    /// That of the first one.
    id: String,
    cancelled: bool,
    /// Candidates that have not ended.
    n_open: usize,
    /// Whether whoever reads it is the person whose engine this is.
    is_own: bool,
    /// Those who may read it while it is written, beside whoever asked.
    readers: Vec<Reader>,
    /// When the last piece of text came.
    wrote: Option<Instant>,
}

impl Watched {
    pub(crate) fn new(candidates: Box<dyn Answers>, busy: Busy) -> Self {
        let n_open = candidates.count();
        let readers = busy.reader().into_iter().collect();
        Self {
            candidates,
            busy,
            id: String::new(),
            cancelled: false,
            n_open,
            is_own: false,
            readers,
            wrote: None,
        }
    }

    /// Somebody else may read it.
    pub(crate) fn read_by(mut self, reader: Option<Reader>) -> Self {
        self.readers.extend(reader);
        self
    }

    /// It is read by the person whose engine this is.
    pub(crate) fn own(mut self, is_own: bool) -> Self {
        self.is_own = is_own;
        self
    }

    /// Waits until it is known that there will be an answer. What goes wrong before has a status of its own.
    pub(crate) async fn begun(&mut self) -> Result<(), ErrorBody> {
        let begun = self.candidates.begun().await;
        if let Err(error) = &begun {
            self.n_open = 0;
            tracing::warn!(status = error.status, message = %error.message, "answer refused");
        }
        begun
    }

    /// The next event, with its candidate's number. Dropping the future loses none.
    pub(crate) async fn next(&mut self) -> Option<(usize, Event)> {
        let mut event = loop {
            tokio::select! {
                event = self.candidates.next() => break event,
                () = self.busy.cancelled(), if !self.cancelled => {
                    self.cancelled = true;
                    self.candidates.cancel();
                }
            }
        };
        if let Some((0, event)) = &event {
            self.busy.live().show(&self.id, &self.readers, event);
        }
        self.busy.waits(matches!(&event, Some((_, Event::Queued { .. }))));
        match &mut event {
            Some((0, Event::Created(response))) => {
                self.id.clone_from(&response.id);
                self.busy.name(&response.id, &response.model);
            }
            Some((_, Event::Steered(steered))) => {
                self.id.clone_from(&steered.successor.id);
                self.conceal(&mut steered.ended);
            }
            Some((index, Event::Done(response))) => {
                self.n_open -= 1;
                self.busy.answered(response, self.candidates.unexplained(*index));
                log(response);
                self.conceal(response);
            }
            Some((_, Event::Failed(error))) => {
                self.n_open -= 1;
                tracing::warn!(id = self.id, message = %error.message, "answer failed");
            }
            Some((_, Event::TextDelta(_) | Event::CallDelta(_) | Event::ReasoningDelta(_))) => {
                let now = Instant::now();
                if let Some(last) = self.wrote.replace(now) {
                    self.busy.wrote(now - last);
                }
            }
            Some((_, Event::Created(_) | Event::Queued { .. } | Event::Added { .. })) => {}
            None => self.n_open = 0,
        }
        event
    }

    /// What a request goes on from after an answer without other candidates.
    pub(crate) fn past(&self) -> Option<Past> {
        self.candidates.past()
    }

    /// Has an answer without other candidates go on otherwise.
    pub(crate) fn steer(&mut self, asked: &SteerResponse) -> Result<(), ErrorBody> {
        self.candidates.steer(asked)
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
        self.candidates.cancel();
    }

    /// The whole responses, in the order of candidates.
    pub(crate) async fn finish(mut self) -> Result<Vec<Response>, ErrorBody> {
        let mut done: Vec<Option<Response>> = vec![None; self.candidates.count()];
        while let Some((index, event)) = self.next().await {
            match event {
                Event::Done(response) => done[index] = Some(response),
                Event::Failed(error) => return Err(error),
                _ => {}
            }
        }
        Ok(done.into_iter().map(|it| it.expect("a stream ends with Done or Failed")).collect())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.n_open > 0 {
            self.busy.live().gone(&self.id);
            self.busy.left(self.candidates.spent());
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
