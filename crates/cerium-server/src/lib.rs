//! The HTTP door: frames to items.
//!
//! [`serve`] puts a [`Service`](cerium_session::Service) behind a listener, in the three dialects
//! that clients speak (responses, chat completions, completions), whole or as a stream of events, and the first
//! of them on a WebSocket, too. Of llama.cpp's own server it speaks what editor plugins need.
//! Models that engines elsewhere serve are asked for by name at the same doors
//! ([`ServerOptions::upstreams`]).
//! [`run`] does the same for a program without async code, until a signal comes.
//!
//! There are two [`Doors`]: a public one on an address or a Unix socket, and a [`Private`] one on a Unix socket for
//! the programs of the same person, who may ask a little more there ([`engine`]).
//!
//! [`engine`]: cerium_protocol::wire::engine
//!
//! What holds here:
//! * A browser page of another site gets nothing: its requests carry a foreign `Origin`, or, after
//!   DNS rebinding, a foreign `Host`. Sites that the owner names ([`ServerOptions::cors`]) are let in.
//! * A page may be served beside the protocols ([`ServerOptions::page`]). Its files are open to whoever may reach
//!   the server; what it asks for is not.
//! * A door that other machines can reach opens to holders of keys alone ([`ServerOptions::keys`]),
//!   and each of them gets what their tier allows.
//! * Every error has one shape and is made in one place, [`error`].
//! * A client that goes away cancels its request, one that stops reading blocks only itself and not
//!   for long, and nothing a client sends makes memory grow without bound.
//! * Log lines never hold text of prompts or answers. What is kept of them is kept in the store, and
//!   nowhere when there is none ([`ServerOptions::store`]).

mod accept;
mod activity;
mod answer;
mod archive;
mod body;
mod caller;
mod conversations;
mod cors;
mod dialect;
mod door;
pub mod error;
mod guests;
mod live;
mod metrics;
mod on_the_spot;
mod options;
mod private;
mod public;
mod query;
mod reload;
mod responses;
mod router;
mod socket;
mod tier;
mod tls;
mod tokens;
mod traces;
mod unix;
mod watched;

pub use accept::{Doors, run, runtime, serve};
pub use caller::{Answering, Caller, Telling};
pub use cerium_store::{Key, Place, Retention, Store, StoreError, StoreOptions};
pub use cerium_upstream::{Dialect, Secret, UpstreamError, UpstreamOptions, Upstreams};
pub use cors::Site;
pub use error::Refusal;
pub use options::{KeyOptions, Limits, Reload, ServerOptions};
pub use private::Private;
pub use public::Public;
pub use tls::Tls;
