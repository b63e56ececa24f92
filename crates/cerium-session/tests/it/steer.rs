//! An answer that is redirected: what stays, what follows, and what is told of it.

use crate::script::{Act, Seen, service, spell};
use cerium_engine::FinishReason;
use cerium_protocol::{
    CreateResponse, ErrorBody, Event, Extensions, Input, Item, Keep, Response, Role, Status,
    SteerExtensions, SteerResponse, Steered,
};
use cerium_session::Stream;
use std::sync::Arc;

fn ask(act: Act, prefix: &str) -> (Stream, Arc<Seen>) {
    let (service, seen) = service(act);
    let request = CreateResponse {
        max_output_tokens: Some(50),
        cerium: Extensions { prefix: prefix.into(), ..Extensions::default() },
        ..CreateResponse::new("scripted".into(), Input::Text("ask".into()))
    };
    (service.respond(&request).unwrap(), seen)
}

fn say(what: &str, cerium: SteerExtensions) -> SteerResponse {
    let input = Input::Text(what.to_owned());
    SteerResponse { previous_response_id: String::new(), input, cerium }
}

fn keep(keep: Keep) -> SteerExtensions {
    SteerExtensions { keep, ..SteerExtensions::default() }
}

/// Reads so much of the text.
fn read(stream: &mut Stream, n_bytes: usize) {
    let mut n = 0;
    while n < n_bytes {
        if let Event::TextDelta(delta) = stream.next().unwrap() {
            n += delta.text.len();
        }
    }
}

/// What follows a redirection: how it was told, and the end.
fn rest(stream: &mut Stream) -> (Steered, Response) {
    let mut turn = None;
    loop {
        match stream.next().unwrap() {
            Event::Steered(steered) => turn = Some(*steered),
            Event::Done(response) => return (turn.unwrap(), response),
            Event::Failed(error) => panic!("{error}"),
            _ => {}
        }
    }
}

/// The conversation that the engine goes on from, in full.
fn sequence(seen: &Seen, output: &str) -> String {
    let (jobs, steers) = (seen.jobs.lock().unwrap(), seen.steers.lock().unwrap());
    let mut ids = jobs[0].prompt.clone();
    ids.extend(output.bytes().map(u32::from));
    ids.truncate(steers[0].n_kept);
    ids.extend(&steers[0].tokens);
    spell(&ids)
}

#[test]
fn what_was_written_becomes_a_turn_and_a_new_one_follows() {
    let (mut stream, seen) = ask(Act::Hang("one\ntwo"), "p");
    read(&mut stream, 7);
    stream
        .steer(&say("not so", SteerExtensions { prefix: "q".into(), ..keep(Keep::All) }))
        .unwrap();
    assert_eq!(
        sequence(&seen, "one\ntwo"),
        "«im_start»user\nask«im_end»\n«im_start»assistant\npone\ntwo«im_end»\n\
         «im_start»user\nnot so«im_end»\n«im_start»assistant\nq"
    );
    let Some(Event::Steered(steered)) = stream.next() else { panic!() };
    let Steered { ended, successor } = *steered;
    assert_eq!(
        (ended.status, ended.incomplete_reason.as_deref()),
        (Status::Incomplete, Some("steered"))
    );
    assert_eq!((ended.text().as_str(), successor.text().as_str()), ("one\ntwo", ""));
    assert!(ended.id != successor.id && successor.status == Status::InProgress);
    // And once more, from there.
    read(&mut stream, 4);
    stream.steer(&say("nor so", keep(Keep::Lines))).unwrap();
    let Some(Event::Steered(steered)) = stream.next() else { panic!() };
    assert_eq!(steered.ended.text(), "one\n");
    let steers = seen.steers.lock().unwrap();
    assert_eq!(steers[1].n_kept, steers[0].n_kept + steers[0].tokens.len() + 4);
}

#[test]
fn what_is_kept_ends_where_it_should_and_the_rest_is_not_told() {
    let (mut stream, seen) = ask(Act::Repeat("f(\n1);\ng"), "");
    read(&mut stream, 11);
    stream.steer(&say("b", keep(Keep::Statements))).unwrap();
    // What the engine wrote meanwhile goes.
    let Some(Event::Steered(steered)) = stream.next() else { panic!() };
    assert_eq!(steered.ended.text(), "f(\n1);\n");
    assert!(sequence(&seen, "f(\n1);\n").contains("\nf(\n1);\n«im_end»\n«im_start»user\nb"));
}

#[test]
fn with_nothing_kept_more_is_asked() {
    let (mut stream, seen) = ask(Act::Hang("one"), "p");
    read(&mut stream, 3);
    stream.steer(&say("shorter", keep(Keep::Lines))).unwrap();
    let all = sequence(&seen, "one");
    assert_eq!(all, "«im_start»user\nask\n\nshorter«im_end»\n«im_start»assistant\n");
    assert_eq!(spell(&seen.steers.lock().unwrap()[0].tokens), all["«im_start»user\nask".len()..]);
}

#[test]
fn the_same_answer_goes_on_from_where_it_was_good() {
    let (mut stream, seen) = ask(Act::Say("one\ntwo\n", FinishReason::Stop), "p");
    read(&mut stream, 8);
    let cerium = SteerExtensions {
        go_on: Some("THREE".into()),
        temperature: Some(0.5),
        seed: Some(9),
        ..keep(Keep::Bytes(4))
    };
    stream.steer(&say("", cerium)).unwrap();
    let (steered, response) = rest(&mut stream);
    assert_eq!(
        sequence(&seen, "one\ntwo\n"),
        "«im_start»user\nask«im_end»\n«im_start»assistant\npone\nTHREE"
    );
    assert_eq!(
        (steered.ended.text().as_str(), steered.successor.text().as_str()),
        ("one\n", "one\nTHREE")
    );
    assert_eq!(response.text(), "one\nTHREEone\ntwo\n");
    let steers = seen.steers.lock().unwrap();
    assert_eq!((steers[0].sampling.temperature, steers[0].sampling.seed), (0.5, 9));
    assert_eq!(steers[0].max_tokens, 50 - 9);
}

#[test]
fn an_answer_that_had_just_ended_goes_on_too() {
    let (mut stream, seen) = ask(Act::Deaf("one"), "");
    read(&mut stream, 3);
    stream.steer(&say("b", keep(Keep::All))).unwrap();
    let (steered, response) = rest(&mut stream);
    assert_eq!((steered.ended.text().as_str(), response.text().as_str()), ("one", "one"));
    let prompt = spell(&seen.jobs.lock().unwrap()[1].prompt);
    assert_eq!(prompt, sequence(&seen, "one"));
    assert!(prompt.contains("one«im_end»\n«im_start»user\nb"), "{prompt}");
}

#[test]
fn what_cannot_be_redirected_says_why() {
    let code = |result: Result<(), ErrorBody>| result.unwrap_err().code.unwrap();
    let (mut stream, _) = ask(Act::Hang("one"), "");
    read(&mut stream, 3);
    assert_eq!(code(stream.steer(&say("", keep(Keep::All)))), "invalid_input");
    let mut theirs = say("", keep(Keep::All));
    theirs.input = Input::Items(vec![Item::message(Role::System, "a")]);
    assert_eq!(code(stream.steer(&theirs)), "invalid_input");
    assert_eq!(
        code(stream.steer(&say(&"a".repeat(400), keep(Keep::All)))),
        "context_length_exceeded"
    );
    stream.steer(&say("b", keep(Keep::All))).unwrap();
    assert_eq!(code(stream.steer(&say("c", keep(Keep::All)))), "too_many_pending_steers");
    let (mut stream, _) = ask(Act::Say("one", FinishReason::Stop), "");
    while stream.next().is_some() {}
    assert_eq!(code(stream.steer(&say("b", keep(Keep::All)))), "response_already_completed");
}

/// The same conversation afresh, as a client would send it, has the same answer.
#[test]
fn a_real_answer_is_redirected() {
    let service = crate::drafts::service("smollm2-135m");
    let mut request = CreateResponse {
        max_output_tokens: Some(40),
        ..CreateResponse::new(
            String::new(),
            Input::Text("Write a Python function that adds two numbers.".into()),
        )
    };
    let mut stream = service.respond(&request).unwrap();
    read(&mut stream, 60);
    stream.steer(&say("In Rust, please.", keep(Keep::Lines))).unwrap();
    let (Steered { ended, .. }, response) = rest(&mut stream);
    assert!(ended.text().ends_with('\n') && ended.usage.output_tokens > 0, "{ended:?}");
    assert!(response.usage.cached_tokens > 30, "{:?}", response.usage);
    let Input::Text(asked) = request.input else { panic!() };
    let item = |role, content: &str| Item::message(role, content);
    request.input = Input::Items(vec![
        item(Role::User, &asked),
        item(Role::Assistant, &ended.text()),
        item(Role::User, "In Rust, please."),
    ]);
    let mut fresh = service.respond(&request).unwrap();
    let fresh = loop {
        if let Event::Done(response) = fresh.next().unwrap() {
            break response;
        }
    };
    assert_eq!(response.output, fresh.output);
    assert_eq!(response.usage.prompt_tokens, fresh.usage.prompt_tokens);
}
