//! A step of decoding asks the system for nothing: a binary of its own, because it counts for all threads.

use cerium_model::{Cpu, KvCache, Model, Segment, Wanted, file::ModelFile};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::path::Path;
use std::sync::atomic::AtomicBool;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[test]
fn a_step_of_decoding_allocates_nothing() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny");
    for name in [
        "llama-float",
        "qwen2-k",
        "qwen3-codes",
        "gemma3-window",
        "qwen3moe-codes",
        "gpt-oss-mxfp4",
    ] {
        let file = ModelFile::open(&data.join(format!("{name}.gguf"))).unwrap();
        let mut model = Model::load(file, Cpu::best(), 2).unwrap();
        let (mut kv, abort) = (KvCache::new(model.config()), AtomicBool::new(false));
        let mut step = |tokens: &[u32]| {
            let segment = Segment { kv: &mut kv, tokens, wanted: Wanted::Likeliest(1) };
            model.forward(&mut [segment], &abort).unwrap();
        };
        // Buffers take their size, and a page of keys and values is begun.
        step(&[1; 70]);
        // Threads that start, or end, ask for something too, once.
        let counts = [0; 5].map(|_| {
            let region = Region::new(ALLOCATOR);
            for token in 0..8 {
                step(&[token]);
            }
            region.change().allocations + region.change().reallocations
        });
        assert!(counts.contains(&0), "{name}: {counts:?} in 8 steps each");
    }
}
