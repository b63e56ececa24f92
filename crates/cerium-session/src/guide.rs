//! What bounds the calls of a model that chooses by itself, in a server that says so ([`Service::guided`]).
//!
//! Models of one or two billion parameters write calls well and choose them badly: they fill in arguments that
//! nobody needs, make the same call again and again, quote lines that no file has, and replace a file by what
//! they remember of it. What a conversation has shown says what makes sense in it, and nothing else is let through.
//!
//! [`Service::guided`]: crate::Service::guided

use crate::conversation::called;
use cerium_protocol::{Item, Role, Tool};

/// The tool that changes files, in Codex CLI and in what has learned from it.
pub(crate) const APPLY_PATCH: &str = "apply_patch";

/// The tool that types into a command that goes on, and what tells of such a command.
pub(crate) const WRITE_STDIN: &str = "write_stdin";
const RUNS: &str = "Process running with session ID";

/// Most lines of one output that may be quoted, and most bytes of a line: grammars are read anew for each answer.
const LINES_MAX: usize = 400;
const LINE_BYTES_MAX: usize = 400;

/// Most calls before the one that the person has asked for.
const CALLS_MAX: usize = 6;

/// Most names that one call may have named a file by.
const NAMES_MAX: usize = 8;

/// What a conversation leaves to be called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Guide {
    /// The tool whose last two calls were the same: another call would be a third one.
    pub(crate) again: Option<String>,
    /// What was looked at since the last person spoke or the last patch was made; without a look there is
    /// nothing to be patched.
    pub(crate) looks: Option<Vec<Look>>,
    /// Whether a command goes on, as far as its last output says.
    pub(crate) runs: bool,
    /// The call that the person has asked for, as long as it was not made.
    pub(crate) owed: Option<Owed>,
}

/// A call that somebody asked for by the tool's name and a colon, before anything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owed {
    pub(crate) name: String,
    /// Whether enough else was called.
    pub(crate) is_late: bool,
}

/// A call that showed files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// What may be a file's name in it.
    pub(crate) names: Vec<String>,
    pub(crate) lines: Vec<String>,
}

impl Guide {
    /// What follows from a conversation in which some tools may be called.
    pub(crate) fn of<'a>(items: impl IntoIterator<Item = &'a Item>, tools: &[Tool]) -> Self {
        let mut guide = Self::default();
        let mut calls: Vec<(&str, String, &str)> = Vec::new();
        for item in items {
            match item {
                Item::Message { role: Role::User, content } => {
                    calls.clear();
                    let (runs, owed) = (guide.runs, owed(content, tools));
                    guide = Self { runs, owed, ..Self::default() };
                }
                Item::FunctionCall { call_id, name, namespace, arguments: given }
                | Item::CustomToolCall { call_id, name, namespace, input: given } => {
                    let name = called(namespace.as_deref(), name);
                    let last = calls.last();
                    let is_again = last.is_some_and(|last| (&last.1, last.2) == (&name, given));
                    guide.again = is_again.then(|| name.clone());
                    if name == APPLY_PATCH {
                        guide.looks = None;
                    }
                    guide.owed = guide.owed.filter(|owed| owed.name != name);
                    calls.push((call_id, name, given));
                    if let Some(owed) = &mut guide.owed {
                        owed.is_late = calls.len() >= CALLS_MAX;
                    }
                }
                Item::FunctionCallOutput { call_id, output } => {
                    guide.runs = output.contains(RUNS);
                    let looks = guide.looks.get_or_insert_default();
                    let call = calls.iter().rfind(|call| call.0 == call_id);
                    let names = call.map(|call| names(call.2)).unwrap_or_default();
                    let lines = lines(output);
                    if !names.is_empty() && !lines.is_empty() {
                        looks.push(Look { names, lines });
                    }
                }
                _ => {}
            }
        }
        guide
    }
}

/// The call that a message asks for.
fn owed(content: &str, tools: &[Tool]) -> Option<Owed> {
    let (first, _) = content.trim_start().split_once(':')?;
    let mut names = tools.iter().map(|tool| called(tool.namespace.as_deref(), &tool.name));
    names.find(|name| name == first).map(|name| Owed { name, is_late: false })
}

/// What may be a file's name in the arguments of a call.
fn names(arguments: &str) -> Vec<String> {
    let Ok(serde_json::Value::Object(arguments)) = serde_json::from_str(arguments) else {
        return Vec::new();
    };
    let is_part = |c: char| c.is_alphanumeric() || "._/-".contains(c);
    let texts = arguments.values().filter_map(|value| value.as_str());
    let words = texts.flat_map(|text| text.split(|c| !is_part(c)));
    let mut names = Vec::new();
    for word in words.map(|word| word.trim_start_matches("./")) {
        let last = word.rsplit('/').next().unwrap_or_default();
        let is_name = !word.starts_with('-')
            && word.contains(['.', '/'])
            && last.contains(char::is_alphanumeric);
        if is_name && names.len() < NAMES_MAX && !names.iter().any(|name| name == word) {
            names.push(word.to_owned());
        }
    }
    names
}

/// The lines that a call gave; none if it failed. Codex CLI frames what commands give.
fn lines(output: &str) -> Vec<String> {
    let text = match output.split_once("\nOutput:\n") {
        Some((head, text)) if head.starts_with("Chunk ID:") => {
            if !head.contains("\nProcess exited with code 0") {
                return Vec::new();
            }
            text
        }
        _ => output,
    };
    let lines = text.lines().take(LINES_MAX).take_while(|line| line.len() <= LINE_BYTES_MAX);
    lines.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::{CALLS_MAX, Guide, Look};
    use cerium_protocol::{CustomFormat, Item, Role, Tool, ToolKind};

    fn tools() -> [Tool; 1] {
        let kind = ToolKind::Custom { format: CustomFormat::Text };
        let name = "apply_patch".into();
        [Tool { namespace: None, name, description: None, kind }]
    }

    fn run(id: &str, cmd: &str) -> Item {
        Item::FunctionCall {
            call_id: id.into(),
            name: "exec_command".into(),
            namespace: None,
            arguments: serde_json::json!({ "cmd": cmd }).to_string(),
        }
    }

    fn gave(id: &str, output: &str) -> Item {
        Item::FunctionCallOutput { call_id: id.into(), output: output.into() }
    }

    fn patch() -> Item {
        let (name, input) = ("apply_patch".into(), String::new());
        Item::CustomToolCall { call_id: "p".into(), name, namespace: None, input }
    }

    #[test]
    fn a_conversation_says_what_may_be_called() {
        let person = Item::message(Role::User, "a");
        let framed = |code: u8, text: &str| {
            format!("Chunk ID: 1\nProcess exited with code {code}\nOutput:\n{text}")
        };
        let mut items = vec![person.clone()];
        assert_eq!(Guide::of(&items, &tools()), Guide::default());

        items.extend([run("1", "cat ./src/a.py -n | head"), gave("1", &framed(0, "x\n\ny\n"))]);
        let look = Look {
            names: vec!["src/a.py".into()],
            lines: vec!["x".into(), String::new(), "y".into()],
        };
        assert_eq!(
            Guide::of(&items, &tools()),
            Guide { looks: Some(vec![look.clone()]), ..Guide::default() }
        );

        // What failed shows nothing, and says that something was looked for.
        let failed = [person.clone(), run("1", "cat a.py"), gave("1", &framed(1, "No such file"))];
        assert_eq!(Guide::of(&failed, &tools()).looks, Some(Vec::new()));

        items.extend([run("2", "ls"), gave("2", "a.py"), run("3", "ls"), gave("3", "a.py")]);
        let guide = Guide::of(&items, &tools());
        let again = Some("exec_command".into());
        assert_eq!(guide, Guide { again, looks: Some(vec![look]), ..Guide::default() });

        // After a patch the lines are others.
        items.push(patch());
        assert_eq!(Guide::of(&items, &tools()), Guide::default());
        items.extend([gave("p", "Success."), run("4", "ls")]);
        assert_eq!(Guide::of(&items, &tools()).again, None);
        items.extend([run("5", "top"), gave("5", "Process running with session ID 7"), person]);
        assert_eq!(Guide::of(&items, &tools()), Guide { runs: true, ..Guide::default() });
    }
    #[test]
    fn a_message_that_begins_with_a_tool_asks_for_it() {
        let owed = |items: &[Item]| Guide::of(items, &tools()).owed;
        let mut items = vec![Item::message(Role::User, "apply_patch: say hi, not hello")];
        assert!(owed(&items).is_some_and(|owed| owed.name == "apply_patch" && !owed.is_late));
        for id in 0..CALLS_MAX {
            items.push(run(&id.to_string(), &format!("cat {id}")));
        }
        assert!(owed(&items).is_some_and(|owed| owed.is_late));
        items.push(patch());
        assert_eq!(owed(&items), None);
        for other in ["Never apply_patch: look", "run: a", "apply_patch", ""] {
            assert_eq!(owed(&[Item::message(Role::User, other)]), None, "{other}");
        }
    }
}
