//! The engine's own process: loads, listens, says so, and serves until it is idle or told to leave.
//! `cerium serve` is the same with a public door.

use super::log::{self, Log};
use super::start::News;
use super::wanted::{Wanted, build};
use super::{Place, Seat, make_room, make_way};
use crate::cli::{EngineArgs, Global};
use crate::commands::Exit;
use crate::config::Settings;
use crate::model::{self, Loaded};
use crate::output::Output;
use crate::{failure, interrupt};
use anyhow::{Context as _, Result};
use cerium_protocol::wire::engine::About;
use cerium_server::{Doors, Private, ServerOptions};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::process;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tracing::level_filters::LevelFilter;

/// Runs an engine as [`super::start`] started it: standard input is the lock, standard output the
/// pipe for news, standard error the log.
pub(crate) fn run(args: &EngineArgs, flags: &Global) -> Result<Exit> {
    // No terminal: its Ctrl-C is not ours, nor its end. It fails when started by hand, harmlessly.
    let _ = rustix::process::setsid();
    let settings = Settings {
        model: flags.model.clone(),
        threads: flags.threads,
        own_threads: flags.threads,
        context: flags.context,
        kv: flags.kv,
        memory: args.memory,
        persist: Some(args.kept > 0),
        cache_bytes: Some(args.kept),
        idle: Some(Duration::from_secs(args.idle)),
        ..Settings::default()
    };
    match open(&settings) {
        Ok((loaded, private)) => {
            tell(&News::Ready { socket: private.path.clone() });
            detach().context("letting go of the terminal")?;
            serve(&loaded, private)?;
            Ok(Exit::Done)
        }
        Err(error) => {
            let (chain, hint) = (crate::output::chain(&error), failure::hint(&error));
            tell(&News::Failed { error: chain, hint });
            Ok(failure::exit(&error))
        }
    }
}

fn open(settings: &Settings) -> Result<(Loaded, Private)> {
    // Whatever there is to say goes with the hello to whoever comes.
    let output = Output { json: false, quiet: true };
    let place = Place::open()?;
    let found = model::find(output, settings)?;
    let wanted = Wanted::new(&found, settings)?;
    let room = || make_room(&place);
    let loaded = model::load(settings, &found, &model::keeping(output, settings)?, &room)?;
    let seat = place.bind()?;
    let private = private(seat, &wanted, &loaded, None, Some(wanted.idle));
    Ok((loaded, private))
}

/// The private door of a loaded model.
fn private(
    seat: Seat,
    wanted: &Wanted,
    loaded: &Loaded,
    serves: Option<String>,
    idle: Option<Duration>,
) -> Private {
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let about = About {
        build: build(),
        pid: process::id(),
        started,
        serves,
        holds: wanted.holds.clone(),
        notes: loaded.notes.clone(),
    };
    Private { listener: seat.listener, path: seat.path, about, idle }
}

/// Says it to whoever started this, if they are still there.
fn tell(news: &News) {
    let line = serde_json::to_string(news).unwrap_or_default();
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

/// Gives back the lock and the pipe.
fn detach() -> io::Result<()> {
    let nothing = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing)?;
    rustix::stdio::dup2_stdout(&nothing)?;
    Ok(())
}

fn serve(loaded: &Loaded, private: Private) -> Result<()> {
    // A state directory that cannot be written costs the log alone.
    if let Some(log) = log::path().and_then(|path| Log::open(path).ok()) {
        let log: &'static Log = Box::leak(Box::new(log));
        tracing_subscriber::fmt()
            .with_max_level(LevelFilter::INFO)
            .with_ansi(false)
            .with_writer(move || log)
            .init();
    }
    interrupt::hand_over();
    let doors = Doors { public: None, private: Some(private) };
    cerium_server::run(doors, loaded.service(), ServerOptions::default()).context("serving")
}

/// A model loaded to be served at a public address, with the private door beside it that commands
/// attach to; without that one where there is no safe place for it.
pub(crate) fn open_public(
    output: Output,
    settings: &Settings,
    serves: String,
) -> Result<(Loaded, Option<Private>)> {
    let found = model::find(output, settings)?;
    let place = match Place::open() {
        Ok(place) => place,
        Err(error) => {
            output.note(format!("commands run without this server: {error}"));
            let loaded = model::open_found(output, settings, &found, &|| false)?;
            return Ok((loaded, None));
        }
    };
    let wanted = Wanted::new(&found, settings)?;
    // Commands that come meanwhile wait for this one.
    let _lock: File = place.lock().context("waiting for the engine")?;
    place.clear();
    make_way(&place, &wanted);
    let loaded = model::open_found(output, settings, &found, &|| make_room(&place))?;
    let private = private(place.bind()?, &wanted, &loaded, Some(serves), None);
    Ok((loaded, Some(private)))
}
