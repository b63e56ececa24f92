//! The citations of an answer: those the model wrote and, when it wrote none worth having, those
//! that the words of the answer lead to.

use super::mention::in_words;
use super::places::{Filter, Places, Verdict};
use crate::context::Excerpt;
use crate::lines::LineSpan;
use crate::search::{defines, is_stop_word, is_word_char, stem, subwords};
use serde::Serialize;
use std::collections::BTreeSet;

/// Citations added to an answer that has none of its own.
const N_ADDED_MAX: usize = 5;
/// Citations in all.
const N_CITATIONS_MAX: usize = 24;
/// Word stems that an answer and an excerpt must share for one to bear out the other.
const N_SHARED_STEMS_MIN: usize = 4;

/// A place that bears an answer out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Citation {
    /// File, relative to the root.
    pub path: String,
    /// Its lines.
    #[serde(flatten)]
    pub lines: LineSpan,
    /// The first of these lines, without its ending.
    pub quote: String,
    /// How it came to be cited.
    pub origin: Origin,
    /// Whether the model had been shown the line: if not, it guessed.
    pub shown: bool,
}

/// How a place came to be cited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The model wrote it.
    Model,
    /// The answer uses a name that stands there.
    Name,
    /// The answer shares the most words with what stands there.
    Words,
}

/// Collects the citations of a finished answer and the places that do not exist.
pub(super) fn collect(
    text: &str,
    excerpts: &[Excerpt],
    places: &mut Places<'_>,
    filter: Filter,
) -> (Vec<Citation>, Vec<String>) {
    let Filter { mut found, mut unfounded, .. } = filter;
    for mention in in_words(text) {
        match places.check(&mention) {
            Verdict::Exists { path, lines } => found.push((path, lines)),
            Verdict::NoSuchLine { .. } => unfounded.push(text[mention.bytes].to_owned()),
            Verdict::NoSuchFile => {}
        }
    }
    let mut cited: Vec<(String, LineSpan, Origin)> =
        found.into_iter().map(|(path, lines)| (path, lines, Origin::Model)).collect();
    let shown = |path: &str, lines: LineSpan| {
        excerpts.iter().any(|excerpt| excerpt.path == path && excerpt.lines.overlaps(lines))
    };
    if !cited.iter().any(|(path, lines, _)| shown(path, *lines)) {
        let mut added = by_names(text, excerpts);
        if added.is_empty() {
            added.extend(by_words(text, excerpts));
        }
        added.truncate(N_ADDED_MAX);
        cited.extend(added);
    }
    let mut citations: Vec<Citation> = Vec::new();
    for (path, lines, origin) in cited {
        let known = citations.iter().any(|old| old.path == path && old.lines == lines);
        if known || citations.len() == N_CITATIONS_MAX {
            continue;
        }
        let quote = places.line(&path, lines.start).unwrap_or_default().to_owned();
        let shown = shown(&path, lines);
        citations.push(Citation { path, lines, quote, origin, shown });
    }
    (citations, unfounded)
}

/// Where the names stand that an answer uses: their definitions, or else their first use.
fn by_names(text: &str, excerpts: &[Excerpt]) -> Vec<(String, LineSpan, Origin)> {
    let (mut definitions, mut uses) = (Vec::new(), Vec::new());
    for name in names(text) {
        let mut used = None;
        let mut defined = None;
        for excerpt in excerpts {
            for (i, line) in excerpt.text.lines().enumerate() {
                let Some(at) = find_word(line, name) else { continue };
                let place = (excerpt.path.clone(), LineSpan::line(excerpt.lines.start + i));
                if defined.is_none() && defines(line, at) {
                    defined = Some(place);
                } else if used.is_none() {
                    used = Some(place);
                }
            }
        }
        match (defined, used) {
            (Some(place), _) => definitions.push(place),
            (None, Some(place)) => uses.push(place),
            (None, None) => {}
        }
    }
    // A definition says more than a use, whichever was named first.
    let places = definitions.into_iter().chain(uses);
    places.map(|(path, lines)| (path, lines, Origin::Name)).collect()
}

/// Names of code in an answer, each once, in order: in backticks, called, or of a shape that words
/// do not have.
fn names(text: &str) -> Vec<&str> {
    let mut seen = BTreeSet::new();
    let mut names = Vec::new();
    let mut at = 0;
    while let Some(start) = text[at..].find(is_word_char).map(|n| at + n) {
        let end = text[start..].find(|c| !is_word_char(c)).map_or(text.len(), |n| start + n);
        let word = &text[start..end];
        at = end;
        let parts = subwords(word);
        let shaped = word.contains('_') || (parts.len() > 1 && word.contains(char::is_lowercase));
        let ticks_before = text[..start].matches('`').count();
        let quoted = ticks_before % 2 == 1 && text[end..].contains('`');
        let name = shaped || quoted || text[end..].starts_with('(');
        if name
            && word.len() > 2
            && !word.starts_with(|c: char| c.is_numeric())
            && seen.insert(word)
        {
            names.push(word);
        }
    }
    names
}

/// The first place where a word stands alone on a line.
fn find_word(line: &str, word: &str) -> Option<usize> {
    let alone = |&(at, _): &(usize, &str)| {
        !line[..at].ends_with(is_word_char) && !line[at + word.len()..].starts_with(is_word_char)
    };
    line.match_indices(word).find(alone).map(|(at, _)| at)
}

/// The excerpt that shares the most word stems with the answer, if that is more than chance.
fn by_words(text: &str, excerpts: &[Excerpt]) -> Option<(String, LineSpan, Origin)> {
    let answer = stems(text);
    let n_shared = |excerpt: &Excerpt| stems(&excerpt.text).intersection(&answer).count();
    let best = excerpts.iter().rev().max_by_key(|excerpt| n_shared(excerpt))?;
    let place = || (best.path.clone(), best.lines, Origin::Words);
    (n_shared(best) >= N_SHARED_STEMS_MIN).then(place)
}

fn stems(text: &str) -> BTreeSet<String> {
    let words = text.split(|c| !is_word_char(c)).flat_map(subwords).map(str::to_lowercase);
    let telling = words.filter(|word| word.len() > 2 && !is_stop_word(word));
    telling.map(|word| stem(&word).to_owned()).collect()
}
