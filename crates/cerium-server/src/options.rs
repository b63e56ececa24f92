//! Bounds and names of a server.

use crate::tls::Tls;
use cerium_store::StoreOptions;
use std::collections::BTreeMap;
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
}

impl KeyOptions {
    /// The tier of keys that were made without naming one. Without limits, unless it has some.
    pub const TIER: &str = "default";

    /// What keys of a tier may ask for; `None` for a tier that there is not.
    pub fn limits(&self, tier: &str) -> Option<Limits> {
        let usual = (tier == Self::TIER).then(Limits::default);
        self.tiers.get(tier).copied().or(usual)
    }
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            host_names: Vec::new(),
            store: None,
            keys: None,
            tls: None,
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
