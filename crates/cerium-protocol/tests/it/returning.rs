//! There and back: what one side writes, the other reads as it was.

use crate::rendering;
use cerium_protocol::wire::chat::{self, Extras};
use cerium_protocol::wire::sse::EventReader;
use cerium_protocol::wire::{completions, responses};
use cerium_protocol::{
    Cause, CompletionRequest, ContextFile, CreateResponse, CustomFormat, DraftCounts, DraftSource,
    DraftUsage, Effort, ErrorBody, ErrorKind, Event, Extensions, GrammarSyntax, Include, Input,
    Item, Json, PartRead, Place, PromptPart, Reasoning, Response, Role, Status, Summary,
    TextFormat, Timings, Tool, ToolChoice, ToolKind, ToolName, Usage, Why,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde::Serialize;

fn text() -> impl Strategy<Value = String> {
    "(\\PC|[\n\r\t\u{0}\u{1f980}\"\\\\]){0,12}"
}

fn extensions() -> impl Strategy<Value = Extensions> {
    let sources = prop::sample::select(vec![
        DraftSource::Prediction,
        DraftSource::Changes,
        DraftSource::Repeats,
    ]);
    let texts = (text(), vec(text(), 0..3), option::of(text()), option::of(vec(sources, 0..4)));
    let file = (text(), text()).prop_map(|(filename, text)| ContextFile { filename, text });
    let numbers = (
        any::<u32>(),
        0f32..1.0,
        option::of(0.01f32..100.0),
        option::of(any::<u64>()),
        any::<bool>(),
        (-2f32..2.0, -2f32..2.0, btree_map(any::<u32>(), -100f32..100.0, 0..3)),
    );
    let part = (0..4usize, any::<usize>(), text());
    let parts = vec(part.prop_map(|(item, byte, name)| PromptPart { item, byte, name }), 0..3);
    (texts, numbers, parts, vec(file, 0..2)).prop_map(
        |((prefix, stop, prediction, drafts), numbers, parts, files)| {
            let (top_k, min_p, repetition_penalty, seed, infill, preferences) = numbers;
            let (presence_penalty, frequency_penalty, logit_bias) = preferences;
            Extensions {
                prefix,
                stop,
                prediction,
                drafts,
                infill,
                files,
                top_k,
                min_p,
                repetition_penalty,
                presence_penalty,
                frequency_penalty,
                logit_bias,
                seed,
                parts,
            }
        },
    )
}

fn input() -> impl Strategy<Value = Input> {
    let role = prop::sample::select(vec![Role::System, Role::User, Role::Assistant]);
    let message = (role, text()).prop_map(|(role, content)| Item::Message { role, content });
    let call = (any::<bool>(), text(), text(), option::of(text()), text());
    let call = call.prop_map(|(custom, call_id, name, namespace, given)| {
        if custom {
            Item::CustomToolCall { call_id, name, namespace, input: given }
        } else {
            Item::FunctionCall { call_id, name, namespace, arguments: given }
        }
    });
    let output = (any::<bool>(), text(), text()).prop_map(|(custom, call_id, output)| {
        if custom {
            Item::CustomToolCallOutput { call_id, output }
        } else {
            Item::FunctionCallOutput { call_id, output }
        }
    });
    let thought = text().prop_filter_map("of nothing", |text| {
        (!text.is_empty()).then_some(Item::Reasoning { text })
    });
    let item = prop_oneof![message, call, output, thought];
    prop_oneof![text().prop_map(Input::Text), vec(item, 1..4).prop_map(Input::Items)]
}

/// Tools, a choice among them and a format.
fn called() -> impl Strategy<Value = (Vec<Tool>, ToolChoice, TextFormat)> {
    let json = || Json::new(r#"{"a": [1, {}]}"#.into()).unwrap();
    let grammar =
        CustomFormat::Grammar { syntax: GrammarSyntax::Lark, definition: "start:".into() };
    let kinds = vec![
        ToolKind::Function { parameters: Some(json()), strict: true },
        ToolKind::Function { parameters: None, strict: false },
        ToolKind::Custom { format: CustomFormat::Text },
        ToolKind::Custom { format: grammar },
    ];
    let tool = (prop::sample::select(kinds), option::of("[a-z_.-]{1,9}"), option::of(text()));
    let tool = tool.prop_map(|(kind, namespace, description)| Tool {
        namespace,
        name: "é/7".into(),
        description,
        kind,
    });
    let schema = TextFormat::JsonSchema { name: "n".into(), schema: json() };
    let sources = vec!["a\nb".to_owned(), String::new()];
    let blocks = TextFormat::SearchReplace { sources };
    let formats = vec![TextFormat::Text, TextFormat::JsonObject, schema, blocks];
    (vec(tool, 1..3), 0..6, prop::sample::select(formats)).prop_map(|(tools, choice, format)| {
        let Tool { namespace, name, .. } = &tools[0];
        let name = ToolName { namespace: namespace.clone(), name: name.clone() };
        let choice = match choice {
            0 => ToolChoice::Auto,
            1 => ToolChoice::None,
            2 => ToolChoice::Required,
            3 => ToolChoice::Named(name),
            n => ToolChoice::Allowed { required: n == 4, tools: vec![name] },
        };
        (tools, choice, format)
    })
}

prop_compose! {
    fn create_response()(
        input in input(),
        instructions in option::of(text()),
        max_output_tokens in option::of(1u32..),
        temperature in option::of(0f32..2.0),
        top_p in option::of(0f32..1.0),
        include in vec(Just(Include::Logprobs), 0..2),
        top_logprobs in 0u32..30,
        cerium in extensions(),
        (tools, tool_choice, format) in called(),
        parallel_tool_calls in any::<bool>(),
        effort in option::of(prop_oneof![Just(Effort::None), Just(Effort::Xhigh)]),
        summary in option::of(Just(Summary::Detailed)),
    ) -> CreateResponse {
        CreateResponse {
            tools, tool_choice, parallel_tool_calls, format,
            reasoning: Reasoning { effort, summary },
            instructions, max_output_tokens, temperature, top_p, include, top_logprobs,
            cerium, ..CreateResponse::new("m/ü".into(), input)
        }
    }
}

prop_compose! {
    fn completion()(
        prompt in text(),
        suffix in option::of(text()),
        max_tokens in option::of(1u32..),
        temperature in option::of(0f32..2.0),
        top_p in option::of(0f32..1.0),
        stop in vec(text(), 0..3),
        logprobs in option::of(0u32..30),
        cerium in extensions(),
    ) -> CompletionRequest {
        // An empty suffix that nobody means to be one is none.
        let suffix = suffix.filter(|suffix| !suffix.is_empty() || cerium.infill);
        CompletionRequest {
            model: "m".into(), prompt, suffix, max_tokens, temperature, top_p, logprobs, stop,
            stream: true, generate: true, cerium,
        }
    }
}

proptest! {
    #[test]
    fn a_request_for_a_response_arrives_as_it_was(request in create_response()) {
        let parsed = responses::read(&responses::body(&request)).unwrap();
        prop_assert_eq!(parsed.request, request);
    }

    #[test]
    fn a_request_for_a_completion_arrives_as_it_was(request in completion()) {
        let parsed = completions::read(&completions::body(&request)).unwrap();
        let max_tokens = request.max_tokens.or(Some(u32::MAX));
        prop_assert_eq!(parsed.request, CompletionRequest { max_tokens, ..request });
    }
}

fn response(status: Status, text: &str) -> Response {
    let response = rendering::response(status, text);
    let drafts = DraftUsage {
        changed: DraftCounts { drafted_tokens: 4, accepted_tokens: 3 },
        ..DraftUsage::default()
    };
    let why = Why {
        cause: Cause::Differs,
        restored_tokens: 64,
        gone_tokens: 0,
        parts: vec![PartRead { name: "scope".into(), tokens: 120, known_tokens: 100 }],
        place: Some(Place {
            part: 0,
            byte: 311,
            before: "return ".into(),
            here: "a".into(),
            known: Some("b\n".into()),
        }),
    };
    Response {
        why: Some(why.into()),
        usage: Usage { drafts, ..response.usage },
        timings: Timings {
            queue_ms: 0.05,
            prefill_ms: 0.1,
            ttft_ms: 2.5,
            decode_ms: 10.25,
            total_ms: 1e3 / 3.0,
        },
        ..response
    }
}

/// An answer from its creation to its end.
fn answer(status: Status) -> Vec<Event> {
    let created = Response {
        usage: Usage::default(),
        timings: Timings::default(),
        incomplete_reason: None,
        output: Vec::new(),
        why: None,
        ..response(Status::InProgress, "")
    };
    vec![
        Event::Created(created),
        Event::Added { index: 0, item: Item::message(Role::Assistant, "") },
        Event::TextDelta("Hé\n".into()),
        Event::TextDelta("🦀".into()),
        Event::Done(response(status, "Hé\n🦀")),
    ]
}

fn stream<T: Serialize>(told: impl IntoIterator<Item = T>, end: &str) -> Vec<u8> {
    let lines = told.into_iter().map(|told| serde_json::to_string(&told).unwrap());
    lines.map(|line| format!("data: {line}\n\n")).chain([end.to_owned()]).collect::<String>().into()
}

/// Reads a stream in pieces of `n` bytes.
fn read(stream: &[u8], n: usize, mut read: impl FnMut(&[u8]) -> Vec<Event>) -> Vec<Event> {
    let mut reader = EventReader::default();
    let mut events = Vec::new();
    for piece in stream.chunks(n) {
        reader.push(piece, |data| events.extend(read(&data))).unwrap();
    }
    events
}

#[test]
fn an_answer_is_read_as_it_was_told() {
    for status in [Status::Completed, Status::Incomplete, Status::Cancelled] {
        let mut events = responses::Events::new(responses::Echo::default());
        let told = stream(answer(status).into_iter().flat_map(|event| events.push(event)), "");
        let mut frames = completions::Frames::new(5, Extras::default(), None);
        let lines = answer(status).into_iter().flat_map(|event| frames.push(0, event));
        let lines = stream(lines, "data: [DONE]\n\n");
        for n in [1, 7, 1 << 20] {
            let back =
                read(&told, n, |data| responses::read_event(data).unwrap().into_iter().collect());
            assert_eq!(back, answer(status));
            let mut reader = completions::Reader::default();
            let mut back = read(&lines, n, |data| reader.read(data).unwrap());
            // A completion's stream has no word for being created: its first piece is that.
            assert!(matches!(back.remove(0), Event::Created(r) if r.id == "resp_1"));
            assert_eq!(back, answer(status)[1..]);
        }
    }
}

#[test]
fn log_probabilities_are_read_as_they_were_told() {
    let mut events = responses::Events::new(responses::Echo::default());
    let happened = rendering::likely_answer();
    let told = stream(happened.iter().cloned().flat_map(|event| events.push(event)), "");
    let back = read(&told, 64, |data| responses::read_event(data).unwrap().into_iter().collect());
    assert_eq!(back[1..], happened[1..]);
}

#[test]
fn calls_are_read_as_they_were_told() {
    let mut events = responses::Events::new(responses::Echo::default());
    let told = rendering::calling().into_iter().flat_map(|event| events.push(event));
    let back = read(&stream(told, ""), 1 << 20, |data| {
        responses::read_event(data).unwrap().into_iter().collect()
    });
    let happened = rendering::calling();
    assert_eq!(back[1..], happened[1..]);
}

#[test]
fn an_answer_that_waits_says_behind_how_many() {
    let mut happened = answer(Status::Completed);
    happened.splice(1..1, [2, 0].map(|n_before| Event::Queued { n_before, wait_ms: Some(250) }));
    let mut events = responses::Events::new(responses::Echo::default());
    let told: Vec<_> = happened.clone().into_iter().flat_map(|event| events.push(event)).collect();
    let queued = serde_json::to_value(&told[2]).unwrap();
    assert_eq!((told[2].name(), &queued["sequence_number"]), ("response.queued", &2.into()));
    assert_eq!(
        (&queued["response"]["status"], &queued["cerium"]["before"]),
        (&"queued".into(), &2.into())
    );
    let told = stream(told, "");
    let back = read(&told, 64, |data| responses::read_event(data).unwrap().into_iter().collect());
    assert_eq!(back, happened);
    // Other servers say no number.
    let other = br#"{"type": "response.queued", "response": {"id": "r"}, "sequence_number": 1}"#;
    assert_eq!(
        responses::read_event(other),
        Ok(Some(Event::Queued { n_before: 0, wait_ms: None }))
    );
    // The other dialects have no word for it.
    assert_eq!(
        chat::Frames::new(5, Extras::default())
            .push(0, Event::Queued { n_before: 1, wait_ms: None }),
        []
    );
    assert_eq!(
        completions::Frames::new(5, Extras::default(), None)
            .push(0, Event::Queued { n_before: 1, wait_ms: None }),
        []
    );
}

#[test]
fn a_failure_is_read_as_one() {
    let error = ErrorBody::new(ErrorKind::ServerError, "gone").with_code("server_error");
    for n_before in [0, 2] {
        let happened = answer(Status::Completed).into_iter().take(n_before);
        let happened = happened.chain([Event::Failed(error.clone())]);
        let mut events = responses::Events::new(responses::Echo::default());
        let told = stream(happened.flat_map(|event| events.push(event)), "");
        let back =
            read(&told, 64, |data| responses::read_event(data).unwrap().into_iter().collect());
        assert_eq!(back.last(), Some(&Event::Failed(error.clone())));
    }
    let mut frames = completions::Frames::new(5, Extras::default(), None);
    let told = stream(frames.push(0, Event::Failed(error.clone())), "");
    let mut reader = completions::Reader::default();
    assert_eq!(read(&told, 64, |data| reader.read(data).unwrap()), [Event::Failed(error)]);
}

/// What a server that is not ours might say.
#[test]
fn answers_of_other_servers_are_read_as_far_as_there_are_words_for_them() {
    let done = r#"{"type": "response.completed", "sequence_number": 9, "response": {
        "id": "resp_x", "model": "m", "status": "completed", "output": [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "h"},
                                              {"type": "summary_text", "text": "m"}]},
            {"type": "message", "content": [{"type": "output_text", "text": "a"},
                                            {"type": "refusal", "refusal": "b"}]}],
        "usage": {"input_tokens": 5, "output_tokens": 2,
                  "input_tokens_details": {"cached_tokens": 4}}}}"#;
    let Some(Event::Done(response)) = responses::read_event(done.as_bytes()).unwrap() else {
        panic!("a finished response")
    };
    assert_eq!((response.text().as_str(), response.status), ("a", Status::Completed));
    assert_eq!((response.usage.prompt_tokens, response.usage.cached_tokens), (5, 4));
    assert_eq!(response.output[0].text(), "h\n\nm", "more is not known of what was thought");
    let told: Vec<Event> = [
        r#"{"type": "response.reasoning_summary_part.added", "summary_index": 0, "part": {}}"#,
        r#"{"type": "response.reasoning_summary_text.delta", "summary_index": 0, "delta": "h"}"#,
        r#"{"type": "response.reasoning_summary_part.added", "summary_index": 1, "part": {}}"#,
        r#"{"type": "response.reasoning_summary_text.delta", "summary_index": 1, "delta": "m"}"#,
    ]
    .iter()
    .filter_map(|event| responses::read_event(event.as_bytes()).unwrap())
    .collect();
    let thought = |text: &str| Event::ReasoningDelta(text.to_owned());
    assert_eq!(told, [thought("h"), thought("\n\n"), thought("m")]);
    let new = br#"{"type": "response.reasoning_summary.delta", "delta": 3}"#;
    assert_eq!(responses::read_event(new), Ok(None));
    for bad in ["", "{", "[]", "{\"type\": \"response.created\"}", "{\"type\": 3}", "nul"] {
        let error = responses::read_event(bad.as_bytes()).unwrap_err();
        assert_eq!(error.code.as_deref(), Some("unreadable_answer"), "{bad}");
    }
    for bad in ["", "{", "nul", "{\"choices\": 3}", "{\"error\": 3}"] {
        assert!(completions::Reader::default().read(bad.as_bytes()).is_err(), "{bad}");
    }
    let line = br#"{"id": "c", "choices": [{"text": "x", "finish_reason": "length"}]}"#;
    let mut reader = completions::Reader::default();
    reader.read(line).unwrap();
    reader
        .read(br#"{"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}"#)
        .unwrap();
    let [Event::Done(response)] = &reader.read(b"[DONE]").unwrap()[..] else { panic!("an end") };
    assert_eq!((response.text().as_str(), response.usage.prompt_tokens), ("x", 3));
    assert_eq!(response.incomplete_reason.as_deref(), Some("max_output_tokens"));
}
