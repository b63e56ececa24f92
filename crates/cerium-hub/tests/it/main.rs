//! The hub from outside: sources that work, fail, lie and die, none of them on the network, and one
//! real model.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod disk;
mod files;
mod hub;
mod packages;
mod processes;
mod real;
mod world;
