//! Scores a model's logits against a golden, for models that tests do not download:
//!
//! ```text
//! python3 scripts/goldens/logits.py reference NAME.golden MODEL.gguf
//! python3 scripts/goldens/logits.py peer NAME.golden MODEL.gguf
//! cargo run --release -p cerium-model --example check_logits -- NAME.golden MODEL.gguf
//! ```
#![allow(clippy::unwrap_used, reason = "shares its reading with the tests, which fail loudly")]

#[path = "../tests/it/golden.rs"]
#[allow(dead_code, reason = "tests read tiny models too")]
mod golden;

use cerium_model::{Cpu, KvCache, Model, Segment, Wanted, file::ModelFile};
use golden::{Golden, score};
use std::{env, process::ExitCode, sync::atomic::AtomicBool};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let [golden, path] = args.as_slice() else {
        eprintln!("usage: check_logits GOLDEN MODEL.gguf");
        return ExitCode::from(2);
    };
    let golden = Golden::read(golden.as_ref());
    let file = ModelFile::open(path.as_ref()).expect("a readable model");
    let mut model = Model::load(file, Cpu::best(), 2).expect("a supported model");
    let n_vocab = model.config().n_vocab;
    let segments: Vec<usize> = (0..golden.segments.len()).collect();
    // The logits of 32 positions at a time: a vocabulary may be large.
    let mut kv = KvCache::new(model.config());
    let mut logits = Vec::new();
    let ours = score(&golden, &segments, |segment, position| {
        if position == 0 {
            kv = KvCache::new(model.config());
        }
        if position.is_multiple_of(32) {
            let rest = &golden.segments[segment].tokens[position..];
            let tokens = &rest[..rest.len().min(32)];
            let segment = Segment { kv: &mut kv, tokens, wanted: Wanted::Logits(tokens.len()) };
            let now = model.forward(&mut [segment], &AtomicBool::new(false)).unwrap();
            logits.clear();
            logits.extend_from_slice(now.logits);
        }
        logits[position % 32 * n_vocab..][..n_vocab].to_vec()
    });
    eprintln!("ours      {ours:?}");
    eprintln!("llama.cpp {:?}", golden.best_peer(&segments));
    ExitCode::SUCCESS
}
