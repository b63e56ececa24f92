//! A conversation made shorter: the messages of its people stay, the rest becomes a digest.
//!
//! It is made of the conversation's own words by fixed rules, so that the same conversation gives the
//! same digest, no model is asked, and nothing is invented. The digest travels as the opaque content of
//! a `compaction` item, with a checksum: content that another server made says nothing to this one.

use crate::ErrorBody;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// How content of this server begins.
const SEAL: &str = "cerium1";

/// Bytes of the checksum that are kept.
const CHECK_BYTES: usize = 12;

/// Characters of one step in a digest.
const STEP_CHARS: usize = 600;

/// How much of a conversation is left, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Messages of people and applications, whole.
    pub messages: usize,
    /// The digest of everything else.
    pub digest: usize,
}

/// The items that stand for `items` from now on, each as JSON: the newest messages that fit, in order,
/// then one item named `id`. `count` tells how many tokens a text has.
pub fn compact(
    items: &[&str],
    budget: Budget,
    id: &str,
    mut count: impl FnMut(&str) -> usize,
) -> Vec<String> {
    let (mut messages, mut steps) = (Vec::new(), Vec::new());
    let (mut n_messages, mut n_digest) = (budget.messages, budget.digest);
    let mut take = |text: &str, left: &mut usize| {
        let n = count(text);
        let fits = n <= *left;
        *left = if fits { *left - n } else { 0 };
        fits
    };
    for &body in items.iter().rev() {
        let item: Value = serde_json::from_str(body).unwrap_or_default();
        let is_message = item["type"] == "message" && item["role"] != "assistant";
        let said = text(&item["content"]);
        // The newest message stays whatever its length: it is what is being talked about.
        if is_message && (messages.is_empty() || take(&said, &mut n_messages)) {
            messages.push(body.to_owned());
        } else if let Some(step) = step(&item)
            && take(&step, &mut n_digest)
        {
            steps.push(step);
        }
    }
    messages.reverse();
    steps.reverse();
    let item =
        json!({"type": "compaction", "id": id, "encrypted_content": seal(&steps.join("\n"))});
    messages.push(item.to_string());
    messages
}

/// One line or more about something that was said or done.
fn step(item: &Value) -> Option<String> {
    let field = |name: &str| item[name].as_str().unwrap_or_default();
    let (who, what) = match field("type") {
        "message" => (field("role").to_owned(), text(&item["content"])),
        "function_call" => (format!("called {}", field("name")), field("arguments").to_owned()),
        "custom_tool_call" => (format!("called {}", field("name")), field("input").to_owned()),
        "function_call_output" | "custom_tool_call_output" => {
            ("result".to_owned(), text(&item["output"]))
        }
        // A digest of what was before that: it begins the new one.
        "compaction" => {
            return open(field("encrypted_content")).ok().filter(|text| !text.is_empty());
        }
        _ => return None,
    };
    let what = what.trim();
    if what.is_empty() {
        return None;
    }
    let mut step = format!("- {who}: ");
    step.extend(what.chars().take(STEP_CHARS));
    if what.chars().nth(STEP_CHARS).is_some() {
        step.push_str(" ...");
    }
    Some(step)
}

/// Text of a content that is a text or a list of parts.
fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
            texts.join("\n")
        }
        _ => String::new(),
    }
}

/// A digest as clients carry it.
fn seal(digest: &str) -> String {
    format!("{SEAL}.{}.{}", STANDARD_NO_PAD.encode(digest), check(digest))
}

/// The digest that a client brings back.
///
/// # Errors
/// `invalid_encrypted_content` for anything that is not as this server made it; `param` is left to be
/// set.
pub(super) fn open(content: &str) -> Result<String, ErrorBody> {
    let digest = || {
        let (text, sum) = content.strip_prefix(SEAL)?.strip_prefix('.')?.split_once('.')?;
        let text = String::from_utf8(STANDARD_NO_PAD.decode(text).ok()?).ok()?;
        (check(&text) == sum).then_some(text)
    };
    digest().ok_or_else(|| {
        let what = "this compaction was not made by this server, or has been changed; begin again \
                    with the conversation itself";
        ErrorBody::invalid("encrypted_content", what).with_code("invalid_encrypted_content")
    })
}

fn check(digest: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(SEAL);
    hash.update(digest);
    let mut sum = String::new();
    for byte in &hash.finalize()[..CHECK_BYTES] {
        write!(sum, "{byte:02x}").expect("a string takes all");
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(role: &str, text: &str) -> String {
        json!({"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]})
            .to_string()
    }

    /// What is left, one line an item, with words for tokens.
    fn compacted(items: &[String], messages: usize, digest: usize) -> String {
        let items: Vec<&str> = items.iter().map(String::as_str).collect();
        let budget = Budget { messages, digest };
        let count = |text: &str| text.split_whitespace().count();
        let left = compact(&items, budget, "cmp_1", count);
        let line = |item: &String| {
            let item: Value = serde_json::from_str(item).unwrap();
            match item["encrypted_content"].as_str() {
                Some(content) => format!("({})", open(content).unwrap()),
                None => format!("{}: {}", item["role"].as_str().unwrap(), text(&item["content"])),
            }
        };
        left.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn messages_stay_and_the_rest_is_a_digest() {
        let call = json!({"type": "function_call", "name": "ls", "arguments": "{}"}).to_string();
        let result = json!({"type": "function_call_output", "output": "a.rs"}).to_string();
        let reasoning = json!({"type": "reasoning", "summary": []}).to_string();
        let items = [
            message("user", "one two"),
            reasoning,
            call,
            result,
            message("assistant", "there is a.rs"),
            message("user", "three four five"),
        ];
        let all = "user: one two\nuser: three four five\n\
                   (- called ls: {}\n- result: a.rs\n- assistant: there is a.rs)";
        assert_eq!(compacted(&items, 100, 100), all);
        assert_eq!(compacted(&items, 100, 100), all, "the same again");
        // The newest message is not counted; the older one has no room, nor have older steps.
        assert_eq!(
            compacted(&items, 1, 9),
            "user: three four five\n(- result: a.rs\n- assistant: there is a.rs)"
        );
        // What is left can be made shorter again, and says the same.
        let items: Vec<&str> = items.iter().map(String::as_str).collect();
        let budget = Budget { messages: 100, digest: 100 };
        let once = compact(&items, budget, "cmp_1", str::len);
        assert_eq!(compacted(&once, 1000, 1000), all);
    }

    #[test]
    fn content_of_others_is_refused() {
        let ours = seal("- user: 🦀");
        assert_eq!(open(&ours).unwrap(), "- user: 🦀");
        for bad in ["", "gAAAAABo", "cerium1.", "cerium1..", &ours[1..], &ours[..ours.len() - 1]] {
            let code = open(bad).unwrap_err().code;
            assert_eq!(code.as_deref(), Some("invalid_encrypted_content"), "{bad}");
        }
        let changed = ours.replacen("LSB1", "LSB2", 1);
        assert!(changed != ours && open(&changed).is_err(), "{changed}");
    }
}
