//! What a body asks of a server's memory, which comes before everything else that it asks.
//!
//! A server that remembers completes such a body first ([`Asked::complete`]): what the response follows
//! stands before its own input then, and the body can be read as any other.

use crate::ErrorBody;
use crate::wire::json;
use crate::wire::unserved::{WORD_CHARS, shorten};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Items of a request that is stored; a conversation of more would have been compacted.
const N_ITEMS_MAX: usize = 20_000;

/// A body, as far as memory is concerned.
#[derive(Debug)]
pub struct Asked<'a> {
    /// The response that is gone on from.
    pub previous_response_id: Option<String>,
    /// The conversation that is gone on with.
    pub conversation: Option<String>,
    /// Whether the response is to be kept, if the request says.
    pub store: Option<bool>,
    /// Whether the client does not wait for it.
    pub background: bool,
    /// Whether a conversation that is too long loses its beginning.
    pub truncates: bool,
    /// Beyond how many tokens of its prompt a conversation is made shorter before it is gone on with, if ever; the
    /// largest number where the request leaves it to the server.
    pub compact_threshold: Option<u64>,
    /// Whether it is made shorter in any case and not answered: the input ended with an item that asks for that.
    pub compacts: bool,
    /// The items of the input; a text stands for itself.
    pub input: Vec<&'a RawValue>,
    body: &'a [u8],
}

#[derive(Default, Deserialize)]
#[serde(default, expecting = "an object")]
struct Head<'a> {
    previous_response_id: Option<String>,
    conversation: Option<Conversation>,
    store: Option<bool>,
    background: Option<bool>,
    truncation: Option<String>,
    context_management: Option<Vec<Management>>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

/// A way to keep a conversation short.
#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Management {
    r#type: String,
    compact_threshold: Option<u64>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a conversation's id, or an object that holds it")]
enum Conversation {
    Id(String),
    Object { id: String },
}

impl<'a> Asked<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// For a body that is no object, for fields of the wrong type, and for those that exclude each
    /// other.
    pub fn read(body: &'a [u8]) -> Result<Self, ErrorBody> {
        let head: Head<'a> = json::read(body)?;
        let conversation = head.conversation.map(|conversation| match conversation {
            Conversation::Id(id) | Conversation::Object { id } => id,
        });
        if conversation.is_some() && head.previous_response_id.is_some() {
            let what = "`previous_response_id` and `conversation` exclude each other";
            return Err(ErrorBody::invalid("conversation", what));
        }
        let background = head.background.unwrap_or(false);
        if background && head.store == Some(false) {
            let what = "a background response must be stored, or nobody could ask for it";
            return Err(ErrorBody::invalid("background", what));
        }
        let truncates = match head.truncation.as_deref() {
            None | Some("disabled") => false,
            Some("auto") => true,
            Some(_) => {
                let what = "`truncation` is `auto` or `disabled`";
                return Err(ErrorBody::invalid("truncation", what));
            }
        };
        let compact_threshold = compact_threshold(head.context_management.unwrap_or_default())?;
        let mut input = match head.input.filter(|input| input.get() != "null") {
            Some(input) if input.get().starts_with('[') => {
                let n: Vec<IgnoredAny> =
                    serde_json::from_str(input.get()).map_err(|error| invalid(&error))?;
                if n.len() > N_ITEMS_MAX {
                    let what =
                        format!("`input` has {} items; at most {N_ITEMS_MAX} are served", n.len());
                    return Err(ErrorBody::invalid("input", what));
                }
                serde_json::from_str(input.get()).map_err(|error| invalid(&error))?
            }
            Some(input) => vec![input],
            None => Vec::new(),
        };
        let compacts =
            input.pop_if(|item| kind(item).is_some_and(|kind| kind == "compaction_trigger"));
        let compacts = compacts.is_some();
        let previous_response_id = head.previous_response_id;
        let store = head.store;
        Ok(Self {
            previous_response_id,
            conversation,
            store,
            background,
            truncates,
            compact_threshold,
            compacts,
            input,
            body,
        })
    }

    /// Items of the input that stand for stored ones, by their places and names.
    pub fn references(&self) -> Vec<(usize, String)> {
        #[derive(Deserialize)]
        struct Reference {
            r#type: String,
            id: String,
        }
        let reference = |(place, item): (usize, &&RawValue)| {
            let reference: Reference = serde_json::from_str(item.get()).ok()?;
            (reference.r#type == "item_reference").then_some((place, reference.id))
        };
        self.input.iter().enumerate().filter_map(reference).collect()
    }

    /// The body with other items as its input, each the text of one.
    ///
    /// # Errors
    /// As [`super::read`] has them.
    pub fn complete<'b>(
        &self,
        items: impl IntoIterator<Item = &'b str>,
    ) -> Result<Vec<u8>, ErrorBody> {
        let fields: BTreeMap<Cow<'_, str>, &RawValue> = json::read(self.body)?;
        let mut whole = Vec::with_capacity(self.body.len());
        whole.extend_from_slice(b"{\"input\":[");
        for (n, item) in items.into_iter().enumerate() {
            if n > 0 {
                whole.push(b',');
            }
            if item.starts_with('"') {
                // A text alone stands for a message of the user, but not in a list.
                whole.extend_from_slice(b"{\"role\":\"user\",\"content\":");
                whole.extend_from_slice(item.as_bytes());
                whole.push(b'}');
            } else {
                whole.extend_from_slice(item.as_bytes());
            }
        }
        whole.push(b']');
        for (name, value) in fields.iter().filter(|(name, _)| name.as_ref() != "input") {
            whole.push(b',');
            whole.extend_from_slice(Value::from(name.as_ref()).to_string().as_bytes());
            whole.push(b':');
            whole.extend_from_slice(value.get().as_bytes());
        }
        whole.push(b'}');
        Ok(whole)
    }
}

/// The type of an item that says it.
fn kind(item: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Kind {
        r#type: String,
    }
    serde_json::from_str(item.get()).ok().map(|Kind { r#type }| r#type)
}

/// The least of the thresholds; the published bound holds for each.
fn compact_threshold(managements: Vec<Management>) -> Result<Option<u64>, ErrorBody> {
    const PARAM: &str = "context_management";
    const THRESHOLD_MIN: u64 = 1000;
    let mut least = None;
    for Management { r#type, compact_threshold } in managements {
        if r#type != "compaction" {
            let what = format!(
                "`{PARAM}` of type `{}` is not served; `compaction` is",
                shorten(&r#type, WORD_CHARS)
            );
            return Err(ErrorBody::not_served(PARAM, what));
        }
        let threshold = compact_threshold.unwrap_or(u64::MAX);
        if threshold < THRESHOLD_MIN {
            let what =
                format!("`compact_threshold` is {threshold}; at least {THRESHOLD_MIN} is served");
            return Err(ErrorBody::invalid(PARAM, what));
        }
        least = Some(least.unwrap_or(threshold).min(threshold));
    }
    Ok(least)
}

fn invalid(error: &serde_json::Error) -> ErrorBody {
    ErrorBody::invalid("input", format!("`input` cannot be read: {error}"))
}
