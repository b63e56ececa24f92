//! Where answers come from: the session service in this process, or any server that speaks the
//! protocol. Everything the harness does with a model goes through this one trait.

use cerium_protocol::{CompletionRequest, CreateResponse, ErrorBody, ModelInfo, Response};
use std::ops::ControlFlow;

/// Called with each new piece of text; `Break` cancels the generation.
pub type OnText<'a> = dyn FnMut(&str) -> ControlFlow<()> + 'a;

/// A model that can be talked to.
pub trait Backend: Send + Sync {
    /// Answers a conversation. Returns the finished response, whose status is `Cancelled` when
    /// `on_text` broke off.
    fn respond(
        &self,
        request: &CreateResponse,
        on_text: &mut OnText<'_>,
    ) -> Result<Response, ErrorBody>;

    /// Continues raw text, or fills the middle when the request has a suffix.
    fn complete(
        &self,
        request: &CompletionRequest,
        on_text: &mut OnText<'_>,
    ) -> Result<Response, ErrorBody>;

    /// Has the beginnings of conversations read one of which will probably be gone on with, while nothing else is
    /// to be done: `generate` of the requests is false. They take the place of what was to be read before. Returns
    /// at once. A hint: what cannot heed it does nothing.
    fn warm(&self, _requests: &[CreateResponse]) {}

    /// How many tokens of a request's prompt would be computed if it were made now; `None` where that is not
    /// known.
    fn missing_tokens(&self, _request: &CreateResponse) -> Option<usize> {
        None
    }

    /// What is behind this door.
    fn model(&self) -> ModelInfo;

    /// How many tokens the model sees in a text.
    fn count_tokens(&self, text: &str) -> usize;
}
