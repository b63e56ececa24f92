//! `cerium pull`, `cerium models`, `cerium rm`.

use super::{Context, Exit};
use crate::cli::{Pull, Rm};
use crate::failure::advice;
use crate::output::{self, BOLD, DIM, GREEN, bytes, progress};
use crate::{config, engine, model};
use anyhow::{Result, bail};
use cerium_engine::store::clear;
use cerium_hub::{Home, Installed, catalogue, default_entry, find};
use serde_json::json;
use std::fs;

pub(crate) fn pull(context: &Context, args: &Pull) -> Result<Exit> {
    // `--model` says the same thing; a name that was set is only a default.
    let named = match &args.name {
        Some(name) => Some(name.clone()),
        None => config::load(None, &context.flags)?.model,
    };
    let entry = match named.as_deref() {
        None => default_entry(),
        Some(name) => match find(name) {
            Some(entry) => entry,
            None if fs::metadata(name).is_ok_and(|meta| meta.is_file()) => {
                return Err(advice(
                    format!("`{name}` is a file, there is nothing to pull"),
                    format!("use it as it is: `--model {name}`"),
                ));
            }
            // The error with all the names.
            None => match cerium_hub::resolve(&Home::from_env()?, name) {
                Err(error) => return Err(error.into()),
                Ok(_) => bail!("`{name}` appeared just now"),
            },
        },
    };
    let home = Home::from_env()?;
    let path = model::fetch(context.output, &home, entry)?;
    if context.output.json {
        output::object(&json!({
            "model": entry.name,
            "path": path,
            "bytes": entry.bytes,
            "sha256": entry.sha256,
        }))?;
    } else {
        context.output.note(progress::pulled(entry.name, entry.bytes, &path));
    }
    Ok(Exit::Done)
}

pub(crate) fn list(context: &Context) -> Result<Exit> {
    let installed = cerium_hub::installed(&Home::from_env()?);
    let here = |name: &str| installed.iter().find(|model| model.entry.name == name);
    let engines = engine::all().unwrap_or_default();
    let loaded = |name: &str| engines.iter().any(|engine| engine.model.name == name);
    if context.output.json {
        let models: Vec<_> = catalogue()
            .iter()
            .map(|entry| {
                let here = here(entry.name);
                json!({
                    "name": entry.name,
                    "file": entry.file,
                    "bytes": entry.bytes,
                    "sha256": entry.sha256,
                    "default": entry.default,
                    "installed": here.is_some(),
                    "loaded": loaded(entry.name),
                    "packed_bytes": here.map(|model| model.packed_bytes),
                    "verified": here.is_some_and(|model| model.verified),
                    "path": here.map(|model| &model.path),
                })
            })
            .collect();
        output::object(&json!({ "models": models }))?;
        return Ok(Exit::Done);
    }
    let width = catalogue().iter().map(|entry| entry.name.len()).max().unwrap_or(0);
    for entry in catalogue() {
        let (style, state) =
            if loaded(entry.name) { (GREEN, "loaded") } else { state(here(entry.name)) };
        let about = if entry.default {
            format!("{}, the default", entry.about)
        } else {
            entry.about.into()
        };
        output::data(&format!(
            "{BOLD}{:width$}{BOLD:#}  {:>6}  {style}{state:<12}{style:#}  {about}\n",
            entry.name,
            bytes(entry.bytes),
        ))?;
    }
    Ok(Exit::Done)
}

fn state(here: Option<&Installed>) -> (anstyle::Style, &'static str) {
    match here {
        None => (DIM, "not here"),
        Some(model) if model.bytes != model.entry.bytes => (DIM, "damaged"),
        Some(model) if !model.verified => (DIM, "unchecked"),
        Some(_) => (GREEN, "installed"),
    }
}

pub(crate) fn remove(context: &Context, args: &Rm) -> Result<Exit> {
    let home = Home::from_env()?;
    let mut freed = cerium_hub::remove(&home, &args.name)?;
    // What was computed with it is of no use without it.
    if let Some(entry) = find(&args.name) {
        freed += clear(&home.kv_dir(), entry.sha256)?;
    }
    // The bytes are free once nobody has them mapped. Where no engine can be met, none has.
    let _ = engine::stop(|engine| engine.model.name == args.name);
    if context.output.json {
        output::object(&json!({ "model": args.name, "freed_bytes": freed }))?;
    } else {
        context.output.note(format!("removed {}, {} freed", args.name, bytes(freed)));
    }
    Ok(Exit::Done)
}
