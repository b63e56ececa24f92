//! The record of one response, held by whoever writes it.

use super::{Archive, Live, failed};
use crate::dialect::Narrator;
use cerium_protocol::Event;
use cerium_protocol::wire::responses::KeptItem;
use std::sync::Arc;

/// What a record begins with.
#[derive(Debug)]
pub(crate) struct Opening {
    /// What was told first: events with the response's object.
    pub(crate) told: Vec<u8>,
    /// Whose it is.
    pub(crate) holder: String,
    /// What the response is asked, beyond what it follows.
    pub(crate) input: Vec<KeptItem>,
    /// The response that it follows.
    pub(crate) parent: Option<String>,
    /// The conversation that it belongs to.
    pub(crate) conversation: Option<String>,
}

/// See the module. Dropped before the end, the response has failed.
#[derive(Debug)]
pub(crate) struct Record {
    archive: Arc<Archive>,
    live: Arc<Live>,
}

impl Record {
    pub(super) fn new(archive: Arc<Archive>, live: Arc<Live>) -> Self {
        Self { archive, live }
    }

    /// What others may read.
    pub(crate) fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// More events were told.
    pub(crate) fn tell(&self, lines: &[u8]) {
        self.live.tell(lines);
        if self.live.progress().borrow().ended {
            self.archive.wake.notify_one();
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.live.open();
        self.live.fail(failed::LOST);
        self.archive.wake.notify_one();
    }
}

/// A narrator whose words are recorded.
#[derive(Debug)]
pub(crate) struct Recorded<N> {
    pub(crate) narrator: N,
    pub(crate) record: Record,
}

impl<N: Narrator> Narrator for Recorded<N> {
    const END: &'static str = N::END;
    const RECORDS: bool = true;

    fn tell(&mut self, index: usize, event: Event, out: &mut Vec<u8>) {
        let before = out.len();
        self.narrator.tell(index, event, out);
        self.record.tell(&out[before..]);
    }
}
