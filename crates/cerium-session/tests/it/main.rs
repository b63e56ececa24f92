//! The session at its door, with a scripted engine behind it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod down;
mod script;
mod up;
