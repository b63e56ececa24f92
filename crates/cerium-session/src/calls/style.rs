//! The marks that families put around calls and thoughts, told by what their templates say.

use super::head::Kind;

/// How a model writes calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`: Qwen, Hermes, and whoever was not trained
    /// otherwise. Small ones often leave the tags out, or put a fence in their place.
    Hermes,
    /// `{"name": ..., "parameters": {...}}` alone, or behind `<|python_tag|>`: Llama 3.
    Llama,
    /// `[TOOL_CALLS]` and a list of calls, or a name, `[ARGS]` and arguments: Mistral.
    Mistral,
    /// Channels, `<|channel|>commentary to=functions.NAME<|message|>{...}`: gpt-oss.
    Harmony,
}

/// The mark before a custom tool's input; its name follows.
const CUSTOM: &str = "<custom_tool_call name=\"";

const HARMONY_MARKS: [&str; 5] = ["<|start|>", "<|channel|>", "<|end|>", "<|call|>", "<|return|>"];

/// What stands next in a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// No mark: so much of it is said, and the rest may begin one.
    None { n_said: usize },
    /// A mark.
    At { start: usize, end: usize, opens: Opens },
}

/// What a mark opens.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opens {
    Thought,
    Call(Kind),
    Nothing,
}

impl Style {
    /// The style of a template.
    pub(crate) fn of_template(source: &str) -> Self {
        if source.contains("<|channel|>") {
            Self::Harmony
        } else if source.contains("[TOOL_CALLS]") {
            Self::Mistral
        } else if source.contains("<|python_tag|>") || source.contains("\"parameters\": ") {
            Self::Llama
        } else {
            Self::Hermes
        }
    }

    /// Control tokens that are marks of this style, though they stand for no text.
    pub(crate) fn marks(self) -> &'static [&'static str] {
        match self {
            Self::Hermes => &["<tool_call>", "</tool_call>", "<think>", "</think>"],
            Self::Llama => &["<|python_tag|>"],
            Self::Mistral => &["[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"],
            Self::Harmony => {
                &["<|start|>", "<|channel|>", "<|message|>", "<|constrain|>", "<|end|>"]
            }
        }
    }

    /// The mark before a call, if it has one.
    pub(crate) fn call_mark(self) -> Option<&'static str> {
        match self {
            Self::Hermes => Some("<tool_call>"),
            Self::Llama => None,
            Self::Mistral => Some("[TOOL_CALLS]"),
            Self::Harmony => Some("<|channel|>"),
        }
    }

    /// What may stand before a call in place of its mark, at the beginning of an answer.
    fn fences(self) -> &'static [(&'static str, Kind)] {
        match self {
            Self::Hermes => {
                &[("", Kind::Bare), ("```json\n", Kind::Fenced), ("```\n", Kind::Fenced)]
            }
            Self::Llama => &[("", Kind::Bare)],
            Self::Mistral | Self::Harmony => &[],
        }
    }

    /// What stands first in `text`. `calls`: whether there is anything to call; `unmarked`: whether a call may
    /// stand here without a mark; `ended`: whether nothing follows.
    pub(super) fn opening(self, text: &str, calls: bool, unmarked: bool, ended: bool) -> Opening {
        let mut marks = vec![("<think>", Opens::Thought)];
        if self == Self::Harmony {
            // A channel is a thought or a call by what its header says.
            marks = HARMONY_MARKS
                .map(|mark| match mark {
                    "<|start|>" | "<|channel|>" => (mark, Opens::Call(Kind::Channel)),
                    _ => (mark, Opens::Nothing),
                })
                .into();
        }
        if calls {
            marks.push((CUSTOM, Opens::Call(Kind::Custom)));
            match self {
                Self::Hermes => marks.push(("<tool_call>", Opens::Call(Kind::Hermes))),
                Self::Llama => marks.push(("<|python_tag|>", Opens::Call(Kind::Bare))),
                Self::Mistral => marks.push(("[TOOL_CALLS]", Opens::Call(Kind::List))),
                Self::Harmony => {}
            }
        }
        if unmarked {
            let start = text.len() - text.trim_start().len();
            let rest = &text[start..];
            for &(fence, kind) in self.fences() {
                let end = start + fence.len();
                if rest.strip_prefix(fence).is_some_and(|rest| rest.starts_with('{')) {
                    return Opening::At { start, end, opens: Opens::Call(kind) };
                }
                if !ended && fence.starts_with(rest) {
                    return Opening::None { n_said: 0 };
                }
            }
        }
        let found = marks.iter().enumerate();
        let found = found.filter_map(|(i, (mark, _))| Some((text.find(mark)?, i))).min();
        if let Some((start, i)) = found {
            let (mark, opens) = marks.swap_remove(i);
            return Opening::At { start, end: start + mark.len(), opens };
        }
        let n_begun = marks.iter().map(|(mark, _)| begun(text, mark)).max().unwrap_or(0);
        Opening::None { n_said: text.len() - if ended { 0 } else { n_begun } }
    }

    /// Where a thought ends and how long the mark is, or how much of the text's end may begin that mark.
    pub(super) fn thought_end(self, text: &str) -> (Option<usize>, usize) {
        let mark = if self == Self::Harmony { "<|end|>" } else { "</think>" };
        match text.find(mark) {
            Some(at) => (Some(at), mark.len()),
            None => (None, begun(text, mark)),
        }
    }
}

/// Bytes at the end of `text` that may be the beginning of `mark`, at most.
pub(super) fn begun(text: &str, mark: &str) -> usize {
    mark.char_indices().map(|(i, _)| i).rev().find(|&i| text.ends_with(&mark[..i])).unwrap_or(0)
}
