//! Whole tiny models of every family and many tensor types against reference logits
//! (`scripts/goldens/tiny.py`), and the bits of every code path against each other.

use crate::golden::Tiny;
use crate::steps;
use cerium_model::{Cpu, KvCache};
use std::path::PathBuf;

/// All tiny models.
pub(crate) const NAMES: [&str; 18] = [
    "gemma3-cap",
    "gemma3-float",
    "gemma3-window",
    "gpt-oss-float",
    "gpt-oss-mxfp4",
    "llama-float",
    "llama-mha",
    "qwen2-k",
    "qwen2-legacy",
    "qwen2-yarn",
    "qwen3-codes",
    "qwen3-float",
    "qwen3-k",
    "qwen3moe-codes",
    "qwen3moe-float",
    "qwen3moe-k",
    "starcoder2-float",
    "starcoder2-legacy",
];

/// A file of the tiny models' data.
pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny").join(name)
}

fn logits(name: &str, cpu: Cpu, n_threads: usize, tokens: &[u32], batch: usize) -> Vec<f32> {
    let mut model = steps::load(&path(&format!("{name}.gguf")), cpu, n_threads);
    let kv = KvCache::new(model.config());
    steps::logits(&mut model, kv, tokens, &[batch])
}

#[test]
fn tiny_models_agree_with_the_reference_on_every_path() {
    for name in NAMES {
        let golden = Tiny::read(&path(&format!("{name}.golden")));
        let got = logits(name, Cpu::best(), 2, &golden.tokens, 64);
        assert_eq!(got.len(), golden.tokens.len() * golden.n_vocab);
        let (ours, peer) = (golden.rms_error(&got), golden.peer_rms);
        eprintln!("{name}: rms error {ours:.2e}, llama.cpp {peer:.2e}");
        // llama.cpp's figure is with keys and values in f32. Ours are halves: the reference, with
        // its own keys and values rounded to halves, differs from itself by 4.1e-4 to 7.0e-4 on
        // these models.
        assert!(ours <= 1.05 * peer.max(7e-4), "{name}: {ours} against {peer}");
        for cpu in Cpu::available() {
            let again = logits(name, cpu, 3, &golden.tokens, 7);
            assert!(again == got, "{name} on {}", cpu.name());
        }
    }
}
