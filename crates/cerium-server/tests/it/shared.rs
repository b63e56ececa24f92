//! One database behind several servers, and one that dies while they serve.

use crate::client::{Server, wait_until};
use crate::postgres::Postgres;
use crate::script::{self, Act};
use crate::stored::{ask, id, keeping};
use cerium_engine::FinishReason;
use cerium_server::Place;
use serde_json::{Value, json};

fn server(act: Act, url: &str) -> Server {
    Server::start(script::service(act).0, keeping(Place::parse(url)))
}

fn status(server: &Server, id: &str) -> Value {
    server.get(&format!("/v1/responses/{id}")).json()["status"].clone()
}

#[test]
fn two_servers_know_each_other_s_responses() {
    let database = Postgres::start();
    let url = database.database("cerium");
    let one = server(Act::Say("Hi", FinishReason::Stop), &url);
    let two = server(Act::Hang("ab"), &url);
    let first = ask(&one, json!({"input": "a"}));
    let path = format!("/v1/responses/{}", id(&first));
    wait_until("the other sees its end", || status(&two, &id(&first)) == "completed");
    assert_eq!(two.get(&path).json(), first);
    let stream = format!("{path}?stream=true");
    assert_eq!(two.get(&stream).body, one.get(&stream).body);

    // One writes, the other tells, cancels and follows.
    let body = json!({"input": "b", "background": true, "previous_response_id": id(&first)});
    let second = ask(&two, body);
    let path = format!("/v1/responses/{}", id(&second));
    wait_until("it is known", || {
        status(&one, &id(&second)) == "in_progress" || status(&one, &id(&second)) == "queued"
    });
    let heard = std::thread::scope(|scope| {
        let listener = scope.spawn(|| one.get(&format!("{path}?stream=true")).body);
        let cancelled = one.post(&format!("{path}/cancel"), &json!({})).json();
        assert_eq!(cancelled["status"], "cancelled");
        listener.join().unwrap()
    });
    assert_eq!(heard, two.get(&format!("{path}?stream=true")).body);
    assert!(heard.contains("\"delta\":\"b\""), "{heard}");
    let third = ask(&one, json!({"input": "c", "previous_response_id": id(&second)}));
    let items = two.get(&format!("/v1/responses/{}/input_items", id(&third))).json();
    assert_eq!(items["data"].as_array().unwrap().len(), 5);
}

#[test]
fn a_database_may_die_and_come_back() {
    let mut database = Postgres::start();
    let url = database.database("cerium");
    let server = server(Act::Hang("ab"), &url);
    let running = ask(&server, json!({"input": "a", "background": true}));
    let path = format!("/v1/responses/{}", id(&running));
    wait_until("it is being written", || status(&server, &id(&running)) == "in_progress");
    database.kill();

    // What needs the store says so, and when to come back; what does not goes on.
    let refused = server.post("/v1/responses", &json!({"model": "scripted", "input": "a"}));
    assert_eq!(refused.error(), "503 store_unavailable");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(server.get("/v1/responses/resp_0").error(), "503 store_unavailable");
    let count =
        server.post("/v1/responses/input_tokens", &json!({"model": "scripted", "input": "a"}));
    assert_eq!(count.status, 200);

    // The answer in progress ends meanwhile, and its client hears of it.
    let cancelled = server.post(&format!("{path}/cancel"), &json!({})).json();
    assert_eq!(cancelled["status"], "cancelled");
    assert_eq!(server.get(&path).json(), cancelled);

    database.resume();
    let again = crate::shared::server(Act::Say("Hi", FinishReason::Stop), &url);
    wait_until("it is in the database", || again.get(&path).json() == cancelled);
    let told = again.get(&format!("{path}?stream=true"));
    assert_eq!(told.body, server.get(&format!("{path}?stream=true")).body);
    ask(&again, json!({"input": "b"}));
}

#[test]
fn what_is_not_kept_needs_no_database() {
    let mut database = Postgres::start();
    let url = database.database("cerium");
    database.kill();
    let server = server(Act::Say("Hi", FinishReason::Stop), &url);
    let response = ask(&server, json!({"input": "a", "store": false}));
    assert_eq!(response["status"], "completed");
    database.resume();
    wait_until("it is used", || {
        server.post("/v1/responses", &json!({"model": "scripted", "input": "a"})).status == 200
    });
}
