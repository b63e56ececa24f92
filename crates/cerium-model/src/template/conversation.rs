//! What a template is given: messages, calls and tools as Jinja's values, every text of them guarded.

use minijinja::Value;
use minijinja::value::Serde;
use serde_json::{Map, Value as Json};

use super::{Call, Message, TemplateError};

/// Longest arguments of a call that a template is given as what they are; longer ones are a string to it. A
/// value takes many times the memory of its text.
const ARGUMENTS_BYTES_MAX: usize = 64 << 10;

impl Message {
    /// Bytes of its texts.
    pub(super) fn n_bytes(&self) -> usize {
        let calls = self.calls.iter().map(|call| call.name.len() + call.arguments.len());
        let reasoning = self.reasoning.as_ref().map_or(0, String::len);
        self.content.len() + reasoning + calls.sum::<usize>()
    }
}

/// A conversation as trees of texts.
pub(super) struct Conversation {
    messages: Vec<Json>,
    tools: Vec<Json>,
}

/// The same, as a template takes it.
pub(super) struct Guarded {
    pub(super) messages: Value,
    /// None where there are no tools.
    pub(super) tools: Value,
}

impl Conversation {
    /// * `more`: what follows the messages, and how many calls are before it
    pub(super) fn read(
        messages: &[Message],
        more: (&[Message], usize),
        tools: &[String],
    ) -> Result<Self, TemplateError> {
        let tools = tools.iter().map(|tool| serde_json::from_str(tool)).collect::<Result<_, _>>();
        let (mut n_calls, (more, mut n_calls_more)) = (0, more);
        let mut turns: Vec<_> = messages.iter().map(|turn| read(turn, &mut n_calls)).collect();
        turns.extend(more.iter().map(|turn| read(turn, &mut n_calls_more)));
        Ok(Self { messages: turns, tools: tools.map_err(TemplateError::Tools)? })
    }

    /// Every text in it.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let mut texts = Vec::new();
        self.messages.iter().chain(&self.tools).for_each(|value| collect(value, &mut texts));
        texts.into_iter()
    }

    /// The values, each text `guarded`.
    pub(super) fn guarded(self, guarded: &impl Fn(&str) -> String) -> Guarded {
        let value = |json: &Json| Value::from(Serde(json));
        let tools = self.tools.into_iter().map(|tool| value(&guard(tool, guarded)));
        let tools: Vec<Value> = tools.collect();
        let messages =
            self.messages.into_iter().map(|message| value(&guard_turn(message, guarded)));
        Guarded {
            messages: messages.collect::<Vec<_>>().into(),
            tools: if tools.is_empty() { Value::from(()) } else { tools.into() },
        }
    }
}

/// Ids are counted, so that those which clients make up have no influence. Some templates want nine letters.
fn id(n: usize) -> Json {
    Json::String(format!("call{n:05}"))
}

fn read(message: &Message, n_calls: &mut usize) -> Json {
    let Message { role, content, reasoning, calls, answers } = message;
    let mut fields = Map::new();
    let mut field = |name: &str, value: Json| fields.insert(name.to_owned(), value);
    field("role", Json::String(role.clone()));
    field("content", Json::String(content.clone()));
    if let Some(reasoning) = reasoning {
        field("reasoning_content", Json::String(reasoning.clone()));
        // What gpt-oss calls it.
        field("thinking", Json::String(reasoning.clone()));
    }
    if !calls.is_empty() {
        let calls = calls.iter().map(|call| {
            *n_calls += 1;
            self::call(call, *n_calls - 1)
        });
        field("tool_calls", Json::Array(calls.collect()));
    }
    if let Some(answers) = answers {
        field("tool_call_id", id(*answers));
    }
    Json::Object(fields)
}

fn call(Call { name, arguments }: &Call, n: usize) -> Json {
    let value = Some(arguments).filter(|text| text.len() <= ARGUMENTS_BYTES_MAX);
    let value = value.and_then(|text| serde_json::from_str(text).ok());
    let value = value.unwrap_or_else(|| Json::String(arguments.clone()));
    let function = [("name", Json::String(name.clone())), ("arguments", value)];
    let function = function.map(|(name, value)| (name.to_owned(), value));
    let fields = [
        ("id", id(n)),
        ("type", Json::String("function".to_owned())),
        ("function", Json::Object(function.into_iter().collect())),
    ];
    Json::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn collect<'a>(value: &'a Json, texts: &mut Vec<&'a str>) {
    match value {
        Json::String(text) => texts.push(text),
        Json::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Json::Object(fields) => {
            for (name, value) in fields {
                texts.push(name);
                collect(value, texts);
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

/// Roles are a closed list, and templates compare them.
fn guard_turn(message: Json, guarded: &impl Fn(&str) -> String) -> Json {
    let Json::Object(fields) = message else { return message };
    let field = |(name, value): (String, Json)| {
        let value = if name == "role" { value } else { guard(value, guarded) };
        (name, value)
    };
    Json::Object(fields.into_iter().map(field).collect())
}

/// Names of fields are texts too: those of schemas and arguments are anybody's.
fn guard(value: Json, guarded: &impl Fn(&str) -> String) -> Json {
    match value {
        Json::String(text) => Json::String(guarded(&text)),
        Json::Array(items) => items.into_iter().map(|item| guard(item, guarded)).collect(),
        Json::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (guarded(&name), guard(value, guarded)))
            .collect(),
        other => other,
    }
}
