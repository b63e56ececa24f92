//! What the dialects have in common, so that one handler answers them all.

mod chat;
mod completions;
mod llama;
mod responses;

use crate::tier::{Answers, Tier};
use cerium_protocol::{ErrorBody, Event, Response};
use serde::Serialize;

/// A request in one of the dialects.
pub(crate) trait Dialect: Sized + Send + 'static {
    /// Tells the dialect's stream.
    type Narrator: Narrator;
    /// The dialect's whole answer.
    type Whole: Serialize;

    /// Reads a body.
    fn read(body: &[u8]) -> Result<Self, ErrorBody>;
    /// Name of the model that is asked; absent where any is meant.
    fn model(&self) -> Option<&str>;
    /// Whether the answer is wanted as a stream.
    fn streams(&self) -> bool;
    /// Begins the work.
    fn start(&self, tier: &dyn Tier) -> Result<Box<dyn Answers>, ErrorBody>;
    /// Tells a request accepted at `created` (seconds since 1970) as a stream.
    fn narrator(self, created: u64) -> Self::Narrator;
    /// The same as one object, of all candidates.
    fn whole(self, candidates: &[Response], created: u64) -> Self::Whole;
}

/// Turns events into lines of an event stream.
pub(crate) trait Narrator: Send + 'static {
    /// What stands behind the last event.
    const END: &'static str;
    /// Whether it is told to the end even if the client goes away.
    const RECORDS: bool = false;

    /// Appends the lines that stand for an event of candidate `index`.
    fn tell(&mut self, index: usize, event: Event, out: &mut Vec<u8>);
}

/// Appends one event of an event stream. JSON holds no line breaks, so one `data:` line does.
fn line(out: &mut Vec<u8>, name: Option<&str>, data: &impl Serialize) {
    if let Some(name) = name {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(b"data: ");
    serde_json::to_writer(&mut *out, data).expect("wire types have only string keys");
    out.extend_from_slice(b"\n\n");
}
