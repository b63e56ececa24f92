//! The beginning and the end of a call: what stands around its arguments.

use serde_json::Value;

/// How a call is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An object, then `</tool_call>`.
    Hermes,
    /// An object; another one may follow behind a semicolon.
    Bare,
    /// An object in a fence.
    Fenced,
    /// A list of objects, or a name, `[ARGS]` and arguments.
    List,
    /// A header up to `<|message|>`, then arguments.
    Channel,
    /// A name, `">` and text.
    Custom,
}

/// A call whose arguments have not come yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    /// The mark before it, as it was written.
    pub(super) mark: String,
}

/// What the beginning of a call says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing yet.
    More,
    /// That it is none.
    No,
    /// That it can only be read as a whole.
    Whole,
    /// The name of a function; its arguments begin after `n` bytes.
    Function { name: String, n: usize },
    /// The name of a tool that takes text; it begins after `n` bytes.
    Custom { name: String, n: usize },
    /// That a thought follows, after `n` bytes.
    Thought { n: usize },
    /// That something said follows, after `n` bytes.
    Text { n: usize },
}

/// What follows a call's arguments.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// Not known yet.
    More,
    /// Nothing that belongs to it, after `n` bytes.
    End { n: usize },
    /// Another call, after `n` bytes.
    Another { n: usize },
}

impl Head {
    /// Reads the beginning of a call.
    pub(super) fn read(&self, text: &str) -> Found {
        match self.kind {
            Kind::Hermes | Kind::Bare | Kind::Fenced => object(text, 0),
            Kind::List => {
                let start = text.len() - text.trim_start().len();
                match text[start..].chars().next() {
                    None => Found::More,
                    Some('[') => object(text, start + 1),
                    Some('{') => object(text, start),
                    Some(_) => named(&text[start..], start),
                }
            }
            Kind::Channel => channel(text),
            Kind::Custom => match text.split_once("\">\n") {
                Some((name, _)) => Found::Custom { name: name.to_owned(), n: name.len() + 3 },
                None if text.contains('\n') => Found::No,
                None => Found::More,
            },
        }
    }

    /// Where the object of a call begins.
    pub(super) fn json_start(&self, text: &str) -> usize {
        match self.kind {
            Kind::Channel => text.find("<|message|>").map_or(0, |at| at + "<|message|>".len()),
            _ => text.find('{').unwrap_or(0),
        }
    }

    /// Name and arguments of a call, in any order.
    pub(super) fn taken_apart(&self, call: &Value) -> Option<(String, Value)> {
        let call = call.get("function").filter(|function| function.is_object()).unwrap_or(call);
        let name = call.get("name")?.as_str()?.to_owned();
        let given = call.get("arguments").or_else(|| call.get("parameters")).cloned();
        // Where no mark says that it is a call, an object with a name may be anything.
        let none = (!matches!(self.kind, Kind::Bare | Kind::Fenced))
            .then(|| Value::Object(serde_json::Map::new()));
        Some((name, given.or(none)?))
    }

    /// Reads what follows the arguments. `closed`: whether the object around them has ended.
    pub(super) fn tail(&self, text: &str, closed: bool) -> Tail {
        let mut rest = text.trim_start();
        if !closed && self.kind != Kind::Channel && !self.mark_names() {
            match rest.strip_prefix('}') {
                Some(after) => rest = after.trim_start(),
                None if rest.is_empty() => return Tail::More,
                // Something that no call has; it is said.
                None => return Tail::End { n: 0 },
            }
        }
        let n = |rest: &str| text.len() - rest.len();
        match self.kind {
            Kind::Channel | Kind::Custom => Tail::End { n: 0 },
            Kind::Hermes | Kind::Fenced => {
                let mark = if self.kind == Kind::Hermes { "</tool_call>" } else { "```" };
                match rest.strip_prefix(mark) {
                    Some(after) => Tail::End { n: n(after) },
                    None if mark.starts_with(rest) => Tail::More,
                    None => Tail::End { n: n(rest) },
                }
            }
            Kind::Bare => match rest.strip_prefix(';') {
                Some(after) => Tail::Another { n: n(after) },
                None if rest.is_empty() => Tail::More,
                None => Tail::End { n: n(rest) },
            },
            Kind::List => match rest.chars().next() {
                None => Tail::More,
                Some(',') => Tail::Another { n: n(&rest[1..]) },
                Some(']') => Tail::End { n: n(&rest[1..]) },
                Some(_) => Tail::End { n: n(rest) },
            },
        }
    }

    /// Whether the name stands outside of any object.
    fn mark_names(&self) -> bool {
        self.mark.ends_with(ARGS)
    }
}

/// Between a name and its arguments.
const ARGS: &str = "[ARGS]";

/// `{"name": "NAME", "arguments": {`, from `start` on.
fn object(text: &str, start: usize) -> Found {
    let mut scan = Scan { text, at: start };
    let parts =
        [Want::Char('{'), Want::Key(&["name"]), Want::Char(':'), Want::Name, Want::Char(',')];
    let mut name = String::new();
    for part in parts {
        match scan.take(&part) {
            Taken::Some(found) => name = found.unwrap_or(name),
            Taken::More => return Found::More,
            Taken::Other if part == Want::Char('{') => return Found::No,
            Taken::Other => return Found::Whole,
        }
    }
    for part in [Want::Key(&["arguments", "parameters"]), Want::Char(':')] {
        match scan.take(&part) {
            Taken::Some(_) => {}
            Taken::More => return Found::More,
            Taken::Other => return Found::Whole,
        }
    }
    scan.spaces();
    match text[scan.at..].chars().next() {
        None => Found::More,
        Some('{') => Found::Function { name, n: scan.at },
        Some(_) => Found::Whole,
    }
}

/// `NAME[ARGS]{`; `n_before` bytes stand before it.
fn named(text: &str, n_before: usize) -> Found {
    let Some((name, rest)) = text.split_once(ARGS) else {
        return if text.contains(['{', '\n', ' ']) { Found::No } else { Found::More };
    };
    let name = name.split("[CALL_ID]").next().unwrap_or_default().trim().to_owned();
    match rest.trim_start().chars().next() {
        None => Found::More,
        Some('{') => Found::Function { name, n: n_before + text.len() - rest.trim_start().len() },
        Some(_) => Found::No,
    }
}

/// A header of gpt-oss: who speaks, in which channel, to whom.
fn channel(text: &str) -> Found {
    const MESSAGE: &str = "<|message|>";
    let Some((header, rest)) = text.split_once(MESSAGE) else { return Found::More };
    let n = header.len() + MESSAGE.len();
    let to = header.split_once("to=").map(|(_, to)| to);
    let to = to.and_then(|to| to.split([' ', '<']).next());
    match to {
        Some(to) => {
            let name = to.strip_prefix("functions.").unwrap_or(to).to_owned();
            match rest.trim_start().chars().next() {
                None => Found::More,
                Some('{') => Found::Function { name, n },
                Some(_) => Found::No,
            }
        }
        None if header.contains("analysis") => Found::Thought { n },
        None => Found::Text { n },
    }
}

#[derive(PartialEq)]
enum Want {
    Char(char),
    Key(&'static [&'static str]),
    Name,
}

enum Taken {
    Some(Option<String>),
    More,
    Other,
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl Scan<'_> {
    fn spaces(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn take(&mut self, want: &Want) -> Taken {
        self.spaces();
        let rest = &self.text[self.at..];
        if rest.is_empty() {
            return Taken::More;
        }
        if let Want::Char(c) = want {
            if !rest.starts_with(*c) {
                return Taken::Other;
            }
            self.at += c.len_utf8();
            return Taken::Some(None);
        }
        let mut strings = serde_json::Deserializer::from_str(rest).into_iter::<String>();
        match strings.next() {
            Some(Ok(text)) => {
                self.at += strings.byte_offset();
                match want {
                    Want::Key(keys) if !keys.contains(&text.as_str()) => Taken::Other,
                    _ => Taken::Some(Some(text).filter(|_| *want == Want::Name)),
                }
            }
            Some(Err(error)) if error.is_eof() => Taken::More,
            _ => Taken::Other,
        }
    }
}

/// What a tool is given that takes text, if it is called as if it were a function of one argument.
pub(super) fn input(given: &Value) -> Option<String> {
    match given {
        Value::String(text) => Some(text.clone()),
        Value::Object(fields) => match fields.values().next() {
            Some(Value::String(text)) if fields.len() == 1 => Some(text.clone()),
            _ => None,
        },
        _ => None,
    }
}
