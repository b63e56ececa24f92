//! One configurable decoder for the transformer families we run.
//!
//! A family is described by data and its sizes by the file's metadata ([`Config`]); the forward pass
//! reads both and knows no family by name. All of them are pre-norm decoders with grouped-query
//! attention, rotary positions and a gated feed-forward network.

mod config;
mod experts;
mod forward;
mod rope;

use crate::LoadError;
use crate::file::ModelFile;
use crate::kv::KvCache;
use crate::packed::Packing;
use crate::profile::{Clock, Profile};
use crate::weights::Weights;
use cerium_kernels::{Cpu, Heads, Team};
pub use config::Config;
pub(crate) use config::ExpertCount;
use forward::{Pass, Scratch};
use std::sync::atomic::{AtomicBool, Ordering};

/// Models narrower than this get activations of 16 bits. With 8 bits the 135M model (576 wide) agrees
/// with exact arithmetic on 97% of next tokens, with 16 bits on over 99%; the 0.5B (896 wide) agrees
/// on 99.4% with 8.
const NARROW: usize = 768;

/// Rows of one sequence in a step.
#[derive(Debug)]
pub struct Segment<'a> {
    /// The sequence's cache; the tokens follow what it holds.
    pub kv: &'a mut KvCache,
    /// Token ids, all below [`Config::n_vocab`].
    pub tokens: &'a [u32],
    /// What is wanted of its last tokens.
    pub wanted: Wanted,
}

/// What a step is to tell of the last so many tokens of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All logits.
    Logits(usize),
    /// Which token is the likeliest next one: of a batch much cheaper, where the head has a screen.
    Likeliest(usize),
}

/// What a step tells, in the order of the segments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outputs<'a> {
    /// Where those were wanted, `[sum of n, n_vocab]`.
    pub logits: &'a [f32],
    /// The greatest logit's id, the first of equals, 0 where none is a number; `[sum of n]` of the other segments.
    pub likeliest: &'a [u32],
}

/// What a token costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// Multiply-accumulates of the layers' matrices.
    pub layer_macs: usize,
    /// Multiply-accumulates of the head.
    pub head_macs: usize,
    /// Multiply-accumulates of attention for each position before it, in layers that see all of them.
    pub key_macs: usize,
    /// Bytes that the file holds of the layers' matrices.
    pub layer_bytes: usize,
    /// Bytes that the file holds of the head.
    pub head_bytes: usize,
}

/// The step was given up because the abort flag rose; no cache was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the step was aborted")]
pub struct Aborted;

/// A loaded model, ready to run.
#[derive(Debug)]
pub struct Model {
    config: Config,
    weights: Weights,
    packing: Packing,
    file: ModelFile,
    cpu: Cpu,
    team: Team,
    /// Whether activations have 16 bits.
    fine: bool,
    scratch: Scratch,
    profile: Profile,
}

impl Config {
    fn is_narrow(&self) -> bool {
        self.d_model < NARROW
    }

    /// Whether the head gets a screen. Of narrow models 8 bits leave a quarter of it undecided, and a cap
    /// makes equals of logits that are not.
    pub(crate) fn has_screen(&self) -> bool {
        !self.is_narrow() && self.softcap.is_none()
    }
}

impl Model {
    /// Packs the weights of an opened file, or maps them where they are
    /// [kept](ModelFile::keep_packed).
    ///
    /// # Errors
    /// [`LoadError`] when the file's metadata or tensors are not those of a supported model.
    pub fn load(file: ModelFile, cpu: Cpu, n_threads: usize) -> Result<Self, LoadError> {
        let team = Team::new(n_threads);
        let config = Config::from_gguf(&file.gguf)?;
        let fine = config.is_narrow();
        let (weights, packing) = Weights::load(&file, &config, &team)?;
        let (scratch, profile) = (Scratch::default(), Profile::default());
        Ok(Self { config, weights, packing, file, cpu, team, fine, scratch, profile })
    }

    /// Sizes of the model.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The file it came from.
    pub fn file(&self) -> &ModelFile {
        &self.file
    }

    /// The code path in use.
    pub fn cpu(&self) -> Cpu {
        self.cpu
    }

    /// Threads in use.
    pub fn n_threads(&self) -> usize {
        self.team.n_threads()
    }

    /// What a token costs.
    pub fn costs(&self) -> Costs {
        let [(layer_macs, layer_bytes), (head_macs, head_bytes)] = self.weights.sizes();
        let Heads { n_heads, head_dim, .. } = self.config.heads;
        let layers = 0..self.config.n_layers;
        let n_seeing_all = layers.filter(|&layer| self.config.window(layer).is_none()).count();
        let key_macs = 2 * n_seeing_all * n_heads * head_dim;
        Costs { layer_macs, head_macs, key_macs, layer_bytes, head_bytes }
    }

    /// Time spent by kind of work since it was asked last.
    pub fn take_profile(&mut self) -> Profile {
        std::mem::take(&mut self.profile)
    }

    /// Where the packed weights are.
    pub fn packing(&self) -> &Packing {
        &self.packing
    }

    /// Bytes of packed weights.
    pub fn n_bytes(&self) -> usize {
        self.weights.n_bytes()
    }

    /// Runs the segments' tokens as one batch and extends their caches.
    ///
    /// A position's logits are the same bits whatever else is in the batch, and the likeliest token is
    /// theirs.
    ///
    /// # Errors
    /// [`Aborted`] if `abort` rose during the step.
    ///
    /// # Panics
    /// If a token is not below `n_vocab`: ids come from the tokenizer of the same file.
    pub fn forward(
        &mut self,
        segments: &mut [Segment<'_>],
        abort: &AtomicBool,
    ) -> Result<Outputs<'_>, Aborted> {
        let mut pass = Pass {
            config: &self.config,
            weights: &self.weights,
            cpu: self.cpu,
            team: &self.team,
            fine: self.fine,
            scratch: &mut self.scratch,
            clock: Clock::start(&mut self.profile),
        };
        pass.embed(&self.file, segments);
        let go_on = || if abort.load(Ordering::Relaxed) { Err(Aborted) } else { Ok(()) };
        for (i, layer) in self.weights.layers().iter().enumerate() {
            go_on()?;
            pass.attend(i, layer, segments);
            go_on()?;
            pass.feed_forward(layer);
        }
        go_on()?;
        pass.head(segments);
        for segment in segments {
            segment.kv.commit(segment.tokens.len());
        }
        Ok(self.scratch.outputs())
    }
}
