//! "... rest of the code unchanged ...": put back what was left out, where it is clear what.

use super::{ReplyError, aligned};

const PHRASES: &[&str] = &[
    "rest of",
    "unchanged",
    "existing code",
    "remains the same",
    "remain the same",
    "same as before",
    "code omitted",
    "as before",
    "previous code",
    "other code",
];

/// Whether a line stands for others that were left out.
fn is_elision(line: &str) -> bool {
    let trimmed = line.trim();
    if matches!(trimmed, "..." | "\u{2026}") {
        return true;
    }
    let inner = trimmed.trim_start_matches(['#', '/', '*', '-', '<', '!', ' ', '{']);
    let is_comment = inner.len() < trimmed.len();
    let lower = inner.to_lowercase();
    let dots = lower.starts_with("...") || lower.starts_with('\u{2026}');
    is_comment
        && (dots || (lower.len() < 80 && PHRASES.iter().any(|phrase| lower.contains(phrase))))
}

/// The answer with every elision replaced by the old lines between its neighbours.
pub(super) fn expanded(lines: Vec<String>, old: &[String]) -> Result<Vec<String>, ReplyError> {
    let known = |line: &str| old.iter().any(|o| o.trim() == line.trim());
    let elided: Vec<bool> = lines.iter().map(|l| is_elision(l) && !known(l)).collect();
    if !elided.contains(&true) {
        return Ok(lines);
    }
    let kept: Vec<usize> = (0..lines.len()).filter(|&i| !elided[i]).collect();
    let texts: Vec<&str> = kept.iter().map(|&i| lines[i].as_str()).collect();
    let mut old_of = vec![None; lines.len()];
    for (o, k) in aligned(old, &texts) {
        old_of[kept[k]] = Some(o);
    }
    let mut out: Vec<String> = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        if !elided[i] {
            out.push(line.clone());
            continue;
        }
        let telling = |j: &usize| !elided[*j] && !lines[*j].trim().is_empty();
        let unclear = || ReplyError::Elided { line: line.trim().to_owned() };
        let from = match (0..i).rev().find(telling) {
            Some(j) => old_of[j].ok_or_else(unclear)? + 1,
            None => 0,
        };
        let to = match (i + 1..lines.len()).find(telling) {
            Some(j) => old_of[j].ok_or_else(unclear)?,
            None => old.len(),
        };
        if to <= from {
            // Nothing stood there: `...` on its own may be code (Python); a phrase is chatter.
            if matches!(line.trim(), "...") {
                out.push(line.clone());
            }
            continue;
        }
        out.extend_from_slice(&old[from..to]);
    }
    Ok(out)
}
