//! A generation that is steered goes on as a fresh one on the same tokens would, and computes nothing twice.

use super::{drain, tiny};
use cerium_engine::{
    Class, Drafts, Engine, EngineOptions, Finish, FinishReason, Generation, Job, Sampling, Steer,
    Step, SubmitError,
};

fn prompt(n: u32) -> Vec<u32> {
    (0..n).map(|i| i * 13 % 97).collect()
}

fn sampled(seed: u64) -> Sampling {
    Sampling { temperature: 0.8, seed, ..Sampling::default() }
}

/// Reads `n` tokens.
fn read(generation: &mut Generation, n: usize) -> Vec<u32> {
    let mut tokens = Vec::new();
    while tokens.len() < n {
        match generation.next().unwrap() {
            Step::Token { id, .. } => tokens.push(id),
            Step::Queued { .. } | Step::Prefilled { .. } => {}
            step => panic!("{step:?}"),
        }
    }
    tokens
}

/// What comes after the steering.
fn rest(generation: &mut Generation) -> (Vec<u32>, Finish) {
    while !matches!(generation.next().unwrap(), Step::Steered { .. }) {}
    let mut tokens = Vec::new();
    loop {
        match generation.next().unwrap() {
            Step::Token { id, .. } => tokens.push(id),
            Step::Done(finish) => return (tokens, *finish),
            Step::Queued { .. } | Step::Prefilled { .. } => {}
            step @ Step::Steered { .. } => panic!("{step:?}"),
        }
    }
}

fn fresh(prompt: Vec<u32>, sampling: Sampling) -> Vec<u32> {
    let options = EngineOptions { keeps_prefixes: false, ..EngineOptions::default() };
    let job = Job { prompt, sampling, max_tokens: 20, drafts: Drafts::none(), ..Job::default() };
    drain(&tiny(1, options), job).0
}

fn steer(n_kept: usize, tokens: &[u32], sampling: &Sampling) -> Steer {
    let (tokens, sampling) = (tokens.to_vec(), sampling.clone());
    Steer { n_kept, tokens, max_tokens: 20, sampling, drafts: Drafts::default() }
}

/// Generates, steers after `n_read` tokens, and compares.
fn check(engine: &Engine, n_read: usize, n_kept: usize, new: &[u32], sampling: &Sampling) {
    // So many that it waits for its reader before it is done.
    let drafts = Drafts::none();
    let job = Job { prompt: prompt(150), max_tokens: 360, drafts, ..Job::default() };
    let mut generation = engine.submit(job).unwrap();
    let mut sequence = prompt(150);
    sequence.extend(read(&mut generation, n_read));
    generation.steer(steer(n_kept, new, sampling)).unwrap();
    sequence.truncate(n_kept);
    sequence.extend(new);
    let (tokens, finish) = rest(&mut generation);
    assert_eq!(tokens, fresh(sequence.clone(), sampling.clone()), "{n_read} {n_kept} {new:?}");
    assert_eq!((finish.reason, finish.stats.n_output), (FinishReason::Length, 20));
    assert_eq!(finish.stats.n_prompt, sequence.len());
    let n_kept_computed = n_kept.min(sequence.len() - 1).min(149 + n_read);
    assert!(finish.stats.n_cached >= n_kept_computed, "{n_read} {n_kept}: {finish:?}");
}

#[test]
fn it_goes_on_as_if_it_had_begun_like_that() {
    let engine = tiny(2, EngineOptions::default());
    for sampling in [Sampling::default(), sampled(3)] {
        for n_read in [1, 17, 80] {
            // All of it, half of it, none of it and not even the prompt; with and without something new.
            for n_kept in [150 + n_read, 150 + n_read / 2, 150, 70] {
                for new in [&[5, 6, 7, 8][..], &[]] {
                    check(&engine, n_read, n_kept, new, &sampling);
                }
            }
        }
    }
}

#[test]
fn what_waits_can_be_steered_and_what_has_ended_cannot() {
    let options = EngineOptions { n_running_max: 1, ..EngineOptions::default() };
    let engine = tiny(1, options);
    let mut first =
        engine.submit(Job { prompt: prompt(9), max_tokens: 500, ..Job::default() }).unwrap();
    let job = Job { prompt: prompt(20), class: Class::Background, ..Job::default() };
    let mut waiting = engine.submit(job).unwrap();
    waiting.steer(steer(10, &[1, 2], &Sampling::default())).unwrap();
    read(&mut first, 400);
    first.cancel();
    let mut sequence = prompt(10);
    sequence.extend([1, 2]);
    assert_eq!(rest(&mut waiting).0, fresh(sequence, Sampling::default()));

    let mut ended =
        engine.submit(Job { prompt: prompt(9), max_tokens: 3, ..Job::default() }).unwrap();
    while first.next().is_some() {}
    let steps: Vec<Step> = std::iter::from_fn(|| ended.next()).collect();
    ended.steer(steer(10, &[1], &Sampling::default())).unwrap();
    assert!(matches!(steps.last(), Some(Step::Done(_))) && ended.next().is_none());
}

#[test]
fn what_it_goes_on_from_is_checked() {
    let engine = tiny(1, EngineOptions { n_context: 64, ..EngineOptions::default() });
    let generation =
        engine.submit(Job { prompt: prompt(9), max_tokens: 9, ..Job::default() }).unwrap();
    let error = |n_kept, n_new| {
        generation.steer(steer(n_kept, &vec![1; n_new], &Sampling::default())).unwrap_err()
    };
    assert_eq!(error(0, 0), SubmitError::EmptyPrompt);
    let long = SubmitError::PromptTooLong { n_prompt: 64, n_context: 64 };
    assert_eq!(error(4, 60), long);
}
