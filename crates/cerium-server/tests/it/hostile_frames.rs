//! The same on a WebSocket: frames that are none, events that mean nothing, and more lanes than anybody needs.

use crate::client::{Server, scripted, wait_until};
use crate::hostile::{Dice, beside_a_neighbour, body, n_open};
use crate::script::Act;
use cerium_engine::FinishReason;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// How long an answer is waited for from a server that may have been told to wait for more.
const MOMENT: Duration = Duration::from_millis(200);

/// A ping whose pong says that everything before it was read.
const LAST: &[u8] = b"the last of it";

/// A connection that is a WebSocket.
pub(crate) fn open(server: &Server) -> TcpStream {
    let mut stream = server.connect();
    let asked = b"GET /v1/responses HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(asked).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    stream
}

/// A frame as RFC 6455 has it, unless `first` and `n` say otherwise.
pub(crate) fn frame(first: u8, masked: bool, n: u64, payload: &[u8]) -> Vec<u8> {
    let mask = if masked { 0x80 } else { 0 };
    let mut all = vec![first];
    match n {
        0..126 => all.push(mask | n as u8),
        126..65_536 => {
            all.push(mask | 0x7e);
            all.extend((n as u16).to_be_bytes());
        }
        _ => {
            all.push(mask | 0x7f);
            all.extend(n.to_be_bytes());
        }
    }
    if masked {
        // A mask of zeros changes nothing.
        all.extend([0; 4]);
    }
    all.extend(payload);
    all
}

/// An event that is almost one, or nothing like it.
fn event(dice: &mut Dice) -> Vec<u8> {
    let kind = dice.of(&[
        "response.create",
        "response.create",
        "response.create",
        "response.steer",
        "response.interrupt",
        "response.processed",
        "",
    ]);
    let long = "x".repeat(300);
    let lane = dice.of(&["a", "b", "c", "", "ü", " ", &long]);
    let previous = dice.of(&["null", "\"resp_0\"", "7", "\"\"", "{}"]);
    let more = dice.of(&["", "\"generate\":false,", "\"background\":true,", "\"store\":true,"]);
    let head = format!(
        "{{\"type\":\"{kind}\",\"stream_id\":\"{lane}\",\"previous_response_id\":{previous},{more}"
    );
    let body = body(dice);
    match body.strip_prefix(b"{") {
        Some(rest) if dice.below(4) > 0 => [head.as_bytes(), rest].concat(),
        _ => body,
    }
}

/// Frames that are wrong in one way or another, and whether they promise more than comes.
fn frames(dice: &mut Dice) -> (Vec<u8>, bool) {
    let (mut all, mut lies) = (Vec::new(), false);
    for _ in 0..=dice.below(6) {
        let payload = event(dice);
        let n = payload.len() as u64;
        all.extend(match dice.below(12) {
            // Codes that mean nothing, and bits that are not agreed on.
            0 => frame(0x80 | dice.below(16) as u8, true, n, &payload),
            1 => frame(dice.of(&[0xc1, 0xa1, 0x91, 0xf1]), true, n, &payload),
            // A client masks.
            2 => frame(0x81, false, n, &payload),
            // Pieces, with and without a beginning or an end.
            3 => frame(dice.of(&[0x01, 0x00, 0x80, 0x02]), true, n, &payload),
            // Control frames are short.
            4 => frame(dice.of(&[0x88, 0x89, 0x8a]), true, n, &payload),
            5 => {
                frame(0x88, true, 2, &dice.of(&[0u16, 999, 1005, 1006, 5000, 65_535]).to_be_bytes())
            }
            6 => {
                lies = true;
                frame(0x81, true, dice.of(&[1 << 20, 1 << 40, u64::MAX]), &payload)
            }
            _ => frame(0x81, true, n, &payload),
        });
    }
    (all, lies)
}

/// What comes until the server has read everything, or gives up. The answer to a ping may overtake events.
fn answer(stream: &mut TcpStream, lies: bool) -> String {
    if lies {
        stream.set_read_timeout(Some(MOMENT)).unwrap();
    }
    until(stream, LAST)
}

/// What comes until it holds these bytes, or nothing more does.
fn until(stream: &mut TcpStream, last: &[u8]) -> String {
    let (mut all, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(n @ 1..) = stream.read(&mut piece) {
        let seen = all.len().saturating_sub(last.len());
        all.extend(&piece[..n]);
        if all[seen..].windows(last.len()).any(|bytes| bytes == last) {
            break;
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

pub(crate) fn send_hostile(n: usize) {
    let (server, _) = scripted(Act::Say("Hi", FinishReason::Stop));
    let send = || {
        let mut dice = Dice(0x2545_f491_4f6c_dd1d);
        let mut codes = BTreeMap::new();
        for _ in 0..n {
            let (sent, lies) = frames(&mut dice);
            let mut stream = open(&server);
            // A server that gives up early may close before it has read all.
            let _ = stream.write_all(&sent);
            let _ = stream.write_all(&frame(0x89, true, LAST.len() as u64, LAST));
            match dice.below(8) {
                0 => drop(stream.shutdown(Shutdown::Write)),
                1 => drop(stream.shutdown(Shutdown::Both)),
                _ => {}
            }
            let said = answer(&mut stream, lies);
            let shown = String::from_utf8_lossy(&sent[..sent.len().min(600)]);
            assert!(!said.contains("\"status\":500"), "{said} for {shown}");
            for code in said.split("\"code\":\"").skip(1) {
                let code = code.split('"').next().unwrap_or_default().to_owned();
                *codes.entry(code).or_insert(0) += 1;
            }
        }
        codes
    };
    let codes = beside_a_neighbour(&server, send);
    eprintln!("{n} connections; errors {codes:?}");
    assert!(!codes.contains_key("server_error"), "{codes:?}");
    assert!(codes.len() > 3, "most ways to be wrong are told apart: {codes:?}");
    wait_until("all connections are let go of", || n_open(&server) == 0);
}

/// Connections with so many lanes each, which all ask for something that never ends.
pub(crate) fn open_lanes(n_connections: usize, n_lanes: usize) {
    let (server, seen) = scripted(Act::Hang("ab"));
    let mut streams = Vec::new();
    for _ in 0..n_connections {
        let mut stream = open(&server);
        for lane in 0..n_lanes {
            let asked = format!(
                "{{\"type\":\"response.create\",\"model\":\"scripted\",\"input\":\"a\",\
                 \"stream_id\":\"lane{lane}\"}}"
            );
            stream.write_all(&frame(0x81, true, asked.len() as u64, asked.as_bytes())).unwrap();
        }
        // Refused behind all the others.
        let last = br#"{"type":"the last"}"#;
        stream.write_all(&frame(0x81, true, last.len() as u64, last)).unwrap();
        streams.push(stream);
    }
    for stream in &mut streams {
        let said = until(stream, b"the last");
        let refused = said.matches("websocket_stream_limit_reached").count();
        assert_eq!(refused, n_lanes.saturating_sub(32), "{said:.600}");
    }
    // Sixteen of each run at most; the connections are 256 at most.
    let begun = seen.jobs.lock().unwrap().len();
    assert!(begun <= n_connections * 16, "{begun}");
    drop(streams);
    wait_until("all connections are let go of", || n_open(&server) == 0);
    wait_until("all work ends", || {
        seen.jobs.lock().unwrap().len() == seen.n_dropped.load(std::sync::atomic::Ordering::SeqCst)
    });
}

#[test]
fn no_frame_is_the_servers_fault() {
    send_hostile(100);
}

#[test]
fn lanes_beyond_what_a_connection_may_have_are_refused_one_by_one() {
    open_lanes(4, 200);
}
