//! The way there: a request as the body of a chat that another engine answers.
//!
//! Engines know functions, and few of them anything else. So a tool that takes text is a function of
//! one text here, `input`, and [`Reader`](super::Reader) takes it out again. What was thought in
//! earlier turns is left out: most templates drop it, and some services refuse it. So is a wish for
//! summaries of thoughts, which this dialect has no word for.

use crate::{
    CreateResponse, CustomFormat, Effort, Item, Json, Role, TextFormat, Tool, ToolChoice, ToolKind,
    ToolName,
};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The body that asks for an answer as a stream that ends with its counts.
#[expect(clippy::missing_panics_doc, reason = "no request fails to be written")]
pub fn body(request: &CreateResponse) -> Vec<u8> {
    let cerium = &request.cerium;
    let (tools, tool_choice) = tools(request);
    let logprobs = request.logprobs();
    let body = Body {
        model: &request.model,
        messages: messages(request),
        max_tokens: request.max_output_tokens,
        temperature: request.temperature,
        top_p: request.top_p,
        stop: &cerium.stop,
        seed: cerium.seed,
        presence_penalty: set(cerium.presence_penalty, 0.0),
        frequency_penalty: set(cerium.frequency_penalty, 0.0),
        logit_bias: &cerium.logit_bias,
        top_k: (cerium.top_k > 0).then_some(cerium.top_k),
        min_p: set(cerium.min_p, 0.0),
        repetition_penalty: cerium.repetition_penalty,
        parallel_tool_calls: (!tools.is_empty() && !request.parallel_tool_calls).then_some(false),
        tools,
        tool_choice,
        response_format: response_format(&request.format),
        reasoning_effort: request.reasoning.effort,
        logprobs: logprobs.map(|_| true),
        top_logprobs: logprobs.filter(|&n| n > 0),
        stream: true,
        stream_options: json!({"include_usage": true}),
    };
    serde_json::to_vec(&body).expect("requests have only string keys")
}

/// By what name a tool is known to an engine: the name of its list has no place of its own there.
pub(super) fn function_name(namespace: Option<&str>, name: &str) -> String {
    namespace.map_or_else(|| name.to_owned(), |namespace| format!("{namespace}__{name}"))
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f32>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f32>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    logit_bias: &'a BTreeMap<u32, f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repetition_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<Effort>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u32>,
    stream: bool,
    stream_options: Value,
}

/// A field that says something.
fn set(value: f32, usual: f32) -> Option<f32> {
    (value != usual).then_some(value)
}

#[derive(Default, Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
}

fn messages(request: &CreateResponse) -> Vec<Message<'_>> {
    let mut messages = Vec::new();
    let said = |role, content| Message { role, content: Some(content), ..Message::default() };
    messages.extend(request.instructions.as_deref().map(|text| said("system", text)));
    let call = |messages: &mut Vec<Message<'_>>, id: &str, name: String, arguments: &str| {
        let call = json!({"id": id, "type": "function",
                          "function": {"name": name, "arguments": arguments}});
        // Calls belong to the turn in which they were made.
        match messages.last_mut().filter(|last| last.role == "assistant") {
            Some(turn) => turn.tool_calls.push(call),
            None => messages.push(Message {
                role: "assistant",
                tool_calls: vec![call],
                ..Message::default()
            }),
        }
    };
    let items: &[Item] = match &request.input {
        crate::Input::Text(text) => {
            messages.push(said("user", text));
            &[]
        }
        crate::Input::Items(items) => items,
    };
    for item in items {
        match item {
            Item::Message { role, content } => messages.push(match role {
                Role::System => said("system", content),
                Role::User => said("user", content),
                Role::Assistant => said("assistant", content),
            }),
            Item::FunctionCall { call_id, name, namespace, arguments } => {
                let name = function_name(namespace.as_deref(), name);
                call(&mut messages, call_id, name, arguments);
            }
            Item::CustomToolCall { call_id, name, namespace, input } => {
                let name = function_name(namespace.as_deref(), name);
                call(&mut messages, call_id, name, &json!({"input": input}).to_string());
            }
            Item::FunctionCallOutput { call_id, output }
            | Item::CustomToolCallOutput { call_id, output } => {
                messages.push(Message { tool_call_id: Some(call_id), ..said("tool", output) });
            }
            Item::Reasoning { .. } => {}
        }
    }
    messages
}

/// The tools that may be called, and the choice among them.
fn tools(request: &CreateResponse) -> (Vec<Value>, Option<Value>) {
    let is_allowed = |tool: &Tool| match &request.tool_choice {
        ToolChoice::Allowed { tools, .. } => tools.iter().any(|name| name.means(tool)),
        _ => true,
    };
    let allowed: Vec<&Tool> = request.tools.iter().filter(|tool| is_allowed(tool)).collect();
    if allowed.is_empty() {
        return (Vec::new(), None);
    }
    let full_name = |name: &ToolName| {
        let tool = allowed.iter().find(|tool| name.means(tool));
        tool.map(|tool| function_name(tool.namespace.as_deref(), &tool.name))
    };
    let choice = match &request.tool_choice {
        ToolChoice::Auto | ToolChoice::Allowed { required: false, .. } => None,
        ToolChoice::None => Some(json!("none")),
        ToolChoice::Required | ToolChoice::Allowed { required: true, .. } => {
            Some(json!("required"))
        }
        ToolChoice::Named(name) => {
            full_name(name).map(|name| json!({"type": "function", "function": {"name": name}}))
        }
    };
    (allowed.into_iter().map(function).collect(), choice)
}

fn function(tool: &Tool) -> Value {
    let mut function = json!({"name": function_name(tool.namespace.as_deref(), &tool.name)});
    let mut description = tool.description.clone().unwrap_or_default();
    match &tool.kind {
        ToolKind::Function { parameters, strict } => {
            if let Some(parameters) = parameters.as_ref().and_then(value) {
                function["parameters"] = parameters;
            }
            if *strict {
                function["strict"] = json!(true);
            }
        }
        ToolKind::Custom { format } => {
            if let CustomFormat::Grammar { definition, .. } = format {
                description += "\n\nThe input keeps to this grammar:\n";
                description += definition.trim_end();
            }
            function["parameters"] = json!({
                "type": "object",
                "properties": {"input": {"type": "string", "description": "the whole input, as it is"}},
                "required": ["input"],
                "additionalProperties": false,
            });
        }
    }
    if !description.is_empty() {
        function["description"] = json!(description);
    }
    json!({"type": "function", "function": function})
}

fn response_format(format: &TextFormat) -> Option<Value> {
    match format {
        // The second is cerium's own: whoever sends a request elsewhere refuses it first.
        TextFormat::Text | TextFormat::SearchReplace { .. } => None,
        TextFormat::JsonObject => Some(json!({"type": "json_object"})),
        TextFormat::JsonSchema { name, schema } => {
            let name = if name.is_empty() { "answer" } else { name };
            let schema = json!({"name": name, "schema": value(schema), "strict": true});
            Some(json!({"type": "json_schema", "json_schema": schema}))
        }
    }
}

fn value(json: &Json) -> Option<Value> {
    serde_json::from_str(json.as_str()).ok()
}
