//! An instruction cut into words: which of them are code, which are English.
//!
//! Pure text, no file: what a word means for a file is decided where the file is known.

use crate::search::{is_stop_word, stem, subwords};

/// How a piece of an instruction is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// In backticks or quotes: meant literally.
    Quoted,
    /// Cannot be English: `snake_case`, `camelCase`, `a.b`, `f()`, `@x`, `#[x]`, `CONST`.
    Code,
    /// A number.
    Number,
    /// Anything else.
    Word,
}

/// One piece of an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Its text, without quotes or the punctuation around it.
    pub(crate) text: String,
    pub(crate) shape: Shape,
    /// Whether a comma, colon, full stop or semicolon follows.
    pub(crate) ends_clause: bool,
    /// The punctuation that follows directly, if any.
    pub(crate) after: Option<char>,
    /// Whether an opening parenthesis stands right before it.
    pub(crate) opens_aside: bool,
}

impl Piece {
    /// The text in lower case.
    pub(crate) fn lower(&self) -> String {
        self.text.to_lowercase()
    }

    /// Whether it is one of these English words (given in lower case).
    pub(crate) fn is(&self, words: &[&str]) -> bool {
        self.shape != Shape::Quoted && words.contains(&self.lower().as_str())
    }

    /// Whether it is code beyond doubt.
    pub(crate) fn is_code(&self) -> bool {
        matches!(self.shape, Shape::Quoted | Shape::Code)
    }
}

/// Pieces of an instruction that are looked at; each is searched for in the whole file.
const PIECES_MAX: usize = 400;

/// Cuts an instruction into pieces; what comes after the first few hundred is left out.
pub(crate) fn pieces(instruction: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = instruction;
    let mut before = ' ';
    let mut opens_aside = false;
    while let Some(c) = rest.chars().next() {
        if let Some((inner, after)) = quoted(rest, before) {
            pieces.push(piece(inner, Shape::Quoted, after, opens_aside));
            opens_aside = false;
            before = c;
            rest = after;
            continue;
        }
        if c.is_whitespace() || is_loose(c, rest) {
            opens_aside = c == '(' || (opens_aside && c.is_whitespace());
            before = c;
            rest = &rest[c.len_utf8()..];
            continue;
        }
        let end = word_end(rest);
        let (word, after) = rest.split_at(end);
        let after = after.strip_prefix("'s").unwrap_or(after);
        pieces.push(piece(word, shape(word), after, opens_aside));
        opens_aside = false;
        before = word.chars().next_back().unwrap_or(' ');
        rest = after;
        if pieces.len() >= PIECES_MAX {
            break;
        }
    }
    // `min = 10`: what something is assigned to is a name.
    for i in 1..pieces.len() {
        let named = pieces[i].text == "=" && pieces[i - 1].shape == Shape::Word;
        if named {
            pieces[i - 1].shape = Shape::Code;
        }
    }
    pieces
}

fn piece(text: &str, shape: Shape, after: &str, opens_aside: bool) -> Piece {
    let after = after.chars().next().filter(|c| !c.is_whitespace());
    let ends_clause = after.is_some_and(|c| ",:.;!?()".contains(c));
    Piece { text: text.to_owned(), shape, ends_clause, after, opens_aside }
}

/// The text in quotes at the start of `rest`, and what follows. An apostrophe inside or after a
/// word is no quote.
fn quoted(rest: &str, before: char) -> Option<(&str, &str)> {
    let mark = rest.chars().next().filter(|c| "`\"'\u{201c}\u{2018}".contains(*c))?;
    let close = match mark {
        '\u{201c}' => '\u{201d}',
        '\u{2018}' => '\u{2019}',
        same => same,
    };
    if mark == '\'' && before.is_alphanumeric() {
        return None;
    }
    let inner = &rest[mark.len_utf8()..];
    let end = inner.match_indices(close).map(|(at, _)| at).find(|&at| {
        let next = inner[at + close.len_utf8()..].chars().next();
        mark != '\'' || !next.is_some_and(char::is_alphanumeric)
    })?;
    let text = &inner[..end];
    let sane = !text.trim().is_empty() && (mark != '\'' || !text.contains('\n'));
    sane.then(|| (text, &inner[end + close.len_utf8()..]))
}

/// Punctuation between words.
fn is_loose(c: char, rest: &str) -> bool {
    let next = rest[c.len_utf8()..].chars().next();
    match c {
        ',' | ';' | '!' | '?' | '"' | '\'' | '`' | '(' | ')' | '[' | ']' | '{' | '}' => true,
        '.' | ':' | '-' | '<' | '>' | '#' | '@' | '/' | '*' | '&' => {
            // Part of code when glued to what follows: `.name`, `#[x]`, `@x`, `->`, `../x`.
            next.is_none_or(char::is_whitespace)
        }
        _ => false,
    }
}

/// Where the word at the start of `rest` ends. Brackets belong to it while they balance.
fn word_end(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut end = rest.len();
    for (at, c) in rest.char_indices() {
        match c {
            '(' | '[' if at > 0 || c == '[' => depth += 1,
            ')' | ']' if depth > 0 => depth -= 1,
            ')' | ']' | '(' => {
                end = at;
                break;
            }
            '`' | '"' | '\u{201c}' | '\u{201d}' | ',' | ';' if depth == 0 => {
                end = at;
                break;
            }
            // Inside brackets a blank may belong to the call: `f(a, b)`; not beyond the line.
            c if c.is_whitespace() && (depth == 0 || c == '\n' || !closes(&rest[at..])) => {
                end = at;
                break;
            }
            _ => {}
        }
    }
    let word = &rest[..end];
    let trimmed = word.trim_end_matches(['.', ':', '!', '?', '\'', '\u{2019}']);
    let trimmed = trimmed.strip_suffix("'s").unwrap_or(trimmed);
    trimmed.len().max(word.chars().next().map_or(0, char::len_utf8))
}

/// Whether a bracket closes soon and nothing but call arguments comes before it.
fn closes(rest: &str) -> bool {
    let close = rest.find([')', ']']);
    close.is_some_and(|at| at < 80 && !rest[..at].contains(['\n', '`', '.']))
}

fn shape(word: &str) -> Shape {
    let inner = word.trim_matches('_');
    let number = word.trim_start_matches('-');
    if number.starts_with(|c: char| c.is_ascii_digit())
        && number.chars().all(|c| c.is_ascii_alphanumeric() || "._".contains(c))
    {
        return Shape::Number;
    }
    let has_lower = inner.chars().any(char::is_lowercase);
    let camel =
        has_lower && subwords(inner).len() > 1 && inner.chars().skip(1).any(char::is_uppercase);
    let n_upper = inner.chars().filter(|c| c.is_uppercase()).count();
    let capitals = !has_lower && n_upper > 1;
    let symbols = word.contains(['_', '(', '[', '=', '<', '>', '/', '@', '#', '*', '&', '{', '$'])
        || word.contains("::")
        || word.trim_matches(['.', ':']).contains(['.', ':']);
    let digits = inner.chars().any(|c| c.is_ascii_digit());
    if symbols || camel || capitals || digits || word.starts_with('_') || word.starts_with('.') {
        Shape::Code
    } else {
        Shape::Word
    }
}

/// Stems of the pieces' words that say something, subwords of names included.
pub(crate) fn stems<'p>(pieces: impl IntoIterator<Item = &'p Piece>) -> Vec<String> {
    let mut stems: Vec<String> = Vec::new();
    let words = pieces.into_iter().flat_map(|piece| subwords(&piece.text));
    for word in words {
        let lower = word.to_lowercase();
        let empty = is_stop_word(&lower) && !lower.chars().all(|c| c.is_ascii_digit());
        if empty || is_edit_word(&lower) {
            continue;
        }
        let stem = stem(&lower).to_owned();
        if !stems.contains(&stem) {
            stems.push(stem);
        }
    }
    stems
}

/// Words that say what to do with code rather than which code.
pub(crate) fn is_edit_word(lower: &str) -> bool {
    const WORDS: &str = "add added adding remove removed delete drop rename renamed change changed \
        make makes use used using uses replace replaced set put insert append convert turn move \
        rewrite refactor fix update instead rather also just please new file code line lines \
        should must keep after before first last every all each everywhere too both into with \
        from when whenever if then else so that this it its them the and or not no only value \
        function functions method methods class parameter param argument type types variable \
        constant module field attribute name";
    WORDS.split_ascii_whitespace().any(|word| word == lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(instruction: &str) -> String {
        let name = |piece: &Piece| {
            let mark = match piece.shape {
                Shape::Quoted => "q",
                Shape::Code => "c",
                Shape::Number => "n",
                Shape::Word => "w",
            };
            format!("{mark}:{}", piece.text)
        };
        pieces(instruction).iter().map(name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn code_is_told_from_english() {
        assert_eq!(
            show("Rename fooBar to baz_qux, don't touch `a b` in X.y."),
            "w:Rename c:fooBar w:to c:baz_qux w:don't w:touch q:a b w:in c:X.y"
        );
        assert_eq!(
            show("use f(a, b) rather than g() (see below)"),
            "w:use c:f(a, b) w:rather w:than c:g() w:see w:below"
        );
        assert_eq!(
            show("put #[must_use] and @cached on it; wait 30s, not 2."),
            "w:put c:#[must_use] w:and c:@cached w:on w:it w:wait n:30s w:not n:2"
        );
        assert_eq!(show("old -> new"), "w:old c:-> w:new");
        assert_eq!(
            show("add 'x' and \"y z\" at the file's end"),
            "w:add q:x w:and q:y z w:at w:the w:file w:end"
        );
    }

    #[test]
    fn asides_and_clauses_are_seen() {
        let found = pieces("drop x (it is unused), then stop");
        assert!(found[2].opens_aside);
        assert!(found[4].ends_clause);
        assert!(!found[0].ends_clause);
    }

    #[test]
    fn stems_leave_out_what_is_said_of_any_code() {
        assert_eq!(
            stems(&pieces("Add the retrying of HTTPErrors to fetch_all")),
            ["retr", "http", "err", "fetch"]
        );
    }
}
