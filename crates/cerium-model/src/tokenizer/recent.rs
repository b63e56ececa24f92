//! Words that the same text held before: source code repeats itself, and copying ids is cheaper
//! than merging them again (two to three times the speed on code).

use std::{hash::BuildHasher, ops::Range};

use hashbrown::DefaultHashBuilder;

use super::merge::Scratch;

/// Longer words are rare and seldom repeat.
const N_BYTES_MAX: usize = 48;
const N_SLOTS_MAX: usize = 4096;

/// The last word of each hash, with the place where its ids went; and the buffers for merging.
#[derive(Debug)]
pub(super) struct Recent<'t, S> {
    slots: Vec<(&'t str, Range<usize>)>,
    hasher: DefaultHashBuilder,
    pub(super) scratch: Scratch<S>,
}

impl<'t, S> Recent<'t, S> {
    /// For a text of about this length.
    pub(super) fn new(n_bytes: usize) -> Self {
        let n_slots = (n_bytes / 8).next_power_of_two().min(N_SLOTS_MAX);
        Self {
            slots: vec![("", 0..0); n_slots],
            hasher: DefaultHashBuilder::default(),
            scratch: Scratch::default(),
        }
    }

    /// Appends the ids of a word, by `encode` unless they are in `ids` already.
    pub(super) fn encode(
        &mut self,
        word: &'t str,
        ids: &mut Vec<u32>,
        encode: impl FnOnce(&mut Scratch<S>, &mut Vec<u32>),
    ) {
        if word.len() < 2 || word.len() > N_BYTES_MAX {
            return encode(&mut self.scratch, ids);
        }
        let slot = self.hasher.hash_one(word) as usize & (self.slots.len() - 1);
        if self.slots[slot].0 == word {
            return ids.extend_from_within(self.slots[slot].1.clone());
        }
        let start = ids.len();
        encode(&mut self.scratch, ids);
        self.slots[slot] = (word, start..ids.len());
    }
}
