//! Conversations counted, cut and made shorter.

use crate::client::scripted;
use crate::script::{Act, N_CONTEXT};
use crate::stored::{ask, id, prompt, remembering};
use cerium_engine::FinishReason;
use serde_json::{Value, json};

const HELLO: Act = Act::Say("Hi", FinishReason::Stop);

#[test]
fn tokens_are_counted_as_they_would_be_asked() {
    let (server, seen, _dir) = remembering(HELLO);
    let first = ask(&server, json!({"input": "a"}));
    let body = json!({"model": "scripted", "input": "b", "instructions": "c",
                      "previous_response_id": id(&first)});
    let count = server.post("/v1/responses/input_tokens", &body).json();
    assert_eq!(count["object"], "response.input_tokens");
    assert_eq!(seen.jobs.lock().unwrap().len(), 1, "nothing is computed");
    server.post("/v1/responses", &body);
    assert_eq!(count["input_tokens"], seen.jobs.lock().unwrap()[1].prompt.len());
    // More than would fit can be counted, too: that is what one counts for.
    let body = json!({"model": "scripted", "input": "x".repeat(2 * N_CONTEXT)});
    let count = server.post("/v1/responses/input_tokens", &body).json();
    assert!(count["input_tokens"].as_u64().unwrap() > 2 * N_CONTEXT as u64, "{count}");
}

#[test]
fn a_compacted_conversation_goes_on() {
    let (server, seen) = scripted(HELLO);
    let body = json!({"model": "scripted", "input": [
        {"role": "user", "content": "old question"},
        {"role": "assistant", "content": "an answer"},
        {"role": "user", "content": "new question"},
    ]});
    let compacted = server.post("/v1/responses/compact", &body).json();
    assert_eq!(compacted["object"], "response.compaction");
    assert!(compacted["usage"]["input_tokens"].as_u64().unwrap() > 0);
    let output = compacted["output"].as_array().unwrap();
    let kinds: Vec<_> = output.iter().map(|item| item["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["message", "message", "compaction"]);
    let again = server.post("/v1/responses/compact", &body).json();
    let content = |compacted: &Value| compacted["output"][2]["encrypted_content"].clone();
    assert_eq!(content(&compacted), content(&again), "the same conversation, the same digest");

    let mut input = output.clone();
    input.push(json!({"role": "user", "content": "and?"}));
    ask(&server, json!({"input": input}));
    for text in ["old question", "new question", "- assistant: an answer", "and?"] {
        assert!(prompt(&seen).contains(text), "{text}: {}", prompt(&seen));
    }
    let foreign = json!({"model": "scripted", "input": [
        {"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAAAABo"}]});
    let answer = server.post("/v1/responses", &foreign);
    assert_eq!(answer.error(), "400 invalid_encrypted_content");
    assert_eq!(answer.json()["error"]["param"], "input[0].encrypted_content");
}

#[test]
fn a_conversation_that_is_too_long_loses_its_beginning() {
    let (server, seen) = scripted(HELLO);
    let long = "x".repeat(170);
    let mut body = json!({"model": "scripted", "max_output_tokens": 20, "input": [
        {"role": "developer", "content": "be kind"},
        {"role": "user", "content": format!("first {long}")},
        {"role": "assistant", "content": format!("second {long}")},
        {"role": "user", "content": format!("third {long}")},
        {"role": "user", "content": "last"},
    ]});
    let answer = server.post("/v1/responses", &body);
    assert_eq!(answer.error(), "400 context_length_exceeded");
    body["truncation"] = "auto".into();
    let response = server.post("/v1/responses", &body).json();
    assert_eq!(response["truncation"], "auto");
    let asked = prompt(&seen);
    for (text, stays) in
        [("be kind", true), ("first", false), ("second", false), ("third", true), ("last", true)]
    {
        assert_eq!(asked.contains(text), stays, "{text}: {asked}");
    }
    // One message that is too long alone cannot be helped.
    let body = json!({"model": "scripted", "input": "x".repeat(N_CONTEXT), "truncation": "auto"});
    let answer = server.post("/v1/responses", &body);
    assert_eq!(answer.error(), "400 context_length_exceeded");
}
