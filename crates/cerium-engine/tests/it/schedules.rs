//! Whatever else runs, waits, is called off or is not read, and whatever it was before: a job's tokens are those
//! of the job alone.

use super::{drain, tiny};
use cerium_engine::{
    Class, Drafts, Engine, EngineOptions, FinishReason, Job, Sampling, Steer, Step, SubmitError,
};
use std::collections::HashMap;
use std::thread;
use std::time::Duration;

/// Numbers that are the same in every run: `SplitMix64`.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % n
    }
}

/// One of a few dozen jobs, many of which begin alike.
fn job(i: u64) -> Job {
    let mut dice = Dice(i);
    let (family, n_prompt) = (dice.below(3) as u32, 1 + dice.below(300) as u32);
    let mut prompt: Vec<u32> = (0..n_prompt).map(|k| (family * 29 + k * 13) % 97).collect();
    prompt.push(dice.below(97) as u32);
    let sampling = match dice.below(3) {
        0 => Sampling { temperature: 0.9, seed: i, ..Sampling::default() },
        1 => Sampling { repetition_penalty: 1.2, ..Sampling::default() },
        _ => Sampling::default(),
    };
    let drafts = if dice.below(2) == 0 { Drafts::none() } else { Drafts::default() };
    let max_tokens = dice.below(60) as usize;
    Job { prompt, sampling, drafts, max_tokens, ..Job::default() }
}

const N_JOBS: u64 = 40;

/// What has a generation become another job, as far as the two do not begin alike.
fn steer(sequence: &[u32], other: Job) -> Steer {
    let n_kept = sequence.iter().zip(&other.prompt).take_while(|(a, b)| a == b).count();
    let Job { max_tokens, sampling, drafts, .. } = other;
    Steer { n_kept, tokens: other.prompt[n_kept..].to_vec(), max_tokens, sampling, drafts }
}

/// Does something with a random job, and demands of it what can be.
fn act(engine: &Engine, truth: &HashMap<u64, Vec<u32>>, dice: &mut Dice) {
    let mut i = dice.below(N_JOBS);
    let class = if dice.below(3) == 0 { Class::Background } else { Class::Interactive };
    // Busy is an answer too.
    let Ok(mut generation) = engine.submit(Job { class, ..job(i) }) else { return };
    let (mut tokens, mut turns, slow) = (Vec::new(), false, dice.below(4) == 0);
    let turn_at = dice.below(60) as usize;
    while let Some(step) = generation.next() {
        match step {
            Step::Queued { .. } | Step::Prefilled { .. } => {}
            Step::Token { .. } if turns => {}
            Step::Token { id, .. } => tokens.push(id),
            Step::Steered { .. } => turns = false,
            // It was over before it could become another one.
            Step::Done(_) if turns => return,
            Step::Done(end) => {
                let whole = end.reason != FinishReason::Cancelled;
                let want = &truth[&i][..if whole { truth[&i].len() } else { tokens.len() }];
                assert_eq!(tokens, want, "job {i}");
                return;
            }
        }
        if slow {
            thread::sleep(Duration::from_micros(dice.below(3000)));
        }
        if tokens.len() == turn_at && !turns {
            match dice.below(4) {
                0 => return, // It goes with its generation.
                1 => generation.cancel(),
                2 => {
                    let sequence = [job(i).prompt, std::mem::take(&mut tokens)].concat();
                    i = dice.below(N_JOBS);
                    generation.steer(steer(&sequence, job(i))).unwrap();
                    turns = true;
                }
                _ => {}
            }
        }
    }
    panic!("no end");
}

#[test]
fn tokens_do_not_depend_on_the_schedule() {
    let alone = tiny(1, EngineOptions { keeps_prefixes: false, ..EngineOptions::default() });
    let truth: HashMap<u64, Vec<u32>> = (0..N_JOBS)
        .map(|i| (i, drain(&alone, Job { drafts: Drafts::none(), ..job(i) }).0))
        .collect();
    let engine = tiny(2, EngineOptions { n_queued_max: 3, ..EngineOptions::default() });
    thread::scope(|scope| {
        for client in 0..9 {
            let (engine, truth) = (&engine, &truth);
            scope.spawn(move || {
                let mut dice = Dice(1000 + client);
                for _ in 0..60 {
                    act(engine, truth, &mut dice);
                }
            });
        }
    });
}

#[test]
fn background_work_leaves_places_to_people() {
    let options = EngineOptions { n_running_max: 2, n_queued_max: 2, ..EngineOptions::default() };
    let engine = tiny(1, options);
    let submit = |class| {
        engine.submit(Job { class, ..Job { prompt: vec![1], max_tokens: 400, ..Job::default() } })
    };
    let warming: Vec<_> = (0..3).map(|_| submit(Class::Background)).collect();
    let busy = SubmitError::Busy { n_waiting: 2, wait: None };
    assert_eq!(warming[2].as_ref().unwrap_err(), &busy);
    assert!(submit(Class::Interactive).is_ok());
}

#[test]
fn a_prompt_alone_is_computed_for_those_that_begin_with_it() {
    let engine = tiny(1, EngineOptions::default());
    let prompt: Vec<u32> = (0..200).map(|i| i * 7 % 97).collect();
    let warm = Job { prompt: prompt.clone(), class: Class::Background, ..Job::default() };
    let (tokens, _, end) = drain(&engine, warm);
    assert_eq!((tokens.len(), end.reason), (0, FinishReason::Length));
    assert_eq!((end.stats.n_prompt, end.stats.n_cached, end.stats.n_output), (200, 0, 0));
    let (_, n_cached, _) = drain(&engine, Job { prompt, max_tokens: 3, ..Job::default() });
    assert_eq!(n_cached, 199);
}

#[test]
fn what_is_interactive_overtakes_what_is_not() {
    let engine = super::engine(2, EngineOptions::default());
    let warm = Job { class: Class::Background, ..super::job(3, 6000, 0) };
    let mut warm = engine.submit(warm).unwrap();
    thread::sleep(Duration::from_millis(50));
    for i in 0..3 {
        drain(&engine, super::job(i, 30, 4));
    }
    warm.cancel();
    let steps: Vec<Step> = std::iter::from_fn(|| warm.next()).collect();
    let [Step::Done(end)] = &steps[..] else { panic!("it was ready before: {steps:?}") };
    assert_eq!(end.reason, FinishReason::Cancelled);
}
