//! Edits: made, offered, applied hunk by hunk, made again otherwise.

use super::{Last, Session};
use crate::commands::edit::places;
use crate::commands::{Tree, step_requests};
use crate::interrupt;
use crate::tui::history::Choice;
use crate::tui::message::Told;
use anyhow::{Result, bail};
use cerium_harness::Backend;
use cerium_harness::edit::{
    Chosen, EditRequest, Hunk, LineEvent, Prepared, Progress, Proposal, Route, Strategy, apply_all,
    plan_edit, run_edit, warm,
};
use cerium_harness::files::SourceFile;
use cerium_harness::lines::LineSpan;
use cerium_harness::plan::{self, StepEdit};
use cerium_harness::redirect::joined;
use std::collections::HashMap;
use std::ops::ControlFlow;

/// An edit that is wanted, and what came of it so far.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    files: Vec<String>,
    instruction: String,
    /// The step of the plan that it carries out, and where that is.
    step: Option<StepEdit>,
    proposals: Vec<Proposal>,
    /// The diff of each file as far as it was written last.
    written: HashMap<String, Vec<LineEvent>>,
}

impl Wanted {
    pub(super) fn new(files: Vec<String>, instruction: String) -> Self {
        Self { files, instruction, step: None, proposals: Vec::new(), written: HashMap::new() }
    }

    /// The edit of a step of the plan.
    pub(super) fn of_step(step: StepEdit) -> Self {
        let files = step.files.iter().map(|file| file.path.clone()).collect();
        let instruction = step.instruction.clone();
        Self { step: Some(step), ..Self::new(files, instruction) }
    }

    /// What is to be asked of each file.
    fn prepared(&self, tree: &Tree) -> Result<Vec<Prepared>> {
        let root = tree.workspace.root();
        let requests: Vec<EditRequest> = match &self.step {
            Some(step) => step_requests(root, step),
            None => self.files.iter().map(|file| EditRequest::new(root.join(file), "")).collect(),
        };
        let prepare = |(file, request): (&String, EditRequest)| {
            let instruction = self.instruction.clone();
            let written = self.written.get(file).cloned().unwrap_or_default();
            let request = EditRequest { instruction, written, ..request };
            Ok(plan_edit(&tree.workspace, request)?)
        };
        self.files.iter().zip(requests).map(prepare).collect()
    }

    /// The edit as a model makes it, with nobody watching.
    pub(super) fn made(mut self, tree: &Tree, backend: &dyn Backend) -> Result<Self> {
        for prepared in self.prepared(tree)? {
            let proposal = match prepared.direct() {
                Some(direct) => direct.clone(),
                None => run_edit(backend, &prepared, &mut |_| interrupt::going_on())?,
            };
            self.proposals.push(proposal);
        }
        Ok(self)
    }

    /// The same with something more in mind.
    pub(super) fn but(self, more: &str) -> Self {
        let instruction = joined(&self.instruction, more);
        Self { instruction, proposals: Vec::new(), ..self }
    }
}

impl Session {
    pub(super) fn apply_step(&mut self, step: usize) -> Result<()> {
        let plan = self.needed_plan(&self.plans())?;
        self.edit(Wanted::of_step(plan.edit(step)?))
    }

    /// Makes an edit and offers it.
    pub(super) fn edit(&mut self, mut wanted: Wanted) -> Result<()> {
        self.last = Last::Edit(wanted.clone());
        self.tree.journal().recover()?;
        let all = wanted.prepared(&self.tree)?;
        for (file, prepared) in wanted.files.clone().into_iter().zip(&all) {
            let mut lines = Vec::new();
            let made = self.make(prepared, &mut lines);
            if !lines.is_empty() {
                wanted.written.insert(file, lines);
            }
            match made {
                Ok(proposal) => wanted.proposals.push(proposal),
                // The other files may come to something.
                Err(error) if all.len() > 1 && !interrupt::requested() => {
                    self.report(Err(error));
                }
                Err(error) => {
                    self.last = Last::Edit(wanted);
                    return Err(error);
                }
            }
        }
        self.offer(wanted);
        Ok(())
    }

    /// Has the person choose among what was made.
    fn offer(&mut self, wanted: Wanted) {
        let offered = wanted.proposals.iter().map(|p| (p.file.path.clone(), Choice::all(p)));
        let offered: Vec<_> = offered.collect();
        self.last = Last::Edit(wanted);
        if !offered.is_empty() {
            self.tell(Told::Proposed(offered));
        }
    }

    /// Offers an edit that was made elsewhere.
    pub(super) fn offer_next(&mut self) -> Result<()> {
        let Ok(wanted) = self.back.try_recv() else { bail!("nothing has come back") };
        for Proposal { file, scope, .. } in &wanted.proposals {
            self.tell(Told::Diff { path: file.path.clone(), places: places(scope) });
        }
        self.offer(wanted);
        Ok(())
    }

    /// * `written`: gets the lines of the diff, also when it comes to nothing
    fn make(&mut self, prepared: &Prepared, written: &mut Vec<LineEvent>) -> Result<Proposal> {
        let path = &prepared.file.path;
        if let Some(direct) = prepared.direct() {
            self.tell(Told::Diff { path: path.clone(), places: places(&direct.scope) });
            return Ok(direct.clone());
        }
        let backend = self.backend()?;
        let proposal = run_edit(&*backend, prepared, &mut |progress| {
            progress.keep(written);
            self.progress(path, &progress)
        })?;
        if let Some(Chosen { chosen, candidates, .. }) = proposal.chosen {
            self.note(format!("answer {} of {candidates}", chosen + 1));
        }
        Ok(proposal)
    }

    fn progress(&self, path: &str, progress: &Progress<'_>) -> ControlFlow<()> {
        match progress {
            Progress::Scope(scope) => {
                self.tell(Told::Diff { path: path.to_owned(), places: places(scope) });
            }
            Progress::Line(event) => self.tell(Told::Line(event.clone())),
            Progress::Writing => self.tell(Told::Doing(format!("writing {path}"))),
            Progress::Retry { reason } => self.note(format!("asking again: {reason}")),
        }
        interrupt::going_on()
    }

    /// Applies of what was offered these hunks of each file.
    pub(super) fn accept(&mut self, chosen: &[Vec<Hunk>]) -> Result<()> {
        let Last::Edit(wanted) = std::mem::replace(&mut self.last, Last::Nothing) else {
            bail!("there is nothing to apply");
        };
        let some = wanted.proposals.iter().zip(chosen);
        let some: Vec<Proposal> =
            some.filter_map(|(proposal, hunks)| proposal.take(hunks)).collect();
        let receipts = match apply_all(&some, &self.tree.journal()) {
            Ok(receipts) => receipts,
            Err(error) => {
                self.tell(Told::Settled(None));
                return Err(error.into());
            }
        };
        let edit = receipts.iter().find_map(|receipt| receipt.undo);
        self.tell(Told::Settled(edit));
        if let (Some(step), Some(edit)) = (&wanted.step, edit) {
            let store = self.plans();
            let plan = self.needed_plan(&store)?;
            let plan = plan::mark_done(&store, &self.tree.workspace, &plan, step.number, edit)?;
            self.tell(Told::Plan(Box::new(plan)));
        }
        if receipts.iter().any(|receipt| receipt.merged) {
            self.note("merged with what changed in the file meanwhile");
        }
        for proposal in &some {
            self.read_on(proposal);
        }
        Ok(())
    }

    /// Has what an edit leaves read before anybody says what comes next.
    fn read_on(&self, proposal: &Proposal) {
        // Of a file that is gone or elsewhere nothing comes next.
        if proposal.route == Route::Direct {
            return;
        }
        let Some(backend) = &self.backend else { return };
        let Some(region) = proposal.scope.regions.first() else { return };
        let file = SourceFile { text: proposal.after.clone(), ..proposal.file.clone() };
        warm(&**backend, &file, LineSpan::line(region.lines.start), &Strategy::default());
    }

    pub(super) fn reject(&mut self) {
        self.last = Last::Nothing;
        self.tell(Told::Settled(None));
    }
}
