//! Logits of real models against an independent reference, and the promise that a position's
//! logits are the same bits in any batch and on any number of threads.

use crate::golden::{Golden, Score, score};
use crate::steps;
use cerium_model::{Cpu, KvCache, KvFormat, Model, Opening, Segment, Wanted, argmax};
use std::sync::atomic::AtomicBool;

fn load(name: &str, cpu: Cpu, n_threads: usize) -> Model {
    steps::load(&cerium_hub::test_model(name), cpu, n_threads)
}

/// Logits of every position of `tokens`, computed in batches of the given sizes, over and over.
fn logits(model: &mut Model, tokens: &[u32], batches: &[usize]) -> Vec<f32> {
    let kv = KvCache::new(model.config());
    steps::logits(model, kv, tokens, batches)
}

fn scored(name: &str, segments: &[usize], opening: Opening) -> (Score, Score) {
    let golden = Golden::of(name);
    let mut model = load(name, Cpu::best(), 2);
    let n_vocab = model.config().n_vocab;
    let mut current = (usize::MAX, Vec::new());
    let ours = score(&golden, segments, |segment, position| {
        if current.0 != segment {
            let (kv, tokens) =
                (KvCache::open(model.config(), opening), &golden.segments[segment].tokens);
            current = (segment, steps::logits(&mut model, kv, tokens, &[128]));
        }
        current.1[position * n_vocab..][..n_vocab].to_vec()
    });
    (ours, golden.best_peer(segments))
}

#[test]
fn the_135m_agrees_with_the_reference() {
    let (ours, peer) = scored("smollm2-135m", &[0, 1, 2], Opening::default());
    eprintln!("ours {ours:?}, llama.cpp {peer:?}");
    assert!(ours.n_positions >= 1000);
    assert!(ours.top1 >= 0.985, "{ours:?}");
    assert!(ours.mean_kl <= 1.05 * peer.mean_kl, "{ours:?} against {peer:?}");
}

#[test]
fn the_default_model_agrees_with_the_reference() {
    let (ours, peer) = scored("qwen2.5-coder-0.5b", &[0, 1, 2], Opening::default());
    eprintln!("ours {ours:?}, llama.cpp {peer:?}");
    assert!(ours.n_positions >= 1000);
    assert!(ours.top1 >= 0.985, "{ours:?}");
    assert!(ours.mean_kl <= 1.05 * peer.mean_kl, "{ours:?} against {peer:?}");
}

/// With halves the mean divergence from the reference is 4.8e-7 (top-1 99.9%), with bytes 1.9e-4 (99.2%).
#[test]
fn keys_and_values_of_8_bits_stay_close() {
    let opening = Opening { format: KvFormat::Q8, ..Opening::default() };
    let (bytes, _) = scored("smollm2-135m", &[0, 1, 2], opening);
    eprintln!("8 bits {bytes:?}");
    assert!(bytes.top1 >= 0.985 && bytes.mean_kl <= 2.2e-4, "{bytes:?}");
}

/// What 8 bits cost in larger models, on real text: `cargo test -p cerium-model --release --test it
/// what_8_bits_cost -- --ignored --nocapture`.
#[test]
#[ignore = "a minute, and a model that no other test needs"]
fn what_8_bits_cost() {
    let golden = Golden::of("qwen2.5-coder-0.5b");
    for name in ["qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"] {
        let mut model = load(name, Cpu::best(), 2);
        let n_vocab = model.config().n_vocab;
        let (mut n_same, mut sum, mut n) = (0, 0.0, 0);
        for segment in &golden.segments {
            let [halves, bytes] = [KvFormat::F16, KvFormat::Q8].map(|format| {
                let kv = KvCache::open(model.config(), Opening { format, ..Opening::default() });
                steps::logits(&mut model, kv, &segment.tokens, &[128])
            });
            for (halves, bytes) in halves.chunks(n_vocab).zip(bytes.chunks(n_vocab)) {
                n_same += usize::from(argmax(halves) == argmax(bytes));
                sum += divergence(halves, bytes);
                n += 1;
            }
        }
        let (same, kl) = (n_same as f64 / f64::from(n), sum / f64::from(n));
        eprintln!("{name}: {n} positions, the same token at {same:.4}, mean divergence {kl:.5}");
        assert!(same >= 0.97 && kl <= 0.004, "{name}");
    }
}

/// KL divergence of the second distribution from the first, in nats.
fn divergence(p: &[f32], q: &[f32]) -> f64 {
    let log_sum = |logits: &[f32]| logits.iter().map(|&x| f64::from(x).exp()).sum::<f64>().ln();
    let (log_p, log_q) = (log_sum(p), log_sum(q));
    let term = |(&p, &q): (&f32, &f32)| {
        let (p, q) = (f64::from(p) - log_p, f64::from(q) - log_q);
        p.exp() * (p - q)
    };
    p.iter().zip(q).map(term).sum()
}

#[test]
fn batches_threads_and_paths_do_not_change_a_bit() {
    let tokens = &Golden::of("smollm2-135m").segments[0].tokens[..150];
    let bits = |logits: Vec<f32>| logits.into_iter().map(f32::to_bits).collect::<Vec<_>>();
    let mut model = load("smollm2-135m", Cpu::best(), 2);
    let want = bits(logits(&mut model, tokens, &[64]));
    for batches in [&[1][..], &[2], &[7], &[150], &[64, 1, 7, 2]] {
        assert!(bits(logits(&mut model, tokens, batches)) == want, "batches of {batches:?}");
    }
    for n_threads in [1, 3] {
        let mut model = load("smollm2-135m", Cpu::best(), n_threads);
        assert!(bits(logits(&mut model, tokens, &[64, 1])) == want, "{n_threads} threads");
    }
}

#[test]
fn neighbours_in_a_batch_do_not_change_a_bit() {
    let mut model = load("smollm2-135m", Cpu::best(), 2);
    let n_vocab = model.config().n_vocab;
    let (a, b): (Vec<u32>, Vec<u32>) = ((100..170).collect(), (5000..5033).collect());
    let alone = [logits(&mut model, &a, &[70]), logits(&mut model, &b, &[33])];
    let (mut kv_a, mut kv_b) = (KvCache::new(model.config()), KvCache::new(model.config()));
    let abort = AtomicBool::new(false);
    let mut together = [Vec::new(), Vec::new()];
    for (a, b) in [(&a[..3], &b[..30]), (&a[3..69], &b[30..31]), (&a[69..], &b[31..])] {
        let mut segments = [
            Segment { kv: &mut kv_a, tokens: a, wanted: Wanted::Logits(a.len()) },
            Segment { kv: &mut kv_b, tokens: b, wanted: Wanted::Logits(b.len()) },
        ];
        let outputs = model.forward(&mut segments, &abort).unwrap();
        let (of_a, of_b) = outputs.logits.split_at(a.len() * n_vocab);
        together[0].extend_from_slice(of_a);
        together[1].extend_from_slice(of_b);
    }
    assert!(together == alone);
}
