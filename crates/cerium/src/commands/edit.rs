//! `cerium edit`: the diff as it is written, the question, the write, the receipt.
//!
//! All files are read and checked before a model is loaded, so bad input costs no time and changes
//! nothing. Then each file is edited, shown and asked about in turn.

mod report;

use super::{Context, Exit, Tree};
use crate::backend::Counted;
use crate::cli::Edit;
use crate::failure::{self, advice};
use crate::interrupt;
use crate::output::diff::{self, DiffView};
use crate::output::progress::Spinner;
use crate::output::{self, BOLD, DIM, GREEN, Output};
use crate::stats::Stats;
use anyhow::{Result, bail};
use cerium_harness::edit::{
    Chosen, EditError, EditRequest, Prepared, Progress, Proposal, Reason, Receipt, Scope, Strategy,
    apply, draft_receipt, plan_edit, run_edit, warm,
};
use cerium_harness::files::SourceFile;
use cerium_harness::journal::Journal;
use cerium_harness::lines::LineSpan;
pub(crate) use report::{FileReport, print};
use std::ops::ControlFlow;

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

pub(crate) fn run(context: &Context, args: Edit) -> Result<Exit> {
    if args.lines.is_some() && args.files.len() > 1 {
        return Err(advice(
            "--lines names lines of one file, and there are several",
            "edit that file in a command of its own",
        ));
    }
    let tree = Tree::here()?;
    let strategy = Strategy { candidates: args.candidates, ..Strategy::default() };
    let request = |path| EditRequest {
        lines: args.lines.as_ref().map(|lines| lines.0),
        symbol: args.symbol.clone(),
        strategy: strategy.clone(),
        ..EditRequest::new(path, args.instruction.clone())
    };
    let requests = args.files.into_iter().map(request).collect();
    let reports = edit(context, &tree, requests, Consent::of(args.yes, args.dry_run))?;
    if context.output.json {
        print(&reports)?;
    }
    Ok(worst(&reports))
}

/// Makes the edits, one file after the other. Files that do not come to an edit do not stop the
/// others; Ctrl-C and a failing model do.
///
/// # Errors
/// When a file or a flag is bad input: then nothing was done at all.
pub(crate) fn edit(
    context: &Context,
    tree: &Tree,
    requests: Vec<EditRequest>,
    consent: Consent,
) -> Result<Vec<FileReport>> {
    let mut all: Vec<Prepared> = Vec::new();
    for request in requests {
        let prepared = plan_edit(&tree.workspace, request)?;
        if !all.iter().any(|other| other.file.path == prepared.file.path) {
            all.push(prepared);
        }
    }
    let backend =
        if all.iter().any(Prepared::needs_model) { Some(context.backend(tree)?) } else { None };
    let journal = tree.journal();
    let mut reports = Vec::new();
    for prepared in &all {
        let way = match (prepared.direct(), &backend) {
            (Some(direct), _) => Way::Direct(direct),
            (None, Some(backend)) => Way::Model(backend),
            (None, None) => bail!("a model is needed and none was loaded"),
        };
        let report =
            One { output: context.output, journal: &journal, prepared, consent }.edit(&way);
        let stop = report.stops_the_rest();
        reports.push(report);
        if stop {
            break;
        }
    }
    Ok(reports)
}

/// The exit code of all: what failed counts more than what was declined, and both more than what
/// was done.
pub(crate) fn worst(reports: &[FileReport]) -> Exit {
    let order = [Exit::Interrupted, Exit::BadInput, Exit::NoEdit, Exit::Declined];
    order.into_iter().find(|exit| reports.iter().any(|r| r.exit == *exit)).unwrap_or(Exit::Done)
}

/// Where an edit comes from.
enum Way<'a> {
    /// It was understood and carried out without a model.
    Direct(&'a Proposal),
    Model(&'a Counted),
}

/// The edit of one file.
struct One<'a> {
    output: Output,
    journal: &'a Journal,
    prepared: &'a Prepared,
    consent: Consent,
}

impl One<'_> {
    fn edit(&self, way: &Way<'_>) -> FileReport {
        let made = self.make(way);
        let stats = match way {
            Way::Direct(_) => Stats::default(),
            Way::Model(backend) => backend.take_stats(),
        };
        let file = &self.prepared.file.path;
        match made {
            Ok(proposal) => match self.settle(way, &proposal, &stats) {
                Ok((exit, receipt)) => {
                    let applied = receipt.as_ref().is_some_and(|receipt| receipt.undo.is_some());
                    if applied && self.consent == Consent::Given {
                        read_on(way, &proposal);
                    }
                    FileReport::made(stats, &proposal, exit, receipt)
                }
                Err(error) => {
                    let exit = self.tell(&error);
                    let draft = draft_receipt(&proposal);
                    FileReport::made(stats, &proposal, exit, draft).because(&error)
                }
            },
            Err(error) => {
                let error = error.into();
                let exit = self.tell(&error);
                FileReport::failed(stats, file, self.prepared.scope(), exit).because(&error)
            }
        }
    }

    /// Lets the edit be written, showing it.
    fn make(&self, way: &Way<'_>) -> Result<Proposal, EditError> {
        let _deferred = interrupt::defer();
        let mut live = Live::new(self.output, &self.prepared.file.path);
        match *way {
            Way::Direct(proposal) => {
                live.whole(proposal);
                Ok(proposal.clone())
            }
            Way::Model(backend) => {
                let proposal =
                    run_edit(backend, self.prepared, &mut |progress| live.progress(&progress))?;
                if let Some(chosen) = proposal.chosen {
                    live.chosen(&proposal, chosen);
                }
                Ok(proposal)
            }
        }
    }

    /// Asks, if need be, and writes.
    fn settle(
        &self,
        way: &Way<'_>,
        proposal: &Proposal,
        stats: &Stats,
    ) -> Result<(Exit, Option<Receipt>)> {
        let watched = self.output.is_watched();
        let dry_run = self.consent == Consent::DryRun;
        // Nobody is asked about what they have not seen, quiet or not.
        let wanted = self.consent != Consent::Given || !self.output.quiet;
        if !self.output.json {
            if !output::is_shown() {
                output::data(&proposal.diff())?;
            } else if !watched && wanted {
                output::data(&diff::colour(&proposal.diff()))?;
            }
        }
        if self.consent == Consent::Ask && output::can_ask() {
            // While the diff is read. What was read of the old text stays as well.
            read_on(way, proposal);
        }
        let consent = match self.consent {
            Consent::Ask => output::confirm("apply?", false).unwrap_or_else(|_| {
                self.output.note("not applied: there is no terminal to ask on");
                self.output.note("hint: --yes applies without asking, --dry-run only shows");
                false
            }),
            Consent::Given => true,
            Consent::DryRun => false,
        };
        let (exit, receipt) = match (consent, dry_run) {
            (true, _) => {
                let _deferred = interrupt::defer();
                (Exit::Done, Some(apply(proposal, self.journal)?))
            }
            (false, true) => (Exit::Done, draft_receipt(proposal)),
            (false, false) => (Exit::Declined, draft_receipt(proposal)),
        };
        self.sum_up(proposal, stats, receipt.as_ref());
        Ok((exit, receipt))
    }

    /// The last lines: what was done and what it took.
    fn sum_up(&self, proposal: &Proposal, stats: &Stats, receipt: Option<&Receipt>) {
        let (added, removed) = proposal.counts();
        let path = output::printable(&proposal.file.path);
        let undo = receipt.and_then(|receipt| receipt.undo);
        let state = match undo {
            Some(id) => {
                format!("{GREEN}applied{GREEN:#} as edit {id}, `cerium undo` takes it back")
            }
            None => "not applied".into(),
        };
        self.output.note(format!("{BOLD}{path}{BOLD:#} +{added} -{removed} {state}"));
        if let Some(line) = stats.line() {
            self.output.note(format!("{DIM}{line}{DIM:#}"));
        }
    }

    /// Tells why there is no edit; returns what that means for the exit code.
    fn tell(&self, error: &anyhow::Error) -> Exit {
        let exit = failure::exit(error);
        match exit {
            Exit::Interrupted => self.output.note(output::chain(error)),
            _ => output::error(error, failure::hint(error).as_deref()),
        }
        exit
    }
}

/// Has what an edit leaves read before anybody says what comes next: mostly it is about the same place.
fn read_on(way: &Way<'_>, proposal: &Proposal) {
    let Way::Model(backend) = *way else { return };
    let Some(region) = proposal.scope.regions.first() else { return };
    let file = SourceFile { text: proposal.after.clone(), ..proposal.file.clone() };
    warm(backend, &file, LineSpan::line(region.lines.start), &Strategy::default());
}

/// The edit on the screen while it is written.
struct Live<'a> {
    output: Output,
    path: &'a str,
    spinner: Option<Spinner>,
    view: DiffView,
}

impl<'a> Live<'a> {
    fn new(output: Output, path: &'a str) -> Self {
        Self { output, path, spinner: None, view: DiffView::default() }
    }

    fn progress(&mut self, progress: &Progress<'_>) -> ControlFlow<()> {
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
                    spinner.show("writing".into());
                }
            }
            Progress::Retry { reason } => {
                self.spinner = None;
                self.output
                    .note(format!("{DIM}asking again: {}{DIM:#}", output::printable(reason)));
            }
        }
        if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
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
            diff::heading(self.output, self.path, &report::places(scope));
        }
    }
}
