//! `POST /v1/responses`.

use super::{Dialect, Narrator, line};
use cerium_protocol::wire::responses::{Events, Parsed, ResponseObject, read};
use cerium_protocol::{ErrorBody, Event, Response};
use cerium_session::{Service, Stream};

impl Dialect for Parsed {
    type Narrator = Events;
    type Whole = ResponseObject;

    fn read(body: &[u8]) -> Result<Self, ErrorBody> {
        read(body)
    }

    fn model(&self) -> &str {
        &self.request.model
    }

    fn streams(&self) -> bool {
        self.request.stream
    }

    fn start(&self, service: &Service) -> Result<Stream, ErrorBody> {
        service.respond(&self.request)
    }

    fn narrator(mut self, created: u64) -> Events {
        self.echo.created_at = created;
        Events::new(self.echo)
    }

    fn whole(mut self, response: &Response, created: u64) -> ResponseObject {
        self.echo.created_at = created;
        ResponseObject::finished(response, &self.echo)
    }
}

impl Narrator for Events {
    const END: &'static str = "";

    fn tell(&mut self, event: Event, out: &mut Vec<u8>) {
        for event in self.push(event) {
            line(out, Some(event.name()), &event);
        }
    }
}
