//! What an error means outside: the exit code, and the `hint:` line that says what would help.

use crate::commands::Exit;
use crate::config::ConfigError;
use crate::interrupt;
use crate::output;
use cerium_harness::edit::{EditError, Failure};
use cerium_harness::files::FileError;
use cerium_harness::journal::JournalError;
use cerium_harness::plan::PlanError;
use cerium_harness::run::RunError;
use cerium_hub::HubError;
use cerium_model::{ContextError, LoadError};
use serde::Serialize;
use std::io;

/// An error of this binary that knows what would help.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Advice {
    message: String,
    hint: String,
}

/// An error with a hint.
pub(crate) fn advice(message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
    Advice { message: message.into(), hint: hint.into() }.into()
}

/// The person said no to something the command cannot do without.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Declined(pub(crate) String);

/// How a command that ended with this error ended.
pub(crate) fn exit(error: &anyhow::Error) -> Exit {
    if interrupt::requested() {
        return Exit::Interrupted;
    }
    if error.is::<Declined>() {
        return Exit::Declined;
    }
    if is_no_plan(error) {
        return Exit::NoEdit;
    }
    match error.downcast_ref::<EditError>().map(EditError::failure) {
        Some(Failure::Declined) => Exit::Declined,
        Some(Failure::NoUsableEdit) => Exit::NoEdit,
        Some(Failure::BadInput) | None => Exit::BadInput,
    }
}

/// The model wrote no plan, or no other one.
fn is_no_plan(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(PlanError::NoSteps { .. } | PlanError::Unchanged { .. }))
}

/// The hint of the outermost cause that has one.
pub(crate) fn hint(error: &anyhow::Error) -> Option<String> {
    if is_no_plan(error) {
        return Some("say it in other words, or try a larger --model".to_owned());
    }
    error.chain().find_map(|cause| {
        None.or_else(|| Some(cause.downcast_ref::<Advice>()?.hint.clone()))
            .or_else(|| cause.downcast_ref::<HubError>()?.hint())
            .or_else(|| cause.downcast_ref::<LoadError>()?.hint())
            .or_else(|| cause.downcast_ref::<ConfigError>()?.hint())
            .or_else(|| Some(context_hint(cause.downcast_ref()?)))
            .or_else(|| cause.downcast_ref::<EditError>()?.hint())
            .or_else(|| cause.downcast_ref::<JournalError>()?.hint())
            .or_else(|| cause.downcast_ref::<FileError>()?.hint())
            .or_else(|| cause.downcast_ref::<RunError>()?.hint())
    })
}

fn context_hint(error: &ContextError) -> String {
    format!("`--context` and what is measured may reach {} with this model", error.supported)
}

/// The `--json` object of a command that failed as a whole.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// What programs are told of an error.
pub(crate) fn report(error: &anyhow::Error) -> Report {
    Report { error: output::chain(error), hint: hint(error) }
}

/// Whether the reader of our output went away.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |cause: &io::Error| cause.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(broken))
}
