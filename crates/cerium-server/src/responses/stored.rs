//! Responses that were made before: looked at, told again, cancelled, deleted.

use super::page::page;
use super::replay::replay;
use crate::archive::Archive;
use crate::error::{Refusal, json, raw_json};
use crate::guests::Asker;
use crate::query::Fields;
use crate::router::App;
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use cerium_protocol::{ErrorBody, ErrorKind};
use cerium_store::Extent;
use serde_json::json;
use std::sync::Arc;

/// The memory of a server that has one.
pub(crate) fn archive(app: &App) -> Result<&Arc<Archive>, ErrorBody> {
    app.archive.as_ref().ok_or_else(|| {
        ErrorBody::new(ErrorKind::NotFoundError, "this server stores no responses")
            .with_code("response_not_found")
    })
}

pub(crate) async fn retrieve(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let archive = archive(&app)?;
    // What else may be asked for (`include`, obfuscation) changes nothing here.
    let wanted = Fields::of(&uri);
    let streams = wanted.value("stream", "true or false")?.unwrap_or(false);
    let after: Option<u64> = wanted.value("starting_after", "the number of an event")?;
    let kept = archive.find(&id, asker.holder()).await?;
    if streams {
        let from = after.map_or(0, |after| after.saturating_add(1));
        return Ok(replay(Arc::clone(archive), id, kept, from, &app.options));
    }
    Ok(raw_json(kept.object()))
}

pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    archive(&app)?.delete(&id, asker.holder()).await?;
    Ok(json(StatusCode::OK, &json!({"id": id, "object": "response", "deleted": true})))
}

pub(crate) async fn cancel(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    Ok(raw_json(archive(&app)?.cancel(&id, asker.holder()).await?.object()))
}

pub(crate) async fn input_items(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let archive = archive(&app)?;
    archive.find(&id, asker.holder()).await?;
    Ok(page(archive.history(&id, Extent::Asked).await?, &Fields::of(&uri))?)
}
