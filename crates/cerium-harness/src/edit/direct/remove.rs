//! Deleting declarations that nothing else in the file uses, with everything that belongs to them
//! and the right number of blank lines.

use super::sentence::Removal;
use crate::edit::splice::Change;
use crate::edit::view::View;
use crate::lines::LineSpan;
use crate::syntax::{Decl, DeclKind, NameRole};

/// All deletions of a sentence, or none.
pub(super) fn all(view: &View<'_>, removals: &[Removal]) -> Option<Vec<Change>> {
    removals.iter().map(|removal| one(view, removal)).collect()
}

fn one(view: &View<'_>, removal: &Removal) -> Option<Change> {
    let parsed = view.parsed.as_ref()?;
    let name = match &removal.container {
        Some(container) => format!("{container}.{}", removal.name),
        None => removal.name.clone(),
    };
    let called: Vec<&Decl> = view.decls.iter().filter(|d| d.is_called(&name)).collect();
    let [decl] = called[..] else { return None };
    if matches!(decl.kind, DeclKind::Impl | DeclKind::Module) {
        return None;
    }
    // Another type's member of the same name is no use of this one.
    let used = parsed.occurrences(&decl.name).iter().any(|o| {
        let outside = o.bytes.start < decl.bytes.start || o.bytes.end > decl.bytes.end;
        outside && !(o.declares && o.role == NameRole::Member)
    });
    let quoted = ['"', '\''].iter().any(|q| view.text.contains(&format!("{q}{}{q}", decl.name)));
    let whole = view.lines.bytes(decl.lines);
    let before = &view.text[whole.start..decl.bytes.start];
    let after = &view.text[decl.bytes.end.min(whole.end)..whole.end];
    let shares_lines = !before.trim().is_empty() || !after.trim().is_empty();
    if used || quoted || shares_lines {
        return None;
    }
    let lines = with_blanks(view, decl.lines);
    Some(Change { bytes: view.lines.bytes(lines), new: String::new() })
}

/// The lines to take out so that the blank lines left are those one would have typed.
fn with_blanks(view: &View<'_>, span: LineSpan) -> LineSpan {
    let blank = |line: usize| view.line(line).trim().is_empty();
    let n_lines = view.lines.count();
    let above = (1..span.start).rev().take_while(|&line| blank(line)).count();
    let below = (span.end + 1..=n_lines).take_while(|&line| blank(line)).count();
    let indent = |line: usize| {
        let text = view.line(line);
        text.len() - text.trim_start().len()
    };
    let own = (span.start..=span.end).find(|&line| !blank(line)).map_or(0, indent);
    let previous = span.start - above - 1; // 0: nothing is there.
    let next = span.end + below + 1;
    let closes = next > n_lines || indent(next) < own;
    let opens = previous == 0 || indent(previous) < own;
    if closes || (!opens && above < below) {
        LineSpan::new(span.start - above, span.end)
    } else {
        LineSpan::new(span.start, span.end + below)
    }
}
