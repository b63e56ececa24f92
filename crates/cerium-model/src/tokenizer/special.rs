//! Finding the texts of special tokens in a text: leftmost first, of several there the longest.

use aho_corasick::{AhoCorasick, MatchKind};
use hashbrown::HashMap;

use super::{
    TokenizerError,
    vocab::{Kind, Vocab},
};
use crate::gguf::Strings;

/// A set of special tokens to look for.
#[derive(Debug)]
pub(super) struct Specials {
    /// `None` when there is nothing to find.
    search: Option<AhoCorasick>,
    ids: Vec<u32>,
    by_text: HashMap<String, u32>,
    texts: HashMap<u32, String>,
}

/// A stretch of text, or a special token in place of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    Text(&'a str),
    Special(u32),
}

impl Specials {
    /// The tokens of the wanted kinds.
    pub(super) fn new(
        texts: &Strings,
        vocab: &Vocab,
        wanted: impl Fn(Kind) -> bool,
    ) -> Result<Self, TokenizerError> {
        let mut specials =
            Self { search: None, ids: Vec::new(), by_text: HashMap::new(), texts: HashMap::new() };
        let mut patterns = Vec::new();
        for (id, kind) in vocab.iter().filter(|&(_, kind)| wanted(kind)) {
            let text = match kind {
                // As text spells it, after SentencePiece's marks are undone.
                Kind::UserDefined => std::str::from_utf8(vocab.bytes(id)).unwrap_or_default(),
                _ => texts.get(id as usize).unwrap_or_default(),
            };
            if !text.is_empty() {
                specials.ids.push(id);
                specials.by_text.insert(text.to_owned(), id);
                specials.texts.insert(id, text.to_owned());
                patterns.push(text);
            }
        }
        if !patterns.is_empty() {
            let built =
                AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(patterns);
            let built =
                built.map_err(|error| TokenizerError::Specials { problem: error.to_string() })?;
            specials.search = Some(built);
        }
        Ok(specials)
    }

    /// The token of exactly this text.
    pub(super) fn get(&self, text: &str) -> Option<u32> {
        self.by_text.get(text).copied()
    }

    /// The text of one of these tokens.
    pub(super) fn text(&self, id: u32) -> Option<&str> {
        self.texts.get(&id).map(String::as_str)
    }

    /// The texts of all of them, in no particular order.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.texts.values().map(String::as_str)
    }

    /// Calls `part` with everything in `text`, in order; stretches of text are not empty.
    pub(super) fn cut<'t>(&self, text: &'t str, mut part: impl FnMut(Part<'t>)) {
        let mut start = 0;
        for found in self.search.iter().flat_map(|search| search.find_iter(text)) {
            if found.start() > start {
                part(Part::Text(&text[start..found.start()]));
            }
            part(Part::Special(self.ids[found.pattern().as_usize()]));
            start = found.end();
        }
        if start < text.len() {
            part(Part::Text(&text[start..]));
        }
    }
}
