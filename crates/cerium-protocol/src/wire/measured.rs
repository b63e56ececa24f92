//! What an answer took and how it ended, exactly: the extension object of a finished answer.

use crate::{Item, Response, Status, Timings, TokenLogprob, Usage, Why};
use serde::{Deserialize, Serialize};

/// What the published shapes have no place for, or say more coarsely. With it, whoever reads a
/// stream of this server has the very [`Response`] that the server had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Measured {
    status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    incomplete_reason: Option<String>,
    #[serde(flatten)]
    usage: Usage,
    #[serde(flatten)]
    timings: Timings,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<Box<Why>>,
}

impl Measured {
    pub(super) fn of(response: &Response) -> Self {
        let Response { status, incomplete_reason, usage, timings, why, .. } = response;
        let (status, incomplete_reason) = (*status, incomplete_reason.clone());
        Self { status, incomplete_reason, usage: *usage, timings: *timings, why: why.clone() }
    }

    /// The response that this was said of.
    pub(super) fn response(
        self,
        id: String,
        model: String,
        output: Vec<Item>,
        logprobs: Vec<TokenLogprob>,
    ) -> Response {
        let Self { status, incomplete_reason, usage, timings, why } = self;
        Response { id, model, status, incomplete_reason, output, logprobs, usage, timings, why }
    }
}
