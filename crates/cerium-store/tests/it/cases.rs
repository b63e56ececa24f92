//! What must hold in every store.

use crate::NOW;
use cerium_store::{
    Extent, Frames, Item, NewConversation, NewResponse, Outcome, Retention, Store, StoreError,
    name_of,
};
use std::pin::Pin;
use std::sync::Arc;

/// What is done with a store.
type Act = fn(Arc<Store>) -> Pin<Box<dyn Future<Output = ()>>>;

/// What the stores of these cases keep.
pub(crate) const RETENTION: Retention =
    Retention { age_max: 1000, n_max: 100, bytes_max: 1_000_000 };

/// A name and what is done with an empty store.
pub(crate) struct Case(&'static str, Act);

impl Case {
    pub(crate) async fn run(self, store: Store) {
        let Self(name, case) = self;
        eprintln!("{name}");
        let store = Arc::new(store);
        store.check().await.unwrap();
        case(Arc::clone(&store)).await;
        store.close().await;
    }
}

macro_rules! cases {
    ($($name:ident),*) => { vec![$(Case(stringify!($name), |store| Box::pin($name(store)))),*] };
}

pub(crate) fn all() -> Vec<Case> {
    cases![
        a_response_comes_back_as_it_was,
        a_chain_is_one_history,
        what_is_deleted_is_gone_but_for_what_others_were_asked,
        events_come_back_as_they_were_told,
        what_a_dead_server_wrote_is_lost,
        somebody_else_may_ask_for_the_end,
        conversations_grow_and_shrink,
        a_thousand_responses_are_swept,
        the_longest_unused_goes_first,
        many_write_at_once,
        a_key_is_known_again_until_it_is_revoked
    ]
}

async fn a_key_is_known_again_until_it_is_revoked(store: Arc<Store>) {
    let (key, secret) = store.create_key("ci", "preview", NOW).await.unwrap();
    let (other, _) = store.create_key("ci", "partner", NOW + 1).await.unwrap();
    assert_eq!(name_of(secret.reveal()), Some(key.id.as_str()));
    assert_eq!(store.keys().await.unwrap(), [key.clone(), other.clone()]);
    let kept = &store.keys().await.unwrap()[0];
    assert!(kept.is(secret.reveal()) && !other.is(secret.reveal()));
    let shown = format!("{kept:?} {secret:?}");
    assert!(!shown.contains(&secret.reveal()[key.id.len()..]), "{shown}");
    assert!(store.revoke_key(&key.id, NOW + 5).await.unwrap());
    assert!(!store.revoke_key(&key.id, NOW + 6).await.unwrap(), "it is revoked already");
    assert!(!store.revoke_key("cer-nothing", NOW).await.unwrap());
    let revoked: Vec<_> =
        store.keys().await.unwrap().into_iter().map(|key| key.revoked_at).collect();
    assert_eq!(revoked, [Some(NOW + 5), None]);
    for bad in ["", "cer-", "cer-12", secret.reveal().trim_start_matches("cer-")] {
        assert_eq!(name_of(bad), None, "{bad}");
    }
}

fn items(texts: &[&str]) -> Vec<Item> {
    let item = |text: &&str| Item { id: format!("msg_{text}"), body: format!("{{\"{text}\":1}}") };
    texts.iter().map(item).collect()
}

fn texts(items: &[Item]) -> Vec<&str> {
    items.iter().map(|item| item.id.strip_prefix("msg_").unwrap()).collect()
}

fn new<'a>(id: &'a str, parent: Option<&'a str>, input: &'a [Item]) -> NewResponse<'a> {
    NewResponse {
        id,
        holder: "",
        parent,
        conversation: None,
        server: "one",
        object: "{}",
        input,
        now: NOW,
    }
}

fn outcome<'a>(object: &'a str, output: &'a [Item]) -> Outcome<'a> {
    let (frames, conversation) = (Frames::default(), None);
    Outcome { object, output, frames, given_up: false, conversation, now: NOW }
}

/// A response that was asked and answered this.
async fn respond(store: &Store, id: &str, parent: Option<&str>, asked: &str, answered: &str) {
    store.begin(new(id, parent, &items(&[asked]))).await.unwrap();
    assert!(store.finish(id, outcome("{\"done\":1}", &items(&[answered]))).await.unwrap());
}

async fn history(store: &Store, id: &str, extent: Extent) -> Vec<Item> {
    store.history(id, extent, 1_000_000).await.unwrap()
}

async fn a_response_comes_back_as_it_was(store: Arc<Store>) {
    store.lease("one", NOW + 10).await.unwrap();
    assert_eq!(store.response("resp_1", NOW).await.unwrap(), None);
    // Whatever JSON may hold, quotes of SQL and escaped NULs too.
    let object = r#"{"text":"it's \u0000 \"🦀\" %$1 ?"}"#;
    store.begin(NewResponse { object, ..new("resp_1", None, &items(&["a"])) }).await.unwrap();
    let found = store.response("resp_1", NOW).await.unwrap().unwrap();
    assert_eq!((found.object.as_str(), found.running, found.lost), (object, true, false));
    assert!(store.finish("resp_1", outcome(object, &items(&["b"]))).await.unwrap());
    let found = store.response("resp_1", NOW + 11).await.unwrap().unwrap();
    assert_eq!((found.object.as_str(), found.running, found.lost), (object, false, false));
    assert!(!store.finish("resp_1", outcome("{}", &[])).await.unwrap(), "it ends once");
    assert_eq!(store.item("msg_b", "").await.unwrap().unwrap().body, "{\"b\":1}");
    assert_eq!(store.item("msg_b", "somebody").await.unwrap(), None, "it is somebody else's");
}

async fn a_chain_is_one_history(store: Arc<Store>) {
    respond(&store, "resp_1", None, "a", "b").await;
    respond(&store, "resp_2", Some("resp_1"), "c", "d").await;
    respond(&store, "resp_3", Some("resp_1"), "e", "f").await;
    assert_eq!(texts(&history(&store, "resp_2", Extent::Answered).await), ["a", "b", "c", "d"]);
    assert_eq!(texts(&history(&store, "resp_3", Extent::Asked).await), ["a", "b", "e"]);
    let long = store.history("resp_3", Extent::Asked, 10).await;
    assert!(matches!(long, Err(StoreError::TooLong(10))), "{long:?}");
    let unknown = store.begin(new("resp_4", Some("resp_0"), &[])).await;
    assert!(matches!(unknown, Err(StoreError::Missing(id)) if id == "resp_0"));
    assert_eq!(store.response("resp_4", NOW).await.unwrap(), None);
    // More items than one statement takes.
    let many: Vec<Item> =
        (0..2500).map(|n| Item { id: format!("msg_{n}"), body: n.to_string() }).collect();
    store.begin(new("resp_5", Some("resp_2"), &many)).await.unwrap();
    let read = history(&store, "resp_5", Extent::Asked).await;
    assert_eq!(read[4..], many);
}

async fn what_is_deleted_is_gone_but_for_what_others_were_asked(store: Arc<Store>) {
    respond(&store, "resp_1", None, "a", "b").await;
    respond(&store, "resp_2", Some("resp_1"), "c", "d").await;
    respond(&store, "resp_3", Some("resp_2"), "e", "f").await;
    assert!(store.delete("resp_2").await.unwrap());
    assert!(store.delete("resp_1").await.unwrap());
    assert!(!store.delete("resp_1").await.unwrap(), "it is gone already");
    assert_eq!(store.response("resp_2", NOW).await.unwrap(), None);
    let asked = store.history("resp_2", Extent::Asked, 1000).await;
    assert!(matches!(asked, Err(StoreError::Missing(_))));
    let all = history(&store, "resp_3", Extent::Answered).await;
    assert_eq!(texts(&all), ["a", "b", "c", "d", "e", "f"]);
    assert_eq!(store.held().await.unwrap().0, 1);
    assert!(store.delete("resp_3").await.unwrap());
    assert_eq!(store.held().await.unwrap(), (0, 0));
    assert_eq!(store.item("msg_a", "").await.unwrap(), None, "nothing follows it any more");
}

async fn events_come_back_as_they_were_told(store: Arc<Store>) {
    store.begin(new("resp_1", None, &[])).await.unwrap();
    let pieces = [(0, "zero\n\none\n\n"), (2, "two\n\n"), (3, "three 🦀\n\nfour\n\n")];
    for (first, text) in pieces {
        assert!(!store.append("resp_1", Frames { first, text }).await.unwrap());
    }
    // Told twice: whoever wrote it did not hear that it was written.
    let frames = Frames { first: 5, text: "end" };
    store.append("resp_1", frames).await.unwrap();
    let frames = Frames { first: 5, text: "end\n\n" };
    store.finish("resp_1", Outcome { frames, ..outcome("{}", &[]) }).await.unwrap();
    let numbers = async |from| -> Vec<u64> {
        let pieces = store.events("resp_1", from).await.unwrap();
        pieces.into_iter().map(|(first, _)| first).collect()
    };
    assert_eq!(numbers(0).await, [0, 2, 3, 5]);
    assert_eq!(numbers(1).await, [0, 2, 3, 5]);
    assert_eq!(numbers(2).await, [2, 3, 5]);
    assert_eq!(numbers(4).await, [3, 5]);
    assert_eq!(numbers(u64::MAX).await, [5]);
    let all: String =
        store.events("resp_1", 0).await.unwrap().into_iter().map(|(_, text)| text).collect();
    assert_eq!(all, "zero\n\none\n\ntwo\n\nthree 🦀\n\nfour\n\nend\n\n");
    // Nothing is appended to what has ended.
    store.append("resp_1", Frames { first: 6, text: "more" }).await.unwrap();
    assert_eq!(numbers(5).await, [5]);
}

async fn what_a_dead_server_wrote_is_lost(store: Arc<Store>) {
    store.lease("one", NOW + 10).await.unwrap();
    store.begin(new("resp_1", None, &[])).await.unwrap();
    store.begin(NewResponse { server: "nobody", ..new("resp_2", None, &[]) }).await.unwrap();
    assert_eq!(store.lost(NOW + 10).await.unwrap(), ["resp_2"]);
    store.lease("one", NOW + 20).await.unwrap();
    assert_eq!(store.lost(NOW + 20).await.unwrap(), ["resp_2"]);
    assert_eq!(store.lost(NOW + 21).await.unwrap(), ["resp_1", "resp_2"]);
    let found = store.response("resp_1", NOW + 21).await.unwrap().unwrap();
    assert_eq!((found.running, found.lost), (false, true));
    let frames = Frames { first: 0, text: "failed" };
    let given_up = Outcome { given_up: true, frames, ..outcome("{\"failed\":1}", &[]) };
    assert!(store.finish("resp_1", given_up).await.unwrap());
    assert!(!store.finish("resp_1", given_up).await.unwrap());
    assert_eq!(store.lost(NOW + 21).await.unwrap(), ["resp_2"]);
    let found = store.response("resp_1", NOW + 21).await.unwrap().unwrap();
    assert_eq!((found.running, found.lost), (false, false));
    // It was cut off alone, and is back.
    let frames = Frames { first: 0, text: "answered" };
    let answered = Outcome { frames, ..outcome("{\"answered\":1}", &[]) };
    assert!(store.finish("resp_1", answered).await.unwrap());
    assert!(!store.finish("resp_1", given_up).await.unwrap());
    let found = store.response("resp_1", NOW + 21).await.unwrap().unwrap();
    assert_eq!(found.object, "{\"answered\":1}");
    assert_eq!(store.events("resp_1", 0).await.unwrap(), [(0, "answered".to_owned())]);
}

async fn somebody_else_may_ask_for_the_end(store: Arc<Store>) {
    store.begin(new("resp_1", None, &[])).await.unwrap();
    assert!(store.to_cancel("one").await.unwrap().is_empty());
    assert!(store.ask_to_cancel("resp_1").await.unwrap());
    assert_eq!(store.to_cancel("one").await.unwrap(), ["resp_1"]);
    assert!(store.append("resp_1", Frames { first: 0, text: "x" }).await.unwrap());
    store.finish("resp_1", outcome("{}", &[])).await.unwrap();
    assert!(store.to_cancel("one").await.unwrap().is_empty());
    assert!(!store.ask_to_cancel("resp_1").await.unwrap());
}

async fn conversations_grow_and_shrink(store: Arc<Store>) {
    let begun = items(&["a"]);
    let new_one =
        NewConversation { id: "conv_1", holder: "", metadata: "{}", items: &begun, now: NOW };
    store.begin_conversation(new_one).await.unwrap();
    let asked = items(&["b"]);
    let response = NewResponse { conversation: Some("conv_1"), ..new("resp_1", None, &asked) };
    store.begin(response).await.unwrap();
    let answered = items(&["c"]);
    let end = Outcome { conversation: Some("conv_1"), ..outcome("{}", &answered) };
    store.finish("resp_1", end).await.unwrap();
    assert_eq!(texts(&store.items("conv_1").await.unwrap()), ["a", "b", "c"]);
    assert!(store.remove_item("conv_1", "msg_b").await.unwrap());
    assert!(!store.remove_item("conv_1", "msg_b").await.unwrap());
    store.add_items("conv_1", &items(&["d"]), NOW).await.unwrap();
    assert_eq!(texts(&store.items("conv_1").await.unwrap()), ["a", "c", "d"]);
    assert!(store.annotate("conv_1", "{\"x\":\"y\"}", NOW).await.unwrap());
    assert_eq!(store.conversation("conv_1").await.unwrap().unwrap().metadata, "{\"x\":\"y\"}");
    assert!(store.delete_conversation("conv_1").await.unwrap());
    assert_eq!(store.conversation("conv_1").await.unwrap(), None);
    let gone = store.add_items("conv_1", &items(&["e"]), NOW).await;
    assert!(matches!(gone, Err(StoreError::Missing(_))));
    // The response has its own copy.
    assert_eq!(texts(&history(&store, "resp_1", Extent::Answered).await), ["b", "c"]);
}

async fn a_thousand_responses_are_swept(store: Arc<Store>) {
    for n in 0..1000 {
        let id = format!("resp_{n:04}");
        let response = NewResponse { now: NOW + n, ..new(&id, None, &[]) };
        store.begin(response).await.unwrap();
        if n != 950 {
            store.finish(&id, Outcome { now: NOW + n, ..outcome("{}", &[]) }).await.unwrap();
        }
    }
    // Those unused for 1,000 seconds go, and then all but a hundred; the newest stay, and the one
    // that runs.
    let swept = store.sweep(NOW + 1500).await.unwrap();
    assert_eq!((swept.n_deleted, swept.n_left), (900, 100));
    assert_eq!(store.response("resp_0899", NOW).await.unwrap(), None);
    assert!(store.response("resp_0900", NOW).await.unwrap().is_some());
    assert_eq!(store.sweep(NOW + 1500).await.unwrap().n_deleted, 0);
    let swept = store.sweep(NOW + 1960).await.unwrap();
    assert_eq!((swept.n_deleted, swept.n_left), (60, 40), "what runs for so long is over, too");
}

async fn the_longest_unused_goes_first(store: Arc<Store>) {
    let large = vec![Item { id: "msg_x".to_owned(), body: "x".repeat(400_000) }];
    for (n, id) in ["resp_1", "resp_2", "resp_3"].iter().enumerate() {
        let now = NOW + n as i64;
        store.begin(NewResponse { now, ..new(id, None, &large) }).await.unwrap();
        store.finish(id, Outcome { now, ..outcome("{}", &[]) }).await.unwrap();
    }
    assert!(store.response("resp_1", NOW + 100).await.unwrap().is_some(), "used again");
    let swept = store.sweep(NOW + 100).await.unwrap();
    assert_eq!((swept.n_deleted, swept.n_left), (1, 2));
    assert!(swept.bytes_left <= RETENTION.bytes_max);
    assert!(store.response("resp_1", NOW + 100).await.unwrap().is_some());
    assert_eq!(store.response("resp_2", NOW + 100).await.unwrap(), None);
    assert!(store.response("resp_3", NOW + 100).await.unwrap().is_some());
}

async fn many_write_at_once(store: Arc<Store>) {
    let new_one =
        NewConversation { id: "conv_1", holder: "", metadata: "{}", items: &[], now: NOW };
    store.begin_conversation(new_one).await.unwrap();
    let writers = (0..8).map(|writer| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for n in 0..10 {
                let id = format!("resp_{writer}_{n}");
                let before = format!("resp_{writer}_{}", n - 1);
                let parent = (n > 0).then_some(before.as_str());
                store.begin(new(&id, parent, &items(&["q"]))).await.unwrap();
                store.append(&id, Frames { first: 0, text: "event" }).await.unwrap();
                let answered = items(&[&format!("{writer}.{n}")]);
                let frames = Frames { first: 1, text: "end" };
                let end = Outcome {
                    frames,
                    conversation: Some("conv_1"),
                    ..outcome("{\"end\":1}", &answered)
                };
                assert!(store.finish(&id, end).await.unwrap());
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(store.items("conv_1").await.unwrap().len(), 160);
    for writer in 0..8 {
        let all = history(&store, &format!("resp_{writer}_9"), Extent::Answered).await;
        assert_eq!(all.len(), 20);
    }
}
