//! Cutting text into the words that merges stay within: what reference implementations do with
//! regular expressions, by hand.
//!
//! Four expressions cover the models here. With `D` for the digits taken at once, `L` for
//! letters (with marks for some), `U` for those that are not lower case and `W` for those that are not upper case,
//! both with marks, and `C` for the contractions of cl100k:
//!
//! ```text
//! GPT-2    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//! cl100k   (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?L+|\p{N}{1,D}| ?[^\sL\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
//! o200k    [^\r\n\p{L}\p{N}]?U*W+C?|[^\r\n\p{L}\p{N}]?U+W*C?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
//! ```
//!
//! and expressions applied to the pieces of others: `smollm` first isolates each digit, `default`
//! (llama.cpp's name) isolates punctuation before and digits by three after. By hand because their
//! lookahead is beyond regex engines that run in linear time, and because it is ten times faster.

use std::ops::Range;

use super::classes::{
    CLASSES, Class, Classes, LETTER, LOWER, MARK, NEWLINE, NUMBER, PUNCTUATION, SPACE, UPPER,
};

/// Names of pre-tokenizers that are known, `tokenizer.ggml.pre` in the file. Some are other models'
/// names for the same rules.
pub(super) const NAMES: [&str; 22] = [
    "default",
    "gpt-2",
    "phi-2",
    "jina-es",
    "jina-de",
    "mellum",
    "smollm",
    "starcoder",
    "refact",
    "command-r",
    "codeshell",
    "qwen2",
    "deepseek-r1-qwen",
    "stablelm2",
    "qwen35",
    "llama-bpe",
    "llama3",
    "llama-v3",
    "falcon3",
    "dbrx",
    "smaug-bpe",
    "gpt-4o",
];

/// A way to split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PreTokenizer {
    Gpt2,
    DigitsThenGpt2,
    Default,
    Cl100k(Cl100k),
    O200k,
}

/// What differs between the descendants of cl100k.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cl100k {
    /// How many digits make a word at most.
    n_digits_max: usize,
    /// What counts as part of a word.
    letters: Class,
    /// Whether a word that is a token stays whole even if no sequence of merges yields it.
    whole_words: bool,
}

impl PreTokenizer {
    /// The rules a file's name stands for.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        let cl100k = |n_digits_max, letters, whole_words| {
            Self::Cl100k(Cl100k { n_digits_max, letters, whole_words })
        };
        Some(match name {
            "default" => Self::Default,
            "gpt-2" | "phi-2" | "jina-es" | "jina-de" | "mellum" => Self::Gpt2,
            "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" => Self::DigitsThenGpt2,
            "qwen2" | "deepseek-r1-qwen" | "stablelm2" => cl100k(1, LETTER, false),
            "qwen35" => cl100k(1, LETTER | MARK, false),
            "llama-bpe" | "llama3" | "llama-v3" | "falcon3" => cl100k(3, LETTER, true),
            "dbrx" | "smaug-bpe" => cl100k(3, LETTER, false),
            "gpt-4o" => Self::O200k,
            _ => return None,
        })
    }

    /// Whether a word that is a token is not taken apart.
    pub(super) fn takes_whole_words(self) -> bool {
        matches!(self, Self::Cl100k(Cl100k { whole_words: true, .. }))
    }

    /// Calls `word` with every word of a text, in order; together they are the text.
    pub(super) fn split<'t>(self, text: &'t str, word: &mut impl FnMut(&'t str)) {
        let classes = &*CLASSES;
        match self {
            Self::Gpt2 => Text { text, classes }.each(gpt2, word),
            Self::O200k => Text { text, classes }.each(o200k, word),
            Self::Cl100k(rules) => {
                Text { text, classes }.each(|text, at| cl100k(text, at, rules), word);
            }
            Self::DigitsThenGpt2 => Text { text, classes }.runs(
                |class| class & NUMBER != 0,
                |digits, run| {
                    if digits {
                        each_char(run, word);
                    } else {
                        Text { text: run, classes }.each(gpt2, word);
                    }
                },
            ),
            Self::Default => {
                Text { text, classes }.runs_of_chars(is_default_punctuation, |p, run| {
                    if p {
                        word(run);
                    } else {
                        Text { text: run, classes }
                            .each(gpt2, &mut |piece| digits_by_three(piece, classes, word));
                    }
                });
            }
        }
    }
}

/// A text with the classes of its characters.
#[derive(Clone, Copy)]
struct Text<'t> {
    text: &'t str,
    classes: &'static Classes,
}

impl<'t> Text<'t> {
    /// The class and length of the character at a position, `None` at the end.
    #[inline]
    fn at(self, pos: usize) -> Option<(Class, usize)> {
        let byte = *self.text.as_bytes().get(pos)?;
        if byte.is_ascii() {
            return Some((self.classes.of(char::from(byte)), 1));
        }
        self.text[pos..].chars().next().map(|c| (self.classes.of(c), c.len_utf8()))
    }

    /// The first position from `pos` on whose character is not `wanted`, after at most `n_max`.
    #[inline]
    fn skip(self, mut pos: usize, n_max: usize, wanted: impl Fn(Class) -> bool) -> usize {
        for _ in 0..n_max {
            match self.at(pos) {
                Some((class, n_bytes)) if wanted(class) => pos += n_bytes,
                _ => break,
            }
        }
        pos
    }

    /// Cuts where `end` says that the word from a position on ends.
    fn each(self, end: impl Fn(Self, usize) -> usize, word: &mut impl FnMut(&'t str)) {
        let mut start = 0;
        while start < self.text.len() {
            let stop = end(self, start);
            word(&self.text[start..stop]);
            start = stop;
        }
    }

    /// Calls `run` with maximal stretches of characters that are, or are not, of a kind.
    fn runs(self, of_kind: impl Fn(Class) -> bool, run: impl FnMut(bool, &'t str)) {
        self.runs_of_chars(|_, class| of_kind(class), run);
    }

    fn runs_of_chars(
        self,
        of_kind: impl Fn(char, Class) -> bool,
        mut run: impl FnMut(bool, &'t str),
    ) {
        let (mut start, mut kind) = (0, false);
        for (pos, c) in self.text.char_indices() {
            let here = of_kind(c, self.classes.of(c));
            if here != kind {
                if pos > start {
                    run(kind, &self.text[start..pos]);
                }
                (start, kind) = (pos, here);
            }
        }
        if start < self.text.len() {
            run(kind, &self.text[start..]);
        }
    }
}

/// End of GPT-2's word from `pos` on. Alternatives in the order of the expression.
fn gpt2(text: Text, pos: usize) -> usize {
    let Some((class, n_bytes)) = text.at(pos) else { return pos };
    let bytes = text.text.as_bytes();
    if bytes[pos] == b'\''
        && let Some(n) = contraction(&bytes[pos + 1..], false)
    {
        return pos + 1 + n;
    }
    // ` ?` in front of letters, numbers or the rest.
    let after_space = if bytes[pos] == b' ' { text.at(pos + 1) } else { None };
    let (first, from) = match after_space {
        Some((next, _)) if next & SPACE == 0 => (next, pos + 1),
        _ => (class, pos),
    };
    if first & SPACE != 0 {
        return spaces(text, pos, n_bytes);
    }
    let kind = first & (LETTER | NUMBER);
    text.skip(from, usize::MAX, |class| class & (LETTER | NUMBER | SPACE) == kind)
}

/// End of the word from `pos` on by cl100k's expression.
fn cl100k(text: Text, pos: usize, rules: Cl100k) -> usize {
    let Some((class, n_bytes)) = text.at(pos) else { return pos };
    let bytes = text.text.as_bytes();
    let is_letter = |class: Class| class & rules.letters != 0;
    if bytes[pos] == b'\''
        && let Some(n) = contraction(&bytes[pos + 1..], true)
    {
        return pos + 1 + n;
    }
    // `[^\r\n\p{L}\p{N}]?L+`. A mark may be both the one character in front and part of a word.
    if is_letter(class) {
        return text.skip(pos, usize::MAX, is_letter);
    }
    if class & (NEWLINE | LETTER | NUMBER) == 0 {
        let end = text.skip(pos + n_bytes, usize::MAX, is_letter);
        if end > pos + n_bytes {
            return end;
        }
    }
    if class & NUMBER != 0 {
        return text.skip(pos, rules.n_digits_max, |class| class & NUMBER != 0);
    }
    match others(text, pos, rules.letters) {
        Some(end) => text.skip(end, usize::MAX, |class| class & NEWLINE != 0),
        None => newlines(text, pos, n_bytes),
    }
}

/// End of the word from `pos` on by o200k's expression.
fn o200k(text: Text, pos: usize) -> usize {
    let Some((class, n_bytes)) = text.at(pos) else { return pos };
    // `[^\r\n\p{L}\p{N}]?`, in front of a word of either kind, unless it is one itself.
    let prefixed = (class & (NEWLINE | LETTER | NUMBER) == 0).then_some(pos + n_bytes);
    let starts = || prefixed.into_iter().chain([pos]);
    let is_upper = |class: Class| class & (LETTER | MARK) != 0 && class & LOWER == 0;
    let is_lower = |class: Class| class & (LETTER | MARK) != 0 && class & UPPER == 0;
    let word = starts().find_map(|start| {
        let end = text.skip(start, usize::MAX, is_upper);
        let lower_end = text.skip(end, usize::MAX, is_lower);
        // Without lower case behind it the run gives back what only counts as upper case.
        if lower_end > end { Some(lower_end) } else { last_end(text, start..end, is_lower) }
    });
    let word = word.or_else(|| {
        starts()
            .map(|start| (start, text.skip(start, usize::MAX, is_upper)))
            .find_map(|(start, end)| (end > start).then_some(end))
    });
    if let Some(end) = word {
        let rest = &text.text.as_bytes()[end..];
        let after_quote = rest.strip_prefix(b"'").and_then(|rest| contraction(rest, true));
        return end + after_quote.map_or(0, |n| 1 + n);
    }
    if class & NUMBER != 0 {
        return text.skip(pos, 3, |class| class & NUMBER != 0);
    }
    let Some(end) = others(text, pos, LETTER) else { return newlines(text, pos, n_bytes) };
    let more = text.text.as_bytes()[end..].iter();
    end + more.take_while(|byte| matches!(byte, b'\r' | b'\n' | b'/')).count()
}

/// End of ` ?[^\sL\p{N}]+` from `pos` on, if that is there.
fn others(text: Text, pos: usize, letters: Class) -> Option<usize> {
    let from = if text.text.as_bytes()[pos] == b' ' { pos + 1 } else { pos };
    let end = text.skip(from, usize::MAX, |class| class & (SPACE | NUMBER | letters) == 0);
    (end > from).then_some(end)
}

/// Where the last character of a kind within a range ends, if there is one.
fn last_end(text: Text, range: Range<usize>, of_kind: impl Fn(Class) -> bool) -> Option<usize> {
    let mut chars = text.text[range.clone()].char_indices().rev();
    let last = chars.find(|&(_, c)| of_kind(text.classes.of(c)));
    last.map(|(at, c)| range.start + at + c.len_utf8())
}

/// `\s*[\r\n]+`, up to the last newline of the run, or else `\s+(?!\S)|\s+`.
fn newlines(text: Text, pos: usize, n_bytes_first: usize) -> usize {
    let mut last_newline = None;
    let mut end = pos;
    while let Some((class, n_bytes)) = text.at(end) {
        if class & SPACE == 0 {
            break;
        }
        end += n_bytes;
        if class & NEWLINE != 0 {
            last_newline = Some(end);
        }
    }
    last_newline.unwrap_or_else(|| spaces(text, pos, n_bytes_first))
}

/// `\s+(?!\S)|\s+`: a run of spaces, but for the last one if something follows and others remain.
fn spaces(text: Text, pos: usize, n_bytes_first: usize) -> usize {
    let (mut last, mut end) = (pos, pos + n_bytes_first);
    while let Some((class, n_bytes)) = text.at(end) {
        if class & SPACE == 0 {
            return if last > pos { last } else { end };
        }
        last = end;
        end += n_bytes;
    }
    end
}

/// Length of `s`, `t`, `re`, `ve`, `m`, `ll` or `d` at the start, in bytes.
fn contraction(after_quote: &[u8], any_case: bool) -> Option<usize> {
    let fold = |byte: u8| if any_case { byte.to_ascii_lowercase() } else { byte };
    match *after_quote {
        [a, ..] if matches!(fold(a), b's' | b't' | b'm' | b'd') => Some(1),
        [a, b, ..] if matches!(&[fold(a), fold(b)], b"re" | b"ve" | b"ll") => Some(2),
        // The long s folds to s, as every regex engine with Unicode case has it.
        [0xC5, 0xBF, ..] if any_case => Some(2),
        _ => None,
    }
}

fn each_char<'t>(text: &'t str, word: &mut impl FnMut(&'t str)) {
    for (pos, c) in text.char_indices() {
        word(&text[pos..pos + c.len_utf8()]);
    }
}

/// `[\p{P}\$\+<=>\^~\|]`, the first of llama.cpp's default expressions.
fn is_default_punctuation(c: char, class: Class) -> bool {
    class & PUNCTUATION != 0 || matches!(c, '$' | '+' | '<' | '=' | '>' | '^' | '~' | '|')
}

/// `\p{N}+`, then `[0-9][0-9][0-9]`, isolated within a word of GPT-2's.
fn digits_by_three<'t>(piece: &'t str, classes: &'static Classes, word: &mut impl FnMut(&'t str)) {
    Text { text: piece, classes }.runs(
        |class| class & NUMBER != 0,
        |digits, run| {
            if !digits {
                return word(run);
            }
            let bytes = run.as_bytes();
            let (mut start, mut pos) = (0, 0);
            while pos < bytes.len() {
                if bytes.len() - pos >= 3 && bytes[pos..pos + 3].iter().all(u8::is_ascii_digit) {
                    if pos > start {
                        word(&run[start..pos]);
                    }
                    word(&run[pos..pos + 3]);
                    (start, pos) = (pos + 3, pos + 3);
                } else {
                    pos += 1;
                }
            }
            if start < run.len() {
                word(&run[start..]);
            }
        },
    );
}
