//! A plan of numbered steps for a tree: written by the model, kept between commands, revised one
//! step at a time, carried out one edit at a time.
//!
//! The model is shown the tree's files and the excerpts that match the goal, and writes a list,
//! which is read leniently and held against the tree: files that exist are found by their endings,
//! others are marked as new, symbols that their file does not declare are dropped. A revision
//! regenerates one step and leaves every byte of the others. Nothing here changes a file of the
//! tree: [`Plan::edit`] says what edit a step stands for, the caller carries it out through the
//! `edit` module, shows the diff, and reports the receipt with [`mark_done`].

mod error;
mod parse;
mod pick;
mod prompt;
mod settle;
mod step;
mod store;

pub use error::PlanError;
pub use parse::{Draft, drafts};
pub use pick::{Pick, pick};
pub use step::{N_STEPS_MAX, Past, Plan, Step, StepFile, StepState};
pub use store::PlanStore;

use crate::journal::EntryId;
use crate::repetition::loop_start;
use crate::talk::Talk;
use crate::workspace::Workspace;
use crate::{Backend, OnText};
use cerium_protocol::{CreateResponse, Response, Status};
use settle::Tree;
use std::ops::ControlFlow;

/// A plan that was written or revised, not yet saved.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The plan as it would be. Save it with [`PlanStore::save`].
    pub plan: Plan,
    /// The step that was revised; nothing for a whole plan.
    pub revised: Option<usize>,
    /// Status, token counts and timings of the model's part.
    pub response: Response,
}

/// The edit that a step stands for: what to give to the `edit` module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepEdit {
    /// The step.
    pub number: usize,
    /// Files to edit, at least one.
    pub files: Vec<StepFile>,
    /// Declaration to edit in the first file.
    pub symbol: Option<String>,
    /// What to do.
    pub instruction: String,
}

/// Writes a plan for a goal. A plan that there is already becomes the past of the new one.
///
/// `on_text` gets the model's words as they come, for showing progress; the plan is what the
/// result holds.
///
/// # Errors
/// `Empty`, `TooLong`, `NoFiles`, `NoSteps`, `Cancelled`, `Backend`.
pub fn write(
    backend: &dyn Backend,
    workspace: &Workspace,
    goal: &str,
    old: Option<Plan>,
    on_text: &mut OnText<'_>,
) -> Result<Planned, PlanError> {
    let goal = goal.trim();
    if goal.is_empty() {
        return Err(PlanError::Empty { what: "goal" });
    }
    let tree = Tree::around(backend, workspace, goal)?;
    let asked = prompt::write(backend, &tree, goal)?;
    let (reply, response) = generate(backend, &asked.request, on_text)?;
    let steps: Vec<Step> =
        drafts(&reply).into_iter().zip(1..).map(|(draft, n)| tree.settle(draft, n)).collect();
    if steps.is_empty() {
        return Err(PlanError::NoSteps { reply });
    }
    let talk = asked.said(Talk::default(), workspace, &reply);
    let plan = match old {
        None => Plan { goal: goal.to_owned(), revision: 0, steps, past: Vec::new(), talk },
        Some(mut plan) => {
            plan.replace(goal.to_owned(), steps, format!("write: {goal}"));
            Plan { talk, ..plan }
        }
    };
    Ok(Planned { plan, revised: None, response })
}

/// Revises the one step that a request speaks of; the others keep every byte.
///
/// The step is found by its number, else by its words, else the model is asked for its number. A
/// step that was carried out is open again after a revision.
///
/// # Errors
/// `Empty`, `TooLong`, `NoSuchStep`, `SeveralSteps`, `UnclearStep`, `NoSteps`, `Unchanged`,
/// `Cancelled`, `Backend`.
pub fn revise(
    backend: &dyn Backend,
    workspace: &Workspace,
    plan: &Plan,
    request: &str,
    on_text: &mut OnText<'_>,
) -> Result<Planned, PlanError> {
    let request = request.trim();
    if request.is_empty() {
        return Err(PlanError::Empty { what: "request" });
    }
    let number = match pick(request, &plan.steps) {
        Pick::Step(number) => number,
        Pick::Several(numbers) => return Err(PlanError::SeveralSteps { numbers }),
        Pick::Beyond(number) => return Err(no_such_step(plan, number)),
        Pick::Unclear => ask_for_number(backend, plan, request)?,
    };
    let old = plan.step(number).ok_or_else(|| no_such_step(plan, number))?;
    let tree = Tree::around(backend, workspace, &format!("{request} {old}"))?;
    // Behind what was said before, with what changed since; anew where that has become too much.
    let mut talk = plan.talk.clone();
    let changes = talk.notice(workspace);
    let asked = prompt::revise_on(backend, &tree.rules, &talk, &changes, old, request);
    let asked = if let Some(asked) = asked {
        asked
    } else {
        talk = Talk::default();
        prompt::revise(backend, &tree, plan, old, request)?
    };
    let (reply, response) = generate(backend, &asked.request, on_text)?;
    // A small model writes the steps around it too: the number tells them apart.
    let mut written = drafts(&reply);
    let at = written.iter().position(|draft| draft.number == Some(number)).unwrap_or(0);
    if written.is_empty() {
        return Err(PlanError::NoSteps { reply });
    }
    let mut step = tree.settle(written.swap_remove(at), number);
    // Who revises what is done seldom says again where.
    if step.files.is_empty() {
        (step.files, step.symbol) = (old.files.clone(), old.symbol.clone());
    }
    if step.to_string() == old.to_string() {
        return Err(PlanError::Unchanged { number });
    }
    let mut steps = plan.steps.clone();
    steps[number - 1] = step;
    let talk = asked.said(talk, workspace, &reply);
    let mut plan = Plan { talk, ..plan.clone() };
    plan.replace(plan.goal.clone(), steps, format!("revise {number}: {request}"));
    Ok(Planned { plan, revised: Some(number), response })
}

impl Plan {
    /// The edit that a step stands for.
    ///
    /// # Errors
    /// `NoSuchStep`, `AlreadyDone`, `AlreadyEdited`, `IsCommand`, `NothingToEdit`.
    pub fn edit(&self, number: usize) -> Result<StepEdit, PlanError> {
        let step = self.open_step(number)?;
        if step.run.is_some() {
            return Err(PlanError::IsCommand { number });
        }
        if step.files.is_empty() {
            return Err(PlanError::NothingToEdit { number });
        }
        let title = step.title.trim_end_matches('.');
        let instruction = match step.detail.as_str() {
            "" => title.to_owned(),
            detail => format!("{title}. {detail}"),
        };
        let (files, symbol) = (step.files.clone(), step.symbol.clone());
        Ok(StepEdit { number, files, symbol, instruction })
    }

    /// The command that a step runs, if it is no edit.
    ///
    /// # Errors
    /// `NoSuchStep`, `AlreadyDone`, `AlreadyEdited`.
    pub fn command(&self, number: usize) -> Result<Option<&str>, PlanError> {
        Ok(self.open_step(number)?.run.as_deref())
    }

    fn open_step(&self, number: usize) -> Result<&Step, PlanError> {
        let step = self.step(number).ok_or_else(|| no_such_step(self, number))?;
        match step.state {
            StepState::Open => Ok(step),
            StepState::Done { edit } => Err(PlanError::AlreadyDone { number, edit }),
            StepState::Edited => Err(PlanError::AlreadyEdited { number }),
        }
    }

    /// Makes a step run a command, or adds one at the end that does.
    ///
    /// # Errors
    /// `NoSuchStep` when the number is not one of the steps, nor the next one.
    pub fn run_at(&self, number: usize, command: &str) -> Result<Self, PlanError> {
        let mut steps = self.steps.clone();
        let step = Step {
            number,
            title: format!("Run `{command}`"),
            files: Vec::new(),
            symbol: None,
            detail: String::new(),
            run: Some(command.to_owned()),
            state: StepState::Open,
        };
        if (1..=steps.len()).contains(&number) {
            steps[number - 1] = step;
        } else if number == steps.len() + 1 && number <= N_STEPS_MAX {
            steps.push(step);
        } else {
            return Err(no_such_step(self, number));
        }
        let mut plan = self.clone();
        plan.replace(self.goal.clone(), steps, format!("revise {number}: run {command}"));
        Ok(plan)
    }

    /// Opens the steps again whose edits were undone, as `was_undone` tells of an edit's number.
    /// Returns whether there were any.
    pub fn reopen(&mut self, was_undone: impl Fn(EntryId) -> bool) -> bool {
        let mut any = false;
        for step in &mut self.steps {
            if matches!(step.state, StepState::Done { edit } if was_undone(edit)) {
                step.state = StepState::Open;
                any = true;
            }
        }
        any
    }
}

/// Notes that a step was carried out by an edit or a command, and saves the plan.
///
/// * `edit`: its number in the journal
///
/// # Errors
/// `NoSuchStep`, and those of [`PlanStore::save`].
pub fn mark_done(
    store: &PlanStore,
    workspace: &Workspace,
    plan: &Plan,
    number: usize,
    edit: EntryId,
) -> Result<Plan, PlanError> {
    mark(store, workspace, plan, number, StepState::Done { edit })
}

/// Notes that a step was carried out in an editor, and saves the plan.
///
/// # Errors
/// As for [`mark_done`].
pub fn mark_edited(
    store: &PlanStore,
    workspace: &Workspace,
    plan: &Plan,
    number: usize,
) -> Result<Plan, PlanError> {
    mark(store, workspace, plan, number, StepState::Edited)
}

fn mark(
    store: &PlanStore,
    workspace: &Workspace,
    plan: &Plan,
    number: usize,
    state: StepState,
) -> Result<Plan, PlanError> {
    let mut plan = plan.clone();
    let n_steps = plan.steps.len();
    let step = number.checked_sub(1).and_then(|at| plan.steps.get_mut(at));
    step.ok_or(PlanError::NoSuchStep { number, n_steps })?.state = state;
    store.save(workspace, &plan)
}

fn no_such_step(plan: &Plan, number: usize) -> PlanError {
    PlanError::NoSuchStep { number, n_steps: plan.steps.len() }
}

/// Asks the model which step is meant.
fn ask_for_number(backend: &dyn Backend, plan: &Plan, request: &str) -> Result<usize, PlanError> {
    let prompt = prompt::which(backend, plan, request);
    let response = backend.respond(&prompt, &mut |_| ControlFlow::Continue(()))?;
    let reply = &response.text();
    let digits: String = reply
        .chars()
        .skip_while(|c| !c.is_ascii_digit())
        .take_while(char::is_ascii_digit)
        .collect();
    let number = digits.parse().ok().filter(|number| plan.step(*number).is_some());
    number.ok_or(PlanError::UnclearStep { n_steps: plan.steps.len() })
}

/// Lets the model write, up to a loop; returns the whole text with the prefix it was given.
fn generate(
    backend: &dyn Backend,
    request: &CreateResponse,
    on_text: &mut OnText<'_>,
) -> Result<(String, Response), PlanError> {
    let mut text = request.cerium.prefix.clone();
    let mut broke_off = false;
    let response = backend.respond(request, &mut |delta: &str| {
        text.push_str(delta);
        broke_off = on_text(delta).is_break();
        let over = broke_off || loop_start(&text).is_some();
        if over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if broke_off || (response.status == Status::Cancelled && loop_start(&text).is_none()) {
        return Err(PlanError::Cancelled);
    }
    Ok((text, response))
}
