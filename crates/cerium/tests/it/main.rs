//! The command from outside: what is typed goes in, exit codes, output and files come out.

#![expect(
    clippy::unwrap_used,
    clippy::format_collect,
    reason = "helpers of tests fail as loudly and write as plainly as tests do"
)]

#[path = "../../../cerium-server/tests/it/agents.rs"]
#[allow(dead_code, reason = "the server's tests use the rest of it")]
mod agents;
mod bad_input;
mod cache;
#[path = "../../../cerium-server/tests/it/client.rs"]
#[allow(dead_code, reason = "the server's tests use the rest of it")]
mod client;
mod codex;
mod config;
mod doctor;
mod edit;
mod engine;
#[path = "../../../cerium-upstream/tests/it/engine.rs"]
#[allow(dead_code, reason = "the upstream's tests use the rest of it")]
mod engine_script;
mod full_disk;
mod help;
mod interrupt;
mod killed;
mod lsp;
mod mcp;
mod model;
mod models;
#[path = "../../../cerium-server/tests/it/packages.rs"]
mod packages;
mod page;
mod picture;
mod run;
mod screen;
#[path = "../../../cerium-session/tests/it/script.rs"]
#[allow(dead_code, reason = "the session's tests use the rest of it")]
mod script;
mod serve;
mod session;
mod talk;
mod terminal;
mod upstream;
mod why;
mod world;
