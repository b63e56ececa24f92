//! A mask bounds what is generated, and its bounds alone decide: not drafts, nor what it knows beforehand.

use super::{drain, engine, job};
use crate::drafts::{guessed, plain, samplings};
use cerium_engine::{DraftKind, Engine, EngineOptions, FinishReason, Job, Mask};

/// At every fourth place one token alone, elsewhere those of one remainder by three; then an end.
#[derive(Debug)]
struct Pattern {
    n: usize,
    /// Whether it says what it knows beforehand.
    tells: bool,
    words: Vec<u32>,
}

const N: usize = 30;
const END: u32 = 7;

impl Pattern {
    fn new(tells: bool) -> Self {
        Self { n: 0, tells, words: Vec::new() }
    }

    fn only(n: usize) -> Option<u32> {
        match n {
            N.. => Some(END),
            n => n.is_multiple_of(4).then_some(500 + n as u32),
        }
    }

    fn fits(n: usize, id: u32) -> bool {
        Self::only(n).map_or(id as usize % 3 == n % 3, |only| id == only)
    }
}

impl Mask for Pattern {
    fn allowed(&mut self) -> &[u32] {
        self.words = vec![0; 49_152 / 32];
        for id in (0..49_152).filter(|&id| Self::fits(self.n, id)) {
            self.words[id as usize / 32] |= 1 << (id % 32);
        }
        &self.words
    }

    fn accept(&mut self, id: u32) {
        assert!(Self::fits(self.n, id), "{id} is not allowed at {}", self.n);
        self.n += 1;
    }

    fn forced(&mut self, n_max: usize) -> Vec<u32> {
        let known =
            (self.n..=N).map_while(Self::only).take(if self.tells { n_max.min(3) } else { 0 });
        known.collect()
    }
}

fn masked(job: Job, tells: bool) -> Job {
    Job { mask: Some(Box::new(Pattern::new(tells))), stop_tokens: vec![END], ..job }
}

fn check(engine: &Engine, make: &dyn Fn() -> Job) {
    let (truth, _, end) = drain(engine, masked(plain(make()), false));
    assert_eq!((truth.len(), end.reason), (N, FinishReason::Stop));
    assert!(truth.iter().enumerate().all(|(n, &id)| Pattern::fits(n, id)));
    let jobs = [
        masked(plain(make()), true),
        masked(make(), true),
        masked(guessed(make(), &truth, 0, 40), false),
        masked(guessed(make(), &truth, 3, 40), true),
    ];
    for (i, job) in jobs.into_iter().enumerate() {
        let (tokens, _, end) = drain(engine, job);
        assert_eq!((&tokens, end.reason), (&truth, FinishReason::Stop), "{i}");
        let forced = end.stats.drafts[DraftKind::Forced as usize];
        assert_eq!(forced.n_accepted, forced.n_drafted, "{i}: what is forced is right");
        assert!(forced.n_drafted > 0 || i == 2);
    }
}

#[test]
fn a_mask_alone_bounds_the_output() {
    let engine = engine(2, EngineOptions::default());
    for sampling in samplings() {
        check(&engine, &|| Job { sampling: sampling.clone(), ..job(3, 40, 100) });
    }
}
