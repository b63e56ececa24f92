//! The whole way down: a real model behind the door.

use crate::client::{Answer, Server, chunk, post, wait_until};
use crate::hostile::{self, Dice};
use crate::hostile_frames;
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
use std::time::{Duration, Instant};

/// A small model, on one thread.
pub(crate) fn real() -> Service {
    real_with_engine().0
}

/// The same, and its engine.
fn real_with_engine() -> (Service, Engine) {
    let file = ModelFile::open(&cerium_hub::test_model("smollm2-135m")).unwrap();
    let tokenizer = Arc::new(Tokenizer::from_gguf(&file.gguf).unwrap());
    let template = Arc::new(ChatTemplate::from_gguf(&file.gguf, &tokenizer).unwrap());
    // One thread: tests run side by side, and threads that wait for each other would starve.
    let model = Model::load(file, Cpu::best(), 1).unwrap();
    let engine = Engine::start(model, EngineOptions { n_running_max: 1, ..Default::default() });
    let n_context = engine.n_context();
    let name = "smollm2-135m".to_owned();
    (Service::new(name, tokenizer, template, n_context, engine.clone()), engine)
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

/// Connections that ask a real model and go, each after another while: over HTTP and WebSocket, while the prompt is
/// computed or the answer. Nothing of them is left at the engine; how many files the process had open before and after.
fn ask_and_drop(n: usize) -> (usize, usize) {
    let (service, engine) = real_with_engine();
    let server = Server::start(service, ServerOptions::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // Taken between two steps: what is not in it any more is computed no more.
    let glance = || runtime.block_on(engine.glance()).unwrap();
    let at_rest = || {
        let now = glance();
        now.running.is_empty() && now.n_waiting == 0
    };
    let short = json!({"model": "smollm2-135m", "input": "a", "max_output_tokens": 2});
    assert_eq!(server.post("/v1/responses", &short).status, 200);
    wait_until("the connection is let go of", || hostile::n_open(&server) == 0);
    let n_files = hostile::n_files();
    let (mut dice, mut reading, mut writing) = (Dice(11), Vec::new(), Vec::new());
    for round in 0..n {
        // A prompt of its own, so that there is something to compute.
        let input = format!("{round} {}", "some words to be read ".repeat(dice.below(60)));
        let mut body = json!({"model": "smollm2-135m", "input": input, "stream": true,
                              "store": false, "max_output_tokens": 500});
        let mut stream = server.connect();
        if dice.below(2) == 0 {
            stream.write_all(&post("/v1/responses", &body)).unwrap();
        } else {
            stream = hostile_frames::open(&server);
            body["type"] = "response.create".into();
            let body = body.to_string();
            let frame = hostile_frames::frame(0x81, true, body.len() as u64, body.as_bytes());
            stream.write_all(&frame).unwrap();
        }
        std::thread::sleep(Duration::from_micros(dice.below(120_000) as u64));
        let computed = glance().running.first().copied();
        drop(stream);
        let dropped = Instant::now();
        while !at_rest() {}
        if let Some(job) = computed {
            let times = if job.n_output == 0 { &mut reading } else { &mut writing };
            times.push(dropped.elapsed());
        }
        // What was not begun yet may have been since.
        wait_until("the connection is let go of", || hostile::n_open(&server) == 0);
        wait_until("the work ends", at_rest);
    }
    eprintln!("{n} connections that went");
    for (when, times) in [("its prompt", &mut reading), ("its answer", &mut writing)] {
        times.sort_unstable();
        let at = |percent: usize| {
            times.get((times.len() * percent / 100).min(times.len().saturating_sub(1)))
        };
        eprintln!(
            "{} while {when} was computed, which stopped after {:?} (p50), {:?} (p99), {:?} (max)",
            times.len(),
            at(50),
            at(99),
            at(100),
        );
        assert!(times.last().is_none_or(|&last| last < Duration::from_secs(10)), "{times:?}");
    }
    let pages = glance().pages;
    assert_eq!(pages.n_used, pages.n_kept, "pages of sequences that are gone");
    assert_eq!(pages.n_idle, pages.n_kept, "pages that are in use");
    assert_eq!(server.post("/v1/responses", &short).status, 200);
    wait_until("the connection is let go of", || hostile::n_open(&server) == 0);
    (n_files, hostile::n_files())
}

#[test]
fn who_asks_a_real_model_and_goes_leaves_it_idle() {
    ask_and_drop(20);
}

/// `cargo test -p cerium-server --test it real::at_length -- --ignored --nocapture`, alone.
#[test]
#[ignore = "it takes minutes, and its times mean something on a quiet machine alone"]
fn at_length() {
    let (before, after) = ask_and_drop(1000);
    eprintln!("open files: {before}, then {after}");
    assert!(after <= before, "{after} files are open, {before} were");
}
