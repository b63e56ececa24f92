//! `cerium serve`: the server in this process.

use super::keys as access;
use super::{Context, Exit};
use crate::cli::{Listen, LogFormat, Serve};
use crate::config::{Settings, Size, StoreTable, TlsTable};
use crate::delegate::upstreams;
use crate::failure::advice;
use crate::output::{self, BOLD};
use crate::{config, engine, interrupt, page};
use anyhow::Result;
use cerium_harness::workspace::StateHome;
use cerium_server::{
    Doors, KeyOptions, Place, Public, Reload, Retention, ServerOptions, Site, StoreError,
    StoreOptions, Tls,
};
use serde_json::json;
use std::env;
use std::error::Error;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use tracing::level_filters::LevelFilter;

const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8383);

pub(crate) fn run(context: &Context, args: &Serve) -> Result<Exit> {
    // A server serves whoever asks, from whatever tree: only the person's own settings count.
    let settings = config::load(None, &context.flags)?;
    let listen = args.listen.clone().or(settings.listen.clone());
    let listen = listen.unwrap_or(Listen::At(LISTEN_DEFAULT));
    let mut options = options(&settings, args, &listen)?;
    // Before the model is loaded: a port in use should not take seconds to be noticed.
    let public = match &listen {
        Listen::At(address) => Public::bind(*address),
        Listen::Unix(path) => Public::bind_unix(path, options.keys.is_some()),
    };
    let public = public.map_err(|error| refused(&listen, error))?;
    let at = public.name();
    let (loaded, private) = engine::open_public(context.output, &settings, at.clone())?;
    let service = loaded.service();
    let service = if settings.guided { service.guided() } else { service };
    let name = &service.model().name;
    tell_apart(&options, name)?;
    options.reload = Some(reload(context, args, &listen, name));
    log(context.output.quiet, args.log_format);
    if context.output.json {
        output::object(&json!({ "address": at, "model": service.model().name }))?;
    } else {
        let name = &service.model().name;
        let at = match (&listen, &options.tls) {
            (Listen::Unix(_), _) => at,
            (_, Some(_)) => format!("https://{at}/v1"),
            (_, None) => format!("http://{at}/v1"),
        };
        context.output.note(format!("serving {BOLD}{name}{BOLD:#} at {at}, Ctrl-C ends it"));
    }
    options.page = page::router(&loaded);
    interrupt::hand_over();
    let doors = Doors { public: Some(public), private };
    cerium_server::run(doors, service, options).map_err(|error| {
        if error.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<StoreError>) {
            unusable(&error)
        } else {
            anyhow::Error::new(error).context("serving")
        }
    })?;
    Ok(Exit::Done)
}

/// What the server allows.
fn options(settings: &Settings, args: &Serve, listen: &Listen) -> Result<ServerOptions> {
    let sites = settings.cors.iter().map(|site| site.parse::<Site>());
    let cors = sites.collect::<Result<_, _>>().map_err(|error| {
        advice(error, "`cors` under [serve] in config.toml names sites one by one, without `*`")
    })?;
    Ok(ServerOptions {
        keys: keys(settings, args, listen)?,
        tls: settings.tls.as_ref().map(tls).transpose()?,
        store: store(&settings.store, args)?,
        traces: settings.traces.clone(),
        upstreams: upstreams(settings)?,
        cors,
        ..ServerOptions::default()
    })
}

/// Sees that a name does not stand for the model of this process and for one elsewhere.
fn tell_apart(options: &ServerOptions, name: &str) -> Result<()> {
    if !options.upstreams.as_ref().is_some_and(|upstreams| upstreams.serve(name)) {
        return Ok(());
    }
    let hint = "give the upstream's model another name: models = { OTHER = \"NAME\" }";
    Err(advice(format!("`{name}` is served here and by an upstream"), hint))
}

/// Reads the same again, beside a model of this name.
fn reload(context: &Context, args: &Serve, listen: &Listen, name: &str) -> Reload {
    let (flags, args, listen) = (context.flags.clone(), args.clone(), listen.clone());
    let name = name.to_owned();
    Reload::new(move || {
        let read = || {
            let options = options(&config::load(None, &flags)?, &args, &listen)?;
            tell_apart(&options, &name)?;
            anyhow::Ok(options)
        };
        read().map_err(|error| io::Error::other(output::chain(&error)))
    })
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
fn keys(settings: &Settings, args: &Serve, listen: &Listen) -> Result<Option<KeyOptions>> {
    let far = match listen {
        Listen::At(address) => Some(address).filter(|address| !address.ip().is_loopback()),
        Listen::Unix(_) => None,
    };
    if far.is_none() && !args.keys && !settings.keys {
        return Ok(None);
    }
    let options = access::options(settings, args.store.as_ref())?;
    if !access::any(&options)? {
        return Err(advice(
            match far {
                Some(address) => {
                    format!("there is no key, and who asks at {address} must have one")
                }
                None => "there is no key, and who asks must have one".to_owned(),
            },
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

fn refused(listen: &Listen, error: io::Error) -> anyhow::Error {
    let kind = error.kind();
    let (at, hint) = match listen {
        Listen::At(address) => (
            address.to_string(),
            "another server has this port: choose one with --listen 127.0.0.1:PORT",
        ),
        Listen::Unix(path) => {
            (path.display().to_string(), "another server, or a file, is there: choose another path")
        }
    };
    let error = anyhow::Error::new(error).context(format!("listening on {at}"));
    if kind == ErrorKind::AddrInUse { advice(format!("{error:#}"), hint) } else { error }
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
