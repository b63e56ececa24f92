//! Who is next among several who ask: turns go round, so that nobody waits behind all that somebody else has
//! asked before them.
//!
//! Every job gets a number when it comes, and the smallest is next: that of its owner's last job, or of the job
//! begun last if that is more, and one beyond it; for an owner of weight `w`, one `w`th. Source: start-time fair
//! queueing, Goyal et al. 1996.

use crate::Owner;
use std::collections::HashMap;

/// Numbers that jobs were given.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// That of the job begun last.
    now: f64,
    /// Those of owners' last jobs, as long as they are still to come.
    last: HashMap<u64, f64>,
}

impl Turns {
    /// The number of a job that comes.
    pub(super) fn next(&mut self, owner: Owner) -> f64 {
        let last = self.last.entry(owner.id).or_insert(self.now);
        *last = last.max(self.now) + 1.0 / f64::from(owner.weight.max(1));
        *last
    }

    /// The job of this number begins.
    pub(super) fn begin(&mut self, turn: f64) {
        self.now = self.now.max(turn);
        self.last.retain(|_, last| *last > self.now);
    }
}
