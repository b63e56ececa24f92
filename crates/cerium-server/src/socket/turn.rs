//! One response on a WebSocket, from its request to its last frame.

use super::kept::{How, Kept, Reading};
use super::lanes::Lane;
use super::{Who, error_frame, frame};
use crate::archive::previous_not_found;
use crate::body::Held;
use crate::on_the_spot::on_the_spot;
use crate::responses::{Begun, Parent, Plan, before, begin, in_background, look_through, open};
use crate::router::App;
use crate::watched::Watched;
use axum::extract::ws::Message;
use cerium_protocol::wire::responses::{Events, Refused, ServerEvent, SteerEvent, SteerId};
use cerium_protocol::{ErrorBody, Event, Response, Status, SteerResponse};
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

/// What a response is told of that is no piece of its answer.
enum News {
    Event(Event),
    Steer(SteerResponse),
}

/// A response in progress, as it sees itself.
pub(super) struct Turn {
    pub(super) app: Arc<App>,
    pub(super) who: Who,
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
        parent: Option<Parent>,
    ) {
        let (out, kept, lane) = (self.out.clone(), Arc::clone(&self.kept), self.lane.clone());
        let done = match self.begin(held, previous.as_deref(), parent).await {
            Ok((begun, plan)) => self.answer(begun, plan).await,
            Err(error) => Err(error),
        };
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                let _ = out.send(error_frame(&error, lane.name())).await;
                None
            }
        };
        if let (None, Some(previous)) = (done, previous) {
            kept.evict(&lane, &previous);
        }
    }

    /// Reads the request and has the engine begin.
    async fn begin(
        &mut self,
        held: Held,
        previous: Option<&str>,
        parent: Option<Parent>,
    ) -> Result<(Begun, Plan), ErrorBody> {
        let app = Arc::clone(&self.app);
        let busy = self.who.asker.begin(&app.ledger)?;
        let keeps = !self.who.is_own && app.archive.is_some();
        let mut plan = look_through(&held.bytes, move |body| Plan::read(body, keeps)).await?;
        // What the connection does not remember may be stored.
        match (&parent, previous) {
            (None, Some(previous)) if app.archive.is_none() => {
                return Err(previous_not_found(previous));
            }
            (Some(_), _) => plan.previous = None,
            _ => {}
        }
        let is_stored = parent.as_ref().is_none_or(|parent| parent.is_stored);
        let before = before(&app, &plan, self.who.asker.holder()).await?;
        let (mut begun, mut plan) = in_background(move || {
            let begun = begin(&app, &held.bytes, &plan, &before, parent.as_ref(), busy)?;
            Ok((begun, plan))
        })
        .await?;
        begun.stream.begun().await?;
        plan.previous = previous.filter(|_| is_stored).map(str::to_owned);
        // Else there will be nothing to look at.
        plan.keeps &= begun.asked.request.generate || begun.asked.echo.compaction.is_some();
        Ok((begun, plan))
    }

    /// Has the response told, and kept if it is to be. `None` if it fails, or nobody is there to be told.
    async fn answer(mut self, begun: Begun, plan: Plan) -> Result<Option<()>, ErrorBody> {
        let app = Arc::clone(&self.app);
        let Some(archive) = app.archive.as_ref().filter(|_| plan.keeps) else {
            let Begun { stream, asked, .. } = begun;
            return Ok(self.tell(stream, Events::new(asked.echo)).await);
        };
        let background = plan.background;
        let opened = open(archive, begun, plan, self.who.asker.holder()).await?;
        Ok(self.follow(opened, background).await)
    }

    /// Tells a response to its end. `None` if it fails, or nobody is there to be told.
    async fn tell(mut self, mut stream: Watched, mut events: Events) -> Option<()> {
        loop {
            let news;
            ((self, stream, events), news) = on_the_spot(self.tell_pieces(stream, events)).await;
            let event = match news? {
                News::Event(event) => event,
                News::Steer(asked) => {
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
                Event::Steered(steered) => self.name(&steered.successor.id),
                Event::Done(response) => {
                    // Before the client knows: it may go on at once, in any lane.
                    self.kept.put(&self.lane, &response.id, stream.past(), How::default());
                    return self.send(&mut events, event).await;
                }
                Event::Failed(_) => {
                    self.send(&mut events, event).await?;
                    return None;
                }
                _ => {}
            }
            self.send(&mut events, event).await?;
        }
    }

    /// Tells the pieces of an answer up to any other news; none if nobody is there to be told.
    async fn tell_pieces(
        mut self,
        mut stream: Watched,
        mut events: Events,
    ) -> ((Self, Watched, Events), Option<News>) {
        let news = loop {
            let event = tokio::select! {
                event = stream.next() => match event {
                    Some((_, event)) => event,
                    None => break None,
                },
                Some(asked) = self.steers.recv() => break Some(News::Steer(asked)),
            };
            let is_piece = matches!(
                event,
                Event::Added { .. }
                    | Event::TextDelta(_)
                    | Event::CallDelta(_)
                    | Event::ReasoningDelta(_)
            );
            if !is_piece {
                break Some(News::Event(event));
            }
            if self.send(&mut events, event).await.is_none() {
                break None;
            }
        };
        ((self, stream, events), news)
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
        self.kept.put(&self.lane, &response.id, past, How { is_stored: false, reading });
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

    pub(super) fn name(&self, id: &str) {
        id.clone_into(&mut self.id.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
