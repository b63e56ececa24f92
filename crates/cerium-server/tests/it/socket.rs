//! WebSocket mode over a scripted engine: what is said on it, in which lanes, and how it ends.

use crate::client::{PATIENCE, Server, scripted, scripted_with, wait_until};
use crate::script::{Act, Seen, spell};
use cerium_engine::FinishReason::{Length, Stop};
use cerium_server::ServerOptions;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use tungstenite::protocol::CloseFrame;
use tungstenite::{Bytes, Message, WebSocket};

/// A client on a connection of its own.
pub(crate) struct Peer(WebSocket<TcpStream>);

impl Peer {
    pub(crate) fn open(server: &Server) -> Self {
        let url = format!("ws://{}/v1/responses", server.address);
        let (socket, answer) = tungstenite::client(url, server.connect()).unwrap();
        assert!(answer.headers().get("sec-websocket-extensions").is_none(), "nothing is deflated");
        Self(socket)
    }

    pub(crate) fn say(&mut self, event: &Value) {
        self.0.send(Message::text(event.to_string())).unwrap();
    }

    /// Asks for a response.
    pub(crate) fn create(&mut self, more: &Value) {
        let mut event = json!({"type": "response.create", "model": "scripted", "store": false,
                               "stream": true});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.say(&event);
    }

    /// The next event.
    pub(crate) fn hear(&mut self) -> Value {
        loop {
            match self.0.read().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) => {}
                other => panic!("no event: {other:?}"),
            }
        }
    }

    /// Events up to one whose type ends so.
    pub(crate) fn until(&mut self, end: &str) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let event = self.hear();
            let done = event["type"].as_str().unwrap().ends_with(end);
            events.push(event);
            if done {
                return events;
            }
        }
    }

    /// The finished response.
    pub(crate) fn completed(&mut self) -> Value {
        self.until("completed").pop().unwrap()["response"].take()
    }

    /// `status code` of an error, after a look at its shape.
    pub(crate) fn error(&mut self) -> String {
        let event = self.hear();
        assert_eq!(event["type"], "error", "{event}");
        for key in ["message", "type", "param", "code"] {
            assert!(event["error"].get(key).is_some(), "`{key}` is missing: {event}");
        }
        format!("{} {}", event["status"], event["error"]["code"].as_str().unwrap())
    }

    /// How the server closes.
    fn closed(&mut self) -> Option<CloseFrame> {
        loop {
            match self.0.read() {
                Ok(Message::Close(frame)) => return frame,
                Ok(_) => {}
                Err(error) => panic!("not closed but gone: {error}"),
            }
        }
    }
}

pub(crate) fn prompts(seen: &Seen) -> Vec<String> {
    seen.jobs.lock().unwrap().iter().map(|job| spell(&job.prompt)).collect()
}

#[test]
fn a_conversation_goes_on_with_what_is_new() {
    let (server, seen) = scripted(Act::Say("Hi", Stop));
    let mut peer = Peer::open(&server);
    peer.create(&json!({"input": [{"role": "developer", "content": "Be brief."},
                                 {"role": "user", "content": "a"}]}));
    let events = peer.until("completed");
    let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed"
        ]
    );
    for (n, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], n);
        assert!(event.get("stream_id").is_none());
    }
    let first = events.last().unwrap()["response"].clone();
    peer.create(&json!({"previous_response_id": first["id"], "input": "b"}));
    let second = peer.completed();
    assert_eq!(second["output"][0]["content"][0]["text"], "Hi");
    insta::assert_snapshot!(prompts(&seen)[1], @r"
    «im_start»system
    Be brief.«im_end»
    «im_start»user
    a«im_end»
    «im_start»assistant
    Hi«im_end»
    «im_start»user
    b«im_end»
    «im_start»assistant
    ");
    // The lane holds its last response alone; without a previous one a new chain begins.
    peer.create(&json!({"previous_response_id": first["id"], "input": "c"}));
    assert_eq!(peer.error(), "400 previous_response_not_found");
    peer.create(&json!({"input": "d"}));
    peer.completed();
    assert!(!prompts(&seen).last().unwrap().contains("Hi"));
}

#[test]
fn a_warm_up_is_answered_before_it_is_computed() {
    let (server, seen) = scripted(Act::Hang(""));
    let mut peer = Peer::open(&server);
    peer.create(&json!({"input": "a", "generate": false}));
    let warm = peer.completed();
    assert_eq!(warm["output"], json!([]));
    assert!(warm["usage"]["input_tokens"].as_u64() > Some(0));
    // Its prefill goes on; whoever goes on from it ends that.
    wait_until("the prompt is read", || seen.jobs.lock().unwrap().len() == 1);
    assert_eq!(seen.n_dropped.load(SeqCst), 0);
    peer.create(&json!({"previous_response_id": warm["id"], "input": "b"}));
    peer.until("created");
    wait_until("the reading ends", || seen.n_dropped.load(SeqCst) == 1);
    assert!(prompts(&seen)[1].contains("a«im_end»\n«im_start»user\nb«im_end»"));
}

#[test]
fn requests_of_a_lane_wait_for_each_other_and_lanes_do_not() {
    let (server, seen) = scripted(Act::Hang("x"));
    let mut peer = Peer::open(&server);
    for lane in ["a", "b", "a"] {
        peer.create(&json!({"input": "go", "stream_id": lane}));
    }
    let mut told = Vec::new();
    while told.len() < 2 {
        let event = peer.hear();
        if event["type"] == "response.output_text.delta" {
            told.push(event["stream_id"].as_str().unwrap().to_owned());
        }
    }
    told.sort();
    assert_eq!(told, ["a", "b"]);
    assert_eq!(seen.jobs.lock().unwrap().len(), 2, "the third waits for the first");
}

#[test]
fn a_lane_forks_from_another_and_a_fork_that_fails_leaves_it_alone() {
    let (server, seen) = scripted(Act::Say("Hi", Stop));
    let mut peer = Peer::open(&server);
    peer.create(&json!({"input": "a", "stream_id": "main"}));
    let main = peer.completed();
    let id = &main["id"];
    let more =
        |input: &str, lane| json!({"previous_response_id": id, "input": input, "stream_id": lane});
    peer.create(&more("b", "fork"));
    peer.completed();
    peer.create(&more(&"long ".repeat(200), "fork2"));
    assert_eq!(peer.error(), "400 context_length_exceeded");
    // In the lane itself the failure costs the state.
    peer.create(&more("c", "fork3"));
    peer.completed();
    peer.create(&more(&"long ".repeat(200), "main"));
    assert_eq!(peer.error(), "400 context_length_exceeded");
    peer.create(&more("d", "main"));
    assert_eq!(peer.error(), "400 previous_response_not_found");
    assert_eq!(prompts(&seen).iter().filter(|prompt| prompt.contains("Hi")).count(), 2);
}

#[test]
fn at_most_sixteen_run_and_thirty_two_lanes_have_names() {
    let (server, seen) = scripted(Act::Hang("x"));
    let mut peer = Peer::open(&server);
    for n in 0..32 {
        peer.create(&json!({"input": "go", "stream_id": n.to_string()}));
    }
    peer.create(&json!({"input": "go", "stream_id": "one-more"}));
    let mut lanes = BTreeSet::new();
    let error = loop {
        let event = peer.hear();
        if event["type"] == "error" {
            break event;
        }
        lanes.insert(event["stream_id"].as_str().unwrap().to_owned());
    };
    assert_eq!(error["stream_id"], "one-more");
    assert_eq!(error["error"]["code"], "websocket_stream_limit_reached");
    wait_until("sixteen run", || seen.n_tokens.load(SeqCst) == 16);
    assert_eq!(seen.jobs.lock().unwrap().len(), 16);
    drop(peer);
    wait_until("all are let go of", || seen.n_dropped.load(SeqCst) == 16);
    assert_eq!(seen.jobs.lock().unwrap().len(), 16, "what waited never began");
}

#[test]
fn what_cannot_be_served_is_said_and_the_connection_goes_on() {
    let (server, _) = scripted(Act::Say("Hi", Length));
    let mut peer = Peer::open(&server);
    for (event, error) in [
        (json!({"type": "response.create", "input": "a"}), "400 missing_required_parameter"),
        (json!({"type": "response.create", "model": "other", "input": "a"}), "404 model_not_found"),
        (json!({"type": "response.dance"}), "400 invalid_value"),
        (json!({}), "400 invalid_value"),
        (json!([]), "400 invalid_type"),
        (json!({"type": "response.create", "stream_id": ""}), "400 invalid_stream_id"),
        (json!({"type": "response.create", "stream_id": "a b"}), "400 invalid_stream_id"),
        (json!({"type": "response.create", "stream_id": "a".repeat(257)}), "400 invalid_stream_id"),
        (
            json!({"type": "response.create", "model": "scripted", "input": "a",
                   "previous_response_id": "resp_0"}),
            "400 previous_response_not_found",
        ),
    ] {
        peer.say(&event);
        assert_eq!(peer.error(), error, "{event}");
    }
    peer.0.send(Message::text("{\"type\": ")).unwrap();
    assert_eq!(peer.error(), "400 invalid_json");
    peer.say(&json!({"type": "response.processed"}));
    peer.0.send(Message::Ping(Bytes::from_static(b"there?"))).unwrap();
    assert_eq!(peer.0.read().unwrap(), Message::Pong(Bytes::from_static(b"there?")));
    peer.create(&json!({"input": "a"}));
    peer.until("incomplete");
}

#[test]
fn frames_that_are_no_text_end_the_connection() {
    let options = ServerOptions { body_bytes_max: 1 << 20, ..ServerOptions::default() };
    let (server, _) = scripted_with(Act::Say("Hi", Stop), options);
    let mut peer = Peer::open(&server);
    peer.0.send(Message::binary(b"{}".to_vec())).unwrap();
    assert_eq!(u16::from(peer.closed().unwrap().code), 1003);
    let mut peer = Peer::open(&server);
    let frame = b"\x81\xff\0\0\0\0\0\x20\0\0\0\0\0\0"; // Announces two megabytes.
    peer.0.get_mut().write_all(frame).unwrap();
    assert_eq!(u16::from(peer.closed().unwrap().code), 1009);
    let mut peer = Peer::open(&server);
    peer.0.get_mut().write_all(b"\x81\x82\0\0\0\0\xff\xff").unwrap();
    assert_eq!(u16::from(peer.closed().unwrap().code), 1007);
    let mut peer = Peer::open(&server);
    peer.0.get_mut().write_all(b"\x81\x02{}").unwrap(); // Not masked.
    assert_eq!(u16::from(peer.closed().unwrap().code), 1002);
}

#[test]
fn the_largest_message_is_read() {
    let (server, _) = scripted(Act::Say("Hi", Stop));
    let mut peer = Peer::open(&server);
    let mut event = json!({"type": "response.create", "model": "scripted", "input": "a"});
    let pad = (16 << 20) - event.to_string().len() - r#","padding":"""#.len();
    event["padding"] = "x".repeat(pad).into();
    assert_eq!(event.to_string().len(), 16 << 20);
    peer.say(&event);
    peer.completed();
}

#[test]
fn a_peer_that_goes_ends_its_work_however_it_goes() {
    let ways: [fn(Peer); 3] = [
        |mut peer| {
            peer.0.close(None).unwrap();
            while peer.0.read().is_ok() {}
        },
        drop,
        |peer| {
            // Half-closed: it could still read, but nobody does so.
            peer.0.get_ref().shutdown(Shutdown::Write).unwrap();
            let mut rest = Vec::new();
            let _ = peer.0.get_ref().read_to_end(&mut rest);
        },
    ];
    for leave in ways {
        let (server, seen) = scripted(Act::Repeat("ab"));
        let mut peer = Peer::open(&server);
        peer.create(&json!({"input": "a", "stream_id": "one"}));
        peer.create(&json!({"input": "a", "stream_id": "two"}));
        peer.until("delta");
        wait_until("both run", || seen.jobs.lock().unwrap().len() == 2);
        leave(peer);
        wait_until("both are let go of", || seen.n_dropped.load(SeqCst) == 2);
    }
}

#[test]
fn a_peer_that_does_not_read_parks_itself_and_not_for_ever() {
    let options = ServerOptions { unread_max: Duration::from_millis(300), ..Default::default() };
    let (server, seen) = scripted_with(Act::Repeat("ab"), options);
    let mut stalled = Peer::open(&server);
    stalled.create(&json!({"input": "a"}));
    let mut other = Peer::open(&server);
    other.create(&json!({"input": "a", "cerium": {"stop": ["ba"]}}));
    assert_eq!(other.completed()["output"][0]["content"][0]["text"], "a");
    wait_until("both jobs are let go of", || seen.n_dropped.load(SeqCst) == 2);
    let n_tokens = seen.n_tokens.load(SeqCst);
    assert!(n_tokens < 200_000, "{n_tokens} tokens for a reader that does not read");
}

#[test]
fn a_silent_peer_is_asked_and_one_that_does_not_answer_is_gone() {
    let options = ServerOptions {
        keepalive: Duration::from_millis(20),
        idle_max: Duration::from_millis(200),
        ..Default::default()
    };
    let (server, seen) = scripted_with(Act::Hang("x"), options);
    let mut peer = Peer::open(&server);
    peer.create(&json!({"input": "a"}));
    peer.until("delta");
    // Reading answers the pings, for longer than a silent peer would be borne.
    let begun = std::time::Instant::now();
    peer.0.get_ref().set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    while begun.elapsed() < Duration::from_millis(600) {
        match peer.0.read() {
            Ok(Message::Ping(_)) => {}
            Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen.n_dropped.load(SeqCst), 0);
    // Now it is silent.
    wait_until("it is given up", || seen.n_dropped.load(SeqCst) == 1);
}

#[test]
fn a_connection_has_a_longest_life_and_lets_its_answers_end() {
    let options =
        ServerOptions { socket_lifetime_max: Duration::from_millis(300), ..Default::default() };
    let (server, _) = scripted_with(Act::Say("Hi", Stop), options.clone());
    let mut peer = Peer::open(&server);
    peer.create(&json!({"input": "a"}));
    peer.completed();
    assert_eq!(peer.error(), "400 websocket_connection_limit_reached");
    assert_eq!(u16::from(peer.closed().unwrap().code), 1001);

    let (server, seen) = scripted_with(Act::Hang("x"), options);
    let mut peer = Peer::open(&server);
    peer.create(&json!({"input": "a"}));
    peer.until("delta");
    std::thread::sleep(Duration::from_millis(310));
    peer.create(&json!({"input": "b"}));
    assert_eq!(peer.error(), "400 websocket_connection_limit_reached");
    assert_eq!(seen.jobs.lock().unwrap().len(), 1);
}

#[test]
fn a_shutdown_lets_an_answer_end_and_takes_no_more() {
    // More than fits between here and there, so that it still runs while it is not read.
    let long: &'static str = "all work and no play ".repeat(5_000).leak();
    let options = ServerOptions { grace: PATIENCE, ..ServerOptions::default() };
    let (mut server, _) = scripted_with(Act::Say(long, Stop), options);
    let (mut peer, mut idle) = (Peer::open(&server), Peer::open(&server));
    peer.create(&json!({"input": "a"}));
    peer.until("delta");
    server.stop();
    assert_eq!(idle.error(), "503 server_is_overloaded");
    assert_eq!(u16::from(idle.closed().unwrap().code), 1001);
    peer.create(&json!({"input": "b"}));
    let events = peer.until("completed");
    let refused = events.iter().find(|event| event["type"] == "error").unwrap();
    assert_eq!(
        (&refused["status"], &refused["headers"]["retry-after"]),
        (&json!(503), &json!("1"))
    );
    assert_eq!(peer.error(), "503 server_is_overloaded");
    peer.closed();
    server.join();
}

#[test]
fn a_shutdown_does_not_wait_for_ever() {
    let (mut server, seen) = scripted(Act::Hang("x"));
    let mut peer = Peer::open(&server);
    peer.create(&json!({"input": "a"}));
    peer.until("delta");
    server.stop();
    server.join();
    wait_until("the job is let go of", || seen.n_dropped.load(SeqCst) == 1);
}

#[test]
fn a_running_answer_is_redirected() {
    let (server, seen) = scripted(Act::Hang("one\n"));
    let mut peer = Peer::open(&server);
    peer.create(&json!({"input": "count", "stream_id": "lane"}));
    let created = peer.until("created").pop().unwrap();
    let id = created["response"]["id"].as_str().unwrap().to_owned();
    let steer = |id: &str| {
        json!({"type": "response.steer", "previous_response_id": id,
               "input": [{"role": "user", "content": "in French"}]})
    };
    // Four tokens, of which the last ends the line.
    while peer.hear()["delta"] != "\n" {}
    peer.say(&steer(&id));
    let accepted = peer.hear();
    assert_eq!(accepted["type"], "response.steer.accepted");
    assert_eq!(accepted["steer"]["previous_response_id"], id);
    assert_eq!(accepted["stream_id"], "lane");
    let ended = peer.until("incomplete").pop().unwrap();
    assert_eq!(ended["response"]["incomplete_details"]["reason"], "steered");
    let successor = peer.until("created").pop().unwrap();
    let next = successor["response"]["id"].as_str().unwrap().to_owned();
    assert_ne!(next, id);
    assert_eq!(seen.steers.lock().unwrap().len(), 1);

    for (id, code) in [(id.as_str(), "response_not_found"), ("resp_0", "response_not_found")] {
        peer.say(&steer(id));
        let failed = peer.until("failed").pop().unwrap();
        assert_eq!(failed["type"], "response.steer.failed");
        assert_eq!(failed["error"]["code"], code);
        assert_eq!(failed["steer"]["input"][0]["content"], "in French");
    }
    peer.say(&json!({"type": "response.steer", "previous_response_id": next,
                     "input": [{"role": "system", "content": "obey"}]}));
    assert_eq!(peer.until("failed").pop().unwrap()["error"]["code"], "invalid_input");
}

#[test]
fn a_conversation_goes_on_after_a_redirection() {
    let (server, seen) = scripted(Act::Deaf("one\n"));
    let mut peer = Peer::open(&server);
    peer.create(&json!({"input": "count"}));
    let id = peer.until("completed").pop().unwrap()["response"]["id"].clone();
    peer.say(&json!({"type": "response.steer", "previous_response_id": id, "input": "x"}));
    let failed = peer.hear();
    assert_eq!(failed["error"]["code"], "response_already_completed");
    peer.create(&json!({"previous_response_id": id, "input": "more"}));
    peer.completed();
    assert!(prompts(&seen)[1].contains("one\n«im_end»"));
}

#[test]
fn pages_of_other_sites_and_other_names_are_refused() {
    let (server, _) = scripted(Act::Say("Hi", Stop));
    let upgrade = |more: &str| {
        let request = format!(
            "GET /v1/responses HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
        );
        server.send(request.as_bytes())
    };
    assert_eq!(upgrade("Host: localhost\r\n").status, 101);
    let answer = upgrade("Host: localhost\r\nOrigin: https://evil.example\r\n");
    assert_eq!(answer.error(), "403 origin_not_allowed");
    assert_eq!(upgrade("Host: evil.example\r\n").error(), "403 host_not_allowed");
    let answer = server.get("/v1/responses");
    assert_eq!(
        (answer.error().as_str(), answer.header("allow")),
        ("405 method_not_allowed", Some("POST"))
    );
    let plain = "GET /v1/responses HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n";
    assert_eq!(server.send(plain.as_bytes()).error(), "400 invalid_upgrade");
}

#[test]
fn sockets_are_connections_and_their_number_is_bounded() {
    let options = ServerOptions { n_connections_max: 1, ..ServerOptions::default() };
    let (server, _) = scripted_with(Act::Say("Hi", Stop), options);
    let first = Peer::open(&server);
    let mut waits = server.connect();
    waits.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    waits.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert!(waits.read(&mut [0]).is_err(), "there is one place, and it is taken");
    drop(first);
    waits.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(waits.read(&mut [0]).unwrap(), 1);
}
