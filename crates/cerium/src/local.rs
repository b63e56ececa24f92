//! The harness's door to a model in this process: the session service behind the `Backend` trait.
//! No sockets, the same types; Ctrl-C becomes a cancel.

use crate::backend::{self, Events};
use cerium_harness::{Backend, OnText};
use cerium_protocol::{CompletionRequest, CreateResponse, ErrorBody, Event, ModelInfo, Response};
use cerium_session::{Service, Stream};
use std::io;
use std::sync::{Mutex, PoisonError};
use tokio::runtime::{Builder, Runtime};

/// A loaded model as the harness sees it.
pub(crate) struct LocalBackend {
    service: Service,
    /// Waits for two things at once: the engine's next step and Ctrl-C. It runs nothing else.
    runtime: Runtime,
    /// What is read ahead, for as long as it is held.
    reading: Mutex<Vec<Stream>>,
}

impl LocalBackend {
    pub(crate) fn new(service: Service) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().build()?;
        Ok(Self { service, runtime, reading: Mutex::default() })
    }

    fn run(&self, stream: Stream, on_text: &mut OnText<'_>) -> Result<Response, ErrorBody> {
        self.runtime.block_on(backend::drive(stream, on_text))
    }
}

impl Events for Stream {
    async fn next(&mut self) -> Option<Event> {
        self.next_async().await
    }

    fn cancel(&mut self) {
        Stream::cancel(self);
    }
}

impl Backend for LocalBackend {
    fn respond(
        &self,
        request: &CreateResponse,
        on_text: &mut OnText<'_>,
    ) -> Result<Response, ErrorBody> {
        self.run(self.service.respond(request)?, on_text)
    }

    fn complete(
        &self,
        request: &CompletionRequest,
        on_text: &mut OnText<'_>,
    ) -> Result<Response, ErrorBody> {
        self.run(self.service.complete(request)?, on_text)
    }

    fn warm(&self, requests: &[CreateResponse]) {
        let streams = requests.iter().filter_map(|request| self.service.respond(request).ok());
        *self.reading.lock().unwrap_or_else(PoisonError::into_inner) = streams.collect();
    }

    fn missing_tokens(&self, request: &CreateResponse) -> Option<usize> {
        self.service.missing_tokens(request).ok()
    }

    fn model(&self) -> ModelInfo {
        self.service.model().clone()
    }

    fn count_tokens(&self, text: &str) -> usize {
        self.service.count_tokens(text)
    }
}
