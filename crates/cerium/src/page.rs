//! The page at `/` of a server: its files, and what it asks for. Edits, questions and plans are about a text that comes
//! with the request; nothing of the machine's trees is read or written.

mod ask;
mod assets;
mod backend;
mod bench;
mod edit;
mod plan;
mod work;

use crate::model::Loaded;
use axum::Router;
use axum::routing::post;
use bench::Bench;
use work::Places;

/// Calls in progress. The engine has a queue of its own; these hold a thread and a text each.
const N_CALLS_MAX: usize = 8;

/// What the public door serves for it.
pub(crate) fn router(loaded: &Loaded) -> Router {
    let calls = Router::new()
        .route("/page/edit", post(edit::edit))
        .route("/page/ask", post(ask::ask))
        .route("/page/plan", post(plan::write))
        .route("/page/revise", post(plan::revise))
        .with_state(Places::new(N_CALLS_MAX));
    let bench = Router::new().route("/page/bench", post(bench::bench));
    assets::router().merge(calls).merge(bench.with_state(Bench::new(loaded)))
}
