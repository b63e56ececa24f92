//! Where a text can be cut so that what stays makes sense.

use cerium_protocol::Keep;

/// Ends of lines after which a statement goes on, or has only begun.
const OPEN_ENDS: &[char] =
    &['(', '[', '{', ',', '\\', '=', '+', '-', '*', '/', '|', '&', '<', '.', ':'];

/// Beginnings of lines that end a part of an answer: fences, and the last marker of an edit.
const MARKERS: [&str; 2] = ["```", ">>>>>>>"];

/// Bytes of `text` that stay.
pub(super) fn n_kept(text: &str, keep: Keep) -> usize {
    match keep {
        Keep::All => text.len(),
        Keep::Bytes(n) => text.floor_char_boundary(n),
        Keep::Lines => ends(text, |_, _| true),
        Keep::Statements => ends(text, |line, depth| {
            depth <= 0 && !line.trim_end().ends_with(OPEN_ENDS) && !line.trim().is_empty()
        }),
        Keep::Hunks => ends(text, |line, _| {
            line.trim().is_empty()
                || MARKERS.iter().any(|marker| line.trim_start().starts_with(marker))
        }),
    }
}

/// The end of the last whole line that is a good one, by itself and the depth of brackets after it. Braces do
/// not count: whole bodies lie in them.
fn ends(text: &str, is_good: impl Fn(&str, i32) -> bool) -> usize {
    let (mut at, mut depth, mut best) = (0, 0, 0);
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        at += line.len();
        depth += line.matches(['(', '[']).count() as i32 - line.matches([')', ']']).count() as i32;
        if is_good(line, depth) {
            best = at;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str, keep: Keep) -> &str {
        &text[..n_kept(text, keep)]
    }

    #[test]
    fn a_cut_leaves_whole_things() {
        let text = "let a = f(\n    1,\n    2);\nlet b =\n    g";
        assert_eq!(kept(text, Keep::All), text);
        assert_eq!(kept(text, Keep::Lines), "let a = f(\n    1,\n    2);\nlet b =\n");
        assert_eq!(kept(text, Keep::Statements), "let a = f(\n    1,\n    2);\n");
        assert_eq!(
            kept("fn f() {\n    a();\n    if b {\n", Keep::Statements),
            "fn f() {\n    a();\n"
        );
        assert_eq!(kept("def f():\n    x = [\n", Keep::Statements), "");
        assert_eq!(kept("a\n\nb\nc\n", Keep::Hunks), "a\n\n");
        assert_eq!(kept("a\n```\nb\n", Keep::Hunks), "a\n```\n");
        assert_eq!(kept("aé", Keep::Bytes(2)), "a");
        assert_eq!(kept("aé", Keep::Bytes(9)), "aé");
        assert_eq!(kept("a", Keep::Lines), "");
    }
}
