//! `POST /v1/completions`.

use super::{Dialect, Narrator, line};
use crate::tier::{Answers, Tier};
use cerium_protocol::wire::completions::{Completion, Frames, Parsed, read};
use cerium_protocol::{ErrorBody, Event, Response};

impl Dialect for Parsed {
    type Narrator = Frames;
    type Whole = Completion;

    fn read(body: &[u8]) -> Result<Self, ErrorBody> {
        read(body)
    }

    fn model(&self) -> Option<&str> {
        Some(&self.request.model)
    }

    fn streams(&self) -> bool {
        self.request.stream
    }

    fn start(&self, tier: &dyn Tier) -> Result<Box<dyn Answers>, ErrorBody> {
        tier.complete(&self.request, self.extras.n)
    }

    fn narrator(self, created: u64) -> Frames {
        Frames::new(created, self.extras, self.echo)
    }

    fn whole(self, candidates: &[Response], created: u64) -> Completion {
        Completion::new(candidates, created, self.extras, self.echo.as_deref())
    }
}

impl Narrator for Frames {
    const END: &'static str = "data: [DONE]\n\n";

    fn tell(&mut self, index: usize, event: Event, out: &mut Vec<u8>) {
        for frame in self.push(index, event) {
            line(out, None, &frame);
        }
    }
}
