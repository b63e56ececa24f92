//! Engines that do what they should not.

use crate::asked::{of, request, runtime, told};
use crate::engine::{Act, Engine, PATIENCE, chat, chunk};
use cerium_upstream::{Dialect, UpstreamOptions, Upstreams};
use serde_json::json;
use std::time::Duration;

/// Whose patience decides what is told in these tests: theirs runs out, that of others does not.
const SHORT: Duration = Duration::from_millis(300);

/// What becomes of an answer of an engine that plays these acts.
fn ask(acts: Vec<Act>) -> (String, Engine) {
    ask_with(acts, PATIENCE, PATIENCE)
}

fn ask_with(acts: Vec<Act>, first_max: Duration, silence_max: Duration) -> (String, Engine) {
    let engine = Engine::play(acts);
    let told = runtime().block_on(async {
        let options = UpstreamOptions { first_max, silence_max, ..of(&engine, Dialect::Chat) };
        told(Upstreams::new(vec![options]).unwrap().respond(request("go"))).await
    });
    (told, engine)
}

fn end((told, _): (String, Engine)) -> String {
    told.lines().last().unwrap().to_owned()
}

fn last(acts: Vec<Act>) -> String {
    end(ask(acts))
}

#[test]
fn whatever_an_engine_sends_there_is_an_end() {
    let page = |text: &str| {
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
        Act::Raw(format!("{head}{text}").into_bytes())
    };
    let tell = |line: &str| Act::Tell(vec![line.to_owned()]);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let call = |call: serde_json::Value| json!({"choices": [{"delta": {"tool_calls": [call]}}]});
    let cases = [
        ("nothing", Act::Raw(Vec::new())),
        ("no HTTP", Act::Raw(b"SSH-2.0-x\r\n\r\n".to_vec())),
        ("an endless head", Act::Raw([b"HTTP/1.1 200 OK\r\n", &b"x: y\r\n".repeat(1 << 16)[..]].concat())),
        ("a page", Act::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>".to_vec())),
        ("an empty stream", page("")),
        ("bad JSON", tell("{")),
        ("deep JSON", tell(&deep)),
        ("a wrong type", tell(r#"{"choices": 7}"#)),
        ("bad UTF-8", Act::Raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: \"\xff\"\n\n".to_vec())),
        ("arguments without a call", tell(&call(json!({"index": 0, "function": {"arguments": "x"}})).to_string())),
        ("an error", tell(r#"{"error": {"message": "CUDA is out of memory", "code": 500}}"#)),
        ("a cut stream", Act::TellAndBreak(vec![chunk("a")])),
        ("a stream without an end", Act::Tell(vec![chunk("a")])),
    ];
    let told: Vec<String> =
        cases.map(|(what, act)| format!("{what}: {}", last(vec![act]))).into_iter().collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn silence_has_an_end() {
    let a = || vec![chunk("a")];
    let after_a_word = |act| end(ask_with(vec![act], PATIENCE, SHORT));
    let from_the_start = |act| end(ask_with(vec![act], SHORT, PATIENCE));
    let told = [
        after_a_word(Act::TellAndHang(a())),
        after_a_word(Act::TellAndBabble(a())),
        from_the_start(Act::TellAndHang(Vec::new())),
        from_the_start(Act::TellAndBabble(Vec::new())),
    ];
    insta::assert_snapshot!(told.join("\n"), @r"
    failed 504 upstream_timeout: upstream `big` said nothing for 300ms
    failed 504 upstream_timeout: upstream `big` said nothing for 300ms
    failed 504 upstream_timeout: upstream `big` did not begin its answer within 300ms
    failed 504 upstream_timeout: upstream `big` did not begin its answer within 300ms
    ");
}

#[test]
fn a_word_that_was_told_is_not_told_twice() {
    let (told, engine) = ask(vec![Act::TellAndBreak(vec![chunk("a")]), Act::Tell(chat(&["b"]))]);
    assert!(told.contains("text a") && !told.contains("text b"), "{told}");
    assert_eq!(engine.asked().len(), 1);
}

#[test]
fn an_answer_without_an_end_is_cut() {
    let much = "x".repeat(1 << 20);
    let (told, _) = ask(vec![Act::Tell(vec![chunk(&much); 20])]);
    let end = told.lines().last().unwrap();
    assert!(end.contains("the answer is longer than 16777216 bytes"), "{end}");
}

#[test]
fn a_redirect_is_not_followed_and_the_key_goes_nowhere() {
    let other = Engine::play(vec![Act::Tell(chat(&["mine"]))]);
    let location =
        format!("HTTP/1.1 307 X\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", other.url());
    let end = last(vec![Act::Raw(location.into_bytes())]);
    insta::assert_snapshot!(end, @"failed 502 upstream_error: upstream `big` answers with a redirect, which is not followed: name its own address");
    assert!(other.asked().is_empty());
    for status in [400, 401, 500] {
        let body = json!({"error": {"message": "Incorrect API key provided: sk-secret."}});
        let end = last(vec![Act::Refuse(status, body.to_string())]);
        assert!(end.starts_with("failed") && !end.contains("sk-secret"), "{end}");
    }
    assert!(!format!("{:?}", of(&other, Dialect::Chat)).contains("sk-secret"));
}
