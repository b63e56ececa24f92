//! What is served, path by path.

use crate::client::{post, scripted, wait_until};
use crate::script::{Act, spell};
use cerium_engine::{Class, FinishReason};
use serde_json::{Value, json};
use std::io::Write;
use std::sync::atomic::Ordering::SeqCst;

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
fn candidates_come_in_one_answer() {
    let (server, seen) = scripted(HELLO);
    let body = |stream: bool, n: u32| {
        json!({"model": "scripted", "messages": [{"role": "user", "content": "a"}], "n": n,
               "seed": 5, "temperature": 0.5, "stream": stream,
               "stream_options": {"include_usage": true}})
    };
    let whole = server.post("/v1/chat/completions", &body(false, 3)).json();
    let choices = whole["choices"].as_array().unwrap();
    assert_eq!(choices.len(), 3);
    for (index, choice) in choices.iter().enumerate() {
        assert_eq!(choice["index"], index);
        assert_eq!(choice["message"]["content"], "Hi 🦀");
    }
    let answer = server.post("/v1/chat/completions", &body(true, 3));
    let mut data = answer.data();
    assert_eq!(data.pop(), Some("[DONE]"));
    let chunks: Vec<Value> = data.iter().map(|data| serde_json::from_str(data).unwrap()).collect();
    for index in 0..3 {
        let mine = chunks.iter().filter(|c| c["choices"][0]["index"] == index);
        let text: String =
            mine.filter_map(|c| c["choices"][0]["delta"]["content"].as_str()).collect();
        assert_eq!(text, "Hi 🦀");
    }
    assert!(chunks.iter().all(|chunk| chunk["id"] == chunks[0]["id"]));
    assert_eq!(chunks[chunks.len() - 1]["usage"], whole["usage"]);
    let jobs = seen.jobs.lock().unwrap();
    let drawn: Vec<_> = jobs.iter().map(|job| (job.sampling.seed, job.family)).collect();
    assert_eq!(drawn.iter().map(|it| it.0).collect::<Vec<_>>(), [5, 6, 7, 5, 6, 7]);
    assert!(drawn[0].1.is_some() && drawn[..3].iter().all(|it| it.1 == drawn[0].1));
    assert_ne!(drawn[0].1, drawn[3].1);
    drop(jobs);
    let refused = server.post("/v1/chat/completions", &body(false, 17));
    assert_eq!(refused.error(), "400 invalid_value");
    assert_eq!(refused.json()["error"]["param"], "n");
}

#[test]
fn a_client_that_leaves_drops_all_candidates() {
    let (server, seen) = scripted(Act::Hang("ab"));
    let body = json!({"model": "scripted", "prompt": "x", "n": 4, "stream": true});
    let mut stream = server.connect();
    stream.write_all(&post("/v1/completions", &body)).unwrap();
    wait_until("all of them write", || seen.n_tokens.load(SeqCst) == 8);
    drop(stream);
    wait_until("all of them are let go of", || seen.n_dropped.load(SeqCst) == 4);
}

/// As llama.vim asks: <https://github.com/ggml-org/llama.vim>.
#[test]
fn an_editor_plugin_of_llama_cpp_gets_its_infill() {
    let (server, seen) = scripted(Act::Say("ab", FinishReason::Stop));
    let body = |stream: bool| {
        json!({"input_prefix": "x\n", "input_suffix": "\ny", "prompt": "  z", "n_predict": 64,
               "input_extra": [{"text": "extra", "time": [1, 2], "filename": "a.c"}],
               "n_indent": 2, "top_k": 40, "top_p": 0.99, "stream": stream,
               "samplers": ["top_k", "top_p", "infill"], "cache_prompt": true,
               "t_max_prompt_ms": 500, "t_max_predict_ms": 1500,
               "response_fields": ["content", "timings/prompt_n", "tokens_cached", "no/such"]})
    };
    let whole = server.post("/infill", &body(false));
    let job = seen.jobs.lock().unwrap().remove(0);
    let prompt = "extra«fim_prefix»x\n«fim_suffix»\ny«fim_middle»  z";
    assert_eq!((spell(&job.prompt).as_str(), job.max_tokens), (prompt, 64));
    assert_eq!((job.sampling.top_k, job.sampling.temperature), (40, 0.0));
    let n = job.prompt.len() as u64 - 3;
    assert_eq!(whole.json(), json!({"content": "ab", "timings/prompt_n": n, "tokens_cached": 3}));
    let answer = server.post("/infill", &body(true));
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let lines: Vec<Value> =
        answer.data().iter().map(|l| serde_json::from_str(l).unwrap()).collect();
    let pieces: Vec<_> = lines.iter().map(|l| (l["content"].clone(), l["stop"].clone())).collect();
    assert_eq!(pieces[..2], [(json!("a"), json!(false)), (json!("b"), json!(false))]);
    assert_eq!(pieces[2].0, "");
    // Everything, where nothing is said of it; and nothing but reading ahead.
    let mut plain = body(false);
    plain.as_object_mut().unwrap().remove("response_fields");
    let all = server.post("/infill", &plain).json();
    assert_eq!((&all["stop"], &all["stop_type"]), (&json!(true), &json!("eos")));
    assert_eq!(all["timings"]["predicted_n"], 2);
    plain["n_predict"] = json!(0);
    plain["response_fields"] = json!([""]);
    assert_eq!(server.post("/infill", &plain).json(), json!({}));
    let warmed = seen.jobs.lock().unwrap().pop().unwrap();
    assert_eq!((warmed.max_tokens, warmed.class), (0, Class::Background));
    assert_eq!(
        server.post("/infill", &json!({"prompt": "a"})).error(),
        "400 missing_required_parameter"
    );
}

#[test]
fn whoever_does_not_wait_lets_others_go_first() {
    let (server, seen) = scripted(HELLO);
    for (asked, got, class) in [
        (json!({}), "default", Class::Interactive),
        (json!({"service_tier": "priority"}), "default", Class::Interactive),
        (json!({"service_tier": "flex"}), "flex", Class::Background),
    ] {
        for (path, said) in [
            ("/v1/responses", json!({"model": "scripted", "input": "a"})),
            (
                "/v1/chat/completions",
                json!({"model": "scripted", "messages": [{"role": "user", "content": "a"}]}),
            ),
        ] {
            let mut body = said;
            body.as_object_mut().unwrap().extend(asked.as_object().unwrap().clone());
            let answer = server.post(path, &body).json();
            assert_eq!(answer["service_tier"], got, "{path}: {answer:#}");
            assert_eq!(seen.jobs.lock().unwrap().pop().unwrap().class, class, "{path}: {asked}");
        }
    }
}

#[test]
fn texts_become_tokens_and_texts_again() {
    let (server, _) = scripted(HELLO);
    let tokenize = |body: Value| server.post("/tokenize", &body).json();
    assert_eq!(tokenize(json!({"content": "ab"})), json!({"tokens": [97, 98]}));
    let special = json!({"content": "<|im_end|>"});
    assert_eq!(tokenize(special.clone()), json!({"tokens": [257]}));
    let mut plain = special;
    plain["parse_special"] = json!(false);
    assert_eq!(tokenize(plain)["tokens"].as_array().unwrap().len(), 10);
    let pieces = tokenize(json!({"content": "aé", "with_pieces": true}));
    let want =
        json!([{"id": 97, "piece": "a"}, {"id": 195, "piece": [195]}, {"id": 169, "piece": [169]}]);
    assert_eq!(pieces["tokens"], want);
    let text = server.post("/detokenize", &json!({"tokens": [97, 195, 169]})).json();
    assert_eq!(text, json!({"content": "aé"}));
    assert_eq!(server.post("/detokenize", &json!({"tokens": "a"})).error(), "400 invalid_type");
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
    assert_eq!(answer.header("retry-after"), Some("2"));
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
