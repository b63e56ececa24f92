//! Which engine is asked, and what happens when it fails.

use crate::asked::{of, request, runtime, told};
use crate::engine::{Act, Engine, chat};
use cerium_upstream::{Dialect, UpstreamError, UpstreamOptions, Upstreams};

fn refuse(status: u16) -> Act {
    Act::Refuse(status, r#"{"error": {"message": "not now", "code": "busy"}}"#.to_owned())
}

fn named(name: &str, order: u32, engine: &Engine) -> UpstreamOptions {
    UpstreamOptions { name: name.to_owned(), order, ..of(engine, Dialect::Chat) }
}

#[test]
fn what_may_go_better_is_tried_again_and_what_may_not_is_told_as_it_is() {
    let engine = Engine::play(vec![refuse(503), refuse(429), Act::Tell(chat(&["a"]))]);
    let upstreams = Upstreams::new(vec![named("big", 0, &engine)]).unwrap();
    let answer = runtime().block_on(async { told(upstreams.respond(request("go"))).await });
    assert!(answer.ends_with(r#"done ours Completed (7, 3, 2) ["a"]"#), "{answer}");
    assert_eq!(engine.asked().len(), 3);

    let engine = Engine::play(vec![refuse(422)]);
    let upstreams = Upstreams::new(vec![named("big", 0, &engine)]).unwrap();
    let answer = runtime().block_on(async { told(upstreams.respond(request("go"))).await });
    assert_eq!((answer.as_str(), engine.asked().len()), ("failed 422 busy: not now", 1));
}

#[test]
fn the_next_engine_answers_while_the_first_is_down() {
    let down = Engine::play(vec![refuse(500)]);
    let up = Engine::play(vec![Act::Tell(chat(&["a"]))]);
    let upstreams = Upstreams::new(vec![named("z", 0, &down), named("a", 1, &up)]).unwrap();
    assert_eq!(upstreams.first("ours"), Some("z"));
    runtime().block_on(async {
        for _ in 0..10 {
            assert!(told(upstreams.respond(request("go"))).await.contains("text a"));
        }
        // A check finds it alive; what it does with requests is another matter.
        assert_eq!(upstreams.context("ours"), None);
        upstreams.look().await;
        assert_eq!(upstreams.context("ours"), Some(4096));
    });
    let health = upstreams.health();
    assert_eq!((health[0].requests, health[0].failures), (3, 3), "then it is left alone");
    assert_eq!((health[1].requests, health[1].failures, health[1].up), (10, 0, true));
    assert_eq!((down.asked().len(), up.asked().len()), (3, 10));
}

#[test]
fn nobody_is_asked_while_all_are_down() {
    // A port at which nobody listens.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{gone}/v1");
    let options = UpstreamOptions::new("big", &url, &["ours"], Dialect::Chat);
    let upstreams = Upstreams::new(vec![options]).unwrap();
    runtime().block_on(async {
        let first = told(upstreams.respond(request("go"))).await;
        assert!(
            first.starts_with("failed 502 upstream_unreachable: upstream `big` cannot be"),
            "{first}"
        );
        let second = told(upstreams.respond(request("go"))).await;
        assert!(
            second.starts_with("failed 503 upstream_unavailable: `ours` is not served at"),
            "{second}"
        );
    });
    assert!(!upstreams.health()[0].up);
    assert_eq!(upstreams.health()[0].requests, 3);
}

#[test]
fn engines_that_stay_the_same_keep_what_is_known_of_them() {
    let down = Engine::play(vec![refuse(500)]);
    let up = Engine::play(vec![Act::Tell(chat(&["a"]))]);
    let first = named("down", 0, &down);
    let upstreams = Upstreams::new(vec![first.clone()]).unwrap();
    runtime().block_on(async {
        assert!(told(upstreams.respond(request("go"))).await.starts_with("failed 500"));
        assert_eq!(down.asked().len(), 3, "it is left alone from now on");

        let both = Upstreams::new(vec![named("up", 1, &up), first.clone()]).unwrap();
        let both = both.after(&upstreams);
        assert!(told(both.respond(request("go"))).await.contains("text a"));
        assert_eq!(down.asked().len(), 3, "and still is");
        let health = both.health();
        assert_eq!((health[0].requests, health[0].failures, health[0].up), (3, 3, false));

        // Whatever of it changes, it may work now.
        let changed = UpstreamOptions { key: None, ..first };
        let changed = Upstreams::new(vec![changed]).unwrap().after(&both);
        assert!(changed.health()[0].up);
        assert!(told(changed.respond(request("go"))).await.starts_with("failed 500"));
        assert_eq!(down.asked().len(), 6);
        assert!(!upstreams.serve("up") && changed.serve("ours"));
    });
}

#[test]
fn addresses_that_are_none_are_refused() {
    let refusal = |url: &str| {
        let options = vec![UpstreamOptions::new("big", url, &["m"], Dialect::Chat)];
        let Err(UpstreamError::Url { why, .. }) = Upstreams::new(options) else { panic!("{url}") };
        assert!(!why.contains("secret"), "{why}");
    };
    for url in
        ["", "host:1", "file:///v1", "http://user:secret@host/v1", "http://host/v1?key=secret"]
    {
        refusal(url);
    }
}
