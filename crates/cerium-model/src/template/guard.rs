//! Breaking up the texts of control tokens in what people, files and tools say.

use std::collections::BTreeSet;

use aho_corasick::{AhoCorasick, MatchKind};

use super::TemplateError;
use crate::tokenizer::Tokenizer;

/// A private-use character: no keyboard types it, no template mentions it. A mark is a run of it
/// that is longer than any in the texts at hand.
const MARK: char = '\u{10fffd}';

/// Longest beginning or end of a control token's text that is looked for at the edge of a message,
/// in characters. The longest control tokens of real models have about 40.
const EDGE_MAX: usize = 128;

/// The texts of a vocabulary's control tokens, and the means to find them.
#[derive(Debug)]
pub(super) struct Guard {
    /// Finds overlapping occurrences too: breaking one may leave another whole.
    search: AhoCorasick,
    /// Sorted, for asking whether one begins in a certain way.
    texts: Vec<String>,
    /// With the characters of each reversed, then sorted: whether one ends in a certain way.
    reversed: Vec<String>,
    /// Longest run of the mark in the vocabulary and the template.
    n_marks: usize,
}

impl Guard {
    pub(super) fn new(tokenizer: &Tokenizer, template: &str) -> Result<Self, TemplateError> {
        let mut texts: Vec<String> = tokenizer.control_texts().map(str::to_owned).collect();
        let mut reversed: Vec<String> =
            texts.iter().map(|text| text.chars().rev().collect()).collect();
        texts.sort_unstable();
        reversed.sort_unstable();
        Ok(Self {
            search: AhoCorasick::builder()
                .match_kind(MatchKind::Standard)
                .build(&texts)
                .map_err(|error| TemplateError::Controls { problem: error.to_string() })?,
            n_marks: texts
                .iter()
                .map(|text| run_of_marks(text))
                .max()
                .unwrap_or(0)
                .max(run_of_marks(template)),
            texts,
            reversed,
        })
    }

    /// A mark that occurs in none of these texts.
    pub(super) fn mark<'a>(&self, contents: impl Iterator<Item = &'a str>) -> String {
        let n = contents.map(run_of_marks).max().unwrap_or(0).max(self.n_marks);
        MARK.to_string().repeat(n + 1)
    }

    /// The text with marks in it, such that no control token's text is whole in it; not even one
    /// that another message continues. The text itself, if there is nothing to break up.
    pub(super) fn break_up(&self, content: &str, mark: &str) -> String {
        // Where to put marks: behind the first character of each occurrence.
        let mut places = BTreeSet::new();
        let behind_first =
            |start: usize| content[start..].chars().next().map(|first| start + first.len_utf8());
        for found in self.search.find_overlapping_iter(content) {
            places.extend(behind_first(found.start()));
        }
        // A template may trim what it is given, and join it to what comes next.
        let trimmed = content.trim_end();
        for (start, _) in trimmed.char_indices().rev().take(EDGE_MAX).skip(1) {
            if begins_one(&self.texts, &trimmed[start..]) {
                places.extend(behind_first(start));
            }
        }
        let trimmed = content.trim_start();
        let start = content.len() - trimmed.len();
        let mut head = String::new();
        for c in trimmed.chars().take(EDGE_MAX) {
            head.insert(0, c);
            if head.len() > c.len_utf8() && begins_one(&self.reversed, &head) {
                places.extend(behind_first(start));
            }
        }

        let mut broken = String::with_capacity(content.len() + places.len() * mark.len());
        let mut from = 0;
        for place in places {
            broken.push_str(&content[from..place]);
            broken.push_str(mark);
            from = place;
        }
        broken.push_str(&content[from..]);
        broken
    }
}

/// Whether one of the sorted texts begins so.
fn begins_one(sorted: &[String], start: &str) -> bool {
    let idx = sorted.partition_point(|text| text.as_str() < start);
    sorted.get(idx).is_some_and(|text| text.starts_with(start))
}

fn run_of_marks(text: &str) -> usize {
    let (mut longest, mut run) = (0, 0);
    for c in text.chars() {
        run = if c == MARK { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}
