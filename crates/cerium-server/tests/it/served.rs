//! What is served, path by path.

use crate::client::scripted;
use crate::script::{Act, spell};
use cerium_engine::FinishReason;
use serde_json::{Value, json};

const HELLO: Act = Act::Say("Hi 🦀", FinishReason::Stop);

#[test]
fn a_response_whole() {
    let (server, seen) = scripted(HELLO);
    let body = json!({"model": "scripted", "input": "a", "instructions": "be brief",
                      "metadata": {"a": "b"}});
    let answer = server.post("/v1/responses", &body);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("openai-model"), Some("scripted"));
    assert!(answer.header("x-request-id").unwrap().starts_with("req_"));
    assert!(answer.header("openai-processing-ms").is_some());
    let json = answer.json();
    assert_eq!(json["status"], "completed");
    assert_eq!(json["output"][0]["content"][0]["text"], "Hi 🦀");
    assert_eq!(json["usage"]["input_tokens_details"]["cached_tokens"], 3);
    assert_eq!(json["metadata"], json!({"a": "b"}));
    assert_eq!(json["store"], false);
    assert_eq!(json["instructions"], "be brief");
    assert!(json["created_at"].as_u64().unwrap() > 1_700_000_000);
    assert!(spell(&seen.jobs.lock().unwrap()[0].prompt).starts_with("«im_start»system\nbe brief"));
}

#[test]
fn a_response_as_a_stream() {
    let (server, _) = scripted(HELLO);
    let body = json!({"model": "scripted", "input": "a", "stream": true});
    let answer = server.post("/v1/responses", &body);
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert!(answer.whole);
    let names: Vec<_> =
        answer.body.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    let events: Vec<Value> =
        answer.data().iter().map(|data| serde_json::from_str(data).unwrap()).collect();
    for (n, (name, event)) in names.iter().zip(&events).enumerate() {
        assert_eq!(event["type"], *name);
        assert_eq!(event["sequence_number"], n);
    }
    let deltas = ["response.output_text.delta"; 4];
    let head = [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ];
    let tail = [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ];
    assert_eq!(names, [head, deltas, tail].concat());
    let text: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(text, "Hi 🦀");
    assert_eq!(events[11]["response"]["output"][0]["content"][0]["text"], "Hi 🦀");
    assert_eq!(answer.data().len(), 12, "there is no [DONE] here");
}

#[test]
fn a_chat_whole_and_as_a_stream() {
    let (server, _) = scripted(HELLO);
    let body = json!({"model": "scripted", "messages": [{"role": "user", "content": "a"}]});
    let whole = server.post("/v1/chat/completions", &body).json();
    assert_eq!(whole["choices"][0]["message"]["content"], "Hi 🦀");
    assert_eq!(whole["choices"][0]["finish_reason"], "stop");
    assert_eq!(whole["usage"]["prompt_tokens_details"]["cached_tokens"], 3);

    let body = json!({"model": "scripted", "messages": [{"role": "user", "content": "a"}],
                      "stream": true, "stream_options": {"include_usage": true}});
    let answer = server.post("/v1/chat/completions", &body);
    let mut data = answer.data();
    assert_eq!(data.pop(), Some("[DONE]"));
    let chunks: Vec<Value> = data.iter().map(|data| serde_json::from_str(data).unwrap()).collect();
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let text: String =
        chunks.iter().filter_map(|c| c["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, "Hi 🦀");
    assert_eq!(chunks[chunks.len() - 2]["choices"][0]["finish_reason"], "stop");
    assert_eq!(chunks[chunks.len() - 1]["usage"], whole["usage"]);
}

#[test]
fn a_completion_whole_and_as_a_stream() {
    let (server, seen) = scripted(Act::Say("ab", FinishReason::Length));
    let body = json!({"model": "scripted", "prompt": "x", "suffix": "y", "max_tokens": 2});
    let whole = server.post("/v1/completions", &body).json();
    assert_eq!(whole["choices"][0]["text"], "ab");
    assert_eq!(whole["choices"][0]["finish_reason"], "length");
    assert_eq!(
        spell(&seen.jobs.lock().unwrap()[0].prompt),
        "«fim_prefix»x«fim_suffix»y«fim_middle»"
    );
    let body = json!({"model": "scripted", "prompt": "x", "stream": true});
    let answer = server.post("/v1/completions", &body);
    assert_eq!(answer.data().last(), Some(&"[DONE]"));
    assert_eq!(answer.data().len(), 4, "{}", answer.body);
}

#[test]
fn health_and_models() {
    let (server, _) = scripted(HELLO);
    assert_eq!(server.get("/health").json(), json!({"status": "ok"}));
    let list = server.get("/v1/models").json();
    let model = server.get("/v1/models/scripted").json();
    assert_eq!(list["object"], "list");
    assert_eq!(list["data"], json!([model]));
    assert_eq!((&model["id"], &model["context_length"]), (&json!("scripted"), &json!(400)));
    assert_eq!(server.get("/v1/models/gpt-9").error(), "404 model_not_found");
}

#[test]
fn requests_that_cannot_be_served_are_told_why() {
    let (server, seen) = scripted(HELLO);
    let told = |path: &str, body: Value| {
        let answer = server.post(path, &body);
        format!("{} {}", answer.error(), answer.json()["error"]["param"])
    };
    let responses = |body| told("/v1/responses", body);
    let chat = |body| told("/v1/chat/completions", body);
    assert_eq!(
        responses(json!({"model": "gpt-9", "input": "a"})),
        r#"404 model_not_found "model""#
    );
    assert_eq!(responses(json!({})), r#"400 missing_required_parameter "model""#);
    assert_eq!(responses(json!([])), "400 invalid_type null");
    assert_eq!(
        responses(json!({"model": "scripted", "input": "a", "tools": [{}]})),
        r#"400 invalid_value "tools[0].name""#
    );
    let long = "a".repeat(400);
    assert_eq!(
        responses(json!({"model": "scripted", "input": long, "stream": true})),
        r#"400 context_length_exceeded "input""#
    );
    assert_eq!(
        chat(json!({"model": "scripted", "messages": [{"role": "user", "content": long}]})),
        r#"400 context_length_exceeded "messages""#
    );
    assert_eq!(
        chat(json!({"model": "scripted", "messages": [{"role": "user", "content": "a"}],
                    "temperature": 3})),
        r#"400 invalid_value "temperature""#
    );
    assert_eq!(seen.jobs.lock().unwrap().len(), 0);
}

#[test]
fn a_full_engine_is_a_503_that_says_when_to_come_back() {
    let (server, _) = scripted(Act::Refuse);
    let body = json!({"model": "scripted", "input": "a", "stream": true});
    let answer = server.post("/v1/responses", &body);
    assert_eq!(answer.error(), "503 server_is_overloaded");
    assert_eq!(answer.header("retry-after"), Some("1"));
}

#[test]
fn an_engine_that_dies_is_a_500_or_a_failed_stream() {
    let (server, _) = scripted(Act::Die("ab"));
    let body = |stream| json!({"model": "scripted", "input": "a", "stream": stream});
    assert_eq!(server.post("/v1/responses", &body(false)).error(), "500 server_error");
    let answer = server.post("/v1/responses", &body(true));
    assert!(answer.whole);
    let last: Value = serde_json::from_str(answer.data().last().unwrap()).unwrap();
    assert_eq!(last["type"], "response.failed");
    assert_eq!(last["response"]["error"]["code"], "server_error");
    let body = json!({"model": "scripted", "messages": [{"role": "user", "content": "a"}],
                      "stream": true});
    let answer = server.post("/v1/chat/completions", &body);
    let data = answer.data();
    assert!(data[data.len() - 2].starts_with(r#"{"error":{"message":"#), "{}", answer.body);
}
