//! The likeliest token of the screened head is that of all logits, on texts that people wrote, in any batch
//! and on any number of threads.

use crate::golden::Golden;
use crate::steps::{self, load};
use crate::tiny;
use cerium_model::{Cpu, KvCache, Model, Segment, Wanted, argmax};
use std::sync::atomic::AtomicBool;

/// The likeliest token after every position, in batches of the given sizes, over and over: as the step tells
/// it, or from its logits.
fn likeliest(model: &mut Model, tokens: &[u32], batches: &[usize], from_logits: bool) -> Vec<u32> {
    let (n_vocab, kv) = (model.config().n_vocab, KvCache::new(model.config()));
    let wanted = if from_logits { Wanted::Logits } else { Wanted::Likeliest };
    let mut all = Vec::new();
    steps::run(model, kv, tokens, batches, wanted, |outputs| {
        let rows = outputs.logits.chunks_exact(n_vocab);
        all.extend(rows.map(|row| argmax(row).unwrap_or(0) as u32));
        all.extend(outputs.likeliest);
    });
    all
}

#[test]
fn it_is_that_of_all_logits_on_real_texts() {
    for name in ["smollm2-135m", "qwen2.5-coder-0.5b"] {
        let mut model = load(&cerium_hub::test_model(name), Cpu::best(), 2);
        let mut n = 0;
        for segment in Golden::of(name).segments {
            let want = likeliest(&mut model, &segment.tokens, &[128], true);
            let got = likeliest(&mut model, &segment.tokens, &[64, 5, 17, 128, 1], false);
            assert_eq!(got.len(), segment.tokens.len());
            assert!(got == want, "{name}");
            n += got.len();
        }
        assert!(n >= 1000, "{n} positions");
    }
}

#[test]
fn threads_and_paths_do_not_change_it() {
    let (name, path) = ("qwen2.5-coder-0.5b", cerium_hub::test_model("qwen2.5-coder-0.5b"));
    let tokens = &Golden::of(name).segments[1].tokens[..40];
    let want = likeliest(&mut load(&path, Cpu::best(), 2), tokens, &[40], true);
    for n_threads in [1, 3] {
        let mut model = load(&path, Cpu::best(), n_threads);
        assert!(likeliest(&mut model, tokens, &[40], false) == want, "{n_threads} threads");
    }
    for cpu in Cpu::available().into_iter().filter(|&cpu| cpu != Cpu::SCALAR) {
        let mut model = load(&path, cpu, 2);
        assert!(likeliest(&mut model, tokens, &[33, 7], false) == want, "{}", cpu.name());
    }
}

#[test]
fn tiny_models_tell_it_too() {
    for name in tiny::NAMES {
        let mut model = load(&tiny::path(&format!("{name}.gguf")), Cpu::best(), 2);
        let tokens: Vec<u32> = (1..60).map(|i| i * 7 % model.config().n_vocab as u32).collect();
        let want = likeliest(&mut model, &tokens, &[64], true);
        for batches in [&[1][..], &[5, 16], &[64]] {
            assert!(likeliest(&mut model, &tokens, batches, false) == want, "{name}");
        }
    }
}

#[test]
fn segments_of_one_step_want_different_things() {
    let name = "qwen2.5-coder-0.5b";
    let mut model = load(&cerium_hub::test_model(name), Cpu::best(), 2);
    let golden = Golden::of(name);
    let [a, b, c] = [0, 1, 2].map(|i| &golden.segments[i].tokens[..12]);
    let want = [a, b, c].map(|tokens| likeliest(&mut model, tokens, &[12], true));
    let n_vocab = model.config().n_vocab;
    let [mut kv_a, mut kv_b, mut kv_c] = [(); 3].map(|()| KvCache::new(model.config()));
    let mut segments = [
        Segment { kv: &mut kv_a, tokens: a, wanted: Wanted::Likeliest(9) },
        Segment { kv: &mut kv_b, tokens: b, wanted: Wanted::Logits(4) },
        Segment { kv: &mut kv_c, tokens: c, wanted: Wanted::Likeliest(12) },
    ];
    let outputs = model.forward(&mut segments, &AtomicBool::new(false)).unwrap();
    assert_eq!(outputs.likeliest, [&want[0][3..], &want[2]].concat());
    let rows = outputs.logits.chunks_exact(n_vocab);
    let best: Vec<u32> = rows.map(|row| argmax(row).unwrap() as u32).collect();
    assert_eq!(best, want[1][8..]);
}
