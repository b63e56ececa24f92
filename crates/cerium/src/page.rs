//! The page at `/` of a server: its files, and what it asks for. Edits, questions and plans are about a text that comes
//! with the request; nothing of the machine's trees is read or written.

mod ask;
mod assets;
mod backend;
mod bench;
mod edit;
mod line;
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
    let places = Places::new(N_CALLS_MAX);
    let bench = Bench::new(loaded, places.beside(1));
    let calls = Router::new()
        .route("/page/edit", post(edit::edit))
        .route("/page/ask", post(ask::ask))
        .route("/page/plan", post(plan::write))
        .route("/page/revise", post(plan::revise))
        .route("/page/steer", post(work::steer))
        .with_state(places);
    let measuring = Router::new().route("/page/bench", post(bench::bench)).with_state(bench);
    assets::router().merge(calls).merge(measuring)
}
