//! Bounds and names of a server.

use crate::cors::Site;
use crate::tls::Tls;
use axum::Router;
use cerium_store::StoreOptions;
use cerium_upstream::Upstreams;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// What a server allows. The defaults suit one person's machine.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Names by which clients may address this server, beside `localhost` and IP addresses.
    pub host_names: Vec<String>,
    /// Where responses are kept; `None`: nowhere.
    pub store: Option<StoreOptions>,
    /// Keys that are asked for; `None`: whoever reaches the server may ask.
    pub keys: Option<KeyOptions>,
    /// By what certificate the public door is known; `None`: what is said there can be read on the way.
    pub tls: Option<Tls>,
    /// Where a collector of traces is, by its URL for OTLP over HTTP; `None`: nobody is told.
    pub traces: Option<String>,
    /// Sites whose pages may use the public door beside its own; browsers of this machine are not let in
    /// for any other.
    pub cors: Vec<Site>,
    /// How options are read anew at SIGHUP; `None`: they stay as they are.
    pub reload: Option<Reload>,
    /// What the public door serves beside the protocols: handlers that take a [`Caller`](crate::Caller). Its files, `/`
    /// and what is below `/assets/`, are served without a key.
    pub page: Router,
    /// Engines elsewhere, and the models that they serve.
    pub upstreams: Option<Upstreams>,
    /// Longest body of a request, in bytes.
    pub body_bytes_max: usize,
    /// Connections open at once; further ones wait in the system's backlog.
    pub n_connections_max: usize,
    /// How long a connection may be idle, or take to send the head of a request.
    pub idle_max: Duration,
    /// How long a client may take to send the body of a request.
    pub upload_max: Duration,
    /// How long a client may leave a full stream unread before its request is cancelled.
    pub unread_max: Duration,
    /// How long a WebSocket lives.
    pub socket_lifetime_max: Duration,
    /// How often a silent stream says that it lives.
    pub keepalive: Duration,
    /// How long a shutdown waits for answers in progress.
    pub grace: Duration,
    /// The same when the server leaves by itself, or for another one: nobody waits for it then.
    pub drain: Duration,
}

/// Reads options anew. Of these, tiers, sites, the certificate and engines elsewhere are taken over while the
/// server runs.
#[derive(Clone)]
pub struct Reload(Arc<dyn Fn() -> io::Result<ServerOptions> + Send + Sync>);

impl Reload {
    /// From what reads them. It may block for a moment.
    pub fn new(read: impl Fn() -> io::Result<ServerOptions> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    pub(crate) fn read(&self) -> io::Result<ServerOptions> {
        (self.0)()
    }
}

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reload").finish_non_exhaustive()
    }
}

/// Which keys open the public door, and for how much.
#[derive(Clone, Debug)]
pub struct KeyOptions {
    /// Where keys are kept.
    pub store: StoreOptions,
    /// What holders of keys may ask for, by the tier that a key is of.
    pub tiers: BTreeMap<String, Limits>,
}

/// What the holder of one key may ask for; `None`: as much as the server can give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests for answers in a minute.
    pub requests_per_minute: Option<u32>,
    /// Tokens in a minute, of prompts and answers together.
    pub tokens_per_minute: Option<u32>,
    /// Requests in progress at once.
    pub concurrency: Option<u32>,
    /// Turns that a key gets, when requests of several keys wait, for one of a key without.
    pub weight: Option<u32>,
}

impl KeyOptions {
    /// The tier of keys that were made without naming one. Without limits, unless it has some.
    pub const TIER: &str = "default";

    /// What keys of a tier may ask for; `None` for a tier that there is not.
    pub fn limits(&self, tier: &str) -> Option<Limits> {
        limits(&self.tiers, tier)
    }
}

pub(crate) fn limits(tiers: &BTreeMap<String, Limits>, tier: &str) -> Option<Limits> {
    let usual = (tier == KeyOptions::TIER).then(Limits::default);
    tiers.get(tier).copied().or(usual)
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            host_names: Vec::new(),
            store: None,
            keys: None,
            tls: None,
            traces: None,
            cors: Vec::new(),
            reload: None,
            page: Router::new(),
            upstreams: None,
            // What WebSocket clients of the protocol take for granted too.
            body_bytes_max: 16 << 20,
            n_connections_max: 256,
            idle_max: Duration::from_secs(75),
            upload_max: Duration::from_secs(30),
            unread_max: Duration::from_mins(1),
            socket_lifetime_max: Duration::from_hours(1),
            keepalive: Duration::from_secs(15),
            grace: Duration::from_secs(10),
            drain: Duration::from_mins(10),
        }
    }
}
