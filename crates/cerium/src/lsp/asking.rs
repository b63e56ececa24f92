//! Questions and plans of a tree, as commands of the shell have them: what was said and planned there goes on here.

use super::client::{Progress, Refusal, Tell};
use crate::interrupt;
use crate::output;
use crate::stats::Stats;
use anyhow::Result;
use cerium_harness::Backend;
use cerium_harness::ask::{AskEvent, AskTask, Kept, TalkStore, ask, warming};
use cerium_harness::journal::{EntryState, Journal};
use cerium_harness::plan::{self, Plan, PlanError, PlanStore};
use cerium_harness::workspace::{StateHome, Workspace};
use cerium_protocol::Status;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A question, where to look, and whether it goes on from the last one.
pub(super) struct Question {
    pub(super) text: String,
    pub(super) within: Vec<PathBuf>,
    pub(super) go_on: bool,
}

/// A tree, and where what is known of it is kept.
pub(super) struct Tree {
    pub(super) workspace: Workspace,
    state: StateHome,
}

impl Tree {
    pub(super) fn at(root: &Path) -> Result<Self, Refusal> {
        let open = || -> Result<Self> {
            Ok(Self { workspace: Workspace::discover(root)?, state: StateHome::from_env()? })
        };
        open().map_err(|error| Refusal::failed(output::chain(&error)))
    }

    fn plans(&self) -> PlanStore {
        PlanStore::of(&self.state, &self.workspace)
    }

    /// Its plan, with the steps open again whose edits were undone since.
    pub(super) fn plan(&self) -> Result<Option<Plan>, PlanError> {
        let Some(mut plan) = self.plans().load()? else { return Ok(None) };
        let log = Journal::of(&self.state, self.workspace.root()).log().unwrap_or_default();
        plan.reopen(|edit| log.iter().any(|e| e.id == edit && e.state != EntryState::Applied));
        Ok(Some(plan))
    }

    /// Notes that a step was carried out in the editor; the plan as it is now.
    pub(super) fn step_is_done(&self, step: usize) -> Result<Option<Plan>, PlanError> {
        let Some(plan) = self.plan()? else { return Ok(None) };
        plan::mark_edited(&self.plans(), &self.workspace, &plan, step).map(Some)
    }
}

/// Answers a question. `None` when it was stopped.
///
/// # Errors
/// Those of the harness, in words.
pub(super) fn answer(
    backend: &dyn Backend,
    tree: &Tree,
    question: Question,
    progress: &Progress,
    tell: Option<&Tell>,
) -> Result<Option<Value>, Refusal> {
    let store = TalkStore::of(&tree.state, &tree.workspace);
    let before = question.go_on.then(|| store.load()).flatten().map(|kept| kept.current(backend));
    let task =
        AskTask { question: question.text, within: question.within, before, ..AskTask::default() };
    let answered = ask(backend, &tree.workspace, &task, &mut |event| {
        match event {
            AskEvent::Reading(excerpts) => {
                progress.report(&format!("reading {} places", excerpts.len()));
            }
            AskEvent::Text(text) => {
                if let Some(tell) = tell {
                    tell.value(&json!({ "kind": "text", "text": text }));
                }
            }
        }
        interrupt::going_on()
    });
    let answer = match answered {
        Err(_) if interrupt::requested() => return Ok(None),
        answered => answered.map_err(|error| Refusal::failed(error.to_string()))?,
    };
    if answer.response.status == Status::Cancelled && !answer.looped {
        return Ok(None);
    }
    let told = json!({
        "text": answer.text,
        "citations": answer.citations,
        "root": tree.workspace.root(),
        "stats": Stats::of(&answer.response),
    });
    let fresh = answer.talk.fresh(backend);
    if let Some(fresh) = &fresh {
        // Whoever goes on, goes on from it once it has been read.
        backend.warm(&[warming(&backend.model().name, fresh)]);
    }
    // That it cannot be kept only means that the next question begins anew.
    let _ = store.save(&Kept { talk: answer.talk, fresh });
    Ok(Some(told))
}

/// What is done to a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Planning {
    Write,
    Revise,
}

/// Writes a plan, or revises a step, and keeps it. `None` when it was stopped.
///
/// # Errors
/// Those of the harness, in words.
pub(super) fn write_plan(
    backend: &dyn Backend,
    tree: &Tree,
    planning: Planning,
    text: &str,
    tell: Option<&Tell>,
) -> Result<Option<Value>, Refusal> {
    let mut on_text = |text: &str| {
        if let Some(tell) = tell {
            tell.value(&json!({ "kind": "text", "text": text }));
        }
        interrupt::going_on()
    };
    let made = match (planning, tree.plan()) {
        // One that cannot be read is put aside when the new one is saved.
        (Planning::Write, Err(PlanError::Damaged { .. })) => {
            plan::write(backend, &tree.workspace, text, None, &mut on_text)
        }
        (_, Err(error)) => Err(error),
        (Planning::Write, Ok(old)) => {
            plan::write(backend, &tree.workspace, text, old, &mut on_text)
        }
        (Planning::Revise, Ok(Some(old))) => {
            plan::revise(backend, &tree.workspace, &old, text, &mut on_text)
        }
        (Planning::Revise, Ok(None)) => return Err(no_plan()),
    };
    let saved = made.and_then(|made| tree.plans().save(&tree.workspace, &made.plan));
    match saved {
        Ok(plan) => Ok(Some(told(&plan))),
        Err(PlanError::Cancelled) => Ok(None),
        Err(error) => Err(Refusal::failed(error.to_string())),
    }
}

/// A plan for the wire.
pub(super) fn told(plan: &Plan) -> Value {
    json!({ "goal": plan.goal, "steps": plan.steps })
}

pub(super) fn no_plan() -> Refusal {
    Refusal::failed("there is no plan for this tree yet; `cerium.plan.write` writes one")
}
