//! What an engine is asked in each dialect, and what is told of its answer.

use crate::engine::{Act, Engine, chat};
use cerium_protocol::{
    CompletionRequest, CreateResponse, CustomFormat, Effort, Event, Input, Item, Json, Reasoning,
    Response, Role, Summary, Tool, ToolChoice, ToolKind, ToolName,
};
use cerium_upstream::{Answer, Dialect, Secret, UpstreamOptions, Upstreams};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Upstreams of one engine, asked for the model `ours`.
pub(crate) fn of(engine: &Engine, dialect: Dialect) -> UpstreamOptions {
    let mut options = UpstreamOptions::new("big", &engine.url(), &[], dialect);
    options.models = [("ours".to_owned(), "theirs".to_owned())].into();
    options.key = Secret::new("sk-secret\n");
    options
}

pub(crate) fn request(text: &str) -> CreateResponse {
    CreateResponse::new("ours".to_owned(), Input::Text(text.to_owned()))
}

/// All events of an answer, one line each.
pub(crate) async fn told(mut answer: Answer) -> String {
    let mut lines = Vec::new();
    while let Some(event) = answer.next().await {
        lines.push(line(&event));
    }
    lines.join("\n")
}

fn line(event: &Event) -> String {
    let response = |response: &Response| {
        assert!(response.id.starts_with("resp_"), "the name is not the engine's");
        let usage = response.usage;
        let counts = (usage.prompt_tokens, usage.cached_tokens, usage.output_tokens);
        format!("{} {:?} {counts:?}", response.model, response.status)
    };
    let item = |item: &Item| match item {
        Item::FunctionCall { name, namespace, call_id, .. } => {
            format!("call {namespace:?} {name} {}", call_id.split('_').next().unwrap())
        }
        Item::CustomToolCall { name, .. } => format!("custom call {name}"),
        Item::Reasoning { .. } => "reasoning".to_owned(),
        _ => "message".to_owned(),
    };
    match event {
        Event::Created(it) => format!("created {}", response(it)),
        Event::Added { index, item: it } => format!("{index}: {}", item(it)),
        Event::TextDelta(delta) => format!("text {}", delta.text),
        Event::CallDelta(text) => format!("given {text}"),
        Event::ReasoningDelta(text) => format!("thought {text}"),
        Event::Done(it) => {
            let texts: Vec<&str> = it.output.iter().map(Item::text).collect();
            format!("done {} {texts:?}", response(it))
        }
        Event::Failed(error) => {
            let code = error.code.as_deref().unwrap_or("-");
            format!("failed {} {code}: {}", error.status.unwrap_or(0), error.message)
        }
        other => format!("{other:?}"),
    }
}

fn ask(acts: Vec<Act>, dialect: Dialect, request: CreateResponse) -> (String, Engine) {
    let engine = Engine::play(acts);
    let told = runtime().block_on(async {
        let upstreams = Upstreams::new(vec![of(&engine, dialect)]).unwrap();
        told(upstreams.respond(request)).await
    });
    (told, engine)
}

#[test]
fn a_chat_with_tools() {
    let schema = r#"{"type":"object","properties":{"path":{"type":"string"}}}"#;
    let tool = |namespace: Option<&str>, name: &str, kind| Tool {
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
        description: Some("does it".to_owned()),
        kind,
    };
    let parameters = Json::new(schema.to_owned());
    let request = CreateResponse {
        instructions: Some("be brief".to_owned()),
        input: Input::Items(vec![
            Item::message(Role::User, "go"),
            Item::message(Role::Assistant, "I look."),
            Item::FunctionCall {
                call_id: "call_0".to_owned(),
                name: "read".to_owned(),
                namespace: Some("fs".to_owned()),
                arguments: "{}".to_owned(),
            },
            Item::CustomToolCall {
                call_id: "call_1".to_owned(),
                name: "apply_patch".to_owned(),
                namespace: None,
                input: "*** \"Begin\"".to_owned(),
            },
            Item::FunctionCallOutput { call_id: "call_0".to_owned(), output: "a".to_owned() },
            Item::CustomToolCallOutput { call_id: "call_1".to_owned(), output: "ok".to_owned() },
        ]),
        tools: vec![
            tool(Some("fs"), "read", ToolKind::Function { parameters, strict: true }),
            tool(None, "apply_patch", ToolKind::Custom { format: CustomFormat::Text }),
        ],
        tool_choice: ToolChoice::Named(ToolName { namespace: None, name: "read".to_owned() }),
        temperature: Some(0.5),
        max_output_tokens: Some(9),
        reasoning: Reasoning { effort: Some(Effort::Low), summary: Some(Summary::Auto) },
        ..request("")
    };
    let call = |index: u32, id: Value, name: Value, arguments: &str| {
        let call = json!({"index": index, "id": id, "type": "function",
                          "function": {"name": name, "arguments": arguments}});
        json!({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}).to_string()
    };
    let none = Value::Null;
    let lines = vec![
        json!({"choices": [{"delta": {"role": "assistant", "content": ""}}]}).to_string(),
        json!({"choices": [{"delta": {"reasoning_content": "hm"}}]}).to_string(),
        json!({"choices": [{"delta": {"content": "So:"}}]}).to_string(),
        call(0, json!("call_9"), json!("fs__read"), "{\"path\":"),
        call(0, none.clone(), none.clone(), "\"b\"}"),
        call(1, json!(""), json!("apply_patch"), "{\"input\": \"*** \\\""),
        call(1, none.clone(), none, "End\\n\"}"),
        json!({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}).to_string(),
    ];
    let (told, engine) = ask(vec![Act::Tell(lines)], Dialect::Chat, request);
    insta::assert_snapshot!(told, @r#"
    created ours InProgress (0, 0, 0)
    0: reasoning
    thought hm
    1: message
    text So:
    2: call Some("fs") read call
    given {"path":
    given "b"}
    3: custom call apply_patch
    given *** "End

    done ours Completed (264, 0, 7) ["hm", "So:", "{\"path\":\"b\"}", "*** \"End\n"]
    "#);
    let asked = &engine.asked()[0];
    assert_eq!(asked.path, "/v1/chat/completions");
    assert!(asked.head.iter().any(|line| line == "authorization: Bearer sk-secret"));
    insta::assert_snapshot!(serde_json::to_string_pretty(&asked.body).unwrap());
}

#[test]
fn a_response_is_asked_of_nobody_s_memory_and_without_what_only_cerium_knows() {
    let lines = [
        json!({"type": "response.created", "response": {"id": "resp_theirs", "model": "theirs"}}),
        json!({"type": "response.output_item.added", "output_index": 0,
               "item": {"type": "message", "content": []}}),
        json!({"type": "response.output_text.delta", "delta": "Hi"}),
        json!({"type": "response.completed", "response": {
            "id": "resp_theirs", "status": "completed",
            "output": [{"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}],
            "usage": {"input_tokens": 4, "output_tokens": 1,
                      "input_tokens_details": {"cached_tokens": 2}}}}),
    ];
    let acts = vec![Act::Tell(lines.iter().map(Value::to_string).collect())];
    let mut asked = request("hello");
    asked.cerium.prediction = Some("a hint".to_owned());
    let (told, engine) = ask(acts.clone(), Dialect::Responses, asked.clone());
    insta::assert_snapshot!(told, @r#"
    created ours InProgress (0, 0, 0)
    0: message
    text Hi
    done ours Completed (4, 2, 1) ["Hi"]
    "#);
    let body = json!({"store": false, "model": "theirs", "input": "hello", "stream": true});
    assert_eq!(
        (engine.asked()[0].path.as_str(), &engine.asked()[0].body),
        ("/v1/responses", &body)
    );

    // Another cerium is told all of it.
    asked.cerium.prefix = "Hi".to_owned();
    let (_, engine) = ask(acts.clone(), Dialect::Cerium, asked.clone());
    assert_eq!(engine.asked()[0].body["cerium"]["prefix"], "Hi");

    // What an engine cannot do is not left out in silence.
    let (told, engine) = ask(acts, Dialect::Chat, asked);
    insta::assert_snapshot!(told, @"failed 0 unsupported_parameter: the engine that serves this model cannot be told how its answer begins");
    assert!(engine.asked().is_empty());
}

#[test]
fn a_text_goes_on() {
    let lines = [
        json!({"id": "cmpl-1", "choices": [{"text": "b", "finish_reason": null}]}).to_string(),
        json!({"id": "cmpl-1", "choices": [{"text": "c", "finish_reason": "length"}],
               "usage": {"prompt_tokens": 1, "completion_tokens": 2}})
        .to_string(),
        "[DONE]".to_owned(),
    ];
    let engine = Engine::play(vec![Act::Tell(lines.to_vec())]);
    let mut request = CompletionRequest::new("ours".to_owned(), "a".to_owned());
    (request.max_tokens, request.cerium.seed) = (Some(2), Some(7));
    let told = runtime().block_on(async {
        let upstreams = Upstreams::new(vec![of(&engine, Dialect::Chat)]).unwrap();
        told(upstreams.complete(request)).await
    });
    insta::assert_snapshot!(told, @r#"
    created ours InProgress (0, 0, 0)
    0: message
    text b
    text c
    done ours Incomplete (1, 0, 2) ["bc"]
    "#);
    let wanted = json!({"model": "theirs", "prompt": "a", "max_tokens": 2, "stream": true, "seed": 7,
                        "stream_options": {"include_usage": true}});
    assert_eq!(engine.asked()[0].body, wanted);
}

#[test]
fn an_answer_that_nobody_wants_ends_at_its_engine() {
    let mut lines = chat(&["a", "b"]);
    lines.truncate(2);
    let engine = Engine::play(vec![Act::TellAndHang(lines)]);
    runtime().block_on(async {
        let upstreams = Upstreams::new(vec![of(&engine, Dialect::Chat)]).unwrap();
        let mut answer = upstreams.respond(request("go"));
        answer.begun().await.unwrap();
        assert!(matches!(answer.next().await, Some(Event::Created(_))));
        answer.cancel();
        assert!(told(answer).await.contains("Cancelled"), "what there is is told");
        engine.wait_until_left();
        let answer = upstreams.respond(request("go"));
        let asked = engine.asked().len();
        drop(answer);
        assert!(engine.asked().len() <= asked + 1);
    });
}
