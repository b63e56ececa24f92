//! `cerium serve`: a door that opens, answers, closes.

use crate::client::wait_until;
use crate::world::World;
use cerium_hub::test_model;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    log: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn start(world: &World) -> Server {
    start_with(world, &[])
}

fn start_with(world: &World, args: &[&str]) -> Server {
    start_of(world, "smollm2-135m", args)
}

/// Serves a model of the catalogue.
pub(crate) fn start_of(world: &World, model: &str, args: &[&str]) -> Server {
    let (model, log) = (test_model(model), world.path("serve.log"));
    let mut child = world
        .command(&["serve", "--listen", "127.0.0.1:0", "--json", "--model"])
        .arg(model)
        .args(args)
        .stdout(Stdio::piped())
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.as_mut().unwrap());
    let hello = serde_json::Deserializer::from_reader(stdout).into_iter::<Value>().next();
    let address = hello.unwrap().unwrap()["address"].as_str().unwrap().to_owned();
    Server { child, address, log }
}

impl Server {
    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// Has it read its settings again.
    pub(crate) fn reload(&self) {
        self.signal(Signal::HUP);
    }

    /// What it has said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Has it end as Ctrl-C does.
    pub(crate) fn stop(mut self) {
        self.signal(Signal::INT);
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }

    /// The whole answer to a request after which the connection is closed.
    pub(crate) fn exchange(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Status and body of one request.
    pub(crate) fn request(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let answer = self.exchange(&format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len(),
        ));
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }
}

#[test]
fn it_answers_and_ends_when_asked_to() {
    let world = World::new();
    let mut server = start(&world);
    assert_eq!(server.request("GET", "/health", "").0, 200);
    let (status, models) = server.request("GET", "/v1/models", "");
    assert_eq!((status, &models["data"][0]["id"]), (200, &"SmolLM2-135M-Instruct.Q4_1".into()));
    let body = json!({
        "model": "SmolLM2-135M-Instruct.Q4_1",
        "messages": [{"role": "user", "content": "Say hello."}],
        "max_tokens": 4,
    });
    let (status, answer) = server.request("POST", "/v1/chat/completions", &body.to_string());
    assert_eq!(status, 200, "{answer:#}");
    assert!(answer["choices"][0]["message"]["content"].is_string(), "{answer:#}");

    server.signal(Signal::INT);
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    assert!(TcpStream::connect(&server.address).is_err());
}

#[test]
fn a_port_in_use_is_noticed_at_once() {
    let world = World::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    // No model is on this machine: the port is looked at first.
    let ran = world.run(&["serve", "--listen", &address]).exits(2);
    ran.says(&format!("listening on {address}")).says("hint: another server has this port");
}

#[test]
fn settings_are_read_again_while_it_runs() {
    let world = World::new();
    let config = world.path("config/cerium/config.toml");
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    let server = start_with(&world, &["--no-store"]);
    let is_let_in = |site: &str| {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        let (host, end) = (&server.address, "Connection: close\r\n\r\n");
        write!(stream, "GET /health HTTP/1.1\r\nHost: {host}\r\nOrigin: {site}\r\n{end}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.starts_with("HTTP/1.1 200")
    };
    // More than once: it is no signal to end, however often it comes.
    for site in ["https://a.example", "https://b.example", "https://c.example"] {
        assert!(!is_let_in(site));
        fs::write(&config, format!("[serve]\ncors = ['{site}']\n")).unwrap();
        server.reload();
        wait_until("the site is let in", || is_let_in(site));
    }
    // What is wrong changes nothing.
    fs::write(&config, "[serve]\ncors = ['*']\n").unwrap();
    server.reload();
    wait_until("it says so", || server.log().contains("settings stay as they were"));
    assert!(is_let_in("https://c.example"));
}

#[test]
fn what_it_answered_is_found_after_a_restart() {
    let world = World::new();
    let name = "SmolLM2-135M-Instruct.Q4_1";
    let ask = |server: &Server, mut body: Value| {
        body["model"] = name.into();
        body["max_output_tokens"] = 4.into();
        let (status, response) = server.request("POST", "/v1/responses", &body.to_string());
        assert_eq!(status, 200, "{response:#}");
        response
    };
    let server = start(&world);
    let first = ask(&server, json!({"input": "Say hello."}));
    server.stop();
    assert!(world.path("state/cerium/store.sqlite").exists());

    let server = start(&world);
    let path = format!("/v1/responses/{}", first["id"].as_str().unwrap());
    assert_eq!(server.request("GET", &path, ""), (200, first.clone()));
    let second = ask(&server, json!({"input": "Again.", "previous_response_id": first["id"]}));
    let n_tokens = |response: &Value| response["usage"]["input_tokens"].as_u64().unwrap();
    assert!(n_tokens(&second) > n_tokens(&first));
    server.stop();

    // Nothing is kept, nor is there anything to be found.
    let server = start_with(&world, &["--no-store"]);
    assert_eq!(server.request("GET", &path, "").0, 404);
    assert_eq!(ask(&server, json!({"input": "Say hello."}))["store"], false);
    server.stop();

    std::fs::write(world.path("state/cerium/store.sqlite"), "no database ".repeat(999)).unwrap();
    let model = test_model("smollm2-135m");
    let mut command = world.command(&["serve", "--listen", "127.0.0.1:0", "--model"]);
    let ran = crate::world::Ran::of(command.arg(model));
    ran.exits(2).says("the store is damaged").says("hint: put the store aside");
}

#[test]
fn other_machines_are_served_with_keys_alone() {
    let world = World::new();
    let everywhere = ["serve", "--listen", "0.0.0.0:0"];
    // No model is on this machine: keys are looked for first.
    world
        .run(&everywhere)
        .exits(2)
        .says("there is no key")
        .says("hint: make one with `cerium keys");
    std::fs::create_dir_all(world.path("config/cerium")).unwrap();
    let tiers = "[tiers.preview]\nrequests_per_minute = 1\n";
    std::fs::write(world.path("config/cerium/config.toml"), tiers).unwrap();
    let create = ["keys", "create", "ci", "--tier", "preview", "--json"];
    let made = world.run(&create).ok().json();
    let key = made["key"].as_str().unwrap();
    let refused = world.run(&["keys", "create", "ci", "--tier", "partner"]).exits(2);
    refused.says("there is no tier `partner`").says("preview");
    let listed = world.run(&["keys", "list"]).ok().stdout;
    assert!(listed.contains(made["id"].as_str().unwrap()) && !listed.contains(key), "{listed}");

    let server = start_with(&world, &["--keys"]);
    assert_eq!(server.request("GET", "/v1/models", "").0, 401);
    let with_key = |server: &Server| {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        let head = format!("Host: localhost\r\nConnection: close\r\nAuthorization: Bearer {key}");
        write!(stream, "GET /v1/models HTTP/1.1\r\n{head}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(with_key(&server), "200");
    world.run(&["keys", "revoke", made["id"].as_str().unwrap()]).ok();
    let begun = std::time::Instant::now();
    while with_key(&server) != "401" {
        assert!(begun.elapsed().as_secs() < 60, "a revoked key still opens the server");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    world.run(&everywhere).exits(2).says("there is no key");
}

#[test]
fn what_was_being_written_when_it_was_killed_is_told_to_have_failed() {
    let world = World::new();
    let mut server = start(&world);
    let body = json!({"model": "SmolLM2-135M-Instruct.Q4_1", "input": "Count to a million.",
                      "background": true, "max_output_tokens": 4000,
                      // Neither of its ends: it goes on for as long as it may.
                      "cerium": {"logit_bias": {"0": -100, "2": -100}}});
    let (status, begun) = server.request("POST", "/v1/responses", &body.to_string());
    assert_eq!((status, &begun["status"]), (200, &"queued".into()));
    let path = format!("/v1/responses/{}", begun["id"].as_str().unwrap());
    let begun = Instant::now();
    let look = |server: &Server, wanted: &str| loop {
        let (status, response) = server.request("GET", &path, "");
        assert_eq!(status, 200, "{response:#}");
        if response["status"] == wanted {
            return response;
        }
        assert!(begun.elapsed() < Duration::from_mins(2), "{response:#}");
        thread::sleep(Duration::from_millis(100));
    };
    look(&server, "in_progress");
    // What was told until a second before is kept.
    thread::sleep(Duration::from_secs(3));
    server.child.kill().unwrap();
    server.child.wait().unwrap();

    let server = start(&world);
    let failed = look(&server, "failed");
    assert_eq!(failed["error"]["code"], "server_error", "{failed:#}");
    let mut stream = TcpStream::connect(&server.address).unwrap();
    let (host, end) = (&server.address, "Connection: close\r\n\r\n");
    write!(stream, "GET {path}?stream=true HTTP/1.1\r\nHost: {host}\r\n{end}").unwrap();
    let mut told = String::new();
    stream.read_to_string(&mut told).unwrap();
    assert!(told.contains("event: response.output_text.delta"), "{told}");
    assert_eq!(told.matches("event: response.failed").count(), 1, "{told}");
}
