//! A page beside the protocols, and what it sees of what is done.

use crate::client::{Answer, Server, chunk, post, scripted_with, wait_until};
use crate::script::Act;
use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::{get, post as takes};
use cerium_engine::FinishReason;
use cerium_protocol::{CreateResponse, Event, Input};
use cerium_server::{Caller, Refusal, ServerOptions};
use serde_json::{Value, json};
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A page of one file, which has the model say something.
pub(crate) fn page() -> Router {
    let say = async |caller: Caller, request: Request| -> Result<Response, Refusal> {
        let text: String = caller.read(request).await?;
        let (telling, response) = caller.tell();
        let asked = CreateResponse::new("scripted".to_owned(), Input::Text(text));
        let mut answer = caller.respond(&asked)?;
        tokio::spawn(async move {
            while let Some(event) = answer.next().await {
                if let Event::TextDelta(delta) = event {
                    telling.tell("text", &delta.text).await;
                }
            }
            telling.end().await;
        });
        Ok(response)
    };
    Router::new().route("/", get("a page")).route("/page/say", takes(say))
}

/// Somebody who looks on.
struct Looker(BufReader<TcpStream>);

impl Looker {
    fn new(server: &Server, tab: &str) -> Self {
        let mut stream = server.connect();
        stream.write_all(&from_tab(tab, "/page/live", &json!({}))).unwrap();
        let mut stream = BufReader::new(stream);
        assert_eq!(Answer::head(&mut stream).status, 200);
        let mut looker = Self(stream);
        looker.hear(|event, _| event == "hello");
        looker
    }

    /// All that is told up to an event.
    fn hear(&mut self, is_last: impl Fn(&str, &Value) -> bool) -> Vec<Value> {
        let mut told = Vec::new();
        loop {
            let chunk = chunk(&mut self.0).expect("the stream goes on");
            let text = String::from_utf8(chunk).unwrap();
            let event = text.lines().find_map(|line| line.strip_prefix("event: "));
            let Some(event) = event else { continue };
            let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
            let data: Value = serde_json::from_str(data).unwrap();
            let over = is_last(event, &data);
            told.push(data);
            if over {
                return told;
            }
        }
    }

    /// What is seen of the next answer's text.
    fn reads(&mut self) -> String {
        let told = self.hear(|event, data| event == "moment" && data["event"] == "ended");
        let tokens = told.iter().filter(|data| data["event"] == "token");
        let mut n_tokens = 0;
        let text = tokens.inspect(|_| n_tokens += 1).filter_map(|data| data["text"].as_str());
        let text = text.collect();
        assert!(n_tokens > 0, "that something is written is seen by all: {told:?}");
        text
    }
}

fn from_tab(tab: &str, path: &str, body: &Value) -> Vec<u8> {
    let request = String::from_utf8(post(path, body)).unwrap();
    request.replacen("\r\n", &format!("\r\nX-Cerium-Tab: {tab}\r\n"), 1).into_bytes()
}

#[test]
fn what_is_answered_is_read_by_the_tab_that_asked() {
    let options =
        ServerOptions { page: page(), grace: Duration::from_millis(50), ..Default::default() };
    let (server, _) = scripted_with(Act::Say("Hi there", FinishReason::Stop), options);
    assert_eq!(server.get("/").body, "a page");
    let (mine, other) = ("0123456789abcdef", "fedcba9876543210");
    let (mut i, mut they) = (Looker::new(&server, mine), Looker::new(&server, other));

    let answer = server.send(&from_tab(mine, "/page/say", &json!("Hello")));
    assert!(answer.whole && answer.body.starts_with("event: text\n"), "{answer:?}");
    assert_eq!((i.reads().as_str(), they.reads().as_str()), ("Hi there", ""));

    // A client that is no page; and a name too short to be a secret.
    server.post("/v1/responses", &json!({"model": "scripted", "input": "a"}));
    assert_eq!((i.reads().as_str(), they.reads().as_str()), ("", ""));
    let mut guesser = Looker::new(&server, "x");
    server.send(&from_tab("x", "/page/say", &json!("Hello")));
    assert_eq!(guesser.reads(), "");
}

#[test]
fn not_everybody_can_look_on() {
    let (server, _) = scripted_with(Act::Say("Hi", FinishReason::Stop), ServerOptions::default());
    let lookers: Vec<_> = (0..8).map(|_| Looker::new(&server, "0123456789abcdef")).collect();
    assert_eq!(server.post("/page/live", &json!({})).error(), "503 server_is_overloaded");
    drop(lookers);
    // Their places are free once the server sees them gone; and it stops without waiting for who looks.
    wait_until("a place is free", || {
        let mut stream = server.connect();
        stream.write_all(&post("/page/live", &json!({}))).unwrap();
        Answer::head(&mut BufReader::new(stream)).status == 200
    });
}
