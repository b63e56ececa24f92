//! Conversations that go on: their prompts are those of the same conversations told at once.

use crate::script::{Act, service, service_within, spell, words};
use cerium_engine::FinishReason::Stop;
use cerium_protocol::{
    CreateResponse, Event, Input, Item, Keep, Role, SteerExtensions, SteerResponse,
};
use cerium_session::{Past, Service, Stream};

fn request(items: &[Item]) -> CreateResponse {
    CreateResponse::new("scripted".into(), Input::Items(items.to_vec()))
}

fn user(text: &str) -> Item {
    Item::message(Role::User, text)
}

/// Reads an answer to its end.
fn finish(mut stream: Stream) -> Past {
    while stream.next().is_some_and(|event| !matches!(event, Event::Done(_))) {}
    stream.past().unwrap()
}

/// The prompt of a request to a service that knows nothing yet.
fn afresh(request: &CreateResponse) -> String {
    let (service, seen) = service(Act::Say("Hi", Stop));
    service.respond(request).unwrap();
    spell(&seen.jobs.lock().unwrap()[0].prompt)
}

#[test]
fn what_is_new_is_put_behind_what_is_known() {
    let (service, seen) = service(Act::Say("Hi", Stop));
    let said = Item::message(Role::Assistant, "Hi");
    let rule = |text| Item::message(Role::System, text);
    let turns = [
        vec![rule("Be brief.")],
        vec![user("a<|im_end|>"), user(" b\n")],
        vec![user("c")],
        vec![rule("More."), user("d")],
    ];
    let (mut past, mut whole): (Option<Past>, Vec<Item>) = (None, Vec::new());
    for (n, new) in turns.iter().enumerate() {
        let request = CreateResponse { generate: n > 0, ..request(new) };
        let stream = match &past {
            None => service.respond(&request),
            Some(past) => service.go_on(past, &request),
        };
        whole.extend_from_slice(new);
        let expected = afresh(&self::request(&whole));
        assert_eq!(spell(&seen.jobs.lock().unwrap()[n].prompt), expected);
        let stream = stream.unwrap();
        past = Some(if n == 0 { stream.past().unwrap() } else { finish(stream) });
        if n > 0 {
            whole.push(said.clone());
        }
    }
    // Forks share what was before; other instructions begin the same conversation anew.
    let past = past.unwrap();
    for instructions in [None, Some("In French.".to_owned())] {
        let new = CreateResponse { instructions, ..request(&[user("e")]) };
        service.go_on(&past, &new).unwrap();
        let mut all = whole.clone();
        all.push(user("e"));
        let all = CreateResponse { instructions: new.instructions, ..request(&all) };
        assert_eq!(spell(&seen.jobs.lock().unwrap().pop().unwrap().prompt), afresh(&all));
    }
}

#[test]
fn a_long_prompt_is_explained_when_somebody_asks() {
    let (service, _) = service_within(Act::Say("Hi", Stop), &words(true), 10_000);
    let end = |text: &str| {
        let mut stream = service.respond(&request(&[user(text)])).unwrap();
        let done = std::iter::from_fn(|| stream.next()).last().unwrap();
        let Event::Done(response) = done else { panic!("{done:?}") };
        (response.why, stream.unexplained())
    };
    let (told, untold) = end("short");
    assert!(told.is_some() && untold.is_none());
    let (told, untold) = end(&"long ".repeat(1000));
    assert!(told.is_none());
    let why = untold.unwrap().why();
    assert!(why.parts.iter().map(|part| part.tokens).sum::<u64>() > 5000, "{why:?}");
}

#[test]
fn whoever_tells_all_again_is_understood_the_same() {
    let (service, seen) = service(Act::Say("Hi", Stop));
    let mut items = Vec::new();
    for n in 0..4 {
        items.push(user(&format!("{n}")));
        let request = request(&items);
        for _ in 0..2 {
            finish(service.respond(&request).unwrap());
            let prompt = spell(&seen.jobs.lock().unwrap().pop().unwrap().prompt);
            assert_eq!(prompt, afresh(&request));
        }
        items.push(Item::message(Role::Assistant, "Hi"));
    }
    // One word of the past is another, and an answer that is to go on is no turn.
    items[1] = Item::message(Role::Assistant, "Ho");
    for items in [&items[..7], &items] {
        let request = request(items);
        service.respond(&request).unwrap();
        assert_eq!(spell(&seen.jobs.lock().unwrap().pop().unwrap().prompt), afresh(&request));
    }
}

#[test]
fn a_redirection_is_part_of_the_conversation() {
    let goes_on = |keep, go_on: Option<&str>| -> String {
        let (service, seen): (Service, _) = service(Act::Hang("one\ntwo"));
        let mut stream = service.respond(&request(&[user("count")])).unwrap();
        for _ in 0..1 + 1 + 7 {
            stream.next().unwrap();
        }
        let said = if go_on.is_some() { Vec::new() } else { vec![user("in French")] };
        let cerium =
            SteerExtensions { keep, go_on: go_on.map(str::to_owned), ..Default::default() };
        let steer = SteerResponse {
            previous_response_id: String::new(),
            input: Input::Items(said),
            cerium,
        };
        stream.steer(&steer).unwrap();
        while !matches!(stream.next().unwrap(), Event::Steered(_)) {}
        stream.cancel();
        let past = finish(stream);
        service.go_on(&past, &request(&[user("more")])).unwrap();
        spell(&seen.jobs.lock().unwrap()[1].prompt)
    };
    insta::assert_snapshot!(goes_on(Keep::Lines, None), @r"
    «im_start»user
    count«im_end»
    «im_start»assistant
    one
    «im_end»
    «im_start»user
    in French«im_end»
    «im_start»assistant
    «im_end»
    «im_start»user
    more«im_end»
    «im_start»assistant
    ");
    insta::assert_snapshot!(goes_on(Keep::Lines, Some("zwei")), @r"
    «im_start»user
    count«im_end»
    «im_start»assistant
    one
    zwei«im_end»
    «im_start»user
    more«im_end»
    «im_start»assistant
    ");
}
