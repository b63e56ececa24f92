//! Other engines: requests out, events back.
//!
//! A model need not run here. [`Upstreams`] knows the engines that a person has configured (vLLM,
//! `SGLang`, llama-server, a hosted service, another cerium), which of them serve a model and in what
//! order they are asked. An [`Answer`] is the same events that a model of this process gives, whatever
//! dialect the engine speaks: whoever reads them cannot tell the difference.
//!
//! What holds here:
//! * An answer is asked for again, of the same engine or the next one, only before its first word.
//!   After that it ends with an error.
//! * An engine that fails is left alone for a while (`breaker`), and asked first by one request alone.
//! * Dropping an answer closes its connection: the engine stops.
//! * What an engine sends is hostile until read: sizes and times are bounded, its redirects are not
//!   followed, and its words are put in order before anybody else hears them (`telling`).
//! * The key of an engine goes to that engine's address and nowhere else: not into logs, not into errors.

mod answer;
mod asking;
mod breaker;
mod error;
mod listing;
mod options;
mod pool;
mod telling;
mod upstream;

pub use answer::Answer;
pub use options::{Dialect, Secret, UpstreamError, UpstreamOptions};
pub use pool::{Health, Upstreams};
