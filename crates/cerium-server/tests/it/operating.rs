//! What an operator sees.

use crate::client::{Server, scripted, wait_until};
use crate::script::{self, Act};
use crate::stored::{keeping, remembering};
use cerium_engine::FinishReason;
use cerium_server::Place;
use serde_json::json;
use std::io::Write;

const HELLO: Act = Act::Say("Hi", FinishReason::Stop);

/// The value of a line of `/metrics`.
fn metric(server: &Server, line: &str) -> f64 {
    let page = server.get("/metrics").body;
    let value = page.lines().find_map(|it| it.strip_prefix(line)?.strip_prefix(' '));
    value.map_or(0.0, |value| value.parse().unwrap())
}

#[test]
fn what_was_answered_is_counted() {
    let (server, _) = scripted(HELLO);
    assert_eq!(metric(&server, "cerium_generation_tokens_total{key=\"\"}"), 0.0);
    let body = json!({"model": "scripted", "input": "a"});
    let usage = server.post("/v1/responses", &body).json()["usage"].take();
    assert_eq!(server.post("/v1/responses", &json!({})).status, 400);
    for (line, wanted) in [
        ("cerium_answers_total{key=\"\",status=\"completed\"}", &json!(1)),
        ("cerium_prompt_tokens_total{key=\"\"}", &usage["input_tokens"]),
        (
            "cerium_prompt_tokens_cached_total{key=\"\"}",
            &usage["input_tokens_details"]["cached_tokens"],
        ),
        ("cerium_generation_tokens_total{key=\"\"}", &usage["output_tokens"]),
        ("cerium_time_to_first_token_seconds_count{model_name=\"scripted\"}", &json!(1)),
        ("cerium_e2e_request_latency_seconds_count{model_name=\"scripted\"}", &json!(1)),
        ("cerium_num_requests_running", &json!(0)),
        ("cerium_http_responses_total{code=\"400\"}", &json!(1)),
    ] {
        assert_eq!(Some(metric(&server, line)), wanted.as_f64(), "{line}");
    }
    let page = server.get("/metrics");
    assert!(page.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    assert!(page.body.ends_with("# EOF\n"));
}

#[test]
fn what_is_in_progress_is_seen() {
    let (server, _) = scripted(Act::Hang("ab"));
    let mut stream = server.connect();
    let body = json!({"model": "scripted", "input": "a"});
    stream.write_all(&crate::client::post("/v1/responses", &body)).unwrap();
    wait_until("it runs", || metric(&server, "cerium_num_requests_running") == 1.0);
    drop(stream);
    wait_until("it rests", || metric(&server, "cerium_num_requests_running") == 0.0);
}

#[test]
fn a_server_is_ready_while_its_store_answers() {
    let (server, _) = scripted(HELLO);
    assert_eq!(server.get("/ready").status, 200, "it needs no store");
    let (server, _, _dir) = remembering(HELLO);
    assert_eq!(server.get("/ready").status, 200);
    let (service, _) = script::service(HELLO);
    let nowhere = "postgres://nobody@127.0.0.1:1/nothing".to_owned();
    let server = Server::start(service, keeping(Place::Url(nowhere)));
    let answer = server.get("/ready");
    assert_eq!((answer.status, &answer.json()["status"]), (503, &"store unavailable".into()));
    assert_eq!(server.get("/health").status, 200, "but it lives");
}
