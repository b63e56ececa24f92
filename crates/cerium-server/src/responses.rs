//! `POST /v1/responses` and what belongs to it: a response is made, on what went before it if it
//! names that, and is kept if it is to be.

mod compact;
pub(crate) mod page;
mod replay;
pub(crate) mod stored;
pub(crate) mod truncate;

use crate::activity::Busy;
use crate::answer::{events, name_model};
use crate::archive::{Archive, Kept, Live, Opening, Recorded};
use crate::conversations::fresh;
use crate::dialect::Narrator;
use crate::error::{Refusal, json, raw_json};
use crate::router::{App, Own, Route, asker, now};
use crate::watched::Watched;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use cerium_protocol::wire::responses::{
    Asked, Events, KeptItem, Parsed, ResponseObject, keep, read,
};
use cerium_protocol::{ErrorBody, ErrorKind, Event, Input};
use cerium_session::Past;
use cerium_store::Item;
use compact::When;
use std::sync::Arc;

/// Everything below `/v1/responses` but the path itself.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        ("/v1/responses/input_tokens", post(compact::input_tokens)),
        ("/v1/responses/compact", post(compact::compact)),
        ("/v1/responses/{id}", get(stored::retrieve).delete(stored::delete)),
        ("/v1/responses/{id}/cancel", post(stored::cancel)),
        ("/v1/responses/{id}/input_items", get(stored::input_items)),
    ]
}

/// Makes a response. `keeps` says whether it is kept when the request does not: clients of the
/// protocol take that for granted, and our own programs do not want it.
pub(crate) async fn create(
    app: Arc<App>,
    request: Request,
    keeps: bool,
) -> Result<Response, Refusal> {
    let asker = asker(&request);
    let busy = asker.begin(&app.ledger)?;
    let is_own = request.extensions().get::<Own>().is_some();
    let held = app.bodies.read(request).await?;
    let keeps = keeps && app.archive.is_some();
    let plan = look_through(&held.bytes, move |body| Plan::read(body, keeps)).await?;
    let before = before(&app, &plan, asker.holder()).await?;
    let (worker, body) = (Arc::clone(&app), held.bytes.clone());
    let (begun, plan) = in_background(move || {
        let Begun { stream, asked, input } = begin(&worker, &body, &plan, &before, None, busy)?;
        Ok((Begun { stream: stream.own(is_own), asked, input }, plan))
    })
    .await?;
    drop(held);
    let name = begun.asked.request.model.clone();
    let mut response = answer(&app, begun, plan, asker.holder()).await?;
    name_model(&name, &mut response);
    Ok(response)
}

/// Bodies up to this size are looked through where they come; another thread would take longer to wake.
const SHORT: usize = 64 << 10;

/// Looks through a body, which takes a while only if it is long.
pub(crate) async fn look_through<T: Send + 'static>(
    body: &Bytes,
    look: impl FnOnce(&[u8]) -> Result<T, ErrorBody> + Send + 'static,
) -> Result<T, ErrorBody> {
    if body.len() <= SHORT {
        return look(body);
    }
    let body = body.clone();
    in_background(move || look(&body)).await
}

/// Parsing and tokenising 16 MiB takes a while; connections must not wait for it.
pub(crate) async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ErrorBody> + Send + 'static,
) -> Result<T, ErrorBody> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|panic| {
        tracing::error!(%panic, "a request could not be prepared");
        Err(ErrorBody::new(ErrorKind::ServerError, "the server failed to read this request"))
    })
}

/// What a request asks of the server's memory.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) previous: Option<String>,
    conversation: Option<String>,
    /// Whether the response is kept.
    pub(crate) keeps: bool,
    pub(crate) background: bool,
    truncates: bool,
    compacts: Option<When>,
    /// Items of the input that stand for stored ones, by their places and names.
    references: Vec<(usize, String)>,
}

impl Plan {
    pub(crate) fn read(body: &[u8], keeps: bool) -> Result<Self, ErrorBody> {
        let asked = Asked::read(body)?;
        Ok(Self {
            references: asked.references(),
            keeps: asked.store.unwrap_or(keeps || asked.background),
            background: asked.background,
            truncates: asked.truncates,
            compacts: When::of(&asked),
            previous: asked.previous_response_id,
            conversation: asked.conversation,
        })
    }

    /// Whether what went before must be looked up.
    fn looks_back(&self) -> bool {
        self.previous.is_some() || self.conversation.is_some() || !self.references.is_empty()
    }
}

/// What a request refers to.
#[derive(Debug, Default)]
pub(crate) struct Before {
    /// What stands before its input.
    items: Vec<Item>,
    /// What stands for items of its input, by their places.
    referred: Vec<(usize, Item)>,
}

impl Before {
    /// The items that a request is about, oldest first.
    fn items<'a>(&'a self, asked: &'a Asked<'a>) -> impl Iterator<Item = &'a str> {
        self.items.iter().map(|item| item.body.as_str()).chain(self.own(asked))
    }

    /// Those of the request itself, stored ones in the place of what refers to them.
    fn own<'a>(&'a self, asked: &'a Asked<'a>) -> impl Iterator<Item = &'a str> {
        asked.input.iter().enumerate().map(|(place, item)| {
            let referred = self.referred.iter().find(|(at, _)| *at == place);
            referred.map_or(item.get(), |(_, item)| item.body.as_str())
        })
    }
}

/// Looks up what a request refers to.
pub(crate) async fn before(app: &App, plan: &Plan, holder: &str) -> Result<Before, ErrorBody> {
    let Some(archive) = &app.archive else {
        let refuse = |asked: bool, name: &str| {
            let what = || format!("`{name}` is not served here: this server stores nothing");
            if asked { Err(ErrorBody::not_served(name, what())) } else { Ok(()) }
        };
        refuse(plan.background, "background")?;
        refuse(plan.previous.is_some(), "previous_response_id")?;
        refuse(plan.conversation.is_some(), "conversation")?;
        refuse(plan.keeps, "store")?;
        refuse(!plan.references.is_empty(), "input")?;
        return Ok(Before::default());
    };
    let mut before = Before::default();
    if let Some(previous) = &plan.previous {
        before.items = archive.before(previous, holder).await?;
    }
    if let Some(conversation) = &plan.conversation {
        before.items = archive.conversation(conversation, holder).await?;
    }
    for (place, id) in &plan.references {
        before.referred.push((*place, archive.item(id, *place, holder).await?));
    }
    Ok(before)
}

/// A body with all that it refers to.
pub(crate) fn whole(body: &[u8], plan: &Plan, before: &Before) -> Result<Parsed, ErrorBody> {
    if !plan.looks_back() {
        return read(body);
    }
    let asked = Asked::read(body)?;
    let n_before = before.items.len();
    let body = asked.complete(before.items(&asked))?;
    read(&body).map_err(|error| ErrorBody {
        param: error.param.map(|param| own_param(param, n_before)),
        ..error
    })
}

/// The place of a fault as the client counts: without what went before.
fn own_param(param: String, n_before: usize) -> String {
    let rest = param.strip_prefix("input[").and_then(|rest| rest.split_once(']'));
    let place = rest.and_then(|(place, after)| Some((place.parse::<usize>().ok()?, after)));
    match place {
        Some((place, after)) if place >= n_before => format!("input[{}]{after}", place - n_before),
        Some(_) => "previous_response_id".to_owned(),
        None => param,
    }
}

/// A response that begins.
pub(crate) struct Begun {
    pub(crate) stream: Watched,
    pub(crate) asked: Parsed,
    /// The input as it is kept; items that had no name have one that ends with their place.
    input: Vec<KeptItem>,
}

/// What a connection remembers of the conversation that a request goes on from.
#[derive(Clone, Debug)]
pub(crate) struct Parent {
    pub(crate) past: Arc<Past>,
    /// Whether the store has it, too.
    pub(crate) is_stored: bool,
}

/// Has the engine begin. `parent` stands before what was looked up.
pub(crate) fn begin(
    app: &App,
    body: &[u8],
    plan: &Plan,
    before: &Before,
    parent: Option<&Parent>,
    busy: Busy,
) -> Result<Begun, ErrorBody> {
    let mut asked = whole(body, plan, before)?;
    let tier = app.tier(Some(&asked.request.model), busy.owner())?;
    tier.settle(&mut asked);
    asked.echo.store = Some(plan.keeps);
    asked.echo.conversation.clone_from(&plan.conversation);
    asked.echo.created_at = now();
    let past = parent.map(|parent| &*parent.past);
    let is_shorter = match plan.compacts {
        Some(when) => compact::manage(&*tier, &app.service, &mut asked, past, when)?,
        None => false,
    };
    let stream = match parent.filter(|_| !is_shorter) {
        Some(parent) if !plan.truncates => tier.respond(Some(&parent.past), &asked.request, 1)?,
        parent => {
            if let Some(parent) = parent {
                let mut items = parent.past.all();
                items.extend(asked.request.input.into_items());
                asked.request.input = Input::Items(items);
            }
            truncate::start(&*tier, &app.service, &mut asked, plan.truncates)?
        }
    };
    let mut input = Vec::new();
    if plan.keeps {
        let whole = Asked::read(body)?;
        let name = format!("{:016x}{:016x}", fresh(), fresh());
        let named = |n: usize, prefix: &str| format!("{prefix}_{name}_{n}");
        // What only the connection knows is kept with it.
        let past = parent.filter(|parent| !parent.is_stored).map(|parent| parent.past.all());
        let past = past.unwrap_or_default();
        let write = |item| serde_json::to_string(item).expect("wire types have only string keys");
        let past: Vec<String> = past.iter().map(write).collect();
        let all = past.iter().map(String::as_str).chain(before.own(&whole)).enumerate();
        input = all.map(|(n, item)| keep(item, |prefix| named(n, prefix))).collect();
    }
    Ok(Begun { stream: Watched::new(stream, busy), asked, input })
}

async fn answer(
    app: &Arc<App>,
    mut begun: Begun,
    plan: Plan,
    holder: &str,
) -> Result<Response, ErrorBody> {
    begun.stream.begun().await?;
    let (streams, background) = (begun.asked.request.stream, plan.background);
    let Some(archive) = app.archive.as_ref().filter(|_| plan.keeps) else {
        let Begun { stream, asked, .. } = begun;
        if streams {
            return Ok(events(stream, Events::new(asked.echo), Vec::new(), &app.options));
        }
        let candidates = stream.finish().await?;
        return Ok(json(StatusCode::OK, &ResponseObject::finished(&candidates[0], &asked.echo)));
    };
    let Opened { stream, told, record } = open(archive, begun, plan, holder).await?;
    let Recorded { narrator, record } = record;
    if background {
        let (live, id) = (Arc::clone(record.live()), record.live().id().to_owned());
        let object = live.object();
        tokio::spawn(tell_all(stream, Recorded { narrator, record }));
        if streams {
            let (archive, kept) = (Arc::clone(archive), Kept::Here(live));
            return Ok(replay::replay(archive, id, kept, 0, &app.options));
        }
        return Ok(raw_json(object));
    }
    if streams {
        return Ok(events(stream, Recorded { narrator, record }, told, &app.options));
    }
    ended(app, stream, Recorded { narrator, record }).await
}

/// A response that is being recorded.
pub(crate) struct Opened {
    pub(crate) stream: Watched,
    /// What its record begins with, and its client may be told.
    pub(crate) told: Vec<u8>,
    pub(crate) record: Recorded<Events>,
}

/// Begins the record of a response that is kept.
pub(crate) async fn open(
    archive: &Arc<Archive>,
    begun: Begun,
    plan: Plan,
    holder: &str,
) -> Result<Opened, ErrorBody> {
    let Begun { mut stream, asked, input } = begun;
    let mut narrator = Events::new(asked.echo);
    // The first event is there already: nothing is computed yet.
    let mut told = Vec::new();
    if let Some((index, event)) = stream.next().await {
        narrator.tell(index, event, &mut told);
    }
    let Plan { previous: parent, conversation, .. } = plan;
    let holder = holder.to_owned();
    let opening = Opening { told: told.clone(), holder, input, parent, conversation };
    let record = archive.begin(opening).await?;
    Ok(Opened { stream, told, record: Recorded { narrator, record } })
}

/// Tells a response to its record alone; gives the error that ended it.
async fn tell_all<N: Narrator>(mut stream: Watched, mut narrator: N) -> Option<ErrorBody> {
    let (mut lines, mut failed) = (Vec::new(), None);
    while let Some((index, event)) = stream.next().await {
        if let Event::Failed(error) = &event {
            failed = Some(error.clone());
        }
        narrator.tell(index, event, &mut lines);
        lines.clear();
    }
    failed
}

/// Somebody who waits for a response: when they go before its end, it is cancelled.
pub(crate) struct Waiting(Arc<App>, Arc<Live>);

impl Waiting {
    pub(crate) fn new(app: &Arc<App>, live: &Arc<Live>) -> Self {
        Self(Arc::clone(app), Arc::clone(live))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.1.progress().borrow().ended {
            self.0.ledger.cancel(self.1.id());
        }
    }
}

/// The object of a response once it has ended.
async fn ended(
    app: &Arc<App>,
    stream: Watched,
    told: Recorded<Events>,
) -> Result<Response, ErrorBody> {
    let waiting = Waiting::new(app, told.record.live());
    match tokio::spawn(tell_all(stream, told)).await {
        Ok(Some(error)) => Err(error),
        Ok(None) => Ok(raw_json(waiting.1.object())),
        Err(_) => Err(ErrorBody::new(ErrorKind::ServerError, "the server failed to answer")),
    }
}
