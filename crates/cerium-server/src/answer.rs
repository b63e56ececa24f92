//! The one handler of all dialects: a body in, an object or a stream of events out.

use crate::dialect::{Dialect, Narrator};
use crate::error::{Refusal, json};
use crate::options::ServerOptions;
use crate::router::{App, Own, asker, now};
use crate::watched::Watched;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cerium_protocol::{ErrorBody, ErrorKind};
use std::io;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Frames made and not yet taken by the connection. A client that reads slower than this makes the
/// engine rest its job, and no other.
const N_FRAMES: usize = 32;

/// Answers a request in dialect `D`.
pub(crate) async fn answer<D: Dialect>(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Refusal> {
    let busy = asker(&request).begin(&app.ledger)?;
    let is_own = request.extensions().get::<Own>().is_some();
    let body = app.bodies.read(request).await?;
    let created = now();
    let worker = Arc::clone(&app);
    // Parsing and tokenising 16 MiB takes a while; connections must not wait for it.
    let begun = tokio::task::spawn_blocking(move || {
        let asked = D::read(&body.bytes)?;
        let tier = worker.tier(asked.model(), busy.owner())?;
        let stream = asked.start(&*tier)?;
        let name = tier.name().to_owned();
        Ok::<_, ErrorBody>((asked, Watched::new(stream, busy).own(is_own), name))
    });
    let (asked, mut stream, name) = begun.await.unwrap_or_else(|panic| {
        tracing::error!(%panic, "a request could not be prepared");
        Err(ErrorBody::new(ErrorKind::ServerError, "the server failed to read this request"))
    })?;
    stream.begun().await?;
    let mut response = if asked.streams() {
        events(stream, asked.narrator(created), Vec::new(), &app.options)
    } else {
        let candidates = stream.finish().await?;
        json(StatusCode::OK, &asked.whole(&candidates, created))
    };
    name_model(&name, &mut response);
    Ok(response)
}

/// Says which model it was.
pub(crate) fn name_model(name: &str, response: &mut Response) {
    if let Ok(name) = HeaderValue::from_str(name) {
        response.headers_mut().insert(HeaderName::from_static("openai-model"), name);
    }
}

/// A response whose body is told as it happens, after what was told already.
pub(crate) fn events<N: Narrator>(
    stream: Watched,
    narrator: N,
    told: Vec<u8>,
    options: &ServerOptions,
) -> Response {
    let (sender, response) = event_stream();
    if !told.is_empty() {
        // The channel is empty: there is room.
        let _ = sender.try_send(Frame::Part(told.into()));
    }
    tokio::spawn(narrate(stream, narrator, sender, options.clone()));
    response
}

/// A response whose body is what comes through a channel.
pub(crate) fn event_stream() -> (mpsc::Sender<Frame>, Response) {
    let (sender, frames) = mpsc::channel(N_FRAMES);
    let body = futures_util::stream::unfold(Some(frames), async |frames| {
        let mut frames = frames?;
        match frames.recv().await {
            Some(Frame::Part(bytes)) => Some((Ok(bytes), Some(frames))),
            Some(Frame::Last(bytes)) => Some((Ok(bytes), None)),
            // Given up half-way: the body must not look whole.
            None => Some((Err(io::Error::from(io::ErrorKind::TimedOut)), None)),
        }
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        // Proxies that buffer would turn a stream into a wait.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (sender, (headers, Body::from_stream(body)).into_response())
}

/// A piece of a body on its way to the connection.
pub(crate) enum Frame {
    Part(Bytes),
    Last(Bytes),
}

impl Frame {
    /// A comment: it says that the stream lives.
    pub(crate) const KEEPALIVE: Self = Self::Part(Bytes::from_static(b": keepalive\n\n"));
}

/// Tells a stream into `sender` until it ends, the client goes, or it no longer reads: that cancels
/// the work.
async fn narrate<N: Narrator>(
    mut stream: Watched,
    mut narrator: N,
    sender: mpsc::Sender<Frame>,
    options: ServerOptions,
) {
    tell(&mut stream, &mut narrator, sender, &options).await;
    if N::RECORDS {
        // How it ended is of interest still.
        stream.cancel();
        let mut lines = Vec::new();
        while let Some((index, event)) = stream.next().await {
            narrator.tell(index, event, &mut lines);
            lines.clear();
        }
    }
}

async fn tell<N: Narrator>(
    stream: &mut Watched,
    narrator: &mut N,
    sender: mpsc::Sender<Frame>,
    options: &ServerOptions,
) {
    loop {
        let event = tokio::select! {
            event = stream.next() => event,
            () = sender.closed() => return,
            () = tokio::time::sleep(options.keepalive) => {
                // Heard by nobody when the channel is full, and not needed then.
                let _ = sender.try_send(Frame::KEEPALIVE);
                continue;
            }
        };
        let frame = match event {
            Some((index, event)) => {
                let mut lines = Vec::new();
                narrator.tell(index, event, &mut lines);
                if lines.is_empty() {
                    continue;
                }
                Frame::Part(lines.into())
            }
            None => Frame::Last(Bytes::from_static(N::END.as_bytes())),
        };
        let last = matches!(frame, Frame::Last(_));
        if sender.send_timeout(frame, options.unread_max).await.is_err() || last {
            return;
        }
    }
}
