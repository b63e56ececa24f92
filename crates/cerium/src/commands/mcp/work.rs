//! What the tools do, one call at a time.

use super::super::{Context, Tree};
use super::tools::{Ask, Call, Complete, Edit, Undo};
use crate::backend::Counted;
use crate::failure::{self, advice};
use crate::output;
use anyhow::{Result, bail};
use cerium_harness::ask::{AskEvent, AskTask, ask};
use cerium_harness::complete::{CompleteOptions, Point, complete_file};
use cerium_harness::edit::{EditRequest, Progress, apply, draft_receipt, plan_edit, run_edit};
use cerium_harness::lines::LineSpan;
use cerium_protocol::Status;
use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::{Value, json};
use std::ops::ControlFlow;

/// Whether nobody waits for the work any more.
type Stopped<'a> = dyn Fn() -> bool + 'a;

/// Told what is being done.
type Tell<'a> = dyn FnMut(&str) + 'a;

/// The tree, and the model once it was needed.
pub(super) struct Worker {
    context: Context,
    tree: Tree,
    backend: Option<Counted>,
}

/// What a call came to: a text for the model that reads it, and the same as data.
struct Done {
    text: String,
    data: Value,
}

impl Worker {
    pub(super) fn new(context: Context, tree: Tree) -> Self {
        Self { context, tree, backend: None }
    }

    /// What was called, done. What goes wrong is told to whoever called.
    pub(super) fn work(
        &mut self,
        call: Call,
        stopped: &Stopped<'_>,
        tell: &mut Tell<'_>,
    ) -> CallToolResult {
        let done = match call {
            // It was waiting for its turn.
            _ if stopped() => Err(cancelled()),
            Call::Edit(call) => self.edit(&call, stopped, tell),
            Call::Ask(call) => self.ask(call, stopped, tell),
            Call::Complete(call) => self.complete(&call, stopped, tell),
            Call::Undo(call) => self.undo(&call),
        };
        match done {
            Ok(Done { text, data }) => {
                let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
                result.structured_content = Some(data);
                result
            }
            Err(error) => {
                let hint = failure::hint(&error).map(|hint| format!("\nhint: {hint}"));
                let text = output::chain(&error) + &hint.unwrap_or_default();
                CallToolResult::error(vec![ContentBlock::text(text)])
            }
        }
    }

    /// The model, loaded or found when the first call needs it. It looks for its engine again by itself.
    fn backend(&mut self, tell: &mut Tell<'_>) -> Result<&Counted> {
        if self.backend.is_none() {
            tell("loading the model");
            self.backend = Some(self.context.backend(&self.tree)?);
        }
        match &self.backend {
            Some(backend) => Ok(backend),
            None => bail!("no model was loaded"),
        }
    }

    fn edit(&mut self, call: &Edit, stopped: &Stopped<'_>, tell: &mut Tell<'_>) -> Result<Done> {
        let workspace = &self.tree.workspace;
        workspace.resolve(&call.path)?;
        let request = EditRequest {
            lines: lines(call)?,
            symbol: call.symbol.clone(),
            ..EditRequest::new(&call.path, instruction(call))
        };
        let prepared = plan_edit(workspace, request)?;
        let proposal = if let Some(proposal) = prepared.direct() {
            proposal.clone()
        } else {
            let backend = self.backend(tell)?;
            run_edit(backend, &prepared, &mut |progress| {
                match progress {
                    Progress::Scope(_) => tell("reading"),
                    Progress::Line(_) | Progress::Writing => tell("writing"),
                    Progress::Retry { .. } => tell("asking again"),
                }
                if stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?
        };
        // Nobody would know of it.
        if stopped() {
            return Err(cancelled());
        }
        let receipt = if call.dry_run {
            draft_receipt(&proposal)
        } else {
            Some(apply(&proposal, &self.tree.journal())?)
        };
        let undo = receipt.as_ref().and_then(|receipt| receipt.undo);
        let diff = proposal.diff();
        let state = match undo {
            Some(id) => format!("Applied as edit {id}; undo takes it back."),
            None => "Not applied: this was a dry run.".to_owned(),
        };
        let data = json!({
            "file": proposal.file.path, "diff": diff, "applied": undo.is_some(), "receipt": receipt,
        });
        Ok(Done { text: format!("{state}\n{diff}"), data })
    }

    fn ask(&mut self, call: Ask, stopped: &Stopped<'_>, tell: &mut Tell<'_>) -> Result<Done> {
        let task = AskTask { question: call.question, within: call.paths, ..AskTask::default() };
        self.backend(tell)?;
        let Self { tree, backend: Some(backend), .. } = self else { bail!("no model was loaded") };
        let answer = ask(backend, &tree.workspace, &task, &mut |event| {
            tell(if matches!(event, AskEvent::Reading(_)) { "reading" } else { "writing" });
            if stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if stopped() {
            return Err(cancelled());
        }
        let mut text = answer.text.clone();
        for place in &answer.citations {
            text = format!("{text}\n{}:{}  {}", place.path, place.lines.start, place.quote.trim());
        }
        Ok(Done { text, data: json!({ "answer": answer.text, "citations": answer.citations }) })
    }

    fn complete(
        &mut self,
        call: &Complete,
        stopped: &Stopped<'_>,
        tell: &mut Tell<'_>,
    ) -> Result<Done> {
        self.tree.workspace.resolve(&call.path)?;
        self.backend(tell)?;
        let Self { tree, backend: Some(backend), .. } = self else { bail!("no model was loaded") };
        let point = Point { line: call.line, column: call.column };
        let options = CompleteOptions::default();
        let mut on_text = |_: &str| {
            tell("writing");
            if stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let done =
            complete_file(backend, &tree.workspace, &call.path, point, &options, &mut on_text)?;
        if done.response.status == Status::Cancelled {
            return Err(cancelled());
        }
        Ok(Done { data: json!({ "text": done.text }), text: done.text })
    }

    fn undo(&self, call: &Undo) -> Result<Done> {
        let entry = self.tree.journal().undo(call.edit)?;
        let files: Vec<_> = entry.files.iter().map(|file| file.path.as_str()).collect();
        let text = format!("Took edit {} back: {}", entry.id, files.join(" "));
        Ok(Done { text, data: json!(entry) })
    }
}

/// What an edit is told to do.
fn instruction(call: &Edit) -> String {
    let Some(sketch) = &call.sketch else { return call.instruction.clone() };
    // Longer than any fence in the sketch, so that it cannot end there.
    let mut fence = "```".to_owned();
    while sketch.contains(&fence) {
        fence.push('`');
    }
    format!(
        "{}\nWrite it as in this sketch, in which `...` stands for code that stays as it is:\n\
         {fence}\n{}\n{fence}",
        call.instruction,
        sketch.trim_end()
    )
}

fn lines(call: &Edit) -> Result<Option<LineSpan>> {
    match (call.first_line, call.last_line) {
        (None, None) => Ok(None),
        (Some(first), last) if first > 0 && last.is_none_or(|last| last >= first) => {
            Ok(Some(LineSpan::new(first, last.unwrap_or(first))))
        }
        _ => Err(advice(
            "these are no lines",
            "first_line and last_line count from 1, and the first comes first",
        )),
    }
}

fn cancelled() -> anyhow::Error {
    anyhow::anyhow!("cancelled")
}
