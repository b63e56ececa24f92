//! The harness's door to a model in the engine's process: requests over the wire, events back.
//!
//! An engine may go between two requests (it was idle, or another took its place) or die in the
//! middle of one. It is then started again and asked again, once. The same bytes come again, by
//! the promise that makes drafts and caches safe, so whoever was shown a part of them is shown the
//! rest; where they do not (sampling without a seed), the answer ends with an error.

use super::line::{Line, Told, Trouble, runtime};
use super::{Attached, Way, log};
use crate::interrupt;
use anyhow::{Context as _, Result};
use cerium_harness::{Backend, OnText};
use cerium_protocol::wire::engine::{CANCEL, Cancel, Count, MISSING, Stopping, TOKENS, Text, WARM};
use cerium_protocol::wire::sse::EventReader;
use cerium_protocol::wire::{completions, responses};
use cerium_protocol::{
    CompletionRequest, CreateResponse, ErrorBody, ErrorKind, Event, ModelInfo, Response, Status,
};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// Longest answer, in bytes: more than the longest context holds.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// How long a cancelled answer may take to say what it came to.
const CANCEL_MAX: Duration = Duration::from_secs(2);

/// A model in another process. Its lines move while a call waits for them, so no call may be made from
/// within another's `on_text`.
pub(crate) struct RemoteBackend {
    way: Way,
    runtime: Runtime,
    attached: Mutex<Attached>,
    /// A line that is free.
    kept: Mutex<Option<Line>>,
}

/// Reads the data of one event of a stream.
type Read<'a> = dyn FnMut(&[u8]) -> Result<Vec<Event>, ErrorBody> + 'a;

/// How one attempt at an answer ended without one.
struct Failed {
    trouble: Trouble,
    /// Another attempt may go better.
    again: bool,
}

impl RemoteBackend {
    /// # Errors
    /// When the engine cannot be started.
    pub(super) fn new(way: Way) -> Result<Self> {
        let attached = Mutex::new(way.attach()?);
        let runtime = runtime().context("starting the runtime")?;
        Ok(Self { way, runtime, attached, kept: Mutex::default() })
    }

    fn attached(&self) -> MutexGuard<'_, Attached> {
        self.attached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds the engine again, or starts it again.
    fn attach_again(&self) -> Result<(), ErrorBody> {
        self.keep(None);
        let attached = self.way.attach().map_err(|error| {
            let what = format!("the engine cannot be started again: {error:#}");
            ErrorBody::new(ErrorKind::ServerError, what)
        })?;
        *self.attached() = attached;
        Ok(())
    }

    async fn line(&self) -> Result<Line, Trouble> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        match kept {
            Some(line) => Ok(line),
            None => self.new_line().await,
        }
    }

    async fn new_line(&self) -> Result<Line, Trouble> {
        let socket = self.attached().socket.clone();
        Line::open(&socket).await
    }

    fn keep(&self, line: Option<Line>) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = line;
    }

    /// Asks for an answer, and once more if the engine is gone.
    fn run(
        &self,
        path: &str,
        body: &[u8],
        new_reader: &mut dyn FnMut() -> Box<Read<'static>>,
        on_text: &mut OnText<'_>,
    ) -> Result<Response, ErrorBody> {
        let mut shown = String::new();
        let mut attempt = |shown: &mut String, on_text: &mut OnText<'_>| {
            let mut read = new_reader();
            let told = self.tell(path, body.to_vec(), &mut *read, shown, on_text);
            self.runtime.block_on(told)
        };
        let done = match attempt(&mut shown, on_text) {
            Err(Failed { again: true, .. }) if !interrupt::requested() => {
                self.attach_again()?;
                attempt(&mut shown, on_text)
            }
            done => done,
        };
        done.map_err(|Failed { trouble, .. }| match trouble {
            Trouble::Refused(error) => error,
            Trouble::Gone(why) => gone(&why),
        })
    }

    /// One attempt. `shown` is what `on_text` has got so far, of this attempt or an earlier one.
    async fn tell(
        &self,
        path: &str,
        body: Vec<u8>,
        read: &mut Read<'_>,
        shown: &mut String,
        on_text: &mut OnText<'_>,
    ) -> Result<Response, Failed> {
        let line = self.line().await.map_err(Failed::of)?;
        let mut told = line.post(path, body).await.map_err(Failed::of)?;
        let mut events = Events::default();
        let mut answer: Option<Response> = None;
        let mut text = String::new();
        let mut cancelled = false;
        loop {
            let next = events.next(&mut told, read);
            let next = async {
                if cancelled { timeout(CANCEL_MAX, next).await.ok() } else { Some(next.await) }
            };
            let event = tokio::select! {
                biased;
                () = interrupt::wait(), if !cancelled => None,
                event = next => match event {
                    Some(event) => Some(event?),
                    // Closing the line ends the answer too; only what it took is not told.
                    None => return Ok(broken_off(answer, text)),
                },
            };
            let go_on = match event {
                None => false,
                Some(Event::Created(response)) => {
                    answer = Some(response);
                    true
                }
                Some(Event::Queued { n_before, wait_ms }) => {
                    let place = match n_before {
                        0 => "waiting, next in line".to_owned(),
                        n => format!("waiting, {n} before you"),
                    };
                    let time = wait_ms.map(|ms| format!(", about {} s", ms.div_ceil(1000)));
                    self.way.output.note(place + &time.unwrap_or_default());
                    true
                }
                Some(Event::TextDelta(delta)) if !cancelled => {
                    text.push_str(&delta.text);
                    let new = text.strip_prefix(shown.as_str());
                    if new.is_none() && !shown.starts_with(&text) || text.len() > ANSWER_BYTES_MAX {
                        let why = "the answer came out differently when it was asked for again";
                        return Err(Failed {
                            trouble: Trouble::Gone(why.to_owned()),
                            again: false,
                        });
                    }
                    let new = new.unwrap_or_default().to_owned();
                    shown.push_str(&new);
                    new.is_empty() || on_text(&new).is_continue()
                }
                Some(Event::Done(response)) => {
                    let line = timeout(CANCEL_MAX, told.end()).await;
                    self.keep(line.ok().flatten());
                    return Ok(response);
                }
                Some(Event::Failed(error)) => return Err(Failed::of(Trouble::Refused(error))),
                // No request of the harness redirects an answer, or lets it call something.
                Some(_) => true,
            };
            if !go_on {
                cancelled = true;
                let id = answer.as_ref().map(|answer| answer.id.clone());
                if !self.cancel(id).await {
                    return Ok(broken_off(answer, text));
                }
            }
        }
    }

    /// Asks for an early end of an answer; false when that cannot be asked.
    async fn cancel(&self, id: Option<String>) -> bool {
        let Some(id) = id else { return false };
        let ask = async {
            let line = self.new_line().await?;
            line.ask::<Stopping>(CANCEL, &Cancel { id }).await
        };
        matches!(timeout(CANCEL_MAX, ask).await, Ok(Ok(_)))
    }

    async fn count(&self, text: &str) -> Result<usize, Trouble> {
        let line = self.line().await?;
        let (Count { tokens }, line) = line.ask(TOKENS, &Text { text: text.to_owned() }).await?;
        self.keep(Some(line));
        Ok(tokens)
    }
}

/// Events of a stream that came together.
#[derive(Default)]
struct Events {
    reader: EventReader,
    ready: VecDeque<Event>,
}

impl Events {
    /// The next event. Dropping the future loses none.
    async fn next(&mut self, told: &mut Told, read: &mut Read<'_>) -> Result<Event, Failed> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            let Some(bytes) = told.next().await.map_err(Failed::of)? else {
                return Err(Failed::of(Trouble::Gone("its stream ended too early".to_owned())));
            };
            let mut unread = None;
            let pushed = self.reader.push(&bytes, |data| match read(&data) {
                Ok(events) => self.ready.extend(events),
                Err(error) => unread = Some(error),
            });
            let refused = |error| Failed { trouble: Trouble::Refused(error), again: false };
            if let Some(error) = unread {
                return Err(refused(error));
            }
            pushed.map_err(|error| {
                refused(ErrorBody::new(ErrorKind::ServerError, error.to_string()))
            })?;
        }
    }
}

impl Failed {
    /// An engine that is gone is worth another attempt; a refusal would be given again.
    fn of(trouble: Trouble) -> Self {
        let again = matches!(trouble, Trouble::Gone(_));
        Self { trouble, again }
    }
}

/// What is known of an answer whose end nobody waited for.
fn broken_off(answer: Option<Response>, text: String) -> Response {
    let mut response = answer.unwrap_or_else(|| Response {
        id: String::new(),
        model: String::new(),
        status: Status::Cancelled,
        incomplete_reason: None,
        output: Vec::new(),
        logprobs: Vec::new(),
        usage: cerium_protocol::Usage::default(),
        timings: cerium_protocol::Timings::default(),
        why: None,
    });
    response.status = Status::Cancelled;
    response.output = vec![cerium_protocol::Item::message(cerium_protocol::Role::Assistant, text)];
    response
}

fn gone(why: &str) -> ErrorBody {
    let log = log::path().map_or(String::new(), |path| format!("; its log is {}", path.display()));
    let what = format!("the engine ended before the answer did ({why}){log}");
    ErrorBody::new(ErrorKind::ServerError, what).with_code("engine_gone")
}

impl Backend for RemoteBackend {
    fn respond(
        &self,
        request: &CreateResponse,
        on_text: &mut OnText<'_>,
    ) -> Result<Response, ErrorBody> {
        let mut reader = || -> Box<Read<'static>> {
            Box::new(|data| Ok(responses::read_event(data)?.into_iter().collect()))
        };
        self.run("/v1/responses", &responses::body(request), &mut reader, on_text)
    }

    fn complete(
        &self,
        request: &CompletionRequest,
        on_text: &mut OnText<'_>,
    ) -> Result<Response, ErrorBody> {
        let mut reader = || -> Box<Read<'static>> {
            let mut reader = completions::Reader::default();
            Box::new(move |data| reader.read(data))
        };
        self.run("/v1/completions", &completions::body(request), &mut reader, on_text)
    }

    fn warm(&self, requests: &[CreateResponse]) {
        let ask = async {
            let line = self.line().await.ok()?;
            let told = line.post(WARM, responses::bodies(requests)).await.ok()?;
            told.end().await
        };
        // Only a hint: an engine that does not take it is none the worse.
        let ask = async { timeout(CANCEL_MAX, ask).await.ok().flatten() };
        self.keep(self.runtime.block_on(ask));
    }

    fn missing_tokens(&self, request: &CreateResponse) -> Option<usize> {
        let ask = async {
            let line = self.line().await.ok()?;
            let told = line.post(MISSING, responses::body(request)).await.ok()?;
            let (Count { tokens }, line) = told.read().await.ok()?;
            self.keep(Some(line));
            Some(tokens)
        };
        self.runtime.block_on(ask)
    }

    fn model(&self) -> ModelInfo {
        self.attached().model.clone()
    }

    /// About a token per four bytes where the engine is gone for good: the next request says so.
    fn count_tokens(&self, text: &str) -> usize {
        let count = || self.runtime.block_on(self.count(text)).ok();
        let again = || self.attach_again().ok().and_then(|()| count());
        count().or_else(again).unwrap_or(text.len() / 4)
    }
}
