//! `cerium edit` as a library: an instruction and a file in, a proposal out, and its application.
//!
//! Three steps, so that a caller can show and ask in between:
//!
//! 1. [`plan_edit`] reads the file and finds the scope: the least text that has to be written again.
//!    An instruction that is fully understood (a rename, a deletion) is carried out right there.
//! 2. [`run_edit`] asks the model, reads its answer, checks that the result parses at least as well
//!    as before, and asks once more if it does not.
//! 3. [`apply`] writes the file through the journal, merged with what it became meanwhile;
//!    [`apply_all`] writes several files, all or none. A person may take some of the
//!    [hunks](Proposal::hunks) and leave others.
//!
//! Invariant: every byte outside the scope's regions is the same before and after, and the receipt
//! proves it.

mod apply;
mod ask_place;
mod candidates;
mod check;
pub(crate) mod diff;
mod direct;
mod error;
mod fate;
mod files;
mod hunks;
mod instruction;
mod merge;
mod prompt;
mod proposal;
mod receipt;
pub mod reply;
mod run;
mod scope;
mod splice;
mod strategy;
mod view;
mod warm;
mod watch;
mod written;

pub use apply::{apply, apply_all, draft_receipt};
pub use candidates::{CANDIDATES_MAX, Chosen, Reason};
pub use diff::{DiffStream, LineEvent, counts, unified};
pub use error::{EditError, Failure};
pub use fate::Fate;
pub use files::{FileChoice, Picked, Why, find_files, pick_file};
pub use hunks::Hunk;
pub use merge::Clash;
pub use proposal::{Progress, Proposal, Route, Stats};
pub use receipt::{Receipt, Untouched};
pub use run::OnProgress;
pub use scope::{Choice, Region, Scope, ScopeSource};
pub use splice::Change;
pub use strategy::{Format, Strategy};
pub use view::View;
pub use warm::warm;

use crate::backend::Backend;
use crate::context::{Excerpt, select};
use crate::files::SourceFile;
use crate::guide;
use crate::lines::LineSpan;
use crate::search::{SearchOptions, query, search};
use crate::workspace::Workspace;
use std::path::{Path, PathBuf};
use written::Written;

/// Tokens of the tree that are shown for a new file.
const RELATED_TOKENS_MAX: usize = 1_000;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct EditRequest {
    /// The file, absolute or relative to the working directory.
    pub path: PathBuf,
    /// What to change, in a person's words.
    pub instruction: String,
    /// What is to become of the file.
    pub fate: Fate,
    /// Lines to which the edit is bound.
    pub lines: Option<LineSpan>,
    /// Declaration to which the edit is bound.
    pub symbol: Option<String>,
    /// Whether an instruction that code fully understands is carried out without a model.
    pub direct: bool,
    /// The diff that an edit of this file had come to, as it was told, when it was broken off for this one.
    /// A draft: what still holds is written faster, and nothing is written otherwise.
    pub written: Vec<LineEvent>,
    /// How to look and to ask.
    pub strategy: Strategy,
}

impl EditRequest {
    /// A request without flags.
    pub fn new(path: impl Into<PathBuf>, instruction: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            instruction: instruction.into(),
            fate: Fate::Change,
            lines: None,
            symbol: None,
            direct: true,
            written: Vec::new(),
            strategy: Strategy::default(),
        }
    }
}

/// What will be done.
#[derive(Clone, Debug)]
enum Plan {
    /// Nothing is left to do.
    Done(Box<Proposal>),
    /// A model has to rewrite the scope, or to choose one first.
    Ask(Choice),
}

/// A file and what will be done with it.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The file as it was read.
    pub file: SourceFile,
    request: EditRequest,
    plan: Plan,
}

impl Prepared {
    /// What was asked for.
    pub fn request(&self) -> &EditRequest {
        &self.request
    }

    /// Whether a model has to be asked; if not, [`Prepared::direct`] holds the edit.
    pub fn needs_model(&self) -> bool {
        matches!(self.plan, Plan::Ask(_))
    }

    /// The edit, when no model was needed for it.
    pub fn direct(&self) -> Option<&Proposal> {
        match &self.plan {
            Plan::Done(proposal) => Some(proposal),
            Plan::Ask(_) => None,
        }
    }

    /// The lines that will be written again, as far as they are known.
    pub fn scope(&self) -> &Scope {
        match &self.plan {
            Plan::Done(proposal) => &proposal.scope,
            Plan::Ask(Choice::Scope(scope) | Choice::Unsure(scope)) => scope,
        }
    }
}

/// Reads the file and finds out what to do.
///
/// # Errors
/// `File`, `EmptyInstruction`, `NoSuchLines`, `NoSuchSymbol`: all bad input.
pub fn plan_edit(workspace: &Workspace, request: EditRequest) -> Result<Prepared, EditError> {
    let instruction = request.instruction.trim();
    if request.fate == Fate::Make {
        if instruction.is_empty() {
            return Err(EditError::EmptyInstruction);
        }
        let file = SourceFile::to_be_made(workspace, &request.path)?;
        let scope = Scope::whole(&View::new(Path::new(&file.path), ""));
        return Ok(Prepared { file, request, plan: Plan::Ask(Choice::Scope(scope)) });
    }
    let file = SourceFile::open(workspace, &request.path)?;
    let is_free = request.direct && request.lines.is_none() && request.symbol.is_none();
    let asked_for = is_free.then(|| Fate::asked_for(instruction, &file.path)).flatten();
    let fate = if request.fate == Fate::Change { asked_for } else { Some(request.fate.clone()) };
    match fate {
        Some(fate) => {
            let done = fate::carry_out(&file, instruction, fate)?;
            Ok(Prepared { file, request, plan: Plan::Done(Box::new(done)) })
        }
        None => plan_text(file, request),
    }
}

/// Like [`plan_edit`], for a text that was read already: an editor's buffer. It stays where it is.
///
/// # Errors
/// `EmptyInstruction`, `NoSuchLines`, `NoSuchSymbol`.
pub fn plan_text(file: SourceFile, request: EditRequest) -> Result<Prepared, EditError> {
    let instruction = request.instruction.trim();
    if instruction.is_empty() {
        return Err(EditError::EmptyInstruction);
    }
    let view = View::new(Path::new(&file.path), &file.text);
    let bound = match (request.lines, &request.symbol) {
        (Some(span), _) => Some(scope::by_lines(&view, &file.path, span)?),
        (None, Some(symbol)) => {
            Some(scope::by_symbol(&view, &file.path, symbol, instruction, &request.strategy)?)
        }
        (None, None) => None,
    };
    let symbol_lines = request.symbol.as_ref().and_then(|symbol| {
        let called = view.decls.iter().filter(|decl| decl.is_called(symbol));
        called.map(|decl| decl.lines).reduce(LineSpan::hull)
    });
    let within = request.lines.or(symbol_lines);
    let direct = request.direct.then(|| direct::carry_out(&view, instruction, within));
    let plan = if let Some(done) = direct.flatten() {
        Plan::Done(Box::new(Proposal {
            fate: Fate::Change,
            instruction: instruction.to_owned(),
            after: done.after,
            changes: done.changes,
            scope: done.scope,
            route: Route::Direct,
            model: String::new(),
            errors_before: view.errors(),
            errors_after: done.errors,
            left_out: 0,
            chosen: None,
            stats: Stats::default(),
            file: file.clone(),
        }))
    } else {
        let by_words = || scope::by_instruction(&view, instruction, &request.strategy);
        Plan::Ask(bound.map_or_else(by_words, Choice::Scope))
    };
    Ok(Prepared { file, request, plan })
}

/// The scope that an instruction asks for: the pure part of planning, for evaluations.
pub fn scope_of(view: &View<'_>, instruction: &str, strategy: &Strategy) -> Choice {
    scope::by_instruction(view, instruction, strategy)
}

/// Makes the edit. Nothing is written anywhere.
///
/// # Errors
/// `Cancelled` when `on_progress` breaks off; `TooLong`, `Backend`, `Unchanged`, `NoUsableEdit`.
pub fn run_edit(
    backend: &dyn Backend,
    prepared: &Prepared,
    on_progress: &mut OnProgress<'_>,
) -> Result<Proposal, EditError> {
    let choice = match &prepared.plan {
        Plan::Done(proposal) => return Ok((**proposal).clone()),
        Plan::Ask(choice) => choice,
    };
    let file = &prepared.file;
    let view = View::new(Path::new(&file.path), &file.text);
    let written = Written::new(&prepared.request.written);
    let guide = guide::nearest(&file.root, &file.path);
    let fate = prepared.request.fate.clone();
    let related = (fate == Fate::Make).then(|| related(backend, file, &prepared.request));
    let strategy = prepared.request.strategy.heeded_by(&backend.model());
    let mut run = run::Run {
        backend,
        view: &view,
        path: &file.path,
        instruction: prepared.request.instruction.trim(),
        strategy: &strategy,
        written: (!prepared.request.written.is_empty()).then_some(&written),
        style: &file.style,
        guide: guide.as_deref(),
        related: related.as_deref(),
        stats: Stats::default(),
    };
    let (scope, accepted, chosen) = run.run(choice, on_progress)?;
    Ok(Proposal {
        file: file.clone(),
        fate,
        instruction: run.instruction.to_owned(),
        changes: accepted.changes,
        after: accepted.after,
        scope,
        route: Route::Model,
        model: backend.model().name,
        errors_before: view.errors(),
        errors_after: accepted.errors,
        left_out: 0,
        chosen,
        stats: run.stats,
    })
}

/// What of the tree a new file will have to do with, as text.
fn related(backend: &dyn Backend, file: &SourceFile, request: &EditRequest) -> String {
    let about = query(&format!("{} {}", request.instruction, file.path));
    let found = search(&Workspace::at(&file.root), &about, &SearchOptions::default());
    let room = RELATED_TOKENS_MAX.min(backend.model().context_tokens / 4);
    let excerpts = select(&found.pieces, room, &|text| backend.count_tokens(text));
    excerpts.iter().map(Excerpt::write).collect()
}
