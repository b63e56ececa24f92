//! New text for some regions of a file, and nothing else: where bytes outside a scope are kept.

use super::{diff, view::View};
use crate::files::Style;
use crate::lines::LineSpan;
use similar::DiffOp;
use std::ops::Range;

/// One replacement of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What is replaced, in bytes of the old text.
    pub bytes: Range<usize>,
    /// What stands there afterwards.
    pub new: String,
}

/// A text with some changes made. They are in order and do not overlap.
pub(crate) fn apply(text: &str, changes: &[Change]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for change in changes {
        out.push_str(&text[at..change.bytes.start]);
        out.push_str(&change.new);
        at = change.bytes.end;
    }
    out.push_str(&text[at..]);
    out
}

/// The change that makes the lines of a span read `new` (lines without endings).
///
/// Lines that stay keep their bytes, line ending included; others look as the file's style says.
/// Whether the file ends with a newline does not change, unless the style asks for one.
pub(crate) fn rewrite(view: &View<'_>, span: LineSpan, new: &[String], style: &Style) -> Change {
    let bytes = view.lines.bytes(span);
    let old = view.block(span);
    let new: Vec<&str> = new.iter().map(String::as_str).collect();
    let mut out = String::new();
    let mut push = |line: &str, ending: &str| {
        out.push_str(line);
        out.push_str(if ending.is_empty() { style.eol.text() } else { ending });
    };
    for op in diff::lines(&old, &new) {
        if let DiffOp::Equal { old_index, len, .. } = op {
            for i in old_index..old_index + len {
                let whole = &view.text[view.lines.bytes(LineSpan::line(span.start + i))];
                push(old[i], &whole[old[i].len()..]);
            }
        } else {
            new[op.new_range()].iter().for_each(|line| push(&style.line(line), ""));
        }
    }
    let at_end = bytes.end == view.text.len();
    let unended = at_end && !view.text.is_empty() && !view.text.ends_with('\n');
    if unended && !style.final_newline {
        let kept = out.strip_suffix('\n').map_or(out.len(), str::len);
        out.truncate(kept);
        let kept = out.strip_suffix('\r').map_or(out.len(), str::len);
        out.truncate(kept);
    }
    Change { bytes, new: out }
}

/// Bytes of a text that no region covers, in order.
pub(crate) fn outside(text_len: usize, regions: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut at = 0;
    let mut stretches = Vec::new();
    for region in regions {
        stretches.push(at..region.start);
        at = region.end;
    }
    stretches.push(at..text_len);
    stretches
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Path;

    fn rewritten(text: &str, span: LineSpan, new: &[&str]) -> String {
        let view = View::new(Path::new("f"), text);
        let new: Vec<String> = new.iter().map(|&l| l.to_owned()).collect();
        apply(text, &[rewrite(&view, span, &new, &Style::of_text(text))])
    }

    #[test]
    fn endings_are_kept_and_the_dominant_one_is_given() {
        let text = "a\r\nb\nc\r\nd\r\n";
        assert_eq!(
            rewritten(text, LineSpan::new(2, 3), &["b", "x", "c"]),
            "a\r\nb\nx\r\nc\r\nd\r\n"
        );
    }

    #[test]
    fn the_end_of_the_file_stays_as_it_was() {
        assert_eq!(rewritten("a\nb", LineSpan::line(2), &["b", "c"]), "a\nb\nc");
        assert_eq!(rewritten("a\r\nb", LineSpan::line(2), &["c"]), "a\r\nc");
        assert_eq!(rewritten("a\nb\n", LineSpan::line(2), &["c"]), "a\nc\n");
        assert_eq!(rewritten("", LineSpan::line(1), &["c"]), "c\n");
    }

    proptest! {
        #[test]
        fn bytes_outside_never_change(
            lines in prop::collection::vec(("[ab ]{0,3}", prop::sample::select(vec!["\n", "\r\n"])), 1..12),
            last in "[ab]{0,2}",
            new in prop::collection::vec("[abc ]{0,3}", 0..8),
            (a, b) in (0usize..12, 0usize..12),
        ) {
            let pieces = lines.iter().flat_map(|(line, end)| [line.as_str(), end]);
            let text: String = pieces.chain([last.as_str()]).collect();
            let view = View::new(Path::new("f"), &text);
            let n = view.lines.count();
            let span = LineSpan::new(a % n + 1, b % n + 1);
            let change = rewrite(&view, span, &new, &Style::of_text(&text));
            prop_assert_eq!(&change.bytes, &view.lines.bytes(span));
            let after = apply(&text, std::slice::from_ref(&change));
            let [prefix, suffix] = [text[..change.bytes.start].to_owned(), text[change.bytes.end..].to_owned()];
            prop_assert!(after.starts_with(&prefix) && after.ends_with(&suffix));
            prop_assert_eq!(after.len(), prefix.len() + change.new.len() + suffix.len());
            // The new lines are there, in order, and nothing else is.
            let inside: Vec<&str> = change.new.split_terminator('\n').map(|l| l.strip_suffix('\r').unwrap_or(l)).collect();
            let wanted: Vec<&str> = new.iter().map(String::as_str).collect();
            let blank_end = wanted.last().is_some_and(|l| l.is_empty());
            prop_assert!(inside == wanted || blank_end, "{:?} {:?}", inside, wanted);
            // The final newline is there exactly if it was.
            if !after.is_empty() && !text.is_empty() && !new.is_empty() && !blank_end {
                prop_assert_eq!(after.ends_with('\n'), text.ends_with('\n'));
            }
        }
    }
}
