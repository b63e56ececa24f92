//! Items to the turns of a template.
//!
//! What a model was trained on, its template shows it: functions, calls of them and what they gave. For the
//! rest there are texts here: all of it where a template knows no tools, and everywhere tools that take free
//! text, whose input stands between tags as it is, so that no quote or line end of it has to be escaped.
//! Whatever clients choose freely (ids, states, the spacing of JSON) leaves no trace in them: the same
//! conversation always begins with the same tokens.

use crate::history::Front;
use crate::json_text::Respaced;
use cerium_model::template::{Call, ChatTemplate, Message};
use cerium_protocol::{CustomFormat, Item, Role, Tool, ToolKind};
use serde_json::json;
use std::collections::HashMap;
use std::fmt::Write as _;

/// A conversation as a template takes it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conversation {
    pub(crate) messages: Vec<Message>,
    /// Tools that the template shows: JSON.
    pub(crate) tools: Vec<String>,
}

impl Conversation {
    /// Items behind what stands in front of them.
    pub(crate) fn new<'a>(
        front: &Front,
        items: impl Iterator<Item = &'a Item>,
        template: &ChatTemplate,
    ) -> Self {
        let mut turns = Turns { takes_tools: template.takes_tools(), ..Turns::default() };
        if let Some(instructions) = &front.instructions {
            turns.messages.push(message("system", instructions));
        }
        items.for_each(|item| turns.push(item));
        let mut messages = turns.messages;
        let told = told(&front.tools, template);
        if !told.is_empty() {
            match messages.first_mut().filter(|first| first.role == "system") {
                Some(first) => first.content = format!("{}\n\n{told}", first.content),
                None => messages.insert(0, message("system", &told)),
            }
        }
        let shown = front.tools.iter().filter(|_| template.takes_tools());
        let tools = shown.filter_map(function).map(|function| function.to_string()).collect();
        Self { messages, tools }
    }
}

/// Turns of items that follow a conversation with so many calls; `None` if one answers a call that is not among
/// them.
pub(crate) fn more<'a>(
    items: impl Iterator<Item = &'a Item>,
    template: &ChatTemplate,
    n_calls: usize,
) -> Option<Vec<Message>> {
    let takes_tools = template.takes_tools();
    let mut turns = Turns { takes_tools, n_calls, ..Turns::default() };
    items.for_each(|item| turns.push(item));
    (!turns.is_cut || n_calls == 0).then_some(turns.messages)
}

pub(crate) fn message(role: &str, content: &str) -> Message {
    Message { role: role.to_owned(), content: content.to_owned(), ..Message::default() }
}

/// What the model calls a tool by.
pub(crate) fn called(namespace: Option<&str>, name: &str) -> String {
    namespace.map_or_else(|| name.to_owned(), |namespace| format!("{namespace}.{name}"))
}

/// The tag before what a tool is given that takes free text.
pub(crate) fn opening_tag(name: &str) -> String {
    format!("<custom_tool_call name=\"{name}\">\n")
}

/// The tag behind it.
pub(crate) const CLOSING_TAG: &str = "\n</custom_tool_call>";

/// Turns as they are made, one item after the other.
#[derive(Default)]
struct Turns {
    messages: Vec<Message>,
    takes_tools: bool,
    /// Calls that the template shows, and their places among them.
    calls: HashMap<String, usize>,
    n_calls: usize,
    /// What was thought before what comes next.
    reasoning: Option<String>,
    /// Whether an output came whose call did not.
    is_cut: bool,
    /// Whether the last turn is the assistant's, and what it calls belongs to it.
    is_open: bool,
}

impl Turns {
    fn push(&mut self, item: &Item) {
        match item {
            Item::Message { role, content } => {
                let role = match role {
                    Role::System => "system",
                    Role::User => "user",
                    Role::Assistant => "assistant",
                };
                let reasoning = self.reasoning.take().filter(|_| role == "assistant");
                self.messages.push(Message { reasoning, ..message(role, content) });
                self.is_open = role == "assistant";
            }
            Item::Reasoning { text } => {
                self.reasoning = Some(text.clone());
                self.is_open = false;
            }
            Item::FunctionCall { call_id, name, namespace, arguments } => {
                let name = called(namespace.as_deref(), name);
                if self.takes_tools {
                    self.calls.insert(call_id.clone(), self.n_calls);
                    self.n_calls += 1;
                    let arguments = arguments.clone();
                    self.turn().calls.push(Call { name, arguments });
                } else {
                    self.say(&hermes_call(&name, arguments));
                }
            }
            Item::CustomToolCall { name, namespace, input, .. } => {
                let opening = opening_tag(&called(namespace.as_deref(), name));
                self.say(&format!("{opening}{input}{CLOSING_TAG}"));
            }
            Item::FunctionCallOutput { call_id, output } => {
                let answers = self.calls.get(call_id).copied();
                self.is_cut |= answers.is_none();
                self.messages.push(if answers.is_some() {
                    Message { answers, ..message("tool", output) }
                } else {
                    message("user", &response(output))
                });
                self.is_open = false;
            }
            Item::CustomToolCallOutput { output, .. } => {
                self.messages.push(message("user", &response(output)));
                self.is_open = false;
            }
        }
    }

    /// The assistant's turn that goes on, or a new one.
    fn turn(&mut self) -> &mut Message {
        if !self.is_open || self.messages.is_empty() {
            let reasoning = self.reasoning.take();
            self.messages.push(Message { reasoning, ..message("assistant", "") });
            self.is_open = true;
        }
        let last = self.messages.len() - 1;
        &mut self.messages[last]
    }

    /// Says something more in the assistant's turn. What follows calls that a template shows is a turn of its own:
    /// templates put calls last.
    fn say(&mut self, text: &str) {
        if !self.turn().calls.is_empty() {
            self.is_open = false;
        }
        let content = &mut self.turn().content;
        if !content.is_empty() {
            content.push('\n');
        }
        content.push_str(text);
    }
}

/// A call as models write it that were not trained otherwise.
fn hermes_call(name: &str, arguments: &str) -> String {
    let arguments = Respaced::spaced().all(arguments);
    let name = json!(name);
    format!("<tool_call>\n{{\"name\": {name}, \"arguments\": {arguments}}}\n</tool_call>")
}

fn response(output: &str) -> String {
    format!("<tool_response>\n{output}\n</tool_response>")
}

/// A function as templates take it.
fn function(tool: &Tool) -> Option<serde_json::Value> {
    let ToolKind::Function { parameters, .. } = &tool.kind else { return None };
    let parameters = parameters.as_ref().and_then(|json| serde_json::from_str(json.as_str()).ok());
    let parameters: serde_json::Value =
        parameters.unwrap_or_else(|| json!({"type": "object", "properties": {}}));
    let name = called(tool.namespace.as_deref(), &tool.name);
    let description = tool.description.as_deref().unwrap_or_default();
    Some(json!({"type": "function", "function": {
        "name": name, "description": description, "parameters": parameters,
    }}))
}

/// What the model is told of tools that the template does not show.
fn told(tools: &[Tool], template: &ChatTemplate) -> String {
    let mut told = String::new();
    let functions = tools.iter().filter(|_| !template.takes_tools()).filter_map(function);
    let functions: Vec<String> =
        functions.map(|function| Respaced::spaced().all(&function.to_string())).collect();
    if !functions.is_empty() {
        // The wording that Qwen and Hermes were trained on.
        // Writing to a string cannot fail.
        let _ = write!(
            told,
            "# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are \
             provided with function signatures within <tools></tools> XML tags:\n<tools>\n{}\n</tools>\n\n\
             For each function call, return a json object with function name and arguments within \
             <tool_call></tool_call> XML tags:\n<tool_call>\n{{\"name\": <function-name>, \
             \"arguments\": <args-json-object>}}\n</tool_call>",
            functions.join("\n")
        );
    }
    let customs: Vec<&Tool> =
        tools.iter().filter(|tool| matches!(tool.kind, ToolKind::Custom { .. })).collect();
    if customs.is_empty() {
        return told;
    }
    if !told.is_empty() {
        told.push_str("\n\n");
    }
    told += "# Tools that take text\n\nTo call one of these, write its input as it is, without JSON, \
             between tags:\n";
    let _ = write!(told, "{}INPUT{CLOSING_TAG}", opening_tag("NAME"));
    for tool in customs {
        let ToolKind::Custom { format } = &tool.kind else { continue };
        let name = called(tool.namespace.as_deref(), &tool.name);
        let description = tool.description.as_deref().unwrap_or_default();
        let _ = write!(told, "\n\n## {name}\n\n{description}");
        if let CustomFormat::Grammar { definition, .. } = format {
            let _ = write!(told, "\n\nIts input keeps to this grammar:\n{}", definition.trim_end());
        }
    }
    told
}
