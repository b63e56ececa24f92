//! One answer of an engine elsewhere, from the first attempt to the last event.

use crate::asking::Ask;
use crate::error::{Again, Failure, bad_gateway, unavailable};
use crate::telling::{self, Telling};
use crate::upstream::Upstream;
use cerium_protocol::{ErrorBody, Event, Item, Usage};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

/// Events read and not yet taken. An engine that is read slower than this waits.
const N_EVENTS: usize = 32;

/// Times that the engines of a model are asked, one after the other, before a request is given up.
const N_ROUNDS: u32 = 3;

/// The pause after the first round; later ones are twice as long each. Half of it is left to chance, so that
/// many who failed together do not come together again.
const PAUSE: Duration = Duration::from_millis(200);

/// The longest time that an engine may ask to be left alone for, before its refusal is told instead.
const AFTER_MAX: Duration = Duration::from_secs(5);

/// An engine that serves a model, and its name for it.
pub(crate) type Route = Vec<(Arc<Upstream>, String)>;

/// Events of one answer: those that a model of this process gives. Dropping it drops the request.
#[derive(Debug)]
pub struct Answer {
    events: mpsc::Receiver<Event>,
    /// The first event, looked at and not yet taken.
    first: Option<Event>,
    cancel: Arc<Notify>,
    /// What asks; absent where nothing is to be asked.
    task: Option<AbortHandle>,
    /// What was said so far, as far as it was taken.
    output: Vec<Item>,
    /// Bytes of the request, once it was sent.
    n_asked: Arc<AtomicU64>,
    ended: bool,
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Answer {
    pub(crate) fn ask(route: Route, ask: Ask) -> Self {
        let (sender, events) = mpsc::channel(N_EVENTS);
        let mut answer = Self {
            events,
            first: None,
            cancel: Arc::new(Notify::new()),
            task: None,
            output: Vec::new(),
            n_asked: Arc::default(),
            ended: false,
        };
        if matches!(&ask, Ask::Respond(request) if !request.generate) {
            for event in Telling::nothing(ask.model()) {
                // The channel is empty: there is room.
                let _ = sender.try_send(event);
            }
            return answer;
        }
        let (cancel, n_asked) = (Arc::clone(&answer.cancel), Arc::clone(&answer.n_asked));
        let course = Course { route, ask, sender, cancel, n_asked };
        answer.task = Some(tokio::spawn(course.run()).abort_handle());
        answer
    }

    /// Waits until an engine has begun to answer.
    ///
    /// # Errors
    /// What the last engine said that did not, with its status.
    pub async fn begun(&mut self) -> Result<(), ErrorBody> {
        if self.first.is_none() {
            self.first = self.events.recv().await;
        }
        match &self.first {
            Some(Event::Failed(error)) => Err(error.clone()),
            Some(_) => Ok(()),
            None => Err(gone()),
        }
    }

    /// The next event; pending events keep until they are taken.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let event = match self.first.take() {
            Some(event) => Some(event),
            None => std::task::ready!(self.events.poll_recv(cx)),
        };
        let event = event.or_else(|| (!self.ended).then(|| Event::Failed(gone())));
        self.ended |= matches!(event, Some(Event::Done(_) | Event::Failed(_)));
        match &event {
            Some(Event::Added { item, .. }) => self.output.push(item.clone()),
            Some(Event::TextDelta(delta)) => self.append(&delta.text),
            Some(Event::CallDelta(text) | Event::ReasoningDelta(text)) => self.append(text),
            Some(Event::Done(response)) => self.output.clone_from(&response.output),
            _ => {}
        }
        Poll::Ready(event)
    }

    /// The same, waited for. Dropping the future loses no event.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    fn append(&mut self, text: &str) {
        if let Some(last) = self.output.last_mut() {
            last.text_mut().push_str(text);
        }
    }

    /// Asks for an early end: `Done` with what there is follows soon.
    pub fn cancel(&self) {
        self.cancel.notify_one();
    }

    /// What it says, as far as it was taken.
    pub fn output(&self) -> &[Item] {
        &self.output
    }

    /// What it took until here; nothing once it has ended, when it says so itself. Engines count at the end, so this
    /// goes by bytes.
    pub fn spent(&self) -> Usage {
        if self.ended {
            return Usage::default();
        }
        let told: usize = self.output.iter().map(|item| item.text().len()).sum();
        telling::guessed(self.n_asked.load(Ordering::Relaxed), told as u64)
    }
}

/// The attempts at an answer.
struct Course {
    route: Route,
    ask: Ask,
    sender: mpsc::Sender<Event>,
    cancel: Arc<Notify>,
    n_asked: Arc<AtomicU64>,
}

impl Course {
    async fn run(self) {
        let mut telling = Telling::new(self.ask.model(), 0);
        let told = tokio::select! {
            told = self.tell(&mut telling) => told.map_err(Some),
            () = self.cancel.notified() => Err(None),
        };
        let last = match told {
            Ok(()) => return,
            Err(Some(error)) => vec![Event::Failed(error)],
            Err(None) => telling.cancelled(),
        };
        for event in last {
            // Whoever does not listen any more ends this task.
            let _ = self.sender.send(event).await;
        }
    }

    /// Asks engine after engine until one answers, and tells what it says.
    async fn tell(&self, telling: &mut Telling) -> Result<(), ErrorBody> {
        let mut last: Option<Failure> = None;
        for round in 0..N_ROUNDS {
            if round > 0 {
                let after = last.as_ref().and_then(|failure| failure.after);
                if after.is_some_and(|after| after > AFTER_MAX) {
                    break;
                }
                sleep(after.unwrap_or_default().max(jittered(PAUSE * 2u32.pow(round - 1)))).await;
            }
            let mut better = false;
            for (upstream, model) in &self.route {
                if !upstream.admits() {
                    continue;
                }
                match self.attempt(upstream, model, telling).await {
                    Ok(()) => return Ok(()),
                    Err(failure) if telling.has_begun() || failure.again == Again::Same => {
                        return Err(failure.error);
                    }
                    Err(failure) => {
                        better |= failure.again == Again::Better;
                        last = Some(failure);
                    }
                }
            }
            if !better {
                break;
            }
        }
        Err(last.map_or_else(|| self.closed(), |failure| failure.error))
    }

    async fn attempt(
        &self,
        upstream: &Upstream,
        model: &str,
        telling: &mut Telling,
    ) -> Result<(), Failure> {
        let wire = self.ask.wire(upstream.options.dialect, model).map_err(Failure::elsewhere)?;
        *telling = Telling::new(self.ask.model(), wire.body.len());
        self.n_asked.store(wire.body.len() as u64, Ordering::Relaxed);
        let permit = timeout(upstream.options.first_max, upstream.permits.acquire()).await;
        let name = &upstream.options.name;
        let full = || unavailable(format!("upstream `{name}` is asked by too many at once"));
        let Ok(Ok(_permit)) = permit else { return Err(Failure::elsewhere(full())) };
        let mut telegraph = upstream.ask(wire).await?;
        while let Some(event) = telegraph.next().await? {
            let is_last = matches!(event, Event::Done(_));
            let events = telling.take(event).map_err(|error| {
                let message = format!("upstream `{name}`: {}", error.message);
                Failure::same(ErrorBody { message, ..error })
            })?;
            for event in events {
                // Nobody listens: this task is about to end.
                let _ = self.sender.send(event).await;
            }
            if is_last {
                return Ok(());
            }
        }
        let what = format!("upstream `{name}` ended its stream before its answer");
        Err(Failure::better(bad_gateway(what)))
    }

    /// None of the engines is asked at present.
    fn closed(&self) -> ErrorBody {
        let wait = self.route.iter().filter_map(|(upstream, _)| upstream.closed_for()).min();
        let wait = Duration::from_secs(wait.unwrap_or_default().as_secs() + 1);
        let names: Vec<&str> = self.route.iter().map(|(it, _)| it.options.name.as_str()).collect();
        let (model, names) = (self.ask.model(), names.join(", "));
        let seconds = wait.as_secs();
        unavailable(format!(
            "`{model}` is not served at present: {names} failed before; the next try is in {seconds} s"
        ))
        .retry_after(wait)
    }
}

/// A pause, half of which is left to chance.
fn jittered(pause: Duration) -> Duration {
    let chance = RandomState::new().hash_one(()) % 1024;
    pause / 2 + pause / 2 * u32::try_from(chance).unwrap_or(0) / 1024
}

fn gone() -> ErrorBody {
    bad_gateway("the answer was given up")
}
