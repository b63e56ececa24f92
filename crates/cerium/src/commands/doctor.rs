//! `cerium doctor`: what this machine can do, which path runs, what would help. It only looks;
//! measuring is another command's work.

use super::{Context, Exit};
use crate::config;
use crate::engine::{self, Hello};
use crate::output::{self, BOLD, bytes};
use anyhow::Result;
use cerium_harness::workspace::Workspace;
use cerium_hub::{Home, default_entry, installed, size_of_dir};
use cerium_kernels::n_cores;
use cerium_model::{Budget, Cpu};
use serde::Serialize;
use std::env;
use std::fmt::Write;
use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

/// Everything that was seen.
#[derive(Debug, Serialize)]
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
    /// Packed weights of all models.
    packed_bytes: u64,
    model: String,
    models: Vec<Model>,
    /// The processes that keep a model loaded for commands.
    engines: Vec<Hello>,
    /// Where these say what they do.
    engine_log: Option<PathBuf>,
    advice: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Model {
    name: &'static str,
    bytes: u64,
    verified: bool,
}

pub(crate) fn run(context: &Context) -> Result<Exit> {
    let tree = Workspace::discover(&env::current_dir()?).ok();
    let settings = config::load(tree.as_ref().map(Workspace::root), &context.flags)?;
    let report = look(settings.model)?;
    if context.output.json {
        output::object(&report)?;
    } else {
        output::data(&text(&report))?;
    }
    Ok(Exit::Done)
}

fn look(model: Option<String>) -> Result<Report> {
    let home = Home::from_env()?;
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let models = installed(&home).into_iter().map(|model| Model {
        name: model.entry.name,
        bytes: model.bytes,
        verified: model.verified,
    });
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION"),
        processor: field(&cpuinfo, "model name").unwrap_or(env::consts::ARCH).to_owned(),
        features: features(),
        paths: Cpu::available().into_iter().map(Cpu::name).collect(),
        path: Cpu::best().name(),
        processors: thread::available_parallelism().map_or(1, NonZero::get),
        cores: n_cores(),
        memory_bytes: kilobytes(&meminfo, "MemTotal"),
        memory_available_bytes: Budget::left().n_bytes(),
        home_free_bytes: free_bytes(home.root()),
        packed_bytes: size_of_dir(&home.packed_dir()),
        home: home.root().to_owned(),
        model: model.unwrap_or_else(|| default_entry().name.to_owned()),
        models: models.collect(),
        engines: engine::all().unwrap_or_default(),
        engine_log: engine::log_path(),
        advice: Vec::new(),
    };
    report.advice = advise(&report);
    Ok(report)
}

/// What would make this machine faster or ready, most useful first.
fn advise(report: &Report) -> Vec<String> {
    let mut advice = Vec::new();
    let known = cerium_hub::find(&report.model);
    if known.is_some() && !report.models.iter().any(|model| model.name == report.model) {
        advice.push(format!("`cerium pull {}` fetches the model that commands use", report.model));
    }
    if known.is_none() && !Path::new(&report.model).is_file() {
        advice.push(format!(
            "`{}` is no model of the catalogue and no file: `cerium models` lists what there is",
            report.model
        ));
    }
    for model in report.models.iter().filter(|model| !model.verified) {
        advice.push(format!("`cerium pull {}` checks or mends its file", model.name));
    }
    match report.path {
        "scalar" => advice.push(
            "this processor has no AVX2, or the virtual machine hides it: the plain path is many \
             times slower"
                .into(),
        ),
        "avx2" => advice.push(
            "a processor with AVX-512 VNNI reads prompts several times faster than AVX2".into(),
        ),
        _ => {}
    }
    if report.cores == 1 {
        advice.push("a second core would nearly double the speed".into());
    }
    let needed = known.map_or(0, |entry| entry.bytes / 4 * 5);
    if report.memory_available_bytes.is_some_and(|free| free < needed) {
        advice.push(format!("{} needs about {} of free memory", report.model, bytes(needed)));
    }
    advice
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
    for advice in &report.advice {
        row("would help", advice.clone());
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

/// The first value of a `name : value` line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then_some(value.trim())
    })
}

fn kilobytes(meminfo: &str, name: &str) -> Option<u64> {
    field(meminfo, name)?.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Free bytes where a directory is, or will be.
fn free_bytes(dir: &Path) -> Option<u64> {
    let existing = dir.ancestors().find(|dir| dir.exists())?;
    let stat = rustix::fs::statvfs(existing).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

fn features() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! detected {
            ($($name:tt)*) => {
                [$(($name, is_x86_feature_detected!($name))),*]
                    .into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect()
            };
        }
        detected!("avx2" "fma" "f16c" "avxvnni" "avx512f" "avx512bw" "avx512vl" "avx512vnni" "avx512bf16")
    }
    #[cfg(not(target_arch = "x86_64"))]
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        let text = "MemTotal:       24689732 kB\nMemFree: 1 kB\n";
        assert_eq!(kilobytes(text, "MemTotal"), Some(24_689_732 * 1024));
        assert_eq!(kilobytes(text, "SwapTotal"), None);
    }
}
