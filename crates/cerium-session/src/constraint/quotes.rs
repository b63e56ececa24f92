//! Search/replace blocks that cannot miss: a search text is whole lines of the texts that are changed, as many as it
//! takes to be in one place only.
//!
//! For every line there is a rule that begins with it: the fewest lines from there on that stand nowhere else, in one
//! piece, and then as many more as the model likes. No piece is the beginning of another one, since that would
//! then stand in two places; so few tokens decide where a block belongs, and the rest of the piece is forced.
//! Blocks follow each other as their places do, none over another: small models would write the same one for ever.

use super::grammar::literal;
use std::fmt::Write as _;

/// The rule for an answer made of blocks.
pub(super) const BLOCKS: &str = "blocks";

/// What marks the parts of a block: no line of a source begins with one of them, white space apart.
const MARKS: [&str; 3] = ["<<<<<<<", "=======", ">>>>>>>"];

/// Lines of all sources at most: each is an alternative at the beginning of every block.
const N_LINES_MAX: usize = 1000;

/// The rules for blocks that change some texts.
///
/// # Errors
/// Why there are none: a text of too many lines, with marks of blocks in it, or without a line that can be told from
/// the others.
pub(super) fn rules(sources: &[String]) -> Result<String, String> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    for source in sources {
        lines.extend(source.lines().map(Line::Text));
        lines.push(Line::End(lines.len()));
    }
    if lines.len() > N_LINES_MAX {
        return Err(format!("{} lines; blocks are followed in {N_LINES_MAX} at most", lines.len()));
    }
    let marked =
        |line: &&Line<'_>| MARKS.iter().any(|mark| line.text().trim_start().starts_with(mark));
    if let Some(line) = lines.iter().find(marked) {
        return Err(format!("the line `{}` looks like a mark of a block", line.text()));
    }
    let mut rules = String::from(
        "replaced[suffix=\"\\n>>>>>>> REPLACE\"]: REPLACED\n\
         REPLACED: /(\\n(?s:.*))?/ & ~/(?s:.*)\\n(<<<<<<<|>>>>>>>)(?s:.*)/\n",
    );
    // From the end, so that it is known of each place whether a block can begin there or behind it.
    let mut first: Option<usize> = None;
    for (i, n) in unique(&lines).into_iter().enumerate().rev() {
        let again = first.map(|first| format!(" (\"\\n\" block_{first})?")).unwrap_or_default();
        let quoted = match lines[i] {
            Line::Text(text) => format!("{} quoted_{} | ", literal(&format!("{text}\n")), i + 1),
            Line::End(_) => String::new(),
        };
        let _ = writeln!(rules, "quoted_{i}: {quoted}\"=======\" replaced{again}");
        let Some(n) = n else { continue };
        let piece = lines[i..i + n].iter().map(Line::text).collect::<Vec<_>>().join("\n") + "\n";
        let later = first.map(|first| format!(" | begun_{first}")).unwrap_or_default();
        let _ = writeln!(rules, "begun_{i}: {} quoted_{}{later}", literal(&piece), i + n);
        let _ = writeln!(rules, "block_{i}: \"<<<<<<< SEARCH\\n\" begun_{i}");
        first = Some(i);
    }
    let first = first.ok_or("no line can be told from the others")?;
    let _ = writeln!(rules, "{BLOCKS}: block_{first}");
    Ok(rules)
}

/// A line of a source, or the end of one, which is like nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Line<'a> {
    Text(&'a str),
    End(usize),
}

impl<'a> Line<'a> {
    fn text(&self) -> &'a str {
        match self {
            Self::Text(text) => text,
            Self::End(_) => "",
        }
    }
}

/// How many lines from each one on stand nowhere else, the last of them with text; `None` where a quote cannot begin:
/// at a line without text, or where all up to the end is there once more.
fn unique(lines: &[Line<'_>]) -> Vec<Option<usize>> {
    // Readers of blocks do not see white space at the ends of lines.
    let lines: Vec<Line<'_>> = lines
        .iter()
        .map(|line| match line {
            Line::Text(text) => Line::Text(text.trim_end()),
            Line::End(_) => *line,
        })
        .collect();
    let mut order: Vec<usize> = (0..lines.len()).collect();
    order.sort_unstable_by(|&a, &b| lines[a..].cmp(&lines[b..]));
    let same =
        |a: usize, b: usize| lines[a..].iter().zip(&lines[b..]).take_while(|(a, b)| a == b).count();
    let mut n_shared = vec![0; lines.len()];
    for pair in order.windows(2) {
        let n = same(pair[0], pair[1]);
        for &i in pair {
            n_shared[i] = n_shared[i].max(n);
        }
    }
    let length = |i: usize| {
        let rest = &lines[i..];
        let blank = |line: &Line<'_>| line.text().is_empty();
        if blank(&rest[0]) {
            return None;
        }
        let n = n_shared[i] + 1;
        let end = rest.iter().position(|line| matches!(line, Line::End(_)))?;
        (n..=end).find(|&n| !blank(&rest[n - 1]))
    };
    (0..lines.len()).map(length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_is_as_long_as_it_takes_to_be_in_one_place() {
        let lines: Vec<Line<'_>> = ["a", "}", "", "b", "}", "", "}  "].map(Line::Text).to_vec();
        let lines = [lines.as_slice(), &[Line::End(7)]].concat();
        let want = [Some(1), Some(3), None, Some(1), Some(3), None, None, None];
        assert_eq!(unique(&lines), want);
    }
}
