//! Which step does a request speak of? By its number if it says one, otherwise by its words.

use super::step::Step;
use crate::search::{is_stop_word, is_word_char, stem, subwords};
use std::collections::BTreeSet;

/// What a request says about the step it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pick {
    /// This one.
    Step(usize),
    /// Several numbers.
    Several(Vec<usize>),
    /// A number that the plan does not have.
    Beyond(usize),
    /// Nothing that can be relied on.
    Unclear,
}

const ORDINALS: [&str; 12] = [
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
    "eleventh", "twelfth",
];
const CARDINALS: [&str; 12] = [
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve",
];

/// Finds the step that a request means.
pub fn pick(request: &str, steps: &[Step]) -> Pick {
    let numbers = numbers(request, steps.len());
    match numbers.as_slice() {
        [] => by_words(request, steps),
        [number] if (1..=steps.len()).contains(number) => Pick::Step(*number),
        [number] => Pick::Beyond(*number),
        _ => Pick::Several(numbers),
    }
}

/// Numbers of steps in a request: `step 3`, `#3`, `3rd step`, `the third step`, `last step`,
/// `3: ...` at its beginning.
fn numbers(request: &str, n_steps: usize) -> Vec<usize> {
    let lower = request.to_lowercase();
    let words: Vec<&str> = lower.split_whitespace().collect();
    let mut found = Vec::new();
    for (i, word) in words.iter().enumerate() {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '#');
        let next =
            words.get(i + 1).map_or("", |word| word.trim_matches(|c: char| !c.is_alphanumeric()));
        let before = i.checked_sub(1).map_or("", |i| words[i]);
        let number = if let Some(digits) = bare.strip_prefix('#') {
            digits.parse().ok()
        } else if matches!(before, "step" | "steps" | "number" | "no.") {
            value(bare)
        } else if next == "step" {
            ordinal(bare, n_steps)
        } else if i == 0 && word.ends_with([':', '.', ')']) {
            bare.parse().ok()
        } else if before == "and" && words.get(i.wrapping_sub(3)) == Some(&"steps") {
            value(bare)
        } else {
            None
        };
        if let Some(number) = number.filter(|number| !found.contains(number)) {
            found.push(number);
        }
    }
    found
}

/// `3`, `3's`, `three`.
fn value(word: &str) -> Option<usize> {
    let digits = word.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    let spelled = || CARDINALS.iter().position(|name| *name == digits).map(|at| at + 1);
    digits.parse().ok().or_else(spelled)
}

/// `3rd`, `third`, `last`.
fn ordinal(word: &str, n_steps: usize) -> Option<usize> {
    if matches!(word, "last" | "final") {
        return Some(n_steps);
    }
    let digits = ["st", "nd", "rd", "th"].iter().find_map(|end| word.strip_suffix(end));
    let spelled = || ORDINALS.iter().position(|name| *name == word).map(|at| at + 1);
    digits.and_then(|digits| digits.parse().ok()).or_else(spelled)
}

/// The step that shares clearly more words with the request than any other.
fn by_words(request: &str, steps: &[Step]) -> Pick {
    let request = stems(request);
    let score = |step: &Step| {
        let n_in = |text: &str| stems(text).intersection(&request).count();
        let places: usize = step.files.iter().map(|file| n_in(&file.path)).sum();
        2 * n_in(&step.title)
            + n_in(&step.detail)
            + places
            + n_in(step.symbol.as_deref().unwrap_or(""))
    };
    let mut scores: Vec<(usize, usize)> = steps.iter().map(|s| (score(s), s.number)).collect();
    scores.sort_by_key(|&(score, number)| (std::cmp::Reverse(score), number));
    match scores.as_slice() {
        [(best, number)] if *best >= 2 => Pick::Step(*number),
        [(best, number), (second, _), ..] if *best >= 2 && *best * 2 >= *second * 3 => {
            Pick::Step(*number)
        }
        _ => Pick::Unclear,
    }
}

fn stems(text: &str) -> BTreeSet<String> {
    let words = text.split(|c| !is_word_char(c)).flat_map(subwords).map(str::to_lowercase);
    let telling = words.filter(|word| word.len() > 2 && !is_stop_word(word) && word != "step");
    telling.map(|word| stem(&word).to_owned()).collect()
}
