//! The model of this process.

use super::{Answers, Soon, Tier};
use cerium_protocol::wire::responses::Parsed;
use cerium_protocol::{
    CompletionRequest, CreateResponse, ErrorBody, Event, ModelInfo, SteerResponse, Usage,
};
use cerium_session::{Candidates, Past, Service, Unexplained};

impl Tier for Service {
    fn name(&self) -> &str {
        &self.model().name
    }

    fn respond(
        &self,
        past: Option<&Past>,
        request: &CreateResponse,
        n: u32,
    ) -> Result<Box<dyn Answers>, ErrorBody> {
        let candidates = match past {
            Some(past) => Service::go_on(self, past, request)?.into(),
            None if !request.generate => Service::respond(self, request)?.into(),
            None => self.respond_all(request, n)?,
        };
        Ok(Box::new(candidates))
    }

    fn complete(&self, request: &CompletionRequest, n: u32) -> Result<Box<dyn Answers>, ErrorBody> {
        let candidates: Candidates = if request.generate {
            self.complete_all(request, n)?
        } else {
            Service::complete(self, request)?.into()
        };
        Ok(Box::new(candidates))
    }

    fn settle(&self, _asked: &mut Parsed) {}

    fn counted(&self) -> Option<&ModelInfo> {
        Some(self.model())
    }
}

impl Answers for Candidates {
    fn count(&self) -> usize {
        Candidates::count(self)
    }

    fn begun(&mut self) -> Soon<'_, Result<(), ErrorBody>> {
        Box::pin(async { Ok(()) })
    }

    fn next(&mut self) -> Soon<'_, Option<(usize, Event)>> {
        Box::pin(self.next_async())
    }

    fn spent(&self) -> Usage {
        Candidates::spent(self)
    }

    fn past(&self) -> Option<Past> {
        Candidates::past(self)
    }

    fn unexplained(&mut self, index: usize) -> Option<Unexplained> {
        Candidates::unexplained(self, index)
    }

    fn steer(&mut self, asked: &SteerResponse) -> Result<(), ErrorBody> {
        Candidates::steer(self, asked)
    }

    fn cancel(&mut self) {
        Candidates::cancel(self);
    }
}
