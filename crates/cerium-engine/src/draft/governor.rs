//! Which draft is checked, and how much of it: what saves most time, which may be none.

use super::odds::Odds;
use super::{DRAFT_TOKENS_MAX, Draft, DraftKind, Drafts, Experience, Repeats};

/// How much more a right token is worth than it costs in the best of steps: most steps are not, and where a draft
/// ends too early the next one is another step.
const WORTH: f64 = 1.5;

/// Chooses the drafts of one job.
#[derive(Debug)]
pub(crate) struct Governor {
    drafts: Drafts,
    odds: Odds,
    own: Repeats,
}

/// What a step has room for, and does anyway.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Rows of the step without this draft.
    pub(crate) n_rows: usize,
    /// Most tokens of the draft.
    pub(crate) n_max: usize,
}

impl Governor {
    pub(crate) fn new(drafts: Drafts) -> Self {
        Self { drafts, odds: Odds::default(), own: Repeats::new(usize::MAX) }
    }

    /// The draft to check after `tokens`, of which the last `n_output` were generated.
    pub(crate) fn choose(
        &mut self,
        tokens: &[u32],
        n_output: usize,
        experience: &Experience,
        room: Room,
    ) -> Option<Draft> {
        let n_max = room.n_max.min(DRAFT_TOKENS_MAX);
        if n_max == 0 {
            return None;
        }
        let output = &tokens[tokens.len() - n_output..];
        let known = self.drafts.drafter.as_mut().and_then(|d| d.draft(output, n_max));
        let repeat = if self.drafts.repeats {
            self.own.extend(&tokens[self.own.len()..]);
            let found = [self.own.find(tokens), experience.earlier.find(tokens)];
            found.into_iter().flatten().max_by_key(|found| found.n_same)
        } else {
            None
        };
        let repeat = repeat.map(|found| Draft {
            ids: found.next.iter().take(n_max).copied().collect(),
            kind: DraftKind::Repeat,
            support: found.n_same,
        });
        let mut best: Option<(f64, Draft)> = None;
        for mut draft in [known, repeat].into_iter().flatten() {
            draft.ids.truncate(n_max);
            let (n, saved) = self.length(&draft, experience, room);
            if saved > best.as_ref().map_or(0.0, |(saved, _)| *saved) {
                draft.ids.truncate(n);
                best = Some((saved, draft));
            }
        }
        best.map(|(_, draft)| draft)
    }

    /// Learns what became of a draft.
    pub(crate) fn saw(&mut self, draft: &Draft, n_right: usize) {
        self.odds.saw(draft, n_right);
    }

    /// What became of its drafts.
    pub(crate) fn odds(&self) -> &Odds {
        &self.odds
    }

    /// The length at which a draft saves most, and how many seconds that will be. Each token more takes its
    /// row's time for certain, and saves what it is worth if all up to it are right.
    fn length(&self, draft: &Draft, experience: &Experience, room: Room) -> (usize, f64) {
        let Experience { pace, odds, .. } = experience;
        let worth = self.worth(draft.kind, experience);
        let (mut best, mut all_right, mut n_right) = ((0, 0.0), 1.0, 0.0);
        let without = pace.seconds(room.n_rows);
        for i in 0..draft.ids.len() {
            all_right *= self.odds.of(odds, draft, i);
            n_right += all_right;
            let saved = n_right * worth - (pace.seconds(room.n_rows + i + 1) - without);
            if saved > best.1 {
                best = (i + 1, saved);
            }
        }
        best
    }

    /// Seconds that a right token of a draft is worth: what it costs in steps with drafts of the best
    /// length, far within a text that is foreseen. For one that is not, a step more or less counts little.
    fn worth(&self, kind: DraftKind, experience: &Experience) -> f64 {
        let Experience { pace, odds, .. } = experience;
        let right = self.odds.at_best(odds, kind);
        let (mut least, mut all_right, mut n_tokens) = (f64::INFINITY, 1.0, 1.0);
        for n in 1..=DRAFT_TOKENS_MAX {
            all_right *= right;
            n_tokens += all_right;
            least = least.min(pace.seconds(1 + n) / n_tokens);
        }
        WORTH * least
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room { n_rows: 1, n_max: 63 };

    /// Guesses the same tokens for ever.
    #[derive(Debug)]
    struct Always(usize);

    impl crate::Drafter for Always {
        fn draft(&mut self, _: &[u32], n_max: usize) -> Option<Draft> {
            Some(Draft { ids: vec![7; n_max], kind: DraftKind::Copy, support: self.0 })
        }
    }

    fn governor(support: usize) -> Governor {
        Governor::new(Drafts { drafter: Some(Box::new(Always(support))), repeats: false })
    }

    fn length(governor: &mut Governor, room: Room) -> usize {
        governor.choose(&[1], 1, &Experience::new(0), room).map_or(0, |draft| draft.ids.len())
    }

    #[test]
    fn drafts_that_are_right_grow_and_wrong_ones_end() {
        let mut mixed = governor(40);
        let first = length(&mut mixed, ROOM);
        let far = |n| Draft { ids: vec![7; n], kind: DraftKind::Copy, support: 40 };
        (0..4).for_each(|_| mixed.saw(&far(first), 3));
        let after_wrong = length(&mut mixed, ROOM);
        for _ in 0..4 {
            let n = length(&mut mixed, ROOM);
            mixed.saw(&far(n), n);
        }
        let after_right = length(&mut mixed, ROOM);
        assert!(
            first > 8 && first > after_wrong && after_wrong < after_right,
            "{first}, {after_wrong}, {after_right}"
        );

        let mut wrong = governor(0);
        let mut n_wasted = 0;
        loop {
            let n = length(&mut wrong, ROOM);
            if n == 0 {
                break;
            }
            n_wasted += n;
            wrong.saw(&Draft { ids: vec![7; n], kind: DraftKind::Copy, support: 0 }, 0);
        }
        // A row costs a tenth of a step: some two or three steps are lost in all.
        assert!(n_wasted < 25, "{n_wasted}");
    }

    #[test]
    fn a_draft_fits_its_room() {
        assert_eq!(length(&mut governor(40), Room { n_max: 3, ..ROOM }), 3);
        assert_eq!(length(&mut governor(40), Room { n_max: 0, ..ROOM }), 0);
    }
}
