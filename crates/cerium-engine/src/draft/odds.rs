//! How often drafts are right, by their kind and by what speaks for them: learned in each job, which begins
//! with what the jobs before it learned.

use super::{Draft, DraftKind};

/// Levels of support: 0, 1, 2-3, 4-7, 8-15, 16-31, 32-63 and more.
const N_LEVELS: usize = 8;

/// What a token that is right in a draft adds to its support: once the first one is, the place is found, and
/// the next ones are as likely as after a long text that is the same.
const SUPPORT_OF_RIGHT: [usize; DraftKind::ALL.len()] = [4, 4, 1, 1];

/// Probability that the next token of a draft is right, before anything is known: about what replays of the
/// benchmark sets' edits gave.
const PRIOR: [[f64; N_LEVELS]; DraftKind::ALL.len()] = [
    [0.03, 0.45, 0.70, 0.90, 0.96, 0.985, 0.99, 0.99],
    [0.03, 0.25, 0.60, 0.88, 0.95, 0.98, 0.99, 0.992],
    [0.05, 0.10, 0.45, 0.80, 0.85, 0.90, 0.97, 0.97],
    // Not weighed: forced tokens are drafted whatever the odds.
    [0.9; N_LEVELS],
];

/// How many tokens' worth of knowledge that is, beside what other jobs saw, and how many those are beside what
/// a job sees itself.
const PRIOR_WEIGHT: f64 = 100.0;
const OTHERS_WEIGHT: f64 = 8.0;

/// What is left of what was seen in others when one more job has ended.
const FADE: f64 = 0.95;

/// What was seen of one kind and level.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    n_checked: f64,
    n_right: f64,
}

/// What became of drafts, by kind and level.
#[derive(Debug, Default)]
pub(crate) struct Odds([[Seen; N_LEVELS]; DraftKind::ALL.len()]);

impl Odds {
    /// Probability that token `i` of a draft is right if those before it are.
    pub(crate) fn of(&self, others: &Self, draft: &Draft, i: usize) -> f64 {
        self.at(others, draft.kind, level(draft, i))
    }

    /// The same far within a text that is foreseen.
    pub(crate) fn at_best(&self, others: &Self, kind: DraftKind) -> f64 {
        self.at(others, kind, N_LEVELS - 1)
    }

    fn at(&self, others: &Self, kind: DraftKind, level: usize) -> f64 {
        let kind = kind as usize;
        let prior = others.0[kind][level].mixed(PRIOR[kind][level], PRIOR_WEIGHT);
        self.0[kind][level].mixed(prior, OTHERS_WEIGHT)
    }

    /// Learns from a draft of which the first `n_right` tokens were right; those after the first that
    /// was not tell nothing.
    pub(crate) fn saw(&mut self, draft: &Draft, n_right: usize) {
        for i in 0..draft.ids.len().min(n_right + 1) {
            let seen = &mut self.0[draft.kind as usize][level(draft, i)];
            seen.n_checked += 1.0;
            seen.n_right += f64::from(u8::from(i < n_right));
        }
    }

    /// Learns what a job has learned that is done.
    pub(crate) fn saw_job(&mut self, job: &Self) {
        let all = self.0.as_flattened_mut();
        for (seen, new) in all.iter_mut().zip(job.0.as_flattened()) {
            seen.n_checked = FADE * seen.n_checked + new.n_checked;
            seen.n_right = FADE * seen.n_right + new.n_right;
        }
    }
}

impl Seen {
    /// The share of right ones, if `prior` was seen `weight` times before.
    fn mixed(self, prior: f64, weight: f64) -> f64 {
        (self.n_right + weight * prior) / (self.n_checked + weight)
    }
}

fn level(draft: &Draft, i: usize) -> usize {
    let support = draft.support + i * SUPPORT_OF_RIGHT[draft.kind as usize];
    let bits = usize::BITS - support.leading_zeros();
    (bits as usize).min(N_LEVELS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(kind: DraftKind, support: usize) -> Draft {
        Draft { ids: vec![7; 8], kind, support }
    }

    #[test]
    fn what_one_job_saw_the_next_one_expects() {
        let (none, mut all) = (Odds::default(), Odds::default());
        let [near, far] = [2, 40].map(|support| draft(DraftKind::Copy, support));
        let before = none.of(&all, &near, 0);
        for _ in 0..20 {
            let mut job = Odds::default();
            (0..50).for_each(|_| job.saw(&near, 0));
            all.saw_job(&job);
        }
        let after = none.of(&all, &near, 0);
        assert!(after < 0.3 * before, "{after} after {before}");
        // Of other levels that says nothing.
        assert!((none.of(&all, &far, 0) - none.of(&none, &far, 0)).abs() < 1e-12);
    }

    #[test]
    fn what_speaks_for_a_draft_never_counts_against_it() {
        let odds = Odds::default();
        for kind in DraftKind::ALL {
            let of = |support| odds.of(&odds, &draft(kind, support), 0);
            let all: Vec<f64> = (0..100).map(of).collect();
            assert!(all.is_sorted(), "{kind:?}: {all:?}");
        }
    }
}
