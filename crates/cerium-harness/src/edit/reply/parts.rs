//! Several regions in one answer: numbered marker lines between them, and what to do without.

use super::{Part, ReplyError, aligned};

/// The line that opens part `n` (from 1), in a language's comment marks.
pub(crate) fn marker(comment: (&str, &str), n: usize) -> String {
    format!("{}--- part {n} ---{}", comment.0, comment.1)
}

/// The number of a marker line, however its marks were mangled.
fn marked(line: &str) -> Option<usize> {
    let inner = line.trim().trim_matches(|c: char| !c.is_alphanumeric());
    let number = inner.strip_prefix("part ").or_else(|| inner.strip_prefix("Part "))?;
    let short = line.trim().len() <= inner.len() + 16;
    number.parse().ok().filter(|_| short)
}

/// Whether a line opens a part.
pub(crate) fn is_marker(line: &str) -> bool {
    marked(line).is_some()
}

/// The lines of each part; `None` for a part the answer leaves out, which then stays as it is.
pub(super) fn split(
    lines: Vec<String>,
    parts: &[Part],
    cut: bool,
) -> Result<Vec<Option<Vec<String>>>, ReplyError> {
    let markers: Vec<usize> = lines.iter().filter_map(|line| marked(line)).collect();
    // The first marker is often given to the model, so it alone proves nothing.
    if markers.is_empty() || (markers == [1] && !cut) {
        let lines: Vec<String> = lines.into_iter().filter(|line| marked(line).is_none()).collect();
        return by_alignment(&lines, parts);
    }
    let mut found: Vec<Option<Vec<String>>> = vec![None; parts.len()];
    let mut at: Option<usize> = None;
    for line in lines {
        match marked(&line) {
            Some(n) if n >= 1 && n <= parts.len() && at.is_none_or(|at| n - 1 > at) => {
                at = Some(n - 1);
                found[n - 1] = Some(Vec::new());
            }
            Some(_) => return Err(ReplyError::Parts),
            None => match at {
                Some(i) => found[i].get_or_insert_default().push(line),
                // Before the first marker: nothing, or part 1 with its marker forgotten.
                None if line.trim().is_empty() => {}
                None => {
                    at = Some(0);
                    found[0] = Some(vec![line]);
                }
            },
        }
    }
    // A part that a limit cut off is not known to be whole; those after it were never written.
    if cut && at.is_some_and(|at| at + 1 < parts.len()) {
        return Err(ReplyError::Cut);
    }
    // An empty part is a slip of the marker, unless there was hardly anything to empty.
    for (lines, part) in found.iter_mut().zip(parts) {
        let blank = |lines: &Vec<String>| lines.iter().all(|l| l.trim().is_empty());
        if lines.as_ref().is_some_and(blank) && part.old.len() > 3 {
            *lines = None;
        }
    }
    Ok(found)
}

/// Without any marker: every line goes to the part whose old lines it stands among.
fn by_alignment(lines: &[String], parts: &[Part]) -> Result<Vec<Option<Vec<String>>>, ReplyError> {
    let old: Vec<(usize, usize, &str)> = parts
        .iter()
        .enumerate()
        .flat_map(|(p, part)| {
            part.old.iter().enumerate().map(move |(i, line)| (p, i, line.as_str()))
        })
        .collect();
    let texts: Vec<&str> = old.iter().map(|(_, _, line)| *line).collect();
    let telling = |line: &str| line.chars().filter(|c| c.is_alphanumeric()).count() >= 3;
    let anchors: Vec<(usize, usize, usize)> = aligned(&texts, lines)
        .into_iter()
        .filter(|&(o, _)| telling(texts[o]))
        .map(|(o, n)| (old[o].0, old[o].1, n))
        .collect();
    if anchors.is_empty() {
        return Err(ReplyError::Parts);
    }
    // Where each part begins in the answer, decided between the anchors on either side.
    let mut starts: Vec<(usize, usize)> = vec![(anchors[0].0, 0)];
    for pair in anchors.windows(2) {
        let ((a, a_line, a_at), (b, b_line, b_at)) = (pair[0], pair[1]);
        if a == b {
            continue;
        }
        let last_of_a = (a_line + 1..parts[a].old.len()).all(|i| !telling(&parts[a].old[i]));
        let first_of_b = (0..b_line).all(|i| !telling(&parts[b].old[i]));
        let blank = (a_at + 1..b_at).rev().find(|&at| lines[at].trim().is_empty());
        let start = match (blank, last_of_a, first_of_b) {
            _ if a_at + 1 == b_at => b_at,
            (Some(blank), ..) => blank + 1,
            (None, false, true) => b_at,
            (None, true, false) => a_at + 1,
            // New lines between two whole parts: nobody can know whose they are.
            (None, ..) => return Err(ReplyError::Parts),
        };
        starts.push((b, start));
    }
    let mut found: Vec<Option<Vec<String>>> = vec![None; parts.len()];
    let ends = starts.iter().skip(1).map(|&(_, start)| start).chain([lines.len()]);
    for (&(part, start), end) in starts.iter().zip(ends) {
        found[part] = Some(lines[start..end].to_vec());
    }
    Ok(found)
}
