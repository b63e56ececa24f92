//! What each command does.

mod ask;
mod bench;
mod cache;
mod complete;
mod completions;
mod doctor;
pub(crate) mod edit;
mod journal;
mod keys;
mod lsp;
mod man;
mod mcp;
mod models;
mod plan;
mod run;
mod serve;
mod stop;
mod why;

pub(crate) use journal::age;
pub(crate) use plan::{needed, step_requests};

use crate::backend::Counted;
use crate::cli::{Cli, Command, Delegate, Global};
use crate::config::{self, Settings};
use crate::delegate::DelegateBackend;
use crate::engine::{self, PlaceError};
use crate::local::LocalBackend;
use crate::output::{self, Output};
use crate::{interrupt, model, tui};
use anyhow::{Context as _, Result};
use cerium_harness::journal::Journal;
use cerium_harness::workspace::{StateHome, Workspace};
use clap::CommandFactory;
use std::env;
use std::process::ExitCode;

/// How a command ended; errors are [`Exit::BadInput`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked for is done, or shown.
    Done,
    /// The person said no.
    Declined,
    /// It cannot be done with this input.
    BadInput,
    /// The model gave no usable edit.
    NoEdit,
    /// Ctrl-C.
    Interrupted,
    /// As the command that was run did, with its code.
    Command(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => 0,
            Exit::Declined => 1,
            Exit::BadInput => 2,
            Exit::NoEdit => 3,
            Exit::Interrupted => interrupt::EXIT_CODE,
            Exit::Command(code) => code,
        }
        .into()
    }
}

/// What every command gets.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) output: Output,
    pub(crate) flags: Global,
}

/// The tree around the working directory, and where its state is.
#[derive(Clone)]
pub(crate) struct Tree {
    pub(crate) workspace: Workspace,
    pub(crate) state: StateHome,
}

impl Tree {
    /// That of the working directory.
    pub(crate) fn here() -> Result<Self> {
        let cwd = env::current_dir().context("finding the working directory")?;
        Ok(Self { workspace: Workspace::discover(&cwd)?, state: StateHome::from_env()? })
    }

    pub(crate) fn journal(&self) -> Journal {
        Journal::of(&self.state, self.workspace.root())
    }
}

impl Context {
    /// The model that a command is to ask: one elsewhere if it says so, else that of its tree.
    fn asked(&self, tree: &Tree, Delegate { delegate }: &Delegate) -> Result<Counted> {
        let Some(name) = delegate else { return self.backend(tree) };
        let settings = config::load(Some(tree.workspace.root()), &self.flags)?;
        Ok(Counted::new(DelegateBackend::open(&settings, name)?))
    }

    /// The model that was set for a tree, fetched first, if need be: the engine's, or loaded here
    /// where that is wanted or there is no safe place to meet one.
    pub(crate) fn backend(&self, tree: &Tree) -> Result<Counted> {
        self.connect(&config::load(Some(tree.workspace.root()), &self.flags)?)
    }

    /// The model of some settings.
    fn connect(&self, settings: &Settings) -> Result<Counted> {
        if !settings.alone {
            match engine::attach(self.output, settings) {
                Ok(backend) => return Ok(Counted::new(backend)),
                Err(error) if error.is::<PlaceError>() => {
                    self.output.note(format!("running without an engine: {error:#}"));
                }
                Err(error) => return Err(error),
            }
        }
        let service = model::open(self.output, settings)?;
        Ok(Counted::new(LocalBackend::new(service).context("starting the runtime")?))
    }
}

/// Runs what was typed.
pub(crate) fn run(cli: Cli, output: Output) -> Result<Exit> {
    let context = Context { output, flags: cli.global };
    match cli.command {
        Some(Command::Edit(args)) => edit::run(&context, &args),
        Some(Command::Complete(args)) => complete::run(&context, &args),
        Some(Command::Undo(args)) => journal::undo(&context, &args),
        Some(Command::Redo) => journal::redo(&context),
        Some(Command::Log(args)) => journal::log(&context, &args),
        Some(Command::Run(args)) => run::run(&context, args),
        Some(Command::Inside { entry }) => Ok(run::inside(&entry)),
        Some(Command::Ask(args)) => ask::run(&context, args),
        Some(Command::Plan(args)) => plan::run(&context, &args),
        Some(Command::Serve(args)) => serve::run(&context, &args),
        Some(Command::Lsp(_)) => lsp::run(context),
        Some(Command::Mcp) => mcp::run(&context),
        Some(Command::Keys(args)) => keys::run(&context, &args),
        Some(Command::Stop) => stop::run(&context),
        Some(Command::Engine(args)) => engine::run(&args, &context.flags),
        Some(Command::Pull(args)) => models::pull(&context, &args),
        Some(Command::Models) => models::list(&context),
        Some(Command::Rm(args)) => models::remove(&context, &args),
        Some(Command::Cache(args)) => cache::run(&context, &args),
        Some(Command::Bench(args)) => bench::run(&context, &args),
        Some(Command::Why(args)) => why::run(&context, &args),
        Some(Command::Doctor) => doctor::run(&context),
        Some(Command::Completions(args)) => completions::run(&args),
        Some(Command::Man(args)) => man::run(&args),
        None if !output.json && !output.quiet && tui::is_possible() => {
            let output = Output { quiet: true, ..output };
            tui::run(Context { output, ..context })
        }
        None => {
            output::data(&Cli::command().render_help().ansi().to_string())?;
            Ok(Exit::Done)
        }
    }
}
