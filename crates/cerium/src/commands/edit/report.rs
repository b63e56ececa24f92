//! The `--json` object of an edit.

use super::super::Exit;
use super::Made;
use crate::failure;
use crate::output;
use crate::stats::Stats;
use anyhow::Result;
use cerium_harness::edit::{
    Clash, EditError, Proposal, Receipt, Region, Scope, ScopeSource, draft_receipt,
};
use cerium_harness::journal::EntryId;
use cerium_harness::lines::LineSpan;
use serde::Serialize;

/// What became of one file.
#[derive(Debug, Serialize)]
pub(crate) struct FileReport {
    #[serde(flatten)]
    stats: Stats,
    file: String,
    scope: Option<ScopeReport>,
    /// Unified; empty when there is no edit.
    diff: String,
    applied: bool,
    receipt: Option<Receipt>,
    /// Why there is no edit, or why it was not applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// Where the file changed meanwhile in another way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    clashes: Vec<Clash>,
    #[serde(skip)]
    pub(crate) exit: Exit,
}

/// The lines that could change: from the first to the last, and exactly.
#[derive(Debug, Serialize)]
struct ScopeReport {
    #[serde(flatten)]
    hull: LineSpan,
    regions: Vec<Region>,
    source: ScopeSource,
}

impl ScopeReport {
    fn of(scope: &Scope) -> Option<Self> {
        let hull = scope.regions.iter().map(|region| region.lines).reduce(LineSpan::hull)?;
        Some(Self { hull, regions: scope.regions.clone(), source: scope.source })
    }
}

impl FileReport {
    /// An edit was made; whether it was applied is in its receipt.
    pub(super) fn made(
        stats: Stats,
        proposal: &Proposal,
        exit: Exit,
        receipt: Option<Receipt>,
    ) -> Self {
        Self {
            stats,
            file: proposal.file.path.clone(),
            scope: ScopeReport::of(&proposal.scope),
            diff: proposal.diff(),
            applied: receipt.as_ref().is_some_and(|receipt| receipt.undo.is_some()),
            receipt,
            error: None,
            hint: None,
            clashes: Vec::new(),
            exit,
        }
    }

    /// There is no edit, or it was not asked about.
    pub(super) fn of_made(made: Made) -> Self {
        let error = match made.proposal {
            Ok(proposal) => {
                let draft = draft_receipt(&proposal);
                return Self::made(made.stats, &proposal, Exit::Interrupted, draft);
            }
            Err(error) => error,
        };
        let report = Self {
            stats: made.stats,
            file: made.file,
            scope: ScopeReport::of(&made.scope),
            diff: String::new(),
            applied: false,
            receipt: None,
            error: None,
            hint: None,
            clashes: Vec::new(),
            exit: failure::exit(&error),
        };
        report.because(&error)
    }

    /// And this is why.
    pub(super) fn because(self, error: &anyhow::Error) -> Self {
        let clashes = match error.downcast_ref() {
            Some(EditError::Conflict { clashes, .. }) => {
                clashes.iter().filter(|clash| clash.path == self.file).cloned().collect()
            }
            _ => Vec::new(),
        };
        Self { error: Some(output::chain(error)), hint: failure::hint(error), clashes, ..self }
    }

    /// Number under which an applied edit can be undone.
    pub(crate) fn undo(&self) -> Option<EntryId> {
        self.receipt.as_ref()?.undo
    }
}

/// Prints one report as it is, several under `files` with their sums.
pub(crate) fn print(reports: &[FileReport]) -> Result<()> {
    #[derive(Serialize)]
    struct Several<'a> {
        #[serde(flatten)]
        stats: Stats,
        applied: bool,
        files: &'a [FileReport],
    }
    if let [report] = reports {
        return output::object(report);
    }
    let mut stats = Stats::default();
    for report in reports {
        stats.join(&report.stats);
    }
    let applied = reports.iter().all(|report| report.applied);
    output::object(&Several { stats, applied, files: reports })
}

/// `lines 3-9, 20` for people.
pub(crate) fn places(scope: &Scope) -> String {
    let place = |region: &Region| match region.lines {
        LineSpan { start, end } if start == end => start.to_string(),
        LineSpan { start, end } => format!("{start}-{end}"),
    };
    let places: Vec<_> = scope.regions.iter().map(place).collect();
    let word = if places.len() == 1 && !places[0].contains('-') { "line" } else { "lines" };
    format!("{word} {}", places.join(", "))
}
