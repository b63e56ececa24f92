//! Whether an engine is asked at all: after some failures it is left alone for a while.
//!
//! Then one request goes through, and one more each time the pause is over, until one succeeds. Pauses
//! grow from failure to failure. Time is told from outside.

use std::time::{Duration, Instant};

/// Failures in a row after which an engine is left alone.
const N_FAILURES: u32 = 3;

/// The first pause, and the longest.
const PAUSE: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    n_failures: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    until: Instant,
    pause: Duration,
}

impl Breaker {
    /// Whether a request may be sent now. One that may while the engine is down is a trial: the next one
    /// comes a pause later.
    pub(crate) fn admits(&mut self, now: Instant) -> bool {
        match &mut self.open {
            None => true,
            Some(open) if now >= open.until => {
                open.until = now + open.pause;
                true
            }
            Some(_) => false,
        }
    }

    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn failed(&mut self, now: Instant) {
        self.n_failures = self.n_failures.saturating_add(1);
        let pause = match &self.open {
            Some(open) => (open.pause * 2).min(PAUSE_MAX),
            None if self.n_failures >= N_FAILURES => PAUSE,
            None => return,
        };
        self.open = Some(Open { until: now + pause, pause });
    }

    /// How long no request may be sent, if that is so.
    pub(crate) fn closed_for(&self, now: Instant) -> Option<Duration> {
        self.open.as_ref().map(|open| open.until.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_fails_is_left_alone_and_tried_by_one_request() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut breaker = Breaker::default();
        for _ in 1..N_FAILURES {
            breaker.failed(at(0));
            assert!(breaker.admits(at(0)), "some failures are no reason");
        }
        breaker.failed(at(0));
        assert!(!breaker.admits(at(1)));
        assert!(breaker.admits(at(2)), "the pause is over");
        assert!(!breaker.admits(at(2)), "one request is enough to see");
        breaker.failed(at(3));
        assert!(!breaker.admits(at(6)), "the pause has grown");
        assert!(breaker.admits(at(7)));
        breaker.succeeded();
        assert!(breaker.admits(at(7)) && breaker.admits(at(7)));
    }

    #[test]
    fn pauses_do_not_grow_for_ever() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        (0..50).for_each(|_| breaker.failed(now));
        assert_eq!(breaker.closed_for(now), Some(PAUSE_MAX));
    }
}
