//! What passing a token on costs on this machine, whatever passes it: one thread gives it to another, which writes
//! it to a socket, and a client reads it. Only a server whose engine writes to sockets itself does it in less.

use anyhow::{Context, Result};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// About as long as an event with a token.
const N_BYTES: usize = 240;

/// Passes so many tokens on, one every `pace`; the time that each took.
pub(super) fn pass(n_tokens: usize, pace: Duration) -> Result<Vec<Duration>> {
    let listener = TcpListener::bind("127.0.0.1:0").context("finding a port")?;
    let mut client = TcpStream::connect(listener.local_addr()?).context("connecting")?;
    let (mut server, _) = listener.accept().context("accepting")?;
    server.set_nodelay(true)?;
    let (give, tokens) = mpsc::channel();
    thread::spawn(move || {
        tokens.iter().try_for_each(|token: [u8; N_BYTES]| server.write_all(&token))
    });
    let engine = thread::spawn(move || {
        let begun = Instant::now();
        let token = |n: usize| {
            let due = begun + pace * (n as u32 + 1);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let left = Instant::now();
            // The client notices if nobody takes it.
            let _ = give.send([b'x'; N_BYTES]);
            left
        };
        (0..n_tokens).map(token).collect::<Vec<_>>()
    });
    let mut token = [0; N_BYTES];
    let mut came = Vec::with_capacity(n_tokens);
    for _ in 0..n_tokens {
        client.read_exact(&mut token).context("reading a token")?;
        came.push(Instant::now());
    }
    let left = engine.join().ok().context("a thread failed")?;
    Ok(came.iter().zip(left).map(|(came, left)| *came - left).collect())
}
