//! Asking the model where an edit belongs, when nothing in the file speaks for a place: a number out
//! of an outline, a handful of tokens.

use super::error::EditError;
use super::run::{OnProgress, Run, refused};
use super::scope::{Scope, ScopeSource};
use super::{Progress, view::View};
use crate::lines::LineSpan;
use crate::syntax::{DeclKind, outline, render_outline};
use cerium_protocol::{CreateResponse, Extensions, Input, Status};
use std::ops::ControlFlow;

/// Declarations shown at most; a longer list is cut evenly deep, containers first.
const OUTLINE_LINES_MAX: usize = 120;

/// Places longer than this are no help.
const PLACE_LINES_MAX: usize = 80;

const SYSTEM: &str = "You are shown the outline of a source file, each entry with its line number, \
                      and an instruction for an edit. Answer with the line number of the one entry \
                      that has to be edited, and nothing else.";

/// The declaration the model chooses; `None` when there is no outline or no sense in the answer.
pub(crate) fn ask(
    run: &mut Run<'_>,
    on_progress: &mut OnProgress<'_>,
) -> Result<Option<Scope>, EditError> {
    let Some(parsed) = &run.view.parsed else { return Ok(None) };
    let mut entries = outline(parsed);
    entries.retain(|entry| entry.lines.count() <= PLACE_LINES_MAX || entry.depth == 0);
    let deepest = (0..8).rev().find(|&depth| {
        entries.iter().filter(|entry| entry.depth <= depth).count() <= OUTLINE_LINES_MAX
    });
    entries.retain(|entry| entry.depth <= deepest.unwrap_or(0));
    entries.truncate(OUTLINE_LINES_MAX);
    if entries.len() < 2 {
        return Ok(None);
    }
    let user = format!(
        "File: {}\n\n{}\nInstruction: {}\n",
        run.path,
        render_outline(&entries),
        run.instruction.trim()
    );
    let model = run.backend.model();
    if run.backend.count_tokens(&user) + 128 > model.context_tokens {
        return Ok(None);
    }
    let request = CreateResponse {
        instructions: Some(SYSTEM.to_owned()),
        max_output_tokens: Some(8),
        temperature: Some(0.0),
        cerium: Extensions {
            prefix: "Line ".to_owned(),
            stop: vec!["\n".to_owned()],
            ..Extensions::default()
        },
        ..CreateResponse::new(model.name, Input::Text(user))
    };
    let mut cancelled = false;
    let mut on_text = |_: &str| {
        cancelled |= on_progress(Progress::Writing).is_break();
        if cancelled { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let response = run.backend.respond(&request, &mut on_text).map_err(refused)?;
    run.stats.add(&response);
    if cancelled || response.status == Status::Cancelled {
        return Err(EditError::Cancelled);
    }
    Ok(number(&response.text()).and_then(|line| place(run.view, line)))
}

/// The first number in an answer.
fn number(answer: &str) -> Option<usize> {
    let start = answer.find(|c: char| c.is_ascii_digit())?;
    let digits = answer[start..].split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// The declaration at a line, if the number is one of the outline's.
fn place(view: &View<'_>, line: usize) -> Option<Scope> {
    let at = view.decls.iter().filter(|d| d.def_line == line && d.kind != DeclKind::Field);
    let lines = at.map(|d| d.lines).min_by_key(|lines| lines.count());
    let lines = lines.or_else(|| {
        let near = view.enclosing(LineSpan::line(line.min(view.lines.count()).max(1)))?;
        Some(near.lines)
    })?;
    (lines.count() <= PLACE_LINES_MAX).then(|| Scope::of(view, vec![lines], 0, ScopeSource::Chosen))
}
