//! Errors on the wire: the one place that chooses a status.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cerium_protocol::wire::ErrorEnvelope;
use cerium_protocol::{ErrorBody, ErrorKind};

/// Status and body that tell a client of an error.
pub fn to_wire(error: &ErrorBody) -> (StatusCode, ErrorEnvelope) {
    // Another engine's errors keep the status that they came with.
    let theirs = error.status.and_then(|status| StatusCode::from_u16(status).ok());
    let status = match (error.kind, error.code.as_deref()) {
        _ if theirs.is_some_and(|it| it.is_client_error() || it.is_server_error()) => {
            theirs.unwrap_or_default()
        }
        (ErrorKind::InvalidRequestError, Some(METHOD_NOT_ALLOWED)) => {
            StatusCode::METHOD_NOT_ALLOWED
        }
        (ErrorKind::InvalidRequestError, Some(UPLOAD_TIMEOUT)) => StatusCode::REQUEST_TIMEOUT,
        (ErrorKind::InvalidRequestError, Some(BODY_TOO_LARGE)) => StatusCode::PAYLOAD_TOO_LARGE,
        (ErrorKind::InvalidRequestError, Some(MEDIA_TYPE)) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        (ErrorKind::InvalidRequestError, Some(INVALID_API_KEY)) => StatusCode::UNAUTHORIZED,
        (ErrorKind::InvalidRequestError, _) => StatusCode::BAD_REQUEST,
        (ErrorKind::NotFoundError, _) => StatusCode::NOT_FOUND,
        (ErrorKind::PermissionError, _) => StatusCode::FORBIDDEN,
        (ErrorKind::RateLimitError, _) => StatusCode::TOO_MANY_REQUESTS,
        (ErrorKind::OverloadedError, _) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, ErrorEnvelope { error: error.clone() })
}

/// Codes of errors that only a server of HTTP has; each has a status of its own.
pub(crate) const METHOD_NOT_ALLOWED: &str = "method_not_allowed";
pub(crate) const UPLOAD_TIMEOUT: &str = "request_timeout";
pub(crate) const BODY_TOO_LARGE: &str = "request_too_large";
pub(crate) const INVALID_API_KEY: &str = "invalid_api_key";
pub(crate) const MEDIA_TYPE: &str = "unsupported_media_type";

/// An error on its way out of a handler.
#[derive(Debug)]
pub struct Refusal(pub ErrorBody);

impl From<ErrorBody> for Refusal {
    fn from(error: ErrorBody) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, envelope) = to_wire(&self.0);
        // The message may repeat what the client sent, so it stays out of the log.
        let code = self.0.code.as_deref().unwrap_or("-");
        let param = self.0.param.as_deref().unwrap_or("-");
        if status.is_server_error() {
            tracing::warn!(status = status.as_u16(), code, message = %self.0.message, "failed");
        } else {
            tracing::info!(status = status.as_u16(), code, param, "refused");
        }
        let mut response = json(status, &envelope);
        for (name, value) in self.0.retry_headers() {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// A JSON answer.
pub(crate) fn json<T: serde::Serialize>(status: StatusCode, body: &T) -> Response {
    written(status, serde_json::to_vec(body).expect("wire types have only string keys"))
}

/// An answer that is JSON already.
pub(crate) fn raw_json(body: String) -> Response {
    written(StatusCode::OK, body.into())
}

fn written(status: StatusCode, body: Vec<u8>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (status, headers, body).into_response()
}
