//! What goes wrong between here and an engine, as a client is told of it.

use cerium_protocol::{ErrorBody, ErrorKind};
use std::error::Error;
use std::time::Duration;

/// Why an attempt came to no answer.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: ErrorBody,
    pub(crate) again: Again,
    /// When the engine would like to be asked again.
    pub(crate) after: Option<Duration>,
}

/// What another attempt could come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// The same: the request is at fault.
    Same,
    /// The same here, maybe another with the next engine.
    Elsewhere,
    /// Maybe another.
    Better,
}

impl Failure {
    pub(crate) fn better(error: ErrorBody) -> Self {
        Self { error, again: Again::Better, after: None }
    }

    pub(crate) fn elsewhere(error: ErrorBody) -> Self {
        Self { error, again: Again::Elsewhere, after: None }
    }

    pub(crate) fn same(error: ErrorBody) -> Self {
        Self { error, again: Again::Same, after: None }
    }
}

/// The engine answers, and not as it should.
pub(crate) fn bad_gateway(what: impl Into<String>) -> ErrorBody {
    with(ErrorKind::ServerError, what, "upstream_error", 502)
}

/// The engine cannot be reached.
pub(crate) fn unreachable(what: impl Into<String>) -> ErrorBody {
    with(ErrorKind::ServerError, what, "upstream_unreachable", 502)
}

/// The engine takes too long.
pub(crate) fn late(what: impl Into<String>) -> ErrorBody {
    with(ErrorKind::ServerError, what, "upstream_timeout", 504)
}

/// No engine is asked at present.
pub(crate) fn unavailable(what: impl Into<String>) -> ErrorBody {
    with(ErrorKind::OverloadedError, what, "upstream_unavailable", 503)
}

fn with(kind: ErrorKind, what: impl Into<String>, code: &str, status: u16) -> ErrorBody {
    ErrorBody { status: Some(status), ..ErrorBody::new(kind, what) }.with_code(code)
}

/// An error of the connection with its causes, and without the address.
pub(crate) fn chain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
