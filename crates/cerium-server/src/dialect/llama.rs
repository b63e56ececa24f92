//! `POST /infill`.

use super::{Dialect, Narrator, line};
use crate::tier::{Answers, Tier};
use cerium_protocol::wire::llama::{Frames, Infill, Parsed, read};
use cerium_protocol::{ErrorBody, Event, Response};

impl Dialect for Parsed {
    type Narrator = Frames;
    type Whole = Infill;

    fn read(body: &[u8]) -> Result<Self, ErrorBody> {
        read(body)
    }

    fn model(&self) -> Option<&str> {
        None
    }

    fn streams(&self) -> bool {
        self.request.stream
    }

    fn start(&self, tier: &dyn Tier) -> Result<Box<dyn Answers>, ErrorBody> {
        tier.complete(&self.request, 1).map_err(|mut error| {
            // The session's names are those of a completion.
            error.param = error.param.map(|param| match param.as_str() {
                "prompt" => "input_prefix".to_owned(),
                "suffix" => "input_suffix".to_owned(),
                _ => param,
            });
            error
        })
    }

    fn narrator(self, _created: u64) -> Frames {
        Frames::new(self.fields)
    }

    fn whole(self, candidates: &[Response], _created: u64) -> Infill {
        Infill::new(&candidates[0], self.fields.as_deref())
    }
}

impl Narrator for Frames {
    const END: &'static str = "";

    fn tell(&mut self, _index: usize, event: Event, out: &mut Vec<u8>) {
        if let Some(frame) = self.push(event) {
            line(out, None, &frame);
        }
    }
}
