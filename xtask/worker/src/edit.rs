//! One edit through the harness, and what was asked of the engine for it: the ids that another engine can
//! be asked for, too.

use cerium_engine::{Engine, Job, Steer, Step, SubmitError};
use cerium_harness::edit::{EditRequest, plan_text, run_edit};
use cerium_harness::files::SourceFile;
use cerium_harness::{Backend, OnText};
use cerium_protocol::{
    CompletionRequest, CreateResponse, ErrorBody, ErrorKind, Event, ModelInfo, Response,
};
use cerium_session::{Generator, Service, Steps, Stream};
use serde_json::{Value, json};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

/// Answers so far, those that came to nothing included.
type Answers = Arc<Mutex<Vec<Value>>>;

/// The harness's door to an engine that writes down what it is asked.
pub(crate) struct Door {
    service: Service,
    answers: Answers,
}

impl Door {
    /// `make` makes the service of what runs its jobs.
    pub(crate) fn new(engine: Engine, make: impl FnOnce(Recorder) -> Service) -> Self {
        let answers = Answers::default();
        let service = make(Recorder { engine, answers: Arc::clone(&answers) });
        Self { service, answers }
    }

    /// Makes an edit: whether it left the file as it was, or why there is none, and the answers.
    pub(crate) fn edit(&self, path: &str, before: &str, instruction: &str) -> Value {
        let file = SourceFile::from_text(PathBuf::new(), path.to_owned(), before.to_owned(), false);
        let made = plan_text(file, EditRequest::new(path, instruction))
            .and_then(|prepared| run_edit(self, &prepared, &mut |_| ControlFlow::Continue(())));
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner).split_off(0);
        match made {
            Ok(made) => json!({ "answers": answers, "unchanged": made.after == before }),
            Err(error) => {
                json!({ "answers": answers, "unchanged": true, "why": error.to_string() })
            }
        }
    }
}

fn read(mut stream: Stream, on_text: &mut OnText<'_>) -> Result<Response, ErrorBody> {
    let mut cancelled = false;
    while let Some(event) = stream.next() {
        match event {
            Event::TextDelta(delta) if !cancelled && on_text(&delta.text).is_break() => {
                cancelled = true;
                stream.cancel();
            }
            Event::Done(response) => return Ok(response),
            Event::Failed(error) => return Err(error),
            _ => {}
        }
    }
    Err(ErrorBody::new(ErrorKind::ServerError, "the answer ended without an end"))
}

impl Backend for Door {
    fn respond(
        &self,
        request: &CreateResponse,
        on_text: &mut OnText<'_>,
    ) -> Result<Response, ErrorBody> {
        read(self.service.respond(request)?, on_text)
    }

    fn complete(
        &self,
        request: &CompletionRequest,
        on_text: &mut OnText<'_>,
    ) -> Result<Response, ErrorBody> {
        read(self.service.complete(request)?, on_text)
    }

    fn model(&self) -> ModelInfo {
        self.service.model().clone()
    }

    fn count_tokens(&self, text: &str) -> usize {
        self.service.count_tokens(text)
    }
}

/// An engine whose jobs are written down.
pub(crate) struct Recorder {
    engine: Engine,
    answers: Answers,
}

impl Generator for Recorder {
    fn submit(&self, job: Job) -> Result<Box<dyn Steps>, SubmitError> {
        let (prompt, ends) = (job.prompt.clone(), job.stop_tokens.clone());
        let steps = Generator::submit(&self.engine, job)?;
        let answers = Arc::clone(&self.answers);
        Ok(Box::new(Recording { steps, prompt, ends, output: Vec::new(), answers }))
    }
}

/// The steps of a job, on their way.
struct Recording {
    steps: Box<dyn Steps>,
    prompt: Vec<u32>,
    ends: Vec<u32>,
    output: Vec<u32>,
    answers: Answers,
}

impl Recording {
    fn note(&mut self, step: Option<&Step>) {
        match step {
            Some(Step::Token { id, .. }) => self.output.push(*id),
            Some(Step::Done(end)) => {
                let answer = json!({
                    "prompt": self.prompt, "ends": self.ends, "output": self.output,
                    "n_steps": end.stats.n_steps, "decode_ms": end.stats.decode.as_secs_f64() * 1e3,
                });
                self.answers.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
            }
            _ => {}
        }
    }
}

impl Steps for Recording {
    fn next(&mut self) -> Option<Step> {
        let step = self.steps.next();
        self.note(step.as_ref());
        step
    }

    fn next_async(&mut self) -> Pin<Box<dyn Future<Output = Option<Step>> + Send + '_>> {
        Box::pin(async {
            let step = self.steps.next_async().await;
            self.note(step.as_ref());
            step
        })
    }

    fn steer(&self, steer: Steer) -> Result<(), SubmitError> {
        self.steps.steer(steer)
    }

    fn cancel(&self) {
        self.steps.cancel();
    }
}
