//! A server that asks for keys.

use crate::client::{Answer, Server, scripted_with, wait_until};
use crate::script::Act;
use cerium_engine::FinishReason;
use cerium_server::{KeyOptions, Limits, Place, ServerOptions, Store, StoreOptions};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::time::Duration;
use tempfile::TempDir;
use tungstenite::Message;
use tungstenite::client::IntoClientRequest;

const HELLO: Act = Act::Say("Hi", FinishReason::Stop);

/// A server, its keys, and what looks after them beside it.
struct Guarded {
    server: Server,
    keys: Vec<String>,
    ids: Vec<String>,
    store: Store,
    runtime: tokio::runtime::Runtime,
    _dir: TempDir,
}

/// With one key of each tier.
fn guarded(act: Act, tiers: &[&str], limits: &[(&str, Limits)]) -> Guarded {
    let dir = tempfile::tempdir().unwrap();
    let store = StoreOptions::new(Place::File(dir.path().join("store.sqlite")));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (mut keys, mut ids) = (Vec::new(), Vec::new());
    let kept = runtime.block_on(async {
        let kept = Store::open(store.clone()).await.unwrap();
        for (n, tier) in tiers.iter().enumerate() {
            let name = if n == 0 { "ci".to_owned() } else { format!("ci-{n}") };
            let (key, secret) = kept.create_key(&name, tier, 1).await.unwrap();
            keys.push(secret.reveal().to_owned());
            ids.push(key.id);
        }
        kept
    });
    let tiers: BTreeMap<_, _> =
        limits.iter().map(|(name, limits)| ((*name).to_owned(), *limits)).collect();
    let options = ServerOptions {
        keys: Some(KeyOptions { store: store.clone(), tiers }),
        store: Some(store),
        page: crate::page::page(),
        grace: Duration::from_millis(50),
        ..Default::default()
    };
    let (server, _) = scripted_with(act, options);
    Guarded { server, keys, ids, store: kept, runtime, _dir: dir }
}

impl Guarded {
    fn send(&self, method: &str, path: &str, key: &str, body: &str) -> Answer {
        self.server.send(request(method, path, key, body).as_bytes())
    }

    fn ask(&self, key: &str) -> Answer {
        self.send("POST", "/v1/responses", key, &question())
    }
}

fn request(method: &str, path: &str, key: &str, body: &str) -> String {
    let n = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {n}\r\n\r\n{body}"
    )
}

fn question() -> String {
    json!({"model": "scripted", "input": "a"}).to_string()
}

#[test]
fn a_page_is_open_and_what_it_asks_for_is_not() {
    let guarded = guarded(HELLO, &[KeyOptions::TIER], &[]);
    assert_eq!(guarded.server.get("/").body, "a page");
    for path in ["/page/say", "/page/live"] {
        assert_eq!(guarded.send("POST", path, "", "{}").error(), "401 invalid_api_key", "{path}");
    }
    assert_eq!(guarded.send("POST", "/page/say", &guarded.keys[0], "\"Hello\"").status, 200);
}

#[test]
fn without_a_key_nobody_is_answered() {
    let guarded = guarded(HELLO, &[KeyOptions::TIER, "gone"], &[]);
    let server = &guarded.server;
    assert_eq!(server.get("/health").status, 200);
    for path in ["/v1/models", "/v1/responses/resp_1", "/nowhere"] {
        let answer = server.get(path);
        assert_eq!(answer.error(), "401 invalid_api_key", "{path}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
    }
    let key = &guarded.keys[0];
    let other = format!("{}{}", &key[..key.len() - 1], if key.ends_with('0') { '1' } else { '0' });
    for wrong in ["", "x", "cer-", &key[..20], &other, &key.to_uppercase()] {
        assert_eq!(guarded.ask(wrong).error(), "401 invalid_api_key", "{wrong}");
    }
    assert_eq!(guarded.send("GET", "/v1/models", key, "").status, 200);
    let answer = guarded.ask(key);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-ratelimit-limit-requests"), None, "there is no limit");
    assert_eq!(guarded.ask(&guarded.keys[1]).error(), "403 tier_not_served");
}

#[test]
fn a_key_that_is_revoked_opens_nothing_not_even_on_an_open_socket() {
    let guarded = guarded(HELLO, &[KeyOptions::TIER, KeyOptions::TIER], &[]);
    let mut request = "ws://localhost/v1/responses".into_client_request().unwrap();
    let bearer = format!("Bearer {}", guarded.keys[0]);
    request.headers_mut().insert("authorization", bearer.parse().unwrap());
    let (mut socket, _) = tungstenite::client(request, guarded.server.connect()).unwrap();
    let id = &guarded.ids[0];
    assert!(guarded.runtime.block_on(guarded.store.revoke_key(id, 2)).unwrap());
    wait_until("the key opens nothing", || guarded.ask(&guarded.keys[0]).status == 401);
    assert_eq!(guarded.ask(&guarded.keys[1]).status, 200);
    let create = json!({"type": "response.create", "model": "scripted", "input": "a"});
    socket.send(Message::text(create.to_string())).unwrap();
    let refusal = loop {
        if let Message::Text(text) = socket.read().unwrap() {
            break serde_json::from_str::<Value>(&text).unwrap();
        }
    };
    assert_eq!(
        (&refusal["status"], &refusal["error"]["code"]),
        (&401.into(), &"invalid_api_key".into())
    );
}

#[test]
fn whoever_asks_too_often_is_told_when_to_come_again() {
    let few = Limits { requests_per_minute: Some(2), ..Limits::default() };
    let guarded = guarded(HELLO, &["preview", KeyOptions::TIER], &[("preview", few)]);
    let key = &guarded.keys[0];
    let left = |answer: &Answer| answer.header("x-ratelimit-remaining-requests").map(str::to_owned);
    let first = guarded.ask(key);
    assert_eq!((first.status, left(&first).as_deref()), (200, Some("1")));
    assert_eq!(first.header("x-ratelimit-limit-requests"), Some("2"));
    assert!(first.header("x-ratelimit-reset-requests").unwrap().ends_with('s'));
    assert_eq!(guarded.ask(key).status, 200);
    let refused = guarded.ask(key);
    assert_eq!(refused.error(), "429 rate_limit_exceeded");
    assert_eq!(refused.json()["error"]["type"], "rate_limit_error");
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    let ms: u64 = refused.header("retry-after-ms").unwrap().parse().unwrap();
    assert!((1..=30).contains(&seconds) && ms <= seconds * 1000, "{seconds} s, {ms} ms");
    assert_eq!(refused.header("x-should-retry"), Some("true"));
    // What needs no answer of the model is not counted, and others are not held up.
    assert_eq!(guarded.send("GET", "/v1/models", key, "").status, 200);
    assert_eq!(guarded.ask(&guarded.keys[1]).status, 200);
}

#[test]
fn tokens_are_counted_when_they_are_known() {
    let few = Limits { tokens_per_minute: Some(5), ..Limits::default() };
    let guarded = guarded(HELLO, &["preview"], &[("preview", few)]);
    let key = &guarded.keys[0];
    let first = guarded.ask(key);
    assert_eq!(first.status, 200, "while there are any left");
    let used = first.json()["usage"]["total_tokens"].as_u64().unwrap();
    assert!(used > 5);
    let refused = guarded.ask(key);
    assert_eq!(refused.error(), "429 rate_limit_exceeded");
    assert_eq!(refused.header("x-ratelimit-remaining-tokens"), Some("0"));
    assert_eq!(refused.header("x-ratelimit-limit-tokens"), Some("5"));
}

#[test]
fn only_so_many_requests_of_a_key_run_at_once() {
    let few = Limits { concurrency: Some(1), ..Limits::default() };
    let tiers = ["preview", "preview"];
    let guarded = guarded(Act::Hang("ab"), &tiers, &[("preview", few)]);
    let begin = |key: &str| {
        let body = json!({"model": "scripted", "input": "a", "stream": true}).to_string();
        let mut stream = guarded.server.connect();
        stream.write_all(request("POST", "/v1/responses", key, &body).as_bytes()).unwrap();
        let mut stream = BufReader::new(stream);
        (Answer::head(&mut stream).status, stream)
    };
    let (status, first) = begin(&guarded.keys[0]);
    assert_eq!(status, 200);
    assert_eq!(begin(&guarded.keys[0]).0, 429);
    assert_eq!(begin(&guarded.keys[1]).0, 200, "everybody has a share");
    drop(first);
    wait_until("its place is free", || begin(&guarded.keys[0]).0 == 200);
}

#[test]
fn other_machines_are_not_let_in_without_keys() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (service, _) = crate::script::service(HELLO);
    let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let doors = cerium_server::Doors { public: Some(listener.into()), private: None };
    let never = std::future::pending();
    let serve = cerium_server::serve(doors, service, ServerOptions::default(), never);
    let error = runtime.block_on(serve).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
}

#[test]
fn what_is_kept_is_there_for_its_own_key_alone() {
    let guarded = guarded(HELLO, &[KeyOptions::TIER, KeyOptions::TIER], &[]);
    let [own, other] = [&guarded.keys[0], &guarded.keys[1]];
    let response = guarded.ask(own).json();
    let name = response["id"].as_str().unwrap();
    let path = format!("/v1/responses/{name}");
    let conversation = guarded.send("POST", "/v1/conversations", own, "{}").json();
    let place = format!("/v1/conversations/{}", conversation["id"].as_str().unwrap());
    let hello = json!({"items": [{"role": "user", "content": "a"}]}).to_string();
    for (method, path, body) in [
        ("GET", path.clone(), ""),
        ("GET", format!("{path}?stream=true"), ""),
        ("GET", format!("{path}/input_items"), ""),
        ("POST", format!("{path}/cancel"), ""),
        ("DELETE", path.clone(), ""),
        ("GET", place.clone(), ""),
        ("POST", place.clone(), "{}"),
        ("GET", format!("{place}/items"), ""),
        ("POST", format!("{place}/items"), &hello),
        ("DELETE", place.clone(), ""),
    ] {
        assert_eq!(guarded.send(method, &path, other, body).status, 404, "{method} {path}");
    }
    let item = &response["output"][0]["id"];
    for (field, value) in [
        ("previous_response_id", json!(name)),
        ("conversation", conversation["id"].clone()),
        ("input", json!([{"type": "item_reference", "id": item}])),
    ] {
        let mut body = json!({"model": "scripted", "input": "b"});
        body[field] = value;
        let body = body.to_string();
        let refused = guarded.send("POST", "/v1/responses", other, &body);
        assert!(matches!(refused.status, 400 | 404), "{field}: {}", refused.body);
        assert_eq!(guarded.send("POST", "/v1/responses", own, &body).status, 200, "{field}");
    }
    assert_eq!(guarded.send("GET", &path, own, "").json(), response);
    assert_eq!(guarded.send("DELETE", &path, own, "").status, 200);
}

#[test]
fn who_leaves_early_pays_for_what_was_done() {
    let few = Limits { tokens_per_minute: Some(5), ..Limits::default() };
    for store in [true, false] {
        let guarded = guarded(Act::Hang("ab"), &["preview"], &[("preview", few)]);
        let key = &guarded.keys[0];
        let body = json!({"model": "scripted", "input": "a", "stream": true, "store": store});
        let mut stream = BufReader::new(guarded.server.connect());
        let asked = request("POST", "/v1/responses", key, &body.to_string());
        stream.get_mut().write_all(asked.as_bytes()).unwrap();
        assert_eq!(Answer::head(&mut stream).status, 200);
        let models = || guarded.send("GET", "/v1/models", key, "");
        let left =
            |answer: &Answer| answer.header("x-ratelimit-remaining-tokens").map(str::to_owned);
        assert_eq!(left(&models()).as_deref(), Some("5"));
        drop(stream);
        wait_until("it is paid for", || left(&models()).as_deref() == Some("0"));
        let metrics = guarded.send("GET", "/metrics", key, "").body;
        assert!(metrics.contains("answers_total{key=\"ci\",status=\"cancelled\"} 1"), "{metrics}");
    }
}

#[test]
fn counting_counts_as_a_request() {
    let few = Limits { requests_per_minute: Some(1), ..Limits::default() };
    let counted = json!({"model": "scripted", "input": "a"}).to_string();
    let tokens = json!({"content": "a"}).to_string();
    for (path, body) in [
        ("/tokenize", &tokens),
        ("/v1/responses/input_tokens", &counted),
        ("/v1/responses/compact", &counted),
    ] {
        let guarded = guarded(HELLO, &["preview"], &[("preview", few)]);
        let ask = || guarded.send("POST", path, &guarded.keys[0], body);
        assert_eq!(ask().status, 200, "{path}");
        assert_eq!(ask().error(), "429 rate_limit_exceeded", "{path}");
    }
}
