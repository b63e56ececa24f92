//! The harness at its door: trees on disk, and a model that says what the test wrote down.
#![allow(
    clippy::unwrap_used,
    clippy::format_collect,
    reason = "helpers of tests fail as loudly and write as plainly as tests do"
)]

mod ask;
mod complete;
mod edit;
mod plan;
mod search;
mod support;
mod workspace;
