//! Search/replace blocks: `<<<<<<< SEARCH`, `=======`, `>>>>>>> REPLACE`.

use super::{Expected, ReplyError, indent};
use std::ops::Range;

/// What the lines begin with that hold a block together.
const MARKS: [&str; 3] = ["<<<<<<<", "=======", ">>>>>>>"];

/// Whether lines hold one that would be read as part of a block.
pub(super) fn has_marks(lines: &[String]) -> bool {
    lines.iter().any(|line| MARKS.iter().any(|mark| line.trim_start().starts_with(mark)))
}

/// Whether an answer is made of blocks at all.
pub(super) fn has_blocks(reply: &str) -> bool {
    reply.lines().any(|line| line.trim_start().starts_with("<<<<<<<"))
}

struct Block {
    search: Vec<String>,
    replace: Vec<String>,
}

/// The parts after all blocks were carried out, each at the one place where its search text is in the parts as they
/// were.
pub(super) fn read(reply: &str, expected: &Expected) -> Result<Vec<Vec<String>>, ReplyError> {
    let blocks = blocks(reply, expected.cut)?;
    let olds: Vec<&[String]> = expected.parts.iter().map(|part| part.old.as_slice()).collect();
    let mut placed = Vec::new();
    for block in &blocks {
        placed.push(place(&olds, block)?);
    }
    // The last ones first, so that the places of the others stay what they are.
    placed.sort_unstable_by_key(|placed| (placed.part, placed.lines.start));
    let over =
        |pair: &&[Placed]| pair[0].part == pair[1].part && pair[0].lines.end > pair[1].lines.start;
    if let Some([_, twice]) = placed.windows(2).find(over).map(|pair| [&pair[0], &pair[1]]) {
        let line = olds[twice.part][twice.lines.start].clone();
        return Err(ReplyError::Twice { line });
    }
    let mut parts: Vec<Vec<String>> = olds.iter().map(|old| old.to_vec()).collect();
    for Placed { part, lines, new } in placed.into_iter().rev() {
        parts[part].splice(lines, new);
    }
    Ok(parts)
}

/// Lines of a part, and what they become.
struct Placed {
    part: usize,
    lines: Range<usize>,
    new: Vec<String>,
}

fn blocks(reply: &str, cut: bool) -> Result<Vec<Block>, ReplyError> {
    let mut found = Vec::new();
    let mut search: Option<Vec<String>> = None;
    let mut replace: Option<Vec<String>> = None;
    for line in reply.lines() {
        let mark = line.trim_start();
        if mark.starts_with("<<<<<<<") {
            (search, replace) = (Some(Vec::new()), None);
        } else if mark.starts_with("=======") && search.is_some() && replace.is_none() {
            replace = Some(Vec::new());
        } else if mark.starts_with(">>>>>>>") {
            if let (Some(search), Some(replace)) = (search.take(), replace.take()) {
                found.push(Block { search, replace });
            }
        } else if let Some(lines) = replace.as_mut().or(search.as_mut()) {
            lines.push(line.to_owned());
        }
    }
    if let (Some(search), Some(replace)) = (search, replace) {
        // The closing mark was swallowed by the stop text or forgotten; or the block was cut.
        if cut {
            return Err(ReplyError::Cut);
        }
        let fence = |line: &String| line.trim().starts_with("```");
        let end = replace.iter().position(fence).unwrap_or(replace.len());
        found.push(Block { search, replace: replace[..end].to_vec() });
    }
    if found.is_empty() { Err(ReplyError::NoCode) } else { Ok(found) }
}

/// Finds the one occurrence: exact lines first, then lines equal but for indentation.
fn place(parts: &[&[String]], block: &Block) -> Result<Placed, ReplyError> {
    let trimmed = trim_blank(&block.search);
    let line = trimmed.first().cloned().unwrap_or_default();
    let exact = |a: &String, b: &String| a.trim_end() == b.trim_end();
    let loose = |a: &String, b: &String| a.trim() == b.trim();
    let mut n_found = 0;
    for same in [&exact as &dyn Fn(&String, &String) -> bool, &loose] {
        let found: Vec<(usize, usize)> = parts
            .iter()
            .enumerate()
            .flat_map(|(p, lines)| {
                let n = trimmed.len();
                let starts = lines.windows(n.max(1)).enumerate();
                let hits = starts.filter(|(_, window)| {
                    n > 0 && window.iter().zip(&trimmed).all(|(a, b)| same(a, b))
                });
                hits.map(move |(at, _)| (p, at)).collect::<Vec<_>>()
            })
            .collect();
        if let [(p, at)] = found[..] {
            let old = &parts[p][at..at + trimmed.len()];
            let replace = trim_blank(&block.replace);
            let replace = if replace.len() == trimmed.len() {
                line_by_line(&replace, &trimmed, old)
            } else {
                indent::fitted(replace, old)
            };
            return Ok(Placed { part: p, lines: at..at + trimmed.len(), new: replace });
        }
        n_found = n_found.max(found.len());
    }
    Err(ReplyError::Search { n: n_found, line })
}

/// New lines moved as far as the search lines beside them are off from the old ones.
fn line_by_line(replace: &[String], search: &[String], old: &[String]) -> Vec<String> {
    let unit = if old.iter().any(|line| line.starts_with('\t')) { '\t' } else { ' ' };
    let moved = |((new, search), old): ((&String, &String), &String)| {
        let by = indent::width(old) as i64 - indent::width(search) as i64;
        indent::shifted(new, by, unit)
    };
    replace.iter().zip(search).zip(old).map(moved).collect()
}

fn trim_blank(lines: &[String]) -> Vec<String> {
    let blank = |line: &&String| line.trim().is_empty();
    let start = lines.iter().take_while(blank).count();
    let n_tail = lines[start..].iter().rev().take_while(blank).count();
    lines[start..lines.len() - n_tail].to_vec()
}
