//! Request bodies of the three dialects.

use crate::rendering;
use cerium_protocol::wire::chat::{self, Extras};
use cerium_protocol::wire::responses::ResponseObject;
use cerium_protocol::wire::{completions, responses};
use cerium_protocol::{
    CreateResponse, CustomFormat, Effort, ErrorBody, GrammarSyntax, Input, Item, Json, Keep,
    Reasoning, Role, ServiceTier, Status, SteerExtensions, Summary, TextFormat, ToolChoice,
    ToolKind, ToolName,
};
use serde_json::{Value, json};
use std::fmt::Write;

/// Merges `extra` into the smallest body that is served.
fn with(base: Value, extra: Value) -> Vec<u8> {
    let Value::Object(mut body) = base else { unreachable!("the bases are objects") };
    let Value::Object(extra) = extra else { panic!("extra fields come as an object") };
    body.extend(extra);
    serde_json::to_vec(&body).unwrap()
}

fn responses(extra: Value) -> Result<responses::Parsed, ErrorBody> {
    responses::read(&with(json!({"model": "m", "input": "hi"}), extra))
}

fn chat(extra: Value) -> Result<chat::Parsed, ErrorBody> {
    chat::read(&with(json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]}), extra))
}

fn completions(extra: Value) -> Result<completions::Parsed, ErrorBody> {
    completions::read(&with(json!({"model": "m", "prompt": "hi"}), extra))
}

/// The conversation as lines of `role: content`.
fn items(request: &CreateResponse) -> String {
    match &request.input {
        Input::Text(text) => format!("text {text:?}"),
        Input::Items(items) => items.iter().fold(String::new(), |mut lines, item| {
            match item {
                Item::Message { role, content } => writeln!(lines, "{role:?}: {content:?}"),
                item => writeln!(lines, "{item:?}"),
            }
            .unwrap();
            lines
        }),
    }
}

/// `param | code | message` of a refusal.
fn refusal<T: std::fmt::Debug>(result: Result<T, ErrorBody>) -> String {
    let error = result.unwrap_err();
    format!(
        "{} | {} | {}",
        error.param.as_deref().unwrap_or("-"),
        error.code.as_deref().unwrap_or("-"),
        error.message
    )
}

#[test]
fn input_is_text_or_items_in_any_of_their_spellings() {
    let parsed = responses(json!({})).unwrap();
    assert_eq!(items(&parsed.request), r#"text "hi""#);
    let parsed = responses(json!({"input": [
        {"type": "message", "role": "developer", "id": "msg_1",
         "content": [{"type": "input_text", "text": "be brief"}]},
        {"role": "user", "content": "a"},
        {"type": "message", "role": "assistant", "status": "completed", "phase": "final_answer",
         "content": [{"type": "output_text", "text": "b", "annotations": [], "logprobs": []},
                     {"type": "refusal", "refusal": "no"}]},
        {"role": "user", "content": []},
    ]}))
    .unwrap();
    insta::assert_snapshot!(items(&parsed.request), @r#"
    System: "be brief"
    User: "a"
    Assistant: "b\nno"
    User: ""
    "#);
}

#[test]
fn settings_are_read_and_repeated() {
    let parsed = responses(json!({
        "instructions": "be brief", "max_output_tokens": 7, "temperature": 0.5, "top_p": 0.25,
        "stream": true, "store": false, "metadata": {"a": "b"}, "user": "u",
        "prompt_cache_key": "k", "tools": [], "tool_choice": "auto", "truncation": "disabled",
        "include": ["reasoning.encrypted_content"], "reasoning": {"effort": "low"},
        "text": {"format": {"type": "text"}, "verbosity": "low"}, "previous_response_id": null,
        "client_metadata": {"x": "y"}, "a field of next year": [{}],
        "cerium": {"prefix": "```rust\n", "stop": ["```"], "top_k": 40, "seed": 3},
    }))
    .unwrap();
    let request = parsed.request;
    assert_eq!(request.model, "m");
    assert_eq!(request.instructions.as_deref(), Some("be brief"));
    assert_eq!(request.max_output_tokens, Some(7));
    assert_eq!((request.temperature, request.top_p), (Some(0.5), Some(0.25)));
    assert!(request.stream);
    assert_eq!(request.cerium.prefix, "```rust\n");
    assert_eq!(request.cerium.stop, ["```"]);
    assert_eq!((request.cerium.top_k, request.cerium.seed), (40, Some(3)));
    assert_eq!(parsed.echo.metadata["a"], "b");
    assert_eq!(parsed.echo.user.as_deref(), Some("u"));
    assert_eq!(parsed.echo.prompt_cache_key.as_deref(), Some("k"));
}

#[test]
fn how_much_is_thought_is_asked_for_in_two_ways() {
    let of = |effort, summary| Reasoning { effort, summary };
    for (said, wanted) in [
        (
            json!({"effort": "xhigh", "summary": "auto"}),
            of(Some(Effort::Xhigh), Some(Summary::Auto)),
        ),
        // A field that this crate has no word for says nothing that is not repeated.
        (json!({"effort": "none", "context": "auto"}), of(Some(Effort::None), None)),
        (json!({"effort": null, "summary": "concise"}), of(None, Some(Summary::Concise))),
        (json!({}), of(None, None)),
        (json!(null), of(None, None)),
    ] {
        let parsed = responses(json!({"reasoning": said})).unwrap();
        assert_eq!(parsed.request.reasoning, wanted, "{said}");
        let object =
            ResponseObject::in_progress(&rendering::response(Status::InProgress, ""), &parsed.echo);
        let usual = json!({"effort": null, "summary": null});
        let repeated = if said.is_null() { usual } else { said };
        assert_eq!(serde_json::to_value(object).unwrap()["reasoning"], repeated);
    }
    for effort in ["none", "minimal", "low", "medium", "high", "xhigh", "max"] {
        let request = chat(json!({"reasoning_effort": effort})).unwrap().request;
        // And so it goes on to an engine elsewhere.
        let body: Value = serde_json::from_slice(&chat::body(&request)).unwrap();
        assert_eq!(body["reasoning_effort"], effort);
        let body: Value = serde_json::from_slice(&responses::body(&request)).unwrap();
        assert_eq!(body["reasoning"], json!({"effort": effort}));
    }
    let silent = chat(json!({"reasoning_effort": null})).unwrap().request;
    let body: Value = serde_json::from_slice(&chat::body(&silent)).unwrap();
    assert_eq!(body.get("reasoning_effort"), None);
    let told = [
        refusal(responses(json!({"reasoning": {"effort": "much"}}))),
        refusal(responses(json!({"reasoning": {"summary": 3}}))),
        refusal(responses(json!({"reasoning": "high"}))),
        refusal(responses(json!({"reasoning": {"mode": "x".repeat(4096)}}))),
        refusal(chat(json!({"reasoning_effort": "much"}))),
    ];
    let told = told.map(|line| line.split(" at line").next().unwrap().to_owned()).join("\n");
    insta::assert_snapshot!(told, @r#"
    reasoning.effort | invalid_type | reasoning.effort: unknown variant `much`, expected one of `none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`
    reasoning.summary | invalid_type | reasoning.summary: invalid type: integer `3`, expected a string
    reasoning | invalid_type | reasoning: invalid type: string "high", expected an object
    reasoning | invalid_value | `reasoning` has 4107 bytes; at most 4096 are served
    reasoning_effort | invalid_type | reasoning_effort: unknown variant `much`, expected one of `none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`
    "#);
}

/// What the harness sends to another server is read back as it was meant.
#[test]
fn a_request_of_ours_survives_the_wire() {
    let mut request = responses(json!({
        "instructions": "i", "temperature": 0.5, "cerium": {"prediction": "p", "stop": ["x"]},
    }))
    .unwrap()
    .request;
    for input in
        [Input::Text("t".into()), Input::Items(vec![Item::message(Role::System, "<|im_end|>")])]
    {
        request.input = input;
        let body = serde_json::to_vec(&request).unwrap();
        assert_eq!(responses::read(&body).unwrap().request, request);
    }
}

#[test]
fn what_responses_does_not_serve_is_refused_by_name() {
    let cases = [
        json!({"prompt": {"id": "p"}}),
        json!({"tool_choice": "sometimes"}),
        json!({"tools": [{"type": "custom", "name": "c", "format": {"type": "peg"}}]}),
        json!({"text": {"format": {"type": "xml"}}}),
        json!({"input": [{"role": "user", "content": "a"},
                         {"type": "item_reference", "id": "msg_1"}]}),
        json!({"input": [{"role": "user", "content": [
            {"type": "input_text", "text": "a"},
            {"type": "input_image", "image_url": "data:,"}]}]}),
        json!({"input": [{"role": "tool", "content": "a"}]}),
    ];
    let told = cases.map(|case| refusal(responses(case))).join("\n");
    insta::assert_snapshot!(told, @r"
    prompt | unsupported_parameter | `prompt` is not served here
    tool_choice | unsupported_parameter | `tool_choice` of `sometimes` is not served
    tools[0].format.type | unsupported_parameter | a format of type `peg` is not served
    text.format.type | unsupported_parameter | `text.format.type` of `xml` is not served here
    input[1].type | unsupported_parameter | input items of type `item_reference` are not served
    input[0].content[1].type | unsupported_parameter | content of type `input_image` is not served, only text
    input[0].role | unsupported_parameter | role `tool` is not served; system, developer, user and assistant are
    ");
}

#[test]
fn what_asks_for_a_memory_is_read_first() {
    let body = json!({"model": "m", "conversation": {"id": "conv_1"}, "background": true,
                      "truncation": "auto", "context_management": [
                          {"type": "compaction", "compact_threshold": 2000}, {"type": "compaction"}],
                      "input": [
        {"role": "user", "content": "a"}, {"type": "item_reference", "id": "msg_1"},
        {"type": "compaction_trigger"}]});
    let body = body.to_string();
    let asked = responses::Asked::read(body.as_bytes()).unwrap();
    assert_eq!(asked.conversation.as_deref(), Some("conv_1"));
    assert!(asked.background && asked.truncates && asked.store.is_none());
    assert_eq!((asked.compact_threshold, asked.compacts, asked.input.len()), (Some(2000), true, 2));
    assert_eq!(asked.references(), [(1, "msg_1".to_owned())]);

    // Completed, it is a body like any other.
    let body = br#"{"input": "b", "model": "m", "previous_response_id": "resp_1", "x": "\u0022"}"#;
    let asked = responses::Asked::read(body).unwrap();
    assert_eq!(asked.previous_response_id.as_deref(), Some("resp_1"));
    let before = r#"{"type":"message","role":"assistant","content":"a"}"#;
    let own = asked.input.iter().map(|item| item.get());
    let whole = asked.complete(std::iter::once(before).chain(own)).unwrap();
    let parsed = cerium_protocol::wire::responses::read(&whole).unwrap();
    insta::assert_snapshot!(items(&parsed.request), @r#"
    Assistant: "a"
    User: "b"
    "#);
    assert_eq!(parsed.echo.previous_response_id.as_deref(), Some("resp_1"));

    let refused = |body: Value| refusal(responses::Asked::read(body.to_string().as_bytes()));
    let told = [
        json!([]),
        json!({"previous_response_id": 3}),
        json!({"previous_response_id": "resp_1", "conversation": "conv_1"}),
        json!({"background": true, "store": false}),
        json!({"truncation": "some"}),
        json!({"context_management": [{"type": "forget"}]}),
        json!({"context_management": [{"type": "compaction", "compact_threshold": 999}]}),
        json!({"input": vec![(); 20_001]}),
    ]
    .map(refused)
    .join("\n");
    insta::assert_snapshot!(told, @r"
    - | invalid_type | the body: invalid type: a list, expected an object
    previous_response_id | invalid_type | previous_response_id: invalid type: integer `3`, expected a string at line 1 column 25
    conversation | invalid_value | `previous_response_id` and `conversation` exclude each other
    background | invalid_value | a background response must be stored, or nobody could ask for it
    truncation | invalid_value | `truncation` is `auto` or `disabled`
    context_management | unsupported_parameter | `context_management` of type `forget` is not served; `compaction` is
    context_management | invalid_value | `compact_threshold` is 999; at least 1000 is served
    input | invalid_value | `input` has 20001 items; at most 20000 are served
    ");
}

#[test]
fn items_are_kept_complete() {
    use cerium_protocol::wire::responses::keep;
    let told = [
        r#""hi""#,
        r#"{"role": "user", "content": "hi"}"#,
        r#"{"role": "assistant", "content": "hi", "id": "msg_mine"}"#,
        r#"{"type": "function_call", "id": "fc\u0000", "name": "f", "arguments": "{}"}"#,
        r#"{"type": "reasoning", "summary": []}"#,
        "no item",
    ]
    .map(|item| keep(item, |prefix| format!("{prefix}_1")).body)
    .join("\n");
    insta::assert_snapshot!(told, @r#"
    {"type":"message","role":"user","content":[{"type":"input_text","text":"hi"}],"id":"msg_1","status":"completed"}
    {"role":"user","content":[{"type":"input_text","text":"hi"}],"type":"message","id":"msg_1","status":"completed"}
    {"role":"assistant","content":[{"type":"output_text","text":"hi","annotations":[],"logprobs":[]}],"id":"msg_mine","type":"message","status":"completed"}
    {"type":"function_call","id":"fc_1","name":"f","arguments":"{}"}
    {"type":"reasoning","summary":[],"id":"rs_1"}
    no item
    "#);
}

#[test]
fn items_of_all_kinds_are_read() {
    let parsed = responses(json!({"input": [
        {"role": "user", "content": "go"},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "content": null},
        {"type": "reasoning", "summary": [], "encrypted_content": "x"},
        {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "run", "namespace": "n",
         "arguments": "{\"cmd\": 1}", "status": "completed"},
        {"type": "function_call", "call_id": "b", "name": "run", "arguments": {"cmd": 2}},
        {"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": "*** Begin"},
        {"type": "function_call_output", "call_id": "a", "output": "one"},
        {"type": "function_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "two"}]},
        {"type": "custom_tool_call_output", "call_id": "c", "output": "three"},
        {"type": "local_shell_call", "call_id": "d", "action": {"type": "exec", "command": ["ls"]}},
        {"type": "local_shell_call_output", "call_id": "d", "output": {"exit": 0}},
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        {"type": "of next year", "contents": 7},
    ]}));
    insta::assert_snapshot!(items(&parsed.unwrap().request), @r#"
    User: "go"
    Reasoning { text: "hm" }
    FunctionCall { call_id: "a", name: "run", namespace: Some("n"), arguments: "{\"cmd\": 1}" }
    FunctionCall { call_id: "b", name: "run", namespace: None, arguments: "{\"cmd\":2}" }
    CustomToolCall { call_id: "c", name: "apply_patch", namespace: None, input: "*** Begin" }
    FunctionCallOutput { call_id: "a", output: "one" }
    FunctionCallOutput { call_id: "b", output: "two" }
    CustomToolCallOutput { call_id: "c", output: "three" }
    FunctionCall { call_id: "d", name: "local_shell", namespace: None, arguments: "{\"type\":\"exec\",\"command\":[\"ls\"]}" }
    FunctionCallOutput { call_id: "d", output: "{\"exit\":0}" }
    "#);
    let parsed = chat(json!({"messages": [
        {"role": "assistant", "content": "", "reasoning_content": "hm", "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "run", "arguments": "{}"}},
            {"id": "b", "type": "custom", "custom": {"name": "patch", "input": "x"}}]},
        {"role": "tool", "tool_call_id": "a", "content": "one"},
        {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "two"}]},
    ]}));
    insta::assert_snapshot!(items(&parsed.unwrap().request), @r#"
    Reasoning { text: "hm" }
    FunctionCall { call_id: "a", name: "run", namespace: None, arguments: "{}" }
    CustomToolCall { call_id: "b", name: "patch", namespace: None, input: "x" }
    FunctionCallOutput { call_id: "a", output: "one" }
    CustomToolCallOutput { call_id: "b", output: "two" }
    "#);
}

#[test]
fn tools_and_the_choice_among_them_are_read() {
    let tools = json!([
        {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": true},
        {"type": "custom", "name": "apply_patch",
         "format": {"type": "grammar", "syntax": "lark", "definition": "start: /a/"}},
        {"type": "namespace", "name": "agents", "tools": [{"type": "function", "name": "spawn"}]},
        {"type": "web_search", "external_web_access": false},
    ]);
    let parsed = responses(json!({"tools": tools, "tool_choice": {"type": "apply_patch"},
        "parallel_tool_calls": false, "text": {"format": {"type": "json_object"}}}));
    let responses::Parsed { request, echo } = parsed.unwrap();
    assert_eq!(echo.tools.unwrap().as_str(), tools.to_string());
    let names: Vec<_> =
        request.tools.iter().map(|t| (t.namespace.as_deref(), &t.name[..])).collect();
    assert_eq!(names, [(None, "f"), (None, "apply_patch"), (Some("agents"), "spawn")]);
    let strict =
        ToolKind::Function { parameters: Json::new(r#"{"type":"object"}"#.into()), strict: true };
    assert_eq!(request.tools[0].kind, strict);
    let named = |name: &str| ToolName { namespace: None, name: name.into() };
    assert_eq!(request.tool_choice, ToolChoice::Named(named("apply_patch")));
    assert_eq!((request.parallel_tool_calls, request.format), (false, TextFormat::JsonObject));

    let nested = json!([
        {"type": "function", "function": {"name": "f"}},
        {"type": "custom", "custom": {"name": "c", "format": {"type": "grammar",
            "grammar": {"syntax": "regex", "definition": "a+"}}}},
    ]);
    let choice = json!({"type": "allowed_tools", "allowed_tools": {"mode": "required",
        "tools": [{"type": "function", "function": {"name": "f"}}]}});
    let parsed = chat(json!({"tools": nested, "tool_choice": choice, "response_format": {
        "type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}}));
    let request = parsed.unwrap().request;
    let allowed = ToolChoice::Allowed { required: true, tools: vec![named("f")] };
    assert_eq!(request.tool_choice, allowed);
    let (syntax, definition) = (GrammarSyntax::Regex, "a+".into());
    let format = CustomFormat::Grammar { syntax, definition };
    assert_eq!(request.tools[1].kind, ToolKind::Custom { format });
    assert!(matches!(&request.format, TextFormat::JsonSchema { name, .. } if name == "n"));

    let refused = [
        json!({"tools": [{"type": "function", "name": "two words"}]}),
        json!({"tools": [{"type": "function"}]}),
        json!({"tools": 7}),
        json!({"tool_choice": "required"}),
        json!({"tools": nested, "tool_choice": {"type": "function", "name": "f"}}),
        json!({"tools": [{"type": "custom", "name": "c", "format": {"type": "grammar"}}]}),
        json!({"text": {"format": {"type": "json_schema"}}}),
    ];
    let told = refused
        .map(|case| responses(case).map_or_else(|e| refusal::<()>(Err(e)), |_| "taken".into()));
    insta::assert_snapshot!(told.join("\n"), @r"
    tools[0].name | invalid_value | a tool cannot be named `two words`: 1 to 128 letters, digits, `_`, `-`, `.`, `:`, `/`
    tools[0].name | invalid_value | `tools[0]` has no name
    tools | invalid_type | tools: invalid type: integer `7`, expected a sequence at line 1 column 1
    tool_choice | invalid_value | `tool_choice` is `required`, and there are no tools to call
    taken
    tools[0].format | invalid_value | a grammar needs `syntax` (lark or regex) and `definition`
    text.format.schema | invalid_value | a format of type `json_schema` needs a `schema`
    ");
}

#[test]
fn bad_values_are_refused_by_name() {
    let cases = [
        json!({"model": null}),
        json!({"input": null}),
        json!({"input": []}),
        json!({"input": 3}),
        json!({"input": [{}]}),
        json!({"input": ["hi"]}),
        json!({"input": [{"role": "user"}]}),
        json!({"input": [{"type": "message", "content": "a"}]}),
        json!({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}),
        json!({"input": [{"role": "user", "content": {"text": "a"}}]}),
        json!({"max_output_tokens": 0}),
        json!({"max_output_tokens": -1}),
        json!({"temperature": "warm".repeat(1000)}),
        json!({"stream": "yes"}),
        json!({"metadata": {"a": 1}}),
        json!({"metadata": {"k".repeat(65): "v"}}),
        json!({"cerium": {"stop": "x"}}),
    ];
    let told = cases.map(|case| refusal(responses(case))).join("\n");
    insta::assert_snapshot!(told, @r#"
    model | missing_required_parameter | missing required parameter `model`
    input | missing_required_parameter | missing required parameter `input`
    input | invalid_value | `input` is empty
    input | invalid_type | input: invalid type: integer `3`, expected a string or a list of items at line 1 column 22
    input[0] | invalid_value | `input[0]` has neither type nor role
    input[0] | invalid_type | input[0]: invalid type: string "hi", expected an item at line 1 column 26
    input[0].content | invalid_value | `input[0]` has no content
    input[0].role | invalid_value | `input[0]` has no role
    input[0].content | invalid_type | input[0].content: part 0 of type `input_text` has no `text` at line 1 column 70
    input[0].content | invalid_type | input[0].content: invalid type: map, expected a string or a list of content parts at line 1 column 48
    max_output_tokens | invalid_value | `max_output_tokens` is 0; it must be at least 1
    max_output_tokens | invalid_type | max_output_tokens: invalid value: integer `-1`, expected u64 at line 1 column 48
    temperature | invalid_type | temperature: invalid type: string "warmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwarmwa...
    stream | invalid_type | stream: invalid type: string "yes", expected a boolean at line 1 column 40
    metadata.a | invalid_type | metadata.a: invalid type: integer `1`, expected a string at line 1 column 43
    metadata.kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk... | invalid_value | a key of `metadata` may have 64 characters, a value 512
    cerium.stop | invalid_type | cerium.stop: invalid type: string "x", expected a sequence at line 1 column 46
    "#);
}

#[test]
fn a_body_that_is_not_json_is_refused() {
    let deep = [b"{\"input\":".as_slice(), &b"[".repeat(100_000)].concat();
    let cases: [&[u8]; 6] =
        [b"", b"{", b"{} {}", b"\xff", b"{\"model\": \"\\ud800\"}", deep.as_slice()];
    let told = cases.map(|body| refusal(responses::read(body))).join("\n");
    insta::assert_snapshot!(told, @r"
    - | invalid_json | the body is not valid JSON: EOF while parsing a value at line 1 column 0
    - | invalid_json | the body is not valid JSON: EOF while parsing an object at line 1 column 1
    - | invalid_json | the body is not valid JSON: trailing characters at line 1 column 4
    - | invalid_json | the body is not valid JSON: expected value at line 1 column 1
    - | invalid_json | the body is not valid JSON: unexpected end of hex escape at line 1 column 18
    input[0][0] | invalid_type | input[0][0]: invalid type: sequence, expected a string at line 1 column 11
    ");
}

#[test]
fn a_chat_is_read() {
    let parsed = chat(json!({
        "messages": [
            {"role": "developer", "content": "be brief"},
            {"role": "user", "name": "me", "content": [{"type": "text", "text": "a"}]},
            {"role": "assistant", "content": "b", "refusal": null, "tool_calls": []},
            {"role": "assistant", "content": null, "refusal": "no"},
        ],
        "max_tokens": 9, "max_completion_tokens": 8, "stop": "x", "seed": -1, "n": 1,
        "stream": true, "stream_options": {"include_usage": true}, "presence_penalty": 0,
        "logit_bias": {}, "logprobs": false, "response_format": {"type": "text"},
        "prediction": {"type": "content", "content": [{"type": "text", "text": "b"}]},
    }))
    .unwrap();
    assert_eq!(
        parsed.extras,
        Extras { n: 1, usage: true, logprobs: None, tier: ServiceTier::Default }
    );
    let request = parsed.request;
    insta::assert_snapshot!(items(&request), @r#"
    System: "be brief"
    User: "a"
    Assistant: "b"
    Assistant: "no"
    "#);
    assert_eq!(request.max_output_tokens, Some(8));
    assert_eq!(request.cerium.stop, ["x"]);
    assert_eq!(request.cerium.seed, Some(u64::MAX));
    assert_eq!(request.cerium.prediction.as_deref(), Some("b"));
    assert_eq!(chat(json!({"max_tokens": 9})).unwrap().request.max_output_tokens, Some(9));
    assert_eq!(chat(json!({"stop": ["x", "y"]})).unwrap().request.cerium.stop, ["x", "y"]);
}

#[test]
fn log_probabilities_are_asked_for_in_three_ways() {
    let included = ["reasoning.encrypted_content", "message.output_text.logprobs"];
    let asked = responses(json!({"include": included, "top_logprobs": 2})).unwrap();
    assert_eq!((asked.request.logprobs(), asked.echo.top_logprobs), (Some(2), 2));
    let asked = responses(json!({"top_logprobs": 2})).unwrap().request;
    assert_eq!(asked.logprobs(), None, "without `include` there are none");
    let asked = chat(json!({"logprobs": true, "top_logprobs": 20})).unwrap();
    assert_eq!((asked.request.logprobs(), asked.extras.logprobs), (Some(20), Some(20)));
    let asked = chat(json!({"logprobs": true})).unwrap();
    assert_eq!((asked.request.logprobs(), asked.extras.logprobs), (Some(0), Some(0)));
    let asked = completions(json!({"n": 3, "best_of": 3, "logprobs": 0})).unwrap();
    assert_eq!(asked.extras.n, 3);
    assert_eq!((asked.request.logprobs, asked.extras.logprobs), (Some(0), Some(0)));
}

#[test]
fn preferences_are_read_in_both_dialects() {
    let body = json!({"presence_penalty": 0.5, "frequency_penalty": -1, "echo": true,
                      "logit_bias": {"50256": -100, "7": 1.5}});
    let parsed = completions(body.clone()).unwrap();
    assert_eq!(parsed.echo.as_deref(), Some("hi"));
    for cerium in [chat(body).unwrap().request.cerium, parsed.request.cerium] {
        assert_eq!((cerium.presence_penalty, cerium.frequency_penalty), (0.5, -1.0));
        assert_eq!(cerium.logit_bias.into_iter().collect::<Vec<_>>(), [(7, 1.5), (50256, -100.0)]);
    }
    let error = refusal(chat(json!({"logit_bias": {"the": 1}})));
    assert!(error.starts_with("logit_bias"), "{error}");
}

#[test]
fn what_chat_does_not_serve_is_refused_by_name() {
    let message = |message: Value| json!({"messages": [message]});
    let cases = [
        json!({"messages": []}),
        json!({"functions": [{"name": "f"}]}),
        json!({"response_format": {"type": "xml"}}),
        json!({"modalities": ["text", "audio"]}),
        json!({"web_search_options": {}}),
        json!({"store": true}),
        message(json!({"role": "tool", "tool_call_id": "c"})),
        message(json!({"role": "assistant", "content": "", "tool_calls": [{"id": "c"}]})),
        message(json!({"role": "user", "content": "", "tool_calls": [{"id": "c"}]})),
        message(json!({"role": "user", "content": [{"type": "image_url", "image_url": {}}]})),
        message(json!({"role": "user", "content": null})),
    ];
    let told = cases.map(|case| refusal(chat(case))).join("\n");
    insta::assert_snapshot!(told, @r"
    messages | invalid_value | `messages` is empty
    functions | unsupported_parameter | `functions` is not served here
    response_format.type | unsupported_parameter | `response_format.type` of `xml` is not served here
    modalities[1] | unsupported_parameter | `modalities[1]` of `audio` is not served here
    web_search_options | unsupported_parameter | `web_search_options` is not served here
    store | unsupported_parameter | `store` is not served here
    messages[0].content | invalid_value | `messages[0]` has no content
    messages[0].tool_calls[0] | invalid_value | a call needs `function` or `custom`
    messages[0].tool_calls | invalid_value | only the assistant calls tools
    messages[0].content[0].type | unsupported_parameter | content of type `image_url` is not served, only text
    messages[0].content | invalid_value | `messages[0]` has no content
    ");
}

#[test]
fn a_completion_is_read() {
    let parsed = completions(json!({"suffix": "x", "stop": ["\n\n"], "seed": 5})).unwrap();
    assert_eq!(parsed.request.prompt, "hi");
    assert_eq!(parsed.request.suffix.as_deref(), Some("x"));
    assert_eq!(parsed.request.max_tokens, Some(16), "the published default");
    assert_eq!(parsed.request.stop, ["\n\n"]);
    assert_eq!(parsed.request.cerium.seed, Some(5));
    let parsed = completions(json!({"prompt": ["a"], "suffix": ""})).unwrap();
    assert_eq!((parsed.request.prompt.as_str(), parsed.request.suffix), ("a", None));
}

#[test]
fn what_completions_does_not_serve_is_refused_by_name() {
    let cases = [
        json!({"prompt": null}),
        json!({"prompt": ["a", "b"]}),
        json!({"prompt": [1, 2]}),
        json!({"best_of": 3}),
        json!({"echo": true, "logprobs": 1}),
        json!({"max_tokens": 0}),
    ];
    let told = cases.map(|case| refusal(completions(case))).join("\n");
    insta::assert_snapshot!(told, @r"
    prompt | missing_required_parameter | missing required parameter `prompt`
    prompt | unsupported_parameter | `prompt` must hold exactly one text
    prompt[0] | invalid_type | prompt[0]: invalid type: integer `1`, expected a string at line 1 column 24
    best_of | unsupported_parameter | `best_of` is 3; all 1 answers are served, not the best
    echo | unsupported_parameter | `echo` is served without log-probabilities and without a suffix
    max_tokens | invalid_value | `max_tokens` is 0; it must be at least 1
    ");
}

#[test]
fn a_list_is_no_request() {
    for body in [&b"[]"[..], b" \n[\"m\", \"hi\"]"] {
        let told = "- | invalid_type | the body: invalid type: a list, expected an object";
        assert_eq!(refusal(responses::read(body)), told);
        assert_eq!(refusal(chat::read(body)), told);
    }
}

#[test]
fn a_conversation_can_be_computed_without_an_answer() {
    assert!(responses(json!({})).unwrap().request.generate);
    for body in [json!({"generate": false}), json!({"prompt_cache_options": {"prewarm": true}})] {
        let parsed = responses(body).unwrap();
        assert!(!parsed.request.generate);
        let again = responses::read(&serde_json::to_vec(&parsed.request).unwrap()).unwrap();
        assert!(!again.request.generate, "as the harness sends it");
    }
}

#[test]
fn an_answer_is_redirected_by_its_user() {
    let steer = |extra| {
        let base = json!({"type": "response.steer", "previous_response_id": "resp_1"});
        responses::read_steer(&with(base, extra))
    };
    let message = |role: &str| json!({"input": [{"role": role, "content": "no"}]});
    let parsed = steer(message("user")).unwrap();
    assert_eq!(parsed.previous_response_id, "resp_1");
    assert_eq!(parsed.input, Input::Items(vec![Item::message(Role::User, "no")]));
    assert_eq!(parsed.cerium, SteerExtensions::default());
    let on = steer(json!({"cerium": {"keep": {"bytes": 3}, "go_on": "x"}})).unwrap();
    assert_eq!((on.cerium.keep, on.cerium.go_on.as_deref()), (Keep::Bytes(3), Some("x")));
    let cases = [steer(message("system")), steer(json!({})), steer(json!({"input": 3}))];
    let told = cases.map(refusal).join("\n");
    insta::assert_snapshot!(told, @r"
    input[0].role | invalid_input | steering takes user messages alone
    input | missing_required_parameter | missing required parameter `input`
    input | invalid_type | input: invalid type: integer `3`, expected a string or a list of items at line 1 column 66
    ");
}
