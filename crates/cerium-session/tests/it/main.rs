//! The session at its door, with a scripted engine behind it, and with a real one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod down;
mod drafts;
mod histories;
#[allow(dead_code, reason = "the tests of the server use the rest of it")]
mod script;
mod steer;
mod tools;
mod up;
