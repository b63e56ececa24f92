//! An edit of a text: its lines as they are written, then the whole.

use super::work::{Call, Failed, Places};
use axum::extract::{Request, State};
use axum::response::Response;
use cerium_harness::edit::{
    EditError, EditRequest, LineEvent, Progress, Route, Scope, plan_text, run_edit,
};
use cerium_harness::files::SourceFile;
use cerium_harness::lines::LineSpan;
use cerium_server::{Caller, Refusal};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::ops::ControlFlow;
use std::path::PathBuf;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    name: String,
    text: String,
    instruction: String,
    lines: Option<Lines>,
    symbol: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
struct Lines {
    start: usize,
    end: usize,
}

#[derive(Serialize)]
struct Edited {
    after: String,
    diff: String,
    scope: Scope,
    route: Route,
    n_added: usize,
    n_removed: usize,
}

pub(super) async fn edit(
    State(places): State<Places>,
    caller: Caller,
    request: Request,
) -> Result<Response, Refusal> {
    let asked: Asked = caller.read(request).await?;
    places.run(&caller, move |call| make(call, asked).map_err(|error| failed(&error)))
}

fn make(call: &Call, asked: Asked) -> Result<Edited, EditError> {
    let name = file_name(&asked.name);
    let file = SourceFile::from_text(PathBuf::from("/"), name.clone(), asked.text, false);
    let mut request = EditRequest {
        lines: asked.lines.map(|Lines { start, end }| LineSpan::new(start, end)),
        symbol: asked.symbol,
        ..EditRequest::new(name, asked.instruction)
    };
    let proposal = loop {
        let prepared = plan_text(file.clone(), request.clone())?;
        let mut written = Vec::new();
        let made = run_edit(&call.backend, &prepared, &mut |progress| {
            progress.keep(&mut written);
            tell(call, &progress)
        });
        let Some(more) = call.otherwise() else { break made? };
        request = request.redirected(&more, written);
        call.redirect(&request.instruction);
    };
    let (n_added, n_removed) = proposal.counts();
    let diff = proposal.diff();
    let (after, scope, route) = (proposal.after, proposal.scope, proposal.route);
    Ok(Edited { after, diff, scope, route, n_added, n_removed })
}

fn tell(call: &Call, progress: &Progress<'_>) -> ControlFlow<()> {
    match progress {
        Progress::Scope(scope) => call.tell("scope", scope),
        Progress::Line(LineEvent::Keep { line, text }) => {
            call.tell("line", &json!({ "kind": "keep", "line": line, "text": text }))
        }
        Progress::Line(LineEvent::Remove { line, text }) => {
            call.tell("line", &json!({ "kind": "remove", "line": line, "text": text }))
        }
        Progress::Line(LineEvent::Add { text }) => {
            call.tell("line", &json!({ "kind": "add", "text": text }))
        }
        Progress::Retry { reason } => call.tell("retry", &json!({ "reason": reason })),
        // Who leaves is noticed by whoever waits for the text.
        Progress::Writing => call.going_on(),
    }
}

fn failed(error: &EditError) -> Failed {
    let failed = Failed::new(error);
    match error {
        EditError::NoSuchSymbol { .. } => failed.hint(error.hint()),
        EditError::TooLong { .. } => {
            failed.hint(Some("select the lines to change, or paste less".to_owned()))
        }
        EditError::NoUsableEdit { reply, .. } => failed.hint(Some(REWORD.to_owned())).reply(reply),
        EditError::Unchanged => failed.hint(Some(REWORD.to_owned())),
        _ => failed,
    }
}

/// What helps where a model was no help.
const REWORD: &str = "say it in other words, select the lines to change, or serve a larger model";

/// What a text is called: the last part of a name, without what no file's name holds.
pub(super) fn file_name(given: &str) -> String {
    const CHARS_MAX: usize = 120;
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default().trim();
    let name: String = last.chars().filter(|c| !c.is_control()).take(CHARS_MAX).collect();
    let name = name.trim_start_matches('.');
    if name.is_empty() { "text.txt".to_owned() } else { name.to_owned() }
}
