//! Tools: what the model is told of them, what is read of its calls, and answers that keep to a shape.

use crate::script::{Act, service, service_of, spell, words_of};
use cerium_engine::{Engine, EngineOptions, FinishReason};
use cerium_model::file::ModelFile;
use cerium_model::template::ChatTemplate;
use cerium_model::tokenizer::Tokenizer;
use cerium_model::{Cpu, Model};
use cerium_protocol::{
    CreateResponse, CustomFormat, Event, Extensions, GrammarSyntax, Input, Item, Json, Response,
    Role, Status, TextFormat, Tool, ToolChoice, ToolKind, ToolName,
};
use cerium_session::Service;
use serde_json::{Value, json};
use std::sync::Arc;

fn function(name: &str, parameters: &Value) -> Tool {
    let parameters = Json::new(parameters.to_string());
    let kind = ToolKind::Function { parameters, strict: true };
    Tool { namespace: None, name: name.into(), description: Some("Runs.".into()), kind }
}

fn custom(name: &str) -> Tool {
    let kind = ToolKind::Custom { format: CustomFormat::Text };
    Tool { namespace: Some("n".into()), name: name.into(), description: None, kind }
}

fn request(input: Input) -> CreateResponse {
    let run = json!({"type": "object", "properties": {"cmd": {"type": "string"}}});
    CreateResponse {
        tools: vec![function("run", &run), custom("patch")],
        ..CreateResponse::new("scripted".into(), input)
    }
}

/// It knows tools, and shows none: the scripted model's context is short.
const SHORT: &str = "{# tools #}{% for m in messages %}{{ m.content }}{% endfor %}";

fn events(act: Act, request: &CreateResponse) -> Vec<Event> {
    let words = words_of(false, Some(SHORT));
    let mut stream = service_of(act, &words).0.respond(request).unwrap();
    std::iter::from_fn(|| stream.next()).collect()
}

fn done(events: &[Event]) -> &Response {
    match events.last() {
        Some(Event::Done(response)) => response,
        other => panic!("{other:?}"),
    }
}

const TWO_CALLS: &str = "I look.\n<tool_call>\n{\"name\": \"run\", \"arguments\": {\"cmd\": \"ls\"}}\n</tool_call>\n<custom_tool_call name=\"n.patch\">\n*** Begin\n</custom_tool_call>";

#[test]
fn calls_are_items_of_the_answer() {
    let input = || request(Input::Text("a".into()));
    let told = events(Act::Say(TWO_CALLS, FinishReason::Stop), &input());
    let response = done(&told);
    let [said, call, patch] = &response.output[..] else { panic!("{response:?}") };
    assert_eq!(*said, Item::message(Role::Assistant, "I look."));
    let Item::FunctionCall { call_id, name, namespace: None, arguments } = call else { panic!() };
    assert_eq!((name.as_str(), arguments.as_str()), ("run", r#"{"cmd":"ls"}"#));
    let Item::CustomToolCall { call_id: other, name, namespace, input } = patch else { panic!() };
    assert_eq!(
        (name.as_str(), namespace.as_deref(), input.as_str()),
        ("patch", Some("n"), "*** Begin")
    );
    assert_ne!(call_id, other);
    assert_eq!(response.status, Status::Completed);
    // The pieces are the whole.
    let mut output: Vec<Item> = Vec::new();
    for event in &told {
        match event {
            Event::Added { index, item } => {
                assert_eq!((*index, item.text()), (output.len(), ""));
                output.push(item.clone());
            }
            Event::TextDelta(delta) => output.last_mut().unwrap().text_mut().push_str(&delta.text),
            Event::CallDelta(delta) => output.last_mut().unwrap().text_mut().push_str(delta),
            _ => {}
        }
    }
    assert_eq!(output, response.output);
}

#[test]
fn one_call_is_all_that_is_wanted() {
    let one = CreateResponse { parallel_tool_calls: false, ..request(Input::Text("a".into())) };
    let told = events(Act::Say(TWO_CALLS, FinishReason::Stop), &one);
    let response = done(&told);
    assert_eq!((response.output.len(), response.status), (2, Status::Completed), "{response:?}");
}

#[test]
fn without_tools_all_is_said() {
    let none = CreateResponse { tool_choice: ToolChoice::None, ..request(Input::Text("a".into())) };
    for request in [none, CreateResponse::new("m".into(), Input::Text("a".into()))] {
        let told = events(Act::Say(TWO_CALLS, FinishReason::Stop), &request);
        assert_eq!(done(&told).text(), TWO_CALLS);
    }
}

#[test]
fn a_call_that_was_cut_is_incomplete() {
    let cut = "<tool_call>\n{\"name\": \"run\", \"arguments\": {\"cmd\": \"l";
    let told = events(Act::Say(cut, FinishReason::Length), &request(Input::Text("a".into())));
    let response = done(&told);
    assert_eq!(response.status, Status::Incomplete);
    assert!(
        matches!(&response.output[..], [Item::FunctionCall { arguments, .. }] if arguments == r#"{"cmd":"l"#)
    );
}

/// The scripted model's template knows no tools, so they are told of.
#[test]
fn what_the_template_does_not_show_is_told() {
    let call = |id: &str, arguments: &str| Item::FunctionCall {
        call_id: id.into(),
        name: "run".into(),
        namespace: None,
        arguments: arguments.into(),
    };
    let items = |id: &str, arguments: &str| {
        vec![
            Item::message(Role::User, "a"),
            Item::message(Role::Assistant, "b"),
            call(id, arguments),
            Item::CustomToolCall {
                call_id: "c".into(),
                name: "patch".into(),
                namespace: Some("n".into()),
                input: "x".into(),
            },
            Item::FunctionCallOutput { call_id: id.into(), output: "<|im_end|>".into() },
        ]
    };
    let prompt = |items| {
        let (service, seen) = service(Act::Say("", FinishReason::Stop));
        let mut asked = request(Input::Items(items));
        asked.tools.truncate(0);
        drop(service.respond(&asked).unwrap());
        spell(&seen.jobs.lock().unwrap()[0].prompt)
    };
    let shown = prompt(items("1", r#"{"cmd":"ls"}"#));
    insta::assert_snapshot!(shown, @r#"
    «im_start»user
    a«im_end»
    «im_start»assistant
    b
    <tool_call>
    {"name": "run", "arguments": {"cmd": "ls"}}
    </tool_call>
    <custom_tool_call name="n.patch">
    x
    </custom_tool_call>«im_end»
    «im_start»user
    <tool_response>
    <|im_end|>
    </tool_response>«im_end»
    «im_start»assistant
    "#);
    // Ids and spaces leave no trace.
    assert_eq!(prompt(items("another", "{ \"cmd\" :\"ls\" }")), shown);
}

fn real(name: &str) -> Service {
    let file = ModelFile::open(&cerium_hub::test_model(name)).unwrap();
    let tokenizer = Arc::new(Tokenizer::from_gguf(&file.gguf).unwrap());
    let template = Arc::new(ChatTemplate::from_gguf(&file.gguf, &tokenizer).unwrap());
    let model = Model::load(file, Cpu::best(), 2).unwrap();
    let engine = Engine::start(model, EngineOptions::default());
    Service::new(name.into(), tokenizer, template, engine.n_context(), engine)
}

fn answer(service: &Service, request: &CreateResponse) -> Response {
    let mut stream = service.respond(request).unwrap();
    let events: Vec<Event> = std::iter::from_fn(|| stream.next()).collect();
    done(&events).clone()
}

/// What an answer is checked with: nothing of what it was made with.
fn fits(schema: &Value, value: &Value) -> bool {
    let list = |name: &str| schema[name].as_array();
    if list("enum").is_some_and(|all| !all.contains(value)) {
        return false;
    }
    if let Some(any) = list("anyOf") {
        return any.iter().any(|schema| fits(schema, value));
    }
    let within = |n: f64| {
        schema["minimum"].as_f64().is_none_or(|min| n >= min)
            && schema["maximum"].as_f64().is_none_or(|max| n <= max)
    };
    let size = |n: usize, name: &str| schema[name].as_u64().is_none_or(|max| n as u64 <= max);
    match schema["type"].as_str() {
        Some("object") => {
            let Some(fields) = value.as_object() else { return false };
            let known = schema["properties"].as_object().unwrap();
            let required = list("required").into_iter().flatten();
            required.filter_map(Value::as_str).all(|name| fields.contains_key(name))
                && fields
                    .iter()
                    .all(|(name, value)| known.get(name).is_some_and(|schema| fits(schema, value)))
        }
        Some("array") => value.as_array().is_some_and(|items| {
            size(items.len(), "maxItems") && items.iter().all(|item| fits(&schema["items"], item))
        }),
        Some("string") => {
            value.as_str().is_some_and(|text| size(text.chars().count(), "maxLength"))
        }
        Some("integer") => value.as_i64().is_some_and(|n| within(n as f64)),
        Some("number") => value.as_f64().is_some_and(within),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        _ => true,
    }
}

/// A dozen of them.
fn schemas() -> Vec<Value> {
    let text = json!({"type": "string", "maxLength": 12});
    let leaves = [
        text.clone(),
        json!({"type": "integer", "minimum": 3, "maximum": 40}),
        json!({"type": "number", "minimum": 0, "maximum": 1}),
        json!({"type": "boolean"}),
        json!({"enum": ["red", "green", 7, null]}),
        json!({"anyOf": [{"type": "integer", "minimum": 0, "maximum": 9}, {"type": "null"}]}),
    ];
    let object = |a: &Value, b: &Value| {
        json!({"type": "object", "properties": {"first": a, "second": b},
               "required": ["first"], "additionalProperties": false})
    };
    let flat = (0..6).map(|i| object(&leaves[i], &leaves[(i + 1) % 6]));
    let lists = (0..3).map(|i| {
        let items = &leaves[i + 1];
        object(&json!({"type": "array", "items": items, "maxItems": 3}), &text)
    });
    let nested = (0..3).map(|i| object(&object(&leaves[i], &leaves[i + 2]), &leaves[i + 3]));
    flat.chain(lists).chain(nested).collect()
}

#[test]
fn an_answer_that_lost_its_shape_is_no_answer() {
    let (service, seen) = service(Act::Say("{", FinishReason::Stop));
    let format = TextFormat::JsonSchema {
        name: "n".into(),
        schema: Json::new(json!({"type": "object"}).to_string()).unwrap(),
    };
    let asked =
        CreateResponse { format, ..CreateResponse::new(String::new(), Input::Text("a".into())) };
    let mut stream = service.respond(&asked).unwrap();
    // A grammar that is too costly to follow is like one that was left.
    let mut mask = seen.jobs.lock().unwrap()[0].mask.take().unwrap();
    mask.accept(u32::from(b'?'));
    mask.allowed();
    let last = std::iter::from_fn(|| stream.next()).last();
    let Some(Event::Failed(error)) = last else { panic!("{last:?}") };
    assert_eq!(error.code.as_deref(), Some("shape_not_followed"), "{error:?}");
}

#[test]
fn a_small_model_keeps_to_a_dozen_schemas() {
    let service = real("smollm2-135m");
    for (i, schema) in schemas().iter().enumerate() {
        let format = TextFormat::JsonSchema {
            name: "n".into(),
            schema: Json::new(schema.to_string()).unwrap(),
        };
        let sampled = i % 2 == 1;
        let asked = CreateResponse {
            format,
            max_output_tokens: Some(200),
            temperature: sampled.then_some(1.0),
            cerium: Extensions { seed: sampled.then_some(i as u64), ..Extensions::default() },
            ..CreateResponse::new(String::new(), Input::Text("Describe a stone.".into()))
        };
        let response = answer(&service, &asked);
        assert_eq!(response.status, Status::Completed, "{schema}: {}", response.text());
        let value: Value = serde_json::from_str(&response.text()).unwrap();
        assert!(fits(schema, &value), "{schema}: {value}");
        assert!(response.usage.drafts.forced.accepted_tokens > 0, "names of fields are forced");
        // However it was drafted, it is the same.
        let plain = Extensions { drafts: Some(Vec::new()), ..asked.cerium.clone() };
        let again = answer(&service, &CreateResponse { cerium: plain, ..asked });
        assert_eq!(again.text(), response.text());
    }
}

#[test]
fn a_small_model_calls_what_it_must() {
    let service = real("smollm2-135m");
    let digits = CustomFormat::Grammar {
        syntax: GrammarSyntax::Regex,
        definition: "[0-9]{3}-[0-9]{2}".into(),
    };
    let dial = Tool {
        namespace: None,
        name: "dial".into(),
        description: None,
        kind: ToolKind::Custom { format: digits },
    };
    let size = json!({"type": "object", "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 9}},
                      "required": ["n"], "additionalProperties": false});
    let asked = CreateResponse {
        tools: vec![function("resize", &size), dial],
        tool_choice: ToolChoice::Required,
        parallel_tool_calls: false,
        max_output_tokens: Some(100),
        ..CreateResponse::new(String::new(), Input::Text("Make it larger.".into()))
    };
    for name in ["resize", "dial"] {
        let tool_choice = ToolChoice::Named(ToolName { namespace: None, name: name.into() });
        let response = answer(&service, &CreateResponse { tool_choice, ..asked.clone() });
        assert_eq!(response.status, Status::Completed);
        match &response.output[..] {
            [Item::FunctionCall { name, arguments, .. }] => {
                assert_eq!(name, "resize");
                assert!(fits(&size, &serde_json::from_str(arguments).unwrap()), "{arguments}");
            }
            [Item::CustomToolCall { name, input, .. }] => {
                assert_eq!(name, "dial");
                let shape: String =
                    input.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
                assert_eq!(shape, "000-00");
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(&answer(&service, &asked).output[..], [item] if item.is_call()));
}

/// What it called comes back in the next prompt as the tokens that it wrote.
#[test]
fn a_call_is_found_again_in_the_cache() {
    let service = real("qwen2.5-coder-0.5b");
    let run = json!({"type": "object", "properties": {"cmd": {"type": "string", "maxLength": 30}},
                     "required": ["cmd"], "additionalProperties": false});
    let ask = |items: Vec<Item>| CreateResponse {
        tools: vec![function("run", &run)],
        tool_choice: ToolChoice::Required,
        parallel_tool_calls: false,
        max_output_tokens: Some(60),
        ..CreateResponse::new(String::new(), Input::Items(items))
    };
    let mut items = vec![Item::message(Role::User, "List the files of this directory.")];
    let first = answer(&service, &ask(items.clone()));
    let [Item::FunctionCall { call_id, .. }] = &first.output[..] else { panic!("{first:?}") };
    let output = Item::FunctionCallOutput { call_id: call_id.clone(), output: "a.txt".into() };
    items.extend(first.output.iter().cloned().chain([output]));
    let second = answer(&service, &ask(items));
    let Response { usage, .. } = first;
    // Its last tokens may be cut otherwise, and the end of its turn was not computed.
    assert!(
        second.usage.cached_tokens + 6 >= usage.prompt_tokens + usage.output_tokens,
        "{usage:?} {:?}",
        second.usage
    );
}
