//! What a command wants loaded, and whether an engine holds it.

use crate::cli::Kv;
use crate::config::Settings;
use crate::model::Found;
use anyhow::{Context as _, Result};
use cerium_protocol::wire::engine::{Hello, Holds};
use std::env;
use std::fs::{self, Metadata};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

/// How long an engine stays without work, unless told otherwise.
const IDLE: Duration = Duration::from_mins(15);

/// A model, and how it is to be loaded. What a tree's settings say beyond the model's name is not in
/// it: a cloned repository has no word in how the engine of all trees runs.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// For people.
    pub(super) name: String,
    /// A name of the catalogue, or a path: what `--model` takes.
    pub(super) model: String,
    pub(super) holds: Holds,
    /// How long an engine started for it stays without work.
    pub(super) idle: Duration,
    build: String,
}

impl Wanted {
    pub(super) fn new(found: &Found, settings: &Settings) -> Result<Self> {
        let reading = || format!("reading `{}`", found.path.display());
        let path = found.path.canonicalize().with_context(reading)?;
        let file = stamp(&path.metadata().with_context(reading)?);
        let path = path.to_str().context("the engine takes models whose path is UTF-8")?.to_owned();
        Ok(Self {
            name: found.name.clone(),
            model: if found.is_known() { found.name.clone() } else { path.clone() },
            holds: Holds {
                path,
                file,
                context: settings.context,
                kv: kv(settings.kv).to_owned(),
                memory: settings.memory,
                kept: settings.kept().unwrap_or(0),
                threads: settings.own_threads,
            },
            idle: settings.idle.unwrap_or(IDLE),
            build: build(),
        })
    }

    /// Whether an engine holds this. How many threads compute changes nothing but the speed, so
    /// whoever names no number takes any.
    pub(super) fn is_held(&self, hello: &Hello) -> bool {
        let threads = self.holds.threads.or(hello.about.holds.threads);
        hello.about.build == self.build
            && hello.about.holds == Holds { threads, ..self.holds.clone() }
    }

    /// Whether an engine has no reason to be beside one that holds this: it is of another build, or
    /// holds the same model otherwise.
    pub(super) fn replaces(&self, hello: &Hello) -> bool {
        hello.about.build != self.build || hello.about.holds.path == self.holds.path
    }
}

/// How `--kv` names a format.
pub(super) fn kv(kv: Option<Kv>) -> &'static str {
    match kv {
        Some(Kv::Q8) => "q8",
        Some(Kv::F16) | None => "f16",
    }
}

/// Which program this is: its version and the file it runs from, as that was when it started.
pub(super) fn build() -> String {
    let file = fs::metadata("/proc/self/exe").or_else(|_| env::current_exe()?.metadata());
    let file = file.as_ref().map(stamp).unwrap_or_default();
    format!("{} {file}", env!("CARGO_PKG_VERSION"))
}

/// Whether a file is the very one that this process runs from.
pub(super) fn is_this_program(path: &Path) -> bool {
    let (Ok(this), Ok(other)) = (fs::metadata("/proc/self/exe"), path.metadata()) else {
        return true;
    };
    stamp(&this) == stamp(&other)
}

/// Length and time of change, as `123-456.789`.
fn stamp(file: &Metadata) -> String {
    let changed = file.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let changed = changed.unwrap_or_default();
    format!("{}-{}.{:09}", file.len(), changed.as_secs(), changed.subsec_nanos())
}
