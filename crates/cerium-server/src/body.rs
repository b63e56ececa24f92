//! Bodies of requests: JSON, of bounded size, within bounded time and memory.

use crate::error::{BODY_TOO_LARGE, MEDIA_TYPE, UPLOAD_TIMEOUT};
use crate::options::ServerOptions;
use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use cerium_protocol::{ErrorBody, ErrorKind};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Largest bodies that may be held at once; smaller ones are more.
const N_LARGEST: usize = 4;

/// Reads bodies, of which only so many bytes are held at once.
#[derive(Debug)]
pub(crate) struct Bodies {
    budget: Arc<Semaphore>,
    options: ServerOptions,
}

/// A body, and its share of the memory for bodies.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) bytes: Bytes,
    _share: Option<OwnedSemaphorePermit>,
}

impl Bodies {
    pub(crate) fn new(options: &ServerOptions) -> Self {
        let n_bytes = options.body_bytes_max.saturating_mul(N_LARGEST);
        let budget = Arc::new(Semaphore::new(n_bytes.min(Semaphore::MAX_PERMITS)));
        Self { budget, options: options.clone() }
    }

    /// Gives what has arrived already its share, if there is one left.
    pub(crate) fn hold(&self, bytes: Bytes) -> Result<Held, ErrorBody> {
        let n_bytes = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let share = Arc::clone(&self.budget).try_acquire_many_owned(n_bytes).map_err(|_| {
            let what = "the server holds too many requests; try again shortly";
            ErrorBody::new(ErrorKind::OverloadedError, what).with_code("server_is_overloaded")
        })?;
        Ok(Held { bytes, _share: Some(share) })
    }

    /// Reads the body of a request that must hold JSON.
    pub(crate) async fn read(&self, request: Request) -> Result<Held, ErrorBody> {
        let (parts, body) = request.into_parts();
        check_type(&parts.headers)?;
        let max = self.options.body_bytes_max;
        // Known from Content-Length; a chunked body may grow up to the limit.
        let announced = body.size_hint().upper().unwrap_or(max as u64);
        if announced > max as u64 {
            return Err(too_large(max));
        }
        let read = async {
            let n_bytes = u32::try_from(announced).unwrap_or(u32::MAX);
            let share = Arc::clone(&self.budget).acquire_many_owned(n_bytes).await.ok();
            let bytes = collect(body, max).await?;
            Ok(Held { bytes, _share: share })
        };
        tokio::time::timeout(self.options.upload_max, read).await.unwrap_or_else(|_| {
            let what = format!("the body did not arrive within {:?}", self.options.upload_max);
            Err(refusal(what, UPLOAD_TIMEOUT))
        })
    }
}

impl Held {
    /// So many bytes, of no account.
    #[cfg(test)]
    pub(crate) fn of(n_bytes: usize) -> Self {
        Self { bytes: vec![0; n_bytes].into(), _share: None }
    }
}

async fn collect(body: Body, max: usize) -> Result<Bytes, ErrorBody> {
    // `to_bytes` does not tell its two errors apart by type; the size is checked again to do so.
    to_bytes(body, max).await.map_err(|error| {
        let broken = std::error::Error::source(&error)
            .is_some_and(|source| source.downcast_ref::<hyper::Error>().is_some());
        if broken {
            refusal("the body broke off".to_owned(), "incomplete_body")
        } else {
            too_large(max)
        }
    })
}

/// JSON and nothing else: besides being what is served, it is a type that a page of another site
/// cannot send without asking first.
fn check_type(headers: &HeaderMap) -> Result<(), ErrorBody> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let kind = text(header::CONTENT_TYPE).unwrap_or("none");
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"));
    if !is_json {
        let what = format!("the content type is `{kind:.60}`; `application/json` is served");
        return Err(refusal(what, MEDIA_TYPE));
    }
    match text(header::CONTENT_ENCODING) {
        None | Some("identity") => Ok(()),
        Some(encoding) => {
            let what = format!("the body is encoded as `{encoding:.60}`; send it plain");
            Err(refusal(what, MEDIA_TYPE))
        }
    }
}

fn too_large(max: usize) -> ErrorBody {
    refusal(format!("the body is larger than {max} bytes"), BODY_TOO_LARGE)
}

fn refusal(message: String, code: &str) -> ErrorBody {
    ErrorBody::new(ErrorKind::InvalidRequestError, message).with_code(code)
}
