//! What is being done, told as it happens to whoever looks on; while nobody does, it costs a look at a number.
//!
//! Everybody sees how much is done and how fast. What an answer says is seen by whoever asked for it alone: by the
//! holder of the same key, or by the browser tab that a page's call came from.

use crate::accept::Place;
use crate::caller::{Caller, Telling};
use crate::error::Refusal;
use crate::router::App;
use axum::Extension;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::response::Response;
use cerium_protocol::wire::engine::Activity;
use cerium_protocol::{
    DraftUsage, DraftedFrom, ErrorBody, ErrorKind, Event, Response as Answer, Status, Timings,
    Usage,
};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Semaphore, broadcast};
use tokio::time::{MissedTickBehavior, interval};

/// How often it is looked how the engine stands.
const TICK: Duration = Duration::from_millis(250);

/// Those who look on at once.
const N_LOOKERS_MAX: usize = 8;

/// Moments that wait for those who look; who is slower misses some, and is told so.
const N_MOMENTS: usize = 1024;

/// The header by which a page says which tab its calls come from: a number that nobody can guess.
const TAB: &str = "x-cerium-tab";

/// Who may read what an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    Key(String),
    Tab(String),
}

impl Reader {
    /// The tab that a call came from, if it says so.
    pub(crate) fn tab(headers: &HeaderMap) -> Option<Self> {
        let name = headers.get(TAB)?.to_str().ok()?;
        (16..=64).contains(&name.len()).then(|| Self::Tab(name.to_owned()))
    }
}

/// Tells those who look on.
#[derive(Debug)]
pub(crate) struct Live {
    moments: broadcast::Sender<Arc<Moment>>,
    lookers: Arc<Semaphore>,
}

/// Something happened to an answer.
#[derive(Debug)]
struct Moment {
    readers: Vec<Reader>,
    happened: Happened,
}

#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Happened {
    Begun { id: String, prompt_tokens: u64 },
    Queued { id: String, n_before: usize },
    Token { id: String, text: Option<String>, drafted: Option<DraftedFrom> },
    Ended { id: String, status: Status, usage: Usage, timings: Timings },
    Gone { id: String },
}

impl Happened {
    /// The same without what an answer says.
    fn concealed(&self) -> Option<Self> {
        let Self::Token { id, drafted, .. } = self else { return None };
        Some(Self::Token { id: id.clone(), text: None, drafted: *drafted })
    }
}

/// How everything stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Now {
    running: usize,
    waiting: usize,
    answers: u64,
    prompt_tokens: u64,
    cached_tokens: u64,
    output_tokens: u64,
    output_steps: u64,
    drafted_tokens: u64,
    accepted_tokens: u64,
    drafts: DraftUsage,
    jobs: Vec<Job>,
    pages: Pages,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Job {
    background: bool,
    prompt_tokens: usize,
    computed_tokens: usize,
    output_tokens: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Pages {
    used: usize,
    max: usize,
    idle: usize,
    kept: usize,
    page_bytes: usize,
    page_tokens: usize,
}

impl Live {
    pub(crate) fn new() -> Self {
        let lookers = Arc::new(Semaphore::new(N_LOOKERS_MAX));
        Self { moments: broadcast::Sender::new(N_MOMENTS), lookers }
    }

    fn is_watched(&self) -> bool {
        self.moments.receiver_count() > 0
    }

    /// An answer's event, which `readers` may read.
    pub(crate) fn show(&self, id: &str, readers: &[Reader], event: &Event) {
        if !self.is_watched() {
            return;
        }
        let id = || id.to_owned();
        let token = |text: &str, drafted| {
            let text = (!readers.is_empty()).then(|| text.to_owned());
            Happened::Token { id: id(), text, drafted }
        };
        match event {
            Event::Created(answer) => self.tell(readers, begun(answer)),
            Event::Queued { n_before, .. } => {
                self.tell(readers, Happened::Queued { id: id(), n_before: *n_before });
            }
            Event::TextDelta(delta) => self.tell(readers, token(&delta.text, delta.drafted)),
            Event::CallDelta(text) | Event::ReasoningDelta(text) => {
                self.tell(readers, token(text, None));
            }
            Event::Steered(steered) => {
                self.tell(readers, ended(&steered.ended));
                self.tell(readers, begun(&steered.successor));
            }
            Event::Done(answer) => self.tell(readers, ended(answer)),
            Event::Failed(_) => self.gone(&id()),
            Event::Added { .. } => {}
        }
    }

    /// Whoever asked for an answer went away.
    pub(crate) fn gone(&self, id: &str) {
        if self.is_watched() {
            self.tell(&[], Happened::Gone { id: id.to_owned() });
        }
    }

    fn tell(&self, readers: &[Reader], happened: Happened) {
        // Whoever looked may have gone meanwhile.
        let _ = self.moments.send(Arc::new(Moment { readers: readers.to_vec(), happened }));
    }
}

fn begun(answer: &Answer) -> Happened {
    Happened::Begun { id: answer.id.clone(), prompt_tokens: answer.usage.prompt_tokens }
}

fn ended(answer: &Answer) -> Happened {
    let Answer { id, status, usage, timings, .. } = answer;
    Happened::Ended { id: id.clone(), status: *status, usage: *usage, timings: *timings }
}

/// Tells whoever asks, for as long as they listen.
pub(crate) async fn look(
    caller: Caller,
    Extension(place): Extension<Place>,
    request: Request,
) -> Result<Response, Refusal> {
    let own = caller.readers();
    // A body, though it says nothing: no other site can have one sent without naming itself.
    let _: serde_json::Map<String, serde_json::Value> = caller.read(request).await?;
    let app = Arc::clone(caller.app());
    let full = |_| {
        let what = "as many look on as may; close another page first";
        ErrorBody::new(ErrorKind::OverloadedError, what).with_code("server_is_overloaded")
    };
    let looker = Arc::clone(&app.ledger.live.lookers).try_acquire_owned().map_err(full)?;
    let (telling, response) = caller.tell();
    let mut closed = place.closed;
    tokio::spawn(async move {
        let _looker = looker;
        tokio::select! {
            () = show(&app, &telling, &own) => {}
            () = telling.gone() => {}
            _ = closed.begins() => {}
        }
        telling.end().await;
    });
    Ok(response)
}

async fn show(app: &App, telling: &Telling, own: &[Reader]) {
    let mut moments = app.ledger.live.moments.subscribe();
    let model = app.service.model();
    let hello = serde_json::json!({
        "model": model.name,
        "context_tokens": model.context_tokens,
        "running": app.ledger.names(),
        "recent": app.ledger.recent(),
    });
    if !telling.tell("hello", &hello).await {
        return;
    }
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut last, mut last_tree) = (None, Vec::new());
    loop {
        let heard = tokio::select! {
            moment = moments.recv() => match moment {
                Ok(moment) => {
                    let may_read = moment.readers.iter().any(|reader| own.contains(reader));
                    let concealed = (!may_read).then(|| moment.happened.concealed()).flatten();
                    telling.tell("moment", concealed.as_ref().unwrap_or(&moment.happened)).await
                }
                Err(RecvError::Lagged(n_missed)) => telling.tell("missed", &n_missed).await,
                Err(RecvError::Closed) => return,
            },
            _ = tick.tick() => {
                let (now, tree) = now(app).await;
                let mut heard = true;
                if last.as_ref() != Some(&now) {
                    heard = telling.tell("now", &now).await;
                    last = Some(now);
                }
                if heard && tree != last_tree {
                    heard = telling.tell("tree", &tree).await;
                    last_tree = tree;
                }
                heard
            }
        };
        if !heard {
            return;
        }
    }
}

/// How everything stands, and the tree of what is kept: of each page the place of the one before it in this list, its
/// tokens, and whether it is in use.
async fn now(app: &App) -> (Now, Vec<(Option<usize>, usize, bool)>) {
    let glance = app.service.glance().await.unwrap_or_default();
    let Activity {
        running,
        idle_ms: _,
        answers,
        prompt_tokens,
        cached_tokens,
        output_tokens,
        output_steps,
        drafted_tokens,
        accepted_tokens,
        drafts,
    } = app.ledger.activity();
    let jobs = glance.running.iter().map(|job| Job {
        background: job.is_background,
        prompt_tokens: job.n_prompt,
        computed_tokens: job.n_computed,
        output_tokens: job.n_output,
    });
    let of = glance.pages;
    let pages = Pages {
        used: of.n_used,
        max: of.n_max,
        idle: of.n_idle,
        kept: of.n_kept,
        page_bytes: of.bytes,
        page_tokens: of.n_tokens,
    };
    let now = Now {
        running,
        waiting: glance.n_waiting,
        answers,
        prompt_tokens,
        cached_tokens,
        output_tokens,
        output_steps,
        drafted_tokens,
        accepted_tokens,
        drafts,
        jobs: jobs.collect(),
        pages,
    };
    let tree = glance.tree.iter().map(|page| (page.parent, page.n_tokens, page.in_use));
    (now, tree.collect())
}
