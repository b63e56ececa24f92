//! Who is let in, and what is refused before a request means anything.

use crate::client::{Answer, Server, post, scripted, scripted_with};
use crate::script::{self, Act};
use cerium_engine::FinishReason;
use cerium_server::{Doors, Public, ServerOptions, serve};
use serde_json::json;
use std::io::{BufReader, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;
use tokio::sync::oneshot;

const HELLO: Act = Act::Say("Hi", FinishReason::Stop);

/// Status and code of `GET /health` with these header lines.
fn knock(server: &Server, headers: &str) -> String {
    let answer = server.send(format!("GET /health HTTP/1.1\r\n{headers}\r\n").as_bytes());
    if answer.status == 200 { "200".to_owned() } else { answer.error() }
}

#[test]
fn hosts_that_are_not_this_server_are_refused() {
    let options = ServerOptions { host_names: vec!["Box.lan".into()], ..Default::default() };
    let (server, _) = scripted_with(HELLO, options);
    let host = |host: &str| knock(&server, &format!("Host: {host}\r\n"));
    for ours in [
        "localhost",
        "localhost:8383",
        "LOCALHOST:1",
        "127.0.0.1",
        "127.0.0.1:8383",
        "127.8.8.8:8383",
        "[::1]:8383",
        "box.LAN:80",
    ] {
        assert_eq!(host(ours), "200", "{ours}");
    }
    // A name of the attacker's that resolves to this machine, and things that look like ours.
    for theirs in [
        "evil.example",
        "evil.example:8383",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "192.168.0.7",
        "[::2]",
        "0.0.0.0:8383",
        "2130706433",
    ] {
        assert_eq!(host(theirs), "403 host_not_allowed", "{theirs}");
    }
    for nonsense in ["", "a b", "evil.example@127.0.0.1", "[::1", "\u{e9}"] {
        assert_eq!(host(nonsense), "400 invalid_host", "{nonsense}");
    }
    assert_eq!(knock(&server, ""), "400 invalid_host");
    assert_eq!(knock(&server, "Host: localhost\r\nHost: localhost\r\n"), "400 invalid_host");
    let absolute = b"GET http://evil.example/health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(server.send(absolute).error(), "403 host_not_allowed");
}

#[test]
fn pages_of_other_sites_are_refused() {
    let (server, seen) = scripted(HELLO);
    let origin =
        |origin: &str| knock(&server, &format!("Host: localhost:8383\r\nOrigin: {origin}\r\n"));
    assert_eq!(origin("http://localhost:8383"), "200");
    for theirs in [
        "https://evil.example",
        "http://localhost:3000",
        "http://localhost",
        "http://127.0.0.1:8383",
        "null",
        "file://",
        "vscode-webview://x",
        "",
    ] {
        assert_eq!(origin(theirs), "403 origin_not_allowed", "{theirs}");
    }
    let body = json!({"model": "scripted", "input": "a"});
    let request = String::from_utf8(post("/v1/responses", &body)).unwrap();
    let request = request.replacen("\r\n", "\r\nOrigin: https://evil.example\r\n", 1);
    assert_eq!(server.send(request.as_bytes()).error(), "403 origin_not_allowed");
    // What a browser asks first when a page wants to send JSON.
    let preflight = b"OPTIONS /v1/responses HTTP/1.1\r\nHost: localhost\r\n\
        Origin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\n\r\n";
    let answer = server.send(preflight);
    assert_eq!(answer.error(), "403 origin_not_allowed");
    assert_eq!(answer.header("access-control-allow-origin"), None);
    assert_eq!(seen.jobs.lock().unwrap().len(), 0);
}

#[test]
fn pages_of_a_site_that_is_named_may_ask_and_read_what_comes() {
    let site = "https://app.example";
    let options = ServerOptions { cors: vec![site.parse().unwrap()], ..Default::default() };
    let (server, _) = scripted_with(HELLO, options);
    let asked = format!(
        "OPTIONS /v1/responses HTTP/1.1\r\nHost: localhost\r\nOrigin: {site}\r\n\
         Access-Control-Request-Method: POST\r\n\
         Access-Control-Request-Headers: authorization,content-type,x-stainless-os\r\n\r\n"
    );
    let answer = server.send(asked.as_bytes());
    assert_eq!(answer.status, 204);
    let told = |answer: &Answer, name: &str| answer.header(name).unwrap_or_default().to_owned();
    assert_eq!(told(&answer, "access-control-allow-origin"), site);
    assert_eq!(
        told(&answer, "access-control-allow-headers"),
        "authorization,content-type,x-stainless-os"
    );
    assert!(told(&answer, "access-control-allow-methods").contains("DELETE"));
    let request = post("/v1/responses", &json!({"model": "scripted", "input": "a"}));
    let request = String::from_utf8(request).unwrap();
    let from = |origin: &str| {
        server.send(request.replacen("\r\n", &format!("\r\nOrigin: {origin}\r\n"), 1).as_bytes())
    };
    let answer = from(site);
    assert_eq!(answer.status, 200);
    assert_eq!(told(&answer, "access-control-allow-origin"), site);
    assert_eq!(told(&answer, "vary"), "origin");
    assert!(told(&answer, "access-control-expose-headers").contains("x-request-id"));
    for theirs in ["https://app.example.evil", "http://app.example", "https://app.example:444"] {
        assert_eq!(from(theirs).error(), "403 origin_not_allowed", "{theirs}");
    }
    assert_eq!(server.get("/health").header("access-control-allow-origin"), None);
}

#[test]
fn a_unix_socket_is_a_door_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let doors = Doors { public: Some(Public::bind_unix(&path, false).unwrap()), private: None };
    let (service, _) = script::service(HELLO);
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let stopped = async { drop(stopped.await) };
        runtime.block_on(serve(doors, service, ServerOptions::default(), stopped)).unwrap();
    });
    let ask = |head: &str| {
        let mut stream = UnixStream::connect(&path).unwrap();
        write!(stream, "GET /v1/models HTTP/1.1\r\n{head}\r\n").unwrap();
        Answer::read(&mut BufReader::new(stream))
    };
    assert_eq!(ask("Host: what.a.proxy.is.called\r\n").json()["data"][0]["id"], "scripted");
    let page = ask("Host: localhost\r\nOrigin: https://evil.example\r\n");
    assert_eq!(page.error(), "403 origin_not_allowed");
    drop(stop);
    serving.join().unwrap();
    assert!(!path.exists());
}

#[test]
fn paths_and_methods_that_are_not_served() {
    let (server, _) = scripted(HELLO);
    for path in ["/", "/v1", "/v1/embeddings", "/v1/responses/", "/v1/models/", "//"] {
        assert_eq!(server.get(path).error(), "404 unknown_url", "{path}");
    }
    let get = server.get("/v1/responses");
    assert_eq!(get.error(), "405 method_not_allowed");
    assert_eq!(get.header("allow"), Some("POST"));
    let get = server.get("/v1/chat/completions");
    assert_eq!(get.error(), "405 method_not_allowed");
    assert_eq!(get.header("allow"), Some("POST"));
    assert_eq!(server.post("/v1/models", &json!({})).error(), "405 method_not_allowed");
}

#[test]
fn bodies_that_are_not_plain_json_are_refused() {
    let (server, _) = scripted(HELLO);
    let send = |headers: &str, body: &str| {
        let n = body.len();
        let request = format!(
            "POST /v1/responses HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {n}\r\n\r\n\
             {body}"
        );
        server.send(request.as_bytes()).error()
    };
    let json = "Content-Type: application/json\r\n";
    assert_eq!(send("", "{}"), "415 unsupported_media_type");
    assert_eq!(send("Content-Type: text/plain\r\n", "{}"), "415 unsupported_media_type");
    let gzip = format!("{json}Content-Encoding: gzip\r\n");
    assert_eq!(send(&gzip, "{}"), "415 unsupported_media_type");
    assert_eq!(send(json, "{"), "400 invalid_json");
    assert_eq!(send(json, ""), "400 invalid_json");
    assert_eq!(send(json, &"[".repeat(1 << 20)), "400 invalid_type");
    let charset = "Content-Type: Application/JSON; charset=utf-8\r\n";
    assert_eq!(send(charset, "{}"), "400 missing_required_parameter");
}

#[test]
fn bodies_are_bounded_in_size_and_time() {
    let options = ServerOptions {
        body_bytes_max: 1000,
        upload_max: Duration::from_millis(50),
        ..Default::default()
    };
    let (server, _) = scripted_with(HELLO, options);
    let head =
        "POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let announced = format!("{head}Content-Length: 1001\r\n\r\n");
    assert_eq!(server.send(announced.as_bytes()).error(), "413 request_too_large");
    let chunk = format!("200\r\n{}\r\n", " ".repeat(0x200));
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n");
    assert_eq!(server.send(chunked.as_bytes()).error(), "413 request_too_large");
    let fits = format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}2\r\n{{}}\r\n0\r\n\r\n");
    assert_eq!(server.send(fits.as_bytes()).error(), "400 missing_required_parameter");
    let half = format!("{head}Content-Length: 10\r\n\r\n{{");
    assert_eq!(server.send(half.as_bytes()).error(), "408 request_timeout");
}
