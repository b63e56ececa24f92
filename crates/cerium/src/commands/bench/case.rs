//! What is measured: shapes of work that people wait for.

use super::CHUNK;
use cerium_model::profile::Profile;
use cerium_model::{Costs, KvCache, Model, Segment, Wanted};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// One shape of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    /// A prompt of `n` tokens, from nothing.
    Prefill { n: usize },
    /// `n` tokens one by one, after a prompt of `after`.
    Decode { after: usize, n: usize },
    /// `k` tokens at once with the arg-max at every one, after a prompt of `after`: a draft's check.
    Verify { after: usize, k: usize },
}

/// What bounds a case.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bound {
    /// Multiply-accumulates of a pass over its tokens, by 8-bit integers.
    Int8(f64),
    /// Bytes that it reads.
    Read(f64),
}

/// One measurement.
#[derive(Clone, Debug)]
pub(super) struct Time {
    pub(super) wall: Duration,
    pub(super) profile: Profile,
}

impl Case {
    pub(super) fn name(self) -> String {
        match self {
            Self::Prefill { n } => format!("prefill {n}"),
            Self::Decode { after, n } => format!("decode {n} after {after}"),
            Self::Verify { after, k } => format!("verify {k} after {after}"),
        }
    }

    /// Tokens that the time is spent on.
    pub(super) fn n_tokens(self) -> usize {
        match self {
            Self::Prefill { n } | Self::Decode { n, .. } => n,
            Self::Verify { k, .. } => k,
        }
    }

    /// Longest sequence that it makes.
    pub(super) fn n_positions(self) -> usize {
        match self {
            Self::Prefill { n } => n,
            Self::Decode { after, n } => after + n,
            Self::Verify { after, k } => after + k,
        }
    }

    /// What it cannot do without, attention not counted.
    pub(super) fn bound(self, costs: Costs) -> Bound {
        let Costs { layer_macs, head_macs, layer_bytes, head_bytes, .. } = costs;
        match self {
            Self::Prefill { n } => Bound::Int8((n * layer_macs + head_macs) as f64),
            Self::Decode { n, .. } => Bound::Read((n * (layer_bytes + head_bytes)) as f64),
            Self::Verify { k: 1, .. } => Bound::Read((layer_bytes + head_bytes) as f64),
            Self::Verify { k, .. } => Bound::Int8((k * (layer_macs + head_macs)) as f64),
        }
    }

    /// Does it once. What comes before it is computed once for all cases, in `prefix`.
    pub(super) fn run(self, model: &mut Model, prefix: &mut KvCache) -> Time {
        let mut kv = KvCache::open(model.config(), prefix.opening());
        match self {
            Self::Prefill { n } => measured(model, |model| prefill(model, &mut kv, n)),
            Self::Decode { after, n } => {
                let mut kv = first(model, prefix, after);
                measured(model, |model| {
                    let mut next = 1;
                    for _ in 0..n {
                        next = step(model, &mut kv, &[next], 1);
                    }
                })
            }
            Self::Verify { after, k } => {
                let mut kv = first(model, prefix, after);
                let tokens = tokens(model, k);
                measured(model, |model| {
                    step(model, &mut kv, &tokens, k);
                })
            }
        }
    }
}

fn measured(model: &mut Model, work: impl FnOnce(&mut Model)) -> Time {
    model.take_profile();
    let start = Instant::now();
    work(model);
    Time { wall: start.elapsed(), profile: model.take_profile() }
}

/// Tokens of any kind: what they say costs nothing.
fn tokens(model: &Model, n: usize) -> Vec<u32> {
    (0..n).map(|i| (i * 7919 % model.config().n_vocab) as u32).collect()
}

/// A cache of the first `n` tokens.
fn first(model: &mut Model, prefix: &mut KvCache, n: usize) -> KvCache {
    if prefix.n_tokens() < n {
        prefill(model, prefix, n);
    }
    let mut kv = prefix.clone();
    kv.truncate(n);
    kv
}

/// Extends a cache of the first tokens to `n`.
fn prefill(model: &mut Model, kv: &mut KvCache, n: usize) {
    let tokens = tokens(model, n).split_off(kv.n_tokens());
    let n_chunks = tokens.chunks(CHUNK).len();
    for (i, chunk) in tokens.chunks(CHUNK).enumerate() {
        step(model, kv, chunk, usize::from(i + 1 == n_chunks));
    }
}

/// One pass with the arg-max at the last `n` of its positions; returns the last one's.
fn step(model: &mut Model, kv: &mut KvCache, tokens: &[u32], n: usize) -> u32 {
    let segment = Segment { kv, tokens, wanted: Wanted::Likeliest(n) };
    let abort = AtomicBool::new(false);
    let outputs = model.forward(&mut [segment], &abort).expect("nothing aborts it");
    outputs.likeliest.last().copied().unwrap_or(0)
}
