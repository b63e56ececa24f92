//! `cerium plan`: writing, showing, revising and carrying out the tree's plan.

use super::edit::{self, Consent};
use super::run::{execute, exit_of};
use super::{Context, Exit, Tree};
use crate::cli;
use crate::failure::advice;
use crate::interrupt;
use crate::output::progress::Spinner;
use crate::output::{self, BOLD, DIM, GREEN};
use crate::stats::Stats;
use anyhow::Result;
use cerium_harness::edit::EditRequest;
use cerium_harness::journal::EntryState;
use cerium_harness::plan::{
    self, Plan, PlanError, PlanStore, Planned, Step, StepEdit, StepFile, StepState,
};
use cerium_harness::run::{Limits, Reach, RunRequest};
use serde::Serialize;
use std::fmt::Write;
use std::path::Path;

/// The `--json` object.
#[derive(Serialize)]
struct Report<'a> {
    /// Absent when no model was asked.
    #[serde(flatten)]
    stats: Option<Stats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<&'static str>,
    goal: &'a str,
    /// The step that was revised.
    #[serde(skip_serializing_if = "Option::is_none")]
    revised: Option<usize>,
    steps: &'a [Step],
}

pub(crate) fn run(context: &Context, args: &cli::Plan) -> Result<Exit> {
    let tree = Tree::here()?;
    let store = PlanStore::of(&tree.state, &tree.workspace);
    if let Some(number) = args.apply {
        return carry_out(
            context,
            &tree,
            &store,
            usize::from(number),
            Consent::of(args.yes, args.dry_run),
        );
    }
    if let Some([number, command]) = args.run.as_deref() {
        let number = number.parse().map_err(|_| {
            advice(format!("`{number}` is no number of a step"), "cerium plan --run N COMMAND")
        })?;
        let plan = needed(tree.plan(&store)?)?.run_at(number, command.trim())?;
        let plan = store.save(&tree.workspace, &plan)?;
        tree.journal().note_plan(&format!("revise {number}: run {}", command.trim()))?;
        show(context, &plan, None)?;
        return Ok(Exit::Done);
    }
    match (&args.text, &args.revise) {
        (Some(goal), _) => {
            // A plan that cannot be read is put aside when the new one is saved.
            let old = match tree.plan(&store) {
                Err(PlanError::Damaged { .. }) => None,
                loaded => loaded?,
            };
            let backend = context.asked(&tree, &args.delegate)?;
            let made = make(context, "planning", |on_text| {
                plan::write(&backend, &tree.workspace, goal, old, on_text)
            })?;
            finish(context, &tree, &store, &made, args.delegate.tier())
        }
        (_, Some(request)) => {
            let old = needed(tree.plan(&store)?)?;
            let backend = context.asked(&tree, &args.delegate)?;
            let made = make(context, "revising", |on_text| {
                plan::revise(&backend, &tree.workspace, &old, request, on_text)
            })?;
            finish(context, &tree, &store, &made, args.delegate.tier())
        }
        (None, None) => {
            show(context, &needed(tree.plan(&store)?)?, None)?;
            Ok(Exit::Done)
        }
    }
}

impl Tree {
    /// The plan on disk, with the steps open again whose edits were undone since.
    pub(crate) fn plan(&self, store: &PlanStore) -> Result<Option<Plan>, PlanError> {
        let Some(mut plan) = store.load()? else { return Ok(None) };
        let log = self.journal().log().unwrap_or_default();
        plan.reopen(|edit| log.iter().any(|e| e.id == edit && e.state != EntryState::Applied));
        Ok(Some(plan))
    }
}

/// The edits that a step stands for.
///
/// * `root`: of the tree
pub(crate) fn step_requests(root: &Path, step: &StepEdit) -> Vec<EditRequest> {
    // The symbol is one of the first file.
    let mut symbol = step.symbol.clone();
    let request = |file: &StepFile| EditRequest {
        symbol: symbol.take(),
        fate: file.fate(root),
        ..EditRequest::new(root.join(&file.path), step.instruction.clone())
    };
    step.files.iter().map(request).collect()
}

/// Carries a step out as an edit, and notes it in the plan.
fn carry_out(
    context: &Context,
    tree: &Tree,
    store: &PlanStore,
    number: usize,
    consent: Consent,
) -> Result<Exit> {
    let plan = needed(tree.plan(store)?)?;
    if let Some(command) = plan.command(number)? {
        return run_step(context, tree, store, &plan, number, command, consent);
    }
    let step = plan.edit(number)?;
    let requests = step_requests(tree.workspace.root(), &step);
    let reports = edit::edit(context, tree, requests, None, consent)?;
    let exit = edit::worst(&reports);
    if let (Exit::Done, Some(id)) = (exit, reports.iter().find_map(edit::FileReport::undo)) {
        plan::mark_done(store, &tree.workspace, &plan, number, id)?;
    }
    if context.output.json {
        edit::print(&reports)?;
    }
    Ok(exit)
}

/// Runs the command of a step in the sandbox, if that is wanted; the step is done when it succeeds.
fn run_step(
    context: &Context,
    tree: &Tree,
    store: &PlanStore,
    plan: &Plan,
    number: usize,
    command: &str,
    consent: Consent,
) -> Result<Exit> {
    context.output.note(format!("{BOLD}$ {}{BOLD:#}", output::printable(command)));
    let wanted = match consent {
        Consent::Given => true,
        Consent::DryRun => return Ok(Exit::Done),
        Consent::Ask => output::confirm("run it?", false).unwrap_or_else(|_| {
            context.output.note("not run: there is no terminal to ask on");
            context.output.note("hint: --yes runs it without asking");
            false
        }),
    };
    if !wanted {
        return Ok(Exit::Declined);
    }
    let root = tree.workspace.root().to_owned();
    let request = RunRequest {
        words: vec![command.to_owned()],
        dir: root.clone(),
        root,
        reach: Reach::Tree,
        limits: Limits::default(),
    };
    let (id, ran) = execute(context, tree, &request)?;
    if ran.ended.is_success() {
        plan::mark_done(store, &tree.workspace, plan, number, id)?;
    }
    if context.output.json {
        output::object(&ran)?;
    }
    Ok(exit_of(&ran))
}

/// A plan that there must be.
pub(crate) fn needed(plan: Option<Plan>) -> Result<Plan> {
    let none = || {
        advice(
            "there is no plan for this tree yet",
            "`cerium plan 'what is to be reached'` writes one",
        )
    };
    plan.ok_or_else(none)
}

/// Runs a generation with a spinner that shows the line being written.
fn make(
    context: &Context,
    what: &str,
    run: impl FnOnce(&mut cerium_harness::OnText<'_>) -> Result<Planned, PlanError>,
) -> Result<Planned, PlanError> {
    let _deferred = interrupt::defer();
    let spinner = Spinner::start(context.output, what.to_owned());
    let mut line = String::new();
    run(&mut |text| {
        line.push_str(text);
        if let Some(end) = line.rfind('\n') {
            line.drain(..=end);
        }
        spinner.show(format!("{what}: {}", line.trim()));
        interrupt::going_on()
    })
}

fn finish(
    context: &Context,
    tree: &Tree,
    store: &PlanStore,
    made: &Planned,
    tier: &'static str,
) -> Result<Exit> {
    let plan = store.save(&tree.workspace, &made.plan)?;
    let n_steps = plan.steps.len();
    let what = match plan.past.last() {
        Some(past) if made.revised.is_some() => past.replaced_by.clone(),
        _ => format!("{} ({n_steps} steps)", plan.goal),
    };
    tree.journal().note_plan(&what)?;
    show(context, &plan, Some((made, tier)))?;
    Ok(Exit::Done)
}

fn show(context: &Context, plan: &Plan, made: Option<(&Planned, &'static str)>) -> Result<()> {
    let stats = made.map(|(made, _)| Stats::of(&made.response));
    let (revised, tier) = (made.and_then(|(made, _)| made.revised), made.map(|(_, tier)| tier));
    if context.output.json {
        return output::object(&Report {
            stats,
            tier,
            goal: &plan.goal,
            revised,
            steps: &plan.steps,
        });
    }
    let mut text = format!("{BOLD}{}{BOLD:#}\n", plan.goal);
    for step in &plan.steps {
        let style = match step.state {
            StepState::Done { edit } => {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{GREEN}done, {edit} in `cerium log`{GREEN:#}");
                DIM
            }
            StepState::Edited => {
                let _ = writeln!(text, "{GREEN}done in an editor{GREEN:#}");
                DIM
            }
            StepState::Open if revised == Some(step.number) => BOLD,
            StepState::Open => anstyle::Style::new(),
        };
        let _ = write!(text, "{style}{step}{style:#}");
    }
    output::data(&text)?;
    if let Some(line) = stats.and_then(|stats| stats.line()) {
        context.output.note(line);
    }
    Ok(())
}
