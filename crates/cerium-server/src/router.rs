//! Paths to handlers, and what every request passes on its way.

use crate::accept::Place;
use crate::activity::Ledger;
use crate::answer::answer;
use crate::archive::Archive;
use crate::body::Bodies;
use crate::caller::introduce;
use crate::door::Door;
use crate::error::{METHOD_NOT_ALLOWED, Refusal, json, raw_json};
use crate::guests::{Asker, Guests};
use crate::options::ServerOptions;
use crate::tier::{Elsewhere, Tier};
use crate::tokens::{detokenize, tokenize};
use crate::traces::Parent;
use crate::{conversations, cors, live, responses, socket};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Router};
use cerium_protocol::wire::models::{Model, ModelList};
use cerium_protocol::wire::{chat, completions, llama};
use cerium_protocol::{ErrorBody, ErrorKind};
use cerium_session::{Owner, Service};
use cerium_upstream::Upstreams;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tracing::Instrument;

/// What all requests share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) service: Service,
    /// What is remembered; `None`: nothing is.
    pub(crate) archive: Option<Arc<Archive>>,
    pub(crate) options: ServerOptions,
    pub(crate) bodies: Bodies,
    pub(crate) ledger: Arc<Ledger>,
    /// Somebody who may asks the server to leave.
    pub(crate) asked_to_stop: Notify,
    /// Engines elsewhere, as they are configured now.
    upstreams: watch::Sender<Upstreams>,
    /// Since when the model is served, in seconds since 1970.
    started: u64,
    /// What reads ahead.
    reading: Mutex<Option<AbortHandle>>,
}

impl App {
    pub(crate) fn new(
        service: Service,
        mut options: ServerOptions,
        ledger: Arc<Ledger>,
        archive: Option<Arc<Archive>>,
    ) -> Self {
        Self {
            upstreams: watch::Sender::new(options.upstreams.take().unwrap_or_default()),
            archive,
            bodies: Bodies::new(&options),
            ledger,
            asked_to_stop: Notify::new(),
            started: now(),
            reading: Mutex::default(),
            service,
            options,
        }
    }

    /// Something else is read ahead now; what was before is wanted no more.
    pub(crate) fn read_ahead(&self, reading: AbortHandle) {
        let mut last = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = last.replace(reading) {
            last.abort();
        }
    }

    /// Engines elsewhere, as they are configured now. What is asked of them goes on when they change.
    pub(crate) fn upstreams(&self) -> Upstreams {
        self.upstreams.borrow().clone()
    }

    /// From now on engines elsewhere are these.
    pub(crate) fn change_upstreams(&self, upstreams: &Upstreams) {
        self.upstreams.send_modify(|last| *last = upstreams.after(last));
    }

    /// Looks at engines elsewhere, whichever they are, for ever.
    pub(crate) async fn keep_upstreams(self: Arc<Self>) {
        let mut upstreams = self.upstreams.subscribe();
        loop {
            let now = upstreams.borrow_and_update().clone();
            tokio::select! {
                () = now.keep() => {}
                _ = upstreams.changed() => {}
            }
        }
    }

    /// Whoever answers for a model; where none is named, that of this process.
    pub(crate) fn tier(
        &self,
        name: Option<&str>,
        owner: Owner,
    ) -> Result<Box<dyn Tier>, ErrorBody> {
        let served = &self.service.model().name;
        let Some(name) = name.filter(|name| name != served) else {
            return Ok(Box::new(self.service.asked_by(owner)));
        };
        let upstreams = self.upstreams();
        if upstreams.serve(name) {
            return Ok(Box::new(Elsewhere::new(name, &upstreams, &self.service)));
        }
        let what = match upstreams.models().count() {
            0 => format!("model `{name:.100}` is not served here; `{served}` is"),
            n => format!("model `{name:.100}` is not served here; `{served}` is, and {n} others"),
        };
        Err(ErrorBody {
            param: Some("model".to_owned()),
            ..ErrorBody::new(ErrorKind::NotFoundError, what)
        }
        .with_code("model_not_found"))
    }
}

/// Marks requests that came through a door at which only the same person is let in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own;

/// What a request passes at the public door.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) door: Arc<Door>,
    /// Who has a key, where one is asked for.
    pub(crate) guests: Option<Arc<Guests>>,
}

impl Gate {
    /// Finds out who asks, or says why they may not.
    fn asker(&self, request: &Request) -> Result<Asker, ErrorBody> {
        // Whoever keeps a server alive, or reads what it serves, need not be one who may use it.
        let path = request.uri().path();
        let is_open = matches!(path, "/health" | "/ready" | "/openapi.json" | "/");
        // And a page asks for the key itself.
        let is_open = is_open || path.starts_with("/assets/");
        let guest = match &self.guests {
            Some(guests) if !is_open => Some(guests.check(request.headers())?),
            _ => None,
        };
        Ok(Asker { guest, parent: Parent::of(request.headers()) })
    }
}

/// Who asks.
pub(crate) fn asker(request: &Request) -> Asker {
    request.extensions().get().cloned().unwrap_or_default()
}

/// What is served at a door, as a service of requests; `gate` says who may come in, where that is not
/// known already.
pub(crate) fn router(app: Arc<App>, more: Router<Arc<App>>, gate: Option<Gate>) -> Router {
    // Programs of the same person say what is to be kept; other clients expect it.
    let keeps = gate.is_some();
    let create = async move |State(app): State<Arc<App>>, request: Request| {
        responses::create(app, request, keeps).await
    };
    let served = served(post(create).get(socket::connect));
    let router =
        served.into_iter().fold(more, |router, (path, methods)| router.route(path, methods));
    router
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(middleware::from_fn_with_state((Arc::clone(&app), Arc::new(gate)), pass))
        .with_state(app)
}

/// What the public door serves beside the protocols.
pub(crate) fn page(app: &Arc<App>) -> Router<Arc<App>> {
    let layer = middleware::from_fn_with_state(Arc::clone(app), introduce);
    let live = Router::new().route("/page/live", post(live::look));
    app.options.page.clone().merge(live).layer(layer).with_state(())
}

/// What is served under a path.
pub(crate) type Route = (&'static str, MethodRouter<Arc<App>>);

/// Everything that `openapi.json` tells of; `responses` is what is served under the path of that name.
fn served(responses: MethodRouter<Arc<App>>) -> Vec<Route> {
    let mut served = vec![
        ("/health", get(health)),
        ("/ready", get(ready)),
        ("/metrics", get(metrics)),
        ("/openapi.json", get(openapi)),
        ("/v1/models", get(models)),
        // Names of models may hold slashes.
        ("/v1/models/{*name}", get(model)),
        ("/v1/responses", responses),
        ("/v1/chat/completions", post(answer::<chat::Parsed>)),
        ("/v1/completions", post(answer::<completions::Parsed>)),
        ("/infill", post(answer::<llama::Parsed>)),
        ("/tokenize", post(tokenize)),
        ("/detokenize", post(detokenize)),
    ];
    served.extend(responses::routes());
    served.extend(conversations::routes());
    served
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Checks who asks, and gives the request a name for headers and log lines.
async fn pass(
    State((app, gate)): State<(Arc<App>, Arc<Option<Gate>>)>,
    mut request: Request,
    next: Next,
) -> Response {
    if gate.is_none() {
        request.extensions_mut().insert(Own);
    }
    let id = format!("req_{:016x}", RandomState::new().hash_one(()));
    let span = tracing::info_span!("request", id, method = %request.method());
    let begun = Instant::now();
    let handle = async {
        let Some(gate) = gate.as_ref() else {
            request.extensions_mut().insert(Asker::default());
            return next.run(request).await;
        };
        let site = match gate.door.check(request.uri(), request.headers()) {
            Ok(site) => site.cloned(),
            Err(error) => return Refusal(error).into_response(),
        };
        // A browser that asks beforehand has no key yet.
        let asked =
            site.as_ref().and_then(|_| cors::preflight(request.method(), request.headers()));
        let mut response = match (asked, gate.asker(&request)) {
            (Some(response), _) => response,
            (None, Ok(asker)) => {
                request.extensions_mut().insert(asker.clone());
                let mut response = next.run(request).await;
                asker.tell(&mut response);
                response
            }
            (None, Err(error)) => Refusal(error).into_response(),
        };
        if let Some(site) = site {
            cors::tell(&mut response, site);
        }
        response
    };
    let mut response = handle.instrument(span).await;
    app.ledger.metrics.told(response.status().as_u16());
    let headers = response.headers_mut();
    let mut set = |name, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    set("x-request-id", &id);
    set("openai-version", "2020-10-01");
    set("openai-processing-ms", &begun.elapsed().as_millis().to_string());
    response
}

async fn health() -> Response {
    json(StatusCode::OK, &serde_json::json!({"status": "ok"}))
}

/// Whether a request that comes now can be served: for those that spread requests over servers.
async fn ready(State(app): State<Arc<App>>, Extension(place): Extension<Place>) -> Response {
    let (code, status) = if place.closed.has_begun() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping")
    } else if answers(app.archive.as_deref()).await {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "store unavailable")
    };
    let mut ready = serde_json::json!({"status": status});
    // The model of this process answers whether they do or not.
    for it in app.upstreams().health() {
        ready["upstreams"][it.name] = if it.up { "up" } else { "down" }.into();
    }
    json(code, &ready)
}

async fn answers(archive: Option<&Archive>) -> bool {
    match archive {
        Some(archive) => archive.answers().await,
        None => true,
    }
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    app.ledger.metrics.page(app.ledger.activity().running, &app.upstreams().health())
}

/// All of what is served, for programs that want to know; kept by hand, and compared with the routes by a test.
const OPENAPI: &str = include_str!("openapi.json");

async fn openapi() -> Response {
    raw_json(OPENAPI.to_owned())
}

async fn models(State(app): State<Arc<App>>) -> Response {
    let (here, upstreams) = (app.service.model().name.as_str(), app.upstreams());
    let names = std::iter::once(here).chain(upstreams.models());
    json(StatusCode::OK, &ModelList::new(names.map(|name| listed(&app, name)).collect()))
}

async fn model(State(app): State<Arc<App>>, Path(name): Path<String>) -> Result<Response, Refusal> {
    app.tier(Some(&name), Owner::default())?;
    Ok(json(StatusCode::OK, &listed(&app, &name)))
}

/// A model that is served, as lists have it.
fn listed(app: &App, name: &str) -> Model {
    let upstreams = app.upstreams();
    match upstreams.first(name) {
        Some(owner) => Model::elsewhere(name, owner, upstreams.context(name), app.started),
        None => Model::new(app.service.model(), app.started),
    }
}

async fn method_not_allowed(method: Method) -> Refusal {
    let what = format!("this path does not take {method}");
    refusal(ErrorKind::InvalidRequestError, METHOD_NOT_ALLOWED, what)
}

async fn not_found(uri: Uri) -> Refusal {
    let what = format!("nothing is served at `{:.100}`", uri.path());
    refusal(ErrorKind::NotFoundError, "unknown_url", what)
}

fn refusal(kind: ErrorKind, code: &str, message: String) -> Refusal {
    Refusal(ErrorBody::new(kind, message).with_code(code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::BTreeSet;

    #[test]
    fn every_path_is_told_of_and_no_other() {
        let told: Value = serde_json::from_str(OPENAPI).unwrap();
        let told: BTreeSet<&str> =
            told["paths"].as_object().unwrap().keys().map(String::as_str).collect();
        let served: BTreeSet<String> =
            served(get(health)).iter().map(|(path, _)| path.replace("{*", "{")).collect();
        assert_eq!(told, served.iter().map(String::as_str).collect());
    }
}
