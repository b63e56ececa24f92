//! Finding and loading the model that a command needs.

use crate::cli::Kv;
use crate::config::{CACHE_BYTES, Settings};
use crate::failure::Declined;
use crate::interrupt;
use crate::output::progress::{PullBar, Spinner};
use crate::output::{self, Output, bytes};
use anyhow::{Context as _, Result};
use cerium_engine::store::StoreOptions;
use cerium_engine::{Engine, EngineOptions};
use cerium_hub::{Entry, Home, HubError, Located, Sources, default_entry};
use cerium_kernels::n_cores;
use cerium_model::file::ModelFile;
use cerium_model::template::ChatTemplate;
use cerium_model::tokenizer::Tokenizer;
use cerium_model::{Budget, Config, Costs, Cpu, KvCache, KvFormat, Model, Packing};
use cerium_session::Service;
use std::io;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

/// A context that cannot hold this many tokens is no use.
const CONTEXT_LEAST: usize = 2048;

/// Finds the model of the settings, fetches it if need be, and loads it.
///
/// # Errors
/// [`Declined`] when the person does not want it fetched.
pub(crate) fn open(output: Output, settings: &Settings) -> Result<Service> {
    let found = find(output, settings)?;
    Ok(open_found(output, settings, &found, &|| false)?.service())
}

/// The same with its engine at hand, which remembers nothing from one job to the next.
///
/// # Errors
/// As [`open`].
pub(crate) fn open_forgetful(output: Output, settings: &Settings) -> Result<Loaded> {
    let options =
        EngineOptions { keeps_prefixes: false, n_remembered_max: 0, ..EngineOptions::default() };
    let found = find(output, settings)?;
    load_shown(output, settings, &found, &options, &|| false)
}

/// The same with an engine that remembers, but nothing of earlier processes.
///
/// # Errors
/// As [`open`].
pub(crate) fn open_remembering(output: Output, settings: &Settings) -> Result<Loaded> {
    let found = find(output, settings)?;
    load_shown(output, settings, &found, &EngineOptions::default(), &|| false)
}

/// The same with an engine that keeps computed prompts in a directory of its own.
///
/// # Errors
/// As [`open`].
pub(crate) fn open_keeping(output: Output, settings: &Settings, dir: PathBuf) -> Result<Loaded> {
    let found = find(output, settings)?;
    let options =
        EngineOptions { store: Some(store(output, dir, CACHE_BYTES)), ..EngineOptions::default() };
    load_shown(output, settings, &found, &options, &|| false)
}

/// Loads a model that was found, making `room` as [`load`] does.
///
/// # Errors
/// What is wrong with the model, or with the machine for it.
pub(crate) fn open_found(
    output: Output,
    settings: &Settings,
    found: &Found,
    room: &dyn Fn() -> bool,
) -> Result<Loaded> {
    load_shown(output, settings, found, &keeping(output, settings)?, room)
}

/// An engine that keeps computed prompts where it may.
///
/// # Errors
/// When the environment names no home.
pub(crate) fn keeping(output: Output, settings: &Settings) -> Result<EngineOptions> {
    let keep = |bytes_max| Ok::<_, HubError>(store(output, Home::from_env()?.kv_dir(), bytes_max));
    let store = settings.kept().map(keep).transpose()?;
    Ok(EngineOptions { store, ..EngineOptions::default() })
}

fn store(output: Output, dir: PathBuf, bytes_max: u64) -> StoreOptions {
    let name = dir.display().to_string();
    let on_trouble = move |error: &io::Error| {
        let what = format!("computed prompts cannot be kept in `{name}` ({error})");
        // Who has no terminal has a log.
        if output.quiet { tracing::warn!("{what}") } else { output.note(what) }
    };
    StoreOptions { dir, bytes_max, on_trouble: Arc::new(on_trouble) }
}

fn load_shown(
    output: Output,
    settings: &Settings,
    found: &Found,
    options: &EngineOptions,
    room: &dyn Fn() -> bool,
) -> Result<Loaded> {
    show(output, found, || {
        let loaded = load(settings, found, options, room)?;
        let notes = loaded.notes.clone();
        Ok((loaded, notes))
    })
}

/// Loads with a spinner, and tells what there is to tell.
fn show<T>(
    output: Output,
    found: &Found,
    load: impl FnOnce() -> Result<(T, Vec<String>)>,
) -> Result<T> {
    let spinner = Spinner::start(output, format!("loading {}", found.name));
    let (loaded, notes) = load().with_context(|| found.loading())?;
    drop(spinner);
    output.notes(&notes);
    Ok(loaded)
}

/// A model with everything that it takes to answer.
pub(crate) struct Loaded {
    pub(crate) name: String,
    pub(crate) engine: Engine,
    pub(crate) tokenizer: Arc<Tokenizer>,
    /// What a person should know about how it was loaded.
    pub(crate) notes: Vec<String>,
    /// What a token costs, and what it is computed with.
    pub(crate) costs: Costs,
    pub(crate) cpu: Cpu,
    pub(crate) n_threads: usize,
    template: Arc<ChatTemplate>,
}

impl Loaded {
    pub(crate) fn service(&self) -> Service {
        let (tokenizer, template) = (Arc::clone(&self.tokenizer), Arc::clone(&self.template));
        let (engine, n_context) = (self.engine.clone(), self.engine.n_context());
        Service::new(self.name.clone(), tokenizer, template, n_context, engine)
    }
}

/// The same without anything around it, for measuring.
///
/// # Errors
/// As [`open`].
pub(crate) fn open_bare(output: Output, settings: &Settings) -> Result<(String, Model)> {
    let found = find(output, settings)?;
    let model = show(output, &found, || {
        let (file, mut notes) = (found.file()?, Vec::new());
        space(settings, &file, &|| false, &mut notes)?;
        Ok((load_weights(settings, file, &mut notes)?, notes))
    })?;
    Ok((found.name, model))
}

/// A model on this machine.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    /// Where its packed weights are kept.
    packed_dir: PathBuf,
    /// Its hash, if it is known by name: it was checked.
    sha256: Option<&'static str>,
}

impl Found {
    /// Whether the catalogue has it.
    pub(crate) fn is_known(&self) -> bool {
        self.sha256.is_some()
    }

    /// What is done while an error comes up.
    pub(crate) fn loading(&self) -> String {
        format!("loading `{}`", self.path.display())
    }

    fn file(&self) -> Result<ModelFile> {
        Ok(ModelFile::open(&self.path)?.keep_packed(&self.packed_dir, self.sha256))
    }
}

/// The model of the settings, fetched if need be.
///
/// # Errors
/// As [`open`].
pub(crate) fn find(output: Output, settings: &Settings) -> Result<Found> {
    let asked = settings.model.as_deref().unwrap_or(default_entry().name);
    let home = Home::from_env()?;
    let path = match cerium_hub::resolve(&home, asked)? {
        Located::Ready(path) => path,
        Located::Absent(entry) => offer(output, &home, entry)?,
    };
    let (name, sha256) = match cerium_hub::find(asked) {
        Some(entry) => (entry.name.to_owned(), Some(entry.sha256)),
        None => (path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), None),
    };
    Ok(Found { name, path, packed_dir: home.packed_dir(), sha256 })
}

/// Fetches a model after asking, or at once when there is nobody to ask.
fn offer(output: Output, home: &Home, entry: &'static Entry) -> Result<PathBuf> {
    let what = format!("{} ({}) is not here yet", entry.name, bytes(entry.bytes));
    match output::confirm(&format!("{what}. Fetch it now?"), true) {
        Ok(true) => {}
        Ok(false) => return Err(Declined(what).into()),
        Err(_) => output.note(format!("{what}, fetching it")),
    }
    fetch(output, home, entry)
}

/// Downloads a model, showing how far it is.
pub(crate) fn fetch(output: Output, home: &Home, entry: &'static Entry) -> Result<PathBuf> {
    let _deferred = interrupt::defer();
    let mut bar = PullBar::new(output, entry.name);
    Ok(cerium_hub::pull(home, entry, &Sources::from_env(), &mut bar)?)
}

/// Loads a model. Where memory is short, `room` is asked to make some, until it says that there is no
/// more to be had.
///
/// # Errors
/// What is wrong with the model, or with the machine for it.
pub(crate) fn load(
    settings: &Settings,
    found: &Found,
    options: &EngineOptions,
    room: &dyn Fn() -> bool,
) -> Result<Loaded> {
    let mut notes = Vec::new();
    let file = found.file()?;
    let tokenizer = Tokenizer::from_gguf(&file.gguf)?;
    let template = ChatTemplate::from_gguf(&file.gguf, &tokenizer)?;
    let Space { n_context, kv_bytes_max } = space(settings, &file, room, &mut notes)?;
    let model = load_weights(settings, file, &mut notes)?;
    let (costs, cpu, n_threads) = (model.costs(), model.cpu(), model.n_threads());
    let kv = format(settings);
    let options = EngineOptions { n_context, kv, kv_bytes_max, ..options.clone() };
    let engine = Engine::start(model, options);
    let (tokenizer, template) = (Arc::new(tokenizer), Arc::new(template));
    let name = found.name.clone();
    Ok(Loaded { name, engine, tokenizer, notes, costs, cpu, n_threads, template })
}

/// What there is memory for.
struct Space {
    /// Tokens of a sequence: those asked for, or as many of the model's own as fit.
    n_context: usize,
    /// Keys and values of all sequences: what was allowed; else half of what is free, because other
    /// programs want memory later, but one sequence in any case.
    kv_bytes_max: usize,
}

fn space(
    settings: &Settings,
    file: &ModelFile,
    room: &dyn Fn() -> bool,
    notes: &mut Vec<String>,
) -> Result<Space> {
    let config = Config::from_gguf(&file.gguf)?;
    let wanted = settings.context.unwrap_or(config.n_context);
    config.reach(wanted)?;
    let least = settings.context.unwrap_or(wanted.min(CONTEXT_LEAST));
    let n_tokens = loop {
        let left = Budget::left();
        let budget = left.at_most(settings.memory.unwrap_or(u64::MAX));
        let fits = budget.n_tokens(file, &config, format(settings), least);
        let enough = fits.as_ref().is_ok_and(|&n| n >= wanted);
        // What others hold is of no use to a model that may not have more.
        if enough || budget != left || !room() {
            break fits?;
        }
    };
    if n_tokens < wanted {
        notes.push(format!("there is memory for {n_tokens} of {wanted} tokens of context"));
    }
    let n_context = n_tokens.min(wanted);
    let n_kept = match (settings.memory, Budget::left().n_bytes()) {
        (Some(_), _) => n_tokens,
        (None, Some(_)) => n_context.max(n_tokens / 2),
        (None, None) => 4 * n_context,
    };
    let kv_bytes_max = KvCache::n_bytes(&config, format(settings), n_kept);
    Ok(Space { n_context, kv_bytes_max })
}

fn load_weights(settings: &Settings, file: ModelFile, notes: &mut Vec<String>) -> Result<Model> {
    let model = Model::load(file, Cpu::best(), n_threads(settings.threads, notes))?;
    if let Packing::NotKept { dir, source } = model.packing() {
        notes.push(format!(
            "packed weights cannot be kept in `{}` ({source}): every start packs them anew",
            dir.display()
        ));
    }
    Ok(model)
}

/// How keys and values are stored.
pub(crate) fn format(settings: &Settings) -> KvFormat {
    match settings.kv {
        Some(Kv::Q8) => KvFormat::Q8,
        Some(Kv::F16) | None => KvFormat::F16,
    }
}

/// Threads to compute with: one per core that this process may use, unless told otherwise, and never more
/// than it has processors, because members of a team that share one wait for each other.
pub(crate) fn n_threads(asked: Option<u16>, notes: &mut Vec<String>) -> usize {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    match asked {
        Some(n) if usize::from(n) > processors => {
            notes.push(format!("{n} threads were asked for, using the {processors} there are"));
            processors
        }
        Some(n) => usize::from(n),
        None => n_cores(),
    }
}
