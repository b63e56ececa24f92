//! Conversations that clients keep on the server.

use crate::script::Act;
use crate::stored::{ask, id, prompt, remembering, told};
use cerium_engine::FinishReason;
use serde_json::{Value, json};

const HELLO: Act = Act::Say("Hi", FinishReason::Stop);

#[test]
fn a_conversation_holds_what_is_said_in_it() {
    let (server, seen, _dir) = remembering(HELLO);
    let body =
        json!({"metadata": {"topic": "x"}, "items": [{"role": "developer", "content": "be kind"}]});
    let conversation = server.post("/v1/conversations", &body).json();
    assert_eq!(conversation["object"], "conversation");
    assert_eq!(conversation["metadata"], json!({"topic": "x"}));
    let path = format!("/v1/conversations/{}", id(&conversation));
    assert_eq!(server.get(&path).json(), conversation);

    let response = ask(&server, json!({"input": "a", "conversation": id(&conversation)}));
    assert_eq!(response["conversation"], json!({"id": id(&conversation)}));
    ask(&server, json!({"input": "b", "conversation": {"id": id(&conversation)}}));
    let asked = prompt(&seen);
    for turn in ["system\nbe kind", "user\na", "assistant\nHi", "user\nb"] {
        assert!(asked.contains(turn), "{turn}: {asked}");
    }
    let items = |query: &str| -> Value { server.get(&format!("{path}/items{query}")).json() };
    assert_eq!(
        told(&items("?order=asc")),
        ["developer: be kind", "user: a", "assistant: Hi", "user: b", "assistant: Hi"]
    );
    assert_eq!(told(&items("?limit=1")), ["assistant: Hi"]);

    // Items one by one.
    let item = items("?order=asc")["data"][1].clone();
    let item_path = format!("{path}/items/{}", id(&item));
    assert_eq!(server.get(&item_path).json(), item);
    assert_eq!(server.delete(&item_path).json(), conversation);
    assert_eq!(server.get(&item_path).error(), "404 item_not_found");
    assert_eq!(server.delete(&item_path).error(), "404 item_not_found");
    let body = json!({"items": [{"type": "message", "role": "user", "content": "c"}]});
    let added = server.post(&format!("{path}/items"), &body).json();
    assert_eq!(told(&added), ["user: c"]);
    ask(&server, json!({"input": "d", "conversation": id(&conversation)}));
    assert!(!prompt(&seen).contains("user\na") && prompt(&seen).contains("user\nc"));

    // A response in it cannot be followed by name: what it was asked may have changed.
    let body = json!({"model": "scripted", "input": "e", "previous_response_id": id(&response)});
    assert_eq!(server.post("/v1/responses", &body).error(), "400 invalid_value");

    let changed = server.post(&path, &json!({"metadata": {"topic": "y"}})).json();
    assert_eq!(changed["metadata"], json!({"topic": "y"}));
    let gone = json!({"id": id(&conversation), "object": "conversation.deleted", "deleted": true});
    assert_eq!(server.delete(&path).json(), gone);
    for answer in [server.get(&path), server.delete(&path), server.get(&format!("{path}/items"))] {
        assert_eq!(answer.error(), "404 conversation_not_found");
    }
    let body = json!({"model": "scripted", "input": "e", "conversation": id(&conversation)});
    assert_eq!(server.post("/v1/responses", &body).error(), "404 conversation_not_found");
}

#[test]
fn what_is_no_item_is_refused() {
    let (server, _, _dir) = remembering(HELLO);
    let refused = |body: Value| server.post("/v1/conversations", &body).error();
    assert_eq!(refused(json!({"items": ["a"]})), "400 invalid_value");
    assert_eq!(
        refused(json!({"items": vec![json!({"role": "user", "content": "a"}); 21]})),
        "400 invalid_value"
    );
    assert_eq!(refused(json!({"metadata": {"k": "v".repeat(600)}})), "400 invalid_value");
    assert_eq!(refused(json!({"metadata": 3})), "400 -");
}
