//! Which draft is checked, and how much of it: what yields most tokens per second, which may be none.

use super::odds::Odds;
use super::{DRAFT_TOKENS_MAX, Draft, DraftKind, Drafts, Experience, Pace, Repeats};

/// Chooses the drafts of one job.
#[derive(Debug)]
pub(crate) struct Governor {
    drafts: Drafts,
    odds: Odds,
    own: Repeats,
}

/// What a step has room for, and does anyway.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_field_names, reason = "all of them are counts")]
pub(crate) struct Room {
    /// Rows of the step without this draft.
    pub(crate) n_rows: usize,
    /// Tokens that come out of it without this draft.
    pub(crate) n_tokens: usize,
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
        let Experience { earlier, pace } = experience;
        let n_max = room.n_max.min(DRAFT_TOKENS_MAX);
        if n_max == 0 {
            return None;
        }
        let output = &tokens[tokens.len() - n_output..];
        let known = self.drafts.drafter.as_mut().and_then(|d| d.draft(output, n_max));
        let repeat = if self.drafts.repeats {
            self.own.extend(&tokens[self.own.len()..]);
            let found = [self.own.find(tokens), earlier.find(tokens)];
            found.into_iter().flatten().max_by_key(|found| found.n_same)
        } else {
            None
        };
        let repeat = repeat.map(|found| Draft {
            ids: found.next.iter().take(n_max).copied().collect(),
            kind: DraftKind::Repeat,
            support: found.n_same,
        });
        let plain = room.n_tokens as f64 / pace.seconds(room.n_rows);
        let mut best: Option<(f64, Draft)> = None;
        for mut draft in [known, repeat].into_iter().flatten() {
            draft.ids.truncate(n_max);
            let (n, rate) = self.length(&draft, pace, room);
            if n > 0 && rate > best.as_ref().map_or(plain, |(rate, _)| *rate) {
                draft.ids.truncate(n);
                best = Some((rate, draft));
            }
        }
        best.map(|(_, draft)| draft)
    }

    /// Learns what became of a draft.
    pub(crate) fn saw(&mut self, draft: &Draft, n_right: usize) {
        self.odds.saw(draft, n_right);
    }

    /// The best length of a draft, and the tokens per second that it promises.
    fn length(&self, draft: &Draft, pace: &Pace, room: Room) -> (usize, f64) {
        let (mut best, mut all_right, mut n_tokens) = ((0, 0.0), 1.0, room.n_tokens as f64);
        for n in 1..=draft.ids.len() {
            all_right *= self.odds.of(draft.kind, draft.support + n - 1);
            n_tokens += all_right;
            let rate = n_tokens / pace.seconds(room.n_rows + n);
            if rate > best.1 {
                best = (n, rate);
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room { n_rows: 1, n_tokens: 1, n_max: 63 };

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
        let mut right = governor(40);
        let first = length(&mut right, ROOM);
        for _ in 0..4 {
            let n = length(&mut right, ROOM);
            right.saw(&Draft { ids: vec![7; n], kind: DraftKind::Copy, support: 40 }, n);
        }
        assert!(first > 8 && length(&mut right, ROOM) > first);

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
