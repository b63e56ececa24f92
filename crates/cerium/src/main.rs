//! The `cerium` command: people to intent. Everything is wired together here and nowhere else.
//!
//! `cli` is what can be typed, `config` what was set, `commands` what is done, `output` all that is
//! printed. `model` finds and loads a model, `local` is the harness's door to it in this process,
//! `engine` the one to it in the process that all commands of a person share; `lsp` is what editors talk to, `page` what
//! a server shows in a browser, `tui` what a bare `cerium` shows on a terminal.

mod backend;
mod cli;
mod commands;
mod config;
mod delegate;
#[cfg(test)]
mod documents;
mod engine;
mod failure;
mod interrupt;
mod local;
mod lsp;
mod model;
mod output;
mod page;
mod redirect;
mod stats;
mod tui;

use clap::Parser;
use output::Output;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    interrupt::install();
    let output = Output { json: cli.global.json, quiet: cli.global.quiet };
    match commands::run(cli, output) {
        Ok(exit) => exit.into(),
        // Whoever read our output has seen enough.
        Err(error) if failure::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let exit = failure::exit(&error);
            match exit {
                // They know what they did.
                commands::Exit::Interrupted => output.note(output::chain(&error)),
                _ => output::error(&error, failure::hint(&error).as_deref()),
            }
            if output.json {
                // Whoever reads the result learns of it there; that it cannot be told is all that
                // can go wrong now.
                let _ = output::object(&failure::report(&error));
            }
            exit.into()
        }
    }
}
