//! Lines of a text: where they start, and spans of them counted the way people count.

use serde::{Deserialize, Serialize};
use std::ops::Range;

/// A run of lines, 1-based, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LineSpan {
    /// First line.
    #[serde(rename = "start_line")]
    pub start: usize,
    /// Last line, at least `start`.
    #[serde(rename = "end_line")]
    pub end: usize,
}

impl LineSpan {
    /// The lines `start..=end`; a reversed pair is put in order.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start: start.min(end), end: start.max(end) }
    }

    /// One line.
    pub fn line(line: usize) -> Self {
        Self { start: line, end: line }
    }

    /// How many lines.
    pub fn count(self) -> usize {
        self.end + 1 - self.start
    }

    /// Whether `other` lies inside.
    pub fn contains(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// Whether the two share a line.
    pub fn overlaps(self, other: Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    /// The smallest span that holds both.
    #[must_use]
    pub fn hull(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// Where the lines of one text start.
///
/// A line ends with `\n`, which belongs to it. A text that ends with `\n` has no empty line after
/// it; the empty text has one empty line.
#[derive(Clone, Debug)]
pub struct LineIndex {
    starts: Vec<usize>,
    len: usize,
}

impl LineIndex {
    /// Finds the lines of a text.
    pub fn new(text: &str) -> Self {
        let mut starts = vec![0];
        starts.extend(text.bytes().enumerate().filter(|&(_, b)| b == b'\n').map(|(i, _)| i + 1));
        if starts.len() > 1 && starts.last() == Some(&text.len()) {
            starts.pop();
        }
        Self { starts, len: text.len() }
    }

    /// Number of lines, at least 1.
    pub fn count(&self) -> usize {
        self.starts.len()
    }

    /// All lines.
    pub fn all(&self) -> LineSpan {
        LineSpan { start: 1, end: self.count() }
    }

    /// The 1-based line that holds a byte offset; offsets past the end belong to the last line.
    pub fn line_of(&self, byte: usize) -> usize {
        self.starts.partition_point(|&start| start <= byte)
    }

    /// Bytes of a span of lines, line endings included; the part of it that exists.
    pub fn bytes(&self, span: LineSpan) -> Range<usize> {
        let start = self.starts.get(span.start.saturating_sub(1)).copied().unwrap_or(self.len);
        let end = self.starts.get(span.end).copied().unwrap_or(self.len);
        start..end.max(start)
    }

    /// Lines touched by a range of bytes. An end just after a line ending does not touch the line
    /// that follows.
    pub fn span_of(&self, bytes: &Range<usize>) -> LineSpan {
        let start = self.line_of(bytes.start);
        let end = self.line_of(bytes.end.saturating_sub(1).max(bytes.start));
        LineSpan { start, end }
    }

    /// One line without its ending; empty when there is no such line.
    pub fn text<'t>(&self, text: &'t str, line: usize) -> &'t str {
        let whole = &text[self.bytes(LineSpan::line(line))];
        whole.strip_suffix('\n').map_or(whole, |l| l.strip_suffix('\r').unwrap_or(l))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_from_one_and_own_their_ending() {
        let text = "a\nbc\r\n\nd";
        let index = LineIndex::new(text);
        assert_eq!(index.count(), 4);
        assert_eq!(index.bytes(LineSpan::new(2, 3)), 2..7);
        assert_eq!(index.text(text, 2), "bc");
        assert_eq!(index.text(text, 9), "");
        assert_eq!(index.line_of(2), 2);
        assert_eq!(index.span_of(&(2..6)), LineSpan::line(2));
        assert_eq!(index.span_of(&(6..6)), LineSpan::line(3));
    }

    #[test]
    fn a_final_newline_starts_no_line() {
        assert_eq!(LineIndex::new("a\n").count(), 1);
        assert_eq!(LineIndex::new("").count(), 1);
        assert_eq!(LineIndex::new("\n").count(), 1);
    }
}
