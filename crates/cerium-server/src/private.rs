//! The private door: a Unix socket at which only programs of the same person are let in, and what
//! they may ask there beside requests.

use crate::error::{Refusal, json};
use crate::router::App;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use cerium_protocol::wire::engine::{
    About, CANCEL, Cancel, Count, HELLO, Hello, MISSING, STOP, Stop, Stopping, TOKENS, Text, WARM,
    WHY, Warming,
};
use cerium_protocol::wire::responses;
use cerium_protocol::{CreateResponse, ErrorBody, ErrorKind};
use cerium_session::Owner;
use serde::de::DeserializeOwned;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How often an engine looks whether it can still be found.
const LOOK: Duration = Duration::from_secs(30);

/// Conversations that are read ahead at once.
const WARMED_MAX: usize = 8;

/// A door on a Unix socket.
#[derive(Debug)]
pub struct Private {
    /// Bound, in a directory that nobody else can enter.
    pub listener: std::os::unix::net::UnixListener,
    /// Where; removed when the door closes.
    pub path: PathBuf,
    /// What whoever comes is told.
    pub about: About,
    /// The server leaves after so long without a request; `None`: it stays.
    pub idle: Option<Duration>,
}

/// When a server with a private door leaves by itself.
#[derive(Debug)]
pub(crate) struct Leaving {
    path: PathBuf,
    idle: Option<Duration>,
}

impl Leaving {
    pub(crate) fn of(private: &Private) -> Self {
        Self { path: private.path.clone(), idle: private.idle }
    }

    /// Waits until it is asked to, nobody asked it anything for long, or nobody can find it.
    pub(crate) async fn due(&self, app: &App) {
        let idle = async {
            match self.idle {
                Some(idle) => app.ledger.idle_for(idle).await,
                None => std::future::pending().await,
            }
        };
        let lost = async {
            while self.path.exists() {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::select! {
            () = app.asked_to_stop.notified() => tracing::info!("leaving: it was asked to"),
            () = idle => tracing::info!("leaving: idle"),
            () = lost, if self.idle.is_some() => tracing::info!("leaving: the socket is gone"),
        }
    }
}

/// What the private door serves beside everything else.
pub(crate) fn routes(about: About) -> Router<Arc<App>> {
    let pinned = about.serves.is_some();
    let about = Arc::new(about);
    let hello = async move |State(app): State<Arc<App>>| hello(&app, &about);
    let stop = async move |State(app): State<Arc<App>>, request| stop(&app, request, pinned).await;
    Router::new()
        .route(HELLO, get(hello))
        .route(TOKENS, post(tokens))
        .route(CANCEL, post(cancel))
        .route(WARM, post(warm))
        .route(WHY, get(why))
        .route(MISSING, post(missing))
        .route(STOP, post(stop))
}

fn hello(app: &App, about: &About) -> Response {
    let hello = Hello {
        about: about.clone(),
        model: app.service.model().clone(),
        activity: app.ledger.activity(),
    };
    json(StatusCode::OK, &hello)
}

async fn why(State(app): State<Arc<App>>) -> Result<Response, Refusal> {
    let explained = tokio::task::spawn_blocking(move || app.ledger.explained()).await;
    let explained =
        explained.map_err(|panic| ErrorBody::new(ErrorKind::ServerError, panic.to_string()))?;
    Ok(json(StatusCode::OK, &explained))
}

async fn tokens(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    let Text { text } = read(&app, request).await?;
    let service = app.service.clone();
    let count = tokio::task::spawn_blocking(move || service.count_tokens(&text)).await;
    let tokens =
        count.map_err(|panic| ErrorBody::new(ErrorKind::ServerError, panic.to_string()))?;
    Ok(json(StatusCode::OK, &Count { tokens }))
}

async fn cancel(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    let Cancel { id } = read(&app, request).await?;
    Ok(json(StatusCode::OK, &Stopping { stopping: app.ledger.cancel(&id) }))
}

async fn missing(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    let body = app.bodies.read(request).await?;
    let service = app.service.clone();
    let count = move || service.missing_tokens(&responses::read(&body.bytes)?.request);
    let count = tokio::task::spawn_blocking(count).await;
    let tokens =
        count.map_err(|panic| ErrorBody::new(ErrorKind::ServerError, panic.to_string()))??;
    Ok(json(StatusCode::OK, &Count { tokens }))
}

/// Has conversations read behind the answer, in the place of those that were to be read ahead before.
async fn warm(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    let busy = app.ledger.begin();
    let bodies: Vec<serde_json::Value> = read(&app, request).await?;
    let worker = Arc::clone(&app);
    let begin = move |body: serde_json::Value| {
        let request = responses::read(body.to_string().as_bytes())?.request;
        if worker.tier(Some(&request.model), Owner::default())?.counted().is_none() {
            let what = "nothing is read ahead by a model elsewhere";
            return Err(ErrorBody::not_served("model", what));
        }
        worker.service.respond(&CreateResponse { generate: false, ..request })
    };
    let begun = tokio::task::spawn_blocking(move || {
        bodies.into_iter().take(WARMED_MAX).map(begin).collect::<Result<Vec<_>, ErrorBody>>()
    });
    let begun =
        begun.await.map_err(|panic| ErrorBody::new(ErrorKind::ServerError, panic.to_string()))?;
    let streams = begun?;
    let reading = tokio::spawn(async move {
        for mut stream in streams {
            while stream.next_async().await.is_some() {}
        }
        drop(busy);
    });
    app.read_ahead(reading.abort_handle());
    Ok(json(StatusCode::OK, &Warming { warming: true }))
}

/// Leaves, unless it has a public door: others rely on that, and the person ends it.
async fn stop(app: &App, request: Request, pinned: bool) -> Result<Response, Refusal> {
    let Stop { if_idle } = read(app, request).await?;
    let stopping = !(pinned || if_idle && app.ledger.activity().running > 0);
    if stopping {
        app.asked_to_stop.notify_one();
    }
    Ok(json(StatusCode::OK, &Stopping { stopping }))
}

async fn read<T: DeserializeOwned>(app: &App, request: Request) -> Result<T, ErrorBody> {
    let body = app.bodies.read(request).await?;
    serde_json::from_slice(&body.bytes)
        .map_err(|error| ErrorBody::new(ErrorKind::InvalidRequestError, error.to_string()))
}
