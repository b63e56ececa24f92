//! Responses that are kept: found again, followed, told again, ended, deleted.

use crate::client::{Answer, Server, post, scripted, wait_until};
use crate::script::{self, Act, Seen, spell};
use cerium_engine::{Class, FinishReason};
use cerium_server::{Place, ServerOptions, StoreOptions};
use cerium_store::{Frames, NewResponse, Store};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const HELLO: Act = Act::Say("Hi 🦀", FinishReason::Stop);

/// Options of a server that keeps responses at a place.
pub(crate) fn keeping(place: Place) -> ServerOptions {
    let mut store = StoreOptions::new(place);
    store.patience = Duration::from_secs(1);
    let grace = Duration::from_millis(50);
    ServerOptions { store: Some(store), grace, ..ServerOptions::default() }
}

/// A file in a folder.
fn file(dir: &Path) -> Place {
    Place::File(dir.join("store.sqlite"))
}

/// A scripted server with a store of its own.
pub(crate) fn remembering(act: Act) -> (Server, Arc<Seen>, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let (service, seen) = script::service(act);
    (Server::start(service, keeping(file(dir.path()))), seen, dir)
}

pub(crate) fn ask(server: &Server, mut body: Value) -> Value {
    body["model"] = "scripted".into();
    let answer = server.post("/v1/responses", &body);
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

pub(crate) fn id(response: &Value) -> String {
    response["id"].as_str().unwrap().to_owned()
}

fn get(server: &Server, id: &str) -> Value {
    let answer = server.get(&format!("/v1/responses/{id}"));
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

/// What the engine was asked last.
pub(crate) fn prompt(seen: &Seen) -> String {
    spell(&seen.jobs.lock().unwrap().last().unwrap().prompt)
}

/// `who: text` of listed items.
pub(crate) fn told(list: &Value) -> Vec<String> {
    let item = |item: &Value| {
        let role = item["role"].as_str().unwrap();
        format!("{role}: {}", item["content"][0]["text"].as_str().unwrap())
    };
    list["data"].as_array().unwrap().iter().map(item).collect()
}

#[test]
fn a_response_is_found_again_until_it_is_deleted() {
    let (server, _, _dir) = remembering(HELLO);
    let response = ask(&server, json!({"input": "a", "metadata": {"k": "v"}, "user": "me"}));
    assert_eq!(response["store"], true);
    let path = format!("/v1/responses/{}", id(&response));
    assert_eq!(server.get(&path).json(), response);
    let items = server.get(&format!("{path}/input_items")).json();
    assert_eq!(told(&items), ["user: a"]);
    assert_eq!((&items["object"], &items["has_more"]), (&json!("list"), &json!(false)));
    assert_eq!(items["first_id"], items["data"][0]["id"]);

    let deleted = server.delete(&path).json();
    assert_eq!(deleted, json!({"id": id(&response), "object": "response", "deleted": true}));
    assert_eq!(server.get(&path).error(), "404 response_not_found");
    assert_eq!(server.delete(&path).error(), "404 response_not_found");
    assert_eq!(server.get(&format!("{path}/input_items")).error(), "404 response_not_found");
    assert_eq!(
        server.post(&format!("{path}/cancel"), &json!({})).error(),
        "404 response_not_found"
    );
}

#[test]
fn what_is_not_to_be_kept_is_not() {
    let (server, _, _dir) = remembering(HELLO);
    let response = ask(&server, json!({"input": "a", "store": false}));
    assert_eq!(response["store"], false);
    let path = format!("/v1/responses/{}", id(&response));
    assert_eq!(server.get(&path).error(), "404 response_not_found");
    let body = json!({"model": "scripted", "input": "b", "previous_response_id": id(&response)});
    let answer = server.post("/v1/responses", &body);
    assert_eq!(answer.error(), "400 previous_response_not_found");
    assert_eq!(answer.json()["error"]["param"], "previous_response_id");
}

#[test]
fn a_server_without_a_store_says_so() {
    let (server, _) = scripted(HELLO);
    assert_eq!(ask(&server, json!({"input": "a"}))["store"], false);
    for (name, value) in [
        ("store", json!(true)),
        ("background", json!(true)),
        ("previous_response_id", json!("resp_1")),
        ("conversation", json!("conv_1")),
    ] {
        let answer =
            server.post("/v1/responses", &json!({"model": "scripted", "input": "a", name: value}));
        assert_eq!(answer.error(), "400 unsupported_parameter");
        assert_eq!(answer.json()["error"]["param"], name);
    }
    assert_eq!(server.get("/v1/responses/resp_1").error(), "404 response_not_found");
    assert_eq!(server.post("/v1/conversations", &json!({})).error(), "404 response_not_found");
}

#[test]
fn a_response_follows_another() {
    let (server, seen, _dir) = remembering(HELLO);
    let first = ask(&server, json!({"input": "a", "instructions": "be brief"}));
    let body =
        json!({"input": [{"role": "user", "content": "b"}], "previous_response_id": id(&first)});
    let second = ask(&server, body);
    assert_eq!(second["previous_response_id"], id(&first));
    let turn = |who, what| format!("«im_start»{who}\n{what}«im_end»\n");
    let before = [turn("user", "a"), turn("assistant", "Hi 🦀"), turn("user", "b")].concat();
    let asked = prompt(&seen);
    assert!(asked.contains(&before), "{asked}");
    assert!(!asked.contains("be brief"), "instructions are not inherited: {asked}");

    // A fork of the first, and the whole history of the second, page by page.
    ask(&server, json!({"input": "c", "previous_response_id": id(&first)}));
    assert!(!prompt(&seen).contains("user\nb"), "{}", prompt(&seen));
    let path = format!("/v1/responses/{}/input_items", id(&second));
    assert_eq!(told(&server.get(&path).json()), ["user: b", "assistant: Hi 🦀", "user: a"]);
    let page = server.get(&format!("{path}?order=asc&limit=2")).json();
    assert_eq!(told(&page), ["user: a", "assistant: Hi 🦀"]);
    assert_eq!(page["has_more"], true);
    let after = page["last_id"].as_str().unwrap();
    let page = server.get(&format!("{path}?order=asc&limit=2&after={after}&include[]=x")).json();
    assert_eq!(told(&page), ["user: b"]);
    assert_eq!(page["has_more"], false);
    assert_eq!(server.get(&format!("{path}?limit=0")).error(), "400 invalid_value");
    assert_eq!(server.get(&format!("{path}?after=x")).error(), "400 invalid_value");

    // The first is deleted; the second was asked with it and still is.
    server.delete(&format!("/v1/responses/{}", id(&first)));
    ask(&server, json!({"input": "d", "previous_response_id": id(&second)}));
    assert!(prompt(&seen).contains(&before));
    let body = json!({"model": "scripted", "input": "e", "previous_response_id": id(&first)});
    let gone = server.post("/v1/responses", &body);
    assert_eq!(gone.error(), "400 previous_response_not_found");
}

#[test]
fn faults_are_counted_as_the_client_counts() {
    let (server, seen, _dir) = remembering(HELLO);
    let first = ask(&server, json!({"input": "a"}));
    let n_jobs = seen.jobs.lock().unwrap().len();
    let body = json!({"model": "scripted", "previous_response_id": id(&first),
                      "input": [{"role": "user", "content": "b"}, {"role": "robot", "content": "c"}]});
    let answer = server.post("/v1/responses", &body);
    assert_eq!(answer.json()["error"]["param"], "input[1].role", "{}", answer.body);
    let body = json!({"model": "scripted", "input": "a", "previous_response_id": id(&first),
                      "conversation": "conv_1"});
    assert_eq!(server.post("/v1/responses", &body).error(), "400 invalid_value");
    let body = json!({"model": "scripted", "input": "a", "background": true, "store": false});
    assert_eq!(server.post("/v1/responses", &body).error(), "400 invalid_value");
    let body = json!({"model": "scripted", "input": [{"type": "item_reference", "id": "msg_0"}]});
    let answer = server.post("/v1/responses", &body);
    assert_eq!(answer.error(), "400 item_not_found");
    assert_eq!(answer.json()["error"]["param"], "input[0].id");
    assert_eq!(seen.jobs.lock().unwrap().len(), n_jobs);
}

#[test]
fn items_are_referred_to_by_name() {
    let (server, seen, _dir) = remembering(HELLO);
    let first = ask(&server, json!({"input": "a"}));
    let said = &first["output"][0]["id"];
    ask(
        &server,
        json!({"input": [{"type": "item_reference", "id": said}, {"role": "user", "content": "b"}]}),
    );
    let turns = "«im_start»assistant\nHi 🦀«im_end»\n«im_start»user\nb«im_end»";
    assert!(prompt(&seen).contains(turns), "{}", prompt(&seen));
}

#[test]
fn a_stream_is_told_again_byte_for_byte() {
    let (server, _, dir) = remembering(HELLO);
    let body = json!({"model": "scripted", "input": "a", "stream": true});
    let told = server.post("/v1/responses", &body).body;
    let events: Vec<&str> = told.split_inclusive("\n\n").collect();
    assert_eq!(events.len(), 12);
    let created: Value =
        serde_json::from_str(told.lines().nth(1).unwrap().strip_prefix("data: ").unwrap()).unwrap();
    let path = format!("/v1/responses/{}?stream=true", id(&created["response"]));
    // By the server that told it, from memory perhaps; and by another one, from the store.
    let (service, _) = script::service(HELLO);
    let other = Server::start(service, keeping(file(dir.path())));
    wait_until("it is stored", || get(&other, &id(&created["response"]))["status"] == "completed");
    for server in [&server, &other] {
        assert_eq!(server.get(&path).body, told);
        for n in [0, 5, 10, 11, 99] {
            let rest = server.get(&format!("{path}&starting_after={n}"));
            assert!(rest.whole);
            assert_eq!(rest.body, events.get(n + 1..).unwrap_or_default().concat(), "after {n}");
        }
    }
    // One that was not streamed is told as it would have been.
    let whole = ask(&server, json!({"input": "a"}));
    let replay = server.get(&format!("/v1/responses/{}?stream=true", id(&whole)));
    let names = |text: &str| -> Vec<String> {
        text.lines().filter_map(|line| line.strip_prefix("event: ")).map(str::to_owned).collect()
    };
    assert_eq!(names(&replay.body), names(&told));
    let last: Value = serde_json::from_str(replay.data().last().unwrap()).unwrap();
    assert_eq!(last["response"], whole);
}

#[test]
fn a_background_response_goes_on_by_itself() {
    let (server, seen, _dir) = remembering(Act::Hang("ab"));
    let begun = ask(&server, json!({"input": "a", "background": true}));
    assert_eq!((&begun["status"], &begun["background"]), (&json!("queued"), &json!(true)));
    assert_eq!((&begun["output"], &begun["usage"]), (&json!([]), &json!(null)));
    let path = format!("/v1/responses/{}", id(&begun));
    wait_until("it is being written", || get(&server, &id(&begun))["status"] == "in_progress");
    assert_eq!(seen.jobs.lock().unwrap()[0].class, Class::Background);

    // It cannot be followed yet, and somebody listens.
    let body = json!({"model": "scripted", "input": "b", "previous_response_id": id(&begun)});
    let early = server.post("/v1/responses", &body);
    assert_eq!(early.error(), "400 previous_response_in_progress");
    let mut listener = server.connect();
    write!(listener, "GET {path}?stream=true HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut listener = BufReader::new(listener);
    let mut heard = String::new();
    while !heard.contains("\"delta\":\"b\"") {
        listener.read_line(&mut heard).unwrap();
    }
    for name in ["created", "queued", "in_progress", "output_item.added"] {
        assert!(heard.contains(&format!("event: response.{name}\n")), "{name}: {heard}");
    }

    let cancelled = server.post(&format!("{path}/cancel"), &json!({})).json();
    assert_eq!(cancelled["status"], "cancelled");
    assert_eq!(cancelled["output"][0]["content"][0]["text"], "ab");
    let mut rest = String::new();
    while !rest.contains("event: response.incomplete\n") {
        listener.read_line(&mut rest).unwrap();
    }
    assert!(seen.cancelled.load(std::sync::atomic::Ordering::SeqCst));
    assert_eq!(server.post(&format!("{path}/cancel"), &json!({})).json(), cancelled);
    assert_eq!(get(&server, &id(&begun)), cancelled);
}

#[test]
fn a_background_response_outlives_its_client() {
    let (server, _, _dir) = remembering(HELLO);
    let body = json!({"model": "scripted", "input": "a", "background": true, "stream": true});
    let mut client = server.connect();
    client.write_all(&post("/v1/responses", &body)).unwrap();
    let mut client = BufReader::new(client);
    assert_eq!(Answer::head(&mut client).status, 200);
    let mut line = String::new();
    while !line.starts_with("data: ") {
        line.clear();
        client.read_line(&mut line).unwrap();
    }
    drop(client);
    let event: Value = serde_json::from_str(line.strip_prefix("data: ").unwrap()).unwrap();
    let id = id(&event["response"]);
    wait_until("it is complete", || get(&server, &id)["status"] == "completed");
    assert_eq!(get(&server, &id)["output"][0]["content"][0]["text"], "Hi 🦀");
}

#[test]
fn what_a_client_left_is_cancelled_and_kept() {
    let (server, seen, _dir) = remembering(Act::Hang("ab"));
    let body = json!({"model": "scripted", "input": "a", "stream": true});
    let mut client = server.connect();
    client.write_all(&post("/v1/responses", &body)).unwrap();
    let mut client = BufReader::new(client);
    let mut heard = String::new();
    while !heard.contains("\"delta\":\"b\"") {
        client.read_line(&mut heard).unwrap();
    }
    drop(client);
    let created = heard.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    let created: Value = serde_json::from_str(created).unwrap();
    let id = id(&created["response"]);
    wait_until("it is cancelled", || get(&server, &id)["status"] == "cancelled");
    assert_eq!(get(&server, &id)["output"][0]["content"][0]["text"], "ab");
    assert!(seen.cancelled.load(std::sync::atomic::Ordering::SeqCst));

    // The same when the answer is wanted whole.
    let n_dropped = || seen.n_dropped.load(std::sync::atomic::Ordering::SeqCst);
    let before = n_dropped();
    let mut client = server.connect();
    client.write_all(&post("/v1/responses", &json!({"model": "scripted", "input": "a"}))).unwrap();
    wait_until("it is begun", || seen.jobs.lock().unwrap().len() == 2);
    drop(client);
    wait_until("its work ends", || n_dropped() > before);
}

#[test]
fn what_died_with_its_server_has_failed() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Store::open(StoreOptions::new(file(dir.path()))).await.unwrap();
        let object = r#"{"id":"resp_1","object":"response","status":"in_progress","output":[]}"#;
        let new = NewResponse {
            holder: "",
            id: "resp_1",
            parent: None,
            conversation: None,
            server: "dead",
            object,
            input: &[],
            now: 1_795_000_000,
        };
        store.begin(new).await.unwrap();
        let text = "event: response.created\ndata: {}\n\nevent: response.in_progress\ndata: {}\n\n";
        store.append("resp_1", Frames { first: 0, text }).await.unwrap();
        store.close().await;
    });
    let (service, _) = script::service(Act::Hang("ab"));
    let mut server = Server::start(service, keeping(file(dir.path())));
    let failed = get(&server, "resp_1");
    assert_eq!(failed["status"], "failed");
    let message = failed["error"]["message"].as_str().unwrap();
    assert!(message.contains("the server was stopped"), "{message}");
    let replay = server.get("/v1/responses/resp_1?stream=true");
    let last: Value = serde_json::from_str(replay.data()[2]).unwrap();
    assert_eq!((&last["type"], &last["sequence_number"]), (&json!("response.failed"), &json!(2)));
    assert_eq!(last["response"], failed);

    // A server that is asked to stop says so itself.
    let begun = ask(&server, json!({"input": "a", "background": true}));
    server.stop();
    server.join();
    let (service, _) = script::service(HELLO);
    let server = Server::start(service, keeping(file(dir.path())));
    let failed = get(&server, &id(&begun));
    assert_eq!(failed["status"], "failed");
    assert!(failed["error"]["message"].as_str().unwrap().contains("the server was stopped"));
}

#[test]
fn an_engine_that_dies_leaves_a_failed_response() {
    let (server, _, _dir) = remembering(Act::Die("ab"));
    let begun = ask(&server, json!({"input": "a", "background": true}));
    wait_until("it has failed", || get(&server, &id(&begun))["status"] == "failed");
    assert_eq!(get(&server, &id(&begun))["error"]["code"], "server_error");
    let body = json!({"model": "scripted", "input": "a"});
    assert_eq!(server.post("/v1/responses", &body).error(), "500 server_error");
}

#[test]
fn a_damaged_store_is_no_place_to_begin() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("store.sqlite"), "no database ".repeat(1000)).unwrap();
    let (service, _) = script::service(HELLO);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let doors = cerium_server::Doors::default();
    let options = keeping(file(dir.path()));
    let served =
        runtime.block_on(cerium_server::serve(doors, service, options, std::future::pending()));
    assert!(served.unwrap_err().to_string().contains("damaged"));
}
