//! The direct route: instructions so mechanical that code carries them out exactly and at once.
//!
//! Conservative on purpose. The whole sentence must be understood, the names must exist, the result
//! must be clear and parse as well as before; else the model is asked. What is understood: renaming
//! identifiers, and deleting declarations that nothing else uses.

mod remove;
mod rename;
mod sentence;

use super::scope::Scope;
use super::splice::{self, Change};
use super::view::View;
use crate::lines::LineSpan;
use crate::syntax::count_errors;
use sentence::Order;

/// An edit that was carried out.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    pub(crate) changes: Vec<Change>,
    pub(crate) after: String,
    pub(crate) scope: Scope,
    pub(crate) errors: usize,
}

/// Carries out an instruction, if it is one of those that need no model.
///
/// * `bound`: lines to which the edit is bound, if any; whatever reaches beyond them is not direct
pub(crate) fn carry_out(
    view: &View<'_>,
    instruction: &str,
    bound: Option<LineSpan>,
) -> Option<Done> {
    view.parsed.as_ref()?;
    let order = sentence::parse(instruction)?;
    let mut changes = match order {
        Order::Rename(renames) => rename::all(view, &renames)?,
        Order::Remove(names) => remove::all(view, &names)?,
    };
    changes.sort_by_key(|change| change.bytes.start);
    let apart = changes.windows(2).all(|pair| pair[0].bytes.end <= pair[1].bytes.start);
    if changes.is_empty() || !apart {
        return None;
    }
    let after = splice::apply(view.text, &changes);
    let errors = count_errors(view.language, &after);
    if errors > view.errors() || after == view.text {
        return None;
    }
    let spans: Vec<LineSpan> = changes.iter().map(|c| view.lines.span_of(&c.bytes)).collect();
    if bound.is_some_and(|bound| !spans.iter().all(|span| bound.contains(*span))) {
        return None;
    }
    let scope = Scope::exact(view, spans);
    Some(Done { changes, after, scope, errors })
}
