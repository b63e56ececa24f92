//! Models run over tokens, in batches of any sizes.

use cerium_model::{Cpu, KvCache, Model, Outputs, Segment, Wanted, file::ModelFile};
use std::{path::Path, sync::atomic::AtomicBool};

pub(crate) fn load(path: &Path, cpu: Cpu, n_threads: usize) -> Model {
    Model::load(ModelFile::open(path).unwrap(), cpu, n_threads).unwrap()
}

/// Runs `tokens` in batches of the given sizes, over and over. Something is wanted of every token, and
/// `take` is given what each step tells.
pub(crate) fn run(
    model: &mut Model,
    mut kv: KvCache,
    tokens: &[u32],
    batches: &[usize],
    wanted: fn(usize) -> Wanted,
    mut take: impl FnMut(Outputs<'_>),
) {
    let mut rest = tokens;
    for &n in batches.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (now, later) = rest.split_at(n.min(rest.len()));
        let segment = Segment { kv: &mut kv, tokens: now, wanted: wanted(now.len()) };
        take(model.forward(&mut [segment], &AtomicBool::new(false)).unwrap());
        rest = later;
    }
}

/// Logits of every token.
pub(crate) fn logits(
    model: &mut Model,
    kv: KvCache,
    tokens: &[u32],
    batches: &[usize],
) -> Vec<f32> {
    let mut all = Vec::new();
    run(model, kv, tokens, batches, Wanted::Logits, |outputs| {
        all.extend_from_slice(outputs.logits);
    });
    all
}
