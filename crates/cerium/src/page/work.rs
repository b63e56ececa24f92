//! What the page asks for is done on threads of their own, a few at a time, and told as a stream of events.

use super::backend::PageBackend;
use crate::backend::Counted;
use crate::stats::Stats;
use axum::response::Response;
use cerium_protocol::{ErrorBody, ErrorKind};
use cerium_server::{Caller, Refusal, Telling};
use serde::Serialize;
use serde_json::json;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// Room for calls.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<Semaphore>);

/// A call in progress.
pub(super) struct Call {
    pub(super) backend: Counted,
    telling: Arc<Telling>,
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
    /// Tells an event; `Break` once nobody is there to hear it.
    pub(super) fn tell(&self, event: &str, data: &impl Serialize) -> ControlFlow<()> {
        let heard = self.runtime.block_on(self.telling.tell(event, data));
        if heard { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    /// What was asked of the model since the last look.
    pub(super) fn stats(&self) -> Stats {
        self.backend.take_stats()
    }
}

impl Places {
    /// Room for so many.
    pub(super) fn new(n_calls_max: usize) -> Self {
        Self(Arc::new(Semaphore::new(n_calls_max)))
    }

    /// Does what was asked for, and tells what came of it: `done` with its result, or `failed`.
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
        let place = Arc::clone(&self.0).try_acquire_owned().map_err(full)?;
        let (telling, response) = caller.tell();
        let telling = Arc::new(telling);
        let runtime = Handle::current();
        let (caller, for_backend) = (caller.clone(), Arc::clone(&telling));
        let begun = thread::Builder::new().name("cerium-page".to_owned()).spawn(move || {
            let _place = place;
            let backend = PageBackend { caller, telling: for_backend, runtime: runtime.clone() };
            let call = Call { backend: Counted::new(backend), telling, runtime };
            let _ = match work(&call) {
                Ok(done) => call.tell("done", &json!({ "result": done, "stats": call.stats() })),
                Err(failed) => call.tell("failed", &failed),
            };
            let Call { backend, telling, runtime } = call;
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
