//! `GET /v1/responses` as a WebSocket: one connection, on which only what is new is ever said.
//!
//! What a response was asked and what it said stays with the connection ([`kept`]), so that the next request
//! names it and adds to it. Requests stand in lanes ([`lanes`]): one after another in each, and the lanes side by
//! side. Each response is told by a task of its own ([`turn`]) into one bounded queue, from which frames are
//! written ([`writer`]): a peer that does not read parks its own lanes. What a token takes of this is done by the
//! thread that made it ([`on_the_spot`]).
//!
//! When the peer goes, however it goes, all of its work is dropped with it.

mod kept;
mod lanes;
mod stored;
mod turn;
mod writer;

use crate::accept::{Closed, Place};
use crate::error::{METHOD_NOT_ALLOWED, Refusal, to_wire};
use crate::guests::Asker;
use crate::on_the_spot::on_the_spot;
use crate::responses::look_through;
use crate::router::{App, Own};
use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use cerium_protocol::wire::responses::{ClientEvent, Refused, ServerEvent, SteerEvent, read_steer};
use cerium_protocol::{ErrorBody, ErrorKind, Input};
use futures_util::{FutureExt, Stream, StreamExt};
use kept::Kept;
use lanes::{Create, Lane, Lanes};
use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tungstenite::error::ProtocolError;
use turn::{Running, Turn};

/// Frames made and not yet written. A peer that reads slower than this makes the engine rest its jobs.
const N_FRAMES: usize = 32;

/// Opens a WebSocket, if that is what is asked for.
pub(crate) async fn connect(
    State(app): State<Arc<App>>,
    Extension(place): Extension<Place>,
    Extension(asker): Extension<Asker>,
    own: Option<Extension<Own>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(_) if !headers.contains_key(header::UPGRADE) => {
            let what = "this path takes POST, and GET for a WebSocket";
            let error = ErrorBody::new(ErrorKind::InvalidRequestError, what);
            let refusal = Refusal(error.with_code(METHOD_NOT_ALLOWED));
            return ([(header::ALLOW, "POST")], refusal).into_response();
        }
        Err(rejection) => {
            let error = ErrorBody::new(ErrorKind::InvalidRequestError, rejection.body_text());
            return Refusal(error.with_code("invalid_upgrade")).into_response();
        }
    };
    let max = app.options.body_bytes_max;
    let who = Who { asker, is_own: own.is_some() };
    upgrade
        .max_message_size(max)
        .max_frame_size(max)
        .on_upgrade(async move |socket| talk(app, who, socket, place).await)
}

/// Who is at the other end.
#[derive(Clone, Debug)]
struct Who {
    asker: Asker,
    /// It is the person whose engine this is.
    is_own: bool,
}

/// One connection: what waits on it, runs on it and is kept for it.
struct Connection {
    app: Arc<App>,
    who: Who,
    out: mpsc::Sender<Message>,
    lanes: Lanes,
    kept: Arc<Kept>,
    turns: JoinSet<()>,
    running: HashMap<Id, Running>,
}

/// How a connection ends.
enum End {
    /// The peer is gone, or as good as gone.
    Gone,
    /// We close it.
    Close(u16, &'static str),
}

/// One connection, from its first frame to its last.
async fn talk(app: Arc<App>, who: Who, socket: WebSocket, place: Place) {
    let (sink, frames) = socket.split();
    let (out, queue) = mpsc::channel(N_FRAMES);
    let mut writing = tokio::spawn(on_the_spot(writer::write(sink, queue, app.options.unread_max)));
    let mut connection = Connection {
        app,
        who,
        out,
        lanes: Lanes::default(),
        kept: Arc::default(),
        turns: JoinSet::new(),
        running: HashMap::new(),
    };
    let end = tokio::select! {
        end = connection.listen(frames, place.closed.clone()) => end,
        _ = &mut writing => return,
    };
    // Nobody waits for these any more.
    connection.turns.shutdown().await;
    if let End::Close(code, reason) = end {
        let reason = Utf8Bytes::from_static(reason);
        let _ = connection.out.send(Message::Close(Some(CloseFrame { code, reason }))).await;
    }
    drop(connection);
    let _ = writing.await;
}

impl Connection {
    /// Takes what comes until one side ends it.
    async fn listen(
        &mut self,
        mut frames: impl Stream<Item = Result<Message, axum::Error>> + Unpin,
        mut closed: Closed,
    ) -> End {
        let options = self.app.options.clone();
        let mut look = tokio::time::interval(options.keepalive);
        let dies = Instant::now() + options.socket_lifetime_max;
        let mut heard = Instant::now();
        // No more requests are taken, for this reason, and all ends then.
        let mut last: Option<(ErrorBody, Instant)> = None;
        // Once only, and also if it was while something else was heard.
        let mut closes = pin!(closed.begins().fuse());
        loop {
            if let Some((why, _)) = &last
                && self.turns.is_empty()
                && self.lanes.is_empty()
            {
                self.refuse(why, None).await;
                return End::Close(close_code::AWAY, "open a new connection");
            }
            let ends = last.as_ref().map_or(dies, |(_, ends)| *ends);
            tokio::select! {
                // What ends comes first, so that nothing that was sent after it is taken.
                biased;
                grace = &mut closes => {
                    last = Some((leaving(), Instant::now() + grace));
                }
                () = sleep_until(ends) => match &last {
                    // Answers in progress may end, within the time of one more life.
                    None => last = Some((too_old(), dies + options.socket_lifetime_max)),
                    Some(_) => return End::Close(close_code::AWAY, "the time is over"),
                },
                Some(ended) = self.turns.join_next_with_id() => self.ended(ended),
                frame = frames.next() => {
                    heard = Instant::now();
                    match frame {
                        Some(Ok(Message::Text(text))) => {
                            self.hear(text, last.as_ref().map(|(why, _)| why)).await;
                        }
                        Some(Ok(Message::Binary(_))) => {
                            return End::Close(close_code::UNSUPPORTED, "text frames are served");
                        }
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                        Some(Ok(Message::Close(_))) | None => return End::Gone,
                        Some(Err(error)) => return unreadable(error),
                    }
                }
                _ = look.tick() => {
                    if heard.elapsed() > options.idle_max {
                        return End::Gone;
                    }
                    // Not needed while the queue is full: then there is something to read.
                    let _ = self.out.try_send(Message::Ping(Bytes::new()));
                }
            }
        }
    }

    /// Takes one event of the client's.
    async fn hear(&mut self, text: Utf8Bytes, closed: Option<&ErrorBody>) {
        let bytes = Message::Text(text.clone()).into_data();
        let event = match look_through(&bytes, ClientEvent::read).await {
            Ok(event) => event,
            Err(error) => return self.refuse(&error, None).await,
        };
        if let Err(error) = event.check_stream_id() {
            return self.refuse(&error, None).await;
        }
        let lane = event.stream_id.clone();
        match event.kind.as_deref() {
            Some("response.create") => {
                let queued = match closed {
                    Some(why) => Err(why.clone()),
                    None => self.queue(event, text),
                };
                match queued {
                    Ok(()) => self.start(),
                    Err(error) => self.refuse(&error, lane.as_deref()).await,
                }
            }
            Some("response.steer") => self.steer(&text, event).await,
            // Told by older clients; nothing follows from them.
            Some("response.processed" | "response.append") => {}
            kind => {
                let kind = kind.unwrap_or("none");
                let what = format!(
                    "events of type `{kind:.60}` are not served; `response.create` and \
                     `response.steer` are"
                );
                self.refuse(&ErrorBody::invalid("type", what), lane.as_deref()).await;
            }
        }
    }

    fn queue(&mut self, event: ClientEvent, text: Utf8Bytes) -> Result<(), ErrorBody> {
        let held = self.app.bodies.hold(Message::Text(text).into_data())?;
        let (lane, previous) = (Lane::new(event.stream_id), event.previous_response_id);
        self.lanes.push(Create { lane, previous, held })
    }

    /// Begins whatever may begin.
    fn start(&mut self) {
        while let Some(create) = self.lanes.next() {
            let parent = create.previous.as_deref().and_then(|id| self.kept.find(id));
            let (running, steers) = Running::new(create.lane.clone());
            let turn = Turn {
                app: Arc::clone(&self.app),
                who: self.who.clone(),
                out: self.out.clone(),
                kept: Arc::clone(&self.kept),
                lane: create.lane,
                id: Arc::clone(&running.id),
                steers,
            };
            let handle = self.turns.spawn(turn.run(create.held, create.previous, parent));
            self.running.insert(handle.id(), running);
        }
    }

    /// A response has come to its end.
    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(panic) => {
                tracing::error!(%panic, "a response could not be told");
                panic.id()
            }
        };
        if let Some(running) = self.running.remove(&id) {
            self.lanes.rest(&running.lane);
        }
        self.start();
    }

    /// Hands a redirection to the response that it is meant for.
    async fn steer(&mut self, text: &Utf8Bytes, event: ClientEvent) {
        let previous_response_id = event.previous_response_id.unwrap_or_default();
        let (input, error) = match read_steer(text.as_bytes()) {
            Err(error) => (Input::Items(Vec::new()), error),
            Ok(asked) => {
                let running = self.running.values().find(|run| run.is(&previous_response_id));
                let error = match running {
                    Some(running) => match running.steers.try_send(asked.clone()) {
                        // The response itself says what becomes of it.
                        Ok(()) => return,
                        Err(TrySendError::Full(_)) => too_many_steers(),
                        Err(TrySendError::Closed(_)) => completed(),
                    },
                    None if self.kept.find(&previous_response_id).is_some() => completed(),
                    None => no_response(&previous_response_id),
                };
                (asked.input, error)
            }
        };
        let failed = SteerEvent::Failed { steer: Refused { previous_response_id, input }, error };
        let _ = self.out.send(frame(&ServerEvent::steer(&failed, None))).await;
    }

    /// Tells of an error. A peer that is gone is noticed elsewhere.
    async fn refuse(&self, error: &ErrorBody, lane: Option<&str>) {
        let _ = self.out.send(error_frame(error, lane)).await;
    }
}

fn frame(event: &ServerEvent<'_>) -> Message {
    Message::text(serde_json::to_string(event).expect("wire types have only string keys"))
}

fn error_frame(error: &ErrorBody, lane: Option<&str>) -> Message {
    let status = to_wire(error).0.as_u16();
    let code = error.code.as_deref().unwrap_or("-");
    tracing::info!(status, code, "refused");
    frame(&ServerEvent::error(error, status, lane))
}

/// What the peer sent is no WebSocket, or more than one takes.
fn unreadable(error: axum::Error) -> End {
    match error.into_inner().downcast_ref::<tungstenite::Error>() {
        Some(tungstenite::Error::Capacity(_)) => {
            End::Close(close_code::SIZE, "the message is too large")
        }
        Some(tungstenite::Error::Utf8(_)) => End::Close(close_code::INVALID, "text is UTF-8"),
        Some(tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => {
            End::Gone
        }
        Some(tungstenite::Error::Protocol(_)) => {
            End::Close(close_code::PROTOCOL, "that is no WebSocket frame")
        }
        _ => End::Gone,
    }
}

fn too_old() -> ErrorBody {
    let what = "this connection has reached its longest life; open a new one";
    ErrorBody::new(ErrorKind::InvalidRequestError, what)
        .with_code("websocket_connection_limit_reached")
}

fn leaving() -> ErrorBody {
    ErrorBody::new(ErrorKind::OverloadedError, "the server shuts down")
        .with_code("server_is_overloaded")
}

fn completed() -> ErrorBody {
    ErrorBody::invalid("previous_response_id", "the response has ended")
        .with_code("response_already_completed")
}

fn too_many_steers() -> ErrorBody {
    ErrorBody::invalid("previous_response_id", "the response is being redirected already")
        .with_code("too_many_pending_steers")
}

fn no_response(id: &str) -> ErrorBody {
    let what = format!("no response '{id:.100}' runs on this connection");
    ErrorBody::invalid("previous_response_id", what).with_code("response_not_found")
}
