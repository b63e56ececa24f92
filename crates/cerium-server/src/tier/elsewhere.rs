//! A model that engines elsewhere serve.

use super::{Answers, Soon, Tier};
use cerium_protocol::wire::responses::Parsed;
use cerium_protocol::{
    CompletionRequest, CreateResponse, ErrorBody, Event, Input, ModelInfo, SteerResponse, Usage,
};
use cerium_session::{Past, Service, Unexplained};
use cerium_upstream::{Answer, Upstreams};
use std::future::poll_fn;
use std::task::Poll;

/// Most candidates of an answer, as here.
const CANDIDATES_MAX: u32 = 16;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Elsewhere {
    model: String,
    upstreams: Upstreams,
    /// Remembers what was said.
    service: Service,
}

impl Elsewhere {
    pub(crate) fn new(model: &str, upstreams: &Upstreams, service: &Service) -> Self {
        let (upstreams, service) = (upstreams.clone(), service.clone());
        Self { model: model.to_owned(), upstreams, service }
    }
}

impl Tier for Elsewhere {
    fn name(&self) -> &str {
        &self.model
    }

    fn respond(
        &self,
        past: Option<&Past>,
        request: &CreateResponse,
        n: u32,
    ) -> Result<Box<dyn Answers>, ErrorBody> {
        check_count(n)?;
        let base = self.service.remember(past, request);
        let mut whole = request.clone();
        if let Some(past) = past {
            let mut items = past.all();
            items.extend(whole.input.into_items());
            whole.input = Input::Items(items);
        }
        let answers = (0..n).map(|i| {
            let mut one = whole.clone();
            one.cerium.seed = one.cerium.seed.map(|seed| seed.wrapping_add(u64::from(i)));
            self.upstreams.respond(one)
        });
        Ok(Box::new(Far { answers: answers.collect(), n_over: 0, first: 0, base }))
    }

    fn complete(&self, request: &CompletionRequest, n: u32) -> Result<Box<dyn Answers>, ErrorBody> {
        check_count(n)?;
        let answers = (0..n).map(|i| {
            let mut one = request.clone();
            one.cerium.seed = one.cerium.seed.map(|seed| seed.wrapping_add(u64::from(i)));
            self.upstreams.complete(one)
        });
        Ok(Box::new(Far { answers: answers.collect(), n_over: 0, first: 0, base: None }))
    }

    /// Without a word of the client's an engine draws as it likes, and says so nowhere: this is the published
    /// default.
    fn settle(&self, asked: &mut Parsed) {
        asked.echo.temperature = asked.request.temperature.unwrap_or(1.0);
    }

    fn counted(&self) -> Option<&ModelInfo> {
        None
    }
}

fn check_count(n: u32) -> Result<(), ErrorBody> {
    if (1..=CANDIDATES_MAX).contains(&n) {
        return Ok(());
    }
    let what = format!("`n` is {n}; it must be from 1 to {CANDIDATES_MAX}");
    Err(ErrorBody::invalid("n", what))
}

/// Candidates that come from elsewhere.
#[derive(Debug)]
struct Far {
    answers: Vec<Answer>,
    /// Those that have ended.
    n_over: usize,
    /// The one that is looked at first, so that none is kept waiting by the others.
    first: usize,
    base: Option<Past>,
}

impl Answers for Far {
    fn count(&self) -> usize {
        self.answers.len()
    }

    fn begun(&mut self) -> Soon<'_, Result<(), ErrorBody>> {
        Box::pin(async {
            for answer in &mut self.answers {
                answer.begun().await?;
            }
            Ok(())
        })
    }

    fn next(&mut self) -> Soon<'_, Option<(usize, Event)>> {
        Box::pin(poll_fn(|cx| {
            let n = self.answers.len();
            for i in (0..n).map(|k| (self.first + k) % n) {
                match self.answers[i].poll_next(cx) {
                    Poll::Ready(Some(event)) => {
                        self.first = (i + 1) % n;
                        if matches!(event, Event::Done(_) | Event::Failed(_)) {
                            self.n_over += 1;
                        }
                        return Poll::Ready(Some((i, event)));
                    }
                    Poll::Ready(None) | Poll::Pending => {}
                }
            }
            if self.n_over >= n { Poll::Ready(None) } else { Poll::Pending }
        }))
    }

    fn spent(&self) -> Usage {
        // Each was a request of its own.
        self.answers.iter().map(Answer::spent).fold(Usage::default(), |all, usage| Usage {
            prompt_tokens: all.prompt_tokens + usage.prompt_tokens,
            output_tokens: all.output_tokens + usage.output_tokens,
            ..all
        })
    }

    fn past(&self) -> Option<Past> {
        let [answer] = &self.answers[..] else { return None };
        Some(self.base.as_ref()?.and_then(answer.output()))
    }

    fn unexplained(&mut self, _index: usize) -> Option<Unexplained> {
        None
    }

    fn steer(&mut self, _asked: &SteerResponse) -> Result<(), ErrorBody> {
        let what = "an answer of a model elsewhere cannot be redirected";
        Err(ErrorBody::not_served("input", what).with_code("steering_not_supported"))
    }

    fn cancel(&mut self) {
        self.answers.iter().for_each(Answer::cancel);
    }
}
