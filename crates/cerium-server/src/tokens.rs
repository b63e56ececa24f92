//! `POST /tokenize` and `POST /detokenize`.

use crate::error::{Refusal, json};
use crate::router::{App, asker};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use cerium_protocol::wire::llama::{Detokenized, Token, Tokens, read_detokenize, read_tokenize};
use cerium_protocol::{ErrorBody, ErrorKind};
use cerium_session::Service;
use serde::Serialize;
use std::sync::Arc;

pub(crate) async fn tokenize(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Refusal> {
    answer(&app, request, |service, body| {
        let asked = read_tokenize(body)?;
        let ids = service.tokenize(&asked.content, asked.add_special, asked.parse_special);
        let token = |id| {
            if asked.with_pieces {
                Token::with_bytes(id, service.token_bytes(id))
            } else {
                Token::Id(id)
            }
        };
        Ok(Tokens { tokens: ids.into_iter().map(token).collect() })
    })
    .await
}

pub(crate) async fn detokenize(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Refusal> {
    answer(&app, request, |service, body| {
        let ids = read_detokenize(body)?;
        Ok(Detokenized { content: service.detokenize(&ids) })
    })
    .await
}

/// Answers on a thread of its own: a long text takes a while.
async fn answer<T: Serialize + Send + 'static>(
    app: &Arc<App>,
    request: Request,
    make: impl FnOnce(&Service, &[u8]) -> Result<T, ErrorBody> + Send + 'static,
) -> Result<Response, Refusal> {
    let _busy = asker(&request).begin(&app.ledger)?;
    let body = app.bodies.read(request).await?;
    let service = app.service.clone();
    let made = tokio::task::spawn_blocking(move || make(&service, &body.bytes)).await;
    let made = made.map_err(|panic| ErrorBody::new(ErrorKind::ServerError, panic.to_string()))?;
    Ok(json(StatusCode::OK, &made?))
}
