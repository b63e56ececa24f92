//! What a step takes, by what it computes: learned from the steps that are run, to size the next ones.
//!
//! A step's time is a sum of parts: reading the weights, each row, each row that a logit is wanted of, and
//! each key that a row attends to. When a step surprises, every part answers for its share of it, so
//! steps of different kinds tell the parts apart.

use std::iter::Sum;
use std::ops::Add;
use std::time::Duration;

/// Nanoseconds of each part, before anything is known: the 0.5B on two cores with AMX.
const NANOS: [f64; 4] = [20e6, 0.93e6, 0.25e6, 150.0];

/// Steps that move all parts together, all the way, at first.
const N_FIRST: u32 = 3;

/// How far a later step moves what it consists of.
const SHARE: f64 = 0.3;

/// A step counts as at most so many times slower, or faster, than was thought: one that the system
/// did not let run tells nothing.
const SURPRISE_MAX: f64 = 2.0;

/// What a step computes.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_field_names, reason = "all of them are counts")]
pub(crate) struct Work {
    /// Rows of all sequences.
    pub(crate) n_rows: usize,
    /// Of these, rows whose next token is wanted.
    pub(crate) n_wanted: usize,
    /// Keys that the rows attend to, summed.
    pub(crate) n_keys: usize,
}

impl Work {
    /// Rows of a sequence of which `n_before` tokens are computed.
    pub(crate) fn rows(n_before: usize, n_rows: usize, n_wanted: usize) -> Self {
        let n_keys = n_rows.saturating_mul(n_before + n_rows.div_ceil(2));
        Self { n_rows, n_wanted, n_keys }
    }

    fn parts(self) -> [f64; 4] {
        [1.0, self.n_rows as f64, self.n_wanted as f64, self.n_keys as f64]
    }
}

impl Add for Work {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            n_rows: self.n_rows + other.n_rows,
            n_wanted: self.n_wanted + other.n_wanted,
            n_keys: self.n_keys.saturating_add(other.n_keys),
        }
    }
}

impl Sum for Work {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

/// The time of a step.
#[derive(Debug)]
pub(crate) struct Tempo {
    nanos: [f64; 4],
    n_seen: u32,
}

impl Default for Tempo {
    fn default() -> Self {
        Self { nanos: NANOS, n_seen: 0 }
    }
}

impl Tempo {
    /// How long a step will take.
    pub(crate) fn time(&self, work: Work) -> Duration {
        Duration::from_nanos(self.terms(work).iter().sum::<f64>() as u64)
    }

    /// Learns from a step that was run.
    pub(crate) fn saw(&mut self, work: Work, time: Duration) {
        let terms = self.terms(work);
        let expected: f64 = terms.iter().sum();
        let surprise = time.as_nanos() as f64 / expected;
        if self.n_seen < N_FIRST {
            self.n_seen += 1;
            self.nanos = self.nanos.map(|nanos| nanos * surprise);
            return;
        }
        let surprise = surprise.clamp(1.0 / SURPRISE_MAX, SURPRISE_MAX);
        for (nanos, term) in self.nanos.iter_mut().zip(terms) {
            *nanos *= surprise.powf(SHARE * term / expected);
        }
    }

    fn terms(&self, work: Work) -> [f64; 4] {
        let parts = work.parts();
        std::array::from_fn(|i| self.nanos[i] * parts[i])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_many_kinds_tell_the_parts_apart() {
        // Nine times slower at reading, three times at rows, half at keys.
        let truth = |work: Work| {
            let parts = work.parts();
            let nanos = [9.0 * NANOS[0], 3.0 * NANOS[1], NANOS[2], 0.5 * NANOS[3]];
            Duration::from_nanos(
                parts.iter().zip(nanos).map(|(n, each)| n * each).sum::<f64>() as u64
            )
        };
        let works = [
            Work::rows(100, 1, 1),
            Work::rows(0, 256, 0),
            Work::rows(8000, 256, 0),
            Work::rows(16_000, 64, 64),
            Work::rows(30_000, 1, 1),
        ];
        let mut tempo = Tempo::default();
        for i in 0..400 {
            let work = works[i % works.len()];
            tempo.saw(work, truth(work));
        }
        for work in works {
            let (got, want) = (tempo.time(work).as_secs_f64(), truth(work).as_secs_f64());
            assert!((got / want - 1.0).abs() < 0.1, "{work:?}: {got} instead of {want}");
        }
    }

    #[test]
    fn one_slow_step_is_forgiven() {
        let (mut tempo, work) = (Tempo::default(), Work::rows(0, 64, 0));
        for _ in 0..20 {
            tempo.saw(work, Duration::from_millis(80));
        }
        tempo.saw(work, Duration::from_mins(1));
        assert!(tempo.time(work) < Duration::from_millis(110));
    }
}
