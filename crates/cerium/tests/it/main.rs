//! The command from outside: what is typed goes in, exit codes, output and files come out.

#![expect(
    clippy::unwrap_used,
    clippy::format_collect,
    reason = "helpers of tests fail as loudly and write as plainly as tests do"
)]

mod bad_input;
mod cache;
mod config;
mod doctor;
mod edit;
mod engine;
mod full_disk;
mod help;
mod interrupt;
mod killed;
mod lsp;
mod model;
mod models;
mod page;
mod run;
mod serve;
mod talk;
mod terminal;
mod why;
mod world;
