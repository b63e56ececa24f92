//! `cerium edit`: the diff as it is written, the question, the write, the receipt.
//!
//! All files are read and checked before a model is loaded, so bad input costs no time and changes
//! nothing. Then each file is edited and shown in turn, and what was made is asked about and applied
//! as one.

mod choose;
mod report;

use super::{Context, Exit, Tree};
use crate::backend::Counted;
use crate::cli::{Edit, EditFormat};
use crate::failure::{self, advice};
use crate::interrupt;
use crate::output::diff::{self, DiffView};
use crate::output::progress::Spinner;
use crate::output::{self, BOLD, DIM, GREEN, Output};
use crate::redirect::Keys;
use crate::stats::Stats;
use anyhow::{Result, bail};
use cerium_harness::edit::{
    Chosen, EditError, EditRequest, Fate, FileChoice, Format, LineEvent, Picked, Prepared,
    Progress, Proposal, Reason, Receipt, Route, Scope, Strategy, apply_all, draft_receipt,
    find_files, pick_file, plan_edit, run_edit, warm,
};
use cerium_harness::files::{FileError, SourceFile};
use cerium_harness::journal::Journal;
use cerium_harness::lines::LineSpan;
use cerium_harness::workspace::{Workspace, WorkspaceError};
use choose::choose;
pub(crate) use report::{FileReport, places, print};
use std::ops::ControlFlow;
use std::path::PathBuf;

/// What is done with an edit once it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consent {
    Ask,
    Given,
    /// It is only shown.
    DryRun,
}

impl Consent {
    pub(crate) fn of(yes: bool, dry_run: bool) -> Self {
        match (yes, dry_run) {
            (_, true) => Self::DryRun,
            (true, false) => Self::Given,
            (false, false) => Self::Ask,
        }
    }
}

pub(crate) fn run(context: &Context, args: &Edit) -> Result<Exit> {
    if args.lines.is_some() && args.files.len() != 1 {
        return Err(advice(
            "--lines names lines of one file, and there is not one",
            "name that file, and no other, in the command",
        ));
    }
    let tree = Tree::here()?;
    let strategy = Strategy {
        candidates: args.candidates,
        format: match args.format {
            EditFormat::Rewrite => Format::Rewrite,
            EditFormat::EachRegion => Format::EachRegion,
            EditFormat::SearchReplace => Format::SearchReplace,
        },
        ..Strategy::default()
    };
    let request = |path| EditRequest {
        lines: args.lines.as_ref().map(|lines| lines.0),
        symbol: args.symbol.clone(),
        strategy: strategy.clone(),
        fate: if args.new { Fate::Make } else { Fate::Change },
        ..EditRequest::new(path, args.instruction.clone())
    };
    let (files, backend) = match args.files.as_slice() {
        [] => find(context, &tree, &args.instruction)?,
        _ => (args.files.clone(), None),
    };
    let requests = files.into_iter().map(request).collect();
    let consent = Consent::of(args.yes, args.dry_run);
    let reports = edit(context, &tree, requests, backend, consent)?;
    if context.output.json {
        print(&reports)?;
    }
    Ok(worst(&reports))
}

/// A file that is there, or is not, where the other was meant.
fn about_new(error: EditError) -> anyhow::Error {
    let hint = match &error {
        EditError::File(FileError::Place(WorkspaceError::Missing { .. })) => {
            "--new has a file written that is not there yet"
        }
        EditError::File(FileError::Place(WorkspaceError::Exists { .. })) => {
            "without --new it is changed"
        }
        _ => return error.into(),
    };
    advice(output::chain(&error.into()), hint)
}

/// The files that an instruction is about, and the model if it had to be asked.
fn find(
    context: &Context,
    tree: &Tree,
    instruction: &str,
) -> Result<(Vec<PathBuf>, Option<Counted>)> {
    let (picked, backend) = match find_files(&tree.workspace, instruction)? {
        FileChoice::Sure(picked) => (picked, None),
        FileChoice::Unsure(files) => {
            let backend = context.backend(tree)?;
            let _deferred = interrupt::defer();
            let spinner = Spinner::start(context.output, "looking for the file".into());
            let picked = pick_file(&backend, &tree.workspace, instruction, &files, &mut || {
                interrupt::going_on()
            });
            drop(spinner);
            (vec![picked?], Some(backend))
        }
    };
    for Picked { path, why } in &picked {
        let path = output::printable(path);
        context.output.note(format!("{DIM}editing{DIM:#} {path}{DIM}: {why}{DIM:#}"));
    }
    let root = tree.workspace.root();
    Ok((picked.iter().map(|picked| root.join(&picked.path)).collect(), backend))
}

/// Makes the edits, one file after the other, then asks about them and applies them as one step.
/// Files that do not come to an edit do not stop the others; Ctrl-C stops all.
///
/// * `backend`: if a model was needed before; else it is found when one is
///
/// # Errors
/// When a file or a flag is bad input: then nothing was done at all.
pub(crate) fn edit(
    context: &Context,
    tree: &Tree,
    requests: Vec<EditRequest>,
    backend: Option<Counted>,
    consent: Consent,
) -> Result<Vec<FileReport>> {
    let journal = tree.journal();
    journal.recover()?;
    let mut all: Vec<Prepared> = Vec::new();
    for request in requests {
        let prepared = plan_edit(&tree.workspace, request).map_err(about_new)?;
        if let Some(other) = all.first().filter(|other| other.file.root != prepared.file.root) {
            let paths = [other, &prepared].map(|prepared| prepared.file.real.clone());
            return Err(EditError::SeveralTrees { paths }.into());
        }
        if !all.iter().any(|other| other.file.path == prepared.file.path) {
            all.push(prepared);
        }
    }
    let backend = match backend {
        None if all.iter().any(Prepared::needs_model) => Some(context.backend(tree)?),
        backend => backend,
    };
    let mut made: Vec<Made> = Vec::new();
    for prepared in all {
        let workspace = &tree.workspace;
        let one = One { output: context.output, backend: backend.as_ref(), workspace, consent };
        made.push(one.make(prepared)?);
        if interrupt::requested() {
            break;
        }
    }
    let together = Together { output: context.output, backend: backend.as_ref(), consent };
    Ok(together.settle(made, &journal))
}

/// The exit code of all: what failed counts more than what was declined, and both more than what
/// was done.
pub(crate) fn worst(reports: &[FileReport]) -> Exit {
    let order = [Exit::Interrupted, Exit::BadInput, Exit::NoEdit, Exit::Declined];
    order.into_iter().find(|exit| reports.iter().any(|r| r.exit == *exit)).unwrap_or(Exit::Done)
}

/// What came of one file, before anything is written.
struct Made {
    file: String,
    scope: Scope,
    stats: Stats,
    proposal: Result<Proposal, anyhow::Error>,
}

/// The edit of one file.
struct One<'a> {
    output: Output,
    backend: Option<&'a Counted>,
    workspace: &'a Workspace,
    consent: Consent,
}

impl One<'_> {
    /// Lets the edit be written, showing it.
    fn make(&self, mut prepared: Prepared) -> Result<Made> {
        let proposal = self.propose(&mut prepared);
        let stats = self.backend.map_or_else(Stats::default, Counted::take_stats);
        match &proposal {
            Ok(proposal) => self.show(proposal)?,
            Err(error) => tell(self.output, error),
        }
        let scope = prepared.scope().clone();
        Ok(Made { file: prepared.file.path, scope, stats, proposal })
    }

    /// * `prepared`: becomes what the person made of it while it was written
    fn propose(&self, prepared: &mut Prepared) -> Result<Proposal> {
        let _deferred = interrupt::defer();
        loop {
            let path = prepared.file.path.clone();
            let mut live = Live::new(self.output, &path);
            if let Some(direct) = prepared.direct() {
                live.whole(direct);
                return Ok(direct.clone());
            }
            let Some(backend) = self.backend else {
                bail!("a model is needed and none was loaded")
            };
            let made = run_edit(backend, prepared, &mut |progress| live.progress(&progress));
            let Some(more) = live.keys.take_redirect() else {
                let proposal = made?;
                if let Some(chosen) = proposal.chosen {
                    live.chosen(&proposal, chosen);
                }
                return Ok(proposal);
            };
            let request = prepared.request().redirected(&more, live.written);
            *prepared = plan_edit(self.workspace, request)?;
        }
    }

    /// Prints the diff where it was not seen growing.
    fn show(&self, proposal: &Proposal) -> Result<()> {
        // Nobody is asked about what they have not seen, quiet or not.
        let wanted = self.consent != Consent::Given || !self.output.quiet;
        if self.output.json {
            Ok(())
        } else if !output::is_shown() {
            output::data(&proposal.diff())
        } else if !self.output.is_watched() && wanted {
            output::data(&diff::colour(&proposal.diff()))
        } else {
            Ok(())
        }
    }
}

/// All files of an edit, once it is there.
struct Together<'a> {
    output: Output,
    backend: Option<&'a Counted>,
    consent: Consent,
}

impl Together<'_> {
    /// Asks, if need be, and applies what is wanted, all of it or nothing.
    fn settle(&self, made: Vec<Made>, journal: &Journal) -> Vec<FileReport> {
        let proposals: Vec<Proposal> =
            made.iter().filter_map(|made| made.proposal.as_ref().ok().cloned()).collect();
        if interrupt::requested() || proposals.is_empty() {
            return made.into_iter().map(FileReport::of_made).collect();
        }
        if self.consent == Consent::Ask && output::can_ask() {
            // While the diff is read. What was read of the old text stays as well.
            for proposal in &proposals {
                self.read_on(proposal);
            }
        }
        let wanted = self.wanted(proposals);
        let taken: Vec<Proposal> = wanted.iter().flatten().cloned().collect();
        let applied = {
            let _deferred = interrupt::defer();
            apply_all(&taken, journal).map_err(anyhow::Error::from)
        };
        if let Err(error) = &applied {
            tell(self.output, error);
        }
        let refused = match (self.consent, taken.is_empty()) {
            (Consent::Ask, true) => Exit::Declined,
            // What was left of an edit of which some was taken is left as was wished.
            _ => Exit::Done,
        };
        let mut wanted = wanted.into_iter();
        let mut receipts = applied.as_ref().map_or(&[][..], Vec::as_slice).iter();
        let mut reports = Vec::new();
        for made in made {
            let Ok(whole) = &made.proposal else {
                reports.push(FileReport::of_made(made));
                continue;
            };
            let report = match (wanted.next().flatten(), &applied) {
                (Some(taken), Ok(_)) => {
                    let receipt = receipts.next().cloned();
                    self.sum_up(&taken, &made.stats, receipt.as_ref());
                    if self.consent == Consent::Given {
                        self.read_on(&taken);
                    }
                    FileReport::made(made.stats, &taken, Exit::Done, receipt)
                }
                (Some(taken), Err(error)) => {
                    self.sum_up(&taken, &made.stats, None);
                    let draft = draft_receipt(&taken);
                    FileReport::made(made.stats, &taken, failure::exit(error), draft).because(error)
                }
                (None, _) => {
                    self.sum_up(whole, &made.stats, None);
                    FileReport::made(made.stats, whole, refused, draft_receipt(whole))
                }
            };
            reports.push(report);
        }
        reports
    }

    /// What of each proposal is to be applied.
    fn wanted(&self, proposals: Vec<Proposal>) -> Vec<Option<Proposal>> {
        let none = vec![None; proposals.len()];
        match self.consent {
            Consent::Given => proposals.into_iter().map(Some).collect(),
            Consent::DryRun => none,
            Consent::Ask => choose(self.output, proposals).unwrap_or_else(|_| {
                self.output.note("not applied: there is no terminal to ask on");
                self.output.note("hint: --yes applies without asking, --dry-run only shows");
                none
            }),
        }
    }

    /// The last lines of a file: what was done and what it took.
    fn sum_up(&self, proposal: &Proposal, stats: &Stats, receipt: Option<&Receipt>) {
        let (added, removed) = proposal.counts();
        let title = proposal.title();
        let path = output::printable(&title);
        let undo = receipt.and_then(|receipt| receipt.undo);
        let merged = receipt.is_some_and(|receipt| receipt.merged);
        let merged = if merged { ", merged with what changed meanwhile," } else { "" };
        let state = match undo {
            Some(id) => {
                format!("{GREEN}applied{GREEN:#}{merged} as edit {id}, `cerium undo` takes it back")
            }
            None => "not applied".into(),
        };
        self.output.note(format!("{BOLD}{path}{BOLD:#} +{added} -{removed} {state}"));
        if let Some(line) = stats.line() {
            self.output.note(format!("{DIM}{line}{DIM:#}"));
        }
    }

    /// Has what an edit leaves read before anybody says what comes next: mostly it is about the same
    /// place.
    fn read_on(&self, proposal: &Proposal) {
        let Some(backend) = self.backend.filter(|_| proposal.route == Route::Model) else { return };
        let Some(region) = proposal.scope.regions.first() else { return };
        let file = SourceFile { text: proposal.after.clone(), ..proposal.file.clone() };
        warm(backend, &file, LineSpan::line(region.lines.start), &Strategy::default());
    }
}

/// Tells why there is no edit, and where it clashes.
fn tell(output: Output, error: &anyhow::Error) {
    if failure::exit(error) == Exit::Interrupted {
        output.note(output::chain(error));
        return;
    }
    output::error(error, failure::hint(error).as_deref());
    if let Some(EditError::Conflict { clashes, .. }) = error.downcast_ref() {
        for clash in clashes {
            output.say(&output::printable(&clash.to_string()));
        }
    }
}

/// The edit on the screen while it is written.
struct Live<'a> {
    output: Output,
    path: &'a str,
    spinner: Option<Spinner>,
    view: DiffView,
    /// The diff as far as it is written.
    written: Vec<LineEvent>,
    keys: Keys,
}

impl<'a> Live<'a> {
    fn new(output: Output, path: &'a str) -> Self {
        Self {
            output,
            path,
            spinner: None,
            view: DiffView::default(),
            written: Vec::new(),
            keys: Keys::listen(output),
        }
    }

    fn progress(&mut self, progress: &Progress<'_>) -> ControlFlow<()> {
        progress.keep(&mut self.written);
        match progress {
            Progress::Scope(scope) => {
                self.heading(scope);
                self.view = DiffView::default();
                self.spinner = Some(Spinner::start(self.output, "reading".into()));
            }
            Progress::Line(event) => {
                let text = self.view.line(event);
                if self.output.is_watched() && !text.is_empty() {
                    self.spinner = None;
                    self.output.say(&text);
                }
            }
            Progress::Writing => {
                if let Some(spinner) = &self.spinner {
                    spinner.show("writing; type to redirect".into());
                }
            }
            Progress::Retry { reason } => {
                self.spinner = None;
                self.output
                    .note(format!("{DIM}asking again: {}{DIM:#}", output::printable(reason)));
            }
        }
        self.keys.going_on(|| self.spinner = None)
    }

    /// An edit that is there already.
    fn whole(&self, proposal: &Proposal) {
        if self.output.is_watched() {
            self.heading(&proposal.scope);
            self.output.say(&diff::colour(&proposal.diff()));
        }
    }

    /// Tells which of several edits it is; what was shown while it was written is the first.
    fn chosen(&mut self, proposal: &Proposal, chosen: Chosen) {
        self.spinner = None;
        let Chosen { candidates, usable, agreeing, reason, .. } = chosen;
        let why = match reason {
            Reason::OnlyUsable => "the only usable one".to_owned(),
            Reason::Agreement => format!("{agreeing} of {usable} usable ones agree"),
            Reason::Likelihood => format!("the likeliest of {usable} usable ones"),
        };
        let number = chosen.chosen + 1;
        self.output.note(format!("{DIM}answer {number} of {candidates}: {why}{DIM:#}"));
        if chosen.chosen > 0 {
            self.whole(proposal);
        }
    }

    fn heading(&self, scope: &Scope) {
        if self.output.is_watched() {
            diff::heading(self.output, self.path, &places(scope));
        }
    }
}
