//! The whole way down: a real model behind the door.

use crate::client::{Answer, Server, chunk, post};
use cerium_engine::{Engine, EngineOptions};
use cerium_model::file::ModelFile;
use cerium_model::template::ChatTemplate;
use cerium_model::tokenizer::Tokenizer;
use cerium_model::{Cpu, Model};
use cerium_server::ServerOptions;
use cerium_session::Service;
use serde_json::{Value, json};
use std::io::{BufReader, Write};
use std::sync::Arc;
use std::time::Instant;

/// A small model, on one thread.
pub(crate) fn real() -> Service {
    let file = ModelFile::open(&cerium_hub::test_model("smollm2-135m")).unwrap();
    let tokenizer = Arc::new(Tokenizer::from_gguf(&file.gguf).unwrap());
    let template = Arc::new(ChatTemplate::from_gguf(&file.gguf, &tokenizer).unwrap());
    // One thread: tests run side by side, and threads that wait for each other would starve.
    let model = Model::load(file, Cpu::best(), 1).unwrap();
    let engine = Engine::start(model, EngineOptions { n_running_max: 1, ..Default::default() });
    let n_context = engine.n_context();
    Service::new("smollm2-135m".into(), tokenizer, template, n_context, engine)
}

fn serve_135m() -> Server {
    Server::start(real(), ServerOptions::default())
}

#[test]
fn a_real_model_answers_in_every_dialect() {
    let server = serve_135m();
    let question = "Write the numbers from one to ten.";
    let body = json!({"model": "smollm2-135m", "input": question, "max_output_tokens": 12});
    let response = server.post("/v1/responses", &body).json();
    let text = response["output"][0]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("one") || text.contains('1'), "{text}");
    assert_eq!(response["usage"]["input_tokens_details"]["cached_tokens"], 0);
    assert!(response["cerium"]["ttft_ms"].as_f64().unwrap() > 0.0);

    // The same conversation: the same text, its prompt from the cache, streamed and in chat too.
    let streamed = json!({"model": "smollm2-135m", "input": question, "max_output_tokens": 12,
                          "stream": true});
    let answer = server.post("/v1/responses", &streamed);
    let events: Vec<Value> =
        answer.data().iter().map(|data| serde_json::from_str(data).unwrap()).collect();
    let deltas: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(deltas, text);
    let last = &events.last().unwrap()["response"];
    assert_eq!(
        (&last["status"], &last["output"]),
        (&response["status"], &{
            let mut output = response["output"].clone();
            output[0]["id"] = last["output"][0]["id"].clone();
            output
        })
    );
    let usage = &last["usage"];
    assert!(usage["input_tokens_details"]["cached_tokens"].as_u64().unwrap() > 0, "{usage}");

    let chat = json!({"model": "smollm2-135m", "max_tokens": 12,
                      "messages": [{"role": "user", "content": question}]});
    let completion = server.post("/v1/chat/completions", &chat).json();
    assert_eq!(completion["choices"][0]["message"]["content"], text);

    let stop = &text[text.len() / 2..][..3];
    let mut stopped = chat.clone();
    stopped["stop"] = json!([stop]);
    let completion = server.post("/v1/chat/completions", &stopped).json();
    assert_eq!(completion["choices"][0]["message"]["content"], text.split(stop).next().unwrap());
    assert_eq!(completion["choices"][0]["finish_reason"], "stop");

    let raw =
        json!({"model": "smollm2-135m", "prompt": "def add(a, b):\n    return", "stop": "\n"});
    let completion = server.post("/v1/completions", &raw).json();
    assert_eq!(completion["choices"][0]["text"], " a + b");
}

#[test]
fn a_client_that_leaves_makes_room_at_once() {
    let server = serve_135m(); // One answer at a time.
    let endless = json!({"model": "smollm2-135m", "input": "Tell a very long story.",
                         "stream": true, "temperature": 1, "cerium": {"min_p": 0.1}});
    let mut stream = server.connect();
    stream.write_all(&post("/v1/responses", &endless)).unwrap();
    let mut stream = BufReader::new(stream);
    assert_eq!(Answer::head(&mut stream).status, 200);
    for _ in 0..5 {
        chunk(&mut stream).unwrap();
    }
    drop(stream);
    let begun = Instant::now();
    let short = json!({"model": "smollm2-135m", "input": "Hi", "max_output_tokens": 1});
    assert_eq!(server.post("/v1/responses", &short).status, 200);
    let waited = begun.elapsed();
    // The story would fill a context of thousands of tokens.
    assert!(waited.as_secs() < 30, "{waited:?} for one token");
}
