//! The one shape of an error, in process and on the wire.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a client can do about an error.
///
/// Serialised as the `type` that the hosted service uses. There a missing model or response is an
/// `invalid_request_error` too, so [`ErrorKind::NotFoundError`] and [`ErrorKind::PermissionError`]
/// share that name and differ by HTTP status; a `type` not listed here is read as a server error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request cannot be served as it stands (HTTP 400, 405, 413, 415).
    InvalidRequestError,
    /// No such model, response or path (HTTP 404).
    #[serde(rename(serialize = "invalid_request_error"))]
    NotFoundError,
    /// Whoever asks may not (HTTP 403).
    #[serde(rename(serialize = "invalid_request_error"))]
    PermissionError,
    /// This client asked too much of the server; later may work (HTTP 429).
    RateLimitError,
    /// The server is full; later may work (HTTP 503).
    #[serde(rename = "service_unavailable_error")]
    OverloadedError,
    /// Our fault (HTTP 500).
    #[serde(other)]
    ServerError,
}

/// `{"error": {...}}` carries one of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ErrorBody {
    /// What went wrong, for a person.
    pub message: String,
    /// What sort of thing it is.
    #[serde(rename = "type")]
    pub kind: ErrorKind,
    /// Field of the request at fault, such as `input[2].content`.
    #[serde(default)]
    pub param: Option<String>,
    /// Machine-readable detail, such as `context_length_exceeded`.
    #[serde(default)]
    pub code: Option<String>,
    /// When to try again, in milliseconds, where that is known: a header, no part of the body.
    #[serde(skip)]
    pub retry_after_ms: Option<u64>,
    /// The HTTP status under which another engine told of it. Absent, the kind and the code say which.
    #[serde(skip)]
    pub status: Option<u16>,
}

impl ErrorBody {
    /// An error without `param` or `code`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { message, kind, param: None, code: None, retry_after_ms: None, status: None }
    }

    /// A request that cannot be served because of the field `param`.
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            param: Some(param.into()),
            code: Some("invalid_value".to_owned()),
            ..Self::new(ErrorKind::InvalidRequestError, message)
        }
    }

    /// A request that the protocol allows and this server does not serve.
    pub fn not_served(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::invalid(param, message).with_code("unsupported_parameter")
    }

    /// The same error, with when to try again.
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        Self { retry_after_ms: Some(ms.max(1)), ..self }
    }

    /// The headers that say when to try again, in whole seconds and in milliseconds, and that it may work then;
    /// none for an error that is not over by waiting.
    pub fn retry_headers(&self) -> Vec<(&'static str, String)> {
        let is_temporary =
            matches!(self.kind, ErrorKind::RateLimitError | ErrorKind::OverloadedError);
        let Some(ms) = self.retry_after_ms.or(is_temporary.then_some(1000)) else {
            return Vec::new();
        };
        vec![
            ("retry-after", ms.div_ceil(1000).to_string()),
            ("retry-after-ms", ms.to_string()),
            ("x-should-retry", "true".to_owned()),
        ]
    }

    /// The same error with another machine-readable detail.
    #[must_use]
    pub fn with_code(self, code: impl Into<String>) -> Self {
        Self { code: Some(code.into()), ..self }
    }
}
