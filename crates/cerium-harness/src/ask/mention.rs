//! Mentions of places in an answer: `path:12`, `path:12-20`, `path#L12-L20`, `path, line 12`.
//! Pure text work; whether a place exists is asked elsewhere.

use crate::lines::LineSpan;
use std::ops::Range;

/// A place that a text speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    /// Bytes of the whole mention, without quotes around it.
    pub bytes: Range<usize>,
    /// The path as written.
    pub path: String,
    /// The lines it names, unchecked.
    pub lines: LineSpan,
}

/// Longest path that is taken for one, in bytes.
const PATH_BYTES_MAX: usize = 400;

/// Finds the mentions that are written in one piece: `path:12`, `path:12-20`, `path#L12-L20`.
pub fn compact(text: &str) -> Vec<Mention> {
    let mut mentions: Vec<Mention> = Vec::new();
    for (at, mark) in text.match_indices([':', '#']) {
        let start = path_start(text, at);
        let path = &text[start..at];
        if !looks_like_path(path)
            || in_url(text, start)
            || mentions.last().is_some_and(|last| start < last.bytes.end)
        {
            continue;
        }
        let numbers = at + mark.len();
        let Some((lines, end)) = lines_at(text, numbers, mark == "#") else {
            continue;
        };
        // Compilers write a column after the line.
        let column = text[end..].strip_prefix(':').map_or("", |rest| rest);
        let n_digits = column.bytes().take_while(u8::is_ascii_digit).count();
        let end = if n_digits > 0 { end + 1 + n_digits } else { end };
        mentions.push(Mention { bytes: start..end, path: path.to_owned(), lines });
    }
    mentions
}

/// Finds the mentions that are written in words: `path, line 12`, `path (lines 12-20)`,
/// `line 12 of path`.
pub fn in_words(text: &str) -> Vec<Mention> {
    let mut mentions = Vec::new();
    for (at, word) in text.match_indices("line") {
        if text[..at].ends_with(|c: char| c.is_alphanumeric()) {
            continue;
        }
        let after = at + word.len();
        let after = after + usize::from(text[after..].starts_with('s'));
        let blanks = text[after..].len() - text[after..].trim_start().len();
        let Some((lines, end)) = lines_at(text, after + blanks, false) else {
            continue;
        };
        let mention =
            |bytes: Range<usize>, path: &str| Mention { bytes, path: path.to_owned(), lines };
        let before = text[..at].trim_end_matches(|c: char| " `(,:*".contains(c));
        let before =
            ["at", "on", "in"].iter().find_map(|word| before.strip_suffix(word)).unwrap_or(before);
        let before = before.trim_end_matches(|c: char| " `(,:*".contains(c));
        let start = path_start(text, before.len());
        if looks_like_path(&text[start..before.len()]) && at - before.len() <= 12 {
            mentions.push(mention(start..end, &text[start..before.len()]));
            continue;
        }
        let rest = &text[end..];
        let of = [" of ", " in "].iter().find_map(|word| rest.strip_prefix(word));
        if let Some(rest) =
            of.map(|rest| rest.trim_start_matches("the ").trim_start_matches(['`', '*']))
        {
            let path = &rest[..rest.find(|c| !is_path_char(c)).unwrap_or(rest.len())];
            let path = path.trim_end_matches('.');
            if looks_like_path(path) {
                let path_end = text.len() - rest.len() + path.len();
                mentions.push(mention(at..path_end, path));
            }
        }
    }
    mentions
}

/// Whether the word that holds `at` has shown itself as a URL before it.
fn in_url(text: &str, at: usize) -> bool {
    let earliest = (at.saturating_sub(PATH_BYTES_MAX)..=at).find(|&n| text.is_char_boundary(n));
    let before = &text[earliest.unwrap_or(at)..at];
    before[before.rfind(char::is_whitespace).unwrap_or(0)..].contains("://")
        || text[at..].starts_with("//")
}

/// Where the run of path characters that ends at `end` begins.
fn path_start(text: &str, end: usize) -> usize {
    let earliest = end.saturating_sub(PATH_BYTES_MAX);
    let run =
        text[..end].char_indices().rev().take_while(|&(at, c)| at >= earliest && is_path_char(c));
    run.last().map_or(end, |(at, _)| at)
}

fn is_path_char(c: char) -> bool {
    c.is_alphanumeric() || "_-./@+".contains(c)
}

/// Whether a word could be a path: it has a letter and no shape of a version, address or URL.
fn looks_like_path(word: &str) -> bool {
    let name = word.rsplit('/').next().unwrap_or_default();
    let marked =
        word.contains('/') || name.trim_start_matches('.').contains('.') || is_bare_name(name);
    marked && name.contains(|c: char| c.is_alphabetic()) && word.len() < PATH_BYTES_MAX
}

/// File names that have no extension but cannot be anything else.
fn is_bare_name(name: &str) -> bool {
    matches!(name, "Makefile" | "Dockerfile" | "Justfile" | "Rakefile" | "Gemfile" | "Procfile")
}

/// Reads `12`, `12-20`, `12–20`, `L12-L20`, `12 to 20` at `at`: the lines and where the text of them ends.
fn lines_at(text: &str, at: usize, marked: bool) -> Option<(LineSpan, usize)> {
    let number = |at: usize| -> Option<(usize, usize)> {
        let at = if text[at..].starts_with('L') {
            at + 1
        } else if marked {
            return None;
        } else {
            at
        };
        let digits = text[at..].bytes().take_while(u8::is_ascii_digit).count();
        let end = at + digits;
        // `3.14` and `10:30` are no lines, `utils.py:10:4` is one with a column.
        (1..=7).contains(&digits).then_some(())?;
        Some((text[at..end].parse().ok()?, end))
    };
    let (first, end) = number(at)?;
    for dash in ["-", "\u{2013}", " to ", " - "] {
        if let Some((last, end)) =
            text[end..].starts_with(dash).then(|| number(end + dash.len())).flatten()
        {
            return Some((LineSpan::new(first, last), end));
        }
    }
    Some((LineSpan::line(first), end))
}
