//! Which pages were ever computed, and by whom: what tells a prompt that is new from one that was forgotten.
//!
//! A page is known here by its tokens and those before it alone, so that what another model with the same
//! vocabulary has computed is recognised as well. Numbers of 64 bits may meet: then a wrong reason is
//! told, and nothing else.

mod diary;

use diary::Diary;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::Path;

/// Pages remembered, at least; twice as many at most.
const N_PAGES: usize = 1 << 15;

/// A chain over all tokens up to the end of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Trace(u64);

impl Trace {
    /// After more tokens.
    pub(crate) fn then(self, tokens: &[u32]) -> Self {
        let mut hash = Sha256::new_with_prefix(self.0.to_le_bytes());
        for token in tokens {
            hash.update(token.to_le_bytes());
        }
        let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = hash.finalize().into();
        Self(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
    }
}

/// Why a page that was computed once is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// Others needed its memory.
    Evicted,
    /// It went with an earlier process, and is not on disk.
    Lost,
    /// It was computed by another model, or otherwise: with other positions, or in another format.
    Elsewhere,
}

/// Pages that were computed, the newest ones of them.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// What is new comes here; what was here becomes `old` when it is full.
    young: HashMap<Trace, Gone>,
    old: HashMap<Trace, Gone>,
    diary: Option<Diary>,
}

impl Seen {
    /// Remembers beyond this process, in a directory.
    ///
    /// * `way`: what sequences of this model, computed as here, are known by
    pub(super) fn open_diary(&mut self, dir: &Path, way: u64) {
        let (diary, earlier) = Diary::open(dir, 2 * N_PAGES);
        for (trace, by) in earlier {
            let gone = if by == way { Gone::Lost } else { Gone::Elsewhere };
            // What was computed here and elsewhere is lost here.
            if self.why(trace) != Some(Gone::Lost) {
                self.remember(trace, gone);
            }
        }
        self.diary = Some(diary.by(way));
    }

    /// A page was computed.
    pub(super) fn add(&mut self, trace: Trace) {
        if self.why(trace) != Some(Gone::Evicted) {
            self.remember(trace, Gone::Evicted);
            if let Some(diary) = &mut self.diary {
                diary.add(trace);
            }
        }
    }

    /// Why a page is not there; `None` if it never was, as far as is known.
    pub(super) fn why(&self, trace: Trace) -> Option<Gone> {
        self.young.get(&trace).or_else(|| self.old.get(&trace)).copied()
    }

    /// Has what was added written down.
    pub(super) fn write(&mut self) {
        if let Some(diary) = &mut self.diary {
            diary.write();
        }
    }

    fn remember(&mut self, trace: Trace, gone: Gone) {
        if self.young.len() == N_PAGES {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(trace, gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(i: usize) -> Trace {
        Trace::default().then(&[i as u32])
    }

    #[test]
    fn a_trace_is_one_of_all_tokens_in_their_order() {
        let chain = |pages: &[&[u32]]| pages.iter().fold(Trace::default(), |t, page| t.then(page));
        let traces = [chain(&[&[1], &[2]]), chain(&[&[2], &[1]]), chain(&[&[1]]), chain(&[&[2]])];
        for (i, trace) in traces.iter().enumerate() {
            assert!(!traces[..i].contains(trace));
        }
        assert_eq!(chain(&[&[1], &[2]]), traces[0]);
    }

    #[test]
    fn the_newest_pages_are_remembered_and_memory_is_bounded() {
        let mut seen = Seen::default();
        (0..5 * N_PAGES).for_each(|i| seen.add(trace(i)));
        assert!(seen.young.len() + seen.old.len() <= 2 * N_PAGES);
        let newest = 4 * N_PAGES..5 * N_PAGES;
        assert!(newest.into_iter().all(|i| seen.why(trace(i)) == Some(Gone::Evicted)));
        assert_eq!(seen.why(trace(0)), None);
    }

    #[test]
    fn what_a_process_computed_the_next_ones_know() {
        let dir = tempfile::tempdir().unwrap();
        let open = |way| {
            let mut seen = Seen::default();
            seen.open_diary(dir.path(), way);
            seen
        };
        let mut first = open(1);
        first.add(trace(1));
        first.add(trace(2));
        first.write();
        let mut second = open(2);
        assert_eq!(second.why(trace(1)), Some(Gone::Elsewhere));
        second.add(trace(2));
        second.write();
        assert_eq!(second.why(trace(2)), Some(Gone::Evicted));
        let third = open(1);
        assert_eq!(
            [1, 2, 3].map(|i| third.why(trace(i))),
            [Some(Gone::Lost), Some(Gone::Lost), None]
        );
        assert_eq!(open(3).why(trace(2)), Some(Gone::Elsewhere));
    }
}
