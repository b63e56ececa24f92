//! Where does a completion end? Small models rarely stop where they should: they write what comes
//! after the point once more, and then go on to tests and chatter.
//!
//! What is after the point shows the way. A completion ends before the line that says again what
//! the next line of the file says, where its indentation leads into that line, where it would leave
//! the block that the line belongs to, and at a fence. In the middle of a line it ends where the
//! rest of that line begins. Everything works on the indentation and the text of lines, in any
//! language.

use similar::TextDiff;
use std::cmp::Ordering;

/// Lines at least so alike, at the same indentation, are the same line written twice.
const LIKENESS_MIN: f32 = 0.7;
/// Longer lines are compared by their beginnings, in characters.
const COMPARED_CHARS_MAX: usize = 160;
/// A rest of a line at least so long, or its beginning, is recognised wherever it comes, in bytes.
const JOIN_BYTES_MIN: usize = 6;

/// Finds the end of a completion in what was generated so far, or nothing if it may go on. The
/// last line is looked at only if it is whole or `finished` says that no more will come.
///
/// * `before`, `after`: the text around the point
pub fn ending(before: &str, after: &str, text: &str, finished: bool) -> Option<usize> {
    let line_before = &before[before.rfind('\n').map_or(0, |at| at + 1)..];
    let rest = &after[..after.find('\n').unwrap_or(after.len())];
    let inside_line = !rest.trim().is_empty() && !line_before.is_empty();
    // At the beginning of a line the whole line is what comes next.
    let below = if line_before.is_empty() { after } else { &after[rest.len()..] };
    let next = below.lines().find(|line| !line.trim().is_empty());
    if !inside_line {
        return by_lines(line_before, next, text, finished);
    }
    join(line_before, rest.trim_end(), text, finished).or_else(|| {
        // The rest of the line never came: a single line is the best guess.
        by_lines(line_before, next, text, finished)?;
        text.find('\n')
    })
}

/// Where the rest of the point's line begins again in the text. A long rest is recognised anywhere,
/// even by its beginning; a short one, such as `)`, only at the end of the first line.
fn join(line_before: &str, rest: &str, text: &str, finished: bool) -> Option<usize> {
    if rest.len() >= JOIN_BYTES_MIN {
        let beginning = rest.get(..JOIN_BYTES_MIN.max(rest.len() / 2)).unwrap_or(rest);
        return text.find(rest).or_else(|| text.find(beginning));
    }
    let end = match text.find('\n') {
        None if !finished => return None,
        found => found.unwrap_or(text.len()),
    };
    let line = &text[..end];
    let without = line.trim_end().strip_suffix(rest)?;
    // `f(a)` before `)` repeats it only if there is one bracket too many.
    let n_open = |line: &str| bracket_balance(line_before) + bracket_balance(line);
    let repeated = n_open(line) + bracket_balance(rest) != 0;
    repeated.then_some(without.len())
}

/// Brackets opened less those closed.
fn bracket_balance(text: &str) -> i32 {
    let value = |c| match c {
        '(' | '[' | '{' => 1,
        ')' | ']' | '}' => -1,
        _ => 0,
    };
    text.chars().map(value).sum()
}

/// Goes through the lines of the text, the first of which continues `line_before`, and compares
/// them with the line that follows the point.
fn by_lines(line_before: &str, next: Option<&str>, text: &str, finished: bool) -> Option<usize> {
    let level_next = next.map(indent);
    let (mut level_first, mut level_last) = (None, None);
    let mut at = 0;
    for (i, raw) in text.split_inclusive('\n').enumerate() {
        let start = at;
        at += raw.len();
        if !raw.ends_with('\n') && !finished {
            return None;
        }
        let line = if i == 0 { format!("{line_before}{raw}") } else { raw.to_owned() };
        if line.trim_start().starts_with("```") {
            return Some(start);
        }
        if line.trim().is_empty() {
            // At the level of what follows, a paragraph is enough.
            if level_last.is_some() && level_last == level_next {
                return Some(start);
            }
            continue;
        }
        let level = indent(&line);
        let fresh = i > 0 || line_before.trim().is_empty();
        if fresh && next.is_some_and(|next| is_same(&line, next)) {
            return Some(start);
        }
        let (Some(first), Some(last)) = (level_first, level_last) else {
            (level_first, level_last) = (Some(level), Some(level));
            continue;
        };
        // With nothing below, closing brackets still belong to the block that is left.
        let floor = level_next.map_or(first.min(1), |next| first.min(next));
        let leaves = level < floor && (next.is_some() || !is_closer(&line));
        let leads_into_next = last < level && Some(level) == level_next;
        let dead_end = is_jump(&line) && Some(level) == level_next && !next.is_some_and(is_closer);
        if leaves || leads_into_next || dead_end {
            return Some(start);
        }
        if level < floor {
            return Some(at);
        }
        level_last = Some(level);
    }
    None
}

/// Whether a line only closes what was open: `}`, `});`, `end`.
fn is_closer(line: &str) -> bool {
    let line = line.trim();
    line == "end" || line.chars().all(|c| "})];,".contains(c))
}

/// Whether nothing can follow a line in its block.
fn is_jump(line: &str) -> bool {
    let word = line.trim().split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    matches!(word, "return" | "raise" | "throw" | "break" | "continue")
}

/// Whether a line says again what the next line says.
fn is_same(line: &str, next: &str) -> bool {
    let (a, b) = (line.trim(), next.trim());
    let telling = a.chars().filter(|c| c.is_alphanumeric()).count() >= 3;
    match indent(line).cmp(&indent(next)) {
        Ordering::Equal if a == b => true,
        Ordering::Equal => {
            telling && TextDiff::from_chars(short(a), short(b)).ratio() >= LIKENESS_MIN
        }
        // Models lose a level more often than they gain one.
        Ordering::Less => telling && a == b,
        Ordering::Greater => false,
    }
}

fn short(line: &str) -> &str {
    line.char_indices().nth(COMPARED_CHARS_MAX).map_or(line, |(at, _)| &line[..at])
}

/// Width of the white space before a line, a tab counting four.
fn indent(line: &str) -> usize {
    let blanks = line.chars().take_while(|c| matches!(c, ' ' | '\t'));
    blanks.map(|c| if c == '\t' { 4 } else { 1 }).sum()
}
