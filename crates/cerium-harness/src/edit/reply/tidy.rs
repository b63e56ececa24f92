//! Small repairs that bring an answer closer to the old lines without changing what it says.

use super::{Part, aligned};

/// Takes off `12: `, `12 | ` or `12\t` when nearly every line has them, counting up.
pub(super) fn without_line_numbers(lines: Vec<String>) -> Vec<String> {
    let numbered = |line: &String| {
        let text = line.trim_start();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let number: usize = text[..digits].parse().ok()?;
        let rest = &text[digits..];
        let mark = rest.strip_prefix(" | ").or_else(|| rest.strip_prefix(" |"));
        let mark = mark.or_else(|| rest.strip_prefix("| ")).or_else(|| rest.strip_prefix(": "));
        let mark = mark.or_else(|| rest.strip_prefix('\t')).or_else(|| rest.strip_prefix(':'));
        mark.map(|code| (number, code.to_owned()))
    };
    let with_text: Vec<&String> = lines.iter().filter(|l| !l.trim().is_empty()).collect();
    let found: Vec<(usize, String)> = with_text.iter().filter_map(|l| numbered(l)).collect();
    let rising = found.windows(2).all(|pair| pair[0].0 < pair[1].0);
    if found.len() < 2 || found.len() * 10 < with_text.len() * 9 || !rising {
        return lines;
    }
    lines.into_iter().map(|line| numbered(&line).map_or(line, |(_, code)| code)).collect()
}

/// Reads an answer that marks its lines like a diff: `-` lines go, `+` and context lines lose their
/// mark. Only when some `-` line is an old line but for the mark, and none is one with it.
pub(super) fn without_diff_marks(lines: Vec<String>, old: &[&String]) -> Vec<String> {
    let is_old = |text: &str| old.iter().any(|line| line.trim() == text.trim());
    let mark = |mark: char| {
        lines
            .iter()
            .filter_map(move |line| line.strip_prefix(mark))
            .filter(|t| !t.trim().is_empty())
    };
    let removes = mark('-').any(is_old);
    let literal = lines.iter().any(|line| line.starts_with(['-', '+']) && is_old(line));
    if !removes || literal || mark('+').next().is_none() {
        return lines;
    }
    let header = |line: &str| ["@@ ", "--- ", "+++ "].iter().any(|start| line.starts_with(start));
    // Context is set in by one column if the lines around it are.
    let set_in = lines
        .iter()
        .filter(|line| !line.starts_with(['-', '+']) && !line.trim().is_empty() && !header(line))
        .all(|line| line.starts_with(' '));
    let read = |line: String| {
        let unmarked = line.strip_prefix('+').or(line.strip_prefix(' ').filter(|_| set_in));
        match unmarked {
            _ if line.starts_with('-') || header(&line) => None,
            Some(text) => Some(text.to_owned()),
            None => Some(line),
        }
    };
    lines.into_iter().filter_map(read).collect()
}

/// An answer that was cut, with the rest of the old lines after its last one that is known; `None`
/// when the end is not on known ground.
pub(super) fn completed(mut lines: Vec<String>, old: &[String]) -> Option<Vec<String>> {
    lines.pop(); // The line that was being written.
    let pairs = aligned(old, &lines);
    let n = lines.len();
    let &(last, _) = pairs.iter().rev().find(|&&(_, new)| new + 1 == n)?;
    let before = n.checked_sub(2)?;
    let run = pairs.iter().any(|&(o, new)| new == before && o + 1 == last);
    let telling = |line: &String| line.chars().filter(|c| c.is_alphanumeric()).count() >= 4;
    if !run || !(telling(&old[last]) || telling(&old[last - 1])) {
        return None;
    }
    lines.extend_from_slice(&old[last + 1..]);
    Some(lines)
}

/// Takes off lines of the file around the region that were written along with it.
pub(super) fn without_surroundings(mut lines: Vec<String>, part: &Part) -> Vec<String> {
    let file: Vec<&str> =
        part.before.iter().chain(&part.old).chain(&part.after).map(String::as_str).collect();
    let n_before = part.before.len();
    let old_end = n_before + part.old.len();
    let text = |line: &str| !line.trim().is_empty();
    let first = lines.iter().position(|line| text(line));
    let last = lines.iter().rposition(|line| text(line));
    let (Some(first), Some(last)) = (first, last) else { return lines };
    let pairs = aligned(&file, &lines);
    let telling = |line: &str| line.chars().filter(|c| c.is_alphanumeric()).count() >= 6;

    // What comes before: the answer starts on a line from before the region and stays there.
    let starts_before = pairs.iter().any(|&(o, n)| n == first && o < n_before);
    let inside = |o: usize| o >= n_before && o < old_end;
    let lead: Vec<(usize, usize)> =
        pairs.iter().copied().filter(|&(o, n)| o < n_before && text(&lines[n])).collect();
    let mut start = 0;
    if starts_before && lead.iter().any(|&(o, _)| telling(file[o])) {
        let end = lead.last().map_or(0, |&(_, n)| n + 1);
        let n_text = lines[..end].iter().filter(|line| text(line)).count();
        if lead.len() * 10 >= n_text * 6 {
            start = end;
        }
    }
    // What comes after, seen from the end.
    let ends_after = pairs.iter().any(|&(o, n)| n == last && o >= old_end);
    let tail: Vec<(usize, usize)> = pairs
        .iter()
        .copied()
        .filter(|&(o, n)| o >= old_end && text(&lines[n]) && n >= start)
        .collect();
    let mut end = lines.len();
    if ends_after && tail.iter().any(|&(o, _)| telling(file[o])) {
        let begin = tail.first().map_or(end, |&(_, n)| n);
        let n_text = lines[begin..].iter().filter(|line| text(line)).count();
        if tail.len() * 10 >= n_text * 6 {
            end = begin;
        }
    }
    // Something must be left that is the region's own.
    let rest = start < end && lines[start..end].iter().any(|line| text(line));
    let own = pairs.iter().any(|&(o, n)| inside(o) && n >= start && n < end);
    if (start, end) == (0, lines.len()) || !rest || !(own || start == 0 || end == lines.len()) {
        return lines;
    }
    lines.truncate(end);
    lines.drain(..start);
    lines
}

/// The answer with what models change by accident put back: white space at line ends, blank lines
/// between lines that stayed, blank lines around the whole, and comments that vanished alone.
pub(super) fn faithful(lines: Vec<String>, old: &[String], comments_may_go: bool) -> Vec<String> {
    let mut lines = lines;
    for (o, n) in aligned(old, &lines) {
        if old[o].trim_end() == lines[n].trim_end() {
            lines[n].clone_from(&old[o]);
        }
    }
    let blank = |line: &String| line.trim().is_empty();
    let n_head = old.iter().take_while(|l| blank(l)).count();
    let n_tail = old[n_head..].iter().rev().take_while(|l| blank(l)).count();
    let start = lines.iter().take_while(|l| blank(l)).count();
    let end = lines.len() - lines[start..].iter().rev().take_while(|l| blank(l)).count();
    let body = between(&lines[start..end], &old[n_head..old.len() - n_tail], comments_may_go);
    if body.is_empty() {
        return body; // Emptied on purpose: the blank lines around it go too.
    }
    [&old[..n_head], &body, &old[old.len() - n_tail..]].concat()
}

/// Restores blank lines and lone comments before lines that stayed.
fn between(new: &[String], old: &[String], comments_may_go: bool) -> Vec<String> {
    let blank = |line: &String| line.trim().is_empty();
    let comment = |line: &String| is_comment(line);
    let pairs = aligned(old, new).into_iter().filter(|&(o, _)| !blank(&old[o]));
    let mut out: Vec<String> = Vec::new();
    let (mut old_at, mut new_at) = (0, 0);
    for (o, n) in pairs {
        let (dropped, added) = (&old[old_at..o], &new[new_at..n]);
        let harmless = |line: &String| blank(line) || (!comments_may_go && comment(line));
        if added.iter().all(blank) && dropped.iter().all(harmless) && n > 0 && o > 0 {
            out.extend_from_slice(dropped);
        } else {
            out.extend_from_slice(added);
            // The comment on a line that stayed, unless there is another one now.
            let n_lone = dropped.iter().rev().take_while(|line| comment(line)).count();
            if !comments_may_go && !added.iter().any(comment) {
                out.extend_from_slice(&dropped[dropped.len() - n_lone..]);
            }
        }
        out.push(new[n].clone());
        (old_at, new_at) = (o + 1, n + 1);
    }
    out.extend_from_slice(&new[new_at..]);
    out
}

fn is_comment(line: &str) -> bool {
    let line = line.trim_start();
    let code = line.starts_with("#[") || line.starts_with("#!") || line.starts_with("#include");
    let code =
        code || line.starts_with("#define") || line.starts_with("#if") || line.starts_with("#end");
    !code && (line.starts_with('#') || line.starts_with("//") || line.starts_with("/*"))
}
