//! WebSocket mode on a server that remembers.

use crate::client::wait_until;
use crate::script::Act;
use crate::socket::{Peer, prompts};
use crate::stored::{ask, remembering};
use cerium_engine::FinishReason::Stop;
use serde_json::{Value, json};

#[test]
fn what_is_said_may_be_stored_and_gone_on_from_anywhere() {
    let (server, seen, _dir) = remembering(Act::Say("Hi", Stop));
    let mut socket = Peer::open(&server);
    // Nothing of this is stored until something is to be.
    socket.create(&json!({"generate": false, "store": true, "input": "a"}));
    let warmed = socket.completed();
    socket.create(&json!({"input": "b", "previous_response_id": warmed["id"]}));
    let unstored = socket.completed();
    assert_eq!(unstored["store"], false);
    for id in [&warmed["id"], &unstored["id"]] {
        assert_eq!(server.get(&format!("/v1/responses/{}", id.as_str().unwrap())).status, 404);
    }
    let more = json!({"input": "c", "previous_response_id": unstored["id"], "store": true,
                      "stream_id": "kept"});
    socket.create(&more);
    let events = socket.until("completed");
    for (n, event) in events.iter().enumerate() {
        assert_eq!((&event["stream_id"], &event["sequence_number"]), (&"kept".into(), &n.into()));
    }
    let stored = &events.last().unwrap()["response"];
    let id = stored["id"].as_str().unwrap();
    let path = format!("/v1/responses/{id}");
    assert_eq!(server.get(&path).json(), *stored);
    assert_eq!(server.get(&format!("{path}?stream=true")).data().len(), events.len());
    let asked = server.get(&format!("{path}/input_items?order=asc")).json();
    let asked: Vec<_> =
        asked["data"].as_array().unwrap().iter().map(|item| &item["content"][0]["text"]).collect();
    assert_eq!(asked, ["a", "b", "Hi", "c"]);
    // The connection goes on without a look into the store, another one with it; both say the same.
    socket.create(&json!({"input": "d", "previous_response_id": id, "store": true}));
    socket.completed();
    ask(&server, json!({"input": "d", "previous_response_id": id}));
    let prompts = prompts(&seen);
    assert_eq!(prompts[prompts.len() - 1], prompts[prompts.len() - 2]);
    assert!(prompts[prompts.len() - 1].contains("Hi"), "{prompts:?}");
}

#[test]
fn a_conversation_grows_on_a_socket_too() {
    let (server, _, _dir) = remembering(Act::Say("Hi", Stop));
    let conversation = server.post("/v1/conversations", &json!({})).json();
    let mut socket = Peer::open(&server);
    for input in ["a", "b"] {
        socket.create(&json!({"input": input, "conversation": conversation["id"], "store": true}));
        assert_eq!(socket.completed()["conversation"]["id"], conversation["id"]);
    }
    let path =
        format!("/v1/conversations/{}/items?order=asc", conversation["id"].as_str().unwrap());
    let items = server.get(&path).json();
    let items: Vec<_> =
        items["data"].as_array().unwrap().iter().map(|item| &item["content"][0]["text"]).collect();
    assert_eq!(items, ["a", "Hi", "b", "Hi"]);
}

#[test]
fn what_is_stored_ends_with_its_connection_unless_it_is_in_the_background() {
    let (server, _, _dir) = remembering(Act::Hang("Hi"));
    let mut socket = Peer::open(&server);
    let mut begin = |more: Value| {
        socket.create(&more);
        let is_told = |event: &Value| {
            event["stream_id"] == more["stream_id"] && event["type"] == "response.created"
        };
        let created = std::iter::repeat_with(|| socket.hear()).find(is_told).unwrap();
        created["response"]["id"].as_str().unwrap().to_owned()
    };
    let waited_for = begin(json!({"input": "a", "store": true, "stream_id": "a"}));
    let behind = begin(json!({"input": "a", "store": true, "background": true, "stream_id": "b"}));
    let steer = json!({"type": "response.steer", "previous_response_id": behind,
                       "input": [{"role": "user", "content": "b"}]});
    socket.say(&steer);
    assert_eq!(
        socket.until("steer.failed").pop().unwrap()["error"]["code"],
        "steering_not_supported"
    );
    drop(socket);
    let look = |id: &str| server.get(&format!("/v1/responses/{id}")).json();
    wait_until("it is cancelled", || look(&waited_for)["status"] == "cancelled");
    assert_eq!(look(&waited_for)["output"][0]["content"][0]["text"], "Hi");
    assert_eq!(look(&behind)["status"], "in_progress");
    let ended = server.post(&format!("/v1/responses/{behind}/cancel"), &json!({})).json();
    assert_eq!(ended["status"], "cancelled");
}
