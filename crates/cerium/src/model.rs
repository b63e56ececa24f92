//! Finding and loading the model that a command needs.

use crate::config::Settings;
use crate::failure::Declined;
use crate::interrupt;
use crate::output::progress::{PullBar, Spinner};
use crate::output::{self, Output, bytes};
use anyhow::{Context as _, Result};
use cerium_engine::{Engine, EngineOptions};
use cerium_hub::{Entry, Home, Located, Sources, default_entry};
use cerium_model::file::ModelFile;
use cerium_model::template::ChatTemplate;
use cerium_model::tokenizer::Tokenizer;
use cerium_model::{Cpu, Model};
use cerium_session::Service;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

/// Finds the model of the settings, fetches it if need be, and loads it.
///
/// # Errors
/// [`Declined`] when the person does not want it fetched.
pub(crate) fn open(output: Output, settings: &Settings) -> Result<Service> {
    let (name, path) = find(output, settings)?;
    let _spinner = Spinner::start(output, format!("loading {name}"));
    load(name, &path, n_threads(output, settings.threads))
        .with_context(|| format!("loading `{}`", path.display()))
}

/// The same without anything around it, for measuring.
///
/// # Errors
/// As [`open`].
pub(crate) fn open_bare(output: Output, settings: &Settings) -> Result<(String, Model)> {
    let (name, path) = find(output, settings)?;
    let _spinner = Spinner::start(output, format!("loading {name}"));
    let load =
        || Model::load(ModelFile::open(&path)?, Cpu::best(), n_threads(output, settings.threads));
    let model = load().with_context(|| format!("loading `{}`", path.display()))?;
    Ok((name, model))
}

/// Name and file of the model of the settings.
fn find(output: Output, settings: &Settings) -> Result<(String, PathBuf)> {
    let asked = settings.model.as_deref().unwrap_or(default_entry().name);
    let home = Home::from_env()?;
    let path = match cerium_hub::resolve(&home, asked)? {
        Located::Ready(path) => path,
        Located::Absent(entry) => offer(output, &home, entry)?,
    };
    let name = match cerium_hub::find(asked) {
        Some(entry) => entry.name.to_owned(),
        None => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
    };
    Ok((name, path))
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

fn load(name: String, path: &Path, n_threads: usize) -> Result<Service> {
    let file = ModelFile::open(path)?;
    let tokenizer = Tokenizer::from_gguf(&file.gguf)?;
    let template = ChatTemplate::from_gguf(&file.gguf, &tokenizer)?;
    let model = Model::load(file, Cpu::best(), n_threads)?;
    let options = EngineOptions::default();
    let n_context = match options.n_context {
        0 => model.config().n_context,
        n => n.min(model.config().n_context),
    };
    let engine = Engine::start(model, options);
    Ok(Service::new(name, Arc::new(tokenizer), Arc::new(template), n_context, engine))
}

/// Threads to compute with: one per core this process may use, and never more, because members of
/// a team that share a core wait for each other.
pub(crate) fn n_threads(output: Output, asked: Option<u16>) -> usize {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    match asked {
        Some(n) if usize::from(n) > cores => {
            output.note(format!("{n} threads were asked for, using the {cores} there are"));
            cores
        }
        Some(n) => usize::from(n),
        None => cores,
    }
}
