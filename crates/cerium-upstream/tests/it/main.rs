//! Engines elsewhere, played by a script: what they are asked, and what is made of what they say.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod asked;
mod engine;
mod hostile;
mod routes;
