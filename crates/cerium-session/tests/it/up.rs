//! From steps to events.

use crate::script::{Act, Seen, service};
use cerium_engine::{Class, FinishReason};
use cerium_protocol::{
    Cause, CreateResponse, ErrorBody, Event, Extensions, Include, Input, Item, PromptPart,
    Response, Role, Status,
};
use cerium_session::Stream;
use std::sync::Arc;
use std::sync::atomic::Ordering;

fn stream(act: Act, stops: &[&str], max_output_tokens: Option<u32>) -> (Stream, Arc<Seen>) {
    let (service, seen) = service(act);
    (service.respond(&request(stops, max_output_tokens)).unwrap(), seen)
}

fn request(stops: &[&str], max_output_tokens: Option<u32>) -> CreateResponse {
    let stop = stops.iter().map(|&stop| stop.to_owned()).collect();
    CreateResponse {
        max_output_tokens,
        cerium: Extensions { stop, ..Extensions::default() },
        ..CreateResponse::new("scripted".into(), Input::Text("a".into()))
    }
}

/// Reads to the end, calling off the answer when `enough` of its text has come.
fn read(mut stream: Stream, enough: usize) -> Result<Response, ErrorBody> {
    let mut n_bytes = 0;
    loop {
        match stream.next().unwrap() {
            Event::TextDelta(delta) => {
                n_bytes += delta.text.len();
                if n_bytes >= enough {
                    stream.cancel();
                }
            }
            Event::Done(response) => {
                assert_eq!(stream.next(), None);
                return Ok(response);
            }
            Event::Failed(error) => return Err(error),
            _ => {}
        }
    }
}

/// One line an event.
fn line(event: Event) -> String {
    let about = |response: &Response| {
        let Response { status, incomplete_reason, usage, .. } = response;
        let reason = incomplete_reason.as_deref().unwrap_or("-");
        format!(
            "{status:?} {reason} {:?} {}+{} tokens, {} cached",
            response.text(),
            usage.prompt_tokens,
            usage.output_tokens,
            usage.cached_tokens
        )
    };
    match event {
        Event::Created(response) => format!("created {}\n", about(&response)),
        Event::Queued { n_before, .. } => format!("queued behind {n_before}\n"),
        Event::Added { index, item } => format!("added {index} {item:?}\n"),
        Event::TextDelta(delta) => {
            let logprobs = delta.logprobs.iter().map(|it| {
                let top: Vec<_> = it.top_logprobs.iter().map(|it| it.token.as_str()).collect();
                format!(" {:?} {} {top:?}", it.chosen.token, it.chosen.logprob)
            });
            format!("text {:?}{}\n", delta.text, logprobs.collect::<String>())
        }
        Event::CallDelta(text) => format!("call {text:?}\n"),
        Event::ReasoningDelta(text) => format!("thought {text:?}\n"),
        Event::Done(response) => format!("done {}\n", about(&response)),
        Event::Steered(steered) => format!("steered {}\n", about(&steered.ended)),
        Event::Failed(error) => format!("failed {error}\n"),
    }
}

/// All events, the same by both ways of waiting for them.
fn events(act: Act, stops: &[&str], max_output_tokens: Option<u32>) -> String {
    events_of(act, &request(stops, max_output_tokens))
}

fn events_of(act: Act, request: &CreateResponse) -> String {
    let stream = || service(act).0.respond(request).unwrap();
    let mut blocking = stream();
    let told: String = std::iter::from_fn(|| blocking.next()).map(line).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let told_async = runtime.block_on(async {
        let mut stream = stream();
        let mut told = String::new();
        while let Some(event) = stream.next_async().await {
            told += &line(event);
        }
        told
    });
    assert_eq!(told, told_async);
    told
}

#[test]
fn an_answer_comes_in_whole_characters() {
    let told = events(Act::Say("aé🦀", FinishReason::Stop), &[], None);
    insta::assert_snapshot!(told, @r#"
    created InProgress - "" 20+0 tokens, 0 cached
    added 0 Message { role: Assistant, content: "" }
    text "a"
    text "é"
    text "🦀"
    done Completed - "aé🦀" 20+7 tokens, 3 cached
    "#);
}

#[test]
fn who_waits_hears_behind_how_many() {
    let told = events(Act::SayLate("a"), &[], None);
    insta::assert_snapshot!(told, @r#"
    created InProgress - "" 20+0 tokens, 0 cached
    queued behind 2
    queued behind 0
    added 0 Message { role: Assistant, content: "" }
    text "a"
    done Completed - "a" 20+3 tokens, 3 cached
    "#);
}

#[test]
fn a_prompt_is_told_in_its_parts() {
    let (service, _) = service(Act::Say("z", FinishReason::Stop));
    let part = |item, byte, name: &str| PromptPart { item, byte, name: name.to_owned() };
    let mut request = request(&[], None);
    request.instructions = Some("sys".into());
    request.input = Input::Items(vec![
        Item::message(Role::User, "  old é old "),
        Item::message(Role::Assistant, "said"),
        Item::message(Role::User, "fileéscope"),
    ]);
    request.cerium.prefix = "go".into();
    // One within a character, and one of an item that is not there.
    request.cerium.parts =
        vec![part(2, 5, "scope"), part(2, 0, "file"), part(0, 2, "before"), part(9, 0, "none")];
    let why = read(service.respond(&request).unwrap(), usize::MAX).unwrap().why.unwrap();
    let parts: Vec<_> = why.parts.iter().map(|p| (p.name.as_str(), p.tokens)).collect();
    // Each with the words of the template before it (a control token, the role and a line feed), and white space.
    let turn = |role: &str, text: &str| (1 + role.len() + 1 + text.len()) as u64;
    let end = 2; // The end of a turn.
    assert_eq!(
        parts,
        [
            ("system text", turn("system", "sys")),
            ("before", end + turn("user", "  old é old")),
            ("earlier turns", 1 + end + turn("assistant", "said")),
            ("file", end + turn("user", "file")),
            ("scope", "éscope".len() as u64),
            ("beginning of the answer", end + turn("assistant", "go")),
        ]
    );
    let place = why.place.unwrap();
    assert_eq!((why.cause, place.part, place.byte), (Cause::New, 0, 0));
    assert_eq!((why.parts[0].known_tokens, place.known), (3, None));
    assert!(place.here.starts_with("stem\nsys<|im_end|>\n<|im_start|>user"), "{}", place.here);
}

#[test]
fn bytes_that_are_no_text_are_marked() {
    let told = events(Act::SayBytes(b"a\xffb\xf0\x9f", FinishReason::Stop), &[], None);
    insta::assert_snapshot!(told, @r#"
    created InProgress - "" 20+0 tokens, 0 cached
    added 0 Message { role: Assistant, content: "" }
    text "a"
    text "�"
    text "b"
    text "�"
    done Completed - "a�b�" 20+5 tokens, 3 cached
    "#);
}

#[test]
fn a_stop_text_ends_the_answer_and_the_work() {
    let told = events(Act::Repeat("ab\n``x\n```c"), &["\n```"], None);
    insta::assert_snapshot!(told, @r#"
    created InProgress - "" 20+0 tokens, 0 cached
    added 0 Message { role: Assistant, content: "" }
    text "a"
    text "b"
    text "\n``x"
    done Completed - "ab\n``x" 20+9 tokens, 3 cached
    "#);
    let (stream, seen) = stream(Act::Repeat("ab\n```c"), &["\n```"], None);
    let response = read(stream, usize::MAX).unwrap();
    assert_eq!((response.status, response.text().as_str()), (Status::Completed, "ab"));
    assert!(seen.cancelled.load(Ordering::SeqCst), "the engine is told to stop");
    assert_eq!(seen.n_tokens.load(Ordering::SeqCst), 6);
}

#[test]
fn what_was_held_back_is_shown_at_the_end() {
    let told = events(Act::Say("ab\n``", FinishReason::Stop), &["\n```"], None);
    insta::assert_snapshot!(told, @r#"
    created InProgress - "" 20+0 tokens, 0 cached
    added 0 Message { role: Assistant, content: "" }
    text "a"
    text "b"
    text "\n``"
    done Completed - "ab\n``" 20+5 tokens, 3 cached
    "#);
}

/// With the text of their tokens, and none of the stop text's.
#[test]
fn log_probabilities_wait_for_the_text_of_their_tokens() {
    let likely = |act, stops: &[&str], top_logprobs| {
        let include = vec![Include::Logprobs];
        events_of(act, &CreateResponse { include, top_logprobs, ..request(stops, None) })
    };
    let told = likely(Act::Say("aé", FinishReason::Stop), &[], 2);
    insta::assert_snapshot!(told, @r#"
    created InProgress - "" 20+0 tokens, 0 cached
    added 0 Message { role: Assistant, content: "" }
    text "a" "a" -0.5 ["b", "c"]
    text "é" "�" -0.5 ["�", "�"] "�" -0.5 ["�", "�"]
    done Completed - "aé" 20+3 tokens, 3 cached
    "#);
    let told = likely(Act::Repeat("b\n`x\n``c"), &["\n``"], 0);
    insta::assert_snapshot!(told, @r#"
    created InProgress - "" 20+0 tokens, 0 cached
    added 0 Message { role: Assistant, content: "" }
    text "b" "b" -0.5 []
    text "\n`x" "\n" -0.5 [] "`" -0.5 [] "x" -0.5 []
    done Completed - "b\n`x" 20+6 tokens, 3 cached
    "#);
    // What ends in the middle of a character is a token too.
    let told = likely(Act::SayBytes(b"a\xf0\x9f", FinishReason::Stop), &[], 0);
    insta::assert_snapshot!(told, @r#"
    created InProgress - "" 20+0 tokens, 0 cached
    added 0 Message { role: Assistant, content: "" }
    text "a" "a" -0.5 []
    text "�" "�" -0.5 [] "�" -0.5 []
    done Completed - "a�" 20+3 tokens, 3 cached
    "#);
    let (service, seen) = service(Act::Refuse);
    let asked =
        CreateResponse { include: vec![Include::Logprobs], top_logprobs: 21, ..request(&[], None) };
    let error = service.respond(&asked).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("top_logprobs"), "{error}");
    assert!(seen.jobs.lock().unwrap().is_empty());
}

#[test]
fn a_cut_answer_says_what_cut_it() {
    let cut = Act::Say("ab", FinishReason::Length);
    let reason = |act, max| events(act, &[], max).lines().last().unwrap().to_owned();
    insta::assert_snapshot!(reason(cut, Some(2)), @r#"done Incomplete max_output_tokens "ab" 20+2 tokens, 3 cached"#);
    insta::assert_snapshot!(reason(cut, None), @r#"done Incomplete context "ab" 20+2 tokens, 3 cached"#);
    insta::assert_snapshot!(reason(Act::Say("ab", FinishReason::Context), Some(9)), @r#"done Incomplete context "ab" 20+2 tokens, 3 cached"#);
}

#[test]
fn an_engine_that_dies_fails_the_answer() {
    let told = events(Act::Die("ab"), &[], None);
    insta::assert_snapshot!(told, @r#"
    created InProgress - "" 20+0 tokens, 0 cached
    added 0 Message { role: Assistant, content: "" }
    text "a"
    text "b"
    failed the engine stopped before the answer was complete
    "#);
    let (stream, _) = stream(Act::Die("ab"), &[], None);
    let error = read(stream, usize::MAX).unwrap_err();
    assert_eq!(error.code.as_deref(), Some("server_error"));
}

#[test]
fn breaking_off_cancels() {
    let (stream, seen) = stream(Act::Repeat("ab"), &[], None);
    let response = read(stream, 3).unwrap();
    assert_eq!(response.status, Status::Cancelled);
    assert_eq!(response.text(), "aba");
    assert!(seen.cancelled.load(Ordering::SeqCst));
}

#[test]
fn dropping_a_stream_lets_go_of_the_job() {
    let (mut stream, seen) = stream(Act::Hang("ab"), &[], None);
    assert!(matches!(stream.next(), Some(Event::Created(_))));
    drop(stream);
    assert_eq!(seen.n_dropped.load(Ordering::SeqCst), 1);
}

#[test]
fn every_response_has_an_id_of_its_own() {
    let id = || match stream(Act::Die(""), &[], None).0.next() {
        Some(Event::Created(response)) => response.id,
        other => panic!("{other:?}"),
    };
    let (one, other) = (id(), id());
    assert_ne!(one, other);
    assert!(one.starts_with("resp_") && one.len() == 37, "{one}");
}

#[test]
fn timings_come_from_the_engine() {
    let (stream, _) = stream(Act::Say("ab", FinishReason::Stop), &[], None);
    let timings = read(stream, usize::MAX).unwrap().timings;
    assert_eq!(
        [timings.prefill_ms, timings.ttft_ms, timings.decode_ms, timings.total_ms],
        [10.0, 11.0, 20.0, 31.0]
    );
}

#[test]
fn a_prompt_is_computed_without_an_answer() {
    let (service, seen) = service(Act::Say("", FinishReason::Length));
    let request = CreateResponse { generate: false, ..request(&[], None) };
    let response = read(service.respond(&request).unwrap(), usize::MAX).unwrap();
    assert_eq!((response.status, response.text().as_str()), (Status::Completed, ""));
    let jobs = seen.jobs.lock().unwrap();
    assert_eq!((jobs[0].max_tokens, jobs[0].class), (0, Class::Background));
}
