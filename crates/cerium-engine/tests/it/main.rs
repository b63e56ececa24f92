//! The engine with a real model: what comes out depends on the job alone, a cancel stops it, a
//! kept prefix is used, a slow reader harms nobody.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod drafts;
mod likelihoods;
mod masks;
mod persistence;
mod prefixes;
mod schedules;
mod steering;

use cerium_engine::{
    Engine, EngineOptions, Finish, FinishReason, Job, Sampling, Step, SubmitError,
};
use cerium_model::{Cpu, Model, file::ModelFile};
use std::path::Path;
use std::time::{Duration, Instant};

fn engine(n_threads: usize, options: EngineOptions) -> Engine {
    let file = ModelFile::open(&cerium_hub::test_model("smollm2-135m")).unwrap();
    Engine::start(Model::load(file, Cpu::best(), n_threads).unwrap(), options)
}

/// A model whose steps take no time.
fn tiny(n_threads: usize, options: EngineOptions) -> Engine {
    let path = "../cerium-model/tests/data/tiny/qwen2-legacy.gguf";
    let file = ModelFile::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    Engine::start(Model::load(file, Cpu::best(), n_threads).unwrap(), options)
}

fn job(first: u32, n_prompt: u32, max_tokens: usize) -> Job {
    let prompt = (0..n_prompt).map(|i| 500 + (first + i * 37) % 4000).collect();
    Job { prompt, max_tokens, ..Job::default() }
}

/// All tokens, how many prompt tokens came from a cache, and the end.
fn drain(engine: &Engine, job: Job) -> (Vec<u32>, usize, Finish) {
    let mut generation = engine.submit(job).unwrap();
    let (mut tokens, mut cached) = (Vec::new(), usize::MAX);
    while let Some(step) = generation.next() {
        match step {
            Step::Queued { .. } => {}
            Step::Prefilled { n_cached, .. } => cached = n_cached,
            Step::Token { id, .. } => tokens.push(id),
            Step::Done(finish) => return (tokens, cached, *finish),
            Step::Steered { .. } => panic!("nobody steered it"),
        }
    }
    panic!("the generation ended without `Done`");
}

#[test]
fn output_depends_on_the_job_alone() {
    let engine_alone = engine(1, EngineOptions::default());
    let job = |i: usize| {
        let sampled =
            Sampling { temperature: 0.8, top_k: 50, top_p: 0.95, seed: 7, ..Sampling::default() };
        let penalised = Sampling { repetition_penalty: 1.3, ..Sampling::default() };
        match i {
            0 => job(1, 70, 24),
            1 => Job { sampling: sampled, ..job(900, 20, 24) },
            2 => job(40, 300, 12),
            _ => Job { sampling: penalised, ..job(7, 9, 24) },
        }
    };
    let alone: Vec<_> = (0..4).map(|i| drain(&engine_alone, job(i))).collect();
    assert!(alone.iter().all(|(_, cached, _)| *cached == 0));
    assert_eq!(alone[0].2.reason, FinishReason::Length);
    assert_eq!(alone[0].2.stats.n_output, 24);

    // Two threads, all at once, twice: the second time from the kept sequences.
    let engine = engine(2, EngineOptions::default());
    for round in 0..2 {
        let results: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|i| {
                    let engine = engine.clone();
                    scope.spawn(move || drain(&engine, job(i)))
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for (i, (got, want)) in results.iter().zip(&alone).enumerate() {
            assert_eq!(got.0, want.0, "job {i}, round {round}");
        }
    }
    let (tokens, cached, _) = drain(&engine, job(2));
    assert_eq!((tokens, cached), (alone[2].0.clone(), 299), "all but the last prompt token");
}

#[test]
fn a_stop_token_ends_and_is_not_reported() {
    let engine = engine(2, EngineOptions::default());
    let (tokens, ..) = drain(&engine, job(1, 30, 16));
    let stop = tokens[5];
    let n = tokens.iter().position(|&t| t == stop).unwrap();
    let (stopped, _, finish) = drain(&engine, Job { stop_tokens: vec![stop], ..job(1, 30, 16) });
    assert_eq!((&stopped[..], finish.reason), (&tokens[..n], FinishReason::Stop));
}

#[test]
fn bounds_are_kept() {
    let options = EngineOptions {
        n_context: 64,
        n_running_max: 1,
        n_queued_max: 1,
        ..EngineOptions::default()
    };
    let engine = engine(2, options);
    assert_eq!(engine.submit(Job::default()).unwrap_err(), SubmitError::EmptyPrompt);
    let long = SubmitError::PromptTooLong { n_prompt: 64, n_context: 64 };
    assert_eq!(engine.submit(job(1, 64, 5)).unwrap_err(), long);
    let (tokens, _, finish) = drain(&engine, job(1, 60, 100));
    assert_eq!((tokens.len(), finish.reason), (4, FinishReason::Context));
    let _first = engine.submit(job(1, 10, 1000)).unwrap();
    let _second = engine.submit(job(2, 10, 1000)).unwrap();
    let third = engine.submit(job(3, 10, 1000)).unwrap_err();
    // How long the wait may be is known once an answer was given, if that took a measurable time.
    assert!(matches!(third, SubmitError::Busy { n_waiting: 2, .. }), "{third:?}");
}

#[test]
fn who_heard_the_end_can_hand_in_the_next_job() {
    let options = EngineOptions { n_running_max: 1, n_queued_max: 0, ..EngineOptions::default() };
    let engine = engine(2, options);
    for i in 0..50 {
        assert_eq!(drain(&engine, job(i, 3, 1)).0.len(), 1);
    }
}

#[test]
fn a_cancel_stops_prefill_and_decode_and_leaves_the_rest_alone() {
    let engine = engine(2, EngineOptions::default());
    let want = drain(&engine, job(5, 40, 30)).0;
    let mut long = engine.submit(job(77, 4000, 100)).unwrap();
    let neighbour = engine.submit(job(5, 40, 30)).unwrap();
    long.cancel();
    let end = loop {
        match long.next() {
            Some(Step::Done(finish)) => break finish,
            Some(_) => {}
            None => panic!("no `Done` after a cancel"),
        }
    };
    assert_eq!((end.reason, end.stats.n_output), (FinishReason::Cancelled, 0));
    let mut neighbour = neighbour;
    let mut tokens = Vec::new();
    while let Some(step) = neighbour.next() {
        if let Step::Token { id, .. } = step {
            tokens.push(id);
        }
    }
    assert_eq!(tokens, want);
    // Dropped in the middle: its place becomes free.
    for _ in 0..10 {
        let mut generation = engine.submit(job(9, 30, 10_000)).unwrap();
        while !matches!(generation.next(), Some(Step::Token { .. })) {}
    }
    assert_eq!(drain(&engine, job(5, 40, 30)).0, want);
}

#[test]
fn a_reader_that_does_not_read_parks_its_own_job_only() {
    let engine = engine(2, EngineOptions::default());
    let mut unread = engine.submit(job(3, 20, 600)).unwrap();
    assert!(matches!(unread.next(), Some(Step::Prefilled { .. })));
    // More steps than a channel holds; meanwhile another job must come through.
    let (tokens, ..) = drain(&engine, job(4, 20, 400));
    assert_eq!(tokens.len(), 400);
    // Nothing was lost meanwhile.
    let deadline = Instant::now() + Duration::from_mins(2);
    let mut n = 0;
    while let Some(step) = unread.next() {
        assert!(Instant::now() < deadline, "the parked job did not go on");
        n += usize::from(matches!(step, Step::Token { .. }));
    }
    assert_eq!(n, 600);
}
