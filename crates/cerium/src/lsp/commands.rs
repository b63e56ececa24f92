//! The commands that editors may send, and what they are told with them.

use super::client::Refusal;
use gen_lsp_types::{ProgressToken, Range, Uri};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Their names.
pub(super) const NAMES: [&str; 8] = [
    "cerium.edit",
    "cerium.explain",
    "cerium.ask",
    "cerium.plan",
    "cerium.plan.write",
    "cerium.plan.revise",
    "cerium.plan.apply",
    "cerium.plan.done",
];

/// A command.
#[derive(Debug)]
pub(super) enum Command {
    Edit(Edit),
    Explain(Explain),
    Ask(Ask),
    /// Tell the plan of a tree.
    Plan(Tree),
    WritePlan(Write),
    RevisePlan(Write),
    ApplyStep(Apply),
    /// The editor carried a step out that was only told.
    StepDone(Done),
}

/// Change a document, or its selection.
#[derive(Debug, Deserialize)]
pub(super) struct Edit {
    pub(super) uri: Uri,
    /// Lines to which it is bound; an empty range means the declaration around it.
    pub(super) range: Option<Range>,
    pub(super) instruction: String,
    #[serde(flatten)]
    pub(super) how: How,
}

/// How an edit is delivered.
#[derive(Debug, Default, Deserialize)]
pub(super) struct How {
    /// It is only told; the editor shows it and asks.
    #[serde(default)]
    pub(super) preview: bool,
    /// By what token its lines, or the words of an answer, are told while they come.
    pub(super) stream: Option<ProgressToken>,
}

/// Say what a selection does.
#[derive(Debug, Deserialize)]
pub(super) struct Explain {
    pub(super) uri: Uri,
    pub(super) range: Range,
    pub(super) stream: Option<ProgressToken>,
}

/// Answer a question about a tree.
#[derive(Debug, Deserialize)]
pub(super) struct Ask {
    pub(super) question: String,
    /// It goes on from the last one.
    #[serde(default, rename = "continue")]
    pub(super) go_on: bool,
    #[serde(flatten)]
    pub(super) tree: Tree,
    pub(super) stream: Option<ProgressToken>,
}

/// The tree that something is about.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Tree {
    /// A document, or a folder of it; the first folder when there is none.
    pub(super) uri: Option<Uri>,
}

/// Write a plan, or revise it.
#[derive(Debug, Deserialize)]
pub(super) struct Write {
    pub(super) text: String,
    #[serde(flatten)]
    pub(super) tree: Tree,
    pub(super) stream: Option<ProgressToken>,
}

/// Carry out a step of the plan.
#[derive(Debug, Deserialize)]
pub(super) struct Apply {
    pub(super) step: usize,
    #[serde(flatten)]
    pub(super) tree: Tree,
    #[serde(flatten)]
    pub(super) how: How,
}

/// A step that was carried out.
#[derive(Debug, Deserialize)]
pub(super) struct Done {
    pub(super) step: usize,
    #[serde(flatten)]
    pub(super) tree: Tree,
}

/// Reads a command.
///
/// # Errors
/// When there is none of the name, or its argument cannot be read.
pub(super) fn parse(name: &str, arguments: Option<Vec<Value>>) -> Result<Command, Refusal> {
    let argument = arguments.and_then(|all| all.into_iter().next()).unwrap_or_default();
    Ok(match name {
        "cerium.edit" => Command::Edit(read(argument)?),
        "cerium.explain" => Command::Explain(read(argument)?),
        "cerium.ask" => Command::Ask(read(argument)?),
        "cerium.plan" if argument.is_null() => Command::Plan(Tree::default()),
        "cerium.plan" => Command::Plan(read(argument)?),
        "cerium.plan.write" => Command::WritePlan(read(argument)?),
        "cerium.plan.revise" => Command::RevisePlan(read(argument)?),
        "cerium.plan.apply" => Command::ApplyStep(read(argument)?),
        "cerium.plan.done" => Command::StepDone(read(argument)?),
        _ => return Err(Refusal::invalid(format!("no command `{name}`"))),
    })
}

fn read<T: DeserializeOwned>(argument: Value) -> Result<T, Refusal> {
    serde_json::from_value(argument).map_err(|error| Refusal::invalid(error.to_string()))
}
