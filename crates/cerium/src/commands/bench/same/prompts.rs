//! Prompts of every kind, from cases: the first request of an edit, a question, an infill.

use crate::local::LocalBackend;
use anyhow::{Context as _, Result};
use cerium_harness::edit::{EditRequest, plan_text, run_edit};
use cerium_harness::files::SourceFile;
use cerium_harness::{Backend, OnText};
use cerium_protocol::{
    CompletionRequest, CreateResponse, ErrorBody, ErrorKind, Extensions, Input, ModelInfo, Response,
};
use cerium_session::{Service, Stream};
use serde::Deserialize;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// One thing to ask, and what it is called.
pub(super) struct Prompt {
    pub(super) name: String,
    request: Request,
}

enum Request {
    Respond(CreateResponse),
    Complete(CompletionRequest),
}

/// A case, as far as it makes a prompt.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Case {
    path: String,
    before: String,
    instruction: String,
    question: String,
    prefix: String,
    suffix: String,
}

impl Prompt {
    /// Asks, with settings of this one time.
    pub(super) fn ask(
        &self,
        service: &Service,
        n_tokens: u32,
        set: &dyn Fn(&mut Option<f32>, &mut Extensions),
    ) -> Result<Stream, ErrorBody> {
        match &self.request {
            Request::Respond(request) => {
                let mut request = request.clone();
                set(&mut request.temperature, &mut request.cerium);
                request.max_output_tokens = Some(n_tokens);
                service.respond(&request)
            }
            Request::Complete(request) => {
                let mut request = request.clone();
                set(&mut request.temperature, &mut request.cerium);
                request.max_tokens = Some(n_tokens);
                service.complete(&request)
            }
        }
    }
}

/// The prompts of every `every`-th case of a set.
///
/// # Errors
/// When the file cannot be read or a line is no case.
pub(super) fn read(
    backend: &LocalBackend,
    dir: &Path,
    set: &str,
    every: usize,
) -> Result<Vec<Prompt>> {
    let path = dir.join(set).with_extension("jsonl");
    let text =
        fs::read_to_string(&path).with_context(|| format!("reading `{}`", path.display()))?;
    let mut prompts = Vec::new();
    for (i, line) in text.lines().enumerate().step_by(every) {
        let name = format!("{set}:{}", i + 1);
        let case: Case = serde_json::from_str(line).with_context(|| name.clone())?;
        let request = request(backend, case);
        prompts.extend(request.map(|request| Prompt { name, request }));
    }
    Ok(prompts)
}

/// What a case asks. Nothing when no model is needed for it.
fn request(backend: &LocalBackend, case: Case) -> Option<Request> {
    let model = backend.model().name;
    if !case.question.is_empty() {
        return Some(Request::Respond(CreateResponse {
            instructions: Some("Answer in a few sentences.".to_owned()),
            ..CreateResponse::new(model, Input::Text(case.question))
        }));
    }
    if !case.prefix.is_empty() {
        let infill = backend.model().infill;
        return Some(Request::Complete(CompletionRequest {
            suffix: Some(case.suffix).filter(|_| infill),
            ..CompletionRequest::new(model, case.prefix)
        }));
    }
    let recorder = Recorder { backend, request: Mutex::default() };
    let file = SourceFile::from_text(PathBuf::new(), case.path.clone(), case.before, false);
    let prepared = plan_text(file, EditRequest::new(&case.path, &case.instruction)).ok()?;
    // It always fails: what would be asked is all that is wanted.
    let _ = run_edit(&recorder, &prepared, &mut |_| ControlFlow::Continue(()));
    let request = recorder.request.into_inner().unwrap_or_else(PoisonError::into_inner);
    request.map(Request::Respond)
}

/// A backend that keeps what it is asked, and does not answer.
struct Recorder<'a> {
    backend: &'a LocalBackend,
    request: Mutex<Option<CreateResponse>>,
}

impl Backend for Recorder<'_> {
    fn respond(
        &self,
        request: &CreateResponse,
        _on_text: &mut OnText<'_>,
    ) -> Result<Response, ErrorBody> {
        *self.request.lock().unwrap_or_else(PoisonError::into_inner) = Some(request.clone());
        Err(ErrorBody::new(ErrorKind::ServerError, "only recorded"))
    }

    fn complete(
        &self,
        _request: &CompletionRequest,
        _on_text: &mut OnText<'_>,
    ) -> Result<Response, ErrorBody> {
        Err(ErrorBody::new(ErrorKind::ServerError, "only recorded"))
    }

    fn model(&self) -> ModelInfo {
        self.backend.model()
    }

    fn count_tokens(&self, text: &str) -> usize {
        self.backend.count_tokens(text)
    }
}
