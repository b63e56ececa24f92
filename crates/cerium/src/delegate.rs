//! The harness's door to a model that an engine elsewhere serves: no model is loaded here.

use crate::backend::{self, Events};
use crate::config::Settings;
use crate::failure::advice;
use anyhow::{Context as _, Result};
use cerium_harness::{Backend, OnText};
use cerium_protocol::{CompletionRequest, CreateResponse, ErrorBody, Event, ModelInfo, Response};
use cerium_server::{UpstreamError, Upstreams};
use cerium_upstream::Answer;
use tokio::runtime::Runtime;

/// How long a conversation may be with a model that does not say so, in tokens.
const CONTEXT_DEFAULT: usize = 32_768;

/// Bytes of a token, roughly and rather too few: what is counted must fit.
const TOKEN_BYTES: usize = 3;

/// See the module.
pub(crate) struct DelegateBackend {
    runtime: Runtime,
    upstreams: Upstreams,
    model: ModelInfo,
}

/// Engines elsewhere, if there are any.
///
/// # Errors
/// For an address that is none, a key that is not there.
pub(crate) fn upstreams(settings: &Settings) -> Result<Option<Upstreams>> {
    let options = settings.upstreams.iter().map(|(name, table)| table.options(name));
    let options: Vec<_> = options.collect::<Result<_>>()?;
    if options.is_empty() {
        return Ok(None);
    }
    let hint = "`url` is where its paths begin, such as http://127.0.0.1:8000/v1";
    let refused = |error: UpstreamError| advice(error.to_string(), hint);
    Upstreams::new(options).map(Some).map_err(refused)
}

impl DelegateBackend {
    /// The door to a model, or, if none is named, to the first one of the engine that is asked first.
    ///
    /// # Errors
    /// Where there is no such model.
    pub(crate) fn open(settings: &Settings, name: &str) -> Result<Self> {
        let upstreams = upstreams(settings)?.ok_or_else(|| {
            advice(
                "there is nobody to delegate to: no upstream is configured",
                "add one to your config.toml: [upstream.NAME] with `url` and `models` (docs/upstream.md)",
            )
        })?;
        let model = upstreams.find(name).ok_or_else(|| {
            let served: Vec<&str> = upstreams.models().collect();
            advice(
                format!("no upstream serves `{name}`"),
                format!("they serve {}", served.join(", ")),
            )
        })?;
        let model = model.to_owned();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("starting the runtime")?;
        // Without its word on that a guess has to do; whether it answers at all is seen when it is asked.
        runtime.block_on(upstreams.look());
        let context_tokens = upstreams.context(&model).unwrap_or(CONTEXT_DEFAULT);
        let extensions = upstreams.heeds_extensions(&model);
        let model = ModelInfo { name: model, context_tokens, infill: false, extensions };
        Ok(Self { runtime, upstreams, model })
    }
}

impl Events for Answer {
    async fn next(&mut self) -> Option<Event> {
        Answer::next(self).await
    }

    fn cancel(&mut self) {
        Answer::cancel(self);
    }
}

impl Backend for DelegateBackend {
    fn respond(
        &self,
        request: &CreateResponse,
        on_text: &mut OnText<'_>,
    ) -> Result<Response, ErrorBody> {
        let ask = async { backend::drive(self.upstreams.respond(request.clone()), on_text).await };
        self.runtime.block_on(ask)
    }

    fn complete(
        &self,
        request: &CompletionRequest,
        on_text: &mut OnText<'_>,
    ) -> Result<Response, ErrorBody> {
        let ask = async { backend::drive(self.upstreams.complete(request.clone()), on_text).await };
        self.runtime.block_on(ask)
    }

    fn model(&self) -> ModelInfo {
        self.model.clone()
    }

    fn count_tokens(&self, text: &str) -> usize {
        text.len().div_ceil(TOKEN_BYTES)
    }
}
