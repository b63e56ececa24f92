//! A conversation made shorter: the messages of its people stay, the rest becomes a digest.
//!
//! It is made of the conversation's own words by fixed rules, so that the same conversation gives the
//! same digest, no model is asked, and nothing is invented. What it gives travels as the opaque content of
//! a `compaction` item, with a checksum: content that another server made says nothing to this one. Such an
//! item holds either a digest, which stands where it stands, or a window: all that a conversation has become,
//! whatever came before it.

use crate::{ErrorBody, Item, Role};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::Write;

/// How digests of this server begin.
const DIGEST: &str = "cerium1";

/// How its windows begin.
const WINDOW: &str = "cerium1window";

/// What stands before a digest where a model reads it.
const LEAD: &str = "What was said and done before:\n";

/// Bytes of the checksum that are kept.
const CHECK_BYTES: usize = 12;

/// How a step of a digest begins.
const STEP: &str = "- ";

/// Characters of one step in a digest.
const STEP_CHARS: usize = 600;

/// How much of a conversation is left, in tokens. What applications say stays in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Messages of people, whole.
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
    count: impl FnMut(&str) -> usize,
) -> Vec<String> {
    let mut whole: Vec<Value> = Vec::new();
    for &body in items {
        let item: Value = serde_json::from_str(body).unwrap_or_default();
        match sealed(&item) {
            Some(Sealed::Window(window)) => whole = window.iter().map(written).collect(),
            Some(Sealed::Digest(digest)) => whole.extend(told(&digest).as_ref().map(written)),
            None => whole.push(item),
        }
    }
    let (messages, digest) = shorten(&whole, budget, true, count);
    let mut left: Vec<String> = messages.into_iter().map(|n| whole[n].to_string()).collect();
    let content = seal(DIGEST, &digest);
    let item = json!({"type": "compaction", "id": id, "encrypted_content": content});
    left.push(item.to_string());
    left
}

/// What a conversation has become before it is gone on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folded {
    /// All that is left of it.
    pub items: Vec<Item>,
    /// The same as the content of a `compaction` item, which stands for everything before it.
    pub content: String,
}

/// Makes a conversation shorter that is not at rest: its newest items stay as they are, as far as they fit in
/// `recent` tokens, the last one in any case, and a call with its result; [`compact`] says what becomes of the
/// others, if there are any.
pub fn fold(
    items: &[Item],
    recent: usize,
    budget: Budget,
    mut count: impl FnMut(&str) -> usize,
) -> Folded {
    let (mut at, mut left) = (items.len(), recent);
    while at > 0 {
        let n = count(items[at - 1].text());
        if at < items.len() && n > left {
            break;
        }
        (at, left) = (at - 1, left.saturating_sub(n));
    }
    let calls = calls(items);
    let mut n = items.len();
    while n > at {
        n -= 1;
        at = at.min(calls[n].unwrap_or(at));
    }
    let (old, new) = items.split_at(at);
    let values: Vec<Value> = old.iter().map(written).collect();
    let keeps_newest = !new.iter().any(Item::is_of_a_person);
    let (messages, digest) = shorten(&values, budget, keeps_newest, count);
    let messages = messages.into_iter().map(|n| old[n].clone());
    let items: Vec<Item> = messages.chain(told(&digest)).chain(new.iter().cloned()).collect();
    let content = seal(WINDOW, &written(&items).to_string());
    Folded { items, content }
}

/// Where the call stands that an item is the result of.
fn calls(items: &[Item]) -> Vec<Option<usize>> {
    let mut last = HashMap::new();
    let calls = items.iter().enumerate().map(|(n, item)| {
        let id = item.call_id()?;
        if item.is_call() {
            last.insert(id, n);
            return None;
        }
        last.get(id).copied()
    });
    calls.collect()
}

fn written(item: &impl serde::Serialize) -> Value {
    serde_json::to_value(item).expect("wire types have only string keys")
}

/// Places of the messages that stay, in order, and the digest of everything else. If the newest message of a person
/// is what is being talked about (`keeps_newest`), it stays whatever its length.
fn shorten(
    items: &[Value],
    budget: Budget,
    mut keeps_newest: bool,
    mut count: impl FnMut(&str) -> usize,
) -> (Vec<usize>, String) {
    let (mut messages, mut steps) = (Vec::new(), Vec::new());
    let (mut n_messages, mut n_digest) = (budget.messages, budget.digest);
    let mut take = |text: &str, left: &mut usize| {
        let rest = if *left > 0 { left.checked_sub(count(text)) } else { None };
        *left = rest.unwrap_or(0);
        rest.is_some()
    };
    for (n, item) in items.iter().enumerate().rev() {
        let said = text(&item["content"]);
        // A digest of what was before is nobody's.
        let is_message = item["type"] == "message" && !said.starts_with(LEAD);
        let stays = match item["role"].as_str().filter(|_| is_message) {
            Some("system" | "developer") => true,
            Some("user") => std::mem::take(&mut keeps_newest) || take(&said, &mut n_messages),
            _ => false,
        };
        if stays {
            messages.push(n);
            continue;
        }
        let newest_first = self::steps(item, said).into_iter().rev();
        steps.extend(newest_first.filter(|step| take(step, &mut n_digest)));
    }
    messages.reverse();
    steps.reverse();
    (messages, steps.join("\n"))
}

/// What was said or done, in one or more lines each; `said` is the text of its content.
fn steps(item: &Value, said: String) -> Vec<String> {
    let field = |name: &str| item[name].as_str().unwrap_or_default();
    let (who, what) = match field("type") {
        "message" => match said.strip_prefix(LEAD) {
            Some(digest) => return steps_of(digest),
            None => (field("role").to_owned(), said),
        },
        "function_call" => (format!("called {}", field("name")), field("arguments").to_owned()),
        "custom_tool_call" => (format!("called {}", field("name")), field("input").to_owned()),
        "function_call_output" | "custom_tool_call_output" => {
            ("result".to_owned(), text(&item["output"]))
        }
        _ => return Vec::new(),
    };
    let what = what.trim();
    if what.is_empty() {
        return Vec::new();
    }
    let mut step = format!("{STEP}{who}: ");
    step.extend(what.chars().take(STEP_CHARS));
    if what.chars().nth(STEP_CHARS).is_some() {
        step.push_str(" ...");
    }
    vec![step]
}

/// Those of an earlier digest: they begin the new one.
fn steps_of(digest: &str) -> Vec<String> {
    let mut steps: Vec<String> = Vec::new();
    for line in digest.lines() {
        match steps.last_mut() {
            Some(step) if !line.starts_with(STEP) => {
                step.push('\n');
                step.push_str(line);
            }
            _ => steps.push(line.to_owned()),
        }
    }
    steps
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

/// A digest as a model reads it; none where there is nothing to tell.
pub(super) fn told(digest: &str) -> Option<Item> {
    (!digest.is_empty()).then(|| Item::message(Role::User, format!("{LEAD}{digest}")))
}

/// What a `compaction` item of this server holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sealed {
    /// What was said and done before.
    Digest(String),
    /// All that is left of what was before.
    Window(Vec<Item>),
}

/// Text as clients carry it.
fn seal(kind: &str, text: &str) -> String {
    format!("{kind}.{}.{}", STANDARD_NO_PAD.encode(text), check(kind, text))
}

/// What an item holds, if it is a `compaction` of this server.
fn sealed(item: &Value) -> Option<Sealed> {
    let content = item["encrypted_content"].as_str()?;
    (item["type"] == "compaction").then(|| open(content).ok())?
}

/// What a client brings back.
///
/// # Errors
/// `invalid_encrypted_content` for anything that is not as this server made it; `param` is left to be
/// set.
pub(super) fn open(content: &str) -> Result<Sealed, ErrorBody> {
    let opened = || {
        let (kind, rest) = content.split_once('.')?;
        let (text, sum) = rest.split_once('.')?;
        let text = String::from_utf8(STANDARD_NO_PAD.decode(text).ok()?).ok()?;
        match kind {
            _ if check(kind, &text) != sum => None,
            DIGEST => Some(Sealed::Digest(text)),
            WINDOW => serde_json::from_str(&text).ok().map(Sealed::Window),
            _ => None,
        }
    };
    opened().ok_or_else(|| {
        let what = "this compaction was not made by this server, or has been changed; begin again \
                    with the conversation itself";
        ErrorBody::invalid("encrypted_content", what).with_code("invalid_encrypted_content")
    })
}

fn check(kind: &str, text: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(kind);
    hash.update(text);
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
                Some(content) => {
                    let Sealed::Digest(digest) = open(content).unwrap() else { panic!("{item}") };
                    format!("({digest})")
                }
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

    fn call(id: &str, tool: &str) -> Item {
        let (call_id, name, arguments) = (id.to_owned(), tool.to_owned(), "{}".to_owned());
        Item::FunctionCall { call_id, name, namespace: None, arguments }
    }

    fn result(id: &str, output: &str) -> Item {
        Item::FunctionCallOutput { call_id: id.to_owned(), output: output.to_owned() }
    }

    #[test]
    fn what_is_new_stays_and_stands_for_what_was() {
        let count = |text: &str| text.split_whitespace().count();
        let items = [
            Item::message(Role::System, "be kind"),
            Item::message(Role::User, "what is here"),
            call("call_1", "ls"),
            result("call_1", "a.rs b.rs"),
            Item::message(Role::User, "read both"),
            call("call_1", "cat a"),
            call("call_2", "cat b"),
            result("call_1", "first file"),
            result("call_2", "second file"),
        ];
        let budget = Budget { messages: 2, digest: 100 };
        let folded = fold(&items, 2, budget, count);
        let digest = format!("{LEAD}- user: what is here\n- called ls: {{}}\n- result: a.rs b.rs");
        let left = [&items[0], &items[4], &Item::message(Role::User, &*digest)];
        let all: Vec<&Item> = left.into_iter().chain(&items[5..]).collect();
        assert_eq!(folded.items.iter().collect::<Vec<_>>(), all, "both results and their calls");
        assert_eq!(open(&folded.content).unwrap(), Sealed::Window(folded.items.clone()));

        // Again, when there is more: what was a digest begins the new one.
        let more = [&folded.items[..], &[Item::message(Role::User, "and now?")]].concat();
        let again = fold(&more, 0, budget, count);
        let texts: Vec<&str> = again.items.iter().map(Item::text).collect();
        let steps =
            "- called cat a: {}\n- called cat b: {}\n- result: first file\n- result: second file";
        assert_eq!(texts, ["be kind", "read both", &format!("{digest}\n{steps}"), "and now?"]);
        // A conversation that holds one is compacted from there on.
        let window = json!({"type": "compaction", "encrypted_content": again.content}).to_string();
        let (before, last) = (message("user", "long gone"), message("assistant", "nothing"));
        let told = format!("- called ls: {{}}\n- result: a.rs b.rs\n{steps}\n- assistant: nothing");
        assert_eq!(
            compacted(&[before, window, last], 100, 100),
            format!(
                "system: be kind\nuser: read both\nuser: and now?\n(- user: what is here\n{told})"
            )
        );
        // Of a digest that is too long its newest steps stay.
        let budget = Budget { digest: 18, ..budget };
        let last = fold(&more, 0, budget, count);
        assert_eq!(last.items[2].text(), format!("{LEAD}{steps}"));
        // Nothing is old.
        assert_eq!(fold(&items, 1000, budget, count).items, items);
        assert_eq!(fold(&items[8..], 0, budget, count).items, items[8..]);
    }

    #[test]
    fn content_of_others_is_refused() {
        let ours = seal(DIGEST, "- user: 🦀");
        assert_eq!(open(&ours).unwrap(), Sealed::Digest("- user: 🦀".to_owned()));
        let other = ours.replacen(DIGEST, WINDOW, 1);
        let no_items = seal(WINDOW, "{}");
        for bad in [
            "",
            "gAAAAABo",
            "cerium1.",
            "cerium1..",
            &ours[1..],
            &ours[..ours.len() - 1],
            &other,
            &no_items,
        ] {
            let code = open(bad).unwrap_err().code;
            assert_eq!(code.as_deref(), Some("invalid_encrypted_content"), "{bad}");
        }
        let changed = ours.replacen("LSB1", "LSB2", 1);
        assert!(changed != ours && open(&changed).is_err(), "{changed}");
    }
}
