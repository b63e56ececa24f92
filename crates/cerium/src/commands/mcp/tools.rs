//! The tools: what clients are told of them, and what they are called with.

use rmcp::model::{ErrorData, JsonObject, Tool, ToolAnnotations};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::path::PathBuf;

/// What a client may tell its model about all of them.
pub(super) const INSTRUCTIONS: &str = "\
cerium changes and reads code with a model on this machine. Paths are relative to the working directory and lead \
to files of its tree. Every edit can be taken back with undo.";

/// A call, read.
#[derive(Debug)]
pub(super) enum Call {
    Edit(Edit),
    Ask(Ask),
    Complete(Complete),
    Undo(Undo),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Edit {
    pub(super) path: PathBuf,
    pub(super) instruction: String,
    pub(super) sketch: Option<String>,
    pub(super) symbol: Option<String>,
    pub(super) first_line: Option<usize>,
    pub(super) last_line: Option<usize>,
    #[serde(default)]
    pub(super) dry_run: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ask {
    pub(super) question: String,
    #[serde(default)]
    pub(super) paths: Vec<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Complete {
    pub(super) path: PathBuf,
    pub(super) line: usize,
    pub(super) column: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Undo {
    pub(super) edit: Option<u64>,
}

impl Call {
    /// # Errors
    /// For a name that is no tool's, and for arguments that it does not take.
    pub(super) fn read(name: &str, arguments: JsonObject) -> Result<Self, ErrorData> {
        match name {
            "edit" => read(name, arguments).map(Self::Edit),
            "ask" => read(name, arguments).map(Self::Ask),
            "complete" => read(name, arguments).map(Self::Complete),
            "undo" => read(name, arguments).map(Self::Undo),
            _ => {
                let what = format!("there is no tool `{name:.100}`: edit, ask, complete, undo");
                Err(ErrorData::invalid_params(what, None))
            }
        }
    }
}

fn read<T: DeserializeOwned>(name: &str, arguments: JsonObject) -> Result<T, ErrorData> {
    serde_json::from_value(Value::Object(arguments)).map_err(|error| {
        ErrorData::invalid_params(format!("arguments of `{name}`: {error:.300}"), None)
    })
}

/// All of them, as clients are told.
pub(super) fn all() -> Vec<Tool> {
    let text = |what: &str| json!({"type": "string", "description": what});
    let number = |what: &str| json!({"type": "integer", "minimum": 1, "description": what});
    let reads = || ToolAnnotations::new().read_only(true);
    vec![
        tool(
            "edit",
            "Changes one file of the tree and returns the diff with a receipt. Say what to change; a sketch of \
             the changed code, in which `...` stands for code that stays, says it exactly.",
            &json!({
                "path": text("The file"),
                "instruction": text("What to change, in words"),
                "sketch": text("The changed code; unchanged parts may be left out as `...`"),
                "symbol": text("Only the declaration of this name may change"),
                "first_line": number("First of the lines that may change, counted from 1"),
                "last_line": number("Last of them"),
                "dry_run": {"type": "boolean", "description": "Show the diff, change nothing"},
            }),
            &["path", "instruction"],
        )
        .annotate(ToolAnnotations::new().read_only(false).destructive(false)),
        tool(
            "ask",
            "Answers a question about the code of the tree, citing path:line.",
            &json!({
                "question": text("The question; identifiers in it help most"),
                "paths": {"type": "array", "items": {"type": "string"},
                          "description": "Files and directories to look in; the whole tree by default"},
            }),
            &["question"],
        )
        .annotate(reads()),
        tool(
            "complete",
            "Returns the text that belongs at a point of a file. The file is not changed.",
            &json!({
                "path": text("The file"),
                "line": number("Line, counted from 1"),
                "column": number("Column, counted from 1, in characters"),
            }),
            &["path", "line", "column"],
        )
        .annotate(reads()),
        tool(
            "undo",
            "Takes an edit back: the last one, or one by its number.",
            &json!({ "edit": number("Number of the edit, from its receipt") }),
            &[],
        )
        .annotate(ToolAnnotations::new().read_only(false).destructive(false)),
    ]
}

fn tool(name: &'static str, what: &'static str, properties: &Value, required: &[&str]) -> Tool {
    let schema = json!({
        "type": "object", "properties": properties, "required": required,
        "additionalProperties": false,
    });
    let Value::Object(schema) = schema else { unreachable!("it was written as an object") };
    Tool::new(name, what, schema)
}
