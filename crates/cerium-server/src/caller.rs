//! What a page that is served beside the protocols may do in the name of whoever asks: have the model answer,
//! and be told what happens. Answers are counted, bounded and charged like all others.

use crate::answer::{Frame, event_stream};
use crate::error::Refusal;
use crate::guests::Asker;
use crate::live::Reader;
use crate::router::{App, asker};
use crate::tier::Tier;
use crate::watched::Watched;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use cerium_protocol::{CreateResponse, ErrorBody, ErrorKind, Event};
use cerium_session::Service;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Whoever asks something of a page. Handlers of [`ServerOptions::page`](crate::ServerOptions::page) take one.
#[derive(Clone, Debug)]
pub struct Caller {
    app: Arc<App>,
    asker: Asker,
    /// The tab that it came from, if it says so.
    tab: Option<Reader>,
}

impl Caller {
    /// What answers here.
    pub fn service(&self) -> &Service {
        &self.app.service
    }

    pub(crate) fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// What it may read of what others wait for: of answers to the same key, or to the same tab.
    pub(crate) fn readers(&self) -> Vec<Reader> {
        let key = self.asker.guest.as_ref().map(|guest| Reader::Key(guest.name().to_owned()));
        key.into_iter().chain(self.tab.clone()).collect()
    }

    /// Whether the other asks from the same tab, and with a key of the same name where keys are asked for.
    pub fn is(&self, other: &Self) -> bool {
        let tabs = self.tab.as_ref().zip(other.tab.as_ref());
        tabs.is_some_and(|(a, b)| a == b) && self.asker.holder() == other.asker.holder()
    }

    /// The JSON that a request holds, of bounded size.
    ///
    /// # Errors
    /// When it is too large, too slow, or not what is expected.
    pub async fn read<T: DeserializeOwned>(&self, request: Request) -> Result<T, ErrorBody> {
        let body = self.app.bodies.read(request).await?;
        serde_json::from_slice(&body.bytes)
            .map_err(|error| ErrorBody::new(ErrorKind::InvalidRequestError, error.to_string()))
    }

    /// Begins an answer. Tokenising a long prompt takes a while, so this wants a thread of its own.
    ///
    /// # Errors
    /// As [`Service::respond`]; `rate_limit_exceeded` when the caller's key allows no more.
    pub fn respond(&self, request: &CreateResponse) -> Result<Answering, ErrorBody> {
        let busy = self.asker.begin(&self.app.ledger)?;
        let service = self.app.service.asked_by(busy.owner());
        let stream = Tier::respond(&service, None, request, 1)?;
        Ok(Answering(Watched::new(stream, busy).read_by(self.tab.clone())))
    }

    /// A response whose body is a stream of events, and what tells them.
    pub fn tell(&self) -> (Telling, Response) {
        let (sender, response) = event_stream();
        let options = &self.app.options;
        let (keepalive, unread_max) = (options.keepalive, options.unread_max);
        (Telling { sender, keepalive, unread_max }, response)
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let caller = parts.extensions.get().cloned();
        caller.ok_or_else(|| ErrorBody::new(ErrorKind::ServerError, "this is no page").into())
    }
}

/// Says to the handlers of a page who asks.
pub(crate) async fn introduce(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let (asker, tab) = (asker(&request), Reader::tab(request.headers()));
    request.extensions_mut().insert(Caller { app, asker, tab });
    next.run(request).await
}

/// An answer on its way. Dropping it cancels the work.
#[derive(Debug)]
pub struct Answering(Watched);

impl Answering {
    /// The next event; `None` after the last one. Dropping the future loses none.
    pub async fn next(&mut self) -> Option<Event> {
        self.0.next().await.map(|(_, event)| event)
    }

    /// Asks for an early end: `Done` follows soon.
    pub fn cancel(&mut self) {
        self.0.cancel();
    }
}

/// Tells events to whoever reads a response. Dropping it before the [end](Telling::end) breaks the response off.
#[derive(Debug)]
pub struct Telling {
    sender: mpsc::Sender<Frame>,
    keepalive: Duration,
    unread_max: Duration,
}

impl Telling {
    /// Tells an event; false once nobody reads any more.
    ///
    /// # Panics
    /// When `data` cannot be written as JSON.
    pub async fn tell(&self, event: &str, data: &impl Serialize) -> bool {
        let data = serde_json::to_string(data).expect("what is told is JSON");
        let mut text = String::with_capacity(data.len() + event.len() + 16);
        let _ = write!(text, "event: {event}\ndata: {data}\n\n"); // Writing to a string cannot fail.
        self.sender.send_timeout(Frame::Part(text.into()), self.unread_max).await.is_ok()
    }

    /// Waits until nobody reads any more, and says meanwhile that the stream lives.
    pub async fn gone(&self) {
        loop {
            tokio::select! {
                () = self.sender.closed() => return,
                // Heard by nobody when the channel is full, and not needed then.
                () = tokio::time::sleep(self.keepalive) => {
                    let _ = self.sender.try_send(Frame::KEEPALIVE);
                }
            }
        }
    }

    /// Ends the response as it should.
    pub async fn end(self) {
        let last = Frame::Last(axum::body::Bytes::new());
        let _ = self.sender.send_timeout(last, self.unread_max).await;
    }
}
