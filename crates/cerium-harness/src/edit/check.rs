//! Does the new text parse at least as well as the old one, and is everything still there? If not,
//! small repairs are tried before the model is asked again.

use super::instruction::Piece;
use super::reply::{base, shifted};
use super::splice::{self, Change};
use super::view::{View, has_word};
use crate::files::Style;
use crate::lines::LineSpan;
use crate::syntax::{Decl, Language, Parsed, parse};
use std::collections::HashSet;

/// Lines that a closing repair may add or drop.
const CLOSERS_MAX: usize = 3;

/// One region with its new lines.
#[derive(Clone, Debug)]
pub(crate) struct Rewritten {
    pub(crate) span: LineSpan,
    pub(crate) old: Vec<String>,
    pub(crate) new: Vec<String>,
}

/// Changes that were accepted.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    pub(crate) changes: Vec<Change>,
    pub(crate) after: String,
    pub(crate) errors: usize,
}

/// Why rewritten regions are not accepted.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// In words for the model.
    pub(crate) what: String,
    /// Whether they are about the code around, not about what was asked for.
    pub(crate) strays: bool,
}

impl From<String> for Fault {
    fn from(what: String) -> Self {
        Self { what, strays: false }
    }
}

/// Accepts the rewritten regions, repaired if need be.
///
/// # Errors
/// What is wrong.
pub(crate) fn accept(
    view: &View<'_>,
    rewritten: &[Rewritten],
    pieces: &[Piece],
    style: &Style,
) -> Result<Accepted, Fault> {
    let errors_before = view.errors();
    let fault = match tried(view, rewritten, pieces, style, errors_before) {
        Ok(accepted) => return Ok(accepted),
        Err(fault) if fault.strays => return Err(fault),
        Err(fault) => fault,
    };
    for (i, region) in rewritten.iter().enumerate().filter(|(_, r)| r.new != r.old) {
        for new in variants(&region.old, &region.new) {
            let mut repaired = rewritten.to_vec();
            repaired[i].new = new;
            if repaired.iter().all(|r| r.new == r.old) {
                continue;
            }
            if let Ok(accepted) = tried(view, &repaired, pieces, style, errors_before) {
                return Ok(accepted);
            }
        }
    }
    Err(fault)
}

/// A function of the code around that the regions declare once more, although the instruction does not speak of it:
/// small models may write what they are shown beside the code instead of the code.
fn strayed(
    view: &View<'_>,
    after: &Parsed<'_>,
    rewritten: &[Rewritten],
    pieces: &[Piece],
) -> Option<String> {
    let after = after.declarations();
    let shown = |span: LineSpan| rewritten.iter().any(|r| r.span.overlaps(span));
    let is_said = |name: &str| pieces.iter().any(|piece| has_word(&piece.text, name));
    let around = view.decls.iter().filter(|d| d.kind.is_callable() && !shown(d.lines));
    let count = |decls: &[Decl], path: &str| decls.iter().filter(|d| d.path == path).count();
    around
        .filter(|d| count(&view.decls, &d.path) == 1 && count(&after, &d.path) > 1)
        .find(|d| !is_said(&d.name))
        .map(|d| d.path.clone())
}

fn tried(
    view: &View<'_>,
    rewritten: &[Rewritten],
    pieces: &[Piece],
    style: &Style,
    errors_before: usize,
) -> Result<Accepted, Fault> {
    let changed = rewritten.iter().filter(|r| r.new != r.old);
    let changes: Vec<Change> =
        changed.map(|r| splice::rewrite(view, r.span, &r.new, style)).collect();
    let after = splice::apply(view.text, &changes);
    let parsed = view.language.and_then(|language| parse(language, &after));
    if let Some(parsed) = &parsed
        && let Some(name) = strayed(view, parsed, rewritten, pieces)
    {
        let what = format!("it declares `{name}`, which is elsewhere in the file");
        return Err(Fault { what, strays: true });
    }
    let errors = parsed.as_ref().map_or(0, Parsed::errors);
    if errors > errors_before {
        let line = parsed.as_ref().and_then(Parsed::first_error).map(|span| {
            let text = view.language.map_or("", Language::tag);
            let lines = crate::lines::LineIndex::new(&after);
            format!("it is not valid {text}, near `{}`", lines.text(&after, span.start).trim())
        });
        return Err(line.unwrap_or_else(|| "it does not parse".to_owned()).into());
    }
    if let Some(parsed) = &parsed
        && let Some(name) = lost(view, parsed, rewritten, pieces)
    {
        return Err(format!("`{name}` is missing from it").into());
    }
    Ok(Accepted { changes, after, errors })
}

/// A declaration of the regions that is gone although nobody asked for that.
fn lost(
    view: &View<'_>,
    after: &Parsed<'_>,
    rewritten: &[Rewritten],
    pieces: &[Piece],
) -> Option<String> {
    const LICENCES: &[&str] = &[
        "remove",
        "delete",
        "drop",
        "rename",
        "replace",
        "merge",
        "inline",
        "move",
        "convert",
        "turn",
        "rewrite",
        "extract",
        "encapsulate",
        "split",
        "unify",
        "combine",
        "change",
        "->",
        "instead",
        "refactor",
        "wrap",
        "make",
    ];
    if pieces.iter().any(|piece| piece.is(LICENCES)) {
        return None;
    }
    let left: HashSet<String> = after.declarations().into_iter().map(|decl| decl.name).collect();
    let shown = |span: LineSpan| rewritten.iter().any(|r| r.span.overlaps(span));
    view.decls
        .iter()
        .filter(|d| shown(d.lines) && !left.contains(&d.name))
        .find(|d| d.kind.is_callable())
        .map(|d| d.path.clone())
}

/// Other readings of an answer, the likeliest first.
fn variants(old: &[String], new: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    // Closing lines that were not repeated.
    for n in 1..=CLOSERS_MAX.min(old.len()) {
        let tail = &old[old.len() - n..];
        if !new.ends_with(tail) {
            found.push([new, tail].concat());
        }
    }
    // Closing lines written once too often.
    let closes = |line: &&String| !line.chars().any(char::is_alphanumeric);
    let n_closers = new.iter().rev().take(CLOSERS_MAX).take_while(closes).count();
    found.extend((1..=n_closers).map(|n| new[..new.len() - n].to_vec()));
    // A line before the code that nothing else caught.
    if let [_, second, ..] = new
        && old.first().is_some_and(|first| first.trim() == second.trim())
    {
        found.push(new[1..].to_vec());
    }
    // Indentation as a whole.
    if let (Some(was), Some(is)) = (base(old), base(new))
        && was != is
    {
        let unit = if old.iter().any(|l| l.starts_with('\t')) { '\t' } else { ' ' };
        let by = was as i64 - is as i64;
        found.push(new.iter().map(|line| shifted(line, by, unit)).collect());
    }
    found
}
