//! One engine per user: the process that keeps a model loaded and its prompts computed, so that the
//! next command is warm and two commands never fight for the cores.
//!
//! The first command that needs a model starts it ([`start`]), from the same program ([`process`]);
//! it listens on a socket in a directory that nobody else can enter ([`place`]), and commands talk to
//! it over the same wire as other clients do ([`line`], [`remote`]). One engine holds one model as it
//! was asked for. Whoever asks for something else gets an engine of their own, and one that would
//! hold the same model twice, or is of another build, leaves for it.

mod line;
mod log;
mod place;
pub(crate) mod process;
mod remote;
mod start;
mod wanted;

use crate::config::Settings;
use crate::model;
use crate::output::Output;
use crate::output::progress::Spinner;
use anyhow::{Context as _, Result};
use cerium_protocol::ModelInfo;
use line::Line;
use place::Place;
use rustix::process::{Pid, test_kill_process};
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};
use wanted::Wanted;

use cerium_protocol::wire::engine::Explained;
pub(crate) use cerium_protocol::wire::engine::Hello;
pub(crate) use place::{PlaceError, Seat};
pub(crate) use process::{open_public, run};
pub(crate) use remote::RemoteBackend;

/// How long to wait for an engine that leaves: it takes longer only while it answers somebody.
const LEAVES_MAX: Duration = Duration::from_secs(2);

/// How often to look whether it has.
const LOOK: Duration = Duration::from_millis(5);

/// An engine that holds what is wanted.
#[derive(Clone, Debug)]
struct Attached {
    socket: PathBuf,
    model: ModelInfo,
}

/// How to get at an engine, now and whenever it has gone.
struct Way {
    output: Output,
    place: Place,
    wanted: Wanted,
}

/// Attaches to the engine of the settings, starting it if it does not run; the model is fetched
/// first, if need be.
///
/// # Errors
/// [`PlaceError`] when there is no safe place to meet; else as loading it here.
pub(crate) fn attach(output: Output, settings: &Settings) -> Result<RemoteBackend> {
    let place = Place::open()?;
    let found = model::find(output, settings)?;
    let wanted = Wanted::new(&found, settings)?;
    RemoteBackend::new(Way { output, place, wanted }).with_context(|| found.loading())
}

impl Way {
    /// An engine that holds what is wanted.
    fn attach(&self) -> Result<Attached> {
        if let Some(engine) = self.find() {
            return Ok(self.meet(engine));
        }
        let spinner = Spinner::start(self.output, format!("loading {}", self.wanted.name));
        // Whoever holds the lock is starting one, maybe the one that is wanted.
        let lock = self.place.lock().context("waiting for the engine")?;
        let engine = if let Some(engine) = self.find() {
            engine
        } else {
            self.place.clear();
            make_way(&self.place, &self.wanted);
            start::start(lock, &self.wanted)?
        };
        drop(spinner);
        Ok(self.meet(engine))
    }

    fn find(&self) -> Option<(PathBuf, Hello)> {
        self.place.engines().into_iter().find(|(_, hello)| self.wanted.is_held(hello))
    }

    /// Tells the person what loading it here would have told.
    fn meet(&self, (socket, hello): (PathBuf, Hello)) -> Attached {
        self.output.notes(&hello.about.notes);
        Attached { socket, model: hello.model }
    }
}

/// Where engines say what they do, if anywhere.
pub(crate) fn log_path() -> Option<PathBuf> {
    log::path()
}

/// What is found where engines meet.
#[derive(Debug)]
pub(crate) struct Met {
    /// Every engine that runs and answers.
    pub(crate) engines: Vec<Hello>,
    /// Of these, how many are of another build of this program.
    pub(crate) n_other_builds: usize,
    /// Sockets that engines which did not end well left behind.
    pub(crate) n_stale: usize,
    /// Sockets on which somebody listens and no engine answers.
    pub(crate) n_silent: usize,
}

/// Looks who is there.
///
/// # Errors
/// [`PlaceError`].
pub(crate) fn met() -> Result<Met, PlaceError> {
    let place = Place::open()?;
    let (answering, engines): (Vec<_>, Vec<_>) = place.engines().into_iter().unzip();
    let (n_stale, n_silent) = place.dead(&answering);
    let build = wanted::build();
    let n_other_builds = engines.iter().filter(|engine| engine.about.build != build).count();
    Ok(Met { engines, n_other_builds, n_stale, n_silent })
}

/// Every engine that runs.
///
/// # Errors
/// [`PlaceError`].
pub(crate) fn all() -> Result<Vec<Hello>, PlaceError> {
    Ok(met()?.engines)
}

/// Every engine that runs and says so, and what it tells of its last answers.
///
/// # Errors
/// [`PlaceError`].
pub(crate) fn explained() -> Result<Vec<(Hello, Vec<Explained>)>, PlaceError> {
    let engines = Place::open()?.engines().into_iter();
    Ok(engines.filter_map(|(socket, hello)| Some((hello, Line::explained(&socket)?))).collect())
}

/// Asks some of the engines to leave, and says what came of it.
///
/// # Errors
/// [`PlaceError`].
pub(crate) fn stop(which: impl Fn(&Hello) -> bool) -> Result<Vec<(Hello, Stopped)>, PlaceError> {
    let place = Place::open()?;
    let stop = |(socket, hello): (PathBuf, Hello)| {
        let stopped = match Line::stop(&socket, false) {
            Some(true) if leaves(hello.about.pid, LEAVES_MAX) => Stopped::Gone,
            Some(true) => Stopped::Answering,
            Some(false) => Stopped::Serves,
            // It went by itself.
            None => Stopped::Gone,
        };
        (hello, stopped)
    };
    Ok(place.engines().into_iter().filter(|(_, hello)| which(hello)).map(stop).collect())
}

/// What came of asking an engine to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    Gone,
    /// It leaves once its answers are told.
    Answering,
    /// It has a public door, and stays.
    Serves,
}

/// Lets those go that the wanted engine takes the place of.
fn make_way(place: &Place, wanted: &Wanted) {
    for (socket, hello) in place.engines() {
        if wanted.replaces(&hello) && Line::stop(&socket, false) == Some(true) {
            leaves(hello.about.pid, LEAVES_MAX);
        }
    }
}

/// Lets one engine go that nobody uses, so that there is memory for another; false when there is
/// none.
fn make_room(place: &Place) -> bool {
    let stopped = place.engines().into_iter().find_map(|(socket, hello)| {
        (Line::stop(&socket, true) == Some(true)).then_some(hello.about.pid)
    });
    stopped.is_some_and(|pid| leaves(pid, 5 * LEAVES_MAX))
}

/// Waits until a process is gone.
fn leaves(pid: u32, patience: Duration) -> bool {
    let begun = Instant::now();
    while !is_gone(pid) {
        if begun.elapsed() > patience {
            return false;
        }
        thread::sleep(LOOK);
    }
    true
}

/// Whether a process has ended, even if the one that started it has not heard of that: it may be one of
/// those that never ask, as the first process of a container.
fn is_gone(pid: u32) -> bool {
    let Some(process) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return true };
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the name, which is in brackets and may hold any.
    let ended = stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'));
    ended || test_kill_process(process).is_err()
}
