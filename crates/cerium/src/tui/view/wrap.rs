//! Lines cut to a width: at spaces where there are any, never inside a grapheme.

use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Columns of a tab stop.
const TAB: usize = 4;

/// Wraps one line, in pieces with a style each. Later lines are indented, and all of them begin with a margin.
///
/// * `width`: columns, margin and indentation included
pub(super) fn wrap<T: AsRef<str>>(
    pieces: &[(T, Style)],
    width: usize,
    margin: &Span<'static>,
    indent: usize,
) -> Vec<Line<'static>> {
    let room = width.saturating_sub(margin.width()).max(8);
    let indent = indent.min(room / 2);
    // Graphemes, with their widths and styles.
    let mut cells: Vec<(String, usize, Style)> = Vec::new();
    let mut column = 0;
    for (text, style) in pieces {
        for grapheme in text.as_ref().graphemes(true) {
            let (grapheme, n) = if grapheme == "\t" {
                let n = TAB - column % TAB;
                (" ".repeat(n), n)
            } else {
                (grapheme.to_owned(), grapheme.width())
            };
            column += n;
            cells.push((grapheme, n, *style));
        }
    }
    let mut lines = Vec::new();
    let mut rest = cells.as_slice();
    loop {
        let before = if lines.is_empty() { 0 } else { indent };
        let n = fitting(rest, room - before);
        let (line, after) = rest.split_at(n);
        let mut spans = vec![margin.clone()];
        if before > 0 {
            spans.push(Span::raw(" ".repeat(before)));
        }
        spans.extend(spans_of(line));
        lines.push(Line::from(spans));
        rest = after;
        if rest.is_empty() {
            return lines;
        }
    }
}

/// How many cells go into one line.
fn fitting(cells: &[(String, usize, Style)], room: usize) -> usize {
    let mut n_columns = 0;
    let mut space = None;
    for (at, (text, n, _)) in cells.iter().enumerate() {
        if n_columns + n > room {
            // A line without a space is cut where it is full.
            return space.filter(|at| *at > 0).unwrap_or(at.max(1));
        }
        n_columns += n;
        if text == " " {
            space = Some(at + 1);
        }
    }
    cells.len()
}

/// Neighbours of one style, together.
fn spans_of(cells: &[(String, usize, Style)]) -> Vec<Span<'static>> {
    let groups = cells.chunk_by(|a, b| a.2 == b.2);
    groups
        .map(|group| {
            let text: String = group.iter().map(|(text, ..)| text.as_str()).collect();
            Span::styled(text, group[0].2)
        })
        .collect()
}

/// A text of so many columns at most, with dots where it is cut.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut n_columns = 0;
    let fits = text.graphemes(true).take_while(|grapheme| {
        n_columns += grapheme.width();
        n_columns < width
    });
    let mut short: String = fits.collect();
    short.push('\u{2026}');
    short
}

/// Two texts at both ends of a line; the left one is cut where they do not fit.
pub(super) fn between(left: &str, right: &str, width: usize) -> String {
    let right = cut(right, width);
    let left = cut(left, width.saturating_sub(right.width()));
    let gap = width.saturating_sub(left.width() + right.width());
    format!("{left}{}{right}", " ".repeat(gap))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(text: &str, width: usize) -> Vec<String> {
        let lines = wrap(&[(text, Style::new())], width, &Span::raw("  "), 2);
        lines.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn lines_break_at_spaces_and_in_long_words() {
        assert_eq!(wrapped("one two three four", 12), ["  one two ", "    three ", "    four"]);
        assert_eq!(wrapped("abcdefghijklmnop", 10), ["  abcdefgh", "    ijklmn", "    op"]);
        assert_eq!(wrapped("", 10), ["  "]);
        assert_eq!(
            wrapped("\u{6f22}\u{5b57}\u{6f22}\u{5b57}\u{6f22}", 10),
            ["  \u{6f22}\u{5b57}\u{6f22}\u{5b57}", "    \u{6f22}"]
        );
    }

    #[test]
    fn what_does_not_fit_is_cut() {
        assert_eq!(cut("abcdef", 4), "abc\u{2026}");
        assert_eq!(between("left", "right", 12), "left   right");
        assert_eq!(between("left", "right", 8), "le\u{2026}right");
    }
}
