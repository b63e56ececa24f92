//! Conversations that only grow: what further turns add is rendered without the turns before them.
//!
//! A template is a program and may do anything with all turns. Most only append, and then what is appended
//! depends on little of what stands before: whether a system message opens the conversation, whether there
//! are tools, who spoke last. For each such [`Ending`] a few conversations are rendered whole, once: where what
//! they add is always the same, ids for ids, as what is added to the smallest conversation that ends so, tails are
//! rendered behind that one and its own ids cut off. Where it is not, there are no tails.
//!
//! A cut is between ids, so that nothing on its one side merges with the other: a control token stands at it.

use std::sync::OnceLock;

use super::{Call, ChatTemplate, Message};
use crate::tokenizer::Tokenizer;

/// What further turns may be rendered by, of the conversation before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// It begins with a system message.
    pub opens_with_system: bool,
    /// There are tools.
    pub tools: bool,
    /// Who spoke last.
    pub last: Speaker,
    /// Calls so far: they are counted.
    pub n_calls: usize,
}

/// Who may speak last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// The application.
    System,
    /// The person.
    User,
    /// A tool.
    Tool,
}

/// What turns follow: there are templates that only grow while nobody asks anything new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum More {
    /// Answers, calls and what they gave.
    Work,
    /// The person speaks, too.
    Asks,
    /// And the application.
    Instructs,
}

/// Number of kinds of endings, and of all that may follow them.
const N_ENDINGS: usize = 3 * 2 * 2;
const N_KINDS: usize = N_ENDINGS * 3;

/// What is known of how a template lets conversations grow, as far as anybody asked.
#[derive(Debug)]
pub(super) struct Growth {
    stubs: [OnceLock<Option<Stub>>; N_ENDINGS],
    only_grows: [OnceLock<bool>; N_KINDS],
}

impl Default for Growth {
    fn default() -> Self {
        Self {
            stubs: [const { OnceLock::new() }; N_ENDINGS],
            only_grows: [const { OnceLock::new() }; N_KINDS],
        }
    }
}

/// The smallest conversation that ends in a way.
#[derive(Debug)]
struct Stub {
    turns: Vec<Message>,
    tools: Vec<String>,
    closed: Vec<u32>,
    /// What opens the model's turn behind it.
    opening: Vec<u32>,
}

/// The smallest tool there is.
const TOOL: &str = r#"{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object","properties":{"a":{"type":"string"}}}}}"#;

impl ChatTemplate {
    /// Ids that further turns add to a conversation that ends so, with those that open the model's turn; and how
    /// many the latter are. `None` where they cannot be told without the conversation.
    ///
    /// * `more`: what `answers` is in them counts from the conversation's first call
    pub fn encode_more(
        &self,
        tok: &Tokenizer,
        ending: Ending,
        more: &[Message],
    ) -> Option<(Vec<u32>, usize)> {
        // Where thoughts are shown depends on who speaks after them; outputs of one turn stand together.
        let thinks = |turn: &Message| turn.reasoning.is_some() || turn.content.contains("</think>");
        if more.iter().any(thinks) || more.first()?.role == "tool" {
            return None;
        }
        let has = |role: &str| more.iter().any(|turn| turn.role == role);
        let follows = match (has("system"), has("user")) {
            (true, _) => More::Instructs,
            (false, true) => More::Asks,
            (false, false) => More::Work,
        };
        let kind = ending.kind() * 3 + follows as usize;
        let only_grows = &self.growth.only_grows[kind];
        let only_grows = only_grows.get_or_init(|| self.only_grows(tok, ending, follows));
        only_grows.then(|| self.tail(tok, ending, more))?
    }

    /// The ids that open the model's turn behind a conversation that ends so.
    pub fn opening(&self, tok: &Tokenizer, ending: Ending) -> Option<&[u32]> {
        self.stub(tok, ending).map(|stub| &stub.opening[..])
    }

    fn stub(&self, tok: &Tokenizer, ending: Ending) -> Option<&Stub> {
        let make = || {
            let turns = ending.smallest();
            let tools = if ending.tools { vec![TOOL.to_owned()] } else { Vec::new() };
            let closed = self.encode(tok, &turns, &tools, false).ok()?;
            let opened = self.encode(tok, &turns, &tools, true).ok()?;
            let opening = opened.strip_prefix(&closed[..])?.to_vec();
            Some(Stub { turns, tools, closed, opening })
        };
        self.growth.stubs[ending.kind()].get_or_init(make).as_ref()
    }

    /// The tail behind the smallest conversation.
    fn tail(&self, tok: &Tokenizer, ending: Ending, more: &[Message]) -> Option<(Vec<u32>, usize)> {
        let Stub { turns, tools, closed, opening } = self.stub(tok, ending)?;
        let whole = self.encode_turns(tok, turns, (more, ending.n_calls), tools, true).ok()?;
        let tail = whole.strip_prefix(&closed[..])?;
        let is_control = |id: Option<&u32>| id.is_some_and(|&id| tok.is_control(id));
        let is_cut = is_control(closed.last()) || is_control(tail.first());
        (is_cut && tail.ends_with(opening)).then(|| (tail.to_vec(), opening.len()))
    }

    /// Whether all conversations that end so are added to as the smallest is.
    fn only_grows(&self, tok: &Tokenizer, ending: Ending, follows: More) -> bool {
        let tools = if ending.tools { vec![TOOL.to_owned()] } else { Vec::new() };
        let mut seen = false;
        for before in ending.examples() {
            let n_calls = before.iter().map(|turn| turn.calls.len()).sum();
            let ending = Ending { n_calls, ..ending };
            let Ok(closed) = self.encode(tok, &before, &tools, false) else { continue };
            for more in continuations(n_calls, follows) {
                let longer = [&before[..], &more[..]].concat();
                let Ok(whole) = self.encode(tok, &longer, &tools, true) else { continue };
                let Ok(turns) = self.encode(tok, &longer, &tools, false) else { return false };
                let Some((tail, n_opening)) = self.tail(tok, ending, &more) else { return false };
                let n_turns = whole.len().saturating_sub(n_opening);
                if whole.strip_prefix(&closed[..]) != Some(&tail[..])
                    || whole[..n_turns] != turns[..]
                {
                    return false;
                }
                seen = true;
            }
        }
        seen
    }
}

impl Ending {
    /// How a conversation ends; `None` if that is in the middle of an answer.
    pub fn of(messages: &[Message], tools: bool) -> Option<Self> {
        let last = match messages.last()?.role.as_str() {
            "system" | "developer" => Speaker::System,
            "user" => Speaker::User,
            "tool" => Speaker::Tool,
            _ => return None,
        };
        let opens_with_system = matches!(messages[0].role.as_str(), "system" | "developer");
        let n_calls = messages.iter().map(|message| message.calls.len()).sum();
        Some(Self { opens_with_system, tools, last, n_calls })
    }

    /// How it ends when these turns have followed; `None` if that is in the middle of an answer.
    pub fn after(self, more: &[Message]) -> Option<Self> {
        let Self { opens_with_system, tools, n_calls, .. } = self;
        let ending = Self::of(more, tools)?;
        Some(Self { opens_with_system, n_calls: n_calls + ending.n_calls, ..ending })
    }

    fn kind(self) -> usize {
        (self.last as usize * 2 + usize::from(self.opens_with_system)) * 2 + usize::from(self.tools)
    }

    /// The smallest conversation that ends so.
    fn smallest(self) -> Vec<Message> {
        let mut turns = Vec::new();
        if self.opens_with_system {
            turns.push(said("system", "s"));
        }
        match self.last {
            Speaker::System if self.opens_with_system => {}
            Speaker::System => turns.extend([said("user", "u"), said("system", "s")]),
            Speaker::User => turns.push(said("user", "u")),
            Speaker::Tool => {
                turns.extend([said("user", "u"), called(&["x"]), gave(0, "r")]);
            }
        }
        turns
    }

    /// Conversations that end so, small and large.
    fn examples(self) -> Vec<Vec<Message>> {
        let opening: Vec<Message> = if self.opens_with_system {
            vec![said("system", "Be brief.\n\nVery.")]
        } else {
            Vec::new()
        };
        let talk = [said("user", "Hello there"), said("assistant", "Hi. "), said("user", " now\n")];
        let work = [
            said("user", "do it"),
            called(&["ls"]),
            gave(0, "a b"),
            called(&["cat a", "cat b"]),
            gave(1, "x"),
            gave(2, "{\"y\": 1}"),
        ];
        let end = |turns: &[&[Message]]| turns.concat();
        match self.last {
            Speaker::System => {
                let rule = [said("system", "More.")];
                let mut examples = vec![
                    end(&[&opening, &talk, &rule]),
                    end(&[&opening, &talk[..2], &rule]),
                    end(&[&opening, &work, &rule]),
                ];
                if self.opens_with_system {
                    examples.extend([opening.clone(), end(&[&opening, &rule])]);
                }
                examples
            }
            Speaker::User => vec![
                end(&[&opening, &talk[..1]]),
                end(&[&opening, &talk]),
                end(&[&opening, &talk[..1], &talk[2..]]),
                end(&[&opening, &work, &[said("assistant", "Done."), said("user", "again")]]),
            ],
            Speaker::Tool => vec![
                end(&[&opening, &work[..3]]),
                end(&[&opening, &work]),
                end(&[&opening, &talk[..2], &work]),
            ],
        }
    }
}

/// What may follow.
fn continuations(n_calls: usize, follows: More) -> Vec<Vec<Message>> {
    let answer = said("assistant", "It is so.\n\n```\ncode\n```");
    let silent = said("assistant", "");
    let ask = said("user", "And *this*?\n");
    let rule = said("system", "Now in French.");
    let n = n_calls;
    match follows {
        More::Work => vec![
            vec![called(&["pwd"]), gave(n, "/")],
            vec![called(&["a", "b"]), gave(n, "1"), gave(n + 1, "2")],
            vec![called(&["a"]), gave(n, "1"), called(&["b"]), gave(n + 1, "2")],
            vec![Message { content: "I look.".to_owned(), ..called(&["c"]) }, gave(n, "")],
        ],
        More::Asks => vec![
            vec![ask.clone()],
            vec![answer.clone(), ask.clone()],
            vec![silent, ask.clone()],
            vec![called(&["pwd"]), gave(n, "/"), answer.clone(), ask.clone()],
            vec![called(&["pwd"]), gave(n, "/"), ask.clone()],
            vec![answer.clone(), ask.clone(), answer, ask.clone(), ask],
        ],
        More::Instructs => vec![
            vec![rule.clone()],
            vec![rule.clone(), ask.clone()],
            vec![rule.clone(), ask.clone(), ask.clone()],
            vec![answer.clone(), rule.clone(), ask.clone()],
            vec![answer, ask, rule],
        ],
    }
}

fn said(role: &str, content: &str) -> Message {
    Message { role: role.to_owned(), content: content.to_owned(), ..Message::default() }
}

fn called(arguments: &[&str]) -> Message {
    let call = |a: &&str| Call { name: "f".to_owned(), arguments: format!(r#"{{"a":"{a}"}}"#) };
    Message { calls: arguments.iter().map(call).collect(), ..said("assistant", "") }
}

fn gave(call: usize, content: &str) -> Message {
    Message { answers: Some(call), ..said("tool", content) }
}
