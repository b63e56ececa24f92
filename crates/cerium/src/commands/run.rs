//! `cerium run`: a command in a sandbox, its output as it comes, and a line in the journal.

use super::{Context, Exit, Tree};
use crate::cli;
use crate::config::Size;
use crate::interrupt;
use crate::output::{self, DIM};
use anyhow::{Context as _, Result};
use cerium_harness::run::{self, Ended, Limits, Ran, Reach, RunRequest};
use serde::Serialize;
use std::env;
use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::time::Duration;

/// The `--json` object.
#[derive(Serialize)]
struct Report<'a> {
    /// Its number in the journal.
    id: u64,
    #[serde(flatten)]
    ran: &'a Ran,
}

pub(crate) fn run(context: &Context, args: cli::Run) -> Result<Exit> {
    let tree = Tree::here()?;
    let Size(memory_bytes) = args.memory;
    let limits = Limits {
        time: Duration::from_secs(args.time),
        memory_bytes,
        n_tasks: usize::from(args.processes),
        ..Limits::default()
    };
    let reach = match (args.network, args.no_sandbox) {
        (_, true) => Reach::Everything,
        (true, _) => Reach::Network,
        _ => Reach::Tree,
    };
    let dir = env::current_dir().context("finding the working directory")?;
    let root = tree.workspace.root().to_owned();
    let request = RunRequest { words: args.words, root, dir, reach, limits };
    let (id, ran) = execute(context, &tree, &request)?;
    if context.output.json {
        output::object(&Report { id, ran: &ran })?;
    }
    Ok(exit_of(&ran))
}

/// The exit code of a command as that of ours.
pub(super) fn exit_of(ran: &Ran) -> Exit {
    match ran.ended {
        Ended::Exit(code) => Exit::Command(u8::try_from(code).unwrap_or(1)),
        Ended::Signal(number) => Exit::Command(u8::try_from(128 + number).unwrap_or(1)),
        Ended::Stopped(run::Stop::Person) => Exit::Interrupted,
        Ended::Stopped(_) => Exit::Command(124),
    }
}

/// Runs a command, showing what it prints, and notes it in the journal.
pub(super) fn execute(context: &Context, tree: &Tree, request: &RunRequest) -> Result<(u64, Ran)> {
    let _deferred = interrupt::defer();
    let program = env::current_exe().context("finding this program")?;
    let launcher = [program.into_os_string(), "inside".into()];
    let shown = !context.output.json;
    let ran = run::run(request, &launcher, &mut |bytes| {
        let mut stdout = io::stdout();
        let written =
            if shown { stdout.write_all(bytes).and_then(|()| stdout.flush()) } else { Ok(()) };
        if written.is_err() || interrupt::requested() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    let id = tree.journal().note_run(&ran)?;
    let (ended, seconds) = (ran.ended, ran.ms as f64 / 1000.0);
    context.output.note(format!("{DIM}{ended} after {seconds:.1} s, {id} in `cerium log`{DIM:#}"));
    Ok((id, ran))
}

/// Becomes the command.
pub(crate) fn inside(entry: &str) -> Exit {
    Exit::Command(u8::try_from(run::enter(entry)).unwrap_or(1))
}
