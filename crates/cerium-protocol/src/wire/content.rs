//! Messages as clients send them, whose content is a string or a list of typed parts.
//!
//! Everything is reduced to items and text while it is parsed, so that a hostile body takes little
//! more memory than its own length.

use crate::wire::unserved::{WORD_CHARS, shorten};
use crate::{ErrorBody, Item, Role};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// Content of a message, reduced to text while it is parsed.
#[derive(Debug)]
pub(super) enum Content {
    Text(String),
    /// Part `index` is of a kind that is not text.
    Unserved {
        index: usize,
        kind: String,
    },
}

impl Content {
    /// Whether nothing is in it.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Text(text) if text.is_empty())
    }

    /// The text, or an error which names the part that is none.
    pub(super) fn into_text(self, param: fmt::Arguments<'_>) -> Result<String, ErrorBody> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Unserved { index, kind } => Err(ErrorBody::not_served(
                format!("{param}[{index}].type"),
                format!(
                    "content of type `{}` is not served, only text",
                    shorten(&kind, WORD_CHARS)
                ),
            )),
        }
    }
}

/// A message's role and content, in either dialect, as an item. `param` is its place in the body.
pub(super) fn message(
    role: Option<&str>,
    content: Option<Content>,
    param: fmt::Arguments<'_>,
) -> Result<Item, ErrorBody> {
    let role = match role {
        Some("system" | "developer") => Role::System,
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some(other) => {
            return Err(ErrorBody::not_served(
                format!("{param}.role"),
                format!(
                    "role `{}` is not served; system, developer, user and assistant are",
                    shorten(other, WORD_CHARS)
                ),
            ));
        }
        None => {
            return Err(ErrorBody::invalid(
                format!("{param}.role"),
                format!("`{param}` has no role"),
            ));
        }
    };
    let Some(content) = content else {
        return Err(ErrorBody::invalid(
            format!("{param}.content"),
            format!("`{param}` has no content"),
        ));
    };
    Ok(Item::Message { role, content: content.into_text(format_args!("{param}.content"))? })
}

/// An element of `input` or `messages`, before its meaning is looked at.
pub(super) trait Raw: for<'de> Deserialize<'de> {
    /// Name of the list.
    const LIST: &'static str;

    /// Appends the items it stands for; `param` is its place in the body.
    fn lower(self, param: fmt::Arguments<'_>, items: &mut Vec<Item>) -> Result<(), ErrorBody>;
}

/// The items of a list of `T`, or why the first bad one is bad.
pub(super) struct Items<T>(pub(super) Result<Vec<Item>, ErrorBody>, PhantomData<T>);

impl<T: Raw> Items<T> {
    pub(super) fn read<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<Self, A::Error> {
        let (mut items, mut n_raw) = (Vec::new(), 0);
        while let Some(raw) = seq.next_element::<T>()? {
            if let Err(error) = raw.lower(format_args!("{}[{n_raw}]", T::LIST), &mut items) {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(Self(Err(error), PhantomData));
            }
            n_raw += 1;
        }
        if n_raw == 0 {
            let error = ErrorBody::invalid(T::LIST, format!("`{}` is empty", T::LIST));
            return Ok(Self(Err(error), PhantomData));
        }
        Ok(Self(Ok(items), PhantomData))
    }
}

impl<'de, T: Raw> Deserialize<'de> for Items<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ItemsVisitor(PhantomData))
    }
}

struct ItemsVisitor<T>(PhantomData<T>);

impl<'de, T: Raw> Visitor<'de> for ItemsVisitor<T> {
    type Value = Items<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Items<T>, A::Error> {
        Items::read(seq)
    }
}

#[derive(Deserialize)]
#[serde(expecting = "a content part")]
struct Part {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of content parts")
    }

    fn visit_str<E>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Content, E> {
        Ok(Content::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Content, A::Error> {
        let mut text = String::new();
        let mut unserved = None;
        let mut index = 0;
        while let Some(part) = seq.next_element::<Part>()? {
            // `text` is the chat dialect's name of `input_text`. Parts become lines, as they do in
            // other local servers: clients put separate things into separate parts.
            let kind = part.kind.unwrap_or_default();
            let piece = match kind.as_str() {
                "input_text" | "output_text" | "text" | "reasoning_text" | "summary_text" => {
                    part.text
                }
                "refusal" => part.refusal,
                _ => {
                    unserved.get_or_insert(Content::Unserved { index, kind });
                    index += 1;
                    continue;
                }
            };
            let Some(piece) = piece else {
                let field = if kind == "refusal" { "refusal" } else { "text" };
                return Err(serde::de::Error::custom(format_args!(
                    "part {index} of type `{kind}` has no `{field}`"
                )));
            };
            if index > 0 {
                text.push('\n');
            }
            text.push_str(&piece);
            index += 1;
        }
        Ok(unserved.unwrap_or(Content::Text(text)))
    }
}
