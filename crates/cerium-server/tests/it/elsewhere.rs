//! A model that an engine elsewhere serves, asked for at the same doors as the one of this process.

use crate::client::{Answer, Server, post, wait_until};
use crate::engine::{Act, Engine, chat, chunk};
use crate::script;
use crate::socket::Peer;
use crate::stored::keeping;
use cerium_engine::FinishReason;
use cerium_server::{Dialect, Place, ServerOptions, UpstreamOptions, Upstreams};
use serde_json::{Value, json};
use std::io::{BufReader, Write};
use std::time::Duration;

/// A server whose own model is `scripted`, and which has `ours` from an engine that plays these acts.
fn server(acts: Vec<Act>) -> (Server, Engine) {
    server_with(acts, ServerOptions { grace: Duration::from_millis(50), ..Default::default() })
}

fn server_with(acts: Vec<Act>, options: ServerOptions) -> (Server, Engine) {
    let engine = Engine::play(acts);
    let mut upstream = UpstreamOptions::new("big", &engine.url(), &[], Dialect::Chat);
    upstream.models = [("ours".to_owned(), "theirs".to_owned())].into();
    let upstreams = Some(Upstreams::new(vec![upstream]).unwrap());
    let (service, _) = script::service(script::Act::Say("Hi", FinishReason::Stop));
    (Server::start(service, ServerOptions { upstreams, ..options }), engine)
}

fn texts(events: &[Value]) -> String {
    events.iter().filter_map(|event| event["delta"].as_str()).collect()
}

#[test]
fn a_model_s_name_says_who_answers() {
    let (server, engine) = server(vec![Act::Tell(chat(&["from ", "there"]))]);
    wait_until("it has been looked at", || {
        server.get("/v1/models/ours").json()["context_length"] == 4096
    });
    let models = server.get("/v1/models").json()["data"].take();
    let names = models.as_array().unwrap().iter().map(|it| (&it["id"], &it["owned_by"]));
    let wanted = [(&json!("scripted"), &json!("cerium")), (&json!("ours"), &json!("big"))];
    assert_eq!(names.collect::<Vec<_>>(), wanted);

    let here = server.post("/v1/responses", &json!({"model": "scripted", "input": "a"})).json();
    assert_eq!(here["output"][0]["content"][0]["text"], "Hi");
    assert!(engine.asked().is_empty());

    let answer = server.post("/v1/responses", &json!({"model": "ours", "input": "a"}));
    assert_eq!(answer.header("openai-model"), Some("ours"));
    let there = answer.json();
    assert_eq!(there["output"][0]["content"][0]["text"], "from there");
    assert_eq!((&there["model"], &there["status"]), (&json!("ours"), &json!("completed")));
    assert_eq!(there["usage"]["input_tokens_details"]["cached_tokens"], 3);

    let body = json!({"model": "ours", "input": "a", "stream": true});
    let answer = server.post("/v1/responses", &body);
    let events: Vec<Value> =
        answer.data().iter().map(|data| serde_json::from_str(data).unwrap()).collect();
    assert_eq!(texts(&events), "from there");
    assert_eq!(events.last().unwrap()["type"], "response.completed");

    let messages = json!([{"role": "user", "content": "a"}]);
    let body = json!({"model": "ours", "messages": messages, "n": 2});
    let whole = server.post("/v1/chat/completions", &body).json();
    assert_eq!(whole["choices"][1]["message"]["content"], "from there");
    assert_eq!(
        (&whole["usage"]["prompt_tokens"], &whole["usage"]["completion_tokens"]),
        (&json!(7), &json!(4))
    );
    let body = json!({"model": "ours", "messages": messages, "stream": true});
    let answer = server.post("/v1/chat/completions", &body);
    assert_eq!(answer.data().last(), Some(&"[DONE]"));
    assert_eq!(engine.asked().len(), 5);
    assert!(engine.asked().iter().all(|asked| asked.body["model"] == "theirs"));

    let refused = server.post("/v1/responses", &json!({"model": "none", "input": "a"}));
    assert_eq!(refused.error(), "404 model_not_found");
    let counted =
        server.post("/v1/responses/input_tokens", &json!({"model": "ours", "input": "a"}));
    assert_eq!(counted.error(), "400 unsupported_parameter");
    let management = json!([{"type": "compaction"}]);
    let body = json!({"model": "ours", "input": "a", "context_management": management});
    assert_eq!(server.post("/v1/responses", &body).error(), "400 unsupported_parameter");
}

/// A model of this process thinks as its template has it; for an engine elsewhere it is a setting.
#[test]
fn how_much_is_to_be_thought_is_handed_on() {
    let (server, engine) = server(vec![Act::Tell(chat(&["there"]))]);
    let said = json!({"effort": "low", "summary": "auto"});
    let asked = |model: &str, said: &Value| {
        let body = json!({"model": model, "input": "a", "reasoning": said});
        server.post("/v1/responses", &body)
    };
    assert_eq!(asked("ours", &said).json()["reasoning"], said);
    let messages = json!([{"role": "user", "content": "a"}]);
    let body = json!({"model": "ours", "messages": messages, "reasoning_effort": "high"});
    assert_eq!(server.post("/v1/chat/completions", &body).status, 200);
    let efforts = || -> Vec<Value> {
        engine.asked().iter().map(|asked| asked.body["reasoning_effort"].clone()).collect()
    };
    assert_eq!(efforts(), ["low", "high"]);
    assert_eq!(asked("scripted", &said).json()["reasoning"], said);
    for model in ["ours", "scripted"] {
        assert_eq!(asked(model, &json!({"effort": "much"})).error(), "400 invalid_type");
    }
    assert_eq!(engine.asked().len(), 2);
}

#[test]
fn errors_keep_their_status_and_their_words() {
    let body = r#"{"error": {"message": "the context is full", "code": "context_length_exceeded",
                   "param": "messages", "type": "BadRequestError"}}"#;
    let (server, _) = server(vec![Act::Refuse(422, body.to_owned())]);
    let messages = json!([{"role": "user", "content": "a"}]);
    for stream in [false, true] {
        let body = json!({"model": "ours", "messages": messages, "stream": stream});
        let answer = server.post("/v1/chat/completions", &body);
        assert_eq!(answer.error(), "422 context_length_exceeded");
        assert_eq!(answer.json()["error"]["message"], "the context is full");
    }
    let mut peer = Peer::open(&server);
    peer.create(&json!({"model": "ours", "input": "a"}));
    assert_eq!(peer.error(), "422 context_length_exceeded");
    let page = server.get("/metrics").body;
    for line in [
        "cerium_upstream_up{upstream=\"big\"} 1",
        "cerium_upstream_requests_total{upstream=\"big\"} 3",
    ] {
        assert!(page.contains(line), "{page}");
    }
    assert_eq!(server.get("/ready").json(), json!({"status": "ready", "upstreams": {"big": "up"}}));
}

#[test]
fn what_breaks_in_the_middle_is_a_failed_response() {
    let (server, _) = server(vec![Act::TellAndBreak(vec![chunk("a")])]);
    let body = json!({"model": "ours", "input": "a", "stream": true});
    let answer = server.post("/v1/responses", &body);
    let last: Value = serde_json::from_str(answer.data().last().unwrap()).unwrap();
    assert_eq!(last["type"], "response.failed");
    assert_eq!(last["response"]["error"]["code"], "upstream_unreachable");
}

#[test]
fn a_client_that_leaves_takes_its_request_with_it() {
    let (server, engine) = server(vec![Act::TellAndHang(vec![chunk("a")])]);
    let body = json!({"model": "ours", "input": "a", "stream": true});
    let mut stream = server.connect();
    stream.write_all(&post("/v1/responses", &body)).unwrap();
    assert_eq!(Answer::head(&mut BufReader::new(&stream)).status, 200);
    drop(stream);
    engine.wait_until_left();
}

#[test]
fn a_conversation_goes_from_one_tier_to_the_other_and_back() {
    let (server, engine) = server(vec![Act::Tell(chat(&["there"]))]);
    let mut peer = Peer::open(&server);
    // What only prepares asks nobody.
    peer.create(&json!({"model": "ours", "input": "one", "generate": false}));
    let warm = peer.completed();
    assert_eq!((warm["output"].as_array().unwrap().len(), engine.asked().len()), (0, 0));
    peer.create(&json!({"model": "scripted", "input": "two", "previous_response_id": warm["id"]}));
    let here = peer.completed();
    assert_eq!(here["output"][0]["content"][0]["text"], "Hi");
    peer.create(&json!({"model": "ours", "input": "three", "previous_response_id": here["id"]}));
    let there = peer.completed();
    assert_eq!(there["output"][0]["content"][0]["text"], "there");
    let said = engine.asked()[0].body["messages"].clone();
    let said: Vec<&str> =
        said.as_array().unwrap().iter().map(|it| it["content"].as_str().unwrap()).collect();
    assert_eq!(said, ["one", "two", "Hi", "three"]);
    peer.create(
        &json!({"model": "scripted", "input": "four", "previous_response_id": there["id"]}),
    );
    peer.completed();
}

#[test]
fn answers_from_elsewhere_are_kept_like_others() {
    let dir = tempfile::tempdir().unwrap();
    let options = keeping(Place::File(dir.path().join("store.sqlite")));
    let (server, engine) = server_with(vec![Act::Tell(chat(&["there"]))], options);
    let first = server.post("/v1/responses", &json!({"model": "ours", "input": "one"})).json();
    let body = json!({"model": "ours", "input": "two", "background": true,
                      "previous_response_id": first["id"]});
    let second = server.post("/v1/responses", &body).json();
    let path = format!("/v1/responses/{}", second["id"].as_str().unwrap());
    wait_until("it has ended", || server.get(&path).json()["status"] == "completed");
    let items = server.get(&format!("{path}/input_items")).json();
    assert_eq!(items["data"].as_array().unwrap().len(), 3);
    assert_eq!(engine.asked()[1].body["messages"].as_array().unwrap().len(), 3);
}

#[test]
fn when_to_ask_again_is_told_on_and_times_are_told_apart() {
    let body = r#"{"error": {"message": "not now", "code": "busy"}}"#;
    let refuse = |status: &str| {
        let n = body.len();
        let head = "Content-Type: application/json\r\nConnection: close\r\nRetry-After: 70\r\n";
        Act::Raw(
            format!("HTTP/1.1 {status}\r\n{head}Content-Length: {n}\r\n\r\n{body}").into_bytes(),
        )
    };
    let acts = vec![refuse("429 X"), refuse("503 X"), Act::Tell(chat(&["from ", "there"]))];
    let (server, engine) = server(acts);
    let asked = json!({"model": "ours", "input": "a"});
    for status in [429, 503] {
        let answer = server.post("/v1/responses", &asked);
        assert_eq!((answer.status, answer.header("retry-after")), (status, Some("70")));
    }
    assert_eq!(engine.asked().len(), 2, "nobody is asked again before that");

    server.post("/v1/responses", &asked);
    server.post("/v1/responses", &json!({"model": "scripted", "input": "a"}));
    let page = server.get("/metrics").body;
    for name in ["e2e_request_latency", "time_to_first_token", "request_queue_time"] {
        for model in ["ours", "scripted"] {
            let line = format!("cerium_{name}_seconds_count{{model_name=\"{model}\"}} 1");
            assert!(page.lines().any(|it| it == line), "{line}\n{page}");
        }
    }
}
