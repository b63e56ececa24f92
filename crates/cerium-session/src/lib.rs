//! Items to tokens and back: prompts down, text and events up.
//!
//! A [`Service`] takes the requests of [`cerium_protocol`], turns a conversation into the token ids
//! that the model was trained to see, and hands them to whatever implements [`Generator`]: the
//! engine, or a script in a test. What comes back is a [`Stream`] of events whose text is whole
//! characters, free of stop texts. Dropping the stream cancels the work behind it.
//!
//! Text becomes ids only here, and text of people, files and tools never becomes a control token.

mod calls;
mod candidates;
mod constraint;
mod conversation;
mod generator;
mod guide;
mod history;
mod json_text;
mod likely;
mod predict;
mod prompt;
mod service;
mod steer;
mod stream;
mod text;
mod why;

pub use candidates::Candidates;
pub use cerium_engine::Owner;
pub use generator::{Generator, Steps};
pub use history::Past;
pub use predict::Prediction;
pub use service::Service;
pub use stream::{Stream, usage};
pub use why::Unexplained;
