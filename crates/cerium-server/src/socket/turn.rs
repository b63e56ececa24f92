//! One response on a WebSocket, from its request to its last frame.

use super::kept::{Kept, Reading};
use super::lanes::Lane;
use super::{error_frame, frame};
use crate::archive::previous_not_found;
use crate::body::Held;
use crate::guests::Asker;
use crate::responses::truncate;
use crate::router::{App, now};
use crate::watched::Watched;
use axum::extract::ws::Message;
use cerium_protocol::wire::responses::{
    Asked, Events, Refused, ServerEvent, SteerEvent, SteerId, read,
};
use cerium_protocol::{ErrorBody, ErrorKind, Event, Input, Response, Status, SteerResponse};
use cerium_session::Past;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// Redirections that wait for the response to look at them.
const N_STEERS: usize = 4;

/// A response in progress, as its connection sees it.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) lane: Lane,
    pub(super) steers: mpsc::Sender<SteerResponse>,
    pub(super) id: Arc<Mutex<String>>,
}

impl Running {
    pub(super) fn new(lane: Lane) -> (Self, mpsc::Receiver<SteerResponse>) {
        let (steers, receiver) = mpsc::channel(N_STEERS);
        (Self { lane, steers, id: Arc::default() }, receiver)
    }

    /// Whether it has this name.
    pub(super) fn is(&self, id: &str) -> bool {
        *self.id.lock().unwrap_or_else(PoisonError::into_inner) == id
    }
}

/// A response in progress, as it sees itself.
pub(super) struct Turn {
    pub(super) app: Arc<App>,
    pub(super) asker: Asker,
    pub(super) out: mpsc::Sender<Message>,
    pub(super) kept: Arc<Kept>,
    pub(super) lane: Lane,
    /// Its name, known to the connection.
    pub(super) id: Arc<Mutex<String>>,
    pub(super) steers: mpsc::Receiver<SteerResponse>,
}

impl Turn {
    /// Answers a request that goes on from `parent`, whose last response is `previous`.
    pub(super) async fn run(
        mut self,
        held: Held,
        previous: Option<String>,
        parent: Option<Arc<Past>>,
    ) {
        let done = match self.begin(held, previous.as_deref(), parent).await {
            Ok((stream, events)) => self.tell(stream, events).await,
            Err(error) => {
                let _ = self.out.send(error_frame(&error, self.lane.name())).await;
                None
            }
        };
        if let (None, Some(previous)) = (done, previous) {
            self.kept.evict(&self.lane, &previous);
        }
    }

    /// Reads the request and has the engine begin.
    async fn begin(
        &mut self,
        held: Held,
        previous: Option<&str>,
        parent: Option<Arc<Past>>,
    ) -> Result<(Watched, Events), ErrorBody> {
        let app = Arc::clone(&self.app);
        let busy = self.asker.begin(&app.ledger)?;
        // What the connection does not remember may be stored.
        let stored = match (&parent, previous) {
            (None, Some(previous)) => match &app.archive {
                Some(archive) => archive.before(previous, self.asker.holder()).await?,
                None => return Err(previous_not_found(previous)),
            },
            _ => Vec::new(),
        };
        // Parsing and tokenising 16 MiB takes a while; connections must not wait for it.
        let begun = tokio::task::spawn_blocking(move || {
            let memory = Asked::read(&held.bytes)?;
            refuse_unserved(&memory)?;
            let mut asked = if stored.is_empty() {
                read(&held.bytes)?
            } else {
                let stored = stored.iter().map(|item| item.body.as_str());
                read(&memory.complete(stored.chain(memory.input.iter().map(|item| item.get())))?)?
            };
            app.check_model(&asked.request.model)?;
            let service = app.service.asked_by(busy.owner());
            let stream = match parent {
                Some(past) if !memory.truncates => service.go_on(&past, &asked.request)?,
                past => {
                    if let Some(past) = past {
                        let mut items = past.all();
                        items.extend(asked.request.input.into_items());
                        asked.request.input = Input::Items(items);
                    }
                    truncate::start(&service, &mut asked, memory.truncates)?
                }
            };
            asked.echo.created_at = now();
            Ok((Watched::new(stream.into(), busy), Events::new(asked.echo)))
        });
        begun.await.unwrap_or_else(|panic| {
            tracing::error!(%panic, "a request could not be prepared");
            Err(ErrorBody::new(ErrorKind::ServerError, "the server failed to read this request"))
        })
    }

    /// Tells a response to its end. `None` if it fails, or nobody is there to be told.
    async fn tell(&mut self, mut stream: Watched, mut events: Events) -> Option<()> {
        loop {
            let event = tokio::select! {
                event = stream.next() => event?.1,
                Some(asked) = self.steers.recv() => {
                    self.steer(&mut stream, asked).await?;
                    continue;
                }
            };
            match &event {
                Event::Created(response) => {
                    self.name(&response.id);
                    if events.warms() {
                        let response = response.clone();
                        self.send(&mut events, event).await?;
                        return self.warm(stream, events, response).await;
                    }
                }
                Event::Steered(steered) => {
                    self.name(&steered.successor.id);
                }
                Event::Done(response) => {
                    // Before the client knows: it may go on at once, in any lane.
                    self.kept.put(&self.lane, &response.id, stream.past(), None);
                    return self.send(&mut events, event).await;
                }
                Event::Failed(_) => {
                    self.send(&mut events, event).await?;
                    return None;
                }
                Event::Queued { .. }
                | Event::Added { .. }
                | Event::TextDelta(_)
                | Event::CallDelta(_)
                | Event::ReasoningDelta(_) => {}
            }
            self.send(&mut events, event).await?;
        }
    }

    /// A request without an answer is answered at once, and computed behind that.
    async fn warm(
        &mut self,
        mut stream: Watched,
        mut events: Events,
        response: Response,
    ) -> Option<()> {
        let response = Response { status: Status::Completed, ..response };
        let past = stream.past();
        let reading = tokio::spawn(async move { while stream.next().await.is_some() {} });
        let reading = Some(Reading(reading.abort_handle()));
        self.kept.put(&self.lane, &response.id, past, reading);
        self.send(&mut events, Event::Done(response)).await
    }

    /// Redirects the response, or says why not.
    async fn steer(&mut self, stream: &mut Watched, asked: SteerResponse) -> Option<()> {
        let (id, lane) = (asked.previous_response_id.clone(), self.lane.name());
        let said = match stream.steer(&asked) {
            Ok(()) => {
                let steer =
                    SteerId { id: id.replacen("resp_", "steer_", 1), previous_response_id: id };
                SteerEvent::Accepted { steer }
            }
            Err(error) => {
                let steer = Refused { previous_response_id: id, input: asked.input };
                SteerEvent::Failed { steer, error }
            }
        };
        self.out.send(frame(&ServerEvent::steer(&said, lane))).await.ok()
    }

    async fn send(&self, events: &mut Events, event: Event) -> Option<()> {
        for event in events.push(event) {
            let frame = frame(&ServerEvent::event(&event, self.lane.name()));
            self.out.send(frame).await.ok()?;
        }
        Some(())
    }

    fn name(&self, id: &str) {
        id.clone_into(&mut self.id.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// What a socket has no place for: whatever is said on it ends with it.
fn refuse_unserved(asked: &Asked<'_>) -> Result<(), ErrorBody> {
    let refuse = |asked: bool, name: &str| {
        let what = || format!("`{name}` is not served on a WebSocket");
        if asked { Err(ErrorBody::not_served(name, what())) } else { Ok(()) }
    };
    refuse(asked.background, "background")?;
    refuse(asked.conversation.is_some(), "conversation")?;
    refuse(asked.store == Some(true), "store")
}
