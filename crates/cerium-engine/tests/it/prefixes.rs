//! What is kept of earlier prompts changes speed alone: tokens are those of an engine that keeps nothing,
//! however little memory there is and whoever runs beside.

use super::{drain, job};
use cerium_engine::{
    Class, Drafts, Engine, EngineOptions, Finish, Job, Sampling, Steer, Step, SubmitError,
};
use cerium_model::{Cpu, KvCache, KvFormat, Model, file::ModelFile};
use std::path::Path;
use std::thread;

/// An engine with a tiny model and memory for so many pages.
fn engine(n_pages: usize, options: &EngineOptions) -> Engine {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cerium-model/tests/data/tiny");
    let file = ModelFile::open(&data.join("llama-float.gguf")).unwrap();
    let model = Model::load(file, Cpu::best(), 2).unwrap();
    let kv_bytes_max = n_pages * KvCache::n_bytes(model.config(), options.kv, 64);
    Engine::start(model, EngineOptions { kv_bytes_max, ..options.clone() })
}

/// The `i`th of prompts that share beginnings of many lengths.
fn shared(i: usize) -> Job {
    let (base, n_base, n_tail) = (i % 3, (i * 67) % 250, 1 + (i * 29) % 80);
    let token = |seed: usize, at: usize| 3 + ((seed * 31 + at * 7) % 200) as u32;
    let prompt = (0..n_base).map(|at| token(base, at));
    let prompt = prompt.chain((0..n_tail).map(|at| token(10 + i % 5, at))).collect();
    let sampled = Sampling { temperature: 0.9, seed: i as u64, ..Sampling::default() };
    let sampling = if i.is_multiple_of(2) { Sampling::default() } else { sampled };
    Job { prompt, sampling, max_tokens: 5 + i * 13 % 60, ..Job::default() }
}

#[test]
fn tokens_are_those_of_a_cold_engine_however_little_is_kept() {
    const N: usize = 60;
    for kv in [KvFormat::F16, KvFormat::Q8] {
        let cold = EngineOptions { keeps_prefixes: false, kv, ..EngineOptions::default() };
        let cold = engine(100, &cold);
        let plain = |i| Job { drafts: Drafts::none(), ..shared(i) };
        let want: Vec<_> = (0..N).map(|i| drain(&cold, plain(i)).0).collect();
        for n_pages in [7, 12, 400] {
            let engine = engine(n_pages, &EngineOptions { kv, ..EngineOptions::default() });
            let n_cached: usize = thread::scope(|scope| {
                let run = |first: usize| {
                    let (engine, want) = (engine.clone(), &want);
                    scope.spawn(move || {
                        let each = |i: usize| {
                            let (tokens, n_cached, _) = drain(&engine, shared(i));
                            assert_eq!(tokens, want[i], "job {i}, {n_pages} pages, {kv:?}");
                            n_cached
                        };
                        (0..N).map(|i| each((first + i * 7) % N)).sum::<usize>()
                    })
                };
                let threads: Vec<_> = (0..4).map(|i| run(i * 11)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).sum()
            });
            assert!(n_cached > 0, "{n_pages} pages");
        }
    }
}

#[test]
fn a_prompt_that_others_are_computing_is_not_computed_twice() {
    let engine = engine(100, &EngineOptions::default());
    let make = || Job { prompt: (0..450).map(|i| 3 + i % 211).collect(), ..shared(0) };
    let jobs: Vec<_> = (0..4).map(|_| engine.submit(make()).unwrap()).collect();
    let ends = jobs.into_iter().map(|mut job| {
        loop {
            if let Step::Done(finish) = job.next().unwrap() {
                break *finish;
            }
        }
    });
    let ends: Vec<Finish> = ends.collect();
    let n_computed: usize = ends.iter().map(|end| end.stats.n_prompt - end.stats.n_cached).sum();
    // Each of the three others computes its last token, for what follows it.
    assert_eq!(n_computed, 450 + 3);
}

/// More of them than there are places, which candidates of one answer do not need.
#[test]
fn candidates_run_side_by_side_and_read_their_prompt_once() {
    let options = EngineOptions { n_running_max: 1, ..EngineOptions::default() };
    let engine = engine(100, &options);
    let make = |seed, family| {
        let sampling = Sampling { temperature: 0.9, seed, ..Sampling::default() };
        let prompt = (0..100).map(|i| 3 + i % 89).collect();
        let drafts = Drafts::none();
        Job { prompt, sampling, family, drafts, max_tokens: 200, ..Job::default() }
    };
    let want: Vec<_> = (0..6).map(|seed| drain(&engine, make(seed, None)).0).collect();
    let other = Job { prompt: vec![7; 30], max_tokens: 20, ..Job::default() };
    let engine = self::engine(100, &options);
    let mut jobs: Vec<_> = (0..6).map(|seed| engine.submit(make(seed, Some(9))).unwrap()).collect();
    let mut other = engine.submit(other).unwrap();
    let mut tokens = vec![Vec::new(); 6];
    let mut n_computed = 0;
    for (job, tokens) in jobs.iter_mut().zip(&mut tokens) {
        while let Some(step) = job.next() {
            match step {
                Step::Token { id, .. } => tokens.push(id),
                Step::Done(end) => n_computed += end.stats.n_prompt - end.stats.n_cached,
                Step::Queued { .. } => panic!("it has to wait for its kin"),
                _ => {}
            }
        }
    }
    assert_eq!(tokens, want);
    assert_eq!(n_computed, 100 + 5);
    while other.next().is_some() {}
}

#[test]
fn what_memory_does_not_hold_waits_or_is_refused() {
    let engine = engine(4, &EngineOptions::default());
    assert_eq!(engine.n_context(), 256);
    let long = SubmitError::PromptTooLong { n_prompt: 256, n_context: 256 };
    assert_eq!(engine.submit(job(1, 256, 5)).unwrap_err(), long);
    // Each may take all of it: they run one after the other, and all of them end.
    let make = |i: u32| Job { prompt: (0..100).map(|at| 3 + (at * i) % 97).collect(), ..shared(0) };
    let jobs = (0..4).map(|i| engine.submit(Job { max_tokens: 1000, ..make(i) }).unwrap());
    for mut job in jobs.collect::<Vec<_>>() {
        let mut n = 0;
        while let Some(step) = job.next() {
            n += usize::from(matches!(step, Step::Token { .. }));
        }
        assert_eq!(n, 156);
    }
}

#[test]
fn what_is_steered_beyond_the_memory_there_is_waits() {
    let engine = engine(4, &EngineOptions::default());
    let make = |max_tokens, first: usize| {
        let prompt = shared(2).prompt[first..first + 60].to_vec();
        Job { prompt, max_tokens, drafts: Drafts::none(), ..shared(2) }
    };
    let truths = [0, 7].map(|first| drain(&engine, make(1000, first)).0);
    assert_eq!(truths[0].len(), 196);
    // A page and two; then the first one wants all four.
    let mut steered = engine.submit(make(2, 0)).unwrap();
    let mut beside = engine.submit(make(60, 7)).unwrap();
    let (sampling, drafts) = (make(0, 0).sampling, Drafts::none());
    let steer = Steer { n_kept: 60, tokens: Vec::new(), max_tokens: 1000, sampling, drafts };
    steered.steer(steer).unwrap();
    let mut tokens = Vec::new();
    while let Some(step) = steered.next() {
        match step {
            Step::Steered { .. } => tokens.clear(),
            Step::Token { id, .. } => tokens.push(id),
            _ => {}
        }
    }
    // It may have ended before it was steered.
    assert!(tokens == truths[0] || tokens == truths[0][..2], "{tokens:?}");
    let mut tokens = Vec::new();
    while let Some(step) = beside.next() {
        if let Step::Token { id, .. } = step {
            tokens.push(id);
        }
    }
    assert_eq!(tokens, truths[1][..60]);
}

#[test]
fn background_work_gives_its_memory_to_people_and_goes_on_later() {
    let engine = engine(7, &EngineOptions::default());
    let draft = |class, prompt: Vec<u32>, max_tokens| {
        let drafts = Drafts::none();
        Job { prompt, max_tokens, class, drafts, ..Job::default() }
    };
    let background = || draft(Class::Background, vec![5; 20], 400);
    let want = drain(&engine, background()).0;
    // It waits for its reader, with all of the memory, before it is done.
    let mut waiting = engine.submit(background()).unwrap();
    let mut tokens = Vec::new();
    while tokens.len() < 40 {
        if let Step::Token { id, .. } = waiting.next().unwrap() {
            tokens.push(id);
        }
    }
    let (asked, ..) = drain(&engine, draft(Class::Interactive, vec![9; 300], 50));
    assert_eq!(asked.len(), 50);
    let mut n_prefilled = 0;
    while let Some(step) = waiting.next() {
        match step {
            Step::Token { id, .. } => tokens.push(id),
            Step::Prefilled { .. } => n_prefilled += 1,
            _ => {}
        }
    }
    assert_eq!((tokens, n_prefilled), (want, 0));
}

#[test]
fn a_prompt_is_told_where_it_left_what_was_known_and_why() {
    let parting = |engine: &Engine, prompt: Vec<u32>| {
        let job = Job { prompt, max_tokens: 1, drafts: Drafts::none(), ..Job::default() };
        drain(engine, job).2.stats.parting
    };
    let text =
        |first: u32, n: u32| (0..n).map(|i| 3 + (first * 31 + i * 7) % 200).collect::<Vec<_>>();
    let engine = engine(8, &EngineOptions::default());
    let first = text(1, 150);
    let parted = parting(&engine, first.clone()).unwrap();
    assert_eq!(
        (parted.n_known, parted.beside.len(), parted.gone),
        (0, 0, None),
        "nothing is known"
    );
    // All but the last token is known.
    assert_eq!(parting(&engine, first.clone()), None);
    // Within a page, and between two; what is told goes over the end of a page.
    for n_shared in [100, 120, 128] {
        let other = [&first[..n_shared], &[201, 202, 203][..]].concat();
        let parted = parting(&engine, other).unwrap();
        assert_eq!((parted.n_known, parted.gone), (n_shared, None));
        assert_eq!(parted.beside[..16], first[n_shared..n_shared + 16]);
    }
    // Where what is known ends, nothing stands beside.
    let longer = [&first[..], &text(9, 20)].concat();
    let ends = parting(&engine, longer.clone()).unwrap();
    assert!(ends.n_known >= 149 && ends.beside.len() < 2, "{ends:?}");
    // Others need the memory.
    for i in 20..30 {
        parting(&engine, text(i, 300));
    }
    let gone = parting(&engine, first).unwrap();
    let (why, n_gone) = gone.gone.unwrap();
    assert_eq!((why, gone.n_known + n_gone), (cerium_engine::Gone::Evicted, 128));
}
