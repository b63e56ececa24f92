//! Cutting a file into pieces worth showing: declarations where a grammar knows them, otherwise
//! windows of some forty lines.

use crate::lines::LineSpan;

/// A declaration of up to so many lines stays in one piece.
const WHOLE_LINES_MAX: usize = 60;
/// Lines of a window over text without declarations, at most.
const WINDOW_LINES_MAX: usize = 40;
/// Neighbours are joined while the piece stays this small: ten constants are one thing to read.
const JOINED_LINES_MAX: usize = 16;

/// What a file declares on some lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Its name, without its containers.
    pub name: String,
    /// Its lines.
    pub lines: LineSpan,
}

/// A piece of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Its lines.
    pub lines: LineSpan,
    /// What it declares or, for a part of a long declaration, what it is part of.
    pub names: Vec<String>,
}

/// Cuts a text into pieces that cover all of its lines, in order.
///
/// `declared` may nest and come in any order; lines beyond the text are cut off.
pub fn chunks(text: &str, declared: &[Declared]) -> Vec<Chunk> {
    let lines: Vec<&str> = text.lines().collect();
    if lines.is_empty() {
        return Vec::new();
    }
    let inside = |d: &&Declared| d.lines.start >= 1 && d.lines.end <= lines.len();
    let mut sorted: Vec<&Declared> = declared.iter().filter(inside).collect();
    // Containers before their members.
    sorted.sort_by_key(|d| (d.lines.start, std::cmp::Reverse(d.lines.end)));
    let mut pieces = Vec::new();
    cut(&lines, LineSpan { start: 1, end: lines.len() }, &[], &sorted, &mut pieces);
    join(pieces)
}

/// Cuts one range, whose own names are given, at the outermost of the declarations inside it.
fn cut(
    lines: &[&str],
    range: LineSpan,
    names: &[String],
    declared: &[&Declared],
    pieces: &mut Vec<Chunk>,
) {
    let mut at = range.start;
    let mut rest = declared;
    while let Some((outer, others)) = rest.split_first() {
        let n_inside = others.iter().take_while(|d| d.lines.start <= outer.lines.end).count();
        let (members, next) = others.split_at(n_inside);
        rest = next;
        if outer.lines.start < at {
            continue; // Shares a line with what was cut before it.
        }
        let end = outer.lines.end.min(range.end);
        windows(lines, at, outer.lines.start - 1, names, pieces);
        let own = std::slice::from_ref(&outer.name);
        if end + 1 - outer.lines.start <= WHOLE_LINES_MAX {
            let members = members.iter().map(|member| member.name.clone());
            let names = own.iter().cloned().chain(members).collect();
            pieces.push(Chunk { lines: LineSpan { start: outer.lines.start, end }, names });
        } else {
            let members: Vec<&Declared> =
                members.iter().copied().filter(|d| d.lines.end <= end).collect();
            cut(lines, LineSpan { start: outer.lines.start, end }, own, &members, pieces);
        }
        at = end + 1;
    }
    windows(lines, at, range.end, names, pieces);
}

/// Cuts `from..=to` into windows, preferably after a blank line.
fn windows(lines: &[&str], from: usize, to: usize, names: &[String], pieces: &mut Vec<Chunk>) {
    let mut from = from;
    while from <= to {
        let last = (from + WINDOW_LINES_MAX - 1).min(to);
        let blank = |line: &usize| lines[line - 1].trim().is_empty();
        let mut end = last;
        if last < to {
            end = (from + WINDOW_LINES_MAX / 2..=last).rev().find(blank).unwrap_or(last);
        }
        pieces.push(Chunk { lines: LineSpan { start: from, end }, names: names.to_vec() });
        from = end + 1;
    }
}

/// Joins small neighbours.
fn join(pieces: Vec<Chunk>) -> Vec<Chunk> {
    let mut joined: Vec<Chunk> = Vec::new();
    for piece in pieces {
        match joined.last_mut() {
            Some(last) if piece.lines.end + 1 - last.lines.start <= JOINED_LINES_MAX => {
                last.lines = last.lines.hull(piece.lines);
                last.names.extend(piece.names);
                last.names.dedup();
            }
            _ => joined.push(piece),
        }
    }
    joined
}
