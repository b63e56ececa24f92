//! Clients that leave, stall or stay, and the end of the server.

use crate::client::{Answer, PATIENCE, Server, chunk, post, scripted, scripted_with, wait_until};
use crate::script::Act;
use cerium_engine::FinishReason;
use cerium_server::ServerOptions;
use serde_json::{Value, json};
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

fn ask(stream: bool) -> Value {
    json!({"model": "scripted", "input": "a", "stream": stream})
}

/// A connection on which an answer has begun.
fn begin(server: &Server, body: &Value) -> BufReader<TcpStream> {
    let mut stream = server.connect();
    stream.write_all(&post("/v1/responses", body)).unwrap();
    BufReader::new(stream)
}

#[test]
fn a_client_that_leaves_its_stream_cancels_its_job() {
    let (server, seen) = scripted(Act::Hang("ab"));
    let mut stream = begin(&server, &ask(true));
    assert_eq!(Answer::head(&mut stream).status, 200);
    let first = String::from_utf8(chunk(&mut stream).unwrap()).unwrap();
    assert!(first.starts_with("event: response.created\n"), "at once, before any token: {first}");
    assert_eq!(seen.n_dropped.load(SeqCst), 0);
    drop(stream);
    wait_until("the job is let go of", || seen.n_dropped.load(SeqCst) == 1);
}

#[test]
fn a_client_that_does_not_wait_for_its_answer_cancels_its_job() {
    let (server, seen) = scripted(Act::Hang("ab"));
    let stream = begin(&server, &ask(false));
    wait_until("the job runs", || seen.n_tokens.load(SeqCst) == 2);
    drop(stream);
    wait_until("the job is let go of", || seen.n_dropped.load(SeqCst) == 1);
}

#[test]
fn a_reader_that_stalls_blocks_only_itself_and_not_for_ever() {
    let options =
        ServerOptions { unread_max: Duration::from_millis(300), ..ServerOptions::default() };
    let (server, seen) = scripted_with(Act::Repeat("ab"), options);
    let mut stalled = begin(&server, &ask(true));
    assert_eq!(Answer::head(&mut stalled).status, 200);
    // Others are answered meanwhile.
    let mut other = ask(false);
    other["cerium"] = json!({"stop": ["ba"]});
    let answer = server.post("/v1/responses", &other).json();
    assert_eq!(answer["output"][0]["content"][0]["text"], "a");
    // The endless answer ends, having filled no more than the buffers on the way.
    wait_until("both jobs are let go of", || seen.n_dropped.load(SeqCst) == 2);
    let n_tokens = seen.n_tokens.load(SeqCst);
    assert!(n_tokens < 200_000, "{n_tokens} tokens for a reader that does not read");
    while chunk(&mut stalled).is_some_and(|chunk| !chunk.is_empty()) {}
    assert_eq!(stalled.read(&mut [0]).unwrap_or(0), 0, "and must not look whole");
}

#[test]
fn a_silent_stream_says_that_it_lives() {
    let options = ServerOptions { keepalive: Duration::from_millis(5), ..ServerOptions::default() };
    let (server, _) = scripted_with(Act::Hang(""), options);
    let mut stream = begin(&server, &ask(true));
    Answer::head(&mut stream);
    chunk(&mut stream);
    assert_eq!(chunk(&mut stream).unwrap(), b": keepalive\n\n");
}

#[test]
fn a_connection_serves_one_request_after_another() {
    let (server, _) = scripted(Act::Say("Hi", FinishReason::Stop));
    let mut stream = server.connect();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    for streamed in [false, true, false] {
        stream.write_all(&post("/v1/responses", &ask(streamed))).unwrap();
        let answer = Answer::read(&mut reader);
        assert!(answer.status == 200 && answer.whole);
    }
}

#[test]
fn idle_connections_are_closed_and_their_number_is_bounded() {
    let options = ServerOptions {
        n_connections_max: 1,
        idle_max: Duration::from_millis(50),
        ..ServerOptions::default()
    };
    let (server, _) = scripted_with(Act::Say("Hi", FinishReason::Stop), options);
    let mut idle = server.connect();
    // Waits in the backlog until the idle connection is closed.
    assert_eq!(server.get("/health").status, 200);
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).unwrap();
    let mut half = server.connect();
    half.write_all(b"GET /health HT").unwrap();
    assert_eq!(server.get("/health").status, 200);
}

#[test]
fn a_shutdown_lets_answers_end() {
    let long: &'static str = "all work and no play ".repeat(20_000).leak();
    let options = ServerOptions { grace: PATIENCE, ..ServerOptions::default() };
    let (mut server, _) = scripted_with(Act::Say(long, FinishReason::Stop), options);
    let mut stream = begin(&server, &ask(true));
    let head = Answer::head(&mut stream);
    assert_eq!(head.status, 200);
    let idle = server.connect();
    server.stop();
    wait_until("new connections are refused", || TcpStream::connect(server.address).is_err());
    let mut body = String::new();
    while let Some(chunk) = chunk(&mut stream).filter(|chunk| !chunk.is_empty()) {
        body += std::str::from_utf8(&chunk).unwrap();
    }
    assert!(body.contains("event: response.completed\n"));
    let begun = Instant::now();
    server.join();
    assert!(begun.elapsed() < PATIENCE / 2, "idle connections are not waited for");
    drop(idle);
}

#[test]
fn a_shutdown_does_not_wait_for_ever() {
    let (mut server, seen) = scripted(Act::Hang("ab"));
    let mut stream = begin(&server, &ask(true));
    Answer::head(&mut stream);
    server.stop();
    server.join();
    wait_until("the job is let go of", || seen.n_dropped.load(SeqCst) == 1);
    let last = std::iter::from_fn(|| chunk(&mut stream)).last().unwrap();
    assert!(!last.is_empty(), "a cut stream must not look whole");
}
