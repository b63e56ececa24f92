//! Items as they are kept and listed: complete, and each with a name by which it can be found.

use serde_json::{Map, Value, json};

/// Longest name of an item that is taken over from a client.
const ID_CHARS_MAX: usize = 128;

/// An item that is kept: its name, and its JSON, which holds the name too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptItem {
    /// Name by which it can be found.
    pub id: String,
    /// Its JSON.
    pub body: String,
}

/// Completes an item of a client: its type, its name (`fresh` unless it has one that will do), the
/// list of a message's parts, its status. What no reader takes for an item stays as it is.
pub fn keep(item: &str, fresh: impl FnOnce(&str) -> String) -> KeptItem {
    let mut item = match serde_json::from_str(item) {
        Ok(Value::Object(item)) => item,
        // A text stands for a message of the user.
        Ok(Value::String(text)) => Map::from_iter([
            ("type".to_owned(), "message".into()),
            ("role".to_owned(), "user".into()),
            ("content".to_owned(), text.into()),
        ]),
        // Read by others all the same: too deep for this reader, it may be.
        _ => return KeptItem { id: fresh(prefix("")), body: item.to_owned() },
    };
    if !item.get("type").is_some_and(Value::is_string) {
        item.insert("type".to_owned(), "message".into());
    }
    let kind = item["type"].as_str().unwrap_or_default().to_owned();
    let usable = |id: &&str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        !id.is_empty() && id.len() <= ID_CHARS_MAX && id.chars().all(plain)
    };
    let id = item.get("id").and_then(Value::as_str).filter(usable).map(str::to_owned);
    let id = id.unwrap_or_else(|| fresh(prefix(&kind)));
    item.insert("id".to_owned(), id.as_str().into());
    if kind == "message" {
        if let Some(Value::String(text)) = item.get("content") {
            let part = match item.get("role").and_then(Value::as_str) {
                Some("assistant") => {
                    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
                }
                _ => json!({"type": "input_text", "text": text}),
            };
            item.insert("content".to_owned(), json!([part]));
        }
        item.entry("status").or_insert_with(|| "completed".into());
    }
    KeptItem { id, body: Value::Object(item).to_string() }
}

/// How names of items begin.
fn prefix(kind: &str) -> &'static str {
    match kind {
        "message" => "msg",
        "function_call" => "fc",
        "function_call_output" => "fco",
        "custom_tool_call" => "ctc",
        "custom_tool_call_output" => "ctco",
        "reasoning" => "rs",
        "compaction" => "cmp",
        _ => "item",
    }
}
