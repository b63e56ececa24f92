//! What a download tells the person who waits for it.

use crate::Attempt;
use std::ops::ControlFlow;

/// What happens during a pull.
#[derive(Debug)]
pub enum PullEvent<'a> {
    /// Another process is fetching the same model; this one waits for it. Repeated while waiting.
    Waiting,
    /// A source is being tried.
    Trying {
        /// What it is, for people.
        source: &'a str,
    },
    /// A source failed; the next one is tried.
    Failed {
        /// What it is.
        source: &'a str,
        /// Why it failed.
        why: &'a Attempt,
    },
    /// Bytes fetched so far. `done` may fall when a source starts anew.
    Bytes {
        /// Bytes fetched, the ones of earlier runs included.
        done: u64,
        /// Bytes in all, as far as known.
        total: u64,
    },
    /// Nothing new; said several times a second while a source is silent.
    Idle,
    /// Everything is here and is being joined and hashed.
    Checking {
        /// Bytes hashed.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
}

/// Told what happens during a pull, several times a second; `Break` cancels it.
pub trait Progress {
    /// One event.
    fn event(&mut self, event: PullEvent<'_>) -> ControlFlow<()>;
}

/// Says nothing and never cancels.
impl Progress for () {
    fn event(&mut self, _: PullEvent<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}
