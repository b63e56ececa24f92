//! `cerium cache`: what is kept of prompts on disk.

use super::{Context, Exit};
use crate::cli::{Cache, CacheAction};
use crate::config;
use crate::output::{self, BOLD, DIM, bytes};
use anyhow::{Context as _, Result};
use cerium_engine::store::{Kept, clear, kept};
use cerium_hub::{Home, catalogue};
use serde_json::json;
use std::time::UNIX_EPOCH;

/// Digits that tell a model from others.
const DIGITS: usize = 12;

pub(crate) fn run(context: &Context, args: &Cache) -> Result<Exit> {
    let dir = Home::from_env()?.kv_dir();
    if let Some(CacheAction::Clear) = args.action {
        let freed = clear(&dir, "").with_context(|| format!("clearing `{}`", dir.display()))?;
        if context.output.json {
            output::object(&json!({ "freed_bytes": freed }))?;
        } else {
            context.output.note(format!("{} freed", bytes(freed)));
        }
        return Ok(Exit::Done);
    }
    let settings = config::load(None, &context.flags)?;
    let (persist, bytes_max) = (settings.kept().is_some(), settings.kept().unwrap_or(0));
    let kept = kept(&dir);
    let n_bytes: u64 = kept.iter().map(|kept| kept.n_bytes).sum();
    if context.output.json {
        let models = kept.iter().map(|kept| {
            let oldest = kept.oldest.duration_since(UNIX_EPOCH).unwrap_or_default();
            json!({
                "model": model(kept),
                "name": kept.name,
                "entries": kept.n_pages,
                "bytes": kept.n_bytes,
                "oldest_unix_s": oldest.as_secs(),
            })
        });
        output::object(&json!({
            "path": dir,
            "persist": persist,
            "bytes": n_bytes,
            "bytes_max": bytes_max,
            "models": models.collect::<Vec<_>>(),
        }))?;
        return Ok(Exit::Done);
    }
    let bound = if persist {
        format!("of at most {}", bytes(bytes_max))
    } else {
        "and nothing is added,".to_owned()
    };
    let place = dir.display();
    output::data(&format!("{BOLD}{}{BOLD:#} {bound} in {DIM}{place}{DIM:#}\n", bytes(n_bytes)))?;
    for kept in &kept {
        let hours = kept.oldest.elapsed().unwrap_or_default().as_secs() / 3600;
        output::data(&format!(
            "{:<20} {:>8} in {:>5} pages of 64 tokens, the oldest unused for {hours} h\n",
            model(kept),
            bytes(kept.n_bytes),
            kept.n_pages,
        ))?;
    }
    Ok(Exit::Done)
}

/// A name of the catalogue, or what tells a file from others.
fn model(kept: &Kept) -> String {
    let entry = catalogue().iter().find(|entry| kept.name.starts_with(entry.sha256));
    let digits = || kept.name.chars().take(DIGITS).collect();
    entry.map_or_else(digits, |entry| entry.name.to_owned())
}
