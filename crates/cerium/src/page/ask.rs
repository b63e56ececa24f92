//! A question about a text, answered as it is written, with the lines that bear the answer out.

use super::edit::file_name;
use super::line::Wish;
use super::work::{Call, Failed, Places};
use axum::extract::{Request, State};
use axum::response::Response;
use cerium_harness::ask::{Answer, AskError, AskEvent, AskTask, Citation};
use cerium_harness::talk::Talk;
use cerium_harness::workspace::Workspace;
use cerium_protocol::Status;
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
    /// The conversation that it goes on from, as it was told with its last answer.
    talk: Option<Talk>,
}

#[derive(Serialize)]
struct Answered {
    text: String,
    citations: Vec<Citation>,
    /// Places that the model named and that do not exist.
    unfounded: Vec<String>,
    /// Why there is no more of it, if there might be.
    cut: Option<Cut>,
    /// The conversation, to be gone on from.
    talk: Talk,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Cut {
    Stopped,
    TooLong,
    Looped,
}

impl Cut {
    fn of(answer: &Answer) -> Option<Self> {
        match answer.response.status {
            _ if answer.looped => Some(Self::Looped),
            Status::Incomplete => Some(Self::TooLong),
            Status::Cancelled => Some(Self::Stopped),
            _ => None,
        }
    }
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
    let Asked { name, text, question, talk } = asked;
    if !talk.as_ref().is_none_or(Talk::is_sound) {
        return Err(Failed::said("what was said before is no conversation of this page"));
    }
    let tree = Tree::of(&name, &text)?;
    let mut task = AskTask { question, before: talk, ..AskTask::default() };
    let answer = loop {
        let answer = cerium_harness::ask::ask(
            &call.backend,
            &tree.workspace,
            &task,
            &mut |event| match event {
                AskEvent::Reading(excerpts) => {
                    let lines: Vec<_> = excerpts.iter().map(|excerpt| excerpt.lines).collect();
                    call.tell("reading", &lines)
                }
                AskEvent::Text(text) => call.tell("text", &text),
            },
        );
        match (call.wish(), answer) {
            (Some(Wish::Otherwise(more)), answer) => {
                task.redirect(answer, &more).map_err(|error| Failed::new(&error))?;
                call.redirect(&task.question);
            }
            // Nothing was said that could be gone on from.
            (Some(Wish::Stop), Ok(answer)) if answer.text.trim().is_empty() => {
                break Err(AskError::Cancelled);
            }
            (_, answer) => break answer,
        }
    };
    let answer = answer.map_err(|error| Failed::new(&error))?;
    let cut = Cut::of(&answer);
    let Answer { text, citations, unfounded, talk, .. } = answer;
    Ok(Answered { text, citations, unfounded, cut, talk })
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
