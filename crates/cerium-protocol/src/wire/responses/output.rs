//! Items of a response's `output`, as the wire knows them.

use super::Echo;
use super::object::status_word;
use crate::{Item, Response, TokenLogprob};
use serde::Serialize;

/// An item of `output`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum OutputItem {
    /// Text for the person.
    Message {
        /// `msg_...`
        id: String,
        /// `in_progress`, `completed` or `incomplete`.
        status: &'static str,
        /// Always `assistant`.
        role: &'static str,
        /// Its parts; none while in progress.
        content: Vec<ContentPart>,
    },
    /// A call of a function.
    FunctionCall {
        /// `fc_...`
        id: String,
        /// As of a message.
        status: &'static str,
        /// Joins the call to its output.
        call_id: String,
        /// Name of the function.
        name: String,
        /// Its list, if that has a name.
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        /// JSON without needless spaces; empty while in progress.
        arguments: String,
    },
    /// A call of a tool that takes text.
    CustomToolCall {
        /// `ctc_...`
        id: String,
        /// As of a message.
        status: &'static str,
        /// Joins the call to its output.
        call_id: String,
        /// Name of the tool.
        name: String,
        /// Its list, if that has a name.
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        /// What it is given; empty while in progress.
        input: String,
    },
    /// What the model thought.
    Reasoning {
        /// `rs_...`
        id: String,
        /// As of a message.
        status: &'static str,
        /// Always empty: nothing here abridges what was thought.
        summary: [(); 0],
        /// Its parts; none while in progress.
        content: Vec<ContentPart>,
    },
    /// What the conversation has become: it stands for all that was before the answer.
    Compaction {
        /// `cmp_...`
        id: String,
        /// For this server alone.
        encrypted_content: String,
    },
}

/// A part of a message, or of reasoning.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ContentPart {
    /// Text of the answer.
    OutputText {
        /// The whole text.
        text: String,
        /// Always empty: nothing here searches the web or files.
        annotations: [(); 0],
        /// Those that were asked for.
        logprobs: Vec<TokenLogprob>,
    },
    /// Text that was thought.
    ReasoningText {
        /// The whole text.
        text: String,
    },
}

impl ContentPart {
    /// A part of the answer that holds `text`.
    pub fn text(text: impl Into<String>, logprobs: Vec<TokenLogprob>) -> Self {
        Self::OutputText { text: text.into(), annotations: [], logprobs }
    }
}

/// An item of a response, at its place; `status` is a word for all of its kinds, `logprobs` are those of its
/// tokens. Ids are made from the response's own.
pub fn item(
    response_id: &str,
    index: usize,
    item: &Item,
    status: &'static str,
    logprobs: &[TokenLogprob],
) -> OutputItem {
    let is_whole = status != "in_progress";
    let id = item_id(response_id, index, item);
    match item.clone() {
        Item::FunctionCall { call_id, name, namespace, arguments } => {
            OutputItem::FunctionCall { id, status, call_id, name, namespace, arguments }
        }
        Item::CustomToolCall { call_id, name, namespace, input } => {
            OutputItem::CustomToolCall { id, status, call_id, name, namespace, input }
        }
        Item::Reasoning { text } => {
            let part = ContentPart::ReasoningText { text };
            let content = is_whole.then_some(part).into_iter().collect();
            OutputItem::Reasoning { id, status, summary: [], content }
        }
        // Nothing else is of the model.
        Item::Message { content: text, .. }
        | Item::FunctionCallOutput { output: text, .. }
        | Item::CustomToolCallOutput { output: text, .. } => {
            let content = is_whole.then(|| ContentPart::text(text, logprobs.to_vec()));
            let content = content.into_iter().collect();
            OutputItem::Message { id, status, role: "assistant", content }
        }
    }
}

/// The item that a response begins with if its conversation was made shorter.
pub(super) fn compaction(response_id: &str, echo: &Echo) -> Option<OutputItem> {
    let encrypted_content = echo.compaction.clone()?;
    Some(OutputItem::Compaction { id: named("cmp", response_id, 0), encrypted_content })
}

/// All items of a finished response. What cut it short cut its last one.
pub(super) fn items(response: &Response, echo: &Echo) -> Vec<OutputItem> {
    let mut items: Vec<OutputItem> = compaction(&response.id, echo).into_iter().collect();
    let (n_before, n) = (items.len(), response.output.len());
    let status = |i: usize| if i + 1 < n { "completed" } else { status_word(response) };
    items.extend(
        response
            .output
            .iter()
            .enumerate()
            .map(|(i, one)| item(&response.id, n_before + i, one, status(i), &response.logprobs)),
    );
    items
}

/// Id of a response's item.
pub(super) fn item_id(response_id: &str, index: usize, item: &Item) -> String {
    let kind = match item {
        Item::FunctionCall { .. } => "fc",
        Item::CustomToolCall { .. } => "ctc",
        Item::Reasoning { .. } => "rs",
        _ => "msg",
    };
    named(kind, response_id, index)
}

fn named(kind: &str, response_id: &str, index: usize) -> String {
    let stem = response_id.strip_prefix("resp_").unwrap_or(response_id);
    if index == 0 { format!("{kind}_{stem}") } else { format!("{kind}_{stem}_{index}") }
}
