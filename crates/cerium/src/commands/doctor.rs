//! `cerium doctor`: what this machine can do, which path runs, what is wrong and what would help. It
//! only looks; measuring is another command's work.

mod finding;
mod machine;

use super::serve::place;
use super::{Context, Exit};
use crate::config::{self, Settings};
use crate::engine::{self, Hello, PlaceError};
use crate::failure;
use crate::output::{self, BOLD, CYAN, RED, bytes};
use anyhow::Result;
use cerium_harness::workspace::{StateHome, Workspace};
use cerium_hub::{Home, default_entry, installed, resolve, size_of_dir};
use cerium_kernels::n_cores;
use cerium_model::{Budget, Cpu};
use cerium_server::Place;
use finding::Finding;
use serde::Serialize;
use std::env;
use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

/// Everything that was seen.
#[derive(Debug, Default, Serialize)]
struct Report {
    version: &'static str,
    processor: String,
    /// Instruction sets that matter here.
    features: Vec<&'static str>,
    /// Code paths that can run, slowest first.
    paths: Vec<&'static str>,
    /// The one that does.
    path: &'static str,
    /// Processors that this process may use.
    processors: usize,
    /// Cores behind them, one thread for each of which is used unless told otherwise.
    cores: usize,
    memory_bytes: Option<u64>,
    /// Of these, what this process may still take.
    memory_available_bytes: Option<u64>,
    home: PathBuf,
    home_free_bytes: Option<u64>,
    home_is_writable: bool,
    /// Where the journal, plans and responses are.
    state: Option<PathBuf>,
    state_free_bytes: Option<u64>,
    state_is_writable: bool,
    /// Packed weights of all models.
    packed_bytes: u64,
    model: String,
    models: Vec<Model>,
    /// The processes that keep a model loaded for commands.
    engines: Vec<Hello>,
    /// Of these, how many are of another build.
    n_other_builds: usize,
    /// Sockets that engines which did not end well left behind.
    n_stale_sockets: usize,
    /// Sockets on which somebody listens and no engine answers.
    n_silent_sockets: usize,
    /// Where these say what they do.
    engine_log: Option<PathBuf>,
    /// What is wrong, then what would help.
    findings: Vec<Finding>,
}

#[derive(Debug, Serialize)]
struct Model {
    name: &'static str,
    bytes: u64,
    verified: bool,
}

pub(crate) fn run(context: &Context) -> Result<Exit> {
    let tree = Workspace::discover(&env::current_dir()?).ok();
    let mut findings = Vec::new();
    let settings = match config::load(tree.as_ref().map(Workspace::root), &context.flags) {
        Ok(settings) => settings,
        Err(error) => {
            findings.push(told(
                "settings",
                &error,
                "no command that reads these settings runs",
                "correct the file, or take it away",
            ));
            Settings { model: context.flags.model.clone(), ..Settings::default() }
        }
    };
    let report = look(&settings, findings)?;
    if context.output.json {
        output::object(&report)?;
    } else {
        output::data(&text(&report))?;
    }
    let blocked = report.findings.iter().any(|finding| finding.blocks);
    Ok(if blocked { Exit::BadInput } else { Exit::Done })
}

fn look(settings: &Settings, mut findings: Vec<Finding>) -> Result<Report> {
    let home = Home::from_env()?;
    let state = StateHome::from_env().ok().map(|state| state.root().to_owned());
    let model = settings.model.clone().unwrap_or_else(|| default_entry().name.to_owned());
    // As a command does: a file that changed is hashed, and known to be damaged or not.
    if let Err(error) = resolve(&home, &model) {
        let means = "no command that needs a model runs";
        findings.push(told("model", &error.into(), means, "name another with `--model`"));
    }
    let met = engine::met();
    if let Err(error) = &met {
        findings.push(nowhere_to_meet(error));
    }
    let met = met.ok();
    findings.extend(store(settings));
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION"),
        processor: machine::processor().unwrap_or_else(|| env::consts::ARCH.to_owned()),
        features: machine::features(),
        paths: Cpu::available().into_iter().map(Cpu::name).collect(),
        path: Cpu::best().name(),
        processors: thread::available_parallelism().map_or(1, NonZero::get),
        cores: n_cores(),
        memory_bytes: machine::memory_bytes(),
        memory_available_bytes: Budget::left().n_bytes(),
        home_free_bytes: machine::free_bytes(home.root()),
        home_is_writable: machine::is_writable(home.root()),
        state_free_bytes: state.as_deref().and_then(machine::free_bytes),
        state_is_writable: state.as_deref().is_some_and(machine::is_writable),
        state,
        packed_bytes: size_of_dir(&home.packed_dir()),
        home: home.root().to_owned(),
        model,
        models: installed(&home)
            .into_iter()
            .map(|it| Model { name: it.entry.name, bytes: it.bytes, verified: it.verified })
            .collect(),
        n_other_builds: met.as_ref().map_or(0, |met| met.n_other_builds),
        n_stale_sockets: met.as_ref().map_or(0, |met| met.n_stale),
        n_silent_sockets: met.as_ref().map_or(0, |met| met.n_silent),
        engines: met.map_or_else(Vec::new, |met| met.engines),
        engine_log: engine::log_path(),
        findings: Vec::new(),
    };
    findings.extend(finding::of_machine(&report));
    findings.sort_by_key(|finding| !finding.blocks);
    report.findings = findings;
    Ok(report)
}

/// What an error of a command would say, with the command's own hint where it has one.
fn told(name: &'static str, error: &anyhow::Error, means: &str, remedy: &str) -> Finding {
    let remedy = failure::hint(error).unwrap_or_else(|| remedy.to_owned());
    Finding::blocking(name, output::chain(error), means, remedy)
}

fn nowhere_to_meet(error: &PlaceError) -> Finding {
    Finding::advice(
        "no_place_for_engines",
        error.to_string(),
        "commands cannot share an engine: each loads the model itself, and none is warm",
        "let XDG_RUNTIME_DIR name a directory of yours that nobody else may enter (mode 0700)",
    )
}

/// Whether the file of responses and keys is one, if it is there. A database elsewhere is not asked.
fn store(settings: &Settings) -> Option<Finding> {
    if settings.store.enabled == Some(false) {
        return None;
    }
    let Ok(Place::File(path)) = place(&settings.store, None) else { return None };
    let why = match is_sqlite(&path) {
        Ok(true) => return None,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Ok(false) => "it is no SQLite file".to_owned(),
        Err(error) => error.to_string(),
    };
    Some(Finding::blocking(
        "store_unreadable",
        format!("the store `{}` cannot be read: {why}", path.display()),
        "`cerium serve` does not start, and `cerium keys` finds no keys",
        "put it back from a copy or move it away; `cerium serve --no-store` keeps nothing",
    ))
}

/// Whether a file begins as databases do; an empty one is none yet, and becomes one.
fn is_sqlite(path: &Path) -> io::Result<bool> {
    let mut head = Vec::new();
    File::open(path)?.take(16).read_to_end(&mut head)?;
    Ok(head.is_empty() || head == b"SQLite format 3\0")
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    let mut row = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{BOLD}{name:<11}{BOLD:#} {value}");
    };
    row("cerium", report.version.into());
    row("processor", report.processor.clone());
    row("processors", format!("{} on {} cores", report.processors, report.cores));
    row("features", report.features.join(" "));
    row("path", format!("{} (of {})", report.path, report.paths.join(", ")));
    let amount = |n: Option<u64>| n.map_or("unknown".into(), bytes);
    let available = amount(report.memory_available_bytes);
    row("memory", format!("{}, {available} available", amount(report.memory_bytes)));
    let free = amount(report.home_free_bytes);
    row("home", format!("{}, {free} free", report.home.display()));
    row("", format!("{} of packed weights, made again when needed", bytes(report.packed_bytes)));
    row("model", report.model.clone());
    for model in &report.models {
        let state = if model.verified { "checked" } else { "unchecked or damaged" };
        row("", format!("{} is here ({}, {state})", model.name, bytes(model.bytes)));
    }
    if report.engines.is_empty() {
        row("engine", "none runs; the first command that needs a model starts one".into());
    }
    for engine in &report.engines {
        let (holds, did) = about(engine);
        row("engine", holds);
        row("", did);
    }
    for Finding { blocks, what, means, remedy, .. } in &report.findings {
        let (style, label) = if *blocks { (RED, "wrong") } else { (CYAN, "note") };
        // Paths and names of files may hold anything.
        let what = output::printable(what);
        let _ = write!(
            text,
            "\n{style}{label:<11}{style:#} {BOLD}{what}{BOLD:#}\n{:<11} {means}\n{:<11} {remedy}\n",
            "  means", "  to do"
        );
    }
    text
}

/// What an engine holds, and what it did.
fn about(engine: &Hello) -> (String, String) {
    let Hello { about, model, activity } = engine;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let serves = match about.serves.as_deref() {
        None => String::new(),
        Some(at) if at.starts_with("unix:") => format!(", serves {at}"),
        Some(at) => format!(", serves http://{at}/v1"),
    };
    let holds = format!(
        "{} with {} tokens of context, process {}, since {}{serves}",
        model.name,
        model.context_tokens,
        about.pid,
        span(now.saturating_sub(about.started)),
    );
    let rest = match activity.running {
        0 => format!("idle for {}", span(activity.idle_ms / 1000)),
        n => format!("{n} being answered"),
    };
    let percent = |part: u64, whole: u64| 100 * part / whole.max(1);
    let did = format!(
        "{} answers; {}% of {} prompt tokens from the cache, {}% of {} draft tokens accepted; {rest}",
        activity.answers,
        percent(activity.cached_tokens, activity.prompt_tokens),
        activity.prompt_tokens,
        percent(activity.accepted_tokens, activity.drafted_tokens),
        activity.drafted_tokens,
    );
    (holds, did)
}

/// Seconds for people.
fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}
