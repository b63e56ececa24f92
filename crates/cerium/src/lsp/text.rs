//! A document's text while it is typed in: places as editors count them (lines, and code units in a line), and changes.

use gen_lsp_types::Position;
use std::ops::Range;

/// What a column counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Bytes.
    Utf8,
    /// UTF-16 code units: most characters are one, those beyond the basic plane two.
    Utf16,
}

impl Encoding {
    fn len(self, c: char) -> usize {
        match self {
            Self::Utf8 => c.len_utf8(),
            Self::Utf16 => c.len_utf16(),
        }
    }
}

/// A text, and where its lines start. A line ends with `\n`, `\r\n` or `\r`, as the protocol has it.
#[derive(Clone, Debug)]
pub(super) struct Text {
    text: String,
    starts: Vec<usize>,
}

impl Text {
    pub(super) fn new(text: String) -> Self {
        let starts = std::iter::once(0).chain(line_starts(&text)).collect();
        Self { text, starts }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// The byte at a position. One that is not in the text means the nearest before it, as the protocol has it: the end of the
    /// line, or of the text.
    pub(super) fn offset(&self, position: Position, encoding: Encoding) -> usize {
        let line = position.line as usize;
        let Some(&start) = self.starts.get(line) else { return self.text.len() };
        let end = self.starts.get(line + 1).copied().unwrap_or(self.text.len());
        let line = self.text[start..end].trim_end_matches(['\r', '\n']);
        let mut units = 0;
        for (at, c) in line.char_indices() {
            units += encoding.len(c);
            if units > position.character as usize {
                return start + at;
            }
        }
        start + line.len()
    }

    /// The bytes of a range.
    pub(super) fn bytes(&self, range: gen_lsp_types::Range, encoding: Encoding) -> Range<usize> {
        let (a, b) = (self.offset(range.start, encoding), self.offset(range.end, encoding));
        a.min(b)..a.max(b)
    }

    /// The position of a byte.
    pub(super) fn position(&self, offset: usize, encoding: Encoding) -> Position {
        let line = self.line_of(offset);
        let units: usize =
            self.text[self.starts[line]..offset].chars().map(|c| encoding.len(c)).sum();
        Position { line: line as u32, character: units as u32 }
    }

    /// A line without its ending; empty when there is no such line.
    pub(super) fn line(&self, line: u32) -> &str {
        let line = line as usize;
        let Some(&start) = self.starts.get(line) else { return "" };
        let end = self.starts.get(line + 1).copied().unwrap_or(self.text.len());
        self.text[start..end].trim_end_matches(['\r', '\n'])
    }

    /// The range of some bytes.
    pub(super) fn range(&self, bytes: &Range<usize>, encoding: Encoding) -> gen_lsp_types::Range {
        gen_lsp_types::Range {
            start: self.position(bytes.start, encoding),
            end: self.position(bytes.end, encoding),
        }
    }

    /// Puts other text in place of some bytes.
    pub(super) fn replace(&mut self, bytes: Range<usize>, new: &str) {
        // The line above may end in a `\r` that is now followed by a `\n`.
        let first = self.line_of(bytes.start).saturating_sub(1);
        let last = self.line_of(bytes.end);
        let tail_old = self.text.len() - self.starts.get(last + 1).unwrap_or(&self.text.len());
        let n_bytes = bytes.len();
        self.text.replace_range(bytes, new);
        let region = self.starts[first]..self.text.len() - tail_old;
        let again: Vec<usize> =
            line_starts(&self.text[region.clone()]).map(|at| region.start + at).collect();
        let kept = (last + 2).min(self.starts.len());
        for start in &mut self.starts[kept..] {
            *start = *start + new.len() - n_bytes;
        }
        self.starts.splice(first + 1..kept, again);
    }

    fn line_of(&self, byte: usize) -> usize {
        self.starts.partition_point(|&start| start <= byte) - 1
    }
}

/// Where lines start but the first one.
fn line_starts(text: &str) -> impl Iterator<Item = usize> {
    let bytes = text.as_bytes();
    let ends = move |&at: &usize| match bytes[at] {
        b'\n' => true,
        b'\r' => bytes.get(at + 1) != Some(&b'\n'),
        _ => false,
    };
    (0..bytes.len()).filter(ends).map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(line: u32, character: u32) -> Position {
        Position { line, character }
    }

    #[test]
    fn columns_count_what_was_agreed_on() {
        let text = Text::new("a😀é\r\nb\rc\n".to_owned());
        let offset = |line, column, encoding| text.offset(at(line, column), encoding);
        assert_eq!(offset(0, 3, Encoding::Utf16), 5);
        assert_eq!(offset(0, 2, Encoding::Utf16), 1, "within a character: before it");
        assert_eq!(offset(0, 5, Encoding::Utf8), 5);
        assert_eq!(offset(0, 99, Encoding::Utf16), 7, "the end of the line, not after it");
        assert_eq!(offset(2, 0, Encoding::Utf16), 11);
        assert_eq!(offset(3, 0, Encoding::Utf8), 13);
        assert_eq!(offset(u32::MAX, u32::MAX, Encoding::Utf8), 13);
        assert_eq!(text.position(7, Encoding::Utf16), at(0, 4));
        assert_eq!(text.position(12, Encoding::Utf16), at(2, 1));
    }

    /// The text cut into lines anew, and a position found unit by unit.
    fn plain_offset(text: &str, position: Position, encoding: Encoding) -> usize {
        let (mut line, mut units, mut last) = (0, 0, '\0');
        for (byte, c) in text.char_indices() {
            let ended = last == '\n' || (last == '\r' && c != '\n');
            if ended {
                (line, units) = (line + 1, 0);
            }
            last = c;
            if line != position.line {
                continue;
            }
            let width = encoding.len(c) as u32;
            if "\r\n".contains(c) || units + width > position.character {
                return byte;
            }
            units += width;
        }
        text.len()
    }

    proptest! {
        #[test]
        fn random_edits_leave_what_plain_ones_leave(
            text in "[ab😀é\r\n]{0,40}",
            edits in prop::collection::vec(((0u32..8, 0u32..8), (0u32..8, 0u32..8), "[x😀\r\n]{0,4}"), 0..12),
            (line, column) in (0u32..9, 0u32..9),
            utf8 in any::<bool>(),
        ) {
            let encoding = if utf8 { Encoding::Utf8 } else { Encoding::Utf16 };
            let mut edited = Text::new(text.clone());
            let mut plain = text;
            for ((a, b), (c, d), new) in &edits {
                let ends = [at(*a, *b), at(*c, *d)].map(|p| plain_offset(&plain, p, encoding));
                let range = gen_lsp_types::Range { start: at(*a, *b), end: at(*c, *d) };
                let bytes = edited.bytes(range, encoding);
                prop_assert_eq!(&bytes, &(ends[0].min(ends[1])..ends[0].max(ends[1])));
                edited.replace(bytes.clone(), new);
                plain.replace_range(bytes, new);
                prop_assert_eq!(&edited.text, &plain);
                prop_assert_eq!(&edited.starts, &Text::new(plain.clone()).starts);
            }
            let offset = edited.offset(at(line, column), encoding);
            prop_assert_eq!(offset, plain_offset(&plain, at(line, column), encoding));
            prop_assert_eq!(edited.offset(edited.position(offset, encoding), encoding), offset);
        }
    }
}
