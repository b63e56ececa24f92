//! The JSON that crosses the socket, and its exchange with the in-process types.
//!
//! Each dialect has a `read` (body to request, or an [`ErrorBody`](crate::ErrorBody) that names the
//! field at fault) and a way to render what happened; those that our own programs ask in have the way
//! back too (request to body, event of a stream to what happened). Fields this server knows nothing of are
//! ignored, because clients add new ones often; fields it knows and cannot honour are refused by
//! name, because an answer that silently lacks them would be a lie.

pub mod chat;
pub mod completions;
mod content;
pub mod engine;
mod format;
mod json;
pub mod llama;
mod measured;
pub mod models;
pub mod refusal;
pub mod responses;
pub mod sse;
mod texts;
mod tools;
mod unserved;

pub use json::ErrorEnvelope;
