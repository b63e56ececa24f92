//! The `--json` object of an edit.

use super::super::Exit;
use crate::failure;
use crate::output;
use crate::stats::Stats;
use anyhow::Result;
use cerium_harness::edit::{Proposal, Receipt, Region, Scope, ScopeSource};
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
            exit,
        }
    }

    /// There is no edit.
    pub(super) fn failed(stats: Stats, file: &str, scope: &Scope, exit: Exit) -> Self {
        Self {
            stats,
            file: file.to_owned(),
            scope: ScopeReport::of(scope),
            diff: String::new(),
            applied: false,
            receipt: None,
            error: None,
            hint: None,
            exit,
        }
    }

    /// And this is why.
    pub(super) fn because(self, error: &anyhow::Error) -> Self {
        Self { error: Some(output::chain(error)), hint: failure::hint(error), ..self }
    }

    /// Whether the other files need not be tried.
    pub(super) fn stops_the_rest(&self) -> bool {
        self.exit == Exit::Interrupted
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
pub(super) fn places(scope: &Scope) -> String {
    let place = |region: &Region| match region.lines {
        LineSpan { start, end } if start == end => start.to_string(),
        LineSpan { start, end } => format!("{start}-{end}"),
    };
    let places: Vec<_> = scope.regions.iter().map(place).collect();
    let word = if places.len() == 1 && !places[0].contains('-') { "line" } else { "lines" };
    format!("{word} {}", places.join(", "))
}
