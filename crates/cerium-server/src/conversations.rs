//! `/v1/conversations`: lists of items that clients keep here.

use crate::archive::{item, missing_conversation, seconds, unavailable};
use crate::error::{Refusal, json, raw_json};
use crate::guests::Asker;
use crate::query::Fields;
use crate::responses::page::{list, page};
use crate::responses::stored::archive;
use crate::router::{App, Route};
use axum::Extension;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use cerium_protocol::wire::responses::{check_metadata, keep};
use cerium_protocol::{ErrorBody, ErrorKind};
use cerium_store::{Conversation, Item, NewConversation, StoreError};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// Most items of one request, as published.
const N_ITEMS_MAX: usize = 20;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        ("/v1/conversations", post(create)),
        ("/v1/conversations/{id}", get(retrieve).post(update).delete(delete)),
        ("/v1/conversations/{id}/items", get(items).post(add)),
        ("/v1/conversations/{id}/items/{item}", get(one).delete(remove)),
    ]
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    metadata: Option<BTreeMap<String, String>>,
    items: Option<Vec<Box<RawValue>>>,
}

async fn create(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    request: Request,
) -> Result<Response, Refusal> {
    let archive = archive(&app)?;
    let body: Body = read(&app, request).await?;
    let id = format!("conv_{:016x}{:016x}", fresh(), fresh());
    let metadata = check_metadata(body.metadata.unwrap_or_default())?;
    let metadata = serde_json::to_string(&metadata).expect("strings can be written");
    let items = &kept(&body.items.unwrap_or_default())?;
    let now = seconds();
    let new = NewConversation { id: &id, holder: asker.holder(), metadata: &metadata, items, now };
    archive.store.begin_conversation(new).await.map_err(|error| unavailable(&error))?;
    Ok(object(&id, &Conversation { metadata, created_at: now, holder: String::new() }))
}

async fn retrieve(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    Ok(object(&id, &find(&app, &id, &asker).await?))
}

async fn update(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    find(&app, &id, &asker).await?;
    let body: Body = read(&app, request).await?;
    let metadata = check_metadata(body.metadata.unwrap_or_default())?;
    let metadata = serde_json::to_string(&metadata).expect("strings can be written");
    let store = &archive(&app)?.store;
    store.annotate(&id, &metadata, seconds()).await.map_err(|error| unavailable(&error))?;
    Ok(object(&id, &find(&app, &id, &asker).await?))
}

async fn delete(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    find(&app, &id, &asker).await?;
    let store = &archive(&app)?.store;
    if !store.delete_conversation(&id).await.map_err(|error| unavailable(&error))? {
        return Err(missing_conversation(&id).into());
    }
    let gone = json!({"id": id, "object": "conversation.deleted", "deleted": true});
    Ok(json(StatusCode::OK, &gone))
}

async fn items(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let items = archive(&app)?.conversation(&id, asker.holder()).await?;
    Ok(page(items, &Fields::of(&uri))?)
}

async fn add(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    find(&app, &id, &asker).await?;
    let body: Body = read(&app, request).await?;
    let items = kept(&body.items.unwrap_or_default())?;
    let store = &archive(&app)?.store;
    store.add_items(&id, &items, seconds()).await.map_err(|error| match error {
        StoreError::Missing(id) => missing_conversation(&id),
        error => unavailable(&error),
    })?;
    Ok(list(&items, false))
}

async fn one(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path((id, name)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let items = archive(&app)?.conversation(&id, asker.holder()).await?;
    match items.into_iter().find(|item| item.id == name) {
        Some(item) => Ok(raw_json(item.body)),
        None => Err(missing_item(&id, &name).into()),
    }
}

async fn remove(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path((id, name)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let conversation = find(&app, &id, &asker).await?;
    let archive = archive(&app)?;
    archive.settle().await?;
    if !archive.store.remove_item(&id, &name).await.map_err(|error| unavailable(&error))? {
        return Err(missing_item(&id, &name).into());
    }
    Ok(object(&id, &conversation))
}

async fn find(app: &App, id: &str, asker: &Asker) -> Result<Conversation, ErrorBody> {
    let found = archive(app)?.store.conversation(id).await.map_err(|error| unavailable(&error))?;
    let found = found.filter(|found| found.holder == asker.holder());
    found.ok_or_else(|| missing_conversation(id))
}

fn missing_item(id: &str, item: &str) -> ErrorBody {
    let what = format!("Item with id '{item:.100}' not found in conversation '{id:.100}'.");
    ErrorBody::new(ErrorKind::NotFoundError, what).with_code("item_not_found")
}

fn object(id: &str, conversation: &Conversation) -> Response {
    let Conversation { metadata, created_at, .. } = conversation;
    let id = json!(id);
    raw_json(format!(
        "{{\"id\":{id},\"object\":\"conversation\",\"created_at\":{created_at},\"metadata\":{metadata}}}"
    ))
}

/// Items as they are kept.
fn kept(items: &[Box<RawValue>]) -> Result<Vec<Item>, ErrorBody> {
    if items.len() > N_ITEMS_MAX {
        let what = format!("{} items; at most {N_ITEMS_MAX} are taken at a time", items.len());
        return Err(ErrorBody::invalid("items", what));
    }
    if let Some(n) = items.iter().position(|item| !item.get().starts_with('{')) {
        return Err(ErrorBody::invalid(format!("items[{n}]"), "an item is an object"));
    }
    let name = |prefix: &str| format!("{prefix}_{:016x}{:016x}", fresh(), fresh());
    Ok(items.iter().map(|body| item(keep(body.get(), name))).collect())
}

async fn read<T: DeserializeOwned>(app: &App, request: Request) -> Result<T, ErrorBody> {
    let body = app.bodies.read(request).await?;
    serde_json::from_slice(&body.bytes)
        .map_err(|error| ErrorBody::new(ErrorKind::InvalidRequestError, error.to_string()))
}

/// A number that nobody has seen before.
pub(crate) fn fresh() -> u64 {
    RandomState::new().hash_one(())
}
