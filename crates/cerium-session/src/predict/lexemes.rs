//! Text cut into what edits change: words, runs of blanks, line breaks with the indentation after
//! them, single marks. Bytes, because generated text may end within a character.

use std::collections::HashMap;

/// Lexemes of a predicted text that are followed; what is beyond is not drafted.
const N_MAX: usize = 1 << 14;

/// What a lexeme is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Letters, digits, underscores, and anything that is not ASCII.
    Word,
    /// Blanks within a line.
    Blank,
    /// Ends of lines and the indentation of the next one.
    Break,
    /// One other character.
    Mark,
}

/// The class of the first lexeme of a text, and its length in bytes.
pub(super) fn next(text: &[u8]) -> Option<(Class, usize)> {
    let class = class(*text.first()?);
    let goes_on = |&&b: &&u8| match class {
        Class::Break => matches!(self::class(b), Class::Break | Class::Blank),
        _ => self::class(b) == class,
    };
    let n = if class == Class::Mark { 1 } else { text.iter().take_while(goes_on).count() };
    Some((class, n))
}

fn class(byte: u8) -> Class {
    match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'_' | 0x80.. => Class::Word,
        b' ' | b'\t' => Class::Blank,
        b'\n' | b'\r' => Class::Break,
        _ => Class::Mark,
    }
}

/// One lexeme of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lexeme {
    /// Equal texts have equal ids.
    pub(super) id: u32,
    pub(super) class: Class,
    /// The lexeme of the text at its beginning that stands here, or after what is new here.
    pub(super) origin: u32,
    /// Number of the change that put it here.
    pub(super) change: Option<u32>,
}

/// A text in lexemes, the rest of which may be exchanged.
#[derive(Debug)]
pub(super) struct Lexemes {
    list: Vec<Lexeme>,
    texts: Vec<Vec<u8>>,
    ids: HashMap<Vec<u8>, u32>,
}

impl Lexemes {
    pub(super) fn of(text: &[u8]) -> Self {
        let mut all = Self { list: Vec::new(), texts: Vec::new(), ids: HashMap::new() };
        let mut rest = text;
        while let Some((class, n)) = next(rest)
            && all.len() < N_MAX
        {
            let (lexeme, after) = rest.split_at(n);
            let (id, origin) = (all.intern(lexeme), all.len() as u32);
            all.list.push(Lexeme { id, class, origin, change: None });
            rest = after;
        }
        all
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn list(&self) -> &[Lexeme] {
        &self.list
    }

    pub(super) fn bytes(&self, i: usize) -> &[u8] {
        self.text(self.list[i].id)
    }

    /// The text of an id.
    pub(super) fn text(&self, id: u32) -> &[u8] {
        &self.texts[id as usize]
    }

    /// The id of a lexeme's text.
    pub(super) fn intern(&mut self, text: &[u8]) -> u32 {
        if let Some(&id) = self.ids.get(text) {
            return id;
        }
        let id = self.texts.len() as u32;
        self.texts.push(text.to_vec());
        self.ids.insert(text.to_vec(), id);
        id
    }

    /// The id of a lexeme's text, if any lexeme had it before.
    pub(super) fn id(&self, text: &[u8]) -> Option<u32> {
        self.ids.get(text).copied()
    }

    /// Whether a lexeme was put there by a change.
    pub(super) fn is_changed(&self, i: usize) -> bool {
        self.list[i].change.is_some()
    }

    /// Exchanges everything from a place on.
    pub(super) fn exchange(&mut self, from: usize, rest: &[Lexeme]) {
        self.list.truncate(from);
        self.list.extend_from_slice(rest);
    }
}

/// The indentation after the last end of a line in a [`Class::Break`].
pub(super) fn indent(lexeme: &[u8]) -> &[u8] {
    let start = lexeme.iter().rposition(|&b| class(b) == Class::Break).map_or(0, |i| i + 1);
    &lexeme[start..]
}
