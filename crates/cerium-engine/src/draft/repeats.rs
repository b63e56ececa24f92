//! What followed when the last tokens stood there before: an index of tokens by their last three.

use std::collections::HashMap;

/// Tokens that must be the same for a place to be found.
const GRAM: usize = 3;

/// Places looked at in one search, latest first.
const N_PLACES_MAX: usize = 16;

/// Longer matches than this are not told apart.
const SAME_MAX: usize = 64;

/// Stands between texts. No vocabulary is so large.
const GAP: u32 = u32::MAX;

/// No place.
const NONE: u32 = u32::MAX;

/// Texts that may repeat themselves.
#[derive(Debug)]
pub(crate) struct Repeats {
    /// Tokens kept at most; beyond, the older half goes.
    n_max: usize,
    tokens: Vec<u32>,
    /// By the hash of [`GRAM`] tokens, the place of the last one where they stood last.
    latest: HashMap<u64, u32>,
    /// By place, the place before it with the same hash.
    before: Vec<u32>,
}

/// A place where the same tokens stood.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'a> {
    /// What followed there.
    pub(crate) next: &'a [u32],
    /// How many tokens before it are the same, at least [`GRAM`].
    pub(crate) n_same: usize,
}

impl Repeats {
    /// No text yet, and never more than `n_max` tokens.
    pub(crate) fn new(n_max: usize) -> Self {
        Self { n_max, tokens: Vec::new(), latest: HashMap::new(), before: Vec::new() }
    }

    /// Number of tokens.
    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Adds a text that begins anew, forgetting old ones when there are too many.
    pub(crate) fn begin(&mut self, text: &[u32]) {
        if self.n_max < 2 * GRAM {
            return;
        }
        if self.len() + text.len() >= self.n_max {
            let kept = self.tokens.split_off(self.len() / 2);
            *self = Self::new(self.n_max);
            self.extend(&kept);
        }
        self.extend(&[GAP]);
        self.extend(&text[text.len().saturating_sub(self.n_max / 2 - 1)..]);
    }

    /// Adds to the last text.
    pub(crate) fn extend(&mut self, text: &[u32]) {
        for &id in text {
            let place = self.tokens.len() as u32;
            self.tokens.push(id);
            let before = hash(&self.tokens).and_then(|hash| self.latest.insert(hash, place));
            self.before.push(before.unwrap_or(NONE));
        }
    }

    /// Where the end of `text` stood before, as much of it as possible, the latest of equals.
    pub(crate) fn find(&self, text: &[u32]) -> Option<Found<'_>> {
        let mut place = *self.latest.get(&hash(text)?)?;
        let mut best: Option<Found<'_>> = None;
        for _ in 0..N_PLACES_MAX {
            if place == NONE {
                break;
            }
            let (past, next) = self.tokens.split_at(place as usize + 1);
            let same = past.iter().rev().zip(text.iter().rev()).take(SAME_MAX);
            let n_same = same.take_while(|(a, b)| a == b).count();
            let next = next.split(|&id| id == GAP).next().unwrap_or_default();
            // Hashes may collide, and the end of a text that is indexed itself has nothing after it.
            if n_same >= GRAM && !next.is_empty() && best.is_none_or(|b| n_same > b.n_same) {
                best = Some(Found { next, n_same });
            }
            place = self.before[place as usize];
        }
        best
    }
}

/// Of the last [`GRAM`] tokens.
fn hash(tokens: &[u32]) -> Option<u64> {
    let gram = tokens.last_chunk::<GRAM>()?;
    Some(gram.iter().fold(0, |hash: u64, &id| {
        (hash ^ u64::from(id)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKENS_MAX: usize = 1 << 17;

    #[test]
    fn the_longest_match_is_found_and_the_latest_of_equals() {
        let mut repeats = Repeats::new(TOKENS_MAX);
        repeats.extend(&[9, 1, 2, 3, 10, 8, 1, 2, 3, 11, 7, 1, 2, 3, 12]);
        let find = |text: &[u32]| repeats.find(text).map(|found| (found.next[0], found.n_same));
        assert_eq!(find(&[0, 1, 2, 3]), Some((12, 3)));
        assert_eq!(find(&[8, 1, 2, 3]), Some((11, 4)));
        assert_eq!(find(&[3, 10, 8, 1, 2, 3]), Some((11, 6)));
        assert_eq!(find(&[2, 3]), None);
        assert_eq!(find(&[2, 3, 4]), None);
        // The end of the text itself has nothing after it.
        assert_eq!(find(&[1, 2, 3, 12]), None);
    }

    #[test]
    fn texts_are_apart_and_their_number_is_bounded() {
        let mut repeats = Repeats::new(TOKENS_MAX);
        repeats.begin(&[1, 2, 3]);
        repeats.begin(&[4, 5, 6]);
        assert!(repeats.find(&[1, 2, 3]).is_none());
        for i in 0..40 {
            let text: Vec<u32> = (0..10_000).map(|n| i * 10_000 + n).collect();
            repeats.begin(&text);
            assert!(repeats.len() <= TOKENS_MAX);
        }
        assert!(repeats.find(&[1, 2, 3]).is_none());
        let found = repeats.find(&[399_001, 399_002, 399_003]).unwrap();
        assert_eq!((found.next[0], found.n_same), (399_004, 3));
        repeats.begin(&vec![5; 10 * TOKENS_MAX]);
        assert!(repeats.len() <= TOKENS_MAX);
    }
}
