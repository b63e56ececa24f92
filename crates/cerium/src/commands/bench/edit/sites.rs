//! Changes in several places of a real file: a name, an argument, a type, a call that is wrapped.

use super::cases::{Case, Change};
use std::collections::HashMap;

/// Lines of a file that are looked at.
const LINES_MAX: usize = 120;

/// Places that a change must have.
const SITES_MIN: usize = 4;

/// All changes of a case's file that have enough places in its first lines.
pub(super) fn changes(case: &Case) -> Vec<Change> {
    let lines: Vec<&str> = case.before.split_inclusive('\n').take(LINES_MAX).collect();
    let old = lines.concat();
    let makers: [fn(&str) -> Option<String>; 4] = [rename, add_argument, change_type, wrap_call];
    let made = makers.iter().filter_map(|make| make(&old));
    made.map(|new| Change { old: old.clone(), new }).collect()
}

/// The name that stands there most often becomes another one.
fn rename(text: &str) -> Option<String> {
    let name = most(words(text).filter(|(_, word)| word.len() > 5).map(|(_, word)| word))?;
    Some(replace(text, name, "current_entry"))
}

/// The function that is called most often takes one argument more.
fn add_argument(text: &str) -> Option<String> {
    let callee = most(calls(text).map(|(at, open, _)| &text[at..open]))?;
    let mut new = text.to_owned();
    for (at, open, close) in calls(text).collect::<Vec<_>>().into_iter().rev() {
        if &text[at..open] == callee {
            let empty = text[open + 1..close].trim().is_empty();
            new.insert_str(close, if empty { "deadline" } else { ", deadline" });
        }
    }
    Some(new)
}

/// The type that stands there most often is put into another one.
fn change_type(text: &str) -> Option<String> {
    let upper = |word: &str| word.starts_with(|c: char| c.is_ascii_uppercase()) && word.len() > 3;
    let name = most(words(text).map(|(_, word)| word).filter(|word| upper(word)))?;
    Some(replace(text, name, &format!("Shared<{name}>")))
}

/// The calls of one function go through another one.
fn wrap_call(text: &str) -> Option<String> {
    let callee = most(calls(text).map(|(at, open, _)| &text[at..open]))?;
    let mut ends: Vec<(usize, &str)> = Vec::new();
    for (at, open, close) in calls(text) {
        if &text[at..open] == callee {
            ends.extend([(at, "checked("), (close + 1, ")")]);
        }
    }
    ends.sort_by_key(|(at, _)| *at);
    let mut new = text.to_owned();
    for (at, what) in ends.into_iter().rev() {
        new.insert_str(at, what);
    }
    Some(new)
}

/// The one that occurs most often, if often enough; the first of equals.
fn most<'t>(all: impl Iterator<Item = &'t str>) -> Option<&'t str> {
    let mut counts: HashMap<&str, (usize, usize)> = HashMap::new();
    for (i, word) in all.enumerate() {
        counts.entry(word).or_insert((0, usize::MAX - i)).0 += 1;
    }
    let best = counts.into_iter().max_by_key(|(_, count)| *count)?;
    (best.1.0 >= SITES_MIN).then_some(best.0)
}

/// Words and where they begin.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let words = text.split(move |c| !is_word(c)).filter(|word| !word.is_empty());
    words.map(move |word| (word.as_ptr() as usize - text.as_ptr() as usize, word))
}

/// Calls within a line: where the function's name begins, and its brackets.
fn calls(text: &str) -> impl Iterator<Item = (usize, usize, usize)> {
    words(text).filter_map(move |(at, word)| {
        let open = at + word.len();
        let rest = text[open..].strip_prefix('(')?;
        let mut depth = 0;
        let close = rest.char_indices().take_while(|(_, c)| *c != '\n').find(|(_, c)| {
            depth += i32::from(*c == '(') - i32::from(*c == ')');
            depth < 0
        })?;
        Some((at, open, open + 1 + close.0))
    })
}

/// Every whole word `from` becomes `to`.
fn replace(text: &str, from: &str, to: &str) -> String {
    let places: Vec<usize> = words(text).filter(|(_, word)| *word == from).map(|w| w.0).collect();
    let mut new = text.to_owned();
    for at in places.into_iter().rev() {
        new.replace_range(at..at + from.len(), to);
    }
    new
}
