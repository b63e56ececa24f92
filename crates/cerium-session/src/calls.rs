//! Calls and thoughts in what a model writes.
//!
//! Models write calls of tools into their text, each family between marks of its own ([`Style`]). A
//! [`Reader`] takes the text as it comes, in pieces cut anywhere, and tells what is said, what is thought,
//! what is called and with what; the arguments of a call are told while they are written, without needless
//! spaces. What only looks like a call (a name that is no tool, JSON that is none) was something said.

mod head;
mod json;
mod style;

#[cfg(test)]
mod tests;

pub(crate) use style::Style;

use crate::conversation::{CLOSING_TAG, called};
use crate::json_text::Respaced;
use cerium_protocol::{Tool, ToolKind};
use head::{Found, Head, Tail};
use json::Json;

/// Longest head of a call, up to its arguments, and longest call that is read as a whole.
const HEAD_BYTES_MAX: usize = 4096;
const WHOLE_BYTES_MAX: usize = 1 << 20;

/// Something that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// More of what is said.
    Text(String),
    /// More of what is thought.
    Thought(String),
    /// A tool is called: its place among the tools.
    Call(usize),
    /// More of what it is given.
    Given(String),
}

/// Reads one answer.
#[derive(Debug)]
pub(crate) struct Reader {
    style: Style,
    /// Names that tools are called by, and whether they take text.
    tools: Vec<(String, bool)>,
    /// Whether an answer may begin with a call that no mark tells of.
    unmarked: bool,
    state: State,
    /// Text that was not told yet: what it is depends on what comes.
    held: String,
    /// Whether a call has just ended: spaces between calls say nothing.
    after_call: bool,
    /// Whether anything was told.
    begun: bool,
    out: Vec<Piece>,
}

#[derive(Clone, Debug)]
enum State {
    Text,
    Thought,
    /// Between a mark and the arguments.
    Head(Head),
    /// In the arguments of a function.
    Arguments {
        json: Json,
        respaced: Respaced,
        head: Head,
    },
    /// A call whose parts come in another order: until its last brace.
    Whole {
        json: Json,
        head: Head,
    },
    /// In what a tool is given that takes text.
    Custom,
    /// Between the arguments and the end of a call.
    Tail {
        head: Head,
        closed: bool,
    },
}

impl Reader {
    /// Reads an answer of a model that writes in this `style` and may call `tools`. `thinks`: whether the
    /// answer begins in the middle of a thought.
    pub(crate) fn new(style: Style, tools: &[Tool], thinks: bool) -> Self {
        let tool = |tool: &Tool| {
            let is_custom = matches!(tool.kind, ToolKind::Custom { .. });
            (called(tool.namespace.as_deref(), &tool.name), is_custom)
        };
        // Masks begin at the marks: only those keep arguments to a schema.
        let strict = |tool: &Tool| matches!(tool.kind, ToolKind::Function { strict: true, .. });
        let unmarked = style == Style::Llama || !tools.iter().any(strict);
        Self {
            style,
            tools: tools.iter().map(tool).collect(),
            unmarked: unmarked && !tools.is_empty(),
            state: if thinks { State::Thought } else { State::Text },
            held: String::new(),
            after_call: false,
            begun: false,
            out: Vec::new(),
        }
    }

    /// Takes more text; what can be told now.
    pub(crate) fn push(&mut self, text: &str) -> Vec<Piece> {
        self.held.push_str(text);
        while self.step(false) {}
        std::mem::take(&mut self.out)
    }

    /// The answer is over.
    pub(crate) fn finish(&mut self) -> Vec<Piece> {
        while self.step(true) {}
        std::mem::take(&mut self.out)
    }

    /// Takes something off what is held; false when nothing can be told of it yet.
    fn step(&mut self, ended: bool) -> bool {
        let cut_short = ended && matches!(self.state, State::Head(_));
        if self.held.is_empty() && !cut_short {
            return false;
        }
        match self.state.clone() {
            State::Text => self.text(ended),
            State::Thought => self.thought(ended),
            State::Head(head) => self.head(head, ended),
            State::Arguments { json, respaced, head } => self.arguments(json, respaced, head),
            State::Whole { json, head } => self.whole(json, head, ended),
            State::Custom => self.custom(ended),
            State::Tail { head, closed } => self.tail(&head, closed, ended),
        }
    }

    fn text(&mut self, ended: bool) -> bool {
        if self.after_call && !ended {
            let n = self.held.len() - self.held.trim_start().len();
            self.held.drain(..n);
            if self.held.is_empty() {
                return false;
            }
        }
        let unmarked = self.unmarked && !self.begun;
        let found = self.style.opening(&self.held, !self.tools.is_empty(), unmarked, ended);
        match found {
            style::Opening::None { n_said } => {
                let mut n = n_said;
                if !ended {
                    // Spaces before a call say nothing either.
                    n = self.held[..n].trim_end().len();
                }
                if self.after_call && self.held[..n].trim().is_empty() {
                    if ended {
                        self.held.clear();
                    }
                    return false;
                }
                self.say(n)
            }
            style::Opening::At { start, end, opens } => {
                let said = self.held[..start].trim_end().len();
                self.say(said);
                // With the spaces before it, which say something if it is no call.
                let mark = self.held.drain(..end - said).collect();
                self.state = match opens {
                    style::Opens::Thought => State::Thought,
                    style::Opens::Call(kind) => State::Head(Head { kind, mark }),
                    style::Opens::Nothing => State::Text,
                };
                true
            }
        }
    }

    /// Tells the first `n` bytes as said; whether there were any.
    fn say(&mut self, n: usize) -> bool {
        if n == 0 {
            return false;
        }
        self.after_call = false;
        self.begun = true;
        let text = self.held.drain(..n).collect();
        self.out.push(Piece::Text(text));
        true
    }

    fn thought(&mut self, ended: bool) -> bool {
        let (at, length) = self.style.thought_end(&self.held);
        if let Some(at) = at {
            self.think(at);
            self.held.drain(..length);
            self.after_call = true; // Empty lines between thought and speech.
            self.state = State::Text;
            return true;
        }
        let n = if ended { self.held.len() } else { self.held.len() - length };
        self.think(n) > 0
    }

    /// Tells the first `n` bytes as thought, less the spaces at its edges.
    fn think(&mut self, n: usize) -> usize {
        let mut n = n;
        if !self.begun {
            let blank = self.held[..n].len() - self.held[..n].trim_start().len();
            self.held.drain(..blank);
            n -= blank;
        }
        let text: String = self.held.drain(..n).collect();
        if !text.is_empty() {
            self.begun = true;
            self.out.push(Piece::Thought(text));
        }
        n
    }

    fn head(&mut self, head: Head, ended: bool) -> bool {
        match head.read(&self.held) {
            Found::More if ended || self.held.len() > HEAD_BYTES_MAX => self.no_call(&head),
            Found::More => false,
            Found::No => self.no_call(&head),
            Found::Whole => {
                self.state = State::Whole { json: Json::default(), head };
                true
            }
            Found::Custom { name, n } => {
                let Some(tool) = self.tool(&name, true) else { return self.no_call(&head) };
                self.call(tool, n, State::Custom)
            }
            Found::Function { name, n } => match self.tool(&name, false) {
                Some(tool) => {
                    let (json, respaced) = (Json::default(), Respaced::default());
                    let head = Head { mark: self.held[..n].to_owned(), ..head };
                    self.call(tool, n, State::Arguments { json, respaced, head })
                }
                // A tool that takes text, called as if it were a function.
                None if self.tool(&name, true).is_some() => {
                    self.state = State::Whole { json: Json::default(), head };
                    true
                }
                None => self.no_call(&head),
            },
            Found::Thought { n } => self.turn(n, State::Thought),
            Found::Text { n } => self.turn(n, State::Text),
        }
    }

    /// Leaves out the next `n` bytes, and goes on reading something else.
    fn turn(&mut self, n: usize, state: State) -> bool {
        self.held.drain(..n);
        self.state = state;
        true
    }

    fn tool(&self, name: &str, is_custom: bool) -> Option<usize> {
        self.tools.iter().position(|tool| tool.0 == name && tool.1 == is_custom)
    }

    fn call(&mut self, tool: usize, n_head: usize, state: State) -> bool {
        self.held.drain(..n_head);
        self.begun = true;
        self.out.push(Piece::Call(tool));
        self.state = state;
        true
    }

    /// What looked like a call was something said.
    fn no_call(&mut self, head: &Head) -> bool {
        self.held.insert_str(0, &head.mark);
        self.state = State::Text;
        let n = head.mark.len();
        if n == 0 {
            // Nothing marked it: what follows is not looked at again.
            self.begun = true;
            return true;
        }
        self.say(n)
    }

    fn arguments(&mut self, mut json: Json, mut respaced: Respaced, head: Head) -> bool {
        let (n, is_over) = json.read(&self.held);
        let mut given = String::new();
        respaced.push(&self.held[..n], &mut given);
        self.held.drain(..n);
        if !given.is_empty() {
            self.out.push(Piece::Given(given));
        }
        self.state = if is_over {
            State::Tail { head, closed: false }
        } else {
            State::Arguments { json, respaced, head }
        };
        is_over
    }

    fn whole(&mut self, mut json: Json, head: Head, ended: bool) -> bool {
        let start = head.json_start(&self.held);
        let (n, is_over) = json.read(&self.held[start..]);
        if !is_over {
            let goes_on = !ended && self.held.len() <= WHOLE_BYTES_MAX;
            return if goes_on { false } else { self.no_call(&head) };
        }
        let object = serde_json::from_str(&self.held[start..start + n]).ok();
        let Some((name, given)): Option<(String, serde_json::Value)> =
            object.and_then(|object| head.taken_apart(&object))
        else {
            return self.no_call(&head);
        };
        let (tool, given) = match (self.tool(&name, false), self.tool(&name, true), given) {
            (Some(tool), _, serde_json::Value::String(text)) => {
                let Ok(value) = serde_json::from_str::<serde_json::Value>(&text) else {
                    return self.no_call(&head);
                };
                (tool, value.to_string())
            }
            (Some(tool), _, given) => (tool, given.to_string()),
            (None, Some(tool), given) => {
                let Some(input) = head::input(&given) else { return self.no_call(&head) };
                (tool, input)
            }
            (None, None, _) => return self.no_call(&head),
        };
        self.call(tool, start + n, State::Tail { head, closed: true });
        self.out.push(Piece::Given(given));
        true
    }

    fn custom(&mut self, ended: bool) -> bool {
        if let Some(at) = self.held.find(CLOSING_TAG) {
            self.give(at);
            self.held.drain(..CLOSING_TAG.len());
            self.after_call = true;
            self.state = State::Text;
            return true;
        }
        let n_begun = if ended { 0 } else { style::begun(&self.held, CLOSING_TAG) };
        self.give(self.held.len() - n_begun)
    }

    fn give(&mut self, n: usize) -> bool {
        if n > 0 {
            let given = self.held.drain(..n).collect();
            self.out.push(Piece::Given(given));
        }
        n > 0
    }

    fn tail(&mut self, head: &Head, closed: bool, ended: bool) -> bool {
        match head.tail(&self.held, closed) {
            Tail::More if ended => self.turn(self.held.len(), State::Text),
            Tail::More => false,
            Tail::End { n } => {
                self.after_call = true;
                self.turn(n, State::Text)
            }
            Tail::Another { n } => {
                self.turn(n, State::Head(Head { mark: String::new(), ..head.clone() }))
            }
        }
    }
}
