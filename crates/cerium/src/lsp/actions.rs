//! What is offered for a selection: its problems fixed, its notes of what is to do done, itself explained, the plan gone on with.

use super::documents::Document;
use super::text::Encoding;
use cerium_harness::plan::{Plan, StepState};
use gen_lsp_types::{CodeActionContext, CodeActionKind, Diagnostic, Message, Range, Uri};
use serde_json::{Value, json};

/// Problems for which a fix is offered.
const FIXES_MAX: usize = 8;
/// Longest title, in characters.
const TITLE_CHARS_MAX: usize = 80;
/// Words that mark in a comment what is to do.
const MARKS: [&str; 3] = ["TODO", "FIXME", "XXX"];

/// The actions for a range of a document.
///
/// * `asks`: the editor asks for an instruction where a command has none
/// * `plan`: that of the document's tree
pub(super) fn offer(
    uri: &Uri,
    document: &Document,
    range: Range,
    encoding: Encoding,
    context: &CodeActionContext,
    asks: bool,
    plan: Option<&Plan>,
) -> Vec<Value> {
    let wants = |kind: &CodeActionKind| {
        let is_in = |only: &CodeActionKind| {
            let (kind, only) = (String::from(kind.clone()), String::from(only.clone()));
            kind.strip_prefix(&only)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || only.is_empty())
        };
        context.only.as_ref().is_none_or(|only| only.iter().any(is_in))
    };
    let mut actions = Vec::new();
    let mut push = |title: &str, kind: &CodeActionKind, command: &str, argument: Value| {
        if wants(kind) {
            let title = format!("cerium: {}", shortened(title));
            let command = json!({ "title": title, "command": command, "arguments": [argument] });
            actions.push(json!({ "title": title, "kind": kind, "command": command }));
        }
    };
    for diagnostic in context.diagnostics.iter().take(FIXES_MAX) {
        let (said, instruction) = fix(document, diagnostic);
        let argument = json!({ "uri": uri, "range": diagnostic.range, "instruction": instruction });
        push(&format!("fix: {said}"), &CodeActionKind::QuickFix, "cerium.edit", argument);
    }
    let bytes = document.text.bytes(range, encoding);
    if let Some(wish) = to_do(document, range) {
        let argument = json!({ "uri": uri, "range": range, "instruction": wish });
        push(&format!("do: {wish}"), &CodeActionKind::RefactorRewrite, "cerium.edit", argument);
    }
    if asks {
        let argument = json!({ "uri": uri, "range": range });
        push("edit by an instruction", &CodeActionKind::RefactorRewrite, "cerium.edit", argument);
    }
    if !bytes.is_empty() {
        let argument = json!({ "uri": uri, "range": range });
        push("explain", &CodeActionKind::Refactor, "cerium.explain", argument);
    }
    let next = plan.and_then(|plan| plan.steps.iter().find(|step| step.state == StepState::Open));
    if let Some(step) = next {
        let argument = json!({ "uri": uri, "step": step.number });
        let title = format!("step {} of the plan: {}", step.number, step.title);
        push(&title, &CodeActionKind::RefactorRewrite, "cerium.plan.apply", argument);
    }
    actions
}

/// What a problem says, and what is to be done about it.
fn fix(document: &Document, diagnostic: &Diagnostic) -> (String, String) {
    let message = match &diagnostic.message {
        Message::String(text) => text,
        Message::MarkupContent(content) => &content.value,
    };
    let said = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let said: String = said.chars().take(400).collect();
    let line = document.text.line(diagnostic.range.start.line);
    let instruction = format!("Fix this problem in the line `{}`: {said}", line.trim());
    (said, instruction)
}

/// What a comment in the lines of a range says is to do.
fn to_do(document: &Document, range: Range) -> Option<String> {
    let lines = range.start.line..=range.end.line.min(range.start.line.saturating_add(100));
    lines.map(|line| document.text.line(line)).find_map(|line| {
        let rest = MARKS.iter().find_map(|mark| line.split_once(mark).map(|(_, rest)| rest))?;
        let rest =
            rest.strip_prefix('(').map_or(rest, |rest| rest.split_once(')').map_or("", |it| it.1));
        let wish =
            rest.trim_start_matches(':').trim().trim_end_matches(['*', '/', '-', '>']).trim();
        (!wish.is_empty()).then(|| wish.to_owned())
    })
}

/// A title of bounded length, on one line.
fn shortened(title: &str) -> String {
    let line = title.lines().next().unwrap_or_default();
    match line.char_indices().nth(TITLE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}
