//! The server at its door: real sockets, a scripted engine behind them, and one real model.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod agents;
mod client;
mod clients;
mod codex;
mod compact;
mod connections;
mod conversations;
mod door;
mod elsewhere;
#[path = "../../../cerium-upstream/tests/it/engine.rs"]
#[allow(dead_code, reason = "the upstream's tests use the rest of it")]
mod engine;
mod hostile;
mod hostile_frames;
mod keys;
mod openapi;
mod opencode;
mod operating;
mod packages;
mod page;
#[path = "../../../cerium-store/tests/it/postgres.rs"]
mod postgres;
mod private;
mod real;
#[path = "../../../cerium-session/tests/it/script.rs"]
#[allow(dead_code, reason = "the session's tests use the rest of it")]
mod script;
mod sdk;
mod served;
mod shared;
mod socket;
mod socket_stored;
mod stored;
mod tls;
mod traces;
