//! The private door: what it tells, what it is told, and when it closes.

use crate::client::{Answer, PATIENCE, chunk, post, scripted, wait_until};
use crate::script::{self, Act, Seen};
use cerium_engine::FinishReason;
use cerium_protocol::wire::engine::{About, Holds};
use cerium_server::{Doors, Private, ServerOptions, run, serve};
use cerium_session::Service;
use serde_json::{Value, json};
use std::io::{BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tempfile::TempDir;

/// A server with a private door alone.
struct Engine {
    _dir: TempDir,
    path: PathBuf,
    thread: JoinHandle<()>,
}

fn about() -> About {
    About {
        build: "b".into(),
        pid: 7,
        started: 1_700_000_000,
        serves: None,
        holds: Holds {
            path: "/m.gguf".into(),
            file: "1".into(),
            context: None,
            kv: "f16".into(),
            memory: None,
            kept: 0,
            threads: None,
        },
        notes: vec!["a note".into()],
    }
}

fn start(act: Act, about: About, idle: Option<Duration>) -> (Engine, Arc<Seen>) {
    start_of(script::service(act), about, idle)
}

fn start_of(
    (service, seen): (Service, Arc<Seen>),
    about: About,
    idle: Option<Duration>,
) -> (Engine, Arc<Seen>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let private = Private { listener, path: path.clone(), about, idle };
    let doors = Doors { public: None, private: Some(private) };
    let thread = thread::spawn(|| run(doors, service, ServerOptions::default()).unwrap());
    (Engine { _dir: dir, path, thread }, seen)
}

impl Engine {
    fn connect(&self) -> BufReader<UnixStream> {
        let stream = UnixStream::connect(&self.path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        BufReader::new(stream)
    }

    fn send(&self, request: &[u8]) -> Answer {
        let mut stream = self.connect();
        stream.get_mut().write_all(request).unwrap();
        Answer::read(&mut stream)
    }

    fn hello(&self) -> Value {
        self.send(b"GET /cerium/hello HTTP/1.1\r\nHost: localhost\r\n\r\n").json()
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        self.send(&post(path, body)).json()
    }

    /// Begins a streamed answer and reads it until its first text.
    fn begin(&self) -> (BufReader<UnixStream>, String) {
        let mut stream = self.connect();
        let body = json!({"model": "scripted", "input": "a", "stream": true});
        stream.get_mut().write_all(&post("/v1/responses", &body)).unwrap();
        assert_eq!(Answer::head(&mut stream).status, 200);
        let mut told = String::new();
        while !told.contains("output_text.delta") {
            told += &String::from_utf8(chunk(&mut stream).unwrap()).unwrap();
        }
        let id = told.split_once("\"id\":\"").unwrap().1.split_once('"').unwrap().0;
        (stream, id.to_owned())
    }

    fn has_left(self) {
        wait_until("the engine has left", || self.thread.is_finished());
        assert!(!self.path.exists(), "its socket is gone");
    }
}

/// The rest of a stream.
fn rest(stream: &mut BufReader<UnixStream>) -> String {
    let mut told = String::new();
    while let Some(chunk) = chunk(stream).filter(|chunk| !chunk.is_empty()) {
        told += &String::from_utf8(chunk).unwrap();
    }
    told
}

#[test]
fn it_says_what_it_is_and_what_it_did() {
    let (engine, _) = start(Act::Say("Hi", FinishReason::Stop), about(), None);
    let hello = engine.hello();
    assert_eq!((&hello["pid"], &hello["build"]), (&json!(7), &json!("b")));
    assert_eq!(hello["model"]["context_tokens"], 400);
    assert_eq!(hello["holds"]["path"], "/m.gguf");
    assert_eq!(
        (&hello["activity"]["running"], &hello["activity"]["answers"]),
        (&json!(0), &json!(0))
    );
    let answer = engine.post("/v1/responses", &json!({"model": "scripted", "input": "a"}));
    assert_eq!(answer["status"], "completed");
    let activity = &engine.hello()["activity"];
    assert_eq!(activity["answers"], 1);
    assert_eq!(activity["cached_tokens"], answer["cerium"]["cached_tokens"]);
    assert_eq!(engine.post("/cerium/tokens", &json!({"text": "abc"})), json!({"tokens": 3}));
    assert_eq!(engine.send(&post("/cerium/tokens", &json!({"text": 3}))).status, 400);
    engine.post("/cerium/stop", &json!({"if_idle": true}));
    engine.has_left();
}

#[test]
fn it_explains_long_prompts_when_it_is_asked() {
    let words = script::words(true);
    let service = script::service_within(Act::Say("Hi", FinishReason::Stop), &words, 10_000);
    let (engine, _) = start_of(service, about(), None);
    for text in ["short".to_owned(), "long ".repeat(1000)] {
        engine.post("/v1/responses", &json!({"model": "scripted", "input": text}));
    }
    let told = engine.send(b"GET /cerium/why HTTP/1.1\r\nHost: localhost\r\n\r\n").json();
    for (answer, least) in told.as_array().unwrap().iter().zip([5, 5000]) {
        let parts = answer["why"]["parts"].as_array().unwrap();
        let n_tokens: u64 = parts.iter().map(|part| part["tokens"].as_u64().unwrap()).sum();
        assert!(n_tokens > least, "{answer:#}");
    }
    assert_eq!(told.as_array().unwrap().len(), 2);
    engine.post("/cerium/stop", &json!({"if_idle": true}));
    engine.has_left();
}

#[test]
fn an_answer_is_cancelled_by_its_name_and_says_what_it_had() {
    let (engine, seen) = start(Act::Hang("ab"), about(), None);
    assert_eq!(engine.post("/cerium/cancel", &json!({"id": "resp_x"})), json!({"stopping": false}));
    let (mut stream, id) = engine.begin();
    assert_eq!(engine.hello()["activity"]["running"], 1);
    assert_eq!(engine.post("/cerium/cancel", &json!({"id": id})), json!({"stopping": true}));
    let told = rest(&mut stream);
    assert!(
        told.contains("response.incomplete") && told.contains("\"status\":\"cancelled\""),
        "{told}"
    );
    wait_until("the job is let go of", || seen.n_dropped.load(SeqCst) == 1);
    engine.post("/cerium/stop", &json!({"if_idle": false}));
    engine.has_left();
}

#[test]
fn it_leaves_when_asked_to_once_its_answers_are_over() {
    let (engine, seen) = start(Act::Hang("ab"), about(), None);
    let (stream, _) = engine.begin();
    let stop = |if_idle| engine.post("/cerium/stop", &json!({"if_idle": if_idle}));
    assert_eq!(stop(true), json!({"stopping": false}), "it is busy");
    assert_eq!(stop(false), json!({"stopping": true}));
    wait_until("nobody finds it", || !engine.path.exists());
    // Whoever waits for an answer still does.
    assert!(!engine.thread.is_finished());
    assert_eq!(seen.n_dropped.load(SeqCst), 0);
    drop(stream);
    engine.has_left();
}

#[test]
fn it_leaves_when_nobody_asks_anything() {
    let (engine, _) =
        start(Act::Say("Hi", FinishReason::Stop), about(), Some(Duration::from_millis(300)));
    let answer = engine.post("/v1/responses", &json!({"model": "scripted", "input": "a"}));
    assert_eq!(answer["status"], "completed");
    engine.has_left();
}

#[test]
fn one_with_a_public_door_stays() {
    let about = About { serves: Some("127.0.0.1:1".into()), ..about() };
    let (service, _) = script::service(Act::Say("Hi", FinishReason::Stop));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let private = Private { listener, path: path.clone(), about, idle: None };
    let doors = Doors { public: None, private: Some(private) };
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let thread = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let ended = async { drop(ended.await) };
        runtime.block_on(serve(doors, service, ServerOptions::default(), ended)).unwrap();
    });
    let engine = Engine { _dir: dir, path, thread };
    assert_eq!(engine.post("/cerium/stop", &json!({"if_idle": false})), json!({"stopping": false}));
    assert_eq!(engine.hello()["serves"], "127.0.0.1:1");
    drop(end);
    engine.has_left();
}

#[test]
fn the_public_door_has_nothing_of_it() {
    let (server, _) = scripted(Act::Say("Hi", FinishReason::Stop));
    assert_eq!(server.get("/cerium/hello").error(), "404 unknown_url");
    assert_eq!(server.post("/cerium/stop", &json!({"if_idle": false})).error(), "404 unknown_url");
}

#[test]
fn what_is_read_ahead_is_one_thing_at_a_time() {
    let (engine, seen) = start(Act::Hang("a"), about(), None);
    let warm = |input: &str| {
        let body = json!({"model": "scripted", "input": input, "generate": false});
        engine.post("/cerium/warm", &json!([body]))
    };
    assert_eq!(warm("a"), json!({"warming": true}));
    assert_eq!(engine.hello()["activity"]["running"], 1, "it goes on behind the answer");
    assert_eq!(warm("b"), json!({"warming": true}));
    wait_until("the first is wanted no more", || seen.n_dropped.load(SeqCst) == 1);
    assert_eq!(engine.hello()["activity"]["running"], 1);
    let refused = engine.post("/cerium/warm", &json!([{"model": "other", "input": "a"}]));
    assert_eq!(refused["error"]["code"], "model_not_found");
    engine.post("/cerium/stop", &json!({"if_idle": false}));
}
