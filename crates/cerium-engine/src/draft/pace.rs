//! What a step costs: its time by the number of its rows, learned from the steps that are run.
//!
//! Nothing is measured ahead, so a start costs nothing. The curve begins as that of a middling
//! machine; each step scales it as a whole a little, and more where the step lies on it. Only the
//! curve's shape matters to the choice of a draft, so one slow step must not put off a length for
//! good: what a step can change is bounded, and what was learned fades.

use std::time::Duration;

/// Rows at which the curve is kept; it is straight between them.
const ROWS: [usize; 12] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64];

/// Time over that of one row, before anything is known: the 0.5B on two cores with AMX.
const SHAPE: [f64; ROWS.len()] =
    [1.0, 1.11, 1.22, 1.29, 1.52, 1.67, 1.92, 2.12, 2.53, 2.99, 4.07, 5.19];

/// One row's time, before anything is known.
const SECONDS: f64 = 0.02;

/// How far a step moves the whole curve, and the curve where it lies.
const SHARE_OF_ALL: f64 = 0.2;
const SHARE_OF_PLACE: f64 = 0.2;

/// Steps that move the whole curve all the way, at first.
const N_FIRST: u32 = 3;

/// A step counts as at most so many times slower, or faster, than was thought.
const SURPRISE_MAX: f64 = 1.5;

/// What is left of a place's own bend after a step.
const FADE: f64 = 0.99;

/// The time of a step by its rows.
#[derive(Debug)]
pub(crate) struct Pace {
    scale: f64,
    /// By place of [`ROWS`], what its time is over that of the scaled shape.
    bends: [f64; ROWS.len()],
    n_seen: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { scale: SECONDS, bends: [1.0; ROWS.len()], n_seen: 0 }
    }
}

impl Pace {
    /// Seconds of a step with `n_rows` rows. Straight beyond the curve's end.
    pub(crate) fn seconds(&self, n_rows: usize) -> f64 {
        let (i, part) = place(n_rows);
        let at = |i: usize| self.scale * SHAPE[i] * self.bends[i];
        at(i) + part * (at(i + 1) - at(i))
    }

    /// Learns from a step that was run.
    pub(crate) fn saw(&mut self, n_rows: usize, time: Duration) {
        let surprise = time.as_secs_f64() / self.seconds(n_rows);
        if self.n_seen < N_FIRST {
            self.n_seen += 1;
            self.scale *= surprise;
            return;
        }
        let surprise = surprise.clamp(1.0 / SURPRISE_MAX, SURPRISE_MAX);
        self.scale *= surprise.powf(SHARE_OF_ALL);
        for bend in &mut self.bends {
            *bend = bend.powf(FADE);
        }
        let (i, part) = place(n_rows);
        let part = part.min(1.0);
        self.bends[i] *= surprise.powf(SHARE_OF_PLACE * (1.0 - part));
        self.bends[i + 1] *= surprise.powf(SHARE_OF_PLACE * part);
    }
}

/// Between which places of [`ROWS`] a number of rows lies: the first one, and how far beyond it.
fn place(n_rows: usize) -> (usize, f64) {
    let i = ROWS.partition_point(|&rows| rows <= n_rows).clamp(1, ROWS.len() - 1) - 1;
    let (from, to) = (ROWS[i] as f64, ROWS[i + 1] as f64);
    (i, ((n_rows as f64 - from) / (to - from)).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saw(pace: &mut Pace, n_rows: usize, ms: f64) {
        pace.saw(n_rows, Duration::from_secs_f64(ms / 1e3));
    }

    #[test]
    fn the_curve_follows_what_is_seen() {
        let mut pace = Pace::default();
        let truth = |n: usize| 40.0 + 2.0 * n as f64;
        for i in 0..400 {
            let n = [1, 5, 17, 33, 64][i % 5];
            saw(&mut pace, n, truth(n));
        }
        for n in [1, 5, 17, 33, 64] {
            let (got, want) = (pace.seconds(n) * 1e3, truth(n));
            assert!((got / want - 1.0).abs() < 0.1, "{n}: {got} instead of {want}");
        }
        // Straight on beyond the end, as far as the last stretch tells.
        assert!(
            pace.seconds(256) > pace.seconds(64) + 150.0 * (pace.seconds(64) - pace.seconds(63))
        );
    }

    #[test]
    fn one_slow_step_is_forgiven() {
        let mut pace = Pace::default();
        for _ in 0..20 {
            saw(&mut pace, 1, 20.0);
        }
        let before = pace.seconds(16) / pace.seconds(1);
        saw(&mut pace, 16, 2000.0);
        assert!(pace.seconds(16) / pace.seconds(1) < 1.2 * before);
        for _ in 0..300 {
            saw(&mut pace, 1, 20.0);
        }
        assert!((pace.seconds(16) / pace.seconds(1) / before - 1.0).abs() < 0.02);
    }
}
