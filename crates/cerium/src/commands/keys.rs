//! `cerium keys`: who may ask a server that asks for keys.

use super::serve::place;
use super::{Context, Exit};
use crate::cli::{Keys, KeysAction};
use crate::config::{self, Settings};
use crate::failure::advice;
use crate::output::{self, BOLD, DIM};
use anyhow::{Context as _, Result};
use cerium_server::{Key, KeyOptions, Limits, Store, StoreError, StoreOptions};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) fn run(context: &Context, args: &Keys) -> Result<Exit> {
    let settings = config::load(None, &context.flags)?;
    let options = options(&settings, args.store.as_ref())?;
    match &args.action {
        KeysAction::Create { name, tier } => create(context, &options, name, tier),
        KeysAction::List => list(context, &options),
        KeysAction::Revoke { id } => revoke(context, &options, id),
    }
}

/// Where keys are, and what they are good for.
pub(super) fn options(settings: &Settings, store: Option<&String>) -> Result<KeyOptions> {
    let store = StoreOptions::new(place(&settings.store, store)?);
    let limits = |(name, tier): (&String, &config::TierTable)| {
        let limits = Limits {
            requests_per_minute: tier.requests_per_minute,
            tokens_per_minute: tier.tokens_per_minute,
            concurrency: tier.concurrency,
            weight: tier.weight,
        };
        (name.clone(), limits)
    };
    let tiers: BTreeMap<_, _> = settings.tiers.iter().map(limits).collect();
    Ok(KeyOptions { store, tiers })
}

/// Whether there is a key that opens something.
pub(super) fn any(options: &KeyOptions) -> Result<bool> {
    let keys = with(options, async |store| store.keys().await)?;
    Ok(keys.iter().any(|key| key.revoked_at.is_none()))
}

fn create(context: &Context, options: &KeyOptions, name: &str, tier: &str) -> Result<Exit> {
    if options.limits(tier).is_none() {
        let known: Vec<_> = options.tiers.keys().map(String::as_str).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(advice(
            format!("there is no tier `{tier}`"),
            format!("tiers are [tiers.NAME] in your config.toml; there: {known}"),
        ));
    }
    let (key, secret) = with(options, async |store| store.create_key(name, tier, now()).await)?;
    if context.output.json {
        let mut object = object(&key);
        object["key"] = secret.reveal().into();
        output::object(&object)?;
    } else {
        output::data(&format!("{}\n", secret.reveal()))?;
        context
            .output
            .note(format!("the key is shown only now; `cerium keys revoke {}` ends it", key.id));
    }
    Ok(Exit::Done)
}

fn list(context: &Context, options: &KeyOptions) -> Result<Exit> {
    let keys = with(options, async |store| store.keys().await)?;
    if context.output.json {
        output::object(&json!({ "keys": keys.iter().map(object).collect::<Vec<_>>() }))?;
        return Ok(Exit::Done);
    }
    for key in &keys {
        let days = (now() - key.created_at) / (24 * 3600);
        let state = if key.revoked_at.is_some() { ", revoked" } else { "" };
        output::data(&format!(
            "{BOLD}{}{BOLD:#}  {:<20} {:<12} {DIM}{days} days old{state}{DIM:#}\n",
            key.id, key.name, key.tier
        ))?;
    }
    if keys.is_empty() {
        context.output.note("no keys; `cerium keys create NAME` makes one");
    }
    Ok(Exit::Done)
}

fn revoke(context: &Context, options: &KeyOptions, id: &str) -> Result<Exit> {
    if !with(options, async |store| store.revoke_key(id, now()).await)? {
        return Err(advice(
            format!("`{id}` is no key that opens anything"),
            "`cerium keys list` shows what there is; a key goes by its first 16 characters",
        ));
    }
    if context.output.json {
        output::object(&json!({ "revoked": id }))?;
    } else {
        context.output.note("revoked; servers that run notice within seconds");
    }
    Ok(Exit::Done)
}

fn object(key: &Key) -> Value {
    json!({
        "id": key.id,
        "name": key.name,
        "tier": key.tier,
        "created_at": key.created_at,
        "revoked_at": key.revoked_at,
    })
}

/// Does something with the store that keys are in.
fn with<T>(
    options: &KeyOptions,
    work: impl AsyncFnOnce(&Store) -> Result<T, StoreError>,
) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    runtime.block_on(async {
        let store = Store::open(options.store.clone()).await?;
        let done = work(&store).await;
        store.close().await;
        done.context("looking after keys")
    })
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}
