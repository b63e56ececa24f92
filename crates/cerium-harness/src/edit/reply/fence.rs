//! Finding the code in an answer: fenced or not, with chatter around it or not.

use std::collections::HashMap;

/// A fence that the text to be shown cannot close: longer than any in it.
pub(crate) fn fence_for<S: AsRef<str>>(lines: &[S]) -> String {
    let longest = lines.iter().map(|line| {
        let line = line.as_ref().trim_start();
        line.len() - line.trim_start_matches('`').len()
    });
    "`".repeat(longest.max().unwrap_or(0).max(2) + 1)
}

/// The lines of code in an answer: of several fenced blocks, the one most like the old lines.
pub(super) fn code(reply: &str, old: &[&String]) -> Option<Vec<String>> {
    let blocks = fenced(reply);
    let best = blocks
        .into_iter()
        .filter(|block| block.iter().any(|line| !line.trim().is_empty()))
        // `max_by` keeps the last of equals; the first is wanted.
        .rev()
        .max_by(|a, b| likeness(a, old).total_cmp(&likeness(b, old)));
    best.or_else(|| bare(reply, old))
}

/// The fenced blocks of an answer. One that is never closed reaches to the end.
fn fenced(reply: &str) -> Vec<Vec<String>> {
    let mut blocks = Vec::new();
    let mut open: Option<(char, usize, Vec<String>)> = None;
    for line in reply.lines() {
        let trimmed = line.trim();
        let mark = trimmed.chars().next().filter(|c| matches!(c, '`' | '~'));
        let run = mark.map_or(0, |m| trimmed.chars().take_while(|&c| c == m).count());
        match open.take() {
            None => {
                let info = &trimmed[run..];
                let opens = run >= 3 && !info.contains('`') && !info.contains(' ');
                open = mark.filter(|_| opens).map(|m| (m, run, Vec::new()));
            }
            Some((m, n, lines)) if mark == Some(m) && run >= n && trimmed.len() == run => {
                blocks.push(lines);
            }
            Some((m, n, mut lines)) => {
                lines.push(line.to_owned());
                open = Some((m, n, lines));
            }
        }
    }
    blocks.extend(open.map(|(_, _, lines)| lines));
    blocks
}

/// The share of lines that two texts have in common, 0 to 1.
fn likeness(block: &[String], old: &[&String]) -> f64 {
    let telling = |line: &&str| !line.is_empty();
    let mut counts: HashMap<&str, i64> = HashMap::new();
    for line in old.iter().map(|line| line.trim()).filter(telling) {
        *counts.entry(line).or_default() += 1;
    }
    let mut n_common = 0;
    let mut n_block = 0;
    for line in block.iter().map(|line| line.trim()).filter(telling) {
        n_block += 1;
        if let Some(count) = counts.get_mut(line).filter(|count| **count > 0) {
            *count -= 1;
            n_common += 1;
        }
    }
    let n_old = old.iter().filter(|line| !line.trim().is_empty()).count();
    f64::from(n_common) / (n_block.max(n_old).max(1) as f64)
}

/// An answer without fences: what is left when sentences around it are taken off. Prose only, and
/// there is no code.
fn bare(reply: &str, old: &[&String]) -> Option<Vec<String>> {
    let known = |line: &str| {
        let line = line.trim();
        !line.is_empty() && old.iter().any(|old| old.trim() == line)
    };
    // A line of the old text is code, whatever it looks like.
    let talk = |line: &str| !known(line) && is_sentence(line);
    let fence = |line: &str| line.trim().starts_with("```");
    let lines: Vec<&str> = reply.lines().filter(|line| !fence(line)).collect();
    let skip = |line: &&&str| line.trim().is_empty() || talk(line);
    let start = lines.iter().take_while(skip).count();
    let n_tail = lines[start..].iter().rev().take_while(skip).count();
    let code = &lines[start..lines.len() - n_tail];
    (!code.is_empty()).then(|| code.iter().map(|&line| line.to_owned()).collect())
}

/// Whether a line reads as English rather than code.
fn is_sentence(line: &str) -> bool {
    let line = line.trim();
    let n_words = line
        .split_whitespace()
        .filter(|w| w.chars().all(|c| c.is_alphabetic() || "'-,.:!".contains(c)))
        .count();
    let n_all = line.split_whitespace().count();
    let code =
        line.contains(['=', ';', '{', '}', '[', '#', '/', '*', '"', '<', '>', '@', '_', '\\']);
    let begins = line.chars().next().is_some_and(|c| c.is_uppercase() || c == '-' || c == '*');
    let ends = line.ends_with(['.', ':', '!']);
    begins && !code && n_words >= 3 && n_words * 10 >= n_all * 7 && (ends || n_words >= 5)
}
