//! How often drafts are right, by their kind and by what speaks for them, learned in each job.

use super::{Draft, DraftKind};

/// Levels of support: 0, 1, 2-3, 4-7, 8-15, 16-31 and more.
const N_LEVELS: usize = 7;

/// Probability that the next token of a draft is right, before anything is known: a little less than
/// what replays of the benchmark sets' edits gave.
const PRIOR: [[f64; N_LEVELS]; DraftKind::ALL.len()] = [
    [0.03, 0.60, 0.85, 0.95, 0.97, 0.98, 0.99],
    [0.03, 0.40, 0.65, 0.85, 0.92, 0.95, 0.97],
    [0.05, 0.10, 0.35, 0.60, 0.75, 0.85, 0.92],
    // Not weighed: forced tokens are drafted whatever the odds.
    [0.9; N_LEVELS],
];

/// How many tokens' worth of knowledge that is.
const PRIOR_WEIGHT: f64 = 4.0;

/// What was seen of one kind and level.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    n_checked: f64,
    n_right: f64,
}

/// The odds of one job.
#[derive(Debug, Default)]
pub(crate) struct Odds([[Seen; N_LEVELS]; DraftKind::ALL.len()]);

impl Odds {
    /// Probability that a token is right whose source was followed for `support` steps, those in the
    /// draft before it included.
    pub(crate) fn of(&self, kind: DraftKind, support: usize) -> f64 {
        let (kind, level) = (kind as usize, level(support));
        let Seen { n_checked, n_right } = self.0[kind][level];
        (n_right + PRIOR_WEIGHT * PRIOR[kind][level]) / (n_checked + PRIOR_WEIGHT)
    }

    /// Learns from a draft of which the first `n_right` tokens were right; those after the first that
    /// was not tell nothing.
    pub(crate) fn saw(&mut self, draft: &Draft, n_right: usize) {
        for i in 0..draft.ids.len().min(n_right + 1) {
            let seen = &mut self.0[draft.kind as usize][level(draft.support + i)];
            seen.n_checked += 1.0;
            seen.n_right += f64::from(u8::from(i < n_right));
        }
    }
}

fn level(support: usize) -> usize {
    let bits = usize::BITS - support.leading_zeros();
    (bits as usize).min(N_LEVELS - 1)
}
