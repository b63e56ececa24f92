//! The stream of `POST /v1/responses`; its requests may ask for a memory, and are read by
//! [`crate::responses`].

use super::{Narrator, line};
use cerium_protocol::Event;
use cerium_protocol::wire::responses::Events;

impl Narrator for Events {
    const END: &'static str = "";

    fn tell(&mut self, _index: usize, event: Event, out: &mut Vec<u8>) {
        for event in self.push(event) {
            line(out, Some(event.name()), &event);
        }
    }
}
