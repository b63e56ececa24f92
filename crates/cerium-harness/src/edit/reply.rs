//! What a model answered, read as new lines for the regions it was shown.
//!
//! Small models are sloppy: they fence or do not fence, chat before and after, shift the
//! indentation, return more than they were asked for, copy line numbers, leave things out with
//! "...", drop blank lines. Everything here is pure text: an answer either becomes lines that are
//! as close to the old ones as the answer allows, or is refused with the reason.

mod blocks;
mod elision;
mod fence;
mod indent;
mod parts;
mod tidy;

pub(crate) use fence::fence_for;
pub(crate) use indent::{base, shifted};
pub(crate) use parts::{is_marker, marker};

use super::diff;
use super::strategy::Format;
use similar::DiffOp;

/// What stands for the code to edit among the lines around it that a model is shown.
pub(crate) const PLACE: &str = "(the code to edit is here)";

/// Answers of more bytes than this are not read.
const REPLY_BYTES_MAX: usize = 1 << 20;

/// One region as it was shown to the model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Its lines, without endings.
    pub old: Vec<String>,
    /// Lines of the file before it, as many as may be repeated by mistake.
    pub before: Vec<String>,
    /// Lines of the file after it.
    pub after: Vec<String>,
}

impl Part {
    /// Whether a line of it would be read as a mark of a search/replace block.
    pub(crate) fn looks_like_blocks(&self) -> bool {
        blocks::has_marks(&self.old)
    }
}

/// What an answer is read against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// How it was asked for.
    pub format: Format,
    /// The regions, in order.
    pub parts: Vec<Part>,
    /// Whether the answer was cut by a limit.
    pub cut: bool,
    /// Whether comments may go: otherwise one that disappears alone is put back.
    pub comments_may_go: bool,
}

/// Why an answer cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// There is nothing in it.
    #[error("the answer is empty")]
    Empty,
    /// There is no code in it.
    #[error("the answer holds no code")]
    NoCode,
    /// It was cut by the limit of tokens or by the context.
    #[error("the answer was cut off")]
    Cut,
    /// It leaves out code with "..." where it is not clear which.
    #[error("the answer leaves out code (`{line}`)")]
    Elided {
        /// The line that stands for what is left out.
        line: String,
    },
    /// It is what was shown around the code, again.
    #[error("the answer repeats what is around the code, not the code")]
    Surroundings,
    /// The parts cannot be told apart.
    #[error("the answer's parts cannot be told apart")]
    Parts,
    /// A search text is not in the code, or not in one place only.
    #[error("the text to replace occurs {n} times in the code (`{line}`)")]
    Search {
        /// How often it occurs.
        n: usize,
        /// Its first line.
        line: String,
    },
    /// Two replacements are for the same lines.
    #[error("two replacements are for the same lines (`{line}`)")]
    Twice {
        /// The first of them.
        line: String,
    },
}

/// Reads an answer: the new lines of every part, equal to the old ones where nothing changed.
///
/// # Errors
/// Any [`ReplyError`].
pub fn read(reply: &str, expected: &Expected) -> Result<Vec<Vec<String>>, ReplyError> {
    let mut end = reply.len().min(REPLY_BYTES_MAX);
    while !reply.is_char_boundary(end) {
        end -= 1;
    }
    let reply = reply[..end].replace("\r\n", "\n");
    if reply.trim().is_empty() {
        return Err(ReplyError::Empty);
    }
    if expected.format == Format::SearchReplace && blocks::has_blocks(&reply) {
        return blocks::read(&reply, expected);
    }
    let olds: Vec<&String> = expected.parts.iter().flat_map(|part| &part.old).collect();
    let lines = fence::code(&reply, &olds).ok_or(ReplyError::NoCode)?;
    if lines.iter().any(|line| line.contains(PLACE))
        && !olds.iter().any(|line| line.contains(PLACE))
    {
        return Err(ReplyError::Surroundings);
    }
    let lines = tidy::without_line_numbers(lines);
    let lines = tidy::without_diff_marks(lines, &olds);
    let split = match expected.parts.as_slice() {
        [_] => vec![Some(lines)],
        parts => parts::split(lines, parts, expected.cut)?,
    };
    let n_parts = split.len();
    let mut read = Vec::with_capacity(n_parts);
    for (i, (lines, part)) in split.into_iter().zip(&expected.parts).enumerate() {
        let Some(lines) = lines else {
            read.push(part.old.clone());
            continue;
        };
        let cut = expected.cut && i + 1 == n_parts;
        read.push(one(lines, part, cut, expected.comments_may_go)?);
    }
    Ok(read)
}

/// Reads the new lines of one part.
fn one(
    mut lines: Vec<String>,
    part: &Part,
    cut: bool,
    comments_may_go: bool,
) -> Result<Vec<String>, ReplyError> {
    if cut {
        lines = tidy::completed(lines, &part.old).ok_or(ReplyError::Cut)?;
    }
    lines = tidy::without_surroundings(lines, part);
    lines = indent::fitted(lines, &part.old);
    lines = elision::expanded(lines, &part.old)?;
    Ok(tidy::faithful(lines, &part.old, comments_may_go))
}

/// Pairs of equal lines (white space at both ends apart) of two texts, in order: (old, new).
fn aligned<A: AsRef<str>, B: AsRef<str>>(old: &[A], new: &[B]) -> Vec<(usize, usize)> {
    let old: Vec<&str> = old.iter().map(|line| line.as_ref().trim()).collect();
    let new: Vec<&str> = new.iter().map(|line| line.as_ref().trim()).collect();
    let mut pairs = Vec::new();
    for op in diff::lines(&old, &new) {
        if let DiffOp::Equal { old_index, new_index, len } = op {
            pairs.extend((0..len).map(|i| (old_index + i, new_index + i)));
        }
    }
    pairs
}

#[cfg(test)]
mod tests;
