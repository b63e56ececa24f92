//! Whatever is sent: nothing that a client sends is the server's fault, costs it anything that stays,
//! or harms another client.

use crate::client::{Server, post, scripted, wait_until};
use crate::hostile_frames as frames;
use crate::script::{Act, Seen};
use cerium_engine::FinishReason;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};
use std::{fs, panic, thread};

const PATHS: [&str; 10] = [
    "/v1/responses",
    "/v1/chat/completions",
    "/v1/completions",
    "/infill",
    "/tokenize",
    "/detokenize",
    "/v1/responses/input_tokens",
    "/v1/responses/compact",
    "/v1/conversations",
    "/v1/models",
];

/// Numbers that look random and are the same in every run (xorshift64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }

    pub(crate) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// A body that is almost one, or nothing like it.
pub(crate) fn body(dice: &mut Dice) -> Vec<u8> {
    let value = match dice.below(8) {
        0 => json!(null),
        1 => json!(-1e308),
        2 => json!("\u{0}\u{ffff}\u{202e}"),
        3 => json!([[[[]]], {}, null]),
        4 => json!({"role": "user", "content": {"type": "input_text"}}),
        5 => json!([{"role": "tool", "content": "x", "tool_call_id": 3}]),
        6 => json!([{"type": "function", "function": {"name": "", "parameters": {"$ref": "#"}}}]),
        _ => json!(u64::MAX),
    };
    let fields = [
        "input",
        "messages",
        "prompt",
        "tools",
        "tool_choice",
        "text",
        "stop",
        "max_output_tokens",
        "max_tokens",
        "temperature",
        "n",
        "logit_bias",
        "seed",
        "stream",
        "stream_options",
        "previous_response_id",
        "conversation",
        "cerium",
        "response_format",
        "tokens",
        "content",
        "model",
    ];
    let mut asked = json!({"model": "scripted", "input": "a", "messages": [{"role": "user",
        "content": "a"}], "prompt": "a", "content": "a", "tokens": [1]});
    asked[dice.of(&fields)] = value;
    let mut bytes = asked.to_string().into_bytes();
    match dice.below(6) {
        0 => {
            for _ in 0..=dice.below(4) {
                let at = dice.below(bytes.len());
                bytes[at] = dice.below(256) as u8;
            }
        }
        1 => bytes.truncate(dice.below(bytes.len())),
        2 => {
            let n = 1 + dice.below(100_000);
            bytes =
                format!("{}{}", dice.of(&["[", "{\"a\":", "{\"input\":["]).repeat(n), "]").into();
        }
        3 => bytes.extend([0xff, 0xfe, 0xc0, 0x80]),
        _ => {}
    }
    bytes
}

/// A request that is wrong in one way or another.
fn request(dice: &mut Dice) -> Vec<u8> {
    let (path, body) = (dice.of(&PATHS), body(dice));
    let method =
        dice.of(&["POST", "POST", "POST", "POST", "GET", "DELETE", "PATCH", "BREW", "\u{0}"]);
    let kind = dice.of(&["application/json", "application/json", "text/plain", ";;;", ""]);
    let n = dice.of(&[body.len(), body.len(), body.len(), body.len() / 2, 1 << 40]);
    let host = dice.of(&["localhost", "localhost", "localhost", "evil.example", "[::", "a@b"]);
    let more = dice.of(&[
        "",
        "",
        "Transfer-Encoding: chunked\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 7\r\n",
        "Expect: 100-continue\r\n",
        "Content-Encoding: gzip\r\n",
        "Origin: null\r\n",
        "Authorization: Basic \u{80}\r\n",
    ]);
    let mut all = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\n{more}\
         Content-Length: {n}\r\n\r\n"
    )
    .into_bytes();
    match dice.below(10) {
        0 => {
            let at = dice.below(all.len());
            all[at] = dice.below(256) as u8;
        }
        1 => all.splice(20..20, vec![b'x'; 1 << 17]).for_each(drop),
        _ => {}
    }
    all.extend(body);
    all
}

/// Sends all of it, says that there is no more, and gives the status that comes, if any does.
fn status(server: &Server, request: &[u8]) -> Option<u16> {
    let mut stream = server.connect();
    // A server that refuses early may close before it has read all.
    let _ = stream.write_all(request);
    let _ = stream.shutdown(Shutdown::Write);
    let mut head = Vec::new();
    let _ = stream.take(64).read_to_end(&mut head);
    let head = String::from_utf8_lossy(&head);
    // "Go on" is no answer: one follows, or is not waited for.
    let head = head.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n").unwrap_or(&head);
    head.split(' ').nth(1)?.parse().ok()
}

/// Connections to a server that it has not let go of.
pub(crate) fn n_open(server: &Server) -> usize {
    let (port, table) = (server.address.port(), fs::read_to_string("/proc/self/net/tcp").unwrap());
    let is_open = |line: &&str| {
        let mut words = line.split_whitespace().skip(1);
        let (local, _, state) = (words.next(), words.next(), words.next());
        // Established, or closed by the other side alone.
        local.is_some_and(|local| local.ends_with(&format!(":{port:04X}")))
            && matches!(state, Some("01" | "08"))
    };
    table.lines().filter(is_open).count()
}

pub(crate) fn n_files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Kilobytes of memory in use.
fn kb_resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn well_behaved(server: &Server) {
    let answer = server.post("/v1/responses", &json!({"model": "scripted", "input": "a"}));
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// Does something to a server while somebody else asks it for what can be answered, again and again.
pub(crate) fn beside_a_neighbour<T: Send>(server: &Server, work: impl FnOnce() -> T + Send) -> T {
    let mut times = Vec::new();
    let done = thread::scope(|scope| {
        let work = scope.spawn(work);
        while !work.is_finished() {
            let begun = Instant::now();
            well_behaved(server);
            times.push(begun.elapsed());
            thread::sleep(Duration::from_millis(5));
        }
        work.join()
    });
    times.sort_unstable();
    let (n, median, last) = (times.len(), times.get(times.len() / 2), times.last());
    eprintln!("beside them {n} others, answered in {median:?} (p50), {last:?} (max)");
    done.unwrap_or_else(|panic| panic::resume_unwind(panic))
}

fn send_hostile(n: usize) {
    let (server, _) = scripted(Act::Say("Hi", FinishReason::Stop));
    let send = || {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        let mut statuses = BTreeMap::new();
        for _ in 0..n {
            let request = request(&mut dice);
            let status = status(&server, &request);
            let shown = String::from_utf8_lossy(&request[..request.len().min(600)]);
            assert!(status.is_none_or(|status| status < 500), "{status:?} for {shown}");
            *statuses.entry(status.unwrap_or(0)).or_insert(0) += 1;
        }
        statuses
    };
    let statuses = beside_a_neighbour(&server, send);
    eprintln!("{n} requests; statuses {statuses:?} (0: cut off)");
    assert!(statuses.len() > 3, "most ways to be wrong are told apart: {statuses:?}");
    wait_until("all connections are let go of", || n_open(&server) == 0);
}

/// Connections that ask and go, each after another while.
fn ask_and_drop(n: usize) {
    let (server, seen) = scripted(Act::Hang("ab"));
    let mut dice = Dice(7);
    let body = |stream: bool| json!({"model": "scripted", "input": "a", "stream": stream});
    let mut times = Vec::new();
    for _ in 0..n {
        let mut stream = server.connect();
        stream.write_all(&post("/v1/responses", &body(dice.below(2) == 0))).unwrap();
        thread::sleep(Duration::from_micros(dice.below(3000) as u64));
        let begun = begun(&seen);
        drop(stream);
        let dropped = Instant::now();
        if begun {
            wait_until("the work ends", || at_rest(&seen));
            times.push(dropped.elapsed());
        }
    }
    wait_until("all work ends", || at_rest(&seen));
    wait_until("all connections are let go of", || n_open(&server) == 0);
    times.sort_unstable();
    let at = |percent: usize| times.get(times.len() * percent / 100).or(times.last());
    eprintln!(
        "{n} connections, {} while computing; compute stopped after {:?} (p50), {:?} (p99), {:?} (max)",
        times.len(),
        at(50),
        at(99),
        times.last(),
    );
}

fn begun(seen: &Seen) -> bool {
    !at_rest(seen)
}

/// Whether all jobs that the engine was given have been let go of.
fn at_rest(seen: &Seen) -> bool {
    seen.jobs.lock().unwrap().len() == seen.n_dropped.load(SeqCst)
}

#[test]
fn nothing_sent_is_the_servers_fault() {
    send_hostile(300);
}

#[test]
fn who_asks_and_goes_leaves_nothing_behind() {
    ask_and_drop(50);
}

/// The same at length: `cargo test -p cerium-server --test it hostile::at_length -- --ignored --nocapture`
/// (alone: it counts what the process holds).
#[test]
#[ignore = "it counts what the whole process holds: run it alone"]
fn at_length() {
    // A task of the server that panics ends its own connection alone: nothing else would tell.
    static N_PANICS: AtomicUsize = AtomicUsize::new(0);
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        N_PANICS.fetch_add(1, SeqCst);
        tell(panic);
    }));
    // What is kept to be used again is there after a tenth of it.
    send_hostile(1000);
    frames::send_hostile(1000);
    frames::open_lanes(100, 100);
    ask_and_drop(100);
    let (kb, files) = (kb_resident(), n_files());
    send_hostile(10_000);
    frames::send_hostile(10_000);
    frames::open_lanes(100, 100);
    ask_and_drop(1000);
    let (grown, n_files) = (kb_resident().saturating_sub(kb), n_files());
    eprintln!("memory grew from {kb} kB by {grown} kB, open files from {files} to {n_files}");
    assert!(grown < 64 << 10, "{grown} kB");
    assert!(n_files <= files, "{n_files} files are open, {files} were");
    assert_eq!(N_PANICS.load(SeqCst), 0, "panics");
}

#[test]
fn what_is_sent_half_is_given_up() {
    let options = cerium_server::ServerOptions {
        idle_max: Duration::from_millis(200),
        upload_max: Duration::from_millis(200),
        ..Default::default()
    };
    let (server, _) = crate::client::scripted_with(Act::Say("Hi", FinishReason::Stop), options);
    let whole = post("/v1/responses", &Value::from("x".repeat(1000)));
    let slow: Vec<_> = (0..100)
        .map(|n| {
            let mut stream = server.connect();
            stream.write_all(&whole[..=n * 7]).unwrap();
            stream
        })
        .collect();
    well_behaved(&server);
    for mut stream in slow {
        let mut rest = Vec::new();
        // Closed by the server, with or without a word.
        let _ = stream.read_to_end(&mut rest);
        assert!(!rest.starts_with(b"HTTP/1.1 5"), "{}", String::from_utf8_lossy(&rest));
    }
}
