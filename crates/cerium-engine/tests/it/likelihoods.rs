//! Likelihoods are those of the model's own logits, and to the bit the same whoever runs beside, whatever
//! is drafted and kept.

use super::{engine, job};
use cerium_engine::{Drafts, Engine, EngineOptions, Job, Likelihood, Sampling, Step};
use cerium_model::{Cpu, KvCache, Model, Segment, Wanted, file::ModelFile};
use std::sync::atomic::AtomicBool;

const N_TOP: usize = 5;

fn drain(engine: &Engine, job: Job) -> Vec<(u32, Option<Likelihood>)> {
    let mut generation = engine.submit(job).unwrap();
    let mut tokens = Vec::new();
    while let Some(step) = generation.next() {
        if let Step::Token { id, likelihood, .. } = step {
            tokens.push((id, likelihood.map(|it| *it)));
        }
    }
    tokens
}

fn samplings() -> [Sampling; 3] {
    [
        Sampling::default(),
        Sampling { temperature: 0.8, top_k: 40, seed: 3, ..Sampling::default() },
        Sampling { repetition_penalty: 1.3, ..Sampling::default() },
    ]
}

/// A prompt that has the model repeat itself, so that there is something to draft.
fn likely(sampling: &Sampling) -> Job {
    let prompt = (0..90).map(|i| 500 + (i % 30) * 37).collect();
    Job { prompt, sampling: sampling.clone(), likelihoods: Some(N_TOP), ..job(0, 1, 40) }
}

#[test]
fn they_are_those_of_the_logits() {
    let engine = engine(2, EngineOptions::default());
    let file = ModelFile::open(&cerium_hub::test_model("smollm2-135m")).unwrap();
    let mut model = Model::load(file, Cpu::best(), 2).unwrap();
    let n_vocab = model.config().n_vocab;
    for sampling in samplings() {
        let told = drain(&engine, likely(&sampling));
        let plain = drain(&engine, Job { likelihoods: None, ..likely(&sampling) });
        let ids =
            |told: &[(u32, Option<Likelihood>)]| told.iter().map(|it| it.0).collect::<Vec<_>>();
        assert_eq!(ids(&told), ids(&plain), "what is told changes nothing");
        assert!(plain.iter().all(|(_, likelihood)| likelihood.is_none()));

        let tokens = [likely(&sampling).prompt, ids(&told)].concat();
        let mut kv = KvCache::new(model.config());
        let wanted = Wanted::Logits(told.len() + 1);
        let segment = Segment { kv: &mut kv, tokens: &tokens, wanted };
        let outputs = model.forward(&mut [segment], &AtomicBool::new(false)).unwrap();
        for ((id, likelihood), logits) in told.iter().zip(outputs.logits.chunks(n_vocab)) {
            let likelihood = likelihood.as_ref().unwrap();
            let total: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
            let want = |id: u32| f64::from(logits[id as usize]) - total.ln();
            let check = |id: u32, got: f32| {
                assert!((f64::from(got) - want(id)).abs() < 2e-5, "{id}: {got} {}", want(id));
            };
            check(*id, likelihood.logprob);
            assert_eq!(likelihood.top.len(), N_TOP);
            likelihood.top.iter().for_each(|&(id, got)| check(id, got));
            // The others are below these.
            let least = f64::from(likelihood.top[N_TOP - 1].1);
            let n_above = (0..n_vocab as u32).filter(|&id| want(id) > least + 2e-5).count();
            assert!(n_above < N_TOP, "{n_above}");
        }
    }
}

#[test]
fn they_are_the_same_bits_however_they_came_about() {
    let cold = EngineOptions { keeps_prefixes: false, ..EngineOptions::default() };
    let alone = engine(1, cold);
    let plain = |sampling: &Sampling| Job { drafts: Drafts::none(), ..likely(sampling) };
    let want = samplings().map(|sampling| drain(&alone, plain(&sampling)));
    let shared = engine(2, EngineOptions::default());
    for round in 0..2 {
        std::thread::scope(|scope| {
            for (sampling, want) in samplings().into_iter().zip(&want) {
                let shared = &shared;
                scope.spawn(move || {
                    assert_eq!(drain(shared, likely(&sampling)), *want, "round {round}");
                });
            }
        });
    }
}
