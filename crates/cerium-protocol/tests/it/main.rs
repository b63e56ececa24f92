//! The protocol at its door: bodies in, requests or errors out; events in, JSON out.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod errors;
mod reading;
mod rendering;
mod returning;
