//! Starting an engine: a process of its own, which says over a pipe how that went.

use super::Hello;
use super::line::{Line, runtime};
use super::log::{self, Log};
use super::wanted::{Wanted, is_this_program};
use crate::failure::advice;
use anyhow::{Context as _, Result, anyhow};
use serde::{Deserialize, Serialize};
use std::env;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Longest news: a chain of errors.
const NEWS_BYTES_MAX: u64 = 64 << 10;

/// What an engine says once, when it is ready or will never be.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum News {
    /// It listens.
    Ready { socket: PathBuf },
    /// It cannot: what a command that loads the model itself would say.
    Failed { error: String, hint: Option<String> },
}

/// Starts the engine that is wanted and waits until it is ready. It gets the lock: whoever waits for
/// that goes on when the engine is ready or dead, even if this process is no more by then.
///
/// # Errors
/// What the engine says, as the model would be loaded here.
pub(super) fn start(lock: File, wanted: &Wanted) -> Result<(PathBuf, Hello)> {
    let program = env::current_exe().context("finding this program")?;
    // Replaced since it started: another build would not do what this one wants.
    let replaced = !is_this_program(&program);
    let program = if replaced { PathBuf::from("/proc/self/exe") } else { program };
    let errors = log::path().and_then(|path| Log::open(path).ok()?.file().ok());
    // What else this process was given (a shell's locks, a pipe that somebody reads to its end) is not
    // kept open by the engine.
    close_fds::set_fds_cloexec(3, &[]);
    let mut command = Command::new(program);
    command
        .arg0("cerium")
        .args(arguments(wanted))
        // No tree is kept from being unmounted.
        .current_dir("/")
        .stdin(lock)
        .stdout(Stdio::piped())
        .stderr(errors.map_or_else(Stdio::null, Stdio::from));
    let mut engine = command.spawn().context("starting the engine")?;
    drop(command);
    let mut line = String::new();
    if let Some(news) = engine.stdout.take() {
        // What cannot be read is no news.
        let _ = BufReader::new(news.take(NEWS_BYTES_MAX)).read_line(&mut line);
    }
    match serde_json::from_str(&line) {
        Ok(News::Ready { socket }) => {
            let hello = runtime()?.block_on(Line::hello(&socket));
            let hello =
                hello.map_err(|trouble| anyhow!("the engine is gone again: {trouble:?}"))?;
            Ok((socket, hello))
        }
        Ok(News::Failed { error, hint: Some(hint) }) => Err(advice(error, hint)),
        Ok(News::Failed { error, hint: None }) => Err(anyhow!(error)),
        Err(_) => {
            let status = engine.wait().map_or_else(|error| error.to_string(), |it| it.to_string());
            let log = log::path().map_or("no log".to_owned(), |path| path.display().to_string());
            Err(advice(
                format!("the engine ended while it loaded {} ({status})", wanted.name),
                format!("{log} may say why; --no-daemon runs without it"),
            ))
        }
    }
}

/// How an engine is told what is wanted of it.
fn arguments(wanted: &Wanted) -> Vec<String> {
    let holds = &wanted.holds;
    let mut arguments = vec![
        "engine".to_owned(),
        format!("--model={}", wanted.model),
        format!("--kv={}", holds.kv),
    ];
    arguments.push(format!("--idle={}", wanted.idle.as_secs()));
    arguments.extend(holds.context.map(|n| format!("--context={n}")));
    arguments.extend(holds.threads.map(|n| format!("--threads={n}")));
    arguments.extend(holds.memory.map(|n| format!("--memory={n}")));
    arguments.push(format!("--kept={}", holds.kept));
    arguments
}
