//! Drafts change speed alone: whatever they say, the tokens are those of plain decoding, and the cache
//! that is left behind is as good.

use super::{drain, engine, job};
use cerium_engine::{
    DRAFT_TOKENS_MAX, Draft, DraftCounts, DraftKind, Drafter, Drafts, Engine, EngineOptions,
    FinishReason, Job, Sampling,
};

/// Guesses with a known relation to the truth.
#[derive(Debug)]
struct Guess {
    truth: Vec<u32>,
    /// Every so-manyth token is another one; 0 is none.
    wrong_every: usize,
    support: usize,
}

impl Drafter for Guess {
    fn draft(&mut self, output: &[u32], n_max: usize) -> Option<Draft> {
        let wrong = |i: usize| self.wrong_every > 0 && (i + 1).is_multiple_of(self.wrong_every);
        let guess = |i: usize| {
            let id = self.truth.get(i).copied().unwrap_or(3);
            if wrong(i) { id ^ 1 } else { id }
        };
        // More than was asked for: nobody relies on a guess to be short.
        let ids = (output.len()..).map(guess).take(n_max + 2).collect();
        Some(Draft { ids, kind: DraftKind::Copy, support: self.support })
    }
}

pub(crate) fn samplings() -> [Sampling; 5] {
    let plain = Sampling::default;
    [
        plain(),
        Sampling { temperature: 0.7, top_p: 0.9, seed: 11, ..plain() },
        Sampling { temperature: 1.2, min_p: 0.02, repetition_penalty: 1.2, seed: 5, ..plain() },
        Sampling { repetition_penalty: 1.4, ..plain() },
        Sampling {
            frequency_penalty: 0.3,
            presence_penalty: 0.2,
            logit_bias: vec![(260, 1.5), (28, -2.0)],
            ..plain()
        },
    ]
}

/// A job whose guesses are wrong at every so-manyth token.
pub(crate) fn guessed(job: Job, truth: &[u32], wrong_every: usize, support: usize) -> Job {
    let guess = Guess { truth: truth.to_vec(), wrong_every, support };
    Job { drafts: Drafts { drafter: Some(Box::new(guess)), repeats: false }, ..job }
}

pub(crate) fn plain(job: Job) -> Job {
    Job { drafts: Drafts::none(), ..job }
}

/// Everything that drafts may do, against a job without any.
fn check(engine: &Engine, make: &dyn Fn() -> Job) -> [DraftCounts; DraftKind::ALL.len()] {
    let (truth, _, plain_end) = drain(engine, plain(make()));
    assert_eq!(plain_end.stats.n_drafted(), 0);
    let mut sum = [DraftCounts::default(); DraftKind::ALL.len()];
    let kinds = [(0, 40), (1, 0), (3, 40), (7, 8)];
    let guesses = kinds.map(|(wrong_every, support)| {
        (format!("{wrong_every}/{support}"), guessed(make(), &truth, wrong_every, support))
    });
    let others = [("repeats".to_owned(), make())];
    for (name, job) in guesses.into_iter().chain(others) {
        let (tokens, _, end) = drain(engine, job);
        assert_eq!(tokens, truth, "{name}");
        assert_eq!(end.reason, plain_end.reason, "{name}");
        assert_eq!(end.stats.n_output, plain_end.stats.n_output, "{name}");
        for (sum, counts) in sum.iter_mut().zip(end.stats.drafts) {
            assert!(counts.n_accepted <= counts.n_drafted);
            sum.n_drafted += counts.n_drafted;
            sum.n_accepted += counts.n_accepted;
        }
    }
    sum
}

/// Numbers of drafts do not depend on how busy the machine is.
fn steady() -> EngineOptions {
    EngineOptions { learns_pace: false, ..EngineOptions::default() }
}

#[test]
fn tokens_are_those_of_plain_decoding() {
    for n_threads in [1, 2] {
        let engine = engine(n_threads, steady());
        let mut sum = [DraftCounts::default(); DraftKind::ALL.len()];
        for (first, n_prompt) in [(1, 5), (300, 129)] {
            for sampling in samplings() {
                let make = || Job { sampling: sampling.clone(), ..job(first, n_prompt, 64) };
                for (sum, counts) in sum.iter_mut().zip(check(&engine, &make)) {
                    sum.n_drafted += counts.n_drafted;
                    sum.n_accepted += counts.n_accepted;
                }
            }
        }
        let [copy, _, repeat, _] = sum;
        // Both kinds had their say, right and wrong.
        for counts in [copy, repeat] {
            assert!(counts.n_accepted > 100, "{sum:?}");
            assert!(counts.n_drafted > counts.n_accepted + 50, "{sum:?}");
        }
    }
}

#[test]
fn ends_are_those_of_plain_decoding() {
    let options = EngineOptions { n_context: 120, ..EngineOptions::default() };
    let engine = engine(2, options);
    let (truth, ..) = drain(&engine, plain(job(1, 30, 40)));
    for n in [1, 2, 5, 9, 17] {
        let stop_tokens = vec![truth[2 * n]];
        check(&engine, &|| Job { stop_tokens: stop_tokens.clone(), ..job(1, 30, 40) });
        check(&engine, &|| job(1, 30, n));
        check(&engine, &|| job(1, 120 - n as u32, 60));
    }
    // A full context ends it, exactly.
    let (tokens, _, end) = drain(&engine, guessed(job(1, 110, 60), &[], 0, 40));
    assert_eq!((tokens.len(), end.reason), (10, FinishReason::Context));
}

#[test]
fn right_guesses_take_few_steps_and_wrong_ones_cost_little() {
    let engine = engine(2, steady());
    let (truth, _, end) = drain(&engine, plain(job(1, 64, 128)));
    assert_eq!(end.stats.n_steps, 128);
    let (_, _, right) = drain(&engine, guessed(job(1, 64, 128), &truth, 0, 40));
    assert!(right.stats.n_steps <= 128 / (DRAFT_TOKENS_MAX / 4), "{right:?}");
    assert_eq!(right.stats.n_accepted(), 128 - right.stats.n_steps);
    let (_, _, wrong) = drain(&engine, guessed(job(1, 64, 128), &truth, 1, 0));
    assert_eq!((wrong.stats.n_accepted(), wrong.stats.n_steps), (0, 128));
    assert!(wrong.stats.n_drafted() < 20, "{wrong:?}");
}

#[test]
fn what_is_left_in_the_cache_is_right() {
    let engine = engine(2, EngineOptions::default());
    let (truth, ..) = drain(&engine, plain(job(5, 64, 80)));
    drain(&engine, guessed(job(5, 64, 80), &truth, 5, 40));
    // Goes on from the drafted sequence, and from nothing.
    let longer = |prompt: &Job| {
        let prompt = prompt.prompt.iter().chain(&truth[..70]).copied().collect();
        plain(Job { prompt, max_tokens: 30, ..Job::default() })
    };
    let (warm, n_cached, _) = drain(&engine, longer(&job(5, 64, 80)));
    assert!(n_cached >= 128, "{n_cached}");
    let none = EngineOptions { keeps_prefixes: false, ..EngineOptions::default() };
    let (cold, ..) = drain(&super::engine(2, none), longer(&job(5, 64, 80)));
    assert_eq!(warm, cold);
}

#[test]
fn neighbours_with_drafts_do_not_disturb_each_other() {
    let engine = engine(2, EngineOptions::default());
    let make = |i: usize| {
        let sampling = samplings()[i].clone();
        Job { sampling, ..job(40 * i as u32, 20 + 50 * i as u32, 70) }
    };
    let truths: Vec<_> = (0..5).map(|i| drain(&engine, plain(make(i))).0).collect();
    std::thread::scope(|scope| {
        for (i, truth) in truths.iter().enumerate() {
            let (engine, job) = (engine.clone(), guessed(make(i), truth, [0, 1, 3, 9, 4][i], 40));
            scope.spawn(move || assert_eq!(drain(&engine, job).0, *truth, "job {i}"));
        }
    });
}

#[test]
fn a_forced_output_is_the_output() {
    let engine = engine(2, EngineOptions::default());
    let forced: Vec<u32> = (0..40).map(|i| 700 + i % 13).collect();
    let job = Job { forced: forced.clone(), ..job(1, 30, 50) };
    let (tokens, _, end) = drain(&engine, job);
    assert_eq!((&tokens[..40], tokens.len()), (&forced[..], 50));
    // It repeats itself, which is noticed.
    assert!(end.stats.n_steps < 40, "{end:?}");
}
