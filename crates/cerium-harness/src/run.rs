//! Commands of a person, run on request in a sandbox: nothing is written outside the tree, nothing
//! goes over the network, and time, memory, processes and output have bounds.
//!
//! A command is started in two steps. [`run`] starts a *launcher*, this program once more, at the
//! head of a process group, and watches that group. The launcher calls [`enter`], which gives up
//! every right that the command must not have (`sandbox`) and becomes the command. So no code runs
//! between fork and exec, and no thread of ours is ever restricted.

mod group;
mod kept;
#[cfg(target_os = "linux")]
mod sandbox;

pub use kept::OUTPUT_KEPT_BYTES;

use group::{Group, n_tasks_of_machine};
use kept::Kept;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// How soon the end of a silent command is noticed.
const TICK: Duration = Duration::from_millis(10);

/// How often the group is measured, which costs a walk through `/proc`.
const MEASURE_EVERY: Duration = Duration::from_millis(50);

/// Exit code of a launcher that could not become the command.
const NOT_ENTERED: i32 = 125;
/// How what it says then begins.
const NOT_ENTERED_PREFIX: &str = "cerium: no sandbox: ";

/// What is to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRequest {
    /// One word is a line for the shell, several are a program and its arguments.
    pub words: Vec<String>,
    /// Root of the tree, canonical: where the command may write.
    pub root: PathBuf,
    /// Where it starts, in the tree.
    pub dir: PathBuf,
    /// What it may reach.
    pub reach: Reach,
    /// Where it is stopped.
    pub limits: Limits,
}

/// What a command may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// The tree and a temporary directory of its own.
    Tree,
    /// The network besides.
    Network,
    /// Whatever the person may: there is no sandbox, only limits.
    Everything,
}

/// Where a command is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// From start to end.
    pub time: Duration,
    /// Bytes of memory of all its processes; one process cannot even ask for more.
    pub memory_bytes: u64,
    /// Processes and threads at the same time.
    pub n_tasks: usize,
    /// Bytes of what it prints.
    pub output_bytes: u64,
    /// Bytes of a file it writes.
    pub file_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_mins(5),
            memory_bytes: 4 << 30,
            n_tasks: 512,
            output_bytes: 16 << 20,
            file_bytes: 1 << 30,
        }
    }
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ran {
    /// As it was typed.
    pub command: String,
    /// What it could reach.
    pub reach: Reach,
    /// How it ended.
    pub ended: Ended,
    /// What it printed on both outputs, in the order it came; the middle of much is left out.
    pub output: String,
    /// Bytes it printed.
    pub output_bytes: u64,
    /// From start to end, in milliseconds.
    pub ms: u64,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// By itself, with this code.
    Exit(i32),
    /// By a signal.
    Signal(i32),
    /// It was stopped.
    Stopped(Stop),
}

impl Ended {
    /// Whether it ended by itself and well.
    pub fn is_success(self) -> bool {
        self == Self::Exit(0)
    }
}

/// Why a command was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// It ran for too long.
    Time,
    /// Its processes held too much memory.
    Memory,
    /// It had too many processes and threads.
    Tasks,
    /// It printed too much.
    Output,
    /// The person stopped it.
    Person,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => write!(f, "ended by signal {number}"),
            Self::Stopped(stop) => f.write_str(match stop {
                Stop::Time => "stopped: it took too long",
                Stop::Memory => "stopped: it took too much memory",
                Stop::Tasks => "stopped: it had too many processes",
                Stop::Output => "stopped: it printed too much",
                Stop::Person => "stopped",
            }),
        }
    }
}

/// Why a command was not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// There is nothing to run.
    #[error("the command is empty")]
    Empty,
    /// The system gives no sandbox.
    #[error("no sandbox: {reason}")]
    NoSandbox {
        /// What is missing.
        reason: String,
    },
    /// It could not be started or watched.
    #[error("cannot {what} the command")]
    Io {
        /// `start`, `watch`.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl RunError {
    /// What would help, in a sentence.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoSandbox { .. } => Some(
                "--no-sandbox runs it with all rights that you have; only limits are kept".into(),
            ),
            _ => None,
        }
    }
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> RunError {
    move |source| RunError::Io { what, source }
}

/// What the launcher is told: its one argument, as JSON.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    words: Vec<OsString>,
    root: PathBuf,
    tmp: PathBuf,
    reach: Reach,
    limits: Limits,
}

/// Runs a command to its end. Its group is gone when this returns, whatever it started.
///
/// * `launcher`: a program and its first arguments that, with one more argument, calls [`enter`]
///   with it
/// * `on_output`: gets what is printed as it comes, and nothing every few milliseconds; `Break`
///   stops the command
///
/// # Errors
/// Every variant of [`RunError`].
pub fn run(
    request: &RunRequest,
    launcher: &[OsString],
    on_output: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<Ran, RunError> {
    let [program, first @ ..] = launcher else { return Err(RunError::Empty) };
    let words = match request.words.as_slice() {
        [] => return Err(RunError::Empty),
        [line] if line.trim().is_empty() => return Err(RunError::Empty),
        [line] => vec!["/bin/sh".into(), "-c".into(), line.into()],
        words => words.iter().map(OsString::from).collect(),
    };
    let tmp = tempfile::Builder::new().prefix("cerium-run-").tempdir().map_err(failed("start"))?;
    let tmp_path = tmp.path().canonicalize().map_err(failed("start"))?;
    let entry = Entry {
        words,
        root: request.root.clone(),
        tmp: tmp_path.clone(),
        reach: request.reach,
        limits: request.limits,
    };
    let entry = serde_json::to_string(&entry).map_err(|e| failed("start")(e.into()))?;
    let (output, input) = io::pipe().map_err(failed("start"))?;
    let mut command = Command::new(program);
    command.args(first).arg(entry).current_dir(&request.dir).env("TMPDIR", &tmp_path);
    command.stdin(Stdio::null());
    command.stdout(input.try_clone().map_err(failed("start"))?).stderr(input);
    let start = Instant::now();
    let group = Group::start(command).map_err(failed("start"))?;
    let chunks = read_on_a_thread(output).map_err(failed("watch"))?;
    let mut kept = Kept::default();
    let ended = watch(&group, &chunks, request.limits, start, &mut |bytes| {
        kept.add(bytes);
        on_output(bytes)
    });
    let ended = ended.map_err(failed("watch"))?;
    // The group is gone; what it printed last is still on its way.
    while let Ok(bytes) = chunks.recv() {
        kept.add(&bytes);
        let _ = on_output(&bytes);
    }
    let output = kept.text();
    match output.strip_prefix(NOT_ENTERED_PREFIX) {
        Some(reason) if ended == Ended::Exit(NOT_ENTERED) => {
            Err(RunError::NoSandbox { reason: reason.trim().to_owned() })
        }
        _ => Ok(Ran {
            command: request.words.join(" "),
            reach: request.reach,
            ended,
            output,
            output_bytes: kept.n_bytes(),
            ms: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
        }),
    }
}

/// Waits for the end of a group, or puts one to it.
fn watch(
    group: &Group,
    chunks: &Receiver<Vec<u8>>,
    limits: Limits,
    start: Instant,
    on_output: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> io::Result<Ended> {
    let mut n_bytes = 0;
    let mut measured = start;
    // Where there are suddenly so many more tasks, they are probably this group's.
    let n_tasks_suspect = n_tasks_of_machine().map(|n| n + limits.n_tasks);
    let is_flood = || n_tasks_of_machine().zip(n_tasks_suspect).is_some_and(|(n, max)| n > max);
    loop {
        let bytes = match chunks.recv_timeout(TICK) {
            Ok(bytes) => bytes,
            Err(error) => {
                if group.has_ended()? {
                    return group.end();
                }
                if error == RecvTimeoutError::Disconnected {
                    // It closed its outputs and goes on.
                    thread::sleep(TICK);
                }
                Vec::new()
            }
        };
        n_bytes += bytes.len() as u64;
        let mut stop = on_output(&bytes).is_break().then_some(Stop::Person);
        if n_bytes > limits.output_bytes {
            stop = Some(Stop::Output);
        }
        let flood = is_flood();
        if flood || measured.elapsed() >= MEASURE_EVERY {
            let usage = if flood { group.usage_at_rest() } else { group.usage() };
            measured = Instant::now();
            stop = stop.or(match () {
                () if start.elapsed() > limits.time => Some(Stop::Time),
                () if usage.n_tasks > limits.n_tasks => Some(Stop::Tasks),
                () if usage.memory_bytes > limits.memory_bytes => Some(Stop::Memory),
                () => None,
            });
        }
        if let Some(stop) = stop {
            group.end()?;
            return Ok(Ended::Stopped(stop));
        }
    }
}

/// Reads a pipe until nobody can write to it any more; a slow caller slows the writer.
fn read_on_a_thread(mut pipe: io::PipeReader) -> io::Result<Receiver<Vec<u8>>> {
    let (sender, receiver) = sync_channel(8);
    let read = move || {
        let mut buffer = [0; 8192];
        while let Ok(n @ 1..) = pipe.read(&mut buffer) {
            if sender.send(buffer[..n].to_vec()).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("output".into()).spawn(read)?;
    Ok(receiver)
}

/// Becomes the command, with no more rights than it may have. Returns only when that failed, after
/// saying so on standard error; the process has to end then, with the code returned.
///
/// * `entry`: the argument that [`run`] gave
pub fn enter(entry: &str) -> i32 {
    let reason = match serde_json::from_str::<Entry>(entry) {
        Ok(entry) => become_command(&entry),
        Err(_) => "`cerium run` starts this, nobody else".to_owned(),
    };
    // There is nobody else to tell.
    let _ = io::Write::write_all(
        &mut io::stderr(),
        format!("{NOT_ENTERED_PREFIX}{reason}\n").as_bytes(),
    );
    NOT_ENTERED
}

#[cfg(target_os = "linux")]
fn become_command(entry: &Entry) -> String {
    use std::os::unix::process::CommandExt;
    let [program, arguments @ ..] = entry.words.as_slice() else { return String::new() };
    if let Err(error) = group::limit(entry.limits) {
        return format!("limits cannot be set: {error}");
    }
    if entry.reach != Reach::Everything
        && let Err(reason) = sandbox::close(&entry.root, &entry.tmp, entry.reach)
    {
        return reason;
    }
    // What cannot be found is the command's failure, as in a shell.
    let error = Command::new(program).args(arguments).exec();
    let code = if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
    let name = Path::new(program).display();
    let _ = io::Write::write_all(&mut io::stderr(), format!("{name}: {error}\n").as_bytes());
    std::process::exit(code)
}

#[cfg(not(target_os = "linux"))]
fn become_command(_: &Entry) -> String {
    "commands are run on Linux only".to_owned()
}
