//! `cerium serve`: the server in this process.

use super::keys as access;
use super::{Context, Exit};
use crate::cli::{LogFormat, Serve};
use crate::config::{Settings, Size, StoreTable, TlsTable};
use crate::failure::advice;
use crate::output::{self, BOLD};
use crate::{config, engine, interrupt};
use anyhow::{Context as _, Result};
use cerium_harness::workspace::StateHome;
use cerium_server::{
    Doors, KeyOptions, Place, Retention, ServerOptions, StoreError, StoreOptions, Tls,
};
use serde_json::json;
use std::env;
use std::error::Error;
use std::io::{self, ErrorKind};
use std::mem;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use tracing::level_filters::LevelFilter;

const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8383);

pub(crate) fn run(context: &Context, args: &Serve) -> Result<Exit> {
    // A server serves whoever asks, from whatever tree: only the person's own settings count.
    let settings = config::load(None, &context.flags)?;
    let address = args.listen.or(settings.listen).unwrap_or(LISTEN_DEFAULT);
    let keys = keys(&settings, args, address)?;
    let tls = settings.tls.as_ref().map(tls).transpose()?;
    // Before the model is loaded: a port in use should not take seconds to be noticed.
    let listener = TcpListener::bind(address).map_err(|error| refused(address, error))?;
    let address = listener.local_addr().context("finding the address")?;
    let store = store(&settings.store, args)?;
    let (loaded, private) = engine::open_public(context.output, &settings, address)?;
    let service = loaded.service();
    log(context.output.quiet, args.log_format);
    if context.output.json {
        output::object(&json!({ "address": address.to_string(), "model": service.model().name }))?;
    } else {
        let name = &service.model().name;
        let scheme = if tls.is_some() { "https" } else { "http" };
        context.output.note(format!(
            "serving {BOLD}{name}{BOLD:#} at {scheme}://{address}/v1, Ctrl-C ends it"
        ));
    }
    // The server takes the signals itself, so that answers in progress may end. They stay its own
    // to the end of the process: what else hears of the last one may be late.
    mem::forget(interrupt::defer());
    let doors = Doors { public: Some(listener), private };
    let options = ServerOptions { store, keys, tls, ..ServerOptions::default() };
    cerium_server::run(doors, service, options).map_err(|error| {
        if error.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<StoreError>) {
            unusable(&error)
        } else {
            anyhow::Error::new(error).context("serving")
        }
    })?;
    Ok(Exit::Done)
}

/// Where responses are kept, unless nowhere.
fn store(table: &StoreTable, args: &Serve) -> Result<Option<StoreOptions>> {
    if args.no_store || table.enabled == Some(false) && args.store.is_none() {
        return Ok(None);
    }
    let place = place(table, args.store.as_ref())?;
    let usual = Retention::default();
    let retention = Retention {
        age_max: table.days.map_or(usual.age_max, |days| i64::from(days) * 24 * 3600),
        n_max: table.responses.unwrap_or(usual.n_max),
        bytes_max: table.size.map_or(usual.bytes_max, |Size(bytes)| bytes),
    };
    Ok(Some(StoreOptions { retention, ..StoreOptions::new(place) }))
}

/// Where a store is: as typed, as set, or under the state directory.
pub(super) fn place(table: &StoreTable, typed: Option<&String>) -> Result<Place> {
    if let Some(text) = typed.or(table.url.as_ref()) {
        return Ok(Place::parse(text));
    }
    let home = StateHome::from_env().map_err(|error| {
        advice(error.to_string(), "name a file with --store, or keep none: --no-store")
    })?;
    Ok(Place::File(home.root().join("store.sqlite")))
}

/// Which keys are asked for: where other machines can reach the address, always some.
fn keys(settings: &Settings, args: &Serve, address: SocketAddr) -> Result<Option<KeyOptions>> {
    if address.ip().is_loopback() && !args.keys && !settings.keys {
        return Ok(None);
    }
    let options = access::options(settings, args.store.as_ref())?;
    if !access::any(&options)? {
        return Err(advice(
            format!("there is no key, and who asks at {address} must have one"),
            "make one with `cerium keys create NAME`, or listen where only this machine comes: \
             --listen 127.0.0.1:8383",
        ));
    }
    Ok(Some(options))
}

/// By what certificate the server is known.
fn tls(table: &TlsTable) -> Result<Tls> {
    let tls = Tls { cert: table.cert.clone(), key: table.key.clone() };
    tls.check().map_err(|error| {
        let hint =
            "`cert` and `key` under [serve.tls] in config.toml name PEM files that belong together";
        advice(error.to_string(), hint)
    })?;
    Ok(tls)
}

fn unusable(error: &io::Error) -> anyhow::Error {
    let hint = "put the store aside (docs/server.md), name another one with --store, or keep nothing: \
                --no-store";
    advice(error.to_string(), hint)
}

fn refused(address: SocketAddr, error: io::Error) -> anyhow::Error {
    let kind = error.kind();
    let error = anyhow::Error::new(error).context(format!("listening on {address}"));
    if kind == ErrorKind::AddrInUse {
        return advice(
            format!("{error:#}"),
            "another server has this port: choose one with --listen 127.0.0.1:PORT",
        );
    }
    error
}

/// The server's log goes to standard error; it never holds text of prompts or answers.
fn log(quiet: bool, format: LogFormat) {
    let level = if quiet { LevelFilter::ERROR } else { LevelFilter::INFO };
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(io::stderr);
    match format {
        LogFormat::Json => log.json().flatten_event(true).init(),
        LogFormat::Text => {
            let is_shown = io::IsTerminal::is_terminal(&io::stderr());
            log.with_ansi(env::var_os("NO_COLOR").is_none() && is_shown).init();
        }
    }
}
