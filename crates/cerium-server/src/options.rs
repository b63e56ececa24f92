//! Bounds and names of a server.

use cerium_store::StoreOptions;
use std::time::Duration;

/// What a server allows. The defaults suit one person's machine.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Names by which clients may address this server, beside `localhost` and IP addresses.
    pub host_names: Vec<String>,
    /// Where responses are kept; `None`: nowhere.
    pub store: Option<StoreOptions>,
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

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            host_names: Vec::new(),
            store: None,
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
