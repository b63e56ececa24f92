//! A question about a text, answered as it is written, with the lines that bear the answer out.

use super::edit::file_name;
use super::work::{Call, Failed, Places};
use axum::extract::{Request, State};
use axum::response::Response;
use cerium_harness::ask::{AskEvent, AskTask, Citation};
use cerium_harness::workspace::Workspace;
use cerium_server::{Caller, Refusal};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use tempfile::TempDir;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    name: String,
    text: String,
    question: String,
}

#[derive(Serialize)]
struct Answered {
    text: String,
    citations: Vec<Citation>,
    /// Places that the model named and that do not exist.
    unfounded: Vec<String>,
}

pub(super) async fn ask(
    State(places): State<Places>,
    caller: Caller,
    request: Request,
) -> Result<Response, Refusal> {
    let asked: Asked = caller.read(request).await?;
    places.run(&caller, move |call| answer(call, asked))
}

fn answer(call: &Call, asked: Asked) -> Result<Answered, Failed> {
    let tree = Tree::of(&asked.name, &asked.text)?;
    let task = AskTask { question: asked.question, ..AskTask::default() };
    let answer =
        cerium_harness::ask::ask(&call.backend, &tree.workspace, &task, &mut |event| match event {
            AskEvent::Reading(excerpts) => {
                let lines: Vec<_> = excerpts.iter().map(|excerpt| excerpt.lines).collect();
                call.tell("reading", &lines)
            }
            AskEvent::Text(text) => call.tell("text", &text),
        });
    let answer = answer.map_err(|error| Failed::new(&error))?;
    let (text, citations, unfounded) = (answer.text, answer.citations, answer.unfounded);
    Ok(Answered { text, citations, unfounded })
}

/// A tree of one file, for as long as it is asked about: in a directory that nobody else may enter.
pub(super) struct Tree {
    pub(super) workspace: Workspace,
    _dir: TempDir,
}

impl Tree {
    pub(super) fn of(name: &str, text: &str) -> Result<Self, Failed> {
        let made = || -> io::Result<Self> {
            let dir = TempDir::with_prefix("cerium-page-")?;
            // It is a tree of its own, whatever it lies in.
            fs::create_dir(dir.path().join(".git"))?;
            fs::write(dir.path().join(file_name(name)), text)?;
            let workspace = Workspace::discover(dir.path()).map_err(io::Error::other)?;
            Ok(Self { workspace, _dir: dir })
        };
        made().map_err(|error| Failed::new(&error))
    }
}
