//! Unicode classes of characters, as the reference regexes name them: `\p{L}`, `\p{N}`, `\s` and
//! so on. One byte per character in pages that are shared where they are equal, 40 KB in all.

use std::sync::LazyLock;

use regex_syntax::hir::{Hir, HirKind};

/// What a character is: a set of the constants below.
pub(super) type Class = u8;

/// `\p{L}`
pub(super) const LETTER: Class = 1;
/// `\p{N}`
pub(super) const NUMBER: Class = 2;
/// `\s`
pub(super) const SPACE: Class = 4;
/// `\r` or `\n`
pub(super) const NEWLINE: Class = 8;
/// `\p{P}`
pub(super) const PUNCTUATION: Class = 16;
/// `\p{M}`
pub(super) const MARK: Class = 32;
/// `[\p{Lu}\p{Lt}]`
pub(super) const UPPER: Class = 64;
/// `\p{Ll}`
pub(super) const LOWER: Class = 128;

const PAGE: usize = 256;

/// The class of every character.
#[derive(Debug)]
pub(super) struct Classes {
    /// Where the page of each 256 characters starts in `pages`.
    starts: Vec<u16>,
    pages: Vec<Class>,
}

/// The table, built at first use (under a millisecond).
pub(super) static CLASSES: LazyLock<Classes> = LazyLock::new(Classes::new);

impl Classes {
    /// The class of a character.
    #[inline]
    pub(super) fn of(&self, c: char) -> Class {
        let code = c as usize;
        self.pages[usize::from(self.starts[code / PAGE]) * PAGE + code % PAGE]
    }

    fn new() -> Self {
        let mut all = vec![0; char::MAX as usize + 1];
        let properties = [
            ("L", LETTER),
            ("N", NUMBER),
            ("P", PUNCTUATION),
            ("M", MARK),
            ("Lu", UPPER),
            ("Lt", UPPER),
            ("Ll", LOWER),
        ];
        for (name, class) in properties {
            for (first, last) in ranges(name) {
                for entry in &mut all[first as usize..=last as usize] {
                    *entry |= class;
                }
            }
        }
        for c in ('\0'..='\u{3000}').filter(|c| c.is_whitespace()) {
            all[c as usize] |= SPACE;
        }
        all['\r' as usize] |= NEWLINE;
        all['\n' as usize] |= NEWLINE;

        let mut classes = Self { starts: Vec::new(), pages: Vec::new() };
        for page in all.chunks(PAGE) {
            let known = classes.pages.chunks(PAGE).position(|other| other == page);
            let idx = known.unwrap_or(classes.pages.len() / PAGE);
            if known.is_none() {
                classes.pages.extend_from_slice(page);
            }
            classes.starts.push(idx as u16);
        }
        classes
    }
}

/// First and last characters of each range of a general category.
fn ranges(category: &str) -> Vec<(char, char)> {
    let parsed = regex_syntax::parse(&format!(r"\p{{{category}}}")).map(Hir::into_kind);
    let Ok(HirKind::Class(regex_syntax::hir::Class::Unicode(class))) = parsed else {
        unreachable!("regex-syntax is built with the general categories");
    };
    class.iter().map(|range| (range.start(), range.end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_agrees_with_the_standard_library() {
        let classes = Classes::new();
        for c in '\0'..=char::MAX {
            assert_eq!(classes.of(c) & SPACE != 0, c.is_whitespace(), "{c:?}");
            // Alphabetic holds more than the letters (some marks and numbers), never fewer.
            assert!(c.is_alphabetic() || classes.of(c) & LETTER == 0, "{c:?}");
        }
        assert_eq!(classes.of('_'), PUNCTUATION);
        assert_eq!(classes.of('²'), NUMBER);
        assert_eq!(classes.of('ß'), LETTER | LOWER);
        assert_eq!((classes.of('ǅ'), classes.of('中')), (LETTER | UPPER, LETTER));
        assert_eq!(classes.of('\n'), SPACE | NEWLINE);
        assert_eq!(classes.of('\u{301}'), MARK);
        assert!(classes.pages.len() < 100 << 10, "{}", classes.pages.len());
    }
}
