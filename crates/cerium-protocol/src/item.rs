//! What a conversation consists of, in either direction: what an answer said is what the next request
//! begins with.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Who a message speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Instructions of the application; `developer` is read as the same thing.
    #[serde(alias = "developer")]
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// One item of a conversation, reduced to what a model is shown of it and what joins calls to their outputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Item {
    /// Something that is said.
    Message {
        /// Who speaks.
        role: Role,
        /// What is said.
        content: String,
    },
    /// The model calls a function.
    FunctionCall {
        /// Joins the call to its output; the model is not shown it.
        call_id: String,
        /// Name of the function.
        name: String,
        /// The namespace that the function was listed in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        /// JSON, usually an object.
        arguments: String,
    },
    /// What a function gave.
    FunctionCallOutput {
        /// The call.
        call_id: String,
        /// Any text.
        output: String,
    },
    /// The model calls a tool that takes free text.
    CustomToolCall {
        /// Joins the call to its output.
        call_id: String,
        /// Name of the tool.
        name: String,
        /// The namespace that the tool was listed in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        /// What the tool is given.
        input: String,
    },
    /// What such a tool gave.
    CustomToolCallOutput {
        /// The call.
        call_id: String,
        /// Any text.
        output: String,
    },
    /// What the model thought before it spoke.
    Reasoning {
        /// As it was thought, unabridged.
        #[serde(rename = "content", with = "thought")]
        text: String,
    },
}

impl Item {
    /// Something that somebody says.
    pub fn message(role: Role, content: impl Into<String>) -> Self {
        Self::Message { role, content: content.into() }
    }

    /// The item's text: what is said, called with, given back or thought.
    pub fn text(&self) -> &str {
        match self {
            Self::Message { content: text, .. }
            | Self::FunctionCall { arguments: text, .. }
            | Self::FunctionCallOutput { output: text, .. }
            | Self::CustomToolCall { input: text, .. }
            | Self::CustomToolCallOutput { output: text, .. }
            | Self::Reasoning { text } => text,
        }
    }

    /// The same, to be written on.
    pub fn text_mut(&mut self) -> &mut String {
        match self {
            Self::Message { content: text, .. }
            | Self::FunctionCall { arguments: text, .. }
            | Self::FunctionCallOutput { output: text, .. }
            | Self::CustomToolCall { input: text, .. }
            | Self::CustomToolCallOutput { output: text, .. }
            | Self::Reasoning { text } => text,
        }
    }

    /// What joins a call to its result.
    pub fn call_id(&self) -> Option<&str> {
        match self {
            Self::FunctionCall { call_id, .. }
            | Self::FunctionCallOutput { call_id, .. }
            | Self::CustomToolCall { call_id, .. }
            | Self::CustomToolCallOutput { call_id, .. } => Some(call_id),
            Self::Message { .. } | Self::Reasoning { .. } => None,
        }
    }

    /// Whether an application says it.
    pub fn is_of_the_system(&self) -> bool {
        matches!(self, Self::Message { role: Role::System, .. })
    }

    /// Whether a person says it.
    pub fn is_of_a_person(&self) -> bool {
        matches!(self, Self::Message { role: Role::User, .. })
    }

    /// Whether it asks for a tool.
    pub fn is_call(&self) -> bool {
        matches!(self, Self::FunctionCall { .. } | Self::CustomToolCall { .. })
    }

    /// Whether the model said, called or thought it.
    pub fn is_of_the_model(&self) -> bool {
        match self {
            Self::Message { role, .. } => *role == Role::Assistant,
            Self::FunctionCall { .. } | Self::CustomToolCall { .. } | Self::Reasoning { .. } => {
                true
            }
            Self::FunctionCallOutput { .. } | Self::CustomToolCallOutput { .. } => false,
        }
    }
}

/// The `input` of a request: plain text stands for one user message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Input {
    /// One user message.
    Text(String),
    /// A list of items, oldest first.
    Items(Vec<Item>),
}

impl Input {
    /// Its items.
    pub fn items(&self) -> Cow<'_, [Item]> {
        match self {
            Self::Text(text) => Cow::Owned(vec![Item::message(Role::User, text)]),
            Self::Items(items) => Cow::Borrowed(items),
        }
    }

    /// The same, of which nothing else is needed.
    pub fn into_items(self) -> Vec<Item> {
        match self {
            Self::Text(text) => vec![Item::message(Role::User, text)],
            Self::Items(items) => items,
        }
    }
}

/// Reasoning on the wire: a list of parts.
mod thought {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Part<T> {
        r#type: T,
        text: T,
    }

    pub(super) fn serialize<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
        [Part { r#type: "reasoning_text", text }].serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
        let parts = Vec::<Part<String>>::deserialize(from)?;
        Ok(parts.into_iter().map(|part| part.text).collect())
    }
}
