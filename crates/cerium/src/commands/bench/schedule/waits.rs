//! Jobs that are called off, redirected or beside others, and what is waited for them.

use anyhow::{Context as _, Result, bail};
use cerium_engine::{Class, Drafts, Engine, Generation, Job, Sampling, Steer, Step};
use std::thread;
use std::time::{Duration, Instant};

/// Tokens of a request that somebody waits for.
const N_REQUEST: usize = 200;

/// Tokens of an instruction that an answer is redirected with.
const N_INSTRUCTION: usize = 16;

/// Tokens between two redirections.
const N_BETWEEN: usize = 12;

/// Longest time until a cancel.
const CANCEL_AFTER_MS: u64 = 300;

/// An engine and a stock of prompts that nobody has seen.
pub(super) struct World {
    engine: Engine,
    n_vocab: u32,
    dice: u64,
}

impl World {
    pub(super) fn new(engine: Engine, n_vocab: u32) -> Self {
        Self { engine, n_vocab, dice: 1 }
    }

    /// `Xorshift64`: the same in every run.
    fn below(&mut self, n: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % n
    }

    fn prompt(&mut self, n: usize) -> Vec<u32> {
        let n_vocab = u64::from(self.n_vocab);
        (0..n).map(|_| self.below(n_vocab) as u32).collect()
    }

    fn submit(&self, prompt: &[u32], max_tokens: usize, class: Class) -> Result<Generation> {
        let prompt = prompt.to_vec();
        Ok(self.engine.submit(Job { prompt, max_tokens, class, ..Job::default() })?)
    }

    /// Cancels at random moments while a prompt of `n_long` is read, which goes on from where it was, and while
    /// an answer is written; until the engine has let go.
    pub(super) fn cancels(&mut self, n: usize, n_long: usize) -> Result<[Vec<Duration>; 2]> {
        let mut waits = [Vec::new(), Vec::new()];
        let (mut long, short) = (self.prompt(n_long), self.prompt(N_REQUEST));
        while waits.iter().any(|waits| waits.len() < n) {
            let writes = waits[0].len() >= n;
            let prompt = if writes { &short } else { &long };
            let mut generation = self.submit(prompt, 4000, Class::Interactive)?;
            if writes {
                wait_for_token(&mut generation)?;
            }
            thread::sleep(Duration::from_millis(self.below(CANCEL_AFTER_MS)));
            let start = Instant::now();
            generation.cancel();
            let mut wrote = false;
            while let Some(step) = generation.next() {
                wrote |= matches!(step, Step::Prefilled { .. });
            }
            let wait = start.elapsed();
            if writes {
                waits[1].push(wait);
            } else if wrote {
                long = self.prompt(n_long);
            } else {
                waits[0].push(wait);
            }
        }
        Ok(waits)
    }

    /// Redirects an answer after `n_before` tokens again and again; and whether what follows in the end is what
    /// would follow afresh.
    pub(super) fn steers(&mut self, n: usize, n_before: usize) -> Result<(Vec<Duration>, bool)> {
        let mut sequence = self.prompt(n_before);
        let max_tokens = 4000;
        let mut generation = self.submit(&sequence, max_tokens, Class::Interactive)?;
        sequence.extend(tokens(&mut generation, N_BETWEEN)?);
        let mut waits = Vec::new();
        let mut fresh = Vec::new();
        for _ in 0..n {
            let said = self.prompt(N_INSTRUCTION);
            let steer = Steer {
                n_kept: sequence.len(),
                tokens: said.clone(),
                max_tokens,
                sampling: Sampling::default(),
                drafts: Drafts::default(),
            };
            let start = Instant::now();
            generation.steer(steer)?;
            while !matches!(next(&mut generation)?, Step::Steered { .. }) {}
            let first = wait_for_token(&mut generation)?;
            waits.push(start.elapsed());
            sequence.extend(said);
            fresh.clone_from(&sequence);
            sequence.push(first);
            sequence.extend(tokens(&mut generation, N_BETWEEN - 1)?);
        }
        generation.cancel();
        let mut fresh = self.submit(&fresh, N_BETWEEN, Class::Interactive)?;
        let is_same = sequence.ends_with(&tokens(&mut fresh, N_BETWEEN)?);
        Ok((waits, is_same))
    }

    /// Waits for the first token of a request, alone or while a prompt of so many tokens is read in the
    /// background.
    pub(super) fn first_tokens(
        &mut self,
        n: usize,
        beside: Option<usize>,
    ) -> Result<Vec<Duration>> {
        let mut waits = Vec::new();
        let mut reading = None;
        for _ in 0..n {
            if let Some(n_long) = beside {
                if !reading.as_mut().is_some_and(is_reading) {
                    let prompt = self.prompt(n_long);
                    reading = Some(self.submit(&prompt, 0, Class::Background)?);
                }
                thread::sleep(Duration::from_millis(100 + self.below(CANCEL_AFTER_MS)));
            }
            let prompt = self.prompt(N_REQUEST);
            let start = Instant::now();
            let mut generation = self.submit(&prompt, 1, Class::Interactive)?;
            wait_for_token(&mut generation)?;
            waits.push(start.elapsed());
        }
        Ok(waits)
    }

    /// Tokens per second of all streams together, and of each.
    pub(super) fn streams(&mut self, n: usize, n_tokens: usize) -> Result<(f64, Vec<f64>)> {
        let prompts: Vec<_> = (0..n).map(|_| self.prompt(N_REQUEST)).collect();
        let submit = |prompt| {
            let drafts = Drafts::none();
            let job = Job { prompt, max_tokens: n_tokens, drafts, ..Job::default() };
            Ok::<_, anyhow::Error>(self.engine.submit(job)?)
        };
        let mut all = prompts.into_iter().map(submit).collect::<Result<Vec<_>>>()?;
        for generation in &mut all {
            wait_for_token(generation)?;
        }
        let start = Instant::now();
        let read = |mut generation: Generation| {
            let n = std::iter::from_fn(|| generation.next())
                .filter(|step| matches!(step, Step::Token { .. }))
                .count();
            (n, start.elapsed().as_secs_f64())
        };
        let ends: Vec<(usize, f64)> = thread::scope(|scope| {
            let readers: Vec<_> =
                all.into_iter().map(|one| scope.spawn(move || read(one))).collect();
            readers.into_iter().map(|reader| reader.join().unwrap_or_default()).collect()
        });
        let n_all: usize = ends.iter().map(|(n, _)| n).sum();
        let longest = ends.iter().map(|&(_, s)| s).fold(0.0, f64::max);
        let shares = ends.into_iter().map(|(n, s)| n as f64 / s).collect();
        Ok((n_all as f64 / longest, shares))
    }
}

fn next(generation: &mut Generation) -> Result<Step> {
    generation.next().context("the engine stopped")
}

fn wait_for_token(generation: &mut Generation) -> Result<u32> {
    loop {
        match next(generation)? {
            Step::Token { id, .. } => return Ok(id),
            Step::Done(finish) => bail!("no token came: {:?}", finish.reason),
            Step::Queued { .. } | Step::Prefilled { .. } | Step::Steered { .. } => {}
        }
    }
}

fn tokens(generation: &mut Generation, n: usize) -> Result<Vec<u32>> {
    (0..n).map(|_| wait_for_token(generation)).collect()
}

/// Whether a prompt is still being read.
fn is_reading(generation: &mut Generation) -> bool {
    generation.try_next().is_none()
}
