//! What the page asks for is done on threads of their own, a few at a time, and told as a stream of events.

use super::backend::PageBackend;
use super::line::{Line, Lines, Wish};
use crate::backend::Counted;
use crate::stats::Stats;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use cerium_protocol::{ErrorBody, ErrorKind};
use cerium_server::{Caller, Refusal, Telling};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// Room for calls, and the ways to those in progress.
#[derive(Clone, Debug)]
pub(super) struct Places {
    room: Arc<Semaphore>,
    lines: Arc<Lines>,
}

/// Something said to a call.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Steer {
    /// The number that it began with.
    call: u64,
    /// What it should do otherwise; absent, it is to stop.
    text: Option<String>,
}

/// A call in progress.
pub(super) struct Call {
    pub(super) backend: Counted,
    telling: Arc<Telling>,
    line: Arc<Line>,
    runtime: Handle,
}

/// Why a call came to nothing.
#[derive(Debug, Serialize)]
pub(super) struct Failed {
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// What the model wrote, where that is the trouble.
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<String>,
}

impl Failed {
    pub(super) fn new(error: &dyn std::error::Error) -> Self {
        Self::said(&error.to_string())
    }

    pub(super) fn said(message: &str) -> Self {
        Self { message: message.to_owned(), hint: None, reply: None }
    }

    pub(super) fn hint(self, hint: Option<String>) -> Self {
        Self { hint, ..self }
    }

    pub(super) fn reply(self, reply: &str) -> Self {
        Self { reply: Some(reply.to_owned()), ..self }
    }
}

impl Call {
    /// Tells an event; `Break` once nobody is there to hear it, or somebody has said something.
    pub(super) fn tell(&self, event: &str, data: &impl Serialize) -> ControlFlow<()> {
        let heard = self.runtime.block_on(self.telling.tell(event, data));
        if heard { self.going_on() } else { ControlFlow::Break(()) }
    }

    /// `Break` once somebody has said something.
    pub(super) fn going_on(&self) -> ControlFlow<()> {
        if self.line.is_heard() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// What was said, and is to be done now. Unless that is to do it otherwise, the call is at its end.
    pub(super) fn wish(&self) -> Option<Wish> {
        self.line.take()
    }

    /// What the call is to do otherwise, if that was said; else it is at its end.
    pub(super) fn otherwise(&self) -> Option<String> {
        match self.wish()? {
            Wish::Otherwise(more) => Some(more),
            Wish::Stop => None,
        }
    }

    /// Tells that what is asked for is now this.
    pub(super) fn redirect(&self, asked: &str) {
        // Who is gone by now is noticed at the next word.
        let _ = self.tell("redirect", &asked);
    }

    /// What was asked of the model since the last look.
    pub(super) fn stats(&self) -> Stats {
        self.backend.take_stats()
    }
}

impl Places {
    /// Room for so many.
    pub(super) fn new(n_calls_max: usize) -> Self {
        Self { room: Arc::new(Semaphore::new(n_calls_max)), lines: Arc::default() }
    }

    /// Room of its own for so many others, to which the same way leads.
    pub(super) fn beside(&self, n_calls_max: usize) -> Self {
        Self { lines: Arc::clone(&self.lines), ..Self::new(n_calls_max) }
    }

    /// Does what was asked for, and tells by which number it can be reached, then what came of it: `done` with its
    /// result, or `failed`.
    ///
    /// # Errors
    /// When too much is being done already.
    pub(super) fn run<T: Serialize>(
        &self,
        caller: &Caller,
        work: impl FnOnce(&Call) -> Result<T, Failed> + Send + 'static,
    ) -> Result<Response, Refusal> {
        let full = |_| {
            let what = "too much is asked of this page at once; try again shortly";
            ErrorBody::new(ErrorKind::OverloadedError, what).with_code("server_is_overloaded")
        };
        let place = Arc::clone(&self.room).try_acquire_owned().map_err(full)?;
        let (telling, response) = caller.tell();
        let telling = Arc::new(telling);
        let runtime = Handle::current();
        let opened = self.lines.add(caller);
        let (caller, for_backend) = (caller.clone(), Arc::clone(&telling));
        let begun = thread::Builder::new().name("cerium-page".to_owned()).spawn(move || {
            let _place = place;
            let (number, line) = (opened.number, Arc::clone(&opened.line));
            let backend = PageBackend {
                caller,
                telling: for_backend,
                line: Arc::clone(&line),
                runtime: runtime.clone(),
            };
            let call = Call { backend: Counted::new(backend), telling, line, runtime };
            let _ = call.tell("begun", &number);
            let _ = match work(&call) {
                Ok(done) => call.tell("done", &json!({ "result": done, "stats": call.stats() })),
                Err(failed) => call.tell("failed", &failed),
            };
            drop(opened);
            let Call { backend, telling, runtime, .. } = call;
            drop(backend);
            if let Some(telling) = Arc::into_inner(telling) {
                runtime.block_on(telling.end());
            }
        });
        match begun {
            Ok(_) => Ok(response),
            Err(error) => {
                let what = format!("no thread can be started: {error}");
                Err(ErrorBody::new(ErrorKind::OverloadedError, what).into())
            }
        }
    }
}

/// Says something to a call in progress.
pub(super) async fn steer(
    State(places): State<Places>,
    caller: Caller,
    request: Request,
) -> Result<StatusCode, Refusal> {
    let Steer { call, text } = caller.read(request).await?;
    let wish = text.map_or(Wish::Stop, Wish::Otherwise);
    if places.lines.say(&caller, call, wish) {
        return Ok(StatusCode::NO_CONTENT);
    }
    let what = "what was asked for is done, or was never begun here";
    Err(ErrorBody::new(ErrorKind::NotFoundError, what).into())
}
