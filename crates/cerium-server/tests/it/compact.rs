//! Conversations counted, cut and made shorter.

use crate::client::scripted;
use crate::script::{Act, N_CONTEXT};
use crate::socket::Peer;
use crate::stored::{ask, id, prompt, remembering, told};
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
    // Nothing is rendered of what cannot fit.
    let many = vec![json!({"role": "user", "content": ""}); N_CONTEXT];
    let answer = server.post("/v1/responses", &json!({"model": "scripted", "input": many}));
    assert_eq!(answer.error(), "400 context_length_exceeded");
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

/// A conversation with a prompt that leaves little room for an answer.
fn long() -> Vec<Value> {
    let item = |role: &str, text: String| json!({"role": role, "content": text});
    vec![
        item("developer", "be kind".to_owned()),
        item("user", format!("first {}", "x".repeat(210))),
        item("user", "second".to_owned()),
        item("assistant", "an answer".to_owned()),
        item("user", format!("third {}", "z".repeat(40))),
        item("assistant", "fourth".to_owned()),
        item("user", "last".to_owned()),
    ]
}

/// The way to have it made shorter.
fn managed(mut body: Value) -> Value {
    body["context_management"] = json!([{"type": "compaction", "compact_threshold": 1000}]);
    body
}

#[test]
fn a_long_conversation_is_made_shorter_before_it_goes_on() {
    let (server, seen, _dir) = remembering(HELLO);
    let short = ask(&server, managed(json!({"input": "a"})));
    assert_eq!(short["output"][0]["type"], "message");

    let response = ask(&server, managed(json!({"input": long()})));
    let kinds = |response: &Value| [0, 1].map(|n| response["output"][n]["type"].clone());
    assert_eq!(kinds(&response), ["compaction", "message"]);
    assert_eq!(server.get(&format!("/v1/responses/{}", id(&response))).json(), response);
    let before = prompt(&seen);
    for (text, stays) in
        [("be kind", true), ("first", false), ("second", true), ("third", true), ("fourth", true)]
    {
        assert_eq!(before.contains(text), stays, "{text}: {before}");
    }
    let digest = "before:\n- assistant: an answer";
    assert!(before.find(digest) < before.find("third") && before.contains(digest), "{before}");

    // Whoever goes on from it goes on from what is left, so that it is known: by its name, with all items in hand, in
    // a conversation.
    ask(&server, json!({"input": "more", "previous_response_id": id(&response)}));
    let next = prompt(&seen);
    assert!(next.starts_with(&before) && next.contains("user\nmore"), "{next}");
    let more = json!({"role": "user", "content": "more"});
    let items = [long(), response["output"].as_array().unwrap().clone(), vec![more]].concat();
    ask(&server, json!({"input": items, "store": false}));
    assert_eq!(prompt(&seen), next);
    let conversation = server.post("/v1/conversations", &json!({"items": long()[..6]})).json();
    let body = json!({"input": "last", "conversation": id(&conversation)});
    assert_eq!(kinds(&ask(&server, managed(body))), ["compaction", "message"]);
    ask(&server, json!({"input": "more", "conversation": id(&conversation)}));
    assert_eq!(prompt(&seen), next);

    // As a stream.
    let body = managed(json!({"model": "scripted", "input": long(), "stream": true}));
    let answer = server.post("/v1/responses", &body);
    let told: Vec<Value> =
        answer.data().iter().map(|data| serde_json::from_str(data).unwrap()).collect();
    let told = |n: usize| (told[n]["type"].as_str().unwrap(), &told[n]["output_index"]);
    assert_eq!(told(2), ("response.output_item.added", &json!(0)));
    assert_eq!(told(3), ("response.output_item.done", &json!(0)));
    assert_eq!(told(4), ("response.output_item.added", &json!(1)));
}

#[test]
fn a_long_conversation_on_a_socket_is_made_shorter_too() {
    let (server, seen) = scripted(HELLO);
    let mut peer = Peer::open(&server);
    peer.create(&json!({"input": long()[..6]}));
    let first = peer.completed();
    assert!(prompt(&seen).contains("first"));
    peer.create(&managed(json!({"input": "last", "previous_response_id": first["id"]})));
    let second = peer.completed();
    assert_eq!(second["output"][0]["type"], "compaction");
    let before = prompt(&seen);
    assert!(!before.contains("first") && before.contains("user\nlast"), "{before}");
    peer.create(&managed(json!({"input": "more", "previous_response_id": second["id"]})));
    assert_eq!(peer.completed()["output"][0]["type"], "message");
    assert!(prompt(&seen).starts_with(&before), "{}", prompt(&seen));
}

#[test]
fn a_conversation_is_made_shorter_when_its_client_says_so() {
    let (server, seen, _dir) = remembering(HELLO);
    let conversation = json!([
        {"role": "developer", "content": "be kind"},
        {"role": "user", "content": "old question"},
        {"role": "assistant", "content": "an answer"},
        {"role": "user", "content": "new question"},
        {"type": "compaction_trigger"},
    ]);
    let kinds = |response: &Value| -> Vec<Value> {
        response["output"].as_array().unwrap().iter().map(|item| item["type"].clone()).collect()
    };
    let response = ask(&server, json!({"input": conversation}));
    assert_eq!(
        (kinds(&response), &response["status"]),
        (vec!["compaction".into()], &"completed".into())
    );
    let path = format!("/v1/responses/{}", id(&response));
    let items = server.get(&format!("{path}/input_items?order=asc")).json();
    assert_eq!(told(&items).len(), 4, "what asked for it is no item: {items}");

    ask(&server, json!({"input": "more", "previous_response_id": id(&response)}));
    let next = prompt(&seen);
    for (text, stays) in [
        ("system\nbe kind", true),
        ("user\nold question", true),
        ("assistant\nan answer", false),
        ("- assistant: an answer", true),
        ("user\nnew question", true),
    ] {
        assert_eq!(next.contains(text), stays, "{text}: {next}");
    }
    let mut peer = Peer::open(&server);
    peer.create(&json!({"input": conversation}));
    let compacted = peer.completed();
    assert_eq!(kinds(&compacted), ["compaction"]);
    peer.create(&json!({"input": "more", "previous_response_id": compacted["id"]}));
    peer.completed();
    assert_eq!(prompt(&seen), next);

    // What an application says anew holds besides.
    let input = json!([{"role": "developer", "content": "be brief"}, response["output"][0],
                       {"role": "user", "content": "more"}]);
    ask(&server, json!({"input": input}));
    assert!(prompt(&seen).contains("be brief") && prompt(&seen).contains("be kind"));
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
